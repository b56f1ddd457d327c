//! Being told that a socket can be read, where the event loop is not to read it.

use std::sync::{Arc, OnceLock};

use napi::bindgen_prelude::Function;
use napi_derive::napi;
use sluice_sys::{Outbox, Waiter};

use crate::error::{CodedError, Result, invalid, unknown};
use crate::slots::SlotTable;
use crate::views::NumbersMut;
use crate::wake::{callback, ring};

/// The process's one waiting thread; it lives as long as the process.
static WAITER: OnceLock<Waiter> = OnceLock::new();
static READY_PLACES: SlotTable<Arc<Outbox>> = SlotTable::new();

/// Opens a place for what `armWatch` tells; starts the waiting thread if it does not run yet. `ready` runs on the calling thread when the
/// first socket is ready, and not again before `drainReady`. It does not keep the event loop alive.
#[napi(catch_unwind)]
pub fn open_readiness(ready: Function<'_, (), ()>) -> Result<f64> {
    let callback = callback(&ready)?;
    if WAITER.get().is_none() {
        let started = Waiter::spawn().map_err(|error| {
            CodedError::new(
                sluice_log::LogError::IO,
                format!("the waiting thread does not start: {error}"),
            )
        })?;
        // Another Worker may have been faster; its thread is kept and ours ends.
        WAITER.get_or_init(|| started);
    }
    let outbox = Outbox::new(move || {
        ring(&callback);
    });
    READY_PLACES.insert(outbox).ok_or_else(|| invalid("too many places are open"))
}

/// Watches a socket, not armed yet; `token` comes back through `drainReady`. Returns the key of the watch; 0 when the system refuses. The
/// socket stays open until `unwatchSocket`, whoever closes it.
#[napi(catch_unwind)]
pub fn watch_socket(readiness_id: f64, fd: f64, token: f64) -> Result<f64> {
    match (WAITER.get(), READY_PLACES.get(readiness_id)) {
        (Some(waiter), Some(outbox)) => {
            Ok(waiter.watch(fd as i32, token as u64, &outbox).map_or(0.0, |key| key as f64))
        }
        _ => Err(unknown("the readiness")),
    }
}

/// Tells once when `low_bytes` can be read (0: the frame that begins there, as far as it is waited for whole), or the connection has ended; at once if it is so now. `false` when the system refuses.
#[napi(catch_unwind)]
pub fn arm_watch(key: f64, low_bytes: f64) -> bool {
    WAITER.get().is_some_and(|waiter| waiter.arm(key as u64, low_bytes as i32).is_ok())
}

/// Ends a watch. Its token may come back once more.
#[napi(catch_unwind)]
pub fn unwatch_socket(key: f64) {
    if let Some(waiter) = WAITER.get() {
        waiter.unwatch(key as u64);
    }
}

/// Sockets watched in this process.
#[napi(catch_unwind)]
pub fn watched_socket_count() -> f64 {
    WAITER.get().map_or(0.0, |waiter| waiter.count() as f64)
}

/// Takes tokens of sockets that are ready, as many as `out` holds, and returns how many. Call until fewer come than fit.
#[napi(catch_unwind)]
pub fn drain_ready(
    readiness_id: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<f64> {
    let outbox = READY_PLACES.get(readiness_id).ok_or_else(|| unknown("the readiness"))?;
    let max = out.len();
    let mut places = out.iter_mut();
    let count = outbox.drain(max, |token, _| {
        if let Some(place) = places.next() {
            *place = token as f64;
        }
    });
    Ok(count as f64)
}
