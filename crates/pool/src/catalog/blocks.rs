//! Tables `block_list`, `file_blocks`, `block`, `block_upload`, `block_waiting`: hashes of blocks, and where
//! accounts have what they stand for.

use archipelago_model::{AccountId, FileId, Location, Source};

use super::row::{FILE_SOURCE, Fields, from_location, from_number};
use super::{CatalogError, Tx};

/// The hashes of a content, as the catalog has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ListRow {
    pub id: u64,
    /// Of all of them together, hexadecimal.
    pub hash: String,
    pub blocks: u64,
    /// They themselves, hexadecimal; else they are in a map.
    pub hashes: Option<String>,
    pub root: Location,
}

/// Where a block is: a stretch of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PlaceRow {
    pub root: Location,
    /// The size of the map, in bytes.
    pub map_bytes: u64,
    pub start: u64,
}

const SELECT_LIST: &str = "SELECT id, hash, blocks, hashes, root FROM block_list";

fn decode_list(row: &mut Fields<'_>) -> Result<ListRow, CatalogError> {
    let (id, hash, blocks) = (row.number()?, row.text()?, row.number()?);
    Ok(ListRow { id, hash, blocks, hashes: row.text_or_null()?, root: row.location()? })
}

/// Keeps a list, which no file has yet.
pub(crate) fn insert(tx: &Tx<'_>, row: &ListRow) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO block_list (id, hash, blocks, hashes, root) VALUES ($1, $2, $3, $4, $5)",
        (
            from_number(row.id),
            row.hash.as_str(),
            from_number(row.blocks),
            row.hashes.as_deref(),
            from_location(row.root),
        ),
    )?;
    Ok(())
}

/// Says that a version shows what a list is of. One that is gone, or has a list, stays so.
pub(crate) fn link(tx: &Tx<'_>, file: FileId, list: u64) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO file_blocks (list_id, file_id) SELECT $1, f.id FROM file f WHERE f.id = $2 \
         AND NOT EXISTS (SELECT 1 FROM file_blocks b WHERE b.file_id = $2)",
        (from_number(list), from_number(file.get())),
    )?;
    Ok(())
}

/// Gives a new version the list that another has, if it has one.
pub(crate) fn link_same(tx: &Tx<'_>, from: FileId, to: FileId) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO file_blocks (list_id, file_id) SELECT list_id, $1 FROM file_blocks \
         WHERE file_id = $2",
        (from_number(to.get()), from_number(from.get())),
    )?;
    Ok(())
}

/// The list of a version.
pub(crate) fn of_file(tx: &Tx<'_>, file: FileId) -> Result<Option<ListRow>, CatalogError> {
    let sql =
        format!("{SELECT_LIST} WHERE id = (SELECT list_id FROM file_blocks WHERE file_id = $1)");
    tx.first("block_list", &sql, [from_number(file.get())], decode_list)
}

/// A list, by identity.
pub(crate) fn get(tx: &Tx<'_>, id: u64) -> Result<Option<ListRow>, CatalogError> {
    tx.first("block_list", &format!("{SELECT_LIST} WHERE id = $1"), [from_number(id)], decode_list)
}

/// Lists that are not in the index, `limit` at most.
pub(crate) fn unindexed(tx: &Tx<'_>, limit: usize) -> Result<Vec<ListRow>, CatalogError> {
    let sql = format!("{SELECT_LIST} WHERE indexed = 0 ORDER BY id LIMIT $1");
    tx.all("block_list", &sql, [from_number(limit as u64)], decode_list)
}

/// Whether a version has a list that is in the index.
pub(crate) fn is_indexed(tx: &Tx<'_>, file: FileId) -> Result<bool, CatalogError> {
    let sql = "SELECT l.indexed FROM file_blocks b JOIN block_list l ON l.id = b.list_id \
         WHERE b.file_id = $1";
    let found = tx.first("block_list", sql, [from_number(file.get())], |row| row.number::<u8>())?;
    Ok(found == Some(1))
}

/// Notes that a list is in the index, if the accounts that have files with it are still these;
/// gives whether they are.
pub(crate) fn set_indexed_for(
    tx: &Tx<'_>,
    list: u64,
    accounts: &[AccountId],
) -> Result<bool, CatalogError> {
    let same = accounts_of(tx, list)? == accounts;
    if same {
        set_indexed(tx, list, true)?;
    }
    Ok(same)
}

/// Notes whether a list is in the index.
pub(crate) fn set_indexed(tx: &Tx<'_>, list: u64, indexed: bool) -> Result<(), CatalogError> {
    tx.execute("UPDATE block_list SET indexed = $1 WHERE id = $2", (indexed, from_number(list)))?;
    Ok(())
}

/// The accounts that have files with a list.
pub(crate) fn accounts_of(tx: &Tx<'_>, list: u64) -> Result<Vec<AccountId>, CatalogError> {
    tx.all(
        "file_blocks",
        "SELECT DISTINCT c.account_id FROM file_blocks b JOIN file f ON f.id = b.file_id \
         JOIN container c ON c.id = f.container_id WHERE b.list_id = $1 \
         ORDER BY c.account_id",
        [from_number(list)],
        |row| Ok(AccountId::new(row.number()?)),
    )
}

/// Notes where an account has a block, if the list is still there: nothing would ever remove what
/// names one that is gone.
pub(crate) fn index(
    tx: &Tx<'_>,
    account: AccountId,
    hash: &str,
    list: u64,
    position: u64,
) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO block (account_id, hash, list_id, position) SELECT $1, $2, $3, $4 \
         WHERE EXISTS (SELECT 1 FROM block_list WHERE id = $3) \
         ON CONFLICT (account_id, hash) DO UPDATE SET list_id = $3, position = $4",
        (from_number(account.get()), hash, from_number(list), from_number(position)),
    )?;
    Ok(())
}

/// Where an account has a block: among what it uploaded, or in a file that it owns. Nothing of
/// others is ever looked at, nor what has ended by itself. `block_bytes`: of one.
pub(crate) fn find(
    tx: &Tx<'_>,
    account: AccountId,
    hash: &str,
    block_bytes: u64,
    now_ms: u64,
) -> Result<Option<PlaceRow>, CatalogError> {
    let account = from_number(account.get());
    let in_file = tx.first(
        "block",
        "SELECT f.root, f.size, b.position FROM block b \
         JOIN file_blocks l ON l.list_id = b.list_id JOIN file f ON f.id = l.file_id \
         JOIN container c ON c.id = f.container_id \
         WHERE b.account_id = $1 AND b.hash = $2 AND c.account_id = $1 \
         AND (f.ends_ms IS NULL OR f.ends_ms > $3) LIMIT 1",
        (account, hash, from_number(now_ms)),
        |row| {
            let (root, map_bytes) = (row.location()?, row.number()?);
            let start = row.number::<u64>()?.saturating_mul(block_bytes);
            Ok(PlaceRow { root, map_bytes, start })
        },
    )?;
    if in_file.is_some() {
        return Ok(in_file);
    }
    tx.first(
        "block_upload",
        "SELECT root, size, start FROM block_upload WHERE account_id = $1 AND hash = $2",
        (account, hash),
        |row| {
            let (root, size, start) = (row.location()?, row.number::<u64>()?, row.number::<u64>()?);
            Ok(PlaceRow { root, map_bytes: start.saturating_add(size), start })
        },
    )
}

/// A block that an account uploaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UploadedRow {
    pub hash: String,
    pub start: u64,
    pub size: u64,
}

/// Keeps a block that came, and one that is there already as long as if it came now.
pub(crate) fn put_upload(
    tx: &Tx<'_>,
    account: AccountId,
    row: &UploadedRow,
    root: Location,
    now_ms: u64,
) -> Result<(), CatalogError> {
    let (account, hash) = (from_number(account.get()), row.hash.as_str());
    let again = "UPDATE block_upload SET created_ms = $1 WHERE account_id = $2 AND hash = $3";
    if tx.execute(again, (from_number(now_ms), account, hash))? > 0 {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO block_upload (account_id, hash, start, size, root, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        (
            account,
            hash,
            from_number(row.start),
            from_number(row.size),
            from_location(root),
            from_number(now_ms),
        ),
    )?;
    tx.execute(
        "INSERT INTO block_waiting (account_id, blocks, bytes) VALUES ($1, 1, $2) \
         ON CONFLICT (account_id) DO UPDATE SET \
         blocks = block_waiting.blocks + 1, bytes = block_waiting.bytes + excluded.bytes",
        (account, from_number(row.size)),
    )?;
    Ok(())
}

/// Lets go of a block that a file has now.
pub(crate) fn remove_upload(
    tx: &Tx<'_>,
    account: AccountId,
    hash: &str,
) -> Result<(), CatalogError> {
    let account = from_number(account.get());
    let sql = "DELETE FROM block_upload WHERE account_id = $1 AND hash = $2 RETURNING size";
    if let Some(size) = tx.first("block_upload", sql, (account, hash), |row| row.number::<u64>())? {
        tx.execute(
            "UPDATE block_waiting SET blocks = blocks - 1, bytes = bytes - $1 \
             WHERE account_id = $2",
            (from_number(size), account),
        )?;
        let none_left = "DELETE FROM block_waiting WHERE account_id = $1 AND blocks <= 0";
        tx.execute(none_left, [account])?;
    }
    Ok(())
}

/// How many blocks of an account wait for a file, and their bytes.
pub(crate) fn waiting(tx: &Tx<'_>, account: AccountId) -> Result<(u64, u64), CatalogError> {
    let found = tx.first(
        "block_waiting",
        "SELECT blocks, bytes FROM block_waiting WHERE account_id = $1",
        [from_number(account.get())],
        |row| Ok((row.number()?, row.number()?)),
    )?;
    Ok(found.unwrap_or_default())
}

/// Whether a block came before a time.
pub(crate) fn is_due(tx: &Tx<'_>, before_ms: u64) -> Result<bool, CatalogError> {
    let sql = "SELECT created_ms FROM block_upload WHERE created_ms < $1 LIMIT 1";
    let found =
        tx.first("block_upload", sql, [from_number(before_ms)], |row| row.number::<u64>())?;
    Ok(found.is_some())
}

/// Lets go of blocks that came before a time, `limit` at most; gives how many.
pub(crate) fn expire(tx: &Tx<'_>, before_ms: u64, limit: usize) -> Result<usize, CatalogError> {
    let due: Vec<(AccountId, String)> = tx.all(
        "block_upload",
        "SELECT account_id, hash FROM block_upload WHERE created_ms < $1 \
         ORDER BY created_ms LIMIT $2",
        (from_number(before_ms), from_number(limit as u64)),
        |row| Ok((AccountId::new(row.number()?), row.text()?)),
    )?;
    for (account, hash) in &due {
        remove_upload(tx, *account, hash)?;
    }
    Ok(due.len())
}

/// Lists behind `after`, and whether a file has each; `limit` at most.
pub(crate) fn used(
    tx: &Tx<'_>,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, bool)>, CatalogError> {
    tx.all(
        "block_list",
        "SELECT l.id, EXISTS (SELECT 1 FROM file_blocks b WHERE b.list_id = l.id) \
         FROM block_list l WHERE l.id > $1 ORDER BY l.id LIMIT $2",
        (from_number(after), from_number(limit as u64)),
        |row| Ok((row.number()?, row.number::<u8>()? == 1)),
    )
}

/// Lets go of what the index has of a list that no file has, `limit` entries at most, and of
/// the list when nothing is left; gives how many.
pub(crate) fn remove_unused(tx: &Tx<'_>, list: u64, limit: usize) -> Result<usize, CatalogError> {
    let id = from_number(list);
    let is_used = "SELECT list_id FROM file_blocks WHERE list_id = $1 LIMIT 1";
    if tx.first("file_blocks", is_used, [id], |row| row.number::<u64>())?.is_some() {
        return Ok(0);
    }
    let entries: Vec<(AccountId, String)> = tx.all(
        "block",
        "SELECT account_id, hash FROM block WHERE list_id = $1 LIMIT $2",
        (id, from_number(limit as u64)),
        |row| Ok((AccountId::new(row.number()?), row.text()?)),
    )?;
    for (account, hash) in &entries {
        tx.execute(
            "DELETE FROM block WHERE account_id = $1 AND hash = $2 AND list_id = $3",
            (from_number(account.get()), hash.as_str(), id),
        )?;
    }
    if entries.len() < limit {
        tx.execute("DELETE FROM block_list WHERE id = $1", [id])?;
    }
    Ok(entries.len())
}

/// Whose blocks that wait are counted wrong: of which account, and what it counts and has.
pub(crate) fn miscounted(tx: &Tx<'_>) -> Result<Vec<(String, String)>, CatalogError> {
    tx.all(
        "block_waiting",
        "SELECT COALESCE(a.name, CAST(o.id AS TEXT)), COALESCE(w.blocks, 0), COALESCE(w.bytes, 0), \
         COALESCE(r.blocks, 0), COALESCE(r.bytes, 0) \
         FROM (SELECT account_id AS id FROM block_upload UNION SELECT account_id FROM block_waiting) o \
         LEFT JOIN account a ON a.id = o.id LEFT JOIN block_waiting w ON w.account_id = o.id \
         LEFT JOIN (SELECT account_id, COUNT(*) AS blocks, SUM(size) AS bytes FROM block_upload \
         GROUP BY account_id) r ON r.account_id = o.id \
         WHERE COALESCE(w.blocks, 0) <> COALESCE(r.blocks, 0) \
         OR COALESCE(w.bytes, 0) <> COALESCE(r.bytes, 0) ORDER BY 1",
        [],
        |row| {
            let name = format!("account:{}", row.text()?);
            let (blocks, bytes) = (row.signed()?, row.signed()?);
            let (has, of) = (row.signed()?, row.signed()?);
            let what = "uploaded blocks that wait for a file";
            Ok((name, format!("it counts {blocks} {what}, of {bytes} bytes, and has {has} of {of}")))
        },
    )
}

/// After a restore: blocks that wait are counted anew.
pub(super) fn recount(tx: &Tx<'_>) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM block_waiting", [])?;
    tx.execute(
        "INSERT INTO block_waiting (account_id, blocks, bytes) \
         SELECT account_id, COUNT(*), SUM(size) FROM block_upload GROUP BY account_id",
        [],
    )?;
    Ok(())
}

/// After a restore: the index is made anew.
pub(crate) fn forget_index(tx: &Tx<'_>) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM block", [])?;
    tx.execute("UPDATE block_list SET indexed = 0", [])?;
    Ok(())
}

/// Maps with hashes and with uploaded blocks, for what looks at all maps: what stands for them,
/// root, size.
pub(crate) fn all_maps(
    tx: &Tx<'_>,
    hash_bytes: u64,
) -> Result<Vec<(Source, Location, u64)>, CatalogError> {
    let mut out: Vec<(Source, Location, u64)> = tx.all(
        "block_list",
        &format!(
            "SELECT {FILE_SOURCE}, f.object, l.root, l.blocks FROM block_list l \
             JOIN file f ON f.id = (SELECT MIN(file_id) FROM file_blocks WHERE list_id = l.id) \
             JOIN container c ON c.id = f.container_id WHERE l.root <> 0 ORDER BY l.id"
        ),
        [],
        |row| {
            let source = row.file_source()?;
            Ok((source, row.location()?, row.number::<u64>()?.saturating_mul(hash_bytes)))
        },
    )?;
    out.extend(tx.all(
        "block_upload",
        "SELECT 'uploaded blocks', COALESCE(MAX(a.name), 'nobody'), b.root, MAX(b.start + b.size) \
         FROM block_upload b LEFT JOIN account a ON a.id = b.account_id \
         GROUP BY b.root ORDER BY b.root",
        [],
        |row| Ok((Source::File(row.parsed()?, row.parsed()?), row.location()?, row.number()?)),
    )?);
    Ok(out)
}
