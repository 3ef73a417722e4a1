//! Fitting ranges to what was asked for.

use super::*;

fn descriptors(ranges: &[(u64, u32)]) -> Vec<Descriptor> {
    ranges.iter().map(|(len, flags)| Descriptor { len: *len, flags: *flags }).collect()
}

#[test]
fn equal_neighbours_become_one() {
    let ranges = descriptors(&[(512, 3), (512, 3), (512, 0), (512, 3)]);
    assert_eq!(fitted(&ranges, 0, 2048), descriptors(&[(1024, 3), (512, 0), (512, 3)]));
}

#[test]
fn both_ends_are_cut_to_what_was_asked_for() {
    let ranges = descriptors(&[(512, 3), (512, 0), (512, 3)]);
    assert_eq!(fitted(&ranges, 500, 20), descriptors(&[(12, 3), (8, 0)]));
    assert_eq!(fitted(&ranges, 600, 10), descriptors(&[(10, 0)]));
}

#[test]
fn less_than_asked_for_stays_less() {
    assert_eq!(fitted(&descriptors(&[(512, 0)]), 0, 4096), descriptors(&[(512, 0)]));
    assert_eq!(fitted(&[], 0, 4096), []);
}
