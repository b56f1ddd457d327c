//! The sending thread: one thread for the process that moves file slices into sockets.
//!
//! A fetch answer is header bytes with slices of segment files between them. Writing it from an event loop would either copy
//! the slices through user space or, with `sendfile`, stop the loop whenever a page is not in memory. So the loop hands over
//! a [`SendJob`] (a duplicate of the socket, the header, the slices) and writes nothing to that socket until the job's token
//! comes back through its [`Outbox`].
//!
//! A job whose pages are all in memory cannot stop anybody, so [`Sender::send`] tries it on the calling thread first, for one turn:
//! that saves two changes of thread, some 7 % of a warm fetch (0.35 to 0.33 CPU s/GiB, one connection). What does not fit the socket's buffer, and
//! whatever may have to be read from disk, goes to the thread.
//!
//! The thread tries each job as soon as it sees it and watches the socket only after it was full, so an answer that fits the
//! socket's buffer costs its `send` and `sendfile` calls and nothing else. Jobs that can make progress take turns of
//! [`TURN_BYTES`]; jobs whose socket is full wait in epoll, edge-triggered. Without work the thread sleeps.
//!
//! ```text
//! submitted ──► ready ──turn──► ready          bytes left
//!                 │ ├─────────► blocked        socket full;  writable ──► ready
//!                 │ └─────────► done           all sent, status 0
//!                 └───────────► done           errno: reset, file too short, ECANCELED
//! ```
//!
//! Every job that was submitted is reported exactly once, whatever happens to it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use crate::calls::{self, Epoll, EventFd, Interest};
use crate::socket::errno_of;

/// Bytes a job may send before the next one has its turn: large against a system call, small against a slow client's patience.
const TURN_BYTES: usize = 2 * 1024 * 1024;

/// Smallest page size: on machines with larger ones fewer pages are counted as cached, and the thread sends.
const PAGE_BYTES: u64 = 4096;

/// Step in which slices that are not in a file are copied.
const COPY_BYTES: usize = 64 * 1024;

/// Epoll key of the thread's own wake-up; jobs count up from 0 and never come here.
const WAKE_KEY: u64 = u64::MAX;

/// Where a slice's bytes are. The crate `log` does not know this crate, so the binding adapts its files to this.
pub trait SliceSource: Send + Sync {
    /// The file to send from, or `None` when [`SliceSource::read_at`] must be used.
    fn file(&self) -> Option<&File>;
    /// Reads at most `into.len()` bytes at `position`; 0 at the end.
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize>;
}

/// A piece of an answer, in order.
pub enum Part {
    /// These bytes of the job's head.
    Head(Range<usize>),
    /// `length` bytes of `source` from `position`. Kept open until the job is done.
    Slice {
        /// Where the bytes are.
        source: Arc<dyn SliceSource>,
        /// First byte.
        position: u64,
        /// Number of bytes. Fewer in the source ends the job with ENODATA: the peer was promised this many.
        length: u64,
    },
}

impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(range) => write!(formatter, "Head({range:?})"),
            Self::Slice { position, length, .. } => write!(formatter, "Slice({position}+{length})"),
        }
    }
}

/// One answer on its way out.
#[derive(Debug)]
pub struct SendJob {
    /// What comes back through the outbox.
    pub token: u64,
    /// The answer's own bytes.
    pub head: Vec<u8>,
    /// Which of them, and which slices, in order.
    pub parts: Vec<Part>,
}

/// What the thread has done so far; for tests and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderCounters {
    /// Bytes handed to sockets.
    pub bytes: u64,
    /// `send` calls.
    pub send_calls: u64,
    /// `sendfile` calls.
    pub send_file_calls: u64,
    /// Times the thread went to epoll.
    pub waits: u64,
    /// Jobs reported.
    pub jobs: u64,
}

#[derive(Default)]
struct Counters {
    bytes: AtomicU64,
    send_calls: AtomicU64,
    send_file_calls: AtomicU64,
    waits: AtomicU64,
    jobs: AtomicU64,
}

/// A place where finished jobs are reported, one per event loop.
///
/// `on_done` runs on the sending thread when the first report after a [`Outbox::drain`] arrives, and not again before the
/// next drain: a loop that drains after each call misses nothing and is called once for many jobs.
pub struct Outbox {
    done: Mutex<VecDeque<(u64, i32)>>,
    is_told: AtomicBool,
    on_done: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl Outbox {
    /// Makes one that calls `on_done`.
    pub fn new(on_done: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            done: Mutex::new(VecDeque::new()),
            is_told: AtomicBool::new(false),
            on_done: Box::new(on_done),
        })
    }

    /// Takes up to `max` reports: token and status, 0 when all was sent, else the errno that ended the job.
    ///
    /// Reports left because of `max` do not call again: drain until fewer than `max` come.
    pub fn drain(&self, max: usize, mut each: impl FnMut(u64, i32)) -> usize {
        let mut done = lock(&self.done);
        // Under the lock: a report that comes later finds the flag down and calls again.
        self.is_told.store(false, Ordering::Release);
        let count = done.len().min(max);
        for (token, status) in done.drain(..count) {
            each(token, status);
        }
        count
    }

    pub(crate) fn report(&self, token: u64, status: i32) {
        let mut done = lock(&self.done);
        done.push_back((token, status));
        let is_first = !self.is_told.swap(true, Ordering::AcqRel);
        drop(done);
        if is_first {
            (self.on_done)();
        }
    }
}

enum Command {
    Send(ActiveJob),
    Cancel { outbox: Weak<Outbox>, token: u64 },
}

/// A job and how far it has come.
struct Progress {
    job: SendJob,
    part: usize,
    /// Bytes of the current part already sent.
    sent: u64,
}

struct ActiveJob {
    socket: OwnedFd,
    progress: Progress,
    outbox: Arc<Outbox>,
    is_watched: bool,
    /// Its key is in the line of ready jobs.
    is_in_line: bool,
}

struct Shared {
    commands: Mutex<VecDeque<Command>>,
    wake: EventFd,
    /// The thread is in epoll, or about to be, and must be woken to see a command.
    is_asleep: AtomicBool,
    is_stopping: AtomicBool,
    counters: Counters,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Handle of the sending thread. Dropping it stops the thread; jobs in flight are reported as cancelled.
pub struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Sender {
    /// Starts the thread.
    pub fn spawn() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let wake = EventFd::new()?;
        // Edge-triggered, so the counter is never read: each signal is an edge of its own.
        epoll.add(wake.as_raw_fd(), Interest::Readable, WAKE_KEY)?;
        let shared = Arc::new(Shared {
            commands: Mutex::new(VecDeque::new()),
            wake,
            is_asleep: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            counters: Counters::default(),
        });
        let worker = Worker {
            shared: Arc::clone(&shared),
            epoll,
            jobs: HashMap::new(),
            ready: VecDeque::new(),
            next_key: 0,
            watched_count: 0,
            scratch: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("sluice-send".to_string())
            .spawn(move || worker.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Opens a place for reports; see [`Outbox`].
    pub fn open_outbox(&self, on_done: impl Fn() + Send + Sync + 'static) -> Arc<Outbox> {
        Outbox::new(on_done)
    }

    /// Sends a job on the socket `fd`: at once, as far as the socket takes it, when all of its bytes are in memory; the rest on the
    /// thread. Returns the status (0 or an errno) of a job that is over and will not be reported, `None` for one that will be.
    /// Until then nothing else may write to the socket.
    pub fn send(&self, fd: RawFd, job: SendJob, outbox: &Arc<Outbox>) -> Option<i32> {
        let mut progress = Progress { job, part: 0, sent: 0 };
        if progress.is_in_memory() && calls::set_nonblocking(fd).is_ok() {
            let turn = progress.advance(fd, &self.shared.counters, &mut Vec::new());
            if let Turn::Over(status) = turn {
                self.shared.counters.jobs.fetch_add(1, Ordering::Relaxed);
                return Some(status);
            }
        }
        self.hand_over(fd, progress, outbox);
        None
    }

    /// Sends a job on the thread from its first byte. `fd` is duplicated here: the caller may close its own at any time. Nothing
    /// else may write to the socket until the job is reported. A descriptor that cannot be duplicated is reported as any other
    /// failure.
    pub fn submit(&self, fd: RawFd, job: SendJob, outbox: &Arc<Outbox>) {
        self.hand_over(fd, Progress { job, part: 0, sent: 0 }, outbox);
    }

    fn hand_over(&self, fd: RawFd, progress: Progress, outbox: &Arc<Outbox>) {
        let socket = calls::duplicate(fd).and_then(|socket| {
            calls::set_nonblocking(socket.as_raw_fd())?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => self.push(Command::Send(ActiveJob {
                socket,
                progress,
                outbox: Arc::clone(outbox),
                is_watched: false,
                is_in_line: true,
            })),
            Err(error) => {
                self.shared.counters.jobs.fetch_add(1, Ordering::Relaxed);
                outbox.report(progress.job.token, errno_of(&error));
            }
        }
    }

    /// Gives a job up, for a connection that is gone: it is reported with ECANCELED and its duplicate of the socket is closed.
    /// A job that is done already is not affected.
    pub fn cancel(&self, outbox: &Arc<Outbox>, token: u64) {
        self.push(Command::Cancel { outbox: Arc::downgrade(outbox), token });
    }

    /// What the thread has done so far.
    pub fn counters(&self) -> SenderCounters {
        let counters = &self.shared.counters;
        SenderCounters {
            bytes: counters.bytes.load(Ordering::Relaxed),
            send_calls: counters.send_calls.load(Ordering::Relaxed),
            send_file_calls: counters.send_file_calls.load(Ordering::Relaxed),
            waits: counters.waits.load(Ordering::Relaxed),
            jobs: counters.jobs.load(Ordering::Relaxed),
        }
    }

    fn push(&self, command: Command) {
        lock(&self.shared.commands).push_back(command);
        if self.shared.is_asleep.swap(false, Ordering::SeqCst) {
            self.shared.wake.signal();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.wake.signal();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How a job's turn ended.
enum Turn {
    /// Bytes are left and the socket may take more.
    Again,
    /// The socket is full.
    Full,
    /// It is over: 0 or an errno.
    Over(i32),
}

struct Worker {
    shared: Arc<Shared>,
    epoll: Epoll,
    jobs: HashMap<u64, ActiveJob>,
    /// Keys of jobs that can make progress, each at most once.
    ready: VecDeque<u64>,
    next_key: u64,
    watched_count: usize,
    scratch: Vec<u8>,
}

impl Worker {
    fn run(mut self) {
        let mut events = Vec::new();
        while !self.shared.is_stopping.load(Ordering::SeqCst) {
            self.take_commands();
            let is_idle = self.ready.is_empty();
            if is_idle {
                // Announce the sleep, then look once more: a command pushed in between is seen here or signals.
                self.shared.is_asleep.store(true, Ordering::SeqCst);
                if !lock(&self.shared.commands).is_empty() {
                    self.shared.is_asleep.store(false, Ordering::SeqCst);
                    continue;
                }
            }
            if is_idle || self.watched_count > 0 {
                self.shared.counters.waits.fetch_add(1, Ordering::Relaxed);
                events.clear();
                if self.epoll.wait(&mut events, is_idle).is_err() {
                    // Only a broken descriptor of our own can cause this; yielding keeps it from becoming a hot loop.
                    std::thread::yield_now();
                }
                if is_idle {
                    self.shared.is_asleep.store(false, Ordering::SeqCst);
                }
                for event in &events {
                    self.make_ready(event.key);
                }
            }
            for _ in 0..self.ready.len() {
                if let Some(key) = self.ready.pop_front() {
                    self.take_turn(key);
                }
            }
        }
        self.abandon_all();
    }

    /// Puts a job in line. An edge may come for one that is in line already, and the wake-up's key is no job's.
    fn make_ready(&mut self, key: u64) {
        if let Some(active) = self.jobs.get_mut(&key)
            && !active.is_in_line
        {
            active.is_in_line = true;
            self.ready.push_back(key);
        }
    }

    fn take_commands(&mut self) {
        let commands = std::mem::take(&mut *lock(&self.shared.commands));
        for command in commands {
            match command {
                Command::Send(job) => {
                    let key = self.next_key;
                    self.next_key += 1;
                    self.jobs.insert(key, job);
                    self.ready.push_back(key);
                }
                Command::Cancel { outbox, token } => {
                    let found = self.jobs.iter().find_map(|(&key, active)| {
                        let is_same = std::ptr::eq(Arc::as_ptr(&active.outbox), outbox.as_ptr());
                        (is_same && active.progress.job.token == token).then_some(key)
                    });
                    if let Some(key) = found {
                        self.finish(key, libc::ECANCELED);
                    }
                }
            }
        }
    }

    fn take_turn(&mut self, key: u64) {
        let Some(active) = self.jobs.get_mut(&key) else { return };
        active.is_in_line = false;
        let socket = active.socket.as_raw_fd();
        match active.progress.advance(socket, &self.shared.counters, &mut self.scratch) {
            Turn::Again => self.make_ready(key),
            Turn::Over(status) => self.finish(key, status),
            Turn::Full if active.is_watched => {}
            // Adding a socket that became writable meanwhile gives an edge at once, so none is missed.
            Turn::Full => {
                match self.epoll.add(active.socket.as_raw_fd(), Interest::Writable, key) {
                    Ok(()) => {
                        active.is_watched = true;
                        self.watched_count += 1;
                    }
                    Err(error) => self.finish(key, errno_of(&error)),
                }
            }
        }
    }

    fn finish(&mut self, key: u64, status: i32) {
        let Some(active) = self.jobs.remove(&key) else { return };
        if active.is_watched {
            // The event loop still has the socket open, so closing the duplicate alone would leave it watched.
            let _ = self.epoll.remove(active.socket.as_raw_fd());
            self.watched_count -= 1;
        }
        self.shared.counters.jobs.fetch_add(1, Ordering::Relaxed);
        let ActiveJob { socket, progress, outbox, .. } = active;
        // Closed before the report: whoever reads the report may close the connection and expects that to be the end of it.
        drop(socket);
        outbox.report(progress.job.token, status);
    }

    fn abandon_all(&mut self) {
        self.take_commands();
        let keys: Vec<u64> = self.jobs.keys().copied().collect();
        for key in keys {
            self.finish(key, libc::ECANCELED);
        }
    }
}

impl Progress {
    /// True when the job fits one turn and no byte of it has to be read from disk. False where the kernel cannot tell.
    fn is_in_memory(&self) -> bool {
        let mut slice_bytes = 0;
        self.job.parts.iter().all(|part| match part {
            Part::Head(_) => true,
            Part::Slice { source, position, length } => {
                slice_bytes += *length;
                let Some(file) = source.file() else { return false };
                let first_page = *position / PAGE_BYTES;
                let page_count = (*position + *length).div_ceil(PAGE_BYTES) - first_page;
                slice_bytes <= TURN_BYTES as u64
                    && calls::cached_page_count(file.as_raw_fd(), *position, *length)
                        .is_ok_and(|cached| cached >= page_count)
            }
        })
    }

    /// Sends until the turn's bytes are used up, the socket is full or the job is over.
    fn advance(&mut self, socket: RawFd, counters: &Counters, scratch: &mut Vec<u8>) -> Turn {
        let mut budget = TURN_BYTES;
        loop {
            let is_last = self.part + 1 >= self.job.parts.len();
            let Some(part) = self.job.parts.get(self.part) else { return Turn::Over(0) };
            let (length, outcome) = match part {
                Part::Head(range) => {
                    let bytes = self.job.head.get(range.clone()).unwrap_or_default();
                    let rest = bytes.get(self.sent as usize..).unwrap_or_default();
                    if rest.is_empty() {
                        self.next_part();
                        continue;
                    }
                    counters.send_calls.fetch_add(1, Ordering::Relaxed);
                    (bytes.len() as u64, calls::send(socket, rest, !is_last))
                }
                Part::Slice { source, position, length } => {
                    let rest = length.saturating_sub(self.sent);
                    if rest == 0 {
                        self.next_part();
                        continue;
                    }
                    let step = usize::try_from(rest).unwrap_or(usize::MAX).min(budget);
                    let from = position.saturating_add(self.sent);
                    let outcome = if let Some(file) = source.file() {
                        counters.send_file_calls.fetch_add(1, Ordering::Relaxed);
                        calls::send_file(socket, file.as_raw_fd(), from, step)
                    } else {
                        counters.send_calls.fetch_add(1, Ordering::Relaxed);
                        copy_out(
                            socket,
                            &**source,
                            from,
                            step,
                            !is_last || step as u64 != rest,
                            scratch,
                        )
                    };
                    (*length, outcome)
                }
            };
            match outcome {
                Ok(0) => return Turn::Over(libc::ENODATA),
                Ok(count) => {
                    counters.bytes.fetch_add(count as u64, Ordering::Relaxed);
                    self.sent += count as u64;
                    if self.sent >= length {
                        self.next_part();
                    }
                    budget = budget.saturating_sub(count);
                    if self.part >= self.job.parts.len() {
                        return Turn::Over(0);
                    }
                    if budget == 0 {
                        return Turn::Again;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Full,
                Err(error) => return Turn::Over(errno_of(&error)),
            }
        }
    }

    fn next_part(&mut self) {
        self.part += 1;
        self.sent = 0;
    }
}

/// Sends a piece of a slice that is not in a file.
fn copy_out(
    socket: RawFd,
    source: &dyn SliceSource,
    from: u64,
    step: usize,
    more: bool,
    scratch: &mut Vec<u8>,
) -> io::Result<usize> {
    let want = step.min(COPY_BYTES);
    if scratch.len() < want {
        scratch.resize(want, 0);
    }
    let count = source.read_at(scratch.get_mut(..want).unwrap_or_default(), from)?;
    match scratch.get(..count) {
        Some(bytes) if count > 0 => calls::send(socket, bytes, more || count < step),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests;
