use std::sync::atomic::AtomicUsize;

use sluice_log::LogConfig;
use sluice_log::failpoint::Failpoint;

use super::*;
use crate::Topics;
use crate::testing::{NOW_MS, batch, led_topic};

const VERSION: i16 = 9;

/// A partition and its batch.
type Sent = (i32, Vec<u8>);

/// A frame of version 9 for topic `t`, as Java's producer sends it.
fn frame(acks: i16, batches: &[Sent]) -> Vec<u8> {
    let mut buffer = ReplyBuffer::new();
    for value in [PRODUCE_KEY, VERSION] {
        buffer.int16(value);
    }
    buffer.int32(7);
    buffer.int16(-1);
    buffer.int8(0);
    buffer.unsigned_varint(0);
    buffer.int16(acks);
    buffer.int32(30_000);
    buffer.array_count(true, 1);
    buffer.string(true, b"t");
    buffer.array_count(true, batches.len());
    for (index, bytes) in batches {
        buffer.int32(*index);
        buffer.bytes_length(true, bytes.len());
        buffer.raw(bytes);
        buffer.int8(0);
    }
    buffer.int8(0);
    buffer.int8(0);
    buffer.bytes().to_vec()
}

struct Table {
    manager: sluice_log::LogManager,
    topic: Arc<Topic>,
    topics: Topics,
    counts: Counts,
}

impl Table {
    fn new(config: &LogConfig) -> Self {
        let (manager, topic) = led_topic(config);
        let topics = Topics::default();
        topics.put(Topic {
            name: topic.name.clone(),
            partitions: topic.partitions.clone(),
            traffic: Arc::clone(&topic.traffic),
            ..*topic
        });
        Self { manager, topic, topics, counts: Counts::default() }
    }

    fn serve(&self, frame: &mut [u8]) -> (Served, Vec<u8>) {
        let scene = Scene { topics: &self.topics, counts: &self.counts, now_ms: NOW_MS };
        let header = Header::parse(frame).expect("a head");
        let mut reply = ReplyBuffer::new();
        let mut waiting = VecDeque::new();
        let served = serve_produce(frame, &header, &scene, &mut waiting, &mut reply);
        (served, reply.bytes().to_vec())
    }

    fn ends(&self) -> Vec<i64> {
        let partitions = self.topic.partitions.iter().flatten();
        partitions.map(|partition| partition.log.state().log_end_offset).collect()
    }

    fn traffic(&self) -> [u64; 4] {
        let mut all = [0; 4];
        self.topics.take_traffic(|_, counts| all = counts);
        all
    }

    fn error_count(&self) -> f64 {
        let mut columns = [0.0; 64];
        self.counts.take(&mut columns);
        columns[5 + 32 + 3..][..crate::counts::ERROR_CODES.len()].iter().sum()
    }
}

fn from_page_cache() -> LogConfig {
    LogConfig { acks_all_fsync: false, ..LogConfig::default() }
}

/// What is answered for some partitions of `t`: index, code, base offset; with this append time.
fn answer(parts: &[(i32, i16, i64)], time_ms: i64) -> Vec<u8> {
    let mut reply = ReplyBuffer::new();
    let mark = reply.begin_frame(7, true);
    reply.array_count(true, 1);
    reply.string(true, b"t");
    reply.array_count(true, parts.len());
    for (index, code, base_offset) in parts {
        reply.int32(*index);
        reply.int16(*code);
        reply.int64(*base_offset);
        reply.int64(time_ms);
        reply.int64(if *code == 0 { 0 } else { -1 });
        reply.array_count(true, 0);
        reply.int8(0);
        reply.int8(0);
    }
    reply.int8(0);
    reply.int32(0);
    reply.int8(0);
    let _ = reply.end_frame(mark);
    reply.bytes().to_vec()
}

#[test]
fn what_a_producer_sends_by_default_is_served_where_nothing_waits() {
    let table = Table::new(&from_page_cache());
    let sent = frame(-1, &[(1, batch(Some((5, 0)))), (0, batch(Some((5, 0))))]);
    assert_eq!(table.serve(&mut sent.clone()).1, answer(&[(1, 0, 0), (0, 0, 0)], -1));
    // A retry is told the time of the first.
    assert_eq!(table.serve(&mut sent.clone()).1, answer(&[(1, 0, 0), (0, 0, 0)], NOW_MS));
    let next = frame(-1, &[(1, batch(Some((5, 1)))), (0, batch(None))]);
    assert_eq!(table.serve(&mut next.clone()).1, answer(&[(1, 0, 1), (0, 0, 1)], -1));
    assert_eq!(table.ends(), [2, 2, 0]);
    // A gap in one of them.
    let gap = frame(-1, &[(0, batch(None)), (1, batch(Some((5, 9))))]);
    let mut received = gap.clone();
    assert_eq!(table.serve(&mut received), (Served::NotMine, Vec::new()));
    assert_eq!((received, table.ends()), (gap, vec![2, 2, 0]));
}

#[test]
fn what_is_refused_anywhere_goes_back_as_it_came() {
    let mut damaged = batch(None);
    *damaged.last_mut().expect("bytes") ^= 1;
    let good = || (0, batch(Some((5, 0))));
    let page_cache = from_page_cache();
    let cases: [(&LogConfig, i16, Vec<Sent>); 5] = [
        (&page_cache, -1, vec![good(), (1, damaged)]),
        // Another epoch, no such partition, one twice.
        (&page_cache, 1, vec![good(), (2, batch(None))]),
        (&page_cache, 0, vec![good(), (3, batch(None))]),
        (&page_cache, 1, vec![good(), good()]),
        (&page_cache, 2, vec![good(), (1, batch(None))]),
    ];
    for (number, (config, acks, batches)) in cases.into_iter().enumerate() {
        let table = Table::new(config);
        let sent = frame(acks, &batches);
        let mut received = sent.clone();
        let (served, reply) = table.serve(&mut received);
        assert_eq!((served, reply.len()), (Served::NotMine, 0), "case {number}");
        assert_eq!(received, sent, "case {number}");
        assert_eq!(table.ends(), [0, 0, 0], "case {number}");
        assert_eq!(table.traffic(), [0; 4]);
    }
}

#[test]
fn at_most_64_partitions_are_taken() {
    let table = Table::new(&from_page_cache());
    let (_manager, topic) = led_topic(&from_page_cache());
    let one = topic.partition(0).expect("a partition").clone();
    let many = Topic {
        name: "t".to_owned(),
        partitions: vec![Some(one); 70],
        traffic: Arc::default(),
        ..*topic
    };
    table.topics.put(many);
    let parse = |count: i32| {
        let batches: Vec<_> = (0..count).map(|index| (index, batch(None))).collect();
        let bytes = frame(1, &batches);
        let header = Header::parse(&bytes).expect("a head");
        let scene = Scene { topics: &table.topics, counts: &table.counts, now_ms: NOW_MS };
        Produce::parse(&bytes, &header, &scene).map(|produce| produce.parts().count())
    };
    assert_eq!([parse(1), parse(64), parse(65), parse(0)], [Some(1), Some(64), None, None]);
}

#[test]
fn a_write_that_fails_when_another_has_landed_is_answered_here() {
    for acks in [1, 0] {
        let table = Table::new(&from_page_cache());
        let hits = AtomicUsize::new(0);
        table.manager.failpoints().arm(Failpoint::AfterAppend, move || {
            let is_second = hits.fetch_add(1, Ordering::Relaxed) == 1;
            if is_second { Err(std::io::Error::from_raw_os_error(28)) } else { Ok(()) }
        });
        let (served, reply) = table.serve(&mut frame(acks, &[(1, batch(None)), (0, batch(None))]));
        assert_eq!(table.ends(), [0, 1, 0]);
        assert_eq!(table.traffic()[..3], [1, batch(None).len() as u64, 1]);
        if acks == 0 {
            assert_eq!((served, reply.len(), table.error_count()), (Served::Close, 0, 0.0));
        } else {
            assert_eq!((served, table.error_count()), (Served::Reply, 1.0));
            assert_eq!(reply, answer(&[(1, 0, 0), (0, 56, -1)], -1));
        }
    }
}
