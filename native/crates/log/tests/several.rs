//! Requests for several partitions, which land in all of them or in none.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use sluice_log::failpoint::Failpoint;
use sluice_log::io::{FileSystem, MemoryFileSystem};
use sluice_log::{
    AppendError, AppendLimits, AppendOutcome, AppendRequest, KafkaCode, LogConfig, LogManager,
    PartitionLog, SeveralAppend, TopicId,
};
use support::*;

const EPOCH: i32 = 3;

/// A store whose syncs happen when it is told to, with partitions that are led by node 1.
struct Store {
    manager: LogManager,
    logs: Vec<Arc<PartitionLog>>,
}

impl Store {
    fn new(configs: &[LogConfig]) -> Self {
        let files: Arc<dyn FileSystem> = Arc::new(MemoryFileSystem::new());
        let manager = LogManager::open_stepped(files, options("/d")).unwrap();
        let logs = configs.iter().zip(0..).map(|(config, index)| {
            let log = manager
                .create_partition("t", index, TopicId([7; 16]), None, config.clone())
                .unwrap();
            log.set_leader(EPOCH).unwrap();
            log
        });
        let logs = logs.collect();
        Self { manager, logs }
    }
}

fn asked(acks: i16, now_ms: i64) -> AppendRequest {
    AppendRequest { acks, leader_epoch: EPOCH, now_ms, ..request() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// One refused batch refuses all, and otherwise everything is as if each had come alone.
    #[test]
    fn several_land_as_each_would_or_not_at_all(
        requests in proptest::collection::vec(
            proptest::collection::vec((0_usize..4, 0_i64..2, prop_oneof![6 => Just(0_i32), 1 => -1_i32..2], 0_u8..12), 1..5),
            1..20,
        ),
        acks in prop_oneof![Just(-1_i16), Just(1_i16)],
    ) {
        let config = LogConfig { acks_all_fsync: false, ..config() };
        let mut configs = vec![config.clone(); 4];
        // The last one's answers wait.
        configs[3].acks_all_fsync = true;
        let stores = [(); 2].map(|()| Store::new(&configs));
        let [alone, several] = &stores;
        let mut sequences = [[0_i32; 2]; 4];
        for parts in requests {
            let mut sent: Vec<(usize, Vec<u8>)> = Vec::new();
            let mut next = sequences;
            for (index, producer, skip, damage) in parts {
                let is_twice = sent.iter().any(|(other, _)| *other == index);
                if is_twice && damage > 0 {
                    continue;
                }
                let sequence = &mut next[index][producer as usize];
                let mut bytes = sequenced(producer, 0, (*sequence + skip).max(0), &["v"]);
                *sequence = (*sequence + skip).max(0) + 1;
                if damage == 1 {
                    *bytes.last_mut().unwrap() ^= 1;
                }
                sent.push((index, bytes));
            }
            let states = |store: &Store| -> Vec<_> {
                store.logs.iter().map(|log| (log.state(), log.producers())).collect()
            };
            let before = states(several);
            let mut copies = sent.clone();
            let mut appends: Vec<SeveralAppend<'_>> = copies
                .iter_mut()
                .map(|(index, records)| SeveralAppend {
                    log: &several.logs[*index],
                    records,
                    leader_epoch: EPOCH,
                })
                .collect();
            let found = PartitionLog::append_several(&mut appends, acks, NOW_MS, &AppendLimits::NONE);
            if let Ok(outcomes) = found {
                let expected: Vec<Result<AppendOutcome, AppendError>> = sent
                    .iter()
                    .map(|(index, bytes)| {
                        let request = asked(acks, NOW_MS);
                        alone.logs[*index].append_within(&mut bytes.clone(), &request, &AppendLimits::NONE)
                    })
                    .collect();
                assert!(expected.iter().all(Result::is_ok));
                assert_eq!(outcomes, expected);
                sequences = next;
            } else {
                assert_eq!(states(several), before);
                // There was a reason.
                let mut indexes: Vec<usize> = sent.iter().map(|(index, _)| *index).collect();
                indexes.sort_unstable();
                let is_twice = indexes.windows(2).any(|pair| pair[0] == pair[1]);
                let append_each = |store: &Store| -> usize {
                    let refused = sent.iter().filter(|(index, bytes)| {
                        let log = &store.logs[*index];
                        let request = asked(acks, NOW_MS);
                        log.append_within(&mut bytes.clone(), &request, &AppendLimits::NONE).is_err()
                    });
                    refused.count()
                };
                assert!(is_twice || append_each(several) > 0);
                if !is_twice {
                    append_each(alone);
                }
            }
            if is_level(&stores) {
                continue;
            }
            panic!("the stores differ");
        }
    }
}

fn is_level([alone, several]: &[Store; 2]) -> bool {
    alone
        .logs
        .iter()
        .zip(&several.logs)
        .all(|(one, other)| one.state() == other.state() && one.producers() == other.producers())
}

fn parts<'a>(store: &'a Store, batches: &'a mut [Vec<u8>]) -> Vec<SeveralAppend<'a>> {
    store
        .logs
        .iter()
        .zip(batches)
        .map(|(log, records)| SeveralAppend { log, records, leader_epoch: EPOCH })
        .collect()
}

#[test]
fn a_failed_write_refuses_its_partition_only_and_all_where_nothing_landed() {
    for failing in [vec![1], vec![0, 1, 2], vec![0, 2]] {
        let store = Store::new(&vec![config(); 3]);
        let hits = Arc::new(AtomicUsize::new(0));
        let failing_hits = failing.clone();
        store.manager.failpoints().arm(Failpoint::AfterAppend, move || {
            let hit = hits.fetch_add(1, Ordering::Relaxed);
            if failing_hits.contains(&hit) {
                Err(std::io::Error::from_raw_os_error(28))
            } else {
                Ok(())
            }
        });
        let mut batches = vec![sequenced(1, 0, 0, &["v"]); 3];
        let outcomes = PartitionLog::append_several(
            &mut parts(&store, &mut batches),
            1,
            NOW_MS,
            &AppendLimits::NONE,
        );
        let ends: Vec<i64> = store.logs.iter().map(|log| log.state().log_end_offset).collect();
        if failing.len() == 3 {
            assert_eq!(outcomes.unwrap_err().code, KafkaCode::KAFKA_STORAGE_ERROR);
            assert_eq!(ends, [0, 0, 0]);
            continue;
        }
        let outcomes = outcomes.unwrap();
        for (index, outcome) in outcomes.iter().enumerate() {
            let is_failed = failing.contains(&index);
            assert_eq!(ends[index], i64::from(!is_failed));
            match outcome {
                Ok(landed) => assert_eq!((is_failed, landed.base_offset), (false, 0)),
                Err(refusal) => {
                    assert_eq!((is_failed, refusal.code), (true, KafkaCode::KAFKA_STORAGE_ERROR));
                }
            }
        }
    }
}

/// Threads that name the same partitions in opposite orders do not wait for each other forever, and every record lands once.
#[test]
fn requests_in_any_order_of_partitions_do_not_deadlock() {
    const ROUNDS: usize = 400;
    let store = Store::new(&vec![config(); 3]);
    std::thread::scope(|scope| {
        for backwards in [false, true] {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let mut batches = vec![batch(&["v"]); 3];
                    let mut appends = parts(store, &mut batches);
                    if backwards {
                        appends.reverse();
                    }
                    let outcomes =
                        PartitionLog::append_several(&mut appends, 1, NOW_MS, &AppendLimits::NONE);
                    assert!(outcomes.unwrap().iter().all(Result::is_ok));
                }
            });
        }
    });
    for log in &store.logs {
        assert_eq!(log.state().log_end_offset, 2 * ROUNDS as i64);
    }
}
