//! Patterns over topic names, as consumers of the next-generation protocol subscribe with (KIP-848).
//!
//! Kafka reads them with RE2/J, so a pattern is RE2's: [`translate`] reads that syntax, refuses what RE2 refuses with RE2's words, and
//! writes the same pattern in the syntax of the `regex` crate. Both run in time linear to the name; here the compiled size is bounded as
//! well, so that no pattern costs more than a few milliseconds and megabytes. A pattern matches whole names.
#![forbid(unsafe_code)]

mod translate;

use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern, in bytes. Kafka has no limit of its own.
pub const MAX_PATTERN_BYTES: usize = 32_767;

/// Most bytes of a compiled pattern.
const MAX_COMPILED_BYTES: usize = 4 << 20;

/// Most bytes of states made while matching; beyond it matching goes on without keeping them.
const MAX_CACHED_BYTES: usize = 4 << 20;

/// Deepest nesting of groups and repetitions.
const MAX_NESTING: u32 = 250;

/// Why a pattern is none, in the words of RE2 where it is RE2 that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError(String);

impl PatternError {
    fn new(description: impl Into<String>) -> Self {
        Self(description.into())
    }
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

/// A pattern ready to match names.
#[derive(Debug)]
pub struct TopicPattern {
    regex: Regex,
}

impl TopicPattern {
    /// Compiles a pattern in RE2's syntax.
    pub fn compile(source: &str) -> Result<Self, PatternError> {
        if source.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::new(format!("longer than {MAX_PATTERN_BYTES} bytes")));
        }
        let translated = translate::translate(source)?;
        let regex = RegexBuilder::new(&format!(r"\A(?:{translated})\z"))
            .size_limit(MAX_COMPILED_BYTES)
            .dfa_size_limit(MAX_CACHED_BYTES)
            .nest_limit(MAX_NESTING)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => PatternError::new("too large when compiled"),
                // What translation lets through is the crate's syntax, save for nesting and names of Unicode classes.
                _ if translated.contains(r"\p{") || translated.contains(r"\P{") => {
                    PatternError::new(translate::BAD_RANGE)
                }
                _ => PatternError::new("nested too deeply"),
            })?;
        Ok(Self { regex })
    }

    /// Whether the pattern matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name.as_bytes())
    }
}

#[cfg(test)]
mod tests;
