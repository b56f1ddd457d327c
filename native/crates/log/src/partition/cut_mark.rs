//! The mark of a cut below the recovery point.
//!
//! The recovery point tells the next start that everything below it is on disk, so that a bad batch there is damage and no torn
//! write. It stands in one checkpoint for a whole log directory, which is written now and then. A log that is cut below it and grows again would
//! have its newest records, which nobody synced, taken for safe ones. So before such a cut the offset is written to a file beside the segments, which
//! holds against the checkpoint until that was written anew. (Kafka writes the whole checkpoint after each round of cuts.)

use std::io;
use std::sync::atomic::Ordering;

use super::{Inner, PartitionLog};
use crate::checkpoint::{CUT_MARK_FILE, Offsets, write_offsets};

/// What a checkpoint is about to say of a log.
pub(crate) struct Told {
    /// All records below are on disk.
    pub(crate) recovery_point: i64,
    truncations: u64,
}

/// What is kept in memory of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CutMark {
    /// Largest recovery point that the directory's checkpoint may hold.
    pub(super) told: i64,
    /// What the file says, where there is one.
    pub(super) offset: Option<i64>,
}

impl PartitionLog {
    /// Called before a cut to `offset`, with the lock held.
    ///
    /// # Errors
    /// The mark is not on disk, so the log must not be cut.
    pub(super) fn mark_cut(&self, inner: &mut Inner, offset: i64) -> io::Result<()> {
        let mark = inner.cut_mark;
        if offset >= mark.offset.unwrap_or(i64::MAX).min(mark.told) {
            return Ok(());
        }
        let offsets = Offsets::from([((self.topic.clone(), self.partition), offset)]);
        write_offsets(self.store.files(), &self.path().join(CUT_MARK_FILE), &offsets)?;
        inner.cut_mark.offset = Some(offset);
        Ok(())
    }

    /// The recovery point for a checkpoint that is about to be written.
    pub(crate) fn tell_recovery_point(&self) -> Told {
        let is_set_aside = self.is_quarantined.load(Ordering::Acquire);
        let mut inner = self.inner.lock();
        let recovery_point = if is_set_aside {
            self.loaded_recovery_point.load(Ordering::Acquire)
        } else {
            self.recovery_point_of(&inner)
        };
        inner.cut_mark.told = inner.cut_mark.told.max(recovery_point);
        Told { recovery_point, truncations: inner.truncations }
    }

    /// The checkpoint is on disk: without a cut meanwhile no mark is needed. One that cannot be removed stays for the next checkpoint; until then a
    /// start checks more than it has to.
    pub(crate) fn on_checkpointed(&self, told: &Told) {
        let mut inner = self.inner.lock();
        if inner.truncations != told.truncations {
            return;
        }
        inner.cut_mark.told = told.recovery_point;
        if inner.cut_mark.offset.is_some()
            && self.store.files().remove_file(&self.path().join(CUT_MARK_FILE)).is_ok()
        {
            inner.cut_mark.offset = None;
        }
    }
}
