//! Values that cross the crate's border: requests, outcomes, reports. Offsets, timestamps and sizes are `i64`, as on the wire.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::KafkaCode;
use crate::io::StoreFile;

/// A topic id: 16 bytes, shown as 22 characters of URL-safe base64 without padding, as Kafka does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// Sixteen zero bytes: "no id".
    pub const ZERO: Self = Self([0; 16]);

    /// Reads the 22-character form; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0u8; 16];
        let mut bits: u32 = 0;
        let mut bit_count = 0;
        let mut at = 0;
        if text.len() != 22 {
            return None;
        }
        for character in text.bytes() {
            let value = BASE64_URL.iter().position(|&c| c == character)? as u32;
            bits = (bits << 6) | value;
            bit_count += 6;
            if bit_count >= 8 {
                bit_count -= 8;
                *bytes.get_mut(at)? = (bits >> bit_count) as u8;
                bits &= (1 << bit_count) - 1;
                at += 1;
            }
        }
        (at == 16).then_some(Self(bytes))
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(22);
        let mut bits: u32 = 0;
        let mut bit_count = 0;
        for byte in self.0 {
            bits = (bits << 8) | u32::from(byte);
            bit_count += 8;
            while bit_count >= 6 {
                bit_count -= 6;
                push_base64(&mut text, bits >> bit_count);
            }
            bits &= (1 << bit_count) - 1;
        }
        push_base64(&mut text, bits << (6 - bit_count));
        f.write_str(&text)
    }
}

fn push_base64(text: &mut String, value: u32) {
    if let Some(&character) = BASE64_URL.get((value & 63) as usize) {
        text.push(char::from(character));
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// Who appends: decides which checks apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: one batch, everything checked.
    Client,
    /// A coordinator of this broker: control batches and several batches are allowed.
    Coordinator,
    /// A follower copying its leader: offsets, epochs and bytes are kept.
    RawFollower,
}

/// What one append asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendRequest {
    /// Epoch under which the caller believes it leads; -1 takes any.
    pub leader_epoch: i32,
    /// 0, 1 or -1 as in Produce.
    pub acks: i16,
    /// Who appends.
    pub origin: Origin,
    /// The broker's clock.
    pub now_ms: i64,
}

/// What the caller of an append cannot do. What is refused for it (`KafkaCode::NOT_INLINE`) changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendLimits {
    /// Bytes that a batch may inflate to on this thread to be checked; a sixteenth of it to be compressed again.
    pub inline_bytes: u64,
}

impl AppendLimits {
    /// Everything is taken.
    pub const NONE: Self = Self { inline_bytes: u64::MAX };
}

/// Where an append landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Offset of the first record; for a duplicate, that of the first time.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Broker time when `LogAppendTime`, else -1.
    pub append_time_ms: i64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// The answer must wait until the flushed offset is beyond `last_offset`; the fsync was requested already.
    pub await_sync: bool,
    /// The answer must wait until the high watermark is beyond `last_offset`.
    pub await_replication: bool,
    /// The batch was there already; nothing was written.
    pub is_duplicate: bool,
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset; aborted transactions are listed.
    ReadCommitted,
    /// Up to the log end: followers and the broker itself.
    LogEnd,
}

/// What one read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest {
    /// First offset wanted.
    pub offset: i64,
    /// Most bytes to return; whole batches only.
    pub max_bytes: i64,
    /// Return the first batch even when it is larger than `max_bytes`.
    pub min_one_message: bool,
    /// How far the reader may see.
    pub isolation: Isolation,
    /// Leader epoch the caller knows; -1 for none.
    pub current_leader_epoch: i32,
    /// Epoch of the last record the caller has; -1 for none (KIP-595's diverging epoch check).
    pub last_fetched_epoch: i32,
    /// Only the leader may answer.
    pub leader_only: bool,
    /// The follower that asks.
    pub replica: Option<ReplicaFetch>,
}

/// Part of a segment file: bytes that can be sent without being copied. The file stays open as long as the slice lives, even
/// when the segment is deleted meanwhile. A truncation can make it shorter: read what is there and send no more.
#[derive(Clone)]
pub struct FileSlice {
    /// The open segment. `as_file()` gives the descriptor for sendfile; `None` for a store in memory.
    pub file: Arc<dyn StoreFile>,
    /// First byte.
    pub position: u64,
    /// Number of bytes.
    pub length: u64,
}

impl FileSlice {
    /// Copies bytes from `from` bytes into the slice; returns how many, fewer only at the slice's or the file's end.
    pub fn read_into(&self, from: u64, into: &mut [u8]) -> std::io::Result<usize> {
        let want =
            usize::try_from(self.length.saturating_sub(from)).unwrap_or(usize::MAX).min(into.len());
        let Some(target) = into.get_mut(..want) else { return Ok(0) };
        crate::io::read_full(&*self.file, target, self.position + from)
    }
}

impl fmt::Debug for FileSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSlice({}+{})", self.position, self.length)
    }
}

/// An aborted transaction that overlaps a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first record.
    pub first_offset: i64,
}

/// Where a leader epoch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEndOffset {
    /// Largest known epoch at or below the one asked for; -1 when unknown.
    pub epoch: i32,
    /// First offset after it; -1 when unknown.
    pub end_offset: i64,
}

/// What a read may send. Offsets are filled even when `code` is an error.
#[derive(Debug, Clone)]
pub struct ReadPlan {
    /// 0, or what to answer.
    pub code: KafkaCode,
    /// First offset that readers may not see.
    pub high_watermark: i64,
    /// First offset of the oldest undecided transaction, at most the high watermark.
    pub last_stable_offset: i64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// Bytes to send; `None` for nothing.
    pub slice: Option<FileSlice>,
    /// Where the caller's log diverges from this one.
    pub diverging: Option<EpochEndOffset>,
    /// Transactions to skip; `None` unless read-committed.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// A follower's fetch moved what others may wait for; they were told.
    pub is_moved: bool,
}

impl ReadPlan {
    /// Bytes in the slice.
    pub fn bytes(&self) -> u64 {
        self.slice.as_ref().map_or(0, |slice| slice.length)
    }
}

/// Who looks an offset up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Leader epoch the caller knows; -1 for none.
    pub leader_epoch: i32,
    /// Only the leader may answer.
    pub leader_only: bool,
}

/// Answer of a lookup by timestamp. Offset -1 with code 0 means "no such record".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetLookup {
    /// 0, or what to answer.
    pub code: KafkaCode,
    /// The offset, or -1.
    pub offset: i64,
    /// Its timestamp, or -1.
    pub timestamp: i64,
    /// Its leader epoch, or -1.
    pub leader_epoch: i32,
}

/// Offsets and sizes of a partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PartitionState {
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    /// All records below this are on disk.
    pub flushed_offset: i64,
    pub size_bytes: i64,
    /// -1 before the first `set_leader` or `set_follower`.
    pub leader_epoch: i32,
    pub segment_count: i64,
    /// First epoch of this leadership without a break; -1 where nothing was said, `i32::MAX` for a follower.
    pub leader_since: i32,
    /// The ISR is smaller than acks=all asks.
    pub is_under_min_isr: bool,
    /// First offset that some replica which lives still has.
    pub low_watermark: i64,
}

/// How a partition with several replicas is led.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// Epoch of this state.
    pub partition_epoch: i32,
    /// The leader.
    pub node_id: i32,
    /// All replicas.
    pub replicas: Vec<i32>,
    /// The committed ISR.
    pub isr: Vec<i32>,
    /// How long a follower may lag and still be waited for.
    pub lag_time_max_ms: i64,
    /// The broker's clock.
    pub now_ms: i64,
}

/// A broker as the cluster's metadata tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaBroker {
    /// Its id.
    pub id: i32,
    /// Of its registration.
    pub epoch: i64,
    /// It may join an ISR.
    pub is_eligible: bool,
}

/// Who fetches as a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaFetch {
    /// Its broker's id.
    pub id: i32,
    /// Its broker's epoch, -1 for none.
    pub broker_epoch: i64,
    /// First offset of its log.
    pub log_start_offset: i64,
    /// Its progress is noted; not so for another look for a fetch that waits.
    pub is_noted: bool,
    /// The leader's clock.
    pub now_ms: i64,
}

/// What a partition is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaRole {
    /// Its only replica, or nothing was said.
    Alone,
    /// Leader of several.
    Leader,
    /// Follower.
    Follower,
}

/// One follower in a [`ReplicationState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, clippy::struct_excessive_bools)]
pub struct FollowerState {
    pub id: i32,
    /// -1 until it fetched under this leader epoch.
    pub log_end_offset: i64,
    pub log_start_offset: i64,
    /// 0 for never.
    pub last_caught_up_ms: i64,
    pub broker_epoch: i64,
    /// In the committed ISR.
    pub is_in_sync: bool,
    /// Proposed to join it.
    pub is_pending: bool,
    /// May join it.
    pub qualifies: bool,
    pub is_caught_up: bool,
}

/// A partition's replicas at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ReplicationState {
    pub role: ReplicaRole,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub high_watermark: i64,
    /// Epoch of the last record, -1 for none.
    pub last_epoch: i32,
    /// -1 unless leader of several.
    pub epoch_start_offset: i64,
    pub isr_size: usize,
    pub min_isr: usize,
    /// Whom a follower follows, -1 for nobody.
    pub leader_id: i32,
    pub followers: Vec<FollowerState>,
}

/// A follower's log after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FollowerOutcome {
    pub log_end_offset: i64,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub last_epoch: i32,
}

/// What of a log changed: followers wait for its end, everybody else for what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The log end offset, and nothing else.
    LogEnd,
    /// The high watermark, the flushed offset or the low watermark.
    Committed,
    /// Any of these, the log start offset or the role, or the directory failed.
    Everything,
}

/// Called, without locks held, after something changed. It must be quick: it runs on the appending thread or on the fsync thread.
pub trait LogListener: Send + Sync {
    /// Look again.
    fn on_change(&self, change: Change);
}

/// What `LogManager::open` found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenReport {
    /// The cluster's id.
    pub cluster_id: String,
    /// This node's id.
    pub node_id: i32,
    /// One per configured directory, in order.
    pub dirs: Vec<DirectoryReport>,
    /// Every directory had its clean-shutdown marker.
    pub was_clean: bool,
    /// Epoch of the broker that closed every directory in order; -1 when they do not all tell of the same one.
    pub closed_broker_epoch: i64,
    /// One per partition found, in the order of `LogManager::partitions`.
    pub partitions: Vec<PartitionReport>,
}

/// One configured directory.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryReport {
    /// As configured.
    pub path: String,
    /// From `meta.properties`; empty when the directory failed.
    pub directory_id: String,
    /// Why it is not in use.
    pub error: Option<String>,
}

/// One partition found at start.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionReport {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// Id from `partition.metadata`; 22 characters, zero id when the file is missing.
    pub topic_id: String,
    /// The directory it is in.
    pub dir: String,
    /// First offset.
    pub log_start_offset: i64,
    /// Next offset.
    pub log_end_offset: i64,
    /// Why it is neither read nor written.
    pub quarantined: Option<String>,
}

/// How a directory is: what the broker looks at about every second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryHealth {
    /// As configured.
    pub path: String,
    /// From `meta.properties`; empty when it failed at start.
    pub directory_id: String,
    /// Why it refuses all writes, until a restart.
    pub error: Option<String>,
    /// Bytes that could be written at the last look; -1 when unknown.
    pub free_bytes: i64,
    /// How many of them ordinary partitions leave.
    pub reserve_bytes: i64,
    /// Ordinary partitions are refused for want of room.
    pub is_short: bool,
    /// Appends refused for want of room so far.
    pub refused_count: u64,
}

/// A directory and its partitions, for `DescribeLogDirs`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryDescription {
    /// As configured.
    pub path: String,
    /// From `meta.properties`.
    pub directory_id: String,
    /// Why it refuses work.
    pub error: Option<String>,
    /// Its partitions.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition's size.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionDescription {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// Bytes in its segments.
    pub size_bytes: i64,
    /// Records that a replica on its way into the directory lacks; 0 for one that is there, -1 where the other one is not known.
    pub offset_lag: i64,
    /// On its way into the directory.
    pub is_future: bool,
}

/// An idempotent or transactional producer the partition remembers, for `DescribeProducers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerDescription {
    /// Its id, as text: it may exceed 2^53.
    pub producer_id: String,
    /// Its epoch.
    pub producer_epoch: i32,
    /// Last sequence number, -1 for none.
    pub last_sequence: i32,
    /// Time of its last batch.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker, -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction, -1 for none.
    pub current_txn_start_offset: i64,
}

/// What one retention pass did to a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionEvent {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// Segments removed.
    pub deleted_segments: i64,
    /// The log start offset now.
    pub new_log_start_offset: i64,
    /// `time`, `size` or `logStartOffset`; several joined by `+`.
    pub reason: String,
}
