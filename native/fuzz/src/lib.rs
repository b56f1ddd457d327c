//! What the fuzz targets share: one partition in memory, fed with arbitrary bytes. Each function must return, whatever they are.
//!
//! `bun test/fuzz/native.ts`, or `cargo +nightly fuzz run <target>` in `native/`; the same properties run under proptest in `cargo test -p sluice-log`.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use sluice_log::compress::{self, Codec};
use sluice_log::io::{FileSystem, MemoryFileSystem};
use sluice_log::{
    AppendRequest, Isolation, LogConfig, LogManager, Origin, PartitionLog, ReadRequest,
    RecoveryProgress, StoreOptions, TopicId,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn open(files: &MemoryFileSystem) -> Option<LogManager> {
    let options = StoreOptions {
        dirs: vec!["/d".to_owned()],
        cluster_id: None,
        node_id: 1,
        defaults: LogConfig { index_interval_bytes: 100, ..LogConfig::default() },
        recovery_threads: 1,
        max_open_files: 16,
        disk_reserve_bytes: 0,
        verify_on_read: false,
        in_memory: true,
        scrub_bytes_per_second: 0,
        scrub_interval_ms: 0,
    };
    let files: Arc<dyn FileSystem> = Arc::new(files.clone());
    LogManager::open_on(files, options, Arc::new(RecoveryProgress::new())).ok()
}

/// Reads everything in every way.
fn use_all(log: &PartitionLog) {
    let state = log.state();
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted, Isolation::LogEnd] {
        for offset in [state.log_start_offset, state.log_end_offset / 2, state.log_end_offset] {
            let request = ReadRequest {
                offset,
                max_bytes: 4096,
                min_one_message: true,
                isolation,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                leader_only: false,
                replica: None,
            };
            if let Some(slice) = log.read(&request).slice {
                let mut bytes = vec![0; (slice.length as usize).min(1 << 20)];
                let _ = slice.read_into(0, &mut bytes);
            }
        }
    }
    for timestamp in [-5, -4, -3, -2, -1, 0, NOW_MS, i64::MAX] {
        log.offset_for_timestamp(timestamp, Isolation::ReadUncommitted, -1);
    }
    let _ = log.end_offset_for_epoch(-1, 0);
    log.producers();
}

/// Appends the bytes as each kind of writer.
pub fn batch_decode(bytes: &[u8]) {
    let files = MemoryFileSystem::new();
    let Some(manager) = open(&files) else { return };
    let config = LogConfig { index_interval_bytes: 100, ..LogConfig::default() };
    let Ok(log) = manager.create_partition("t", 0, TopicId::ZERO, None, config) else { return };
    for origin in [Origin::Client, Origin::Coordinator, Origin::RawFollower] {
        let request = AppendRequest { leader_epoch: -1, acks: 1, origin, now_ms: NOW_MS };
        let _ = log.append(&mut bytes.to_vec(), &request);
        // Once more with a CRC that is right, so that more than the CRC check is reached.
        if bytes.len() > 61 {
            let mut signed = bytes.to_vec();
            let crc = sluice_log::batch::crc32c(signed.get(21..).unwrap_or_default());
            if let Some(field) = signed.get_mut(17..21) {
                field.copy_from_slice(&crc.to_be_bytes());
            }
            let _ = log.append(&mut signed, &request);
        }
    }
    use_all(&log);
}

/// Opens a partition whose file of this suffix holds the bytes, beside good records.
pub fn open_with_file(suffix: &str, bytes: &[u8], is_clean: bool) {
    let files = MemoryFileSystem::new();
    {
        let Some(manager) = open(&files) else { return };
        let Ok(log) = manager.create_partition("t", 0, TopicId::ZERO, None, LogConfig::default())
        else {
            return;
        };
        let mut builder =
            sluice_log::records::BatchBuilder::new(sluice_log::records::BatchOptions::default());
        builder.append(NOW_MS, None, Some(b"value"), []);
        let Ok(batch) = builder.finish() else { return };
        let request =
            AppendRequest { leader_epoch: -1, acks: 1, origin: Origin::Client, now_ms: NOW_MS };
        for _ in 0..5 {
            let _ = log.append(&mut batch.clone(), &request);
        }
        if is_clean {
            let _ = manager.close();
        }
    }
    files.put(Path::new(&format!("/d/t-0/00000000000000000000.{suffix}")), bytes.to_vec());
    let Some(manager) = open(&files) else { return };
    for log in manager.partitions() {
        use_all(&log);
    }
    let _ = manager.close();
}

/// Unpacks the bytes with every codec, within a cap; what was unpacked is packed and unpacked again.
///
/// # Panics
/// When the cap is not kept or a round trip changes the bytes.
pub fn decompress(bytes: &[u8]) {
    const MAX_BYTES: usize = 1 << 20;
    for codec in (1..=4).filter_map(Codec::from_id) {
        let Ok(content) = compress::decompress(codec, bytes, MAX_BYTES) else { continue };
        assert!(content.len() <= MAX_BYTES, "{} exceeds the cap", codec.name());
        if let Ok(packed) = compress::compress(codec, None, &content) {
            let again = compress::decompress(codec, &packed, MAX_BYTES);
            assert!(again.is_ok_and(|again| again == content), "{} round trip", codec.name());
        }
    }
}
