//! Lanes: requests that are done one behind the other, each batch of them by one of those who
//! wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use archipelago_model::ObjectName;
use parking_lot::{Condvar, Mutex};

use super::update::{Request, Updated};
use crate::error::{Error, ErrorKind};

/// So many requests are done together at most: one sync or transaction, which everybody else
/// waits for.
const BATCH_MAX: usize = 64;
/// Bytes in memory that are stored together at most.
const BATCH_BYTES_MAX: u64 = 8 << 20;
/// So many may wait in one lane. Each has a thread, so that there are seldom more.
const WAITING_MAX: usize = 1024;

/// An object, by container and name.
type Key = (u64, ObjectName);

/// What waits in a lane.
pub(super) trait Waits {
    /// Bytes that it has in memory.
    fn bytes(&self) -> u64;
}

/// The lanes of objects that somebody is in.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<Key, Arc<Lane<Request, Updated>>>>,
}

/// A lane: of requests `R`, each of which comes to a `T`.
pub(super) struct Lane<R, T> {
    state: Mutex<State<R, T>>,
    changed: Condvar,
}

struct State<R, T> {
    /// By ticket, ascending.
    waiting: VecDeque<(u64, R)>,
    done: HashMap<u64, Result<T, Error>>,
    /// Somebody is at work.
    busy: bool,
    next: u64,
}

impl<R, T> Default for Lane<R, T> {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), done: HashMap::new(), busy: false, next: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Lanes {
    /// [`Lane::pass`] in the lane of an object.
    pub(super) fn submit(
        &self,
        key: Key,
        request: Request,
        work: &dyn Fn(Vec<Request>) -> Vec<Result<Updated, Error>>,
    ) -> Result<Updated, Error> {
        // Before the lane, and so dropped behind it.
        let _leave = Leave { lanes: self, key: key.clone() };
        let lane = Arc::clone(self.lanes.lock().entry(key).or_default());
        lane.pass(request, work)
    }

    /// Whether nobody is in any lane.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.lock().is_empty()
    }
}

/// Whoever has left a lane. However that was, one that nobody is in any more is gone.
struct Leave<'a> {
    lanes: &'a Lanes,
    key: Key,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lanes.lock();
        // Only the table has it: whoever comes later makes another.
        if lanes.get(&self.key).is_some_and(|lane| Arc::strong_count(lane) == 1) {
            lanes.remove(&self.key);
        }
    }
}

impl<R: Waits, T> Lane<R, T> {
    /// Waits until a request is done, by `work` in this thread or by that of another. The
    /// outcomes of `work` are in the order of its requests, as their effects are.
    pub(super) fn pass(
        &self,
        request: R,
        work: &dyn Fn(Vec<R>) -> Vec<Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut state = self.state.lock();
        if state.waiting.len() >= WAITING_MAX {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("{WAITING_MAX} others wait already to write here; try again"),
            ));
        }
        let ticket = state.next;
        state.next += 1;
        state.waiting.push_back((ticket, request));
        loop {
            if let Some(outcome) = state.done.remove(&ticket) {
                return outcome;
            }
            if state.busy {
                self.changed.wait(&mut state);
                continue;
            }
            state.busy = true;
            let (tickets, requests) = state.batch();
            drop(state);
            let mut leading = Leading { lane: self, tickets, outcomes: Vec::new() };
            leading.outcomes = work(requests);
            drop(leading);
            state = self.state.lock();
        }
    }
}

impl<R: Waits, T> State<R, T> {
    /// The first that wait, as many as are done together.
    fn batch(&mut self) -> (Vec<u64>, Vec<R>) {
        let (mut tickets, mut requests) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while let Some((ticket, request)) = self.waiting.pop_front() {
            bytes += request.bytes();
            let full = tickets.len() == BATCH_MAX || bytes > BATCH_BYTES_MAX;
            if full && !tickets.is_empty() {
                self.waiting.push_front((ticket, request));
                break;
            }
            tickets.push(ticket);
            requests.push(request);
        }
        (tickets, requests)
    }
}

/// Whoever is at work. However that ends, those that are worked for get an answer and the lane
/// is free.
struct Leading<'a, R, T> {
    lane: &'a Lane<R, T>,
    tickets: Vec<u64>,
    outcomes: Vec<Result<T, Error>>,
}

impl<R, T> Drop for Leading<'_, R, T> {
    fn drop(&mut self) {
        let mut state = self.lane.state.lock();
        let mut outcomes = std::mem::take(&mut self.outcomes).into_iter();
        for ticket in self.tickets.drain(..) {
            let outcome = outcomes.next().unwrap_or_else(|| Err(unknown_end()));
            state.done.insert(ticket, outcome);
        }
        state.busy = false;
        drop(state);
        self.lane.changed.notify_all();
    }
}

fn unknown_end() -> Error {
    let message = "what was sent ended in a defect; look whether the object has it";
    Error::new(ErrorKind::Internal, message)
}
