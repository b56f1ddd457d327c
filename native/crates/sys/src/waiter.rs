//! The waiting thread: one thread for the process that waits for sockets to have something to read, and reads nothing.
//!
//! An event loop that reads a socket by itself reads into memory of its own, and hands out copies. Whoever wants large answers in his own
//! buffers takes the socket away from the loop's readers, has it watched here, and is told through an [`Outbox`] when to read. All reading
//! stays on the loop's thread, so no memory is shared with this one.
//!
//! A watch tells once and is then silent until it is armed again. Arming says how many bytes are worth a call (`SO_RCVLOWAT`): the rest of
//! an answer whose size is known costs one. Armed for a frame, this thread looks at its size and waits for the whole of one below
//! a MiB: waking this thread twice is cheaper than waking the loop more than once. An end or a failure tells always,
//! however few bytes there are.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::calls::{self, Epoll, EventFd, Interest};
use crate::sender::Outbox;

/// Epoll key of the thread's own wake-up; watches count up from 1 and never come here.
const WAKE_KEY: u64 = u64::MAX;

/// A frame up to this size, its prefix included, is waited for as a whole: what a receive buffer that the system sizes will hold.
const WHOLE_FRAME_BYTES: i32 = 1 << 20;

const SIZE_PREFIX_BYTES: i32 = 4;

struct Watch {
    /// Our own duplicate: its number cannot become somebody else's while it is watched.
    socket: OwnedFd,
    token: u64,
    outbox: Arc<Outbox>,
    low_bytes: i32,
    /// The size of the next frame is still to be looked at.
    is_for_frame: bool,
}

impl Watch {
    fn set_low_bytes(&mut self, bytes: i32) {
        if self.low_bytes == bytes {
            return;
        }
        // Refused, it tells too early, which is no harm.
        let fd = self.socket.as_raw_fd();
        let _ = calls::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes);
        self.low_bytes = bytes;
    }

    /// How many bytes to wait for instead of telling now; `None` where there is nothing to wait for.
    fn worth_waiting_for(&mut self) -> Option<i32> {
        if !self.is_for_frame {
            return None;
        }
        let fd = self.socket.as_raw_fd();
        let mut prefix = [0; SIZE_PREFIX_BYTES as usize];
        if !calls::peek(fd, &mut prefix).is_ok_and(|count| count == prefix.len()) {
            return None;
        }
        self.is_for_frame = false;
        // Sizes that make no sense are told at once.
        let wanted = i32::from_be_bytes(prefix)
            .checked_add(SIZE_PREFIX_BYTES)
            .filter(|bytes| (SIZE_PREFIX_BYTES + 1..=WHOLE_FRAME_BYTES).contains(bytes))?;
        let is_there = calls::readable_bytes(fd).is_ok_and(|bytes| bytes >= wanted);
        (!is_there).then_some(wanted)
    }
}

struct Shared {
    epoll: Epoll,
    wake: EventFd,
    watches: Mutex<HashMap<u64, Watch>>,
    next_key: AtomicU64,
    is_stopping: AtomicBool,
}

impl Shared {
    fn watches(&self) -> MutexGuard<'_, HashMap<u64, Watch>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events = Vec::new();
        while !self.is_stopping.load(Ordering::SeqCst) {
            events.clear();
            if self.epoll.wait(&mut events, true).is_err() {
                // Only a broken descriptor of our own can cause this; yielding keeps it from becoming a hot loop.
                std::thread::yield_now();
            }
            for event in &events {
                // Without the lock: it calls out.
                if let Some((token, outbox)) = self.ready(event.key) {
                    outbox.report(token, 0);
                }
            }
        }
    }
}

impl Shared {
    /// Whom to tell that a watch is ready, if that is now.
    fn ready(&self, key: u64) -> Option<(u64, Arc<Outbox>)> {
        let mut watches = self.watches();
        let watch = watches.get_mut(&key)?;
        if let Some(bytes) = watch.worth_waiting_for() {
            watch.set_low_bytes(bytes);
            if self.epoll.arm_once(watch.socket.as_raw_fd(), key).is_ok() {
                return None;
            }
        }
        Some((watch.token, Arc::clone(&watch.outbox)))
    }
}

/// Handle of the waiting thread. Dropping it stops the thread and lets go of all sockets.
pub struct Waiter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Waiter").field("watches", &self.count()).finish_non_exhaustive()
    }
}

impl Waiter {
    /// Starts the thread.
    pub fn spawn() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let wake = EventFd::new()?;
        epoll.add(wake.as_raw_fd(), Interest::Readable, WAKE_KEY)?;
        let shared = Arc::new(Shared {
            epoll,
            wake,
            watches: Mutex::new(HashMap::new()),
            next_key: AtomicU64::new(1),
            is_stopping: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sluice-wait".to_string())
            .spawn(move || for_thread.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Watches a duplicate of `fd`, not armed yet: reports go to `outbox` under `token`. Returns the key of the watch, never 0.
    pub fn watch(&self, fd: RawFd, token: u64, outbox: &Arc<Outbox>) -> io::Result<u64> {
        let socket = calls::duplicate(fd)?;
        let key = self.shared.next_key.fetch_add(1, Ordering::Relaxed);
        let mut watches = self.shared.watches();
        self.shared.epoll.add_silent(socket.as_raw_fd(), key)?;
        watches.insert(
            key,
            Watch { socket, token, outbox: Arc::clone(outbox), low_bytes: 1, is_for_frame: false },
        );
        Ok(key)
    }

    /// Reports once when `low_bytes` can be read (0: the whole of a frame that begins there, or its size where that is large), or the kernel has
    /// no room for more, or the connection has ended or failed; at once if that is so now. Fails with ENOENT for a key that is not watched.
    pub fn arm(&self, key: u64, low_bytes: i32) -> io::Result<()> {
        let mut watches = self.shared.watches();
        let watch =
            watches.get_mut(&key).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        watch.is_for_frame = low_bytes == 0;
        watch.set_low_bytes(if watch.is_for_frame { SIZE_PREFIX_BYTES } else { low_bytes.max(1) });
        self.shared.epoll.arm_once(watch.socket.as_raw_fd(), key)
    }

    /// Lets go of the socket, whose `SO_RCVLOWAT` is as it was. A report may still be on its way.
    pub fn unwatch(&self, key: u64) {
        let Some(mut watch) = self.shared.watches().remove(&key) else { return };
        let _ = self.shared.epoll.remove(watch.socket.as_raw_fd());
        watch.set_low_bytes(1);
    }

    /// Sockets watched now.
    pub fn count(&self) -> usize {
        self.shared.watches().len()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.wake.signal();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const QUIET: Duration = Duration::from_millis(60);

    struct Fixture {
        waiter: Waiter,
        outbox: Arc<Outbox>,
        told: mpsc::Receiver<()>,
        peer: TcpStream,
        socket: TcpStream,
    }

    fn fixture() -> Fixture {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connects");
        let (socket, _) = listener.accept().expect("accepts");
        let (tell, told) = mpsc::channel();
        let outbox = Outbox::new(move || {
            let _ = tell.send(());
        });
        Fixture { waiter: Waiter::spawn().expect("starts"), outbox, told, peer, socket }
    }

    impl Fixture {
        fn drained(&self) -> Vec<u64> {
            let mut tokens = Vec::new();
            self.outbox.drain(16, |token, _| tokens.push(token));
            tokens
        }
    }

    #[test]
    fn tells_once_for_each_arming() {
        let mut it = fixture();
        let key = it.waiter.watch(it.socket.as_raw_fd(), 7, &it.outbox).expect("watches");
        it.peer.write_all(b"a").expect("writes");
        assert!(it.told.recv_timeout(QUIET).is_err(), "not armed");
        it.waiter.arm(key, 1).expect("arms");
        it.told.recv_timeout(SOON).expect("is told");
        assert_eq!(it.drained(), [7]);
        it.peer.write_all(b"b").expect("writes");
        assert!(it.told.recv_timeout(QUIET).is_err(), "told already");
        it.waiter.arm(key, 1).expect("arms");
        it.told.recv_timeout(SOON).expect("is told of what is there");
    }

    #[test]
    fn waits_for_enough_bytes_but_not_beyond_the_end() {
        let mut it = fixture();
        let key = it.waiter.watch(it.socket.as_raw_fd(), 1, &it.outbox).expect("watches");
        it.waiter.arm(key, 100).expect("arms");
        it.peer.write_all(&[0; 99]).expect("writes");
        assert!(it.told.recv_timeout(QUIET).is_err(), "one is missing");
        it.peer.write_all(&[0; 1]).expect("writes");
        it.told.recv_timeout(SOON).expect("is told");
        it.drained();
        it.waiter.arm(key, 1_000_000).expect("arms");
        assert!(it.told.recv_timeout(QUIET).is_err());
        it.peer.shutdown(std::net::Shutdown::Write).expect("ends");
        it.told.recv_timeout(SOON).expect("is told of the end");
    }

    #[test]
    fn waits_for_a_whole_frame_as_far_as_it_is_bounded() {
        let mut it = fixture();
        let key = it.waiter.watch(it.socket.as_raw_fd(), 1, &it.outbox).expect("watches");
        let mut body = vec![0; 30_000];
        for round in 0..3 {
            it.waiter.arm(key, 0).expect("arms");
            it.peer.write_all(&30_000_i32.to_be_bytes()).expect("writes");
            it.peer.write_all(&body[..29_999]).expect("writes");
            assert!(it.told.recv_timeout(QUIET).is_err(), "one is missing in round {round}");
            it.peer.write_all(&[0; 1]).expect("writes");
            it.told.recv_timeout(SOON).expect("is told");
            it.drained();
            it.socket.read_exact(&mut [0; 4]).expect("reads");
            it.socket.read_exact(&mut body).expect("reads");
        }
        for bad in [0, -1, i32::MIN, 1 << 20, i32::MAX] {
            it.waiter.arm(key, 0).expect("arms");
            it.peer.write_all(&bad.to_be_bytes()).expect("writes");
            it.told
                .recv_timeout(SOON)
                .expect("is told at once of nonsense, and of what is too large");
            it.drained();
            it.socket.read_exact(&mut [0; 4]).expect("reads");
        }
        // An end within a frame.
        it.waiter.arm(key, 0).expect("arms");
        it.peer.write_all(&[0, 0]).expect("writes");
        it.peer.shutdown(std::net::Shutdown::Write).expect("ends");
        it.told.recv_timeout(SOON).expect("is told of the end");
    }

    #[test]
    fn lets_go_of_what_is_not_watched_any_more() {
        let mut it = fixture();
        let key = it.waiter.watch(it.socket.as_raw_fd(), 1, &it.outbox).expect("watches");
        it.waiter.arm(key, 1).expect("arms");
        assert_eq!(it.waiter.count(), 1);
        it.waiter.unwatch(key);
        it.waiter.unwatch(key);
        assert_eq!(it.waiter.count(), 0);
        it.peer.write_all(b"a").expect("writes");
        assert!(it.told.recv_timeout(QUIET).is_err());
        assert!(it.waiter.arm(key, 1).is_err());
        assert!(it.waiter.watch(-1, 1, &it.outbox).is_err());
        // The duplicate is closed: with the socket itself the connection ends.
        drop(it.socket);
        it.peer.set_read_timeout(Some(SOON)).expect("sets");
        let end = it.peer.read(&mut [0; 1]);
        assert!(
            !matches!(&end, Err(error) if error.kind() == io::ErrorKind::WouldBlock),
            "{end:?}"
        );
    }
}
