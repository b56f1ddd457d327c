//! A lane as its event loop sees it: connections are lent to it, and come back.
//!
//! ```text
//!            adopt                     returned (drain)
//! loop ────────────────► lane ──────────────────────────► loop      input not consumed, replies not sent, reason
//!            take_back ─►  │
//!            forget ─────► └─ closes its duplicate of the descriptor and says nothing
//! ```
//!
//! The lane works on a duplicate of the socket's descriptor. A connection is known by its token, which the loop never uses twice, so
//! what comes back late for a connection that is gone finds nobody.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use sluice_sys::{Epoll, EventFd, Interest, duplicate};

use crate::turns::Turns;
use crate::worker::Worker;
use crate::{Counts, Topics};

/// Why a connection came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Its next request is not the lane's.
    NotMine = 0,
    /// The client has sent all it will ever send.
    End = 1,
    /// The connection failed.
    Failed = 2,
    /// Nothing came for a while.
    Idle = 3,
    /// There is no room for its frame.
    NoMemory = 4,
    /// `take_back`.
    Asked = 5,
    /// The client does not take its replies.
    Stalled = 6,
    /// Nor did it for the time that is allowed; file slices are unsent and lost, so it can only be closed.
    SendDeadline = 7,
    /// Serving it failed in a way that it should not: it can only be closed.
    Broken = 8,
}

/// A connection that came back.
#[derive(Debug)]
pub struct Returned {
    /// Which one.
    pub token: u64,
    /// Why.
    pub reason: Reason,
    /// What was received and not consumed, from a frame's size on.
    pub input: Vec<u8>,
    /// Reply bytes that the socket did not take.
    pub output: Vec<u8>,
}

pub(crate) enum Command {
    Adopt { token: u64, socket: OwnedFd, input: Vec<u8> },
    TakeBack { token: u64 },
    Forget { token: u64 },
}

/// What a lane may use.
#[derive(Clone, Copy, Debug)]
pub struct LaneLimits {
    /// Memory for frames that arrive in pieces.
    pub buffer_bytes: usize,
    /// Time in which something of what waits to be sent must move, ms.
    pub send_deadline_ms: u64,
}

pub(crate) struct Shared {
    pub(crate) limits: LaneLimits,
    pub(crate) topics: Topics,
    pub(crate) counts: Counts,
    pub(crate) commands: Mutex<Vec<Command>>,
    pub(crate) wake: Arc<EventFd>,
    pub(crate) is_stopping: AtomicBool,
    returned: Mutex<VecDeque<Returned>>,
    is_told: AtomicBool,
    on_return: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    /// Gives a connection back; the loop is called when it has not been since it last looked.
    pub(crate) fn give_back(&self, returned: Returned) {
        self.returned.lock().push_back(returned);
        if !self.is_told.swap(true, Ordering::AcqRel) {
            (self.on_return)();
        }
    }
}

/// One lane. Its thread starts with the first connection; dropping the lane ends it, and lets go of the connections that it has.
pub struct Lane {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane without a thread yet. `on_return` runs on the lane's thread when a connection came back, and not again before
    /// [`Self::next_returned`] found nothing more.
    pub fn new(
        limits: LaneLimits,
        on_return: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Shared {
            limits,
            topics: Topics::default(),
            counts: Counts::default(),
            commands: Mutex::new(Vec::new()),
            wake: Arc::new(EventFd::new()?),
            is_stopping: AtomicBool::new(false),
            returned: Mutex::new(VecDeque::new()),
            is_told: AtomicBool::new(false),
            on_return: Box::new(on_return),
        };
        Ok(Self { shared: Arc::new(shared), thread: Mutex::new(None) })
    }

    /// The topics it serves.
    pub fn topics(&self) -> &Topics {
        &self.shared.topics
    }

    /// What it counted.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Lends it a connection, of which `input` was received and not consumed: it begins where a frame does. From here on only the lane
    /// may read from the socket `fd` or write to it, until it comes back.
    ///
    /// # Errors
    /// The system's, for want of descriptors or threads; the connection is not lent then.
    pub fn adopt(&self, token: u64, fd: RawFd, input: Vec<u8>) -> io::Result<()> {
        let socket = duplicate(fd)?;
        self.start()?;
        self.push(Command::Adopt { token, socket, input });
        Ok(())
    }

    /// Asks for a connection; it comes back as any other.
    pub fn take_back(&self, token: u64) {
        self.push(Command::TakeBack { token });
    }

    /// Lets go of a connection that is being closed. It does not come back.
    pub fn forget(&self, token: u64) {
        self.push(Command::Forget { token });
    }

    /// A connection that came back.
    pub fn next_returned(&self) -> Option<Returned> {
        let mut returned = self.shared.returned.lock();
        let next = returned.pop_front();
        if next.is_none() {
            // Under the lock: what comes back later finds the flag down and calls again.
            self.shared.is_told.store(false, Ordering::Release);
        }
        next
    }

    fn push(&self, command: Command) {
        self.shared.commands.lock().push(command);
        self.shared.wake.signal();
    }

    fn start(&self) -> io::Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let epoll = Epoll::new()?;
            epoll.add_level(self.shared.wake.as_raw_fd(), Interest::Readable, Turns::WAKE_KEY)?;
            let worker = Worker::new(Arc::clone(&self.shared), Turns::new(epoll)?);
            *thread = Some(
                std::thread::Builder::new()
                    .name("sluice-lane".to_string())
                    .spawn(move || worker.run())?,
            );
        }
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.wake.signal();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
        self.shared.topics.clear();
    }
}
