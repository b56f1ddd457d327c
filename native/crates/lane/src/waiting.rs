//! Produces that are appended and not yet answered: they wait for a flush, for other replicas, or behind one that does.
//!
//! A connection's answers leave in the order of its requests, so those that wait are a line, and only its front is answered. A log tells
//! the lane that it moved once after each time that somebody began to wait for it ([`Waiters::add`]); the lane then looks, in this order, so
//! that nothing that happens after the look goes unheard.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sluice_log::{AppendOutcome, Change, KafkaCode, LogListener, PartitionLog, PartitionState};
use sluice_sys::EventFd;

use crate::frame::Header;
use crate::produce::Produce;
use crate::{Counts, PRODUCE_KEY, ReplyBuffer};

/// Requests of one connection that may wait; what it sends beyond them is not read.
pub(crate) const WAITING_MAX: usize = 64;
/// A flush is waited for at least this long where there is one replica, as by the handler: the client's timeout is for others.
const FLUSH_PATIENCE_MIN: Duration = Duration::from_secs(5);

/// Logs that moved, for the thread of a lane.
#[derive(Debug)]
pub(crate) struct Moved {
    keys: Mutex<Vec<usize>>,
    wake: Arc<EventFd>,
}

/// Tells a lane that a log moved, where it wants to know.
struct LogWatch {
    key: usize,
    is_armed: AtomicBool,
    moved: Arc<Moved>,
}

impl LogListener for LogWatch {
    fn on_change(&self, change: Change) {
        // A plain load first: most changes find nobody.
        let is_wanted = change != Change::LogEnd
            && self.is_armed.load(Ordering::SeqCst)
            && self.is_armed.swap(false, Ordering::SeqCst);
        if !is_wanted {
            return;
        }
        let mut keys = self.moved.keys.lock();
        keys.push(self.key);
        let is_first = keys.len() == 1;
        drop(keys);
        if is_first {
            self.moved.wake.signal();
        }
    }
}

/// Connections that wait for a log. The entry stays as long as the log, which keeps the watch.
struct Waited {
    log: std::sync::Weak<PartitionLog>,
    watch: Arc<LogWatch>,
    connections: Vec<usize>,
}

/// Who waits for which log, by the logs' addresses: one that is listed here gives its address to no other.
pub(crate) struct Waiters {
    by_log: HashMap<usize, Waited>,
    moved: Arc<Moved>,
    /// Logs that somebody began to wait for.
    new: Vec<usize>,
}

fn key_of(log: &Arc<PartitionLog>) -> usize {
    Arc::as_ptr(log).addr()
}

impl Waiters {
    pub(crate) fn new(wake: Arc<EventFd>) -> Self {
        let moved = Arc::new(Moved { keys: Mutex::default(), wake });
        Self { by_log: HashMap::new(), moved, new: Vec::new() }
    }

    /// A connection waits for a log from here on; it has to be looked at after this.
    pub(crate) fn add(&mut self, log: &Arc<PartitionLog>, connection: usize) {
        let key = key_of(log);
        let waited = self.by_log.entry(key).or_insert_with(|| {
            let is_armed = AtomicBool::new(false);
            let watch = Arc::new(LogWatch { key, is_armed, moved: Arc::clone(&self.moved) });
            log.add_listener(Arc::clone(&watch) as Arc<dyn LogListener>);
            Waited { log: Arc::downgrade(log), watch, connections: Vec::new() }
        });
        if !waited.connections.contains(&connection) {
            waited.connections.push(connection);
        }
        waited.watch.is_armed.store(true, Ordering::SeqCst);
        if self.new.last() != Some(&key) {
            self.new.push(key);
        }
    }

    /// Whether somebody began to wait and nobody has looked yet.
    pub(crate) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// Logs to look at, each once.
    pub(crate) fn take_moved(&mut self) -> Vec<usize> {
        let mut keys = std::mem::take(&mut self.new);
        keys.append(&mut self.moved.keys.lock());
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Connections that wait for a log, which is told of here no more, and how the log is now. It is watched again before that look.
    pub(crate) fn take(&mut self, key: usize) -> Option<(Vec<usize>, Look)> {
        let waited = self.by_log.get_mut(&key)?;
        if waited.connections.is_empty() {
            return None;
        }
        waited.watch.is_armed.store(true, Ordering::SeqCst);
        let look = Look::of(key, waited.log.upgrade().as_deref());
        Some((std::mem::take(&mut waited.connections), look))
    }

    /// These go on waiting for a log.
    pub(crate) fn put_back(&mut self, key: usize, connections: Vec<usize>) {
        let Some(waited) = self.by_log.get_mut(&key) else { return };
        if connections.is_empty() {
            waited.watch.is_armed.store(false, Ordering::SeqCst);
        }
        waited.connections = connections;
    }

    /// Forgets logs that are gone.
    pub(crate) fn sweep(&mut self) {
        self.by_log.retain(|_, waited| waited.log.strong_count() > 0);
    }
}

/// How a log is, for those who wait for it.
pub(crate) struct Look {
    key: usize,
    state: Option<PartitionState>,
    refusal: Option<KafkaCode>,
}

impl Look {
    fn of(key: usize, log: Option<&PartitionLog>) -> Self {
        let Some(log) = log else { return Self { key, state: None, refusal: None } };
        Self { key, state: Some(log.state()), refusal: log.write_refusal() }
    }

    /// The code to answer with; `None` for not yet. As `#appendState` of `src/replica/replica-manager.ts`.
    fn verdict(&self, wait: &Wait) -> Option<KafkaCode> {
        let is_gone = self.refusal == Some(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION);
        let Some(state) = self.state.as_ref().filter(|_| !is_gone) else {
            return Some(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION);
        };
        // Another led meanwhile, and may have cut the records away: what is there now at their offsets says nothing.
        if state.leader_since > wait.leader_epoch {
            return Some(KafkaCode::NOT_LEADER_OR_FOLLOWER);
        }
        let is_replicated = !wait.for_replicas || state.high_watermark > wait.last_offset;
        let is_flushed = !wait.for_sync || state.flushed_offset > wait.last_offset;
        if !is_replicated || !is_flushed {
            // After a failed fsync the flushed offset never moves again.
            return self.refusal;
        }
        let has_shrunk = wait.for_replicas && state.is_under_min_isr;
        Some(if has_shrunk { KafkaCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND } else { KafkaCode::NONE })
    }
}

/// What one batch waits for.
#[derive(Debug)]
struct Wait {
    key: usize,
    last_offset: i64,
    /// Under which it was appended.
    leader_epoch: i32,
    for_replicas: bool,
    for_sync: bool,
    deadline: Instant,
}

/// One batch of a request that waits.
#[derive(Debug)]
struct WaitingPart {
    landed: Option<AppendOutcome>,
    code: KafkaCode,
    wait: Option<Wait>,
}

/// A Produce that is appended and not answered.
#[derive(Debug)]
pub struct WaitingProduce {
    header: Header,
    produce: Produce,
    parts: Vec<WaitingPart>,
    began: Instant,
    request_bytes: usize,
}

impl WaitingProduce {
    /// `outcomes` has one for each batch, `None` where it could not be written. The frame had so many bytes, its size excluded.
    pub(crate) fn new(
        header: &Header,
        produce: &Produce,
        outcomes: &[Option<AppendOutcome>],
        request_bytes: usize,
    ) -> Self {
        let began = Instant::now();
        let timeout = Duration::from_millis(produce.timeout_ms.max(0).unsigned_abs().into());
        let parts = produce.parts().zip(outcomes).map(|(part, landed)| {
            let wait = landed.filter(waits).zip(part.partition()).map(|(landed, partition)| {
                let for_replicas = landed.await_replication;
                let patience = if for_replicas { timeout } else { timeout.max(FLUSH_PATIENCE_MIN) };
                Wait {
                    key: key_of(&partition.log),
                    last_offset: landed.last_offset,
                    leader_epoch: partition.leader_epoch,
                    for_replicas,
                    for_sync: landed.await_sync,
                    deadline: began + patience,
                }
            });
            let code =
                if landed.is_some() { KafkaCode::NONE } else { KafkaCode::KAFKA_STORAGE_ERROR };
            WaitingPart { landed: *landed, code, wait }
        });
        let parts = parts.collect();
        Self { header: header.clone(), produce: produce.clone(), parts, began, request_bytes }
    }

    /// The logs that it waits for.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &Arc<PartitionLog>> {
        let waiting = self.produce.parts().zip(&self.parts).filter(|(_, part)| part.wait.is_some());
        waiting.filter_map(|(part, _)| part.partition().map(|partition| &partition.log))
    }

    /// When it is answered at the latest; `None` where it waits for nothing itself.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.parts.iter().filter_map(|part| part.wait.as_ref()).map(|wait| wait.deadline).min()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.parts.iter().all(|part| part.wait.is_none())
    }

    /// Settles what this look settles. Returns whether something still waits for that log.
    pub(crate) fn on_look(&mut self, look: &Look) -> bool {
        let mut still_waits = false;
        for part in &mut self.parts {
            let Some(wait) = part.wait.as_ref().filter(|wait| wait.key == look.key) else {
                continue;
            };
            match look.verdict(wait) {
                Some(code) => {
                    part.code = code;
                    part.wait = None;
                }
                None => still_waits = true,
            }
        }
        still_waits
    }

    /// What waits beyond its deadline is answered so.
    pub(crate) fn expire(&mut self, now: Instant) {
        for part in &mut self.parts {
            if part.wait.as_ref().is_some_and(|wait| wait.deadline <= now) {
                part.code = KafkaCode::REQUEST_TIMED_OUT;
                part.wait = None;
            }
        }
    }

    /// Answers it, and counts it.
    pub(crate) fn answer(&self, counts: &Counts, reply: &mut ReplyBuffer) {
        let before = reply.bytes().len();
        let answers = self.parts.iter().map(|part| (part.code, part.landed.as_ref()));
        self.produce.write_answer(&self.header, answers, counts, reply);
        let reply_bytes = reply.bytes().len() - before;
        let version = self.header.api_version;
        counts.request(PRODUCE_KEY, version, self.request_bytes, reply_bytes);
        let nanoseconds = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        counts.latency(PRODUCE_KEY, 1, nanoseconds);
    }
}

/// Whether an append is answered later.
pub(crate) fn waits(landed: &AppendOutcome) -> bool {
    landed.await_sync || landed.await_replication
}

#[cfg(test)]
mod tests;
