//! Operators: the verbs that change names without bringing bytes.

use std::collections::BTreeSet;

use archipelago_model::VolumeSize;
use archipelago_pool::{ErrorKind, Origin};

use super::content::SECTOR;
use super::model::{Cells, Fixed, Model, Names, Volume};
use super::names::{CONTAINER, Subject, parse, snapshot_path};
use super::{Act, Checked, World};

/// Sectors of a volume: some, so that much of it is written again and again.
const SECTORS: u64 = 600;
/// Volumes that one command makes, at most.
const GROUP_MAX: u64 = 3;

fn size(sectors: u64) -> Result<VolumeSize, archipelago_pool::Error> {
    VolumeSize::from_bytes(sectors * SECTOR as u64)
        .map_err(|error| archipelago_pool::Error::new(ErrorKind::Internal, format!("{error}")))
}

impl World {
    /// Names for new volumes, each once.
    fn new_names(&mut self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for _ in 0..=self.dice.below(GROUP_MAX) {
            names.extend(self.any_volume_name());
        }
        names.into_iter().collect()
    }

    /// All or none of these are made.
    fn taken(&self, names: &[String]) -> Option<ErrorKind> {
        let taken = names.iter().any(|name| self.model.volumes.contains_key(name));
        taken.then_some(ErrorKind::AlreadyExists)
    }

    pub(super) fn create(&mut self) -> Checked {
        let names = self.new_names();
        if names.is_empty() {
            return Ok(());
        }
        let sectors = self.scale * (SECTORS / 2 + self.dice.below(SECTORS / 2));
        let cells = Cells::settled(vec![0; sectors as usize]);
        let act = Act {
            kind: "create",
            subject: &names.join("+"),
            refusal: self.taken(&names),
            names: Names::volumes(&names),
        };
        self.verb(act, insert(&names, cells), |service| {
            let names: Vec<_> = names.iter().map(|name| parse(name)).collect::<Result<_, _>>()?;
            service.volume_create(&names, &Origin::Empty(size(sectors)?))
        })
        .map(drop)
    }

    pub(super) fn clone_something(&mut self) -> Checked {
        let names = self.new_names();
        let Some(subject) = self.some_subject() else {
            return Ok(());
        };
        if names.is_empty() {
            return Ok(());
        }
        if let Subject::Volume(volume) = &subject
            && !self.make_certain(volume)?
        {
            return Ok(());
        }
        let content = self.content_of(&subject);
        let more = if self.dice.below(3) == 0 { self.dice.below(64) } else { 0 };
        let mut wanted = (more > 0).then_some(content.as_ref().map_or(1, Vec::len) as u64 + more);
        let too_small = self.dice.below(20) == 0;
        if too_small {
            wanted = Some(1);
        }
        let too_small = too_small && content.as_ref().is_some_and(|content| content.len() > 1);
        let refusal = match content {
            None => Some(ErrorKind::NotFound),
            Some(_) if too_small => Some(ErrorKind::Invalid),
            Some(_) => self.taken(&names),
        };
        let mut cells = content.unwrap_or_default();
        cells.resize(wanted.map_or(cells.len(), |sectors| sectors as usize), 0);
        let act = Act {
            kind: "clone",
            subject: &format!("{} to {}", subject.export(), names.join("+")),
            refusal,
            names: Names::volumes(&names),
        };
        self.verb(act, insert(&names, Cells::settled(cells)), |service| {
            let names: Vec<_> = names.iter().map(|name| parse(name)).collect::<Result<_, _>>()?;
            let size = wanted.map(size).transpose()?;
            service.volume_create(&names, &Origin::Clone { source: subject.source()?, size })
        })
        .map(drop)
    }

    /// Something to clone or to export, which is probably there.
    pub(super) fn some_subject(&mut self) -> Option<Subject> {
        Some(match self.dice.below(5) {
            0 | 1 => Subject::Volume(self.probable_volume()?),
            2 => {
                let volume = self.probable_volume()?;
                let snapshot = self.probable_snapshot(&volume);
                Subject::Snapshot(volume, snapshot)
            }
            3 => Subject::Image(self.any_image_name()?),
            _ => Subject::File(self.any_file_name()?),
        })
    }

    /// What it holds, if it is there.
    pub(super) fn content_of(&self, subject: &Subject) -> Option<Vec<u64>> {
        match subject {
            Subject::Volume(name) => {
                self.model.volumes.get(name).map(|volume| volume.cells.content().to_vec())
            }
            fixed => self.fixed_of(fixed).map(|fixed| fixed.content.to_vec()),
        }
    }

    pub(super) fn fixed_of(&self, subject: &Subject) -> Option<&Fixed> {
        match subject {
            Subject::Volume(_) => None,
            Subject::Snapshot(volume, snapshot) => {
                self.model.volumes.get(volume)?.snapshots.get(snapshot)
            }
            Subject::Image(name) => self.model.images.get(name),
            Subject::File(name) => self.model.files.get(name),
        }
    }

    pub(super) fn snapshot(&mut self) -> Checked {
        let mut paths = BTreeSet::new();
        let members = if self.dice.below(3) == 0 { 1 + self.dice.below(GROUP_MAX) } else { 1 };
        for _ in 0..members {
            if let Some(volume) = self.probable_volume() {
                let snapshot = self.any_snapshot_name();
                paths.insert((volume, snapshot));
            }
        }
        for (volume, _) in &paths {
            if !self.make_certain(volume)? {
                return Ok(());
            }
        }
        if paths.is_empty() {
            return Ok(());
        }
        let refusal =
            paths.iter().find_map(|(volume, snapshot)| match self.model.volumes.get(volume) {
                None => Some(ErrorKind::NotFound),
                Some(known) if known.snapshots.contains_key(snapshot) => {
                    Some(ErrorKind::AlreadyExists)
                }
                Some(_) => None,
            });
        let shown: Vec<String> = paths.iter().map(|(v, s)| format!("{v}@{s}")).collect();
        let act = Act {
            kind: "snapshot",
            subject: &shown.join("+"),
            refusal,
            names: Names::volumes(paths.iter().map(|(volume, _)| volume)),
        };
        let after = |model: &mut Model| {
            for (volume, snapshot) in &paths {
                if let Some(known) = model.volumes.get_mut(volume) {
                    let fixed = Fixed::new(known.cells.content());
                    known.snapshots.insert(snapshot.clone(), fixed);
                    // A snapshot has all that was answered, and so is it durable.
                    known.cells.flush();
                }
            }
        };
        self.verb(act, after, |service| {
            let paths: Vec<_> =
                paths.iter().map(|(v, s)| snapshot_path(v, s)).collect::<Result<_, _>>()?;
            service.snapshot_create(&paths)
        })
        .map(drop)
    }

    pub(super) fn remove_volume(&mut self) -> Checked {
        let Some(name) = self.probable_volume() else {
            return Ok(());
        };
        if self.dice.below(4) > 0 {
            self.devices.remove(&name);
        }
        let force = self.dice.coin();
        let refusal = match self.model.volumes.get(&name) {
            None => Some(ErrorKind::NotFound),
            Some(_) if self.devices.contains_key(&name) => Some(ErrorKind::InUse),
            Some(known) if !known.snapshots.is_empty() && !force => Some(ErrorKind::InUse),
            Some(_) => None,
        };
        let names = Names::volumes([&name]);
        let act = Act { kind: "remove", subject: &name, refusal, names };
        let after = |model: &mut Model| drop(model.volumes.remove(&name));
        self.verb(act, after, |service| service.volume_remove(&parse(&name)?, force)).map(drop)
    }

    pub(super) fn remove_snapshot(&mut self) -> Checked {
        let Some(volume) = self.probable_volume() else {
            return Ok(());
        };
        let snapshot = self.probable_snapshot(&volume);
        let there = self
            .model
            .volumes
            .get(&volume)
            .is_some_and(|known| known.snapshots.contains_key(&snapshot));
        let act = Act {
            kind: "remove snapshot",
            subject: &format!("{volume}@{snapshot}"),
            refusal: (!there).then_some(ErrorKind::NotFound),
            names: Names::volumes([&volume]),
        };
        let after = |model: &mut Model| {
            if let Some(known) = model.volumes.get_mut(&volume) {
                known.snapshots.remove(&snapshot);
            }
        };
        self.verb(act, after, |service| {
            service.snapshot_remove(&snapshot_path(&volume, &snapshot)?)
        })
        .map(drop)
    }

    pub(super) fn remove_image(&mut self) -> Checked {
        let Some(name) = self.any_image_name() else {
            return Ok(());
        };
        let there = self.model.images.contains_key(&name);
        let act = Act {
            kind: "remove image",
            subject: &name,
            refusal: (!there).then_some(ErrorKind::NotFound),
            names: Names::image(&name),
        };
        let after = |model: &mut Model| drop(model.images.remove(&name));
        self.verb(act, after, |service| service.image_remove(&parse(&name)?)).map(drop)
    }

    pub(super) fn remove_file(&mut self) -> Checked {
        let Some(name) = self.any_file_name() else {
            return Ok(());
        };
        let there = self.model.files.contains_key(&name);
        let act = Act {
            kind: "remove file",
            subject: &name,
            refusal: (!there).then_some(ErrorKind::NotFound),
            names: Names::file(&name),
        };
        let after = |model: &mut Model| drop(model.files.remove(&name));
        self.verb(act, after, |service| service.file_remove(&parse(CONTAINER)?, &parse(&name)?))
            .map(drop)
    }

    pub(super) fn resize(&mut self) -> Checked {
        let Some(name) = self.probable_volume() else {
            return Ok(());
        };
        if self.dice.coin() {
            self.devices.remove(&name);
        }
        let sectors = self.scale * (SECTORS / 4 + self.dice.below(SECTORS));
        let now = self.model.volumes.get(&name).map(|known| known.cells.len() as u64);
        let refusal = match now {
            None => Some(ErrorKind::NotFound),
            Some(now) if sectors < now && self.devices.contains_key(&name) => {
                Some(ErrorKind::InUse)
            }
            Some(_) => None,
        };
        let names = Names::volumes([&name]);
        let subject = format!("{name} from {} to {sectors}", now.unwrap_or_default());
        let act = Act { kind: "resize", subject: &subject, refusal, names };
        let after = |model: &mut Model| {
            if let Some(known) = model.volumes.get_mut(&name) {
                known.cells.resize(sectors as usize);
            }
        };
        self.verb(act, after, |service| service.volume_resize(&parse(&name)?, size(sectors)?))
            .map(drop)
    }

    pub(super) fn roll_back(&mut self) -> Checked {
        let Some(volume) = self.probable_volume() else {
            return Ok(());
        };
        let snapshot = self.probable_snapshot(&volume);
        if self.dice.below(4) > 0 {
            self.devices.remove(&volume);
        }
        let to = self.fixed_of(&Subject::Snapshot(volume.clone(), snapshot.clone())).cloned();
        let refusal = match to {
            None => Some(ErrorKind::NotFound),
            Some(_) if self.devices.contains_key(&volume) => Some(ErrorKind::InUse),
            Some(_) => None,
        };
        let act = Act {
            kind: "roll back",
            subject: &format!("{volume}@{snapshot}"),
            refusal,
            names: Names::volumes([&volume]),
        };
        let after = |model: &mut Model| {
            if let (Some(known), Some(to)) = (model.volumes.get_mut(&volume), to) {
                known.cells = Cells::settled(to.content.to_vec());
            }
        };
        self.verb(act, after, |service| {
            service.snapshot_rollback(&snapshot_path(&volume, &snapshot)?)
        })
        .map(drop)
    }

    pub(super) fn rename(&mut self) -> Checked {
        let (Some(from), Some(to)) = (self.probable_volume(), self.any_volume_name()) else {
            return Ok(());
        };
        let refusal = if !self.model.volumes.contains_key(&from) {
            Some(ErrorKind::NotFound)
        } else if from != to && self.model.volumes.contains_key(&to) {
            Some(ErrorKind::AlreadyExists)
        } else {
            None
        };
        let act = Act {
            kind: "rename",
            subject: &format!("{from} to {to}"),
            refusal,
            names: Names::volumes([&from, &to]),
        };
        let after = |model: &mut Model| {
            if let Some(known) = model.volumes.remove(&from) {
                model.volumes.insert(to.clone(), known);
            }
        };
        let renamed =
            self.verb(act, after, |service| service.volume_rename(&parse(&from)?, &parse(&to)?))?;
        if renamed.is_some()
            && let Some(device) = self.devices.remove(&from)
        {
            self.devices.insert(to, device);
        }
        Ok(())
    }
}

/// Makes volumes of this content.
pub(super) fn insert(names: &[String], cells: Cells) -> impl FnOnce(&mut Model) {
    move |model| {
        for name in names {
            let volume = Volume { cells: cells.clone(), snapshots: Default::default() };
            model.volumes.insert(name.clone(), volume);
        }
    }
}
