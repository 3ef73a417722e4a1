//! Tables `container` and `file`: named fixed roots.

use archipelago_model::{ContainerName, FileId, Location, ObjectName};

use super::row::{Fields, from_location, from_number};
use super::{CatalogError, Tx};
use crate::resource::File;

const TABLE: &str = "file";

/// A file as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileRow {
    pub file: File,
    pub root: Location,
}

const SELECT: &str = "SELECT f.id, c.name, f.object, f.size, f.root, f.sha256, f.created_ms \
     FROM file f JOIN container c ON c.id = f.container_id";

fn decode(row: &mut Fields<'_>) -> Result<FileRow, CatalogError> {
    let id = FileId::new(row.number()?);
    let (container, object, size) = (row.parsed()?, row.parsed()?, row.number()?);
    let root = row.location()?;
    let (sha256, created_ms) = (row.text_or_null()?, row.number()?);
    Ok(FileRow { file: File { id, container, object, size, sha256, created_ms }, root })
}

/// All: by container and name.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<FileRow>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY c.name, f.object"), [], decode)
}

/// Those of a container, by name; `None` when there is no such container.
pub(crate) fn list_of(
    tx: &Tx<'_>,
    container: &ContainerName,
) -> Result<Option<Vec<FileRow>>, CatalogError> {
    if container_id(tx, container)?.is_none() {
        return Ok(None);
    }
    let sql = format!("{SELECT} WHERE c.name = $1 ORDER BY f.object");
    tx.all(TABLE, &sql, [container.as_str()], decode).map(Some)
}

/// By name.
pub(crate) fn find(
    tx: &Tx<'_>,
    container: &ContainerName,
    object: &ObjectName,
) -> Result<Option<FileRow>, CatalogError> {
    let sql = format!("{SELECT} WHERE c.name = $1 AND f.object = $2");
    tx.first(TABLE, &sql, (container.as_str(), object.as_str()), decode)
}

fn container_id(tx: &Tx<'_>, name: &ContainerName) -> Result<Option<u64>, CatalogError> {
    tx.first("container", "SELECT id FROM container WHERE name = $1", [name.as_str()], |row| {
        row.number()
    })
}

/// Makes a file, in the place of one of the same name, and the container when
/// there is none; `new_id` is for that.
pub(crate) fn put(tx: &Tx<'_>, row: &FileRow, new_id: u64) -> Result<(), CatalogError> {
    let file = &row.file;
    tx.execute(
        "INSERT INTO container (id, name, created_ms) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO NOTHING",
        (from_number(new_id), file.container.as_str(), from_number(file.created_ms)),
    )?;
    let container =
        container_id(tx, &file.container)?.ok_or(CatalogError::RowMissing("container"))?;
    tx.execute(
        "DELETE FROM file WHERE container_id = $1 AND object = $2",
        (from_number(container), file.object.as_str()),
    )?;
    tx.execute(
        "INSERT INTO file (id, container_id, object, size, root, sha256, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (
            from_number(file.id.get()),
            from_number(container),
            file.object.as_str(),
            from_number(file.size),
            from_location(row.root),
            file.sha256.as_deref(),
            from_number(file.created_ms),
        ),
    )?;
    Ok(())
}

/// Removes one.
pub(crate) fn remove(tx: &Tx<'_>, id: FileId) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM file WHERE id = $1", [from_number(id.get())])?;
    Ok(())
}
