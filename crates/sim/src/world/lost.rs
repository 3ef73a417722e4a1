//! A catalog that is lost, and made anew from its backup in the pool.

use std::io;
use std::path::Path;

use archipelago_pool::{Collection, Error, ErrorKind, Rebuilt, Service};

use super::model::{Doubt, Model, Names};
use super::{Checked, DATA, Violation, World};
use crate::Fault;

/// Acts before the newest backup that is known of, and between it and the loss, at most.
const ACTS_MAX: u64 = 12;
/// Changes of the disk that a rebuild makes at most before power fails in it.
const CUT_AFTER_MAX: u64 = 120;
/// One of so many rebuilds is cut off.
const CUT_ONE_IN: u64 = 2;
/// The catalog, and what SQLite keeps beside it.
const FILES: [&str; 3] = ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"];

impl World {
    /// Nothing is planned, and nothing in doubt: the catalog goes. What the backup had
    /// must be there again, and what was flushed since.
    pub(super) fn lose_catalog(&mut self) -> Checked {
        for _ in 0..self.dice.below(ACTS_MAX) {
            if self.dice.coin() { self.operate()? } else { self.guest_write()? }
        }
        self.close_for_good()?;
        self.note_remnants()?;
        let mut exact = true;
        if self.dice.coin() {
            if !self.try_open()? {
                return Err(Violation::new("the store does not open, and nothing disturbs it"));
            }
            self.act_behind_the_backup()?;
            let power = self.dice.coin();
            self.env = if power { self.sim.crash() } else { self.sim.kill() };
            exact = !power;
        }
        self.lose_service();
        self.remove_catalog().map_err(|error| Violation::new(format!("no loss: {error}")))?;
        self.note("lose catalog", "", Ok(()));
        match self.open_service() {
            Err(error) if error.kind() == ErrorKind::Damaged => {}
            other => {
                let said = other.map(drop);
                return Err(Violation::new(format!("opened without a catalog: {said:?}")));
            }
        }
        exact &= !self.rebuild()?;
        // It is durable.
        if self.dice.coin() {
            self.env = self.sim.crash();
            exact = false;
        }
        if !self.try_open()? {
            return Err(Violation::new("the store does not open after a rebuild"));
        }
        self.check_after_restart(exact)?;
        self.check_all_fixed()?;
        self.check_store()?;
        let thorough = self.dice.coin();
        self.collect(Collection { thorough, now: true, budget: None })?;
        self.check_all_fixed()?;
        self.check_store()
    }

    /// A clean stop: the newest backup has everything.
    fn close_for_good(&mut self) -> Checked {
        let result = self.present.during("close", || Ok(self.service()?.close()))?;
        self.note("close", "", result.as_ref().map(drop));
        result.map_err(|error| Violation::new(format!("an undisturbed close: {error}")))?;
        self.model.flush();
        self.env = if self.dice.coin() { self.sim.crash() } else { self.sim.kill() };
        self.lose_service();
        Ok(())
    }

    /// After a clean stop what has no footer is what crashes left. A rebuild cannot tell
    /// it from what is damaged, and says so of both.
    fn note_remnants(&mut self) -> Checked {
        let sealed = self.sealed_files()?;
        let files = self.pool_files()?.into_iter().filter(|file| !sealed.contains(file));
        self.remnants = files
            .filter_map(|(path, _)| path.file_stem().map(|stem| stem.to_string_lossy().into()))
            .collect();
        self.record.count("remnant", self.remnants.len() as u64);
        Ok(())
    }

    /// What the log has and no backup, or perhaps a newer one: both are right for names
    /// that came or went.
    fn act_behind_the_backup(&mut self) -> Checked {
        let before = self.model.clone();
        let (mut imported, mut removed) = (false, false);
        for _ in 0..self.dice.below(ACTS_MAX) {
            match self.dice.below(10) {
                0..=4 => self.guest_write()?,
                5..=6 => self.guest_flush()?,
                7 => self.background()?,
                8 => {
                    let (thorough, now) = (self.dice.coin(), self.dice.coin());
                    self.collect(Collection { thorough, now, budget: None })?;
                }
                // Once each: of a name that came and went a backup may have any state.
                _ if !removed && !imported && self.dice.coin() => {
                    removed = true;
                    self.remove_image()?;
                }
                _ if !removed && !imported => {
                    imported = true;
                    self.import()?;
                }
                _ => {}
            }
        }
        self.doubt_names(&before);
        Ok(())
    }

    /// Volumes, images and files that came or went since: there or not, each for itself.
    fn doubt_names(&mut self, before: &Model) {
        let changed =
            |was: Option<&super::model::Fixed>, is: Option<&super::model::Fixed>| was != is;
        let images: Vec<String> =
            before.images.keys().chain(self.model.images.keys()).cloned().collect();
        for name in images {
            if changed(before.images.get(&name), self.model.images.get(&name)) {
                self.doubt_one(Names::image(&name), before);
            }
        }
        let volumes: Vec<String> = self.model.volumes.keys().cloned().collect();
        for name in volumes {
            if !before.volumes.contains_key(&name) {
                self.doubt_one(Names::volumes([&name]), before);
            }
        }
    }

    fn doubt_one(&mut self, names: Names, before: &Model) {
        let (mut was, is) = (before.clone(), self.model.take(&names));
        let before = was.take(&names);
        let what = format!("behind the backup: {names:?}");
        self.doubts.push(Doubt { what, names, before, after: is });
    }

    fn remove_catalog(&self) -> io::Result<()> {
        let disk = self.env.disk();
        for name in FILES {
            match disk.remove_file(&Path::new(DATA).join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        disk.sync_dir(Path::new(DATA))
    }

    fn call_rebuild(&self) -> Result<Rebuilt, Error> {
        let rebuild = || Service::rebuild(Path::new(DATA), &self.env, false);
        self.present.during("rebuild", rebuild)
    }

    /// One that power cuts off leaves the loss, or the new catalog; whether one was.
    fn rebuild(&mut self) -> Checked<bool> {
        if self.dice.below(CUT_ONE_IN) == 0 {
            let after = self.dice.below(CUT_AFTER_MAX);
            self.disturb("power off", Fault::power_off_after(after))?;
        }
        let rebuilt = self.call_rebuild();
        self.note("rebuild", "", rebuilt.as_ref().map(drop));
        let again = match rebuilt {
            Ok(done) => {
                if !done.passed_over.is_empty() {
                    let passed = done.passed_over;
                    return Err(Violation::new(format!("backups cannot be read: {passed:?}")));
                }
                false
            }
            Err(error) => {
                self.explain("rebuild", "", &error)?;
                true
            }
        };
        self.sim.heal();
        let cut = self.sim.is_off();
        if cut {
            self.env = self.sim.crash();
        }
        self.disturbed = false;
        if !again {
            return Ok(cut);
        }
        let rebuilt = self.call_rebuild();
        self.note("rebuild", "", rebuilt.as_ref().map(drop));
        match rebuilt {
            Ok(_) => Ok(cut),
            // The new one was in its place.
            Err(error) if error.kind() == ErrorKind::Invalid => Ok(cut),
            Err(error) => Err(Violation::new(format!("a second rebuild: {error}"))),
        }
    }
}
