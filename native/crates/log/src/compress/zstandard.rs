//! Zstandard, with one context of each kind kept by every thread.

use std::cell::RefCell;
use std::io::{self, Read};

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::{Codec, CompressError, invalid, truncated};

/// A frame that announces a larger window may not fill it: encoders announce up to 128 MiB at their highest levels, however
/// little they compress, and the window is paid for only as far as it is written. The library itself refuses beyond 128 MiB.
const WINDOW_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// A context that grew beyond this is not kept for the next batch.
const ZSTD_CONTEXT_KEEP_BYTES: usize = 4 * 1024 * 1024;

thread_local! {
    // Creating a context costs more than decompressing a small batch, so each thread keeps one of each kind.
    static ZSTD_DECOMPRESS: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    static ZSTD_COMPRESS: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
}

fn zstd_detail(code: usize) -> String {
    zstd_safe::get_error_name(code).to_string()
}

pub(super) struct ZstdReader<'a> {
    input: &'a [u8],
    /// Taken from the thread for as long as this reader lives; `None` when none could be made.
    context: Option<DCtx<'static>>,
    is_in_frame: bool,
    has_started: bool,
    /// The frame at hand announced more than [`WINDOW_MAX_BYTES`].
    is_wide: bool,
    /// Bytes that the frame at hand has given.
    frame_bytes: u64,
}

/// Window that the frame at the start of `input` announces (RFC 8878, 3.1.1.1); 0 where there is no whole header. Frames of one
/// segment have their content as window.
fn announced_window(input: &[u8]) -> u64 {
    const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
    let Some(&[descriptor, window, ..]) = input.strip_prefix(&MAGIC) else { return 0 };
    if descriptor & 0x20 == 0 {
        let base = 1_u64 << (10 + (window >> 3));
        return base + base / 8 * u64::from(window & 7);
    }
    match zstd_safe::get_frame_content_size(input) {
        Ok(Some(bytes)) => bytes,
        _ => 0,
    }
}

impl<'a> ZstdReader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let context = ZSTD_DECOMPRESS
            .with(|kept| kept.borrow_mut().take())
            .and_then(|mut context| {
                context.reset(ResetDirective::SessionOnly).is_ok().then_some(context)
            })
            .or_else(DCtx::try_create);
        Self {
            input,
            context,
            is_in_frame: false,
            has_started: false,
            is_wide: false,
            frame_bytes: 0,
        }
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
            if !self.is_in_frame {
                self.is_wide = announced_window(self.input) > WINDOW_MAX_BYTES;
                self.frame_bytes = 0;
            }
            let mut source = InBuffer::around(self.input);
            let mut target = OutBuffer::around(&mut *into);
            let hint = context
                .decompress_stream(&mut target, &mut source)
                .map_err(|code| invalid(zstd_detail(code)))?;
            let consumed = source.pos();
            let produced = target.pos();
            self.input = self.input.get(consumed..).unwrap_or_default();
            self.is_in_frame = hint != 0;
            self.frame_bytes += produced as u64;
            if self.is_wide && self.frame_bytes > WINDOW_MAX_BYTES {
                return Err(invalid("the frame needs too large a window"));
            }
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

pub(super) fn compress_zstd(level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
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
