//! S3 keys.

use super::{Service, admitted, check_count, joined, user_row};
use crate::catalog::Tx;
use crate::catalog::identity::access_key::{self, AccessKeyRow};
use crate::error::{Error, ErrorKind};
use crate::identity::{AccessKey, Identity, Keys, Named, Secret};

/// Keys of one user: all of them are read at once.
pub(crate) const KEYS_MAX: usize = 100;

/// What the public part of a key begins with, so that scanners for leaked keys know it.
const PUBLIC_PREFIX: &str = "AR";

/// Random bytes of the public part (18 characters, in all 20 as AWS has it) and of the secret
/// part (40 characters, likewise).
const PUBLIC_BYTES: usize = 12;
const PUBLIC_CHARS: usize = 18;
const SECRET_BYTES: usize = 25;

impl Service {
    /// Makes a key for a user in an account. Its secret is told now and by
    /// [`Self::key_secret`], which is for checking signatures.
    ///
    /// # Errors
    /// `NotFound` (the user, the account); `Invalid` when the user may not use the account,
    /// or has too many keys.
    pub fn key_create(&self, user: &Named, account: &Named) -> Result<(AccessKey, Secret), Error> {
        let keys = self.keys()?;
        self.core.catalog.write(|tx| {
            let identity = joined(tx, user, account)?;
            let count = access_key::list(tx, Some(identity.user.id))?.len();
            check_count("keys of this user", count, KEYS_MAX)?;
            self.new_key(tx, &keys, identity)
        })
    }

    pub(super) fn new_key(
        &self,
        tx: &Tx<'_>,
        keys: &Keys,
        identity: Identity,
    ) -> Result<(AccessKey, Secret), Error> {
        let public = self.random_text::<PUBLIC_BYTES>().expose().to_ascii_uppercase();
        let secret = self.random_text::<SECRET_BYTES>();
        let key = AccessKey {
            id: format!("{PUBLIC_PREFIX}{}", &public[..PUBLIC_CHARS]),
            user: identity.user,
            account: identity.account,
            created_ms: self.core.now_ms(),
        };
        let sealed =
            keys.seal(&**self.core.env.random(), &owner(&key), &secret).ok_or_else(|| {
                Error::new(ErrorKind::Internal, "the secret of the key is not sealed")
            })?;
        let row = AccessKeyRow { key, sealed, sealed_by: keys.name().to_owned() };
        access_key::insert(tx, &row)?;
        Ok((row.key, secret))
    }

    /// The keys of a user: the oldest first. Without secrets.
    ///
    /// # Errors
    /// `NotFound` (the user).
    pub fn keys_of(&self, user: &Named) -> Result<Vec<AccessKey>, Error> {
        self.core.catalog.read(|tx| {
            let user = user_row(tx, user)?;
            let rows = access_key::list(tx, Some(user.id))?;
            Ok(rows.into_iter().map(|row| row.key).collect())
        })
    }

    /// One key, without its secret.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn key(&self, public_id: &str) -> Result<AccessKey, Error> {
        Ok(self.core.catalog.read(|tx| key_row(tx, public_id))?.key)
    }

    /// Removes a key. Requests signed with it fail from now on.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn key_remove(&self, public_id: &str) -> Result<(), Error> {
        self.core.catalog.write(|tx| {
            let row = key_row(tx, public_id)?;
            Ok(access_key::remove(tx, &row.key.id)?)
        })
    }

    /// What a signature of S3 is checked with, and whose it is then.
    ///
    /// # Errors
    /// `Unauthenticated` when there is no such key, or its user may not use its account;
    /// `Damaged` when `secret.key` is not the one that sealed it.
    pub fn key_secret(&self, public_id: &str) -> Result<(Secret, Identity), Error> {
        let keys = self.keys()?;
        let found = self.core.catalog.read(|tx| -> Result<_, Error> {
            let Some(row) = access_key::find(tx, public_id)? else { return Ok(None) };
            let AccessKey { user, account, .. } = row.key.clone();
            Ok(admitted(tx, user, account)?.map(|identity| (row, identity)))
        })?;
        let (row, identity) = found.ok_or_else(Error::unauthenticated)?;
        let secret = keys.open(&owner(&row.key), &row.sealed).ok_or_else(|| {
            Error::new(
                ErrorKind::Damaged,
                format!(
                    "the secret of key {0} was sealed by another secret.key ({1}, this one is \
                     {2}): put that file back, or remove the key and make a new one",
                    row.key.id,
                    row.sealed_by,
                    keys.name()
                ),
            )
        })?;
        Ok((secret, identity))
    }
}

/// What a secret is sealed to: no row opens with the secret of another.
pub(super) fn owner(key: &AccessKey) -> String {
    format!("{}/{}/{}", key.id, hex::encode(key.user.uuid), hex::encode(key.account.uuid))
}

fn key_row(tx: &Tx<'_>, public_id: &str) -> Result<AccessKeyRow, Error> {
    access_key::find(tx, public_id)?.ok_or_else(|| {
        let shown: String = public_id.chars().take(64).flat_map(char::escape_default).collect();
        Error::not_found(format_args!("key '{shown}'"), "user key ls USER")
    })
}
