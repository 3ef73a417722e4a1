//! What ends by itself: objects that say when, what rules of their container say, and uploads
//! that nobody ends. One thread removes them, in batches that others do not notice.

mod trust;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Join;
use archipelago_model::FileId;

pub(crate) use self::trust::Trust;
use super::objects::put_marker;
use super::{Config, Service};
use crate::catalog::{Tx, file, lifecycle, snapshot_file, upload};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::{DAY_MS, Ending, RULES_MAX, Rule, ending};
use crate::object::Object;

/// The background looks so often whether it has to end.
const POLL: Duration = Duration::from_millis(200);
/// Versions that one transaction removes at most: everybody who writes waits for it, some ms.
const BATCH: usize = 128;
/// Uploads that one transaction gives up at most: each may have ten thousand parts.
const UPLOADS: usize = 8;
/// Between batches the background rests for as long as one took, up to this.
const REST_MAX: Duration = Duration::from_secs(1);
/// What could not end, or be walked through, is tried again after so long.
const AGAIN_MS: u64 = 3_600_000;
/// What is held without an end is looked at again after so long.
const HELD_LOOK_MS: u64 = DAY_MS;

/// What was removed because it had ended.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Objects that said when they end.
    pub objects: u64,
    /// Newest versions, by rules: removed, or hidden where versions are kept.
    pub by_rules: u64,
    /// Older versions, and marks that an object was removed, by rules.
    pub older: u64,
    /// Uploads that nobody had ended.
    pub uploads: u64,
}

impl Ended {
    fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.by_rules += other.by_rules;
        self.older += other.older;
        self.uploads += other.uploads;
    }
}

/// What became of some that were to end together.
struct Batch<T> {
    ended: Ended,
    /// Those that did not, and why.
    failed: Vec<(T, Error)>,
}

impl Service {
    /// Gives a container rules, in the place of those that it has. `said`: how a door was told,
    /// for whoever asks it later.
    ///
    /// # Errors
    /// `NotFound` (the container); `Invalid` (too many).
    pub fn lifecycle_set(&self, container: u64, rules: &[Rule], said: &str) -> Result<(), Error> {
        if rules.len() > RULES_MAX {
            return Err(Error::invalid(format!("a container has {RULES_MAX} rules at most")));
        }
        let core = &self.core;
        core.catalog.write(|tx| {
            let home = super::objects::container_of(tx, container)?;
            if snapshot_file::is_home(tx, container)? && !rules.is_empty() {
                return Err(super::objects::for_snapshots(&home, "rules of what ends"));
            }
            Ok(lifecycle::put(tx, container, rules, said, core.now_ms())?)
        })
    }

    /// How a door was told the rules of a container; `None` when it has none.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn lifecycle_said(&self, container: u64) -> Result<Option<String>, Error> {
        Ok(self.core.catalog.read(|tx| lifecycle::said(tx, container))?)
    }

    /// Takes its rules from a container.
    ///
    /// # Errors
    /// Those of the catalog.
    pub fn lifecycle_remove(&self, container: u64) -> Result<(), Error> {
        Ok(self.core.catalog.write(|tx| lifecycle::remove(tx, container))?)
    }

    /// When the newest version of an object will end by a rule of its container.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn object_ending(&self, container: u64, object: &Object) -> Result<Option<Ending>, Error> {
        let row = self.core.catalog.read(|tx| lifecycle::get(tx, container))?;
        Ok(row.and_then(|row| ending(&row.rules, object)))
    }

    /// Removes what has ended by now, without rests: for tests and simulators. The server does
    /// it by itself.
    ///
    /// # Errors
    /// Those of the catalog; what was removed until then stays so.
    pub fn end_due(&self) -> Result<Ended, Error> {
        self.core.end_due(false)
    }
}

impl Core {
    fn end_due(&self, paced: bool) -> Result<Ended, Error> {
        let mut done = Ended::default();
        let Some(now) = self.time_to_end()? else { return Ok(done) };
        // Each by itself: what fails in one must not keep the others from ending anything.
        let results = [
            self.end_objects(now, &mut done, paced),
            self.end_uploads(now, &mut done, paced),
            self.follow_rules(now, &mut done, paced),
        ];
        self.lifecycle_totals.lock().add(&done);
        results.into_iter().collect::<Result<(), Error>>().map(|()| done)
    }

    /// What was removed since the store was opened.
    pub(super) fn ended(&self) -> Ended {
        *self.lifecycle_totals.lock()
    }

    /// Ends some in one transaction or, where that fails, each in its own, so that one that
    /// cannot end keeps no other. `prepare` looks at what all have in common, in each of these
    /// transactions; nothing is done, and the answer is `None`, when it has nothing.
    fn end_batch<T: Copy, C>(
        &self,
        batch: &[T],
        prepare: impl Fn(&Tx<'_>) -> Result<Option<C>, Error>,
        end: impl Fn(&Tx<'_>, &C, T) -> Result<Ended, Error>,
    ) -> Result<Option<Batch<T>>, Error> {
        let run = |batch: &[T]| {
            self.catalog.write(|tx| -> Result<_, Error> {
                let Some(common) = prepare(tx)? else { return Ok(None) };
                let mut ended = Ended::default();
                for &one in batch {
                    ended.add(&end(tx, &common, one)?);
                }
                Ok(Some(ended))
            })
        };
        if let Ok(ended) = run(batch) {
            return Ok(ended.map(|ended| Batch { ended, failed: Vec::new() }));
        }
        let mut done = Batch { ended: Ended::default(), failed: Vec::new() };
        for &one in batch {
            match run(&[one]) {
                Ok(Some(ended)) => done.ended.add(&ended),
                Ok(None) => return Ok(None),
                Err(error) => done.failed.push((one, error)),
            }
        }
        Ok(Some(done))
    }

    /// Removes objects that said that they have ended.
    fn end_objects(&self, now: u64, done: &mut Ended, paced: bool) -> Result<(), Error> {
        let mut result = Ok(());
        while !self.stopping() {
            let begin = self.env.clock().monotonic();
            // A look, before everybody else has to wait for a transaction.
            let due = self.catalog.read(|tx| file::due(tx, now, BATCH))?;
            if due.is_empty() {
                break;
            }
            let end = |tx: &Tx<'_>, (): &(), id| self.end_object(tx, id, now);
            let Some(batch) = self.end_batch(&due, |_| Ok(Some(())), end)? else { break };
            done.add(&batch.ended);
            for (id, error) in batch.failed {
                let later = now.saturating_add(AGAIN_MS);
                self.catalog.write_aside(|tx| file::remove_later(tx, id, later))?;
                result = result.and(Err(error.on(format_args!("the object with id {id}"))));
            }
            self.rest_after(begin, paced);
        }
        result
    }

    /// Removes one, unless it is locked. What is below it does not come back. Where versions are
    /// kept, it is removed as by anybody: it stays, below a marker.
    fn end_object(&self, tx: &Tx<'_>, id: FileId, now: u64) -> Result<Ended, Error> {
        let Some(row) = file::still_due(tx, id, now)? else { return Ok(Ended::default()) };
        let (object, name) = (&row.object, &row.object.name);
        if object.versioned {
            file::remove_never(tx, id)?;
            if object.latest {
                put_marker(self, tx, row.container, name, true)?;
            }
            return Ok(Ended { objects: u64::from(object.latest), ..Ended::default() });
        }
        if object.is_locked(now) {
            let later = now.saturating_add(HELD_LOOK_MS);
            let until = object.locked_until_ms().filter(|_| !object.is_held());
            file::remove_later(tx, id, until.unwrap_or(later).max(now + 1))?;
            return Ok(Ended::default());
        }
        let hides =
            object.latest && !file::older(tx, row.container, name.as_str(), id, 1)?.is_empty();
        file::remove(tx, &row)?;
        if hides {
            // With a version id, so that it takes the place of none.
            put_marker(self, tx, row.container, name, true)?;
        }
        Ok(Ended { objects: 1, ..Ended::default() })
    }

    /// Gives up uploads to which nothing has come for too long.
    fn end_uploads(&self, now: u64, done: &mut Ended, paced: bool) -> Result<(), Error> {
        let before = match self.config.upload_age_ms {
            0 => return Ok(()),
            age => now.saturating_sub(age),
        };
        let (mut result, mut behind) = (Ok(()), (0, 0));
        while !self.stopping() {
            let begin = self.env.clock().monotonic();
            let idle = self.catalog.read(|tx| upload::idle_since(tx, before, behind, UPLOADS))?;
            let Some(&last) = idle.last() else { break };
            // What cannot be given up is passed over until the next round.
            behind = last;
            let end = |tx: &Tx<'_>, (): &(), (_, id): (u64, u64)| -> Result<_, Error> {
                let Some(row) = upload::still_idle(tx, id, before)? else {
                    return Ok(Ended::default());
                };
                upload::remove(tx, &row)?;
                Ok(Ended { uploads: 1, ..Ended::default() })
            };
            let Some(batch) = self.end_batch(&idle, |_| Ok(Some(())), end)? else { break };
            done.add(&batch.ended);
            for ((_, id), error) in batch.failed {
                result = result.and(Err(error.on(format_args!("the upload with id {id}"))));
            }
            self.rest_after(begin, paced);
        }
        result
    }

    fn rest_after(&self, begin: Duration, paced: bool) {
        let clock = self.env.clock();
        if paced {
            clock.sleep(clock.monotonic().saturating_sub(begin).min(REST_MAX));
        }
    }

    fn run_lifecycle(&self, interval: Duration) {
        let clock = self.env.clock();
        let mut failing = false;
        while !self.stopping() {
            let until = clock.monotonic() + interval;
            while !self.stopping() && clock.monotonic() < until {
                clock.sleep(POLL.min(interval));
            }
            match self.end_due(true) {
                _ if self.stopping() => return,
                Ok(done) => {
                    failing = false;
                    if done != Ended::default() {
                        let Ended { objects, by_rules, older, uploads } = done;
                        tracing::info!(objects, by_rules, older, uploads, "removed what had ended");
                    }
                }
                // Once, and not at each attempt.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "what has ended is not removed; trying again");
                }
                Err(error) => tracing::debug!(%error, "what has ended is not removed"),
            }
        }
    }
}

/// Starts the background, unless the configuration says never.
pub(super) fn start(core: &Arc<Core>, config: &Config) -> Result<Option<Box<dyn Join>>, Error> {
    if config.lifecycle_interval_ms == 0 {
        return Ok(None);
    }
    let interval = Duration::from_millis(config.lifecycle_interval_ms);
    let shared = Arc::clone(core);
    let body = Box::new(move || shared.run_lifecycle(interval));
    core.env.threads().spawn("lifecycle", body).map(Some).map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("cannot start a thread: {error}; try again"))
            .with_source(error)
    })
}

#[cfg(test)]
mod tests;
