//! Whether what an earlier run fetched is what the store has.

use std::ops::Range;

use archipelago_api::HASHED_BLOCK_BYTES;

use super::compare::add;
use super::hashes::{self, ShortHash};
use super::local::Local;
use crate::failure::Result;

/// What a file is proven with, all of it.
pub enum Proof {
    /// The shorts of its blocks.
    Blocks(Vec<ShortHash>),
    /// The SHA-256 of all of it, in hexadecimal: of files that are too long for hashes of blocks.
    Whole(String),
}

impl Proof {
    /// The blocks that are not as they are to be, ascending; all of them where nothing says which.
    pub fn wrong(&self, local: &Local, progress: &dyn Fn(u64, u64)) -> Result<Vec<Range<u64>>> {
        let hashed = local.hash(matches!(self, Self::Whole(_)), progress)?;
        let mut wrong = Vec::new();
        match self {
            Self::Blocks(shorts) => {
                for (block, hash) in (0..).zip(&hashed.blocks) {
                    if shorts.get(block as usize) != Some(&hashes::short(hash)) {
                        add(&mut wrong, block..block + 1);
                    }
                }
            }
            Self::Whole(sha256) => {
                let found = hashed.sha256.map(|hash| hashes::hex(&hash));
                if !found.is_some_and(|found| found.eq_ignore_ascii_case(sha256)) {
                    wrong.push(0..local.len().div_ceil(HASHED_BLOCK_BYTES));
                }
            }
        }
        Ok(wrong)
    }
}

#[cfg(test)]
mod tests;
