use std::fs;

use archipelago_env::Env;
use archipelago_model::SegmentId;
use tempfile::TempDir;

use super::ClaimedDirectory;
use crate::{Store, StoreError, conformance};

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

#[test]
fn a_claimed_directory_is_a_store() {
    let dirs: Vec<TempDir> = (0..40).map(|_| TempDir::new().unwrap()).collect();
    let mut next = dirs.iter();
    conformance::check(|| {
        let root = next.next().unwrap().path();
        ClaimedDirectory::claim(&Env::real(), root, "a").unwrap();
        std::sync::Arc::new(ClaimedDirectory::open(&Env::real(), root, "a").unwrap())
    });
}

#[test]
fn a_folder_of_another_store_or_with_other_things_is_refused() {
    let (env, dir) = (Env::real(), TempDir::new().unwrap());
    ClaimedDirectory::claim(&env, dir.path(), "a").unwrap();
    ClaimedDirectory::claim(&env, dir.path(), "a").unwrap();
    for refused in [
        ClaimedDirectory::claim(&env, dir.path(), "b"),
        ClaimedDirectory::open(&env, dir.path(), "b").map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::Unusable { .. })));
    }
    let other = TempDir::new().unwrap();
    fs::write(other.path().join("letter.txt"), "dear").unwrap();
    let refused = ClaimedDirectory::claim(&env, other.path(), "a");
    assert!(matches!(refused, Err(StoreError::Unusable { .. })));
    assert!(!other.path().join("owner").exists());
}

#[test]
fn a_folder_whose_disk_is_not_mounted_is_away_and_not_empty() {
    let (env, dir) = (Env::real(), TempDir::new().unwrap());
    ClaimedDirectory::claim(&env, dir.path(), "a").unwrap();
    let store = ClaimedDirectory::open(&env, dir.path(), "a").unwrap();
    store.create(id(1), 0).unwrap().seal(0).unwrap();
    let aside = dir.path().with_extension("aside");
    fs::rename(dir.path(), &aside).unwrap();
    fs::create_dir(dir.path()).unwrap();
    let away = [
        store.len(id(2)).map(drop),
        store.create(id(3), 0).map(drop),
        store.remove(id(1)),
        store.list_from(id(1)).map(drop),
        store.space().map(drop),
        ClaimedDirectory::open(&env, dir.path(), "a").map(drop),
    ];
    for answer in away {
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
    fs::remove_dir(dir.path()).unwrap();
    fs::rename(&aside, dir.path()).unwrap();
    assert_eq!(store.list_from(id(1)).unwrap(), [id(1)]);
}

#[test]
fn a_folder_that_was_given_up_may_be_claimed_by_another() {
    let (env, dir) = (Env::real(), TempDir::new().unwrap());
    ClaimedDirectory::claim(&env, dir.path(), "a").unwrap();
    ClaimedDirectory::unclaim(&env, dir.path(), "another").unwrap();
    assert!(ClaimedDirectory::open(&env, dir.path(), "a").is_ok());
    ClaimedDirectory::unclaim(&env, dir.path(), "a").unwrap();
    ClaimedDirectory::unclaim(&env, dir.path(), "a").unwrap();
    ClaimedDirectory::claim(&env, dir.path(), "b").unwrap();
    assert!(ClaimedDirectory::open(&env, dir.path(), "b").is_ok());
}
