//! Facts about a catalog that was lost.

use std::fs;

use super::*;
use crate::ErrorKind;
use crate::service::Collection;
use crate::testing::{Bench, MIB, noise, open, stream, vol};

fn lose(bench: &Bench) -> PathBuf {
    let data = bench.dir.path().join("data");
    crate::testing::lose_catalog(&data);
    data
}

/// Volumes, snapshots, clones, an image and a file; what each holds.
fn busy() -> (Bench, Vec<(String, Vec<u8>)>) {
    let bench = Bench::new();
    let mut all = Vec::new();
    bench.import("base", &stream(&noise(1, MIB as usize))).unwrap();
    bench.put_file("some", &stream(&noise(2, 70_000))).unwrap();
    for n in 0..5u64 {
        let name = format!("v{n}");
        bench.clone_as(&name, "image:base", Some(2 * MIB)).unwrap();
        bench.put(&name, n * 4096, &noise(10 + n, 100 * 1024));
        bench.snapshot(&format!("{name}@s")).unwrap();
        bench.put(&name, 50 * 4096, &noise(20 + n, 64 * 1024));
        all.push(name.clone());
        all.push(format!("{name}@s"));
    }
    all.push("image:base".to_owned());
    all.push("file:files/some".to_owned());
    let contents = all
        .into_iter()
        .map(|name| {
            let len = bench.device(&name).size() as usize;
            let bytes = bench.get(&name, 0, len);
            (name, bytes)
        })
        .collect();
    (bench, contents)
}

fn assert_all(bench: &Bench, contents: &[(String, Vec<u8>)]) {
    for (name, expected) in contents {
        assert!(bench.get(name, 0, expected.len()) == *expected, "{name}");
    }
    assert_eq!(bench.service.check().unwrap(), []);
}

#[test]
fn a_rebuilt_store_holds_what_the_lost_one_held_to_the_byte() {
    let (mut bench, mut contents) = busy();
    bench.service.core.back_up().unwrap();
    // Behind the backup: only the log has it.
    for (name, content) in contents.iter_mut().filter(|(name, _)| name.len() == 2) {
        let bytes = noise(99, 12 * 1024);
        bench.put(name, 7 * 4096, &bytes);
        content[7 * 4096..7 * 4096 + bytes.len()].copy_from_slice(&bytes);
    }
    bench.service.abandon();
    let data = lose(&bench);
    assert_eq!(open(&data).map(drop).unwrap_err().kind(), ErrorKind::Damaged);
    let done = Service::rebuild(&data, &Env::real(), false).unwrap();
    assert_eq!((done.volumes, done.snapshots, done.images, done.files), (5, 5, 1, 1));
    bench.service = open(&data).unwrap();
    assert_all(&bench, &contents);
    bench.service.collect(Collection { thorough: true, now: true, budget: None }).unwrap();
    assert_all(&bench, &contents);
}

#[test]
fn what_compaction_moved_is_found_by_the_tables_in_footers() {
    let (mut bench, contents) = busy();
    for _ in 0..2 {
        bench.service.collect(Collection { thorough: true, now: true, budget: None }).unwrap();
    }
    bench.service.close().unwrap();
    let data = lose(&bench);
    Service::rebuild(&data, &Env::real(), false).unwrap();
    bench.service = open(&data).unwrap();
    assert_all(&bench, &contents);
}

/// A crash amid sealing may leave the length that was reserved.
#[test]
fn zeros_behind_a_footer_are_no_part_of_a_segment() {
    let (mut bench, contents) = busy();
    bench.service.close().unwrap();
    let data = lose(&bench);
    let path = data.join("pool/segments/0000000/0000000001.seg");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() + 8192).unwrap();
    Service::rebuild(&data, &Env::real(), false).unwrap();
    bench.service = open(&data).unwrap();
    assert_all(&bench, &contents);
}

#[test]
fn when_the_newest_backup_rotted_the_one_before_is_used_and_said() {
    let (mut bench, contents) = busy();
    bench.service.core.back_up().unwrap();
    bench.create("late", MIB);
    bench.service.close().unwrap();
    let data = lose(&bench);
    let newest = bench.service.store.list_from(SegmentId::MIN).unwrap().pop().unwrap();
    let path = data.join(format!("pool/segments/0000000/{newest}.seg"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[600] ^= 1;
    fs::write(&path, bytes).unwrap();
    let done = Service::rebuild(&data, &Env::real(), false).unwrap();
    assert_eq!(done.passed_over.len(), 1);
    bench.service = open(&data).unwrap();
    assert_eq!(bench.service.volume(&vol("late")).unwrap_err().kind(), ErrorKind::NotFound);
    for (name, expected) in &contents {
        assert!(bench.get(name, 0, expected.len()) == *expected, "{name}");
    }
}

#[test]
fn a_catalog_that_is_there_is_set_aside_only_when_told_so() {
    crate::testing::on_files();
    let (bench, _) = busy();
    bench.service.close().unwrap();
    let data = bench.dir.path().join("data");
    let refused = Service::rebuild(&data, &Env::real(), false).unwrap_err();
    assert!(refused.to_string().contains("--force"), "{refused}");
    let done = Service::rebuild(&data, &Env::real(), true).unwrap();
    assert!(done.set_aside.unwrap().exists());
    open(&data).unwrap().close().unwrap();
}

#[test]
fn without_a_backup_nothing_is_made() {
    let bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.service.abandon();
    let data = lose(&bench);
    let error = Service::rebuild(&data, &Env::real(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(!data.join("catalog.sqlite").exists());
}

#[test]
fn a_backup_is_made_when_something_changed_and_only_then() {
    let bench = Bench::new();
    let backups = || bench.service.core.catalog.read(segment::backups).unwrap();
    bench.create("web", MIB);
    bench.service.core.back_up().unwrap();
    let first = backups();
    bench.service.core.back_up().unwrap();
    assert_eq!(backups(), first);
    for n in 0..4 {
        bench.create(&format!("v{n}"), MIB);
        bench.service.core.back_up().unwrap();
    }
    assert_eq!(backups().len(), 2, "older ones are gone");
}

#[test]
fn what_was_written_under_a_later_lease_than_the_backup_knows_is_there() {
    let mut bench = Bench::new();
    bench.create("web", MIB);
    bench.service.core.back_up().unwrap();
    // The first lease begins behind the backup; all records are in the open segment.
    bench.put("web", 4096, &noise(1, 8192));
    bench.crash();
    bench.put("web", 65536, &noise(2, 8192));
    bench.service.abandon();
    let data = lose(&bench);
    Service::rebuild(&data, &Env::real(), false).unwrap();
    bench.service = open(&data).unwrap();
    assert!(bench.get("web", 4096, 8192) == noise(1, 8192));
    assert!(bench.get("web", 65536, 8192) == noise(2, 8192));
}

#[test]
fn a_segment_whose_footer_rotted_is_kept_and_told() {
    let (mut bench, _) = busy();
    bench.service.close().unwrap();
    let data = lose(&bench);
    let path = data.join("pool/segments/0000000/0000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(Service::rebuild(&data, &Env::real(), false).unwrap().unsealed, 1);
    bench.service = open(&data).unwrap();
    let _ = bench.service.collect(Collection { thorough: true, now: true, budget: None });
    assert!(path.exists(), "what cannot be read is not thrown away");
    assert_ne!(bench.service.check().unwrap(), []);
}

#[test]
fn what_a_crash_tore_is_not_taken_for_a_damaged_segment() {
    let (mut bench, contents) = busy();
    let torn = bench.tear();
    // The log's floor passes it.
    bench.reopen();
    bench.service.core.back_up().unwrap();
    bench.service.close().unwrap();
    let data = lose(&bench);
    Service::rebuild(&data, &archipelago_env::Env::real(), false).unwrap();
    bench.service = open(&data).unwrap();
    for (name, expected) in &contents {
        assert!(bench.get(name, 0, expected.len()) == *expected, "{name}");
    }
    let found = bench.service.check().unwrap();
    let named = found.iter().filter(|finding| finding.resource.ends_with(&torn.to_string()));
    assert!(named.clone().all(|one| one.kind == crate::FindingKind::Orphan), "{found:?}");
    let wanted = Collection { thorough: true, now: true, budget: None };
    bench.service.collect(wanted).unwrap();
    assert!(bench.service.store.len(torn).is_err());
}

#[test]
fn volumes_that_only_the_open_end_of_the_log_knows_are_counted() {
    let (bench, _) = busy();
    bench.service.core.back_up().unwrap();
    bench.service.core.engine.rest_log().unwrap();
    bench.create("late", MIB);
    bench.put("late", 0, &noise(1, 4096));
    bench.service.abandon();
    let data = lose(&bench);
    let done = Service::rebuild(&data, &Env::real(), false).unwrap();
    assert_eq!((done.volumes, done.unknown_volumes), (5, 1));
}

#[test]
fn without_a_backup_a_rebuild_says_what_to_do_and_changes_nothing() {
    crate::testing::on_files();
    let (mut bench, contents) = busy();
    bench.service.abandon();
    let data = bench.dir.path().join("data");
    let error = Service::rebuild(&data, &Env::real(), true).unwrap_err();
    assert!(error.message().contains("serve"), "{error}");
    let aside = bench.dir.path().join("aside");
    fs::create_dir(&aside).unwrap();
    for name in with_logs(Path::new("catalog.sqlite")) {
        let _ = fs::rename(data.join(&name), aside.join(&name));
    }
    let error = Service::rebuild(&data, &Env::real(), false).unwrap_err();
    assert!(error.message().contains("from a copy"), "{error}");
    for name in with_logs(Path::new("catalog.sqlite")) {
        let _ = fs::rename(aside.join(&name), data.join(&name));
    }
    bench.service = open(&data).unwrap();
    assert_all(&bench, &contents);
}

#[test]
fn a_folder_that_is_no_store_is_told_as_one() {
    let dir = tempfile::TempDir::new().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("nowhere")] {
        let error = Service::rebuild(&path, &Env::real(), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("`archipelago serve`"), "{error}");
        let error = Service::check_offline(&path, Env::real()).unwrap_err();
        assert!(error.message().contains("`archipelago serve`"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
#[ignore = "needs a server"]
fn a_catalog_on_a_server_is_replaced_only_when_told_so() {
    let mut bench = Bench::new();
    bench.create("web", MIB);
    bench.service.core.back_up().unwrap();
    bench.create("late", MIB);
    bench.service.abandon();
    let data = bench.dir.path().join("data");
    let refused = Service::rebuild(&data, &Env::real(), false).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let rebuilt = Service::rebuild(&data, &Env::real(), true).unwrap();
    assert_eq!((rebuilt.volumes, rebuilt.set_aside), (1, None));
    bench.service = open(&data).unwrap();
    assert_eq!(bench.service.volumes().unwrap().len(), 1);
    assert_eq!(bench.service.check().unwrap(), []);
}
