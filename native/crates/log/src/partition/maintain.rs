//! Taking records away: retention, deleting up to an offset, truncation at either end, expiry of producers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::replication::refuse_follower;
use super::{Inner, PartitionLog, Role};
use crate::error::{KafkaCode, LogError};
use crate::io::sync_failure;
use crate::segment::{Segment, SyncError, file_name};
use crate::types::{Change, RetentionEvent};

impl PartitionLog {
    /// Moves the log start offset up to `offset` (-1: the high watermark); returns the low watermark.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE beyond the high watermark, KAFKA_STORAGE_ERROR.
    pub fn delete_records(&self, offset: i64) -> Result<i64, KafkaCode> {
        self.check_writable().map_err(|error| error.kafka_code())?;
        let mut inner = self.inner.lock();
        if inner.role == Role::Follower {
            return Err(KafkaCode::NOT_LEADER_OR_FOLLOWER);
        }
        let offset = if offset == -1 { inner.high_watermark } else { offset };
        if offset < 0 || offset > inner.high_watermark {
            return Err(KafkaCode::OFFSET_OUT_OF_RANGE);
        }
        if offset > inner.log_start_offset {
            self.advance_log_start(&mut inner, offset);
        }
        let low_watermark = inner.log_start_offset;
        drop(inner);
        self.notify(Change::Everything);
        Ok(low_watermark)
    }

    pub(super) fn advance_log_start(&self, inner: &mut Inner, offset: i64) {
        inner.log_start_offset = offset;
        inner.are_epochs_dirty |= inner.epochs.truncate_from_start(offset);
        inner.producers.on_log_start(offset);
        inner.high_watermark = inner.high_watermark.max(offset);
        // Durability of the offset itself: the checkpoint; until it is written, a crash brings records back.
        let _ = self.store.failpoints.hit(crate::failpoint::Failpoint::BeforeCheckpoint);
    }

    /// One retention pass; returns what it did, if anything.
    pub(crate) fn run_retention(&self, now_ms: i64) -> Option<RetentionEvent> {
        if self.check_writable().is_err() {
            return None;
        }
        let config = self.config();
        let mut inner = self.inner.lock();
        inner.producers.expire(now_ms, config.producer_id_expiration_ms);
        let mut reasons: Vec<&str> = Vec::new();
        let mut removed: Vec<Arc<Segment>> = Vec::new();
        if config.is_deleting() {
            if config.retention_ms >= 0 {
                self.remove_while(
                    &mut inner,
                    now_ms,
                    "time",
                    &mut reasons,
                    &mut removed,
                    |segment, _, _| {
                        segment.retention_timestamp().is_ok_and(|timestamp| {
                            now_ms.saturating_sub(timestamp) > config.retention_ms
                        })
                    },
                );
            }
            if config.retention_bytes >= 0 {
                let mut excess = inner.size_bytes() - config.retention_bytes;
                self.remove_while(
                    &mut inner,
                    now_ms,
                    "size",
                    &mut reasons,
                    &mut removed,
                    |segment, _, _| {
                        excess -= segment.size() as i64;
                        excess >= 0
                    },
                );
            }
        }
        let log_start_offset = inner.log_start_offset;
        self.remove_while(
            &mut inner,
            now_ms,
            "logStartOffset",
            &mut reasons,
            &mut removed,
            |_, next_base, is_active| !is_active && next_base <= log_start_offset,
        );
        if removed.is_empty() {
            return None;
        }
        let first =
            inner.segments.first().map_or(inner.log_end_offset, |segment| segment.base_offset);
        if first > inner.log_start_offset {
            self.advance_log_start(&mut inner, first);
        }
        let event = RetentionEvent {
            topic: self.topic.clone(),
            partition: self.partition,
            deleted_segments: removed.len() as i64,
            new_log_start_offset: inner.log_start_offset,
            reason: reasons.join("+"),
        };
        inner.needs_directory_sync = true;
        drop(inner);
        self.remove_segments(&removed, config.file_delete_delay_ms);
        self.notify(Change::Everything);
        Some(event)
    }

    /// Takes segments off the front as long as `is_removable` (segment, base offset of the next one, is it the active one) says so
    /// and everything in them is below the high watermark. An active segment that goes is replaced by an empty one first.
    fn remove_while(
        &self,
        inner: &mut Inner,
        now_ms: i64,
        reason: &'static str,
        reasons: &mut Vec<&'static str>,
        removed: &mut Vec<Arc<Segment>>,
        mut is_removable: impl FnMut(&Segment, i64, bool) -> bool,
    ) {
        let mut count = 0;
        for (index, segment) in inner.segments.iter().enumerate() {
            let next = inner.segments.get(index + 1);
            let next_base = next.map_or(inner.log_end_offset, |next| next.base_offset);
            let is_empty_active = next.is_none() && segment.size() == 0;
            if is_empty_active
                || inner.high_watermark < next_base
                || !is_removable(segment, next_base, next.is_none())
            {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return;
        }
        if count == inner.segments.len() {
            let base_offset = inner.log_end_offset;
            if self.roll(inner, &self.config(), base_offset, now_ms).is_err() {
                count -= 1;
            }
        }
        if count > 0 {
            removed.extend(inner.segments.drain(..count));
            reasons.push(reason);
        }
    }

    /// Renames the files of segments that are in no list any more, and removes them after the delay. Readers keep theirs open.
    fn remove_segments(&self, segments: &[Arc<Segment>], delay_ms: i64) {
        for segment in segments {
            // A file that cannot be renamed stays below the log start offset: the next start drops it.
            for path in segment.rename_files(".deleted").unwrap_or_default() {
                self.home().remove_later(path, false, delay_ms);
            }
        }
    }

    /// Cuts the log so that it ends at `offset`; nothing when it ends before. A batch that holds the offset goes as a whole, and
    /// the log still ends at `offset`.
    pub fn truncate_to(&self, offset: i64) -> Result<(), LogError> {
        self.truncate_when(|_| None, offset)?;
        self.sync()
    }

    /// As [`Self::truncate_to`], by a follower under `leader_epoch`. Nothing waits for the disk: the next sync sees to it, and what a
    /// power cut brings back is found to diverge again.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH, and nothing is cut, where the partition does not follow
    /// under that epoch any more; KAFKA_STORAGE_ERROR.
    pub fn truncate_as_follower(&self, leader_epoch: i32, offset: i64) -> Result<(), KafkaCode> {
        self.settle(self.truncate_when(|inner| refuse_follower(inner, leader_epoch), offset))
    }

    /// As [`Self::truncate_fully_and_start_at`], by a follower under `leader_epoch`.
    ///
    /// # Errors
    /// As [`Self::truncate_as_follower`].
    pub fn start_over_as_follower(&self, leader_epoch: i32, offset: i64) -> Result<(), KafkaCode> {
        self.settle(self.start_over_when(|inner| refuse_follower(inner, leader_epoch), offset))
    }

    fn settle(&self, outcome: Result<(), Refused>) -> Result<(), KafkaCode> {
        outcome.map_err(|refused| match refused {
            Refused::Role(code) => code,
            Refused::Failed(error) => error.kafka_code(),
        })?;
        self.request_sync();
        Ok(())
    }

    fn truncate_when(
        &self,
        refusal: impl Fn(&Inner) -> Option<KafkaCode>,
        offset: i64,
    ) -> Result<(), Refused> {
        self.check_writable()?;
        if offset < 0 {
            return Err(LogError::new(
                LogError::INVALID_ARGUMENT,
                format!("cannot truncate {} to {offset}", self.label),
            )
            .into());
        }
        let turn = self.sync_turn.lock();
        let mut inner = self.inner.lock();
        if let Some(code) = refusal(&inner) {
            return Err(Refused::Role(code));
        }
        let io = |error: std::io::Error| LogError::io("truncate", &self.path(), &error);
        self.finish_cut(&mut inner).map_err(io)?;
        if offset >= inner.log_end_offset {
            return Ok(());
        }
        if inner.segments.first().is_none_or(|first| first.base_offset > offset) {
            drop(inner);
            drop(turn);
            return self.start_over_when(refusal, offset);
        }
        self.mark_cut(&mut inner, offset).map_err(io)?;
        inner.truncations += 1;
        inner.cut_to = inner.cut_to.min(offset);
        // Recovery after a crash in the middle must not find the old tail below the recovery point.
        self.flushed_offset.fetch_min(offset, Ordering::AcqRel);
        let keep = inner.segments.partition_point(|segment| segment.base_offset <= offset);
        let dropped: Vec<Arc<Segment>> = inner.segments.drain(keep..).collect();
        self.remove_segments(&dropped, self.config().file_delete_delay_ms);
        inner.recent.clear();
        // Whatever fails from here on, for want of room for an index for instance, the end is where the file ends.
        let mut end = dropped.first().map_or(inner.log_end_offset, |first| first.base_offset);
        let mut outcome = Ok(());
        if let Some(active) = inner.active().cloned() {
            let before = active.size();
            let cut = active.truncate_to(offset);
            let first = cut.as_ref().copied().ok().flatten().or(inner.gap_from);
            inner.gap_from = first.filter(|first| *first < offset);
            outcome = cut.map(drop);
            if outcome.is_ok() || active.size() < before {
                end = offset;
            }
        }
        inner.log_end_offset = end;
        inner.log_start_offset = inner.log_start_offset.min(end);
        inner.needs_directory_sync = true;
        inner.are_epochs_dirty |= inner.epochs.truncate_from_end(end);
        let high_watermark = inner.high_watermark.min(end);
        inner.set_high_watermark(high_watermark);
        inner.is_cut_unfinished = true;
        let finished = self.finish_cut(&mut inner);
        // What is written next to the end must never stand beside old bytes after a power failure: that would look like damage, not like a
        // write that was lost.
        let synced = inner.active().map_or(Ok(()), |active| active.sync_log());
        drop(inner);
        drop(turn);
        if let Err(SyncError::Failed(error)) = synced {
            self.home().poison(&format!("{}: {}", self.label, sync_failure(error)));
        }
        self.notify(Change::Everything);
        outcome.and(finished).map_err(io)?;
        Ok(())
    }

    /// Brings to the log's end what a cut left behind it: aborted transactions and the state of producers. Nothing, after a cut that
    /// went well.
    pub(super) fn finish_cut(&self, inner: &mut Inner) -> std::io::Result<()> {
        if !inner.is_cut_unfinished {
            return Ok(());
        }
        let end = inner.log_end_offset;
        if let Some(active) = inner.active() {
            active.truncate_aborted(end)?;
        }
        super::recover::load_producers(&self.store, &self.path(), inner)?;
        inner.set_high_watermark(inner.high_watermark);
        inner.is_cut_unfinished = false;
        Ok(())
    }

    /// Drops everything; the log is empty and starts at `offset`.
    pub fn truncate_fully_and_start_at(&self, offset: i64) -> Result<(), LogError> {
        self.start_over_when(|_| None, offset)?;
        self.sync()
    }

    fn start_over_when(
        &self,
        refusal: impl Fn(&Inner) -> Option<KafkaCode>,
        offset: i64,
    ) -> Result<(), Refused> {
        self.check_writable()?;
        let turn = self.sync_turn.lock();
        let mut inner = self.inner.lock();
        if let Some(code) = refusal(&inner) {
            return Err(Refused::Role(code));
        }
        let io = |error: std::io::Error| LogError::io("truncate", &self.path(), &error);
        self.mark_cut(&mut inner, offset).map_err(io)?;
        inner.truncations += 1;
        inner.cut_to = inner.cut_to.min(offset);
        self.flushed_offset.store(offset, Ordering::Release);
        let config = self.config();
        let dropped: Vec<Arc<Segment>> = inner.segments.drain(..).collect();
        self.remove_segments(&dropped, config.file_delete_delay_ms);
        let segment =
            Segment::create(&self.store, &self.path(), offset, config.index_interval_bytes);
        let created = segment.file().and_then(|file| file.set_length(0));
        inner.segments.push(Arc::new(segment));
        inner.recent.clear();
        inner.log_start_offset = offset;
        inner.log_end_offset = offset;
        inner.epochs.clear();
        inner.are_epochs_dirty = true;
        inner.producers.clear(offset);
        inner.has_aborted = false;
        inner.gap_from = None;
        inner.is_cut_unfinished = false;
        inner.set_high_watermark(offset);
        inner.needs_directory_sync = true;
        created.map_err(io)?;
        let files = self.store.files();
        for snapshot in super::recover::snapshot_offsets(files, &self.path()).map_err(io)? {
            files.remove_file(&self.path().join(file_name(snapshot, "snapshot"))).map_err(io)?;
        }
        drop(inner);
        drop(turn);
        self.notify(Change::Everything);
        Ok(())
    }
}

/// Why a log was not cut.
enum Refused {
    /// Role or epoch are not what the caller took them for.
    Role(KafkaCode),
    Failed(LogError),
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

impl From<Refused> for LogError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Role(_) => Self::new(Self::INVALID_ARGUMENT, "the partition has another role"),
            Refused::Failed(error) => error,
        }
    }
}
