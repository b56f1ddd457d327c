//! Three threads with real sockets on the loopback interface. Conditions are awaited, never times: the machine may be busy.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluice_swim::health::HealthLimits;
use sluice_swim::machine::Membership;
use sluice_swim::{
    EventKind, MemberState, Profile, Reason, Refusal, SwimConfig, SwimEvent, SwimOptions,
    SwimThread, ThreadState, Unhealthy,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Patient with a machine that does other things: silence of 2.5 s.
fn config() -> SwimConfig {
    SwimConfig { suspect_to_down_after: Duration::from_secs(2), ..SwimConfig::of(Profile::Default) }
}

fn options(node_id: i32, ip: IpAddr, seeds: &[SocketAddr]) -> SwimOptions {
    SwimOptions {
        membership: Membership {
            node_id,
            incarnation_id: [node_id as u8 + 1; 16],
            cluster_id: "loopback".to_owned(),
            secret: b"secret".to_vec(),
            address: SocketAddr::new(ip, 0),
            seeds: seeds.to_vec(),
        },
        config: config(),
        bind: SocketAddr::new(ip, 0),
        seed: node_id as u64,
        limits: HealthLimits { event_loop: PATIENCE * 2, disk: PATIENCE * 2 },
        disk_probe_directory: None,
    }
}

fn start(options: SwimOptions) -> SwimThread {
    SwimThread::start(options, Box::new(|| {})).unwrap()
}

fn state_of(thread: &SwimThread, node_id: i32) -> Option<MemberState> {
    thread.members().iter().find(|member| member.node_id == node_id).map(|member| member.state)
}

fn three() -> [SwimThread; 3] {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let first = start(options(0, localhost, &[]));
    let seeds = [first.address()];
    let rest = [1, 2].map(|id| start(options(id, localhost, &seeds)));
    let [second, third] = rest;
    let all = [first, second, third];
    until("all see all", || {
        (0..3).all(|at| {
            (0..3).all(|of| at == of || state_of(&all[at], of as i32) == Some(MemberState::Alive))
        })
    });
    all
}

#[test]
fn a_stopped_thread_is_down_and_one_that_leaves_has_left() {
    let [first, second, third] = three();
    first.drain_events();
    third.stop();
    assert_eq!(third.state(), ThreadState::Stopped);
    let mut events: Vec<SwimEvent> = Vec::new();
    until("node 2 is down", || {
        events.extend(first.drain_events());
        events.iter().any(|event| event.node_id == 2 && event.kind == EventKind::Down)
    });
    second.leave();
    assert_eq!(second.state(), ThreadState::Left);
    until("node 1 has left", || {
        events.extend(first.drain_events());
        events.iter().any(|event| event.node_id == 1 && event.kind == EventKind::Left)
    });
    let left = events.iter().find(|event| event.node_id == 1 && event.kind == EventKind::Left);
    assert_eq!(left.and_then(|event| event.reason), Some(Reason::Left));
}

#[test]
fn a_hung_event_loop_is_not_vouched_for_until_it_moves_again() {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let first = start(options(0, localhost, &[]));
    let mut with_limit = options(1, localhost, &[first.address()]);
    with_limit.limits.event_loop = Duration::from_millis(300);
    let told = Arc::new(AtomicUsize::new(0));
    let counted = told.clone();
    let wake = Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let second = Arc::new(SwimThread::start(with_limit, wake).unwrap());
    let is_hung = Arc::new(AtomicBool::new(false));
    let is_over = Arc::new(AtomicBool::new(false));
    let event_loop = std::thread::spawn({
        let (second, is_hung, is_over) = (second.clone(), is_hung.clone(), is_over.clone());
        move || {
            while !is_over.load(Ordering::SeqCst) {
                if !is_hung.load(Ordering::SeqCst) {
                    second.beat();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    until("node 0 sees node 1", || state_of(&first, 1) == Some(MemberState::Alive));
    is_hung.store(true, Ordering::SeqCst);
    until("node 0 sees node 1 leave", || {
        state_of(&first, 1) == Some(MemberState::Left(Reason::Unhealthy))
    });
    assert_eq!(second.state(), ThreadState::Unhealthy(Unhealthy::EventLoop));
    assert!(second.statistics().unhealthy_count >= 1);
    assert!(told.load(Ordering::SeqCst) > 0, "the event loop is told, should it listen again");
    is_hung.store(false, Ordering::SeqCst);
    until("node 0 sees node 1 again", || state_of(&first, 1) == Some(MemberState::Alive));
    until("node 1 runs", || second.state() == ThreadState::Running);
    is_over.store(true, Ordering::SeqCst);
    event_loop.join().unwrap();
}

#[test]
fn a_stuck_disk_is_not_vouched_for() {
    let mut with_limit = options(1, IpAddr::V4(Ipv4Addr::LOCALHOST), &[]);
    with_limit.limits.disk = Duration::from_millis(300);
    let thread = start(with_limit);
    thread.disk_beat();
    until("the disk is missed", || thread.state() == ThreadState::Unhealthy(Unhealthy::Disk));
    thread.disk_beat();
    until("it is back", || thread.state() == ThreadState::Running);
}

#[test]
fn strangers_are_counted_and_change_nothing() {
    let [first, second, _third] = three();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 72, 73, 600, 1400, 1401, 9000] {
        stranger.send_to(&vec![0x53; length], first.address()).unwrap();
    }
    let refused =
        |reason: Refusal| first.statistics().core.refused.get(&reason).copied().unwrap_or_default();
    until("all are refused", || {
        refused(Refusal::TooLarge) == 2 && refused(Refusal::Malformed) == 6
    });
    let mut notices = first.drain_refusals();
    notices.sort_by_key(|notice| notice.reason);
    let reasons: Vec<Refusal> = notices.iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, [Refusal::TooLarge, Refusal::Malformed]);
    assert_eq!(notices[0].from, stranger.local_addr().unwrap());
    assert_eq!(state_of(&first, 1), Some(MemberState::Alive));
    assert_eq!(state_of(&second, 0), Some(MemberState::Alive));
}

#[test]
fn another_secret_is_another_cluster() {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let first = start(options(0, localhost, &[]));
    let mut other = options(1, localhost, &[first.address()]);
    other.membership.secret = b"other".to_vec();
    let _second = start(other);
    until("it is refused", || {
        first.statistics().core.refused.get(&Refusal::Forged).copied().unwrap_or(0) > 3
    });
    assert!(first.members().is_empty());
}

#[test]
fn two_find_each_other_over_version_six() {
    let localhost = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if UdpSocket::bind((localhost, 0)).is_err() {
        eprintln!("skipped: no IPv6 here");
        return;
    }
    let first = start(options(0, localhost, &[]));
    let second = start(options(1, localhost, &[first.address()]));
    until("both see each other", || {
        state_of(&first, 1) == Some(MemberState::Alive)
            && state_of(&second, 0) == Some(MemberState::Alive)
    });
}

#[test]
fn an_unspecified_address_becomes_the_one_towards_the_seeds() {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let seed = SocketAddr::from(([127, 0, 0, 1], 9));
    assert_eq!(start(options(0, any, &[seed])).address().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert_eq!(start(options(0, any, &[])).address().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut options = options(0, IpAddr::V4(Ipv4Addr::LOCALHOST), &[]);
    options.bind = taken.local_addr().unwrap();
    assert!(SwimThread::start(options, Box::new(|| {})).is_err());
}
