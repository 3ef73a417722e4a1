//! What doors keep of an account, and how much is in its containers.

use std::collections::BTreeMap;

use archipelago_model::{AccountId, GroupName, UserName};

use super::super::Service;
use super::super::identity::set_group;
use crate::catalog::container;
use crate::catalog::identity::{account, group};
use crate::error::Error;
use crate::object::Totals;

/// JSON of the settings of an account has so many bytes at most.
const SETTINGS_BYTES_MAX: usize = 64 << 10;

/// Changes settings, each under its name.
pub type ChangeSettings<'a> = dyn FnMut(&mut BTreeMap<String, String>) -> Result<(), Error> + 'a;

impl Service {
    /// What doors keep of an account, each under a name of its own.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn account_settings(&self, id: AccountId) -> Result<BTreeMap<String, String>, Error> {
        self.core.catalog.read(|tx| account::settings(tx, id))?.ok_or_else(gone)
    }

    /// Changes what doors keep of an account.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` (too much); those of `change`, and nothing is changed then.
    pub fn account_change(
        &self,
        id: AccountId,
        change: &mut ChangeSettings<'_>,
    ) -> Result<(), Error> {
        self.account_change_with(id, &[], change)
    }

    /// The same, and who is in some of its groups: one without members is removed, if it is there.
    ///
    /// # Errors
    /// Also those of [`Self::group_set`]; nothing is changed then.
    pub fn account_change_with(
        &self,
        id: AccountId,
        groups: &[(GroupName, Vec<UserName>)],
        change: &mut ChangeSettings<'_>,
    ) -> Result<(), Error> {
        let now_ms = self.core.now_ms();
        self.core.catalog.write(|tx| {
            let mut settings = account::settings(tx, id)?.ok_or_else(gone)?;
            change(&mut settings)?;
            let bytes: usize = settings.iter().map(|(name, value)| name.len() + value.len()).sum();
            if bytes > SETTINGS_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "what is kept of an account has {SETTINGS_BYTES_MAX} bytes at most; keep less"
                )));
            }
            account::set_settings(tx, id, &settings)?;
            for (name, members) in groups {
                match (members.is_empty(), group::find(tx, id, name)?) {
                    (false, _) => set_group(tx, id, name, members, now_ms)?,
                    (true, Some(group)) => group::remove(tx, group)?,
                    (true, None) => {}
                }
            }
            Ok(())
        })
    }

    /// What counts for the quota of an account: the sizes of all versions in its containers,
    /// and of parts of uploads that nobody ended.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn account_usage(&self, id: AccountId) -> Result<u64, Error> {
        Ok(self.core.catalog.read(|tx| container::usage(tx, id))?)
    }

    /// How much the containers of an account hold together.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn account_totals(&self, id: AccountId) -> Result<Totals, Error> {
        Ok(self.core.catalog.read(|tx| container::totals(tx, id))?)
    }
}

fn gone() -> Error {
    Error::not_found("the account", "account ls")
}

#[cfg(test)]
mod tests;
