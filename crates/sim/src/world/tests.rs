//! The store in many worlds.

mod lies;

use super::*;

/// Runs of the normal suite.
const SEEDS: u64 = 200;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_promise_is_kept_whatever_fails() {
    let first = number("SEED", 0);
    let steps = number("STEPS", STEPS_DEFAULT);
    for seed in first..first + number("SEEDS", SEEDS) {
        let outcome = run(Plan { seed, steps });
        if let Some(violation) = outcome.violation {
            panic!(
                "seed {seed}: {violation}\nafter:\n  {}\nonce more: \
                 cargo xtask sim --first {seed} --seeds 1 --steps {steps}",
                outcome.tail.join("\n  ")
            );
        }
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..10 {
        let plan = Plan { seed, steps: STEPS_DEFAULT };
        let (one, two) = (run(plan), run(plan));
        assert_eq!(one.tail, two.tail, "seed {seed}");
        assert_eq!(one.digest, two.digest, "seed {seed}");
        assert_eq!(one.tally, two.tally, "seed {seed}");
    }
    let digest = |seed| run(Plan { seed, steps: STEPS_DEFAULT }).digest;
    assert_ne!(digest(1), digest(2));
}
