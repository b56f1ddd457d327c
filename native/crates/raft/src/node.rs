//! The node: the crate's `RawNode` between a cache that it reads from and a store that remembers; see the head of the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, HardState,
    Message, MessageType,
};
use raft::{Changer, Config, ProgressState, RawNode, SnapshotStatus, StateRole};
use sluice_log::LogError;

use crate::cache::{Cache, Image, is_member_change};
use crate::dirty::Dirty;
use crate::error::RaftFailure;
use crate::options::{
    MESSAGE_OVERHEAD_BYTES, NodeOptions, check_options, first_state, invalid, node_id, node_ids,
    raft_id,
};
use crate::random::mix;
use crate::ready::{Committed, CommittedKind, Peer, Ready, Role, Status};
use crate::store::{CrashKind, Persist, PersistOutcome, Store, WriteJob};
use crate::wire::{self, REFUSAL_KINDS, Refusal};

/// Bytes of entries in one message: enough to be worth a frame, little enough to let heartbeats through.
const APPEND_BYTES_MAX: u64 = 256 << 10;
const APPENDS_IN_FLIGHT_MAX: usize = 64;
/// Proposals that may wait for being committed.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;
const COMMITTED_BYTES_MAX: u64 = 8 << 20;
/// Election timeouts that a member has for taking an image before it is sent again.
const IMAGE_TIMEOUTS: u32 = 10;

/// One step of a change of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MemberChange {
    AddVoter(i64),
    AddLearner(i64),
    Remove(i64),
}

/// Why a proposal was refused; numbers as in TypeScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ProposeRefusal {
    NotLeader = -1,
    TooLarge = -2,
    Busy = -3,
    Poisoned = -4,
    InvalidChange = -5,
}

/// See the head of the file.
pub struct Node {
    options: NodeOptions,
    raw: RawNode<Cache>,
    store: Store,
    ticks: u64,
    /// When the election timer began anew.
    timer_began: u64,
    dirty: Dirty,
    in_flight: Option<Dirty>,
    /// Written and synced, its messages not yet taken.
    written: Option<Dirty>,
    /// Term, vote and commit that were given to be written last.
    scheduled: HardState,
    /// Changes of members up to here are known to be committed by what was, or is to be, written.
    examined: u64,
    admitted: BTreeSet<u64>,
    /// Membership from an index on, since the newest image.
    memberships: Vec<(u64, ConfState)>,
    /// Ticks since an image was sent to a member.
    image_ticks: BTreeMap<u64, u32>,
    refused: [u64; REFUSAL_KINDS],
    is_new: bool,
    poison: Option<String>,
    snapshot_failure: Option<String>,
    is_closed: bool,
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

impl Node {
    /// Opens the node that the store holds, or begins a new one in it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `RAFT_CORRUPT`, `DISK_FULL`, `RAFT_POISONED` or a code of the log store.
    pub fn open(options: NodeOptions, store: Store) -> Result<Self, LogError> {
        check_options(&options)?;
        let stored = if let Some(stored) = store.load() {
            stored
        } else {
            let first = first_state(&options)?;
            store.begin(&first)?;
            first
        };
        let config = Config {
            id: raft_id(options.id),
            election_tick: options.election_ticks,
            heartbeat_tick: options.heartbeat_ticks,
            applied: stored.image.index,
            max_size_per_msg: APPEND_BYTES_MAX.min(options.max_frame_bytes as u64 / 4),
            max_inflight_msgs: APPENDS_IN_FLIGHT_MAX,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            max_committed_size_per_ready: COMMITTED_BYTES_MAX,
            ..Config::default()
        };
        let scheduled = stored.hard_state.clone();
        let memberships = vec![(stored.image.index, stored.image.members.clone())];
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let opened =
            catch_unwind(AssertUnwindSafe(|| RawNode::new(&config, Cache::new(stored), &logger)));
        let raw = opened
            .map_err(|payload| crate::error::corrupt(panic_text(&*payload)))?
            .map_err(|error| crate::error::corrupt(error.to_string()))?;
        let known = options.voters.iter().chain(&options.learners).copied().map(raft_id);
        let mut node = Self {
            admitted: known.collect(),
            options,
            raw,
            store,
            ticks: 0,
            timer_began: 0,
            dirty: Dirty::default(),
            in_flight: None,
            written: None,
            examined: scheduled.commit,
            scheduled,
            memberships,
            image_ticks: BTreeMap::new(),
            refused: [0; REFUSAL_KINDS],
            is_new: true,
            poison: None,
            snapshot_failure: None,
            is_closed: false,
        };
        node.set_timeout();
        Ok(node)
    }

    /// Opens the node whose files are below a metadata directory.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub fn open_files(
        options: NodeOptions,
        files: Arc<dyn sluice_log::io::FileSystem>,
        metadata_directory: &std::path::Path,
        cluster_id: Option<String>,
    ) -> Result<Self, LogError> {
        check_options(&options)?;
        let store =
            crate::files::FileStore::open(files, metadata_directory, options.id, cluster_id)?;
        Self::open(options, Store::files(store))
    }

    /// The node that would start after a crash; its store must be in memory.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub fn crash(&self, kind: CrashKind, seed: u64) -> Result<Self, LogError> {
        let store =
            self.store.crash(kind).ok_or_else(|| invalid("only a node in memory can crash"))?;
        Self::open(NodeOptions { seed, ..self.options.clone() }, store)
    }

    /// Its id.
    pub fn id(&self) -> i64 {
        self.options.id
    }

    /// Whether its store is in memory.
    pub fn is_memory(&self) -> bool {
        self.store.is_memory()
    }

    /// Runs `work`, unless the node is poisoned; a panic in it poisons the node.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.poison.is_some() || self.is_closed {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(result) => Some(result),
            Err(payload) => {
                self.poison = Some(format!("internal check failed: {}", panic_text(&*payload)));
                None
            }
        }
    }

    /// Election timeouts from our seed, not from the crate's thread generator: a function of what two runs of one seed have in common.
    fn set_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.election_elapsed == 0 {
            self.timer_began = self.ticks;
        }
        let own = self.options.seed ^ mix(raft_id(self.options.id));
        let drawn = mix(own.wrapping_add(mix(self.timer_began ^ (raft.term << 32))));
        let ticks = self.options.election_ticks;
        raft.set_randomized_election_timeout(ticks + drawn as usize % ticks);
    }

    /// The parts of the state that are not on disk for sure.
    fn unsettled(&self) -> impl Iterator<Item = &Dirty> {
        [Some(&self.dirty), self.in_flight.as_ref(), self.written.as_ref()].into_iter().flatten()
    }

    /// The crate may not begin an election now: an image counts as applied only once it is on disk, and an only voter becomes leader within
    /// one call, for which its log has to be there.
    fn must_wait_for_disk(&self) -> bool {
        if self.unsettled().any(|dirty| dirty.received.is_some()) {
            return true;
        }
        let raft = &self.raw.raft;
        let voters = raft.prs().conf().voters().ids();
        raft.promotable()
            && voters.iter().all(|id| id == raft.id)
            && raft.state != StateRole::Leader
            && raft.raft_log.persisted != raft.raft_log.last_index()
    }

    /// Time passes. False when the node has stopped for good.
    pub fn tick(&mut self) -> bool {
        self.guarded(|node| {
            node.ticks += 1;
            if !node.must_wait_for_disk() {
                node.raw.tick();
            }
            node.watch_images();
            node.set_timeout();
        })
        .is_some()
    }

    /// An image may be lost on its way: nothing more is sent to that member until somebody says so.
    fn watch_images(&mut self) {
        let is_leader = self.raw.raft.state == StateRole::Leader;
        let waiting: Vec<u64> = self
            .raw
            .raft
            .prs()
            .iter()
            .filter(|(_, progress)| is_leader && progress.state == ProgressState::Snapshot)
            .map(|(id, _)| *id)
            .collect();
        self.image_ticks.retain(|id, _| waiting.contains(id));
        for id in waiting {
            let ticks = self.image_ticks.entry(id).or_insert(0);
            *ticks += 1;
            if *ticks > IMAGE_TIMEOUTS * self.options.election_ticks as u32 {
                self.image_ticks.remove(&id);
                self.raw.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
    }

    /// Lets a node send messages although the membership known here does not have it.
    pub fn admit(&mut self, id: i64) {
        if id >= 0 {
            self.admitted.insert(raft_id(id));
        }
    }

    /// Takes a message; `from` is whom the connection was authenticated for.
    ///
    /// # Errors
    /// Why it was refused; nothing was changed.
    pub fn step(&mut self, bytes: &[u8], from: Option<i64>) -> Result<(), Refusal> {
        let result = self.try_step(bytes, from);
        if let Err(refusal) = result
            && let Some(count) = self.refused.get_mut(refusal as usize)
        {
            *count += 1;
        }
        result
    }

    fn try_step(&mut self, bytes: &[u8], from: Option<i64>) -> Result<(), Refusal> {
        if self.poison.is_some() || self.is_closed {
            return Err(Refusal::Poisoned);
        }
        let message = wire::decode(bytes, self.options.max_frame_bytes)?;
        if message.to != self.raw.raft.id {
            return Err(Refusal::WrongRecipient);
        }
        let is_known = self.admitted.contains(&message.from)
            || self.raw.raft.prs().get(message.from).is_some();
        let is_wrong = from.is_some_and(|from| raft_id(from) != message.from);
        if !is_known || is_wrong || message.from == self.raw.raft.id {
            return Err(Refusal::UnknownMember);
        }
        if self.is_contradiction(&message) {
            return Err(Refusal::Contradiction);
        }
        // Both may begin an election within this call.
        let kind = message.get_msg_type();
        if matches!(kind, MessageType::MsgTimeoutNow | MessageType::MsgRequestPreVoteResponse)
            && self.must_wait_for_disk()
        {
            return Err(Refusal::Stale);
        }
        let stepped = self.guarded(|node| {
            let result = node.raw.step(message);
            node.set_timeout();
            result
        });
        match stepped {
            None => Err(Refusal::Poisoned),
            Some(Err(_)) => Err(Refusal::Stale),
            Some(Ok(())) => Ok(()),
        }
    }

    /// Whether the message can only come from a cluster that does not have what this node knows to be committed, or that knows entries to
    /// be on disk here that are not. The crate panics at such messages.
    fn is_contradiction(&self, message: &Message) -> bool {
        let raft = &self.raw.raft;
        let log = &raft.raft_log;
        if message.term < raft.term {
            return false;
        }
        let differs = |index: u64, term: u64| {
            index <= log.committed && log.term(index).is_ok_and(|own| own != 0 && own != term)
        };
        match message.get_msg_type() {
            MessageType::MsgHeartbeat => message.commit > log.last_index(),
            MessageType::MsgAppend => {
                differs(message.index, message.log_term)
                    || message.entries.iter().any(|entry| differs(entry.index, entry.term))
            }
            MessageType::MsgSnapshot => {
                let metadata = message.get_snapshot().get_metadata();
                differs(metadata.index, metadata.term)
            }
            MessageType::MsgAppendResponse => {
                let is_leader = raft.state == StateRole::Leader && message.term == raft.term;
                is_leader && !message.reject && message.index > log.last_index()
            }
            // Requests for votes leave once the log is on disk: nobody has been asked yet.
            MessageType::MsgRequestVoteResponse => {
                let is_candidate = raft.state == StateRole::Candidate && message.term == raft.term;
                is_candidate && !message.reject && log.persisted != log.last_index()
            }
            _ => false,
        }
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader && self.raw.raft.lead_transferee.is_none()
    }

    /// Appends records, if this node leads; returns the entry's index.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn propose(&mut self, data: &[u8]) -> Result<u64, ProposeRefusal> {
        let max_bytes = self.options.max_frame_bytes - MESSAGE_OVERHEAD_BYTES;
        self.guarded(|node| {
            if !node.is_leader() {
                return Err(ProposeRefusal::NotLeader);
            }
            if data.len() > max_bytes {
                return Err(ProposeRefusal::TooLarge);
            }
            if data.is_empty() {
                return Err(ProposeRefusal::InvalidChange);
            }
            node.raw.propose(Vec::new(), data.to_vec()).map_err(|_| ProposeRefusal::Busy)?;
            Ok(node.raw.raft.raft_log.last_index())
        })
        .unwrap_or(Err(ProposeRefusal::Poisoned))
    }

    /// Begins a change of members, if this node leads; returns the entry's index. Several steps are one joint change, which ends by itself.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn propose_members(&mut self, changes: &[MemberChange]) -> Result<u64, ProposeRefusal> {
        self.guarded(|node| {
            if !node.is_leader() {
                return Err(ProposeRefusal::NotLeader);
            }
            let mut steps = Vec::new();
            for change in changes {
                let (kind, id) = match *change {
                    MemberChange::AddVoter(id) => (ConfChangeType::AddNode, id),
                    MemberChange::AddLearner(id) => (ConfChangeType::AddLearnerNode, id),
                    MemberChange::Remove(id) => (ConfChangeType::RemoveNode, id),
                };
                if id < 0 {
                    return Err(ProposeRefusal::InvalidChange);
                }
                let mut step = ConfChangeSingle::default();
                step.set_change_type(kind);
                step.node_id = raft_id(id);
                steps.push(step);
            }
            let mut ids: Vec<u64> = steps.iter().map(|step| step.node_id).collect();
            ids.sort_unstable();
            ids.dedup();
            let raft = &node.raw.raft;
            if raft.has_pending_conf() || steps.is_empty() || ids.len() != steps.len() {
                return Err(ProposeRefusal::InvalidChange);
            }
            let mut changer = Changer::new(raft.prs());
            let tried = if steps.len() == 1 {
                changer.simple(&steps)
            } else {
                changer.enter_joint(true, &steps)
            };
            if tried.is_err() {
                return Err(ProposeRefusal::InvalidChange);
            }
            let mut change = ConfChangeV2::default();
            change.set_changes(steps.into());
            node.raw.propose_conf_change(Vec::new(), change).map_err(|_| ProposeRefusal::Busy)?;
            Ok(node.raw.raft.raft_log.last_index())
        })
        .unwrap_or(Err(ProposeRefusal::Poisoned))
    }

    /// Stands for election at once.
    pub fn campaign(&mut self) {
        self.guarded(|node| {
            if node.raw.raft.promotable() && !node.must_wait_for_disk() {
                // Refused while committed changes of members are not applied.
                let _ = node.raw.campaign();
            }
            node.set_timeout();
        });
    }

    /// Hands leadership over, if this node leads.
    pub fn transfer_to(&mut self, id: i64) {
        self.guarded(|node| {
            if node.is_leader() && id >= 0 {
                node.raw.transfer_leader(raft_id(id));
            }
            node.set_timeout();
        });
    }

    /// A message to the member could not be sent.
    pub fn report_unreachable(&mut self, id: i64) {
        self.guarded(|node| {
            let id = raft_id(id);
            let state = node.raw.raft.prs().get(id).map(|progress| progress.state);
            match state {
                Some(ProgressState::Snapshot) => {
                    node.raw.report_snapshot(id, SnapshotStatus::Failure);
                }
                Some(_) => node.raw.report_unreachable(id),
                None => {}
            }
        });
    }

    /// What there is to do; `None` when there is nothing.
    pub fn ready(&mut self) -> Option<Ready> {
        self.guarded(|node| {
            let is_new = std::mem::take(&mut node.is_new);
            let wants_image = node.raw.store().wants_image.get();
            if !is_new && !wants_image && !node.raw.has_ready() {
                return None;
            }
            let mut ready = Self::begin_ready();
            if is_new {
                let image = &node.raw.store().image;
                ready.snapshot =
                    (!image.data.is_empty()).then(|| (image.index, image.term, image.data.clone()));
            }
            if node.raw.has_ready() {
                node.collect(&mut ready);
            }
            Some(node.finish_ready(ready))
        })
        .flatten()
    }

    fn begin_ready() -> Ready {
        Ready {
            messages: Vec::new(),
            snapshot: None,
            committed: Vec::new(),
            needs_persist: false,
            wants_snapshot: false,
            leader_id: -1,
            term: 0,
            role: Role::Follower,
        }
    }

    fn finish_ready(&mut self, mut ready: Ready) -> Ready {
        ready.needs_persist = self.needs_persist();
        ready.wants_snapshot = self.raw.store().wants_image.take();
        ready.leader_id = node_id(self.raw.raft.leader_id);
        ready.term = self.raw.raft.term;
        ready.role = self.role();
        ready
    }

    fn role(&self) -> Role {
        match self.raw.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Follower if self.raw.raft.promotable() => Role::Follower,
            StateRole::Follower => Role::Learner,
        }
    }

    fn send(&self, messages: impl IntoIterator<Item = Message>, into: &mut Ready) {
        for message in messages {
            // One that is too large was made by a member with a larger limit; it would be refused.
            if let Some(bytes) = wire::encode(&message)
                && bytes.len() <= self.options.max_frame_bytes
            {
                into.messages.push((node_id(message.to), bytes));
            }
        }
    }

    /// Takes one ready of the crate.
    fn collect(&mut self, into: &mut Ready) {
        let mut ready = self.raw.ready();
        if !ready.snapshot().is_empty() {
            let metadata = ready.snapshot().get_metadata();
            let image = Arc::new(Image {
                index: metadata.index,
                term: metadata.term,
                members: metadata.get_conf_state().clone(),
                data: ready.snapshot().data.clone(),
            });
            self.memberships = vec![(image.index, image.members.clone())];
            self.dirty.received = Some(Arc::clone(&image));
            self.dirty.entries_from = None;
            self.dirty.own = None;
            self.dirty.has_state = true;
            if !image.data.is_empty() {
                into.snapshot = Some((image.index, image.term, image.data.clone()));
            }
            self.raw.mut_store().restore(image);
        }
        let entries = ready.take_entries();
        if let Some(first) = entries.first() {
            let from = first.index;
            self.dirty.entries_from =
                Some(self.dirty.entries_from.map_or(from, |known| known.min(from)));
            self.raw.mut_store().append(entries);
        }
        if let Some(state) = ready.hs() {
            let state = state.clone();
            let is_vote = (state.term, state.vote) != (self.scheduled.term, self.scheduled.vote);
            self.dirty.has_vote |= is_vote;
            // After a restart the membership is that of what is known to be committed: it must not fall behind what was acted on.
            self.dirty.has_state |=
                is_vote || self.raw.store().has_member_change(self.examined + 1, state.commit);
            self.examined = self.examined.max(state.commit);
            self.raw.mut_store().hard_state = state;
        }
        let must_hold = self.unsettled().any(|dirty| dirty.has_vote);
        let (now, held) = (ready.take_messages(), ready.take_persisted_messages());
        if self.options.acknowledge_early {
            self.send(now.into_iter().chain(held), into);
        } else {
            if must_hold {
                self.dirty.hold(now);
            } else {
                self.send(now, into);
            }
            self.dirty.hold(held);
        }
        self.dirty.number = ready.number();
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        self.apply(committed, into);
        self.settle(into);
    }

    /// Where nothing is to be written, nothing has to wait.
    fn settle(&mut self, into: &mut Ready) {
        if self.in_flight.is_some() || self.written.is_some() || self.dirty.has_writes() {
            return;
        }
        let done = std::mem::take(&mut self.dirty);
        if done.number > 0 {
            self.raw.on_persist_ready(done.number);
        }
        self.send(done.messages, into);
    }

    fn apply(&mut self, committed: Vec<Entry>, into: &mut Ready) {
        let Some(last) = committed.last().map(|entry| entry.index) else { return };
        for entry in committed {
            let kind = if is_member_change(&entry) {
                self.apply_members(&entry);
                CommittedKind::Members
            } else if entry.data.is_empty() {
                CommittedKind::None
            } else {
                CommittedKind::Records
            };
            let data = if kind == CommittedKind::Records { entry.data } else { Bytes::new() };
            into.committed.push(Committed { index: entry.index, term: entry.term, kind, data });
        }
        self.raw.advance_apply_to(last);
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && !raft.promotable() {
            // A leader that is no voter any more steps down; the crate would go on and fail its own checks.
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
        }
    }

    /// An entry without data leaves a joint membership. One that cannot be applied changes nothing, on any node.
    fn apply_members(&mut self, entry: &Entry) {
        let is_known_kind = entry.get_entry_type() == EntryType::EntryConfChangeV2;
        let Some(change) =
            ConfChangeV2::parse_from_bytes(&entry.data).ok().filter(|_| is_known_kind)
        else {
            return;
        };
        if let Ok(members) = self.raw.apply_conf_change(&change) {
            self.memberships.push((entry.index, members));
        }
    }

    /// Something is to be written.
    pub fn needs_persist(&self) -> bool {
        self.poison.is_none() && self.dirty.has_writes()
    }

    /// Takes what is to be written; to be run on any thread, and its outcome given to [`Node::end_persist`]. One at a time.
    ///
    /// # Errors
    /// `RAFT_POISONED`, `RAFT_CLOSED`, `INVALID_ARGUMENT` (another one has not ended).
    pub fn begin_persist(&mut self) -> Result<Persist, LogError> {
        if let Some(poison) = &self.poison {
            return Err(LogError::new(RaftFailure::POISONED, poison.clone()));
        }
        if self.is_closed {
            return Err(LogError::new(RaftFailure::CLOSED, "the raft node is closed"));
        }
        if self.in_flight.is_some() || self.written.is_some() {
            return Err(invalid("the last write has not ended"));
        }
        let dirty = std::mem::take(&mut self.dirty);
        let cache = self.raw.store();
        let has_state = dirty.has_state || dirty.own.is_some();
        let job = WriteJob {
            received: dirty.received.clone(),
            entries_from: dirty.entries_from,
            entries: dirty.entries_from.map(|from| cache.from(from).to_vec()).unwrap_or_default(),
            state: has_state.then(|| cache.hard_state.clone()),
            own: dirty.own.clone(),
        };
        if let Some(state) = &job.state {
            self.scheduled = state.clone();
        }
        self.in_flight = Some(dirty);
        Ok(Persist { store: self.store.clone(), job })
    }

    /// Takes the outcome of a write.
    ///
    /// # Errors
    /// That of the write: `DISK_FULL` leaves everything to be written again, anything else poisons the node.
    pub fn end_persist(&mut self, outcome: PersistOutcome) -> Result<(), LogError> {
        let Some(dirty) = self.in_flight.take() else { return Ok(()) };
        match outcome.0 {
            Ok(written) => {
                if dirty.own.is_some() {
                    self.snapshot_failure = written.own_failure.map(|error| error.message);
                }
                self.written = Some(dirty);
                Ok(())
            }
            Err(error) => {
                let later = std::mem::take(&mut self.dirty);
                self.dirty = dirty.then(later);
                if error.code != RaftFailure::DISK_FULL {
                    self.poison = Some(error.message.clone());
                }
                Err(error)
            }
        }
    }

    /// What had to wait for the write that succeeded.
    pub fn persisted(&mut self) -> Ready {
        let done = self.guarded(|node| {
            let mut ready = Self::begin_ready();
            if let Some(written) = node.written.take() {
                node.store.note_synced();
                if written.number > 0 {
                    node.raw.on_persist_ready(written.number);
                }
                if let Some(image) = &written.received {
                    node.raw.advance_apply_to(image.index);
                }
                node.send(written.messages, &mut ready);
                node.settle(&mut ready);
            }
            if node.raw.has_ready() {
                node.collect(&mut ready);
            }
            node.finish_ready(ready)
        });
        done.unwrap_or_else(Self::begin_ready)
    }

    /// Takes the image after entry `index`; false when it is too large, not applied yet, or older than the newest.
    pub fn snapshot(&mut self, index: u64, data: &[u8]) -> bool {
        let max_bytes = self.options.max_frame_bytes - MESSAGE_OVERHEAD_BYTES;
        self.guarded(|node| {
            let log = &node.raw.raft.raft_log;
            let is_useful = index > node.raw.store().image.index && index <= log.applied();
            if !is_useful || data.len() > max_bytes || data.is_empty() {
                return false;
            }
            let Some(term) = node.raw.store().term_of(index) else { return false };
            let Some((_, members)) = node.memberships.iter().rev().find(|(from, _)| *from <= index)
            else {
                return false;
            };
            let image = Arc::new(Image {
                index,
                term,
                members: members.clone(),
                data: Bytes::copy_from_slice(data),
            });
            let members = (index, members.clone());
            node.memberships.retain(|(from, _)| *from > index);
            node.memberships.insert(0, members);
            let first_kept = node.raw.mut_store().compact(Arc::clone(&image));
            node.dirty.own = Some((image, first_kept));
            true
        })
        .unwrap_or(false)
    }

    /// The node at this moment.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let cache = self.raw.store();
        let members = raft.prs().conf().to_conf_state();
        let is_leader = raft.state == StateRole::Leader;
        let mut peers: Vec<Peer> = raft
            .prs()
            .iter()
            .filter(|(id, _)| is_leader && **id != raft.id)
            .map(|(id, progress)| Peer {
                id: node_id(*id),
                matched: progress.matched,
                is_active: progress.recent_active,
                state: match progress.state {
                    ProgressState::Probe => "probe",
                    ProgressState::Replicate => "replicate",
                    ProgressState::Snapshot => "snapshot",
                },
            })
            .collect();
        peers.sort_unstable_by_key(|peer| peer.id);
        Status {
            id: self.options.id,
            term: raft.term,
            leader_id: node_id(raft.leader_id),
            role: self.role(),
            commit: raft.raft_log.committed,
            applied: raft.raft_log.applied(),
            first_index: cache.first(),
            last_index: raft.raft_log.last_index(),
            persisted: raft.raft_log.persisted,
            snapshot_index: cache.image.index,
            voters: node_ids(members.voters),
            learners: node_ids(members.learners.into_iter().chain(members.learners_next)),
            outgoing: node_ids(members.voters_outgoing),
            peers,
            refused: self.refused.to_vec(),
            poison: self.poison.clone(),
            snapshot_failure: self.snapshot_failure.clone(),
        }
    }

    /// Term of an entry that is still in the log.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        self.raw.store().term_of(index)
    }

    /// Why the node has stopped for good.
    pub fn poison(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    /// Closes the files.
    ///
    /// # Errors
    /// The store's; it is closed in any case.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.is_closed = true;
        self.store.close()
    }
}
