//! The helper threads of one connection, for what would keep it from taking further requests.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use archipelago_env::{Join, Panicked};
use parking_lot::{Condvar, Mutex};

use crate::hub::Hub;
use crate::limits::{HELPER_IDLE, HELPER_QUEUE_MAX, HELPERS_PER_CONNECTION_MAX};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Threads come when there is work that no idle one could take, and go when they were idle for
/// [`HELPER_IDLE`].
pub(crate) struct Crew {
    inner: Arc<Inner>,
    /// Of threads that may have ended.
    joins: Mutex<Vec<Box<dyn Join>>>,
}

struct Inner {
    hub: Arc<Hub>,
    connection: u64,
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    in_flight: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Crew {
    pub(crate) fn new(hub: Arc<Hub>, connection: u64) -> Self {
        let inner = Inner {
            hub,
            connection,
            state: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            in_flight: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner), joins: Mutex::default() }
    }

    /// Jobs that are not done yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.inner.in_flight.load(Ordering::Relaxed)
    }

    /// Has `job` done by a helper; does it here when there is none and there can be none. Waits
    /// while too much is waiting.
    pub(crate) fn run(&self, job: Job) {
        let inner = &self.inner;
        let mut state = inner.state.lock();
        if state.idle <= state.queue.len() && state.threads < HELPERS_PER_CONNECTION_MAX {
            self.hire(&mut state);
        }
        if state.threads == 0 {
            drop(state);
            return job();
        }
        while state.queue.len() >= HELPER_QUEUE_MAX {
            inner.room.wait(&mut state);
        }
        inner.in_flight.fetch_add(1, Ordering::Relaxed);
        state.queue.push_back(job);
        drop(state);
        inner.work.notify_one();
    }

    fn hire(&self, state: &mut State) {
        let hub = &self.inner.hub;
        if hub.helpers.fetch_add(1, Ordering::Relaxed) >= hub.limits.helpers {
            hub.helpers.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let inner = Arc::clone(&self.inner);
        let name = format!("nbd{}-helper", inner.connection);
        match hub.env.threads().spawn(&name, Box::new(move || inner.serve())) {
            Ok(join) => {
                state.threads += 1;
                let mut joins = self.joins.lock();
                if joins.len() >= 2 * HELPERS_PER_CONNECTION_MAX {
                    // Most of these have ended long ago; their number must not grow for ever.
                    joins.drain(..HELPERS_PER_CONNECTION_MAX);
                }
                joins.push(join);
            }
            Err(error) => {
                hub.helpers.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(%error, "cannot start a helper thread");
            }
        }
    }

    /// Waits until every job is done and every helper has gone.
    pub(crate) fn finish(&self) {
        {
            let mut state = self.inner.state.lock();
            state.closed = true;
            self.inner.work.notify_all();
            while state.threads > 0 {
                self.inner.room.wait(&mut state);
            }
        }
        for join in self.joins.lock().drain(..) {
            if let Err(panicked) = join.join() {
                tracing::error!(%panicked, "a helper thread died");
            }
        }
    }
}

impl Drop for Crew {
    /// Also when the connection's thread panics: nobody uses the export after its connection.
    fn drop(&mut self) {
        self.finish();
    }
}

impl Inner {
    fn serve(&self) {
        while let Some(job) = self.next() {
            // A panic ends the connection, by the request that it leaves unanswered, and not the
            // thread, which others count on.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                let panicked = Panicked::new("nbd helper", &*payload);
                tracing::error!(connection = self.connection, %panicked, "a request panicked");
            }
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        self.hub.helpers.fetch_sub(1, Ordering::Relaxed);
    }

    /// The next job; with `None` the calling thread counts as gone.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                self.room.notify_all();
                return Some(job);
            }
            let late = !state.closed && {
                state.idle += 1;
                let late = self.work.wait_for(&mut state, HELPER_IDLE).timed_out();
                state.idle -= 1;
                late && state.queue.is_empty()
            };
            if late || (state.closed && state.queue.is_empty()) {
                state.threads -= 1;
                self.room.notify_all();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
