//! Time that passes only when somebody sleeps.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use archipelago_env::Clock;

/// The time of day at the start: 2025-01-01 UTC, in milliseconds since 1970.
const START_UNIX_MS: u64 = 1_735_689_600_000;

/// What one look at the clock takes: enough that a loop which looks until time
/// has passed comes to its end.
const LOOK: Duration = Duration::from_micros(1);

/// A clock that sleeping sets forward, at once. Threads share it: a sleep of one
/// passes the time of all. It goes on through a crash.
pub struct SimClock {
    start_unix_ms: u64,
    passed_ns: AtomicU64,
    /// By how much the time of day was set forward or back.
    set_by_ms: AtomicI64,
}

impl SimClock {
    /// A clock that starts so many milliseconds after the beginning of 2025.
    pub fn new(after_start_ms: u64) -> Self {
        let start_unix_ms = START_UNIX_MS.saturating_add(after_start_ms);
        Self { start_unix_ms, passed_ns: AtomicU64::new(0), set_by_ms: AtomicI64::new(0) }
    }

    /// Sets the time of day forward or back; the monotonic clock does not see it.
    pub fn jump(&self, ms: i64) {
        self.set_by_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        // 2^64 nanoseconds are 584 years.
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let add = |passed: u64| Some(passed.saturating_add(ns));
        let _ = self.passed_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Clock for SimClock {
    fn unix_ms(&self) -> u64 {
        let now = self.start_unix_ms + self.passed_ns.load(Ordering::Relaxed) / 1_000_000;
        now.saturating_add_signed(self.set_by_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.advance(LOOK);
        Duration::from_nanos(self.passed_ns.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

#[cfg(test)]
mod tests;
