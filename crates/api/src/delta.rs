//! What travels of a file that the other side has most of: hashes of blocks and of grains.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Bytes of a block that has a hash: the SHA-256 of the block without the zeros at its end.
pub const HASHED_BLOCK_BYTES: u64 = 4 << 20;

/// A longer file has no hashes of its blocks.
pub const HASHED_FILE_BYTES_MAX: u64 = 5 << 40;

/// Bytes of a hash of a block, and of all blocks of a file together: the root of a binary tree of
/// SHA-256 over them, filled up with zeros to a power of two; of no blocks, the SHA-256 of
/// nothing; of one, its own.
pub const BLOCK_HASH_BYTES: usize = 32;

/// Of these, what a list of the blocks of a version tells.
pub const SHORT_HASH_BYTES: usize = 16;

/// Bytes of the hash of a grain of a block: the first of its SHA-256.
pub const GRAIN_HASH_BYTES: usize = 8;

/// The header that names the version which an answer is of.
pub const FILE_VERSION_HEADER: &str = "x-archipelago-file-version";
/// The header with its size, in bytes.
pub const FILE_SIZE_HEADER: &str = "x-archipelago-file-size";
/// The header with the hash of all its blocks, hexadecimal.
pub const FILE_HASH_HEADER: &str = "x-archipelago-file-hash";

/// Ranges of one request.
pub const RANGES_MAX: usize = 1024;

/// Bytes whose grains are hashed in one request.
pub const HASHED_AT_ONCE_MAX: u64 = 256 << 20;

/// Which grains of a version to hash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HashGrains {
    /// The version.
    pub version: u64,
    /// Bytes of a grain: a power of two, 4096 to 2 MiB.
    #[schema(example = 65536)]
    pub grain: u64,
    /// Where grains are: pairs of the first byte and the one behind the last, in order; 1024 at
    /// most, of 256 MiB together.
    pub ranges: Vec<(u64, u64)>,
}

/// What a file is made of that comes by the hashes of its blocks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ComposeQuery {
    /// Its size, in bytes.
    pub size: u64,
    /// SHA-256 of the content, kept with the file: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComposedFile {
    /// The file, durable; null when blocks are missing.
    pub file: Option<crate::File>,
    /// The blocks that the account has not, by their places in the list, each once.
    pub missing: Vec<u64>,
}

/// Blocks that were stored to make files of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredBlocks {
    /// Their hashes, hexadecimal.
    pub hashes: Vec<String>,
}
