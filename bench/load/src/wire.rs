//! Kafka's wire primitives and the record batch, as little of them as a load generator needs.
//!
//! `Writer` appends to a byte vector; `Reader` walks a slice and answers an error instead of panicking when the bytes
//! end early. Only flexible versions are spoken, so strings and arrays have the compact form and each struct ends in
//! tagged fields. Record batches are of format v2 with a correct CRC-32C.
//!
//! ```text
//! batch: base offset 8 | length 4 | leader epoch 4 | magic 1 | crc 4 | attributes 2 | last offset delta 4
//!        | base timestamp 8 | max timestamp 8 | producer id 8 | epoch 2 | base sequence 4 | count 4 | records
//! crc covers everything from the attributes on; length counts from the leader epoch on
//! ```

use crate::codec::Codec;

/// Bytes of a batch before its first record.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes of a batch that its length field does not count.
pub const BATCH_PREFIX_BYTES: usize = 12;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const COUNT_AT: usize = 57;

/// Appends big-endian primitives and compact types.
#[derive(Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn i8(&mut self, value: i8) {
        self.bytes.push(value as u8);
    }

    pub fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn unsigned_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zigzag varint, as records use.
    pub fn varint(&mut self, value: i64) {
        self.unsigned_varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Length of a compact array (or string, or bytes) that is not null.
    pub fn compact_length(&mut self, length: usize) {
        self.unsigned_varint(length as u64 + 1);
    }

    pub fn compact_string(&mut self, text: &str) {
        self.compact_length(text.len());
        self.raw(text.as_bytes());
    }

    /// A null compact string, array or bytes.
    pub fn compact_null(&mut self) {
        self.bytes.push(0);
    }

    pub fn no_tags(&mut self) {
        self.bytes.push(0);
    }
}

/// Walks received bytes. Every error says what was being read.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, String>;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(format!(
                "message ends at {} of {} wanted",
                self.bytes.len(),
                self.at + length
            ));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn i8(&mut self) -> Read<i8> {
        Ok(i8::from_be_bytes(self.fixed()?))
    }

    pub fn i16(&mut self) -> Read<i16> {
        Ok(i16::from_be_bytes(self.fixed()?))
    }

    pub fn i32(&mut self) -> Read<i32> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    pub fn u32(&mut self) -> Read<u32> {
        Ok(u32::from_be_bytes(self.fixed()?))
    }

    pub fn i64(&mut self) -> Read<i64> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    pub fn uuid(&mut self) -> Read<[u8; 16]> {
        self.fixed()
    }

    pub fn unsigned_varint(&mut self) -> Read<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.fixed::<1>()?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("varint is longer than 10 bytes".to_owned())
    }

    pub fn varint(&mut self) -> Read<i64> {
        let value = self.unsigned_varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Length of a compact type; `None` is null.
    pub fn compact_length(&mut self) -> Read<Option<usize>> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }

    pub fn compact_string(&mut self) -> Read<Option<String>> {
        match self.compact_length()? {
            None => Ok(None),
            Some(length) => Ok(Some(String::from_utf8_lossy(self.take(length)?).into_owned())),
        }
    }

    pub fn skip_tags(&mut self) -> Read<()> {
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let length = self.unsigned_varint()? as usize;
            self.take(length)?;
        }
        Ok(())
    }

    /// Passes over a compact array of int32 and returns how many there are.
    pub fn skip_i32s(&mut self) -> Read<usize> {
        let count = self.compact_length()?.unwrap_or(0);
        self.take(count.saturating_mul(4))?;
        Ok(count)
    }
}

/// CRC-32C (Castagnoli), eight bytes at a time by eight tables: end to end every batch sent is summed anew.
pub struct Crc32c {
    /// `tables[k][b]`: what byte `b` leaves after `k` more bytes.
    tables: [[u32; 256]; 8],
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32c {
    pub fn new() -> Self {
        let mut tables = [[0; 256]; 8];
        for (index, entry) in tables[0].iter_mut().enumerate() {
            let mut value = index as u32;
            for _ in 0..8 {
                value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            }
            *entry = value;
        }
        for table in 1..8 {
            for byte in 0..256 {
                let before = tables[table - 1][byte];
                tables[table][byte] = tables[0][usize::from(before as u8)] ^ (before >> 8);
            }
        }
        Self { tables }
    }

    pub fn of(&self, bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks::<8>();
        let crc = words.iter().fold(!0, |crc: u32, word| {
            let mixed = u64::from_le_bytes(*word) ^ u64::from(crc);
            (0..8).fold(0, |sum, byte| {
                sum ^ self.tables[7 - byte][usize::from((mixed >> (8 * byte)) as u8)]
            })
        });
        !rest
            .iter()
            .fold(crc, |crc, byte| self.tables[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
    }
}

/// Pseudo-random stream (xorshift64*), so that a seed reproduces every byte and every arrival.
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub fn value(&mut self, length_bytes: usize) -> Vec<u8> {
        (0..length_bytes).map(|_| b' ' + (self.next_u64() >> 32) as u8 % 95).collect()
    }

    /// Words drawn from a few hundred: something that compresses as text does.
    pub fn text(&mut self, words: &[Vec<u8>], length_bytes: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length_bytes + 16);
        while text.len() < length_bytes {
            text.extend_from_slice(&words[(self.next_u64() >> 32) as usize % words.len()]);
        }
        text.truncate(length_bytes);
        text
    }

    /// Words of 3 to 11 letters, a blank after each.
    pub fn words(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|_| {
                let letters = 3 + (self.next_u64() >> 32) as usize % 9;
                let mut word: Vec<u8> =
                    (0..letters).map(|_| b'a' + (self.next_u64() >> 32) as u8 % 26).collect();
                word.push(b' ');
                word
            })
            .collect()
    }
}

/// Encodes one batch of keyless records with the values given and one timestamp for all.
pub fn encode_batch(
    crc: &Crc32c,
    codec: Codec,
    timestamp_ms: i64,
    values: &[Vec<u8>],
) -> Result<Vec<u8>, String> {
    let last_delta = values.len() as i32 - 1;
    let mut batch = Writer::default();
    batch.i64(0); // base offset: the broker assigns it
    batch.i32(0); // length, patched below
    batch.i32(-1); // leader epoch: the broker's
    batch.i8(2); // magic
    batch.i32(0); // crc, patched below
    batch.i16(codec as i16); // attributes: the codec, create time
    batch.i32(last_delta);
    batch.i64(timestamp_ms);
    batch.i64(timestamp_ms);
    batch.i64(-1); // producer id
    batch.i16(-1); // producer epoch
    batch.i32(-1); // base sequence
    batch.i32(values.len() as i32);
    let (mut record, mut records) = (Writer::default(), Writer::default());
    for (delta, value) in values.iter().enumerate() {
        record.bytes.clear();
        record.i8(0); // attributes
        record.varint(0); // timestamp delta
        record.varint(delta as i64);
        record.varint(-1); // no key
        record.varint(value.len() as i64);
        record.raw(value);
        record.varint(0); // no headers
        records.varint(record.bytes.len() as i64);
        records.raw(&record.bytes);
    }
    batch.raw(&codec.compress(&records.bytes)?);
    let mut bytes = batch.bytes;
    let length = (bytes.len() - BATCH_PREFIX_BYTES) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    patch_crc(crc, &mut bytes);
    Ok(bytes)
}

/// Place of the first record's value in an uncompressed batch, and its length.
pub fn first_value(batch: &[u8]) -> Result<(usize, usize), String> {
    let mut reader = Reader::new(batch);
    reader.take(BATCH_HEADER_BYTES)?;
    reader.varint()?; // length
    reader.i8()?;
    reader.varint()?;
    reader.varint()?;
    let key_length = reader.varint()?.max(0) as usize;
    reader.take(key_length)?;
    let length = reader.varint()?.max(0) as usize;
    Ok((reader.position(), length))
}

/// Recomputes the CRC of a whole batch after something in it was patched.
pub fn patch_crc(crc: &Crc32c, batch: &mut [u8]) {
    let sum = crc.of(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&sum.to_be_bytes());
}

/// What the header of a batch says.
pub struct BatchHeader {
    pub base_offset: i64,
    /// Whole batch, prefix included.
    pub batch_bytes: usize,
    pub record_count: i64,
}

/// Reads the header of the batch at the start of `bytes`; `None` where fewer bytes than a header are there.
pub fn batch_header(bytes: &[u8]) -> Option<BatchHeader> {
    let header = bytes.get(..BATCH_HEADER_BYTES)?;
    let i32_at = |at: usize| {
        i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let base_offset = Reader::new(header).i64().ok()?;
    Some(BatchHeader {
        base_offset,
        batch_bytes: i32_at(8).max(0) as usize + BATCH_PREFIX_BYTES,
        record_count: i64::from(i32_at(LAST_OFFSET_DELTA_AT)) + 1,
    })
}

/// Walks whole batches at the start of `bytes`, checks length, magic, CRC and counts, and hands each record's offset
/// and value to `on_record`. A batch cut off at the end is ignored, as a client ignores it. Returns how many records
/// were seen.
pub fn read_batches(
    crc: &Crc32c,
    bytes: &[u8],
    mut on_record: impl FnMut(i64, &[u8]) -> Result<(), String>,
) -> Result<u64, String> {
    let mut rest = bytes;
    let mut records = 0;
    while let Some(header) = batch_header(rest) {
        let Some(batch) = rest.get(..header.batch_bytes) else { break };
        let base = header.base_offset;
        if batch.len() < BATCH_HEADER_BYTES || batch[16] != 2 {
            return Err(format!("batch at offset {base} is too short or not of magic 2"));
        }
        let mut reader = Reader::new(&batch[CRC_AT..]);
        if reader.u32()? != crc.of(&batch[ATTRIBUTES_AT..]) {
            return Err(format!("batch at offset {base} has a wrong CRC"));
        }
        let count = i64::from(Reader::new(&batch[COUNT_AT..]).i32()?);
        if count != header.record_count {
            return Err(format!(
                "batch at offset {base}: {count} records, {} offsets",
                header.record_count
            ));
        }
        let codec = Codec::of_attributes(Reader::new(&batch[ATTRIBUTES_AT..]).i16()?)?;
        let opened = codec.open(&batch[BATCH_HEADER_BYTES..])?;
        let mut reader = Reader::new(&opened);
        for delta in 0..count {
            let length = reader.varint()? as usize;
            let mut record = Reader::new(reader.take(length)?);
            record.i8()?;
            record.varint()?;
            if record.varint()? != delta {
                return Err(format!(
                    "batch at offset {base}: record {delta} has another offset delta"
                ));
            }
            let key_length = record.varint()?.max(0) as usize;
            record.take(key_length)?;
            let value_length = record.varint()?.max(0) as usize;
            on_record(base + delta, record.take(value_length)?)?;
            records += 1;
        }
        rest = &rest[batch.len()..];
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(Crc32c::new().of(b"123456789"), 0xe306_9283);
        let (crc, bytes) = (Crc32c::new(), [7; 40]);
        let slowly = |bytes: &[u8]| {
            !bytes.iter().fold(!0, |sum: u32, byte| {
                crc.tables[0][usize::from(sum as u8 ^ byte)] ^ (sum >> 8)
            })
        };
        for length in 0..bytes.len() {
            assert_eq!(crc.of(&bytes[..length]), slowly(&bytes[..length]), "{length}");
        }
    }

    #[test]
    fn compressed_batches_read_back() -> Result<(), String> {
        let crc = Crc32c::new();
        let mut random = Random::new(5);
        let words = random.words(256);
        let values: Vec<Vec<u8>> = (0..200).map(|_| random.text(&words, 500)).collect();
        let plain = encode_batch(&crc, Codec::None, 1, &values)?;
        let (at, length) = first_value(&plain)?;
        assert_eq!(&plain[at..at + length], values[0]);
        for codec in [Codec::Lz4, Codec::Zstd] {
            let batch = encode_batch(&crc, codec, 1, &values)?;
            assert!(batch.len() * 3 < plain.len() * 2, "{} of {}", batch.len(), plain.len());
            let mut seen = Vec::new();
            read_batches(&crc, &batch, |_, value| {
                seen.push(value.to_vec());
                Ok(())
            })?;
            assert_eq!(seen, values);
        }
        Ok(())
    }

    #[test]
    fn a_batch_reads_back_and_a_flipped_bit_does_not() -> Result<(), String> {
        let crc = Crc32c::new();
        let values = vec![b"one".to_vec(), b"".to_vec(), vec![7; 300]];
        let mut batch = encode_batch(&crc, Codec::None, 1_700_000_000_000, &values)?;
        let mut seen = Vec::new();
        let count = read_batches(&crc, &batch, |offset, value| {
            seen.push((offset, value.to_vec()));
            Ok(())
        });
        assert_eq!(count, Ok(3));
        assert_eq!(
            seen,
            vec![(0, values[0].clone()), (1, values[1].clone()), (2, values[2].clone())]
        );
        // A cut batch counts for nothing; a damaged one is an error.
        assert_eq!(read_batches(&crc, &batch[..batch.len() - 1], |_, _| Ok(())), Ok(0));
        let last = batch.len() - 1;
        batch[last] ^= 1;
        assert!(read_batches(&crc, &batch, |_, _| Ok(())).is_err());
        Ok(())
    }

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, -1, 63, 64, -64, -65, i64::from(i32::MAX), i64::MIN, i64::MAX] {
            let mut writer = Writer::default();
            writer.varint(value);
            assert_eq!(Reader::new(&writer.bytes).varint(), Ok(value));
        }
        assert!(Reader::new(&[0x80; 11]).unsigned_varint().is_err());
    }

    #[test]
    fn a_short_message_is_an_error() {
        assert!(Reader::new(&[0, 0]).i32().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0x7f]).compact_string().is_err());
    }
}
