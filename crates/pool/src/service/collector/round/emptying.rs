//! Compaction of a round's victims: what is moved, and its record.

use archipelago_engine::{self as engine, Compacted, Job, Mark, Victim};
use archipelago_model::{PoolId, SECTOR_BYTES, SegmentId};

use super::wants::Wants;
use super::{Pace, Round};
use crate::catalog::segment::State;
use crate::catalog::{CatalogError, Tx, segment};
use crate::core::record_segments;
use crate::error::{Error, ErrorKind};

impl Round<'_> {
    /// As many of a job's victims as there is room for.
    pub(super) fn what_fits(
        &self,
        ids: Vec<SegmentId>,
        pool: PoolId,
        mark: &Mark,
    ) -> Vec<SegmentId> {
        let Ok(space) = self.core.pool_space(pool) else { return ids };
        fitting(ids, space.free, self.core.config.hot_segment_bytes, |id| {
            let Ok(at) = self.known.binary_search_by_key(&id, |one| one.id) else { return 0 };
            let (one, live) = (&self.known[at], mark.live(id).map_or(0, |live| live.sectors.len()));
            let raw = u128::from(one.raw_bytes.max(1));
            let stored = u128::from(one.stored_bytes) * u128::from(live * SECTOR_BYTES) / raw;
            stored as u64
        })
    }

    /// Moves what is named of segments of a pool, each part to the pool where it is wanted. Where
    /// one of those has no room, or does not answer, everything stays in the pool.
    pub(super) fn compact_for(
        &mut self,
        ids: &[SegmentId],
        pool: PoolId,
        mark: &Mark,
        wants: &Wants,
    ) -> Result<(), Error> {
        let full: Vec<PoolId> = wants.pools().filter(|to| !self.may_write(*to, pool)).collect();
        self.spared.extend(full);
        match self.compact(ids, pool, mark, &wants.but(&self.spared)) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Unavailable)
                    && wants.pools().any(|to| to != pool && !self.spared.contains(&to)) =>
            {
                tracing::warn!(%error, "what is wanted in other pools stays in its own for now");
                self.spared.extend(wants.pools().filter(|to| *to != pool));
                self.compact(ids, pool, mark, &wants.but(&self.spared))
            }
            done => done,
        }
    }

    /// Whether another pool has room for what a job may write there.
    pub(super) fn may_write(&self, to: PoolId, home: PoolId) -> bool {
        let segment = self.core.config.hot_segment_bytes;
        let room = self.core.pool_space(to);
        // A cluster of Ceph may not know its size yet.
        to == home || room.is_ok_and(|room| room.total == 0 || room.free / 4 > segment)
    }

    fn compact(
        &mut self,
        ids: &[SegmentId],
        pool: PoolId,
        mark: &Mark,
        wants: &Wants,
    ) -> Result<(), Error> {
        let core = self.core;
        let (job, carried) = self.job(ids, pool, mark, wants);
        let mut pace = Pace::new(core, self.hurry);
        let moved = match core.engine.compact(&job, &mut |_| pace.step()) {
            Err(engine::Error::Closed) if core.stopping() => return Ok(()),
            Err(error) => {
                let bad = match &error {
                    engine::Error::Damaged { segment, .. } => Some(*segment),
                    engine::Error::Store(archipelago_store::StoreError::Io {
                        segment: Some(segment),
                        ..
                    }) if ids.contains(segment) => Some(*segment),
                    _ => None,
                };
                if let Some(bad) = bad {
                    // The others of the job are moved without it, next time; none of them is
                    // when it is not one of them.
                    if ids.contains(&bad) {
                        self.damaged.insert(bad);
                    } else {
                        self.damaged.extend(ids);
                    }
                    let error = Error::from(error);
                    return Err(
                        Error::new(ErrorKind::Damaged, error.to_string()).with_source(error)
                    );
                }
                return Err(error.into());
            }
            Ok(moved) => moved,
        };
        let forwarded =
            match core.catalog.write_aside(|tx| record_moved(tx, &moved, ids, &carried, self.mark))
            {
                Ok(forwarded) => forwarded,
                Err(error) => {
                    core.engine.not_forwarded(ids);
                    return Err(error);
                }
            };
        core.engine.recorded(&moved.sealed);
        let (kept, gone): (Vec<_>, Vec<_>) = ids.iter().partition(|id| !forwarded.contains(id));
        let targets: Vec<(SegmentId, SegmentId)> =
            gone.iter().chain(&carried).map(|id| (*id, moved.carrier)).collect();
        core.engine.forwarded(&targets);
        core.engine.not_forwarded(&kept);
        self.note_moved(&gone, &carried, moved.carrier);
        self.done.compacted += gone.len() as u64;
        self.done.read_bytes += moved.stats.read_bytes;
        self.done.written_bytes += moved.stats.stored_bytes;
        self.done.duplicate_bytes += moved.stats.duplicate_bytes;
        Ok(())
    }

    fn note_moved(&mut self, gone: &[SegmentId], carried: &[SegmentId], to: SegmentId) {
        for one in &mut self.known {
            if gone.contains(&one.id) || carried.contains(&one.id) {
                one.state = State::Forwarded { to };
            }
        }
    }

    /// With the segments whose tables the victims carry.
    fn job(
        &self,
        ids: &[SegmentId],
        pool: PoolId,
        mark: &Mark,
        wants: &Wants,
    ) -> (Job, Vec<SegmentId>) {
        let victim =
            |id: SegmentId| Victim { id, live: mark.live(id).cloned().unwrap_or_default() };
        let carried: Vec<SegmentId> = self
            .forwarded()
            .filter(|(_, carrier)| ids.contains(carrier))
            .map(|(old, _)| old)
            .collect();
        let job = Job {
            shares: wants.shares(pool, ids.iter().copied().map(victim).collect()),
            carried: carried.iter().copied().map(victim).collect(),
        };
        (job, carried)
    }
}

/// Records a compaction; gives the victims that are forwarded now. One that a bind has
/// named since the mark stays, since the table may lack what was named.
fn record_moved(
    tx: &Tx<'_>,
    moved: &Compacted,
    victims: &[SegmentId],
    carried: &[SegmentId],
    mark: u64,
) -> Result<Vec<SegmentId>, Error> {
    if let Some(id) = segment::leaving(tx, &moved.named)?.first() {
        return Err(CatalogError::Condemned(*id).into());
    }
    record_segments(tx, &moved.sealed)?;
    segment::named(tx, &moved.named)?;
    let mut forwarded = Vec::new();
    for id in victims {
        if segment::forward(tx, *id, moved.carrier, mark)? {
            forwarded.push(*id);
        }
    }
    for id in carried {
        segment::carry(tx, *id, moved.carrier)?;
    }
    Ok(forwarded)
}

/// As many of `ids`, in their order, as can be moved, each for so many bytes as it `needs`, and
/// leave guests the `reserve` for another segment of the log, or three quarters of what little
/// is free.
pub(super) fn fitting(
    mut ids: Vec<SegmentId>,
    free: u64,
    reserve: u64,
    needs: impl Fn(SegmentId) -> u64,
) -> Vec<SegmentId> {
    let mut room = free.saturating_sub(reserve).max(free / 4);
    ids.retain(|id| match room.checked_sub(needs(*id)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    });
    ids
}
