//! End to end: from the intended send of a record to its arrival at a consumer that long-polls.
//!
//! One connection produces one-record batches, another fetches. Each value begins with a sequence number and the intended
//! send time, so every record is checked for loss, doubling and order, and its latency needs no matching. Without a
//! rate the next record is sent when the previous one has arrived; with a rate, at its intended time.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::api::{self, FetchLimits, PRODUCE_TAIL_BYTES, Topic};
use crate::connection::{Connection, Response, Wanted};
use crate::engine::{Arrivals, Counts, Measured, Plan, latency_histogram};
use crate::process::{self, Sample};
use crate::produce::{BatchShape, wall_ms};
use crate::sys::{Alarm, Event, Interest, Poll};
use crate::wire::{Crc32c, Random, patch_crc, read_batches};

/// Bytes of a value that carry sequence number and intended time.
pub const STAMP_BYTES: usize = 16;
const PRODUCER: u64 = 0;
const CONSUMER: u64 = 1;
const ALARM: u64 = 2;
const DRAIN: Duration = Duration::from_secs(10);
const LONG_POLL: FetchLimits = FetchLimits { max_wait_ms: 500, min_bytes: 1, max_bytes: 1 << 20 };

/// A run end to end: `run` is about arrival, `produce_ns` about acknowledgement.
pub struct EndToEnd {
    pub run: Measured,
    pub produce_ns: Histogram<u64>,
}

struct State {
    crc: Crc32c,
    started: Instant,
    produce_version: i16,
    fetch_version: i16,
    fetch_offset: i64,
    /// Records sent, acknowledged and arrived.
    sent: u64,
    acknowledged: u64,
    arrived: u64,
    is_measuring: bool,
    value_bytes: usize,
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

    fn on_produced(&mut self, response: &Response<'_>) {
        if let Err(message) = api::produced_offset(
            response.bytes,
            self.produce_version,
            response.request.correlation_id,
        ) {
            self.fail(message);
        } else {
            self.acknowledged += 1;
            if self.is_measuring {
                let latency_ns = self.now_ns().saturating_sub(response.request.start_ns);
                self.produce_ns.saturating_record(latency_ns.max(1));
            }
        }
    }

    fn on_fetched(&mut self, response: &Response<'_>) {
        if let Err(message) = self.take_records(response) {
            self.fail(message);
        }
    }

    fn take_records(&mut self, response: &Response<'_>) -> Result<(), String> {
        let head =
            api::fetch_head(response.bytes, self.fetch_version, response.request.correlation_id)?;
        let end = head.records_at + head.records_bytes;
        let body = response
            .bytes
            .get(head.records_at..end)
            .ok_or("Fetch: records end before their length")?;
        let now_ns = self.now_ns();
        let (mut expected, mut offset) = (self.arrived, self.fetch_offset);
        let (value_bytes, is_measuring) = (self.value_bytes, self.is_measuring);
        let latency = &mut self.latency_ns;
        let came = read_batches(&self.crc, body, |at, value| {
            let (sequence, intended_ns) = stamp_of(value)?;
            if at != offset || sequence != expected || value.len() != value_bytes {
                return Err(format!(
                    "record {sequence} at offset {at}, expected {expected} at {offset}"
                ));
            }
            expected += 1;
            offset += 1;
            if is_measuring {
                latency.saturating_record(now_ns.saturating_sub(intended_ns).max(1));
            }
            Ok(())
        })?;
        self.arrived = expected;
        self.fetch_offset = offset;
        self.total.requests += came;
        self.total.records += came;
        self.total.value_bytes += came * value_bytes as u64;
        self.total.wire_bytes += response.frame_bytes as u64;
        Ok(())
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

/// Puts sequence and time into the value of the only record of the request's batch, and corrects the CRC.
fn stamp(state: &State, request: &mut [u8], batch_bytes: usize, sequence: u64, intended_ns: u64) {
    let batch_end = request.len() - PRODUCE_TAIL_BYTES;
    let batch = &mut request[batch_end - batch_bytes..batch_end];
    let value_at = batch.len() - 1 - state.value_bytes; // one byte of header count follows the value
    batch[value_at..value_at + 8].copy_from_slice(&sequence.to_be_bytes());
    batch[value_at + 8..value_at + STAMP_BYTES].copy_from_slice(&intended_ns.to_be_bytes());
    patch_crc(&state.crc, batch);
}

/// Runs one producer and one consumer over partition 0 of an empty topic.
pub fn run(
    plan: &Plan,
    versions: (i16, i16),
    topic: &Topic,
    acks: i16,
    value_bytes: usize,
) -> Result<EndToEnd, String> {
    if value_bytes < STAMP_BYTES {
        return Err(format!("end to end needs values of at least {STAMP_BYTES} bytes"));
    }
    let text = |error: io::Error| error.to_string();
    let batch = BatchShape { records: 1, value_bytes }.encode(plan.seed, wall_ms());
    let request = api::produce_frame(versions.0, topic, 0, acks, &batch);
    let mut producer = Connection::connect(plan.address(0)?, request).map_err(text)?;
    let (request, offset_at) = api::fetch_frame(versions.1, topic, 0, LONG_POLL);
    let mut consumer = Connection::connect(plan.address(0)?, request).map_err(text)?;
    let mut poll = Poll::new(4).map_err(text)?;
    let alarm = Alarm::new().map_err(text)?;
    poll.add(&producer.stream, PRODUCER, Interest::Read).map_err(text)?;
    poll.add(&consumer.stream, CONSUMER, Interest::Read).map_err(text)?;
    poll.add(&alarm, ALARM, Interest::Read).map_err(text)?;
    let mut state = State {
        crc: Crc32c::new(),
        started: Instant::now(),
        produce_version: versions.0,
        fetch_version: versions.1,
        fetch_offset: 0,
        sent: 0,
        acknowledged: 0,
        arrived: 0,
        is_measuring: false,
        value_bytes,
        total: Counts::default(),
        latency_ns: latency_histogram(),
        produce_ns: latency_histogram(),
        errors: 0,
        first_error: None,
    };
    let (mut before, mut after) = (Sample::default(), Sample::default());
    let mut random = Random::new(plan.seed);
    let mut next_ns = 0.0;
    let mut due: VecDeque<u64> = VecDeque::new();
    let mut backlog_max = 0;
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
        if until.is_none() && now_ns >= end_ns {
            after = process::sample(&plan.broker_pids)?;
            counts = state.total.since(counts_before);
            until = Some(state.now_ns());
        }
        if let Some(until) = until {
            let is_done =
                due.is_empty() && state.arrived >= state.sent && state.acknowledged >= state.sent;
            if is_done || now_ns > until + DRAIN.as_nanos() as u64 {
                break;
            }
        } else if let Some(rate) = plan.rate {
            while next_ns <= now_ns as f64 {
                due.push_back(next_ns as u64);
                next_ns += match plan.arrivals {
                    Arrivals::Constant => 1e9 / rate,
                    Arrivals::Poisson => -random.unit().ln() * 1e9 / rate,
                };
            }
            let wait_ns = (next_ns - state.now_ns() as f64).max(0.0) as u64;
            alarm.ring_after(Duration::from_nanos(wait_ns)).map_err(text)?;
        } else if due.is_empty() && state.arrived == state.sent && state.acknowledged == state.sent
        {
            due.push_back(now_ns);
        }
        // Consumer first: its long poll must be waiting when the record comes.
        if consumer.is_idle() && consumer.in_flight.is_empty() {
            let offset = state.fetch_offset;
            consumer.request[offset_at..offset_at + 8].copy_from_slice(&offset.to_be_bytes());
            consumer.begin(now_ns);
        }
        consumer.flush().map_err(text)?;
        backlog_max = backlog_max.max(due.len());
        while producer.flush().map_err(text)? && producer.in_flight.len() < plan.inflight {
            let Some(intended_ns) = due.pop_front() else { break };
            stamp(&state, &mut producer.request, batch.len(), state.sent, intended_ns);
            producer.begin(intended_ns);
            state.sent += 1;
        }
        let wake_ns = if from.is_none() { plan.warm.as_nanos() as u64 } else { end_ns };
        let wait_ns = wake_ns.saturating_sub(state.now_ns());
        let timeout_ms =
            if until.is_some() { 50 } else { wait_ns.div_ceil(1_000_000).clamp(0, 1000) as i32 };
        poll.wait(timeout_ms, &mut events).map_err(text)?;
        for event in &events {
            let whole = |_: &mut State| Wanted::Whole;
            match event.token {
                PRODUCER => producer.receive(
                    &mut state,
                    whole,
                    |state, response| state.on_produced(&response),
                    |_| (),
                ),
                CONSUMER => consumer.receive(
                    &mut state,
                    whole,
                    |state, response| state.on_fetched(&response),
                    |_| (),
                ),
                _ => alarm.ring_after(DRAIN * 2),
            }
            .map_err(text)?;
        }
    }
    let missing = state.sent - state.arrived.min(state.sent);
    for _ in 0..missing {
        state.fail(format!("{missing} of {} records never arrived", state.sent));
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
        },
        produce_ns: state.produce_ns,
    })
}
