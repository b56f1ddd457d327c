//! A store that forgets in a crash what was not synced, or what tore.

use std::sync::Arc;

use raft::eraftpb::{Entry, HardState};

use crate::cache::{Image, Stored};
use crate::random::Random;
use crate::store::{CrashKind, WriteJob};

#[derive(Clone, Default)]
struct Contents {
    is_begun: bool,
    hard_state: HardState,
    image: Arc<Image>,
    entries: Vec<Entry>,
}

impl Contents {
    /// Applies the first `parts` parts of a write, and of the entries in it only `entry_count`.
    fn apply(&mut self, job: &WriteJob, parts: u64, entry_count: usize) {
        if let Some(image) = &job.received {
            if parts < 1 {
                return;
            }
            self.image = Arc::clone(image);
            self.entries.clear();
        }
        if parts < 2 {
            return;
        }
        if let Some(from) = job.entries_from {
            self.entries.retain(|entry| entry.index < from);
            self.entries.extend(job.entries.iter().take(entry_count).cloned());
        }
        if parts < 3 || entry_count < job.entries.len() {
            return;
        }
        if let Some(state) = &job.state {
            self.hard_state = state.clone();
        }
        if let Some((image, first_kept)) = job.own.as_ref().filter(|_| parts >= 4) {
            self.image = Arc::clone(image);
            self.entries.retain(|entry| entry.index >= *first_kept);
        }
    }
}

/// See the head of the file.
#[derive(Default)]
pub(crate) struct MemoryStore {
    synced: Contents,
    unsynced: Vec<WriteJob>,
}

impl MemoryStore {
    pub(crate) fn load(&self) -> Option<Stored> {
        self.synced.is_begun.then(|| {
            let mut hard_state = self.synced.hard_state.clone();
            // A write tore between its entries and its term.
            if let Some(last) =
                self.synced.entries.last().filter(|last| last.term > hard_state.term)
            {
                hard_state.term = last.term;
                hard_state.vote = 0;
            }
            hard_state.commit = hard_state.commit.max(self.synced.image.index);
            Stored {
                hard_state,
                image: Arc::clone(&self.synced.image),
                entries: self.synced.entries.clone(),
            }
        })
    }

    pub(crate) fn begin(&mut self, stored: &Stored) {
        self.synced = Contents {
            is_begun: true,
            hard_state: stored.hard_state.clone(),
            image: Arc::clone(&stored.image),
            entries: stored.entries.clone(),
        };
    }

    pub(crate) fn write(&mut self, job: WriteJob) {
        self.unsynced.push(job);
    }

    pub(crate) fn sync(&mut self) {
        for job in self.unsynced.drain(..) {
            self.synced.apply(&job, u64::MAX, usize::MAX);
        }
    }

    pub(crate) fn crash(&self, kind: CrashKind) -> Self {
        let mut left = self.synced.clone();
        match kind {
            CrashKind::LoseUnsynced => {}
            CrashKind::KeepWritten => {
                for job in &self.unsynced {
                    left.apply(job, u64::MAX, usize::MAX);
                }
            }
            CrashKind::Torn(seed) => {
                let mut random = Random::new(seed);
                for job in &self.unsynced {
                    let entry_count = random.below(job.entries.len() as u64 + 1) as usize;
                    left.apply(job, random.below(5), entry_count);
                }
            }
        }
        Self { synced: left, unsynced: Vec::new() }
    }
}
