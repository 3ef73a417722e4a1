//! The collector: frees what nobody names, and moves together what is left.
//!
//! A collection is rounds of: mark, condemn, compact, flatten, remove. What makes it
//! safe beside everything else is told in `docs/adr/0006-collection-protocol.md`.

mod pace;
mod round;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use archipelago_engine::Urgency;
use archipelago_env::Join;
use archipelago_model::SegmentId;

use super::{Config, Service};
use crate::catalog::state;
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use round::Round;

pub(super) use pace::Pace;
pub(super) use round::passes;
pub(super) use round::wants::{Wanted, Wants, wanted};

/// The background looks so often whether it has to end.
const POLL: Duration = Duration::from_millis(200);
/// A collection that was asked for does so many rounds at most: one that frees lets
/// the next one see more (a map that was flattened names less, a segment that was
/// emptied is gone). Three are usual.
const ROUNDS_MAX: u32 = 8;
/// The background begins no further job of a round after so long, so that what became free
/// meanwhile is seen and removed.
const BUDGET: Duration = Duration::from_secs(2);
/// The background looks at all maps each time: so that looking in vain takes at most a part
/// of the time, it pauses for so many times what such a round took, ...
const PAUSE_TIMES: u32 = 20;
/// ... but for no longer than this; and it looks this often when nothing seems to change.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// With less of the disk free than this part, and than so many bytes, the background
/// collects as if asked to, and lets guests wait for it.
const SPACE_LOW_PARTS: u64 = 10;
const SPACE_LOW_BYTES: u64 = 16 << 30;

/// What a collection is asked for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Collection {
    /// All that can be had, not only what is worth it at once.
    pub thorough: bool,
    /// Removes without waiting for the grace time.
    pub now: bool,
    /// Begins nothing more after so long; what is begun is ended.
    pub budget: Option<Duration>,
}

/// What a collection did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Collected {
    /// Rounds.
    pub rounds: u32,
    /// Segments that were found to be named by nobody.
    pub condemned: u64,
    /// Segments whose named part was moved.
    pub compacted: u64,
    /// Raw bytes that compaction read.
    pub read_bytes: u64,
    /// Bytes that compaction wrote.
    pub written_bytes: u64,
    /// Raw bytes that compaction found to be stored elsewhere.
    pub duplicate_bytes: u64,
    /// Maps that were written anew without what they hid.
    pub flattened: u64,
    /// Segments whose files were removed.
    pub removed: u64,
    /// Bytes that came back to the disk.
    pub freed_bytes: u64,
    /// Bytes of segments that wait for the end of the grace time.
    pub waiting_bytes: u64,
    /// Condemned segments that were read all the same, and so kept: a defect.
    pub alarms: u64,
    /// Something could not be done for want of room.
    pub waits_for_room: bool,
    /// The budget ended before the work did: ask again.
    pub more: bool,
}

impl Collected {
    fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.condemned += other.condemned;
        self.compacted += other.compacted;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.duplicate_bytes += other.duplicate_bytes;
        self.flattened += other.flattened;
        self.removed += other.removed;
        self.freed_bytes += other.freed_bytes;
        self.waiting_bytes = other.waiting_bytes;
        self.alarms += other.alarms;
        self.waits_for_room = other.waits_for_room;
        self.more = other.more;
    }

    /// Whether another round may find more.
    const fn did_something(&self) -> bool {
        self.condemned + self.compacted + self.flattened + self.removed > 0
    }
}

/// What the collector remembers between rounds.
#[derive(Default)]
pub(crate) struct Collector {
    /// When a segment was first seen to be leaving, on the monotonic clock, which
    /// nobody sets: a jump of the other one shortens no grace time.
    leaving: HashMap<SegmentId, Duration>,
    /// Segments that could not be moved, for they are damaged: they would keep others of
    /// their job from it each time.
    damaged: HashSet<SegmentId>,
    /// Condemned segments that a mark since has not found to be named.
    confirmed: HashSet<SegmentId>,
    /// The last round flattened maps and moved nothing for it.
    waited: bool,
}

/// Batches of the log, bytes ingested, names.
type Signs = (u64, u64, Option<state::Counts>);

fn tell(done: &Collected) {
    if done.did_something() {
        tracing::info!(
            condemned = done.condemned,
            compacted = done.compacted,
            removed = done.removed,
            freed_bytes = done.freed_bytes,
            waiting_bytes = done.waiting_bytes,
            "collected"
        );
    }
}

impl Service {
    /// Frees what nobody names and moves together what is left. Guests go on meanwhile.
    ///
    /// # Errors
    /// `Damaged` when a map cannot be read: then nobody knows what it names, and nothing
    /// is freed. Those of the disk.
    pub fn collect(&self, wanted: Collection) -> Result<Collected, Error> {
        self.core.collect(wanted)
    }
}

impl Core {
    pub(super) fn collect(&self, wanted: Collection) -> Result<Collected, Error> {
        let mut collector = self.collector.lock();
        if wanted.thorough {
            self.tidy_or_tell(true);
        }
        let freed = self.free(&mut collector, &wanted);
        // Some of it behind what was waited for: what it lets go of is freed the next time.
        if !wanted.thorough {
            self.tidy_or_tell(false);
        }
        freed
    }

    /// What fails here keeps nothing from being freed.
    fn tidy_or_tell(&self, all: bool) {
        let hurry = all || self.space_is_low();
        loop {
            match self.tidy_blocks(hurry) {
                Ok(more) if more && all && !self.stopping() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "hashes of blocks are not looked after; trying again");
                    return;
                }
            }
        }
    }

    fn free(&self, collector: &mut Collector, wanted: &Collection) -> Result<Collected, Error> {
        let mut all = Collected::default();
        if wanted.thorough {
            // Also what is in the log, as far as maps have it.
            self.as_room_allows(|| {
                self.persist_all()?;
                self.engine.rest_log()?;
                self.checkpoint(&[], false, |_, _| Ok(()))
            })?;
        }
        if !wanted.thorough && self.engine.has_unrecorded() {
            self.as_room_allows(|| self.checkpoint(&[], false, |_, _| Ok(())))?;
        }
        let urgency = if wanted.thorough { Urgency::High } else { Urgency::Normal };
        let hurry = self.space_is_low();
        let until = wanted.budget.map(|budget| self.env.clock().monotonic() + budget);
        for _ in 0..if wanted.thorough { ROUNDS_MAX } else { 1 } {
            let urgency = if hurry { Urgency::High } else { urgency };
            let mut round = Round::begin(self, urgency, hurry, until)?;
            let done = round.run(collector, wanted.now);
            let figures = round.figures();
            all.add(&figures);
            self.collector_totals.lock().add(&figures);
            done?;
            if !figures.did_something() || figures.more || self.stopping() {
                break;
            }
            if wanted.thorough {
                // Flattened maps and tables lie in segments of the log.
                self.as_room_allows(|| {
                    self.engine.rest_log()?;
                    self.checkpoint(&[], false, |_, _| Ok(()))
                })?;
            }
        }
        Ok(all)
    }

    /// To free something matters more where there is no room to prepare it.
    fn as_room_allows(&self, prepare: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        match prepare() {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                tracing::warn!(%error, "collecting without the newest writes");
                Ok(())
            }
            done => done,
        }
    }

    /// What was done since the store was opened.
    pub(super) fn collected(&self) -> Collected {
        *self.collector_totals.lock()
    }

    pub(super) fn space_is_low(&self) -> bool {
        self.store
            .space()
            .is_ok_and(|space| space.free < (space.total / SPACE_LOW_PARTS).min(SPACE_LOW_BYTES))
    }

    fn run_collector(&self, interval: Duration) {
        let clock = self.env.clock();
        let mut pause = interval;
        let mut settled: Option<(Signs, Duration)> = None;
        while !self.stopping() {
            let until = clock.monotonic() + pause;
            while !self.stopping() && clock.monotonic() < until {
                clock.sleep(POLL.min(pause));
            }
            let (begin, signs) = (clock.monotonic(), self.signs());
            let still =
                settled.is_some_and(|(before, at)| before == signs && begin < at + PAUSE_MAX);
            if self.stopping() || still {
                continue;
            }
            let mut worked = false;
            let wanted = Collection { budget: Some(BUDGET), ..Collection::default() };
            settled = match self.collect(wanted) {
                Ok(done) => {
                    let full = done.waits_for_room && !done.did_something();
                    self.collecting_problem(full.then(no_room).as_ref());
                    worked = done.did_something();
                    tell(&done);
                    let nothing_left = !done.did_something() && done.waiting_bytes == 0;
                    nothing_left.then_some((signs, begin))
                }
                Err(_) if self.stopping() => return,
                Err(error) => {
                    self.collecting_problem(Some(&error));
                    None
                }
            };
            let took = clock.monotonic().saturating_sub(begin);
            pause = match worked || self.space_is_low() {
                true => interval,
                false => interval.max((took * PAUSE_TIMES).min(PAUSE_MAX)),
            };
        }
    }

    /// What changes when anything may have become free.
    fn signs(&self) -> Signs {
        let counters = self.engine.counters();
        let names = self.catalog.read(state::counts).ok();
        (counters.log_batches, counters.ingest_bytes, names)
    }

    /// Says what keeps the collector, once and not at each attempt.
    fn collecting_problem(&self, error: Option<&Error>) {
        let mut problem = self.collector_problem.lock();
        match error {
            Some(error) if problem.is_none() => {
                tracing::error!(%error, "no space is freed; trying again");
                *problem = Some(format!("no space is freed: {error}"));
            }
            Some(error) => *problem = Some(format!("no space is freed: {error}")),
            None => *problem = None,
        }
    }
}

fn no_room() -> Error {
    let message = "maps and segments wait for room to be written anew; remove whole volumes, \
                   images or files, or give the disk more room";
    Error::new(ErrorKind::NoSpace, message.to_owned())
}

/// Starts the background, unless the configuration says never.
pub(super) fn start(core: &Arc<Core>, config: &Config) -> Result<Option<Box<dyn Join>>, Error> {
    if config.collector_interval_ms == 0 {
        return Ok(None);
    }
    let interval = Duration::from_millis(config.collector_interval_ms);
    let shared = Arc::clone(core);
    let body = Box::new(move || shared.run_collector(interval));
    core.env.threads().spawn("collector", body).map(Some).map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("cannot start a thread: {error}; try again"))
            .with_source(error)
    })
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod held;
#[cfg(test)]
mod tests;
