//! What a node tells its driver.

use bytes::Bytes;
use serde::Serialize;

/// What a node is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Role {
    Follower,
    Candidate,
    Leader,
    /// Follows and has no vote (yet), or is no member (yet).
    Learner,
}

/// What a committed entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommittedKind {
    /// Opens a leader's term.
    None,
    /// Records of the state machine.
    Records,
    /// Changed the membership.
    Members,
}

/// A committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Committed {
    pub index: u64,
    pub term: u64,
    pub kind: CommittedKind,
    /// Empty unless records.
    pub data: Bytes,
}

/// What there is to do.
#[derive(Debug)]
pub struct Ready {
    /// May be sent now: recipient and bytes.
    pub messages: Vec<(i64, Vec<u8>)>,
    /// Index, term and image that replace the state machine, before `committed`.
    pub snapshot: Option<(u64, u64, Bytes)>,
    /// To be applied, in order.
    pub committed: Vec<Committed>,
    /// Something is to be written.
    pub needs_persist: bool,
    /// A member needs an image that is newer than the stored one: give it by [`crate::Node::snapshot`].
    pub wants_snapshot: bool,
    /// -1 when none is known.
    pub leader_id: i64,
    /// The term.
    pub term: u64,
    /// The role.
    pub role: Role,
}

/// What the leader knows of another member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Peer {
    pub id: i64,
    /// Newest entry known to be on its disk.
    pub matched: u64,
    /// Heard of within an election timeout.
    pub is_active: bool,
    /// `probe`, `replicate` or `snapshot`.
    pub state: &'static str,
}

/// A node at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Status {
    pub id: i64,
    pub term: u64,
    pub leader_id: i64,
    pub role: Role,
    pub commit: u64,
    pub applied: u64,
    pub first_index: u64,
    pub last_index: u64,
    /// Newest entry on this node's disk.
    pub persisted: u64,
    pub snapshot_index: u64,
    pub voters: Vec<i64>,
    pub learners: Vec<i64>,
    /// Voters on their way out, in a joint change.
    pub outgoing: Vec<i64>,
    /// Empty unless this node leads.
    pub peers: Vec<Peer>,
    /// Messages refused, by [`crate::Refusal`] (the index; 0 is not used).
    pub refused: Vec<u64>,
    /// Why the node has stopped for good.
    pub poison: Option<String>,
    /// Why the newest image is not on disk, if it could not be written.
    pub snapshot_failure: Option<String>,
}
