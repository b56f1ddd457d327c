//! Reading: which bytes of which file may be sent, found without copying any; lookups by time and by epoch.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inner, PartitionLog, Role};
use crate::batch::{BatchHeader, HEADER_BYTES, is_crc_valid};
use crate::compress::open_reader;
use crate::error::KafkaCode;
use crate::records::RecordStream;
use crate::segment::{Located, Segment};
use crate::types::{
    AbortedTransaction, Asker, Change, EpochEndOffset, FileSlice, Isolation, OffsetLookup,
    ReadPlan, ReadRequest,
};

/// What a read knows once the lock is free again.
struct Snapshot {
    plan: ReadPlan,
    target: Option<Target>,
}

struct Target {
    segments: Vec<Arc<Segment>>,
    /// First offset that may not be seen.
    end_offset: i64,
    log_end_offset: i64,
    /// Positions known from the tail: start, and the end within the request's limit.
    known: Option<(u64, u64)>,
    has_aborted: bool,
}

impl PartitionLog {
    /// Finds the bytes to send. Never copies. Only whole batches; the first one is whole even when it is larger than asked, if
    /// `min_one_message`. An empty plan with code 0 means that there is nothing to send yet.
    pub fn read(&self, request: &ReadRequest) -> ReadPlan {
        let Snapshot { mut plan, target } = self.snapshot(request);
        if plan.is_moved {
            self.notify(Change::Committed);
        }
        let Some(target) = target else { return plan };
        match self.find_slice(request, &target) {
            Ok(slice) => plan.slice = slice,
            Err(_) if self.is_deleted() => plan.code = KafkaCode::UNKNOWN_TOPIC_OR_PARTITION,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The segment was removed between the two looks.
                let log_start_offset = self.inner.lock().log_start_offset;
                plan.log_start_offset = log_start_offset;
                plan.code = if request.offset < log_start_offset {
                    KafkaCode::OFFSET_OUT_OF_RANGE
                } else {
                    KafkaCode::KAFKA_STORAGE_ERROR
                };
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                plan.code = KafkaCode::CORRUPT_MESSAGE;
            }
            Err(_) => plan.code = KafkaCode::KAFKA_STORAGE_ERROR,
        }
        if request.isolation == Isolation::ReadCommitted && plan.code == KafkaCode::NONE {
            plan.aborted = Some(match plan.slice {
                Some(_) if target.has_aborted => {
                    aborted_transactions(request.offset, target.end_offset, &target.segments)
                        .unwrap_or_default()
                }
                _ => Vec::new(),
            });
        }
        plan
    }

    fn snapshot(&self, request: &ReadRequest) -> Snapshot {
        let config = request.replica.map(|_| self.config());
        let mut inner = self.inner.lock();
        let mut plan = ReadPlan {
            code: KafkaCode::NONE,
            high_watermark: inner.high_watermark,
            last_stable_offset: inner.last_stable_offset(),
            log_start_offset: inner.log_start_offset,
            slice: None,
            diverging: None,
            aborted: None,
            is_moved: false,
        };
        let end_offset = match request.isolation {
            Isolation::ReadUncommitted => plan.high_watermark,
            Isolation::ReadCommitted => plan.last_stable_offset,
            Isolation::LogEnd => inner.log_end_offset,
        };
        if let Some(code) =
            self.refusal().or_else(|| check_epoch(&inner, request.current_leader_epoch))
        {
            plan.code = code;
            return Snapshot { plan, target: None };
        }
        if inner.role == Role::Follower && (request.leader_only || request.replica.is_some()) {
            plan.code = KafkaCode::NOT_LEADER_OR_FOLLOWER;
            return Snapshot { plan, target: None };
        }
        if let Some(code) = request.replica.as_ref().and_then(|replica| {
            inner.refuse_replica(replica, request.current_leader_epoch, &self.store.brokers)
        }) {
            plan.code = code;
            return Snapshot { plan, target: None };
        }
        if request.last_fetched_epoch >= 0 {
            let end = inner.epochs.end_offset_for(request.last_fetched_epoch, inner.log_end_offset);
            if end.epoch < 0 || end.end_offset < 0 {
                plan.code = KafkaCode::OFFSET_OUT_OF_RANGE;
                return Snapshot { plan, target: None };
            }
            if request.offset < inner.log_start_offset {
                plan.code = KafkaCode::OFFSET_OUT_OF_RANGE;
                return Snapshot { plan, target: None };
            }
            if end.epoch < request.last_fetched_epoch || end.end_offset < request.offset {
                plan.diverging = Some(end);
                return Snapshot { plan, target: None };
            }
        }
        if request.offset > inner.log_end_offset || request.offset < inner.log_start_offset {
            plan.code = KafkaCode::OFFSET_OUT_OF_RANGE;
            return Snapshot { plan, target: None };
        }
        if let (Some(replica), Some(config)) =
            (request.replica.as_ref().filter(|replica| replica.is_noted), &config)
        {
            plan.is_moved = inner.note_replica(
                replica,
                request.offset,
                config.min_insync_replicas,
                &self.store.brokers,
            );
            plan.high_watermark = inner.high_watermark;
            plan.last_stable_offset = inner.last_stable_offset();
        }
        if request.offset >= end_offset {
            if request.isolation == Isolation::ReadCommitted {
                plan.aborted = Some(Vec::new());
            }
            return Snapshot { plan, target: None };
        }
        // A log whose first records are gone can begin between two segments.
        let index = inner.segment_index(request.offset).unwrap_or(0);
        let target = Target {
            known: known_positions(&inner, request, end_offset),
            segments: inner.segments.get(index..).map(<[_]>::to_vec).unwrap_or_default(),
            end_offset,
            log_end_offset: inner.log_end_offset,
            has_aborted: inner.has_aborted,
        };
        Snapshot { plan, target: Some(target) }
    }

    fn find_slice(&self, request: &ReadRequest, target: &Target) -> io::Result<Option<FileSlice>> {
        let limit_bytes = request.max_bytes.max(0) as u64;
        if let (Some((start, end)), Some(segment)) = (target.known, target.segments.first()) {
            return self.slice(segment, (start, end), request.offset, target.log_end_offset);
        }
        let is_in_hole = |segment: &Arc<Segment>| {
            segment.holes().is_some_and(|holes| holes.iter().any(|hole| hole.holds(request.offset)))
        };
        if target.segments.first().is_some_and(is_in_hole) {
            return Err(damaged());
        }
        for (index, segment) in target.segments.iter().enumerate() {
            let located = segment.locate(request.offset)?;
            // Damage that is found meanwhile makes the search step over it: what it steps over may be what was asked for.
            if index == 0 && is_in_hole(segment) {
                return Err(damaged());
            }
            // Compaction can leave a gap at a segment's end: then the next one has the offset.
            let Some(first) = located else {
                if index == 0 && segment.stops_early(request.offset)? {
                    self.suspect(segment);
                    return Err(damaged());
                }
                continue;
            };
            if first.header.base_offset >= target.log_end_offset {
                // No batch has such an offset.
                self.suspect(segment);
                return Err(damaged());
            }
            if first.header.base_offset >= target.end_offset {
                return Ok(None);
            }
            let next_base = target
                .segments
                .get(index + 1)
                .map_or(target.log_end_offset, |next| next.base_offset);
            let upper = if target.end_offset >= next_base {
                segment.size()
            } else {
                segment
                    .locate(target.end_offset)?
                    .map_or_else(|| segment.size(), |located| located.position)
            };
            if upper <= first.position {
                return Ok(None);
            }
            let start = first.position;
            let mut end =
                segment.batch_end_before(start, start.saturating_add(limit_bytes), upper)?;
            if end <= start {
                if !request.min_one_message {
                    return Ok(None);
                }
                end = start + first.header.size() as u64;
            }
            return self.slice(segment, (start, end), request.offset, next_base);
        }
        Ok(None)
    }

    /// The part of `range` that may be sent to somebody who asked for `offset`; `next_base` is where the next segment begins.
    fn slice(
        &self,
        segment: &Arc<Segment>,
        (position, mut end): (u64, u64),
        offset: i64,
        next_base: i64,
    ) -> io::Result<Option<FileSlice>> {
        for hole in segment.holes().iter().flat_map(|holes| holes.iter()) {
            if (hole.from..hole.to).contains(&position) {
                return Err(damaged());
            }
            if hole.from >= position {
                end = end.min(hole.from);
            }
        }
        if end <= position {
            return Ok(None);
        }
        let mut slice = FileSlice { file: segment.existing()?, position, length: end - position };
        // A coordinator builds its state on what it reads here: wrong or missing records there would be silent.
        if self.store.verify_on_read || self.is_internal {
            let behind = segment.header_at(end)?.map_or(next_base, |header| header.base_offset);
            let good = verified_bytes(&slice, offset, behind)?;
            if good < slice.length {
                self.suspect(segment);
            }
            if good == 0 {
                return Err(damaged());
            }
            slice.length = good;
        }
        Ok(Some(slice))
    }

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

    /// Where `epoch` ends, for a caller that knows `current_leader_epoch` (-1: any).
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR, UNKNOWN_TOPIC_OR_PARTITION.
    pub fn end_offset_for_epoch(
        &self,
        current_leader_epoch: i32,
        epoch: i32,
    ) -> Result<EpochEndOffset, KafkaCode> {
        let inner = self.inner.lock();
        if let Some(code) = self.refusal().or_else(|| check_epoch(&inner, current_leader_epoch)) {
            return Err(code);
        }
        Ok(inner.epochs.end_offset_for(epoch, inner.log_end_offset))
    }

    /// Whether the partition was deleted, quarantined or its directory poisoned: what `DescribeLogDirs` and tests ask.
    pub fn is_healthy(&self) -> bool {
        !self.is_deleted.load(Ordering::Acquire)
            && self.refusal().is_none()
            && !self.directory.is_poisoned()
    }
}

/// Kafka's comparison of the caller's epoch with ours.
fn check_epoch(inner: &Inner, caller_epoch: i32) -> Option<KafkaCode> {
    if caller_epoch < 0 || inner.leader_epoch < 0 {
        return None;
    }
    match caller_epoch.cmp(&inner.leader_epoch) {
        std::cmp::Ordering::Less => Some(KafkaCode::FENCED_LEADER_EPOCH),
        std::cmp::Ordering::Greater => Some(KafkaCode::UNKNOWN_LEADER_EPOCH),
        std::cmp::Ordering::Equal => None,
    }
}

/// Positions of a tail read, when every batch from its start is remembered and visible.
fn known_positions(inner: &Inner, request: &ReadRequest, end_offset: i64) -> Option<(u64, u64)> {
    if inner.recent.front()?.base_offset > request.offset {
        return None;
    }
    let first = inner.recent.partition_point(|batch| batch.last_offset < request.offset);
    let start = inner.recent.get(first)?;
    if start.last_offset >= end_offset {
        return Some((start.position, start.position));
    }
    let limit = start.position.saturating_add(request.max_bytes.max(0) as u64);
    let after =
        inner.recent.partition_point(|batch| batch.end <= limit && batch.last_offset < end_offset);
    let end = match after
        .checked_sub(1)
        .filter(|last| *last >= first)
        .and_then(|last| inner.recent.get(last))
    {
        Some(last) => last.end,
        None if request.min_one_message => start.end,
        None => start.position,
    };
    Some((start.position, end))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the records are damaged on disk")
}

/// Leading bytes of the slice whose batches have good CRCs and offsets in order: from `offset` on, and below `behind`.
fn verified_bytes(slice: &FileSlice, offset: i64, behind: i64) -> io::Result<u64> {
    let mut good = 0;
    let mut batch = Vec::new();
    // Where the last batch began, if it left a gap before itself, and the offset after it.
    let mut gap = None;
    let mut last = 0;
    let mut expected = offset;
    while good < slice.length {
        batch.resize(HEADER_BYTES, 0);
        let got = slice.read_into(good, &mut batch)?;
        let Some(header) = BatchHeader::parse(batch.get(..got).unwrap_or_default()) else {
            return Ok(good);
        };
        let size = header.size();
        let is_good =
            header.magic == 2 && size >= HEADER_BYTES && size as u64 <= slice.length - good && {
                batch.resize(size, 0);
                slice.read_into(good, &mut batch)? == size && is_crc_valid(&batch)
            };
        if !is_good {
            return Ok(good);
        }
        // The first batch may begin before the offset that was asked for.
        if header.base_offset < expected && good > 0 {
            // One of the two has another's offset: neither is served.
            return Ok(gap.unwrap_or(last));
        }
        gap = (header.base_offset > expected).then_some(good);
        expected = header.next_offset();
        last = good;
        good += size as u64;
    }
    Ok(if behind < expected { gap.unwrap_or(last) } else { good })
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

/// Aborted transactions that overlap `from..to`, in the order of their markers.
fn aborted_transactions(
    from: i64,
    to: i64,
    segments: &[Arc<Segment>],
) -> io::Result<Vec<AbortedTransaction>> {
    let mut found = Vec::new();
    for segment in segments {
        for entry in segment.aborted()? {
            if entry.last_offset >= from && entry.first_offset < to {
                found.push(AbortedTransaction {
                    producer_id: entry.producer_id,
                    first_offset: entry.first_offset,
                });
            }
            if entry.last_stable_offset >= to {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
