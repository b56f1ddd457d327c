//! The store: log directories and the partitions in them. Opening locks each directory, checks its identity, removes the
//! clean-shutdown marker *before* anything is recovered (so that a crash in the middle counts as unclean), and loads the
//! partitions in parallel. A directory that fails is left out; the others serve.

mod moves;
mod opening;
#[cfg(test)]
mod shared_locks;
mod space_watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

pub use moves::MoveEvent;
use moves::{Move, Moves, deleted_name};
use opening::{
    Loaded, check_any, common_epoch, give_up_poisoned, load_all, open_directory, partition_of,
    settle_moves,
};
use space_watch::SpaceWatch;

use crate::cache::FileCache;
use crate::checkpoint::{
    CLEAN_SHUTDOWN_FILE, LOG_START_FILE, NO_BROKER_EPOCH, Offsets, RECOVERY_POINT_FILE,
    REPLICATION_FILE, encode_clean_shutdown, write_offsets,
};
use crate::config::{LogConfig, StoreOptions};
use crate::directory::Directory;
use crate::distrust;
use crate::error::LogError;
use crate::failpoint::{Failpoint, Failpoints};
use crate::identity::{identify, prepare};
use crate::io::{DirectoryLock, FileSystem, MemoryFileSystem, RealFileSystem, write_atomically};
use crate::partition::{Known, PartitionLog};
use crate::scrub::{Scrub, ScrubStatus};
use crate::segment::Store;
use crate::statistics::{FlushStatistics, QuarantinedPartition, StoreStatistics};
use crate::types::{
    DirectoryDescription, DirectoryHealth, DirectoryReport, OpenReport, PartitionDescription,
    PartitionReport, ReplicaBroker, RetentionEvent, TopicId,
};

/// Partitions set aside, and damaged ones, that statistics name.
const PARTITIONS_NAMED_MAX: usize = 100;

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
pub struct LogManager {
    store: Arc<Store>,
    failpoints: Arc<Failpoints>,
    report: OpenReport,
    /// One per configured directory, in order; `None` for one that failed at start.
    directories: Vec<Option<Arc<Directory>>>,
    partitions: RwLock<Partitions>,
    locks: Mutex<Vec<Box<dyn DirectoryLock>>>,
    space_watch: SpaceWatch,
    is_closed: AtomicBool,
    scrub: Scrub,
    moves: Arc<Moves>,
}

#[derive(Default)]
struct Partitions {
    in_order: Vec<Arc<PartitionLog>>,
    by_name: HashMap<(String, i32), Arc<PartitionLog>>,
    /// Replicas on their way to another directory.
    futures: HashMap<(String, i32), Move>,
    /// Partitions per directory, by index, those on their way into it among them.
    counts: Vec<usize>,
}

/// A directory that was locked and identified.
struct Opened {
    directory: Arc<Directory>,
    was_clean: bool,
    /// From the marker, where it counts.
    broker_epoch: i64,
    partitions: Vec<Known>,
}

impl LogManager {
    /// Opens the directories on real files, or in memory when the options say so, and recovers every partition in them.
    ///
    /// # Errors
    /// `LOG_DIR_LOCKED`, `LOG_DIR_NOT_WRITABLE` (no directory is usable), `CLUSTER_ID_MISMATCH`, `NODE_ID_MISMATCH`,
    /// `META_PROPERTIES_INVALID`. Nothing stays locked.
    #[allow(clippy::needless_pass_by_value)]
    pub fn open(options: StoreOptions, progress: Arc<RecoveryProgress>) -> Result<Self, LogError> {
        let files: Arc<dyn FileSystem> = if options.in_memory {
            Arc::new(MemoryFileSystem::new())
        } else {
            Arc::new(RealFileSystem)
        };
        Self::open_on(files, options, progress)
    }

    #[allow(clippy::needless_pass_by_value)]
    /// As `open`, on the given file system.
    pub fn open_on(
        files: Arc<dyn FileSystem>,
        options: StoreOptions,
        progress: Arc<RecoveryProgress>,
    ) -> Result<Self, LogError> {
        Self::open_with(files, options, &progress, Arc::default())
    }

    /// As `open_on`, for a simulation: no thread is started, so that everything happens within the calls. Syncs that were asked for wait
    /// for [`LogManager::step`], which is also what looks at the free bytes.
    pub fn open_stepped(
        files: Arc<dyn FileSystem>,
        options: StoreOptions,
    ) -> Result<Self, LogError> {
        let options = StoreOptions { recovery_threads: 1, ..options };
        Self::open_all(files, options, &RecoveryProgress::new(), Arc::default(), false)
    }

    #[allow(clippy::needless_pass_by_value)]
    /// As `open_on`, with failpoints that may be armed already.
    pub fn open_with(
        files: Arc<dyn FileSystem>,
        options: StoreOptions,
        progress: &RecoveryProgress,
        failpoints: Arc<Failpoints>,
    ) -> Result<Self, LogError> {
        Self::open_all(files, options, progress, failpoints, true)
    }

    #[allow(clippy::needless_pass_by_value)]
    fn open_all(
        files: Arc<dyn FileSystem>,
        options: StoreOptions,
        progress: &RecoveryProgress,
        failpoints: Arc<Failpoints>,
        has_threads: bool,
    ) -> Result<Self, LogError> {
        if options.dirs.is_empty() {
            return Err(LogError::new(
                LogError::INVALID_ARGUMENT,
                "no log directory is configured",
            ));
        }
        let store = Arc::new(Store {
            cache: FileCache::new(Arc::clone(&files), options.max_open_files),
            failpoints: Arc::clone(&failpoints),
            verify_on_read: options.verify_on_read,
            flushes: FlushStatistics::default(),
            integrity: Arc::default(),
            brokers: crate::partition::Brokers::default(),
        });
        let mut locks = Vec::new();
        let mut usable = Vec::new();
        for dir in &options.dirs {
            usable.push(match prepare(&*files, Path::new(dir)) {
                Ok(lock) => {
                    locks.push(lock);
                    Ok(())
                }
                // A directory in use elsewhere is a mistake in the configuration, not a broken disk.
                Err(error) if error.code == LogError::LOG_DIR_LOCKED => return Err(error),
                Err(error) => Err(error),
            });
        }
        let (cluster_id, directory_ids) =
            identify(&*files, &options, &mut usable, &store.integrity)?;

        let mut directories = Vec::new();
        let mut reports = Vec::new();
        let mut found: Vec<(usize, Known)> = Vec::new();
        let mut was_clean = true;
        let mut closed_epochs = Vec::new();
        for (index, (dir, result)) in options.dirs.iter().zip(usable).enumerate() {
            let directory_id = directory_ids.get(index).cloned().unwrap_or_default();
            let opened = result.and_then(|()| open_directory(&store, Path::new(dir), &options));
            match opened {
                Ok(opened) => {
                    was_clean &= opened.was_clean;
                    closed_epochs.push(opened.broker_epoch);
                    found.extend(opened.partitions.into_iter().map(|known| (index, known)));
                    directories.push(Some(opened.directory));
                    reports.push(DirectoryReport { path: dir.clone(), directory_id, error: None });
                }
                Err(error) => {
                    closed_epochs.push(NO_BROKER_EPOCH);
                    directories.push(None);
                    reports.push(DirectoryReport {
                        path: dir.clone(),
                        directory_id: String::new(),
                        error: Some(error.to_string()),
                    });
                }
            }
        }
        check_any(&directories, &reports)?;
        if options.dirs.len() > 1 {
            found = settle_moves(store.files(), &directories, &directory_ids, found)?;
        }
        for directory in directories.iter().flatten() {
            if !has_threads {
                directory.sample_space();
                continue;
            }
            directory.start().map_err(|error| {
                LogError::io("start the sync thread of", &directory.path, &error)
            })?;
        }
        found.sort_by(|(_, a), (_, b)| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let mut logs = load_all(&directories, found, options.recovery_threads, progress);
        for directory in directories.iter().flatten() {
            // What recovery kept is made durable before it is served.
            let unsynced = logs
                .iter()
                .map(|loaded| &loaded.log)
                .filter(|log| Arc::ptr_eq(&log.home(), directory) && log.needs_sync());
            directory.sync_all(unsynced.cloned().collect());
        }
        give_up_poisoned(&mut directories, &mut reports, &mut logs);
        check_any(&directories, &reports)?;
        for directory in directories.iter().flatten() {
            distrust::unmark(store.files(), &directory.path)
                .map_err(|error| LogError::io("trust", &directory.path, &error))?;
        }

        let mut partitions =
            Partitions { counts: vec![0; directories.len()], ..Partitions::default() };
        let mut partition_reports = Vec::new();
        let (futures, current): (Vec<_>, Vec<_>) =
            logs.into_iter().partition(|loaded| loaded.is_future);
        for Loaded { directory: index, log, .. } in current {
            let state = log.state();
            partition_reports.push(PartitionReport {
                topic: log.topic().to_owned(),
                partition: log.partition(),
                topic_id: log.topic_id().to_string(),
                dir: log.directory(),
                log_start_offset: state.log_start_offset,
                log_end_offset: state.log_end_offset,
                quarantined: log.quarantined(),
            });
            partitions.insert(index, log);
        }
        let watched = directories.iter().flatten().cloned().collect();
        let space_watch = if has_threads { SpaceWatch::start(watched) } else { SpaceWatch::none() };
        let report = OpenReport {
            cluster_id,
            node_id: options.node_id,
            dirs: reports,
            was_clean,
            closed_broker_epoch: common_epoch(&closed_epochs),
            partitions: partition_reports,
        };
        let manager = Self {
            store,
            failpoints,
            report,
            directories,
            partitions: RwLock::new(partitions),
            locks: Mutex::new(locks),
            space_watch,
            is_closed: AtomicBool::new(false),
            scrub: Scrub::new(&options),
            moves: Arc::default(),
        };
        for Loaded { directory, log, .. } in futures {
            manager.resume_move(directory, &log);
        }
        Ok(manager)
    }

    /// Starts the background check of what is on disk, if the options ask for it.
    ///
    /// # Errors
    /// No thread could be started; everything else works.
    pub fn start_scrub(self: &Arc<Self>) -> std::io::Result<()> {
        let this = Arc::downgrade(self);
        self.scrub.start(move || this.upgrade().map(|manager| manager.partitions()))
    }

    /// Checks everything now, without pacing: what the background check does in one pass.
    pub fn examine_all(&self) {
        for log in self.partitions() {
            for segment in log.segments() {
                log.examine(&segment, "scrub");
            }
        }
    }

    /// How far the background check is, and every finding after the one of this id, whoever found it.
    pub fn scrub_status(&self, after_id: u64) -> ScrubStatus {
        self.scrub.status(&self.store.integrity, after_id)
    }

    /// What `open` found.
    pub fn report(&self) -> OpenReport {
        self.report.clone()
    }

    /// The places where tests can fail this store.
    pub fn failpoints(&self) -> &Arc<Failpoints> {
        &self.failpoints
    }

    /// Segment files that are open now.
    pub fn open_file_count(&self) -> usize {
        self.store.cache.open_count()
    }

    /// Each configured directory and why it refuses work, if it does.
    pub fn directory_states(&self) -> Vec<(String, Option<String>)> {
        self.report
            .dirs
            .iter()
            .zip(&self.directories)
            .map(|(report, directory)| {
                let failed = report.error.clone();
                let error = directory.as_ref().map_or(failed, |directory| directory.failure());
                (report.path.clone(), error)
            })
            .collect()
    }

    /// What the store counted so far, and which partitions are set aside or damaged now.
    pub fn statistics(&self) -> StoreStatistics {
        let (mut quarantined, mut quarantined_count) = (Vec::new(), 0);
        let (mut damaged, mut damaged_count) = (Vec::new(), 0);
        for name in self.store.integrity.once_damaged() {
            let found = partition_of(&name)
                .and_then(|(topic, partition)| self.partition(&topic, partition))
                .filter(|log| log.quarantined().is_none())
                .and_then(|log| log.damage());
            let Some(found) = found else { continue };
            damaged_count += 1;
            if damaged.len() < PARTITIONS_NAMED_MAX {
                damaged.push(found);
            }
        }
        for log in self.partitions() {
            let Some(reason) = log.quarantined() else { continue };
            quarantined_count += 1;
            if quarantined.len() < PARTITIONS_NAMED_MAX {
                quarantined.push(QuarantinedPartition {
                    topic: log.topic().to_owned(),
                    partition: log.partition(),
                    reason,
                });
            }
        }
        StoreStatistics {
            open_file_count: self.open_file_count(),
            flush: self.store.flushes.snapshot(),
            quarantined_count,
            quarantined,
            damaged_count,
            damaged,
        }
    }

    /// Replaces what the leaders of all partitions know of brokers.
    pub fn set_brokers(&self, brokers: &[ReplicaBroker]) {
        self.store.brokers.replace(brokers);
    }

    /// All partitions, in the order of the report, new ones last.
    pub fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        self.partitions.read().in_order.clone()
    }

    /// One partition, if it is here.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<Arc<PartitionLog>> {
        self.partitions.read().by_name.get(&(topic.to_owned(), partition)).cloned()
    }

    fn check_open(&self) -> Result<(), LogError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(LogError::new(LogError::CLOSED, "the store is closed"));
        }
        Ok(())
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
        self.check_open()?;
        let is_legal = !topic.is_empty()
            && topic.len() <= 249
            && topic != "."
            && topic != ".."
            && topic
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if !is_legal || partition < 0 {
            return Err(LogError::new(
                LogError::INVALID_ARGUMENT,
                format!("{topic:?}-{partition} cannot be a partition"),
            ));
        }
        for directory in self.directories.iter().flatten() {
            self.forget_former(directory, &(topic.to_owned(), partition))?;
        }
        let mut partitions = self.partitions.write();
        if partitions.by_name.contains_key(&(topic.to_owned(), partition)) {
            return Err(LogError::new(
                LogError::PARTITION_EXISTS,
                format!("{topic}-{partition} exists already"),
            ));
        }
        let index = match dir {
            Some(index) => index,
            None => self.emptiest(&partitions)?,
        };
        let directory = self.usable(index)?;
        if let Some(log) =
            self.adopt_future(&mut partitions, directory, topic, partition, topic_id)?
        {
            log.configure(config);
            return Ok(log);
        }
        let log = PartitionLog::create(directory, topic, partition, topic_id, config)?;
        partitions.insert(index, Arc::clone(&log));
        Ok(log)
    }

    /// Index of the healthy directory with the fewest partitions, if possible one that has room.
    fn emptiest(&self, partitions: &Partitions) -> Result<usize, LogError> {
        self.directories
            .iter()
            .enumerate()
            .filter(|(_, directory)| {
                directory.as_ref().is_some_and(|directory| !directory.is_poisoned())
            })
            .min_by_key(|(index, directory)| {
                let is_short =
                    directory.as_ref().is_some_and(|directory| directory.space.is_short());
                (is_short, partitions.counts.get(*index).copied().unwrap_or(0))
            })
            .map(|(index, _)| index)
            .ok_or_else(|| LogError::new(LogError::LOG_POISONED, "every log directory has failed"))
    }

    /// Renames the partition's directory to `<topic>-<partition>.<uuid>-delete`; the files go after `fileDeleteDelayMs`. From
    /// now on the log answers UNKNOWN_TOPIC_OR_PARTITION.
    ///
    /// # Errors
    /// `PARTITION_UNKNOWN`; `LOG_IO` when the rename failed: the partition is still there.
    pub fn delete_partition(&self, log: &Arc<PartitionLog>) -> Result<(), LogError> {
        self.check_open()?;
        let mut partitions = self.partitions.write();
        let key = (log.topic().to_owned(), log.partition());
        if !partitions.by_name.get(&key).is_some_and(|known| Arc::ptr_eq(known, log)) {
            return Err(LogError::new(
                LogError::PARTITION_UNKNOWN,
                format!("{}-{} is not here", key.0, key.1),
            ));
        }
        let directory = log.home();
        // First the future replica: without the current one it would be taken for the partition itself.
        self.drop_future(&mut partitions, &key)?;
        let target = directory.file(&deleted_name(&key.0, key.1));
        let rename = || -> std::io::Result<()> {
            self.failpoints.hit(Failpoint::BeforeRename)?;
            self.store.files().rename(&log.path(), &target)?;
            self.store.files().sync_directory(&directory.path)?;
            self.failpoints.hit(Failpoint::AfterRename)
        };
        log.delete_with(&target, rename)
            .map_err(|error| LogError::io("rename", &log.path(), &error))?;
        partitions.remove(log, |log| self.index_of(log));
        drop(partitions);
        directory.remove_later(target, true, log.config().file_delete_delay_ms);
        Ok(())
    }

    fn index_of(&self, log: &PartitionLog) -> Option<usize> {
        self.directories.iter().position(|directory| {
            directory.as_ref().is_some_and(|directory| Arc::ptr_eq(directory, &log.home()))
        })
    }

    /// Writes the checkpoints of every directory. A directory that cannot be written is reported, the others are done.
    ///
    /// # Errors
    /// The first failure; the old checkpoint of that directory is still there.
    pub fn checkpoint(&self) -> Result<(), LogError> {
        self.check_open()?;
        self.write_checkpoints()
    }

    fn write_checkpoints(&self) -> Result<(), LogError> {
        let mut result = Ok(());
        for directory in self.directories.iter().flatten() {
            if let Err(error) = self.checkpoint_directory(directory)
                && result.is_ok()
            {
                result = Err(LogError::io("write the checkpoints of", &directory.path, &error));
            }
        }
        result
    }

    /// Sees to it that the checkpoints of a directory say nothing of a partition that is about to be created there: a former one of the same name had another
    /// log start, and other records on disk.
    fn forget_former(
        &self,
        directory: &Arc<Directory>,
        key: &(String, i32),
    ) -> Result<(), LogError> {
        // Nobody waits here for a checkpoint that is being written, unless it is in the way.
        if !directory.checkpointed.lock().contains(key) || directory.is_poisoned() {
            return Ok(());
        }
        self.checkpoint_directory(directory)
            .map_err(|error| LogError::io("write the checkpoints of", &directory.path, &error))
    }

    fn checkpoint_directory(&self, directory: &Arc<Directory>) -> std::io::Result<()> {
        // Whoever comes later says what is newer.
        let _turn = directory.checkpointing.lock();
        let logs: Vec<Arc<PartitionLog>> = self
            .partitions()
            .into_iter()
            .filter(|log| Arc::ptr_eq(&log.home(), directory))
            .collect();
        let futures: Vec<Arc<PartitionLog>> =
            self.futures().into_iter().filter(|log| Arc::ptr_eq(&log.home(), directory)).collect();
        // Before they are asked whether they were deleted: who is created after that finds itself here.
        let keys = logs.iter().chain(&futures).map(|log| (log.topic().to_owned(), log.partition()));
        directory.checkpointed.lock().extend(keys);
        let mut recovery_points = Offsets::new();
        let mut log_starts = Offsets::new();
        let mut high_watermarks = Offsets::new();
        let mut told = Vec::with_capacity(logs.len() + futures.len());
        for log in logs.iter().chain(&futures).filter(|log| !log.is_deleted()) {
            let key = (log.topic().to_owned(), log.partition());
            let of_log = log.tell_recovery_point();
            recovery_points.insert(key.clone(), of_log.recovery_point);
            told.push((log, of_log));
            if let Some(offset) = log.checkpointed_log_start() {
                log_starts.insert(key.clone(), offset);
            }
            high_watermarks.insert(key, log.high_watermark());
        }
        self.failpoints.hit(Failpoint::BeforeCheckpoint)?;
        let files = self.store.files();
        write_offsets(files, &directory.file(RECOVERY_POINT_FILE), &recovery_points)?;
        for (log, of_log) in &told {
            log.on_checkpointed(of_log);
        }
        write_offsets(files, &directory.file(LOG_START_FILE), &log_starts)?;
        write_offsets(files, &directory.file(REPLICATION_FILE), &high_watermarks)?;
        *directory.checkpointed.lock() = recovery_points.into_keys().collect();
        self.failpoints.hit(Failpoint::AfterCheckpoint)
    }

    /// Applies retention to every partition, removes files whose delay is over and forgets expired producers. `now_ms` is the
    /// broker's clock. Log start offsets that moved are checkpointed.
    pub fn run_retention(&self, now_ms: i64) -> Vec<RetentionEvent> {
        if self.check_open().is_err() {
            return Vec::new();
        }
        // Should a crash leave only some of the segments that are about to go, the gap between them is below the recovery point: above it, it would be
        // a write that was lost. Without room for that the segments go all the same, for that makes some.
        let _ = self.write_checkpoints();
        let events: Vec<RetentionEvent> =
            self.partitions().iter().filter_map(|log| log.run_retention(now_ms)).collect();
        for directory in self.directories.iter().flatten() {
            directory.remove_due();
        }
        if !events.is_empty() {
            // Written again by the next checkpoint in any case.
            let _ = self.write_checkpoints();
        }
        events
    }

    /// Sizes per directory.
    pub fn describe(&self) -> Vec<DirectoryDescription> {
        let logs = self.partitions();
        let mut descriptions = Vec::new();
        for (index, report) in self.report.dirs.iter().enumerate() {
            let directory = self.directories.get(index).and_then(Option::as_ref);
            let partitions = logs
                .iter()
                .filter(|log| {
                    directory.is_some_and(|directory| Arc::ptr_eq(directory, &log.home()))
                })
                .map(|log| PartitionDescription {
                    topic: log.topic().to_owned(),
                    partition: log.partition(),
                    size_bytes: log.state().size_bytes,
                    offset_lag: 0,
                    is_future: false,
                })
                .chain(directory.into_iter().flat_map(|directory| self.describe_futures(directory)))
                .collect();
            descriptions.push(DirectoryDescription {
                path: report.path.clone(),
                directory_id: report.directory_id.clone(),
                error: directory
                    .map_or_else(|| report.error.clone(), |directory| directory.failure()),
                partitions,
            });
        }
        descriptions
    }

    /// State of each configured directory, in order.
    pub fn health(&self) -> Vec<DirectoryHealth> {
        self.report
            .dirs
            .iter()
            .zip(&self.directories)
            .map(|(report, directory)| {
                let space = directory.as_ref().map(|directory| directory.space.report());
                DirectoryHealth {
                    path: report.path.clone(),
                    directory_id: report.directory_id.clone(),
                    error: directory
                        .as_ref()
                        .map_or_else(|| report.error.clone(), |directory| directory.failure()),
                    free_bytes: space.map_or(-1, |space| space.free_bytes),
                    reserve_bytes: space.map_or(0, |space| space.reserve_bytes),
                    is_short: space.is_some_and(|space| space.is_short),
                    refused_count: space.map_or(0, |space| space.refused_count),
                }
            })
            .collect()
    }

    /// Looks at the free bytes of each disk now; a thread does so about every second.
    pub fn sample_space(&self) {
        for directory in self.directories.iter().flatten() {
            directory.sample_space();
        }
    }

    /// Opens anew what was set aside only because its disk was full, where that has room again; how many partitions are in use again.
    pub fn reopen_partitions(&self) -> usize {
        if self.check_open().is_err() {
            return 0;
        }
        let may = |log: &Arc<PartitionLog>| log.may_reopen() && !log.home().space.is_short();
        self.partitions().iter().filter(|log| may(log) && log.reopen()).count()
    }

    /// Does now what the threads of a store opened by `open_stepped` would do: the syncs that were asked for, one after another in the order
    /// of asking, and a look at the free bytes. Returns how many partitions were synced.
    pub fn step(&self) -> usize {
        self.sample_space();
        self.step_moves();
        self.directories.iter().flatten().map(|directory| directory.step()).sum()
    }

    /// [`Self::close_life`] of a broker that has no epoch.
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<(), LogError> {
        self.close_life(NO_BROKER_EPOCH)
    }

    /// Flushes everything, writes snapshots, checkpoints and clean-shutdown markers, which tell the epoch of the broker that ends,
    /// stops the threads and unlocks. Appends are refused from here on. A second call does nothing.
    ///
    /// # Errors
    /// The first failure. Directories that closed in full have their marker; the others are recovered by the next start.
    pub fn close_life(&self, broker_epoch: i64) -> Result<(), LogError> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.space_watch.stop();
        self.scrub.stop();
        self.moves.stop();
        let mut result = Ok(());
        let mut failed: Vec<PathBuf> = Vec::new();
        let mut logs = self.partitions();
        logs.extend(self.futures());
        let begun: Vec<Result<(), LogError>> = logs.iter().map(|log| log.begin_close()).collect();
        for directory in self.directories.iter().flatten() {
            let open = logs.iter().filter(|log| Arc::ptr_eq(&log.home(), directory));
            directory.sync_all(open.filter(|log| log.needs_sync()).cloned().collect());
        }
        for (log, begun) in logs.iter().zip(begun) {
            let closed = begun.and(log.finish_close());
            if closed.is_err() || log.quarantined().is_some() {
                failed.push(log.home().path.clone());
            }
            result = result.and(closed);
        }
        for directory in self.directories.iter().flatten() {
            directory.stop();
            let finish = || -> std::io::Result<()> {
                self.checkpoint_directory(directory)?;
                if directory.is_poisoned() || failed.contains(&directory.path) {
                    return Ok(());
                }
                write_atomically(
                    self.store.files(),
                    &directory.file(CLEAN_SHUTDOWN_FILE),
                    encode_clean_shutdown(broker_epoch).as_bytes(),
                )
            };
            let finished = finish().map_err(|error| LogError::io("close", &directory.path, &error));
            result = result.and(finished);
        }
        self.locks.lock().clear();
        result
    }
}

impl Drop for LogManager {
    /// A store that was not closed is left as a crash would leave it, except that its threads end.
    fn drop(&mut self) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.space_watch.stop();
        self.scrub.stop();
        self.moves.stop();
        for log in self.partitions().into_iter().chain(self.futures()) {
            log.abandon();
        }
        for directory in self.directories.iter().flatten() {
            directory.stop();
        }
    }
}

impl Partitions {
    fn insert(&mut self, directory: usize, log: Arc<PartitionLog>) {
        if let Some(count) = self.counts.get_mut(directory) {
            *count += 1;
        }
        self.by_name.insert((log.topic().to_owned(), log.partition()), Arc::clone(&log));
        self.in_order.push(log);
    }

    fn remove(
        &mut self,
        log: &Arc<PartitionLog>,
        directory_of: impl Fn(&PartitionLog) -> Option<usize>,
    ) {
        if let Some(count) = directory_of(log).and_then(|index| self.counts.get_mut(index)) {
            *count = count.saturating_sub(1);
        }
        self.by_name.remove(&(log.topic().to_owned(), log.partition()));
        self.in_order.retain(|known| !Arc::ptr_eq(known, log));
    }
}
