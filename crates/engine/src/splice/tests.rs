//! Facts about splicing: it reads as its stretches do, and writes no data.

use archipelago_model::Location;

use super::{Move, Stretch};
use crate::engine::Engine;
use crate::error::Error;
use crate::ingest::Piece;
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

fn read(engine: &Engine, root: Location, len: usize) -> Vec<u8> {
    let mut out = vec![0; len.next_multiple_of(512)];
    engine.view(root, len as u64).unwrap().read(0, &mut out).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0));
    out.truncate(len);
    out
}

#[test]
fn stretches_read_one_behind_the_other_and_no_data_is_written() {
    let engine = Rig::new().open();
    let (a, mut b) = (noise(1, 1 << 20), noise(2, (1 << 20) + 77));
    b[8192..65536].fill(0);
    let (root_a, root_b) = (store(&engine, &a), store(&engine, &b));
    let stretches = [
        Stretch { root: root_a, offset: 512, len: 7 * 512 },
        Stretch { root: Location::HOLE, offset: 0, len: 1024 },
        Stretch { root: root_b, offset: 0, len: 1 << 20 },
        Stretch { root: root_b, offset: 4096, len: b.len() as u64 - 4096 },
    ];
    let done = engine.splice(&stretches).unwrap();
    let wanted = [&a[512..8 * 512], &[0; 1024], &b[..1 << 20], &b[4096..]].concat();
    assert!(read(&engine, *done.root.get(), wanted.len()) == wanted);
    assert!(done.stats.stored_bytes < 16384, "{:?}", done.stats);
}

#[test]
fn more_extents_than_may_be_are_told_and_no_map_is_made() {
    let engine = Rig::new().open();
    let root = store(&engine, &noise(3, 1 << 20));
    let one = Stretch { root, offset: 0, len: 1 << 20 };
    let extents = engine.extents(root, 1 << 20).unwrap();
    assert!(engine.splice_within(&[one; 3], 3 * extents - 1).unwrap().is_none());
    let done = engine.splice_within(&[one; 3], 3 * extents).unwrap().unwrap();
    assert!(read(&engine, *done.root.get(), 3 << 20) == noise(3, 1 << 20).repeat(3));
}

#[test]
fn what_is_all_zero_has_no_map() {
    let engine = Rig::new().open();
    let done = engine.splice(&[Stretch { root: Location::HOLE, offset: 0, len: 4096 }]).unwrap();
    assert!(done.root.get().is_hole());
    assert!(done.sealed.is_empty());
}

#[test]
fn a_stretch_inside_a_sector_is_refused() {
    let engine = Rig::new().open();
    let hole = |offset, len| Stretch { root: Location::HOLE, offset, len };
    for stretches in [vec![hole(1, 512)], vec![hole(0, 511), hole(0, 512)]] {
        assert!(matches!(engine.splice(&stretches), Err(Error::Unaligned { .. })));
    }
    let endless = [hole(0, u64::MAX / 512 * 512)];
    assert!(matches!(engine.splice(&endless), Err(Error::OutOfRange { .. })));
}

#[test]
fn moves_show_a_map_in_another_order_and_no_data_is_written() {
    let engine = Rig::new().open();
    let bytes = noise(7, 1 << 20);
    let root = store(&engine, &bytes);
    let moves = [(65536, 512, 512), (0, 4096, 8192), (512 * 1000, 12288, 512 * 900)];
    let mut moves = moves.map(|(from, to, len)| Move { from, to, len }).into_iter();
    let done = engine.rearrange(root, &mut |_| Ok(moves.next())).unwrap();
    let mut wanted = vec![0; 12288 + 512 * 900];
    wanted[512..1024].copy_from_slice(&bytes[65536..65536 + 512]);
    wanted[4096..12288].copy_from_slice(&bytes[..8192]);
    wanted[12288..].copy_from_slice(&bytes[512_000..512_000 + 512 * 900]);
    assert!(read(&engine, *done.root.get(), wanted.len()) == wanted);
    assert!(done.stats.stored_bytes < 16384, "{:?}", done.stats);
}

#[test]
fn moves_that_descend_or_are_within_a_sector_are_refused() {
    let engine = Rig::new().open();
    for (from, to, len) in [(0, 1, 512), (7, 0, 512), (0, 0, 3)] {
        let mut one = Some(Move { from, to, len });
        assert!(engine.rearrange(Location::HOLE, &mut |_| Ok(one.take())).is_err());
    }
    let mut two = [4096, 0].map(|to| Move { from: 0, to, len: 4096 }).into_iter();
    assert!(engine.rearrange(Location::HOLE, &mut |_| Ok(two.next())).is_err());
}

#[test]
fn extents_are_counted_and_told_while_they_are_moved() {
    let engine = Rig::new().open();
    let mut bytes = noise(7, 1 << 20);
    bytes[65536..131_072].fill(0);
    let root = store(&engine, &bytes);
    let all = engine.extents(root, 1 << 20).unwrap();
    assert!((2..=256).contains(&all), "{all}");
    assert!(engine.extents(root, 65536).unwrap() < all);
    assert_eq!(engine.extents(Location::HOLE, 1 << 20).unwrap(), 0);
    let mut moves = [0, 1 << 20].map(|to| Move { from: 0, to, len: 1 << 20 }).into_iter();
    let mut told = Vec::new();
    let next = &mut |extents| {
        told.push(extents);
        Ok(moves.next())
    };
    engine.rearrange(root, next).unwrap();
    assert_eq!(told, [0, all, 2 * all]);
}
