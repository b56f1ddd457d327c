//! Fetch with a session over many partitions: what a consumer of a wide topic sends.
//!
//! The first request of a connection opens a session with all its partitions; each later one names only those whose offset
//! moved, which are those that the answer before had records of (KIP-227). Of the partitions some are hot: they have records
//! ahead and are read round and round. The others stand at their end. Every answer is taken whole and every row checked.

use crate::api::{self, FetchLimits, SessionRow, Topic};
use crate::connection::{Response, Wanted};
use crate::engine::{Done, Work};
use crate::produce::BatchShape;
use crate::wire::batch_header;

/// How far a connection is.
struct Session {
    id: i32,
    epoch: i32,
    /// Offset reached, by partition.
    offsets: Vec<i64>,
    /// Named in the next request.
    changed: Vec<SessionRow>,
}

/// What is read, and how.
pub struct Reading {
    pub version: i16,
    pub topic: Topic,
    pub limits: FetchLimits,
    pub shape: BatchShape,
    pub batch_bytes: usize,
    /// End of each partition; a hot one that reaches it starts again at 0.
    pub end_offsets: Vec<i64>,
    /// The first so many partitions are hot.
    pub hot: usize,
}

pub struct SessionFetch {
    reading: Reading,
    sessions: Vec<Session>,
}

impl SessionFetch {
    pub fn new(reading: Reading) -> Self {
        Self { reading, sessions: Vec::new() }
    }

    fn encode(&self, session: &Session) -> Vec<u8> {
        api::session_fetch_frame(
            self.reading.version,
            &self.reading.topic,
            (session.id, session.epoch),
            &session.changed,
            self.reading.limits,
            self.reading.batch_bytes as i32,
        )
    }
}

impl Work for SessionFetch {
    fn request(&mut self, connection: usize) -> Vec<u8> {
        let reading = &self.reading;
        let ends = reading.end_offsets.iter().enumerate();
        let offsets: Vec<i64> =
            ends.map(|(at, end)| if at < reading.hot { 0 } else { *end }).collect();
        let changed = offsets.iter().enumerate().map(|(at, offset)| (at as i32, *offset)).collect();
        debug_assert_eq!(self.sessions.len(), connection);
        let session = Session { id: 0, epoch: 0, offsets, changed };
        let frame = self.encode(&session);
        self.sessions.push(session);
        frame
    }

    fn prepare(&mut self, connection: usize, request: &mut Vec<u8>) {
        let frame = self.encode(&self.sessions[connection]);
        *request = frame;
    }

    fn wanted(&self, _connection: usize) -> Wanted {
        Wanted::Whole
    }

    fn check(
        &mut self,
        connection: usize,
        response: &Response<'_>,
        _request_bytes: usize,
    ) -> Result<Done, String> {
        let reading = &self.reading;
        let session = &mut self.sessions[connection];
        let (offsets, changed) = (&mut session.offsets, &mut session.changed);
        changed.clear();
        let per_batch = reading.shape.records as i64;
        let mut batches = 0;
        let id = api::session_fetch_rows(
            response.bytes,
            reading.version,
            response.request.correlation_id,
            |partition, high_watermark, records| {
                let index = partition as usize;
                let (Some(end), Some(offset)) =
                    (reading.end_offsets.get(index).copied(), offsets.get_mut(index))
                else {
                    return Err(format!("Fetch: partition {partition} was not asked for"));
                };
                if high_watermark != end {
                    return Err(format!(
                        "Fetch: high watermark {high_watermark}, filled up to {end}"
                    ));
                }
                if records.is_empty() {
                    return Ok(());
                }
                let whole = records.len() / reading.batch_bytes;
                let first = batch_header(records).ok_or("Fetch: no batch")?;
                if index >= reading.hot
                    || whole == 0
                    || first.base_offset != *offset
                    || first.batch_bytes != reading.batch_bytes
                    || first.record_count != per_batch
                {
                    return Err(format!(
                        "Fetch of partition {partition} at {offset}: a batch at {} of {} bytes with {} records",
                        first.base_offset, first.batch_bytes, first.record_count
                    ));
                }
                batches += whole;
                *offset += whole as i64 * per_batch;
                if *offset >= end {
                    *offset = 0;
                }
                changed.push((partition, *offset));
                Ok(())
            },
        )?;
        if id == 0 || (session.id != 0 && id != session.id) {
            return Err(format!("Fetch: session {id} after {}", session.id));
        }
        session.id = id;
        session.epoch += 1;
        Ok(Done {
            records: (batches * reading.shape.records) as u64,
            value_bytes: batches as u64 * reading.shape.total_value_bytes(),
            wire_bytes: response.frame_bytes as u64,
        })
    }
}
