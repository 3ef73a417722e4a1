use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

fn open(root: &Path) -> Result<Folder, Error> {
    Folder::open(&Env::real(), root, None, None)
}

fn refused(root: &Path) -> Error {
    open(root).map(drop).unwrap_err()
}

/// Every name below, with the length of files.
fn contents(root: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(contents(&entry.path()));
        }
        found.push((entry.path(), if metadata.is_dir() { 0 } else { metadata.len() }));
    }
    found.sort();
    found
}

#[test]
fn a_missing_folder_becomes_a_store_and_stays_that_store() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("deep/down");
    let first = open(&root).unwrap().store().clone();
    assert_eq!(*open(&root).unwrap().store(), first);
    assert_ne!(first.uuid, [0; 16]);
    assert_ne!(first.dedup_key, [0; 32]);
}

#[test]
fn two_stores_have_different_identities_and_keys() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (dir.path().join("1"), dir.path().join("2"));
    let (one, two) = (open(&one).unwrap(), open(&two).unwrap());
    assert_ne!(one.store().uuid, two.store().uuid);
    assert_ne!(one.store().dedup_key, two.store().dedup_key);
}

#[test]
fn only_the_owner_may_read_the_key() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()).unwrap());
    let mode = std::fs::metadata(dir.path().join(STORE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_second_opening_is_refused_and_names_the_process() {
    let dir = TempDir::new().unwrap();
    let held = open(dir.path()).unwrap();
    let error = refused(dir.path());
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    drop(held);
    open(dir.path()).unwrap();
}

#[test]
fn a_foreign_folder_is_refused_and_untouched() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), b"years of work").unwrap();
    let before = contents(dir.path());
    let error = refused(dir.path());
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("thesis.tex"), "{error}");
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_file_in_the_place_of_the_folder_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::Invalid);
}

#[test]
fn a_damaged_store_file_is_refused_and_untouched() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()).unwrap());
    let path = dir.path().join(STORE);
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    let mut newer = good.clone();
    newer[8] = 9;
    let mut foreign = good.clone();
    foreign[0] = b'x';
    let cases = [
        (flipped, ErrorKind::Damaged, "checksum"),
        (good[..40].to_vec(), ErrorKind::Damaged, "are needed"),
        (Vec::new(), ErrorKind::Damaged, "STORE"),
        (newer, ErrorKind::Invalid, "newer archipelago"),
        (foreign, ErrorKind::Invalid, "choose another folder"),
    ];
    for (bytes, kind, says) in cases {
        std::fs::write(&path, bytes).unwrap();
        let before = contents(dir.path());
        let error = refused(dir.path());
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(says), "{error}");
        assert_eq!(contents(dir.path()), before);
    }
}

#[test]
fn a_store_without_its_store_file_is_damaged_and_not_made_anew() {
    let dir = TempDir::new().unwrap();
    let env = Env::real();
    open(dir.path()).unwrap().catalog(&env).unwrap();
    std::fs::remove_file(dir.path().join(STORE)).unwrap();
    assert_eq!(refused(dir.path()).kind(), ErrorKind::Damaged);
    assert!(!dir.path().join(STORE).exists());
}

#[test]
fn what_a_crash_while_founding_left_is_taken_up() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join(TMP)).unwrap();
    std::fs::write(dir.path().join(TMP).join(STORE), b"half a st").unwrap();
    std::fs::write(dir.path().join(LOCK), b"").unwrap();
    open(dir.path()).unwrap();
}

/// A store whose segments are at a url, without the place itself.
fn placed(root: &Path, url: &str) {
    let env = Env::real();
    let store = StoreFile { uuid: [7; 16], dedup_key: [8; 32] };
    Note::PLACE.write(&env, root, Some(url)).unwrap();
    write_store(&env, root, &store).unwrap();
}

#[test]
fn a_store_keeps_the_place_of_its_segments() {
    let dir = TempDir::new().unwrap();
    placed(dir.path(), "s3://bucket/a");
    let env = Env::real();
    for wanted in [None, Some("s3://bucket/a")] {
        let folder = Folder::open(&env, dir.path(), wanted, None).unwrap();
        assert_eq!(folder.place(), Some("s3://bucket/a"));
    }
    let error = Folder::open(&env, dir.path(), Some("s3://bucket/b"), None).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("s3://bucket/a, not in s3://bucket/b"), "{error}");
}

#[test]
fn a_store_with_its_own_folder_for_segments_gets_no_other_place() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).unwrap();
    let before = contents(dir.path());
    let error =
        Folder::open(&Env::real(), dir.path(), Some("rados://p"), None).map(drop).unwrap_err();
    assert!(error.message().contains("its folder 'pool'"), "{error}");
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_place_that_cannot_be_reached_makes_no_store() {
    let dir = TempDir::new().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "aws_access_key_id=A\naws_secret_access_key=B\n").unwrap();
    let root = dir.path().join("data");
    let url = format!("s3://b?endpoint=http://127.0.0.1:1&credentials={}", keys.display());
    let error = Folder::open(&Env::real(), &root, Some(&url), None).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    Folder::open(&Env::real(), &root, Some("nonsense"), None).map(drop).unwrap_err();
    assert!(!root.join(STORE).exists() && !root.join(Note::PLACE.file).exists());
    // The next try may name another place, or none.
    assert_eq!(open(&root).unwrap().place(), None);
}

#[test]
fn what_an_earlier_try_noted_is_void() {
    let dir = TempDir::new().unwrap();
    Note::PLACE.write(&Env::real(), dir.path(), Some("s3://bucket/a")).unwrap();
    assert_eq!(open(dir.path()).unwrap().place(), None);
    assert!(!dir.path().join(Note::PLACE.file).exists());
}

#[test]
fn a_damaged_place_is_told_and_nothing_is_touched() {
    let dir = TempDir::new().unwrap();
    placed(dir.path(), "s3://bucket/a");
    let path = dir.path().join(Note::PLACE.file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let before = contents(dir.path());
    assert_eq!(refused(dir.path()).kind(), ErrorKind::Damaged);
    let after = contents(dir.path());
    let is_ours = |(path, _): &&(PathBuf, u64)| !path.ends_with(LOCK) && !path.ends_with(PID);
    assert!(before.iter().filter(is_ours).eq(after.iter().filter(is_ours)));
}

#[test]
fn a_store_keeps_the_place_of_its_catalog() {
    let (env, dir) = (Env::real(), TempDir::new().unwrap());
    let (ours, other) = ("postgres://a@127.0.0.1/b", "postgres://a@127.0.0.1/c");
    Note::CATALOG.write(&env, dir.path(), Some(ours)).unwrap();
    let store = StoreFile { uuid: [7; 16], dedup_key: [8; 32] };
    write_store(&env, dir.path(), &store).unwrap();
    for wanted in [None, Some(ours)] {
        let folder = Folder::open(&env, dir.path(), None, wanted).unwrap();
        assert!(matches!(folder.home(&env).unwrap(), Home::Server(..)));
    }
    let error = Folder::open(&env, dir.path(), None, Some(other)).map(drop).unwrap_err();
    assert!(error.message().contains("a store keeps its catalog"), "{error}");
    let file = TempDir::new().unwrap();
    drop(open(file.path()).unwrap());
    let error = Folder::open(&env, file.path(), None, Some(ours)).map(drop).unwrap_err();
    assert!(error.message().contains("catalog.sqlite"), "{error}");
}

#[test]
fn a_catalog_that_cannot_be_reached_makes_no_store() {
    let (env, dir) = (Env::real(), TempDir::new().unwrap());
    let url = "postgres://a@127.0.0.1:1/b";
    let error = Folder::open(&env, dir.path(), None, Some(url)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!dir.path().join(STORE).exists() && !dir.path().join(Note::CATALOG.file).exists());
    let error = Folder::open(&env, dir.path(), None, Some("file:x")).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}
