use std::sync::atomic::{AtomicBool, Ordering};

use crate::testing::{Bench, MIB, noise, src, stream, vol};
use crate::{DiffRange, ErrorKind, Write};

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
    let refused = |error: crate::Error| {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.message().contains("snapshot rm web@a"), "{error}");
    };
    let bytes = crate::testing::stream(b"other");
    refused(bench.service.file_put(&home, &name, None, &mut &bytes[..]).unwrap_err());
    refused(bench.service.file_remove(&home, &name).unwrap_err());
    let id = bench.service.container(crate::core::OPERATOR, &home).unwrap().id;
    let from = crate::CopySource { container: id, name, which: crate::Which::Latest };
    let finish = &mut |_: &_| Ok(crate::Meta::default());
    bench.service.object_copy(&from, id, &"kept".parse().unwrap(), finish, &|_| Ok(())).unwrap();
    bench.service.snapshot_remove(&"web@a".parse().unwrap()).unwrap();
    assert!(bench.get("file:snapshots/kept", 0, 65536) == noise(1, 65536));
}

#[test]
fn a_snapshot_does_not_take_the_name_of_another_file() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let (home, name) = ("snapshots".parse().unwrap(), "web@a".parse().unwrap());
    let bytes = crate::testing::stream(b"mine");
    bench.service.file_put(&home, &name, None, &mut &bytes[..]).unwrap();
    let error = bench.snapshot("web@a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.message().contains("snapshots/web@a"), "{error}");
    assert!(bench.get("file:snapshots/web@a", 0, 512).starts_with(b"mine"));
    bench.service.file_remove(&home, &name).unwrap();
    bench.snapshot("web@a").unwrap();
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
fn files_home(bench: &Bench) -> u64 {
    bench.service.container(crate::core::OPERATOR, &"snapshots".parse().unwrap()).unwrap().id
}

#[test]
fn an_archive_does_not_take_a_snapshot_away() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.snapshot("web@a").unwrap();
    bench.service.container_create(crate::core::OPERATOR, &"old".parse().unwrap()).unwrap();
    let home = files_home(&bench);
    for kind in [crate::ARCHIVE_HISTORY, crate::ARCHIVE_STACK] {
        let archive = &mut |container: &mut crate::Container| {
            container.settings.clear();
            container.settings.insert(kind.to_owned(), "old".to_owned());
            Ok(())
        };
        bench.service.container_change(home, archive).unwrap();
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
    let share = || {
        let mut add = |grants: &mut Vec<crate::Grant>| {
            grants.push(crate::Grant::new(crate::Grantee::Everyone, crate::Right::Read));
            Ok(())
        };
        bench.service.grants_change("admin", &path, &mut add).unwrap();
    };
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
