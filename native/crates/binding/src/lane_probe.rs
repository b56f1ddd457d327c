//! One frame through the code of the fast lane, without a lane: for tests that compare its answers with TypeScript's.

use std::sync::Arc;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use serde::Deserialize;
use sluice_lane::topics::Traffic;
use sluice_lane::{
    Counts, Header, Peer, ReplyBuffer, Scene, Served, Topic, TopicPartition, Topics,
};
use sluice_log::TopicId;

use crate::error::{Result, invalid};
use crate::store::PARTITIONS;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProbeTopic {
    name: String,
    topic_id: String,
    /// Handles by index.
    handles: Vec<f64>,
}

/// Serves a frame (without its size) as a lane that leads these topics would: `topics` is JSON `[{ name, topicId, handles }]`. Returns
/// the whole reply with its size, empty for a request without one, null for a frame that is not the lane's.
#[napi(catch_unwind)]
pub fn lane_answer(
    topics: String,
    fetch_max_bytes: f64,
    frame: &[u8],
    now_ms: f64,
) -> Result<Option<Uint8Array>> {
    let known: Vec<ProbeTopic> =
        serde_json::from_str(&topics).map_err(|error| invalid(error.to_string()))?;
    let table = Topics::default();
    table.bound_fetches(fetch_max_bytes as i64);
    for topic in known {
        let id = TopicId::parse(&topic.topic_id).ok_or_else(|| invalid("no topic id"))?;
        let partitions = topic.handles.iter().map(|&handle| {
            let partition = PARTITIONS.get(handle)?;
            let leader_epoch = partition.log.state().leader_epoch;
            Some(TopicPartition { log: Arc::clone(&partition.log), handle, leader_epoch })
        });
        table.put(Topic {
            partitions: partitions.collect(),
            name: topic.name,
            id: id.0,
            token: 0.0,
            traffic: Arc::new(Traffic::default()),
        });
    }
    let counts = Counts::default();
    let scene = Scene { topics: &table, counts: &counts, now_ms: now_ms as i64 };
    let mut reply = ReplyBuffer::new();
    let mut frame = frame.to_vec();
    let Some(header) = Header::parse(&frame) else { return Ok(None) };
    Ok(match sluice_lane::serve(&mut frame, &header, &scene, &mut Peer::default(), &mut reply) {
        Served::Reply => Some(whole(&reply)?.into()),
        Served::NoReply => Some(Vec::new().into()),
        Served::Waits => return Err(invalid("the answer waits")),
        Served::Close => return Err(invalid("the lane closes the connection")),
        Served::NotMine if reply.is_empty() => None,
        Served::NotMine => return Err(invalid("the lane left something in the reply")),
    })
}

/// The bytes of a reply with its slices between them.
fn whole(reply: &ReplyBuffer) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut from = 0;
    for (at, slice) in reply.slices() {
        bytes.extend_from_slice(reply.bytes().get(from..*at).unwrap_or_default());
        from = *at;
        let mut records = vec![0; slice.length as usize];
        let got = slice.read_into(0, &mut records).map_err(|error| invalid(error.to_string()))?;
        bytes.extend_from_slice(records.get(..got).unwrap_or_default());
    }
    bytes.extend_from_slice(reply.bytes().get(from..).unwrap_or_default());
    Ok(bytes)
}
