//! Blocks asked for ahead of a segment's end.
//!
//! A file system that finds blocks for each page as it is written spends about a quarter of a large write on that (ext4: 0.27 against 0.20
//! CPU seconds a GiB). A segment that grows by large writes therefore asks for its next blocks in one call. The file's size stays what was
//! written, so nobody who reads it, Kafka included, sees any of this.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::io::StoreFile;

/// Asked for at once.
const AHEAD_BYTES: u64 = 1 << 20;
/// A segment that is smaller asks for nothing: what is ahead is at most a sixteenth of what is there.
const SEGMENT_BYTES_MIN: u64 = 16 << 20;
/// Smaller writes gain less than they risk: a segment that grows slowly would hold its blocks for long.
const WRITE_BYTES_MIN: u64 = 32 << 10;
/// The file system does not do it, or has no room: nothing is asked for again.
const REFUSED: u64 = u64::MAX;

/// How far a segment's file has blocks.
#[derive(Default)]
pub(super) struct Ahead {
    /// 0 where nothing was asked for.
    end: AtomicU64,
}

impl Ahead {
    /// Before a write of `length` bytes at `position`, the end. Never fails: the write itself tells what does not work.
    pub(super) fn ask(&self, file: &dyn StoreFile, position: u64, length: u64) {
        if length < WRITE_BYTES_MIN || position < SEGMENT_BYTES_MIN {
            return;
        }
        let end = self.end.load(Ordering::Relaxed).max(position);
        if position + length <= end {
            return;
        }
        let wanted = AHEAD_BYTES.max(position + length - end);
        let end = file.reserve(end, wanted).map_or(REFUSED, |()| end + wanted);
        self.end.store(end, Ordering::Relaxed);
    }

    /// Gives back what was not written; nobody may write meanwhile. The file is opened only where something was asked for.
    pub(super) fn give_back(
        &self,
        file: impl FnOnce() -> io::Result<Arc<dyn StoreFile>>,
    ) -> io::Result<()> {
        let end = self.end.swap(0, Ordering::Relaxed);
        if end == 0 || end == REFUSED {
            return Ok(());
        }
        let file = file()?;
        let length = file.length()?;
        if end <= length { Ok(()) } else { file.set_length(length) }
    }
}

#[cfg(test)]
// A panic is how a test fails.
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::io::{FileSystem, OpenMode, RealFileSystem, write_full};

    const CHUNK: &[u8] = &[7; 64 << 10];

    #[test]
    fn a_large_segment_holds_some_blocks_ahead_and_gives_them_back() {
        let directory = std::env::temp_dir().join(format!("sluice-ahead-{}", std::process::id()));
        RealFileSystem.create_directory(&directory).unwrap();
        let file = RealFileSystem.open(&directory.join("log"), OpenMode::Create).unwrap();
        let held = || file.as_file().unwrap().metadata().unwrap().blocks() * 512;
        let ahead = Ahead::default();
        let mut position = 0;
        let mut write = |until: u64| {
            while position < until {
                ahead.ask(&*file, position, CHUNK.len() as u64);
                write_full(&*file, CHUNK, position).unwrap();
                position += CHUNK.len() as u64;
            }
            assert_eq!(file.length().unwrap(), position, "the size is what was written");
        };
        write(SEGMENT_BYTES_MIN);
        assert_eq!(ahead.end.load(Ordering::Relaxed), 0, "a small segment asks for nothing");
        write(SEGMENT_BYTES_MIN + (CHUNK.len() as u64) * 3);
        let end = ahead.end.load(Ordering::Relaxed);
        // Where the file system does not do it, that is known and all else is as ever.
        let expected = SEGMENT_BYTES_MIN + AHEAD_BYTES;
        assert!(end == expected || end == REFUSED, "asked up to {end}");
        file.sync_data().unwrap();
        let length = file.length().unwrap();
        assert!(end == REFUSED || held() >= end, "{} held of {end}", held());
        ahead.give_back(|| Ok(Arc::clone(&file))).unwrap();
        assert!(held() < length + (128 << 10), "{} held of {length}", held());
        assert_eq!(file.length().unwrap(), length);
        RealFileSystem.remove_directory(&directory).unwrap();
    }

    #[test]
    fn small_writes_and_refusals_change_nothing() {
        let files = crate::io::MemoryFileSystem::default();
        files.create_directory(std::path::Path::new("/d")).unwrap();
        let file = files.open(std::path::Path::new("/d/log"), OpenMode::Create).unwrap();
        let ahead = Ahead::default();
        ahead.ask(&*file, SEGMENT_BYTES_MIN, WRITE_BYTES_MIN - 1);
        assert_eq!(ahead.end.load(Ordering::Relaxed), 0);
        ahead.ask(&*file, SEGMENT_BYTES_MIN, WRITE_BYTES_MIN);
        assert_eq!(ahead.end.load(Ordering::Relaxed), REFUSED);
        ahead.ask(&*file, SEGMENT_BYTES_MIN << 1, WRITE_BYTES_MIN);
        assert_eq!(ahead.end.load(Ordering::Relaxed), REFUSED, "not asked again");
        ahead.give_back(|| panic!("nothing to give back")).unwrap();
    }
}
