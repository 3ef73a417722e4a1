//! What the cache of lists keeps and what it lets go.

use archipelago_format::segment::Fingerprint;

use super::super::tests::world::{World, random};
use super::*;

fn segment(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

fn prints(blocks: u32) -> Arc<Prints> {
    let list = (0..blocks).map(|n| Fingerprint { hash: u128::from(n), position: n * 8 });
    Arc::new(Prints::from_list(list.collect()))
}

#[test]
fn memory_stays_bounded_and_the_longest_unused_goes_first() {
    let world = World::new();
    let each = prints(100).bytes();
    let lists = Lists::new(each * 3);
    for n in 1..=3 {
        lists.keep(segment(n), prints(100));
    }
    assert_eq!(lists.get(&world.segments, segment(1)).list().len(), 100);
    lists.keep(segment(4), prints(100));
    assert_eq!(lists.bytes(), each * 3);
    assert_eq!(lists.get(&world.segments, segment(1)).list().len(), 100);
    assert_eq!(lists.get(&world.segments, segment(2)).list().len(), 0);
}

#[test]
fn many_small_lists_are_bounded_by_number() {
    let lists = Lists::new(LIST_BYTES_MAX);
    for n in 1..=2000 {
        lists.keep(segment(n), prints(1));
    }
    assert_eq!(lists.kept.lock().by_segment.len(), LISTS_MAX);
}

#[test]
fn a_list_that_is_not_here_is_read_from_the_segment() {
    let world = World::new();
    let id = world.ingest(&random(1, 1 << 20)).sealed[0].id;
    let lists = Lists::new(LIST_BYTES_MAX);
    assert_eq!(lists.get(&world.segments, id).list().len(), 256);
}

#[test]
fn a_list_that_cannot_be_read_counts_as_empty_and_is_asked_for_once() {
    let world = World::new();
    let lists = Lists::new(LIST_BYTES_MAX);
    for _ in 0..3 {
        assert_eq!(lists.get(&world.segments, segment(77)).list().len(), 0);
    }
    assert_eq!(lists.unreadable(), 1);
}
