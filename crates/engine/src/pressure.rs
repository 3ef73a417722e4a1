//! Memory of overlays: writers wait when there is too much, and the background
//! is woken when there is work.

use std::time::Duration;

use archipelago_env::Env;
use parking_lot::{Condvar, Mutex};

use crate::error::Error;

/// A writer waits so long for checkpoints to make room before it gets an error
/// (a full disk keeps them from it, and the guest must learn that).
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Extents in all overlays, and who waits for them to become fewer.
pub(crate) struct Pressure {
    max: usize,
    extents: Mutex<usize>,
    fewer: Condvar,
}

impl Pressure {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, extents: Mutex::new(0), fewer: Condvar::new() }
    }

    pub(crate) fn extents(&self) -> usize {
        *self.extents.lock()
    }

    /// An overlay had `before` extents and has `after`.
    pub(crate) fn changed(&self, before: usize, after: usize) {
        if before == after {
            return;
        }
        let mut extents = self.extents.lock();
        *extents = (*extents + after).saturating_sub(before);
        if after < before {
            self.fewer.notify_all();
        }
    }

    /// Half of what is allowed is in use.
    pub(crate) fn is_high(&self) -> bool {
        *self.extents.lock() >= self.max / 2
    }

    pub(crate) fn wait(&self, env: &Env) -> Result<(), Error> {
        let mut extents = self.extents.lock();
        if *extents < self.max {
            return Ok(());
        }
        let until = env.clock().monotonic() + WAIT_MAX;
        while *extents >= self.max {
            let now = env.clock().monotonic();
            if now >= until {
                let what = format!("{} unpersisted extents, and no checkpoint succeeds", *extents);
                return Err(Error::NoSpace(what));
            }
            self.fewer.wait_for(&mut extents, until - now);
        }
        Ok(())
    }
}

/// Wakes the background.
#[derive(Default)]
pub(crate) struct Work {
    state: Mutex<WorkState>,
    changed: Condvar,
}

#[derive(Default)]
struct WorkState {
    wanted: bool,
    stopped: bool,
}

impl Work {
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        if !state.wanted {
            state.wanted = true;
            self.changed.notify_all();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits until woken, stopped or timed out; gives whether it is stopped.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.wanted && !state.stopped {
            self.changed.wait_for(&mut state, timeout);
        }
        state.wanted = false;
        state.stopped
    }
}
