//! Fate: power, `kill -9`, failures of the disk, room, clocks; and opening again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archipelago_pool::{Collection, Error, ErrorKind, Service};

use super::between::Interrupted;
use super::model::Names;
use super::{Act, Checked, DATA, Violation, World, config};
use crate::{DiskOp, Failure, Fault, Misread, Slow, Wrong};

/// Attempts at opening that something may happen to.
const OPENINGS_MAX: u64 = 3;
/// After so many failures in a row the operator restarts.
const FAILURES_MAX: u32 = 6;
/// So much room is left when it becomes scarce, in bytes, at most.
const ROOM_LEFT_MAX: u64 = 512 << 10;
/// One of so many runs ends with everything removed.
const EMPTIED_ONE_IN: u64 = 3;
/// One of so many runs has bits that rot at the end.
const ROTTEN_ONE_IN: u64 = 4;
/// One of so many runs loses its catalog at the end.
const LOST_ONE_IN: u64 = 3;
/// One of so many openings is followed by a collection at once.
const COLLECTED_ONE_IN: u64 = 6;
/// So many operations are slow in a row, at most.
const SLOW_MAX: u64 = 100;
/// A slow one takes so long, at most.
const SLOW_LONGEST: Duration = Duration::from_secs(30);
/// The first host is paused for so long before a second one comes, at most: longer than
/// any lease.
const PAUSE_MAX_MS: u64 = 48 * HOUR_MS;
/// An hour, in ms.
const HOUR_MS: u64 = 3_600_000;

/// Which operations fail on purpose: those that change something, and reads.
const FAILING: [DiskOp; 10] = [
    DiskOp::Write,
    DiskOp::Write,
    DiskOp::SyncData,
    DiskOp::SyncData,
    DiskOp::SyncDir,
    DiskOp::Allocate,
    DiskOp::Create,
    DiskOp::SetLen,
    DiskOp::Remove,
    DiskOp::Read,
];

impl World {
    pub(super) fn fate(&mut self) -> Checked {
        match self.dice.below(18) {
            0 => self.crash(),
            1 | 2 => self.kill(),
            3 => self.close(),
            4 | 5 => {
                let after = self.dice.below(60);
                self.disturb("power off", Fault::power_off_after(after))
            }
            6 | 7 => {
                let op = FAILING[self.dice.below(FAILING.len() as u64) as usize];
                let failure = if self.dice.coin() { Failure::Io } else { Failure::Full };
                let after = self.dice.below(12);
                let times = if self.dice.below(4) == 0 { 1 + self.dice.below(8) } else { 1 };
                self.disturb("fault", Fault { times, ..Fault::once(op, failure).after(after) })
            }
            8 => self.change_room(),
            9 => self.go_wrong(),
            10 => {
                let ms = self.dice.below(2 * HOUR_MS);
                self.note("advance", "", Ok(()));
                self.sim.advance(Duration::from_millis(ms));
                Ok(())
            }
            11 => {
                let ms = self.dice.below(48 * HOUR_MS).cast_signed() - 24 * HOUR_MS.cast_signed();
                self.note("jump", "", Ok(()));
                self.sim.jump(ms);
                Ok(())
            }
            12 => self.use_stale(),
            13 | 14 => self.slow_down(),
            15 => self.second_host(),
            16 => self.unplug(),
            _ => self.detach(),
        }
    }

    pub(super) fn disturb(&mut self, kind: &'static str, fault: Fault) -> Checked {
        let what = format!("{:?} after {} times {}", fault.op, fault.after, fault.times);
        self.note(kind, &what, Ok(()));
        self.disturbed = true;
        self.sim.inject(fault);
        Ok(())
    }

    /// Operations of the disk take long: what comes at intervals, grace times and whatever
    /// else the clock decides comes in the middle of acts. Nothing may fail for that.
    pub(super) fn slow_down(&mut self) -> Checked {
        let (after, times) = (self.dice.below(SLOW_MAX), 1 + self.dice.below(SLOW_MAX));
        self.note("slow disk", &format!("{times} after {after}"), Ok(()));
        self.sim.slow(Slow { after, times, longest: SLOW_LONGEST });
        Ok(())
    }

    fn change_room(&mut self) -> Checked {
        self.tight = !self.tight;
        if self.tight {
            let left = self.dice.below(ROOM_LEFT_MAX);
            self.note("room", &format!("{left}"), Ok(()));
            self.sim.set_room(self.sim.used() + left);
        } else {
            self.note("room", "enough", Ok(()));
            self.sim.set_room(crate::ROOM_DEFAULT);
            // What failed for lack of it may take one more attempt to mend.
            self.disturbed = true;
        }
        Ok(())
    }

    /// Reads of segments go wrong; those of the catalog, which has no checksums, do not.
    fn go_wrong(&mut self) -> Checked {
        let misread = Misread {
            within: PathBuf::from(DATA).join("pool"),
            after: self.dice.below(6),
            times: 1 + self.dice.below(3),
            how: if self.dice.coin() { Wrong::Flipped } else { Wrong::Misdirected },
        };
        self.note("misread", &format!("{:?} after {}", misread.how, misread.after), Ok(()));
        self.misread = true;
        self.disturbed = true;
        self.sim.misread(misread);
        Ok(())
    }

    fn detach(&mut self) -> Checked {
        let count = self.devices.len() as u64;
        let name = self.devices.keys().nth(self.dice.below(count) as usize).cloned();
        if let Some(name) = name {
            self.note("detach", &name, Ok(()));
            self.devices.remove(&name);
        }
        Ok(())
    }

    /// Another host that has the same disk can neither open the store nor make its catalog
    /// anew, however long the first one was paused; and it leaves everything as it is.
    fn second_host(&mut self) -> Checked {
        let ms = self.dice.below(2) * self.dice.below(PAUSE_MAX_MS);
        self.sim.advance(Duration::from_millis(ms));
        let (other, data) = (self.sim.other_host(), Path::new(DATA));
        let before = (self.sim.changes(), self.sim.is_off());
        let tried = if self.dice.coin() {
            Service::open(data, other, config(self.caches)).map(drop)
        } else {
            Service::rebuild(data, &other, true).map(drop)
        };
        self.note("second host", "", tried.as_ref().map(drop));
        let changes = self.sim.changes() - before.0;
        if changes > 0 {
            return Err(Violation::new(format!("a second host made {changes} changes")));
        }
        match tried {
            Ok(()) => Err(Violation::new("a second host had the store, which is open")),
            Err(error) if error.kind() == ErrorKind::InUse => Ok(()),
            Err(_) if before.1 => Ok(()),
            Err(error) => self.explain("second host", "", &error),
        }
    }

    /// Whoever holds a device of an earlier life can do nothing with it.
    fn use_stale(&mut self) -> Checked {
        let Some(device) = self.stale.take() else {
            return Ok(());
        };
        let written =
            device.write(&[archipelago_pool::Write::Data { offset: 0, bytes: &[0xdd; 512] }]);
        self.note("stale write", "", written.as_ref().map(drop));
        let flushed = device.flush();
        if written.is_ok() && flushed.is_ok() {
            return Err(Violation::new("a device of a process that is dead still writes"));
        }
        Ok(())
    }

    /// What the background would do now.
    pub(super) fn background(&mut self) -> Checked {
        let all = self.dice.coin();
        let act = Act { kind: "background", subject: "", refusal: None, names: Names::default() };
        self.verb(act, |_| (), |service| service.step(all)).map(drop)
    }

    /// The operator's answer to an error: going on, or restarting.
    pub(super) fn after_failure(&mut self) -> Checked {
        self.failures += 1;
        if self.sim.is_off() {
            return self.crash();
        }
        if self.failures > FAILURES_MAX || self.dice.below(3) == 0 {
            return if self.dice.coin() { self.crash() } else { self.kill() };
        }
        Ok(())
    }

    pub(super) fn crash(&mut self) -> Checked {
        self.note("power cut", "", Ok(()));
        self.keep_stale();
        self.env = self.sim.crash();
        self.lose_service();
        self.open(false)
    }

    pub(super) fn kill(&mut self) -> Checked {
        if self.sim.is_off() {
            return self.crash();
        }
        self.note("kill", "", Ok(()));
        self.keep_stale();
        let exact = !self.disturbed && !self.tight;
        self.env = self.sim.kill();
        self.lose_service();
        self.open(exact)
    }

    fn keep_stale(&mut self) {
        if self.dice.coin() {
            self.stale = self.devices.values().next().cloned();
        }
    }

    /// The process is dead already: whatever destructors try, fails.
    pub(super) fn lose_service(&mut self) {
        self.devices.clear();
        self.service = None;
    }

    /// A clean stop, and then power loss or not: nothing may be lost.
    fn close(&mut self) -> Checked {
        let result = self.present.during("close", || Ok(self.service()?.close()))?;
        self.note("close", "", result.as_ref().map(drop));
        match result {
            Ok(()) => {
                let certain = self.model.volumes.values().all(|volume| volume.cells.is_certain());
                self.model.flush();
                for doubt in &mut self.doubts {
                    doubt.before.flush();
                    doubt.after.flush();
                }
                let off = self.sim.is_off();
                self.env = if self.dice.coin() { self.sim.crash() } else { self.sim.kill() };
                self.lose_service();
                self.open(certain && !off)
            }
            Err(error) => {
                self.explain("close", "", &error)?;
                if self.dice.coin() { self.crash() } else { self.kill() }
            }
        }
    }

    /// Opens, with more power cuts and failures on the way now and then; then checks.
    pub(super) fn open(&mut self, exact: bool) -> Checked {
        let mut exact = exact;
        self.failures = 0;
        self.misread = false;
        self.sim.heal();
        for _ in 0..OPENINGS_MAX {
            self.disturbed = false;
            match self.dice.below(6) {
                0 | 1 => {
                    let after = self.dice.below(40);
                    self.disturb("power off", Fault::power_off_after(after))?;
                }
                2 => {
                    let op = FAILING[self.dice.below(FAILING.len() as u64) as usize];
                    let after = self.dice.below(10);
                    self.disturb("fault", Fault::once(op, Failure::Io).after(after))?;
                }
                3 => self.slow_down()?,
                _ => {}
            }
            match self.try_open()? {
                true => break,
                false => {
                    exact = false;
                    let power = self.sim.is_off() || self.dice.coin();
                    self.env = if power { self.sim.crash() } else { self.sim.kill() };
                }
            }
        }
        if self.service.is_none() {
            self.disturbed = false;
            if self.tight {
                self.change_room()?;
                self.disturbed = false;
            }
            if !self.try_open()? {
                return Err(Violation::new("the store does not open, and nothing disturbs it"));
            }
        }
        // Whatever was planned and did not happen would spoil the check.
        self.sim.heal();
        if self.sim.is_off() {
            return self.crash();
        }
        let (tight, service_disturbed) = (self.tight, self.disturbed);
        if tight {
            self.sim.set_room(crate::ROOM_DEFAULT);
        }
        self.pools_back()?;
        self.check_after_restart(exact)?;
        if tight {
            self.sim.set_room(self.sim.used() + self.dice.below(ROOM_LEFT_MAX));
        }
        self.disturbed = service_disturbed;
        if self.dice.below(COLLECTED_ONE_IN) == 0 { self.collect_somehow() } else { Ok(()) }
    }

    pub(super) fn try_open(&mut self) -> Checked<bool> {
        let opened = self.present.during("open", || self.open_service());
        self.note("open", "", opened.as_ref().map(drop));
        match opened {
            Ok(service) => {
                self.service = Some(service);
                // Else an import finds nothing of what earlier lives stored.
                if self.dice.coin() {
                    self.sim.run_threads_named("dedup-index");
                }
                Ok(true)
            }
            Err(error) => self.refused_to_open(&error).map(|()| false),
        }
    }

    pub(super) fn open_service(&self) -> Result<Arc<Service>, Error> {
        Service::open_layered(Path::new(DATA), self.env.clone(), config(self.caches), |store| {
            let below = match &self.store {
                Some(layer) => layer(store),
                None => store,
            };
            Arc::new(Interrupted { below, due: self.due.clone() })
        })
    }

    fn refused_to_open(&self, error: &Error) -> Checked {
        let excused = self.disturbed || self.tight;
        match error.kind() {
            ErrorKind::Internal | ErrorKind::NoSpace | ErrorKind::ReadOnly if excused => Ok(()),
            kind => Err(Violation::new(format!("the store does not open: {kind:?}: {error}"))),
        }
    }

    /// The last restart, undisturbed, and a look at everything.
    pub(super) fn end(&mut self) -> Checked {
        self.sim.heal();
        if self.tight {
            self.change_room()?;
        }
        self.crash()?;
        self.check_all_fixed()?;
        self.restart_in_peace()?;
        let thorough = self.dice.coin();
        self.collect(Collection { thorough, now: true, budget: None })?;
        self.check_store()?;
        self.check_all_fixed()?;
        if self.dice.below(ROTTEN_ONE_IN) == 0 {
            self.rot()?;
            self.rot()?;
        }
        if self.dice.below(LOST_ONE_IN) == 0 {
            self.lose_catalog()?;
        }
        if self.dice.below(EMPTIED_ONE_IN) == 0 { self.empty() } else { Ok(()) }
    }

    /// A restart that nothing disturbs.
    pub(super) fn restart_in_peace(&mut self) -> Checked {
        self.note("kill", "", Ok(()));
        let exact = !self.disturbed;
        self.env = self.sim.kill();
        self.lose_service();
        self.disturbed = false;
        self.misread = false;
        self.failures = 0;
        if !self.try_open()? {
            return Err(Violation::new("the store does not open, and nothing disturbs it"));
        }
        self.pools_back()?;
        self.check_after_restart(exact)
    }
}
