//! How a node is opened, and what one that never ran begins with.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use raft::eraftpb::{ConfState, HardState};
use sluice_log::LogError;

use crate::cache::{Image, Stored};

/// What a message needs beside the entry or the image in it.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 1024 + (64 << 10);

/// How a node is opened.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NodeOptions {
    /// The member's key: the id of its node, and what tells one directory of that node from another (`member_key` in TypeScript).
    pub id: i64,
    /// Members of a new cluster; ignored once there is state.
    pub voters: Vec<i64>,
    pub learners: Vec<i64>,
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    pub seed: u64,
    pub max_frame_bytes: usize,
    /// Image of a node that was alone until now; used when the node is new.
    pub first_snapshot: Option<Vec<u8>>,
    /// For tests of tests: votes and acknowledgements leave before they are on disk.
    pub acknowledge_early: bool,
}

/// Keys are whole numbers of JavaScript.
const KEY_END: i64 = 1 << 53;
/// The lower bits of a key are the id of the node.
const NODE_ID_BITS: u32 = 31;

/// The id of the node that a member is on.
pub(crate) fn broker_id(key: i64) -> i32 {
    (key & ((1 << NODE_ID_BITS) - 1)) as i32
}

/// The crate has no member 0.
pub(crate) fn raft_id(id: i64) -> u64 {
    (id + 1) as u64
}

pub(crate) fn node_id(raft_id: u64) -> i64 {
    i64::try_from(raft_id).map_or(-1, |id| id - 1)
}

pub(crate) fn node_ids(raft_ids: impl IntoIterator<Item = u64>) -> Vec<i64> {
    let mut ids: Vec<i64> = raft_ids.into_iter().map(node_id).collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn invalid(message: impl Into<String>) -> LogError {
    LogError::new(LogError::INVALID_ARGUMENT, message)
}

pub(crate) fn check_options(options: &NodeOptions) -> Result<(), LogError> {
    if options.heartbeat_ticks == 0 || options.election_ticks <= options.heartbeat_ticks {
        return Err(invalid(
            "election ticks must be more than heartbeat ticks, and those more than 0",
        ));
    }
    if options.max_frame_bytes < 2 * MESSAGE_OVERHEAD_BYTES {
        return Err(invalid(format!(
            "a message of {} bytes is too small",
            options.max_frame_bytes
        )));
    }
    let members = options.voters.iter().chain(&options.learners);
    let distinct: BTreeSet<&i64> = members.clone().collect();
    if distinct.len() != members.count()
        || distinct.iter().any(|id| **id < 0)
        || !(0..KEY_END).contains(&options.id)
    {
        return Err(invalid("node ids must be distinct and not negative"));
    }
    let is_member = options.voters.contains(&options.id) || options.learners.contains(&options.id);
    if options.voters.is_empty() && is_member {
        return Err(invalid("a cluster cannot begin without voters"));
    }
    Ok(())
}

/// The state of a node that never ran. Members of a new cluster begin at entry 1 of term 1, all the same; one that brings an image is an
/// entry ahead, so that its log wins and the others need the image. Anyone else begins at 0, which is before everything.
pub(crate) fn first_state(options: &NodeOptions) -> Result<Stored, LogError> {
    let is_member = options.voters.contains(&options.id) || options.learners.contains(&options.id);
    if !is_member {
        return match options.first_snapshot {
            Some(_) => Err(invalid("a node that joins a cluster cannot bring an image along")),
            None => Ok(Stored::default()),
        };
    }
    let members = ConfState {
        voters: options.voters.iter().copied().map(raft_id).collect(),
        learners: options.learners.iter().copied().map(raft_id).collect(),
        ..ConfState::default()
    };
    let index = if options.first_snapshot.is_some() { 2 } else { 1 };
    let data = Bytes::from(options.first_snapshot.clone().unwrap_or_default());
    let hard_state = HardState { term: 1, commit: index, ..HardState::default() };
    let image = Arc::new(Image { index, term: 1, members, data });
    Ok(Stored { hard_state, image, entries: Vec::new() })
}
