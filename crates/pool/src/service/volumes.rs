//! Volumes: make, list, rename, resize, remove.

use std::collections::HashSet;

use archipelago_model::{
    Epoch, Location, Source, VOLUME_BYTES_MAX, VolumeId, VolumeName, VolumeSize,
};

use super::grants::{check_new, owner_uuid};
use super::guest_views::disk_root;
use super::{NAMES_MAX, Service};
use crate::catalog::volume::VolumeRow;
use crate::catalog::{Tx, snapshot, snapshot_file, state, volume};
use crate::core::{Core, Fixed, catalog_root, cut_of, shown, volume_row};
use crate::error::{Error, ErrorKind};
use crate::grant::{Action, Subject};
use crate::resource::{Origin, Volume};

/// What the new volumes of one request have in common.
struct Pattern {
    root: Location,
    size: VolumeSize,
    /// No record of the log before this is of these volumes.
    lsn: Location,
    parent: Option<String>,
    created_ms: u64,
}

impl Service {
    /// Makes volumes, all or none.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` (the source), `Invalid` (smaller than the source, too many).
    pub fn volume_create(
        &self,
        names: &[VolumeName],
        origin: &Origin,
    ) -> Result<Vec<Volume>, Error> {
        self.volume_create_by(None, names, origin)
    }

    /// As [`Self::volume_create`], for somebody who has to have the right to clone what is no
    /// file, in the transaction that does it.
    ///
    /// # Errors
    /// As that, and those of [`Self::allow`].
    pub fn volume_create_by(
        &self,
        subject: Option<&Subject>,
        names: &[VolumeName],
        origin: &Origin,
    ) -> Result<Vec<Volume>, Error> {
        check_names(names)?;
        let core = &self.core;
        let rows = match origin {
            Origin::Empty(size) => {
                let pattern = core.pattern(core.engine.log_position(), Location::HOLE, *size, None);
                core.catalog.write(|tx| insert_all(tx, names, &pattern))?
            }
            Origin::Clone { source, size } => {
                self.clone_to(subject, names, source, *size, false)?
            }
            Origin::Raw { source, size } => self.clone_to(subject, names, source, *size, true)?,
        };
        Ok(rows.into_iter().map(|row| core.shown(row)).collect())
    }

    fn clone_to(
        &self,
        subject: Option<&Subject>,
        names: &[VolumeName],
        source: &Source,
        size: Option<VolumeSize>,
        raw: bool,
    ) -> Result<Vec<VolumeRow>, Error> {
        let core = &self.core;
        // Before the transaction: this waits for batches, and a batch may wait for the catalog to
        // give it a segment.
        let lsn = core.engine.log_position();
        let now_ms = core.now_ms();
        let asked = match source {
            Source::Volume(name) => Some(core.catalog.read(|tx| volume_row(tx, name))?.id),
            _ => None,
        };
        let bind = |tx: &Tx<'_>, from: Fixed| {
            Self::allow_in(tx, subject, Action::Clone, source, now_ms)?;
            // The rule was asked about the name: what is cut has to be what has it.
            if let (Some(id), Source::Volume(name)) = (asked, source)
                && volume_row(tx, name)?.id != id
            {
                return Err(replaced(source));
            }
            let size = clone_size(source, from.size, size)?;
            insert_all(tx, names, &core.pattern(lsn, from.root, size, Some(source)))
        };
        if let Some(id) = asked
            && let Some(handle) = core.attachments.handle(id)
        {
            return core.checkpoint(&[handle], false, |tx, done| bind(tx, cut_of(done, id)?));
        }
        // A file that is an image is cloned as the disk that it holds.
        let as_disk = source.is_file() && !raw;
        let held = match as_disk {
            true => core.await_disk(source)?,
            false => {
                core.held(|| core.catalog.read(|tx| catalog_root(tx, source, core.now_ms())))?
            }
        };
        core.catalog.write(|tx| {
            let now = catalog_root(tx, source, core.now_ms())?;
            if as_disk && now != held.map {
                return Err(replaced(source));
            }
            bind(tx, if as_disk { disk_root(tx, source, core.now_ms())? } else { now })
        })
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn volumes(&self) -> Result<Vec<Volume>, Error> {
        let rows = self.core.catalog.read(volume::list)?;
        Ok(rows.into_iter().map(|row| self.core.shown(row)).collect())
    }

    /// One volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume(&self, name: &VolumeName) -> Result<Volume, Error> {
        Ok(self.core.shown(self.core.catalog.read(|tx| volume_row(tx, name))?))
    }

    /// Gives a volume another name; open devices stay.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`.
    pub fn volume_rename(&self, from: &VolumeName, to: &VolumeName) -> Result<Volume, Error> {
        let row = self.core.catalog.write(|tx| {
            let row = volume_row(tx, from)?;
            if from.owner() != to.owner() {
                return Err(Error::invalid(format!(
                    "volume '{from}' stays with its account; `archipelago volume create {to} \
                     --from volume:{from}` makes one like it there"
                )));
            }
            if from != to {
                if volume::find(tx, to)?.is_some() {
                    return Err(Error::already_exists(format_args!("volume '{to}'")));
                }
                snapshot_file::rename_of(tx, row.id, to)?;
                volume::rename(tx, row.id, to)?;
            }
            Ok(VolumeRow { name: to.clone(), ..row })
        })?;
        Ok(self.core.shown(row))
    }

    /// Grows or shrinks a volume. What is cut off is gone: growing again shows zeros.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when it would shrink and is attached.
    pub fn volume_resize(&self, name: &VolumeName, size: VolumeSize) -> Result<Volume, Error> {
        let _one_at_a_time = self.resizing.lock();
        let row = self.core.catalog.read(|tx| volume_row(tx, name))?;
        let resized = if size < row.size {
            self.shrink(row.id, size)
        } else if size > row.size {
            self.grow(&row, size)
        } else {
            Ok(())
        };
        resized.map_err(|error| error.on(format_args!("volume '{name}'")))?;
        self.volume_by_id(row.id, name)
    }

    fn grow(&self, row: &VolumeRow, size: VolumeSize) -> Result<(), Error> {
        let core = &self.core;
        let handle = core.attach(row.id)?;
        core.checkpoint(std::slice::from_ref(&handle), false, |tx, _| {
            Ok(volume::set_size(tx, row.id, size)?)
        })?;
        // Only now: what is written beyond the old end must have an end to be in.
        handle.resize(size)?;
        // A rebuild from an older one would replay writes beyond the old end.
        core.back_up_if_possible();
        Ok(())
    }

    fn shrink(&self, id: VolumeId, size: VolumeSize) -> Result<(), Error> {
        let core = &self.core;
        let _alone = core.exclude(id)?;
        let handle = core.attach(id)?;
        let handles = std::slice::from_ref(&handle);
        // First all there is, so that the cut itself can be dropped if it fails.
        core.checkpoint(handles, false, |_, _| Ok(()))?;
        let stored = core.shrink(&handle, size);
        if stored.is_err() {
            core.drop_handle(id);
        }
        stored?;
        // A rebuild from an older one would replay old writes into what was cut off.
        core.back_up_if_possible();
        Ok(())
    }

    fn volume_by_id(&self, id: VolumeId, name: &VolumeName) -> Result<Volume, Error> {
        let row = self.core.catalog.read(|tx| volume::get(tx, id))?;
        row.map(|row| self.core.shown(row))
            .ok_or_else(|| Error::not_found(format_args!("volume '{name}'"), "volume ls"))
    }

    /// Removes a volume; with `force` its snapshots too, and whatever others than its owner have
    /// open of it by tickets ends. Clones are unaffected.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when it is attached, or has snapshots and not `force`.
    pub fn volume_remove(&self, name: &VolumeName, force: bool) -> Result<(), Error> {
        let core = &self.core;
        let (id, owner) = core
            .catalog
            .read(|tx| Ok::<_, Error>((volume_row(tx, name)?.id, owner_uuid(tx, name.owner())?)))?;
        if force {
            core.end_holds_of_others(id, owner);
        }
        let _alone = core.exclude(id).map_err(|error| error.on(format_args!("volume '{name}'")))?;
        let _no_lease_meanwhile = core.attaching.lock();
        core.catalog.write(|tx| {
            let row = volume::get(tx, id)?
                .ok_or_else(|| Error::not_found(format_args!("volume '{name}'"), "volume ls"))?;
            if row.snapshots > 0 && !force {
                return Err(Error::in_use(format!(
                    "volume '{name}' has {} snapshot{}; remove them first, or remove it with \
                     --force and them with it",
                    row.snapshots,
                    if row.snapshots == 1 { "" } else { "s" },
                )));
            }
            snapshot_file::remove_of(tx, id)?;
            snapshot::remove_of(tx, id)?;
            Ok(volume::remove(tx, id)?)
        })?;
        core.drop_handle(id);
        Ok(())
    }
}

impl Core {
    /// `lsn` is a position of the log and not the hole: a catalog put back from a copy gives ids
    /// that the log may know.
    fn pattern(
        &self,
        lsn: Location,
        root: Location,
        size: VolumeSize,
        parent: Option<&Source>,
    ) -> Pattern {
        let parent = parent.map(ToString::to_string);
        Pattern { root, size, lsn, parent, created_ms: self.now_ms() }
    }
}

fn replaced(source: &Source) -> Error {
    let message = format!("{} was replaced meanwhile; try again", shown(source));
    Error::new(ErrorKind::Unavailable, message)
}

fn check_names(names: &[VolumeName]) -> Result<(), Error> {
    if names.is_empty() || names.len() > NAMES_MAX {
        return Err(Error::invalid(format!(
            "one request makes 1 to {NAMES_MAX} volumes, not {}; split it",
            names.len()
        )));
    }
    let mut seen = HashSet::with_capacity(names.len());
    match names.iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(twice) => {
            Err(Error::invalid(format!("'{twice}' is named twice; name each volume once")))
        }
    }
}

fn insert_all(
    tx: &Tx<'_>,
    names: &[VolumeName],
    pattern: &Pattern,
) -> Result<Vec<VolumeRow>, Error> {
    let ids = state::take_ids(tx, names.len() as u64)?;
    let rows = names.iter().zip(ids).map(|(name, id)| {
        let row = VolumeRow {
            id: VolumeId::new(id),
            name: name.clone(),
            size: pattern.size,
            root: pattern.root,
            lsn: pattern.lsn,
            epoch: Epoch::new(0),
            parent: pattern.parent.clone(),
            created_ms: pattern.created_ms,
            snapshots: 0,
        };
        insert_one(tx, row)
    });
    rows.collect()
}

/// Makes the row of a volume whose name has to be free.
pub(super) fn insert_one(tx: &Tx<'_>, row: VolumeRow) -> Result<VolumeRow, Error> {
    check_new(tx, row.name.owner(), &format!("volume '{}'", row.name))?;
    if volume::insert(tx, &row)? {
        Ok(row)
    } else {
        Err(Error::already_exists(format_args!("volume '{}'", row.name)))
    }
}

/// The size of a clone: the source's in whole sectors, or a larger one.
fn clone_size(
    source: &Source,
    source_bytes: u64,
    wanted: Option<VolumeSize>,
) -> Result<VolumeSize, Error> {
    let Some(wanted) = wanted else {
        let whole = source_bytes.checked_next_multiple_of(archipelago_model::SECTOR_BYTES);
        return VolumeSize::from_bytes(whole.unwrap_or(u64::MAX)).map_err(|_| {
            Error::invalid(format!(
                "{} has {source_bytes} bytes; a volume has 512 to {VOLUME_BYTES_MAX}: give a \
                 size with --size",
                shown(source)
            ))
        });
    };
    if wanted.bytes() < source_bytes {
        return Err(Error::invalid(format!(
            "{} bytes are too few for {}, which has {source_bytes}; a clone may be larger than \
             its source, never smaller",
            wanted.bytes(),
            shown(source)
        )));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests;
