//! The table of topics: what TypeScript's partition directory tells of the partitions that are led here.
//!
//! A partition that is not in it is nobody's business in the lane. One that is and has just ceased to be led here is refused by
//! the log itself, and the frame goes back.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use sluice_log::PartitionLog;

/// A partition that this broker leads.
#[derive(Clone)]
pub struct TopicPartition {
    /// Its log.
    pub log: Arc<PartitionLog>,
    /// Number by which TypeScript knows it.
    pub handle: f64,
    /// Epoch of the leadership, as TypeScript knows it.
    pub leader_epoch: i32,
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPartition({}-{})", self.log.topic(), self.log.partition())
    }
}

/// What was done for a topic, until somebody takes it.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Records appended.
    pub produced_records: AtomicU64,
    /// Bytes of batches as they were sent.
    pub produced_bytes: AtomicU64,
    /// Partitions of Produce requests that were refused.
    pub failed_produces: AtomicU64,
    /// Bytes of batches put into answers to consumers.
    pub fetched_bytes: AtomicU64,
}

impl Traffic {
    /// Takes what was counted, in the order of the fields.
    pub fn take(&self) -> [u64; 4] {
        [&self.produced_records, &self.produced_bytes, &self.failed_produces, &self.fetched_bytes]
            .map(|count| {
                if count.load(Ordering::Relaxed) == 0 {
                    0
                } else {
                    count.swap(0, Ordering::Relaxed)
                }
            })
    }
}

/// A topic with partitions that are led here.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: [u8; 16],
    /// Number by which TypeScript knows it.
    pub token: f64,
    /// By index; `None` where the lane must not serve.
    pub partitions: Vec<Option<TopicPartition>>,
    /// What the lane did for it.
    pub traffic: Arc<Traffic>,
}

impl Topic {
    /// A partition that is led here.
    #[inline]
    pub fn partition(&self, index: i32) -> Option<&TopicPartition> {
        self.partitions.get(usize::try_from(index).ok()?)?.as_ref()
    }
}

#[derive(Debug, Default)]
struct Inner {
    by_name: HashMap<Box<[u8]>, Arc<Topic>>,
    by_id: HashMap<[u8; 16], Arc<Topic>>,
    /// Of topics that were removed, with their tokens: nobody may have taken it yet.
    gone: Vec<(f64, Arc<Traffic>)>,
}

/// Topics by name and id.
#[derive(Debug, Default)]
pub struct Topics {
    inner: RwLock<Inner>,
    fetch_max_bytes: OnceLock<i64>,
}

impl Topics {
    /// Says the most that an answer to a fetch may hold, whatever its client asks for (`fetch.max.bytes`). Without it none is served.
    pub fn bound_fetches(&self, max_bytes: i64) {
        let _ = self.fetch_max_bytes.set(max_bytes);
    }

    /// What `bound_fetches` said; negative before.
    #[inline]
    pub fn fetch_max_bytes(&self) -> i64 {
        self.fetch_max_bytes.get().copied().unwrap_or(-1)
    }

    /// A topic by its name's bytes.
    #[inline]
    pub fn by_name(&self, name: &[u8]) -> Option<Arc<Topic>> {
        self.inner.read().by_name.get(name).cloned()
    }

    /// A topic by its id.
    #[inline]
    pub fn by_id(&self, id: &[u8; 16]) -> Option<Arc<Topic>> {
        self.inner.read().by_id.get(id).cloned()
    }

    /// Puts a topic in the place of the one of its name; the same topic goes on counting where it was.
    pub fn put(&self, mut topic: Topic) {
        let mut inner = self.inner.write();
        if let Some(previous) = inner.by_name.remove(topic.name.as_bytes()) {
            inner.by_id.remove(&previous.id);
            if previous.token.to_bits() == topic.token.to_bits() {
                topic.traffic = Arc::clone(&previous.traffic);
            } else {
                inner.gone.push((previous.token, Arc::clone(&previous.traffic)));
            }
        }
        let topic = Arc::new(topic);
        inner.by_name.insert(topic.name.as_bytes().into(), Arc::clone(&topic));
        inner.by_id.insert(topic.id, topic);
    }

    /// Removes a topic, if it is there.
    pub fn remove(&self, name: &str) {
        let mut inner = self.inner.write();
        if let Some(previous) = inner.by_name.remove(name.as_bytes()) {
            inner.by_id.remove(&previous.id);
            inner.gone.push((previous.token, Arc::clone(&previous.traffic)));
        }
    }

    /// Removes all topics, and with them what they hold open.
    pub fn clear(&self) {
        *self.inner.write() = Inner::default();
    }

    /// Tells what was done for each topic since it was last asked: token, and the counts of [`Traffic::take`].
    pub fn take_traffic(&self, mut each: impl FnMut(f64, [u64; 4])) {
        let mut tell = |token: f64, traffic: &Traffic| {
            let counts = traffic.take();
            if counts.iter().any(|count| *count > 0) {
                each(token, counts);
            }
        };
        // A request in flight may still count for a topic that is gone.
        self.inner.write().gone.retain(|(token, traffic)| {
            tell(*token, traffic);
            Arc::strong_count(traffic) > 1
        });
        self.inner.read().by_name.values().for_each(|topic| tell(topic.token, &topic.traffic));
    }
}
