//! Random operations against a model: a list of batches. After each, the log must say what the model says.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use proptest::prelude::*;
use sluice_log::io::{CrashMode, MemoryFileSystem};
use sluice_log::{Isolation, LogConfig, LogManager, PartitionLog, ReadRequest, ReadScratch};
use support::*;

#[derive(Debug, Clone)]
enum Step {
    Append { count: usize, value_bytes: usize },
    Flush,
    Truncate { share: u8 },
    DeleteRecords { share: u8 },
    Retention,
    Checkpoint,
    CloseAndOpen,
    KillAndOpen,
    PowerCutAfterFlush { seed: u64 },
    Restart { offset_gap: u8 },
    Read { share: u8, max_bytes: u16, min_one: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1usize..5, 0usize..200).prop_map(|(count, value_bytes)| Step::Append { count, value_bytes }),
        2 => Just(Step::Flush),
        2 => any::<u8>().prop_map(|share| Step::Truncate { share }),
        2 => any::<u8>().prop_map(|share| Step::DeleteRecords { share }),
        1 => Just(Step::Retention),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::CloseAndOpen),
        2 => Just(Step::KillAndOpen),
        1 => any::<u64>().prop_map(|seed| Step::PowerCutAfterFlush { seed }),
        1 => any::<u8>().prop_map(|offset_gap| Step::Restart { offset_gap }),
        8 => (any::<u8>(), any::<u16>(), any::<bool>())
            .prop_map(|(share, max_bytes, min_one)| Step::Read { share, max_bytes, min_one }),
    ]
}

/// Batches as (base offset, values).
#[derive(Debug, Default)]
struct Model {
    batches: Vec<(i64, Vec<String>)>,
    start: i64,
    end: i64,
}

impl Model {
    fn records_from(&self, offset: i64) -> Vec<(i64, String)> {
        self.batches
            .iter()
            .flat_map(|(base, values)| {
                values.iter().enumerate().map(move |(at, value)| (base + at as i64, value.clone()))
            })
            .filter(|(at, _)| *at >= offset)
            .collect()
    }

    fn truncate(&mut self, offset: i64) {
        if offset < self.end {
            self.batches.retain(|(base, values)| base + values.len() as i64 <= offset);
            self.end = offset;
            self.start = self.start.min(offset);
        }
    }
}

struct World {
    files: MemoryFileSystem,
    manager: Option<LogManager>,
    log: std::sync::Arc<PartitionLog>,
    model: Model,
    config: LogConfig,
    scratch: ReadScratch,
    /// Reads whose records were found with the search.
    held_count: usize,
}

impl World {
    fn open_again(&mut self, files: MemoryFileSystem) {
        self.manager = None;
        self.files = files;
        let (manager, log) = reopen(&self.files, self.config.clone());
        self.manager = Some(manager);
        self.log = log;
        // A truncation into a batch leaves an end without records; after a restart the log may end with its last record, as in Kafka.
        let last_end =
            self.model.batches.last().map_or(0, |(base, values)| base + values.len() as i64);
        let state_end = self.log.state().log_end_offset;
        if state_end < self.model.end {
            assert!(state_end >= last_end.max(self.model.start));
            self.model.end = state_end;
        }
    }

    fn at(&self, share: u8) -> i64 {
        self.model.start + (self.model.end - self.model.start) * i64::from(share) / 255
    }

    fn run(&mut self, step: &Step, number: usize) {
        match step {
            Step::Append { count, value_bytes } => {
                let values: Vec<String> = (0..*count)
                    .map(|at| format!("{number}.{at} {}", "v".repeat(*value_bytes)))
                    .collect();
                let texts: Vec<&str> = values.iter().map(String::as_str).collect();
                let outcome = append(&self.log, &batch(&texts)).unwrap();
                assert_eq!(outcome.base_offset, self.model.end);
                self.model.batches.push((self.model.end, values));
                self.model.end += *count as i64;
            }
            Step::Flush => {
                self.log.flush().unwrap();
                assert_eq!(self.log.flushed_offset(), self.model.end);
            }
            Step::Truncate { share } => {
                let offset = self.at(*share);
                self.log.truncate_to(offset).unwrap();
                self.model.truncate(offset);
            }
            Step::DeleteRecords { share } => {
                let offset = self.at(*share);
                assert_eq!(self.log.delete_records(offset).unwrap(), offset);
                self.model.start = offset;
                // The offset itself is durable with the next checkpoint.
                self.manager.as_ref().unwrap().checkpoint().unwrap();
            }
            Step::Retention => {
                self.manager.as_ref().unwrap().run_retention(NOW_MS);
            }
            Step::Checkpoint => self.manager.as_ref().unwrap().checkpoint().unwrap(),
            Step::CloseAndOpen => {
                self.manager.as_ref().unwrap().close().unwrap();
                let files = self.files.crash(CrashMode::LoseUnsynced);
                self.open_again(files);
            }
            Step::KillAndOpen => {
                let files = self.files.crash(CrashMode::ProcessOnly);
                self.open_again(files);
            }
            Step::PowerCutAfterFlush { seed } => {
                self.log.flush().unwrap();
                let files = self.files.crash(CrashMode::KeepSome(*seed));
                self.open_again(files);
            }
            Step::Restart { offset_gap } => {
                if *offset_gap < 30 {
                    let offset = self.model.end + i64::from(*offset_gap);
                    self.log.truncate_fully_and_start_at(offset).unwrap();
                    self.model = Model { batches: vec![], start: offset, end: offset };
                    self.manager.as_ref().unwrap().checkpoint().unwrap();
                }
            }
            Step::Read { share, max_bytes, min_one } => {
                let offset = self.at(*share);
                let plan = self.log.read(&ReadRequest {
                    max_bytes: i64::from(*max_bytes),
                    min_one_message: *min_one,
                    isolation: Isolation::LogEnd,
                    ..read_request(offset)
                });
                assert_eq!(plan.code.0, 0);
                let bytes = bytes_of(&plan);
                let headers = headers(&bytes);
                assert!(bytes.len() <= usize::from(*max_bytes) || (*min_one && headers.len() == 1));
                if let Some(first) = headers.first() {
                    let holder = self
                        .model
                        .batches
                        .iter()
                        .find(|(base, values)| base + values.len() as i64 > offset);
                    assert_eq!(Some(first.base_offset), holder.map(|(base, _)| *base));
                }
                self.read_on(offset, i64::from(*max_bytes));
            }
        }
    }

    /// A reader that goes on where its last read ended, with memory of its own: every batch comes once, and what it finds in its
    /// memory is what the file has.
    fn read_on(&mut self, offset: i64, max_bytes: i64) {
        let mut next = offset;
        let mut seen = Vec::new();
        loop {
            let request = ReadRequest {
                max_bytes,
                min_one_message: true,
                isolation: Isolation::LogEnd,
                ..read_request(next)
            };
            let plan = self.log.read_with(&request, &mut self.scratch);
            assert_eq!(plan.code.0, 0);
            let bytes = bytes_of(&plan);
            if let Some(records) = self.scratch.records() {
                self.held_count += 1;
                assert_eq!(records, bytes);
            }
            let headers = headers(&bytes);
            let Some(last) = headers.last() else { break };
            next = last.next_offset();
            seen.extend(headers.iter().map(|header| header.base_offset));
        }
        let batches = self.model.batches.iter();
        let wanted: Vec<i64> = batches
            .filter(|(base, values)| base + values.len() as i64 > offset)
            .map(|(base, _)| *base)
            .collect();
        assert_eq!(seen, wanted);
    }

    fn check(&self) {
        let state = self.log.state();
        assert_eq!(self.log.quarantined(), None);
        assert_eq!(
            (state.log_start_offset, state.log_end_offset),
            (self.model.start, self.model.end)
        );
        let records = records_from(&self.log, self.model.start);
        assert_eq!(records, self.model.records_from(self.model.start));
    }
}

#[test]
fn a_small_read_finds_the_records_with_its_search() {
    let (files, manager, log) = store(config());
    let mut world = World {
        files,
        manager: Some(manager),
        log,
        model: Model::default(),
        config: config(),
        scratch: ReadScratch::default(),
        held_count: 0,
    };
    for number in 0..20 {
        world.run(&Step::Append { count: 1, value_bytes: 50 }, number);
    }
    // A log that was opened knows none of its last batches by heart.
    world.run(&Step::KillAndOpen, 20);
    world.read_on(0, 1);
    assert_eq!(world.held_count, 20);
    world.run(&Step::Truncate { share: 128 }, 21);
    world.run(&Step::Append { count: 3, value_bytes: 1 }, 22);
    world.read_on(0, 1);
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_its_model(steps in proptest::collection::vec(step(), 1..60), segment_bytes in 1200i64..5000) {
        let config = LogConfig { segment_bytes, retention_ms: -1, ..config() };
        let (files, manager, log) = store(config.clone());
        let mut world = World {
            files,
            manager: Some(manager),
            log,
            model: Model::default(),
            config,
            scratch: ReadScratch::default(),
            held_count: 0,
        };
        for (number, step) in steps.iter().enumerate() {
            world.run(step, number);
            world.check();
        }
    }

    /// Recovery of any bytes at all: no panic, and what is served is good.
    #[test]
    fn any_segment_opens_or_is_quarantined(
        noise in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0usize..800,
        batches in 0usize..5,
        is_clean in any::<bool>(),
    ) {
        let (files, manager, log) = store(config());
        for number in 0..batches {
            append(&log, &batch(&[&format!("value {number}")])).unwrap();
        }
        manager.close().unwrap();
        drop(manager);
        for name in ["log", "index", "timeindex", "snapshot", "txnindex"] {
            let path = std::path::PathBuf::from(format!("/d/t-0/00000000000000000000.{name}"));
            let mut content = files.content(&path).unwrap_or_default();
            let at = at.min(content.len());
            content.truncate(at.max(content.len() / 2));
            content.splice(at.min(content.len()).., noise.iter().copied());
            files.put(&path, content);
        }
        if !is_clean {
            files.put(std::path::Path::new("/d/.kafka_cleanshutdown"), vec![]);
            sluice_log::io::FileSystem::remove_file(&files, std::path::Path::new("/d/.kafka_cleanshutdown")).unwrap();
        }
        let (_manager, log) = reopen(&files, config());
        if log.quarantined().is_none() {
            let start = log.state().log_start_offset;
            // What is damaged is refused, offset by offset.
            for offset in start..log.state().log_end_offset {
                let plan = log.read(&read_request(offset));
                assert!([0, 2].contains(&plan.code.0), "{:?} at {offset}", plan.code);
                headers(&bytes_of(&plan));
            }
            log.offset_for_timestamp(NOW_MS, Isolation::ReadUncommitted, -1);
            append(&log, &batch(&["next"])).unwrap();
        }
    }
}
