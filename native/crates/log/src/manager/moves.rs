//! Moving a partition to another log directory of the same broker (KIP-113): a *future* replica in `topic-partition.<id>-future` of the target
//! copies from the current one while that goes on, and takes its place once it has everything.
//!
//! One native thread does all copying, a piece of each partition after another, so that nobody waits for it but the disks. The last step, per
//! partition, so that a crash or a power cut anywhere in it leaves one place from which everything acknowledged is served again:
//!
//! 1. What the future replica has is synced, and a file in its directory says which directory it replaces (`.sluice-replaces`). As long as its name ends
//!    with `-future` and there is a current replica, the file means nothing.
//! 2. With the current log's group commit held, and then its appends: the rest is copied and synced as far as the current one was.
//! 3. `-future` gets the plain name, the current one the name of a deleted partition (Kafka's order). Appends go on, into the new directory; the
//!    next group commit makes the names durable before anything is acknowledged from there.
//! 4. Both directories are synced, then the file is removed.
//!
//! A start that finds two replicas with plain names keeps the one whose file names the other's directory; one that finds a future replica alone
//! takes it for the partition when its file names a directory in which there is none. Everything else is a move that goes on
//! (`opening.rs:settle_moves`).
//!
//! A target that fails costs the move and nothing else; one that is full is tried again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use super::{LogManager, Partitions};
use crate::directory::Directory;
use crate::error::{KafkaCode, LogError};
use crate::failpoint::Failpoint;
use crate::identity::random_u64;
use crate::io::{FileSystem, is_out_of_descriptors, is_out_of_space, read_small, write_atomically};
use crate::partition::{Copied, CopyError, PartitionLog};
use crate::types::{PartitionDescription, TopicId};

/// How the directory of a future replica ends.
pub(super) const FUTURE_SUFFIX: &str = "-future";
/// In a future replica's directory: it has everything, and replaces the replica in the directory of this id.
pub(super) const REPLACES_FILE: &str = ".sluice-replaces";
const REPLACES_BYTES_MAX: u64 = 4096;
/// Longest file name that file systems take.
const NAME_BYTES_MAX: usize = 255;
/// Most bytes copied at once; a single batch may be larger.
const PIECE_BYTES: i64 = 1 << 20;
/// After a failure that may pass.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// After a last step that could not be done for writes that came meanwhile.
const BUSY_DELAY: Duration = Duration::from_millis(10);
/// Failures in a row, of a kind that does not pass by itself, after which a move stands still.
const FAILURES_MAX: u32 = 3;
const EVENTS_MAX: usize = 1000;

/// A future replica.
pub(super) struct Move {
    pub(super) future: Arc<PartitionLog>,
    not_before: Option<Instant>,
    failures: u32,
    /// Why nothing is copied any more.
    stopped: Option<String>,
    /// Somebody was told that it waits for room.
    is_waiting: bool,
}

impl Move {
    fn new(future: Arc<PartitionLog>) -> Self {
        Self { future, not_before: None, failures: 0, stopped: None, is_waiting: false }
    }
}

/// What became of a move, for whoever tells operators and the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveEvent {
    /// `moved`; `abandoned`: the target failed; `stopped`: it stands still; `waiting`: the target has no room for now.
    pub kind: &'static str,
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// Path of the directory it was in.
    pub from: String,
    /// Path of the directory it goes to.
    pub to: String,
    /// Why; empty for `moved`.
    pub reason: String,
}

/// The moves of a store.
pub(super) struct Moves {
    state: Mutex<MovesState>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Bytes a second; below 0 for no limit.
    rate: AtomicI64,
    events: Mutex<VecDeque<MoveEvent>>,
}

#[derive(Default)]
struct MovesState {
    is_stopped: bool,
    /// Something changed since the thread last looked.
    is_changed: bool,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            thread: Mutex::new(None),
            rate: AtomicI64::new(-1),
            events: Mutex::default(),
        }
    }
}

impl Moves {
    fn notify(&self) {
        self.state.lock().is_changed = true;
        self.wake.notify_all();
    }

    pub(super) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.wake.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }

    fn is_stopped(&self) -> bool {
        self.state.lock().is_stopped
    }

    /// Sleeps until the time is over or something changes.
    fn wait(&self, wait: Option<Duration>) {
        let mut state = self.state.lock();
        if !state.is_stopped && !state.is_changed {
            match wait {
                Some(wait) => {
                    self.wake.wait_for(&mut state, wait);
                }
                None => self.wake.wait(&mut state),
            }
        }
        state.is_changed = false;
    }

    fn tell(&self, event: MoveEvent) {
        let mut events = self.events.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
    }
}

/// Name of a partition's directory that is about to be removed.
pub(super) fn deleted_name(topic: &str, partition: i32) -> String {
    let suffix = format!(".{:016x}{:016x}-delete", random_u64(), random_u64());
    let name = format!("{topic}-{partition}");
    let kept = name.len().min(NAME_BYTES_MAX - suffix.len());
    format!("{}{suffix}", name.get(..kept).unwrap_or_default())
}

/// Id of the directory whose replica the one in `partition` replaces.
pub(super) fn read_replaced(files: &dyn FileSystem, partition: &Path) -> Option<String> {
    let path = partition.join(REPLACES_FILE);
    if !files.exists(&path) {
        return None;
    }
    let bytes = read_small(files, &path, REPLACES_BYTES_MAX).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let id = text.strip_prefix("version: 0\nreplaces: ")?.strip_suffix('\n')?;
    (!id.is_empty()).then(|| id.to_owned())
}

fn key_of(log: &PartitionLog) -> (String, i32) {
    (log.topic().to_owned(), log.partition())
}

/// What one look at a move came to.
enum Step {
    /// So many bytes were copied: there may be more.
    Copied(u64),
    /// Nothing to do before this time, or at all.
    Idle(Option<Instant>),
    /// The move is over.
    Over,
}

impl LogManager {
    /// Begins to move a partition to another directory, given by its index. In the directory it is in already, a move under way ends; a move to
    /// somewhere else is given up for this one.
    ///
    /// # Errors
    /// `PARTITION_UNKNOWN`, `INVALID_ARGUMENT` (no such directory, or the name is too long), `LOG_POISONED`, `LOG_QUARANTINED`, `LOG_IO`: nothing was begun,
    /// and a move to somewhere else may have ended.
    pub fn move_partition(&self, log: &Arc<PartitionLog>, target: usize) -> Result<(), LogError> {
        self.check_open()?;
        let key = key_of(log);
        self.forget_former(self.usable(target)?, &key)?;
        let mut partitions = self.partitions.write();
        if !partitions.by_name.get(&key).is_some_and(|known| Arc::ptr_eq(known, log)) {
            let message = format!("{}-{} is not here", key.0, key.1);
            return Err(LogError::new(LogError::PARTITION_UNKNOWN, message));
        }
        let directory = self.usable(target)?;
        log.check_writable()?;
        let is_there = |home: &Arc<Directory>| Arc::ptr_eq(home, directory);
        if let Some(known) = partitions.futures.get_mut(&key) {
            if is_there(&known.future.home()) {
                // Asked for again: whatever kept it from going on may be over.
                *known = Move::new(Arc::clone(&known.future));
                drop(partitions);
                self.moves.notify();
                return Ok(());
            }
            self.drop_future(&mut partitions, &key)?;
        }
        if is_there(&log.home()) {
            return Ok(());
        }
        self.begin_move(&mut partitions, log, target)?;
        drop(partitions);
        self.moves.notify();
        Ok(())
    }

    fn begin_move(
        &self,
        partitions: &mut Partitions,
        log: &PartitionLog,
        target: usize,
    ) -> Result<(), LogError> {
        let key = key_of(log);
        let id = format!("{:016x}{:016x}", random_u64(), random_u64());
        let name = format!("{}-{}.{id}{FUTURE_SUFFIX}", key.0, key.1);
        if name.len() > NAME_BYTES_MAX {
            let message = format!("{}-{} is too long a name to be moved", key.0, key.1);
            return Err(LogError::new(LogError::INVALID_ARGUMENT, message));
        }
        let future = PartitionLog::create_in(
            self.usable(target)?,
            &name,
            log.topic(),
            log.partition(),
            log.topic_id(),
            (*log.config()).clone(),
        )?;
        partitions.count(target, 1);
        partitions.futures.insert(key, Move::new(future));
        Ok(())
    }

    /// Index of the directory a partition is in.
    pub fn partition_directory(&self, log: &PartitionLog) -> Option<usize> {
        self.index_of(log)
    }

    /// Bytes a second that may be copied between directories; below 0 for no limit.
    pub fn set_move_rate(&self, bytes_per_second: i64) {
        self.moves.rate.store(bytes_per_second, Ordering::Relaxed);
        self.moves.notify();
    }

    /// What became of moves since the last call.
    pub fn take_move_events(&self) -> Vec<MoveEvent> {
        std::mem::take(&mut *self.moves.events.lock()).into()
    }

    /// Whether some partition is on its way to another directory.
    pub fn has_moves(&self) -> bool {
        !self.partitions.read().futures.is_empty()
    }

    /// Starts the thread that copies, unless it runs.
    ///
    /// # Errors
    /// No thread could be started: moves stand still.
    pub fn start_moves(self: &Arc<Self>) -> std::io::Result<()> {
        let mut thread = self.moves.thread.lock();
        if thread.is_some() || self.moves.is_stopped() {
            return Ok(());
        }
        let this = Arc::downgrade(self);
        let moves = Arc::clone(&self.moves);
        let run = move || {
            let mut next_copy = Instant::now();
            while !moves.is_stopped()
                && let Some(manager) = this.upgrade()
            {
                let wait = manager.run_moves(&mut next_copy);
                drop(manager);
                if wait != Some(Duration::ZERO) {
                    moves.wait(wait);
                }
            }
        };
        *thread = Some(std::thread::Builder::new().name("log-move".to_owned()).spawn(run)?);
        Ok(())
    }

    /// Lets each move copy a piece, within the rate; how long there is nothing to do.
    fn run_moves(&self, next_copy: &mut Instant) -> Option<Duration> {
        let mut next: Option<Instant> = None;
        let mut is_busy = false;
        let mut buffer = Vec::new();
        for key in self.moving() {
            if self.moves.is_stopped() {
                return None;
            }
            let rate = self.moves.rate.load(Ordering::Relaxed);
            let now = Instant::now();
            if rate == 0 {
                return None;
            }
            if rate > 0 && now < *next_copy {
                return Some(next_copy.saturating_duration_since(now));
            }
            let piece = if rate > 0 { rate.min(PIECE_BYTES) } else { PIECE_BYTES };
            match self.step_move(&key, piece, &mut buffer) {
                Step::Copied(bytes) => {
                    is_busy = true;
                    if rate > 0 {
                        let seconds = bytes as f64 / rate as f64;
                        *next_copy = now + Duration::from_secs_f64(seconds.min(3600.0));
                    }
                }
                Step::Idle(Some(until)) => next = Some(next.map_or(until, |at| at.min(until))),
                Step::Idle(None) | Step::Over => {}
            }
        }
        if is_busy {
            return Some(Duration::ZERO);
        }
        next.map(|at| at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))
    }

    /// Does what the thread does, for a store that has none: a piece of each move.
    pub(super) fn step_moves(&self) {
        let mut buffer = Vec::new();
        for key in self.moving() {
            self.step_move(&key, PIECE_BYTES, &mut buffer);
        }
    }

    fn moving(&self) -> Vec<(String, i32)> {
        self.partitions.read().futures.keys().cloned().collect()
    }

    /// The future replicas.
    pub(super) fn futures(&self) -> Vec<Arc<PartitionLog>> {
        let partitions = self.partitions.read();
        partitions.futures.values().map(|known| Arc::clone(&known.future)).collect()
    }

    pub(super) fn describe_futures(&self, directory: &Arc<Directory>) -> Vec<PartitionDescription> {
        let futures = self.futures();
        futures
            .into_iter()
            .filter(|future| Arc::ptr_eq(&future.home(), directory))
            .map(|future| {
                let state = future.state();
                let end = self
                    .partition(future.topic(), future.partition())
                    .map(|log| log.state().log_end_offset);
                PartitionDescription {
                    topic: future.topic().to_owned(),
                    partition: future.partition(),
                    size_bytes: state.size_bytes,
                    offset_lag: end.map_or(-1, |end| end - state.log_end_offset),
                    is_future: true,
                }
            })
            .collect()
    }

    /// The directory of this index, if it is in use.
    pub(super) fn usable(&self, index: usize) -> Result<&Arc<Directory>, LogError> {
        let Some(directory) = self.directories.get(index).and_then(Option::as_ref) else {
            return Err(LogError::new(
                LogError::INVALID_ARGUMENT,
                format!("no usable log directory {index}"),
            ));
        };
        directory.check()?;
        Ok(directory)
    }

    /// A future replica that was found at the start: it goes on, from what it has in common with the current one. One without a current
    /// replica waits for what the cluster says.
    pub(super) fn resume_move(&self, index: usize, future: &Arc<PartitionLog>) {
        let mut partitions = self.partitions.write();
        let key = key_of(future);
        let current = partitions.by_name.get(&key).cloned();
        partitions.count(index, 1);
        partitions.futures.insert(key.clone(), Move::new(Arc::clone(future)));
        let Some(current) = current else { return };
        let (ours, theirs) = (future.topic_id(), current.topic_id());
        let is_other = ours != theirs && ours != TopicId::ZERO && theirs != TopicId::ZERO;
        let is_useless = is_other
            || future.quarantined().is_some()
            || Arc::ptr_eq(&future.home(), &current.home())
            // What it has in common with one that cannot be read yet is not known.
            || current.quarantined().is_some();
        if !is_useless && future.align_with(&current).is_ok() {
            return;
        }
        let target = future.home();
        let is_dropped = self.drop_future(&mut partitions, &key).is_ok();
        let is_wanted = is_dropped && !is_other && !Arc::ptr_eq(&target, &current.home());
        drop(partitions);
        if is_wanted
            && let Some(index) = self.position_of(&target)
            && self.forget_former(&target, &key).is_ok()
        {
            // Copied from the beginning.
            let _ = self.begin_move(&mut self.partitions.write(), &current, index);
        }
    }

    fn position_of(&self, directory: &Arc<Directory>) -> Option<usize> {
        self.directories
            .iter()
            .position(|known| known.as_ref().is_some_and(|known| Arc::ptr_eq(known, directory)))
    }

    /// Ends a move: the future replica's files go, after the usual delay.
    pub(super) fn drop_future(
        &self,
        partitions: &mut Partitions,
        key: &(String, i32),
    ) -> Result<(), LogError> {
        let Some(known) = partitions.futures.get(key) else { return Ok(()) };
        let future = Arc::clone(&known.future);
        let directory = future.home();
        if !directory.is_poisoned() {
            let target = directory.file(&deleted_name(&key.0, key.1));
            let files = self.store.files();
            let rename = || -> std::io::Result<()> {
                self.failpoints.hit(Failpoint::BeforeRename)?;
                files.rename(&future.path(), &target)?;
                files.sync_directory(&directory.path)?;
                self.failpoints.hit(Failpoint::AfterRename)
            };
            future
                .delete_with(&target, rename)
                .map_err(|error| LogError::io("rename", &future.path(), &error))?;
            directory.remove_later(target, true, future.config().file_delete_delay_ms);
        }
        future.abandon();
        if let Some(index) = self.index_of(&future) {
            partitions.count(index, -1);
        }
        partitions.futures.remove(key);
        Ok(())
    }

    /// Takes a future replica that has no current one for the partition, where the cluster says that it is in that directory: its broker was
    /// Kafka, which tells the controller before it changes the names, or the other directory is gone.
    pub(super) fn adopt_future(
        &self,
        partitions: &mut Partitions,
        directory: &Arc<Directory>,
        topic: &str,
        partition: i32,
        topic_id: TopicId,
    ) -> Result<Option<Arc<PartitionLog>>, LogError> {
        let key = (topic.to_owned(), partition);
        let Some(known) = partitions.futures.get(&key) else { return Ok(None) };
        let future = Arc::clone(&known.future);
        if !Arc::ptr_eq(&future.home(), directory)
            || future.topic_id() != topic_id
            || future.quarantined().is_some()
        {
            self.drop_future(partitions, &key)?;
            return Ok(None);
        }
        let target = directory.file(&format!("{topic}-{partition}"));
        let files = self.store.files();
        let from = future.path();
        future
            .rename_to(&target, || {
                files.rename(&from, &target)?;
                files.sync_directory(&directory.path)
            })
            .map_err(|error| LogError::io("rename", &from, &error))?;
        partitions.futures.remove(&key);
        partitions.by_name.insert(key, Arc::clone(&future));
        partitions.in_order.push(Arc::clone(&future));
        Ok(Some(future))
    }

    /// One look at one move.
    fn step_move(&self, key: &(String, i32), max_bytes: i64, buffer: &mut Vec<u8>) -> Step {
        let (current, future) = {
            let partitions = self.partitions.read();
            let Some(known) = partitions.futures.get(key) else { return Step::Over };
            if known.stopped.is_some() {
                return Step::Idle(None);
            }
            if known.not_before.is_some_and(|at| at > Instant::now()) {
                return Step::Idle(known.not_before);
            }
            let Some(current) = partitions.by_name.get(key) else { return Step::Idle(None) };
            (Arc::clone(current), Arc::clone(&known.future))
        };
        let copied = current.copy_to(&future, max_bytes, buffer);
        match copied {
            Ok(Copied { is_near: true, .. }) => match self.finish_move(&current, &future) {
                Ok(true) => Step::Over,
                Ok(false) => self.delay(key, BUSY_DELAY),
                Err(error) => self.on_failure(key, &current, &future, &error),
            },
            Ok(Copied { bytes, .. }) => {
                if let Some(known) = self.partitions.write().futures.get_mut(key) {
                    known.failures = 0;
                    known.is_waiting = false;
                }
                Step::Copied(bytes)
            }
            Err(error) => self.on_failure(key, &current, &future, &error),
        }
    }

    fn delay(&self, key: &(String, i32), delay: Duration) -> Step {
        let until = Instant::now() + delay;
        if let Some(known) = self.partitions.write().futures.get_mut(key) {
            known.not_before = Some(until);
        }
        Step::Idle(Some(until))
    }

    fn on_failure(
        &self,
        key: &(String, i32),
        current: &Arc<PartitionLog>,
        future: &Arc<PartitionLog>,
        error: &CopyError,
    ) -> Step {
        let event = |kind, reason: &str| MoveEvent {
            kind,
            topic: key.0.clone(),
            partition: key.1,
            from: current.directory(),
            to: future.directory(),
            reason: reason.to_owned(),
        };
        if future.is_failed() {
            let mut partitions = self.partitions.write();
            let is_mine =
                partitions.futures.get(key).is_some_and(|known| Arc::ptr_eq(&known.future, future));
            if is_mine && self.drop_future(&mut partitions, key).is_ok() {
                drop(partitions);
                self.moves.tell(event("abandoned", &error.reason));
            }
            return Step::Over;
        }
        let mut partitions = self.partitions.write();
        let Some(known) = partitions.futures.get_mut(key) else { return Step::Over };
        if !Arc::ptr_eq(&known.future, future) {
            return Step::Over;
        }
        if current.is_failed() {
            known.stopped = Some(error.reason.clone());
            drop(partitions);
            self.moves.tell(event("stopped", &error.reason));
            return Step::Idle(None);
        }
        let until = Instant::now() + RETRY_DELAY;
        known.not_before = Some(until);
        if error.code == KafkaCode::KAFKA_STORAGE_ERROR {
            let is_first = !std::mem::replace(&mut known.is_waiting, true);
            drop(partitions);
            if is_first {
                self.moves.tell(event("waiting", &error.reason));
            }
            return Step::Idle(Some(until));
        }
        known.failures += 1;
        if known.failures < FAILURES_MAX {
            return Step::Idle(Some(until));
        }
        known.stopped = Some(error.reason.clone());
        drop(partitions);
        self.moves.tell(event("stopped", &error.reason));
        Step::Idle(None)
    }

    /// The last step; false when writes came meanwhile.
    fn finish_move(
        &self,
        current: &Arc<PartitionLog>,
        future: &Arc<PartitionLog>,
    ) -> Result<bool, CopyError> {
        let (source, target) = (current.home(), future.home());
        let files = self.store.files();
        let of_target = |error: std::io::Error| {
            if !is_out_of_space(&error) && !is_out_of_descriptors(&error) {
                target.poison(&format!("{}: {error}", target.path.display()));
            }
            CopyError::of_target(&future.path(), &error)
        };
        future.flush().map_err(|error| CopyError::storage(&error))?;
        let from = current.path();
        let stale = from.join(REPLACES_FILE);
        if files.exists(&stale) {
            // Of an earlier move: two replicas must not name each other.
            files
                .remove_file(&stale)
                .and_then(|()| files.sync_directory(&from))
                .map_err(|error| CopyError::of_target(&from, &error))?;
        }
        let id = self
            .position_of(&source)
            .and_then(|index| self.report.dirs.get(index))
            .map(|report| report.directory_id.clone())
            .unwrap_or_default();
        let text = format!("version: 0\nreplaces: {id}\n");
        write_atomically(files, &future.path().join(REPLACES_FILE), text.as_bytes())
            .map_err(of_target)?;
        self.failpoints.hit(Failpoint::DuringMove).map_err(of_target)?;

        let mut partitions = self.partitions.write();
        let key = key_of(current);
        let is_mine =
            partitions.futures.get(&key).is_some_and(|known| Arc::ptr_eq(&known.future, future));
        let is_current =
            partitions.by_name.get(&key).is_some_and(|known| Arc::ptr_eq(known, current));
        if !is_mine || !is_current {
            return Ok(true);
        }
        let plain = target.file(&format!("{}-{}", key.0, key.1));
        let deleted = source.file(&deleted_name(&key.0, key.1));
        let rename = || -> std::io::Result<()> {
            self.failpoints.hit(Failpoint::BeforeRename)?;
            files.rename(&future.path(), &plain)?;
            self.failpoints.hit(Failpoint::DuringMove)?;
            if let Err(error) = files.rename(&from, &deleted) {
                // As before, if that can still be had.
                files.rename(&plain, &future.path())?;
                return Err(error);
            }
            self.failpoints.hit(Failpoint::AfterRename)
        };
        if !current.replace_with(future, &plain, &deleted, rename)? {
            return Ok(false);
        }
        if let Some(index) = self.position_of(&source) {
            partitions.count(index, -1);
        }
        partitions.futures.remove(&key);
        drop(partitions);
        self.failpoints.hit(Failpoint::DuringMove).map_err(of_target)?;
        let sync = |directory: &Arc<Directory>| {
            let synced = files.sync_directory(&directory.path);
            if let Err(error) = &synced
                && !is_out_of_descriptors(error)
            {
                directory.poison(&format!("{}: {error}", directory.path.display()));
            }
            synced.and_then(|()| self.failpoints.hit(Failpoint::DuringMove))
        };
        let is_durable = sync(&target).and_then(|()| sync(&source));
        // Left there it names a directory without the partition, and the next start removes it.
        if is_durable.is_ok() && files.remove_file(&plain.join(REPLACES_FILE)).is_ok() {
            let _ = files.sync_directory(&plain);
        }
        source.remove_later(deleted, true, current.config().file_delete_delay_ms);
        self.moves.tell(MoveEvent {
            kind: "moved",
            topic: key.0,
            partition: key.1,
            from: source.path.to_string_lossy().into_owned(),
            to: target.path.to_string_lossy().into_owned(),
            reason: String::new(),
        });
        Ok(true)
    }
}

impl Partitions {
    /// Counts partitions in a directory.
    fn count(&mut self, directory: usize, change: isize) {
        if let Some(count) = self.counts.get_mut(directory) {
            *count = count.saturating_add_signed(change);
        }
    }
}
