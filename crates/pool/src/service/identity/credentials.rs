//! Application credentials: passwords of programs.

use archipelago_model::CredentialName;

use super::{Service, check_count, joined, user_row};
use crate::catalog::identity::credential::{self, CredentialRow};
use crate::catalog::state;
use crate::error::Error;
use crate::identity::{ApplicationCredential, Named, Secret};

/// Credentials of one user: all of them are read at once.
pub(crate) const CREDENTIALS_MAX: usize = 100;

/// Random bytes of a secret that we choose: 51 characters.
const SECRET_BYTES: usize = 32;

impl Service {
    /// Makes a credential for a user in an account. `secret` is what the user chose, or is
    /// chosen; it is told now and never again.
    ///
    /// # Errors
    /// `NotFound` (the user, the account); `AlreadyExists`; `Invalid` when the user may not
    /// use the account, has too many, or chose a bad secret.
    pub fn application_credential_create(
        &self,
        user: &Named,
        account: &Named,
        name: &CredentialName,
        secret: Option<Secret>,
        expires_ms: Option<u64>,
    ) -> Result<(ApplicationCredential, Secret), Error> {
        let secret = secret.unwrap_or_else(|| self.random_text::<SECRET_BYTES>());
        let hash = self.password_hash(&secret)?;
        let credential = self.core.catalog.write(|tx| -> Result<_, Error> {
            let identity = joined(tx, user, account)?;
            let count = credential::list(tx, Some(identity.user.id))?.len();
            check_count("application credentials of this user", count, CREDENTIALS_MAX)?;
            if credential::find_named(tx, identity.user.id, name)?.is_some() {
                return Err(Error::already_exists(format_args!("application credential '{name}'")));
            }
            let credential = ApplicationCredential {
                uuid: self.core.new_uuid(),
                name: name.clone(),
                user: identity.user,
                account: identity.account,
                expires_ms,
                created_ms: self.core.now_ms(),
            };
            let row = CredentialRow { id: state::take_id(tx)?, credential, secret: hash };
            credential::insert(tx, &row)?;
            Ok(row.credential)
        })?;
        Ok((credential, secret))
    }

    /// The credentials of a user: by name.
    ///
    /// # Errors
    /// `NotFound` (the user).
    pub fn application_credentials(
        &self,
        user: &Named,
    ) -> Result<Vec<ApplicationCredential>, Error> {
        self.core.catalog.read(|tx| {
            let user = user_row(tx, user)?;
            let rows = credential::list(tx, Some(user.id))?;
            Ok(rows.into_iter().map(|row| row.credential).collect())
        })
    }

    /// Removes a credential of a user, by its uuid; tokens that were got with it end.
    ///
    /// # Errors
    /// `NotFound` (the user, or it has none of that uuid).
    pub fn application_credential_remove(&self, user: &Named, uuid: &str) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let user = user_row(tx, user)?;
            let row = credential::find(tx, uuid)?.filter(|row| row.credential.user.id == user.id);
            let row = row.ok_or_else(|| {
                let uuid = Named::Uuid(uuid.to_owned());
                Error::not_found(format_args!("application credential '{uuid}'"), "user ls")
            })?;
            Ok(credential::remove(tx, row.id)?)
        })
    }
}
