//! Table `user_`.

use archipelago_model::UserId;

use crate::catalog::row::{Fields, from_number};
use crate::catalog::{CatalogError, Tx, grant};
use crate::identity::{Named, User};

const TABLE: &str = "user_";

/// Of `user_ u`.
pub(super) const COLUMNS: &str = "u.id, u.uuid, u.name, u.enabled, u.is_admin, u.created_ms";

pub(super) fn decode(row: &mut Fields<'_>) -> Result<User, CatalogError> {
    Ok(User {
        id: UserId::new(row.number()?),
        uuid: row.uuid()?,
        name: row.parsed()?,
        enabled: row.number::<u8>()? != 0,
        is_admin: row.number::<u8>()? != 0,
        created_ms: row.number()?,
    })
}

/// All: by name.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<User>, CatalogError> {
    tx.all(TABLE, &format!("SELECT {COLUMNS} FROM user_ u ORDER BY u.name"), [], decode)
}

/// By name or uuid.
pub(crate) fn find(tx: &Tx<'_>, named: &Named) -> Result<Option<User>, CatalogError> {
    Ok(find_with_hash(tx, named)?.map(|(user, _)| user))
}

/// By identity in the catalog.
pub(crate) fn get(tx: &Tx<'_>, id: UserId) -> Result<Option<User>, CatalogError> {
    let sql = format!("SELECT {COLUMNS} FROM user_ u WHERE u.id = $1");
    tx.first(TABLE, &sql, [from_number(id.get())], decode)
}

/// The same with the hash of the password.
pub(crate) fn find_with_hash(
    tx: &Tx<'_>,
    named: &Named,
) -> Result<Option<(User, String)>, CatalogError> {
    let (column, text) = named.column();
    let sql = format!("SELECT {COLUMNS}, u.password FROM user_ u WHERE u.{column} = $1");
    tx.first(TABLE, &sql, [text], |row| Ok((decode(row)?, row.text()?)))
}

/// Makes one; `password` is a PHC string.
pub(crate) fn insert(tx: &Tx<'_>, user: &User, password: &str) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO user_ (id, uuid, name, password, enabled, is_admin, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (
            from_number(user.id.get()),
            hex::encode(user.uuid),
            user.name.as_str(),
            password,
            i64::from(user.enabled),
            i64::from(user.is_admin),
            from_number(user.created_ms),
        ),
    )?;
    Ok(())
}

/// Changes the password.
pub(crate) fn set_password(tx: &Tx<'_>, id: UserId, password: &str) -> Result<(), CatalogError> {
    tx.execute("UPDATE user_ SET password = $1 WHERE id = $2", (password, from_number(id.get())))?;
    Ok(())
}

/// Lets the user in, or not.
pub(crate) fn set_enabled(tx: &Tx<'_>, id: UserId, enabled: bool) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE user_ SET enabled = $1 WHERE id = $2",
        (i64::from(enabled), from_number(id.get())),
    )?;
    Ok(())
}

/// How many administrators may come in, besides this user.
pub(crate) fn other_admins(tx: &Tx<'_>, id: UserId) -> Result<u64, CatalogError> {
    tx.first(
        TABLE,
        "SELECT COUNT(*) FROM user_ WHERE is_admin = 1 AND enabled = 1 AND id <> $1",
        [from_number(id.get())],
        |row| row.number(),
    )?
    .ok_or(CatalogError::RowMissing(TABLE))
}

/// Removes one with everything that only it has.
pub(crate) fn remove(tx: &Tx<'_>, id: UserId) -> Result<(), CatalogError> {
    grant::forget_user(tx, id)?;
    let id = from_number(id.get());
    for sql in [
        "DELETE FROM token WHERE user_id = $1",
        "DELETE FROM access_key WHERE user_id = $1",
        "DELETE FROM application_credential WHERE user_id = $1",
        "DELETE FROM group_member WHERE user_id = $1",
        "DELETE FROM membership WHERE user_id = $1",
        "DELETE FROM user_ WHERE id = $1",
    ] {
        tx.execute(sql, [id])?;
    }
    Ok(())
}
