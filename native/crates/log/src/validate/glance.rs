//! The records of a batch that is not compressed, looked at quickly.
//!
//! Nearly every record that a broker is sent is in order. [`glance`] follows the same structure as the walk that knows every fault, but
//! takes up to eight bytes at a time and only ever says "in order" or "look closely": it accepts nothing that the walk would not, and
//! what it does not accept the walk judges.

use super::NO_TIMESTAMP;

/// What the records may be, for `glance` to take them.
pub(super) struct Terms {
    pub(super) record_count: i32,
    pub(super) base_timestamp: i64,
    /// Timestamps from the one to the other need no look.
    pub(super) timestamps: (i64, i64),
    pub(super) needs_keys: bool,
}

/// A varint whose first bytes are the lowest of `word`, if it takes one or two: the value before its sign is undone, and its size.
#[inline]
fn short(word: u64) -> Option<(u64, u32)> {
    if word & 0x80 == 0 {
        Some((word & 0x7f, 1))
    } else if word & 0x8000 == 0 {
        Some(((word & 0x7f) | (word >> 1 & 0x3f80), 2))
    } else {
        None
    }
}

#[inline]
fn signed(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next eight bytes; zeros stand for those behind the end.
    #[inline]
    fn word(&self) -> u64 {
        match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => self.last_word(),
        }
    }

    #[cold]
    fn last_word(&self) -> u64 {
        let mut word = 0;
        for (index, &byte) in self.bytes.get(self.at..).unwrap_or_default().iter().enumerate() {
            word |= u64::from(byte) << (8 * index);
        }
        word
    }

    /// A varint of at most `most_bytes`.
    #[inline]
    fn varint(&mut self, most_bytes: u32) -> Option<i64> {
        if let Some((value, size)) = short(self.word()) {
            self.at += size as usize;
            return Some(signed(value));
        }
        self.long(most_bytes)
    }

    #[cold]
    fn long(&mut self, most_bytes: u32) -> Option<i64> {
        let mut value = 0;
        for index in 0..most_bytes {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some(signed(value));
            }
        }
        None
    }

    /// Passes over a key or a value, where a negative size is null.
    #[inline]
    fn skip(&mut self, size: i64, end: usize) -> Option<()> {
        if size > 0 {
            self.at = self.at.checked_add(size as usize).filter(|at| *at <= end)?;
        }
        Some(())
    }

    /// Passes over as many record headers.
    fn skip_headers(&mut self, count: i64, end: usize) -> Option<()> {
        for _ in 0..count {
            let key_bytes = self.varint(5).filter(|size| *size >= 0)?;
            self.skip(key_bytes, end)?;
            let value_bytes = self.varint(5)?;
            self.skip(value_bytes, end)?;
            if self.at > end {
                return None;
            }
        }
        Some(())
    }
}

/// The largest timestamp of records that are all in order and fill `payload`; `None` where somebody has to look closely.
pub(super) fn glance(payload: &[u8], terms: &Terms) -> Option<i64> {
    let (earliest, latest) = terms.timestamps;
    let mut cursor = Cursor { bytes: payload, at: 0 };
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    for _ in 0..terms.record_count {
        let size = usize::try_from(cursor.varint(5)?).ok()?;
        let end = cursor.at.checked_add(size).filter(|end| *end <= payload.len())?;
        // Attributes, of which none is defined.
        cursor.at += 1;
        let timestamp = terms.base_timestamp.wrapping_add(cursor.varint(10)?);
        least = least.min(timestamp);
        most = most.max(timestamp);
        // Its offset delta: only a compressed batch is judged by it.
        cursor.varint(5)?;
        let key_bytes = cursor.varint(5)?;
        if terms.needs_keys && key_bytes < 0 {
            return None;
        }
        cursor.skip(key_bytes, end)?;
        let value_bytes = cursor.varint(5)?;
        cursor.skip(value_bytes, end)?;
        let header_count = cursor.varint(5)?;
        if header_count != 0 {
            if header_count < 0 || header_count as usize > end.checked_sub(cursor.at)? {
                return None;
            }
            cursor.skip_headers(header_count, end)?;
        }
        if cursor.at != end {
            return None;
        }
    }
    let are_in_time = terms.record_count == 0 || (least >= earliest && most <= latest);
    (cursor.at == payload.len() && are_in_time).then_some(most.max(NO_TIMESTAMP))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{BatchHeader, HEADER_BYTES};
    use crate::compress::Codec;
    use crate::config::LogConfig;
    use crate::records::{BatchBuilder, BatchOptions, HeaderRef};
    use crate::validate::{Rules, SliceSource, Walk, terms_of};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn rules(config: &LogConfig) -> Rules<'_> {
        Rules { config, label: "t-0", now_ms: NOW_MS, is_client: true, inline_bytes: u64::MAX }
    }

    fn walked(payload: &[u8], header: &BatchHeader, config: &LogConfig) -> Option<i64> {
        let rules = rules(config);
        let mut walk = Walk::new(header, &rules, Codec::None);
        walk.run(&mut SliceSource { bytes: payload, at: 0 }).ok()?;
        walk.finish().ok().map(|seen| seen.max_timestamp)
    }

    fn glanced(payload: &[u8], header: &BatchHeader, config: &LogConfig) -> Option<i64> {
        terms_of(header, &rules(config)).and_then(|terms| glance(payload, &terms))
    }

    type Record = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    fn record() -> impl Strategy<Value = Record> {
        let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
        let value = prop_oneof![4 => bytes(40), 1 => (0usize..9000).prop_map(|size| vec![7; size])];
        let headers = proptest::collection::vec((bytes(5), proptest::option::of(bytes(80))), 0..3);
        (
            prop_oneof![8 => -300i64..300, 1 => -(1i64 << 33)..1 << 33],
            proptest::option::of(bytes(70)),
            proptest::option::of(value),
            prop_oneof![4 => Just(Vec::new()), 1 => headers],
        )
    }

    fn built(records: &[Record]) -> (Vec<u8>, BatchHeader) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for (delta, key, value, headers) in records {
            let headers =
                headers.iter().map(|(key, value)| HeaderRef { key, value: value.as_deref() });
            builder.append(NOW_MS + delta, key.as_deref(), value.as_deref(), headers);
        }
        let batch = builder.finish().unwrap_or_default();
        let header = BatchHeader::parse(&batch).unwrap_or_else(|| unreachable!());
        (batch.get(HEADER_BYTES..).unwrap_or_default().to_vec(), header)
    }

    proptest! {
        /// Whatever a producer would send is taken at a glance, unless the clock is wrong.
        #[test]
        fn good_records_are_seen_at_a_glance(records in proptest::collection::vec(record(), 1..40)) {
            let (payload, header) = built(&records);
            let config = LogConfig::default();
            prop_assert_eq!(glanced(&payload, &header, &config), walked(&payload, &header, &config));
        }

        /// Whatever is taken at a glance the walk takes too, and sees the same in it.
        #[test]
        fn a_glance_accepts_nothing_that_a_walk_would_not(
            records in proptest::collection::vec(record(), 1..12),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop_oneof![3 => Just(0usize), 1 => 1usize..12],
            count in -1i32..2,
            is_compacted in any::<bool>(),
        ) {
            let (mut payload, mut header) = built(&records);
            for (at, byte) in changes {
                let at = at.index(payload.len());
                if let Some(place) = payload.get_mut(at) {
                    *place = byte;
                }
            }
            payload.truncate(payload.len().saturating_sub(cut));
            header.record_count += count;
            let mut config = LogConfig::default();
            if is_compacted {
                config.cleanup_policy = vec!["compact".to_owned()];
            }
            if let Some(seen) = glanced(&payload, &header, &config) {
                prop_assert_eq!(Some(seen), walked(&payload, &header, &config));
            }
        }
    }
}
