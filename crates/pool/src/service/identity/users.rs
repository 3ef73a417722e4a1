//! Users: make, list, change, remove.

use archipelago_model::{AccountName, UserId};

use super::accounts::new_account;
use super::{Service, account_row, user_row};
use crate::catalog::identity::{member, token, user};
use crate::catalog::{Tx, state};
use crate::core::Core;
use crate::error::Error;
use crate::identity::{Account, Member, Named, NewUser, Role, Secret, User, check_password};

impl Service {
    /// Makes a user, who is a member of one account from the beginning.
    ///
    /// # Errors
    /// `AlreadyExists` (the user, or the account that was to be its own); `NotFound` (the
    /// account); `Invalid` (the password).
    pub fn user_create(&self, new: &NewUser) -> Result<Member, Error> {
        let hash = self.password_hash(&new.password)?;
        self.core.catalog.write(|tx| {
            let (account, role) = match &new.account {
                Some((named, role)) => (Some(account_row(tx, named)?), *role),
                None => (None, Role::Admin),
            };
            let (user, account) = new_user(&self.core, tx, new, &hash, account)?;
            member::set(tx, user.id, account.id, role)?;
            Ok(Member { user, account, role })
        })
    }

    /// All users: by name.
    ///
    /// # Errors
    /// None but those of the catalog.
    pub fn users(&self) -> Result<Vec<User>, Error> {
        Ok(self.core.catalog.read(user::list)?)
    }

    /// One user.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn user(&self, named: &Named) -> Result<User, Error> {
        self.core.catalog.read(|tx| user_row(tx, named))
    }

    /// Changes a user's password; all its tokens end.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` (the password).
    pub fn user_set_password(&self, named: &Named, password: &Secret) -> Result<(), Error> {
        let hash = self.password_hash(password)?;
        self.core.catalog.write(|tx| {
            let user = user_row(tx, named)?;
            user::set_password(tx, user.id, &hash)?;
            Ok(token::remove_of(tx, user.id)?)
        })
    }

    /// Lets a user in, or not; when not, all its tokens end.
    ///
    /// # Errors
    /// `NotFound`; `InUse` for the last administrator.
    pub fn user_enable(&self, named: &Named, enabled: bool) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let user = user_row(tx, named)?;
            if !enabled {
                check_not_last(tx, &user)?;
                token::remove_of(tx, user.id)?;
            }
            Ok(user::set_enabled(tx, user.id, enabled)?)
        })
    }

    /// Removes a user with its keys, credentials and tokens. What its accounts own stays.
    ///
    /// # Errors
    /// `NotFound`; `InUse` for the last administrator.
    pub fn user_remove(&self, named: &Named) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let user = user_row(tx, named)?;
            check_not_last(tx, &user)?;
            Ok(user::remove(tx, user.id)?)
        })
    }

    pub(super) fn password_hash(&self, password: &Secret) -> Result<String, Error> {
        check_password(password)?;
        self.identity.passwords.hash(&**self.core.env.random(), password)
    }
}

/// Makes one, and an account of its own when there is none for it.
pub(super) fn new_user(
    core: &Core,
    tx: &Tx<'_>,
    new: &NewUser,
    hash: &str,
    account: Option<Account>,
) -> Result<(User, Account), Error> {
    if user::find(tx, &Named::name(&new.name))?.is_some() {
        return Err(Error::already_exists(format_args!("user '{}'", new.name)));
    }
    let account = match account {
        Some(account) => account,
        None => {
            let name: AccountName =
                new.name.as_str().parse().map_err(|error: archipelago_model::NameError| {
                    Error::invalid(error.to_string())
                })?;
            new_account(core, tx, &name, None)?
        }
    };
    let user = User {
        id: UserId::new(state::take_id(tx)?),
        uuid: core.new_uuid(),
        name: new.name.clone(),
        enabled: true,
        is_admin: new.is_admin,
        created_ms: core.now_ms(),
    };
    user::insert(tx, &user, hash)?;
    Ok((user, account))
}

/// Without an administrator nobody could make one.
fn check_not_last(tx: &Tx<'_>, user: &User) -> Result<(), Error> {
    if user.is_admin && user::other_admins(tx, user.id)? == 0 {
        return Err(Error::in_use(format!(
            "user '{}' is the last administrator; make another one first: `archipelago user \
             create NAME --admin`",
            user.name
        )));
    }
    Ok(())
}
