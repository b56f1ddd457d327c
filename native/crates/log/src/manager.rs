//! The store: log directories and the partitions in them. Opening locks each directory, checks its identity, removes the
//! clean-shutdown marker *before* anything is recovered (so that a crash in the middle counts as unclean), and loads the
//! partitions in parallel. A directory that fails is left out; the others serve.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use crate::cache::FileCache;
use crate::checkpoint::{
    CLEAN_SHUTDOWN_FILE, LOG_START_FILE, NO_BROKER_EPOCH, Offsets, RECOVERY_POINT_FILE,
    REPLICATION_FILE, encode_clean_shutdown, read_clean_shutdown, read_offsets, write_offsets,
};
use crate::config::{LogConfig, StoreOptions};
use crate::directory::Directory;
use crate::distrust;
use crate::error::LogError;
use crate::failpoint::{Failpoint, Failpoints};
use crate::identity::{identify, prepare, random_u64};
use crate::integrity::FindingKind;
use crate::io::{DirectoryLock, FileSystem, MemoryFileSystem, RealFileSystem, write_atomically};
use crate::partition::{Known, PartitionLog, file_finding};
use crate::scrub::{Scrub, ScrubStatus};
use crate::segment::Store;
use crate::statistics::{FlushStatistics, QuarantinedPartition, StoreStatistics};
use crate::types::{
    DirectoryDescription, DirectoryHealth, DirectoryReport, OpenReport, PartitionDescription,
    PartitionReport, ReplicaBroker, RetentionEvent, TopicId,
};

/// Partitions set aside, and damaged ones, that statistics name.
const PARTITIONS_NAMED_MAX: usize = 100;
/// Longest file name that file systems take.
const NAME_BYTES_MAX: usize = 255;

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
}

#[derive(Default)]
struct Partitions {
    in_order: Vec<Arc<PartitionLog>>,
    by_name: HashMap<(String, i32), Arc<PartitionLog>>,
    /// Partitions per directory, by index.
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
                .map(|(_, log)| log)
                .filter(|log| Arc::ptr_eq(log.home(), directory) && log.needs_sync());
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
        for (index, log) in logs {
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
        Ok(Self {
            store,
            failpoints,
            report,
            directories,
            partitions: RwLock::new(partitions),
            locks: Mutex::new(locks),
            space_watch,
            is_closed: AtomicBool::new(false),
            scrub: Scrub::new(&options),
        })
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
        let Some(directory) = self.directories.get(index).and_then(Option::as_ref) else {
            return Err(LogError::new(
                LogError::INVALID_ARGUMENT,
                format!("no usable log directory {index}"),
            ));
        };
        directory.check()?;
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
        let directory = Arc::clone(log.home());
        let suffix = format!(".{:016x}{:016x}-delete", random_u64(), random_u64());
        let name = format!("{}-{}", key.0, key.1);
        let kept = name.len().min(NAME_BYTES_MAX - suffix.len());
        let target = directory.file(&format!("{}{suffix}", name.get(..kept).unwrap_or_default()));
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
            directory.as_ref().is_some_and(|directory| Arc::ptr_eq(directory, log.home()))
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

    fn checkpoint_directory(&self, directory: &Arc<Directory>) -> std::io::Result<()> {
        let logs: Vec<Arc<PartitionLog>> = self
            .partitions()
            .into_iter()
            .filter(|log| Arc::ptr_eq(log.home(), directory))
            .collect();
        let mut recovery_points = Offsets::new();
        let mut log_starts = Offsets::new();
        let mut high_watermarks = Offsets::new();
        for log in logs.iter().filter(|log| !log.is_deleted()) {
            let key = (log.topic().to_owned(), log.partition());
            recovery_points.insert(key.clone(), log.recovery_point());
            if let Some(offset) = log.checkpointed_log_start() {
                log_starts.insert(key.clone(), offset);
            }
            high_watermarks.insert(key, log.high_watermark());
        }
        self.failpoints.hit(Failpoint::BeforeCheckpoint)?;
        let files = self.store.files();
        write_offsets(files, &directory.file(RECOVERY_POINT_FILE), &recovery_points)?;
        write_offsets(files, &directory.file(LOG_START_FILE), &log_starts)?;
        write_offsets(files, &directory.file(REPLICATION_FILE), &high_watermarks)?;
        self.failpoints.hit(Failpoint::AfterCheckpoint)
    }

    /// Applies retention to every partition, removes files whose delay is over and forgets expired producers. `now_ms` is the
    /// broker's clock. Log start offsets that moved are checkpointed.
    pub fn run_retention(&self, now_ms: i64) -> Vec<RetentionEvent> {
        if self.check_open().is_err() {
            return Vec::new();
        }
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
                .filter(|log| directory.is_some_and(|directory| Arc::ptr_eq(directory, log.home())))
                .map(|log| PartitionDescription {
                    topic: log.topic().to_owned(),
                    partition: log.partition(),
                    size_bytes: log.state().size_bytes,
                    offset_lag: 0,
                })
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

    /// Does now what the threads of a store opened by `open_stepped` would do: the syncs that were asked for, one after another in the order
    /// of asking, and a look at the free bytes. Returns how many partitions were synced.
    pub fn step(&self) -> usize {
        self.sample_space();
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
        let mut result = Ok(());
        let mut failed: Vec<PathBuf> = Vec::new();
        let logs = self.partitions();
        let begun: Vec<Result<(), LogError>> = logs.iter().map(|log| log.begin_close()).collect();
        for directory in self.directories.iter().flatten() {
            let open = logs.iter().filter(|log| Arc::ptr_eq(log.home(), directory));
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

/// The thread that asks for free bytes. It writes nothing, so that a slow disk does not make it late.
struct SpaceWatch {
    is_stopped: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SpaceWatch {
    const INTERVAL: Duration = Duration::from_secs(1);

    fn start(directories: Vec<Arc<Directory>>) -> Self {
        let is_stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let stop = Arc::clone(&is_stopped);
        let run = move || {
            let (is_stopped, wake) = &*stop;
            let mut stopped = is_stopped.lock();
            while !*stopped {
                wake.wait_for(&mut stopped, Self::INTERVAL);
                for directory in &directories {
                    directory.sample_space();
                }
            }
        };
        // Without the thread nothing is reserved: the disk itself then refuses.
        let thread = std::thread::Builder::new().name("log-space".to_owned()).spawn(run).ok();
        Self { is_stopped, thread: Mutex::new(thread) }
    }

    /// Watches nothing.
    fn none() -> Self {
        Self { is_stopped: Arc::default(), thread: Mutex::new(None) }
    }

    fn stop(&self) {
        *self.is_stopped.0.lock() = true;
        self.is_stopped.1.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
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
        for log in self.partitions() {
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

/// The life that closed all directories in order: one directory that does not tell of it, or of another, and it did not (KIP-966).
fn common_epoch(epochs: &[i64]) -> i64 {
    match epochs {
        [first, others @ ..] if others.iter().all(|epoch| epoch == first) => *first,
        _ => NO_BROKER_EPOCH,
    }
}

/// Takes the clean-shutdown marker away and lists the partitions.
fn open_directory(
    store: &Arc<Store>,
    path: &Path,
    options: &StoreOptions,
) -> Result<Opened, LogError> {
    let files = store.files();
    let unusable = |error: std::io::Error| {
        LogError::new(
            LogError::LOG_DIR_NOT_WRITABLE,
            format!("cannot use {}: {error}", path.display()),
        )
    };
    let marker = path.join(CLEAN_SHUTDOWN_FILE);
    let is_distrusted = distrust::is_marked(files, path);
    if is_distrusted {
        distrust::forget_cached(files, path).map_err(unusable)?;
    }
    let has_marker = files.exists(&marker);
    let was_clean = has_marker && !is_distrusted;
    let broker_epoch =
        if was_clean { read_clean_shutdown(files, &marker) } else { NO_BROKER_EPOCH };
    if has_marker {
        files.remove_file(&marker).and_then(|()| files.sync_directory(path)).map_err(unusable)?;
    }
    let read = |name: &str| {
        let file = path.join(name);
        read_offsets(files, &file, |why| {
            let reaction = "every offset is found in the logs instead";
            let kind = FindingKind::OffsetCheckpoint;
            let mut finding = file_finding(&file, kind, why, reaction);
            finding.partition.clear();
            store.integrity.report(finding);
        })
    };
    let recovery_points = read(RECOVERY_POINT_FILE);
    let log_starts = read(LOG_START_FILE);
    let high_watermarks = read(REPLICATION_FILE);
    let directory = Directory::new(path.to_owned(), Arc::clone(store), options.disk_reserve_bytes);
    let mut partitions = Vec::new();
    let mut is_new = true;
    for entry in files.list(path).map_err(unusable)? {
        if !entry.is_directory {
            continue;
        }
        if entry.name.ends_with("-delete") && entry.name.contains('.') {
            directory.remove_later(path.join(&entry.name), true, 0);
            continue;
        }
        let Some((topic, partition)) = partition_of(&entry.name) else { continue };
        is_new = false;
        let key = (topic.clone(), partition);
        partitions.push(Known {
            topic,
            partition,
            path: path.join(&entry.name),
            config: options.defaults.clone(),
            is_clean: was_clean,
            recovery_point: recovery_points.get(&key).copied().unwrap_or(0),
            log_start_offset: log_starts.get(&key).copied().unwrap_or(0),
            high_watermark: high_watermarks.get(&key).copied(),
        });
    }
    // A directory without partitions has nothing to recover.
    Ok(Opened { directory, was_clean: was_clean || is_new, broker_epoch, partitions })
}

/// The topic of the cluster's own records, which lies beside the partitions and is kept by someone else.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Topic and partition in a directory's name; other directories are not ours.
fn partition_of(name: &str) -> Option<(String, i32)> {
    let (topic, partition) = name.rsplit_once('-').filter(|(topic, _)| *topic != METADATA_TOPIC)?;
    let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !topic.is_empty())
        .then(|| Some((topic.to_owned(), partition.parse().ok()?)))
        .flatten()
}

/// One directory at least is in use.
fn check_any(
    directories: &[Option<Arc<Directory>>],
    reports: &[DirectoryReport],
) -> Result<(), LogError> {
    if directories.iter().any(Option::is_some) {
        return Ok(());
    }
    let why: Vec<String> = reports.iter().filter_map(|report| report.error.clone()).collect();
    Err(LogError::new(LogError::LOG_DIR_NOT_WRITABLE, why.join("; ")))
}

/// A directory in which an fsync failed during recovery is left out as one that cannot be opened. What is read of its files may be in memory
/// only: nothing of it is served, no checkpoint and no clean-shutdown marker is written there, so that the next start recovers all of it again.
fn give_up_poisoned(
    directories: &mut [Option<Arc<Directory>>],
    reports: &mut [DirectoryReport],
    logs: &mut Vec<Loaded>,
) {
    for (index, (slot, report)) in directories.iter_mut().zip(reports).enumerate() {
        let Some(directory) = slot.take_if(|directory| directory.is_poisoned()) else { continue };
        let why = directory.failure().unwrap_or_default();
        logs.retain(|(of, log)| {
            if *of == index {
                log.abandon();
            }
            *of != index
        });
        directory.stop();
        report.directory_id.clear();
        report.error = Some(format!(
            "{} cannot be trusted, check its disk: recovery failed: {why}",
            directory.path.display()
        ));
    }
}

/// A partition and the index of its directory.
type Loaded = (usize, Arc<PartitionLog>);

/// Loads partitions on several threads; the answer is in the order of `found`.
fn load_all(
    directories: &[Option<Arc<Directory>>],
    found: Vec<(usize, Known)>,
    threads: usize,
    progress: &RecoveryProgress,
) -> Vec<Loaded> {
    progress.total.store(found.len() as u64, Ordering::Relaxed);
    let count = found.len();
    let work: Vec<Mutex<Option<(usize, Known)>>> =
        found.into_iter().map(|known| Mutex::new(Some(known))).collect();
    let results: Vec<Mutex<Option<Loaded>>> = (0..count).map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let load_some = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = work.get(at) else { return };
            let Some((index, known)) = slot.lock().take() else { continue };
            let Some(directory) = directories.get(index).and_then(Option::as_ref) else { continue };
            *progress.current.lock() = format!("{}-{}", known.topic, known.partition);
            let log = PartitionLog::load(directory, known);
            if let Some(result) = results.get(at) {
                *result.lock() = Some((index, log));
            }
            progress.done.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, 64).min(count.max(1)) {
            // Without the thread the others do its share.
            let _ = std::thread::Builder::new()
                .name("log-recovery".to_owned())
                .spawn_scoped(scope, load_some);
        }
        load_some();
    });
    progress.current.lock().clear();
    results.into_iter().filter_map(Mutex::into_inner).collect()
}
