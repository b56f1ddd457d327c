//! Which leader epoch began at which offset, and its file `leader-epoch-checkpoint`: a follower that asks where an epoch ends
//! learns how much of its log this log shares (KIP-101).

use crate::types::EpochEndOffset;

/// One line of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct EpochEntry {
    pub epoch: i32,
    pub start_offset: i64,
}

/// Epochs in ascending order of both epoch and start offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// All entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Epoch of the newest entry.
    pub fn latest(&self) -> Option<i32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` begins at `start_offset`; entries that contradict it are dropped. Returns whether something changed.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if let Some(last) = self.entries.last() {
            if last.epoch == epoch && last.start_offset <= start_offset {
                return false;
            }
            if epoch < last.epoch && start_offset >= last.start_offset {
                // An old leader's epoch after a newer one: a lie, which would make the cache non-monotonic.
                return false;
            }
        }
        while self
            .entries
            .last()
            .is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset)
        {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// Largest epoch at or below `epoch` and the first offset after it. An epoch newer than all is unknown (-1, -1); the newest
    /// one ends at the log end.
    pub fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> EpochEndOffset {
        const UNKNOWN: EpochEndOffset = EpochEndOffset { epoch: -1, end_offset: -1 };
        let Some(latest) = self.latest() else { return UNKNOWN };
        // Kafka knows one number for "no epoch"; any other below zero is an epoch older than everything kept.
        if epoch == -1 || epoch > latest {
            return UNKNOWN;
        }
        if epoch == latest {
            return EpochEndOffset { epoch, end_offset: log_end_offset };
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end_offset =
            self.entries.get(higher).map_or(log_end_offset, |entry| entry.start_offset);
        match higher.checked_sub(1).and_then(|floor| self.entries.get(floor)) {
            Some(floor) => EpochEndOffset { epoch: floor.epoch, end_offset },
            // Older than everything kept: the asked epoch itself, ending where the log's knowledge begins.
            None => EpochEndOffset { epoch, end_offset },
        }
    }

    /// Epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).and_then(|at| self.entries.get(at)).map(|entry| entry.epoch)
    }

    /// Where an epoch begins, if it has an entry.
    pub fn start_of(&self, epoch: i32) -> Option<i64> {
        let entry = self.entries.iter().rev().find(|entry| entry.epoch <= epoch)?;
        (entry.epoch == epoch).then_some(entry.start_offset)
    }

    /// Drops epochs that begin at or after `end_offset`. Returns whether something changed.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < end_offset);
        self.entries.len() != before
    }

    /// Drops epochs that end at or before `start_offset`; the one that spans it now begins there.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let spanning = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(keep_from) = spanning.checked_sub(1) else { return false };
        let mut is_changed = keep_from > 0;
        self.entries.drain(..keep_from);
        if let Some(first) = self.entries.first_mut()
            && first.start_offset != start_offset
        {
            first.start_offset = start_offset;
            is_changed = true;
        }
        is_changed
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The checkpoint file's text.
    pub fn encode(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
        }
        text
    }

    /// Reads the checkpoint file's text; `None` when it is not one.
    pub fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "0" {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        let mut cache = Self::default();
        for line in lines.by_ref().take(count) {
            let (epoch, start_offset) = line.split_once(' ')?;
            let entry =
                EpochEntry { epoch: epoch.parse().ok()?, start_offset: start_offset.parse().ok()? };
            if entry.epoch < 0
                || entry.start_offset < 0
                || cache.entries.last().is_some_and(|last| {
                    last.epoch >= entry.epoch || last.start_offset > entry.start_offset
                })
            {
                return None;
            }
            cache.entries.push(entry);
        }
        (cache.entries.len() == count && lines.next().is_none()).then_some(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(pairs: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for &(epoch, start_offset) in pairs {
            cache.assign(epoch, start_offset);
        }
        cache
    }

    #[test]
    fn ends_where_the_next_epoch_begins() {
        let cache = cache(&[(2, 0), (4, 10), (7, 25)]);
        let end = |epoch| {
            let end = cache.end_offset_for(epoch, 40);
            (end.epoch, end.end_offset)
        };
        assert_eq!(
            [-7, -1, 1, 2, 3, 4, 6, 7, 8].map(end),
            [(-7, 0), (-1, -1), (1, 0), (2, 10), (2, 10), (4, 25), (4, 25), (7, 40), (-1, -1)]
        );
        assert_eq!(cache.epoch_at(9), Some(2));
        assert_eq!(cache.epoch_at(25), Some(7));
    }

    #[test]
    fn truncates_from_both_ends_and_survives_its_file() {
        let mut cache = cache(&[(2, 0), (4, 10), (7, 25)]);
        assert!(cache.truncate_from_start(12));
        assert!(cache.truncate_from_end(25));
        assert_eq!(cache.entries(), [EpochEntry { epoch: 4, start_offset: 12 }]);
        assert_eq!(EpochCache::decode(&cache.encode()), Some(cache));
    }

    #[test]
    fn contradicting_entries_go() {
        let mut cache = cache(&[(2, 0), (4, 10), (7, 25)]);
        assert!(!cache.assign(7, 30));
        assert!(cache.assign(8, 10));
        assert_eq!(cache.encode(), "0\n2\n2 0\n8 10\n");
    }

    #[test]
    fn damaged_files_are_refused() {
        for text in [
            "",
            "1\n0\n",
            "0\n2\n1 0\n",
            "0\n1\nx 0\n",
            "0\n2\n2 5\n1 9\n",
            "0\n0\n1 1\n",
            "0\n99999999999\n",
        ] {
            assert_eq!(EpochCache::decode(text), None, "{text:?}");
        }
    }
}
