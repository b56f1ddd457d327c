//! What is known of a partition: offsets by time and by epoch, its offsets and sizes now, its names.

use napi_derive::napi;
use sluice_log::{Asker, KafkaCode, OffsetLookup};

use crate::error::Result;
use crate::read::isolation_of;
use crate::store::{PARTITIONS, partition_of};
use crate::views::NumbersMut;
use crate::write::fill;

/// Offset of the first record at or after `timestamp`, or of a special: -1 latest, -2 earliest, -3 largest timestamp, -4 earliest
/// local, -5 latest tiered. At most `inline_bytes` of batches, inflated, are walked; beyond, the answer is -32768 and `lookUpLater`
/// is for it. Returns a Kafka error code; `out`: offset, timestamp, leader epoch, each -1 for none, and the bytes walked.
#[napi(catch_unwind)]
pub fn offset_for_timestamp(
    handle: f64,
    timestamp: f64,
    isolation: f64,
    leader_epoch: f64,
    inline_bytes: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<f64> {
    let (isolation, leader_only) = isolation_of(isolation)?;
    let Some(partition) = PARTITIONS.get(handle) else {
        fill(&mut out, &[-1.0, -1.0, -1.0, 0.0]);
        return Ok(f64::from(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION.0));
    };
    let (found, walked_bytes) = partition.log.offset_for_timestamp_within(
        timestamp as i64,
        isolation,
        Asker { leader_epoch: leader_epoch as i32, leader_only },
        inline_bytes as u64,
    );
    fill_lookup(&mut out, &found);
    fill(out.get_mut(3..).unwrap_or_default(), &[walked_bytes as f64]);
    Ok(f64::from(found.code.0))
}

/// Offset, timestamp and leader epoch of a lookup.
pub(crate) fn fill_lookup(out: &mut [f64], found: &OffsetLookup) {
    fill(out, &[found.offset as f64, found.timestamp as f64, f64::from(found.leader_epoch)]);
}

/// Where a leader epoch ends. Returns a Kafka error code; `out`: epoch, end offset.
#[napi(catch_unwind)]
pub fn end_offset_for_epoch(
    handle: f64,
    current_leader_epoch: f64,
    epoch: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> f64 {
    let outcome =
        PARTITIONS.get(handle).ok_or(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION).and_then(|partition| {
            partition.log.end_offset_for_epoch(current_leader_epoch as i32, epoch as i32)
        });
    match outcome {
        Ok(end) => {
            fill(&mut out, &[f64::from(end.epoch), end.end_offset as f64]);
            0.0
        }
        Err(code) => {
            fill(&mut out, &[-1.0, -1.0]);
            f64::from(code.0)
        }
    }
}

/// Offsets and sizes now. Returns 0 or 3 for a stale handle; `out`: log start, log end, high watermark, last stable, flushed,
/// size in bytes, leader epoch, segment count, code with which writes are refused (0: they are not), first epoch of this leadership
/// without a break (-1 where nothing was said, 2^31 - 1 for a follower), 1 when the ISR is smaller than acks=all asks, first offset
/// that a replica which lives still has.
#[napi(catch_unwind)]
pub fn partition_state(
    handle: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> f64 {
    let Some(partition) = PARTITIONS.get(handle) else {
        return f64::from(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION.0);
    };
    let state = partition.log.state();
    fill(
        &mut out,
        &[
            state.log_start_offset as f64,
            state.log_end_offset as f64,
            state.high_watermark as f64,
            state.last_stable_offset as f64,
            state.flushed_offset as f64,
            state.size_bytes as f64,
            f64::from(state.leader_epoch),
            state.segment_count as f64,
            partition.log.write_refusal().map_or(0.0, |code| f64::from(code.0)),
            f64::from(state.leader_since),
            f64::from(u8::from(state.is_under_min_isr)),
            state.low_watermark as f64,
        ],
    );
    0.0
}

/// Topic, index, id and directory of a partition as JSON.
#[napi(catch_unwind)]
pub fn describe_partition(handle: f64) -> Result<String> {
    let partition = partition_of(handle)?;
    Ok(serde_json::json!({
        "topic": partition.log.topic(),
        "partition": partition.log.partition(),
        "topicId": partition.log.topic_id().to_string(),
        "dir": partition.log.directory(),
        "quarantined": partition.log.quarantined(),
    })
    .to_string())
}
