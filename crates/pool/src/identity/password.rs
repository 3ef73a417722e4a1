//! Passwords: argon2id, a few at once.

use archipelago_env::Random;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::{Condvar, Mutex};

use super::Secret;
use crate::error::{Error, ErrorKind};

/// Hashes being computed at once: each holds [`MEMORY_KIB`] and a processor for some ten ms.
pub(crate) const HASHES_MAX: usize = 4;

/// What a hash costs: RFC 9106 and OWASP give these as the least for logins, 19 MiB.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What is asked of the allocator for a hash, in blocks of 1 KiB: so much that it maps it (from
/// 32 MiB on glibc always does) and gives it back at once. It keeps smaller pieces, one for
/// each thread. Pages that are not touched take nothing.
const ALLOCATED_BLOCKS: usize = 33 << 10;

/// The longest password, in bytes, and the shortest that somebody may choose.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;
pub(crate) const PASSWORD_BYTES_MIN: usize = 8;

/// What the password of a user who does not exist is compared with, so that it takes as long.
/// It is the hash of nothing: its output is zeros.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords and compares them, [`HASHES_MAX`] at once; the others wait.
#[derive(Default)]
pub(crate) struct Passwords {
    running: Mutex<usize>,
    ended: Condvar,
}

/// The right to compute a hash.
struct Turn<'a>(&'a Passwords);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
        self.0.ended.notify_one();
    }
}

impl Passwords {
    fn turn(&self) -> Turn<'_> {
        let mut running = self.running.lock();
        self.ended.wait_while(&mut running, |running| *running >= HASHES_MAX);
        *running += 1;
        Turn(self)
    }

    /// A PHC string.
    pub fn hash(&self, random: &dyn Random, password: &Secret) -> Result<String, Error> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt);
        let salt = Salt::new(&salt).map_err(failed)?;
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(failed)?,
            salt: Some(salt),
            hash: Some(self.compute(params, password, &salt)?),
        };
        Ok(hash.to_string())
    }

    fn compute(&self, params: Params, password: &Secret, salt: &[u8]) -> Result<Output, Error> {
        let _turn = self.turn();
        let mut blocks = Vec::with_capacity(ALLOCATED_BLOCKS.max(params.block_count()));
        blocks.resize(params.block_count(), Block::default());
        let mut out = [0; HASH_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                password.expose().as_bytes(),
                salt,
                &mut out,
                &mut blocks[..],
            )
            .map_err(failed)?;
        Output::new(&out).map_err(failed)
    }

    /// Whether it is the password of that hash; `None` for that of nobody. Takes the same time
    /// in all cases.
    pub fn is(&self, password: &Secret, hash: Option<&str>) -> Result<bool, Error> {
        let stored = PasswordHash::new(hash.unwrap_or(NOBODY)).map_err(failed)?;
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
            return Err(failed("it has no salt or no output"));
        };
        let known = stored.algorithm == Algorithm::Argon2id.ident()
            && stored.version == Some(Version::V0x13.into());
        if !known {
            return Err(failed("it is none of argon2id, version 19"));
        }
        let params = Params::try_from(&stored).map_err(failed)?;
        // The comparison of outputs takes the same time wherever they differ.
        let right = self.compute(params, password, &salt)? == expected;
        Ok(right && hash.is_some())
    }
}

/// What a password that somebody chooses has to be like.
pub(crate) fn check(password: &Secret) -> Result<(), Error> {
    if (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.expose().len()) {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes; choose another one"
        )))
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("the hash of a password is of no use: {error}"))
}

#[cfg(test)]
mod tests;
