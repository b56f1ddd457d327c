//! Opening a partition's directory: which files are there, what of them is good, what has to be found out again.
//!
//! After a clean stop the files are taken as they are, and only the tail behind the last index entry is walked. After any other stop
//! every segment from the recovery point on is read, each batch's CRC checked, and its indexes rebuilt.
//!
//! A bad batch with nothing good behind it is a torn tail and is cut. With good batches behind it there are two cases. A
//! power cut may have kept a later write and lost an earlier one; the lost one then is a hole of zero sectors, or a segment that is
//! too short, above the recovery point: nothing behind it was ever known to be on disk, and it is moved aside into `….cut` files. Anything else is damage
//! to records that were safe: the partition is quarantined, and all files stay.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cut_mark::CutMark;
use super::damage::{epoch_finding, hole_finding, load_holes};
use super::{Inner, PartitionLog, Parts, Role};
use crate::batch::{BatchHeader, HEADER_BYTES, is_crc_valid};
use crate::check::{Checked, Progress, Subject, Tail, check_segment};
use crate::checkpoint::{
    CUT_MARK_FILE, LEADER_EPOCH_FILE, PARTITION_METADATA_FILE, decode_partition_metadata,
    encode_partition_metadata, read_cut_mark,
};
use crate::config::LogConfig;
use crate::directory::Directory;
use crate::epochs::EpochCache;
use crate::error::LogError;
use crate::failpoint::Failpoint;
use crate::integrity::{Finding, FindingKind, Hole};
use crate::io::{
    FileSystem, OpenMode, StoreFile, is_out_of_descriptors, is_out_of_space, is_sync_failure,
    read_full, read_small, sync_failure, write_full,
};
use crate::producer::{ProducerStates, parse_end_marker};
use crate::scan::Scanned;
use crate::segment::{Segment, Store, SyncError, file_name, offset_of};
use crate::transactions::AbortedEntry;
use crate::types::TopicId;

const RECOVERY_WINDOW_BYTES: usize = 512 << 10;
/// Longer ones are not looked at whole.
const LONGEST_BATCH_BYTES: u64 = 64 << 20;
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;
const SECTOR_BYTES: u64 = 512;

/// What is known before the directory is opened.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) path: PathBuf,
    /// On its way into the directory, from another one.
    pub(crate) is_future: bool,
    pub(crate) config: LogConfig,
    pub(crate) is_clean: bool,
    pub(crate) recovery_point: i64,
    /// The recovery point is told by us. Kafka's log cleaner leaves gaps between segments, also above its recovery points; ours there are lost writes.
    pub(crate) has_own_checkpoint: bool,
    pub(crate) log_start_offset: i64,
    pub(crate) high_watermark: Option<i64>,
}

/// Why a partition cannot be used.
pub(super) enum Trouble {
    Quarantine(String),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) fn empty_inner(offset: i64) -> Inner {
    Inner {
        segments: Vec::new(),
        epochs: EpochCache::default(),
        are_epochs_dirty: false,
        unsynced_epoch: None,
        synced_epoch: -1,
        producers: ProducerStates::starting_at(offset),
        log_start_offset: offset,
        log_end_offset: offset,
        high_watermark: offset,
        high_watermark_follows: true,
        recovered_high_watermark: offset,
        leader_epoch: -1,
        role: Role::Unassigned,
        leader_since: -1,
        leader_id: -1,
        leadership: None,
        recent: std::collections::VecDeque::new(),
        active_created_ms: None,
        unflushed_records: 0,
        unflushed_since: None,
        needs_directory_sync: false,
        is_new: false,
        truncations: 0,
        cut_to: i64::MAX,
        gap_from: None,
        cut_mark: CutMark::default(),
        has_aborted: false,
        is_cut_unfinished: false,
    }
}

impl PartitionLog {
    /// Makes the directory of a new, empty partition. Its files appear with its first record.
    pub(crate) fn create(
        directory: &Arc<Directory>,
        topic: &str,
        partition: i32,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<Arc<Self>, LogError> {
        let name = format!("{topic}-{partition}");
        Self::create_in(directory, &name, topic, partition, topic_id, config)
    }

    /// As [`Self::create`], with another name for the directory.
    pub(crate) fn create_in(
        directory: &Arc<Directory>,
        name: &str,
        topic: &str,
        partition: i32,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<Arc<Self>, LogError> {
        let path = directory.file(name);
        let files = directory.store.files();
        let create = || -> io::Result<()> {
            files.create_directory(&path)?;
            let target = path.join(PARTITION_METADATA_FILE);
            let mut shared = directory.metadata_file.lock();
            let is_linked = shared
                .as_ref()
                .is_some_and(|(id, file)| *id == topic_id && files.link(file, &target).is_ok());
            if !is_linked {
                let metadata = files.open(&target, OpenMode::Truncate)?;
                write_full(&*metadata, encode_partition_metadata(topic_id).as_bytes(), 0)?;
                *shared = Some((topic_id, target));
            }
            Ok(())
        };
        if let Err(error) = create() {
            let _ = files.remove_directory(&path);
            return Err(LogError::io("create", &path, &error));
        }
        let mut inner = empty_inner(0);
        inner.segments.push(Arc::new(Segment::create(
            &directory.store,
            &path,
            0,
            config.index_interval_bytes,
        )));
        inner.is_new = true;
        Ok(Self::assemble(Parts {
            topic: topic.to_owned(),
            partition,
            topic_id,
            directory: Arc::clone(directory),
            path,
            config,
            inner,
            quarantined: None,
            reopening: None,
            flushed_offset: 0,
        }))
    }

    /// Opens the directory of a partition. Never fails: what cannot be used is quarantined. An fsync that fails poisons the directory.
    pub(crate) fn load(directory: &Arc<Directory>, mut known: Known) -> Arc<Self> {
        let files = directory.store.files();
        let topic_id =
            read_small(files, &known.path.join(PARTITION_METADATA_FILE), SMALL_FILE_BYTES_MAX)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(|text| decode_partition_metadata(&text))
                .unwrap_or(TopicId::ZERO);
        let mut inner = empty_inner(known.log_start_offset.max(0));
        inner.cut_mark.told = known.recovery_point;
        let key = (known.topic.clone(), known.partition);
        let tell = |file: &Path, why: &str| {
            let reaction = "the whole log is checked instead";
            let finding = file_finding(file, FindingKind::OffsetCheckpoint, why, reaction);
            directory.store.integrity.report(finding);
        };
        if !known.is_clean
            && let Some(offset) = read_cut_mark(files, &known.path, &key, tell)
        {
            inner.cut_mark.offset = Some(offset);
            known.recovery_point = known.recovery_point.min(offset);
        }
        let loaded = load_inner(&directory.store, &known, &mut inner);
        // Only room is missing: the store opens it anew when there is some.
        let reopening =
            matches!(&loaded, Err(Trouble::Io(error)) if is_passing(error)).then(|| known.clone());
        let (quarantined, flushed_offset) = match loaded {
            // What an unclean stop left may be in memory only: the store syncs it before anybody is told that it is safe.
            Ok(()) if known.is_clean => (None, inner.log_end_offset),
            Ok(()) => (None, known.recovery_point.clamp(0, inner.log_end_offset)),
            Err(Trouble::Quarantine(why)) => (Some(why), known.recovery_point),
            Err(Trouble::Io(error)) => {
                if is_sync_failure(&error) {
                    // Whatever else recovery found in the page cache may not be on disk either: the store gives up the directory.
                    directory.poison(&format!("{}: {error}", known.path.display()));
                }
                (Some(format!("cannot be read: {error}")), known.recovery_point)
            }
        };
        Self::assemble(Parts {
            topic: known.topic,
            partition: known.partition,
            topic_id,
            directory: Arc::clone(directory),
            path: known.path,
            config: known.config,
            inner,
            quarantined,
            reopening,
            flushed_offset,
        })
    }
}

/// Whether a failure is over when there is room, or a descriptor, again. That of an fsync is not.
pub(super) fn is_passing(error: &io::Error) -> bool {
    !is_sync_failure(error) && (is_out_of_space(error) || is_out_of_descriptors(error))
}

pub(super) fn load_inner(
    store: &Arc<Store>,
    known: &Known,
    inner: &mut Inner,
) -> Result<(), Trouble> {
    let files = store.files();
    finish_swaps(files, &known.path)?;
    let mut bases: Vec<(i64, u64)> = Vec::new();
    for entry in files.list(&known.path)? {
        if entry.is_directory {
            continue;
        }
        let path = known.path.join(&entry.name);
        let extension = Path::new(&entry.name).extension().and_then(|extension| extension.to_str());
        // A clean stop wrote the checkpoint after every cut.
        let is_old_mark = known.is_clean && entry.name == CUT_MARK_FILE;
        if is_old_mark || matches!(extension, Some("deleted" | "cleaned" | "tmp")) {
            files.remove_file(&path)?;
        } else if extension == Some("swap") {
            // Collected by `finish_swaps` before.
        } else if let Some(base_offset) = offset_of(&entry.name, "log") {
            bases.push((base_offset, entry.length));
        }
    }
    bases.sort_unstable();
    inner.segments = bases
        .iter()
        .map(|&(base_offset, length)| {
            Arc::new(Segment::open(store, &known.path, base_offset, length))
        })
        .collect();

    let epoch_text =
        match read_small(files, &known.path.join(LEADER_EPOCH_FILE), SMALL_FILE_BYTES_MAX) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some("0\n0\n".to_owned()),
            Err(error) => return Err(error.into()),
        };
    let epochs = epoch_text.and_then(|text| EpochCache::decode(&text));
    let mut must_rebuild_epochs = epochs.is_none();
    inner.epochs = epochs.unwrap_or_default();
    inner.synced_epoch = inner.epochs.latest().unwrap_or(-1);

    let first_base = bases.first().map(|(base_offset, _)| *base_offset);
    inner.log_start_offset = known.log_start_offset.max(first_base.unwrap_or(0)).max(0);
    let checked = recover_segments(store, known, inner)?;
    load_holes(store, &known.path, inner, |segment| checked.contains(&segment.base_offset))?;

    if inner.log_end_offset < inner.log_start_offset && !inner.segments.is_empty() {
        // Records that were deleted already are all there is.
        for segment in inner.segments.drain(..) {
            for path in segment.rename_files(".deleted")? {
                files.remove_file(&path)?;
            }
        }
    }
    if inner.segments.is_empty() {
        inner.log_end_offset = inner.log_start_offset;
        let segment = Segment::create(
            store,
            &known.path,
            inner.log_start_offset,
            known.config.index_interval_bytes,
        );
        if inner.log_start_offset > 0 {
            // Its name is what tells the next start where the log begins.
            segment.file()?.set_length(0)?;
            files.sync_directory(&known.path)?;
        }
        inner.segments.push(Arc::new(segment));
        inner.needs_directory_sync = true;
        inner.is_new = true;
    }
    // Segments wholly below the log start offset were about to be deleted.
    while inner.segments.get(1).is_some_and(|next| next.base_offset <= inner.log_start_offset) {
        let segment = inner.segments.remove(0);
        for path in segment.rename_files(".deleted")? {
            files.remove_file(&path)?;
        }
    }
    if !must_rebuild_epochs && !are_epochs_plausible(inner)? {
        match lone_liar(inner)? {
            Some((segment, position, detail)) => {
                let label = format!("{}-{}", known.topic, known.partition);
                let finding = epoch_finding(&label, &segment, position, detail, "recovery");
                store.integrity.report(finding);
            }
            None => must_rebuild_epochs = true,
        }
    }
    if must_rebuild_epochs {
        store.integrity.report(file_finding(
            &known.path.join(LEADER_EPOCH_FILE),
            FindingKind::EpochCheckpoint,
            "it contradicts itself or the batches",
            "it was rebuilt from the batches",
        ));
        rebuild_epochs(inner)?;
    }
    inner.are_epochs_dirty |= inner.epochs.truncate_from_end(inner.log_end_offset);
    inner.are_epochs_dirty |= inner.epochs.truncate_from_start(inner.log_start_offset);
    load_aborted(inner)?;
    load_producers(store, &known.path, inner)?;
    let high_watermark = known.high_watermark.unwrap_or(inner.log_start_offset);
    inner.set_high_watermark(high_watermark);
    inner.recovered_high_watermark = inner.high_watermark;
    // Seen whole until a role says more. What ended beyond the checkpoint stays known for a replica that does not lead alone.
    inner.high_watermark = inner.log_end_offset;
    if !known.is_clean && !bases.is_empty() {
        // Records that readers will see must not vanish in the next crash.
        inner.needs_directory_sync = true;
    }
    Ok(())
}

/// Ends what a compaction began, as Kafka's `LogLoader` does: swapped segments at or above the least offset of a `.cleaned` file were not
/// complete and go; the others take the place of all segments whose offsets they hold.
fn finish_swaps(files: &dyn FileSystem, directory: &Path) -> io::Result<()> {
    let entries = files.list(directory)?;
    let ends = |name: &str, end: &str| name.strip_suffix(end).is_some();
    let swaps: Vec<_> = entries.iter().filter(|entry| ends(&entry.name, ".swap")).collect();
    if swaps.is_empty() {
        return Ok(());
    }
    let base_of = |name: &str| name.get(..20).and_then(|digits| digits.parse::<i64>().ok());
    let least_cleaned = entries
        .iter()
        .filter(|entry| ends(&entry.name, ".cleaned"))
        .filter_map(|entry| base_of(&entry.name))
        .min()
        .unwrap_or(i64::MAX);
    let mut range: Option<(i64, i64)> = None;
    for entry in &swaps {
        let Some(base_offset) = base_of(&entry.name) else { continue };
        if base_offset >= least_cleaned {
            files.remove_file(&directory.join(&entry.name))?;
        } else if ends(&entry.name, ".log.swap") {
            let file = files.open(&directory.join(&entry.name), OpenMode::Read)?;
            let mut scanner = crate::scan::Scanner::new(file, 0, entry.length, 64 << 10);
            let mut end_offset = base_offset;
            while let Scanned::Batch { header, .. } = scanner.next_header()? {
                end_offset = header.next_offset();
            }
            let (from, to) = range.unwrap_or((base_offset, end_offset));
            range = Some((from.min(base_offset), to.max(end_offset)));
        }
    }
    if let Some((from, to)) = range {
        for entry in &entries {
            if let Some(base) =
                offset_of(&entry.name, "log").filter(|base| (from..to).contains(base))
            {
                for suffix in crate::segment::SEGMENT_SUFFIXES {
                    let old = directory.join(file_name(base, suffix));
                    if files.exists(&old) {
                        files.remove_file(&old)?;
                    }
                }
            }
        }
    }
    for entry in files.list(directory)? {
        if let Some(stem) = entry.name.strip_suffix(".swap") {
            files.rename(&directory.join(&entry.name), &directory.join(stem))?;
        }
    }
    files.sync_directory(directory)
}

/// Checks the segments that have to be, finds the log end offset, cuts a torn tail.
/// Answers which segments were read whole, by base offset.
fn recover_segments(
    store: &Arc<Store>,
    known: &Known,
    inner: &mut Inner,
) -> Result<BTreeSet<i64>, Trouble> {
    let files = store.files();
    let mut checked = BTreeSet::new();
    let count = inner.segments.len();
    let Some(last) = inner.segments.last().cloned() else { return Ok(checked) };
    let from = if known.is_clean {
        count - 1
    } else {
        inner.segment_index(known.recovery_point).unwrap_or(0)
    };
    inner.log_end_offset = last.base_offset;
    let has_epochs = !inner.epochs.entries().is_empty();
    for index in from..count {
        let Some(segment) = inner.segments.get(index).cloned() else { break };
        store.failpoints.hit(Failpoint::DuringRecovery)?;
        let is_last = index + 1 == count;
        if known.is_clean
            && let Some(end_offset) = clean_end_offset(&segment)?
            && (known.recovery_point == 0 || end_offset == known.recovery_point)
        {
            inner.log_end_offset = end_offset;
            continue;
        }
        let is_rest_empty = inner
            .segments
            .get(index..)
            .is_some_and(|rest| rest.iter().all(|later| later.size() == 0));
        if index > from && is_rest_empty && inner.log_end_offset < segment.base_offset {
            // The roll reached the disk and the records before it did not.
            for empty in inner.segments.drain(index..) {
                for path in empty.rename_files(".deleted")? {
                    files.remove_file(&path)?;
                }
            }
            break;
        }
        if index > from && is_after_lost_write(known, inner.log_end_offset, segment.base_offset) {
            // What came before the segment did not reach the disk, be it a whole segment or the end of one.
            let tail = Tail {
                position: 0,
                detail: format!(
                    "the offsets {} to {} before it are missing",
                    inner.log_end_offset,
                    segment.base_offset - 1
                ),
                holds_batches: true,
            };
            let label = format!("{}-{}", known.topic, known.partition);
            let end_offset = inner.log_end_offset;
            let finding = torn_finding(&label, &segment, &tail, segment.size(), end_offset);
            store.integrity.report(finding);
            let rest: Vec<Arc<Segment>> = inner.segments.drain(index..).collect();
            set_aside(files, &known.path, &rest)?;
            break;
        }
        let next_base = inner.segments.get(index + 1).map(|next| next.base_offset);
        let recovered = recover_segment(store, known, inner, &segment, next_base, has_epochs)?;
        checked.insert(segment.base_offset);
        let end_before = inner.log_end_offset;
        inner.log_end_offset = recovered.end_offset;
        if let Some(position) = recovered.cut_at {
            let rest: Vec<Arc<Segment>> = inner.segments.drain(index + 1..).collect();
            let has_rest = rest.iter().any(|later| later.size() > 0);
            if recovered.keep_rest || has_rest {
                save_tail(files, &known.path, &segment, position)?;
            }
            segment.cut(position)?;
            // As after any cut: what is written there later must not stand beside old bytes after another power failure.
            segment.sync_log().map_err(|error| match error {
                SyncError::Failed(error) => sync_failure(error),
                SyncError::NotBegun(error) => error,
            })?;
            set_aside(files, &known.path, &rest)?;
            if position == 0 && index > from && end_before < segment.base_offset {
                // As above: nothing is left of it, and records before it are missing.
                inner.segments.truncate(index);
                inner.log_end_offset = end_before;
                for path in segment.rename_files(".deleted")? {
                    files.remove_file(&path)?;
                }
            }
            break;
        }
        if !is_last {
            segment.close_for_append()?;
        }
    }
    Ok(checked)
}

/// Whether a segment that begins at `base_offset`, behind one that ends at `end_offset`, stands behind what a power cut took.
fn is_after_lost_write(known: &Known, end_offset: i64, base_offset: i64) -> bool {
    !known.is_clean
        && known.has_own_checkpoint
        && (known.recovery_point..base_offset).contains(&end_offset)
}

/// Moves segments aside that are not part of the log any more; empty ones go.
fn set_aside(
    files: &dyn FileSystem,
    directory: &Path,
    segments: &[Arc<Segment>],
) -> io::Result<()> {
    for segment in segments {
        if segment.size() > 0 {
            segment.rename_files(".cut")?;
        } else {
            for path in segment.rename_files(".deleted")? {
                files.remove_file(&path)?;
            }
        }
    }
    // They must not come back between what is written next.
    if segments.is_empty() { Ok(()) } else { files.sync_directory(directory).map_err(sync_failure) }
}

/// Log end offset by the tail behind the last index entry; `None` when something there is not as a clean stop leaves it.
fn clean_end_offset(segment: &Arc<Segment>) -> io::Result<Option<i64>> {
    if segment.size() == 0 {
        return Ok(Some(segment.base_offset));
    }
    let from = segment.last_index_entry()?.map_or(0, |(_, position)| position);
    let mut scanner =
        crate::scan::Scanner::new(segment.existing()?, from, segment.size(), 64 << 10);
    let mut end_offset = segment.base_offset;
    loop {
        // The tail's CRCs as well: it is short, and a wrong end would be built upon.
        match scanner.next_verified()? {
            Scanned::Batch { header, .. } if header.base_offset >= end_offset => {
                end_offset = header.next_offset();
            }
            Scanned::End => return Ok(Some(end_offset)),
            _ => return Ok(None),
        }
    }
}

struct Recovered {
    end_offset: i64,
    cut_at: Option<u64>,
    /// What is cut holds good batches, or may be a batch that was whole once: a copy is kept.
    keep_rest: bool,
}

/// Takes the good batches of a segment into its indexes and the epochs.
struct Recovery<'a> {
    segment: &'a Segment,
    /// Where epochs begin: (base offset, epoch).
    epochs: Vec<(i64, i32)>,
}

impl Progress for Recovery<'_> {
    fn at(&mut self, _position: u64) -> bool {
        true
    }

    fn on_batch(&mut self, position: u64, header: &BatchHeader) -> io::Result<()> {
        if self.epochs.last().is_none_or(|last| last.1 != header.leader_epoch) {
            self.epochs.push((header.base_offset, header.leader_epoch));
        }
        self.segment.recovered(position, header)
    }
}

fn recover_segment(
    store: &Store,
    known: &Known,
    inner: &mut Inner,
    segment: &Arc<Segment>,
    next_base: Option<i64>,
    has_epochs: bool,
) -> Result<Recovered, Trouble> {
    segment.set_holes(Vec::new());
    segment.reset_indexes(known.config.index_interval_bytes);
    segment.mark_dirty();
    let subject = Subject {
        file: segment.file()?,
        base_offset: segment.base_offset,
        size: segment.size(),
        next_base,
        // After any other stop the recovery point may be older than a truncation.
        known_end: (known.is_clean && next_base.is_none() && known.recovery_point > 0)
            .then_some(known.recovery_point),
        window_bytes: RECOVERY_WINDOW_BYTES,
    };
    let mut recovery = Recovery { segment, epochs: Vec::new() };
    let checked = check_segment(&subject, &mut recovery)?;
    let label = format!("{}-{}", known.topic, known.partition);
    let durable_end = if has_epochs { known.recovery_point } else { 0 };
    take_epochs(store, &label, inner, segment, &checked, &recovery.epochs, durable_end);
    let size = segment.size();
    let file = &subject.file;
    // A power cut keeps later writes and loses earlier ones: then a sector's part of the hole is zeros.
    for hole in &checked.holes {
        if !known.is_clean
            && hole.first_offset >= known.recovery_point
            && has_zero_sector(file, hole.from, hole.to, hole.first_offset)?
        {
            segment.set_holes(
                checked.holes.iter().filter(|kept| kept.to <= hole.from).cloned().collect(),
            );
            return Ok(Recovered {
                end_offset: hole.first_offset,
                cut_at: Some(hole.from),
                keep_rest: true,
            });
        }
    }
    let mut holes = checked.holes.clone();
    let mut end_offset = checked.end_offset;
    if let Some(tail) = &checked.tail {
        let has_later_records = inner
            .segments
            .iter()
            .any(|later| later.base_offset > segment.base_offset && later.size() > 0);
        let is_safe = end_offset < known.recovery_point;
        let is_cut_short = tail.detail.starts_with("the file ends")
            && !is_whole_but_its_length(file, tail.position, size)?;
        let is_lost_write = !known.is_clean
            && !is_safe
            && (is_cut_short || has_zero_sector(file, tail.position, size, end_offset)?);
        if !tail.holds_batches && !has_later_records && !is_safe && !known.is_clean
            || is_lost_write && (has_later_records || tail.holds_batches)
        {
            segment.set_holes(holes);
            if !is_cut_short {
                store.integrity.report(torn_finding(&label, segment, tail, size, end_offset));
            }
            let keep_rest = tail.holds_batches || has_later_records || !is_cut_short;
            return Ok(Recovered { end_offset, cut_at: Some(tail.position), keep_rest });
        }
        let next_offset = match next_base.filter(|_| has_later_records) {
            Some(next_base) => next_base,
            None if tail.holds_batches => {
                return Err(Trouble::Quarantine(format!(
                    "bad batch at byte {} of {}, after offset {}: {}; good records follow, and where they begin is not certain",
                    tail.position,
                    file_name(segment.base_offset, "log"),
                    end_offset - 1,
                    tail.detail
                )));
            }
            None => known.recovery_point.max(claimed_end(file, tail.position, end_offset)?),
        };
        holes.push(Hole {
            from: tail.position,
            to: size,
            first_offset: end_offset,
            next_offset,
            detail: tail.detail.clone(),
        });
        end_offset = next_offset;
    }
    for hole in &holes {
        store.integrity.report(hole_finding(&label, segment, hole, "recovery"));
    }
    segment.set_holes(holes);
    Ok(Recovered { end_offset, cut_at: None, keep_rest: false })
}

/// Offset after a damaged last batch, as far as its header is to be believed; at least one record is lost.
fn claimed_end(file: &Arc<dyn StoreFile>, position: u64, expected: i64) -> io::Result<i64> {
    let mut bytes = [0; HEADER_BYTES];
    let got = read_full(&**file, &mut bytes, position)?;
    let claimed = BatchHeader::parse(bytes.get(..got).unwrap_or_default())
        .filter(|header| {
            header.base_offset == expected
                && header.last_offset_delta >= 0
                && header.record_count == header.last_offset_delta.saturating_add(1)
        })
        .map(|header| header.next_offset());
    Ok(claimed.unwrap_or(expected + 1))
}

/// Adds the epochs of a segment's batches to what the checkpoint says. One that its neighbours contradict is not believed.
fn take_epochs(
    store: &Store,
    label: &str,
    inner: &mut Inner,
    segment: &Segment,
    checked: &Checked,
    epochs: &[(i64, i32)],
    durable_end: i64,
) {
    for fault in &checked.epoch_faults {
        store.integrity.report(epoch_finding(
            label,
            segment,
            fault.position,
            format!(
                "the batch of offset {} has leader epoch {}, its neighbours {}",
                fault.base_offset, fault.epoch, fault.expected
            ),
            "recovery",
        ));
    }
    for &(offset, epoch) in epochs {
        let is_fault = checked
            .epoch_faults
            .iter()
            .any(|fault| fault.epoch == epoch && fault.base_offset >= offset);
        // The checkpoint of epochs is written before the recovery point moves: below that it knows better, also of batches before its first epoch, which
        // are below the log start, or it is damaged and rebuilt. What it knows already is not told to it again: an epoch assigned anew would take the
        // later ones with it.
        let is_known = offset < durable_end || inner.epochs.epoch_at(offset) == Some(epoch);
        if !is_fault && !is_known {
            inner.are_epochs_dirty |= inner.epochs.assign(epoch, offset);
        }
    }
}

fn torn_finding(
    label: &str,
    segment: &Segment,
    tail: &Tail,
    size: u64,
    first_offset: i64,
) -> Finding {
    Finding {
        id: 0,
        kind: FindingKind::TornTail,
        partition: label.to_owned(),
        file: segment.log_path().to_string_lossy().into_owned(),
        position: tail.position as i64,
        end_position: size as i64,
        first_offset,
        last_offset: -1,
        detail: tail.detail.clone(),
        reaction: "the end of the log, which was not known to be on disk, was cut; a copy is beside it in a .cut file".to_owned(),
        found_by: "recovery",
    }
}

/// Whether a whole sector's part of `from..to`, where a batch of base offset `first_offset` should begin, is zeros: a write that never reached
/// the disk.
fn has_zero_sector(
    file: &Arc<dyn StoreFile>,
    from: u64,
    to: u64,
    first_offset: i64,
) -> io::Result<bool> {
    /// The first bytes of a batch are zeros often enough; its length, at 8, never is.
    const LEAST_BYTES: u64 = 12;
    let mut at = from;
    let mut sector = [0u8; SECTOR_BYTES as usize];
    while at < to {
        let end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        let end = end.min(to);
        let Some(part) = sector.get_mut(..(end - at) as usize) else { break };
        let got = read_full(&**file, part, at)?;
        let is_zero = part.iter().take(got).all(|byte| *byte == 0);
        // Of the base offset it is known whether it is zeros.
        let has_offset =
            at == from && first_offset.to_be_bytes().iter().take(got).any(|byte| *byte != 0);
        if is_zero && (end - at >= LEAST_BYTES || has_offset) {
            return Ok(true);
        }
        at = end;
    }
    Ok(false)
}

/// Whether a batch that claims to reach beyond the file is all there, by its CRC, which does not cover the length: then nothing was lost but that.
fn is_whole_but_its_length(
    file: &Arc<dyn StoreFile>,
    position: u64,
    size: u64,
) -> io::Result<bool> {
    let length = size.saturating_sub(position);
    if length < HEADER_BYTES as u64 || length > LONGEST_BATCH_BYTES {
        return Ok(false);
    }
    let mut batch = vec![0; length as usize];
    let got = read_full(&**file, &mut batch, position)?;
    Ok(got == batch.len() && is_crc_valid(&batch))
}

/// Copies what is about to be cut beside the segment: nobody is to say that records vanished without a trace.
fn save_tail(
    files: &dyn FileSystem,
    directory: &Path,
    segment: &Segment,
    position: u64,
) -> io::Result<()> {
    let path = directory.join(format!("{}.{position}.cut", file_name(segment.base_offset, "log")));
    let from = segment.file()?;
    let to = files.open(&path, OpenMode::Truncate)?;
    let mut buffer = vec![0; RECOVERY_WINDOW_BYTES];
    let mut at = position;
    while at < segment.size() {
        let got = read_full(&*from, &mut buffer, at)?;
        if got == 0 {
            break;
        }
        write_full(&*to, buffer.get(..got).unwrap_or_default(), at - position)?;
        at += got as u64;
    }
    to.sync_data().map_err(sync_failure)
}

/// A finding about a whole file that was made anew, or is not needed.
pub(crate) fn file_finding(
    path: &Path,
    kind: FindingKind,
    detail: &str,
    reaction: &str,
) -> Finding {
    Finding {
        id: 0,
        kind,
        partition: crate::segment::partition_name(path),
        file: path.to_string_lossy().into_owned(),
        position: -1,
        end_position: -1,
        first_offset: -1,
        last_offset: -1,
        detail: detail.to_owned(),
        reaction: reaction.to_owned(),
        found_by: "recovery",
    }
}

/// Whether the epochs agree with the batches where they begin and at the log's end. One epoch, the usual case, costs one header.
fn are_epochs_plausible(inner: &Inner) -> io::Result<bool> {
    let header_at = |offset: i64| -> io::Result<Option<BatchHeader>> {
        let Some(segment) = inner.segment_index(offset).and_then(|at| inner.segments.get(at))
        else {
            return Ok(None);
        };
        // Beside a hole the batch that follows is another one.
        let is_hole =
            segment.holes().is_some_and(|holes| holes.iter().any(|hole| hole.holds(offset)));
        if is_hole {
            return Ok(None);
        }
        Ok(segment.locate(offset)?.map(|located| located.header))
    };
    let entries = inner.epochs.entries();
    if inner.log_end_offset <= inner.log_start_offset {
        return Ok(true);
    }
    let begins_late =
        entries.first().is_none_or(|first| first.start_offset > inner.log_start_offset);
    let mut ends = vec![inner.log_end_offset - 1];
    if begins_late {
        ends.push(inner.log_start_offset);
    }
    if entries.len() > 1 {
        for entry in entries {
            let inside = inner.log_start_offset..inner.log_end_offset;
            ends.extend(
                [entry.start_offset - 1, entry.start_offset]
                    .into_iter()
                    .filter(|offset| inside.contains(offset)),
            );
        }
    }
    for offset in ends {
        let Some(header) = header_at(offset)? else { continue };
        // In an offset gap the next batch answers, which may be of a later epoch.
        if header.base_offset > offset || header.leader_epoch == -1 {
            continue;
        }
        if inner.epochs.epoch_at(offset) != Some(header.leader_epoch) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The one batch whose epoch is not what the checkpoint says, when all others agree with it: then the batch is wrong.
fn lone_liar(inner: &Inner) -> io::Result<Option<(Arc<Segment>, u64, String)>> {
    let mut liar = None;
    let mut has_witness = false;
    for segment in inner.segments.iter().filter(|segment| segment.size() > 0) {
        let mut scanner = segment.scan(64 << 10)?;
        while let Scanned::Batch { position, header } = scanner.next_header()? {
            if header.base_offset < inner.log_start_offset {
                continue;
            }
            let known = inner.epochs.epoch_at(header.base_offset).unwrap_or(-1);
            if known == header.leader_epoch {
                has_witness = true;
            } else if liar.is_some() {
                return Ok(None);
            } else {
                let detail = format!(
                    "the batch of offset {} has leader epoch {}, the checkpoint says {known}",
                    header.base_offset, header.leader_epoch
                );
                liar = Some((Arc::clone(segment), position, detail));
            }
        }
    }
    Ok(liar.filter(|_| has_witness))
}

fn rebuild_epochs(inner: &mut Inner) -> io::Result<()> {
    inner.epochs.clear();
    for segment in inner.segments.clone() {
        if segment.size() == 0 {
            continue;
        }
        let mut scanner = segment.scan(64 << 10)?;
        while let Scanned::Batch { header, .. } = scanner.next_header()? {
            inner.epochs.assign(header.leader_epoch, header.base_offset);
        }
    }
    inner.are_epochs_dirty = true;
    Ok(())
}

/// Whether any transaction was aborted; a damaged index is rebuilt from the log.
fn load_aborted(inner: &mut Inner) -> io::Result<()> {
    let mut is_damaged = false;
    for segment in &inner.segments {
        if segment.size() == 0 {
            continue;
        }
        match segment.read_aborted()? {
            Some(entries) => {
                inner.has_aborted |= !entries.is_empty();
                // Entries of records that were cut.
                if entries.iter().any(|entry| entry.last_offset >= inner.log_end_offset) {
                    let kept = entries
                        .into_iter()
                        .filter(|entry| entry.last_offset < inner.log_end_offset);
                    segment.write_aborted(kept.collect())?;
                }
            }
            None => is_damaged = true,
        }
    }
    if is_damaged {
        if let Some(segment) = inner.segments.first() {
            segment.report_rebuilt(
                FindingKind::TransactionIndex,
                "txnindex",
                "a transaction index of the partition is damaged",
                "all of them were rebuilt from the log",
                "recovery",
            );
        }
        rebuild_aborted(inner)?;
    }
    Ok(())
}

fn rebuild_aborted(inner: &mut Inner) -> io::Result<()> {
    let mut states = ProducerStates::default();
    for segment in inner.segments.clone() {
        let mut entries = Vec::new();
        replay(&segment, segment.base_offset, &mut states, |entry| entries.push(entry))?;
        inner.has_aborted |= !entries.is_empty();
        segment.write_aborted(entries)?;
    }
    Ok(())
}

/// Offsets of the snapshot files in a directory.
pub(super) fn snapshot_offsets(files: &dyn FileSystem, directory: &Path) -> io::Result<Vec<i64>> {
    Ok(files
        .list(directory)?
        .iter()
        .filter_map(|entry| offset_of(&entry.name, "snapshot"))
        .collect())
}

/// Producer state as of the log end: the newest good snapshot, then the batches after it. Damaged snapshots are removed.
pub(super) fn load_producers(
    store: &Arc<Store>,
    directory: &Path,
    inner: &mut Inner,
) -> io::Result<()> {
    let files = store.files();
    let mut offsets = snapshot_offsets(files, directory)?;
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    let mut states = None;
    for offset in offsets {
        let path = directory.join(file_name(offset, "snapshot"));
        if offset > inner.log_end_offset {
            files.remove_file(&path)?;
            continue;
        }
        if states.is_some() {
            continue;
        }
        states = read_small(files, &path, SMALL_FILE_BYTES_MAX)
            .ok()
            .and_then(|bytes| ProducerStates::decode_snapshot(&bytes, offset));
        if states.is_none() {
            store.integrity.report(file_finding(
                &path,
                FindingKind::Snapshot,
                "its checksum does not match",
                "it was removed; an older one and the batches give the producers' state",
            ));
            files.remove_file(&path)?;
        }
    }
    let first = inner.segments.first().map_or(0, |segment| segment.base_offset);
    let mut states = states.unwrap_or_else(|| ProducerStates::starting_at(first));
    if states.map_end_offset < inner.log_end_offset {
        let from = inner.segment_index(states.map_end_offset).unwrap_or(0);
        let segments = inner.segments.get(from..).map(<[_]>::to_vec).unwrap_or_default();
        for segment in segments {
            let from = states.map_end_offset;
            // Markers that a crash kept out of the transaction index are put there again.
            let mut aborted = segment.aborted()?;
            let before = aborted.len();
            replay(&segment, from, &mut states, |entry| {
                if aborted.last().is_none_or(|last| last.last_offset < entry.last_offset) {
                    aborted.push(entry);
                }
            })?;
            if aborted.len() > before {
                inner.has_aborted = true;
                segment.write_aborted(aborted)?;
            }
        }
        states.map_end_offset = inner.log_end_offset;
    }
    inner.producers = states;
    Ok(())
}

/// Applies the batches of a segment from `offset` on.
fn replay(
    segment: &Arc<Segment>,
    offset: i64,
    states: &mut ProducerStates,
    mut on_aborted: impl FnMut(AbortedEntry),
) -> io::Result<()> {
    let Some(mut scanner) = segment.scan_from(offset)? else { return Ok(()) };
    while let Scanned::Batch { position, header } = scanner.next_header()? {
        if header.base_offset < offset || !header.has_producer_id() {
            continue;
        }
        if !header.is_control() {
            states.append(&header);
            continue;
        }
        let payload = scanner.bytes(position, &header)?.get(HEADER_BYTES..).unwrap_or_default();
        let Some(marker) = parse_end_marker(&header, payload) else { continue };
        if let Some(completed) = states.append_marker(&header, &marker).filter(|txn| txn.is_aborted)
        {
            on_aborted(AbortedEntry {
                producer_id: completed.producer_id,
                first_offset: completed.first_offset,
                last_offset: completed.last_offset,
                last_stable_offset: states.stable_offset_after(&completed),
            });
        }
    }
    Ok(())
}
