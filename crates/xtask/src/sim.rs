//! The long form of the simulation: the worlds of the normal suite, as many as asked for,
//! built with optimizations.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What to play.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many worlds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The seed of the first one; the others follow.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many acts each is long.
    #[arg(long)]
    steps: Option<u64>,
    /// How many are played at a time.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// Begins no new one after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Each world is a day of deletions under a collector that works as configured by default,
    /// and at its end space must be back.
    #[arg(long)]
    long: bool,
}

/// Plays, and fails when a promise was broken.
pub fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    crate::call(root, "cargo", &["build", "--quiet", "--release", "-p", "archipelago-sim"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mut command = Command::new(target.join("release/archipelago-sim"));
    let numbers = [
        ("--first", Some(arguments.first)),
        ("--seeds", Some(arguments.seeds)),
        ("--jobs", Some(arguments.jobs)),
        ("--steps", arguments.steps),
        ("--seconds", arguments.seconds),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            command.args([name, &number.to_string()]);
        }
    }
    if arguments.long {
        command.arg("--long");
    }
    let status = command.status().context("cannot start the simulation")?;
    ensure!(status.success(), "the simulation found a fault: {status}");
    Ok(())
}
