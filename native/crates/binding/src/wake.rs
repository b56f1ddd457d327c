//! Waking Workers when a partition moves.
//!
//! A Worker that waits for a partition sets its bit in one of the partition's watch words: one for the log end, which followers wait
//! for, and one for all that the others do. A change takes the word it is about, puts the
//! partition's handle into the queue of each Worker named in it, and calls the Worker if nobody has since it last drained. So
//! an append to a partition that nobody watches costs one atomic swap, and a burst of changes costs each Worker one call.
//!
//! Watches are one-shot. Set the watch first and look at the partition's state after it: a change in between is then seen
//! by one of the two.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use parking_lot::{Mutex, RwLock};
use sluice_log::contention::Contention;
use sluice_log::{Change, LogListener};

use crate::error::{Result, invalid, unknown};
use crate::store::PARTITIONS;
use crate::views::NumbersMut;

/// Workers that may watch at a time: bits of a partition's watch word.
const WAKER_COUNT: usize = 64;

/// Calls into one Worker; weak, so that it does not keep the Worker's event loop alive.
pub(crate) type Callback = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Makes a callback of a JavaScript function without arguments.
pub(crate) fn callback(function: &Function<'_, (), ()>) -> Result<Callback> {
    function
        .build_threadsafe_function()
        .callee_handled::<false>()
        .weak::<true>()
        .build()
        .map_err(|error| invalid(error.reason.clone()))
}

/// Calls back without waiting; `false` when the Worker is gone.
pub(crate) fn ring(callback: &Callback) -> bool {
    callback.call((), ThreadsafeFunctionCallMode::NonBlocking) != Status::Closing
}

struct Waker {
    callback: Callback,
    /// Handles of partitions that moved, oldest first.
    moved: Mutex<VecDeque<f64>>,
    /// The Worker has been called and has not drained since.
    is_told: AtomicBool,
}

/// Waits for the queue of a Worker.
pub(crate) static MOVED: Contention = Contention::new();

static WAKERS: RwLock<[Option<Arc<Waker>>; WAKER_COUNT]> =
    RwLock::new([const { None }; WAKER_COUNT]);

thread_local! {
    static WOKEN_COUNT: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work` and returns how many Workers it woke from this thread.
pub(crate) fn counting_woken<T>(work: impl FnOnce() -> T) -> (T, u32) {
    WOKEN_COUNT.set(0);
    let outcome = work();
    (outcome, WOKEN_COUNT.get())
}

/// The watch words of one partition, told by its log.
pub(crate) struct Watches {
    handle: f64,
    /// Workers that wait for the log end.
    of_end: AtomicU64,
    /// Workers that wait for what is committed.
    of_committed: AtomicU64,
}

/// Takes a watch word. A plain load first: most changes find nobody, and a load does not take the cache line away from others.
fn take(word: &AtomicU64) -> u64 {
    if word.load(Ordering::SeqCst) == 0 { 0 } else { word.swap(0, Ordering::SeqCst) }
}

impl Watches {
    pub(crate) fn new(handle: f64) -> Self {
        Self { handle, of_end: AtomicU64::new(0), of_committed: AtomicU64::new(0) }
    }
}

impl LogListener for Watches {
    fn on_change(&self, change: Change) {
        let mut workers = 0;
        if change != Change::Committed {
            workers |= take(&self.of_end);
        }
        if change != Change::LogEnd {
            workers |= take(&self.of_committed);
        }
        if workers == 0 {
            return;
        }
        let mut gone = 0_u64;
        let wakers = WAKERS.read();
        while workers != 0 {
            let index = workers.trailing_zeros() as usize;
            workers &= workers - 1;
            let Some(Some(waker)) = wakers.get(index) else { continue };
            MOVED.lock(&waker.moved).push_back(self.handle);
            WOKEN_COUNT.set(WOKEN_COUNT.get() + 1);
            if !waker.is_told.swap(true, Ordering::SeqCst) && !ring(&waker.callback) {
                gone |= 1 << index;
            }
        }
        drop(wakers);
        if gone != 0 {
            forget(gone);
        }
    }
}

/// Frees the places of Workers that ended without `closeWaker`.
fn forget(gone: u64) {
    for (index, place) in WAKERS.write().iter_mut().enumerate() {
        // The place may be another Worker's by now: only one that still cannot be called is freed.
        if gone & (1 << index) != 0 && place.as_ref().is_some_and(|waker| !ring(&waker.callback)) {
            *place = None;
        }
    }
}

/// Place of a worker id; a number that cannot be one is none.
fn index_of(worker_id: f64) -> Result<usize> {
    let index = worker_id as usize;
    if worker_id >= 0.0 && index < WAKER_COUNT {
        Ok(index)
    } else {
        Err(unknown(&format!("worker {worker_id}")))
    }
}

fn waker_of(worker_id: f64) -> Result<Arc<Waker>> {
    WAKERS
        .read()
        .get(index_of(worker_id)?)
        .and_then(Clone::clone)
        .ok_or_else(|| unknown(&format!("worker {worker_id}")))
}

/// Registers the calling thread: `wake` runs on it after a watched partition moved, once until `drainWakes` is called.
/// Returns the thread's worker id. The callback does not keep the event loop alive.
#[napi(catch_unwind)]
pub fn open_waker(wake: Function<'_, (), ()>) -> Result<f64> {
    let waker = Arc::new(Waker {
        callback: callback(&wake)?,
        moved: Mutex::new(VecDeque::new()),
        is_told: AtomicBool::new(false),
    });
    let mut wakers = WAKERS.write();
    for (index, place) in wakers.iter_mut().enumerate() {
        if place.is_none() {
            *place = Some(waker);
            return Ok(index as f64);
        }
    }
    Err(invalid(format!("{WAKER_COUNT} threads are watching already")))
}

/// Ends what `openWaker` began; the worker id is free for another thread.
#[napi(catch_unwind)]
pub fn close_waker(worker_id: f64) -> Result<()> {
    let index = index_of(worker_id)?;
    if let Some(place) = WAKERS.write().get_mut(index) {
        *place = None;
    }
    Ok(())
}

/// Wakes the worker once when the partition's high watermark, flushed offset, log start offset or role changes. Look at the
/// partition's state after this call, not before: then no change is missed. A stale handle wakes at once.
#[napi(catch_unwind)]
pub fn watch(handle: f64, worker_id: f64) -> Result<()> {
    let worker = 1 << index_of(worker_id)?;
    watch_with(handle, |watches| watches.of_committed.fetch_or(worker, Ordering::SeqCst));
    Ok(())
}

/// As `watch`, for the log end offset in place of the high watermark and the flushed offset.
#[napi(catch_unwind)]
pub fn watch_log_end(handle: f64, worker_id: f64) -> Result<()> {
    let worker = 1 << index_of(worker_id)?;
    watch_with(handle, |watches| watches.of_end.fetch_or(worker, Ordering::SeqCst));
    Ok(())
}

fn watch_with(handle: f64, set: impl Fn(&Watches) -> u64) {
    if let Some(partition) = PARTITIONS.get(handle) {
        set(&partition.watches);
    } else {
        let gone = Watches::new(handle);
        set(&gone);
        gone.on_change(Change::Everything);
    }
}

/// Takes the handles of watched partitions that moved, as many as `handles` holds, and returns how many. Call until fewer
/// come than fit.
#[napi(catch_unwind)]
pub fn drain_wakes(
    worker_id: f64,
    #[napi(ts_arg_type = "Float64Array")] mut handles: NumbersMut<'_>,
) -> Result<f64> {
    let waker = waker_of(worker_id)?;
    let mut moved = waker.moved.lock();
    waker.is_told.store(false, Ordering::SeqCst);
    let count = moved.len().min(handles.len());
    for (place, handle) in handles.iter_mut().zip(moved.drain(..count)) {
        *place = handle;
    }
    Ok(count as f64)
}
