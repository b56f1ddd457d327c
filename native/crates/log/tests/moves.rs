//! Moving partitions between log directories: what was acknowledged is served from one of them whatever happens in between, and nothing is in two.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use sluice_log::failpoint::Failpoint;
use sluice_log::io::{
    CrashMode, Fault, FaultKind, FileSystem, MemoryFileSystem, OpenMode, Operation, write_full,
};
use sluice_log::records::BatchOptions;
use sluice_log::{
    AppendRequest, LogConfig, LogError, LogManager, Origin, PartitionLog, StoreOptions, TopicId,
};
use support::*;

const TOPIC: TopicId = TopicId([7; 16]);

fn two() -> StoreOptions {
    let mut options = options("/a");
    options.dirs.push("/b".to_owned());
    options.defaults = small();
    options
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 700, ..config() }
}

fn stepped(files: &MemoryFileSystem) -> LogManager {
    LogManager::open_stepped(Arc::new(files.clone()), two()).unwrap()
}

/// A store of two directories, stepped by hand, with `t-0` in the first.
fn moving() -> (MemoryFileSystem, LogManager, Arc<PartitionLog>) {
    let files = MemoryFileSystem::new();
    let manager = stepped(&files);
    let log = manager.create_partition("t", 0, TOPIC, Some(0), small()).unwrap();
    (files, manager, log)
}

fn value(at: usize) -> String {
    format!("value {at} {}", "m".repeat(at * 11 % 90))
}

fn fill(log: &PartitionLog, from: usize, to: usize) {
    for at in from..to {
        append(log, &batch(&[&value(at)])).unwrap();
    }
}

fn values(log: &PartitionLog) -> Vec<String> {
    let start = log.state().log_start_offset;
    records_from(log, start).into_iter().map(|(_, value)| value).collect()
}

fn expected(to: usize) -> Vec<String> {
    (0..to).map(value).collect()
}

/// Directories, partitions in them, whether they are future replicas, and their lag.
fn places(manager: &LogManager) -> Vec<(String, bool, i64)> {
    manager
        .describe()
        .into_iter()
        .flat_map(|directory| {
            let path = directory.path.clone();
            directory
                .partitions
                .into_iter()
                .map(move |partition| (path.clone(), partition.is_future, partition.offset_lag))
        })
        .collect()
}

/// Names of partitions' directories that are not about to be removed.
fn names(files: &MemoryFileSystem) -> Vec<String> {
    let mut names = Vec::new();
    for dir in ["/a", "/b"] {
        for entry in files.list(Path::new(dir)).unwrap() {
            if entry.is_directory && !entry.name.ends_with("-delete") {
                names.push(format!("{dir}/{}", entry.name));
            }
        }
    }
    names.sort();
    names
}

fn finish(manager: &LogManager) {
    for _ in 0..100 {
        manager.step();
        if !manager.has_moves() {
            return;
        }
    }
    panic!("the move does not end: {:?}", manager.take_move_events());
}

#[test]
fn a_partition_moves_and_goes_on_as_it_was() {
    let (files, manager, log) = moving();
    log.set_leader(3).unwrap();
    fill(&log, 0, 40);
    append(&log, &sequenced(9, 0, 0, &["of a producer"])).unwrap();
    log.delete_records(7).unwrap();
    let before = log.state();
    manager.move_partition(&log, 1).unwrap();
    assert_eq!(places(&manager), [("/a".to_owned(), false, 0), ("/b".to_owned(), true, 41)]);
    finish(&manager);
    assert_eq!(places(&manager), [("/b".to_owned(), false, 0)]);
    assert_eq!(names(&files), ["/b/t-0"]);
    assert_eq!(log.directory(), "/b");
    assert_eq!(manager.partition_directory(&log), Some(1));
    let after = log.state();
    assert_eq!(after.log_start_offset, 7);
    assert_eq!(
        (before.log_end_offset, before.high_watermark, before.leader_epoch),
        (after.log_end_offset, after.high_watermark, after.leader_epoch)
    );
    let again = append(&log, &sequenced(9, 0, 0, &["of a producer"])).unwrap();
    assert!(again.is_duplicate);
    append(&log, &sequenced(9, 0, 1, &["the next"])).unwrap();
    let events: Vec<_> = manager.take_move_events().into_iter().map(|event| event.kind).collect();
    assert_eq!(events, ["moved"]);
    // And back, with more written meanwhile.
    manager.move_partition(&log, 0).unwrap();
    append(&log, &batch(&["during"])).unwrap();
    finish(&manager);
    assert_eq!(names(&files), ["/a/t-0"]);
    manager.close().unwrap();
    drop(manager);
    let manager = stepped(&files);
    let log = manager.partition("t", 0).unwrap();
    assert_eq!(log.directory(), "/a");
    assert_eq!(log.state().log_end_offset, 43);
    assert_eq!(values(&log).last().unwrap(), "during");
    assert!(append(&log, &sequenced(9, 0, 1, &["the next"])).unwrap().is_duplicate);
}

#[test]
fn to_where_it_is_ends_a_move() {
    let (files, manager, log) = moving();
    fill(&log, 0, 5);
    manager.move_partition(&log, 0).unwrap();
    assert!(!manager.has_moves());
    manager.move_partition(&log, 1).unwrap();
    manager.move_partition(&log, 1).unwrap();
    assert_eq!(names(&files).len(), 2);
    manager.move_partition(&log, 0).unwrap();
    assert!(!manager.has_moves());
    assert_eq!(names(&files), ["/a/t-0"]);
    finish(&manager);
    assert_eq!(values(&log), expected(5));
    assert_eq!(manager.move_partition(&log, 2).unwrap_err().code, LogError::INVALID_ARGUMENT);
}

#[test]
fn a_deleted_partition_takes_its_move_along() {
    let (files, manager, log) = moving();
    fill(&log, 0, 5);
    manager.move_partition(&log, 1).unwrap();
    manager.delete_partition(&log).unwrap();
    assert!(!manager.has_moves());
    assert!(names(&files).is_empty());
    assert_eq!(manager.move_partition(&log, 1).unwrap_err().code, LogError::PARTITION_UNKNOWN);
}

#[test]
fn what_is_cut_off_the_current_replica_is_cut_off_the_future_one() {
    for (cut, start_over) in [(12, false), (3, false), (0, false), (25, true), (4, true)] {
        let (_files, manager, log) = moving();
        fill(&log, 0, 30);
        manager.move_partition(&log, 1).unwrap();
        // One piece holds several segments' first; not all is there yet.
        for _ in 0..2 {
            manager.step();
        }
        let was_moving = manager.has_moves();
        if start_over {
            log.truncate_fully_and_start_at(cut).unwrap();
        } else {
            log.truncate_to(cut).unwrap();
        }
        let kept: Vec<String> =
            if start_over { Vec::new() } else { (0..cut as usize).map(value).collect() };
        for at in 0..8 {
            append(&log, &batch(&[&format!("anew {at}")])).unwrap();
        }
        finish(&manager);
        assert!(was_moving);
        assert_eq!(log.directory(), "/b");
        let anew: Vec<String> = (0..8).map(|at| format!("anew {at}")).collect();
        assert_eq!(values(&log), [kept, anew].concat(), "cut at {cut}");
        assert_eq!(log.state().log_end_offset, cut + 8);
    }
}

/// Every crash at every step: what was synced is there once, and the store goes on.
#[test]
fn a_crash_at_any_step_of_a_move_is_survived() {
    let places = [
        (Failpoint::DuringMove, 60),
        (Failpoint::BeforeRename, 12),
        (Failpoint::AfterRename, 12),
        (Failpoint::AfterAppend, 24),
        (Failpoint::AfterSync, 12),
        (Failpoint::AfterCheckpoint, 12),
    ];
    for (place, clones_max) in places {
        let (files, manager, log) = moving();
        fill(&log, 0, 30);
        log.flush().unwrap();
        manager.checkpoint().unwrap();
        let clones: Arc<Mutex<Vec<(usize, CrashMode, MemoryFileSystem)>>> = Arc::default();
        let synced = Arc::new(Mutex::new(30));
        let (to, from, count) = (Arc::clone(&clones), files.clone(), Arc::clone(&synced));
        manager.failpoints().arm(place, move || {
            let mut clones = to.lock().unwrap();
            let seed = clones.len() as u64;
            for mode in [CrashMode::ProcessOnly, CrashMode::LoseUnsynced, CrashMode::KeepSome(seed)]
            {
                if clones.len() < clones_max {
                    clones.push((*count.lock().unwrap(), mode, from.crash(mode)));
                }
            }
            Ok(())
        });
        let mut next = 30;
        for target in [1, 0] {
            manager.move_partition(&log, target).unwrap();
            while manager.has_moves() {
                fill(&log, next, next + 1);
                next += 1;
                if next % 3 == 0 {
                    log.flush().unwrap();
                    *synced.lock().unwrap() = next;
                }
                if next % 4 == 0 {
                    manager.checkpoint().unwrap();
                }
                assert!(next < 2_000, "the move does not end");
                manager.step();
            }
            fill(&log, next, next + 3);
            next += 3;
            log.flush().unwrap();
            *synced.lock().unwrap() = next;
        }
        manager.close().unwrap();
        manager.failpoints().clear();
        let clones = std::mem::take(&mut *clones.lock().unwrap());
        assert!(!clones.is_empty(), "{place:?} was never passed");
        for (number, (synced, mode, crashed)) in clones.into_iter().enumerate() {
            let what = format!("{place:?} {mode:?} clone {number}");
            let manager = stepped(&crashed);
            let log = manager.partition("t", 0).unwrap_or_else(|| panic!("{what}: it is gone"));
            assert_eq!(log.quarantined(), None, "{what}");
            let found = values(&log);
            assert!(found.len() >= synced, "{what}: {} of {synced}", found.len());
            assert_eq!(found, expected(found.len()), "{what}");
            let count = found.len();
            fill(&log, count, count + 5);
            finish(&manager);
            assert_eq!(values(&log), expected(count + 5), "{what}");
            let plain: Vec<String> = names(&crashed);
            assert_eq!(plain, [format!("{}/t-0", log.directory())], "{what}");
            log.flush().unwrap();
            drop(manager);
            let manager = stepped(&crashed.crash(CrashMode::LoseUnsynced));
            let log = manager.partition("t", 0).unwrap();
            assert_eq!(values(&log), expected(count + 5), "{what}, the second time");
        }
    }
}

#[test]
fn a_target_that_fails_costs_the_move_only() {
    let (files, manager, log) = moving();
    fill(&log, 0, 20);
    manager.move_partition(&log, 1).unwrap();
    files.inject(Fault {
        operation: Operation::Write,
        path_contains: "/b/t-0".to_owned(),
        skip: 2,
        count: 1000,
        kind: FaultKind::InputOutput,
    });
    for _ in 0..50 {
        manager.step();
    }
    assert!(!manager.has_moves());
    let events: Vec<_> = manager.take_move_events().into_iter().map(|event| event.kind).collect();
    assert_eq!(events, ["abandoned"]);
    assert_eq!(log.directory(), "/a");
    fill(&log, 20, 25);
    assert_eq!(values(&log), expected(25));
    assert_eq!(manager.move_partition(&log, 1).unwrap_err().code, LogError::LOG_POISONED);
}

#[test]
fn a_start_copies_on_and_forgets_what_the_current_replica_lost() {
    let (files, manager, log) = moving();
    fill(&log, 0, 10);
    log.flush().unwrap();
    fill(&log, 10, 30);
    manager.move_partition(&log, 1).unwrap();
    let lost = files.crash(CrashMode::LoseUnsynced);
    for _ in 0..4 {
        manager.step();
    }
    assert!(manager.has_moves());
    manager.checkpoint().unwrap();
    // The future replica is on its own disk and keeps what the current one loses.
    let future = names(&files).into_iter().find(|name| name.ends_with("-future")).unwrap();
    drop(manager);
    let kept = files.crash(CrashMode::ProcessOnly);
    for path in lost.paths() {
        if path.starts_with("/b") {
            lost.remove_file(&path).unwrap();
        }
    }
    lost.create_directory(Path::new(&future)).unwrap();
    for path in kept.paths() {
        if path.starts_with("/b") {
            lost.put(&path, kept.content(&path).unwrap());
        }
    }
    let manager = stepped(&lost);
    let log = manager.partition("t", 0).unwrap();
    let count = values(&log).len();
    assert!((10..30).contains(&count), "{count}");
    for at in 0..30 {
        append(&log, &batch(&[&format!("other {at}")])).unwrap();
    }
    assert!(manager.has_moves());
    finish(&manager);
    assert_eq!(log.directory(), "/b");
    let other: Vec<String> = (0..30).map(|at| format!("other {at}")).collect();
    assert_eq!(values(&log), [expected(count), other].concat());
}

#[test]
fn a_partition_in_two_places_stops_the_start() {
    let (files, manager, log) = moving();
    fill(&log, 0, 5);
    manager.close().unwrap();
    drop(manager);
    for path in files.paths() {
        if let Ok(rest) = path.strip_prefix("/a/t-0") {
            files.create_directory(Path::new("/b/t-0")).unwrap();
            files.put(&Path::new("/b/t-0").join(rest), files.content(&path).unwrap());
        }
    }
    let opened = LogManager::open_stepped(Arc::new(files.clone()), two());
    assert_eq!(opened.err().unwrap().code, LogError::PARTITION_DUPLICATE);
}

#[test]
fn a_future_replica_alone_is_taken_where_the_cluster_says_so() {
    let (files, manager, log) = moving();
    fill(&log, 0, 5);
    manager.close().unwrap();
    drop(manager);
    let future = format!("/a/t-0.{}-future", "0123456789abcdef".repeat(2));
    files.rename(Path::new("/a/t-0"), Path::new(&future)).unwrap();
    let manager = stepped(&files);
    assert!(manager.partition("t", 0).is_none());
    assert_eq!(places(&manager), [("/a".to_owned(), true, -1)]);
    let log = manager.create_partition("t", 0, TOPIC, Some(0), small()).unwrap();
    assert_eq!(values(&log), expected(5));
    assert_eq!(names(&files), ["/a/t-0"]);
    fill(&log, 5, 8);
    assert_eq!(values(&log), expected(8));
    assert!(!manager.has_moves());
}

#[test]
fn transactions_and_epochs_arrive_with_the_records() {
    let (files, manager, log) = moving();
    log.set_leader(1).unwrap();
    fill(&log, 0, 4);
    log.set_leader(5).unwrap();
    let transactional = |sequence, text: &str| {
        let options = BatchOptions {
            producer_id: 11,
            producer_epoch: 0,
            base_sequence: sequence,
            is_transactional: true,
            ..BatchOptions::default()
        };
        batch_of(options, NOW_MS, &[text])
    };
    append(&log, &transactional(0, "open")).unwrap();
    manager.move_partition(&log, 1).unwrap();
    finish(&manager);
    assert_eq!(log.state().last_stable_offset, 4);
    append(&log, &transactional(1, "still open")).unwrap();
    let text = String::from_utf8(
        files.content(Path::new("/b/t-0/leader-epoch-checkpoint")).unwrap_or_default(),
    );
    log.flush().unwrap();
    let epochs =
        String::from_utf8(files.content(Path::new("/b/t-0/leader-epoch-checkpoint")).unwrap());
    assert_eq!(epochs.unwrap(), "0\n2\n1 0\n5 4\n", "{text:?}");
    drop(manager);
    let manager = stepped(&files.crash(CrashMode::LoseUnsynced));
    let log = manager.partition("t", 0).unwrap();
    log.set_leader(5).unwrap();
    assert_eq!(log.state().last_stable_offset, 4);
    assert_eq!(log.state().log_end_offset, 6);
}

/// A thread of its own copies while others append, and every record is there once.
#[test]
fn appends_go_on_while_a_thread_copies() {
    let files = MemoryFileSystem::new();
    let manager = Arc::new(try_open(&files, two()).unwrap());
    let log = manager.create_partition("t", 0, TOPIC, Some(0), small()).unwrap();
    fill(&log, 0, 200);
    manager.move_partition(&log, 1).unwrap();
    manager.start_moves().unwrap();
    let mut next = 200;
    while manager.has_moves() && next < 1_000 {
        fill(&log, next, next + 1);
        next += 1;
        if next % 20 == 0 {
            log.flush().unwrap();
        }
    }
    for _ in 0..500 {
        if !manager.has_moves() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!manager.has_moves(), "{:?}", manager.take_move_events());
    fill(&log, next, next + 10);
    assert_eq!(values(&log), expected(next + 10));
    assert_eq!(log.directory(), "/b");
    manager.close().unwrap();
}

#[test]
fn a_full_target_waits_and_a_limit_is_kept() {
    let (files, manager, log) = moving();
    fill(&log, 0, 20);
    manager.move_partition(&log, 1).unwrap();
    files.inject(Fault {
        operation: Operation::Write,
        path_contains: "-future".to_owned(),
        skip: 0,
        count: 1,
        kind: FaultKind::NoSpace,
    });
    manager.step();
    let events: Vec<_> = manager.take_move_events().into_iter().map(|event| event.kind).collect();
    assert_eq!(events, ["waiting"]);
    assert!(manager.has_moves());
    // Asked for again it is tried at once.
    files.clear_faults();
    manager.step();
    manager.move_partition(&log, 1).unwrap();
    finish(&manager);
    assert_eq!(values(&log), expected(20));
}

#[test]
fn a_follower_goes_on_following() {
    let (_files, manager, log) = moving();
    log.follow(4, 2).unwrap();
    let leader_batch = |offset: i64, text: &str| {
        let mut bytes = batch(&[text]);
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&4_i32.to_be_bytes());
        bytes
    };
    for offset in 0..6 {
        log.append_from_leader(&mut leader_batch(offset, "x"), 4, offset, 0, NOW_MS).unwrap();
    }
    manager.move_partition(&log, 1).unwrap();
    finish(&manager);
    log.append_from_leader(&mut leader_batch(6, "y"), 4, 6, 0, NOW_MS).unwrap();
    let state = log.state();
    assert_eq!((state.log_end_offset, state.high_watermark), (7, 6));
    log.truncate_as_follower(4, 3).unwrap();
    assert_eq!(log.state().log_end_offset, 3);
    let request =
        AppendRequest { leader_epoch: 4, acks: 1, origin: Origin::Client, now_ms: NOW_MS };
    assert_eq!(log.append(&mut batch(&["no leader"]), &request).unwrap_err().code.0, 6);
}

/// Kafka's own checkpoints name a future replica by its partition; so do ours.
#[test]
fn checkpoints_name_future_replicas() {
    let (files, manager, log) = moving();
    fill(&log, 0, 9);
    manager.move_partition(&log, 1).unwrap();
    manager.checkpoint().unwrap();
    let text = files.content(Path::new("/b/recovery-point-offset-checkpoint")).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("\nt 0 0\n"));
    // A file that is none of ours is left alone.
    let other = files.open(Path::new("/b/note"), OpenMode::Create).unwrap();
    write_full(&*other, b"x", 0).unwrap();
    finish(&manager);
    assert!(files.exists(Path::new("/b/note")));
}
