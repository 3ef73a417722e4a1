//! Threads that run when told, on the thread that tells them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use archipelago_env::{Join, Panicked, Threads};
use parking_lot::Mutex;

/// Threads that wait to run: more than any node starts, so that a leak shows.
const WAITING_MAX: usize = 1024;

type Body = Box<dyn FnOnce() + Send>;

/// What a thread came to; shared with who may join it.
enum State {
    Waiting(Body),
    /// On some stack further up: it is being run and has not returned yet.
    Running,
    Ended(Result<(), Panicked>),
    Forgotten,
}

struct Task {
    name: String,
    state: Mutex<State>,
}

/// Spawning only notes a body down. It runs, on the thread of the caller and to
/// its end, when it is joined or at [`SimThreads::run`]; a body that nobody joins
/// never runs, which is what a slow machine might do too.
///
/// So a background loop that ends once told so runs exactly its last round: its
/// owner tells it and joins it. What it does at intervals, a test calls itself.
#[derive(Default)]
pub struct SimThreads {
    waiting: Mutex<Vec<Arc<Task>>>,
}

impl SimThreads {
    /// No threads yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs those that wait, in the order of spawning, and those that they
    /// spawn; returns how many.
    pub fn run(&self) -> usize {
        let mut ran = 0;
        loop {
            let batch = std::mem::take(&mut *self.waiting.lock());
            if batch.is_empty() {
                return ran;
            }
            ran += batch.iter().filter(|task| task.run()).count();
        }
    }

    /// Runs those of this name that wait, in the order of spawning; returns how many.
    pub fn run_named(&self, name: &str) -> usize {
        let batch: Vec<Arc<Task>> =
            self.waiting.lock().iter().filter(|task| task.name == name).cloned().collect();
        batch.iter().filter(|task| task.run()).count()
    }

    /// Power fails: those that wait are dropped.
    pub(crate) fn forget(&self) {
        let batch = std::mem::take(&mut *self.waiting.lock());
        for task in batch {
            // The body is dropped outside of the lock: its destructors may spawn.
            let waiting = {
                let mut state = task.state.lock();
                match &*state {
                    State::Waiting(_) => std::mem::replace(&mut *state, State::Forgotten),
                    _ => continue,
                }
            };
            drop(waiting);
        }
    }
}

impl Task {
    /// Whether it was waiting and has now run.
    fn run(&self) -> bool {
        let body = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut *state, State::Running) {
                State::Waiting(body) => body,
                other => {
                    *state = other;
                    return false;
                }
            }
        };
        let ended = catch_unwind(AssertUnwindSafe(body))
            .map_err(|payload| Panicked::new(&self.name, &*payload));
        *self.state.lock() = State::Ended(ended);
        true
    }
}

impl Threads for SimThreads {
    fn spawn(&self, name: &str, body: Body) -> io::Result<Box<dyn Join>> {
        let mut waiting = self.waiting.lock();
        waiting.retain(|task| matches!(&*task.state.lock(), State::Waiting(_)));
        if waiting.len() >= WAITING_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let state = Mutex::new(State::Waiting(body));
        let task = Arc::new(Task { name: name.to_owned(), state });
        waiting.push(Arc::clone(&task));
        Ok(Box::new(SimJoin { task }))
    }

    fn are_concurrent(&self) -> bool {
        false
    }
}

struct SimJoin {
    task: Arc<Task>,
}

impl Join for SimJoin {
    fn join(self: Box<Self>) -> Result<(), Panicked> {
        self.task.run();
        match &*self.task.state.lock() {
            State::Ended(result) => result.clone(),
            State::Forgotten => Ok(()),
            State::Waiting(_) | State::Running => {
                let text = "it was joined from within itself";
                Err(Panicked { thread: self.task.name.clone(), message: text.to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
