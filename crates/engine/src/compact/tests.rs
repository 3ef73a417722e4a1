use super::Synthetic;
use super::plan::COLD_GROUPS;

/// In which chunks blocks `0..count` of a group are placed.
fn chunks(group: u64, count: u64) -> Vec<u64> {
    let mut at = Synthetic::default();
    (0..count).map(|block| at.place(group, block) / super::CHUNK_BLOCKS).collect()
}

#[test]
fn what_a_guest_wrote_is_packed_by_16_kib() {
    assert_eq!(chunks(7, 9), [0, 0, 0, 0, 1, 1, 1, 1, 2]);
}

#[test]
fn what_was_imported_keeps_its_chunks_of_64_kib() {
    let mut expected = vec![0; 16];
    expected.push(1);
    assert_eq!(chunks(COLD_GROUPS, 17), expected);
}

#[test]
fn an_older_version_of_a_block_begins_another_chunk() {
    let mut at = Synthetic::default();
    let places = [at.place(7, 0), at.place(7, 1), at.place(7, 1), at.place(8, 2)];
    assert_eq!(places.map(|place| place / super::CHUNK_BLOCKS), [0, 0, 1, 2]);
}
