//! What surrounds a run: versions, topics, metadata, end offsets.

use sluice_load::api::{self};
use sluice_load::wire::{Reader, Writer};

use crate::Answer;
use crate::server::{answer, seal};
use crate::topics::Shared;

const NODE_ID: i32 = 1;
/// Versions that it has of each API: the highest that the generator speaks.
pub const VERSIONS: [(i16, i16); 7] = [
    (api::PRODUCE, api::PRODUCE_VERSIONS.1),
    (api::FETCH, api::FETCH_VERSIONS.1),
    (api::LIST_OFFSETS, api::LIST_OFFSETS_VERSION),
    (api::METADATA, api::METADATA_VERSION),
    (api::API_VERSIONS, api::API_VERSIONS_VERSION),
    (api::CREATE_TOPICS, api::CREATE_TOPICS_VERSION),
    (api::DELETE_TOPICS, api::DELETE_TOPICS_VERSION),
];

/// ApiVersions is answered with header v0, whatever version was asked: version 0 to those who ask for it, else 3.
pub fn api_versions(correlation_id: i32, version: i16) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.i32(0);
    writer.i32(correlation_id);
    writer.i16(api::NONE);
    if version < api::API_VERSIONS_VERSION {
        writer.i32(VERSIONS.len() as i32);
    } else {
        writer.compact_length(VERSIONS.len());
    }
    for (key, highest) in VERSIONS {
        writer.i16(key);
        writer.i16(if key == api::API_VERSIONS { 0 } else { highest });
        writer.i16(highest);
        if version >= api::API_VERSIONS_VERSION {
            writer.no_tags();
        }
    }
    if version >= api::API_VERSIONS_VERSION {
        writer.i32(0);
        writer.no_tags();
    }
    seal(writer.bytes, 0)
}

pub fn create_topic(shared: &Shared, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
    let mut reader = Reader::new(body);
    reader.compact_length()?;
    let name = reader.compact_string()?.unwrap_or_default();
    let (partitions, replication) = (reader.i32()?, reader.i16()?);
    reader.compact_length()?; // no assignment
    let mut is_synced = false;
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        let key = reader.compact_string()?.unwrap_or_default();
        let value = reader.compact_string()?.unwrap_or_default();
        reader.skip_tags()?;
        is_synced |= key == "flush.messages" && value == "1";
    }
    let id = shared.create(name.clone(), partitions, is_synced)?;
    Ok(answer(correlation_id, |writer| {
        writer.i32(0);
        writer.compact_length(1);
        writer.compact_string(&name);
        writer.raw(&id);
        writer.i16(api::NONE);
        writer.compact_null();
        writer.i32(partitions);
        writer.i16(replication);
        writer.compact_length(0);
        writer.no_tags();
        writer.no_tags();
    }))
}

pub fn delete_topic(shared: &Shared, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
    let mut reader = Reader::new(body);
    reader.compact_length()?;
    let name = reader.compact_string()?.unwrap_or_default();
    let id = shared.delete(&name)?;
    Ok(answer(correlation_id, |writer| {
        writer.i32(0);
        writer.compact_length(1);
        writer.compact_string(&name);
        writer.raw(&id);
        writer.i16(api::NONE);
        writer.compact_null();
        writer.no_tags();
        writer.no_tags();
    }))
}

pub fn metadata(shared: &Shared, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
    let mut reader = Reader::new(body);
    reader.compact_length()?;
    reader.uuid()?;
    let name = reader.compact_string()?.unwrap_or_default();
    let (id, topic) = shared.named(&name)?;
    let (port, partitions) = (shared.port, topic.partitions.len());
    Ok(answer(correlation_id, |writer| {
        writer.i32(0);
        writer.compact_length(1);
        writer.i32(NODE_ID);
        writer.compact_string("127.0.0.1");
        writer.i32(i32::from(port));
        writer.compact_null();
        writer.no_tags();
        writer.compact_null(); // no cluster id
        writer.i32(NODE_ID);
        writer.compact_length(1);
        writer.i16(api::NONE);
        writer.compact_string(&name);
        writer.raw(&id);
        writer.i8(0);
        writer.compact_length(partitions);
        for index in 0..partitions {
            writer.i16(api::NONE);
            writer.i32(index as i32);
            writer.i32(NODE_ID);
            writer.i32(0);
            for nodes in [1, 1, 0] {
                writer.compact_length(nodes);
                for _ in 0..nodes {
                    writer.i32(NODE_ID);
                }
            }
            writer.no_tags();
        }
        writer.i32(i32::MIN);
        writer.no_tags();
        writer.no_tags();
    }))
}

pub fn list_offsets(shared: &Shared, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
    let mut reader = Reader::new(body);
    reader.i32()?;
    reader.i8()?;
    reader.compact_length()?;
    let name = reader.compact_string()?.unwrap_or_default();
    let (_, topic) = shared.named(&name)?;
    let mut asked = Vec::new();
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        let index = reader.i32()?;
        reader.i32()?;
        reader.i64()?;
        reader.skip_tags()?;
        asked.push((index, topic.partition(index)?.next_offset));
    }
    Ok(answer(correlation_id, |writer| {
        writer.i32(0);
        writer.compact_length(1);
        writer.compact_string(&name);
        writer.compact_length(asked.len());
        for (index, offset) in asked {
            writer.i32(index);
            writer.i16(api::NONE);
            writer.i64(-1);
            writer.i64(offset);
            writer.i32(0);
            writer.no_tags();
        }
        writer.no_tags();
        writer.no_tags();
    }))
}
