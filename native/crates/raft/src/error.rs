//! Failures with stable codes; they cross the addon border unchanged.

use sluice_log::LogError;

/// The codes of this crate, in the log's error type.
pub struct RaftFailure;

impl RaftFailure {
    /// No room on the disk (or no descriptor): nothing was acknowledged, and a later write may succeed.
    pub const DISK_FULL: &'static str = "DISK_FULL";
    /// A write or an internal check failed: the node has stopped for good.
    pub const POISONED: &'static str = "RAFT_POISONED";
    /// What is on disk is not what this node wrote: it does not start.
    pub const CORRUPT: &'static str = "RAFT_CORRUPT";
    /// The node was closed.
    pub const CLOSED: &'static str = "RAFT_CLOSED";
}

pub(crate) fn corrupt(message: impl Into<String>) -> LogError {
    LogError::new(RaftFailure::CORRUPT, message)
}
