//! Open segment files, bounded in number. A [`Slot`] is one file of a segment: it opens on first use and may be closed again when
//! others need the descriptor; whoever holds the file meanwhile keeps it.
//!
//! The cache is itself the file system that the rest of the log sees. Whatever needs a descriptor and finds none, be it a checkpoint or
//! the sync of a directory, first makes segments give up theirs and then tries once more.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::io::{
    DirectoryEntry, DirectoryLock, FileSystem, OpenMode, Space, StoreFile, WholeSync,
    is_out_of_descriptors, sync_failure,
};

/// The file system and how many of its files may be open.
pub(crate) struct FileCache {
    files: Arc<dyn FileSystem>,
    max_open_files: usize,
    clock: AtomicU64,
    open: Mutex<Vec<Weak<Slot>>>,
}

impl FileCache {
    pub(crate) fn new(files: Arc<dyn FileSystem>, max_open_files: usize) -> Arc<Self> {
        Arc::new(Self {
            files,
            max_open_files: max_open_files.max(16),
            clock: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }

    pub(crate) fn files(&self) -> &dyn FileSystem {
        self
    }

    /// Runs what needs a descriptor; when there is none, files that were not used for long are closed first.
    fn with_room<T>(&self, run: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match run() {
            Err(error) if is_out_of_descriptors(&error) => {
                Self::evict(&mut self.open.lock(), self.max_open_files / 2, None);
                run()
            }
            other => other,
        }
    }

    pub(crate) fn slot(self: &Arc<Self>, path: PathBuf) -> Arc<Slot> {
        Arc::new(Slot {
            cache: Arc::clone(self),
            path: RwLock::new(path),
            file: RwLock::new(None),
            last_used: AtomicU64::new(0),
        })
    }

    /// The list of open files, held.
    #[cfg(test)]
    pub(crate) fn hold_all(&self) -> impl Sized {
        self.open.lock()
    }

    /// Files open through slots.
    pub(crate) fn open_count(&self) -> usize {
        self.open
            .lock()
            .iter()
            .filter(|slot| slot.upgrade().is_some_and(|slot| slot.file.read().is_some()))
            .count()
    }

    fn opened(&self, slot: &Arc<Slot>) {
        let mut open = self.open.lock();
        open.push(Arc::downgrade(slot));
        if open.len() > self.max_open_files {
            Self::evict(&mut open, self.max_open_files / 8 + 1, Some(slot));
        }
    }

    /// Closes the files that were not used for longest. Slots that are busy stay.
    fn evict(open: &mut Vec<Weak<Slot>>, count: usize, keep: Option<&Arc<Slot>>) {
        let mut alive: Vec<Arc<Slot>> = open.drain(..).filter_map(|slot| slot.upgrade()).collect();
        // Read once each: they are used while they are sorted, and a sort whose order changes under it panics.
        alive.sort_by_cached_key(|slot| slot.last_used.load(Ordering::Relaxed));
        let mut left = count;
        for slot in alive {
            if keep.is_some_and(|keep| Arc::ptr_eq(keep, &slot)) {
                open.push(Arc::downgrade(&slot));
                continue;
            }
            if left > 0
                && let Some(mut file) = slot.file.try_write()
            {
                left -= 1;
                *file = None;
            } else {
                open.push(Arc::downgrade(&slot));
            }
        }
    }
}

impl FileSystem for FileCache {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StoreFile>> {
        self.with_room(|| self.files.open(path, mode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.files.remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.with_room(|| self.files.remove_directory(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.files.create_directory(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.with_room(|| self.files.list(path))
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.exists(path)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.files.modified_ms(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.with_room(|| self.files.sync_directory(path)).map_err(sync_failure)
    }

    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        self.files.space(path)
    }

    fn whole_sync(&self, path: &Path) -> io::Result<Option<Box<dyn WholeSync>>> {
        self.with_room(|| self.files.whole_sync(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        self.with_room(|| self.files.lock(path))
    }
}

/// One file, open or not.
pub(crate) struct Slot {
    cache: Arc<FileCache>,
    path: RwLock<PathBuf>,
    file: RwLock<Option<Arc<dyn StoreFile>>>,
    last_used: AtomicU64,
}

impl Slot {
    pub(crate) fn path(&self) -> PathBuf {
        self.path.read().clone()
    }

    /// The file was renamed: later opens use the new path.
    pub(crate) fn set_path(&self, path: PathBuf) {
        *self.path.write() = path;
    }

    /// The open file; opens it when it is not, and creates it when it is missing.
    pub(crate) fn file(self: &Arc<Self>) -> io::Result<Arc<dyn StoreFile>> {
        self.open(OpenMode::Create)
    }

    /// As `file`, but a missing file is an error.
    pub(crate) fn existing(self: &Arc<Self>) -> io::Result<Arc<dyn StoreFile>> {
        self.open(OpenMode::ReadWrite)
    }

    fn open(self: &Arc<Self>, mode: OpenMode) -> io::Result<Arc<dyn StoreFile>> {
        self.last_used.store(self.cache.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if let Some(file) = &*self.file.read() {
            return Ok(Arc::clone(file));
        }
        let opened = {
            let mut slot = self.file.write();
            if let Some(file) = &*slot {
                return Ok(Arc::clone(file));
            }
            let path = self.path.read().clone();
            let opened = match self.cache.files().open(&path, mode) {
                // EROFS: a file system that takes no writes is still read. A write through this descriptor fails, and closes it.
                Err(error) if error.raw_os_error() == Some(30) => {
                    self.cache.files().open(&path, OpenMode::Read)?
                }
                other => other?,
            };
            *slot = Some(Arc::clone(&opened));
            opened
        };
        self.cache.opened(self);
        Ok(opened)
    }

    /// Gives the descriptor back.
    pub(crate) fn close(&self) {
        *self.file.write() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::io::MemoryFileSystem;

    /// Readers move files in the order of their last use while some are closed in that order.
    #[test]
    fn files_are_used_while_others_are_closed() {
        let cache = FileCache::new(Arc::new(MemoryFileSystem::new()), 600);
        cache.create_directory(Path::new("/d")).expect("a directory");
        let slots: Vec<_> =
            (0..600).map(|at| cache.slot(PathBuf::from(format!("/d/{at}")))).collect();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for step in [7, 11] {
                let (slots, is_over) = (&slots, &is_over);
                scope.spawn(move || {
                    let mut at = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        at = (at + step) % slots.len();
                        assert!(slots.get(at).is_some_and(|slot| slot.file().is_ok()));
                    }
                });
            }
            let closer = scope.spawn(|| {
                for turn in 0..15_000 {
                    FileCache::evict(&mut cache.open.lock(), usize::from(turn % 50 == 0), None);
                }
            });
            let closed = closer.join();
            is_over.store(true, Ordering::Relaxed);
            assert!(closed.is_ok());
        });
        assert!(cache.open_count() <= 600);
    }
}
