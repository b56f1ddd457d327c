//! Appending: check outside of the lock, then assign offsets, write once, and remember.
//!
//! `admission.rs` has the checks under the lock, `roll.rs` the change of segments, `group.rs` appends of several requests at once,
//! `several.rs` those of one request to several partitions.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::admission::{Admitted, Asked, is_sync_promised, must_replicate};
use super::{Inner, PartitionLog, RECENT_BATCHES, Recent};
use crate::batch::{BatchHeader, put};
use crate::config::{LogConfig, TimestampType};
use crate::contention;
use crate::error::{AppendError, KafkaCode};
use crate::producer::EndMarker;
use crate::segment::Segment;
use crate::transactions::AbortedEntry;
use crate::types::{AppendLimits, AppendOutcome, AppendRequest, Change, Origin};
use crate::validate::{Prepared, Rules, prepare_client, prepare_coordinator, prepare_raw};

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
        self.append_within(records, request, &AppendLimits::NONE)
    }

    /// As [`Self::append`], for a thread that others wait for. What is beyond `limits` is refused with
    /// [`KafkaCode::NOT_INLINE`]: nothing is changed, and `records` belongs on another thread, without a limit.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_within(
        &self,
        records: &mut [u8],
        request: &AppendRequest,
        limits: &AppendLimits,
    ) -> Result<AppendOutcome, AppendError> {
        self.refuse_unless_writable()?;
        let config = self.config();
        let rules = Rules {
            config: &config,
            label: &self.label,
            now_ms: request.now_ms,
            is_client: request.origin == Origin::Client,
            inline_bytes: limits.inline_bytes,
        };
        let asked = Asked { request, config: &config };
        match request.origin {
            Origin::Client => {
                let mut batch = prepare_client(records, &rules)?;
                self.check_total(batch.size(), &config)?;
                self.append_prepared(records, std::slice::from_mut(&mut batch), &asked)
            }
            Origin::Coordinator => {
                let mut prepared = prepare_coordinator(records, &rules)?;
                self.check_total(size_of_all(&prepared), &config)?;
                self.append_prepared(records, &mut prepared, &asked)
            }
            Origin::RawFollower => {
                let mut prepared = prepare_raw(records, &self.label)?;
                if request.leader_epoch >= 0 {
                    // Batches of a later epoch are fetched again by whoever knows of that epoch.
                    let later = |batch: &Prepared| batch.header.leader_epoch > request.leader_epoch;
                    let known = prepared.iter().position(later).unwrap_or(prepared.len());
                    prepared.truncate(known);
                }
                self.append_prepared(records, &mut prepared, &asked)
            }
        }
    }

    fn append_prepared(
        &self,
        records: &mut [u8],
        prepared: &mut [Prepared],
        asked: &Asked<'_>,
    ) -> Result<AppendOutcome, AppendError> {
        let mut inner = contention::APPEND.lock(&self.inner);
        let markers = match self.admit(&mut inner, prepared, records, asked)? {
            Admitted::Placed(markers) => markers,
            Admitted::Settled(outcome) => {
                drop(inner);
                if outcome.await_sync {
                    self.request_sync();
                }
                return Ok(outcome);
            }
        };
        self.take_room(size_of_all(prepared), asked.request.origin)?;
        let landed = self.land(&mut inner, prepared, records, &markers, asked)?;
        drop(inner);
        Ok(self.tell(&landed))
    }

    /// Writes batches that were admitted.
    pub(super) fn land(
        &self,
        inner: &mut Inner,
        prepared: &mut [Prepared],
        records: &mut [u8],
        markers: &[Option<EndMarker>],
        asked: &Asked<'_>,
    ) -> Result<Landed, AppendError> {
        let Asked { request, config, .. } = *asked;
        let base_offset = prepared.first().map_or(0, |batch| batch.header.base_offset);
        let wanted = Wanted {
            bytes: size_of_all(prepared),
            base_offset,
            last_offset: prepared.last().map_or(base_offset, |batch| batch.header.last_offset()),
            largest_timestamp: prepared
                .iter()
                .map(|batch| batch.header.max_timestamp)
                .max()
                .unwrap_or(-1),
            now_ms: request.now_ms,
        };
        let active = self.place(inner, config, &wanted)?;
        let mut position = active.size();
        active.write(&run_of(records, prepared)).map_err(|error| self.refuse_write(&error))?;
        let headers = prepared.iter().map(|batch| &batch.header);
        active.note_written(position, headers, config.index_interval_bytes);

        let mut record_count = 0;
        for (index, Prepared { header, .. }) in prepared.iter().enumerate() {
            let marker = markers.get(index).copied().flatten();
            remember(inner, &active, position, header, marker);
            position += header.size() as u64;
            record_count += i64::from(header.record_count);
        }
        let is_committed = self.advance(inner, config, request.now_ms);
        let offsets = (wanted.base_offset, wanted.last_offset);
        let outcome = settle(inner, request, config, offsets, record_count);
        Ok(Landed { outcome, is_committed })
    }

    /// Lets those know who wait for what landed, once the lock is let go.
    pub(super) fn tell(&self, landed: &Landed) -> AppendOutcome {
        let Landed { outcome, is_committed } = *landed;
        if outcome.await_sync {
            self.request_sync();
        }
        self.notify(if is_committed { Change::Everything } else { Change::LogEnd });
        outcome
    }

    /// The segment that takes what is wanted: a new one where Kafka would begin one.
    pub(super) fn place(
        &self,
        inner: &mut Inner,
        config: &LogConfig,
        wanted: &Wanted,
    ) -> Result<Arc<Segment>, AppendError> {
        let storage = |error: std::io::Error| self.refuse_write(&error);
        if self.must_roll(inner, config, wanted).map_err(storage)? {
            self.roll(inner, config, wanted.base_offset, wanted.now_ms).map_err(storage)?;
        }
        let Some(active) = inner.active().cloned() else {
            return Err(AppendError::new(
                KafkaCode::KAFKA_STORAGE_ERROR,
                format!("{} has no segment", self.label),
            ));
        };
        if active.size() == 0 && inner.recent.is_empty() {
            inner.needs_directory_sync = true;
        }
        Ok(active)
    }

    /// After batches were remembered; says whether the high watermark moved.
    pub(super) fn advance(&self, inner: &mut Inner, config: &LogConfig, now_ms: i64) -> bool {
        inner.producers.map_end_offset = inner.log_end_offset;
        inner.active_created_ms.get_or_insert(now_ms);
        inner.advance_high_watermark(config.min_insync_replicas, now_ms, &self.store.brokers)
    }
}

/// What was written, and nobody told of it.
pub(super) struct Landed {
    outcome: AppendOutcome,
    is_committed: bool,
}

/// What a write needs of the active segment.
pub(super) struct Wanted {
    pub(super) bytes: usize,
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) largest_timestamp: i64,
    pub(super) now_ms: i64,
}

fn size_of_all(prepared: &[Prepared]) -> usize {
    prepared.iter().map(Prepared::size).sum()
}

/// Takes over a batch that was written at `position`.
pub(super) fn remember(
    inner: &mut Inner,
    active: &Segment,
    position: u64,
    header: &BatchHeader,
    marker: Option<EndMarker>,
) {
    if inner.recent.len() == RECENT_BATCHES {
        inner.recent.pop_front();
    }
    inner.recent.push_back(Recent {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        position,
        end: position + header.size() as u64,
    });
    inner.gap_from = None;
    inner.are_epochs_dirty |= inner.epochs.assign(header.leader_epoch, header.base_offset);
    match marker {
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

/// Counts what now waits for a sync, and says what the append's answer waits for.
pub(super) fn settle(
    inner: &mut Inner,
    request: &AppendRequest,
    config: &LogConfig,
    (base_offset, last_offset): (i64, i64),
    record_count: i64,
) -> AppendOutcome {
    inner.unflushed_records += record_count;
    inner.unflushed_since.get_or_insert_with(Instant::now);
    let is_flush_due = inner.unflushed_records >= config.flush_messages;
    let is_own_time = config.message_timestamp_type == TimestampType::LogAppendTime
        && request.origin != Origin::RawFollower;
    AppendOutcome {
        base_offset,
        last_offset,
        append_time_ms: if is_own_time { request.now_ms } else { -1 },
        log_start_offset: inner.log_start_offset,
        await_sync: is_flush_due || is_sync_promised(inner, request, config),
        await_replication: must_replicate(inner, request, last_offset),
        is_duplicate: false,
    }
}

/// Writes what the leader decided into a batch: offset and epoch lie before what the CRC covers.
pub(super) fn stamp(records: &mut [u8], batch: &mut Prepared) {
    let bytes = match &mut batch.replacement {
        Some(bytes) => bytes,
        None => records.get_mut(batch.start..).unwrap_or_default(),
    };
    put(bytes, 0, batch.header.base_offset.to_be_bytes());
    put(bytes, 12, batch.header.leader_epoch.to_be_bytes());
}

/// A batch's bytes, wherever they are.
pub(super) fn bytes_of<'a>(records: &'a [u8], batch: &'a Prepared) -> &'a [u8] {
    match &batch.replacement {
        Some(bytes) => bytes,
        None => records.get(batch.start..batch.start + batch.size()).unwrap_or_default(),
    }
}

/// Stamps batches and returns their bytes as one run: the caller's own where possible.
fn run_of<'a>(records: &'a mut [u8], prepared: &'a mut [Prepared]) -> Cow<'a, [u8]> {
    for batch in prepared.iter_mut() {
        stamp(records, batch);
    }
    match &*prepared {
        [] => Cow::Borrowed(&[]),
        [batch] => Cow::Borrowed(bytes_of(records, batch)),
        [first, .., last] if prepared.iter().all(|batch| batch.replacement.is_none()) => {
            Cow::Borrowed(records.get(first.start..last.start + last.size()).unwrap_or_default())
        }
        batches => {
            let mut joined = Vec::with_capacity(size_of_all(batches));
            for batch in batches {
                joined.extend_from_slice(bytes_of(records, batch));
            }
            Cow::Owned(joined)
        }
    }
}
