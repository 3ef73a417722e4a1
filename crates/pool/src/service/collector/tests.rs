//! Facts about the collector: what is named stays to the byte, the rest goes.

pub(super) use super::super::tests::{files, stored};
use super::*;
use crate::FindingKind;
use crate::catalog::segment;
use crate::testing::{Bench, MIB, noise, src, stream, vol};

const THOROUGH: Collection = Collection { thorough: true, now: true, budget: None };

pub(super) fn segment_path(bench: &Bench, id: SegmentId) -> std::path::PathBuf {
    let root = bench.dir.path().join("data/pool/segments");
    root.join(format!("{:07x}/{id}.seg", id.get() >> 12))
}

fn collect(bench: &Bench) -> Collected {
    bench.service.collect(THOROUGH).unwrap()
}

/// Overwrites pieces of a volume that no block or chunk border is asked about.
fn scribble(bench: &Bench, volume: &str, seed: u64, content: &mut [u8]) {
    let device = bench.device(volume);
    let sectors = content.len() as u64 / 512;
    for n in 0..200 {
        let start = (seed.wrapping_mul(7919) + n * 104_729) % (sectors - 64);
        let len = 1 + (seed + n * 31) % 63;
        let bytes = noise(seed * 1000 + n, len as usize * 512);
        let at = start as usize * 512;
        device.write(&[crate::Write::Data { offset: at as u64, bytes: &bytes }]).unwrap();
        content[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    device.flush().unwrap();
}

#[test]
fn removing_everything_gives_all_space_back() {
    let bench = Bench::new();
    bench.create("web", 64 * MIB);
    bench.put("web", 0, &noise(1, 16 * MIB as usize));
    bench.snapshot("web@one").unwrap();
    bench.put("web", 4 * MIB, &noise(2, 8 * MIB as usize));
    bench.import("image", &stream(&noise(3, 8 * MIB as usize))).unwrap();
    bench.clone_as("clone", "image:image", None).unwrap();
    assert!(stored(&bench) > 30 * MIB);
    bench.service.volume_remove(&vol("web"), true).unwrap();
    bench.service.volume_remove(&vol("clone"), false).unwrap();
    bench.service.image_remove(&"image".parse().unwrap()).unwrap();
    let done = collect(&bench);
    assert_eq!(done.alarms, 0);
    assert!(stored(&bench) < 64 << 10, "{} bytes stay: {done:?}", stored(&bench));
}

#[test]
fn everything_reads_the_same_after_it_was_moved() {
    let mut bench = Bench::new();
    bench.create("web", 16 * MIB);
    let mut content = noise(1, 16 * MIB as usize);
    bench.put("web", 0, &content);
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    for round in 0..4u64 {
        scribble(&bench, "web", round + 2, &mut content);
        bench.snapshot(&format!("web@s{round}")).unwrap();
        kept.push((format!("web@s{round}"), content.clone()));
        bench.import(&format!("i{round}"), &stream(&content)).unwrap();
        kept.push((format!("image:i{round}"), content.clone()));
        bench.clone_as(&format!("c{round}"), &format!("snapshot:web@s{round}"), None).unwrap();
        let mut cloned = content.clone();
        scribble(&bench, &format!("c{round}"), round + 20, &mut cloned);
        kept.push((format!("c{round}"), cloned));
        if round == 2 {
            bench.service.snapshot_remove(&"web@s0".parse().unwrap()).unwrap();
            kept.retain(|(name, _)| name != "web@s0");
        }
        let done = collect(&bench);
        assert!(done.compacted > 0 && done.alarms == 0, "{done:?}");
        for (name, expected) in kept.iter().chain([&("web".to_owned(), content.clone())]) {
            assert!(bench.get(name, 0, expected.len()) == *expected, "{name} in round {round}");
        }
        if round % 2 == 0 {
            bench.reopen()
        } else {
            bench.crash()
        }
        for (name, expected) in kept.iter().chain([&("web".to_owned(), content.clone())]) {
            assert!(bench.get(name, 0, expected.len()) == *expected, "{name} after {round}");
        }
    }
}

#[test]
fn a_second_collection_finds_nothing_to_do() {
    let bench = Bench::new();
    bench.create("web", 16 * MIB);
    let mut content = vec![0; 16 * MIB as usize];
    for round in 0..5 {
        scribble(&bench, "web", round, &mut content);
        bench.snapshot(&format!("web@s{round}")).unwrap();
    }
    collect(&bench);
    let before = stored(&bench);
    let done = collect(&bench);
    assert_eq!((done.condemned, done.compacted, done.flattened), (0, 0, 0), "{done:?}");
    assert_eq!(stored(&bench), before);
}

#[test]
fn a_child_that_overwrote_all_it_shared_keeps_nothing_of_its_parent() {
    let bench = Bench::new();
    bench.import("base", &stream(&noise(1, 16 * MIB as usize))).unwrap();
    bench.clone_as("child", "image:base", None).unwrap();
    let content = noise(2, 16 * MIB as usize);
    bench.put("child", 0, &content);
    bench.service.image_remove(&"base".parse().unwrap()).unwrap();
    let done = collect(&bench);
    assert!(done.flattened > 0, "{done:?}");
    assert!(stored(&bench) < 18 * MIB, "{} bytes", stored(&bench));
    assert!(bench.get("child", 0, content.len()) == content);
}

#[test]
fn what_is_left_of_mostly_dead_segments_is_moved_together() {
    let bench = Bench::new();
    for n in 0..24 {
        bench.create(&format!("v{n}"), 4 * MIB);
        bench.put(&format!("v{n}"), 0, &noise(n, MIB as usize));
    }
    for n in (0..24).filter(|n| n % 4 != 0) {
        bench.service.volume_remove(&vol(&format!("v{n}")), false).unwrap();
    }
    collect(&bench);
    assert!(stored(&bench) < 6 * MIB * 14 / 10, "{} bytes for 6 MiB", stored(&bench));
    for n in (0..24).step_by(4) {
        assert!(bench.get(&format!("v{n}"), 0, MIB as usize) == noise(n, MIB as usize));
    }
}

#[test]
fn equal_blocks_of_volumes_are_stored_once_after_they_were_moved() {
    let bench = Bench::new();
    for n in 0..4 {
        bench.create(&format!("v{n}"), 8 * MIB);
        bench.put(&format!("v{n}"), n * 4096, &noise(7, 4 * MIB as usize));
    }
    let done = collect(&bench);
    assert!(done.duplicate_bytes > 8 * MIB, "{done:?}");
    assert!(stored(&bench) < 9 * MIB, "{} bytes for 16 MiB", stored(&bench));
    for n in 0..4 {
        assert!(bench.get(&format!("v{n}"), n * 4096, 4 << 20) == noise(7, 4 << 20));
    }
}

#[test]
fn a_device_that_is_open_on_a_removed_image_reads_on() {
    let bench = Bench::new();
    let content = noise(1, 8 * MIB as usize);
    bench.import("image", &stream(&content)).unwrap();
    let device = bench.device("image:image");
    bench.service.image_remove(&"image".parse().unwrap()).unwrap();
    assert_eq!(collect(&bench).removed, 0);
    let mut out = vec![0; content.len()];
    device.read(0, &mut out).unwrap();
    assert!(out == content);
    drop(device);
    assert!(collect(&bench).removed > 0);
}

#[test]
fn condemned_segments_stay_for_the_grace_time() {
    let bench = Bench::new();
    bench.import("image", &stream(&noise(1, 8 * MIB as usize))).unwrap();
    bench.service.image_remove(&"image".parse().unwrap()).unwrap();
    let waits = Collection { now: false, ..THOROUGH };
    let done = bench.service.collect(waits).unwrap();
    assert!(done.condemned > 0 && done.removed == 0 && done.waiting_bytes > 7 * MIB, "{done:?}");
    assert!(collect(&bench).freed_bytes > 7 * MIB);
}

#[test]
fn data_that_was_condemned_is_written_again_when_it_comes_again() {
    let bench = Bench::new();
    let content = noise(1, 8 * MIB as usize);
    bench.import("one", &stream(&content)).unwrap();
    bench.service.image_remove(&"one".parse().unwrap()).unwrap();
    bench.service.collect(Collection { now: false, ..THOROUGH }).unwrap();
    bench.import("two", &stream(&content)).unwrap();
    assert!(collect(&bench).alarms == 0);
    assert!(bench.get("image:two", 0, content.len()) == content);
}

#[test]
fn a_read_of_a_condemned_segment_is_an_alarm_and_rescues_it() {
    let bench = Bench::new();
    let content = noise(1, 8 * MIB as usize);
    bench.import("image", &stream(&content)).unwrap();
    // As a defect would: condemned although it is named.
    let id = files(&bench)[0];
    bench.service.core.engine.condemned(&[id]);
    bench.service.core.catalog.write(|tx| crate::catalog::segment::condemn(tx, id, 99)).unwrap();
    assert!(bench.get("image:image", 0, content.len()) == content);
    let done = bench.service.collect(Collection { thorough: false, ..THOROUGH }).unwrap();
    assert_eq!((done.alarms, done.removed), (1, 0));
    assert!(bench.service.status().problem.unwrap().contains("report this defect"));
    assert!(bench.get("image:image", 0, content.len()) == content);
}

#[test]
fn a_condemned_segment_that_a_mark_finds_named_is_kept() {
    let mut bench = Bench::new();
    bench.import("base", &stream(&noise(1, MIB as usize))).unwrap();
    let content = bench.export("image:base");
    let id = files(&bench)[0];
    let planted = bench.service.core.catalog.write(|tx| segment::condemn(tx, id, u64::MAX));
    assert!(planted.unwrap());
    bench.reopen();
    let done = collect(&bench);
    assert!(done.alarms > 0, "{done:?}");
    assert!(bench.export("image:base") == content);
    bench.reopen();
    assert!(bench.export("image:base") == content);
}

#[test]
fn what_only_hidden_runs_name_is_not_moved() {
    let bench = Bench::new();
    bench.create("web", 4 * MIB);
    for n in 0..4 {
        bench.put("web", 0, &noise(n, 4 << 20));
        bench.snapshot(&format!("web@{n}")).unwrap();
    }
    for n in 0..3 {
        bench.service.snapshot_remove(&format!("web@{n}").parse().unwrap()).unwrap();
    }
    let done = collect(&bench);
    assert!(done.read_bytes <= 5 * MIB, "{done:?}");
}

#[test]
fn what_a_crash_left_of_an_import_is_removed() {
    let mut bench = Bench::new();
    let mut cut = stream(&noise(1, 12 * MIB as usize));
    cut.truncate(cut.len() - 100);
    bench.import("image", &cut).unwrap_err();
    bench.crash();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(2, 4096));
    collect(&bench);
    assert!(stored(&bench) < 64 << 10, "{} bytes", stored(&bench));
}

#[test]
fn an_incremental_receive_fits_a_volume_that_was_moved() {
    let (from, to) = (Bench::new(), Bench::new());
    from.create("web", 8 * MIB);
    let mut content = vec![0; 8 * MIB as usize];
    scribble(&from, "web", 1, &mut content);
    from.snapshot("web@a").unwrap();
    let mut full = Vec::new();
    from.service.send(&"web@a".parse().unwrap(), None, &mut full).unwrap();
    to.service.receive(&"web@a".parse().unwrap(), &mut &full[..]).unwrap();
    scribble(&from, "web", 2, &mut content);
    from.snapshot("web@b").unwrap();
    collect(&from);
    collect(&to);
    let mut change = Vec::new();
    let since = "a".parse().unwrap();
    from.service.send(&"web@b".parse().unwrap(), Some(&since), &mut change).unwrap();
    to.service.receive(&"web@b".parse().unwrap(), &mut &change[..]).unwrap();
    assert!(to.export("volume:web") == from.export("volume:web"));
    assert_eq!(from.service.diff(&src("snapshot:web@b"), &src("volume:web")).unwrap(), []);
}

/// Collects when its end is near.
struct Disturbed<'a> {
    bytes: &'a [u8],
    bench: &'a Bench,
    flattened: u64,
}

impl std::io::Read for Disturbed<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = out.len().min(4096);
        let n = std::io::Read::read(&mut self.bytes, &mut out[..n])?;
        if self.bytes.len() < 4096 {
            self.flattened += collect(self.bench).flattened;
        }
        Ok(n)
    }
}

#[test]
fn an_incremental_receive_bears_that_the_map_is_flattened_meanwhile() {
    let (from, to) = (Bench::new(), Bench::new());
    from.create("web", 8 * MIB);
    for (snapshot, seed, len) in [("a", 1, 8), ("b", 2, 4), ("c", 3, 1)] {
        from.put("web", 0, &noise(seed, len * MIB as usize));
        from.snapshot(&format!("web@{snapshot}")).unwrap();
    }
    let send = |snapshot: &str, since: Option<&str>| {
        let since = since.map(|name| name.parse().unwrap());
        let mut out = Vec::new();
        from.service.send(&snapshot.parse().unwrap(), since.as_ref(), &mut out).unwrap();
        out
    };
    to.service.receive(&"web@a".parse().unwrap(), &mut &send("web@a", None)[..]).unwrap();
    to.service.receive(&"web@b".parse().unwrap(), &mut &send("web@b", Some("a"))[..]).unwrap();
    to.service.snapshot_remove(&"web@a".parse().unwrap()).unwrap();
    let last = send("web@c", Some("b"));
    let mut stream = Disturbed { bytes: &last, bench: &to, flattened: 0 };
    to.service.receive(&"web@c".parse().unwrap(), &mut stream).unwrap();
    assert!(stream.flattened > 0);
    assert!(to.export("volume:web") == from.export("volume:web"));
}

#[test]
fn a_damaged_map_frees_nothing() {
    let bench = Bench::new();
    bench.import("image", &stream(&noise(1, 8 * MIB as usize))).unwrap();
    bench.create("web", MIB);
    let dead = files(&bench).len();
    bench
        .service
        .core
        .catalog
        .write(|tx| {
            crate::catalog::state::replace_fixed_root(
                tx,
                crate::core::catalog_root(tx, &src("image:image"), 0).unwrap().root,
                archipelago_model::Location::from_raw(1 << 24 | 0xff_0000),
            )
        })
        .unwrap();
    let error = bench.service.collect(THOROUGH).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(files(&bench).len(), dead);
}

/// Guests, snapshots, clones, imports and removals beside a collector that never rests
/// and keeps nothing.
#[test]
fn nothing_is_confused_while_everything_goes_on_at_once() {
    let bench = Bench::new();
    let service = &bench.service;
    let over = std::sync::atomic::AtomicBool::new(false);
    let volumes = ["a", "b"];
    volumes.iter().for_each(|name| drop(bench.create(name, 4 * MIB)));
    let contents: Vec<Vec<u8>> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                service.collect(THOROUGH).unwrap();
            }
        });
        let guests: Vec<_> = (1u64..)
            .zip(volumes)
            .map(|(seed, name)| {
                let bench = &bench;
                scope.spawn(move || {
                    let mut content = vec![0; 4 * MIB as usize];
                    for round in 0..12 {
                        scribble(bench, name, seed * 100 + round, &mut content);
                        let (snap, clone) = (format!("{name}@{round}"), format!("{name}-{round}"));
                        bench.snapshot(&snap).unwrap();
                        bench.import(&clone, &stream(&content)).unwrap();
                        bench.clone_as(&clone, &format!("snapshot:{snap}"), None).unwrap();
                        let mut cloned = content.clone();
                        scribble(bench, &clone, seed * 100 + round + 50, &mut cloned);
                        assert!(bench.get(name, 0, content.len()) == content, "{name}");
                        assert!(bench.get(&clone, 0, cloned.len()) == cloned, "{clone}");
                        assert!(bench.get(&format!("image:{clone}"), 0, content.len()) == content);
                        if round >= 2 {
                            let old = round - 2;
                            let service = &bench.service;
                            service.volume_remove(&vol(&format!("{name}-{old}")), false).unwrap();
                            service
                                .image_remove(&format!("{name}-{old}").parse().unwrap())
                                .unwrap();
                            service
                                .snapshot_remove(&format!("{name}@{old}").parse().unwrap())
                                .unwrap();
                        }
                    }
                    content
                })
            })
            .collect();
        let contents = guests.into_iter().map(|guest| guest.join()).collect::<Vec<_>>();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        contents.into_iter().map(Result::unwrap).collect()
    });
    for (name, content) in volumes.iter().zip(&contents) {
        assert!(bench.get(name, 0, content.len()) == *content, "{name} at the end");
    }
    assert_eq!(service.core.collected().alarms, 0);
}

#[test]
fn a_merge_that_two_rounds_overtake_loses_nothing() {
    let bench = Bench::new();
    let core = &bench.service.core;
    bench.create("v", 4 * MIB);
    bench.create("w", 4 * MIB);
    bench.put("w", 0, &noise(99, 2 * MIB as usize));
    let mut content = vec![0; 4 * MIB as usize];
    for n in 0..4_u64 {
        let bytes = noise(n + 1, 64 << 10);
        bench.put("v", n * (256 << 10), &bytes);
        let at = n as usize * (256 << 10);
        content[at..at + bytes.len()].copy_from_slice(&bytes);
        core.persist_all().unwrap();
    }
    // v is moved once; the carrier is half of w, which goes, so that it is moved again.
    collect(&bench);
    bench.service.volume_remove(&vol("w"), false).unwrap();
    let id = bench.service.volume(&vol("v")).unwrap().id;
    let handle = core.attachments.handle(id).unwrap();
    let quick = Collection { thorough: false, now: true, budget: None };
    let mut moved = 0;
    core.engine
        .checkpoint(&[handle], true, |done| {
            for _ in 0..3 {
                moved += core.collect(quick).unwrap().compacted;
            }
            core.catalog.write(|tx| crate::core::record(tx, done))
        })
        .unwrap();
    assert!(moved > 0, "nothing was moved during the merge");
    let mut out = vec![0; content.len()];
    bench.device("v").read(0, &mut out).unwrap();
    assert!(out == content);
    collect(&bench);
    bench.device("v").read(0, &mut out).unwrap();
    assert!(out == content);
}

/// A snapshot `gold@s` of every second block, so that no extents join.
fn snapshot_of_pieces(bench: &Bench) {
    bench.create("gold", 16 * MIB);
    let device = bench.device("gold");
    for n in 0..1024_u64 {
        let bytes = noise(n + 1, 4096);
        device.write(&[crate::Write::Data { offset: n * 8192, bytes: &bytes }]).unwrap();
    }
    device.flush().unwrap();
    drop(device);
    bench.snapshot("gold@s").unwrap();
}

#[test]
fn clones_go_on_sharing_the_map_of_what_was_compacted() {
    let bench = Bench::new();
    snapshot_of_pieces(&bench);
    for n in 0..20 {
        let name = format!("c{n}");
        bench.clone_as(&name, "snapshot:gold@s", None).unwrap();
        bench.put(&name, 4096, &noise(n + 10_000, 4096));
    }
    bench.service.core.persist_all().unwrap();
    let done = collect(&bench);
    assert!(done.compacted > 0);
    assert_eq!(done.flattened, 0);
}

#[test]
fn many_open_clones_of_what_was_compacted_get_no_map_each() {
    for (clones, flattened) in [(3, true), (4, false)] {
        let bench = Bench::new();
        // That volume is one more that shows the map, and open.
        snapshot_of_pieces(&bench);
        for n in 0..clones {
            let name = format!("c{n}");
            bench.clone_as(&name, "snapshot:gold@s", None).unwrap();
            drop(bench.device(&name));
        }
        let done = collect(&bench);
        assert!(done.compacted > 0);
        assert_eq!(done.flattened > 0, flattened, "{clones} clones: {done:?}");
        assert!(bench.get("c0", 0, 16 << 20) == bench.get("gold", 0, 16 << 20));
    }
}

#[test]
fn a_collection_that_began_before_a_roll_back_leaves_its_backup_the_newest() {
    let bench = Bench::new();
    let core = &bench.service.core;
    bench.create("v", MIB);
    bench.put("v", 0, &noise(1, 4096));
    bench.snapshot("v@s").unwrap();
    bench.put("v", 0, &noise(2, 4096));
    core.persist_all().unwrap();
    let mut round = Round::begin(core, Urgency::High, false, None).unwrap();
    bench.service.snapshot_rollback(&"v@s".parse().unwrap()).unwrap();
    let newest = |core: &Core| core.catalog.read(crate::catalog::segment::backups).unwrap()[0];
    let after_roll_back = newest(core);
    round.run(&mut Collector::default(), true).unwrap();
    assert_eq!(newest(core), after_roll_back);
}

#[test]
fn what_was_removed_is_not_recorded_by_a_checkpoint_that_began_before() {
    let bench = Bench::new();
    let core = &bench.service.core;
    bench.create("v", MIB);
    bench.put("v", 0, &noise(1, 64 << 10));
    core.persist_all().unwrap();
    core.engine.rest_log().unwrap();
    core.engine
        .checkpoint(&[], false, |late| {
            core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
            bench.service.volume_remove(&vol("v"), false).unwrap();
            let done = collect(&bench);
            assert!(done.removed > 0, "{done:?}");
            core.catalog.write(|tx| crate::core::record(tx, late))
        })
        .unwrap();
    assert_eq!(bench.service.check().unwrap(), []);
}

#[test]
fn a_damaged_segment_does_not_keep_others_from_being_compacted() {
    let bench = Bench::new();
    bench.create("v", 16 * MIB);
    let content = noise(1, 8 * MIB as usize);
    bench.put("v", 0, &content);
    bench.service.core.persist_all().unwrap();
    bench.service.core.engine.rest_log().unwrap();
    bench.service.core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    let hot = files(&bench);
    let victim = hot[hot.len() / 2];
    assert!(hot.len() > 2, "one segment is no choice");
    let path = segment_path(&bench, victim);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    collect(&bench);
    collect(&bench);
    let left: Vec<SegmentId> = files(&bench).into_iter().filter(|id| hot.contains(id)).collect();
    assert_eq!(left, [victim]);
    let settled = collect(&bench);
    assert_eq!((settled.compacted, settled.written_bytes, settled.condemned), (0, 0, 0));
}

#[test]
fn a_torn_first_batch_is_kept_for_people_to_see_until_a_later_start() {
    let mut bench = Bench::new();
    let torn = bench.tear();
    let named = |bench: &Bench| {
        let findings = bench.service.check().unwrap();
        findings
            .iter()
            .any(|f| f.kind == FindingKind::Torn && f.resource.ends_with(&torn.to_string()))
    };
    assert!(named(&bench));
    collect(&bench);
    assert!(files(&bench).contains(&torn));
    bench.reopen();
    collect(&bench);
    assert!(!named(&bench));
    assert!(!files(&bench).contains(&torn));
}
