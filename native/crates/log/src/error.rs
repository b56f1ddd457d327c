//! Errors, in two kinds that are never mixed: what a client is told (Kafka's numbers) and what an operator is told (stable names).

use std::fmt;
use std::io;
use std::path::Path;

/// A Kafka protocol error code, as sent on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KafkaCode(pub i16);

#[allow(missing_docs)]
impl KafkaCode {
    pub const UNKNOWN_SERVER_ERROR: Self = Self(-1);
    pub const NONE: Self = Self(0);
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    pub const CORRUPT_MESSAGE: Self = Self(2);
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    pub const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    pub const REQUEST_TIMED_OUT: Self = Self(7);
    pub const MESSAGE_TOO_LARGE: Self = Self(10);
    pub const RECORD_LIST_TOO_LARGE: Self = Self(18);
    pub const NOT_ENOUGH_REPLICAS: Self = Self(19);
    pub const NOT_ENOUGH_REPLICAS_AFTER_APPEND: Self = Self(20);
    pub const INVALID_TIMESTAMP: Self = Self(32);
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: Self = Self(45);
    pub const DUPLICATE_SEQUENCE_NUMBER: Self = Self(46);
    pub const INVALID_PRODUCER_EPOCH: Self = Self(47);
    pub const INVALID_TXN_STATE: Self = Self(48);
    pub const TRANSACTION_COORDINATOR_FENCED: Self = Self(52);
    pub const KAFKA_STORAGE_ERROR: Self = Self(56);
    pub const FENCED_LEADER_EPOCH: Self = Self(74);
    pub const UNKNOWN_LEADER_EPOCH: Self = Self(75);
    pub const UNSUPPORTED_COMPRESSION_TYPE: Self = Self(76);
    pub const OFFSET_NOT_AVAILABLE: Self = Self(78);
    pub const INVALID_RECORD: Self = Self(87);
    /// Never sent to a client: the append would inflate more than its caller allows on this thread. Nothing was changed.
    pub const NOT_INLINE: Self = Self(i16::MIN);
}

impl fmt::Debug for KafkaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaCode({})", self.0)
    }
}

/// One record that a batch was refused for: its index in the batch, and a message when it differs from the batch's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordError {
    /// Index of the record inside the batch, from 0.
    pub batch_index: i32,
    /// What was wrong with this record; `None` when the batch's message says it.
    pub message: Option<String>,
}

/// Why an append was refused. The log is unchanged, except after [`KafkaCode::KAFKA_STORAGE_ERROR`], which may leave bytes behind
/// the log end offset that the next append overwrites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendError {
    /// What the client is told.
    pub code: KafkaCode,
    /// One sentence for the client's `error_message` field.
    pub message: String,
    /// The records at fault (codes 32 and 87), else empty.
    pub record_errors: Vec<RecordError>,
}

impl AppendError {
    pub(crate) fn new(code: KafkaCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), record_errors: Vec::new() }
    }

    pub(crate) fn storage(error: &LogError) -> Self {
        Self::new(KafkaCode::KAFKA_STORAGE_ERROR, error.to_string())
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code.0)
    }
}

impl std::error::Error for AppendError {}

/// An operating failure with a stable code. The message names the thing: partition, offset, path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogError {
    /// Stable name, one of the constants of this type; crosses the addon border unchanged.
    pub code: &'static str,
    /// One sentence for the operator.
    pub message: String,
}

impl LogError {
    /// Another process holds the `.lock` file of a log directory.
    pub const LOG_DIR_LOCKED: &'static str = "LOG_DIR_LOCKED";
    /// A log directory cannot be created, listed or written.
    pub const LOG_DIR_NOT_WRITABLE: &'static str = "LOG_DIR_NOT_WRITABLE";
    /// `meta.properties` names another cluster.
    pub const CLUSTER_ID_MISMATCH: &'static str = "CLUSTER_ID_MISMATCH";
    /// `meta.properties` names another node.
    pub const NODE_ID_MISMATCH: &'static str = "NODE_ID_MISMATCH";
    /// `meta.properties` cannot be understood, or two directories have the same id.
    pub const META_PROPERTIES_INVALID: &'static str = "META_PROPERTIES_INVALID";
    /// An earlier fsync failed in this directory: it refuses writes until it is reopened.
    pub const LOG_POISONED: &'static str = "LOG_POISONED";
    /// The partition's files hold a bad batch with valid data after it; they are kept and neither read nor written.
    pub const LOG_QUARANTINED: &'static str = "LOG_QUARANTINED";
    /// The operating system refused a file operation.
    pub const IO: &'static str = "LOG_IO";
    /// The bytes on disk are not what they should be.
    pub const CORRUPT: &'static str = "LOG_CORRUPT";
    /// A partition lies in two log directories.
    pub const PARTITION_DUPLICATE: &'static str = "PARTITION_DUPLICATE";
    /// The partition exists already.
    pub const PARTITION_EXISTS: &'static str = "PARTITION_EXISTS";
    /// No such partition, or it was deleted.
    pub const PARTITION_UNKNOWN: &'static str = "PARTITION_UNKNOWN";
    /// The store was closed.
    pub const CLOSED: &'static str = "LOG_CLOSED";
    /// An argument makes no sense.
    pub const INVALID_ARGUMENT: &'static str = "INVALID_ARGUMENT";
    /// An offset outside of the log.
    pub const OFFSET_OUT_OF_RANGE: &'static str = "OFFSET_OUT_OF_RANGE";

    /// Builds an error of the given stable code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failed system call, with what was being done to which file.
    pub fn io(what: &str, path: &Path, cause: &io::Error) -> Self {
        Self::new(Self::IO, format!("cannot {what} {}: {cause}", path.display()))
    }

    /// What a client is told when this failure stands in the way of its request.
    pub fn kafka_code(&self) -> KafkaCode {
        match self.code {
            Self::OFFSET_OUT_OF_RANGE => KafkaCode::OFFSET_OUT_OF_RANGE,
            Self::PARTITION_UNKNOWN => KafkaCode::UNKNOWN_TOPIC_OR_PARTITION,
            Self::INVALID_ARGUMENT => KafkaCode::UNKNOWN_SERVER_ERROR,
            _ => KafkaCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for LogError {}
