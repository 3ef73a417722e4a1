//! Blocks found by fingerprint, and runs of them.

use super::*;

fn print(hash: u128, position: u32) -> Fingerprint {
    Fingerprint { hash, position }
}

/// Blocks with these fingerprints, one behind the other.
fn prints(hashes: &[u128]) -> Prints {
    let mut prints = Prints::default();
    for (n, &hash) in hashes.iter().enumerate() {
        prints.push(print(hash, n as u32 * BLOCK_SECTORS));
    }
    prints
}

#[test]
fn every_block_is_found_however_the_list_came_to_be() {
    let hashes: Vec<u128> = (1..5000u128).map(|n| n * 0x9e37_79b9_7f4a_7c15_f39c).collect();
    let pushed = prints(&hashes);
    let loaded = Prints::from_list(pushed.list().to_vec());
    for (n, &hash) in hashes.iter().enumerate() {
        assert_eq!(pushed.places(hash).collect::<Vec<_>>(), [n]);
        assert_eq!(loaded.places(hash).collect::<Vec<_>>(), [n]);
    }
    assert_eq!(pushed.places(1).count(), 0);
}

#[test]
fn an_empty_list_holds_nothing() {
    assert_eq!(Prints::default().places(1).count(), 0);
    assert_eq!(Prints::from_list(Vec::new()).places(1).count(), 0);
}

#[test]
fn a_block_repeated_thousands_of_times_is_found_at_its_first_places() {
    let prints = prints(&[7; 10_000]);
    assert_eq!(prints.places(7).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_run_goes_on_both_ways_as_far_as_blocks_and_positions_agree() {
    let prints = prints(&[1, 2, 3, 4, 5]);
    assert_eq!(prints.run_forward(1, &[2, 3, 4, 9]), 3);
    assert_eq!(prints.run_forward(3, &[4, 5, 6]), 2);
    assert_eq!(prints.run_backward(3, &[9, 2, 3]), 2);
    assert_eq!(prints.run_backward(1, &[0, 1]), 1);
    assert_eq!(prints.run_backward(0, &[1]), 0);
}

#[test]
fn a_run_ends_where_something_else_lies_between_two_blocks() {
    let list = vec![print(1, 0), print(2, 8), print(3, 24), print(4, 32)];
    let prints = Prints::from_list(list);
    assert_eq!(prints.run_forward(0, &[1, 2, 3, 4]), 2);
    assert_eq!(prints.run_backward(3, &[1, 2, 3]), 1);
}

#[test]
fn a_list_with_positions_that_no_segment_has_loses_those() {
    let end = Location::POSITION_END;
    let prints = Prints::from_list(vec![print(1, end - 8), print(2, end - 7), print(3, u32::MAX)]);
    assert_eq!(prints.list().len(), 1);
}
