//! Table `snapshot`: fixed roots of volumes.

use archipelago_model::{
    Location, SnapshotId, SnapshotName, SnapshotPath, VolumeId, VolumeName, VolumeSize,
};

use super::row::{Fields, from_location, from_number};
use super::{CatalogError, Tx, grant};
use crate::grant::Shared;

const TABLE: &str = "snapshot";

/// A snapshot as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotRow {
    pub id: SnapshotId,
    pub uuid: [u8; 16],
    pub volume: VolumeId,
    /// With the present name of the volume.
    pub path: SnapshotPath,
    pub size: VolumeSize,
    pub root: Location,
    pub created_ms: u64,
}

const SELECT: &str = "SELECT s.id, s.uuid, s.volume_id, v.name, s.name, s.size, s.root, s.created_ms \
     FROM snapshot s JOIN volume v ON v.id = s.volume_id";

fn decode(row: &mut Fields<'_>) -> Result<SnapshotRow, CatalogError> {
    Ok(SnapshotRow {
        id: SnapshotId::new(row.number()?),
        uuid: row.uuid()?,
        volume: VolumeId::new(row.number()?),
        path: SnapshotPath { volume: row.parsed()?, snapshot: row.parsed()? },
        size: row.size()?,
        root: row.location()?,
        created_ms: row.number()?,
    })
}

/// All: by volume name, oldest first.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<SnapshotRow>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY v.name, s.id"), [], decode)
}

/// Those of a volume, oldest first.
pub(crate) fn list_of(tx: &Tx<'_>, volume: VolumeId) -> Result<Vec<SnapshotRow>, CatalogError> {
    tx.all(
        TABLE,
        &format!("{SELECT} WHERE s.volume_id = $1 ORDER BY s.id"),
        [from_number(volume.get())],
        decode,
    )
}

/// By name.
pub(crate) fn find(
    tx: &Tx<'_>,
    volume: &VolumeName,
    name: &SnapshotName,
) -> Result<Option<SnapshotRow>, CatalogError> {
    tx.first(
        TABLE,
        &format!("{SELECT} WHERE v.name = $1 AND s.name = $2"),
        (volume.as_str(), name.as_str()),
        decode,
    )
}

/// By volume and name.
pub(crate) fn find_of(
    tx: &Tx<'_>,
    volume: VolumeId,
    name: &SnapshotName,
) -> Result<Option<SnapshotRow>, CatalogError> {
    tx.first(
        TABLE,
        &format!("{SELECT} WHERE s.volume_id = $1 AND s.name = $2"),
        (from_number(volume.get()), name.as_str()),
        decode,
    )
}

/// The newest of a volume that is the same as one sent from somewhere.
pub(crate) fn find_uuid(
    tx: &Tx<'_>,
    volume: VolumeId,
    uuid: &[u8; 16],
) -> Result<Option<SnapshotRow>, CatalogError> {
    tx.first(
        TABLE,
        &format!("{SELECT} WHERE s.volume_id = $1 AND s.uuid = $2 ORDER BY s.id DESC"),
        (from_number(volume.get()), hex::encode(uuid)),
        decode,
    )
}

/// What it is called, by identity.
pub(crate) fn name(tx: &Tx<'_>, id: SnapshotId) -> Result<Option<(String, String)>, CatalogError> {
    let sql = format!("{SELECT} WHERE s.id = $1");
    let row = tx.first(TABLE, &sql, [from_number(id.get())], decode)?;
    Ok(row.map(|row| (row.path.volume.to_string(), row.path.snapshot.to_string())))
}

/// Makes a snapshot; false when the name is taken.
pub(crate) fn insert(tx: &Tx<'_>, snapshot: &SnapshotRow) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "INSERT INTO snapshot (id, uuid, volume_id, name, size, root, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (volume_id, name) DO NOTHING",
        (
            from_number(snapshot.id.get()),
            hex::encode(snapshot.uuid),
            from_number(snapshot.volume.get()),
            snapshot.path.snapshot.as_str(),
            from_number(snapshot.size.bytes()),
            from_location(snapshot.root),
            from_number(snapshot.created_ms),
        ),
    )?;
    Ok(rows == 1)
}

/// Removes one.
pub(crate) fn remove(tx: &Tx<'_>, id: SnapshotId) -> Result<(), CatalogError> {
    grant::clear(tx, &Shared::Snapshot(id))?;
    tx.execute("DELETE FROM snapshot WHERE id = $1", [from_number(id.get())])?;
    Ok(())
}

/// Removes those of a volume.
pub(crate) fn remove_of(tx: &Tx<'_>, volume: VolumeId) -> Result<(), CatalogError> {
    grant::clear_snapshots(tx, volume)?;
    tx.execute("DELETE FROM snapshot WHERE volume_id = $1", [from_number(volume.get())])?;
    Ok(())
}
