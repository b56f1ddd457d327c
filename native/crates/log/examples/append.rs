//! What appends cost, to be looked at with `perf stat`, `perf record` or `valgrind --tool=callgrind`:
//! `cargo run --release --example append -- <directory> <small|sequenced|large> <requests> [group size]`.
//!
//! `small`: one record of 100 bytes a request; `sequenced`: the same of 64 idempotent producers in turn; `large`: 128 KiB of such
//! records a request.
// A driver to be measured: a panic is how it says that something failed.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use sluice_log::records::{BatchBuilder, BatchOptions};
use sluice_log::{
    AppendLimits, AppendRequest, GroupedAppend, LogConfig, LogManager, Origin, PartitionLog,
    StoreOptions, TopicId,
};

const NOW_MS: i64 = 1_700_000_000_000;
const PRODUCERS: usize = 64;
const LIMITS: AppendLimits = AppendLimits { inline_bytes: 1 << 20 };

fn batch(count: usize, producer: Option<(i64, i32)>) -> Vec<u8> {
    let mut options = BatchOptions::default();
    if let Some((producer_id, base_sequence)) = producer {
        options = BatchOptions { producer_id, producer_epoch: 0, base_sequence, ..options };
    }
    let mut builder = BatchBuilder::new(options);
    for index in 0..count {
        builder.append(NOW_MS + (index / 100) as i64, None, Some(&[7; 100]), []);
    }
    builder.finish().unwrap()
}

fn append_each(log: &PartitionLog, batches: &mut [Vec<u8>]) {
    let request =
        AppendRequest { leader_epoch: -1, acks: 1, origin: Origin::Client, now_ms: NOW_MS };
    for batch in batches {
        log.append_within(batch, &request, &LIMITS).unwrap();
    }
}

fn append_grouped(log: &PartitionLog, batches: &mut [Vec<u8>], size: usize) {
    for group in batches.chunks_mut(size) {
        let mut requests: Vec<GroupedAppend<'_>> = group
            .iter_mut()
            .map(|records| GroupedAppend { records, leader_epoch: -1, acks: 1, outcome: None })
            .collect();
        log.append_group(&mut requests, NOW_MS, &LIMITS);
        assert!(requests.iter().all(|request| matches!(request.outcome, Some(Ok(_)))));
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap();
    let kind = arguments.next().unwrap();
    let count: usize = arguments.next().unwrap().parse().unwrap();
    let group: usize = arguments.next().map_or(1, |size| size.parse().unwrap());
    let json = format!(r#"{{"dirs":[{dir:?}],"nodeId":1}}"#);
    let options: StoreOptions = serde_json::from_str(&json).unwrap();
    let manager = LogManager::open(options, Arc::default()).unwrap();
    let log =
        manager.create_partition("costs", 0, TopicId::ZERO, None, LogConfig::default()).unwrap();
    let of = |index: usize| match kind.as_str() {
        "small" => batch(1, None),
        "sequenced" => batch(1, Some(((index % PRODUCERS) as i64, (index / PRODUCERS) as i32))),
        "large" => batch(1200, None),
        other => panic!("{other}: small, sequenced or large"),
    };
    let mut left = count;
    let mut done = 0;
    let mut elapsed = 0.0;
    while left > 0 {
        let mut batches: Vec<Vec<u8>> = (0..left.min(1024)).map(|at| of(done + at)).collect();
        left -= batches.len();
        done += batches.len();
        let started = Instant::now();
        if group > 1 {
            append_grouped(&log, &mut batches, group);
        } else {
            append_each(&log, &mut batches);
        }
        elapsed += started.elapsed().as_secs_f64();
    }
    println!("{kind} {count} in groups of {group}: {:.2} us each", elapsed * 1e6 / count as f64);
    manager.delete_partition(&log).unwrap();
    manager.close().unwrap();
}
