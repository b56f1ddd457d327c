//! The few Linux calls that the standard library does not offer: epoll, a timer descriptor, discarding received bytes,
//! and the clock tick of /proc. The only unsafe code of the generator.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What a descriptor is watched for, besides reading.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Read,
    ReadWrite,
}

impl Interest {
    fn mask(self) -> u32 {
        let read = libc::EPOLLIN | libc::EPOLLRDHUP;
        (if self == Interest::Read { read } else { read | libc::EPOLLOUT }) as u32
    }
}

/// One wake-up: the token given at registration, and whether there is something to read (else it takes bytes again).
#[derive(Clone, Copy)]
pub struct Event {
    pub token: u64,
    pub is_readable: bool,
}

/// A level-triggered epoll instance.
pub struct Poll {
    epoll: OwnedFd,
    raw: Vec<libc::epoll_event>,
}

impl Poll {
    pub fn new(capacity: usize) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just created, is valid, and nothing else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, raw: vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)] })
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.mask(), u64: token };
        // SAFETY: `event` outlives the call; both descriptors are open (the kernel checks them anyway).
        checked(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    pub fn add(&self, fd: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), token, interest)
    }

    pub fn change(&self, fd: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), token, interest)
    }

    /// Waits at most `timeout_ms` and puts what happened into `events`.
    pub fn wait(&mut self, timeout_ms: i32, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        let capacity = self.raw.len() as libc::c_int;
        // SAFETY: the kernel writes at most `capacity` entries into `raw`, which has that many.
        let result = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.raw.as_mut_ptr(), capacity, timeout_ms)
        };
        let count = match checked(result) {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        events.extend(self.raw[..count].iter().map(|event| {
            let bits = event.events;
            Event {
                token: event.u64,
                // A closed or broken socket is reported as readable: reading tells what happened.
                is_readable: bits & !(libc::EPOLLOUT as u32) != 0,
            }
        }));
        Ok(())
    }
}

/// A one-shot timer that epoll can wait for, at nanosecond resolution: epoll's own time-out has milliseconds.
pub struct Alarm {
    fd: OwnedFd,
}

impl Alarm {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = checked(unsafe {
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
        })?;
        // SAFETY: `fd` was just created, is valid, and nothing else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Rings once after `delay`; arming again also clears an earlier ring.
    pub fn ring_after(&self, delay: Duration) -> io::Result<()> {
        let delay = delay.max(Duration::from_nanos(1));
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: delay.as_secs() as libc::time_t,
                tv_nsec: libc::c_long::from(delay.subsec_nanos()),
            },
        };
        // SAFETY: `spec` outlives the call; a null old value is allowed.
        checked(unsafe {
            libc::timerfd_settime(self.fd.as_raw_fd(), 0, &raw const spec, std::ptr::null_mut())
        })?;
        Ok(())
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Takes up to `length_bytes` out of a socket's receive queue without copying them anywhere.
///
/// Returns how many there were; 0 means the peer closed; `WouldBlock` that none are there yet.
pub fn discard(socket: &impl AsRawFd, length_bytes: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC a TCP socket writes nothing to the buffer, so null is allowed for it (tcp(7)).
    let taken = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            std::ptr::null_mut(),
            length_bytes,
            libc::MSG_TRUNC | libc::MSG_DONTWAIT,
        )
    };
    if taken < 0 { Err(io::Error::last_os_error()) } else { Ok(taken as usize) }
}

/// Memory that was touched a moment ago and is handed back to the kernel piece by piece.
///
/// A virtual machine may return free memory to its host within seconds; the next touch of such a page is then paid to the
/// hypervisor, at many times the cost of the copy itself, by whoever appends. So the generator holds as much memory as the
/// run will write, touched before it starts, and releases it at the pace of the log: the page cache then grows into pages
/// that were free only for an instant, whichever broker is measured and however slow it is.
pub struct PagePool {
    start: *mut libc::c_void,
    length_bytes: usize,
    released_bytes: usize,
}

impl PagePool {
    /// Released at once and then ahead of the log, for what the kernel takes besides.
    const HEAD_START_BYTES: usize = 64 << 20;
    const STEP_BYTES: usize = 4 << 20;
    const PAGE_BYTES: usize = 4096;

    /// Maps and touches that much memory.
    pub fn new(length_bytes: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing of ours.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length_bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is the mapping just made. Advice: a kernel without huge pages answers an error, which does not matter.
        unsafe { libc::madvise(start, length_bytes, libc::MADV_HUGEPAGE) };
        for at in (0..length_bytes).step_by(Self::PAGE_BYTES) {
            // SAFETY: `at` lies within the mapping just made, which is writable and which nobody else knows of.
            unsafe { start.cast::<u8>().add(at).write_volatile(1) };
        }
        Ok(Self { start, length_bytes, released_bytes: 0 })
    }

    /// Releases memory so that what was given back stays ahead of what the log took.
    pub fn keep_pace(&mut self, logged_bytes: usize) {
        let wanted = (logged_bytes + Self::HEAD_START_BYTES).min(self.length_bytes);
        let length = wanted.saturating_sub(self.released_bytes);
        if length == 0 || (length < Self::STEP_BYTES && wanted < self.length_bytes) {
            return;
        }
        let length = length / Self::PAGE_BYTES * Self::PAGE_BYTES;
        // SAFETY: the range lies within our mapping, no reference into it exists, and its content is never read again.
        let result = unsafe {
            libc::madvise(
                self.start.cast::<u8>().add(self.released_bytes).cast(),
                length,
                libc::MADV_DONTNEED,
            )
        };
        debug_assert_eq!(result, 0);
        self.released_bytes += length;
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nothing refers into it.
        unsafe { libc::munmap(self.start, self.length_bytes) };
    }
}

/// Sends bytes; with `is_more` the kernel waits for what follows instead of sending a short packet. Returns how many went.
pub fn send(socket: &impl AsRawFd, bytes: &[u8], is_more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | if is_more { libc::MSG_MORE } else { 0 };
    // SAFETY: the kernel reads at most `bytes.len()` bytes of `bytes`, which outlives the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Sends up to `length_bytes` of a file from `offset_bytes` on; the bytes stay in the kernel. Returns how many went.
pub fn send_file(
    socket: &impl AsRawFd,
    file: &impl AsRawFd,
    offset_bytes: u64,
    length_bytes: usize,
) -> io::Result<usize> {
    let mut offset = offset_bytes as libc::off_t;
    // SAFETY: `offset` outlives the call; both descriptors are open (the kernel checks them anyway).
    let sent = unsafe {
        libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, length_bytes)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Listens on a port of the loopback that other listeners of this process may share: the kernel deals connections out.
pub fn listen_shared(port: u16) -> io::Result<TcpListener> {
    // SAFETY: no pointers are passed.
    let fd =
        checked(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just created, is valid, and nothing else owns it.
    let listener = unsafe { TcpListener::from_raw_fd(fd) };
    let on: libc::c_int = 1;
    for option in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
        // SAFETY: `on` outlives the call, and its size is given.
        checked(unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        })?;
    }
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    // SAFETY: `address` outlives the call, and its size is given.
    checked(unsafe {
        libc::bind(
            fd,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        )
    })?;
    // SAFETY: no pointers are passed.
    checked(unsafe { libc::listen(fd, 4096) })?;
    Ok(listener)
}

/// Flushes all files below a directory and drops their pages from the page cache; returns how many there were. A file that
/// goes away meanwhile does not count.
pub fn drop_cache(directory: &Path) -> io::Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let Ok(entry) = entry else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            files += drop_cache(&entry.path()).unwrap_or(0);
        } else if kind.is_file() {
            let Ok(file) = fs::File::open(entry.path()) else { continue };
            file.sync_data()?;
            // SAFETY: no pointers are passed, and the descriptor is open.
            let error =
                unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            files += 1;
        }
    }
    Ok(files)
}

/// Raises the limit of open files to the highest that is allowed; what cannot be raised stays as it is.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Clock ticks a second: the unit of CPU time in /proc.
pub fn ticks_per_second() -> f64 {
    // SAFETY: no pointers are passed.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn discards_bytes_and_keeps_the_rest() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut sender = TcpStream::connect(listener.local_addr()?)?;
        let (mut receiver, _) = listener.accept()?;
        sender.write_all(&[1; 5000])?;
        sender.write_all(&[2; 10])?;
        let mut poll = Poll::new(4)?;
        poll.add(&receiver, 7, Interest::Read)?;
        let (mut left, mut events) = (5000, Vec::new());
        while left > 0 {
            poll.wait(1000, &mut events)?;
            assert_eq!(events.first().map(|event| event.token), Some(7));
            left -= discard(&receiver, left)?;
        }
        let mut rest = [0; 10];
        receiver.read_exact(&mut rest)?;
        assert_eq!(rest, [2; 10]);
        Ok(())
    }

    #[test]
    fn a_pool_is_resident_until_it_is_released() -> io::Result<()> {
        let resident = || crate::process::memory(std::process::id()).resident_kib;
        let mut pool = PagePool::new(256 << 20)?;
        let full = resident();
        pool.keep_pace(128 << 20);
        assert_eq!(pool.released_bytes, 192 << 20);
        pool.keep_pace(usize::MAX / 2);
        assert_eq!(pool.released_bytes, 256 << 20);
        assert!(resident() + (200 << 10) < full, "{full} KiB before, {} after", resident());
        Ok(())
    }

    #[test]
    fn an_alarm_rings() -> io::Result<()> {
        let (alarm, mut poll, mut events) = (Alarm::new()?, Poll::new(1)?, Vec::new());
        poll.add(&alarm, 3, Interest::Read)?;
        alarm.ring_after(Duration::from_micros(200))?;
        poll.wait(5000, &mut events)?;
        assert_eq!(events.len(), 1);
        Ok(())
    }
}
