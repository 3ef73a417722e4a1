//! How busy the guests are and how long they wait: what background work yields to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipelago_env::Env;

/// One request in so many is timed: the two looks at the clock cost about as much as
/// a request's place in a table does.
const SAMPLE_EVERY: u64 = 16;

/// Counters of all volumes together.
#[derive(Default)]
pub(crate) struct Guest {
    requests: AtomicU64,
    samples: AtomicU64,
    sampled_ns: AtomicU64,
}

/// What guests have asked for since the store was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct GuestLoad {
    /// Reads, writes and flushes.
    pub requests: u64,
    /// Of these, timed ones.
    pub samples: u64,
    /// How long the timed ones took, together.
    pub sampled: Duration,
}

impl GuestLoad {
    /// What came since an earlier look.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            samples: self.samples - earlier.samples,
            sampled: self.sampled.saturating_sub(earlier.sampled),
        }
    }

    /// How long a request took on average, if any was timed.
    pub fn mean(&self) -> Option<Duration> {
        let samples = u32::try_from(self.samples).ok()?;
        self.sampled.checked_div(samples)
    }
}

impl Guest {
    /// Counts a request; what is returned lives as long as it takes.
    pub(crate) fn request<'a>(&'a self, env: &'a Env) -> Timed<'a> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let begun = number.is_multiple_of(SAMPLE_EVERY).then(|| env.clock().monotonic());
        Timed { guest: self, env, begun }
    }

    pub(crate) fn load(&self) -> GuestLoad {
        GuestLoad {
            requests: self.requests.load(Ordering::Relaxed),
            samples: self.samples.load(Ordering::Relaxed),
            sampled: Duration::from_nanos(self.sampled_ns.load(Ordering::Relaxed)),
        }
    }
}

/// A request under way.
pub(crate) struct Timed<'a> {
    guest: &'a Guest,
    env: &'a Env,
    begun: Option<Duration>,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun {
            let took = self.env.clock().monotonic().saturating_sub(begun);
            let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.guest.sampled_ns.fetch_add(ns, Ordering::Relaxed);
            self.guest.samples.fetch_add(1, Ordering::Relaxed);
        }
    }
}
