//! One non-blocking connection: a request being written, requests awaiting answers, and a response being received.
//!
//! A request lives in one buffer for the whole run and is patched in place before each send, so it is patched only
//! once its last byte has been written. Of a response only the head is copied out of the kernel; the rest is discarded
//! there, unless the caller asks for this one whole.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::api::CORRELATION_ID_AT;
use crate::sys;

/// A request on its way: its correlation id and the time that its latency counts from, in run nanoseconds.
#[derive(Clone, Copy)]
pub struct InFlight {
    pub correlation_id: i32,
    pub start_ns: u64,
}

/// How much of a response is wanted in user space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// At most that many bytes from the correlation id on; the rest is discarded in the kernel.
    Head(usize),
    Whole,
}

/// A received response.
pub struct Response<'a> {
    /// From the correlation id on; the head alone where no more was wanted.
    pub bytes: &'a [u8],
    /// Whole frame on the wire, length prefix included.
    pub frame_bytes: usize,
    pub request: InFlight,
}

pub struct Connection {
    pub stream: TcpStream,
    /// The encoded request, reused.
    pub request: Vec<u8>,
    written_bytes: usize,
    pub in_flight: VecDeque<InFlight>,
    received: Vec<u8>,
    start: usize,
    end: usize,
    discard_bytes: usize,
    next_correlation_id: i32,
}

/// Room for a read: heads of several small responses.
const RECEIVE_BYTES: usize = 16 << 10;
/// A frame longer than this is a broken peer.
const MAX_FRAME_BYTES: usize = 256 << 20;

fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection")
}

/// Turns "not now" into `None`.
fn ready<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Connection {
    pub fn connect(address: SocketAddr, request: Vec<u8>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            written_bytes: request.len(),
            request,
            in_flight: VecDeque::new(),
            received: vec![0; RECEIVE_BYTES],
            start: 0,
            end: 0,
            discard_bytes: 0,
            next_correlation_id: 0,
        })
    }

    /// True when the request buffer is free to be patched and sent again.
    pub fn is_idle(&self) -> bool {
        self.written_bytes == self.request.len()
    }

    /// Starts sending the request buffer as it is now. Only when idle.
    pub fn begin(&mut self, start_ns: u64) {
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1);
        let correlation_id = self.next_correlation_id;
        self.request[CORRELATION_ID_AT..CORRELATION_ID_AT + 4]
            .copy_from_slice(&correlation_id.to_be_bytes());
        self.in_flight.push_back(InFlight { correlation_id, start_ns });
        self.written_bytes = 0;
    }

    /// Writes what the socket takes; true when the request is out completely.
    pub fn flush(&mut self) -> io::Result<bool> {
        while !self.is_idle() {
            match ready(self.stream.write(&self.request[self.written_bytes..]))? {
                None => return Ok(false),
                Some(0) => return Err(closed()),
                Some(count) => self.written_bytes += count,
            }
        }
        Ok(true)
    }

    /// Receives what is there and calls `on_head` for each response as soon as the wanted bytes of it are in hand,
    /// then `on_done` when its last byte has been taken from the socket.
    ///
    /// Both callbacks share `context`. An error of the socket or a frame that cannot be ends the connection.
    pub fn receive<C>(
        &mut self,
        context: &mut C,
        wanted: impl Fn(&mut C) -> Wanted,
        on_head: impl Fn(&mut C, Response<'_>),
        on_done: impl Fn(&mut C),
    ) -> io::Result<()> {
        loop {
            if self.discard_bytes > 0 {
                let Some(count) = ready(sys::discard(&self.stream, self.discard_bytes))? else {
                    return Ok(());
                };
                if count == 0 {
                    return Err(closed());
                }
                self.discard_bytes -= count;
                if self.discard_bytes == 0 {
                    on_done(context);
                }
                continue;
            }
            let asked = self.received.len() - self.end;
            let Some(count) = ready(self.stream.read(&mut self.received[self.end..]))? else {
                return Ok(());
            };
            if count == 0 {
                return Err(closed());
            }
            self.end += count;
            self.take_frames(context, &wanted, &on_head, &on_done)?;
            if count < asked && self.discard_bytes == 0 {
                return Ok(()); // the queue was empty a moment ago; epoll tells when it is not
            }
        }
    }

    fn take_frames<C>(
        &mut self,
        context: &mut C,
        wanted: &impl Fn(&mut C) -> Wanted,
        on_head: &impl Fn(&mut C, Response<'_>),
        on_done: &impl Fn(&mut C),
    ) -> io::Result<()> {
        while self.end - self.start >= 4 && self.discard_bytes == 0 {
            let at = self.start;
            let mut prefix = [0; 4];
            prefix.copy_from_slice(&self.received[at..at + 4]);
            let length = u32::from_be_bytes(prefix) as usize;
            if length > MAX_FRAME_BYTES {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    format!("frame of {length} bytes"),
                ));
            }
            let needed = 4 + match wanted(context) {
                Wanted::Head(head_bytes) => length.min(head_bytes),
                Wanted::Whole => length,
            };
            if self.end - at < needed {
                if needed > self.received.len() {
                    self.received.resize(needed, 0);
                }
                break;
            }
            let frame_bytes = 4 + length;
            let taken = frame_bytes.min(self.end - at);
            let Some(request) = self.in_flight.pop_front() else {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "a response that nobody asked for",
                ));
            };
            let bytes = &self.received[at + 4..at + taken];
            on_head(context, Response { bytes, frame_bytes, request });
            self.start += taken;
            self.discard_bytes = frame_bytes - taken;
            if self.discard_bytes == 0 {
                on_done(context);
            }
        }
        if self.start > 0 {
            self.received.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn frame(correlation_id: i32, body_bytes: usize) -> Vec<u8> {
        let mut bytes = ((4 + body_bytes) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&correlation_id.to_be_bytes());
        bytes.resize(8 + body_bytes, 9);
        bytes
    }

    #[test]
    fn heads_bodies_and_pipelined_frames_come_out_in_order() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut connection = Connection::connect(listener.local_addr()?, vec![0; 20])?;
        let (mut peer, _) = listener.accept()?;
        for _ in 0..3 {
            connection.begin(5);
            assert!(connection.flush()?);
        }
        let sizes = [100, 300_000, 40_000];
        let sender = std::thread::spawn(move || -> io::Result<std::net::TcpStream> {
            for (index, size) in sizes.into_iter().enumerate() {
                peer.write_all(&frame(index as i32 + 1, size))?;
            }
            peer.read_exact(&mut [0; 60])?;
            Ok(peer) // open until all was received: a close is an error
        });
        let mut seen: Vec<(i32, usize, usize, bool)> = Vec::new();
        while seen.len() < 3 || !seen[2].3 {
            connection.receive(
                &mut seen,
                |seen| if seen.len() == 2 { Wanted::Whole } else { Wanted::Head(50) },
                |seen, response| {
                    let have = response.bytes.len().min(40_004);
                    seen.push((response.request.correlation_id, response.frame_bytes, have, false));
                },
                |seen| {
                    if let Some(last) = seen.last_mut() {
                        last.3 = true;
                    }
                },
            )?;
            std::thread::yield_now();
        }
        let frames: Vec<(i32, usize)> = seen.iter().map(|entry| (entry.0, entry.1)).collect();
        assert_eq!(frames, vec![(1, 108), (2, 300_008), (3, 40_008)]);
        assert_eq!(seen[2].2, 40_004, "the whole third response was wanted");
        sender.join().map_err(|_| io::Error::other("sender"))??;
        Ok(())
    }
}
