//! Writes batches of magic 2: for recompression, for the library API and for tests.

use super::{BATCH_HEADER_BYTES, HeaderRef};
use crate::compress::{self, Codec, CompressError};

const ATTRIBUTE_LOG_APPEND_TIME: i16 = 1 << 3;
const ATTRIBUTE_TRANSACTIONAL: i16 = 1 << 4;
const ATTRIBUTE_CONTROL: i16 = 1 << 5;

/// Header fields of a batch that its records do not determine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// How to compress the records.
    pub codec: Codec,
    /// The codec's own level, or `None` for its default.
    pub level: Option<i32>,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Epoch of the leader that appends; -1 when unknown.
    pub leader_epoch: i32,
    /// Set for `LogAppendTime`: readers take this as every record's timestamp.
    pub log_append_time_ms: Option<i64>,
    /// Idempotent or transactional producer; -1 for none.
    pub producer_id: i64,
    /// Its epoch; -1 for none.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1 for none.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub is_transactional: bool,
    /// Whether its records are control records.
    pub is_control: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            codec: Codec::None,
            level: None,
            base_offset: 0,
            leader_epoch: -1,
            log_append_time_ms: None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            is_transactional: false,
            is_control: false,
        }
    }
}

/// Collects records and closes them into one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// The header's place, then the records, uncompressed.
    bytes: Vec<u8>,
    body: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    last_offset_delta: i32,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(options: BatchOptions) -> Self {
        Self {
            options,
            bytes: vec![0; BATCH_HEADER_BYTES],
            body: Vec::new(),
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            last_offset_delta: -1,
        }
    }

    /// Adds a record at the next offset.
    pub fn append<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = HeaderRef<'h>>,
    ) {
        self.append_at(self.last_offset_delta + 1, timestamp, key, value, headers);
    }

    /// Adds a record at a given distance from the base offset, for batches that keep gaps.
    pub fn append_at<'h>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = HeaderRef<'h>>,
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = self.last_offset_delta.max(offset_delta);
        self.count += 1;

        let body = &mut self.body;
        body.clear();
        body.push(0);
        write_varlong(body, timestamp.wrapping_sub(self.base_timestamp));
        write_varint(body, offset_delta);
        write_sized(body, key);
        write_sized(body, value);
        // The count stands before the headers and is known after them; one byte holds it but for 64 headers and more.
        let at = body.len();
        body.push(0);
        let mut header_count = 0;
        for header in headers {
            write_sized(body, Some(header.key));
            write_sized(body, header.value);
            header_count += 1;
        }
        if header_count > 0 {
            let mut count_field = Vec::with_capacity(5);
            write_varint(&mut count_field, header_count);
            body.splice(at..=at, count_field);
        }
        write_varint(&mut self.bytes, body.len() as i32);
        self.bytes.extend_from_slice(body);
    }

    /// Number of records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Size the batch would have uncompressed.
    pub fn uncompressed_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Closes the batch: compresses the records, writes the header and its CRC.
    pub fn finish(mut self) -> Result<Vec<u8>, CompressError> {
        if self.options.codec != Codec::None {
            let records = self.bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default();
            let packed = compress::compress(self.options.codec, self.options.level, records)?;
            self.bytes.truncate(BATCH_HEADER_BYTES);
            self.bytes.extend_from_slice(&packed);
        }
        let options = &self.options;
        let mut attributes = i16::from(options.codec.id());
        if options.log_append_time_ms.is_some() {
            attributes |= ATTRIBUTE_LOG_APPEND_TIME;
        }
        if options.is_transactional {
            attributes |= ATTRIBUTE_TRANSACTIONAL;
        }
        if options.is_control {
            attributes |= ATTRIBUTE_CONTROL;
        }
        let length = (self.bytes.len() - 12) as i32;
        let mut header = Vec::with_capacity(BATCH_HEADER_BYTES);
        header.extend_from_slice(&options.base_offset.to_be_bytes());
        header.extend_from_slice(&length.to_be_bytes());
        header.extend_from_slice(&options.leader_epoch.to_be_bytes());
        header.push(2);
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&attributes.to_be_bytes());
        header.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        header.extend_from_slice(&self.base_timestamp.to_be_bytes());
        let max_timestamp = options.log_append_time_ms.unwrap_or(self.max_timestamp);
        header.extend_from_slice(&max_timestamp.to_be_bytes());
        header.extend_from_slice(&options.producer_id.to_be_bytes());
        header.extend_from_slice(&options.producer_epoch.to_be_bytes());
        header.extend_from_slice(&options.base_sequence.to_be_bytes());
        header.extend_from_slice(&self.count.to_be_bytes());
        if let Some(place) = self.bytes.get_mut(..BATCH_HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        let covered = self.bytes.get(21..).unwrap_or_default();
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, covered) as u32;
        if let Some(place) = self.bytes.get_mut(17..21) {
            place.copy_from_slice(&crc.to_be_bytes());
        }
        Ok(self.bytes)
    }
}

fn write_varint(into: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

fn write_varlong(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

fn write_sized(into: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            write_varint(into, bytes.len() as i32);
            into.extend_from_slice(bytes);
        }
        None => write_varint(into, -1),
    }
}
