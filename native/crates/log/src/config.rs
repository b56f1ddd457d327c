//! Settings: of one partition's log (Kafka's topic keys in camelCase, already resolved) and of the store.

use serde::{Deserialize, Serialize};

/// Settings of one partition, named as Kafka's topic keys. Absent JSON fields take Kafka's defaults; unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogConfig {
    /// Roll when the active segment would grow beyond this.
    #[serde(deserialize_with = "saturating")]
    pub segment_bytes: i64,
    /// Roll when the first batch of the active segment is older than this by the records' own time.
    #[serde(deserialize_with = "saturating")]
    pub segment_ms: i64,
    /// At most this much random time is taken off `segmentMs`, so that segments do not roll all at once.
    #[serde(deserialize_with = "saturating")]
    pub segment_jitter_ms: i64,
    /// Largest size of an offset or time index file.
    #[serde(deserialize_with = "saturating")]
    pub segment_index_bytes: i64,
    /// An index entry every this many bytes of log.
    #[serde(deserialize_with = "saturating")]
    pub index_interval_bytes: i64,
    /// Records older than this may be deleted; -1 keeps them.
    #[serde(deserialize_with = "saturating")]
    pub retention_ms: i64,
    /// The log may be cut down to this size; -1 keeps all.
    #[serde(deserialize_with = "saturating")]
    pub retention_bytes: i64,
    /// Largest record batch a client may append, as stored.
    #[serde(deserialize_with = "saturating")]
    pub max_message_bytes: i64,
    /// Largest record of a compressed batch, decompressed.
    #[serde(deserialize_with = "saturating")]
    pub max_decompressed_message_bytes: i64,
    /// Whose clock the timestamps are from.
    pub message_timestamp_type: TimestampType,
    /// How much older than the broker's clock a record may be (`CreateTime` only).
    #[serde(deserialize_with = "saturating")]
    pub message_timestamp_before_max_ms: i64,
    /// How far ahead of the broker's clock a record may be (`CreateTime` only).
    #[serde(deserialize_with = "saturating")]
    pub message_timestamp_after_max_ms: i64,
    /// `producer` keeps what arrives; anything else re-compresses.
    pub compression_type: CompressionType,
    /// Level when `compressionType` is gzip; -1 is the codec's default.
    pub compression_gzip_level: i32,
    /// Level when `compressionType` is lz4.
    pub compression_lz4_level: i32,
    /// Level when `compressionType` is zstd.
    pub compression_zstd_level: i32,
    /// fsync after this many records.
    #[serde(deserialize_with = "saturating")]
    pub flush_messages: i64,
    /// fsync at the latest after this time.
    #[serde(deserialize_with = "saturating")]
    pub flush_ms: i64,
    /// How long removed files stay under another name.
    #[serde(deserialize_with = "saturating")]
    pub file_delete_delay_ms: i64,
    /// Accepted and ignored: files grow as they are written.
    pub preallocate: bool,
    /// `delete`, `compact` or both.
    pub cleanup_policy: Vec<String>,
    /// acks=all is answered only when the records are on disk.
    pub acks_all_fsync: bool,
    /// Also where the partition has several replicas, which otherwise vouch for each other.
    pub acks_all_fsync_replicated: bool,
    /// Members the ISR must have for acks=all, and for the high watermark to move; of several replicas.
    #[serde(deserialize_with = "saturating")]
    pub min_insync_replicas: i64,
    /// How long an idle producer's sequence numbers are remembered.
    #[serde(deserialize_with = "saturating")]
    pub producer_id_expiration_ms: i64,
}

/// Kafka's `message.timestamp.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimestampType {
    /// The producer's time is kept.
    CreateTime,
    /// The broker's time replaces it.
    LogAppendTime,
}

/// Kafka's `compression.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum CompressionType {
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl LogConfig {
    /// Whether `cleanup.policy` names `compact`: records then need keys.
    pub fn is_compacted(&self) -> bool {
        self.cleanup_policy.iter().any(|policy| policy == "compact")
    }

    /// Whether `cleanup.policy` names `delete`: retention by time and size applies.
    pub fn is_deleting(&self) -> bool {
        self.cleanup_policy.iter().any(|policy| policy == "delete")
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            max_message_bytes: 1_048_588,
            max_decompressed_message_bytes: 2_147_483_639,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            compression_type: CompressionType::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            cleanup_policy: vec!["delete".to_owned()],
            acks_all_fsync: true,
            acks_all_fsync_replicated: false,
            min_insync_replicas: 1,
            producer_id_expiration_ms: 86_400_000,
        }
    }
}

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreOptions {
    /// Log directories, created when absent. One that fails is left out; all failing is an error.
    pub dirs: Vec<String>,
    /// Cluster id to expect or to write; `None` takes what the directories say, or makes one.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// Node id to expect or to write.
    pub node_id: i32,
    /// Settings of partitions found on disk until they are configured.
    #[serde(default)]
    pub defaults: LogConfig,
    /// Threads that recover partitions at start.
    #[serde(default = "one")]
    pub recovery_threads: usize,
    /// Most segment files kept open at a time.
    #[serde(default = "thousand")]
    pub max_open_files: usize,
    /// Bytes of each disk that ordinary partitions leave free; at most a twentieth of the file system is kept.
    #[serde(default)]
    pub disk_reserve_bytes: u64,
    /// Check each batch's CRC when it is read.
    #[serde(default)]
    pub verify_on_read: bool,
    /// Keep everything in memory: for tests.
    #[serde(default)]
    pub in_memory: bool,
    /// Bytes that the background check reads a second; 0 or less: none.
    #[serde(default)]
    pub scrub_bytes_per_second: i64,
    /// Rest between two passes of the background check over everything; 0 or less: no check.
    #[serde(default)]
    pub scrub_interval_ms: i64,
}

/// The largest whole number that JavaScript is sure of.
const LARGEST_OF_JAVASCRIPT: i64 = (1 << 53) - 1;

/// JavaScript's numbers cannot hold `Long.MAX_VALUE`, and the largest of them stands for it: "no limit" arrives as no limit.
fn saturating<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let value = number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or(0.0) as i64);
    Ok(if value >= LARGEST_OF_JAVASCRIPT { i64::MAX } else { value })
}

fn one() -> usize {
    1
}

fn thousand() -> usize {
    1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_of_javascript_is_no_limit() {
        let read = |text: &str| serde_json::from_str::<LogConfig>(text).expect("settings");
        let never = read(r#"{"flushMessages": 9007199254740991, "flushMs": 9.3e18}"#);
        assert_eq!((never.flush_messages, never.flush_ms), (i64::MAX, i64::MAX));
        let limited =
            read(r#"{"flushMessages": 9007199254740990, "flushMs": 0, "retentionMs": -1}"#);
        assert_eq!((limited.flush_messages, limited.flush_ms), ((1 << 53) - 2, 0));
        assert_eq!(limited.retention_ms, -1);
    }
}
