//! Column `seal_parts` of table `file`: up to 10 000 lengths and nonces, which nobody reads but
//! who opens or copies the content.

use archipelago_model::FileId;

use super::row::{from_number, to_json};
use super::{CatalogError, Tx};
use crate::seal::PiecesText;

/// Lengths and nonces of the parts of a sealed version that came in parts.
pub(crate) fn parts(tx: &Tx<'_>, id: FileId) -> Result<Option<PiecesText>, CatalogError> {
    let sql = "SELECT seal_parts FROM file WHERE id = $1";
    Ok(tx.first("file", sql, [from_number(id.get())], |row| row.json_or_null())?.flatten())
}

/// Gives a version that was put in this transaction those of its parts.
pub(crate) fn set_parts(tx: &Tx<'_>, id: FileId, parts: &PiecesText) -> Result<(), CatalogError> {
    let params = (to_json(parts)?, from_number(id.get()));
    tx.execute("UPDATE file SET seal_parts = $1 WHERE id = $2", params)?;
    Ok(())
}
