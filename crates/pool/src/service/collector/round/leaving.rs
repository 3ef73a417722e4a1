//! What leaves: found unnamed once more, kept if it was read, removed after the grace time.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use archipelago_engine::Mark;
use archipelago_model::SegmentId;

use super::super::Collector;
use super::Round;
use crate::catalog::segment::{Known, State};
use crate::catalog::{CatalogError, scrub, segment};
use crate::error::Error;

/// On a disk that is nearly full, what nobody names is kept for this long at most: a
/// read that should not be shows within seconds, and guests are about to get errors.
const GRACE_SHORT: Duration = Duration::from_secs(60);
/// Files that are removed between two transactions.
const REMOVE_BATCH: usize = 64;
impl Round<'_> {
    /// A condemned segment is removed only when a mark since has not found its name. One
    /// whose name was found stays: somebody did not ask whether it leaves, a defect. But for
    /// those that an ingest held when the mark began: its bind is refused, and while it writes
    /// again what it shared, it holds the root that nobody will bind. Whether anybody else
    /// names such a one, a later mark tells.
    pub(super) fn confirm(
        &mut self,
        collector: &mut Collector,
        pass: &Range<SegmentId>,
        mark: &Mark,
    ) -> Result<(), Error> {
        let condemned = self.known.iter().filter(|one| one.state == State::Condemned);
        let of_pass = condemned.map(|one| one.id).filter(|id| pass.contains(id));
        let (named, unnamed): (Vec<_>, Vec<_>) = of_pass.partition(|id| mark.live(*id).is_some());
        collector.confirmed.extend(unnamed);
        collector.confirmed.retain(|id| !named.contains(id));
        let defects = named.into_iter().filter(|id| !self.horizon.fresh.contains(id));
        let named: Vec<_> = defects.collect();
        for id in &named {
            tracing::error!(segment = %id, "a condemned segment is named; it is kept");
        }
        self.rescue_all(&named)
    }

    /// Keeps condemned segments that somebody has read.
    pub(super) fn rescue(&mut self) -> Result<(), Error> {
        let core = self.core;
        let mut alarms = core.engine.alarms();
        // One whose file is gone (its row was not removed for want of something) must not
        // pass for a good one again: a bind would believe it.
        alarms.retain(|id| core.store.len(*id).is_ok());
        self.rescue_all(&alarms)
    }

    fn rescue_all(&mut self, ids: &[SegmentId]) -> Result<(), Error> {
        let core = self.core;
        if ids.is_empty() {
            return Ok(());
        }
        core.catalog.write_aside(|tx| ids.iter().try_for_each(|id| segment::rescue(tx, *id)))?;
        core.engine.rescued(ids);
        for one in self.known.iter_mut().filter(|one| ids.contains(&one.id)) {
            one.state = State::Sealed;
        }
        self.done.alarms += ids.len() as u64;
        Ok(())
    }

    /// Removes the files of what is leaving for longer than the grace time.
    pub(super) fn remove(&mut self, collector: &mut Collector, now: bool) -> Result<(), Error> {
        let core = self.core;
        let clock = core.env.clock().monotonic();
        let configured = Duration::from_millis(core.config.collector_grace_ms);
        let grace = match (now, self.hurry) {
            (true, _) => Duration::ZERO,
            (false, true) => configured.min(GRACE_SHORT),
            (false, false) => configured,
        };
        let leaving: Vec<Known> = core.catalog.read(segment::list)?;
        let leaving: Vec<Known> = leaving
            .into_iter()
            .filter(|one| match one.state {
                State::Sealed => false,
                State::Condemned => true,
                State::Forwarded { .. } => one.stored_bytes > 0,
            })
            .collect();
        let ids: HashSet<SegmentId> = leaving.iter().map(|one| one.id).collect();
        collector.leaving.retain(|id, _| ids.contains(id));
        collector.confirmed.retain(|id| ids.contains(id));
        let mut due = Vec::new();
        self.done.waiting_bytes = 0;
        for one in leaving {
            let since = *collector.leaving.entry(one.id).or_insert(clock);
            let unnamed = one.state != State::Condemned || collector.confirmed.contains(&one.id);
            if unnamed && clock.saturating_sub(since) >= grace {
                due.push(one);
            } else {
                self.done.waiting_bytes += one.stored_bytes;
            }
        }
        if !due.is_empty() {
            self.back_up_both();
        }
        for batch in due.chunks(REMOVE_BATCH) {
            self.remove_batch(batch)?;
        }
        Ok(())
    }

    /// First the files, then the rows: a crash between them leaves rows whose files are
    /// removed again, which is no error.
    fn remove_batch(&mut self, batch: &[Known]) -> Result<(), Error> {
        let core = self.core;
        let alarms: HashSet<SegmentId> = core.engine.alarms().into_iter().collect();
        let stays = |id| alarms.contains(&id) || core.engine.holds(id);
        let asked = |one: &&Known| !stays(one.id) && !self.spared.contains(&one.pool);
        let mut batch: Vec<&Known> = batch.iter().filter(asked).collect();
        // One that cannot be removed must not keep the others.
        let spared = &mut self.spared;
        batch.retain(|one| match core.store.remove(one.id) {
            Ok(()) => true,
            // A pool that does not answer is asked once in a round.
            Err(_) if spared.contains(&one.pool) => false,
            Err(error) => {
                if error.is_transient() {
                    spared.insert(one.pool);
                }
                tracing::error!(segment = %one.id, %error, "a file cannot be removed; later again");
                false
            }
        });
        core.catalog.write_aside(|tx| -> Result<_, CatalogError> {
            for one in &batch {
                match one.state {
                    State::Forwarded { .. } => segment::emptied(tx, one.id)?,
                    State::Condemned | State::Sealed => segment::remove(tx, one.id)?,
                }
            }
            // What was wrong with them is gone with them.
            scrub::forget_gone(tx)
        })?;
        let (emptied, removed): (Vec<&Known>, Vec<&Known>) =
            batch.iter().partition(|one| matches!(one.state, State::Forwarded { .. }));
        let ids = |some: &[&Known]| some.iter().map(|one| one.id).collect::<Vec<_>>();
        core.engine.emptied(&ids(&emptied));
        core.engine.removed(&ids(&removed));
        self.done.removed += batch.len() as u64;
        self.done.freed_bytes += batch.iter().map(|one| one.stored_bytes).sum::<u64>();
        Ok(())
    }
}
