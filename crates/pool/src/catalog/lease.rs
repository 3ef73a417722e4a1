//! Table `lease`: who may write a volume, in which term, until when.

use archipelago_model::{Epoch, VolumeId};

use super::row::from_number;
use super::{CatalogError, Tx, volume};

/// Who holds a volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LeaseRow {
    pub volume: VolumeId,
    pub epoch: Epoch,
    pub owner: String,
    /// `None`: for as long as the owner holds the lock of the data folder.
    pub expires_ms: Option<u64>,
}

/// Makes `owner` the holder in a new term, whoever held the volume before; the
/// caller knows that it may. Writes of older terms are refused from now on.
pub(crate) fn take(
    tx: &Tx<'_>,
    id: VolumeId,
    owner: &str,
    expires_ms: Option<u64>,
) -> Result<Epoch, CatalogError> {
    let epoch = volume::next_epoch(tx, id)?;
    tx.execute(
        "INSERT INTO lease (volume_id, epoch, owner, expires_ms) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (volume_id) DO UPDATE SET \
         epoch = excluded.epoch, owner = excluded.owner, expires_ms = excluded.expires_ms",
        (from_number(id.get()), i64::from(epoch.get()), owner, expires_ms.map(from_number)),
    )?;
    Ok(epoch)
}

/// The present or last holder.
#[cfg_attr(not(test), expect(dead_code, reason = "asked once several hosts share a store"))]
pub(crate) fn get(tx: &Tx<'_>, id: VolumeId) -> Result<Option<LeaseRow>, CatalogError> {
    tx.first(
        "lease",
        "SELECT volume_id, epoch, owner, expires_ms FROM lease WHERE volume_id = $1",
        [from_number(id.get())],
        |row| {
            Ok(LeaseRow {
                volume: VolumeId::new(row.number()?),
                epoch: row.epoch()?,
                owner: row.text()?,
                expires_ms: row.number_or_null()?,
            })
        },
    )
}
