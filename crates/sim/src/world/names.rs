//! Names, from small sets, so that they meet again.

use archipelago_model::{SnapshotPath, Source};
use archipelago_pool::{Error, ErrorKind};

use super::World;

/// How many volumes there can be.
const VOLUMES: u64 = 8;
/// The same where volumes are large.
const VOLUMES_WIDE: u64 = 2;
/// How many snapshots of one volume.
const SNAPSHOTS: u64 = 5;
/// How many images.
const IMAGES: u64 = 4;
/// How many files.
const FILES: u64 = 4;
/// How many objects.
const OBJECTS: u64 = 3;

/// The container of all files.
pub(super) const CONTAINER: &str = "box";
/// The container that keeps versions.
pub(super) const SHELF: &str = "shelf";

impl World {
    /// A name for a volume, taken or not, but not in doubt.
    pub(super) fn any_volume_name(&mut self) -> Option<String> {
        let count = if self.scale > 1 { VOLUMES_WIDE } else { VOLUMES };
        let name = format!("v{}", self.dice.below(count));
        let doubtful = self.doubts.iter().any(|doubt| doubt.names.volumes.contains(&name));
        (!doubtful).then_some(name)
    }

    pub(super) fn any_snapshot_name(&mut self) -> String {
        format!("s{}", self.dice.below(SNAPSHOTS))
    }

    pub(super) fn any_image_name(&mut self) -> Option<String> {
        let name = format!("i{}", self.dice.below(IMAGES));
        let doubtful = self.doubts.iter().any(|doubt| doubt.names.images.contains(&name));
        (!doubtful).then_some(name)
    }

    pub(super) fn any_file_name(&mut self) -> Option<String> {
        let name = format!("f{}", self.dice.below(FILES));
        let doubtful = self.doubts.iter().any(|doubt| doubt.names.files.contains(&name));
        (!doubtful).then_some(name)
    }

    pub(super) fn any_object_name(&mut self) -> Option<String> {
        let name = format!("o{}", self.dice.below(OBJECTS));
        let doubtful = self.doubts.iter().any(|doubt| doubt.names.objects.contains(&name));
        (!doubtful).then_some(name)
    }

    /// A volume that is there, and not in doubt.
    pub(super) fn some_volume(&mut self) -> Option<String> {
        let count = self.model.volumes.len() as u64;
        let at = (count > 0).then(|| self.dice.below(count) as usize)?;
        self.model.volumes.keys().nth(at).cloned()
    }

    /// A volume that is there; now and then, one that may not be.
    pub(super) fn probable_volume(&mut self) -> Option<String> {
        if self.dice.below(8) == 0 { self.any_volume_name() } else { self.some_volume() }
    }

    /// A snapshot of this volume that is there; now and then, one that may not be.
    pub(super) fn probable_snapshot(&mut self, volume: &str) -> String {
        let known: Vec<&String> =
            self.model.volumes.get(volume).into_iter().flat_map(|v| v.snapshots.keys()).collect();
        let count = known.len() as u64;
        if count == 0 || self.dice.below(8) == 0 {
            return self.any_snapshot_name();
        }
        known[self.dice.below(count) as usize].clone()
    }
}

/// A name in the program's own type.
pub(super) fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Error::new(ErrorKind::Internal, format!("{error}")))
}

pub(super) fn snapshot_path(volume: &str, snapshot: &str) -> Result<SnapshotPath, Error> {
    Ok(SnapshotPath { volume: parse(volume)?, snapshot: parse(snapshot)? })
}

/// Something to clone or read.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Volume(String),
    Snapshot(String, String),
    Image(String),
    File(String),
}

impl Subject {
    pub(super) fn source(&self) -> Result<Source, Error> {
        Ok(match self {
            Self::Volume(name) => Source::Volume(parse(name)?),
            Self::Snapshot(volume, snapshot) => Source::Snapshot(snapshot_path(volume, snapshot)?),
            Self::Image(name) => Source::Image(parse(name)?),
            Self::File(name) => Source::File(parse(CONTAINER)?, parse(name)?),
        })
    }

    /// As a device's export name.
    pub(super) fn export(&self) -> String {
        match self {
            Self::Volume(name) => name.clone(),
            Self::Snapshot(volume, snapshot) => format!("{volume}@{snapshot}"),
            Self::Image(name) => format!("image:{name}"),
            Self::File(name) => format!("file:{CONTAINER}/{name}"),
        }
    }
}
