//! One safe function per system call. Each retries on EINTR, and each unsafe block is that one call.

use std::ffi::{CString, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Turns libc's -1 into the error it stands for.
fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn checked_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Repeats a call that a signal interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// A second descriptor for the same open socket or file, closed on exec.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes an integer and touches no memory of ours.
    let copy = checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the kernel just made this descriptor for us and nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Makes sure that calls on this descriptor do not block. Shared by all duplicates of it.
pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: F_GETFL takes no third argument and touches no memory of ours.
    let flags = checked(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: F_SETFL takes an integer and touches no memory of ours.
        checked(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    }
    Ok(())
}

/// Receives what is there, at most `into.len()` bytes, without waiting. 0 is the end of the stream.
pub(crate) fn receive(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    uninterrupted(|| {
        // SAFETY: pointer and length are those of one exclusive slice; the kernel writes at most that many bytes into it.
        checked_size(unsafe {
            libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT)
        })
    })
}

/// As [`receive`]; the bytes stay to be received.
pub(crate) fn peek(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    uninterrupted(|| {
        // SAFETY: pointer and length are those of one exclusive slice; the kernel writes at most that many bytes into it.
        checked_size(unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
            libc::recv(fd, into.as_mut_ptr().cast(), into.len(), flags)
        })
    })
}

/// Bytes that can be received now.
pub(crate) fn readable_bytes(fd: RawFd) -> io::Result<c_int> {
    let mut count: c_int = 0;
    // SAFETY: the count is a local that outlives the call, which writes that one value.
    checked(unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut count) })?;
    Ok(count)
}

/// Sends what the socket takes without waiting. `more` announces that bytes follow at once, so that the kernel does not send a
/// short segment for these.
pub(crate) fn send(fd: RawFd, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    uninterrupted(|| {
        // SAFETY: pointer and length are those of one slice, which the kernel only reads.
        checked_size(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
    })
}

/// Sends at most `length` bytes of a file from `position`, inside the kernel. 0 means that the file ends there.
///
/// Blocks while the file's pages are read from disk; on a socket that is not in non-blocking mode also while it is full.
pub(crate) fn send_file(
    socket: RawFd,
    file: RawFd,
    position: u64,
    length: usize,
) -> io::Result<usize> {
    let start = i64::try_from(position).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    uninterrupted(|| {
        let mut offset = start;
        // SAFETY: the offset is a local that outlives the call; the kernel reads and writes that one value.
        checked_size(unsafe { libc::sendfile(socket, file, &raw mut offset, length) })
    })
}

/// Number of the system call cachestat, the same on every architecture.
const CACHE_STAT_CALL: libc::c_long = 451;

/// How many pages of a file's range are in memory. Fails with ENOSYS before Linux 6.5, with EPERM where a sandbox forbids it.
pub(crate) fn cached_page_count(file: RawFd, position: u64, length: u64) -> io::Result<u64> {
    let range = [position, length];
    // Cached, dirty, under writeback, evicted, recently evicted.
    let mut counts = [0_u64; 5];
    // SAFETY: both pointers are those of local arrays of the call's layout (two and five 64-bit fields) that outlive it; the
    // kernel reads the first and writes the second.
    let outcome = unsafe {
        libc::syscall(CACHE_STAT_CALL, file, range.as_ptr(), counts.as_mut_ptr(), 0 as libc::c_uint)
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(counts[0]) }
}

/// Where `tcpi_bytes_acked` is in the kernel's `struct tcp_info` (since Linux 4.1); glibc's declaration ends before it.
const TCP_INFO_BYTES_ACKED: usize = 120;

/// Bytes that the peer of a TCP socket has acknowledged; `None` for another socket or an older kernel.
pub fn acknowledged_bytes(fd: RawFd) -> Option<u64> {
    let mut info = [0_u8; TCP_INFO_BYTES_ACKED + 8];
    let mut size = info.len() as libc::socklen_t;
    // SAFETY: pointer and size describe one local array; the kernel writes at most that many bytes and the size it wrote.
    checked(unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut size,
        )
    })
    .ok()?;
    let bytes = info.get(TCP_INFO_BYTES_ACKED..size as usize)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// Whether any page of a file's range is in memory. Fails with ENOSYS before Linux 6.5.
pub fn is_any_cached(file: &std::fs::File, position: u64, length: u64) -> io::Result<bool> {
    Ok(cached_page_count(file.as_raw_fd(), position, length)? > 0)
}

/// Whether all pages of a file's range are in memory, as far as the kernel can tell: never before Linux 6.5.
pub fn is_all_cached(file: &std::fs::File, position: u64, length: u64) -> bool {
    // On machines with larger pages fewer are counted.
    const PAGE_BYTES: u64 = 4096;
    let page_count = (position + length).div_ceil(PAGE_BYTES) - position / PAGE_BYTES;
    cached_page_count(file.as_raw_fd(), position, length).is_ok_and(|cached| cached >= page_count)
}

/// Drops clean pages of a file's range from memory.
pub fn drop_cached(file: &std::fs::File, position: u64, length: u64) -> io::Result<()> {
    let (from, length) = (position.cast_signed(), length.cast_signed());
    // SAFETY: posix_fadvise takes integers and touches no memory of ours.
    let code =
        unsafe { libc::posix_fadvise(file.as_raw_fd(), from, length, libc::POSIX_FADV_DONTNEED) };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Gives a file blocks for a range without writing it, nor changing its size.
pub fn reserve(file: &std::fs::File, position: u64, length: u64) -> io::Result<()> {
    let (from, length) = (position.cast_signed(), length.cast_signed());
    // SAFETY: fallocate takes integers and touches no memory of ours.
    let outcome =
        unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, from, length) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Tells the kernel not to read ahead of this descriptor.
pub fn without_read_ahead(file: &std::fs::File) -> io::Result<()> {
    // SAFETY: as above.
    let code = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Lets this thread use the disk only when nobody else does, where the scheduler of the disk knows of that.
pub fn use_idle_disk_only() -> io::Result<()> {
    const WHO_PROCESS: c_int = 1;
    const CLASS_IDLE: c_int = 3 << 13;
    // SAFETY: ioprio_set takes integers and touches no memory of ours; 0 is the calling thread.
    let outcome = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets a socket option whose value is an int.
pub(crate) fn set_option(fd: RawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let size = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: pointer and size describe one local int, which the kernel only reads.
    checked(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) })?;
    Ok(())
}

/// A TCP socket of a family, closed on exec.
pub(crate) fn new_stream_socket(family: c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket takes three integers and touches no memory of ours.
    let fd = checked(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel just made this descriptor for us and nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives a socket its local address.
pub(crate) fn bind(fd: RawFd, address: SocketAddr) -> io::Result<()> {
    let outcome = match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            let size = size_of_val(&raw) as libc::socklen_t;
            // SAFETY: pointer and size describe one local struct, which the kernel only reads.
            unsafe { libc::bind(fd, (&raw const raw).cast(), size) }
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            let size = size_of_val(&raw) as libc::socklen_t;
            // SAFETY: pointer and size describe one local struct, which the kernel only reads.
            unsafe { libc::bind(fd, (&raw const raw).cast(), size) }
        }
    };
    checked(outcome)?;
    Ok(())
}

/// Makes the calling thread yield to the others of the process where there is too little processor for all (Linux keeps the
/// nice value by thread). A refusal changes nothing.
pub fn lower_thread_priority() {
    const NICE: c_int = 10;
    // SAFETY: gettid takes nothing and touches no memory of ours.
    let thread = unsafe { libc::gettid() };
    // SAFETY: setpriority takes integers and touches no memory of ours.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, NICE) };
}

/// Most descriptors this process may have open (`RLIMIT_NOFILE`, soft); `None` where there is no limit or no answer.
pub fn descriptor_limit() -> Option<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the struct is a local that outlives the call, which fills it.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) }).ok()?;
    // SAFETY: the call succeeded, so the struct is filled.
    let limit = unsafe { limit.assume_init() };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Size of the file system that holds a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystemSpace {
    /// All of it.
    pub total_bytes: u64,
    /// What this process may still write.
    pub usable_bytes: u64,
}

/// Size of the file system that holds `path`.
pub fn file_system_space(path: &Path) -> io::Result<FileSystemSpace> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut space = MaybeUninit::<libc::statvfs>::uninit();
    uninterrupted(|| {
        // SAFETY: the path is a terminated string and the struct a local; both outlive the call, which fills the struct.
        checked(unsafe { libc::statvfs(path.as_ptr(), space.as_mut_ptr()) })
    })?;
    // SAFETY: the call succeeded, so the struct is filled.
    let space = unsafe { space.assume_init() };
    Ok(FileSystemSpace {
        total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
        usable_bytes: space.f_bavail.saturating_mul(space.f_frsize),
    })
}

/// Whether `sync_file_system` on a file below `path` tells of every write that failed: the kernel keeps such errors per file system since
/// Linux 5.8, and ext4, XFS and btrfs pass them on. Others, and layered ones above all, may keep silent.
pub fn tells_file_system_errors(path: &Path) -> bool {
    const TELLING: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().ok());
    let version = (numbers.next().flatten().unwrap_or(0), numbers.next().flatten().unwrap_or(0));
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    let mut about = MaybeUninit::<libc::statfs>::uninit();
    let asked = uninterrupted(|| {
        // SAFETY: the path is a terminated string and the struct a local; both outlive the call, which fills the struct.
        checked(unsafe { libc::statfs(path.as_ptr(), about.as_mut_ptr()) })
    });
    if asked.is_err() {
        return false;
    }
    // SAFETY: the call succeeded, so the struct is filled.
    let kind = unsafe { about.assume_init() }.f_type as u64;
    version >= (5, 8) && TELLING.contains(&kind)
}

/// Waits until everything written to the file system of this file is on disk. An error that happened since the file was opened, or since
/// the last call with it, is told once.
pub fn sync_file_system(file: &std::fs::File) -> io::Result<()> {
    // SAFETY: syncfs takes an integer and touches no memory of ours.
    uninterrupted(|| checked(unsafe { libc::syncfs(file.as_raw_fd()) })).map(|_| ())
}

/// Raises the limit of descriptors as far as this process may. Best effort: the limit stays as it was where that is refused.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is a local that outlives the call, which fills it.
    let asked = checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) });
    if asked.is_err() || limit.rlim_cur >= limit.rlim_max {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the struct is a local that outlives the call, which only reads it.
    let _ = checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) });
}

/// Makes a write beyond the process's file size limit fail with EFBIG; unless this is called it ends the process.
pub fn ignore_file_size_signal() {
    // SAFETY: SIG_IGN is a valid disposition and runs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// A counter that another thread waits for, through [`Epoll`].
#[derive(Debug)]
pub struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// Makes one, at zero.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes two integers and touches no memory of ours.
        let fd = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel just made this descriptor for us and nothing else knows its number.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Wakes whoever waits. A counter that is full has woken them already.
    pub fn signal(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: pointer and length are those of one local array, which the kernel only reads.
        let _ = unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes back what was signalled, so that a level-triggered watch is told anew by the next signal only.
    pub fn reset(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: pointer and length are those of one local array, which the kernel fills.
        let _ = unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// Its descriptor, to be watched.
    pub fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// What a descriptor is watched for. Unless it is added by level, it is told once, and again only after it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// It became readable.
    Readable,
    /// It became writable.
    Writable,
    /// Nothing but its end by a failure, which is always told.
    Failure,
}

/// A descriptor that became ready, or failed; the next call on it tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpollEvent {
    /// The key it was added with.
    pub key: u64,
}

/// Waits for many descriptors at once.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

/// Events taken per wait.
const EVENT_COUNT: usize = 64;

impl Epoll {
    /// Makes one that watches nothing.
    pub fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes an integer and touches no memory of ours.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just made this descriptor for us and nothing else knows its number.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Watches a descriptor under `key`. It must be removed before it is closed while duplicates of it live on.
    pub fn add(&self, fd: RawFd, interest: Interest, key: u64) -> io::Result<()> {
        let flag = match interest {
            Interest::Readable => libc::EPOLLIN,
            Interest::Writable => libc::EPOLLOUT,
            Interest::Failure => 0,
        };
        let mut event = libc::epoll_event { events: (flag | libc::EPOLLET) as u32, u64: key };
        // SAFETY: the event is a local that outlives the call; the kernel only reads it.
        checked(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })?;
        Ok(())
    }

    /// Watches a descriptor under `key` until it is removed: told for as long as it is ready, also when the other end is gone.
    pub fn add_level(&self, fd: RawFd, interest: Interest, key: u64) -> io::Result<()> {
        self.control_level(libc::EPOLL_CTL_ADD, fd, interest, key)
    }

    /// Changes what a descriptor that was added with [`Self::add_level`] is watched for.
    pub fn change_level(&self, fd: RawFd, interest: Interest, key: u64) -> io::Result<()> {
        self.control_level(libc::EPOLL_CTL_MOD, fd, interest, key)
    }

    fn control_level(
        &self,
        operation: c_int,
        fd: RawFd,
        interest: Interest,
        key: u64,
    ) -> io::Result<()> {
        let flag = match interest {
            Interest::Readable => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::Writable => libc::EPOLLOUT,
            Interest::Failure => 0,
        };
        let mut event = libc::epoll_event { events: flag as u32, u64: key };
        // SAFETY: the event is a local that outlives the call; the kernel only reads it.
        checked(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Adds a descriptor that is told of only when it is armed.
    pub(crate) fn add_silent(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control_once(libc::EPOLL_CTL_ADD, 0, fd, key)
    }

    /// Tells once that a descriptor added with [`Self::add_silent`] is readable, or the other end gone; at once if it is so now.
    pub(crate) fn arm_once(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control_once(libc::EPOLL_CTL_MOD, libc::EPOLLIN | libc::EPOLLRDHUP, fd, key)
    }

    fn control_once(&self, operation: c_int, flags: c_int, fd: RawFd, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: (flags | libc::EPOLLONESHOT) as u32, u64: key };
        // SAFETY: the event is a local that outlives the call; the kernel only reads it.
        checked(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Its own descriptor, which is readable while something that it watches is ready.
    pub fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Stops watching a descriptor.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: EPOLL_CTL_DEL ignores the event, which may be null since Linux 2.6.9.
        checked(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut())
        })?;
        Ok(())
    }

    /// Appends what is ready to `into`; waits for it when `wait` is true. A signal ends the wait early with nothing.
    pub fn wait(&self, into: &mut Vec<EpollEvent>, wait: bool) -> io::Result<()> {
        self.wait_for(into, if wait { -1 } else { 0 })
    }

    /// As [`Self::wait`], for at most so many milliseconds; -1 is forever.
    pub fn wait_for(&self, into: &mut Vec<EpollEvent>, timeout_ms: i32) -> io::Result<()> {
        self.wait_up_to(into, EVENT_COUNT, timeout_ms)
    }

    /// Appends at most `count` descriptors that are ready to `into`, without waiting. Those that were told last come last again.
    pub fn take_ready(&self, into: &mut Vec<EpollEvent>, count: usize) -> io::Result<()> {
        self.wait_up_to(into, count.clamp(1, EVENT_COUNT), 0)
    }

    fn wait_up_to(
        &self,
        into: &mut Vec<EpollEvent>,
        limit: usize,
        timeout: c_int,
    ) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENT_COUNT];
        // SAFETY: the pointer is that of one local array, and the limit no larger than it; the kernel writes at most that many events.
        let outcome = checked(unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), events.as_mut_ptr(), limit as c_int, timeout)
        });
        let count = match outcome {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        let ready = events.get(..usize::try_from(count).unwrap_or(0)).unwrap_or_default();
        into.extend(ready.iter().map(|event| EpollEvent { key: event.u64 }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_a_size_and_a_missing_path_has_none() {
        let space = file_system_space(&std::env::temp_dir()).expect("asks");
        assert!(space.total_bytes > 0 && space.usable_bytes <= space.total_bytes);
        assert!(file_system_space(Path::new("/no/such/path")).is_err());
        assert!(!tells_file_system_errors(Path::new("/no/such/path")));
        assert!(!tells_file_system_errors(Path::new("/proc")));
        let directory = std::fs::File::open(std::env::temp_dir()).expect("opens");
        sync_file_system(&directory).expect("syncs");
    }
}
