//! Facts about what ends by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipelago_model::{AccountId, ContainerName, FileId, ObjectName};

use super::*;
use crate::catalog::container;
use crate::lifecycle::{Expiration, Filter, Noncurrent};
use crate::lock::{DefaultLock, LOCK_HOLD, LOCK_MODE, LOCK_UNTIL};
use crate::object::{Container, DELETE_AT, Listing, Meta, Versioning, Which};
use crate::testing::{Bench, Hands, noise, stream};
use crate::{CopySource, Stored, UploadAt};

const ACCOUNT: AccountId = AccountId::new(0);
/// What a test calls a day.
pub(super) const DAY: u64 = 10_000;

/// A container `files` of the command line, in a store whose time a test moves.
pub(super) struct Home {
    pub bench: Bench,
    pub hands: Arc<Hands>,
    pub id: u64,
}

pub(super) fn name(name: &str) -> ObjectName {
    name.parse().unwrap()
}

fn settings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

impl Home {
    /// Everyone may read it, and there is a link to it.
    pub fn share_and_publish(&self, object: &str) -> crate::Shared {
        let shared = crate::Shared::Path(self.id, object.to_owned());
        let grant = crate::Grant::new(crate::Grantee::Everyone, crate::Right::Read);
        let share = &mut |grants: &mut Vec<crate::Grant>| {
            grants.push(grant.clone());
            Ok(())
        };
        self.service().grants_change("me", &shared, share).unwrap();
        self.service().link_create("me", self.id, &name(object), None, &|_| Ok(())).unwrap();
        shared
    }

    pub fn new(versioning: Versioning) -> Self {
        Self::with_days(versioning, DAY)
    }

    pub fn with_days(versioning: Versioning, lifecycle_day_ms: u64) -> Self {
        let config = crate::Config { lifecycle_day_ms, ..crate::testing::config() };
        let (bench, hands) = Bench::timed(config);
        let container: ContainerName = "files".parse().unwrap();
        let id = bench.service.container_create(ACCOUNT, &container).unwrap().id;
        let home = Self { bench, hands, id };
        home.change(|container| container.versioning = versioning);
        home
    }

    pub fn service(&self) -> &Service {
        &self.bench.service
    }

    pub fn change(&self, change: impl Fn(&mut Container)) {
        let change = &mut |container: &mut Container| {
            change(container);
            Ok(())
        };
        self.service().container_change(self.id, change).unwrap();
    }

    pub fn put(&self, object: &str, meta: Meta) -> Object {
        let bytes = noise(1, 100);
        let finish = &mut |_: &Stored| Ok(meta.clone());
        let (input, name) = (&mut &bytes[..], name(object));
        self.service().object_put(self.id, &name, Some(100), input, finish, &|_| Ok(())).unwrap()
    }

    /// One that ends after so many seconds.
    pub fn put_ending(&self, object: &str, seconds: u64) -> Object {
        let at = (self.service().now_ms() / 1000 + seconds).to_string();
        self.put(object, Meta { settings: settings([(DELETE_AT, &at)]), ..Meta::default() })
    }

    pub fn there(&self, object: &str, which: Which) -> bool {
        self.service().object_open(self.id, &name(object), which).is_ok()
    }

    /// Names with `+`, newest first, as marks of removal have `-`.
    pub fn rows(&self) -> Vec<String> {
        let listing = Listing { limit: 1000, ..Listing::default() };
        let page = self.service().versions(self.id, &listing).unwrap();
        let sign = |object: &Object| if object.marker { '-' } else { '+' };
        page.items.iter().map(|object| format!("{}{}", sign(object), object.name)).collect()
    }

    pub fn end(&self) -> Ended {
        let ended = self.service().end_due().unwrap();
        let catalog = &self.service().core.catalog;
        assert_eq!(catalog.verify().unwrap(), Vec::<String>::new());
        assert_eq!(catalog.read(container::miscounted).unwrap(), []);
        ended
    }

    pub fn rules(&self, rules: &[Rule]) {
        self.service().lifecycle_set(self.id, rules, "said").unwrap();
    }

    pub fn begin(&self, object: &str) -> String {
        let upload = self.service().upload_create(self.id, &name(object), Meta::default()).unwrap();
        self.part(object, &upload.uuid, 1);
        upload.uuid
    }

    pub fn part(&self, object: &str, uuid: &str, number: u32) {
        let at = UploadAt { container: self.id, name: &name(object), uuid };
        let finish = &mut |_: &Stored| Ok(BTreeMap::new());
        self.service().upload_part(at, number, Some(3), &mut &b"abc"[..], finish).unwrap();
    }

    pub fn uploads(&self) -> usize {
        let listing = Listing { limit: 1000, ..Listing::default() };
        self.service().uploads(self.id, &listing, None).unwrap().items.len()
    }
}

pub(super) fn rule() -> Rule {
    Rule {
        id: "one".to_owned(),
        enabled: true,
        filter: Filter::default(),
        expiration: None,
        noncurrent: None,
        abort_days: None,
    }
}

pub(super) fn days(days: u32) -> Rule {
    Rule { expiration: Some(Expiration::Days(days)), ..rule() }
}

#[test]
fn an_object_that_has_ended_is_nowhere_at_once_and_goes_later() {
    let home = Home::new(Versioning::Off);
    home.put_ending("a", 10);
    home.put("b", Meta::default());
    home.hands.forward(9_999);
    assert!(home.there("a", Which::Latest));
    let files: ContainerName = "files".parse().unwrap();
    assert!(home.service().file(&files, &name("a")).is_ok());
    assert_eq!(home.end(), Ended::default());
    home.hands.forward(1);
    assert!(!home.there("a", Which::Latest));
    assert!(home.service().object(home.id, &name("a"), Which::Latest).is_err());
    assert_eq!(home.service().object_or_marker(home.id, &name("a"), Which::Latest).unwrap(), None);
    let change = &mut |object: &Object| Ok(object.meta.clone());
    assert!(home.service().object_change(home.id, &name("a"), Which::Latest, change).is_err());
    let from = CopySource { container: home.id, name: name("a"), which: Which::Latest };
    let copied = home.service().object_copy(&from, home.id, &name("c"), change, &|_| Ok(()));
    assert!(copied.is_err());
    assert!(home.service().file(&files, &name("a")).is_err());
    assert!(home.service().open_device("file:files/a").is_err());
    let mut out = Vec::new();
    assert!(home.service().export(&"file:files/a".parse().unwrap(), &mut out).is_err());
    // Listings show it until it is removed.
    assert_eq!(home.rows(), ["+a", "+b"]);
    assert_eq!(home.end(), Ended { objects: 1, ..Ended::default() });
    assert_eq!(home.rows(), ["+b"]);
}

#[test]
fn what_is_put_on_one_that_has_ended_finds_nothing_there() {
    let home = Home::new(Versioning::Off);
    home.put_ending("a", 1);
    home.hands.forward(1000);
    let finish = &mut |_: &Stored| Ok(Meta::default());
    let only_new = |old: Option<&Object>| match old {
        None => Ok(()),
        Some(_) => Err(Error::invalid("there")),
    };
    let put =
        home.service().object_put(home.id, &name("a"), Some(1), &mut &b"x"[..], finish, &only_new);
    put.unwrap();
    assert_eq!(home.end(), Ended::default());
    assert!(home.there("a", Which::Latest));
}

#[test]
fn an_end_can_be_set_and_taken_back_later() {
    let home = Home::new(Versioning::Off);
    home.put("a", Meta::default());
    home.put_ending("b", 5);
    let at = (home.service().now_ms() / 1000 + 5).to_string();
    let set = |object: &str, meta: Meta| {
        let change = &mut |_: &Object| Ok(meta.clone());
        home.service().object_change(home.id, &name(object), Which::Latest, change).unwrap();
    };
    set("a", Meta { settings: settings([(DELETE_AT, &at)]), ..Meta::default() });
    set("b", Meta::default());
    home.hands.forward(6000);
    assert_eq!(home.end().objects, 1);
    assert_eq!(home.rows(), ["+b"]);
}

#[test]
fn what_is_below_an_object_that_has_ended_does_not_come_back() {
    let home = Home::new(Versioning::Enabled);
    let first = home.put("a", Meta::default());
    home.put_ending("a", 1);
    home.hands.forward(1000);
    assert_eq!(home.end().objects, 1);
    assert_eq!(home.rows(), ["-a", "+a", "+a"]);
    assert!(!home.there("a", Which::Latest));
    assert!(home.there("a", Which::Version(first.id)));
}

#[test]
fn where_versions_are_kept_what_ends_is_removed_as_by_anybody() {
    let home = Home::new(Versioning::Enabled);
    let first = home.put_ending("a", 1);
    let by_id = Which::Version(first.id);
    home.hands.forward(1000);
    assert!(!home.there("a", Which::Latest) && home.there("a", by_id));
    assert_eq!(home.end().objects, 1);
    assert_eq!((home.rows(), home.end().objects), (vec!["-a".to_owned(), "+a".to_owned()], 0));
    assert!(home.there("a", by_id));
    // It does not come back when the marker goes.
    let marker = home.service().object_or_marker(home.id, &name("a"), Which::Latest).unwrap();
    let marker = Which::Version(marker.unwrap().id);
    home.service().object_remove(home.id, &name("a"), marker, &|_| Ok(())).unwrap();
    assert!(!home.there("a", Which::Latest));
    assert_eq!(home.end().objects, 1);
    // One that is not the newest any more just stays.
    home.put_ending("b", 1);
    home.put("b", Meta::default());
    home.hands.forward(1000);
    assert_eq!(home.end().objects, 0);
    assert!(home.there("b", Which::Latest));
}

#[test]
fn what_is_locked_stays_until_the_lock_is_over_and_is_not_found_all_the_same() {
    let home = Home::new(Versioning::Off);
    let now = home.service().now_ms();
    let until = (now + 50_000).to_string();
    let at = (now / 1000 + 1).to_string();
    let lock = settings([(DELETE_AT, &at), (LOCK_MODE, "GOVERNANCE"), (LOCK_UNTIL, &until)]);
    home.put("a", Meta { settings: lock, ..Meta::default() });
    let hold = settings([(DELETE_AT, &at), (LOCK_HOLD, "ON")]);
    home.put("b", Meta { settings: hold, ..Meta::default() });
    home.hands.forward(2000);
    assert_eq!(home.end().objects, 0);
    assert!(!home.there("a", Which::Latest));
    assert_eq!(home.rows(), ["+a", "+b"]);
    home.hands.forward(50_000);
    assert_eq!(home.end().objects, 1);
    assert_eq!(home.rows(), ["+b"]);
    home.hands.forward(HELD_LOOK_MS);
    assert_eq!(home.end().objects, 0);
}

#[test]
fn many_end_in_batches_and_a_crash_forgets_no_end() {
    let mut home = Home::new(Versioning::Off);
    for n in 0..BATCH + 3 {
        home.put_ending(&format!("{n:03}"), 1);
    }
    home.hands.forward(1000);
    home.bench.crash_timed(&home.hands);
    assert_eq!(home.end().objects, BATCH as u64 + 3);
    assert_eq!(home.rows(), Vec::<String>::new());
}

#[test]
fn a_rebuilt_catalog_knows_ends_and_rules() {
    let mut home = Home::new(Versioning::Off);
    home.put_ending("a", 5);
    home.rules(&[days(1)]);
    home.service().core.back_up().unwrap();
    home.service().close().unwrap();
    let data = home.bench.dir.path().join("data");
    Service::rebuild(&data, &archipelago_env::Env::real(), true).unwrap();
    home.bench.crash_timed(&home.hands);
    assert_eq!(home.service().lifecycle_said(home.id).unwrap().as_deref(), Some("said"));
    home.hands.forward(5000);
    assert_eq!(home.end().objects, 1);
}

#[test]
fn a_rule_removes_what_is_old_and_nothing_else() {
    let home = Home::new(Versioning::Off);
    let filter = Filter { prefix: "logs/".to_owned(), ..Filter::default() };
    home.rules(&[Rule { filter, ..days(2) }]);
    home.put("logs/old", Meta::default());
    home.put("other", Meta::default());
    home.hands.forward(DAY);
    home.put("logs/new", Meta::default());
    assert_eq!(home.end(), Ended::default());
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { by_rules: 1, ..Ended::default() });
    assert_eq!(home.rows(), ["+logs/new", "+other"]);
    home.hands.forward(DAY);
    assert_eq!(home.end().by_rules, 1);
    assert_eq!(home.rows(), ["+other"]);
}

#[test]
fn rules_are_followed_once_a_day_and_new_ones_at_once() {
    let home = Home::new(Versioning::Off);
    home.rules(&[days(9)]);
    home.end();
    let next = || home.service().core.catalog.read(lifecycle::list).unwrap()[0].next_ms;
    let now = home.service().now_ms();
    assert_eq!(next(), (now / DAY + 1) * DAY);
    home.rules(&[days(1)]);
    assert_eq!(next(), now);
    home.service().lifecycle_remove(home.id).unwrap();
    assert_eq!(home.service().lifecycle_said(home.id).unwrap(), None);
}

#[test]
fn where_versions_are_kept_a_rule_hides_and_locks_do_not_matter() {
    let home = Home::new(Versioning::Enabled);
    let hold = settings([(LOCK_HOLD, "ON")]);
    let held = home.put("a", Meta { settings: hold, ..Meta::default() });
    home.rules(&[days(1)]);
    home.hands.forward(DAY);
    assert_eq!(home.end().by_rules, 1);
    assert_eq!(home.rows(), ["-a", "+a"]);
    assert!(home.there("a", Which::Version(held.id)));
    home.hands.forward(9 * DAY);
    assert_eq!(home.end(), Ended::default());
}

#[test]
fn older_versions_end_but_for_those_that_are_kept_or_locked() {
    let home = Home::new(Versioning::Enabled);
    let hold = settings([(LOCK_HOLD, "ON")]);
    home.put("a", Meta { settings: hold, ..Meta::default() });
    for _ in 0..5 {
        home.put("a", Meta::default());
    }
    home.put("b", Meta::default());
    let noncurrent = Some(Noncurrent { days: 1, keep: 2 });
    home.rules(&[Rule { noncurrent, ..rule() }]);
    assert_eq!(home.end(), Ended::default());
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { older: 2, ..Ended::default() });
    // The newest, two that are kept, one that is held.
    assert_eq!(home.rows(), ["+a", "+a", "+a", "+a", "+b"]);
}

#[test]
fn a_mark_goes_once_nothing_is_below_it() {
    let home = Home::new(Versioning::Enabled);
    let object = home.put("a", Meta::default());
    let remove = |which| {
        home.service().object_remove(home.id, &name("a"), which, &|_| Ok(())).unwrap();
    };
    remove(Which::Latest);
    home.rules(&[Rule { expiration: Some(Expiration::LoneMarker), ..rule() }]);
    assert_eq!(home.end(), Ended::default());
    remove(Which::Version(object.id));
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { older: 1, ..Ended::default() });
    assert_eq!(home.rows(), Vec::<String>::new());
}

#[test]
fn a_walk_passes_pages_and_versions_of_one_name_across_them() {
    let home = Home::new(Versioning::Enabled);
    let names = ["a", "b", "c"];
    for object in names {
        for _ in 0..200 {
            let from = home.put_or_copy(object);
            assert!(from.get() > 0);
        }
    }
    let noncurrent = Some(Noncurrent { days: 1, keep: 3 });
    home.rules(&[Rule { noncurrent, ..rule() }]);
    home.hands.forward(DAY);
    assert_eq!(home.end().older, 3 * 196);
    assert_eq!(home.rows().len(), 3 * 4);
}

impl Home {
    /// A version that costs no more than its row.
    fn put_or_copy(&self, object: &str) -> FileId {
        if !self.there("source", Which::Latest) && object == "a" && !self.there("a", Which::Latest)
        {
            return self.put("a", Meta::default()).id;
        }
        let from = CopySource { container: self.id, name: name("a"), which: Which::Latest };
        let finish = &mut |source: &Object| Ok(source.meta.clone());
        let copied = self.service().object_copy(&from, self.id, &name(object), finish, &|_| Ok(()));
        copied.unwrap().id
    }
}

#[test]
fn uploads_that_nobody_ends_are_given_up_after_a_week_or_when_a_rule_says() {
    let home = Home::new(Versioning::Off);
    home.begin("logs/a");
    home.begin("b");
    let filter = Filter { prefix: "logs/".to_owned(), ..Filter::default() };
    home.rules(&[Rule { filter, abort_days: Some(2), ..rule() }]);
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended::default());
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { uploads: 1, ..Ended::default() });
    assert_eq!(home.uploads(), 1);
    home.hands.forward(7 * DAY_MS);
    assert_eq!(home.end(), Ended { uploads: 1, ..Ended::default() });
    assert_eq!(home.uploads(), 0);
    let found = home.service().container(ACCOUNT, &"files".parse().unwrap()).unwrap();
    assert_eq!(found.old_bytes, 0);
}

#[test]
fn uploads_are_not_given_up_by_rules_that_are_gone() {
    let home = Home::new(Versioning::Off);
    home.begin("a");
    home.rules(&[Rule { abort_days: Some(1), ..rule() }]);
    home.hands.forward(DAY);
    let core = &home.service().core;
    let seen = core.catalog.read(|tx| lifecycle::get(tx, home.id)).unwrap().unwrap();
    home.rules(&[Rule { abort_days: Some(9), ..rule() }]);
    let mut done = Ended::default();
    core.walk_uploads(&seen, core.now_ms(), &mut done, false).unwrap();
    assert_eq!((done, home.uploads()), (Ended::default(), 1));
    assert_eq!(home.end(), Ended::default());
}

#[test]
fn an_upload_that_still_gets_parts_is_not_given_up_for_its_age() {
    let home = Home::new(Versioning::Off);
    let uuid = home.begin("a");
    home.hands.forward(6 * DAY_MS);
    home.part("a", &uuid, 2);
    home.hands.forward(6 * DAY_MS);
    assert_eq!(home.end(), Ended::default());
    home.hands.forward(DAY_MS + 1);
    assert_eq!(home.end(), Ended { uploads: 1, ..Ended::default() });
}

#[test]
fn what_is_kept_in_an_archive_is_as_old_as_its_replacement() {
    let home = Home::new(Versioning::Off);
    let archive: ContainerName = "old".parse().unwrap();
    let old = home.service().container_create(ACCOUNT, &archive).unwrap().id;
    home.change(|container| {
        container.settings.insert(crate::ARCHIVE_STACK.to_owned(), "old".to_owned());
    });
    home.service().lifecycle_set(old, &[days(2)], "said").unwrap();
    home.put("a", Meta::default());
    home.hands.forward(9 * DAY);
    home.put("a", Meta::default());
    assert_eq!(home.end(), Ended::default());
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended::default());
    home.hands.forward(DAY);
    assert_eq!(home.end(), Ended { by_rules: 1, ..Ended::default() });
    assert_eq!(home.rows(), ["+a"]);
}

#[test]
fn what_comes_back_from_an_archive_is_as_old_as_its_return() {
    let home = Home::new(Versioning::Off);
    home.service().container_create(ACCOUNT, &"old".parse().unwrap()).unwrap();
    home.change(|container| {
        container.settings.insert(crate::ARCHIVE_STACK.to_owned(), "old".to_owned());
    });
    let first = home.put("a", Meta::default());
    home.put("a", Meta::default());
    home.hands.forward(DAY);
    home.service().object_remove(home.id, &name("a"), Which::Latest, &|_| Ok(())).unwrap();
    let back = home.service().object(home.id, &name("a"), Which::Latest).unwrap();
    assert_eq!((back.id, back.created_ms), (first.id, home.service().now_ms()));
    assert_eq!(back.meta, Meta::default());
}

#[test]
fn a_container_with_rules_can_be_removed() {
    let home = Home::new(Versioning::Off);
    home.rules(&[days(1)]);
    home.service().container_remove(home.id).unwrap();
    assert_eq!(home.end(), Ended::default());
}

#[test]
fn what_comes_by_any_door_gets_the_lock_of_its_container() {
    let home = Home::new(Versioning::Enabled);
    let lock = DefaultLock { mode: "COMPLIANCE".to_owned(), days: 1 };
    home.change(|container| DefaultLock::put(Some(&lock), container));
    let now = home.service().now_ms();
    home.put("a", Meta::default());
    home.bench.put_file("b", &stream(&noise(2, 512))).unwrap();
    let from = CopySource { container: home.id, name: name("a"), which: Which::Latest };
    let finish = &mut |_: &Object| Ok(Meta::default());
    home.service().object_copy(&from, home.id, &name("c"), finish, &|_| Ok(())).unwrap();
    let uuid = home.begin("d");
    let at = UploadAt { container: home.id, name: &name("d"), uuid: &uuid };
    let parts = home.service().parts(at, 0, 10).unwrap();
    let wanted = [(1, parts[0].etag.clone())];
    let known = &mut |_: &crate::Upload, _: &[crate::Part]| Ok(Meta::default());
    home.service().upload_complete(at, &wanted, known, &|_| Ok(())).unwrap();
    for object in ["a", "b", "c", "d"] {
        let found = home.service().object(home.id, &name(object), Which::Latest).unwrap();
        assert_eq!(found.locked_until_ms(), Some(now + DAY_MS), "{object}");
        assert!(found.is_locked(now), "{object}");
    }
    // One that brings a lock keeps it.
    let until = (now + 5).to_string();
    let own = settings([(LOCK_MODE, "GOVERNANCE"), (LOCK_UNTIL, &until)]);
    home.put("e", Meta { settings: own, ..Meta::default() });
    let found = home.service().object(home.id, &name("e"), Which::Latest).unwrap();
    assert_eq!(found.locked_until_ms(), Some(now + 5));
}

#[test]
fn an_ending_is_told_of_the_newest_version() {
    let home = Home::new(Versioning::Off);
    home.rules(&[days(1)]);
    let object = home.put("a", Meta::default());
    let ending = home.service().object_ending(home.id, &object).unwrap().unwrap();
    // In real days, up to midnight.
    assert_eq!(ending.at_ms, 2 * DAY_MS);
    assert_eq!(ending.rule, "one");
}

#[test]
fn snapshots_do_not_end_by_the_rules_of_their_container() {
    for versioning in [Versioning::Off, Versioning::Enabled] {
        let mut home = Home::new(versioning);
        home.bench.create("web", 1 << 20);
        home.bench.snapshot("web@a").unwrap();
        // As older programs could have it.
        let mut files = home.service().container(ACCOUNT, &"snapshots".parse().unwrap()).unwrap();
        (home.id, files.versioning) = (files.id, versioning);
        let now = home.service().core.now_ms();
        let write = home.service().core.catalog.write(|tx| {
            container::update(tx, &files)?;
            lifecycle::put(tx, files.id, &[days(1)], "said", now)
        });
        write.unwrap();
        home.hands.forward(3 * DAY);
        assert_eq!(home.end().by_rules, 0);
        assert!(home.there("web@a", Which::Latest));
    }
}

#[test]
fn what_gets_the_name_of_what_has_ended_is_shared_with_nobody() {
    let home = Home::new(Versioning::Off);
    home.put_ending("o", 5);
    let shared = home.share_and_publish("o");
    home.hands.forward(6_000);
    home.put("o", Meta::default());
    assert_eq!(home.service().grants(&shared).unwrap(), []);
    assert!(home.service().links(home.id, &name("o")).unwrap().is_empty());
}
