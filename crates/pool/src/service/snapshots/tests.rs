use std::sync::atomic::{AtomicBool, Ordering};

use archipelago_model::AccountId;

use crate::catalog::{container, state};
use crate::core::OPERATOR;
use crate::testing::{Bench, MIB, noise, src, stream, vol};
use crate::{
    CopySource, DiffRange, Error, ErrorKind, Meta, Place, Stored, Update, UpdateContent,
    Versioning, Which, Write,
};

#[test]
fn a_snapshot_keeps_what_was_and_is_read_only() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    bench.put("web", 0, &noise(2, 4096));
    let old = bench.device("web@one");
    assert!(old.read_only());
    let refused = old.write(&[Write::Data { offset: 0, bytes: &[1; 512] }]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ReadOnly);
    assert_eq!(bench.get("web@one", 0, 4096), noise(1, 4096));
}

#[test]
fn a_taken_name_fails_without_touching_the_snapshot() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.create("db", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    let before = bench.service.snapshots(None).unwrap();
    bench.put("web", 0, &noise(2, 4096));
    let paths = ["db@one".parse().unwrap(), "web@one".parse().unwrap()];
    let error = bench.service.snapshot_create(&paths).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.service.snapshots(None).unwrap(), before);
    assert_eq!(bench.get("web@one", 0, 4096), noise(1, 4096));
}

#[test]
fn a_removed_snapshot_frees_its_name() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@one").unwrap();
    bench.service.snapshot_remove(&"web@one".parse().unwrap()).unwrap();
    let missing = bench.service.snapshot_remove(&"web@one".parse().unwrap()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    assert_eq!(bench.get("web@one", 0, 4096), noise(1, 4096));
}

#[test]
fn rolling_back_brings_back_content_and_size_also_after_a_crash() {
    let mut bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    bench.put("web", 0, &noise(2, 8192));
    bench.service.volume_resize(&vol("web"), crate::testing::size(2 * MIB)).unwrap();
    bench.put("web", MIB, &noise(3, 4096));
    let path = "web@one".parse().unwrap();
    let device = bench.device("web");
    assert_eq!(bench.service.snapshot_rollback(&path).unwrap_err().kind(), ErrorKind::InUse);
    drop(device);
    let volume = bench.service.snapshot_rollback(&path).unwrap();
    assert_eq!(volume.size.bytes(), MIB);
    let expected = [noise(1, 4096), vec![0; 4096]].concat();
    assert_eq!(bench.get("web", 0, 8192), expected);
    bench.crash();
    assert_eq!(bench.get("web", 0, 8192), expected);
    bench.put("web", 4096, &noise(4, 4096));
    bench.crash();
    assert_eq!(bench.get("web", 0, 8192), [noise(1, 4096), noise(4, 4096)].concat());
}

#[test]
fn a_device_from_before_a_rollback_could_not_exist_and_a_new_term_begins() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    let before = bench.service.volume(&vol("web")).unwrap().epoch;
    bench.snapshot("web@one").unwrap();
    let after = bench.service.snapshot_rollback(&"web@one".parse().unwrap()).unwrap().epoch;
    assert!(after > before);
}

#[test]
fn several_volumes_are_cut_at_one_moment() {
    let bench = Bench::new();
    let pair = ["a", "b"];
    for name in pair {
        bench.create(name, MIB);
    }
    let (a, b) = (bench.device("a"), bench.device("b"));
    let stop = AtomicBool::new(false);
    let number = |device: &crate::Device| {
        let mut sector = [0; 512];
        device.read(0, &mut sector).unwrap();
        u64::from_le_bytes(sector[..8].try_into().unwrap())
    };
    std::thread::scope(|scope| {
        // b is written only after a was: a cut between them shows b = a or b = a - 1.
        scope.spawn(|| {
            let mut n = 0u64;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let mut sector = [0; 512];
                sector[..8].copy_from_slice(&n.to_le_bytes());
                for device in [&a, &b] {
                    device.write(&[Write::Data { offset: 0, bytes: &sector }]).unwrap();
                }
            }
        });
        for round in 0..20 {
            let paths = pair.map(|name| format!("{name}@s{round}").parse().unwrap());
            bench.service.snapshot_create(&paths).unwrap();
            let cut = pair.map(|name| number(&bench.device(&format!("{name}@s{round}"))));
            assert!(cut[0] == cut[1] || cut[0] == cut[1] + 1, "{cut:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn diff_tells_the_ranges_that_changed_and_which_are_zeros_now() {
    let bench = Bench::new();
    bench.create("web", 8 * MIB);
    bench.put("web", 0, &noise(1, 16384));
    bench.snapshot("web@one").unwrap();
    bench.put("web", 4096, &noise(2, 4096));
    bench.put("web", 4 * MIB, &noise(3, 8192));
    let device = bench.device("web");
    device.write(&[Write::Zero { offset: 12288, len: 4096, may_unmap: true }]).unwrap();
    let expected = vec![
        DiffRange { offset: 4096, len: 4096, zero: false },
        DiffRange { offset: 12288, len: 4096, zero: true },
        DiffRange { offset: 4 * MIB, len: 8192, zero: false },
    ];
    let diff = |from: &str, to: &str| bench.service.diff(&src(from), &src(to)).unwrap();
    assert_eq!(diff("snapshot:web@one", "volume:web"), expected);
    assert_eq!(diff("volume:web", "volume:web"), vec![]);
    bench.snapshot("web@two").unwrap();
    assert_eq!(diff("snapshot:web@one", "snapshot:web@two"), expected);
}

#[test]
fn growth_that_was_not_written_is_no_difference() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.clone_as("big", "volume:web", Some(8 * MIB)).unwrap();
    assert_eq!(bench.service.diff(&src("volume:web"), &src("volume:big")).unwrap(), vec![]);
}

#[test]
fn snapshots_are_listed_oldest_first() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.create("db", MIB);
    for path in ["web@z", "web@a", "db@m"] {
        bench.snapshot(path).unwrap();
    }
    let listed = |volume: Option<&str>| -> Vec<String> {
        let volume = volume.map(vol);
        let rows = bench.service.snapshots(volume.as_ref()).unwrap();
        rows.into_iter().map(|row| row.path.to_string()).collect()
    };
    assert_eq!(listed(None), ["db@m", "web@z", "web@a"]);
    assert_eq!(listed(Some("web")), ["web@z", "web@a"]);
    let missing = bench.service.snapshots(Some(&vol("nope"))).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn an_image_can_be_compared_with_its_clone() {
    let bench = Bench::new();
    bench.import("base", &stream(&noise(1, MIB as usize))).unwrap();
    bench.clone_as("web", "image:base", None).unwrap();
    bench.put("web", 8192, &noise(2, 4096));
    assert_eq!(
        bench.service.diff(&src("image:base"), &src("volume:web")).unwrap(),
        [DiffRange { offset: 8192, len: 4096, zero: false }]
    );
}

fn snapshot_files(bench: &Bench) -> Vec<(String, u64)> {
    let files = bench.service.files(Some(&"snapshots".parse().unwrap()));
    let files = files.unwrap_or_default().into_iter();
    files.map(|file| (file.object.to_string(), file.size)).collect()
}

#[test]
fn a_snapshot_is_a_file_at_once_and_is_called_and_goes_with_it() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 65536));
    bench.snapshot("web@a").unwrap();
    bench.put("web", 0, &noise(2, 65536));
    bench.snapshot("web@b").unwrap();
    assert_eq!(snapshot_files(&bench), [("web@a".to_owned(), MIB), ("web@b".to_owned(), MIB)]);
    assert!(bench.get("file:snapshots/web@a", 0, 65536) == noise(1, 65536));
    bench.service.volume_rename(&vol("web"), &vol("site")).unwrap();
    assert_eq!(snapshot_files(&bench), [("site@a".to_owned(), MIB), ("site@b".to_owned(), MIB)]);
    bench.service.snapshot_remove(&"site@a".parse().unwrap()).unwrap();
    assert_eq!(snapshot_files(&bench), [("site@b".to_owned(), MIB)]);
    bench.service.volume_remove(&vol("site"), true).unwrap();
    assert_eq!(snapshot_files(&bench), []);
    assert!(bench.service.check().unwrap().is_empty());
}

#[test]
fn no_door_of_files_changes_a_snapshot_and_a_copy_outlives_it() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 65536));
    bench.snapshot("web@a").unwrap();
    let (home, name) = ("snapshots".parse().unwrap(), "web@a".parse().unwrap());
    let error = bench.service.file_remove(&home, &name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert!(error.message().contains("snapshot rm web@a"), "{error}");
    let error = bench.service.container_remove(files_home(&bench)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.message().contains("snapshot rm"), "{error}");
    let from = CopySource { container: files_home(&bench), name, which: Which::Latest };
    let box_ = bench.service.container_create(OPERATOR, &"box".parse().unwrap()).unwrap();
    let (finish, to) = (&mut |_: &_| Ok(Meta::default()), "kept".parse().unwrap());
    bench.service.object_copy(&from, box_.id, &to, finish, &|_| Ok(())).unwrap();
    bench.service.snapshot_remove(&"web@a".parse().unwrap()).unwrap();
    assert!(bench.get("file:box/kept", 0, 65536) == noise(1, 65536));
}

#[test]
fn what_means_nothing_of_snapshots_is_refused_of_their_container() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    let (service, home) = (&bench.service, files_home(&bench));
    let set = |change: &dyn Fn(&mut crate::Container)| {
        let mut change = |container: &mut crate::Container| {
            change(container);
            Ok(())
        };
        service.container_change(home, &mut change).map(drop)
    };
    let refused = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.message().contains("mean nothing there"), "{error}");
    };
    refused(set(&|container| container.quota_bytes = Some(1)));
    refused(set(&|container| container.quota_objects = Some(1)));
    refused(set(&|container| container.versioning = crate::Versioning::Enabled));
    for name in [crate::ARCHIVE_STACK, "lock.default", "seal.default"] {
        refused(set(&|container| drop(container.settings.insert(name.into(), "x".into()))));
    }
    let rule = crate::Rule {
        id: "r".to_owned(),
        enabled: true,
        filter: Default::default(),
        expiration: None,
        noncurrent: None,
        abort_days: Some(1),
    };
    refused(service.lifecycle_set(home, &[rule], "{}"));
    // Labels, and who may read, are as of any container.
    set(&|container| drop(container.settings.insert("swift.meta.a".into(), "x".into()))).unwrap();
    share(&bench, &crate::Shared::Container(home));
}

#[test]
fn no_door_puts_anything_beside_snapshots() {
    let bench = Bench::new();
    let service = &bench.service;
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    let (snapshots, home) = ("snapshots".parse().unwrap(), files_home(&bench));
    let box_ = service.container_create(OPERATOR, &"box".parse().unwrap()).unwrap().id;
    let known = &mut |_: &_| Ok(Meta::default());
    let put = |container, known: &mut dyn FnMut(&Stored) -> Result<Meta, Error>| {
        let name = "o".parse().unwrap();
        service.object_put(container, &name, Some(4), &mut &b"mine"[..], known, &|_| Ok(()))
    };
    put(box_, &mut |_| Ok(Meta::default())).unwrap();
    for name in ["web@a", "web@b", "other"] {
        let (name, stream) = (name.parse().unwrap(), stream(b"mine"));
        let update = Update {
            container: home,
            name: &name,
            place: Place::End,
            content: UpdateContent::Bytes { input: &mut &b"more"[..], size: Some(4) },
            size: None,
            create: true,
            owner: None,
            decide: Box::new(|_| Ok(Meta::default())),
        };
        let (source, free) = ("o".parse().unwrap(), &|_: Option<&_>| Ok(()));
        let from = CopySource { container: box_, name: "o".parse().unwrap(), which: Which::Latest };
        let unseen = &mut |_: &Stored| -> Result<Meta, Error> { panic!("it was sent in vain") };
        for error in [
            service.file_put(&snapshots, &name, None, &mut &stream[..]).map(drop),
            service.object_put(home, &name, None, &mut &b"mine"[..], unseen, free).map(drop),
            service.object_update(update).map(drop),
            service.upload_create(home, &name, Meta::default()).map(drop),
            service.object_copy(&from, home, &name, known, free).map(drop),
            service.object_move((box_, &source), home, &name, known, free, free).map(drop),
        ]
        .map(Result::unwrap_err)
        {
            assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
            assert!(error.message().contains("choose another container"), "{error}");
        }
    }
    // Nor by what another container keeps.
    for kind in [crate::ARCHIVE_HISTORY, crate::ARCHIVE_STACK] {
        let archive = &mut |container: &mut crate::Container| {
            container.settings = [(kind.to_owned(), "snapshots".to_owned())].into();
            Ok(())
        };
        service.container_change(box_, archive).unwrap();
        let error = put(box_, &mut |_| Ok(Meta::default())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    }
    assert_eq!(snapshot_files(&bench), [("web@a".to_owned(), MIB)]);
    bench.snapshot("web@b").unwrap();
}

#[test]
fn the_name_of_the_container_is_kept_for_the_store() {
    let bench = Bench::new();
    let (name, stream) = ("snapshots".parse().unwrap(), stream(b"mine"));
    let object = "o".parse().unwrap();
    for made in [
        bench.service.container_create(OPERATOR, &name).map(drop),
        bench.service.bucket_create(OPERATOR, &name).map(drop),
        bench.service.file_put(&name, &object, None, &mut &stream[..]).map(drop),
    ] {
        assert_eq!(made.unwrap_err().kind(), ErrorKind::ReadOnly);
    }
    // Other accounts may call theirs so.
    bench.service.container_create(AccountId::new(1), &name).unwrap();
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    assert_eq!(snapshot_files(&bench), [("web@a".to_owned(), MIB)]);
    let error = bench.service.container_create(OPERATOR, &name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

/// A container of that name that somebody made before the store kept it for itself.
fn foreign_home(bench: &Bench) -> u64 {
    let name = "snapshots".parse().unwrap();
    let made = bench.service.core.catalog.write(|tx| {
        let id = state::take_id(tx)?;
        container::insert(tx, id, OPERATOR, &name, 0).map(|()| id)
    });
    made.unwrap()
}

/// Closes the store, changes its catalog, and opens it again.
fn reopen_with(bench: &mut Bench, sql: &str) {
    bench.service.close().unwrap();
    crate::testing::tamper(&bench.dir.path().join("data"), sql);
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
}

/// An older program made a container as any other.
const UNMARK: &str = "UPDATE container SET of_snapshots = 0;";

fn share(bench: &Bench, shared: &crate::Shared) {
    let mut add = |grants: &mut Vec<crate::Grant>| {
        grants.push(crate::Grant::new(crate::Grantee::Everyone, crate::Right::Read));
        Ok(())
    };
    bench.service.grants_change("admin", shared, &mut add).unwrap();
}

#[test]
fn no_snapshot_comes_into_a_container_of_somebody_else() {
    let mut bench = Bench::new();
    let home = foreign_home(&bench);
    share(&bench, &crate::Shared::Container(home));
    bench.create("web", MIB);
    for path in ["web@a", "web@b"] {
        assert_eq!(bench.service.status().problem.is_some(), path == "web@b");
        bench.snapshot(path).unwrap();
    }
    bench.service.volume_rename(&vol("web"), &vol("site")).unwrap();
    bench.reopen();
    assert_eq!(snapshot_files(&bench), []);
    let problem = bench.service.status().problem.unwrap();
    assert!(problem.contains("container 'snapshots'"), "{problem}");
    // What is in it is its owner's.
    let (name, object) = ("snapshots".parse().unwrap(), "site@a".parse().unwrap());
    bench.service.file_put(&name, &object, None, &mut &stream(b"mine")[..]).unwrap();
    assert!(bench.service.exports().unwrap().contains(&"file:snapshots/site@a".to_owned()));
    bench.service.file_remove(&name, &object).unwrap();
    bench.service.container_remove(home).unwrap();
    bench.snapshot("site@c").unwrap();
    let names: Vec<String> = snapshot_files(&bench).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["site@a", "site@b", "site@c"]);
    assert_eq!(bench.service.status().problem, None);
    assert_eq!(bench.service.exports().unwrap().len(), 4);
    assert!(bench.service.check().unwrap().is_empty());
}

#[test]
fn a_container_of_an_older_program_that_has_only_snapshots_is_taken_over() {
    let mut bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    let home = files_home(&bench);
    reopen_with(&mut bench, UNMARK);
    assert_eq!(bench.service.status().problem, None);
    assert_eq!(files_home(&bench), home);
    assert_eq!(snapshot_files(&bench), [("web@a".to_owned(), MIB)]);
    let refused = bench.service.upload_create(home, &"o".parse().unwrap(), Meta::default());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn no_snapshot_stays_in_a_container_of_an_older_program_that_may_be_somebody_else_s() {
    let change = |bench: &Bench, change: &mut dyn FnMut(&mut crate::Container)| {
        as_older_programs(bench, change);
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&Bench), &'a str);
    let cases: [Case<'_>; 7] = [
        ("list", &|bench| share(bench, &crate::Shared::Container(files_home(bench))), ""),
        (
            "list of a name",
            &|bench| share(bench, &crate::Shared::Path(files_home(bench), "web@a".to_owned())),
            "",
        ),
        (
            "setting",
            &|bench| {
                change(bench, &mut |home| {
                    home.settings.insert("web-listings".to_owned(), "true".to_owned());
                });
            },
            "",
        ),
        ("versions", &|bench| change(bench, &mut |c| c.versioning = Versioning::Enabled), ""),
        (
            "upload",
            &|_| (),
            "INSERT INTO upload (id, uuid, container_id, object, meta, created_ms) SELECT 9, 'u', id, 'o', '{}', 0 FROM container; \
             UPDATE store_state SET next_id = 10;",
        ),
        (
            "file",
            &|_| (),
            "INSERT INTO file (id, container_id, object, size, root, created_ms) \
             SELECT 9, id, 'o', 0, 0, 0 FROM container; UPDATE store_state SET next_id = 10; \
             UPDATE container SET objects = 2; UPDATE account_usage SET versions = 2;",
        ),
        (
            "archive",
            &|bench| {
                let name = "box".parse().unwrap();
                let box_ = bench.service.container_create(OPERATOR, &name).unwrap();
                let archive = &mut |container: &mut crate::Container| {
                    let setting = (crate::ARCHIVE_STACK.to_owned(), "snapshots".to_owned());
                    container.settings = [setting].into();
                    Ok(())
                };
                bench.service.container_change(box_.id, archive).unwrap();
            },
            "",
        ),
    ];
    for (case, prepare, sql) in cases {
        let mut bench = Bench::new();
        bench.create("web", MIB);
        bench.put("web", 0, &noise(1, 4096));
        bench.snapshot("web@a").unwrap();
        prepare(&bench);
        reopen_with(&mut bench, &format!("{UNMARK} {sql}"));
        let files = snapshot_files(&bench);
        assert!(files.iter().all(|(name, _)| name == "o"), "{case}: {files:?}");
        assert!(bench.service.status().problem.is_some(), "{case}");
        assert_eq!(bench.get("web@a", 0, 4096), noise(1, 4096), "{case}");
        assert_eq!(bench.service.check().unwrap(), [], "{case}");
    }
}

#[test]
fn the_sizes_of_snapshots_count_for_nobody() {
    // A hundred thousand rows, one by one: too many messages.
    crate::testing::on_files();
    let mut bench = Bench::new();
    let box_ = bench.service.container_create(OPERATOR, &"box".parse().unwrap()).unwrap().id;
    bench.create("web", archipelago_model::VOLUME_BYTES_MAX);
    bench.snapshot("web@a").unwrap();
    let home = files_home(&bench);
    let counts = |bench: &Bench| {
        let catalog = &bench.service.core.catalog;
        assert_eq!(catalog.read(container::miscounted).unwrap(), []);
        let found = catalog.read(|tx| container::get(tx, home)).unwrap().unwrap();
        (found.objects, found.bytes, found.old_bytes)
    };
    assert_eq!(counts(&bench), (1, 0, 0));
    // Sums of so many have more than 63 bits.
    reopen_with(
        &mut bench,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1 << 17) \
         INSERT INTO snapshot (id, uuid, volume_id, name, size, root, created_ms) \
         SELECT (1 << 40) + i, s.uuid, s.volume_id, 'n' || i, s.size, s.root, s.created_ms \
         FROM snapshot s, n",
    );
    let many = (1 + (1 << 17), 0, 0);
    assert_eq!(counts(&bench), many);
    bench.service.core.catalog.write(container::recount).unwrap();
    assert_eq!(counts(&bench), many);
    assert_eq!(bench.service.account_totals(OPERATOR).unwrap().bytes, 0);
    let (name, known) = ("o".parse().unwrap(), &mut |_: &_| Ok(Meta::default()));
    let mut bytes = &b"mine"[..];
    bench.service.object_put(box_, &name, Some(4), &mut bytes, known, &|_| Ok(())).unwrap();
    assert_eq!(bench.service.account_usage(OPERATOR).unwrap(), 4);
    bench.service.volume_remove(&vol("web"), true).unwrap();
    assert_eq!(counts(&bench), (0, 0, 0));
}

#[test]
fn a_snapshot_and_its_file_count_once() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 65536));
    bench.snapshot("web@a").unwrap();
    bench.put("web", 0, &noise(2, 65536));
    let usage = bench.service.usage().unwrap();
    let sources: Vec<String> = usage.resources.iter().map(|one| one.source.to_string()).collect();
    assert_eq!(sources, ["snapshot:web@a", "volume:web"]);
    assert_eq!(usage.resources[0].exclusive, 65536);
    assert_eq!(bench.service.status().files, 0);
}

/// The container of the files of snapshots.
/// Changes the container of snapshots as programs could that knew of no refusal.
fn as_older_programs(bench: &Bench, change: &mut dyn FnMut(&mut crate::Container)) {
    let mut home = bench.service.container(OPERATOR, &"snapshots".parse().unwrap()).unwrap();
    change(&mut home);
    bench.service.core.catalog.write(|tx| container::update(tx, &home)).unwrap();
}

fn files_home(bench: &Bench) -> u64 {
    bench.service.container(OPERATOR, &"snapshots".parse().unwrap()).unwrap().id
}

#[test]
fn an_archive_does_not_take_a_snapshot_away() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    bench.service.container_create(OPERATOR, &"old".parse().unwrap()).unwrap();
    let home = files_home(&bench);
    for kind in [crate::ARCHIVE_HISTORY, crate::ARCHIVE_STACK] {
        as_older_programs(&bench, &mut |container| {
            container.settings.clear();
            container.settings.insert(kind.to_owned(), "old".to_owned());
        });
        let name = "web@a".parse().unwrap();
        let removed = bench.service.object_remove(home, &name, crate::Which::Latest, &|_| Ok(()));
        assert_eq!(removed.unwrap_err().kind(), ErrorKind::ReadOnly, "{kind}");
        assert_eq!(snapshot_files(&bench), [("web@a".to_owned(), MIB)]);
    }
    assert_eq!(bench.service.files(Some(&"old".parse().unwrap())).unwrap(), []);
}

#[test]
fn what_gets_an_old_name_of_a_snapshot_is_shared_with_nobody() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    let path = crate::Shared::Path(files_home(&bench), "web@a".to_owned());
    let share = || share(&bench, &path);
    share();
    bench.service.volume_rename(&vol("web"), &vol("site")).unwrap();
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    assert_eq!(bench.service.grants(&path).unwrap(), []);
    share();
    bench.service.snapshot_remove(&"web@a".parse().unwrap()).unwrap();
    bench.snapshot("web@a").unwrap();
    assert_eq!(bench.service.grants(&path).unwrap(), []);
}
