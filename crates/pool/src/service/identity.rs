//! Who may use the store, as verbs; logins are in `login`.
//!
//! Whoever calls these decides who may: they check what is asked, not who asks.

mod accounts;
mod credentials;
mod first;
mod groups;
mod keys;
mod login;
mod users;

use std::sync::Arc;

pub(super) use groups::set_group;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::Service;
use crate::catalog::Tx;
use crate::catalog::identity::{access_key, account, member, user};
use crate::error::{Error, ErrorKind};
use crate::folder::{read_secret_key, secret_key};
use crate::identity::{
    Account, Identity, Keys, Member, Named, Passwords, Role, Secret, Throttle, User, base32,
};

/// What identity keeps in memory.
#[derive(Default)]
pub(crate) struct IdentityState {
    passwords: Passwords,
    throttle: Mutex<Throttle>,
    keys: Mutex<Option<Arc<Keys>>>,
}

impl Service {
    /// The keys out of `secret.key`, which is made when it is first needed: a store that is
    /// only read, or whose disk is full, opens without it.
    pub(in crate::service) fn keys(&self) -> Result<Arc<Keys>, Error> {
        let mut held = self.identity.keys.lock();
        if let Some(keys) = &*held {
            return Ok(Arc::clone(keys));
        }
        let master = secret_key(&self.core.env, &self.data)?;
        let keys = derive(&master)?;
        let foreign = self.core.catalog.read(|tx| access_key::sealed_by_others(tx, keys.name()))?;
        if foreign > 0 {
            tracing::warn!(keys = foreign, "secret.key is not the one that sealed these S3 keys");
        }
        Ok(Arc::clone(held.insert(keys)))
    }

    /// S3 keys whose secrets `secret.key` does not open, and why. Makes nothing.
    pub(super) fn keys_without_secret(&self) -> Result<Vec<(String, String)>, Error> {
        let rows = self.core.catalog.read(|tx| access_key::list(tx, None))?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let all = |why: &str| {
            let why = why.to_owned();
            rows.iter().map(|row| (row.key.id.clone(), why.clone())).collect()
        };
        let keys = match read_secret_key(&self.core.env, &self.data) {
            Ok(Some(master)) => derive(&master)?,
            Ok(None) => return Ok(all("there is no secret.key")),
            Err(error) => return Ok(all(error.message())),
        };
        let sealed =
            rows.iter().filter(|row| keys.open(&keys::owner(&row.key), &row.sealed).is_none());
        Ok(sealed
            .map(|row| (row.key.id.clone(), format!("secret.key {} sealed it", row.sealed_by)))
            .collect())
    }

    /// Text of `N` random bytes, five bits a character.
    pub(in crate::service) fn random_text<const N: usize>(&self) -> Secret {
        let mut bytes = Zeroizing::new([0; N]);
        self.core.env.random().fill(&mut *bytes);
        Secret::new(base32(&*bytes).as_str())
    }

    /// Makes a user a member of an account, or changes its role there.
    ///
    /// # Errors
    /// `NotFound` (the user, the account).
    pub fn member_set(&self, user: &Named, account: &Named, role: Role) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let (user, account) = (user_row(tx, user)?, account_row(tx, account)?);
            Ok(member::set(tx, user.id, account.id, role)?)
        })
    }

    /// Takes a user out of an account, with its keys, credentials and tokens there.
    ///
    /// # Errors
    /// `NotFound` (the user, the account, the membership).
    pub fn member_remove(&self, user: &Named, account: &Named) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let (user, account) = (user_row(tx, user)?, account_row(tx, account)?);
            if member::role(tx, user.id, account.id)?.is_none() {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "user '{0}' is not in account '{1}'; `archipelago user show {0}` lists \
                         where it is",
                        user.name, account.name
                    ),
                ));
            }
            Ok(member::remove(tx, user.id, account.id)?)
        })
    }

    /// Who is in which account, all of it: by account and user.
    ///
    /// # Errors
    /// None but those of the catalog.
    pub fn members(&self) -> Result<Vec<Member>, Error> {
        Ok(self.core.catalog.read(member::list)?)
    }

    /// Who is in an account: by user.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn members_of_account(&self, account: &Named) -> Result<Vec<Member>, Error> {
        self.core.catalog.read(|tx| {
            let account = account_row(tx, account)?;
            Ok(member::of_account(tx, account.id)?)
        })
    }

    /// In which accounts a user is: the oldest first.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn members_of_user(&self, user: &Named) -> Result<Vec<Member>, Error> {
        self.core.catalog.read(|tx| {
            let user = user_row(tx, user)?;
            Ok(member::of_user(tx, user.id)?)
        })
    }
}

fn derive(master: &[u8; 32]) -> Result<Arc<Keys>, Error> {
    Keys::new(master).map(Arc::new).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "the cryptographic library refuses the key of the store")
    })
}

fn user_row(tx: &Tx<'_>, named: &Named) -> Result<User, Error> {
    user::find(tx, named)?
        .ok_or_else(|| Error::not_found(format_args!("user '{named}'"), "user ls"))
}

fn account_row(tx: &Tx<'_>, named: &Named) -> Result<Account, Error> {
    account::find(tx, named)?
        .ok_or_else(|| Error::not_found(format_args!("account '{named}'"), "account ls"))
}

/// What a user may do in an account; `None` for nothing at all.
pub(in crate::service) fn admitted(
    tx: &Tx<'_>,
    user: User,
    account: Account,
) -> Result<Option<Identity>, Error> {
    if !user.enabled || !account.enabled {
        return Ok(None);
    }
    let role =
        if user.is_admin { Some(Role::Admin) } else { member::role(tx, user.id, account.id)? };
    Ok(role.map(|role| Identity { user, account, role }))
}

/// An account that a user is to have something in.
fn joined(tx: &Tx<'_>, user: &Named, account: &Named) -> Result<Identity, Error> {
    let (user, account) = (user_row(tx, user)?, account_row(tx, account)?);
    let (user_name, account_name) = (user.name.clone(), account.name.clone());
    admitted(tx, user, account)?.ok_or_else(|| {
        Error::invalid(format!(
            "user '{user_name}' may not use account '{account_name}': it is no member of it, or \
             one of them is disabled"
        ))
    })
}

/// Refuses one more when there are so many.
fn check_count(what: &str, len: usize, max: usize) -> Result<(), Error> {
    if len < max {
        Ok(())
    } else {
        Err(Error::invalid(format!("there are {max} {what} already; remove some first")))
    }
}

#[cfg(test)]
mod tests;
