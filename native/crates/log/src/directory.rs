//! One log directory: its identity, whether it still can be trusted, its group-commit thread, and the files that wait to be
//! removed.
//!
//! Group commit: whoever needs records on disk asks for a sync and goes on; the thread takes all partitions that asked, syncs
//! each once for everything appended meanwhile, moves their flushed offsets and tells their listeners. A failed sync poisons the
//! directory for good: after an error the kernel calls the pages clean, so a second sync that succeeds would prove nothing. A sync
//! that could not even begin, for want of a descriptor, is no such failure: it is tried again.
//!
//! Many partitions at once are synced by one call for the whole file system, where that is the cheaper way and tells of errors: two
//! thousand files and directories one after another take seconds, all of them together tens of milliseconds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::contention;
use crate::distrust;
use crate::error::LogError;
use crate::io::WholeSync;
use crate::partition::PartitionLog;
use crate::segment::Store;
use crate::space::DiskSpace;
use crate::types::TopicId;

/// Fewer partitions than this are always synced one by one.
const TOGETHER_MIN: usize = 16;
/// How long a sync waits that found no descriptor.
const RETRY_DELAY: Duration = Duration::from_millis(50);

pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) store: Arc<Store>,
    pub(crate) space: DiskSpace,
    /// Held from before the first write, so that no error is missed.
    whole: RwLock<Option<Box<dyn WholeSync>>>,
    costs: Mutex<Costs>,
    is_poisoned: AtomicBool,
    failure: RwLock<Option<String>>,
    queue: Mutex<Queue>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while checkpoints are written.
    pub(crate) checkpointing: Mutex<()>,
    /// The partitions that checkpoints speak of, or are about to, also those that are gone since.
    pub(crate) checkpointed: Mutex<BTreeSet<(String, i32)>>,
    /// A `partition.metadata` written lately: the other partitions of its topic get it as a second name, which takes no inode.
    pub(crate) metadata_file: Mutex<Option<(TopicId, PathBuf)>>,
}

#[derive(Default)]
struct Queue {
    is_stopped: bool,
    syncs: Vec<Arc<PartitionLog>>,
    /// Syncs that found no descriptor.
    retries: Vec<(Instant, Arc<PartitionLog>)>,
    removals: Vec<Removal>,
    /// Partitions with `flush.ms`.
    timed: Vec<Weak<PartitionLog>>,
}

struct Removal {
    due: Instant,
    path: PathBuf,
    is_directory: bool,
}

/// What syncing took lately, in seconds.
struct Costs {
    one: f64,
    together: f64,
}

impl Costs {
    fn is_together_cheaper(&mut self, count: usize) -> bool {
        if count < TOGETHER_MIN {
            return false;
        }
        let is_cheaper = self.one * count as f64 > self.together;
        if !is_cheaper {
            // Whatever made it dear, another program's writes say, may be over: it gets its next chance.
            self.together *= 0.9;
        }
        is_cheaper
    }
}

fn averaged(before: f64, now: f64) -> f64 {
    before.mul_add(0.75, now * 0.25)
}

impl Directory {
    pub(crate) fn new(path: PathBuf, store: Arc<Store>, reserve_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            path,
            store,
            space: DiskSpace::new(reserve_bytes),
            whole: RwLock::new(None),
            costs: Mutex::new(Costs { one: 0.002, together: 0.020 }),
            is_poisoned: AtomicBool::new(false),
            failure: RwLock::new(None),
            queue: Mutex::default(),
            wake: Condvar::new(),
            thread: Mutex::new(None),
            checkpointing: Mutex::new(()),
            checkpointed: Mutex::default(),
            metadata_file: Mutex::new(None),
        })
    }

    /// Starts the group-commit thread.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        *self.whole.write() = self.store.files().whole_sync(&self.path)?;
        self.sample_space();
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

    pub(crate) fn sample_space(&self) {
        self.space.sample(self.store.files(), &self.path);
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
            distrust::mark(self.store.files(), &self.path);
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

    /// Every lock of the directory, held: what appends and reads must do without.
    #[cfg(test)]
    pub(crate) fn hold_all(&self) -> impl Sized {
        (
            self.whole.write(),
            self.costs.lock(),
            self.failure.write(),
            self.queue.lock(),
            self.thread.lock(),
            self.metadata_file.lock(),
        )
    }

    /// Syncs what is queued, in the order of asking: what the thread does, for a directory that has none.
    pub(crate) fn step(&self) -> usize {
        let logs = {
            let mut queue = self.queue.lock();
            let mut logs = std::mem::take(&mut queue.syncs);
            logs.extend(std::mem::take(&mut queue.retries).into_iter().map(|(_, log)| log));
            logs
        };
        for log in &logs {
            let _ = log.sync();
        }
        logs.len()
    }

    /// Queues a partition for the next group commit. The caller made sure that it is not queued.
    pub(crate) fn request_sync(&self, log: Arc<PartitionLog>) {
        let mut queue = contention::SYNC_QUEUE.lock(&self.queue);
        let was_empty = queue.syncs.is_empty();
        queue.syncs.push(log);
        drop(queue);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// As `request_sync`, for a sync that could not begin.
    pub(crate) fn retry_sync(&self, log: Arc<PartitionLog>) {
        self.queue.lock().retries.push((Instant::now() + RETRY_DELAY, log));
        self.wake.notify_one();
    }

    /// Syncs each of the partitions; the failure is kept here, and the listeners are told.
    pub(crate) fn sync_all(&self, mut logs: Vec<Arc<PartitionLog>>) {
        logs.sort_unstable_by_key(|log| Arc::as_ptr(log) as usize);
        logs.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let count = logs.len();
        let started = Instant::now();
        let whole = self.whole.read();
        if let Some(whole) = &*whole
            && self.costs.lock().is_together_cheaper(count)
        {
            PartitionLog::sync_together(self, &**whole, &logs);
            let mut costs = self.costs.lock();
            costs.together = averaged(costs.together, started.elapsed().as_secs_f64());
            return;
        }
        for log in &logs {
            let _ = log.sync();
        }
        if count > 0 {
            let mut costs = self.costs.lock();
            costs.one = averaged(costs.one, started.elapsed().as_secs_f64() / count as f64);
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
                let now = Instant::now();
                let (due, later) = std::mem::take(&mut queue.retries)
                    .into_iter()
                    .partition(|(due, _)| *due <= now);
                queue.retries = later;
                let due: Vec<(Instant, Arc<PartitionLog>)> = due;
                queue.syncs.extend(due.into_iter().map(|(_, log)| log));
                (std::mem::take(&mut queue.syncs), queue.timed.clone(), queue.is_stopped)
            };
            self.sync_all(syncs);
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
    let retry = queue.retries.iter().map(|(due, _)| due.saturating_duration_since(now)).min();
    [removal, timed, retry].into_iter().flatten().min()
}
