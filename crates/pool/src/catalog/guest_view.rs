//! Table `guest_view`: the disks that image files hold. A row is of a content, by the root and
//! the size of the file: however many names that has, its disk is made once.

use archipelago_layout::Format;
use archipelago_model::{AccountId, ContainerName, Location, Source};

use super::row::{FILE_SOURCE, Fields, from_location, from_number};
use super::{CatalogError, Tx};
use crate::resource::{DiskFile, DiskState};

const TABLE: &str = "guest_view";

/// Which content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    pub root: Location,
    pub size: u64,
}

/// A view as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GuestViewRow {
    pub key: Key,
    pub format: Format,
    pub state: DiskState,
    /// Of the disk, in bytes; 0 while it is not known.
    pub size: u64,
    /// Of the disk, when it is ready.
    pub root: Location,
}

const COLUMNS: &str = "v.file_root, v.file_size, v.format, v.state, v.reason, v.size, v.root";

fn decode(row: &mut Fields<'_>) -> Result<GuestViewRow, CatalogError> {
    let key = Key { root: row.location()?, size: row.number()? };
    let format = match row.text()?.as_str() {
        "qcow2" => Format::Qcow2,
        "vmdk" => Format::Vmdk,
        "vhdx" => Format::Vhdx,
        "vdi" => Format::Vdi,
        other => return Err(row.wrong(other)),
    };
    let (state, reason) = (row.text()?, row.text_or_null()?);
    let state = match (state.as_str(), reason) {
        ("found", None) => DiskState::Found,
        ("packed", None) => DiskState::Unpacking,
        ("ready", None) => DiskState::Ready,
        ("refused", Some(reason)) => DiskState::Refused(reason),
        _ => return Err(row.wrong(&state)),
    };
    Ok(GuestViewRow { key, format, state, size: row.number()?, root: row.location()? })
}

/// Of a content.
pub(crate) fn find(tx: &Tx<'_>, key: Key) -> Result<Option<GuestViewRow>, CatalogError> {
    let sql = format!("SELECT {COLUMNS} FROM guest_view v WHERE file_root = $1 AND file_size = $2");
    tx.first(TABLE, &sql, (from_location(key.root), from_number(key.size)), decode)
}

/// Notes that a content is an image, if some file has it and that is not noted yet.
pub(crate) fn found(tx: &Tx<'_>, key: Key, format: Format) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO guest_view (file_root, file_size, format, state, size, root) \
         SELECT $1, $2, $3, 'found', 0, 0 \
         WHERE EXISTS (SELECT 1 FROM file WHERE root = $1 AND size = $2) \
         ON CONFLICT (file_root, file_size) DO NOTHING",
        (from_location(key.root), from_number(key.size), format.as_str()),
    )?;
    Ok(())
}

/// Those that wait, to be looked at or to be unpacked, with when the newest file of the content
/// came; `limit` at most. Accounts take turns, each with its oldest first.
pub(crate) fn waiting(
    tx: &Tx<'_>,
    packed: bool,
    limit: usize,
) -> Result<Vec<(GuestViewRow, u64)>, CatalogError> {
    let state = if packed { "packed" } else { "found" };
    let sql = format!(
        "SELECT {COLUMNS}, n.changed_ms FROM (SELECT o.*, \
         ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY id) AS turn FROM (\
         SELECT w.file_root, w.file_size, MIN(f.id) AS id, MAX(f.created_ms) AS changed_ms, \
         MIN(c.account_id) AS account_id FROM guest_view w \
         JOIN file f ON f.root = w.file_root AND f.size = w.file_size \
         JOIN container c ON c.id = f.container_id WHERE w.state = $1 \
         GROUP BY w.file_root, w.file_size) o) n \
         JOIN guest_view v ON v.file_root = n.file_root AND v.file_size = n.file_size \
         ORDER BY n.turn, n.id LIMIT $2"
    );
    tx.all(TABLE, &sql, (state, from_number(limit as u64)), |row| Ok((decode(row)?, row.number()?)))
}

/// What the reason begins with where the file, and not the image, was the matter.
pub(crate) const UNREADABLE: &str = "cannot be read: ";

/// Lets a view be tried again that was refused since its file could not be read.
pub(crate) fn retry(tx: &Tx<'_>, key: Key) -> Result<(), CatalogError> {
    let root = from_location(key.root);
    tx.execute(
        "UPDATE guest_view SET state = 'found', reason = NULL, size = 0 \
         WHERE file_root = $1 AND file_size = $2 AND state = 'refused' AND reason LIKE $3",
        (root, from_number(key.size), format!("{UNREADABLE}%")),
    )?;
    Ok(())
}

/// The same of all: when a store is opened, what could not be read may be there again.
pub(crate) fn retry_all(tx: &Tx<'_>) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE guest_view SET state = 'found', reason = NULL, size = 0 \
         WHERE state = 'refused' AND reason LIKE $1",
        [format!("{UNREADABLE}%")],
    )?;
    Ok(())
}

/// Notes how a view that waited stands now; false when there is none any more.
pub(crate) fn settle(tx: &Tx<'_>, row: &GuestViewRow) -> Result<bool, CatalogError> {
    let (state, reason) = match &row.state {
        DiskState::Found => ("found", None),
        DiskState::Unpacking => ("packed", None),
        DiskState::Ready => ("ready", None),
        DiskState::Refused(reason) => ("refused", Some(reason.as_str())),
    };
    let rows = tx.execute(
        "UPDATE guest_view SET state = $1, reason = $2, size = $3, root = $4 \
         WHERE file_root = $5 AND file_size = $6 AND state IN ('found', 'packed')",
        (
            state,
            reason,
            from_number(row.size),
            from_location(row.root),
            from_location(row.key.root),
            from_number(row.key.size),
        ),
    )?;
    Ok(rows == 1)
}

/// Drops the view of a content that no file has any more.
pub(crate) fn forget(tx: &Tx<'_>, root: Location, size: u64) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM guest_view WHERE file_root = $1 AND file_size = $2 \
         AND NOT EXISTS (SELECT 1 FROM file WHERE root = $1 AND size = $2)",
        (from_location(root), from_number(size)),
    )?;
    Ok(())
}

/// Another root has the content of a file.
pub(crate) fn replace_file_root(
    tx: &Tx<'_>,
    old: Location,
    new: Location,
) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE guest_view SET file_root = $1 WHERE file_root = $2",
        (from_location(new), from_location(old)),
    )?;
    Ok(())
}

/// All, each under the oldest name of its content.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<(Source, GuestViewRow)>, CatalogError> {
    let sql = format!(
        "SELECT {FILE_SOURCE}, f.object, {COLUMNS} FROM guest_view v JOIN file f ON f.id = \
         (SELECT MIN(id) FROM file WHERE root = v.file_root AND size = v.file_size) \
         JOIN container c ON c.id = f.container_id ORDER BY c.name, f.object"
    );
    tx.all(TABLE, &sql, [], |row| {
        let source = row.file_source()?;
        Ok((source, decode(row)?))
    })
}

/// How many are of no file: none, ever.
pub(crate) fn orphans(tx: &Tx<'_>) -> Result<u64, CatalogError> {
    let sql = "SELECT COUNT(*) FROM guest_view v WHERE NOT EXISTS \
               (SELECT 1 FROM file WHERE root = v.file_root AND size = v.file_size)";
    Ok(tx.first(TABLE, sql, [], |row| row.number())?.unwrap_or(0))
}

/// The newest versions of an account's objects that are images, by container and name,
/// `limit` at most; of one container, or of all.
pub(crate) fn of_account(
    tx: &Tx<'_>,
    account: AccountId,
    container: Option<&ContainerName>,
    limit: usize,
) -> Result<Vec<DiskFile>, CatalogError> {
    let sql = format!(
        "SELECT c.name, f.object, f.created_ms, {COLUMNS} FROM guest_view v \
         JOIN file f ON f.root = v.file_root AND f.size = v.file_size \
         JOIN container c ON c.id = f.container_id \
         WHERE f.latest = 1 AND f.marker = 0 AND c.account_id = $1 \
         AND ($2 IS NULL OR c.name = $2) ORDER BY c.name, f.object LIMIT $3"
    );
    let name = container.map(ContainerName::as_str);
    let limit = from_number(limit as u64);
    tx.all(TABLE, &sql, (from_number(account.get()), name, limit), |row| {
        let (container, object, created_ms) = (row.parsed()?, row.parsed()?, row.number()?);
        let view = decode(row)?;
        Ok(DiskFile {
            container,
            object,
            format: view.format.as_str().to_owned(),
            state: view.state,
            size: view.size,
            file_bytes: view.key.size,
            created_ms,
        })
    })
}
