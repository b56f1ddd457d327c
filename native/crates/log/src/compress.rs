//! The four codecs a record batch may be compressed with, as Kafka frames them.
//!
//! Decompression is *pulled*: [`open_reader`] turns compressed bytes into a reader that inflates one block at a time, so
//! a walk over the records of a batch holds one block and not the batch. Nothing is allocated because a header announces
//! it: each codec's next block is bounded by its own format before memory is taken (LZ4: the frame's block size, at most
//! 4 MiB; Snappy: what the compressed bytes could possibly expand to; zstd and gzip: fixed windows), and
//! [`decompress`], which does collect everything, stops at the caller's cap.
//!
//! ```text
//! gzip    RFC 1952, one or more members
//! snappy  xerial:  82 'SNAPPY' 00 | version int32 be | compatible int32 be | { length int32 be | raw snappy }*
//!         raw:     one raw snappy block (librdkafka and others send this; Java reads both)
//! lz4     LZ4 frame: 04 22 4D 18 | FLG | BD | [content size 8] | HC | { length uint32 le | block | [xxh32] }* | 0 | [xxh32]
//! zstd    RFC 8878, one or more frames
//! ```

use std::fmt;
use std::io::{self, Read};

mod lz4;
mod snappy;
mod zstandard;

use lz4::{Lz4Reader, compress_lz4};
use snappy::{SnappyReader, compress_snappy};
use zstandard::{ZstdReader, compress_zstd};

/// Compression of a record batch: bits 0–2 of its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Records follow the batch header as they are.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy, in xerial framing or raw.
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// RFC 8878 (KIP-110).
    Zstd = 4,
}

impl Codec {
    /// The codec that a batch's attributes name; `None` for the reserved ids 5, 6 and 7.
    pub fn from_attributes(attributes: i16) -> Option<Self> {
        Self::from_id((attributes & 0x07) as u8)
    }

    /// The codec with this id, or `None` when Kafka has no such codec.
    pub fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The codec that a topic's `compression.type` names; `None` for `producer` and for unknown names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "uncompressed" | "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "snappy" => Some(Self::Snappy),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The id, as it stands in bits 0–2 of the attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name of the codec.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Why bytes could not be decompressed or compressed. Nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompressError {
    /// The bytes are not what the codec's format allows, or end too early.
    Corrupt {
        /// Codec the bytes were read as.
        codec: Codec,
        /// What was wrong, in words.
        detail: String,
    },
    /// The content is larger than the caller's cap; decompression stopped there.
    TooLarge {
        /// The cap, in bytes.
        max_bytes: usize,
    },
    /// The compression library failed; in practice, out of memory.
    Failed {
        /// Codec in use.
        codec: Codec,
        /// What the library said.
        detail: String,
    },
}

impl fmt::Display for CompressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { codec, detail } => {
                write!(formatter, "invalid {} data: {detail}", codec.name())
            }
            Self::TooLarge { max_bytes } => {
                write!(formatter, "decompressed size exceeds {max_bytes} bytes")
            }
            Self::Failed { codec, detail } => {
                write!(formatter, "{} compression failed: {detail}", codec.name())
            }
        }
    }
}

impl std::error::Error for CompressError {}

/// Step in which collected output grows.
const OUTPUT_STEP_BYTES: usize = 64 * 1024;

/// Opens compressed bytes for reading as a stream.
///
/// Errors in the data come out of `read` as [`io::ErrorKind::InvalidData`] or [`io::ErrorKind::UnexpectedEof`]; after one the
/// reader is of no further use. Memory held is bounded by the codec's block, whatever the bytes claim. Output is not
/// bounded: the caller counts.
pub fn open_reader<'a>(codec: Codec, bytes: &'a [u8]) -> Box<dyn Read + 'a> {
    match codec {
        Codec::None => Box::new(bytes),
        Codec::Gzip => Box::new(GzipReader::new(bytes)),
        Codec::Snappy => Box::new(SnappyReader::new(bytes)),
        Codec::Lz4 => Box::new(Lz4Reader::new(bytes)),
        Codec::Zstd => Box::new(ZstdReader::new(bytes)),
    }
}

/// Decompresses everything, or fails as soon as the content passes `max_bytes`.
///
/// Memory follows what was really produced, in steps; an announced size is never believed.
pub fn decompress(codec: Codec, bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, CompressError> {
    if codec == Codec::None {
        return if bytes.len() > max_bytes {
            Err(CompressError::TooLarge { max_bytes })
        } else {
            Ok(bytes.to_vec())
        };
    }
    let mut reader = open_reader(codec, bytes);
    // A guess that the input itself pays for; growth after it is the vector's own doubling.
    let mut output = Vec::with_capacity(bytes.len().saturating_mul(3).min(max_bytes));
    loop {
        let filled = output.len();
        let room = max_bytes.saturating_add(1).saturating_sub(filled);
        if room == 0 {
            return Err(CompressError::TooLarge { max_bytes });
        }
        let spare = output.capacity().saturating_sub(filled);
        output.resize(filled + room.min(spare.max(OUTPUT_STEP_BYTES)), 0);
        let target = output.get_mut(filled..).unwrap_or_default();
        let count = match reader.read(target) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => {
                return Err(CompressError::Corrupt { codec, detail: error.to_string() });
            }
        };
        output.truncate(filled + count);
        if count == 0 {
            return Ok(output);
        }
    }
}

/// Compresses `bytes` so that Kafka's Java clients read the result.
///
/// `level` is the codec's own scale as in `compression.gzip.level` (1–9, -1 default) and `compression.zstd.level` (-131072–22,
/// default 3); out of range is clamped. Snappy has none, and our LZ4 writes its fast format whatever level is asked.
pub fn compress(codec: Codec, level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
    match codec {
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => compress_gzip(level, bytes),
        Codec::Snappy => compress_snappy(bytes),
        Codec::Lz4 => compress_lz4(bytes),
        Codec::Zstd => compress_zstd(level, bytes),
    }
}

fn invalid(detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.into())
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ends prematurely")
}

/// Takes `count` bytes off the front of `input`, or reports the early end.
fn take<'a>(input: &mut &'a [u8], count: usize) -> io::Result<&'a [u8]> {
    let (head, rest) = input.split_at_checked(count).ok_or_else(truncated)?;
    *input = rest;
    Ok(head)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> io::Result<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or_else(truncated)?;
    *input = rest;
    Ok(*head)
}

/// One decompressed block and how far the caller has read it.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Block {
    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        let ready = self.bytes.get(self.start..self.end).unwrap_or_default();
        let count = ready.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        self.start += count;
        count
    }
}

/// First bytes of a gzip member: magic and the one method there is.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Reads member after member. As in Java, what follows a member and does not begin another is ignored.
struct GzipReader<'a> {
    member: Option<flate2::bufread::GzDecoder<&'a [u8]>>,
}

impl<'a> GzipReader<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self { member: Some(flate2::bufread::GzDecoder::new(input)) }
    }
}

impl Read for GzipReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.member.as_mut().filter(|_| !into.is_empty()) {
            let count = member.read(into)?;
            if count > 0 {
                return Ok(count);
            }
            self.member = self
                .member
                .take()
                .map(flate2::bufread::GzDecoder::into_inner)
                .filter(|rest| rest.starts_with(&GZIP_MAGIC))
                .map(flate2::bufread::GzDecoder::new);
        }
        Ok(0)
    }
}

fn compress_gzip(level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
    let level = match level {
        Some(level) if level >= 1 => flate2::Compression::new(level.min(9) as u32),
        _ => flate2::Compression::default(),
    };
    let mut output = Vec::with_capacity(bytes.len() / 2 + 64);
    flate2::bufread::GzEncoder::new(bytes, level)
        .read_to_end(&mut output)
        .map_err(|error| CompressError::Failed { codec: Codec::Gzip, detail: error.to_string() })?;
    Ok(output)
}

#[cfg(test)]
mod tests;
