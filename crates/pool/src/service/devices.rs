//! Devices, for drivers: by the names under which NBD exports them.

use std::sync::Arc;

use archipelago_model::{SnapshotPath, Source, VolumeName};

use super::Service;
use crate::catalog::{container, file, image, snapshot, snapshot_file, volume};
use crate::core::{OPERATOR, catalog_root, shown, snapshot_row, volume_row};
use crate::device::{Device, Target};
use crate::error::{Error, ErrorKind};
use crate::object::Stretch;

/// Files in the list of exports at most: it is made in memory, and anybody may open them all.
const FILES_LISTED_MAX: usize = 10_000;

impl Service {
    /// Opens a device by its NBD export name: `VOL`, `VOL@SNAP`, `image:NAME`
    /// or `file:CONTAINER/OBJECT`. Only a volume can be written.
    ///
    /// # Errors
    /// `NotFound` (also for what is no name at all), `InUse`.
    pub fn open_device(&self, export: &str) -> Result<Arc<Device>, Error> {
        let source = parse(export)?;
        let label = shown(&source);
        let device = match &source {
            Source::Volume(name) => {
                self.open_volume(name, &label).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => error,
                    _ => error.on(&label),
                })?
            }
            fixed => self.open_fixed(fixed, &label)?,
        };
        Ok(Arc::new(device))
    }

    fn open_volume(&self, name: &VolumeName, label: &str) -> Result<Device, Error> {
        let core = &self.core;
        let id = core.catalog.read(|tx| volume_row(tx, name))?.id;
        // Counted before the lease is taken: nobody removes it in between.
        let attached = core.attachments.attach(id)?;
        let handle = core.attach(id)?;
        let target = Target::Volume { handle, _attached: Some(attached) };
        Ok(Device::new(Arc::clone(core), label.to_owned(), target, Some(id)))
    }

    fn open_fixed(&self, source: &Source, label: &str) -> Result<Device, Error> {
        let core = &self.core;
        let _resolving = core.resolving.read_recursive();
        let (map, family) = core.catalog.read(|tx| -> Result<_, Error> {
            let family = match source {
                Source::Snapshot(path) => Some(snapshot_row(tx, path)?.volume),
                _ => None,
            };
            Ok((catalog_root(tx, source, core.now_ms())?, family))
        })?;
        let view =
            core.engine.view(map.root, map.size).map_err(|error| Error::from(error).on(label))?;
        Ok(Device::new(Arc::clone(core), label.to_owned(), Target::Fixed(view), family))
    }

    /// The export names of everything; of files, the first [`FILES_LISTED_MAX`].
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn exports(&self) -> Result<Vec<String>, Error> {
        self.core.catalog.read(|tx| {
            let mut names = Vec::new();
            names.extend(volume::list(tx)?.iter().map(|row| row.name.to_string()));
            names.extend(snapshot::list(tx)?.iter().map(|row| row.path.to_string()));
            let images = image::list(tx)?;
            names.extend(images.iter().map(|row| format!("image:{}", row.image.name)));
            // Those that are snapshots need no second name.
            let own = snapshot_file::has_home(tx)?;
            let mut left = FILES_LISTED_MAX;
            for home in container::list(tx, OPERATOR, "", left)? {
                if own && home.name.as_str() == snapshot_file::CONTAINER {
                    continue;
                }
                let rows = file::list_newest(tx, home.id, &Stretch::all(), left)?;
                left -= rows.len();
                // What is stored encrypted cannot be read as a map.
                let files = rows.iter().filter(|row| row.seal.is_none()).map(|row| &row.file);
                names.extend(files.map(|file| format!("file:{}/{}", file.container, file.object)));
                if left == 0 {
                    break;
                }
            }
            Ok(names)
        })
    }
}

/// An export name is a SOURCE, or a volume or snapshot without its kind.
pub(super) fn parse(export: &str) -> Result<Source, Error> {
    let parsed = if export.contains(':') {
        export.parse::<Source>().ok()
    } else if export.contains('@') {
        export.parse::<SnapshotPath>().ok().map(Source::Snapshot)
    } else {
        export.parse::<VolumeName>().ok().map(Source::Volume)
    };
    parsed.ok_or_else(|| {
        let start: String = export.chars().take(64).flat_map(char::escape_default).collect();
        Error::new(
            ErrorKind::NotFound,
            format!(
                "'{start}' is no export: ask for VOL, VOL@SNAP, image:NAME or file:CONTAINER/OBJECT"
            ),
        )
    })
}

#[cfg(test)]
mod tests;
