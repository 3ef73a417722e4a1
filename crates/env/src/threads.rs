//! Background threads.

use std::any::Any;
use std::io;
use std::thread;

/// Starts threads.
pub trait Threads: Send + Sync {
    /// Runs `body` beside the caller, on a thread that debuggers show as `name`
    /// (Linux shows its first 15 bytes).
    ///
    /// Dropping what is returned leaves the thread running. A thread that has to
    /// end is told so by its owner, who then calls [`Join::join`].
    ///
    /// # Errors
    /// The system has no room for one more thread, or `name` holds a zero byte.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Join>>;

    /// Whether what is spawned runs while its starter goes on. Where it waits until it is joined,
    /// as in the simulator, who wants something done without joining does it himself.
    fn are_concurrent(&self) -> bool {
        true
    }
}

/// A running thread.
pub trait Join: Send {
    /// Waits until the thread has ended.
    ///
    /// # Errors
    /// The thread ended by a panic.
    fn join(self: Box<Self>) -> Result<(), Panicked>;
}

/// A thread ended by a panic, which is a defect of the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("thread {thread} panicked: {message}")]
pub struct Panicked {
    /// The name that the thread was given.
    pub thread: String,
    /// What the panic said, if it said anything in words.
    pub message: String,
}

impl Panicked {
    /// From what [`std::panic::catch_unwind`] or a join handle gave.
    pub fn new(thread: &str, payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no message)".to_owned());
        Self { thread: thread.to_owned(), message }
    }
}

/// Threads of the operating system.
pub(crate) struct SystemThreads;

impl Threads for SystemThreads {
    #[allow(clippy::disallowed_methods, reason = "this is what the ban sends everybody to")]
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Join>> {
        // The standard library panics on such a name; callers may build names
        // from what a user typed.
        if name.contains('\0') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a thread's name holds a zero byte",
            ));
        }
        let handle = thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Box::new(SystemJoin { name: name.to_owned(), handle }))
    }
}

struct SystemJoin {
    name: String,
    handle: thread::JoinHandle<()>,
}

impl Join for SystemJoin {
    fn join(self: Box<Self>) -> Result<(), Panicked> {
        self.handle.join().map_err(|payload| Panicked::new(&self.name, &*payload))
    }
}

#[cfg(test)]
mod tests;
