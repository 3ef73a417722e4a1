//! Facts about edits: each reads as an array would, whatever it shares a sector with, and it
//! costs what it changes.

use archipelago_format::node::{Node, Run};
use archipelago_model::{Extent, Location};
use proptest::prelude::*;

use super::{Content, EXTENTS_MAX, Edit, RUNS_BEFORE_FORCED_MERGE, Rebased};
use crate::engine::Engine;
use crate::error::Error;
use crate::ingest::{ColdWriter, Compression, Piece};
use crate::map::{NodeSink, RunBuilder};
use crate::testing::Rig;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

fn store(engine: &Engine, bytes: &[u8]) -> Location {
    let mut piece = Some(Piece::Data { offset: 0, bytes: bytes.to_vec() });
    let done = engine.ingest(Location::HOLE, bytes.len() as u64, &mut || Ok(piece.take())).unwrap();
    *done.root.get()
}

/// All of a map, which must show zeros behind its end.
fn read(engine: &Engine, root: Location, len: usize) -> Vec<u8> {
    let mut out = vec![1; len.next_multiple_of(512) + 65536];
    engine.view(root, out.len() as u64).unwrap().read(0, &mut out).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0), "beyond the end at {len}");
    out.truncate(len);
    out
}

fn stored_bytes(done: &Rebased) -> u64 {
    done.sealed.iter().map(|info| info.stored_bytes).sum()
}

fn runs(engine: &Engine, root: Location) -> usize {
    engine.shared().nodes.root(root).unwrap().len()
}

fn bytes_at(at: u64, bytes: &[u8], size: u64) -> Edit<'_> {
    Edit { at, content: Content::Bytes(bytes), size }
}

#[test]
fn two_edits_of_one_sector_both_stay() {
    let engine = Rig::new().open();
    let old = noise(1, 2000);
    let root = store(&engine, &old);
    let edits = [bytes_at(600, b"left", 2000), bytes_at(604, b"right", 2000)];
    let done = engine.rebase(root, 2000, &edits, true).unwrap();
    let mut wanted = old;
    wanted[600..604].copy_from_slice(b"left");
    assert!(read(&engine, *done.roots[0].get(), 2000) == wanted);
    wanted[604..609].copy_from_slice(b"right");
    assert!(read(&engine, *done.roots[1].get(), 2000) == wanted);
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    let engine = Rig::new().open();
    let old = noise(1, 100_000);
    let root = store(&engine, &old);
    let resize = |size| bytes_at(0, &[], size);
    let edits = [resize(70_001), resize(100_000)];
    let done = engine.rebase(root, 100_000, &edits, true).unwrap();
    assert!(read(&engine, *done.roots[0].get(), 70_001) == old[..70_001]);
    let mut wanted = old[..70_001].to_vec();
    wanted.resize(100_000, 0);
    assert!(read(&engine, *done.roots[1].get(), 100_000) == wanted);
}

#[test]
fn an_edit_that_changes_nothing_keeps_the_root() {
    let engine = Rig::new().open();
    let root = store(&engine, &noise(1, 5000));
    let done = engine.rebase(root, 5000, &[bytes_at(5000, &[], 5000)], false).unwrap();
    assert_eq!(*done.roots[0].get(), root);
    assert!(done.sealed.is_empty());
}

#[test]
fn a_stretch_that_begins_elsewhere_in_a_sector_is_refused() {
    let engine = Rig::new().open();
    let root = store(&engine, &noise(1, 5000));
    let content = Content::Map { root, offset: 1, len: 512 };
    let edit = Edit { at: 2, content, size: 600 };
    let refused = engine.rebase(Location::HOLE, 0, &[edit], false);
    assert!(matches!(refused, Err(Error::Unaligned { .. })));
    let far = bytes_at(u64::MAX - 1, b"abc", u64::MAX);
    let refused = engine.rebase(Location::HOLE, 0, &[far], false);
    assert!(matches!(refused, Err(Error::OutOfRange { .. })));
}

#[test]
fn a_stretch_of_no_bytes_may_begin_anywhere() {
    let engine = Rig::new().open();
    let root = store(&engine, &noise(1, 5000));
    let content = Content::Map { root, offset: 0, len: 0 };
    let edit = Edit { at: 3, content, size: 3 };
    let done = engine.rebase(Location::HOLE, 3, &[edit], false).unwrap();
    assert_eq!(*done.roots[0].get(), Location::HOLE);
}

/// A map of so many extents of a sector each, of every second sector, in one segment.
fn scattered(engine: &Engine, first: u64, extents: u64, at: Location) -> Location {
    let mut cold = ColdWriter::new(&engine.shared().ingest, 0, Compression::default());
    let mut builder = RunBuilder::new(&mut cold);
    for n in 0..extents {
        builder.push(Extent::new(2 * (first + n), 1, at).unwrap()).unwrap();
    }
    let run: Run = builder.finish().unwrap().unwrap();
    let root = cold.append_node(&Node::Root(vec![run]).encode()).unwrap();
    cold.finish(&[]).unwrap();
    root
}

#[test]
fn an_edit_costs_the_same_in_a_large_map() {
    let engine = Rig::new().open();
    let one = store(&engine, &noise(1, 512));
    let at = {
        let mut found = None;
        let runs = engine.shared().nodes.root(one).unwrap();
        let layers: Vec<_> = runs.iter().copied().map(crate::map::Layer::Run).collect();
        crate::map::visit_all(&engine.shared().nodes, &layers, 0..1, false, |extent| {
            found = Some(extent.location());
            Ok(())
        })
        .unwrap();
        found.unwrap()
    };
    let mut costs = Vec::new();
    for extents in [1000, 100_000, 1_000_000] {
        let root = scattered(&engine, 0, extents, at);
        let size = extents * 1024;
        let mut now = root;
        let mut cost = 0;
        for n in 0..16 {
            let bytes = noise(n, 700);
            let edit = [bytes_at(extents * 64 * n / 2, &bytes, size)];
            let done = engine.rebase(now, size, &edit, false).unwrap();
            cost = cost.max(stored_bytes(&done));
            now = *done.roots[0].get();
        }
        costs.push(cost);
    }
    println!("most bytes that an edit of 700 bytes stored: {costs:?}");
    assert!(costs.iter().all(|cost| *cost < 16 << 10), "{costs:?}");
}

#[test]
fn many_edits_leave_few_runs() {
    let engine = Rig::new().open();
    let mut model = noise(0, 1 << 20);
    let mut root = store(&engine, &model);
    for n in 0..300_usize {
        let at = n * 7919 % ((1 << 20) - 600);
        let bytes = noise(n as u64, 600);
        model[at..at + 600].copy_from_slice(&bytes);
        let edit = [bytes_at(at as u64, &bytes, 1 << 20)];
        root = *engine.rebase(root, 1 << 20, &edit, false).unwrap().roots[0].get();
        assert!(runs(&engine, root) < RUNS_BEFORE_FORCED_MERGE);
    }
    assert!(read(&engine, root, 1 << 20) == model);
}

#[test]
fn an_edit_of_many_extents_is_done_alone() {
    let engine = Rig::new().open();
    let base = noise(1, 10 << 20);
    let root = store(&engine, &base);
    // Every second sector is a hole: twice as many extents as are kept in memory.
    let mut holey = noise(2, EXTENTS_MAX * 1024);
    let edits: Vec<u8> = vec![0; 512];
    let mut source = store(&engine, &holey);
    let mut n = 0;
    while n < EXTENTS_MAX {
        let batch: Vec<Edit<'_>> = (n..(n + 500).min(EXTENTS_MAX))
            .map(|n| bytes_at(n as u64 * 1024, &edits, holey.len() as u64))
            .collect();
        let done = engine.rebase(source, holey.len() as u64, &batch, false).unwrap();
        source = *done.roots[0].get();
        n += done.done;
    }
    holey.chunks_exact_mut(1024).for_each(|two| two[..512].fill(0));
    let content = Content::Map { root: source, offset: 100, len: holey.len() as u64 - 200 };
    let (small, size) = (noise(3, 10), base.len() as u64);
    let edits = [
        bytes_at(1, &small, size),
        Edit { at: 512 * 3 + 100, content, size },
        bytes_at(2, &small, size),
    ];
    let mut wanted = base;
    wanted[1..11].copy_from_slice(&small);
    let first = engine.rebase(root, size, &edits, true).unwrap();
    assert_eq!(first.done, 1);
    let second = engine.rebase(*first.roots[0].get(), size, &edits[1..], true).unwrap();
    assert_eq!(second.done, 1);
    let len = holey.len() - 200;
    wanted[1636..1636 + len].copy_from_slice(&holey[100..100 + len]);
    assert!(read(&engine, *second.roots[0].get(), wanted.len()) == wanted);
}

/// An edit as it is drawn: where, what, how long it is afterwards.
#[derive(Clone, Debug)]
struct Drawn {
    at: usize,
    len: usize,
    /// Of which source, when it is not bytes; where there, in sectors.
    source: Option<(usize, usize)>,
    zeros: bool,
    cut: Option<usize>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let len = prop_oneof![0..600_usize, 0..20_000_usize, (0..40_usize).prop_map(|n| n * 512)];
    let at = prop_oneof![0..50_000_usize, (0..100_usize).prop_map(|n| n * 512)];
    let source = prop::option::of((0..2_usize, 0..20_usize));
    let cut = prop::option::weighted(0.2, 0..60_000_usize);
    (at, len, source, any::<bool>(), cut).prop_map(|(at, len, source, zeros, cut)| Drawn {
        at,
        len,
        source,
        zeros,
        cut,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn edits_read_as_those_of_an_array(
        size in 0..60_000_usize,
        batches in prop::collection::vec((prop::collection::vec(drawn(), 1..8), any::<bool>()), 1..8),
    ) {
        let engine = Rig::new().open();
        let sources = [noise(77, 80_000), [vec![0; 40_000], noise(78, 40_000)].concat()];
        let maps: Vec<Location> = sources.iter().map(|bytes| store(&engine, bytes)).collect();
        let mut model = noise(5, size);
        let mut root = store(&engine, &model);
        for (batch, every) in batches {
            let mut states = vec![model.clone()];
            let mut contents = Vec::new();
            for edit in &batch {
                let mut state = states.last().unwrap().clone();
                let bytes = match edit.source {
                    Some((source, sector)) => {
                        let from = sector * 512 + edit.at % 512;
                        sources[source][from..from + edit.len].to_vec()
                    }
                    None if edit.zeros => vec![0; edit.len],
                    None => noise(edit.at as u64, edit.len),
                };
                if edit.len > 0 {
                    let end = edit.at + edit.len;
                    state.resize(state.len().max(end), 0);
                    state[edit.at..end].copy_from_slice(&bytes);
                }
                if let Some(cut) = edit.cut {
                    state.resize(cut, 0);
                }
                contents.push(bytes);
                states.push(state);
            }
            let edits: Vec<Edit<'_>> = batch.iter().zip(&contents).zip(&states[1..]).map(
                |((edit, bytes), state)| Edit {
                    at: edit.at as u64,
                    content: match edit.source {
                        Some((source, sector)) => Content::Map {
                            root: maps[source],
                            offset: (sector * 512 + edit.at % 512) as u64,
                            len: edit.len as u64,
                        },
                        None => Content::Bytes(bytes),
                    },
                    size: state.len() as u64,
                },
            ).collect();
            let done = engine.rebase(root, model.len() as u64, &edits, every).unwrap();
            prop_assert_eq!(done.done, edits.len());
            let shown = if every { &states[1..] } else { &states[edits.len()..] };
            prop_assert_eq!(done.roots.len(), shown.len());
            for (root, state) in done.roots.iter().zip(shown) {
                prop_assert!(read(&engine, *root.get(), state.len()) == *state);
            }
            model = states.pop().unwrap();
            root = *done.roots.last().unwrap().get();
        }
    }
}
