//! Comparing what is there with the model.

use std::collections::BTreeMap;

use archipelago_format::stream::{Reader, Record as StreamRecord};
use archipelago_pool::{Error, ErrorKind, Service};

use super::content::SECTOR;
use super::guest::shown;
use super::model::{Cells, Doubt, Model, Names};
use super::names::{CONTAINER, Subject};
use super::objects::{ShownObject, shown as shown_objects, wrong_object};
use super::{Act, Checked, Violation, World};

/// Names and sizes in bytes, as the service lists them.
#[derive(PartialEq, Debug, Default)]
struct Listing {
    volumes: BTreeMap<String, u64>,
    snapshots: BTreeMap<(String, String), u64>,
    images: BTreeMap<String, u64>,
    files: BTreeMap<String, u64>,
    objects: BTreeMap<String, ShownObject>,
}

impl Listing {
    fn of_service(service: &Service) -> Result<Self, Error> {
        let volumes = service.volumes()?.into_iter();
        let snapshots = service.snapshots(None)?.into_iter();
        let images = service.images()?.into_iter();
        let files = service.files(None)?.into_iter();
        // Snapshots are files, too, and looked at as snapshots.
        let files = files.filter(|one| one.container.as_str() != "snapshots");
        Ok(Self {
            volumes: volumes.map(|one| (one.name.to_string(), one.size.bytes())).collect(),
            snapshots: snapshots
                .map(|one| {
                    let path = (one.path.volume.to_string(), one.path.snapshot.to_string());
                    (path, one.size.bytes())
                })
                .collect(),
            images: images.map(|one| (one.name.to_string(), one.size.bytes())).collect(),
            files: files
                .filter(|one| one.container.as_str() == CONTAINER)
                .map(|one| (one.object.to_string(), one.size))
                .collect(),
            objects: shown_objects(service)?.into_iter().collect(),
        })
    }

    fn of_model(model: &Model) -> Self {
        let snapshots = model.volumes.iter().flat_map(|(name, volume)| {
            let of_one = |(snapshot, fixed): (&String, &super::model::Fixed)| {
                ((name.clone(), snapshot.clone()), fixed.bytes)
            };
            volume.snapshots.iter().map(of_one).collect::<Vec<_>>()
        });
        let bytes = |fixed: &super::model::Fixed| fixed.bytes;
        Self {
            snapshots: snapshots.collect(),
            volumes: model
                .volumes
                .iter()
                .map(|(name, volume)| (name.clone(), (volume.cells.len() * SECTOR) as u64))
                .collect(),
            images: model.images.iter().map(|(name, one)| (name.clone(), bytes(one))).collect(),
            files: model.files.iter().map(|(name, one)| (name.clone(), bytes(one))).collect(),
            objects: model
                .objects
                .iter()
                .map(|(name, one)| (name.clone(), ShownObject::of(one)))
                .collect(),
        }
    }

    /// The part with these names.
    fn part(&self, names: &Names) -> Self {
        let pick = |all: &BTreeMap<String, u64>, some: &std::collections::BTreeSet<String>| {
            some.iter().filter_map(|n| all.get_key_value(n)).map(|(n, s)| (n.clone(), *s)).collect()
        };
        Self {
            volumes: pick(&self.volumes, &names.volumes),
            images: pick(&self.images, &names.images),
            files: pick(&self.files, &names.files),
            objects: self
                .objects
                .iter()
                .filter(|(name, _)| names.objects.contains(*name))
                .map(|(name, one)| (name.clone(), one.clone()))
                .collect(),
            snapshots: self
                .snapshots
                .iter()
                .filter(|((volume, _), _)| names.volumes.contains(volume))
                .map(|(path, size)| (path.clone(), *size))
                .collect(),
        }
    }
}

impl World {
    /// After a restart: settles what was in doubt, and looks at every volume. With
    /// `exact`, nothing may be lost, flushed or not.
    pub(super) fn check_after_restart(&mut self, exact: bool) -> Checked {
        let service = self.service()?;
        let there = self.look("list", || Listing::of_service(&service))?;
        let Some(there) = there else { return Ok(()) };
        for doubt in std::mem::take(&mut self.doubts) {
            self.settle(&service, doubt, &there, exact)?;
        }
        let expected = Listing::of_model(&self.model);
        if there != expected {
            return Err(Violation::new(format!("there is {there:?}, not {expected:?}")));
        }
        let names: Vec<String> = self.model.volumes.keys().cloned().collect();
        for name in names {
            let Some(bytes) =
                self.look("look at", || content_of(&service, &Subject::Volume(name.clone())))?
            else {
                return Ok(());
            };
            self.record.mix_number(bytes.len() as u64);
            if let Some(known) = self.model.volumes.get_mut(&name) {
                check_cells(&name, &mut known.cells, &bytes, exact)?;
            }
        }
        Ok(())
    }

    /// Does something that must succeed unless a failure explains it.
    pub(super) fn look<T>(
        &mut self,
        what: &str,
        mut call: impl FnMut() -> Result<T, Error>,
    ) -> Checked<Option<T>> {
        match call() {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.explain(what, "", &error)?;
                Ok(None)
            }
        }
    }

    /// Finds out whether a verb that failed was done.
    fn settle(&mut self, service: &Service, doubt: Doubt, there: &Listing, exact: bool) -> Checked {
        let part = there.part(&doubt.names);
        let mut wrong = Vec::new();
        for (how, mut model) in [("not done", doubt.before), ("done", doubt.after)] {
            if Listing::of_model(&model) != part {
                continue;
            }
            match fits(service, &mut model, exact) {
                Ok(None) => {
                    self.record.note("settled", &doubt.what, Err(how));
                    self.model.put(model);
                    return Ok(());
                }
                Ok(Some(what)) => wrong.push(format!("{how}, but {what}")),
                Err(error) => return Err(Violation::new(format!("{}: {error}", doubt.what))),
            }
        }
        Err(Violation::new(format!(
            "{} failed, and is neither done nor not done: {part:?}, {wrong:?}",
            doubt.what
        )))
    }

    /// Looks at one thing: a fixed one must be exact.
    pub(super) fn check_something(&mut self) -> Checked {
        let Some(subject) = self.some_subject() else {
            return Ok(());
        };
        match &subject {
            Subject::Volume(name) => {
                let name = name.clone();
                self.make_certain(&name)?;
                if self.dice.coin() { self.export(&name) } else { self.check_volume(&name) }
            }
            _ => self.check_fixed(&subject),
        }
    }

    fn check_volume(&mut self, name: &str) -> Checked {
        let Some(known) = self.model.volumes.get(name) else {
            return Ok(());
        };
        let sectors = known.cells.len();
        match self.device(name)? {
            None => Ok(()),
            Some(device) => self.read(name, &device, 0, sectors).map(drop),
        }
    }

    pub(super) fn check_fixed(&mut self, subject: &Subject) -> Checked {
        let expected = self.fixed_of(subject).cloned();
        let export = subject.export();
        let act = Act {
            kind: "compare",
            subject: &export,
            refusal: expected.is_none().then_some(ErrorKind::NotFound),
            names: Names::default(),
        };
        let bytes = self.verb(act, |_| (), |service| content_of(service, subject))?;
        match (bytes, expected) {
            (Some(bytes), Some(expected)) => check_exact(&export, &expected, &bytes),
            _ => Ok(()),
        }
    }

    /// Exports a volume, which persists it first, and compares.
    fn export(&mut self, name: &str) -> Checked {
        let Some(known) = self.model.volumes.get(name) else {
            return Ok(());
        };
        let mut cells = known.cells.clone();
        let sectors = cells.len();
        let act = Act { kind: "export", subject: name, refusal: None, names: Names::default() };
        let raw = self.verb(
            act,
            |_| (),
            |service| {
                let mut raw = Vec::new();
                service.export(&Subject::Volume(name.to_owned()).source()?, &mut raw)?;
                Ok(raw)
            },
        )?;
        let Some(raw) = raw else { return Ok(()) };
        let bytes = unpacked(&raw, sectors * SECTOR)
            .map_err(|what| Violation::new(format!("export of {name}: {what}")))?;
        for (sector, raw) in bytes.chunks(SECTOR).enumerate() {
            let got = super::content::stamp_of(raw);
            if let Err(allowed) = cells.read(sector, got) {
                return Err(Violation::new(format!(
                    "sector {sector} of the export of {name} has {got:?}, not {}",
                    shown(&allowed)
                )));
            }
        }
        Ok(())
    }

    /// Everything that is fixed.
    pub(super) fn check_all_fixed(&mut self) -> Checked {
        let snapshots = self.model.volumes.iter().flat_map(|(name, volume)| {
            let path = |snapshot: &String| Subject::Snapshot(name.clone(), snapshot.clone());
            volume.snapshots.keys().map(path).collect::<Vec<_>>()
        });
        let images = self.model.images.keys().map(|name| Subject::Image(name.clone()));
        let files = self.model.files.keys().map(|name| Subject::File(name.clone()));
        let all: Vec<Subject> = snapshots.chain(images).chain(files).collect();
        all.iter().try_for_each(|subject| self.check_fixed(subject))?;
        self.check_objects()
    }
}

/// All bytes of something, in whole sectors.
pub(super) fn content_of(service: &Service, subject: &Subject) -> Result<Vec<u8>, Error> {
    let device = service.open_device(&subject.export())?;
    let mut bytes = vec![0xee; device.size() as usize];
    device.read(0, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn check_cells(name: &str, cells: &mut Cells, bytes: &[u8], exact: bool) -> Checked {
    cells.restarted(bytes, exact).map_err(|(sector, allowed)| {
        let at = sector * SECTOR;
        let got = super::content::stamp_of(&bytes[at..at + SECTOR]);
        Violation::new(format!(
            "sector {sector} of volume {name} has {} after a restart, not {}",
            shown(&[got.unwrap_or(u64::MAX)]),
            shown(&allowed)
        ))
    })
}

fn check_exact(name: &str, expected: &super::model::Fixed, bytes: &[u8]) -> Checked {
    match expected.wrong(bytes) {
        None => Ok(()),
        Some(sector) => Err(Violation::new(format!("sector {sector} of {name} changed"))),
    }
}

/// What does not fit, if anything.
fn fits(service: &Service, model: &mut Model, exact: bool) -> Result<Option<String>, Error> {
    let said = |checked: Checked| checked.err().map(|violation| violation.what);
    for (name, volume) in &mut model.volumes {
        let bytes = content_of(service, &Subject::Volume(name.clone()))?;
        if let Some(what) = said(check_cells(name, &mut volume.cells, &bytes, exact)) {
            return Ok(Some(what));
        }
        for (snapshot, fixed) in &volume.snapshots {
            let subject = Subject::Snapshot(name.clone(), snapshot.clone());
            let bytes = content_of(service, &subject)?;
            if let Some(what) = said(check_exact(&subject.export(), fixed, &bytes)) {
                return Ok(Some(what));
            }
        }
    }
    let images = model.images.iter().map(|(name, fixed)| (Subject::Image(name.clone()), fixed));
    let files = model.files.iter().map(|(name, fixed)| (Subject::File(name.clone()), fixed));
    for (subject, fixed) in images.chain(files) {
        let bytes = content_of(service, &subject)?;
        if let Some(what) = said(check_exact(&subject.export(), fixed, &bytes)) {
            return Ok(Some(what));
        }
    }
    for (name, known) in &model.objects {
        if let Some(what) = wrong_object(service, name, known)? {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

/// The bytes that a full stream tells.
fn unpacked(raw: &[u8], len: usize) -> Result<Vec<u8>, String> {
    let mut reader = Reader::new(raw).map_err(|error| error.to_string())?;
    if reader.header().size != len as u64 {
        return Err(format!("its size is {}, not {len}", reader.header().size));
    }
    let mut out = vec![0; len];
    loop {
        match reader.next().map_err(|error| error.to_string())? {
            StreamRecord::Data { offset, bytes } => {
                let at = offset as usize;
                out[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            StreamRecord::Zero { .. } => {}
            StreamRecord::End => return Ok(out),
        }
    }
}
