//! Checks a segment file against itself: framing, CRCs, and the offsets and epochs that no CRC covers.
//!
//! A base offset is checked by its neighbours: batches ascend, and where two overlap the one that left a gap before itself is the liar. A
//! batch is therefore accepted only once the next one was seen. Behind a bad place the walk goes on where good batches begin
//! again, and a good batch counts only when another one, or the end of the file, follows it: records may hold whole batches as their values.

use std::io;
use std::sync::Arc;

use crate::batch::{BatchHeader, HEADER_BYTES, is_crc_valid};
use crate::epochs::EpochCache;
use crate::index::{IndexEntry, OffsetEntry, TimeEntry};
use crate::integrity::Hole;
use crate::io::{StoreFile, read_full};
use crate::scan::{Scanned, Scanner, find_valid_batch};

/// A segment, as far as a check must know it.
pub(crate) struct Subject {
    pub(crate) file: Arc<dyn StoreFile>,
    pub(crate) base_offset: i64,
    pub(crate) size: u64,
    /// Base offset of the segment after it.
    pub(crate) next_base: Option<i64>,
    /// Offset that the log is known to end at, if this is its last segment.
    pub(crate) known_end: Option<i64>,
    pub(crate) window_bytes: usize,
}

/// The end of a file that holds no good batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) position: u64,
    pub(crate) detail: String,
    /// Good batches are in there, but no two in a row: where records go on cannot be told.
    pub(crate) holds_batches: bool,
}

/// A leader epoch that contradicts its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EpochFault {
    pub(crate) position: u64,
    pub(crate) base_offset: i64,
    pub(crate) epoch: i32,
    pub(crate) expected: i32,
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Offset after the last good batch.
    pub(crate) end_offset: i64,
    pub(crate) last_timestamp: i64,
    pub(crate) holes: Vec<Hole>,
    pub(crate) tail: Option<Tail>,
    pub(crate) epoch_faults: Vec<EpochFault>,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    /// The caller stopped it.
    pub(crate) is_stopped: bool,
}

/// Told of the walk; may stop it by returning false.
pub(crate) trait Progress {
    /// Bytes up to `position` were read.
    fn at(&mut self, position: u64) -> bool;
    /// A batch is good.
    fn on_batch(&mut self, position: u64, header: &BatchHeader) -> io::Result<()>;
}

#[derive(Clone, Copy)]
struct Candidate {
    position: u64,
    header: BatchHeader,
    /// The offset that should have come.
    expected: i64,
}

/// Walks the whole file.
pub(crate) fn check_segment(subject: &Subject, progress: &mut dyn Progress) -> io::Result<Checked> {
    let mut checked = Checked { end_offset: subject.base_offset, ..Checked::default() };
    let mut scanner =
        Scanner::new(Arc::clone(&subject.file), 0, subject.size, subject.window_bytes);
    let mut candidate: Option<Candidate> = None;
    let mut expected = subject.base_offset;
    let offset_limit = subject.base_offset.saturating_add(i64::from(i32::MAX));
    let mut epochs = EpochWalk::default();
    loop {
        let (position, detail) = match scanner.next_verified()? {
            Scanned::Batch { position, header } => {
                if !progress.at(position) {
                    checked.is_stopped = true;
                    return Ok(checked);
                }
                let fits = header.base_offset >= expected && header.last_offset() <= offset_limit;
                if !fits && let Some(liar) = candidate.filter(|last| is_liar(last, &header)) {
                    // The one before claimed offsets that are not its own.
                    candidate = None;
                    checked.holes.push(Hole {
                        from: liar.position,
                        to: position,
                        first_offset: liar.expected,
                        next_offset: header.base_offset,
                        detail: format!("base offset {} is not its own", liar.header.base_offset),
                    });
                    expected = header.base_offset;
                }
                if header.base_offset >= expected && header.last_offset() <= offset_limit {
                    if let Some(last) = candidate.take() {
                        accept(&mut checked, &mut epochs, progress, &last)?;
                    }
                    candidate = Some(Candidate { position, header, expected });
                    expected = header.next_offset();
                    continue;
                }
                (position, format!("offset {} is out of order", header.base_offset))
            }
            Scanned::End => break,
            Scanned::Bad { position, detail } => (position, detail),
        };
        if let Some(last) = candidate.take() {
            accept(&mut checked, &mut epochs, progress, &last)?;
        }
        if let Some(Resumed { position: to, base_offset }) = resume(subject, position, expected)? {
            checked.holes.push(Hole {
                from: position,
                to,
                first_offset: expected,
                next_offset: base_offset,
                detail,
            });
            expected = base_offset;
            scanner.go_to(to);
        } else {
            let behind = find_valid_batch(&subject.file, position + 1, subject.size, expected)?;
            let holds_batches = behind.is_some();
            checked.tail = Some(Tail { position, detail, holds_batches });
            break;
        }
    }
    if let Some(last) = candidate {
        let overlaps = subject.next_base.is_some_and(|next| last.header.last_offset() >= next);
        let has_gap = last.header.base_offset > last.expected;
        // It would fit the known end exactly, had it the offset that should have come.
        let is_beyond_end = has_gap
            && subject.known_end.is_some_and(|end| {
                last.header.last_offset() >= end
                    && last.expected + i64::from(last.header.last_offset_delta) + 1 == end
            });
        if overlaps && (has_gap || last.position == 0) || is_beyond_end {
            let next_base = subject.next_base.or(subject.known_end).unwrap_or(expected);
            checked.holes.push(Hole {
                from: last.position,
                to: last.position + last.header.size() as u64,
                first_offset: last.expected.min(next_base),
                next_offset: next_base,
                detail: format!("base offset {} is not its own", last.header.base_offset),
            });
        } else if overlaps {
            checked.tail = Some(Tail {
                position: last.position,
                detail: format!("offset {} is out of order", last.header.last_offset()),
                holds_batches: false,
            });
        } else {
            accept(&mut checked, &mut epochs, progress, &last)?;
        }
    }
    if let Some(hole) = checked.holes.last() {
        checked.end_offset = checked.end_offset.max(hole.next_offset);
    }
    checked.epoch_faults.append(&mut epochs.faults);
    Ok(checked)
}

/// Whether `last` left a gap before itself and overlaps `next`, which would fit without it.
fn is_liar(last: &Candidate, next: &BatchHeader) -> bool {
    last.header.base_offset > last.expected
        && next.base_offset >= last.expected
        && next.base_offset < last.header.next_offset()
}

fn accept(
    checked: &mut Checked,
    epochs: &mut EpochWalk,
    progress: &mut dyn Progress,
    batch: &Candidate,
) -> io::Result<()> {
    checked.batches += 1;
    checked.records += batch.header.record_count.max(0) as u64;
    checked.end_offset = batch.header.next_offset();
    checked.last_timestamp = checked.last_timestamp.max(batch.header.max_timestamp);
    epochs.on_batch(batch.position, &batch.header);
    progress.on_batch(batch.position, &batch.header)
}

/// Epochs never go down; where they do, the batch whose neighbours agree against it is wrong.
#[derive(Default)]
struct EpochWalk {
    /// The last two batches: position, base offset, epoch.
    recent: Vec<(u64, i64, i32)>,
    faults: Vec<EpochFault>,
}

impl EpochWalk {
    fn on_batch(&mut self, position: u64, header: &BatchHeader) {
        let epoch = header.leader_epoch;
        if let Some(&(last_position, last_offset, last_epoch)) = self.recent.last()
            && last_epoch < -1
            && epoch >= -1
        {
            // Nobody writes such an epoch.
            self.faults.push(EpochFault {
                position: last_position,
                base_offset: last_offset,
                epoch: last_epoch,
                expected: epoch,
            });
            self.recent.pop();
        }
        if let Some(&(last_position, last_offset, last_epoch)) = self.recent.last()
            && epoch < last_epoch
        {
            let before = self.recent.first().filter(|_| self.recent.len() > 1);
            // Up and down again: the middle one. Only down: this one.
            let is_last_wrong = before.is_none_or(|&(_, _, before)| before <= epoch);
            if is_last_wrong {
                self.faults.push(EpochFault {
                    position: last_position,
                    base_offset: last_offset,
                    epoch: last_epoch,
                    expected: epoch,
                });
                self.recent.pop();
            } else {
                self.faults.push(EpochFault {
                    position,
                    base_offset: header.base_offset,
                    epoch,
                    expected: last_epoch,
                });
                return;
            }
        }
        if self.recent.len() == 2 {
            self.recent.remove(0);
        }
        self.recent.push((position, header.base_offset, epoch));
    }
}

struct Resumed {
    position: u64,
    base_offset: i64,
}

/// Where good batches go on behind a bad place. A segment with another behind it may be bad to its end.
fn resume(subject: &Subject, bad: u64, expected: i64) -> io::Result<Option<Resumed>> {
    let file = &subject.file;
    let size = subject.size;
    let fits = |header: &BatchHeader| {
        header.base_offset >= expected
            && header.last_offset() - subject.base_offset <= i64::from(i32::MAX)
            && subject.next_base.is_none_or(|next| header.last_offset() < next)
    };
    // The length of the bad batch is most likely right.
    let mut bytes = [0; HEADER_BYTES];
    let got = read_full(&**file, &mut bytes, bad)?;
    let framed = BatchHeader::parse(bytes.get(..got).unwrap_or_default())
        .filter(|header| header.size() >= HEADER_BYTES && header.size() as u64 <= size - bad)
        .map(|header| bad + header.size() as u64);
    if let Some(next) = framed.filter(|next| *next < size)
        && let Some(header) = good_batch(file, next, size)?.filter(&fits)
    {
        return Ok(Some(Resumed { position: next, base_offset: header.base_offset }));
    }
    let mut from = bad + 1;
    while let Some(position) = find_valid_batch(file, from, size, expected)? {
        if let Some(header) = good_batch(file, position, size)?.filter(&fits) {
            let end = position + header.size() as u64;
            if end == size || good_batch(file, end, size)?.is_some_and(|next| fits(&next)) {
                return Ok(Some(Resumed { position, base_offset: header.base_offset }));
            }
        }
        from = position + 1;
    }
    Ok(None)
}

/// The batch at a position, when its CRC is right.
pub(crate) fn good_batch(
    file: &Arc<dyn StoreFile>,
    position: u64,
    size: u64,
) -> io::Result<Option<BatchHeader>> {
    let mut scanner = Scanner::new(Arc::clone(file), position, size, HEADER_BYTES);
    Ok(match scanner.next_verified()? {
        Scanned::Batch { header, .. } => Some(header),
        _ => None,
    })
}

/// What is wrong with an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexFault {
    pub(crate) position: u64,
    pub(crate) detail: String,
}

/// A batch as the index checks need it: position, last offset, largest timestamp.
pub(crate) type Entry = (u64, i64, i64);

/// Compares each entry of an offset index with the batches, which are at least those it names, in order. Zeros at the end are what
/// preallocation leaves.
pub(crate) fn check_offset_index(
    bytes: &[u8],
    base_offset: i64,
    batches: &[Entry],
) -> Option<IndexFault> {
    let mut last = -1;
    for (at, entry) in entries_of::<OffsetEntry>(bytes) {
        let fault = |detail: String| Some(IndexFault { position: at, detail });
        let (position, offset) =
            (i64::from(entry.position), base_offset + i64::from(entry.relative_offset));
        if position < 0 || entry.relative_offset < 0 || position <= last {
            return fault(format!("entry of offset {offset} at {position} is out of order"));
        }
        last = position;
        let found = batches.binary_search_by_key(&(position as u64), |batch| batch.0);
        match found.ok().and_then(|at| batches.get(at)) {
            Some(batch) if batch.1 == offset => {}
            _ => return fault(format!("no batch at {position} ends with offset {offset}")),
        }
    }
    is_ragged::<OffsetEntry>(bytes)
}

/// As above, of a time index: each entry names the last offset of the batch that has the largest timestamp so far.
pub(crate) fn check_time_index(
    bytes: &[u8],
    base_offset: i64,
    batches: &[Entry],
) -> Option<IndexFault> {
    let mut last = i64::MIN;
    for (at, entry) in entries_of::<TimeEntry>(bytes) {
        let fault = |detail: String| Some(IndexFault { position: at, detail });
        let offset = base_offset + i64::from(entry.relative_offset);
        if entry.timestamp < last {
            return fault(format!("timestamp {} is out of order", entry.timestamp));
        }
        last = entry.timestamp;
        let found = batches.partition_point(|batch| batch.1 < offset);
        match batches.get(found) {
            // Kafka may name the very record, so any offset inside of the batch will do.
            Some(batch) if batch.2 == entry.timestamp => {}
            _ => return fault(format!("no batch with offset {offset} has timestamp {last}")),
        }
    }
    is_ragged::<TimeEntry>(bytes)
}

/// Positions that an offset index names.
pub(crate) fn named_positions(bytes: &[u8]) -> Vec<u64> {
    entries_of::<OffsetEntry>(bytes)
        .filter_map(|(_, entry)| u64::try_from(entry.position).ok())
        .collect()
}

/// Offsets that a time index names.
pub(crate) fn named_offsets(bytes: &[u8], base_offset: i64) -> Vec<i64> {
    entries_of::<TimeEntry>(bytes)
        .map(|(_, entry)| base_offset + i64::from(entry.relative_offset))
        .collect()
}

fn entries_of<E: IndexEntry>(bytes: &[u8]) -> impl Iterator<Item = (u64, E)> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let count = used.div_ceil(E::BYTES);
    bytes
        .chunks_exact(E::BYTES)
        .take(count)
        .enumerate()
        .filter_map(|(at, chunk)| E::decode(chunk).map(|entry| ((at * E::BYTES) as u64, entry)))
}

fn is_ragged<E: IndexEntry>(bytes: &[u8]) -> Option<IndexFault> {
    let rest = bytes.len() % E::BYTES;
    (rest != 0).then(|| IndexFault {
        position: (bytes.len() - rest) as u64,
        detail: "the file is no whole number of entries".to_owned(),
    })
}

/// Batches whose epoch is not the one that the checkpoint says, and entries of the checkpoint that no batch bears out. `batches` are (base
/// offset, epoch) in order, from `log_start_offset` on.
pub(crate) fn check_epochs(
    cache: &EpochCache,
    batches: &[(i64, i32)],
    log_start_offset: i64,
) -> Option<String> {
    for &(offset, epoch) in batches.iter().filter(|(offset, _)| *offset >= log_start_offset) {
        let known = cache.epoch_at(offset).unwrap_or(-1);
        if epoch != -1 && known != epoch {
            return Some(format!("offset {offset} has epoch {epoch}, the checkpoint says {known}"));
        }
    }
    None
}

/// Whether the bytes at a hole still are no good batch that fits it.
pub(crate) fn is_still_damaged(
    file: &Arc<dyn StoreFile>,
    size: u64,
    hole: &Hole,
) -> io::Result<bool> {
    let mut position = hole.from;
    let mut expected = hole.first_offset;
    let end = hole.to.min(size);
    let mut bytes = Vec::new();
    while position < end {
        let Some(header) = good_batch(file, position, size)? else { return Ok(true) };
        bytes.resize(header.size(), 0);
        let got = read_full(&**file, &mut bytes, position)?;
        let is_good = got == bytes.len()
            && is_crc_valid(&bytes)
            && header.base_offset >= expected
            && header.last_offset() < hole.next_offset;
        if !is_good {
            return Ok(true);
        }
        expected = header.next_offset();
        position += header.size() as u64;
    }
    Ok(position != hole.to)
}
