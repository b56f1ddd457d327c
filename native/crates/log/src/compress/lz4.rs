//! The LZ4 frame format around `lz4_flex`'s blocks.

use std::io::{self, Read};

use super::{Block, Codec, CompressError, invalid, take, take_array};

pub(super) const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const LZ4_FLAG_VERSION_MASK: u8 = 0b1100_0000;
const LZ4_FLAG_VERSION: u8 = 0b0100_0000;
const LZ4_FLAG_INDEPENDENT: u8 = 0b0010_0000;
pub(super) const LZ4_FLAG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
pub(super) const LZ4_FLAG_CONTENT_SIZE: u8 = 0b0000_1000;
const LZ4_FLAG_RESERVED: u8 = 0b0000_0011;
const LZ4_BLOCK_SIZE_64_KIB: u8 = 4 << 4;
const LZ4_UNCOMPRESSED: u32 = 0x8000_0000;
const LZ4_BLOCK_BYTES: usize = 64 * 1024;

/// Reads the frames that Kafka's `Lz4BlockInputStream` reads: independent blocks, no dictionary. As there, the content
/// checksum is skipped (the batch has a CRC of its own) and whatever follows the end mark is ignored.
pub(super) struct Lz4Reader<'a> {
    input: &'a [u8],
    block_bytes: usize,
    has_block_checksums: bool,
    is_started: bool,
    is_finished: bool,
    block: Block,
}

impl<'a> Lz4Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
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
        // Kafka's reader takes a block without content for the end, so nobody may be led past one.
        self.is_finished = self.block.is_empty();
        Ok(!self.is_finished)
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

pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    twox_hash::XxHash32::oneshot(0, bytes)
}

pub(super) fn compress_lz4(bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
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
