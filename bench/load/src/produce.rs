//! Produce: one batch for one partition a request, or one for each of several, the same bytes each time.
//!
//! Connection `i` of C writes to partition `i mod P`; where there are more partitions than connections, to partitions
//! `i`, `i + C`, `i + 2C` … in turn. With K partitions a request connection `i` writes to the K from `i * K` on, always the same. Checked: error code, correlation id, that base offsets of one connection in one partition
//! rise by at least a batch, and, after the run, that the log grew by exactly what was acknowledged.

use crate::api::{self, PRODUCE_TAIL_BYTES, Topic};
use crate::codec::Codec;
use crate::connection::{Response, Wanted};
use crate::engine::{Done, Work};
use crate::wire::{Crc32c, Random, encode_batch};

/// What a batch holds.
#[derive(Clone, Copy)]
pub struct BatchShape {
    pub records: usize,
    pub value_bytes: usize,
    pub codec: Codec,
}

/// Words that compressible values are made of.
const WORDS: usize = 256;

impl BatchShape {
    pub fn total_value_bytes(self) -> u64 {
        (self.records * self.value_bytes) as u64
    }

    /// Encodes a batch of this shape, values drawn from `seed`: printable noise, or words where they are to be compressed.
    pub fn encode(self, seed: u64, timestamp_ms: i64) -> Result<Vec<u8>, String> {
        let mut random = Random::new(seed);
        let words = random.words(WORDS);
        let value = |_| match self.codec {
            Codec::None => random.value(self.value_bytes),
            Codec::Lz4 | Codec::Zstd => random.text(&words, self.value_bytes),
        };
        let values: Vec<Vec<u8>> = (0..self.records).map(value).collect();
        encode_batch(&Crc32c::new(), self.codec, timestamp_ms, &values)
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
    connections: usize,
    /// Partitions a request.
    together: usize,
    partition_at: usize,
    /// By connection: requests sent so far, for the turns of partitions.
    sent: Vec<usize>,
    /// Lowest base offset that the next response may carry: by partition where each has one connection, else by connection.
    next_offset: Vec<i64>,
    /// Batches acknowledged, by partition.
    acknowledged: Vec<u64>,
}

impl Produce {
    // The numbers of one load, named where it is made of the options.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        version: i16,
        topic: Topic,
        partitions: i32,
        acks: i16,
        shape: BatchShape,
        seed: u64,
        connections: usize,
        together: usize,
    ) -> Result<Self, String> {
        if (partitions as usize > connections || together > 1)
            && topic.leaders.windows(2).any(|two| two[0] != two[1])
        {
            return Err("fewer connections than partitions need one leader for all".to_owned());
        }
        Ok(Self {
            version,
            topic,
            partitions,
            acks,
            shape,
            batch: shape.encode(seed, wall_ms())?,
            connections,
            together,
            partition_at: 0,
            sent: vec![0; connections],
            next_offset: vec![0; (connections * together).max(partitions as usize)],
            acknowledged: vec![0; partitions as usize],
        })
    }

    pub fn batch_bytes(&self) -> usize {
        self.batch.len()
    }

    /// The partitions of each request of a connection, where it has more than one.
    fn group(&self, connection: usize) -> Vec<i32> {
        let first = connection * self.together;
        (first..first + self.together).map(|at| (at % self.partitions as usize) as i32).collect()
    }

    /// Whether connections have turns of several partitions, one a request.
    fn has_turns(&self) -> bool {
        self.together == 1 && self.partitions as usize > self.connections
    }

    /// The partition of a connection's request number `turn`.
    fn partition(&self, connection: usize, turn: usize) -> i32 {
        let partitions = self.partitions as usize;
        if partitions <= self.connections {
            return (connection % partitions) as i32;
        }
        let own = (partitions - connection).div_ceil(self.connections);
        (connection + turn % own * self.connections) as i32
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
        let partitions = if self.together == 1 {
            vec![self.partition(connection, 0)]
        } else {
            self.group(connection)
        };
        let (frame, partition_at) =
            api::produce_frame(self.version, &self.topic, &partitions, self.acks, &self.batch);
        self.partition_at = partition_at;
        debug_assert!(frame[..frame.len() - PRODUCE_TAIL_BYTES].ends_with(&self.batch));
        frame
    }

    fn prepare(&mut self, connection: usize, request: &mut Vec<u8>) {
        if self.has_turns() {
            let partition = self.partition(connection, self.sent[connection]);
            self.sent[connection] += 1;
            request[self.partition_at..self.partition_at + 4]
                .copy_from_slice(&partition.to_be_bytes());
        }
    }

    fn wanted(&self, _connection: usize) -> Wanted {
        Wanted::Whole
    }

    fn check(
        &mut self,
        connection: usize,
        response: &Response<'_>,
        request_bytes: usize,
    ) -> Result<Done, String> {
        let has_turns = self.has_turns();
        let (together, connections, partitions) =
            (self.together, self.connections, self.partitions);
        let records = self.shape.records as i64;
        let fixed = self.partition(connection, 0);
        // Partitions are answered in any order.
        let slot_of = |partition: i32| {
            (partition - (connection * together) as i32).rem_euclid(partitions) as usize
        };
        let (next_offset, acknowledged) = (&mut self.next_offset, &mut self.acknowledged);
        let answered = api::produced_offsets(
            response.bytes,
            self.version,
            response.request.correlation_id,
            |partition, base_offset| {
                let is_own = if has_turns {
                    (0..partitions).contains(&partition)
                        && partition as usize % connections == connection
                } else if together > 1 {
                    slot_of(partition) < together
                } else {
                    partition == fixed
                };
                if !is_own {
                    return Err(format!(
                        "Produce: connection {connection} was answered for {partition}"
                    ));
                }
                let row = match (has_turns, together) {
                    (true, _) => partition as usize,
                    (false, 1) => connection,
                    (false, _) => connection * together + slot_of(partition),
                };
                let lowest = next_offset[row];
                if base_offset < lowest {
                    return Err(format!(
                        "Produce: base offset {base_offset} after {lowest} was reached"
                    ));
                }
                next_offset[row] = base_offset + records;
                acknowledged[partition as usize] += 1;
                Ok(())
            },
        )?;
        if answered != together {
            return Err(format!("Produce: {answered} partitions answered, {together} asked"));
        }
        Ok(Done {
            records: (self.shape.records * together) as u64,
            value_bytes: self.shape.total_value_bytes() * together as u64,
            wire_bytes: request_bytes as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_gets_its_turn_and_one_connection_only() -> Result<(), String> {
        let topic = Topic { name: "t".to_owned(), id: [0; 16], leaders: vec!["h:1".to_owned(); 7] };
        let shape = BatchShape { records: 1, value_bytes: 1, codec: Codec::None };
        let made = |connections| Produce::new(13, topic.clone(), 7, 1, shape, 1, connections, 1);
        let few = made(3)?;
        let turns = |connection: usize| {
            (0..4).map(|turn| few.partition(connection, turn)).collect::<Vec<_>>()
        };
        assert_eq!([turns(0), turns(1), turns(2)], [[0, 3, 6, 0], [1, 4, 1, 4], [2, 5, 2, 5]]);
        let many = made(9)?;
        assert_eq!((many.partition(8, 0), many.partition(8, 5)), (1, 1));
        let mut spread = topic.clone();
        spread.leaders[3] = "h:2".to_owned();
        assert!(Produce::new(13, spread, 7, 1, shape, 1, 3, 1).is_err());
        let wide = Produce::new(13, topic, 7, 1, shape, 1, 2, 4)?;
        assert_eq!([wide.group(0), wide.group(1)], [[0, 1, 2, 3], [4, 5, 6, 0]]);
        Ok(())
    }
}
