//! Table `public_link`: files that whoever has a link may read.

use archipelago_model::{AccountId, ObjectName};

use super::row::{Fields, from_number};
use super::{CatalogError, Tx};

const TABLE: &str = "public_link";
const SELECT: &str =
    "SELECT hash, sealed, container_id, object, made_by, created_ms, expires_ms FROM public_link";

/// A link as the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LinkRow {
    pub hash: String,
    pub sealed: String,
    pub container: u64,
    pub object: ObjectName,
    pub by: String,
    pub created_ms: u64,
    pub expires_ms: Option<u64>,
}

fn decode(row: &mut Fields<'_>) -> Result<LinkRow, CatalogError> {
    Ok(LinkRow {
        hash: row.text()?,
        sealed: row.text()?,
        container: row.number()?,
        object: row.parsed()?,
        by: row.text()?,
        created_ms: row.number()?,
        expires_ms: row.number_or_null()?,
    })
}

/// All. For `check`.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<LinkRow>, CatalogError> {
    tx.all(TABLE, &format!("{SELECT} ORDER BY container_id, object, hash"), [], decode)
}

/// Of an object: the oldest first.
pub(crate) fn of(
    tx: &Tx<'_>,
    container: u64,
    object: &ObjectName,
) -> Result<Vec<LinkRow>, CatalogError> {
    let sql = format!("{SELECT} WHERE container_id = $1 AND object = $2 ORDER BY created_ms, hash");
    tx.all(TABLE, &sql, (from_number(container), object.as_str()), decode)
}

/// Objects of a container that have any: behind `after`, by name.
pub(crate) fn objects(
    tx: &Tx<'_>,
    container: u64,
    now_ms: u64,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT DISTINCT object FROM public_link WHERE container_id = $1 AND object > $2 \
         AND (expires_ms IS NULL OR expires_ms > $3) ORDER BY object LIMIT $4",
        (from_number(container), after, from_number(now_ms), from_number(limit as u64)),
        |row| row.text(),
    )
}

/// Containers of an account in which anything has one: ids.
pub(crate) fn containers(
    tx: &Tx<'_>,
    account: AccountId,
    now_ms: u64,
) -> Result<Vec<u64>, CatalogError> {
    tx.all(
        TABLE,
        "SELECT c.id FROM container c WHERE c.account_id = $1 AND EXISTS (SELECT 1 \
         FROM public_link l WHERE l.container_id = c.id \
         AND (l.expires_ms IS NULL OR l.expires_ms > $2))",
        (from_number(account.get()), from_number(now_ms)),
        |row| row.number(),
    )
}

/// By the hash of its id.
pub(crate) fn find(tx: &Tx<'_>, hash: &str) -> Result<Option<LinkRow>, CatalogError> {
    tx.first(TABLE, &format!("{SELECT} WHERE hash = $1"), [hash], decode)
}

/// Adds one.
pub(crate) fn insert(tx: &Tx<'_>, row: &LinkRow) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO public_link (hash, sealed, container_id, object, made_by, created_ms, \
         expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (
            &row.hash,
            &row.sealed,
            from_number(row.container),
            row.object.as_str(),
            &row.by,
            from_number(row.created_ms),
            row.expires_ms.map(from_number),
        ),
    )?;
    Ok(())
}

/// Ends those of an object.
pub(crate) fn clear(tx: &Tx<'_>, container: u64, object: &str) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM public_link WHERE container_id = $1 AND object = $2",
        (from_number(container), object),
    )?;
    Ok(())
}

/// Ends those of a container.
pub(crate) fn clear_container(tx: &Tx<'_>, container: u64) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM public_link WHERE container_id = $1", [from_number(container)])?;
    Ok(())
}
