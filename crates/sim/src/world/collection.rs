//! The collector as an actor, the check of all parts, and space that must come back.

use std::path::{Path, PathBuf};

use archipelago_env::Mode;
use archipelago_pool::{Collected, Collection, Error, FindingKind, Severity};

use super::model::Names;
use super::names::{CONTAINER, Subject, parse};
use super::pools::SECOND;
use super::{Act, Checked, Concluded, DATA, Violation, World};
use crate::{DiskOp, Failure, Fault};

/// What an empty store may keep in its pool, in bytes: backups of its catalog.
const EMPTY_MAX: u64 = 64 << 10;
/// Changes of the disk that a collection makes at most before power fails in it.
const CUT_AFTER_MAX: u64 = 80;
/// Operations of one kind that pass before one fails in it.
const FAIL_AFTER_MAX: u64 = 20;
/// What fails under a collection, or a round of the mover: all that they do to the disk.
pub(super) const FAILING: [DiskOp; 8] = [
    DiskOp::Write,
    DiskOp::SyncData,
    DiskOp::SyncDir,
    DiskOp::Allocate,
    DiskOp::Create,
    DiskOp::Remove,
    DiskOp::List,
    DiskOp::Read,
];

impl World {
    /// A collection; now and then the disk fails or power is cut in it.
    pub(super) fn collect_somehow(&mut self) -> Checked {
        match self.dice.below(8) {
            0 => {
                let after = self.dice.below(CUT_AFTER_MAX);
                self.disturb("power off", Fault::power_off_after(after))?;
            }
            1 => {
                let op = FAILING[self.dice.below(FAILING.len() as u64) as usize];
                let failure = if self.dice.coin() { Failure::Io } else { Failure::Full };
                let after = self.dice.below(FAIL_AFTER_MAX);
                self.disturb("fault", Fault::once(op, failure).after(after))?;
            }
            2 => self.slow_down()?,
            _ => {}
        }
        let (thorough, now) = (self.dice.coin(), self.dice.coin());
        let wanted = Collection { thorough, now, budget: None };
        // Thorough ones begin with checkpoints, and those of large volumes flatten: they look
        // while they hold what others wait for.
        let alone = thorough || self.scale > 1 || self.dice.below(3) == 0;
        if alone {
            return self.collect(wanted);
        }
        self.collect_interrupted(wanted)?;
        if self.dice.below(4) == 0 { self.check_store() } else { Ok(()) }
    }

    /// A collection: nothing that it takes may be needed.
    pub(super) fn collect(&mut self, wanted: Collection) -> Checked {
        let collected = self.call_collect(wanted);
        self.see_collected(wanted, collected)
    }

    pub(super) fn call_collect(&self, wanted: Collection) -> Checked<Result<Collected, Error>> {
        self.present.during("collect", || Ok(self.service()?.collect(wanted)))
    }

    pub(super) fn see_collected(
        &mut self,
        wanted: Collection,
        collected: Checked<Result<Collected, Error>>,
    ) -> Checked {
        let subject = format!(
            "{}{}",
            ["", "thorough "][usize::from(wanted.thorough)],
            ["", "now"][usize::from(wanted.now)]
        );
        let act =
            Act { kind: "collect", subject: &subject, refusal: None, names: Names::default() };
        let done = match self.conclude(act, |_| (), collected?)? {
            Concluded::Done(done) => done,
            Concluded::Refused => return Ok(()),
            Concluded::Failed => return self.after_failure(),
        };
        self.failures = 0;
        for figure in [done.condemned, done.compacted, done.removed, done.flattened] {
            self.record.mix_number(figure);
        }
        self.record.count("condemned", done.condemned);
        self.record.count("compacted", done.compacted);
        self.record.count("flattened", done.flattened);
        self.record.count("removed segment", done.removed);
        self.lie_after("collect")?;
        if done.alarms > 0 {
            return Err(Violation::new(format!("{} condemned segments were read", done.alarms)));
        }
        // Also those of collections that failed half-way.
        let metrics = self.service()?.metrics();
        let alarms = metrics.iter().find(|one| one.name.ends_with("collector_alarms_total"));
        match alarms {
            Some(metric) if metric.value == 0.0 => Ok(()),
            Some(metric) => {
                Err(Violation::new(format!("{} condemned segments were read", metric.value)))
            }
            None => Err(Violation::new("the metric of alarms is gone")),
        }
    }

    /// Once the disk works, all parts of the store must agree, whatever happened before.
    pub(super) fn check_store(&mut self) -> Checked {
        if self.sim.is_off() {
            return self.crash();
        }
        self.sim.heal();
        let act = Act { kind: "check", subject: "", refusal: None, names: Names::default() };
        let findings = self.verb(act, |_| (), |service| service.check())?;
        let damage = findings
            .into_iter()
            .flatten()
            .filter(|finding| finding.kind.severity() == Severity::Damage)
            .find(|finding| {
                let segment = finding.resource.strip_prefix("segment:");
                let remnant = segment.is_some_and(|id| self.remnants.iter().any(|one| one == id));
                !(remnant && finding.kind == FindingKind::Footer)
            });
        match damage {
            Some(found) => Err(Violation::new(format!(
                "check finds {} of {}: {}",
                found.kind.name(),
                found.resource,
                found.what
            ))),
            None => Ok(()),
        }
    }

    /// Removes everything, collects, and sees whether the space is back.
    pub(super) fn empty(&mut self) -> Checked {
        self.devices.clear();
        self.stale = None;
        let volumes = self.model.volumes.keys().map(|name| Subject::Volume(name.clone()));
        let images = self.model.images.keys().map(|name| Subject::Image(name.clone()));
        let files = self.model.files.keys().map(|name| Subject::File(name.clone()));
        let all: Vec<Subject> = volumes.chain(images).chain(files).collect();
        for subject in &all {
            self.remove_for_good(subject)?;
        }
        self.empty_shelf()?;
        self.unmirror_all()?;
        self.collect(Collection { thorough: true, now: true, budget: None })?;
        // What recovery could not read of the log stays until the next start.
        let torn = self.service()?.check().map_err(|error| Violation::new(error.to_string()))?;
        let remnants = self.remnants.iter().map(|id| format!("{id}.seg"));
        let torn: Vec<String> = torn
            .iter()
            .filter(|finding| finding.kind == FindingKind::Torn)
            .filter_map(|finding| finding.resource.strip_prefix("segment:"))
            .map(|id| format!("{id:0>10}.seg"))
            .chain(remnants)
            .collect();
        let mut files = self.pool_files()?;
        files.retain(|(path, _)| !torn.iter().any(|name| path.ends_with(name)));
        let left: u64 = files.iter().map(|(_, len)| len).sum();
        self.record.mix_number(left);
        if left > EMPTY_MAX {
            return Err(Violation::new(format!(
                "{left} bytes are left in the pool of an empty store: {files:?}"
            )));
        }
        self.check_store()
    }

    /// Removes something that is there, with all that belongs to it.
    pub(super) fn remove_for_good(&mut self, subject: &Subject) -> Checked {
        let export = subject.export();
        let act =
            Act { kind: "remove all", subject: &export, refusal: None, names: Names::default() };
        self.verb(
            act,
            |model| match subject {
                Subject::Volume(name) => drop(model.volumes.remove(name)),
                Subject::Image(name) => drop(model.images.remove(name)),
                Subject::File(name) => drop(model.files.remove(name)),
                Subject::Snapshot(volume, name) => {
                    if let Some(known) = model.volumes.get_mut(volume) {
                        known.snapshots.remove(name);
                    }
                }
            },
            |service| match subject {
                Subject::Volume(name) => service.volume_remove(&parse(name)?, true),
                Subject::Image(name) => service.image_remove(&parse(name)?),
                Subject::File(name) => service.file_remove(&parse(CONTAINER)?, &parse(name)?),
                Subject::Snapshot(volume, name) => {
                    service.snapshot_remove(&super::names::snapshot_path(volume, name)?)
                }
            },
        )
        .map(drop)
    }

    /// The files of the pool and their lengths in bytes.
    pub(super) fn pool_files(&self) -> Checked<Vec<(PathBuf, u64)>> {
        let mut files = Vec::new();
        for folder in [Path::new(DATA).join("pool"), Path::new(SECOND).join("segments")] {
            match self.files_below(&folder, &mut files) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                listed => listed
                    .map_err(|error| Violation::new(format!("a pool cannot be listed: {error}")))?,
            }
        }
        Ok(files)
    }

    pub(super) fn pool_bytes(&self) -> Checked<u64> {
        Ok(self.pool_files()?.iter().map(|(_, len)| len).sum())
    }

    fn files_below(&self, dir: &Path, out: &mut Vec<(PathBuf, u64)>) -> std::io::Result<()> {
        let disk = self.env.disk();
        for entry in disk.list(dir)? {
            let path = dir.join(&entry.name);
            if entry.dir {
                self.files_below(&path, out)?;
            } else {
                let len = disk.open(&path, Mode::Read)?.len()?;
                out.push((path, len));
            }
        }
        Ok(())
    }
}
