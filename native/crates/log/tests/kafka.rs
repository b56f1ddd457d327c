//! Exchange with real Kafka: fixtures that Kafka 4.4 wrote open here, and `SLUICE_WRITE_SAMPLE=<dir>` leaves a directory for
//! Kafka's own tools to judge.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use sluice_log::compress::Codec;
use sluice_log::records::BatchOptions;
use sluice_log::{LogConfig, LogManager, Origin, TopicId};
use support::*;

/// Writes logs of every codec, with rolls, idempotence, transactions, epochs and several index entries.
fn write_sample(dir: &Path) {
    let manager = LogManager::open(options(dir.to_str().unwrap()), std::sync::Arc::default()).unwrap();
    for (partition, codec) in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().enumerate() {
        let config = LogConfig { segment_bytes: 6000, index_interval_bytes: 300, ..config() };
        let log = manager.create_partition("sample", partition as i32, TopicId([3; 16]), None, config).unwrap();
        for epoch in 0..3 {
            log.set_leader(epoch).unwrap();
            for at in 0..40 {
                let value = format!("value {epoch} {at} {}", "x".repeat(100));
                append(&log, &compressed(codec, &[&value, "second"])).unwrap();
                append(&log, &batch_of(
                    BatchOptions {
                        codec,
                        producer_id: 77,
                        producer_epoch: 0,
                        base_sequence: epoch * 40 + at,
                        is_transactional: true,
                        ..BatchOptions::default()
                    },
                    NOW_MS + i64::from(at),
                    &["transactional"],
                ))
                .unwrap();
            }
            let mut marker = sluice_log::records::BatchBuilder::new(BatchOptions {
                producer_id: 77,
                producer_epoch: 0,
                is_transactional: true,
                is_control: true,
                ..BatchOptions::default()
            });
            marker.append(NOW_MS, Some(&[0, 0, 0, u8::from(epoch == 1)]), Some(&[0, 0, 0, 0, 0, 1]), []);
            append_as(&log, &marker.finish().unwrap(), Origin::Coordinator).unwrap();
        }
    }
    manager.close().unwrap();
}

#[test]
fn a_sample_for_kafkas_tools() {
    if let Some(dir) = std::env::var_os("SLUICE_WRITE_SAMPLE") {
        write_sample(Path::new(&dir));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_sample(dir.path());
    let manager = LogManager::open(options(dir.path().to_str().unwrap()), std::sync::Arc::default()).unwrap();
    assert!(manager.report().was_clean);
    assert_eq!(manager.report().partitions.iter().map(|p| p.log_end_offset).collect::<Vec<_>>(), [363; 5]);
}
