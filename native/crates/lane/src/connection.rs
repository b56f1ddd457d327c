//! One connection while a lane has it: input that is not consumed yet, and replies that are not sent yet.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Instant;

use sluice_sys::{Interest, Sent, send_file_from, send_from};

use crate::lane::Reason;
use crate::reply::ReplyBuffer;
use crate::turns::Pace;
use crate::{Counts, Peer};

/// How sending went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Everything was sent.
    Done,
    /// The socket is full, or the turn is over.
    Full,
    /// The connection is gone.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) token: u64,
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Peer,
    /// Begins at a frame's size. Of the lane's buffers, or without memory.
    pub(crate) input: Vec<u8>,
    /// Bytes of it that were received.
    pub(crate) filled: usize,
    /// Size of the last frame with its prefix, where frames are large enough to be received into a buffer of their own; else 0.
    pub(crate) large_bytes: usize,
    pub(crate) reply: ReplyBuffer,
    pub(crate) pace: Pace,
    sent_bytes: usize,
    sent_slices: usize,
    sent_of_slice: u64,
    /// The socket was full: watched for room, and not read.
    pub(crate) is_blocked: bool,
    /// It is not read until so few of its requests wait; `None` where it is read.
    pub(crate) paused_until: Option<usize>,
    /// Goes back for this reason, with this input, once nothing waits and its replies are sent.
    pub(crate) leaving: Option<(Reason, Vec<u8>)>,
    /// When a request was last served, or reply bytes last left. Received bytes alone do not count: whoever feeds a frame in drops goes back
    /// to the loop, which has deadlines for that.
    pub(crate) active_at: Instant,
}

impl Connection {
    pub(crate) fn new(token: u64, socket: OwnedFd, now: Instant) -> Self {
        Self {
            token,
            socket,
            peer: Peer::default(),
            input: Vec::new(),
            filled: 0,
            large_bytes: 0,
            reply: ReplyBuffer::new(),
            pace: Pace::default(),
            sent_bytes: 0,
            sent_slices: 0,
            sent_of_slice: 0,
            is_blocked: false,
            paused_until: None,
            leaving: None,
            active_at: now,
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// What its socket is watched for.
    pub(crate) fn interest(&self) -> Interest {
        if self.is_blocked {
            Interest::Writable
        } else if self.paused_until.is_some() {
            Interest::Failure
        } else {
            Interest::Readable
        }
    }

    /// Input that is not consumed.
    pub(crate) fn held(&self) -> &[u8] {
        self.input.get(..self.filled).unwrap_or_default()
    }

    /// Whether replies wait that are not bytes in memory.
    pub(crate) fn has_slices(&self) -> bool {
        self.reply.slices().len() > self.sent_slices
    }

    /// Reply bytes that are not sent; without the slices between them.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.reply.bytes().get(self.sent_bytes..).unwrap_or_default()
    }

    /// Sends what the socket takes, of files at most `turn_bytes_max`. After `Done` the reply buffer is empty.
    pub(crate) fn send(&mut self, counts: &Counts, now: Instant, turn_bytes_max: u64) -> Flow {
        let mut turn_bytes = 0;
        loop {
            let bytes = self.reply.bytes();
            let slice = self.reply.slices().get(self.sent_slices);
            let until = slice.map_or(bytes.len(), |(at, _)| *at);
            if self.sent_bytes < until {
                let piece = bytes.get(self.sent_bytes..until).unwrap_or_default();
                Counts::add(&counts.writes, 1);
                match send_from(self.fd(), piece, slice.is_some()) {
                    Sent::Bytes(count) => {
                        let is_short = count < piece.len();
                        self.sent_bytes += count;
                        self.pace.moved_bytes += count as u64;
                        self.active_at = now;
                        if is_short {
                            return Flow::Full;
                        }
                    }
                    Sent::WouldBlock => return Flow::Full,
                    Sent::Failed(_) => return Flow::Failed,
                }
                continue;
            }
            let Some((_, slice)) = slice else { break };
            let left = slice.length.saturating_sub(self.sent_of_slice);
            if left == 0 {
                self.sent_slices += 1;
                self.sent_of_slice = 0;
                Counts::add(&counts.sliced_sends, 1);
                continue;
            }
            if turn_bytes >= turn_bytes_max {
                return Flow::Full;
            }
            let Some(file) = slice.file.as_file() else { return Flow::Failed };
            let length = left.min(turn_bytes_max) as usize;
            match send_file_from(
                self.socket.as_raw_fd(),
                file,
                slice.position + self.sent_of_slice,
                length,
            ) {
                // The file ends before what the peer was promised.
                Sent::Bytes(0) | Sent::Failed(_) => return Flow::Failed,
                Sent::Bytes(count) => {
                    self.sent_of_slice += count as u64;
                    turn_bytes += count as u64;
                    self.pace.moved_bytes += count as u64;
                    self.active_at = now;
                    if count < length {
                        return Flow::Full;
                    }
                }
                Sent::WouldBlock => return Flow::Full,
            }
        }
        self.reply.clear();
        self.sent_bytes = 0;
        self.sent_slices = 0;
        Flow::Done
    }
}
