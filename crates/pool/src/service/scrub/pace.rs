//! How fast a scrub may read: the rate that was asked for, and behind the guests.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use archipelago_engine::GuestLoad;

use super::Scrubber;
use crate::core::Core;

/// While guests are at it, a scrub rests so many times as long as its last read took,
/// and so has a quarter of the disk at most.
const REST_PARTS: u32 = 3;
/// One rest is at most this long: a read that took long was perhaps unlucky.
const REST_MAX: Duration = Duration::from_millis(100);
/// It looks so often whether it has to end.
const POLL: Duration = Duration::from_millis(100);

/// The pace of one scrub.
pub(super) struct Pace<'a> {
    core: &'a Core,
    scrubber: &'a Scrubber,
    /// When the next read may begin, on the monotonic clock, by the rate.
    next: Duration,
    /// The rate that this comes from.
    rate: u64,
    /// When the last read began.
    begun: Option<Duration>,
    load: GuestLoad,
}

impl<'a> Pace<'a> {
    pub(super) fn new(core: &'a Core, scrubber: &'a Scrubber) -> Self {
        let next = core.env.clock().monotonic();
        let rate = scrubber.rate.load(Ordering::Acquire);
        Self { core, scrubber, next, rate, begun: None, load: core.engine.guest_load() }
    }

    /// Waits until so many bytes may be read.
    pub(super) fn next(&mut self, bytes: u64) -> ControlFlow<()> {
        let clock = self.core.env.clock();
        let now = clock.monotonic();
        let load = self.core.engine.guest_load();
        if let Some(begun) = self.begun
            && load.since(&self.load).requests > 0
        {
            let rest = (now.saturating_sub(begun) * REST_PARTS).min(REST_MAX);
            self.next = self.next.max(now + rest);
        }
        self.load = load;
        loop {
            if self.core.stopping() || self.scrubber.stop.load(Ordering::Acquire) {
                return ControlFlow::Break(());
            }
            let now = clock.monotonic();
            let rate = self.scrubber.rate.load(Ordering::Acquire);
            if rate != self.rate {
                // What the old one made it wait for may be hours away.
                (self.rate, self.next) = (rate, now);
            }
            if now >= self.next {
                break;
            }
            clock.sleep((self.next - now).min(POLL));
        }
        let now = clock.monotonic();
        self.begun = Some(now);
        if let Some(ns) = (bytes.saturating_mul(1_000_000_000)).checked_div(self.rate) {
            // From when it was due, so that what a sleep took too long is made up for.
            self.next = self.next.max(now.saturating_sub(POLL)) + Duration::from_nanos(ns);
        }
        ControlFlow::Continue(())
    }
}
