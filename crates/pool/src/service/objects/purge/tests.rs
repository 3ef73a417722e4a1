//! Facts about the past that is removed for good.

use super::super::tests::{Home, container_name, named};
use super::super::{CopySource, Versioning, Which};
use super::{PAST_MAX, PURGE_ROWS};
use crate::ErrorKind;
use crate::object::{Object, Walk};
use crate::{HELD, LOCK_HOLD};

impl Home {
    /// A container that keeps versions, in which `o` has so many.
    fn with_versions(count: usize) -> Self {
        let home = Self::new();
        home.versioning(Versioning::Enabled);
        home.put("o", b"first");
        home.copies(count - 1);
        home
    }

    fn copies(&self, count: usize) {
        let from = CopySource { container: self.id, name: named("o"), which: Which::Latest };
        let finish = &mut |object: &Object| Ok(object.meta.clone().unlocked());
        for _ in 0..count {
            self.service().object_copy(&from, self.id, &named("o"), finish, &|_| Ok(())).unwrap();
        }
    }

    fn hold(&self, which: Which) {
        let hold = &mut |object: &Object| {
            let mut meta = object.meta.clone();
            meta.settings.insert(LOCK_HOLD.to_owned(), HELD.to_owned());
            Ok(meta)
        };
        self.service().object_change(self.id, &named("o"), which, hold).unwrap();
    }

    fn past(&self) -> usize {
        let walk = Walk { limit: 10_000, ..Walk::default() };
        self.service().version_walk(self.id, &walk, None).unwrap().steps.len()
    }

    fn purge(&self, until_ms: u64) -> u64 {
        self.service().object_purge(self.id, &named("o"), until_ms).unwrap()
    }
}

#[test]
fn of_a_removed_object_nothing_is_left_however_many_versions_it_had() {
    let home = Home::with_versions(2 * PURGE_ROWS + 3);
    home.remove("o", Which::Latest);
    assert_eq!(home.purge(u64::MAX), 2 * PURGE_ROWS as u64 + 4);
    assert_eq!(home.past(), 0);
    assert_eq!(home.counters(), (0, 0, 0));
    assert_eq!(home.purge(u64::MAX), 0);
}

#[test]
fn what_is_there_now_stays() {
    let home = Home::with_versions(3);
    home.purge(u64::MAX);
    assert_eq!(home.past(), 1);
    assert_eq!(home.get("o", Which::Latest).unwrap(), b"first");
}

#[test]
fn what_is_younger_stays() {
    let home = Home::with_versions(3);
    home.purge(0);
    assert_eq!(home.past(), 3);
}

#[test]
fn a_note_of_a_removal_stays_as_long_as_there_is_something_below_it() {
    let home = Home::with_versions(2);
    let first = home.put("o", b"held").id;
    home.hold(Which::Version(first));
    home.copies(1);
    home.remove("o", Which::Latest);
    home.purge(u64::MAX);
    assert_eq!(home.past(), 2);
    assert_eq!(home.get("o", Which::Latest).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(home.get("o", Which::Version(first)).unwrap(), b"held");
}

#[test]
fn a_container_goes_with_its_past() {
    let home = Home::with_versions(5);
    home.remove("o", Which::Latest);
    home.service().container_remove_past(home.id).unwrap();
    let found = home.service().container(super::super::tests::ACCOUNT, &container_name("c"));
    assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_container_that_has_to_stay_keeps_all_of_its_past() {
    let stays = |home: &Home, versions: usize| {
        let error = home.service().container_remove_past(home.id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
        assert_eq!(home.past(), versions);
    };
    let home = Home::with_versions(3);
    stays(&home, 3);
    let held = home.put("o", b"held").id;
    home.hold(Which::Version(held));
    home.remove("o", Which::Latest);
    stays(&home, 5);
}

#[test]
fn a_container_with_more_of_a_past_than_one_transaction_removes_has_to_be_purged_first() {
    let home = Home::with_versions(PAST_MAX);
    home.remove("o", Which::Latest);
    let error = home.service().container_remove_past(home.id).unwrap_err();
    assert!(error.to_string().contains("purge"), "{error}");
    home.purge(u64::MAX);
    home.service().container_remove_past(home.id).unwrap();
}
