//! What the load generator (`sluice-load`) and the physical limit (`sluice-limit`) are made of.

pub mod admin;
pub mod api;
pub mod codec;
pub mod connection;
pub mod end_to_end;
pub mod engine;
pub mod fetch;
pub mod options;
pub mod process;
pub mod produce;
pub mod replay;
pub mod report;
pub mod session_fetch;
pub mod stall;
pub mod sys;
pub mod wire;
