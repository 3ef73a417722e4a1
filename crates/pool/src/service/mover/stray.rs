//! What an interrupted move left: a copy that nothing says to be the one.

use std::collections::HashSet;
use std::ops::ControlFlow;

use archipelago_engine as engine;
use archipelago_model::{PoolId, SegmentId};
use archipelago_store::{Store, StoreError};

use super::Moved;
use crate::catalog::segment::Known;
use crate::catalog::{place, segment};
use crate::core::{Core, FIRST_SEGMENT};
use crate::error::{Error, store_error};

/// What became of a copy beside a segment.
enum Settled {
    Removed,
    /// It is its second copy.
    Adopted,
    Left,
}

impl Core {
    /// Removes copies beside the segments that they are of, in all pools that are there. Whether
    /// all of them were.
    pub(super) fn sweep_strays(&self, done: &mut Moved) -> Result<bool, Error> {
        let mut all = true;
        let places = self.catalog.read(place::list)?;
        if places.len() == 1 {
            return Ok(true);
        }
        let known = self.catalog.read(segment::list)?;
        for row in places {
            let pool = self.pools.spread.member(row.id);
            let there = match pool.and_then(|pool| pool.list_from(FIRST_SEGMENT)) {
                Ok(there) => there,
                Err(error) => {
                    tracing::debug!(pool = %row.name, %error, "leftovers are not looked for");
                    all = false;
                    continue;
                }
            };
            self.forget_missing(row.id, &there, &known)?;
            let strays = there.into_iter().filter(|id| {
                // What the catalog does not know is for the collector.
                let at = known.binary_search_by_key(id, |one| one.id);
                at.is_ok_and(|at| known[at].pool != row.id && known[at].copy != Some(row.id))
            });
            for id in strays {
                // One that cannot be looked at keeps no other one.
                match self.settle_stray(id, row.id) {
                    Ok(Settled::Removed) => done.strays += 1,
                    Ok(Settled::Adopted) => done.adopted += 1,
                    Ok(Settled::Left) => {}
                    Err(error) => {
                        tracing::warn!(segment = %id, %error, "a leftover stays for now");
                        all = false;
                    }
                }
            }
        }
        Ok(all)
    }

    /// Second copies that are not where they are said to be do not count any more: they are made
    /// again.
    fn forget_missing(
        &self,
        at: PoolId,
        there: &[SegmentId],
        known: &[Known],
    ) -> Result<(), Error> {
        let there: HashSet<SegmentId> = there.iter().copied().collect();
        let said = known.iter().filter(|one| one.copy == Some(at));
        for one in said.filter(|one| !there.contains(&one.id)) {
            let _no_collection = self.collector.lock();
            // It may have been made since they were listed.
            let found = self.pools.spread.member(at).and_then(|pool| pool.len(one.id));
            if matches!(found, Err(StoreError::NotFound { .. })) {
                self.catalog.write_aside(|tx| segment::forget_copy(tx, one.id, at))?;
                self.pools.spread.no_second(one.id);
            }
        }
        Ok(())
    }

    /// Removes a copy if the segment is whole where the catalog says, unless it is the second one
    /// that is wanted here. Where it is not, and what is here is, this is the segment: the catalog
    /// is older than the move. Else both stay.
    fn settle_stray(&self, id: SegmentId, at: PoolId) -> Result<Settled, Error> {
        let _no_collection = self.collector.lock();
        let spread = &self.pools.spread;
        let Some(known) = self.catalog.read(|tx| segment::find(tx, id))? else {
            return Ok(Settled::Left);
        };
        if known.pool == at || known.copy == Some(at) {
            return Ok(Settled::Left);
        }
        let here = spread.member(at).map_err(store_error)?;
        if known.stored_bytes == 0 {
            // It was moved by a compaction, and its file is gone: so is this one.
            here.remove(id).map_err(store_error)?;
            return Ok(Settled::Removed);
        }
        if self.catalog.read(|tx| place::mirror_of(tx, known.pool))? == Some(at)
            && known.copy.is_none()
            && self.is_whole(&*here, &known)?
            && self.catalog.write_aside(|tx| segment::note_copy(tx, id, known.pool, at))?
        {
            // What is there need not be sent.
            spread.seconds([(id, at)]);
            return Ok(Settled::Adopted);
        }
        let there = spread.member(known.pool).map_err(store_error)?;
        // A copy may have its full length from the start: only its bytes tell that it is whole.
        if self.is_whole(&*there, &known)? {
            here.remove(id).map_err(store_error)?;
            return Ok(Settled::Removed);
        }
        if self.is_whole(&*here, &known)? {
            tracing::warn!(segment = %id, "a segment is in another pool than the catalog has it in");
            self.catalog.write_aside(|tx| segment::found_in(tx, id, at))?;
            spread.found([(id, at)]);
        }
        Ok(Settled::Left)
    }

    /// Whether a pool has a segment, and every byte of it is right.
    fn is_whole(&self, pool: &dyn Store, known: &Known) -> Result<bool, Error> {
        let stored = Some(known.stored_bytes);
        let mut step = |_| ControlFlow::Continue(());
        match self.engine.scrub_copy(pool, known.id, stored, &mut step) {
            Ok(scrubbed) => Ok(scrubbed.is_some_and(|scrubbed| scrubbed.damages.is_empty())),
            Err(engine::Error::Store(StoreError::NotFound { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
