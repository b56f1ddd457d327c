//! Snappy, in xerial framing or raw.

use std::io::{self, Read};

use super::{Block, Codec, CompressError, invalid, take, take_array, truncated};

/// First bytes of xerial framing, before its two version numbers.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_VERSION: u32 = 1;
/// The magic's first four bytes read as a chunk length: another xerial stream was appended.
const XERIAL_MAGIC_HEAD: u32 = u32::from_be_bytes([0x82, b'S', b'N', b'A']);
/// Block that Java's `SnappyOutputStream` compresses at a time.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// A raw block up to this size is decompressed in one go by `snap`. Java compresses in 32 KiB blocks; other clients a whole
/// batch at once, and such a block may be far larger: it is decoded element by element, so that it never is whole in memory.
const WHOLE_BLOCK_MAX_BYTES: usize = 1024 * 1024;

pub(super) struct SnappyReader<'a> {
    input: &'a [u8],
    is_xerial: bool,
    is_started: bool,
    block: Block,
    decoder: snap::raw::Decoder,
    /// A block too large to be decompressed in one go.
    large: Option<LargeBlock<'a>>,
}

impl<'a> SnappyReader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            is_xerial: false,
            is_started: false,
            block: Block::default(),
            decoder: snap::raw::Decoder::new(),
            large: None,
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
            self.skip_versions()?;
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
                self.skip_versions()?;
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

    /// Kafka's reader looks at neither version number.
    fn skip_versions(&mut self) -> io::Result<()> {
        take(&mut self.input, 8)?;
        Ok(())
    }

    fn decode(&mut self, chunk: &'a [u8]) -> io::Result<()> {
        let announced =
            snap::raw::decompress_len(chunk).map_err(|error| invalid(error.to_string()))?;
        // The densest element is a two-byte-offset copy: three bytes that stand for 64.
        let possible = chunk.len().saturating_mul(64) / 3 + 64;
        if announced > possible {
            return Err(invalid("the announced size is impossible"));
        }
        if announced > WHOLE_BLOCK_MAX_BYTES {
            self.large = Some(LargeBlock::new(chunk, announced)?);
            return Ok(());
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
            if let Some(large) = &mut self.large {
                let count = large.read(into)?;
                if count > 0 {
                    return Ok(count);
                }
                self.large = None;
            }
            if !self.next_block()? {
                return Ok(0);
            }
        }
        Ok(self.block.read(into))
    }
}

/// How far back a copy of a large block may reach. Every encoder there is works in fragments of 64 KiB and never reaches
/// beyond one; the format would allow more.
const WINDOW_BYTES: usize = 256 * 1024;
/// Output made at a time, beyond the window.
const STEP_BYTES: usize = 64 * 1024;

/// One raw block, decoded element by element into a sliding window.
struct LargeBlock<'a> {
    input: &'a [u8],
    /// Output still to come from elements not read yet.
    left: usize,
    /// The last [`WINDOW_BYTES`] of output, then what was made since.
    output: Vec<u8>,
    /// Where in `output` the part begins that the reader has not taken.
    taken: usize,
}

impl<'a> LargeBlock<'a> {
    fn new(chunk: &'a [u8], announced: usize) -> io::Result<Self> {
        let mut input = chunk;
        while take_array::<1>(&mut input)?[0] & 0x80 != 0 {}
        Ok(Self { input, left: announced, output: Vec::new(), taken: 0 })
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.output.len() {
            self.decode_some()?;
        }
        let ready = self.output.get(self.taken..).unwrap_or_default();
        let count = ready.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        Ok(count)
    }

    fn decode_some(&mut self) -> io::Result<()> {
        if self.output.len() > WINDOW_BYTES {
            self.output.drain(..self.output.len() - WINDOW_BYTES);
        }
        self.taken = self.output.len();
        while self.output.len() < WINDOW_BYTES + STEP_BYTES && !self.input.is_empty() {
            self.element()?;
        }
        if self.input.is_empty() && self.left > 0 {
            return Err(truncated());
        }
        Ok(())
    }

    fn element(&mut self) -> io::Result<()> {
        let [tag] = take_array(&mut self.input)?;
        let tag = usize::from(tag);
        let (offset, length) = match tag & 3 {
            0 => return self.literal(tag >> 2),
            1 => {
                let [low] = take_array(&mut self.input)?;
                (((tag >> 5) << 8) | usize::from(low), ((tag >> 2) & 7) + 4)
            }
            2 => {
                let bytes = take_array(&mut self.input)?;
                (usize::from(u16::from_le_bytes(bytes)), (tag >> 2) + 1)
            }
            _ => {
                let bytes = take_array(&mut self.input)?;
                (u32::from_le_bytes(bytes) as usize, (tag >> 2) + 1)
            }
        };
        self.spend(length)?;
        let from = self
            .output
            .len()
            .checked_sub(offset)
            .filter(|_| offset > 0)
            .ok_or_else(|| invalid("a copy reaches before the window"))?;
        if offset >= length {
            self.output.extend_from_within(from..from + length);
        } else {
            for at in from..from + length {
                let byte = self.output.get(at).copied().unwrap_or_default();
                self.output.push(byte);
            }
        }
        Ok(())
    }

    fn literal(&mut self, code: usize) -> io::Result<()> {
        let mut length = code + 1;
        if code >= 60 {
            length = 1;
            for (index, byte) in take(&mut self.input, code - 59)?.iter().enumerate() {
                length += usize::from(*byte) << (8 * index);
            }
        }
        self.spend(length)?;
        self.output.extend_from_slice(take(&mut self.input, length)?);
        Ok(())
    }

    fn spend(&mut self, length: usize) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| invalid("the block is longer than announced"))?;
        Ok(())
    }
}

pub(super) fn compress_snappy(bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
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
