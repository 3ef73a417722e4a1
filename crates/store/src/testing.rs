//! For tests: a world whose time passes by sleeping only, and a disk that fails when told to.

mod disk;

use std::sync::Arc;
use std::time::Duration;

use archipelago_env::{Clock, Env};
use parking_lot::Mutex;

pub(crate) use disk::{IllDisk, Ills};

/// A clock that only sleeping moves.
#[derive(Default)]
pub(crate) struct Slept(Mutex<Duration>);

impl Clock for Slept {
    fn unix_ms(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock()
    }

    fn sleep(&self, duration: Duration) {
        *self.0.lock() += duration;
    }
}

pub(crate) fn slept() -> (Arc<Slept>, Env) {
    let (clock, real) = (Arc::new(Slept::default()), Env::real());
    let env = Env::new(
        clock.clone(),
        Arc::clone(real.random()),
        Arc::clone(real.disk()),
        Arc::clone(real.threads()),
    );
    (clock, env)
}
