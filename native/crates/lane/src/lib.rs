//! The fast lane: a native thread that serves the plain produces and fetches of busy connections.
//!
//! TypeScript accepts every connection, knows all of Kafka's rules and owns the connection for its whole life. What most requests
//! of a busy connection need of that is nothing: a batch for a partition that is led here, or records that are there. A connection
//! that has sent a row of such requests is lent to a lane, which reads, cuts frames, serves them and writes replies by itself. The
//! first thing that is not plainly good (another API, an odd field, an error, a fetch that waits) goes *back*, with all
//! bytes that were not consumed, as if TypeScript had read them itself.
//!
//! So a lane has no policy, and one rule: **an answer of the lane is byte for byte the answer of the TypeScript handler**. Whoever
//! is not sure says [`Served::NotMine`]. The other rule is about data: a request is appended once. A frame of which anything was
//! appended is answered here, never given back.
#![forbid(unsafe_code)]

mod buffers;
mod connection;
pub mod counts;
pub mod fetch;
pub mod frame;
pub mod lane;
pub mod produce;
pub mod reply;
#[cfg(test)]
mod testing;
pub mod topics;
mod turns;
mod waiting;
mod worker;

use std::collections::VecDeque;

pub use counts::Counts;
pub use frame::{Cursor, Header};
pub use lane::{Lane, LaneLimits, Reason, Returned};
pub use reply::ReplyBuffer;
pub use topics::{Topic, TopicPartition, Topics};
pub use waiting::WaitingProduce;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The answer is in the reply buffer, as one whole frame.
    Reply,
    /// Done, and answered later, in the order of the connection's requests.
    Waits,
    /// Done, and nothing is answered (Produce with acks=0).
    NoReply,
    /// Done, and the connection is to be closed instead of an answer: an append without acknowledgement failed.
    Close,
    /// Nothing was done and nothing is in the reply buffer: the frame goes back to TypeScript.
    NotMine,
}

/// What a lane keeps of one connection between its requests, for those who serve them.
#[derive(Debug, Default)]
pub struct Peer {
    /// Of its fetches.
    pub fetch: fetch::FetchPeer,
    /// Its produces that are not answered yet.
    pub waiting: VecDeque<WaitingProduce>,
}

/// What a frame is served with.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Topics of this broker.
    pub topics: &'a Topics,
    /// What the lane counts; requests are counted by the caller, and what was done for a topic with the topic.
    pub counts: &'a Counts,
    /// The broker's clock, ms since the Unix epoch.
    pub now_ms: i64,
}

/// API key of Produce.
pub const PRODUCE_KEY: i16 = 0;
/// API key of Fetch.
pub const FETCH_KEY: i16 = 1;

/// Serves one frame (size prefix excluded) with this head, or does nothing.
///
/// `frame` may be patched in place where its records are appended.
pub fn serve(
    frame: &mut [u8],
    header: &Header,
    scene: &Scene<'_>,
    peer: &mut Peer,
    reply: &mut ReplyBuffer,
) -> Served {
    match header.api_key {
        PRODUCE_KEY => produce::serve_produce(frame, header, scene, &mut peer.waiting, reply),
        FETCH_KEY => fetch::serve_fetch(frame, header, scene, &mut peer.fetch, reply),
        _ => Served::NotMine,
    }
}
