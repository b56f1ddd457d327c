//! One node on a disk that crashes, fails, fills up, loses files and flips bits. What the node acknowledged is there when it starts
//! again, or it does not start and says why.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_log::LogError;
use sluice_log::io::{CrashMode, Fault, FaultKind, FileSystem, MemoryFileSystem, Operation};
use sluice_raft::{Node, NodeOptions, RaftFailure, Random, Ready, Role};

const DIRECTORY: &str = "/metadata";

fn options(id: i64) -> NodeOptions {
    NodeOptions {
        id,
        voters: vec![id],
        learners: Vec::new(),
        election_ticks: 10,
        heartbeat_ticks: 2,
        seed: 1,
        max_frame_bytes: 1 << 20,
        first_snapshot: None,
        acknowledge_early: false,
    }
}

fn open(files: &MemoryFileSystem) -> Result<Node, LogError> {
    Node::open_files(options(1), Arc::new(files.clone()), Path::new(DIRECTORY), None)
}

#[derive(Default)]
struct Applied {
    snapshot: Option<Vec<u8>>,
    records: Vec<Vec<u8>>,
    last: u64,
}

impl Applied {
    fn take(&mut self, ready: Ready) {
        if let Some((index, _, data)) = ready.snapshot {
            self.snapshot = Some(data.to_vec());
            self.records.clear();
            self.last = index;
        }
        for entry in ready.committed {
            self.last = entry.index;
            if !entry.data.is_empty() {
                self.records.push(entry.data.to_vec());
            }
        }
    }
}

fn pump(node: &mut Node, applied: &mut Applied) -> Result<(), LogError> {
    loop {
        if let Some(ready) = node.ready() {
            applied.take(ready);
        } else if node.needs_persist() {
            let outcome = node.begin_persist()?.run();
            node.end_persist(outcome)?;
            applied.take(node.persisted());
        } else {
            return Ok(());
        }
    }
}

/// Opens, becomes leader and applies all there is.
fn start(files: &MemoryFileSystem) -> Result<(Node, Applied), LogError> {
    let mut node = open(files)?;
    let mut applied = Applied::default();
    node.campaign();
    pump(&mut node, &mut applied)?;
    assert_eq!(node.status().role, Role::Leader);
    Ok((node, applied))
}

fn value(number: usize, bytes: usize) -> Vec<u8> {
    let mut value = format!("{number:08}").into_bytes();
    let mut random = Random::new(number as u64);
    value.resize_with(bytes.max(8), || random.next_u64() as u8 | 1);
    value
}

fn commit(node: &mut Node, applied: &mut Applied, number: usize) -> Result<(), LogError> {
    node.propose(&value(number, 40 + number * 13 % 900)).unwrap();
    pump(node, applied)
}

fn log_files(files: &MemoryFileSystem) -> Vec<PathBuf> {
    let mut paths = files.paths();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

#[test]
fn what_was_committed_survives_a_clean_stop_and_a_power_cut() {
    let files = MemoryFileSystem::new();
    let (mut node, mut applied) = start(&files).unwrap();
    for number in 0..20 {
        commit(&mut node, &mut applied, number).unwrap();
    }
    let term = node.status().term;
    for mode in [CrashMode::LoseUnsynced, CrashMode::ProcessOnly, CrashMode::KeepSome(9)] {
        let (again, found) = start(&files.crash(mode)).unwrap();
        assert_eq!(found.records, applied.records, "{mode:?}");
        assert!(again.status().term > term);
    }
    node.close().unwrap();
    let (_, found) = start(&files).unwrap();
    assert_eq!(found.records, applied.records);
}

#[test]
fn any_failing_call_leaves_all_that_was_acknowledged() {
    let mut failed = 0;
    for seed in 0..250 {
        let mut random = Random::new(seed);
        let files = MemoryFileSystem::new();
        let (mut node, mut applied) = start(&files).unwrap();
        let operations =
            [Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncDirectory];
        files.inject(Fault {
            operation: operations[random.below(4) as usize],
            path_contains: String::new(),
            skip: random.below(12),
            count: 1,
            kind: if random.percent(50) {
                FaultKind::InputOutput
            } else {
                FaultKind::ShortWrite(1 + random.below(60) as usize)
            },
        });
        let mut number = 0;
        let result = loop {
            if number == 12 {
                break Ok(());
            }
            let result = commit(&mut node, &mut applied, number);
            number += 1;
            if result.is_err() {
                break result;
            }
            if number == 6 {
                let image = applied.last.to_be_bytes();
                assert!(node.snapshot(applied.last, &image));
                if let Err(error) = pump(&mut node, &mut applied) {
                    break Err(error);
                }
            }
        };
        if let Err(error) = result {
            failed += 1;
            assert_eq!(error.code, RaftFailure::POISONED, "seed {seed}: {error}");
            assert!(!node.tick(), "a failed write stops the node");
            assert_eq!(node.begin_persist().err().unwrap().code, RaftFailure::POISONED);
        }
        let (_, found) = start(&files.crash(CrashMode::KeepSome(seed)))
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        // An image stands for the first six, if it got that far.
        let expected: Vec<Vec<u8>> =
            (0..applied.records.len()).map(|at| applied.records[at].clone()).collect();
        let missing = if found.snapshot.is_some() { 6 } else { 0 };
        let kept = &found.records[..];
        let promised = &expected[missing..];
        assert!(
            kept.len() >= promised.len() && &kept[..promised.len()] == promised,
            "seed {seed}: {} of {} records",
            kept.len(),
            promised.len()
        );
    }
    assert!(failed > 50, "only {failed} runs met their fault");
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let files = MemoryFileSystem::new();
    let (mut node, mut applied) = start(&files).unwrap();
    for number in 0..6 {
        commit(&mut node, &mut applied, number).unwrap();
    }
    assert!(node.snapshot(applied.last, b"image"));
    pump(&mut node, &mut applied).unwrap();
    for number in 6..9 {
        commit(&mut node, &mut applied, number).unwrap();
    }
    let crashed = files.crash(CrashMode::ProcessOnly);
    let (mut refused, mut harmless) = (0, 0);
    for path in crashed.paths() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if !is_log && !name.starts_with("raft-") {
            continue;
        }
        let content = crashed.content(&path).unwrap();
        for at in (0..content.len()).step_by(if is_log { 3 } else { 1 }) {
            let damaged = crashed.crash(CrashMode::ProcessOnly);
            let mut bytes = content.clone();
            bytes[at] ^= 1 << (at % 8);
            damaged.put(&path, bytes);
            match start(&damaged) {
                Err(error) => {
                    assert_eq!(error.code, RaftFailure::CORRUPT, "{name} at {at}: {error}");
                    assert!(error.message.contains(&name), "{error}");
                    refused += 1;
                }
                Ok((_, found)) => {
                    assert_eq!(found.records, applied.records[6..], "{name} at {at}");
                    harmless += 1;
                }
            }
        }
    }
    assert!(refused > 500 && harmless < refused / 20, "{refused} refused, {harmless} harmless");
}

#[test]
fn missing_files_stop_the_start() {
    let files = MemoryFileSystem::new();
    let (mut node, mut applied) = start(&files).unwrap();
    for number in 0..5 {
        commit(&mut node, &mut applied, number).unwrap();
    }
    node.close().unwrap();
    for name in ["raft-state", "raft-snapshot", ".log"] {
        let left = files.crash(CrashMode::ProcessOnly);
        for path in left.paths() {
            if path.to_string_lossy().ends_with(name) {
                left.remove_file(&path).unwrap();
            }
        }
        let error = start(&left).err().unwrap_or_else(|| panic!("started without {name}"));
        assert_eq!(error.code, RaftFailure::CORRUPT, "{name}: {error}");
    }
}

#[test]
fn a_torn_tail_that_nobody_was_promised_is_cut() {
    let files = MemoryFileSystem::new();
    let (mut node, mut applied) = start(&files).unwrap();
    for number in 0..5 {
        commit(&mut node, &mut applied, number).unwrap();
    }
    let crashed = files.crash(CrashMode::ProcessOnly);
    let path = log_files(&crashed).pop().unwrap();
    let content = crashed.content(&path).unwrap();
    let sector_end = content.len().next_multiple_of(512);
    for (tail, is_long) in [(1, false), (11, false), (60, false), (100, false), (750, true)] {
        // As a power cut leaves it: too short, or with sectors that were not written.
        let torn = crashed.crash(CrashMode::ProcessOnly);
        let mut bytes = content.clone();
        // The beginning of a batch of 750 bytes.
        let mut batch = vec![1; 750];
        batch[8..12].copy_from_slice(&738i32.to_be_bytes());
        batch[16] = 2;
        bytes.extend(&batch[..tail]);
        if is_long {
            bytes[sector_end..].fill(0);
        }
        torn.put(&path, bytes);
        let (mut again, mut found) =
            start(&torn).unwrap_or_else(|error| panic!("tail of {tail}: {error}"));
        assert_eq!(found.records, applied.records);
        commit(&mut again, &mut found, 77).unwrap();
        let (_, twice) = start(&torn.crash(CrashMode::LoseUnsynced)).unwrap();
        assert_eq!(twice.records, found.records);
    }
}

#[test]
fn a_full_disk_stops_acknowledgements_and_loses_nothing() {
    let files = MemoryFileSystem::new();
    let (mut node, mut applied) = start(&files).unwrap();
    for number in 0..3 {
        commit(&mut node, &mut applied, number).unwrap();
    }
    files.set_capacity(Some(files.used_bytes() + 100));
    let error = commit(&mut node, &mut applied, 3).unwrap_err();
    assert_eq!(error.code, RaftFailure::DISK_FULL);
    assert_eq!(applied.records.len(), 3);
    assert!(node.tick(), "the node lives on");
    assert_eq!(pump(&mut node, &mut applied).unwrap_err().code, RaftFailure::DISK_FULL);
    node.propose(&value(4, 50)).unwrap();
    files.set_capacity(None);
    pump(&mut node, &mut applied).unwrap();
    assert_eq!(applied.records.len(), 5);
    let (_, found) = start(&files.crash(CrashMode::LoseUnsynced)).unwrap();
    assert_eq!(found.records, applied.records);
}

#[test]
fn an_image_lets_the_log_before_it_go() {
    let files = MemoryFileSystem::new();
    let (mut node, mut applied) = start(&files).unwrap();
    // More than a segment, and more than stays behind an image.
    for number in 0..60 {
        node.propose(&value(number, 400_000)).unwrap();
        pump(&mut node, &mut applied).unwrap();
    }
    let segments = log_files(&files).len();
    assert!(segments > 1);
    assert!(node.snapshot(applied.last, b"all of it"));
    assert!(!node.snapshot(applied.last, b"again"));
    pump(&mut node, &mut applied).unwrap();
    assert_eq!(node.status().snapshot_failure, None);
    assert!(log_files(&files).len() < segments);
    assert!(node.status().first_index > 30);
    commit(&mut node, &mut applied, 60).unwrap();
    let (_, found) = start(&files.crash(CrashMode::LoseUnsynced)).unwrap();
    assert_eq!(found.snapshot.as_deref(), Some(&b"all of it"[..]));
    assert_eq!(found.records, applied.records[60..]);
}

#[test]
fn a_directory_has_one_node_and_one_owner() {
    let files = MemoryFileSystem::new();
    let (node, _) = start(&files).unwrap();
    assert_eq!(open(&files).err().unwrap().code, LogError::LOG_DIR_LOCKED);
    drop(node);
    let crashed = files.crash(CrashMode::LoseUnsynced);
    let other = Node::open_files(options(2), Arc::new(crashed), Path::new(DIRECTORY), None);
    let error = other.err().unwrap();
    assert!(error.message.contains("member 1"), "{error}");
}

#[test]
fn a_node_that_was_alone_brings_its_image() {
    let files = MemoryFileSystem::new();
    let first = NodeOptions { first_snapshot: Some(b"old state".to_vec()), ..options(1) };
    let opened =
        Node::open_files(first, Arc::new(files.clone()), Path::new(DIRECTORY), None).unwrap();
    drop(opened);
    let (mut node, mut applied) = start(&files.crash(CrashMode::LoseUnsynced)).unwrap();
    assert_eq!(applied.snapshot.as_deref(), Some(&b"old state"[..]));
    commit(&mut node, &mut applied, 1).unwrap();
}
