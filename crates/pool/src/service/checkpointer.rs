//! The background: overlays become maps, before they grow large or old.

use std::sync::Arc;
use std::time::Duration;

use archipelago_engine as engine;
use archipelago_env::Join;

use super::{Config, Service};
use crate::catalog::segment;
use crate::core::Core;
use crate::error::{Error, ErrorKind};

/// The background looks so often whether it has to end.
const POLL: Duration = Duration::from_millis(200);
/// After a failure it waits this long, ...
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// ... and twice as long after each further one, up to this: about the time in
/// which someone who has freed space expects to see it work again.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Segments that are read into the dedup index between two looks whether to end:
/// some milliseconds.
const LEARN_BATCH: usize = 64;

/// Starts the background.
pub(super) fn start(core: &Arc<Core>, config: &Config) -> Result<Box<dyn Join>, Error> {
    let interval = Duration::from_millis(config.checkpoint_interval_ms);
    let shared = Arc::clone(core);
    core.env.threads().spawn("checkpointer", Box::new(move || shared.run(interval))).map_err(
        |error| {
            Error::new(ErrorKind::Unavailable, format!("cannot start a thread: {error}; try again"))
                .with_source(error)
        },
    )
}

/// Reads what is stored into the dedup index, beside everything else, so that
/// opening does not wait for it.
pub(super) fn learn(core: &Arc<Core>) -> Option<Box<dyn Join>> {
    let shared = Arc::clone(core);
    let body = move || match shared.catalog.read(segment::cold_ids) {
        Ok(mut ids) => {
            ids.retain(|id| shared.pools.spread.is_open(shared.store.pool_of(*id)));
            let mut batches = ids.chunks(LEARN_BATCH);
            while let Some(batch) = batches.next().filter(|_| !shared.stopping()) {
                shared.engine.learn(batch);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the dedup index stays empty: duplicates are stored again");
        }
    };
    match core.env.threads().spawn("dedup-index", Box::new(body)) {
        Ok(join) => Some(join),
        Err(error) => {
            tracing::warn!(%error, "the dedup index stays empty: duplicates are stored again");
            None
        }
    }
}

impl Service {
    /// One round of the background on the thread of the caller, for simulators,
    /// whose threads do not run by themselves: reads the dedup index, does the log's
    /// upkeep, makes the disks in image files, and persists what is due, or `all` there is.
    ///
    /// # Errors
    /// What could not be persisted stays where it is, for the next round.
    pub fn step(&self, all: bool) -> Result<(), Error> {
        let core = &self.core;
        core.engine.learn(&core.catalog.read(segment::cold_ids)?);
        self.step_views()?;
        let mut due = core.engine.checkpoint_due(Duration::ZERO);
        if all {
            due = core.engine.dirty_volumes();
        }
        if due.is_empty() { Ok(()) } else { core.persist(&due, true) }
    }
}

impl Core {
    fn run(&self, interval: Duration) {
        let mut backoff = BACKOFF_MIN;
        let mut last = self.env.clock().monotonic();
        while !self.stopping() {
            let mut due = self.engine.checkpoint_due(POLL);
            let now = self.env.clock().monotonic();
            if now.saturating_sub(last) >= interval {
                due = self.engine.dirty_volumes();
                last = now;
            }
            if self.stopping() || due.is_empty() {
                continue;
            }
            match self.persist(&due, true) {
                Ok(()) => {
                    self.mended();
                    backoff = BACKOFF_MIN;
                }
                Err(error) => {
                    self.failing(&error);
                    self.pause(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// Persists these volumes. One that another holder has taken over does not
    /// keep the others from it.
    fn persist(&self, volumes: &[Arc<engine::Volume>], merge: bool) -> Result<(), Error> {
        match self.checkpoint(volumes, merge, |_, _| Ok(())) {
            Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Damaged) => {}
            other => return other,
        }
        let mut result = Ok(());
        for volume in volumes {
            match self.checkpoint(std::slice::from_ref(volume), merge, |_, _| Ok(())) {
                Err(error) if error.kind() == ErrorKind::Fenced => {
                    tracing::warn!(volume = %volume.id(), %error, "the lease of a volume is over");
                    self.attachments.forget(volume);
                    self.engine.forget(volume);
                }
                Err(error) => result = Err(error),
                Ok(()) => {}
            }
        }
        result
    }

    /// Persists every volume that needs it.
    pub(super) fn persist_all(&self) -> Result<(), Error> {
        let dirty = self.engine.dirty_volumes();
        if dirty.is_empty() { Ok(()) } else { self.persist(&dirty, false) }
    }

    /// Notes the segments that closing sealed, and that the log has nothing left to
    /// read back. Not doing it costs the next opening some time.
    pub(super) fn record_sealed(&self) {
        if let Err(error) = self.checkpoint(&[], false, |_, _| Ok(())) {
            tracing::debug!(%error, "the end of the log is not noted");
        }
    }

    fn mended(&self) {
        if self.problem.lock().take().is_some() {
            tracing::info!("checkpoints succeed again");
        }
    }

    /// Says it once, not at each attempt.
    fn failing(&self, error: &Error) {
        let message = error.to_string();
        let mut problem = self.problem.lock();
        if problem.is_none() {
            tracing::error!(%error, "a checkpoint failed; trying again");
        }
        *problem = Some(message);
    }

    fn pause(&self, how_long: Duration) {
        let until = self.env.clock().monotonic() + how_long;
        while !self.stopping() && self.env.clock().monotonic() < until {
            self.env.clock().sleep(POLL.min(how_long));
        }
    }
}
