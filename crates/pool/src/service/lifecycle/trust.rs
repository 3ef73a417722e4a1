//! Whether the clock can be trusted. A machine may come up with the time of its battery, or
//! somebody may set it: what ends by a wrong time is gone when the time is right again.
//!
//! The store knows the highest time that it went by, and how much has passed since on the clock
//! that nobody sets. A time that agrees with that, within a day, is accepted at once. One that
//! is ahead of it is accepted when it has stood for an hour: the machine was off, and else
//! somebody had the time to see it. One that is behind is not accepted: it is behind until it is
//! right again, unless the operator says that it is the one before that was wrong.

use std::time::Duration;

use archipelago_env::Env;
use parking_lot::Mutex;

use super::Config;
use crate::catalog::{Catalog, file, state};
use crate::core::Core;
use crate::error::Error;
use crate::lifecycle::DAY_MS;

/// Clocks that differ by no more agree: endings have days.
const JUMP_MS: u64 = DAY_MS;
/// A time that is ahead is accepted when it has stood for so long.
const SETTLE: Duration = Duration::from_secs(3600);
/// The accepted time is noted so often: a crash forgets no more of it.
const NOTE_MS: u64 = 600_000;

/// A time of day, in ms since 1970, with when it was on the monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Moment {
    ms: u64,
    at: Duration,
}

impl Moment {
    /// What it is at another moment, if nobody sets the clock.
    fn until(self, at: Duration) -> u64 {
        let passed = at.saturating_sub(self.at).as_millis();
        self.ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

/// What is thought of a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Accepted,
    /// By so many ms.
    Ahead(u64),
    Behind(u64),
}

/// What is known of the time.
struct Known {
    /// The highest that was accepted; 0 in a store that has noted none yet.
    highest: Moment,
    /// One that is ahead, since it was first seen.
    waiting: Option<Moment>,
    /// What the catalog has of the highest.
    noted_ms: u64,
}

impl Known {
    fn judge(&mut self, now: Moment) -> Verdict {
        if now.ms.saturating_add(JUMP_MS) < self.highest.ms {
            self.waiting = None;
            return Verdict::Behind(self.highest.ms - now.ms);
        }
        let expected = self.highest.until(now.at);
        if now.ms > expected.saturating_add(JUMP_MS) {
            let stands = |first: &Moment| first.until(now.at).abs_diff(now.ms) <= JUMP_MS;
            let first = self.waiting.filter(stands).unwrap_or(now);
            self.waiting = Some(first);
            if now.at.saturating_sub(first.at) < SETTLE {
                return Verdict::Ahead(now.ms - expected);
            }
        }
        self.waiting = None;
        if now.ms >= self.highest.ms {
            self.highest = now;
        }
        Verdict::Accepted
    }
}

/// The time that the store goes by.
pub(crate) struct Trust {
    known: Mutex<Known>,
    /// The highest that was accepted, for those who do not wait: what comes is not older.
    floor: Mutex<Moment>,
    /// What is wrong with the clock.
    problem: Mutex<Option<String>>,
}

impl Trust {
    /// What the catalog knows of the time.
    ///
    /// # Errors
    /// Those of the catalog.
    pub(in crate::service) fn open(
        env: &Env,
        config: &Config,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let now = moment(env);
        let mut noted_ms = catalog.read(state::clock)?;
        if config.trust_clock && now.ms.saturating_add(JUMP_MS) < noted_ms {
            let latest = now.ms.saturating_add(DAY_MS);
            catalog.write(|tx| -> Result<_, Error> {
                state::set_clock(tx, now.ms)?;
                Ok(file::remove_no_later(tx, now.ms, latest)?)
            })?;
            noted_ms = now.ms;
        }
        let ms = if config.trust_clock { now.ms } else { noted_ms };
        let mut known = Known { highest: Moment { ms, at: now.at }, waiting: None, noted_ms };
        // From now on it has to stand.
        known.judge(now);
        let floor = Mutex::new(known.highest);
        Ok(Self { known: Mutex::new(known), floor, problem: Mutex::new(None) })
    }

    /// The time of day. It does not go back behind a time that endings went by: what comes
    /// while a clock is behind must not be old when it is right. Where it is far behind, time
    /// goes on from there as it passes, so that tokens and links come to their ends.
    pub(crate) fn now_ms(&self, env: &Env) -> u64 {
        let (now, floor) = (moment(env), *self.floor.lock());
        match now.ms.saturating_add(JUMP_MS) < floor.ms {
            true => floor.until(now.at),
            false => now.ms.max(floor.ms),
        }
    }

    /// The time by which something has ended where that takes something from somebody: a clock
    /// that is ahead of what is accepted is not followed there.
    pub(crate) fn ended_ms(&self, env: &Env) -> u64 {
        let (now, floor) = (moment(env), *self.floor.lock());
        let expected = floor.until(now.at);
        match now.ms > expected.saturating_add(JUMP_MS) {
            true => expected,
            false => self.now_ms(env),
        }
    }

    /// What is wrong with the clock, while it is.
    pub(in crate::service) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    /// Says it, once and not at each look.
    fn tell(&self, now: Option<String>) {
        let mut problem = self.problem.lock();
        match &now {
            Some(what) if problem.is_none() => tracing::warn!("{what}"),
            None if problem.is_some() => tracing::info!("the clock is trusted again"),
            _ => {}
        }
        *problem = now;
    }
}

impl Core {
    /// The time by which things end now; `None` while the clock cannot be trusted.
    pub(super) fn time_to_end(&self) -> Result<Option<u64>, Error> {
        let now = moment(&self.env);
        let mut known = self.trust.known.lock();
        let is_new = known.highest.ms == 0;
        let verdict = known.judge(now);
        *self.trust.floor.lock() = known.highest;
        self.trust.tell(match verdict {
            Verdict::Accepted => None,
            // A store of a version that noted no time: nothing is known to be wrong.
            Verdict::Ahead(_) if is_new => None,
            Verdict::Ahead(by) => Some(format!(
                "nothing ends by itself yet: the clock is {} days ahead of what the store knew; \
                 set it right if it is wrong, since it is believed after an hour",
                by / DAY_MS
            )),
            Verdict::Behind(by) => Some(format!(
                "nothing ends by itself: the clock is {} days behind what it was; set it right, \
                 or, if it was wrong before, start once with trust_clock = true in [lifecycle]",
                by / DAY_MS
            )),
        });
        if verdict != Verdict::Accepted {
            return Ok(None);
        }
        // Before anything ends by it.
        let ms = known.highest.ms;
        if ms.saturating_sub(known.noted_ms) >= NOTE_MS {
            self.catalog.write_aside(|tx| state::set_clock(tx, ms))?;
            known.noted_ms = ms;
        }
        Ok(Some(now.ms))
    }
}

fn moment(env: &Env) -> Moment {
    Moment { ms: env.clock().unix_ms(), at: env.clock().monotonic() }
}

#[cfg(test)]
mod tests;
