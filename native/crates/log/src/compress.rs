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

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective};

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

/// Largest content of one raw Snappy block. Java compresses in 32 KiB blocks, other clients a whole batch at once, and a
/// batch is at most 100 MiB of request. The block has to be whole in memory, so this is the one codec with a limit of ours.
const SNAPPY_BLOCK_MAX_BYTES: usize = 128 * 1024 * 1024;

/// Step in which collected output grows.
const OUTPUT_STEP_BYTES: usize = 64 * 1024;

/// A zstd context that grew beyond this is not kept for the next batch.
const ZSTD_CONTEXT_KEEP_BYTES: usize = 4 * 1024 * 1024;

/// Opens compressed bytes for reading as a stream.
///
/// Errors in the data come out of `read` as [`io::ErrorKind::InvalidData`] or [`io::ErrorKind::UnexpectedEof`]; after one the
/// reader is of no further use. Memory held is bounded by the codec's block, whatever the bytes claim. Output is not
/// bounded: the caller counts.
pub fn open_reader<'a>(codec: Codec, bytes: &'a [u8]) -> Box<dyn Read + 'a> {
    match codec {
        Codec::None => Box::new(bytes),
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
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

// ---- gzip ----

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

// ---- snappy ----

/// First bytes of xerial framing, before its two version numbers.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_VERSION: u32 = 1;
/// The magic's first four bytes read as a chunk length: another xerial stream was appended.
const XERIAL_MAGIC_HEAD: u32 = u32::from_be_bytes([0x82, b'S', b'N', b'A']);
/// Block that Java's `SnappyOutputStream` compresses at a time.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

struct SnappyReader<'a> {
    input: &'a [u8],
    is_xerial: bool,
    is_started: bool,
    block: Block,
    decoder: snap::raw::Decoder,
}

impl<'a> SnappyReader<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            is_xerial: false,
            is_started: false,
            block: Block::default(),
            decoder: snap::raw::Decoder::new(),
        }
    }

    /// Decompresses the next block; `false` at the end of the input.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.is_started {
            self.is_started = true;
            if self.input.is_empty() {
                return Err(truncated());
            }
            self.is_xerial = self.input.starts_with(&XERIAL_MAGIC);
            if !self.is_xerial {
                let all = std::mem::take(&mut self.input);
                self.decode(all)?;
                return Ok(true);
            }
            take(&mut self.input, XERIAL_MAGIC.len())?;
            self.read_version()?;
        }
        loop {
            if self.input.is_empty() {
                return Ok(false);
            }
            let length = u32::from_be_bytes(take_array(&mut self.input)?);
            if length == XERIAL_MAGIC_HEAD {
                if take_array::<4>(&mut self.input)? != [b'P', b'P', b'Y', 0] {
                    return Err(invalid("a chunk length is negative"));
                }
                self.read_version()?;
                continue;
            }
            if length > i32::MAX as u32 {
                return Err(invalid("a chunk length is negative"));
            }
            let chunk = take(&mut self.input, length as usize)?;
            self.decode(chunk)?;
            return Ok(true);
        }
    }

    fn read_version(&mut self) -> io::Result<()> {
        let _version: [u8; 4] = take_array(&mut self.input)?;
        let compatible = u32::from_be_bytes(take_array(&mut self.input)?);
        if compatible > XERIAL_VERSION {
            return Err(invalid("the xerial version is not supported"));
        }
        Ok(())
    }

    fn decode(&mut self, chunk: &[u8]) -> io::Result<()> {
        let announced =
            snap::raw::decompress_len(chunk).map_err(|error| invalid(error.to_string()))?;
        // The densest element is a two-byte-offset copy: three bytes that stand for 64.
        let possible = chunk.len().saturating_mul(64) / 3 + 64;
        if announced > possible.min(SNAPPY_BLOCK_MAX_BYTES) {
            return Err(invalid("the announced size is impossible"));
        }
        if self.block.bytes.len() < announced {
            self.block.bytes.resize(announced, 0);
        }
        let target = self.block.bytes.get_mut(..announced).unwrap_or_default();
        let count =
            self.decoder.decompress(chunk, target).map_err(|error| invalid(error.to_string()))?;
        self.block.start = 0;
        self.block.end = count;
        Ok(())
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.block.is_empty() && !into.is_empty() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        Ok(self.block.read(into))
    }
}

fn compress_snappy(bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
    let failed = |error: snap::Error| CompressError::Failed {
        codec: Codec::Snappy,
        detail: error.to_string(),
    };
    let mut encoder = snap::raw::Encoder::new();
    let mut output = Vec::with_capacity(bytes.len() / 2 + 64);
    output.extend_from_slice(&XERIAL_MAGIC);
    output.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
    output.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
    for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
        let at = output.len();
        let bound = snap::raw::max_compress_len(block.len());
        output.resize(at + 4 + bound, 0);
        let target = output.get_mut(at + 4..).unwrap_or_default();
        let count = encoder.compress(block, target).map_err(failed)?;
        output.truncate(at + 4 + count);
        if let Some(length) = output.get_mut(at..at + 4) {
            length.copy_from_slice(&(count as u32).to_be_bytes());
        }
    }
    Ok(output)
}

// ---- lz4 ----

const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const LZ4_FLAG_VERSION_MASK: u8 = 0b1100_0000;
const LZ4_FLAG_VERSION: u8 = 0b0100_0000;
const LZ4_FLAG_INDEPENDENT: u8 = 0b0010_0000;
const LZ4_FLAG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
const LZ4_FLAG_CONTENT_SIZE: u8 = 0b0000_1000;
const LZ4_FLAG_RESERVED: u8 = 0b0000_0011;
const LZ4_BLOCK_SIZE_64_KIB: u8 = 4 << 4;
const LZ4_UNCOMPRESSED: u32 = 0x8000_0000;
const LZ4_BLOCK_BYTES: usize = 64 * 1024;

/// Reads the frames that Kafka's `Lz4BlockInputStream` reads: independent blocks, no dictionary. As there, the content
/// checksum is skipped (the batch has a CRC of its own) and whatever follows the end mark is ignored.
struct Lz4Reader<'a> {
    input: &'a [u8],
    block_bytes: usize,
    has_block_checksums: bool,
    is_started: bool,
    is_finished: bool,
    block: Block,
}

impl<'a> Lz4Reader<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            block_bytes: 0,
            has_block_checksums: false,
            is_started: false,
            is_finished: false,
            block: Block::default(),
        }
    }

    fn read_header(&mut self) -> io::Result<()> {
        if take_array::<4>(&mut self.input)? != LZ4_MAGIC {
            return Err(invalid("the magic number is wrong"));
        }
        let descriptor = self.input;
        let [flags, sizes] = take_array(&mut self.input)?;
        if flags & LZ4_FLAG_VERSION_MASK != LZ4_FLAG_VERSION {
            return Err(invalid("the frame version is not supported"));
        }
        if flags & LZ4_FLAG_RESERVED != 0 || sizes & 0b1000_1111 != 0 {
            return Err(invalid("reserved bits of the frame descriptor are set"));
        }
        if flags & LZ4_FLAG_INDEPENDENT == 0 {
            return Err(invalid("dependent blocks are not supported"));
        }
        self.block_bytes = match sizes >> 4 {
            4 => 64 * 1024,
            5 => 256 * 1024,
            6 => 1024 * 1024,
            7 => 4 * 1024 * 1024,
            _ => return Err(invalid("the block size is not valid")),
        };
        let mut descriptor_bytes = 2;
        if flags & LZ4_FLAG_CONTENT_SIZE != 0 {
            take(&mut self.input, 8)?;
            descriptor_bytes += 8;
        }
        self.has_block_checksums = flags & LZ4_FLAG_BLOCK_CHECKSUM != 0;
        let [checksum] = take_array(&mut self.input)?;
        let described = descriptor.get(..descriptor_bytes).unwrap_or_default();
        if checksum != (xxh32(described) >> 8) as u8 {
            return Err(invalid("the frame descriptor's checksum does not match"));
        }
        Ok(())
    }

    /// Decompresses the next block; `false` after the end mark.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.is_started {
            self.is_started = true;
            self.read_header()?;
        }
        if self.is_finished {
            return Ok(false);
        }
        let word = u32::from_le_bytes(take_array(&mut self.input)?);
        if word == 0 {
            self.is_finished = true;
            return Ok(false);
        }
        let is_plain = word & LZ4_UNCOMPRESSED != 0;
        let length = (word & !LZ4_UNCOMPRESSED) as usize;
        if length > self.block_bytes {
            return Err(invalid("a block is larger than the frame allows"));
        }
        let source = take(&mut self.input, length)?;
        if self.has_block_checksums
            && xxh32(source) != u32::from_le_bytes(take_array(&mut self.input)?)
        {
            return Err(invalid("a block's checksum does not match"));
        }
        self.block.start = 0;
        if is_plain {
            self.block.bytes.clear();
            self.block.bytes.extend_from_slice(source);
            self.block.end = length;
        } else {
            // A byte of LZ4 stands for at most 255 bytes, so a short block never needs the frame's full block size.
            let room = source.len().saturating_mul(255).saturating_add(64).min(self.block_bytes);
            if self.block.bytes.len() < room {
                self.block.bytes.resize(room, 0);
            }
            let target = self.block.bytes.get_mut(..room).unwrap_or_default();
            self.block.end = lz4_flex::block::decompress_into(source, target)
                .map_err(|error| invalid(error.to_string()))?;
        }
        Ok(true)
    }
}

impl Read for Lz4Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.block.is_empty() && !into.is_empty() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        Ok(self.block.read(into))
    }
}

fn xxh32(bytes: &[u8]) -> u32 {
    twox_hash::XxHash32::oneshot(0, bytes)
}

fn compress_lz4(bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
    let descriptor = [LZ4_FLAG_VERSION | LZ4_FLAG_INDEPENDENT, LZ4_BLOCK_SIZE_64_KIB];
    let mut output = Vec::with_capacity(bytes.len() / 2 + 64);
    output.extend_from_slice(&LZ4_MAGIC);
    output.extend_from_slice(&descriptor);
    output.push((xxh32(&descriptor) >> 8) as u8);
    let mut table = lz4_flex::block::CompressTable::large();
    for block in bytes.chunks(LZ4_BLOCK_BYTES) {
        let at = output.len();
        let bound = lz4_flex::block::get_maximum_output_size(block.len());
        output.resize(at + 4 + bound, 0);
        let target = output.get_mut(at + 4..).unwrap_or_default();
        let count = lz4_flex::block::compress_into_with_table(block, target, &mut table).map_err(
            |error| CompressError::Failed { codec: Codec::Lz4, detail: error.to_string() },
        )?;
        let word = if count < block.len() {
            output.truncate(at + 4 + count);
            count as u32
        } else {
            output.truncate(at + 4);
            output.extend_from_slice(block);
            block.len() as u32 | LZ4_UNCOMPRESSED
        };
        if let Some(length) = output.get_mut(at..at + 4) {
            length.copy_from_slice(&word.to_le_bytes());
        }
    }
    output.extend_from_slice(&0_u32.to_le_bytes());
    Ok(output)
}

// ---- zstd ----

thread_local! {
    // Creating a context costs more than decompressing a small batch, so each thread keeps one of each kind.
    static ZSTD_DECOMPRESS: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    static ZSTD_COMPRESS: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
}

fn zstd_detail(code: usize) -> String {
    zstd_safe::get_error_name(code).to_string()
}

struct ZstdReader<'a> {
    input: &'a [u8],
    /// Taken from the thread for as long as this reader lives; `None` when none could be made.
    context: Option<DCtx<'static>>,
    is_in_frame: bool,
    has_started: bool,
}

impl<'a> ZstdReader<'a> {
    fn new(input: &'a [u8]) -> Self {
        let context = ZSTD_DECOMPRESS
            .with(|kept| kept.borrow_mut().take())
            .and_then(|mut context| {
                context.reset(ResetDirective::SessionOnly).is_ok().then_some(context)
            })
            .or_else(DCtx::try_create);
        Self { input, context, is_in_frame: false, has_started: false }
    }
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let context = self
            .context
            .as_mut()
            .ok_or_else(|| io::Error::new(io::ErrorKind::OutOfMemory, "no zstd context"))?;
        loop {
            if self.input.is_empty() && !self.is_in_frame {
                return if self.has_started { Ok(0) } else { Err(truncated()) };
            }
            self.has_started = true;
            let mut source = InBuffer::around(self.input);
            let mut target = OutBuffer::around(&mut *into);
            let hint = context
                .decompress_stream(&mut target, &mut source)
                .map_err(|code| invalid(zstd_detail(code)))?;
            let consumed = source.pos();
            let produced = target.pos();
            self.input = self.input.get(consumed..).unwrap_or_default();
            self.is_in_frame = hint != 0;
            if produced > 0 {
                return Ok(produced);
            }
            if consumed == 0 && self.is_in_frame {
                // Neither side moved although there is room for output: the frame needs input that is not there.
                return Err(truncated());
            }
        }
    }
}

impl Drop for ZstdReader<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take()
            && context.sizeof() <= ZSTD_CONTEXT_KEEP_BYTES
        {
            // During thread teardown the slot may be gone; then the context is simply freed.
            let _ = ZSTD_DECOMPRESS.try_with(|kept| *kept.borrow_mut() = Some(context));
        }
    }
}

fn compress_zstd(level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
    let failed = |detail: String| CompressError::Failed { codec: Codec::Zstd, detail };
    let level = level
        .unwrap_or(zstd_safe::CLEVEL_DEFAULT)
        .clamp(zstd_safe::min_c_level(), zstd_safe::max_c_level());
    ZSTD_COMPRESS.with(|kept| {
        let mut context = kept
            .borrow_mut()
            .take()
            .or_else(CCtx::try_create)
            .ok_or_else(|| failed("no zstd context".to_string()))?;
        context
            .reset(ResetDirective::SessionAndParameters)
            .and_then(|_| context.set_parameter(CParameter::CompressionLevel(level)))
            .map_err(|code| failed(zstd_detail(code)))?;
        let mut output = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
        context.compress2(&mut output, bytes).map_err(|code| failed(zstd_detail(code)))?;
        if context.sizeof() <= ZSTD_CONTEXT_KEEP_BYTES {
            *kept.borrow_mut() = Some(context);
        }
        output.shrink_to_fit();
        Ok(output)
    })
}

#[cfg(test)]
mod tests;
