//! Column `part_checksums` of table `file`: up to 10 000 of a kind, which nobody reads but who
//! asks for them, or copies the object.

use std::collections::BTreeMap;

use archipelago_model::FileId;

use super::row::{from_number, to_json};
use super::{CatalogError, Tx};

/// Checksums in base64, by their names in headers, in the order of the parts.
pub(crate) type PartChecksums = BTreeMap<String, Vec<String>>;

/// Those of the parts of a version; `None` when it has none.
pub(crate) fn of(tx: &Tx<'_>, id: FileId) -> Result<Option<PartChecksums>, CatalogError> {
    let sql = "SELECT part_checksums FROM file WHERE id = $1";
    Ok(tx.first("file", sql, [from_number(id.get())], |row| row.json_or_null())?.flatten())
}

/// Gives a version that was put in this transaction those of its parts.
pub(crate) fn set(tx: &Tx<'_>, id: FileId, sums: &PartChecksums) -> Result<(), CatalogError> {
    let params = (to_json(sums)?, from_number(id.get()));
    tx.execute("UPDATE file SET part_checksums = $1 WHERE id = $2", params)?;
    Ok(())
}
