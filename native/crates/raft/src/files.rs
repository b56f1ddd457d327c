//! A node's state in files: a store of ours of its own, locked, with the node's id in `meta.properties`.
//!
//! ```text
//! <metadata directory>/__cluster_raft/
//!   raft-0/          the log: one entry is one batch
//!   raft-state       term, vote, commit
//!   raft-snapshot    the newest state image
//! ```
//!
//! A start reads the whole log and checks every batch before anything is changed. A torn tail that nobody was promised is cut;
//! anything else that is wrong, or missing, is an error that names the file, and every file stays as it was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use raft::eraftpb::{Entry, HardState};
use sluice_log::io::{
    FileSystem, OpenMode, is_out_of_descriptors, is_out_of_space, is_sync_failure, read_full,
    read_small, sync_failure, write_atomically,
};
use sluice_log::{
    AppendRequest, KafkaCode, LogConfig, LogError, LogManager, Origin, PartitionLog, StoreOptions,
    TopicId,
};

use crate::cache::{Image, Stored, entry_bytes};
use crate::error::{RaftFailure, corrupt};
use crate::options::broker_id;
use crate::records::{Break, encode, scan};
use crate::state::{StateFile, decode_image, encode_image};
use crate::store::{WriteJob, Written};

/// Name of the directory inside the metadata directory.
pub(crate) const DIRECTORY: &str = "__cluster_raft";
const TOPIC: &str = "raft";
const LOG_DIRECTORY: &str = "raft-0";
const STATE_FILE: &str = "raft-state";
const IMAGE_FILE: &str = "raft-snapshot";
const STATE_BYTES_MAX: u64 = 4096;
const IMAGE_BYTES_MAX: u64 = 2 << 30;
const SEGMENT_BYTES: i64 = 16 << 20;
/// Entries are written in pieces of about this size.
const APPEND_BYTES: usize = 4 << 20;

/// See the head of the file.
pub(crate) struct FileStore {
    files: Arc<dyn FileSystem>,
    path: PathBuf,
    node_id: i64,
    manager: LogManager,
    log: Option<Arc<PartitionLog>>,
    loaded: Option<Stored>,
    /// Newest entry that is on disk.
    synced: u64,
    state: HardState,
    floor: u64,
    poison: Option<LogError>,
    /// The last write found no room.
    was_full: bool,
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn options(path: &Path, node_id: i64, cluster_id: Option<String>) -> StoreOptions {
    StoreOptions {
        dirs: vec![path.to_string_lossy().into_owned()],
        cluster_id,
        node_id: broker_id(node_id),
        defaults: config(),
        recovery_threads: 1,
        max_open_files: 16,
        disk_reserve_bytes: 0,
        verify_on_read: false,
        in_memory: false,
        scrub_bytes_per_second: 0,
        scrub_interval_ms: 0,
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT_BYTES,
        segment_ms: i64::MAX,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

fn unreadable(path: &Path, error: &io::Error) -> LogError {
    LogError::io("read", path, error)
}

fn read_if_there(
    files: &dyn FileSystem,
    path: &Path,
    max: u64,
) -> Result<Option<Vec<u8>>, LogError> {
    if !files.exists(path) {
        return Ok(None);
    }
    read_small(files, path, max).map(Some).map_err(|error| unreadable(path, &error))
}

/// Base index and path of each segment, oldest first.
fn segments(files: &dyn FileSystem, path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in files.list(path)? {
        if let Some(base) = entry.name.strip_suffix(".log").and_then(|base| base.parse().ok()) {
            found.push((base, path.join(&entry.name)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn read_segment(files: &dyn FileSystem, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open(path, OpenMode::ReadWrite)?;
    // An fsync that failed may have left bytes in memory that the disk does not have.
    file.forget_cached()?;
    let mut bytes = vec![0; file.length()? as usize];
    let count = read_full(&*file, &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Takes a torn tail away: what is behind the break was never promised to anybody.
fn cut(files: &dyn FileSystem, segments: &[(u64, PathBuf)], at: &Break) -> io::Result<()> {
    let Some((_, path)) = segments.get(at.segment) else { return Ok(()) };
    let file = files.open(path, OpenMode::ReadWrite)?;
    file.set_length(at.position as u64)?;
    file.sync_data().map_err(sync_failure)?;
    for (_, path) in segments.get(at.segment + 1..).unwrap_or_default() {
        for extension in ["log", "index", "timeindex", "txnindex", "snapshot"] {
            let path = path.with_extension(extension);
            if files.exists(&path) {
                files.remove_file(&path)?;
            }
        }
    }
    match path.parent() {
        Some(parent) => files.sync_directory(parent).map_err(sync_failure),
        None => Ok(()),
    }
}

/// What the files say, before the store is opened. `None`: the node is new.
struct Found {
    state: StateFile,
    image: Arc<Image>,
    entries: Vec<Entry>,
    /// The log is void: it begins anew behind the image.
    is_log_void: bool,
}

fn examine(files: &dyn FileSystem, path: &Path, node_id: i64) -> Result<Option<Found>, LogError> {
    let (state_path, image_path) = (path.join(STATE_FILE), path.join(IMAGE_FILE));
    let log_path = path.join(LOG_DIRECTORY);
    let state = read_if_there(files, &state_path, STATE_BYTES_MAX)?;
    let has_log = files.exists(&log_path);
    let segments = if has_log {
        segments(files, &log_path).map_err(|error| unreadable(&log_path, &error))?
    } else {
        Vec::new()
    };
    let mut contents = Vec::new();
    for (base, path) in &segments {
        let bytes = read_segment(files, path).map_err(|error| unreadable(path, &error))?;
        contents.push((*base, bytes));
    }
    let Some(state) = state else {
        // A start that was interrupted wrote no entries yet; anything else has lost its term and vote.
        if contents.iter().any(|(_, bytes)| !bytes.is_empty()) {
            return Err(corrupt(format!(
                "{} is missing, although {} has entries: without its term and vote this node could break its word",
                state_path.display(),
                log_path.display()
            )));
        }
        return Ok(None);
    };
    let state = StateFile::decode(&state)
        .ok_or_else(|| corrupt(format!("{} is damaged", state_path.display())))?;
    if state.node_id != node_id {
        return Err(corrupt(format!(
            "{} is of member {}, this is member {node_id}",
            state_path.display(),
            state.node_id
        )));
    }
    let image = read_if_there(files, &image_path, IMAGE_BYTES_MAX)?
        .ok_or_else(|| corrupt(format!("{} is missing", image_path.display())))?;
    let image = decode_image(&image)
        .ok_or_else(|| corrupt(format!("{} is damaged", image_path.display())))?;
    if !has_log {
        return Err(corrupt(format!("{} is missing", log_path.display())));
    }
    let scanned = scan(&contents);
    drop(contents);
    if let Some(at) = &scanned.broken {
        let promised = at.synced_behind.max(state.floor).max(state.state.commit);
        let where_ = segments.get(at.segment).map_or(&log_path, |(_, path)| path);
        if !at.is_torn || at.index <= promised {
            return Err(corrupt(format!(
                "{} is damaged at byte {}, where entry {} should be: {}. It may have been acknowledged; nothing was changed",
                where_.display(),
                at.position,
                at.index,
                at.why
            )));
        }
        cut(files, &segments, at).map_err(|error| LogError::io("cut", where_, &error))?;
    }
    let entries = scanned.entries;
    let first = entries.first().map_or(image.index + 1, |entry| entry.index);
    let last = entries.last().map_or(0, |entry| entry.index);
    if first > image.index + 1 {
        return Err(corrupt(format!(
            "{} begins with entry {first}, but the image ends at {}: entries are missing",
            log_path.display(),
            image.index
        )));
    }
    let meets_image = image.index + 1 == first
        || entries.iter().any(|entry| (entry.index, entry.term) == (image.index, image.term));
    let is_log_void = !meets_image;
    let end = if is_log_void { image.index } else { last.max(image.index) };
    let promised = state.floor.max(state.state.commit);
    if end < promised {
        return Err(corrupt(format!(
            "{} ends at entry {end}, but had entries up to {promised}: some are missing",
            log_path.display()
        )));
    }
    let entries = if is_log_void { Vec::new() } else { entries };
    Ok(Some(Found { state, image, entries, is_log_void }))
}

impl FileStore {
    /// Opens (or prepares) the directory below the metadata directory.
    ///
    /// # Errors
    /// `RAFT_CORRUPT`, or what the log store refuses an open with; files are as they were.
    pub(crate) fn open(
        files: Arc<dyn FileSystem>,
        metadata_directory: &Path,
        node_id: i64,
        cluster_id: Option<String>,
    ) -> Result<Self, LogError> {
        let path = metadata_directory.join(DIRECTORY);
        files
            .create_directory(&path)
            .and_then(|()| files.sync_directory(metadata_directory))
            .map_err(|error| LogError::io("create", &path, &error))?;
        let lock = files.lock(&path.join(".lock")).map_err(|error| {
            let message = format!("cannot lock {}: {error}", path.display());
            LogError::new(LogError::LOG_DIR_LOCKED, message)
        })?;
        let found = examine(&*files, &path, node_id)?;
        // The store takes the lock itself; a process that comes between makes its open fail.
        drop(lock);
        let manager =
            LogManager::open_stepped(Arc::clone(&files), options(&path, node_id, cluster_id))?;
        let log = manager.partition(TOPIC, 0);
        let mut store = Self {
            files,
            path,
            node_id,
            manager,
            log,
            loaded: None,
            synced: 0,
            state: HardState::default(),
            floor: 0,
            poison: None,
            was_full: false,
        };
        if let Some(found) = found {
            store.adopt(found)?;
        }
        Ok(store)
    }

    fn adopt(&mut self, found: Found) -> Result<(), LogError> {
        let Found { state: file, image, entries, is_log_void } = found;
        let log = self.log()?;
        if let Some(why) = log.quarantined() {
            return Err(corrupt(format!("{}: {why}", log.path().display())));
        }
        if is_log_void || entries.is_empty() {
            log.truncate_fully_and_start_at(image.index as i64 + 1)?;
        }
        self.synced = entries.last().map_or(image.index, |entry| entry.index);
        if log.state().log_end_offset != self.synced as i64 + 1 {
            return Err(corrupt(format!(
                "{} ends at {}, but has entries up to {}",
                log.path().display(),
                log.state().log_end_offset,
                self.synced
            )));
        }
        log.flush()?;
        let mut state = file.state;
        // A crash between entries and term: the entries were acknowledged to nobody, but their term was seen.
        if let Some(last) = entries.last().filter(|last| last.term > state.term) {
            state.term = last.term;
            state.vote = 0;
        }
        state.commit = state.commit.max(image.index);
        // Written anew: what was read may never have reached the disk, if the last directory sync failed.
        self.write_state(&state)?;
        self.loaded = Some(Stored { hard_state: state, image, entries });
        Ok(())
    }

    pub(crate) fn take_loaded(&mut self) -> Option<Stored> {
        self.loaded.take()
    }

    fn log(&self) -> Result<Arc<PartitionLog>, LogError> {
        self.log.clone().ok_or_else(|| {
            corrupt(format!("{} is missing", self.path.join(LOG_DIRECTORY).display()))
        })
    }

    pub(crate) fn begin(&mut self, stored: &Stored) -> Result<(), LogError> {
        let log = match &self.log {
            Some(log) => Arc::clone(log),
            None => self.manager.create_partition(TOPIC, 0, TopicId::ZERO, None, config())?,
        };
        log.truncate_fully_and_start_at(stored.image.index as i64 + 1)?;
        self.log = Some(log);
        self.write_image(&stored.image)?;
        self.synced = stored.image.index;
        // Last: from now on the node is one that has begun.
        self.write_state(&stored.hard_state)
    }

    /// Writes and syncs everything of the job.
    ///
    /// # Errors
    /// `DISK_FULL`: some of the job may be there, and it can be given again. `RAFT_POISONED`: the store takes nothing more.
    pub(crate) fn write(&mut self, job: &WriteJob) -> Result<Written, LogError> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        if std::mem::take(&mut self.was_full) {
            self.manager.sample_space();
        }
        let result = self.write_parts(job);
        if let Err(error) = &result {
            if error.code == RaftFailure::DISK_FULL {
                self.was_full = true;
            } else {
                self.poison = Some(LogError::new(RaftFailure::POISONED, error.message.clone()));
            }
        }
        result
    }

    fn write_parts(&mut self, job: &WriteJob) -> Result<Written, LogError> {
        let log = self.log()?;
        if let Some(image) = &job.received {
            self.write_image(image)?;
            log.truncate_fully_and_start_at(image.index as i64 + 1).map_err(poisoned)?;
            self.synced = image.index;
            self.floor = self.floor.min(image.index);
        }
        if let Some(from) = job.entries_from {
            self.write_entries(&log, from, &job.entries)?;
        }
        if let Some(state) = &job.state {
            self.write_state(state)?;
        }
        let mut written = Written::default();
        if let Some((image, first_kept)) = &job.own {
            match self.write_image(image) {
                Ok(()) => self.drop_before(&log, *first_kept),
                Err(error) if error.code == RaftFailure::DISK_FULL => {
                    written.own_failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn write_entries(
        &mut self,
        log: &PartitionLog,
        from: u64,
        entries: &[Entry],
    ) -> Result<(), LogError> {
        let end = log.state().log_end_offset as u64;
        if from > end {
            let message = format!("entry {from} does not follow the log, which ends before {end}");
            return Err(LogError::new(RaftFailure::POISONED, message));
        }
        if from < end {
            if from <= self.floor {
                // The log is about to be shorter than the state file says it is.
                self.synced = self.synced.min(from - 1);
                let state = self.state.clone();
                self.write_state(&state)?;
            }
            log.truncate_to(from as i64).map_err(poisoned)?;
        }
        self.synced = self.synced.min(from - 1);
        let (mut bytes, now_ms) = (Vec::new(), now_ms());
        for (at, entry) in entries.iter().enumerate() {
            bytes.extend_from_slice(&encode(entry, self.synced, now_ms)?);
            let next = entries.get(at + 1).map_or(usize::MAX / 2, entry_bytes);
            if bytes.len() + next > APPEND_BYTES {
                append(log, &mut bytes, now_ms)?;
                bytes.clear();
            }
        }
        log.flush().map_err(|error| match log.write_refusal() {
            Some(_) => poisoned(error),
            // No descriptor to sync with: nothing is known to be wrong.
            None => LogError::new(RaftFailure::DISK_FULL, error.message),
        })?;
        self.synced = log.state().log_end_offset as u64 - 1;
        Ok(())
    }

    fn write_state(&mut self, state: &HardState) -> Result<(), LogError> {
        let file = StateFile { node_id: self.node_id, state: state.clone(), floor: self.synced };
        self.replace(STATE_FILE, file.encode().as_bytes())?;
        self.state = state.clone();
        self.floor = self.synced;
        Ok(())
    }

    fn write_image(&self, image: &Image) -> Result<(), LogError> {
        self.replace(IMAGE_FILE, &encode_image(image))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        let path = self.path.join(name);
        write_atomically(&*self.files, &path, bytes).map_err(|error| {
            let passes = !is_sync_failure(&error)
                && (is_out_of_space(&error) || is_out_of_descriptors(&error));
            let code = if passes { RaftFailure::DISK_FULL } else { RaftFailure::POISONED };
            LogError::new(code, format!("cannot write {}: {error}", path.display()))
        })
    }

    /// Lets segments go that hold nothing from `first_kept` on. What fails here is done by a later call, or by nobody: the image stands.
    fn drop_before(&self, log: &PartitionLog, first_kept: u64) {
        if log.delete_records(first_kept as i64).is_ok() {
            self.manager.run_retention(now_ms());
            self.manager.step();
        }
    }

    pub(crate) fn close(&mut self) -> Result<(), LogError> {
        if self.poison.is_none() && self.log.is_some() && self.floor != self.synced {
            let state = self.state.clone();
            // A hint for the next start; without it there is one less thing to check.
            let _ = self.write_state(&state);
        }
        self.manager.close()
    }
}

fn poisoned(error: LogError) -> LogError {
    LogError::new(RaftFailure::POISONED, error.message)
}

fn append(log: &PartitionLog, bytes: &mut [u8], now_ms: i64) -> Result<(), LogError> {
    let request = AppendRequest { leader_epoch: -1, acks: 1, origin: Origin::RawFollower, now_ms };
    log.append(bytes, &request).map(drop).map_err(|refusal| {
        let passes =
            refusal.code == KafkaCode::KAFKA_STORAGE_ERROR && log.write_refusal().is_none();
        let code = if passes { RaftFailure::DISK_FULL } else { RaftFailure::POISONED };
        LogError::new(code, refusal.message)
    })
}
