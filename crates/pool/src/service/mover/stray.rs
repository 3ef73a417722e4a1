//! What an interrupted move left: a copy that nothing says to be the one.

use std::ops::ControlFlow;

use archipelago_engine as engine;
use archipelago_model::{PoolId, SegmentId};
use archipelago_store::{Store, StoreError};

use super::Moved;
use crate::catalog::segment::Known;
use crate::catalog::{place, segment};
use crate::core::{Core, FIRST_SEGMENT};
use crate::error::{Error, store_error};

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
            let strays = there.into_iter().filter(|id| {
                // What the catalog does not know is for the collector.
                let at = known.binary_search_by_key(id, |one| one.id);
                at.is_ok_and(|at| known[at].pool != row.id)
            });
            for id in strays {
                // One that cannot be looked at keeps no other one.
                match self.settle_stray(id, row.id) {
                    Ok(removed) => done.strays += u64::from(removed),
                    Err(error) => {
                        tracing::warn!(segment = %id, %error, "a leftover stays for now");
                        all = false;
                    }
                }
            }
        }
        Ok(all)
    }

    /// Removes a copy if the segment is whole where the catalog says. Where it is not, and what is
    /// here is, this is the segment: the catalog is older than the move. Else both stay.
    fn settle_stray(&self, id: SegmentId, at: PoolId) -> Result<bool, Error> {
        let _no_collection = self.collector.lock();
        let spread = &self.pools.spread;
        let Some(known) = self.catalog.read(|tx| segment::find(tx, id))? else {
            return Ok(false);
        };
        if known.pool == at {
            return Ok(false);
        }
        let here = spread.member(at).map_err(store_error)?;
        let there = spread.member(known.pool).map_err(store_error)?;
        if known.stored_bytes == 0 {
            // It was moved by a compaction, and its file is gone: so is this one.
            here.remove(id).map_err(store_error)?;
            return Ok(true);
        }
        // A copy may have its full length from the start: only its bytes tell that it is whole.
        if self.is_whole(&*there, &known)? {
            here.remove(id).map_err(store_error)?;
            return Ok(true);
        }
        if self.is_whole(&*here, &known)? {
            tracing::warn!(segment = %id, "a segment is in another pool than the catalog has it in");
            self.catalog.write_aside(|tx| segment::found_in(tx, id, at))?;
            spread.found([(id, at)]);
        }
        Ok(false)
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
