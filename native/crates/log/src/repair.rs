//! Offline repair: what verification finds is put right as far as the bytes allow, and nothing is changed before a copy of it lies in
//! `.quarantine` of the partition's directory. (Kafka does not start on a log directory with a folder that is no partition; what lies in a
//! partition's folder it leaves alone.)
//!
//! The header fields that no CRC covers follow from the neighbours, and a single flipped bit anywhere else follows from the CRC: it is linear,
//! so each bit of a batch changes it in a way of its own. Such batches come back whole. What cannot be restored is replaced by an empty batch of
//! the same offsets, as compaction leaves them in Kafka's logs, or the log is cut there. Files that follow from the log are made anew by opening
//! the directory once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::batch::{BatchHeader, HEADER_BYTES, crc32c, i32_at, is_crc_valid, put};
use crate::checkpoint::{
    CLEAN_SHUTDOWN_FILE, META_COPY_FILE, META_PROPERTIES_FILE, MetaProperties, RECOVERY_POINT_FILE,
    decode_meta_copy,
};
use crate::compress::open_reader;
use crate::config::{LogConfig, StoreOptions};
use crate::error::LogError;
use crate::integrity::{DAMAGED_RANGES_FILE, FindingKind, Hole};
use crate::io::{FileSystem, OpenMode, StoreFile, read_full, read_small, write_full};
use crate::manager::{LogManager, RecoveryProgress};
use crate::records::RecordStream;
use crate::segment::SEGMENT_SUFFIXES;
use crate::verify::{
    Inspection, VerifyProgress, directory_findings, inspect_partition, lock, outer_of,
    partitions_in,
};

/// Where copies of what is changed go, inside of the partition's directory.
pub const QUARANTINE_DIRECTORY: &str = ".quarantine";
/// Largest damaged place that is tried to be restored.
const RESTORE_BYTES_MAX: u64 = 16 << 20;
const COPY_BYTES: usize = 1 << 20;
const CRC_POLYNOMIAL: u32 = 0x82f6_3b78;

/// What becomes of batches that cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairMode {
    /// An empty batch takes their place; everything behind stays.
    Drop,
    /// The log ends before the first of them; everything behind is moved into quarantine.
    Cut,
}

/// One thing that a repair does.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairAction {
    /// `restore`, `drop`, `cut`, `move`, `epoch`, `rebuild` or `refuse`.
    pub kind: &'static str,
    /// `topic-partition`; empty for files of the whole directory.
    pub partition: String,
    /// Path of the file.
    pub file: String,
    /// Offsets that are lost; -1 when none are.
    pub first_offset: i64,
    /// The last of them.
    pub last_offset: i64,
    /// In words.
    pub detail: String,
}

/// Plans, or with `apply` does, the repair of a log directory.
///
/// # Errors
/// `LOG_DIR_LOCKED` when a broker is running, `LOG_IO`: what was done until then is whole, and every changed file has its copy.
pub fn repair(
    files: &Arc<dyn FileSystem>,
    directory: &Path,
    mode: RepairMode,
    apply: bool,
    progress: &VerifyProgress,
) -> Result<Vec<RepairAction>, LogError> {
    let lock = lock(&**files, directory)?;
    let io = |error: io::Error| LogError::io("repair", directory, &error);
    let mut actions = Vec::new();
    for finding in directory_findings(&**files, directory) {
        actions.push(RepairAction {
            kind: "rebuild",
            partition: String::new(),
            file: finding.file,
            first_offset: -1,
            last_offset: -1,
            detail: finding.reaction,
        });
    }
    let stamp =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis());
    let mut partitions = partitions_in(&**files, directory).map_err(io)?;
    partitions.sort();
    for partition in partitions {
        let outer = outer_of(&**files, &partition);
        let inspection =
            inspect_partition(&**files, &partition, None, outer, progress).map_err(io)?;
        let work = Work {
            files: &**files,
            partition: &partition,
            quarantine: partition.join(QUARANTINE_DIRECTORY).join(stamp.to_string()),
            mode,
            apply,
        };
        work.run(&inspection, &mut actions).map_err(io)?;
    }
    if apply && actions.iter().any(|action| action.kind != "refuse") {
        // Everything is read again, and whatever follows from the logs is made anew.
        for name in [CLEAN_SHUTDOWN_FILE, RECOVERY_POINT_FILE] {
            let path = directory.join(name);
            if files.exists(&path) {
                files.remove_file(&path).map_err(io)?;
            }
        }
        files.sync_directory(directory).map_err(io)?;
        drop(lock);
        reopen(files, directory)?;
    }
    Ok(actions)
}

/// Opens the directory as after a crash and closes it in order.
fn reopen(files: &Arc<dyn FileSystem>, directory: &Path) -> Result<(), LogError> {
    let text = |name: &str| {
        read_small(&**files, &directory.join(name), 1 << 16)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    let meta = MetaProperties::decode(&text(META_PROPERTIES_FILE)).or_else(|why| {
        decode_meta_copy(&text(META_COPY_FILE)).map_or(Err(why), MetaProperties::decode)
    });
    let meta = meta.map_err(|why| LogError::new(LogError::META_PROPERTIES_INVALID, why.clone()))?;
    let options = StoreOptions {
        dirs: vec![directory.to_string_lossy().into_owned()],
        cluster_id: None,
        node_id: meta.node_id,
        defaults: LogConfig { file_delete_delay_ms: 0, ..LogConfig::default() },
        recovery_threads: 1,
        max_open_files: 256,
        verify_on_read: false,
        in_memory: false,
        disk_reserve_bytes: 0,
        scrub_bytes_per_second: 0,
        scrub_interval_ms: 0,
    };
    let manager =
        LogManager::open_on(Arc::clone(files), options, Arc::new(RecoveryProgress::new()))?;
    manager.close()
}

struct Work<'a> {
    files: &'a dyn FileSystem,
    partition: &'a Path,
    quarantine: PathBuf,
    mode: RepairMode,
    apply: bool,
}

impl Work<'_> {
    fn run(&self, inspection: &Inspection, actions: &mut Vec<RepairAction>) -> io::Result<()> {
        let name = &inspection.check.partition;
        let action = |kind, file: &Path, lost: Option<(i64, i64)>, detail: String| RepairAction {
            kind,
            partition: name.clone(),
            file: file.to_string_lossy().into_owned(),
            first_offset: lost.map_or(-1, |lost| lost.0),
            last_offset: lost.map_or(-1, |lost| lost.1),
            detail,
        };
        // Guessing at the cluster's own records would undo what clients were told.
        let must_be_whole = name.starts_with("__cluster_metadata-");
        let mut is_cut = false;
        for segment in &inspection.segments {
            if is_cut {
                actions.push(action(
                    "move",
                    &segment.path,
                    None,
                    "moved into quarantine: it is behind the cut".to_owned(),
                ));
                for suffix in SEGMENT_SUFFIXES {
                    let path = segment.path.with_extension(suffix);
                    if self.files.exists(&path) {
                        self.set_aside(&path, true)?;
                    }
                }
                continue;
            }
            let mut patches: Vec<(u64, u64, Vec<u8>)> = Vec::new();
            let mut cut_at = None;
            let file = self.files.open(&segment.path, OpenMode::Read)?;
            for hole in &segment.holes {
                match restore(&file, hole)? {
                    Some((bytes, how)) => {
                        actions.push(action(
                            "restore",
                            &segment.path,
                            None,
                            format!(
                                "offsets {} to {} come back whole: {how}",
                                hole.first_offset,
                                hole.next_offset - 1
                            ),
                        ));
                        patches.push((hole.from, hole.to, bytes));
                    }
                    None if must_be_whole => {
                        actions.push(action("refuse", &segment.path, None, format!(
                            "bytes {} to {} of the cluster's metadata cannot be restored, and nothing is dropped there: bring the file back from a copy",
                            hole.from, hole.to
                        )));
                        patches.clear();
                        break;
                    }
                    None if self.mode == RepairMode::Cut => {
                        let end = inspection.check.end_offset.max(hole.next_offset);
                        actions.push(action(
                            "cut",
                            &segment.path,
                            Some((hole.first_offset, end - 1)),
                            format!("the log ends at offset {} from now on", hole.first_offset),
                        ));
                        cut_at = Some(hole.from);
                        is_cut = true;
                        break;
                    }
                    None => {
                        actions.push(action(
                            "drop",
                            &segment.path,
                            Some((hole.first_offset, hole.next_offset - 1)),
                            format!(
                                "bytes {} to {} are replaced by an empty batch",
                                hole.from, hole.to
                            ),
                        ));
                        patches.push((hole.from, hole.to, empty_batch(&file, hole)?));
                    }
                }
            }
            for fault in &segment.checked.epoch_faults {
                actions.push(action(
                    "epoch",
                    &segment.path,
                    None,
                    format!(
                        "leader epoch {} of the batch of offset {} becomes {}",
                        fault.epoch, fault.base_offset, fault.expected
                    ),
                ));
                let from = fault.position + 12;
                patches.push((from, from + 4, fault.expected.to_be_bytes().to_vec()));
            }
            if self.apply && (!patches.is_empty() || cut_at.is_some()) {
                patches.sort_by_key(|patch| patch.0);
                self.set_aside(&segment.path, false)?;
                self.rewrite(&file, &segment.path, cut_at.unwrap_or(segment.size), &patches)?;
            }
        }
        let derived = [
            FindingKind::OffsetIndex,
            FindingKind::TimeIndex,
            FindingKind::TransactionIndex,
            FindingKind::Snapshot,
            FindingKind::EpochCheckpoint,
            FindingKind::PartitionMetadata,
            FindingKind::OffsetCheckpoint,
            FindingKind::TornTail,
        ];
        for finding in inspection.findings.iter().filter(|found| derived.contains(&found.kind)) {
            let path = Path::new(&finding.file);
            let detail = match finding.kind {
                FindingKind::TornTail => "the torn end is cut, as the next start would",
                _ => "made anew from the log; the damaged file goes into quarantine",
            };
            let kind = if must_be_whole { "refuse" } else { "rebuild" };
            actions.push(action(kind, path, None, detail.to_owned()));
            if self.apply && !must_be_whole {
                let is_kept = matches!(
                    finding.kind,
                    FindingKind::TornTail
                        | FindingKind::TransactionIndex
                        | FindingKind::PartitionMetadata
                );
                self.set_aside(path, !is_kept)?;
            }
        }
        if self.apply && self.files.exists(&self.partition.join(DAMAGED_RANGES_FILE)) {
            self.files.remove_file(&self.partition.join(DAMAGED_RANGES_FILE))?;
        }
        Ok(())
    }

    /// Copies a file into quarantine, and removes it if asked to. Nothing in a plan.
    fn set_aside(&self, path: &Path, remove: bool) -> io::Result<()> {
        if !self.apply {
            return Ok(());
        }
        let Some(name) = path.file_name() else { return Ok(()) };
        self.files.create_directory(&self.quarantine)?;
        let target = self.quarantine.join(name);
        if !self.files.exists(&target) {
            let from = self.files.open(path, OpenMode::Read)?;
            let to = self.files.open(&target, OpenMode::Truncate)?;
            copy(&*from, 0, from.length()?, &*to, 0)?;
            to.sync_data()?;
            for parent in self.quarantine.ancestors().take(3) {
                self.files.sync_directory(parent)?;
            }
        }
        if remove && self.files.exists(path) {
            self.files.remove_file(path)?;
        }
        Ok(())
    }

    /// Writes the segment anew up to `end`, with the patches in place of what was there, and swaps it in.
    fn rewrite(
        &self,
        from: &Arc<dyn StoreFile>,
        path: &Path,
        end: u64,
        patches: &[(u64, u64, Vec<u8>)],
    ) -> io::Result<()> {
        let temporary = path.with_extension("log.tmp");
        let to = self.files.open(&temporary, OpenMode::Truncate)?;
        let (mut read, mut written) = (0, 0);
        for (start, stop, bytes) in patches.iter().filter(|patch| patch.1 <= end) {
            copy(&**from, read, start - read, &*to, written)?;
            written += start - read;
            write_full(&*to, bytes, written)?;
            written += bytes.len() as u64;
            read = *stop;
        }
        copy(&**from, read, end.saturating_sub(read), &*to, written)?;
        to.sync_data()?;
        for suffix in ["index", "timeindex"] {
            let index = path.with_extension(suffix);
            if self.files.exists(&index) {
                self.set_aside(&index, true)?;
            }
        }
        self.files.rename(&temporary, path)?;
        self.files.sync_directory(self.partition)
    }
}

fn copy(
    from: &dyn StoreFile,
    position: u64,
    length: u64,
    to: &dyn StoreFile,
    at: u64,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < length {
        let want = usize::try_from(length - done).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let got = read_full(from, buffer.get_mut(..want).unwrap_or_default(), position + done)?;
        if got == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        write_full(to, buffer.get(..got).unwrap_or_default(), at + done)?;
        done += got as u64;
    }
    Ok(())
}

/// What can be done about a hole, in words.
pub(crate) fn prospect(file: &Arc<dyn StoreFile>, hole: &Hole) -> io::Result<&'static str> {
    Ok(match restore(file, hole)? {
        Some(_) => "repair brings these records back whole",
        None => "these records are lost; repair drops them or cuts the log before them",
    })
}

/// The bytes of a hole as they were, and what had happened to them; `None` when that cannot be told.
pub(crate) fn restore(
    file: &Arc<dyn StoreFile>,
    hole: &Hole,
) -> io::Result<Option<(Vec<u8>, String)>> {
    let length = hole.to - hole.from;
    if !(HEADER_BYTES as u64..=RESTORE_BYTES_MAX).contains(&length) {
        return Ok(None);
    }
    let mut bytes = vec![0; length as usize];
    if read_full(&**file, &mut bytes, hole.from)? != bytes.len() {
        return Ok(None);
    }
    let read = bytes.clone();
    put(&mut bytes, 0, hole.first_offset.to_be_bytes());
    put(&mut bytes, 8, ((length - 12) as i32).to_be_bytes());
    put(&mut bytes, 16, [2]);
    let flipped = if is_crc_valid(&bytes) { None } else { flipped_bit(&bytes) };
    if let Some((at, bit)) = flipped
        && let Some(byte) = bytes.get_mut(at)
    {
        *byte ^= bit;
    }
    let Some(header) = BatchHeader::parse(&bytes) else { return Ok(None) };
    let is_whole = is_crc_valid(&bytes)
        && header.next_offset() == hole.next_offset
        && header.last_offset_delta >= 0
        && are_records_readable(&header, bytes.get(HEADER_BYTES..).unwrap_or_default());
    if !is_whole {
        return Ok(None);
    }
    let how = match flipped {
        Some((at, bit)) => {
            format!("bit {} of byte {} was flipped", bit.trailing_zeros(), hole.from + at as u64)
        }
        None if bytes == read => return Ok(None),
        None => "only header fields that follow from the neighbours were damaged".to_owned(),
    };
    Ok(Some((bytes, how)))
}

/// Position and mask of the one bit whose flip makes the CRC of a batch right.
fn flipped_bit(batch: &[u8]) -> Option<(usize, u8)> {
    const CRC_AT: usize = 17;
    const COVERED_FROM: usize = 21;
    let stored = i32_at(batch, CRC_AT)?.cast_unsigned();
    let syndrome = stored ^ crc32c(batch.get(COVERED_FROM..)?);
    if syndrome.is_power_of_two() {
        // The CRC itself, big-endian.
        let bit = syndrome.trailing_zeros() as usize;
        return Some((CRC_AT + 3 - bit / 8, 1 << (bit % 8)));
    }
    // What each bit of a byte does to the CRC, from the last byte to the first.
    let shift = |mut value: u32| {
        for _ in 0..8 {
            value = (value >> 1) ^ if value & 1 == 1 { CRC_POLYNOMIAL } else { 0 };
        }
        value
    };
    let table: Vec<u32> = (0..256).map(shift).collect();
    let step = |value: u32| (value >> 8) ^ table.get((value & 0xff) as usize).copied().unwrap_or(0);
    let mut effects: Vec<u32> = (0..8).map(|bit| shift(1 << bit)).collect();
    for at in (COVERED_FROM..batch.len()).rev() {
        if let Some(bit) = effects.iter().position(|effect| *effect == syndrome) {
            return Some((at, 1 << bit));
        }
        for effect in &mut effects {
            *effect = step(*effect);
        }
    }
    None
}

fn are_records_readable(header: &BatchHeader, payload: &[u8]) -> bool {
    let Some(codec) = header.codec() else { return false };
    let mut records = RecordStream::new(open_reader(codec, payload), header.record_count);
    let mut count = 0;
    while let Some(record) = records.next_summary() {
        if record.is_err() {
            return false;
        }
        count += 1;
    }
    count == header.record_count
}

/// A batch without records that holds the offsets of a hole.
fn empty_batch(file: &Arc<dyn StoreFile>, hole: &Hole) -> io::Result<Vec<u8>> {
    let mut bytes = [0; HEADER_BYTES];
    let got = read_full(&**file, &mut bytes, hole.from)?;
    let epoch = BatchHeader::parse(bytes.get(..got).unwrap_or_default())
        .map_or(0, |header| header.leader_epoch);
    let header = BatchHeader {
        base_offset: hole.first_offset,
        batch_length: HEADER_BYTES as i32 - 12,
        leader_epoch: epoch.max(0),
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: i32::try_from(hole.next_offset - hole.first_offset - 1)
            .unwrap_or(i32::MAX),
        base_timestamp: -1,
        max_timestamp: -1,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 0,
    };
    let mut bytes = header.encode().to_vec();
    let crc = crc32c(bytes.get(21..).unwrap_or_default());
    put(&mut bytes, 17, crc.to_be_bytes());
    Ok(bytes)
}
