//! Runs of blocks.

use super::nonzero_runs;

fn runs(bytes: &[u8]) -> Vec<(usize, usize)> {
    nonzero_runs(bytes).map(|run| (run.start, run.end)).collect()
}

#[test]
fn zeros_have_no_runs() {
    assert_eq!(runs(&[]), []);
    assert_eq!(runs(&[0; 10_000]), []);
}

#[test]
fn runs_are_of_whole_blocks_and_as_long_as_can_be() {
    let mut bytes = vec![0; 8 * 4096];
    bytes[4096] = 1;
    bytes[3 * 4096 - 1] = 1;
    bytes[6 * 4096 + 7] = 1;
    assert_eq!(runs(&bytes), [(4096, 3 * 4096), (6 * 4096, 7 * 4096)]);
}

#[test]
fn the_last_block_may_be_short() {
    let mut bytes = vec![0; 4096 + 100];
    bytes[4096 + 99] = 1;
    assert_eq!(runs(&bytes), [(4096, 4196)]);
}
