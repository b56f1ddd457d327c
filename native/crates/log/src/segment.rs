//! One segment: a `.log` file with its sparse indexes and its index of aborted transactions.
//!
//! Indexes of closed segments are opened when they are first needed, checked against the log, and rebuilt when they do not fit.
//! Appends come from one thread at a time (the partition's lock); reads take only the short lock around the indexes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::batch::BatchHeader;
use crate::cache::{FileCache, Slot};
use crate::failpoint::{Failpoint, Failpoints};
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::integrity::{Finding, FindingKind, Hole, Integrity};
use crate::io::{
    FileSystem, StoreFile, is_out_of_descriptors, is_out_of_space, read_small, sync_failure,
    write_full,
};
use crate::scan::Scanned;
use crate::statistics::FlushStatistics;
use crate::transactions::{AbortedEntry, decode_aborted};

mod ahead;
mod find;

pub(crate) use find::Bounds;
pub use find::ReadScratch;

const LOOKUP_WINDOW_BYTES: usize = 4 << 10;
const WALK_WINDOW_BYTES: usize = 64 << 10;
const TXN_INDEX_BYTES_MAX: u64 = 64 << 20;

/// What segments share: files, failpoints, reading policy.
pub(crate) struct Store {
    pub(crate) cache: Arc<FileCache>,
    pub(crate) failpoints: Arc<Failpoints>,
    pub(crate) verify_on_read: bool,
    pub(crate) flushes: FlushStatistics,
    pub(crate) integrity: Arc<Integrity>,
    pub(crate) brokers: crate::partition::Brokers,
}

impl Store {
    pub(crate) fn files(&self) -> &dyn FileSystem {
        self.cache.files()
    }
}

/// `00000000000000000042.log` and the like.
pub(crate) fn file_name(offset: i64, suffix: &str) -> String {
    format!("{offset:020}.{suffix}")
}

/// The offset in a segment file's name, when the name has the suffix.
pub(crate) fn offset_of(name: &str, suffix: &str) -> Option<i64> {
    let stem = name.strip_suffix(suffix)?.strip_suffix('.')?;
    (stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| stem.parse().ok())
        .flatten()
}

/// `topic-partition` of a file in a partition's directory.
pub(crate) fn partition_name(path: &Path) -> String {
    path.parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Suffixes of a segment's files.
pub(crate) const SEGMENT_SUFFIXES: [&str; 4] = ["log", "index", "timeindex", "txnindex"];

/// Why something is not known to be on disk.
pub(crate) enum SyncError {
    /// The file could not be opened for now: the sync can be asked for again.
    NotBegun(io::Error),
    /// The sync itself failed: asking again would prove nothing.
    Failed(io::Error),
}

impl SyncError {
    /// Of a call that opens something and may find no descriptor, no room, or a file system that takes no writes.
    pub(crate) fn of_open(error: io::Error) -> Self {
        let is_passing = is_out_of_descriptors(&error)
            || is_out_of_space(&error)
            || error.kind() == io::ErrorKind::ReadOnlyFilesystem;
        if is_passing { Self::NotBegun(error) } else { Self::Failed(error) }
    }
}

/// A batch found by a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    store: Arc<Store>,
    log: Arc<Slot>,
    size: AtomicU64,
    /// Bytes were written since the last sync.
    is_dirty: AtomicBool,
    /// Closed, and its indexes are on disk.
    is_index_synced: AtomicBool,
    /// A refused append left bytes behind the end that could not be cut off yet.
    needs_cut: AtomicBool,
    ahead: ahead::Ahead,
    state: Mutex<State>,
    ends: Mutex<find::ReadEnds>,
    /// Damaged places, ascending; looked at only when there are any.
    holes: RwLock<Option<Arc<[Hole]>>>,
    has_holes: AtomicBool,
    /// A reader saw something wrong, and the segment was or is being checked for that.
    was_suspected: AtomicBool,
    /// The disk did not give it when it was last checked.
    is_unreadable: AtomicBool,
}

/// See [`Segment::tail`].
pub(crate) struct Tail {
    /// Time of the first batch, -1 when it has none.
    pub(crate) first_timestamp: i64,
    /// Entries that each of the indexes still takes.
    pub(crate) index_room: u64,
}

struct State {
    indexes: Option<Indexes>,
    aborted: Option<Vec<AbortedEntry>>,
    /// Time of the first batch, for rolling by age; `None` when not looked up, -1 when it has none.
    first_timestamp: Option<i64>,
}

struct Indexes {
    offset: Index<OffsetEntry>,
    time: Index<TimeEntry>,
    bytes_since_entry: u64,
    max_timestamp: i64,
    max_timestamp_offset: i64,
    interval_bytes: u64,
}

impl Indexes {
    /// Notes a batch at `position`, as Kafka's `LogSegment.append` does.
    fn on_batch(
        &mut self,
        base_offset: i64,
        position: u64,
        header: &BatchHeader,
        failpoints: &Failpoints,
    ) -> io::Result<()> {
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_offset = header.last_offset();
        }
        let mut result = Ok(());
        if self.bytes_since_entry > self.interval_bytes {
            let relative_offset = relative(base_offset, header.last_offset());
            if let (Some(relative_offset), Ok(position)) =
                (relative_offset, i32::try_from(position))
            {
                result = self.offset.push(OffsetEntry { relative_offset, position }, failpoints);
            }
            result = result.and(self.push_time(base_offset, failpoints));
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size() as u64;
        result
    }

    /// Adds the largest timestamp so far, if it is larger than the last entry's.
    fn push_time(&mut self, base_offset: i64, failpoints: &Failpoints) -> io::Result<()> {
        if self.max_timestamp < 0
            || self.time.last().is_some_and(|last| last.timestamp >= self.max_timestamp)
        {
            return Ok(());
        }
        match relative(base_offset, self.max_timestamp_offset) {
            Some(relative_offset) => self
                .time
                .push(TimeEntry { timestamp: self.max_timestamp, relative_offset }, failpoints),
            None => Ok(()),
        }
    }
}

fn relative(base_offset: i64, offset: i64) -> Option<i32> {
    i32::try_from(offset.checked_sub(base_offset)?).ok().filter(|relative| *relative >= 0)
}

impl Segment {
    /// A new, empty segment. Files of the same name are emptied or removed when they are written.
    pub(crate) fn create(
        store: &Arc<Store>,
        directory: &Path,
        base_offset: i64,
        interval_bytes: i64,
    ) -> Self {
        let segment = Self::open(store, directory, base_offset, 0);
        *segment.state.lock() = State {
            indexes: Some(segment.empty_indexes(interval_bytes)),
            aborted: Some(Vec::new()),
            first_timestamp: None,
        };
        segment
    }

    /// A segment that exists, of this many bytes. Nothing is read yet.
    pub(crate) fn open(store: &Arc<Store>, directory: &Path, base_offset: i64, size: u64) -> Self {
        Self {
            base_offset,
            store: Arc::clone(store),
            log: store.cache.slot(directory.join(file_name(base_offset, "log"))),
            size: AtomicU64::new(size),
            is_dirty: AtomicBool::new(false),
            is_index_synced: AtomicBool::new(true),
            needs_cut: AtomicBool::new(false),
            ahead: ahead::Ahead::default(),
            state: Mutex::new(State { indexes: None, aborted: None, first_timestamp: None }),
            ends: Mutex::default(),
            holes: RwLock::new(None),
            has_holes: AtomicBool::new(false),
            was_suspected: AtomicBool::new(false),
            is_unreadable: AtomicBool::new(false),
        }
    }

    /// Whether the disk did not give it when it was last checked.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.is_unreadable.load(Ordering::Acquire)
    }

    pub(crate) fn set_unreadable(&self, is_unreadable: bool) {
        self.is_unreadable.store(is_unreadable, Ordering::Release);
    }

    /// Damaged places, if there are any.
    pub(crate) fn holes(&self) -> Option<Arc<[Hole]>> {
        if !self.has_holes.load(Ordering::Acquire) {
            return None;
        }
        self.holes.read().clone()
    }

    /// Replaces what is known to be damaged.
    pub(crate) fn set_holes(&self, mut holes: Vec<Hole>) {
        holes.sort_by_key(|hole| hole.from);
        let is_any = !holes.is_empty();
        *self.holes.write() = is_any.then(|| Arc::from(holes));
        self.has_holes.store(is_any, Ordering::Release);
    }

    /// Notes a reader's suspicion; answers whether it is the first.
    pub(crate) fn suspect(&self) -> bool {
        !self.was_suspected.swap(true, Ordering::AcqRel)
    }

    /// Makes damaged indexes anew from the log, in memory and in their files.
    pub(crate) fn replace_indexes(
        &self,
        what: &str,
        kind: FindingKind,
        detail: &str,
        found_by: &'static str,
    ) -> io::Result<()> {
        let suffix = if kind == FindingKind::TimeIndex { "timeindex" } else { "index" };
        let reaction = format!("the {what} was rebuilt from the log");
        self.report_rebuilt(kind, suffix, detail, &reaction, found_by);
        let mut state = self.state.lock();
        let interval_bytes = state.indexes.as_ref().map_or(4096, |indexes| indexes.interval_bytes);
        state.indexes = Some(self.rebuild_indexes(interval_bytes as i64)?);
        self.is_index_synced.store(false, Ordering::Release);
        Ok(())
    }

    /// Reports a file beside the log that was made anew: nothing is lost.
    pub(crate) fn report_rebuilt(
        &self,
        kind: FindingKind,
        suffix: &str,
        detail: &str,
        reaction: &str,
        found_by: &'static str,
    ) {
        let path = self.path_of(suffix);
        self.store.integrity.report(Finding {
            id: 0,
            kind,
            partition: partition_name(&path),
            file: path.to_string_lossy().into_owned(),
            position: -1,
            end_position: -1,
            first_offset: -1,
            last_offset: -1,
            detail: detail.to_owned(),
            reaction: reaction.to_owned(),
            found_by,
        });
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.log.path()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn file(&self) -> io::Result<Arc<dyn StoreFile>> {
        self.log.file()
    }

    /// The file of a segment that has one; removed segments are an error of kind `NotFound`.
    pub(crate) fn existing(&self) -> io::Result<Arc<dyn StoreFile>> {
        self.log.existing()
    }

    fn path_of(&self, suffix: &str) -> PathBuf {
        self.log.path().with_extension(suffix)
    }

    fn empty_indexes(&self, interval_bytes: i64) -> Indexes {
        let slot = |suffix| self.store.cache.slot(self.path_of(suffix));
        Indexes {
            offset: Index::empty(slot("index")),
            time: Index::empty(slot("timeindex")),
            bytes_since_entry: 0,
            max_timestamp: -1,
            max_timestamp_offset: self.base_offset,
            interval_bytes: interval_bytes.max(0) as u64,
        }
    }

    /// Writes batches at the end: one `pwrite`. `note_written` follows. On an error the segment is as before: bytes of a short write are
    /// cut off again, and as long as that fails too, nothing more is taken. (They could hold a whole batch, which a recovery would
    /// believe.)
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let position = self.size();
        self.store.failpoints.hit(Failpoint::BeforeAppend)?;
        self.cut_rest()?;
        let file = if position == 0 { self.log.file()? } else { self.log.existing()? };
        self.ahead.ask(&*file, position, bytes.len() as u64);
        let written = write_full(&*file, bytes, position)
            .and_then(|()| self.store.failpoints.hit(Failpoint::AfterAppend));
        // Only now: a sync that ran since the write began may have missed it, and must not leave the segment as clean.
        self.is_dirty.store(true, Ordering::Release);
        if let Err(error) = written {
            self.needs_cut.store(true, Ordering::Release);
            let _ = self.cut_rest();
            // EBADF, EROFS: opened while the file system took no writes; the next append opens it anew.
            if matches!(error.raw_os_error(), Some(9 | 30)) {
                self.log.close();
            }
            return Err(error);
        }
        self.size.store(position + bytes.len() as u64, Ordering::Release);
        Ok(())
    }

    /// Notes the batches of a `write` that began at `position`.
    pub(crate) fn note_written<'a>(
        &self,
        position: u64,
        headers: impl Iterator<Item = &'a BatchHeader>,
        interval_bytes: i64,
    ) {
        let mut state = self.state.lock();
        let mut at = position;
        for header in headers {
            if at == 0 && state.first_timestamp.is_none() {
                state.first_timestamp = Some(header.max_timestamp);
            }
            if let Some(indexes) = &mut state.indexes {
                indexes.interval_bytes = interval_bytes.max(0) as u64;
                // An index that cannot be written waits in memory and is rebuilt after a crash: no reason to refuse records.
                let _ = indexes.on_batch(self.base_offset, at, header, &self.store.failpoints);
            }
            at += header.size() as u64;
        }
    }

    /// Cuts off what a refused append left behind the end.
    pub(crate) fn cut_rest(&self) -> io::Result<()> {
        if !self.needs_cut.load(Ordering::Acquire) {
            return Ok(());
        }
        let file = self.log.existing()?;
        let size = self.size();
        if file.length()? > size {
            file.set_length(size)?;
        }
        self.needs_cut.store(false, Ordering::Release);
        Ok(())
    }

    /// Runs `with` on the indexes; opens them, and rebuilds them when they do not fit the log.
    fn with_indexes<T>(&self, with: impl FnOnce(&mut Indexes) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.indexes.is_none() {
            let opened = self.open_indexes()?;
            if opened.is_none() {
                if self.store.files().exists(&self.path_of("index")) {
                    self.report_rebuilt(
                        FindingKind::OffsetIndex,
                        "index",
                        "the indexes do not fit the log",
                        "they were rebuilt from the log",
                        "read",
                    );
                }
                self.is_index_synced.store(false, Ordering::Release);
            }
            let indexes = match opened {
                Some(indexes) => indexes,
                None => self.rebuild_indexes(4096)?,
            };
            state.indexes = Some(indexes);
        }
        match &mut state.indexes {
            Some(indexes) => with(indexes),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// The index files as they are, when they fit the log.
    fn open_indexes(&self) -> io::Result<Option<Indexes>> {
        let size = self.size();
        let mut indexes = self.empty_indexes(4096);
        if size == 0 {
            return Ok(Some(indexes));
        }
        let open = |slot: &Arc<Slot>| -> io::Result<Option<u64>> {
            match slot.existing() {
                Ok(file) => Ok(Some(file.length()?)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        let (offset_slot, time_slot) =
            (Arc::clone(indexes.offset.slot()), Arc::clone(indexes.time.slot()));
        let Some(mut offset) =
            Index::<OffsetEntry>::open(Arc::clone(&offset_slot), open(&offset_slot)?)?
        else {
            return Ok(None);
        };
        let Some(time) = Index::<TimeEntry>::open(Arc::clone(&time_slot), open(&time_slot)?)?
        else {
            return Ok(None);
        };
        if let Some(last) = offset.last() {
            // The last entry must name a batch that is there.
            let position = last.position as u64;
            if last.relative_offset < 0 || last.position < 0 || position >= size {
                return Ok(None);
            }
            let mut scanner = self.scanner(position, size, LOOKUP_WINDOW_BYTES)?;
            match scanner.next_header()? {
                Scanned::Batch { header, .. }
                    if header.last_offset()
                        == self.base_offset + i64::from(last.relative_offset) => {}
                _ => return Ok(None),
            }
            indexes.bytes_since_entry = size - position;
        } else {
            indexes.bytes_since_entry = size;
        }
        if let Some(last) = time.last() {
            // The entry must name a batch that has this timestamp.
            let last_offset = self.base_offset + i64::from(last.relative_offset);
            let hint = offset.floor(|entry| {
                self.base_offset + i64::from(entry.relative_offset) <= last_offset
            })?;
            let from = hint.map_or(0, |entry| entry.position.max(0) as u64);
            match self.locate_from(from, last_offset)? {
                Some(Located { header, .. })
                    if header.last_offset() == last_offset
                        && header.max_timestamp == last.timestamp => {}
                _ => return Ok(None),
            }
            indexes.max_timestamp = last.timestamp;
            indexes.max_timestamp_offset = self.base_offset + i64::from(last.relative_offset);
        } else {
            // Every log with timestamps has an entry once it is closed.
            return Ok(None);
        }
        indexes.offset = offset;
        indexes.time = time;
        Ok(Some(indexes))
    }

    /// Indexes made from the log, by headers alone. Stops at the first bad batch.
    fn rebuild_indexes(&self, interval_bytes: i64) -> io::Result<Indexes> {
        let mut indexes = self.empty_indexes(interval_bytes);
        let mut scanner = self.scanner(0, self.size(), WALK_WINDOW_BYTES)?;
        while let Scanned::Batch { position, header } = scanner.next_header()? {
            indexes.on_batch(self.base_offset, position, &header, &self.store.failpoints)?;
        }
        Ok(indexes)
    }

    /// Starts the indexes anew: recovery fills them with `recovered`.
    pub(crate) fn reset_indexes(&self, interval_bytes: i64) {
        let mut state = self.state.lock();
        state.indexes = Some(self.empty_indexes(interval_bytes));
        self.is_index_synced.store(false, Ordering::Release);
    }

    /// Recovery found this good batch.
    pub(crate) fn recovered(&self, position: u64, header: &BatchHeader) -> io::Result<()> {
        self.with_indexes(|indexes| {
            indexes.on_batch(self.base_offset, position, header, &self.store.failpoints)
        })
    }

    /// Cuts the log file at `size`, which is a batch's end.
    pub(crate) fn cut(&self, size: u64) -> io::Result<()> {
        let file = self.log.file()?;
        file.set_length(size)?;
        self.size.store(size, Ordering::Release);
        self.ends.lock().forget();
        self.is_dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// First batch whose largest timestamp is at least `timestamp` and that ends at or after `offset`.
    pub(crate) fn locate_time(&self, timestamp: i64, offset: i64) -> io::Result<Option<Located>> {
        let size = self.size();
        if size == 0 {
            return Ok(None);
        }
        let by_time =
            self.with_indexes(|indexes| indexes.time.floor(|entry| entry.timestamp < timestamp))?;
        let by_time = self.checked_time(by_time)?;
        let hint = self.with_indexes(|indexes| {
            let from = by_time.unwrap_or(self.base_offset).max(offset);
            indexes
                .offset
                .floor(|entry| self.base_offset + i64::from(entry.relative_offset) <= from)
        })?;
        let mut from = self.checked_hint(hint, size)?.unwrap_or(0);
        loop {
            let mut scanner = self.scanner(from, size, WALK_WINDOW_BYTES)?;
            let mut saw_any = false;
            while let Scanned::Batch { position, header } = scanner.next_header()? {
                saw_any = true;
                if header.max_timestamp >= timestamp && header.last_offset() >= offset {
                    return Ok(Some(Located { position, header }));
                }
            }
            if saw_any || from == 0 {
                return Ok(None);
            }
            from = 0;
        }
    }

    /// The offset of an entry of the time index, if a batch there has its timestamp; the indexes are made anew when none has.
    fn checked_time(&self, entry: Option<TimeEntry>) -> io::Result<Option<i64>> {
        let Some(entry) = entry else { return Ok(None) };
        let offset = self.base_offset + i64::from(entry.relative_offset);
        let is_damaged_place =
            self.holes().is_some_and(|holes| holes.iter().any(|hole| hole.holds(offset)));
        let found = self.locate(offset)?;
        if is_damaged_place
            || found.is_some_and(|found| {
                found.header.base_offset <= offset && found.header.max_timestamp == entry.timestamp
            })
        {
            return Ok(Some(offset));
        }
        let detail = format!("no batch with offset {offset} has timestamp {}", entry.timestamp);
        self.replace_indexes("time index", FindingKind::TimeIndex, &detail, "read")?;
        Ok(None)
    }

    /// Largest timestamp and the last offset of the batch that has it; -1 when no batch has one.
    pub(crate) fn max_timestamp(&self) -> io::Result<(i64, i64)> {
        self.with_indexes(|indexes| Ok((indexes.max_timestamp, indexes.max_timestamp_offset)))
    }

    /// Time that retention goes by: the records', or the file's when they have none.
    pub(crate) fn retention_timestamp(&self) -> io::Result<i64> {
        let (timestamp, _) = self.max_timestamp()?;
        if timestamp >= 0 {
            Ok(timestamp)
        } else {
            self.store.files().modified_ms(&self.log.path())
        }
    }

    /// Of a segment with batches: what decides whether it takes more.
    pub(crate) fn tail(&self, max_index_bytes: i64) -> io::Result<Tail> {
        let mut state = self.state.lock();
        if state.first_timestamp.is_none() || state.indexes.is_none() {
            drop(state);
            let first_timestamp = self.header_at(0)?.map_or(-1, |header| header.max_timestamp);
            self.with_indexes(|_| Ok(()))?;
            state = self.state.lock();
            state.first_timestamp.get_or_insert(first_timestamp);
        }
        Ok(Tail {
            first_timestamp: state.first_timestamp.unwrap_or(-1),
            index_room: state.indexes.as_ref().map_or(u64::MAX, |indexes| {
                indexes.offset.room(max_index_bytes).min(indexes.time.room(max_index_bytes))
            }),
        })
    }

    /// Last entry of the offset index as (last offset, position).
    pub(crate) fn last_index_entry(&self) -> io::Result<Option<(i64, u64)>> {
        self.with_indexes(|indexes| {
            Ok(indexes.offset.last().map(|entry| {
                (self.base_offset + i64::from(entry.relative_offset), entry.position.max(0) as u64)
            }))
        })
    }

    /// No more appends come: completes the time index, and gives back the blocks that were not needed. The files are written by the next
    /// sync.
    pub(crate) fn close_for_append(&self) -> io::Result<()> {
        // What is not given back is only held for nothing.
        let _ = self.ahead.give_back(|| self.log.existing());
        self.is_index_synced.store(false, Ordering::Release);
        self.with_indexes(|indexes| {
            indexes.push_time(self.base_offset, &self.store.failpoints)?;
            indexes.offset.write_pending(&self.store.failpoints)?;
            indexes.time.write_pending(&self.store.failpoints)
        })
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty.load(Ordering::Acquire)
    }

    pub(crate) fn is_index_synced(&self) -> bool {
        self.is_index_synced.load(Ordering::Acquire)
    }

    /// Waits until the records are on disk. After an error nothing is known about them, and asking again proves nothing.
    pub(crate) fn sync_log(&self) -> Result<(), SyncError> {
        if !self.is_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let file = match self.log.existing() {
            // Retention removed the segment meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.is_dirty.store(true, Ordering::Release);
                return Err(SyncError::of_open(error));
            }
            Ok(file) => Some(file),
        };
        let started = Instant::now();
        let failpoints = &self.store.failpoints;
        let result = failpoints
            .hit(Failpoint::BeforeSync)
            .and_then(|()| file.map_or(Ok(()), |file| file.sync_data()))
            .and_then(|()| failpoints.hit(Failpoint::AfterSync));
        self.store.flushes.record(started.elapsed(), result.is_ok());
        if result.is_err() {
            self.is_dirty.store(true, Ordering::Release);
        }
        result.map_err(SyncError::Failed)
    }

    /// The bytes may not be on disk: they were found after a stop that was not clean.
    pub(crate) fn mark_dirty(&self) {
        self.is_dirty.store(true, Ordering::Release);
    }

    /// Takes the mark that bytes are not on disk. The caller syncs, and gives it back when that fails.
    pub(crate) fn take_dirty(&self) -> bool {
        self.is_dirty.swap(false, Ordering::AcqRel)
    }

    /// Waits until a closed segment's indexes are on disk. What cannot be written now, on a full disk say, waits for the next sync; an
    /// error is always that of a sync.
    pub(crate) fn sync_indexes(&self) -> Result<(), SyncError> {
        if !self.write_indexes() {
            return Ok(());
        }
        let synced =
            self.with_indexes(|indexes| indexes.offset.sync().and_then(|()| indexes.time.sync()));
        match synced {
            Err(error)
                if is_out_of_descriptors(&error) || error.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(());
            }
            other => other.map_err(SyncError::Failed)?,
        }
        self.is_index_synced.store(true, Ordering::Release);
        Ok(())
    }

    /// Hands all entries to the file system; whether that worked.
    pub(crate) fn write_indexes(&self) -> bool {
        self.with_indexes(|indexes| {
            indexes.offset.write_entries(&self.store.failpoints)?;
            indexes.time.write_entries(&self.store.failpoints)
        })
        .is_ok()
    }

    /// The files that `write_indexes` wrote are on disk now.
    pub(crate) fn mark_indexes_synced(&self) {
        let _ = self.with_indexes(|indexes| {
            indexes.offset.mark_synced();
            indexes.time.mark_synced();
            Ok(())
        });
        self.is_index_synced.store(true, Ordering::Release);
    }

    /// Drops everything from the batch that holds `offset` on. Returns that batch's base offset; `None` where there is none.
    pub(crate) fn truncate_to(&self, offset: i64) -> io::Result<Option<i64>> {
        let Some(located) = self.locate(offset)? else { return Ok(None) };
        self.cut(located.position)?;
        let interval_bytes = 4096;
        let mut state = self.state.lock();
        state.first_timestamp = None;
        if let Some(indexes) = &mut state.indexes {
            let base_offset = self.base_offset;
            let truncated = indexes
                .offset
                .truncate(|entry| (entry.position as u64) < located.position)
                .and_then(|()| {
                    indexes
                        .time
                        .truncate(|entry| base_offset + i64::from(entry.relative_offset) < offset)
                });
            if truncated.is_err() {
                state.indexes = None;
            }
        }
        drop(state);
        // The largest timestamp may have been in what was cut: count it anew from the last entry that is left.
        let (from, mut max_timestamp, mut max_offset) = self.with_indexes(|indexes| {
            let from = indexes.offset.last().map_or(0, |entry| entry.position.max(0) as u64);
            let last = indexes.time.last();
            Ok((
                from,
                last.map_or(-1, |entry| entry.timestamp),
                last.map_or(base_of(self), |entry| {
                    self.base_offset + i64::from(entry.relative_offset)
                }),
            ))
        })?;
        let mut bytes_since_entry = 0;
        let mut scanner = self.scanner(from, self.size(), WALK_WINDOW_BYTES)?;
        while let Scanned::Batch { header, .. } = scanner.next_header()? {
            bytes_since_entry += header.size() as u64;
            if header.max_timestamp > max_timestamp {
                max_timestamp = header.max_timestamp;
                max_offset = header.last_offset();
            }
        }
        self.with_indexes(|indexes| {
            indexes.max_timestamp = max_timestamp;
            indexes.max_timestamp_offset = max_offset;
            indexes.bytes_since_entry = bytes_since_entry;
            indexes.interval_bytes = interval_bytes;
            Ok(())
        })?;
        self.truncate_aborted(offset)?;
        Ok(Some(located.header.base_offset))
    }

    /// Aborted transactions whose markers are in this segment.
    pub(crate) fn aborted(&self) -> io::Result<Vec<AbortedEntry>> {
        let mut state = self.state.lock();
        if let Some(aborted) = &state.aborted {
            return Ok(aborted.clone());
        }
        let aborted = self.read_aborted()?.unwrap_or_default();
        state.aborted = Some(aborted.clone());
        Ok(aborted)
    }

    /// `None` when the file is damaged.
    pub(crate) fn read_aborted(&self) -> io::Result<Option<Vec<AbortedEntry>>> {
        match read_small(self.store.files(), &self.path_of("txnindex"), TXN_INDEX_BYTES_MAX) {
            Ok(bytes) => Ok(decode_aborted(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(Vec::new())),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn push_aborted(&self, entry: AbortedEntry) -> io::Result<()> {
        let mut aborted = self.aborted()?;
        aborted.push(entry);
        self.write_aborted(aborted)
    }

    pub(crate) fn write_aborted(&self, aborted: Vec<AbortedEntry>) -> io::Result<()> {
        let path = self.path_of("txnindex");
        let mut bytes = Vec::new();
        for entry in &aborted {
            entry.encode(&mut bytes);
        }
        // Readers go by memory, whatever becomes of the file.
        self.state.lock().aborted = Some(aborted);
        if bytes.is_empty() && !self.store.files().exists(&path) {
            return Ok(());
        }
        let file = self.store.files().open(&path, crate::io::OpenMode::Create)?;
        file.set_length(bytes.len() as u64)?;
        write_full(&*file, &bytes, 0)?;
        file.sync_data().map_err(sync_failure)
    }

    /// Forgets aborted transactions whose markers are at `offset` or later.
    pub(crate) fn truncate_aborted(&self, offset: i64) -> io::Result<()> {
        let mut aborted = self.aborted()?;
        let before = aborted.len();
        aborted.retain(|entry| entry.last_offset < offset);
        if aborted.len() == before { Ok(()) } else { self.write_aborted(aborted) }
    }

    /// Renames the files with a suffix; returns the new paths. Descriptors in use stay good.
    pub(crate) fn rename_files(&self, suffix: &str) -> io::Result<Vec<PathBuf>> {
        let mut renamed = Vec::new();
        // The slots stay as they are until the rename is done: an open in between would create the file anew.
        let state = self.state.lock();
        for extension in SEGMENT_SUFFIXES {
            let from = self.path_of(extension);
            if !self.store.files().exists(&from) {
                continue;
            }
            let mut to = from.clone().into_os_string();
            to.push(suffix);
            let to = PathBuf::from(to);
            self.store.failpoints.hit(Failpoint::BeforeRename)?;
            self.store.files().rename(&from, &to)?;
            self.store.failpoints.hit(Failpoint::AfterRename)?;
            renamed.push(to);
        }
        drop(state);
        Ok(renamed)
    }

    /// The directory was renamed.
    pub(crate) fn set_directory(&self, directory: &Path) {
        self.log.set_path(directory.join(file_name(self.base_offset, "log")));
        let state = self.state.lock();
        if let Some(indexes) = &state.indexes {
            indexes.offset.slot().set_path(directory.join(file_name(self.base_offset, "index")));
            indexes.time.slot().set_path(directory.join(file_name(self.base_offset, "timeindex")));
        }
    }

    /// Gives descriptors back.
    pub(crate) fn close(&self) {
        self.log.close();
        if let Some(indexes) = &self.state.lock().indexes {
            indexes.offset.slot().close();
            indexes.time.slot().close();
        }
    }
}

fn base_of(segment: &Segment) -> i64 {
    segment.base_offset
}
