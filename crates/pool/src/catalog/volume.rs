//! Table `volume`: movable heads.

use archipelago_model::{AccountName, Epoch, Location, VolumeId, VolumeName, VolumeSize};

use super::row::{Fields, from_location, from_number};
use super::{CatalogError, Tx, grant};
use crate::grant::Shared;

const TABLE: &str = "volume";

/// A volume as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VolumeRow {
    pub id: VolumeId,
    pub name: VolumeName,
    pub size: VolumeSize,
    pub root: Location,
    pub lsn: Location,
    pub epoch: Epoch,
    pub parent: Option<String>,
    pub created_ms: u64,
    pub snapshots: u32,
}

/// A head that a checkpoint made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HeadMove {
    pub volume: VolumeId,
    pub epoch: Epoch,
    pub root: Location,
    pub lsn: Location,
}

const SELECT: &str = "SELECT v.id, v.name, v.size, v.root, v.lsn, v.epoch, v.parent, v.created_ms, \
     (SELECT COUNT(*) FROM snapshot s WHERE s.volume_id = v.id) FROM volume v";

fn decode(row: &mut Fields<'_>) -> Result<VolumeRow, CatalogError> {
    Ok(VolumeRow {
        id: VolumeId::new(row.number()?),
        name: row.parsed()?,
        size: row.size()?,
        root: row.location()?,
        lsn: row.location()?,
        epoch: row.epoch()?,
        parent: row.text_or_null()?,
        created_ms: row.number()?,
        snapshots: row.number()?,
    })
}

/// All, by name.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<VolumeRow>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY v.name"), [], decode)
}

/// By name.
pub(crate) fn find(tx: &Tx<'_>, name: &VolumeName) -> Result<Option<VolumeRow>, CatalogError> {
    tx.first(TABLE, &format!("{SELECT} WHERE v.name = $1"), [name.as_str()], decode)
}

/// By id.
pub(crate) fn get(tx: &Tx<'_>, id: VolumeId) -> Result<Option<VolumeRow>, CatalogError> {
    tx.first(TABLE, &format!("{SELECT} WHERE v.id = $1"), [from_number(id.get())], decode)
}

/// Whether an account, which is not the first, owns any.
pub(crate) fn any_of(tx: &Tx<'_>, owner: &AccountName) -> Result<bool, CatalogError> {
    let sql = "SELECT id FROM volume WHERE name >= $1 AND name < $2 LIMIT 1";
    // What comes behind the slash is '0'.
    let stretch = (format!("{owner}/"), format!("{owner}0"));
    Ok(tx.first(TABLE, sql, stretch, |row| row.number::<u64>())?.is_some())
}

/// Makes a volume; false when the name is taken.
pub(crate) fn insert(tx: &Tx<'_>, volume: &VolumeRow) -> Result<bool, CatalogError> {
    let rows = tx.execute(
        "INSERT INTO volume (id, name, size, root, lsn, epoch, parent, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING",
        (
            from_number(volume.id.get()),
            volume.name.as_str(),
            from_number(volume.size.bytes()),
            from_location(volume.root),
            from_location(volume.lsn),
            i64::from(volume.epoch.get()),
            volume.parent.as_deref(),
            from_number(volume.created_ms),
        ),
    )?;
    Ok(rows == 1)
}

/// Gives another name, which the caller knows to be free.
pub(crate) fn rename(tx: &Tx<'_>, id: VolumeId, name: &VolumeName) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE volume SET name = $1 WHERE id = $2",
        (name.as_str(), from_number(id.get())),
    )?;
    Ok(())
}

/// Stores what a checkpoint made, unless its lease is over.
pub(crate) fn move_head(tx: &Tx<'_>, head: &HeadMove) -> Result<(), CatalogError> {
    let rows = tx.execute(
        "UPDATE volume SET root = $1, lsn = $2 WHERE id = $3 AND epoch = $4",
        (
            from_location(head.root),
            from_location(head.lsn),
            from_number(head.volume.get()),
            i64::from(head.epoch.get()),
        ),
    )?;
    if rows == 1 {
        Ok(())
    } else {
        Err(CatalogError::Fenced { volume: head.volume, epoch: head.epoch })
    }
}

/// After a rebuild: all volumes go on with terms behind any that may have been begun
/// since the backup, so that no record of those counts as one of the future.
pub(crate) fn skip_epochs(tx: &Tx<'_>, count: u32) -> Result<(), CatalogError> {
    tx.execute("UPDATE volume SET epoch = epoch + $1", [count])?;
    Ok(())
}

/// Volumes whose head is at `root`.
pub(crate) fn with_root(tx: &Tx<'_>, root: Location) -> Result<Vec<VolumeId>, CatalogError> {
    tx.all(TABLE, "SELECT id FROM volume WHERE root = $1", [from_location(root)], |row| {
        Ok(VolumeId::new(row.number()?))
    })
}

/// Puts a root of the same content in the place of another. Nobody may have the volume
/// open: a handle goes on from the root that it knows.
pub(crate) fn replace_root(
    tx: &Tx<'_>,
    id: VolumeId,
    old: Location,
    new: Location,
) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE volume SET root = $1 WHERE id = $2 AND root = $3",
        (from_location(new), from_number(id.get()), from_location(old)),
    )?;
    Ok(())
}

/// Stores a new size. Heads move without it: a checkpoint that happens to run
/// beside a change of size must not take it back.
pub(crate) fn set_size(
    tx: &Tx<'_>,
    volume: VolumeId,
    size: VolumeSize,
) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE volume SET size = $1 WHERE id = $2",
        (from_number(size.bytes()), from_number(volume.get())),
    )?;
    Ok(())
}

/// Puts a volume on another root and begins a new term, so that what writers of
/// the old one still do is refused. Log records before `head.lsn` are not part of it.
pub(crate) fn replace_head(
    tx: &Tx<'_>,
    head: &HeadMove,
    size: VolumeSize,
) -> Result<(), CatalogError> {
    move_head(tx, head)?;
    set_size(tx, head.volume, size)?;
    next_epoch(tx, head.volume)?;
    Ok(())
}

/// Begins the next term of the lease.
pub(super) fn next_epoch(tx: &Tx<'_>, id: VolumeId) -> Result<Epoch, CatalogError> {
    let epoch = tx
        .first(
            TABLE,
            "UPDATE volume SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch",
            [from_number(id.get())],
            |row| row.number::<u64>(),
        )?
        .ok_or(CatalogError::Fenced { volume: id, epoch: Epoch::new(0) })?;
    u32::try_from(epoch).map(Epoch::new).map_err(|_| CatalogError::Epochs(id))
}

/// Removes a volume whose snapshots are gone.
pub(crate) fn remove(tx: &Tx<'_>, id: VolumeId) -> Result<(), CatalogError> {
    grant::clear(tx, &Shared::Volume(id))?;
    tx.execute("DELETE FROM lease WHERE volume_id = $1", [from_number(id.get())])?;
    tx.execute("DELETE FROM volume WHERE id = $1", [from_number(id.get())])?;
    Ok(())
}
