//! Whether an append is taken, and where it would land: everything that is checked under the partition's lock before a byte is written.
//! Nothing here changes the log.

use std::sync::atomic::Ordering;

use super::append::bytes_of;
use super::replication::refuse_follower;
use super::{Inner, PartitionLog, Role};
use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::config::LogConfig;
use crate::error::{AppendError, KafkaCode, LogError};
use crate::io::{is_device_failure, is_out_of_space};
use crate::producer::{EndMarker, parse_end_marker};
use crate::types::{AppendOutcome, AppendRequest, Origin};
use crate::validate::Prepared;

/// What one append is asked, and by whom.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a AppendRequest,
    pub(super) config: &'a LogConfig,
}

/// An append that is not refused.
pub(super) enum Admitted {
    /// There is nothing to write.
    Settled(AppendOutcome),
    /// The batches have their offsets. With the transaction marker of each that is one, or with nothing where none is.
    Placed(Vec<Option<EndMarker>>),
}

impl PartitionLog {
    /// All checks under the lock but for room on the disk, in Kafka's order.
    pub(super) fn admit(
        &self,
        inner: &mut Inner,
        prepared: &mut [Prepared],
        records: &[u8],
        asked: &Asked<'_>,
    ) -> Result<Admitted, AppendError> {
        let Asked { request, config, .. } = *asked;
        self.check_role(inner, request)?;
        self.check_replicas(inner, request, config)?;
        self.finish_cut(inner).map_err(|error| self.refuse_write(&error))?;
        let Some(first) = prepared.first() else {
            return Ok(Admitted::Settled(AppendOutcome {
                base_offset: inner.log_end_offset,
                last_offset: inner.log_end_offset - 1,
                append_time_ms: -1,
                log_start_offset: inner.log_start_offset,
                await_sync: false,
                await_replication: false,
                is_duplicate: false,
            }));
        };
        if let Some(outcome) = self.find_duplicate(inner, &first.header, asked) {
            return Ok(Admitted::Settled(outcome));
        }
        let log_end_offset = inner.log_end_offset;
        self.assign(inner, prepared, request, log_end_offset)?;
        self.check_producers(inner, prepared, records, request.origin).map(Admitted::Placed)
    }

    /// Refuses appends to a log that takes none.
    pub(super) fn refuse_unless_writable(&self) -> Result<(), AppendError> {
        self.check_writable()
            .map_err(|error| AppendError::new(error.kafka_code(), error.to_string()))
    }

    /// What a failed write means. A disk without room, and whatever else may pass, costs this append and nothing else; a device that
    /// fails is not written to again.
    pub(super) fn refuse_write(&self, error: &std::io::Error) -> AppendError {
        if is_out_of_space(error) {
            self.directory.read().space.note_refusal(error);
        } else if is_device_failure(error) {
            self.home().poison(&format!("{}: {error}", self.label));
        }
        AppendError::storage(&LogError::io("append to", &self.path(), error))
    }

    pub(super) fn check_role(
        &self,
        inner: &Inner,
        request: &AppendRequest,
    ) -> Result<(), AppendError> {
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
    pub(super) fn check_replicas(
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

    /// The answer to a client's retry of a batch that is in the producer's window.
    pub(super) fn find_duplicate(
        &self,
        inner: &Inner,
        header: &BatchHeader,
        asked: &Asked<'_>,
    ) -> Option<AppendOutcome> {
        let Asked { request, config } = *asked;
        if !header.has_producer_id() || request.origin != Origin::Client {
            return None;
        }
        let known = inner.producers.find_duplicate(header)?;
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

    /// Gives the batches their offsets, from `next_offset` on, and epoch, or checks those that a follower copied.
    pub(super) fn assign(
        &self,
        inner: &Inner,
        prepared: &mut [Prepared],
        request: &AppendRequest,
        mut next_offset: i64,
    ) -> Result<(), AppendError> {
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

    /// Checks producer epochs and sequences; returns the transaction marker of each batch that is one, or nothing where none is.
    pub(super) fn check_producers(
        &self,
        inner: &Inner,
        prepared: &[Prepared],
        records: &[u8],
        origin: Origin,
    ) -> Result<Vec<Option<EndMarker>>, AppendError> {
        let mut markers = Vec::new();
        for (index, batch) in prepared.iter().enumerate() {
            let header = &batch.header;
            if !header.has_producer_id() {
                continue;
            }
            if !header.is_control() {
                inner.producers.check(header, origin, &self.label)?;
                continue;
            }
            let marker = parse_end_marker(header, payload_of(records, batch));
            if let Some(marker) = &marker
                && origin != Origin::RawFollower
            {
                inner.producers.check_marker(header, marker, &self.label)?;
            }
            markers.resize(prepared.len(), None);
            if let Some(place) = markers.get_mut(index) {
                *place = marker;
            }
        }
        Ok(markers)
    }

    /// Counts bytes that are about to be written against the room on the disk.
    pub(super) fn take_room(&self, bytes: usize, origin: Origin) -> Result<(), AppendError> {
        let may_use_reserve = self.is_internal || origin == Origin::Coordinator;
        if self.directory.read().space.take(bytes, may_use_reserve) {
            return Ok(());
        }
        Err(AppendError::new(
            KafkaCode::KAFKA_STORAGE_ERROR,
            format!(
                "The disk of {} is full: what is left is kept for offsets and metadata. Writes resume when there is room.",
                self.home().path.display()
            ),
        ))
    }

    /// Kafka's limit for what a leader takes in one append.
    pub(super) fn check_total(&self, bytes: usize, config: &LogConfig) -> Result<(), AppendError> {
        if bytes as i64 <= config.segment_bytes {
            return Ok(());
        }
        Err(AppendError::new(
            KafkaCode::RECORD_LIST_TOO_LARGE,
            format!(
                "Message batch size is {bytes} bytes in append to partition {}, which exceeds the maximum configured segment \
                 size of {}.",
                self.label, config.segment_bytes
            ),
        ))
    }
}

/// Whether an append may be acknowledged only when it is on disk. Several replicas vouch for each other unless asked otherwise.
pub(super) fn is_sync_promised(inner: &Inner, request: &AppendRequest, config: &LogConfig) -> bool {
    let is_promised = match inner.leadership {
        Some(_) => config.acks_all_fsync_replicated,
        None => config.acks_all_fsync,
    };
    request.acks == -1 && is_promised
}

/// Whether an append waits for other replicas.
pub(super) fn must_replicate(inner: &Inner, request: &AppendRequest, last_offset: i64) -> bool {
    request.acks == -1 && inner.leadership.is_some() && inner.high_watermark <= last_offset
}

fn payload_of<'a>(records: &'a [u8], batch: &'a Prepared) -> &'a [u8] {
    bytes_of(records, batch).get(HEADER_BYTES..).unwrap_or_default()
}
