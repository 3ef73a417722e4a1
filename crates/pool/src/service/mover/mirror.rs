//! Second copies: of what is in a pool that is mirrored, in the pool that it is mirrored to.
//!
//! A copy is made and verified like that of a move; then one transaction says that it counts. A
//! crash before leaves a file that the next start verifies: whole, it counts; else it goes. So what
//! is there already is never sent again.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use archipelago_model::{PoolId, SegmentId};
use archipelago_store::Copied;

use super::{Moved, Seen, Step};
use crate::catalog::segment::{self, Lacking, State};
use crate::catalog::{CatalogError, place};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::service::collector::Pace;

/// While the first pool is mirrored, the log goes on in another segment so often, so that what
/// guests wrote until then is in both: what only the first pool has is at most that and a round of
/// the mover old. Each costs a footer.
const LOG_COPY_EVERY: Duration = Duration::from_secs(60);

/// One copy to be made.
#[derive(Clone, Copy)]
pub(in crate::service) struct Again {
    pub id: SegmentId,
    pub from: PoolId,
    pub to: PoolId,
    pub bytes: u64,
}

impl Core {
    /// A round of the mover for second copies alone, which looks at no map.
    pub(super) fn mirror_round(&self) -> Result<Moved, Error> {
        let mut seen = self.mover.round.lock();
        let mut done = Moved::default();
        if seen.swept {
            self.mirror(&mut seen, false, &mut done)?;
        }
        Ok(done)
    }

    /// Makes the second copies that are missing, and removes those that nobody wants any more.
    pub(super) fn mirror(
        &self,
        seen: &mut Seen,
        hurry: bool,
        done: &mut Moved,
    ) -> Result<(), Error> {
        self.mover.mirror_problems.lock().clear();
        self.rest_log_for_copies(seen)?;
        let (lacking, unwanted) = self
            .catalog
            .read(|tx| Ok::<_, CatalogError>((segment::lacking(tx)?, segment::unwanted(tx)?)))?;
        for (id, at) in unwanted {
            self.remove_copy(id, at)?;
        }
        let mut pace = Pace::new(self, hurry);
        let mut spared: HashSet<PoolId> = HashSet::new();
        for one in lacking {
            if self.stopping() {
                break;
            }
            if spared.contains(&one.pool) || spared.contains(&one.to) {
                continue;
            }
            match self.mirror_one(&one, &mut || pace.step()) {
                Ok(made) => {
                    done.copies += u64::from(made);
                    done.copy_bytes += if made { one.bytes } else { 0 };
                }
                Err(error) => spared.extend(self.blame_mirror(&one, &error)),
            }
        }
        Ok(())
    }

    /// Says which pool keeps a second copy from being made; gives the one that is left alone for
    /// the rest of the round.
    fn blame_mirror(&self, one: &Lacking, error: &Error) -> Option<PoolId> {
        tracing::warn!(segment = %one.id, %error, "a second copy is not made for now");
        self.mover.left.store(true, Ordering::Release);
        self.mover.mirror_problems.lock().insert(one.to, error.to_string());
        match error.kind() {
            ErrorKind::NoSpace | ErrorKind::ReadOnly => Some(one.to),
            ErrorKind::Unavailable if self.pool_space(one.to).is_err() => Some(one.to),
            ErrorKind::Unavailable => Some(one.pool),
            _ => None,
        }
    }

    fn rest_log_for_copies(&self, seen: &mut Seen) -> Result<(), Error> {
        let now = self.env.clock().monotonic();
        let batches = self.engine.counters().log_batches;
        if batches == seen.batches || now.saturating_sub(seen.rested) < LOG_COPY_EVERY {
            return Ok(());
        }
        if self.catalog.read(|tx| place::mirror_of(tx, PoolId::FIRST))?.is_none() {
            return Ok(());
        }
        (seen.batches, seen.rested) = (batches, now);
        let rested = self.persist_all().and_then(|()| {
            self.engine.rest_log()?;
            self.checkpoint(&[], false, |_, _| Ok(()))
        });
        if let Err(error) = rested {
            tracing::warn!(%error, "the end of the log has no second copy yet");
        }
        // What persisting wrote needs none of its own.
        seen.batches = self.engine.counters().log_batches;
        Ok(())
    }

    /// Makes the second copy of a segment; whether one was wanted.
    fn mirror_one(
        &self,
        one: &Lacking,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        // So nothing of it is freed, compacted or removed meanwhile.
        let _no_collection = self.collector.lock();
        let Lacking { id, to, .. } = *one;
        let known = self.catalog.read(|tx| segment::find(tx, id))?;
        let Some(known) = known.filter(|known| known.state == State::Sealed) else {
            return Ok(false);
        };
        if known.pool == to || known.copy == Some(to) {
            return Ok(false);
        }
        self.ask_room(to, one.bytes)?;
        let again = Again { id, from: known.pool, to, bytes: one.bytes };
        let Some(copied) = self.copy_again(&again, step)? else { return Ok(false) };
        if !self.catalog.write_aside(|tx| segment::note_copy(tx, id, known.pool, to))? {
            return Ok(false);
        }
        copied.keep();
        if let Some(old) = known.copy {
            self.remove_file(id, old);
        }
        Ok(true)
    }

    /// A copy over whatever is there, of which every byte was verified.
    pub(in crate::service) fn copy_again(
        &self,
        one: &Again,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Copied<'_>>, Error> {
        let make =
            &|pace: &mut Step<'_>| self.pools.spread.copy_again(one.id, one.from, one.to, pace);
        self.copy_verified(one, step, make)
    }

    /// The second copy of a backup that was just made, before older ones go.
    pub(in crate::service) fn mirror_backup(
        &self,
        id: SegmentId,
        to: PoolId,
        bytes: u64,
    ) -> Result<(), Error> {
        self.ask_room(to, bytes)?;
        let again = Again { id, from: PoolId::FIRST, to, bytes };
        let copied = self.copy_again(&again, &mut || ControlFlow::Continue(()))?;
        let Some(copied) = copied else { return Ok(()) };
        if self.catalog.write_aside(|tx| segment::note_copy(tx, id, PoolId::FIRST, to))? {
            copied.keep();
        }
        Ok(())
    }

    /// A second copy that nobody wants any more: first nobody knows it, then it goes.
    fn remove_copy(&self, id: SegmentId, at: PoolId) -> Result<(), Error> {
        let _no_collection = self.collector.lock();
        self.catalog.write_aside(|tx| segment::forget_copy(tx, id, at))?;
        self.pools.spread.no_second(id);
        self.remove_file(id, at);
        Ok(())
    }

    /// What cannot be removed is a leftover that is looked for again.
    fn remove_file(&self, id: SegmentId, at: PoolId) {
        if let Err(error) = self.pools.spread.member(at).and_then(|pool| pool.remove(id)) {
            tracing::warn!(segment = %id, %error, "a second copy that nobody wants stays for now");
            self.mover.left.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
