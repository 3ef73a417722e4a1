//! Facts about files that are images: their disks are there at once, and nothing is copied.

use archipelago_model::Source;

use crate::catalog::guest_view::{self, Key};
use crate::resource::{DiskState, Origin};
use crate::testing::{Bench, config, noise, src, stream, vol};
use crate::{CopySource, ErrorKind, Meta, Which};

const CLUSTER: usize = 65536;

/// A qcow2 image of clusters of 64 KiB: a disk of `disk` clusters, with these ones stored or,
/// with `packed`, packed.
fn qcow2(disk: usize, clusters: &[(usize, Vec<u8>)], packed: bool) -> Vec<u8> {
    let mut file = vec![0; 3 * CLUSTER];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &16_u32.to_be_bytes());
    put(24, &((disk * CLUSTER) as u64).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &(CLUSTER as u64).to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    put(CLUSTER, &((2 * CLUSTER as u64) | 1 << 63).to_be_bytes());
    for (number, bytes) in clusters {
        let at = file.len();
        let entry = if packed {
            let out = miniz_oxide::deflate::compress_to_vec(bytes, 1);
            let sectors = (at % 512 + out.len()).div_ceil(512) as u64 - 1;
            file.extend_from_slice(&out);
            1 << 62 | sectors << 54 | at as u64
        } else {
            file.extend_from_slice(bytes);
            at as u64 | 1 << 63
        };
        let at = 2 * CLUSTER + number * 8;
        file[at..at + 8].copy_from_slice(&entry.to_be_bytes());
    }
    file
}

/// What a guest sees of such clusters.
fn disk(disk: usize, clusters: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0; disk * CLUSTER];
    for (number, bytes) in clusters {
        out[number * CLUSTER..(number + 1) * CLUSTER].copy_from_slice(bytes);
    }
    out
}

fn clusters() -> Vec<(usize, Vec<u8>)> {
    [7, 3, 4, 90].map(|number| (number, noise(number as u64, CLUSTER))).to_vec()
}

/// As [`clusters`], but they can be packed.
fn dull_clusters() -> Vec<(usize, Vec<u8>)> {
    let dull = |seed| noise(seed, CLUSTER / 64).iter().flat_map(|byte| [*byte; 64]).collect();
    [7, 3, 4, 90].map(|number| (number, dull(number as u64))).to_vec()
}

fn state(bench: &Bench, object: &str) -> Option<DiskState> {
    let found = bench.service.disk_file(&"files".parse().unwrap(), &object.parse().unwrap());
    found.unwrap().map(|found| found.state)
}

fn unique(bench: &Bench) -> u64 {
    bench.service.usage().unwrap().unique
}

#[test]
fn a_clone_of_an_image_file_is_the_disk_of_its_guest_and_copies_nothing() {
    let bench = Bench::new();
    bench.put_file("a.qcow2", &stream(&qcow2(100, &clusters(), false))).unwrap();
    let before = unique(&bench);
    let volume = bench.clone_as("web", "file:files/a.qcow2", None).unwrap();
    assert_eq!(volume.size.bytes(), 100 * CLUSTER as u64);
    assert!(bench.get("web", 0, 100 * CLUSTER) == disk(100, &clusters()));
    assert_eq!(unique(&bench), before);
    assert_eq!(state(&bench, "a.qcow2"), Some(DiskState::Ready));
    assert!(bench.service.check().unwrap().is_empty());
}

#[test]
fn a_packed_image_is_unpacked() {
    let bench = Bench::new();
    let file = qcow2(100, &dull_clusters(), true);
    assert!(file.len() < 5 * CLUSTER);
    bench.put_file("a.qcow2", &stream(&file)).unwrap();
    bench.clone_as("web", "file:files/a.qcow2", None).unwrap();
    assert!(bench.get("web", 0, 100 * CLUSTER) == disk(100, &dull_clusters()));
    assert!(bench.service.check().unwrap().is_empty());
}

#[test]
fn the_bytes_of_an_image_file_are_still_a_file_and_can_be_cloned_as_such() {
    let bench = Bench::new();
    let file = qcow2(100, &clusters(), false);
    bench.put_file("a.qcow2", &stream(&file)).unwrap();
    assert!(bench.get("file:files/a.qcow2", 0, file.len()) == file);
    let origin = Origin::Raw { source: src("file:files/a.qcow2"), size: None };
    bench.service.volume_create(&[vol("raw")], &origin).unwrap();
    assert!(bench.get("raw", 0, file.len()) == file);
}

#[test]
fn an_image_that_cannot_be_a_disk_says_why_and_stays_a_file() {
    let bench = Bench::new();
    let mut file = qcow2(100, &clusters(), false);
    file[8..16].copy_from_slice(&200_u64.to_be_bytes());
    bench.put_file("a.qcow2", &stream(&file)).unwrap();
    let error = bench.clone_as("web", "file:files/a.qcow2", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("has a backing file"), "{error}");
    assert!(error.message().contains("--raw"), "{error}");
    assert!(bench.get("file:files/a.qcow2", 0, file.len()) == file);
    assert!(matches!(state(&bench, "a.qcow2"), Some(DiskState::Refused(_))));
}

#[test]
fn files_that_came_by_any_way_are_found_in_the_background() {
    let bench = Bench::new();
    bench.put_file("a.qcow2", &stream(&qcow2(100, &clusters(), false))).unwrap();
    bench.put_file("b.raw", &stream(&noise(1, 1 << 20))).unwrap();
    bench.service.step_views().unwrap();
    let found = bench.service.disk_files(None).unwrap();
    let names: Vec<&str> = found.iter().map(|file| file.object.as_str()).collect();
    assert_eq!(names, ["a.qcow2"]);
    assert_eq!((found[0].format.as_str(), found[0].size), ("qcow2", 100 * CLUSTER as u64));
    assert_eq!(found[0].state, DiskState::Ready);
}

#[test]
fn a_copy_has_the_view_of_its_source_and_the_last_of_them_takes_it_along() {
    let bench = Bench::new();
    bench.put_file("a.qcow2", &stream(&qcow2(100, &clusters(), false))).unwrap();
    bench.service.step_views().unwrap();
    let home = bench.service.container(crate::core::OPERATOR, &"files".parse().unwrap()).unwrap();
    let (name, copy) = ("a.qcow2".parse().unwrap(), "b.qcow2".parse().unwrap());
    let from = CopySource { container: home.id, name, which: Which::Latest };
    let finish = &mut |_: &_| Ok(Meta::default());
    bench.service.object_copy(&from, home.id, &copy, finish, &|_| Ok(())).unwrap();
    assert_eq!(state(&bench, "b.qcow2"), Some(DiskState::Ready));
    let remove = |object: &str| {
        let object = object.parse().unwrap();
        bench.service.file_remove(&"files".parse().unwrap(), &object).unwrap();
    };
    remove("a.qcow2");
    assert_eq!(state(&bench, "b.qcow2"), Some(DiskState::Ready));
    bench.clone_as("web", "file:files/b.qcow2", None).unwrap();
    remove("b.qcow2");
    assert_eq!(unviewed(&bench), 0);
    assert!(bench.get("web", 0, 100 * CLUSTER) == disk(100, &clusters()));
}

fn unviewed(bench: &Bench) -> usize {
    bench.service.core.catalog.read(crate::catalog::guest_view::list).unwrap().len()
}

#[test]
fn a_view_is_there_after_a_crash_and_after_collections() {
    let mut bench = Bench::new();
    bench.put_file("a.qcow2", &stream(&qcow2(100, &clusters(), false))).unwrap();
    bench.put_file("b.qcow2", &stream(&qcow2(100, &dull_clusters(), true))).unwrap();
    bench.crash();
    bench.service.step_views().unwrap();
    let options = crate::Collection { now: true, ..crate::Collection::default() };
    for _ in 0..3 {
        bench.service.collect(options).unwrap();
    }
    bench.crash();
    bench.clone_as("a", "file:files/a.qcow2", None).unwrap();
    bench.clone_as("b", "file:files/b.qcow2", None).unwrap();
    assert!(bench.get("a", 0, 100 * CLUSTER) == disk(100, &clusters()));
    assert!(bench.get("b", 0, 100 * CLUSTER) == disk(100, &dull_clusters()));
    assert!(bench.service.check().unwrap().is_empty());
}

#[test]
fn what_a_file_and_its_disk_share_counts_once() {
    let bench = Bench::new();
    let file = qcow2(100, &clusters(), false);
    bench.put_file("a.qcow2", &stream(&file)).unwrap();
    bench.service.step_views().unwrap();
    let usage = bench.service.usage().unwrap();
    let [only] = usage.resources.as_slice() else { panic!("{usage:?}") };
    assert!(matches!(only.source, Source::File(..)));
    assert_eq!((only.size, only.shared), (file.len() as u64, 0));
    assert_eq!(usage.logical, file.len() as u64);
}

/// A VDI file whose disk of `blocks` MiB names its first block again and again. That has pieces of
/// 4 KiB with holes between.
fn vdi(blocks: u32) -> Vec<u8> {
    let mut file = vec![0; 2 << 20];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x40, &0xbeda_107f_u32.to_le_bytes());
    put(0x44, &0x0001_0001_u32.to_le_bytes());
    put(0x4c, &1_u32.to_le_bytes());
    put(0x154, &0x200_u32.to_le_bytes());
    put(0x158, &(1_u32 << 20).to_le_bytes());
    put(0x170, &(u64::from(blocks) << 20).to_le_bytes());
    put(0x178, &(1_u32 << 20).to_le_bytes());
    put(0x180, &blocks.to_le_bytes());
    for piece in 0..128 {
        put((1 << 20) + piece * 8192, &noise(piece as u64, 4096));
    }
    file
}

#[test]
fn a_disk_is_not_much_more_than_its_file() {
    let bench = Bench::new();
    bench.put_file("a.vdi", &stream(&vdi(100))).unwrap();
    bench.put_file("b.vdi", &stream(&vdi(700))).unwrap();
    // Long enough for as many blocks, but it has no more.
    let place = crate::Place::At(2 << 20);
    let (home, name) = ("files".parse().unwrap(), "b.vdi".parse().unwrap());
    bench
        .service
        .file_update(&home, &name, place, Some(800 << 20), Some(0), &mut &b""[..])
        .unwrap();
    let before = unique(&bench);
    bench.service.step_views().unwrap();
    for file in ["a.vdi", "b.vdi"] {
        let Some(DiskState::Refused(reason)) = state(&bench, file) else { panic!("{file}") };
        assert!(reason.contains("lie on one another"), "{reason}");
    }
    assert_eq!(unique(&bench), before);
}

#[test]
fn an_image_that_unpacks_to_far_more_than_its_bytes_is_refused_but_not_for_zeros() {
    let bench = Bench::new();
    let clusters = |even| (0..1200).map(|n| (n, vec![even * (1 + n as u8 / 8); CLUSTER])).collect();
    for (name, even) in [("zeros.qcow2", 0), ("bomb.qcow2", 1)] {
        let clusters: Vec<_> = clusters(even);
        bench.put_file(name, &stream(&qcow2(1200, &clusters, true))).unwrap();
    }
    bench.service.step_views().unwrap();
    assert_eq!(state(&bench, "zeros.qcow2"), Some(DiskState::Ready));
    let Some(DiskState::Refused(reason)) = state(&bench, "bomb.qcow2") else { panic!("made") };
    assert!(reason.contains("32 times"), "{reason}");
}

#[test]
fn accounts_take_turns() {
    let bench = Bench::new();
    let other = crate::NewUser {
        name: "bob".parse().unwrap(),
        password: crate::Secret::new("correct horse"),
        is_admin: false,
        account: None,
    };
    let other = bench.service.user_create(&other).unwrap().account.id;
    let home = bench.service.container_create(other, &"files".parse().unwrap()).unwrap().id;
    for disk in 10..13 {
        let file = qcow2(disk, &clusters()[1..2], false);
        bench.put_file(&format!("{disk}.qcow2"), &stream(&file)).unwrap();
    }
    let finish = &mut |_: &crate::Stored| Ok(Meta::default());
    let file = qcow2(20, &clusters()[1..2], false);
    let name = "b.qcow2".parse().unwrap();
    bench.service.object_put(home, &name, None, &mut &file[..], finish, &|_| Ok(())).unwrap();
    let core = &bench.service.core;
    let sizes: Vec<_> = core
        .catalog
        .write(|tx| {
            for (_, root, size) in crate::catalog::file::arrived(tx, 0, 10)? {
                guest_view::found(tx, Key { root, size }, archipelago_layout::Format::Qcow2)?;
            }
            let waiting = guest_view::waiting(tx, false, 3)?;
            Ok::<_, crate::Error>(waiting.into_iter().map(|(row, _)| row.key.root).collect())
        })
        .unwrap();
    let roots = core.catalog.read(|tx| crate::catalog::file::arrived(tx, 0, 10)).unwrap();
    assert_eq!(sizes, [0, 3, 1].map(|at| roots[at].1));
}

#[test]
fn what_could_not_be_read_is_tried_again_when_asked_for_and_at_the_next_start() {
    // By a clock that stands, nothing is made in the background: it has just come.
    let (mut bench, hands) = Bench::timed(config());
    bench.put_file("a.qcow2", &stream(&qcow2(100, &clusters(), false))).unwrap();
    let fail = |bench: &Bench| {
        let core = &bench.service.core;
        core.catalog
            .write(|tx| {
                let (_, root, size) = crate::catalog::file::arrived(tx, 0, 1)?[0];
                let key = Key { root, size };
                guest_view::found(tx, key, archipelago_layout::Format::Qcow2)?;
                let row = guest_view::find(tx, key)?.unwrap();
                let state = DiskState::Refused("cannot be read: gone".to_owned());
                assert!(guest_view::settle(tx, &guest_view::GuestViewRow { state, ..row })?);
                Ok::<_, crate::Error>(())
            })
            .unwrap();
    };
    fail(&bench);
    bench.crash_timed(&hands);
    bench.service.step_views().unwrap();
    assert_eq!(state(&bench, "a.qcow2"), Some(DiskState::Ready));
    bench.service.file_remove(&"files".parse().unwrap(), &"a.qcow2".parse().unwrap()).unwrap();
    bench.put_file("a.qcow2", &stream(&qcow2(100, &clusters(), false))).unwrap();
    fail(&bench);
    bench.clone_as("web", "file:files/a.qcow2", None).unwrap();
    assert!(bench.get("web", 0, 100 * CLUSTER) == disk(100, &clusters()));
}
