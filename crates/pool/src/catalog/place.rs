//! Table `pool_place`: where segments are. One row until there are more pools.

use super::row::from_number;
use super::{CatalogError, Tx};

/// The id of the place that a store begins with.
pub(crate) const FIRST: u64 = 1;
/// Its name.
const FIRST_NAME: &str = "default";

/// Makes a place.
pub(super) fn insert(tx: &Tx<'_>, id: u64, kind: &str, url: &str) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO pool_place (id, name, kind, url) VALUES ($1, $2, $3, $4)",
        (from_number(id), FIRST_NAME, kind, url),
    )?;
    Ok(())
}

/// The name of a place.
pub(crate) fn name(tx: &Tx<'_>, id: u64) -> Result<String, CatalogError> {
    tx.first("pool_place", "SELECT name FROM pool_place WHERE id = $1", [from_number(id)], |row| {
        row.text()
    })?
    .ok_or(CatalogError::RowMissing("pool_place"))
}
