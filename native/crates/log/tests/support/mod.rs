//! A store for tests, its batches, and what it holds, in the words of the log.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use sluice_log::batch::{BatchHeader, HEADER_BYTES, is_crc_valid};
use sluice_log::compress::Codec;
use sluice_log::failpoint::Failpoints;
use sluice_log::io::{FileSystem, MemoryFileSystem};
use sluice_log::records::{BatchBuilder, BatchOptions};
use sluice_log::{
    AppendError, AppendOutcome, AppendRequest, Isolation, LogConfig, LogManager, Origin,
    PartitionLog, ReadPlan, ReadRequest, RecoveryProgress, ReplicaFetch, Replication, StoreOptions,
    TopicId,
};

pub const NOW_MS: i64 = 1_700_000_000_000;

pub fn options(dir: &str) -> StoreOptions {
    StoreOptions {
        dirs: vec![dir.to_owned()],
        cluster_id: None,
        node_id: 1,
        defaults: config(),
        recovery_threads: 2,
        max_open_files: 100,
        disk_reserve_bytes: 0,
        verify_on_read: false,
        in_memory: false,
        scrub_bytes_per_second: 0,
        scrub_interval_ms: 0,
    }
}

/// Small segments and a dense index, so that little data exercises much; removed files go at once.
pub fn config() -> LogConfig {
    LogConfig { index_interval_bytes: 100, file_delete_delay_ms: 0, ..LogConfig::default() }
}

pub fn open(files: &MemoryFileSystem) -> LogManager {
    try_open(files, options("/d")).unwrap()
}

pub fn try_open(
    files: &MemoryFileSystem,
    options: StoreOptions,
) -> Result<LogManager, sluice_log::LogError> {
    let files: Arc<dyn FileSystem> = Arc::new(files.clone());
    LogManager::open_with(files, options, &RecoveryProgress::new(), Arc::<Failpoints>::default())
}

/// A store with one partition, `t-0`.
pub fn store(config: LogConfig) -> (MemoryFileSystem, LogManager, Arc<PartitionLog>) {
    let files = MemoryFileSystem::new();
    let manager = open(&files);
    let log = manager.create_partition("t", 0, TopicId([7; 16]), None, config).unwrap();
    (files, manager, log)
}

/// Opens what is there and hands out `t-0` with this configuration.
pub fn reopen(files: &MemoryFileSystem, config: LogConfig) -> (LogManager, Arc<PartitionLog>) {
    let mut options = options("/d");
    options.defaults = config;
    let manager = try_open(files, options).unwrap();
    let log = manager.partition("t", 0).unwrap();
    (manager, log)
}

/// A batch with one record per value, a millisecond apart.
pub fn batch(values: &[&str]) -> Vec<u8> {
    batch_of(BatchOptions::default(), NOW_MS, values)
}

pub fn batch_of(options: BatchOptions, timestamp: i64, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (index, value) in values.iter().enumerate() {
        builder.append(timestamp + index as i64, Some(b"k"), Some(value.as_bytes()), []);
    }
    builder.finish().unwrap()
}

pub fn compressed(codec: Codec, values: &[&str]) -> Vec<u8> {
    batch_of(BatchOptions { codec, ..BatchOptions::default() }, NOW_MS, values)
}

/// A batch of an idempotent producer.
pub fn sequenced(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Vec<u8> {
    let options = BatchOptions {
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    batch_of(options, NOW_MS, values)
}

/// Replaces header bytes and makes the CRC right again.
pub fn patched(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = sluice_log::batch::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

pub fn request() -> AppendRequest {
    AppendRequest { leader_epoch: -1, acks: 1, origin: Origin::Client, now_ms: NOW_MS }
}

pub fn append(log: &PartitionLog, batch: &[u8]) -> Result<AppendOutcome, AppendError> {
    log.append(&mut batch.to_vec(), &request())
}

pub fn append_as(
    log: &PartitionLog,
    batch: &[u8],
    origin: Origin,
) -> Result<AppendOutcome, AppendError> {
    log.append(&mut batch.to_vec(), &AppendRequest { origin, ..request() })
}

/// Code that an append is answered with.
pub fn code(log: &PartitionLog, batch: &[u8]) -> i16 {
    append(log, batch).err().map_or(0, |error| error.code.0)
}

/// A partition with several replicas, led by `node_id`.
pub fn led_by(node_id: i32, replicas: &[i32], isr: &[i32]) -> Replication {
    Replication {
        partition_epoch: 0,
        node_id,
        replicas: replicas.to_vec(),
        isr: isr.to_vec(),
        lag_time_max_ms: 30_000,
        now_ms: NOW_MS,
    }
}

/// A fetch by a follower whose log ends at `offset`.
pub fn replica_request(id: i32, offset: i64) -> ReadRequest {
    let replica =
        ReplicaFetch { id, broker_epoch: -1, log_start_offset: 0, is_noted: true, now_ms: NOW_MS };
    ReadRequest {
        isolation: Isolation::LogEnd,
        max_bytes: 1 << 20,
        replica: Some(replica),
        ..read_request(offset)
    }
}

pub fn read_request(offset: i64) -> ReadRequest {
    ReadRequest {
        offset,
        max_bytes: 1 << 20,
        min_one_message: true,
        isolation: Isolation::ReadUncommitted,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        leader_only: false,
        replica: None,
    }
}

pub fn bytes_of(plan: &ReadPlan) -> Vec<u8> {
    let Some(slice) = &plan.slice else { return Vec::new() };
    let mut bytes = vec![0; slice.length as usize];
    let count = slice.read_into(0, &mut bytes).unwrap();
    assert_eq!(count, bytes.len(), "a slice must hold what it says");
    bytes
}

/// Headers of the batches in some bytes, which must be whole and good.
pub fn headers(bytes: &[u8]) -> Vec<BatchHeader> {
    let mut headers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header = BatchHeader::parse(&bytes[at..]).expect("whole batches only");
        assert!(
            is_crc_valid(&bytes[at..at + header.size()]),
            "CRC of the batch at {}",
            header.base_offset
        );
        at += header.size();
        headers.push(header);
    }
    headers
}

/// Values of uncompressed batches.
pub fn values_of(bytes: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    let mut at = 0;
    for header in headers(bytes) {
        let payload = &bytes[at + HEADER_BYTES..at + header.size()];
        at += header.size();
        for record in sluice_log::records::RecordIter::new(payload, header.record_count) {
            let record = record.unwrap();
            values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
        }
    }
    values
}

/// (offset, value) of each record from `offset` on, by as many reads as it takes.
pub fn records_from(log: &PartitionLog, offset: i64) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut next = offset;
    loop {
        let plan = log.read(&ReadRequest { max_bytes: 300, ..read_request(next) });
        assert_eq!(plan.code.0, 0, "read at {next}");
        let bytes = bytes_of(&plan);
        if bytes.is_empty() {
            return found;
        }
        let mut at = 0;
        for header in headers(&bytes) {
            let payload = &bytes[at + HEADER_BYTES..at + header.size()];
            at += header.size();
            let plain = sluice_log::compress::decompress(header.codec().unwrap(), payload, 1 << 26)
                .unwrap();
            for record in sluice_log::records::RecordIter::new(&plain, header.record_count) {
                let record = record.unwrap();
                let offset = header.base_offset + i64::from(record.offset_delta);
                if offset >= next {
                    found.push((
                        offset,
                        String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned(),
                    ));
                }
            }
            next = header.next_offset();
        }
    }
}
