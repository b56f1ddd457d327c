//! Keeps looking at the free bytes of each disk.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::directory::Directory;

/// The thread that asks for free bytes. It writes nothing, so that a slow disk does not make it late.
pub(super) struct SpaceWatch {
    is_stopped: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SpaceWatch {
    const INTERVAL: Duration = Duration::from_secs(1);

    pub(super) fn start(directories: Vec<Arc<Directory>>) -> Self {
        let is_stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let stop = Arc::clone(&is_stopped);
        let run = move || {
            let (is_stopped, wake) = &*stop;
            let mut stopped = is_stopped.lock();
            while !*stopped {
                wake.wait_for(&mut stopped, Self::INTERVAL);
                for directory in &directories {
                    directory.sample_space();
                }
            }
        };
        // Without the thread nothing is reserved: the disk itself then refuses.
        let thread = std::thread::Builder::new().name("log-space".to_owned()).spawn(run).ok();
        Self { is_stopped, thread: Mutex::new(thread) }
    }

    /// Watches nothing.
    pub(super) fn none() -> Self {
        Self { is_stopped: Arc::default(), thread: Mutex::new(None) }
    }

    pub(super) fn stop(&self) {
        *self.is_stopped.0.lock() = true;
        self.is_stopped.1.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
