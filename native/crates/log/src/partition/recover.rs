//! Opening a partition's directory: which files are there, what of them is good, what has to be found out again.
//!
//! After a clean stop the files are taken as they are, and only the tail behind the last index entry is walked. After any other stop
//! every segment from the recovery point on is read, each batch's CRC checked, and its indexes rebuilt.
//!
//! A bad batch with nothing good behind it is a torn tail and is cut. With good batches behind it there are two cases. A
//! power cut may have kept a later write and lost an earlier one; the lost one then is a hole of zero sectors, or a segment that is
//! too short, above the recovery point: nothing behind it was ever known to be on disk, and it is moved aside into `….cut` files. Anything else is damage
//! to records that were safe: the partition is quarantined, and all files stay.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Inner, PartitionLog, Parts, Role};
use crate::batch::HEADER_BYTES;
use crate::checkpoint::{
    LEADER_EPOCH_FILE, PARTITION_METADATA_FILE, decode_partition_metadata,
    encode_partition_metadata,
};
use crate::config::LogConfig;
use crate::directory::Directory;
use crate::epochs::EpochCache;
use crate::error::LogError;
use crate::failpoint::Failpoint;
use crate::io::{FileSystem, OpenMode, StoreFile, read_full, read_small, write_full};
use crate::producer::{ProducerStates, parse_end_marker};
use crate::scan::{Scanned, find_valid_batch};
use crate::segment::{Segment, Store, file_name, offset_of};
use crate::transactions::AbortedEntry;
use crate::types::TopicId;

const RECOVERY_WINDOW_BYTES: usize = 512 << 10;
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;
const SECTOR_BYTES: u64 = 512;

/// What is known before the directory is opened.
pub(crate) struct Known {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) path: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) is_clean: bool,
    pub(crate) recovery_point: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) high_watermark: Option<i64>,
}

/// Why a partition cannot be used.
enum Trouble {
    Quarantine(String),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn empty_inner(offset: i64) -> Inner {
    Inner {
        segments: Vec::new(),
        epochs: EpochCache::default(),
        are_epochs_dirty: false,
        producers: ProducerStates::starting_at(offset),
        log_start_offset: offset,
        log_end_offset: offset,
        high_watermark: offset,
        high_watermark_follows: true,
        leader_epoch: -1,
        role: Role::Unassigned,
        recent: std::collections::VecDeque::new(),
        active_created_ms: None,
        unflushed_records: 0,
        unflushed_since: None,
        needs_directory_sync: false,
        is_new: false,
        truncations: 0,
        has_aborted: false,
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
        let path = directory.file(&format!("{topic}-{partition}"));
        let files = directory.store.files();
        let create = || -> io::Result<()> {
            files.create_directory(&path)?;
            let metadata = files.open(&path.join(PARTITION_METADATA_FILE), OpenMode::Truncate)?;
            write_full(&*metadata, encode_partition_metadata(topic_id).as_bytes(), 0)
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
            flushed_offset: 0,
        }))
    }

    /// Opens the directory of a partition. Never fails: what cannot be used is quarantined.
    pub(crate) fn load(directory: &Arc<Directory>, known: Known) -> Arc<Self> {
        let files = directory.store.files();
        let topic_id =
            read_small(files, &known.path.join(PARTITION_METADATA_FILE), SMALL_FILE_BYTES_MAX)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(|text| decode_partition_metadata(&text))
                .unwrap_or(TopicId::ZERO);
        let mut inner = empty_inner(known.log_start_offset.max(0));
        let loaded = load_inner(&directory.store, &known, &mut inner);
        let (quarantined, flushed_offset) = match loaded {
            // What an unclean stop left may be in memory only: the store syncs it before anybody is told that it is safe.
            Ok(()) if known.is_clean => (None, inner.log_end_offset),
            Ok(()) => (None, known.recovery_point.clamp(0, inner.log_end_offset)),
            Err(Trouble::Quarantine(why)) => (Some(why), known.recovery_point),
            Err(Trouble::Io(error)) => {
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
            flushed_offset,
        })
    }
}

fn load_inner(store: &Arc<Store>, known: &Known, inner: &mut Inner) -> Result<(), Trouble> {
    let files = store.files();
    let mut bases: Vec<(i64, u64)> = Vec::new();
    for entry in files.list(&known.path)? {
        if entry.is_directory {
            continue;
        }
        let path = known.path.join(&entry.name);
        let extension = Path::new(&entry.name).extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("deleted" | "cleaned" | "tmp")) {
            files.remove_file(&path)?;
        } else if extension == Some("swap") {
            return Err(Trouble::Quarantine(format!(
                "{} is left of an interrupted compaction",
                entry.name
            )));
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
    let must_rebuild_epochs = epochs.is_none();
    inner.epochs = epochs.unwrap_or_default();

    let first_base = bases.first().map(|(base_offset, _)| *base_offset);
    inner.log_start_offset = known.log_start_offset.max(first_base.unwrap_or(0)).max(0);
    recover_segments(store, known, inner)?;

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
    if must_rebuild_epochs {
        rebuild_epochs(inner)?;
    }
    inner.are_epochs_dirty |= inner.epochs.truncate_from_end(inner.log_end_offset);
    inner.are_epochs_dirty |= inner.epochs.truncate_from_start(inner.log_start_offset);
    load_aborted(inner)?;
    load_producers(store, &known.path, inner)?;
    let high_watermark = known.high_watermark.unwrap_or(inner.log_end_offset);
    inner.set_high_watermark(high_watermark);
    if inner.high_watermark_follows {
        let log_end_offset = inner.log_end_offset;
        inner.set_high_watermark(log_end_offset);
    }
    if !known.is_clean && !bases.is_empty() {
        // Records that readers will see must not vanish in the next crash.
        inner.needs_directory_sync = true;
    }
    Ok(())
}

/// Checks the segments that have to be, finds the log end offset, cuts a torn tail.
fn recover_segments(store: &Arc<Store>, known: &Known, inner: &mut Inner) -> Result<(), Trouble> {
    let files = store.files();
    let count = inner.segments.len();
    let Some(last) = inner.segments.last().cloned() else { return Ok(()) };
    let from = if known.is_clean {
        count - 1
    } else {
        inner.segment_index(known.recovery_point).unwrap_or(0)
    };
    inner.log_end_offset = last.base_offset;
    for index in from..count {
        let Some(segment) = inner.segments.get(index).cloned() else { break };
        store.failpoints.hit(Failpoint::DuringRecovery)?;
        let is_last = index + 1 == count;
        if known.is_clean
            && let Some(end_offset) = clean_end_offset(&segment)?
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
        let next_base = inner.segments.get(index + 1).map(|next| next.base_offset);
        let recovered = recover_segment(known, inner, &segment, next_base)?;
        let end_before = inner.log_end_offset;
        inner.log_end_offset = recovered.end_offset;
        if let Some(position) = recovered.cut_at {
            let rest: Vec<Arc<Segment>> = inner.segments.drain(index + 1..).collect();
            let has_rest = rest.iter().any(|later| later.size() > 0);
            if recovered.keep_rest || has_rest {
                save_tail(files, &known.path, &segment, position)?;
            }
            segment.cut(position)?;
            for later in rest {
                if later.size() > 0 {
                    later.rename_files(".cut")?;
                } else {
                    for path in later.rename_files(".deleted")? {
                        files.remove_file(&path)?;
                    }
                }
            }
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
    Ok(())
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
    /// What is cut holds good batches.
    keep_rest: bool,
}

fn recover_segment(
    known: &Known,
    inner: &mut Inner,
    segment: &Arc<Segment>,
    next_base: Option<i64>,
) -> Result<Recovered, Trouble> {
    segment.reset_indexes(known.config.index_interval_bytes);
    segment.mark_dirty();
    let mut scanner = segment.scan(RECOVERY_WINDOW_BYTES)?;
    let mut expected = segment.base_offset;
    loop {
        let (position, detail) = match scanner.next_verified()? {
            Scanned::Batch { position, header } => {
                let is_in_order = header.base_offset >= expected
                    && header.last_offset() - segment.base_offset <= i64::from(i32::MAX)
                    && next_base.is_none_or(|next| header.last_offset() < next);
                if is_in_order {
                    segment.recovered(position, &header)?;
                    inner.are_epochs_dirty |=
                        inner.epochs.assign(header.leader_epoch, header.base_offset);
                    expected = header.next_offset();
                    continue;
                }
                (position, format!("offset {} is out of order", header.base_offset))
            }
            Scanned::End => {
                return Ok(Recovered { end_offset: expected, cut_at: None, keep_rest: false });
            }
            Scanned::Bad { position, detail } => (position, detail),
        };
        let file = segment.file()?;
        let size = segment.size();
        let good_behind = find_valid_batch(&file, position + 1, size, expected)?;
        let has_later_records = inner
            .segments
            .iter()
            .any(|later| later.base_offset > segment.base_offset && later.size() > 0);
        if good_behind.is_none() && !has_later_records {
            return Ok(Recovered {
                end_offset: expected,
                cut_at: Some(position),
                keep_rest: false,
            });
        }
        let hole_end = good_behind.unwrap_or(size);
        let is_cut_short = good_behind.is_none() && detail.starts_with("the file ends");
        if expected >= known.recovery_point
            && (is_cut_short || has_zero_sector(&file, position, hole_end)?)
        {
            return Ok(Recovered { end_offset: expected, cut_at: Some(position), keep_rest: true });
        }
        return Err(Trouble::Quarantine(format!(
            "bad batch at byte {position} of {}, after offset {}: {detail}; good records follow",
            file_name(segment.base_offset, "log"),
            expected - 1
        )));
    }
}

/// Whether a whole sector's part of `from..to` is zeros: a write that never reached the disk.
fn has_zero_sector(file: &Arc<dyn StoreFile>, from: u64, to: u64) -> io::Result<bool> {
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
        if is_zero && end - at >= LEAST_BYTES {
            return Ok(true);
        }
        at = end;
    }
    Ok(false)
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
    to.sync_data()
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
