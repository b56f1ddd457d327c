//! Raft nodes for JavaScript: a handle each, bytes in and out. What a node has to say crosses as one array, laid out in [`pack`].

use std::path::PathBuf;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Uint8ArraySlice};
use napi_derive::napi;
use parking_lot::Mutex;
use serde::Deserialize;
use sluice_log::LogError;
use sluice_log::io::RealFileSystem;
use sluice_raft::{CommittedKind, CrashKind, MemberChange, Node, NodeOptions, Ready, Role, Store};

use crate::bytes::owned;
use crate::error::{Job, Result, coded, invalid, unknown};
use crate::slots::SlotTable;

type Shared = Arc<Mutex<Node>>;

static NODES: SlotTable<Shared> = SlotTable::new();

fn node_of(handle: f64) -> Result<Shared> {
    NODES.get(handle).ok_or_else(|| unknown("the raft node"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    id: i64,
    voters: Vec<i64>,
    learners: Vec<i64>,
    directory: Option<String>,
    cluster_id: Option<String>,
    election_ticks: usize,
    heartbeat_ticks: usize,
    seed: f64,
    max_frame_bytes: usize,
    #[serde(default)]
    unsafe_acknowledge_early: bool,
}

fn parse(options_json: &str, first_snapshot: Option<&[u8]>) -> Result<(Options, NodeOptions)> {
    let options: Options =
        serde_json::from_str(options_json).map_err(|error| invalid(error.to_string()))?;
    let node = NodeOptions {
        id: options.id,
        voters: options.voters.clone(),
        learners: options.learners.clone(),
        election_ticks: options.election_ticks,
        heartbeat_ticks: options.heartbeat_ticks,
        seed: options.seed.to_bits(),
        max_frame_bytes: options.max_frame_bytes,
        first_snapshot: first_snapshot.map(<[u8]>::to_vec),
        acknowledge_early: options.unsafe_acknowledge_early,
    };
    Ok((options, node))
}

fn keep(node: Node) -> std::result::Result<f64, LogError> {
    NODES
        .insert(Arc::new(Mutex::new(node)))
        .ok_or_else(|| LogError::new(LogError::INVALID_ARGUMENT, "too many raft nodes are open"))
}

/// Opens a raft node in the directory that `optionsJson` (`RaftNodeOptions`) names, on another thread; its handle. Rejects with `code`
/// INVALID_ARGUMENT, RAFT_CORRUPT, DISK_FULL, RAFT_POISONED or one of the log store's; files are as they were.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn open_raft_node(
    options_json: String,
    first_snapshot: Option<&[u8]>,
) -> Result<AsyncTask<Job<f64>>> {
    let (options, node) = parse(&options_json, first_snapshot)?;
    let directory = options.directory.ok_or_else(|| invalid("no directory"))?;
    Ok(AsyncTask::new(Job::new(move || {
        let files = Arc::new(RealFileSystem);
        keep(Node::open_files(node, files, &PathBuf::from(directory), options.cluster_id)?)
    })))
}

/// Opens a raft node in memory; its handle. Throws with `code` INVALID_ARGUMENT.
#[napi(catch_unwind)]
pub fn open_memory_raft_node(options_json: String, first_snapshot: Option<&[u8]>) -> Result<f64> {
    let (_, node) = parse(&options_json, first_snapshot)?;
    Node::open(node, Store::memory()).and_then(keep).map_err(coded)
}

/// Closes a node's files, on another thread; its handle is stale at once.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn raft_close(node: f64) -> Result<AsyncTask<Job<()>>> {
    let removed = NODES.remove(node).ok_or_else(|| unknown("the raft node"))?;
    Ok(AsyncTask::new(Job::new(move || removed.lock().close())))
}

/// The node that would start after a crash of this one, which is in memory; its handle. The old one is stale. `kind` 0 keeps what was
/// written, 1 what was synced, 2 some of what was being written.
#[napi(catch_unwind)]
pub fn raft_crash(node: f64, kind: f64, seed: f64) -> Result<f64> {
    let kind = match kind as i32 {
        0 => CrashKind::KeepWritten,
        1 => CrashKind::LoseUnsynced,
        _ => CrashKind::Torn(seed.to_bits()),
    };
    let restarted = node_of(node)?.lock().crash(kind, seed.to_bits()).map_err(coded)?;
    NODES.remove(node);
    keep(restarted).map_err(coded)
}

/// Time passes by one tick. False when the node has stopped for good.
#[napi(catch_unwind)]
pub fn raft_tick(node: f64) -> Result<bool> {
    Ok(node_of(node)?.lock().tick())
}

/// Takes a message; 0, or why it was refused (`RaftRefusal`). `from` is the authenticated sender, -1 when there is none.
#[napi(catch_unwind)]
pub fn raft_step(node: f64, bytes: &[u8], from: f64) -> Result<f64> {
    let from = (from >= 0.0).then_some(from as i64);
    let result = node_of(node)?.lock().step(bytes, from);
    Ok(result.err().map_or(0.0, |refusal| f64::from(refusal as u32)))
}

/// Lets a node send messages although no membership known here has it.
#[napi(catch_unwind)]
pub fn raft_admit(node: f64, id: f64) -> Result<()> {
    node_of(node)?.lock().admit(id as i64);
    Ok(())
}

/// Appends records; the entry's index, or a `ProposeRefusal`.
#[napi(catch_unwind)]
pub fn raft_propose(node: f64, data: &[u8]) -> Result<f64> {
    let result = node_of(node)?.lock().propose(data);
    Ok(result.map_or_else(|refusal| f64::from(refusal as i32), |index| index as f64))
}

#[derive(Deserialize)]
struct Change {
    kind: String,
    id: i64,
}

/// Begins a change of members (`RaftMemberChange[]` as JSON); the entry's index, or a `ProposeRefusal`.
#[napi(catch_unwind)]
pub fn raft_propose_members(node: f64, changes_json: String) -> Result<f64> {
    let changes: Vec<Change> =
        serde_json::from_str(&changes_json).map_err(|error| invalid(error.to_string()))?;
    let changes: Vec<MemberChange> = changes
        .iter()
        .map(|change| match change.kind.as_str() {
            "add-voter" => Ok(MemberChange::AddVoter(change.id)),
            "add-learner" => Ok(MemberChange::AddLearner(change.id)),
            "remove" => Ok(MemberChange::Remove(change.id)),
            other => Err(invalid(format!("{other} is no change of members"))),
        })
        .collect::<Result<_>>()?;
    let result = node_of(node)?.lock().propose_members(&changes);
    Ok(result.map_or_else(|refusal| f64::from(refusal as i32), |index| index as f64))
}

/// Stands for election.
#[napi(catch_unwind)]
pub fn raft_campaign(node: f64) -> Result<()> {
    node_of(node)?.lock().campaign();
    Ok(())
}

/// Hands leadership to another voter.
#[napi(catch_unwind)]
pub fn raft_transfer_to(node: f64, id: f64) -> Result<()> {
    node_of(node)?.lock().transfer_to(id as i64);
    Ok(())
}

/// A message to the member could not be sent.
#[napi(catch_unwind)]
pub fn raft_report_unreachable(node: f64, id: f64) -> Result<()> {
    node_of(node)?.lock().report_unreachable(id as i64);
    Ok(())
}

/// What there is to do, packed; null when there is nothing.
#[napi(catch_unwind)]
pub fn raft_ready(env: &Env, node: f64) -> Result<Option<Uint8ArraySlice<'_>>> {
    let ready = node_of(node)?.lock().ready();
    ready.map(|ready| owned(env, &pack(&ready))).transpose()
}

/// Whether something is to be written.
#[napi(catch_unwind)]
pub fn raft_needs_persist(node: f64) -> Result<bool> {
    Ok(node_of(node)?.lock().needs_persist())
}

/// Writes and syncs on another thread. Rejects with `code` DISK_FULL (to be tried again) or RAFT_POISONED.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn raft_persist(node: f64) -> Result<AsyncTask<Job<()>>> {
    let shared = node_of(node)?;
    let persist = shared.lock().begin_persist().map_err(coded)?;
    Ok(AsyncTask::new(Job::new(move || {
        // The node stays free while the disk works.
        let outcome = persist.run();
        shared.lock().end_persist(outcome)
    })))
}

/// Writes a node in memory.
#[napi(catch_unwind)]
pub fn raft_persist_now(node: f64) -> Result<()> {
    let shared = node_of(node)?;
    let mut node = shared.lock();
    let persist = node.begin_persist().map_err(coded)?;
    node.end_persist(persist.run()).map_err(coded)
}

/// What had to wait for the write that succeeded, packed.
#[napi(catch_unwind)]
pub fn raft_persisted(env: &Env, node: f64) -> Result<Uint8ArraySlice<'_>> {
    let ready = node_of(node)?.lock().persisted();
    owned(env, &pack(&ready))
}

/// Takes the state image after entry `index`; false when it is of no use.
#[napi(catch_unwind)]
pub fn raft_snapshot(node: f64, index: f64, data: &[u8]) -> Result<bool> {
    Ok(node_of(node)?.lock().snapshot(index as u64, data))
}

/// The node at this moment (`RaftStatus`), as JSON.
#[napi(catch_unwind)]
pub fn raft_status(node: f64) -> Result<String> {
    let status = node_of(node)?.lock().status();
    serde_json::to_string(&status).map_err(|error| invalid(error.to_string()))
}

/// Big endian:
///
/// ```text
/// role u8 · flags u8 (1 needs persist, 2 wants a snapshot, 4 has one) · leader f64 · term f64
/// [ index f64 · term f64 · length u32 · bytes ]                        the snapshot
/// count u32, then each: to f64 · length u32 · bytes                    messages
/// count u32, then each: index f64 · term f64 · kind u8 · length u32 · bytes    committed
/// ```
fn pack(ready: &Ready) -> Vec<u8> {
    let bytes: usize = ready.messages.iter().map(|(_, bytes)| bytes.len() + 12).sum::<usize>()
        + ready.committed.iter().map(|entry| entry.data.len() + 21).sum::<usize>()
        + ready.snapshot.as_ref().map_or(0, |(_, _, data)| data.len() + 20);
    let mut into = Vec::with_capacity(bytes + 26);
    into.push(match ready.role {
        Role::Follower => 0,
        Role::Candidate => 1,
        Role::Leader => 2,
        Role::Learner => 3,
    });
    let has_snapshot = ready.snapshot.is_some();
    into.push(
        u8::from(ready.needs_persist)
            | u8::from(ready.wants_snapshot) << 1
            | u8::from(has_snapshot) << 2,
    );
    put_id(&mut into, ready.leader_id);
    put_number(&mut into, ready.term);
    if let Some((index, term, data)) = &ready.snapshot {
        put_number(&mut into, *index);
        put_number(&mut into, *term);
        put_bytes(&mut into, data);
    }
    into.extend_from_slice(&(ready.messages.len() as u32).to_be_bytes());
    for (to, bytes) in &ready.messages {
        put_id(&mut into, *to);
        put_bytes(&mut into, bytes);
    }
    into.extend_from_slice(&(ready.committed.len() as u32).to_be_bytes());
    for entry in &ready.committed {
        put_number(&mut into, entry.index);
        put_number(&mut into, entry.term);
        into.push(match entry.kind {
            CommittedKind::None => 0,
            CommittedKind::Records => 1,
            CommittedKind::Members => 2,
        });
        put_bytes(&mut into, &entry.data);
    }
    into
}

fn put_id(into: &mut Vec<u8>, id: i64) {
    into.extend_from_slice(&(id as f64).to_be_bytes());
}

fn put_number(into: &mut Vec<u8>, value: u64) {
    into.extend_from_slice(&(value as f64).to_be_bytes());
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    into.extend_from_slice(bytes);
}
