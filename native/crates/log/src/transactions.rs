//! The index of aborted transactions, `.txnindex`: entries of 34 bytes in the order of their markers.
//!
//! ```text
//! 0 version i16 = 0 | 2 producer id i64 | 10 first offset i64 | 18 last offset i64 | 26 last stable offset i64
//! ```

use crate::batch::{i16_at, i64_at};

pub(crate) const ENTRY_BYTES: usize = 34;

/// One aborted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AbortedEntry {
    pub producer_id: i64,
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    pub last_stable_offset: i64,
}

impl AbortedEntry {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&0i16.to_be_bytes());
        for field in
            [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset]
        {
            into.extend_from_slice(&field.to_be_bytes());
        }
    }
}

/// Reads a whole file; `None` when it is damaged.
pub fn decode_aborted(bytes: &[u8]) -> Option<Vec<AbortedEntry>> {
    if !bytes.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let mut entries: Vec<AbortedEntry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    for chunk in bytes.chunks_exact(ENTRY_BYTES) {
        if i16_at(chunk, 0)? != 0 {
            return None;
        }
        let entry = AbortedEntry {
            producer_id: i64_at(chunk, 2)?,
            first_offset: i64_at(chunk, 10)?,
            last_offset: i64_at(chunk, 18)?,
            last_stable_offset: i64_at(chunk, 26)?,
        };
        if entry.first_offset > entry.last_offset
            || entries.last().is_some_and(|last| last.last_offset >= entry.last_offset)
        {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_file() {
        let entries = [
            AbortedEntry {
                producer_id: 4,
                first_offset: 10,
                last_offset: 20,
                last_stable_offset: 12,
            },
            AbortedEntry {
                producer_id: 5,
                first_offset: 12,
                last_offset: 25,
                last_stable_offset: 26,
            },
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            entry.encode(&mut bytes);
        }
        assert_eq!(decode_aborted(&bytes).as_deref(), Some(entries.as_slice()));
        assert_eq!(decode_aborted(&bytes[..40]), None);
        bytes[1] = 1;
        assert_eq!(decode_aborted(&bytes), None);
    }
}
