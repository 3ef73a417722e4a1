//! Rows of table `file` that are snapshots: `snapshots/VOL@SNAP` of the first account. They come,
//! are called and go with their snapshots, and no door of files changes them.

use archipelago_model::{
    AccountId, ContainerName, FileId, ObjectName, SnapshotId, SnapshotPath, VolumeId, VolumeName,
};

use super::file::{self, ObjectRow};
use super::row::from_number;
use super::snapshot::{self, SnapshotRow};
use super::{CatalogError, Tx, container, state};
use crate::object::{Meta, Object, Which};

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

/// Makes the file of a snapshot; false when there is, or was and is kept, another of its name.
pub(crate) fn insert(tx: &Tx<'_>, row: &SnapshotRow) -> Result<bool, CatalogError> {
    let container = container_name()?;
    let home = match container::find(tx, ACCOUNT, &container)? {
        Some(home) => home.id,
        None => {
            let id = state::take_id(tx)?;
            container::insert(tx, id, ACCOUNT, &container, row.created_ms)?;
            id
        }
    };
    let name = name(&row.path)?;
    if !file::older(tx, home, name.as_str(), FileId::new(u64::MAX), 1)?.is_empty() {
        return Ok(false);
    }
    let object = Object {
        id: FileId::new(state::take_id(tx)?),
        name,
        versioned: false,
        latest: true,
        marker: false,
        size: row.size.bytes(),
        // Nobody has read all of it: doors say that it has no MD5.
        etag: None,
        meta: Meta::default(),
        created_ms: row.created_ms,
    };
    let id = object.id;
    // A quota does not keep anybody from taking a snapshot; its size counts all the same.
    file::push(tx, &ObjectRow { container: home, object, sha256: None, root: row.root })?;
    tx.execute(
        "UPDATE file SET snapshot_id = $1 WHERE id = $2",
        (from_number(row.id.get()), from_number(id.get())),
    )?;
    Ok(true)
}

/// Removes the file of a snapshot that goes.
pub(crate) fn remove(tx: &Tx<'_>, id: SnapshotId) -> Result<(), CatalogError> {
    let sql = "SELECT container_id, object FROM file WHERE snapshot_id = $1";
    let found = tx.first(TABLE, sql, [from_number(id.get())], |row| {
        Ok((row.number::<u64>()?, row.parsed::<ObjectName>()?))
    })?;
    let Some((container, object)) = found else { return Ok(()) };
    match file::version(tx, container, &object, Which::Unversioned)? {
        Some(row) => file::pull(tx, &row),
        None => Err(CatalogError::RowMissing(TABLE)),
    }
}

/// Removes those of a volume that goes.
pub(crate) fn remove_of(tx: &Tx<'_>, volume: VolumeId) -> Result<(), CatalogError> {
    snapshot::list_of(tx, volume)?.into_iter().try_for_each(|row| remove(tx, row.id))
}

/// Calls those of a volume as it will be called; gives a name that another file has.
pub(crate) fn rename_of(
    tx: &Tx<'_>,
    volume: VolumeId,
    to: &VolumeName,
) -> Result<Option<ObjectName>, CatalogError> {
    let Some(home) = container::find(tx, ACCOUNT, &container_name()?)? else { return Ok(None) };
    for row in snapshot::list_of(tx, volume)? {
        let old = name(&row.path)?;
        let to = name(&SnapshotPath { volume: to.clone(), snapshot: row.path.snapshot })?;
        if !file::older(tx, home.id, to.as_str(), FileId::new(u64::MAX), 1)?.is_empty() {
            return Ok(Some(to));
        }
        tx.execute(
            "UPDATE file SET object = $1 WHERE snapshot_id = $2",
            (to.as_str(), from_number(row.id.get())),
        )?;
        // What gets the old name later is shared with nobody.
        file::unshare_name(tx, home.id, &old)?;
    }
    Ok(None)
}

/// Makes the files of snapshots that have none: of those from before there were any. Gives
/// those whose names other files have.
pub(crate) fn adopt(tx: &Tx<'_>) -> Result<Vec<SnapshotPath>, CatalogError> {
    let sql = "SELECT id FROM snapshot s WHERE NOT EXISTS \
               (SELECT 1 FROM file WHERE snapshot_id = s.id)";
    let without = tx.all("snapshot", sql, [], |row| row.number::<u64>())?;
    if without.is_empty() {
        return Ok(Vec::new());
    }
    let mut taken = Vec::new();
    for row in snapshot::list(tx)? {
        if without.contains(&row.id.get()) && !insert(tx, &row)? {
            taken.push(row.path);
        }
    }
    Ok(taken)
}

/// Refuses to put something on top of a file that is a snapshot.
pub(crate) fn refuse_name(
    tx: &Tx<'_>,
    container: u64,
    object: &ObjectName,
) -> Result<(), CatalogError> {
    let sql = "SELECT object FROM file WHERE container_id = $1 AND object = $2 \
               AND snapshot_id IS NOT NULL";
    match tx.first(TABLE, sql, (from_number(container), object.as_str()), |row| row.text())? {
        None => Ok(()),
        Some(object) => Err(CatalogError::OfSnapshot(object)),
    }
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
