//! How long the log itself takes, without sockets: `cargo run --release --example speed -- <directory>`.
//!
//! Appends 128 KiB batches of 1 KiB records, then 200-byte batches, then reads both back by plans alone, then creates 2,000
//! partitions. Run it on a memory file system to see the code, on a disk to see the disk.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use sluice_log::records::{BatchBuilder, BatchOptions};
use sluice_log::{
    AppendRequest, Isolation, LogConfig, LogManager, Origin, PartitionLog, ReadRequest,
    StoreOptions, TopicId,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn batch(count: usize, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..count {
        builder.append(NOW_MS, None, Some(&vec![7; value_bytes]), []);
    }
    builder.finish().unwrap()
}

fn append_all(name: &str, log: &PartitionLog, batch: &[u8], count: usize) {
    let request =
        AppendRequest { leader_epoch: -1, acks: 1, origin: Origin::Client, now_ms: NOW_MS };
    let mut buffer = batch.to_vec();
    let start = Instant::now();
    for _ in 0..count {
        // The log stamps the offset into the caller's bytes: a producer's always begin at 0.
        buffer.copy_from_slice(batch);
        log.append(&mut buffer, &request).unwrap();
    }
    let elapsed = start.elapsed();
    let gib = (count * batch.len()) as f64 / f64::from(1 << 30);
    println!(
        "append {name}: {:.2} us each, {:.2} s/GiB",
        elapsed.as_secs_f64() * 1e6 / count as f64,
        elapsed.as_secs_f64() / gib
    );
}

fn read_all(name: &str, log: &PartitionLog, max_bytes: i64, step: i64) {
    let end = log.state().log_end_offset;
    let start = Instant::now();
    let mut offset = 0;
    let mut count = 0;
    while offset < end {
        let plan = log.read(&ReadRequest {
            offset,
            max_bytes,
            min_one_message: true,
            isolation: Isolation::ReadUncommitted,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            leader_only: false,
            replica: None,
        });
        assert!(plan.bytes() > 0);
        offset += step;
        count += 1;
    }
    println!("plan {name}: {:.2} us each", start.elapsed().as_secs_f64() * 1e6 / f64::from(count));
}

fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "/dev/shm/sluice-speed".to_owned());
    let json = format!(r#"{{"dirs":[{dir:?}],"nodeId":1}}"#);
    let options: StoreOptions = serde_json::from_str(&json).unwrap();
    let manager = LogManager::open(options.clone(), Arc::default()).unwrap();
    let config = LogConfig { file_delete_delay_ms: 0, ..LogConfig::default() };
    let large = manager.create_partition("large", 0, TopicId::ZERO, None, config.clone()).unwrap();
    let small = manager.create_partition("small", 0, TopicId::ZERO, None, config.clone()).unwrap();
    append_all("128 KiB", &large, &batch(127, 1024), 4000);
    append_all("200 B", &small, &batch(1, 130), 200_000);
    read_all("1 MiB of 128 KiB batches", &large, 1 << 20, 8 * 127);
    read_all("4 KiB of 200 B batches", &small, 4096, 17);
    let start = Instant::now();
    for partition in 0..2000 {
        manager.create_partition("many", partition, TopicId::ZERO, None, config.clone()).unwrap();
    }
    println!("create 2000 partitions: {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    drop(manager);
    let manager = LogManager::open(options, Arc::default()).unwrap();
    println!("unclean open: {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    for log in manager.partitions() {
        manager.delete_partition(&log).unwrap();
    }
    println!("delete them: {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    manager.close().unwrap();
    println!("close: {:.2} s", start.elapsed().as_secs_f64());
}
