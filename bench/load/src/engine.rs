//! The loop that drives all connections: one thread, epoll, two ways to load.
//!
//! *Closed loop*: each connection keeps `inflight` requests outstanding and sends the next when one is answered; the
//! broker sets the pace and latency counts from the send. *Open loop*: requests have intended send times, fixed before
//! the run by rate and seed; a request that cannot leave yet keeps its intended time, and latency counts from that, so a
//! stall of the broker shows up in every request it delayed (no coordinated omission).
//!
//! A run has three phases. Warm-up is not counted. The measured phase ends after its time or its bytes, whichever is
//! first; CPU is sampled at both of its ends. Then nothing new is sent (open loop: nothing newly intended) and all that is
//! outstanding must still be answered, so that counts can be compared with the log.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::connection::{Connection, Response, Wanted};
use crate::process::{self, Sample};
use crate::sys::{Alarm, Event, Interest, PagePool, Poll};
use crate::wire::Random;

/// How requests are spaced in an open loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    Constant,
    Poisson,
}

/// What to run.
pub struct Plan {
    /// Whom a connection is made to: its partition's leader, or one for all.
    pub addresses: Vec<SocketAddr>,
    pub inflight: usize,
    /// Requests a second over all connections; `None` is the closed loop.
    pub rate: Option<f64>,
    pub arrivals: Arrivals,
    pub seed: u64,
    pub warm: Duration,
    pub measured: Duration,
    /// Ends the measured phase early, once that many value bytes went through.
    pub max_value_bytes: u64,
    /// Brokers whose CPU time is counted, together.
    pub broker_pids: Vec<u32>,
    /// Touched memory to release at the pace of the log; 0 for none.
    pub hold_bytes: usize,
}

impl Plan {
    /// Whom connection `index` is made to.
    pub fn address(&self, index: usize) -> Result<SocketAddr, String> {
        self.addresses
            .get(index % self.addresses.len().max(1))
            .copied()
            .ok_or_else(|| "no address".to_owned())
    }
}

/// What one response was worth.
#[derive(Clone, Copy, Default)]
pub struct Done {
    pub records: u64,
    pub value_bytes: u64,
    /// Frame bytes in the direction that carries records.
    pub wire_bytes: u64,
}

/// One kind of request: patched before each send, checked after each response.
pub trait Work {
    /// The encoded first request of a connection.
    fn request(&mut self, connection: usize) -> Vec<u8>;
    /// Patches or replaces the request that is about to be sent.
    fn prepare(&mut self, connection: usize, request: &mut Vec<u8>);
    /// How much of the connection's next response is wanted.
    fn wanted(&self, connection: usize) -> Wanted;
    /// Checks a response. An error means that the run has no score.
    fn check(
        &mut self,
        connection: usize,
        response: &Response<'_>,
        request_bytes: usize,
    ) -> Result<Done, String>;
}

/// Counted responses.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub requests: u64,
    pub records: u64,
    pub value_bytes: u64,
    pub wire_bytes: u64,
}

impl Counts {
    fn add(&mut self, done: Done) {
        self.requests += 1;
        self.records += done.records;
        self.value_bytes += done.value_bytes;
        self.wire_bytes += done.wire_bytes;
    }

    /// What came on top of `earlier`.
    #[must_use]
    pub fn since(self, earlier: Counts) -> Counts {
        Counts {
            requests: self.requests - earlier.requests,
            records: self.records - earlier.records,
            value_bytes: self.value_bytes - earlier.value_bytes,
            wire_bytes: self.wire_bytes - earlier.wire_bytes,
        }
    }
}

/// What was measured.
pub struct Measured {
    pub elapsed: Duration,
    pub counts: Counts,
    /// All phases together, for the comparison with the log.
    pub total: Counts,
    pub latency_ns: Histogram<u64>,
    pub before: Sample,
    pub after: Sample,
    pub errors: u64,
    pub first_error: Option<String>,
    /// Most requests that were due but not yet sent; always 0 in a closed loop.
    pub backlog_max: usize,
    /// Open loop: requests that were due and not sent when the run ended; their age then is in the latency.
    pub unsent: u64,
}

/// Histogram from 1 ns to two minutes at three digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are valid")
}

/// How long outstanding requests may take once the load has stopped.
const DRAIN: Duration = Duration::from_secs(30);
/// After so many errors a run is not worth going on with.
const MAX_ERRORS: u64 = 1000;
const ALARM_TOKEN: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Warm,
    Measured,
    Drain,
}

struct Slot {
    connection: Option<Connection>,
    /// Intended send times of requests that are due.
    due: VecDeque<u64>,
    interest: Interest,
    /// A response whose head was checked and whose body is still arriving, with its start time.
    arriving: Option<(Done, u64)>,
}

/// State that response callbacks need, apart from the connection they come from.
struct Ledger<'w, W: Work> {
    work: &'w mut W,
    started: Instant,
    phase: Phase,
    is_open_loop: bool,
    measured_from_ns: u64,
    measured_until_ns: u64,
    total: Counts,
    latency_ns: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

impl<W: Work> Ledger<'_, W> {
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn fail(&mut self, message: String) {
        self.errors += 1;
        self.first_error.get_or_insert(message);
    }

    fn finish(&mut self, done: Done, start_ns: u64) {
        let now_ns = self.now_ns();
        self.total.add(done);
        // Closed loop: what completed in the phase. Open loop: what was meant to be sent in it, however late it came.
        let counts = if self.is_open_loop {
            (self.measured_from_ns..self.measured_until_ns).contains(&start_ns)
        } else {
            self.phase == Phase::Measured
        };
        if counts {
            self.latency_ns.saturating_record(now_ns.saturating_sub(start_ns).max(1));
        }
    }
}

/// Intended send times, one after the other.
struct Schedule {
    interval_ns: f64,
    arrivals: Arrivals,
    random: Random,
    next_ns: f64,
}

impl Schedule {
    fn advance(&mut self) {
        self.next_ns += match self.arrivals {
            Arrivals::Constant => self.interval_ns,
            Arrivals::Poisson => -self.random.unit().ln() * self.interval_ns,
        };
    }
}

/// Runs `work` over `connections` connections.
///
/// Errors of single responses are counted in the result; what keeps the run from starting or being measured is `Err`.
pub fn run<W: Work>(plan: &Plan, connections: usize, work: &mut W) -> Result<Measured, String> {
    let text = |error: io::Error| error.to_string();
    let mut poll = Poll::new(connections + 1).map_err(text)?;
    let alarm = Alarm::new().map_err(text)?;
    poll.add(&alarm, ALARM_TOKEN, Interest::Read).map_err(text)?;
    let mut slots = Vec::with_capacity(connections);
    for index in 0..connections {
        let address = plan.address(index)?;
        let connection = Connection::connect(address, work.request(index)).map_err(text)?;
        poll.add(&connection.stream, index as u64, Interest::Read).map_err(text)?;
        slots.push(Slot {
            connection: Some(connection),
            due: VecDeque::new(),
            interest: Interest::Read,
            arriving: None,
        });
    }
    let mut pool = match plan.hold_bytes {
        0 => None,
        bytes => Some(PagePool::new(bytes).map_err(text)?),
    };
    let mut schedule = plan.rate.map(|rate| Schedule {
        interval_ns: 1e9 / rate,
        arrivals: plan.arrivals,
        random: Random::new(plan.seed),
        next_ns: 0.0,
    });
    let mut ledger = Ledger {
        work,
        started: Instant::now(),
        phase: Phase::Warm,
        is_open_loop: plan.rate.is_some(),
        measured_from_ns: u64::MAX,
        measured_until_ns: u64::MAX,
        total: Counts::default(),
        latency_ns: latency_histogram(),
        errors: 0,
        first_error: None,
    };
    let (mut before, mut after) = (Sample::default(), Sample::default());
    let (mut counts_before, mut counts) = (Counts::default(), Counts::default());
    let mut elapsed = Duration::ZERO;
    let (mut backlog_max, mut turn) = (0, 0);
    let mut events: Vec<Event> = Vec::new();
    let mut drain_until_ns = u64::MAX;
    if schedule.is_none() {
        for (index, slot) in slots.iter_mut().enumerate() {
            pump(&poll, plan, &mut ledger, slot, index);
        }
    }
    loop {
        let now_ns = ledger.now_ns();
        if ledger.phase == Phase::Warm && now_ns >= plan.warm.as_nanos() as u64 {
            before = process::sample(&plan.broker_pids)?;
            counts_before = ledger.total;
            ledger.phase = Phase::Measured;
            ledger.measured_from_ns = ledger.now_ns();
        }
        if ledger.phase == Phase::Measured {
            let run_ns = now_ns.saturating_sub(ledger.measured_from_ns);
            let value_bytes = ledger.total.value_bytes - counts_before.value_bytes;
            if run_ns >= plan.measured.as_nanos() as u64
                || value_bytes >= plan.max_value_bytes
                || ledger.errors >= MAX_ERRORS
            {
                after = process::sample(&plan.broker_pids)?;
                let end_ns = ledger.now_ns();
                elapsed = Duration::from_nanos(end_ns - ledger.measured_from_ns);
                counts = ledger.total.since(counts_before);
                ledger.measured_until_ns = end_ns;
                ledger.phase = Phase::Drain;
                schedule = None;
                drain_until_ns = end_ns + DRAIN.as_nanos() as u64;
            }
        }
        if ledger.phase == Phase::Drain {
            let outstanding: usize = slots.iter().map(outstanding).sum();
            if outstanding == 0 || now_ns >= drain_until_ns {
                for _ in 0..outstanding {
                    ledger.fail(format!("{outstanding} requests were never answered"));
                }
                break;
            }
        }
        if let Some(schedule) = &mut schedule {
            while schedule.next_ns <= now_ns as f64 {
                let index = turn % connections;
                turn += 1;
                slots[index].due.push_back(schedule.next_ns as u64);
                schedule.advance();
                pump(&poll, plan, &mut ledger, &mut slots[index], index);
            }
            backlog_max = backlog_max.max(slots.iter().map(|slot| slot.due.len()).sum());
            let wait_ns = (schedule.next_ns - ledger.now_ns() as f64).max(0.0) as u64;
            alarm.ring_after(Duration::from_nanos(wait_ns)).map_err(text)?;
        }
        if let Some(pool) = &mut pool {
            pool.keep_pace(ledger.total.wire_bytes as usize);
        }
        if slots.iter().all(|slot| slot.connection.is_none()) {
            return Err(ledger
                .first_error
                .unwrap_or_else(|| "all connections are gone".to_owned()));
        }
        let next_ns = match ledger.phase {
            Phase::Warm => plan.warm.as_nanos() as u64,
            Phase::Measured => ledger.measured_from_ns + plan.measured.as_nanos() as u64,
            Phase::Drain => drain_until_ns,
        };
        let timeout_ms =
            next_ns.saturating_sub(ledger.now_ns()).div_ceil(1_000_000).min(1000) as i32;
        poll.wait(timeout_ms, &mut events).map_err(text)?;
        for event in &events {
            if event.token == ALARM_TOKEN {
                continue; // armed anew, and so cleared, on the next turn; after the last intended time it just rings out
            }
            let index = event.token as usize;
            if event.is_readable {
                receive(&mut ledger, &mut slots[index], index);
            }
            pump(&poll, plan, &mut ledger, &mut slots[index], index);
        }
        if ledger.phase == Phase::Drain && events.iter().any(|event| event.token == ALARM_TOKEN) {
            alarm.ring_after(DRAIN * 2).map_err(text)?;
        }
    }
    Ok(Measured {
        elapsed,
        counts,
        total: ledger.total,
        latency_ns: ledger.latency_ns,
        before,
        after,
        errors: ledger.errors,
        first_error: ledger.first_error,
        backlog_max,
        unsent: 0,
    })
}

fn outstanding(slot: &Slot) -> usize {
    match &slot.connection {
        None => 0,
        Some(connection) => {
            connection.in_flight.len() + slot.due.len() + usize::from(slot.arriving.is_some())
        }
    }
}

/// Sends as much as this connection may have outstanding.
fn pump<W: Work>(
    poll: &Poll,
    plan: &Plan,
    ledger: &mut Ledger<'_, W>,
    slot: &mut Slot,
    index: usize,
) {
    let Some(connection) = &mut slot.connection else { return };
    loop {
        match connection.flush() {
            Err(error) => return lose(ledger, slot, &error),
            Ok(is_out) => {
                let interest = if is_out { Interest::Read } else { Interest::ReadWrite };
                if interest != slot.interest {
                    if let Err(error) = poll.change(&connection.stream, index as u64, interest) {
                        return lose(ledger, slot, &error);
                    }
                    slot.interest = interest;
                }
                if !is_out {
                    return;
                }
            }
        }
        if connection.in_flight.len() + usize::from(slot.arriving.is_some()) >= plan.inflight {
            return;
        }
        let start_ns = if ledger.is_open_loop {
            let Some(intended_ns) = slot.due.pop_front() else { return };
            intended_ns
        } else if ledger.phase == Phase::Drain {
            return;
        } else {
            ledger.now_ns()
        };
        ledger.work.prepare(index, &mut connection.request);
        connection.begin(start_ns);
    }
}

fn receive<W: Work>(ledger: &mut Ledger<'_, W>, slot: &mut Slot, index: usize) {
    let Some(connection) = &mut slot.connection else { return };
    let request_bytes = connection.request.len();
    let mut context = (ledger, &mut slot.arriving);
    let result = connection.receive(
        &mut context,
        |(ledger, _)| ledger.work.wanted(index),
        |(ledger, arriving), response| match ledger.work.check(index, &response, request_bytes) {
            Ok(done) => **arriving = Some((done, response.request.start_ns)),
            Err(message) => {
                **arriving = None;
                ledger.fail(message);
            }
        },
        |(ledger, arriving)| {
            if let Some((done, start_ns)) = arriving.take() {
                ledger.finish(done, start_ns);
            }
        },
    );
    if let Err(error) = result {
        let (ledger, _) = context;
        lose(ledger, slot, &error);
    }
}

/// Gives up a connection; what it had outstanding counts as errors.
fn lose<W: Work>(ledger: &mut Ledger<'_, W>, slot: &mut Slot, error: &io::Error) {
    for _ in 0..outstanding(slot).max(1) {
        ledger.fail(error.to_string());
    }
    slot.connection = None;
    slot.due.clear();
}
