//! Fetch: what there is to read is answered from the log; a fetch that has to wait goes back.
//!
//! A request is read, served and answered in one pass: each partition's records go into the reply as they are found. Whatever the
//! handler (`src/server/handlers/fetch.ts`) would not answer at once and without an error gives the frame back, and the reply is
//! as it was. Fetch sessions (KIP-227) live in TypeScript: only requests without one are served here.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_log::{FileSlice, Isolation, ReadRequest, ReadScratch};
use sluice_sys::is_all_cached;

use crate::frame::{Cursor, Header};
use crate::reply::ReplyBuffer;
use crate::topics::Topic;
use crate::{Scene, Served};

const MIN_VERSION: i16 = 4;
const MAX_VERSION: i16 = 18;
const FIRST_VERSION_WITH_LOG_START: i16 = 5;
const FIRST_VERSION_WITH_SESSIONS: i16 = 7;
const FIRST_VERSION_WITH_LEADER_EPOCH: i16 = 9;
const FIRST_VERSION_WITH_RACK: i16 = 11;
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;
const FIRST_VERSION_WITH_REPLICA_STATE: i16 = 15;
const NO_SESSION: (i32, i32) = (0, -1);

/// Records up to this size in all are copied into the reply; the others are sent from their files.
const COPY_BYTES_MAX: usize = 64 << 10;
/// Most that is sent from files for one request: what an event loop would send in one turn.
const SLICES_BYTES_MAX: u64 = 2 << 20;

/// What a lane keeps of a connection between its fetches: nothing.
#[derive(Debug, Default)]
pub struct FetchPeer {}

/// Memory of a thread that serves fetches.
#[derive(Default)]
struct Memory {
    scratch: ReadScratch,
    /// Partitions of the request at hand.
    seen: HashSet<([u8; 16], i32)>,
    /// Its topics, and the bytes found for each.
    fetched: Vec<(Arc<Topic>, u64)>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// A request up to its topics.
struct Fetch {
    version: i16,
    flexible: bool,
    max_wait_ms: i32,
    min_bytes: i64,
    isolation: Isolation,
    /// Bytes that may still be given.
    budget: i64,
    /// No partition has given records yet: the first one gives a whole batch, however large.
    is_first_due: bool,
    bytes: u64,
    copied_bytes: usize,
    slices_bytes: u64,
}

impl Fetch {
    /// `None` where the lane does not serve it.
    fn parse(header: &Header, cursor: &mut Cursor<'_>, scene: &Scene<'_>) -> Option<Self> {
        let version = header.api_version;
        if !(MIN_VERSION..=MAX_VERSION).contains(&version) {
            return None;
        }
        // A replica says who it is here, or from version 15 on in a tagged field.
        if version < FIRST_VERSION_WITH_REPLICA_STATE && cursor.int32()? >= 0 {
            return None;
        }
        let max_wait_ms = cursor.int32()?;
        let min_bytes = i64::from(cursor.int32()?);
        let max_bytes = i64::from(cursor.int32()?).min(scene.topics.fetch_max_bytes());
        let isolation = match cursor.int8()? {
            0 => Isolation::ReadUncommitted,
            1 => Isolation::ReadCommitted,
            _ => return None,
        };
        if max_bytes < 0
            || version >= FIRST_VERSION_WITH_SESSIONS
                && (cursor.int32()?, cursor.int32()?) != NO_SESSION
        {
            return None;
        }
        Some(Self {
            version,
            flexible: header.is_flexible,
            max_wait_ms,
            min_bytes: min_bytes.min(max_bytes),
            isolation,
            budget: max_bytes,
            is_first_due: true,
            bytes: 0,
            copied_bytes: 0,
            slices_bytes: 0,
        })
    }

    /// Whether the handler would answer with what there is.
    fn is_answered(&self) -> bool {
        self.max_wait_ms <= 0 || i64::try_from(self.bytes).is_ok_and(|n| n >= self.min_bytes)
    }

    /// Serves all topics. `None` where anything is not as it should be.
    fn topics(
        &mut self,
        cursor: &mut Cursor<'_>,
        scene: &Scene<'_>,
        memory: &mut Memory,
        reply: &mut ReplyBuffer,
    ) -> Option<()> {
        let count = cursor.array_count(self.flexible)?;
        // No topic would be an answer without records, and each has a partition.
        if count == 0 {
            return None;
        }
        reply.array_count(self.flexible, count);
        memory.seen.clear();
        let mut previous: Option<Arc<Topic>> = None;
        for _ in 0..count {
            let topic = if self.version >= FIRST_VERSION_WITH_TOPIC_IDS {
                let topic = scene.topics.by_id(&cursor.uuid()?)?;
                reply.raw(&topic.id);
                topic
            } else {
                let topic = scene.topics.by_name(cursor.string(self.flexible)?)?;
                reply.string(self.flexible, topic.name.as_bytes());
                topic
            };
            // The handler joins neighbours that are the same topic.
            if previous.is_some_and(|previous| previous.id == topic.id) {
                return None;
            }
            let partitions = cursor.array_count(self.flexible)?;
            if partitions == 0 {
                return None;
            }
            reply.array_count(self.flexible, partitions);
            let is_only = count == 1 && partitions == 1;
            let bytes_before = self.bytes;
            for _ in 0..partitions {
                let index = self.partition(cursor, &topic, memory, reply)?;
                // The handler looks at a partition that is named twice once.
                if !is_only && !memory.seen.insert((topic.id, index)) {
                    return None;
                }
            }
            cursor.no_tags(self.flexible)?;
            reply.no_tags(self.flexible);
            memory.fetched.push((Arc::clone(&topic), self.bytes - bytes_before));
            previous = Some(topic);
        }
        Some(())
    }

    /// Serves one partition and returns its index.
    fn partition(
        &mut self,
        cursor: &mut Cursor<'_>,
        topic: &Topic,
        memory: &mut Memory,
        reply: &mut ReplyBuffer,
    ) -> Option<i32> {
        let version = self.version;
        let index = cursor.int32()?;
        let current_leader_epoch =
            if version >= FIRST_VERSION_WITH_LEADER_EPOCH { cursor.int32()? } else { -1 };
        let offset = cursor.int64()?;
        let last_fetched_epoch = if self.flexible { cursor.int32()? } else { -1 };
        if version >= FIRST_VERSION_WITH_LOG_START {
            let _log_start_offset = cursor.int64()?;
        }
        let max_bytes = i64::from(cursor.int32()?);
        cursor.no_tags(self.flexible)?;
        let partition = topic.partition(index)?;
        if max_bytes < 0 {
            return None;
        }
        let request = ReadRequest {
            offset,
            max_bytes: max_bytes.min(self.budget),
            min_one_message: self.is_first_due,
            isolation: self.isolation,
            current_leader_epoch,
            last_fetched_epoch,
            // A follower may serve some of these; TypeScript knows which.
            leader_only: true,
            replica: None,
        };
        let read = partition.log.read_with(&request, &mut memory.scratch);
        let is_plain = read.code.0 == 0
            && read.diverging.is_none()
            && read.aborted.as_ref().is_none_or(Vec::is_empty);
        if !is_plain {
            return None;
        }
        reply.int32(index);
        reply.int16(0);
        reply.int64(read.high_watermark);
        reply.int64(read.last_stable_offset);
        if version >= FIRST_VERSION_WITH_LOG_START {
            reply.int64(read.log_start_offset);
        }
        match self.isolation {
            Isolation::ReadCommitted => reply.array_count(self.flexible, 0),
            // Null.
            _ if self.flexible => reply.unsigned_varint(0),
            _ => reply.int32(-1),
        }
        if version >= FIRST_VERSION_WITH_RACK {
            // The replica to read from instead: none.
            reply.int32(-1);
        }
        match read.slice {
            Some(slice) if slice.length > 0 => self.records(slice, &memory.scratch, reply)?,
            _ => reply.bytes_length(self.flexible, 0),
        }
        reply.no_tags(self.flexible);
        Some(index)
    }

    fn records(
        &mut self,
        slice: FileSlice,
        scratch: &ReadScratch,
        reply: &mut ReplyBuffer,
    ) -> Option<()> {
        let length = usize::try_from(slice.length).ok()?;
        reply.bytes_length(self.flexible, length);
        self.bytes += slice.length;
        self.budget = self.budget.saturating_sub(i64::try_from(length).ok()?).max(0);
        self.is_first_due = false;
        if self.copied_bytes + length <= COPY_BYTES_MAX {
            self.copied_bytes += length;
            match scratch.records() {
                Some(records) if records.len() == length => reply.raw(records),
                _ => {
                    let got = slice.read_into(0, reply.room(length)).ok()?;
                    return (got == length).then_some(());
                }
            }
            return Some(());
        }
        self.slices_bytes += slice.length;
        let is_in_memory = self.slices_bytes <= SLICES_BYTES_MAX
            && slice
                .file
                .as_file()
                .is_some_and(|file| is_all_cached(file, slice.position, slice.length));
        is_in_memory.then(|| reply.slice(slice))
    }
}

/// Serves a Fetch, or does nothing.
pub fn serve_fetch(
    frame: &[u8],
    header: &Header,
    scene: &Scene<'_>,
    _peer: &mut FetchPeer,
    reply: &mut ReplyBuffer,
) -> Served {
    let mut memory = MEMORY.take();
    let mark = reply.begin_frame(header.correlation_id, header.is_flexible);
    let served = serve(frame, header, scene, &mut memory, reply);
    let is_served = served.is_some() && reply.end_frame(mark);
    if is_served {
        for (topic, bytes) in &memory.fetched {
            topic.traffic.fetched_bytes.fetch_add(*bytes, Ordering::Relaxed);
        }
    } else if served.is_none() {
        reply.abandon(mark);
    }
    memory.fetched.clear();
    MEMORY.set(memory);
    if is_served { Served::Reply } else { Served::NotMine }
}

/// Writes the answer. `None` where anything is not as it should be.
fn serve(
    frame: &[u8],
    header: &Header,
    scene: &Scene<'_>,
    memory: &mut Memory,
    reply: &mut ReplyBuffer,
) -> Option<()> {
    let mut cursor = Cursor::new(frame, header.body);
    let mut fetch = Fetch::parse(header, &mut cursor, scene)?;
    // Not throttled.
    reply.int32(0);
    if fetch.version >= FIRST_VERSION_WITH_SESSIONS {
        reply.int16(0);
        reply.int32(NO_SESSION.0);
    }
    fetch.topics(&mut cursor, scene, memory, reply)?;
    if fetch.version >= FIRST_VERSION_WITH_SESSIONS && cursor.array_count(fetch.flexible)? != 0 {
        return None;
    }
    if fetch.version >= FIRST_VERSION_WITH_RACK && !cursor.string(fetch.flexible)?.is_empty() {
        return None;
    }
    cursor.no_tags(fetch.flexible)?;
    if !cursor.is_at_end() || !fetch.is_answered() {
        return None;
    }
    reply.no_tags(fetch.flexible);
    Some(())
}
