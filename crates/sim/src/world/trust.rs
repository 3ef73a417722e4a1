//! Whoever looks after the store: scrubs, bits that rot, a catalog that is lost, and a
//! second program that wants the folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use archipelago_pool::{Damages, Error, ErrorKind, FindingKind, ScrubOptions, Service};

use super::model::Names;
use super::names::Subject;
use super::{Act, Checked, DATA, Violation, World};

/// The slowest rate of a scrub that has one, in bytes a second.
const RATE_MIN: u64 = 1 << 10;
/// How long another program sleeps before it wants the folder, in ms, at most.
const PAUSED_MAX_MS: u64 = 48 * 3_600_000;
/// How long each operation of a slow disk takes, in ms, at most: a few of them are as long
/// as everything that waits for a time.
const SLOW_MAX_MS: u64 = 20_000;
/// The catalog's files.
const CATALOG: [&str; 3] = ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"];

impl World {
    /// A scrub: to its end, stopped on the way, or left for the next life to go on with.
    pub(super) fn scrub(&mut self) -> Checked {
        let rate = self.dice.coin().then(|| RATE_MIN << self.dice.below(12));
        let restart = self.dice.coin();
        let under_way = self.service()?.scrub_state().is_ok_and(|state| state.running);
        let act = Act { kind: "scrub", subject: "", refusal: None, names: Names::default() };
        let options = ScrubOptions { rate, restart };
        if self.verb(act, |_| (), |service| service.scrub(options))?.is_none() {
            return Ok(());
        }
        match self.dice.below(4) {
            0 => Ok(()),
            1 => {
                let act =
                    Act { kind: "scrub stop", subject: "", refusal: None, names: Names::default() };
                self.verb(act, |_| (), Service::scrub_stop).map(drop)
            }
            _ => self.finish_scrub(restart && !under_way),
        }
    }

    /// Lets the scrub run. One that has read everything anew may know of damage only where
    /// reads were wrong meanwhile.
    fn finish_scrub(&mut self, anew: bool) -> Checked {
        self.sim.run_thread("scrub");
        if self.sim.is_off() {
            return self.crash();
        }
        let act = Act { kind: "scrubbed", subject: "", refusal: None, names: Names::default() };
        let seen =
            self.verb(act, |_| (), |service| Ok((service.scrub_state()?, service.damages()?)))?;
        let Some((state, damages)) = seen else { return Ok(()) };
        if let Some(problem) = state.problem.filter(|_| !self.disturbed && !self.tight) {
            return Err(Violation::new(format!("a scrub ended early without a cause: {problem}")));
        }
        if !state.catalog.is_empty() && !self.disturbed {
            return Err(Violation::new(format!("the catalog is damaged: {:?}", state.catalog)));
        }
        let finished = anew && state.finished_ms.is_some() && !state.stopped;
        if finished && !self.disturbed && !damages.damages.is_empty() {
            return Err(Violation::new(format!("damage where there is none: {damages:?}")));
        }
        self.check_touches(&damages)
    }

    /// What damage touches exists.
    fn check_touches(&self, damages: &Damages) -> Checked {
        let subjects: BTreeSet<String> = self.subjects().iter().map(shown).collect();
        for touch in damages.damages.iter().flat_map(|damage| &damage.touches) {
            let doubtful = !self.doubts.is_empty();
            if !doubtful && !subjects.contains(&touch.source.to_string()) {
                return Err(Violation::new(format!(
                    "damage of {}, which is not there",
                    touch.source
                )));
            }
        }
        Ok(())
    }

    /// A bit of a sealed segment rots: a scrub finds it, and names what cannot be read; no
    /// read gives wrong bytes. Then it is mended, and the next scrub is content. Nothing may
    /// be open, and the log has to be at rest.
    pub(super) fn rot(&mut self) -> Checked {
        // Nobody names what a crash left.
        let left = self.files_found(&[FindingKind::Torn, FindingKind::Orphan])?;
        let mut files = self.pool_files()?;
        files.retain(|(path, len)| {
            // An open one is as long as it may become.
            *len != super::config(self.caches).hot_segment_bytes
                && !left.iter().any(|name| path.ends_with(name))
        });
        let Some((path, len)) = self.pick(&files) else { return Ok(()) };
        let (at, mask) = (self.dice.below(len), 1 << self.dice.below(8));
        self.note("rot", &format!("{} at {at} of {len}", path.display()), Ok(()));
        self.flip(&path, at, mask)?;
        let damages = self.scrubbed_anew()?;
        if damages.damages.is_empty() {
            return Err(Violation::new(format!(
                "a scrub does not find the bit that was flipped at byte {at} of {}",
                path.display()
            )));
        }
        self.check_touches(&damages)?;
        self.compare_damaged(&damages)?;
        self.flip(&path, at, mask)?;
        let damages = self.scrubbed_anew()?;
        if !damages.damages.is_empty() {
            return Err(Violation::new(format!("damage that was mended: {damages:?}")));
        }
        Ok(())
    }

    /// Every resource is read: those that the scrub did not name must be exact, and where
    /// nothing is cached, those whose data it named cannot be read. (A damaged part of a map
    /// may be hidden by newer ones.)
    fn compare_damaged(&mut self, damages: &Damages) -> Checked {
        let touches = || damages.damages.iter().flat_map(|damage| &damage.touches);
        let named: BTreeSet<String> = touches().map(|touch| touch.source.to_string()).collect();
        let data = touches().filter(|touch| !touch.map);
        let lost: BTreeSet<String> = data.map(|touch| touch.source.to_string()).collect();
        let service = self.service()?;
        for subject in self.subjects() {
            let name = shown(&subject);
            let read = self.compare_quietly(&service, &subject);
            match read {
                Err(error) if error.kind() == ErrorKind::Damaged && named.contains(&name) => {}
                Err(error) => {
                    return Err(Violation::new(format!("{name}, which is not named: {error}")));
                }
                Ok(Some(wrong)) => return Err(Violation::new(wrong)),
                Ok(None) if lost.contains(&name) && !self.caches => {
                    return Err(Violation::new(format!("{name} is named, and can be read")));
                }
                Ok(None) => {}
            }
        }
        Ok(())
    }

    fn scrubbed_anew(&mut self) -> Checked<Damages> {
        let service = self.service()?;
        let failed = |error: Error| Violation::new(format!("a scrub failed: {error}"));
        // One that an earlier life began goes on by itself.
        self.sim.run_thread("scrub");
        service.scrub(ScrubOptions { rate: None, restart: true }).map_err(failed)?;
        self.sim.run_thread("scrub");
        let state = service.scrub_state().map_err(failed)?;
        if let Some(problem) = state.problem {
            return Err(Violation::new(format!("a scrub ended early: {problem}")));
        }
        service.damages().map_err(failed)
    }

    fn flip(&self, path: &Path, at: u64, mask: u8) -> Checked {
        let flipped = self.sim.flip(path, at, mask);
        flipped.map_err(|error| Violation::new(format!("{}: {error}", path.display())))
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let at = (!all.is_empty()).then(|| self.dice.below(all.len() as u64) as usize)?;
        all.get(at).cloned()
    }

    /// The files of segments of which `check` finds this.
    pub(super) fn files_found(&self, kinds: &[FindingKind]) -> Checked<Vec<String>> {
        let found = self.service()?.check().map_err(|error| Violation::new(error.to_string()))?;
        Ok(found
            .iter()
            .filter(|finding| kinds.contains(&finding.kind))
            .filter_map(|finding| finding.resource.strip_prefix("segment:"))
            .map(|id| format!("{id:0>10}.seg"))
            .collect())
    }

    /// The catalog is lost after a clean stop, and made anew from the pool: everything is
    /// there as it was.
    pub(super) fn lose_catalog(&mut self) -> Checked {
        self.note("lose catalog", "", Ok(()));
        let failed = |error: Error| Violation::new(format!("the stop before a rebuild: {error}"));
        self.devices.clear();
        self.stale = None;
        self.present.during("last stop", || self.service()?.close().map_err(failed))?;
        self.model.flush();
        self.env = if self.dice.coin() { self.sim.crash() } else { self.sim.kill() };
        self.service = None;
        let disk = self.env.disk();
        for name in CATALOG {
            match disk.remove_file(&PathBuf::from(DATA).join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Violation::new(format!("{name} cannot be removed: {error}")));
                }
                _ => {}
            }
        }
        if self.try_open_without_catalog()? {
            return Err(Violation::new("a store whose catalog is lost opens as a new one"));
        }
        Service::rebuild(Path::new(DATA), &self.env, false)
            .map_err(|error| Violation::new(format!("the rebuild failed: {error}")))?;
        if !self.try_open()? {
            return Err(Violation::new("the rebuilt store does not open"));
        }
        self.check_after_restart(true)?;
        self.check_all_fixed()?;
        self.check_store()
    }

    fn try_open_without_catalog(&mut self) -> Checked<bool> {
        match self.open_service() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(false),
            Err(error) => Err(Violation::new(format!("without a catalog: {error}"))),
        }
    }

    /// Another program wants the folder, however long ours was asleep: it may not have it,
    /// and ours goes on.
    pub(super) fn intrude(&mut self) -> Checked {
        if self.sim.is_off() || self.service.is_none() {
            return Ok(());
        }
        self.sim.advance(Duration::from_millis(self.dice.below(PAUSED_MAX_MS)));
        let opened = self.open_service();
        self.note("intrude", "", opened.as_ref().map(drop));
        match opened {
            Ok(_) => Err(Violation::new("two programs have the folder open")),
            Err(error) if error.kind() == ErrorKind::InUse => Ok(()),
            Err(error) => self.explain("intrude", "", &error),
        }
    }

    /// The disk becomes slow, or fast again.
    pub(super) fn change_pace(&mut self) -> Checked {
        self.slow = !self.slow;
        let ms = if self.slow { 1 + self.dice.below(SLOW_MAX_MS) } else { 0 };
        self.note("pace", &ms.to_string(), Ok(()));
        self.sim.set_pace(Duration::from_millis(ms));
        Ok(())
    }
}

fn shown(subject: &Subject) -> String {
    match subject {
        Subject::Volume(name) => format!("volume:{name}"),
        Subject::Snapshot(volume, snapshot) => format!("snapshot:{volume}@{snapshot}"),
        Subject::Image(_) | Subject::File(_) => subject.export(),
    }
}
