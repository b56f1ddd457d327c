//! The records inside a batch of magic 2: read without allocating, from a slice or from a stream, and written.
//!
//! ```text
//! batch   base offset 8 | length 4 | leader epoch 4 | magic 1 | crc 4 | attributes 2 | last offset delta 4 | base timestamp 8
//!         | max timestamp 8 | producer id 8 | producer epoch 2 | base sequence 4 | record count 4 | records…
//! record  length varint | attributes 1 | timestamp delta varlong | offset delta varint
//!         | key length varint | key | value length varint | value | header count varint | headers…
//! header  key length varint | key | value length varint | value
//! ```
//!
//! [`RecordIter`] lends slices of the payload. [`RecordStream`] walks what a decompressor yields: as [`RecordSummary`] it
//! passes over keys and values without keeping them, so the largest record costs no more than the smallest; as
//! [`RecordRef`] it holds one record, up to a bound. Both know how many records the batch declares and insist on exactly
//! that. Rules and wording follow Kafka's `DefaultRecord` and `DefaultRecordBatch`.

use std::fmt;
use std::io::{self, Read};

mod builder;

pub use builder::{BatchBuilder, BatchOptions};

/// Bytes before the first record of a batch.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Largest record that [`RecordStream::next_record`] holds unless told otherwise: a little over the largest request.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 101 * 1024 * 1024;

const STREAM_BUFFER_BYTES: usize = 16 * 1024;

/// Why the records of a batch could not be read. All of these are INVALID_RECORD (87) to a client, except
/// [`RecordsError::Corrupt`], where the compressed bytes themselves are bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordsError {
    /// The bytes end inside a record.
    PrematureEnd,
    /// The declared number of records has been read and bytes remain.
    BytesRemain,
    /// A variable-length number runs past its width.
    BadVarint,
    /// A record's length is negative.
    NegativeLength(i32),
    /// A record's fields fill more or fewer bytes than its length says.
    WrongLength {
        /// Bytes that the record's length announces.
        declared: usize,
        /// Bytes that its fields fill, as far as they were read.
        read: usize,
    },
    /// A header count is negative or larger than the bytes left in the record.
    BadHeaderCount(i32),
    /// A header's key has a negative length.
    NegativeHeaderKeyLength(i32),
    /// A record is larger than the reader's bound.
    TooLarge {
        /// Bytes that the record's length announces.
        declared: usize,
    },
    /// The decompressor failed.
    Corrupt(String),
}

impl fmt::Display for RecordsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrematureEnd => {
                formatter.write_str("Incorrect declared batch size, premature EOF reached")
            }
            Self::BytesRemain => formatter
                .write_str("Incorrect declared batch size, records still remaining in file"),
            Self::BadVarint => {
                formatter.write_str("Found invalid record structure: varint is too long")
            }
            Self::NegativeLength(length) => {
                write!(formatter, "Invalid record size: {length} is negative")
            }
            Self::WrongLength { declared, read } => write!(
                formatter,
                "Invalid record size: expected to read {declared} bytes in record payload, but instead read {read}"
            ),
            Self::BadHeaderCount(count) => {
                write!(formatter, "Found invalid number of record headers {count}")
            }
            Self::NegativeHeaderKeyLength(length) => {
                write!(formatter, "Invalid negative header key size {length}")
            }
            Self::TooLarge { declared } => {
                write!(formatter, "Record of {declared} bytes is larger than this reader holds")
            }
            Self::Corrupt(detail) => write!(formatter, "Failed to decompress records: {detail}"),
        }
    }
}

impl std::error::Error for RecordsError {}

/// One record, lent from the bytes it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Attributes; unused by Kafka so far.
    pub attributes: i8,
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offsets after the batch's base offset.
    pub offset_delta: i32,
    /// The key, or `None` for a null key.
    pub key: Option<&'a [u8]>,
    /// The value, or `None` for a null value (a tombstone in a compacted topic).
    pub value: Option<&'a [u8]>,
    /// Number of headers.
    pub header_count: u32,
    /// The headers as they stand in the record, already checked; [`RecordRef::headers`] reads them.
    pub raw_headers: &'a [u8],
    /// Bytes of the whole record, its length field included.
    pub size_bytes: usize,
}

impl<'a> RecordRef<'a> {
    /// Whether the key is null.
    pub fn key_is_null(&self) -> bool {
        self.key.is_none()
    }

    /// The headers in order.
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter { bytes: self.raw_headers, left: self.header_count }
    }
}

/// Headers of one record.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    bytes: &'a [u8],
    left: u32,
}

/// A header: its key (UTF-8 by convention, not checked) and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// The key's bytes.
    pub key: &'a [u8],
    /// The value, or `None` for a null value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = HeaderRef<'a>;

    fn next(&mut self) -> Option<HeaderRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The record's reader has been over these bytes: a failure cannot happen, and would end the iteration.
        let mut cursor = Cursor { bytes: self.bytes };
        let key = cursor.sized().ok()??;
        let value = cursor.sized().ok()?;
        self.bytes = cursor.bytes;
        Some(HeaderRef { key, value })
    }
}

/// What validation needs of a record; keys and values were passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offsets after the batch's base offset.
    pub offset_delta: i32,
    /// Whether the key is null, which a compacted topic refuses.
    pub key_is_null: bool,
    /// Whether the value is null.
    pub value_is_null: bool,
    /// Bytes of the whole record, its length field included.
    pub size_bytes: usize,
}

impl RecordRef<'_> {
    /// The same record without its bytes.
    pub fn summary(&self) -> RecordSummary {
        RecordSummary {
            timestamp_delta: self.timestamp_delta,
            offset_delta: self.offset_delta,
            key_is_null: self.key.is_none(),
            value_is_null: self.value.is_none(),
            size_bytes: self.size_bytes,
        }
    }
}

/// Reads varints and byte strings off the front of a slice.
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Result<u8, RecordsError> {
        let (&first, rest) = self.bytes.split_first().ok_or(RecordsError::PrematureEnd)?;
        self.bytes = rest;
        Ok(first)
    }

    fn varint(&mut self) -> Result<i32, RecordsError> {
        // Most lengths and deltas fit one byte.
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(zigzag32(u32::from(first)));
        }
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let next = self.byte()?;
            value |= u32::from(next & 0x7f) << shift;
            if next < 0x80 {
                return Ok(zigzag32(value));
            }
        }
        Err(RecordsError::BadVarint)
    }

    fn varlong(&mut self) -> Result<i64, RecordsError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let next = self.byte()?;
            value |= u64::from(next & 0x7f) << shift;
            if next < 0x80 {
                return Ok(zigzag64(value));
            }
        }
        Err(RecordsError::BadVarint)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], RecordsError> {
        let (head, rest) = self.bytes.split_at_checked(count).ok_or(RecordsError::PrematureEnd)?;
        self.bytes = rest;
        Ok(head)
    }

    /// A length and that many bytes; any negative length is null, as in Kafka.
    fn sized(&mut self) -> Result<Option<&'a [u8]>, RecordsError> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}

fn zigzag32(value: u32) -> i32 {
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}

fn zigzag64(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Reads the fields of one record from exactly its body. Running past the body is [`RecordsError::WrongLength`].
fn parse_body(body: &[u8], prefix_bytes: usize) -> Result<RecordRef<'_>, RecordsError> {
    let mut cursor = Cursor { bytes: body };
    let record =
        parse_fields(&mut cursor, prefix_bytes + body.len()).map_err(|error| match error {
            RecordsError::PrematureEnd => {
                RecordsError::WrongLength { declared: body.len(), read: body.len() }
            }
            other => other,
        })?;
    if cursor.bytes.is_empty() {
        Ok(record)
    } else {
        Err(RecordsError::WrongLength {
            declared: body.len(),
            read: body.len() - cursor.bytes.len(),
        })
    }
}

fn parse_fields<'a>(
    cursor: &mut Cursor<'a>,
    size_bytes: usize,
) -> Result<RecordRef<'a>, RecordsError> {
    let attributes = cursor.byte()? as i8;
    let timestamp_delta = cursor.varlong()?;
    let offset_delta = cursor.varint()?;
    let key = cursor.sized()?;
    let value = cursor.sized()?;
    let count = cursor.varint()?;
    let header_count = u32::try_from(count)
        .ok()
        .filter(|&count| count as usize <= cursor.bytes.len())
        .ok_or(RecordsError::BadHeaderCount(count))?;
    let raw_headers = cursor.bytes;
    for _ in 0..header_count {
        let length = cursor.varint()?;
        let length =
            usize::try_from(length).map_err(|_| RecordsError::NegativeHeaderKeyLength(length))?;
        cursor.take(length)?;
        cursor.sized()?;
    }
    let raw_headers = raw_headers.get(..raw_headers.len() - cursor.bytes.len()).unwrap_or_default();
    Ok(RecordRef {
        attributes,
        timestamp_delta,
        offset_delta,
        key,
        value,
        header_count,
        raw_headers,
        size_bytes,
    })
}

/// The records of an uncompressed payload.
///
/// Yields `count` records, or an error and then nothing more. Bytes left after the last record are an error of their own.
#[derive(Debug)]
pub struct RecordIter<'a> {
    bytes: &'a [u8],
    left: u32,
    is_done: bool,
}

impl<'a> RecordIter<'a> {
    /// Reads `payload`, the bytes after a batch's header, which declares `count` records. A negative count reads none.
    pub fn new(payload: &'a [u8], count: i32) -> Self {
        Self { bytes: payload, left: u32::try_from(count).unwrap_or(0), is_done: false }
    }

    fn read(&mut self) -> Result<RecordRef<'a>, RecordsError> {
        let mut cursor = Cursor { bytes: self.bytes };
        let length = cursor.varint()?;
        let length = usize::try_from(length).map_err(|_| RecordsError::NegativeLength(length))?;
        let prefix_bytes = self.bytes.len() - cursor.bytes.len();
        let body = cursor.take(length)?;
        self.bytes = cursor.bytes;
        parse_body(body, prefix_bytes)
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordRef<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        if self.left == 0 {
            self.is_done = true;
            return (!self.bytes.is_empty()).then_some(Err(RecordsError::BytesRemain));
        }
        self.left -= 1;
        let outcome = self.read();
        self.is_done = outcome.is_err();
        Some(outcome)
    }
}

/// The records that a reader yields, usually a decompressor's ([`crate::compress::open_reader`]).
///
/// Memory held is one buffer of 16 KiB, and with [`RecordStream::next_record`] one record.
pub struct RecordStream<R> {
    reader: R,
    /// Bytes read ahead are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Body of the record lent last.
    record: Vec<u8>,
    max_record_bytes: usize,
    left: u32,
    is_done: bool,
}

impl<R: Read> RecordStream<R> {
    /// Reads the `count` records that a batch declares.
    pub fn new(reader: R, count: i32) -> Self {
        Self::with_max_record_bytes(reader, count, DEFAULT_MAX_RECORD_BYTES)
    }

    /// As [`RecordStream::new`], with a bound of the caller's on a record that has to be held.
    pub fn with_max_record_bytes(reader: R, count: i32, max_record_bytes: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; STREAM_BUFFER_BYTES],
            start: 0,
            end: 0,
            record: Vec::new(),
            max_record_bytes,
            left: u32::try_from(count).unwrap_or(0),
            is_done: false,
        }
    }

    /// The next record's numbers, without holding its key or value. `None` after the last record.
    pub fn next_summary(&mut self) -> Option<Result<RecordSummary, RecordsError>> {
        let outcome = match self.advance()? {
            Ok(()) => self.read_summary(),
            Err(error) => Err(error),
        };
        self.is_done |= outcome.is_err();
        Some(outcome)
    }

    /// The next record, valid until the next call. `None` after the last record.
    pub fn next_record(&mut self) -> Option<Result<RecordRef<'_>, RecordsError>> {
        match self.advance()?.and_then(|()| self.fill_record()) {
            Ok(prefix_bytes) => {
                let outcome = parse_body(&self.record, prefix_bytes);
                self.is_done |= outcome.is_err();
                Some(outcome)
            }
            Err(error) => {
                self.is_done = true;
                Some(Err(error))
            }
        }
    }

    /// Counts the next record off; after the last one, insists that the reader has ended.
    fn advance(&mut self) -> Option<Result<(), RecordsError>> {
        if self.is_done {
            return None;
        }
        if self.left > 0 {
            self.left -= 1;
            return Some(Ok(()));
        }
        self.is_done = true;
        match self.refill() {
            Ok(()) => Some(Err(RecordsError::BytesRemain)),
            Err(RecordsError::PrematureEnd) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Makes sure that at least one byte is ready.
    fn refill(&mut self) -> Result<(), RecordsError> {
        while self.start >= self.end {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Err(RecordsError::PrematureEnd),
                Ok(count) => {
                    self.start = 0;
                    self.end = count.min(self.buffer.len());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RecordsError::Corrupt(error.to_string())),
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, RecordsError> {
        self.refill()?;
        let byte = self.buffer.get(self.start).copied().ok_or(RecordsError::PrematureEnd)?;
        self.start += 1;
        Ok(byte)
    }

    /// A record's length and how many bytes that took.
    fn length(&mut self) -> Result<(usize, usize), RecordsError> {
        let mut value = 0_u32;
        for (index, shift) in [0, 7, 14, 21, 28].into_iter().enumerate() {
            let next = self.byte()?;
            value |= u32::from(next & 0x7f) << shift;
            if next < 0x80 {
                let length = zigzag32(value);
                let length =
                    usize::try_from(length).map_err(|_| RecordsError::NegativeLength(length))?;
                return Ok((length, index + 1));
            }
        }
        Err(RecordsError::BadVarint)
    }

    /// Copies the next record's body into `record`; returns the bytes of its length field.
    fn fill_record(&mut self) -> Result<usize, RecordsError> {
        let (length, prefix_bytes) = self.length()?;
        if length > self.max_record_bytes {
            return Err(RecordsError::TooLarge { declared: length });
        }
        self.record.clear();
        while self.record.len() < length {
            self.refill()?;
            let ready = self.buffer.get(self.start..self.end).unwrap_or_default();
            let count = ready.len().min(length - self.record.len());
            self.record.extend_from_slice(ready.get(..count).unwrap_or_default());
            self.start += count;
        }
        Ok(prefix_bytes)
    }

    fn read_summary(&mut self) -> Result<RecordSummary, RecordsError> {
        let (length, prefix_bytes) = self.length()?;
        // A record that is whole in the buffer, as nearly all are, needs no byte-wise reading.
        let ready = self.buffer.get(self.start..self.end).unwrap_or_default();
        if let Some(body) = ready.get(..length) {
            let summary = parse_body(body, prefix_bytes)?.summary();
            self.start += length;
            return Ok(summary);
        }
        let mut body = Body { stream: self, left: length, declared: length };
        body.byte()?;
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key_is_null = !body.skip_sized()?;
        let value_is_null = !body.skip_sized()?;
        let count = body.varint()?;
        let header_count = u32::try_from(count)
            .ok()
            .filter(|&count| count as usize <= body.left)
            .ok_or(RecordsError::BadHeaderCount(count))?;
        for _ in 0..header_count {
            let length = body.varint()?;
            let length = usize::try_from(length)
                .map_err(|_| RecordsError::NegativeHeaderKeyLength(length))?;
            body.skip(length)?;
            body.skip_sized()?;
        }
        if body.left > 0 {
            return Err(RecordsError::WrongLength { declared: length, read: length - body.left });
        }
        Ok(RecordSummary {
            timestamp_delta,
            offset_delta,
            key_is_null,
            value_is_null,
            size_bytes: prefix_bytes + length,
        })
    }
}

/// The rest of a record's body in a stream: reads fields across buffer borders and keeps nothing.
struct Body<'a, R> {
    stream: &'a mut RecordStream<R>,
    left: usize,
    declared: usize,
}

impl<R: Read> Body<'_, R> {
    fn past_end(&self) -> RecordsError {
        RecordsError::WrongLength { declared: self.declared, read: self.declared }
    }

    fn byte(&mut self) -> Result<u8, RecordsError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| self.past_end())?;
        self.stream.byte()
    }

    fn varint(&mut self) -> Result<i32, RecordsError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let next = self.byte()?;
            value |= u32::from(next & 0x7f) << shift;
            if next < 0x80 {
                return Ok(zigzag32(value));
            }
        }
        Err(RecordsError::BadVarint)
    }

    fn varlong(&mut self) -> Result<i64, RecordsError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let next = self.byte()?;
            value |= u64::from(next & 0x7f) << shift;
            if next < 0x80 {
                return Ok(zigzag64(value));
            }
        }
        Err(RecordsError::BadVarint)
    }

    fn skip(&mut self, count: usize) -> Result<(), RecordsError> {
        self.left = self.left.checked_sub(count).ok_or_else(|| self.past_end())?;
        let mut remaining = count;
        while remaining > 0 {
            self.stream.refill()?;
            let step = remaining.min(self.stream.end - self.stream.start);
            self.stream.start += step;
            remaining -= step;
        }
        Ok(())
    }

    /// Passes over a length and its bytes; `false` when the length is negative, which is null.
    fn skip_sized(&mut self) -> Result<bool, RecordsError> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.skip(length).map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests;
