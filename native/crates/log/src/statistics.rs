//! What a store counts of its flushes: atomics that are added to where the flush happens, and read when somebody asks. A flush
//! takes far longer than counting it.
//!
//! Durations fall into log-linear buckets, nine to a decade from 1 µs to 90 s, an upper edge belonging to its bucket and the last
//! bucket having none: the same buckets as `src/common/latency-histogram.ts`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

const STEPS: usize = 9;
const DECADES: usize = 8;
/// Buckets of a histogram, the one without an upper edge included.
pub const LATENCY_BUCKETS: usize = STEPS * DECADES + 1;

/// Counts flushes of segment files.
#[derive(Debug)]
pub(crate) struct FlushStatistics {
    buckets: [AtomicU64; LATENCY_BUCKETS],
    sum_us: AtomicU64,
    failed: AtomicU64,
}

impl Default for FlushStatistics {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_us: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }
}

impl FlushStatistics {
    /// Counts one flush, that failed or not.
    pub(crate) fn record(&self, elapsed: Duration, is_ok: bool) {
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(us)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        if !is_ok {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> FlushSnapshot {
        FlushSnapshot {
            counts: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum_us: self.sum_us.load(Ordering::Relaxed),
            failed_count: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// Flushes of segment files since the store was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlushSnapshot {
    /// By bucket of their duration, not cumulated.
    pub counts: Vec<u64>,
    /// Time they took together, in microseconds.
    pub sum_us: u64,
    /// How many failed; each of them poisoned its directory.
    pub failed_count: u64,
}

/// A partition that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedPartition {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// What is wrong with it.
    pub reason: String,
}

/// A partition some of whose records cannot be read; the others are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedPartition {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// Damaged ranges.
    pub range_count: usize,
    /// First and last offset that cannot be read, everything between the ranges included; -1 without ranges.
    pub first_offset: i64,
    /// See `first_offset`.
    pub last_offset: i64,
    /// Segments that the disk did not give when they were last checked.
    pub unreadable_count: usize,
}

/// A store at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatistics {
    /// Segment files open now.
    pub open_file_count: usize,
    /// Flushes of segment files.
    pub flush: FlushSnapshot,
    /// Partitions that are set aside.
    pub quarantined_count: usize,
    /// Some of them.
    pub quarantined: Vec<QuarantinedPartition>,
    /// Partitions with damaged ranges or unreadable segments.
    pub damaged_count: usize,
    /// Some of them.
    pub damaged: Vec<DamagedPartition>,
}

/// Bucket of a duration in microseconds.
fn bucket_of(us: u64) -> usize {
    // Minus one: an upper edge is the last value of its bucket.
    let mut rest = us.saturating_sub(1);
    for decade in 0..DECADES {
        if rest < STEPS as u64 {
            return decade * STEPS + rest as usize;
        }
        rest /= 10;
    }
    LATENCY_BUCKETS - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_the_last_value_of_its_bucket() {
        let mut bucket = 0;
        for decade in 0..DECADES as u32 {
            for step in 1..=STEPS as u64 {
                let edge = step * 10_u64.pow(decade);
                assert_eq!(bucket_of(edge), bucket, "{edge}");
                assert_eq!(bucket_of(edge + 1), bucket + 1, "{edge} + 1");
                bucket += 1;
            }
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn counts_flushes_and_failures() {
        let statistics = FlushStatistics::default();
        statistics.record(Duration::from_micros(15), true);
        statistics.record(Duration::from_micros(15), false);
        let snapshot = statistics.snapshot();
        assert_eq!(snapshot.counts.get(bucket_of(15)), Some(&2));
        assert_eq!((snapshot.sum_us, snapshot.failed_count), (30, 1));
        assert_eq!(snapshot.counts.iter().sum::<u64>(), 2);
    }
}
