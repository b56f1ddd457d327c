//! What is done about an fsync that failed, at the next start.
//!
//! After the error the kernel calls the pages clean although their bytes never reached the disk: they can be read, a later fsync
//! succeeds, and they are gone with the next power cut. A broker that recovers from such pages would promise what the disk does not
//! have. So the directory gets a mark, and the next start drops the pages of every file in it before it reads the first: what is read
//! then is what the disk has, and what never was tried is still dirty, stays, and is synced.
//!
//! The mark need not survive a power cut: the pages do not either. That is why it is not synced, on a disk that just refused to.

use std::io;
use std::path::{Path, PathBuf};

use crate::io::{FileSystem, OpenMode};

/// Name of the mark in a log directory. Kafka looks at directories only and leaves it alone.
pub(crate) const SYNC_FAILED_FILE: &str = ".sluice-sync-failed";

/// Marks a directory. Where even that fails, the next start finds a disk that takes no writes and refuses the directory.
pub(crate) fn mark(files: &dyn FileSystem, directory: &Path) {
    let _ = files.open(&directory.join(SYNC_FAILED_FILE), OpenMode::Create);
}

/// Whether a sync failed in this directory since it was last recovered.
pub(crate) fn is_marked(files: &dyn FileSystem, directory: &Path) -> bool {
    files.exists(&directory.join(SYNC_FAILED_FILE))
}

/// Drops what the page cache holds of the files of the directory and of the partitions in it, the metadata log's included.
///
/// # Errors
/// A file could not be opened or its pages not dropped: nothing that is read from the directory can be trusted.
pub(crate) fn forget_cached(files: &dyn FileSystem, directory: &Path) -> io::Result<()> {
    let mut pending: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        for entry in files.list(&path)? {
            let inside = path.join(&entry.name);
            if entry.is_directory {
                if path == directory {
                    pending.push(inside);
                }
            } else {
                files.open(&inside, OpenMode::Read)?.forget_cached()?;
            }
        }
    }
    Ok(())
}

/// Ends the distrust: everything that was kept has been synced again.
pub(crate) fn unmark(files: &dyn FileSystem, directory: &Path) -> io::Result<()> {
    let path = directory.join(SYNC_FAILED_FILE);
    if files.exists(&path) { files.remove_file(&path) } else { Ok(()) }
}
