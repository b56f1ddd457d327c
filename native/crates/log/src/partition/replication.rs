//! What a leader of several replicas knows of its followers, and how far its high watermark may be; what a follower may do.
//!
//! A follower says with each fetch where its log ends: everything below it has. A record is committed when every replica that may be
//! elected has it, so the high watermark is the smallest log end of the *maximal* ISR: the committed one, and those that were proposed to join
//! it, since the controller may have taken them in already. Followers that are about to join are waited for too (otherwise one would
//! never get there while others write). With fewer than `min.insync.replicas` in the ISR the high watermark stands still (KIP-966),
//! and it never goes back.
//!
//! No clock and no I/O: [`Leadership`] is arithmetic inside of the partition's lock.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::{Inner, PartitionLog, Role};
use crate::error::{AppendError, KafkaCode, LogError};
use crate::types::{
    AppendRequest, Change, FollowerOutcome, FollowerState, Origin, ReplicaBroker, ReplicaFetch,
    ReplicaRole, Replication, ReplicationState,
};

/// Offset, time or epoch that is not known.
const UNKNOWN: i64 = -1;

/// Brokers as the cluster's metadata tells them, for all partitions of a store.
#[derive(Default)]
pub(crate) struct Brokers {
    /// `None` until somebody told: everybody is taken at their word.
    known: RwLock<Option<HashMap<i32, ReplicaBroker>>>,
}

impl Brokers {
    /// What is known, held.
    #[cfg(test)]
    pub(crate) fn hold_all(&self) -> impl Sized {
        self.known.write()
    }

    pub(crate) fn replace(&self, brokers: &[ReplicaBroker]) {
        let known = brokers.iter().map(|broker| (broker.id, *broker)).collect();
        *self.known.write() = Some(known);
    }

    /// Whether a broker that fetches with this epoch may join an ISR.
    fn is_eligible(&self, id: i32, epoch: i64) -> bool {
        self.known.read().as_ref().is_none_or(|known| {
            known.get(&id).is_some_and(|broker| broker.is_eligible && broker.epoch == epoch)
        })
    }

    fn is_alive(&self, id: i32) -> bool {
        self.known
            .read()
            .as_ref()
            .is_none_or(|known| known.get(&id).is_some_and(|broker| broker.is_eligible))
    }

    /// Whether the broker has registered anew since it had this epoch.
    fn is_stale(&self, id: i32, epoch: i64) -> bool {
        self.known
            .read()
            .as_ref()
            .and_then(|known| known.get(&id))
            .is_some_and(|broker| epoch < broker.epoch)
    }
}

/// One follower, as its fetches under this leader epoch tell.
#[derive(Debug, Clone)]
struct Follower {
    id: i32,
    broker_epoch: i64,
    log_end_offset: i64,
    log_start_offset: i64,
    last_caught_up_ms: i64,
    last_fetch_ms: i64,
    /// The leader's log end at the fetch before: a follower that gets there has caught up with that moment.
    last_fetch_leader_end: i64,
    is_in_sync: bool,
    is_pending: bool,
}

impl Follower {
    fn new(id: i32, is_in_sync: bool, now_ms: i64) -> Self {
        Self {
            id,
            broker_epoch: UNKNOWN,
            log_end_offset: UNKNOWN,
            log_start_offset: UNKNOWN,
            last_caught_up_ms: if is_in_sync { now_ms } else { 0 },
            last_fetch_ms: 0,
            last_fetch_leader_end: UNKNOWN,
            is_in_sync,
            is_pending: false,
        }
    }

    fn note(&mut self, offset: i64, fetch: &ReplicaFetch, leader_end: i64) {
        let caught_up_ms = if offset >= leader_end {
            fetch.now_ms
        } else if self.last_fetch_leader_end >= 0 && offset >= self.last_fetch_leader_end {
            self.last_fetch_ms
        } else {
            0
        };
        self.last_caught_up_ms = self.last_caught_up_ms.max(caught_up_ms);
        self.broker_epoch = fetch.broker_epoch;
        self.log_end_offset = offset;
        self.log_start_offset = fetch.log_start_offset;
        self.last_fetch_leader_end = leader_end.max(self.last_fetch_leader_end);
        self.last_fetch_ms = fetch.now_ms;
    }

    /// It left the ISR: that it had caught up a while ago counts no more. Otherwise whoever comes back within the lag time, with gigabytes
    /// to catch up on, would be waited for as one who is about to join, and nothing would be committed meanwhile.
    fn leave(&mut self) {
        self.last_caught_up_ms = 0;
        self.last_fetch_leader_end = UNKNOWN;
    }

    fn is_caught_up(&self, leader_end: i64, now_ms: i64, lag_time_max_ms: i64) -> bool {
        self.log_end_offset == leader_end
            || (self.last_caught_up_ms > 0
                && now_ms.saturating_sub(self.last_caught_up_ms) <= lag_time_max_ms)
    }

    /// Whether it has less than the leader, and had everything a moment ago: it is about to join.
    fn lags_within(&self, leader_end: i64, now_ms: i64, lag_time_max_ms: i64) -> bool {
        (0..leader_end).contains(&self.log_end_offset)
            && self.is_caught_up(leader_end, now_ms, lag_time_max_ms)
    }
}

/// The leader's side of a partition with several replicas.
#[derive(Debug)]
pub(super) struct Leadership {
    partition_epoch: i32,
    /// Where the leader's epoch begins.
    pub(super) epoch_start_offset: i64,
    lag_time_max_ms: i64,
    followers: Vec<Follower>,
}

impl Leadership {
    fn new(replication: &Replication, epoch_start_offset: i64) -> Self {
        let mut leadership = Self {
            partition_epoch: replication.partition_epoch,
            epoch_start_offset,
            lag_time_max_ms: replication.lag_time_max_ms,
            followers: Vec::new(),
        };
        leadership.assign(replication);
        leadership
    }

    /// Takes a committed state over. Followers that stay keep their progress; nothing is pending any more.
    fn assign(&mut self, replication: &Replication) {
        self.partition_epoch = replication.partition_epoch;
        self.lag_time_max_ms = replication.lag_time_max_ms;
        let mut before = std::mem::take(&mut self.followers);
        for &id in replication.replicas.iter().filter(|id| **id != replication.node_id) {
            if self.followers.iter().any(|follower| follower.id == id) {
                continue;
            }
            let is_in_sync = replication.isr.contains(&id);
            let known = before.iter().position(|follower| follower.id == id);
            let mut follower = known.map_or_else(
                || Follower::new(id, is_in_sync, replication.now_ms),
                |at| before.swap_remove(at),
            );
            if follower.is_in_sync && !is_in_sync {
                follower.leave();
            }
            follower.is_in_sync = is_in_sync;
            follower.is_pending = false;
            self.followers.push(follower);
        }
    }

    /// Members of the committed ISR, the leader among them.
    pub(super) fn isr_size(&self) -> usize {
        1 + self.followers.iter().filter(|follower| follower.is_in_sync).count()
    }

    fn maximal_isr_size(&self) -> usize {
        1 + self
            .followers
            .iter()
            .filter(|follower| follower.is_in_sync || follower.is_pending)
            .count()
    }

    /// What `min.insync.replicas` asks here: never more than there are replicas.
    pub(super) fn min_isr(&self, configured: i64) -> usize {
        usize::try_from(configured).unwrap_or(1).clamp(1, self.followers.len() + 1)
    }

    /// First offset that somebody who may be elected, or is about to join, does not have. `None` when nothing may be committed.
    fn committed_offset(
        &self,
        leader_end: i64,
        configured_min_isr: i64,
        now_ms: i64,
        brokers: &Brokers,
    ) -> Option<i64> {
        if self.isr_size() < self.min_isr(configured_min_isr) {
            return None;
        }
        let waited_for = self.followers.iter().filter(|follower| {
            follower.is_in_sync
                || follower.is_pending
                || (follower.lags_within(leader_end, now_ms, self.lag_time_max_ms)
                    && brokers.is_eligible(follower.id, follower.broker_epoch))
        });
        Some(waited_for.map(|follower| follower.log_end_offset).fold(leader_end, i64::min))
    }

    fn qualifies(&self, follower: &Follower, high_watermark: i64, brokers: &Brokers) -> bool {
        follower.log_end_offset >= high_watermark
            && follower.log_end_offset >= self.epoch_start_offset
            && brokers.is_eligible(follower.id, follower.broker_epoch)
    }

    /// Smallest log start offset of the followers that live.
    fn low_watermark(&self, leader_start: i64, brokers: &Brokers) -> i64 {
        self.followers
            .iter()
            .filter(|follower| brokers.is_alive(follower.id))
            .map(|follower| follower.log_start_offset)
            .fold(leader_start, i64::min)
    }
}

impl Inner {
    /// Moves the high watermark of a leader up as far as its followers allow; says whether it moved.
    pub(super) fn advance_high_watermark(
        &mut self,
        min_isr: i64,
        now_ms: i64,
        brokers: &Brokers,
    ) -> bool {
        let before = self.high_watermark;
        if self.high_watermark_follows {
            let log_end_offset = self.log_end_offset;
            self.set_high_watermark(log_end_offset);
        } else if let Some(leadership) = &self.leadership
            && let Some(offset) =
                leadership.committed_offset(self.log_end_offset, min_isr, now_ms, brokers)
            && offset > before
        {
            self.set_high_watermark(offset);
        }
        self.high_watermark != before
    }

    /// Why a follower's fetch is refused, if it is.
    pub(super) fn refuse_replica(
        &self,
        fetch: &ReplicaFetch,
        current_leader_epoch: i32,
        brokers: &Brokers,
    ) -> Option<KafkaCode> {
        let follower = self.leadership.as_ref().and_then(|leadership| {
            leadership.followers.iter().find(|follower| follower.id == fetch.id)
        });
        let Some(follower) = follower else {
            // Who names the epoch may know of an assignment that this leader does not know yet.
            return Some(if current_leader_epoch >= 0 {
                KafkaCode::UNKNOWN_LEADER_EPOCH
            } else {
                KafkaCode::NOT_LEADER_OR_FOLLOWER
            });
        };
        let is_stale = fetch.broker_epoch >= 0
            && (fetch.broker_epoch < follower.broker_epoch
                || brokers.is_stale(fetch.id, fetch.broker_epoch));
        is_stale.then_some(KafkaCode::NOT_LEADER_OR_FOLLOWER)
    }

    /// Notes where a follower's log ends. Returns whether somebody may be waiting for what that changed.
    pub(super) fn note_replica(
        &mut self,
        fetch: &ReplicaFetch,
        offset: i64,
        min_isr: i64,
        brokers: &Brokers,
    ) -> bool {
        let leader_end = self.log_end_offset;
        let Some(follower) = self.leadership.as_mut().and_then(|leadership| {
            leadership.followers.iter_mut().find(|follower| follower.id == fetch.id)
        }) else {
            return false;
        };
        let log_start_offset = follower.log_start_offset;
        follower.note(offset, fetch, leader_end);
        let has_trimmed = log_start_offset != follower.log_start_offset;
        self.advance_high_watermark(min_isr, fetch.now_ms, brokers) || has_trimmed
    }

    /// What every replica that lives has dropped.
    pub(super) fn low_watermark(&self, brokers: &Brokers) -> i64 {
        self.leadership.as_ref().map_or(self.log_start_offset, |leadership| {
            leadership.low_watermark(self.log_start_offset, brokers)
        })
    }

    /// Whether the maximal ISR is smaller than acks=all asks.
    pub(super) fn is_under_min_isr(&self, min_isr: i64) -> bool {
        self.leadership
            .as_ref()
            .is_some_and(|leadership| leadership.maximal_isr_size() < leadership.min_isr(min_isr))
    }

    /// A log that was just recovered showed all it has, as one that is alone does. With other replicas only what was known to be committed is.
    fn hide_uncommitted(&mut self) {
        if self.role == Role::Unassigned {
            let high_watermark = self.recovered_high_watermark;
            self.set_high_watermark(high_watermark);
        }
        self.high_watermark_follows = false;
    }
}

impl PartitionLog {
    /// This replica leads from `leader_epoch` on; with several replicas as `replication` says, else alone. See
    /// `src/log/replication.ts`.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an epoch older than the one in force.
    pub fn lead(
        &self,
        leader_epoch: i32,
        replication: Option<&Replication>,
    ) -> Result<(), LogError> {
        let mut inner = self.inner.lock();
        self.check_role_epoch(&inner, leader_epoch)?;
        let was_leader = inner.role == Role::Leader;
        let is_new_epoch = !was_leader || leader_epoch > inner.leader_epoch;
        if let Some(replication) = replication.filter(|known| known.replicas.len() > 1) {
            match inner.leadership.as_mut().filter(|_| !is_new_epoch) {
                Some(known) if replication.partition_epoch <= known.partition_epoch => {
                    return Ok(());
                }
                Some(known) => known.assign(replication),
                None => {
                    let begun = inner.epochs.start_of(leader_epoch).filter(|_| !is_new_epoch);
                    let epoch_start_offset = begun.unwrap_or(inner.log_end_offset);
                    inner.hide_uncommitted();
                    let leadership = Leadership::new(replication, epoch_start_offset);
                    inner.leadership = Some(Box::new(leadership));
                }
            }
        } else {
            inner.leadership = None;
            inner.high_watermark_follows = true;
        }
        if !was_leader {
            inner.leader_since = leader_epoch;
        }
        inner.role = Role::Leader;
        inner.leader_epoch = leader_epoch;
        inner.leader_id = -1;
        if !self.is_quarantined.load(std::sync::atomic::Ordering::Acquire) {
            // As Kafka does: an epoch begins where its leader found the log's end, records or not.
            let log_end_offset = inner.log_end_offset;
            inner.are_epochs_dirty |= inner.epochs.assign(leader_epoch, log_end_offset);
        }
        let now_ms = replication.map_or(0, |replication| replication.now_ms);
        let min_isr = self.config().min_insync_replicas;
        inner.advance_high_watermark(min_isr, now_ms, &self.store.brokers);
        drop(inner);
        self.notify(Change::Everything);
        Ok(())
    }

    /// This replica follows `leader_id` (-1: nobody leads) under `leader_epoch`: only a leader's batches are taken.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an epoch older than the one in force.
    pub fn follow(&self, leader_epoch: i32, leader_id: i32) -> Result<(), LogError> {
        let mut inner = self.inner.lock();
        self.check_role_epoch(&inner, leader_epoch)?;
        inner.hide_uncommitted();
        inner.leadership = None;
        inner.role = Role::Follower;
        inner.leader_epoch = leader_epoch;
        inner.leader_id = leader_id;
        inner.leader_since = i32::MAX;
        // An epoch that this replica began as leader and wrote nothing in is not that of its last record.
        let log_end_offset = inner.log_end_offset;
        inner.are_epochs_dirty |= inner.epochs.truncate_from_end(log_end_offset);
        drop(inner);
        self.notify(Change::Everything);
        Ok(())
    }

    fn check_role_epoch(&self, inner: &Inner, leader_epoch: i32) -> Result<(), LogError> {
        if leader_epoch >= inner.leader_epoch {
            return Ok(());
        }
        Err(LogError::new(
            LogError::INVALID_ARGUMENT,
            format!(
                "leader epoch {leader_epoch} of {} is older than {}",
                self.label, inner.leader_epoch
            ),
        ))
    }

    /// Counts `additions` to the maximal ISR until a newer partition epoch comes or others are named. Returns false, and does nothing,
    /// where the partition is not led at these epochs.
    pub fn set_pending_isr(
        &self,
        leader_epoch: i32,
        partition_epoch: i32,
        additions: &[i32],
        now_ms: i64,
    ) -> bool {
        let mut inner = self.inner.lock();
        let is_current = inner.leader_epoch == leader_epoch;
        let Some(leadership) = inner
            .leadership
            .as_mut()
            .filter(|known| is_current && known.partition_epoch == partition_epoch)
        else {
            return false;
        };
        for follower in &mut leadership.followers {
            follower.is_pending = additions.contains(&follower.id);
        }
        let min_isr = self.config().min_insync_replicas;
        let is_moved = inner.advance_high_watermark(min_isr, now_ms, &self.store.brokers);
        drop(inner);
        if is_moved {
            self.notify(Change::Committed);
        }
        true
    }

    /// What the ISR manager and the fetchers look at. Also lets go of a high watermark that waits for a follower which lags too long.
    pub fn replication_state(&self, now_ms: i64) -> ReplicationState {
        let min_isr = self.config().min_insync_replicas;
        let brokers = &self.store.brokers;
        let mut inner = self.inner.lock();
        let is_moved =
            inner.leadership.is_some() && inner.advance_high_watermark(min_isr, now_ms, brokers);
        let leadership = inner.leadership.as_deref();
        let state = ReplicationState {
            role: match inner.role {
                Role::Follower => ReplicaRole::Follower,
                _ if leadership.is_some() => ReplicaRole::Leader,
                _ => ReplicaRole::Alone,
            },
            leader_epoch: inner.leader_epoch,
            partition_epoch: leadership.map_or(-1, |known| known.partition_epoch),
            log_start_offset: inner.log_start_offset,
            log_end_offset: inner.log_end_offset,
            high_watermark: inner.high_watermark,
            last_epoch: inner.epochs.latest().unwrap_or(-1),
            epoch_start_offset: leadership.map_or(-1, |known| known.epoch_start_offset),
            isr_size: leadership.map_or(1, Leadership::isr_size),
            min_isr: leadership.map_or(1, |known| known.min_isr(min_isr)),
            leader_id: inner.leader_id,
            followers: leadership.map_or_else(Vec::new, |known| {
                known
                    .followers
                    .iter()
                    .map(|follower| FollowerState {
                        id: follower.id,
                        log_end_offset: follower.log_end_offset,
                        log_start_offset: follower.log_start_offset,
                        last_caught_up_ms: follower.last_caught_up_ms,
                        broker_epoch: follower.broker_epoch,
                        is_in_sync: follower.is_in_sync,
                        is_pending: follower.is_pending,
                        qualifies: known.qualifies(follower, inner.high_watermark, brokers),
                        is_caught_up: follower.is_caught_up(
                            inner.log_end_offset,
                            now_ms,
                            known.lag_time_max_ms,
                        ),
                    })
                    .collect()
            }),
        };
        drop(inner);
        if is_moved {
            self.notify(Change::Committed);
        }
        state
    }

    /// Appends batches of the leader as they are, and then takes over its high watermark and log start offset as far as this log
    /// allows. See `src/log/replication.ts`.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR: nothing
    /// was appended.
    pub fn append_from_leader(
        &self,
        records: &mut [u8],
        leader_epoch: i32,
        high_watermark: i64,
        log_start_offset: i64,
        now_ms: i64,
    ) -> Result<FollowerOutcome, AppendError> {
        if !records.is_empty() {
            let request =
                AppendRequest { leader_epoch, acks: 1, origin: Origin::RawFollower, now_ms };
            self.append(records, &request)?;
        }
        let mut inner = self.inner.lock();
        if let Some(code) = refuse_follower(&inner, leader_epoch) {
            return Err(AppendError::new(code, format!("{} does not follow there", self.label)));
        }
        let before = (inner.high_watermark, inner.log_start_offset);
        if high_watermark > inner.high_watermark {
            inner.set_high_watermark(high_watermark);
        }
        let log_start_offset = log_start_offset.min(inner.high_watermark);
        if log_start_offset > inner.log_start_offset {
            self.advance_log_start(&mut inner, log_start_offset);
        }
        let outcome = FollowerOutcome {
            log_end_offset: inner.log_end_offset,
            high_watermark: inner.high_watermark,
            log_start_offset: inner.log_start_offset,
            last_epoch: inner.epochs.latest().unwrap_or(-1),
        };
        let is_moved = before != (inner.high_watermark, inner.log_start_offset);
        drop(inner);
        if is_moved {
            self.notify(Change::Committed);
        }
        Ok(outcome)
    }
}

/// Why work of a follower under `leader_epoch` is refused, if it is.
pub(super) fn refuse_follower(inner: &Inner, leader_epoch: i32) -> Option<KafkaCode> {
    match leader_epoch.cmp(&inner.leader_epoch) {
        std::cmp::Ordering::Less => Some(KafkaCode::FENCED_LEADER_EPOCH),
        std::cmp::Ordering::Greater => Some(KafkaCode::UNKNOWN_LEADER_EPOCH),
        std::cmp::Ordering::Equal if inner.role == Role::Follower => None,
        std::cmp::Ordering::Equal => Some(KafkaCode::NOT_LEADER_OR_FOLLOWER),
    }
}
