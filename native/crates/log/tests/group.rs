//! Several clients' appends at once: the log, its files and every outcome are those of the same appends one after another, and what a
//! failing disk refuses is not there.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use sluice_log::config::TimestampType;
use sluice_log::failpoint::Failpoint;
use sluice_log::io::{CrashMode, Fault, FaultKind, FileSystem, MemoryFileSystem, Operation};
use sluice_log::records::BatchOptions;
use sluice_log::{
    AppendError, AppendLimits, AppendOutcome, AppendRequest, GroupedAppend, LogConfig, LogManager,
    Origin, PartitionLog, TopicId,
};
use support::*;

type Outcome = Result<AppendOutcome, AppendError>;

/// A batch as a client sends it.
#[derive(Debug, Clone)]
struct Sent {
    bytes: Vec<u8>,
    leader_epoch: i32,
    acks: i16,
}

impl Sent {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, leader_epoch: -1, acks: 1 }
    }
}

fn append_group(log: &PartitionLog, sent: &[Sent]) -> Vec<Outcome> {
    append_group_within(log, sent, AppendLimits::NONE)
}

fn append_group_within(log: &PartitionLog, sent: &[Sent], limits: AppendLimits) -> Vec<Outcome> {
    let mut copies: Vec<Vec<u8>> = sent.iter().map(|one| one.bytes.clone()).collect();
    let mut requests: Vec<GroupedAppend<'_>> = copies
        .iter_mut()
        .zip(sent)
        .map(|(records, one)| GroupedAppend {
            records,
            leader_epoch: one.leader_epoch,
            acks: one.acks,
            outcome: None,
        })
        .collect();
    log.append_group(&mut requests, NOW_MS, &limits);
    requests.into_iter().map(|request| request.outcome.expect("an outcome for each")).collect()
}

fn append_alone(log: &PartitionLog, one: &Sent, limits: AppendLimits) -> Outcome {
    let request = AppendRequest {
        leader_epoch: one.leader_epoch,
        acks: one.acks,
        origin: Origin::Client,
        now_ms: NOW_MS,
    };
    log.append_within(&mut one.bytes.clone(), &request, &limits)
}

/// A store whose syncs happen when it is told to.
struct Twin {
    files: MemoryFileSystem,
    manager: LogManager,
    log: Arc<PartitionLog>,
}

impl Twin {
    fn new(config: &LogConfig) -> Self {
        let files = MemoryFileSystem::new();
        let manager = stepped(&files, config);
        let log = manager.create_partition("t", 0, TopicId([7; 16]), None, config.clone()).unwrap();
        Self { files, manager, log }
    }

    fn reopened(&self, config: &LogConfig) -> Self {
        let files = self.files.crash(CrashMode::ProcessOnly);
        let manager = stepped(&files, config);
        let log = manager.partition("t", 0).unwrap();
        Self { files, manager, log }
    }

    fn lead(&self, leading: Leading) {
        match leading {
            Leading::Unsaid => {}
            Leading::Alone => self.log.set_leader(3).unwrap(),
            Leading::OfThree { isr } => {
                let isr = &[1, 2, 3][..isr];
                self.log.lead(3, Some(&led_by(1, &[1, 2, 3], isr))).unwrap();
            }
        }
    }

    /// The partition's files.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = self.files.paths().into_iter().filter(|path| path.starts_with("/d/t-0"));
        paths.map(|path| (path.clone(), self.files.content(&path).unwrap())).collect()
    }
}

fn stepped(files: &MemoryFileSystem, config: &LogConfig) -> LogManager {
    let mut options = options("/d");
    options.defaults = config.clone();
    let files: Arc<dyn FileSystem> = Arc::new(files.clone());
    LogManager::open_stepped(files, options).unwrap()
}

#[derive(Debug, Clone, Copy)]
enum Leading {
    Unsaid,
    Alone,
    OfThree { isr: usize },
}

#[derive(Debug, Clone)]
enum Kind {
    Next,
    /// The producer's batch this many before its last.
    Again(usize),
    Gap,
    NewEpoch,
    OldEpoch,
    Corrupt,
    WrongEpoch,
    TwoBatches,
    Late,
    Large,
}

#[derive(Debug, Clone)]
struct Plan {
    producer: i64,
    kind: Kind,
    count: usize,
    value_bytes: usize,
    acks: i16,
}

fn plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![
        14 => Just(Kind::Next),
        2 => (0usize..7).prop_map(Kind::Again),
        1 => Just(Kind::Gap),
        1 => Just(Kind::NewEpoch),
        1 => Just(Kind::OldEpoch),
        1 => Just(Kind::Corrupt),
        1 => Just(Kind::WrongEpoch),
        1 => Just(Kind::TwoBatches),
        1 => Just(Kind::Late),
        1 => Just(Kind::Large),
    ];
    let acks = prop_oneof![Just(1_i16), Just(-1_i16)];
    // 64 apart: two producers that a run cannot tell from each other.
    let producer = prop_oneof![3 => Just(-1_i64), 8 => 0_i64..6, 1 => Just(64_i64)];
    (producer, kind, 1usize..4, 0usize..150, acks).prop_map(
        |(producer, kind, count, value_bytes, acks)| Plan {
            producer,
            kind,
            count,
            value_bytes,
            acks,
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Group(Vec<Plan>),
    Sync,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(plan(), 0..14).prop_map(Step::Group),
        2 => Just(Step::Sync),
        1 => Just(Step::Kill),
    ]
}

/// What producers believe, whether it is right or not.
#[derive(Default)]
struct Producers {
    epochs: BTreeMap<i64, i16>,
    sequences: BTreeMap<i64, i32>,
    sent: BTreeMap<i64, Vec<Vec<u8>>>,
}

impl Producers {
    fn send(&mut self, plan: &Plan) -> Sent {
        let id = plan.producer;
        let (value, time) = match plan.kind {
            Kind::Large => ("L".repeat(17 << 10), NOW_MS),
            Kind::Late => ("v".repeat(plan.value_bytes), NOW_MS + 50_000),
            _ => ("v".repeat(plan.value_bytes), NOW_MS),
        };
        let values = vec![value.as_str(); plan.count];
        let mut one = Sent { bytes: Vec::new(), leader_epoch: 3, acks: plan.acks };
        if let Kind::Again(before) = plan.kind
            && let Some(earlier) = self.sent.get(&id).and_then(|all| all.iter().rev().nth(before))
        {
            one.bytes.clone_from(earlier);
            return one;
        }
        let epoch = self.epochs.entry(id).or_insert(1);
        let sequence = self.sequences.entry(id).or_insert(0);
        match plan.kind {
            Kind::NewEpoch => (*epoch, *sequence) = (*epoch + 1, 0),
            Kind::Gap => *sequence += 1,
            _ => {}
        }
        let options = BatchOptions {
            producer_id: id,
            producer_epoch: if id < 0 {
                -1
            } else if matches!(plan.kind, Kind::OldEpoch) {
                *epoch - 1
            } else {
                *epoch
            },
            base_sequence: if id < 0 { -1 } else { *sequence },
            ..BatchOptions::default()
        };
        one.bytes = batch_of(options, time, &values);
        match plan.kind {
            Kind::Corrupt => *one.bytes.last_mut().unwrap() ^= 1,
            Kind::WrongEpoch => one.leader_epoch = 2,
            Kind::TwoBatches => one.bytes.extend_from_slice(&batch(&["second"])),
            Kind::OldEpoch => {}
            _ => {
                *sequence += plan.count as i32;
                self.sent.entry(id).or_default().push(one.bytes.clone());
            }
        }
        one
    }
}

fn configs() -> impl Strategy<Value = LogConfig> {
    let segment_bytes = prop_oneof![500i64..3000, Just(1 << 20)];
    let segment_ms = prop_oneof![Just(10_000i64), Just(1 << 40)];
    let index_bytes = prop_oneof![24i64..200, Just(10 << 20)];
    let flush_messages = prop_oneof![Just(i64::MAX), Just(1), Just(7)];
    let booleans = (any::<bool>(), any::<bool>());
    (segment_bytes, segment_ms, index_bytes, flush_messages, booleans, 0i64..300).prop_map(
        |(
            segment_bytes,
            segment_ms,
            segment_index_bytes,
            flush_messages,
            (is_own_time, acks_all_fsync),
            interval,
        )| {
            LogConfig {
                segment_bytes,
                segment_ms,
                segment_index_bytes,
                flush_messages,
                acks_all_fsync,
                message_timestamp_type: if is_own_time {
                    TimestampType::LogAppendTime
                } else {
                    TimestampType::CreateTime
                },
                index_interval_bytes: interval,
                ..config()
            }
        },
    )
}

fn leadings() -> impl Strategy<Value = Leading> {
    prop_oneof![
        1 => Just(Leading::Unsaid),
        2 => Just(Leading::Alone),
        2 => (1usize..3).prop_map(|isr| Leading::OfThree { isr }),
    ]
}

fn compare(alone: &Twin, grouped: &Twin) {
    assert_eq!(alone.log.state(), grouped.log.state());
    assert_eq!(alone.log.producers(), grouped.log.producers());
    assert_eq!(alone.content(), grouped.content());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_group_is_the_same_appends_one_after_another(
        steps in proptest::collection::vec(step(), 1..8),
        config in configs(),
        leading in leadings(),
        min_insync_replicas in 1i64..3,
    ) {
        let config = LogConfig { min_insync_replicas, ..config };
        let limits = AppendLimits::NONE;
        let (mut alone, mut grouped) = (Twin::new(&config), Twin::new(&config));
        for twin in [&alone, &grouped] {
            twin.lead(leading);
        }
        let mut producers = Producers::default();
        for step in &steps {
            match step {
                Step::Group(plans) => {
                    let sent: Vec<Sent> = plans.iter().map(|plan| producers.send(plan)).collect();
                    let expected: Vec<Outcome> =
                        sent.iter().map(|one| append_alone(&alone.log, one, limits)).collect();
                    let found = append_group_within(&grouped.log, &sent, limits);
                    assert_eq!(format!("{expected:#?}"), format!("{found:#?}"));
                }
                Step::Sync => {
                    assert_eq!(alone.manager.step(), grouped.manager.step());
                }
                Step::Kill => {
                    (alone, grouped) = (alone.reopened(&config), grouped.reopened(&config));
                    for twin in [&alone, &grouped] {
                        twin.lead(leading);
                    }
                }
            }
            compare(&alone, &grouped);
        }
        for twin in [&alone, &grouped] {
            twin.manager.close().unwrap();
        }
        compare(&alone, &grouped);
    }

    /// A disk that fails once, anywhere: what was acknowledged is there, what was refused is not, and its retry lands once.
    #[test]
    fn a_failure_refuses_and_forgets(
        groups in proptest::collection::vec(1usize..20, 1..5),
        operation in prop_oneof![
            3 => Just(Operation::Write),
            1 => Just(Operation::SetLength),
            1 => Just(Operation::Open),
        ],
        kind in prop_oneof![
            (0usize..1500).prop_map(FaultKind::ShortWrite),
            Just(FaultKind::NoSpace),
            Just(FaultKind::InputOutput),
            Just(FaultKind::ReadOnly),
        ],
        is_of_log in any::<bool>(),
        skip in 0u64..8,
        count in 1u64..3,
        segment_bytes in prop_oneof![500i64..2000, Just(1 << 20)],
    ) {
        let config = LogConfig { segment_bytes, ..config() };
        let mut twin = Twin::new(&config);
        let path_contains = if is_of_log { ".log" } else { "" }.to_owned();
        twin.files.inject(Fault { operation, path_contains, skip, count, kind });
        if matches!(kind, FaultKind::ShortWrite(_)) {
            // The rest of the write finds no room.
            let path_contains = ".log".to_owned();
            let kind = FaultKind::NoSpace;
            twin.files.inject(Fault { operation: Operation::Write, path_contains, skip, count: 1, kind });
        }
        let mut landed: BTreeMap<i64, String> = BTreeMap::new();
        let mut refused: Vec<(Sent, String)> = Vec::new();
        for (number, &size) in groups.iter().enumerate() {
            let values: Vec<String> = (0..size).map(|at| format!("{number}.{at} {}", "w".repeat(40))).collect();
            let sent: Vec<Sent> = values
                .iter()
                .enumerate()
                .map(|(at, value)| Sent::new(sequenced((number * 100 + at) as i64, 0, 0, &[value])))
                .collect();
            let before = twin.log.state().log_end_offset;
            let outcomes = append_group(&twin.log, &sent);
            for ((one, value), outcome) in sent.into_iter().zip(values).zip(outcomes) {
                match outcome {
                    Ok(outcome) => {
                        assert!(!outcome.is_duplicate && outcome.base_offset >= before);
                        assert!(landed.insert(outcome.base_offset, value).is_none());
                    }
                    Err(refusal) => {
                        assert_eq!(refusal.code.0, 56, "{}", refusal.message);
                        refused.push((one, value));
                    }
                }
            }
            twin.manager.sample_space();
        }
        let there: BTreeMap<i64, String> = records_from(&twin.log, 0).into_iter().collect();
        assert_eq!(there, landed);
        twin.files.clear_faults();
        twin = twin.reopened(&config);
        let after: BTreeMap<i64, String> = records_from(&twin.log, 0).into_iter().collect();
        // What could not be cut off may be found by the next start, as with a single append; it is never instead of what was taken.
        assert!(landed.iter().all(|(offset, value)| after.get(offset) == Some(value)));
        let is_cut = operation != Operation::SetLength && !matches!(kind, FaultKind::InputOutput);
        assert!(!is_cut || after == landed);
        for (one, value) in refused {
            append_group(&twin.log, &[one])[0].as_ref().unwrap();
            assert_eq!(records_from(&twin.log, 0).iter().filter(|(_, held)| *held == value).count(), 1);
        }
    }
}

fn counting_writes(twin: &Twin) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    twin.manager.failpoints().arm(Failpoint::BeforeAppend, move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    count
}

#[test]
fn what_follows_each_other_is_written_at_once() {
    let twin = Twin::new(&config());
    append_group(&twin.log, &[Sent::new(batch(&["first of its segment"]))])[0].as_ref().unwrap();
    let writes = counting_writes(&twin);
    let sent: Vec<Sent> = (0..64).map(|id| Sent::new(sequenced(id, 0, 0, &["x"]))).collect();
    assert!(append_group(&twin.log, &sent).iter().all(Result::is_ok));
    assert_eq!(writes.swap(0, Ordering::Relaxed), 1);
    // A refused one in between does not part them, a producer's second batch does.
    let mut sent: Vec<Sent> = (0..8).map(|id| Sent::new(sequenced(id, 0, 1, &["y"]))).collect();
    sent[3] = Sent::new(sequenced(3, 0, 7, &["out of order"]));
    sent[5] = Sent::new(sequenced(4, 0, 2, &["of the same"]));
    let refused: Vec<bool> = append_group(&twin.log, &sent).iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, false, false, true, false, false, false, false]);
    assert_eq!(writes.swap(0, Ordering::Relaxed), 2);
    // Large batches are not copied.
    let large = "z".repeat(20 << 10);
    let sent: Vec<Sent> = (0..3).map(|_| Sent::new(batch(&[&large]))).collect();
    assert!(append_group(&twin.log, &sent).iter().all(Result::is_ok));
    assert_eq!(writes.swap(0, Ordering::Relaxed), 3);
}

#[test]
fn a_write_that_fails_refuses_its_run_only() {
    let twin = Twin::new(&config());
    append(&twin.log, &batch(&["before"])).unwrap();
    let hits = Arc::new(AtomicUsize::new(0));
    twin.manager.failpoints().arm(Failpoint::AfterAppend, move || {
        let is_first = hits.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { Err(std::io::Error::from_raw_os_error(28)) } else { Ok(()) }
    });
    let sent: Vec<Sent> = [(1, 0), (2, 0), (1, 1), (3, 0)]
        .map(|(id, sequence)| Sent::new(sequenced(id, 0, sequence, &["v"])))
        .to_vec();
    // The third is of a producer that is in the run: the run of the first two fails, and it is judged by what is left.
    let codes: Vec<i16> = append_group(&twin.log, &sent)
        .iter()
        .map(|outcome| outcome.as_ref().err().map_or(0, |refusal| refusal.code.0))
        .collect();
    assert_eq!(codes[..2], [56, 56]);
    assert_eq!(codes.len(), 4);
    twin.manager.failpoints().clear();
    twin.manager.sample_space();
    assert_eq!(records_from(&twin.log, 0)[0], (0, "before".to_owned()));
    let retried = append_group(&twin.log, &sent[..2]);
    assert!(
        retried.iter().all(|outcome| outcome.as_ref().is_ok_and(|landed| !landed.is_duplicate))
    );
}

#[test]
fn a_closed_log_refuses_each() {
    let twin = Twin::new(&config());
    twin.manager.close().unwrap();
    let outcomes = append_group(&twin.log, &[Sent::new(batch(&["a"])), Sent::new(batch(&["b"]))]);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().code.0 == 56));
}
