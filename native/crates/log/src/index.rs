//! Sparse index files: fixed-size entries in ascending order, one about every `index.interval.bytes` of log.
//!
//! ```text
//! .index      relative offset i32 (of the batch's last record), position i32 (of the batch)              8 bytes
//! .timeindex  largest timestamp so far i64, relative offset i32 (of the batch that has it, its last record)  12 bytes
//! ```
//!
//! New entries wait in memory and go to the file in runs, by `pwrite`; nothing is preallocated or mapped. A crash loses at most
//! entries, never records: recovery rebuilds the indexes of every segment that was not known to be on disk. Readers treat an
//! index as a hint and check what they find at the position.

use std::io;
use std::sync::Arc;

use crate::batch::{i32_at, i64_at};
use crate::cache::Slot;
use crate::failpoint::{Failpoint, Failpoints};
use crate::io::{read_full, write_full};

/// Entries that wait in memory before they are written.
const PENDING_ENTRIES_MAX: usize = 64;
/// Once a binary search is down to this many entries they are read at once.
const BLOCK_ENTRIES: u64 = 256;

/// One kind of entry.
pub(crate) trait IndexEntry: Copy {
    const BYTES: usize;
    fn encode(&self, into: &mut Vec<u8>);
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Entry of the offset index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative_offset: i32,
    pub(crate) position: i32,
}

impl IndexEntry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.relative_offset.to_be_bytes());
        into.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self { relative_offset: i32_at(bytes, 0)?, position: i32_at(bytes, 4)? })
    }
}

/// Entry of the time index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative_offset: i32,
}

impl IndexEntry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.timestamp.to_be_bytes());
        into.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self { timestamp: i64_at(bytes, 0)?, relative_offset: i32_at(bytes, 8)? })
    }
}

/// An index: what is in the file and what waits.
pub(crate) struct Index<E> {
    slot: Arc<Slot>,
    written: u64,
    pending: Vec<E>,
    last: Option<E>,
    /// The file has, or may have, bytes that were never synced.
    is_dirty: bool,
    may_exist: bool,
    /// The block that the last search ended in: readers that go through the log in order search nothing else.
    block: Option<Block<E>>,
}

/// Entries of the file, from one on.
struct Block<E> {
    from: u64,
    entries: Vec<E>,
}

impl<E: IndexEntry> Index<E> {
    /// An index without entries; the file, if any, is emptied when it is next written.
    pub(crate) fn empty(slot: Arc<Slot>) -> Self {
        Self {
            slot,
            written: 0,
            pending: Vec::new(),
            last: None,
            is_dirty: false,
            may_exist: false,
            block: None,
        }
    }

    /// Takes the file as it is; `None` when it is missing or no whole number of entries.
    pub(crate) fn open(slot: Arc<Slot>, length: Option<u64>) -> io::Result<Option<Self>> {
        let Some(length) = length else { return Ok(None) };
        if !length.is_multiple_of(E::BYTES as u64) {
            return Ok(None);
        }
        let mut index = Self {
            slot,
            written: length / E::BYTES as u64,
            pending: Vec::new(),
            last: None,
            is_dirty: false,
            may_exist: true,
            block: None,
        };
        if let Some(at) = index.written.checked_sub(1) {
            index.last = index.read_entry(at)?;
            if index.last.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(index))
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    pub(crate) fn count(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// Entries that it still takes.
    pub(crate) fn room(&self, max_bytes: i64) -> u64 {
        ((max_bytes.max(0) as u64) / E::BYTES as u64).saturating_sub(self.count())
    }

    /// Adds an entry; it reaches the file with the next run.
    pub(crate) fn push(&mut self, entry: E, failpoints: &Failpoints) -> io::Result<()> {
        self.pending.push(entry);
        self.last = Some(entry);
        if self.pending.len() >= PENDING_ENTRIES_MAX {
            self.write_pending(failpoints)
        } else {
            Ok(())
        }
    }

    /// As `write_pending`, but an index without entries gets no file as long as it has none: very many small partitions would pay
    /// for two files each before they are ready.
    pub(crate) fn write_entries(&mut self, failpoints: &Failpoints) -> io::Result<()> {
        if self.pending.is_empty() && !self.may_exist {
            match self.slot.existing() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => drop(other?),
            }
        }
        self.write_pending(failpoints)
    }

    /// Writes what waits. On an error it waits on.
    pub(crate) fn write_pending(&mut self, failpoints: &Failpoints) -> io::Result<()> {
        if self.pending.is_empty() && self.may_exist {
            return Ok(());
        }
        failpoints.hit(Failpoint::BeforeIndex)?;
        let file = self.slot.file()?;
        if !self.may_exist {
            if file.length()? > 0 {
                file.set_length(0)?;
            }
            self.may_exist = true;
        }
        let mut bytes = Vec::with_capacity(self.pending.len() * E::BYTES);
        for entry in &self.pending {
            entry.encode(&mut bytes);
        }
        write_full(&*file, &bytes, self.written * E::BYTES as u64)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        self.is_dirty = true;
        failpoints.hit(Failpoint::AfterIndex)
    }

    /// Waits until what `write_pending` wrote is on disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.slot.file()?.sync_data()?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// Everything written is on disk: the whole file system was synced.
    pub(crate) fn mark_synced(&mut self) {
        self.is_dirty = false;
    }

    fn read_entry(&self, at: u64) -> io::Result<Option<E>> {
        Ok(self.read_entries(at, 1)?.pop())
    }

    fn read_entries(&self, from: u64, count: u64) -> io::Result<Vec<E>> {
        let file = self.slot.existing()?;
        let mut bytes = vec![0; count as usize * E::BYTES];
        let got = read_full(&*file, &mut bytes, from * E::BYTES as u64)?;
        bytes.truncate(got);
        Ok(bytes.chunks_exact(E::BYTES).filter_map(E::decode).collect())
    }

    /// Number of leading entries for which `is_before` holds; entries are ordered by it. A damaged file gives some number.
    fn partition_point(&mut self, is_before: impl Fn(&E) -> bool) -> io::Result<u64> {
        if self.pending.first().is_some_and(&is_before) {
            return Ok(self.written + self.pending.partition_point(is_before) as u64);
        }
        if let Some(block) = &self.block
            && block.entries.first().is_some_and(&is_before)
            && block.entries.last().is_some_and(|last| !is_before(last))
        {
            return Ok(block.from + block.entries.partition_point(is_before) as u64);
        }
        let (mut low, mut high) = (0, self.written);
        while high - low > BLOCK_ENTRIES {
            let middle = low + (high - low) / 2;
            match self.read_entry(middle)? {
                Some(entry) if is_before(&entry) => low = middle + 1,
                _ => high = middle,
            }
        }
        if low == high {
            return Ok(low);
        }
        // One whole block around the place: the next searches are likely to fall into it.
        let from = low.saturating_sub(1);
        let entries =
            self.read_entries(from, (high - from).max(BLOCK_ENTRIES).min(self.written - from))?;
        let found = from + entries.partition_point(is_before) as u64;
        self.block = Some(Block { from, entries });
        Ok(found)
    }

    /// Last entry for which `is_before` holds.
    pub(crate) fn floor(&mut self, is_before: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        if self.count() == 0 {
            return Ok(None);
        }
        if let Some(last) = self.last.filter(&is_before) {
            return Ok(Some(last));
        }
        match self.partition_point(is_before)?.checked_sub(1) {
            Some(at) => self.get(at),
            None => Ok(None),
        }
    }

    fn get(&self, at: u64) -> io::Result<Option<E>> {
        if let Some(pending) = at.checked_sub(self.written) {
            return Ok(self.pending.get(pending as usize).copied());
        }
        let cached = self.block.as_ref().and_then(|block| {
            block.entries.get(usize::try_from(at.checked_sub(block.from)?).ok()?)
        });
        match cached {
            Some(entry) => Ok(Some(*entry)),
            None => self.read_entry(at),
        }
    }

    /// Drops every entry from the first for which `is_before` does not hold.
    pub(crate) fn truncate(&mut self, is_before: impl Fn(&E) -> bool) -> io::Result<()> {
        let keep = self.partition_point(&is_before)?;
        self.block = None;
        if keep < self.written {
            let file = self.slot.file()?;
            file.set_length(keep * E::BYTES as u64)?;
            self.is_dirty = true;
            self.written = keep;
            self.pending.clear();
        } else {
            self.pending.truncate((keep - self.written) as usize);
        }
        self.last = match self.count().checked_sub(1) {
            Some(at) => self.get(at)?,
            None => None,
        };
        Ok(())
    }
}
