//! Exchange with real Kafka: fixtures that Kafka 4.4 wrote open here, and `SLUICE_WRITE_SAMPLE=<dir>` leaves a directory for
//! Kafka's own tools to judge.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use sluice_log::compress::Codec;
use sluice_log::records::BatchOptions;
use sluice_log::{LogConfig, LogManager, Origin, TopicId};
use support::*;

/// Writes logs of every codec, with rolls, idempotence, transactions, epochs and several index entries.
fn write_sample(dir: &Path) {
    let manager =
        LogManager::open(options(dir.to_str().unwrap()), std::sync::Arc::default()).unwrap();
    for (partition, codec) in
        [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().enumerate()
    {
        let config = LogConfig { segment_bytes: 6000, index_interval_bytes: 300, ..config() };
        let log = manager
            .create_partition("sample", partition as i32, TopicId([3; 16]), None, config)
            .unwrap();
        for epoch in 0..3 {
            log.set_leader(epoch).unwrap();
            for at in 0..40 {
                let value = format!("value {epoch} {at} {}", "x".repeat(100));
                append(&log, &compressed(codec, &[&value, "second"])).unwrap();
                append(
                    &log,
                    &batch_of(
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
                    ),
                )
                .unwrap();
            }
            let mut marker = sluice_log::records::BatchBuilder::new(BatchOptions {
                producer_id: 77,
                producer_epoch: 0,
                is_transactional: true,
                is_control: true,
                ..BatchOptions::default()
            });
            marker.append(
                NOW_MS,
                Some(&[0, 0, 0, u8::from(epoch == 1)]),
                Some(&[0, 0, 0, 0, 0, 1]),
                [],
            );
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
    let manager =
        LogManager::open(options(dir.path().to_str().unwrap()), std::sync::Arc::default()).unwrap();
    assert!(manager.report().was_clean);
    assert_eq!(
        manager.report().partitions.iter().map(|p| p.log_end_offset).collect::<Vec<_>>(),
        [363; 5]
    );
}

/// A copy of a fixture: opening a store changes its directory.
fn fixture(name: &str) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name), dir.path());
    dir
}

#[test]
fn directories_written_by_kafka_open() {
    for (name, is_clean) in [("kafka-4.4-clean", true), ("kafka-4.4-killed", false)] {
        let dir = fixture(name);
        let mut again = options(dir.path().to_str().unwrap());
        again.cluster_id = Some("GXOWsX1XQOKEDfUX_vc5rw".to_owned());
        // As found, and once more as this log left it.
        for round in 0..2 {
            let manager = LogManager::open(again.clone(), std::sync::Arc::default()).unwrap();
            let report = manager.report();
            assert_eq!(report.was_clean, is_clean || round == 1);
            assert!(
                report.partitions.iter().all(|partition| partition.quarantined.is_none()),
                "{report:?}"
            );
            for partition in 0..5 {
                let log = manager.partition("fy", partition).unwrap();
                assert_ne!(log.topic_id(), TopicId::ZERO);
                let records = records_from(&log, 0);
                let values: Vec<&str> = records
                    .iter()
                    .map(|(_, value)| value.as_str())
                    .filter(|value| value.starts_with("value"))
                    .collect();
                let expected: Vec<String> =
                    (0..60).map(|at| format!("value {at} of partition {partition}")).collect();
                assert_eq!(values, expected, "{name}, round {round}");
                let end = if partition == 2 { 63 } else { 60 };
                assert_eq!(
                    (log.state().log_end_offset, log.state().last_stable_offset),
                    (end, end)
                );
                let producers = log.producers();
                assert_eq!((producers.len(), producers[0].current_txn_start_offset), (1, -1));
                assert_eq!(log.end_offset_for_epoch(-1, 0).unwrap().end_offset, end);
                // Each record is found by its own time, through the index that Kafka wrote.
                let find = |time| {
                    log.offset_for_timestamp(time, sluice_log::Isolation::ReadUncommitted, -1)
                        .offset
                };
                for header in headers(&bytes_of(&log.read(&read_request(0)))) {
                    // A marker's time is later than that of the records after it.
                    if partition != 2 || header.base_offset == 0 {
                        assert_eq!(find(header.base_timestamp), header.base_offset);
                    }
                }
                if partition == 2 {
                    let plan = log.read(&sluice_log::ReadRequest {
                        isolation: sluice_log::Isolation::ReadCommitted,
                        ..read_request(0)
                    });
                    let aborted: Vec<i64> =
                        plan.aborted.unwrap().iter().map(|txn| txn.first_offset).collect();
                    assert_eq!(aborted, [21]);
                } else {
                    assert_eq!(producers[0].last_sequence, 59);
                }
            }
            manager.close().unwrap();
        }
    }
}

/// `SLUICE_APPEND_TO=<dir>` appends ten records to each partition of a directory that Kafka stopped with, for Kafka to serve.
#[test]
fn directories_of_kafka_can_be_continued() {
    let given = std::env::var_os("SLUICE_APPEND_TO");
    let copy = fixture("kafka-4.4-clean");
    let path = given.map_or_else(|| copy.path().to_owned(), std::path::PathBuf::from);
    let manager =
        LogManager::open(options(path.to_str().unwrap()), std::sync::Arc::default()).unwrap();
    for partition in 0..5 {
        let log = manager.partition("fy", partition).unwrap();
        let end = log.state().log_end_offset;
        for at in 0..10 {
            let outcome = append(&log, &batch(&[&format!("continued {at}")])).unwrap();
            assert_eq!(outcome.base_offset, end + at);
        }
    }
    manager.close().unwrap();
}
