//! kill -9 at random moments. `cargo xtask crash-campaign` runs more rounds.

use anyhow::Result;
use archipelago_conformance::crash::{ROUNDS_DEFAULT, ROUNDS_VARIABLE, SEED_VARIABLE, campaign};
use archipelago_conformance::env;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn nothing_flushed_is_lost_at_kill_9() -> Result<()> {
    let rounds = number(ROUNDS_VARIABLE).map_or(ROUNDS_DEFAULT, |rounds| rounds as u32);
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| {
        let mut bytes = [0; 8];
        env().random().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    campaign(rounds, seed, |line| println!("{line}"))
}
