//! Facts about sealed objects: what is on the disk, who reads it, and what is refused.

use archipelago_format::stream::{Reader, Record};
use archipelago_model::{Source, VolumeName, VolumeSize};

use super::*;
use crate::core::OPERATOR;
use crate::object::{Part, Upload};
use crate::seal::{ClientKey, DefaultSeal, SealedBy, Sealing};
use crate::{BlockHash, DeltaPut, FileVersion, Origin, UpdateContent};

fn client(byte: u8) -> ClientKey {
    ClientKey::new(&[byte; 32]).unwrap()
}

fn kms(key: &str) -> Sealing {
    Sealing::Service(key.to_owned())
}

/// Text that nothing else has, for a search on the disk.
fn text(len: usize) -> Vec<u8> {
    b"a secret that must not be on the disk; ".iter().copied().cycle().take(len).collect()
}

impl Home {
    /// In the first account, which has the command line.
    fn of_operator() -> Self {
        let bench = Bench::new();
        let id = bench.service.container_create(OPERATOR, &container_name("c")).unwrap().id;
        Self { bench, id }
    }

    fn seal(&self, name: &str, bytes: &[u8], sealing: &Sealing) -> Object {
        let to = Put { container: self.id, name: &named(name), size: None, sealing, owner: None };
        let finish = &mut |_: &Stored| Ok(Meta::default());
        self.service().object_put_as(&to, &mut &bytes[..], finish, &|_| Ok(())).unwrap()
    }

    fn open(&self, name: &str, key: Option<&ClientKey>) -> Result<Vec<u8>, Error> {
        let content = self.service().object_open_as(self.id, &named(name), Which::Latest, key)?;
        let mut out = Vec::new();
        content.range(0, u64::MAX).read_to_end(&mut out).unwrap();
        Ok(out)
    }

    fn copy_as(
        &self,
        from: &str,
        to: &str,
        sealing: &Sealing,
        source: Option<&ClientKey>,
    ) -> Result<Object, Error> {
        let from = CopySource { container: self.id, name: named(from), which: Which::Latest };
        let finish = &mut |object: &Object| Ok(object.meta.clone());
        let keys = CopyKeys { sealing, source };
        let name = named(to);
        let target = CopyTarget { container: self.id, name: &name, owner: CopyOwner::Place };
        self.service().object_copy_as(&from, keys, &target, finish, &|_| Ok(()))
    }

    fn encrypts(&self, seal: Option<&DefaultSeal>) {
        let change = &mut |container: &mut Container| {
            DefaultSeal::put(seal, container);
            Ok(())
        };
        self.service().container_change(self.id, change).unwrap();
    }

    fn change_end<'a>(
        &self,
        name: &'a ObjectName,
        content: UpdateContent<'a>,
    ) -> Result<Object, Error> {
        let update = Update {
            container: self.id,
            name,
            place: Place::End,
            content,
            size: None,
            create: true,
            owner: None,
            decide: Box::new(|now| Ok(now.map_or_else(Meta::default, |now| now.meta.clone()))),
        };
        self.service().object_update(update).map(|done| done.object)
    }

    /// Whether any file of the store has these bytes.
    fn is_on_disk(&self, bytes: &[u8]) -> bool {
        let mut folders = vec![self.bench.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|w| w == bytes) {
                    return true;
                }
            }
        }
        false
    }
}

fn is_refused<T>(result: Result<T, Error>) {
    let error = result.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message().contains("encrypt"), "{error}");
}

#[test]
fn what_is_sealed_is_not_on_the_disk_as_it_is() {
    let home = Home::new();
    // Not compressible, so that it would be found.
    let bytes = noise(1, 200_000);
    for (name, sealing) in
        [("s", Sealing::Store), ("k", kms("one")), ("c", Sealing::Client(client(1)))]
    {
        home.seal(name, &bytes, &sealing);
    }
    home.service().close().unwrap();
    assert!(!home.is_on_disk(&bytes[100_000..100_064]));
    // No key is, either.
    assert!(!home.is_on_disk(&[1; 32]));
}

#[test]
fn what_is_not_sealed_is_on_the_disk_as_it_is() {
    // The search of the test above would find it.
    let home = Home::new();
    let bytes = noise(1, 200_000);
    home.put("x", &bytes);
    home.service().close().unwrap();
    assert!(home.is_on_disk(&bytes[100_000..100_064]));
}

#[test]
fn it_reads_back_in_any_range_whatever_its_size() {
    let home = Home::new();
    for len in [0, 1, 15, 16, 511, 4096, (1 << 20) + 7] {
        let bytes = text(len);
        let object = home.seal("x", &bytes, &Sealing::Client(client(1)));
        assert_eq!(object.size, len as u64);
        assert!(home.open("x", Some(&client(1))).unwrap() == bytes, "{len}");
        let content = home
            .service()
            .object_open_as(home.id, &named("x"), Which::Latest, Some(&client(1)))
            .unwrap();
        for (from, count) in [(0, 3), (7, 30), (513, 9000), (len as u64 / 2, u64::MAX)] {
            let mut out = Vec::new();
            content.range(from, count).read_to_end(&mut out).unwrap();
            let from = (from as usize).min(len);
            let to = from.saturating_add(count as usize).min(len);
            assert!(out == bytes[from..to], "{len}: {from}..{to}");
        }
    }
}

#[test]
fn every_door_reads_what_the_store_sealed_also_after_a_restart() {
    let mut home = Home::new();
    home.seal("s", &text(5000), &Sealing::Store);
    home.seal("k", &text(6000), &kms("one"));
    home.bench.reopen();
    assert!(home.get("s", Which::Latest).unwrap() == text(5000));
    assert!(home.get("k", Which::Latest).unwrap() == text(6000));
}

#[test]
fn what_a_client_sealed_opens_with_its_key_only_and_the_error_says_how() {
    let home = Home::new();
    home.seal("x", b"abc", &Sealing::Client(client(1)));
    let error = home.get("x", Which::Latest).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("object 'x'") && error.message().contains("S3"), "{error}");
    assert_eq!(home.open("x", Some(&client(2))).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(home.open("x", Some(&client(1))).unwrap(), b"abc");
    // A key that nothing is sealed with is a mistake.
    home.put("plain", b"abc");
    assert_eq!(home.open("plain", Some(&client(1))).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn the_md5_is_kept_of_what_the_store_sealed_and_of_nothing_else() {
    let home = Home::new();
    let plain = home.put("p", b"abc").etag;
    assert_eq!(home.seal("s", b"abc", &Sealing::Store).etag, plain);
    assert_eq!(home.seal("k", b"abc", &kms("one")).etag, None);
    assert_eq!(home.seal("c", b"abc", &Sealing::Client(client(1))).etag, None);
    assert_eq!(home.copy_as("s", "copy", &kms("one"), None).unwrap().etag, None);
}

#[test]
fn a_copy_under_another_key_shares_the_content_and_opens_with_that() {
    let home = Home::new();
    home.seal("x", &text(9000), &Sealing::Client(client(1)));
    let before = stored(&home.bench);
    home.copy_as("x", "y", &Sealing::Client(client(2)), Some(&client(1))).unwrap();
    home.copy_as("x", "k", &kms("one"), Some(&client(1))).unwrap();
    home.copy_as("k", "s", &Sealing::Store, None).unwrap();
    // Onto itself, where the source is gone with the copy.
    home.copy_as("x", "x", &Sealing::Client(client(3)), Some(&client(1))).unwrap();
    assert_eq!(stored(&home.bench), before);
    assert!(home.open("y", Some(&client(2))).unwrap() == text(9000));
    assert!(home.open("x", Some(&client(3))).unwrap() == text(9000));
    assert!(home.get("k", Which::Latest).unwrap() == text(9000));
    assert!(home.get("s", Which::Latest).unwrap() == text(9000));
    assert!(home.open("y", Some(&client(1))).is_err());
}

#[test]
fn a_copy_is_never_in_clear_where_its_source_was_not() {
    let home = Home::new();
    home.seal("k", b"abc", &kms("one"));
    home.seal("c", b"abc", &Sealing::Client(client(1)));
    let by = |object: Object| object.seal.map(|seal| seal.by);
    let kept = by(home.copy_as("k", "k2", &Sealing::Default, None).unwrap());
    assert!(matches!(kept, Some(SealedBy::Service { key, .. }) if key == "one"));
    let kept = by(home.copy_as("c", "c2", &Sealing::Default, Some(&client(1))).unwrap());
    assert_eq!(kept, Some(SealedBy::Store));
    assert_eq!(home.get("c2", Which::Latest).unwrap(), b"abc");
    for key in [None, Some(client(2))] {
        let copy = home.copy_as("c", "no", &Sealing::Default, key.as_ref());
        assert_eq!(copy.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn a_copy_of_what_is_not_sealed_is_stored_once_more() {
    let home = Home::new();
    let bytes = noise(2, 100_000);
    home.put("p", &bytes);
    home.copy_as("p", "c", &Sealing::Client(client(1)), None).unwrap();
    home.copy_as("p", "p", &Sealing::Store, None).unwrap();
    assert!(home.open("c", Some(&client(1))).unwrap() == bytes);
    let object = home.service().object(home.id, &named("p"), Which::Latest).unwrap();
    assert_eq!(object.seal.map(|seal| seal.by), Some(SealedBy::Store));
    assert!(home.get("p", Which::Latest).unwrap() == bytes);
}

#[test]
fn a_container_that_encrypts_does_so_with_all_that_comes_or_refuses_it() {
    let home = Home::of_operator();
    home.put("before", &text(5000));
    home.encrypts(Some(&DefaultSeal::Service("one".to_owned())));
    let object = home.put("x", &text(5000));
    assert!(matches!(object.seal.map(|seal| seal.by),
        Some(SealedBy::Service { key, account }) if key == "one" && account == OPERATOR.get()));
    assert!(home.get("x", Which::Latest).unwrap() == text(5000));
    let copy = home.copy_as("before", "copy", &Sealing::Default, None).unwrap();
    assert!(copy.seal.is_some());
    // What was there before stays as it is, and is not added to in clear.
    assert!(home.get("before", Which::Latest).unwrap() == text(5000));
    let service = home.service();
    for name in ["before", "new"] {
        let bytes = UpdateContent::Bytes { input: &mut &b"+"[..], size: Some(1) };
        is_refused(home.change_end(&named(name), bytes));
    }
    let stream = crate::testing::stream(b"file");
    is_refused(service.file_put(&container_name("c"), &named("f"), None, &mut &stream[..]));
    let hashes = service.blocks_put(OPERATOR, None, &mut &text(5000)[..]).unwrap();
    let compose = crate::Compose {
        container: home.id,
        name: &named("h"),
        account: OPERATOR,
        size: 5000,
        hashes: &hashes,
        sha256: None,
    };
    is_refused(service.object_compose(&compose, &mut || Ok(Meta::default()), &|_| Ok(())));
    home.encrypts(None);
    assert_eq!(home.put("y", b"abc").seal, None);
}

#[test]
fn nothing_that_works_on_maps_takes_what_is_sealed() {
    let home = Home::of_operator();
    home.seal("x", &text(8192), &Sealing::Store);
    home.put("p", &text(8192));
    let service = home.service();
    let source: Source = "file:c/x".parse().unwrap();
    let name = |name: &str| name.parse::<VolumeName>().unwrap();
    let size = None::<VolumeSize>;
    for origin in [
        Origin::Clone { source: source.clone(), size },
        Origin::Raw { source: source.clone(), size },
    ] {
        is_refused(service.volume_create(&[name("v")], &origin));
    }
    is_refused(service.export_disk(&source, &mut Vec::new()));
    is_refused(service.open_device("file:c/x"));
    assert_eq!(service.exports().unwrap(), ["file:c/p"]);
    let from =
        |name: &str| CopySource { container: home.id, name: named(name), which: Which::Latest };
    for range in [None, Some((0, 512))] {
        is_refused(home.change_end(&named("p"), UpdateContent::Object { from: from("x"), range }));
    }
    is_refused(home.change_end(&named("x"), UpdateContent::Nothing));
    is_refused(
        home.change_end(&named("x"), UpdateContent::Bytes { input: &mut &b"+"[..], size: Some(1) }),
    );
    service.step_views().unwrap();
    assert_eq!(service.disk_file(&container_name("c"), &named("x")).unwrap(), None);
}

#[test]
fn no_block_of_what_is_sealed_is_found_by_its_hash() {
    let home = Home::new();
    let bytes = noise(3, 5000);
    let put = |name: &str| {
        let finish = &mut |_: &Stored| Ok(Meta::default());
        home.service()
            .object_put_hashed(home.id, &named(name), None, &mut &bytes[..], finish, &|_| Ok(()))
            .unwrap()
    };
    home.encrypts(Some(&DefaultSeal::Store));
    let (object, _) = put("sealed");
    home.encrypts(None);
    let content = home.service().object_open(home.id, &named("sealed"), Which::Latest).unwrap();
    let list = home.service().hash_list(&content, &|| true).unwrap();
    let hashes: Vec<_> = list.map(Result::unwrap).collect();
    assert!(home.service().object_hashes(&[object.id]).unwrap().is_empty());
    let compose = crate::Compose {
        container: home.id,
        name: &named("made"),
        account: ACCOUNT,
        size: 5000,
        hashes: &hashes,
        sha256: None,
    };
    let made = home.service().object_compose(&compose, &mut || Ok(Meta::default()), &|_| Ok(()));
    assert!(matches!(made, Ok(crate::Composed::Missing(_))));
}

/// What a stream tells, without what it says nothing of.
fn unpacked(stream: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(stream).unwrap();
    let mut out = Vec::new();
    while let Record::Data { bytes, .. } = reader.next().unwrap() {
        out.extend(bytes);
    }
    out
}

#[test]
fn the_command_line_reads_what_the_store_sealed_as_it_is() {
    let home = Home::of_operator();
    let bytes = text(3 << 20);
    home.seal("x", &bytes, &Sealing::Store);
    home.seal("c", &bytes, &Sealing::Client(client(1)));
    let stream = home.bench.export("file:c/x");
    assert!(unpacked(&stream) == bytes);
    let (container, object) = (container_name("c"), named("x"));
    let which = FileVersion { container: &container, object: &object, id: None };
    let mut stream = Vec::new();
    let ranges = [4096..8192, 1 << 20..3 << 20];
    home.service().export_ranges(which, &ranges, &mut stream).unwrap();
    assert!(unpacked(&stream) == [&bytes[4096..8192], &bytes[1 << 20..]].concat());
    let base = home.service().object(home.id, &object, Which::Latest).unwrap().id;
    let hash = BlockHash::of_zeros();
    let delta = DeltaPut { container: &container, object: &object, base, hash, sha256: None };
    is_refused(home.service().file_put_delta(&delta, &mut &stream[..]));
    is_refused(home.service().export(&"file:c/c".parse().unwrap(), &mut Vec::new()));
}

#[test]
fn what_doors_know_of_a_version_does_not_touch_its_seal() {
    let home = Home::new();
    home.seal("x", b"abc", &Sealing::Store);
    let change = &mut |_: &Object| Ok(Meta::default());
    home.service().object_change(home.id, &named("x"), Which::Latest, change).unwrap();
    assert_eq!(home.get("x", Which::Latest).unwrap(), b"abc");
    let free: &Check<'_> = &|_| Ok(());
    let moved = (home.id, &named("x"));
    home.service().object_move(moved, home.id, &named("y"), change, free, free).unwrap();
    assert_eq!(home.get("y", Which::Latest).unwrap(), b"abc");
}

/// An upload under a key of a client, or not.
struct Sent<'a> {
    home: &'a Home,
    uuid: String,
    key: Option<ClientKey>,
}

impl<'a> Sent<'a> {
    fn begin(home: &'a Home, sealing: &Sealing) -> Self {
        let name = named("x");
        let upload = home
            .service()
            .upload_create_as(home.id, &name, Meta::default(), sealing, None)
            .unwrap();
        let key = match sealing {
            Sealing::Client(key) => Some(key.clone()),
            _ => None,
        };
        Self { home, uuid: upload.uuid, key }
    }

    fn part(&self, number: u32, bytes: &[u8]) -> Part {
        self.part_with(number, bytes, self.key.as_ref()).unwrap()
    }

    fn part_with(&self, number: u32, bytes: &[u8], key: Option<&ClientKey>) -> Result<Part, Error> {
        let name = named("x");
        let at = UploadAt { container: self.home.id, name: &name, uuid: &self.uuid };
        let finish = &mut |_: &Stored| Ok(BTreeMap::new());
        self.home.service().upload_part_as(at, number, key, None, &mut &bytes[..], finish)
    }

    fn complete(self, parts: &[&Part]) -> Object {
        let name = named("x");
        let at = UploadAt { container: self.home.id, name: &name, uuid: &self.uuid };
        let wanted: Vec<_> = parts.iter().map(|part| (part.number, part.etag.clone())).collect();
        let finish = &mut |_: &Upload, _: &[Part]| Ok(Meta::default());
        self.home.service().upload_complete(at, &wanted, finish, &|_| Ok(())).unwrap()
    }
}

#[test]
fn parts_are_sealed_each_and_joined_as_they_are_stored() {
    for sealing in [Sealing::Store, kms("one"), Sealing::Client(client(1))] {
        // Whole sectors are spliced, odd parts are copied.
        for len in [8192, 5001] {
            let home = Home::new();
            let (one, two, three) = (noise(1, len), noise(2, len), noise(3, 77));
            let upload = Sent::begin(&home, &sealing);
            let third = upload.part(3, &three);
            let second = upload.part(2, &two);
            upload.part(1, &two);
            // What came last counts.
            let first = upload.part(1, &one);
            let key = upload.key.clone();
            upload.complete(&[&first, &second, &third]);
            let all = [one, two, three].concat();
            assert!(home.open("x", key.as_ref()).unwrap() == all, "{sealing:?} {len}");
            let content = home
                .service()
                .object_open_as(home.id, &named("x"), Which::Latest, key.as_ref())
                .unwrap();
            for from in [0, len - 5, len, 2 * len - 20] {
                let mut out = Vec::new();
                content.range(from as u64, 60).read_to_end(&mut out).unwrap();
                assert!(out == all[from..from + 60]);
            }
            // A fork and a copy have the parts, too, also one that takes the place of its source.
            let keep = &mut |object: &Object| object.meta.clone();
            let fork = home.service().container_fork(home.id, &container_name("f"), keep).unwrap();
            let content = home
                .service()
                .object_open_as(fork.id, &named("x"), Which::Latest, key.as_ref())
                .unwrap();
            let mut out = Vec::new();
            content.range(0, u64::MAX).read_to_end(&mut out).unwrap();
            assert!(out == all);
            home.copy_as("x", "x", &Sealing::Store, key.as_ref()).unwrap();
            home.copy_as("x", "y", &Sealing::Default, None).unwrap();
            assert!(home.get("x", Which::Latest).unwrap() == all);
            assert!(home.get("y", Which::Latest).unwrap() == all);
            home.service().close().unwrap();
            assert!(!home.is_on_disk(&all[100..164]));
        }
    }
}

#[test]
fn parts_come_with_the_key_of_their_upload_only() {
    let home = Home::new();
    let upload = Sent::begin(&home, &Sealing::Client(client(1)));
    for key in [None, Some(client(2))] {
        let part = upload.part_with(1, b"abc", key.as_ref());
        assert_eq!(part.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let open = Sent::begin(&home, &Sealing::Default);
    let part = open.part_with(1, b"abc", Some(&client(1)));
    assert_eq!(part.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_part_is_copied_out_of_what_is_sealed_and_into_it() {
    let home = Home::new();
    let bytes = noise(4, 9000);
    home.put("p", &bytes);
    home.seal("c", &bytes, &Sealing::Client(client(1)));
    for (source, key) in [("p", None), ("c", Some(client(1)))] {
        for sealing in [Sealing::Default, Sealing::Store, Sealing::Client(client(2))] {
            let upload = Sent::begin(&home, &sealing);
            let name = named("x");
            let at = UploadAt { container: home.id, name: &name, uuid: &upload.uuid };
            let from = CopySource { container: home.id, name: named(source), which: Which::Latest };
            let keys = PartKeys { upload: upload.key.as_ref(), source: key.as_ref() };
            let range = Some((100, 5000));
            let copy = |keys| {
                let sums =
                    crate::PartSums { see: &mut |_| {}, finish: &mut |_| Ok(BTreeMap::new()) };
                home.service().upload_part_copy_as(at, 1, (&from, range), keys, &|_| Ok(()), sums)
            };
            if key.is_some() {
                assert!(copy(PartKeys { source: None, ..keys }).is_err());
            }
            let part = copy(keys).unwrap();
            let key = upload.key.clone();
            upload.complete(&[&part]);
            assert!(home.open("x", key.as_ref()).unwrap() == bytes[100..5100]);
        }
    }
}

#[test]
fn a_backup_brings_sealed_objects_back() {
    let mut home = Home::new();
    let upload = Sent::begin(&home, &Sealing::Store);
    let part = upload.part(1, &text(5000));
    upload.complete(&[&part]);
    home.service().close().unwrap();
    let data = home.bench.dir.path().join("data");
    crate::testing::lose_catalog(&data);
    Service::rebuild(&data, &archipelago_env::Env::real(), false).unwrap();
    home.bench.service = crate::testing::open(&data).unwrap();
    assert!(home.get("x", Which::Latest).unwrap() == text(5000));
}

#[test]
fn without_the_secret_key_of_the_store_its_objects_are_damaged_and_those_of_clients_are_not() {
    let mut home = Home::new();
    home.seal("s", b"abc", &Sealing::Store);
    home.seal("c", b"abc", &Sealing::Client(client(1)));
    home.service().close().unwrap();
    std::fs::remove_file(home.bench.dir.path().join("data/secret.key")).unwrap();
    home.bench.reopen();
    assert_eq!(home.get("s", Which::Latest).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(home.open("c", Some(&client(1))).unwrap(), b"abc");
}
