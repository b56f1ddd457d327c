//! The part of the log that is kept in memory: all entries since the newest image, and some before it. The crate reads from here;
//! disks are for remembering.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

/// Entries before an image that stay, so that a member that lags a little needs no image.
const TRAILING_ENTRIES: usize = 1000;
const TRAILING_BYTES: usize = 4 << 20;

/// A state image: everything up to entry `index`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Image {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) members: ConfState,
    pub(crate) data: Bytes,
}

/// What a store has of a node when it starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) hard_state: HardState,
    pub(crate) image: Arc<Image>,
    /// Contiguous; may begin before the image ends, never after.
    pub(crate) entries: Vec<Entry>,
}

/// Approximate bytes an entry takes.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    entry.data.len() + entry.context.len() + 32
}

pub(crate) fn is_member_change(entry: &Entry) -> bool {
    entry.get_entry_type() != EntryType::EntryNormal
}

/// See the head of the file.
pub(crate) struct Cache {
    pub(crate) hard_state: HardState,
    pub(crate) image: Arc<Image>,
    /// Index and term of the entry before the first one here.
    before: (u64, u64),
    entries: Vec<Entry>,
    /// Some member asked for an image that is newer than ours.
    pub(crate) wants_image: Cell<bool>,
}

impl Cache {
    pub(crate) fn new(stored: Stored) -> Self {
        let Stored { hard_state, image, mut entries } = stored;
        let before = match entries.first() {
            // The term before the first entry is known only where the image ends there: else the first one stands in for it.
            Some(first) if first.index <= image.index => {
                let before = (first.index, first.term);
                entries.remove(0);
                before
            }
            _ => (image.index, image.term),
        };
        Self { hard_state, image, before, entries, wants_image: Cell::new(false) }
    }

    pub(crate) fn first(&self) -> u64 {
        self.before.0 + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    fn position(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.first())?).ok()
    }

    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        if index == self.image.index {
            return Some(self.image.term);
        }
        self.entries.get(self.position(index)?).map(|entry| entry.term)
    }

    /// All entries from `index` on.
    pub(crate) fn from(&self, index: u64) -> &[Entry] {
        let position = self.position(index.max(self.first())).unwrap_or(0);
        self.entries.get(position..).unwrap_or_default()
    }

    /// Whether a change of members lies in `from..=to`.
    pub(crate) fn has_member_change(&self, from: u64, to: u64) -> bool {
        self.from(from).iter().take_while(|entry| entry.index <= to).any(is_member_change)
    }

    /// Puts entries behind the log, in place of those that have their indexes.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        let keep = self.position(first.index).unwrap_or(0);
        self.entries.truncate(keep);
        self.entries.extend(entries);
    }

    /// Takes another node's image in place of everything.
    pub(crate) fn restore(&mut self, image: Arc<Image>) {
        self.before = (image.index, image.term);
        self.entries.clear();
        self.image = image;
    }

    /// Takes an image of our own and lets entries before it go. Returns the first index that stays.
    pub(crate) fn compact(&mut self, image: Arc<Image>) -> u64 {
        let end = self.position(image.index + 1).unwrap_or(0).min(self.entries.len());
        let mut bytes = 0;
        let mut kept = 0;
        for entry in self.entries.get(..end).unwrap_or_default().iter().rev() {
            bytes += entry_bytes(entry);
            if kept == TRAILING_ENTRIES || bytes > TRAILING_BYTES {
                break;
            }
            kept += 1;
        }
        if let Some(last) = (end - kept).checked_sub(1).and_then(|at| self.entries.get(at)) {
            self.before = (last.index, last.term);
            self.entries.drain(..end - kept);
        }
        self.image = image;
        self.first()
    }
}

impl Storage for Cache {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.image.members.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let (Some(from), Some(to)) = (self.position(low), self.position(high)) else {
            return Err(raft::Error::Store(StorageError::Compacted));
        };
        let Some(entries) = self.entries.get(from..to) else {
            return Err(raft::Error::Store(StorageError::Unavailable));
        };
        let mut entries = entries.to_vec();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.before.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        self.term_of(index).ok_or(raft::Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let members = &self.image.members;
        // A member that is not in the image's membership would ignore it.
        let is_known = members.voters.contains(&to)
            || members.learners.contains(&to)
            || members.voters_outgoing.contains(&to);
        if self.image.index < request_index || !is_known || self.image.index == 0 {
            self.wants_image.set(true);
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        let mut snapshot = Snapshot { data: self.image.data.clone(), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = self.image.index;
        metadata.term = self.image.term;
        metadata.set_conf_state(self.image.members.clone());
        Ok(snapshot)
    }
}
