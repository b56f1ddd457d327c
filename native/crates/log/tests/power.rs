//! Random work between crashes of every kind, against a list. What was synced is there after each, what was not is there up to some
//! batch, nothing that was cut or deleted comes back, each epoch begins where it did, and no lost write is taken for damage.
//!
//! More of it: `PROPTEST_CASES=100000 cargo test --release -p sluice-log --test power`.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use sluice_log::io::{CrashMode, MemoryFileSystem};
use sluice_log::{AppendRequest, LogConfig, LogManager, PartitionLog, TopicId};
use support::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        count: usize,
        value_bytes: usize,
    },
    Flush,
    Checkpoint,
    /// To where a batch begins.
    Truncate {
        share: u8,
    },
    /// An empty log that begins so far from the end.
    StartOver {
        gap: i8,
    },
    DeleteRecords {
        share: u8,
    },
    Epoch,
    CreateAgain,
    Close,
    Kill,
    LoseUnsynced,
    KeepSome {
        seed: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (1usize..4, 0usize..400)
            .prop_map(|(count, value_bytes)| Step::Append { count, value_bytes }),
        3 => Just(Step::Flush),
        3 => Just(Step::Checkpoint),
        3 => any::<u8>().prop_map(|share| Step::Truncate { share }),
        1 => any::<i8>().prop_map(|gap| Step::StartOver { gap }),
        1 => any::<u8>().prop_map(|share| Step::DeleteRecords { share }),
        3 => Just(Step::Epoch),
        1 => Just(Step::CreateAgain),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => Just(Step::LoseUnsynced),
        6 => any::<u64>().prop_map(|seed| Step::KeepSome { seed }),
    ]
}

#[derive(Debug, Clone)]
struct Batch {
    base_offset: i64,
    values: Vec<String>,
    epoch: i32,
}

impl Batch {
    fn next_offset(&self) -> i64 {
        self.base_offset + self.values.len() as i64
    }
}

struct World {
    files: MemoryFileSystem,
    manager: Option<LogManager>,
    log: Arc<PartitionLog>,
    config: LogConfig,
    incarnation: u8,
    batches: Vec<Batch>,
    start: i64,
    end: i64,
    /// What is on disk for certain.
    synced: i64,
    epoch: i32,
}

impl World {
    fn new(config: LogConfig) -> Self {
        let (files, manager, log) = store(config.clone());
        log.set_leader(0).unwrap();
        Self {
            files,
            manager: Some(manager),
            log,
            config,
            incarnation: 0,
            batches: Vec::new(),
            start: 0,
            end: 0,
            synced: 0,
            epoch: 0,
        }
    }

    fn manager(&self) -> &LogManager {
        self.manager.as_ref().unwrap()
    }

    fn begin(&mut self, offset: i64) {
        self.batches.clear();
        (self.start, self.end, self.synced) = (offset, offset, offset);
    }

    fn create(&mut self) {
        self.incarnation += 1;
        let id = TopicId([self.incarnation; 16]);
        self.log = self.manager().create_partition("t", 0, id, None, self.config.clone()).unwrap();
        self.begin(0);
        self.log.set_leader(self.epoch).unwrap();
    }

    /// Whoever cut its log followed somebody else.
    fn lead_anew(&mut self) {
        self.epoch += 1;
        self.log.set_leader(self.epoch).unwrap();
    }

    /// A batch's base offset, or the end.
    fn bound(&self, share: u8) -> i64 {
        let at = (self.batches.len() + 1) * usize::from(share) / 256;
        self.batches.get(at).map_or(self.end, |batch| batch.base_offset).max(self.start)
    }

    fn run(&mut self, step: &Step, number: usize) {
        match *step {
            Step::Append { count, value_bytes } => {
                let values: Vec<String> = (0..count)
                    .map(|at| format!("{number}.{at} {}", "v".repeat(value_bytes)))
                    .collect();
                let texts: Vec<&str> = values.iter().map(String::as_str).collect();
                let request = AppendRequest { leader_epoch: self.epoch, ..request() };
                let outcome = self.log.append(&mut batch(&texts), &request).unwrap();
                assert_eq!(outcome.base_offset, self.end);
                self.batches.push(Batch { base_offset: self.end, values, epoch: self.epoch });
                self.end += count as i64;
            }
            Step::Flush => {
                self.log.flush().unwrap();
                self.synced = self.end;
            }
            Step::Checkpoint => self.manager().checkpoint().unwrap(),
            Step::Truncate { share } => {
                let offset = self.bound(share);
                self.log.truncate_to(offset).unwrap();
                self.lead_anew();
                if offset < self.end {
                    self.batches.retain(|batch| batch.base_offset < offset);
                    self.end = offset;
                    self.synced = offset;
                }
            }
            Step::StartOver { gap } => {
                let offset = (self.end + i64::from(gap)).max(0);
                self.log.truncate_fully_and_start_at(offset).unwrap();
                self.begin(offset);
                self.lead_anew();
                self.manager().checkpoint().unwrap();
            }
            Step::DeleteRecords { share } => {
                let offset = self.bound(share);
                self.log.delete_records(offset).unwrap();
                self.start = offset;
                self.synced = self.synced.max(offset);
                self.batches.retain(|batch| batch.next_offset() > offset);
                self.log.flush().unwrap();
                self.synced = self.end;
                self.manager().checkpoint().unwrap();
            }
            Step::Epoch => self.lead_anew(),
            Step::CreateAgain => {
                self.manager().delete_partition(&self.log).unwrap();
                self.create();
            }
            Step::Close => {
                self.manager().close().unwrap();
                self.synced = self.end;
                self.open_after(CrashMode::LoseUnsynced);
            }
            Step::Kill => {
                self.synced = self.end;
                self.open_after(CrashMode::ProcessOnly);
            }
            Step::LoseUnsynced => self.open_after(CrashMode::LoseUnsynced),
            Step::KeepSome { seed } => self.open_after(CrashMode::KeepSome(seed)),
        }
    }

    fn open_after(&mut self, mode: CrashMode) {
        self.files = self.files.crash(mode);
        self.manager = None;
        let mut options = options("/d");
        options.defaults = self.config.clone();
        self.manager = Some(try_open(&self.files, options).unwrap());
        let Some(log) = self.manager().partition("t", 0) else {
            assert_eq!(self.synced, 0, "a partition with synced records is gone");
            return self.create();
        };
        assert_eq!(log.quarantined(), None);
        self.log = log;
        let state = self.log.state();
        let end = state.log_end_offset;
        if self.synced == self.start && state.log_start_offset > self.start {
            // The name of the first segment was lost and that of a later one kept, which no journal does: as if the first had been deleted.
            self.start = state.log_start_offset;
            self.synced = self.start;
            self.batches.retain(|batch| batch.next_offset() > state.log_start_offset);
        }
        assert_eq!(state.log_start_offset, self.start);
        assert!(
            (self.synced..=self.end).contains(&end),
            "ends at {end}: {} to {}",
            self.synced,
            self.end
        );
        self.end = end;
        self.synced = self.synced.min(end);
        assert!(
            self.batches.iter().all(|batch| batch.base_offset >= end || batch.next_offset() <= end)
        );
        self.batches.retain(|batch| batch.next_offset() <= end);
        self.check();
        self.log.set_leader(self.epoch).unwrap();
    }

    fn check(&self) {
        let mut expected = Vec::new();
        for batch in &self.batches {
            for (at, value) in batch.values.iter().enumerate() {
                let offset = batch.base_offset + at as i64;
                if offset >= self.start {
                    expected.push((offset, value.clone()));
                }
            }
        }
        assert_eq!(records_from(&self.log, self.start), expected);
        for (at, batch) in self.batches.iter().enumerate() {
            let next = self.batches.get(at + 1);
            if next.is_none_or(|next| next.epoch != batch.epoch) {
                let end = self.log.end_offset_for_epoch(-1, batch.epoch).unwrap();
                assert_eq!((end.epoch, end.end_offset), (batch.epoch, batch.next_offset()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_crash_takes_what_was_synced_or_leaves_what_was_not_written(
        steps in proptest::collection::vec(step(), 1..80),
        segment_bytes in 1400i64..20_000,
    ) {
        let mut world = World::new(LogConfig { segment_bytes, retention_ms: -1, ..config() });
        for (number, step) in steps.iter().enumerate() {
            world.run(step, number);
        }
        world.check();
    }
}
