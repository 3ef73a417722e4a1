//! The async library behind a synchronous trait: futures run on a small runtime of their own,
//! and whoever asked waits for a message. Nothing here depends on what thread asks, so that a
//! store may be called from inside somebody else's runtime.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// A request and its answer may take so long, ...
const REQUEST_BASE: Duration = Duration::from_secs(30);
/// ... and what their bytes take at the least rate that a link must have for each of those that are
/// under way at once: so three segments that are put share a link of 200 KB/s. One of 32 MiB has
/// 9 minutes; nobody but who puts it waits for that.
const REQUEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// What a request and its answer may take.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    pub base: Duration,
    pub bytes_per_second: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { base: REQUEST_BASE, bytes_per_second: REQUEST_BYTES_PER_SECOND }
    }
}

impl Allowance {
    pub(super) fn of(&self, bytes: u64) -> Duration {
        let millis = u128::from(bytes) * 1000 / u128::from(self.bytes_per_second.max(1));
        self.base + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

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

    /// Begins a request; the answer comes through what is returned, after `allowed` at the latest.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        allowed: Duration,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = sync_channel(1);
        let requests = Arc::clone(&self.requests);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // It is never closed.
                let _permit = requests.acquire_owned().await;
                let answer = tokio::time::timeout(allowed, request).await.map_err(|_| {
                    let why = format!("no answer within {} s", allowed.as_secs());
                    io::Error::new(io::ErrorKind::TimedOut, why)
                });
                // Nobody may be waiting any more.
                let _ = sender.send(answer);
            });
        }
        Pending(receiver)
    }

    /// Makes a request and waits for the answer, no longer than is `allowed`.
    pub(super) fn run<T: Send + 'static>(
        &self,
        allowed: Duration,
        request: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.begin(allowed, request).wait()
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
pub(super) struct Pending<T>(Receiver<io::Result<T>>);

impl<T> Pending<T> {
    pub(super) fn wait(self) -> io::Result<T> {
        let none = |_| Err(io::Error::other("a request ended without an answer"));
        self.0.recv().unwrap_or_else(none)
    }
}
