//! Facts about forks.

use super::super::tests::{Home, container_name, named};
use super::super::{Versioning, Which};
use super::*;
use crate::grant::{Grantee, Right};
use crate::lock::{LOCK_HOLD, LOCK_MODE, LOCK_UNTIL};
use crate::object::{DELETE_AT, Listing};
use crate::testing::noise;
use crate::{Collection, Grant, Named, Shared};

fn fork(home: &Home, name: &str) -> Result<Container, Error> {
    let keep = &mut |object: &Object| object.meta.clone();
    home.service().container_fork(home.id, &container_name(name), keep)
}

fn names(home: &Home, container: u64) -> Vec<String> {
    let listing = Listing { limit: 10_000, ..Listing::default() };
    let page = home.service().objects(container, &listing).unwrap();
    page.items.iter().map(|object| object.name.to_string()).collect()
}

/// The same home, seen as another container.
fn read(home: &Home, container: u64, name: &str) -> Vec<u8> {
    let content = home.service().object_open(container, &named(name), Which::Latest).unwrap();
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut content.range(0, u64::MAX), &mut out).unwrap();
    out
}

#[test]
fn a_fork_has_the_newest_versions_and_no_data_moves() {
    let home = Home::new();
    home.versioning(Versioning::Enabled);
    let bytes = noise(1, 100_000);
    home.put("a/old", b"first");
    home.put("a/old", &bytes);
    home.put("gone", b"gone");
    home.remove("gone", Which::Latest);
    home.put("z", b"");
    let before = home.service().core.engine.counters().ingest_bytes;
    let made = fork(&home, "exp").unwrap();
    assert_eq!(home.service().core.engine.counters().ingest_bytes, before);
    assert_eq!((made.objects, made.bytes, made.old_bytes), (2, 100_000, 0));
    assert_eq!(made.versioning, Versioning::Off);
    assert_eq!(names(&home, made.id), ["a/old", "z"]);
    assert!(read(&home, made.id, "a/old") == bytes);
    assert_eq!(home.service().core.catalog.read(container::miscounted).unwrap(), []);
    assert_eq!(home.service().core.catalog.verify().unwrap(), Vec::<String>::new());
}

#[test]
fn neither_sees_what_is_written_to_the_other() {
    let mut home = Home::new();
    home.put("o", b"before");
    let made = fork(&home, "exp").unwrap();
    home.put("o", b"after");
    home.put("new", b"new");
    assert_eq!(read(&home, made.id, "o"), b"before");
    assert_eq!(names(&home, made.id), ["o"]);
    home.remove("o", Which::Latest);
    home.bench.reopen();
    home.service()
        .collect(Collection { now: true, thorough: true, ..Collection::default() })
        .unwrap();
    assert_eq!(read(&home, made.id, "o"), b"before");
    let (old, id) = (home.id, made.id);
    home.id = id;
    home.put("o", b"of the fork");
    home.id = old;
    assert_eq!(names(&home, old), ["new"]);
}

#[test]
fn what_is_known_goes_along_and_locks_and_grants_do_not() {
    let home = Home::new();
    home.versioning(Versioning::Enabled);
    let object = home.put("o", b"content");
    let far = (home.service().core.now_ms() + 1_000_000).to_string();
    let change = &mut |object: &Object| {
        let mut meta = object.meta.clone();
        meta.user.insert("colour".to_owned(), "red".to_owned());
        let locks = [(LOCK_MODE, "GOVERNANCE"), (LOCK_UNTIL, far.as_str()), (LOCK_HOLD, "ON")];
        for (name, value) in locks.into_iter().chain([("other", "kept")]) {
            meta.settings.insert(name.to_owned(), value.to_owned());
        }
        Ok(meta)
    };
    home.service().object_change(home.id, &named("o"), Which::Latest, change).unwrap();
    let shared = Shared::Path(home.id, "o".to_owned());
    let share = &mut |grants: &mut Vec<Grant>| {
        grants.push(Grant {
            grantee: Grantee::Everyone,
            right: Right::Read,
            by: "me".to_owned(),
            created_ms: 0,
            expires_ms: None,
        });
        Ok(())
    };
    home.service().grants_change("me", &shared, share).unwrap();
    let made = fork(&home, "exp").unwrap();
    let copy = home.service().object(made.id, &named("o"), Which::Latest).unwrap();
    assert_eq!(copy.etag, object.etag);
    assert_eq!(copy.meta.user["colour"], "red");
    assert_eq!(copy.meta.settings.keys().collect::<Vec<_>>(), ["other"]);
    assert_eq!(home.service().grants(&Shared::Path(made.id, "o".to_owned())).unwrap(), []);
    assert_eq!(made.grants, []);
}

#[test]
fn what_has_ended_is_not_forked() {
    let home = Home::new();
    home.put("o", b"content");
    let change = &mut |object: &Object| {
        let mut meta = object.meta.clone();
        meta.settings.insert(DELETE_AT.to_owned(), "1".to_owned());
        Ok(meta)
    };
    home.service().object_change(home.id, &named("o"), Which::Latest, change).unwrap();
    assert_eq!(fork(&home, "exp").unwrap().objects, 0);
}

#[test]
fn a_fork_counts_for_the_quota_of_its_account_and_is_made_whole_or_not_at_all() {
    let mut home = Home::new();
    let lab = Named::name("lab");
    let account = home.service().account_create(&"lab".parse().unwrap(), Some(2000)).unwrap();
    home.id = home.service().container_create(account.id, &container_name("c")).unwrap().id;
    for name in ["a", "b"] {
        home.put(name, &[7; 600]);
    }
    assert_eq!(fork(&home, "c").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fork(&home, "exp").unwrap_err().kind(), ErrorKind::QuotaExceeded);
    let found = home.service().container(account.id, &container_name("exp"));
    assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
    home.service().account_set_quota(&lab, Some(2400)).unwrap();
    assert_eq!(fork(&home, "exp").unwrap().bytes, 1200);
    assert_eq!(fork(&home, "third").unwrap_err().kind(), ErrorKind::QuotaExceeded);
}

#[test]
fn hashes_of_blocks_are_those_of_the_source() {
    let home = Home::new();
    home.put("o", b"content");
    let content = home.service().object_open(home.id, &named("o"), Which::Latest).unwrap();
    let list = home.service().hash_list(&content, &|| true).unwrap();
    let list: Vec<_> = list.map(Result::unwrap).collect();
    let made = fork(&home, "exp").unwrap();
    let copy = home.service().object(made.id, &named("o"), Which::Latest).unwrap();
    let known = home.service().object_hashes(&[copy.id]).unwrap();
    assert_eq!(known[&copy.id], crate::BlockHash::of_file(&list));
}

#[test]
fn many_objects_are_forked_in_pages() {
    let home = Home::new();
    let count = 2 * PAGE + 1;
    for number in 0..count {
        home.put(&format!("{number:05}"), b"");
    }
    let made = fork(&home, "exp").unwrap();
    assert_eq!((made.objects, names(&home, made.id).len()), (count as u64, count));
}
