//! Patterns over topic names.

use napi::bindgen_prelude::Uint32Array;
use napi_derive::napi;
use sluice_pattern::TopicPattern;

use crate::error::{CodedError, Result};

/// Which of the names (separated by line feeds) a pattern in RE2's syntax matches as a whole: their positions, ascending. Compiles anew at
/// each call. Throws with `code` INVALID_PATTERN and the reason as message.
#[napi(catch_unwind)]
pub fn match_pattern(source: String, names: String) -> Result<Uint32Array> {
    let pattern = TopicPattern::compile(&source)
        .map_err(|error| CodedError::new("INVALID_PATTERN", error.to_string()))?;
    let matched: Vec<u32> = (0_u32..)
        .zip(names.split('\n'))
        .filter(|(_, name)| !name.is_empty() && pattern.matches(name))
        .map(|(position, _)| position)
        .collect();
    Ok(Uint32Array::new(matched))
}
