//! Fetch: what there is to read is answered from the log; a fetch that has to wait goes back.

use crate::frame::Header;
use crate::reply::ReplyBuffer;
use crate::{Scene, Served};

/// What a lane keeps of a connection between its fetches.
#[derive(Debug, Default)]
pub struct FetchPeer {}

/// Serves a Fetch, or does nothing.
pub fn serve_fetch(
    _frame: &[u8],
    _header: &Header,
    _scene: &Scene<'_>,
    _peer: &mut FetchPeer,
    _reply: &mut ReplyBuffer,
) -> Served {
    Served::NotMine
}
