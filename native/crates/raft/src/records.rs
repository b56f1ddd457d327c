//! Entries as record batches, and segment files read back.
//!
//! An entry is a batch with one record: offset = index, leader epoch = term. The value is the entry's data; the record's key is
//!
//! ```text
//! version u8 (0) · type u8 (0 normal, 1 change of members, 2 the same in its second form) · term u32 · synced u64
//! ```
//!
//! The term is there because a batch's CRC does not cover its header's leader epoch; `synced` is the index up to which this node's log
//! was synced when the batch was written. That number is how damage is told from a torn write: a bad batch that a later good one calls synced was promised to somebody.

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType};
use sluice_log::LogError;
use sluice_log::batch::{BatchHeader, Frame, HEADER_BYTES, frame, is_crc_valid};
use sluice_log::records::{BatchBuilder, BatchOptions, RecordIter};

use crate::error::corrupt;

const SECTOR_BYTES: usize = 512;
const KEY_BYTES: usize = 14;
/// Offset and length of a batch: the length is never 0.
const HEAD_BYTES_MIN: usize = 12;
/// Records of the metadata log end with a few zeros.
const TAIL_BYTES_MIN: usize = 8;

fn type_number(kind: EntryType) -> u8 {
    match kind {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    }
}

/// The batch of an entry, as bytes.
pub(crate) fn encode(entry: &Entry, synced: u64, now_ms: i64) -> Result<Vec<u8>, LogError> {
    let leader_epoch = i32::try_from(entry.term).map_err(|_| {
        corrupt(format!("term {} is larger than a leader epoch can be", entry.term))
    })?;
    let options =
        BatchOptions { base_offset: entry.index as i64, leader_epoch, ..BatchOptions::default() };
    let mut key = vec![0, type_number(entry.get_entry_type())];
    key.extend_from_slice(&leader_epoch.to_be_bytes());
    key.extend_from_slice(&synced.to_be_bytes());
    let mut builder = BatchBuilder::new(options);
    builder.append(now_ms, Some(&key), Some(&entry.data), []);
    builder
        .finish()
        .map_err(|error| corrupt(format!("cannot encode entry {}: {error:?}", entry.index)))
}

/// An entry and what its writer knew to be synced; `None` when the batch, whose CRC is right, is not one of ours.
fn decode(header: &BatchHeader, batch: &[u8]) -> Option<(Entry, u64)> {
    let payload = batch.get(HEADER_BYTES..header.size())?;
    let record = RecordIter::new(payload, header.record_count).next()?.ok()?;
    let key: &[u8; KEY_BYTES] = record.key?.try_into().ok()?;
    let (head, synced) = key.split_last_chunk::<8>()?;
    let (head, term) = head.split_last_chunk::<4>()?;
    let kind = match head {
        [0, 0] => EntryType::EntryNormal,
        [0, 1] => EntryType::EntryConfChange,
        [0, 2] => EntryType::EntryConfChangeV2,
        _ => return None,
    };
    if i32::from_be_bytes(*term) != header.leader_epoch
        || header.record_count != 1
        || header.attributes != 0
        || record.offset_delta != 0
    {
        return None;
    }
    let mut entry = Entry::default();
    entry.set_entry_type(kind);
    entry.index = u64::try_from(header.base_offset).ok()?;
    entry.term = u64::try_from(header.leader_epoch).ok()?;
    entry.data = Bytes::copy_from_slice(record.value?);
    Some((entry, u64::from_be_bytes(*synced)))
}

/// Where a log stops being good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    /// Which of the segments.
    pub(crate) segment: usize,
    /// Bytes of it that are good.
    pub(crate) position: usize,
    /// Index the entry there would have.
    pub(crate) index: u64,
    pub(crate) why: String,
    /// It looks like a write that a power cut interrupted: short, or with a sector of zeros.
    pub(crate) is_torn: bool,
    /// A good batch behind it says that everything up to this index was synced.
    pub(crate) synced_behind: u64,
}

/// What the segments hold.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) entries: Vec<Entry>,
    pub(crate) broken: Option<Break>,
}

enum Piece {
    Good(Entry, u64, usize),
    Bad { why: &'static str, is_torn: bool },
}

/// Whether a sector of the range, or the part of one that it has, is all zeros: what a power cut leaves of a write. Parts so short
/// that a whole batch may have zeros there (its offset's first bytes, its last fields) do not count.
fn has_zero_sector(bytes: &[u8], position: usize, end: usize) -> bool {
    let is_zero = |from: usize, to: usize| {
        bytes.get(from..to).is_some_and(|part| part.iter().all(|byte| *byte == 0))
    };
    let mut from = position;
    while from < end {
        let to = ((from / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        let least = if from == position { HEAD_BYTES_MIN } else { TAIL_BYTES_MIN };
        if to - from >= least && is_zero(from, to) {
            return true;
        }
        from = to;
    }
    false
}

fn piece(bytes: &[u8], position: usize) -> Piece {
    let rest = bytes.get(position..).unwrap_or_default();
    match frame(rest) {
        // A batch that is all there but for its length was not torn: the CRC does not cover that field.
        Frame::Incomplete => {
            Piece::Bad { why: "the file ends inside of a batch", is_torn: !is_crc_valid(rest) }
        }
        Frame::Batch(size) => {
            let batch = rest.get(..size).unwrap_or_default();
            if !is_crc_valid(batch) {
                let is_torn = has_zero_sector(bytes, position, position + size);
                return Piece::Bad { why: "the checksum of a batch is wrong", is_torn };
            }
            match BatchHeader::parse(batch).and_then(|header| decode(&header, batch)) {
                Some((entry, synced)) => Piece::Good(entry, synced, size),
                None => Piece::Bad { why: "a batch is not one of a raft log", is_torn: false },
            }
        }
        Frame::Legacy(_) | Frame::Corrupt => {
            let end = (position + SECTOR_BYTES).div_ceil(SECTOR_BYTES) * SECTOR_BYTES;
            let is_torn = has_zero_sector(bytes, position, end.min(bytes.len()));
            Piece::Bad { why: "there is no batch where one should be", is_torn }
        }
    }
}

/// The largest `synced` of good batches in `bytes` from `position` on, looked for at every place.
fn synced_behind(bytes: &[u8], position: usize) -> u64 {
    let mut best = 0;
    let mut at = position;
    while at + HEADER_BYTES <= bytes.len() {
        // Magic 2 at its place, before anything dearer is looked at.
        if bytes.get(at + 16) == Some(&2)
            && let Piece::Good(_, synced, size) = piece(bytes, at)
        {
            best = best.max(synced);
            at += size;
        } else {
            at += 1;
        }
    }
    best
}

/// Reads segments in order; `segments` are base index and content.
pub(crate) fn scan(segments: &[(u64, Vec<u8>)]) -> Scanned {
    let mut found = Scanned::default();
    let mut expected: Option<u64> = None;
    for (number, (base, bytes)) in segments.iter().enumerate() {
        let mut position = 0;
        let at_break = |position: usize, index: u64, why: String, is_torn: bool| {
            let mut synced = synced_behind(bytes, position);
            for (_, later) in segments.get(number + 1..).unwrap_or_default() {
                synced = synced.max(synced_behind(later, 0));
            }
            Some(Break { segment: number, position, index, why, is_torn, synced_behind: synced })
        };
        if let Some(expected) = expected
            && *base != expected
        {
            let why = format!("a segment begins at {base} where {expected} comes next");
            found.broken = at_break(0, expected, why, false);
            return found;
        }
        let mut next = *base;
        while position < bytes.len() {
            match piece(bytes, position) {
                Piece::Good(entry, _, size) => {
                    let last_term = found.entries.last().map_or(0, |last| last.term);
                    if entry.index != next || entry.term < last_term {
                        let why = format!(
                            "entry {} of term {} follows entry {} of term {last_term}",
                            entry.index,
                            entry.term,
                            next.saturating_sub(1)
                        );
                        found.broken = at_break(position, next, why, false);
                        return found;
                    }
                    found.entries.push(entry);
                    next += 1;
                    position += size;
                }
                Piece::Bad { why, is_torn } => {
                    found.broken = at_break(position, next, why.to_owned(), is_torn);
                    return found;
                }
            }
        }
        expected = Some(next);
    }
    found
}
