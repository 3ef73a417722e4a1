//! Facts about quotas: what counts, what is refused, and that nobody gets past one.

use std::sync::Barrier;

use super::*;
use crate::identity::Named;
use crate::object::Part;
use crate::testing::stream;

const SECTOR: usize = 512;

impl Home {
    /// In an account that there is, which is also that of the command line.
    fn limited(bytes: Option<u64>, objects: Option<u64>) -> Self {
        let home = Self::new();
        home.limit(bytes, objects);
        home
    }

    fn limit(&self, bytes: Option<u64>, objects: Option<u64>) {
        let change = &mut |c: &mut Container| {
            (c.quota_bytes, c.quota_objects) = (bytes, objects);
            Ok(())
        };
        self.service().container_change(self.id, change).unwrap();
    }

    fn refused(&self, name: &str, len: usize) -> Error {
        let error = self.try_put(name, &noise(9, len), &|_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
        error
    }

    fn begin(&self, name: &str) -> String {
        self.service().upload_create(self.id, &named(name), Meta::default()).unwrap().uuid
    }

    fn part(&self, name: &str, uuid: &str, number: u32, len: usize) -> Result<Part, Error> {
        let bytes = noise(u64::from(number), len);
        let at = UploadAt { container: self.id, name: &named(name), uuid };
        let finish = &mut |_: &Stored| Ok(BTreeMap::new());
        self.service().upload_part(at, number, Some(len as u64), &mut &bytes[..], finish)
    }

    fn complete(&self, name: &str, uuid: &str, parts: &[&Part]) -> Result<Object, Error> {
        let at = UploadAt { container: self.id, name: &named(name), uuid };
        let wanted: Vec<_> = parts.iter().map(|part| (part.number, part.etag.clone())).collect();
        let finish = &mut |_: &crate::Upload, _: &[Part]| Ok(Meta::default());
        self.service().upload_complete(at, &wanted, finish, &|_| Ok(()))
    }

    fn update(
        &self,
        name: &ObjectName,
        place: Place,
        input: &mut dyn Read,
        size: Option<u64>,
    ) -> Result<Updated, Error> {
        self.service().object_update(Update {
            container: self.id,
            name,
            place,
            content: UpdateContent::Bytes { input, size },
            size: None,
            create: true,
            owner: None,
            decide: Box::new(|_| Ok(Meta::default())),
        })
    }

    fn copy(&self, from: &str, to: &str) -> Result<Object, Error> {
        let source = CopySource { container: self.id, name: named(from), which: Which::Latest };
        let finish = &mut |object: &Object| Ok(object.meta.clone());
        self.service().object_copy(&source, self.id, &named(to), finish, &|_| Ok(()))
    }
}

/// A body that nobody may ask for.
struct Untouched;

impl Read for Untouched {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("the body was taken");
    }
}

#[test]
fn a_put_fills_a_container_to_its_quota_and_no_byte_further() {
    let home = Home::limited(Some(1000), None);
    home.put("a", &noise(1, 400));
    home.put("b", &noise(2, 600));
    home.refused("c", 1);
    assert_eq!(home.counters(), (2, 1000, 0));
    home.put("empty", b"");
    home.remove("a", Which::Latest);
    home.put("c", &noise(3, 400));
    assert_eq!(home.counters(), (3, 1000, 0));
}

#[test]
fn what_is_replaced_makes_room_where_no_versions_are_kept() {
    let home = Home::limited(Some(1000), None);
    home.put("a", &noise(1, 900));
    home.put("a", &noise(2, 1000));
    home.refused("a", 1001);
    home.versioning(Versioning::Enabled);
    // The one without a version id stays below it.
    home.refused("a", 1);
    assert_eq!(home.counters(), (1, 1000, 0));
}

#[test]
fn old_versions_count_until_they_are_gone() {
    let home = Home::limited(Some(1000), None);
    home.versioning(Versioning::Enabled);
    let first = home.put("a", &noise(1, 500));
    home.put("a", &noise(2, 500));
    home.refused("a", 1);
    home.remove("a", Which::Latest);
    home.refused("b", 1);
    home.remove("a", Which::Version(first.id));
    home.put("b", &noise(3, 500));
    assert_eq!(home.counters(), (1, 500, 500));
}

#[test]
fn a_body_that_would_not_fit_is_not_taken() {
    let home = Home::limited(Some(1000), None);
    let refused = |error: Error| assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    let finish = &mut |_: &Stored| Ok(Meta::default());
    let name = named("a");
    let put =
        home.service().object_put(home.id, &name, Some(1001), &mut Untouched, finish, &|_| Ok(()));
    refused(put.unwrap_err());
    let uuid = home.begin("a");
    let at = UploadAt { container: home.id, name: &name, uuid: &uuid };
    let finish = &mut |_: &Stored| Ok(BTreeMap::new());
    refused(home.service().upload_part(at, 1, Some(1001), &mut Untouched, finish).unwrap_err());
}

/// A way in for a body.
type Way<'a> = &'a dyn Fn(&mut Long) -> Result<(), Error>;

/// A long body that counts what was taken of it.
#[derive(Default)]
struct Long(u64);

impl Long {
    const BYTES: u64 = 32 << 20;
}

impl Read for Long {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let len = out.len().min((Self::BYTES - self.0) as usize);
        out[..len].fill(self.0 as u8);
        self.0 += len as u64;
        Ok(len)
    }
}

#[test]
fn a_body_of_unknown_size_ends_where_the_quota_does() {
    let home = Home::limited(Some(1000), None);
    home.put("old", &noise(1, 500));
    let name = named("a");
    let uuid = home.begin("a");
    let at = UploadAt { container: home.id, name: &name, uuid: &uuid };
    let put = |input: &mut Long| {
        let finish = &mut |_: &Stored| Ok(Meta::default());
        home.service().object_put(home.id, &name, None, input, finish, &|_| Ok(())).map(drop)
    };
    let part = |input: &mut Long| {
        let finish = &mut |_: &Stored| Ok(BTreeMap::new());
        home.service().upload_part(at, 1, None, input, finish).map(drop)
    };
    let old = named("old");
    let update = |input: &mut Long| home.update(&old, Place::End, input, None).map(drop);
    let ways: [Way<'_>; 3] = [&put, &part, &update];
    for (number, way) in ways.into_iter().enumerate() {
        let mut input = Long::default();
        let error = way(&mut input).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{number}: {error}");
        assert!(input.0 < 2 << 20, "{number}: {} bytes were taken", input.0);
    }
    assert_eq!(home.counters(), (1, 500, 0));
}

#[test]
fn a_body_of_unknown_size_may_fill_what_it_replaces() {
    let home = Home::limited(Some(1000), None);
    home.put("a", &noise(1, 900));
    let name = named("a");
    let finish = &mut |_: &Stored| Ok(Meta::default());
    let bytes = noise(2, 1000);
    home.service().object_put(home.id, &name, None, &mut &bytes[..], finish, &|_| Ok(())).unwrap();
    home.update(&name, Place::At(990), &mut &bytes[..10], None).unwrap();
    assert_eq!(home.counters(), (1, 1000, 0));
}

#[test]
fn an_update_that_would_not_fit_is_not_taken() {
    let home = Home::limited(Some(1000), None);
    home.put("a", &noise(1, 900));
    let name = named("a");
    let refused = |place, size| {
        let error = home.update(&name, place, &mut Untouched, Some(size)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
    };
    refused(Place::End, 101);
    refused(Place::At(400), 601);
    home.versioning(Versioning::Enabled);
    refused(Place::At(0), 1);
    assert_eq!(home.counters(), (1, 900, 0));
}

#[test]
fn copies_count_as_if_their_bytes_were_their_own() {
    let home = Home::limited(Some(1000), None);
    home.put("a", &noise(1, 400));
    home.copy("a", "b").unwrap();
    let error = home.copy("a", "c").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    home.copy("a", "b").unwrap();
    assert_eq!(home.counters(), (2, 800, 0));
}

#[test]
fn parts_count_and_completing_an_upload_adds_nothing() {
    let home = Home::limited(Some(3 * SECTOR as u64), None);
    let uuid = home.begin("a");
    let one = home.part("a", &uuid, 1, SECTOR).unwrap();
    home.part("a", &uuid, 2, SECTOR).unwrap();
    let two = home.part("a", &uuid, 2, 2 * SECTOR).unwrap();
    assert_eq!(home.counters(), (0, 0, 3 * SECTOR as u64));
    assert_eq!(home.part("a", &uuid, 3, 1).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    home.refused("b", 1);
    home.complete("a", &uuid, &[&one, &two]).unwrap();
    assert_eq!(home.counters(), (1, 3 * SECTOR as u64, 0));
}

#[test]
fn an_upload_is_completed_also_where_the_quota_was_lowered_since() {
    let home = Home::new();
    let uuid = home.begin("a");
    let one = home.part("a", &uuid, 1, SECTOR).unwrap();
    home.part("a", &uuid, 2, SECTOR).unwrap();
    home.limit(Some(1), None);
    home.complete("a", &uuid, &[&one]).unwrap();
    assert_eq!(home.counters(), (1, SECTOR as u64, 0));
}

#[test]
fn what_is_given_up_makes_room() {
    let home = Home::limited(Some(1000), None);
    let uuid = home.begin("a");
    home.part("a", &uuid, 1, 1000).unwrap();
    home.refused("b", 1);
    let at = UploadAt { container: home.id, name: &named("a"), uuid: &uuid };
    home.service().upload_abort(at).unwrap();
    home.put("b", &noise(1, 1000));
    assert_eq!(home.counters(), (1, 1000, 0));
}

#[test]
fn a_range_of_an_object_as_a_part_counts() {
    let home = Home::limited(Some(3 * SECTOR as u64), None);
    home.put("source", &noise(1, 2 * SECTOR));
    let uuid = home.begin("a");
    let from = CopySource { container: home.id, name: named("source"), which: Which::Latest };
    let copy = |number, range| {
        let at = UploadAt { container: home.id, name: &named("a"), uuid: &uuid };
        home.service().upload_part_copy(at, number, &from, range, &|_| Ok(()))
    };
    copy(1, Some((0, SECTOR as u64))).unwrap();
    assert_eq!(copy(2, Some((0, 1))).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    assert_eq!(copy(1, None).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    assert_eq!(home.counters(), (1, 2 * SECTOR as u64, SECTOR as u64));
}

#[test]
fn objects_are_counted_as_they_are_listed() {
    let home = Home::limited(None, Some(2));
    home.put("a", b"1");
    home.put("b", b"2");
    home.put("b", b"3");
    home.refused("c", 0);
    home.versioning(Versioning::Enabled);
    let marker = home.remove("a", Which::Latest).object.unwrap();
    home.put("c", b"4");
    // Without its marker it would be there again.
    let back =
        home.service().object_remove(home.id, &named("a"), Which::Version(marker.id), &|_| Ok(()));
    assert_eq!(back.unwrap_err().kind(), ErrorKind::QuotaExceeded);
    home.remove("c", Which::Latest);
    home.remove("a", Which::Version(marker.id));
    assert_eq!(home.counters().0, 2);
}

#[test]
fn nothing_keeps_anybody_from_removing_where_the_quota_was_lowered() {
    let home = Home::new();
    home.put("a", &noise(1, 700));
    home.put("b", &noise(2, 300));
    home.limit(Some(100), Some(1));
    home.put("a", &noise(3, 600));
    home.remove("b", Which::Latest);
    home.refused("a", 601);
    home.remove("a", Which::Latest);
    home.put("a", &noise(4, 100));
    assert_eq!(home.counters(), (1, 100, 0));
}

#[test]
fn all_containers_of_an_account_share_its_quota() {
    let bench = Bench::new();
    let account = bench.service.account_create(&"lab".parse().unwrap(), Some(1000)).unwrap();
    let lab = Named::name("lab");
    let make = |name| bench.service.container_create(account.id, &container_name(name)).unwrap().id;
    let (one, two) = (make("one"), make("two"));
    let put = |container, name: &str, len: usize| {
        let (bytes, finish) = (noise(1, len), &mut |_: &Stored| Ok(Meta::default()));
        let size = Some(len as u64);
        let mut input = &bytes[..];
        bench.service.object_put(container, &named(name), size, &mut input, finish, &|_| Ok(()))
    };
    put(one, "a", 600).unwrap();
    put(two, "a", 400).unwrap();
    let error = put(two, "b", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert!(error.message().contains("account 'lab'"), "{error}");
    assert!(error.message().contains("archipelago account quota lab SIZE"), "{error}");
    bench.service.account_set_quota(&lab, None).unwrap();
    put(two, "b", 1).unwrap();
    assert_eq!(bench.service.account_usage(account.id).unwrap(), 1001);
    // Nobody else's.
    assert_eq!(bench.service.account_usage(OTHER).unwrap(), 0);
}

#[test]
fn an_error_names_the_container_what_it_holds_and_the_remedy() {
    let home = Home::limited(Some(4096), None);
    home.put("a", &noise(1, 3072));
    let error = home.refused("b", 2048);
    for word in ["container 'c'", "4 KiB", "3 KiB", "2 KiB", "archipelago container quota c SIZE"] {
        assert!(error.message().contains(word), "{error}");
    }
}

#[test]
fn files_of_the_command_line_have_the_quota_of_their_container() {
    let bench = Bench::new();
    bench.put_file("a", &stream(&noise(1, 4096))).unwrap();
    let home = bench.service.container(crate::core::OPERATOR, &container_name("files")).unwrap();
    let change = &mut |c: &mut Container| {
        c.quota_bytes = Some(8192);
        Ok(())
    };
    bench.service.container_change(home.id, change).unwrap();
    bench.put_file("b", &stream(&noise(2, 4096))).unwrap();
    let error = bench.put_file("c", &stream(&noise(3, 4096))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    bench.put_file("b", &stream(&noise(4, 4096))).unwrap();
    assert_eq!(bench.service.core.catalog.read(container::miscounted).unwrap(), []);
}

#[test]
fn two_writers_at_the_edge_of_a_quota_never_pass_it_together() {
    let home = Home::limited(Some(10 * 1000), None);
    let start = Barrier::new(2);
    let put = |writer: u64| {
        let mut done = 0;
        start.wait();
        for n in 0..10 {
            let bytes = noise(writer * 100 + n, 1000);
            match home.try_put(&format!("{writer}-{n}"), &bytes, &|_| Ok(())) {
                Ok(_) => done += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}"),
            }
        }
        done
    };
    let done = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| put(1)), scope.spawn(|| put(2)));
        one.join().unwrap() + two.join().unwrap()
    });
    assert_eq!(done, 10);
    assert_eq!(home.counters(), (10, 10_000, 0));
}

#[test]
fn a_writer_that_was_let_begin_is_refused_when_another_was_faster() {
    let home = Home::limited(Some(1000), None);
    let bytes = noise(1, 600);
    let faster = || home.put("fast", &noise(2, 600));
    // It ends between the first question and the last.
    let finish = &mut |_: &Stored| {
        faster();
        Ok(Meta::default())
    };
    let name = named("slow");
    let slow =
        home.service().object_put(home.id, &name, Some(600), &mut &bytes[..], finish, &|_| Ok(()));
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::QuotaExceeded);
    assert_eq!(home.counters(), (1, 600, 0));
}

#[test]
fn counters_are_those_of_the_rows_after_a_crash_and_a_rebuild() {
    let mut home = Home::limited(Some(10_000), None);
    home.versioning(Versioning::Enabled);
    home.put("a", &noise(1, 1000));
    home.put("a", &noise(2, 2000));
    let uuid = home.begin("b");
    home.part("b", &uuid, 1, 3000).unwrap();
    home.bench.crash();
    assert_eq!(home.counters(), (1, 2000, 4000));
    home.bench.service.core.back_up().unwrap();
    home.bench.service.close().unwrap();
    let (data, env) = (home.bench.dir.path().join("data"), archipelago_env::Env::real());
    Service::rebuild(&data, &env, true).unwrap();
    home.bench.service = crate::testing::open(&data).unwrap();
    assert_eq!(home.counters(), (1, 2000, 4000));
    assert_eq!(home.service().account_usage(ACCOUNT).unwrap(), 6000);
    home.refused("c", 4001);
}

#[test]
fn what_is_refused_for_a_quota_makes_no_container() {
    let bench = crate::testing::Bench::new();
    let service = &bench.service;
    service.found_admin().unwrap();
    let account = service.account_of(crate::core::OPERATOR).unwrap();
    service.account_set_quota(&Named::uuid(account.uuid), Some(1000)).unwrap();
    let (home, name) = ("new".parse().unwrap(), "o".parse().unwrap());
    let bytes = noise(1, 2000);
    let is_full = |result: Result<(), Error>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::QuotaExceeded);
        let error = service.container(crate::core::OPERATOR, &home).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    };
    let append = |length, bytes: &[u8]| {
        service.file_update(&home, &name, Place::End, None, length, &mut &bytes[..]).map(drop)
    };
    is_full(append(Some(2000), &bytes));
    is_full(service.file_put(&home, &name, None, &mut &stream(&bytes)[..]).map(drop));
    let hashes = [crate::BlockHash::of_zeros()];
    let (container, object, size) = (&home, &name, 2000);
    let wanted = crate::FileCompose { container, object, size, hashes: &hashes, sha256: None };
    is_full(service.file_compose(&wanted).map(drop));
    append(Some(500), &bytes[..500]).unwrap();
}
