//! How fast background work goes: as fast as it can while nobody asks for anything,
//! else as much as guests do not feel.

use std::ops::ControlFlow;
use std::time::Duration;

use archipelago_engine::GuestLoad;

use crate::core::Core;

/// The part of the time that work takes while guests are busy begins with this, ...
const DUTY_FIRST: f64 = 0.05;
/// ... never falls below this, so that work ends, ...
const DUTY_MIN: f64 = 0.02;
/// ... and never rises above this.
const DUTY_MAX: f64 = 0.2;
/// Guests feel it when their requests take so much longer during work than during
/// pauses: the tenth that is promised.
const SLOWER: f64 = 1.1;
/// How often the disk is asked for its room meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest pause: one long step (a disk that is slow to sync) says little about the next.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// So often a pause looks whether the program stops or the disk is filling up.
const POLL: Duration = Duration::from_millis(250);

/// The pace of one piece of work.
pub(in crate::service) struct Pace<'a> {
    core: &'a Core,
    /// The disk is nearly full: guests wait rather than get errors.
    hurry: bool,
    /// When the disk was last looked at.
    looked: Duration,
    duty: f64,
    resumed: Duration,
    load: GuestLoad,
    /// How long requests took during pauses, lately.
    undisturbed: Option<Duration>,
}

impl<'a> Pace<'a> {
    pub(in crate::service) fn new(core: &'a Core, hurry: bool) -> Self {
        Self {
            core,
            hurry,
            looked: core.env.clock().monotonic(),
            duty: DUTY_FIRST,
            resumed: core.env.clock().monotonic(),
            load: core.engine.guest_load(),
            undisturbed: None,
        }
    }

    /// Some work is done: waits as long as guests need.
    pub(in crate::service) fn step(&mut self) -> ControlFlow<()> {
        if self.core.stopping() {
            return ControlFlow::Break(());
        }
        let clock = self.core.env.clock();
        let now = clock.monotonic();
        self.look(now);
        let worked = now.saturating_sub(self.resumed);
        let load = self.core.engine.guest_load();
        let during = load.since(&self.load);
        if self.hurry || during.requests == 0 {
            self.resume(load);
            return ControlFlow::Continue(());
        }
        self.adjust(during.mean());
        self.pause(worked.mul_f64(1.0 / self.duty - 1.0).min(PAUSE_MAX));
        let after = self.core.engine.guest_load();
        if let Some(mean) = after.since(&load).mean() {
            // A mean over some pauses: one alone has few samples.
            let before = self.undisturbed.unwrap_or(mean);
            self.undisturbed = Some((before * 3 + mean) / 4);
        }
        self.resume(after);
        ControlFlow::Continue(())
    }

    fn look(&mut self, now: Duration) {
        if now >= self.looked + LOOK_EVERY {
            self.looked = now;
            self.hurry = self.core.space_is_low();
        }
    }

    fn pause(&mut self, pause: Duration) {
        let clock = self.core.env.clock();
        let until = clock.monotonic() + pause;
        loop {
            let now = clock.monotonic();
            self.look(now);
            if now >= until || self.hurry || self.core.stopping() {
                return;
            }
            clock.sleep(POLL.min(until - now));
        }
    }

    fn resume(&mut self, load: GuestLoad) {
        self.load = load;
        self.resumed = self.core.env.clock().monotonic();
    }

    /// Additive up, multiplicative down, as congestion control does it.
    fn adjust(&mut self, disturbed: Option<Duration>) {
        if let (Some(now), Some(else_)) = (disturbed, self.undisturbed) {
            self.duty = if now > else_.mul_f64(SLOWER) {
                (self.duty * 0.7).max(DUTY_MIN)
            } else {
                (self.duty + 0.02).min(DUTY_MAX)
            };
        }
    }
}
