//! The physical limit: a server that does as little as a log behind Kafka's protocol can do.
//!
//! Threads with an epoll each, one unless told otherwise; connections are dealt out by the kernel (`SO_REUSEPORT`). A Produce request is received into a buffer that is reused, its batch's base offset is filled in, the
//! batch is written to the partition's file with one `write`, and a ready-made answer goes back. A Fetch is answered by a
//! ready-made head and `sendfile` of a range of the file, or, where the range is small, by one `pread` and one `send`, which
//! cost less. Nothing is validated (no CRC is looked at), nothing is replicated,
//! nothing survives a restart. With `flush.messages=1` on its topic a partition's file is synced before its answers go: once
//! for all requests that one turn of epoll brought, which is as good as group commit gets.
//!
//! It speaks what `sluice-load` asks for and nothing else: Fetch of one partition a request, and no sessions.

mod admin;
mod server;
mod topics;

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sluice_load::sys::{self, Event, Interest, Poll};

use server::Server;
use topics::Shared;

/// What is wrong with a request, in words.
type Answer<T> = Result<T, String>;

const LISTENER: u64 = u64::MAX;
const WOKEN: u64 = u64::MAX - 1;
/// An alarm that is not to ring.
const NEVER: Duration = Duration::from_secs(1 << 30);

fn serve(shared: &Arc<Shared>, listener: &TcpListener, thread: usize) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new(1024)?;
    poll.add(listener, LISTENER, Interest::Read)?;
    poll.add(&shared.inboxes[thread].alarm, WOKEN, Interest::Read)?;
    let mut server = Server::new(Arc::clone(shared), thread);
    let mut events: Vec<Event> = Vec::new();
    loop {
        poll.wait(-1, &mut events)?;
        for event in &events {
            match event.token {
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        server.accept(&poll, stream)?;
                    }
                }
                WOKEN => {
                    // Cleared first: who comes later rings again.
                    shared.inboxes[thread].alarm.ring_after(NEVER)?;
                    server.take_woken();
                }
                token => server.on_event(token, event.is_readable),
            }
        }
        server.finish_turn(&poll)?;
    }
}

fn run(directory: &Path, port: u16, threads: usize) -> io::Result<()> {
    sys::raise_file_limit();
    std::fs::create_dir_all(directory)?;
    let first = sys::listen_shared(port)?;
    let port = first.local_addr()?.port();
    let shared = Arc::new(Shared::new(directory.to_owned(), port, threads)?);
    let mut others = Vec::new();
    for thread in 1..threads {
        let listener = sys::listen_shared(port)?;
        let shared = Arc::clone(&shared);
        others.push(std::thread::spawn(move || serve(&shared, &listener, thread)));
    }
    serve(&shared, &first, 0)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || {
        eprintln!("usage: sluice-limit DIRECTORY PORT [THREADS]");
        ExitCode::from(2)
    };
    let (directory, port, threads) = match arguments.as_slice() {
        [directory, port] => (directory, port, "1"),
        [directory, port, threads] => (directory, port, threads.as_str()),
        _ => return usage(),
    };
    let (Ok(port), Ok(threads)) = (port.parse(), threads.parse::<usize>()) else { return usage() };
    if !(1..=64).contains(&threads) {
        return usage();
    }
    match run(Path::new(directory), port, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
