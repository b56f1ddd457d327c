//! Stores and partitions: opening, creating, configuring, describing, closing.

use std::path::Path;
use std::sync::Arc;

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_log::{
    Change, DirectoryDescription, LogConfig, LogError, LogListener, LogManager, OpenReport,
    PartitionLog, PartitionReport, RecoveryProgress, StoreOptions, TopicId,
};

use crate::error::{Job, Result, coded, invalid, unknown};
use crate::slots::SlotTable;
use crate::wake::Watches;

/// One open partition.
pub(crate) struct Partition {
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) watches: Arc<Watches>,
    store: Arc<LogManager>,
}

/// Partitions of all stores of the process.
pub(crate) static PARTITIONS: SlotTable<Arc<Partition>> = SlotTable::new();
pub(crate) static STORES: SlotTable<Arc<LogManager>> = SlotTable::new();
/// Of the store that was opened last.
static PROGRESS: Mutex<Option<Arc<RecoveryProgress>>> = Mutex::new(None);

pub(crate) fn partition_of(handle: f64) -> Result<Arc<Partition>> {
    PARTITIONS.get(handle).ok_or_else(|| unknown("the partition"))
}

pub(crate) fn store_of(store_id: f64) -> Result<Arc<LogManager>> {
    STORES.get(store_id).ok_or_else(|| unknown("the store"))
}

pub(crate) fn parse<T: DeserializeOwned>(json: &str, what: &str) -> Result<T, LogError> {
    serde_json::from_str(json)
        .map_err(|error| LogError::new(LogError::INVALID_ARGUMENT, format!("{what}: {error}")))
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, LogError> {
    serde_json::to_string(value)
        .map_err(|error| LogError::new(LogError::INVALID_ARGUMENT, error.to_string()))
}

/// Gives a partition its handle and listens to it.
fn register(store: &Arc<LogManager>, log: Arc<PartitionLog>) -> Result<f64, LogError> {
    PARTITIONS
        .insert_with(|handle| {
            let watches = Arc::new(Watches::new(handle));
            log.add_listener(Arc::clone(&watches) as Arc<dyn LogListener>);
            Arc::new(Partition { log, watches, store: Arc::clone(store) })
        })
        .ok_or_else(|| LogError::new(LogError::INVALID_ARGUMENT, "too many partitions"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenedPartition {
    handle: f64,
    #[serde(flatten)]
    report: PartitionReport,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    store_id: f64,
    cluster_id: String,
    node_id: i32,
    dirs: Vec<sluice_log::DirectoryReport>,
    was_clean: bool,
    closed_broker_epoch: i64,
    partitions: Vec<OpenedPartition>,
}

fn open(options_json: &str, progress: Arc<RecoveryProgress>) -> Result<String, LogError> {
    let options: StoreOptions = parse(options_json, "store options")?;
    sluice_sys::ignore_file_size_signal();
    let store = Arc::new(LogManager::open(options, progress)?);
    // Without the thread everything works but the background check, whose status then tells of no pass.
    let _ = store.start_scrub();
    if store.has_moves() {
        // As above: moves stand still then.
        let _ = store.start_moves();
    }
    register_store(store)
}

/// Gives a store and its partitions their handles; the report as JSON.
pub(crate) fn register_store(store: Arc<LogManager>) -> Result<String, LogError> {
    let OpenReport { cluster_id, node_id, dirs, was_clean, closed_broker_epoch, partitions } =
        store.report();
    let logs = store.partitions();
    let mut opened = Vec::with_capacity(partitions.len());
    for (report, log) in partitions.into_iter().zip(logs) {
        opened.push(OpenedPartition { handle: register(&store, log)?, report });
    }
    let store_id = STORES
        .insert(store)
        .ok_or_else(|| LogError::new(LogError::INVALID_ARGUMENT, "too many stores"))?;
    to_json(&Opened {
        store_id,
        cluster_id,
        node_id,
        dirs,
        was_clean,
        closed_broker_epoch,
        partitions: opened,
    })
}

/// Opens log directories and recovers the partitions in them, off the calling thread.
///
/// Takes `{ dirs, clusterId, nodeId, defaults, recoveryThreads, maxOpenFiles, verifyOnRead, inMemory? }` and resolves to
/// `{ storeId, clusterId, nodeId, dirs, wasClean, closedBrokerEpoch, partitions }`, both as JSON. Rejects with `code` LOG_DIR_LOCKED,
/// LOG_DIR_NOT_WRITABLE, CLUSTER_ID_MISMATCH, NODE_ID_MISMATCH, META_PROPERTIES_INVALID or INVALID_ARGUMENT; then nothing stays
/// locked.
#[napi(catch_unwind, ts_return_type = "Promise<string>")]
pub fn open_store(options_json: String) -> AsyncTask<Job<String>> {
    let progress = Arc::new(RecoveryProgress::new());
    *PROGRESS.lock() = Some(Arc::clone(&progress));
    AsyncTask::new(Job::new(move || open(&options_json, progress)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    total: u64,
    done: u64,
    current_partition: String,
}

/// How far the `openStore` that began last is: `{ total, done, currentPartition }` as JSON.
#[napi(catch_unwind)]
pub fn recovery_progress() -> Result<String> {
    let progress = PROGRESS.lock().clone().unwrap_or_default();
    to_json(&Progress {
        total: progress.total(),
        done: progress.done(),
        current_partition: progress.current_partition(),
    })
    .map_err(coded)
}

/// Creates an empty partition and returns its handle. `dir` is an index into the store's directories, or -1 for the one with
/// the fewest partitions; `configJson` a resolved `LogConfig`. Throws with `code` PARTITION_EXISTS, INVALID_ARGUMENT,
/// LOG_POISONED or LOG_IO; then nothing was created.
#[napi(catch_unwind)]
pub fn create_partition(
    store_id: f64,
    topic: String,
    partition: f64,
    topic_id: String,
    dir: f64,
    config_json: String,
) -> Result<f64> {
    let store = store_of(store_id)?;
    let topic_id = TopicId::parse(&topic_id).ok_or_else(|| invalid("the topic id is not valid"))?;
    let config: LogConfig = parse(&config_json, "log config").map_err(coded)?;
    let dir = (dir >= 0.0).then_some(dir as usize);
    let log =
        store.create_partition(&topic, partition as i32, topic_id, dir, config).map_err(coded)?;
    register(&store, log).map_err(coded)
}

/// Deletes a partition: its directory is renamed at once and removed after `file.delete.delay.ms`. The handle is stale from
/// here on, and whoever watches it is woken.
#[napi(catch_unwind)]
pub fn delete_partition(handle: f64) -> Result<()> {
    let partition = partition_of(handle)?;
    partition.store.delete_partition(&partition.log).map_err(coded)?;
    PARTITIONS.remove(handle);
    partition.watches.on_change(Change::Everything);
    Ok(())
}

/// Begins to move a partition to the directory of this index, beside the event loop; in the directory it is in, a move under way ends. Throws with
/// `code` PARTITION_UNKNOWN, INVALID_ARGUMENT, LOG_POISONED, LOG_QUARANTINED or LOG_IO; then nothing was begun.
#[napi(catch_unwind)]
pub fn move_partition(handle: f64, dir: f64) -> Result<()> {
    let partition = partition_of(handle)?;
    partition.store.move_partition(&partition.log, dir as usize).map_err(coded)?;
    partition
        .store
        .start_moves()
        .map_err(|error| coded(LogError::io("start the thread for", Path::new("moves"), &error)))
}

/// Index of the directory a partition is in.
#[napi(catch_unwind)]
pub fn partition_directory(handle: f64) -> Result<f64> {
    let partition = partition_of(handle)?;
    let index = partition.store.partition_directory(&partition.log);
    index.map(|index| index as f64).ok_or_else(|| unknown("the directory"))
}

/// Bytes a second that may be copied between the directories of a store; below 0 for no limit.
#[napi(catch_unwind)]
pub fn set_move_rate(store_id: f64, bytes_per_second: f64) -> Result<()> {
    store_of(store_id)?.set_move_rate(bytes_per_second as i64);
    Ok(())
}

/// What became of moves since the last call, as JSON: `[{ kind, topic, partition, from, to, reason }]`, with kind `moved`, `abandoned`, `stopped` or
/// `waiting`.
#[napi(catch_unwind)]
pub fn take_move_events(store_id: f64) -> Result<String> {
    to_json(&store_of(store_id)?.take_move_events()).map_err(coded)
}

/// Replaces a partition's settings (a resolved `LogConfig` as JSON).
#[napi(catch_unwind)]
pub fn configure_partition(handle: f64, config_json: String) -> Result<()> {
    let partition = partition_of(handle)?;
    partition.log.configure(parse(&config_json, "log config").map_err(coded)?);
    Ok(())
}

/// Flushes everything, writes checkpoints, snapshots and the clean-shutdown marker, and unlocks the directories. All
/// handles of the store are stale when the promise settles, also when it rejects. `broker_epoch` is the life that ends, for the marker;
/// without one the marker says -1.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn close_store(store_id: f64, broker_epoch: Option<f64>) -> Result<AsyncTask<Job<()>>> {
    let store = store_of(store_id)?;
    STORES.remove(store_id);
    Ok(AsyncTask::new(Job::new(move || {
        let outcome = store.close_life(broker_epoch.unwrap_or(-1.0) as i64);
        forget_partitions(&store);
        outcome
    })))
}

/// Makes all handles of a store's partitions stale, and wakes who watches them.
pub(crate) fn forget_partitions(store: &Arc<LogManager>) {
    let gone = PARTITIONS.remove_where(|partition| Arc::ptr_eq(&partition.store, store));
    for partition in gone {
        partition.watches.on_change(Change::Everything);
    }
}

/// Writes the recovery-point, log-start-offset and replication-offset checkpoints.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn checkpoint_store(store_id: f64) -> Result<AsyncTask<Job<()>>> {
    let store = store_of(store_id)?;
    Ok(AsyncTask::new(Job::new(move || store.checkpoint())))
}

/// How far the background check is, with every finding after the one of `afterId` (0: all that are kept), whoever found it, as JSON:
/// `{ isEnabled, passes, bytes, currentPartition, lastPassEndedMs, findingCount, findings }`.
#[napi(catch_unwind)]
pub fn scrub_status(store_id: f64, after_id: f64) -> Result<String> {
    to_json(&store_of(store_id)?.scrub_status(after_id.max(0.0) as u64)).map_err(coded)
}

/// Takes the topic id of the cluster's metadata where the partition's own file is damaged, and writes it there. Throws with `code` LOG_IO
/// when the file could not be written; the id is used nevertheless.
#[napi(catch_unwind)]
pub fn adopt_topic_id(handle: f64, topic_id: String) -> Result<()> {
    let topic_id = TopicId::parse(&topic_id).ok_or_else(|| invalid("the topic id is not valid"))?;
    let log = &partition_of(handle)?.log;
    log.adopt_topic_id(topic_id)
        .map_err(|error| coded(LogError::io("write partition.metadata of", &log.path(), &error)))
}

/// Applies retention at the given time; resolves to `[{ topic, partition, deletedSegments, newLogStartOffset, reason }]` as
/// JSON.
#[napi(catch_unwind, ts_return_type = "Promise<string>")]
pub fn run_retention(store_id: f64, now_ms: f64) -> Result<AsyncTask<Job<String>>> {
    let store = store_of(store_id)?;
    Ok(AsyncTask::new(Job::new(move || to_json(&store.run_retention(now_ms as i64)))))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    /// Size of the file system, -1 when unknown.
    total_bytes: i64,
    usable_bytes: i64,
    #[serde(flatten)]
    description: DirectoryDescription,
}

/// Sizes, one entry per log directory, as JSON: `{ path, directoryId, totalBytes, usableBytes, error, partitions: [{ topic,
/// partition, sizeBytes, offsetLag, isFuture }] }`. Bytes of the file system are -1 where they are not known.
#[napi(catch_unwind)]
pub fn describe_store(store_id: f64) -> Result<String> {
    let directories: Vec<Directory> = store_of(store_id)?
        .describe()
        .into_iter()
        .map(|description| {
            let space = sluice_sys::file_system_space(Path::new(&description.path)).ok();
            let bytes = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok());
            Directory {
                total_bytes: bytes(space.map(|space| space.total_bytes)).unwrap_or(-1),
                usable_bytes: bytes(space.map(|space| space.usable_bytes)).unwrap_or(-1),
                description,
            }
        })
        .collect();
    to_json(&directories).map_err(coded)
}

/// What the store counted, and what is set aside, as JSON: `{ openFileCount, flush: { counts, sumUs, failedCount },
/// quarantinedCount, quarantined: [{ topic, partition, reason }], damagedCount, damaged: [{ topic, partition, rangeCount, firstOffset,
/// lastOffset, unreadableCount }], later: { waitingCount, waitingBytes, doneCount, refusedCount }, contention: { append, read, syncQueue, partitions, plans, wakes }, directories: [{ path, error,
/// totalBytes, usableBytes }] }`. At most 100 quarantined and 100 damaged partitions are named. Buckets of `counts` are those of `src/common/latency-histogram.ts`.
#[napi(catch_unwind)]
pub fn store_statistics(store_id: f64) -> Result<String> {
    let store = store_of(store_id)?;
    let directories = store.directory_states();
    let directories = directories
        .into_iter()
        .map(|(path, error)| {
            let (total_bytes, usable_bytes) = space_of(&path);
            DirectoryState { path, error, total_bytes, usable_bytes }
        })
        .collect();
    let later = crate::later::later_statistics();
    let contention = Contentions {
        log: sluice_log::contention::contention(),
        partitions: PARTITIONS.contentions(),
        plans: crate::read::PLANS.contentions(),
        wakes: crate::wake::MOVED.count(),
    };
    to_json(&Statistics { store: store.statistics(), later, contention, directories })
        .map_err(coded)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    #[serde(flatten)]
    store: sluice_log::statistics::StoreStatistics,
    /// Of the whole process.
    later: crate::later::LaterStatistics,
    /// Of the whole process.
    contention: Contentions,
    directories: Vec<DirectoryState>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Contentions {
    #[serde(flatten)]
    log: sluice_log::contention::ContentionSnapshot,
    /// Of the table of partition handles.
    partitions: u64,
    /// Of the table of fetch plans.
    plans: u64,
    /// Of a Worker's queue of partitions that moved.
    wakes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DirectoryState {
    path: String,
    /// Why it refuses work.
    error: Option<String>,
    /// Of the file system, -1 when unknown.
    total_bytes: i64,
    usable_bytes: i64,
}

/// Size and free bytes of the file system that holds `path`; -1 when unknown.
fn space_of(path: &str) -> (i64, i64) {
    let bytes = |value: u64| i64::try_from(value).unwrap_or(-1);
    sluice_sys::file_system_space(Path::new(path))
        .map_or((-1, -1), |space| (bytes(space.total_bytes), bytes(space.usable_bytes)))
}

/// How each log directory is, as JSON: `[{ path, directoryId, error, freeBytes, reserveBytes, isShort, refusedCount }]`. Cheap: what the
/// store knows, without a look at the disk.
#[napi(catch_unwind)]
pub fn store_health(store_id: f64) -> Result<String> {
    to_json(&store_of(store_id)?.health()).map_err(coded)
}

/// Opens anew, beside the event loop, what was set aside at the start only because its disk was full; resolves to how many partitions are in use again.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn reopen_partitions(store_id: f64) -> Result<AsyncTask<Job<f64>>> {
    let store = store_of(store_id)?;
    Ok(AsyncTask::new(Job::new(move || Ok(store.reopen_partitions() as f64))))
}

/// Raises the limit of descriptors as far as the system allows; it stays as it was where that is refused.
#[napi(catch_unwind)]
pub fn raise_descriptor_limit() {
    sluice_sys::raise_descriptor_limit();
}

/// Producers that the partition remembers, as JSON (see `DescribeProducers`).
#[napi(catch_unwind)]
pub fn describe_producers(handle: f64) -> Result<String> {
    to_json(&partition_of(handle)?.log.producers()).map_err(coded)
}

/// Makes everything appended to the partition so far durable before the promise resolves.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn flush_partition(handle: f64) -> Result<AsyncTask<Job<()>>> {
    let partition = partition_of(handle)?;
    Ok(AsyncTask::new(Job::new(move || partition.log.flush())))
}
