//! The time of day, intervals and sleeping.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC, for display and for records that
    /// people read. It may jump either way: never order events by it.
    fn unix_ms(&self) -> u64;

    /// The time since some fixed moment of this process; it never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns once at least `duration` has passed on [`Self::monotonic`].
    fn sleep(&self, duration: Duration);
}

/// The clocks of the operating system.
pub(crate) struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is what the ban sends everybody to")]
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is what the ban sends everybody to")]
    fn unix_ms(&self) -> u64 {
        // A clock set before 1970 is wrong; zero shows that as well as anything.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "this is what the ban sends everybody to")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

#[cfg(test)]
mod tests;
