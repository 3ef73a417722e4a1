use std::path::PathBuf;

use super::*;
use crate::service::Collection;
use crate::testing::{Bench, MIB, noise, open, stream};

/// A healthy store, closed, and what of it plants need to know.
struct Planted {
    bench: Bench,
    /// A segment of the log that has data of `volume:split` and no node.
    data: SegmentId,
    /// A segment that nobody names.
    dead: SegmentId,
    /// Segments of bulk data, the dead one too.
    cold: SegmentId,
}

fn world() -> Planted {
    let bench = Bench::new();
    let core = &bench.service.core;
    let newest = || core.store.list_from(FIRST_SEGMENT).unwrap().pop().unwrap();
    bench.import("base", &stream(&noise(1, 1 << 20))).unwrap();
    let cold = newest();
    bench.create("split", 2 * MIB);
    bench.put("split", 0, &noise(2, 65536));
    let device = bench.device("split");
    device.write(&[crate::Write::Data { offset: 0, bytes: &noise(3, 65536) }]).unwrap();
    core.engine.rest_log().unwrap();
    // What sealed it last is the log.
    let data = core
        .store
        .list_from(FIRST_SEGMENT)
        .unwrap()
        .into_iter()
        .filter(|id| !core.engine.is_open(*id) && core.engine.footer_of(*id).is_ok())
        .rfind(|id| *id != cold)
        .unwrap();
    drop(device);
    bench.snapshot("split@one").unwrap();
    bench.clone_as("vm", "image:base", None).unwrap();
    bench.put("vm", 4096, &noise(4, 4096));
    bench.put_file("some", &stream(&noise(5, 70_001))).unwrap();
    bench.import("dead", &stream(&noise(6, 2 << 20))).unwrap();
    let dead = newest();
    bench.service.image_remove(&"dead".parse().unwrap()).unwrap();
    bench.service.close().unwrap();
    Planted { bench, data, dead, cold }
}

impl Planted {
    fn data_folder(&self) -> PathBuf {
        self.bench.dir.path().join("data")
    }

    fn file(&self, id: SegmentId) -> PathBuf {
        self.data_folder().join(format!("pool/segments/{:07x}/{id}.seg", id.get() >> 12))
    }

    fn sql(&self, sql: &str) {
        let text = sql
            .replace("DATA", &self.data.get().to_string())
            .replace("DEAD", &self.dead.get().to_string())
            .replace("COLD", &self.cold.get().to_string());
        crate::testing::tamper(&self.data_folder(), &text);
    }

    fn check(&self) -> Vec<Finding> {
        Service::check_offline(&self.data_folder(), Env::real()).unwrap()
    }
}

/// What is planted, into what a plant may use; what must be found, of what.
type Plant = (&'static str, fn(&Planted), FindingKind, &'static str);

fn cut(path: &Path, by: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

const PLANTS: &[Plant] = &[
    (
        "a lost file",
        |p| std::fs::remove_file(p.file(p.data)).unwrap(),
        FindingKind::Missing,
        "segment:",
    ),
    ("a file too short", |p| cut(&p.file(p.data), 4096), FindingKind::Footer, "segment:"),
    (
        "stored bytes",
        |p| p.sql("UPDATE segment SET stored_bytes = stored_bytes + 512 WHERE id = DATA"),
        FindingKind::Size,
        "segment:",
    ),
    (
        "raw bytes",
        |p| p.sql("UPDATE segment SET raw_bytes = raw_bytes - 512 WHERE id = COLD"),
        FindingKind::Size,
        "segment:",
    ),
    (
        "an orphan",
        |p| p.sql("DELETE FROM segment WHERE id = DEAD"),
        FindingKind::Orphan,
        "segment:",
    ),
    (
        "a root in no segment",
        |p| p.sql("UPDATE image SET root = 9999 << 24"),
        FindingKind::Root,
        "image:base",
    ),
    (
        "a root that is data",
        |p| p.sql("UPDATE file SET root = COLD << 24"),
        FindingKind::Root,
        "file:files/some",
    ),
    (
        "a map of a segment that is gone",
        |p| {
            std::fs::remove_file(p.file(p.data)).unwrap();
            p.sql("DELETE FROM segment WHERE id = DATA");
        },
        FindingKind::NamesMissing,
        "snapshot:split@one",
    ),
    (
        "a condemned segment that is named",
        |p| p.sql("UPDATE segment SET state = 'condemned' WHERE id = DATA"),
        FindingKind::NamesCondemned,
        "snapshot:split@one",
    ),
    (
        "a carrier that is not there",
        |p| p.sql("UPDATE segment SET state = 'forwarded', forwarded_to = 9999 WHERE id = DATA"),
        FindingKind::Carrier,
        "segment:",
    ),
    (
        "a carrier without a table",
        |p| p.sql("UPDATE segment SET state = 'forwarded', forwarded_to = COLD WHERE id = DATA"),
        FindingKind::Carrier,
        "segment:",
    ),
    (
        "locations that no table has",
        |p| p.sql("UPDATE segment SET state = 'forwarded', forwarded_to = COLD WHERE id = DATA"),
        FindingKind::NamesUnforwarded,
        "snapshot:split@one",
    ),
    (
        "a forwarded segment without a carrier",
        |p| p.sql("UPDATE segment SET state = 'forwarded' WHERE id = DATA"),
        FindingKind::Opening,
        "data",
    ),
    (
        "a log floor that is too high",
        |p| p.sql("UPDATE store_state SET log_floor = next_segment + 5"),
        FindingKind::LogFloor,
        "store_state",
    ),
    (
        "segment ids that are given again",
        |p| p.sql("UPDATE store_state SET next_segment = 1"),
        FindingKind::NextSegment,
        "store_state",
    ),
    (
        "ids that are given again",
        |p| p.sql("UPDATE store_state SET next_id = 1"),
        FindingKind::NextId,
        "store_state",
    ),
    (
        "a container that counts too little",
        |p| p.sql("UPDATE container SET old_bytes = old_bytes - 1"),
        FindingKind::Count,
        "container:files",
    ),
    (
        "an account that counts too much",
        |p| p.sql("UPDATE account_usage SET bytes = bytes + 4096"),
        FindingKind::Count,
        "account:",
    ),
    (
        "an account whose versions are not counted",
        |p| p.sql("DELETE FROM account_usage"),
        FindingKind::Count,
        "account:",
    ),
    (
        "blocks that wait for a file and are not",
        |p| p.sql("INSERT INTO block_waiting (account_id, blocks, bytes) VALUES (0, 1, 4096)"),
        FindingKind::Count,
        "account:",
    ),
    (
        "a lease from the future",
        |p| p.sql("UPDATE lease SET epoch = epoch + 7"),
        FindingKind::Lease,
        "volume:split",
    ),
    (
        "a lease of no volume",
        |p| p.sql("INSERT INTO lease VALUES (999, 1, 'nobody', NULL)"),
        FindingKind::Catalog,
        "catalog.sqlite",
    ),
    (
        "a snapshot of no volume",
        |p| p.sql("UPDATE snapshot SET volume_id = 999"),
        FindingKind::Catalog,
        "catalog.sqlite",
    ),
    (
        "a size that no image has",
        |p| p.sql("UPDATE image SET size = 513"),
        FindingKind::Catalog,
        "catalog.sqlite",
    ),
    (
        "a size that no volume has",
        |p| p.sql("UPDATE volume SET size = 0 WHERE name = 'split'"),
        FindingKind::Opening,
        "data",
    ),
    (
        "bytes behind the end",
        |p| p.sql("UPDATE image SET size = 4096"),
        FindingKind::BeyondSize,
        "image:base",
    ),
    (
        "a segment of another store",
        |p| {
            let other = world();
            assert_eq!(other.cold, p.cold);
            std::fs::copy(other.file(other.cold), p.file(p.cold)).unwrap();
        },
        FindingKind::Footer,
        "segment:",
    ),
    (
        "a damaged STORE",
        |p| std::fs::write(p.data_folder().join("STORE"), [b'A'; 72]).unwrap(),
        FindingKind::StoreFile,
        "STORE",
    ),
];

#[test]
fn a_healthy_store_has_no_findings() {
    assert_eq!(world().check(), []);
}

#[test]
fn each_planted_inconsistency_is_found_and_named() {
    // A server keeps references itself.
    crate::testing::on_files();
    for (what, plant, kind, resource) in PLANTS {
        let mut planted = world();
        let findings = if *kind == FindingKind::StoreFile {
            // Without it nothing opens; a running store still knows.
            planted.bench.service = open(&planted.data_folder()).unwrap();
            plant(&planted);
            planted.bench.service.check().unwrap()
        } else {
            plant(&planted);
            planted.check()
        };
        let found = findings.iter().any(|f| f.kind == *kind && f.resource.contains(resource));
        assert!(found, "{what}: {findings:#?}");
    }
}

#[test]
fn what_is_wrong_with_a_segment_that_nobody_names_is_no_damage() {
    let planted = world();
    cut(&planted.file(planted.dead), 4096);
    let findings = planted.check();
    let kinds: Vec<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Unnamed], "{findings:#?}");
    assert_eq!(kinds[0].severity(), crate::Severity::Leak);
}

#[test]
fn a_floor_that_passes_unpersisted_writes_is_found_and_one_that_only_looks_so_is_not() {
    let mut planted = world();
    planted.bench.service = open(&planted.data_folder()).unwrap();
    let bench = &planted.bench;
    let core = &bench.service.core;
    bench.put("vm", 0, &noise(9, 4096));
    core.engine.rest_log().unwrap();
    bench.put("vm", 8192, &noise(10, 4096));
    core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    let floor = core.catalog.read(state::log_floor).unwrap().unwrap();
    assert_eq!(core.engine.oldest_unpersisted(), Some(floor));
    let set = |floor: u64| planted.sql(&format!("UPDATE store_state SET log_floor = {floor}"));
    set(floor.get() + 1);
    let findings = bench.service.check().unwrap();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].kind, FindingKind::LogFloor);
    assert!(findings[0].what.contains("is still needed"), "{findings:#?}");
    // As between the commit of a checkpoint and the time that memory knows of it.
    let findings = std::thread::scope(|scope| {
        let check = scope.spawn(|| bench.service.check().unwrap());
        core.env.clock().sleep(LOOK_EVERY * 20);
        set(floor.get());
        check.join().unwrap()
    });
    assert_eq!(findings, []);
}

#[test]
fn a_lost_backup_is_told_as_what_it_is_and_another_is_made() {
    let mut planted = world();
    planted.bench.service = open(&planted.data_folder()).unwrap();
    let service = &planted.bench.service;
    service.core.back_up().unwrap();
    let backups = || service.core.catalog.read(segment::backups).unwrap();
    let lost = backups();
    for id in &lost {
        std::fs::remove_file(planted.file(*id)).unwrap();
    }
    // Each check asks for another one; two are kept.
    for left in (0..=lost.len()).rev() {
        let findings = service.check().unwrap();
        assert_eq!(findings.len(), left, "{findings:#?}");
        assert!(findings.iter().all(|f| f.kind == FindingKind::Backup), "{findings:#?}");
        service.core.back_up().unwrap();
    }
    let there = |id: &SegmentId| planted.file(*id).exists();
    assert!(!backups().is_empty() && backups().iter().all(there));
}

#[test]
fn a_damaged_node_is_found_with_every_resource_that_needs_it() {
    let planted = world();
    // A leaf as the log has it: raw, at the front of a sector.
    let (path, at) = std::fs::read_dir(planted.file(planted.data).parent().unwrap())
        .unwrap()
        .find_map(|entry| {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let at = bytes.chunks(512).position(|sector| sector.starts_with(b"MN\x01\x01"))?;
            Some((path, at * 512))
        })
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at + 9] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let findings = planted.check();
    let named: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.kind == FindingKind::Node)
        .map(|finding| finding.resource.as_str())
        .collect();
    assert!(named.contains(&"volume:split") || named.contains(&"volume:vm"), "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.kind == FindingKind::Node), "{findings:#?}");
}

#[test]
fn an_index_that_knows_a_segment_that_is_gone_is_noted() {
    let mut planted = world();
    planted.bench.service = open(&planted.data_folder()).unwrap();
    let service = &planted.bench.service;
    service.core.engine.learn(&[planted.dead]);
    assert!(service.core.engine.indexed_segments().contains(&planted.dead));
    planted.sql("DELETE FROM segment WHERE id = DEAD");
    service.core.store.remove(planted.dead).unwrap();
    let findings = service.check().unwrap();
    assert!(findings.iter().any(|finding| finding.kind == FindingKind::Index), "{findings:#?}");
}

#[test]
fn a_busy_store_has_no_findings() {
    let mut planted = world();
    planted.bench.service = open(&planted.data_folder()).unwrap();
    let bench = &planted.bench;
    let done = AtomicFlag::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let device = bench.device("vm");
            for n in 0..400u64 {
                let bytes = noise(n, 4096);
                device
                    .write(&[crate::Write::Data { offset: n % 200 * 4096, bytes: &bytes }])
                    .unwrap();
                if n % 50 == 0 {
                    device.flush().unwrap();
                    bench.snapshot(&format!("vm@{n}")).unwrap();
                }
            }
            done.set();
        });
        scope.spawn(|| {
            for n in 0..6 {
                bench.import(&format!("more{n}"), &stream(&noise(n, 1 << 20))).unwrap();
                bench.service.image_remove(&format!("more{n}").parse().unwrap()).unwrap();
                let now = Collection { thorough: n % 2 == 0, now: true, ..Collection::default() };
                bench.service.collect(now).unwrap();
            }
        });
        loop {
            let last = done.get();
            assert_eq!(bench.service.check().unwrap(), []);
            if last {
                break;
            }
        }
    });
}

#[derive(Default)]
struct AtomicFlag(std::sync::atomic::AtomicBool);

impl AtomicFlag {
    fn set(&self) {
        self.0.store(true, std::sync::atomic::Ordering::Release);
    }
    fn get(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Acquire)
    }
}
