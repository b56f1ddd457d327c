//! Appending: check outside of the lock, then assign offsets, write once, and remember.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::replication::refuse_follower;
use super::{Inner, PartitionLog, RECENT_BATCHES, Recent, Role};
use crate::batch::{BatchHeader, HEADER_BYTES, put};
use crate::config::{LogConfig, TimestampType};
use crate::error::{AppendError, KafkaCode, LogError};
use crate::failpoint::Failpoint;
use crate::io::{is_device_failure, is_out_of_space, write_full};
use crate::producer::{EndMarker, parse_end_marker};
use crate::segment::{Segment, file_name};
use crate::transactions::AbortedEntry;
use crate::types::{AppendOutcome, AppendRequest, Change, Origin};
use crate::validate::{Prepared, Rules, prepare_client, prepare_coordinator, prepare_raw};

/// Snapshots kept beside the log.
const SNAPSHOTS_KEPT: usize = 2;

impl PartitionLog {
    /// Checks, patches in place and writes record batches.
    ///
    /// `records` may be changed even when the append is refused; it is not kept.
    ///
    /// # Errors
    /// A refusal to answer the client with; see [`AppendError`].
    pub fn append(
        &self,
        records: &mut [u8],
        request: &AppendRequest,
    ) -> Result<AppendOutcome, AppendError> {
        self.append_within(records, request, u64::MAX)
    }

    /// As [`Self::append`], for a thread that others wait for: a batch that has to be inflated beyond `inline_bytes` to be
    /// checked (or beyond a sixteenth of it to be compressed again) is refused with [`KafkaCode::NOT_INLINE`], and neither
    /// the log nor `records` is changed. Such a batch belongs on another thread, without a limit.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_within(
        &self,
        records: &mut [u8],
        request: &AppendRequest,
        inline_bytes: u64,
    ) -> Result<AppendOutcome, AppendError> {
        if let Err(error) = self.check_writable() {
            return Err(AppendError::new(error.kafka_code(), error.to_string()));
        }
        let config = self.config();
        let rules = Rules {
            config: &config,
            label: &self.label,
            now_ms: request.now_ms,
            is_client: request.origin == Origin::Client,
            inline_bytes,
        };
        let mut prepared = match request.origin {
            Origin::Client => vec![prepare_client(records, &rules)?],
            Origin::Coordinator => prepare_coordinator(records, &rules)?,
            Origin::RawFollower => prepare_raw(records, &self.label)?,
        };
        if request.origin == Origin::RawFollower && request.leader_epoch >= 0 {
            // Batches of a later epoch are fetched again by whoever knows of that epoch.
            let later = |batch: &Prepared| batch.header.leader_epoch > request.leader_epoch;
            let known = prepared.iter().position(later).unwrap_or(prepared.len());
            prepared.truncate(known);
        }
        let total_bytes: usize = prepared.iter().map(Prepared::size).sum();
        if request.origin != Origin::RawFollower && total_bytes as i64 > config.segment_bytes {
            return Err(AppendError::new(
                KafkaCode::RECORD_LIST_TOO_LARGE,
                format!(
                    "Message batch size is {total_bytes} bytes in append to partition {}, which exceeds the maximum configured \
                     segment size of {}.",
                    self.label, config.segment_bytes
                ),
            ));
        }

        let mut inner = self.inner.lock();
        self.check_role(&inner, request)?;
        self.check_replicas(&inner, request, &config)?;
        self.finish_cut(&mut inner).map_err(|error| self.refuse_write(&error))?;
        if prepared.is_empty() {
            return Ok(AppendOutcome {
                base_offset: inner.log_end_offset,
                last_offset: inner.log_end_offset - 1,
                append_time_ms: -1,
                log_start_offset: inner.log_start_offset,
                await_sync: false,
                await_replication: false,
                is_duplicate: false,
            });
        }
        if let Some(outcome) = self.find_duplicate(&inner, &prepared, request, &config) {
            drop(inner);
            if outcome.await_sync {
                self.request_sync();
            }
            return Ok(outcome);
        }
        self.assign(&inner, &mut prepared, request)?;
        let markers = self.check_producers(&inner, &prepared, records, request.origin)?;
        let storage = |error: std::io::Error| self.refuse_write(&error);
        let may_use_reserve = self.is_internal || request.origin == Origin::Coordinator;
        if !self.directory.read().space.take(total_bytes, may_use_reserve) {
            return Err(AppendError::new(
                KafkaCode::KAFKA_STORAGE_ERROR,
                format!(
                    "The disk of {} is full: what is left is kept for offsets and metadata. Writes resume when there is room.",
                    self.home().path.display()
                ),
            ));
        }

        let first_base = prepared.first().map_or(0, |batch| batch.header.base_offset);
        let last = prepared.last().map_or(first_base, |batch| batch.header.last_offset());
        let largest_timestamp =
            prepared.iter().map(|batch| batch.header.max_timestamp).max().unwrap_or(-1);
        if self
            .must_roll(&mut inner, &config, total_bytes, largest_timestamp, last, request.now_ms)
            .map_err(storage)?
        {
            self.roll(&mut inner, &config, first_base, request.now_ms).map_err(storage)?;
        }
        let Some(active) = inner.active().cloned() else {
            return Err(AppendError::new(
                KafkaCode::KAFKA_STORAGE_ERROR,
                format!("{} has no segment", self.label),
            ));
        };
        let position = active.size();
        if position == 0 && inner.recent.is_empty() {
            inner.needs_directory_sync = true;
        }
        let headers: Vec<BatchHeader> = prepared.iter().map(|batch| batch.header).collect();
        let written = with_bytes(records, &prepared, total_bytes, |bytes| {
            active.append(bytes, &headers, config.index_interval_bytes)
        });
        written.map_err(storage)?;
        let advance = (config.min_insync_replicas, request.now_ms);
        let is_committed =
            self.remember(&mut inner, &active, position, &prepared, &markers, advance);
        inner.active_created_ms.get_or_insert(request.now_ms);

        let record_count: i64 = headers.iter().map(|header| i64::from(header.record_count)).sum();
        inner.unflushed_records += record_count;
        inner.unflushed_since.get_or_insert_with(Instant::now);
        let is_flush_due = inner.unflushed_records >= config.flush_messages;
        let outcome = AppendOutcome {
            base_offset: first_base,
            last_offset: last,
            append_time_ms: if config.message_timestamp_type == TimestampType::LogAppendTime
                && request.origin != Origin::RawFollower
            {
                request.now_ms
            } else {
                -1
            },
            log_start_offset: inner.log_start_offset,
            await_sync: is_flush_due || is_sync_promised(&inner, request, &config),
            await_replication: must_replicate(&inner, request, last),
            is_duplicate: false,
        };
        drop(inner);
        if outcome.await_sync {
            self.request_sync();
        }
        self.notify(if is_committed { Change::Everything } else { Change::LogEnd });
        Ok(outcome)
    }

    /// What a failed write means. A disk without room, and whatever else may pass, costs this append and nothing else; a device that
    /// fails is not written to again.
    fn refuse_write(&self, error: &std::io::Error) -> AppendError {
        if is_out_of_space(error) {
            self.directory.read().space.note_refusal(error);
        } else if is_device_failure(error) {
            self.home().poison(&format!("{}: {error}", self.label));
        }
        AppendError::storage(&LogError::io("append to", &self.path(), error))
    }

    fn check_role(&self, inner: &Inner, request: &AppendRequest) -> Result<(), AppendError> {
        let is_wrong_role = match request.origin {
            Origin::RawFollower => inner.role == Role::Leader,
            Origin::Client | Origin::Coordinator => inner.role == Role::Follower,
        };
        if request.origin == Origin::RawFollower
            && request.leader_epoch >= 0
            && let Some(code) = refuse_follower(inner, request.leader_epoch)
        {
            return Err(AppendError::new(
                code,
                format!(
                    "{} does not follow under leader epoch {}",
                    self.label, request.leader_epoch
                ),
            ));
        }
        let is_wrong_epoch = request.leader_epoch >= 0
            && inner.leader_epoch >= 0
            && request.leader_epoch != inner.leader_epoch;
        if is_wrong_role || is_wrong_epoch {
            return Err(AppendError::new(
                KafkaCode::NOT_LEADER_OR_FOLLOWER,
                format!(
                    "{} is at leader epoch {}, not {}",
                    self.label, inner.leader_epoch, request.leader_epoch
                ),
            ));
        }
        Ok(())
    }

    /// Kafka's check of `min.insync.replicas` before an append with acks=all.
    fn check_replicas(
        &self,
        inner: &Inner,
        request: &AppendRequest,
        config: &LogConfig,
    ) -> Result<(), AppendError> {
        let Some(leadership) = inner.leadership.as_ref().filter(|_| request.acks == -1) else {
            return Ok(());
        };
        let isr_size = leadership.isr_size();
        let min_isr = leadership.min_isr(config.min_insync_replicas);
        if isr_size >= min_isr {
            return Ok(());
        }
        Err(AppendError::new(
            KafkaCode::NOT_ENOUGH_REPLICAS,
            format!(
                "The size of the current ISR is {isr_size}, insufficient to satisfy the min.isr requirement of {min_isr} for \
                 partition {}",
                self.label
            ),
        ))
    }

    /// The answer to a retry of a batch that is in the producer's window.
    fn find_duplicate(
        &self,
        inner: &Inner,
        prepared: &[Prepared],
        request: &AppendRequest,
        config: &LogConfig,
    ) -> Option<AppendOutcome> {
        let batch = prepared
            .first()
            .filter(|batch| batch.header.has_producer_id() && request.origin == Origin::Client)?;
        let known = inner.producers.find_duplicate(&batch.header)?;
        let is_synced = self.flushed_offset.load(Ordering::Acquire) > known.last_offset;
        // Also where the original only waited because of `flush.messages`: its answer may never have been sent.
        let is_sync_wanted =
            config.flush_messages < i64::MAX || is_sync_promised(inner, request, config);
        Some(AppendOutcome {
            base_offset: known.first_offset(),
            last_offset: known.last_offset,
            // Kafka tells the original's time whatever kind of time the topic keeps.
            append_time_ms: known.timestamp,
            log_start_offset: inner.log_start_offset,
            await_sync: !is_synced && is_sync_wanted,
            await_replication: must_replicate(inner, request, known.last_offset),
            is_duplicate: true,
        })
    }

    /// Gives the batches their offsets and epoch, or checks those that a follower copied.
    fn assign(
        &self,
        inner: &Inner,
        prepared: &mut [Prepared],
        request: &AppendRequest,
    ) -> Result<(), AppendError> {
        let mut next_offset = inner.log_end_offset;
        if request.origin == Origin::RawFollower {
            let mut epoch = inner.epochs.latest().unwrap_or(-1);
            for batch in prepared.iter() {
                if batch.header.base_offset < next_offset {
                    return Err(AppendError::new(
                        KafkaCode::OFFSET_OUT_OF_RANGE,
                        format!(
                            "Unexpected offset in append to {}: {} is less than the next offset {next_offset}",
                            self.label, batch.header.base_offset
                        ),
                    ));
                }
                next_offset = batch.header.next_offset();
                if (0..epoch).contains(&batch.header.leader_epoch) {
                    return Err(AppendError::new(
                        KafkaCode::CORRUPT_MESSAGE,
                        format!(
                            "Leader epoch {} after {epoch} in append to {}",
                            batch.header.leader_epoch, self.label
                        ),
                    ));
                }
                epoch = epoch.max(batch.header.leader_epoch);
            }
            return Ok(());
        }
        let leader_epoch = request.leader_epoch.max(inner.leader_epoch).max(0);
        for batch in prepared.iter_mut() {
            batch.header.base_offset = next_offset;
            batch.header.leader_epoch = leader_epoch;
            next_offset = batch.header.next_offset();
        }
        Ok(())
    }

    /// Checks producer epochs and sequences; returns the transaction marker of each batch that is one.
    fn check_producers(
        &self,
        inner: &Inner,
        prepared: &[Prepared],
        records: &[u8],
        origin: Origin,
    ) -> Result<Vec<Option<EndMarker>>, AppendError> {
        let mut markers = Vec::new();
        for batch in prepared
            .iter()
            .filter(|_| prepared.len() > 1 || prepared.iter().any(|b| b.header.has_producer_id()))
        {
            let header = &batch.header;
            let mut marker = None;
            if header.has_producer_id() {
                if header.is_control() {
                    marker = parse_end_marker(header, payload_of(records, batch));
                    if let Some(marker) = &marker
                        && origin != Origin::RawFollower
                    {
                        inner.producers.check_marker(header, marker, &self.label)?;
                    }
                } else {
                    inner.producers.check(header, origin, &self.label)?;
                }
            }
            markers.push(marker);
        }
        Ok(markers)
    }

    /// Takes over what was written; says whether the high watermark moved.
    fn remember(
        &self,
        inner: &mut Inner,
        active: &Arc<Segment>,
        position: u64,
        prepared: &[Prepared],
        markers: &[Option<EndMarker>],
        (min_isr, now_ms): (i64, i64),
    ) -> bool {
        let mut at = position;
        for (index, batch) in prepared.iter().enumerate() {
            let header = &batch.header;
            let end = at + header.size() as u64;
            if inner.recent.len() == RECENT_BATCHES {
                inner.recent.pop_front();
            }
            inner.recent.push_back(Recent {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                position: at,
                end,
            });
            at = end;
            inner.are_epochs_dirty |= inner.epochs.assign(header.leader_epoch, header.base_offset);
            match markers.get(index).copied().flatten() {
                Some(marker) => {
                    if let Some(completed) =
                        inner.producers.append_marker(header, &marker).filter(|txn| txn.is_aborted)
                    {
                        let last_stable_offset = inner.producers.stable_offset_after(&completed);
                        inner.has_aborted = true;
                        // Rebuilt from the batches after a crash; kept in memory when the disk is full.
                        let _ = active.push_aborted(AbortedEntry {
                            producer_id: completed.producer_id,
                            first_offset: completed.first_offset,
                            last_offset: completed.last_offset,
                            last_stable_offset,
                        });
                    }
                }
                None if header.has_producer_id() && !header.is_control() => {
                    inner.producers.append(header);
                }
                None => {}
            }
            inner.log_end_offset = header.next_offset();
        }
        inner.producers.map_end_offset = inner.log_end_offset;
        inner.advance_high_watermark(min_isr, now_ms, &self.store.brokers)
    }

    /// Kafka's `LogSegment.shouldRoll`.
    fn must_roll(
        &self,
        inner: &mut Inner,
        config: &LogConfig,
        bytes: usize,
        largest_timestamp: i64,
        last_offset: i64,
        now_ms: i64,
    ) -> std::io::Result<bool> {
        let Some(active) = inner.active().cloned() else { return Ok(false) };
        let size = active.size() as i64;
        if last_offset - active.base_offset > i64::from(i32::MAX) {
            return Ok(true);
        }
        if size == 0 {
            return Ok(false);
        }
        if size > config.segment_bytes - bytes as i64 {
            return Ok(true);
        }
        let waited_ms = match active.first_timestamp()? {
            Some(first) if first >= 0 => largest_timestamp.saturating_sub(first),
            _ => now_ms.saturating_sub(*inner.active_created_ms.get_or_insert(now_ms)),
        };
        let jitter_ms = jitter(&self.label, active.base_offset, config.segment_jitter_ms);
        if waited_ms > config.segment_ms.saturating_sub(jitter_ms) {
            return Ok(true);
        }
        active.is_index_full(config.segment_index_bytes)
    }

    /// Closes the active segment and begins one at `base_offset`.
    pub(super) fn roll(
        &self,
        inner: &mut Inner,
        config: &LogConfig,
        base_offset: i64,
        now_ms: i64,
    ) -> std::io::Result<()> {
        self.store.failpoints.hit(Failpoint::BeforeRoll)?;
        let base_offset = base_offset.max(inner.log_end_offset);
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

/// Whether an append may be acknowledged only when it is on disk. Several replicas vouch for each other unless asked otherwise.
fn is_sync_promised(inner: &Inner, request: &AppendRequest, config: &LogConfig) -> bool {
    let is_promised = match inner.leadership {
        Some(_) => config.acks_all_fsync_replicated,
        None => config.acks_all_fsync,
    };
    request.acks == -1 && is_promised
}

/// Whether an append waits for other replicas.
fn must_replicate(inner: &Inner, request: &AppendRequest, last_offset: i64) -> bool {
    request.acks == -1 && inner.leadership.is_some() && inner.high_watermark <= last_offset
}

/// Random-looking share of the jitter, the same for a segment each time.
fn jitter(label: &str, base_offset: i64, jitter_ms: i64) -> i64 {
    if jitter_ms <= 0 {
        return 0;
    }
    let seed = crate::batch::crc32c_of_two(label.as_bytes(), &base_offset.to_be_bytes());
    i64::from(seed) % jitter_ms
}

fn payload_of<'a>(records: &'a [u8], batch: &'a Prepared) -> &'a [u8] {
    let bytes = match &batch.replacement {
        Some(bytes) => bytes.as_slice(),
        None => records.get(batch.start..batch.start + batch.size()).unwrap_or_default(),
    };
    bytes.get(HEADER_BYTES..).unwrap_or_default()
}

/// Stamps offsets and epochs into the bytes and hands them over as one run: the caller's own where possible.
fn with_bytes<T>(
    records: &mut [u8],
    prepared: &[Prepared],
    total_bytes: usize,
    with: impl FnOnce(&[u8]) -> T,
) -> T {
    let stamp = |bytes: &mut [u8], header: &BatchHeader| {
        put(bytes, 0, header.base_offset.to_be_bytes());
        put(bytes, 12, header.leader_epoch.to_be_bytes());
    };
    if prepared.iter().all(|batch| batch.replacement.is_none()) {
        for batch in prepared {
            if let Some(bytes) = records.get_mut(batch.start..) {
                stamp(bytes, &batch.header);
            }
        }
        let start = prepared.first().map_or(0, |batch| batch.start);
        return with(records.get(start..start + total_bytes).unwrap_or_default());
    }
    let mut joined = Vec::with_capacity(total_bytes);
    for batch in prepared {
        let from = joined.len();
        match &batch.replacement {
            Some(bytes) => joined.extend_from_slice(bytes),
            None => {
                joined.extend_from_slice(
                    records.get(batch.start..batch.start + batch.size()).unwrap_or_default(),
                );
            }
        }
        if let Some(bytes) = joined.get_mut(from..) {
            stamp(bytes, &batch.header);
        }
    }
    with(&joined)
}
