//! What must be there: names, and for every sector what a read may find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::{SECTOR, Stamp, stamp_of};

/// The sectors of a volume.
#[derive(Clone, Default, Debug)]
pub(super) struct Cells {
    /// What a read gives, unless the sector is in `unsure`.
    now: Vec<Stamp>,
    /// Sectors of which a write failed: all that a read may give.
    unsure: BTreeMap<usize, Vec<Stamp>>,
    /// Sectors written since the last flush: all that may be found after power loss.
    /// Of the others it is what a read gives.
    loose: BTreeMap<usize, Vec<Stamp>>,
}

impl Cells {
    /// All of it durable.
    pub fn settled(content: Vec<Stamp>) -> Self {
        Self { now: content, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.now.len()
    }

    /// Whether it is known what every read gives.
    pub fn is_certain(&self) -> bool {
        self.unsure.is_empty()
    }

    /// What reads give.
    pub fn content(&self) -> &[Stamp] {
        &self.now
    }

    /// A write of one sector that returned, or failed.
    pub fn write(&mut self, sector: usize, stamp: Stamp, ok: bool) {
        let before = self.now[sector];
        let reads = self.unsure.get(&sector).cloned().unwrap_or_else(|| vec![before]);
        self.loose.entry(sector).or_insert_with(|| reads.clone()).push(stamp);
        if ok {
            self.now[sector] = stamp;
            self.unsure.remove(&sector);
        } else {
            self.unsure.entry(sector).or_insert(reads).push(stamp);
        }
    }

    /// All that was answered is durable.
    pub fn flush(&mut self) {
        self.loose.clone_from(&self.unsure);
    }

    /// Sees what a read gave; `Err` has what was allowed.
    pub fn read(&mut self, sector: usize, got: Option<Stamp>) -> Result<(), Vec<Stamp>> {
        let allowed = match self.unsure.get(&sector) {
            Some(several) => several.clone(),
            None => vec![self.now[sector]],
        };
        match got.filter(|got| allowed.contains(got)) {
            None => Err(allowed),
            Some(got) => {
                self.now[sector] = got;
                self.unsure.remove(&sector);
                Ok(())
            }
        }
    }

    /// What may be found in a sector after a restart; with `exact`, after one that
    /// loses nothing.
    pub fn allowed_after_restart(&self, sector: usize, exact: bool) -> Vec<Stamp> {
        match (self.loose.get(&sector), exact) {
            (Some(several), false) => several.clone(),
            _ => vec![self.now[sector]],
        }
    }

    /// Sees what is there after a restart, which is durable; `Err` has the sector
    /// that is wrong, and what was allowed.
    pub fn restarted(&mut self, bytes: &[u8], exact: bool) -> Result<(), (usize, Vec<Stamp>)> {
        let exact = exact && self.is_certain();
        for (sector, raw) in bytes.chunks(SECTOR).enumerate() {
            let got = stamp_of(raw);
            let plain = got == Some(self.now[sector]) && !self.loose.contains_key(&sector);
            if plain {
                continue;
            }
            let allowed = self.allowed_after_restart(sector, exact);
            match got.filter(|got| allowed.contains(got)) {
                None => return Err((sector, allowed)),
                Some(got) => self.now[sector] = got,
            }
        }
        self.loose.clear();
        self.unsure.clear();
        Ok(())
    }

    /// Another size; durable.
    pub fn resize(&mut self, sectors: usize) {
        self.now.resize(sectors, 0);
        self.unsure.split_off(&sectors);
        self.loose.split_off(&sectors);
    }
}

/// A volume.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub cells: Cells,
    pub snapshots: BTreeMap<String, Fixed>,
}

/// Content that never changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fixed {
    pub content: Arc<[Stamp]>,
    /// Exact; behind it, the last sector is zeros.
    pub bytes: u64,
}

impl Fixed {
    pub fn new(content: &[Stamp]) -> Self {
        Self { content: content.into(), bytes: (content.len() * SECTOR) as u64 }
    }

    /// The first sector that is wrong.
    pub fn wrong(&self, bytes: &[u8]) -> Option<usize> {
        if bytes.len() != self.content.len() * SECTOR {
            return Some(self.content.len());
        }
        let mut sectors = bytes.chunks(SECTOR).zip(self.content.iter());
        sectors.position(|(raw, stamp)| stamp_of(raw) != Some(*stamp))
    }
}

/// Content of an object or a part.
pub(super) type Bytes = Arc<Vec<u8>>;

/// What is under one name of a container that keeps versions.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Shelved {
    /// Oldest first; `None` is a marker.
    pub versions: Vec<Option<Bytes>>,
    /// Parts of the upload that is under way.
    pub upload: Option<BTreeMap<u32, Bytes>>,
}

/// Everything that has a name.
#[derive(Clone, Default, Debug)]
pub(super) struct Model {
    pub volumes: BTreeMap<String, Volume>,
    pub images: BTreeMap<String, Fixed>,
    pub files: BTreeMap<String, Fixed>,
    pub objects: BTreeMap<String, Shelved>,
}

/// Names that a verb touches.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    pub volumes: BTreeSet<String>,
    pub images: BTreeSet<String>,
    pub files: BTreeSet<String>,
    pub objects: BTreeSet<String>,
}

impl Names {
    pub fn volumes<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        Self { volumes: names.into_iter().cloned().collect(), ..Self::default() }
    }

    pub fn image(name: &str) -> Self {
        Self { images: BTreeSet::from([name.to_owned()]), ..Self::default() }
    }

    pub fn file(name: &str) -> Self {
        Self { files: BTreeSet::from([name.to_owned()]), ..Self::default() }
    }

    pub fn object(name: &str) -> Self {
        Self { objects: BTreeSet::from([name.to_owned()]), ..Self::default() }
    }
}

impl Model {
    /// Takes what has these names out of the model.
    pub fn take(&mut self, names: &Names) -> Self {
        let mut out = Self::default();
        for name in &names.volumes {
            out.volumes.extend(self.volumes.remove_entry(name));
        }
        for name in &names.images {
            out.images.extend(self.images.remove_entry(name));
        }
        for name in &names.files {
            out.files.extend(self.files.remove_entry(name));
        }
        for name in &names.objects {
            out.objects.extend(self.objects.remove_entry(name));
        }
        out
    }

    /// Puts back what was taken out, or what became of it.
    pub fn put(&mut self, part: Self) {
        self.volumes.extend(part.volumes);
        self.images.extend(part.images);
        self.files.extend(part.files);
        self.objects.extend(part.objects);
    }

    /// Changes what is under a name; one with nothing under it is gone.
    pub fn change_object(&mut self, name: &str, change: impl FnOnce(&mut Shelved)) {
        let mut known = self.objects.remove(name).unwrap_or_default();
        change(&mut known);
        if known != Shelved::default() {
            self.objects.insert(name.to_owned(), known);
        }
    }

    /// A flush of any volume covers all.
    pub fn flush(&mut self) {
        self.volumes.values_mut().for_each(|volume| volume.cells.flush());
    }
}

/// A verb that failed in such a way that it may be done or not, until a restart tells.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    pub what: String,
    pub names: Names,
    pub before: Model,
    pub after: Model,
}

#[cfg(test)]
mod tests;
