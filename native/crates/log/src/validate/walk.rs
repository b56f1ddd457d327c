//! The walk over a batch's records that knows every fault: in memory, or out of a decompressor.

use std::io::Read;

use super::{
    INFLATED_BYTES_MAX, NO_TIMESTAMP, RECORD_ERRORS_MAX, Rules, STREAM_BUFFER_BYTES, corrupt,
    invalid_record, not_inline,
};
use crate::batch::BatchHeader;
use crate::compress::Codec;
use crate::config::TimestampType;
use crate::error::{AppendError, KafkaCode, RecordError};

/// Boxed, so that the results of the walk's small steps stay small.
#[allow(clippy::unnecessary_box_returns)]
#[cold]
fn bad_record(message: impl Into<String>) -> Box<AppendError> {
    Box::new(invalid_record(message))
}

/// Bytes of records, in memory or out of a decompressor.
pub(super) trait Source {
    fn byte(&mut self) -> Result<u8, Box<AppendError>>;
    fn skip(&mut self, count: u64) -> Result<(), Box<AppendError>>;
    /// Bytes taken so far.
    fn position(&self) -> u64;
    fn is_at_end(&mut self) -> Result<bool, Box<AppendError>>;

    #[inline]
    fn varint(&mut self, most_bytes: u32) -> Result<i64, Box<AppendError>> {
        let mut value: u64 = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
            if shift >= most_bytes * 7 {
                return Err(bad_record("Found invalid record structure"));
            }
        }
    }
}

pub(super) struct SliceSource<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Source for SliceSource<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Box<AppendError>> {
        match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => Err(bad_record("Found invalid record structure")),
        }
    }

    #[inline]
    fn skip(&mut self, count: u64) -> Result<(), Box<AppendError>> {
        if count > (self.bytes.len() - self.at) as u64 {
            return Err(bad_record("Found invalid record structure"));
        }
        self.at += count as usize;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.at as u64
    }

    fn is_at_end(&mut self) -> Result<bool, Box<AppendError>> {
        Ok(self.at >= self.bytes.len())
    }
}

pub(super) struct StreamSource<'a> {
    reader: Box<dyn Read + 'a>,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    consumed: u64,
    /// Bytes that may be inflated on this thread.
    inline_bytes: u64,
}

impl<'a> StreamSource<'a> {
    pub(super) fn new(reader: Box<dyn Read + 'a>, inline_bytes: u64) -> Self {
        Self {
            reader,
            buffer: vec![0; STREAM_BUFFER_BYTES],
            at: 0,
            end: 0,
            consumed: 0,
            inline_bytes,
        }
    }

    /// Returns false at the end of the stream.
    fn fill(&mut self) -> Result<bool, Box<AppendError>> {
        self.consumed += self.end as u64;
        self.at = 0;
        self.end = 0;
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(count) => {
                    self.end = count;
                    let inflated_bytes = self.consumed + count as u64;
                    if inflated_bytes > self.inline_bytes {
                        return Err(Box::new(not_inline()));
                    }
                    if inflated_bytes > INFLATED_BYTES_MAX {
                        return Err(Box::new(AppendError::new(
                            KafkaCode::MESSAGE_TOO_LARGE,
                            format!(
                                "the batch is larger than {INFLATED_BYTES_MAX} bytes when decompressed"
                            ),
                        )));
                    }
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Box::new(corrupt(format!(
                        "Failed to decompress record stream: {error}"
                    ))));
                }
            }
        }
    }
}

impl Source for StreamSource<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Box<AppendError>> {
        if self.at >= self.end && !self.fill()? {
            return Err(bad_record("Incorrect declared batch size, premature EOF reached"));
        }
        let byte = self.buffer.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), Box<AppendError>> {
        loop {
            let here = (self.end - self.at) as u64;
            if count <= here {
                self.at += count as usize;
                return Ok(());
            }
            count -= here;
            self.at = self.end;
            if !self.fill()? {
                return Err(bad_record("Incorrect declared batch size, premature EOF reached"));
            }
        }
    }

    fn position(&self) -> u64 {
        self.consumed + self.at as u64
    }

    fn is_at_end(&mut self) -> Result<bool, Box<AppendError>> {
        Ok(self.at >= self.end && !self.fill()?)
    }
}

/// What a walk over the records saw.
pub(super) struct Seen {
    pub(super) max_timestamp: i64,
    pub(super) is_sequential: bool,
}

pub(super) struct Walk<'a> {
    header: &'a BatchHeader,
    rules: &'a Rules<'a>,
    needs_keys: bool,
    /// `max.decompressed.message.bytes`: of one record, and of compressed ones only, as in Kafka.
    max_record_bytes: i64,
    max_timestamp: i64,
    is_sequential: bool,
    errors: Vec<RecordError>,
    error_count: usize,
    has_timestamp_error: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(header: &'a BatchHeader, rules: &'a Rules<'a>, codec: Codec) -> Self {
        Self {
            header,
            rules,
            max_record_bytes: if codec == Codec::None {
                i64::MAX
            } else {
                rules.config.max_decompressed_message_bytes
            },
            needs_keys: rules.config.is_compacted() && !header.is_control(),
            max_timestamp: NO_TIMESTAMP,
            is_sequential: true,
            errors: Vec::new(),
            error_count: 0,
            has_timestamp_error: false,
        }
    }

    pub(super) fn run<S: Source>(&mut self, source: &mut S) -> Result<(), Box<AppendError>> {
        let fixed_time = self.header.is_log_append_time().then_some(self.header.max_timestamp);
        // A topic with its own clock, and a batch that claims the broker's, need a look at each record as well.
        let takes_producer_time =
            self.rules.config.message_timestamp_type == TimestampType::CreateTime;
        for index in 0..self.header.record_count {
            let size = source.varint(5)?;
            if size > self.max_record_bytes {
                return Err(bad_record(format!(
                    "Invalid record size: {size} exceeds the configured maximum record size of {}",
                    self.max_record_bytes
                )));
            }
            let Ok(size) = u64::try_from(size) else {
                return Err(bad_record(format!("Invalid record size: {size}")));
            };
            let end = source.position() + size;
            source.byte()?;
            let timestamp_delta = source.varint(10)?;
            let offset_delta = source.varint(5)?;
            let key_bytes = source.varint(5)?;
            skip_within(source, key_bytes, end)?;
            let value_bytes = source.varint(5)?;
            skip_within(source, value_bytes, end)?;
            let header_count = source.varint(5)?;
            if header_count < 0 || source.position() + header_count as u64 > end {
                return Err(bad_record(format!(
                    "Found invalid number of record headers {header_count}"
                )));
            }
            for _ in 0..header_count {
                let key_bytes = source.varint(5)?;
                if key_bytes < 0 {
                    return Err(bad_record(format!(
                        "Invalid negative header key size {key_bytes}"
                    )));
                }
                skip_within(source, key_bytes, end)?;
                let value_bytes = source.varint(5)?;
                skip_within(source, value_bytes, end)?;
            }
            if source.position() != end {
                return Err(bad_record(format!(
                    "Invalid record size: expected to read {size} bytes in record payload, but instead read {}",
                    (source.position() + size).saturating_sub(end)
                )));
            }
            let timestamp = fixed_time
                .unwrap_or_else(|| self.header.base_timestamp.wrapping_add(timestamp_delta));
            self.max_timestamp = self.max_timestamp.max(timestamp);
            self.is_sequential &= offset_delta == i64::from(index);
            if self.needs_keys && key_bytes < 0 {
                self.refuse(index, false, || {
                    format!(
                        "Compacted topic cannot accept message without key in topic partition {}",
                        self.rules.label
                    )
                });
            } else if takes_producer_time && timestamp != NO_TIMESTAMP {
                self.check_timestamp(index, timestamp);
            } else if fixed_time.is_some() && self.rules.is_client {
                self.refuse(index, true, || {
                    "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime.".to_owned()
                });
            }
        }
        if !source.is_at_end()? {
            return Err(bad_record(
                "Incorrect declared batch size, records still remaining in file",
            ));
        }
        Ok(())
    }

    #[inline]
    fn check_timestamp(&mut self, index: i32, timestamp: i64) {
        let config = self.rules.config;
        let (before_max, after_max) =
            (config.message_timestamp_before_max_ms, config.message_timestamp_after_max_ms);
        let age_ms = self.rules.now_ms.wrapping_sub(timestamp);
        if age_ms > before_max || age_ms.wrapping_neg() > after_max {
            let now_ms = self.rules.now_ms;
            self.refuse(index, true, || {
                format!(
                    "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be within \
                     [{}, {}]",
                    now_ms.wrapping_sub(before_max),
                    now_ms.wrapping_add(after_max)
                )
            });
        }
    }

    #[cold]
    fn refuse(&mut self, index: i32, is_timestamp: bool, message: impl FnOnce() -> String) {
        self.has_timestamp_error |= is_timestamp;
        self.error_count += 1;
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError { batch_index: index, message: Some(message()) });
        }
    }

    pub(super) fn finish(self) -> Result<Seen, AppendError> {
        if self.error_count == 0 {
            return Ok(Seen {
                max_timestamp: self.max_timestamp,
                is_sequential: self.is_sequential,
            });
        }
        let (code, message) = if self.has_timestamp_error {
            (
                KafkaCode::INVALID_TIMESTAMP,
                "One or more records have been rejected due to invalid timestamp".to_owned(),
            )
        } else {
            let first: Vec<String> = self
                .errors
                .iter()
                .take(3)
                .map(|error| {
                    format!(
                        "RecordError(batchIndex={}, message='{}')",
                        error.batch_index,
                        error.message.as_deref().unwrap_or_default()
                    )
                })
                .collect();
            (
                KafkaCode::INVALID_RECORD,
                format!(
                    "One or more records have been rejected due to {} record errors in total, and only showing the first three \
                     errors at most: [{}]",
                    self.error_count,
                    first.join(", ")
                ),
            )
        };
        Err(AppendError { code, message, record_errors: self.errors })
    }
}

/// Skips a key or value; a negative size is null.
#[inline]
fn skip_within<S: Source>(source: &mut S, bytes: i64, end: u64) -> Result<(), Box<AppendError>> {
    if bytes <= 0 {
        return Ok(());
    }
    let bytes = bytes as u64;
    if source.position() + bytes > end {
        return Err(bad_record("Found invalid record structure"));
    }
    source.skip(bytes)
}
