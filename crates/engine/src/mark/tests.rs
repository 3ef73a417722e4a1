//! Facts about marks.

use super::*;

fn run(top: u64) -> Run {
    Run { top: Location::from_raw(top << 24), height: 0, extents: 1, first: 0, end: 1 }
}

fn mark(facts: &[(u64, u64, u64)], tops: &[u64]) -> Mark {
    let mut mark = Mark::default();
    for &(top, said, mapped) in facts {
        let facts = RunFacts { said, mapped, forwarded: 0 };
        mark.runs.insert(Location::from_raw(top << 24), facts);
    }
    mark.tops = tops.iter().map(|top| Location::from_raw(top << 24)).collect();
    mark
}

#[test]
fn a_map_that_hides_a_quarter_of_its_lower_part_is_flattened() {
    let little = mark(&[(1, 20_000, 20_000), (2, 100_000, 100_000)], &[1]);
    assert!(!little.worth_flattening(&[run(1), run(2)]));
    let much = mark(&[(1, 25_000, 25_000), (2, 100_000, 100_000)], &[1]);
    assert!(much.worth_flattening(&[run(1), run(2)]));
}

#[test]
fn what_another_map_shows_whole_is_not_copied() {
    let mark = mark(&[(1, 100_000, 100_000), (2, 100_000, 100_000)], &[1, 2]);
    assert!(!mark.worth_flattening(&[run(1), run(2)]));
}

#[test]
fn a_small_map_is_left_alone() {
    let mark = mark(&[(1, 2000, 2000), (2, 2000, 2000)], &[1]);
    assert!(!mark.worth_flattening(&[run(1), run(2)]));
}

#[test]
fn a_map_that_mostly_lies_under_old_names_is_written_anew() {
    let mut mark = mark(&[(1, 100_000, 100_000)], &[1]);
    assert!(!mark.worth_flattening(&[run(1)]));
    mark.runs.values_mut().for_each(|facts| facts.forwarded = 25_000);
    assert!(mark.worth_flattening(&[run(1)]));
}

#[test]
fn the_horizon_spares_the_young_log_and_unbound_ingests() {
    let id = |raw| SegmentId::new(raw).unwrap();
    let horizon = Horizon { log: id(5), all: id(9), fresh: HashSet::from([id(3)]) };
    assert!(horizon.allows(id(4), SegmentKind::Hot) && !horizon.allows(id(5), SegmentKind::Hot));
    assert!(horizon.allows(id(8), SegmentKind::Cold) && !horizon.allows(id(9), SegmentKind::Cold));
    assert!(!horizon.allows(id(3), SegmentKind::Cold));
}
