//! The thread of a lane: one epoll, level-triggered, and turns over what is ready.
//!
//! Small frames are received one connection after the other into one arena and served where they lie, all together at the end of the
//! turn: appends to the same partition then share their lock and their write. Only a frame that arrived in part is copied, into a
//! buffer of its connection. A connection whose frames are large receives into such a buffer from the first byte, one frame at a
//! time.
//!
//! A connection that has its replies not taken is not read, nor is one of which many requests wait (`waiting.rs`).

mod answers;
mod rounds;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_sys::{Received, receive_into};

use crate::buffers::{Buffers, LARGEST_BYTES};
use crate::connection::{Connection, Flow};
use crate::frame::Header;
use crate::lane::{Command, Reason, Returned, Shared};
use crate::reply::ReplyBuffer;
use crate::turns::{Ready, Turns};
use crate::waiting::Waiters;
use crate::{Counts, Peer, Scene, Served, serve};

const PREFIX_BYTES: usize = 4;
/// What is received at once of a connection with small frames.
const READ_BYTES: usize = 64 << 10;
const ARENA_BYTES: usize = 1 << 20;
/// Frames from this size on are received into a buffer of their own.
const LARGE_BYTES: usize = 32 << 10;
/// First buffer for a large frame that may not come.
const FIRST_LARGE_BYTES: usize = 64 << 10;
/// Replies that wait before a connection's next request is served.
const REPLY_BYTES: u64 = 256 << 10;
const SWEEP: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(1);
const SPARE_REPLIES: usize = 16;

/// Bytes in the arena that a connection sent and nobody consumed yet.
#[derive(Debug)]
struct Work {
    connection: usize,
    at: usize,
    end: usize,
    is_done: bool,
}

/// What follows in some bytes.
enum Next {
    /// A whole frame, its prefix included, of so many bytes.
    Frame(usize),
    /// Part of a frame; its size with the prefix where that is known.
    Partial(Option<usize>),
    /// Nothing a lane assembles.
    Odd,
}

fn next_frame(bytes: &[u8]) -> Next {
    let Some(size) = bytes.get(..PREFIX_BYTES).and_then(|prefix| prefix.try_into().ok()) else {
        return Next::Partial(None);
    };
    match usize::try_from(i32::from_be_bytes(size)) {
        Ok(size) if size > 0 && size <= LARGEST_BYTES - PREFIX_BYTES => {
            let total = size + PREFIX_BYTES;
            if total <= bytes.len() { Next::Frame(total) } else { Next::Partial(Some(total)) }
        }
        _ => Next::Odd,
    }
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    turns: Turns,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    by_token: HashMap<u64, usize>,
    buffers: Buffers,
    arena: Vec<u8>,
    arena_used: usize,
    works: Vec<Work>,
    spare_replies: Vec<ReplyBuffer>,
    waiters: Waiters,
    /// Connections of which something may be settled.
    settled: Vec<usize>,
    /// When the first of what waits is answered at the latest.
    next_deadline: Option<Instant>,
    now: Instant,
    now_ms: i64,
    swept_at: Instant,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, turns: Turns) -> Self {
        let now = Instant::now();
        Self {
            buffers: Buffers::new(shared.limits.buffer_bytes),
            waiters: Waiters::new(Arc::clone(&shared.wake)),
            next_deadline: None,
            settled: Vec::new(),
            shared,
            turns,
            connections: Vec::new(),
            free: Vec::new(),
            by_token: HashMap::new(),
            arena: vec![0; ARENA_BYTES],
            arena_used: 0,
            works: Vec::new(),
            spare_replies: Vec::new(),
            now,
            now_ms: 0,
            swept_at: now,
        }
    }

    pub(crate) fn run(mut self) {
        let mut ready = Vec::new();
        while !self.shared.is_stopping.load(Ordering::SeqCst) {
            let timeout_ms = self.timeout_ms();
            let what = self.turns.wait(timeout_ms, &mut ready).unwrap_or_else(|_| {
                // Only a broken descriptor of our own can cause this; yielding keeps it from becoming a hot loop.
                std::thread::yield_now();
                Ready::default()
            });
            self.look_at_clock();
            let turn = catch_unwind(AssertUnwindSafe(|| {
                if what.is_woken {
                    self.shared.wake.reset();
                }
                self.serve_ready(&ready);
                self.turns.next_bulky(&what, &mut ready);
                self.serve_ready(&ready);
                self.take_commands();
                self.answer_moved();
                self.sweep();
            }));
            if turn.is_err() {
                self.break_all();
            }
        }
    }

    fn serve_ready(&mut self, ready: &[usize]) {
        if ready.is_empty() {
            return;
        }
        for index in ready {
            self.on_ready(*index);
        }
        self.run_works();
    }

    fn look_at_clock(&mut self) {
        self.now = Instant::now();
        self.now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as i64);
    }

    // ---- the loop's wishes ----

    fn take_commands(&mut self) {
        let commands = std::mem::take(&mut *self.shared.commands.lock());
        for command in commands {
            match command {
                Command::Adopt { token, socket, input } => {
                    let connection = Connection::new(token, socket, self.now);
                    self.adopt(connection, input);
                }
                Command::TakeBack { token } => {
                    if let Some(&index) = self.by_token.get(&token)
                        && self.connection(index).is_some_and(|one| one.leaving.is_none())
                    {
                        self.leave(index, Reason::Asked);
                    }
                }
                Command::Forget { token } => {
                    if let Some(&index) = self.by_token.get(&token) {
                        self.remove(index);
                    }
                }
            }
        }
    }

    fn adopt(&mut self, connection: Connection, input: Vec<u8>) {
        let (token, fd) = (connection.token, connection.fd());
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        if self.turns.add(fd, index).is_err() {
            self.free.push(index);
            self.shared.give_back(Returned {
                token,
                reason: Reason::NoMemory,
                input,
                output: Vec::new(),
            });
            return;
        }
        self.by_token.insert(token, index);
        if let Some(place) = self.connections.get_mut(index) {
            *place = Some(connection);
        }
        // What is whole of it waits for no further byte.
        self.keep(index, &input);
        self.go_on(index);
        self.run_works();
    }

    fn connection(&mut self, index: usize) -> Option<&mut Connection> {
        self.connections.get_mut(index)?.as_mut()
    }

    // ---- giving back ----

    /// Takes a connection out; its duplicate of the descriptor closes with what is returned.
    fn remove(&mut self, index: usize) -> Option<Connection> {
        let mut connection = self.connections.get_mut(index)?.take()?;
        self.turns.remove(&connection);
        let waiting = connection.peer.waiting.len() as u64;
        self.shared.counts.waiting.fetch_sub(waiting, Ordering::Relaxed);
        self.by_token.remove(&connection.token);
        self.free.push(index);
        if !connection.input.is_empty() {
            self.buffers.give_back(std::mem::take(&mut connection.input));
        }
        Some(connection)
    }

    /// Gives a connection back with the input that it holds.
    fn leave(&mut self, index: usize, reason: Reason) {
        let held =
            self.connection(index).map_or(Vec::new(), |connection| connection.held().to_vec());
        self.leave_with(index, reason, held);
    }

    /// Gives a connection back with this input, at once or as soon as its file slices are sent.
    fn leave_with(&mut self, index: usize, reason: Reason, input: Vec<u8>) {
        let Some(connection) = self.connection(index) else { return };
        let is_lost = matches!(reason, Reason::Failed | Reason::Broken | Reason::SendDeadline);
        if !is_lost && !connection.peer.waiting.is_empty() {
            connection.leaving = Some((reason, input));
            self.pause(index, 0);
            return;
        }
        if connection.has_slices() && !is_lost {
            connection.leaving = Some((reason, input));
            self.block(index);
            return;
        }
        let output = if is_lost { Vec::new() } else { connection.unsent().to_vec() };
        if let Some(connection) = self.remove(index) {
            let token = connection.token;
            // The duplicate is closed before the loop hears of it.
            drop(connection);
            self.shared.give_back(Returned { token, reason, input, output });
        }
    }

    /// Something went wrong that should not: nobody knows how far each connection was served.
    fn break_all(&mut self) {
        self.works.clear();
        self.arena_used = 0;
        if self.arena.len() < ARENA_BYTES {
            self.arena = vec![0; ARENA_BYTES];
        }
        let indexes: Vec<usize> = self.by_token.values().copied().collect();
        for index in indexes {
            self.leave(index, Reason::Broken);
        }
    }

    fn sweep(&mut self) {
        if self.now.duration_since(self.swept_at) < SWEEP {
            return;
        }
        self.swept_at = self.now;
        let deadline = Duration::from_millis(self.shared.limits.send_deadline_ms);
        let mut overdue = Vec::new();
        for (index, connection) in self.connections.iter().enumerate() {
            let Some(connection) = connection else { continue };
            let silence = self.now.duration_since(connection.active_at);
            // What waits has its own deadlines.
            let is_awaited = !connection.peer.waiting.is_empty() && !connection.has_slices();
            if silence < IDLE || is_awaited {
                continue;
            }
            if !connection.is_blocked {
                overdue.push((index, Reason::Idle));
            } else if !connection.has_slices() {
                overdue.push((index, Reason::Stalled));
            } else if silence >= deadline {
                overdue.push((index, Reason::SendDeadline));
            }
        }
        for (index, reason) in overdue {
            match self.connection(index).and_then(|connection| connection.leaving.take()) {
                Some((first, input)) if reason == Reason::Stalled => {
                    self.leave_with(index, first, input);
                }
                _ => self.leave(index, reason),
            }
        }
        self.waiters.sweep();
        if self.by_token.is_empty() {
            self.buffers.drop_idle();
            self.spare_replies.clear();
        }
    }

    // ---- sending ----

    /// Sends a connection's replies. `false` when it must not be served now: its socket is full, or it is gone.
    fn send(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        if connection.reply.is_empty() {
            return true;
        }
        match connection.send(&self.shared.counts, now, self.turns.share().sent_bytes) {
            Flow::Done => {
                if self.spare_replies.len() < SPARE_REPLIES {
                    self.spare_replies.push(std::mem::take(&mut connection.reply));
                } else {
                    connection.reply = ReplyBuffer::new();
                }
                true
            }
            Flow::Full => {
                self.block(index);
                false
            }
            Flow::Failed => {
                self.leave(index, Reason::Failed);
                false
            }
        }
    }

    /// Watches a connection for room in its socket instead of input.
    fn block(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if !connection.is_blocked {
            connection.is_blocked = true;
            self.turns.watch(connection, index);
        }
    }

    /// The socket has room: goes on sending, then takes up what was held.
    fn on_writable(&mut self, index: usize) {
        if !self.send(index) {
            return;
        }
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        connection.is_blocked = false;
        self.turns.watch(connection, index);
        if connection.paused_until.is_some() {
            self.resume(index);
        } else if let Some((reason, input)) = connection.leaving.take() {
            self.leave_with(index, reason, input);
        } else {
            self.go_on(index);
        }
    }

    /// Takes up what a connection holds.
    fn go_on(&mut self, index: usize) {
        let Some(connection) = self.connection(index) else { return };
        if connection.large_bytes > 0 {
            self.read_large(index);
        } else if connection.filled > 0 {
            self.queue(index, 0);
        }
    }

    // ---- receiving ----

    fn on_ready(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if !self.turns.begin(connection, index) {
            return self.leave(index, Reason::NoMemory);
        }
        let Some(connection) = self.connection(index) else { return };
        if connection.is_blocked {
            self.on_writable(index);
        } else if connection.paused_until.is_some() {
            // Nothing else is told of one that is not read.
            self.leave(index, Reason::Failed);
        } else if connection.large_bytes > 0 {
            self.read_large(index);
        } else {
            self.queue(index, READ_BYTES);
        }
    }

    /// Puts what a connection holds, and what it has sent since, into the arena.
    fn queue(&mut self, index: usize, read_bytes: usize) {
        let held = self.connection(index).map_or(0, |connection| connection.filled);
        if self.arena.len() - self.arena_used < held + read_bytes {
            self.run_works();
        }
        let start = self.arena_used;
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let Some((front, rest)) = self
            .arena
            .get_mut(start..start + held + read_bytes)
            .and_then(|room| room.split_at_mut_checked(held))
        else {
            return;
        };
        front.copy_from_slice(connection.held());
        let mut received = 0;
        if !rest.is_empty() {
            match receive_into(connection.fd(), rest) {
                Received::Bytes(count) => received = count,
                Received::WouldBlock => return,
                Received::Closed => return self.leave(index, Reason::End),
                Received::Failed(_) => return self.leave(index, Reason::Failed),
            }
        }
        Counts::add(&self.shared.counts.received_bytes, received as u64);
        connection.pace.moved_bytes += received as u64;
        connection.filled = 0;
        let input = std::mem::take(&mut connection.input);
        if !input.is_empty() {
            self.buffers.give_back(input);
        }
        self.arena_used = start + held + received;
        self.works.push(Work {
            connection: index,
            at: start,
            end: self.arena_used,
            is_done: false,
        });
    }

    /// Keeps input that is not consumed. Gives the connection back where there is no room.
    fn keep(&mut self, index: usize, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        let total = match next_frame(rest) {
            Next::Partial(Some(total)) => total,
            Next::Frame(_) | Next::Partial(None) => rest.len(),
            Next::Odd => return self.leave_with(index, Reason::NotMine, rest.to_vec()),
        };
        let is_large = total > LARGE_BYTES && total > rest.len();
        let buffer = if is_large {
            let first = total.min(FIRST_LARGE_BYTES.max(rest.len() * 4));
            self.buffers.take_idle(total).or_else(|| self.buffers.take(first))
        } else {
            self.buffers.take(rest.len())
        };
        let Some(mut buffer) = buffer else {
            return self.leave_with(index, Reason::NoMemory, rest.to_vec());
        };
        if let Some(place) = buffer.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        if let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) {
            connection.input = buffer;
            connection.filled = rest.len();
            connection.large_bytes = if is_large { total } else { 0 };
        } else {
            self.buffers.give_back(buffer);
        }
    }

    /// Receives into the connection's own buffer, one frame at a time.
    fn read_large(&mut self, index: usize) {
        let mut turn_bytes = 0;
        let mut is_drained = false;
        loop {
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
                return;
            };
            let wanted = match next_frame(connection.held()) {
                Next::Frame(total) => {
                    if !self.serve_held(index, total) {
                        return;
                    }
                    continue;
                }
                Next::Odd => {
                    self.send_before_leaving(index);
                    return self.leave(index, Reason::NotMine);
                }
                Next::Partial(Some(total)) => total,
                // Likely as large as the one before.
                Next::Partial(None) => connection.large_bytes.max(PREFIX_BYTES),
            };
            let is_over = is_drained || turn_bytes >= self.turns.share().received_bytes;
            let is_small = connection.filled == 0 && connection.large_bytes <= LARGE_BYTES;
            if is_over || is_small {
                if connection.filled == 0 {
                    self.buffers.give_back(std::mem::take(&mut connection.input));
                }
                if is_small {
                    connection.large_bytes = 0;
                }
                break;
            }
            if connection.filled == connection.input.len() && !self.grow(index, wanted) {
                self.send_before_leaving(index);
                return self.leave(index, Reason::NoMemory);
            }
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
                return;
            };
            let until = wanted.min(connection.input.len());
            let fd = connection.fd();
            let filled = connection.filled;
            let room = connection.input.get_mut(filled..until).unwrap_or_default();
            let asked = room.len();
            let count = match receive_into(fd, room) {
                Received::Bytes(count) => count,
                Received::WouldBlock => 0,
                Received::Closed => {
                    self.send_before_leaving(index);
                    return self.leave(index, Reason::End);
                }
                Received::Failed(_) => return self.leave(index, Reason::Failed),
            };
            Counts::add(&self.shared.counts.received_bytes, count as u64);
            connection.filled += count;
            connection.pace.moved_bytes += count as u64;
            turn_bytes += count;
            is_drained = count < asked;
        }
        self.send(index);
    }

    /// Room for more of a frame of `total` bytes: four times what arrived, or all of it where a buffer is idle.
    fn grow(&mut self, index: usize, total: usize) -> bool {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        let filled = connection.filled;
        // What the frame before took is paid for; an announcement alone is not.
        let paid = connection.large_bytes.min(total);
        let wanted = if filled == 0 { paid } else { filled * 4 };
        let wanted = wanted.max(FIRST_LARGE_BYTES).min(total).max(filled + 1);
        let Some(mut buffer) = self.buffers.take_idle(total).or_else(|| self.buffers.take(wanted))
        else {
            return false;
        };
        if let Some(place) = buffer.get_mut(..filled) {
            place.copy_from_slice(connection.held());
        }
        let old = std::mem::replace(&mut connection.input, buffer);
        if !old.is_empty() {
            self.buffers.give_back(old);
        }
        true
    }

    // ---- serving ----

    /// Serves the first frame that a connection holds. `false` when it must not be served further now.
    fn serve_held(&mut self, index: usize, total: usize) -> bool {
        if self.must_wait(index) {
            self.send(index);
            return false;
        }
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        let mut input = std::mem::take(&mut connection.input);
        let filled = connection.filled;
        connection.large_bytes = total;
        let Some(frame) = input.get_mut(PREFIX_BYTES..total) else {
            connection.input = input;
            return false;
        };
        let outcome = self.serve_one(index, frame);
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            self.buffers.give_back(input);
            return false;
        };
        if outcome.is_some_and(|served| served != Served::NotMine) {
            input.copy_within(total..filled, 0);
            connection.filled = filled - total;
        }
        connection.input = input;
        match outcome {
            Some(Served::NotMine) => {
                if self.send_before_leaving(index) {
                    self.leave(index, Reason::NotMine);
                }
                false
            }
            Some(Served::Close) => {
                self.close(index);
                false
            }
            Some(_) => self.may_go_on(index),
            None => {
                self.leave(index, Reason::Broken);
                false
            }
        }
    }

    /// What was answered before leaves first, then the connection is closed.
    fn close(&mut self, index: usize) {
        if self.send_before_leaving(index) {
            self.leave(index, Reason::Broken);
        }
    }

    /// What waits to be sent leaves first; what the socket does not take goes back with the connection. `false` when it is gone.
    fn send_before_leaving(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        if !connection.reply.is_empty() {
            // A failure is told by the socket again.
            let _ = connection.send(&self.shared.counts, now, self.turns.share().sent_bytes);
        }
        true
    }

    /// Sends first where much waits to be sent.
    fn may_go_on(&mut self, index: usize) -> bool {
        let Some(connection) = self.connection(index) else { return false };
        let waiting = connection.reply.bytes().len() as u64 + connection.reply.slices_bytes();
        waiting < REPLY_BYTES || self.send(index)
    }

    /// Serves a frame by itself. `None` when that failed in a way that it should not.
    fn serve_one(&mut self, index: usize, frame: &mut [u8]) -> Option<Served> {
        let Some(header) = Header::parse(frame) else { return Some(Served::NotMine) };
        self.serve_with(index, frame, &header, |frame, scene, peer, reply| {
            serve(frame, &header, scene, peer, reply)
        })
    }

    /// Has a frame served by `act`, and counts it. `None` when that failed in a way that it should not.
    fn serve_with(
        &mut self,
        index: usize,
        frame: &mut [u8],
        header: &Header,
        act: impl FnOnce(&mut [u8], &Scene<'_>, &mut Peer, &mut ReplyBuffer) -> Served,
    ) -> Option<Served> {
        let started = Instant::now();
        let (version, key) = (header.api_version, header.api_key);
        let length = frame.len();
        let shared = Arc::clone(&self.shared);
        let scene = Scene { topics: &shared.topics, counts: &shared.counts, now_ms: self.now_ms };
        let connection = self.connections.get_mut(index).and_then(Option::as_mut)?;
        if connection.reply.is_empty()
            && let Some(spare) = self.spare_replies.pop()
        {
            connection.reply = spare;
        }
        let reply = &mut connection.reply;
        let before = reply.bytes().len() as u64 + reply.slices_bytes();
        let peer = &mut connection.peer;
        let served = catch_unwind(AssertUnwindSafe(|| act(frame, &scene, peer, reply))).ok()?;
        if served == Served::Waits {
            connection.active_at = self.now;
            self.begin_waiting(index);
        } else if served != Served::NotMine {
            connection.active_at = self.now;
            let reply_bytes = reply.bytes().len() as u64 + reply.slices_bytes() - before;
            shared.counts.request(key, version, length, reply_bytes as usize);
            let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            shared.counts.latency(key, 1, nanoseconds);
        }
        Some(served)
    }
}
