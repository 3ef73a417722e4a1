//! What is in a cold segment, and what is left of one given up.

use archipelago_store::Store;

use super::super::tests::world::{World, random, text};
use super::*;

const CHUNK: usize = CHUNK_BYTES;

fn hashes(seed: u128) -> [u128; 16] {
    std::array::from_fn(|n| seed << 64 | n as u128)
}

#[test]
fn chunks_and_nodes_read_back_from_the_places_given() {
    let world = World::new();
    let mut cold = ColdWriter::new(&world.context, 1 << 20, Compression::Zstd);
    let (chunk, node) = (random(1, CHUNK), text(1000));
    let first = cold.append_chunk(&chunk, &hashes(1)).unwrap();
    let second = cold.append_node(&node).unwrap();
    let third = cold.append_chunk(&text(CHUNK), &hashes(2)).unwrap();
    assert_eq!((first.position(), second.position(), third.position()), (0, 128, 130));
    let (sealed, _fresh) = cold.finish(&[]).unwrap();
    assert_eq!(sealed.len(), 1);
    assert_eq!(sealed[0].stored_bytes, world.store.len(sealed[0].id).unwrap());
    let mut out = vec![0; CHUNK];
    world.segments.read(first, &mut out).unwrap();
    assert_eq!(out, chunk);
    assert_eq!(world.segments.read_slot(second).unwrap()[..1000], node);
    world.segments.read(third, &mut out).unwrap();
    assert_eq!(out, text(CHUNK));
    let prints = world.segments.fingerprints(sealed[0].id).unwrap();
    assert_eq!(prints.len(), 32);
    assert_eq!((prints[16].hash, prints[16].position), (hashes(2)[0], 130));
}

#[test]
fn a_segment_ends_where_its_stored_bytes_would_pass_the_limit() {
    let world = World::with_segment_bytes(1 << 20);
    let mut cold = ColdWriter::new(&world.context, 4 << 20, Compression::Zstd);
    for n in 0..40 {
        let location = cold.append_chunk(&random(n, CHUNK), &hashes(u128::from(n))).unwrap();
        assert!(cold.made(location.segment().unwrap()));
    }
    let (sealed, _fresh) = cold.finish(&[]).unwrap();
    assert_eq!(sealed.len(), 3);
    for info in sealed {
        assert!(world.segments.directory(info.id).unwrap().body_bytes <= 1 << 20);
    }
}

#[test]
fn a_segment_has_a_bounded_number_of_slots() {
    let world = World::new();
    let mut cold = ColdWriter::new(&world.context, 1 << 30, Compression::Off);
    for _ in 0..SLOTS_MAX + 1 {
        cold.append_node(&[1; 8]).unwrap();
    }
    let (sealed, _fresh) = cold.finish(&[]).unwrap();
    assert_eq!(sealed.len(), 2);
    assert_eq!(sealed[1].raw_bytes, 512);
}

#[test]
fn a_writer_given_up_removes_the_open_segment_and_keeps_the_sealed() {
    let world = World::with_segment_bytes(100 << 10);
    let mut cold = ColdWriter::new(&world.context, 1 << 20, Compression::Zstd);
    let first = cold.append_chunk(&random(1, CHUNK), &hashes(1)).unwrap();
    let second = cold.append_chunk(&random(2, CHUNK), &hashes(2)).unwrap();
    assert_ne!(first.segment(), second.segment());
    drop(cold);
    assert_eq!(world.ids(), [first.segment().unwrap()]);
}

#[test]
fn nothing_appended_makes_no_segment() {
    let world = World::new();
    let cold = ColdWriter::new(&world.context, 0, Compression::Zstd);
    assert_eq!(cold.finish(&[]).unwrap().0, []);
    assert_eq!(world.ids(), []);
}
