//! Accounts: make, list, limit, remove.

use archipelago_model::{AccountId, AccountName};

use super::{Service, account_row};
use crate::catalog::identity::account;
use crate::catalog::{Tx, container, image, state, volume};
use crate::core::{Core, OPERATOR};
use crate::error::Error;
use crate::identity::{Account, Named};

impl Service {
    /// Whose something is.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn account_of(&self, id: AccountId) -> Result<Account, Error> {
        self.core
            .catalog
            .read(|tx| account::get(tx, id))?
            .ok_or_else(|| Error::not_found(format_args!("account {id}"), "account ls"))
    }

    /// Makes an account without members.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub fn account_create(
        &self,
        name: &AccountName,
        quota_bytes: Option<u64>,
    ) -> Result<Account, Error> {
        self.core.catalog.write(|tx| new_account(&self.core, tx, name, quota_bytes))
    }

    /// All accounts: by name.
    ///
    /// # Errors
    /// None but those of the catalog.
    pub fn accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(self.core.catalog.read(account::list)?)
    }

    /// One account.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn account(&self, named: &Named) -> Result<Account, Error> {
        self.core.catalog.read(|tx| account_row(tx, named))
    }

    /// Sets how much an account may hold; `None` for no limit.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn account_set_quota(&self, named: &Named, quota_bytes: Option<u64>) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let account = account_row(tx, named)?;
            Ok(account::set_quota(tx, account.id, quota_bytes)?)
        })
    }

    /// Lets the members of an account in, or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn account_enable(&self, named: &Named, enabled: bool) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let account = account_row(tx, named)?;
            Ok(account::set_enabled(tx, account.id, enabled)?)
        })
    }

    /// Removes an account with its groups, keys and memberships; its users stay.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when it owns something. Nothing is changed then.
    pub fn account_remove(&self, named: &Named) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let account = account_row(tx, named)?;
            if account.id == OPERATOR {
                return Err(Error::in_use(format!(
                    "account '{}' is that of the command line and stays; remove what is in it instead",
                    account.name
                )));
            }
            let (name, owner) = (account.name, account.id);
            let (what, remedy) = if volume::any_of(tx, &name)? {
                ("volumes", "`archipelago volume ls` shows them, `volume rm` removes them".into())
            } else if image::any_of(tx, &name)? {
                ("images", "`archipelago image ls` shows them, `image rm` removes them".into())
            } else if container::list(tx, owner, "", 1)?.is_empty() && account::remove(tx, owner)? {
                return Ok(());
            } else {
                let list = format!(
                    "`archipelago container ls --account {name}` shows them; empty them, then \
                     `container rm`"
                );
                ("containers", list)
            };
            Err(Error::in_use(format!("account '{name}' still owns {what}; {remedy}")))
        })
    }
}

/// Makes one, within a transaction.
pub(super) fn new_account(
    core: &Core,
    tx: &Tx<'_>,
    name: &AccountName,
    quota_bytes: Option<u64>,
) -> Result<Account, Error> {
    make_account(core, tx, AccountId::new(state::take_id(tx)?), name, quota_bytes)
}

/// The same, with an identity that is known.
pub(super) fn make_account(
    core: &Core,
    tx: &Tx<'_>,
    id: AccountId,
    name: &AccountName,
    quota_bytes: Option<u64>,
) -> Result<Account, Error> {
    if account::find(tx, &Named::name(name))?.is_some() {
        return Err(Error::already_exists(format_args!("account '{name}'")));
    }
    let account = Account {
        id,
        uuid: core.new_uuid(),
        name: name.clone(),
        enabled: true,
        quota_bytes,
        created_ms: core.now_ms(),
    };
    account::insert(tx, &account)?;
    Ok(account)
}
