//! Table `file`: versions of objects, each a named fixed root.

use archipelago_model::{AccountId, ContainerName, FileId, Location, ObjectName, Source};

use super::archive;
use super::container::{self, Change};
use super::quota::{self, Addition};
use super::row::{FILE_SOURCE, Fields, from_location, from_number, to_json};
use super::upload::{self, UploadRow};
use super::{CatalogError, Tx, grant, guest_view, link, snapshot_file};
use crate::grant::Shared;
use crate::lock::{DefaultLock, LOCK_MODE};
use crate::object::{Container, Meta, Object, Stretch, Versioning, Which};
use crate::resource::File;
use crate::seal::Seal;

const TABLE: &str = "file";

/// Versions whose ends are noted together, in memory.
const NOTED_TOGETHER: i64 = 1000;

/// The newest version of an object, with the name of its container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileRow {
    pub file: File,
    pub root: Location,
    pub seal: Option<Seal>,
}

/// A version as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ObjectRow {
    pub container: u64,
    pub object: Object,
    /// SHA-256 of the content, if somebody said it: hexadecimal.
    pub sha256: Option<String>,
    pub root: Location,
}

/// Where a listing goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum From {
    /// Behind this name.
    Behind(String),
    /// With this name.
    At(String),
    /// With the versions of this name that are older than this one.
    Older(String, FileId),
}

impl From {
    /// A condition on the name, where older versions do not matter.
    const fn condition(&self) -> (&'static str, &String) {
        match self {
            Self::Behind(name) | Self::Older(name, _) => (">", name),
            Self::At(name) => (">=", name),
        }
    }
}

const SELECT: &str = "SELECT f.id, c.name, f.object, f.size, f.root, f.sha256, f.created_ms, \
     f.seal FROM file f JOIN container c ON c.id = f.container_id";
const SELECT_OBJECT: &str = "SELECT container_id, id, object, version, latest, marker, size, \
     etag, meta, created_ms, seal, owner_id, sha256, root FROM file";

fn decode(row: &mut Fields<'_>) -> Result<FileRow, CatalogError> {
    let id = FileId::new(row.number()?);
    let (container, object, size) = (row.parsed()?, row.parsed()?, row.number()?);
    let root = row.location()?;
    let (sha256, created_ms) = (row.text_or_null()?, row.number()?);
    let file = File { id, container, object, size, sha256, created_ms };
    Ok(FileRow { file, root, seal: row.json_or_null()? })
}

fn decode_object(row: &mut Fields<'_>) -> Result<ObjectRow, CatalogError> {
    let container = row.number()?;
    let object = Object {
        id: FileId::new(row.number()?),
        name: row.parsed()?,
        versioned: row.number::<u8>()? == 1,
        latest: row.number::<u8>()? == 1,
        marker: row.number::<u8>()? == 1,
        size: row.number()?,
        etag: row.text_or_null()?,
        meta: row.json()?,
        created_ms: row.number()?,
        seal: row.json_or_null()?,
        owner: row.number_or_null()?.map(AccountId::new),
    };
    Ok(ObjectRow { container, object, sha256: row.text_or_null()?, root: row.location()? })
}

/// A version without what no listing shows, of which ten thousand may be in memory at once.
fn decode_listed(row: &mut Fields<'_>) -> Result<Object, CatalogError> {
    let mut object = decode_object(row)?.object;
    let meta = &mut object.meta;
    meta.headers.retain(|name, _| name == "content-type");
    (meta.user, meta.tags, meta.checksums) = Default::default();
    meta.parts = Vec::new();
    Ok(object)
}

/// All versions with content, of all accounts, but for those that are snapshots: by container
/// and name.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<FileRow>, CatalogError> {
    let sql = format!(
        "{SELECT} WHERE f.marker = 0 AND f.snapshot_id IS NULL ORDER BY c.name, f.object, f.id"
    );
    tx.all(TABLE, &sql, [], decode)
}

/// The same as SOURCEs, with their maps.
pub(crate) fn all_maps(tx: &Tx<'_>) -> Result<Vec<(Source, Location, u64)>, CatalogError> {
    let sql = format!(
        "SELECT {FILE_SOURCE}, f.object, f.root, f.size FROM file f \
         JOIN container c ON c.id = f.container_id \
         WHERE f.marker = 0 AND f.snapshot_id IS NULL ORDER BY c.name, f.object, f.id"
    );
    tx.all(TABLE, &sql, [], |row| Ok((row.file_source()?, row.location()?, row.number()?)))
}

/// The newest versions with names in a stretch that are no markers, `limit` at most.
pub(crate) fn list_newest(
    tx: &Tx<'_>,
    container: u64,
    stretch: &Stretch,
    limit: usize,
) -> Result<Vec<FileRow>, CatalogError> {
    let sql = format!(
        "{SELECT} WHERE f.container_id = $1 AND f.latest = 1 AND f.marker = 0 AND {} LIMIT $4",
        stretch.sql("f.object")
    );
    let (container, limit) = (from_number(container), from_number(limit as u64));
    let params = (container, &stretch.from, stretch.below.as_deref(), limit);
    tx.all(TABLE, &sql, params, decode)
}

/// The newest version, by name, unless it has ended.
pub(crate) fn find(
    tx: &Tx<'_>,
    account: AccountId,
    container: &ContainerName,
    object: &ObjectName,
    now_ms: u64,
) -> Result<Option<FileRow>, CatalogError> {
    let sql = format!(
        "{SELECT} WHERE c.account_id = $1 AND c.name = $2 AND f.object = $3 \
         AND f.latest = 1 AND f.marker = 0 AND (f.ends_ms IS NULL OR f.ends_ms > $4)"
    );
    let now = from_number(now_ms);
    let params = (from_number(account.get()), container.as_str(), object.as_str(), now);
    tx.first(TABLE, &sql, params, decode)
}

/// A version, by name; also one that only says that the object was removed.
pub(crate) fn version(
    tx: &Tx<'_>,
    container: u64,
    object: &ObjectName,
    which: Which,
) -> Result<Option<ObjectRow>, CatalogError> {
    let (condition, id) = match which {
        Which::Latest => ("latest = 1 AND $3 = 0", 0),
        Which::Unversioned => ("version = 0 AND $3 = 0", 0),
        Which::Version(id) => ("version = 1 AND id = $3", id.get()),
    };
    let sql = format!("{SELECT_OBJECT} WHERE container_id = $1 AND object = $2 AND {condition}");
    let params = (from_number(container), object.as_str(), from_number(id));
    tx.first(TABLE, &sql, params, decode_object)
}

/// A version, by identity.
pub(crate) fn get(tx: &Tx<'_>, id: FileId) -> Result<Option<ObjectRow>, CatalogError> {
    let sql = format!("{SELECT_OBJECT} WHERE id = $1");
    tx.first(TABLE, &sql, [from_number(id.get())], decode_object)
}

/// Versions that are to be removed by now, since they said when they end; `limit` at most. Only
/// their ids: one that cannot be read must not hide the others.
pub(crate) fn due(tx: &Tx<'_>, now_ms: u64, limit: usize) -> Result<Vec<FileId>, CatalogError> {
    let sql = "SELECT id FROM file WHERE remove_ms <= $1 ORDER BY remove_ms LIMIT $2";
    tx.all(TABLE, sql, (from_number(now_ms), from_number(limit as u64)), |row| {
        Ok(FileId::new(row.number()?))
    })
}

/// One of these, if it still is.
pub(crate) fn still_due(
    tx: &Tx<'_>,
    id: FileId,
    now_ms: u64,
) -> Result<Option<ObjectRow>, CatalogError> {
    let sql = format!("{SELECT_OBJECT} WHERE id = $1 AND remove_ms <= $2");
    tx.first(TABLE, &sql, (from_number(id.get()), from_number(now_ms)), decode_object)
}

/// Lets one that has ended stay until then: it is locked, or could not be removed.
pub(crate) fn remove_later(tx: &Tx<'_>, id: FileId, remove_ms: u64) -> Result<(), CatalogError> {
    let params = (from_number(remove_ms), from_number(id.get()));
    tx.execute("UPDATE file SET remove_ms = $1 WHERE id = $2", params)?;
    Ok(())
}

/// Lets one that has ended stay, as an older version.
pub(crate) fn remove_never(tx: &Tx<'_>, id: FileId) -> Result<(), CatalogError> {
    tx.execute("UPDATE file SET remove_ms = NULL WHERE id = $1", [from_number(id.get())])?;
    Ok(())
}

/// Takes back what a clock that was ahead has put off.
pub(crate) fn remove_no_later(tx: &Tx<'_>, now_ms: u64, than_ms: u64) -> Result<(), CatalogError> {
    let params = (from_number(than_ms), from_number(now_ms));
    let sql = "UPDATE file SET remove_ms = ends_ms WHERE remove_ms > $1 AND ends_ms <= $2";
    tx.execute(sql, params)?;
    Ok(())
}

/// Notes when versions of a dump end that is from before there were columns for it: as migration
/// 11 does.
pub(super) fn note_ends(tx: &Tx<'_>) -> Result<(), CatalogError> {
    let mut behind = -1;
    loop {
        // Names of settings are in few of them.
        let rows: Vec<(i64, Meta)> = tx.all(
            TABLE,
            "SELECT id, meta FROM file WHERE id > $1 AND ends_ms IS NULL \
             AND meta LIKE '%delete-at%' ORDER BY id LIMIT $2",
            (behind, NOTED_TOGETHER),
            |row| Ok((row.signed()?, row.json()?)),
        )?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        behind = *last;
        for (id, meta) in &rows {
            if let Some(ends) = meta.ends_ms().map(from_number) {
                let sql = "UPDATE file SET ends_ms = $1, remove_ms = $1 WHERE id = $2";
                tx.execute(sql, (ends, *id))?;
            }
        }
    }
}

/// The newest versions of a container that are no markers, by name, `limit` at most.
pub(crate) fn newest(
    tx: &Tx<'_>,
    container: u64,
    from: &From,
    limit: usize,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let (sign, name) = from.condition();
    let sql = format!(
        "{SELECT_OBJECT} WHERE container_id = $1 AND object {sign} $2 AND latest = 1 \
         AND marker = 0 ORDER BY object LIMIT $3"
    );
    let limit = from_number(limit as u64);
    tx.all(TABLE, &sql, (from_number(container), name, limit), decode_object)
}

/// The newest versions with names in a stretch that are no markers, `limit` at most.
pub(crate) fn stretch(
    tx: &Tx<'_>,
    container: u64,
    stretch: &Stretch,
    limit: usize,
) -> Result<Vec<Object>, CatalogError> {
    newest_in(tx, container, stretch, limit, decode_listed)
}

/// The same with everything that is known of them.
pub(crate) fn stretch_whole(
    tx: &Tx<'_>,
    container: u64,
    stretch: &Stretch,
    limit: usize,
) -> Result<Vec<Object>, CatalogError> {
    newest_in(tx, container, stretch, limit, |row| Ok(decode_object(row)?.object))
}

fn newest_in(
    tx: &Tx<'_>,
    container: u64,
    stretch: &Stretch,
    limit: usize,
    decode: impl FnMut(&mut Fields<'_>) -> Result<Object, CatalogError>,
) -> Result<Vec<Object>, CatalogError> {
    let sql = format!(
        "{SELECT_OBJECT} WHERE container_id = $1 AND latest = 1 AND marker = 0 AND {} LIMIT $4",
        stretch.sql("object")
    );
    let (container, limit) = (from_number(container), from_number(limit as u64));
    let params = (container, &stretch.from, stretch.below.as_deref(), limit);
    tx.all(TABLE, &sql, params, decode)
}

/// All versions of a container, by name, the newest of a name first, `limit` at most.
pub(crate) fn versions(
    tx: &Tx<'_>,
    container: u64,
    from: &From,
    limit: usize,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let (sign, name) = from.condition();
    let mut rows = match from {
        From::Older(name, id) => older(tx, container, name, *id, limit)?,
        _ => Vec::new(),
    };
    if rows.len() == limit {
        return Ok(rows);
    }
    let sql = format!(
        "{SELECT_OBJECT} WHERE container_id = $1 AND object {sign} $2 \
         ORDER BY object, id DESC LIMIT $3"
    );
    let limit = from_number((limit - rows.len()) as u64);
    rows.extend(tx.all(TABLE, &sql, (from_number(container), name, limit), decode_object)?);
    Ok(rows)
}

/// Versions of one object that are older than `id`, the newest first, `limit` at most.
pub(crate) fn older(
    tx: &Tx<'_>,
    container: u64,
    object: &str,
    id: FileId,
    limit: usize,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let sql = format!(
        "{SELECT_OBJECT} WHERE container_id = $1 AND object = $2 AND id < $3 \
         ORDER BY id DESC LIMIT $4"
    );
    let (id, limit) = (from_number(id.get()), from_number(limit as u64));
    tx.all(TABLE, &sql, (from_number(container), object, id, limit), decode_object)
}

/// All versions with names in a stretch, of one name the newest first, or last in reverse;
/// `limit` at most.
pub(crate) fn version_stretch(
    tx: &Tx<'_>,
    container: u64,
    stretch: &Stretch,
    limit: usize,
) -> Result<Vec<Object>, CatalogError> {
    let order = if stretch.reverse { "ASC" } else { "DESC" };
    let sql = format!(
        "{SELECT_OBJECT} WHERE container_id = $1 AND {}, id {order} LIMIT $4",
        stretch.sql("object")
    );
    let (container, limit) = (from_number(container), from_number(limit as u64));
    let params = (container, &stretch.from, stretch.below.as_deref(), limit);
    tx.all(TABLE, &sql, params, decode_listed)
}

/// Versions of one object that are older than `id`, the newest first; in reverse, newer ones,
/// the oldest first. `limit` at most.
pub(crate) fn beside(
    tx: &Tx<'_>,
    container: u64,
    object: &str,
    id: FileId,
    reverse: bool,
    limit: usize,
) -> Result<Vec<Object>, CatalogError> {
    let (sign, order) = if reverse { (">", "ASC") } else { ("<", "DESC") };
    let sql = format!(
        "{SELECT_OBJECT} WHERE container_id = $1 AND object = $2 AND id {sign} $3 \
         ORDER BY id {order} LIMIT $4"
    );
    let (id, limit) = (from_number(id.get()), from_number(limit as u64));
    let params = (from_number(container), object, id, limit);
    tx.all(TABLE, &sql, params, decode_listed)
}

/// Versions of all accounts with ids above `id` that may be images: id, root, size; in that
/// order, `limit` at most. Those that are sealed have no root that shows anything.
pub(crate) fn arrived(
    tx: &Tx<'_>,
    id: u64,
    limit: usize,
) -> Result<Vec<(u64, Location, u64)>, CatalogError> {
    let sql = "SELECT id, CASE WHEN seal IS NULL THEN root ELSE 0 END, size FROM file \
               WHERE id > $1 ORDER BY id LIMIT $2";
    tx.all(TABLE, sql, (from_number(id), from_number(limit as u64)), |row| {
        Ok((row.number()?, row.location()?, row.number()?))
    })
}

/// Whether a container has any version of anything.
pub(crate) fn any(tx: &Tx<'_>, container: u64) -> Result<bool, CatalogError> {
    let sql = "SELECT id FROM file WHERE container_id = $1 LIMIT 1";
    Ok(tx.first(TABLE, sql, [from_number(container)], |row| row.number::<u64>())?.is_some())
}

/// Puts a version on top of the others of its name. One without a version id takes the
/// place of the one that has none, too. What had ended by `ended_ms` (`Core::ended_ms`) leaves
/// nothing but the name: who it was shared with sees nothing of what comes.
///
/// # Errors
/// `Quota`; the transaction is to be given up then. `ForSnapshots`.
pub(crate) fn put(tx: &Tx<'_>, row: &ObjectRow, ended_ms: u64) -> Result<(), CatalogError> {
    snapshot_file::refuse_into(tx, row.container)?;
    quota::within(tx, row.container, || push(tx, row, ended_ms))
}

/// The same, of parts of an upload, which ends with it: what these held is free for it.
pub(crate) fn put_parts(
    tx: &Tx<'_>,
    row: &ObjectRow,
    upload: &UploadRow,
    ended_ms: u64,
) -> Result<(), CatalogError> {
    snapshot_file::refuse_into(tx, row.container)?;
    quota::within(tx, row.container, || {
        upload::remove(tx, upload)?;
        push(tx, row, ended_ms)
    })
}

/// Whether a version of so many bytes may be put, before anybody sends it; how many it may have.
pub(crate) fn may_put(
    tx: &Tx<'_>,
    home: &Container,
    name: &ObjectName,
    size: u64,
) -> Result<u64, CatalogError> {
    snapshot_file::refuse_into(tx, home.id)?;
    let is_there = version(tx, home.id, name, Which::Latest)?.is_some_and(|row| !row.object.marker);
    let replaced = match home.versioning {
        Versioning::Enabled => None,
        Versioning::Off | Versioning::Suspended => version(tx, home.id, name, Which::Unversioned)?,
    };
    let replaced = replaced.map_or(0, |row| row.object.size);
    let added = Addition { objects: u64::from(!is_there), bytes: size.saturating_sub(replaced) };
    Ok(quota::ask(tx, home.id, added)?.saturating_add(replaced))
}

/// The same without asking for quotas.
fn push(tx: &Tx<'_>, row: &ObjectRow, ended_ms: u64) -> Result<(), CatalogError> {
    let (object, meta) = (&row.object, locked(tx, row)?);
    let newest = version(tx, row.container, &object.name, Which::Latest)?;
    if newest.as_ref().is_some_and(|old| old.object.has_ended(ended_ms)) {
        unshare(tx, row)?;
    }
    let replaced = match &newest {
        _ if object.versioned => None,
        Some(newest) if !newest.object.versioned => Some(newest.clone()),
        _ => version(tx, row.container, &object.name, Which::Unversioned)?,
    };
    if let Some(old) = &replaced
        && !archive::keep(tx, old, object.created_ms)?
    {
        delete(tx, old)?;
    }
    let mut change = Change {
        versions: 1,
        objects: i64::from(!object.marker),
        bytes: object.size.cast_signed(),
        old_bytes: 0,
    };
    let replaced = replaced.map(|old| old.object.id);
    if let Some(old) = newest.filter(|newest| replaced != Some(newest.object.id)) {
        tx.execute("UPDATE file SET latest = 0 WHERE id = $1", [from_number(old.object.id.get())])?;
        let bytes = old.object.size.cast_signed();
        change.objects -= i64::from(!old.object.marker);
        change.bytes -= bytes;
        change.old_bytes += bytes;
    }
    insert(tx, row, &meta)?;
    if object.marker {
        unshare(tx, row)?;
    }
    container::count(tx, row.container, change)
}

/// Puts a version into a container that is being made and has nothing of its name: neither quotas
/// nor counters, of which [`settle_new`] takes care when all are in.
pub(crate) fn put_new(tx: &Tx<'_>, row: &ObjectRow) -> Result<(), CatalogError> {
    insert(tx, row, &row.object.meta)
}

/// Counts what [`put_new`] put, and asks the quotas.
///
/// # Errors
/// `Quota`; the transaction is to be given up then.
pub(crate) fn settle_new(
    tx: &Tx<'_>,
    container: u64,
    objects: u64,
    bytes: u64,
) -> Result<(), CatalogError> {
    let objects = objects.cast_signed();
    let change =
        Change { versions: objects, objects, bytes: bytes.cast_signed(), ..Change::default() };
    quota::ask(tx, container, Addition { objects: change.versions.unsigned_abs(), bytes })?;
    container::count(tx, container, change)
}

fn insert(tx: &Tx<'_>, row: &ObjectRow, meta: &Meta) -> Result<(), CatalogError> {
    let object = &row.object;
    tx.execute(
        "INSERT INTO file (id, container_id, object, latest, version, marker, size, root, etag, \
         sha256, meta, created_ms, ends_ms, remove_ms, seal, owner_id) \
         VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         (SELECT id FROM account WHERE id = $15))",
        (
            from_number(object.id.get()),
            from_number(row.container),
            object.name.as_str(),
            object.versioned,
            object.marker,
            from_number(object.size),
            from_location(row.root),
            object.etag.as_deref(),
            row.sha256.as_deref(),
            to_json(meta)?,
            from_number(object.created_ms),
            meta.ends_ms().map(from_number),
            meta.ends_ms().map(from_number),
            object.seal.as_ref().map(to_json).transpose()?,
            object.owner.map(|owner| from_number(owner.get())),
        ),
    )?;
    Ok(())
}

/// What is known of a version that comes, with the lock that its container gives where it
/// brings none: here, since every door passes here.
fn locked(tx: &Tx<'_>, row: &ObjectRow) -> Result<Meta, CatalogError> {
    let object = &row.object;
    let mut meta = object.meta.clone();
    if object.versioned && !object.marker && !meta.settings.contains_key(LOCK_MODE) {
        let home = container::get(tx, row.container)?;
        if let Some(lock) = home.as_ref().and_then(DefaultLock::of) {
            lock.lock(&mut meta.settings, object.created_ms);
        }
    }
    Ok(meta)
}

/// Removes a version; the newest of the others comes to the top.
///
/// # Errors
/// `Quota`, where an object comes back and there may be no more of them.
pub(crate) fn remove(tx: &Tx<'_>, row: &ObjectRow) -> Result<(), CatalogError> {
    snapshot_file::refuse(tx, row.object.id)?;
    quota::within(tx, row.container, || pull(tx, row))
}

/// The same without asking for quotas.
fn pull(tx: &Tx<'_>, row: &ObjectRow) -> Result<(), CatalogError> {
    delete(tx, row)?;
    if !row.object.latest {
        return Ok(());
    }
    let below = older(tx, row.container, row.object.name.as_str(), FileId::new(u64::MAX), 1)?;
    // What comes to the top was not what was shared.
    unshare(tx, row)?;
    let Some(top) = below.first() else { return Ok(()) };
    // One that has ended ends again.
    let sql = "UPDATE file SET latest = 1, remove_ms = COALESCE(remove_ms, ends_ms) WHERE id = $1";
    tx.execute(sql, [from_number(top.object.id.get())])?;
    let bytes = top.object.size.cast_signed();
    let objects = i64::from(!top.object.marker);
    let change = Change { versions: 0, objects, bytes, old_bytes: -bytes };
    container::count(tx, row.container, change)
}

/// Moves the only version of an object, with what is known of it by now, to a name that nothing
/// has.
///
/// # Errors
/// `Versions`: no other version may lose the one on top of it. `Quota`.
pub(crate) fn shift(
    tx: &Tx<'_>,
    row: &ObjectRow,
    container: u64,
    name: &ObjectName,
    created_ms: u64,
) -> Result<(), CatalogError> {
    snapshot_file::refuse(tx, row.object.id)?;
    snapshot_file::refuse_into(tx, container)?;
    let old = row.object.name.as_str();
    if older(tx, row.container, old, FileId::new(u64::MAX), 2)?.len() != 1 {
        return Err(CatalogError::Versions(old.to_owned()));
    }
    let (objects, bytes) = (i64::from(!row.object.marker), row.object.size.cast_signed());
    let here = Change { versions: 1, objects, bytes, old_bytes: 0 };
    let gone = Change { versions: -1, objects: -objects, bytes: -bytes, old_bytes: 0 };
    quota::within(tx, container, || {
        tx.execute(
            "UPDATE file SET container_id = $1, object = $2, created_ms = $3, meta = $4 \
             WHERE id = $5",
            (
                from_number(container),
                name.as_str(),
                from_number(created_ms),
                to_json(&row.object.meta)?,
                from_number(row.object.id.get()),
            ),
        )?;
        container::count(tx, row.container, gone)?;
        container::count(tx, container, here)
    })
}

/// The object is gone: whatever gets its name later is shared with nobody.
pub(super) fn unshare(tx: &Tx<'_>, row: &ObjectRow) -> Result<(), CatalogError> {
    unshare_name(tx, row.container, &row.object.name)
}

/// The same, by its name.
pub(super) fn unshare_name(
    tx: &Tx<'_>,
    container: u64,
    name: &ObjectName,
) -> Result<(), CatalogError> {
    link::clear(tx, container, name.as_str())?;
    grant::clear(tx, &Shared::Path(container, name.as_str().to_owned()))
}

fn delete(tx: &Tx<'_>, row: &ObjectRow) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM file WHERE id = $1", [from_number(row.object.id.get())])?;
    let bytes = row.object.size.cast_signed();
    let mut change = Change { versions: -1, ..Change::default() };
    match row.object.latest {
        true => (change.objects, change.bytes) = (-i64::from(!row.object.marker), -bytes),
        false => change.old_bytes = -bytes,
    }
    container::count(tx, row.container, change)?;
    guest_view::forget(tx, row.root, row.object.size)
}

/// Changes what is known of a version, and nothing else.
pub(crate) fn set_meta(tx: &Tx<'_>, object: &Object) -> Result<(), CatalogError> {
    snapshot_file::refuse(tx, object.id)?;
    tx.execute(
        "UPDATE file SET meta = $1, ends_ms = $2, remove_ms = $3 WHERE id = $4",
        (
            to_json(&object.meta)?,
            object.meta.ends_ms().map(from_number),
            object.meta.ends_ms().map(from_number),
            from_number(object.id.get()),
        ),
    )?;
    Ok(())
}
