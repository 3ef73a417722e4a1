//! Facts about objects: versions, copies, listings, uploads in parts, and what they count.

use std::collections::BTreeMap;

use archipelago_model::{AccountId, ContainerName};

use super::*;
use crate::core::OPERATOR;
use crate::object::{Listing, Page};
use crate::service::tests::stored;
use crate::testing::{Bench, noise};
use crate::{Collection, ErrorKind};

mod archives;
mod quota;
mod sealed;
mod writers;

pub(super) const ACCOUNT: AccountId = AccountId::new(7);
const OTHER: AccountId = AccountId::new(8);

pub(super) fn container_name(name: &str) -> ContainerName {
    name.parse().unwrap()
}

pub(super) fn named(name: &str) -> ObjectName {
    name.parse().unwrap()
}

pub(super) struct Home {
    pub(super) bench: Bench,
    pub(super) id: u64,
}

impl Home {
    pub(super) fn new() -> Self {
        let bench = Bench::new();
        let id = bench.service.container_create(ACCOUNT, &container_name("c")).unwrap().id;
        Self { bench, id }
    }

    pub(super) fn service(&self) -> &Service {
        &self.bench.service
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Object {
        self.try_put(name, bytes, &|_| Ok(())).unwrap()
    }

    pub(super) fn try_put(
        &self,
        name: &str,
        mut bytes: &[u8],
        check: &Check<'_>,
    ) -> Result<Object, Error> {
        let size = Some(bytes.len() as u64);
        let finish = &mut |_: &Stored| Ok(Meta::default());
        self.service().object_put(self.id, &named(name), size, &mut bytes, finish, check)
    }

    pub(super) fn get(&self, name: &str, which: Which) -> Result<Vec<u8>, Error> {
        let content = self.service().object_open(self.id, &named(name), which)?;
        let mut out = Vec::new();
        content.range(0, u64::MAX).read_to_end(&mut out).unwrap();
        Ok(out)
    }

    pub(super) fn versioning(&self, versioning: Versioning) {
        let change = &mut |c: &mut Container| {
            c.versioning = versioning;
            Ok(())
        };
        self.service().container_change(self.id, change).unwrap();
    }

    pub(super) fn remove(&self, name: &str, which: Which) -> Removed {
        self.service().object_remove(self.id, &named(name), which, &|_| Ok(())).unwrap()
    }

    pub(super) fn list(&self, prefix: &str, delimiter: &str, limit: usize) -> Vec<String> {
        let mut listing = Listing {
            prefix: prefix.to_owned(),
            delimiter: Some(delimiter.to_owned()),
            limit,
            ..Listing::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self.service().objects(self.id, &listing).unwrap();
            let mut names: Vec<String> = page.items.iter().map(|o| o.name.to_string()).collect();
            names.extend(page.prefixes);
            assert!(names.len() <= limit);
            names.sort();
            all.extend(names);
            match page.next {
                None => return all,
                Some((name, _)) => listing.after = Some(name),
            }
        }
    }

    pub(super) fn counters(&self) -> (u64, u64, u64) {
        let found = self.service().container(ACCOUNT, &container_name("c")).unwrap();
        let catalog = &self.service().core.catalog;
        assert_eq!(catalog.verify().unwrap(), Vec::<String>::new());
        assert_eq!(catalog.read(container::miscounted).unwrap(), []);
        (found.objects, found.bytes, found.old_bytes)
    }
}

#[test]
fn an_object_reads_as_it_was_put_with_its_md5() {
    let home = Home::new();
    for len in [0, 1, 511, 4096, 4097, (1 << 20) - 1, (1 << 20) + 1, (3 << 20) + 5] {
        let bytes = noise(len as u64 + 1, len);
        let object = home.put("a/b", &bytes);
        assert_eq!(object.size, len as u64);
        assert_eq!(object.etag, Some(hex::encode(<md5::Md5 as md5::Digest>::digest(&bytes))));
        assert!(home.get("a/b", Which::Latest).unwrap() == bytes, "{len} bytes");
    }
    assert_eq!(home.counters(), (1, (3 << 20) + 5, 0));
}

#[test]
fn a_range_begins_and_ends_where_it_is_told() {
    let home = Home::new();
    let bytes = noise(1, (2 << 20) + 333);
    home.put("x", &bytes);
    let content = home.service().object_open(home.id, &named("x"), Which::Latest).unwrap();
    for (offset, len) in [(0, 1), (511, 2), (4095, 4097), ((1 << 20) - 3, 10), (2 << 20, 9999)] {
        let mut out = Vec::new();
        content.range(offset, len).read_to_end(&mut out).unwrap();
        let end = bytes.len().min((offset + len) as usize);
        assert!(out == bytes[offset as usize..end], "{len} bytes at {offset}");
    }
}

#[test]
fn a_body_that_is_not_as_long_as_announced_is_not_kept() {
    let home = Home::new();
    let finish = &mut |_: &Stored| Ok(Meta::default());
    for announced in [9, 11] {
        let input = &mut &b"0123456789"[..];
        let put = home.service().object_put(
            home.id,
            &named("x"),
            Some(announced),
            input,
            finish,
            &|_| Ok(()),
        );
        assert_eq!(put.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(home.counters(), (0, 0, 0));
}

#[test]
fn a_refused_end_or_condition_keeps_what_was_there() {
    let home = Home::new();
    home.put("x", b"old");
    let refuse = || Error::invalid("no");
    let put = home.try_put("x", b"new", &|newest| match newest {
        Some(object) if object.size == 3 => Err(refuse()),
        _ => Ok(()),
    });
    assert!(put.is_err());
    let finish = &mut |_: &Stored| Err(refuse());
    let input = &mut &b"new"[..];
    let put = home.service().object_put(home.id, &named("x"), None, input, finish, &|_| Ok(()));
    assert!(put.is_err());
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"old");
}

#[test]
fn without_versions_the_newest_is_all_there_is() {
    let home = Home::new();
    let first = home.put("x", b"1");
    let second = home.put("x", b"22");
    assert!(!first.versioned && second.id > first.id);
    assert_eq!(home.counters(), (1, 2, 0));
    let removed = home.remove("x", Which::Latest);
    assert!(!removed.made_marker);
    assert_eq!(home.counters(), (0, 0, 0));
    assert_eq!(home.remove("x", Which::Latest).object, None);
}

#[test]
fn with_versions_all_of_them_stay_until_they_are_removed_by_id() {
    let home = Home::new();
    home.put("x", b"0");
    home.versioning(Versioning::Enabled);
    let one = home.put("x", b"11");
    let two = home.put("x", b"222");
    assert_eq!(home.counters(), (1, 3, 3));
    assert_eq!(home.get("x", Which::Version(one.id)).unwrap(), b"11");
    assert_eq!(home.get("x", Which::Unversioned).unwrap(), b"0");
    let marker = home.remove("x", Which::Latest);
    assert!(marker.made_marker);
    assert_eq!(home.get("x", Which::Latest).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(home.counters(), (0, 0, 6));
    assert_eq!(home.list("", "", 10), Vec::<String>::new());
    home.remove("x", Which::Version(marker.object.unwrap().id));
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"222");
    home.remove("x", Which::Version(two.id));
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"11");
    assert_eq!(home.counters(), (1, 2, 1));
}

#[test]
fn suspended_versions_stay_and_writes_replace_the_one_without_id() {
    let home = Home::new();
    home.versioning(Versioning::Enabled);
    let kept = home.put("x", b"kept");
    home.versioning(Versioning::Suspended);
    home.put("x", b"null");
    home.put("x", b"null again");
    assert_eq!(home.counters(), (1, 10, 4));
    assert!(home.remove("x", Which::Latest).made_marker);
    assert_eq!(home.counters(), (0, 0, 4));
    assert_eq!(home.get("x", Which::Version(kept.id)).unwrap(), b"kept");
    assert_eq!(home.get("x", Which::Unversioned).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_copy_shares_everything_and_outlives_its_source() {
    let home = Home::new();
    let bytes = noise(3, 1 << 20);
    home.put("from", &bytes);
    let before = stored(&home.bench);
    let from = CopySource { container: home.id, name: named("from"), which: Which::Latest };
    let finish = &mut |object: &Object| Ok(object.meta.clone());
    let copy = home.service().object_copy(&from, home.id, &named("to"), finish, &|_| Ok(()));
    assert_eq!(copy.unwrap().size, 1 << 20);
    assert_eq!(stored(&home.bench), before);
    home.remove("from", Which::Latest);
    let all = Collection { thorough: true, now: true, budget: None };
    home.service().collect(all).unwrap();
    assert!(home.get("to", Which::Latest).unwrap() == bytes);
}

#[test]
fn a_listing_shows_what_has_the_delimiter_once() {
    let home = Home::new();
    for name in ["a", "b/1", "b/2", "b/c/3", "b0", "c/1", "\u{fc}/x"] {
        home.put(name, b"");
    }
    for limit in [1, 2, 3, 100] {
        assert_eq!(home.list("", "/", limit), ["a", "b/", "b0", "c/", "\u{fc}/"]);
        assert_eq!(home.list("b/", "/", limit), ["b/1", "b/2", "b/c/"]);
        assert_eq!(home.list("b", "", limit), ["b/1", "b/2", "b/c/3", "b0"]);
        assert_eq!(home.list("zz", "/", limit), Vec::<String>::new());
    }
}

#[test]
fn a_listing_of_versions_goes_on_in_the_midst_of_one_object() {
    let home = Home::new();
    home.versioning(Versioning::Enabled);
    let mut wanted = Vec::new();
    for name in ["a", "b"] {
        let mut ids: Vec<_> = (0..300).map(|_| (name.to_owned(), home.put(name, b"").id)).collect();
        ids.reverse();
        wanted.extend(ids);
    }
    for limit in [7, 300, 1000] {
        let mut listing = Listing { limit, ..Listing::default() };
        let mut got = Vec::new();
        loop {
            let Page { items, next, .. } = home.service().versions(home.id, &listing).unwrap();
            got.extend(items.iter().map(|object| (object.name.to_string(), object.id)));
            match next {
                None => break,
                Some((name, id)) => (listing.after, listing.after_version) = (Some(name), id),
            }
        }
        assert!(got == wanted, "pages of {limit}");
    }
}

struct Sending<'a> {
    home: &'a Home,
    uuid: String,
}

impl Sending<'_> {
    fn part(&self, number: u32, mut bytes: &[u8]) -> Result<String, Error> {
        let finish = &mut |_: &Stored| Ok(BTreeMap::new());
        let name = named("x");
        let at = UploadAt { container: self.home.id, name: &name, uuid: &self.uuid };
        let part = self.home.service().upload_part(at, number, None, &mut bytes, finish)?;
        Ok(part.etag)
    }

    fn complete(&self, wanted: &[(u32, String)]) -> Result<Object, Error> {
        let finish = &mut |_: &crate::Upload, parts: &[crate::Part]| {
            Ok(Meta { parts: parts.iter().map(|part| part.size).collect(), ..Meta::default() })
        };
        let name = named("x");
        let at = UploadAt { container: self.home.id, name: &name, uuid: &self.uuid };
        self.home.service().upload_complete(at, wanted, finish, &|_| Ok(()))
    }
}

fn sending(home: &Home) -> Sending<'_> {
    let upload = home.service().upload_create(home.id, &named("x"), Meta::default()).unwrap();
    Sending { home, uuid: upload.uuid }
}

#[test]
fn parts_come_in_any_order_and_completing_writes_no_data() {
    let home = Home::new();
    let parts: Vec<Vec<u8>> = (0..3).map(|n| noise(n, (1 << 20) + 512 * n as usize)).collect();
    let sending = sending(&home);
    let mut wanted = Vec::new();
    for n in [2, 0, 1] {
        wanted.push((n + 1, sending.part(n + 1, &parts[n as usize]).unwrap()));
    }
    sending.part(9, b"nobody wants it").unwrap();
    wanted.sort_unstable();
    assert_eq!(home.counters(), (0, 0, (3 << 20) + 512 * 3 + 15));
    let before = stored(&home.bench);
    let object = sending.complete(&wanted).unwrap();
    assert!(stored(&home.bench) - before < 16384);
    assert!(object.etag.unwrap().ends_with("-3"));
    assert!(home.get("x", Which::Latest).unwrap() == parts.concat());
    assert_eq!(home.counters(), (1, (3 << 20) + 512 * 3, 0));
    assert_eq!(sending.part(1, b"").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn parts_of_odd_lengths_are_joined_all_the_same() {
    let home = Home::new();
    let sending = sending(&home);
    let parts = [noise(1, 70_001), noise(2, 3), noise(3, (1 << 20) + 77)];
    let wanted: Vec<_> = (1..)
        .zip(&parts)
        .map(|(number, bytes)| (number, sending.part(number, bytes).unwrap()))
        .collect();
    sending.complete(&wanted).unwrap();
    assert!(home.get("x", Which::Latest).unwrap() == parts.concat());
}

#[test]
fn wrong_parts_complete_nothing_and_the_upload_goes_on() {
    let home = Home::new();
    let sending = sending(&home);
    let (one, two) = (sending.part(1, b"one").unwrap(), sending.part(2, b"two").unwrap());
    let bad: [&[(u32, String)]; 4] = [
        &[],
        &[(1, two.clone())],
        &[(2, two.clone()), (1, one.clone())],
        &[(1, one.clone()), (3, two.clone())],
    ];
    for wanted in bad {
        assert_eq!(sending.complete(wanted).unwrap_err().kind(), ErrorKind::Invalid);
    }
    sending.complete(&[(1, one)]).unwrap();
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"one");
}

#[test]
fn parts_outlive_a_collection_and_a_crash() {
    let mut home = Home::new();
    let bytes = noise(5, 2 << 20);
    let upload = home.service().upload_create(home.id, &named("x"), Meta::default()).unwrap();
    let etag = Sending { home: &home, uuid: upload.uuid.clone() }.part(1, &bytes).unwrap();
    home.bench.crash();
    let all = Collection { thorough: true, now: true, budget: None };
    home.service().collect(all).unwrap();
    Sending { home: &home, uuid: upload.uuid }.complete(&[(1, etag)]).unwrap();
    assert!(home.get("x", Which::Latest).unwrap() == bytes);
}

#[test]
fn a_given_up_upload_leaves_nothing() {
    let home = Home::new();
    let sending = sending(&home);
    sending.part(1, &noise(1, 1 << 20)).unwrap();
    let name = named("x");
    let at = UploadAt { container: home.id, name: &name, uuid: &sending.uuid };
    home.service().upload_abort(at).unwrap();
    assert_eq!(home.counters(), (0, 0, 0));
    let all = Collection { thorough: true, now: true, budget: None };
    home.service().collect(all).unwrap();
    assert_eq!(stored(&home.bench), 0);
}

#[test]
fn uploads_are_listed_by_prefix_and_delimiter_page_by_page() {
    let home = Home::new();
    for name in ["a", "b/1", "b/2", "b/2", "c/1", "d"] {
        home.service().upload_create(home.id, &named(name), Meta::default()).unwrap();
    }
    let list = |prefix: &str, delimiter: &str, limit| {
        let mut listing = Listing {
            prefix: prefix.to_owned(),
            delimiter: Some(delimiter.to_owned()),
            limit,
            ..Listing::default()
        };
        let (mut all, mut marker) = (Vec::new(), None);
        loop {
            let page = home.service().uploads(home.id, &listing, marker.as_deref()).unwrap();
            marker = page.items.last().map(|upload| upload.uuid.clone());
            let mut names: Vec<String> =
                page.items.iter().map(|upload| upload.object.to_string()).collect();
            names.extend(page.prefixes);
            names.sort();
            all.extend(names);
            match page.next {
                None => return all,
                Some((name, _)) => listing.after = Some(name),
            }
        }
    };
    for limit in [1, 2, 100] {
        assert_eq!(list("", "", limit), ["a", "b/1", "b/2", "b/2", "c/1", "d"]);
        assert_eq!(list("", "/", limit), ["a", "b/", "c/", "d"]);
        assert_eq!(list("b/", "", limit), ["b/1", "b/2", "b/2"]);
    }
}

#[test]
fn the_sizes_of_ten_thousand_parts_fit() {
    let parts = vec![u64::MAX / 2; uploads::PARTS_MAX as usize];
    assert!(checked(Meta { parts, ..Meta::default() }).is_ok());
    let user = [("k".to_owned(), "v".repeat(META_BYTES_MAX))].into();
    assert!(checked(Meta { user, ..Meta::default() }).is_err());
}

#[test]
fn a_part_can_be_a_range_of_an_object() {
    let home = Home::new();
    let bytes = noise(1, (1 << 20) + 100);
    home.put("from", &bytes);
    let upload = home.service().upload_create(home.id, &named("x"), Meta::default()).unwrap();
    let from = CopySource { container: home.id, name: named("from"), which: Which::Latest };
    let mut wanted = Vec::new();
    for (number, range) in [(1, Some((512, 1024))), (2, Some((3, 1000))), (3, None)] {
        let name = named("x");
        let at = UploadAt { container: home.id, name: &name, uuid: &upload.uuid };
        let part = home.service().upload_part_copy(at, number, &from, range, &|_| Ok(())).unwrap();
        wanted.push((number, part.etag));
    }
    let sending = Sending { home: &home, uuid: upload.uuid };
    sending.complete(&wanted).unwrap();
    let expected = [&bytes[512..1536], &bytes[3..1003], &bytes].concat();
    assert!(home.get("x", Which::Latest).unwrap() == expected);
}

#[test]
fn a_container_with_versions_is_not_removed_and_one_with_uploads_is() {
    let home = Home::new();
    home.put("x", b"");
    let removed = home.service().container_remove(home.id);
    assert_eq!(removed.unwrap_err().kind(), ErrorKind::InUse);
    home.remove("x", Which::Latest);
    sending(&home).part(1, b"1").unwrap();
    home.service().container_remove(home.id).unwrap();
    let found = home.service().container(ACCOUNT, &container_name("c"));
    assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn accounts_have_containers_of_the_same_name_and_one_of_them_the_bucket() {
    let home = Home::new();
    let name = container_name("c");
    let theirs = home.service().container_create(OTHER, &name).unwrap();
    assert!(!theirs.bucket);
    let bucket = |account| home.service().bucket(account, &name).unwrap().id;
    assert_eq!(bucket(Some(OTHER)), theirs.id);
    assert_eq!(bucket(None), home.id);
    let taken = home.service().bucket_create(AccountId::new(9), &name);
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_rebuilt_catalog_has_versions_and_uploads() {
    let mut home = Home::new();
    home.versioning(Versioning::Enabled);
    let old = home.put("x", b"old");
    home.put("x", b"new");
    let upload = home.service().upload_create(home.id, &named("x"), Meta::default()).unwrap();
    let etag = Sending { home: &home, uuid: upload.uuid.clone() }.part(1, b"part").unwrap();
    home.bench.reopen();
    home.bench.service.close().unwrap();
    let data = home.bench.dir.path().join("data");
    crate::testing::lose_catalog(&data);
    Service::rebuild(&data, &archipelago_env::Env::real(), false).unwrap();
    home.bench.service = crate::testing::open(&data).unwrap();
    assert_eq!(home.get("x", Which::Version(old.id)).unwrap(), b"old");
    assert_eq!(home.counters(), (1, 3, 7));
    Sending { home: &home, uuid: upload.uuid }.complete(&[(1, etag)]).unwrap();
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"part");
}

#[test]
fn an_object_of_any_size_has_nothing_behind_its_end() {
    let home = Home::new();
    for (name, len) in [("a", 4_usize), ("b", 4097), ("c", (1 << 20) + 1)] {
        home.put(name, &noise(3, len));
        // Of a size that nobody announced.
        let (name, bytes) = (named(&format!("{name}-by-pieces")), noise(4, len));
        let finish = &mut |_: &Stored| Ok(Meta::default());
        home.service()
            .object_put(home.id, &name, None, &mut &bytes[..], finish, &|_| Ok(()))
            .unwrap();
    }
    assert_eq!(home.service().check().unwrap(), []);
}

#[test]
fn more_than_was_announced_is_refused() {
    let home = Home::new();
    for len in [4_usize, 4096, 1 << 20] {
        let bytes = noise(5, len + 1);
        let finish = &mut |_: &Stored| Ok(Meta::default());
        let put = home.service().object_put(
            home.id,
            &named("a"),
            Some(len as u64),
            &mut &bytes[..],
            finish,
            &|_| Ok(()),
        );
        let error = put.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("announced"), "{error}");
    }
}

#[test]
fn an_append_makes_its_container_and_gets_a_lock_of_its_own() {
    let home = Home::new();
    let (container, object) = (container_name("new"), named("log"));
    let append = |len: usize| {
        let bytes = noise(6, len);
        let (place, length) = (Place::End, Some(len as u64));
        home.service().file_update(&container, &object, place, None, length, &mut &bytes[..])
    };
    append(100).unwrap();
    let id = home.service().container(OPERATOR, &container).unwrap().id;
    let lock = crate::DefaultLock { mode: "COMPLIANCE".to_owned(), days: 1 };
    let change = &mut |c: &mut Container| {
        c.versioning = Versioning::Enabled;
        crate::DefaultLock::put(Some(&lock), c);
        Ok(())
    };
    home.service().container_change(id, change).unwrap();
    let first = append(100).unwrap().file;
    // The first one's is longer, by its owner.
    let until = u64::MAX.to_string();
    let longer = &mut |object: &Object| {
        let mut meta = object.meta.clone();
        meta.settings.insert(crate::LOCK_UNTIL.to_owned(), until.clone());
        meta.settings.insert(crate::LOCK_HOLD.to_owned(), crate::HELD.to_owned());
        Ok(meta)
    };
    home.service().object_change(id, &object, Which::Version(first.id), longer).unwrap();
    append(100).unwrap();
    let newest = home.service().object(id, &object, Which::Latest).unwrap();
    let day = 24 * 3600 * 1000;
    assert_eq!(newest.locked_until_ms(), Some(newest.created_ms + day));
    assert!(!newest.meta.settings.contains_key(crate::LOCK_HOLD));
}

#[test]
fn checksums_of_parts_stay_with_the_object_its_copies_and_forks() {
    let home = Home::new();
    let (service, name) = (home.service(), named("x"));
    let upload = service.upload_create(home.id, &name, Meta::default()).unwrap();
    let at = UploadAt { container: home.id, name: &name, uuid: &upload.uuid };
    let mut wanted = Vec::new();
    for number in [1, 2] {
        let sums: BTreeMap<String, String> =
            [("sha1", format!("s{number}")), ("crc32", "c".to_owned())]
                .map(|(name, sum)| (name.to_owned(), sum))
                .into();
        let finish = &mut |_: &Stored| Ok(sums.clone());
        let part = service.upload_part(at, number, Some(1), &mut &b"x"[..], finish).unwrap();
        wanted.push((number, part.etag));
    }
    let finish = &mut |_: &crate::object::Upload, parts: &[crate::object::Part]| {
        let sum = |name: &str| (name.to_owned(), "of all".to_owned());
        let checksums = [sum("sha1"), sum("crc64nvme"), sum("type")].into();
        Ok(Meta {
            checksums,
            parts: parts.iter().map(|part| part.size).collect(),
            ..Meta::default()
        })
    };
    let object = service.upload_complete(at, &wanted, finish, &|_| Ok(())).unwrap();
    let kept = [("sha1".to_owned(), vec!["s1".to_owned(), "s2".to_owned()])].into();
    assert_eq!(service.part_checksums(object.id).unwrap(), kept);
    let from = CopySource { container: home.id, name: name.clone(), which: Which::Latest };
    let keep = &mut |object: &Object| Ok(object.meta.clone());
    for to in ["copy", "x"] {
        let copy = service.object_copy(&from, home.id, &named(to), keep, &|_| Ok(())).unwrap();
        assert_eq!(service.part_checksums(copy.id).unwrap(), kept, "{to}");
    }
    let keep = &mut |object: &Object| object.meta.clone();
    let fork = service.container_fork(home.id, &container_name("fork"), keep).unwrap();
    let forked = service.object(fork.id, &name, Which::Latest).unwrap();
    assert_eq!(service.part_checksums(forked.id).unwrap(), kept);
    // What has no parts any more has none of theirs.
    let keep = &mut |_: &Object| Ok(Meta::default());
    let plain = service.object_copy(&from, home.id, &named("plain"), keep, &|_| Ok(())).unwrap();
    assert!(service.part_checksums(plain.id).unwrap().is_empty());
}
