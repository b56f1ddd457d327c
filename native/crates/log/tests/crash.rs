//! Crashes and failing disks: what was acknowledged as durable survives, the rest is cut cleanly, damage is never served and never
//! makes good records vanish.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_log::failpoint::Failpoint;
use sluice_log::io::{CrashMode, Fault, FaultKind, MemoryFileSystem, Operation};
use sluice_log::records::BatchOptions;
use sluice_log::{AppendRequest, Change, LogConfig, LogListener, TopicId};
use std::sync::Mutex;
use support::*;

const LOG: &str = "/d/t-0/00000000000000000000.log";

fn small() -> LogConfig {
    LogConfig { segment_bytes: 700, ..config() }
}

fn modes() -> Vec<CrashMode> {
    let mut modes = vec![CrashMode::ProcessOnly, CrashMode::LoseUnsynced];
    modes.extend((0..40).map(CrashMode::KeepSome));
    modes
}

/// After any crash the synced records are there, in order, with at most further ones after them, and the log goes on.
fn check_after_crash(files: &MemoryFileSystem, mode: CrashMode, values: &[String], synced: usize) {
    let crashed = files.crash(mode);
    let (manager, log) = reopen(&crashed, small());
    assert_eq!(log.quarantined(), None, "{mode:?}");
    let records = records_from(&log, 0);
    assert!(records.len() >= synced, "{mode:?}: {} of {synced} synced records", records.len());
    for (at, (offset, value)) in records.iter().enumerate() {
        // What was never synced may be there in part: a later segment without the end of the one before.
        let is_synced = at < synced;
        assert!(!is_synced || *offset == at as i64, "{mode:?}: record {at} has offset {offset}");
        assert!(at == 0 || records[at - 1].0 < *offset, "{mode:?}: out of order");
        assert_eq!(value, &values[*offset as usize], "{mode:?}");
    }
    let next = append(&log, &batch(&["after the crash"])).unwrap();
    assert_eq!(next.base_offset, records.last().map_or(0, |(offset, _)| offset + 1));
    log.flush().unwrap();
    // A second crash, right after the recovery, takes nothing of what readers saw.
    drop(manager);
    let (_manager, log) = reopen(&crashed.crash(CrashMode::LoseUnsynced), small());
    assert_eq!(records_from(&log, 0).len(), records.len() + 1, "{mode:?}");
}

#[test]
fn synced_records_survive_every_crash() {
    let (files, manager, log) = store(small());
    let values: Vec<String> =
        (0..60).map(|at| format!("value {at} {}", "y".repeat(at * 7 % 90))).collect();
    let mut synced = 0;
    for (at, value) in values.iter().enumerate() {
        append(&log, &batch(&[value])).unwrap();
        if at % 9 == 4 {
            log.flush().unwrap();
            synced = at + 1;
        }
        if at == 30 {
            manager.checkpoint().unwrap();
        }
        if at % 7 == 0 {
            for mode in modes() {
                if synced > 0 {
                    check_after_crash(&files, mode, &values, synced);
                }
            }
        }
    }
}

/// A single batch of a new epoch below the recovery point: recovery scans its segment, and must neither forget the epoch nor take the batch
/// for a damaged one. A leader that forgot it would cut its followers' logs for ever.
#[test]
fn an_epoch_of_one_batch_survives_every_crash() {
    let (files, manager, log) = store(config());
    log.set_leader(0).unwrap();
    for _ in 0..3 {
        append(&log, &batch(&["of the first leader"])).unwrap();
    }
    log.set_leader(4).unwrap();
    append(&log, &batch(&["of the second"])).unwrap();
    log.flush().unwrap();
    manager.checkpoint().unwrap();
    for mode in modes() {
        let crashed = files.crash(mode);
        let (_manager, log) = reopen(&crashed, config());
        let end = |epoch| log.end_offset_for_epoch(-1, epoch).unwrap().end_offset;
        assert_eq!((end(0), end(4)), (3, 4), "{mode:?}");
    }
}

/// A follower cuts what its new leader does not have, and writes what that has in its place. The power fails: of what was there before the
/// cut nothing may be left between the new records, which would then look like damage in the middle of the log.
#[test]
fn nothing_of_a_cut_tail_comes_back_between_new_records() {
    let values = |name: &str| -> Vec<String> {
        (0..8).map(|at| format!("{name} {at} {}", "x".repeat(100 + at * 40))).collect()
    };
    let (files, _manager, log) = store(config());
    log.set_leader(0).unwrap();
    let (old, new) = (values("old"), values("new"));
    for value in &old {
        append(&log, &batch(&[value])).unwrap();
    }
    log.flush().unwrap();
    log.follow(1, 2).unwrap();
    log.truncate_as_follower(1, 1).unwrap();
    log.set_leader(2).unwrap();
    for value in &new {
        append(&log, &batch(&[value])).unwrap();
    }
    for seed in 0..400 {
        let (_manager, log) = reopen(&files.crash(CrashMode::KeepSome(seed)), config());
        assert_eq!(log.quarantined(), None, "seed {seed}");
        let records = records_from(&log, 0);
        assert_eq!(log.state().log_end_offset, records.len() as i64, "seed {seed}: a hole");
        for (at, (offset, value)) in records.iter().enumerate() {
            assert_eq!(*offset, at as i64, "seed {seed}");
            let expected = if at == 0 { &old[0] } else { &new[at - 1] };
            assert_eq!(value, expected, "seed {seed}");
        }
    }
}

/// A batch that begins in the last few bytes of a sector, which is lost where the next one is kept: its base offset is zeros then and all else
/// is there. That is a lost write, not damage.
#[test]
fn a_batch_that_lost_only_its_first_bytes_was_never_written() {
    let (files, _manager, log) = store(config());
    let append = |value: &str| {
        log.append(&mut batch(&[value]), &AppendRequest { acks: 1, ..request() }).unwrap();
    };
    for at in 0..3 {
        append(&format!("synced {at}"));
    }
    log.flush().unwrap();
    let mut met = 0;
    for at in 0..120 {
        append("x".repeat(at % 37).as_str());
        append(&"y".repeat(40));
        append(&"z".repeat(40));
        let ends = log.state().log_end_offset;
        for seed in 0..12 {
            let (_manager, log) = reopen(&files.crash(CrashMode::KeepSome(seed)), config());
            assert_eq!(log.quarantined(), None, "{at} {seed}");
            let end = log.state().log_end_offset;
            assert_eq!(records_from(&log, 0).len() as i64, end, "{at} {seed}: a hole");
            met += u32::from(end < ends);
        }
        log.flush().unwrap();
    }
    assert!(met > 100, "{met}");
}

/// The length of a closed segment's last batch grew by a flipped bit, and the process was killed: the batch seems to be cut short, as a lost write
/// would be, but all of it is there. What follows stays.
#[test]
fn a_wrong_length_at_the_end_of_a_segment_is_damage() {
    let (files, _manager, log) = store(small());
    for at in 0..12 {
        append(&log, &batch(&[&format!("value {at} {}", "z".repeat(120))])).unwrap();
    }
    let crashed = files.crash(CrashMode::ProcessOnly);
    let mut bytes = crashed.content(Path::new(LOG)).unwrap();
    let size = bytes.len() / 3;
    assert_eq!(headers(&bytes).len(), 3, "of the first segment");
    bytes[2 * size + 9] ^= 8;
    crashed.put(Path::new(LOG), bytes);
    let (_manager, log) = reopen(&crashed, small());
    assert_eq!(log.quarantined(), None);
    assert_eq!(log.state().log_end_offset, 12);
    let codes: Vec<i16> = (0..12).map(|at| log.read(&read_request(at)).code.0).collect();
    assert_eq!(codes, [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// A log that is on disk up to offset 40, and says so in the checkpoint, is cut to offset 6 and takes records of another epoch that nobody
/// syncs. The power fails: where those end in a torn write, the log ends, below the old recovery point too, and it knows their epoch.
#[test]
fn what_grows_after_a_cut_below_the_recovery_point_is_not_taken_for_safe() {
    for is_checkpointed in [false, true] {
        let (files, manager, log) = store(config());
        log.set_leader(0).unwrap();
        // With acks=1 nobody asks for a sync: what is on disk is what the lines below say.
        let append = |value: String| {
            log.append(&mut batch(&[&value]), &AppendRequest { acks: 1, ..request() }).unwrap();
        };
        (0..40).for_each(|at| append(format!("old {at} {}", "x".repeat(80))));
        log.flush().unwrap();
        manager.checkpoint().unwrap();
        log.truncate_to(6).unwrap();
        log.set_leader(2).unwrap();
        (0..12).for_each(|at| append(format!("new {at} {}", "y".repeat(200))));
        if is_checkpointed {
            manager.checkpoint().unwrap();
        }
        let mut ends = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let crashed = files.crash(CrashMode::KeepSome(seed));
            let (_manager, log) = reopen(&crashed, config());
            assert_eq!(log.quarantined(), None, "seed {seed}");
            let records = records_from(&log, 0);
            let end = log.state().log_end_offset;
            assert_eq!(end, records.len() as i64, "seed {seed}: a hole");
            for (at, (_, value)) in records.iter().enumerate().skip(6) {
                assert!(value.starts_with(&format!("new {}", at - 6)), "seed {seed}: {value}");
            }
            if end > 6 {
                let of_epoch = log.end_offset_for_epoch(-1, 0).unwrap();
                assert_eq!((of_epoch.epoch, of_epoch.end_offset), (0, 6), "seed {seed}");
            }
            ends.insert(end);
        }
        assert!(ends.len() > 3, "the crashes differ: {ends:?}");
    }
}

/// A partition is deleted and created again: what the checkpoint said of the former one is not believed of the new one.
#[test]
fn a_partition_that_is_created_again_is_not_taken_for_the_former_one() {
    let (files, manager, log) = store(config());
    for at in 0..20 {
        append(&log, &batch(&[&format!("old {at}")])).unwrap();
    }
    log.flush().unwrap();
    manager.checkpoint().unwrap();
    manager.delete_partition(&log).unwrap();
    let log = manager.create_partition("t", 0, TopicId([8; 16]), None, config()).unwrap();
    for at in 0..6 {
        let mut bytes = batch(&[&format!("new {at} {}", "y".repeat(300))]);
        log.append(&mut bytes, &AppendRequest { acks: 1, ..request() }).unwrap();
    }
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let crashed = files.crash(CrashMode::KeepSome(seed));
        let manager = try_open(&crashed, options("/d")).unwrap();
        let Some(log) = manager.partition("t", 0) else { continue };
        assert_eq!(log.quarantined(), None, "seed {seed}");
        let records = records_from(&log, 0);
        assert_eq!(log.state().log_end_offset, records.len() as i64, "seed {seed}: a hole");
        ends.insert(records.len());
    }
    assert!(ends.len() > 2, "{ends:?}");
}

/// The mark of such a cut goes with the next checkpoint, and without room for it nothing is cut.
#[test]
fn a_cut_below_the_recovery_point_is_marked_until_the_next_checkpoint() {
    let mark = Path::new("/d/t-0/cut-offset-checkpoint");
    let (files, manager, log) = store(config());
    log.set_leader(0).unwrap();
    for at in 0..20 {
        append(&log, &batch(&[&format!("value {at}")])).unwrap();
    }
    log.flush().unwrap();
    log.truncate_to(18).unwrap();
    assert!(!files.paths().iter().any(|path| path == mark), "no checkpoint says otherwise");
    manager.checkpoint().unwrap();
    files.set_capacity(Some(files.used_bytes()));
    assert!(log.truncate_to(9).is_err());
    assert_eq!(log.state().log_end_offset, 18);
    files.set_capacity(None);
    log.truncate_to(9).unwrap();
    let marked = files.content(mark).expect("a mark");
    log.truncate_to(9).unwrap();
    log.truncate_to(5).unwrap();
    assert_ne!(files.content(mark).expect("a lower mark"), marked);
    for damaged in [Vec::new(), b"rubbish".to_vec()] {
        let crashed = files.crash(CrashMode::LoseUnsynced);
        crashed.put(mark, damaged);
        let (_manager, log) = reopen(&crashed, config());
        assert_eq!(records_from(&log, 0).len(), 5);
    }
    manager.checkpoint().unwrap();
    assert!(!files.paths().iter().any(|path| path == mark));
    log.truncate_fully_and_start_at(2).unwrap();
    assert!(files.paths().iter().any(|path| path == mark));
    assert_eq!(log.state().log_end_offset, 2);
}

#[test]
fn retries_are_known_after_rolls_and_a_crash() {
    let (files, _manager, log) = store(small());
    for at in 0..5 {
        append(&log, &sequenced(1, 0, at, &["from the producer that falls silent"])).unwrap();
    }
    // What others write rolls segments, each with a snapshot, until the silent producer's batches are many segments back.
    let filler = "z".repeat(300);
    for _ in 0..20 {
        append(&log, &batch(&[&filler])).unwrap();
    }
    assert!(log.state().segment_count > 5);
    log.flush().unwrap();
    for mode in [CrashMode::ProcessOnly, CrashMode::LoseUnsynced] {
        let (_manager, log) = reopen(&files.crash(mode), small());
        for at in 0..5 {
            let again =
                append(&log, &sequenced(1, 0, at, &["from the producer that falls silent"]));
            let again = again.unwrap();
            assert!(again.is_duplicate, "{mode:?}: batch {at}");
            assert_eq!(again.base_offset, i64::from(at), "{mode:?}");
        }
        assert_eq!(code(&log, &sequenced(1, 0, 7, &["a gap"])), 45, "{mode:?}");
        append(&log, &sequenced(1, 0, 5, &["the next"])).unwrap();
    }
}

#[test]
fn a_crash_at_any_failpoint_is_survived() {
    let places = [
        Failpoint::BeforeAppend,
        Failpoint::AfterAppend,
        Failpoint::BeforeIndex,
        Failpoint::AfterIndex,
        Failpoint::BeforeSync,
        Failpoint::AfterSync,
        Failpoint::BeforeRoll,
        Failpoint::AfterRoll,
        Failpoint::BeforeCheckpoint,
        Failpoint::AfterCheckpoint,
        Failpoint::BeforeSnapshot,
        Failpoint::AfterSnapshot,
    ];
    for place in places {
        let (files, manager, log) = store(small());
        let clones: Arc<Mutex<Vec<(usize, MemoryFileSystem)>>> = Arc::default();
        let synced = Arc::new(Mutex::new(0));
        let (to, from, count) = (Arc::clone(&clones), files.clone(), Arc::clone(&synced));
        let values: Vec<String> =
            (0..40).map(|at| format!("value {at} {}", "z".repeat(40))).collect();
        append(&log, &batch(&[&values[0]])).unwrap();
        log.flush().unwrap();
        manager.failpoints().arm(place, move || {
            let mut clones = to.lock().unwrap();
            let seed = clones.len() as u64;
            if seed < 60 {
                clones.push((*count.lock().unwrap(), from.crash(CrashMode::KeepSome(seed))));
            }
            Ok(())
        });
        *synced.lock().unwrap() = 1;
        for (at, value) in values.iter().enumerate().skip(1) {
            append(&log, &batch(&[value])).unwrap();
            if at % 5 == 0 {
                log.flush().unwrap();
                *synced.lock().unwrap() = at + 1;
            }
            if at % 13 == 0 {
                manager.checkpoint().unwrap();
            }
        }
        manager.close().unwrap();
        manager.failpoints().clear();
        let clones = std::mem::take(&mut *clones.lock().unwrap());
        assert!(!clones.is_empty(), "{place:?} was never passed");
        for (number, (synced, crashed)) in clones.into_iter().enumerate() {
            eprintln!("{place:?}, clone {number}, {synced} synced");
            check_after_crash(&crashed, CrashMode::ProcessOnly, &values, synced);
        }
    }
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let (files, _manager, log) = store(config());
    append(&log, &batch(&["first"])).unwrap();
    append(&log, &batch(&["second"])).unwrap();
    let whole = files.content(Path::new(LOG)).unwrap();
    let kept = whole.len();
    append(&log, &batch(&["third, to be torn"])).unwrap();
    let all = files.content(Path::new(LOG)).unwrap();
    for length in kept..=all.len() {
        for is_zeroed in [false, true] {
            let crashed = files.crash(CrashMode::ProcessOnly);
            let mut torn = all[..length].to_vec();
            if is_zeroed {
                torn.resize(all.len(), 0);
            }
            crashed.put(Path::new(LOG), torn);
            let (_manager, log) = reopen(&crashed, config());
            let count = if length == all.len() { 3 } else { 2 };
            // A zero tail can be what the batch had there.
            assert!(
                [count, if is_zeroed { 3 } else { count }].contains(&(records_from(&log, 0).len())),
                "torn at {length}"
            );
            assert_eq!(log.quarantined(), None);
            let end = log.state().log_end_offset;
            assert_eq!(append(&log, &batch(&["next"])).unwrap().base_offset, end);
        }
    }
}

type Damage = Box<dyn Fn(Vec<u8>) -> Vec<u8>>;

#[test]
fn damaged_side_files_never_stop_the_store() {
    for is_clean in [true, false] {
        let config = LogConfig { segment_bytes: 2000, ..config() };
        let (files, manager, log) = store(config.clone());
        log.set_leader(1).unwrap();
        for at in 0..60 {
            append(&log, &sequenced(5, 0, at, &["some value of a certain length"])).unwrap();
        }
        manager.checkpoint().unwrap();
        if is_clean {
            manager.close().unwrap();
        }
        drop(manager);
        let side_files: Vec<PathBuf> = files
            .paths()
            .into_iter()
            .filter(|path| {
                let name = path.to_string_lossy();
                !name.ends_with(".log")
                    && !name.ends_with("meta.properties")
                    && !name.ends_with(".lock")
            })
            .collect();
        assert!(side_files.len() > 5);
        let stale =
            files.content(Path::new("/d/t-0/00000000000000000000.index")).unwrap_or_default();
        let damages: Vec<(&str, Damage)> = vec![
            ("emptied", Box::new(|_| vec![])),
            ("halved", Box::new(|bytes| bytes[..bytes.len() / 2].to_vec())),
            ("zeroed", Box::new(|bytes| vec![0; bytes.len()])),
            ("padded", Box::new(|bytes| [bytes, vec![0; 4096]].concat())),
            (
                "noise",
                Box::new(|bytes| {
                    (0..bytes.len().max(64)).map(|at| (at * 37 % 251) as u8).collect()
                }),
            ),
            ("stale", Box::new(move |_| stale.clone())),
            ("all ones", Box::new(|bytes| vec![0xff; bytes.len()])),
        ];
        for (name, damage) in &damages {
            for victim in side_files.iter().map(Some).chain([None]) {
                let crashed = files.crash(CrashMode::ProcessOnly);
                for path in &side_files {
                    if victim.is_none_or(|victim| victim == path) {
                        crashed.put(path, damage(crashed.content(path).unwrap()));
                    }
                }
                let (_manager, log) = reopen(&crashed, config.clone());
                let what = format!("{name}, {victim:?}, clean {is_clean}");
                assert_eq!(log.quarantined(), None, "{what}");
                for from in [0, 13, 37, 59] {
                    assert_eq!(records_from(&log, from).len() as i64, 60 - from, "{what}");
                }
                let found =
                    log.offset_for_timestamp(NOW_MS, sluice_log::Isolation::ReadUncommitted, -1);
                assert_eq!((found.code.0, found.offset), (0, 0), "{what}");
                assert_eq!(
                    code(&log, &sequenced(5, 0, 59, &["some value of a certain length"])),
                    0,
                    "{what}"
                );
                assert_eq!(log.state().log_end_offset, 60, "{what}: a duplicate stays one");
                assert_eq!(code(&log, &sequenced(5, 0, 61, &["gap"])), 45, "{what}");
            }
        }
    }
}

#[test]
fn a_failed_fsync_poisons_the_directory() {
    let (files, manager, log) = store(config());
    let all = AppendRequest { acks: -1, ..request() };
    let outcome = log.append(&mut batch(&["durable"]), &all).unwrap();
    log.flush().unwrap();
    assert!(log.flushed_offset() > outcome.last_offset);
    files.inject(Fault {
        operation: Operation::Sync,
        path_contains: ".log".to_owned(),
        skip: 0,
        count: 1,
        kind: FaultKind::InputOutput,
    });
    let outcome = log.append(&mut batch(&["lost"]), &all).unwrap();
    assert_eq!(log.flush().err().map(|error| error.code), Some("LOG_POISONED"));
    assert_eq!(log.flushed_offset(), outcome.last_offset, "never acknowledged");
    // No retry: the fault is over, and still nothing is written.
    assert_eq!(code(&log, &batch(&["x"])), 56);
    assert!(log.flush().is_err());
    assert!(manager.describe()[0].error.is_some());
    assert_eq!(
        bytes_of(&log.read(&read_request(0))).len(),
        batch(&["durable"]).len() + batch(&["lost"]).len()
    );
    assert!(manager.close().is_ok() || manager.close().is_ok());
    drop(manager);
    let (manager, log) = reopen(&files.crash(CrashMode::LoseUnsynced), config());
    assert!(!manager.report().was_clean);
    assert_eq!(records_from(&log, 0), [(0, "durable".to_owned())]);
    append(&log, &batch(&["works again"])).unwrap();
}

/// The kernel calls pages clean that never reached the disk: what a restart keeps must be what a power cut after it leaves.
#[test]
fn after_a_failed_fsync_only_the_disk_is_believed() {
    for whole in [false, true] {
        let (files, manager, log) = store(config());
        append(&log, &batch(&["durable"])).unwrap();
        log.flush().unwrap();
        append(&log, &batch(&["lost"])).unwrap();
        files.inject(Fault {
            operation: Operation::Sync,
            path_contains: ".log".to_owned(),
            skip: 0,
            count: 1,
            kind: FaultKind::InputOutput,
        });
        assert!(log.flush().is_err());
        drop((manager, log));
        let killed = if whole { files.crash(CrashMode::ProcessOnly) } else { files };
        let (manager, log) = reopen(&killed, config());
        assert!(!manager.report().was_clean);
        assert_eq!(records_from(&log, 0), [(0, "durable".to_owned())]);
        append(&log, &batch(&["after"])).unwrap();
        log.flush().unwrap();
        let expected = [(0, "durable".to_owned()), (1, "after".to_owned())];
        assert_eq!(records_from(&log, 0), expected);
        manager.close().unwrap();
        drop((manager, log));
        // The distrust is over: a clean stop is a clean stop again, and nothing was promised that the disk does not have.
        let (manager, log) = reopen(&killed.crash(CrashMode::LoseUnsynced), config());
        assert!(manager.report().was_clean);
        assert_eq!(records_from(&log, 0), expected);
    }
}

/// Who waits for another partition of the directory must not wait for its time to run out.
#[test]
fn a_failed_fsync_is_told_to_all_partitions() {
    struct Told(AtomicUsize);
    impl LogListener for Told {
        fn on_change(&self, _change: Change) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (files, manager, first) = store(config());
    let second = manager.create_partition("t", 1, TopicId([8; 16]), None, config()).unwrap();
    append(&second, &batch(&["waits"])).unwrap();
    assert_eq!(second.write_refusal(), None);
    let told = Arc::new(Told(AtomicUsize::new(0)));
    second.add_listener(Arc::clone(&told) as Arc<dyn LogListener>);
    files.inject(Fault {
        operation: Operation::Sync,
        path_contains: "t-0".to_owned(),
        skip: 0,
        count: 1,
        kind: FaultKind::InputOutput,
    });
    append(&first, &batch(&["fails"])).unwrap();
    assert!(first.flush().is_err());
    assert_eq!(told.0.load(Ordering::Relaxed), 0);
    assert!(second.flush().is_err());
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
    assert_eq!(second.write_refusal().map(|code| code.0), Some(56));
    assert_eq!(second.flushed_offset(), 0);
}

#[test]
fn a_full_disk_is_answered_and_overcome() {
    for kind in [FaultKind::NoSpace, FaultKind::ReadOnly, FaultKind::ShortWrite(9)] {
        let (files, manager, log) = store(small());
        append(&log, &sequenced(4, 0, 0, &["before"])).unwrap();
        files.inject(Fault {
            operation: Operation::Write,
            path_contains: ".log".to_owned(),
            skip: 0,
            count: if matches!(kind, FaultKind::ShortWrite(_)) { 4 } else { 3 },
            kind,
        });
        let mut answers = Vec::new();
        for sequence in 1..6 {
            let mut answer = code(&log, &sequenced(4, 0, sequence, &["during"]));
            while answer != 0 {
                answers.push(answer);
                manager.sample_space();
                answer = code(&log, &sequenced(4, 0, sequence, &["during"]));
            }
        }
        if matches!(kind, FaultKind::ShortWrite(_)) {
            assert_eq!(answers, [] as [i16; 0], "short writes are continued");
        } else {
            assert_eq!(answers, [56, 56, 56]);
        }
        assert_eq!(records_from(&log, 0).len(), 6);
        assert!(log.is_healthy());
        drop(manager);
        let (_manager, log) = reopen(&files, small());
        assert_eq!(records_from(&log, 0).len(), 6);
    }
}

#[test]
fn every_fault_at_every_place_leaves_a_log_that_opens() {
    let operations = [
        Operation::Open,
        Operation::Write,
        Operation::SetLength,
        Operation::Sync,
        Operation::SyncDirectory,
        Operation::Rename,
    ];
    for operation in operations {
        for skip in 0..25 {
            let (files, manager, log) = store(small());
            files.inject(Fault {
                operation,
                path_contains: String::new(),
                skip,
                count: 1,
                kind: FaultKind::InputOutput,
            });
            let mut acknowledged = Vec::new();
            for at in 0..25 {
                let value = format!("value {at} {}", "w".repeat(60));
                if let Ok(outcome) = append(&log, &batch(&[&value]))
                    && at % 4 == 3
                    && log.flush().is_ok()
                {
                    acknowledged.push((outcome.base_offset, value));
                }
                if at == 12 {
                    let _ = manager.checkpoint();
                }
            }
            let _ = manager.close();
            drop(manager);
            files.clear_faults();
            let (_manager, log) = reopen(&files.crash(CrashMode::LoseUnsynced), small());
            assert_eq!(log.quarantined(), None, "{operation:?} number {skip}");
            let records = records_from(&log, 0);
            for entry in acknowledged {
                assert!(records.contains(&entry), "{operation:?} number {skip}: {entry:?} is lost");
            }
        }
    }
}

#[test]
fn a_crash_during_recovery_counts_as_unclean() {
    let (files, manager, log) = store(config());
    append(&log, &batch(&["a"])).unwrap();
    manager.close().unwrap();
    drop(manager);
    assert!(files.content(Path::new("/d/.kafka_cleanshutdown")).is_some());
    let (manager, _log) = reopen(&files, config());
    assert!(manager.report().was_clean);
    assert!(
        files
            .crash(CrashMode::LoseUnsynced)
            .content(Path::new("/d/.kafka_cleanshutdown"))
            .is_none()
    );
}

#[test]
fn one_failing_directory_does_not_stop_the_others() {
    let files = MemoryFileSystem::new();
    let mut two = options("/d");
    two.dirs.push("/broken".to_owned());
    files.inject(Fault {
        operation: Operation::CreateDirectory,
        path_contains: "/broken".to_owned(),
        skip: 0,
        count: 1,
        kind: FaultKind::InputOutput,
    });
    let manager = try_open(&files, two).unwrap();
    let report = manager.report();
    assert_eq!(
        report.dirs.iter().map(|dir| dir.error.is_some()).collect::<Vec<_>>(),
        [false, true]
    );
    let log = manager.create_partition("t", 0, sluice_log::TopicId::ZERO, None, config()).unwrap();
    append(&log, &batch(&["x"])).unwrap();
}

#[test]
fn reads_that_are_asked_to_verify_never_serve_rot() {
    let (files, manager, log) = store(config());
    for at in 0..5 {
        append(&log, &batch_of(BatchOptions::default(), NOW_MS, &[&format!("value {at}")]))
            .unwrap();
    }
    manager.close().unwrap();
    drop(manager);
    let mut content = files.content(Path::new(LOG)).unwrap();
    let size = content.len() / 5;
    content[2 * size + 70] ^= 1;
    files.put(Path::new(LOG), content);
    // Make the index cover the tail, so that the clean start has no reason to look there.
    let mut options = options("/d");
    options.verify_on_read = true;
    let manager = try_open(&files, options).unwrap();
    let log = manager.partition("t", 0).unwrap();
    if log.quarantined().is_none() {
        assert_eq!(bytes_of(&log.read(&read_request(0))).len(), 2 * size);
        assert_eq!(log.read(&read_request(2)).code.0, 2);
        assert_eq!(bytes_of(&log.read(&read_request(3))).len(), 2 * size);
    }
}
