//! What resources want to be in other pools: compaction writes it there, and takes segments apart
//! that hold it beside what others hold, so that a move takes nothing of others with it.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_engine::{self as engine, Live, Mark, Share, Victim};
use archipelago_model::{Location, PoolId, SegmentId};

use super::Round;
use crate::catalog::segment::{Kind, Known, State};
use crate::catalog::{CatalogError, Tx, place};
use crate::core::Core;
use crate::error::Error;

/// Segments that are taken apart together at most: 256 MiB of them.
const APART_SEGMENTS_MAX: usize = 8;

/// Roots by the pool that those who have them want.
pub(in crate::service) type Wanted = Vec<(PoolId, Vec<Location>)>;

/// Reads them; of a pool that is drained, where it is drained to.
pub(in crate::service) fn wanted(tx: &Tx<'_>) -> Result<Wanted, CatalogError> {
    let places = place::list(tx)?;
    let mut out: BTreeMap<PoolId, Vec<Location>> = BTreeMap::new();
    for pool in place::wanted(tx)? {
        let row = places.iter().find(|row| row.id == pool);
        let to = row.and_then(|row| row.drain_to).unwrap_or(pool);
        out.entry(to).or_default().extend(place::roots(tx, pool)?);
    }
    Ok(out.into_iter().collect())
}

/// What of segments is wanted where.
#[derive(Default)]
pub(in crate::service) struct Wants {
    marks: Vec<(PoolId, Arc<Mark>)>,
}

impl Wants {
    /// Marks what those who want a pool name, of those that are there.
    pub fn mark(
        core: &Core,
        roots: &Wanted,
        which: &dyn Fn(SegmentId) -> bool,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Self, engine::Error> {
        let mut marks = Vec::new();
        for (pool, roots) in roots {
            if core.pools.spread.is_open(*pool) {
                let mark = core.engine.mark(roots.iter().copied(), which, step)?;
                marks.push((*pool, Arc::new(mark)));
            }
        }
        Ok(Self { marks })
    }

    /// The pools that somebody wants.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> + '_ {
        self.marks.iter().map(|(pool, _)| *pool)
    }

    /// The same without what is wanted in these pools.
    pub fn but(&self, spared: &HashSet<PoolId>) -> Self {
        let marks = self.marks.iter().filter(|(pool, _)| !spared.contains(pool));
        Self { marks: marks.cloned().collect() }
    }

    /// Takes what is named of a segment apart by where it is wanted: in its own pool first, then
    /// in the others in their order. The last is what stays, which may be nothing.
    pub fn apart(&self, home: PoolId, id: SegmentId, live: &Live) -> (Vec<(PoolId, Live)>, Live) {
        let mut rest = live.clone();
        let own = self.marks.iter().filter(|(pool, _)| *pool == home);
        let others = self.marks.iter().filter(|(pool, _)| *pool != home);
        let mut parts = Vec::new();
        for (pool, mark) in own.chain(others) {
            let Some(named) = mark.live(id) else { continue };
            let part = rest.within(named);
            if !part.sectors.is_empty() {
                rest = rest.without(&part);
                parts.push((*pool, part));
            }
        }
        (parts, rest)
    }

    /// Victims of a pool by where what is named of them goes; what stays comes last.
    pub fn shares(&self, home: PoolId, victims: Vec<Victim>) -> Vec<Share> {
        let mut by_pool: BTreeMap<PoolId, Vec<Victim>> = BTreeMap::new();
        let mut stays = Vec::new();
        for Victim { id, live } in victims {
            let (parts, rest) = self.apart(home, id, &live);
            let mut here = rest;
            for (pool, live) in parts {
                if pool == home {
                    here = Live {
                        sectors: here.sectors | live.sectors,
                        nodes: here.nodes | live.nodes,
                    };
                } else {
                    by_pool.entry(pool).or_default().push(Victim { id, live });
                }
            }
            // Also where nothing stays: it is a victim all the same.
            stays.push(Victim { id, live: here });
        }
        let others = by_pool.into_iter().map(|(pool, victims)| Share { pool, victims });
        others.chain(std::iter::once(Share { pool: home, victims: stays })).collect()
    }

    /// Whether some of a segment is wanted in another pool, and some is not.
    fn is_mixed(&self, one: &Known, mark: &Mark) -> bool {
        let Some(live) = mark.live(one.id) else { return false };
        let (parts, rest) = self.apart(one.pool, one.id, live);
        let elsewhere = parts.iter().filter(|(pool, _)| *pool != one.pool).count();
        let stays = !rest.sectors.is_empty() || parts.iter().any(|(pool, _)| *pool == one.pool);
        elsewhere > 1 || (elsewhere == 1 && stays)
    }
}

impl Round<'_> {
    /// What the pass names that is wanted elsewhere.
    pub(super) fn wants(&self, which: &dyn Fn(SegmentId) -> bool) -> Result<Option<Wants>, Error> {
        let mut pace = super::Pace::new(self.core, self.hurry);
        match Wants::mark(self.core, &self.wanted, which, &mut || pace.step()) {
            Err(engine::Error::Closed) if self.core.stopping() => Ok(None),
            marked => Ok(Some(marked?)),
        }
    }

    /// Segments of a pool to be taken apart, besides those of other jobs.
    pub(super) fn mixed(
        &self,
        pool: PoolId,
        which: &dyn Fn(SegmentId) -> bool,
        wants: &Wants,
        mark: &Mark,
        jobs: &[Vec<SegmentId>],
    ) -> Vec<Vec<SegmentId>> {
        let taken: HashSet<SegmentId> = jobs.iter().flatten().copied().collect();
        // What guests wrote lately is worth it only while somebody waits for a move: most of it
        // is overwritten before long.
        let awaited = !self.core.mover.is_settled();
        if self.spared.contains(&pool) {
            return Vec::new();
        }
        // Written anew in its own pool it would be as mixed as before, each time.
        let full = wants.pools().filter(|to| !self.may_write(*to, pool));
        let wants = &wants.but(&self.spared.iter().copied().chain(full).collect());
        let mixed: Vec<SegmentId> = self
            .known
            .iter()
            .filter(|one| one.pool == pool && one.state == State::Sealed && which(one.id))
            .filter(|one| one.kind == Kind::Cold || (awaited && one.kind == Kind::Hot))
            .filter(|one| !taken.contains(&one.id) && !self.damaged.contains(&one.id))
            .filter(|one| self.horizon.allows(one.id, super::kind_of(one.kind)))
            .filter(|one| wants.is_mixed(one, mark))
            .map(|one| one.id)
            .collect();
        mixed.chunks(APART_SEGMENTS_MAX).map(<[SegmentId]>::to_vec).collect()
    }
}
