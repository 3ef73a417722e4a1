//! Facts about containers that keep what is replaced in another one.

use super::*;
use crate::{ARCHIVE_HISTORY, ARCHIVE_STACK};

impl Home {
    fn make(&self, name: &str) -> u64 {
        self.service().container_create(ACCOUNT, &container_name(name)).unwrap().id
    }

    /// Lets a container keep what is replaced in the one named `old`.
    fn archive(&self, container: u64, setting: &str) {
        let change = &mut |c: &mut Container| {
            c.settings.insert(setting.to_owned(), "old".to_owned());
            Ok(())
        };
        self.service().container_change(container, change).unwrap();
    }

    fn set(&self, container: u64, versioning: Versioning) {
        let change = &mut |c: &mut Container| {
            c.versioning = versioning;
            Ok(())
        };
        self.service().container_change(container, change).unwrap();
    }

    fn try_remove(&self, container: u64, name: &str) -> Result<Removed, Error> {
        self.service().object_remove(container, &named(name), Which::Latest, &|_| Ok(()))
    }

    fn put_in(&self, container: u64, name: &str, mut bytes: &[u8]) -> Object {
        let size = Some(bytes.len() as u64);
        let finish = &mut |_: &Stored| Ok(Meta::default());
        let (service, name) = (self.service(), named(name));
        service.object_put(container, &name, size, &mut bytes, finish, &|_| Ok(())).unwrap()
    }

    /// Names in a container, in their order.
    fn names(&self, container: u64) -> Vec<ObjectName> {
        let listing = Listing { limit: 100, ..Listing::default() };
        let page = self.service().objects(container, &listing).unwrap();
        page.items.into_iter().map(|object| object.name).collect()
    }

    fn is_sound(&self) {
        let catalog = &self.service().core.catalog;
        assert_eq!(catalog.verify().unwrap(), Vec::<String>::new());
        assert_eq!(catalog.read(container::miscounted).unwrap(), []);
    }
}

#[test]
fn what_is_replaced_moves_to_the_archive_with_what_it_counts() {
    let home = Home::new();
    let service = home.service();
    let old = service.container_create(ACCOUNT, &container_name("old")).unwrap().id;
    let change = &mut |c: &mut Container| {
        c.settings.insert(crate::ARCHIVE_STACK.to_owned(), "old".to_owned());
        Ok(())
    };
    service.container_change(home.id, change).unwrap();
    let count = |name: &str| {
        let found = service.container(ACCOUNT, &container_name(name)).unwrap();
        (found.objects, found.bytes, found.old_bytes)
    };
    home.put("f", b"1");
    home.put("f", b"22");
    home.put("f", b"333");
    assert_eq!((count("c"), count("old")), ((1, 3, 0), (2, 3, 0)));
    let page = service.objects(old, &Listing { limit: 10, ..Listing::default() }).unwrap();
    assert!(page.items.iter().all(|object| object.name.as_str().starts_with("001f/")));
    for bytes in [&b"22"[..], b"1"] {
        assert!(home.remove("f", Which::Latest).object.is_some());
        assert_eq!(home.get("f", Which::Latest).unwrap(), bytes);
    }
    assert!(home.remove("f", Which::Latest).object.is_some());
    assert!(home.remove("f", Which::Latest).object.is_none());
    assert_eq!((count("c"), count("old")), ((0, 0, 0), (0, 0, 0)));
    // Without a place for what is replaced, nothing is replaced.
    home.put("g", b"1");
    service.container_remove(old).unwrap();
    assert_eq!(home.try_put("g", b"2", &|_| Ok(())).unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(home.get("g", Which::Latest).unwrap(), b"1");
}

#[test]
fn nothing_is_taken_from_an_archive_that_keeps_versions_by_now() {
    let home = Home::new();
    let old = home.make("old");
    home.archive(home.id, ARCHIVE_STACK);
    home.put("x", b"1");
    home.put("x", b"22");
    let kept = home.names(old).remove(0);
    home.set(old, Versioning::Enabled);
    home.put_in(old, kept.as_str(), b"a newer version");
    let error = home.try_remove(home.id, "x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"22");
    home.is_sound();
}

#[test]
fn no_removal_is_noted_in_an_archive_that_keeps_versions_by_now() {
    let home = Home::new();
    let old = home.make("old");
    home.archive(home.id, ARCHIVE_HISTORY);
    home.set(old, Versioning::Enabled);
    assert_eq!(home.try_remove(home.id, "x").unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(home.names(old), []);
}

#[test]
fn a_version_among_others_is_not_moved_away() {
    let home = Home::new();
    let to = home.make("to");
    home.put("x", b"1");
    home.versioning(Versioning::Enabled);
    home.put("x", b"2");
    let catalog = &home.service().core.catalog;
    let moved = catalog.write(|tx| {
        let row = file::version(tx, home.id, &named("x"), Which::Latest)?.unwrap();
        file::shift(tx, &row, to, &named("y"), 7).map_err(Error::from)
    });
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::InUse);
    home.is_sound();
}

#[test]
fn of_a_shared_archive_each_container_gets_back_its_own() {
    let home = Home::new();
    let (old, other) = (home.make("old"), home.make("other"));
    home.archive(home.id, ARCHIVE_STACK);
    home.archive(other, ARCHIVE_STACK);
    home.put("x", b"mine, first");
    home.put("x", b"mine, second");
    home.put_in(other, "x", b"other, first");
    home.put_in(other, "x", b"other, second");
    for _ in 0..2 {
        home.try_remove(home.id, "x").unwrap();
    }
    assert_eq!(home.get("x", Which::Latest).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(home.try_remove(home.id, "x").unwrap().object, None);
    assert_eq!(home.names(old).len(), 1);
    home.try_remove(other, "x").unwrap();
    let back = home.service().object(other, &named("x"), Which::Latest).unwrap();
    assert_eq!((back.size, back.meta), (12, Meta::default()));
    home.is_sound();
}

#[test]
fn notes_of_removals_are_those_of_one_container() {
    let home = Home::new();
    let (old, other) = (home.make("old"), home.make("other"));
    home.archive(home.id, ARCHIVE_STACK);
    home.archive(other, ARCHIVE_HISTORY);
    home.put("x", b"1");
    home.put("x", b"22");
    home.try_remove(other, "x").unwrap();
    assert_eq!(home.names(old).len(), 2);
    home.try_remove(home.id, "x").unwrap();
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"1");
}

#[test]
fn what_has_no_note_comes_back_where_nobody_else_has_the_archive() {
    let home = Home::new();
    let (old, other) = (home.make("old"), home.make("other"));
    home.archive(home.id, ARCHIVE_STACK);
    home.put_in(old, "001x/1", b"from elsewhere");
    home.archive(other, ARCHIVE_STACK);
    assert_eq!(home.try_remove(home.id, "x").unwrap().object, None);
    home.service().container_remove(other).unwrap();
    home.try_remove(home.id, "x").unwrap();
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"from elsewhere");
}

#[test]
fn who_is_refused_does_not_learn_where_things_are_kept() {
    let home = Home::new();
    let old = home.make("old");
    home.archive(home.id, ARCHIVE_STACK);
    home.put("x", b"1");
    home.service().container_remove(old).unwrap();
    let error = home.try_put("x", b"2", &|_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().contains("container 'c'"), "{error}");
    assert!(!error.to_string().contains("'old'"), "{error}");
}

#[test]
fn a_container_with_an_archive_keeps_no_versions_itself() {
    let home = Home::new();
    home.make("old");
    home.archive(home.id, ARCHIVE_STACK);
    for wanted in [Versioning::Enabled, Versioning::Suspended] {
        let change = &mut |c: &mut Container| {
            c.versioning = wanted;
            Ok(())
        };
        let error = home.service().container_change(home.id, change).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
    }
    home.put("f", b"1");
    home.put("f", b"2");
    home.remove("f", Which::Latest);
    assert_eq!(home.get("f", Which::Latest).unwrap(), b"1");
}

#[test]
fn a_container_that_keeps_versions_gets_no_archive() {
    let home = Home::new();
    home.make("old");
    home.versioning(Versioning::Enabled);
    let change = &mut |c: &mut Container| {
        c.settings.insert(ARCHIVE_HISTORY.to_owned(), "old".to_owned());
        Ok(())
    };
    let error = home.service().container_change(home.id, change).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
}
