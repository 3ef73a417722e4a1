//! Whose view is made next: accounts take turns, each with its oldest first. What changes all
//! the time waits until it rests, and what failed is tried again after pauses that grow.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::BACKOFF;
use crate::catalog::guest_view::{self, GuestViewRow, Key};
use crate::core::Core;
use crate::error::Error;

/// Views that are taken up together.
const MAKE_BATCH: usize = 1024;
/// Of these are made before it is asked again whose turn it is.
const TURN_ROWS: usize = 16;
/// Content that came less long ago waits, unless a clone waits for it: it may be replaced by
/// the next of many updates.
const REST_MS: u64 = 2000;
/// Between attempts at most. The first pause is [`BACKOFF`], each is twice the one before.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// What one thread of the background knows of its work.
#[derive(Default)]
pub(super) struct Turns {
    /// What could not be made: [`MAKE_BATCH`] at most.
    failed: HashMap<Key, Pause>,
}

struct Pause {
    until: Duration,
    len: Duration,
}

impl Turns {
    fn fail(&mut self, key: Key, now: Duration) {
        let before = self.failed.get(&key).map(|pause| pause.len);
        let len = before.map_or(BACKOFF, |len| (len * 2).min(PAUSE_MAX));
        self.failed.insert(key, Pause { until: now + len, len });
    }
}

impl Core {
    /// Makes the views that wait; gives when, by the monotonic clock, the first of those that are
    /// put off is due.
    pub(super) fn make_in_turns(
        &self,
        packed: bool,
        turns: &mut Turns,
    ) -> Result<Option<Duration>, Error> {
        loop {
            let rows = self.catalog.read(|tx| guest_view::waiting(tx, packed, MAKE_BATCH))?;
            let (ready, due) = self.choose(rows, turns);
            if ready.is_empty() {
                return Ok(due);
            }
            for row in ready {
                if self.stopping() {
                    return Ok(None);
                }
                let key = row.key;
                match self.make_view(row, None) {
                    Ok(()) => drop(turns.failed.remove(&key)),
                    Err(error) => {
                        turns.fail(key, self.env.clock().monotonic());
                        tracing::warn!(%error, "the disk in an image file waits; trying again");
                    }
                }
            }
        }
    }

    /// Those whose turn it is, of those that wait; and when the first of the others is due.
    fn choose(
        &self,
        rows: Vec<(GuestViewRow, u64)>,
        turns: &mut Turns,
    ) -> (Vec<GuestViewRow>, Option<Duration>) {
        let (now, now_ms) = (self.env.clock().monotonic(), self.now_ms());
        let keys: HashSet<Key> = rows.iter().map(|(row, _)| row.key).collect();
        turns.failed.retain(|key, _| keys.contains(key));
        let wanted = self.guest_views.wanted.lock().clone();
        let due = |row: &GuestViewRow, changed_ms: u64| {
            let rested_ms = match now_ms.checked_sub(changed_ms) {
                Some(age_ms) if !wanted.contains(&row.key) => REST_MS.saturating_sub(age_ms),
                // A wall clock that went back says nothing about it.
                _ => 0,
            };
            let failed = turns.failed.get(&row.key).map_or(now, |pause| pause.until);
            failed.max(now + Duration::from_millis(rested_ms))
        };
        let (mut ready, mut next) = (Vec::new(), None::<Duration>);
        for (row, changed_ms) in rows {
            match due(&row, changed_ms) {
                at if at <= now => ready.push(row),
                at => next = Some(next.map_or(at, |next| next.min(at))),
            }
        }
        // In their order otherwise.
        ready.sort_by_key(|row| !wanted.contains(&row.key));
        ready.truncate(TURN_ROWS);
        (ready, next)
    }

    /// One attempt at all that wait, whatever happened before.
    pub(super) fn make_all(&self, packed: bool) -> Result<(), Error> {
        let mut result = Ok(());
        for (row, _) in self.catalog.read(|tx| guest_view::waiting(tx, packed, MAKE_BATCH))? {
            // One that fails does not keep the others from it.
            if let Err(error) = self.make_view(row, None) {
                result = Err(error);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;
