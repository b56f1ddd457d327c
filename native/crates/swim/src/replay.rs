//! Which sequence numbers of a sender have been seen: the highest, and which of the 1024 below it.

const WORDS: usize = 16;
/// Numbers this far below the highest are refused: whether they were seen is no longer known.
pub(crate) const WINDOW: u64 = WORDS as u64 * 64;

/// Sequence numbers seen of one sender.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplayWindow {
    highest: u64,
    /// Bit `n % WINDOW` stands for number `n` of the window that ends at `highest`.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    fn bit(number: u64) -> (usize, u64) {
        ((number % WINDOW / 64) as usize, 1 << (number % 64))
    }

    /// Takes a number; `false` when it was taken before, or is too far behind to tell. Zero is never taken.
    pub(crate) fn take(&mut self, number: u64) -> bool {
        if number == 0 || self.highest.saturating_sub(number) >= WINDOW {
            return false;
        }
        if number > self.highest {
            if number - self.highest >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for passed in self.highest + 1..number {
                    self.set(passed, false);
                }
            }
            self.highest = number;
            self.set(number, true);
            return true;
        }
        let (word, bit) = Self::bit(number);
        let is_new = self.seen.get(word).is_some_and(|bits| bits & bit == 0);
        self.set(number, true);
        is_new
    }

    fn set(&mut self, number: u64, is_seen: bool) {
        let (word, bit) = Self::bit(number);
        if let Some(bits) = self.seen.get_mut(word) {
            if is_seen {
                *bits |= bit;
            } else {
                *bits &= !bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn far_ahead_forgets_and_far_behind_is_refused() {
        let mut window = ReplayWindow::default();
        assert!(!window.take(0));
        assert!(window.take(1_000_000));
        assert!(!window.take(1_000_000));
        assert!(window.take(1_000_000 - WINDOW + 1));
        assert!(!window.take(1_000_000 - WINDOW));
        assert!(window.take(u64::MAX));
        assert!(!window.take(u64::MAX));
        assert!(window.take(u64::MAX - 1));
    }

    proptest! {
        /// Beside a model that forgets nothing: no number is taken twice, and one within the window is refused only if it was.
        #[test]
        fn as_a_set(steps in prop::collection::vec((0_u64..3000, 0_u64..1200), 1..300)) {
            let mut window = ReplayWindow::default();
            let mut taken = BTreeSet::new();
            let mut base = 1;
            for (ahead, behind) in steps {
                base += ahead / 10;
                let number = (base + ahead % 7).saturating_sub(behind).max(1);
                let highest = taken.last().copied().unwrap_or(0);
                let is_old = number + WINDOW <= highest;
                prop_assert_eq!(window.take(number), !is_old && !taken.contains(&number));
                if !is_old {
                    taken.insert(number);
                }
            }
        }
    }
}
