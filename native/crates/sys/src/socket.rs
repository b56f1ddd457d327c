//! Sockets by descriptor: receiving into the caller's buffer, and the options a broker sets.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use crate::calls;

/// Outcome of [`receive_into`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one, are in the buffer.
    Bytes(usize),
    /// Nothing is there yet, or the buffer is empty.
    WouldBlock,
    /// The peer has sent all it will ever send.
    Closed,
    /// The connection failed with this errno.
    Failed(i32),
}

/// Receives into `into` without waiting; one system call.
pub fn receive_into(fd: RawFd, into: &mut [u8]) -> Received {
    if into.is_empty() {
        return Received::WouldBlock;
    }
    match calls::receive(fd, into) {
        Ok(0) => Received::Closed,
        Ok(count) => Received::Bytes(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::WouldBlock,
        Err(error) => Received::Failed(errno_of(&error)),
    }
}

/// Outcome of [`send_from`] and [`send_file_from`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were taken; of a file, 0 is its end.
    Bytes(usize),
    /// The socket is full.
    WouldBlock,
    /// The connection failed with this errno.
    Failed(i32),
}

fn sent(outcome: io::Result<usize>) -> Sent {
    match outcome {
        Ok(count) => Sent::Bytes(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::WouldBlock,
        Err(error) => Sent::Failed(errno_of(&error)),
    }
}

/// Sends what the socket takes of `bytes` without waiting. `more` announces that others follow at once.
pub fn send_from(fd: RawFd, bytes: &[u8], more: bool) -> Sent {
    sent(calls::send(fd, bytes, more))
}

/// Sends what a socket in non-blocking mode takes of a file's bytes, inside the kernel. Waits for the disk where they are not in memory.
pub fn send_file_from(fd: RawFd, file: &std::fs::File, position: u64, length: usize) -> Sent {
    sent(calls::send_file(fd, file.as_raw_fd(), position, length))
}

/// The errno behind an error; EIO for one that did not come from the system.
pub(crate) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// Sends small segments at once (`TCP_NODELAY`).
pub fn set_no_delay(fd: RawFd, is_on: bool) -> io::Result<()> {
    calls::set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, i32::from(is_on))
}

/// Sets `SO_SNDBUF`, which also ends the kernel's own sizing of it.
pub fn set_send_buffer_bytes(fd: RawFd, bytes: i32) -> io::Result<()> {
    calls::set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)
}

/// Sets `SO_RCVBUF`, which also ends the kernel's own sizing of it.
pub fn set_receive_buffer_bytes(fd: RawFd, bytes: i32) -> io::Result<()> {
    calls::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn receiving_tells_bytes_nothing_end_and_failure_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let mut peer =
            TcpStream::connect(listener.local_addr().expect("address")).expect("connects");
        let (socket, _) = listener.accept().expect("accepts");
        let fd = socket.as_raw_fd();
        let mut buffer = [0; 8];
        assert_eq!(receive_into(fd, &mut buffer), Received::WouldBlock);
        peer.write_all(b"abc").expect("writes");
        assert_eq!(receive_into(fd, &mut []), Received::WouldBlock);
        // Loopback delivers before write returns.
        assert_eq!(receive_into(fd, &mut buffer), Received::Bytes(3));
        assert_eq!(&buffer[..3], b"abc");
        drop(peer);
        assert_eq!(receive_into(fd, &mut buffer), Received::Closed);
        assert_eq!(receive_into(-1, &mut buffer), Received::Failed(libc::EBADF));
    }

    #[test]
    fn options_reach_the_socket_or_fail() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let socket = TcpStream::connect(listener.local_addr().expect("address")).expect("connects");
        set_no_delay(socket.as_raw_fd(), true).expect("sets");
        assert!(socket.nodelay().expect("reads"));
        set_send_buffer_bytes(socket.as_raw_fd(), 100_000).expect("sets");
        set_receive_buffer_bytes(socket.as_raw_fd(), 100_000).expect("sets");
        assert!(set_no_delay(-1, true).is_err());
    }
}
