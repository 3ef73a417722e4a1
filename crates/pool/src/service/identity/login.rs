//! Logins and tokens.
//!
//! A token is 32 random bytes; the catalog has its keyed hash only. Every failure is the same
//! error, and takes the time that a wrong password takes.

use std::time::Duration;

use super::{Service, admitted};
use crate::catalog::Tx;
use crate::catalog::identity::credential::{self, CredentialRow};
use crate::catalog::identity::{account, member, token, user};
use crate::error::{Error, ErrorKind};
use crate::identity::{
    Account, ApplicationCredential, Identity, Login, Named, Secret, Session, User,
};

/// How long a token is valid, in ms: clients log in again by themselves.
pub(crate) const TOKEN_MS: u64 = 12 * 3600 * 1000;

/// Tokens of one user; the oldest ends when there would be more. Every call of the `openstack`
/// program makes one.
pub(crate) const TOKENS_MAX: u64 = 4096;

/// Expired tokens that one login removes: more than it makes, and few enough not to be felt.
const EXPIRED_AT_ONCE: u64 = 64;

/// What tokens begin with, so that scanners for leaked secrets know them.
const TOKEN_PREFIX: &str = "arct";
const TOKEN_BYTES: usize = 32;

/// The longest text that is looked up as a token, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

impl Service {
    /// Logs a user in to an account: that which it names, else the first one that it is in.
    ///
    /// # Errors
    /// `Unauthenticated`; `Throttled` after too many of these.
    pub fn login_password(
        &self,
        user: &Named,
        password: &Secret,
        account: Option<&Named>,
    ) -> Result<Login, Error> {
        let found = self.core.catalog.read(|tx| user::find_with_hash(tx, user))?;
        let (who, hash) = match &found {
            Some((user, hash)) => (format!("user {}", user.id), Some(hash.as_str())),
            None => (format!("name {user}"), None),
        };
        self.guarded(&who, || {
            let right = self.identity.passwords.is(password, hash)?;
            Ok(found.as_ref().is_some_and(|(user, _)| right && user.enabled))
        })?;
        let (user, hash) = found.as_ref().ok_or_else(Error::unauthenticated)?;
        self.give(None, |tx| {
            // It may have been changed while we were computing.
            let now = user::find_with_hash(tx, &Named::uuid(user.uuid))?;
            let (user, _) =
                now.filter(|(_, now)| now == hash).ok_or_else(Error::unauthenticated)?;
            Ok(Proof { identity: scope(tx, user, account)?, credential: None, expires_ms: None })
        })
    }

    /// Logs a program in. `user` is whose credential it is when it is named by its label.
    ///
    /// # Errors
    /// `Unauthenticated`; `Throttled` after too many of these.
    pub fn login_application_credential(
        &self,
        credential: &Named,
        user: Option<&Named>,
        secret: &Secret,
    ) -> Result<Login, Error> {
        let found = self.core.catalog.read(|tx| find_credential(tx, credential, user))?;
        let now_ms = self.core.now_ms();
        let (who, hash) = match &found {
            Some(row) => (format!("credential {}", row.id), Some(row.secret.as_str())),
            None => (format!("credential {credential}"), None),
        };
        self.guarded(&who, || {
            let right = self.identity.passwords.is(secret, hash)?;
            let ends = found.as_ref().and_then(|row| row.credential.expires_ms);
            Ok(right && ends.is_none_or(|ends| ends > now_ms))
        })?;
        let uuid = found.ok_or_else(Error::unauthenticated)?.credential.uuid;
        self.give(None, |tx| {
            let row =
                credential::find(tx, &hex::encode(uuid))?.ok_or_else(Error::unauthenticated)?;
            let ApplicationCredential { user, account, expires_ms, .. } = row.credential;
            let identity = admitted(tx, user, account)?.ok_or_else(Error::unauthenticated)?;
            Ok(Proof { identity, credential: Some(row.id), expires_ms })
        })
    }

    /// Another token for whoever has one, in that account or another; it ends when the first
    /// one does.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn login_token(&self, token: &Secret, account: Option<&Named>) -> Result<Login, Error> {
        let hash = self.token_hash(token)?;
        let now_ms = self.core.now_ms();
        self.give(Some(now_ms), |tx| {
            let (session, credential) = session(tx, &hash, now_ms)?;
            let expires_ms = Some(session.expires_ms);
            let identity = session.identity;
            let identity = match account {
                None => identity,
                Some(named) => match account::find(tx, named)? {
                    Some(account) if account.id == identity.account.id => identity,
                    // A credential is for one account.
                    Some(account) if credential.is_none() => {
                        admitted(tx, identity.user, account)?.ok_or_else(Error::unauthenticated)?
                    }
                    _ => return Err(Error::unauthenticated()),
                },
            };
            Ok(Proof { identity, credential, expires_ms })
        })
    }

    /// Who a token is.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn authenticate(&self, token: &Secret) -> Result<Identity, Error> {
        Ok(self.session(token)?.identity)
    }

    /// What a token stands for.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn session(&self, token: &Secret) -> Result<Session, Error> {
        let hash = self.token_hash(token)?;
        let now_ms = self.core.now_ms();
        Ok(self.core.catalog.read(|tx| session(tx, &hash, now_ms))?.0)
    }

    /// Ends a token.
    ///
    /// # Errors
    /// `NotFound` when there is none such.
    pub fn revoke(&self, token: &Secret) -> Result<(), Error> {
        let hash = self.token_hash(token)?;
        if self.core.catalog.write_aside(|tx| token::remove(tx, &hash))? {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::NotFound,
                "the token is not valid, so that it cannot be revoked",
            ))
        }
    }

    fn token_hash(&self, token: &Secret) -> Result<String, Error> {
        if token.expose().len() > TOKEN_BYTES_MAX {
            return Err(Error::unauthenticated());
        }
        Ok(self.keys()?.token_hash(token.expose()))
    }

    /// Runs a check of a secret unless too many failed of late.
    fn guarded(&self, who: &str, check: impl FnOnce() -> Result<bool, Error>) -> Result<(), Error> {
        let now = || self.core.env.clock().monotonic();
        if let Some(left) = self.identity.throttle.lock().wait(who, now()) {
            return Err(throttled(left));
        }
        if check()? {
            self.identity.throttle.lock().succeeded(who);
            Ok(())
        } else {
            self.identity.throttle.lock().failed(who, now());
            Err(Error::unauthenticated())
        }
    }

    /// Makes a token for whom `prove` finds. Tokens are not backed up, so that this is no
    /// reason for a backup.
    fn give(
        &self,
        now_ms: Option<u64>,
        prove: impl FnOnce(&Tx<'_>) -> Result<Proof, Error>,
    ) -> Result<Login, Error> {
        let text = format!("{TOKEN_PREFIX}{}", self.random_text::<TOKEN_BYTES>().expose());
        let token = Secret::new(text);
        let hash = self.token_hash(&token)?;
        let created_ms = now_ms.unwrap_or_else(|| self.core.now_ms());
        let session = self.core.catalog.write_aside(|tx| -> Result<_, Error> {
            let proof = prove(tx)?;
            let latest = created_ms.saturating_add(TOKEN_MS);
            let expires_ms = proof.expires_ms.map_or(latest, |ends| ends.min(latest));
            token::expire(tx, created_ms, EXPIRED_AT_ONCE)?;
            token::limit(tx, proof.identity.user.id, TOKENS_MAX - 1)?;
            token::insert(
                tx,
                &token::NewToken {
                    hash: &hash,
                    user: proof.identity.user.id,
                    account: proof.identity.account.id,
                    credential: proof.credential,
                    created_ms,
                    expires_ms,
                },
            )?;
            Ok(Session {
                identity: proof.identity,
                credential: credential_uuid(tx, proof.credential)?,
                created_ms,
                expires_ms,
            })
        })?;
        Ok(Login { token, session })
    }
}

/// Who somebody turned out to be.
struct Proof {
    identity: Identity,
    credential: Option<u64>,
    /// The token ends no later.
    expires_ms: Option<u64>,
}

fn throttled(left: Duration) -> Error {
    Error::new(
        ErrorKind::Throttled,
        format!(
            "too many logins of this user failed; try again in {} s",
            left.as_millis().div_ceil(1000)
        ),
    )
}

/// The account of a login.
fn scope(tx: &Tx<'_>, user: User, named: Option<&Named>) -> Result<Identity, Error> {
    let chosen: Option<Account> = match named {
        Some(named) => account::find(tx, named)?,
        None => member::of_user(tx, user.id)?
            .into_iter()
            .map(|member| member.account)
            .find(|account| account.enabled),
    };
    let account = chosen.ok_or_else(Error::unauthenticated)?;
    admitted(tx, user, account)?.ok_or_else(Error::unauthenticated)
}

fn find_credential(
    tx: &Tx<'_>,
    named: &Named,
    user: Option<&Named>,
) -> Result<Option<CredentialRow>, Error> {
    match (named, user) {
        (Named::Uuid(uuid), _) => Ok(credential::find(tx, uuid)?),
        (Named::Name(_), None) => Ok(None),
        (Named::Name(name), Some(user)) => {
            let (Some(user), Ok(name)) = (user::find(tx, user)?, name.parse()) else {
                return Ok(None);
            };
            Ok(credential::find_named(tx, user.id, &name)?)
        }
    }
}

/// The identity of the credential that a token was got with: without it there is no token.
fn credential_uuid(tx: &Tx<'_>, id: Option<u64>) -> Result<Option<[u8; 16]>, Error> {
    let Some(id) = id else { return Ok(None) };
    credential::uuid(tx, id)?.map(Some).ok_or_else(Error::unauthenticated)
}

fn session(tx: &Tx<'_>, hash: &str, now_ms: u64) -> Result<(Session, Option<u64>), Error> {
    let row = token::find(tx, hash)?
        .filter(|row| row.expires_ms > now_ms)
        .ok_or_else(Error::unauthenticated)?;
    let identity = admitted(tx, row.user, row.account)?.ok_or_else(Error::unauthenticated)?;
    let session = Session {
        identity,
        credential: credential_uuid(tx, row.credential)?,
        created_ms: row.created_ms,
        expires_ms: row.expires_ms,
    };
    Ok((session, row.credential))
}

#[cfg(test)]
mod tests;
