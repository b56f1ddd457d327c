//! What a leader checks and patches before it writes: Kafka's `analyzeAndValidateRecords` and `LogValidator` for magic 2, in the
//! same order and with the same codes.
//!
//! Everything here works on the caller's bytes without the partition's lock. One CRC pass; one cheap walk over the records
//! (uncompressed in place, compressed as a bounded stream) that allocates nothing per record; the header is patched in place. A
//! second CRC pass happens only when the header had to change below the CRC: `LogAppendTime`, or a maximal timestamp that lied.
//!
//! Intended differences from Kafka 4.4, all where it answers -1 or nothing: an undefined codec and a compressed payload that cannot
//! be decompressed are CORRUPT_MESSAGE, a varint that is too long is INVALID_RECORD.

mod glance;
mod walk;

use glance::{Terms, glance};
use walk::{Seen, SliceSource, Source, StreamSource, Walk};

use crate::batch::{
    BatchHeader, CRC_FROM, Frame, HEADER_BYTES, crc32c, crc32c_of_two, frame, is_crc_valid, put,
};
use crate::compress::{Codec, CompressError, compress, decompress, open_reader};
use crate::config::{CompressionType, LogConfig, TimestampType};
use crate::error::{AppendError, KafkaCode};

const NO_TIMESTAMP: i64 = -1;
/// Most bytes a batch may decompress to. Kafka has no such limit and its clients never come near it; without one a megabyte of
/// zstd keeps a thread busy for tens of gigabytes.
const INFLATED_BYTES_MAX: u64 = 1 << 30;
/// Most bytes a batch may decompress to when it has to be compressed again, which holds it in memory; more where the topic
/// takes batches so large that an eightfold ratio reaches beyond it.
const RECOMPRESS_BYTES_MAX: usize = 16 << 20;
/// Compressing costs this many times what decompressing does.
const COMPRESSION_COST: u64 = 16;
/// Most record errors that are answered for one batch.
const RECORD_ERRORS_MAX: usize = 10_000;
const STREAM_BUFFER_BYTES: usize = 16 << 10;

/// A batch ready to be given its offset and written.
pub(crate) struct Prepared {
    /// Its header as it will be written, except base offset and leader epoch.
    pub(crate) header: BatchHeader,
    /// Where it is in the caller's bytes.
    pub(crate) start: usize,
    /// Its bytes when they are not the caller's.
    pub(crate) replacement: Option<Vec<u8>>,
}

impl Prepared {
    pub(crate) fn size(&self) -> usize {
        self.header.size()
    }
}

/// What a batch is checked against.
pub(crate) struct Rules<'a> {
    pub(crate) config: &'a LogConfig,
    pub(crate) label: &'a str,
    pub(crate) now_ms: i64,
    pub(crate) is_client: bool,
    /// Bytes that may be inflated on the calling thread.
    pub(crate) inline_bytes: u64,
}

impl Rules<'_> {
    /// Bytes that may be inflated when the batch is compressed again.
    fn recompress_inline_bytes(&self) -> u64 {
        if self.inline_bytes == u64::MAX { u64::MAX } else { self.inline_bytes / COMPRESSION_COST }
    }
}

#[cold]
fn not_inline() -> AppendError {
    AppendError::new(KafkaCode::NOT_INLINE, "too large for the calling thread")
}

fn invalid_record(message: impl Into<String>) -> AppendError {
    AppendError::new(KafkaCode::INVALID_RECORD, message)
}

fn corrupt(message: impl Into<String>) -> AppendError {
    AppendError::new(KafkaCode::CORRUPT_MESSAGE, message)
}

/// Checks what a client sent: exactly one batch of magic 2, then a rest that is ignored if it is no whole entry.
pub(crate) fn prepare_client(
    records: &mut [u8],
    rules: &Rules<'_>,
) -> Result<Prepared, AppendError> {
    let size = match frame(records) {
        Frame::Batch(size) => size,
        Frame::Legacy(_) => {
            return Err(invalid_record(
                "Produce requests are only allowed to contain record batches with magic version 2",
            ));
        }
        Frame::Incomplete => {
            return Err(invalid_record(
                "Produce requests must have at least one record batch per partition",
            ));
        }
        Frame::Corrupt => {
            return Err(corrupt(format!("Record is corrupt in topic partition {}", rules.label)));
        }
    };
    match frame(records.get(size..).unwrap_or_default()) {
        Frame::Incomplete => {}
        Frame::Corrupt => {
            return Err(corrupt(format!("Record is corrupt in topic partition {}", rules.label)));
        }
        Frame::Batch(_) | Frame::Legacy(_) => {
            return Err(invalid_record(
                "Produce requests are only allowed to contain exactly one record batch per partition",
            ));
        }
    }
    let batch = records.get_mut(..size).ok_or_else(|| corrupt("batch is cut short"))?;
    prepare(batch, 0, rules)
}

/// Checks what a coordinator of this broker wrote: one or more batches.
pub(crate) fn prepare_coordinator(
    records: &mut [u8],
    rules: &Rules<'_>,
) -> Result<Vec<Prepared>, AppendError> {
    let mut prepared = Vec::with_capacity(1);
    let mut start = 0;
    loop {
        let size = match frame(records.get(start..).unwrap_or_default()) {
            Frame::Batch(size) => size,
            Frame::Incomplete if start > 0 => return Ok(prepared),
            Frame::Incomplete => return Err(invalid_record("no record batch")),
            Frame::Legacy(_) | Frame::Corrupt => {
                return Err(corrupt("not a record batch of magic 2"));
            }
        };
        let batch =
            records.get_mut(start..start + size).ok_or_else(|| corrupt("batch is cut short"))?;
        prepared.push(prepare(batch, start, rules)?);
        start += size;
    }
}

/// Frames what a follower copied; bytes stay as they are.
pub(crate) fn prepare_raw(records: &[u8], label: &str) -> Result<Vec<Prepared>, AppendError> {
    let mut prepared = Vec::with_capacity(1);
    let mut start = 0;
    loop {
        let rest = records.get(start..).unwrap_or_default();
        let size = match frame(rest) {
            Frame::Batch(size) => size,
            Frame::Incomplete => return Ok(prepared),
            Frame::Legacy(_) | Frame::Corrupt => {
                return Err(corrupt("not a record batch of magic 2"));
            }
        };
        let batch = rest.get(..size).unwrap_or_default();
        let header = BatchHeader::parse(batch).filter(|_| is_crc_valid(batch));
        let header = header
            .ok_or_else(|| corrupt(format!("Record is corrupt in topic partition {label}")))?;
        if header.last_offset_delta < 0 || header.base_offset < 0 {
            return Err(corrupt(format!(
                "Batch has an invalid offset range in topic partition {label}"
            )));
        }
        prepared.push(Prepared { header, start, replacement: None });
        start += size;
    }
}

fn prepare(batch: &mut [u8], start: usize, rules: &Rules<'_>) -> Result<Prepared, AppendError> {
    let label = rules.label;
    let Some(mut header) = BatchHeader::parse(batch) else {
        return Err(corrupt(format!("Record is corrupt in topic partition {label}.")));
    };
    if rules.is_client && header.base_offset != 0 {
        return Err(invalid_record(format!(
            "The baseOffset of the record batch in the append to {label} should be 0, but it is {}",
            header.base_offset
        )));
    }
    check_size(batch.len(), rules)?;
    if !is_crc_valid(batch) {
        return Err(corrupt(format!(
            "Record is corrupt (stored crc = {}) in topic partition {label}.",
            header.crc
        )));
    }
    let Some(codec) = header.codec() else {
        return Err(corrupt(format!("Unknown compression type id: {}", header.attributes & 7)));
    };
    if rules.is_client {
        check_batch(&header, label)?;
    } else if header.last_offset_delta < 0 || header.record_count < 0 {
        return Err(invalid_record(format!(
            "Batch has an invalid offset range in topic partition {label}"
        )));
    }
    let target = match rules.config.compression_type {
        CompressionType::Producer => codec,
        CompressionType::Uncompressed => Codec::None,
        CompressionType::Gzip => Codec::Gzip,
        CompressionType::Snappy => Codec::Snappy,
        CompressionType::Lz4 => Codec::Lz4,
        CompressionType::Zstd => Codec::Zstd,
    };
    let payload = batch.get(HEADER_BYTES..).unwrap_or_default();
    let inline_bytes =
        if target == codec { rules.inline_bytes } else { rules.recompress_inline_bytes() };
    let is_compressed_path = codec != Codec::None || target != Codec::None;
    // What is compressed hardly shrinks when it is inflated, so there is no need to try.
    if is_compressed_path && payload.len() as u64 > inline_bytes {
        return Err(not_inline());
    }
    let (seen, inflated_bytes) = if codec == Codec::None {
        (look_at_plain(payload, &header, rules)?, payload.len() as u64)
    } else {
        let mut walk = Walk::new(&header, rules, codec);
        let mut source = StreamSource::new(open_reader(codec, payload), inline_bytes);
        walk.run(&mut source).map_err(|error| *error)?;
        (walk.finish()?, source.position())
    };

    let must_rebuild = target != codec || (is_compressed_path && !seen.is_sequential);
    if must_rebuild && inflated_bytes > rules.recompress_inline_bytes() {
        return Err(not_inline());
    }
    let is_control_kept = !rules.is_client && header.is_control();
    if rules.config.message_timestamp_type == TimestampType::LogAppendTime {
        header.set_log_append_time(true);
        header.max_timestamp = rules.now_ms;
    } else {
        header.set_log_append_time(false);
        header.max_timestamp = seen.max_timestamp;
    }
    if must_rebuild && !is_control_kept {
        let replacement = rebuild(&mut header, codec, target, payload, rules.config)?;
        check_size(replacement.len(), rules)?;
        return Ok(Prepared { header, start, replacement: Some(replacement) });
    }
    let is_changed = BatchHeader::parse(batch).is_none_or(|original| original != header);
    if is_changed {
        put(batch, 21, header.attributes.to_be_bytes());
        put(batch, 35, header.max_timestamp.to_be_bytes());
        header.crc = crc32c(batch.get(CRC_FROM..).unwrap_or_default());
        put(batch, 17, header.crc.to_be_bytes());
    }
    Ok(Prepared { header, start, replacement: None })
}

/// Checks records that are not compressed.
fn look_at_plain(
    payload: &[u8],
    header: &BatchHeader,
    rules: &Rules<'_>,
) -> Result<Seen, AppendError> {
    if let Some(max_timestamp) = terms_of(header, rules).and_then(|terms| glance(payload, &terms)) {
        return Ok(Seen { max_timestamp, is_sequential: true });
    }
    let mut walk = Walk::new(header, rules, Codec::None);
    walk.run(&mut SliceSource { bytes: payload, at: 0 }).map_err(|error| *error)?;
    walk.finish()
}

/// What a glance can go by; `None` for a batch that claims the broker's clock.
fn terms_of(header: &BatchHeader, rules: &Rules<'_>) -> Option<Terms> {
    let config = rules.config;
    if header.is_log_append_time() {
        return None;
    }
    let timestamps = if config.message_timestamp_type == TimestampType::CreateTime {
        let earliest = rules.now_ms.checked_sub(config.message_timestamp_before_max_ms)?;
        (earliest, rules.now_ms.saturating_add(config.message_timestamp_after_max_ms))
    } else {
        (i64::MIN, i64::MAX)
    };
    Some(Terms {
        record_count: header.record_count,
        base_timestamp: header.base_timestamp,
        timestamps,
        needs_keys: config.is_compacted() && !header.is_control(),
    })
}

fn check_size(bytes: usize, rules: &Rules<'_>) -> Result<(), AppendError> {
    if bytes as i64 > rules.config.max_message_bytes {
        return Err(AppendError::new(
            KafkaCode::MESSAGE_TOO_LARGE,
            format!(
                "The record batch size in the append to {} is {bytes} bytes which exceeds the maximum configured value of {}).",
                rules.label, rules.config.max_message_bytes
            ),
        ));
    }
    Ok(())
}

fn check_batch(header: &BatchHeader, label: &str) -> Result<(), AppendError> {
    let (base, last, count) = (header.base_offset, header.last_offset(), header.record_count);
    let count_from_offsets = i64::from(header.last_offset_delta) + 1;
    if count_from_offsets <= 0 {
        return Err(invalid_record(format!(
            "Batch has an invalid offset range: [{base}, {last}] in topic partition {label}"
        )));
    }
    if count <= 0 {
        return Err(invalid_record(format!(
            "Invalid reported count for record batch: {count} in topic partition {label}"
        )));
    }
    if count_from_offsets != i64::from(count) {
        return Err(invalid_record(format!(
            "Inconsistent batch offset range [{base}, {last}] and count of records {count} in topic partition {label}"
        )));
    }
    if header.is_control() {
        return Err(invalid_record(format!(
            "Clients are not allowed to write control records in topic partition {label}"
        )));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(invalid_record(format!(
            "Invalid sequence number {} in record batch with producerId {} in topic partition {label}",
            header.base_sequence, header.producer_id
        )));
    }
    Ok(())
}

/// Writes the batch anew with another codec, or with offset deltas 0, 1, 2, ...
fn rebuild(
    header: &mut BatchHeader,
    codec: Codec,
    target: Codec,
    payload: &[u8],
    config: &LogConfig,
) -> Result<Vec<u8>, AppendError> {
    let most_bytes = RECOMPRESS_BYTES_MAX
        .max(usize::try_from(config.max_message_bytes).unwrap_or(0).saturating_mul(8))
        .min(INFLATED_BYTES_MAX as usize);
    let plain = match decompress(codec, payload, most_bytes) {
        Ok(plain) => plain,
        Err(CompressError::TooLarge { max_bytes }) => {
            return Err(AppendError::new(
                KafkaCode::MESSAGE_TOO_LARGE,
                format!("the batch is larger than {max_bytes} bytes when decompressed"),
            ));
        }
        Err(error) => return Err(corrupt(error.to_string())),
    };
    let plain = renumber(&plain, header.record_count).unwrap_or(plain);
    let level = match target {
        Codec::Gzip => Some(config.compression_gzip_level),
        Codec::Lz4 => Some(config.compression_lz4_level),
        Codec::Zstd => Some(config.compression_zstd_level),
        Codec::None | Codec::Snappy => None,
    };
    let body = if target == Codec::None {
        plain
    } else {
        compress(target, level, &plain)
            .map_err(|error| AppendError::new(KafkaCode::UNKNOWN_SERVER_ERROR, error.to_string()))?
    };
    header.attributes = (header.attributes & !7) | i16::from(target.id());
    header.last_offset_delta = header.record_count.saturating_sub(1);
    header.batch_length = i32::try_from(HEADER_BYTES - crate::batch::FRAME_BYTES + body.len())
        .map_err(|_| {
            AppendError::new(KafkaCode::MESSAGE_TOO_LARGE, "the batch is larger than 2 GiB")
        })?;
    let encoded = header.encode();
    header.crc = crc32c_of_two(encoded.get(CRC_FROM..).unwrap_or_default(), &body);
    let mut batch = Vec::with_capacity(HEADER_BYTES + body.len());
    batch.extend_from_slice(&header.encode());
    batch.extend_from_slice(&body);
    Ok(batch)
}

/// The records with offset deltas 0, 1, 2, ...; `None` when they have them already.
fn renumber(plain: &[u8], count: i32) -> Option<Vec<u8>> {
    let mut is_sequential = true;
    let mut output = Vec::new();
    let mut at = 0;
    for index in 0..i64::from(count) {
        let size = usize::try_from(crate::producer::varint(plain, &mut at)?).ok()?;
        let body = plain.get(at..at.checked_add(size)?)?;
        at += size;
        let mut inner = 1;
        crate::producer::varint(body, &mut inner)?;
        let delta_from = inner;
        is_sequential &= crate::producer::varint(body, &mut inner)? == index;
        let mut delta = Vec::with_capacity(5);
        push_varint(&mut delta, index);
        let (before, after) = (body.get(..delta_from)?, body.get(inner..)?);
        push_varint(&mut output, (before.len() + delta.len() + after.len()) as i64);
        output.extend_from_slice(before);
        output.extend_from_slice(&delta);
        output.extend_from_slice(after);
    }
    (!is_sequential).then_some(output)
}

fn push_varint(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}
