//! Real sockets, real files: what arrives, what is reported, and how many calls it took.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Condvar;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;

/// A connected pair: the socket we send on, and the peer.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connects");
    let (socket, _) = listener.accept().expect("accepts");
    socket.set_nonblocking(true).expect("non-blocking");
    peer.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    (socket, peer)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

struct FileOnDisk(File);

impl SliceSource for FileOnDisk {
    fn file(&self) -> Option<&File> {
        Some(&self.0)
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        unreachable!("a file is sent by the kernel")
    }
}

struct Memory(Vec<u8>);

impl SliceSource for Memory {
    fn file(&self) -> Option<&File> {
        None
    }
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let rest = self.0.get(position as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// An unnamed file with this content.
fn file(content: &[u8]) -> Arc<dyn SliceSource> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sluice-send-{}-{count}", std::process::id()));
    let mut open =
        File::options().read(true).write(true).create_new(true).open(&path).expect("creates");
    std::fs::remove_file(&path).expect("removes");
    open.write_all(content).expect("writes");
    Arc::new(FileOnDisk(open))
}

#[derive(Default)]
struct Bell {
    rung: Mutex<usize>,
    changed: Condvar,
}

struct Bench {
    sender: Sender,
    outbox: Arc<Outbox>,
    bell: Arc<Bell>,
}

impl Bench {
    fn new() -> Self {
        let sender = Sender::spawn().expect("starts");
        let bell = Arc::new(Bell::default());
        let ringer = Arc::clone(&bell);
        let outbox = sender.open_outbox(move || {
            *lock(&ringer.rung) += 1;
            ringer.changed.notify_all();
        });
        Self { sender, outbox, bell }
    }

    fn rings(&self) -> usize {
        *lock(&self.bell.rung)
    }

    /// Waits for `count` reports.
    fn reports(&self, count: usize) -> Vec<(u64, i32)> {
        let mut all = Vec::new();
        let mut seen = 0;
        loop {
            while self.outbox.drain(3, |token, status| all.push((token, status))) == 3 {}
            if all.len() >= count {
                return all;
            }
            let rung = lock(&self.bell.rung);
            let (rung, wait) = self
                .bell
                .changed
                .wait_timeout_while(rung, Duration::from_secs(20), |rung| *rung == seen)
                .unwrap_or_else(PoisonError::into_inner);
            seen = *rung;
            drop(rung);
            assert!(!wait.timed_out(), "only {all:?} reported");
        }
    }
}

fn read_exact(peer: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut all = vec![0; bytes];
    peer.read_exact(&mut all).expect("receives");
    all
}

fn slice(source: &Arc<dyn SliceSource>, position: u64, length: u64) -> Part {
    Part::Slice { source: Arc::clone(source), position, length }
}

#[test]
fn head_and_slices_arrive_in_order() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    let content = pattern(300_000);
    for source in [file(&content), Arc::new(Memory(content.clone())) as Arc<dyn SliceSource>] {
        bench.sender.submit(
            socket.as_raw_fd(),
            SendJob {
                token: 7,
                head: b"firstsecondlast".to_vec(),
                parts: vec![
                    Part::Head(0..5),
                    slice(&source, 1000, 200_000),
                    Part::Head(5..11),
                    slice(&source, 5, 0),
                    slice(&source, 299_999, 1),
                    Part::Head(11..15),
                ],
            },
            &bench.outbox,
        );
        let expected =
            [b"first", &content[1000..201_000], b"second", &content[299_999..], b"last"].concat();
        assert!(read_exact(&mut peer, expected.len()) == expected);
        assert_eq!(bench.reports(1), [(7, 0)]);
    }
}

#[test]
fn a_small_answer_costs_two_calls_and_no_waiting_for_the_socket() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    let source = file(&pattern(100_000));
    for token in 0..10 {
        let before = bench.sender.counters();
        bench.sender.submit(
            socket.as_raw_fd(),
            SendJob {
                token,
                head: b"head".to_vec(),
                parts: vec![Part::Head(0..4), slice(&source, 0, 100_000)],
            },
            &bench.outbox,
        );
        assert_eq!(bench.reports(1), [(token, 0)]);
        let after = bench.sender.counters();
        assert_eq!(after.send_calls - before.send_calls, 1);
        assert_eq!(after.send_file_calls - before.send_file_calls, 1);
        assert_eq!(after.bytes - before.bytes, 100_004);
        read_exact(&mut peer, 100_004);
    }
}

#[test]
fn a_slow_peer_is_waited_for_without_spinning() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    let content = pattern(32 * 1024 * 1024);
    let source = file(&content);
    bench.sender.submit(
        socket.as_raw_fd(),
        SendJob {
            token: 1,
            head: b"head".to_vec(),
            parts: vec![Part::Head(0..4), slice(&source, 0, content.len() as u64)],
        },
        &bench.outbox,
    );
    // A fast neighbour is not held up by it.
    let (other, mut other_peer) = connection();
    bench.sender.submit(
        other.as_raw_fd(),
        SendJob { token: 2, head: Vec::new(), parts: vec![slice(&source, 0, 1000)] },
        &bench.outbox,
    );
    assert!(read_exact(&mut other_peer, 1000) == content[..1000]);
    assert_eq!(bench.reports(1), [(2, 0)]);

    // The kernel takes a while to say that both of the socket's buffers are full.
    let is_still = (0..100).any(|_| {
        let before = bench.sender.counters();
        std::thread::sleep(Duration::from_millis(50));
        bench.sender.counters() == before
    });
    assert!(is_still, "the thread works although the socket is full");

    assert!(read_exact(&mut peer, 4) == b"head");
    assert!(read_exact(&mut peer, content.len()) == content);
    assert_eq!(bench.reports(1), [(1, 0)]);
}

#[test]
fn the_loop_is_called_once_for_many_reports() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    let source = file(&pattern(1000));
    for token in 0..50 {
        bench.sender.submit(
            socket.as_raw_fd(),
            SendJob { token, head: Vec::new(), parts: vec![slice(&source, 0, 1000)] },
            &bench.outbox,
        );
        read_exact(&mut peer, 1000);
    }
    while bench.sender.counters().jobs < 50 {
        std::thread::yield_now();
    }
    let mut tokens = Vec::new();
    while tokens.len() < 50 {
        bench.outbox.drain(100, |token, status| tokens.push((token, status)));
    }
    assert_eq!(tokens, (0..50).map(|token| (token, 0)).collect::<Vec<_>>());
    assert_eq!(bench.rings(), 1);
}

#[test]
fn a_reset_connection_ends_its_job() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    let content = pattern(32 * 1024 * 1024);
    let source = file(&content);
    bench.sender.submit(
        socket.as_raw_fd(),
        SendJob {
            token: 3,
            head: Vec::new(),
            parts: vec![slice(&source, 0, content.len() as u64)],
        },
        &bench.outbox,
    );
    read_exact(&mut peer, 1000);
    drop(peer);
    let reports = bench.reports(1);
    assert!(matches!(reports.as_slice(), [(3, libc::ECONNRESET | libc::EPIPE)]), "{reports:?}");
}

#[test]
fn a_closed_or_foreign_descriptor_is_a_status() {
    let bench = Bench::new();
    let job = |token| SendJob { token, head: b"x".to_vec(), parts: vec![Part::Head(0..1)] };
    bench.sender.submit(-1, job(1), &bench.outbox);
    assert_eq!(bench.reports(1), [(1, libc::EBADF)]);

    let (socket, _peer) = connection();
    socket.shutdown(Shutdown::Write).expect("shuts down");
    bench.sender.submit(socket.as_raw_fd(), job(2), &bench.outbox);
    assert_eq!(bench.reports(1), [(2, libc::EPIPE)]);
}

#[test]
fn a_source_that_is_too_short_is_a_status() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    for source in [file(b"12345"), Arc::new(Memory(b"12345".to_vec())) as Arc<dyn SliceSource>] {
        bench.sender.submit(
            socket.as_raw_fd(),
            SendJob { token: 4, head: Vec::new(), parts: vec![slice(&source, 2, 10)] },
            &bench.outbox,
        );
        assert_eq!(bench.reports(1), [(4, libc::ENODATA)]);
        assert_eq!(read_exact(&mut peer, 3), b"345");
    }
}

#[test]
fn a_cancelled_job_lets_go_of_its_socket() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    let content = pattern(32 * 1024 * 1024);
    let source = file(&content);
    bench.sender.submit(
        socket.as_raw_fd(),
        SendJob {
            token: 5,
            head: Vec::new(),
            parts: vec![slice(&source, 0, content.len() as u64)],
        },
        &bench.outbox,
    );
    read_exact(&mut peer, 1000);
    drop(socket);
    bench.sender.cancel(&bench.outbox, 99);
    bench.sender.cancel(&bench.outbox, 5);
    assert_eq!(bench.reports(1), [(5, libc::ECANCELED)]);
    // With the duplicate gone the connection ends.
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).expect("ends");
    assert!(rest.len() < content.len());
    bench.sender.cancel(&bench.outbox, 5);
}

#[test]
fn the_socket_may_be_closed_once_a_job_is_submitted() {
    let bench = Bench::new();
    let (socket, mut peer) = connection();
    let content = pattern(8 * 1024 * 1024);
    let source = file(&content);
    bench.sender.submit(
        socket.as_raw_fd(),
        SendJob {
            token: 6,
            head: Vec::new(),
            parts: vec![slice(&source, 0, content.len() as u64)],
        },
        &bench.outbox,
    );
    drop(socket);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).expect("receives");
    assert!(all == content);
    assert_eq!(bench.reports(1), [(6, 0)]);
}

#[test]
fn stopping_reports_what_was_left() {
    let bench = Bench::new();
    let (socket, _peer) = connection();
    let content = pattern(32 * 1024 * 1024);
    let source = file(&content);
    bench.sender.submit(
        socket.as_raw_fd(),
        SendJob {
            token: 8,
            head: Vec::new(),
            parts: vec![slice(&source, 0, content.len() as u64)],
        },
        &bench.outbox,
    );
    let Bench { sender, outbox, .. } = bench;
    drop(sender);
    let mut reports = Vec::new();
    outbox.drain(10, |token, status| reports.push((token, status)));
    assert_eq!(reports, [(8, libc::ECANCELED)]);
}

#[test]
fn many_jobs_at_once_all_arrive_whole() {
    let bench = Bench::new();
    let content = pattern(3_000_000);
    let source = file(&content);
    let mut readers = Vec::new();
    let mut sockets = Vec::new();
    for token in 0..20_u64 {
        let (socket, mut peer) = connection();
        crate::set_send_buffer_bytes(socket.as_raw_fd(), 20_000).expect("sets");
        bench.sender.submit(
            socket.as_raw_fd(),
            SendJob {
                token,
                head: token.to_be_bytes().to_vec(),
                parts: vec![Part::Head(0..8), slice(&source, token * 1000, 1_000_000)],
            },
            &bench.outbox,
        );
        sockets.push(socket);
        let content = content.clone();
        readers.push(std::thread::spawn(move || {
            assert_eq!(read_exact(&mut peer, 8), token.to_be_bytes());
            let from = token as usize * 1000;
            assert!(read_exact(&mut peer, 1_000_000) == content[from..from + 1_000_000]);
        }));
    }
    for reader in readers {
        reader.join().expect("reads");
    }
    let mut reports = bench.reports(20);
    reports.sort_unstable();
    assert_eq!(reports, (0..20).map(|token| (token, 0)).collect::<Vec<_>>());
}

#[test]
fn what_is_in_memory_is_sent_at_once_and_the_rest_by_the_thread() {
    let bench = Bench::new();
    let content = pattern(1_500_000);
    let on_disk = file(&content);
    let in_memory = Arc::new(Memory(content.clone())) as Arc<dyn SliceSource>;
    // Where the kernel has no cachestat, the thread does it all: the bytes and the single report are the same.
    let can_tell = calls::cached_page_count(
        on_disk.file().expect("a file").as_raw_fd(),
        0,
        content.len() as u64,
    )
    .is_ok();
    let job = |token, source: &Arc<dyn SliceSource>, length| SendJob {
        token,
        head: b"head".to_vec(),
        parts: vec![Part::Head(0..4), slice(source, 10, length)],
    };
    let expect = |peer: &mut TcpStream, length: usize| {
        assert_eq!(read_exact(peer, 4), b"head");
        assert!(read_exact(peer, length) == content[10..10 + length]);
    };

    let (socket, mut peer) = connection();
    let outcome = bench.sender.send(socket.as_raw_fd(), job(1, &on_disk, 5000), &bench.outbox);
    assert_eq!(outcome, can_tell.then_some(0));
    if outcome.is_none() {
        assert_eq!(bench.reports(1), [(1, 0)]);
    }
    expect(&mut peer, 5000);

    // More than the socket takes at once: begun here, ended there, every byte once.
    crate::set_send_buffer_bytes(socket.as_raw_fd(), 32 * 1024).expect("sets");
    let length = 1_400_000;
    let outcome =
        bench.sender.send(socket.as_raw_fd(), job(2, &on_disk, length as u64), &bench.outbox);
    assert_eq!(outcome, None);
    expect(&mut peer, length);
    assert_eq!(bench.reports(1), [(2, 0)]);

    // A source that is no file is never read on the calling thread.
    assert_eq!(bench.sender.send(socket.as_raw_fd(), job(3, &in_memory, 10), &bench.outbox), None);
    expect(&mut peer, 10);
    assert_eq!(bench.reports(1), [(3, 0)]);

    // A socket that cannot be sent on: over at once, or reported, never both.
    socket.shutdown(Shutdown::Write).expect("shuts down");
    let outcome = bench.sender.send(socket.as_raw_fd(), job(4, &on_disk, 10), &bench.outbox);
    match outcome {
        Some(status) => assert_eq!(status, libc::EPIPE),
        None => assert_eq!(bench.reports(1), [(4, libc::EPIPE)]),
    }
    assert_eq!(bench.outbox.drain(10, |_, _| {}), 0);
}
