//! Table `access_key`: S3 keys, their secrets sealed.

use archipelago_model::UserId;

use super::{both, pair};
use crate::catalog::row::{Fields, from_number};
use crate::catalog::{CatalogError, Tx};
use crate::identity::AccessKey;

const TABLE: &str = "access_key";

/// A key with its secret, which only `secret.key` opens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AccessKeyRow {
    pub key: AccessKey,
    pub sealed: String,
    pub sealed_by: String,
}

fn select() -> String {
    format!(
        "SELECT {}, k.public_id, k.created_ms, k.sealed, k.sealed_by FROM access_key k \
         JOIN user_ u ON u.id = k.user_id JOIN account a ON a.id = k.account_id",
        both()
    )
}

fn decode(row: &mut Fields<'_>) -> Result<AccessKeyRow, CatalogError> {
    let (user, account) = pair(row)?;
    let key = AccessKey { id: row.text()?, user, account, created_ms: row.number()? };
    Ok(AccessKeyRow { key, sealed: row.text()?, sealed_by: row.text()? })
}

/// Of a user, or all: by user, the oldest first.
pub(crate) fn list(tx: &Tx<'_>, user: Option<UserId>) -> Result<Vec<AccessKeyRow>, CatalogError> {
    let sql = format!(
        "{} WHERE $1 IS NULL OR k.user_id = $1 ORDER BY u.name, k.created_ms, k.public_id",
        select()
    );
    tx.all(TABLE, &sql, [user.map(|id| from_number(id.get()))], decode)
}

/// By its public part.
pub(crate) fn find(tx: &Tx<'_>, public_id: &str) -> Result<Option<AccessKeyRow>, CatalogError> {
    tx.first(TABLE, &format!("{} WHERE k.public_id = $1", select()), [public_id], decode)
}

/// How many were sealed by another key than that of this name.
pub(crate) fn sealed_by_others(tx: &Tx<'_>, name: &str) -> Result<u64, CatalogError> {
    let sql = "SELECT COUNT(*) FROM access_key WHERE sealed_by <> $1";
    tx.first(TABLE, sql, [name], |row| row.number())?.ok_or(CatalogError::RowMissing(TABLE))
}

/// Makes one.
pub(crate) fn insert(tx: &Tx<'_>, row: &AccessKeyRow) -> Result<(), CatalogError> {
    let key = &row.key;
    tx.execute(
        "INSERT INTO access_key (public_id, user_id, account_id, sealed, sealed_by, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        (
            key.id.as_str(),
            from_number(key.user.id.get()),
            from_number(key.account.id.get()),
            row.sealed.as_str(),
            row.sealed_by.as_str(),
            from_number(key.created_ms),
        ),
    )?;
    Ok(())
}

/// Removes one.
pub(crate) fn remove(tx: &Tx<'_>, public_id: &str) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM access_key WHERE public_id = $1", [public_id])?;
    Ok(())
}
