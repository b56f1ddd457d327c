//! One log directory: its identity, whether it still can be trusted, its group-commit thread, and the files that wait to be
//! removed.
//!
//! Group commit: whoever needs records on disk asks for a sync and goes on; the thread takes all partitions that asked, syncs
//! each once for everything appended meanwhile, moves their flushed offsets and tells their listeners. A failed sync poisons the
//! directory for good: after an error the kernel calls the pages clean, so a second sync that succeeds would prove nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::LogError;
use crate::partition::PartitionLog;
use crate::segment::Store;

pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) store: Arc<Store>,
    is_poisoned: AtomicBool,
    failure: RwLock<Option<String>>,
    queue: Mutex<Queue>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    is_stopped: bool,
    syncs: Vec<Arc<PartitionLog>>,
    removals: Vec<Removal>,
    /// Partitions with `flush.ms`.
    timed: Vec<Weak<PartitionLog>>,
}

struct Removal {
    due: Instant,
    path: PathBuf,
    is_directory: bool,
}

impl Directory {
    pub(crate) fn new(path: PathBuf, store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self {
            path,
            store,
            is_poisoned: AtomicBool::new(false),
            failure: RwLock::new(None),
            queue: Mutex::default(),
            wake: Condvar::new(),
            thread: Mutex::new(None),
        })
    }

    /// Starts the group-commit thread.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let directory = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(move || directory.run())?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Stops the thread once it did what is queued.
    pub(crate) fn stop(&self) {
        self.queue.lock().is_stopped = true;
        self.wake.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic there was a bug; the directory is not trusted further, but stopping goes on.
            if thread.join().is_err() {
                self.poison("the sync thread panicked");
            }
        }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.read().clone()
    }

    /// From now on nothing is written here.
    pub(crate) fn poison(&self, why: &str) {
        let mut failure = self.failure.write();
        if failure.is_none() {
            *failure = Some(why.to_owned());
        }
        self.is_poisoned.store(true, Ordering::Release);
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        if !self.is_poisoned() {
            return Ok(());
        }
        let why = self.failure().unwrap_or_default();
        Err(LogError::new(
            LogError::LOG_POISONED,
            format!("{} refuses writes until restart: {why}", self.path.display()),
        ))
    }

    /// Queues a partition for the next group commit. The caller made sure that it is not queued.
    pub(crate) fn request_sync(&self, log: Arc<PartitionLog>) {
        let mut queue = self.queue.lock();
        let was_empty = queue.syncs.is_empty();
        queue.syncs.push(log);
        drop(queue);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Watches a partition that has `flush.ms`.
    pub(crate) fn watch_time(&self, log: Weak<PartitionLog>) {
        let mut queue = self.queue.lock();
        queue.timed.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&log));
        queue.timed.push(log);
        drop(queue);
        self.wake.notify_one();
    }

    /// Removes a file or directory after a delay.
    pub(crate) fn remove_later(&self, path: PathBuf, is_directory: bool, delay_ms: i64) {
        let delay = Duration::from_millis(delay_ms.clamp(0, 1 << 40) as u64);
        let due = Instant::now() + delay;
        self.queue.lock().removals.push(Removal { due, path, is_directory });
        self.wake.notify_one();
    }

    /// Removes what is due now.
    pub(crate) fn remove_due(&self) {
        let now = Instant::now();
        let due: Vec<Removal> = {
            let mut queue = self.queue.lock();
            let all = std::mem::take(&mut queue.removals);
            let (due, later) = all.into_iter().partition(|removal| removal.due <= now);
            queue.removals = later;
            due
        };
        for removal in due {
            let files = self.store.files();
            // What cannot be removed is found and removed by the next start.
            let _ = if removal.is_directory {
                files.remove_directory(&removal.path)
            } else {
                files.remove_file(&removal.path)
            };
        }
    }

    fn run(&self) {
        loop {
            let (syncs, timed, is_stopped) = {
                let mut queue = self.queue.lock();
                if queue.syncs.is_empty() && !queue.is_stopped {
                    match next_wait(&queue) {
                        Some(wait) => {
                            self.wake.wait_for(&mut queue, wait);
                        }
                        None => self.wake.wait(&mut queue),
                    }
                }
                queue.timed.retain(|log| log.strong_count() > 0);
                (std::mem::take(&mut queue.syncs), queue.timed.clone(), queue.is_stopped)
            };
            for log in syncs {
                // The failure is kept by the directory, and the listeners were told.
                let _ = log.sync();
            }
            for log in timed.iter().filter_map(Weak::upgrade) {
                if log.is_flush_due() {
                    let _ = log.sync();
                }
            }
            self.remove_due();
            if is_stopped {
                return;
            }
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.path).join(name)
    }
}

/// How long the thread may sleep; `None` until it is woken.
fn next_wait(queue: &Queue) -> Option<Duration> {
    let now = Instant::now();
    let removal =
        queue.removals.iter().map(|removal| removal.due.saturating_duration_since(now)).min();
    let timed = queue
        .timed
        .iter()
        .filter_map(Weak::upgrade)
        .map(|log| Duration::from_millis(log.config().flush_ms.clamp(20, 2000) as u64 / 2))
        .min();
    match (removal, timed) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
