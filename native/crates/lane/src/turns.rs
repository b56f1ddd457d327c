//! Whose turn it is. Connections that move much take turns behind all that move little.
//!
//! A request of a hundred bytes should not wait while a megabyte is received from, or sent to, each of five hundred others. So there are two
//! sets: the light ones, all of which are looked at in every turn, and those that moved much of late, of which a few have their turn after
//! them. Either set is level-triggered, and the kernel puts who was told last at the end, so that within a set everybody comes in order.

use std::os::fd::RawFd;

use sluice_sys::{Epoll, EpollEvent, Interest};

use crate::connection::Connection;

/// Who moves this many bytes in a turn is bulky.
const BULKY_BYTES: u64 = 64 << 10;
/// Turns in which less was moved before a bulky connection is light again.
const LIGHT_TURNS: u32 = 16;
/// Bulky connections a turn.
const BULKY_COUNT: usize = 4;

/// What a connection may move in its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) received_bytes: usize,
    pub(crate) sent_bytes: u64,
}

/// Where there are no more than have their turn at once: few system calls for many bytes.
const WHOLE_SHARE: Share = Share { received_bytes: 1 << 20, sent_bytes: 2 << 20 };
const SMALL_SHARE: Share = Share { received_bytes: 256 << 10, sent_bytes: 512 << 10 };

/// How much a connection moved of late.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    is_bulky: bool,
    /// Bytes received and sent since its turn began.
    pub(crate) moved_bytes: u64,
    light_turns: u32,
}

impl Pace {
    /// A turn begins: whether the connection now belongs to the other set.
    fn next_turn(&mut self) -> bool {
        let moved_bytes = std::mem::take(&mut self.moved_bytes);
        self.light_turns = if moved_bytes >= BULKY_BYTES { 0 } else { self.light_turns + 1 };
        let is_bulky = self.light_turns == 0 || self.is_bulky && self.light_turns < LIGHT_TURNS;
        std::mem::replace(&mut self.is_bulky, is_bulky) != is_bulky
    }
}

/// What became ready.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Somebody wants something of the thread.
    pub(crate) is_woken: bool,
    has_bulky: bool,
}

#[derive(Debug)]
pub(crate) struct Turns {
    light: Epoll,
    bulky: Epoll,
    bulky_count: usize,
    events: Vec<EpollEvent>,
}

impl Turns {
    /// In `light`, for what wakes the thread.
    pub(crate) const WAKE_KEY: u64 = u64::MAX;
    const BULKY_KEY: u64 = u64::MAX - 1;

    pub(crate) fn new(light: Epoll) -> std::io::Result<Self> {
        let bulky = Epoll::new()?;
        light.add_level(bulky.as_raw_fd(), Interest::Readable, Self::BULKY_KEY)?;
        Ok(Self { light, bulky, bulky_count: 0, events: Vec::new() })
    }

    /// Waits; the light connections that are ready are in `into` afterwards.
    pub(crate) fn wait(
        &mut self,
        timeout_ms: i32,
        into: &mut Vec<usize>,
    ) -> std::io::Result<Ready> {
        self.events.clear();
        let waited = self.light.wait_for(&mut self.events, timeout_ms);
        let mut ready = Ready { is_woken: false, has_bulky: false };
        into.clear();
        for event in &self.events {
            match event.key {
                Self::WAKE_KEY => ready.is_woken = true,
                Self::BULKY_KEY => ready.has_bulky = true,
                index => into.push(index as usize),
            }
        }
        waited.map(|()| ready)
    }

    /// The bulky connections that have their turn now.
    pub(crate) fn next_bulky(&mut self, ready: &Ready, into: &mut Vec<usize>) {
        into.clear();
        if !ready.has_bulky {
            return;
        }
        self.events.clear();
        // Where it fails there is nobody; the next turn asks again.
        let _ = self.bulky.take_ready(&mut self.events, BULKY_COUNT);
        into.extend(self.events.iter().map(|event| event.key as usize));
    }

    /// What each may move.
    pub(crate) fn share(&self) -> Share {
        if self.bulky_count <= BULKY_COUNT { WHOLE_SHARE } else { SMALL_SHARE }
    }

    fn set_of(&self, is_bulky: bool) -> &Epoll {
        if is_bulky { &self.bulky } else { &self.light }
    }

    /// Watches a new connection.
    pub(crate) fn add(&self, fd: RawFd, index: usize) -> std::io::Result<()> {
        self.light.add_level(fd, Interest::Readable, index as u64)
    }

    /// Watches it for what it is interested in now.
    pub(crate) fn watch(&self, connection: &Connection, index: usize) {
        let _ = self.set_of(connection.pace.is_bulky).change_level(
            connection.fd(),
            connection.interest(),
            index as u64,
        );
    }

    pub(crate) fn remove(&mut self, connection: &Connection) {
        let is_bulky = connection.pace.is_bulky;
        self.bulky_count -= usize::from(is_bulky);
        let _ = self.set_of(is_bulky).remove(connection.fd());
    }

    /// A connection's turn begins. `false` when it cannot be watched any more.
    pub(crate) fn begin(&mut self, connection: &mut Connection, index: usize) -> bool {
        if !connection.pace.next_turn() {
            return true;
        }
        let is_bulky = connection.pace.is_bulky;
        let _ = self.set_of(!is_bulky).remove(connection.fd());
        if is_bulky {
            self.bulky_count += 1;
        } else {
            self.bulky_count -= 1;
        }
        self.set_of(is_bulky)
            .add_level(connection.fd(), connection.interest(), index as u64)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(pace: &mut Pace, moved: &[u64]) -> Vec<bool> {
        let mut changed = Vec::new();
        for bytes in moved {
            pace.moved_bytes = *bytes;
            changed.push(pace.next_turn());
        }
        changed
    }

    #[test]
    fn who_moves_much_is_bulky_until_it_has_not_for_a_while() {
        let mut pace = Pace::default();
        assert_eq!(changes(&mut pace, &[0, 100, BULKY_BYTES - 1]), [false; 3]);
        assert_eq!(changes(&mut pace, &[BULKY_BYTES]), [true]);
        let mut light = vec![0; LIGHT_TURNS as usize - 1];
        assert_eq!(changes(&mut pace, &light), vec![false; light.len()]);
        assert_eq!(changes(&mut pace, &[BULKY_BYTES]), [false], "it is still bulky");
        light.push(0);
        let changed = changes(&mut pace, &light);
        assert_eq!(changed.iter().filter(|changed| **changed).count(), 1);
        assert_eq!(changed.last(), Some(&true), "light after so many turns");
        assert!(!pace.is_bulky);
    }
}
