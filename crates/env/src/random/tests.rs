//! Facts about the system's random bytes.

use super::*;

#[test]
fn two_draws_differ() {
    let mut first = [0; 32];
    let mut second = [0; 32];
    SystemRandom.fill(&mut first);
    SystemRandom.fill(&mut second);
    assert_ne!(first, second);
}

#[test]
fn a_long_buffer_is_filled_to_its_end() {
    // The kernel gives at most 256 bytes in one go once a signal is pending.
    let mut long = vec![0; 100_000];
    SystemRandom.fill(&mut long);
    assert!(long[99_900..].iter().any(|byte| *byte != 0));
}
