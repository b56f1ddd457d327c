//! Partitions with several replicas: what leaders count, what followers may do, and the mistakes that protocols of this kind have made.
//!
//! Replicas are logs in memory; a fetch is a read by the leader and an append by the follower.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use sluice_log::io::MemoryFileSystem;
use sluice_log::{
    AppendRequest, Isolation, KafkaCode, LogConfig, LogManager, PartitionLog, ReadRequest,
    ReplicaBroker, Replication,
};
use support::*;

const ALL: [i32; 3] = [1, 2, 3];

fn two_in_sync() -> LogConfig {
    LogConfig { min_insync_replicas: 2, ..config() }
}

/// Several brokers with a replica each; kept open by the stores.
struct Replicas {
    logs: Vec<(MemoryFileSystem, LogManager, Arc<PartitionLog>)>,
    config: LogConfig,
}

impl Replicas {
    fn new(config: LogConfig) -> Self {
        Self { logs: ALL.iter().map(|_| store(config.clone())).collect(), config }
    }

    fn log(&self, id: i32) -> &Arc<PartitionLog> {
        &self.logs[id as usize - 1].2
    }

    fn lead(&self, id: i32, epoch: i32, isr: &[i32]) {
        self.log(id).lead(epoch, Some(&led_by(id, &ALL, isr))).unwrap();
    }

    fn follow(&self, id: i32, epoch: i32, leader: i32) {
        self.log(id).follow(epoch, leader).unwrap();
    }

    /// One fetch of a follower: true when it got something, or cut its log.
    fn fetch(&self, id: i32, leader: i32) -> bool {
        let log = self.log(id);
        let state = log.replication_state(NOW_MS);
        let plan = self.log(leader).read(&ReadRequest {
            current_leader_epoch: state.leader_epoch,
            last_fetched_epoch: state.last_epoch,
            ..replica_request(id, state.log_end_offset)
        });
        assert_eq!(plan.code.0, 0);
        if let Some(diverging) = plan.diverging {
            let own = log.end_offset_for_epoch(-1, diverging.epoch).unwrap();
            let end = if own.epoch < 0 { state.log_start_offset } else { own.end_offset };
            log.truncate_as_follower(state.leader_epoch, end.min(diverging.end_offset)).unwrap();
            return true;
        }
        let mut records = bytes_of(&plan);
        log.append_from_leader(
            &mut records,
            state.leader_epoch,
            plan.high_watermark,
            plan.log_start_offset,
            NOW_MS,
        )
        .unwrap();
        !records.is_empty()
    }

    fn catch_up(&self, id: i32, leader: i32) {
        while self.fetch(id, leader) {}
        self.fetch(id, leader);
    }

    /// Power is cut and comes back: what was not synced is gone unless it happens to be on disk already.
    fn restart(&mut self, id: i32) {
        let place = &mut self.logs[id as usize - 1];
        let files = place.0.clone();
        place.1.checkpoint().unwrap();
        place.1.close().unwrap();
        let (manager, log) = reopen(&files, self.config.clone());
        *place = (files, manager, log);
    }

    fn values(&self, id: i32) -> Vec<String> {
        let log = self.log(id);
        let all = ReadRequest {
            isolation: Isolation::LogEnd,
            max_bytes: 1 << 20,
            ..read_request(log.state().log_start_offset)
        };
        values_of(&bytes_of(&log.read(&all)))
    }

    fn high_watermark(&self, id: i32) -> i64 {
        self.log(id).state().high_watermark
    }
}

fn append_all(log: &PartitionLog, value: &str) -> i16 {
    let request = AppendRequest { acks: -1, ..request() };
    log.append(&mut batch(&[value]), &request).map_or_else(|error| error.code.0, |_| 0)
}

#[test]
fn the_high_watermark_is_what_the_whole_isr_has() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 1, &[1, 2]);
    for id in [2, 3] {
        replicas.follow(id, 1, 1);
    }
    for value in ["a", "b", "c"] {
        append(replicas.log(1), &batch(&[value])).unwrap();
    }
    assert_eq!(replicas.high_watermark(1), 0);
    // Not in the ISR: does not count, and its progress alone commits nothing.
    replicas.catch_up(3, 1);
    assert_eq!(replicas.high_watermark(1), 0);
    replicas.fetch(2, 1);
    assert_eq!(replicas.high_watermark(1), 0, "it has asked, not yet said that it has them");
    replicas.fetch(2, 1);
    assert_eq!((replicas.high_watermark(1), replicas.high_watermark(2)), (3, 3));
    assert_eq!(replicas.values(2), ["a", "b", "c"]);
    assert_eq!(replicas.high_watermark(3), 0, "heard of at its next fetch");
}

#[test]
fn who_left_the_isr_is_not_waited_for_until_it_has_caught_up_again() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 1, &[1, 2]);
    replicas.follow(2, 1, 1);
    append(replicas.log(1), &batch(&["a"])).unwrap();
    replicas.catch_up(2, 1);
    assert_eq!(replicas.high_watermark(1), 1);
    let alone = Replication { partition_epoch: 1, ..led_by(1, &ALL, &[1]) };
    replicas.log(1).lead(1, Some(&alone)).unwrap();
    for value in ["b", "c"] {
        append(replicas.log(1), &batch(&[value])).unwrap();
    }
    assert_eq!(replicas.high_watermark(1), 3, "it was in sync within the lag time, and is away");
    let state = replicas.log(1).replication_state(NOW_MS);
    assert!(!state.followers[0].is_caught_up);
    // It comes back: while it is behind it is waited for no more than before, and joins once it is not.
    replicas.fetch(2, 1);
    append(replicas.log(1), &batch(&["d"])).unwrap();
    assert_eq!(replicas.high_watermark(1), 4);
    replicas.catch_up(2, 1);
    let follower = &replicas.log(1).replication_state(NOW_MS).followers[0];
    assert!(follower.is_caught_up && follower.qualifies);
}

#[test]
fn a_proposed_member_counts_before_it_is_committed() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 1, &[1]);
    append(replicas.log(1), &batch(&["a"])).unwrap();
    replicas.follow(2, 1, 1);
    replicas.catch_up(2, 1);
    assert!(replicas.log(1).replication_state(NOW_MS).followers[0].qualifies);
    assert!(!replicas.log(1).set_pending_isr(1, 9, &[2], NOW_MS), "another partition epoch");
    assert!(replicas.log(1).set_pending_isr(1, 0, &[2], NOW_MS));
    append(replicas.log(1), &batch(&["b"])).unwrap();
    assert_eq!(replicas.high_watermark(1), 1);
    // The same state once more, as a publisher of metadata may bring it: still pending.
    replicas.lead(1, 1, &[1]);
    assert!(replicas.log(1).replication_state(NOW_MS).followers[0].is_pending);
    let committed = Replication { partition_epoch: 1, ..led_by(1, &ALL, &[1, 2]) };
    replicas.log(1).lead(1, Some(&committed)).unwrap();
    let state = replicas.log(1).replication_state(NOW_MS);
    assert_eq!((state.isr_size, state.followers[0].is_pending), (2, false));
    assert_eq!(replicas.high_watermark(1), 1);
    replicas.catch_up(2, 1);
    assert_eq!(replicas.high_watermark(1), 2);
}

#[test]
fn who_is_about_to_join_is_waited_for_until_it_lags_too_long() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 1, &[1]);
    append(replicas.log(1), &batch(&["a"])).unwrap();
    replicas.follow(2, 1, 1);
    replicas.catch_up(2, 1);
    append(replicas.log(1), &batch(&["b"])).unwrap();
    assert_eq!(replicas.high_watermark(1), 1, "it was here a moment ago");
    replicas.log(1).replication_state(NOW_MS + 30_000);
    assert_eq!(replicas.high_watermark(1), 1);
    replicas.log(1).replication_state(NOW_MS + 30_001);
    assert_eq!(replicas.high_watermark(1), 2);
    // Nor is a broker waited for that may not join.
    let replicas = Replicas::new(config());
    let brokers = [ReplicaBroker { id: 2, epoch: -1, is_eligible: false }];
    replicas.logs[0].1.set_brokers(&brokers);
    replicas.lead(1, 1, &[1]);
    replicas.follow(2, 1, 1);
    replicas.catch_up(2, 1);
    append(replicas.log(1), &batch(&["a"])).unwrap();
    assert_eq!(replicas.high_watermark(1), 1);
    assert!(!replicas.log(1).replication_state(NOW_MS).followers[0].qualifies);
}

#[test]
fn below_the_minimum_nothing_is_committed_and_acks_all_is_refused() {
    let replicas = Replicas::new(two_in_sync());
    replicas.lead(1, 1, &[1]);
    let leader = replicas.log(1);
    assert_eq!(append_all(leader, "a"), 19);
    append(leader, &batch(&["a"])).unwrap();
    assert_eq!(leader.state().high_watermark, 0);
    assert!(leader.state().is_under_min_isr);
    replicas.follow(2, 1, 1);
    replicas.catch_up(2, 1);
    assert_eq!(leader.state().high_watermark, 0);
    let committed = Replication { partition_epoch: 1, ..led_by(1, &ALL, &[1, 2]) };
    leader.lead(1, Some(&committed)).unwrap();
    assert_eq!(leader.state().high_watermark, 1);
    assert_eq!(append_all(leader, "b"), 0);
    // There are never more asked for than there are replicas.
    let (_files, _manager, alone) = store(two_in_sync());
    alone.set_leader(1).unwrap();
    assert_eq!(append_all(&alone, "a"), 0);
}

#[test]
fn fetches_of_strangers_and_of_the_past_change_nothing() {
    let replicas = Replicas::new(config());
    let leader = replicas.log(1);
    let brokers = [2, 3].map(|id| ReplicaBroker { id, epoch: 7, is_eligible: true });
    replicas.logs[0].1.set_brokers(&brokers);
    replicas.lead(1, 5, &ALL);
    append(leader, &batch(&["a"])).unwrap();
    let before = leader.replication_state(NOW_MS);
    let ask = |id, epoch, broker_epoch, offset| {
        let mut request =
            ReadRequest { current_leader_epoch: epoch, ..replica_request(id, offset) };
        if let Some(replica) = &mut request.replica {
            replica.broker_epoch = broker_epoch;
        }
        leader.read(&request).code
    };
    assert_eq!(ask(2, 4, 7, 1), KafkaCode::FENCED_LEADER_EPOCH);
    assert_eq!(ask(2, 6, 7, 1), KafkaCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(ask(9, 5, 7, 1), KafkaCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(ask(9, -1, 7, 1), KafkaCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(ask(2, 5, 6, 1), KafkaCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(ask(2, 5, 7, 2), KafkaCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(leader.replication_state(NOW_MS), before);
    assert_eq!(ask(2, 5, 8, 1), KafkaCode::NONE);
    assert_eq!(ask(2, 5, 7, 1), KafkaCode::NOT_LEADER_OR_FOLLOWER, "it has registered anew");
    replicas.follow(1, 6, 2);
    assert_eq!(ask(2, 6, 8, 1), KafkaCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(ask(2, -1, 8, 1), KafkaCode::NOT_LEADER_OR_FOLLOWER);
}

#[test]
fn a_follower_takes_only_what_continues_its_log() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 3, &ALL);
    for value in ["a", "b"] {
        append(replicas.log(1), &batch(&[value])).unwrap();
    }
    let records = bytes_of(&replicas.log(1).read(&replica_request(2, 0)));
    let follower = replicas.log(2);
    let put = |records: &[u8], epoch| {
        follower
            .append_from_leader(&mut records.to_vec(), epoch, -1, -1, NOW_MS)
            .map_or_else(|error| error.code.0, |_| 0)
    };
    replicas.follow(2, 4, 1);
    assert_eq!(put(&records, 3), 74);
    assert_eq!(put(&records, 5), 75);
    let mut damaged = records.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(put(&damaged, 4), 2);
    assert_eq!(follower.state().log_end_offset, 0, "the good batch before it was not taken either");
    assert_eq!(put(&records, 4), 0);
    assert_eq!(put(&records, 4), 1, "not twice");
    // A client, and a leader of the past.
    assert_eq!(code(follower, &batch(&["x"])), 6);
    let (_files, _manager, old) = store(config());
    old.lead(2, Some(&led_by(1, &ALL, &ALL))).unwrap();
    for value in ["a", "b", "c"] {
        append(&old, &batch(&[value])).unwrap();
    }
    let of_the_past = bytes_of(&old.read(&replica_request(2, 2)));
    assert_eq!(put(&of_the_past, 4), 2);
    // Batches of an epoch that the fetch knew nothing of are left for the next one.
    replicas.log(1).lead(5, Some(&led_by(1, &ALL, &ALL))).unwrap();
    append(replicas.log(1), &batch(&["later"])).unwrap();
    let later = bytes_of(&replicas.log(1).read(&replica_request(2, 2)));
    assert_eq!(put(&later, 4), 0);
    assert_eq!(follower.state().log_end_offset, 2);
    replicas.follow(2, 5, 1);
    assert_eq!(put(&later, 5), 0);
    assert_eq!(follower.state().log_end_offset, 3);
    // Roles that changed while an answer was on its way.
    assert_eq!(follower.truncate_as_follower(4, 0), Err(KafkaCode::FENCED_LEADER_EPOCH));
    replicas.lead(2, 6, &ALL);
    assert_eq!(follower.truncate_as_follower(6, 0), Err(KafkaCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(follower.start_over_as_follower(6, 9), Err(KafkaCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(put(&later, 6), 6);
    assert_eq!(follower.state().log_end_offset, 3);
}

#[test]
fn the_log_start_follows_as_far_as_is_committed() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 1, &[1, 2]);
    replicas.follow(2, 1, 1);
    for value in ["a", "b", "c"] {
        append(replicas.log(1), &batch(&[value])).unwrap();
    }
    replicas.catch_up(2, 1);
    replicas.log(1).delete_records(2).unwrap();
    assert_eq!(replicas.log(2).delete_records(2), Err(KafkaCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(replicas.log(1).state().low_watermark, -1, "replica 3 never came");
    let brokers = [2, 3].map(|id| ReplicaBroker { id, epoch: -1, is_eligible: id == 2 });
    replicas.logs[0].1.set_brokers(&brokers);
    assert_eq!(replicas.log(1).state().low_watermark, 0);
    replicas.fetch(2, 1);
    assert_eq!(replicas.log(2).state().log_start_offset, 2);
    let request = ReadRequest { current_leader_epoch: 1, ..replica_request(2, 3) };
    let replica =
        request.replica.map(|replica| sluice_log::ReplicaFetch { log_start_offset: 2, ..replica });
    replicas.log(1).read(&ReadRequest { replica, ..request });
    assert_eq!(replicas.log(1).state().low_watermark, 2);
    // A leader that begins beyond our end.
    replicas.follow(3, 1, 1);
    replicas.log(3).start_over_as_follower(1, 2).unwrap();
    replicas.catch_up(3, 1);
    assert_eq!(replicas.values(3), ["c"]);
    assert_eq!(replicas.log(3).state().log_start_offset, 2);
}

#[test]
fn a_new_leader_tells_no_latest_offset_before_it_knows() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 1, &ALL);
    replicas.follow(2, 1, 1);
    replicas.follow(3, 1, 1);
    append(replicas.log(1), &batch(&["a", "b"])).unwrap();
    replicas.catch_up(2, 1);
    replicas.lead(2, 2, &[2, 3]);
    let latest = |isolation| {
        let found = replicas.log(2).offset_for_timestamp(-1, isolation, -1);
        (found.code.0, found.offset)
    };
    assert_eq!(latest(Isolation::ReadUncommitted), (78, -1));
    assert_eq!(latest(Isolation::LogEnd), (0, 2));
    let beyond = replicas.log(2).offset_for_timestamp(NOW_MS, Isolation::ReadUncommitted, -1);
    assert_eq!(beyond.code.0, 78);
    replicas.follow(3, 2, 2);
    replicas.catch_up(3, 2);
    assert_eq!(latest(Isolation::ReadUncommitted), (0, 2));
}

#[test]
fn a_restarted_replica_shows_only_what_was_committed() {
    let mut replicas = Replicas::new(config());
    replicas.lead(1, 1, &[1, 2]);
    replicas.follow(2, 1, 1);
    append(replicas.log(1), &batch(&["a"])).unwrap();
    replicas.catch_up(2, 1);
    append(replicas.log(1), &batch(&["b"])).unwrap();
    replicas.restart(1);
    replicas.follow(1, 1, 2);
    assert_eq!(replicas.high_watermark(1), 1);
    replicas.lead(1, 2, &[1, 2]);
    assert_eq!(replicas.high_watermark(1), 1);
    // Alone it shows all it has.
    replicas.restart(1);
    replicas.log(1).set_leader(3).unwrap();
    assert_eq!(replicas.high_watermark(1), 2);
}

#[test]
fn a_leadership_with_a_break_is_told_from_one_without() {
    let (_files, _manager, log) = store(config());
    log.lead(3, Some(&led_by(1, &ALL, &ALL))).unwrap();
    log.lead(4, Some(&led_by(1, &ALL, &ALL))).unwrap();
    assert_eq!(log.state().leader_since, 3);
    log.follow(5, 2).unwrap();
    assert_eq!(log.state().leader_since, i32::MAX);
    log.lead(6, Some(&led_by(1, &ALL, &ALL))).unwrap();
    assert_eq!(log.state().leader_since, 6);
}

#[test]
fn an_epoch_without_records_is_forgotten_with_the_leadership() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 1, &ALL);
    append(replicas.log(1), &batch(&["a"])).unwrap();
    replicas.lead(1, 2, &ALL);
    replicas.follow(1, 3, 2);
    assert_eq!(replicas.log(1).replication_state(NOW_MS).last_epoch, 1);
}

/// KIP-101, first scenario. A follower that restarts before it heard of the high watermark, and then leads, loses a committed record
/// if it cuts its log at the high watermark it knows.
#[test]
fn truncation_to_the_high_watermark_loses_what_was_committed() {
    for cuts_to_high_watermark in [true, false] {
        let mut replicas = Replicas::new(config());
        replicas.lead(1, 0, &[1, 2]);
        replicas.follow(2, 0, 1);
        append(replicas.log(1), &batch(&["m1"])).unwrap();
        append(replicas.log(1), &batch(&["m2"])).unwrap();
        replicas.fetch(2, 1);
        // The leader learns that 2 has both, and tells its clients; 2 has not heard of it.
        replicas.log(1).read(&replica_request(2, 2));
        assert_eq!((replicas.high_watermark(1), replicas.high_watermark(2)), (2, 0));
        replicas.restart(2);
        replicas.follow(2, 0, 1);
        if cuts_to_high_watermark {
            let high_watermark = replicas.high_watermark(2);
            replicas.log(2).truncate_as_follower(0, high_watermark).unwrap();
        }
        // Before it fetches again, the leader is gone, and 2 leads.
        replicas.lead(2, 1, &[2]);
        let is_lost = replicas.values(2) != ["m1", "m2"];
        assert_eq!(is_lost, cuts_to_high_watermark);
        replicas.follow(1, 1, 2);
        if !cuts_to_high_watermark {
            replicas.catch_up(1, 2);
            assert_eq!(replicas.values(1), ["m1", "m2"]);
        }
    }
}

/// KIP-101, second scenario. Both lose power; who comes back first leads with less and writes on. The other must not keep its own record
/// at the same offset.
#[test]
fn logs_that_grew_apart_become_one_again() {
    for by_high_watermark in [true, false] {
        let replicas = Replicas::new(config());
        replicas.lead(1, 0, &[1, 2]);
        replicas.follow(2, 0, 1);
        append(replicas.log(1), &batch(&["m1"])).unwrap();
        replicas.catch_up(2, 1);
        append(replicas.log(1), &batch(&["m2"])).unwrap();
        replicas.log(1).read(&replica_request(2, 2));
        assert_eq!(replicas.high_watermark(1), 2);
        // 2 lost "m2" with its power, leads, and writes another record there.
        replicas.lead(2, 1, &[2]);
        append(replicas.log(2), &batch(&["m3"])).unwrap();
        replicas.follow(1, 1, 2);
        if by_high_watermark {
            replicas.log(1).truncate_as_follower(1, replicas.high_watermark(1)).unwrap();
            let records = bytes_of(&replicas.log(2).read(&replica_request(1, 2)));
            assert!(records.is_empty(), "as if both were the same");
            assert_ne!(replicas.values(1), replicas.values(2));
        } else {
            replicas.catch_up(1, 2);
            assert_eq!(replicas.values(1), replicas.values(2));
        }
    }
}

/// KIP-279. After quick changes of leaders an epoch that the leader never had must not be taken for a shared one.
#[test]
fn an_epoch_that_the_leader_never_had_is_cut() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 0, &[1, 2]);
    replicas.follow(2, 0, 1);
    append(replicas.log(1), &batch(&["m1"])).unwrap();
    replicas.catch_up(2, 1);
    // 2 leads under 1 and writes what nobody copies; then 1 under 2, which writes as well.
    replicas.lead(2, 1, &[1, 2]);
    append(replicas.log(2), &batch(&["lost"])).unwrap();
    append(replicas.log(2), &batch(&["lost too"])).unwrap();
    replicas.lead(1, 2, &[1, 2]);
    append(replicas.log(1), &batch(&["m2"])).unwrap();
    replicas.follow(2, 2, 1);
    replicas.catch_up(2, 1);
    assert_eq!(replicas.values(2), ["m1", "m2"]);
    assert_eq!(replicas.values(1), replicas.values(2));
    assert_eq!(replicas.high_watermark(1), 2);
}

/// KIP-320. A leader of the past must not count fetches of followers that have moved on, nor they take its records.
#[test]
fn a_leader_of_the_past_commits_nothing() {
    let replicas = Replicas::new(config());
    replicas.lead(1, 0, &[1, 2]);
    replicas.follow(2, 0, 1);
    append(replicas.log(1), &batch(&["m1"])).unwrap();
    replicas.catch_up(2, 1);
    replicas.lead(2, 1, &[1, 2]);
    replicas.follow(3, 1, 2);
    append(replicas.log(1), &batch(&["zombie"])).unwrap();
    let fetch = ReadRequest { current_leader_epoch: 1, ..replica_request(2, 2) };
    assert_eq!(replicas.log(1).read(&fetch).code, KafkaCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(replicas.high_watermark(1), 1);
    let mut records = bytes_of(&replicas.log(1).read(&replica_request(2, 1)));
    let late = replicas.log(3).append_from_leader(&mut records, 0, 2, 0, NOW_MS);
    assert_eq!(late.unwrap_err().code, KafkaCode::FENCED_LEADER_EPOCH);
    replicas.follow(1, 1, 2);
    append(replicas.log(2), &batch(&["m2"])).unwrap();
    replicas.catch_up(1, 2);
    assert_eq!(replicas.values(1), ["m1", "m2"]);
}

/// What happens to a partition, whoever leads it.
#[derive(Debug, Clone)]
enum Step {
    Append,
    /// By one of the followers.
    Fetch(u8),
    /// A proposal to take a follower in, then its commit.
    Propose(u8),
    Commit,
    /// The ISR without a follower.
    Shrink(u8),
    /// Another member of the committed ISR leads.
    Elect(u8),
    Restart(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Append),
        8 => (0..2_u8).prop_map(Step::Fetch),
        2 => (0..2_u8).prop_map(Step::Propose),
        2 => Just(Step::Commit),
        1 => (0..2_u8).prop_map(Step::Shrink),
        1 => (0..3_u8).prop_map(Step::Elect),
        1 => (0..3_u8).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// The controller's side, and what must hold.
struct World {
    replicas: Replicas,
    leader: i32,
    leader_epoch: i32,
    partition_epoch: i32,
    isr: Vec<i32>,
    pending: Vec<i32>,
    written: u32,
    /// Values below the highest high watermark that was ever seen on a leader.
    committed: Vec<String>,
    counts_pending: bool,
}

impl World {
    fn new(counts_pending: bool) -> Self {
        let world = Self {
            replicas: Replicas::new(config()),
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
            isr: ALL.to_vec(),
            pending: vec![],
            written: 0,
            committed: vec![],
            counts_pending,
        };
        world.tell();
        world
    }

    fn follower(&self, at: u8) -> i32 {
        let others: Vec<i32> = ALL.into_iter().filter(|id| *id != self.leader).collect();
        others[usize::from(at)]
    }

    /// Everybody hears of the committed state.
    fn tell(&self) {
        for id in ALL {
            if id == self.leader {
                let replication = Replication {
                    partition_epoch: self.partition_epoch,
                    ..led_by(id, &ALL, &self.isr)
                };
                self.replicas.log(id).lead(self.leader_epoch, Some(&replication)).unwrap();
            } else {
                self.replicas.follow(id, self.leader_epoch, self.leader);
            }
        }
    }

    fn take(&mut self, step: &Step) {
        let leader = self.leader;
        match step {
            Step::Append => {
                self.written += 1;
                let value = format!("{}", self.written);
                append(self.replicas.log(leader), &batch(&[&value])).unwrap();
            }
            Step::Fetch(at) => {
                self.replicas.fetch(self.follower(*at), leader);
            }
            Step::Propose(at) => {
                let id = self.follower(*at);
                let state = self.replicas.log(leader).replication_state(NOW_MS);
                if state.partition_epoch != self.partition_epoch {
                    return self.tell();
                }
                let known = state.followers.iter().find(|follower| follower.id == id).unwrap();
                if known.qualifies && !known.is_in_sync && self.pending.is_empty() {
                    self.pending = vec![id];
                    if self.counts_pending {
                        let log = self.replicas.log(leader);
                        assert!(log.set_pending_isr(
                            self.leader_epoch,
                            self.partition_epoch,
                            &[id],
                            NOW_MS + 60_000,
                        ));
                    }
                }
            }
            Step::Commit => {
                if let Some(id) = self.pending.pop() {
                    // The controller has it from here on; the leader hears of it a step later, or never.
                    self.isr.push(id);
                    self.partition_epoch += 1;
                }
            }
            Step::Shrink(at) => {
                let id = self.follower(*at);
                if self.pending.is_empty() && self.isr.contains(&id) {
                    self.isr.retain(|member| *member != id);
                    self.partition_epoch += 1;
                    self.tell();
                }
            }
            Step::Elect(at) => {
                let next = self.isr[usize::from(*at) % self.isr.len()];
                self.leader = next;
                self.leader_epoch += 1;
                self.partition_epoch += 1;
                self.pending.clear();
                self.tell();
            }
            Step::Restart(at) => {
                let id = ALL[usize::from(*at)];
                self.replicas.restart(id);
                self.leader_epoch += i32::from(id == leader);
                self.partition_epoch += i32::from(id == leader);
                if id == leader {
                    self.pending.clear();
                }
                self.tell();
            }
        }
    }

    /// Says what is wrong, if something is.
    fn check(&mut self, before: &[i64]) -> Result<(), String> {
        let leader = self.replicas.log(self.leader);
        let state = leader.state();
        if state.high_watermark > state.log_end_offset {
            return Err("the high watermark is beyond the log end".to_owned());
        }
        for (id, before) in ALL.iter().zip(before) {
            if self.replicas.high_watermark(*id) < *before {
                return Err(format!("the high watermark of {id} went back"));
            }
        }
        let values = self.replicas.values(self.leader);
        let visible = values.get(..state.high_watermark as usize).ok_or("too short")?;
        let shared = visible.len().min(self.committed.len());
        if visible[..shared] != self.committed[..shared] || values.len() < self.committed.len() {
            return Err(format!("{:?} was committed, {values:?} is there", self.committed));
        }
        if visible.len() > self.committed.len() {
            self.committed = visible.to_vec();
        }
        // Whoever may be elected has all of it.
        for id in &self.isr {
            if !self.replicas.values(*id).starts_with(&self.committed) {
                return Err(format!("{id} is in the ISR without {:?}", self.committed));
            }
        }
        Ok(())
    }

    fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            let restarted = matches!(step, Step::Restart(_));
            let before: Vec<i64> = ALL.iter().map(|id| self.replicas.high_watermark(*id)).collect();
            self.take(step);
            let floor = if restarted { vec![0; ALL.len()] } else { before };
            self.check(&floor).map_err(|wrong| format!("after {step:?}: {wrong}"))?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_committed_is_lost(steps in steps()) {
        prop_assert_eq!(World::new(true).run(&steps), Ok(()));
    }
}

/// The committed ISR alone does not do: the controller may have taken a member in that the leader does not count yet.
#[test]
fn without_the_maximal_isr_records_are_lost() {
    let steps = [
        Step::Shrink(0),
        Step::Append,
        Step::Fetch(1),
        Step::Fetch(1),
        Step::Fetch(0),
        Step::Fetch(0),
        Step::Propose(0),
        Step::Commit,
    ];
    let lag = |counts_pending| {
        let mut world = World::new(counts_pending);
        world.run(&steps).unwrap();
        // A while later: replica 2 would no longer be waited for as one about to join.
        let late = AppendRequest { now_ms: NOW_MS + 31_000, ..request() };
        world.replicas.log(1).append(&mut batch(&["late"]), &late).unwrap();
        let fetch = replica_request(3, 2);
        let replica = fetch
            .replica
            .map(|replica| sluice_log::ReplicaFetch { now_ms: late.now_ms, ..replica });
        world.replicas.fetch(3, 1);
        world.replicas.log(1).read(&ReadRequest { replica, ..fetch });
        let floor = vec![0; ALL.len()];
        world.check(&floor)
    };
    assert_eq!(lag(true), Ok(()));
    assert!(lag(false).unwrap_err().contains("in the ISR without"));
}
