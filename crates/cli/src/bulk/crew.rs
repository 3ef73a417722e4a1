//! Several jobs at once, each worker with a connection of its own.

use std::sync::{Arc, Mutex, PoisonError};

use archipelago_env::Env;

use crate::client::Client;
use crate::failure::{Failure, Kind, Result};

/// Workers: more requests at once than a disk or a network needs to be busy, and an eighth of what
/// the server takes of all.
const WORKERS: usize = 4;

/// What a worker does with a job.
pub type Work<J> = dyn Fn(&Client, J) -> Result + Send + Sync;

struct Shared<J> {
    jobs: Box<dyn Iterator<Item = J> + Send>,
    failed: Option<Failure>,
}

/// Does all jobs. After the first that fails no other is begun, and its failure is the result.
pub fn run<J: Send + 'static>(
    env: &Env,
    client: &Client,
    jobs: impl Iterator<Item = J> + Send + 'static,
    work: Arc<Work<J>>,
) -> Result {
    let shared: Arc<Mutex<Shared<J>>> =
        Arc::new(Mutex::new(Shared { jobs: Box::new(jobs), failed: None }));
    let mut threads = Vec::new();
    for _ in 0..WORKERS {
        let (shared, work, client) = (Arc::clone(&shared), Arc::clone(&work), client.another());
        let body = move || {
            loop {
                let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let job = if all.failed.is_some() { None } else { all.jobs.next() };
                drop(all);
                let Some(job) = job else { return };
                if let Err(failure) = work(&client, job) {
                    let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    all.failed.get_or_insert(failure);
                    return;
                }
            }
        };
        let thread = env
            .threads()
            .spawn("transfer", Box::new(body))
            .map_err(Failure::local("start a thread"))?;
        threads.push(thread);
    }
    for thread in threads {
        thread.join().map_err(|panicked| Failure::new(Kind::Local, panicked.to_string()))?;
    }
    let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
    all.failed.take().map_or(Ok(()), Err)
}
