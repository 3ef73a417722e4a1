//! The async library behind a synchronous trait: futures run on a small runtime of their own,
//! and whoever asked waits for a message. Nothing here depends on what thread asks, so that a
//! store may be called from inside somebody else's runtime.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// Threads that move bytes: the work is copying and TLS.
const WORKERS: usize = 2;
/// Requests under way at once, of one store; more wait. A server that is slow is not asked for
/// more than it can hold, and no more connections are open.
pub(super) const REQUESTS_MAX: usize = 64;

pub(super) struct Driver {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    requests: Arc<Semaphore>,
}

impl Driver {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("bucket")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), requests: Arc::new(Semaphore::new(REQUESTS_MAX)) })
    }

    /// Begins a request; the answer comes through what is returned.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = sync_channel(1);
        let requests = Arc::clone(&self.requests);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // It is never closed.
                let _permit = requests.acquire_owned().await;
                // Nobody may be waiting any more.
                let _ = sender.send(request.await);
            });
        }
        Pending(receiver)
    }

    /// Makes a request and waits for the answer.
    pub(super) fn run<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.begin(request).wait()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Waiting for its threads would panic where the last owner is an async task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer that is to come.
pub(super) struct Pending<T>(Receiver<T>);

impl<T> Pending<T> {
    pub(super) fn wait(self) -> io::Result<T> {
        self.0.recv().map_err(|_| io::Error::other("a request ended without an answer"))
    }
}
