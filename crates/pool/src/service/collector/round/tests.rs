//! Facts about what is moved when there is little room.

use super::emptying::fitting;
use super::*;

fn fit(needs: &[u64], free: u64, reserve: u64) -> Vec<u64> {
    let ids = (1..=needs.len() as u64).map(|id| SegmentId::new(id).unwrap()).collect();
    let fitting = fitting(ids, free, reserve, |id| needs[id.get() as usize - 1]);
    fitting.into_iter().map(SegmentId::get).collect()
}

#[test]
fn the_reserve_of_guests_is_left_alone() {
    assert_eq!(fit(&[40, 40, 40], 200, 100), [1, 2]);
    assert_eq!(fit(&[50, 50, 1], 200, 100), [1, 2]);
}

#[test]
fn smaller_ones_behind_what_does_not_fit_still_go() {
    assert_eq!(fit(&[90, 20, 5, 5], 200, 100), [1, 3, 4]);
}

#[test]
fn where_less_than_the_reserve_is_free_a_quarter_of_it_is_used() {
    assert_eq!(fit(&[20, 5, 1], 100, 100), [1, 2]);
    assert!(fit(&[1], 3, 100).is_empty());
    assert_eq!(fit(&[0], 0, 100), [1]);
}
