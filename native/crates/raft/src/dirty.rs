//! What a node has to write, gathered over any number of readies, with the messages that wait for it.

use std::sync::Arc;

use raft::eraftpb::Message;

use crate::cache::Image;

/// Messages that may wait for the disk; losing the oldest of more is what a slow disk costs.
const HELD_MESSAGES_MAX: usize = 4096;

/// What is to be written and what waits for it.
#[derive(Default)]
pub(crate) struct Dirty {
    pub(crate) received: Option<Arc<Image>>,
    pub(crate) entries_from: Option<u64>,
    pub(crate) has_state: bool,
    /// The term or the vote is new: nothing at all may be sent before it is on disk.
    pub(crate) has_vote: bool,
    pub(crate) own: Option<(Arc<Image>, u64)>,
    /// The crate's number of the newest ready in here; 0: none.
    pub(crate) number: u64,
    pub(crate) messages: Vec<Message>,
}

impl Dirty {
    pub(crate) fn has_writes(&self) -> bool {
        self.received.is_some()
            || self.entries_from.is_some()
            || self.has_state
            || self.own.is_some()
    }

    /// This, and what came after it.
    pub(crate) fn then(mut self, later: Self) -> Self {
        if later.received.is_some() {
            self.received = later.received;
            self.entries_from = later.entries_from;
            self.own = later.own;
        } else {
            self.entries_from = match (self.entries_from, later.entries_from) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            self.own = later.own.or(self.own);
        }
        self.has_state |= later.has_state;
        self.has_vote |= later.has_vote;
        self.number = self.number.max(later.number);
        self.messages.extend(later.messages);
        self
    }

    pub(crate) fn hold(&mut self, messages: Vec<Message>) {
        self.messages.extend(messages);
        let excess = self.messages.len().saturating_sub(HELD_MESSAGES_MAX);
        self.messages.drain(..excess);
    }
}
