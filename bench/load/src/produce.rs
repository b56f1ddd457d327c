//! Produce: one batch for one partition a request, the same bytes each time.
//!
//! Connection `i` writes to partition `i mod P`. Checked: error code, correlation id, that base offsets of one connection
//! rise by at least a batch, and, after the run, that the log grew by exactly what was acknowledged.

use crate::api::{self, PRODUCE_TAIL_BYTES, Topic};
use crate::connection::{Response, Wanted};
use crate::engine::{Done, Work};
use crate::wire::{Crc32c, Random, encode_batch};

/// What a batch holds.
#[derive(Clone, Copy)]
pub struct BatchShape {
    pub records: usize,
    pub value_bytes: usize,
}

impl BatchShape {
    pub fn total_value_bytes(self) -> u64 {
        (self.records * self.value_bytes) as u64
    }

    /// Encodes a batch of this shape, values drawn from `seed`.
    pub fn encode(self, seed: u64, timestamp_ms: i64) -> Vec<u8> {
        let mut random = Random::new(seed);
        let values: Vec<Vec<u8>> =
            (0..self.records).map(|_| random.value(self.value_bytes)).collect();
        encode_batch(&Crc32c::new(), timestamp_ms, &values)
    }
}

/// Wall clock in milliseconds, as records carry it.
pub fn wall_ms() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |since| since.as_millis() as i64)
}

pub struct Produce {
    version: i16,
    topic: Topic,
    partitions: i32,
    acks: i16,
    shape: BatchShape,
    batch: Vec<u8>,
    /// By connection: lowest base offset that its next response may carry.
    next_offset: Vec<i64>,
    /// Batches acknowledged, by partition.
    acknowledged: Vec<u64>,
}

impl Produce {
    pub fn new(
        version: i16,
        topic: Topic,
        partitions: i32,
        acks: i16,
        shape: BatchShape,
        seed: u64,
    ) -> Self {
        Self {
            version,
            topic,
            partitions,
            acks,
            shape,
            batch: shape.encode(seed, wall_ms()),
            next_offset: Vec::new(),
            acknowledged: vec![0; partitions as usize],
        }
    }

    pub fn batch_bytes(&self) -> usize {
        self.batch.len()
    }

    fn partition(&self, connection: usize) -> i32 {
        connection as i32 % self.partitions
    }

    /// Compares what was acknowledged with the end offsets of a topic that was empty before.
    pub fn verify(&self, end_offsets: &[i64]) -> Result<(), String> {
        for (partition, (end, batches)) in end_offsets.iter().zip(&self.acknowledged).enumerate() {
            let acknowledged = *batches as i64 * self.shape.records as i64;
            if *end != acknowledged {
                return Err(format!(
                    "partition {partition}: {acknowledged} records acknowledged, log ends at {end}"
                ));
            }
        }
        Ok(())
    }
}

impl Work for Produce {
    fn request(&mut self, connection: usize) -> Vec<u8> {
        self.next_offset.resize(self.next_offset.len().max(connection + 1), 0);
        let partition = self.partition(connection);
        let frame =
            api::produce_frame(self.version, &self.topic, partition, self.acks, &self.batch);
        debug_assert!(frame[..frame.len() - PRODUCE_TAIL_BYTES].ends_with(&self.batch));
        frame
    }

    fn prepare(&mut self, _connection: usize, _request: &mut Vec<u8>) {}

    fn wanted(&self, _connection: usize) -> Wanted {
        Wanted::Whole
    }

    fn check(
        &mut self,
        connection: usize,
        response: &Response<'_>,
        request_bytes: usize,
    ) -> Result<Done, String> {
        let base_offset =
            api::produced_offset(response.bytes, self.version, response.request.correlation_id)?;
        let lowest = self.next_offset[connection];
        if base_offset < lowest {
            return Err(format!("Produce: base offset {base_offset} after {lowest} was reached"));
        }
        self.next_offset[connection] = base_offset + self.shape.records as i64;
        let partition = self.partition(connection) as usize;
        self.acknowledged[partition] += 1;
        Ok(Done {
            records: self.shape.records as u64,
            value_bytes: self.shape.total_value_bytes(),
            wire_bytes: request_bytes as u64,
        })
    }
}
