//! One partition's log.

use std::sync::Arc;

use crate::config::LogConfig;
use crate::error::{AppendError, KafkaCode, LogError};
use crate::types::{
    AppendOutcome, AppendRequest, EpochEndOffset, Isolation, LogListener, OffsetLookup, PartitionState, ProducerDescription,
    ReadPlan, ReadRequest, TopicId,
};

/// One partition's log. All methods take `&self`; a mutex per partition, none across partitions.
pub struct PartitionLog {}

#[allow(clippy::unused_self)]
impl PartitionLog {
    /// Its topic.
    pub fn topic(&self) -> &str {
        ""
    }

    /// Its index in the topic.
    pub fn partition(&self) -> i32 {
        0
    }

    /// Its topic's id.
    pub fn topic_id(&self) -> TopicId {
        TopicId::ZERO
    }

    /// Path of the log directory (not the partition's own) that it is in.
    pub fn directory(&self) -> String {
        String::new()
    }

    /// Why it is neither read nor written, if so.
    pub fn quarantined(&self) -> Option<String> {
        None
    }

    /// Replaces the settings; the next append, roll and retention pass use them.
    pub fn configure(&self, config: LogConfig) {
        let _ = config;
    }

    /// Registers a listener for as long as the log lives.
    pub fn add_listener(&self, listener: Arc<dyn LogListener>) {
        let _ = listener;
    }

    /// This replica leads from `leader_epoch` on.
    pub fn set_leader(&self, leader_epoch: i32) -> Result<(), LogError> {
        let _ = leader_epoch;
        Ok(())
    }

    /// This replica follows under `leader_epoch`: only raw appends are taken.
    pub fn set_follower(&self, leader_epoch: i32) -> Result<(), LogError> {
        let _ = leader_epoch;
        Ok(())
    }

    /// Whether the high watermark follows the log end (a single replica; the default) or `set_high_watermark`.
    pub fn set_high_watermark_follows_log_end(&self, follows: bool) {
        let _ = follows;
    }

    /// Moves the high watermark, bounded by log start and log end; returns where it is now.
    pub fn set_high_watermark(&self, offset: i64) -> i64 {
        offset
    }

    /// Checks, patches in place and writes record batches.
    ///
    /// # Errors
    /// A refusal to answer the client with; see [`AppendError`].
    pub fn append(&self, records: &mut [u8], request: &AppendRequest) -> Result<AppendOutcome, AppendError> {
        let _ = (records, request);
        Err(AppendError::new(KafkaCode::UNKNOWN_SERVER_ERROR, "being written"))
    }

    /// Finds the bytes to send. Never copies.
    pub fn read(&self, request: &ReadRequest) -> ReadPlan {
        let _ = request;
        ReadPlan {
            code: KafkaCode::UNKNOWN_SERVER_ERROR,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            slice: None,
            diverging: None,
            aborted: None,
        }
    }

    /// Offset of the first record at or after `timestamp`, or a special: -1 latest (by isolation), -2 earliest, -3 record with the
    /// largest timestamp, -4 earliest local, -5 latest tiered.
    pub fn offset_for_timestamp(&self, timestamp: i64, isolation: Isolation, leader_epoch: i32) -> OffsetLookup {
        let _ = (timestamp, isolation, leader_epoch);
        OffsetLookup { code: KafkaCode::UNKNOWN_SERVER_ERROR, offset: -1, timestamp: -1, leader_epoch: -1 }
    }

    /// Where `epoch` ends, for a caller that knows `current_leader_epoch` (-1: any).
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR, UNKNOWN_TOPIC_OR_PARTITION.
    pub fn end_offset_for_epoch(&self, current_leader_epoch: i32, epoch: i32) -> Result<EpochEndOffset, KafkaCode> {
        let _ = (current_leader_epoch, epoch);
        Err(KafkaCode::UNKNOWN_SERVER_ERROR)
    }

    /// Offsets and sizes now.
    pub fn state(&self) -> PartitionState {
        PartitionState {
            log_start_offset: 0,
            log_end_offset: 0,
            high_watermark: 0,
            last_stable_offset: 0,
            flushed_offset: 0,
            size_bytes: 0,
            leader_epoch: -1,
            segment_count: 0,
        }
    }

    /// Moves the log start offset up to `offset` (-1: the high watermark); returns the low watermark.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE beyond the high watermark, KAFKA_STORAGE_ERROR.
    pub fn delete_records(&self, offset: i64) -> Result<i64, KafkaCode> {
        Ok(offset)
    }

    /// Cuts the log so that it ends at `offset`; nothing when it ends before.
    pub fn truncate_to(&self, offset: i64) -> Result<(), LogError> {
        let _ = offset;
        Ok(())
    }

    /// Drops everything; the log is empty and starts at `offset`.
    pub fn truncate_fully_and_start_at(&self, offset: i64) -> Result<(), LogError> {
        let _ = offset;
        Ok(())
    }

    /// Asks the directory's fsync thread to make all that was appended durable; listeners are told.
    pub fn request_sync(&self) {}

    /// Makes all that was appended durable before it returns.
    pub fn flush(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// Producers the partition remembers.
    pub fn producers(&self) -> Vec<ProducerDescription> {
        vec![]
    }
}
