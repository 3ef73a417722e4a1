//! The hashes of the blocks of a file, one behind the other: what a map has of a long list.

use crate::FormatError;

/// Bytes of a hash: SHA-256.
pub const HASH_BYTES: usize = 32;

/// A hash of a block.
pub type Hash = [u8; HASH_BYTES];

/// Bytes of a list.
pub fn encode(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The hashes in a list.
///
/// # Errors
/// The bytes are not those of whole hashes.
pub fn decode(bytes: &[u8]) -> Result<Vec<Hash>, FormatError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    match rest.is_empty() {
        true => Ok(hashes.to_vec()),
        false => Err(FormatError::Field { what: "hash list", field: "length" }),
    }
}

#[cfg(test)]
mod tests;
