//! Groups of an account: names for sets of users, to share with.

use archipelago_model::{AccountId, GroupName, UserName};

use super::{Service, account_row, check_count, user_row};
use crate::catalog::identity::group;
use crate::catalog::{Tx, state};
use crate::error::Error;
use crate::identity::{Group, Named};

/// Groups of one account: all of them are read at once.
pub(crate) const GROUPS_MAX: usize = 1000;

/// Users in one group, likewise.
pub(crate) const GROUP_MEMBERS_MAX: usize = 1000;

/// Makes a group of an account, or changes who is in it.
pub(in crate::service) fn set_group(
    tx: &Tx<'_>,
    account: AccountId,
    name: &GroupName,
    members: &[UserName],
    now_ms: u64,
) -> Result<(), Error> {
    if members.len() > GROUP_MEMBERS_MAX {
        return Err(Error::invalid(format!(
            "group '{name}' is to have {} members; at most {GROUP_MEMBERS_MAX} are possible",
            members.len()
        )));
    }
    let users = members
        .iter()
        .map(|name| Ok(user_row(tx, &Named::name(name))?.id))
        .collect::<Result<Vec<_>, Error>>()?;
    let id = match group::find(tx, account, name)? {
        Some(id) => id,
        None => {
            check_count("groups in this account", group::count(tx, account)?, GROUPS_MAX)?;
            let id = state::take_id(tx)?;
            group::insert(tx, id, account, name, now_ms)?;
            id
        }
    };
    Ok(group::set_members(tx, id, &users)?)
}

impl Service {
    /// Makes a group, or changes who is in it.
    ///
    /// # Errors
    /// `NotFound` (the account, a user); `Invalid` when there are too many of either.
    pub fn group_set(
        &self,
        account: &Named,
        name: &GroupName,
        members: &[UserName],
    ) -> Result<(), Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.write(|tx| {
            let account = account_row(tx, account)?;
            set_group(tx, account.id, name, members, now_ms)
        })
    }

    /// The groups of an account: by name.
    ///
    /// # Errors
    /// `NotFound` (the account).
    pub fn groups(&self, account: &Named) -> Result<Vec<Group>, Error> {
        self.core.catalog.read(|tx| {
            let account = account_row(tx, account)?;
            Ok(group::list(tx, Some(account.id))?)
        })
    }

    /// Removes a group; its members stay users.
    ///
    /// # Errors
    /// `NotFound` (the account, the group).
    pub fn group_remove(&self, account: &Named, name: &GroupName) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let account = account_row(tx, account)?;
            let id = group::find(tx, account.id, name)?
                .ok_or_else(|| Error::no_group(format_args!("'{}/{name}'", account.name)))?;
            Ok(group::remove(tx, id)?)
        })
    }
}
