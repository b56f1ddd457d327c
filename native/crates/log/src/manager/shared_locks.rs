//! No lock that partitions share is taken by an append or a read: here all of them are held while another thread appends and reads.
//! A lock that is added to what partitions share belongs into this test, and into `docs/internals/scaling.md`.

// Only in test builds, where a panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::{LogManager, RecoveryProgress};
use crate::config::{LogConfig, StoreOptions};
use crate::records::{BatchBuilder, BatchOptions};
use crate::types::{AppendRequest, Isolation, Origin, ReadRequest, TopicId};

/// Longer than any machine takes for two appends and two reads.
const PATIENCE: Duration = Duration::from_secs(60);

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(1_700_000_000_000, Some(b"k"), Some(b"v"), []);
    builder.finish().unwrap()
}

#[test]
fn an_append_and_a_read_go_on_while_every_shared_lock_is_held() {
    let place = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        dirs: vec![place.path().to_string_lossy().into_owned()],
        cluster_id: None,
        node_id: 1,
        defaults: LogConfig::default(),
        recovery_threads: 1,
        max_open_files: 100,
        disk_reserve_bytes: 0,
        verify_on_read: false,
        in_memory: false,
        scrub_bytes_per_second: 0,
        scrub_interval_ms: 0,
    };
    let manager = LogManager::open(options, Arc::new(RecoveryProgress::new())).unwrap();
    let create = |partition| {
        manager.create_partition("t", partition, TopicId([7; 16]), None, LogConfig::default())
    };
    let (log, neighbour) = (create(0).unwrap(), create(1).unwrap());
    let append = AppendRequest {
        leader_epoch: -1,
        acks: 1,
        origin: Origin::Client,
        now_ms: 1_700_000_000_000,
    };
    // A segment's file is opened by the first append, which may have to close another's: that is no part of the path.
    log.append(&mut batch(), &append).unwrap();

    let directory = manager.directories.first().and_then(Option::as_ref).unwrap();
    let held = (
        manager.partitions.write(),
        manager.locks.lock(),
        directory.hold_all(),
        manager.store.cache.hold_all(),
        manager.store.integrity.hold_all(),
        manager.store.brokers.hold_all(),
        neighbour.hold_for_test(),
    );
    let (done, is_done) = mpsc::channel();
    let worker = std::thread::spawn({
        let log = Arc::clone(&log);
        move || {
            let appended = log.append(&mut batch(), &append).map(|outcome| outcome.base_offset);
            let plan = log.read(&ReadRequest {
                offset: 0,
                max_bytes: 1 << 20,
                min_one_message: true,
                isolation: Isolation::ReadUncommitted,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                leader_only: false,
                replica: None,
            });
            done.send((appended.ok(), plan.bytes() as usize)).unwrap();
        }
    });
    let (base_offset, bytes) =
        is_done.recv_timeout(PATIENCE).expect("a shared lock was waited for");
    drop(held);
    worker.join().unwrap();
    assert_eq!((base_offset, bytes), (Some(1), 2 * batch().len()));
}
