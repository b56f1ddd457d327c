//! Produce: one batch for each of some partitions that are led here.
//!
//! What the handler (`src/server/handlers/produce.ts`) would append and answer at once without an error is appended and answered
//! here. Everything else goes back untouched: a refused append leaves no trace in the log, and what it may have changed in the
//! batch, its header, is put back.
//!
//! What waits for a flush or for other replicas is answered when it is as safe as it has to be (`waiting.rs`). A request for several
//! partitions is checked in all of them before anything is appended (`PartitionLog::append_several`). One of them may still fail to be
//! written when others are: that error is answered here, as are those that end a wait, and none of them has words.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_log::{
    AppendLimits, AppendOutcome, AppendRequest, KafkaCode, Origin, PartitionLog, SeveralAppend,
};

use crate::frame::{Cursor, Header};
use crate::reply::ReplyBuffer;
use crate::topics::{Topic, TopicPartition};
use crate::waiting::{WaitingProduce, waits};
use crate::{Counts, PRODUCE_KEY, Scene, Served};

const MIN_VERSION: i16 = 3;
const MAX_VERSION: i16 = 13;
const FIRST_VERSION_WITH_ZSTD: i16 = 7;
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;

// Record batch: base offset 8, length 4, partition leader epoch 4, magic 1, crc 4, attributes 2.
const LENGTH_POSITION: usize = 8;
const BATCH_OVERHEAD_BYTES: usize = 12;
const MAGIC_POSITION: usize = 16;
const ATTRIBUTES_POSITION: usize = 22;
const BATCH_HEADER_BYTES: usize = 61;
const TRANSACTIONAL_BIT: u8 = 0x10;
const CONTROL_BIT: u8 = 0x20;
const CODEC_BITS: u8 = 0x07;
const CODEC_ZSTD: u8 = 4;

/// Partitions of one request.
const PARTS_MAX: usize = 64;

/// A batch may inflate to as much as on an event loop.
pub const LIMITS: AppendLimits = AppendLimits { inline_bytes: 1 << 20 };

/// One batch of a Produce.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where it goes.
    pub topic: Arc<Topic>,
    /// Which of its partitions.
    pub index: i32,
    /// Where the batch is in the frame; it fills the field.
    pub records: Range<usize>,
    /// Batches that the request has for this topic, where this is the first of them; else 0.
    pub topic_parts: usize,
}

impl Part {
    /// The partition it goes to.
    pub fn partition(&self) -> Option<&TopicPartition> {
        self.topic.partition(self.index)
    }
}

/// A Produce that the lane may append.
#[derive(Clone, Debug)]
pub struct Produce {
    /// 0, 1 or -1.
    pub acks: i16,
    /// How long its client waits, ms.
    pub timeout_ms: i32,
    topic_count: usize,
    first: Part,
    rest: Vec<Part>,
}

impl Produce {
    /// Of one batch.
    pub fn of_one(acks: i16, first: Part) -> Self {
        Self { acks, timeout_ms: 0, topic_count: 1, first, rest: Vec::new() }
    }

    /// Reads a Produce. `None` for whatever the lane does not serve.
    pub fn parse(frame: &[u8], header: &Header, scene: &Scene<'_>) -> Option<Self> {
        let version = header.api_version;
        if !(MIN_VERSION..=MAX_VERSION).contains(&version) {
            return None;
        }
        let flexible = header.is_flexible;
        let mut cursor = Cursor::new(frame, header.body);
        if cursor.nullable_string(flexible)?.is_some() {
            return None;
        }
        let acks = cursor.int16()?;
        let timeout_ms = cursor.int32()?;
        let topic_count = cursor.array_count(flexible)?;
        if !(-1..=1).contains(&acks) || topic_count > PARTS_MAX {
            return None;
        }
        let mut first: Option<Part> = None;
        let mut rest: Vec<Part> = Vec::new();
        for _ in 0..topic_count {
            let topic = if version >= FIRST_VERSION_WITH_TOPIC_IDS {
                scene.topics.by_id(&cursor.uuid()?)?
            } else {
                scene.topics.by_name(cursor.string(flexible)?)?
            };
            let topic_parts = cursor.array_count(flexible)?;
            // A topic that is named twice is answered once.
            let is_odd = topic_parts == 0
                || topic_parts > PARTS_MAX
                || first.iter().chain(&rest).any(|part| part.topic.id == topic.id);
            if is_odd {
                return None;
            }
            for number in 0..topic_parts {
                let index = cursor.int32()?;
                topic.partition(index)?;
                let records = cursor.bytes(flexible)?;
                cursor.no_tags(flexible)?;
                if !is_plain_batch(frame.get(records.clone())?, version) {
                    return None;
                }
                let part = Part {
                    topic: Arc::clone(&topic),
                    index,
                    records,
                    topic_parts: if number == 0 { topic_parts } else { 0 },
                };
                if first.is_none() {
                    first = Some(part);
                } else if rest.len() + 1 < PARTS_MAX {
                    rest.push(part);
                } else {
                    return None;
                }
            }
            cursor.no_tags(flexible)?;
        }
        cursor.no_tags(flexible)?;
        if !cursor.is_at_end() {
            return None;
        }
        Some(Self { acks, timeout_ms, topic_count, first: first?, rest })
    }

    /// Its batch, where it has one only.
    pub fn single(&self) -> Option<&Part> {
        self.rest.is_empty().then_some(&self.first)
    }

    /// Its batches, in the order of the request.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Appends, and answers or has the answer wait; or does nothing.
    pub fn serve(
        &self,
        frame: &mut [u8],
        header: &Header,
        scene: &Scene<'_>,
        waiting: &mut VecDeque<WaitingProduce>,
        reply: &mut ReplyBuffer,
    ) -> Served {
        let request_bytes = frame.len();
        let Some(part) = self.single() else {
            return self.serve_several(frame, header, scene, waiting, reply);
        };
        let (Some(partition), Some(records)) =
            (part.partition(), frame.get_mut(part.records.clone()))
        else {
            return Served::NotMine;
        };
        let Some(original) = head_of(records) else { return Served::NotMine };
        let request = AppendRequest {
            leader_epoch: partition.leader_epoch,
            acks: self.acks,
            origin: Origin::Client,
            now_ms: scene.now_ms,
        };
        if let Ok(landed) = partition.log.append_within(records, &request, &LIMITS) {
            let sent = Sent { header, request_bytes };
            return self.settle(&sent, &[Some(landed)], scene.counts, waiting, reply);
        }
        restore_head(records, &original);
        Served::NotMine
    }

    fn serve_several(
        &self,
        frame: &mut [u8],
        header: &Header,
        scene: &Scene<'_>,
        waiting: &mut VecDeque<WaitingProduce>,
        reply: &mut ReplyBuffer,
    ) -> Served {
        let request_bytes = frame.len();
        let heads: Option<Vec<BatchHead>> =
            self.parts().map(|part| head_of(frame.get(part.records.clone())?)).collect();
        let Some(heads) = heads else { return Served::NotMine };
        let mut appends = Vec::with_capacity(heads.len());
        // They lie in the frame in this order.
        let (mut behind, mut position) = (&mut *frame, 0);
        for part in self.parts() {
            let piece = part
                .records
                .start
                .checked_sub(position)
                .and_then(|skipped| std::mem::take(&mut behind).split_at_mut_checked(skipped))
                .and_then(|(_, piece)| piece.split_at_mut_checked(part.records.len()));
            let (Some((records, rest)), Some(partition)) = (piece, part.partition()) else {
                return Served::NotMine;
            };
            (behind, position) = (rest, part.records.end);
            let leader_epoch = partition.leader_epoch;
            appends.push(SeveralAppend { log: &partition.log, records, leader_epoch });
        }
        let landed = PartitionLog::append_several(&mut appends, self.acks, scene.now_ms, &LIMITS);
        if let Ok(outcomes) = landed {
            let outcomes: Vec<Option<AppendOutcome>> =
                outcomes.into_iter().map(Result::ok).collect();
            let sent = Sent { header, request_bytes };
            return self.settle(&sent, &outcomes, scene.counts, waiting, reply);
        }
        for (part, head) in self.parts().zip(&heads) {
            if let Some(records) = frame.get_mut(part.records.clone()) {
                restore_head(records, head);
            }
        }
        Served::NotMine
    }

    /// Counts appends, and answers them, or has them wait: for what they promise, or behind what waits already. `outcomes` has one for each
    /// batch, `None` where it could not be written.
    pub fn settle(
        &self,
        sent: &Sent<'_>,
        outcomes: &[Option<AppendOutcome>],
        counts: &Counts,
        waiting: &mut VecDeque<WaitingProduce>,
        reply: &mut ReplyBuffer,
    ) -> Served {
        for (part, landed) in self.parts().zip(outcomes) {
            part.count(landed.as_ref());
        }
        if self.acks == 0 {
            let is_whole = outcomes.iter().all(Option::is_some);
            return if is_whole { Served::NoReply } else { Served::Close };
        }
        if !waiting.is_empty() || outcomes.iter().flatten().any(waits) {
            let Sent { header, request_bytes } = *sent;
            waiting.push_back(WaitingProduce::new(header, self, outcomes, request_bytes));
            return Served::Waits;
        }
        let answers = outcomes.iter().map(|landed| match landed {
            Some(landed) => (KafkaCode::NONE, Some(landed)),
            None => (KafkaCode::KAFKA_STORAGE_ERROR, None),
        });
        self.write_answer(sent.header, answers, counts, reply);
        Served::Reply
    }

    /// Writes the answer: for each batch its code, and where it landed if it did. Errors are counted.
    pub fn write_answer<'o>(
        &self,
        header: &Header,
        answers: impl IntoIterator<Item = (KafkaCode, Option<&'o AppendOutcome>)>,
        counts: &Counts,
        reply: &mut ReplyBuffer,
    ) {
        let (version, flexible) = (header.api_version, header.is_flexible);
        let mark = reply.begin_frame(header.correlation_id, flexible);
        reply.array_count(flexible, self.topic_count);
        let mut is_first_topic = true;
        for (part, (code, landed)) in self.parts().zip(answers) {
            counts.error(PRODUCE_KEY, code);
            if part.topic_parts > 0 {
                if !is_first_topic {
                    reply.no_tags(flexible);
                }
                is_first_topic = false;
                if version >= FIRST_VERSION_WITH_TOPIC_IDS {
                    reply.raw(&part.topic.id);
                } else {
                    reply.string(flexible, part.topic.name.as_bytes());
                }
                reply.array_count(flexible, part.topic_parts);
            }
            part.answer(version, flexible, code, landed, reply);
        }
        reply.no_tags(flexible);
        // Not throttled.
        reply.int32(0);
        reply.no_tags(flexible);
        // A few kilobytes at most.
        let _ = reply.end_frame(mark);
    }
}

/// What an answer needs of its request.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its head.
    pub header: &'a Header,
    /// Bytes of its frame, size excluded.
    pub request_bytes: usize,
}

impl Part {
    fn count(&self, landed: Option<&AppendOutcome>) {
        let traffic = &self.topic.traffic;
        let Some(landed) = landed else {
            traffic.failed_produces.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let record_count = (landed.last_offset - landed.base_offset + 1).max(0) as u64;
        traffic.produced_records.fetch_add(record_count, Ordering::Relaxed);
        traffic.produced_bytes.fetch_add(self.records.len() as u64, Ordering::Relaxed);
    }

    fn answer(
        &self,
        version: i16,
        flexible: bool,
        code: KafkaCode,
        landed: Option<&AppendOutcome>,
        reply: &mut ReplyBuffer,
    ) {
        reply.int32(self.index);
        reply.int16(code.0);
        reply.int64(landed.map_or(-1, |landed| landed.base_offset));
        reply.int64(landed.map_or(-1, |landed| landed.append_time_ms));
        if version >= 5 {
            reply.int64(landed.map_or(-1, |landed| landed.log_start_offset));
        }
        if version >= 8 {
            // No record errors, and no message: null.
            reply.array_count(flexible, 0);
            if flexible {
                reply.unsigned_varint(0);
            } else {
                reply.int16(-1);
            }
        }
        reply.no_tags(flexible);
    }
}

/// Whether the field is one batch of magic 2, no more and no less, that a producer without transactions sends in this version.
fn is_plain_batch(records: &[u8], version: i16) -> bool {
    let length = records
        .get(LENGTH_POSITION..BATCH_OVERHEAD_BYTES)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(-1, i32::from_be_bytes);
    let fills = usize::try_from(length).is_ok_and(|length| {
        records.len() >= BATCH_HEADER_BYTES && length + BATCH_OVERHEAD_BYTES == records.len()
    });
    let attributes = records.get(ATTRIBUTES_POSITION).copied().unwrap_or(u8::MAX);
    fills
        && records.get(MAGIC_POSITION) == Some(&2)
        && attributes & (TRANSACTIONAL_BIT | CONTROL_BIT) == 0
        && (version >= FIRST_VERSION_WITH_ZSTD || attributes & CODEC_BITS != CODEC_ZSTD)
}

/// The header of a batch: all that an append changes in the caller's bytes.
pub type BatchHead = [u8; BATCH_HEADER_BYTES];

/// The header of a batch before its append.
pub fn head_of(records: &[u8]) -> Option<BatchHead> {
    records.get(..BATCH_HEADER_BYTES)?.try_into().ok()
}

/// Undoes what a refused append did to a batch.
pub fn restore_head(records: &mut [u8], original: &BatchHead) {
    if let Some(head) = records.get_mut(..BATCH_HEADER_BYTES) {
        head.copy_from_slice(original);
    }
}

/// Serves a Produce, or does nothing.
pub fn serve_produce(
    frame: &mut [u8],
    header: &Header,
    scene: &Scene<'_>,
    waiting: &mut VecDeque<WaitingProduce>,
    reply: &mut ReplyBuffer,
) -> Served {
    match Produce::parse(frame, header, scene) {
        Some(produce) => produce.serve(frame, header, scene, waiting, reply),
        None => Served::NotMine,
    }
}
