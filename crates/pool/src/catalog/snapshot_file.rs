//! Rows of table `file` that are snapshots: `snapshots/VOL@SNAP` of the first account. They come,
//! are called and go with their snapshots, and no door of files changes them.
//!
//! They are in a container that the store made for them and marked: who may read a container of
//! somebody else was not said of snapshots. Nothing else comes into it, so that nobody has the
//! name of a snapshot before it.

use std::collections::HashSet;

use archipelago_model::{
    AccountId, ContainerName, FileId, ObjectName, SnapshotId, SnapshotPath, VolumeId, VolumeName,
};

use super::container::{self, Change};
use super::row::{from_location, from_number};
use super::snapshot::{self, SnapshotRow};
use super::{CatalogError, Tx, file, grant, guest_view, lifecycle, state, upload};
use crate::object::{Container, Versioning};

/// The container.
pub(crate) const CONTAINER: &str = "snapshots";

/// Whose it is.
const ACCOUNT: AccountId = AccountId::new(0);

const TABLE: &str = "file";

/// The name of a snapshot as an object; it fits: both parts have 128 bytes at most.
fn name(path: &SnapshotPath) -> Result<ObjectName, CatalogError> {
    path.to_string().parse().map_err(|error: archipelago_model::NameError| CatalogError::Row {
        table: "snapshot",
        column: 0,
        what: error.to_string(),
    })
}

fn container_name() -> Result<ContainerName, CatalogError> {
    CONTAINER.parse().map_err(|error: archipelago_model::NameError| CatalogError::Row {
        table: "container",
        column: 0,
        what: error.to_string(),
    })
}

/// Makes the file of a snapshot. Gives false where there is none: somebody else has a container
/// of that name, and who may read that was not said of snapshots.
pub(crate) fn insert(tx: &Tx<'_>, row: &SnapshotRow) -> Result<bool, CatalogError> {
    if !is_file(row) {
        return Ok(true);
    }
    match container::of_snapshots(tx)? {
        Some(home) => push(tx, home, row).map(|()| true),
        // With those of snapshots from when there could be none.
        None => fill(tx),
    }
}

/// Only snapshots of the first account are files: who may read its containers is not to read what
/// is of others.
fn is_file(row: &SnapshotRow) -> bool {
    row.path.volume.owner().is_none()
}

/// Not as other files are put: no quota keeps anybody from taking a snapshot, and its size counts
/// nowhere.
fn push(tx: &Tx<'_>, home: u64, row: &SnapshotRow) -> Result<(), CatalogError> {
    let id = state::take_id(tx)?;
    // Nobody has read all of it: it has no MD5.
    tx.execute(
        "INSERT INTO file (id, container_id, object, size, root, created_ms, snapshot_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (
            from_number(id),
            from_number(home),
            name(&row.path)?.as_str(),
            from_number(row.size.bytes()),
            from_location(row.root),
            from_number(row.created_ms),
            from_number(row.id.get()),
        ),
    )?;
    container::count(tx, home, Change { versions: 1, objects: 1, ..Change::default() })
}

/// Makes the files of all snapshots that have none, and the container; false if there can be
/// none.
fn fill(tx: &Tx<'_>) -> Result<bool, CatalogError> {
    let (mut home, called) = (container::of_snapshots(tx)?, container_name()?);
    if home.is_none() && container::find(tx, ACCOUNT, &called)?.is_some() {
        return Ok(false);
    }
    let sql = "SELECT id FROM snapshot s WHERE NOT EXISTS \
               (SELECT 1 FROM file WHERE snapshot_id = s.id)";
    let without: HashSet<u64> =
        tx.all("snapshot", sql, [], |row| row.number())?.into_iter().collect();
    if without.is_empty() {
        return Ok(true);
    }
    let rows = snapshot::list(tx)?;
    for row in rows.iter().filter(|row| is_file(row) && without.contains(&row.id.get())) {
        let home = match home {
            Some(home) => home,
            None => {
                let id = state::take_id(tx)?;
                container::insert(tx, id, ACCOUNT, &called, row.created_ms)?;
                container::give_to_snapshots(tx, id)?;
                *home.insert(id)
            }
        };
        push(tx, home, row)?;
    }
    Ok(true)
}

/// Removes the file of a snapshot that goes.
pub(crate) fn remove(tx: &Tx<'_>, id: SnapshotId) -> Result<(), CatalogError> {
    let sql = "DELETE FROM file WHERE snapshot_id = $1 RETURNING container_id, object, root, size";
    let found = tx.first(TABLE, sql, [from_number(id.get())], |row| {
        let at = (row.number::<u64>()?, row.parsed::<ObjectName>()?);
        Ok((at, row.location()?, row.number::<u64>()?))
    })?;
    let Some(((home, object), root, size)) = found else { return Ok(()) };
    file::unshare_name(tx, home, &object)?;
    container::count(tx, home, Change { versions: -1, objects: -1, ..Change::default() })?;
    guest_view::forget(tx, root, size)
}

/// Removes those of a volume that goes.
pub(crate) fn remove_of(tx: &Tx<'_>, volume: VolumeId) -> Result<(), CatalogError> {
    snapshot::list_of(tx, volume)?.into_iter().try_for_each(|row| remove(tx, row.id))
}

/// Calls those of a volume as it will be called: no other volume has that name, and so no file.
pub(crate) fn rename_of(
    tx: &Tx<'_>,
    volume: VolumeId,
    to: &VolumeName,
) -> Result<(), CatalogError> {
    let Some(home) = container::of_snapshots(tx)? else { return Ok(()) };
    for row in snapshot::list_of(tx, volume)? {
        let old = name(&row.path)?;
        let to = name(&SnapshotPath { volume: to.clone(), snapshot: row.path.snapshot })?;
        tx.execute(
            "UPDATE file SET object = $1 WHERE snapshot_id = $2",
            (to.as_str(), from_number(row.id.get())),
        )?;
        // What gets the old name later is shared with nobody.
        file::unshare_name(tx, home, &old)?;
    }
    Ok(())
}

/// When the store is opened: makes the files of snapshots that have none, of those from before
/// there were any.
///
/// Older programs put them into any container of that name. One that cannot have been meant for
/// anything else is the store's own from now on; in others no snapshot stays.
pub(crate) fn adopt(tx: &Tx<'_>) -> Result<(), CatalogError> {
    if container::of_snapshots(tx)?.is_none()
        && let Some(found) = container::find(tx, ACCOUNT, &container_name()?)?
    {
        if is_only_theirs(tx, &found)? {
            container::give_to_snapshots(tx, found.id)?;
        } else {
            let sql = "SELECT snapshot_id FROM file WHERE container_id = $1 \
                       AND snapshot_id IS NOT NULL";
            let inside = tx.all(TABLE, sql, [from_number(found.id)], |row| row.number())?;
            inside.into_iter().try_for_each(|id| remove(tx, SnapshotId::new(id)))?;
        }
    }
    fill(tx).map(drop)
}

/// Whether a container has files of snapshots and nothing else, and nobody said anything of it.
fn is_only_theirs(tx: &Tx<'_>, found: &Container) -> Result<bool, CatalogError> {
    let sql = "SELECT COUNT(snapshot_id), COUNT(*) FROM file WHERE container_id = $1";
    let counted = tx.first(TABLE, sql, [from_number(found.id)], |row| {
        Ok((row.number::<u64>()?, row.number::<u64>()?))
    })?;
    let only_files = counted.is_some_and(|(theirs, all)| theirs > 0 && theirs == all);
    Ok(only_files
        && found.grants.is_empty()
        && found.settings.is_empty()
        && found.versioning == Versioning::Off
        && !grant::any_path(tx, found.id)?
        && upload::list(tx, found.id, "", 0, 1)?.is_empty()
        && lifecycle::get(tx, found.id)?.is_none()
        && container::archiving(tx, ACCOUNT, &found.name, 1)?.is_empty())
}

/// Why snapshots are no files, if there are any and they are none.
pub(crate) fn problem(tx: &Tx<'_>) -> Result<Option<String>, CatalogError> {
    let snapshot =
        tx.first("snapshot", "SELECT id FROM snapshot LIMIT 1", [], |row| row.number::<u64>())?;
    let is_there = snapshot.is_some()
        && container::of_snapshots(tx)?.is_none()
        && container::find(tx, ACCOUNT, &container_name()?)?.is_some();
    Ok(is_there.then(|| {
        format!(
            "snapshots are no files, since container '{CONTAINER}' of the first account is not \
             the store's own: move what is in it elsewhere and remove it; the next snapshot makes \
             the files of all"
        )
    }))
}

/// Whether there is a container of the files of snapshots.
pub(crate) fn has_home(tx: &Tx<'_>) -> Result<bool, CatalogError> {
    Ok(container::of_snapshots(tx)?.is_some())
}

/// Whether it is the container of the files of snapshots, which takes nothing else.
pub(crate) fn is_home(tx: &Tx<'_>, container: u64) -> Result<bool, CatalogError> {
    Ok(container::of_snapshots(tx)? == Some(container))
}

/// Refuses to put anything into the container of the files of snapshots.
pub(crate) fn refuse_into(tx: &Tx<'_>, container: u64) -> Result<(), CatalogError> {
    match is_home(tx, container)? {
        true => Err(CatalogError::ForSnapshots),
        false => Ok(()),
    }
}

/// Refuses to make a container where the store will make that of the files of snapshots.
pub(crate) fn refuse_name(account: AccountId, name: &ContainerName) -> Result<(), CatalogError> {
    match account == ACCOUNT && name.as_str() == CONTAINER {
        true => Err(CatalogError::ForSnapshots),
        false => Ok(()),
    }
}

/// Which snapshot a file is.
pub(crate) fn snapshot_of(tx: &Tx<'_>, file: FileId) -> Result<Option<SnapshotId>, CatalogError> {
    let sql = "SELECT snapshot_id FROM file WHERE id = $1 AND snapshot_id IS NOT NULL";
    tx.first(TABLE, sql, [from_number(file.get())], |row| Ok(SnapshotId::new(row.number()?)))
}

/// Refuses to change a file that is a snapshot.
pub(crate) fn refuse(tx: &Tx<'_>, id: FileId) -> Result<(), CatalogError> {
    match of_snapshot(tx, id)? {
        None => Ok(()),
        Some(object) => Err(CatalogError::OfSnapshot(object)),
    }
}

/// The name of a file that is a snapshot; `None` of others.
pub(crate) fn of_snapshot(tx: &Tx<'_>, id: FileId) -> Result<Option<String>, CatalogError> {
    let sql = "SELECT object FROM file WHERE id = $1 AND snapshot_id IS NOT NULL";
    tx.first(TABLE, sql, [from_number(id.get())], |row| row.text())
}
