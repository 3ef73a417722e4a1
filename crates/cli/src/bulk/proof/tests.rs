//! Facts about what proves a file.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;

const BLOCK: usize = HASHED_BLOCK_BYTES as usize;

#[test]
fn of_a_file_with_hashes_of_blocks_those_that_differ_are_found_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o");
    let mut bytes = vec![1; 5 * BLOCK + 3];
    bytes[2 * BLOCK..3 * BLOCK].fill(0);
    let shorts = bytes.chunks(BLOCK).map(|block| hashes::short(&hashes::of_block(block)));
    let proof = Proof::Blocks(shorts.collect());
    fs::write(&path, &bytes).unwrap();
    let wrong = || {
        let local = Local::open(&path).unwrap().unwrap();
        proof.wrong(&local, &|_, _| {}).unwrap()
    };
    assert_eq!(wrong(), []);
    // In what is to be a hole, beside it, and in the last block.
    let file = fs::File::options().write(true).open(&path).unwrap();
    for at in [2 * BLOCK as u64 + 5, 3 * BLOCK as u64, 5 * BLOCK as u64 + 2] {
        file.write_all_at(b"X", at).unwrap();
    }
    assert_eq!(wrong(), [2..4, 5..6]);
}

#[test]
fn of_a_file_with_one_hash_all_of_it_is_wrong_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o");
    fs::write(&path, vec![1; BLOCK + 1]).unwrap();
    let local = Local::open(&path).unwrap().unwrap();
    let sha256 = hashes::hex(&local.hash(true, &|_, _| {}).unwrap().sha256.unwrap());
    for said in [sha256.clone(), sha256.to_uppercase()] {
        assert_eq!(Proof::Whole(said).wrong(&local, &|_, _| {}).unwrap(), []);
    }
    let wrong = Proof::Whole("00".repeat(32)).wrong(&local, &|_, _| {}).unwrap();
    assert_eq!(wrong, std::slice::from_ref(&(0..2)));
}
