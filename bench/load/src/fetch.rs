//! Fetch: reads a topic that the generator filled, round and round.
//!
//! Connection `i` of C reads partition `i mod P`, or, where there are more partitions than connections, partitions `i`, `i + C` … in
//! turn. All batches of the topic have one size and one record count, so the head of a response and its first batch header are
//! enough to know what came; the body stays in the kernel. Now and then a response is taken whole and every CRC, offset
//! and length in it is checked. A batch cut off by the byte limit counts for nothing, as for a real client.

use crate::api::{self, FETCH_HEAD_BYTES, FetchLimits, FetchPlaces, Topic};
use crate::connection::{Response, Wanted};
use crate::engine::{Done, Work};
use crate::produce::BatchShape;
use crate::wire::{BATCH_HEADER_BYTES, Crc32c, batch_header, read_batches};

/// One response in so many is taken whole and checked byte by byte, the first of each connection included.
const WHOLE_EVERY: u64 = 512;

/// How far a connection is.
struct Cursor {
    /// Its partitions and the offset reached in each; the request is about the one at `turn`.
    places: Vec<(i32, i64)>,
    turn: usize,
    at: FetchPlaces,
    responses: u64,
}

pub struct Fetch {
    version: i16,
    topic: Topic,
    partitions: i32,
    limits: FetchLimits,
    shape: BatchShape,
    batch_bytes: usize,
    /// End of each partition; a cursor that reaches it starts again at 0.
    end_offsets: Vec<i64>,
    connections: usize,
    cursors: Vec<Cursor>,
    crc: Crc32c,
}

impl Fetch {
    pub fn new(
        version: i16,
        topic: Topic,
        limits: FetchLimits,
        shape: BatchShape,
        batch_bytes: usize,
        end_offsets: Vec<i64>,
        connections: usize,
    ) -> Self {
        Self {
            version,
            topic,
            partitions: end_offsets.len() as i32,
            limits,
            shape,
            batch_bytes,
            end_offsets,
            connections,
            cursors: Vec::new(),
            crc: Crc32c::new(),
        }
    }
}

impl Work for Fetch {
    fn request(&mut self, connection: usize) -> Vec<u8> {
        let first = connection as i32 % self.partitions;
        let (frame, at) = api::fetch_frame(self.version, &self.topic, first, self.limits);
        // Connections start spread over the log, at a batch's base offset.
        let per_batch = self.shape.records as i64;
        let start = |partition: i32| {
            let batches = self.end_offsets[partition as usize] / per_batch;
            batches * connection as i64 / self.connections as i64 * per_batch
        };
        let places = if self.partitions as usize > self.connections {
            let own = (first..self.partitions).step_by(self.connections);
            own.map(|partition| (partition, start(partition))).collect()
        } else {
            vec![(first, start(first))]
        };
        self.cursors.push(Cursor { places, turn: 0, at, responses: 0 });
        frame
    }

    fn prepare(&mut self, connection: usize, request: &mut Vec<u8>) {
        let cursor = &self.cursors[connection];
        let (partition, offset) = cursor.places[cursor.turn];
        request[cursor.at.partition..cursor.at.partition + 4]
            .copy_from_slice(&partition.to_be_bytes());
        request[cursor.at.offset..cursor.at.offset + 8].copy_from_slice(&offset.to_be_bytes());
    }

    fn wanted(&self, connection: usize) -> Wanted {
        if self.cursors[connection].responses.is_multiple_of(WHOLE_EVERY) {
            Wanted::Whole
        } else {
            Wanted::Head(FETCH_HEAD_BYTES + BATCH_HEADER_BYTES)
        }
    }

    fn check(
        &mut self,
        connection: usize,
        response: &Response<'_>,
        _request_bytes: usize,
    ) -> Result<Done, String> {
        let is_whole = self.wanted(connection) == Wanted::Whole;
        let cursor = &mut self.cursors[connection];
        cursor.responses += 1;
        let head = api::fetch_head(response.bytes, self.version, response.request.correlation_id)?;
        let (partition, offset) = cursor.places[cursor.turn];
        let end = self.end_offsets[partition as usize];
        if head.high_watermark != end {
            return Err(format!(
                "Fetch: high watermark {}, filled up to {end}",
                head.high_watermark
            ));
        }
        let records = response.bytes.get(head.records_at..).unwrap_or_default();
        let Some(first) = batch_header(records) else {
            return Err(format!("Fetch at {offset}: {} bytes of records", head.records_bytes));
        };
        let per_batch = self.shape.records as i64;
        let batches = head.records_bytes / self.batch_bytes;
        if first.base_offset != offset
            || first.batch_bytes != self.batch_bytes
            || first.record_count != per_batch
            || batches == 0
            || head.records_bytes + head.records_at > response.frame_bytes
        {
            return Err(format!(
                "Fetch at {offset}: {} bytes of records; first batch at {} of {} bytes with {} records",
                head.records_bytes, first.base_offset, first.batch_bytes, first.record_count
            ));
        }
        let came = batches as i64 * per_batch;
        if is_whole {
            let mut expected = offset;
            let value_bytes = self.shape.value_bytes;
            let body = records
                .get(..head.records_bytes)
                .ok_or("Fetch: records end before their length")?;
            let seen = read_batches(&self.crc, body, |at, value| {
                if at != expected || value.len() != value_bytes {
                    return Err(format!(
                        "Fetch: record {at} of {} bytes, expected {expected}",
                        value.len()
                    ));
                }
                expected += 1;
                Ok(())
            })?;
            if seen as i64 != came {
                return Err(format!("Fetch at {offset}: {seen} records read, {came} expected"));
            }
        }
        cursor.places[cursor.turn].1 = if offset + came >= end { 0 } else { offset + came };
        cursor.turn = (cursor.turn + 1) % cursor.places.len();
        Ok(Done {
            records: came as u64,
            value_bytes: batches as u64 * self.shape.total_value_bytes(),
            wire_bytes: response.frame_bytes as u64,
        })
    }
}
