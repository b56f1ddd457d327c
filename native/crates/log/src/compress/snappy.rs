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

/// Largest content of one raw Snappy block. Java compresses in 32 KiB blocks, other clients a whole batch at once, and a
/// batch is at most 100 MiB of request. The block has to be whole in memory, so this is the one codec with a limit of ours.
const SNAPPY_BLOCK_MAX_BYTES: usize = 128 * 1024 * 1024;

pub(super) struct SnappyReader<'a> {
    input: &'a [u8],
    is_xerial: bool,
    is_started: bool,
    block: Block,
    decoder: snap::raw::Decoder,
}

impl<'a> SnappyReader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
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
