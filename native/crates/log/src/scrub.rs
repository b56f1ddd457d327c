//! The background check: a thread that reads every segment again and again, slowly, and compares it with itself.
//!
//! It has its own descriptors and the lowest disk priority, reads at a steady pace, and drops from the page cache what it brought in. What is
//! in the cache already is checked as it is there: readers are served from the same pages. A pass begins anew at each start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::config::StoreOptions;
use crate::integrity::{Finding, Integrity};
use crate::io::{OpenMode, StoreFile};
use crate::partition::PartitionLog;
use crate::segment::Segment;

/// Longest wait before the first pass of a process: short-lived ones are left alone.
const FIRST_WAIT: Duration = Duration::from_secs(60);

/// What `LogManager::scrub_status` answers.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubStatus {
    /// Whether it runs at all.
    pub is_enabled: bool,
    /// Passes over everything since the start.
    pub passes: u64,
    /// Bytes read since the start.
    pub bytes: u64,
    /// Partition under the eye; empty between two passes.
    pub current_partition: String,
    /// When the last pass ended, in ms since 1970; -1 for never.
    pub last_pass_ended_ms: i64,
    /// Findings of everybody since the start, also those no longer kept.
    pub finding_count: u64,
    /// The findings after the id that was asked for, oldest first; at most 1000 are kept.
    pub findings: Vec<Finding>,
}

#[derive(Default)]
struct Shared {
    is_stopped: Mutex<bool>,
    wake: Condvar,
    passes: AtomicU64,
    bytes: AtomicU64,
    last_pass_ended_ms: AtomicI64,
    has_ended_one: AtomicBool,
    current: Mutex<String>,
}

impl Shared {
    /// Sleeps, unless it is over; answers whether to go on.
    fn wait(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut is_stopped = self.is_stopped.lock();
        while !*is_stopped {
            if self.wake.wait_until(&mut is_stopped, deadline).timed_out() {
                break;
            }
        }
        !*is_stopped
    }
}

pub(crate) struct Scrub {
    bytes_per_second: u64,
    interval: Duration,
    is_enabled: bool,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The partitions to check, or none when the store is gone.
type Partitions = Option<Vec<Arc<PartitionLog>>>;

impl Scrub {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        Self {
            bytes_per_second: options.scrub_bytes_per_second.max(0) as u64,
            interval: Duration::from_millis(options.scrub_interval_ms.clamp(0, 1 << 40) as u64),
            is_enabled: options.scrub_bytes_per_second > 0
                && options.scrub_interval_ms > 0
                && !options.in_memory,
            shared: Arc::default(),
            thread: Mutex::new(None),
        }
    }

    pub(crate) fn start(
        &self,
        partitions: impl Fn() -> Partitions + Send + 'static,
    ) -> io::Result<()> {
        if !self.is_enabled {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let (bytes_per_second, interval) = (self.bytes_per_second, self.interval);
        let run = move || {
            // Without it the pace alone keeps the check out of the way.
            let _ = sluice_sys::use_idle_disk_only();
            if !shared.wait(interval.min(FIRST_WAIT)) {
                return;
            }
            while let Some(all) = partitions() {
                let mut pace = Pace::new(&shared, bytes_per_second);
                for log in all {
                    shared.current.lock().clone_from(&format!(
                        "{}-{}",
                        log.topic(),
                        log.partition()
                    ));
                    if !check_partition(&log, &mut pace) {
                        return;
                    }
                }
                shared.current.lock().clear();
                shared.passes.fetch_add(1, Ordering::Relaxed);
                shared.last_pass_ended_ms.store(now_ms(), Ordering::Relaxed);
                shared.has_ended_one.store(true, Ordering::Relaxed);
                if !shared.wait(interval) {
                    return;
                }
            }
        };
        *self.thread.lock() =
            Some(std::thread::Builder::new().name("log-scrub".to_owned()).spawn(run)?);
        Ok(())
    }

    pub(crate) fn stop(&self) {
        *self.shared.is_stopped.lock() = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // The last owner of the store may be this very thread.
            if thread.thread().id() != std::thread::current().id() {
                // A panic there was a bug; nothing depends on the check.
                let _ = thread.join();
            }
        }
    }

    pub(crate) fn status(&self, integrity: &Integrity, after_id: u64) -> ScrubStatus {
        let shared = &self.shared;
        ScrubStatus {
            is_enabled: self.is_enabled,
            passes: shared.passes.load(Ordering::Relaxed),
            bytes: shared.bytes.load(Ordering::Relaxed),
            current_partition: shared.current.lock().clone(),
            last_pass_ended_ms: if shared.has_ended_one.load(Ordering::Relaxed) {
                shared.last_pass_ended_ms.load(Ordering::Relaxed)
            } else {
                -1
            },
            finding_count: integrity.count(),
            findings: integrity.after(after_id),
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// Checks all segments of a partition; answers whether to go on.
fn check_partition(log: &Arc<PartitionLog>, pace: &mut Pace<'_>) -> bool {
    if log.quarantined().is_some() || log.home().is_poisoned() {
        return true;
    }
    for segment in log.segments() {
        if log.is_gone() {
            break;
        }
        match check_one(log, &segment, pace) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => log.report_unreadable(&segment, &error, "scrub"),
        }
    }
    // Each partition takes a moment, however small it is.
    pace.read(0)
}

fn check_one(
    log: &Arc<PartitionLog>,
    segment: &Arc<Segment>,
    pace: &mut Pace<'_>,
) -> io::Result<bool> {
    if segment.size() == 0 {
        return Ok(true);
    }
    let file = log.store().files().open(&segment.log_path(), OpenMode::Read)?;
    if let Some(file) = file.as_file() {
        // Pages read ahead would look like a client's.
        let _ = sluice_sys::without_read_ahead(file);
    }
    let file: Arc<dyn StoreFile> = Arc::new(Passing(file));
    let mut last = 0;
    log.examine_file(segment, &file, "scrub", &mut |position| {
        let bytes = position.saturating_sub(last);
        last = position;
        pace.read(bytes)
    })
}

/// A file whose reads leave the page cache alone.
struct Passing(Arc<dyn StoreFile>);

impl StoreFile for Passing {
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_in_passing(into, position)
    }

    fn write_at(&self, _bytes: &[u8], _position: u64) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn set_length(&self, _length: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.0.forget_cached()
    }

    fn as_file(&self) -> Option<&std::fs::File> {
        None
    }
}

/// Bytes a second, in steps of a tenth.
struct Pace<'a> {
    shared: &'a Shared,
    bytes_per_second: u64,
    started: Instant,
    done: u64,
    pending: u64,
}

impl<'a> Pace<'a> {
    fn new(shared: &'a Shared, bytes_per_second: u64) -> Self {
        Self { shared, bytes_per_second, started: Instant::now(), done: 0, pending: 0 }
    }

    /// Notes what was read and waits its time; answers whether to go on.
    fn read(&mut self, bytes: u64) -> bool {
        self.pending += bytes;
        if self.pending < self.bytes_per_second / 10 && bytes > 0 {
            return true;
        }
        self.done += self.pending;
        self.shared.bytes.fetch_add(self.pending, Ordering::Relaxed);
        self.pending = 0;
        let due = Duration::from_secs_f64(self.done as f64 / self.bytes_per_second.max(1) as f64);
        self.shared.wait(due.saturating_sub(self.started.elapsed()))
    }
}
