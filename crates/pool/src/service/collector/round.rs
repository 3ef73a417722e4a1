//! One round of a collection.

mod emptying;
mod leaving;
pub(in crate::service) mod wants;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use archipelago_engine::{
    self as engine, Candidate, Horizon, Mark, SegmentInfo, SegmentKind, Urgency, choose,
};
use archipelago_model::{Location, PoolId, SegmentId, VolumeId};

use self::wants::{Wanted, Wants};
use super::pace::Pace;
use super::{Collected, Collector};
use crate::catalog::segment::{Kind, Known, State};
use crate::catalog::{CatalogError, segment, state, volume};
use crate::core::{Core, FIRST_SEGMENT, record, record_segments};
use crate::error::{Error, ErrorKind, store_error};

/// Segments that are marked together hold so many raw bytes at most, whose bitmaps
/// take 64 MiB at the worst (a bit a sector); there are more passes for more.
const PASS_RAW_BYTES_MAX: u64 = 256 << 30;
/// A volume that was opened since the start gets a flat map of its own. More of them that show one map keep what they
/// share, for as long as they show it: a thousand clones are not worth a thousand maps.
const OPEN_COPIES_MAX: usize = 4;

/// A round: the state of the catalog that it began with, and what was done so far.
pub(super) struct Round<'a> {
    core: &'a Core,
    urgency: Urgency,
    hurry: bool,
    /// Nothing more is begun after this, on the monotonic clock.
    until: Option<Duration>,
    /// The number of the mark: binds after its begin are stamped with it.
    mark: u64,
    horizon: Horizon,
    roots: Vec<Location>,
    /// Of these, those whose resources say in which pool they want to be.
    wanted: Wanted,
    known: Vec<Known>,
    /// Changes of the catalog that the mark began with: what is removed, backups must
    /// know to be gone.
    changes: u64,
    /// Segments that could not be moved.
    damaged: HashSet<SegmentId>,
    /// Pools that have no room, or did not answer, when something was to be written or removed
    /// there: they are left alone for the rest of the round.
    spared: HashSet<PoolId>,
    /// Whether live parts are moved in this round.
    compacts: bool,
    /// The log was given its footers, for the room that it had reserved.
    rested: bool,
    done: Collected,
}

impl<'a> Round<'a> {
    /// Begins a mark. The order is what makes it safe: first what is under way, then one
    /// state of the catalog, then what is held without a name.
    pub(super) fn begin(
        core: &'a Core,
        urgency: Urgency,
        hurry: bool,
        until: Option<Duration>,
    ) -> Result<Self, Error> {
        let mut horizon = core.engine.begin_mark();
        let state = state_at_mark(core);
        // Whoever read a root of an older state of the catalog holds it by now.
        drop(core.resolving.write());
        // Ends what began with the mark, also when there will be none.
        let held = core.engine.held_roots();
        let AtMark { mark, mut roots, wanted, floor, known, changes } = state?;
        horizon.log = horizon.log.min(floor.unwrap_or(FIRST_SEGMENT));
        roots.extend(held);
        roots.sort_unstable();
        roots.dedup();
        let done = Collected { rounds: 1, ..Collected::default() };
        Ok(Self {
            core,
            urgency,
            hurry,
            until,
            mark,
            horizon,
            roots,
            wanted,
            known,
            changes,
            damaged: HashSet::new(),
            spared: HashSet::new(),
            compacts: true,
            rested: false,
            done,
        })
    }

    pub(super) const fn figures(&self) -> Collected {
        self.done
    }

    pub(super) fn run(&mut self, collector: &mut Collector, now: bool) -> Result<(), Error> {
        self.damaged.clone_from(&collector.damaged);
        let done = self.steps(collector, now);
        collector.damaged.clone_from(&self.damaged);
        done
    }

    fn steps(&mut self, collector: &mut Collector, now: bool) -> Result<(), Error> {
        self.back_up()?;
        self.rescue()?;
        // First what needs no work: compaction may take its time beside busy guests.
        self.remove(collector, now)?;
        let passes = passes(&self.known);
        for (number, pass) in passes.into_iter().enumerate() {
            let Some(mark) = self.mark_pass(&pass)? else { return Ok(()) };
            self.confirm(collector, &pass, &mark)?;
            if number == 0 {
                self.flatten(&mark)?;
                // What flat maps hide no longer need not be moved: the next round sees that.
                let flattened = self.done.flattened > 0;
                self.compacts = !flattened || std::mem::take(&mut collector.waited);
                collector.waited |= !self.compacts;
            }
            self.collect_pass(collector, &pass, &mark)?;
        }
        self.condemn_unrecorded(collector)?;
        self.rescue()?;
        self.remove(collector, now)
    }

    /// Before anything is freed, what is left must be found without the catalog. To free
    /// something matters more when there is no room even for that.
    fn back_up(&self) -> Result<(), Error> {
        match self.core.back_up() {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                tracing::warn!(%error, "collecting without a new backup of the catalog");
                Ok(())
            }
            stored => stored,
        }
    }

    /// Should the newest dump rot, the one before must do: so both have to know what is
    /// removed now to be gone.
    fn back_up_both(&self) {
        if let Err(error) = self.core.back_up_both(self.changes) {
            tracing::warn!(%error, "one backup knows what is removed, not two");
        }
    }

    /// `None` when the program stops.
    fn mark_pass(&self, pass: &Range<SegmentId>) -> Result<Option<Mark>, Error> {
        let to: HashMap<SegmentId, SegmentId> = self.forwarded().collect();
        let wanted = |id: SegmentId| {
            pass.contains(&id) || to.get(&id).is_some_and(|carrier| pass.contains(carrier))
        };
        self.mark(&wanted).map_err(|error| {
            let kind = error.kind();
            Error::new(
                kind,
                format!(
                    "a map cannot be read, and what it names must not be freed: {error}; \
                     `archipelago check` tells whose it is"
                ),
            )
            .with_source(error)
        })
    }

    fn mark(&self, wanted: &dyn Fn(SegmentId) -> bool) -> Result<Option<Mark>, Error> {
        let mut pace = Pace::new(self.core, self.hurry);
        match self.core.engine.mark(self.roots.iter().copied(), wanted, &mut || pace.step()) {
            Err(engine::Error::Closed) if self.core.stopping() => Ok(None),
            marked => Ok(Some(marked?)),
        }
    }

    /// Old segments and their carriers.
    fn forwarded(&self) -> impl Iterator<Item = (SegmentId, SegmentId)> + '_ {
        self.known.iter().filter_map(|one| match one.state {
            State::Forwarded { to } => Some((one.id, to)),
            State::Sealed | State::Condemned => None,
        })
    }

    fn collect_pass(
        &mut self,
        collector: &mut Collector,
        pass: &Range<SegmentId>,
        mark: &Mark,
    ) -> Result<(), Error> {
        self.forget(pass, mark)?;
        let mut of_pools: BTreeMap<PoolId, Vec<Candidate>> = BTreeMap::new();
        for candidate in self.candidates(pass, mark) {
            of_pools.entry(candidate.info.pool).or_default().push(candidate);
        }
        let Some(wants) = self.wants(&|id| pass.contains(&id))? else { return Ok(()) };
        for (pool, candidates) in of_pools {
            self.collect_pool(collector, (pool, &candidates), pass, mark, &wants)?;
        }
        Ok(())
    }

    /// What is named of a pool's segments goes to new ones of the same pool, but for what is
    /// wanted in another.
    fn collect_pool(
        &mut self,
        collector: &mut Collector,
        (pool, candidates): (PoolId, &[Candidate]),
        pass: &Range<SegmentId>,
        mark: &Mark,
        wants: &Wants,
    ) -> Result<(), Error> {
        let segment_bytes = self.core.config.cold_segment_bytes;
        let choice = choose(candidates, segment_bytes, self.urgency);
        self.condemn(&choice.dead)?;
        collector.confirmed.extend(&choice.dead);
        // One that is drained is left to the mover, and one that is away to its coming back.
        if !self.core.may_compact_in(pool)? || self.spared.contains(&pool) {
            return Ok(());
        }
        let mut jobs = choice.jobs;
        jobs.extend(self.mixed(pool, &|id| pass.contains(&id), wants, mark, &jobs));
        for mut ids in jobs {
            if self.is_over() || !self.compacts {
                return Ok(());
            }
            ids.retain(|id| !self.damaged.contains(id));
            let ids = self.what_fits(ids, pool, mark);
            if ids.is_empty() {
                continue;
            }
            match self.compact_for(&ids, pool, mark, wants) {
                // What is full now has room after the removals.
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    tracing::warn!(%error, "compaction waits for room");
                    self.done.waits_for_room = true;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    tracing::error!(%error, "segments that are damaged are not compacted");
                }
                // What it shared from leaves: the next round shares from something else.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::info!(%error, "a compaction was in vain");
                    if self.core.pool_space(pool).is_err() {
                        self.spared.insert(pool);
                        return Ok(());
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn candidates(&self, pass: &Range<SegmentId>, mark: &Mark) -> Vec<Candidate> {
        let carriers: HashSet<SegmentId> = self.forwarded().map(|(_, carrier)| carrier).collect();
        let newer = self.known.len();
        let sealed = self.known.iter().enumerate().filter(|(_, one)| {
            one.state == State::Sealed
                && one.kind != Kind::Backup
                && pass.contains(&one.id)
                && self.horizon.allows(one.id, kind_of(one.kind))
        });
        sealed
            .map(|(at, one)| Candidate {
                info: SegmentInfo {
                    id: one.id,
                    pool: one.pool,
                    kind: kind_of(one.kind),
                    stored_bytes: one.stored_bytes,
                    raw_bytes: one.raw_bytes,
                },
                live_sectors: mark.live(one.id).map_or(0, |live| live.sectors.len()),
                carries: carriers.contains(&one.id),
                age: (newer - at) as u64,
            })
            .collect()
    }

    /// Forgets forwarded segments that nobody names any more and whose files are gone.
    fn forget(&mut self, pass: &Range<SegmentId>, mark: &Mark) -> Result<(), Error> {
        let gone: Vec<SegmentId> = self
            .known
            .iter()
            .filter(|one| matches!(one.state, State::Forwarded { .. }) && one.stored_bytes == 0)
            .filter(|one| pass.contains(&one.id) && mark.live(one.id).is_none())
            .map(|one| one.id)
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.core
            .catalog
            .write_aside(|tx| gone.iter().try_for_each(|id| segment::remove(tx, *id)))?;
        self.core.engine.removed(&gone);
        self.known.retain(|one| !gone.contains(&one.id));
        Ok(())
    }

    fn condemn(&mut self, dead: &[SegmentId]) -> Result<(), Error> {
        let mut condemned = Vec::new();
        self.core.catalog.write_aside(|tx| -> Result<_, CatalogError> {
            for id in dead {
                if segment::condemn(tx, *id, self.mark)? {
                    condemned.push(*id);
                }
            }
            Ok(())
        })?;
        self.core.engine.condemned(&condemned);
        self.done.condemned += condemned.len() as u64;
        Ok(())
    }

    /// What a crash left in the pool: sealed or not, nobody can name it.
    fn condemn_unrecorded(&mut self, collector: &mut Collector) -> Result<(), Error> {
        let core = self.core;
        let known: HashSet<SegmentId> = self.known.iter().map(|one| one.id).collect();
        let mut left = Vec::new();
        let listed = match core.store.list_from(FIRST_SEGMENT) {
            // The next round looks again.
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "leftovers of crashes are not looked for");
                return Ok(());
            }
            listed => listed.map_err(store_error)?,
        };
        for id in listed {
            // What it is nobody has noted: it may be the log's.
            if self.horizon.allows(id, SegmentKind::Hot)
                && !known.contains(&id)
                && !core.engine.is_open(id)
                && !core.engine.is_unrecorded(id)
                && !core.engine.is_doubtful(id)
            {
                // It may be gone: forgotten in this round.
                left.extend(core.store.len(id).ok().map(|bytes| (id, bytes)));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        // They should not be named. In doubt they stay: a row may have been lost.
        let ids: HashSet<SegmentId> = left.iter().map(|(id, _)| *id).collect();
        let Some(mark) = self.mark(&|id| ids.contains(&id))? else { return Ok(()) };
        left.retain(|(id, _)| {
            let named = mark.live(*id).is_some();
            if named {
                tracing::error!(segment = %id, "the catalog lacks a segment that is named");
            }
            !named
        });
        let mut condemned = Vec::new();
        core.catalog.write_aside(|tx| -> Result<_, CatalogError> {
            for &(id, bytes) in &left {
                if segment::condemn_unrecorded(tx, id, core.store.pool_of(id), bytes)? {
                    condemned.push(id);
                }
            }
            Ok(())
        })?;
        core.engine.condemned(&condemned);
        collector.confirmed.extend(&condemned);
        self.done.condemned += condemned.len() as u64;
        Ok(())
    }

    /// Writes maps anew that keep much alive which they hide.
    fn flatten(&mut self, mark: &Mark) -> Result<(), Error> {
        let core = self.core;
        let roots = core.catalog.read(state::roots)?;
        for root in roots {
            if self.is_over() {
                return Ok(());
            }
            // A root that came since the mark is looked at by the next one.
            if root.is_hole()
                || self.roots.binary_search(&root).is_err()
                || !core.engine.wants_flattening(mark, root)?
            {
                continue;
            }
            match self.flatten_root(root) {
                Ok(maps) => self.done.flattened += maps,
                Err(error) if error.kind() == ErrorKind::Fenced => {}
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    tracing::warn!(%error, "maps wait for room to be written anew");
                    self.done.waits_for_room = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// On a full disk what the log has reserved is room, too.
    fn flatten_root(&mut self, root: Location) -> Result<u64, Error> {
        match self.core.flatten(root) {
            Err(error) if error.kind() == ErrorKind::NoSpace && !self.rested => {
                self.rested = true;
                self.core.engine.rest_log()?;
                self.core.flatten(root)
            }
            done => done,
        }
    }

    /// Whether nothing more should be begun.
    fn is_over(&mut self) -> bool {
        let late = self.until.is_some_and(|until| self.core.env.clock().monotonic() >= until);
        self.done.more |= late;
        late || self.core.stopping()
    }
}

/// What a round has of the catalog.
struct AtMark {
    mark: u64,
    roots: Vec<Location>,
    wanted: Wanted,
    floor: Option<SegmentId>,
    known: Vec<Known>,
    changes: u64,
}

/// Raises the mark, and then reads one state of the catalog, which takes seconds where there
/// are millions of names: nobody else has to wait for that. What is bound between the two is
/// read, and its segments have the stamp of this mark besides.
fn state_at_mark(core: &Core) -> Result<AtMark, Error> {
    let mark = core.catalog.write_aside(state::begin_mark)?;
    core.catalog.read(|tx| {
        let floor = state::log_floor(tx)?;
        // Counted once the state to be read is fixed, with everything in it: what it does not
        // have any more, no backup of fewer changes knows to be gone.
        let changes = core.catalog.write_aside(|tx| Ok::<_, CatalogError>(tx.changes()))?;
        Ok(AtMark {
            mark,
            roots: state::roots(tx)?,
            wanted: wants::wanted(tx)?,
            floor,
            known: segment::list(tx)?,
            changes,
        })
    })
}

const fn kind_of(kind: Kind) -> SegmentKind {
    match kind {
        Kind::Hot => SegmentKind::Hot,
        Kind::Cold => SegmentKind::Cold,
        Kind::Backup => SegmentKind::Backup,
    }
}

/// Ranges of ids whose segments are marked together.
pub(in crate::service) fn passes(known: &[Known]) -> Vec<Range<SegmentId>> {
    let mut out = Vec::new();
    let (mut start, mut bytes) = (FIRST_SEGMENT, 0);
    for one in known {
        if bytes > 0 && bytes + one.raw_bytes > PASS_RAW_BYTES_MAX {
            out.push(start..one.id);
            (start, bytes) = (one.id, 0);
        }
        bytes += one.raw_bytes;
    }
    out.push(start..SegmentId::MAX);
    out
}

impl Core {
    /// Writes the map of a root anew wherever it is named; gives how many maps that are.
    fn flatten(&self, root: Location) -> Result<u64, Error> {
        let mut maps = 0;
        let volumes = self.catalog.read(|tx| volume::with_root(tx, root))?;
        let open = |id: &&VolumeId| self.attachments.handle(**id).is_some();
        if volumes.iter().filter(open).count() > OPEN_COPIES_MAX {
            return Ok(0);
        }
        for &id in &volumes {
            if let Some(handle) = self.attachments.handle(id) {
                self.engine.flatten(&handle, |done| self.catalog.write(|tx| record(tx, done)))?;
                maps += 1;
            }
        }
        let closed = |id: &VolumeId| self.attachments.handle(*id).is_none();
        if !volumes.iter().any(closed) && !self.catalog.read(|tx| state::is_fixed_root(tx, root))? {
            return Ok(maps);
        }
        let flat = self.engine.flatten_root(root)?;
        // Nobody opens a volume between the look and the transaction.
        let _no_lease_meanwhile = self.attaching.lock();
        let closed: Vec<VolumeId> = volumes.into_iter().filter(closed).collect();
        let new = *flat.root.get();
        self.catalog.write(|tx| -> Result<_, Error> {
            let own: Vec<SegmentId> = flat.sealed.iter().map(|info| info.id).collect();
            record_segments(tx, &flat.sealed)?;
            segment::named(tx, &own)?;
            state::replace_fixed_root(tx, root, new)?;
            for id in closed {
                volume::replace_root(tx, id, root, new)?;
            }
            Ok(())
        })?;
        Ok(maps + 1)
    }
}

#[cfg(test)]
mod tests;
