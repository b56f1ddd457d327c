//! Finding a batch in a segment, and how far whole batches go from there.
//!
//! A reader that goes through the log asks next for the offset where its last read ended. Where reads ended lately is remembered in
//! 64 places a segment ([`ReadEnds`]), and the batch there is known by its header: no index is asked, and one `pread` serves the search
//! and, where little was asked for, the records too ([`ReadScratch`]). Everybody else goes by the offset index, whose entries are
//! checked against the log as they are used.

use std::io;
use std::ops::Range;

use super::{LOOKUP_WINDOW_BYTES, Located, Segment, WALK_WINDOW_BYTES, relative};
use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::index::OffsetEntry;
use crate::integrity::FindingKind;
use crate::scan::{Scanned, Scanner};

/// Window of a read's search: an entry of the index, and all batches up to the next.
const SEARCH_WINDOW_BYTES: usize = 8 << 10;
/// Window of a read that knows its place and will not take the records from here.
const HEAD_WINDOW_BYTES: usize = 512;
/// A limit so near is walked to; to one farther away the index leads.
const NEAR_BYTES: u64 = 16 << 10;
/// Places in which ends of reads are remembered; a power of two.
const END_SLOTS: usize = 64;

/// Memory that a reading thread keeps from read to read, so that no search allocates. After a read it may hold the records.
#[derive(Debug, Default)]
pub struct ReadScratch {
    window: Vec<u8>,
    /// Position in the segment of the window's first byte.
    start: u64,
    held: Option<Range<usize>>,
}

impl ReadScratch {
    /// The records of the last read, where the search came upon all of them.
    pub fn records(&self) -> Option<&[u8]> {
        self.window.get(self.held.clone()?)
    }

    /// A new read begins.
    pub(crate) fn reset(&mut self) {
        self.held = None;
        self.window.clear();
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.window)
    }

    /// Takes back the window of a search that is over.
    pub(crate) fn keep(&mut self, scanner: Scanner) {
        (self.window, self.start) = scanner.into_window();
    }

    /// The last search was in the file that the read found its slice in.
    pub(crate) fn hold(&mut self, position: u64, length: u64) {
        let from = position.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        self.held = from
            .zip(usize::try_from(length).ok())
            .and_then(|(from, length)| Some(from..from.checked_add(length)?))
            .filter(|range| range.end <= self.window.len());
    }
}

/// Where reads ended: by relative offset, the position of the batch that begins with it. A hint: what is there is looked at before
/// it is believed. Forgotten when the segment is cut, since other batches may come to be there.
#[derive(Default)]
pub(super) struct ReadEnds {
    slots: Option<Box<[(i32, u32); END_SLOTS]>>,
    cuts: u32,
}

fn slot_of(relative_offset: i32) -> usize {
    (relative_offset as u32).wrapping_mul(0x9e37_79b1) as usize >> 16 & (END_SLOTS - 1)
}

impl ReadEnds {
    fn get(&self, relative_offset: i32) -> Option<u64> {
        let &(offset, position) = self.slots.as_ref()?.get(slot_of(relative_offset))?;
        (offset == relative_offset && position > 0).then_some(u64::from(position))
    }

    fn put(&mut self, relative_offset: i32, position: u32) {
        let slots = self.slots.get_or_insert_with(|| Box::new([(0, 0); END_SLOTS]));
        if let Some(slot) = slots.get_mut(slot_of(relative_offset)) {
            *slot = (relative_offset, position);
        }
    }

    /// The segment was cut.
    pub(super) fn forget(&mut self) {
        self.slots = None;
        self.cuts = self.cuts.wrapping_add(1);
    }
}

/// How far a read may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// First position that was not asked for.
    pub(crate) limit: u64,
    /// First offset that may not be seen; `None` where all of the segment may be.
    pub(crate) end_offset: Option<i64>,
}

/// Whole batches up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Position behind the last one; that of the first one when none may be given.
    pub(crate) end: u64,
    /// Offset after the last one, where the walk came upon its header.
    pub(crate) next_offset: Option<i64>,
    /// The first batch may be seen, but is larger than what was asked for.
    pub(crate) is_first_too_large: bool,
}

impl Segment {
    /// First batch that ends at or after `offset`.
    pub(crate) fn locate(&self, offset: i64) -> io::Result<Option<Located>> {
        let size = self.size();
        if size == 0 {
            return Ok(None);
        }
        let mut scanner = self.scanner(0, size, LOOKUP_WINDOW_BYTES)?;
        self.search(&mut scanner, offset)
    }

    /// As `locate`, for a read of `want_bytes`: also the walk, which goes on behind the batch, and how often the segment was cut
    /// before. End with [`ReadScratch::keep`].
    pub(crate) fn find(
        &self,
        offset: i64,
        want_bytes: u64,
        scratch: &mut ReadScratch,
    ) -> io::Result<Option<(Located, Scanner, u32)>> {
        let (known, cuts) = {
            let ends = self.ends.lock();
            let known = match relative(self.base_offset, offset) {
                Some(0) => Some(0),
                Some(relative_offset) => ends.get(relative_offset),
                None => None,
            };
            (known, ends.cuts)
        };
        let size = self.size();
        if size == 0 {
            return Ok(None);
        }
        if let Some(position) = known {
            let window_bytes = usize::try_from(want_bytes)
                .ok()
                .map(|bytes| bytes.saturating_add(HEADER_BYTES).max(HEAD_WINDOW_BYTES))
                .filter(|bytes| *bytes <= SEARCH_WINDOW_BYTES)
                .unwrap_or(HEAD_WINDOW_BYTES);
            let mut scanner = self.scanner(position, size, window_bytes)?.over(scratch.take());
            if let Scanned::Batch { position: at, header } = scanner.next_header()?
                && at == position
                && (header.base_offset..=header.last_offset()).contains(&offset)
            {
                scanner.widen(LOOKUP_WINDOW_BYTES);
                return Ok(Some((Located { position, header }, scanner, cuts)));
            }
            scratch.keep(scanner);
        }
        let mut scanner = self.scanner(0, size, SEARCH_WINDOW_BYTES)?.over(scratch.take());
        let found = self.search(&mut scanner, offset)?;
        Ok(found.map(|first| (first, scanner, cuts)))
    }

    /// Remembers that a read ended at `position`, where the batch with `next_offset` begins. `cuts` is from before its search.
    pub(crate) fn note_read_end(&self, next_offset: i64, position: u64, cuts: u32) {
        let place = relative(self.base_offset, next_offset).zip(u32::try_from(position).ok());
        let Some((relative_offset, position)) = place else { return };
        let mut ends = self.ends.lock();
        if ends.cuts == cuts {
            ends.put(relative_offset, position);
        }
    }

    /// How far whole batches go that are within bounds, from `first`, behind which the walk stands.
    pub(crate) fn reach(
        &self,
        first: &Located,
        bounds: Bounds,
        scanner: &mut Scanner,
    ) -> io::Result<Reach> {
        let Located { position: start, header } = first;
        let first_end = start + header.size() as u64;
        let is_visible =
            |header: &BatchHeader| bounds.end_offset.is_none_or(|end| header.last_offset() < end);
        let mut reach = Reach { end: *start, next_offset: None, is_first_too_large: false };
        if !is_visible(header) {
            return Ok(reach);
        }
        if first_end > bounds.limit {
            reach.is_first_too_large = true;
            return Ok(reach);
        }
        reach.end = first_end;
        reach.next_offset = Some(header.next_offset());
        let is_near = bounds.limit - first_end <= NEAR_BYTES;
        let mut upper = self.size();
        if let Some(end_offset) = bounds.end_offset
            && !is_near
        {
            upper = self.locate(end_offset)?.map_or(upper, |located| located.position);
        }
        if bounds.limit >= upper && (bounds.end_offset.is_none() || !is_near) {
            return Ok(Reach { end: upper.max(first_end), next_offset: None, ..reach });
        }
        if !is_near {
            let hint = self.with_indexes(|indexes| {
                indexes
                    .offset
                    .floor(|entry| entry.position >= 0 && entry.position as u64 <= bounds.limit)
            })?;
            if let Some(from) = self.checked_hint(hint, self.size())?
                && from > first_end
            {
                scanner.go_to(from);
                reach.end = from;
                reach.next_offset = None;
            }
        }
        while let Scanned::Batch { position, header } = scanner.next_header()? {
            let next = position + header.size() as u64;
            if next > bounds.limit || next > upper || !is_visible(&header) {
                break;
            }
            reach.end = next;
            reach.next_offset = Some(header.next_offset());
        }
        Ok(reach)
    }

    /// First batch from `from` on that ends at or after `offset`.
    pub(super) fn locate_from(&self, from: u64, offset: i64) -> io::Result<Option<Located>> {
        walk_to(&mut self.scanner(0, self.size(), LOOKUP_WINDOW_BYTES)?, from, offset)
    }

    fn search(&self, scanner: &mut Scanner, offset: i64) -> io::Result<Option<Located>> {
        let hint = self.with_indexes(|indexes| {
            indexes
                .offset
                .floor(|entry| self.base_offset + i64::from(entry.relative_offset) <= offset)
        })?;
        let from = self.check_hint(hint, scanner)?.unwrap_or(0);
        match walk_to(scanner, from, offset)? {
            Some(located) => Ok(Some(located)),
            // An index that lies: the log itself decides.
            None if from > 0 => walk_to(scanner, 0, offset),
            None => Ok(None),
        }
    }

    /// Header of the batch at `position`.
    pub(crate) fn header_at(&self, position: u64) -> io::Result<Option<BatchHeader>> {
        let mut scanner = self.scanner(position, self.size(), HEADER_BYTES)?;
        Ok(match scanner.next_header()? {
            Scanned::Batch { header, .. } => Some(header),
            _ => None,
        })
    }

    /// A walk over all batches from the one that holds `offset`.
    pub(crate) fn scan_from(&self, offset: i64) -> io::Result<Option<Scanner>> {
        let Some(located) = self.locate(offset)? else { return Ok(None) };
        Ok(Some(self.scanner(located.position, self.size(), WALK_WINDOW_BYTES)?))
    }

    /// A walk over the whole file, CRCs to be checked by the caller.
    pub(crate) fn scan(&self, window_bytes: usize) -> io::Result<Scanner> {
        Ok(Scanner::new(self.log.file()?, 0, self.size(), window_bytes).without(self.holes()))
    }

    /// Whether the walk towards `offset`, which found no batch, ended at bytes that are none.
    pub(crate) fn stops_early(&self, offset: i64) -> io::Result<bool> {
        let size = self.size();
        let hint = self.with_indexes(|indexes| {
            indexes
                .offset
                .floor(|entry| self.base_offset + i64::from(entry.relative_offset) <= offset)
        })?;
        let from = self.checked_hint(hint, size)?.unwrap_or(0);
        let mut scanner = self.scanner(from, size, LOOKUP_WINDOW_BYTES)?;
        loop {
            match scanner.next_header()? {
                Scanned::Batch { .. } => {}
                Scanned::End => return Ok(false),
                Scanned::Bad { .. } => return Ok(true),
            }
        }
    }

    /// A walk from `position` that passes over damaged places.
    pub(super) fn scanner(
        &self,
        position: u64,
        end: u64,
        window_bytes: usize,
    ) -> io::Result<Scanner> {
        Ok(Scanner::new(self.log.existing()?, position, end, window_bytes).without(self.holes()))
    }

    /// A hint of the offset index, if it names the batch that it should; the indexes are made anew when it does not.
    pub(super) fn checked_hint(
        &self,
        hint: Option<OffsetEntry>,
        size: u64,
    ) -> io::Result<Option<u64>> {
        if hint.is_none() {
            return Ok(None);
        }
        self.check_hint(hint, &mut self.scanner(0, size, HEADER_BYTES)?)
    }

    /// As `checked_hint`, with a walk that the caller goes on with.
    fn check_hint(
        &self,
        hint: Option<OffsetEntry>,
        scanner: &mut Scanner,
    ) -> io::Result<Option<u64>> {
        let Some(entry) = hint else { return Ok(None) };
        let last_offset = self.base_offset + i64::from(entry.relative_offset);
        if let Ok(position) = u64::try_from(entry.position) {
            scanner.go_to(position);
            let is_good = matches!(
                scanner.next_header()?,
                Scanned::Batch { position: at, header }
                    if at != position || header.last_offset() == last_offset
            );
            if is_good {
                return Ok(Some(position));
            }
        }
        self.replace_indexes(
            "offset index",
            FindingKind::OffsetIndex,
            &format!("no batch at {} ends with offset {last_offset}", entry.position),
            "read",
        )?;
        Ok(None)
    }
}

/// First batch from `from` on that ends at or after `offset`. `from` is what an index said, or the file's beginning.
fn walk_to(scanner: &mut Scanner, from: u64, offset: i64) -> io::Result<Option<Located>> {
    scanner.go_to(from);
    let mut is_first = true;
    while let Scanned::Batch { position, header } = scanner.next_header()? {
        if header.last_offset() >= offset {
            return Ok((!is_first || from == 0 || header.base_offset <= offset)
                .then_some(Located { position, header }));
        }
        is_first = false;
    }
    Ok(None)
}
