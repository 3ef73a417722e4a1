//! Table `membership`: which users are in which accounts, and as what.

use archipelago_model::{AccountId, UserId};

use super::{both, triple};
use crate::catalog::row::from_number;
use crate::catalog::{CatalogError, Tx};
use crate::identity::{Member, Role};

const TABLE: &str = "membership";

fn select() -> String {
    format!(
        "SELECT {}, m.role FROM membership m JOIN user_ u ON u.id = m.user_id \
         JOIN account a ON a.id = m.account_id",
        both()
    )
}

/// All: by account and user.
pub(crate) fn list(tx: &Tx<'_>) -> Result<Vec<Member>, CatalogError> {
    tx.all(TABLE, &format!("{} ORDER BY a.name, u.name", select()), [], triple)
}

/// Of a user: the oldest account first.
pub(crate) fn of_user(tx: &Tx<'_>, user: UserId) -> Result<Vec<Member>, CatalogError> {
    let sql = format!("{} WHERE u.id = $1 ORDER BY a.id", select());
    tx.all(TABLE, &sql, [from_number(user.get())], triple)
}

/// Of an account: by user.
pub(crate) fn of_account(tx: &Tx<'_>, account: AccountId) -> Result<Vec<Member>, CatalogError> {
    let sql = format!("{} WHERE a.id = $1 ORDER BY u.name", select());
    tx.all(TABLE, &sql, [from_number(account.get())], triple)
}

/// As what a user is in an account.
pub(crate) fn role(
    tx: &Tx<'_>,
    user: UserId,
    account: AccountId,
) -> Result<Option<Role>, CatalogError> {
    tx.first(
        TABLE,
        "SELECT role FROM membership WHERE user_id = $1 AND account_id = $2",
        (from_number(user.get()), from_number(account.get())),
        |row| row.parsed(),
    )
}

/// Makes a user a member, or changes the role.
pub(crate) fn set(
    tx: &Tx<'_>,
    user: UserId,
    account: AccountId,
    role: Role,
) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO membership (user_id, account_id, role) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, account_id) DO UPDATE SET role = excluded.role",
        (from_number(user.get()), from_number(account.get()), role.name()),
    )?;
    Ok(())
}

/// Takes a user out of an account, with what it has there.
pub(crate) fn remove(tx: &Tx<'_>, user: UserId, account: AccountId) -> Result<(), CatalogError> {
    let ids = (from_number(user.get()), from_number(account.get()));
    for sql in [
        "DELETE FROM token WHERE user_id = $1 AND account_id = $2",
        "DELETE FROM access_key WHERE user_id = $1 AND account_id = $2",
        "DELETE FROM application_credential WHERE user_id = $1 AND account_id = $2",
        "DELETE FROM membership WHERE user_id = $1 AND account_id = $2",
    ] {
        tx.execute(sql, ids)?;
    }
    Ok(())
}
