//! The store: log directories and the partitions in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::{LogConfig, StoreOptions};
use crate::error::LogError;
use crate::io::FileSystem;
use crate::partition::PartitionLog;
use crate::types::{DirectoryDescription, OpenReport, RetentionEvent, TopicId};

/// How far `LogManager::open` is; shared with whoever watches it.
#[derive(Debug, Default)]
pub struct RecoveryProgress {
    total: AtomicU64,
    done: AtomicU64,
    current: Mutex<String>,
}

impl RecoveryProgress {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Partitions found.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Partitions loaded.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// One of the partitions being loaded, as `topic-partition`; empty before and after.
    pub fn current_partition(&self) -> String {
        self.current.lock().clone()
    }
}

/// Owner of the log directories. All methods take `&self` and may be called from any thread.
pub struct LogManager {}

impl LogManager {
    /// Opens the directories on real files, or in memory when the options say so, and recovers every partition in them.
    ///
    /// # Errors
    /// `LOG_DIR_LOCKED`, `LOG_DIR_NOT_WRITABLE` (no directory is usable), `CLUSTER_ID_MISMATCH`, `NODE_ID_MISMATCH`,
    /// `META_PROPERTIES_INVALID`. Nothing stays locked.
    pub fn open(options: StoreOptions, progress: Arc<RecoveryProgress>) -> Result<Self, LogError> {
        let _ = (options, progress);
        Err(LogError::new(LogError::CLOSED, "being written"))
    }

    /// As `open`, on the given file system.
    pub fn open_on(
        files: Arc<dyn FileSystem>,
        options: StoreOptions,
        progress: Arc<RecoveryProgress>,
    ) -> Result<Self, LogError> {
        let _ = files;
        Self::open(options, progress)
    }

    /// What `open` found.
    pub fn report(&self) -> OpenReport {
        OpenReport { cluster_id: String::new(), node_id: 0, dirs: vec![], was_clean: false, partitions: vec![] }
    }

    /// All partitions, in the order of the report, new ones last.
    pub fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        vec![]
    }

    /// Creates an empty partition, in the given directory or in the one with the fewest partitions.
    ///
    /// # Errors
    /// `PARTITION_EXISTS`, `INVALID_ARGUMENT` (name, directory), `LOG_POISONED`, `LOG_IO`. Nothing was created.
    pub fn create_partition(
        &self,
        topic: &str,
        partition: i32,
        topic_id: TopicId,
        dir: Option<usize>,
        config: LogConfig,
    ) -> Result<Arc<PartitionLog>, LogError> {
        let _ = (topic, partition, topic_id, dir, config);
        Err(LogError::new(LogError::CLOSED, "being written"))
    }

    /// Renames the partition's directory to `<topic>-<partition>.<uuid>-delete`; the files go after `fileDeleteDelayMs`. From
    /// now on the log answers UNKNOWN_TOPIC_OR_PARTITION.
    pub fn delete_partition(&self, log: &Arc<PartitionLog>) -> Result<(), LogError> {
        let _ = log;
        Err(LogError::new(LogError::CLOSED, "being written"))
    }

    /// Writes the checkpoints of every directory. A directory that cannot be written is reported, the others are done.
    pub fn checkpoint(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// Applies retention to every partition, removes files whose delay is over, forgets expired producers, and rolls segments
    /// that are due. `now_ms` is the broker's clock.
    pub fn run_retention(&self, now_ms: i64) -> Vec<RetentionEvent> {
        let _ = now_ms;
        vec![]
    }

    /// Sizes per directory.
    pub fn describe(&self) -> Vec<DirectoryDescription> {
        vec![]
    }

    /// Flushes everything, writes snapshots, checkpoints and clean-shutdown markers, stops the threads and unlocks. Appends are
    /// refused from here on. A second call does nothing.
    pub fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}
