//! Clusters of nodes in memory on a network that loses, delays, repeats and reorders, with crashes that lose or tear what was not
//! synced, changes of members and images: everything from one seed, every promise of raft checked after every step.
//!
//! A part of the seeds keeps its nodes on disks (in memory) where any write may fail in the middle, the power too.
//!
//! One run: `SLUICE_RAFT_SEED=17 cargo test -p sluice-raft --test simulation one_seed -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sluice_log::io::{CrashMode, Fault, FaultKind, MemoryFileSystem, Operation};

use sluice_raft::{
    CommittedKind, CrashKind, MemberChange, Node, NodeOptions, PersistOutcome, RaftFailure, Random,
    Ready, Role, Store,
};

const FAULTY_TICKS: u64 = 250;
const CALM_TICKS: u64 = 1500;
const ELECTION_TICKS: usize = 10;

/// A state machine that remembers everything in one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Machine {
    applied: u64,
    hash: u64,
}

fn fold(hash: u64, value: u64) -> u64 {
    Random::new(hash ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64()
}

fn fold_bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| fold(hash, u64::from(*byte) + 1))
}

impl Machine {
    fn image(self) -> Vec<u8> {
        [self.applied.to_be_bytes(), self.hash.to_be_bytes()].concat()
    }

    fn of_image(bytes: &[u8]) -> Self {
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        Self { applied: number(0), hash: number(8) }
    }
}

struct Member {
    node: Option<Node>,
    /// What is left of a node that crashed.
    crashed: Option<Node>,
    /// Its disk, where it has one.
    files: Option<MemoryFileSystem>,
    options: NodeOptions,
    restart_at: u64,
    machine: Machine,
    /// A write under way: its outcome, and when it is synced.
    writing: Option<(PersistOutcome, u64)>,
    is_paused: bool,
}

struct Message {
    due: u64,
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

struct World {
    seed: u64,
    random: Random,
    now: u64,
    members: Vec<Member>,
    messages: Vec<Message>,
    /// Who cannot hear whom.
    cut: Vec<(usize, usize)>,
    loss_percent: u64,
    repeat_percent: u64,
    delay: u64,
    disk_delay: u64,
    is_calm: bool,
    /// What was committed at each index: term, and the machine after it.
    committed: BTreeMap<u64, (u64, u64, u64)>,
    leaders: BTreeMap<u64, i64>,
    trace: u64,
    next_value: u64,
    elections: u64,
    images: u64,
    changes: u64,
    crashes: u64,
}

fn options(id: i64, founders: i64, seed: u64, acknowledge_early: bool) -> NodeOptions {
    let is_founder = id < founders;
    NodeOptions {
        id,
        voters: if is_founder { (0..founders).collect() } else { Vec::new() },
        learners: Vec::new(),
        election_ticks: ELECTION_TICKS,
        heartbeat_ticks: 2,
        seed,
        max_frame_bytes: 1 << 20,
        first_snapshot: None,
        acknowledge_early,
    }
}

fn open(
    options: &NodeOptions,
    files: Option<&MemoryFileSystem>,
) -> Result<Node, sluice_log::LogError> {
    match files {
        None => Node::open(options.clone(), Store::memory()),
        Some(files) => {
            let files = Arc::new(files.clone());
            Node::open_files(options.clone(), files, Path::new("/m"), None)
        }
    }
}

impl World {
    fn new(seed: u64, acknowledge_early: bool, has_disks: bool) -> Self {
        let mut random = Random::new(seed);
        let founders = if random.percent(50) { 3 } else { 5 };
        let members = (0..=founders)
            .map(|id| {
                let options = options(id, founders, seed, acknowledge_early);
                let files = has_disks.then(MemoryFileSystem::new);
                Member {
                    node: Some(open(&options, files.as_ref()).unwrap()),
                    crashed: None,
                    files,
                    options,
                    restart_at: 0,
                    machine: Machine::default(),
                    writing: None,
                    is_paused: false,
                }
            })
            .collect();
        Self {
            seed,
            now: 0,
            members,
            messages: Vec::new(),
            cut: Vec::new(),
            loss_percent: [0, 5, 20][random.below(3) as usize],
            repeat_percent: [0, 5, 20][random.below(3) as usize],
            delay: [1, 3, 8][random.below(3) as usize],
            disk_delay: [1, 3, 6][random.below(3) as usize],
            is_calm: false,
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            trace: seed,
            next_value: 0,
            elections: 0,
            images: 0,
            changes: 0,
            crashes: 0,
            random,
        }
    }

    fn note(&mut self, kind: u64, values: &[u64]) {
        self.trace = values
            .iter()
            .fold(fold(self.trace, kind ^ (self.now << 8)), |hash, value| fold(hash, *value));
    }

    fn use_ready(&mut self, at: usize, ready: Ready) -> Result<(), String> {
        for (to, bytes) in ready.messages {
            self.note(1, &[at as u64, to as u64, fold_bytes(0, &bytes)]);
            let to = to as usize;
            let copies = if self.random.percent(self.repeat_percent) { 2 } else { 1 };
            for _ in 0..copies {
                let is_lost = !self.is_calm && self.random.percent(self.loss_percent);
                let delay = 1 + self.random.below(if self.is_calm { 1 } else { self.delay });
                if !is_lost && to < self.members.len() {
                    let due = self.now + delay;
                    self.messages.push(Message { due, from: at, to, bytes: bytes.clone() });
                }
            }
        }
        if let Some((index, term, data)) = ready.snapshot {
            let machine = Machine::of_image(&data);
            self.note(2, &[at as u64, index, term, machine.hash]);
            self.members[at].machine = machine;
            match self.committed.get(&index) {
                Some(&(known, _, hash)) if (known, hash) != (term, machine.hash) => {
                    return Err(format!("node {at} took an image of {index} that is wrong"));
                }
                _ => {}
            }
        }
        for entry in ready.committed {
            let machine = &mut self.members[at].machine;
            if machine.applied != 0 && entry.index != machine.applied + 1 {
                return Err(format!("node {at} got {} after {}", entry.index, machine.applied));
            }
            machine.applied = entry.index;
            if entry.kind == CommittedKind::Records {
                machine.hash = fold_bytes(machine.hash, &entry.data);
            }
            let kind = entry.kind as u64;
            let found = (entry.term, kind, machine.hash);
            self.note(3, &[at as u64, entry.index, entry.term, kind, found.2]);
            let known = *self.committed.entry(entry.index).or_insert(found);
            if known != found {
                return Err(format!(
                    "entry {} is {known:?} elsewhere and {found:?} at node {at}",
                    entry.index
                ));
            }
        }
        if ready.role == Role::Leader {
            let id = self.members[at].node.as_ref().unwrap().id();
            if let Some(other) = self.leaders.insert(ready.term, id)
                && other != id
            {
                return Err(format!("term {} has two leaders, {other} and {id}", ready.term));
            } else if other_is_new(&self.leaders, ready.term) {
                self.check_leader(at, ready.term)?;
            }
        }
        if ready.wants_snapshot {
            self.take_image(at);
        }
        Ok(())
    }

    /// A leader has everything that was ever committed.
    fn check_leader(&mut self, at: usize, term: u64) -> Result<(), String> {
        self.elections += 1;
        let node = self.members[at].node.as_ref().unwrap();
        let first = node.status().first_index;
        for (index, (committed_term, ..)) in self.committed.range(first..).rev().take(50) {
            if *committed_term < term && node.term_of(*index) != Some(*committed_term) {
                return Err(format!(
                    "leader {at} of term {term} has {:?} at {index}, where term {committed_term} was committed",
                    node.term_of(*index)
                ));
            }
        }
        Ok(())
    }

    fn take_image(&mut self, at: usize) {
        let machine = self.members[at].machine;
        if let Some(node) = &mut self.members[at].node
            && machine.applied > 0
            && node.snapshot(machine.applied, &machine.image())
        {
            self.images += 1;
        }
    }

    /// Does all that a node has to do; writes end later.
    fn pump(&mut self, at: usize) -> Result<(), String> {
        loop {
            let is_writing = self.members[at].writing.is_some();
            let Some(node) = &mut self.members[at].node else { return Ok(()) };
            if let Some(poison) = node.poison() {
                return Err(format!("node {at} is poisoned: {poison}"));
            }
            if let Some(ready) = node.ready() {
                self.use_ready(at, ready)?;
                continue;
            }
            if !is_writing && node.needs_persist() {
                let write = node.begin_persist().map_err(|error| error.to_string())?;
                if !self.is_calm && self.random.percent(2) {
                    self.plan_fault(at);
                }
                let outcome = write.run();
                let due = self.now + self.random.below(self.disk_delay);
                self.members[at].writing = Some((outcome, due));
            }
            match self.members[at].writing.take() {
                Some((outcome, due)) if due <= self.now => {
                    let node = self.members[at].node.as_mut().unwrap();
                    if let Err(error) = node.end_persist(outcome) {
                        if self.members[at].files.is_none() || error.code != RaftFailure::POISONED {
                            return Err(error.to_string());
                        }
                        // The write failed: the node has stopped, and is started again.
                        self.crash(at)?;
                        return Ok(());
                    }
                    let ready = node.persisted();
                    self.use_ready(at, ready)?;
                }
                writing => {
                    self.members[at].writing = writing;
                    return Ok(());
                }
            }
        }
    }

    /// Some call of the next write fails.
    fn plan_fault(&mut self, at: usize) {
        let Some(files) = &self.members[at].files else { return };
        let operations = [
            Operation::Write,
            Operation::Sync,
            Operation::Rename,
            Operation::SetLength,
            Operation::SyncDirectory,
        ];
        files.clear_faults();
        files.inject(Fault {
            operation: operations[self.random.below(5) as usize],
            path_contains: String::new(),
            skip: self.random.below(3),
            count: 1,
            kind: FaultKind::InputOutput,
        });
    }

    fn crash(&mut self, at: usize) -> Result<(), String> {
        let seed = self.random.next_u64();
        let kind = self.random.below(3);
        self.note(4, &[at as u64, seed]);
        self.crashes += 1;
        let restart_at = self.now + 1 + self.random.below(40);
        let member = &mut self.members[at];
        let Some(node) = member.node.take() else { return Ok(()) };
        member.options.seed = seed;
        let restarted = match &member.files {
            None => {
                let kind = match kind {
                    0 => CrashKind::KeepWritten,
                    1 => CrashKind::LoseUnsynced,
                    _ => CrashKind::Torn(seed),
                };
                node.crash(kind, seed)
            }
            Some(files) => {
                let files = files.crash(match kind {
                    0 => CrashMode::ProcessOnly,
                    1 => CrashMode::LoseUnsynced,
                    _ => CrashMode::KeepSome(seed),
                });
                let restarted = open(&member.options, Some(&files));
                member.files = Some(files);
                restarted
            }
        };
        member.crashed = Some(restarted.map_err(|error| format!("node {at}: {error}"))?);
        member.machine = Machine::default();
        member.writing = None;
        member.restart_at = restart_at;
        member.is_paused = false;
        Ok(())
    }

    fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| {
            let status = node.status();
            (status.role == Role::Leader).then_some(status.term)
        };
        let found =
            self.members.iter().enumerate().filter_map(|(at, member)| {
                member.node.as_ref().and_then(leads).map(|term| (term, at))
            });
        found.max().map(|(_, at)| at)
    }

    fn misbehave(&mut self) -> Result<(), String> {
        let count = self.members.len() as u64;
        let at = self.random.below(count) as usize;
        match self.random.below(200) {
            0..4 => self.crash(at)?,
            4..7 => {
                // A partition, in one direction or both.
                let other = self.random.below(count) as usize;
                self.cut.push((at, other));
                if self.random.percent(70) {
                    self.cut.push((other, at));
                }
            }
            7..10 => {
                for other in 0..count as usize {
                    self.cut.extend([(at, other), (other, at)]);
                }
            }
            10..18 => self.cut.clear(),
            18..20 => self.members[at].is_paused = true,
            20..24 => self.members.iter_mut().for_each(|member| member.is_paused = false),
            24..28 => self.take_image(at),
            28..30 => {
                if let Some(leader) = self.leader()
                    && let Some(node) = &mut self.members[leader].node
                {
                    node.transfer_to(at as i64);
                }
            }
            30..36 => self.change_members(at as i64),
            36..38 => {
                if let Some(node) = &mut self.members[at].node {
                    node.campaign();
                }
            }
            38..40 => {
                let other = self.random.below(count) as i64;
                if let Some(node) = &mut self.members[at].node {
                    node.report_unreachable(other);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn change_members(&mut self, id: i64) {
        let Some(leader) = self.leader() else { return };
        let other = self.random.below(self.members.len() as u64) as i64;
        let roll = self.random.below(4);
        let Some(node) = &mut self.members[leader].node else { return };
        let voters = node.status().voters.len();
        let changes = match roll {
            0 => vec![MemberChange::AddLearner(id)],
            1 => vec![MemberChange::AddVoter(id)],
            2 => vec![MemberChange::Remove(id)],
            _ => vec![MemberChange::Remove(id), MemberChange::AddVoter(other)],
        };
        if (voters > 2 || roll == 1) && node.propose_members(&changes).is_ok() {
            self.changes += 1;
        }
    }

    fn propose(&mut self) {
        for at in 0..self.members.len() {
            if self.random.percent(60) {
                continue;
            }
            let (value, is_paused) = (self.next_value, self.members[at].is_paused);
            if let Some(node) = &mut self.members[at].node
                && !is_paused
                && node.propose(&value.to_be_bytes()).is_ok()
            {
                self.next_value += 1;
            }
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += 1;
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            if member.node.is_none() && member.restart_at <= self.now {
                member.node = member.crashed.take();
            }
            let is_slow = self.random.percent(5) || self.members[at].is_paused;
            if let Some(node) = &mut self.members[at].node
                && !is_slow
            {
                node.tick();
            }
        }
        if !self.is_calm {
            self.misbehave()?;
        }
        self.propose();
        let now = self.now;
        let mut due: Vec<Message> = Vec::new();
        let mut later = Vec::new();
        for message in std::mem::take(&mut self.messages) {
            let is_ready = message.due <= now && !self.members[message.to].is_paused;
            if is_ready { due.push(message) } else { later.push(message) }
        }
        self.messages = later;
        // Any order.
        for at in (1..due.len()).rev() {
            due.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        for message in due {
            if self.cut.contains(&(message.from, message.to)) {
                continue;
            }
            if let Some(node) = &mut self.members[message.to].node {
                node.admit(message.from as i64);
                let refusal = node.step(&message.bytes, Some(message.from as i64)).err();
                if matches!(refusal, Some(sluice_raft::Refusal::Contradiction)) {
                    return Err(format!("node {} was contradicted", message.to));
                }
            }
            self.pump(message.to)?;
        }
        for at in 0..self.members.len() {
            if !self.members[at].is_paused {
                self.pump(at)?;
            }
        }
        Ok(())
    }

    /// Entries with the same index and term are the same, and so is everything before them.
    fn check_logs_match(&self) -> Result<(), String> {
        let nodes: Vec<&Node> =
            self.members.iter().filter_map(|member| member.node.as_ref()).collect();
        for (at, one) in nodes.iter().enumerate() {
            for other in &nodes[at + 1..] {
                let (left, right) = (one.status(), other.status());
                let first = left.first_index.max(right.first_index);
                let mut has_met = false;
                for index in (first..=left.last_index.min(right.last_index)).rev() {
                    let is_same = one.term_of(index) == other.term_of(index);
                    if has_met && !is_same {
                        return Err(format!(
                            "logs of {} and {} agree behind {index} and not there",
                            left.id, right.id
                        ));
                    }
                    has_met |= is_same;
                }
            }
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let status = self.members[leader].node.as_ref().unwrap().status();
        let newest = self.committed.keys().next_back().copied().unwrap_or(0);
        let members = status.voters.iter().chain(&status.learners);
        status.outgoing.is_empty()
            && members
                .clone()
                .all(|id| self.members[*id as usize].machine == self.members[leader].machine)
            && self.members[leader].machine.applied >= newest
    }

    fn run(&mut self) -> Result<(), String> {
        while self.now < FAULTY_TICKS {
            self.step()?;
            if self.now.is_multiple_of(50) {
                self.check_logs_match()?;
            }
        }
        self.is_calm = true;
        self.cut.clear();
        let begun = self.committed.len();
        for member in &mut self.members {
            member.is_paused = false;
            member.restart_at = 0;
        }
        while self.now < FAULTY_TICKS + CALM_TICKS {
            self.step()?;
            if self.committed.len() > begun + 5 && self.is_settled() {
                self.check_logs_match()?;
                return Ok(());
            }
        }
        let states: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{:?}", member.node.as_ref().map(Node::status)))
            .collect();
        Err(format!("no agreement in {CALM_TICKS} calm ticks\n{}", states.join("\n")))
    }
}

/// Whether the term was entered just now: each leader is checked once.
fn other_is_new(leaders: &BTreeMap<u64, i64>, term: u64) -> bool {
    leaders.keys().next_back() == Some(&term)
}

fn run(seed: u64, acknowledge_early: bool) -> Result<World, String> {
    run_on(seed, acknowledge_early, false)
}

fn run_on(seed: u64, acknowledge_early: bool, has_disks: bool) -> Result<World, String> {
    let mut world = World::new(seed, acknowledge_early, has_disks);
    world.run().map_err(|error| format!("seed {}: at {}: {error}", world.seed, world.now))?;
    Ok(world)
}

#[test]
fn two_hundred_seeds_keep_every_promise() {
    let (mut elections, mut images, mut changes, mut crashes, mut committed) = (0, 0, 0, 0, 0);
    for seed in 0..200 {
        let world = run(seed, false).unwrap();
        elections += world.elections;
        images += world.images;
        changes += world.changes;
        crashes += world.crashes;
        committed += world.committed.len();
    }
    println!(
        "{elections} checks of leaders, {images} images, {changes} changes, {crashes} crashes, {committed} entries"
    );
    // What is not exercised proves nothing.
    assert!(
        elections > 1000 && images > 200 && changes > 200 && crashes > 500 && committed > 10_000
    );
}

#[test]
fn one_seed() {
    let seed = std::env::var("SLUICE_RAFT_SEED").ok().and_then(|text| text.parse().ok());
    let count = std::env::var("SLUICE_RAFT_SEEDS").ok().and_then(|text| text.parse().ok());
    let from = seed.unwrap_or(1_000_000);
    for seed in from..from + count.unwrap_or(1) {
        run(seed, false).unwrap();
        run_on(seed, false, true).unwrap();
    }
}

#[test]
fn seeds_on_disks_keep_every_promise() {
    let (mut crashes, mut images) = (0, 0);
    for seed in 0..20 {
        let world = run_on(seed, false, true).unwrap();
        crashes += world.crashes;
        images += world.images;
    }
    assert!(crashes > 50 && images > 20, "{crashes} crashes, {images} images");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..10 {
        assert_eq!(run(seed, false).unwrap().trace, run(seed, false).unwrap().trace, "seed {seed}");
    }
    assert_ne!(run(0, false).unwrap().trace, run(1, false).unwrap().trace);
}

/// A vote or an acknowledgement that is not on disk when it is given must be noticed: else these tests prove nothing.
#[test]
fn promises_before_the_disk_are_found() {
    let found = (0..400).find(|seed| run(*seed, true).is_err());
    assert!(found.is_some(), "no seed found that votes and acknowledgements were not synced");
}
