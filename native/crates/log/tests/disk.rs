//! Disks that are full, descriptors that run out, many partitions at once: what was acknowledged is there, what was refused is not, and
//! everything goes on when there is room again.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::sync::Arc;

use sluice_log::io::{CrashMode, Fault, FaultKind, MemoryFileSystem, Operation};
use sluice_log::{AppendRequest, LogConfig, LogManager, Origin, PartitionLog, TopicId};
use support::*;

const LOG: &str = "/d/t-0/00000000000000000000.log";

fn small() -> LogConfig {
    LogConfig { segment_bytes: 700, ..config() }
}

fn with_reserve(files: &MemoryFileSystem, reserve_bytes: u64) -> LogManager {
    let mut options = options("/d");
    options.disk_reserve_bytes = reserve_bytes;
    try_open(files, options).unwrap()
}

fn create(manager: &LogManager, topic: &str, partition: i32) -> Arc<PartitionLog> {
    manager.create_partition(topic, partition, TopicId([7; 16]), None, config()).unwrap()
}

/// One call fails for want of room, whichever it is: the producer's retry lands exactly once, nothing is poisoned, and whatever
/// is left of the failure survives neither a clean stop nor a crash.
#[test]
fn no_room_at_any_call_costs_that_call_only() {
    let operations = [Operation::Open, Operation::Write, Operation::SetLength, Operation::Rename];
    for operation in operations {
        for kind in [FaultKind::NoSpace, FaultKind::ReadOnly, FaultKind::NoDescriptor] {
            for (skip, count) in (0..40).flat_map(|skip| [(skip, 1), (skip, 3)]) {
                let what = format!("{operation:?} {kind:?} number {skip}, {count} times");
                let (files, manager, log) = store(small());
                files.inject(Fault { operation, path_contains: String::new(), skip, count, kind });
                for at in 0..20 {
                    let value = format!("value {at} {}", "w".repeat(60));
                    let bytes = sequenced(4, 0, at, &[&value]);
                    let mut refusals = 0;
                    while let Err(error) = append(&log, &bytes) {
                        assert_eq!(error.code.0, 56, "{what}");
                        refusals += 1;
                        manager.sample_space();
                        assert!(refusals < 10, "{what}: never taken again: {}", error.message);
                    }
                    if at % 4 == 3 {
                        let _ = log.flush();
                    }
                    if at == 12 {
                        let _ = manager.checkpoint();
                    }
                }
                assert!(log.is_healthy(), "{what}");
                let expected: Vec<i64> = (0..20).collect();
                let offsets = |log: &PartitionLog| -> Vec<i64> {
                    records_from(log, 0).into_iter().map(|(offset, _)| offset).collect()
                };
                assert_eq!(offsets(&log), expected, "{what}");
                files.clear_faults();
                log.flush().unwrap();
                for mode in [CrashMode::ProcessOnly, CrashMode::LoseUnsynced] {
                    let (_manager, log) = reopen(&files.crash(mode), small());
                    assert_eq!(log.quarantined(), None, "{what} {mode:?}");
                    assert_eq!(offsets(&log), expected, "{what} {mode:?}");
                }
                manager.close().unwrap();
                drop(manager);
                let (_manager, log) = reopen(&files, small());
                assert_eq!(offsets(&log), expected, "{what}");
            }
        }
    }
}

/// A disk of real size: short writes, then ENOSPC, and the bytes of the short write are cut off.
#[test]
fn a_disk_that_fills_up_holds_whole_batches_only() {
    for capacity in (3_000..9_000).step_by(97) {
        let (files, manager, log) = store(small());
        files.set_capacity(Some(capacity));
        let value = "z".repeat(90);
        let mut taken = 0;
        let mut refused = 0;
        for _ in 0..120 {
            match append(&log, &sequenced(4, 0, taken, &[&value])) {
                Ok(_) => taken += 1,
                Err(error) => {
                    assert_eq!(error.code.0, 56);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0 && log.is_healthy(), "{capacity}: {refused}");
        assert_eq!(records_from(&log, 0).len(), taken as usize, "{capacity}");
        // What the process leaves, and what is read of it, is what it acknowledged.
        let (_manager, after) = reopen(&files.crash(CrashMode::ProcessOnly), small());
        assert_eq!(records_from(&after, 0).len(), taken as usize, "{capacity}");
        let _ = manager.checkpoint();
        files.set_capacity(None);
        manager.sample_space();
        append(&log, &sequenced(4, 0, taken, &[&value])).unwrap();
        log.flush().unwrap();
        assert_eq!(records_from(&log, 0).len(), taken as usize + 1, "{capacity}");
        assert!(manager.close().is_ok(), "{capacity}");
    }
}

/// While a short write cannot be cut off, a recovery could take what was refused for good: nothing more is appended.
#[test]
fn a_rest_that_cannot_be_cut_refuses_until_it_can() {
    let (files, manager, log) = store(config());
    append(&log, &batch(&["a"])).unwrap();
    let size = files.content(Path::new(LOG)).unwrap().len();
    let two = [sequenced(4, 0, 0, &["b"]), sequenced(4, 0, 1, &["c"])].concat();
    let fault = |operation, skip, count, kind| Fault {
        operation,
        path_contains: ".log".to_owned(),
        skip,
        count,
        kind,
    };
    files.inject(fault(Operation::Write, 0, 1, FaultKind::ShortWrite(two.len() - 5)));
    // (A fault that was used up does not count further calls: this one is for the rest of the same append.)
    files.inject(fault(Operation::Write, 0, 1, FaultKind::NoSpace));
    files.inject(fault(Operation::SetLength, 0, 2, FaultKind::ReadOnly));
    let coordinator = AppendRequest { origin: Origin::RawFollower, ..request() };
    let mut raw = two;
    raw[0..8].copy_from_slice(&1_i64.to_be_bytes());
    let half = raw.len() / 2;
    raw[half..half + 8].copy_from_slice(&2_i64.to_be_bytes());
    assert_eq!(log.append(&mut raw, &coordinator).unwrap_err().code.0, 56);
    manager.sample_space();
    assert!(files.content(Path::new(LOG)).unwrap().len() > size, "the rest is still there");
    assert_eq!(code(&log, &batch(&["d"])), 56, "not as long as it cannot be cut off");
    assert_eq!(code(&log, &batch(&["d"])), 0);
    let values = records_from(&log, 0);
    assert_eq!(values, [(0, "a".to_owned()), (1, "d".to_owned())]);
    let (_manager, after) = reopen(&files.crash(CrashMode::ProcessOnly), config());
    assert_eq!(records_from(&after, 0), values);
}

#[test]
fn the_reserve_is_for_the_brokers_own_topics() {
    let files = MemoryFileSystem::new();
    files.set_capacity(Some(400_000));
    // Wanted is all of it: a twentieth of the disk is what is kept.
    let manager = with_reserve(&files, 400_000);
    let ordinary = create(&manager, "t", 0);
    let internal = create(&manager, "__consumer_offsets", 0);
    manager.sample_space();
    let bytes = batch(&[&"v".repeat(4_000)]);
    let mut count = 0;
    while append(&ordinary, &bytes).is_ok() {
        count += 1;
        assert!(count < 200, "never refused");
    }
    let health = manager.health();
    assert_eq!((health[0].reserve_bytes, health[0].refused_count), (20_000, 1));
    let free = 400_000 - files.used_bytes() as i64;
    assert!((0..30_000).contains(&free), "{free} bytes left");
    assert!(free >= 10_000, "counted between the looks: {free} bytes left");
    assert_eq!(code(&ordinary, &bytes), 56);
    append(&internal, &batch(&["an offset"])).unwrap();
    append_as(&internal, &batch(&["another"]), Origin::Coordinator).unwrap();
    manager.checkpoint().unwrap();
    internal.flush().unwrap();
    assert_eq!(records_from(&ordinary, 0).len(), count, "reads go on");
    files.set_capacity(Some(800_000));
    manager.sample_space();
    append(&ordinary, &bytes).unwrap();
    assert!(!manager.health()[0].is_short);
}

/// A sync that finds no descriptor is tried again, and is no failed sync.
#[test]
fn no_descriptor_poisons_nothing() {
    let (files, manager, log) = store(config());
    append(&log, &batch(&["a"])).unwrap();
    files.inject(Fault {
        operation: Operation::SyncDirectory,
        path_contains: String::new(),
        skip: 0,
        count: 2,
        kind: FaultKind::NoDescriptor,
    });
    assert!(log.flush().is_err());
    assert!(log.is_healthy());
    assert_eq!(log.flushed_offset(), 0);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while log.flushed_offset() < 1 {
        assert!(std::time::Instant::now() < deadline, "never tried again");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(manager);
    let (_manager, log) = reopen(&files.crash(CrashMode::LoseUnsynced), config());
    assert_eq!(records_from(&log, 0).len(), 1);
}

/// Failing devices are another matter: EIO on a write ends writing to the directory, and reads go on.
#[test]
fn a_device_that_fails_a_write_is_not_written_again() {
    let (files, manager, log) = store(config());
    append(&log, &batch(&["a"])).unwrap();
    files.inject(Fault {
        operation: Operation::Write,
        path_contains: ".log".to_owned(),
        skip: 0,
        count: 1,
        kind: FaultKind::InputOutput,
    });
    assert_eq!(code(&log, &batch(&["b"])), 56);
    assert_eq!(code(&log, &batch(&["b"])), 56);
    assert!(log.is_failed());
    assert!(manager.health()[0].error.is_some());
    assert_eq!(records_from(&log, 0).len(), 1);
}

/// EIO on a read fails that read only.
#[test]
fn a_failed_read_is_only_that() {
    let (files, _manager, log) = store(config());
    append(&log, &batch(&["a"])).unwrap();
    append(&log, &batch(&["b"])).unwrap();
    files.inject(Fault {
        operation: Operation::Read,
        path_contains: ".log".to_owned(),
        skip: 0,
        count: 1,
        kind: FaultKind::InputOutput,
    });
    let plan = log.read(&read_request(0));
    let failed = match &plan.slice {
        Some(slice) => slice.read_into(0, &mut [0; 16]).is_err(),
        None => plan.code.0 != 0,
    };
    assert!(failed);
    assert_eq!(records_from(&log, 0).len(), 2);
    append(&log, &batch(&["c"])).unwrap();
}

/// Many partitions are synced by one call, and everything of theirs is on disk then: names, records, identity.
#[test]
fn partitions_synced_together_survive_a_power_cut() {
    let files = MemoryFileSystem::new();
    let manager = open(&files);
    let logs: Vec<_> = (0..200).map(|at| create(&manager, "t", at)).collect();
    // Once to make the one call the cheaper one by experience: a memory file system syncs in no time.
    let acks_all = AppendRequest { acks: -1, ..request() };
    for round in 0..3 {
        for log in &logs {
            log.set_leader(round).unwrap();
            log.append(&mut batch(&[&format!("{round}")]), &acks_all).unwrap();
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        for log in &logs {
            while log.flushed_offset() <= i64::from(round) {
                assert!(std::time::Instant::now() < deadline, "never flushed");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        for mode in [CrashMode::LoseUnsynced, CrashMode::KeepSome(u64::from(round.unsigned_abs()))]
        {
            let after = open(&files.crash(mode));
            for partition in 0..200 {
                let log = after.partition("t", partition).expect("is there");
                assert_eq!(log.quarantined(), None);
                assert_eq!(log.topic_id(), TopicId([7; 16]), "{mode:?}");
                assert_eq!(records_from(&log, 0).len() as i32, round + 1, "{mode:?}");
            }
        }
    }
}

/// What a killed process wrote and did not sync is synced before a retry of it is acknowledged.
#[test]
fn what_recovery_found_is_made_durable() {
    for partitions in [1, 40] {
        let files = MemoryFileSystem::new();
        let manager = open(&files);
        for at in 0..partitions {
            append(&create(&manager, "t", at), &sequenced(4, 0, 0, &["a"])).unwrap();
        }
        let killed = files.crash(CrashMode::ProcessOnly);
        // The crash clone counts what was written as durable; the files written again do not.
        for path in killed.paths() {
            let content = killed.content(&path).unwrap();
            let file = sluice_log::io::FileSystem::open(
                &killed,
                &path,
                sluice_log::io::OpenMode::Truncate,
            )
            .unwrap();
            file.write_at(&content, 0).unwrap();
        }
        let second = open(&killed);
        for at in 0..partitions {
            let log = second.partition("t", at).unwrap();
            let again = log
                .append(&mut sequenced(4, 0, 0, &["a"]), &AppendRequest { acks: -1, ..request() })
                .unwrap();
            assert!(again.is_duplicate);
            assert!(again.await_sync || log.flushed_offset() > again.last_offset);
        }
        let third = open(&killed.crash(CrashMode::LoseUnsynced));
        for at in 0..partitions {
            assert_eq!(records_from(&third.partition("t", at).unwrap(), 0).len(), 1);
        }
    }
}

/// A sync of the whole file system that fails poisons as any other.
#[test]
fn a_failed_sync_of_many_poisons() {
    let files = MemoryFileSystem::new();
    let manager = open(&files);
    let logs: Vec<_> = (0..200).map(|at| create(&manager, "t", at)).collect();
    for operation in [Operation::SyncWhole, Operation::Sync] {
        files.inject(Fault {
            operation,
            path_contains: String::new(),
            skip: 0,
            count: 1000,
            kind: FaultKind::NoSpace,
        });
    }
    for log in &logs {
        let _ = log.append(&mut batch(&["x"]), &AppendRequest { acks: -1, ..request() });
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !logs[0].is_failed() {
        assert!(std::time::Instant::now() < deadline, "never poisoned");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    files.clear_faults();
    let flushed: Vec<i64> = logs.iter().map(|log| log.flushed_offset()).collect();
    assert_eq!(flushed, vec![0; 200]);
    assert_eq!(code(&logs[7], &batch(&["y"])), 56);
}

/// Cutting back needs room as well, for an index for instance. Whatever is refused, the log never claims records that are not there, and
/// the next try completes the cut.
#[test]
fn a_cut_that_is_refused_anywhere_is_completed_once_there_is_room() {
    let small = || LogConfig { segment_bytes: 400, ..config() };
    let sequence = |at| sequenced(5, 0, at, &["a value of some length for rolling"]);
    let operations = [Operation::Open, Operation::Write, Operation::SetLength, Operation::Remove];
    let mut hits = 0;
    for (operation, cut) in operations.into_iter().flat_map(|each| [(each, 5), (each, 8)]) {
        for skip in 0..60 {
            let (files, manager, log) = store(small());
            for at in 0..12 {
                append(&log, &sequence(at)).unwrap();
            }
            log.flush().unwrap();
            drop((log, manager));
            // Opened anew, so that indexes are not at hand.
            let files = files.crash(CrashMode::ProcessOnly);
            let (_manager, log) = reopen(&files, small());
            files.inject(Fault {
                operation,
                path_contains: String::new(),
                skip,
                count: 1,
                kind: FaultKind::NoSpace,
            });
            let outcome = log.truncate_to(cut);
            if files.planned_failures() > 0 {
                assert!(outcome.is_ok());
                break;
            }
            hits += 1;
            files.clear_faults();
            let what = format!("{operation:?} {skip} of a cut to {cut}: {outcome:?}");
            let end = log.state().log_end_offset;
            assert!(end >= cut, "{what}");
            assert_eq!(records_from(&log, 0).len() as i64, end, "{what}");
            assert!(log.truncate_to(cut).is_ok(), "{what}: not completed");
            assert_eq!(log.state().log_end_offset, cut, "{what}");
            let again = append(&log, &sequence(cut as i32 - 1)).unwrap();
            assert!(again.is_duplicate && again.base_offset == cut - 1, "{what}");
            assert_eq!(append(&log, &sequence(cut as i32)).unwrap().base_offset, cut, "{what}");
            assert_eq!(records_from(&log, 0).len() as i64, cut + 1, "{what}");
        }
    }
    assert!(hits > 8, "only {hits} operations were refused");
}
