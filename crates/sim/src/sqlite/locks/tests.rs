//! Facts about locks: which ones stand against which.

use super::*;

#[test]
fn readers_share_and_keep_a_writer_from_the_end() {
    let file = Shared::default();
    let (mut a, mut b, mut c) = (Level::None, Level::None, Level::None);
    file.lock(&mut a, Level::Shared).unwrap();
    file.lock(&mut b, Level::Shared).unwrap();
    file.lock(&mut a, Level::Reserved).unwrap();
    assert!(file.is_reserved());
    assert_eq!(file.lock(&mut b, Level::Reserved), Err(Busy));
    assert_eq!(file.lock(&mut a, Level::Exclusive), Err(Busy));
    assert_eq!(a, Level::Pending);
    assert_eq!(file.lock(&mut c, Level::Shared), Err(Busy), "no new readers meanwhile");
    file.unlock(&mut b, Level::None);
    file.lock(&mut a, Level::Exclusive).unwrap();
    file.unlock(&mut a, Level::Shared);
    file.lock(&mut c, Level::Shared).unwrap();
    assert!(!file.is_reserved());
}

#[test]
fn locks_of_the_index_are_taken_all_or_none() {
    let file = Shared::default();
    let (mut a, mut b) = (IndexUse::default(), IndexUse::default());
    file.lock_index(&mut a, 3, 1, false).unwrap();
    file.lock_index(&mut b, 3, 1, false).unwrap();
    assert_eq!(file.lock_index(&mut b, 2, 3, true), Err(Busy));
    file.unlock_index(&mut a, 3, 1);
    file.unlock_index(&mut b, 3, 1);
    file.lock_index(&mut b, 2, 3, true).unwrap();
    assert_eq!(file.lock_index(&mut a, 4, 1, false), Err(Busy));
    file.unmap(&mut b);
    file.lock_index(&mut a, 4, 1, false).unwrap();
}

#[test]
fn the_index_lasts_as_long_as_somebody_maps_it() {
    let file = Shared::default();
    let (mut a, mut b) = (IndexUse::default(), IndexUse::default());
    assert!(file.map(&mut a, 0, 32 << 10, false).is_none());
    let first = file.map(&mut a, 1, 32 << 10, true);
    assert!(first.is_some());
    assert_eq!(file.map(&mut b, 1, 32 << 10, true), first);
    file.unmap(&mut a);
    assert_eq!(file.map(&mut b, 1, 32 << 10, false), first);
    file.unmap(&mut b);
    assert!(file.map(&mut a, 1, 32 << 10, false).is_none());
}
