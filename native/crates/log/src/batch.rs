//! The header of a record batch (magic 2): parsing, framing, patching, CRC.
//!
//! ```text
//!  0 base offset        i64     not covered by the CRC: assigned by the leader
//!  8 batch length       i32     bytes after this field
//! 12 leader epoch       i32     not covered by the CRC: stamped by the leader
//! 16 magic              i8
//! 17 CRC-32C            u32     of everything from 21 on
//! 21 attributes         i16     0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
//! 23 last offset delta  i32
//! 27 base timestamp     i64
//! 35 max timestamp      i64
//! 43 producer id        i64
//! 51 producer epoch     i16
//! 53 base sequence      i32
//! 57 record count       i32
//! 61 records
//! ```

use crc_fast::CrcAlgorithm;

use crate::compress::Codec;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes that `batch length` does not count.
pub const FRAME_BYTES: usize = 12;
/// Enough bytes to know the magic.
pub(crate) const MAGIC_END: usize = 17;
/// Least `batch length` that Kafka takes for a record batch of any magic.
const LEAST_BATCH_LENGTH: i32 = 14;
/// First byte that the CRC covers.
pub(crate) const CRC_FROM: usize = 21;

const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;

/// The fields before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BatchHeader {
    pub base_offset: i64,
    pub batch_length: i32,
    pub leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

pub(crate) fn i16_at(bytes: &[u8], at: usize) -> Option<i16> {
    array_at(bytes, at).map(i16::from_be_bytes)
}

pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array_at(bytes, at).map(i32::from_be_bytes)
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    array_at(bytes, at).map(i64::from_be_bytes)
}

/// Writes a field; a buffer that is too short is left alone.
pub(crate) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(into) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>()) {
        *into = value;
    }
}

impl BatchHeader {
    /// Reads the 61 bytes; `None` when there are fewer. Nothing is judged here.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        Some(Self {
            base_offset: i64_at(bytes, 0)?,
            batch_length: i32_at(bytes, 8)?,
            leader_epoch: i32_at(bytes, 12)?,
            magic: *bytes.get(16)? as i8,
            crc: array_at(bytes, 17).map(u32::from_be_bytes)?,
            attributes: i16_at(bytes, 21)?,
            last_offset_delta: i32_at(bytes, 23)?,
            base_timestamp: i64_at(bytes, 27)?,
            max_timestamp: i64_at(bytes, 35)?,
            producer_id: i64_at(bytes, 43)?,
            producer_epoch: i16_at(bytes, 51)?,
            base_sequence: i32_at(bytes, 53)?,
            record_count: i32_at(bytes, 57)?,
        })
    }

    /// The 61 bytes of this header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, 0, self.base_offset.to_be_bytes());
        put(&mut bytes, 8, self.batch_length.to_be_bytes());
        put(&mut bytes, 12, self.leader_epoch.to_be_bytes());
        put(&mut bytes, 16, self.magic.to_be_bytes());
        put(&mut bytes, 17, self.crc.to_be_bytes());
        put(&mut bytes, 21, self.attributes.to_be_bytes());
        put(&mut bytes, 23, self.last_offset_delta.to_be_bytes());
        put(&mut bytes, 27, self.base_timestamp.to_be_bytes());
        put(&mut bytes, 35, self.max_timestamp.to_be_bytes());
        put(&mut bytes, 43, self.producer_id.to_be_bytes());
        put(&mut bytes, 51, self.producer_epoch.to_be_bytes());
        put(&mut bytes, 53, self.base_sequence.to_be_bytes());
        put(&mut bytes, 57, self.record_count.to_be_bytes());
        bytes
    }

    /// Whole size, frame included; nonsense lengths give a size below [`HEADER_BYTES`].
    pub fn size(&self) -> usize {
        usize::try_from(self.batch_length).map_or(0, |length| length + FRAME_BYTES)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// `None` for a codec id that nobody defined.
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_attributes(self.attributes)
    }

    /// The broker's time replaced the producer's.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & TIMESTAMP_TYPE_BIT != 0
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Transaction markers and the like.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Written by an idempotent or transactional producer.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > -1
    }

    /// Sequence number of the last record; wraps as Kafka's do.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            -1
        } else {
            increment_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// Sets or clears the bit that says whose clock `max_timestamp` is from.
    pub(crate) fn set_log_append_time(&mut self, on: bool) {
        self.attributes = if on {
            self.attributes | TIMESTAMP_TYPE_BIT
        } else {
            self.attributes & !TIMESTAMP_TYPE_BIT
        };
    }
}

/// `sequence + increment`, where 2^31-1 is followed by 0.
pub(crate) fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(increment);
    (if sum > i64::from(i32::MAX) { sum - (1i64 << 31) } else { sum }) as i32
}

/// `sequence - decrement`, where 0 is preceded by 2^31-1.
pub(crate) fn decrement_sequence(sequence: i32, decrement: i32) -> i32 {
    let difference = i64::from(sequence) - i64::from(decrement);
    (if difference < 0 { difference + (1i64 << 31) } else { difference }) as i32
}

/// CRC-32C.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// CRC-32C of two runs of bytes, one after the other.
pub(crate) fn crc32c_of_two(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    digest.finalize() as u32
}

/// Whether the stored CRC is that of the bytes. `batch` is exactly one whole batch.
pub fn is_crc_valid(batch: &[u8]) -> bool {
    match (array_at(batch, 17), batch.get(CRC_FROM..)) {
        (Some(stored), Some(covered)) => u32::from_be_bytes(stored) == crc32c(covered),
        _ => false,
    }
}

/// What stands at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// A whole batch of magic 2, this many bytes.
    Batch(usize),
    /// A whole entry of magic 0 or 1, this many bytes.
    Legacy(usize),
    /// The bytes end before the entry does; Kafka ignores such a rest.
    Incomplete,
    /// Not an entry at all.
    Corrupt,
}

/// Frames the next entry as Kafka's `ByteBufferLogInputStream` does.
pub fn frame(bytes: &[u8]) -> Frame {
    if bytes.len() < FRAME_BYTES {
        return Frame::Incomplete;
    }
    let Some(length) = i32_at(bytes, 8) else { return Frame::Incomplete };
    if length < LEAST_BATCH_LENGTH {
        return Frame::Corrupt;
    }
    let Some(&magic) = bytes.get(MAGIC_END - 1) else { return Frame::Incomplete };
    if magic > 2 {
        return Frame::Corrupt;
    }
    let size = length as usize + FRAME_BYTES;
    if bytes.len() < size {
        return Frame::Incomplete;
    }
    if magic == 2 { Frame::Batch(size) } else { Frame::Legacy(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_encode_and_parse() {
        let header = BatchHeader {
            base_offset: 7,
            batch_length: 100,
            leader_epoch: 3,
            magic: 2,
            crc: 0xdead_beef,
            attributes: 0x11,
            last_offset_delta: 4,
            base_timestamp: 10,
            max_timestamp: 20,
            producer_id: 99,
            producer_epoch: 1,
            base_sequence: i32::MAX - 1,
            record_count: 5,
        };
        assert_eq!(BatchHeader::parse(&header.encode()), Some(header));
        assert_eq!(header.last_sequence(), 2);
        assert_eq!(decrement_sequence(2, 4), i32::MAX - 1);
    }

    #[test]
    fn crc32c_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_of_two(b"1234", b"56789"), 0xe306_9283);
    }

    #[test]
    fn frames_as_kafka_does() {
        assert_eq!(frame(&[0; 7]), Frame::Incomplete);
        assert_eq!(frame(&[0; 20]), Frame::Corrupt);
        let mut bytes = [0u8; 40];
        put(&mut bytes, 8, 20i32.to_be_bytes());
        assert_eq!(frame(&bytes), Frame::Legacy(32));
        put(&mut bytes, 16, [2]);
        assert_eq!(frame(&bytes), Frame::Batch(32));
        assert_eq!(frame(&bytes[..31]), Frame::Incomplete);
        put(&mut bytes, 16, [3]);
        assert_eq!(frame(&bytes), Frame::Corrupt);
    }
}
