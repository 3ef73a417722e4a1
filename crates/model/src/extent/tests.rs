use proptest::prelude::*;

use super::*;

fn segment(n: u64) -> SegmentId {
    SegmentId::new(n).unwrap()
}

fn at(seg: u64, pos: u32) -> Location {
    Location::new(segment(seg), pos).unwrap()
}

#[test]
fn an_extent_is_sixteen_bytes() {
    assert_eq!(size_of::<Extent>(), 16);
}

#[test]
fn a_later_append_has_a_greater_location() {
    assert!(at(7, 9) < at(7, 10));
    assert!(at(7, Location::POSITION_END - 1) < at(8, 0));
}

#[test]
fn a_hole_has_no_segment_and_stays_a_hole_when_advanced() {
    assert_eq!(Location::HOLE.segment(), None);
    assert_eq!(Location::HOLE.advance(77), Location::HOLE);
}

#[test]
fn out_of_range_values_make_no_extent() {
    assert!(Extent::new(0, 0, Location::HOLE).is_none());
    assert!(Extent::new(Extent::START_END, 1, Location::HOLE).is_none());
    assert!(Extent::new(0, Extent::SECTORS_MAX + 1, Location::HOLE).is_none());
    assert!(Location::new(segment(1), Location::POSITION_END).is_none());
}

#[test]
fn extents_join_only_when_both_sides_continue() {
    let a = Extent::new(0, 8, at(1, 100)).unwrap();
    assert!(a.joins(Extent::new(8, 8, at(1, 108)).unwrap()));
    assert!(!a.joins(Extent::new(8, 8, at(1, 109)).unwrap()));
    assert!(!a.joins(Extent::new(9, 8, at(1, 108)).unwrap()));
    let hole = Extent::new(0, 8, Location::HOLE).unwrap();
    assert_eq!(hole.join(Extent::new(8, 8, Location::HOLE).unwrap()).len(), 16);
}

proptest! {
    #[test]
    fn raw_words_give_the_extent_back(
        start in 0..Extent::START_END, len in 1..=Extent::SECTORS_MAX,
        seg in 1..=SegmentId::MAX.get(), pos in 0..Location::POSITION_END,
    ) {
        let e = Extent::new(start, len, at(seg, pos)).unwrap();
        let (a, b) = e.raw();
        prop_assert_eq!(Extent::from_raw(a, b), Some(e));
        prop_assert_eq!((e.start(), e.len()), (start, len));
        prop_assert_eq!(e.location().segment(), Some(segment(seg)));
        prop_assert_eq!(e.location().position(), pos);
    }

    #[test]
    fn a_clipped_extent_names_the_same_sectors(
        start in 0u64..1000, len in 1u64..1000, from in 0u64..2000, to in 0u64..2000,
    ) {
        let e = Extent::new(start, len, at(3, 5000)).unwrap();
        if let Some(c) = e.clip(&(from..to)) {
            prop_assert!(c.start() >= from && c.end() <= to);
            prop_assert_eq!(
                c.location().position() as u64 - e.location().position() as u64,
                c.start() - e.start()
            );
        } else {
            prop_assert!(from >= to || to <= start || from >= start + len);
        }
    }
}
