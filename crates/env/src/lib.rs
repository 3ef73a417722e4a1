//! Clock, randomness, threads and disk behind traits, so that the simulator can own them.
//!
//! This is the only crate that asks the operating system for the time, for
//! random bytes, for a thread or for a file of the store. Everything else takes
//! an [`Env`]; the `sim` crate hands out one that is deterministic and whose disk
//! loses what was not synced.

pub mod clock;
pub mod disk;
pub mod random;
pub mod threads;

use std::fmt;
use std::sync::Arc;

pub use clock::Clock;
pub use disk::{Disk, Entry, File, Lock, Mode, Space};
pub use random::Random;
pub use threads::{Join, Panicked, Threads};

/// The outside world, as one cheap handle to pass down.
#[derive(Clone)]
pub struct Env {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    disk: Arc<dyn Disk>,
    threads: Arc<dyn Threads>,
}

impl Env {
    /// A world of these parts; the simulator brings its own.
    pub fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        disk: Arc<dyn Disk>,
        threads: Arc<dyn Threads>,
    ) -> Self {
        Self { clock, random, disk, threads }
    }

    /// The operating system.
    pub fn real() -> Self {
        Self::new(
            Arc::new(clock::SystemClock::new()),
            Arc::new(random::SystemRandom),
            Arc::new(disk::SystemDisk),
            Arc::new(threads::SystemThreads),
        )
    }

    /// The time of day, intervals and sleeping.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Unpredictable bytes.
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.random
    }

    /// Files and directories.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Background threads.
    pub fn threads(&self) -> &Arc<dyn Threads> {
        &self.threads
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}
