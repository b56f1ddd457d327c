//! Signs of life of the process: without them the membership thread, which needs neither the event loop nor the disk, would vouch for a process in
//! which both hang.
//!
//! A token is the time of its last move. The event loop moves its own every 100 ms; the disk's moves when a write completes, or when the
//! probe here, which writes and flushes a few bytes each second, comes back. A thread that was itself stopped (SIGSTOP, a starved host) cannot
//! tell who else was: for it ages begin anew when it runs again.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Which token is overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unhealthy {
    EventLoop,
    Disk,
}

/// How old the tokens may be.
#[derive(Debug, Clone, Copy)]
pub struct HealthLimits {
    pub event_loop: Duration,
    pub disk: Duration,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self { event_loop: Duration::from_secs(2), disk: Duration::from_secs(5) }
    }
}

/// A pause of the watching thread that makes ages begin anew.
const PAUSE: Duration = Duration::from_millis(500);
const PROBE_PERIOD: Duration = Duration::from_secs(1);
const PROBE_FILE: &str = ".sluice-disk-probe";
/// No sign of life was ever given.
const NEVER: u64 = 0;

/// The tokens, shared by those who move them and the one who watches.
#[derive(Debug)]
pub struct Tokens {
    origin: Instant,
    /// Milliseconds since `origin`, plus one.
    event_loop: AtomicU64,
    disk: AtomicU64,
    is_over: AtomicBool,
}

impl Tokens {
    /// The event loop has just given a sign of life; the disk is not watched before its first.
    pub fn new(origin: Instant) -> Self {
        let tokens = Self {
            origin,
            event_loop: AtomicU64::new(NEVER),
            disk: AtomicU64::new(NEVER),
            is_over: AtomicBool::new(false),
        };
        tokens.beat();
        tokens
    }

    fn stamp(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64 + 1
    }

    /// The event loop lives.
    pub fn beat(&self) {
        self.event_loop.store(self.stamp(), Ordering::Relaxed);
    }

    /// A disk write has completed.
    pub fn disk_beat(&self) {
        self.disk.store(self.stamp(), Ordering::Relaxed);
    }

    /// Ends the probe, when it comes back.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Watches tokens.
#[derive(Debug)]
pub(crate) struct HealthWatch {
    limits: HealthLimits,
    looked_at: Duration,
    /// End of the last pause of our own.
    resumed_at: Duration,
}

impl HealthWatch {
    pub(crate) fn new(limits: HealthLimits, elapsed: Duration) -> Self {
        Self { limits, looked_at: elapsed, resumed_at: elapsed }
    }

    /// Call it several times a second. `elapsed` is since the tokens' origin.
    pub(crate) fn look(&mut self, tokens: &Tokens, elapsed: Duration) -> Option<Unhealthy> {
        if elapsed.saturating_sub(self.looked_at) > PAUSE {
            self.resumed_at = elapsed;
        }
        self.looked_at = elapsed;
        let is_overdue = |stamp: &AtomicU64, limit: Duration| {
            let stamp = stamp.load(Ordering::Relaxed);
            let moved_at = Duration::from_millis(stamp.saturating_sub(1)).max(self.resumed_at);
            stamp != NEVER && elapsed.saturating_sub(moved_at) > limit
        };
        if is_overdue(&tokens.event_loop, self.limits.event_loop) {
            Some(Unhealthy::EventLoop)
        } else if is_overdue(&tokens.disk, self.limits.disk) {
            Some(Unhealthy::Disk)
        } else {
            None
        }
    }
}

/// Starts the thread that writes and flushes a few bytes in `directory` each second. It is never waited for: it may hang in the disk.
/// A write that fails is a sign of life too: the disk answers, and what it answers is for the log to deal with.
pub(crate) fn start_disk_probe(directory: PathBuf, tokens: Arc<Tokens>) -> std::io::Result<()> {
    std::thread::Builder::new().name("disk-probe".to_owned()).spawn(move || {
        let path = directory.join(PROBE_FILE);
        while !tokens.is_over.load(Ordering::Relaxed) {
            let _outcome = probe(&path);
            tokens.disk_beat();
            std::thread::sleep(PROBE_PERIOD);
        }
    })?;
    Ok(())
}

fn probe(path: &PathBuf) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(b"alive\n")?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HealthLimits =
        HealthLimits { event_loop: Duration::from_secs(2), disk: Duration::from_secs(5) };

    /// Tokens whose clock is at `elapsed` now.
    fn tokens_at(elapsed: Duration) -> Tokens {
        Tokens::new(Instant::now().checked_sub(elapsed).unwrap())
    }

    fn watch_until(watch: &mut HealthWatch, tokens: &Tokens, from_ms: u64, to_ms: u64) -> Vec<u64> {
        (from_ms..to_ms)
            .step_by(50)
            .filter(|ms| watch.look(tokens, Duration::from_millis(*ms)).is_some())
            .collect()
    }

    #[test]
    fn an_event_loop_is_overdue_after_its_limit() {
        let start = Duration::from_secs(10);
        let tokens = tokens_at(start);
        let mut watch = HealthWatch::new(LIMITS, start);
        let overdue = watch_until(&mut watch, &tokens, 10_000, 14_000);
        let first = *overdue.first().unwrap();
        assert!((12_000..12_500).contains(&first), "{first}");
        assert_eq!(watch.look(&tokens, Duration::from_secs(14)), Some(Unhealthy::EventLoop));
        // The clock of the tokens stands at about 10 s: a beat now is from then.
        let fresh = tokens_at(Duration::from_secs(14));
        assert_eq!(watch.look(&fresh, Duration::from_millis(14_050)), None);
    }

    #[test]
    fn a_disk_is_watched_from_its_first_beat() {
        let tokens = tokens_at(Duration::from_secs(10));
        let mut watch = HealthWatch::new(LIMITS, Duration::from_secs(10));
        watch_until(&mut watch, &tokens, 10_000, 20_000);
        tokens.event_loop.store(20_000, Ordering::Relaxed);
        assert_eq!(watch.look(&tokens, Duration::from_millis(20_050)), None);
        tokens.disk.store(10_000, Ordering::Relaxed);
        assert_eq!(watch.look(&tokens, Duration::from_millis(20_100)), Some(Unhealthy::Disk));
    }

    #[test]
    fn who_was_stopped_does_not_blame_others() {
        let tokens = tokens_at(Duration::from_secs(1));
        let mut watch = HealthWatch::new(LIMITS, Duration::from_secs(1));
        assert_eq!(watch.look(&tokens, Duration::from_secs(60)), None, "just resumed");
        let overdue = watch_until(&mut watch, &tokens, 60_000, 63_000);
        assert!(*overdue.first().unwrap() > 62_000);
    }

    #[test]
    fn the_probe_beats_while_the_disk_answers() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Arc::new(Tokens::new(Instant::now()));
        start_disk_probe(directory.path().to_owned(), tokens.clone()).unwrap();
        while tokens.disk.load(Ordering::Relaxed) == NEVER {
            std::thread::sleep(Duration::from_millis(5));
        }
        tokens.end();
        assert!(directory.path().join(PROBE_FILE).exists());
    }
}
