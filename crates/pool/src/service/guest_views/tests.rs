//! Facts about files that are images: their disks are there at once, and nothing is copied.

use archipelago_model::Source;

use crate::resource::{DiskState, Origin};
use crate::testing::{Bench, noise, src, stream, vol};
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
