//! A topic for tests, and what is sent to it.

use std::sync::Arc;

use sluice_log::io::{FileSystem, MemoryFileSystem};
use sluice_log::records::{BatchBuilder, BatchOptions};
use sluice_log::{LogConfig, LogManager, StoreOptions, TopicId};

use crate::{Topic, TopicPartition};

pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
const PARTITIONS: i32 = 3;

/// A topic that is led here, its last partition in another epoch than is known.
pub(crate) fn led_topic(config: &LogConfig) -> (LogManager, Arc<Topic>) {
    let options = StoreOptions {
        dirs: vec!["/d".to_owned()],
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
    let files: Arc<dyn FileSystem> = Arc::new(MemoryFileSystem::new());
    let manager = LogManager::open_stepped(files, options).expect("a store");
    let partitions = (0..PARTITIONS)
        .map(|index| {
            let log = manager
                .create_partition("t", index, TopicId([7; 16]), None, config.clone())
                .expect("a partition");
            log.set_leader(3).expect("the leader");
            // The last one is led in another epoch than is known here.
            let leader_epoch = if index == PARTITIONS - 1 { 2 } else { 3 };
            Some(TopicPartition { log, handle: f64::from(index), leader_epoch })
        })
        .collect();
    let topic = Topic {
        name: "t".to_owned(),
        id: [7; 16],
        token: 1.0,
        partitions,
        traffic: Arc::default(),
    };
    (manager, Arc::new(topic))
}

/// One record, of an idempotent producer where one is named with its sequence.
pub(crate) fn batch(producer: Option<(i64, i32)>) -> Vec<u8> {
    let mut options = BatchOptions::default();
    if let Some((producer_id, base_sequence)) = producer {
        options = BatchOptions { producer_id, producer_epoch: 0, base_sequence, ..options };
    }
    let mut builder = BatchBuilder::new(options);
    builder.append(NOW_MS, None, Some(&[7; 40]), []);
    builder.finish().expect("a batch")
}
