//! The end of a log's time in its directory: what checkpoints tell of it, closing in order, and leaving under another name.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Inner, PartitionLog};
use crate::error::LogError;
use crate::types::Change;

impl PartitionLog {
    /// Offset below which recovery need not look: synced records whose closed segments have synced indexes.
    pub(super) fn recovery_point_of(&self, inner: &Inner) -> i64 {
        let flushed = self.flushed_offset().min(inner.epochs_synced_below());
        let closed = inner.segments.len().saturating_sub(1);
        inner
            .segments
            .iter()
            .take(closed)
            .find(|segment| !segment.is_index_synced())
            .map_or(flushed, |segment| segment.base_offset.min(flushed))
    }

    /// Log start offset for the checkpoint. Also where it is the first segment's: the removal of the segments before may not be
    /// on disk yet, and they must not come back.
    pub(crate) fn checkpointed_log_start(&self) -> Option<i64> {
        let offset = self.inner.lock().log_start_offset;
        (offset > 0).then_some(offset)
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.inner.lock().high_watermark
    }

    /// First half of the last work before the store is closed: a snapshot at the end, complete indexes, no bytes behind the end. Appends
    /// are refused from here on.
    pub(crate) fn begin_close(&self) -> Result<(), LogError> {
        if self.is_closed.swap(true, Ordering::AcqRel) || self.refusal().is_some() {
            return Ok(());
        }
        let active = self.inner.lock().active().cloned();
        let path = self.path();
        if let Some(active) = active {
            let io = |error: std::io::Error| LogError::io("close", &path, &error);
            active.cut_rest().map_err(io)?;
            if active.size() > 0 {
                active.close_for_append().map_err(io)?;
                self.write_snapshot().map_err(io)?;
            }
        }
        Ok(())
    }

    /// Second half: everything is on disk, and the descriptors are given back.
    pub(crate) fn finish_close(&self) -> Result<(), LogError> {
        if self.refusal().is_some() {
            return Ok(());
        }
        let active = self.inner.lock().active().cloned();
        let path = self.path();
        if let Some(active) = active {
            let io = |error: std::io::Error| LogError::io("close", &path, &error);
            // A partition that never had a record is made again from the cluster's metadata: nothing of it needs the disk.
            if active.size() > 0 || active.base_offset > 0 || active.is_dirty() {
                self.sync()?;
                self.write_epochs().map_err(io)?;
            }
        }
        for segment in &self.inner.lock().segments {
            segment.close();
        }
        Ok(())
    }

    /// Gives up without writing: what a crash would leave stays. For tests and for stores that are dropped unclosed.
    pub(crate) fn abandon(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Runs `rename`, which moves the files to `path`, with nobody at work on them: a sync or a snapshot that met the old name
    /// gone would take it for a failing disk and poison the directory. When `rename` fails, the log is as before.
    pub(crate) fn delete_with(
        &self,
        path: &Path,
        rename: impl FnOnce() -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        self.is_deleted.store(true, Ordering::Release);
        let renamed = self.rename_to(path, rename);
        if renamed.is_err() {
            self.is_deleted.store(false, Ordering::Release);
            return renamed;
        }
        self.notify(Change::Everything);
        Ok(())
    }

    /// The same without an end of the log.
    pub(crate) fn rename_to(
        &self,
        path: &Path,
        rename: impl FnOnce() -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let _turn = self.sync_turn.lock();
        let inner = self.inner.lock();
        rename()?;
        path.clone_into(&mut self.path.write());
        for segment in &inner.segments {
            segment.set_directory(path);
        }
        Ok(())
    }

    /// Whether its files are of no more interest to a background check.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_deleted() || self.is_closed.load(Ordering::Acquire)
    }
}
