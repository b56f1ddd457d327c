//! What the machine tells: changes of members, and refused packets once in a while.

use std::net::SocketAddr;

use crate::envelope::Refusal;

/// What became of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Suspect,
    Alive,
    Down,
    Left,
}

/// Why a member is down or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It did not answer and did not refute.
    Silent,
    /// Another incarnation of its node appeared.
    Replaced,
    Left,
    Unhealthy,
}

/// A change of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwimEvent {
    pub kind: EventKind,
    pub node_id: i32,
    pub incarnation_id: [u8; 16],
    pub address: SocketAddr,
    pub at_ms: u64,
    pub reason: Option<Reason>,
}

/// One of the packets that were refused for a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalNotice {
    pub reason: Refusal,
    pub from: SocketAddr,
    /// Packets refused since the last notice of this reason, this one included.
    pub count: u64,
    pub at_ms: u64,
}

/// What a member is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    Alive,
    Suspect,
    Down,
    Left(Reason),
}

impl MemberState {
    /// It is thought to run, if in doubt.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// A member as it is told to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    pub node_id: i32,
    pub incarnation_id: [u8; 16],
    pub address: SocketAddr,
    pub state: MemberState,
}
