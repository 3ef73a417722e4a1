//! Table `account`.

use std::collections::BTreeMap;

use archipelago_model::AccountId;

use crate::catalog::row::{Fields, from_number, to_json};
use crate::catalog::{CatalogError, Tx, grant};
use crate::identity::{Account, Named};

const TABLE: &str = "account";

/// Of `account a`.
pub(super) const COLUMNS: &str = "a.id, a.uuid, a.name, a.enabled, a.quota_bytes, a.created_ms";

pub(super) fn decode(row: &mut Fields<'_>) -> Result<Account, CatalogError> {
    Ok(Account {
        id: AccountId::new(row.number()?),
        uuid: row.uuid()?,
        name: row.parsed()?,
        enabled: row.number::<u8>()? != 0,
        quota_bytes: row.number_or_null()?,
        created_ms: row.number()?,
    })
}

/// All: by name.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<Account>, CatalogError> {
    tx.all(TABLE, &format!("SELECT {COLUMNS} FROM account a ORDER BY a.name"), [], decode)
}

/// By name or uuid.
pub(crate) fn find(tx: &Tx<'_>, named: &Named) -> Result<Option<Account>, CatalogError> {
    let (column, text) = named.column();
    let sql = format!("SELECT {COLUMNS} FROM account a WHERE a.{column} = $1");
    tx.first(TABLE, &sql, [text], decode)
}

/// By identity in the catalog.
pub(crate) fn get(tx: &Tx<'_>, id: AccountId) -> Result<Option<Account>, CatalogError> {
    let sql = format!("SELECT {COLUMNS} FROM account a WHERE a.id = $1");
    tx.first(TABLE, &sql, [from_number(id.get())], decode)
}

/// Whether there is any account or any user.
pub(crate) fn anybody(tx: &Tx<'_>) -> Result<bool, CatalogError> {
    let sql = "SELECT id FROM account UNION ALL SELECT id FROM user_ LIMIT 1";
    Ok(tx.first(TABLE, sql, [], |row| row.number::<u64>())?.is_some())
}

/// Makes one.
pub(crate) fn insert(tx: &Tx<'_>, account: &Account) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO account (id, uuid, name, enabled, quota_bytes, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        (
            from_number(account.id.get()),
            hex::encode(account.uuid),
            account.name.as_str(),
            i64::from(account.enabled),
            account.quota_bytes.map(from_number),
            from_number(account.created_ms),
        ),
    )?;
    Ok(())
}

/// Sets how much it may hold; `None` for no limit.
pub(crate) fn set_quota(
    tx: &Tx<'_>,
    id: AccountId,
    quota_bytes: Option<u64>,
) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE account SET quota_bytes = $1 WHERE id = $2",
        (quota_bytes.map(from_number), from_number(id.get())),
    )?;
    Ok(())
}

/// What doors keep of it.
pub(crate) fn settings(
    tx: &Tx<'_>,
    id: AccountId,
) -> Result<Option<BTreeMap<String, String>>, CatalogError> {
    let sql = "SELECT settings FROM account WHERE id = $1";
    tx.first(TABLE, sql, [from_number(id.get())], |row| row.json())
}

/// Keeps something else of it.
pub(crate) fn set_settings(
    tx: &Tx<'_>,
    id: AccountId,
    settings: &BTreeMap<String, String>,
) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE account SET settings = $1 WHERE id = $2",
        (to_json(settings)?, from_number(id.get())),
    )?;
    Ok(())
}

/// Lets its members in, or not.
pub(crate) fn set_enabled(tx: &Tx<'_>, id: AccountId, enabled: bool) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE account SET enabled = $1 WHERE id = $2",
        (i64::from(enabled), from_number(id.get())),
    )?;
    Ok(())
}

/// Removes one with everything of identity that belongs to it. `false`: something else does
/// (a container), and nothing was removed of the account itself; the transaction is to be
/// given up then.
pub(crate) fn remove(tx: &Tx<'_>, id: AccountId) -> Result<bool, CatalogError> {
    grant::forget_account(tx, id)?;
    let id = from_number(id.get());
    for sql in [
        "DELETE FROM token WHERE account_id = $1",
        "DELETE FROM access_key WHERE account_id = $1",
        "DELETE FROM application_credential WHERE account_id = $1",
        "DELETE FROM group_member WHERE group_id IN (SELECT id FROM group_ WHERE account_id = $1)",
        "DELETE FROM group_ WHERE account_id = $1",
        "DELETE FROM membership WHERE account_id = $1",
        "DELETE FROM account_usage WHERE account_id = $1",
        // What it wrote elsewhere is from now on whose container it is in.
        "UPDATE file SET owner_id = NULL WHERE owner_id = $1",
        "UPDATE upload SET owner_id = NULL WHERE owner_id = $1",
    ] {
        tx.execute(sql, [id])?;
    }
    Ok(tx.attempt("DELETE FROM account WHERE id = $1", [id])?.is_some())
}
