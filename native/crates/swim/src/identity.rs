//! What a member of the cluster is, and which of two claims to one node id is the later.
//!
//! Down is final for an identity, so a member that comes back does so as a new one. Lives of a node are ordered by *generation* (the wall clock at which
//! its process started, or one more than that of a life it has to succeed) and within a process by *bump* (raised each time it was declared down and
//! lives). The incarnation id is what the rest of the cluster knows the process by; it orders nothing.

use std::net::SocketAddr;

use foca::Identity;

/// Node id of an address whose node is not known: a seed.
pub const NODE_ID_UNKNOWN: i32 = -1;

/// Why an identity was given up by its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Farewell {
    /// It was not.
    None = 0,
    /// The process stops.
    Left = 1,
    /// The event loop or the disk hangs.
    Unhealthy = 2,
}

impl Farewell {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Left),
            2 => Some(Self::Unhealthy),
            _ => None,
        }
    }
}

/// One life of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    pub node_id: i32,
    /// Random, chosen at the start of the process.
    pub incarnation_id: [u8; 16],
    pub generation: u64,
    pub bump: u32,
    pub address: SocketAddr,
    /// Anything but `None` makes this identity a good-bye: it never returns.
    pub farewell: Farewell,
}

impl NodeIdentity {
    /// Whoever listens at `address`.
    pub fn unknown_at(address: SocketAddr) -> Self {
        Self {
            node_id: NODE_ID_UNKNOWN,
            incarnation_id: [0; 16],
            generation: 0,
            bump: 0,
            address,
            farewell: Farewell::None,
        }
    }

    /// The next identity of the same process.
    pub(crate) fn next(&self, farewell: Farewell) -> Self {
        Self { bump: self.bump.saturating_add(1), farewell, ..self.clone() }
    }

    /// Whether this one is a later life of the node than the other.
    pub fn is_later_than(&self, other: &Self) -> bool {
        let order = |id: &Self| (id.generation, id.bump, id.farewell, id.incarnation_id);
        match order(self).cmp(&order(other)) {
            std::cmp::Ordering::Equal => self.address > other.address,
            ordering => ordering.is_gt(),
        }
    }
}

impl Identity for NodeIdentity {
    /// Members are told apart by node id: a restart may change the address.
    type Addr = i32;

    fn renew(&self) -> Option<Self> {
        // Who said good-bye stays gone until the driver brings it back.
        (self.farewell == Farewell::None).then(|| self.next(Farewell::None))
    }

    fn addr(&self) -> i32 {
        self.node_id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.is_later_than(adversary)
    }
}
