//! When the active segment is full, and what beginning another takes.

use std::sync::Arc;

use super::append::Wanted;
use super::{Inner, PartitionLog};
use crate::config::LogConfig;
use crate::failpoint::Failpoint;
use crate::io::write_full;
use crate::segment::{Segment, file_name};

/// Snapshots kept beside the log.
const SNAPSHOTS_KEPT: usize = 2;

impl PartitionLog {
    /// Kafka's `LogSegment.shouldRoll`.
    pub(super) fn must_roll(
        &self,
        inner: &mut Inner,
        config: &LogConfig,
        wanted: &Wanted,
    ) -> std::io::Result<bool> {
        let Some(active) = inner.active() else { return Ok(false) };
        let size = active.size() as i64;
        if wanted.last_offset - active.base_offset > i64::from(i32::MAX) {
            return Ok(true);
        }
        if size == 0 {
            return Ok(false);
        }
        if size > config.segment_bytes - wanted.bytes as i64 {
            return Ok(true);
        }
        let tail = active.tail(config.segment_index_bytes)?;
        let waited_ms = match tail.first_timestamp {
            first if first >= 0 => wanted.largest_timestamp.saturating_sub(first),
            _ => wanted.now_ms.saturating_sub(inner.active_created_ms.unwrap_or(wanted.now_ms)),
        };
        let age_limit_ms = self.segment_age_limit_ms(active.base_offset, config);
        inner.active_created_ms.get_or_insert(wanted.now_ms);
        Ok(waited_ms > age_limit_ms || tail.index_room == 0)
    }

    /// How old a segment's first record may be when another is appended.
    pub(super) fn segment_age_limit_ms(&self, base_offset: i64, config: &LogConfig) -> i64 {
        config.segment_ms.saturating_sub(jitter(&self.label, base_offset, config.segment_jitter_ms))
    }

    /// Closes the active segment and begins one for records from `base_offset` on. It is named after the end of the records before it, also where there
    /// are none in between: after a crash a gap between segments means that something was lost.
    pub(super) fn roll(
        &self,
        inner: &mut Inner,
        config: &LogConfig,
        base_offset: i64,
        now_ms: i64,
    ) -> std::io::Result<()> {
        self.store.failpoints.hit(Failpoint::BeforeRoll)?;
        let base_offset = base_offset.max(inner.log_end_offset);
        let records_end = inner.gap_from.unwrap_or(inner.log_end_offset);
        // So far from its name the offsets of a segment's index can count.
        let is_far = base_offset - records_end > i64::from(i32::MAX / 2);
        let base_offset = if is_far { base_offset } else { records_end };
        let is_replaced = inner.active().is_some_and(|active| active.size() == 0);
        if let Some(active) = inner.active().filter(|_| !is_replaced) {
            // A full disk here must not stop what the next write can still tell.
            let _ = active.close_for_append();
        }
        self.write_snapshot_of(inner, base_offset)?;
        let segment =
            Segment::create(&self.store, &self.path(), base_offset, config.index_interval_bytes);
        // The file is there from the start, so that the log's end is not lost with an empty segment.
        if let Err(error) = segment.file().and_then(|file| file.set_length(0)) {
            // Left in place it would say that the records which the old segment still takes are not there.
            if !is_replaced {
                let _ = self
                    .store
                    .files()
                    .remove_file(&self.path().join(file_name(base_offset, "log")));
            }
            return Err(error);
        }
        if is_replaced && let Some(empty) = inner.segments.pop() {
            if empty.base_offset == base_offset {
                inner.segments.push(Arc::new(segment));
                return Ok(());
            }
            for path in empty.rename_files(".deleted")? {
                self.home().remove_later(path, false, config.file_delete_delay_ms);
            }
        }
        inner.segments.push(Arc::new(segment));
        inner.recent.clear();
        inner.active_created_ms = Some(now_ms);
        inner.needs_directory_sync = true;
        self.store.failpoints.hit(Failpoint::AfterRoll)?;
        self.request_sync();
        Ok(())
    }

    /// Writes a snapshot at the log's end.
    pub(super) fn write_snapshot(&self) -> std::io::Result<()> {
        let inner = self.inner.lock();
        self.write_snapshot_of(&inner, inner.log_end_offset)
    }

    fn write_snapshot_of(&self, inner: &Inner, offset: i64) -> std::io::Result<()> {
        self.store.failpoints.hit(Failpoint::BeforeSnapshot)?;
        let directory = self.path();
        let files = self.store.files();
        let path = directory.join(file_name(offset, "snapshot"));
        let file = files.open(&path, crate::io::OpenMode::Truncate)?;
        // Its CRC tells a torn one; an older one or the log itself then serves.
        write_full(&*file, &inner.producers.encode_snapshot(), 0)?;
        self.store.failpoints.hit(Failpoint::AfterSnapshot)?;
        let mut offsets = super::recover::snapshot_offsets(files, &directory)?;
        offsets.sort_unstable();
        offsets.truncate(offsets.len().saturating_sub(SNAPSHOTS_KEPT));
        for old in offsets {
            let _ = files.remove_file(&directory.join(file_name(old, "snapshot")));
        }
        Ok(())
    }
}

/// Random-looking share of the jitter, the same for a segment each time.
fn jitter(label: &str, base_offset: i64, jitter_ms: i64) -> i64 {
    if jitter_ms <= 0 {
        return 0;
    }
    let seed = crate::batch::crc32c_of_two(label.as_bytes(), &base_offset.to_be_bytes());
    i64::from(seed) % jitter_ms
}
