//! Calls of the pool from async code: on blocking threads, so many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use archipelago_pool::{Error, Service};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// Verbs that neither read nor write a stream, running at once. They end soon
/// and share one catalog, so that more would only wait there.
const CALLS_MAX: usize = 16;

/// Transfers running at once. Each holds a thread and a few MiB while its
/// client sends or receives, however slow that client is.
pub(crate) const TRANSFERS_MAX: usize = 32;

/// Who waits for a place among the transfers: while somebody does, slow clients lose theirs.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<AtomicUsize>);

impl Line {
    /// Whether anybody is in it.
    pub(crate) fn is_waited_in(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    fn enter(&self) -> InLine {
        self.0.fetch_add(1, Relaxed);
        InLine(self.clone())
    }
}

/// Somebody in a line, until it is dropped.
struct InLine(Line);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// Hashings of long objects running at once, for whoever asks for the hashes of one that came
/// by another door: each reads all of it and holds its hashes, up to some 150 MB.
const HASHINGS_MAX: usize = 2;

/// Files that are made of long lists of hashes at once: each list is held in memory with where
/// its blocks are, up to some 300 MB. One on its way in or waiting takes up to 42 MB.
const LISTS_MAX: usize = 2;

/// Requests at once of which it is found out who asks: a look or two at the catalog. They have a
/// line of their own, so that verbs which take long keep nobody from being told who it is.
const ASKS_MAX: usize = 4;

/// Logins running at once: each computes a hash that takes a processor and memory on
/// purpose. They have a limit of their own, so that guessing does not keep other verbs waiting.
const LOGINS_MAX: usize = 4;

/// Blocking threads that a runtime should allow for this crate: all that
/// the limits above may ask for. Requests over a limit wait in line; the line
/// is as long as connections are many.
pub const BLOCKING_THREADS_MAX: usize =
    CALLS_MAX + TRANSFERS_MAX + HASHINGS_MAX + ASKS_MAX + LOGINS_MAX;

/// The limits.
pub(crate) struct Calls {
    calls: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    line: Line,
    hashings: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    asks: Arc<Semaphore>,
    logins: Arc<Semaphore>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)),
            line: Line::default(),
            hashings: Arc::new(Semaphore::new(HASHINGS_MAX)),
            lists: Arc::new(Semaphore::new(LISTS_MAX)),
            asks: Arc::new(Semaphore::new(ASKS_MAX)),
            logins: Arc::new(Semaphore::new(LOGINS_MAX)),
        }
    }

    /// Runs a short verb. It runs to its end even when the client goes away.
    pub(crate) async fn call<T, F>(&self, service: &Arc<Service>, verb: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
    {
        run(acquire(&self.calls).await?, service, verb).await
    }

    /// Finds out who asks.
    pub(crate) async fn ask<T, F>(&self, service: &Arc<Service>, verb: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
    {
        run(acquire(&self.asks).await?, service, verb).await
    }

    /// Runs a verb that may take as long as a transfer does.
    pub(crate) async fn long<T, F>(&self, service: &Arc<Service>, verb: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
    {
        run(self.transfer().await?, service, verb).await
    }

    /// Runs a verb that computes the hash of a password.
    pub(crate) async fn login<T, F>(&self, service: &Arc<Service>, verb: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
    {
        run(acquire(&self.logins).await?, service, verb).await
    }

    /// The right to run one transfer; to be dropped by the thread that runs it.
    pub(crate) async fn transfer(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = Arc::clone(&self.transfers).try_acquire_owned() {
            return Ok(permit);
        }
        let _waits = self.line.enter();
        acquire(&self.transfers).await
    }

    /// The line for it.
    pub(crate) fn line(&self) -> Line {
        self.line.clone()
    }

    /// The right to hash one long object; to be dropped by the thread that does.
    pub(crate) async fn hashing(&self) -> Result<OwnedSemaphorePermit, Failure> {
        acquire(&self.hashings).await
    }

    /// The right to make a file of a long list of hashes, for a thread with the right to run a
    /// transfer.
    pub(crate) async fn list(&self) -> Result<OwnedSemaphorePermit, Failure> {
        acquire(&self.lists).await
    }

    /// How many transfers run now.
    pub(crate) fn transfers_running(&self) -> usize {
        TRANSFERS_MAX.saturating_sub(self.transfers.available_permits())
    }

    /// Refuses all further calls and returns once none runs.
    pub(crate) async fn drain(&self) {
        let calls = self.calls.acquire_many(CALLS_MAX as u32).await;
        let transfers = self.transfers.acquire_many(TRANSFERS_MAX as u32).await;
        let hashings = self.hashings.acquire_many(HASHINGS_MAX as u32).await;
        let asks = self.asks.acquire_many(ASKS_MAX as u32).await;
        let logins = self.logins.acquire_many(LOGINS_MAX as u32).await;
        self.calls.close();
        self.transfers.close();
        self.hashings.close();
        // What is done with these holds the right to a transfer, too.
        self.lists.close();
        self.asks.close();
        self.logins.close();
        drop((calls, transfers, hashings, asks, logins));
    }
}

async fn run<T, F>(
    permit: OwnedSemaphorePermit,
    service: &Arc<Service>,
    verb: F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
{
    let service = Arc::clone(service);
    let job = tokio::task::spawn_blocking(move || {
        let result = verb(&service);
        drop(permit);
        result
    });
    job.await.map_err(Failure::panicked)?.map_err(Failure::from)
}

async fn acquire(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
    Arc::clone(semaphore).acquire_owned().await.map_err(|_| Failure::stopping())
}
