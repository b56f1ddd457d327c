//! Disks that a simulation owns: stores on files in memory, without threads and clocks, that can crash, fill up and fail.
//!
//! A disk is a [`MemoryFileSystem`] behind a number. Everything that is asked of a store here happens within the call, so that a run from one
//! seed is the same every time: a sync that was asked for waits until `stepSimulatedStore`, and a crash is `crashSimulatedDisk` (what would be
//! left, as a new disk) followed by `dropSimulatedStore`.

use std::path::PathBuf;
use std::sync::Arc;

use napi_derive::napi;
use sluice_log::io::{CrashMode, Fault, FaultKind, MemoryFileSystem, Operation};
use sluice_log::{LogError, LogManager, StoreOptions};

use crate::error::{Result, coded, invalid, unknown};
use crate::slots::SlotTable;
use crate::store::{STORES, forget_partitions, parse, partition_of, register_store, store_of};

static DISKS: SlotTable<MemoryFileSystem> = SlotTable::new();

/// The files of a disk.
pub(crate) fn disk_of(disk_id: f64) -> Result<MemoryFileSystem> {
    DISKS.get(disk_id).ok_or_else(|| unknown("the disk"))
}

fn insert(disk: MemoryFileSystem) -> Result<f64> {
    DISKS.insert(disk).ok_or_else(|| invalid("too many disks"))
}

/// An empty disk in memory; returns its id.
#[napi(catch_unwind)]
pub fn make_simulated_disk() -> Result<f64> {
    insert(MemoryFileSystem::new())
}

/// Forgets a disk; stores on it go on.
#[napi(catch_unwind)]
pub fn drop_simulated_disk(disk_id: f64) {
    DISKS.remove(disk_id);
}

/// What a crash now would leave, as a new disk: mode 0, the process died and everything written is there; 1, the power went and nothing
/// unsynced is there; 2, of what is unsynced each sector, size and name is there or not, by the seed. Faults and the limit of size are gone.
#[napi(catch_unwind)]
pub fn crash_simulated_disk(disk_id: f64, mode: f64, seed: f64) -> Result<f64> {
    let mode = match mode as i64 {
        0 => CrashMode::ProcessOnly,
        1 => CrashMode::LoseUnsynced,
        2 => CrashMode::KeepSome(seed as u64),
        _ => return Err(invalid("no such way to crash")),
    };
    insert(disk_of(disk_id)?.crash(mode))
}

/// Makes a disk this large, or endless for a negative number.
#[napi(catch_unwind)]
pub fn limit_simulated_disk(disk_id: f64, bytes: f64) -> Result<()> {
    disk_of(disk_id)?.set_capacity((bytes >= 0.0).then_some(bytes as u64));
    Ok(())
}

/// Bytes that a disk's files take.
#[napi(catch_unwind)]
pub fn simulated_disk_bytes(disk_id: f64) -> Result<f64> {
    Ok(disk_of(disk_id)?.used_bytes() as f64)
}

/// Makes the next `count` syncs of files whose path contains the text fail with EIO; `skip` of them pass first.
#[napi(catch_unwind)]
pub fn fail_simulated_syncs(disk_id: f64, path: String, skip: f64, count: f64) -> Result<()> {
    disk_of(disk_id)?.inject(Fault {
        operation: Operation::Sync,
        path_contains: path,
        skip: skip as u64,
        count: count as u64,
        kind: FaultKind::InputOutput,
    });
    Ok(())
}

/// As `openStore`, on a disk of the simulation and at once.
#[napi(catch_unwind)]
pub fn open_simulated_store(disk_id: f64, options_json: String) -> Result<String> {
    let files = disk_of(disk_id)?;
    let open = || -> Result<String, LogError> {
        let options: StoreOptions = parse(&options_json, "store options")?;
        register_store(Arc::new(LogManager::open_stepped(Arc::new(files), options)?))
    };
    open().map_err(coded)
}

/// Does the syncs that were asked for, and looks at the free bytes; returns how many partitions were synced.
#[napi(catch_unwind)]
pub fn step_simulated_store(store_id: f64) -> Result<f64> {
    Ok(store_of(store_id)?.step() as f64)
}

/// As `reopenPartitions`, at once and after a look at the free bytes.
#[napi(catch_unwind)]
pub fn reopen_simulated_partitions(store_id: f64) -> Result<f64> {
    let store = store_of(store_id)?;
    store.sample_space();
    Ok(store.reopen_partitions() as f64)
}

/// As `flushPartition`, at once.
#[napi(catch_unwind)]
pub fn flush_simulated_partition(handle: f64) -> Result<()> {
    partition_of(handle)?.log.flush().map_err(coded)
}

/// As `checkpointStore`, at once.
#[napi(catch_unwind)]
pub fn checkpoint_simulated_store(store_id: f64) -> Result<()> {
    store_of(store_id)?.checkpoint().map_err(coded)
}

/// As `closeStore`, at once: a stop in order.
#[napi(catch_unwind)]
pub fn close_simulated_store(store_id: f64, broker_epoch: Option<f64>) -> Result<()> {
    let store = store_of(store_id)?;
    STORES.remove(store_id);
    let outcome = store.close_life(broker_epoch.unwrap_or(-1.0) as i64);
    forget_partitions(&store);
    outcome.map_err(coded)
}

/// Leaves a store as it is, as a crash does: nothing more is written, and all its handles are stale.
#[napi(catch_unwind)]
pub fn drop_simulated_store(store_id: f64) -> Result<()> {
    let store = store_of(store_id)?;
    STORES.remove(store_id);
    forget_partitions(&store);
    Ok(())
}

/// Paths of all files of a disk; for a look at what a crash left.
#[napi(catch_unwind)]
pub fn simulated_paths(disk_id: f64) -> Result<Vec<String>> {
    let paths = disk_of(disk_id)?.paths();
    Ok(paths
        .into_iter()
        .map(PathBuf::into_os_string)
        .filter_map(|path| path.into_string().ok())
        .collect())
}
