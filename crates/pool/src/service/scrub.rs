//! Scrubbing: every segment is read and verified in the background, at a rate that
//! somebody chose, and behind the guests.
//!
//! Where it is is noted in the catalog every few seconds, so that it goes on after a
//! restart. What it finds stays noted until a later scrub finds the segment whole or
//! gone. Segments that are open now (the last of the log) are verified by the next
//! scrub that finds them sealed.

mod copies;
mod damage;
mod pace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use archipelago_engine::{Error as EngineError, ScrubbedSegment};
use archipelago_env::Join;
use archipelago_model::SegmentId;
use archipelago_store::StoreError;
use parking_lot::Mutex;

use super::Service;
use crate::catalog::scrub::{self, ScrubRow};
use crate::catalog::segment::{self, Known, State};
use crate::core::{Core, FIRST_SEGMENT};
use crate::error::{Error, ErrorKind, store_error};
use crate::folder;
use pace::Pace;

pub use damage::{Damage, Damages, Touch};

/// How far it is is noted so often: what a restart has to read again.
const NOTE_EVERY: Duration = Duration::from_secs(3);

/// What a scrub is asked for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ScrubOptions {
    /// Bytes a second at most; `None` for as fast as guests let it.
    pub rate: Option<u64>,
    /// From the front, also when an earlier one was stopped on the way.
    pub restart: bool,
}

/// How far a scrub is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ScrubState {
    /// One is under way.
    pub running: bool,
    /// When the present or last one began, in ms since 1970; `None` when there was none.
    pub started_ms: Option<u64>,
    /// When it ended or was stopped.
    pub finished_ms: Option<u64>,
    /// It was stopped before its end: the next one goes on from there.
    pub stopped: bool,
    /// Segments that it has read.
    pub segments: u64,
    /// Bytes that it has read.
    pub bytes: u64,
    /// Bytes that it will have read.
    pub total_bytes: u64,
    /// Bytes a second at most.
    pub rate: Option<u64>,
    /// Copies that were damaged or missing, and that it replaced by whole ones.
    pub healed: u64,
    /// Places that are known to be damaged, by this or earlier ones.
    pub damages: u64,
    /// What is wrong with the catalog, as the last one since the start found.
    pub catalog: Vec<String>,
    /// Why the last one ended early.
    pub problem: Option<String>,
}

/// The scrub of a store, at most one at a time.
#[derive(Default)]
pub(crate) struct Scrubber {
    running: AtomicBool,
    stop: AtomicBool,
    /// Bytes a second; 0 for no limit.
    rate: AtomicU64,
    bytes: AtomicU64,
    segments: AtomicU64,
    healed: AtomicU64,
    total_bytes: AtomicU64,
    worker: Mutex<Option<Box<dyn Join>>>,
    problem: Mutex<Option<String>>,
    catalog: Mutex<Vec<String>>,
}

impl Scrubber {
    /// Waits for the end of what was told to stop.
    pub(super) fn join(&self) {
        let worker = self.worker.lock().take();
        if let Some(Err(panicked)) = worker.map(Join::join) {
            tracing::error!(%panicked, "a scrub ended by a panic");
        }
    }
}

impl Service {
    /// Begins a scrub in the background, or goes on with one that was stopped. One that
    /// is under way gets the new rate.
    ///
    /// # Errors
    /// The catalog cannot be read or written.
    pub fn scrub(&self, options: ScrubOptions) -> Result<ScrubState, Error> {
        self.begin_scrub(options)?;
        self.scrub_state()
    }

    /// Goes on with a scrub that a stop of the program interrupted.
    pub(super) fn resume_scrub(&self) {
        let known =
            self.core.catalog.read(|tx| Ok::<_, Error>((scrub::get(tx)?, scrub::rate(tx)?)));
        let resumed = match known {
            Ok((Some(row), rate)) if row.finished_ms.is_none() => {
                self.begin_scrub(ScrubOptions { rate, restart: false })
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = resumed {
            tracing::warn!(%error, "the interrupted scrub does not go on");
        }
    }

    fn begin_scrub(&self, options: ScrubOptions) -> Result<(), Error> {
        let scrubber = &self.scrubber;
        let mut worker = scrubber.worker.lock();
        scrubber.rate.store(options.rate.unwrap_or(0), Ordering::Release);
        if scrubber.running.load(Ordering::Acquire) {
            return Ok(self.core.catalog.write(|tx| scrub::set_rate(tx, options.rate))?);
        }
        if let Some(Err(panicked)) = worker.take().map(Join::join) {
            tracing::error!(%panicked, "the last scrub ended by a panic");
        }
        let now_ms = self.core.now_ms();
        let row = self.core.catalog.write(|tx| -> Result<_, Error> {
            let row = match scrub::get(tx)? {
                Some(row) if row.next > 0 && !options.restart => {
                    ScrubRow { finished_ms: None, ..row }
                }
                _ => ScrubRow {
                    next: FIRST_SEGMENT.get(),
                    started_ms: now_ms,
                    finished_ms: None,
                    segments: 0,
                    bytes: 0,
                    healed: 0,
                },
            };
            scrub::put(tx, &row)?;
            scrub::set_rate(tx, options.rate)?;
            Ok(row)
        })?;
        *scrubber.problem.lock() = None;
        scrubber.stop.store(false, Ordering::Release);
        scrubber.bytes.store(row.bytes, Ordering::Release);
        scrubber.segments.store(row.segments, Ordering::Release);
        scrubber.healed.store(row.healed, Ordering::Release);
        scrubber.running.store(true, Ordering::Release);
        let (core, shared, data) =
            (Arc::clone(&self.core), Arc::clone(scrubber), self.data.clone());
        let body = move || {
            let _end = End(&shared);
            let mut job = Job { core: &core, scrubber: &shared, row };
            if let Err(error) = job.run(&data) {
                tracing::error!(%error, "a scrub ended early");
                *shared.problem.lock() = Some(error.to_string());
            }
        };
        match self.core.env.threads().spawn("scrub", Box::new(body)) {
            Ok(join) => *worker = Some(join),
            Err(error) => {
                scrubber.running.store(false, Ordering::Release);
                let message = format!("cannot start a thread: {error}; try again");
                return Err(Error::new(ErrorKind::Unavailable, message).with_source(error));
            }
        }
        Ok(())
    }

    /// Stops the scrub under way; the next one goes on from there.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn scrub_stop(&self) -> Result<ScrubState, Error> {
        self.scrubber.stop.store(true, Ordering::Release);
        self.scrubber.join();
        self.scrub_state()
    }

    /// How far the scrub is.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn scrub_state(&self) -> Result<ScrubState, Error> {
        let (row, damages) =
            self.core.catalog.read(|tx| Ok::<_, Error>((scrub::get(tx)?, scrub::count(tx)?)))?;
        let scrubber = &self.scrubber;
        let running = scrubber.running.load(Ordering::Acquire);
        let get = |n: &AtomicU64| n.load(Ordering::Acquire);
        let rate = get(&scrubber.rate);
        let row_bytes = row.map_or(0, |row| row.bytes);
        Ok(ScrubState {
            running,
            started_ms: row.map(|row| row.started_ms),
            finished_ms: row.and_then(|row| row.finished_ms),
            stopped: !running && row.is_some_and(|row| row.next > 0),
            segments: if running { get(&scrubber.segments) } else { row.map_or(0, |r| r.segments) },
            bytes: if running { get(&scrubber.bytes) } else { row_bytes },
            total_bytes: if running { get(&scrubber.total_bytes) } else { row_bytes },
            rate: (rate > 0).then_some(rate),
            healed: if running { get(&scrubber.healed) } else { row.map_or(0, |r| r.healed) },
            damages,
            catalog: scrubber.catalog.lock().clone(),
            problem: scrubber.problem.lock().clone(),
        })
    }
}

/// The end of a scrub, also by a panic: nobody waits for one that does not go on.
struct End<'a>(&'a Scrubber);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = "its thread panicked, which is a defect: see the log of the server; \
                        `archipelago scrub` goes on from where it was";
            *self.0.problem.lock() = Some(what.to_owned());
        }
        self.0.running.store(false, Ordering::Release);
    }
}

/// A scrub under way.
struct Job<'a> {
    core: &'a Core,
    scrubber: &'a Scrubber,
    row: ScrubRow,
}

impl Job<'_> {
    fn run(&mut self, data: &std::path::Path) -> Result<(), Error> {
        let core = self.core;
        if self.row.next == FIRST_SEGMENT.get() {
            self.small_files(data)?;
        }
        // So that the catalog has the length of all that is sealed now.
        if let Err(error) = core.checkpoint(&[], false, |_, _| Ok(())) {
            tracing::debug!(%error, "the newest segments are not noted");
        }
        let files = self.files()?;
        let left: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        self.scrubber.total_bytes.store(self.row.bytes + left, Ordering::Release);
        let mut pace = Pace::new(core, self.scrubber);
        let mut noted = core.env.clock().monotonic();
        for (id, _) in files {
            let healed = self.row.healed;
            let Some(scrubbed) = self.segment(id, &mut pace)? else {
                return self.stopped();
            };
            self.row.next = id.get() + 1;
            let now = core.env.clock().monotonic();
            let due = now.saturating_sub(noted) >= NOTE_EVERY || self.row.healed > healed;
            if let Some(scrubbed) = &scrubbed {
                self.row.segments += 1;
                self.row.bytes += scrubbed.bytes;
                self.scrubber.segments.store(self.row.segments, Ordering::Release);
                self.scrubber.bytes.store(self.row.bytes, Ordering::Release);
            }
            if due || scrubbed.as_ref().is_some_and(|scrubbed| !scrubbed.damages.is_empty()) {
                noted = now;
            }
            self.note(scrubbed.as_ref(), due)?;
        }
        self.finished()
    }

    /// `STORE` and the catalog: read and verified at once.
    fn small_files(&self, data: &std::path::Path) -> Result<(), Error> {
        let core = self.core;
        let damage = folder::verify_store(&core.env, data);
        core.catalog
            .write(|tx| scrub::found(tx, scrub::STORE_FILE, damage.as_slice(), core.now_ms()))?;
        *self.scrubber.catalog.lock() = core.catalog.verify()?;
        Ok(())
    }

    /// What is to be read, ascending, with its bytes: all in the pool, and what should be.
    fn files(&self) -> Result<Vec<(SegmentId, u64)>, Error> {
        let core = self.core;
        let from = SegmentId::new(self.row.next).unwrap_or(FIRST_SEGMENT);
        let listed = match core.store.list_from(from) {
            // What the catalog has is read all the same, where it is in another pool, too.
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "a scrub reads only what the catalog knows");
                Vec::new()
            }
            listed => listed.map_err(store_error)?,
        };
        let mut files: BTreeMap<SegmentId, u64> = listed.into_iter().map(|id| (id, 0)).collect();
        let spread = &core.pools.spread;
        for known in core.catalog.read(segment::list)? {
            if known.id >= from && known.stored_bytes > 0 {
                let copies = spread.places(known.id).len() as u64;
                files.insert(known.id, known.stored_bytes * copies);
            }
        }
        let all = files.len();
        files.retain(|id, _| spread.places(*id).iter().any(|at| spread.is_open(*at)));
        if files.len() < all {
            let segments = all - files.len();
            tracing::warn!(segments, "a scrub passes over what is in pools that are away");
        }
        Ok(files.into_iter().collect())
    }

    /// Scrubs one segment. The inner `None` stands for one that has no verdict: it is
    /// open, or gone.
    fn segment(
        &mut self,
        id: SegmentId,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Option<ScrubbedSegment>>, Error> {
        let core = self.core;
        let known = self.known(id)?;
        if let Some((known, second)) = known.and_then(|known| Some((known, known.copy?))) {
            return self.both_copies(&known, second, pace);
        }
        let stored = known.map(|known| known.stored_bytes);
        let found = core.engine.scrub_segment(id, stored, &mut |bytes| pace.next(bytes));
        let scrubbed = match found {
            Ok(Some(scrubbed)) => scrubbed,
            Ok(None) if self.stopping() => return Ok(None),
            Ok(None) => return Ok(Some(None)),
            Err(EngineError::Store(StoreError::NotFound { .. })) => {
                return Ok(Some(self.missing(id)?));
            }
            Err(error) => return Err(error.into()),
        };
        // An import writes it now, or a crash left it: nobody names it. So it is when a
        // collection has found it.
        let named = match known {
            Some(known) => known.state != State::Condemned,
            None => core.engine.is_unrecorded(id) || self.known(id)?.is_some(),
        };
        Ok(Some(Some(scrubbed).filter(|_| named)))
    }

    /// A file that is not there is damage, unless it was just removed. Of one that leaves,
    /// nothing is left to be damaged: a crash may have come before its row knew.
    fn missing(&self, id: SegmentId) -> Result<Option<ScrubbedSegment>, Error> {
        Ok(self.known(id)?.map(|known| match known.state {
            State::Sealed => ScrubbedSegment::missing(id, known.stored_bytes),
            State::Condemned | State::Forwarded { .. } => {
                ScrubbedSegment { damages: Vec::new(), ..ScrubbedSegment::missing(id, 0) }
            }
        }))
    }

    fn known(&self, id: SegmentId) -> Result<Option<Known>, Error> {
        Ok(self.core.catalog.read(|tx| segment::find(tx, id))?)
    }

    fn note(&self, scrubbed: Option<&ScrubbedSegment>, due: bool) -> Result<(), Error> {
        let core = self.core;
        let damages = scrubbed.map_or(&[][..], |scrubbed| &scrubbed.damages);
        for damage in damages {
            tracing::error!(
                segment = ?scrubbed.map(|s| s.id), offset = damage.offset, bytes = damage.bytes,
                what = %damage.what, "stored bytes are damaged"
            );
        }
        let had = match scrubbed {
            None => false,
            Some(scrubbed) => {
                let id = scrubbed.id.get();
                core.catalog.read(|tx| scrub::is_damaged(tx, id))?
            }
        };
        if !due && !had && damages.is_empty() {
            return Ok(());
        }
        core.catalog.write(|tx| -> Result<_, Error> {
            if let Some(scrubbed) = scrubbed {
                scrub::found(tx, scrubbed.id.get(), damages, core.now_ms())?;
            }
            Ok(scrub::put(tx, &self.row)?)
        })
    }

    fn stopping(&self) -> bool {
        self.core.stopping() || self.scrubber.stop.load(Ordering::Acquire)
    }

    /// A stop of the program leaves it as unfinished: the next start goes on.
    fn stopped(&mut self) -> Result<(), Error> {
        if self.scrubber.stop.load(Ordering::Acquire) {
            self.row.finished_ms = Some(self.core.now_ms());
        }
        Ok(self.core.catalog.write(|tx| scrub::put(tx, &self.row))?)
    }

    fn finished(&mut self) -> Result<(), Error> {
        self.row.next = 0;
        self.row.finished_ms = Some(self.core.now_ms());
        self.core.catalog.write(|tx| -> Result<_, Error> {
            scrub::forget_gone(tx)?;
            Ok(scrub::put(tx, &self.row)?)
        })
    }
}

#[cfg(test)]
mod tests;
