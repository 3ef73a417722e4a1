//! Lanes: those who update one object, one behind the other, each batch by one of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use archipelago_model::ObjectName;
use parking_lot::{Condvar, Mutex};

use super::{Request, Updated};
use crate::error::{Error, ErrorKind};

/// So many updates are bound together at most: one transaction, which everybody else waits
/// for, and for each of them a root where versions are kept.
const BATCH_UPDATES_MAX: usize = 64;
/// Bytes in memory that are stored together at most.
const BATCH_BYTES_MAX: u64 = 8 << 20;
/// So many may wait for one object. Each has a thread, so that there are seldom more.
const WAITING_MAX: usize = 1024;

type Outcome = Result<Updated, Error>;
/// An object, by container and name.
type Key = (u64, ObjectName);

/// The lanes that somebody is in.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<Key, Arc<Lane>>>,
}

#[derive(Default)]
struct Lane {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By ticket, ascending.
    waiting: VecDeque<(u64, Request)>,
    done: HashMap<u64, Outcome>,
    /// Somebody is binding.
    busy: bool,
    next: u64,
}

impl Lanes {
    /// Waits until a request is bound, by `work` in this thread or by that of another. The
    /// outcomes of `work` are in the order of its requests, as their effects are.
    pub(super) fn submit(
        &self,
        key: Key,
        request: Request,
        work: &dyn Fn(Vec<Request>) -> Vec<Outcome>,
    ) -> Outcome {
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

impl Lane {
    fn pass(&self, request: Request, work: &dyn Fn(Vec<Request>) -> Vec<Outcome>) -> Outcome {
        let mut state = self.state.lock();
        if state.waiting.len() >= WAITING_MAX {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("{WAITING_MAX} updates of this object wait already; try again"),
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

impl State {
    /// The first that wait, as many as are bound together.
    fn batch(&mut self) -> (Vec<u64>, Vec<Request>) {
        let (mut tickets, mut requests) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while let Some((ticket, request)) = self.waiting.pop_front() {
            bytes += request.inline_bytes();
            let full = tickets.len() == BATCH_UPDATES_MAX || bytes > BATCH_BYTES_MAX;
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

/// Whoever binds. However that ends, those bound for get an answer and the lane is free.
struct Leading<'a> {
    lane: &'a Lane,
    tickets: Vec<u64>,
    outcomes: Vec<Outcome>,
}

impl Drop for Leading<'_> {
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
    let message = "binding an update ended in a defect; look whether the object has it";
    Error::new(ErrorKind::Internal, message)
}
