//! Roles of partitions with several replicas, and what followers do. `src/log/replication.ts` says what it means.

use napi_derive::napi;
use sluice_log::{KafkaCode, ReplicaBroker, ReplicaRole, Replication};

use crate::error::{Result, coded};
use crate::store::{PARTITIONS, parse, partition_of, store_of};
use crate::views::{BytesMut, NumbersMut};
use crate::write::{fill, remember_refusal};

const HEAD_COLUMNS: usize = 12;
const FOLLOWER_COLUMNS: usize = 6;

fn code(code: KafkaCode) -> f64 {
    f64::from(code.0)
}

/// This replica leads the partition from `leaderEpoch` on: alone, or as `replicationJson` says: `{ partitionEpoch, nodeId, replicas, isr,
/// lagTimeMaxMs, nowMs }`. Throws with `code` INVALID_ARGUMENT for an epoch older than the one in force.
#[napi(catch_unwind)]
pub fn set_leader(handle: f64, leader_epoch: f64, replication_json: Option<String>) -> Result<()> {
    let replication: Option<Replication> =
        replication_json.map(|json| parse(&json, "replication")).transpose().map_err(coded)?;
    partition_of(handle)?.log.lead(leader_epoch as i32, replication.as_ref()).map_err(coded)
}

/// This replica follows `leaderId` (-1: nobody leads) under `leaderEpoch`. Throws with `code` INVALID_ARGUMENT for an epoch older than
/// the one in force.
#[napi(catch_unwind)]
pub fn set_follower(handle: f64, leader_epoch: f64, leader_id: f64) -> Result<()> {
    partition_of(handle)?.log.follow(leader_epoch as i32, leader_id as i32).map_err(coded)
}

/// Counts brokers to the maximal ISR; false where the partition is not led at these epochs.
#[napi(catch_unwind)]
pub fn set_pending_isr(
    handle: f64,
    leader_epoch: f64,
    partition_epoch: f64,
    additions: Vec<i32>,
    now_ms: f64,
) -> Result<bool> {
    Ok(partition_of(handle)?.log.set_pending_isr(
        leader_epoch as i32,
        partition_epoch as i32,
        &additions,
        now_ms as i64,
    ))
}

/// Replaces what all leaders of the store know of brokers: `[{ id, epoch, isEligible }]` as JSON.
#[napi(catch_unwind)]
pub fn set_brokers(store_id: f64, brokers_json: String) -> Result<()> {
    let brokers: Vec<ReplicaBroker> = parse(&brokers_json, "brokers").map_err(coded)?;
    store_of(store_id)?.set_brokers(&brokers);
    Ok(())
}

/// Appends batches of the leader as they are and takes over its high watermark and log start offset (-1: unknown). Returns a Kafka error
/// code; `out`: log end offset, high watermark, log start offset, epoch of the last record.
#[napi(catch_unwind)]
pub fn follower_append(
    handle: f64,
    #[napi(ts_arg_type = "Uint8Array")] mut records: BytesMut<'_>,
    leader_epoch: f64,
    high_watermark: f64,
    log_start_offset: f64,
    now_ms: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> f64 {
    let Some(partition) = PARTITIONS.get(handle) else {
        return code(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    let outcome = partition.log.append_from_leader(
        &mut records,
        leader_epoch as i32,
        high_watermark as i64,
        log_start_offset as i64,
        now_ms as i64,
    );
    match outcome {
        Ok(now) => {
            let offsets = [now.log_end_offset, now.high_watermark, now.log_start_offset];
            fill(&mut out, &offsets.map(|offset| offset as f64));
            fill(out.get_mut(3..).unwrap_or_default(), &[f64::from(now.last_epoch)]);
            0.0
        }
        Err(refusal) => {
            let refused = code(refusal.code);
            remember_refusal(refusal);
            refused
        }
    }
}

/// Cuts a follower's log so that it ends at `offset`. Returns a Kafka error code.
#[napi(catch_unwind)]
pub fn follower_truncate(handle: f64, leader_epoch: f64, offset: f64) -> f64 {
    PARTITIONS
        .get(handle)
        .ok_or(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION)
        .and_then(|partition| {
            partition.log.truncate_as_follower(leader_epoch as i32, offset as i64)
        })
        .map_or_else(code, |()| 0.0)
}

/// Drops all of a follower's log, which then starts at `offset`. Returns a Kafka error code.
#[napi(catch_unwind)]
pub fn follower_start_at(handle: f64, leader_epoch: f64, offset: f64) -> f64 {
    PARTITIONS
        .get(handle)
        .ok_or(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION)
        .and_then(|partition| {
            partition.log.start_over_as_follower(leader_epoch as i32, offset as i64)
        })
        .map_or_else(code, |()| 0.0)
}

/// A partition's replicas at one moment; the columns are those of `ReplicationHead` and `FollowerColumn` in `src/log/replication.ts`. Returns
/// 0, or 3 for a stale handle.
#[napi(catch_unwind)]
pub fn replication_state(
    handle: f64,
    now_ms: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> f64 {
    let Some(partition) = PARTITIONS.get(handle) else {
        return code(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    let state = partition.log.replication_state(now_ms as i64);
    let role = match state.role {
        ReplicaRole::Alone => 0.0,
        ReplicaRole::Leader => 1.0,
        ReplicaRole::Follower => 2.0,
    };
    let room = out.len().saturating_sub(HEAD_COLUMNS) / FOLLOWER_COLUMNS;
    fill(
        &mut out,
        &[
            role,
            f64::from(state.leader_epoch),
            f64::from(state.partition_epoch),
            state.log_end_offset as f64,
            state.high_watermark as f64,
            state.epoch_start_offset as f64,
            state.isr_size as f64,
            state.min_isr as f64,
            f64::from(state.leader_id),
            state.followers.len().min(room) as f64,
            state.log_start_offset as f64,
            f64::from(state.last_epoch),
        ],
    );
    let rows = out.get_mut(HEAD_COLUMNS..).unwrap_or_default();
    for (row, follower) in rows.chunks_exact_mut(FOLLOWER_COLUMNS).zip(&state.followers) {
        let flags =
            [follower.is_in_sync, follower.is_pending, follower.qualifies, follower.is_caught_up];
        let bits = flags
            .iter()
            .enumerate()
            .fold(0_u8, |bits, (at, is_set)| bits | (u8::from(*is_set) << at));
        fill(
            row,
            &[
                f64::from(follower.id),
                follower.log_end_offset as f64,
                follower.log_start_offset as f64,
                follower.last_caught_up_ms as f64,
                follower.broker_epoch as f64,
                f64::from(bits),
            ],
        );
    }
    0.0
}
