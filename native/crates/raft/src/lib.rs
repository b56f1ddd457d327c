//! One member of the metadata quorum: the crate `raft`, which decides, over a store of ours, which remembers.
//!
//! [`Node`] takes ticks, messages and proposals and says what to send, what to apply and what to write. It has no clock, no thread
//! and no socket: a driver gives it all three, and so can a simulator. What it writes goes to [`Store`]: files below a directory, or
//! memory that forgets in a crash what was not synced.
//!
//! Rules that hold throughout:
//!
//! - Votes and acknowledgements leave only after what they promise was synced; so does everything else that is sent in a term whose
//!   beginning is not on disk yet.
//! - The same seed and the same calls give the same node: election timeouts are a function of seed, term and ticks.
//! - Messages are bounded and checked before they are decoded; one that contradicts what is committed is refused. A panic of the
//!   crate poisons this node and nothing else.
//! - A failed fsync poisons the node. A full disk does not: it stops acknowledging until a later write succeeds.
#![forbid(unsafe_code)]

mod cache;
mod dirty;
mod error;
mod files;
mod memory;
mod node;
mod options;
mod random;
mod ready;
mod records;
mod state;
mod store;
mod wire;

pub use error::RaftFailure;
pub use node::{MemberChange, Node, ProposeRefusal};
pub use options::NodeOptions;
pub use random::Random;
pub use ready::{Committed, CommittedKind, Peer, Ready, Role, Status};
pub use store::{CrashKind, Persist, PersistOutcome, Store};
pub use wire::Refusal;
