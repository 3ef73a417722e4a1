//! Hashes of blocks, as clients of Pithos compute them.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use archipelago_format::hash_list::{HASH_BYTES, Hash};
use aws_lc_rs::digest::{Context, SHA256, digest};

use super::{HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX};

/// What trailing zeros are hashed from, once something follows them.
static ZEROS: [u8; 4096] = [0; 4096];

/// SHA-256 of a block without the zeros at its end; or of all blocks of a file together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub(crate) Hash);

impl BlockHash {
    /// Of a block of zeros, which is stored nowhere.
    pub fn of_zeros() -> Self {
        Self::of(&[])
    }

    /// As its bytes say.
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// Of a file that is made of such blocks: the root of a tree of hashes, filled up with
    /// zeros to a power of two.
    pub fn of_file(blocks: &[Self]) -> Self {
        let mut row: Vec<Hash> = blocks.iter().map(|block| block.0).collect();
        if row.is_empty() {
            return Self::of(&[]);
        }
        row.resize(row.len().next_power_of_two(), [0; HASH_BYTES]);
        while row.len() > 1 {
            let (pairs, _) = row.as_chunks::<2>();
            row = pairs.iter().map(|pair| Self::of(pair.as_flattened()).0).collect();
        }
        row.first().copied().map_or_else(Self::of_zeros, Self)
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is no hash of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHashError;

impl fmt::Display for BlockHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hash of a block is 64 hexadecimal digits")
    }
}

impl std::error::Error for BlockHashError {}

impl FromStr for BlockHash {
    type Err = BlockHashError;

    fn from_str(text: &str) -> Result<Self, BlockHashError> {
        let mut hash = [0; HASH_BYTES];
        hex::decode_to_slice(text, &mut hash).map_err(|_| BlockHashError)?;
        Ok(Self(hash))
    }
}

/// Computes the hashes of the blocks of what goes through it.
pub(super) struct Hasher {
    hashes: Vec<BlockHash>,
    block: Context,
    /// Of the present block, how much was seen, and how many of that are zeros at its end.
    seen: u64,
    zeros: u64,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self { hashes: Vec::new(), block: Context::new(&SHA256), seen: 0, zeros: 0 }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (HASHED_BLOCK_BYTES - self.seen).min(bytes.len() as u64) as usize;
            let (now, rest) = bytes.split_at(room);
            self.add(now);
            self.seen += now.len() as u64;
            if self.seen == HASHED_BLOCK_BYTES {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
            self.zeros += bytes.len() as u64;
            return;
        };
        let (said, zeros) = bytes.split_at(last + 1);
        while self.zeros > 0 {
            let some = self.zeros.min(ZEROS.len() as u64);
            self.block.update(&ZEROS[..some as usize]);
            self.zeros -= some;
        }
        self.block.update(said);
        self.zeros = zeros.len() as u64;
    }

    fn end_block(&mut self) {
        let block = std::mem::replace(&mut self.block, Context::new(&SHA256));
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(block.finish().as_ref());
        // One more than there may be says that there are too many.
        if self.hashes.len() <= HASHED_BLOCKS_MAX {
            self.hashes.push(BlockHash(hash));
        }
        (self.seen, self.zeros) = (0, 0);
    }

    /// The hashes, unless there are too many.
    pub(super) fn finish(mut self) -> Option<Vec<BlockHash>> {
        if self.seen > 0 {
            self.end_block();
        }
        (self.hashes.len() <= HASHED_BLOCKS_MAX).then_some(self.hashes)
    }
}

/// Hashes what is read through it.
pub(super) struct Hashing<'a> {
    pub(super) input: &'a mut dyn Read,
    pub(super) hasher: Hasher,
}

impl Read for Hashing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.hasher.update(&out[..read]);
        Ok(read)
    }
}
