//! Consumers that do not read: each connection asks for a fetch, several times over, and takes nothing of what comes.

use std::io::Write;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{self, FetchLimits, Topic};
use crate::engine::Plan;

/// Requests that each connection sends at once.
const REQUESTS: usize = 3;

/// Opens the connections, sends, and holds them for the measured time.
pub fn run(
    plan: &Plan,
    version: i16,
    topic: &Topic,
    limits: FetchLimits,
    connections: usize,
) -> Result<Value, String> {
    let started = Instant::now();
    let partitions = topic.leaders.len().max(1);
    let mut held = Vec::with_capacity(connections);
    for index in 0..connections {
        let at = index % partitions;
        let (frame, _) = api::fetch_frame(version, topic, at as i32, limits);
        let mut stream =
            TcpStream::connect(plan.address(index)?).map_err(|error| error.to_string())?;
        stream.write_all(&frame.repeat(REQUESTS)).map_err(|error| error.to_string())?;
        held.push(stream);
    }
    let until = started + plan.measured;
    while Instant::now() < until {
        sleep(Duration::from_millis(20));
    }
    Ok(json!({ "isValid": true, "connections": held.len() }))
}
