//! Blocks that come before the file that is to be made of them.

use std::io::{self, Read};

use archipelago_model::{AccountId, PoolId};

use super::super::Service;
use super::super::metered::Metered;
use super::hash::{BlockHash, Hasher, Hashing};
use super::{HASHED_BLOCK_BYTES, ROWS_MAX};
use crate::catalog::blocks::{self, UploadedRow};
use crate::catalog::{Tx, quota};
use crate::core::Core;
use crate::error::{Error, ErrorKind};

/// How long a block waits for a file to be made of it, in ms: a client that was cut off goes on
/// the next day with what it had sent.
pub const BLOCK_WAIT_MS: u64 = 24 * 3600 * 1000;

/// How long where the disk is nearly full, or somebody asks for all room that there is. An upload
/// that is under way sends once more what it lacks then.
const BLOCK_WAIT_SHORT_MS: u64 = 60_000;

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
    /// `Invalid` (too many); `QuotaExceeded`, `InUse` (as many wait as may), also while they come;
    /// those of the input.
    pub fn blocks_put(
        &self,
        account: AccountId,
        size: Option<u64>,
        input: &mut dyn Read,
    ) -> Result<Vec<BlockHash>, Error> {
        let core = &self.core;
        check(size.unwrap_or(0))?;
        let mut bounded = Bounded { input, left: UPLOAD_BYTES_MAX };
        let room = |bytes| core.catalog.read(|tx| check_room(tx, account, bytes));
        let mut metered = Metered::new(&mut bounded, size, &room)?;
        let mut hashing = Hashing { input: &mut metered, hasher: Hasher::new() };
        let stored = core.store_behind(PoolId::FIRST, 0, size, &mut hashing, &mut |_| {});
        let hasher = hashing.hasher;
        let (ingested, size) = metered.settle(stored)?;
        let hashes = hasher.finish().ok_or_else(|| Error::invalid(too_many()))?;
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

/// Whether so many bytes of blocks may come, and how many may.
fn check_room(tx: &Tx<'_>, account: AccountId, bytes: u64) -> Result<u64, Error> {
    let (waiting, waiting_bytes) = blocks::waiting(tx, account)?;
    let room = quota::ask_without(tx, account, waiting_bytes.saturating_add(bytes))?;
    let blocks_left = WAITING_BLOCKS_MAX.saturating_sub(waiting);
    match bytes.div_ceil(HASHED_BLOCK_BYTES) > blocks_left {
        true => Err(Error::new(
            ErrorKind::InUse,
            format!(
                "{waiting} uploaded blocks of the account wait for a file, of \
                 {WAITING_BLOCKS_MAX} at most; make files of them first, or wait a day"
            ),
        )),
        false => Ok(room.saturating_sub(waiting_bytes).min(blocks_left * HASHED_BLOCK_BYTES)),
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
    /// Lets go of blocks that waited long enough, as many as there is budget for.
    pub(super) fn expire_uploads(&self, hurry: bool, budget: &mut u64) -> Result<(), Error> {
        let wait = if hurry { BLOCK_WAIT_SHORT_MS } else { BLOCK_WAIT_MS };
        let before = self.ended_ms().saturating_sub(wait);
        let mut due = self.catalog.read(|tx| blocks::is_due(tx, before))?;
        while due && *budget > 0 && !self.stopping() {
            let expired = self.catalog.write(|tx| blocks::expire(tx, before, ROWS_MAX))?;
            *budget = budget.saturating_sub(expired as u64);
            due = expired == ROWS_MAX;
        }
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
