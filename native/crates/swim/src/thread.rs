//! The thread that drives the machine: one UDP socket, one loop.
//!
//! Each round: wait for a packet until the next deadline, take all packets that are there (they go before timers, so that after a pause an answer
//! counts before the question is given up), do what is due, look at the signs of life, send. The machine is behind a lock, which callers take for as long
//! as it takes to copy a list of members.
//!
//! Nothing in here takes the process down: a panic ends the thread, and the state says so.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::config::SwimConfig;
use crate::envelope::PACKET_BYTES_MAX;
use crate::events::{MemberView, RefusalNotice, SwimEvent};
use crate::health::{HealthLimits, HealthWatch, Tokens, Unhealthy, start_disk_probe};
use crate::machine::{Counters, Membership, Now, Output, Presence, SwimCore};

/// Longest wait, so that what callers ask for and a stop are seen soon.
const WAIT_MAX: Duration = Duration::from_millis(20);
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Packets taken in a round before timers have their turn.
const PACKETS_PER_ROUND: usize = 1024;
/// Events and notices kept for a caller that does not drain them.
const KEPT_MAX: usize = 10_000;

/// What to start.
#[derive(Debug, Clone)]
pub struct SwimOptions {
    /// `address` is what peers are told; a port of 0 stands for the bound one, an unspecified address for the one from which the first seed is reached.
    pub membership: Membership,
    pub config: SwimConfig,
    pub bind: SocketAddr,
    pub seed: u64,
    pub limits: HealthLimits,
    pub disk_probe_directory: Option<PathBuf>,
}

/// What has become of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    Running,
    Unhealthy(Unhealthy),
    Left,
    Stopped,
    Failed,
}

/// Called from the thread when something waits to be drained, once until it is.
pub type Wake = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Inbox {
    events: VecDeque<SwimEvent>,
    refusals: VecDeque<RefusalNotice>,
}

fn keep<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() >= KEPT_MAX {
        queue.pop_front();
    }
    queue.push_back(item);
}

struct Shared {
    core: Mutex<SwimCore>,
    inbox: Mutex<Inbox>,
    tokens: Arc<Tokens>,
    origin: Instant,
    state: Mutex<ThreadState>,
    wake: Wake,
    is_told: AtomicBool,
    is_stopping: AtomicBool,
    send_errors: AtomicU64,
    unhealthy_count: AtomicU64,
    lateness_ms_max: AtomicU64,
}

impl Shared {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { elapsed: self.origin.elapsed(), wall_ms: wall.as_millis() as u64 }
    }

    fn tell(&self) {
        if !self.is_told.swap(true, Ordering::SeqCst) {
            (self.wake)();
        }
    }
}

/// A running membership.
pub struct SwimThread {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Counters of the thread, beside those of the machine.
#[derive(Debug, Clone)]
pub struct ThreadStatistics {
    pub state: ThreadState,
    pub core: Counters,
    pub send_errors: u64,
    pub unhealthy_count: u64,
    pub lateness_ms_max: u64,
}

impl SwimThread {
    /// Binds the socket and starts the thread.
    pub fn start(options: SwimOptions, wake: Wake) -> io::Result<Self> {
        let SwimOptions { mut membership, config, bind, seed, limits, disk_probe_directory } =
            options;
        let socket = UdpSocket::bind(bind)?;
        if membership.address.port() == 0 {
            membership.address.set_port(socket.local_addr()?.port());
        }
        if membership.address.ip().is_unspecified() {
            membership.address.set_ip(own_address(bind, &membership.seeds));
        }
        let address = membership.address;
        let origin = Instant::now();
        let tokens = Arc::new(Tokens::new(origin));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Now { elapsed: Duration::ZERO, wall_ms: wall.as_millis() as u64 };
        let shared = Arc::new(Shared {
            core: Mutex::new(SwimCore::new(membership, config, seed, now)),
            inbox: Mutex::default(),
            tokens: tokens.clone(),
            origin,
            state: Mutex::new(ThreadState::Running),
            wake,
            is_told: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            send_errors: AtomicU64::new(0),
            unhealthy_count: AtomicU64::new(0),
            lateness_ms_max: AtomicU64::new(0),
        });
        if let Some(directory) = disk_probe_directory {
            start_disk_probe(directory, tokens)?;
        }
        let worker = Worker {
            shared: shared.clone(),
            socket,
            health: HealthWatch::new(limits, origin.elapsed()),
        };
        let thread =
            std::thread::Builder::new().name("swim".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared, address, thread: Mutex::new(Some(thread)) })
    }

    /// What peers are told.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The event loop lives.
    pub fn beat(&self) {
        self.shared.tokens.beat();
    }

    /// A disk write has completed.
    pub fn disk_beat(&self) {
        self.shared.tokens.disk_beat();
    }

    pub fn members(&self) -> Vec<MemberView> {
        self.shared.core.lock().members().cloned().collect()
    }

    /// Takes the events since the last call.
    pub fn drain_events(&self) -> Vec<SwimEvent> {
        self.shared.is_told.store(false, Ordering::SeqCst);
        self.shared.inbox.lock().events.drain(..).collect()
    }

    /// Takes the notices of refused packets since the last call.
    pub fn drain_refusals(&self) -> Vec<RefusalNotice> {
        self.shared.inbox.lock().refusals.drain(..).collect()
    }

    pub fn set_seeds(&self, seeds: Vec<SocketAddr>) {
        self.shared.core.lock().set_seeds(seeds);
    }

    pub fn state(&self) -> ThreadState {
        *self.shared.state.lock()
    }

    pub fn statistics(&self) -> ThreadStatistics {
        ThreadStatistics {
            state: self.state(),
            core: self.shared.core.lock().counters().clone(),
            send_errors: self.shared.send_errors.load(Ordering::Relaxed),
            unhealthy_count: self.shared.unhealthy_count.load(Ordering::Relaxed),
            lateness_ms_max: self.shared.lateness_ms_max.load(Ordering::Relaxed),
        }
    }

    /// Says good-bye and returns when that is done, after about 150 ms; at once when the thread has ended.
    pub fn leave(&self) {
        let now = self.shared.now();
        self.shared.core.lock().leave(now);
        while matches!(self.state(), ThreadState::Running | ThreadState::Unhealthy(_)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the thread, without a word to anyone, and returns when it has ended.
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.tokens.end();
        if let Some(thread) = self.thread.lock().take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for SwimThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The address that packets to the first seed leave from. Connecting a UDP socket sends nothing.
fn own_address(bind: SocketAddr, seeds: &[SocketAddr]) -> IpAddr {
    let outward = seeds.iter().find_map(|seed| {
        let any = if seed.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(seed).ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_unspecified()).then_some(own)
    });
    outward.unwrap_or(if !bind.ip().is_unspecified() {
        bind.ip()
    } else if bind.is_ipv4() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    })
}

struct Worker {
    shared: Arc<Shared>,
    socket: UdpSocket,
    health: HealthWatch,
}

impl Worker {
    fn run(mut self) {
        let shared = self.shared.clone();
        let ended = catch_unwind(AssertUnwindSafe(|| self.rounds()));
        let state = if ended.is_ok() { ThreadState::Stopped } else { ThreadState::Failed };
        *shared.state.lock() = state;
        shared.tell();
    }

    fn rounds(&mut self) {
        let mut buffer = [0_u8; PACKET_BYTES_MAX + 1];
        while !self.shared.is_stopping.load(Ordering::SeqCst) {
            self.receive(&mut buffer);
            self.act();
        }
    }

    /// Waits for packets, and takes those that are there.
    fn receive(&self, buffer: &mut [u8]) {
        let deadline = self.shared.core.lock().next_deadline();
        let wait = deadline.saturating_sub(self.shared.origin.elapsed());
        let wait = wait.clamp(WAIT_MIN, WAIT_MAX);
        let is_ready = self
            .socket
            .set_nonblocking(false)
            .and_then(|()| self.socket.set_read_timeout(Some(wait)))
            .is_ok();
        if !is_ready {
            std::thread::sleep(wait);
        }
        for round in 0..PACKETS_PER_ROUND {
            match self.socket.recv_from(buffer) {
                Ok((length, from)) => {
                    let Some(bytes) = buffer.get(..length) else { continue };
                    let now = self.shared.now();
                    self.shared.core.lock().handle_packet(now, bytes, from);
                }
                Err(error) => {
                    let is_empty = matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    );
                    if !is_empty {
                        // An error that stays must not become a busy loop.
                        std::thread::sleep(WAIT_MIN);
                    }
                    return;
                }
            }
            if round == 0 && self.socket.set_nonblocking(true).is_err() {
                return;
            }
        }
    }

    /// What is due, the signs of life, and what has to go out.
    fn act(&mut self) {
        let shared = &self.shared;
        let now = shared.now();
        let unhealthy = self.health.look(&shared.tokens, now.elapsed);
        let (outputs, presence) = {
            let mut core = shared.core.lock();
            let late = now.elapsed.saturating_sub(core.next_deadline());
            shared.lateness_ms_max.fetch_max(late.as_millis() as u64, Ordering::Relaxed);
            core.set_healthy(now, unhealthy.is_none());
            if core.next_deadline() <= now.elapsed {
                core.handle_timer(now);
            }
            (core.poll_outputs(), core.presence())
        };
        let state = match (presence, unhealthy) {
            (Presence::Gone, _) => ThreadState::Left,
            (Presence::Unhealthy, Some(reason)) => ThreadState::Unhealthy(reason),
            _ => ThreadState::Running,
        };
        let mut has_news = false;
        {
            let mut current = shared.state.lock();
            if *current != state {
                if *current == ThreadState::Running && presence == Presence::Unhealthy {
                    shared.unhealthy_count.fetch_add(1, Ordering::Relaxed);
                }
                *current = state;
                has_news = true;
            }
        }
        for output in outputs {
            match output {
                Output::Packet { to, bytes } => {
                    if self.socket.send_to(&bytes, to).is_err() {
                        shared.send_errors.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Output::Event(event) => {
                    keep(&mut shared.inbox.lock().events, event);
                    has_news = true;
                }
                Output::Refused(notice) => {
                    keep(&mut shared.inbox.lock().refusals, notice);
                    has_news = true;
                }
            }
        }
        if has_news {
            shared.tell();
        }
    }
}
