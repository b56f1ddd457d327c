//! The fast lane: lending connections, taking them back, telling it of topics, and reading what it counted.

use std::sync::Arc;

use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use sluice_lane::{Lane, LaneLimits, Returned, Topic, TopicPartition};
use sluice_log::TopicId;

use crate::error::{Result, invalid, unknown};
use crate::slots::SlotTable;
use crate::store::PARTITIONS;
use crate::views::{BytesMut, NumbersMut};
use crate::wake::{callback, ring};
use crate::write::fill;

struct OpenLane {
    lane: Lane,
    /// Came back, and its bytes were not copied yet.
    current: Mutex<Option<Returned>>,
}

static LANES: SlotTable<Arc<OpenLane>> = SlotTable::new();

fn lane_of(lane_id: f64) -> Result<Arc<OpenLane>> {
    LANES.get(lane_id).ok_or_else(|| unknown("the lane"))
}

/// Opens a lane, whose thread starts with the first connection. `on_return` runs on the calling thread when a connection came back,
/// and not again before `laneReturned` found none. It does not keep the event loop alive.
#[napi(catch_unwind)]
pub fn open_lane(
    buffer_bytes: f64,
    send_deadline_ms: f64,
    on_return: Function<'_, (), ()>,
) -> Result<f64> {
    let callback = callback(&on_return)?;
    let limits = LaneLimits {
        buffer_bytes: buffer_bytes as usize,
        send_deadline_ms: send_deadline_ms as u64,
    };
    let lane = Lane::new(limits, move || {
        ring(&callback);
    })
    .map_err(|error| invalid(format!("no lane: {error}")))?;
    LANES
        .insert(Arc::new(OpenLane { lane, current: Mutex::new(None) }))
        .ok_or_else(|| invalid("too many lanes are open"))
}

/// Ends a lane and its thread. Connections that it still has are let go of.
#[napi(catch_unwind)]
pub fn close_lane(lane_id: f64) {
    LANES.remove(lane_id);
}

/// Lends the connection of socket `fd`, known as `token`, with what was received of its next frame. From here on nothing else may read from the socket or write to it until it
/// comes back. `false` when the system has no descriptor or thread for it: then it is not lent.
#[napi(catch_unwind)]
pub fn lane_adopt(lane_id: f64, token: f64, fd: f64, input: &[u8]) -> Result<bool> {
    Ok(lane_of(lane_id)?.lane.adopt(token as u64, fd as i32, input.to_vec()).is_ok())
}

/// Asks for a connection; it comes back as any other.
#[napi(catch_unwind)]
pub fn lane_take_back(lane_id: f64, token: f64) -> Result<()> {
    lane_of(lane_id)?.lane.take_back(token as u64);
    Ok(())
}

/// Lets go of a connection that is being closed. It does not come back.
#[napi(catch_unwind)]
pub fn lane_forget(lane_id: f64, token: f64) -> Result<()> {
    lane_of(lane_id)?.lane.forget(token as u64);
    Ok(())
}

/// The next connection that came back. `out`: token, reason (see `src/transport/fast-lane.ts`), bytes of input that were received
/// and not consumed, bytes of replies that were not sent. `false` when there is none.
#[napi(catch_unwind)]
pub fn lane_returned(
    lane_id: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<bool> {
    let open = lane_of(lane_id)?;
    let next = open.lane.next_returned();
    if let Some(returned) = &next {
        fill(
            &mut out,
            &[
                returned.token as f64,
                f64::from(returned.reason as u8),
                returned.input.len() as f64,
                returned.output.len() as f64,
            ],
        );
    }
    let is_there = next.is_some();
    *open.current.lock() = next;
    Ok(is_there)
}

/// Copies the bytes of the connection that `laneReturned` told of: its input and its replies, into arrays of those lengths.
#[napi(catch_unwind)]
pub fn lane_returned_bytes(
    lane_id: f64,
    #[napi(ts_arg_type = "Uint8Array")] mut input: BytesMut<'_>,
    #[napi(ts_arg_type = "Uint8Array")] mut output: BytesMut<'_>,
) -> Result<()> {
    let Some(returned) = lane_of(lane_id)?.current.lock().take() else {
        return Err(unknown("a connection that came back"));
    };
    if returned.input.len() != input.len() || returned.output.len() != output.len() {
        return Err(invalid("the arrays have other lengths"));
    }
    input.copy_from_slice(&returned.input);
    output.copy_from_slice(&returned.output);
    Ok(())
}

/// Tells the lane of a topic, in the place of the one of its name. `partitions`: handle and leader epoch by index, a handle of -1
/// where the lane must not serve. `token` comes back with the topic's traffic.
#[napi(catch_unwind)]
pub fn lane_put_topic(
    lane_id: f64,
    name: String,
    topic_id: String,
    token: f64,
    partitions: &[f64],
) -> Result<()> {
    let id = TopicId::parse(&topic_id).ok_or_else(|| invalid("the topic id is not valid"))?;
    let partitions = partitions
        .chunks_exact(2)
        .map(|pair| {
            let [handle, leader_epoch] = pair else { return None };
            let log = Arc::clone(&PARTITIONS.get(*handle)?.log);
            Some(TopicPartition { log, handle: *handle, leader_epoch: *leader_epoch as i32 })
        })
        .collect();
    lane_of(lane_id)?.lane.topics().put(Topic {
        name,
        id: id.0,
        token,
        partitions,
        traffic: Arc::default(),
    });
    Ok(())
}

/// Tells the lane the most that an answer to a fetch may hold (`fetch.max.bytes`). Before that it serves no fetch.
#[napi(catch_unwind)]
pub fn lane_bound_fetches(lane_id: f64, max_bytes: f64) -> Result<()> {
    lane_of(lane_id)?.lane.topics().bound_fetches(max_bytes as i64);
    Ok(())
}

/// Tells the lane that a topic is gone.
#[napi(catch_unwind)]
pub fn lane_remove_topic(lane_id: f64, name: String) -> Result<()> {
    lane_of(lane_id)?.lane.topics().remove(&name);
    Ok(())
}

/// Takes what the lane counted since the last call; see `src/transport/fast-lane.ts` for the columns.
#[napi(catch_unwind)]
pub fn lane_take_counts(
    lane_id: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<()> {
    lane_of(lane_id)?.lane.counts().take(&mut out);
    Ok(())
}

/// Takes what the lane did for each topic since the last call: token, records appended, bytes appended, appends refused, bytes fetched.
#[napi(catch_unwind)]
pub fn lane_take_traffic(lane_id: f64) -> Result<Vec<f64>> {
    let mut rows = Vec::new();
    lane_of(lane_id)?.lane.topics().take_traffic(|token, counts| {
        rows.push(token);
        rows.extend(counts.map(|count| count as f64));
    });
    Ok(rows)
}
