//! Reading: which bytes of which file may be sent, found without copying any; lookups by epoch.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inner, PartitionLog, Role};
use crate::batch::{BatchHeader, HEADER_BYTES, is_crc_valid};
use crate::contention;
use crate::error::KafkaCode;
use crate::segment::{Bounds, ReadScratch, Segment};
use crate::types::{
    AbortedTransaction, Change, EpochEndOffset, FileSlice, Isolation, ReadPlan, ReadRequest,
};

thread_local! {
    static SCRATCH: RefCell<ReadScratch> = RefCell::default();
}

/// Segments that a read takes with it at first: the one with the offset, and the next, for where the first ends.
const FIRST_SEGMENTS: usize = 2;

/// What a read knows once the lock is free again.
struct Snapshot {
    plan: ReadPlan,
    target: Option<Target>,
}

struct Target {
    segments: Vec<Arc<Segment>>,
    /// There are segments behind these.
    is_cut_short: bool,
    /// The search came to one of those.
    wants_more: bool,
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
        let mut scratch = SCRATCH.take();
        let plan = self.read_with(request, &mut scratch);
        SCRATCH.set(scratch);
        plan
    }

    /// As [`Self::read`]. Where the search came upon all of the records, `scratch` has them: no second look at the file is needed.
    pub fn read_with(&self, request: &ReadRequest, scratch: &mut ReadScratch) -> ReadPlan {
        scratch.reset();
        let Snapshot { mut plan, target } = self.snapshot(request);
        if plan.is_moved {
            self.notify(Change::Committed);
        }
        let Some(mut target) = target else { return plan };
        let found = match self.find_slice(request, &mut target, scratch) {
            Ok(None) if target.wants_more => {
                self.take_all_segments(request.offset, &mut target);
                self.find_slice(request, &mut target, scratch)
            }
            other => other,
        };
        match found {
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
        let mut inner = contention::READ.lock(&self.inner);
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
        let segments = inner.segments.get(index..).unwrap_or_default();
        let has_aborted = inner.has_aborted && request.isolation == Isolation::ReadCommitted;
        let count = if has_aborted { segments.len() } else { segments.len().min(FIRST_SEGMENTS) };
        let target = Target {
            known: known_positions(&inner, request, end_offset),
            segments: segments.get(..count).map(<[_]>::to_vec).unwrap_or_default(),
            is_cut_short: count < segments.len(),
            wants_more: false,
            end_offset,
            log_end_offset: inner.log_end_offset,
            has_aborted,
        };
        Snapshot { plan, target: Some(target) }
    }

    fn take_all_segments(&self, offset: i64, target: &mut Target) {
        let inner = self.inner.lock();
        let index = inner.segment_index(offset).unwrap_or(0);
        target.segments = inner.segments.get(index..).map(<[_]>::to_vec).unwrap_or_default();
        target.is_cut_short = false;
        target.wants_more = false;
    }

    fn find_slice(
        &self,
        request: &ReadRequest,
        target: &mut Target,
        scratch: &mut ReadScratch,
    ) -> io::Result<Option<FileSlice>> {
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
            let next = target.segments.get(index + 1);
            if next.is_none() && target.is_cut_short {
                target.wants_more = true;
                return Ok(None);
            }
            let found = segment.find(request.offset, limit_bytes, scratch)?;
            // Damage that is found meanwhile makes the search step over it: what it steps over may be what was asked for.
            if index == 0 && is_in_hole(segment) {
                return Err(damaged());
            }
            // Compaction can leave a gap at a segment's end: then the next one has the offset.
            let Some((first, mut scanner, cuts)) = found else {
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
            let next_base = next.map_or(target.log_end_offset, |next| next.base_offset);
            let start = first.position;
            let bounds = Bounds {
                limit: start.saturating_add(limit_bytes),
                end_offset: (target.end_offset < next_base).then_some(target.end_offset),
            };
            let mut reach = segment.reach(&first, bounds, &mut scanner)?;
            scratch.keep(scanner);
            if reach.is_first_too_large && request.min_one_message {
                reach.end = start + first.header.size() as u64;
                reach.next_offset = Some(first.header.next_offset());
            }
            if reach.end <= start {
                // As above: what was found is set aside by now.
                return if index == 0 && is_in_hole(segment) { Err(damaged()) } else { Ok(None) };
            }
            let slice = self.slice(segment, (start, reach.end), request.offset, next_base)?;
            if let Some(slice) = &slice {
                scratch.hold(slice.position, slice.length);
                if let Some(next_offset) = reach.next_offset
                    && slice.position + slice.length == reach.end
                {
                    segment.note_read_end(next_offset, reach.end, cuts);
                }
            }
            return Ok(slice);
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
        !self.is_deleted.load(Ordering::Acquire) && self.refusal().is_none() && !self.is_failed()
    }
}

/// Kafka's comparison of the caller's epoch with ours.
pub(super) fn check_epoch(inner: &Inner, caller_epoch: i32) -> Option<KafkaCode> {
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
