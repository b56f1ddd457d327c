//! Opening anew what was set aside at the start because its disk was full: nothing is wrong with it. What is damaged stays set aside.

use std::sync::atomic::Ordering;

use super::recover::{Trouble, empty_inner, is_passing, load_inner};
use super::{PartitionLog, Role};
use crate::segment::SyncError;
use crate::types::Change;

impl PartitionLog {
    /// Whether it is worth a try.
    pub(crate) fn may_reopen(&self) -> bool {
        self.reopening.lock().is_some() && !self.is_gone() && !self.is_failed()
    }

    /// Recovers the log as a start does; what it keeps is on disk before anybody sees it. Says whether it is in use again. One that turns out to be
    /// damaged stays set aside for good, one that meets a full disk is tried again.
    pub(crate) fn reopen(&self) -> bool {
        let _turn = self.sync_turn.lock();
        let Some(mut known) = self.reopening.lock().clone() else { return false };
        if self.is_gone() {
            return false;
        }
        known.config = (*self.config()).clone();
        let mut fresh = empty_inner(known.log_start_offset.max(0));
        let loaded = load_inner(&self.store, &known, &mut fresh).and_then(|()| {
            for segment in &fresh.segments {
                let synced = segment.sync_log().and_then(|()| segment.sync_indexes());
                synced.map_err(|error| {
                    let (SyncError::Failed(error) | SyncError::NotBegun(error)) = error;
                    Trouble::Io(error)
                })?;
            }
            self.store.files().sync_directory(&known.path).map_err(Trouble::Io)
        });
        match loaded {
            Ok(()) => {}
            Err(Trouble::Io(error)) if is_passing(&error) => return false,
            Err(Trouble::Io(error)) => {
                self.home().poison(&format!("{}: {error}", known.path.display()));
                return false;
            }
            Err(Trouble::Quarantine(why)) => {
                *self.quarantined.write() = Some(why);
                *self.reopening.lock() = None;
                return false;
            }
        }
        let mut inner = self.inner.lock();
        fresh.cut_mark = inner.cut_mark;
        fresh.role = inner.role;
        fresh.leader_epoch = inner.leader_epoch;
        fresh.leader_since = inner.leader_since;
        fresh.leader_id = inner.leader_id;
        fresh.leadership = inner.leadership.take();
        fresh.high_watermark_follows = inner.high_watermark_follows;
        let end = fresh.log_end_offset;
        if fresh.role != Role::Unassigned && !fresh.high_watermark_follows {
            // Others decide what is committed.
            let high_watermark = fresh.recovered_high_watermark;
            fresh.set_high_watermark(high_watermark);
        }
        if fresh.role == Role::Leader {
            let leader_epoch = fresh.leader_epoch;
            fresh.are_epochs_dirty |= fresh.epochs.assign(leader_epoch, end);
        }
        if let Some(leadership) = &mut fresh.leadership {
            // Nothing was written in the epoch yet.
            leadership.epoch_start_offset = end;
        }
        *inner = fresh;
        self.flushed_offset.store(end, Ordering::Release);
        *self.reopening.lock() = None;
        *self.quarantined.write() = None;
        self.is_quarantined.store(false, Ordering::Release);
        drop(inner);
        self.notify(Change::Everything);
        true
    }
}
