//! Locks that threads meet at, counted only where one had to wait: the attempt that succeeds at once costs what taking the lock costs, and
//! no counter's cache line moves. The counters are the process's.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

/// Times that somebody had to wait for one kind of lock.
#[derive(Debug)]
pub struct Contention(AtomicU64);

impl Contention {
    /// None so far.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes a lock, and counts when it was taken.
    pub fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        self.take(|| mutex.try_lock(), || mutex.lock())
    }

    /// Takes a lock of any kind: `attempt` at once, else `wait`, which counts.
    pub fn take<G>(&self, attempt: impl FnOnce() -> Option<G>, wait: impl FnOnce() -> G) -> G {
        attempt().unwrap_or_else(|| {
            self.0.fetch_add(1, Ordering::Relaxed);
            wait()
        })
    }

    /// How often so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Contention {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends that found their partition's lock taken.
pub(crate) static APPEND: Contention = Contention::new();
/// Reads that did.
pub(crate) static READ: Contention = Contention::new();
/// Requests for a sync that found the queue of their directory taken.
pub(crate) static SYNC_QUEUE: Contention = Contention::new();

/// Contended acquisitions since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentionSnapshot {
    /// Of a partition's lock, by an append.
    pub append: u64,
    /// Of a partition's lock, by a read.
    pub read: u64,
    /// Of a directory's queue of syncs.
    pub sync_queue: u64,
}

/// As of now.
pub fn contention() -> ContentionSnapshot {
    ContentionSnapshot {
        append: APPEND.count(),
        read: READ.count(),
        sync_queue: SYNC_QUEUE.count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_that_was_taken_counts() {
        let (contention, mutex) = (Contention::new(), Mutex::new(0));
        *contention.lock(&mutex) += 1;
        assert_eq!(contention.count(), 0);
        let held = mutex.lock();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| *contention.lock(&mutex));
            while contention.count() == 0 {
                std::thread::yield_now();
            }
            drop(held);
            assert_eq!(waiting.join().unwrap_or_default(), 1);
        });
        assert_eq!(contention.count(), 1);
    }
}
