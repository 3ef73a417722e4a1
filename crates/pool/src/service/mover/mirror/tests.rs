//! Facts about second copies: made, read, healed, and never more than what is wanted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use archipelago_model::{PoolId, PoolName, SegmentId};

use crate::catalog::segment::{self, Known, State};
use crate::core::FIRST_SEGMENT;
use crate::service::ScrubOptions;
use crate::service::mover::Again;
use crate::testing::{Bench, MIB, noise, stream, vol};
use crate::{Collection, ErrorKind, PoolState, ScrubState};

const NOW: Collection = Collection { thorough: true, now: true, budget: None };

fn name(text: &str) -> PoolName {
    text.parse().unwrap()
}

/// A store whose first pool is mirrored to `second`, all copies made.
fn mirrored() -> (Bench, Vec<u8>) {
    let bench = Bench::new();
    let mut bytes = noise(1, 6 * MIB as usize);
    bench.import("base", &stream(&bytes)).unwrap();
    bench.clone_as("web", "image:base", None).unwrap();
    let new = noise(2, 2 * MIB as usize);
    bench.put("web", 0, &new);
    bytes[..new.len()].copy_from_slice(&new);
    bench.snapshot("web@s").unwrap();
    bench.service.collect(NOW).unwrap();
    let url = format!("file://{}", bench.dir.path().join("second").display());
    bench.service.pool_add(&name("second"), &url).unwrap();
    bench.service.pool_mirror(&name("default"), &name("second")).unwrap();
    bench.service.move_due().unwrap();
    (bench, bytes)
}

fn id_of(bench: &Bench, text: &str) -> PoolId {
    let rows = bench.service.core.catalog.read(crate::catalog::place::list).unwrap();
    rows.into_iter().find(|row| row.name.as_str() == text).unwrap().id
}

fn files_in(bench: &Bench, text: &str) -> BTreeSet<SegmentId> {
    let pool = bench.service.core.pools.spread.member(id_of(bench, text)).unwrap();
    pool.list_from(FIRST_SEGMENT).unwrap().into_iter().collect()
}

fn known(bench: &Bench) -> Vec<Known> {
    let all = bench.service.core.catalog.read(segment::list).unwrap();
    all.into_iter().filter(|one| one.state == State::Sealed && one.stored_bytes > 0).collect()
}

fn path_of(bench: &Bench, pool: &str, id: SegmentId) -> PathBuf {
    let root = match pool {
        "default" => bench.dir.path().join("data/pool"),
        other => bench.dir.path().join(other),
    };
    root.join(format!("segments/{:07x}/{id}.seg", id.get() >> 12))
}

fn lacking(bench: &Bench, text: &str) -> u64 {
    bench.service.pool(&name(text)).unwrap().lacking
}

fn scrub(bench: &Bench) -> ScrubState {
    bench.service.scrub(ScrubOptions { restart: true, rate: None }).unwrap();
    bench.service.scrubber.join();
    let state = bench.service.scrub_state().unwrap();
    assert_eq!(state.problem, None);
    state
}

fn rot(path: &Path, at: usize) {
    let mut raw = fs::read(path).unwrap();
    raw[at] ^= 1;
    fs::write(path, raw).unwrap();
}

fn check_clean(bench: &Bench) {
    let found = bench.service.check().unwrap();
    let damage = found.iter().find(|one| one.kind.severity() == crate::Severity::Damage);
    assert!(damage.is_none(), "{damage:?}");
}

/// Without caches and open files of what was read before.
fn anew(bench: &mut Bench) {
    bench.crash();
}

/// One with data that somebody reads.
fn some_cold(bench: &Bench) -> Known {
    let cold = |one: &&Known| one.kind == segment::Kind::Cold && one.stored_bytes > MIB;
    *known(bench).iter().find(cold).unwrap()
}

fn assert_doubled(bench: &Bench) {
    let second = id_of(bench, "second");
    for one in known(bench) {
        assert_eq!(one.copy, Some(second), "segment {}", one.id);
        let (a, b) = (path_of(bench, "default", one.id), path_of(bench, "second", one.id));
        assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "segment {}", one.id);
    }
}

#[test]
fn everything_sealed_is_in_both_pools_and_goes_from_both() {
    let (bench, _) = mirrored();
    assert_eq!(lacking(&bench, "default"), 0);
    assert!(known(&bench).iter().any(|one| one.kind == segment::Kind::Backup));
    assert_doubled(&bench);
    let shown = bench.service.pool(&name("second")).unwrap();
    assert_eq!((shown.copies, shown.segments), (known(&bench).len() as u64, 0));
    // What is freed leaves both.
    bench.service.snapshot_remove(&"web@s".parse().unwrap()).unwrap();
    bench.service.volume_remove(&vol("web"), true).unwrap();
    bench.service.image_remove(&"base".parse().unwrap()).unwrap();
    bench.service.collect(NOW).unwrap();
    bench.service.collect(NOW).unwrap();
    bench.service.move_due().unwrap();
    assert_doubled(&bench);
    let there: BTreeSet<SegmentId> = known(&bench).iter().map(|one| one.id).collect();
    assert_eq!(files_in(&bench, "second"), there);
}

#[test]
fn new_data_follows_and_the_end_of_the_log_within_a_minute() {
    let (mut bench, hands) = Bench::timed(crate::testing::config());
    let url = format!("file://{}", bench.dir.path().join("second").display());
    bench.service.pool_add(&name("second"), &url).unwrap();
    bench.service.pool_mirror(&name("default"), &name("second")).unwrap();
    bench.create("web", 4 * MIB);
    bench.put("web", 0, &noise(3, MIB as usize));
    bench.service.move_due().unwrap();
    hands.forward(61_000);
    bench.service.move_due().unwrap();
    assert_doubled(&bench);
    let hot = known(&bench).into_iter().filter(|one| one.kind == segment::Kind::Hot);
    assert!(hot.map(|one| one.stored_bytes).sum::<u64>() > MIB);
    let batches = bench.service.core.engine.counters().log_segments;
    hands.forward(61_000);
    bench.service.move_due().unwrap();
    assert_eq!(bench.service.core.engine.counters().log_segments, batches, "nothing was written");
    bench.crash_timed(&hands);
    assert!(bench.get("web", 0, MIB as usize) == noise(3, MIB as usize));
}

#[test]
fn a_damaged_or_missing_copy_is_read_in_the_other_pool_and_healed_by_a_scrub() {
    for pool in ["default", "second"] {
        for missing in [false, true] {
            let (mut bench, bytes) = mirrored();
            let one = some_cold(&bench);
            let path = path_of(&bench, pool, one.id);
            bench.service.abandon();
            let whole = fs::read(&path).unwrap();
            match missing {
                true => fs::remove_file(&path).unwrap(),
                false => (64..whole.len()).step_by(20_000).for_each(|at| rot(&path, at)),
            }
            bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
            assert!(bench.get("web", 0, bytes.len()) == bytes, "{pool} {missing}");
            if pool == "default" && !missing {
                assert!(bench.service.core.engine.counters().mended_reads > 0);
            }
            let state = scrub(&bench);
            assert_eq!((state.healed, state.damages), (1, 0), "{pool} {missing}");
            assert!(fs::read(&path).unwrap() == whole);
            assert_doubled(&bench);
            assert_eq!(scrub(&bench).healed, 0);
            check_clean(&bench);
            anew(&mut bench);
            assert!(bench.get("web", 0, bytes.len()) == bytes);
        }
    }
}

#[test]
fn what_is_damaged_in_both_is_named_and_what_is_damaged_in_one_is_read() {
    let (mut bench, bytes) = mirrored();
    let one = some_cold(&bench);
    let paths = ["default", "second"].map(|pool| path_of(&bench, pool, one.id));
    bench.service.abandon();
    let wholes = paths.clone().map(|path| fs::read(path).unwrap());
    // Far from each other: together they are whole.
    rot(&paths[0], 100_000);
    rot(&paths[1], 900_000);
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    let state = scrub(&bench);
    assert_eq!((state.healed, state.damages), (0, 2));
    assert!(bench.service.damages().unwrap().damages.iter().all(|one| one.touches.is_empty()));
    // In the same place: that is lost.
    bench.service.abandon();
    rot(&paths[1], 100_001);
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    let device = bench.device("image:base");
    let unread = device.read(0, &mut vec![0; bytes.len()]).unwrap_err();
    assert_eq!(unread.kind(), ErrorKind::Damaged);
    drop(device);
    let state = scrub(&bench);
    assert_eq!((state.healed, state.damages), (0, 2));
    let touched = bench.service.damages().unwrap().damages;
    assert!(touched.iter().any(|one| !one.touches.is_empty()), "{touched:?}");
    // One of both put back from a copy heals the other.
    bench.service.abandon();
    fs::write(&paths[0], &wholes[0]).unwrap();
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    let state = scrub(&bench);
    assert_eq!((state.healed, state.damages), (1, 0));
    assert!(fs::read(&paths[1]).unwrap() == wholes[1]);
}

#[test]
fn a_mirror_that_was_away_gets_only_what_is_missing_and_loses_what_is_gone() {
    let (mut bench, _) = mirrored();
    let (path, aside) = (bench.dir.path().join("second"), bench.dir.path().join("aside"));
    bench.service.close().unwrap();
    fs::rename(&path, &aside).unwrap();
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    let shown = bench.service.pool(&name("second")).unwrap();
    assert!(matches!(shown.state, PoolState::Away { .. }));
    let copied = known(&bench).into_iter().filter(|one| one.copy.is_some());
    let before: BTreeSet<SegmentId> = copied.map(|one| one.id).collect();
    bench.service.image_remove(&"base".parse().unwrap()).unwrap();
    bench.service.snapshot_remove(&"web@s".parse().unwrap()).unwrap();
    bench.put("web", 0, &noise(5, 6 * MIB as usize));
    bench.service.collect(NOW).unwrap();
    bench.service.collect(NOW).unwrap();
    bench.service.move_due().unwrap();
    assert!(lacking(&bench, "default") > 0);
    fs::rename(&aside, &path).unwrap();
    // One of those that stay is lost meanwhile.
    let stays = known(&bench).into_iter().find(|one| one.copy.is_some()).map(|one| one.id);
    stays.iter().for_each(|id| fs::remove_file(path_of(&bench, "second", *id)).unwrap());
    let done = bench.service.move_due().unwrap();
    assert_eq!(lacking(&bench, "default"), 0);
    let new = known(&bench).into_iter().filter(|one| !before.contains(&one.id)).count() as u64;
    assert_eq!(done.copies, new + stays.iter().len() as u64, "{done:?}");
    bench.service.collect(NOW).unwrap();
    bench.service.collect(NOW).unwrap();
    bench.service.move_due().unwrap();
    assert_doubled(&bench);
    let there: BTreeSet<SegmentId> = known(&bench).iter().map(|one| one.id).collect();
    assert_eq!(files_in(&bench, "second"), there, "what is gone stays gone");
    assert!(bench.get("web", 0, 6 * MIB as usize) == noise(5, 6 * MIB as usize));
}

#[test]
fn a_copy_that_a_crash_left_counts_if_it_is_whole_and_goes_if_it_is_not() {
    let (mut bench, bytes) = mirrored();
    let second = id_of(&bench, "second");
    let all = known(&bench);
    let cold: Vec<Known> =
        all.into_iter().filter(|one| one.kind == segment::Kind::Cold).take(2).collect();
    // As a crash before the transaction leaves them: one whole, one in part.
    let catalog = &bench.service.core.catalog;
    for one in &cold {
        catalog.write(|tx| segment::forget_copy(tx, one.id, second)).unwrap();
    }
    let torn = path_of(&bench, "second", cold[1].id);
    bench.service.abandon();
    let len = fs::metadata(&torn).unwrap().len();
    fs::OpenOptions::new().write(true).open(&torn).unwrap().set_len(len / 2).unwrap();
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    let done = bench.service.move_due().unwrap();
    assert_eq!((done.adopted, done.strays, done.copies), (1, 1, 1), "{done:?}");
    assert_doubled(&bench);
    assert!(bench.get("web", 0, bytes.len()) == bytes);
}

#[test]
fn healing_that_a_crash_cut_off_is_ended_by_the_next_scrub_and_reads_go_on() {
    let (mut bench, bytes) = mirrored();
    let one = some_cold(&bench);
    let path = path_of(&bench, "default", one.id);
    let whole = fs::read(&path).unwrap();
    // Removed, and written anew in part.
    for part in [None, Some(whole.len() / 2)] {
        bench.service.abandon();
        fs::remove_file(&path).unwrap();
        if let Some(part) = part {
            let mut torn = whole[..part].to_vec();
            torn.resize(whole.len(), 0);
            fs::write(&path, torn).unwrap();
        }
        bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
        assert!(bench.get("web", 0, bytes.len()) == bytes);
        check_clean(&bench);
        assert_eq!(scrub(&bench).healed, 1);
        assert!(fs::read(&path).unwrap() == whole);
    }
}

#[test]
fn unmirroring_removes_the_copies_and_a_pool_with_copies_stays() {
    let (bench, bytes) = mirrored();
    let refused = bench.service.pool_remove(&name("second")).unwrap_err();
    assert!(refused.message().contains("unmirror default"), "{refused}");
    assert!(bench.service.pool_drain(&name("second"), None).is_err());
    let own = bench.service.pool_mirror(&name("second"), &name("second")).unwrap_err();
    assert_eq!(own.kind(), ErrorKind::Invalid);
    bench.service.pool_unmirror(&name("default")).unwrap();
    bench.service.move_due().unwrap();
    assert_eq!(files_in(&bench, "second"), BTreeSet::new());
    bench.service.pool_remove(&name("second")).unwrap();
    assert!(bench.get("web", 0, bytes.len()) == bytes);
}

#[test]
fn a_pool_that_is_lost_is_given_up_and_its_mirror_goes_on() {
    let (mut bench, bytes) = mirrored();
    bench.service.pool_unmirror(&name("default")).unwrap();
    let url = format!("file://{}", bench.dir.path().join("third").display());
    bench.service.pool_add(&name("third"), &url).unwrap();
    bench.service.volume_place(&vol("web"), Some(&name("third"))).unwrap();
    bench.service.move_due().unwrap();
    bench.service.pool_mirror(&name("third"), &name("second")).unwrap();
    assert!(lacking(&bench, "third") > 0);
    let answers = bench.service.pool_lost(&name("third"), true).unwrap_err();
    assert_eq!(answers.kind(), ErrorKind::Invalid);
    let first = bench.service.pool_lost(&name("default"), true).unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Invalid);
    bench.service.move_due().unwrap();
    assert_eq!(lacking(&bench, "third"), 0);
    bench.service.close().unwrap();
    fs::remove_dir_all(bench.dir.path().join("third")).unwrap();
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    assert!(bench.get("web", 0, bytes.len()) == bytes, "guests go on before anybody acts");
    bench.service.pool_lost(&name("third"), false).unwrap();
    assert_eq!(bench.service.pools().unwrap().len(), 2);
    for _ in 0..2 {
        assert!(bench.get("web", 0, bytes.len()) == bytes);
        assert!(known(&bench).iter().all(|one| one.copy.is_none()));
        check_clean(&bench);
        assert_eq!(scrub(&bench).damages, 0);
        anew(&mut bench);
    }
    let placed = bench.service.volume_placement(&vol("web")).unwrap();
    assert_eq!(placed.pool, Some(name("second")));
}

#[test]
fn what_a_lost_pool_had_alone_is_lost_only_if_somebody_says_so() {
    let (mut bench, _) = mirrored();
    bench.service.pool_unmirror(&name("default")).unwrap();
    bench.service.volume_place(&vol("web"), Some(&name("second"))).unwrap();
    bench.service.move_due().unwrap();
    bench.service.close().unwrap();
    fs::remove_dir_all(bench.dir.path().join("second")).unwrap();
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    let refused = bench.service.pool_lost(&name("second"), false).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    bench.service.pool_lost(&name("second"), true).unwrap();
    assert!(scrub(&bench).damages > 0);
    let touched = bench.service.damages().unwrap().damages;
    assert!(touched.iter().any(|one| !one.touches.is_empty()), "{touched:?}");
}

#[test]
fn a_segment_that_moves_to_its_mirror_is_not_copied_again() {
    let (bench, bytes) = mirrored();
    bench.service.volume_place(&vol("web"), Some(&name("second"))).unwrap();
    bench.service.move_due().unwrap();
    let second = id_of(&bench, "second");
    let there = known(&bench).into_iter().filter(|one| one.pool == second).count();
    assert!(there > 0);
    assert!(known(&bench).iter().all(|one| one.pool != second || one.copy.is_none()));
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    // Mutual mirrors: both stay.
    bench.service.pool_mirror(&name("second"), &name("default")).unwrap();
    bench.service.move_due().unwrap();
    assert!(known(&bench).iter().all(|one| one.copy.is_some()), "{:?}", known(&bench));
    assert_eq!(scrub(&bench).damages, 0);
}

#[test]
fn a_rebuilt_catalog_finds_the_second_copies_again() {
    let (mut bench, bytes) = mirrored();
    bench.service.close().unwrap();
    let data = bench.dir.path().join("data");
    crate::Service::rebuild(&data, &archipelago_env::Env::real(), true).unwrap();
    bench.service = crate::testing::open(&data).unwrap();
    assert!(known(&bench).iter().all(|one| one.copy.is_none()));
    let done = bench.service.move_due().unwrap();
    assert!(done.adopted > 0 && lacking(&bench, "default") == 0, "{done:?}");
    assert_eq!(done.strays, 0);
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    assert_doubled(&bench);
}

#[test]
fn a_store_whose_first_pool_is_lost_goes_on_with_its_mirror_by_a_rebuild() {
    let (mut bench, bytes) = mirrored();
    // Named and flushed, but in the log of the first pool alone.
    bench.create("late", MIB);
    bench.put("late", 0, &noise(9, 65536));
    bench.service.abandon();
    let data = bench.dir.path().join("data");
    fs::remove_dir_all(data.join("pool/segments")).unwrap();
    fs::create_dir(data.join("pool/segments")).unwrap();
    let refused = crate::testing::open(&data).err().unwrap();
    assert!(refused.message().contains("rebuild --force"), "{refused}");
    crate::Service::rebuild(&data, &archipelago_env::Env::real(), true).unwrap();
    bench.service = crate::testing::open(&data).unwrap();
    assert!(bench.get("web", 0, bytes.len()) == bytes);
    assert!(bench.get("web@s", 0, bytes.len()) == bytes);
    assert!(bench.get("image:base", 0, MIB as usize) == noise(1, MIB as usize));
    // Two copies again: what is in the mirror goes to the new first pool, too.
    bench.service.pool_mirror(&name("second"), &name("default")).unwrap();
    bench.put("web", 0, &noise(4, 65536));
    bench.service.move_due().unwrap();
    assert!(known(&bench).iter().all(|one| one.copy.is_some()));
    bench.reopen();
    assert!(bench.get("web", 65536, bytes.len() - 65536) == bytes[65536..]);
    check_clean(&bench);
}

#[test]
fn a_copy_that_nobody_noted_stays_where_the_segment_is_damaged() {
    let (bench, _) = mirrored();
    let one = some_cold(&bench);
    let (from, to) = (id_of(&bench, "default"), id_of(&bench, "second"));
    let core = &bench.service.core;
    // As an interrupted change leaves it: there, whole, and not known.
    core.catalog.write(|tx| segment::forget_copy(tx, one.id, to)).unwrap();
    core.pools.spread.no_second(one.id);
    let copy = path_of(&bench, "second", one.id);
    let whole = fs::read(&copy).unwrap();
    rot(&path_of(&bench, "default", one.id), 5000);
    let again = Again { id: one.id, from, to, bytes: one.stored_bytes };
    let made = core.copy_again(&again, &mut || std::ops::ControlFlow::Continue(()));
    assert_eq!(made.err().unwrap().kind(), ErrorKind::Damaged);
    assert!(fs::read(&copy).unwrap() == whole);
}
