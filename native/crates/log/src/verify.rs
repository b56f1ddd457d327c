//! Offline verification: everything in log directories is read and compared with itself; nothing is changed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::check::{Checked, Subject, check_epochs, check_segment};
use crate::checkpoint::{
    CLEAN_SHUTDOWN_FILE, LEADER_EPOCH_FILE, LOG_START_FILE, META_COPY_FILE, META_PROPERTIES_FILE,
    MetaProperties, Offsets, PARTITION_METADATA_FILE, RECOVERY_POINT_FILE, REPLICATION_FILE,
    decode_meta_copy, decode_partition_metadata, read_cut_mark, read_offsets,
};
use crate::epochs::EpochCache;
use crate::error::LogError;
use crate::integrity::{DAMAGED_RANGES_FILE, Finding, FindingKind, Hole, read_holes};
use crate::io::{DirectoryLock, FileSystem, OpenMode, read_small};
use crate::partition::{Walk, file_finding};
use crate::producer::ProducerStates;
use crate::scan::{Scanned, Scanner};
use crate::segment::{offset_of, partition_name};
use crate::transactions::decode_aborted;

const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;
const WINDOW_BYTES: usize = 1 << 20;

/// How far a verification is; shared with whoever watches it.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    current: Mutex<String>,
}

impl VerifyProgress {
    /// Bytes to read, bytes read, and the partition being read.
    pub fn now(&self) -> (u64, u64, String) {
        (
            self.total_bytes.load(Ordering::Relaxed),
            self.done_bytes.load(Ordering::Relaxed),
            self.current.lock().clone(),
        )
    }
}

/// One partition, as far as it was read.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionCheck {
    /// `topic-partition`.
    pub partition: String,
    /// Its directory.
    pub path: String,
    /// Segments that were read.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Good batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// First offset of the first segment.
    pub first_offset: i64,
    /// Offset after the last batch.
    pub end_offset: i64,
    /// Findings about it.
    pub findings: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// In the order of their names.
    pub partitions: Vec<PartitionCheck>,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

/// A segment that was read.
pub(crate) struct InspectedSegment {
    pub(crate) base_offset: i64,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) checked: Checked,
    /// Damage, a bad end included unless it is a torn tail.
    pub(crate) holes: Vec<Hole>,
}

/// A partition's directory that was read.
pub(crate) struct Inspection {
    pub(crate) check: PartitionCheck,
    pub(crate) segments: Vec<InspectedSegment>,
    pub(crate) findings: Vec<Finding>,
}

/// What the log directory says about a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outer {
    pub(crate) is_clean: bool,
    pub(crate) recovery_point: i64,
    pub(crate) log_start_offset: i64,
}

/// Verifies log directories, partitions' directories or segment files.
///
/// # Errors
/// `LOG_DIR_LOCKED` when a broker is running on one of them, `INVALID_ARGUMENT` for a path that is none of the three, `LOG_IO`.
pub fn verify(
    files: &dyn FileSystem,
    paths: &[PathBuf],
    progress: &VerifyProgress,
) -> Result<VerifyReport, LogError> {
    let mut report = VerifyReport::default();
    let mut locks: Vec<(PathBuf, Box<dyn DirectoryLock>)> = Vec::new();
    let mut work: Vec<(PathBuf, Option<i64>)> = Vec::new();
    for path in paths {
        let target = Target::of(files, path)?;
        let directory = target.log_directory(path);
        if let Some(directory) = &directory
            && !locks.iter().any(|(locked, _)| locked == directory)
            && let Some(lock) = lock_existing(files, directory)?
        {
            locks.push((directory.clone(), lock));
        }
        match target {
            Target::LogDirectory => {
                report.findings.extend(directory_findings(files, path));
                let mut partitions = partitions_in(files, path)
                    .map_err(|error| LogError::io("list", path, &error))?;
                partitions.sort();
                work.extend(partitions.into_iter().map(|partition| (partition, None)));
            }
            Target::Partition => work.push((path.clone(), None)),
            Target::Segment(base_offset) => work.push((
                path.parent().unwrap_or_else(|| Path::new(".")).to_owned(),
                Some(base_offset),
            )),
        }
    }
    let size_of = |(partition, only): &(PathBuf, Option<i64>)| -> u64 {
        let entries = files.list(partition).unwrap_or_default();
        entries
            .iter()
            .filter(|entry| {
                offset_of(&entry.name, "log")
                    .is_some_and(|base| only.is_none_or(|only| only == base))
            })
            .map(|entry| entry.length)
            .sum()
    };
    progress.total_bytes.store(work.iter().map(size_of).sum(), Ordering::Relaxed);
    for (partition, only) in work {
        progress.current.lock().clone_from(&partition_name(&partition.join("x")));
        let outer = outer_of(files, &partition);
        let inspection = inspect_partition(files, &partition, only, outer, progress)
            .map_err(|error| LogError::io("read", &partition, &error))?;
        report.partitions.push(inspection.check);
        report.findings.extend(inspection.findings);
    }
    progress.current.lock().clear();
    Ok(report)
}

enum Target {
    LogDirectory,
    Partition,
    Segment(i64),
}

impl Target {
    fn of(files: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if let Some(base_offset) = offset_of(&name, "log").filter(|_| files.exists(path)) {
            return Ok(Self::Segment(base_offset));
        }
        let entries = files.list(path).map_err(|error| {
            LogError::new(
                LogError::INVALID_ARGUMENT,
                format!("{} cannot be listed: {error}", path.display()),
            )
        })?;
        let has_segments = entries.iter().any(|entry| offset_of(&entry.name, "log").is_some());
        if has_segments || is_partition_name(&name) {
            return Ok(Self::Partition);
        }
        let is_log_directory = entries.iter().any(|entry| {
            entry.name == META_PROPERTIES_FILE
                || entry.is_directory && is_partition_name(&entry.name)
        });
        if is_log_directory {
            return Ok(Self::LogDirectory);
        }
        Err(LogError::new(
            LogError::INVALID_ARGUMENT,
            format!("{} is no log directory, partition or segment", path.display()),
        ))
    }

    fn log_directory(&self, path: &Path) -> Option<PathBuf> {
        match self {
            Self::LogDirectory => Some(path.to_owned()),
            Self::Partition => path.parent().map(Path::to_owned),
            Self::Segment(_) => path.parent().and_then(Path::parent).map(Path::to_owned),
        }
    }
}

fn is_partition_name(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(topic, partition)| {
        !topic.is_empty()
            && !partition.is_empty()
            && partition.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The partitions' directories of a log directory.
pub(crate) fn partitions_in(files: &dyn FileSystem, path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = files.list(path)?;
    Ok(entries
        .into_iter()
        .filter(|entry| entry.is_directory && is_partition_name(&entry.name))
        .map(|entry| path.join(entry.name))
        .collect())
}

/// Takes the lock of a directory that has one; nothing is created.
fn lock_existing(
    files: &dyn FileSystem,
    directory: &Path,
) -> Result<Option<Box<dyn DirectoryLock>>, LogError> {
    let path = directory.join(".lock");
    if !files.exists(&path) {
        return Ok(None);
    }
    lock(files, directory).map(Some)
}

/// Takes the lock of a log directory.
pub(crate) fn lock(
    files: &dyn FileSystem,
    directory: &Path,
) -> Result<Box<dyn DirectoryLock>, LogError> {
    files.lock(&directory.join(".lock")).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            LogError::new(
                LogError::LOG_DIR_LOCKED,
                format!("{} is in use by a running broker", directory.display()),
            )
        } else {
            LogError::io("lock", directory, &error)
        }
    })
}

/// What the directory around a partition knows of it.
pub(crate) fn outer_of(files: &dyn FileSystem, partition: &Path) -> Outer {
    let Some(directory) = partition.parent() else { return Outer::default() };
    let name = partition_name(&partition.join("x"));
    let Some((topic, index)) = name.rsplit_once('-') else { return Outer::default() };
    let key = (topic.to_owned(), index.parse().unwrap_or(-1));
    let read = |name: &str| -> Offsets { read_offsets(files, &directory.join(name), |_| {}) };
    let told = read(RECOVERY_POINT_FILE).get(&key).copied().unwrap_or(0);
    let cut_to = read_cut_mark(files, partition, &key, |_, _| {}).unwrap_or(i64::MAX);
    Outer {
        is_clean: files.exists(&directory.join(CLEAN_SHUTDOWN_FILE)),
        recovery_point: told.min(cut_to),
        log_start_offset: read(LOG_START_FILE).get(&key).copied().unwrap_or(0),
    }
}

fn small(files: &dyn FileSystem, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_small(files, path, SMALL_FILE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Damage of the files that belong to the whole directory.
pub(crate) fn directory_findings(files: &dyn FileSystem, path: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in [RECOVERY_POINT_FILE, LOG_START_FILE, REPLICATION_FILE] {
        read_offsets(files, &path.join(name), |why| {
            findings.push(offline(
                &path.join(name),
                FindingKind::OffsetCheckpoint,
                why,
                "nothing is lost: the next start finds every offset in the logs",
            ));
        });
    }
    let meta = path.join(META_PROPERTIES_FILE);
    let text = |name: &str| {
        small(files, &path.join(name))
            .ok()
            .flatten()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    if let Some(found) = text(META_PROPERTIES_FILE) {
        let copy = text(META_COPY_FILE);
        let copy = copy.as_deref().and_then(decode_meta_copy);
        let why = match (MetaProperties::decode(&found), copy) {
            (Err(why), _) => Some(why),
            (Ok(read), Some(copy)) if MetaProperties::decode(copy).as_ref() != Ok(&read) => {
                Some("it differs from the copy that was made of it".to_owned())
            }
            _ => None,
        };
        if let Some(why) = why {
            let reaction = if copy.is_some() {
                "the next start takes the copy if only a few bits differ"
            } else {
                "there is no copy: cluster.id, node.id and directory.id have to be written by hand"
            };
            findings.push(offline(&meta, FindingKind::MetaProperties, &why, reaction));
        }
    }
    for finding in &mut findings {
        finding.partition.clear();
    }
    findings
}

fn offline(path: &Path, kind: FindingKind, detail: &str, reaction: &str) -> Finding {
    Finding { found_by: "verify", ..file_finding(path, kind, detail, reaction) }
}

/// Reads a partition's directory, or one segment of it.
pub(crate) fn inspect_partition(
    files: &dyn FileSystem,
    directory: &Path,
    only: Option<i64>,
    outer: Outer,
    progress: &VerifyProgress,
) -> io::Result<Inspection> {
    let name = partition_name(&directory.join("x"));
    let mut findings = Vec::new();
    let mut bases: Vec<(i64, u64)> = Vec::new();
    for entry in files.list(directory)? {
        if let Some(base_offset) = offset_of(&entry.name, "log") {
            bases.push((base_offset, entry.length));
        }
    }
    bases.sort_unstable();
    let mut segments = Vec::new();
    let mut epochs: Vec<(i64, i32)> = Vec::new();
    for (at, &(base_offset, size)) in bases.iter().enumerate() {
        if only.is_some_and(|only| only != base_offset) {
            continue;
        }
        let next_base = bases.get(at + 1).map(|next| next.0);
        let path = directory.join(crate::segment::file_name(base_offset, "log"));
        let subject = Subject {
            file: files.open(&path, OpenMode::Read)?,
            base_offset,
            size,
            next_base,
            known_end: (outer.is_clean && next_base.is_none() && outer.recovery_point > 0)
                .then_some(outer.recovery_point),
            window_bytes: WINDOW_BYTES,
        };
        let before = progress.done_bytes.load(Ordering::Relaxed);
        let mut pace = |position| {
            progress.done_bytes.store(before + position, Ordering::Relaxed);
            true
        };
        let mut walk = Walk::new(files, &path, base_offset, true, &mut pace);
        let checked = check_segment(&subject, &mut walk)?;
        let mut holes = checked.holes.clone();
        if let Some(tail) = &checked.tail {
            let is_torn = next_base.is_none()
                && !outer.is_clean
                && !tail.holds_batches
                && checked.end_offset >= outer.recovery_point;
            if is_torn {
                findings.push(Finding {
                    position: tail.position as i64,
                    end_position: size as i64,
                    ..offline(
                        &path,
                        FindingKind::TornTail,
                        &tail.detail,
                        "the next start cuts it: it was never known to be on disk",
                    )
                });
            } else {
                let end_offset =
                    next_base.unwrap_or(outer.recovery_point).max(checked.end_offset + 1);
                holes.push(Hole {
                    from: tail.position,
                    to: size,
                    first_offset: checked.end_offset,
                    next_offset: end_offset,
                    detail: tail.detail.clone(),
                });
            }
        }
        for hole in &holes {
            findings.push(Finding {
                position: hole.from as i64,
                end_position: hole.to as i64,
                first_offset: hole.first_offset,
                last_offset: hole.next_offset - 1,
                ..offline(
                    &path,
                    FindingKind::Batch,
                    &hole.detail,
                    crate::repair::prospect(&subject.file, hole)?,
                )
            });
        }
        for fault in &checked.epoch_faults {
            findings.push(Finding {
                position: fault.position as i64,
                end_position: fault.position as i64 + 61,
                ..offline(
                    &path,
                    FindingKind::Epoch,
                    &format!(
                        "the batch of offset {} has leader epoch {}, its neighbours {}",
                        fault.base_offset, fault.epoch, fault.expected
                    ),
                    "the records are good; repair writes the neighbours' epoch",
                )
            });
        }
        if holes.is_empty() {
            for (kind, fault) in walk.index_faults(base_offset) {
                let suffix = if kind == FindingKind::TimeIndex { "timeindex" } else { "index" };
                findings.push(Finding {
                    position: fault.position as i64,
                    end_position: fault.position as i64 + 8,
                    ..offline(
                        &path.with_extension(suffix),
                        kind,
                        &fault.detail,
                        "nothing is lost: it is rebuilt from the log",
                    )
                });
            }
        }
        if let Ok(Some(bytes)) = small(files, &path.with_extension("txnindex"))
            && decode_aborted(&bytes).is_none()
        {
            findings.push(offline(
                &path.with_extension("txnindex"),
                FindingKind::TransactionIndex,
                "its entries cannot be",
                "nothing is lost: it is rebuilt from the log",
            ));
        }
        if checked.epoch_faults.is_empty() {
            epochs.extend_from_slice(walk.epochs());
        }
        progress.done_bytes.store(before + size, Ordering::Relaxed);
        segments.push(InspectedSegment { base_offset, path, size, checked, holes });
    }
    if only.is_none() {
        let has_epoch_faults =
            segments.iter().any(|segment| !segment.checked.epoch_faults.is_empty());
        let check_batches = !has_epoch_faults;
        side_findings(files, directory, outer, &epochs, check_batches, &mut findings)?;
    }
    let sum = |of: fn(&InspectedSegment) -> u64| segments.iter().map(of).sum();
    let check = PartitionCheck {
        partition: name,
        path: directory.to_string_lossy().into_owned(),
        segments: segments.len() as u64,
        bytes: sum(|segment| segment.size),
        batches: sum(|segment| segment.checked.batches),
        records: sum(|segment| segment.checked.records),
        first_offset: segments.first().map_or(0, |segment| segment.base_offset),
        end_offset: segments.last().map_or(0, |segment| segment.checked.end_offset),
        findings: findings.len() as u64,
    };
    Ok(Inspection { check, segments, findings })
}

/// Damage of the small files beside the segments.
fn side_findings(
    files: &dyn FileSystem,
    directory: &Path,
    outer: Outer,
    epochs: &[(i64, i32)],
    check_batches: bool,
    findings: &mut Vec<Finding>,
) -> io::Result<()> {
    let text_of = |name: &str| -> io::Result<Option<String>> {
        Ok(small(files, &directory.join(name))?
            .map(|bytes| String::from_utf8(bytes).unwrap_or_default()))
    };
    if let Some(text) = text_of(LEADER_EPOCH_FILE)? {
        let why = match EpochCache::decode(&text) {
            None => Some("it is no checkpoint, or contradicts itself".to_owned()),
            Some(cache) if check_batches => check_epochs(&cache, epochs, outer.log_start_offset),
            Some(_) => None,
        };
        if let Some(why) = why {
            findings.push(offline(
                &directory.join(LEADER_EPOCH_FILE),
                FindingKind::EpochCheckpoint,
                &why,
                "nothing is lost: it is rebuilt from the batches",
            ));
        }
    }
    if let Some(text) = text_of(PARTITION_METADATA_FILE)?
        && decode_partition_metadata(&text).is_none()
    {
        findings.push(offline(
            &directory.join(PARTITION_METADATA_FILE),
            FindingKind::PartitionMetadata,
            "it holds no topic id",
            "nothing is lost: the broker writes the id that the cluster's metadata has",
        ));
    }
    if read_holes(files, directory).is_none() {
        findings.push(offline(
            &directory.join(DAMAGED_RANGES_FILE),
            FindingKind::OffsetCheckpoint,
            "its checksum does not match",
            "nothing is lost: the next start reads the whole partition",
        ));
    }
    for entry in files.list(directory)? {
        let path = directory.join(&entry.name);
        if let Some(offset) = offset_of(&entry.name, "snapshot") {
            let is_good = small(files, &path)?
                .is_some_and(|bytes| ProducerStates::decode_snapshot(&bytes, offset).is_some());
            if !is_good {
                findings.push(offline(
                    &path,
                    FindingKind::Snapshot,
                    "its checksum does not match",
                    "nothing is lost: an older one and the batches give the producers' state",
                ));
            }
        } else if path.extension().is_some_and(|end| end == "checkpoint") {
            // A snapshot of the cluster's metadata: batches from end to end.
            let file = files.open(&path, OpenMode::Read)?;
            let mut scanner = Scanner::new(file, 0, entry.length, WINDOW_BYTES);
            loop {
                match scanner.next_verified()? {
                    Scanned::Batch { .. } => {}
                    Scanned::End => break,
                    Scanned::Bad { position, detail } => {
                        findings.push(Finding {
                            position: position as i64,
                            end_position: entry.length as i64,
                            ..offline(
                                &path,
                                FindingKind::Batch,
                                &detail,
                                "the broker does not start on it: restore the file from a copy",
                            )
                        });
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}
