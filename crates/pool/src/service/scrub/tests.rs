use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::*;
use crate::Write as Change;
use crate::testing::{Bench, MIB, noise, stream, vol};

/// Flips in the suite; the ignored test below does a thousand.
const FLIPS: u64 = 40;

/// A small store of everything: volumes that were written, cut off and overwritten,
/// snapshots, clones of both, an image that compresses, one that does not, files.
fn world() -> Bench {
    let bench = Bench::new();
    bench.create("web", 2 * MIB);
    bench.put("web", 0, &noise(1, 200_704));
    bench.snapshot("web@one").unwrap();
    bench.put("web", 65536, &noise(2, 65536));
    bench.put("web", MIB + 512, &noise(3, 1536));
    bench.snapshot("web@two").unwrap();
    bench.put("web", 8192, &noise(4, 4096));
    bench.clone_as("fork", "snapshot:web@one", Some(3 * MIB)).unwrap();
    bench.put("fork", 0, &noise(5, 12288));
    let mut image = noise(6, 300_000);
    image.extend(b"what compresses well ".repeat(20_000));
    image.resize(image.len().next_multiple_of(512), 0);
    bench.import("base", &stream(&image)).unwrap();
    bench.clone_as("vm", "image:base", None).unwrap();
    bench.put("vm", 40960, &noise(7, 4096));
    bench.put_file("a/first", &stream(&noise(8, 70_001))).unwrap();
    bench.put_file("second", &stream(&image[..200_000])).unwrap();
    // Some of it lies where a compaction put it, under old names.
    let all = crate::service::Collection { thorough: true, now: true, budget: None };
    bench.service.collect(all).unwrap();
    bench.put("fork", 40960, &noise(9, 12288));
    bench.snapshot("vm@late").unwrap();
    bench
}

fn scrub(bench: &Bench) -> ScrubState {
    bench.service.scrub(ScrubOptions { restart: true, rate: None }).unwrap();
    bench.service.scrubber.join();
    let state = bench.service.scrub_state().unwrap();
    assert_eq!(state.problem, None);
    assert!(!state.running && !state.stopped, "{state:?}");
    state
}

fn files(bench: &Bench) -> Vec<(SegmentId, PathBuf, u64)> {
    let root = bench.dir.path().join("data/pool/segments");
    bench
        .service
        .store
        .list_from(FIRST_SEGMENT)
        .unwrap()
        .into_iter()
        .map(|id| {
            let path = root.join(format!("{:07x}/{id}.seg", id.get() >> 12));
            let len = std::fs::metadata(&path).unwrap().len();
            (id, path, len)
        })
        .collect()
}

fn flip(path: &PathBuf, at: u64, bit: u8) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1 << bit]).unwrap();
}

/// The sectors that cannot be read, resource by resource, by reading everything.
fn unreadable(bench: &Bench) -> BTreeMap<String, Vec<u64>> {
    let mut out = BTreeMap::new();
    let core = &bench.service.core;
    let named = core.catalog.read(super::super::reports::everything).unwrap();
    for (source, map) in named {
        let sectors = map.size.div_ceil(512);
        let export = match &source {
            archipelago_model::Source::Volume(name) => name.to_string(),
            other => other.to_string(),
        };
        let mut lost = Vec::new();
        match bench.service.open_device(&export) {
            Err(_) => lost.extend(0..sectors),
            Ok(device) => {
                for from in (0..sectors).step_by(64) {
                    let to = (from + 64).min(sectors);
                    let mut bytes = vec![0; (to - from) as usize * 512];
                    if device.read(from * 512, &mut bytes).is_err() {
                        let fails = |s: &u64| device.read(s * 512, &mut [0; 512]).is_err();
                        lost.extend((from..to).filter(fails));
                    }
                }
            }
        }
        if !lost.is_empty() {
            out.insert(source.to_string(), lost);
        }
    }
    out
}

/// The sectors that the damage is said to touch.
fn named(damages: &Damages) -> BTreeMap<String, Vec<u64>> {
    let mut out: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for touch in damages.damages.iter().flat_map(|damage| &damage.touches) {
        let sectors = out.entry(touch.source.to_string()).or_default();
        for (offset, len) in &touch.stretches {
            sectors.extend(offset / 512..(offset + len).div_ceil(512));
        }
    }
    for sectors in out.values_mut() {
        sectors.sort_unstable();
        sectors.dedup();
    }
    out
}

/// Flips bits one after the other; each must be found where it is, and be said to touch
/// exactly what cannot be read. Gives how many touched something.
fn campaign(flips: u64, seed: u64) -> u64 {
    let mut bench = world();
    bench.reopen();
    let mut touching = 0;
    let random = noise(seed, flips as usize * 9);
    for random in random.chunks_exact(9) {
        bench.service.close().unwrap();
        // Anew each time: closing makes a backup of the catalog.
        let files = files(&bench);
        let bytes: u64 = files.iter().map(|(_, _, len)| len).sum();
        // By bytes of the pool, so that each is as likely.
        let mut at = u64::from_le_bytes(random[..8].try_into().unwrap()) % bytes;
        let (id, path, _) = files
            .iter()
            .find(|(_, _, len)| {
                let here = at < *len;
                at -= if here { 0 } else { *len };
                here
            })
            .unwrap();
        flip(path, at, random[8] % 8);
        bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
        let state = scrub(&bench);
        assert_eq!(state.damages, 1, "byte {at} of {id}");
        let damages = bench.service.damages().unwrap();
        assert!(damages.complete);
        let found = &damages.damages[0];
        assert_eq!(found.segment, Some(*id));
        let covered = found.offset..found.offset + found.bytes;
        assert!(covered.contains(&at), "byte {at} of {id}: {found:?}");
        let expected = unreadable(&bench);
        assert_eq!(named(&damages), expected, "byte {at} of {id}: {found:?}");
        touching += u64::from(!expected.is_empty());
        if path.exists() {
            flip(path, at, random[8] % 8);
        }
    }
    bench.reopen();
    assert_eq!(scrub(&bench).damages, 0, "what is whole again is not told any more");
    touching
}

#[test]
fn flipped_bits_are_found_and_named_with_all_they_touch() {
    assert!(campaign(FLIPS, 1) > 0);
}

#[test]
#[ignore = "a thousand by default: FLIPS=1000 SEED=1 cargo test -p archipelago-pool --lib -- --ignored --nocapture many_flipped"]
fn many_flipped_bits_are_found_and_named() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (flips, seed) = (number("FLIPS", 1000), number("SEED", 1));
    let touching = campaign(flips, seed);
    println!("{flips} of {flips} flips found, none misnamed; {touching} touched resources");
}

#[test]
fn damage_that_no_reader_needs_touches_nothing_and_is_a_problem_all_the_same() {
    let mut bench = world();
    bench.reopen();
    assert_eq!(scrub(&bench).damages, 0);
    assert_eq!(bench.service.status().problem, None);
    let (_, path, _) = files(&bench).remove(0);
    // In the header of the segment, which only recovery reads.
    flip(&path, 100, 0);
    assert_eq!(scrub(&bench).damages, 1);
    let damages = bench.service.damages().unwrap();
    assert_eq!(damages.damages[0].touches, []);
    assert!(bench.service.status().problem.unwrap().contains("damaged"));
}

#[test]
fn damage_of_what_nobody_names_any_more_is_forgotten() {
    let bench = Bench::new();
    bench.import("one", &stream(&noise(1, MIB as usize))).unwrap();
    let (_, path, len) = files(&bench)[0].clone();
    flip(&path, len - 1, 1);
    assert_eq!(scrub(&bench).damages, 1);
    bench.service.image_remove(&"one".parse().unwrap()).unwrap();
    let wanted = crate::service::Collection { thorough: true, now: false, budget: None };
    assert_eq!(bench.service.collect(wanted).unwrap().condemned, 1);
    assert_eq!(scrub(&bench).damages, 0);
}

#[test]
fn damage_of_a_moved_segment_whose_file_is_gone_is_forgotten() {
    let mut bench = Bench::new();
    bench.create("web", 4 * MIB);
    bench.put("web", 0, &noise(1, 2 << 20));
    bench.service.core.engine.rest_log().unwrap();
    let (_, path, len) = files(&bench)[0].clone();
    let wanted = crate::service::Collection { thorough: true, now: false, budget: None };
    assert!(bench.service.collect(wanted).unwrap().compacted > 0);
    flip(&path, len - 1, 1);
    assert_eq!(scrub(&bench).damages, 1);
    // As a crash between the removal of the file and the note of it leaves it.
    std::fs::remove_file(path).unwrap();
    bench.crash();
    assert_eq!(scrub(&bench).damages, 0);
}

#[test]
fn what_a_crash_tore_is_no_damage() {
    let mut bench = world();
    bench.tear();
    assert_eq!(scrub(&bench).damages, 0);
    // Recovery does not look at it any more, and the collector has found it.
    bench.reopen();
    let wanted = crate::service::Collection { thorough: true, now: false, budget: None };
    assert!(bench.service.collect(wanted).unwrap().condemned > 0);
    assert_eq!(scrub(&bench).damages, 0);
}

#[test]
fn what_a_live_volume_has_in_its_overlay_is_named_too() {
    let bench = world();
    bench.put("web", 0, &noise(77, 4096));
    // Sealed under the overlay, which no map has yet.
    bench.service.core.engine.rest_log().unwrap();
    bench.service.core.checkpoint(&[], false, |_, _| Ok(())).unwrap();
    let wanted = noise(77, 4096);
    let (path, at) = files(&bench)
        .into_iter()
        .find_map(|(_, path, _)| {
            let body = std::fs::read(&path).unwrap();
            let at = body.windows(4096).position(|window| window == wanted)?;
            Some((path, at))
        })
        .unwrap();
    flip(&path, at as u64 + 9, 3);
    scrub(&bench);
    let damages = bench.service.damages().unwrap();
    let touches = &damages.damages[0].touches;
    assert_eq!(touches.len(), 1, "{touches:?}");
    assert_eq!(touches[0].source.to_string(), "volume:web");
    assert_eq!(touches[0].stretches, [(0, 4096)]);
}

#[test]
fn a_file_that_is_gone_is_found() {
    let mut bench = world();
    bench.reopen();
    let (id, path, _) = files(&bench).remove(0);
    std::fs::remove_file(path).unwrap();
    bench.reopen();
    assert_eq!(scrub(&bench).damages, 1);
    let damages = bench.service.damages().unwrap();
    assert_eq!(damages.damages[0].segment, Some(id));
    assert!(damages.damages[0].what.contains("missing"));
}

#[test]
fn what_a_crash_left_is_no_damage_also_once_it_is_condemned() {
    let bench = world();
    let id = SegmentId::new(1 << 30).unwrap();
    let torn = bench.service.store.create(id, 8192).unwrap();
    torn.write_at(0, &[std::io::IoSlice::new(&noise(1, 4096))]).unwrap();
    assert_eq!(scrub(&bench).damages, 0);
    let catalog = &bench.service.core.catalog;
    let place = archipelago_model::PoolId::FIRST;
    catalog.write(|tx| segment::condemn_unrecorded(tx, id, place, 8192)).unwrap();
    assert_eq!(scrub(&bench).damages, 0);
}

/// A write that failed half-way over another one may leave a node that is whole, and
/// behind it the rest of the other.
#[test]
fn behind_the_pieces_that_recovery_takes_there_are_zeros() {
    let mut bench = Bench::new();
    bench.create("web", MIB);
    bench.put("web", 0, &noise(1, 4096));
    bench.snapshot("web@s").unwrap();
    bench.service.abandon();
    let mut dirty = 0;
    for (_, path, _) in files(&bench) {
        let mut bytes = std::fs::read(&path).unwrap();
        for sector in bytes.chunks_mut(512).filter(|sector| sector.starts_with(b"MN")) {
            sector[511] = 0xee;
            dirty += 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(dirty > 0);
    bench.service = crate::testing::open(&bench.dir.path().join("data")).unwrap();
    assert_eq!(scrub(&bench).damages, 0);
}

#[test]
fn a_damaged_store_file_is_found() {
    let bench = world();
    flip(&bench.dir.path().join("data/STORE"), 40, 1);
    assert_eq!(scrub(&bench).damages, 1);
    assert_eq!(bench.service.damages().unwrap().damages[0].segment, None);
}

#[test]
fn a_scrub_goes_on_where_it_was_stopped_and_after_a_restart() {
    let mut bench = world();
    bench.reopen();
    // So slow that it is stopped on the way.
    bench.service.scrub(ScrubOptions { restart: true, rate: Some(1) }).unwrap();
    let stopped = bench.service.scrub_stop().unwrap();
    assert!(stopped.stopped && !stopped.running, "{stopped:?}");
    let row = bench.service.core.catalog.read(scrub::get).unwrap().unwrap();
    assert!(row.next > 0);
    // A stop of the program is no stop of the scrub.
    bench.service.scrub(ScrubOptions { restart: false, rate: Some(1) }).unwrap();
    bench.reopen();
    assert!(bench.service.scrub_state().unwrap().running);
    // Another rate holds at once, and not when the time for the next byte has come.
    bench.service.scrub(ScrubOptions::default()).unwrap();
    bench.service.scrubber.join();
    let state = bench.service.scrub_state().unwrap();
    assert!(!state.stopped && state.finished_ms.is_some(), "{state:?}");
    assert_eq!(state.bytes, files(&bench).iter().map(|(_, _, len)| len).sum::<u64>());
}

#[test]
fn a_scrub_that_goes_on_after_a_restart_keeps_to_its_rate() {
    let mut bench = world();
    bench.reopen();
    bench.service.scrub(ScrubOptions { restart: true, rate: Some(5) }).unwrap();
    bench.reopen();
    let state = bench.service.scrub_state().unwrap();
    assert_eq!((state.running, state.rate), (true, Some(5)));
    // The rate that one under way got later, too.
    bench.service.scrub(ScrubOptions { restart: false, rate: Some(7) }).unwrap();
    bench.reopen();
    let state = bench.service.scrub_state().unwrap();
    assert_eq!((state.running, state.rate), (true, Some(7)));
    bench.service.scrub(ScrubOptions::default()).unwrap();
    bench.reopen();
    bench.service.scrubber.join();
    assert_eq!(bench.service.scrub_state().unwrap().rate, None);
}

#[test]
fn a_scrub_that_panics_has_failed_and_may_be_begun_again() {
    let bench = world();
    let scrubber = &bench.service.scrubber;
    scrubber.running.store(true, Ordering::Release);
    let panicked = std::thread::scope(|scope| {
        let body = || {
            let _end = End(scrubber);
            panic!("as a defect would");
        };
        scope.spawn(body).join().is_err()
    });
    assert!(panicked);
    let state = bench.service.scrub_state().unwrap();
    assert!(!state.running && state.problem.unwrap().contains("panicked"));
    assert_eq!(scrub(&bench).damages, 0);
}

#[test]
fn a_scrub_keeps_to_its_rate() {
    let mut bench = world();
    bench.reopen();
    let bytes: u64 = files(&bench).iter().map(|(_, _, len)| len).sum();
    let clock = bench.service.core.env.clock();
    let begun = clock.monotonic();
    bench.service.scrub(ScrubOptions { restart: true, rate: Some(bytes) }).unwrap();
    bench.service.scrubber.join();
    let took = clock.monotonic() - begun;
    assert!(took >= Duration::from_millis(600), "{bytes} bytes in {took:?}");
}

#[test]
fn a_scrub_runs_beside_guests_that_write() {
    let bench = world();
    let device = bench.device("web");
    bench.service.scrub(ScrubOptions::default()).unwrap();
    for n in 0..200u64 {
        let bytes = noise(n, 4096);
        device.write(&[Change::Data { offset: n % 256 * 4096, bytes: &bytes }]).unwrap();
    }
    bench.service.scrubber.join();
    let state = bench.service.scrub_state().unwrap();
    assert_eq!((state.damages, state.problem), (0, None));
    assert!(bench.service.volume(&vol("web")).is_ok());
}
