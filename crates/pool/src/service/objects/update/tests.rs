//! Facts about updates: each is one version that reads as an array would, whoever else is at
//! work on the object.

mod crowd;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::super::lane::Lanes;
use super::super::tests::{ACCOUNT, Home, container_name, named};
use super::*;
use crate::Versioning;
use crate::object::{Container, Listing};
use crate::service::tests::stored;
use crate::testing::noise;

/// An update of `x`, which is made if it is not there, and takes over what is known.
fn update<'a>(home: &Home, name: &'a ObjectName, place: Place) -> Update<'a> {
    Update {
        container: home.id,
        name,
        place,
        content: UpdateContent::Nothing,
        size: None,
        create: true,
        owner: None,
        decide: Box::new(|now| Ok(now.map_or_else(Meta::default, |now| now.meta.clone()))),
    }
}

impl Home {
    fn write_at(&self, place: Place, mut bytes: &[u8]) -> Result<Updated, Error> {
        let (name, size) = (named("x"), Some(bytes.len() as u64));
        let content = UpdateContent::Bytes { input: &mut bytes, size };
        self.service().object_update(Update { content, ..update(self, &name, place) })
    }

    fn resize(&self, size: u64) -> Result<Updated, Error> {
        let name = named("x");
        let size = Some(size);
        self.service().object_update(Update { size, ..update(self, &name, Place::End) })
    }

    fn share(&self, place: Place, from: &str, range: Option<(u64, u64)>) -> Result<Updated, Error> {
        let name = named("x");
        let from = CopySource { container: self.id, name: named(from), which: Which::Latest };
        let content = UpdateContent::Object { from, range };
        self.service().object_update(Update { content, ..update(self, &name, place) })
    }

    fn now(&self) -> Vec<u8> {
        self.get("x", Which::Latest).unwrap()
    }
}

#[test]
fn bytes_come_to_where_they_are_told() {
    let home = Home::new();
    let mut model = noise(1, 300_000);
    home.put("x", &model);
    let places =
        [(0, 1), (511, 2), (4095, 70_000), (100_000, 100_352), (299_990, 10), (1, 280_001)];
    for (n, (at, len)) in (2..).zip(places) {
        let bytes = noise(n, len);
        let done = home.write_at(Place::At(at), &bytes).unwrap();
        assert_eq!((done.at, done.object.size), (at, 300_000));
        model[at as usize..][..len].copy_from_slice(&bytes);
        assert!(home.now() == model, "{len} bytes at {at}");
    }
    for len in [0, 1, 511, 512, 65_535, 65_536, 100_001, (1 << 20) + 77] {
        let bytes = noise(len as u64, len);
        let done = home.write_at(Place::End, &bytes).unwrap();
        assert_eq!(done.at, model.len() as u64);
        model.extend_from_slice(&bytes);
        assert!(home.now() == model, "{len} bytes at the end");
    }
    assert_eq!(home.counters(), (1, model.len() as u64, 0));
}

#[test]
fn an_update_reaches_beyond_the_end_but_does_not_begin_there() {
    let home = Home::new();
    home.put("x", &noise(1, 1000));
    home.write_at(Place::At(1000), b"abc").unwrap();
    home.write_at(Place::At(1001), b"xyz!").unwrap();
    assert_eq!(home.now()[1000..], *b"axyz!");
    let refused = home.write_at(Place::At(1006), b"z").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("at 1005 bytes"), "{refused}");
}

#[test]
fn an_object_grows_with_zeros_and_is_cut_off() {
    let home = Home::new();
    let mut model = noise(1, 100_000);
    home.put("x", &model);
    for size in [99_999, 50_000, 120_000, 0, 700] {
        home.resize(size).unwrap();
        model.resize(size as usize, 0);
        assert!(home.now() == model, "{size} bytes");
    }
    let mut bytes = &noise(2, 300)[..];
    let (name, input) = (named("x"), &mut bytes as &mut dyn Read);
    let content = UpdateContent::Bytes { input, size: None };
    let cut = Update { content, size: Some(400), ..update(&home, &name, Place::At(200)) };
    home.service().object_update(cut).unwrap();
    model[200..500].copy_from_slice(&noise(2, 300));
    assert!(home.now() == model[..400]);
    assert_eq!(home.counters(), (1, 400, 0));
}

#[test]
fn an_object_has_as_many_bytes_as_a_volume_may_have_and_each_is_counted() {
    const TIB: u64 = 1 << 40;
    let home = Home::new();
    home.put("x", b"begin");
    home.resize(5 * TIB).unwrap();
    let end = noise(1, 1000);
    assert_eq!(home.write_at(Place::End, &end).unwrap().at, 5 * TIB);
    let open = || home.service().object_open(home.id, &named("x"), Which::Latest).unwrap();
    let mut seam = Vec::new();
    open().range(5 * TIB - 3, u64::MAX).read_to_end(&mut seam).unwrap();
    assert!(seam[..3] == [0; 3] && seam[3..] == end);
    assert_eq!(home.counters(), (1, 5 * TIB + 1000, 0));
    assert_eq!(home.resize(64 * TIB).unwrap().object.size, 64 * TIB);
    assert_eq!(home.resize(64 * TIB + 1).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(home.write_at(Place::End, b"x").unwrap_err().kind(), ErrorKind::Invalid);
    let mut last = Vec::new();
    open().range(64 * TIB - 2, u64::MAX).read_to_end(&mut last).unwrap();
    assert_eq!(last, [0; 2]);
    home.service().object_remove(home.id, &named("x"), Which::Latest, &|_| Ok(())).unwrap();
    assert_eq!(home.counters(), (0, 0, 0));
}

#[test]
fn a_range_of_another_object_comes_without_its_data() {
    let home = Home::new();
    let source = noise(1, 4 << 20);
    let mut model = noise(2, 1 << 20);
    home.put("from", &source);
    home.put("x", &model);
    let before = stored(&home.bench);
    home.share(Place::End, "from", None).unwrap();
    home.share(Place::At(512), "from", Some((1024, 1 << 20))).unwrap();
    home.share(Place::At(77), "from", Some((512 * 9 + 77, 3000))).unwrap();
    model.extend_from_slice(&source);
    model[512..(1 << 20) + 512].copy_from_slice(&source[1024..(1 << 20) + 1024]);
    model[77..3077].copy_from_slice(&source[512 * 9 + 77..][..3000]);
    assert!(home.now() == model);
    let more = stored(&home.bench) - before;
    assert!(more < 64 << 10, "{more} bytes more");
    home.share(Place::At(5), "from", Some((1 << 20, 1 << 20))).unwrap();
    model[5..(1 << 20) + 5].copy_from_slice(&source[1 << 20..2 << 20]);
    home.share(Place::End, "x", Some((0, 1001))).unwrap();
    model.extend_from_within(..1001);
    assert!(home.now() == model);
    // Of no bytes, also where the end is in a sector.
    home.share(Place::End, "from", Some((0, 0))).unwrap();
    let beyond = home.share(Place::End, "from", Some((1, 4 << 20))).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Invalid);
    assert_eq!(home.share(Place::End, "no", None).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Gives some bytes and fails.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(self.0);
        self.0 -= len;
        out[..len].fill(7);
        if len == 0 { Err(io::Error::other("the client is gone")) } else { Ok(len) }
    }
}

#[test]
fn a_writer_that_breaks_off_changes_nothing() {
    let home = Home::new();
    home.versioning(Versioning::Enabled);
    home.put("x", &noise(1, 10_000));
    let (before, name) = (home.counters(), named("x"));
    for (len, size) in [(100, None), (100, Some(200)), (3 << 20, None), (3 << 20, Some(4 << 20))] {
        for place in [Place::End, Place::At(17)] {
            let input = &mut Broken(len) as &mut dyn Read;
            let content = UpdateContent::Bytes { input, size };
            let update = Update { content, ..update(&home, &name, place) };
            home.service().object_update(update).unwrap_err();
        }
    }
    let mut short = &noise(2, 100)[..];
    let content = UpdateContent::Bytes { input: &mut short, size: Some(101) };
    let update = Update { content, ..update(&home, &name, Place::End) };
    assert_eq!(home.service().object_update(update).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(home.counters(), before);
    assert!(home.now() == noise(1, 10_000));
}

#[test]
fn what_is_not_there_is_made_only_when_told() {
    let home = Home::new();
    let name = named("x");
    let refused = home
        .service()
        .object_update(Update { create: false, ..update(&home, &name, Place::End) })
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    home.write_at(Place::End, b"new").unwrap();
    assert_eq!(home.now(), b"new");
    home.remove("x", Which::Latest);
    home.write_at(Place::End, b"newer").unwrap();
    assert_eq!(home.now(), b"newer");
    assert_eq!(home.counters(), (1, 5, 0));
}

#[test]
fn what_is_known_stays_but_for_what_was_said_of_other_bytes() {
    let home = Home::new();
    let name = named("x");
    let mut input = &b"abc"[..];
    let words = |word: &str| BTreeMap::from([(word.to_owned(), "1".to_owned())]);
    let known =
        Meta { user: words("u"), checksums: words("crc32c"), parts: vec![3], ..Meta::default() };
    let put = known.clone();
    let finish = &mut |_: &crate::Stored| Ok(put.clone());
    home.service().object_put(home.id, &name, Some(3), &mut input, finish, &|_| Ok(())).unwrap();
    let done = home.write_at(Place::End, b"d").unwrap();
    let wanted = Meta { checksums: BTreeMap::new(), parts: Vec::new(), ..known };
    assert_eq!((done.object.etag.clone(), &done.object.meta), (None, &wanted));
    let found = home.service().object(home.id, &name, Which::Latest).unwrap();
    assert_eq!(found, done.object);
}

#[test]
fn a_version_is_kept_where_versions_are() {
    let home = Home::new();
    home.put("x", b"first");
    home.versioning(Versioning::Enabled);
    let second = home.write_at(Place::End, b", second").unwrap().object;
    let third = home.write_at(Place::At(0), b"F").unwrap().object;
    assert!(second.id < third.id && third.versioned);
    assert_eq!(home.now(), b"First, second");
    assert_eq!(home.get("x", Which::Version(second.id)).unwrap(), b"first, second");
    assert_eq!(home.get("x", Which::Unversioned).unwrap(), b"first");
    assert_eq!(home.counters(), (1, 13, 18));
    home.versioning(Versioning::Suspended);
    home.write_at(Place::End, b"!").unwrap();
    home.write_at(Place::End, b"!").unwrap();
    assert_eq!(home.get("x", Which::Unversioned).unwrap(), b"First, second!!");
    assert_eq!(home.counters(), (1, 15, 26));
}

/// A request that appends a little, and asks this before.
fn appending(bytes: &[u8], decide: impl FnMut() + Send + 'static) -> Request {
    let mut decide = decide;
    Request {
        place: Place::End,
        payload: Payload::Bytes(bytes.to_vec()),
        size: None,
        create: true,
        owner: None,
        decide: Box::new(move |now| {
            decide();
            Ok(now.map_or_else(Meta::default, |now| now.meta.clone()))
        }),
    }
}

impl Home {
    fn bind(&self, requests: Vec<Request>) -> Vec<Updated> {
        let done = self.service().core.bind_updates(self.id, &named("x"), requests);
        done.into_iter().map(Result::unwrap).collect()
    }

    /// Where what is replaced goes from now on, as a change that may be made later.
    fn archiving(&self) -> (u64, impl Fn() + Send + use<>) {
        let (service, id) = (Arc::clone(&self.bench.service), self.id);
        let old = service.container_create(ACCOUNT, &container_name("old")).unwrap().id;
        let change = move || {
            let change = &mut |c: &mut Container| {
                c.settings.insert(crate::ARCHIVE_STACK.to_owned(), "old".to_owned());
                Ok(())
            };
            service.container_change(id, change).unwrap();
        };
        (old, change)
    }

    fn sizes(&self, container: u64) -> Vec<u64> {
        let listing = Listing { limit: 100, ..Listing::default() };
        let page = self.service().objects(container, &listing).unwrap();
        page.items.iter().map(|object| object.size).collect()
    }
}

#[test]
fn an_archive_has_each_of_those_that_were_bound_together() {
    let home = Home::new();
    let (old, change) = home.archiving();
    change();
    home.put("x", b"1");
    home.bind(vec![appending(b"22", || ()), appending(b"333", || ()), appending(b"4", || ())]);
    assert_eq!(home.now(), b"1223334");
    assert_eq!(home.sizes(old), [1, 3, 6]);
    home.remove("x", Which::Latest);
    assert_eq!(home.now(), b"122333");
}

#[test]
fn an_archive_that_is_new_while_updates_are_made_has_each_of_them() {
    let home = Home::new();
    let (old, change) = home.archiving();
    home.put("x", b"1");
    home.bind(vec![appending(b"22", change), appending(b"333", || ())]);
    assert_eq!(home.now(), b"122333");
    assert_eq!(home.sizes(old), [1, 3]);
}

#[test]
fn a_defect_while_binding_leaves_no_lane_behind() {
    let lanes = Lanes::default();
    let submitted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let key = (1, named("x"));
        lanes.submit(key, appending(b"1", || ()), &|_| panic!("a defect"))
    }));
    assert!(submitted.is_err());
    assert!(lanes.is_empty());
}

#[test]
fn a_size_that_no_object_has_is_refused() {
    let home = Home::new();
    home.put("x", b"abc");
    assert_eq!(home.resize(VOLUME_BYTES_MAX + 1).unwrap_err().kind(), ErrorKind::Invalid);
    home.resize(VOLUME_BYTES_MAX).unwrap();
    assert_eq!(home.write_at(Place::End, b"d").unwrap_err().kind(), ErrorKind::Invalid);
    home.resize(3).unwrap();
    assert_eq!(home.now(), b"abc");
}

#[test]
fn updates_outlive_a_crash() {
    let mut home = Home::new();
    let mut model = Vec::new();
    for n in 0..20 {
        let bytes = noise(n, 10_007 * (n as usize % 11));
        home.write_at(Place::End, &bytes).unwrap();
        model.extend_from_slice(&bytes);
    }
    home.bench.crash();
    assert!(home.now() == model);
    home.write_at(Place::At(3), &noise(50, 5000)).unwrap();
    model[3..5003].copy_from_slice(&noise(50, 5000));
    assert!(home.now() == model);
}
