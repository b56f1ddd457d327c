//! Producer state: what a partition remembers of idempotent and transactional producers, and its snapshot file.
//!
//! Per producer: epoch, the last five batches (a retry of one of them is answered with its first offset), the coordinator's epoch
//! and the first offset of an open transaction. The state is what replaying the log gives; a `.snapshot` file saves the replay:
//!
//! ```text
//! 0 version i16 = 1 | 2 CRC-32C u32 of everything from 6 | 6 count i32 | entries of 46 bytes:
//! producer id i64, epoch i16, last sequence i32, last offset i64, offset delta i32, timestamp i64, coordinator epoch i32,
//! first offset of the open transaction i64 (-1: none)
//! earlier batches: count i32 | records of 32 bytes: producer id i64, last sequence i32, last offset i64, offset delta i32,
//! timestamp i64; oldest first
//! ```
//!
//! Kafka's file ends before the earlier batches and holds only the last one of each producer, so that after a restart it answers the
//! retry of an earlier one with OUT_OF_ORDER_SEQUENCE_NUMBER for good. It reads past what follows its entries.
//!
//! A read-committed reader sees up to the last stable offset: before the first record of any transaction that is open, or whose
//! marker is not below the high watermark.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::batch::{BatchHeader, array_at, crc32c, decrement_sequence, i16_at, i32_at, i64_at};
use crate::error::{AppendError, KafkaCode};
use crate::types::{Origin, ProducerDescription};

/// Batches remembered per producer.
const WINDOW_BATCHES: usize = 5;
const SNAPSHOT_VERSION: i16 = 1;
const SNAPSHOT_HEADER_BYTES: usize = 10;
const SNAPSHOT_ENTRY_BYTES: usize = 46;
const SNAPSHOT_EARLIER_BYTES: usize = 32;
const NO_EPOCH: i16 = -1;
const NO_SEQUENCE: i32 = -1;

/// A batch in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BatchMetadata {
    pub last_sequence: i32,
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp: i64,
}

impl BatchMetadata {
    fn first_sequence(&self) -> i32 {
        decrement_sequence(self.last_sequence, self.offset_delta)
    }

    /// Offset of the batch's first record.
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ProducerEntry {
    pub epoch: i16,
    pub batches: VecDeque<BatchMetadata>,
    pub coordinator_epoch: i32,
    pub last_timestamp: i64,
    pub txn_first_offset: Option<i64>,
}

impl ProducerEntry {
    fn new(epoch: i16) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            coordinator_epoch: -1,
            last_timestamp: -1,
            txn_first_offset: None,
        }
    }

    fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn last_offset(&self) -> i64 {
        self.batches.back().map_or(-1, |batch| batch.last_offset)
    }

    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// A transaction that a marker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CompletedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    pub is_aborted: bool,
}

/// The end-of-transaction marker in a control batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct EndMarker {
    pub is_commit: bool,
    pub coordinator_epoch: i32,
    pub timestamp: i64,
}

/// All producers of a partition.
#[derive(Debug, Clone, Default)]
pub struct ProducerStates {
    producers: HashMap<i64, ProducerEntry>,
    /// First offset of each open transaction.
    ongoing: BTreeSet<i64>,
    /// Ended transactions whose marker is not yet below the high watermark: first offset to marker offset.
    unreplicated: BTreeMap<i64, i64>,
    /// Replayed up to here.
    pub map_end_offset: i64,
}

impl ProducerStates {
    /// Nobody known; replay begins at this offset.
    pub fn starting_at(map_end_offset: i64) -> Self {
        Self { map_end_offset, ..Self::default() }
    }

    /// Producers known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// No producer is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// What is known of one producer.
    pub fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    /// The batch that this one repeats, if it is in the window.
    pub fn find_duplicate(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        let entry = self.producers.get(&header.producer_id)?;
        if entry.epoch != header.producer_epoch {
            return None;
        }
        let last_sequence = header.last_sequence();
        entry
            .batches
            .iter()
            .find(|batch| {
                batch.first_sequence() == header.base_sequence
                    && batch.last_sequence == last_sequence
            })
            .copied()
    }

    /// Checks epoch and sequence of a data batch from a producer.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE. Nothing changed.
    pub fn check(
        &self,
        header: &BatchHeader,
        origin: Origin,
        label: &str,
    ) -> Result<(), AppendError> {
        let (id, offset) = (header.producer_id, header.base_offset);
        let known = self.producers.get(&id);
        // An unknown producer counts as one of no epoch, which no epoch may lie below.
        let last_epoch = known.map_or(NO_EPOCH, |entry| entry.epoch);
        if header.producer_epoch < last_epoch && origin != Origin::RawFollower {
            return Err(AppendError::new(
                KafkaCode::INVALID_PRODUCER_EPOCH,
                format!(
                    "Epoch of producer {id} at offset {offset} in {label} is {}, which is smaller than the last seen epoch {}",
                    header.producer_epoch, last_epoch
                ),
            ));
        }
        let Some(entry) = known else { return Ok(()) };
        if origin == Origin::Client {
            let first = header.base_sequence;
            if header.producer_epoch != entry.epoch {
                if first != 0 && entry.epoch != NO_EPOCH {
                    return Err(AppendError::new(
                        KafkaCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
                        format!(
                            "Invalid sequence number for new epoch of producer {id} at offset {offset} in partition {label}: {} \
                             (request epoch), {first} (seq. number), {} (current producer epoch)",
                            header.producer_epoch, entry.epoch
                        ),
                    ));
                }
            } else if entry.epoch != NO_EPOCH && !is_next(entry.last_sequence(), first) {
                return Err(AppendError::new(
                    KafkaCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
                    format!(
                        "Out of order sequence number for producer {id} at offset {offset} in partition {label}: {first} \
                         (incoming seq. number), {} (current end sequence number)",
                        entry.last_sequence()
                    ),
                ));
            }
        }
        if entry.txn_first_offset.is_some()
            && !header.is_transactional()
            && origin != Origin::RawFollower
        {
            return Err(AppendError::new(
                KafkaCode::INVALID_TXN_STATE,
                format!(
                    "Expected transactional write from producer {id} at offset {offset} in partition {label}"
                ),
            ));
        }
        Ok(())
    }

    /// Notes a data batch that was written (offsets assigned).
    pub fn append(&mut self, header: &BatchHeader) {
        if !header.has_producer_id() {
            return;
        }
        let entry = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        entry.set_epoch(header.producer_epoch);
        if entry.batches.len() == WINDOW_BATCHES {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMetadata {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        entry.last_timestamp = header.max_timestamp;
        if header.is_transactional() && entry.txn_first_offset.is_none() {
            entry.txn_first_offset = Some(header.base_offset);
            self.ongoing.insert(header.base_offset);
        }
    }

    /// Checks a marker's producer and coordinator epochs.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED. Nothing changed.
    pub fn check_marker(
        &self,
        header: &BatchHeader,
        marker: &EndMarker,
        label: &str,
    ) -> Result<(), AppendError> {
        let Some(entry) = self.producers.get(&header.producer_id) else { return Ok(()) };
        let id = header.producer_id;
        if header.producer_epoch < entry.epoch {
            return Err(AppendError::new(
                KafkaCode::INVALID_PRODUCER_EPOCH,
                format!(
                    "Epoch of producer {id} in {label} is {}, which is smaller than {}",
                    header.producer_epoch, entry.epoch
                ),
            ));
        }
        if marker.coordinator_epoch < entry.coordinator_epoch {
            return Err(AppendError::new(
                KafkaCode::TRANSACTION_COORDINATOR_FENCED,
                format!(
                    "Invalid coordinator epoch for producerId {id} in partition {label}: {} (zombie), {} (current)",
                    marker.coordinator_epoch, entry.coordinator_epoch
                ),
            ));
        }
        Ok(())
    }

    /// Notes a transaction marker that was written; returns the transaction it ended, if it had any records.
    pub fn append_marker(
        &mut self,
        header: &BatchHeader,
        marker: &EndMarker,
    ) -> Option<CompletedTransaction> {
        let entry = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        entry.set_epoch(header.producer_epoch);
        entry.coordinator_epoch = marker.coordinator_epoch;
        entry.last_timestamp = marker.timestamp;
        let first_offset = entry.txn_first_offset.take()?;
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, header.last_offset());
        Some(CompletedTransaction {
            producer_id: header.producer_id,
            first_offset,
            last_offset: header.last_offset(),
            is_aborted: !marker.is_commit,
        })
    }

    /// First offset of the oldest transaction that is open.
    pub fn first_open_offset(&self) -> Option<i64> {
        self.ongoing.first().copied()
    }

    /// First offset of the oldest transaction that is open or whose marker is not replicated.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let ongoing = self.ongoing.first().copied();
        let unreplicated = self.unreplicated.keys().next().copied();
        match (ongoing, unreplicated) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The last stable offset once `completed` is out of the way: what its index entry records.
    pub fn stable_offset_after(&self, completed: &CompletedTransaction) -> i64 {
        self.ongoing
            .iter()
            .find(|&&first| first != completed.first_offset)
            .copied()
            .unwrap_or(completed.last_offset + 1)
    }

    /// Markers below the high watermark are decided for good.
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker_offset| *marker_offset >= high_watermark);
        }
    }

    /// Markers below the log start offset no longer matter. Producers stay until they expire, as in Kafka.
    pub fn on_log_start(&mut self, log_start_offset: i64) {
        self.unreplicated.retain(|_, marker_offset| *marker_offset >= log_start_offset);
        self.map_end_offset = self.map_end_offset.max(log_start_offset);
    }

    /// Forgets producers that were idle for `expiration_ms` and have no open transaction; returns how many.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, entry| {
            entry.txn_first_offset.is_some()
                || now_ms.saturating_sub(entry.last_timestamp) < expiration_ms
        });
        before - self.producers.len()
    }

    /// Forgets everything.
    pub fn clear(&mut self, map_end_offset: i64) {
        *self = Self { map_end_offset, ..Self::default() };
    }

    /// For `DescribeProducers`: producers in order of their ids.
    pub fn describe(&self) -> Vec<ProducerDescription> {
        let mut ids: Vec<_> = self.producers.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        ids.into_iter()
            .map(|(id, entry)| ProducerDescription {
                producer_id: id.to_string(),
                producer_epoch: i32::from(entry.epoch),
                last_sequence: entry.last_sequence(),
                last_timestamp: entry.last_timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                current_txn_start_offset: entry.txn_first_offset.unwrap_or(-1),
            })
            .collect()
    }

    /// The snapshot file's bytes.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut ids: Vec<_> = self.producers.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        let mut bytes =
            Vec::with_capacity(SNAPSHOT_HEADER_BYTES + ids.len() * SNAPSHOT_ENTRY_BYTES);
        bytes.extend_from_slice(&SNAPSHOT_VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(ids.len() as i32).to_be_bytes());
        for (id, entry) in ids {
            let last = entry.batches.back();
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&entry.epoch.to_be_bytes());
            bytes.extend_from_slice(&entry.last_sequence().to_be_bytes());
            bytes.extend_from_slice(&entry.last_offset().to_be_bytes());
            bytes.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
            bytes.extend_from_slice(&entry.last_timestamp.to_be_bytes());
            bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
            bytes.extend_from_slice(&entry.txn_first_offset.unwrap_or(-1).to_be_bytes());
        }
        self.encode_earlier(&mut bytes);
        let crc = crc32c(bytes.get(6..).unwrap_or_default());
        crate::batch::put(&mut bytes, 2, crc.to_be_bytes());
        bytes
    }

    /// All batches of the windows but the last ones; nothing at all where there are none.
    fn encode_earlier(&self, bytes: &mut Vec<u8>) {
        let mut earlier: Vec<_> = self
            .producers
            .iter()
            .flat_map(|(id, entry)| {
                let count = entry.batches.len().saturating_sub(1);
                entry.batches.iter().take(count).map(move |batch| (*id, batch))
            })
            .collect();
        if earlier.is_empty() {
            return;
        }
        earlier.sort_unstable_by_key(|(_, batch)| batch.last_offset);
        bytes.extend_from_slice(&(earlier.len() as i32).to_be_bytes());
        for (id, batch) in earlier {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&batch.last_sequence.to_be_bytes());
            bytes.extend_from_slice(&batch.last_offset.to_be_bytes());
            bytes.extend_from_slice(&batch.offset_delta.to_be_bytes());
            bytes.extend_from_slice(&batch.timestamp.to_be_bytes());
        }
    }

    /// Puts earlier batches before the last one of their producers; `None` when size or order is wrong.
    fn decode_earlier(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let count = usize::try_from(i32_at(bytes, 0)?).ok()?;
        let records = bytes.get(4..)?;
        if records.len() != count.checked_mul(SNAPSHOT_EARLIER_BYTES)? {
            return None;
        }
        for bytes in records.chunks_exact(SNAPSHOT_EARLIER_BYTES) {
            let batches = &mut self.producers.get_mut(&i64_at(bytes, 0)?)?.batches;
            let batch = BatchMetadata {
                last_sequence: i32_at(bytes, 8)?,
                last_offset: i64_at(bytes, 12)?,
                offset_delta: i32_at(bytes, 20)?,
                timestamp: i64_at(bytes, 24)?,
            };
            let last = batches.pop_back()?;
            let is_ordered = batch.last_offset < last.last_offset
                && batches.back().is_none_or(|before| before.last_offset < batch.last_offset);
            if !is_ordered || batches.len() + 2 > WINDOW_BATCHES {
                return None;
            }
            batches.extend([batch, last]);
        }
        Some(())
    }

    /// Reads a snapshot file; `None` when version, size or CRC is wrong.
    pub fn decode_snapshot(bytes: &[u8], map_end_offset: i64) -> Option<Self> {
        if i16_at(bytes, 0)? != SNAPSHOT_VERSION {
            return None;
        }
        let stored = array_at(bytes, 2).map(u32::from_be_bytes)?;
        if stored != crc32c(bytes.get(6..)?) {
            return None;
        }
        let count = usize::try_from(i32_at(bytes, 6)?).ok()?;
        let entries = bytes.get(SNAPSHOT_HEADER_BYTES..)?;
        let (entries, earlier) =
            entries.split_at_checked(count.checked_mul(SNAPSHOT_ENTRY_BYTES)?)?;
        let mut states = Self { map_end_offset, ..Self::default() };
        for bytes in entries.chunks_exact(SNAPSHOT_ENTRY_BYTES) {
            let mut entry = ProducerEntry::new(i16_at(bytes, 8)?);
            let last_sequence = i32_at(bytes, 10)?;
            let last_offset = i64_at(bytes, 14)?;
            let offset_delta = i32_at(bytes, 22)?;
            entry.last_timestamp = i64_at(bytes, 26)?;
            entry.coordinator_epoch = i32_at(bytes, 34)?;
            if last_offset >= 0 {
                entry.batches.push_back(BatchMetadata {
                    last_sequence,
                    last_offset,
                    offset_delta,
                    timestamp: entry.last_timestamp,
                });
            }
            let txn_first_offset = i64_at(bytes, 38)?;
            if txn_first_offset >= 0 {
                entry.txn_first_offset = Some(txn_first_offset);
                states.ongoing.insert(txn_first_offset);
            }
            states.producers.insert(i64_at(bytes, 0)?, entry);
        }
        states.decode_earlier(earlier)?;
        Some(states)
    }
}

fn is_next(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}

/// Reads the first record of a control batch as an end-of-transaction marker; `None` for other control records.
pub fn parse_end_marker(header: &BatchHeader, payload: &[u8]) -> Option<EndMarker> {
    let mut at = 0;
    let body_bytes = varint(payload, &mut at)?;
    let body_end = at.checked_add(usize::try_from(body_bytes).ok()?)?;
    let body = payload.get(..body_end)?;
    at += 1;
    let timestamp_delta = varint(body, &mut at)?;
    varint(body, &mut at)?;
    let key_bytes = usize::try_from(varint(body, &mut at)?).ok()?;
    let key = body.get(at..at.checked_add(key_bytes)?)?;
    at += key_bytes;
    let is_commit = match i16_at(key, 2)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let value_bytes = usize::try_from(varint(body, &mut at)?).ok()?;
    let value = body.get(at..at.checked_add(value_bytes)?)?;
    Some(EndMarker {
        is_commit,
        coordinator_epoch: i32_at(value, 2)?,
        timestamp: header.base_timestamp.wrapping_add(timestamp_delta),
    })
}

/// A zig-zag varint of at most 10 bytes.
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value: u64 = 0;
    let mut shift = 0;
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset: offset,
            batch_length: 49,
            leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 100,
            max_timestamp: 100 + offset,
            producer_id: 9,
            producer_epoch: epoch,
            base_sequence: sequence,
            record_count: count,
        }
    }

    fn code(states: &ProducerStates, header: &BatchHeader) -> i16 {
        states.check(header, Origin::Client, "t-0").err().map_or(0, |error| error.code.0)
    }

    #[test]
    fn an_unknown_producer_has_no_epoch_below_none() {
        let states = ProducerStates::default();
        assert_eq!(
            [-2, -1, 0, 7].map(|epoch| code(&states, &batch(epoch, 0, 1, 0))),
            [47, 0, 0, 0]
        );
    }

    #[test]
    fn window_of_five_batches() {
        let mut states = ProducerStates::default();
        for at in 0..7 {
            let header = batch(0, at, 1, i64::from(at) + 50);
            assert_eq!(code(&states, &header), 0);
            states.append(&header);
        }
        assert_eq!(states.find_duplicate(&batch(0, 6, 1, 0)).map(|b| b.first_offset()), Some(56));
        assert_eq!(states.find_duplicate(&batch(0, 2, 1, 0)).map(|b| b.first_offset()), Some(52));
        assert_eq!(states.find_duplicate(&batch(0, 1, 1, 0)), None);
        assert_eq!(states.find_duplicate(&batch(0, 5, 2, 0)), None);
        assert_eq!(code(&states, &batch(0, 1, 1, 0)), 45);
        assert_eq!(code(&states, &batch(0, 8, 1, 0)), 45);
        assert_eq!(code(&states, &batch(1, 7, 1, 0)), 45);
        assert_eq!(code(&states, &batch(1, 0, 1, 0)), 0);
        states.append(&batch(1, 0, 1, 60));
        assert_eq!(code(&states, &batch(0, 7, 1, 0)), 47);
    }

    #[test]
    fn sequences_wrap() {
        let mut states = ProducerStates::default();
        states.append(&batch(0, i32::MAX - 1, 2, 0));
        assert_eq!(code(&states, &batch(0, 0, 1, 2)), 0);
        assert_eq!(code(&states, &batch(0, 1, 1, 2)), 45);
    }

    #[test]
    fn snapshot_survives_its_file_and_damage_is_seen() {
        let mut states = ProducerStates::default();
        states.append(&batch(3, 10, 4, 7));
        let mut open = batch(0, 0, 1, 20);
        open.producer_id = 10;
        open.attributes = 0x10;
        states.append(&open);
        let bytes = states.encode_snapshot();
        let back = ProducerStates::decode_snapshot(&bytes, 21).expect("a snapshot just encoded");
        assert_eq!(back.describe(), states.describe());
        assert_eq!(back.first_unstable_offset(), Some(20));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert!(ProducerStates::decode_snapshot(&damaged, 21).is_none(), "flip at {at}");
            assert!(ProducerStates::decode_snapshot(&bytes[..at], 21).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn snapshot_keeps_the_whole_window() {
        let mut states = ProducerStates::default();
        let kafkas = SNAPSHOT_HEADER_BYTES + SNAPSHOT_ENTRY_BYTES;
        for at in 0..7 {
            states.append(&batch(3, at * 2, 2, i64::from(at) * 2));
            if at == 0 {
                assert_eq!(states.encode_snapshot().len(), kafkas, "one batch is Kafka's own file");
            }
        }
        let bytes = states.encode_snapshot();
        let back = ProducerStates::decode_snapshot(&bytes, 14).expect("a snapshot just encoded");
        assert_eq!(back.get(9), states.get(9));
        assert_eq!(
            back.find_duplicate(&batch(3, 4, 2, 99)).map(|found| found.first_offset()),
            Some(4)
        );
        for at in 0..bytes.len() {
            assert!(ProducerStates::decode_snapshot(&bytes[..at], 14).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn stable_offset_waits_for_markers() {
        let mut states = ProducerStates::default();
        let mut open = batch(0, 0, 3, 20);
        open.attributes = 0x10;
        states.append(&open);
        assert_eq!(states.first_unstable_offset(), Some(20));
        let marker = EndMarker { is_commit: false, coordinator_epoch: 1, timestamp: 5 };
        let completed = states.append_marker(&batch(0, -1, 1, 23), &marker).expect("it was open");
        assert_eq!(
            (completed.first_offset, completed.last_offset, completed.is_aborted),
            (20, 23, true)
        );
        assert_eq!(states.stable_offset_after(&completed), 24);
        assert_eq!(states.first_unstable_offset(), Some(20));
        states.on_high_watermark(23);
        assert_eq!(states.first_unstable_offset(), Some(20));
        states.on_high_watermark(24);
        assert_eq!(states.first_unstable_offset(), None);
    }
}
