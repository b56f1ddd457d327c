//! A virtual network of membership machines, from one seed: delay, loss, bursts of loss, cut links, pauses, kills and restarts.
//!
//! ```ignore
//! let mut world = World::new(WorldOptions { nodes: 3, ..WorldOptions::default() });
//! world.run_until_joined();
//! world.kill(0);
//! world.run_for(Duration::from_secs(2));
//! ```

#![allow(dead_code, unreachable_pub, clippy::indexing_slicing, clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sluice_swim::machine::Membership;
use sluice_swim::{
    EventKind, MemberState, Now, Output, Profile, Refusal, SwimConfig, SwimCore, SwimEvent,
};

/// What happens to packets between two nodes, in each direction on its own.
#[derive(Debug, Clone, Copy)]
pub enum Loss {
    /// Each packet on its own, with this probability.
    Independent(f64),
    /// All packets during bursts of this mean length, which take this share of the time.
    Bursts { share: f64, mean: Duration },
}

#[derive(Debug, Clone)]
pub struct WorldOptions {
    pub nodes: usize,
    pub config: SwimConfig,
    pub loss: Loss,
    pub seed: u64,
    /// Each node stands still for this long about every five seconds.
    pub pause: Option<Duration>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            nodes: 3,
            config: SwimConfig::of(Profile::Default),
            loss: Loss::Independent(0.0),
            seed: 1,
            pause: None,
        }
    }
}

/// Packets come before timers of the same moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Packet { to: usize, from: usize, bytes: Vec<u8> },
    Resume { node: usize },
    Deadline { node: usize },
    Pause { node: usize },
}

pub struct Node {
    pub core: SwimCore,
    pub incarnation_id: [u8; 16],
    pub is_up: bool,
    pub paused_until: u64,
    wakes_at: u64,
}

struct Link {
    is_bad: bool,
    until: u64,
}

/// What a node said of another, and when.
#[derive(Debug, Clone)]
pub struct Said {
    pub at: Duration,
    pub by: usize,
    pub event: SwimEvent,
}

pub struct World {
    pub options: WorldOptions,
    pub nodes: Vec<Node>,
    /// All events since it was last emptied.
    pub said: Vec<Said>,
    /// Packets of the first pair's first node do not reach the second.
    pub cut: HashSet<(usize, usize)>,
    pub bytes_sent: u64,
    /// Packets refused because another process has the node id; nothing else may be refused.
    pub duplicates: u64,
    /// Hash over everything that was sent.
    pub trace: u64,
    now: u64,
    number: u64,
    queue: BinaryHeap<Reverse<(u64, Happening, u64)>>,
    links: BTreeMap<(usize, usize), Link>,
    chance: SmallRng,
    lives: u64,
}

const START_WALL_MS: u64 = 1_700_000_000_000;

pub fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (node / 250) as u8, (node % 250 + 1) as u8], 9093))
}

impl World {
    pub fn new(options: WorldOptions) -> Self {
        let chance = SmallRng::seed_from_u64(options.seed);
        let mut world = Self {
            nodes: Vec::new(),
            said: Vec::new(),
            cut: HashSet::new(),
            bytes_sent: 0,
            duplicates: 0,
            trace: 0,
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            links: BTreeMap::new(),
            chance,
            lives: 0,
            options,
        };
        for id in 0..world.options.nodes {
            let node = world.make(id, 0);
            world.nodes.push(node);
            world.schedule(id);
            world.plan_pause(id);
        }
        world
    }

    /// A fresh process of a node; its clock is `clock_back_ms` behind.
    fn make(&mut self, id: usize, clock_back_ms: u64) -> Node {
        self.lives += 1;
        let mut incarnation_id = [0; 16];
        incarnation_id[..8].copy_from_slice(&self.lives.to_be_bytes());
        let membership = Membership {
            node_id: id as i32,
            incarnation_id,
            cluster_id: "simulated".to_owned(),
            secret: b"secret".to_vec(),
            address: address(id),
            seeds: (0..self.options.nodes.min(3)).map(address).collect(),
        };
        let seed = self.chance.random();
        let mut now = self.now();
        now.wall_ms -= clock_back_ms;
        Node {
            core: SwimCore::new(membership, self.options.config.clone(), seed, now),
            incarnation_id,
            is_up: true,
            paused_until: 0,
            wakes_at: u64::MAX,
        }
    }

    /// Since an earlier moment.
    pub fn since(&self, moment: Duration) -> Duration {
        self.elapsed().saturating_sub(moment)
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    pub fn now(&self) -> Now {
        Now { elapsed: self.elapsed(), wall_ms: START_WALL_MS + self.now / 1000 }
    }

    fn push(&mut self, at: u64, happening: Happening) {
        self.number += 1;
        self.queue.push(Reverse((at, happening, self.number)));
    }

    fn plan_pause(&mut self, node: usize) {
        if self.options.pause.is_some() {
            let at = self.now + self.chance.random_range(3_000_000..7_000_000);
            self.push(at, Happening::Pause { node });
        }
    }

    /// Hands out what a node wants done, and plans its next deadline.
    fn schedule(&mut self, id: usize) {
        let outputs = self.nodes[id].core.poll_outputs();
        for output in outputs {
            match output {
                Output::Packet { to, bytes } => self.send(id, to, bytes),
                Output::Event(event) => {
                    let at = self.elapsed();
                    self.said.push(Said { at, by: id, event });
                }
                Output::Refused(notice) => {
                    let is_expected = notice.reason == Refusal::DuplicateNode;
                    assert!(is_expected, "refused within the simulation: {notice:?}");
                    self.duplicates += notice.count;
                }
            }
        }
        let deadline = self.nodes[id].core.next_deadline().as_micros();
        let deadline = u64::try_from(deadline).unwrap_or(u64::MAX).max(self.now);
        if deadline < self.nodes[id].wakes_at {
            self.nodes[id].wakes_at = deadline;
            self.push(deadline, Happening::Deadline { node: id });
        }
    }

    fn send(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        self.bytes_sent += bytes.len() as u64;
        for byte in &bytes {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let Some(to) = (0..self.nodes.len()).find(|id| address(*id) == to) else { return };
        if self.cut.contains(&(from, to)) || self.is_lost(from, to) {
            return;
        }
        let mut delay = self.chance.random_range(100..500);
        if self.chance.random_bool(0.001) {
            delay += 10_000;
        }
        self.push(self.now + delay, Happening::Packet { to, from, bytes });
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        match self.options.loss {
            Loss::Independent(probability) => self.chance.random_bool(probability),
            Loss::Bursts { share, mean } => {
                let link = self.links.entry((from, to)).or_insert(Link { is_bad: true, until: 0 });
                while link.until <= self.now {
                    link.is_bad = !link.is_bad;
                    let mean = mean.as_micros() as f64
                        * if link.is_bad { 1.0 } else { (1.0 - share) / share };
                    let uniform: f64 = self.chance.random();
                    link.until += (-(1.0 - uniform).ln() * mean) as u64 + 1;
                }
                link.is_bad
            }
        }
    }

    /// Runs what happens up to a moment.
    pub fn run_until(&mut self, until: Duration) {
        let until = until.as_micros() as u64;
        while let Some(Reverse((at, ..))) = self.queue.peek() {
            if *at > until {
                break;
            }
            let Some(Reverse((at, happening, _))) = self.queue.pop() else { break };
            self.now = at;
            self.happen(happening);
        }
        self.now = until;
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.elapsed() + time);
    }

    fn happen(&mut self, happening: Happening) {
        let id = match &happening {
            Happening::Packet { to: id, .. }
            | Happening::Resume { node: id }
            | Happening::Deadline { node: id }
            | Happening::Pause { node: id } => *id,
        };
        let paused_until = self.nodes[id].paused_until;
        if !self.nodes[id].is_up {
            if matches!(happening, Happening::Pause { .. }) {
                self.plan_pause(id);
            }
            return;
        }
        if paused_until > self.now {
            self.push(paused_until, happening);
            return;
        }
        let now = self.now();
        match happening {
            Happening::Packet { from, bytes, .. } => {
                self.nodes[id].core.handle_packet(now, &bytes, address(from));
            }
            Happening::Deadline { .. } => {
                if self.nodes[id].wakes_at > self.now {
                    return;
                }
                self.nodes[id].wakes_at = u64::MAX;
                self.nodes[id].core.handle_timer(now);
            }
            Happening::Pause { .. } => {
                if let Some(pause) = self.options.pause {
                    self.nodes[id].paused_until = self.now + pause.as_micros() as u64;
                }
                self.plan_pause(id);
            }
            Happening::Resume { .. } => {}
        }
        self.schedule(id);
    }

    /// Does something to a node's machine.
    pub fn with(&mut self, id: usize, work: impl FnOnce(&mut SwimCore, Now)) {
        let now = self.now();
        work(&mut self.nodes[id].core, now);
        self.schedule(id);
    }

    pub fn kill(&mut self, id: usize) {
        self.nodes[id].is_up = false;
    }

    /// A new process in place of a killed one.
    pub fn restart(&mut self, id: usize) {
        self.restart_with_clock(id, 0);
    }

    pub fn restart_with_clock(&mut self, id: usize, clock_back_ms: u64) {
        let node = self.make(id, clock_back_ms);
        self.nodes[id] = node;
        self.schedule(id);
    }

    pub fn state_at(&self, at: usize, of: usize) -> Option<MemberState> {
        let id = self.nodes[of].incarnation_id;
        self.nodes[at]
            .core
            .members()
            .find(|member| member.node_id == of as i32 && member.incarnation_id == id)
            .map(|member| member.state)
    }

    pub fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|id| self.nodes[*id].is_up).collect()
    }

    /// All that run think of all that run as alive, or suspect them for the moment.
    pub fn is_joined(&self) -> bool {
        let up = self.up();
        up.iter().all(|at| {
            up.iter()
                .all(|of| at == of || self.state_at(*at, *of).is_some_and(MemberState::is_active))
        })
    }

    /// Panics when they do not within a minute.
    pub fn run_until_joined(&mut self) -> Duration {
        let from = self.elapsed();
        while !self.is_joined() {
            self.run_for(Duration::from_millis(50));
            assert!(self.since(from) < Duration::from_secs(60), "no full view in a minute");
        }
        self.since(from)
    }

    /// Identities given up because others said so.
    pub fn rejoins(&self) -> u64 {
        self.nodes.iter().map(|node| node.core.counters().rejoins).sum()
    }

    /// Times that a node was called down by another while it ran, silence told since the last emptying of `said`.
    pub fn down_said_of(&self, id: usize) -> Vec<&Said> {
        self.said
            .iter()
            .filter(|said| said.event.kind == EventKind::Down && said.event.node_id == id as i32)
            .collect()
    }
}

/// How long kills took to be seen.
#[derive(Debug, Default)]
pub struct Detection {
    pub first: Vec<Duration>,
    pub every: Vec<Duration>,
    /// Kills that not every member saw within ten seconds.
    pub missed: usize,
}

/// Kills a node at a random moment, waits until all others have seen it, and starts it again; `kills` times.
pub fn measure_kills(options: &WorldOptions, kills: usize) -> Detection {
    let mut chance = SmallRng::seed_from_u64(options.seed ^ 0x5eed);
    let mut world = World::new(options.clone());
    world.run_until_joined();
    let mut detection = Detection::default();
    for _ in 0..kills {
        world.run_for(Duration::from_micros(chance.random_range(2_000_000..3_000_000)));
        world.run_until_joined();
        world.said.clear();
        let victim = chance.random_range(0..options.nodes);
        let killed_at = world.elapsed();
        world.kill(victim);
        let mut seen: BTreeMap<usize, Duration> = BTreeMap::new();
        while seen.len() < options.nodes - 1 {
            world.run_for(Duration::from_millis(20));
            for said in world.down_said_of(victim) {
                if said.event.incarnation_id == world.nodes[victim].incarnation_id {
                    seen.entry(said.by).or_insert(said.at.saturating_sub(killed_at));
                }
            }
            if world.since(killed_at) > Duration::from_secs(10) {
                break;
            }
        }
        if let Some(first) = seen.values().min() {
            detection.first.push(*first);
        }
        match seen.values().max() {
            Some(last) if seen.len() == options.nodes - 1 => detection.every.push(*last),
            _ => detection.missed += 1,
        }
        world.restart(victim);
    }
    detection
}

/// What went wrong while nothing had failed.
#[derive(Debug, Default, Clone, Copy)]
pub struct FalseDowns {
    pub node_hours: f64,
    /// Identities given up by nodes that ran all the time.
    pub rejoins: u64,
    /// Times that some member reported a running node as down.
    pub reports: u64,
    pub suspicions: u64,
    pub guarded_timers: u64,
    pub bytes_per_node_second: f64,
}

/// Lets a cluster run without a failure of a node.
pub fn measure_false_downs(options: &WorldOptions, time: Duration) -> FalseDowns {
    let mut world = World::new(options.clone());
    world.run_until_joined();
    world.run_for(Duration::from_secs(2));
    let before = (world.rejoins(), world.bytes_sent);
    world.said.clear();
    let mut result = FalseDowns::default();
    let until = world.elapsed() + time;
    while world.elapsed() < until {
        world.run_for(Duration::from_secs(10).min(until.saturating_sub(world.elapsed())));
        for said in world.said.drain(..) {
            match said.event.kind {
                EventKind::Down => result.reports += 1,
                EventKind::Suspect => result.suspicions += 1,
                _ => {}
            }
        }
    }
    let node_seconds = time.as_secs_f64() * options.nodes as f64;
    result.node_hours = node_seconds / 3600.0;
    result.rejoins = world.rejoins() - before.0;
    result.guarded_timers =
        world.nodes.iter().map(|node| node.core.counters().guarded_timers).sum();
    result.bytes_per_node_second = (world.bytes_sent - before.1) as f64 / node_seconds;
    result
}

/// A quantile of times, in milliseconds.
pub fn quantile_ms(times: &[Duration], quantile: f64) -> u64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = ((sorted.len() as f64 * quantile).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).map_or(0, |time| time.as_millis() as u64)
}
