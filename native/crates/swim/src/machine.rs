//! The state machine: `foca` and the rules it leaves to its driver. No clock, no socket, no thread.
//!
//! 1. **Refuted suspects are left alone.** With `notify_down_members`, foca sends `TurnUndead` when a suspicion timer fires, also to a member that has
//!    refuted meanwhile; that member would give up its identity for nothing. Such timers are dropped here.
//! 2. **Who is alone asks the seeds again**: after 0.2 s and then every 0.5 s. Without active members foca stops all its timers. Who is not alone asks
//!    one seed that is not among its members every 5 s.
//! 3. **Timers due at the same time run in foca's order**; after a pause the driver hands over packets first.
//! 4. **A seed's node id is not known**, and foca takes no message for another: an announcement to node -1 is for whoever receives it.
//! 5. **Down is final for an identity**, so who returns does so with another (see [`crate::identity`]); at most one each 200 ms, because two lives of a node that
//!    both run would make each other renew without end.
//! 6. **A node whose clock was set back** starts with a life that seems older than its last one. Whoever knows that later life to be down tells it, and it
//!    takes a generation beyond.
//! 7. **A good-bye is an identity of its own**, told three times: so that others know it from a death.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use foca::{
    Error, Foca, Header, Member, Message, NoCustomBroadcast, Notification, Runtime, State, Timer,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::changes;
use crate::config::SwimConfig;
use crate::envelope::{Envelope, Opened, Refusal};
use crate::events::{EventKind, MemberView, RefusalNotice, SwimEvent};
use crate::identity::{Farewell, NODE_ID_UNKNOWN, NodeIdentity};
use crate::wire::{Contents, IdentityCodec};

/// After becoming alone, and while alone.
const FIRST_ANNOUNCE: Duration = Duration::from_millis(200);
const NEXT_ANNOUNCE: Duration = Duration::from_millis(500);
/// While not alone.
const SEED_CHECK: Duration = Duration::from_secs(5);
/// Addresses asked in one go.
const ANNOUNCED_MAX: usize = 16;
const REJOIN_PAUSE: Duration = Duration::from_millis(200);
const FAREWELL_ROUNDS: u32 = 3;
const FAREWELL_PERIOD: Duration = Duration::from_millis(50);
/// Time between two notices of one reason, milliseconds.
const NOTICE_PERIOD_MS: u64 = 10_000;

/// The time, as the driver has it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since any fixed moment; never goes back.
    pub elapsed: Duration,
    /// Since the Unix epoch.
    pub wall_ms: u64,
}

/// Who this node is and whom it may trust.
#[derive(Debug, Clone)]
pub struct Membership {
    pub node_id: i32,
    pub incarnation_id: [u8; 16],
    pub cluster_id: String,
    pub secret: Vec<u8>,
    pub address: SocketAddr,
    pub seeds: Vec<SocketAddr>,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Packet { to: SocketAddr, bytes: Vec<u8> },
    Event(SwimEvent),
    Refused(RefusalNotice),
}

/// Counted since the start.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub refused: BTreeMap<Refusal, u64>,
    pub suspicions: u64,
    pub rejoins: u64,
    pub guarded_timers: u64,
    /// Errors of foca that must not happen.
    pub internal_errors: u64,
}

/// Whether this node takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Present,
    /// Has left, and listens, until it is healthy again.
    Unhealthy,
    /// Says good-bye.
    Leaving,
    Gone,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    timer: Timer<NodeIdentity>,
    /// Order of submission.
    number: u64,
}

/// What foca asks for while it works.
#[derive(Default)]
struct Effects {
    packets: Vec<(SocketAddr, Vec<u8>)>,
    timers: Vec<(Duration, Timer<NodeIdentity>)>,
    is_connected: bool,
    rejoins: u64,
}

impl Runtime<NodeIdentity> for Effects {
    fn notify(&mut self, notification: Notification<'_, NodeIdentity>) {
        match notification {
            Notification::Active => self.is_connected = true,
            Notification::Idle | Notification::Defunct => self.is_connected = false,
            Notification::Rejoin(_) => {
                self.is_connected = false;
                self.rejoins += 1;
            }
            // Changes are read off the members themselves (`changes.rs`).
            Notification::MemberUp(_)
            | Notification::MemberDown(_)
            | Notification::Rename(_, _) => {}
        }
    }

    fn send_to(&mut self, to: NodeIdentity, data: &[u8]) {
        self.packets.push((to.address, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<NodeIdentity>, after: Duration) {
        self.timers.push((after, event));
    }
}

struct Told {
    at_ms: u64,
    untold: u64,
}

/// See the head of the file.
pub struct SwimCore {
    foca: Foca<NodeIdentity, IdentityCodec, SmallRng, NoCustomBroadcast>,
    config: SwimConfig,
    envelope: Envelope,
    effects: Effects,
    outputs: Vec<Output>,
    timers: BinaryHeap<Reverse<Due>>,
    timer_number: u64,
    known: changes::Told,
    seeds: Vec<SocketAddr>,
    next_seed: usize,
    announce_at: Duration,
    was_alone: bool,
    /// Announcements since we are alone.
    alone_rounds: u32,
    rejoin_after: Duration,
    presence: Presence,
    farewell_rounds: u32,
    farewell_at: Duration,
    counters: Counters,
    told: BTreeMap<Refusal, Told>,
}

impl SwimCore {
    /// Starts alone; the seeds are asked at the first deadline, which is `now`.
    pub fn new(membership: Membership, config: SwimConfig, seed: u64, now: Now) -> Self {
        let Membership { node_id, incarnation_id, cluster_id, secret, address, seeds } = membership;
        let identity = NodeIdentity {
            node_id,
            incarnation_id,
            generation: now.wall_ms,
            bump: 0,
            address,
            farewell: Farewell::None,
        };
        let chance = SmallRng::seed_from_u64(seed);
        Self {
            foca: Foca::new(identity, config.to_foca(), chance, IdentityCodec),
            config,
            envelope: Envelope::new(&cluster_id, &secret, node_id, incarnation_id, now.wall_ms),
            effects: Effects::default(),
            outputs: Vec::new(),
            timers: BinaryHeap::new(),
            timer_number: 0,
            known: changes::Told::default(),
            seeds,
            next_seed: 0,
            announce_at: now.elapsed,
            was_alone: true,
            alone_rounds: 0,
            rejoin_after: now.elapsed,
            presence: Presence::Present,
            farewell_rounds: 0,
            farewell_at: Duration::MAX,
            counters: Counters::default(),
            told: BTreeMap::new(),
        }
    }

    /// This node's own identity now.
    pub fn identity(&self) -> &NodeIdentity {
        self.foca.identity()
    }

    pub fn presence(&self) -> Presence {
        self.presence
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All members ever heard of that are not forgotten, this node excepted, by node id.
    pub fn members(&self) -> impl Iterator<Item = &MemberView> {
        self.known.members()
    }

    /// Replaces the seeds.
    pub fn set_seeds(&mut self, seeds: Vec<SocketAddr>) {
        self.seeds = seeds;
        self.next_seed = 0;
    }

    /// What is to be done, in order; empty afterwards.
    pub fn poll_outputs(&mut self) -> Vec<Output> {
        mem::take(&mut self.outputs)
    }

    /// Takes a packet. `from` is told where the packet is refused, and is trusted in nothing.
    pub fn handle_packet(&mut self, now: Now, bytes: &[u8], from: SocketAddr) {
        if matches!(self.presence, Presence::Leaving | Presence::Gone) {
            return;
        }
        self.counters.packets_received += 1;
        self.counters.bytes_received += bytes.len() as u64;
        let outcome = match self.envelope.open(now.wall_ms, bytes) {
            Ok(Opened { node_id, incarnation_id, payload }) => {
                let sender = (node_id, incarnation_id);
                // The payload borrows from `bytes`, not from the envelope.
                self.take_message(now, sender, payload)
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = outcome {
            self.refuse(now, refusal, from);
        }
        self.settle(now);
    }

    fn take_message(
        &mut self,
        now: Now,
        sender: (i32, [u8; 16]),
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let own = self.foca.identity().clone();
        if sender.0 == own.node_id {
            // A seed may be our own address.
            let is_echo = sender.1 == own.incarnation_id;
            return if is_echo { Ok(()) } else { Err(Refusal::DuplicateNode) };
        }
        let mut contents = Contents::read(payload).map_err(|_| Refusal::Garbage)?;
        let header = &mut contents.header;
        if (header.src.node_id, header.src.incarnation_id) != sender {
            return Err(Refusal::Garbage);
        }
        let is_for_anyone =
            header.message == Message::Announce && header.dst.node_id == NODE_ID_UNKNOWN;
        if now.elapsed < self.rejoin_after && condemns(&contents, &own) {
            return Ok(());
        }
        self.tell_of_later_life(&contents.header);
        let outcome = if is_for_anyone {
            contents.header.dst = own;
            let readdressed = contents.write().map_err(|_| Refusal::Garbage)?;
            self.foca.handle_data(&readdressed, &mut self.effects)
        } else {
            self.foca.handle_data(payload, &mut self.effects)
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Error::Encode(_) | Error::NotConnected | Error::IncompleteProbeCycle) => {
                self.counters.internal_errors += 1;
                Ok(())
            }
            Err(_) => Err(Refusal::Garbage),
        }
    }

    /// Rule 6: answers a life of a node that seems over with the later one, where that is down.
    fn tell_of_later_life(&mut self, header: &Header<NodeIdentity>) {
        let later = self.foca.iter_membership_state().find(|member| {
            member.id().node_id == header.src.node_id
                && member.state() == State::Down
                && member.id().is_later_than(&header.src)
        });
        let Some(later) = later.cloned() else { return };
        if self.presence != Presence::Present {
            return;
        }
        let answer = Contents {
            header: Header {
                src: self.foca.identity().clone(),
                src_incarnation: 0,
                dst: header.src.clone(),
                message: Message::Gossip,
            },
            members: vec![later],
        };
        if let Ok(bytes) = answer.write() {
            self.effects.packets.push((header.src.address, bytes));
        }
    }

    /// Does what is due.
    pub fn handle_timer(&mut self, now: Now) {
        while let Some(Reverse(due)) = self.timers.peek() {
            if due.at > now.elapsed {
                break;
            }
            let Some(Reverse(Due { timer, .. })) = self.timers.pop() else { break };
            if self.config.suspect_guard && self.is_refuted(&timer) {
                self.counters.guarded_timers += 1;
                continue;
            }
            if self.foca.handle_timer(timer, &mut self.effects).is_err() {
                self.counters.internal_errors += 1;
            }
            self.keep_timers(now);
        }
        if now.elapsed >= self.farewell_at {
            self.say_farewell(now);
        }
        if now.elapsed >= self.announce_at && self.presence == Presence::Present {
            self.announce(now);
        }
        self.settle(now);
    }

    /// Rule 1.
    fn is_refuted(&self, timer: &Timer<NodeIdentity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else {
            return false;
        };
        !self.foca.iter_membership_state().any(|member| {
            member.id() == member_id
                && member.incarnation() == *incarnation
                && member.state() == State::Suspect
        })
    }

    /// When [`Self::handle_timer`] has something to do.
    pub fn next_deadline(&self) -> Duration {
        let timer = self.timers.peek().map_or(Duration::MAX, |Reverse(due)| due.at);
        let announce = match self.presence {
            Presence::Present => self.announce_at,
            _ => Duration::MAX,
        };
        timer.min(self.farewell_at).min(announce)
    }

    fn is_alone(&self) -> bool {
        !self.effects.is_connected || self.foca.num_members() == 0
    }

    /// Rule 2.
    fn announce(&mut self, now: Now) {
        let own = self.foca.identity().address;
        let active: Vec<SocketAddr> = self
            .known
            .members()
            .filter(|member| member.state.is_active())
            .map(|member| member.address)
            .collect();
        let mut targets: Vec<SocketAddr> = Vec::new();
        if self.is_alone() {
            let known = self.known.members().map(|member| member.address);
            for address in self.seeds.iter().copied().chain(known) {
                if address != own && !targets.contains(&address) {
                    targets.push(address);
                }
            }
            // Of many, others each time.
            if targets.len() > ANNOUNCED_MAX {
                let start = self.next_seed % targets.len();
                targets.rotate_left(start);
                targets.truncate(ANNOUNCED_MAX);
                self.next_seed = start + ANNOUNCED_MAX;
            }
            self.announce_at =
                now.elapsed + if self.alone_rounds == 0 { FIRST_ANNOUNCE } else { NEXT_ANNOUNCE };
            self.alone_rounds = self.alone_rounds.saturating_add(1);
        } else {
            let absent: Vec<SocketAddr> = self
                .seeds
                .iter()
                .copied()
                .filter(|seed| *seed != own && !active.contains(seed))
                .collect();
            if let Some(seed) = absent.get(self.next_seed % absent.len().max(1)) {
                targets.push(*seed);
            }
            self.next_seed = self.next_seed.wrapping_add(1);
            self.announce_at = now.elapsed + SEED_CHECK;
        }
        for target in targets {
            let whoever = NodeIdentity::unknown_at(target);
            if self.foca.announce(whoever, &mut self.effects).is_err() {
                self.counters.internal_errors += 1;
            }
        }
    }

    /// Says good-bye; [`Self::presence`] is `Gone` when that is done.
    pub fn leave(&mut self, now: Now) {
        if matches!(self.presence, Presence::Leaving | Presence::Gone) {
            return;
        }
        let was_unhealthy = self.presence == Presence::Unhealthy;
        self.presence = Presence::Leaving;
        if was_unhealthy {
            // The others know already that we are not there.
            self.farewell_at = now.elapsed;
            self.farewell_rounds = 0;
        } else {
            self.begin_farewell(now, Farewell::Left);
        }
        self.settle(now);
    }

    /// Leaves until it is healthy again, or returns.
    pub fn set_healthy(&mut self, now: Now, is_healthy: bool) {
        match (self.presence, is_healthy) {
            (Presence::Present, false) => {
                self.presence = Presence::Unhealthy;
                self.begin_farewell(now, Farewell::Unhealthy);
            }
            (Presence::Unhealthy, true) => {
                self.presence = Presence::Present;
                self.farewell_at = Duration::MAX;
                let identity = self.foca.identity().next(Farewell::None);
                self.change_identity(now, identity);
            }
            _ => return,
        }
        self.settle(now);
    }

    fn begin_farewell(&mut self, now: Now, farewell: Farewell) {
        let identity = self.foca.identity().next(farewell);
        let outcome = self
            .foca
            .change_identity(identity, &mut self.effects)
            .and_then(|()| self.foca.leave_cluster(&mut self.effects));
        if outcome.is_err() {
            self.counters.internal_errors += 1;
        }
        self.farewell_rounds = FAREWELL_ROUNDS - 1;
        self.farewell_at = now.elapsed + FAREWELL_PERIOD;
        self.flush(now);
    }

    fn say_farewell(&mut self, now: Now) {
        if self.farewell_rounds > 0 {
            self.farewell_rounds -= 1;
            self.farewell_at = now.elapsed + FAREWELL_PERIOD;
            if self.foca.gossip(&mut self.effects).is_err() {
                self.counters.internal_errors += 1;
            }
            self.flush(now);
            return;
        }
        self.farewell_at = Duration::MAX;
        if self.presence == Presence::Leaving {
            self.presence = Presence::Gone;
            self.timers.clear();
        }
    }

    fn change_identity(&mut self, now: Now, identity: NodeIdentity) {
        if self.foca.change_identity(identity, &mut self.effects).is_err() {
            self.counters.internal_errors += 1;
        }
        self.effects.is_connected = false;
        self.announce_at = now.elapsed;
        self.was_alone = true;
        self.alone_rounds = 0;
        self.rejoin_after = now.elapsed + REJOIN_PAUSE;
    }

    /// After each input: draws the conclusions from what foca now knows, and hands out what it sent.
    fn settle(&mut self, now: Now) {
        let rejoins = mem::take(&mut self.effects.rejoins);
        if rejoins > 0 {
            self.counters.rejoins += rejoins;
            self.rejoin_after = now.elapsed + REJOIN_PAUSE;
            self.announce_at = self.announce_at.min(now.elapsed + FIRST_ANNOUNCE);
        }
        if self.presence == Presence::Present {
            self.succeed_later_life(now);
            let is_alone = self.is_alone();
            if is_alone && !self.was_alone {
                self.announce_at = now.elapsed + FIRST_ANNOUNCE;
                self.alone_rounds = 0;
            } else if !is_alone && self.was_alone {
                self.announce_at = now.elapsed + SEED_CHECK;
            }
            self.was_alone = is_alone;
        }
        self.keep_timers(now);
        self.tell_changes(now);
        if self.presence == Presence::Present {
            self.flush(now);
        } else {
            // What foca answers to others while we are away; our good-byes went out when they were said.
            self.effects.packets.clear();
        }
    }

    /// Rule 6, on the side of the node that starts anew.
    fn succeed_later_life(&mut self, now: Now) {
        let own = self.foca.identity();
        let later = self
            .foca
            .iter_membership_state()
            .map(Member::id)
            .filter(|id| id.node_id == own.node_id && id.is_later_than(own))
            .map(|id| id.generation)
            .max();
        if let Some(generation) = later {
            let identity = NodeIdentity {
                generation: generation.saturating_add(1),
                bump: 0,
                farewell: Farewell::None,
                ..own.clone()
            };
            if identity.is_later_than(own) {
                self.change_identity(now, identity);
            }
        }
    }

    fn keep_timers(&mut self, now: Now) {
        for (after, timer) in mem::take(&mut self.effects.timers) {
            self.timer_number += 1;
            let due = Due { at: now.elapsed + after, timer, number: self.timer_number };
            self.timers.push(Reverse(due));
        }
    }

    fn flush(&mut self, now: Now) {
        for (to, payload) in mem::take(&mut self.effects.packets) {
            let bytes = self.envelope.seal(now.wall_ms, &payload);
            self.counters.packets_sent += 1;
            self.counters.bytes_sent += bytes.len() as u64;
            self.outputs.push(Output::Packet { to, bytes });
        }
    }

    fn refuse(&mut self, now: Now, reason: Refusal, from: SocketAddr) {
        *self.counters.refused.entry(reason).or_insert(0) += 1;
        let is_first = !self.told.contains_key(&reason);
        let told = self.told.entry(reason).or_insert(Told { at_ms: now.wall_ms, untold: 0 });
        told.untold += 1;
        if is_first || now.wall_ms.saturating_sub(told.at_ms) >= NOTICE_PERIOD_MS {
            let count = mem::take(&mut told.untold);
            told.at_ms = now.wall_ms;
            let notice = RefusalNotice { reason, from, count, at_ms: now.wall_ms };
            self.outputs.push(Output::Refused(notice));
        }
    }

    fn tell_changes(&mut self, now: Now) {
        let own = self.foca.identity().node_id;
        let foca = &self.foca;
        let events = self.known.update(own, now.wall_ms, || foca.iter_membership_state());
        for event in events {
            self.counters.suspicions += u64::from(event.kind == EventKind::Suspect);
            self.outputs.push(Output::Event(event));
        }
    }
}

/// Whether a packet says that we are down.
fn condemns(contents: &Contents, own: &NodeIdentity) -> bool {
    contents.header.message == Message::TurnUndead
        || contents.members.iter().any(|member| member.id() == own && member.state() == State::Down)
}
