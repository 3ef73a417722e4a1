//! Ingest as a whole: what is shared, what is stored, what reads back.

mod faults;
pub(super) mod world;

use std::collections::HashSet;

use archipelago_format::segment::Codec;
use archipelago_model::BLOCK_BYTES;

use self::world::{World, blocks, random, text};
use super::window::fingerprint;
use super::*;

const MIB: usize = 1 << 20;

#[test]
fn what_went_in_reads_back() {
    let world = World::new();
    for (seed, len) in [(1, 1), (2, 511), (3, 4096), (4, 70_000), (5, 9 * MIB + 513)] {
        let bytes = [random(seed, len / 2), text(len - len / 2)].concat();
        let ingested = world.ingest(&bytes);
        assert_eq!(world.read(*ingested.root.get(), bytes.len()), bytes);
        assert_eq!(ingested.stats.bytes_in, len as u64);
    }
}

#[test]
fn the_same_bytes_again_add_less_than_a_hundredth() {
    let world = World::new();
    let mut bytes = [random(1, 5 * MIB), text(5 * MIB), random(2, 3 * MIB + 1000)].concat();
    // Holes, so that runs have to bridge zeros, and blocks that repeat.
    for n in (0..bytes.len() / 4096).step_by(11) {
        bytes[n * 4096..][..4096].fill(if n % 2 == 0 { 0 } else { 0xff });
    }
    let first = world.ingest(&bytes);
    let again = world.ingest(&bytes);
    assert_eq!(world.read(*again.root.get(), bytes.len()), bytes);
    assert!(again.stats.stored_bytes * 100 < first.stats.stored_bytes, "{again:?}");
    assert!(again.named.iter().all(|id| first.sealed.iter().any(|info| info.id == *id)));
    assert!(!again.named.is_empty());
    assert!(again.stats.duplicate_bytes + again.stats.zero_bytes <= bytes.len() as u64);
}

#[test]
fn an_image_of_zeros_stores_nothing() {
    let world = World::new();
    let ingested = world.ingest(&vec![0; 3 * MIB + 100]);
    assert_eq!(*ingested.root.get(), Location::HOLE);
    assert_eq!(ingested.sealed, []);
    assert_eq!(ingested.stats.zero_bytes, 3 * MIB as u64 + 100);
    assert_eq!(world.store_bytes(), 0);
}

#[test]
fn zero_blocks_amid_data_are_stored_nowhere() {
    let world = World::new();
    let mut bytes = random(1, 8 * MIB);
    for n in (0..bytes.len() / 4096).filter(|n| n % 4 != 0) {
        bytes[n * 4096..][..4096].fill(0);
    }
    let ingested = world.ingest(&bytes);
    assert_eq!(world.read(*ingested.root.get(), bytes.len()), bytes);
    let kept = bytes.len() as u64 / 4;
    assert!(ingested.stats.stored_bytes < kept + kept / 20, "{:?}", ingested.stats);
    assert_eq!(ingested.stats.zero_bytes, kept * 3);
}

#[test]
fn random_data_is_stored_once_and_raw() {
    let world = World::new();
    let bytes = random(7, 6 * MIB);
    let ingested = world.ingest(&bytes);
    assert!(ingested.stats.stored_bytes < bytes.len() as u64 * 102 / 100);
    for info in &ingested.sealed {
        let directory = world.segments.directory(info.id).unwrap();
        let pages = world.slot_pages(&directory);
        let slots = pages.iter().flat_map(|page| &page.slots);
        assert!(slots.filter(|slot| slot.stored > 8192).all(|slot| slot.codec == Codec::Raw));
    }
}

#[test]
fn text_takes_less_than_half() {
    let world = World::new();
    let bytes = text(4 * MIB);
    assert!(world.ingest(&bytes).stats.stored_bytes < bytes.len() as u64 / 2);
}

/// Two images that share most of their files, each laid out anew: what the exact
/// list of all blocks finds, and what ingest finds.
#[test]
fn shuffled_images_share_nine_tenths_of_what_an_exact_index_finds() {
    let world = World::with_segment_bytes(MIB as u64);
    let file = |n: u64| random(1000 + n, (16 + (n * 37 % 240) as usize) * 4096);
    let first: Vec<u8> = (0..48).map(|n| n * 29 % 48).flat_map(file).collect();
    let second: Vec<u8> = (0..60).map(|n| n * 23 % 60).flat_map(file).collect();
    world.ingest(&first);
    let known: HashSet<u128> = blocks(&first).map(|b| fingerprint(&world::KEY, b)).collect();
    let exact = blocks(&second).filter(|b| known.contains(&fingerprint(&world::KEY, b))).count();
    let shared = world.ingest(&second).stats.duplicate_bytes / BLOCK_BYTES;
    assert!(exact > 1000);
    assert!(shared * 10 >= exact as u64 * 9, "{shared} of {exact} blocks");
}

#[test]
fn a_lost_index_costs_only_space_and_is_rebuilt_from_footers() {
    let mut world = World::new();
    let bytes = random(1, 4 * MIB);
    let first = world.ingest(&bytes);
    world.restart();
    let blind = world.ingest(&bytes);
    assert_eq!(world.read(*blind.root.get(), bytes.len()), bytes);
    assert!(blind.stats.stored_bytes > 4 * MIB as u64);
    world.restart();
    let ids = world.ids();
    assert_eq!(learn(&world.context, &ids), ids.len() as u64);
    let seeing = world.ingest(&bytes);
    assert_eq!(seeing.stats.duplicate_bytes, 4 * MIB as u64);
    assert_eq!(world.read(*first.root.get(), bytes.len()), bytes);
}

#[test]
fn a_repeated_stretch_is_found_within_one_ingest() {
    let world = World::with_segment_bytes(MIB as u64);
    let stretch = random(1, 256 << 10);
    let bytes = stretch.repeat(32);
    let ingested = world.ingest(&bytes);
    assert_eq!(world.read(*ingested.root.get(), bytes.len()), bytes);
    assert!(ingested.stats.stored_bytes < MIB as u64, "{:?}", ingested.stats);
    assert_eq!(ingested.named, []);
}

#[test]
fn a_run_of_fewer_than_eight_blocks_is_written_again() {
    let world = World::new();
    let old = random(1, 4 * MIB);
    world.ingest(&old);
    let short = [&random(2, 4 * MIB)[..], &old[..7 * 4096], &random(3, MIB)[..]].concat();
    assert_eq!(world.ingest(&short).stats.duplicate_bytes, 0);
}

#[test]
fn only_what_the_pieces_mention_changes_in_a_base() {
    let world = World::new();
    let mut bytes = random(1, 2 * MIB);
    let base = *world.ingest(&bytes).root.get();
    bytes[MIB..MIB + 8192].copy_from_slice(&random(2, 8192));
    bytes[4096..4096 + 512].fill(0);
    bytes[MIB + 8192..MIB + 12288].fill(0);
    let pieces = vec![
        Piece::Zero { offset: 4096, len: 512 },
        Piece::Data { offset: MIB as u64, bytes: bytes[MIB..MIB + 12288].to_vec() },
    ];
    let changed = world.ingest_pieces(base, bytes.len() as u64, pieces).unwrap();
    assert_eq!(world.read(*changed.root.get(), bytes.len()), bytes);
    assert!(changed.stats.stored_bytes < 64 << 10);
}

#[test]
fn pieces_that_change_nothing_give_the_base_back() {
    let world = World::new();
    let base = *world.ingest(&random(1, MIB)).root.get();
    let same = world.ingest_pieces(base, MIB as u64, Vec::new()).unwrap();
    assert_eq!((*same.root.get(), same.sealed.len()), (base, 0));
}

#[test]
fn what_a_smaller_size_cuts_off_does_not_come_back() {
    let world = World::new();
    let base = *world.ingest(&random(1, MIB)).root.get();
    let small = *world.ingest_pieces(base, 4096, Vec::new()).unwrap().root.get();
    assert!(world.read(small, MIB)[4096..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_long_chain_of_changes_keeps_a_short_stack_of_runs() {
    let world = World::new();
    let mut bytes = random(1, MIB);
    let mut root = *world.ingest(&bytes).root.get();
    for n in 0..60 {
        let at = (n * 31 % 256) * 4096;
        bytes[at..at + 4096].copy_from_slice(&random(100 + n as u64, 4096));
        let piece = Piece::Data { offset: at as u64, bytes: bytes[at..at + 4096].to_vec() };
        root = *world.ingest_pieces(root, MIB as u64, vec![piece]).unwrap().root.get();
    }
    assert_eq!(world.read(root, MIB), bytes);
    let runs = world.context.nodes.root(root).unwrap().len();
    assert!(runs < 20, "{runs} runs");
}

#[test]
fn scattered_zeros_in_any_number_wait_in_bounded_memory() {
    let world = World::new();
    let bytes = random(1, 2 * MIB);
    let base = *world.ingest(&bytes).root.get();
    let zeros = (0..4096).step_by(2);
    let pieces = zeros.clone().map(|n| Piece::Zero { offset: n * 512, len: 512 }).collect();
    let root = *world.ingest_pieces(base, 2 * MIB as u64, pieces).unwrap().root.get();
    let mut expected = bytes;
    for n in zeros {
        expected[n as usize * 512..][..512].fill(0);
    }
    assert_eq!(world.read(root, expected.len()), expected);
}

#[test]
fn ingests_at_the_same_time_do_not_disturb_each_other() {
    let world = World::with_segment_bytes(MIB as u64);
    let common = random(1, 2 * MIB);
    std::thread::scope(|scope| {
        for seed in 2..5 {
            let (world, common) = (&world, &common);
            scope.spawn(move || {
                let bytes = [&random(seed, MIB)[..], common, &random(seed + 10, MIB)[..]].concat();
                let ingested = world.ingest(&bytes);
                assert_eq!(world.read(*ingested.root.get(), bytes.len()), bytes);
            });
        }
    });
}

#[test]
fn pieces_out_of_order_or_out_of_bounds_are_refused() {
    let world = World::new();
    let data = |offset, len| Piece::Data { offset, bytes: vec![1; len] };
    for pieces in [
        vec![data(4096, 4096), data(0, 4096)],
        vec![data(0, 8192), data(4096, 4096)],
        vec![data(65536, 1)],
        vec![Piece::Zero { offset: 4096, len: u64::MAX }],
        vec![data(512, 4096)],
        vec![data(0, 100), data(4096, 4096)],
        vec![Piece::Zero { offset: 100, len: 512 }],
    ] {
        let refused = world.ingest_pieces(Location::HOLE, 65536, pieces.clone());
        assert!(matches!(refused, Err(IngestError::Source(_))), "{pieces:?}");
    }
    let huge = world.ingest_pieces(Location::HOLE, VOLUME_BYTES_MAX + 1, Vec::new());
    assert!(matches!(huge, Err(IngestError::Source(_))));
    assert_eq!(world.ids(), []);
}

/// Blocks from a small alphabet make runs of every length, in every segment, and
/// blocks that repeat; edits of random places put runs on runs.
#[test]
fn any_mixture_of_repeats_zeros_and_edits_reads_back() {
    for seed in 0..6u64 {
        let world = World::with_segment_bytes(256 << 10);
        let dice = random(seed, 1 << 16);
        let mut dice =
            dice.chunks_exact(2).map(|two| usize::from(two[0]) << 8 | usize::from(two[1]));
        let mut roll = |sides: usize| dice.next().unwrap() % sides;
        let mut block = |kinds: usize| match roll(kinds) {
            0 => vec![0; 4096],
            kind => random(kind as u64, 4096),
        };
        let mut root = Location::HOLE;
        let tail = seed * 777 % 4096;
        let mut bytes = vec![0; 1500 * 4096 + tail as usize];
        for round in 0..3 {
            let mut pieces = Vec::new();
            for (n, part) in bytes.chunks_mut(64 * 4096).enumerate() {
                if round > 0 && n % 3 == round {
                    continue;
                }
                for place in part.chunks_mut(4096) {
                    let new = block(12 << (n % 5));
                    place.copy_from_slice(&new[..place.len()]);
                }
                let offset = n as u64 * 64 * 4096;
                pieces.push(Piece::Data { offset, bytes: part.to_vec() });
            }
            root = *world.ingest_pieces(root, bytes.len() as u64, pieces).unwrap().root.get();
            assert!(world.read(root, bytes.len()) == bytes, "seed {seed}, round {round}");
        }
    }
}
