//! Bit rot: every flipped bit is found where it is looked for, nothing good is cut because of it, nothing wrong is served, and repair
//! brings back what the bytes allow.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_log::compress::Codec;
use sluice_log::failpoint::Failpoint;
use sluice_log::io::{CrashMode, Fault, FaultKind, FileSystem, MemoryFileSystem, Operation};
use sluice_log::repair::{RepairMode, repair};
use sluice_log::verify::{VerifyProgress, verify};
use sluice_log::{FindingKind, LogConfig, LogManager, PartitionLog, TopicId};
use support::*;

const LOG: &str = "/d/t-0/00000000000000000000.log";

/// Records that can be read, passing over offsets that are refused as corrupt.
fn readable(log: &PartitionLog) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut next = log.state().log_start_offset;
    while next < log.state().log_end_offset {
        let plan = log.read(&sluice_log::ReadRequest { max_bytes: 1, ..read_request(next) });
        if plan.code.0 == 2 {
            next += 1;
            continue;
        }
        assert_eq!(plan.code.0, 0, "read at {next}");
        let bytes = bytes_of(&plan);
        if bytes.is_empty() {
            return found;
        }
        for header in headers(&bytes) {
            assert!(header.base_offset >= next, "offset {} at {next}", header.base_offset);
            let payload = &bytes[61..];
            let plain = sluice_log::compress::decompress(header.codec().unwrap(), payload, 1 << 20)
                .unwrap();
            for record in sluice_log::records::RecordIter::new(&plain, header.record_count) {
                let record = record.unwrap();
                let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                found.push((header.base_offset + i64::from(record.offset_delta), value));
            }
            next = header.next_offset();
        }
    }
    found
}

fn findings(manager: &LogManager) -> Vec<sluice_log::Finding> {
    manager.scrub_status(0).findings
}

/// Ten batches of two records each, synced, and the bytes of one batch.
fn ten(is_clean: bool) -> (MemoryFileSystem, usize) {
    let (files, manager, log) = store(config());
    log.set_leader(3).unwrap();
    for at in 0..10 {
        append(&log, &batch(&[&format!("value {at}"), &format!("other {at}")])).unwrap();
    }
    log.flush().unwrap();
    manager.checkpoint().unwrap();
    if is_clean {
        manager.close().unwrap();
    }
    drop(manager);
    let size = files.content(Path::new(LOG)).unwrap().len() / 10;
    (files.crash(CrashMode::ProcessOnly), size)
}

fn expected() -> Vec<(i64, String)> {
    (0..10)
        .flat_map(|at| [(at * 2, format!("value {at}")), (at * 2 + 1, format!("other {at}"))])
        .collect()
}

#[test]
fn every_flipped_bit_of_a_segment_is_found_and_harms_its_batch_alone() {
    for is_clean in [true, false] {
        let (files, size) = ten(is_clean);
        let good = files.content(Path::new(LOG)).unwrap();
        for at in 0..good.len() {
            let in_batch = at % size;
            let is_edge = at < size || at >= 9 * size;
            // All bits of the header, one of each byte behind it; the batches in the middle are alike.
            if !is_edge && at / size != 4 {
                continue;
            }
            for bit in 0..8 {
                if in_batch >= 61 && (bit != at % 8 || at % 3 != 0)
                    || in_batch >= 17 && bit % 3 != 0
                {
                    continue;
                }
                if !is_clean && at >= 9 * size && in_batch < 8 {
                    // The last batch of a log that was killed: nothing says where it should begin.
                    continue;
                }
                let crashed = files.crash(CrashMode::ProcessOnly);
                let mut rotten = good.clone();
                rotten[at] ^= 1 << bit;
                crashed.put(Path::new(LOG), rotten.clone());
                let (manager, log) = reopen(&crashed, config());
                manager.examine_all();
                let what = format!("bit {bit} of byte {at} ({in_batch} of its batch), {is_clean}");
                assert_eq!(log.quarantined(), None, "{what}");
                assert_eq!(log.state().log_end_offset, 20, "{what}");
                assert!(!findings(&manager).is_empty(), "{what}: not found");
                let first = (at / size) as i64 * 2;
                let is_epoch = (12..16).contains(&in_batch);
                let whole = expected();
                let mut rest = whole.clone();
                if !is_epoch {
                    rest.retain(|(offset, _)| !(first..first + 2).contains(offset));
                    assert_eq!(log.read(&read_request(first)).code.0, 2, "{what}");
                    let found = findings(&manager);
                    let lost = found.iter().find(|found| found.kind == FindingKind::Batch);
                    let lost = lost.map(|found| (found.first_offset, found.last_offset));
                    assert_eq!(lost, Some((first, first + 1)), "{what}");
                }
                let damaged = manager.statistics().damaged;
                let damaged: Vec<_> = damaged
                    .iter()
                    .map(|it| (it.range_count, it.first_offset, it.last_offset))
                    .collect();
                let named = if is_epoch { vec![] } else { vec![(1, first, first + 1)] };
                assert_eq!(damaged, named, "{what}");
                assert_eq!(readable(&log), rest, "{what}");
                assert_eq!(crashed.content(Path::new(LOG)).unwrap(), rotten, "the bytes stay");
                log.set_leader(3).unwrap();
                // Appends go on, and the damage is known after a clean stop as well.
                assert_eq!(append(&log, &batch(&["next"])).unwrap().base_offset, 20, "{what}");
                rest.push((20, "next".to_owned()));
                manager.close().unwrap();
                drop(manager);
                let (manager, log) = reopen(&crashed, config());
                assert_eq!(readable(&log), rest, "{what}, second start");
                drop(manager);
                // One flipped bit is all that is wrong: repair brings everything back.
                let shared: Arc<dyn FileSystem> = Arc::new(crashed.clone());
                let mend = |apply| {
                    repair(
                        &shared,
                        Path::new("/d"),
                        RepairMode::Drop,
                        apply,
                        &VerifyProgress::default(),
                    )
                    .unwrap()
                };
                if at % 5 == 0 || in_batch < 17 && bit == 2 {
                    assert!(!mend(false).is_empty(), "{what}: no plan");
                    mend(true);
                    let (manager, log) = reopen(&crashed, config());
                    let mut all = whole;
                    all.push((20, "next".to_owned()));
                    assert_eq!(readable(&log), all, "{what}, after repair");
                    drop(manager);
                    let report =
                        verify(&crashed, &[PathBuf::from("/d")], &VerifyProgress::default())
                            .unwrap();
                    assert_eq!(report.findings, [], "{what}, after repair");
                }
            }
        }
    }
}

#[test]
fn reads_that_verify_refuse_damage_that_nobody_found_before() {
    let (files, size) = ten(true);
    for at in 0..9 * size {
        let in_batch = at % size;
        if (12..16).contains(&in_batch) || at % 3 != 0 && in_batch > 20 {
            continue;
        }
        let mut options = options("/d");
        options.verify_on_read = true;
        let crashed = files.crash(CrashMode::ProcessOnly);
        let manager = try_open(&crashed, options).unwrap();
        let log = manager.partition("t", 0).unwrap();
        let mut rotten = files.content(Path::new(LOG)).unwrap();
        rotten[at] ^= 0x20;
        crashed.put(Path::new(LOG), rotten);
        let plan = log.read(&read_request(0));
        let read = if plan.code.0 == 0 { bytes_of(&plan).len() } else { 0 };
        assert_eq!(read, at / size * size, "flip at {at}");
        let first = (at / size) as i64 * 2;
        assert_eq!(log.read(&read_request(first)).code.0, 2, "flip at {at}");
        // The segment is checked on another thread; until then what is behind may be refused as well.
        while findings(&manager).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(readable(&log).len(), 18, "flip at {at}");
        assert_eq!(findings(&manager)[0].found_by, "read");
    }
}

#[test]
fn what_cannot_be_restored_is_dropped_or_cut_as_asked() {
    let (files, size) = ten(true);
    let mut rotten = files.content(Path::new(LOG)).unwrap();
    for byte in &mut rotten[4 * size + 70..4 * size + 80] {
        *byte ^= 0x5a;
    }
    files.put(Path::new(LOG), rotten.clone());
    for mode in [RepairMode::Drop, RepairMode::Cut] {
        let crashed = files.crash(CrashMode::ProcessOnly);
        let shared: Arc<dyn FileSystem> = Arc::new(crashed.clone());
        let mend = |apply| {
            repair(&shared, Path::new("/d"), mode, apply, &VerifyProgress::default()).unwrap()
        };
        let plan = mend(false);
        assert_eq!(crashed.content(Path::new(LOG)).unwrap(), rotten, "a plan changes nothing");
        assert_eq!(plan.len(), 1);
        let lost = if mode == RepairMode::Drop { (8, 9) } else { (8, 19) };
        assert_eq!((plan[0].first_offset, plan[0].last_offset), lost);
        mend(true);
        let copy = crashed.paths().into_iter().find(|path| {
            path.starts_with("/d/t-0/.quarantine")
                && path.extension().is_some_and(|end| end == "log")
        });
        assert_eq!(crashed.content(&copy.unwrap()).unwrap(), rotten);
        let (_manager, log) = reopen(&crashed, config());
        let mut rest = expected();
        rest.retain(|(offset, _)| !(lost.0..=lost.1).contains(offset));
        assert_eq!(readable(&log), rest);
        let end = if mode == RepairMode::Drop { 20 } else { 8 };
        assert_eq!(log.state().log_end_offset, end);
    }
}

#[test]
fn a_torn_tail_of_any_kind_is_cut_at_every_byte() {
    let compressed_batch = compressed(Codec::Lz4, &["third, to be torn", "third, to be torn"]);
    for last in [batch(&["third, to be torn"]), compressed_batch, sequenced(9, 0, 0, &["torn"])] {
        let (files, manager, log) = store(config());
        append(&log, &batch(&["first"])).unwrap();
        append(&log, &batch(&["second"])).unwrap();
        log.flush().unwrap();
        manager.checkpoint().unwrap();
        let kept = files.content(Path::new(LOG)).unwrap().len();
        append(&log, &last).unwrap();
        let all = files.content(Path::new(LOG)).unwrap();
        for length in kept..all.len() {
            let crashed = files.crash(CrashMode::ProcessOnly);
            crashed.put(Path::new(LOG), all[..length].to_vec());
            let (_manager, log) = reopen(&crashed, config());
            assert_eq!((log.quarantined(), log.state().log_end_offset), (None, 2), "at {length}");
            let next = append(&log, &sequenced(9, 0, 0, &["again"])).unwrap();
            assert_eq!((next.base_offset, next.is_duplicate), (2, false));
        }
    }
}

/// A log of several segments with everything beside it, stopped or killed.
fn with_side_files(is_clean: bool) -> (MemoryFileSystem, Vec<PathBuf>) {
    let config = LogConfig { segment_bytes: 900, ..config() };
    let (files, manager, log) = store(config);
    log.set_leader(1).unwrap();
    for at in 0..24 {
        append(&log, &sequenced(5, 0, at, &["some value of a certain length"])).unwrap();
    }
    log.flush().unwrap();
    manager.checkpoint().unwrap();
    if is_clean {
        manager.close().unwrap();
    }
    drop(manager);
    let files = files.crash(CrashMode::ProcessOnly);
    let side = files
        .paths()
        .into_iter()
        .filter(|path| {
            let name = path.to_string_lossy();
            !name.ends_with(".log") && !name.ends_with(".lock") && !name.contains("meta.properties")
        })
        .collect();
    (files, side)
}

fn check_side_file_damage(files: &MemoryFileSystem, what: &str) {
    let config = LogConfig { segment_bytes: 900, ..config() };
    let (manager, log) = reopen(files, config);
    assert_eq!(log.quarantined(), None, "{what}");
    assert_eq!(log.state().log_end_offset, 24, "{what}");
    assert_eq!(records_from(&log, 0).len(), 24, "{what}");
    for offset in [5, 17, 23] {
        assert_eq!(records_from(&log, offset).len() as i64, 24 - offset, "{what}");
    }
    let by_time =
        log.offset_for_timestamp(NOW_MS, sluice_log::Isolation::ReadUncommitted, -1).offset;
    assert_eq!(by_time, 0, "{what}");
    let again = append(&log, &sequenced(5, 0, 23, &["some value of a certain length"])).unwrap();
    assert!(again.is_duplicate, "{what}");
    assert_eq!(log.end_offset_for_epoch(-1, 1).unwrap().end_offset, 24, "{what}");
    manager.close().unwrap();
}

#[test]
fn pairs_of_damaged_side_files_never_stop_or_shorten_the_log() {
    for is_clean in [true, false] {
        let (files, side) = with_side_files(is_clean);
        for (at, first) in side.iter().enumerate() {
            for second in &side[at..] {
                for (name, damage) in damages() {
                    let crashed = files.crash(CrashMode::ProcessOnly);
                    for path in [first, second] {
                        match damage(crashed.content(path).unwrap()) {
                            Some(bytes) => crashed.put(path, bytes),
                            None => crashed.remove_file(path).unwrap_or_default(),
                        }
                        if first == second {
                            break;
                        }
                    }
                    check_side_file_damage(
                        &crashed,
                        &format!("{name}: {first:?}, {second:?}, {is_clean}"),
                    );
                }
            }
        }
    }
}

type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;

fn damages() -> [(&'static str, Damage); 5] {
    [
        ("missing", |_| None),
        ("short", |bytes| Some(bytes[..bytes.len() / 2].to_vec())),
        ("zeroed", |bytes| Some(vec![0; bytes.len()])),
        ("garbage", |bytes| Some((0..bytes.len().max(40)).map(|at| (at * 37) as u8).collect())),
        ("empty", |_| Some(Vec::new())),
    ]
}

#[test]
fn every_flipped_bit_beside_the_log_is_harmless() {
    for is_clean in [true, false] {
        let (files, side) = with_side_files(is_clean);
        for path in &side {
            let good = files.content(path).unwrap();
            for at in 0..good.len() {
                let crashed = files.crash(CrashMode::ProcessOnly);
                let mut rotten = good.clone();
                rotten[at] ^= 1 << (at % 8);
                crashed.put(path, rotten);
                check_side_file_damage(&crashed, &format!("byte {at} of {path:?}, {is_clean}"));
            }
        }
    }
}

#[test]
fn a_flip_in_meta_properties_is_undone_by_its_copy() {
    let (files, _) = ten(true);
    let path = Path::new("/d/meta.properties");
    let good = files.content(path).unwrap();
    for at in 0..good.len() {
        let crashed = files.crash(CrashMode::ProcessOnly);
        let mut rotten = good.clone();
        rotten[at] ^= 1 << (at % 8);
        crashed.put(path, rotten);
        let (manager, log) = reopen(&crashed, config());
        assert_eq!(records_from(&log, 0).len(), 20, "byte {at}");
        let ids = manager.report();
        drop(manager);
        let (manager, _log) = reopen(&files.crash(CrashMode::ProcessOnly), config());
        assert_eq!(ids.cluster_id, manager.report().cluster_id, "byte {at}");
        assert_eq!(ids.dirs[0].directory_id, manager.report().dirs[0].directory_id, "byte {at}");
    }
}

#[test]
fn renames_and_recoveries_that_crash_are_survived() {
    let small = || LogConfig { segment_bytes: 300, retention_bytes: 600, ..config() };
    for place in [Failpoint::BeforeRename, Failpoint::AfterRename] {
        let (files, manager, log) = store(small());
        for at in 0..12 {
            append(&log, &batch(&[&format!("value {at} {}", "r".repeat(60))])).unwrap();
        }
        log.flush().unwrap();
        let clones: Arc<std::sync::Mutex<Vec<MemoryFileSystem>>> = Arc::default();
        let (to, from) = (Arc::clone(&clones), files.clone());
        manager.failpoints().arm(place, move || {
            let mut clones = to.lock().unwrap();
            let seed = clones.len() as u64;
            clones.push(from.crash(CrashMode::KeepSome(seed)));
            clones.push(from.crash(CrashMode::LoseUnsynced));
            Ok(())
        });
        manager.run_retention(NOW_MS);
        let first = log.state().log_start_offset;
        assert!(first > 0);
        manager.failpoints().clear();
        let clones = std::mem::take(&mut *clones.lock().unwrap());
        assert!(!clones.is_empty(), "{place:?} was never passed");
        for crashed in clones {
            let (_manager, log) = reopen(&crashed, small());
            assert_eq!(log.quarantined(), None, "{place:?}");
            let kept = records_from(&log, log.state().log_start_offset);
            assert!(kept.len() as i64 >= 12 - first, "{place:?}: {} kept", kept.len());
            assert_eq!(log.state().log_end_offset, 12, "{place:?}");
        }
    }
}

#[test]
fn recovery_that_fails_at_any_system_call_loses_nothing() {
    let small = || LogConfig { segment_bytes: 400, ..config() };
    let (files, manager, log) = store(small());
    for at in 0..12 {
        append(&log, &sequenced(5, 0, at, &["a value of some length for rolling"])).unwrap();
    }
    log.flush().unwrap();
    append(&log, &batch(&["torn"])).unwrap();
    drop(manager);
    let torn = files.crash(CrashMode::ProcessOnly);
    let last = torn.paths().into_iter().rfind(|path| path.extension().is_some_and(|e| e == "log"));
    let last = last.unwrap();
    let mut bytes = torn.content(&last).unwrap();
    bytes.truncate(bytes.len() - 3);
    torn.put(&last, bytes);
    let operations = [
        Operation::Open,
        Operation::Read,
        Operation::Write,
        Operation::SetLength,
        Operation::Sync,
        Operation::SyncDirectory,
        Operation::Rename,
        Operation::Remove,
        Operation::List,
    ];
    for operation in operations {
        let mut failures = 0;
        for skip in 0..200 {
            let crashed = torn.crash(CrashMode::ProcessOnly);
            crashed.inject(Fault {
                operation,
                path_contains: String::new(),
                skip,
                count: 1,
                kind: FaultKind::InputOutput,
            });
            let mut wanted = options("/d");
            wanted.defaults = small();
            let opened = try_open(&crashed, wanted);
            let mut acknowledged = 12;
            let was_hit = match &opened {
                Ok(manager) => {
                    let log = manager.partition("t", 0);
                    if let Some(log) = log.filter(|log| log.quarantined().is_none()) {
                        if append(&log, &batch(&["after"])).is_ok() && log.flush().is_ok() {
                            acknowledged += 1;
                        }
                        crashed.clear_faults();
                        let kept = records_from(&log, 0).len();
                        assert!(kept >= acknowledged, "{operation:?} {skip}: {kept} records");
                        false
                    } else {
                        true
                    }
                }
                Err(_) => true,
            };
            failures += u32::from(was_hit);
            assert!(failures < 150, "the fault is planned beyond the start");
            drop(opened);
            crashed.clear_faults();
            for mode in [CrashMode::ProcessOnly, CrashMode::LoseUnsynced, CrashMode::KeepSome(skip)]
            {
                let (_manager, log) = reopen(&crashed.crash(mode), small());
                assert_eq!(log.quarantined(), None, "{operation:?} {skip} {mode:?}");
                let records = records_from(&log, 0);
                assert!(
                    records.len() >= acknowledged,
                    "{operation:?} {skip} {mode:?}: {}",
                    records.len()
                );
            }
        }
        eprintln!("{operation:?}: {failures} starts failed");
    }
}

#[test]
fn recovery_counts_as_recovery_until_it_is_through() {
    let (files, manager, log) = store(config());
    append(&log, &batch(&["kept"])).unwrap();
    log.flush().unwrap();
    drop(manager);
    let failpoints = Arc::<sluice_log::failpoint::Failpoints>::default();
    failpoints.arm(Failpoint::DuringRecovery, || Err(std::io::Error::from_raw_os_error(5)));
    let shared: Arc<dyn FileSystem> = Arc::new(files.crash(CrashMode::ProcessOnly));
    let progress = sluice_log::RecoveryProgress::new();
    let manager =
        LogManager::open_with(Arc::clone(&shared), options("/d"), &progress, failpoints).unwrap();
    assert!(manager.partition("t", 0).unwrap().quarantined().is_some());
    manager.close().unwrap();
    drop(manager);
    let manager = LogManager::open_on(shared, options("/d"), Arc::default()).unwrap();
    assert!(!manager.report().was_clean);
    assert_eq!(records_from(&manager.partition("t", 0).unwrap(), 0).len(), 1);
}

#[test]
fn what_compaction_left_is_finished_or_discarded_as_kafka_does() {
    let config = || LogConfig { segment_bytes: 400, ..config() };
    let (files, manager, log) = store(config());
    for at in 0..9 {
        append(&log, &batch(&[&format!("value {at} of a length that makes segments roll")]))
            .unwrap();
    }
    manager.close().unwrap();
    drop(manager);
    let first = files.content(Path::new(LOG)).unwrap();
    for has_cleaned in [false, true] {
        let crashed = files.crash(CrashMode::ProcessOnly);
        crashed.put(Path::new("/d/t-0/00000000000000000000.log.swap"), first.clone());
        crashed.put(Path::new("/d/t-0/00000000000000000000.index.deleted"), vec![1, 2, 3]);
        if has_cleaned {
            crashed.put(Path::new("/d/t-0/00000000000000000000.log.cleaned"), vec![9; 40]);
        } else {
            // The segment that the swapped one replaces: it goes, whatever is in it.
            crashed.put(Path::new(LOG), vec![7; 300]);
        }
        let (_manager, log) = reopen(&crashed, config());
        assert_eq!(log.quarantined(), None);
        assert_eq!(records_from(&log, 0).len(), 9);
        let left: Vec<_> = crashed
            .paths()
            .into_iter()
            .filter(|path| {
                let end = path.extension().unwrap_or_default().to_string_lossy().into_owned();
                ["swap", "cleaned", "deleted"].contains(&end.as_str())
            })
            .collect();
        assert_eq!(left, [] as [PathBuf; 0]);
    }
}

/// Two directories that were killed: `t-0` in the first has a damaged end, an aborted transaction and several segments, so that its recovery
/// syncs in many places.
fn two_killed() -> MemoryFileSystem {
    let files = MemoryFileSystem::new();
    let mut two = options("/d");
    two.dirs.push("/e".to_owned());
    let manager = try_open(&files, two).unwrap();
    let config = LogConfig { segment_bytes: 400, ..config() };
    let create = |topic: &str, dir| {
        manager.create_partition(topic, 0, TopicId([7; 16]), Some(dir), config.clone()).unwrap()
    };
    let (broken, other) = (create("t", 0), create("u", 1));
    for at in 0..12 {
        append(&broken, &sequenced(5, 0, at, &["a value of some length for rolling"])).unwrap();
    }
    append(&other, &batch(&["kept"])).unwrap();
    broken.flush().unwrap();
    other.flush().unwrap();
    append(&broken, &batch(&["the last, which is damaged"])).unwrap();
    drop(manager);
    let killed = files.crash(CrashMode::ProcessOnly);
    let last = killed.paths().into_iter().rfind(|path| {
        path.starts_with("/d/t-0") && path.extension().is_some_and(|end| end == "log")
    });
    let last = last.unwrap();
    let mut bytes = killed.content(&last).unwrap();
    let end = bytes.len() - 5;
    bytes[end] ^= 0x10;
    killed.put(&last, bytes);
    // A compaction that was not finished.
    let first = killed.content(Path::new(LOG)).unwrap();
    killed.put(Path::new("/d/t-0/00000000000000000000.log.swap"), first);
    killed
}

#[test]
fn an_fsync_that_fails_in_recovery_fails_its_directory() {
    let killed = two_killed();
    let both = || {
        let mut options = options("/d");
        options.dirs.push("/e".to_owned());
        options
    };
    for operation in [Operation::Sync, Operation::SyncDirectory] {
        let mut hits = 0;
        for skip in 0.. {
            let what = format!("{operation:?} number {skip}");
            let crashed = killed.crash(CrashMode::ProcessOnly);
            crashed.inject(Fault {
                operation,
                path_contains: "/d/t-0".to_owned(),
                skip,
                count: 1,
                kind: FaultKind::InputOutput,
            });
            let manager = try_open(&crashed, both()).unwrap();
            if crashed.planned_failures() > 0 {
                break;
            }
            hits += 1;
            let errors: Vec<bool> =
                manager.report().dirs.iter().map(|dir| dir.error.is_some()).collect();
            assert_eq!(errors, [true, false], "{what}");
            assert!(manager.health()[0].error.as_ref().unwrap().contains("/d"), "{what}");
            assert!(manager.partition("t", 0).is_none(), "{what}");
            let other = manager.partition("u", 0).unwrap();
            assert_eq!(records_from(&other, 0).len(), 1, "{what}");
            append(&other, &batch(&["goes on"])).unwrap();
            manager.close().unwrap();
            drop(manager);
            // Nothing there says that its files are good.
            let left = crashed.crash(CrashMode::LoseUnsynced);
            assert!(left.content(Path::new("/d/.kafka_cleanshutdown")).is_none(), "{what}");
            assert!(left.content(Path::new("/e/.kafka_cleanshutdown")).is_some(), "{what}");
            let manager = try_open(&left, both()).unwrap();
            let log = manager.partition("t", 0).unwrap();
            assert_eq!((log.quarantined(), readable(&log).len()), (None, 12), "{what}");
            assert_eq!(readable(&manager.partition("u", 0).unwrap()).len(), 2, "{what}");
            drop(manager);
            // With no other directory there is nothing to start with.
            let crashed = killed.crash(CrashMode::ProcessOnly);
            crashed.inject(Fault {
                operation,
                path_contains: "/d/t-0".to_owned(),
                skip,
                count: 1,
                kind: FaultKind::InputOutput,
            });
            let error = try_open(&crashed, options("/d")).err().unwrap();
            assert_eq!(error.code, "LOG_DIR_NOT_WRITABLE", "{what}");
            assert!(error.message.contains("fsync") && error.message.contains("/d"), "{error}");
        }
        eprintln!("{operation:?}: {hits} places");
        assert!(hits > 1, "{operation:?}: recovery has more than one place that syncs");
    }
}

/// The broker's own records are checked whenever they are read: a coordinator must not build on wrong ones, nor miss any.
#[test]
fn internal_topics_are_checked_on_every_read() {
    let topic = "__consumer_offsets";
    let path = format!("/d/{topic}-0/00000000000000000000.log");
    let files = MemoryFileSystem::new();
    let manager = open(&files);
    let log = manager.create_partition(topic, 0, TopicId([7; 16]), None, config()).unwrap();
    for at in 0..10 {
        append(&log, &batch(&[&format!("commit {at}")])).unwrap();
    }
    manager.close().unwrap();
    drop(manager);
    let size = files.content(Path::new(&path)).unwrap().len() / 10;
    // A value, and a base offset that no checksum covers.
    for (at, bit) in [(5 * size + 70, 0x40), (5 * size + 7, 0x40), (5 * size + 7, 0x02)] {
        let crashed = files.crash(CrashMode::ProcessOnly);
        let mut rotten = crashed.content(Path::new(&path)).unwrap();
        rotten[at] ^= bit;
        crashed.put(Path::new(&path), rotten);
        let manager = open(&crashed);
        let log = manager.partition(topic, 0).unwrap();
        assert_eq!(findings(&manager), [], "a clean start reads the end only");
        let mut offsets = Vec::new();
        let mut next = 0;
        let code = loop {
            let plan = log.read(&read_request(next));
            if plan.code.0 != 0 {
                break plan.code.0;
            }
            let bytes = bytes_of(&plan);
            if bytes.is_empty() {
                break 0;
            }
            let bases = headers(&bytes).into_iter().map(|header| header.base_offset);
            offsets.extend(bases);
            next = offsets.last().unwrap() + 1;
        };
        assert_eq!((offsets, code), ((0..5).collect(), 2), "byte {at} ^ {bit}");
    }
}
