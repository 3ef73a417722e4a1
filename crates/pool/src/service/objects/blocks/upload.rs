//! Blocks that come before the file that is to be made of them.

use std::io::{self, Read};

use archipelago_model::AccountId;

use super::super::Service;
use super::hash::{BlockHash, Hasher, Hashing};
use super::{HASHED_BLOCK_BYTES, ROWS_MAX};
use crate::catalog::blocks::{self, UploadedRow};
use crate::catalog::{Tx, quota};
use crate::core::Core;
use crate::error::{Error, ErrorKind};

/// How long a block waits for a file to be made of it, in ms: a client that was cut off goes on
/// the next day with what it had sent.
pub const BLOCK_WAIT_MS: u64 = 24 * 3600 * 1000;

/// Bytes of blocks in one request: they are stored as one.
const UPLOAD_BYTES_MAX: u64 = 4 << 30;

/// Blocks of an account that wait for a file at most: 256 GiB. More of them come once files
/// were made of these.
pub(super) const WAITING_BLOCKS_MAX: u64 = 1 << 16;

impl Service {
    /// Stores blocks, one behind the other, for an account to make files of. Gives their
    /// hashes. `size`: of all of them, if it is known.
    ///
    /// # Errors
    /// `Invalid` (too many); those of the input.
    pub fn blocks_put(
        &self,
        account: AccountId,
        size: Option<u64>,
        input: &mut dyn Read,
    ) -> Result<Vec<BlockHash>, Error> {
        let core = &self.core;
        check(size.unwrap_or(0))?;
        core.catalog.read(|tx| check_room(tx, account, size.unwrap_or(0)))?;
        let mut bounded = Bounded { input, left: UPLOAD_BYTES_MAX };
        let mut hashing = Hashing { input: &mut bounded, hasher: Hasher::new() };
        let (ingested, size) = core.store_behind(0, size, &mut hashing, &mut |_| {})?;
        let hashes = hashing.hasher.finish().ok_or_else(|| Error::invalid(too_many()))?;
        let zeros = BlockHash::of_zeros();
        core.bind(ingested, size, |tx, root| {
            check_room(tx, account, size)?;
            for (hash, start) in hashes.iter().zip((0..).step_by(HASHED_BLOCK_BYTES as usize)) {
                if *hash == zeros {
                    continue;
                }
                let size = (size - start).min(HASHED_BLOCK_BYTES);
                let row = UploadedRow { hash: hash.to_string(), start, size };
                blocks::put_upload(tx, account, &row, root, core.now_ms())?;
            }
            Ok(())
        })?;
        Ok(hashes)
    }
}

fn check(bytes: u64) -> Result<(), Error> {
    match bytes > UPLOAD_BYTES_MAX {
        true => Err(Error::invalid(too_many())),
        false => Ok(()),
    }
}

fn too_many() -> String {
    format!("blocks of {UPLOAD_BYTES_MAX} bytes at most come in one request; send them in several")
}

fn check_room(tx: &Tx<'_>, account: AccountId, bytes: u64) -> Result<(), Error> {
    let (waiting, waiting_bytes) = blocks::waiting(tx, account)?;
    quota::ask_without(tx, account, waiting_bytes.saturating_add(bytes))?;
    match waiting.saturating_add(bytes.div_ceil(HASHED_BLOCK_BYTES)) > WAITING_BLOCKS_MAX {
        true => Err(Error::new(
            ErrorKind::InUse,
            format!(
                "{waiting} uploaded blocks of the account wait for a file, of \
                 {WAITING_BLOCKS_MAX} at most; make files of them first, or wait a day"
            ),
        )),
        false => Ok(()),
    }
}

/// Refuses what is too much, whatever was said of it.
struct Bounded<'a> {
    input: &'a mut dyn Read,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, too_many()))?;
        Ok(read)
    }
}

impl Core {
    /// Lets go of blocks that waited long enough.
    pub(super) fn expire_uploads(&self) -> Result<(), Error> {
        let before = self.now_ms().saturating_sub(BLOCK_WAIT_MS);
        let due = self.catalog.read(|tx| blocks::is_due(tx, before))?;
        while due
            && !self.stopping()
            && self.catalog.write(|tx| blocks::expire(tx, before, ROWS_MAX))? == ROWS_MAX
        {}
        Ok(())
    }

    /// Lets go of blocks that a file has now.
    pub(super) fn forget_uploads(
        &self,
        account: AccountId,
        hashes: &[BlockHash],
    ) -> Result<(), Error> {
        for chunk in hashes.chunks(ROWS_MAX) {
            self.catalog.write(|tx| {
                chunk
                    .iter()
                    .try_for_each(|hash| blocks::remove_upload(tx, account, &hash.to_string()))
            })?;
        }
        Ok(())
    }
}
