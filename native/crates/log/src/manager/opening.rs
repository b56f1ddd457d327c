//! What opening a store does before anybody is served: which partitions are in a directory, which of two places a partition that was being moved
//! is in, and loading all of it in parallel.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::moves::{FUTURE_SUFFIX, REPLACES_FILE, deleted_name, read_replaced};
use super::{Opened, RecoveryProgress};
use crate::checkpoint::{
    CLEAN_SHUTDOWN_FILE, LOG_START_FILE, NO_BROKER_EPOCH, Offsets, RECOVERY_POINT_FILE,
    REPLICATION_FILE, is_own, read_clean_shutdown, read_offsets, write_offsets,
};
use crate::config::StoreOptions;
use crate::directory::Directory;
use crate::distrust;
use crate::error::LogError;
use crate::integrity::FindingKind;
use crate::io::FileSystem;
use crate::partition::{Known, PartitionLog, file_finding};
use crate::segment::Store;
use crate::types::DirectoryReport;

/// The life that closed all directories in order: one directory that does not tell of it, or of another, and it did not (KIP-966).
pub(super) fn common_epoch(epochs: &[i64]) -> i64 {
    match epochs {
        [first, others @ ..] if others.iter().all(|epoch| epoch == first) => *first,
        _ => NO_BROKER_EPOCH,
    }
}

/// Takes the clean-shutdown marker away and lists the partitions.
pub(super) fn open_directory(
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
    let has_own_checkpoint = is_own(files, &path.join(RECOVERY_POINT_FILE));
    let log_starts = read(LOG_START_FILE);
    let high_watermarks = read(REPLICATION_FILE);
    let directory = Directory::new(path.to_owned(), Arc::clone(store), options.disk_reserve_bytes);
    let checkpointed = [&recovery_points, &log_starts, &high_watermarks];
    directory.checkpointed.lock().extend(checkpointed.into_iter().flat_map(Offsets::keys).cloned());
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
        let future = future_of(&entry.name);
        let is_future = future.is_some();
        let Some((topic, partition)) = future.or_else(|| partition_of(&entry.name)) else {
            continue;
        };
        is_new = false;
        let key = (topic.clone(), partition);
        partitions.push(Known {
            topic,
            partition,
            path: path.join(&entry.name),
            is_future,
            config: options.defaults.clone(),
            is_clean: was_clean,
            has_own_checkpoint,
            recovery_point: recovery_points.get(&key).copied().unwrap_or(0),
            log_start_offset: log_starts.get(&key).copied().unwrap_or(0),
            high_watermark: high_watermarks.get(&key).copied(),
        });
    }
    if is_new && !has_own_checkpoint {
        // What a crash leaves before the first checkpoint is ours as well.
        write_offsets(files, &path.join(RECOVERY_POINT_FILE), &Offsets::new()).map_err(unusable)?;
    }
    // A directory without partitions has nothing to recover.
    Ok(Opened { directory, was_clean: was_clean || is_new, broker_epoch, partitions })
}

/// The topic of the cluster's own records, which lies beside the partitions and is kept by someone else.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Topic and partition in a directory's name; other directories are not ours.
pub(super) fn partition_of(name: &str) -> Option<(String, i32)> {
    let (topic, partition) = name.rsplit_once('-').filter(|(topic, _)| *topic != METADATA_TOPIC)?;
    let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !topic.is_empty())
        .then(|| Some((topic.to_owned(), partition.parse().ok()?)))
        .flatten()
}

/// Topic and partition of a replica that is on its way into the directory: `topic-partition.<32 digits>-future`.
fn future_of(name: &str) -> Option<(String, i32)> {
    let (partition, id) = name.strip_suffix(FUTURE_SUFFIX)?.rsplit_once('.')?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| partition_of(partition)).flatten()
}

/// Ends, of every move between directories, what a crash left in its last step; see `manager/moves.rs` for the steps. After it a partition is in
/// one directory, with at most one future replica beside it.
///
/// # Errors
/// `PARTITION_DUPLICATE`: a partition is in two directories, and nothing says which of them is left over. (Kafka does not start then, either.)
pub(super) fn settle_moves(
    files: &dyn FileSystem,
    directories: &[Option<Arc<Directory>>],
    ids: &[String],
    found: Vec<(usize, Known)>,
) -> Result<Vec<(usize, Known)>, LogError> {
    let mut places: HashMap<(String, i32), Vec<(usize, Known)>> = HashMap::new();
    for (index, known) in found {
        let key = (known.topic.clone(), known.partition);
        places.entry(key).or_default().push((index, known));
    }
    let source_of = |known: &Known| -> Option<usize> {
        let id = read_replaced(files, &known.path)?;
        let index = ids.iter().position(|known| *known == id)?;
        directories.get(index)?.as_ref().map(|_| index)
    };
    let home = |index: usize| directories.get(index).and_then(Option::as_ref);
    let mut settled = Vec::new();
    for (_, all) in places {
        let (mut futures, mut plain): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, known)| known.is_future);
        futures.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        if let [(first, a), (second, b)] = plain.as_slice() {
            let loser = match (source_of(a), source_of(b)) {
                (Some(source), other) if source == *second && other != Some(*first) => 1,
                (other, Some(source)) if source == *first && other != Some(*second) => 0,
                _ => return Err(duplicate(&a.path, &b.path)),
            };
            let (index, known) = plain.remove(loser);
            discard(files, home(index), &known);
        } else if let [(_, a), (_, b), ..] = plain.as_slice() {
            return Err(duplicate(&a.path, &b.path));
        }
        if plain.is_empty()
            && let Some(at) = futures.iter().position(|(_, known)| source_of(known).is_some())
        {
            // The replica that it replaces is gone from its directory: only the name was missing.
            let (index, mut known) = futures.remove(at);
            if let Some(directory) = home(index) {
                let target = directory.file(&format!("{}-{}", known.topic, known.partition));
                let renamed = files
                    .rename(&known.path, &target)
                    .and_then(|()| files.sync_directory(&directory.path));
                match renamed {
                    Ok(()) => {
                        known.path = target;
                        known.is_future = false;
                        plain.push((index, known));
                    }
                    Err(error) => {
                        directory.poison(&format!("{}: {error}", known.path.display()));
                    }
                }
            }
        }
        for (index, known) in &plain {
            if source_of(known).is_some()
                && let Err(error) = files
                    .remove_file(&known.path.join(REPLACES_FILE))
                    .and_then(|()| files.sync_directory(&known.path))
                && let Some(directory) = home(*index)
            {
                directory.poison(&format!("{}: {error}", known.path.display()));
            }
        }
        for (index, known) in futures.drain(futures.len().min(1)..) {
            discard(files, home(index), &known);
        }
        settled.extend(plain);
        settled.extend(futures);
    }
    Ok(settled)
}

fn duplicate(first: &Path, second: &Path) -> LogError {
    LogError::new(
        LogError::PARTITION_DUPLICATE,
        format!(
            "{} and {} are the same partition; remove the one that is left over, most likely the one on the disk that has failed",
            first.display(),
            second.display()
        ),
    )
}

/// Takes a partition's directory out of use; its files go at once.
fn discard(files: &dyn FileSystem, directory: Option<&Arc<Directory>>, known: &Known) {
    let Some(directory) = directory else { return };
    let path = &known.path;
    let target = directory.file(&deleted_name(&known.topic, known.partition));
    let renamed: io::Result<()> =
        files.rename(path, &target).and_then(|()| files.sync_directory(&directory.path));
    match renamed {
        Ok(()) => directory.remove_later(target, true, 0),
        Err(error) => directory.poison(&format!("{}: {error}", path.display())),
    }
}

/// One directory at least is in use.
pub(super) fn check_any(
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
pub(super) fn give_up_poisoned(
    directories: &mut [Option<Arc<Directory>>],
    reports: &mut [DirectoryReport],
    logs: &mut Vec<Loaded>,
) {
    for (index, (slot, report)) in directories.iter_mut().zip(reports).enumerate() {
        let Some(directory) = slot.take_if(|directory| directory.is_poisoned()) else { continue };
        let why = directory.failure().unwrap_or_default();
        logs.retain(|loaded| {
            if loaded.directory == index {
                loaded.log.abandon();
            }
            loaded.directory != index
        });
        directory.stop();
        report.directory_id.clear();
        report.error = Some(format!(
            "{} cannot be trusted, check its disk: recovery failed: {why}",
            directory.path.display()
        ));
    }
}

/// A partition that was loaded, and the index of its directory.
pub(super) struct Loaded {
    pub(super) directory: usize,
    pub(super) log: Arc<PartitionLog>,
    pub(super) is_future: bool,
}

/// Loads partitions on several threads; the answer is in the order of `found`.
pub(super) fn load_all(
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
            let is_future = known.is_future;
            let log = PartitionLog::load(directory, known);
            if let Some(result) = results.get(at) {
                *result.lock() = Some(Loaded { directory: index, log, is_future });
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
