//! Room on a directory's disk. The free bytes are asked for about once a second and counted down by what is appended in between, so that
//! an append pays one relaxed atomic. The last part of the disk is kept for what the broker itself must be able to write: ordinary
//! partitions are refused there, while committed offsets, cluster metadata, checkpoints and snapshots go on.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::io::FileSystem;

/// The reserve is at most this share of the file system.
const RESERVE_SHARE: u64 = 20;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    wanted_reserve_bytes: u64,
    /// Bytes before the reserve begins; endless until the file system was asked.
    room_bytes: AtomicI64,
    free_bytes: AtomicI64,
    reserve_bytes: AtomicI64,
    refused_count: AtomicU64,
}

/// Room as of the last look, for health reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpaceReport {
    /// -1 when unknown.
    pub(crate) free_bytes: i64,
    pub(crate) reserve_bytes: i64,
    pub(crate) is_short: bool,
    pub(crate) refused_count: u64,
}

impl DiskSpace {
    pub(crate) fn new(wanted_reserve_bytes: u64) -> Self {
        Self {
            wanted_reserve_bytes,
            room_bytes: AtomicI64::new(i64::MAX),
            free_bytes: AtomicI64::new(-1),
            reserve_bytes: AtomicI64::new(0),
            refused_count: AtomicU64::new(0),
        }
    }

    /// Asks the file system. A file system that does not answer is taken to have room: the write itself will tell.
    pub(crate) fn sample(&self, files: &dyn FileSystem, path: &Path) {
        let Ok(Some(space)) = files.space(path) else {
            self.room_bytes.store(i64::MAX, Ordering::Relaxed);
            self.free_bytes.store(-1, Ordering::Relaxed);
            return;
        };
        let reserve = self.wanted_reserve_bytes.min(space.total_bytes / RESERVE_SHARE);
        let free = i64::try_from(space.free_bytes).unwrap_or(i64::MAX);
        let reserve = i64::try_from(reserve).unwrap_or(i64::MAX);
        self.free_bytes.store(free, Ordering::Relaxed);
        self.reserve_bytes.store(reserve, Ordering::Relaxed);
        self.room_bytes.store(free.saturating_sub(reserve), Ordering::Relaxed);
    }

    /// Counts bytes that are about to be written; `false`, and nothing counted, when they would reach into the reserve and may not.
    pub(crate) fn take(&self, bytes: usize, may_use_reserve: bool) -> bool {
        let bytes = bytes as i64;
        let room = self.room_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if room >= bytes || may_use_reserve {
            return true;
        }
        self.room_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.refused_count.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// A write was refused by the file system for want of room. Unless that was a limit of its own, nobody needs to try before the next
    /// look.
    pub(crate) fn note_refusal(&self, error: &std::io::Error) {
        if error.kind() == std::io::ErrorKind::StorageFull {
            self.room_bytes.fetch_min(0, Ordering::Relaxed);
        }
        self.refused_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether ordinary partitions are refused.
    pub(crate) fn is_short(&self) -> bool {
        self.room_bytes.load(Ordering::Relaxed) <= 0
    }

    pub(crate) fn report(&self) -> SpaceReport {
        SpaceReport {
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            reserve_bytes: self.reserve_bytes.load(Ordering::Relaxed),
            is_short: self.is_short(),
            refused_count: self.refused_count.load(Ordering::Relaxed),
        }
    }
}
