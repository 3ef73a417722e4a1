//! Whether reads of a connection come from memory or from a disk, as lately observed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A small read that takes longer than this on average, in nanoseconds, waits for something:
/// several of them at once get done sooner than one after the other. Handing one to another
/// thread costs about a fifth of it.
const SLOW_NANOS: u64 = 100_000;

/// One part in this many of the average is the newest observation.
const WEIGHT: u64 = 8;

#[derive(Default)]
pub(crate) struct Pace {
    average_nanos: AtomicU64,
}

impl Pace {
    /// Takes note of a small read. One that took very long says little about the next, so it
    /// counts as four slow ones at most. Racing observations may lose one, which does no harm.
    pub(crate) fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).min(4 * SLOW_NANOS);
        let average = self.average_nanos.load(Relaxed);
        self.average_nanos.store(average - average / WEIGHT + nanos / WEIGHT, Relaxed);
    }

    /// Whether small reads are worth a thread each.
    pub(crate) fn slow(&self) -> bool {
        self.average_nanos.load(Relaxed) > SLOW_NANOS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_read_is_no_slow_disk() {
        let pace = Pace::default();
        pace.observe(Duration::from_micros(500));
        assert!(!pace.slow());
    }

    #[test]
    fn slow_reads_are_noticed_and_forgotten() {
        let pace = Pace::default();
        (0..20).for_each(|_| pace.observe(Duration::from_millis(1)));
        assert!(pace.slow());
        (0..100).for_each(|_| pace.observe(Duration::from_micros(1)));
        assert!(!pace.slow());
    }
}
