//! Who we are to a server of S3.

use std::fmt;
use std::io;
use std::path::Path;

use archipelago_env::{Env, Mode};
use zeroize::Zeroizing;

use crate::StoreError;

/// A file of credentials has a few lines.
const FILE_BYTES_MAX: usize = 64 << 10;
/// The part of the file that counts.
const PROFILE: &str = "default";

/// An access key and its secret. No formatter shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    key: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl Credentials {
    /// From the values themselves.
    pub fn new(key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: Zeroizing::new(secret.to_owned()), token: None }
    }

    /// From `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where it is set,
    /// `AWS_SESSION_TOKEN`.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when one of the first two is not set.
    pub fn from_environment() -> Result<Self, StoreError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, StoreError> {
        let needed = |name: &str| {
            let why = format!("no key for the pool: set {name}, or name a file of credentials");
            get(name).filter(|value| !value.is_empty()).ok_or(StoreError::Unusable { why })
        };
        Ok(Self {
            key: needed("AWS_ACCESS_KEY_ID")?,
            secret: Zeroizing::new(needed("AWS_SECRET_ACCESS_KEY")?),
            token: get("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()).map(Zeroizing::new),
        })
    }

    /// From a file as the tools of AWS have it: `aws_access_key_id = ...` and
    /// `aws_secret_access_key = ...` below `[default]`, or without any heading.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when it cannot be read, or lacks something.
    pub fn from_file(env: &Env, path: &Path) -> Result<Self, StoreError> {
        let at = path.display();
        let text = read(env, path).map_err(|error| StoreError::Unusable {
            why: format!("cannot read the credentials of the pool in {at}: {error}"),
        })?;
        let value = |name: &str| {
            lines_of_profile(&text)
                .filter_map(|line| line.split_once('='))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        let needed = |name: &str| {
            let why = format!("{at} has no {name} below [{PROFILE}]: add it");
            value(name).filter(|value| !value.is_empty()).ok_or(StoreError::Unusable { why })
        };
        Ok(Self {
            key: needed("aws_access_key_id")?,
            secret: Zeroizing::new(needed("aws_secret_access_key")?),
            token: value("aws_session_token").map(Zeroizing::new),
        })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key", &self.key).finish_non_exhaustive()
    }
}

fn read(env: &Env, path: &Path) -> io::Result<Zeroizing<String>> {
    let file = env.disk().open(path, Mode::Read)?;
    let mut bytes = Zeroizing::new(vec![0; FILE_BYTES_MAX]);
    let read = file.read_at(0, &mut bytes)?;
    if read == FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than credentials are"));
    }
    let text = std::str::from_utf8(&bytes[..read]).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The lines below `[default]`, and those above any heading.
fn lines_of_profile(text: &str) -> impl Iterator<Item = &str> {
    let mut ours = true;
    text.lines().map(str::trim).filter(move |line| {
        if let Some(heading) = line.strip_prefix('[') {
            ours = heading.trim_end_matches(']').trim() == PROFILE;
            return false;
        }
        ours && !line.starts_with(['#', ';'])
    })
}

#[cfg(test)]
mod tests;
