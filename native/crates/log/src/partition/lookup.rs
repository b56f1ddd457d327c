//! Lookups by time: the offset of the first record at or after a timestamp.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;

use super::read::check_epoch;
use super::{PartitionLog, Role};
use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::compress::open_reader;
use crate::error::KafkaCode;
use crate::records::RecordStream;
use crate::segment::{Located, Segment};
use crate::types::{Asker, Isolation, OffsetLookup};

impl PartitionLog {
    /// Offset of the first record at or after `timestamp`, or a special: -1 latest (by isolation), -2 earliest, -3 record with the
    /// largest timestamp, -4 earliest local, -5 latest tiered (none here).
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
        isolation: Isolation,
        leader_epoch: i32,
    ) -> OffsetLookup {
        let who = Asker { leader_epoch, leader_only: false };
        self.offset_for_timestamp_within(timestamp, isolation, who, u64::MAX).0
    }

    /// As [`Self::offset_for_timestamp`], for a thread that others wait for: once more than `inline_bytes` of batches, inflated, would
    /// have to be walked, the answer is [`KafkaCode::NOT_INLINE`]. Also answers how many bytes were walked.
    pub fn offset_for_timestamp_within(
        &self,
        timestamp: i64,
        isolation: Isolation,
        asker: Asker,
        inline_bytes: u64,
    ) -> (OffsetLookup, u64) {
        let budget = Budget { limit: inline_bytes, used: Cell::new(0) };
        let found = self.look_up_time(timestamp, isolation, asker, &budget);
        (found, budget.used.get().min(inline_bytes))
    }

    fn look_up_time(
        &self,
        timestamp: i64,
        isolation: Isolation,
        asker: Asker,
        budget: &Budget,
    ) -> OffsetLookup {
        let nothing = |code| OffsetLookup { code, offset: -1, timestamp: -1, leader_epoch: -1 };
        let (end_offset, log_start_offset, segments, beyond) = {
            let inner = self.inner.lock();
            if let Some(code) = self.refusal().or_else(|| check_epoch(&inner, asker.leader_epoch)) {
                return nothing(code);
            }
            if asker.leader_only && inner.role == Role::Follower {
                return nothing(KafkaCode::NOT_LEADER_OR_FOLLOWER);
            }
            // A new leader does not know yet how far the last one had committed: no answer may go back behind that.
            let is_lagging = isolation != Isolation::LogEnd
                && inner
                    .leadership
                    .as_ref()
                    .is_some_and(|known| known.epoch_start_offset > inner.high_watermark);
            let beyond = if is_lagging { KafkaCode::OFFSET_NOT_AVAILABLE } else { KafkaCode::NONE };
            let end_offset = match isolation {
                Isolation::ReadUncommitted => inner.high_watermark,
                Isolation::ReadCommitted => inner.last_stable_offset(),
                Isolation::LogEnd => inner.log_end_offset,
            };
            let epoch_at = |offset: i64| inner.epochs.epoch_at(offset).unwrap_or(-1);
            match timestamp {
                -1 if is_lagging => return nothing(beyond),
                -1 => {
                    let epoch = if inner.leader_epoch >= 0 {
                        inner.leader_epoch
                    } else {
                        epoch_at(end_offset)
                    };
                    return OffsetLookup {
                        code: KafkaCode::NONE,
                        offset: end_offset,
                        timestamp: -1,
                        leader_epoch: epoch,
                    };
                }
                -2 | -4 => {
                    return OffsetLookup {
                        code: KafkaCode::NONE,
                        offset: inner.log_start_offset,
                        timestamp: -1,
                        leader_epoch: epoch_at(inner.log_start_offset),
                    };
                }
                -3 => {}
                _ if timestamp < 0 => return nothing(KafkaCode::NONE),
                _ => {}
            }
            (end_offset, inner.log_start_offset, inner.segments.clone(), beyond)
        };
        let found = if timestamp == -3 {
            max_timestamp_record(&segments, budget)
        } else {
            first_record_at(&segments, timestamp, log_start_offset, budget)
        };
        match found {
            Ok(Some((offset, timestamp, leader_epoch))) if offset < end_offset => {
                OffsetLookup { code: KafkaCode::NONE, offset, timestamp, leader_epoch }
            }
            Ok(_) => nothing(beyond),
            Err(_) if self.is_deleted() => nothing(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION),
            Err(_) if budget.is_exceeded() => nothing(KafkaCode::NOT_INLINE),
            Err(_) => nothing(KafkaCode::KAFKA_STORAGE_ERROR),
        }
    }
}

type RecordFound = Option<(i64, i64, i32)>;

/// How much of batches, inflated, may be walked on the calling thread.
struct Budget {
    limit: u64,
    used: Cell<u64>,
}

impl Budget {
    fn is_exceeded(&self) -> bool {
        self.used.get() > self.limit
    }

    /// Takes what is about to be walked.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        self.used.set(self.used.get().saturating_add(bytes as u64));
        if self.is_exceeded() {
            return Err(io::Error::other("more than may be walked on this thread"));
        }
        Ok(())
    }
}

/// What a decompressor yields, counted.
struct Metered<'a, R> {
    reader: R,
    budget: &'a Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        self.budget.spend(count)?;
        Ok(count)
    }
}

/// First record at or after both `timestamp` and `offset`: (offset, timestamp, epoch).
fn first_record_at(
    segments: &[Arc<Segment>],
    timestamp: i64,
    offset: i64,
    budget: &Budget,
) -> io::Result<RecordFound> {
    for segment in segments {
        if segment.size() == 0 || segment.max_timestamp()?.0 < timestamp {
            continue;
        }
        let mut from = offset.max(segment.base_offset);
        while let Some(Located { position, header }) = segment.locate_time(timestamp, from)? {
            let is_wanted = |at, time| time >= timestamp && at >= offset;
            if let Some((offset, found)) =
                find_record(segment, position, &header, budget, is_wanted)?
            {
                return Ok(Some((offset, found, header.leader_epoch)));
            }
            // The batch's largest time was a record's that compaction removed, or lay below the start.
            from = header.next_offset();
        }
    }
    Ok(None)
}

/// The record with the largest timestamp of all: (offset, timestamp, epoch).
fn max_timestamp_record(segments: &[Arc<Segment>], budget: &Budget) -> io::Result<RecordFound> {
    let mut best: Option<(i64, i64, &Arc<Segment>)> = None;
    for segment in segments.iter().filter(|segment| segment.size() > 0) {
        let (timestamp, offset) = segment.max_timestamp()?;
        if timestamp >= 0 && best.is_none_or(|(largest, _, _)| timestamp > largest) {
            best = Some((timestamp, offset, segment));
        }
    }
    let Some((timestamp, _, segment)) = best else { return Ok(None) };
    let Some(Located { position, header }) = segment.locate_time(timestamp, segment.base_offset)?
    else {
        return Ok(None);
    };
    let found = find_record(segment, position, &header, budget, |_, time| time == timestamp)?;
    Ok(found.map(|(offset, timestamp)| (offset, timestamp, header.leader_epoch)))
}

/// First record of a batch that `is_wanted`, as (offset, timestamp).
fn find_record(
    segment: &Segment,
    position: u64,
    header: &BatchHeader,
    budget: &Budget,
    is_wanted: impl Fn(i64, i64) -> bool,
) -> io::Result<Option<(i64, i64)>> {
    if header.is_log_append_time() {
        let first = (header.base_offset..=header.last_offset())
            .find(|offset| is_wanted(*offset, header.max_timestamp));
        return Ok(first.map(|offset| (offset, header.max_timestamp)));
    }
    let Some(codec) = header.codec() else { return Ok(None) };
    // What is compressed hardly shrinks when it is inflated: one that is too large is not even read.
    budget.spend(header.size())?;
    let mut bytes = vec![0; header.size()];
    let got = crate::io::read_full(&*segment.existing()?, &mut bytes, position)?;
    let payload = bytes.get(HEADER_BYTES..got).unwrap_or_default();
    let reader = Metered { reader: open_reader(codec, payload), budget };
    let mut records = RecordStream::new(reader, header.record_count);
    while let Some(record) = records.next_summary() {
        let record = record
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        if is_wanted(offset, timestamp) {
            return Ok(Some((offset, timestamp)));
        }
    }
    Ok(None)
}
