//! Membership of a cluster: who is alive, as SWIM sees it.
//!
//! The protocol is the crate `foca`'s. Around it, from the inside out:
//!
//! - [`identity`]: what a member is (node, life of its process, address), which of two lives is the later, and the bytes of both.
//! - [`machine`]: the state machine with the rules that `foca` leaves to its driver. Time, packets and chance come in from outside.
//! - [`envelope`]: which packets are taken at all: our cluster, our version, our secret, not seen before.
//! - [`thread`]: a UDP socket and an operating system thread that drive the machine, and [`health`], the signs of life without which it stops
//!   vouching for the process.
//!
//! SWIM promises neither agreement nor accuracy: what it says is a hint, and nobody may decide by it alone.

mod changes;
pub mod config;
pub mod envelope;
mod events;
pub mod health;
pub mod identity;
pub mod machine;
mod replay;
pub mod thread;
mod wire;

pub use config::{Profile, SwimConfig};
pub use envelope::{PACKET_BYTES_MAX, Refusal};
pub use events::{EventKind, MemberState, MemberView, Reason, RefusalNotice, SwimEvent};
pub use health::Unhealthy;
pub use identity::{Farewell, NodeIdentity};
pub use machine::{Now, Output, SwimCore};
pub use thread::{SwimOptions, SwimThread, ThreadState};
