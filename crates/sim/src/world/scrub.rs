//! The scrub as an actor, and bits that rot for good.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archipelago_env::Mode;
use archipelago_format::segment::{TRAILER_BYTES, Trailer};
use archipelago_model::Source;
use archipelago_pool::{Damages, ErrorKind, ScrubOptions, ScrubState};

use super::check::{check_cells, content_of};
use super::model::Names;
use super::names::{SHELF, Subject};
use super::{Act, Checked, Violation, World};
use crate::{DiskOp, Failure, Fault};

/// The name of the thread that a scrub runs on.
const THREAD: &str = "scrub";
/// The least rate of a scrub in bytes a second: so slow that it notes its place on the way.
const RATE_MIN: u64 = 16 << 10;
/// Changes of the disk that a scrub makes at most before power fails in it.
const CUT_AFTER_MAX: u64 = 12;
/// Operations that pass before one fails in it, and looks at the pool before it is ended.
const AFTER_MAX: u64 = 40;
/// One of so many scrubs is of a disk with a bit that rotted for good.
const ROT_ONE_IN: u64 = 3;

/// What ends a scrub early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing.
    Own,
    /// An operator.
    Stop,
    /// `kill -9`.
    Kill,
}

impl World {
    /// A scrub, whole or in parts; now and then something happens in it.
    pub(super) fn scrub_somehow(&mut self) -> Checked {
        if self.dice.below(ROT_ONE_IN) == 0 && self.is_calm() {
            return self.rot();
        }
        match self.dice.below(8) {
            0 => {
                let after = self.dice.below(CUT_AFTER_MAX);
                self.disturb("power off", Fault::power_off_after(after))?;
            }
            1 => {
                let after = self.dice.below(AFTER_MAX);
                self.disturb("fault", Fault::once(DiskOp::Read, Failure::Io).after(after))?;
            }
            2 => self.slow_down()?,
            _ => {}
        }
        let end = match self.dice.below(8) {
            0 => End::Stop,
            1 => End::Kill,
            _ => End::Own,
        };
        let rate = self.dice.coin().then(|| RATE_MIN << self.dice.below(8));
        let options = ScrubOptions { rate, restart: self.dice.coin() };
        // One that ends early is alone: both want the queue.
        if end == End::Own && self.scale == 1 && self.dice.coin() {
            return self.scrub_interrupted(options);
        }
        self.scrub(options, end)
    }

    /// Nothing was planned since the store was opened, and nothing is in doubt.
    fn is_calm(&self) -> bool {
        !self.disturbed && !self.misread && !self.tight && !self.feigned && self.doubts.is_empty()
    }

    /// A scrub with acts of others in the middle of it.
    fn scrub_interrupted(&mut self, options: ScrubOptions) -> Checked {
        // A checkpoint looks at maps while it holds what the others wait for: the one
        // that a scrub begins with must find nothing to do.
        self.background()?;
        let service = self.service()?;
        if self.sim.is_off() {
            return self.crash();
        }
        drop(service);
        // It may end with a restart: only then come the acts.
        let Some(whole) = self.begin_scrub(options)? else { return Ok(()) };
        let waiting = self.plan_acts(&self.service()?)?;
        self.run_scrub();
        self.judge_acts(waiting)?;
        self.see_scrubbed(whole)
    }

    fn scrub(&mut self, options: ScrubOptions, end: End) -> Checked {
        let Some(whole) = self.begin_scrub(options)? else { return Ok(()) };
        let killed = Arc::new(AtomicBool::new(false));
        let after = self.dice.below(AFTER_MAX);
        match end {
            End::Own => {}
            End::Stop => {
                let service = Arc::downgrade(&self.service()?);
                let stop = move || drop(service.upgrade().map(|service| service.scrub_stop()));
                self.due.plan(after, Box::new(stop));
            }
            End::Kill => {
                let (sim, told) = (self.sim.clone(), Arc::clone(&killed));
                let kill = move || {
                    told.store(true, Ordering::Relaxed);
                    drop(sim.kill());
                };
                self.due.plan(after, Box::new(kill));
            }
        }
        self.run_scrub();
        self.due.clear();
        if killed.load(Ordering::Relaxed) {
            return self.kill();
        }
        self.see_scrubbed(whole && end == End::Own)
    }

    /// Begins one, unless one waits that is to go on; whether it will read everything.
    fn begin_scrub(&mut self, options: ScrubOptions) -> Checked<Option<bool>> {
        // What a read that fails on purpose gives is damage as well as anything.
        self.feigned |= self.disturbed || self.misread;
        let subject = ["", "from the front"][usize::from(options.restart)];
        let act = Act { kind: "scrub", subject, refusal: None, names: Names::default() };
        let before = self.verb(
            act,
            |_| (),
            |service| {
                let before = service.scrub_state()?;
                service.scrub(options)?;
                Ok(before)
            },
        )?;
        let Some(before) = before else { return Ok(None) };
        Ok(Some(!before.running && (options.restart || !before.stopped)))
    }

    /// Runs the scrub that waits to its end.
    fn run_scrub(&self) {
        self.present.during("scrub", || self.sim.run_threads_named(THREAD));
    }

    /// What a scrub found must be so.
    fn see_scrubbed(&mut self, whole: bool) -> Checked {
        if self.sim.is_off() {
            return self.crash();
        }
        let (service, disturbed) = (self.service()?, self.disturbed || self.tight || self.misread);
        let told = self.look("scrub state", || Ok((service.scrub_state()?, service.damages()?)))?;
        drop(service);
        let Some((state, damages)) = told else { return self.after_failure() };
        self.record.mix_number(state.bytes);
        self.record.mix_number(state.damages);
        self.record.count("scrubbed segment", state.segments);
        self.record.count("damage", state.damages);
        self.record.count("healed copy", state.healed);
        if let Some(wrong) = wrong_state(&state, disturbed) {
            return Err(Violation::new(wrong));
        }
        self.check_touched(&damages)?;
        if !self.feigned && !damages.damages.is_empty() {
            return Err(Violation::new(format!("a scrub finds {damages:?}, and nothing rotted")));
        }
        // One that read everything, undisturbed, has looked at all that was noted again.
        let certain = whole && !disturbed && !state.stopped;
        if certain && !damages.damages.is_empty() {
            return Err(Violation::new(format!("what is whole is still damaged: {damages:?}")));
        }
        self.feigned &= !certain;
        Ok(())
    }

    /// Whatever is named must be there, or may be.
    fn check_touched(&self, damages: &Damages) -> Checked {
        for touch in damages.damages.iter().flat_map(|damage| &damage.touches) {
            if let Some(object) = object_of(&touch.source) {
                let doubtful = self.doubts.iter().any(|doubt| doubt.names.objects.contains(object));
                if !doubtful && !self.model.objects.contains_key(object) {
                    return Err(Violation::new(format!(
                        "a scrub says that damage touches {}, which is not there",
                        touch.source
                    )));
                }
                continue;
            }
            let subject = subject_of(&touch.source);
            let there = match &subject {
                Subject::Volume(name) => self.model.volumes.contains_key(name),
                fixed => self.fixed_of(fixed).is_some(),
            };
            let doubtful = self.doubts.iter().any(|doubt| match &subject {
                Subject::Volume(name) | Subject::Snapshot(name, _) => {
                    doubt.names.volumes.contains(name)
                }
                Subject::Image(name) => doubt.names.images.contains(name),
                Subject::File(name) => doubt.names.files.contains(name),
            });
            if !there && !doubtful {
                return Err(Violation::new(format!(
                    "a scrub says that damage touches {}, which is not there",
                    touch.source
                )));
            }
        }
        Ok(())
    }

    /// A bit of a sealed segment flips and stays so: a scrub must find it, and name
    /// everything that cannot be read. Then it flips back.
    pub(super) fn rot(&mut self) -> Checked {
        if !self.run_scrub_that_waits()? {
            return Ok(());
        }
        let sealed = self.sealed_files()?;
        if sealed.is_empty() {
            return Ok(());
        }
        let (path, len) = sealed[self.dice.below(sealed.len() as u64) as usize].clone();
        let (offset, mask) = (self.dice.below(len), 1 << self.dice.below(8));
        let place = format!("byte {offset} of {}", path.display());
        let whole = self.byte_at(&path, offset)?;
        self.note("rot", &place, Ok(()));
        self.flip(&path, offset, mask)?;
        // While it is so, reads fail for a cause.
        self.misread = true;
        let seen = self.see_rot(&path, offset, &place);
        self.misread = false;
        // A second copy may have healed it.
        if self.byte_at(&path, offset)? == whole {
            self.record.count("rot that was healed", 1);
        } else {
            self.flip(&path, offset, mask)?;
        }
        seen?;
        let options = ScrubOptions { rate: None, restart: true };
        let Some(whole) = self.begin_scrub(options)? else {
            return Err(Violation::new(format!("no scrub after {place} was mended")));
        };
        self.run_scrub();
        self.see_scrubbed(whole)
    }

    /// One that an earlier life began comes to its end first; whether that is so.
    fn run_scrub_that_waits(&mut self) -> Checked<bool> {
        self.run_scrub();
        let service = self.service()?;
        let state = self.look("scrub state", || service.scrub_state())?;
        Ok(state.is_some_and(|state| !state.running))
    }

    fn see_rot(&mut self, path: &Path, offset: u64, place: &str) -> Checked {
        let unreadable = self.unreadable()?;
        let options = ScrubOptions { rate: None, restart: true };
        self.begin_scrub(options)?;
        self.run_scrub();
        self.feigned = true;
        let service = self.service()?;
        let damages = service
            .damages()
            .map_err(|error| Violation::new(format!("after {place} rotted: {error}")))?;
        drop(service);
        self.check_touched(&damages)?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let found: Vec<_> = damages
            .damages
            .iter()
            .filter(|one| one.segment.map(|id| id.to_string()) == name)
            .filter(|one| (one.offset..one.offset + one.bytes).contains(&offset))
            .collect();
        self.record.count("rot that nobody reads", u64::from(unreadable.is_empty()));
        if found.is_empty() {
            // Of the log, what its writers were told had failed; a file that nobody names.
            self.record.count("rot that no scrub finds", 1);
            if unreadable.is_empty() {
                return Ok(());
            }
            return Err(Violation::new(format!(
                "{place} rotted, and a scrub finds {damages:?}; {unreadable:?} cannot be read"
            )));
        }
        let named: Vec<String> = found
            .iter()
            .flat_map(|one| &one.touches)
            .map(|touch| export_of(&touch.source))
            .collect();
        let all = unreadable.iter().find(|one| !named.contains(one));
        if let Some(missed) = all {
            return Err(Violation::new(format!(
                "{place} rotted, and {missed} cannot be read; a scrub names {named:?} only"
            )));
        }
        let plain = found.iter().flat_map(|one| &one.touches).filter(|touch| !touch.map);
        // Parts of an upload cannot be read before it is complete.
        let plain = plain.filter(|touch| {
            let known = object_of(&touch.source).and_then(|name| self.model.objects.get(name));
            known.is_none_or(|known| known.upload.is_none())
        });
        let misnamed = plain
            .map(|touch| export_of(&touch.source))
            .find(|one| !self.caches && !unreadable.contains(one));
        match misnamed {
            Some(one) => Err(Violation::new(format!(
                "{place} rotted, and a scrub names {one}, which can be read"
            ))),
            None => Ok(()),
        }
    }

    /// What cannot be read for damage; of the rest every byte must be right.
    fn unreadable(&mut self) -> Checked<Vec<String>> {
        let service = self.service()?;
        let mut out = Vec::new();
        for subject in self.subjects() {
            let bytes = match content_of(&service, &subject) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    out.push(subject.export());
                    continue;
                }
                Err(error) => {
                    self.explain("look at", &subject.export(), &error)?;
                    continue;
                }
            };
            match &subject {
                Subject::Volume(name) => {
                    let cells = self.model.volumes.get(name).map(|known| known.cells.clone());
                    if let Some(mut cells) = cells.filter(|cells| cells.is_certain()) {
                        check_cells(name, &mut cells, &bytes, true)?;
                    }
                }
                fixed => {
                    if let Some(sector) = self.fixed_of(fixed).and_then(|one| one.wrong(&bytes)) {
                        let name = fixed.export();
                        return Err(Violation::new(format!("sector {sector} of {name} rotted")));
                    }
                }
            }
        }
        out.extend(self.unreadable_objects(&service)?);
        Ok(out)
    }

    fn byte_at(&self, path: &Path, offset: u64) -> Checked<u8> {
        let mut byte = [0];
        let file = self.env.disk().open(path, Mode::Read);
        let read = file.and_then(|file| file.read_at(offset, &mut byte));
        read.map_err(|error| Violation::new(format!("{}: {error}", path.display())))?;
        Ok(byte[0])
    }

    fn flip(&self, path: &Path, offset: u64, mask: u8) -> Checked {
        let flipped = self.sim.flip(path, offset, mask);
        flipped.map_err(|error| Violation::new(format!("{} cannot rot: {error}", path.display())))
    }

    /// Files of segments that are sealed, and their lengths.
    pub(super) fn sealed_files(&self) -> Checked<Vec<(PathBuf, u64)>> {
        let mut files = self.pool_files()?;
        let disk = self.env.disk();
        files.retain(|(path, len)| {
            let mut trailer = [0; TRAILER_BYTES];
            let at = len.saturating_sub(trailer.len() as u64);
            let read = disk.open(path, Mode::Read).and_then(|file| file.read_at(at, &mut trailer));
            read.is_ok() && Trailer::decode(&trailer).is_ok()
        });
        Ok(files)
    }
}

/// What cannot be so of a scrub that is over.
fn wrong_state(state: &ScrubState, disturbed: bool) -> Option<String> {
    if state.running {
        return Some("a scrub that is over is under way".to_owned());
    }
    match &state.problem {
        Some(problem) if !disturbed => {
            return Some(format!("a scrub ended early without a cause: {problem}"));
        }
        _ => {}
    }
    let catalog = state.catalog.first().filter(|_| !disturbed);
    catalog.map(|what| format!("a scrub finds the catalog damaged: {what}"))
}

/// The object in the container that keeps versions.
fn object_of(source: &Source) -> Option<&str> {
    match source {
        Source::File(container, name) if container.as_str() == SHELF => Some(name.as_str()),
        _ => None,
    }
}

fn export_of(source: &Source) -> String {
    match object_of(source) {
        Some(name) => format!("file:{SHELF}/{name}"),
        None => subject_of(source).export(),
    }
}

fn subject_of(source: &Source) -> Subject {
    match source {
        Source::Volume(name) => Subject::Volume(name.to_string()),
        Source::Image(name) => Subject::Image(name.to_string()),
        Source::File(_, name) | Source::FileOf(_, _, name) => Subject::File(name.to_string()),
        Source::Snapshot(path) => {
            Subject::Snapshot(path.volume.to_string(), path.snapshot.to_string())
        }
    }
}
