//! Where a node's state outlives it, and one write to it.
//!
//! A write has up to four parts, which reach the disk in this order: another node's image (the log before it is void), entries (from an
//! index on, in place of what was there), term, vote and commit, and an image of our own (the log before it may go). Each order of a
//! crash among them is one that the next start understands: nothing of a write was promised to anybody before all of it was synced.

use std::sync::Arc;

use parking_lot::Mutex;
use raft::eraftpb::{Entry, HardState};
use sluice_log::LogError;

use crate::cache::{Image, Stored};
use crate::files::FileStore;
use crate::memory::MemoryStore;

/// What is left of a store in memory after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashKind {
    /// The process died: all that was written is there.
    KeepWritten,
    /// The power failed: only what was synced is there.
    LoseUnsynced,
    /// The power failed in the middle of a write: some of it is there, by this seed.
    Torn(u64),
}

#[derive(Debug, Default)]
pub(crate) struct WriteJob {
    pub(crate) received: Option<Arc<Image>>,
    /// The log ends before this index, then come the entries.
    pub(crate) entries_from: Option<u64>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) state: Option<HardState>,
    /// The image, and the first entry that is still needed.
    pub(crate) own: Option<(Arc<Image>, u64)>,
}

/// What became of a write.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The image of our own is not on disk; everything else is.
    pub(crate) own_failure: Option<LogError>,
}

/// A place for one node's state. Cloning shares it.
#[derive(Clone)]
pub struct Store(Arc<Mutex<Kind>>);

enum Kind {
    Memory(MemoryStore),
    Files(Box<FileStore>),
}

impl Store {
    /// An empty store in memory.
    pub fn memory() -> Self {
        Self(Arc::new(Mutex::new(Kind::Memory(MemoryStore::default()))))
    }

    pub(crate) fn files(store: FileStore) -> Self {
        Self(Arc::new(Mutex::new(Kind::Files(Box::new(store)))))
    }

    /// What a crash now would leave of a store in memory; `None` for files.
    pub fn crash(&self, kind: CrashKind) -> Option<Self> {
        match &*self.0.lock() {
            Kind::Memory(memory) => {
                Some(Self(Arc::new(Mutex::new(Kind::Memory(memory.crash(kind))))))
            }
            Kind::Files(_) => None,
        }
    }

    /// Whether it forgets everything with the process.
    pub fn is_memory(&self) -> bool {
        matches!(&*self.0.lock(), Kind::Memory(_))
    }

    /// What is there; `None` in a new store.
    pub(crate) fn load(&self) -> Option<Stored> {
        match &mut *self.0.lock() {
            Kind::Memory(memory) => memory.load(),
            Kind::Files(files) => files.take_loaded(),
        }
    }

    /// Makes a new store one that has this state.
    pub(crate) fn begin(&self, stored: &Stored) -> Result<(), LogError> {
        match &mut *self.0.lock() {
            Kind::Memory(memory) => {
                memory.begin(stored);
                Ok(())
            }
            Kind::Files(files) => files.begin(stored),
        }
    }

    fn write(&self, job: WriteJob) -> Result<Written, LogError> {
        match &mut *self.0.lock() {
            Kind::Memory(memory) => {
                memory.write(job);
                Ok(Written::default())
            }
            Kind::Files(files) => files.write(&job),
        }
    }

    /// The write that succeeded last counts as synced from now on. (In files it was already.)
    pub(crate) fn note_synced(&self) {
        if let Kind::Memory(memory) = &mut *self.0.lock() {
            memory.sync();
        }
    }

    pub(crate) fn close(&self) -> Result<(), LogError> {
        match &mut *self.0.lock() {
            Kind::Memory(_) => Ok(()),
            Kind::Files(files) => files.close(),
        }
    }
}

/// A write that is to be made, on any thread; see [`crate::Node::begin_persist`].
pub struct Persist {
    pub(crate) store: Store,
    pub(crate) job: WriteJob,
}

/// The outcome of a [`Persist`], for [`crate::Node::end_persist`].
pub struct PersistOutcome(pub(crate) Result<Written, LogError>);

impl Persist {
    /// Writes and syncs.
    pub fn run(self) -> PersistOutcome {
        PersistOutcome(self.store.write(self.job))
    }
}
