//! The mover: brings segments into the pools where they are to be, while they are read.
//!
//! A segment is moved whole when all that is named of it is wanted in the same pool; else a
//! compaction takes it apart first. It is copied, every byte of the copy is verified as a scrub
//! does it, the copy takes its place in one transaction, and what was copied is removed once the
//! backups of the catalog know that recovery does not want it. A crash between any two steps leaves a copy too many, which the next start finds.
//! Only what recovery never reads again is moved: sealed, recorded, below the floor of the log.
//!
//! What is to be where: everything of a pool that is drained goes where it is drained to; what the
//! maps of a resource name that says its pool goes there. A segment that several pools want stays
//! in one that wants it, else the first of them gets it.

mod mirror;
mod plan;
mod stray;

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use archipelago_env::Join;
use archipelago_model::{PoolId, SegmentId};
use archipelago_store::{Copied, StoreError};
use parking_lot::Mutex;

pub(super) use self::mirror::Again;
pub(super) use self::plan::named;
use self::plan::{Move, Plan};
use super::collector::Pace;
use super::{Collection, Config, Service};
use crate::catalog::{CatalogError, place, segment};
use crate::core::Core;
use crate::error::{Error, ErrorKind, store_error};

/// The background looks so often whether it has to end, or was asked for something.
const POLL: Duration = Duration::from_millis(200);
/// The background looks at all maps each time: so that looking in vain takes at most a part of the
/// time, it pauses for so many times what such a round took, but for no longer than this.
const PAUSE_TIMES: u32 = 20;
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Segments that are moved before what they were copied from is removed.
const BATCH: usize = 64;
/// Rounds of compaction in one of the mover's: one that flattens maps leaves the rest to the next.
const APART_ROUNDS_MAX: u32 = 3;
/// So much of the first pool stays free of what is moved: guests write there.
const RESERVE_PARTS: u64 = 20;
const RESERVE_BYTES_MAX: u64 = 4 << 30;
/// Copies of one segment that are made before it is called damaged.
const COPY_TRIES: u32 = 2;

/// Told how many bytes were copied; may wait, and may stop the copy.
type Step<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// What the mover did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Segments that are in another pool now.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments that are still to be moved, when the round ended.
    pub left: u64,
    /// Their bytes.
    pub left_bytes: u64,
    /// Copies that an interrupted move had left, and that were removed.
    pub strays: u64,
    /// Second copies that were made, ...
    pub copies: u64,
    /// ... and their bytes; ...
    pub copy_bytes: u64,
    /// ... that were there and were found to be whole; ...
    pub adopted: u64,
    /// ... that were damaged or missing, and that a scrub made anew.
    pub healed: u64,
}

impl Moved {
    fn add(&mut self, other: &Self) {
        self.segments += other.segments;
        self.bytes += other.bytes;
        self.strays += other.strays;
        self.copies += other.copies;
        self.copy_bytes += other.copy_bytes;
        self.adopted += other.adopted;
        self.healed += other.healed;
    }
}

/// What the mover remembers between rounds.
#[derive(Default)]
pub(crate) struct Mover {
    /// One round at a time.
    round: Mutex<Seen>,
    /// Somebody asked for something: the background does not wait.
    wanted: AtomicBool,
    /// How often somebody did, ...
    asked: AtomicU64,
    /// ... and of these, what a round has done all of that could be done.
    answered: AtomicU64,
    /// Something could not be removed: leftovers are to be looked for.
    left: AtomicBool,
    /// Since the store was opened.
    totals: Mutex<Moved>,
    /// What keeps it from moving anything, by pool.
    problems: Mutex<BTreeMap<PoolId, String>>,
    /// What keeps it from making second copies, by the pool that they are to be in.
    mirror_problems: Mutex<BTreeMap<PoolId, String>>,
}

#[derive(Default)]
struct Seen {
    /// Leftovers were looked for since the start, or since a pool was back.
    swept: bool,
    /// What the store was like when there was nothing to do.
    settled: Option<Signs>,
    /// Batches of the log when it went on in another segment for the sake of second copies, and
    /// when that was, on the monotonic clock.
    batches: u64,
    rested: Duration,
}

/// Transactions, segments that were given ids, segments that compactions emptied.
type Signs = (u64, SegmentId, u64);

impl Service {
    /// One round of the mover on the thread of the caller, without regard for guests: for tests
    /// and simulators. The server does it by itself.
    ///
    /// # Errors
    /// Those of the catalog; a map that cannot be read. What was moved until then stays so.
    pub fn move_due(&self) -> Result<Moved, Error> {
        self.core.move_due(true)
    }

    /// What was moved since the store was opened, and what is left by the last round.
    pub fn moved(&self) -> Moved {
        self.core.mover.totals()
    }
}

impl Mover {
    /// Since the store was opened.
    pub fn totals(&self) -> Moved {
        *self.totals.lock()
    }

    /// A copy that was damaged or missing is whole.
    pub fn healed(&self) {
        self.totals.lock().healed += 1;
    }

    /// Has the background look now.
    pub fn wake(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.wanted.store(true, Ordering::Release);
    }

    /// Whether everything is where it is to be, but for the end of the log.
    pub fn is_settled(&self) -> bool {
        self.answered.load(Ordering::Acquire) >= self.asked.load(Ordering::Acquire)
    }

    /// What keeps segments from leaving a pool or coming into it.
    pub fn problem(&self, pool: PoolId) -> Option<String> {
        let problem = self.problems.lock().get(&pool).cloned();
        problem.or_else(|| self.mirror_problems.lock().get(&pool).cloned())
    }
}

impl Core {
    pub(super) fn move_due(&self, hurry: bool) -> Result<Moved, Error> {
        let mut seen = self.mover.round.lock();
        let mut done = Moved::default();
        if self.pools.reopen(&self.catalog)? || self.mover.left.swap(false, Ordering::AcqRel) {
            seen.swept = false;
        }
        if !seen.swept {
            seen.settled = None;
            seen.swept = self.sweep_strays(&mut done)?;
        }
        self.mirror(&mut seen, hurry, &mut done)?;
        let asked = self.mover.asked.load(Ordering::Acquire);
        let signs = self.mover_signs();
        if seen.swept && seen.settled == Some(signs) {
            self.mover.totals.lock().add(&done);
            return Ok(done);
        }
        seen.settled = None;
        self.mover.problems.lock().clear();
        let awaited = self.mover.answered.load(Ordering::Acquire) < asked;
        let plan = self.plan(awaited, hurry)?;
        let finished = self.follow(&plan, hurry, &mut done);
        let mut totals = self.mover.totals.lock();
        totals.add(&done);
        (totals.left, totals.left_bytes) = (done.left, done.left_bytes);
        drop(totals);
        finished?;
        if done.left == 0 && plan.mixed == 0 {
            self.mover.answered.fetch_max(asked, Ordering::AcqRel);
        }
        if plan.moves.is_empty() && !plan.later && plan.mixed == 0 && seen.swept {
            seen.settled = Some(signs);
        }
        Ok(done)
    }

    /// What is to be moved. While somebody waits for it, what can be made ready for it is.
    fn plan(&self, awaited: bool, hurry: bool) -> Result<Plan, Error> {
        let mut pace = Pace::new(self, hurry);
        let mut plan = Plan::make(self, &mut pace)?;
        if awaited && plan.later {
            // The log goes on in another segment: what is before it may move.
            self.persist_all()?;
            self.engine.rest_log()?;
            self.checkpoint(&[], false, |_, _| Ok(()))?;
            plan = Plan::make(self, &mut pace)?;
        }
        for _ in 0..APART_ROUNDS_MAX {
            if plan.mixed == 0 || !awaited || self.stopping() {
                return Ok(plan);
            }
            // Compaction takes apart what is not wanted as a whole.
            let before = plan.mixed;
            self.collect(Collection::default())?;
            plan = Plan::make(self, &mut pace)?;
            if plan.mixed >= before {
                break;
            }
        }
        if plan.mixed > 0 {
            self.not_apart(plan.mixed);
        }
        Ok(plan)
    }

    /// Whether a pool has room for so much, and some is left for others.
    fn ask_room(&self, pool: PoolId, bytes: u64) -> Result<(), Error> {
        let space = self.pool_space(pool).map_err(store_error)?;
        // Only the first has the log, and nobody may be without it.
        let reserve = match pool == PoolId::FIRST {
            true => (space.total / RESERVE_PARTS).min(RESERVE_BYTES_MAX),
            false => 0,
        };
        // A cluster of Ceph may not know its size yet.
        if space.total == 0 || space.free >= bytes.saturating_add(reserve) {
            return Ok(());
        }
        let message =
            "it is nearly full: nothing more moves there; give it more room, or free some";
        Err(Error::new(ErrorKind::NoSpace, message))
    }

    /// Says of all pools what keeps some data from its own.
    fn not_apart(&self, segments: u64) {
        let problem = format!(
            "{segments} segments hold what belongs into different pools, and could not be taken \
             apart yet; `archipelago status` and `scrub` may tell why"
        );
        self.mover.problems.lock().insert(PoolId::FIRST, problem);
    }

    fn mover_signs(&self) -> Signs {
        let compacted = self.collected().compacted;
        (self.catalog.changes(), self.engine.horizon().all, compacted)
    }

    /// Moves what a plan says, as far as it goes.
    fn follow(&self, plan: &Plan, hurry: bool, done: &mut Moved) -> Result<(), Error> {
        done.left = plan.moves.len() as u64;
        done.left_bytes = plan.moves.iter().map(|one| one.bytes).sum();
        let mut pace = Pace::new(self, hurry);
        let mut spared = HashSet::new();
        for batch in plan.moves.chunks(BATCH) {
            let mut copied = Vec::new();
            let moved = self.move_batch(batch, &mut pace, (&mut copied, &mut spared), done);
            // Also of a batch that was broken off.
            let removed = self.remove_copied(plan.changes, &copied);
            removed?;
            if moved.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn move_batch(
        &self,
        batch: &[Move],
        pace: &mut Pace<'_>,
        (copied, spared): (&mut Vec<(SegmentId, PoolId)>, &mut HashSet<PoolId>),
        done: &mut Moved,
    ) -> ControlFlow<()> {
        for one in batch {
            if self.stopping() {
                return ControlFlow::Break(());
            }
            if spared.contains(&one.from) || spared.contains(&one.to) {
                continue;
            }
            match self.move_one(one, pace) {
                Ok(Some(from)) => {
                    copied.push((one.id, from));
                    done.segments += 1;
                    done.bytes += one.bytes;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(segment = %one.id, %error, "a segment stays where it is for now");
                    // A copy of it may be left, too.
                    self.mover.left.store(true, Ordering::Release);
                    spared.extend(self.blame(one, &error));
                    continue;
                }
            }
            done.left -= 1;
            done.left_bytes -= one.bytes;
        }
        ControlFlow::Continue(())
    }

    /// Says which pool keeps a segment from moving. What one segment has must not keep others from
    /// theirs, nor one pool others: gives the pool that is left alone for the rest of the round.
    fn blame(&self, one: &Move, error: &Error) -> Option<PoolId> {
        let whole = match error.kind() {
            ErrorKind::NoSpace | ErrorKind::ReadOnly => Some(one.to),
            ErrorKind::Unavailable if self.pool_space(one.to).is_err() => Some(one.to),
            ErrorKind::Unavailable => Some(one.from),
            _ => None,
        };
        self.mover.problems.lock().insert(whole.unwrap_or(one.from), error.to_string());
        whole
    }

    /// Moves a segment; gives the pool that it was in. `None`: it is not to be moved any more.
    fn move_one(&self, one: &Move, pace: &mut Pace<'_>) -> Result<Option<PoolId>, Error> {
        // So nothing of it is freed, compacted or removed meanwhile.
        let _no_collection = self.collector.lock();
        let known = self.catalog.read(|tx| segment::find(tx, one.id))?;
        let stays =
            |known: &segment::Known| known.state != segment::State::Sealed || known.pool == one.to;
        if known.as_ref().is_none_or(stays) {
            return Ok(None);
        }
        let from = known.map_or(one.from, |known| known.pool);
        if known.is_some_and(|known| known.copy == Some(one.to)) {
            // Its second copy is there: the two change places.
            return self.exchange(one, from, pace);
        }
        self.ask_room(one.to, one.bytes)?;
        let Some(copied) = self.copy(one, from, pace)? else { return Ok(None) };
        let moved = self.catalog.write_aside(|tx| segment::relocate(tx, one.id, from, one.to))?;
        if !moved {
            return Ok(None);
        }
        let from = copied.from();
        copied.settle();
        Ok(Some(from))
    }

    /// Moves a segment to where its second copy is; gives the pool that it was in, unless that
    /// is where its second copy is to be.
    fn exchange(
        &self,
        one: &Move,
        from: PoolId,
        pace: &mut Pace<'_>,
    ) -> Result<Option<PoolId>, Error> {
        let target = self.pools.spread.member(one.to).map_err(store_error)?;
        let mut step = |_| pace.step();
        let scrubbed = self.engine.scrub_copy(&*target, one.id, Some(one.bytes), &mut step)?;
        let Some(scrubbed) = scrubbed else { return Ok(None) };
        if let Some(first) = scrubbed.damages.first() {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "the second copy of segment {} is damaged ({}): `archipelago scrub` makes it \
                     anew",
                    one.id, first.what
                ),
            ));
        }
        let (moved, stays) = self.catalog.write_aside(|tx| -> Result<_, CatalogError> {
            let moved = segment::relocate(tx, one.id, from, one.to)?;
            let stays = moved && place::mirror_of(tx, one.to)? == Some(from);
            if stays {
                segment::note_copy(tx, one.id, one.to, from)?;
            }
            Ok((moved, stays))
        })?;
        if !moved {
            return Ok(None);
        }
        self.pools.spread.found([(one.id, one.to)]);
        if stays {
            self.pools.spread.seconds([(one.id, from)]);
        }
        Ok(Some(from))
    }

    fn copy(
        &self,
        one: &Move,
        from: PoolId,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Copied<'_>>, Error> {
        let make = &|step: &mut Step<'_>| self.pools.spread.copy(one.id, one.to, step);
        let again = Again { id: one.id, from, to: one.to, bytes: one.bytes };
        self.copy_verified(&again, &mut || pace.step(), make)
    }

    /// Whether a copy may take the place of what the target has of the segment, which goes first.
    /// Nothing says what that is: where the source is not whole, it may be all that there is. False
    /// when `step` gives up.
    fn may_replace(
        &self,
        one: &Again,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        let spread = &self.pools.spread;
        match spread.member(one.to).and_then(|pool| pool.len(one.id)) {
            Err(StoreError::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(store_error(error)),
            Ok(_) => {}
        }
        let source = spread.member(one.from).map_err(store_error)?;
        let scrubbed =
            self.engine.scrub_copy(&*source, one.id, Some(one.bytes), &mut |_| step())?;
        let Some(scrubbed) = scrubbed else { return Ok(false) };
        match scrubbed.damages.into_iter().next() {
            None => Ok(true),
            Some(first) => Err(stays(one.id, &first.what)),
        }
    }

    /// A copy of which every byte was verified: it may be the only one there will be. What was read
    /// wrong on the way may be right the second time.
    fn copy_verified<'s>(
        &'s self,
        one: &Again,
        step: &mut dyn FnMut() -> ControlFlow<()>,
        make: &dyn Fn(&mut Step<'_>) -> Result<Option<Copied<'s>>, StoreError>,
    ) -> Result<Option<Copied<'s>>, Error> {
        if !self.may_replace(one, step)? {
            return Ok(None);
        }
        let mut damage = None;
        for _ in 0..COPY_TRIES {
            let begun = self.env.clock().monotonic();
            let mut done = 0;
            let copied = make(&mut |bytes| {
                done += bytes;
                self.keep_rate(begun, done);
                step()
            });
            let Some(copied) = copied.map_err(store_error)? else { return Ok(None) };
            let scrubbed =
                self.engine
                    .scrub_copy(copied.target(), one.id, Some(one.bytes), &mut |_| step())?;
            let Some(scrubbed) = scrubbed else { return Ok(None) };
            match scrubbed.damages.into_iter().next() {
                None => return Ok(Some(copied)),
                Some(first) => damage = Some(first.what),
            }
        }
        Err(stays(one.id, &damage.unwrap_or_default()))
    }

    /// Waits until so many bytes since `begun` are no more than the configuration wants.
    fn keep_rate(&self, begun: Duration, done: u64) {
        let rate = self.config.mover_bytes_per_second;
        if rate == 0 {
            return;
        }
        let due = begun + Duration::from_secs_f64(done as f64 / rate as f64);
        let clock = self.env.clock();
        while let wait @ 1.. = due.saturating_sub(clock.monotonic()).as_nanos()
            && !self.stopping()
        {
            clock.sleep(POLL.min(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))));
        }
    }

    /// Removes what was copied. Where it is now is found by a look at all pools; that recovery
    /// does not want it, the backups have to know.
    fn remove_copied(&self, changes: u64, copied: &[(SegmentId, PoolId)]) -> Result<(), Error> {
        if copied.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.back_up_both(changes) {
            tracing::warn!(%error, "one backup knows where the log begins, not two");
        }
        let _no_collection = self.collector.lock();
        for &(id, from) in copied {
            let removed = self.pools.spread.member(from).and_then(|pool| {
                if self.pools.spread.places(id).contains(&from) { Ok(()) } else { pool.remove(id) }
            });
            if let Err(error) = removed {
                tracing::warn!(segment = %id, %error, "what was copied stays beside the copy");
                self.mover.left.store(true, Ordering::Release);
                self.mover.problems.lock().insert(from, error.to_string());
            }
        }
        Ok(())
    }

    fn run_mover(&self, interval: Duration) {
        let clock = self.env.clock();
        // Maps are not looked at before; pools that are away are.
        let mut rests_until = Duration::ZERO;
        while !self.stopping() {
            let until = clock.monotonic() + interval;
            let mut asked = false;
            while !self.stopping() && clock.monotonic() < until && !asked {
                clock.sleep(POLL.min(interval));
                asked = self.mover.wanted.swap(false, Ordering::AcqRel);
            }
            if self.stopping() {
                return;
            }
            let begun = clock.monotonic();
            if asked || begun >= rests_until || self.is_any_back() {
                let again = self.tell_moved(self.move_due(false));
                let now = clock.monotonic();
                let rest = ((now.saturating_sub(begun)) * PAUSE_TIMES).min(PAUSE_MAX);
                rests_until = if again { now } else { now + rest };
            } else {
                // What is to be in two pools does not wait for that.
                self.tell_moved(self.mirror_round());
            }
        }
    }

    /// Whether a pool that was away is back: what a move left there is looked for then.
    fn is_any_back(&self) -> bool {
        let back = self.pools.reopen(&self.catalog).unwrap_or_else(|error| {
            tracing::error!(%error, "pools that are away are not looked for; trying again");
            false
        });
        if back {
            self.mover.left.store(true, Ordering::Release);
        }
        back
    }

    /// Says what came of a round; whether the next one may find more.
    fn tell_moved(&self, moved: Result<Moved, Error>) -> bool {
        match moved {
            Ok(Moved { segments, bytes, left, strays, copies, adopted, .. }) => {
                if segments + strays > 0 {
                    tracing::info!(segments, bytes, left, strays, "moved between pools");
                }
                if copies + adopted > 0 {
                    tracing::info!(copies, adopted, "second copies");
                }
                segments > 0
            }
            Err(_) if self.stopping() => false,
            Err(error) => {
                tracing::error!(%error, "nothing moves between pools; trying again");
                self.mover.problems.lock().insert(PoolId::FIRST, error.to_string());
                false
            }
        }
    }
}

/// Starts the background, unless the configuration says never.
pub(super) fn start(core: &Arc<Core>, config: &Config) -> Result<Option<Box<dyn Join>>, Error> {
    if config.mover_interval_ms == 0 {
        return Ok(None);
    }
    let interval = Duration::from_millis(config.mover_interval_ms);
    let shared = Arc::clone(core);
    let body = Box::new(move || shared.run_mover(interval));
    core.env.threads().spawn("mover", body).map(Some).map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("cannot start a thread: {error}; try again"))
            .with_source(error)
    })
}

fn stays(id: SegmentId, what: &str) -> Error {
    let text = format!(
        "segment {id} stays where it is: {what}; `archipelago scrub` tells what it touches"
    );
    Error::new(ErrorKind::Damaged, text)
}

#[cfg(test)]
mod tests;
