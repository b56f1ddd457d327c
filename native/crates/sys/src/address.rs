//! Whether an address is free, found out by binding it without listening: nobody can connect in the meantime, which a trial
//! listener would accept and then drop.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;

use crate::calls::{bind, new_stream_socket, set_option};

/// Binds `host:port` and lets go of it again. The empty host is every address.
///
/// # Errors
/// What the resolver or the kernel says, `EADDRINUSE` above all.
pub fn probe_address(host: &str, port: u16) -> io::Result<()> {
    let host = if host.is_empty() { "::" } else { host };
    for address in (host, port).to_socket_addrs()? {
        probe(address)?;
    }
    Ok(())
}

fn probe(address: SocketAddr) -> io::Result<()> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = new_stream_socket(family)?;
    // As a listener does it: connections of an earlier process that wait for their end do not count.
    set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    bind(socket.as_raw_fd(), address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_free_address_is_free_and_a_taken_one_is_taken() {
        for host in ["127.0.0.1", "::1"] {
            let Ok(listener) = TcpListener::bind((host, 0)) else {
                assert_ne!(host, "127.0.0.1", "IPv4 is there");
                continue;
            };
            let port = listener.local_addr().expect("has an address").port();
            let error = probe_address(host, port).expect_err("it is taken");
            assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
            drop(listener);
            probe_address(host, port).expect("it is free");
            probe_address(host, port).expect("and still free after it was asked for");
        }
        assert!(probe_address("203.0.113.1", 1).is_err(), "an address of somebody else");
    }
}
