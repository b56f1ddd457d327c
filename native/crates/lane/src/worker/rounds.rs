//! Serving what lies in the arena, in rounds: one Produce of each connection a round, so that those for the same partition share a lock and
//! a write, while each connection's requests keep their order.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sluice_log::{AppendOutcome, AppendRequest, GroupedAppend, Origin, PartitionLog};

use super::{Next, PREFIX_BYTES, Work, Worker, next_frame};
use crate::frame::Header;
use crate::lane::Reason;
use crate::produce::{BatchHead, LIMITS, Part, Produce, Sent, head_of, restore_head};
use crate::{PRODUCE_KEY, Scene, Served};

/// A Produce that waits for the others of its round.
struct Item {
    work: usize,
    connection: usize,
    /// Of the frame without its size.
    start: usize,
    end: usize,
    header: Header,
    produce: Produce,
    /// Where its batch is in the frame.
    records: Range<usize>,
    original: BatchHead,
}

impl Worker {
    /// Serves what is in the arena, in rounds: of each connection one Produce a round.
    pub(super) fn run_works(&mut self) {
        let mut works = std::mem::take(&mut self.works);
        let mut arena = std::mem::take(&mut self.arena);
        let mut items: Vec<Item> = Vec::with_capacity(works.len());
        loop {
            items.clear();
            for (number, work) in works.iter_mut().enumerate().filter(|(_, work)| !work.is_done) {
                self.advance(number, work, &mut arena, &mut items);
            }
            if items.is_empty() {
                break;
            }
            self.append_round(&items, &mut works, &mut arena);
        }
        works.clear();
        self.works = works;
        self.arena = arena;
        self.arena_used = 0;
    }

    /// Serves frames of one connection up to its next Produce, which is left for the round.
    fn advance(&mut self, number: usize, work: &mut Work, arena: &mut [u8], items: &mut Vec<Item>) {
        let index = work.connection;
        loop {
            let bytes = arena.get_mut(work.at..work.end).unwrap_or_default();
            let total = match next_frame(bytes) {
                Next::Frame(total) => total,
                Next::Partial(_) => {
                    work.is_done = true;
                    self.send(index);
                    self.keep(index, bytes);
                    return;
                }
                Next::Odd => {
                    work.is_done = true;
                    if self.send_before_leaving(index) {
                        self.leave_with(index, Reason::NotMine, bytes.to_vec());
                    }
                    return;
                }
            };
            let Some(frame) = bytes.get_mut(PREFIX_BYTES..total) else { return };
            let header = Header::parse(frame);
            if self.must_wait_for(index, header.as_ref()) {
                work.is_done = true;
                self.send(index);
                return self.keep(index, arena.get(work.at..work.end).unwrap_or_default());
            }
            let produce = header.filter(|header| header.api_key == PRODUCE_KEY);
            let served = if let Some(header) = produce {
                let shared = Arc::clone(&self.shared);
                let scene =
                    Scene { topics: &shared.topics, counts: &shared.counts, now_ms: self.now_ms };
                let Some(produce) = Produce::parse(frame, &header, &scene) else {
                    return self.refuse(work, arena);
                };
                let records = produce.single().map(|part| part.records.clone());
                if let Some(records) = records
                    && let Some(original) = frame.get(records.clone()).and_then(head_of)
                {
                    let start = work.at + PREFIX_BYTES;
                    let end = work.at + total;
                    items.push(Item {
                        work: number,
                        connection: index,
                        start,
                        end,
                        header,
                        produce,
                        records,
                        original,
                    });
                    return;
                }
                // Of several partitions: by itself, and at once.
                self.serve_with(index, frame, &header, |frame, scene, peer, reply| {
                    produce.serve(frame, &header, scene, &mut peer.waiting, reply)
                })
            } else {
                self.serve_one(index, frame)
            };
            match served {
                Some(Served::NotMine) => return self.refuse(work, arena),
                Some(Served::Close) => {
                    work.is_done = true;
                    return self.close(index);
                }
                Some(_) => work.at += total,
                None => {
                    work.is_done = true;
                    return self.leave(index, Reason::Broken);
                }
            }
            if !self.may_go_on(index) {
                work.is_done = true;
                let rest = arena.get(work.at..work.end).unwrap_or_default();
                self.keep(index, rest);
                return;
            }
        }
    }

    /// A connection goes back from its next frame on.
    fn refuse(&mut self, work: &mut Work, arena: &[u8]) {
        work.is_done = true;
        if self.send_before_leaving(work.connection) {
            let rest = arena.get(work.at..work.end).unwrap_or_default();
            self.leave_with(work.connection, Reason::NotMine, rest.to_vec());
        }
    }

    /// Appends one Produce of each connection and writes the replies.
    fn append_round(&mut self, items: &[Item], works: &mut [Work], arena: &mut [u8]) {
        let started = Instant::now();
        let shared = Arc::clone(&self.shared);
        let mut served = 0;
        for (item, landing) in items.iter().zip(append_all(items, arena, self.now_ms)) {
            let index = item.connection;
            let Some(work) = works.get_mut(item.work) else { continue };
            let landed = match landing {
                Landing::Appended(landed) => landed,
                Landing::Refused => {
                    self.refuse(work, arena);
                    continue;
                }
                Landing::Broken => {
                    work.is_done = true;
                    self.leave(index, Reason::Broken);
                    continue;
                }
            };
            work.at = item.end;
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
                work.is_done = true;
                continue;
            };
            if connection.reply.is_empty()
                && let Some(spare) = self.spare_replies.pop()
            {
                connection.reply = spare;
            }
            connection.active_at = self.now;
            let before = connection.reply.bytes().len();
            let request_bytes = item.end - item.start;
            let outcome = item.produce.settle(
                &Sent { header: &item.header, request_bytes },
                &[Some(landed)],
                &shared.counts,
                &mut connection.peer.waiting,
                &mut connection.reply,
            );
            if outcome == Served::Waits {
                self.begin_waiting(index);
            } else {
                let reply_bytes = connection.reply.bytes().len() - before;
                let version = item.header.api_version;
                shared.counts.request(PRODUCE_KEY, version, request_bytes, reply_bytes);
                served += 1;
            }
            if !self.may_go_on(index) {
                work.is_done = true;
                let rest = arena.get(work.at..work.end).unwrap_or_default();
                self.keep(index, rest);
            }
        }
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        shared.counts.latency(PRODUCE_KEY, served, nanoseconds);
    }
}

/// What became of a Produce.
#[derive(Debug)]
enum Landing {
    /// It is answered here.
    Appended(AppendOutcome),
    /// Nothing was appended, and its bytes are as they came: it goes back.
    Refused,
    /// The append failed in a way that it should not, and nobody knows whether it landed.
    Broken,
}

/// Appends what the items hold, all that goes to one log at once, and says what became of each. Items lie in the arena in their order.
fn append_all(items: &[Item], arena: &mut [u8], now_ms: i64) -> Vec<Landing> {
    let mut landings: Vec<Landing> = items.iter().map(|_| Landing::Refused).collect();
    let mut members: Vec<(&Arc<PartitionLog>, usize, GroupedAppend<'_>)> =
        Vec::with_capacity(items.len());
    let mut rest = arena;
    let mut rest_start = 0;
    for (number, item) in items.iter().enumerate() {
        let (start, length) = (item.start + item.records.start, item.records.len());
        let from_rest = start.checked_sub(rest_start);
        let piece = from_rest
            .and_then(|skipped| std::mem::take(&mut rest).split_at_mut_checked(skipped))
            .and_then(|(_, piece)| piece.split_at_mut_checked(length));
        let Some((records, behind)) = piece else { break };
        rest = behind;
        rest_start = start + length;
        let Some(partition) = item.produce.single().and_then(Part::partition) else { continue };
        let append = GroupedAppend {
            records,
            leader_epoch: partition.leader_epoch,
            acks: item.produce.acks,
            outcome: None,
        };
        members.push((&partition.log, number, append));
    }
    // Stable: within a log they stay as they came.
    members.sort_by_key(|(log, ..)| Arc::as_ptr(log));
    let mut members = members.into_iter().peekable();
    let mut numbers = Vec::new();
    let mut group = Vec::new();
    while let Some((log, number, append)) = members.next() {
        numbers.push(number);
        group.push(append);
        if members.peek().is_some_and(|(next, ..)| Arc::ptr_eq(next, log)) {
            continue;
        }
        let is_whole =
            catch_unwind(AssertUnwindSafe(|| append_to(log, &mut group, now_ms))).is_ok();
        for (number, append) in numbers.drain(..).zip(group.drain(..)) {
            let (Some(item), Some(landing)) = (items.get(number), landings.get_mut(number)) else {
                continue;
            };
            *landing = match append.outcome {
                _ if !is_whole => Landing::Broken,
                Some(Ok(landed)) => Landing::Appended(landed),
                _ => {
                    restore_head(append.records, &item.original);
                    Landing::Refused
                }
            };
        }
    }
    landings
}

fn append_to(log: &PartitionLog, group: &mut [GroupedAppend<'_>], now_ms: i64) {
    if let [alone] = group {
        let request = AppendRequest {
            leader_epoch: alone.leader_epoch,
            acks: alone.acks,
            origin: Origin::Client,
            now_ms,
        };
        alone.outcome = Some(log.append_within(alone.records, &request, &LIMITS));
    } else {
        log.append_group(group, now_ms, &LIMITS);
    }
}

#[cfg(test)]
mod tests {
    use sluice_log::LogConfig;

    use super::*;
    use crate::Topic;
    use crate::testing::{NOW_MS, batch, led_topic};

    fn header() -> Header {
        Header::parse(&[0, 0, 0, 9, 0, 0, 0, 7, 0xff, 0xff, 0]).expect("a head")
    }

    /// Items in an arena, with bytes between them that belong to nobody here.
    fn laid_out(topic: &Arc<Topic>, batches: &[(i32, Vec<u8>)]) -> (Vec<Item>, Vec<u8>) {
        let mut arena = Vec::new();
        let items = batches.iter().enumerate().map(|(number, (index, records))| {
            arena.extend_from_slice(&[0xee; 9]);
            let start = arena.len();
            arena.extend_from_slice(&[0xdd; 5]);
            arena.extend_from_slice(records);
            let records_at = 5..5 + records.len();
            let part = Part {
                topic: Arc::clone(topic),
                index: *index,
                records: records_at.clone(),
                topic_parts: 1,
            };
            Item {
                work: number,
                connection: number,
                start,
                end: arena.len(),
                header: header(),
                produce: Produce::of_one(1, part),
                records: records_at,
                original: head_of(records).expect("a head"),
            }
        });
        (items.collect(), arena)
    }

    #[test]
    fn a_round_lands_as_the_same_appends_one_after_another() {
        let (_manager, topic) = led_topic(&LogConfig::default());
        let (_other_manager, twin) = led_topic(&LogConfig::default());
        let mut state = 1_u32;
        let mut below = |limit: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % limit
        };
        let mut counts = [0; 2];
        for round in 0..60 {
            let batches: Vec<(i32, Vec<u8>)> = (0..=below(24))
                .map(|_| {
                    let producer = (below(2) == 0)
                        .then(|| (i64::from(below(3)), below(2).cast_signed() + round / 6));
                    let mut bytes = batch(producer);
                    if below(6) == 0 {
                        *bytes.last_mut().expect("bytes") ^= 1;
                    }
                    (below(3).cast_signed(), bytes)
                })
                .collect();
            let (items, mut arena) = laid_out(&topic, &batches);
            let before = arena.clone();
            let landings = append_all(&items, &mut arena, NOW_MS);
            assert_eq!(landings.len(), items.len());
            let mut untouched = arena.clone();
            for ((item, landing), (index, bytes)) in items.iter().zip(landings).zip(&batches) {
                let records = item.start + 5..item.end;
                let partition = twin.partition(*index).expect("a partition");
                let request = AppendRequest {
                    leader_epoch: partition.leader_epoch,
                    acks: 1,
                    origin: Origin::Client,
                    now_ms: NOW_MS,
                };
                let alone = partition.log.append_within(&mut bytes.clone(), &request, &LIMITS);
                match (landing, alone) {
                    (Landing::Appended(landed), Ok(alone)) => {
                        counts[0] += 1;
                        assert_eq!(landed, alone);
                        untouched[records.clone()].copy_from_slice(&before[records]);
                    }
                    (Landing::Refused, Err(_)) => counts[1] += 1,
                    (landing, alone) => panic!("{landing:?} and {alone:?}"),
                }
            }
            // Whatever was not appended is as it came.
            assert_eq!(untouched, before);
        }
        assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    }
}
