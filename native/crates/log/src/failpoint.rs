//! Named places in the code where a test can fail, crash or take a crash clone. Off, each costs one relaxed load.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The places. "Before" means that nothing happened yet, "after" that the system call returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Failpoint {
    BeforeAppend,
    AfterAppend,
    BeforeIndex,
    AfterIndex,
    BeforeSync,
    AfterSync,
    BeforeRoll,
    AfterRoll,
    BeforeRename,
    AfterRename,
    BeforeCheckpoint,
    AfterCheckpoint,
    BeforeSnapshot,
    AfterSnapshot,
    DuringRecovery,
    /// Between any two steps of putting a replica in another directory in its place.
    DuringMove,
}

type Action = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The actions of one store.
#[derive(Default)]
pub struct Failpoints {
    is_armed: AtomicBool,
    actions: Mutex<HashMap<Failpoint, Action>>,
}

impl Failpoints {
    /// Runs `action` whenever the place is passed; its error is taken for the operation's. It must not call into the log.
    pub fn arm(
        &self,
        place: Failpoint,
        action: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.actions.lock().insert(place, Box::new(action));
        self.is_armed.store(true, Ordering::Release);
    }

    /// Forgets all actions.
    pub fn clear(&self) {
        self.is_armed.store(false, Ordering::Release);
        self.actions.lock().clear();
    }

    pub(crate) fn hit(&self, place: Failpoint) -> io::Result<()> {
        if self.is_armed.load(Ordering::Relaxed) { self.run(place) } else { Ok(()) }
    }

    #[cold]
    fn run(&self, place: Failpoint) -> io::Result<()> {
        match self.actions.lock().get(&place) {
            Some(action) => action(),
            None => Ok(()),
        }
    }
}
