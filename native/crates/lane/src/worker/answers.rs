//! Answering what waits: which connections are to be looked at, who is not read meanwhile, and when patience ends.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{SWEEP, Worker};
use crate::frame::Header;
use crate::waiting::{WAITING_MAX, WaitingProduce};
use crate::{Counts, PRODUCE_KEY};

impl Worker {
    /// How long to wait for the next event.
    pub(super) fn timeout_ms(&self) -> i32 {
        if self.waiters.has_new() {
            return 0;
        }
        let until_sweep = if self.by_token.is_empty() { -1 } else { SWEEP.as_millis() as i32 };
        let Some(deadline) = self.next_deadline else { return until_sweep };
        // Rounded up: one that is looked at too early waits again.
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as i32;
        if until_sweep < 0 {
            left.saturating_add(1)
        } else {
            until_sweep.min(left.saturating_add(1))
        }
    }

    /// The last request of a connection waits from here on.
    pub(super) fn begin_waiting(&mut self, index: usize) {
        let Some(connection) = self.connections.get(index).and_then(Option::as_ref) else { return };
        let Some(last) = connection.peer.waiting.back() else { return };
        Counts::add(&self.shared.counts.waiting, 1);
        for log in last.logs() {
            self.waiters.add(log, index);
        }
        let deadlines = [self.next_deadline, last.deadline()];
        self.next_deadline = deadlines.into_iter().flatten().min();
    }

    /// Whether the next frame of a connection, which it holds, is served later: it is not read until then.
    pub(super) fn must_wait(&mut self, index: usize) -> bool {
        let connection = self.connections.get(index).and_then(Option::as_ref);
        let Some(connection) = connection.filter(|one| !one.peer.waiting.is_empty()) else {
            return false;
        };
        let header = connection.held().get(super::PREFIX_BYTES..).and_then(Header::parse);
        self.must_wait_for(index, header.as_ref())
    }

    /// The same of a frame with this head. Only a Produce may be served before what waits is answered.
    pub(super) fn must_wait_for(&mut self, index: usize, header: Option<&Header>) -> bool {
        let connection = self.connections.get(index).and_then(Option::as_ref);
        let count = connection.map_or(0, |connection| connection.peer.waiting.len());
        let is_produce = header.is_some_and(|header| header.api_key == PRODUCE_KEY);
        if count == 0 || is_produce && count < WAITING_MAX {
            return false;
        }
        self.pause(index, if is_produce { WAITING_MAX / 2 } else { 0 });
        true
    }

    /// Reads no more of a connection until so few of its requests wait.
    pub(super) fn pause(&mut self, index: usize, until: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if connection.paused_until.replace(until).is_none() {
            self.turns.watch(connection, index);
        }
    }

    /// Reads a connection again, or gives it back, where few enough of its requests wait.
    pub(super) fn resume(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let count = connection.peer.waiting.len();
        if connection.is_blocked || connection.paused_until.is_none_or(|until| count > until) {
            return;
        }
        connection.paused_until = None;
        self.turns.watch(connection, index);
        if let Some((reason, input)) = connection.leaving.take() {
            self.leave_with(index, reason, input);
        } else {
            self.go_on(index);
        }
    }

    /// Looks at the logs that moved, and answers what is settled by that or by its deadline.
    pub(super) fn answer_moved(&mut self) {
        for key in self.waiters.take_moved() {
            let Some((mut connections, look)) = self.waiters.take(key) else { continue };
            connections.retain(|&index| {
                let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut)
                else {
                    return false;
                };
                let mut still_waits = false;
                for waiting in &mut connection.peer.waiting {
                    still_waits |= waiting.on_look(&look);
                }
                self.settled.push(index);
                still_waits
            });
            self.waiters.put_back(key, connections);
        }
        if self.next_deadline.is_some_and(|deadline| deadline <= self.now) {
            self.expire();
        }
        if self.settled.is_empty() {
            return;
        }
        let mut settled = std::mem::take(&mut self.settled);
        settled.sort_unstable();
        settled.dedup();
        for index in &settled {
            self.answer_settled(*index);
        }
        settled.clear();
        self.settled = settled;
        self.run_works();
    }

    fn expire(&mut self) {
        self.next_deadline = None;
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let Some(connection) = connection else { continue };
            for waiting in &mut connection.peer.waiting {
                waiting.expire(self.now);
                let deadlines = [self.next_deadline, waiting.deadline()];
                self.next_deadline = deadlines.into_iter().flatten().min();
            }
            if connection.peer.waiting.front().is_some_and(WaitingProduce::is_settled) {
                self.settled.push(index);
            }
        }
    }

    /// Answers the front of a connection's line as far as it is settled.
    fn answer_settled(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let mut has_answered = false;
        while connection.peer.waiting.front().is_some_and(WaitingProduce::is_settled) {
            let Some(front) = connection.peer.waiting.pop_front() else { break };
            if connection.reply.is_empty() {
                connection.reply = self.spare_replies.pop().unwrap_or_default();
            }
            front.answer(&self.shared.counts, &mut connection.reply);
            self.shared.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            has_answered = true;
        }
        if !has_answered {
            return;
        }
        connection.active_at = self.now;
        if self.send(index) {
            self.resume(index);
        }
    }
}
