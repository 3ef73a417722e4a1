//! Facts about simulated chance.

use super::*;

#[test]
fn a_seed_decides_all_bytes() {
    let bytes = |seed| {
        let mut out = [0; 21];
        SimRandom::new(seed).fill(&mut out);
        out
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn a_number_below_an_end_takes_every_value() {
    let mut dice = Dice::new(0);
    let mut seen = [0u32; 6];
    for _ in 0..600 {
        seen[dice.below(6) as usize] += 1;
    }
    assert!(seen.iter().all(|count| (50..=150).contains(count)), "{seen:?}");
}

#[test]
fn a_coin_falls_both_ways() {
    let mut dice = Dice::new(0);
    let heads = (0..1000).filter(|_| dice.coin()).count();
    assert!((400..=600).contains(&heads), "{heads}");
}
