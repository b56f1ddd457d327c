//! Numbers for things that live on the native side.
//!
//! A handle is `generation × 2^24 + slot`, an integer that a JavaScript number holds exactly and that is never 0. Freeing a slot
//! raises its generation, so a handle that was freed finds nothing, also after its slot is in use again.

use parking_lot::RwLock;
use sluice_log::contention::Contention;

const SLOT_COUNT: usize = 1 << 24;
/// Beyond this a handle would not fit 53 bits; the slot is then left unused for good.
const LAST_GENERATION: u64 = (1 << 29) - 1;

struct Slot<T> {
    generation: u64,
    value: Option<T>,
}

struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

/// Values by handle, shared by all threads.
pub(crate) struct SlotTable<T> {
    inner: RwLock<Slots<T>>,
    contention: Contention,
}

fn compose(slot: usize, generation: u64) -> f64 {
    (generation * SLOT_COUNT as u64 + slot as u64) as f64
}

/// Slot and generation of a handle; a number that is none of ours gives a slot that does not match.
fn split(handle: f64) -> (usize, u64) {
    // A cast of NaN or of a number out of range saturates, and 0 has generation 0, which no slot has.
    let bits = handle as u64;
    ((bits % SLOT_COUNT as u64) as usize, bits / SLOT_COUNT as u64)
}

impl<T: Clone> SlotTable<T> {
    pub(crate) const fn new() -> Self {
        Self {
            inner: RwLock::new(Slots { slots: Vec::new(), free: Vec::new() }),
            contention: Contention::new(),
        }
    }

    /// Stores a value made from its own handle; `None` when all slots are taken.
    pub(crate) fn insert_with(&self, make: impl FnOnce(f64) -> T) -> Option<f64> {
        let mut inner = self.contention.take(|| self.inner.try_write(), || self.inner.write());
        let slot = match inner.free.pop() {
            Some(slot) => slot,
            None if inner.slots.len() < SLOT_COUNT => {
                inner.slots.push(Slot { generation: 1, value: None });
                inner.slots.len() - 1
            }
            None => return None,
        };
        let place = inner.slots.get_mut(slot)?;
        let handle = compose(slot, place.generation);
        place.value = Some(make(handle));
        Some(handle)
    }

    pub(crate) fn insert(&self, value: T) -> Option<f64> {
        self.insert_with(|_| value)
    }

    pub(crate) fn get(&self, handle: f64) -> Option<T> {
        let (slot, generation) = split(handle);
        let inner = self.contention.take(|| self.inner.try_read(), || self.inner.read());
        inner.slots.get(slot).filter(|place| place.generation == generation)?.value.clone()
    }

    /// Frees a handle and returns what it named.
    pub(crate) fn remove(&self, handle: f64) -> Option<T> {
        let (slot, generation) = split(handle);
        let mut inner = self.contention.take(|| self.inner.try_write(), || self.inner.write());
        let place = inner.slots.get_mut(slot).filter(|place| place.generation == generation)?;
        let value = place.value.take()?;
        place.generation += 1;
        if place.generation <= LAST_GENERATION {
            inner.free.push(slot);
        }
        Some(value)
    }

    /// How often somebody had to wait for the table.
    pub(crate) fn contentions(&self) -> u64 {
        self.contention.count()
    }

    /// Frees every handle whose value is chosen.
    pub(crate) fn remove_where(&self, mut is_chosen: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let mut removed = Vec::new();
        for (slot, place) in inner.slots.iter_mut().enumerate() {
            if let Some(value) = place.value.take_if(|value| is_chosen(value)) {
                removed.push(value);
                place.generation += 1;
                if place.generation <= LAST_GENERATION {
                    inner.free.push(slot);
                }
            }
        }
        removed
    }
}
