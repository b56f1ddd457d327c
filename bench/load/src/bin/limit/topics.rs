//! What the threads share: topics and their partitions. A partition is a file, the places of its batches, and who waits for the next.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use sluice_load::api::TopicId;
use sluice_load::sys::Alarm;

use crate::Answer;
use crate::server::FetchRequest;

pub struct Partition {
    pub file: Arc<File>,
    pub end_bytes: u64,
    pub next_offset: i64,
    /// First offset and place of each batch.
    pub index: Vec<(i64, u64)>,
    /// Connections whose Fetch waits for the next batch: thread, token, request.
    pub waiting: Vec<(usize, u64, FetchRequest)>,
}

impl Partition {
    fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        Ok(Self {
            file: Arc::new(file),
            end_bytes: 0,
            next_offset: 0,
            index: Vec::new(),
            waiting: Vec::new(),
        })
    }

    /// Place of the batch that holds `offset`, and the bytes that a Fetch of `max_bytes` gets: at least one batch.
    pub fn range(&self, offset: i64, max_bytes: usize) -> Option<(u64, usize)> {
        let next = self.index.partition_point(|(first, _)| *first <= offset);
        let (_, at) = *self.index.get(next.checked_sub(1)?)?;
        let batch_end = self.index.get(next).map_or(self.end_bytes, |(_, place)| *place);
        let left = (self.end_bytes - at) as usize;
        Some((at, left.min(max_bytes.max((batch_end - at) as usize))))
    }
}

pub struct Topic {
    /// Answered after a sync.
    pub is_synced: bool,
    pub partitions: Vec<Mutex<Partition>>,
    paths: Vec<PathBuf>,
}

impl Topic {
    pub fn partition(&self, index: i32) -> Answer<MutexGuard<'_, Partition>> {
        let found = self.partitions.get(index as usize).ok_or("an unknown partition")?;
        Ok(locked(found))
    }
}

/// Requests that another thread's produce woke, and what wakes their thread.
pub struct Inbox {
    pub requests: Mutex<Vec<(u64, FetchRequest)>>,
    pub alarm: Alarm,
}

pub struct Shared {
    pub directory: PathBuf,
    pub port: u16,
    pub inboxes: Vec<Inbox>,
    known: RwLock<Known>,
    /// Raised with every topic that goes: threads keep what they looked up until then.
    generation: AtomicU64,
}

#[derive(Default)]
struct Known {
    ids: HashMap<String, TopicId>,
    topics: HashMap<TopicId, Arc<Topic>>,
    made: u128,
}

/// Nothing that holds these locks can panic half-way through a change.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(directory: PathBuf, port: u16, threads: usize) -> io::Result<Self> {
        let inbox = || Ok(Inbox { requests: Mutex::default(), alarm: Alarm::new()? });
        Ok(Self {
            directory,
            port,
            inboxes: (0..threads).map(|_| inbox()).collect::<io::Result<_>>()?,
            known: RwLock::default(),
            generation: AtomicU64::new(0),
        })
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn topic(&self, id: TopicId) -> Answer<Arc<Topic>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.topics.get(&id).cloned().ok_or_else(|| "an unknown topic".to_owned())
    }

    pub fn named(&self, name: &str) -> Answer<(TopicId, Arc<Topic>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let id = *known.ids.get(name).ok_or("an unknown topic")?;
        let topic = known.topics.get(&id).cloned().ok_or("an unknown topic")?;
        Ok((id, topic))
    }

    pub fn create(&self, name: String, partitions: i32, is_synced: bool) -> Answer<TopicId> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.made += 1;
        let id = known.made.to_be_bytes();
        let mut topic = Topic { is_synced, partitions: Vec::new(), paths: Vec::new() };
        for index in 0..partitions.clamp(0, 10_000) {
            let path = self.directory.join(format!("{}-{index}", known.made));
            let partition = Partition::create(&path).map_err(|error| error.to_string())?;
            topic.partitions.push(Mutex::new(partition));
            topic.paths.push(path);
        }
        known.ids.insert(name, id);
        known.topics.insert(id, Arc::new(topic));
        Ok(id)
    }

    pub fn delete(&self, name: &str) -> Answer<TopicId> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let id = known.ids.remove(name).unwrap_or_default();
        if let Some(topic) = known.topics.remove(&id) {
            for path in &topic.paths {
                std::fs::remove_file(path).map_err(|error| error.to_string())?;
            }
        }
        drop(known);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(id)
    }
}
