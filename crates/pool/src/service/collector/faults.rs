//! Facts about collections that something fails in, or that overtake something.

use std::collections::HashSet;
use std::sync::Arc;

use archipelago_engine::{Piece, Urgency};
use archipelago_env::Env;
use archipelago_model::SegmentId;
use archipelago_store::Store;
use archipelago_store::layer::{Effect, Failure, Fault, Faulty, Op};

use super::round::Round;
use super::tests::{files, segment_path, stored};
use super::{Collection, Collector, Service};
use crate::testing::{Bench, MIB, config, noise, open, src, stream};

const THOROUGH: Collection = Collection { thorough: true, now: true, budget: None };
const QUICK: Collection = Collection { thorough: false, now: true, budget: None };

/// A store over a pool that fails when told to.
fn faulty_bench() -> (Bench, Faulty) {
    let dir = tempfile::TempDir::new().unwrap();
    let mut faulty = None;
    let service = Service::open_layered(&dir.path().join("data"), Env::real(), config(), |store| {
        let layer = Faulty::new(store);
        faulty = Some(layer.clone());
        Arc::new(layer) as Arc<dyn Store>
    });
    (Bench { dir, service: service.unwrap() }, faulty.unwrap())
}

#[test]
fn a_rewritten_root_names_no_leaving_segment_also_over_small_runs() {
    // Of one store in fifty, whose keys are random, the index has none of the blocks.
    assert!((0..8).any(|_| a_rewritten_root_names_no_leaving_segment()));
}

fn a_rewritten_root_names_no_leaving_segment() -> bool {
    let bench = Bench::new();
    let core = &bench.service.core;
    // Two images share a segment; half of it is about to die.
    let (dead, alive) = (noise(1, MIB as usize), noise(2, 2 * MIB as usize));
    bench.import("both", &stream(&[dead.clone(), alive.clone()].concat())).unwrap();
    bench.import("alive", &stream(&alive)).unwrap();
    // A volume whose map has three small runs.
    bench.create("v", 8 * MIB);
    for n in 0..3u64 {
        bench.put("v", 4 * MIB + n * 65536, &noise(10 + n, 4096));
        core.persist_all().unwrap();
    }
    bench.snapshot("v@s").unwrap();
    core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    bench.service.image_remove(&"both".parse().unwrap()).unwrap();
    // The mark begins; then the ingest finds what the mark does not see.
    let mut round = Round::begin(core, Urgency::High, false, None).unwrap();
    let base =
        core.catalog.read(|tx| crate::core::catalog_root(tx, &src("snapshot:v@s"), 0)).unwrap();
    let _pin = core.engine.pin(base.root);
    let mut pieces = vec![Piece::Data { offset: 0, bytes: dead.clone() }].into_iter();
    let ingested = core.engine.ingest(base.root, 8 * MIB, &mut || Ok(pieces.next())).unwrap();
    if ingested.named.is_empty() {
        return false;
    }
    let shared: HashSet<SegmentId> = ingested.named.iter().copied().collect();
    round.run(&mut Collector::default(), true).unwrap();
    let leaving = core
        .catalog
        .read(|tx| {
            crate::catalog::segment::leaving(tx, &shared.iter().copied().collect::<Vec<_>>())
        })
        .unwrap();
    assert!(!leaving.is_empty());
    let bound = core
        .bind(ingested, 8 * MIB, |tx, root| {
            crate::catalog::state::replace_fixed_root(tx, base.root, root)?;
            Ok(root)
        })
        .unwrap();
    let mark = core
        .engine
        .mark([bound], &|_| true, &mut || std::ops::ControlFlow::Continue(()))
        .map(|mark| leaving.iter().filter(|id| mark.live(**id).is_some()).count());
    assert!(bench.get("v@s", 0, dead.len()) == dead);
    let collected = bench.service.collect(THOROUGH);
    collected.unwrap();
    assert_eq!(mark.unwrap(), 0);
    true
}

#[test]
fn a_rebuild_bears_the_rotten_footer_of_a_segment_that_was_moved() {
    let mut bench = Bench::new();
    bench.create("v", 4 * MIB);
    let content = noise(1, MIB as usize);
    bench.put("v", 0, &content);
    // Moved; the files wait for the grace time.
    bench.service.collect(Collection { now: false, ..THOROUGH }).unwrap();
    let known = bench.service.core.catalog.read(crate::catalog::segment::list).unwrap();
    let moved = known
        .iter()
        .find(|k| {
            matches!(k.state, crate::catalog::segment::State::Forwarded { .. })
                && k.stored_bytes > 0
        })
        .unwrap()
        .id;
    bench.service.core.back_up().unwrap();
    bench.service.close().unwrap();
    let data = bench.dir.path().join("data");
    crate::testing::lose_catalog(&data);
    let path = segment_path(&bench, moved);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let done = Service::rebuild(&data, &Env::real(), false);
    done.unwrap();
    bench.service = open(&data).unwrap();
    assert!(bench.get("v", 0, content.len()) == content);
}

#[test]
fn what_a_failed_import_left_is_freed_though_nobody_writes() {
    let bench = Bench::new();
    let content = noise(1, 12 * MIB as usize);
    let mut cut = stream(&content);
    cut.truncate(cut.len() - 100);
    bench.import("image", &cut).unwrap_err();
    for _ in 0..5 {
        bench.service.collect(QUICK).unwrap();
    }
    let left = stored(&bench);
    bench.import("image", &stream(&content)).unwrap();
    for _ in 0..5 {
        bench.service.collect(QUICK).unwrap();
    }
    assert!(left < MIB, "{left} bytes stay");
    assert!(stored(&bench) < 13 * MIB, "{} bytes for 12 MiB", stored(&bench));
}

#[test]
fn a_sector_that_cannot_be_read_does_not_keep_others_from_being_moved() {
    let (bench, faulty) = faulty_bench();
    bench.create("v", 32 * MIB);
    bench.put("v", 0, &noise(1, 16 * MIB as usize));
    bench.service.core.persist_all().unwrap();
    bench.service.core.engine.rest_log().unwrap();
    bench.service.core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    let hot = files(&bench);
    let victim = hot[1];
    // Its data; footers and nodes are in memory or elsewhere.
    faulty.inject(Fault {
        op: Op::Read,
        segment: Some(victim),
        after: 0,
        times: u64::MAX,
        effect: Effect::Fail(Failure::Io),
    });
    for _ in 0..4 {
        let _ = bench.service.collect(THOROUGH);
    }
    let left: Vec<SegmentId> = files(&bench).into_iter().filter(|id| hot.contains(id)).collect();
    assert_eq!(left, [victim]);
}

#[test]
fn a_file_that_cannot_be_removed_does_not_keep_the_others() {
    let (bench, faulty) = faulty_bench();
    for n in 0..4u64 {
        bench.import(&format!("i{n}"), &stream(&noise(n + 1, 3 * MIB as usize))).unwrap();
    }
    let ids = files(&bench);
    for n in 0..4u64 {
        bench.service.image_remove(&format!("i{n}").parse().unwrap()).unwrap();
    }
    faulty.inject(Fault {
        op: Op::Remove,
        segment: Some(ids[0]),
        after: 0,
        times: u64::MAX,
        effect: Effect::Fail(Failure::Io),
    });
    for _ in 0..3 {
        let _ = bench.service.collect(THOROUGH);
    }
    bench.import("late", &stream(&noise(9, MIB as usize))).unwrap();
    bench.service.image_remove(&"late".parse().unwrap()).unwrap();
    let _ = bench.service.collect(THOROUGH);
    let left: Vec<SegmentId> = files(&bench).into_iter().filter(|id| ids.contains(id)).collect();
    assert_eq!(left, [ids[0]]);
}

#[test]
fn jobs_of_one_collection_share_with_each_other() {
    let dir = tempfile::TempDir::new().unwrap();
    // 64 segments a job: 8 MiB.
    let config = crate::Config { hot_segment_bytes: 128 << 10, ..config() };
    let service = Service::open(&dir.path().join("data"), Env::real(), config).unwrap();
    let bench = Bench { dir, service };
    let content = noise(7, 10 * MIB as usize);
    for name in ["a", "b"] {
        bench.create(name, 16 * MIB);
        bench.put(name, 0, &content);
    }
    bench.service.collect(THOROUGH).unwrap();
    assert!(stored(&bench) < 12 * MIB, "{} bytes for 10 MiB", stored(&bench));
}

#[test]
fn a_carrier_of_nothing_but_its_table_settles() {
    let bench = Bench::new();
    let core = &bench.service.core;
    let content = noise(1, 512 << 10);
    bench.import("image", &stream(&content)).unwrap();
    bench.create("v", 8 * MIB);
    bench.put("v", 0, &content);
    bench.put("v", MIB, &noise(2, 512 << 10));
    core.engine.rest_log().unwrap();
    bench.put("v", MIB, &noise(3, 512 << 10));
    core.persist_all().unwrap();
    core.engine.rest_log().unwrap();
    core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    let mut all = Vec::new();
    for _ in 0..10 {
        let done = bench.service.collect(QUICK).unwrap();
        core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
        all.push((done.compacted, done.condemned, done.flattened, done.written_bytes));
    }
    assert!(bench.get("v", 0, content.len()) == content);
    assert_eq!(all.last().unwrap().0, 0, "it never settles");
}

#[test]
fn where_nothing_can_be_made_dead_segments_go_all_the_same() {
    let (bench, faulty) = faulty_bench();
    bench.import("image", &stream(&noise(1, 8 * MIB as usize))).unwrap();
    bench.create("v", MIB);
    bench.put("v", 0, &noise(2, 4096));
    bench.service.core.engine.rest_log().unwrap();
    bench.service.image_remove(&"image".parse().unwrap()).unwrap();
    faulty.inject(Fault::always(Op::Create, Effect::Fail(Failure::NoSpace)));
    for _ in 0..3 {
        let _ = bench.service.collect(THOROUGH);
    }
    assert!(stored(&bench) < MIB, "{} bytes stay", stored(&bench));
}

#[test]
fn the_backup_before_knows_what_a_round_removed() {
    let mut bench = Bench::new();
    bench.create("web", 4 * MIB);
    bench.put("web", 0, &noise(1, 256 << 10));
    bench.service.core.back_up().unwrap();
    let content = noise(2, 2 << 20);
    bench.put("web", MIB, &content);
    let core = &bench.service.core;
    core.persist_all().unwrap();
    core.engine.rest_log().unwrap();
    core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    let mut round = Round::begin(core, Urgency::High, false, None).unwrap();
    round.run(&mut Collector::default(), true).unwrap();
    assert!(round.figures().removed > 0);
    let newest = core.catalog.read(crate::catalog::segment::backups).unwrap()[0];
    bench.service.abandon();
    let data = bench.dir.path().join("data");
    crate::testing::lose_catalog(&data);
    let path = segment_path(&bench, newest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let done = Service::rebuild(&data, &Env::real(), false).unwrap();
    assert_eq!(done.passed_over.len(), 1);
    bench.service = open(&data).unwrap();
    assert!(bench.get("web", MIB, content.len()) == content);
}
