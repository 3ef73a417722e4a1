//! Facts about the store in a directory.

use tempfile::TempDir;

use super::*;
use crate::conformance;

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn store() -> (TempDir, DirectoryStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(&Env::real(), dir.path()).unwrap();
    (dir, store)
}

#[test]
fn a_directory_conforms() {
    let mut dirs = Vec::new();
    conformance::check(|| {
        let (dir, store) = store();
        dirs.push(dir);
        Arc::new(store)
    });
}

#[test]
fn segments_are_still_there_when_the_directory_is_opened_again() {
    let (dir, store) = store();
    let writer = store.create(id(5), 4096).unwrap();
    writer.write_at(0, &[IoSlice::new(b"kept")]).unwrap();
    writer.seal(4).unwrap();
    drop(store);
    let store = DirectoryStore::open(&Env::real(), dir.path()).unwrap();
    assert_eq!(store.list_from(id(1)).unwrap(), [id(5)]);
    assert_eq!(store.len(id(5)).unwrap(), 4);
}

#[test]
fn a_segment_lies_in_the_shard_of_its_id() {
    let (dir, store) = store();
    store.create(id(0x12_3456_789a), 0).unwrap();
    assert!(dir.path().join("segments/1234567/123456789a.seg").exists());
}

#[test]
fn an_open_segment_has_its_capacity_as_its_length() {
    let (dir, store) = store();
    store.create(id(1), 12345).unwrap();
    let path = dir.path().join("segments/0000000/0000000001.seg");
    assert_eq!(std::fs::metadata(path).unwrap().len(), 12345);
}

#[test]
fn what_is_not_a_segment_is_not_listed() {
    let (dir, store) = store();
    store.create(id(0xab), 0).unwrap();
    let segments = dir.path().join("segments");
    std::fs::create_dir(segments.join("lost+found")).unwrap();
    std::fs::create_dir(segments.join("1")).unwrap();
    std::fs::write(segments.join("0000001"), "").unwrap();
    let shard = segments.join("0000000");
    for name in ["00000000AC.seg", "ad.seg", "0000000000.seg", "00000000ae.tmp", "0000001000.seg"] {
        std::fs::write(shard.join(name), "").unwrap();
    }
    assert_eq!(store.list_from(id(1)).unwrap(), [id(0xab)]);
}

#[test]
fn more_segments_than_handles_are_read() {
    let (_dir, store) = store();
    let count = READERS_MAX as u64 * 2;
    for raw in 1..=count {
        let writer = store.create(id(raw), 0).unwrap();
        writer.write_at(0, &[IoSlice::new(&raw.to_be_bytes())]).unwrap();
    }
    for raw in (1..=count).chain(1..=count) {
        let mut read = [0; 8];
        store.read_at(id(raw), 0, &mut read).unwrap();
        assert_eq!(read, raw.to_be_bytes());
    }
    assert!(store.readers.len() <= READERS_MAX);
}

#[test]
fn the_room_is_that_of_the_filesystem() {
    let (_dir, store) = store();
    assert!(store.space().unwrap().total > 0);
}
