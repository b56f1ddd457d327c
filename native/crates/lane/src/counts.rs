//! What a lane counts, in the shape of `src/server/request-statistics.ts` and `src/transport/ports.ts`: it is added to the counters
//! there whenever somebody looks.

use std::sync::atomic::{AtomicU64, Ordering};

use sluice_log::KafkaCode;

/// APIs a lane serves: Produce and Fetch.
pub const API_COUNT: usize = 2;
const VERSION_COUNT: usize = 32;
/// What a lane answers with where something went wrong after an append, as in `src/transport/fast-lane.ts`.
pub const ERROR_CODES: [KafkaCode; 5] = [
    KafkaCode::UNKNOWN_TOPIC_OR_PARTITION,
    KafkaCode::NOT_LEADER_OR_FOLLOWER,
    KafkaCode::REQUEST_TIMED_OUT,
    KafkaCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaCode::KAFKA_STORAGE_ERROR,
];
/// Buckets of a latency histogram, as in `src/common/latency-histogram.ts`.
pub const LATENCY_BUCKETS: usize = 73;

#[derive(Debug)]
struct ApiCounts {
    versions: [AtomicU64; VERSION_COUNT],
    request_bytes: AtomicU64,
    reply_bytes: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
    latency_ns: AtomicU64,
    /// By place in `ERROR_CODES`.
    errors: [AtomicU64; ERROR_CODES.len()],
}

impl Default for ApiCounts {
    fn default() -> Self {
        Self {
            versions: [const { AtomicU64::new(0) }; VERSION_COUNT],
            request_bytes: AtomicU64::new(0),
            reply_bytes: AtomicU64::new(0),
            latency: [const { AtomicU64::new(0) }; LATENCY_BUCKETS],
            latency_ns: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; ERROR_CODES.len()],
        }
    }
}

/// Counters of one lane, of which its thread adds to and anybody may take.
#[derive(Debug, Default)]
pub struct Counts {
    apis: [ApiCounts; API_COUNT],
    /// Frames served.
    pub frames: AtomicU64,
    /// Bytes received.
    pub received_bytes: AtomicU64,
    /// Writes of replies.
    pub writes: AtomicU64,
    /// Replies with file slices.
    pub sliced_sends: AtomicU64,
    /// Produces that are appended and not answered yet.
    pub waiting: AtomicU64,
}

impl Counts {
    /// Adds to one of the counters.
    pub(crate) fn add(to: &AtomicU64, value: u64) {
        to.fetch_add(value, Ordering::Relaxed);
    }

    /// A request that was answered. Bytes are those of the frames without their size prefixes; a request without answer has 0.
    pub fn request(&self, api_key: i16, version: i16, request_bytes: usize, reply_bytes: usize) {
        let Some(api) = usize::try_from(api_key).ok().and_then(|key| self.apis.get(key)) else {
            return;
        };
        if let Some(count) = usize::try_from(version).ok().and_then(|v| api.versions.get(v)) {
            Self::add(count, 1);
        }
        Self::add(&api.request_bytes, request_bytes as u64 + 4);
        Self::add(&api.reply_bytes, reply_bytes as u64);
        Self::add(&self.frames, 1);
    }

    /// How long requests of this API took each.
    pub fn latency(&self, api_key: i16, count: u64, nanoseconds: u64) {
        let Some(api) = usize::try_from(api_key).ok().and_then(|key| self.apis.get(key)) else {
            return;
        };
        if let Some(bucket) = api.latency.get(bucket_of(nanoseconds)) {
            Self::add(bucket, count);
        }
        Self::add(&api.latency_ns, count * nanoseconds);
    }

    /// A partition that was answered with one of `ERROR_CODES`; any other code is no error.
    pub fn error(&self, api_key: i16, code: KafkaCode) {
        if let Some(place) = ERROR_CODES.iter().position(|known| *known == code)
            && let Some(api) = usize::try_from(api_key).ok().and_then(|key| self.apis.get(key))
            && let Some(count) = api.errors.get(place)
        {
            Self::add(count, 1);
        }
    }

    /// Takes everything: transport's four numbers, how many wait now, which stays, then by API versions, request bytes, reply bytes, nanoseconds, errors by
    /// code, and buckets. Stops where `out` is full.
    pub fn take(&self, out: &mut [f64]) {
        let (transport, rest) = out.split_at_mut(out.len().min(4));
        let counts = [&self.frames, &self.received_bytes, &self.writes, &self.sliced_sends];
        for (place, count) in transport.iter_mut().zip(counts) {
            *place = count.swap(0, Ordering::Relaxed) as f64;
        }
        let mut places = rest.iter_mut();
        if let Some(place) = places.next() {
            *place = self.waiting.load(Ordering::Relaxed) as f64;
        }
        let mut tell = |count: &AtomicU64| {
            if let Some(place) = places.next() {
                *place = count.swap(0, Ordering::Relaxed) as f64;
            }
        };
        for api in &self.apis {
            api.versions.iter().for_each(&mut tell);
            [&api.request_bytes, &api.reply_bytes, &api.latency_ns].into_iter().for_each(&mut tell);
            api.errors.iter().for_each(&mut tell);
            api.latency.iter().for_each(&mut tell);
        }
    }
}

/// Bucket of a duration: nine to a decade of microseconds, the last one without an edge.
fn bucket_of(nanoseconds: u64) -> usize {
    let mut rest = nanoseconds.div_ceil(1000).saturating_sub(1);
    let mut bucket = 0;
    while rest >= 9 {
        rest /= 10;
        bucket += 9;
        if bucket >= LATENCY_BUCKETS - 1 {
            return LATENCY_BUCKETS - 1;
        }
    }
    bucket + rest as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_histograms_elsewhere() {
        // Pairs of microseconds and `bucketOf` of src/common/latency-histogram.ts.
        let known =
            [(0, 0), (1, 0), (2, 1), (9, 8), (10, 9), (11, 10), (20, 10), (21, 11), (100, 18)];
        for (microseconds, bucket) in known {
            assert_eq!(bucket_of(microseconds * 1000), bucket, "{microseconds} us");
        }
        assert_eq!(bucket_of(u64::MAX), LATENCY_BUCKETS - 1);
    }
}
