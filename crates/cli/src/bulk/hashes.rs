//! Hashes of blocks and grains, as the server computes them (`api`, `delta`).

use archipelago_api::{BLOCK_HASH_BYTES, GRAIN_HASH_BYTES, SHORT_HASH_BYTES};
use sha2::{Digest, Sha256};

/// Of a block, or of all blocks of a file.
pub type Hash = [u8; BLOCK_HASH_BYTES];
/// What the store tells of the hash of a block.
pub type ShortHash = [u8; SHORT_HASH_BYTES];
/// Of a grain.
pub type GrainHash = [u8; GRAIN_HASH_BYTES];

fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Of a block: of it without the zeros at its end.
pub fn of_block(bytes: &[u8]) -> Hash {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    sha256(&bytes[..end])
}

/// Of all blocks of a file together.
pub fn of_file(blocks: &[Hash]) -> Hash {
    let mut row = blocks.to_vec();
    if row.is_empty() {
        return sha256(&[]);
    }
    row.resize(row.len().next_power_of_two(), [0; BLOCK_HASH_BYTES]);
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|pair| sha256(pair.as_flattened())).collect();
    }
    row.first().copied().unwrap_or_else(|| sha256(&[]))
}

/// What a list tells of a hash.
pub fn short(hash: &Hash) -> ShortHash {
    let mut short = [0; SHORT_HASH_BYTES];
    short.copy_from_slice(&hash[..SHORT_HASH_BYTES]);
    short
}

/// Of a grain, as it is.
pub fn of_grain(bytes: &[u8]) -> GrainHash {
    let mut hash = [0; GRAIN_HASH_BYTES];
    hash.copy_from_slice(&sha256(bytes)[..GRAIN_HASH_BYTES]);
    hash
}

/// In hexadecimal.
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_of_a_block_are_not_hashed() {
        assert_eq!(of_block(b"ab\0\0"), of_block(b"ab"));
        assert_ne!(of_block(b"\0ab"), of_block(b"ab"));
        assert_eq!(of_block(&[0; 9]), sha256(b""));
    }

    #[test]
    fn the_hash_of_a_file_is_the_root_of_a_tree_filled_up_with_zeros() {
        let blocks = [of_block(b"a"), of_block(b"b"), of_block(b"c")];
        let left = sha256(&[blocks[0], blocks[1]].concat());
        let right = sha256(&[blocks[2], [0; 32]].concat());
        assert_eq!(of_file(&blocks), sha256(&[left, right].concat()));
        assert_eq!(of_file(&blocks[..1]), blocks[0]);
        assert_eq!(of_file(&[]), sha256(b""));
    }
}
