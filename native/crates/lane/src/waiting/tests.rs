use std::collections::VecDeque;

use sluice_log::{Isolation, LogConfig, LogManager, ReadRequest, ReplicaFetch, Replication};

use super::*;
use crate::produce::{Part, Sent};
use crate::testing::{NOW_MS, batch, led_topic};
use crate::{Served, Topic};

const VERSION: i16 = 9;

struct Line {
    manager: LogManager,
    topic: Arc<Topic>,
    waiters: Waiters,
    waiting: VecDeque<WaitingProduce>,
    reply: ReplyBuffer,
    counts: Counts,
    correlation_id: i32,
}

impl Line {
    fn new(config: &LogConfig) -> Self {
        let (manager, topic) = led_topic(config);
        Self {
            manager,
            topic,
            waiters: Waiters::new(Arc::new(EventFd::new().expect("an eventfd"))),
            waiting: VecDeque::new(),
            reply: ReplyBuffer::new(),
            counts: Counts::default(),
            correlation_id: 0,
        }
    }

    fn log(&self, index: i32) -> &Arc<PartitionLog> {
        &self.topic.partition(index).expect("a partition").log
    }

    /// Appends a record, as the next request of the connection.
    fn produce(&mut self, index: i32, acks: i16, timeout_ms: i32) -> Served {
        let mut records = batch(None);
        let request = sluice_log::AppendRequest {
            leader_epoch: 3,
            acks,
            origin: sluice_log::Origin::Client,
            now_ms: NOW_MS,
        };
        let landed = self.log(index).append(&mut records, &request).expect("an append");
        let part = Part {
            topic: Arc::clone(&self.topic),
            index,
            records: 0..records.len(),
            topic_parts: 1,
        };
        let mut produce = Produce::of_one(acks, part);
        produce.timeout_ms = timeout_ms;
        self.correlation_id += 1;
        let head = [0, 0, 0, VERSION as u8, 0, 0, 0, self.correlation_id as u8, 0xff, 0xff, 0];
        let header = Header::parse(&head).expect("a head");
        let sent = Sent { header: &header, request_bytes: 100 };
        let (counts, reply) = (&self.counts, &mut self.reply);
        let served = produce.settle(&sent, &[Some(landed)], counts, &mut self.waiting, reply);
        if served == Served::Waits
            && let Some(last) = self.waiting.back()
        {
            last.logs().for_each(|log| self.waiters.add(log, 0));
        }
        served
    }

    /// Looks at what moved. Returns the correlation ids, codes and base offsets of what is answered by that.
    fn turn(&mut self) -> Vec<(i32, i16, i64)> {
        for key in self.waiters.take_moved() {
            let Some((mut connections, look)) = self.waiters.take(key) else { continue };
            let mut still_waits = false;
            for waiting in &mut self.waiting {
                still_waits |= waiting.on_look(&look);
            }
            connections.retain(|_| still_waits);
            self.waiters.put_back(key, connections);
        }
        self.answers()
    }

    fn answers(&mut self) -> Vec<(i32, i16, i64)> {
        let mut answers = Vec::new();
        while self.waiting.front().is_some_and(WaitingProduce::is_settled) {
            let front = self.waiting.pop_front().expect("the front");
            front.answer(&self.counts, &mut self.reply);
            let bytes = self.reply.bytes();
            let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().expect("4"));
            // Size, correlation id and tags; one topic `t`; one partition, its index.
            let code = 4 + 4 + 1 + 1 + 2 + 1 + 4;
            answers.push((
                int(4),
                i16::from_be_bytes(bytes[code..code + 2].try_into().expect("2")),
                i64::from_be_bytes(bytes[code + 2..code + 10].try_into().expect("8")),
            ));
            self.reply.clear();
        }
        answers
    }
}

fn led_by_1(isr: &[i32]) -> Replication {
    Replication {
        partition_epoch: 1,
        node_id: 1,
        replicas: vec![1, 2, 3],
        isr: isr.to_vec(),
        lag_time_max_ms: 30_000,
        now_ms: NOW_MS,
    }
}

fn fetched_by(id: i32, offset: i64) -> ReadRequest {
    ReadRequest {
        offset,
        max_bytes: 1 << 20,
        min_one_message: true,
        isolation: Isolation::LogEnd,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        leader_only: false,
        replica: Some(ReplicaFetch {
            id,
            broker_epoch: -1,
            log_start_offset: 0,
            is_noted: true,
            now_ms: NOW_MS,
        }),
    }
}

#[test]
fn what_is_on_disk_is_answered_and_all_in_order() {
    let mut line = Line::new(&LogConfig::default());
    assert_eq!(line.produce(0, 1, 1000), Served::Reply);
    line.reply.clear();
    assert_eq!(line.produce(0, -1, 1000), Served::Waits);
    // Waits for nothing, but behind one that does.
    assert_eq!(line.produce(1, 1, 1000), Served::Waits);
    assert_eq!(line.produce(1, -1, 1000), Served::Waits);
    assert_eq!(line.turn(), []);
    assert!(line.manager.step() > 0);
    assert_eq!(line.turn(), [(2, 0, 1), (3, 0, 0), (4, 0, 1)]);
    assert_eq!(line.produce(0, 1, 1000), Served::Reply);
}

#[test]
fn a_log_that_moved_is_told_once_and_only_where_somebody_waits() {
    let mut line = Line::new(&LogConfig::default());
    line.produce(0, -1, 1000);
    line.turn();
    line.manager.step();
    assert_eq!(line.waiters.take_moved(), [key_of(line.log(0))]);
    let taken = line.waiters.take(key_of(line.log(0))).expect("who waits");
    assert_eq!(taken.0, [0]);
    line.waiters.put_back(key_of(line.log(0)), Vec::new());
    line.produce(0, 1, 1000);
    line.log(0).flush().expect("a flush");
    line.log(1).flush().expect("a flush");
    assert!(line.waiters.take_moved().is_empty());
}

#[test]
fn replicas_are_waited_for_and_one_that_is_cut_off_is_told() {
    let config = LogConfig { min_insync_replicas: 2, ..LogConfig::default() };
    let mut line = Line::new(&config);
    line.log(0).lead(3, Some(&led_by_1(&[1, 2]))).expect("a leader");
    line.produce(0, -1, 1000);
    line.produce(0, -1, 1000);
    assert_eq!(line.turn(), []);
    line.log(0).read(&fetched_by(2, 1));
    assert_eq!(line.turn(), [(1, 0, 0)]);
    // The other replica left: what is replicated now is on too few.
    line.log(0).read(&fetched_by(2, 2));
    let shrunk = Replication { partition_epoch: 2, ..led_by_1(&[1]) };
    line.log(0).lead(3, Some(&shrunk)).expect("a leader");
    assert_eq!(line.turn(), [(2, 20, 1)]);
    let whole = Replication { partition_epoch: 3, ..led_by_1(&[1, 2]) };
    line.log(0).lead(3, Some(&whole)).expect("a leader");
    line.produce(0, -1, 1000);
    assert_eq!(line.turn(), []);
    line.log(0).follow(4, 2).expect("a follower");
    assert_eq!(line.turn(), [(3, 6, 2)]);
}

#[test]
fn patience_ends_with_the_deadline_and_that_of_a_flush_not_before_five_seconds() {
    let mut line = Line::new(&LogConfig { min_insync_replicas: 1, ..LogConfig::default() });
    line.log(0).lead(3, Some(&led_by_1(&[1, 2]))).expect("a leader");
    line.produce(0, -1, 10);
    line.produce(1, -1, 10);
    line.turn();
    let at = |line: &Line, ms: u64| line.waiting[0].began + Duration::from_millis(ms);
    let deadlines: Vec<_> = line.waiting.iter().map(WaitingProduce::deadline).collect();
    assert_eq!(deadlines[0], Some(at(&line, 10)));
    let patience = deadlines[1].expect("a deadline") - line.waiting[1].began;
    assert_eq!(patience, FLUSH_PATIENCE_MIN);
    let later = at(&line, 10);
    line.waiting.iter_mut().for_each(|waiting| waiting.expire(later));
    assert_eq!(line.answers(), [(1, 7, 0)]);
    line.log(1).flush().expect("a flush");
    assert_eq!(line.turn(), [(2, 0, 0)]);
}

#[test]
fn a_topic_that_is_deleted_is_unknown_to_who_waits() {
    let mut line = Line::new(&LogConfig::default());
    line.produce(0, -1, 1000);
    line.turn();
    let log = Arc::clone(line.log(0));
    line.manager.delete_partition(&log).expect("deleted");
    assert_eq!(line.turn(), [(1, 3, 0)]);
}
