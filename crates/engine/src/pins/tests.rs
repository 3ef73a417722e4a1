//! Facts about what is held without a name.

use super::*;

fn id(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

#[test]
fn a_root_is_held_until_its_last_pin_goes() {
    let pins = Arc::new(Pins::default());
    let root = Location::start_of(id(3));
    let (one, two) = (pins.root(root), pins.root(root));
    drop(one);
    assert_eq!(pins.roots(), [root]);
    drop(two);
    assert_eq!(pins.roots(), []);
}

#[test]
fn the_horizon_is_where_the_oldest_checkpoint_under_way_began() {
    let pins = Arc::new(Pins::default());
    let at = |raw| move || Some(id(raw));
    let first = pins.under_way(at(5));
    let _second = pins.under_way(at(7));
    assert_eq!(pins.horizon(at(9)).0, id(5));
    drop(first);
    assert_eq!(pins.horizon(at(9)).0, id(7));
    assert_eq!(pins.horizon(at(6)).0, id(6));
}

#[test]
fn segments_of_an_ingest_are_held_until_it_is_dropped() {
    let pins = Arc::new(Pins::default());
    let mut fresh = pins.fresh();
    let mut more = pins.fresh();
    fresh.add(id(1));
    more.add(id(2));
    fresh.join(more);
    assert_eq!(pins.horizon(|| None).1, HashSet::from([id(1), id(2)]));
    drop(fresh);
    assert!(pins.horizon(|| None).1.is_empty());
}

#[test]
fn a_root_that_is_let_go_during_a_mark_is_held_by_it() {
    let pins = Arc::new(Pins::default());
    let root = Location::start_of(id(3));
    let pin = pins.root(root);
    pins.begin_mark();
    drop(pin);
    assert_eq!(pins.roots(), [root]);
    assert_eq!(pins.roots(), []);
}
