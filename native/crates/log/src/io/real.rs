//! The operating system's files, through `std` and therefore through libc, where fault shims can reach them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::{DirectoryEntry, DirectoryLock, FileSystem, OpenMode, Space, StoreFile, WholeSync};

/// Real files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFileSystem;

struct RealFile(File);

impl StoreFile for RealFile {
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(into, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.0.write_at(bytes, position)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        sluice_sys::reserve(&self.0, position, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.0)
    }

    fn forget_cached(&self) -> io::Result<()> {
        sluice_sys::drop_cached(&self.0, 0, 0)
    }

    fn read_in_passing(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let length = into.len() as u64;
        // Without the answer nothing is dropped: rather a page too many in the cache than a client's page gone.
        let is_foreign = sluice_sys::is_any_cached(&self.0, position, length).unwrap_or(true);
        let count = self.read_at(into, position)?;
        if !is_foreign {
            // A hint: where it is refused the pages age as any others.
            let _ = sluice_sys::drop_cached(&self.0, position, length);
        }
        Ok(count)
    }
}

/// One directory, held open so that no error is missed between two calls.
struct RealWholeSync(File);

impl WholeSync for RealWholeSync {
    fn sync(&self) -> io::Result<()> {
        sluice_sys::sync_file_system(&self.0)
    }
}

/// The lock lasts as long as the descriptor.
struct RealLock(#[allow(dead_code)] File);

impl DirectoryLock for RealLock {}

impl FileSystem for RealFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StoreFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create(true);
            }
            OpenMode::Truncate => {
                options.write(true).create(true).truncate(true);
            }
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = match fs::metadata(entry.path()) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(DirectoryEntry {
                name,
                is_directory: metadata.is_dir(),
                length: metadata.len(),
            });
        }
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let modified = fs::metadata(path)?.modified()?;
        Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        let space = sluice_sys::file_system_space(path)?;
        Ok(Some(Space { total_bytes: space.total_bytes, free_bytes: space.usable_bytes }))
    }

    fn whole_sync(&self, path: &Path) -> io::Result<Option<Box<dyn WholeSync>>> {
        if !sluice_sys::tells_file_system_errors(path) {
            return Ok(None);
        }
        Ok(Some(Box::new(RealWholeSync(File::open(path)?))))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
