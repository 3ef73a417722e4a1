use archipelago_model::SegmentId;
use proptest::prelude::*;

use super::*;

fn at(position: u32) -> Location {
    Location::new(SegmentId::new(1).unwrap(), position).unwrap()
}

/// What every sector is, and since when.
fn flat(overlay: &Overlay, sectors: u64) -> Vec<Option<Location>> {
    let mut out = vec![None; sectors as usize];
    for extent in overlay.extents(&(0..sectors)) {
        for sector in extent.range() {
            assert_eq!(out[sector as usize], None, "extents overlap");
            out[sector as usize] = Some(extent.location().advance(sector - extent.start()));
        }
    }
    out
}

#[test]
fn the_later_location_wins_whatever_the_order_of_insertion() {
    let mut overlay = Overlay::default();
    overlay.insert(0..16, at(100), false);
    overlay.insert(4..8, at(50), false);
    assert_eq!(flat(&overlay, 16)[5], Some(at(105)));
}

#[test]
fn a_sequential_writer_has_one_extent() {
    let mut overlay = Overlay::default();
    for i in 0..100 {
        overlay.insert(i * 8..i * 8 + 8, at(i as u32 * 8), false);
    }
    assert_eq!(overlay.len(), 1);
}

#[test]
fn zeros_hide_what_was_there_and_are_hidden_by_what_comes() {
    let mut overlay = Overlay::default();
    overlay.insert(0..8, at(10), false);
    overlay.insert(2..6, at(20), true);
    overlay.insert(3..4, at(21), false);
    let flat = flat(&overlay, 8);
    assert_eq!(flat[1], Some(at(11)));
    assert_eq!(flat[2], Some(Location::HOLE));
    assert_eq!(flat[3], Some(at(21)));
    assert_eq!(flat[5], Some(Location::HOLE));
    assert_eq!(flat[6], Some(at(16)));
}

#[test]
fn extents_are_clipped_to_the_range_asked_for() {
    let mut overlay = Overlay::default();
    overlay.insert(0..100, at(0), false);
    let extents = overlay.extents(&(10..20));
    assert_eq!(extents, [Extent::new(10, 10, at(10)).unwrap()]);
}

proptest! {
    #[test]
    fn an_overlay_is_a_plain_array_of_sectors(
        mut writes in prop::collection::vec((0u64..60, 1u64..20, any::<bool>()), 1..60),
        swaps in prop::collection::vec((0usize..60, 0usize..60), 0..20),
    ) {
        let sectors = 80;
        let mut model: Vec<(Option<Location>, Location)> = vec![(None, Location::HOLE); 80];
        let mut placed: Vec<_> = Vec::new();
        let mut position = 1;
        for (start, len, zero) in writes.drain(..) {
            placed.push((start, len, zero, at(position)));
            position += if zero { 1 } else { len as u32 };
        }
        for (a, b) in swaps {
            let n = placed.len();
            placed.swap(a % n, b % n);
        }
        let mut overlay = Overlay::default();
        for (start, len, zero, location) in placed {
            overlay.insert(start..start + len, location, zero);
            for sector in start..start + len {
                let cell = &mut model[sector as usize];
                if location > cell.1 {
                    let here = if zero { Location::HOLE } else { location.advance(sector - start) };
                    *cell = (Some(here), location);
                }
            }
        }
        let expected: Vec<_> = model.iter().map(|cell| cell.0).collect();
        prop_assert_eq!(flat(&overlay, sectors), expected);
    }
}
