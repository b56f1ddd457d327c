//! Requests and responses of the seven APIs that the generator speaks.
//!
//! Request headers are v2, response headers v1 (ApiVersions: v0), since only flexible versions are used. Produce v9 to
//! v13 and Fetch v12 to v17 have one layout each but for the topic, which both name by id from v13 on.

use crate::wire::{Reader, Writer};

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;
pub const LIST_OFFSETS: i16 = 2;
pub const METADATA: i16 = 3;
pub const API_VERSIONS: i16 = 18;
pub const CREATE_TOPICS: i16 = 19;
pub const DELETE_TOPICS: i16 = 20;

pub const LIST_OFFSETS_VERSION: i16 = 7;
pub const METADATA_VERSION: i16 = 12;
pub const API_VERSIONS_VERSION: i16 = 3;
pub const CREATE_TOPICS_VERSION: i16 = 7;
pub const DELETE_TOPICS_VERSION: i16 = 6;
/// Versions of Produce and Fetch this generator can speak; the highest that the broker has too is used.
pub const PRODUCE_VERSIONS: (i16, i16) = (9, 13);
pub const FETCH_VERSIONS: (i16, i16) = (12, 17);
/// First version of Produce and of Fetch that names topics by id.
const TOPIC_BY_ID: i16 = 13;
/// First Fetch version whose body has no replica id.
const FETCH_WITHOUT_REPLICA: i16 = 15;

/// Where the correlation id sits in an encoded request, length prefix included.
pub const CORRELATION_ID_AT: usize = 8;
/// Error code of success.
pub const NONE: i16 = 0;

pub type TopicId = [u8; 16];

/// A topic as its creation and Metadata report it.
#[derive(Clone)]
pub struct Topic {
    pub name: String,
    pub id: TopicId,
    /// `host:port` of each partition's leader, by partition.
    pub leaders: Vec<String>,
}

/// Encodes a whole frame: length, header v2, body.
pub fn frame(
    api_key: i16,
    version: i16,
    correlation_id: i32,
    body: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.i32(0);
    writer.i16(api_key);
    writer.i16(version);
    writer.i32(correlation_id);
    let client_id = b"sluice-load";
    writer.i16(client_id.len() as i16);
    writer.raw(client_id);
    writer.no_tags();
    body(&mut writer);
    let length = (writer.bytes.len() - 4) as i32;
    writer.bytes[..4].copy_from_slice(&length.to_be_bytes());
    writer.bytes
}

pub fn api_versions_body(writer: &mut Writer) {
    writer.compact_string("sluice-load");
    writer.compact_string(env!("CARGO_PKG_VERSION"));
    writer.no_tags();
}

/// Answers the highest version of `api_key` that lies within `ours`.
pub fn pick_version(response: &[u8], api_key: i16, ours: (i16, i16)) -> Result<i16, String> {
    let mut reader = Reader::new(response);
    let error = reader.i16()?;
    if error != NONE {
        return Err(format!("ApiVersions answered error {error}"));
    }
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        let (key, lowest, highest) = (reader.i16()?, reader.i16()?, reader.i16()?);
        reader.skip_tags()?;
        if key == api_key {
            let version = highest.min(ours.1);
            if version < lowest.max(ours.0) {
                return Err(format!(
                    "API {key}: the broker has v{lowest} to v{highest}, needed v{} to v{}",
                    ours.0, ours.1
                ));
            }
            return Ok(version);
        }
    }
    Err(format!("the broker does not have API {api_key}"))
}

pub fn create_topics_body(
    writer: &mut Writer,
    name: &str,
    partitions: i32,
    replication: i16,
    config: &[(String, String)],
) {
    writer.compact_length(1);
    writer.compact_string(name);
    writer.i32(partitions);
    writer.i16(replication);
    writer.compact_length(0); // no manual assignment
    writer.compact_length(config.len());
    for (key, value) in config {
        writer.compact_string(key);
        writer.compact_string(value);
        writer.no_tags();
    }
    writer.no_tags();
    writer.i32(30_000);
    writer.i8(0); // not only validate
    writer.no_tags();
}

/// Reads CreateTopics v7 up to what matters: the id, or the error of the only topic.
pub fn created_topic(response: &[u8]) -> Result<Topic, String> {
    let mut reader = Reader::new(response);
    reader.i32()?;
    if reader.compact_length()? != Some(1) {
        return Err("CreateTopics did not answer for one topic".to_owned());
    }
    let name = reader.compact_string()?.unwrap_or_default();
    let id = reader.uuid()?;
    let error = reader.i16()?;
    let message = reader.compact_string()?.unwrap_or_default();
    if error == NONE {
        Ok(Topic { name, id, leaders: Vec::new() })
    } else {
        Err(format!("CreateTopics {name}: error {error} {message}"))
    }
}

pub fn delete_topics_body(writer: &mut Writer, name: &str) {
    writer.compact_length(1);
    writer.compact_string(name);
    writer.raw(&[0; 16]);
    writer.no_tags();
    writer.i32(30_000);
    writer.no_tags();
}

pub fn deleted_topic(response: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(response);
    reader.i32()?;
    if reader.compact_length()? != Some(1) {
        return Err("DeleteTopics did not answer for one topic".to_owned());
    }
    let name = reader.compact_string()?.unwrap_or_default();
    reader.uuid()?;
    let error = reader.i16()?;
    if error == NONE { Ok(()) } else { Err(format!("DeleteTopics {name}: error {error}")) }
}

pub fn metadata_body(writer: &mut Writer, name: &str) {
    writer.compact_length(1);
    writer.raw(&[0; 16]);
    writer.compact_string(name);
    writer.no_tags();
    writer.i8(0); // no auto-creation
    writer.i8(0); // no authorized operations
    writer.no_tags();
}

/// Answers the topic once each of its partitions has a leader and all replicas in sync, `None` while some has not.
pub fn ready_topic(response: &[u8], partitions: usize) -> Result<Option<Topic>, String> {
    let mut reader = Reader::new(response);
    reader.i32()?;
    let mut brokers = Vec::new();
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        let id = reader.i32()?;
        let host = reader.compact_string()?.unwrap_or_default();
        let port = reader.i32()?;
        brokers.push((id, format!("{host}:{port}")));
        reader.compact_string()?;
        reader.skip_tags()?;
    }
    reader.compact_string()?; // cluster id
    reader.i32()?; // controller
    if reader.compact_length()? != Some(1) {
        return Err("Metadata did not answer for one topic".to_owned());
    }
    let error = reader.i16()?;
    let name = reader.compact_string()?.unwrap_or_default();
    let id = reader.uuid()?;
    reader.i8()?;
    let mut leaders = vec![None; partitions];
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        let error = reader.i16()?;
        let index = reader.i32()?;
        let leader = reader.i32()?;
        reader.i32()?;
        let replicas = reader.skip_i32s()?;
        let in_sync = reader.skip_i32s()?;
        reader.skip_i32s()?;
        reader.skip_tags()?;
        let address = brokers.iter().find(|(id, _)| *id == leader).map(|(_, at)| at.clone());
        if error == NONE
            && in_sync == replicas
            && let Some(slot) = leaders.get_mut(index as usize)
        {
            *slot = address;
        }
    }
    let leaders: Option<Vec<String>> = leaders.into_iter().collect();
    Ok(leaders.filter(|_| error == NONE).map(|leaders| Topic { name, id, leaders }))
}

/// Asks for one special offset of each partition: -1 the latest, -2 the earliest.
pub fn list_offsets_body(writer: &mut Writer, name: &str, partitions: &[usize], timestamp: i64) {
    writer.i32(-1);
    writer.i8(0);
    writer.compact_length(1);
    writer.compact_string(name);
    writer.compact_length(partitions.len());
    for partition in partitions {
        writer.i32(*partition as i32);
        writer.i32(-1);
        writer.i64(timestamp);
        writer.no_tags();
    }
    writer.no_tags();
    writer.no_tags();
}

/// Puts the offsets of an answer where their partitions are.
pub fn listed_offsets(response: &[u8], offsets: &mut [i64]) -> Result<(), String> {
    let mut reader = Reader::new(response);
    reader.i32()?;
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        reader.compact_string()?;
        for _ in 0..reader.compact_length()?.unwrap_or(0) {
            let (index, error) = (reader.i32()?, reader.i16()?);
            reader.i64()?;
            let offset = reader.i64()?;
            reader.i32()?;
            reader.skip_tags()?;
            if error != NONE {
                return Err(format!("ListOffsets partition {index}: error {error}"));
            }
            *offsets
                .get_mut(index as usize)
                .ok_or("ListOffsets answered for an unknown partition")? = offset;
        }
        reader.skip_tags()?;
    }
    Ok(())
}

fn write_topic(writer: &mut Writer, version: i16, topic: &Topic) {
    if version < TOPIC_BY_ID {
        writer.compact_string(&topic.name);
    } else {
        writer.raw(&topic.id);
    }
}

fn skip_topic(reader: &mut Reader<'_>, version: i16) -> Result<(), String> {
    let length = if version < TOPIC_BY_ID {
        reader.compact_length()?.unwrap_or(0)
    } else {
        size_of::<TopicId>()
    };
    reader.take(length)?;
    Ok(())
}

/// Encodes a Produce request with the same batch for each of `partitions`.
///
/// Returns the frame and the place of the first partition in it, for patching; the last batch is its tail but for the three
/// bytes of empty tagged fields.
pub fn produce_frame(
    version: i16,
    topic: &Topic,
    partitions: &[i32],
    acks: i16,
    batch: &[u8],
) -> (Vec<u8>, usize) {
    let mut partition_at = 0;
    let bytes = frame(PRODUCE, version, 0, |writer| {
        writer.compact_null(); // no transaction
        writer.i16(acks);
        writer.i32(30_000);
        writer.compact_length(1);
        write_topic(writer, version, topic);
        writer.compact_length(partitions.len());
        for (index, partition) in partitions.iter().enumerate() {
            if index == 0 {
                partition_at = writer.bytes.len();
            }
            writer.i32(*partition);
            writer.compact_length(batch.len());
            writer.raw(batch);
            writer.no_tags();
        }
        writer.no_tags();
        writer.no_tags();
    });
    (bytes, partition_at)
}

/// Bytes after the batch in a produce frame.
pub const PRODUCE_TAIL_BYTES: usize = 3;

/// Calls `each` with every partition and the base offset that the broker gave its batch; `response` starts at the correlation id.
/// Returns how many there were.
pub fn produced_offsets(
    response: &[u8],
    version: i16,
    correlation_id: i32,
    mut each: impl FnMut(i32, i64) -> Result<(), String>,
) -> Result<usize, String> {
    let mut reader = Reader::new(response);
    let answered = reader.i32()?;
    if answered != correlation_id {
        return Err(format!("Produce: correlation id {answered}, expected {correlation_id}"));
    }
    reader.skip_tags()?;
    if reader.compact_length()? != Some(1) {
        return Err("Produce did not answer for one topic".to_owned());
    }
    skip_topic(&mut reader, version)?;
    let count = reader.compact_length()?.unwrap_or(0);
    for _ in 0..count {
        let (partition, error, base_offset) = (reader.i32()?, reader.i16()?, reader.i64()?);
        if error != NONE {
            return Err(format!("Produce partition {partition}: error {error}"));
        }
        each(partition, base_offset)?;
        reader.i64()?; // append time
        reader.i64()?; // log start offset
        for _ in 0..reader.compact_length()?.unwrap_or(0) {
            reader.i32()?;
            reader.compact_string()?;
            reader.skip_tags()?;
        }
        reader.compact_string()?;
        reader.skip_tags()?;
    }
    Ok(count)
}

/// How a Fetch waits and how much it takes.
#[derive(Clone, Copy)]
pub struct FetchLimits {
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
}

/// Encodes a Fetch without a session for one partition, at offset 0.
///
/// Returns the frame and the places of the partition and of the fetch offset in it, for patching.
pub fn fetch_frame(
    version: i16,
    topic: &Topic,
    partition: i32,
    limits: FetchLimits,
) -> (Vec<u8>, FetchPlaces) {
    let mut places = FetchPlaces { partition: 0, offset: 0 };
    let bytes = frame(FETCH, version, 0, |writer| {
        if version < FETCH_WITHOUT_REPLICA {
            writer.i32(-1);
        }
        writer.i32(limits.max_wait_ms);
        writer.i32(limits.min_bytes);
        writer.i32(limits.max_bytes);
        writer.i8(0); // read uncommitted
        writer.i32(0); // no session
        writer.i32(-1);
        writer.compact_length(1);
        write_topic(writer, version, topic);
        writer.compact_length(1);
        places.partition = writer.bytes.len();
        writer.i32(partition);
        writer.i32(-1); // any leader epoch
        places.offset = writer.bytes.len();
        writer.i64(0);
        writer.i32(-1); // no last fetched epoch
        writer.i64(-1); // not a follower
        writer.i32(limits.max_bytes);
        writer.no_tags();
        writer.no_tags();
        writer.compact_length(0); // nothing forgotten
        writer.compact_string(""); // no rack
        writer.no_tags();
    });
    (bytes, places)
}

/// Where a fetch frame has what changes from request to request.
#[derive(Clone, Copy)]
pub struct FetchPlaces {
    pub partition: usize,
    pub offset: usize,
}

/// What stands before the records in a fetch response with one partition.
pub struct FetchHead {
    pub high_watermark: i64,
    /// Place of the first record byte, counted from the correlation id.
    pub records_at: usize,
    pub records_bytes: usize,
}

/// Longest possible head before the records: topic name of 249 bytes and no aborted transactions.
pub const FETCH_HEAD_BYTES: usize = 360;

/// Reads the head of a Fetch response, `response` starting at the correlation id. Bytes of records need not be there.
pub fn fetch_head(response: &[u8], version: i16, correlation_id: i32) -> Result<FetchHead, String> {
    let mut reader = Reader::new(response);
    let answered = reader.i32()?;
    if answered != correlation_id {
        return Err(format!("Fetch: correlation id {answered}, expected {correlation_id}"));
    }
    reader.skip_tags()?;
    reader.i32()?;
    let error = reader.i16()?;
    reader.i32()?;
    if error != NONE || reader.compact_length()? != Some(1) {
        return Err(format!("Fetch: error {error}, or not one topic"));
    }
    skip_topic(&mut reader, version)?;
    if reader.compact_length()? != Some(1) {
        return Err("Fetch did not answer for one partition".to_owned());
    }
    let (partition, error, high_watermark) = (reader.i32()?, reader.i16()?, reader.i64()?);
    if error != NONE {
        return Err(format!("Fetch partition {partition}: error {error}"));
    }
    reader.i64()?; // last stable offset
    reader.i64()?; // log start offset
    let aborted = reader.compact_length()?.unwrap_or(0);
    for _ in 0..aborted {
        reader.i64()?;
        reader.i64()?;
        reader.skip_tags()?;
    }
    reader.i32()?; // preferred read replica
    let records_bytes = reader.compact_length()?.unwrap_or(0);
    Ok(FetchHead { high_watermark, records_at: reader.position(), records_bytes })
}

/// What a Fetch of a session names: partition and fetch offset.
pub type SessionRow = (i32, i64);

/// Encodes a Fetch of a session (KIP-227): epoch 0 opens one with all its partitions, later epochs name those that changed.
pub fn session_fetch_frame(
    version: i16,
    topic: &Topic,
    (session_id, epoch): (i32, i32),
    rows: &[SessionRow],
    limits: FetchLimits,
    partition_max_bytes: i32,
) -> Vec<u8> {
    frame(FETCH, version, 0, |writer| {
        if version < FETCH_WITHOUT_REPLICA {
            writer.i32(-1);
        }
        writer.i32(limits.max_wait_ms);
        writer.i32(limits.min_bytes);
        writer.i32(limits.max_bytes);
        writer.i8(0); // read uncommitted
        writer.i32(session_id);
        writer.i32(epoch);
        writer.compact_length(usize::from(!rows.is_empty()));
        if !rows.is_empty() {
            write_topic(writer, version, topic);
            writer.compact_length(rows.len());
            for (partition, offset) in rows {
                writer.i32(*partition);
                writer.i32(-1); // any leader epoch
                writer.i64(*offset);
                writer.i32(-1); // no last fetched epoch
                writer.i64(-1); // not a follower
                writer.i32(partition_max_bytes);
                writer.no_tags();
            }
            writer.no_tags();
        }
        writer.compact_length(0); // nothing forgotten
        writer.compact_string(""); // no rack
        writer.no_tags();
    })
}

/// Calls `each` with partition, high watermark and records of every row of a Fetch response, `response` being whole and
/// starting at the correlation id. Returns the session's id.
pub fn session_fetch_rows(
    response: &[u8],
    version: i16,
    correlation_id: i32,
    mut each: impl FnMut(i32, i64, &[u8]) -> Result<(), String>,
) -> Result<i32, String> {
    let mut reader = Reader::new(response);
    let answered = reader.i32()?;
    if answered != correlation_id {
        return Err(format!("Fetch: correlation id {answered}, expected {correlation_id}"));
    }
    reader.skip_tags()?;
    reader.i32()?;
    let error = reader.i16()?;
    if error != NONE {
        return Err(format!("Fetch: error {error}"));
    }
    let session_id = reader.i32()?;
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        skip_topic(&mut reader, version)?;
        for _ in 0..reader.compact_length()?.unwrap_or(0) {
            let (partition, error, high_watermark) = (reader.i32()?, reader.i16()?, reader.i64()?);
            if error != NONE {
                return Err(format!("Fetch partition {partition}: error {error}"));
            }
            reader.i64()?; // last stable offset
            reader.i64()?; // log start offset
            for _ in 0..reader.compact_length()?.unwrap_or(0) {
                reader.i64()?;
                reader.i64()?;
                reader.skip_tags()?;
            }
            reader.i32()?; // preferred read replica
            let length = reader.compact_length()?.unwrap_or(0);
            let records = reader.take(length)?;
            reader.skip_tags()?;
            each(partition, high_watermark, records)?;
        }
        reader.skip_tags()?;
    }
    Ok(session_id)
}
