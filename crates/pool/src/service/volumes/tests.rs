use std::sync::atomic::{AtomicBool, Ordering};

use archipelago_env::Env;

use crate::testing::{Bench, MIB, config, noise, size, src, stream, vol};
use crate::{Config, ErrorKind, Origin, Service, Write};

fn names(bench: &Bench) -> Vec<String> {
    bench.service.volumes().unwrap().into_iter().map(|volume| volume.name.to_string()).collect()
}

#[test]
fn a_new_volume_reads_as_zeros_whatever_its_size() {
    let bench = Bench::new();
    let volume = bench.create("huge", 64 << 40);
    assert_eq!(volume.size.bytes(), 64 << 40);
    assert_eq!(bench.get("huge", (64 << 40) - 4096, 4096), vec![0; 4096]);
}

#[test]
fn a_taken_name_fails_without_touching_the_volume() {
    let bench = Bench::new();
    let before = bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    let again = bench.service.volume_create(&[vol("web")], &Origin::Empty(size(8 * MIB)));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.get("web", 0, 4096), noise(1, 4096));
    assert_eq!(bench.service.volume(&vol("web")).unwrap().id, before.id);
    assert_eq!(bench.service.volume(&vol("web")).unwrap().size, size(MIB));
}

#[test]
fn many_volumes_are_made_all_or_none() {
    let bench = Bench::new();
    bench.create("node-7", MIB);
    let nodes: Vec<_> = (0..1000).map(|n| vol(&format!("node-{n}"))).collect();
    let origin = Origin::Clone { source: src("volume:node-7"), size: None };
    let refused = bench.service.volume_create(&nodes, &origin).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(names(&bench), ["node-7"]);
    bench.service.volume_rename(&vol("node-7"), &vol("base")).unwrap();
    let origin = Origin::Clone { source: src("volume:base"), size: None };
    assert_eq!(bench.service.volume_create(&nodes, &origin).unwrap().len(), 1000);
    assert_eq!(names(&bench).len(), 1001);
}

#[test]
fn too_many_names_none_and_the_same_twice_are_refused() {
    let bench = Bench::new();
    let origin = Origin::Empty(size(512));
    let many: Vec<_> = (0..=crate::NAMES_MAX).map(|n| vol(&format!("n{n}"))).collect();
    for names in [&many[..], &[], &[vol("a"), vol("a")]] {
        let error = bench.service.volume_create(names, &origin).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert!(names(&bench).is_empty());
}

#[test]
fn a_clone_may_be_larger_never_smaller() {
    let bench = Bench::new();
    bench.create("web", 2 * MIB);
    bench.put("web", 2 * MIB - 4096, &noise(1, 4096));
    let smaller = bench.clone_as("small", "volume:web", Some(MIB)).unwrap_err();
    assert_eq!(smaller.kind(), ErrorKind::Invalid);
    bench.clone_as("large", "volume:web", Some(4 * MIB)).unwrap();
    assert_eq!(bench.get("large", 2 * MIB - 4096, 4096), noise(1, 4096));
    assert_eq!(bench.get("large", 2 * MIB, 4096), vec![0; 4096]);
    bench.put("large", 4 * MIB - 512, &[5; 512]);
    assert_eq!(bench.service.volume(&vol("web")).unwrap().size, size(2 * MIB));
}

#[test]
fn a_clone_of_a_live_volume_has_what_was_written_and_neither_sees_the_other() {
    let mut bench = Bench::new();
    bench.create("web", MIB);
    let web = bench.device("web");
    web.write(&[Write::Data { offset: 0, bytes: &noise(1, 4096) }]).unwrap();
    let clone = bench.clone_as("twin", "volume:web", None).unwrap();
    assert_eq!(clone.parent.as_deref(), Some("volume:web"));
    web.write(&[Write::Data { offset: 4096, bytes: &noise(2, 4096) }]).unwrap();
    web.flush().unwrap();
    bench.put("twin", 8192, &noise(3, 4096));
    drop(web);
    bench.crash();
    let zeros = vec![0; 4096];
    let expected = [
        ("web", [noise(1, 4096), noise(2, 4096), zeros.clone()]),
        ("twin", [noise(1, 4096), zeros, noise(3, 4096)]),
    ];
    for (name, blocks) in expected {
        assert_eq!(bench.get(name, 0, 12288), blocks.concat(), "{name}");
    }
}

#[test]
fn a_removed_and_recreated_volume_shows_nothing_of_the_old_one() {
    let mut bench = Bench::new();
    let old = bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.service.volume_remove(&vol("web"), false).unwrap();
    let new = bench.create("web", MIB);
    assert!(new.id > old.id);
    assert_eq!(bench.get("web", 0, 4096), vec![0; 4096]);
    bench.crash();
    assert_eq!(bench.get("web", 0, 4096), vec![0; 4096]);
}

#[test]
fn an_attached_volume_is_not_removed() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let device = bench.device("web");
    for force in [false, true] {
        let error = bench.service.volume_remove(&vol("web"), force).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
    }
    device.write(&[Write::Data { offset: 0, bytes: &[1; 512] }]).unwrap();
    drop(device);
    bench.service.volume_remove(&vol("web"), false).unwrap();
    assert_eq!(bench.service.open_device("web").map(drop).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_volume_with_snapshots_is_removed_only_by_force_and_its_clones_live_on() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@one").unwrap();
    bench.clone_as("twin", "snapshot:web@one", None).unwrap();
    let error = bench.service.volume_remove(&vol("web"), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert_eq!(bench.service.volume(&vol("web")).unwrap().snapshots, 1);
    bench.service.volume_remove(&vol("web"), true).unwrap();
    assert!(bench.service.snapshots(None).unwrap().is_empty());
    assert_eq!(bench.get("twin", 0, 4096), noise(1, 4096));
}

#[test]
fn a_renamed_volume_keeps_its_content_its_id_and_its_devices() {
    let mut bench = Bench::new();
    let before = bench.create("web", MIB);
    bench.snapshot("web@one").unwrap();
    let device = bench.device("web");
    device.write(&[Write::Data { offset: 0, bytes: &noise(1, 4096) }]).unwrap();
    let after = bench.service.volume_rename(&vol("web"), &vol("db")).unwrap();
    assert_eq!((after.id, after.attached, after.snapshots), (before.id, 1, 1));
    device.write(&[Write::Data { offset: 4096, bytes: &noise(2, 4096) }]).unwrap();
    device.flush().unwrap();
    drop(device);
    assert_eq!(bench.service.volume(&vol("web")).unwrap_err().kind(), ErrorKind::NotFound);
    bench.create("web", MIB);
    bench.crash();
    assert_eq!(bench.get("db", 0, 8192), [noise(1, 4096), noise(2, 4096)].concat());
    assert_eq!(bench.get("db@one", 0, 4096), vec![0; 4096]);
    assert_eq!(bench.get("web", 0, 4096), vec![0; 4096]);
}

#[test]
fn a_rename_to_a_taken_name_or_of_a_missing_volume_changes_nothing() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.create("db", 2 * MIB);
    let taken = bench.service.volume_rename(&vol("web"), &vol("db")).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let missing = bench.service.volume_rename(&vol("nope"), &vol("new")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(names(&bench), ["db", "web"]);
    assert_eq!(bench.service.volume(&vol("db")).unwrap().size, size(2 * MIB));
}

#[test]
fn growing_shows_zeros_and_shrinking_cuts_for_good() {
    let mut bench = Bench::new();
    bench.create("web", 2 * MIB);
    bench.put("web", 0, &noise(1, 2 * MIB as usize));
    let resize = |bench: &Bench, bytes| bench.service.volume_resize(&vol("web"), size(bytes));
    assert_eq!(resize(&bench, MIB + 512).unwrap().size, size(MIB + 512));
    assert_eq!(bench.device("web").size(), MIB + 512);
    bench.crash();
    assert_eq!(bench.device("web").size(), MIB + 512);
    assert_eq!(resize(&bench, 4 * MIB).unwrap().size, size(4 * MIB));
    let mut expected = noise(1, 2 * MIB as usize);
    expected.truncate(MIB as usize + 512);
    expected.resize(4 * MIB as usize, 0);
    assert!(bench.get("web", 0, 4 * MIB as usize) == expected);
    bench.crash();
    assert!(bench.get("web", 0, 4 * MIB as usize) == expected);
}

#[test]
fn an_attached_volume_grows_but_does_not_shrink() {
    let bench = Bench::new();
    bench.create("web", MIB);
    let device = bench.device("web");
    let resize = |bytes| bench.service.volume_resize(&vol("web"), size(bytes));
    assert_eq!(resize(512).unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(device.size(), MIB);
    resize(2 * MIB).unwrap();
    assert_eq!(device.size(), 2 * MIB);
    device.write(&[Write::Data { offset: 2 * MIB - 512, bytes: &[9; 512] }]).unwrap();
}

#[test]
fn a_shrunk_volume_does_not_change_its_snapshots() {
    let bench = Bench::new();
    bench.create("web", 2 * MIB);
    bench.put("web", MIB, &noise(1, 4096));
    bench.snapshot("web@big").unwrap();
    bench.service.volume_resize(&vol("web"), size(MIB)).unwrap();
    assert_eq!(bench.get("web@big", MIB, 4096), noise(1, 4096));
    assert_eq!(bench.device("web@big").size(), 2 * MIB);
}

#[test]
fn a_volume_is_made_from_an_image_and_from_a_file_of_any_length() {
    let bench = Bench::new();
    let bytes = noise(3, MIB as usize + 100);
    bench.import("base", &stream(&bytes)).unwrap();
    bench.put_file("disk.raw", &stream(&bytes)).unwrap();
    for (name, source) in [("a", "image:base"), ("b", "file:files/disk.raw")] {
        let volume = bench.clone_as(name, source, None).unwrap();
        assert_eq!(volume.size, size(MIB + 512), "{source}");
        let read = bench.get(name, 0, MIB as usize + 512);
        assert!(read[..bytes.len()] == bytes, "{source}");
        assert!(read[bytes.len()..].iter().all(|b| *b == 0), "{source}");
    }
}

#[test]
fn a_file_that_only_begins_like_an_image_is_no_disk() {
    let bench = Bench::new();
    for magic in [&b"QFI\xfb"[..], b"KDMV", b"vhdxfile"] {
        let mut bytes = magic.to_vec();
        bytes.resize(8192, 1);
        bench.put_file("disk", &stream(&bytes)).unwrap();
        let error = bench.clone_as("web", "file:files/disk", None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("--raw"), "{error}");
    }
    assert!(names(&bench).is_empty());
}

#[test]
fn an_empty_file_needs_a_size() {
    let bench = Bench::new();
    bench.put_file("empty", &stream(&[])).unwrap();
    let error = bench.clone_as("web", "file:files/empty", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    bench.clone_as("web", "file:files/empty", Some(MIB)).unwrap();
}

#[test]
fn a_missing_source_is_named() {
    let bench = Bench::new();
    for source in ["volume:x", "image:x", "snapshot:x@y", "file:x/y"] {
        let error = bench.clone_as("web", source, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{source}");
    }
}

#[test]
fn listing_attaches_nothing() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.service.volumes().unwrap();
    let volume = bench.service.volume(&vol("web")).unwrap();
    assert_eq!((volume.epoch.get(), volume.attached), (0, 0));
    drop(bench.device("web"));
    assert_eq!(bench.service.volume(&vol("web")).unwrap().epoch.get(), 1);
}

/// A writer whose batch has begun may need the catalog, for the id of a new segment; whoever made a
/// volume waited for that batch while it had the catalog, and both waited for ever.
#[test]
fn volumes_are_made_while_writers_change_segments() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = Config { hot_segment_bytes: 128 << 10, ..config() };
    let service = Service::open(&dir.path().join("data"), Env::real(), config).unwrap();
    let bench = Bench { dir, service };
    bench.create("web", MIB);
    let device = bench.device("web");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bytes = noise(1, 64 << 10);
            while !done.load(Ordering::Relaxed) {
                device.write(&[Write::Data { offset: 0, bytes: &bytes }]).unwrap();
            }
        });
        for number in 0..100 {
            bench.create(&format!("empty-{number}"), MIB);
            bench.clone_as(&format!("live-{number}"), "volume:web", None).unwrap();
            let fixed = format!("volume:empty-{number}");
            bench.clone_as(&format!("fixed-{number}"), &fixed, None).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(&bench).len(), 301);
}
