//! Memory of a lane's connections: buffers in powers of two under one budget, kept for the next frame because first touching fresh
//! memory costs more than copying into it.

const CLASS_BITS_MIN: u32 = 12;
const CLASS_COUNT: usize = 12;

/// Largest buffer, and so largest frame that a lane assembles.
pub(crate) const LARGEST_BYTES: usize = 1 << (CLASS_BITS_MIN as usize + CLASS_COUNT - 1);

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Buffers {
    idle: [Vec<Vec<u8>>; CLASS_COUNT],
    idle_bytes: usize,
    used_bytes: usize,
    max_bytes: usize,
}

fn class_of(bytes: usize) -> usize {
    (bytes.max(1).next_power_of_two().trailing_zeros().saturating_sub(CLASS_BITS_MIN)) as usize
}

impl Buffers {
    /// None yet, and at most `max_bytes` of them, lent and idle ones together.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { idle: [const { Vec::new() }; CLASS_COUNT], idle_bytes: 0, used_bytes: 0, max_bytes }
    }

    /// A buffer of at least `bytes` that is there already.
    pub(crate) fn take_idle(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let buffer = self.idle.get_mut(class_of(bytes))?.pop()?;
        self.idle_bytes -= buffer.len();
        self.used_bytes += buffer.len();
        Some(buffer)
    }

    /// A buffer of at least `bytes`; all of its length may be written to. `None` where the budget is spent.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        if let Some(buffer) = self.take_idle(bytes) {
            return Some(buffer);
        }
        if bytes > LARGEST_BYTES {
            return None;
        }
        let size = 1_usize << (class_of(bytes) as u32 + CLASS_BITS_MIN);
        if self.used_bytes + self.idle_bytes + size > self.max_bytes {
            self.drop_idle();
        }
        if self.used_bytes + size > self.max_bytes {
            return None;
        }
        self.used_bytes += size;
        Some(vec![0; size])
    }

    /// Takes a buffer back that `take` gave; one without memory is none.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.is_empty() {
            return;
        }
        self.used_bytes = self.used_bytes.saturating_sub(buffer.len());
        if self.used_bytes + self.idle_bytes + buffer.len() <= self.max_bytes
            && let Some(idle) = self.idle.get_mut(class_of(buffer.len()))
        {
            self.idle_bytes += buffer.len();
            idle.push(buffer);
        }
    }

    /// Frees what is idle.
    pub(crate) fn drop_idle(&mut self) {
        self.idle.iter_mut().for_each(Vec::clear);
        self.idle_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_stay_within_the_budget_and_are_used_again() {
        let mut buffers = Buffers::new(64 << 10);
        let first = buffers.take(40_000).expect("fits");
        assert_eq!(first.len(), 64 << 10);
        assert!(buffers.take(1).is_none());
        buffers.give_back(first);
        assert_eq!(buffers.take(33_000).expect("idle").len(), 64 << 10);
        let mut other = Buffers::new(usize::MAX / 2);
        assert!(other.take(LARGEST_BYTES + 1).is_none());
        assert_eq!(other.take(LARGEST_BYTES).expect("fits").len(), LARGEST_BYTES);
        assert_eq!(other.take(1).expect("fits").len(), 4096);
    }

    #[test]
    fn idle_buffers_make_room_for_another_size() {
        let mut buffers = Buffers::new(64 << 10);
        let many: Vec<_> = (0..16).map(|_| buffers.take(4096).expect("fits")).collect();
        assert!(buffers.take(4096).is_none());
        for buffer in many {
            buffers.give_back(buffer);
        }
        assert_eq!(buffers.take(60_000).expect("after freeing the idle ones").len(), 64 << 10);
    }
}
