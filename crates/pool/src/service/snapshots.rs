//! Snapshots: take, list, remove, roll back, compare.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_engine::{self as engine, Checkpoint};
use archipelago_model::{
    Location, SECTOR_BYTES, SectorRange, SnapshotId, SnapshotPath, Source, VolumeId, VolumeName,
    VolumeSize,
};

use super::{SNAPSHOTS_MAX, Service};
use crate::catalog::snapshot::SnapshotRow;
use crate::catalog::volume::{HeadMove, VolumeRow};
use crate::catalog::{Tx, snapshot, snapshot_file, state, volume};
use crate::core::{Core, Fixed, cut_of, shown, snapshot_row, volume_row};
use crate::error::{Error, ErrorKind};
use crate::resource::{DiffRange, Snapshot, Volume};

/// At most so many ranges are listed, in about 24 MiB; more are for `send`, which
/// holds none of them.
const DIFF_RANGES_MAX: usize = 1 << 20;

/// So many ranges are taken from the maps at a time while something else is
/// done with each: no lock of the engine is held meanwhile.
const DIFF_BATCH: usize = 4096;

impl Service {
    /// Takes snapshots of several volumes at one moment, all or none.
    ///
    /// # Errors
    /// `NotFound` (a volume), `AlreadyExists`, `Invalid` (too many, the same twice).
    pub fn snapshot_create(&self, paths: &[SnapshotPath]) -> Result<Vec<Snapshot>, Error> {
        check_paths(paths)?;
        let core = &self.core;
        let ids = core.catalog.read(|tx| {
            let mut ids = BTreeMap::new();
            for path in paths {
                // A taken name is told now, before anything is persisted for it.
                if snapshot::find(tx, &path.volume, &path.snapshot)?.is_some() {
                    return Err(Error::already_exists(format_args!("snapshot '{path}'")));
                }
                ids.insert(&path.volume, volume_row(tx, &path.volume)?.id);
            }
            Ok(ids)
        })?;
        let mut handles: Vec<Arc<engine::Volume>> = Vec::new();
        for (name, id) in &ids {
            // Alone, a volume that is not open is just as the catalog has it. Among
            // others, it must not be written between their cut and its own.
            let handle = match core.attachments.handle(*id) {
                None if ids.len() > 1 => {
                    Some(core.attach(*id).map_err(|e| e.on(format_args!("volume '{name}'")))?)
                }
                handle => handle,
            };
            handles.extend(handle);
        }
        let rows = if handles.is_empty() {
            core.catalog.write(|tx| insert_all(core, tx, paths, &ids, None))?
        } else {
            core.checkpoint(&handles, false, |tx, done| {
                insert_all(core, tx, paths, &ids, Some(done))
            })?
        };
        Ok(rows.into_iter().map(shown_snapshot).collect())
    }

    /// The snapshots of one volume, or of all: by volume, oldest first.
    ///
    /// # Errors
    /// `NotFound` (the volume).
    pub fn snapshots(&self, volume: Option<&VolumeName>) -> Result<Vec<Snapshot>, Error> {
        let rows = self.core.catalog.read(|tx| -> Result<_, Error> {
            match volume {
                None => Ok(snapshot::list(tx)?),
                Some(name) => Ok(snapshot::list_of(tx, volume_row(tx, name)?.id)?),
            }
        })?;
        Ok(rows.into_iter().map(shown_snapshot).collect())
    }

    /// One snapshot.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot(&self, path: &SnapshotPath) -> Result<Snapshot, Error> {
        Ok(shown_snapshot(self.core.catalog.read(|tx| snapshot_row(tx, path))?))
    }

    /// Removes a snapshot. Clones and open devices are unaffected.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot_remove(&self, path: &SnapshotPath) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let row = snapshot_row(tx, path)?;
            snapshot_file::remove(tx, row.id)?;
            Ok(snapshot::remove(tx, row.id)?)
        })
    }

    /// Makes the volume hold what the snapshot holds; what came after is gone,
    /// unless another snapshot has it.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when the volume is attached.
    pub fn snapshot_rollback(&self, path: &SnapshotPath) -> Result<Volume, Error> {
        let core = &self.core;
        let id = core.catalog.read(|tx| snapshot_row(tx, path))?.volume;
        let _alone =
            core.exclude(id).map_err(|error| error.on(format_args!("volume '{}'", path.volume)))?;
        // No writer is left, so that every record of the volume is before this.
        let lsn = core.engine.log_position();
        let no_lease_meanwhile = core.attaching.lock();
        let row = core.catalog.write(|tx| {
            let to = snapshot_row(tx, path)?;
            let row = volume_row(tx, &path.volume)?;
            // Another one may have the name by now, and be open.
            if row.id != id || to.volume != id {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("volume '{}' was replaced meanwhile; try again", path.volume),
                ));
            }
            replace_head(tx, &row, Fixed { root: to.root, size: to.size.bytes() }, to.size, lsn)?;
            Ok::<_, Error>(volume::get(tx, row.id)?.unwrap_or(row))
        })?;
        core.drop_handle(id);
        drop(no_lease_meanwhile);
        // A rebuild from an older one would replay on the map that was given up.
        core.back_up_if_possible();
        Ok(core.shown(row))
    }

    /// The ranges in which `to` differs from `from`, from their maps alone:
    /// ascending, never touching unless `zero` differs. Bytes beyond the end of
    /// `from` count as zeros.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when there are too many ranges to list.
    pub fn diff(&self, from: &Source, to: &Source) -> Result<Vec<DiffRange>, Error> {
        let core = &self.core;
        let (old, new) = (core.fixed(from)?, core.fixed(to)?);
        let (old, new) = (&old.map, &new.map);
        let mut ranges: Vec<DiffRange> = Vec::new();
        core.changes(old.root, new.root, 0..sectors(new.size), |range, zero| {
            let offset = range.start * SECTOR_BYTES;
            let len = (range.end * SECTOR_BYTES).min(new.size) - offset;
            let touches = |last: &DiffRange| last.zero == zero && last.offset + last.len == offset;
            if let Some(last) = ranges.last_mut().filter(|last| touches(last)) {
                last.len += len;
            } else if ranges.len() < DIFF_RANGES_MAX {
                ranges.push(DiffRange { offset, len, zero });
            } else {
                return Err(Error::invalid(format!(
                    "{} and {} differ in more than {DIFF_RANGES_MAX} ranges; \
                     `archipelago snapshot send` has no such limit",
                    shown(from),
                    shown(to)
                )));
            }
            Ok(())
        })?;
        Ok(ranges)
    }
}

impl Core {
    /// Calls `each` with the sectors of `range` that differ between two roots, in
    /// order, and whether they read as zeros in `to`.
    pub(super) fn changes(
        &self,
        from: Location,
        to: Location,
        range: SectorRange,
        mut each: impl FnMut(SectorRange, bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut batch: Vec<(SectorRange, bool)> = Vec::with_capacity(DIFF_BATCH);
        let mut at = range.start;
        while at < range.end {
            batch.clear();
            self.engine.diff(from, to, at..range.end, &mut |changed, zero| {
                batch.push((changed, zero));
                if batch.len() < DIFF_BATCH {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            at = match batch.last() {
                Some((last, _)) if batch.len() == DIFF_BATCH => last.end,
                _ => range.end,
            };
            for (changed, zero) in batch.drain(..) {
                each(changed, zero)?;
            }
        }
        Ok(())
    }

    /// Forgets what the engine has of a volume whose head the catalog has replaced
    /// or removed.
    pub(super) fn drop_handle(&self, id: VolumeId) {
        // Also when nobody is known to have a handle: the checkpointer, refused by
        // the new term, may have forgotten it first.
        self.engine.detach(id);
        if let Some(handle) = self.attachments.handle(id) {
            self.attachments.forget(&handle);
        }
    }
}

/// Puts a volume that nobody has open on another map.
pub(super) fn replace_head(
    tx: &Tx<'_>,
    row: &VolumeRow,
    to: Fixed,
    size: VolumeSize,
    lsn: Location,
) -> Result<(), Error> {
    let head = HeadMove { volume: row.id, epoch: row.epoch, root: to.root, lsn };
    Ok(volume::replace_head(tx, &head, size)?)
}

/// Sectors that hold so many bytes.
pub(super) fn sectors(bytes: u64) -> u64 {
    bytes.div_ceil(SECTOR_BYTES)
}

pub(super) fn shown_snapshot(row: SnapshotRow) -> Snapshot {
    Snapshot {
        id: row.id,
        uuid: row.uuid,
        path: row.path,
        size: row.size,
        created_ms: row.created_ms,
    }
}

/// Makes the row of a snapshot whose name has to be free, and that of its file.
pub(super) fn insert_one(tx: &Tx<'_>, row: SnapshotRow) -> Result<SnapshotRow, Error> {
    if !snapshot::insert(tx, &row)? {
        return Err(Error::already_exists(format_args!("snapshot '{}'", row.path)));
    }
    if !snapshot_file::insert(tx, &row)? {
        tracing::warn!(path = %row.path, "the snapshot is no file: `archipelago status` says why");
    }
    Ok(row)
}

fn check_paths(paths: &[SnapshotPath]) -> Result<(), Error> {
    if paths.is_empty() || paths.len() > SNAPSHOTS_MAX {
        return Err(Error::invalid(format!(
            "one request takes 1 to {SNAPSHOTS_MAX} snapshots, not {}; split it",
            paths.len()
        )));
    }
    let mut seen = HashSet::with_capacity(paths.len());
    match paths.iter().find(|path| !seen.insert(*path)) {
        None => Ok(()),
        Some(twice) => {
            Err(Error::invalid(format!("'{twice}' is named twice; name each snapshot once")))
        }
    }
}

/// Makes the rows: of volumes that were cut from the cut, of others from the catalog.
fn insert_all(
    core: &Core,
    tx: &Tx<'_>,
    paths: &[SnapshotPath],
    ids: &BTreeMap<&VolumeName, VolumeId>,
    done: Option<&Checkpoint>,
) -> Result<Vec<SnapshotRow>, Error> {
    let created_ms = core.now_ms();
    let new_ids = state::take_ids(tx, paths.len() as u64)?;
    let rows = paths.iter().zip(new_ids).map(|(path, new_id)| {
        let id = ids[&path.volume];
        let (root, size) = match done {
            Some(done) => {
                let cut = cut_of(done, id)?;
                let size = VolumeSize::from_bytes(cut.size)
                    .map_err(|error| Error::invalid(error.to_string()))?;
                (cut.root, size)
            }
            None => {
                let row = volume::get(tx, id)?.ok_or_else(|| {
                    Error::not_found(format_args!("volume '{}'", path.volume), "volume ls")
                })?;
                (row.root, row.size)
            }
        };
        let row = SnapshotRow {
            id: SnapshotId::new(new_id),
            uuid: core.new_uuid(),
            volume: id,
            path: path.clone(),
            size,
            root,
            created_ms,
        };
        insert_one(tx, row)
    });
    rows.collect()
}

#[cfg(test)]
mod tests;
