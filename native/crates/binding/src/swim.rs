//! Membership: the thread with its socket, and the machine alone for simulations. Options, members, events and counters are JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Function, Uint8ArraySlice};
use napi_derive::napi;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sluice_log::{LogError, TopicId};
use sluice_swim::health::HealthLimits;
use sluice_swim::machine::{Counters, Membership, Presence};
use sluice_swim::{
    EventKind, MemberState, MemberView, Now, Output, Profile, Reason, Refusal, RefusalNotice,
    SwimConfig, SwimCore, SwimEvent, SwimOptions, SwimThread, ThreadState, Unhealthy,
};

use crate::error::{CodedError, Job, Result, coded, invalid, unknown};
use crate::slots::SlotTable;
use crate::store::{parse, to_json};
use crate::wake::{callback, ring};

static THREADS: SlotTable<Arc<SwimThread>> = SlotTable::new();
static CORES: SlotTable<Arc<Mutex<Core>>> = SlotTable::new();

#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Unspecified where the host is empty.
    fn parse(&self) -> Result<SocketAddr, LogError> {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        let ip: IpAddr = host.parse().map_err(|_| {
            let text = format!("'{}' is not an IP address", self.host);
            LogError::new(LogError::INVALID_ARGUMENT, text)
        })?;
        Ok(SocketAddr::new(ip, self.port))
    }

    fn of(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

fn parse_all(addresses: &[Address]) -> Result<Vec<SocketAddr>, LogError> {
    addresses.iter().map(Address::parse).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProfileName {
    Default,
    Fast,
}

impl ProfileName {
    fn config(&self) -> SwimConfig {
        SwimConfig::of(match self {
            Self::Default => Profile::Default,
            Self::Fast => Profile::Fast,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeOptions {
    node_id: i32,
    incarnation_id: String,
    cluster_id: String,
    secret: String,
    seeds: Vec<Address>,
    profile: ProfileName,
    /// What peers are told.
    advertised: Address,
}

impl NodeOptions {
    fn membership(&self) -> Result<Membership, LogError> {
        let bad = |text: &str| LogError::new(LogError::INVALID_ARGUMENT, text.to_owned());
        if self.node_id < 0 {
            return Err(bad("a node id is not negative"));
        }
        let incarnation_id = TopicId::parse(&self.incarnation_id)
            .ok_or_else(|| bad("the incarnation id is no id"))?;
        Ok(Membership {
            node_id: self.node_id,
            incarnation_id: incarnation_id.0,
            cluster_id: self.cluster_id.clone(),
            secret: self.secret.clone().into_bytes(),
            address: self.advertised.parse()?,
            seeds: parse_all(&self.seeds)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThreadOptions {
    node: NodeOptions,
    bind: Address,
    /// Source of chance, below 2^53.
    seed: u64,
    disk_probe_directory: Option<PathBuf>,
    /// How old the tokens may be.
    event_loop_limit_ms: Option<u64>,
    disk_limit_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CoreOptions {
    node: NodeOptions,
    seed: u64,
    now_ms: f64,
    suspect_guard: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    kind: &'static str,
    node_id: i32,
    incarnation_id: String,
    address: Address,
    at_ms: u64,
    reason: Option<&'static str>,
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Silent => "silent",
        Reason::Replaced => "replaced",
        Reason::Left => "left",
        Reason::Unhealthy => "unhealthy",
    }
}

fn event(event: &SwimEvent) -> Event {
    Event {
        kind: match event.kind {
            EventKind::Suspect => "suspect",
            EventKind::Alive => "alive",
            EventKind::Down => "down",
            EventKind::Left => "left",
        },
        node_id: event.node_id,
        incarnation_id: TopicId(event.incarnation_id).to_string(),
        address: Address::of(event.address),
        at_ms: event.at_ms,
        reason: event.reason.map(reason_name),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    node_id: i32,
    incarnation_id: String,
    address: Address,
    state: &'static str,
}

fn member(view: &MemberView) -> Member {
    Member {
        node_id: view.node_id,
        incarnation_id: TopicId(view.incarnation_id).to_string(),
        address: Address::of(view.address),
        state: match view.state {
            MemberState::Alive => "alive",
            MemberState::Suspect => "suspect",
            MemberState::Down => "down",
            MemberState::Left(_) => "left",
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusalRow {
    reason: &'static str,
    from: Address,
    count: u64,
    at_ms: u64,
}

fn refusal(notice: &RefusalNotice) -> RefusalRow {
    RefusalRow {
        reason: notice.reason.name(),
        from: Address::of(notice.from),
        count: notice.count,
        at_ms: notice.at_ms,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    state: &'static str,
    unhealthy_reason: Option<&'static str>,
    alive_members: usize,
    suspect_members: usize,
    down_members: usize,
    packets_received: u64,
    bytes_received: u64,
    packets_sent: u64,
    bytes_sent: u64,
    send_errors: u64,
    refused: BTreeMap<&'static str, u64>,
    suspicions: u64,
    rejoins: u64,
    unhealthy_count: u64,
    guarded_timers: u64,
    internal_errors: u64,
    lateness_ms_max: u64,
}

fn statistics(counters: &Counters, members: &[MemberView]) -> Statistics {
    let count = |is_counted: fn(MemberState) -> bool| {
        members.iter().filter(|member| is_counted(member.state)).count()
    };
    Statistics {
        state: "running",
        unhealthy_reason: None,
        alive_members: count(|state| state == MemberState::Alive),
        suspect_members: count(|state| state == MemberState::Suspect),
        down_members: count(|state| !state.is_active()),
        packets_received: counters.packets_received,
        bytes_received: counters.bytes_received,
        packets_sent: counters.packets_sent,
        bytes_sent: counters.bytes_sent,
        send_errors: 0,
        refused: Refusal::ALL
            .into_iter()
            .map(|reason| (reason.name(), counters.refused.get(&reason).copied().unwrap_or(0)))
            .collect(),
        suspicions: counters.suspicions,
        rejoins: counters.rejoins,
        unhealthy_count: 0,
        guarded_timers: counters.guarded_timers,
        internal_errors: counters.internal_errors,
        lateness_ms_max: 0,
    }
}

fn thread_of(handle: f64) -> Result<Arc<SwimThread>> {
    THREADS.get(handle).ok_or_else(|| unknown("the membership"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    handle: f64,
    address: Address,
}

/// Starts a membership thread; returns its handle and the address that peers are told, as JSON. `onNews` runs on the calling thread when events or
/// refusals wait, once until `swimEvents` is called; it does not keep the event loop alive. Throws with `code` SOCKET when the port is taken.
#[napi(catch_unwind)]
pub fn swim_start(options_json: String, on_news: Function<'_, (), ()>) -> Result<String> {
    let options: ThreadOptions = parse(&options_json, "membership options").map_err(coded)?;
    let wake = callback(&on_news)?;
    let defaults = HealthLimits::default();
    let millis = |limit: Option<u64>, other| limit.map_or(other, Duration::from_millis);
    let options = SwimOptions {
        membership: options.node.membership().map_err(coded)?,
        config: options.node.profile.config(),
        bind: options.bind.parse().map_err(coded)?,
        seed: options.seed,
        limits: HealthLimits {
            event_loop: millis(options.event_loop_limit_ms, defaults.event_loop),
            disk: millis(options.disk_limit_ms, defaults.disk),
        },
        disk_probe_directory: options.disk_probe_directory,
    };
    let bind = options.bind;
    let wake = Box::new(move || {
        ring(&wake);
    });
    let thread = SwimThread::start(options, wake)
        .map_err(|error| CodedError::new("SOCKET", format!("UDP {bind}: {error}")))?;
    let address = Address::of(thread.address());
    let handle = THREADS.insert(Arc::new(thread)).ok_or_else(|| invalid("too many memberships"))?;
    to_json(&Started { handle, address }).map_err(coded)
}

/// The event loop lives. A stale handle does nothing.
#[napi(catch_unwind)]
pub fn swim_beat(handle: f64) {
    if let Some(thread) = THREADS.get(handle) {
        thread.beat();
    }
}

/// A disk write has completed. A stale handle does nothing.
#[napi(catch_unwind)]
pub fn swim_disk_beat(handle: f64) {
    if let Some(thread) = THREADS.get(handle) {
        thread.disk_beat();
    }
}

/// All members but this node, as a JSON array.
#[napi(catch_unwind)]
pub fn swim_members(handle: f64) -> Result<String> {
    let members: Vec<Member> = thread_of(handle)?.members().iter().map(member).collect();
    to_json(&members).map_err(coded)
}

/// Takes the events since the last call, as a JSON array.
#[napi(catch_unwind)]
pub fn swim_events(handle: f64) -> Result<String> {
    let events: Vec<Event> = thread_of(handle)?.drain_events().iter().map(event).collect();
    to_json(&events).map_err(coded)
}

/// Takes the notices of refused packets since the last call, as a JSON array.
#[napi(catch_unwind)]
pub fn swim_refusals(handle: f64) -> Result<String> {
    let rows: Vec<RefusalRow> = thread_of(handle)?.drain_refusals().iter().map(refusal).collect();
    to_json(&rows).map_err(coded)
}

/// Counters and state, as JSON.
#[napi(catch_unwind)]
pub fn swim_statistics(handle: f64) -> Result<String> {
    let thread = thread_of(handle)?;
    let found = thread.statistics();
    let (state, unhealthy_reason) = match found.state {
        ThreadState::Running => ("running", None),
        ThreadState::Unhealthy(Unhealthy::EventLoop) => ("unhealthy", Some("eventLoop")),
        ThreadState::Unhealthy(Unhealthy::Disk) => ("unhealthy", Some("disk")),
        ThreadState::Left => ("left", None),
        ThreadState::Stopped => ("stopped", None),
        ThreadState::Failed => ("failed", None),
    };
    to_json(&Statistics {
        state,
        unhealthy_reason,
        send_errors: found.send_errors,
        unhealthy_count: found.unhealthy_count,
        lateness_ms_max: found.lateness_ms_max,
        ..statistics(&found.core, &thread.members())
    })
    .map_err(coded)
}

/// Replaces the seeds: a JSON array of addresses.
#[napi(catch_unwind)]
pub fn swim_set_seeds(handle: f64, seeds_json: String) -> Result<()> {
    let seeds: Vec<Address> = parse(&seeds_json, "seeds").map_err(coded)?;
    thread_of(handle)?.set_seeds(parse_all(&seeds).map_err(coded)?);
    Ok(())
}

/// Says good-bye; settles when that is done, after about 150 ms.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn swim_leave(handle: f64) -> Result<AsyncTask<Job<()>>> {
    let thread = thread_of(handle)?;
    Ok(AsyncTask::new(Job::new(move || {
        thread.leave();
        Ok(())
    })))
}

/// Ends the thread, closes the socket and frees the handle. A stale handle does nothing.
#[napi(catch_unwind)]
pub fn swim_stop(handle: f64) {
    if let Some(thread) = THREADS.remove(handle) {
        thread.stop();
    }
}

/// A machine and what it wants done.
struct Core {
    machine: SwimCore,
    /// Of the packets last taken, one after the other.
    bytes: Vec<u8>,
}

fn core_of(handle: f64) -> Result<Arc<Mutex<Core>>> {
    CORES.get(handle).ok_or_else(|| unknown("the machine"))
}

/// The simulation's clock stands for both; kept to the microsecond.
fn moment(now_ms: f64) -> Now {
    let micros = (now_ms * 1000.0).round() as u64;
    Now { elapsed: Duration::from_micros(micros), wall_ms: micros / 1000 }
}

/// Makes a membership machine without thread, socket and clock; returns its handle.
#[napi(catch_unwind)]
pub fn swim_core_open(options_json: String) -> Result<f64> {
    let options: CoreOptions = parse(&options_json, "membership options").map_err(coded)?;
    let membership = options.node.membership().map_err(coded)?;
    let config =
        SwimConfig { suspect_guard: options.suspect_guard, ..options.node.profile.config() };
    let machine = SwimCore::new(membership, config, options.seed, moment(options.now_ms));
    CORES
        .insert(Arc::new(Mutex::new(Core { machine, bytes: Vec::new() })))
        .ok_or_else(|| invalid("too many machines"))
}

/// Frees a machine. A stale handle does nothing.
#[napi(catch_unwind)]
pub fn swim_core_close(handle: f64) {
    CORES.remove(handle);
}

/// Gives the machine a packet; `bytes` is not kept.
#[napi(catch_unwind)]
pub fn swim_core_packet(
    handle: f64,
    now_ms: f64,
    host: String,
    port: f64,
    bytes: &[u8],
) -> Result<()> {
    let from = Address { host, port: port as u16 }.parse().map_err(coded)?;
    core_of(handle)?.lock().machine.handle_packet(moment(now_ms), bytes, from);
    Ok(())
}

/// Lets the machine do what is due.
#[napi(catch_unwind)]
pub fn swim_core_timer(handle: f64, now_ms: f64) -> Result<()> {
    core_of(handle)?.lock().machine.handle_timer(moment(now_ms));
    Ok(())
}

/// When `swimCoreTimer` has something to do, in milliseconds; infinite when never.
#[napi(catch_unwind)]
pub fn swim_core_deadline(handle: f64) -> Result<f64> {
    let deadline = core_of(handle)?.lock().machine.next_deadline();
    Ok(if deadline == Duration::MAX { f64::INFINITY } else { deadline.as_micros() as f64 / 1000.0 })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PacketRow {
    to: Address,
    length: usize,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outputs {
    packets: Vec<PacketRow>,
    events: Vec<Event>,
    refusals: Vec<RefusalRow>,
}

/// Takes what the machine wants done, as JSON; the packets' bytes are what `swimCoreBytes` returns next.
#[napi(catch_unwind)]
pub fn swim_core_outputs(handle: f64) -> Result<String> {
    let core = core_of(handle)?;
    let mut core = core.lock();
    let mut outputs = Outputs::default();
    core.bytes.clear();
    for output in core.machine.poll_outputs() {
        match output {
            Output::Packet { to, bytes } => {
                outputs.packets.push(PacketRow { to: Address::of(to), length: bytes.len() });
                core.bytes.extend_from_slice(&bytes);
            }
            Output::Event(told) => outputs.events.push(event(&told)),
            Output::Refused(notice) => outputs.refusals.push(refusal(&notice)),
        }
    }
    to_json(&outputs).map_err(coded)
}

/// Bytes of the packets last taken, one after the other.
#[napi(catch_unwind)]
pub fn swim_core_bytes(env: &Env, handle: f64) -> Result<Uint8ArraySlice<'_>> {
    let core = core_of(handle)?;
    let core = core.lock();
    Uint8ArraySlice::copy_from(env, &core.bytes).map_err(|error| invalid(error.reason.clone()))
}

/// All members but the machine's own node, as a JSON array.
#[napi(catch_unwind)]
pub fn swim_core_members(handle: f64) -> Result<String> {
    let core = core_of(handle)?;
    let members: Vec<Member> = core.lock().machine.members().map(member).collect();
    to_json(&members).map_err(coded)
}

/// Counters and state, as JSON.
#[napi(catch_unwind)]
pub fn swim_core_statistics(handle: f64) -> Result<String> {
    let core = core_of(handle)?;
    let core = core.lock();
    let members: Vec<MemberView> = core.machine.members().cloned().collect();
    let state = match core.machine.presence() {
        Presence::Present | Presence::Leaving => "running",
        Presence::Unhealthy => "unhealthy",
        Presence::Gone => "left",
    };
    to_json(&Statistics { state, ..statistics(core.machine.counters(), &members) }).map_err(coded)
}

/// Replaces the seeds: a JSON array of addresses.
#[napi(catch_unwind)]
pub fn swim_core_set_seeds(handle: f64, seeds_json: String) -> Result<()> {
    let seeds: Vec<Address> = parse(&seeds_json, "seeds").map_err(coded)?;
    core_of(handle)?.lock().machine.set_seeds(parse_all(&seeds).map_err(coded)?);
    Ok(())
}

/// Says good-bye.
#[napi(catch_unwind)]
pub fn swim_core_leave(handle: f64, now_ms: f64) -> Result<()> {
    core_of(handle)?.lock().machine.leave(moment(now_ms));
    Ok(())
}

/// Leaves until it is healthy again, or returns.
#[napi(catch_unwind)]
pub fn swim_core_set_healthy(handle: f64, now_ms: f64, is_healthy: bool) -> Result<()> {
    core_of(handle)?.lock().machine.set_healthy(moment(now_ms), is_healthy);
    Ok(())
}
