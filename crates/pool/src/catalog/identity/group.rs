//! Tables `group_` and `group_member`: sets of users that an account shares with.

use archipelago_model::{AccountId, GroupName, UserId};

use crate::catalog::row::from_number;
use crate::catalog::{CatalogError, Tx, grant};
use crate::identity::Group;

const TABLE: &str = "group_";

/// Of an account, or all: by account and name, with the names of their members.
pub(crate) fn list(tx: &Tx<'_>, account: Option<AccountId>) -> Result<Vec<Group>, CatalogError> {
    let sql = "SELECT g.id, a.name, g.name, g.created_ms FROM group_ g \
               JOIN account a ON a.id = g.account_id \
               WHERE $1 IS NULL OR g.account_id = $1 ORDER BY a.name, g.name";
    let groups = tx.all(TABLE, sql, [account.map(|id| from_number(id.get()))], |row| {
        let id: u64 = row.number()?;
        let (account, name, created_ms) = (row.parsed()?, row.parsed()?, row.number()?);
        Ok((id, Group { account, name, members: Vec::new(), created_ms }))
    })?;
    groups.into_iter().map(|(id, group)| Ok(Group { members: members(tx, id)?, ..group })).collect()
}

fn members(tx: &Tx<'_>, id: u64) -> Result<Vec<archipelago_model::UserName>, CatalogError> {
    tx.all(
        "group_member",
        "SELECT u.name FROM group_member g JOIN user_ u ON u.id = g.user_id \
         WHERE g.group_id = $1 ORDER BY u.name",
        [from_number(id)],
        |row| row.parsed(),
    )
}

/// By name.
pub(crate) fn find(
    tx: &Tx<'_>,
    account: AccountId,
    name: &GroupName,
) -> Result<Option<u64>, CatalogError> {
    tx.first(
        TABLE,
        "SELECT id FROM group_ WHERE account_id = $1 AND name = $2",
        (from_number(account.get()), name.as_str()),
        |row| row.number(),
    )
}

/// The account of one and its name, by identity.
pub(crate) fn name(tx: &Tx<'_>, id: u64) -> Result<Option<(String, String)>, CatalogError> {
    tx.first(
        TABLE,
        "SELECT a.name, g.name FROM group_ g JOIN account a ON a.id = g.account_id WHERE g.id = $1",
        [from_number(id)],
        |row| Ok((row.text()?, row.text()?)),
    )
}

/// In which groups a user is.
pub(crate) fn of_user(tx: &Tx<'_>, user: UserId) -> Result<Vec<u64>, CatalogError> {
    tx.all(
        "group_member",
        "SELECT group_id FROM group_member WHERE user_id = $1 ORDER BY group_id",
        [from_number(user.get())],
        |row| row.number(),
    )
}

/// How many groups an account has.
pub(crate) fn count(tx: &Tx<'_>, account: AccountId) -> Result<usize, CatalogError> {
    tx.first(
        TABLE,
        "SELECT COUNT(*) FROM group_ WHERE account_id = $1",
        [from_number(account.get())],
        |row| row.number(),
    )?
    .ok_or(CatalogError::RowMissing(TABLE))
}

/// Makes one without members.
pub(crate) fn insert(
    tx: &Tx<'_>,
    id: u64,
    account: AccountId,
    name: &GroupName,
    created_ms: u64,
) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO group_ (id, account_id, name, created_ms) VALUES ($1, $2, $3, $4)",
        (from_number(id), from_number(account.get()), name.as_str(), from_number(created_ms)),
    )?;
    Ok(())
}

/// Makes these its members and nobody else.
pub(crate) fn set_members(tx: &Tx<'_>, id: u64, users: &[UserId]) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM group_member WHERE group_id = $1", [from_number(id)])?;
    for user in users {
        tx.execute(
            "INSERT INTO group_member (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            (from_number(id), from_number(user.get())),
        )?;
    }
    Ok(())
}

/// Removes one.
pub(crate) fn remove(tx: &Tx<'_>, id: u64) -> Result<(), CatalogError> {
    set_members(tx, id, &[])?;
    grant::forget_group(tx, id)?;
    tx.execute("DELETE FROM group_ WHERE id = $1", [from_number(id)])?;
    Ok(())
}
