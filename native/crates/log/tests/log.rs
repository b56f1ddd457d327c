//! The life of a log: append, roll, read, look up, truncate, retain, close and open.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_log::failpoint::Failpoint;
use sluice_log::io::MemoryFileSystem;
use sluice_log::records::BatchOptions;
use sluice_log::{
    AppendRequest, Change, Isolation, LogConfig, LogListener, LogManager, Origin, ReadRequest,
    StoreOptions, TopicId,
};
use support::*;

fn values(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("value {at}")).collect()
}

fn expected(values: &[String]) -> Vec<(i64, String)> {
    values.iter().enumerate().map(|(at, value)| (at as i64, value.clone())).collect()
}

#[test]
fn what_was_appended_is_read_across_rolls_and_restarts() {
    let config = LogConfig { segment_bytes: 500, ..config() };
    let (files, manager, log) = store(config.clone());
    let values = values(100);
    for value in &values {
        append(&log, &batch(&[value])).unwrap();
    }
    assert!(log.state().segment_count > 10);
    for from in 0..=100 {
        assert_eq!(records_from(&log, from), expected(&values)[from as usize..], "from {from}");
    }
    manager.close().unwrap();
    drop(manager);
    let (manager, log) = reopen(&files, config);
    assert!(manager.report().was_clean);
    assert_eq!(log.topic_id(), TopicId([7; 16]));
    assert_eq!(log.state().log_end_offset, 100);
    for from in [0, 1, 37, 99, 100] {
        assert_eq!(records_from(&log, from), expected(&values)[from as usize..], "from {from}");
    }
    append(&log, &batch(&["more"])).unwrap();
    assert_eq!(records_from(&log, 100), [(100, "more".to_owned())]);
}

#[test]
fn reads_are_whole_batches_within_their_limits() {
    let (_files, _manager, log) = store(config());
    let size = batch(&["0123456789"]).len() as i64;
    for _ in 0..200 {
        append(&log, &batch(&["0123456789"])).unwrap();
    }
    // From the tail that is remembered, and from far behind it.
    for offset in [0, 50, 150, 190] {
        for (max_bytes, min_one_message, count) in [
            (0, false, 0),
            (0, true, 1),
            (size - 1, false, 0),
            (size, false, 1),
            (3 * size + 5, true, 3),
        ] {
            let plan =
                log.read(&ReadRequest { max_bytes, min_one_message, ..read_request(offset) });
            let headers = headers(&bytes_of(&plan));
            assert_eq!(headers.len(), count, "offset {offset}, {max_bytes} bytes");
            assert_eq!(headers.first().map_or(offset, |header| header.base_offset), offset);
        }
    }
    assert_eq!(log.read(&read_request(201)).code.0, 1);
    assert_eq!(log.read(&read_request(-1)).code.0, 1);
    let at_end = log.read(&read_request(200));
    assert_eq!((at_end.code.0, at_end.bytes()), (0, 0));
}

#[test]
fn readers_see_up_to_the_high_watermark() {
    let (_files, _manager, log) = store(config());
    log.lead(0, Some(&led_by(1, &[1, 2], &[1, 2]))).unwrap();
    for value in ["a", "b", "c", "d"] {
        append(&log, &batch(&[value])).unwrap();
    }
    assert_eq!(records_from(&log, 0), []);
    assert_eq!(log.read(&replica_request(2, 2)).code.0, 0);
    assert_eq!(records_from(&log, 0), [(0, "a".to_owned()), (1, "b".to_owned())]);
    let all = log.read(&ReadRequest { isolation: Isolation::LogEnd, ..read_request(0) });
    assert_eq!(headers(&bytes_of(&all)).len(), 4);
    assert_eq!(log.read(&read_request(3)).code.0, 0);
}

#[test]
fn leader_epochs_are_stamped_checked_and_looked_up() {
    let (_files, _manager, log) = store(config());
    log.set_leader(3).unwrap();
    append(&log, &batch(&["a"])).unwrap();
    log.set_leader(5).unwrap();
    append(&log, &batch(&["b"])).unwrap();
    append(&log, &batch(&["c"])).unwrap();
    let epochs: Vec<i32> = headers(&bytes_of(&log.read(&read_request(0))))
        .iter()
        .map(|header| header.leader_epoch)
        .collect();
    assert_eq!(epochs, [3, 5, 5]);
    let end =
        |epoch| log.end_offset_for_epoch(-1, epoch).map(|end| (end.epoch, end.end_offset)).unwrap();
    assert_eq!([end(3), end(4), end(5), end(6)], [(3, 1), (3, 1), (5, 3), (-1, -1)]);
    assert_eq!(log.end_offset_for_epoch(4, 3).unwrap_err().0, 74);
    assert_eq!(log.end_offset_for_epoch(6, 3).unwrap_err().0, 75);
    assert_eq!(log.read(&ReadRequest { current_leader_epoch: 4, ..read_request(0) }).code.0, 74);
    let diverging =
        log.read(&ReadRequest { last_fetched_epoch: 3, ..read_request(2) }).diverging.unwrap();
    assert_eq!((diverging.epoch, diverging.end_offset), (3, 1));
    let stale = AppendRequest { leader_epoch: 4, ..request() };
    assert_eq!(log.append(&mut batch(&["x"]), &stale).unwrap_err().code.0, 6);
    assert!(log.set_leader(4).is_err());
    log.follow(6, -1).unwrap();
    assert_eq!(code(&log, &batch(&["x"])), 6);
}

#[test]
fn a_follower_keeps_offsets_epochs_and_bytes() {
    let (_files, _manager, leader) = store(config());
    leader.set_leader(9).unwrap();
    for value in ["a", "b", "c"] {
        append(&leader, &batch(&[value, value])).unwrap();
    }
    let copied = bytes_of(&leader.read(&read_request(2)));
    let (_files, _manager, follower) = store(config());
    follower.follow(9, 1).unwrap();
    let outcome = append_as(&follower, &copied, Origin::RawFollower).unwrap();
    assert_eq!((outcome.base_offset, outcome.last_offset), (2, 5));
    let all = ReadRequest { isolation: Isolation::LogEnd, ..read_request(2) };
    assert_eq!(bytes_of(&follower.read(&all)), copied);
    assert_eq!(append_as(&follower, &copied, Origin::RawFollower).unwrap_err().code.0, 1);
    let end = follower.end_offset_for_epoch(-1, 9).unwrap();
    assert_eq!((end.epoch, end.end_offset), (9, 6));
}

#[test]
fn timestamps_find_offsets() {
    let config = LogConfig { segment_bytes: 400, ..config() };
    let (files, manager, log) = store(config.clone());
    // Times go up, with one high one in the middle.
    for at in 0..40i64 {
        let time = if at == 20 { 1_000_000 } else { 1000 + at * 10 };
        append(&log, &batch_of(BatchOptions::default(), time, &["v", "w"])).unwrap();
    }
    let check = |log: &sluice_log::PartitionLog| {
        let find = |timestamp| {
            let found = log.offset_for_timestamp(timestamp, Isolation::ReadUncommitted, -1);
            assert_eq!(found.code.0, 0);
            (found.offset, found.timestamp)
        };
        assert_eq!(find(0), (0, 1000));
        assert_eq!(find(1001), (1, 1001));
        assert_eq!(find(1002), (2, 1010));
        assert_eq!(find(1195), (40, 1_000_000));
        assert_eq!(find(1300), (40, 1_000_000));
        assert_eq!(find(1_000_001), (41, 1_000_001));
        assert_eq!(find(1_000_002), (-1, -1));
        assert_eq!(find(-1), (80, -1));
        assert_eq!(find(-2), (0, -1));
        assert_eq!(find(-3), (41, 1_000_001));
        assert_eq!(find(-4), (0, -1));
        assert_eq!(find(-5), (-1, -1));
    };
    check(&log);
    manager.close().unwrap();
    drop(manager);
    let (_manager, log) = reopen(&files, config);
    check(&log);
}

#[test]
fn truncation_keeps_what_is_below() {
    let config = LogConfig { segment_bytes: 400, ..config() };
    for cut in [0, 1, 2, 3, 17, 38, 39, 40] {
        let (files, manager, log) = store(config.clone());
        log.set_leader(1).unwrap();
        let values = values(40);
        for pair in values.chunks(2) {
            append(&log, &batch(&[&pair[0], &pair[1]])).unwrap();
        }
        log.truncate_to(cut).unwrap();
        assert_eq!(log.state().log_end_offset, cut);
        // A batch that holds the offset goes as a whole.
        let kept = (cut / 2 * 2) as usize;
        assert_eq!(records_from(&log, 0), expected(&values)[..kept], "cut at {cut}");
        let next = append(&log, &batch(&["after"])).unwrap();
        assert_eq!(next.base_offset, cut);
        manager.close().unwrap();
        drop(manager);
        let (_manager, log) = reopen(&files, config.clone());
        assert_eq!(records_from(&log, 0).last().unwrap(), &(cut, "after".to_owned()));
        assert_eq!(log.state().log_end_offset, cut + 1);
    }
    let (files, manager, log) = store(config.clone());
    append(&log, &batch(&["a"])).unwrap();
    log.truncate_fully_and_start_at(1000).unwrap();
    assert_eq!((log.state().log_start_offset, log.state().log_end_offset), (1000, 1000));
    append(&log, &batch(&["b"])).unwrap();
    manager.close().unwrap();
    drop(manager);
    let (_manager, log) = reopen(&files, config);
    assert_eq!(log.state().log_start_offset, 1000);
    assert_eq!(records_from(&log, 1000), [(1000, "b".to_owned())]);
}

#[test]
fn deleted_records_stay_deleted() {
    let config = LogConfig { segment_bytes: 300, ..config() };
    let (files, manager, log) = store(config.clone());
    for value in values(20) {
        append(&log, &batch(&[&value])).unwrap();
    }
    assert_eq!(log.delete_records(21).unwrap_err().0, 1);
    assert_eq!(log.delete_records(13).unwrap(), 13);
    assert_eq!(log.delete_records(5).unwrap(), 13);
    assert_eq!(log.read(&read_request(12)).code.0, 1);
    assert_eq!(records_from(&log, 13).len(), 7);
    let events = manager.run_retention(NOW_MS);
    assert_eq!(events[0].reason, "logStartOffset");
    manager.close().unwrap();
    drop(manager);
    let (manager, log) = reopen(&files, config);
    assert_eq!(log.state().log_start_offset, 13);
    assert_eq!(records_from(&log, 13).len(), 7);
    assert_eq!(log.delete_records(-1).unwrap(), 20);
    manager.checkpoint().unwrap();
}

#[test]
fn retention_by_time_and_size() {
    let config = LogConfig { segment_bytes: 300, retention_ms: 1000, ..config() };
    let (_files, manager, log) = store(config.clone());
    for at in 0..20 {
        append(&log, &batch_of(BatchOptions::default(), NOW_MS + at * 100, &["0123456789"]))
            .unwrap();
    }
    assert!(manager.run_retention(NOW_MS + 900).is_empty());
    let events = manager.run_retention(NOW_MS + 2000);
    assert_eq!((events.len(), events[0].reason.as_str()), (1, "time"));
    let start = log.state().log_start_offset;
    assert!((7..=10).contains(&start), "records older than 1000 ms are below {start}");
    assert_eq!(log.read(&read_request(start - 1)).code.0, 1);
    assert_eq!(records_from(&log, start).len() as i64, 20 - start);

    // All of it: an empty segment takes over at the log's end.
    manager.run_retention(NOW_MS + 1_000_000);
    assert_eq!(
        (log.state().log_start_offset, log.state().segment_count, log.state().size_bytes),
        (20, 1, 0)
    );
    append(&log, &batch(&["next"])).unwrap();
    assert_eq!(records_from(&log, 20), [(20, "next".to_owned())]);

    // Size, with the live configuration.
    log.configure(LogConfig {
        segment_bytes: 300,
        retention_ms: -1,
        retention_bytes: 700,
        ..config.clone()
    });
    for _ in 0..20 {
        append(&log, &batch(&["0123456789"])).unwrap();
    }
    let events = manager.run_retention(NOW_MS);
    assert_eq!(events[0].reason, "size");
    let size = log.state().size_bytes;
    assert!((700..1000).contains(&size), "{size} bytes are left");
}

#[test]
fn files_are_renamed_and_then_removed() {
    let config = LogConfig {
        segment_bytes: 300,
        retention_bytes: 300,
        file_delete_delay_ms: 3_600_000,
        ..config()
    };
    let (files, manager, log) = store(config);
    for _ in 0..10 {
        append(&log, &batch(&["0123456789"])).unwrap();
    }
    let plan = log.read(&read_request(0));
    manager.run_retention(NOW_MS);
    let deleted =
        files.paths().iter().filter(|path| path.to_string_lossy().ends_with(".deleted")).count();
    assert!(deleted > 0);
    assert!(!bytes_of(&plan).is_empty(), "a slice outlives its segment");
    manager.delete_partition(&log).unwrap();
    assert_eq!(log.read(&read_request(9)).code.0, 3);
    assert_eq!(code(&log, &batch(&["x"])), 3);
    assert!(files.paths().iter().any(|path| path.to_string_lossy().contains("-delete/")));
    let again =
        manager.create_partition("t", 0, TopicId([8; 16]), None, support::config()).unwrap();
    assert_eq!(append(&again, &batch(&["x"])).unwrap().base_offset, 0);
    drop(manager);
    // What was waiting is removed by the next start.
    let (manager, _log) = reopen(&files, support::config());
    for _ in 0..200 {
        if !files.paths().iter().any(|path| path.to_string_lossy().contains("-delete/")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    manager.close().unwrap();
    assert!(!files.paths().iter().any(|path| path.to_string_lossy().contains("-delete/")));
}

#[derive(Default)]
struct Count(AtomicUsize);

impl LogListener for Count {
    fn on_change(&self, _change: Change) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn group_commit_moves_the_flushed_offset_and_tells() {
    let (_files, _manager, log) = store(config());
    let count = Arc::new(Count::default());
    log.add_listener(Arc::clone(&count) as Arc<dyn LogListener>);
    let outcome = append(&log, &batch(&["a"])).unwrap();
    assert!(!outcome.await_sync);
    assert_eq!(log.flushed_offset(), 0);
    let all = AppendRequest { acks: -1, ..request() };
    let outcome = log.append(&mut batch(&["b"]), &all).unwrap();
    assert!(outcome.await_sync);
    while log.flushed_offset() <= outcome.last_offset {
        std::thread::yield_now();
    }
    log.flush().unwrap();
    assert!(count.0.load(Ordering::SeqCst) >= 3);
    log.configure(LogConfig { flush_messages: 3, acks_all_fsync: false, ..config() });
    assert!(!log.append(&mut batch(&["c", "d"]), &all).unwrap().await_sync);
    assert!(append(&log, &batch(&["e"])).unwrap().await_sync);
    log.configure(LogConfig { flush_ms: 1, ..config() });
    log.flush().unwrap();
    append(&log, &batch(&["f"])).unwrap();
    while log.flushed_offset() < 6 {
        std::thread::yield_now();
    }
}

#[test]
fn aborted_transactions_and_the_last_stable_offset() {
    let (files, manager, log) = store(config());
    let transactional = |id, sequence, value| {
        batch_of(
            BatchOptions {
                producer_id: id,
                producer_epoch: 0,
                base_sequence: sequence,
                is_transactional: true,
                ..BatchOptions::default()
            },
            NOW_MS,
            &[value],
        )
    };
    let marker = |id, is_commit: bool| {
        let mut builder = sluice_log::records::BatchBuilder::new(BatchOptions {
            producer_id: id,
            producer_epoch: 0,
            is_transactional: true,
            is_control: true,
            ..BatchOptions::default()
        });
        builder.append(
            NOW_MS,
            Some(&[0, 0, 0, u8::from(is_commit)]),
            Some(&[0, 0, 0, 0, 0, 1]),
            [],
        );
        builder.finish().unwrap()
    };
    let committed = |log: &sluice_log::PartitionLog| {
        let plan =
            log.read(&ReadRequest { isolation: Isolation::ReadCommitted, ..read_request(0) });
        let aborted: Vec<(i64, i64)> = plan
            .aborted
            .clone()
            .unwrap()
            .iter()
            .map(|txn| (txn.producer_id, txn.first_offset))
            .collect();
        (plan.last_stable_offset, headers(&bytes_of(&plan)).len(), aborted)
    };
    append(&log, &transactional(5, 0, "a")).unwrap();
    append(&log, &transactional(6, 0, "b")).unwrap();
    append(&log, &batch(&["plain"])).unwrap();
    assert_eq!(committed(&log), (0, 0, vec![]));
    assert_eq!(code(&log, &sequenced(5, 0, 1, &["not transactional"])), 48);
    append_as(&log, &marker(5, false), Origin::Coordinator).unwrap();
    assert_eq!(committed(&log), (1, 1, vec![(5, 0)]));
    append_as(&log, &marker(6, true), Origin::Coordinator).unwrap();
    assert_eq!(committed(&log), (5, 5, vec![(5, 0)]));
    append(&log, &transactional(7, 0, "open")).unwrap();
    assert_eq!(log.state().last_stable_offset, 5);
    manager.close().unwrap();
    drop(manager);
    let (manager, log) = reopen(&files, config());
    assert_eq!(committed(&log), (5, 5, vec![(5, 0)]));
    assert_eq!(log.producers().len(), 3);
    // Lost index and snapshots are made again from the batches.
    drop(manager);
    for path in files.paths() {
        let name = path.to_string_lossy().into_owned();
        if name.ends_with(".txnindex") || name.ends_with(".snapshot") {
            files.put(&path, b"damaged".to_vec());
        }
    }
    let (_manager, log) = reopen(&files, config());
    assert_eq!(committed(&log), (5, 5, vec![(5, 0)]));
}

#[test]
fn a_store_has_one_owner_and_one_identity() {
    let files = MemoryFileSystem::new();
    let manager = open(&files);
    assert_eq!(try_open(&files, options("/d")).err().unwrap().code, "LOG_DIR_LOCKED");
    let cluster_id = manager.report().cluster_id;
    manager.close().unwrap();
    drop(manager);
    let mut other = options("/d");
    other.cluster_id = Some("another".to_owned());
    assert_eq!(try_open(&files, other).err().unwrap().code, "CLUSTER_ID_MISMATCH");
    let mut other = options("/d");
    other.node_id = 2;
    assert_eq!(try_open(&files, other).err().unwrap().code, "NODE_ID_MISMATCH");
    let mut two = options("/d");
    two.dirs.push("/e".to_owned());
    let manager = try_open(&files, two.clone()).unwrap();
    let report = manager.report();
    assert_eq!(report.cluster_id, cluster_id);
    assert_ne!(report.dirs[0].directory_id, report.dirs[1].directory_id);
    for partition in 0..4 {
        manager.create_partition("t", partition, TopicId::ZERO, None, config()).unwrap();
    }
    assert_eq!(
        manager.create_partition("t", 0, TopicId::ZERO, None, config()).err().unwrap().code,
        "PARTITION_EXISTS"
    );
    assert_eq!(
        manager.describe().iter().map(|dir| dir.partitions.len()).collect::<Vec<_>>(),
        [2, 2]
    );
    manager.close().unwrap();
    drop(manager);
    files.put(Path::new("/d/meta.properties"), b"version=9\n".to_vec());
    assert_eq!(try_open(&files, two).err().unwrap().code, "META_PROPERTIES_INVALID");
}

#[test]
fn many_partitions_need_few_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path().to_str().unwrap());
    options.max_open_files = 16;
    let manager = sluice_log::LogManager::open(options.clone(), Arc::default()).unwrap();
    for partition in 0..100 {
        manager.create_partition("t", partition, TopicId::ZERO, None, config()).unwrap();
    }
    assert_eq!(manager.open_file_count(), 0);
    for round in 0..3 {
        for log in manager.partitions() {
            assert_eq!(append(&log, &batch(&["x"])).unwrap().base_offset, round);
        }
    }
    assert!(manager.open_file_count() <= 17, "{} files are open", manager.open_file_count());
    for log in manager.partitions() {
        assert_eq!(records_from(&log, 0).len(), 3);
    }
    manager.close().unwrap();
    drop(manager);
    let manager = sluice_log::LogManager::open(options, Arc::default()).unwrap();
    assert!(manager.report().was_clean);
    assert_eq!(manager.report().partitions.iter().map(|p| p.log_end_offset).sum::<i64>(), 300);
}

#[test]
fn a_sync_that_meets_a_deletion_does_not_fail_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { max_open_files: 1, ..options(dir.path().to_str().unwrap()) };
    let manager = LogManager::open(options, Arc::default()).unwrap();
    for round in 0..100 {
        let log = manager.create_partition("t", 0, TopicId([7; 16]), None, config()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while append(&log, &batch(&["value"])).is_ok() {
                    let _ = log.flush();
                }
            });
            // Somewhere between two of its system calls.
            std::thread::sleep(std::time::Duration::from_micros(round * 7 % 500));
            manager.delete_partition(&log).unwrap();
        });
    }
    // A poisoned directory takes no partition.
    let log = manager.create_partition("t", 0, TopicId([7; 16]), None, config()).unwrap();
    append(&log, &batch(&["value"])).unwrap();
    log.flush().unwrap();
}

#[test]
fn a_retry_waits_for_the_sync_that_its_original_waited_for() {
    for (config, acks, is_awaited) in [
        (LogConfig { flush_messages: 1, ..config() }, 1, true),
        (config(), -1, true),
        (config(), 1, false),
    ] {
        let (_files, manager, log) = store(config);
        let gate = Arc::new(std::sync::Barrier::new(2));
        let at_gate = Arc::clone(&gate);
        manager.failpoints().arm(Failpoint::BeforeSync, move || {
            at_gate.wait();
            Ok(())
        });
        let request = AppendRequest { acks, ..request() };
        let batch = sequenced(1, 0, 0, &["value"]);
        let first = log.append(&mut batch.clone(), &request).unwrap();
        let again = log.append(&mut batch.clone(), &request).unwrap();
        assert!(again.is_duplicate);
        assert_eq!((first.await_sync, again.await_sync), (is_awaited, is_awaited), "acks {acks}");
        if is_awaited {
            gate.wait();
            while log.flushed_offset() < 1 {
                std::thread::yield_now();
            }
        }
        manager.failpoints().clear();
        let again = log.append(&mut batch.clone(), &request).unwrap();
        assert_eq!((again.is_duplicate, again.await_sync), (true, false), "acks {acks}, synced");
    }
}
