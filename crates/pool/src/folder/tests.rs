use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

fn open(root: &Path) -> Result<Folder, Error> {
    Folder::open(&Env::real(), root)
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
