//! Files in memory that can crash and fail: see [`MemoryFileSystem`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{DirectoryEntry, DirectoryLock, FileSystem, OpenMode, Space, StoreFile, WholeSync};

/// What an operation does, as the faults name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Operation {
    Open,
    Read,
    Write,
    SetLength,
    Sync,
    SyncDirectory,
    SyncWhole,
    Link,
    Rename,
    Remove,
    CreateDirectory,
    List,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// `EIO`.
    InputOutput,
    /// `ENOSPC`.
    NoSpace,
    /// `EMFILE`.
    NoDescriptor,
    /// `EROFS`.
    ReadOnly,
    /// A write stores at most this many bytes, and says so.
    ShortWrite(usize),
}

/// One planned failure.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which operation.
    pub operation: Operation,
    /// Only paths that contain this text.
    pub path_contains: String,
    /// Let this many matching operations pass first.
    pub skip: u64,
    /// Then fail this many.
    pub count: u64,
    /// How.
    pub kind: FaultKind,
}

/// What a crash leaves of bytes that were never synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashMode {
    /// The process died, the machine did not: everything written is there.
    ProcessOnly,
    /// Power was lost: nothing unsynced is there.
    LoseUnsynced,
    /// Power was lost: each unsynced 512-byte sector, size change and directory entry is there or not, by this seed.
    KeepSome(u64),
}

/// Content of a file: what readers see, and what a power cut cannot take.
#[derive(Debug, Clone, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Content at the last sync that failed: what did not change since is called clean, and never was written.
    lost: Option<Vec<u8>>,
    modified_ms: i64,
}

impl Inode {
    /// What is on the disk once everything that is dirty is written: bytes that a failed sync called clean are not.
    fn written(&self) -> Vec<u8> {
        let Some(lost) = &self.lost else { return self.content.clone() };
        let is_clean = |index: usize, byte: u8| lost.get(index) == Some(&byte);
        let bytes = self.content.iter().enumerate().map(|(index, &byte)| {
            let held = self.durable.get(index).copied().unwrap_or(0);
            if is_clean(index, byte) { held } else { byte }
        });
        bytes.collect()
    }

    fn sync(&mut self) {
        self.durable = self.written();
    }

    fn fail_to_sync(&mut self) {
        self.lost = Some(self.content.clone());
    }
}

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as readers see them, and as a power cut leaves them.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    directories: BTreeSet<PathBuf>,
    durable_directories: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    /// Most bytes that all files may hold, if there is such a limit.
    capacity_bytes: Option<u64>,
    faults: Vec<Fault>,
    clock_ms: i64,
}

/// A file system in memory. Each file has the content that readers see and the content that was synced; each directory likewise
/// has names that are seen and names that were synced. [`MemoryFileSystem::crash`] clones what a crash would leave, and
/// [`MemoryFileSystem::inject`] plans failures by operation, path and count. Cloning the value shares the files.
#[derive(Clone, Default)]
pub struct MemoryFileSystem {
    state: Arc<Mutex<State>>,
}

impl MemoryFileSystem {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plans a failure.
    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Failures that were planned and did not happen yet.
    pub fn planned_failures(&self) -> u64 {
        self.state.lock().faults.iter().map(|fault| fault.count).sum()
    }

    /// Forgets all planned failures.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Makes the disk this large, or endless: a write that does not fit stores what fits, and then fails with ENOSPC. Each name takes
    /// 256 bytes beside its content.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity_bytes = bytes;
    }

    /// Bytes that all files take.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    /// Sets the time that later writes give their files.
    pub fn set_clock_ms(&self, now_ms: i64) {
        self.state.lock().clock_ms = now_ms;
    }

    /// Whole content of a file.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state
            .names
            .get(path)
            .and_then(|inode| state.inodes.get(inode))
            .map(|inode| inode.content.clone())
    }

    /// Replaces the content of a file, durably: bit rot, torn tails and stale indexes start here.
    pub fn put(&self, path: &Path, content: Vec<u8>) {
        let mut state = self.state.lock();
        let inode = match state.names.get(path) {
            Some(&inode) => inode,
            None => state.create(path),
        };
        state.durable_names.insert(path.to_owned(), inode);
        if let Some(inode) = state.inodes.get_mut(&inode) {
            inode.durable.clone_from(&content);
            inode.content = content;
        }
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    #[must_use]
    /// What a crash now would leave, as a file system of its own, unlocked and without faults.
    pub fn crash(&self, mode: CrashMode) -> Self {
        let state = self.state.lock();
        let mut random = match mode {
            CrashMode::KeepSome(seed) => Random(seed),
            _ => Random(0),
        };
        let mut after =
            State { next_inode: state.next_inode, clock_ms: state.clock_ms, ..State::default() };
        let (names, directories) = match mode {
            CrashMode::ProcessOnly => (state.names.clone(), state.directories.clone()),
            CrashMode::LoseUnsynced => {
                (state.durable_names.clone(), state.durable_directories.clone())
            }
            CrashMode::KeepSome(_) => {
                // A journalling file system keeps its operations in order: either all changes of a directory up to some moment
                // are there or not. Per name is harsher than that, except that a rename never loses both names.
                let mut names = state.durable_names.clone();
                for (path, inode) in &state.names {
                    if names.get(path) != Some(inode) && random.coin() {
                        names.insert(path.clone(), *inode);
                    }
                }
                for path in state.durable_names.keys() {
                    if !state.names.contains_key(path) && random.coin() {
                        let inode = state.durable_names.get(path);
                        let is_elsewhere =
                            names.iter().any(|(other, held)| other != path && Some(held) == inode);
                        let was_renamed = state.names.values().any(|held| Some(held) == inode);
                        if is_elsewhere || !was_renamed {
                            names.remove(path);
                        }
                    }
                }
                let mut directories = state.durable_directories.clone();
                directories.extend(state.directories.iter().filter(|_| random.coin()).cloned());
                (names, directories)
            }
        };
        for (path, inode_id) in names {
            let Some(inode) = state.inodes.get(&inode_id) else { continue };
            let content = match mode {
                CrashMode::ProcessOnly => inode.content.clone(),
                CrashMode::LoseUnsynced => inode.durable.clone(),
                CrashMode::KeepSome(_) => mix(inode, &mut random),
            };
            let lost = match mode {
                CrashMode::ProcessOnly => inode.lost.clone(),
                CrashMode::LoseUnsynced | CrashMode::KeepSome(_) => None,
            };
            let durable = match &lost {
                Some(_) => inode.durable.clone(),
                None => content.clone(),
            };
            let inode = Inode { durable, content, lost, modified_ms: inode.modified_ms };
            after.inodes.insert(inode_id, inode);
            let mut parent = path.parent();
            while let Some(directory) = parent {
                after.directories.insert(directory.to_owned());
                parent = directory.parent();
            }
            after.names.insert(path, inode_id);
        }
        after.directories.extend(directories);
        after.durable_directories.clone_from(&after.directories);
        after.durable_names.clone_from(&after.names);
        Self { state: Arc::new(Mutex::new(after)) }
    }
}

/// A crashed file: its synced content with some of the unsynced sectors and perhaps the unsynced size.
fn mix(inode: &Inode, random: &mut Random) -> Vec<u8> {
    let mut content = inode.durable.clone();
    if inode.content == inode.durable {
        return content;
    }
    if inode.content.len() != content.len() && random.coin() {
        // The new size may have reached the disk; sectors that did not are zeros.
        content.resize(inode.content.len(), 0);
        if inode.content.len() > inode.durable.len() && random.coin() {
            let grown = inode.content.len() - inode.durable.len();
            content.truncate(inode.durable.len() + (random.next() as usize) % (grown + 1));
        }
    }
    let length = content.len().min(inode.content.len());
    let mut at = 0;
    while at < length {
        let end = (at + 512).min(length);
        if random.coin()
            && let (Some(into), Some(from)) = (content.get_mut(at..end), inode.content.get(at..end))
        {
            into.copy_from_slice(from);
        }
        at = end;
    }
    content
}

/// SplitMix64: small, seeded, good enough to choose sectors.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {}", path.display()))
}

/// What a name costs on a disk of limited size.
const NAME_BYTES: u64 = 256;

impl State {
    fn used_bytes(&self) -> u64 {
        let names = (self.names.len() + self.directories.len()) as u64;
        let content: u64 = self
            .names
            .values()
            .filter_map(|inode| self.inodes.get(inode))
            .map(|inode| inode.content.len() as u64)
            .sum();
        names * NAME_BYTES + content
    }

    /// Bytes that may still be written.
    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    /// A new name must fit.
    fn check_room(&self) -> io::Result<()> {
        if self.free_bytes() < NAME_BYTES {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }

    fn create(&mut self, path: &Path) -> u64 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode { modified_ms: self.clock_ms, ..Inode::default() });
        self.names.insert(path.to_owned(), inode);
        inode
    }

    /// Counts the operation against the plan; a short write is returned, other faults are errors.
    fn check(&mut self, operation: Operation, path: &Path) -> io::Result<Option<usize>> {
        if self.faults.is_empty() {
            return Ok(None);
        }
        let text = path.to_string_lossy();
        for fault in &mut self.faults {
            if fault.operation != operation
                || fault.count == 0
                || !text.contains(&fault.path_contains)
            {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.count -= 1;
            return match fault.kind {
                FaultKind::InputOutput => Err(io::Error::from_raw_os_error(5)),
                FaultKind::NoSpace => Err(io::Error::from_raw_os_error(28)),
                FaultKind::NoDescriptor => Err(io::Error::from_raw_os_error(24)),
                FaultKind::ReadOnly => Err(io::Error::from_raw_os_error(30)),
                FaultKind::ShortWrite(bytes) => Ok(Some(bytes)),
            };
        }
        Ok(None)
    }
}

struct MemoryFile {
    files: MemoryFileSystem,
    path: PathBuf,
    inode: u64,
    is_writable: bool,
}

impl StoreFile for MemoryFile {
    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.files.state.lock();
        state.check(Operation::Read, &self.path)?;
        let Some(inode) = state.inodes.get(&self.inode) else { return Ok(0) };
        let Some(from) =
            usize::try_from(position).ok().and_then(|start| inode.content.get(start..))
        else {
            return Ok(0);
        };
        let count = from.len().min(into.len());
        if let (Some(into), Some(from)) = (into.get_mut(..count), from.get(..count)) {
            into.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let mut state = self.files.state.lock();
        if !self.is_writable {
            return Err(io::Error::from_raw_os_error(9));
        }
        let count =
            state.check(Operation::Write, &self.path)?.unwrap_or(bytes.len()).min(bytes.len());
        let now_ms = state.clock_ms;
        let start = position as usize;
        let held = state.inodes.get(&self.inode).map_or(0, |inode| inode.content.len());
        let grown = (start + count).saturating_sub(held) as u64;
        let free = if state.capacity_bytes.is_some() { state.free_bytes() } else { u64::MAX };
        let missing = grown.saturating_sub(free) as usize;
        if missing > 0 && missing >= count {
            return Err(io::Error::from_raw_os_error(28));
        }
        let count = count - missing;
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            if inode.content.len() < start + count {
                inode.content.resize(start + count, 0);
            }
            if let (Some(into), Some(from)) =
                (inode.content.get_mut(start..start + count), bytes.get(..count))
            {
                into.copy_from_slice(from);
            }
            inode.modified_ms = now_ms;
        }
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.files.state.lock();
        Ok(state.inodes.get(&self.inode).map_or(0, |inode| inode.content.len() as u64))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.files.state.lock();
        state.check(Operation::SetLength, &self.path)?;
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            inode.content.resize(length as usize, 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.files.state.lock();
        let result = state.check(Operation::Sync, &self.path);
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            if result.is_err() {
                // As Linux does: the pages are clean now, and a later sync falsely succeeds.
                inode.fail_to_sync();
                return Err(io::Error::from_raw_os_error(5));
            }
            inode.sync();
        }
        result.map(|_| ())
    }

    fn forget_cached(&self) -> io::Result<()> {
        if let Some(inode) = self.files.state.lock().inodes.get_mut(&self.inode) {
            inode.content = inode.written();
            inode.lost = None;
        }
        Ok(())
    }

    fn as_file(&self) -> Option<&File> {
        None
    }
}

struct MemoryWholeSync {
    files: MemoryFileSystem,
    path: PathBuf,
}

impl WholeSync for MemoryWholeSync {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.files.state.lock();
        let result = state.check(Operation::SyncWhole, &self.path);
        let state = &mut *state;
        for inode in state.inodes.values_mut() {
            if result.is_err() {
                inode.fail_to_sync();
            } else {
                inode.sync();
            }
        }
        result?;
        state.durable_names.clone_from(&state.names);
        state.durable_directories.clone_from(&state.directories);
        Ok(())
    }
}

struct MemoryLock {
    files: MemoryFileSystem,
    path: PathBuf,
}

impl DirectoryLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.files.state.lock().locks.remove(&self.path);
    }
}

impl FileSystem for MemoryFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StoreFile>> {
        let mut state = self.state.lock();
        state.check(Operation::Open, path)?;
        let inode = match (state.names.get(path).copied(), mode) {
            (Some(inode), _) => inode,
            (None, OpenMode::Create | OpenMode::Truncate) => {
                if path.parent().is_some_and(|parent| !state.directories.contains(parent)) {
                    return Err(not_found(path));
                }
                state.check_room()?;
                state.create(path)
            }
            (None, _) => return Err(not_found(path)),
        };
        if mode == OpenMode::Truncate
            && let Some(inode) = state.inodes.get_mut(&inode)
        {
            inode.content.clear();
        }
        drop(state);
        Ok(Arc::new(MemoryFile {
            files: self.clone(),
            path: path.to_owned(),
            inode,
            is_writable: mode != OpenMode::Read,
        }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Operation::Link, to)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = *state.names.get(from).ok_or_else(|| not_found(from))?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Operation::Rename, from)?;
        if let Some(inode) = state.names.remove(from) {
            state.names.insert(to.to_owned(), inode);
            return Ok(());
        }
        if !state.directories.contains(from) {
            return Err(not_found(from));
        }
        let names: Vec<PathBuf> =
            state.names.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in names {
            if let (Ok(rest), Some(inode)) = (path.strip_prefix(from), state.names.remove(&path)) {
                let path = to.join(rest);
                state.names.insert(path, inode);
            }
        }
        // The entries inside a directory do not depend on its name: what was durable stays durable under the new one.
        let names: Vec<PathBuf> =
            state.durable_names.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in names {
            if let (Ok(rest), Some(inode)) =
                (path.strip_prefix(from), state.durable_names.remove(&path))
            {
                let path = to.join(rest);
                state.durable_names.insert(path, inode);
            }
        }
        state.directories.remove(from);
        state.directories.insert(to.to_owned());
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Operation::Remove, path)?;
        state.names.remove(path).map(|_| ()).ok_or_else(|| not_found(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Operation::Remove, path)?;
        state.names.retain(|name, _| !name.starts_with(path));
        state.directories.retain(|name| !name.starts_with(path));
        Ok(())
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Operation::CreateDirectory, path)?;
        if !state.directories.contains(path) {
            state.check_room()?;
        }
        let mut directory = Some(path);
        while let Some(path) = directory {
            state.directories.insert(path.to_owned());
            directory = path.parent();
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let mut state = self.state.lock();
        state.check(Operation::List, path)?;
        if !state.directories.contains(path) {
            return Err(not_found(path));
        }
        let name_of = |child: &Path| {
            (child.parent() == Some(path))
                .then(|| child.file_name().and_then(|name| name.to_str()).map(str::to_owned))
                .flatten()
        };
        let mut entries: Vec<DirectoryEntry> = state
            .names
            .iter()
            .filter_map(|(child, inode)| {
                let length = state.inodes.get(inode).map_or(0, |inode| inode.content.len() as u64);
                name_of(child).map(|name| DirectoryEntry { name, is_directory: false, length })
            })
            .collect();
        entries.extend(state.directories.iter().filter_map(|child| {
            name_of(child).map(|name| DirectoryEntry { name, is_directory: true, length: 0 })
        }));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.state.lock();
        state.names.contains_key(path) || state.directories.contains(path)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let state = self.state.lock();
        state
            .names
            .get(path)
            .and_then(|inode| state.inodes.get(inode))
            .map(|inode| inode.modified_ms)
            .ok_or_else(|| not_found(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Operation::SyncDirectory, path)?;
        let state = &mut *state;
        state
            .durable_names
            .retain(|name, _| name.parent() != Some(path) || state.names.contains_key(name));
        for (name, inode) in &state.names {
            if name.parent() == Some(path) {
                state.durable_names.insert(name.clone(), *inode);
            }
        }
        state
            .durable_directories
            .retain(|name| name.parent() != Some(path) || state.directories.contains(name));
        let children: Vec<PathBuf> =
            state.directories.iter().filter(|name| name.parent() == Some(path)).cloned().collect();
        state.durable_directories.extend(children);
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Option<Space>> {
        let state = self.state.lock();
        Ok(state
            .capacity_bytes
            .map(|total_bytes| Space { total_bytes, free_bytes: state.free_bytes() }))
    }

    fn whole_sync(&self, path: &Path) -> io::Result<Option<Box<dyn WholeSync>>> {
        Ok(Some(Box::new(MemoryWholeSync { files: self.clone(), path: path.to_owned() })))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        if !self.state.lock().locks.insert(path.to_owned()) {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        Ok(Box::new(MemoryLock { files: self.clone(), path: path.to_owned() }))
    }
}
