//! The addon: what `native/binding.js` exports.
//!
//! This crate converts and decides nothing. Decisions about records are in `sluice-log`, system calls in `sluice-sys`, and
//! what a client is told in TypeScript. Three rules hold throughout:
//!
//! - Every export catches panics: an unwinding panic would take the process down.
//! - Partitions, stores, plans, wakers and senders are numbers (a slot and its generation, see [`slots`]), shared by all Workers
//!   of the process. A stale number is an answer, never a crash.
//! - Exports on the path of a request take numbers and typed arrays and return numbers; results go into an array of the
//!   caller's. Everything else speaks JSON.
//!
//! `native/binding.d.ts` is generated from the comments here.

// The exports are reached through the registration that their attribute generates, not by name.
#![allow(unreachable_pub)]
// Values from JavaScript arrive owned.
#![allow(clippy::needless_pass_by_value)]
// The attribute registers nothing in a test build.
#![cfg_attr(test, allow(dead_code))]

mod bytes;
mod error;
mod lane;
mod lane_probe;
mod later;
mod lookup;
mod maintenance;
mod pattern;
mod raft;
mod read;
mod readiness;
mod replication;
mod simulation;
mod slots;
mod socket;
mod store;
mod swim;
mod views;
mod wake;
mod write;
