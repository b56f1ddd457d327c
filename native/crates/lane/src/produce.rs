//! Produce: one batch for one partition that is led here.
//!
//! What the handler (`src/server/handlers/produce.ts`) would append and answer at once without an error is appended and answered
//! here. Everything else goes back untouched: a refused append leaves no trace in the log, and what it may have changed in the
//! batch, its header, is put back.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_log::{AppendOutcome, AppendRequest, Origin};

use crate::frame::{Cursor, Header};
use crate::reply::ReplyBuffer;
use crate::topics::{Topic, TopicPartition};
use crate::{Scene, Served};

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

/// Bytes a batch may inflate to on a lane, as on an event loop.
pub const INLINE_BYTES: u64 = 1 << 20;

/// A Produce that the lane may append.
#[derive(Debug)]
pub struct Produce {
    /// Where it goes.
    pub topic: Arc<Topic>,
    /// Which of its partitions.
    pub index: i32,
    /// 0 or 1.
    pub acks: i16,
    /// Where the batch is in the frame; it fills the field.
    pub records: Range<usize>,
}

impl Produce {
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
        let _timeout_ms = cursor.int32()?;
        if !(0..=1).contains(&acks) || cursor.array_count(flexible)? != 1 {
            return None;
        }
        let topic = if version >= FIRST_VERSION_WITH_TOPIC_IDS {
            scene.topics.by_id(&cursor.uuid()?)?
        } else {
            scene.topics.by_name(cursor.string(flexible)?)?
        };
        if cursor.array_count(flexible)? != 1 {
            return None;
        }
        let index = cursor.int32()?;
        let partition = topic.partition(index)?;
        let records = cursor.bytes(flexible)?;
        cursor.no_tags(flexible)?;
        cursor.no_tags(flexible)?;
        cursor.no_tags(flexible)?;
        if !cursor.is_at_end() || !is_plain_batch(frame.get(records.clone())?, version) {
            return None;
        }
        // A log that is to be flushed after so many records lets the answer wait.
        if partition.log.config().flush_messages < i64::MAX {
            return None;
        }
        Some(Self { topic, index, acks, records })
    }

    /// The partition it goes to.
    pub fn partition(&self) -> Option<&TopicPartition> {
        self.topic.partition(self.index)
    }

    /// What the log is asked.
    pub fn request(&self, now_ms: i64) -> AppendRequest {
        let leader_epoch = self.partition().map_or(-1, |partition| partition.leader_epoch);
        AppendRequest { leader_epoch, acks: self.acks, origin: Origin::Client, now_ms }
    }

    /// Counts an append that landed, and answers it.
    pub fn answer(
        &self,
        header: &Header,
        landed: &AppendOutcome,
        reply: &mut ReplyBuffer,
    ) -> Served {
        let traffic = &self.topic.traffic;
        let record_count = (landed.last_offset - landed.base_offset + 1).max(0) as u64;
        traffic.produced_records.fetch_add(record_count, Ordering::Relaxed);
        traffic.produced_bytes.fetch_add(self.records.len() as u64, Ordering::Relaxed);
        if self.acks == 0 {
            return Served::NoReply;
        }
        let (version, flexible) = (header.api_version, header.is_flexible);
        let mark = reply.begin_frame(header.correlation_id, flexible);
        reply.array_count(flexible, 1);
        if version >= FIRST_VERSION_WITH_TOPIC_IDS {
            reply.raw(&self.topic.id);
        } else {
            reply.string(flexible, self.topic.name.as_bytes());
        }
        reply.array_count(flexible, 1);
        reply.int32(self.index);
        reply.int16(0);
        reply.int64(landed.base_offset);
        reply.int64(landed.append_time_ms);
        if version >= 5 {
            reply.int64(landed.log_start_offset);
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
        reply.no_tags(flexible);
        // Not throttled.
        reply.int32(0);
        reply.no_tags(flexible);
        // A few hundred bytes.
        let _ = reply.end_frame(mark);
        Served::Reply
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

/// A retry of what is not flushed yet waits for that; it appended nothing, and finds the same again.
pub fn is_for_the_loop(landed: &AppendOutcome) -> bool {
    landed.is_duplicate && (landed.await_sync || landed.await_replication)
}

/// Serves a Produce, or does nothing.
pub fn serve_produce(
    frame: &mut [u8],
    header: &Header,
    scene: &Scene<'_>,
    reply: &mut ReplyBuffer,
) -> Served {
    let Some(produce) = Produce::parse(frame, header, scene) else { return Served::NotMine };
    let (Some(partition), Some(records)) =
        (produce.partition(), frame.get_mut(produce.records.clone()))
    else {
        return Served::NotMine;
    };
    let request = produce.request(scene.now_ms);
    let Some(original) = head_of(records) else { return Served::NotMine };
    match partition.log.append_within(records, &request, INLINE_BYTES) {
        Ok(landed) if !is_for_the_loop(&landed) => produce.answer(header, &landed, reply),
        _ => {
            restore_head(records, &original);
            Served::NotMine
        }
    }
}
