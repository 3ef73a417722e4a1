//! The long form of the crash test: the same rounds as in the normal suite, as
//! many as asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::crash::{ROUNDS_VARIABLE, SEED_VARIABLE};
use archipelago_conformance::daemon::BINARY_VARIABLE;

/// Runs `rounds` kills and prints one line for each.
pub fn run(root: &Path, rounds: u32, seed: Option<u64>, release: bool) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(root);
    command.args(["test", "--quiet", "-p", "archipelago-conformance", "--test", "crash"]);
    command.args(["--", "--nocapture", "--exact", "nothing_flushed_is_lost_at_kill_9"]);
    command.env(ROUNDS_VARIABLE, rounds.to_string());
    if let Some(seed) = seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    if release {
        command.env(BINARY_VARIABLE, release_binary(root)?);
    }
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "the campaign found a fault: {status}");
    Ok(())
}

/// Builds the release build of the daemon and tells where it is.
pub fn release_binary(root: &Path) -> Result<PathBuf> {
    crate::call(root, "cargo", &["build", "--release", "-p", "archipelago"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    Ok(target.join("release/archipelago"))
}
