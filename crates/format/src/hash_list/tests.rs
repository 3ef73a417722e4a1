//! Facts about lists of hashes.

use super::*;

#[test]
fn a_list_reads_as_it_was_written() {
    for count in [0, 1, 5] {
        let hashes: Vec<Hash> = (0..count).map(|n| [n; HASH_BYTES]).collect();
        assert_eq!(decode(&encode(&hashes)), Ok(hashes));
    }
}

#[test]
fn a_list_that_ends_inside_a_hash_is_refused() {
    assert!(decode(&[1; HASH_BYTES + 1]).is_err());
}
