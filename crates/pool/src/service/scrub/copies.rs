//! Scrubbing what is in two pools: both copies are read, and one that is damaged or missing is
//! made anew from the other.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use archipelago_engine::{Damage, Error as EngineError, ScrubbedSegment};
use archipelago_model::PoolId;
use archipelago_store::StoreError;

use super::Job;
use super::pace::Pace;
use crate::catalog::place;
use crate::catalog::segment::{Known, State};
use crate::error::Error;
use crate::service::mover::Again;

/// What one copy is like.
enum Copy {
    Read(ScrubbedSegment),
    /// Its pool does not answer.
    Away,
    Stopped,
}

impl Job<'_> {
    /// As [`Self::segment`], of one that has a second copy.
    pub(super) fn both_copies(
        &mut self,
        known: &Known,
        second: PoolId,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Option<ScrubbedSegment>>, Error> {
        let mut read = Vec::new();
        for at in [known.pool, second] {
            match self.one_copy(known, at, pace)? {
                Copy::Read(scrubbed) => read.push((at, scrubbed)),
                Copy::Away => {}
                Copy::Stopped => return Ok(None),
            }
        }
        // It may have moved meanwhile, or be leaving: then nothing of this is the case any more.
        let now = self.known(known.id)?;
        let same = |now: &Known| {
            now.state == State::Sealed && now.pool == known.pool && now.copy == Some(second)
        };
        if !now.as_ref().is_some_and(same) {
            return Ok(Some(None));
        }
        let mut read = read.into_iter();
        let (Some(one), two) = (read.next(), read.next()) else { return Ok(Some(None)) };
        let Some(two) = two else { return Ok(Some(Some(one.1))) };
        let bytes = one.1.bytes + two.1.bytes;
        let told = match (one.1.damages.is_empty(), two.1.damages.is_empty()) {
            (true, true) => one.1,
            (false, true) => self.heal(known, one, two.0)?,
            (true, false) => self.heal(known, two, one.0)?,
            (false, false) => self.told_of_both(one, two)?,
        };
        Ok(Some(Some(ScrubbedSegment { bytes, ..told })))
    }

    fn one_copy(&self, known: &Known, at: PoolId, pace: &mut Pace<'_>) -> Result<Copy, Error> {
        let Ok(pool) = self.core.pools.spread.member(at) else { return Ok(Copy::Away) };
        let stored = known.stored_bytes;
        let mut step = |bytes| pace.next(bytes);
        match self.core.engine.scrub_copy(&*pool, known.id, Some(stored), &mut step) {
            Ok(Some(scrubbed)) => Ok(Copy::Read(scrubbed)),
            Ok(None) => Ok(Copy::Stopped),
            Err(EngineError::Store(StoreError::NotFound { .. })) => {
                Ok(Copy::Read(ScrubbedSegment::missing(known.id, stored)))
            }
            Err(EngineError::Store(error)) if error.is_transient() => {
                tracing::warn!(segment = %known.id, %error, "one copy is not read");
                Ok(Copy::Away)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces a copy by one of the other, which is whole: until it is, that one is there. What
    /// cannot be healed is told, but nothing is lost.
    fn heal(
        &mut self,
        known: &Known,
        (at, damaged): (PoolId, ScrubbedSegment),
        from: PoolId,
    ) -> Result<ScrubbedSegment, Error> {
        match self.copy_anew(known, from, at) {
            Ok(true) => {
                tracing::warn!(segment = %known.id, pool = %at, "a damaged copy was made anew");
                self.row.healed += 1;
                self.scrubber.healed.store(self.row.healed, Ordering::Release);
                self.core.mover.healed();
                return Ok(ScrubbedSegment { damages: Vec::new(), ..damaged });
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(segment = %known.id, %error, "a damaged copy is not healed");
            }
        }
        let damages = self.spared(&damaged.damages, at)?;
        Ok(ScrubbedSegment { damages, ..damaged })
    }

    fn copy_anew(&self, known: &Known, from: PoolId, to: PoolId) -> Result<bool, Error> {
        let core = self.core;
        let _no_collection = core.collector.lock();
        let now = self.known(known.id)?;
        if now.is_none_or(|now| now != *known) {
            return Ok(false);
        }
        let again = Again { id: known.id, from, to, bytes: known.stored_bytes };
        let mut step = || match self.stopping() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let Some(copied) = core.copy_again(&again, &mut step)? else { return Ok(false) };
        copied.keep();
        Ok(true)
    }

    /// Damage of one copy, where the other is whole.
    fn spared(&self, damages: &[Damage], at: PoolId) -> Result<Vec<Damage>, Error> {
        let name = self.name_of(at)?;
        let told = damages.iter().map(|one| Damage {
            lost: None,
            what: format!("{}, in pool '{name}'; the other copy is whole", one.what),
            ..one.clone()
        });
        Ok(told.collect())
    }

    /// Where both are damaged at once, that is lost; elsewhere each has what the other has not.
    fn told_of_both(
        &self,
        (at, one): (PoolId, ScrubbedSegment),
        (also_at, two): (PoolId, ScrubbedSegment),
    ) -> Result<ScrubbedSegment, Error> {
        let meets = |a: &Damage, b: &Damage| {
            a.offset < b.offset + b.bytes.max(1) && b.offset < a.offset + a.bytes.max(1)
        };
        let mut lost: Vec<Damage> = Vec::new();
        for a in &one.damages {
            for b in two.damages.iter().filter(|b| meets(a, b)) {
                let smaller = if b.bytes < a.bytes { b } else { a };
                if !lost.contains(smaller) {
                    lost.push(smaller.clone());
                }
            }
        }
        let only = |damages: &[Damage]| -> Vec<Damage> {
            damages.iter().filter(|one| !lost.contains(one)).cloned().collect()
        };
        let mut spared = self.spared(&only(&one.damages), at)?;
        spared.extend(self.spared(&only(&two.damages), also_at)?);
        // One place is noted once: as what it is worst.
        let mut damages = lost;
        damages.extend(spared);
        Ok(ScrubbedSegment { damages, ..one })
    }

    fn name_of(&self, pool: PoolId) -> Result<String, Error> {
        let rows = self.core.catalog.read(place::list)?;
        let row = rows.into_iter().find(|row| row.id == pool);
        Ok(row.map_or_else(|| pool.to_string(), |row| row.name.to_string()))
    }
}
