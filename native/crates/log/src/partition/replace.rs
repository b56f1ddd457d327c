//! A replica's way to another log directory: copying what the future replica lacks, cutting it back with the current one, and putting its
//! files in the place of the current one's. Who is served by the log notices nothing: it keeps its offsets, role and listeners, and reads
//! that are under way keep their open files. `manager/moves.rs` says when.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inner, PartitionLog};
use crate::batch::BatchHeader;
use crate::error::{AppendError, KafkaCode, LogError};
use crate::io::read_full;
use crate::types::{AppendRequest, Change, Isolation, Origin, ReadRequest};

/// Most bytes that are copied with the current log's lock held.
const LAST_BYTES: u64 = 1 << 20;
/// Times that the last step begins anew for writes that came meanwhile, before it lets others go on for a moment.
const LAST_TRIES: usize = 20;

/// What one piece of a copy came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copied {
    pub(crate) bytes: u64,
    /// The future replica has what there was when the piece was read: little more can be missing.
    pub(crate) is_near: bool,
}

impl Copied {
    /// Something changed meanwhile: it is looked at again.
    const AGAIN: Self = Self { bytes: 1, is_near: false };
}

/// Why a copy did not go on. Nothing that was copied is lost by it.
#[derive(Debug)]
pub(crate) struct CopyError {
    /// KAFKA_STORAGE_ERROR for what may pass.
    pub(crate) code: KafkaCode,
    pub(crate) reason: String,
}

impl CopyError {
    fn new(code: KafkaCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(crate) fn storage(error: &LogError) -> Self {
        Self::new(KafkaCode::KAFKA_STORAGE_ERROR, error.to_string())
    }

    pub(crate) fn of_target(path: &Path, error: &std::io::Error) -> Self {
        Self::storage(&LogError::io("write", path, error))
    }
}

impl From<LogError> for CopyError {
    fn from(error: LogError) -> Self {
        Self::new(error.kafka_code(), error.to_string())
    }
}

impl From<AppendError> for CopyError {
    fn from(error: AppendError) -> Self {
        Self { code: error.code, reason: error.message }
    }
}

impl PartitionLog {
    /// Copies at most `max_bytes`, or one batch, of what the future replica lacks. What was cut off this log is cut off the future replica first.
    ///
    /// # Errors
    /// Of this log or of the future replica. CORRUPT_MESSAGE: this log cannot be read there.
    pub(crate) fn copy_to(
        &self,
        future: &Self,
        max_bytes: i64,
        buffer: &mut Vec<u8>,
    ) -> Result<Copied, CopyError> {
        let (cut_to, start, end) = {
            let mut inner = self.inner.lock();
            let cut_to = std::mem::replace(&mut inner.cut_to, i64::MAX);
            (cut_to, inner.log_start_offset, inner.log_end_offset)
        };
        if let Err(error) = future.cut_back(cut_to, start) {
            let mut inner = self.inner.lock();
            inner.cut_to = inner.cut_to.min(cut_to);
            return Err(error.into());
        }
        let config = self.config();
        if *future.config() != *config {
            future.configure((*config).clone());
        }
        let plan = self.read(&ReadRequest {
            offset: future.end_offset(),
            max_bytes,
            min_one_message: true,
            isolation: Isolation::LogEnd,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            leader_only: false,
            replica: None,
        });
        let has_changed =
            || self.inner.lock().cut_to < i64::MAX || self.state().log_start_offset != start;
        if plan.code != KafkaCode::NONE {
            if has_changed() {
                return Ok(Copied::AGAIN);
            }
            let message = format!("cannot read {} at {}", self.label, future.end_offset());
            return Err(CopyError::new(plan.code, message));
        }
        let Some(slice) = plan.slice else {
            return Ok(if has_changed() {
                Copied::AGAIN
            } else {
                Copied { bytes: 0, is_near: true }
            });
        };
        buffer.resize(slice.length as usize, 0);
        let count = slice
            .read_into(0, buffer)
            .map_err(|error| CopyError::storage(&LogError::io("read", &self.path(), &error)))?;
        if count < buffer.len() {
            // Cut meanwhile: what is there now is looked at next time.
            return Ok(Copied::AGAIN);
        }
        match future.append_copy(buffer, start) {
            Err(_) if has_changed() => Ok(Copied::AGAIN),
            Err(error) => Err(error),
            Ok(()) => Ok(Copied { bytes: slice.length, is_near: future.end_offset() >= end }),
        }
    }

    fn end_offset(&self) -> i64 {
        self.inner.lock().log_end_offset
    }

    /// Cuts a future replica back to `cut_to`, and begins it anew when it ends before `start`.
    fn cut_back(&self, cut_to: i64, start: i64) -> Result<(), LogError> {
        if cut_to < self.end_offset() {
            self.truncate_to(cut_to)?;
        }
        if self.end_offset() < start {
            self.truncate_fully_and_start_at(start)?;
        }
        Ok(())
    }

    /// Appends batches of the current replica to a future one.
    fn append_copy(&self, records: &mut [u8], start: i64) -> Result<(), CopyError> {
        let base_offset = BatchHeader::parse(records).map_or(-1, |header| header.base_offset);
        if (0..self.end_offset()).contains(&base_offset) {
            // A log can begin, and be cut, in the middle of a batch.
            if base_offset < self.state().log_start_offset {
                self.truncate_fully_and_start_at(base_offset)?;
            } else {
                self.truncate_to(base_offset)?;
            }
        }
        let request =
            AppendRequest { leader_epoch: -1, acks: 1, origin: Origin::RawFollower, now_ms: 0 };
        self.append(records, &request)?;
        let mut inner = self.inner.lock();
        if start > inner.log_start_offset && start <= inner.log_end_offset {
            self.advance_log_start(&mut inner, start);
        }
        Ok(())
    }

    /// Cuts a future replica that was found at the start back to what it has in common with the current one, which may have lost records since
    /// they were copied, or follow another leader. What was not known to be on disk may have gaps after a power cut, and is copied again; so is
    /// all of one whose first records are missing.
    ///
    /// # Errors
    /// It could not be cut.
    pub(crate) fn align_with(&self, current: &Self) -> Result<(), LogError> {
        let common = {
            let (ours, theirs) = (self.inner.lock(), current.inner.lock());
            let durable = self.loaded_recovery_point.load(Ordering::Acquire);
            let end = ours.log_end_offset.min(theirs.log_end_offset).min(durable);
            if ours.log_start_offset > theirs.log_start_offset {
                let start = theirs.log_start_offset;
                drop((ours, theirs));
                return self.truncate_fully_and_start_at(start);
            }
            let mut bounds: Vec<i64> = [&ours, &theirs]
                .into_iter()
                .flat_map(|inner| inner.epochs.entries())
                .map(|entry| entry.start_offset)
                .filter(|offset| *offset < end)
                .collect();
            bounds.sort_unstable();
            let differs = |offset: &i64| {
                let (a, b) = (ours.epochs.epoch_at(*offset), theirs.epochs.epoch_at(*offset));
                matches!((a, b), (Some(a), Some(b)) if a != b)
            };
            bounds.into_iter().find(differs).unwrap_or(end)
        };
        // On disk before the current replica takes anything new: the same epoch may go on there with other records.
        if common < self.end_offset() { self.truncate_to(common) } else { Ok(()) }
    }

    /// Puts the files of `future` in the place of this log's own; `rename` gives them the plain name `path`, and this log's own the name `deleted`. What
    /// was durable stays so. False when writes came faster than they could be copied: nothing was done.
    ///
    /// # Errors
    /// Of the future replica, or of `rename`. Nothing was done.
    pub(crate) fn replace_with(
        &self,
        future: &Arc<Self>,
        path: &Path,
        deleted: &Path,
        rename: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<bool, CopyError> {
        // What is acknowledged as durable grows no more.
        let turn = self.sync_turn.lock();
        let mut buffer = Vec::new();
        for _ in 0..LAST_TRIES {
            self.check_writable()?;
            while !self.copy_to(future, LAST_BYTES as i64, &mut buffer)?.is_near {}
            if future.flushed_offset() < self.flushed_offset() {
                future.flush()?;
            }
            let mut inner = self.inner.lock();
            if !self.copy_rest(&mut inner, future)? {
                continue;
            }
            rename().map_err(|error| {
                CopyError::storage(&LogError::io("rename", &future.path(), &error))
            })?;
            self.take_files(&mut inner, future, path, deleted);
            drop(inner);
            drop(turn);
            self.watch_flush_time();
            self.notify(Change::Everything);
            self.request_sync();
            return Ok(true);
        }
        Ok(false)
    }

    /// Copies what the future replica lacks of the active segment, with this log's lock held. False where that is not all it lacks.
    fn copy_rest(&self, inner: &mut Inner, future: &Self) -> Result<bool, CopyError> {
        if inner.cut_to < i64::MAX
            || inner.is_cut_unfinished
            || future.flushed_offset() < self.flushed_offset()
        {
            return Ok(false);
        }
        let end = future.end_offset();
        if end == inner.log_end_offset {
            return Ok(true);
        }
        let Some(active) = inner.active().filter(|active| active.base_offset <= end) else {
            return Ok(false);
        };
        let read = || -> std::io::Result<Option<Vec<u8>>> {
            let Some(first) = active.locate(end)? else { return Ok(None) };
            let length = active.size().saturating_sub(first.position);
            if length > LAST_BYTES || first.header.base_offset < end {
                return Ok(None);
            }
            let mut bytes = vec![0; length as usize];
            let count = read_full(&*active.existing()?, &mut bytes, first.position)?;
            Ok((count == bytes.len()).then_some(bytes))
        };
        let read =
            read().map_err(|error| CopyError::storage(&LogError::io("read", &self.path(), &error)));
        let Some(mut bytes) = read? else { return Ok(false) };
        future.append_copy(&mut bytes, inner.log_start_offset)?;
        Ok(future.end_offset() == inner.log_end_offset)
    }

    /// The files have changed their names: takes over all that belongs to them, and leaves the old ones to `future`, which is used no more.
    fn take_files(&self, inner: &mut Inner, future: &Arc<Self>, path: &Path, deleted: &Path) {
        let mut other = future.inner.lock();
        std::mem::swap(&mut inner.segments, &mut other.segments);
        std::mem::swap(&mut inner.recent, &mut other.recent);
        std::mem::swap(&mut inner.gap_from, &mut other.gap_from);
        std::mem::swap(&mut inner.cut_mark, &mut other.cut_mark);
        inner.active_created_ms = other.active_created_ms;
        inner.truncations += 1;
        // Who waits for a sync waits for the names as well.
        inner.is_new = true;
        inner.needs_directory_sync = true;
        inner.are_epochs_dirty = true;
        *self.directory.write() = future.home();
        path.clone_into(&mut self.path.write());
        for segment in &inner.segments {
            segment.set_directory(path);
        }
        deleted.clone_into(&mut future.path.write());
        for segment in &other.segments {
            // Reads that are under way may still open them.
            segment.set_directory(deleted);
        }
        self.flushed_offset.store(future.flushed_offset(), Ordering::Release);
        future.is_deleted.store(true, Ordering::Release);
        future.is_closed.store(true, Ordering::Release);
    }
}
