//! Work that takes too long for an event loop: appends and lookups by time that inflate more than a moment's work.
//!
//! An event loop hands such work over with a token and goes on; one or two threads of the process do it in the order it
//! came, at a lower priority than the loops; the outcome waits in the loop's own place until the loop, told once, takes it. What
//! waits is bounded in bytes and in number, whoever sent it: beyond that work is refused, and its client told to try again.
//!
//! Two appends of one connection are never here together (its later requests wait), so the order of a producer's batches is kept.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use sluice_log::{
    AppendError, AppendOutcome, AppendRequest, Asker, Isolation, KafkaCode, OffsetLookup,
};

use crate::error::{Result, invalid, unknown};
use crate::lookup::fill_lookup;
use crate::read::isolation_of;
use crate::slots::SlotTable;
use crate::store::{PARTITIONS, Partition};
use crate::views::NumbersMut;
use crate::wake::{Callback, callback, ring};
use crate::write::{fill, fill_landed, fill_refused, origin_of, remember_refusal};

/// Bytes of batches that may wait, all loops together. A single larger one is taken when nothing else waits.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Work that may wait when a lookup comes: a connection has one at a time.
const QUEUE_LOOKUPS_MAX: usize = 1024;

/// Where one loop takes its outcomes.
struct Place {
    callback: Callback,
    inner: Mutex<Outcomes>,
}

#[derive(Default)]
struct Outcomes {
    ready: VecDeque<Outcome>,
    /// The loop has been called and has not taken everything since.
    is_told: bool,
}

struct Outcome {
    token: f64,
    result: Done,
}

enum Done {
    Append { log_start_offset: i64, result: Result<AppendOutcome, AppendError> },
    Lookup(OffsetLookup),
}

struct Job {
    place: Arc<Place>,
    token: f64,
    partition: Arc<Partition>,
    work: Work,
}

enum Work {
    Append { records: Vec<u8>, request: AppendRequest },
    Lookup { timestamp: i64, isolation: Isolation, asker: Asker },
}

impl Work {
    /// Bytes held while it waits and is done.
    fn bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.len(),
            Self::Lookup { .. } => 0,
        }
    }

    /// Does it. A failed check of our own is an outcome as well.
    fn run(&mut self, partition: &Partition) -> Done {
        match self {
            Self::Append { records, request } => {
                let result =
                    catch_unwind(AssertUnwindSafe(|| partition.log.append(records, request)))
                        .unwrap_or_else(|_| {
                            Err(AppendError {
                                code: KafkaCode::UNKNOWN_SERVER_ERROR,
                                message: "the native log failed an internal check".to_owned(),
                                record_errors: Vec::new(),
                            })
                        });
                let log_start_offset = partition.log.state().log_start_offset;
                Done::Append { log_start_offset, result }
            }
            Self::Lookup { timestamp, isolation, asker } => {
                let log = &partition.log;
                let look_up =
                    || log.offset_for_timestamp_within(*timestamp, *isolation, *asker, u64::MAX).0;
                Done::Lookup(catch_unwind(AssertUnwindSafe(look_up)).unwrap_or(OffsetLookup {
                    code: KafkaCode::UNKNOWN_SERVER_ERROR,
                    offset: -1,
                    timestamp: -1,
                    leader_epoch: -1,
                }))
            }
        }
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
}

/// The threads' work. They live as long as the process.
struct Workers {
    queue: Mutex<Queue>,
    has_work: Condvar,
    done: AtomicU64,
    refused: AtomicU64,
}

static PLACES: SlotTable<Arc<Place>> = SlotTable::new();
static WORKERS: OnceLock<Workers> = OnceLock::new();

/// One thread where the processors are few, so that a loop always finds one free.
fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, |count| (count.get() / 2).clamp(1, 2))
}

fn workers() -> &'static Workers {
    WORKERS.get_or_init(|| {
        for index in 0..thread_count() {
            // Without any thread the appends below wait for ever; a process that cannot start one has ended before.
            let _ = std::thread::Builder::new()
                .name(format!("sluice-inflate-{index}"))
                .spawn(|| work(workers()));
        }
        Workers {
            queue: Mutex::new(Queue::default()),
            has_work: Condvar::new(),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    })
}

fn work(workers: &Workers) {
    sluice_sys::lower_thread_priority();
    loop {
        let mut queue = workers.queue.lock();
        let Some(job) = queue.jobs.pop_front() else {
            workers.has_work.wait(&mut queue);
            continue;
        };
        drop(queue);
        let Job { place, token, partition, mut work } = job;
        let result = work.run(&partition);
        // Counted until it is done: what is being worked on is memory as well.
        workers.queue.lock().bytes -= work.bytes();
        workers.done.fetch_add(1, Ordering::Relaxed);
        drop(work);
        let mut outcomes = place.inner.lock();
        outcomes.ready.push_back(Outcome { token, result });
        let must_tell = !std::mem::replace(&mut outcomes.is_told, true);
        drop(outcomes);
        if must_tell {
            ring(&place.callback);
        }
    }
}

/// The queue at a moment, and what was counted since the process began.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LaterStatistics {
    /// Work that waits for a thread.
    waiting_count: usize,
    /// Bytes of batches that wait or are worked on.
    waiting_bytes: usize,
    done_count: u64,
    refused_count: u64,
}

pub(crate) fn later_statistics() -> LaterStatistics {
    let Some(workers) = WORKERS.get() else {
        return LaterStatistics {
            waiting_count: 0,
            waiting_bytes: 0,
            done_count: 0,
            refused_count: 0,
        };
    };
    let (waiting_count, waiting_bytes) = {
        let queue = workers.queue.lock();
        (queue.jobs.len(), queue.bytes)
    };
    LaterStatistics {
        waiting_count,
        waiting_bytes,
        done_count: workers.done.load(Ordering::Relaxed),
        refused_count: workers.refused.load(Ordering::Relaxed),
    }
}

/// Hands over what `job` makes, unless `is_full` says that too much waits.
fn hand_over(is_full: impl Fn(&Queue) -> bool, job: impl FnOnce() -> Job) -> bool {
    let workers = workers();
    let mut queue = workers.queue.lock();
    if is_full(&queue) {
        workers.refused.fetch_add(1, Ordering::Relaxed);
        return false;
    }
    let job = job();
    queue.bytes += job.work.bytes();
    queue.jobs.push_back(job);
    drop(queue);
    workers.has_work.notify_one();
    true
}

/// Opens a place for the outcomes of `appendLater` and `lookUpLater`: `done` runs on the calling thread when the first is there, and
/// not again before `takeAppended` has found none. It does not keep the event loop alive.
#[napi(catch_unwind)]
pub fn open_appender(done: Function<'_, (), ()>) -> Result<f64> {
    let place = Place { callback: callback(&done)?, inner: Mutex::new(Outcomes::default()) };
    PLACES.insert(Arc::new(place)).ok_or_else(|| invalid("too many appenders are open"))
}

/// Ends what `openAppender` began. Appends in progress go on; their outcomes are lost.
#[napi(catch_unwind)]
pub fn close_appender(appender_id: f64) {
    PLACES.remove(appender_id);
}

/// Appends as `append` does, on another thread and without a limit of inflated bytes. `records` is copied. The outcome comes with
/// `token` through `takeAppended`. Returns false, and does nothing, when too much waits already.
#[napi(catch_unwind)]
// Plain values cross from JavaScript without an object to read them from.
#[allow(clippy::too_many_arguments)]
pub fn append_later(
    appender_id: f64,
    token: f64,
    handle: f64,
    records: &[u8],
    leader_epoch: f64,
    acks: f64,
    origin: f64,
    now_ms: f64,
) -> Result<bool> {
    let place = PLACES.get(appender_id).ok_or_else(|| unknown("the appender"))?;
    let partition = PARTITIONS.get(handle).ok_or_else(|| unknown("the partition"))?;
    let request = AppendRequest {
        leader_epoch: leader_epoch as i32,
        acks: acks as i16,
        origin: origin_of(origin)?,
        now_ms: now_ms as i64,
    };
    let is_full = |queue: &Queue| queue.bytes > 0 && queue.bytes + records.len() > QUEUE_BYTES_MAX;
    Ok(hand_over(is_full, || {
        let work = Work::Append { records: records.to_vec(), request };
        Job { place, token, partition, work }
    }))
}

/// Looks up as `offsetForTimestamp` does, on another thread and without a limit of inflated bytes. The outcome comes with `token`
/// through `takeAppended`. Returns false, and does nothing, when too much waits already.
#[napi(catch_unwind)]
pub fn look_up_later(
    appender_id: f64,
    token: f64,
    handle: f64,
    timestamp: f64,
    isolation: f64,
    leader_epoch: f64,
) -> Result<bool> {
    let place = PLACES.get(appender_id).ok_or_else(|| unknown("the appender"))?;
    let partition = PARTITIONS.get(handle).ok_or_else(|| unknown("the partition"))?;
    let (isolation, leader_only) = isolation_of(isolation)?;
    let work = Work::Lookup {
        timestamp: timestamp as i64,
        isolation,
        asker: Asker { leader_epoch: leader_epoch as i32, leader_only },
    };
    let is_full = |queue: &Queue| queue.jobs.len() >= QUEUE_LOOKUPS_MAX;
    Ok(hand_over(is_full, || Job { place, token, partition, work }))
}

/// Takes one outcome. `out`: token, Kafka error code, then what `append` or `offsetForTimestamp` fills in. A refused append's words are
/// at `takeAppendErrors` until the next call. Returns false when there is none.
#[napi(catch_unwind)]
pub fn take_appended(
    appender_id: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<bool> {
    let place = PLACES.get(appender_id).ok_or_else(|| unknown("the appender"))?;
    let mut outcomes = place.inner.lock();
    let Some(Outcome { token, result }) = outcomes.ready.pop_front() else {
        outcomes.is_told = false;
        return Ok(false);
    };
    drop(outcomes);
    let code = match &result {
        Done::Append { result, .. } => {
            result.as_ref().map_or_else(|refusal| refusal.code, |_| KafkaCode::NONE)
        }
        Done::Lookup(found) => found.code,
    };
    fill(&mut out, &[token, f64::from(code.0)]);
    let columns = out.get_mut(2..).unwrap_or_default();
    match result {
        Done::Append { result: Ok(landed), .. } => fill_landed(columns, &landed, 0),
        Done::Append { log_start_offset, result: Err(refusal) } => {
            fill_refused(columns, &refusal, log_start_offset, 0);
            remember_refusal(refusal);
        }
        Done::Lookup(found) => fill_lookup(columns, &found),
    }
    Ok(true)
}
