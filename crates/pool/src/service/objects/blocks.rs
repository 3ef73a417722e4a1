//! Files by the hashes of their blocks, as clients of Pithos put and get them: what is stored
//! already does not travel.
//!
//! * [`hash`]: how a block and a file are hashed.
//! * [`lists`]: the hashes of a version, computed once and kept.
//! * [`compose`]: a file made of blocks that its account has: a map is spliced, no data moves.
//! * [`upload`]: blocks that come before their file.
//! * [`delta`]: files of the command line, by what differs from a version that is there.
//!
//! **An account learns of its own blocks only.** Whether a block is there, and what is in it,
//! is asked among what the account uploaded and the files that it owns: who knows the hashes
//! of somebody else's file has nothing of it.

mod compose;
mod delta;
mod hash;
mod lists;
mod upload;

pub use compose::{Compose, Composed};
pub use delta::{DeltaPut, FileCompose, FileComposed, FileVersion, GRAIN_HASH_BYTES};
pub use hash::{BlockHash, BlockHashError};
pub use lists::HashList;
pub(crate) use lists::Tidying;
pub(super) use lists::link_copy;
pub use upload::BLOCK_WAIT_MS;

/// Bytes of a block that has a hash.
pub const HASHED_BLOCK_BYTES: u64 = 4 << 20;

/// Blocks of a file at most: 5 TiB. Their hashes are 42 MB, which whoever makes or reads such a
/// file holds in memory.
pub const HASHED_BLOCKS_MAX: usize = (5 << 40) / HASHED_BLOCK_BYTES as usize;

/// What nobody has hashed yet is hashed when somebody asks in passing, if it is no larger:
/// that takes less than a second.
pub const HASHED_AT_ONCE_BYTES_MAX: u64 = 64 << 20;

/// Rows that are changed in one transaction, which everybody else waits for: some 20 ms.
const ROWS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
