//! One partition's log: segments in order, the offsets that bound readers, and what is remembered beside the records.
//!
//! A mutex guards the segment list and the offsets; batches are checked before it is taken and file positions are looked up after
//! it is released. What an append changes is published to listeners once the lock is free.

mod admission;
mod append;
mod closing;
mod cut_mark;
mod damage;
mod group;
mod lookup;
mod maintain;
mod read;
mod recover;
mod reopen;
mod replace;
mod replication;
mod roll;
mod several;

use cut_mark::CutMark;
pub(crate) use damage::Walk;
pub use group::GroupedAppend;
pub(crate) use recover::{Known, file_finding};
pub(crate) use replace::{Copied, CopyError};
pub(crate) use replication::Brokers;
use replication::Leadership;
pub use several::SeveralAppend;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::checkpoint::LEADER_EPOCH_FILE;
use crate::config::LogConfig;
use crate::directory::Directory;
use crate::epochs::{EpochCache, EpochEntry};
use crate::error::{KafkaCode, LogError};
use crate::failpoint::Failpoint;
use crate::io::{
    OpenMode, WholeSync, is_out_of_descriptors, is_sync_failure, sync_failure, write_atomically,
    write_full,
};
use crate::producer::ProducerStates;
use crate::segment::{Segment, Store, SyncError};
use crate::types::{Change, LogListener, PartitionState, ProducerDescription, TopicId};

/// Batches at the tail of the active segment whose positions are kept in memory: tail reads need no index.
const RECENT_BATCHES: usize = 64;

/// Topics that only the broker writes to.
const INTERNAL_TOPICS: [&str; 3] =
    ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// One partition's log. All methods take `&self`; a mutex per partition, none across partitions.
pub struct PartitionLog {
    topic: String,
    partition: i32,
    topic_id: RwLock<TopicId>,
    /// `topic-partition`.
    label: String,
    /// Of the broker's own: may use the reserve of the disk.
    is_internal: bool,
    /// Changes, with the path, when the partition has moved: under the lock of `inner` and the turn to sync.
    directory: RwLock<Arc<Directory>>,
    store: Arc<Store>,
    path: RwLock<PathBuf>,
    config: RwLock<Arc<LogConfig>>,
    inner: Mutex<Inner>,
    flushed_offset: AtomicI64,
    /// One sync at a time.
    sync_turn: Mutex<()>,
    is_sync_queued: AtomicBool,
    listeners: RwLock<Vec<Arc<dyn LogListener>>>,
    quarantined: RwLock<Option<String>>,
    is_quarantined: AtomicBool,
    is_deleted: AtomicBool,
    is_closed: AtomicBool,
    /// What to open it with anew, where it is only set aside for want of room.
    reopening: Mutex<Option<Known>>,
    /// Recovery point to keep while the log is quarantined.
    loaded_recovery_point: AtomicI64,
    this: Weak<PartitionLog>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing was said: appends as a leader are taken.
    Unassigned,
    Leader,
    Follower,
}

/// A batch at the tail.
#[derive(Debug, Clone, Copy)]
struct Recent {
    base_offset: i64,
    last_offset: i64,
    position: u64,
    end: u64,
}

#[allow(clippy::struct_excessive_bools)]
struct Inner {
    /// Ascending; never empty, except while quarantined.
    segments: Vec<Arc<Segment>>,
    epochs: EpochCache,
    are_epochs_dirty: bool,
    /// Newest epoch of a checkpoint of epochs that has its content on disk, its name perhaps not.
    unsynced_epoch: Option<i32>,
    /// Newest epoch of the checkpoint of epochs that is on disk for certain; -1 for none.
    synced_epoch: i32,
    producers: ProducerStates,
    log_start_offset: i64,
    log_end_offset: i64,
    high_watermark: i64,
    high_watermark_follows: bool,
    /// What recovery knew to be committed, until a role is given.
    recovered_high_watermark: i64,
    leader_epoch: i32,
    role: Role,
    /// First epoch of this leadership without a break; -1 where nothing was said, the largest number for a follower.
    leader_since: i32,
    /// Whom a follower follows, -1 for nobody.
    leader_id: i32,
    /// Of the leader of several replicas.
    leadership: Option<Box<Leadership>>,
    recent: VecDeque<Recent>,
    /// When the active segment was created, for rolling logs without timestamps.
    active_created_ms: Option<i64>,
    /// Records appended since the last sync, and since when there are any.
    unflushed_records: i64,
    unflushed_since: Option<Instant>,
    /// New names in the partition's directory were not synced yet.
    needs_directory_sync: bool,
    /// The partition itself is new: its parent's entry and its metadata were not synced yet.
    is_new: bool,
    /// Counts truncations, so that a sync that ran meanwhile does not claim too much.
    truncations: u64,
    /// Least offset that the log was cut to since a replica in another directory was last cut back as well; the largest number for never.
    cut_to: i64,
    /// The log was cut within a batch: its records end here, before its end, until more come.
    gap_from: Option<i64>,
    cut_mark: CutMark,
    /// Some transaction was aborted here once.
    has_aborted: bool,
    /// The log was cut, and what follows from that was not written for want of room: it is made up for before anything else is written.
    is_cut_unfinished: bool,
}

impl Inner {
    /// A checkpoint of epochs up to this one is on disk under its name.
    fn on_epochs_synced(&mut self, newest: i32) {
        self.synced_epoch = newest;
        if self.unsynced_epoch == Some(newest) {
            self.unsynced_epoch = None;
        }
    }

    /// Below this offset, the checkpoint of epochs that a power failure leaves knows all epochs.
    fn epochs_synced_below(&self) -> i64 {
        if self.unsynced_epoch.is_none() {
            return i64::MAX;
        }
        let is_new = |entry: &&EpochEntry| entry.epoch > self.synced_epoch;
        self.epochs.entries().iter().find(is_new).map_or(i64::MAX, |entry| entry.start_offset)
    }

    fn active(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }

    fn last_stable_offset(&self) -> i64 {
        let first = if self.high_watermark_follows {
            self.producers.first_open_offset()
        } else {
            self.producers.first_unstable_offset()
        };
        first.map_or(self.high_watermark, |offset| offset.min(self.high_watermark))
    }

    /// Index of the segment that holds `offset`.
    fn segment_index(&self, offset: i64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base_offset <= offset).checked_sub(1)
    }

    fn set_high_watermark(&mut self, offset: i64) {
        self.high_watermark = offset.clamp(self.log_start_offset, self.log_end_offset);
        self.producers.on_high_watermark(self.high_watermark);
    }

    fn size_bytes(&self) -> i64 {
        self.segments.iter().map(|segment| segment.size() as i64).sum()
    }
}

/// What one sync has to do.
struct SyncWork {
    target: i64,
    truncations: u64,
    dirty: Vec<Arc<Segment>>,
    unsynced_indexes: Vec<Arc<Segment>>,
    needs_directory_sync: bool,
    is_new: bool,
}

/// What a new or recovered log starts from.
struct Parts {
    topic: String,
    partition: i32,
    topic_id: TopicId,
    directory: Arc<Directory>,
    path: PathBuf,
    config: LogConfig,
    inner: Inner,
    quarantined: Option<String>,
    reopening: Option<Known>,
    flushed_offset: i64,
}

impl PartitionLog {
    fn assemble(parts: Parts) -> Arc<Self> {
        let store = Arc::clone(&parts.directory.store);
        let log = Arc::new_cyclic(|this| Self {
            label: format!("{}-{}", parts.topic, parts.partition),
            is_internal: INTERNAL_TOPICS.contains(&parts.topic.as_str()),
            topic: parts.topic,
            partition: parts.partition,
            topic_id: RwLock::new(parts.topic_id),
            store,
            directory: RwLock::new(parts.directory),
            path: RwLock::new(parts.path),
            config: RwLock::new(Arc::new(parts.config)),
            inner: Mutex::new(parts.inner),
            flushed_offset: AtomicI64::new(parts.flushed_offset),
            sync_turn: Mutex::new(()),
            is_sync_queued: AtomicBool::new(false),
            listeners: RwLock::default(),
            is_quarantined: AtomicBool::new(parts.quarantined.is_some()),
            quarantined: RwLock::new(parts.quarantined),
            reopening: Mutex::new(parts.reopening),
            is_deleted: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            loaded_recovery_point: AtomicI64::new(parts.flushed_offset),
            this: this.clone(),
        });
        log.watch_flush_time();
        log
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its index in the topic.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Its topic's id.
    pub fn topic_id(&self) -> TopicId {
        *self.topic_id.read()
    }

    /// Path of the log directory (not the partition's own) that it is in.
    pub fn directory(&self) -> String {
        self.directory.read().path.to_string_lossy().into_owned()
    }

    /// Path of the partition's own directory.
    pub fn path(&self) -> PathBuf {
        self.path.read().clone()
    }

    pub(crate) fn home(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read())
    }

    /// Why it is neither read nor written, if so.
    pub fn quarantined(&self) -> Option<String> {
        self.quarantined.read().clone()
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }

    /// Replaces the settings; the next append, roll and retention pass use them.
    pub fn configure(&self, config: LogConfig) {
        *self.config.write() = Arc::new(config);
        self.watch_flush_time();
    }

    fn watch_flush_time(&self) {
        if self.config().flush_ms < i64::MAX {
            self.home().watch_time(self.this.clone());
        }
    }

    /// Registers a listener for as long as the log lives.
    pub fn add_listener(&self, listener: Arc<dyn LogListener>) {
        self.listeners.write().push(listener);
    }

    /// Its lock, held.
    #[cfg(test)]
    pub(crate) fn hold_for_test(&self) -> impl Sized {
        self.inner.lock()
    }

    fn notify(&self, change: Change) {
        for listener in self.listeners.read().iter() {
            listener.on_change(change);
        }
    }

    /// This replica leads from `leader_epoch` on, alone.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an epoch older than the one in force.
    pub fn set_leader(&self, leader_epoch: i32) -> Result<(), LogError> {
        self.lead(leader_epoch, None)
    }

    /// Offsets and sizes now.
    pub fn state(&self) -> PartitionState {
        let min_isr = self.config().min_insync_replicas;
        let inner = self.inner.lock();
        PartitionState {
            log_start_offset: inner.log_start_offset,
            log_end_offset: inner.log_end_offset,
            high_watermark: inner.high_watermark,
            last_stable_offset: inner.last_stable_offset(),
            flushed_offset: self.flushed_offset.load(Ordering::Acquire),
            size_bytes: inner.size_bytes(),
            leader_epoch: inner.leader_epoch,
            segment_count: inner.segments.len() as i64,
            leader_since: inner.leader_since,
            is_under_min_isr: inner.is_under_min_isr(min_isr),
            low_watermark: inner.low_watermark(&self.store.brokers),
        }
    }

    /// All records below this are on disk. Cheap: one atomic load.
    pub fn flushed_offset(&self) -> i64 {
        self.flushed_offset.load(Ordering::Acquire)
    }

    /// Producers the partition remembers.
    pub fn producers(&self) -> Vec<ProducerDescription> {
        self.inner.lock().producers.describe()
    }

    /// Code to refuse any work with, if there is one.
    fn refusal(&self) -> Option<KafkaCode> {
        if self.is_deleted.load(Ordering::Acquire) {
            return Some(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        self.is_quarantined.load(Ordering::Acquire).then_some(KafkaCode::KAFKA_STORAGE_ERROR)
    }

    /// Code to refuse appends and waits for durability with, if there is one: that of a deleted, quarantined or poisoned partition.
    pub fn write_refusal(&self) -> Option<KafkaCode> {
        self.refusal().or_else(|| self.is_failed().then_some(KafkaCode::KAFKA_STORAGE_ERROR))
    }

    pub(crate) fn check_writable(&self) -> Result<(), LogError> {
        if self.is_deleted.load(Ordering::Acquire) {
            return Err(LogError::new(
                LogError::PARTITION_UNKNOWN,
                format!("{} was deleted", self.label),
            ));
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(LogError::new(LogError::CLOSED, format!("{} is closed", self.label)));
        }
        if self.is_quarantined.load(Ordering::Acquire)
            && let Some(why) = self.quarantined()
        {
            return Err(LogError::new(LogError::LOG_QUARANTINED, format!("{}: {why}", self.label)));
        }
        self.directory.read().check()
    }

    /// Asks the directory's fsync thread to make all that was appended durable; listeners are told.
    pub fn request_sync(&self) {
        if !self.is_sync_queued.swap(true, Ordering::AcqRel)
            && let Some(this) = self.this.upgrade()
        {
            self.home().request_sync(this);
        }
    }

    /// Makes all that was appended durable before it returns.
    pub fn flush(&self) -> Result<(), LogError> {
        self.sync()
    }

    pub(crate) fn is_flush_due(&self) -> bool {
        let flush_ms = self.config().flush_ms.max(0) as u64;
        self.inner
            .lock()
            .unflushed_since
            .is_some_and(|since| since.elapsed() >= Duration::from_millis(flush_ms))
    }

    /// Syncs everything appended before the call. A failure poisons the directory; finding no descriptor does not, and is tried again.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        let turn = self.sync_turn.lock();
        self.is_sync_queued.store(false, Ordering::Release);
        let directory = self.home();
        if let Err(error) = directory.check() {
            // Another partition's fsync failed: who waits for this one's must hear that it will not come.
            drop(turn);
            self.notify(Change::Everything);
            return Err(error);
        }
        if self.refusal().is_some() {
            return Ok(());
        }
        let work = self.begin_sync();
        if let Err(failure) = self.sync_files(&work) {
            if self.is_deleted.load(Ordering::Acquire) {
                return Ok(());
            }
            self.undo_sync(&work);
            let error = match failure {
                SyncError::Failed(error) => sync_failure(error),
                SyncError::NotBegun(error) => {
                    if !self.is_sync_queued.swap(true, Ordering::AcqRel)
                        && let Some(this) = self.this.upgrade()
                    {
                        directory.retry_sync(this);
                    }
                    return Err(LogError::io("sync", &self.path(), &error));
                }
            };
            directory.poison(&format!("{}: {error}", self.label));
            drop(turn);
            self.notify(Change::Everything);
            return Err(LogError::new(
                LogError::LOG_POISONED,
                format!("cannot sync {}: {error}", self.label),
            ));
        }
        let is_moved = self.end_sync(&work);
        // Epochs are found again in the batches: a failure here loses nothing. That of an fsync tells that the disk cannot be trusted.
        if let Err(error) = self.write_epochs()
            && is_sync_failure(&error)
        {
            directory.poison(&format!("{}: {error}", self.label));
        }
        drop(turn);
        if is_moved {
            self.notify(Change::Committed);
        }
        Ok(())
    }

    /// Syncs partitions of one directory by one call for the whole file system. A failure poisons the directory. No partition is named
    /// twice.
    pub(crate) fn sync_together(directory: &Directory, whole: &dyn WholeSync, logs: &[Arc<Self>]) {
        // One that has moved meanwhile is on another file system, perhaps. Looked at before its turn is taken, so that nobody waits for a move in
        // the other direction, and again with it.
        let is_here = |log: &&Arc<Self>| std::ptr::eq(&raw const **log.directory.read(), directory);
        let mut turns = Vec::with_capacity(logs.len());
        let mut here = Vec::with_capacity(logs.len());
        let mut elsewhere = Vec::new();
        for log in logs {
            let turn = is_here(&log).then(|| log.sync_turn.lock()).filter(|_| is_here(&log));
            match turn {
                Some(turn) => {
                    turns.push(turn);
                    here.push(log);
                }
                None => elsewhere.push(log),
            }
        }
        let mut works = Vec::with_capacity(logs.len());
        let is_poisoned = directory.is_poisoned();
        for &log in &here {
            log.is_sync_queued.store(false, Ordering::Release);
            if !is_poisoned && log.refusal().is_none() {
                let mut work = log.begin_sync();
                for segment in &work.dirty {
                    segment.take_dirty();
                }
                work.unsynced_indexes.retain(|segment| segment.write_indexes());
                // Those of a new partition say what its first batch says; they are written with the next sync, or at the end.
                let old_name = log.inner.lock().unsynced_epoch;
                let epochs = if work.is_new { None } else { log.write_epochs_beside() };
                works.push((log, work, epochs, old_name));
            }
        }
        let failpoints = &directory.store.failpoints;
        let started = Instant::now();
        let result = if works.is_empty() {
            Ok(())
        } else {
            failpoints
                .hit(Failpoint::BeforeSync)
                .and_then(|()| whole.sync())
                .and_then(|()| failpoints.hit(Failpoint::AfterSync))
        };
        directory.store.flushes.record(started.elapsed(), result.is_ok());
        if let Err(error) = &result {
            directory.poison(&format!("sync of the file system failed: {error}"));
        }
        for (log, work, epochs, old_name) in &works {
            if result.is_err() {
                for segment in &work.dirty {
                    segment.mark_dirty();
                }
                log.undo_sync(work);
                continue;
            }
            for segment in &work.unsynced_indexes {
                segment.mark_indexes_synced();
            }
            log.end_sync(work);
            if let Some(epoch) = *old_name {
                log.inner.lock().on_epochs_synced(epoch);
            }
            if let Some(newest) = *epochs {
                log.name_epochs(newest);
            }
        }
        drop(works);
        drop(turns);
        let change =
            if result.is_ok() && !is_poisoned { Change::Committed } else { Change::Everything };
        for log in here {
            log.notify(change);
        }
        for log in elsewhere {
            let _ = log.sync();
        }
    }

    /// Whether a sync would have something to do.
    pub(crate) fn needs_sync(&self) -> bool {
        let inner = self.inner.lock();
        inner.needs_directory_sync
            || inner.segments.iter().any(|segment| segment.is_dirty() || !segment.is_index_synced())
    }

    /// What there is to sync. Everything up to the target was marked as dirty before its offset could be seen here.
    fn begin_sync(&self) -> SyncWork {
        let mut inner = self.inner.lock();
        inner.unflushed_records = 0;
        inner.unflushed_since = None;
        let list = |wanted: fn(&Segment) -> bool| {
            inner.segments.iter().filter(|segment| wanted(segment)).cloned().collect()
        };
        SyncWork {
            target: inner.log_end_offset,
            truncations: inner.truncations,
            dirty: list(Segment::is_dirty),
            unsynced_indexes: list(|segment| !segment.is_index_synced()),
            is_new: inner.is_new,
            needs_directory_sync: std::mem::take(&mut inner.needs_directory_sync),
        }
    }

    /// All of it is on disk. Returns whether the flushed offset moved.
    fn end_sync(&self, work: &SyncWork) -> bool {
        let mut inner = self.inner.lock();
        if work.is_new {
            inner.is_new = false;
        }
        let target = if inner.truncations == work.truncations {
            work.target
        } else {
            work.target.min(inner.log_end_offset)
        };
        self.flushed_offset.fetch_max(target, Ordering::AcqRel) < target
    }

    /// It is not: names have to be synced again. (Segments keep their own marks.)
    fn undo_sync(&self, work: &SyncWork) {
        self.inner.lock().needs_directory_sync |= work.needs_directory_sync;
    }

    fn sync_files(&self, work: &SyncWork) -> Result<(), SyncError> {
        let files = self.store.files();
        let sync_directory = |path: &Path| match files.sync_directory(path) {
            Err(error) if is_out_of_descriptors(&error) => Err(SyncError::NotBegun(error)),
            other => other.map_err(SyncError::Failed),
        };
        if work.is_new {
            let path = self.path().join(crate::checkpoint::PARTITION_METADATA_FILE);
            if files.exists(&path) {
                let file = files.open(&path, OpenMode::ReadWrite).map_err(SyncError::of_open)?;
                file.sync_data().map_err(SyncError::Failed)?;
            }
        }
        for segment in &work.dirty {
            segment.sync_log()?;
        }
        for segment in &work.unsynced_indexes {
            // Not needed for durability: where they cannot be written yet, the recovery point waits.
            segment.sync_indexes()?;
        }
        if work.needs_directory_sync || work.is_new {
            sync_directory(&self.path())?;
        }
        if work.is_new {
            sync_directory(&self.home().path)?;
        }
        Ok(())
    }

    /// The leader-epoch checkpoint's text and newest epoch (-1 for none), if it changed since it was last taken.
    fn take_epochs(&self) -> Option<(String, i32)> {
        let mut inner = self.inner.lock();
        std::mem::take(&mut inner.are_epochs_dirty)
            .then(|| (inner.epochs.encode(), inner.epochs.latest().unwrap_or(-1)))
    }

    /// Writes the leader-epoch checkpoint if it changed.
    pub(crate) fn write_epochs(&self) -> std::io::Result<()> {
        let Some((text, newest)) = self.take_epochs() else { return Ok(()) };
        let result = write_atomically(
            self.store.files(),
            &self.path().join(LEADER_EPOCH_FILE),
            text.as_bytes(),
        );
        let mut inner = self.inner.lock();
        if result.is_err() {
            inner.are_epochs_dirty = true;
        } else {
            inner.on_epochs_synced(newest);
        }
        drop(inner);
        result
    }

    /// First half of writing the checkpoint for somebody who syncs the whole file system: the content, under another name. Returns
    /// its newest epoch if there is any.
    fn write_epochs_beside(&self) -> Option<i32> {
        let (text, newest) = self.take_epochs()?;
        let path = self.path().join(format!("{LEADER_EPOCH_FILE}.tmp"));
        let written = self
            .store
            .files()
            .open(&path, OpenMode::Truncate)
            .and_then(|file| write_full(&*file, text.as_bytes(), 0));
        if written.is_err() {
            self.inner.lock().are_epochs_dirty = true;
        }
        written.is_ok().then_some(newest)
    }

    /// Second half: the content is on disk and gets its name. A crash that forgets the name leaves the old epochs: the
    /// recovery point stays where the new ones begin until the name is on disk too, so that their batches bring them up to date.
    fn name_epochs(&self, newest: i32) {
        let path = self.path();
        let from = path.join(format!("{LEADER_EPOCH_FILE}.tmp"));
        let is_named = self.store.files().rename(&from, &path.join(LEADER_EPOCH_FILE)).is_ok();
        let mut inner = self.inner.lock();
        if is_named {
            inner.unsynced_epoch = Some(newest);
        } else {
            inner.are_epochs_dirty = true;
        }
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether its directory takes no writes any more.
    pub fn is_failed(&self) -> bool {
        self.directory.read().is_poisoned()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }
}
