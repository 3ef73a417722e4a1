//! Facts about files that are not complete.

use super::*;

fn aim(version: u64) -> Aim {
    let endpoint = "http://here".to_owned();
    let (source, size) = ("c/o".to_owned(), 40 * HASHED_BLOCK_BYTES);
    Aim { endpoint, source, version, size, created_ms: 1, sha256: None }
}

#[test]
fn a_transfer_goes_on_where_another_of_the_same_version_ended() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("o");
    let part = Part::open(&target, &aim(1)).unwrap();
    part.write(3 * HASHED_BLOCK_BYTES, b"content").unwrap();
    part.note(3..20).unwrap();
    part.note(21..22).unwrap();
    drop(part);
    let part = Part::open(&target, &aim(1)).unwrap();
    assert!(!part.has(2) && part.has(3) && part.has(19) && !part.has(20));
    // What was not noted is fetched again.
    assert!(!part.has(21));
    part.finish(false).unwrap();
    let mut bytes = [0; 7];
    File::open(&target).unwrap().read_exact_at(&mut bytes, 3 * HASHED_BLOCK_BYTES).unwrap();
    assert_eq!(&bytes, b"content");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn another_version_begins_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("o");
    let part = Part::open(&target, &aim(1)).unwrap();
    part.write(0, b"old").unwrap();
    part.note(0..40).unwrap();
    drop(part);
    let part = Part::open(&target, &aim(2)).unwrap();
    assert!((0..40).all(|block| !part.has(block)));
    part.finish(false).unwrap();
    let mut bytes = [9; 3];
    File::open(&target).unwrap().read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [0; 3]);
}

#[test]
fn a_torn_record_is_believed_as_far_as_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("o");
    let part = Part::open(&target, &aim(1)).unwrap();
    part.note(0..16).unwrap();
    let record = part.record_path.clone();
    drop(part);
    let mut text = fs::read(&record).unwrap();
    text.extend(b"17-18\nx-y\n99999999-999999999\n18-4");
    fs::write(&record, text).unwrap();
    let part = Part::open(&target, &aim(1)).unwrap();
    assert!(part.has(17) && !part.has(16) && !part.has(18));
}

#[test]
fn one_process_writes_it_and_nothing_that_others_put_there_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("o");
    let part = Part::open(&target, &aim(1)).unwrap();
    assert!(Part::open(&target, &aim(1)).is_err());
    let path = part.path.clone();
    drop(part);
    fs::remove_file(&path).unwrap();
    fs::write(dir.path().join("theirs"), b"theirs").unwrap();
    std::os::unix::fs::symlink(dir.path().join("theirs"), &path).unwrap();
    assert!(Part::open(&target, &aim(1)).is_err());
    assert_eq!(fs::read(dir.path().join("theirs")).unwrap(), b"theirs");
}

#[test]
fn a_file_that_exists_is_replaced_only_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("o");
    fs::write(&target, b"mine").unwrap();
    assert!(Part::open(&target, &aim(1)).unwrap().finish(false).is_err());
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    Part::open(&target, &aim(1)).unwrap().finish(true).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().len(), aim(1).size);
}

#[test]
fn blocks_that_are_forgotten_are_zeros_and_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("o");
    let part = Part::open(&target, &aim(1)).unwrap();
    assert!(!part.resumed());
    for block in [2, 3, 39] {
        part.write(block * HASHED_BLOCK_BYTES + 1, b"content").unwrap();
    }
    part.note(0..40).unwrap();
    part.forget(&[3..4, 39..40]).unwrap();
    assert!(part.has(2) && !part.has(3) && part.has(38) && !part.has(39));
    let local = part.local().unwrap();
    assert_eq!(local.len(), aim(1).size);
    for (block, there) in [(2, b"content"), (3, &[0; 7]), (39, &[0; 7])] {
        let mut bytes = [9; 7];
        local.read(block * HASHED_BLOCK_BYTES + 1, &mut bytes).unwrap();
        assert_eq!(&bytes, there, "{block}");
    }
}

#[test]
fn what_cannot_be_proven_begins_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("o");
    let part = Part::open(&target, &aim(1)).unwrap();
    part.write(0, b"old").unwrap();
    part.note(0..40).unwrap();
    drop(part);
    let mut part = Part::open(&target, &aim(1)).unwrap();
    assert!(part.resumed() && part.has(0));
    part.restart(&aim(1)).unwrap();
    assert!(!part.resumed() && (0..40).all(|block| !part.has(block)));
    drop(part);
    let part = Part::open(&target, &aim(1)).unwrap();
    assert!((0..40).all(|block| !part.has(block)));
    part.discard().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
