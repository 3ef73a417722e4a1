//! The first administrator.

use archipelago_model::{AccountName, NameError, UserName};

use super::Service;
use super::accounts::make_account;
use super::users::new_user;
use crate::catalog::identity::{account, member};
use crate::core::OPERATOR;
use crate::error::Error;
use crate::identity::{FirstAdmin, Identity, NewUser, Role};

/// What the first user and the first account are called.
const ADMIN: &str = "admin";

/// Random bytes of the first password: 24 characters.
const PASSWORD_BYTES: usize = 15;

impl Service {
    /// Makes an account and a user `admin` with an S3 key when there is neither an account
    /// nor a user yet. What this gives is shown to whoever started the store, once: nobody
    /// can find it out again.
    ///
    /// # Errors
    /// None but those of the catalog and of the disk; nothing is made then.
    pub fn found_admin(&self) -> Result<Option<FirstAdmin>, Error> {
        if self.core.catalog.read(account::anybody)? {
            return Ok(None);
        }
        let keys = self.keys()?;
        let password = self.random_text::<PASSWORD_BYTES>();
        let hash = self.password_hash(&password)?;
        let name: UserName =
            ADMIN.parse().map_err(|error: NameError| Error::invalid(error.to_string()))?;
        let account_name: AccountName =
            ADMIN.parse().map_err(|error: NameError| Error::invalid(error.to_string()))?;
        let new = NewUser { name, password, is_admin: true, account: None };
        self.core.catalog.write(|tx| {
            if account::anybody(tx)? {
                return Ok(None);
            }
            let account = make_account(&self.core, tx, OPERATOR, &account_name, None)?;
            let (user, account) = new_user(&self.core, tx, &new, &hash, Some(account))?;
            member::set(tx, user.id, account.id, Role::Admin)?;
            let identity = Identity { user, account, role: Role::Admin };
            let (key, secret_key) = self.new_key(tx, &keys, identity)?;
            Ok(Some(FirstAdmin {
                user: new.name.clone(),
                password: new.password.clone(),
                account: key.account,
                access_key: key.id,
                secret_key,
            }))
        })
    }
}
