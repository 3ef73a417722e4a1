//! Tables `upload` and `part`: objects that come in parts.

use archipelago_model::{AccountId, Location, ObjectName, Source};

use super::container::{self, Change};
use super::quota::{self, Addition};
use super::row::{FILE_SOURCE, Fields, from_location, from_number, to_json};
use super::{CatalogError, Tx, snapshot_file};
use crate::object::{Part, Upload};

const SELECT: &str =
    "SELECT id, uuid, object, meta, created_ms, seal, owner_id, container_id FROM upload";
/// Began before a time and got no part since.
const IDLE: &str = "created_ms < $1 AND NOT EXISTS \
     (SELECT 1 FROM part p WHERE p.upload_id = upload.id AND p.created_ms >= $1)";
const SELECT_PART: &str = "SELECT number, size, etag, checksums, created_ms, root, nonce FROM part";

/// An upload as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UploadRow {
    pub id: u64,
    pub container: u64,
    pub upload: Upload,
}

/// A part as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PartRow {
    pub part: Part,
    pub root: Location,
    /// Of a part that is sealed, in hexadecimal.
    pub nonce: Option<String>,
}

fn decode(row: &mut Fields<'_>) -> Result<UploadRow, CatalogError> {
    let id = row.number()?;
    let (uuid, object, meta) = (row.text()?, row.parsed()?, row.json()?);
    let (created_ms, seal) = (row.number()?, row.json_or_null()?);
    let owner = row.number_or_null()?.map(AccountId::new);
    let upload = Upload { uuid, object, meta, created_ms, seal, owner };
    Ok(UploadRow { id, container: row.number()?, upload })
}

fn decode_part(row: &mut Fields<'_>) -> Result<PartRow, CatalogError> {
    let part = Part {
        number: row.number()?,
        size: row.number()?,
        etag: row.text()?,
        checksums: row.json()?,
        created_ms: row.number()?,
    };
    Ok(PartRow { part, root: row.location()?, nonce: row.text_or_null()? })
}

/// Begins one.
///
/// # Errors
/// `ForSnapshots`.
pub(crate) fn insert(tx: &Tx<'_>, row: &UploadRow) -> Result<(), CatalogError> {
    snapshot_file::refuse_into(tx, row.container)?;
    tx.execute(
        "INSERT INTO upload (id, uuid, container_id, object, meta, created_ms, seal, owner_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT id FROM account WHERE id = $8))",
        (
            from_number(row.id),
            row.upload.uuid.as_str(),
            from_number(row.container),
            row.upload.object.as_str(),
            to_json(&row.upload.meta)?,
            from_number(row.upload.created_ms),
            row.upload.seal.as_ref().map(to_json).transpose()?,
            row.upload.owner.map(|owner| from_number(owner.get())),
        ),
    )?;
    Ok(())
}

/// By identity, of that object.
pub(crate) fn find(
    tx: &Tx<'_>,
    container: u64,
    object: &ObjectName,
    uuid: &str,
) -> Result<Option<UploadRow>, CatalogError> {
    let sql = format!("{SELECT} WHERE uuid = $1 AND container_id = $2 AND object = $3");
    tx.first("upload", &sql, (uuid, from_number(container), object.as_str()), decode)
}

/// Those of a container behind (`object`, `id`), by object and time, `limit` at most.
pub(crate) fn list(
    tx: &Tx<'_>,
    container: u64,
    object: &str,
    id: u64,
    limit: usize,
) -> Result<Vec<UploadRow>, CatalogError> {
    let sql = format!(
        "{SELECT} WHERE container_id = $1 AND (object, id) > ($2, $3) \
         ORDER BY object, id LIMIT $4"
    );
    let limit = from_number(limit as u64);
    tx.all("upload", &sql, (from_number(container), object, from_number(id), limit), decode)
}

/// Those that began before then and got no part since, by time, behind one of them; `limit`
/// at most. Only their times and ids: one that cannot be read must not hide the others.
pub(crate) fn idle_since(
    tx: &Tx<'_>,
    ms: u64,
    behind: (u64, u64),
    limit: usize,
) -> Result<Vec<(u64, u64)>, CatalogError> {
    let sql = format!(
        "SELECT created_ms, id FROM upload WHERE {IDLE} AND (created_ms, id) > ($2, $3) \
         ORDER BY created_ms, id LIMIT $4"
    );
    let behind = (from_number(behind.0), from_number(behind.1));
    let params = (from_number(ms), behind.0, behind.1, from_number(limit as u64));
    tx.all("upload", &sql, params, |row| Ok((row.number()?, row.number()?)))
}

/// One of these, if it still is.
pub(crate) fn still_idle(tx: &Tx<'_>, id: u64, ms: u64) -> Result<Option<UploadRow>, CatalogError> {
    let sql = format!("{SELECT} WHERE {IDLE} AND id = $2");
    tx.first("upload", &sql, (from_number(ms), from_number(id)), decode)
}

/// The identity behind a marker of a listing.
pub(crate) fn id_of(tx: &Tx<'_>, uuid: &str) -> Result<Option<u64>, CatalogError> {
    tx.first("upload", "SELECT id FROM upload WHERE uuid = $1", [uuid], |row| row.number())
}

/// Ends one with its parts.
pub(crate) fn remove(tx: &Tx<'_>, row: &UploadRow) -> Result<(), CatalogError> {
    let id = from_number(row.id);
    let sql = "SELECT COALESCE(SUM(size), 0) FROM part WHERE upload_id = $1";
    let bytes = tx.first("part", sql, [id], |row| row.number::<u64>())?.unwrap_or(0);
    tx.execute("DELETE FROM part WHERE upload_id = $1", [id])?;
    tx.execute("DELETE FROM upload WHERE id = $1", [id])?;
    let change = Change { old_bytes: -bytes.cast_signed(), ..Change::default() };
    container::count(tx, row.container, change)
}

/// Whether a part of so many bytes may be put, before anybody sends it; how many it may have.
pub(crate) fn may_put_part(
    tx: &Tx<'_>,
    upload: &UploadRow,
    number: u32,
    size: u64,
) -> Result<u64, CatalogError> {
    let old = tx.first(
        "part",
        "SELECT size FROM part WHERE upload_id = $1 AND number = $2",
        (from_number(upload.id), number),
        |row| row.number::<u64>(),
    )?;
    let old = old.unwrap_or(0);
    let added = Addition { objects: 0, bytes: size.saturating_sub(old) };
    Ok(quota::ask(tx, upload.container, added)?.saturating_add(old))
}

/// Puts a part, in the place of one of the same number.
///
/// # Errors
/// `Quota`; the transaction is to be given up then.
pub(crate) fn put_part(tx: &Tx<'_>, upload: &UploadRow, row: &PartRow) -> Result<(), CatalogError> {
    quota::within(tx, upload.container, || push_part(tx, upload, row))
}

fn push_part(tx: &Tx<'_>, upload: &UploadRow, row: &PartRow) -> Result<(), CatalogError> {
    let old = tx.first(
        "part",
        "DELETE FROM part WHERE upload_id = $1 AND number = $2 RETURNING size",
        (from_number(upload.id), row.part.number),
        |row| row.number::<u64>(),
    )?;
    tx.execute(
        "INSERT INTO part (upload_id, number, size, root, etag, checksums, created_ms, nonce) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (
            from_number(upload.id),
            row.part.number,
            from_number(row.part.size),
            from_location(row.root),
            row.part.etag.as_str(),
            to_json(&row.part.checksums)?,
            from_number(row.part.created_ms),
            row.nonce.as_deref(),
        ),
    )?;
    let old_bytes = row.part.size.cast_signed() - old.unwrap_or(0).cast_signed();
    container::count(tx, upload.container, Change { old_bytes, ..Change::default() })
}

/// Parts with greater numbers than `after`, `limit` at most.
pub(crate) fn parts(
    tx: &Tx<'_>,
    upload: u64,
    after: u32,
    limit: usize,
) -> Result<Vec<PartRow>, CatalogError> {
    let sql =
        format!("{SELECT_PART} WHERE upload_id = $1 AND number > $2 ORDER BY number LIMIT $3");
    tx.all("part", &sql, (from_number(upload), after, from_number(limit as u64)), decode_part)
}

/// Maps of parts, for what looks at all maps: the object to be, root, size.
pub(crate) fn all_parts(tx: &Tx<'_>) -> Result<Vec<(Source, Location, u64)>, CatalogError> {
    tx.all(
        "part",
        &format!(
            "SELECT {FILE_SOURCE}, u.object, p.root, p.size FROM part p \
             JOIN upload u ON u.id = p.upload_id \
             JOIN container c ON c.id = u.container_id ORDER BY p.upload_id, p.number"
        ),
        [],
        |row| Ok((row.file_source()?, row.location()?, row.number()?)),
    )
}
