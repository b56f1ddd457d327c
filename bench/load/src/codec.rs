//! Compression of a batch's records, as Kafka's formats say: an LZ4 frame, a zstd frame.
//!
//! Batches are compressed once before a run, and a few of those fetched are opened to be checked: speed does not matter here.

use std::io::{Read, Write};

/// How the records of a batch are compressed; the number is that of the batch's attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    None = 0,
    Lz4 = 3,
    Zstd = 4,
}

/// Bits of a batch's attributes that name the codec.
const CODEC_MASK: i16 = 7;
/// More than this out of one batch is a broken batch.
const MAX_OPENED_BYTES: u64 = 256 << 20;
/// What clients use by default.
const ZSTD_LEVEL: i32 = 3;

impl Codec {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec that a batch's attributes name.
    pub fn of_attributes(attributes: i16) -> Result<Self, String> {
        match attributes & CODEC_MASK {
            0 => Ok(Self::None),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            other => Err(format!("codec {other} is not known here")),
        }
    }

    pub fn compress(self, records: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::None => Ok(records.to_vec()),
            Self::Lz4 => {
                // Blocks of 64 KiB that stand alone, as Kafka's clients write them: its reader takes no others.
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max64KB)
                    .block_mode(lz4_flex::frame::BlockMode::Independent);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(records).map_err(|error| error.to_string())?;
                encoder.finish().map_err(|error| error.to_string())
            }
            Self::Zstd => zstd::encode_all(records, ZSTD_LEVEL).map_err(|error| error.to_string()),
        }
    }

    pub fn open(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut opened = Vec::new();
        let read = match self {
            Self::None => return Ok(bytes.to_vec()),
            Self::Lz4 => lz4_flex::frame::FrameDecoder::new(bytes)
                .take(MAX_OPENED_BYTES)
                .read_to_end(&mut opened),
            Self::Zstd => zstd::Decoder::new(bytes)
                .and_then(|decoder| decoder.take(MAX_OPENED_BYTES).read_to_end(&mut opened)),
        };
        read.map_err(|error| format!("{}: {error}", self.name()))?;
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_opens_again() -> Result<(), String> {
        let text = b"one word after the other ".repeat(5000);
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            assert_eq!(Codec::parse(codec.name()), Some(codec));
            assert_eq!(Codec::of_attributes(codec as i16 | 8), Ok(codec));
            let packed = codec.compress(&text)?;
            assert!(codec == Codec::None || packed.len() < text.len() / 4);
            assert_eq!(codec.open(&packed)?, text);
        }
        assert!(Codec::Zstd.open(b"no frame").is_err());
        Ok(())
    }
}
