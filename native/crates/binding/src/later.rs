//! Appends that take too long for an event loop: batches that inflate to more than a moment's work.
//!
//! An event loop hands such an append over with a token and goes on; one or two threads of the process do them in the order they
//! came, at a lower priority than the loops; the outcome waits in the loop's own place until the loop, told once, takes it. What
//! waits is bounded in bytes, whoever sent it: beyond that an append is refused, and its client told to try again.
//!
//! Two appends of one connection are never here together (its later requests wait), so the order of a producer's batches is kept.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::{Condvar, Mutex};
use sluice_log::{AppendError, AppendOutcome, AppendRequest, KafkaCode};

use crate::error::{Result, invalid, unknown};
use crate::slots::SlotTable;
use crate::store::{PARTITIONS, Partition};
use crate::views::NumbersMut;
use crate::wake::{Callback, callback, ring};
use crate::write::{fill, fill_landed, fill_refused, origin_of, remember_refusal};

/// Bytes of batches that may wait, all loops together. A single larger one is taken when nothing else waits.
const QUEUE_BYTES_MAX: usize = 32 << 20;

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
    log_start_offset: i64,
    result: Result<AppendOutcome, AppendError>,
}

struct Job {
    place: Arc<Place>,
    token: f64,
    partition: Arc<Partition>,
    records: Vec<u8>,
    request: AppendRequest,
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
        Workers { queue: Mutex::new(Queue::default()), has_work: Condvar::new() }
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
        let Job { place, token, partition, mut records, request } = job;
        let result =
            catch_unwind(AssertUnwindSafe(|| partition.log.append(&mut records, &request)))
                .unwrap_or_else(|_| {
                    Err(AppendError {
                        code: KafkaCode::UNKNOWN_SERVER_ERROR,
                        message: "the native log failed an internal check".to_owned(),
                        record_errors: Vec::new(),
                    })
                });
        let log_start_offset = partition.log.state().log_start_offset;
        // Counted until it is done: what is being worked on is memory as well.
        workers.queue.lock().bytes -= records.len();
        drop(records);
        let mut outcomes = place.inner.lock();
        outcomes.ready.push_back(Outcome { token, log_start_offset, result });
        let must_tell = !std::mem::replace(&mut outcomes.is_told, true);
        drop(outcomes);
        if must_tell {
            ring(&place.callback);
        }
    }
}

/// Opens a place for the outcomes of `appendLater`: `done` runs on the calling thread when the first is there, and not again
/// before `takeAppended` has found none. It does not keep the event loop alive.
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
    let workers = workers();
    let mut queue = workers.queue.lock();
    if queue.bytes > 0 && queue.bytes + records.len() > QUEUE_BYTES_MAX {
        return Ok(false);
    }
    queue.bytes += records.len();
    queue.jobs.push_back(Job { place, token, partition, records: records.to_vec(), request });
    drop(queue);
    workers.has_work.notify_one();
    Ok(true)
}

/// Takes one outcome. `out`: token, Kafka error code, then what `append` fills in. A refusal's words are at `takeAppendErrors` until
/// the next call. Returns false when there is none.
#[napi(catch_unwind)]
pub fn take_appended(
    appender_id: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<bool> {
    let place = PLACES.get(appender_id).ok_or_else(|| unknown("the appender"))?;
    let mut outcomes = place.inner.lock();
    let Some(Outcome { token, log_start_offset, result }) = outcomes.ready.pop_front() else {
        outcomes.is_told = false;
        return Ok(false);
    };
    drop(outcomes);
    let code = result.as_ref().map_or_else(|refusal| refusal.code.0, |_| 0);
    fill(&mut out, &[token, f64::from(code)]);
    let columns = out.get_mut(2..).unwrap_or_default();
    match result {
        Ok(landed) => fill_landed(columns, &landed, 0),
        Err(refusal) => {
            fill_refused(columns, &refusal, log_start_offset, 0);
            remember_refusal(refusal);
        }
    }
    Ok(true)
}
