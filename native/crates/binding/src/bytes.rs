//! Checksums and codecs for bytes that are in JavaScript.

use napi::Env;
use napi::bindgen_prelude::Uint8ArraySlice;
use napi_derive::napi;
use sluice_log::compress::{self, Codec, CompressError};

use crate::error::{CodedError, Result, invalid};

fn codec_of(codec: f64) -> Result<Codec> {
    // A cast saturates, so every number that is not one of the five ends at an id that no codec has, or at its own.
    Codec::from_id(codec as u8).ok_or_else(|| invalid(format!("codec {codec} is unknown")))
}

fn coded(error: &CompressError) -> CodedError {
    let code = match error {
        CompressError::Corrupt { .. } => "CORRUPT_DATA",
        CompressError::TooLarge { .. } => "TOO_LARGE",
        CompressError::Failed { .. } => "COMPRESSION_FAILED",
    };
    CodedError::new(code, error.to_string())
}

/// The bytes in an array that JavaScript owns and collects like any other.
pub(crate) fn owned<'env>(env: &'env Env, bytes: &[u8]) -> Result<Uint8ArraySlice<'env>> {
    Uint8ArraySlice::copy_from(env, bytes).map_err(|error| invalid(error.reason.clone()))
}

/// CRC-32C (Castagnoli) of the bytes, as an unsigned number.
#[napi(js_name = "crc32c", catch_unwind)]
pub fn crc32c(bytes: &[u8]) -> f64 {
    f64::from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32)
}

/// Compresses as Kafka's clients expect. `codec` 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; `level` is the codec's own scale, or
/// null for its default.
#[napi(catch_unwind)]
pub fn compress<'env>(
    env: &'env Env,
    codec: f64,
    level: Option<f64>,
    bytes: &[u8],
) -> Result<Uint8ArraySlice<'env>> {
    let packed = compress::compress(codec_of(codec)?, level.map(|level| level as i32), bytes)
        .map_err(|error| coded(&error))?;
    owned(env, &packed)
}

/// Decompresses at most `maxBytes`. Throws with `code` CORRUPT_DATA or TOO_LARGE; memory used stays under the cap either way.
#[napi(catch_unwind)]
pub fn decompress<'env>(
    env: &'env Env,
    codec: f64,
    bytes: &[u8],
    max_bytes: f64,
) -> Result<Uint8ArraySlice<'env>> {
    let content = compress::decompress(codec_of(codec)?, bytes, max_bytes as usize)
        .map_err(|error| coded(&error))?;
    owned(env, &content)
}
