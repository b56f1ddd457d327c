//! End to end: from the intended send of a batch to its arrival at consumers that long-poll.
//!
//! Each partition is a lane: one connection produces, one or more fetch. The first value of a batch begins with a sequence
//! number and the intended send time, so every batch is checked for loss, doubling and order at every consumer, and its
//! latency needs no matching. Without a rate a lane keeps `inflight` batches under way that have not arrived everywhere;
//! with a rate, batches are sent at their intended times, by the lanes in turn; those still due at the end are not sent, and their
//! age at that moment counts as their latency.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::api::{self, FetchLimits, FetchPlaces, PRODUCE_TAIL_BYTES, Topic};
use crate::connection::{Connection, Response, Wanted};
use crate::engine::{Arrivals, Counts, Measured, Plan, latency_histogram};
use crate::process::{self, Sample};
use crate::produce::{BatchShape, wall_ms};
use crate::sys::{Alarm, Event, Interest, Poll};
use crate::wire::{Crc32c, Random, batch_header, first_value, patch_crc, read_batches};

/// Bytes of a value that carry sequence number and intended time.
pub const STAMP_BYTES: usize = 16;
const ALARM: u64 = u64::MAX;
const DRAIN: Duration = Duration::from_secs(10);
const LONG_POLL: FetchLimits = FetchLimits { max_wait_ms: 500, min_bytes: 1, max_bytes: 1 << 20 };
/// Batches of one record are all checked to the last bit; of larger ones each consumer checks one in so many.
const WHOLE_EVERY: u64 = 64;

/// What is sent, and to how many.
#[derive(Clone, Copy)]
pub struct Load {
    pub shape: BatchShape,
    pub acks: i16,
    /// Consumers a partition.
    pub consumers: usize,
}

/// A run end to end: `run` is about arrival, `produce_ns` about acknowledgement.
pub struct EndToEnd {
    pub run: Measured,
    pub produce_ns: Histogram<u64>,
}

/// One that reads a partition from its start.
struct Consumer {
    connection: Connection,
    at: FetchPlaces,
    offset: i64,
    /// Batches that came.
    arrived: u64,
}

/// A partition with those that write and read it.
struct Lane {
    producer: Connection,
    consumers: Vec<Consumer>,
    due: VecDeque<u64>,
    /// Batches sent and acknowledged.
    sent: u64,
    acknowledged: u64,
}

impl Lane {
    /// Batches that have arrived at every consumer.
    fn arrived(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.arrived).min().unwrap_or(0)
    }

    fn is_done(&self) -> bool {
        self.due.is_empty() && self.acknowledged >= self.sent && self.arrived() >= self.sent
    }
}

/// What the whole run shares.
struct State {
    crc: Crc32c,
    started: Instant,
    versions: (i16, i16),
    shape: BatchShape,
    /// Bytes of a batch, and the place of its first value.
    batch_bytes: usize,
    value_at: usize,
    is_measuring: bool,
    total: Counts,
    latency_ns: Histogram<u64>,
    produce_ns: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

impl State {
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn fail(&mut self, message: String) {
        self.errors += 1;
        self.first_error.get_or_insert(message);
    }

    fn on_produced(&mut self, acknowledged: &mut u64, response: &Response<'_>) {
        let id = response.request.correlation_id;
        if let Err(message) =
            api::produced_offsets(response.bytes, self.versions.0, id, |_, _| Ok(()))
        {
            self.fail(message);
            return;
        }
        *acknowledged += 1;
        if self.is_measuring {
            let latency_ns = self.now_ns().saturating_sub(response.request.start_ns);
            self.produce_ns.saturating_record(latency_ns.max(1));
        }
    }

    fn on_fetched(&mut self, offset: &mut i64, arrived: &mut u64, response: &Response<'_>) {
        if let Err(message) = self.take_batches(offset, arrived, response) {
            self.fail(message);
        }
    }

    /// Takes the batches of a response one by one; each must be the next one.
    fn take_batches(
        &mut self,
        offset: &mut i64,
        arrived: &mut u64,
        response: &Response<'_>,
    ) -> Result<(), String> {
        let id = response.request.correlation_id;
        let head = api::fetch_head(response.bytes, self.versions.1, id)?;
        let end = head.records_at + head.records_bytes;
        let mut rest = response
            .bytes
            .get(head.records_at..end)
            .ok_or("Fetch: records end before their length")?;
        let now_ns = self.now_ns();
        let mut is_counted = false;
        while let Some(header) = batch_header(rest) {
            let Some(batch) = rest.get(..header.batch_bytes) else { break };
            if header.base_offset != *offset
                || header.batch_bytes != self.batch_bytes
                || header.record_count != self.shape.records as i64
            {
                return Err(format!(
                    "a batch of {} records and {} bytes at offset {}, expected one at {offset}",
                    header.record_count, header.batch_bytes, header.base_offset
                ));
            }
            let (sequence, intended_ns) = stamp_of(&batch[self.value_at..])?;
            if sequence != *arrived {
                return Err(format!("batch {sequence} came, expected {arrived}"));
            }
            if self.shape.records == 1 || arrived.is_multiple_of(WHOLE_EVERY) {
                let value_bytes = self.shape.value_bytes;
                read_batches(&self.crc, batch, |at, value| {
                    if value.len() == value_bytes {
                        Ok(())
                    } else {
                        Err(format!("record {at} of {} bytes", value.len()))
                    }
                })?;
            }
            *arrived += 1;
            *offset += header.record_count;
            if self.is_measuring {
                self.latency_ns.saturating_record(now_ns.saturating_sub(intended_ns).max(1));
            }
            self.total.requests += 1;
            self.total.records += header.record_count as u64;
            self.total.value_bytes += self.shape.total_value_bytes();
            is_counted = true;
            rest = &rest[batch.len()..];
        }
        if is_counted {
            self.total.wire_bytes += response.frame_bytes as u64;
        }
        Ok(())
    }

    /// Puts sequence and time into the first value of the request's batch, and corrects the CRC.
    fn stamp(&self, request: &mut [u8], sequence: u64, intended_ns: u64) {
        let batch_end = request.len() - PRODUCE_TAIL_BYTES;
        let batch = &mut request[batch_end - self.batch_bytes..batch_end];
        let at = self.value_at;
        batch[at..at + 8].copy_from_slice(&sequence.to_be_bytes());
        batch[at + 8..at + STAMP_BYTES].copy_from_slice(&intended_ns.to_be_bytes());
        patch_crc(&self.crc, batch);
    }
}

fn stamp_of(value: &[u8]) -> Result<(u64, u64), String> {
    let Some(stamp) = value.get(..STAMP_BYTES) else {
        return Err("a value without a stamp".to_owned());
    };
    let mut halves = [[0; 8]; 2];
    halves[0].copy_from_slice(&stamp[..8]);
    halves[1].copy_from_slice(&stamp[8..]);
    Ok((u64::from_be_bytes(halves[0]), u64::from_be_bytes(halves[1])))
}

/// Connects the lanes. Token of the producer of lane `l`: `l * (consumers + 1)`; its consumers follow.
fn connect(
    plan: &Plan,
    versions: (i16, i16),
    topic: &Topic,
    load: Load,
    batch: &[u8],
    poll: &Poll,
) -> Result<Vec<Lane>, String> {
    let text = |error: io::Error| error.to_string();
    let mut lanes = Vec::new();
    for index in 0..topic.leaders.len() {
        let address = plan.address(index)?;
        let token = (index * (load.consumers + 1)) as u64;
        let (request, _) = api::produce_frame(versions.0, topic, &[index as i32], load.acks, batch);
        let producer = Connection::connect(address, request).map_err(text)?;
        poll.add(&producer.stream, token, Interest::Read).map_err(text)?;
        let mut consumers = Vec::new();
        for number in 0..load.consumers {
            let (request, at) = api::fetch_frame(versions.1, topic, index as i32, LONG_POLL);
            let connection = Connection::connect(address, request).map_err(text)?;
            let token = token + 1 + number as u64;
            poll.add(&connection.stream, token, Interest::Read).map_err(text)?;
            consumers.push(Consumer { connection, at, offset: 0, arrived: 0 });
        }
        let due = VecDeque::new();
        lanes.push(Lane { producer, consumers, due, sent: 0, acknowledged: 0 });
    }
    Ok(lanes)
}

/// Sends what a lane may send. Consumers first: their long polls must be waiting when the record comes.
fn pump(lane: &mut Lane, state: &State, plan: &Plan, is_over: bool) -> io::Result<()> {
    for consumer in &mut lane.consumers {
        let connection = &mut consumer.connection;
        if connection.is_idle() && connection.in_flight.is_empty() {
            connection.request[consumer.at.offset..consumer.at.offset + 8]
                .copy_from_slice(&consumer.offset.to_be_bytes());
            connection.begin(state.now_ns());
        }
        connection.flush()?;
    }
    while lane.producer.flush()? && lane.producer.in_flight.len() < plan.inflight {
        let intended_ns = if plan.rate.is_some() {
            let Some(intended_ns) = lane.due.pop_front() else { break };
            intended_ns
        } else if !is_over && lane.sent - lane.arrived() < plan.inflight as u64 {
            state.now_ns()
        } else {
            break;
        };
        state.stamp(&mut lane.producer.request, lane.sent, intended_ns);
        lane.producer.begin(intended_ns);
        lane.sent += 1;
    }
    Ok(())
}

/// Runs one producer and some consumers over each partition of an empty topic.
pub fn run(
    plan: &Plan,
    versions: (i16, i16),
    topic: &Topic,
    load: Load,
) -> Result<EndToEnd, String> {
    if load.shape.value_bytes < STAMP_BYTES {
        return Err(format!("end to end needs values of at least {STAMP_BYTES} bytes"));
    }
    let text = |error: io::Error| error.to_string();
    let batch = load.shape.encode(plan.seed, wall_ms())?;
    let (value_at, _) = first_value(&batch)?;
    let per_lane = load.consumers + 1;
    let mut poll = Poll::new(topic.leaders.len() * per_lane + 1).map_err(text)?;
    let alarm = Alarm::new().map_err(text)?;
    poll.add(&alarm, ALARM, Interest::Read).map_err(text)?;
    let mut lanes = connect(plan, versions, topic, load, &batch, &poll)?;
    // A request that does not fit into the socket at once is finished when the socket takes bytes again.
    let mut is_writing = vec![false; lanes.len()];
    let mut state = State {
        crc: Crc32c::new(),
        started: Instant::now(),
        versions,
        shape: load.shape,
        batch_bytes: batch.len(),
        value_at,
        is_measuring: false,
        total: Counts::default(),
        latency_ns: latency_histogram(),
        produce_ns: latency_histogram(),
        errors: 0,
        first_error: None,
    };
    let (mut before, mut after) = (Sample::default(), Sample::default());
    let mut random = Random::new(plan.seed);
    let (mut next_ns, mut turn) = (0.0, 0);
    let (mut backlog_max, mut unsent) = (0, 0);
    let (mut from, mut until): (Option<u64>, Option<u64>) = (None, None);
    let (mut counts_before, mut counts) = (Counts::default(), Counts::default());
    let mut events: Vec<Event> = Vec::new();
    loop {
        let now_ns = state.now_ns();
        if from.is_none() && now_ns >= plan.warm.as_nanos() as u64 {
            before = process::sample(&plan.broker_pids)?;
            counts_before = state.total;
            from = Some(state.now_ns());
            state.is_measuring = true;
        }
        let end_ns = from.map_or(u64::MAX, |from| from + plan.measured.as_nanos() as u64);
        let value_bytes = state.total.value_bytes - counts_before.value_bytes;
        if until.is_none()
            && from.is_some()
            && (now_ns >= end_ns || value_bytes >= plan.max_value_bytes)
        {
            after = process::sample(&plan.broker_pids)?;
            counts = state.total.since(counts_before);
            let over_ns = state.now_ns();
            until = Some(over_ns);
            // What could not be sent in time stays unsent, but not unseen: it has waited that long at least.
            for intended_ns in lanes.iter_mut().flat_map(|lane| lane.due.drain(..)) {
                state.latency_ns.saturating_record(over_ns.saturating_sub(intended_ns).max(1));
                unsent += 1;
            }
        }
        if let Some(until) = until {
            if lanes.iter().all(Lane::is_done) || now_ns > until + DRAIN.as_nanos() as u64 {
                break;
            }
        } else if let Some(rate) = plan.rate {
            while next_ns <= now_ns as f64 {
                let index = turn % lanes.len();
                lanes[index].due.push_back(next_ns as u64);
                turn += 1;
                next_ns += match plan.arrivals {
                    Arrivals::Constant => 1e9 / rate,
                    Arrivals::Poisson => -random.unit().ln() * 1e9 / rate,
                };
            }
            let wait_ns = (next_ns - state.now_ns() as f64).max(0.0) as u64;
            alarm.ring_after(Duration::from_nanos(wait_ns)).map_err(text)?;
        }
        backlog_max = backlog_max.max(lanes.iter().map(|lane| lane.due.len()).sum());
        for (index, lane) in lanes.iter_mut().enumerate() {
            pump(lane, &state, plan, until.is_some()).map_err(text)?;
            if is_writing[index] == lane.producer.is_idle() {
                is_writing[index] = !lane.producer.is_idle();
                let interest = if is_writing[index] { Interest::ReadWrite } else { Interest::Read };
                let token = (index * per_lane) as u64;
                poll.change(&lane.producer.stream, token, interest).map_err(text)?;
            }
        }
        let wake_ns = if from.is_none() { plan.warm.as_nanos() as u64 } else { end_ns };
        let wait_ns = wake_ns.saturating_sub(state.now_ns());
        let timeout_ms =
            if until.is_some() { 50 } else { wait_ns.div_ceil(1_000_000).clamp(0, 1000) as i32 };
        poll.wait(timeout_ms, &mut events).map_err(text)?;
        for event in &events {
            if event.token == ALARM {
                // Armed anew, and so cleared, on the next turn; after the last intended time it must not ring on.
                alarm.ring_after(DRAIN * 2).map_err(text)?;
                continue;
            }
            if !event.is_readable {
                continue;
            }
            let lane = &mut lanes[event.token as usize / per_lane];
            match (event.token as usize % per_lane).checked_sub(1) {
                None => {
                    let mut context = (&mut state, &mut lane.acknowledged);
                    lane.producer.receive(
                        &mut context,
                        |_| Wanted::Whole,
                        |(state, acknowledged), response| {
                            state.on_produced(acknowledged, &response);
                        },
                        |_| (),
                    )
                }
                Some(number) => {
                    let Consumer { connection, offset, arrived, .. } = &mut lane.consumers[number];
                    let mut context = (&mut state, offset, arrived);
                    connection.receive(
                        &mut context,
                        |_| Wanted::Whole,
                        |(state, offset, arrived), response| {
                            state.on_fetched(offset, arrived, &response);
                        },
                        |_| (),
                    )
                }
            }
            .map_err(text)?;
        }
    }
    for lane in &lanes {
        for consumer in &lane.consumers {
            let missing = lane.sent.saturating_sub(consumer.arrived);
            for _ in 0..missing {
                state.fail(format!("{missing} of {} batches never arrived", lane.sent));
            }
        }
        if lane.acknowledged < lane.sent {
            state.fail(format!("{} of {} were acknowledged", lane.acknowledged, lane.sent));
        }
    }
    let elapsed = Duration::from_nanos(until.unwrap_or(0).saturating_sub(from.unwrap_or(0)));
    Ok(EndToEnd {
        run: Measured {
            elapsed,
            counts,
            total: state.total,
            latency_ns: state.latency_ns,
            before,
            after,
            errors: state.errors,
            first_error: state.first_error,
            backlog_max,
            unsent,
        },
        produce_ns: state.produce_ns,
    })
}
