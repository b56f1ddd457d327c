//! Everything the log asks of a file system, as two small traits: real files, or memory with crash clones and injected faults.

mod memory;
mod real;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use memory::{CrashMode, Fault, FaultKind, MemoryFileSystem, Operation};
pub use real::RealFileSystem;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; must exist.
    Read,
    /// For reading and writing; must exist.
    ReadWrite,
    /// For reading and writing; created when absent.
    Create,
    /// For reading and writing; created when absent, emptied when present.
    Truncate,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// File name; entries whose names are not UTF-8 are left out.
    pub name: String,
    /// It is a directory.
    pub is_directory: bool,
    /// Size of a file.
    pub length: u64,
}

/// An open file. All positions are explicit, so a file is shared freely among threads.
pub trait StoreFile: Send + Sync {
    /// Reads at most `into.len()` bytes at `position`; 0 at the end.
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes at most `bytes.len()` bytes at `position`; may write fewer.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;
    /// Current size.
    fn length(&self) -> io::Result<u64>;
    /// Cuts or extends the file.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Asks for the blocks of a range behind the end; the size stays as it is. `set_length` gives back what was not written.
    ///
    /// # Errors
    /// Nothing was changed: there is no room, or the file system does not do that, as by default here.
    fn reserve(&self, _position: u64, _length: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
    /// Waits until data, and the size, are on disk.
    fn sync_data(&self) -> io::Result<()>;
    /// The operating system's file, for sendfile; `None` in memory.
    fn as_file(&self) -> Option<&File>;
    /// Drops what the page cache holds of the file and calls clean: the next read takes it from the disk.
    fn forget_cached(&self) -> io::Result<()>;
    /// Reads as `read_at`, and leaves the page cache as it was found: what was not in it is dropped again.
    fn read_in_passing(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.read_at(into, position)
    }
}

/// Kept as long as the directory is in use; dropping it releases the lock.
pub trait DirectoryLock: Send + Sync {}

/// Size of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What may still be written.
    pub free_bytes: u64,
}

/// See [`FileSystem::whole_sync`].
pub trait WholeSync: Send + Sync {
    /// Waits until everything that was written to the file system, names included, is on disk. An error means that something since the
    /// last call may not be; asking again proves nothing.
    fn sync(&self) -> io::Result<()>;
}

/// What an error of an fsync carries, so that it is known for one wherever it ends up.
#[derive(Debug)]
struct SyncFailure(io::Error);

impl fmt::Display for SyncFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fsync failed: {}", self.0)
    }
}

impl std::error::Error for SyncFailure {}

/// Marks the error of an fsync as such; one that could not even begin, for want of a descriptor, stays what it is.
pub fn sync_failure(error: io::Error) -> io::Error {
    if is_out_of_descriptors(&error) || is_sync_failure(&error) {
        return error;
    }
    io::Error::new(error.kind(), SyncFailure(error))
}

/// An fsync failed: what it was for may never reach the disk, although it can still be read, and another fsync that succeeds would
/// prove nothing.
pub fn is_sync_failure(error: &io::Error) -> bool {
    marked(error).is_some()
}

fn marked(error: &io::Error) -> Option<&SyncFailure> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<SyncFailure>())
}

fn os_error(error: &io::Error) -> Option<i32> {
    marked(error).map_or(error, |failure| &failure.0).raw_os_error()
}

/// The disk, a quota or a limit is full: nothing is wrong with what is there, and room may come back. (ENOSPC, EFBIG, EDQUOT.)
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(os_error(error), Some(28 | 27 | 122))
}

/// The process or the machine has no descriptor left. (EMFILE, ENFILE.)
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(os_error(error), Some(23 | 24))
}

/// The device or the file system is damaged or gone: nothing there is to be trusted until a restart. (EIO, ENXIO, ENODEV, EUCLEAN,
/// EREMOTEIO.)
pub fn is_device_failure(error: &io::Error) -> bool {
    matches!(os_error(error), Some(5 | 6 | 19 | 117 | 121))
}

/// A file system.
pub trait FileSystem: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StoreFile>>;
    /// Renames a file or directory, replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be free. Where the file system has no such thing: an error.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory and its parents.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Lists a directory, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>>;
    /// Whether a file or directory exists.
    fn exists(&self, path: &Path) -> bool;
    /// Time of the last change of a file, in ms since 1970.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
    /// Waits until a directory's entries are on disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Bytes of the file system that holds the path; `None` where that has no meaning.
    fn space(&self, path: &Path) -> io::Result<Option<Space>>;
    /// Something that makes all files of the path's file system durable in one call; `None` where that does not tell reliably of writes
    /// that failed. Take it before the writes that it is to cover.
    fn whole_sync(&self, path: &Path) -> io::Result<Option<Box<dyn WholeSync>>>;
    /// Takes the lock file; an error of kind `WouldBlock` when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>>;
}

/// Reads until `into` is full or the file ends; returns how much.
pub fn read_full(file: &dyn StoreFile, into: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`; on an error any prefix of them may be there.
pub fn write_full(file: &dyn StoreFile, bytes: &[u8], position: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, position + done as u64) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole small file, refusing more than `max_bytes`.
pub fn read_small(files: &dyn FileSystem, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = files.open(path, OpenMode::Read)?;
    let length = file.length()?;
    if length > max_bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "file is larger than it may be"));
    }
    let mut bytes = vec![0; length as usize];
    let count = read_full(&*file, &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Replaces a small file so that a crash leaves either the old or the new content: write beside it, fsync, rename, fsync the
/// directory.
pub fn write_atomically(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let file = files.open(temporary, OpenMode::Truncate)?;
    write_full(&*file, bytes, 0)?;
    file.sync_data().map_err(sync_failure)?;
    drop(file);
    files.rename(temporary, path)?;
    match path.parent() {
        Some(parent) => files.sync_directory(parent).map_err(sync_failure),
        None => Ok(()),
    }
}
