//! Appending, and the other calls that change a partition.

use std::cell::RefCell;

use napi_derive::napi;
use serde::Serialize;
use sluice_log::{
    AppendError, AppendLimits, AppendOutcome, AppendRequest, KafkaCode, Origin, RecordError,
};

use crate::error::{Result, invalid};
use crate::store::PARTITIONS;
use crate::views::{BytesMut, NumbersMut};
use crate::wake::counting_woken;

thread_local! {
    static LAST_REFUSAL: RefCell<Option<AppendError>> = const { RefCell::new(None) };
}

/// Writes results into the caller's array; a shorter array takes what fits.
pub(crate) fn fill(out: &mut [f64], values: &[f64]) {
    for (place, value) in out.iter_mut().zip(values) {
        *place = *value;
    }
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Bytes a batch may inflate to on the thread that appends it, an event loop: a millisecond or so of work.
const INLINE_BYTES: u64 = 1 << 20;

pub(crate) fn origin_of(origin: f64) -> Result<Origin> {
    match origin as i32 {
        0 => Ok(Origin::Client),
        1 => Ok(Origin::Coordinator),
        2 => Ok(Origin::RawFollower),
        other => Err(invalid(format!("origin {other} is unknown"))),
    }
}

/// The columns of an append that landed.
pub(crate) fn fill_landed(out: &mut [f64], landed: &AppendOutcome, woken_count: u32) {
    fill(
        out,
        &[
            landed.base_offset as f64,
            landed.last_offset as f64,
            landed.append_time_ms as f64,
            landed.log_start_offset as f64,
            flag(landed.await_sync) + 2.0 * flag(landed.await_replication),
            0.0,
            f64::from(woken_count),
        ],
    );
}

/// The columns of an append that was refused.
pub(crate) fn fill_refused(
    out: &mut [f64],
    refusal: &AppendError,
    log_start_offset: i64,
    woken_count: u32,
) {
    let count = refusal.record_errors.len() as f64;
    fill(out, &[-1.0, -1.0, -1.0, log_start_offset as f64, 0.0, count, f64::from(woken_count)]);
}

/// Keeps the words of a refusal for `takeAppendErrors` on this thread.
pub(crate) fn remember_refusal(refusal: AppendError) {
    LAST_REFUSAL.with_borrow_mut(|last| *last = Some(refusal));
}

/// Appends record batches and returns a Kafka error code.
///
/// `records` is validated and patched in place (base offset, leader epoch, max timestamp) and written; it is not kept.
/// `leaderEpoch` -1 takes any; `acks` as in Produce; `origin` 0 client, 1 coordinator, 2 raw follower.
/// `out`: base offset, last offset, append time in ms or -1, log start offset, what the answer must wait for (1 until the flushed
/// offset, 2 until the high watermark, 3 until both are beyond the last offset), count of record errors (see `takeAppendErrors`),
/// workers woken.
#[napi(catch_unwind)]
// Plain values cross from JavaScript without an object to read them from.
#[allow(clippy::too_many_arguments)]
pub fn append(
    handle: f64,
    #[napi(ts_arg_type = "Uint8Array")] mut records: BytesMut<'_>,
    leader_epoch: f64,
    acks: f64,
    origin: f64,
    now_ms: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<f64> {
    let Some(partition) = PARTITIONS.get(handle) else {
        fill(&mut out, &[-1.0, -1.0, -1.0, -1.0, 0.0, 0.0, 0.0]);
        return Ok(f64::from(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION.0));
    };
    let origin = origin_of(origin)?;
    let request = AppendRequest {
        leader_epoch: leader_epoch as i32,
        acks: acks as i16,
        origin,
        now_ms: now_ms as i64,
    };
    let limits = AppendLimits {
        inline_bytes: if origin == Origin::Client { INLINE_BYTES } else { u64::MAX },
    };
    let (outcome, woken_count) =
        counting_woken(|| partition.log.append_within(&mut records, &request, &limits));
    match outcome {
        Ok(landed) => {
            fill_landed(&mut out, &landed, woken_count);
            Ok(0.0)
        }
        Err(refusal) => {
            let log_start_offset = partition.log.state().log_start_offset;
            fill_refused(&mut out, &refusal, log_start_offset, woken_count);
            let code = refusal.code.0;
            remember_refusal(refusal);
            Ok(f64::from(code))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    message: String,
    record_errors: Vec<RecordError>,
}

/// Why this thread's last refused append was refused: `{ message, recordErrors: [{ batchIndex, message }] }` as JSON. A second
/// call finds nothing: an empty message.
#[napi(catch_unwind)]
pub fn take_append_errors() -> Result<String> {
    let refusal = LAST_REFUSAL.with_borrow_mut(Option::take).map_or_else(
        || Refusal { message: String::new(), record_errors: Vec::new() },
        |refusal| Refusal { message: refusal.message, record_errors: refusal.record_errors },
    );
    serde_json::to_string(&refusal).map_err(|error| invalid(error.to_string()))
}

/// Moves the log start offset up to `offset` (-1: the high watermark). Returns a Kafka error code; `out[0]` is the new low
/// watermark.
#[napi(catch_unwind)]
pub fn delete_records(
    handle: f64,
    offset: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> f64 {
    let outcome = PARTITIONS
        .get(handle)
        .ok_or(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION)
        .and_then(|partition| partition.log.delete_records(offset as i64));
    match outcome {
        Ok(low_watermark) => {
            fill(&mut out, &[low_watermark as f64]);
            0.0
        }
        Err(code) => {
            fill(&mut out, &[-1.0]);
            f64::from(code.0)
        }
    }
}

/// Cuts the log so that it ends at `offset`; nothing when it ends before. Returns a Kafka error code.
#[napi(catch_unwind)]
pub fn truncate_to(handle: f64, offset: f64) -> f64 {
    let Some(partition) = PARTITIONS.get(handle) else {
        return f64::from(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION.0);
    };
    match partition.log.truncate_to(offset as i64) {
        Ok(()) => 0.0,
        Err(error) => f64::from(error.kafka_code().0),
    }
}
