//! Table `image`: fixed roots with boot metadata.

use archipelago_model::{AccountName, ImageId, ImageName, Location};

use super::row::{Fields, from_location, from_number};
use super::{CatalogError, Tx, grant};
use crate::grant::Shared;
use crate::resource::Image;

const TABLE: &str = "image";

/// An image as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ImageRow {
    pub image: Image,
    pub root: Location,
}

const SELECT: &str =
    "SELECT id, name, format, os, size, root, source_bytes, sha256, created_ms FROM image";

fn decode(row: &mut Fields<'_>) -> Result<ImageRow, CatalogError> {
    let id = ImageId::new(row.number()?);
    let (name, format, os, size) = (row.parsed()?, row.text()?, row.text_or_null()?, row.size()?);
    let root = row.location()?;
    let (source_bytes, sha256) = (row.number_or_null()?, row.text_or_null()?);
    let created_ms = row.number()?;
    let image = Image { id, name, format, os, size, source_bytes, sha256, created_ms };
    Ok(ImageRow { image, root })
}

/// All, by name.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<ImageRow>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY name"), [], decode)
}

/// By name.
pub(crate) fn find(tx: &Tx<'_>, name: &ImageName) -> Result<Option<ImageRow>, CatalogError> {
    tx.first(TABLE, &format!("{SELECT} WHERE name = $1"), [name.as_str()], decode)
}

/// Whether an account, which is not the first, owns any.
pub(crate) fn any_of(tx: &Tx<'_>, owner: &AccountName) -> Result<bool, CatalogError> {
    let sql = "SELECT id FROM image WHERE name >= $1 AND name < $2 LIMIT 1";
    // What comes behind the slash is '0'.
    let stretch = (format!("{owner}/"), format!("{owner}0"));
    Ok(tx.first(TABLE, sql, stretch, |row| row.number::<u64>())?.is_some())
}

/// Makes an image; false when the name is taken.
pub(crate) fn insert(tx: &Tx<'_>, row: &ImageRow) -> Result<bool, CatalogError> {
    let image = &row.image;
    let rows = tx.execute(
        "INSERT INTO image (id, name, format, os, size, root, source_bytes, sha256, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING",
        (
            from_number(image.id.get()),
            image.name.as_str(),
            &image.format,
            image.os.as_deref(),
            from_number(image.size.bytes()),
            from_location(row.root),
            image.source_bytes.map(from_number),
            image.sha256.as_deref(),
            from_number(image.created_ms),
        ),
    )?;
    Ok(rows == 1)
}

/// What it is called, by identity.
pub(crate) fn name(tx: &Tx<'_>, id: ImageId) -> Result<Option<String>, CatalogError> {
    let sql = "SELECT name FROM image WHERE id = $1";
    tx.first(TABLE, sql, [from_number(id.get())], |row| row.text())
}

/// Removes one; false when there is none.
pub(crate) fn remove(tx: &Tx<'_>, name: &ImageName) -> Result<bool, CatalogError> {
    let Some(row) = find(tx, name)? else { return Ok(false) };
    grant::clear(tx, &Shared::Image(row.image.id))?;
    Ok(tx.execute("DELETE FROM image WHERE name = $1", [name.as_str()])? == 1)
}
