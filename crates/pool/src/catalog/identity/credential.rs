//! Table `application_credential`: passwords of programs.

use archipelago_model::{CredentialName, UserId};

use super::{both, pair};
use crate::catalog::row::{Fields, from_number};
use crate::catalog::{CatalogError, Tx};
use crate::identity::ApplicationCredential;

const TABLE: &str = "application_credential";

/// A credential with the hash of its secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CredentialRow {
    pub id: u64,
    pub credential: ApplicationCredential,
    pub secret: String,
}

fn select() -> String {
    format!(
        "SELECT {}, c.uuid, c.name, c.expires_ms, c.created_ms, c.id, c.secret \
         FROM application_credential c \
         JOIN user_ u ON u.id = c.user_id JOIN account a ON a.id = c.account_id",
        both()
    )
}

fn decode(row: &mut Fields<'_>) -> Result<CredentialRow, CatalogError> {
    let (user, account) = pair(row)?;
    let credential = ApplicationCredential {
        uuid: row.uuid()?,
        name: row.parsed()?,
        user,
        account,
        expires_ms: row.number_or_null()?,
        created_ms: row.number()?,
    };
    Ok(CredentialRow { credential, id: row.number()?, secret: row.text()? })
}

/// Of a user, or all: by user and name.
pub(crate) fn list(tx: &Tx<'_>, user: Option<UserId>) -> Result<Vec<CredentialRow>, CatalogError> {
    let sql = format!("{} WHERE $1 IS NULL OR c.user_id = $1 ORDER BY u.name, c.name", select());
    tx.all(TABLE, &sql, [user.map(|id| from_number(id.get()))], decode)
}

/// By uuid, which is 32 hexadecimal digits.
pub(crate) fn find(tx: &Tx<'_>, uuid: &str) -> Result<Option<CredentialRow>, CatalogError> {
    tx.first(TABLE, &format!("{} WHERE c.uuid = $1", select()), [uuid], decode)
}

/// What it is called in URLs, by identity in the catalog.
pub(crate) fn uuid(tx: &Tx<'_>, id: u64) -> Result<Option<[u8; 16]>, CatalogError> {
    let sql = "SELECT uuid FROM application_credential WHERE id = $1";
    tx.first(TABLE, sql, [from_number(id)], |row| row.uuid())
}

/// By name.
pub(crate) fn find_named(
    tx: &Tx<'_>,
    user: UserId,
    name: &CredentialName,
) -> Result<Option<CredentialRow>, CatalogError> {
    let sql = format!("{} WHERE c.user_id = $1 AND c.name = $2", select());
    tx.first(TABLE, &sql, (from_number(user.get()), name.as_str()), decode)
}

/// Makes one.
pub(crate) fn insert(tx: &Tx<'_>, row: &CredentialRow) -> Result<(), CatalogError> {
    let one = &row.credential;
    tx.execute(
        "INSERT INTO application_credential \
         (id, uuid, user_id, account_id, name, secret, expires_ms, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (
            from_number(row.id),
            hex::encode(one.uuid),
            from_number(one.user.id.get()),
            from_number(one.account.id.get()),
            one.name.as_str(),
            row.secret.as_str(),
            one.expires_ms.map(from_number),
            from_number(one.created_ms),
        ),
    )?;
    Ok(())
}

/// Removes one, and the tokens that were got with it.
pub(crate) fn remove(tx: &Tx<'_>, id: u64) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM token WHERE credential_id = $1", [from_number(id)])?;
    tx.execute("DELETE FROM application_credential WHERE id = $1", [from_number(id)])?;
    Ok(())
}
