//! The long form of the power cuts: the same campaign as in the normal suite, with as
//! many cuts as asked for.

use std::path::Path;

use anyhow::{Result, ensure};
use archipelago_conformance::daemon::BINARY_VARIABLE;
use archipelago_conformance::powercut::{CUTS_VARIABLE, FS_VARIABLE, SEED_VARIABLE};

use crate::crash::release_binary;

/// What to cut, and how often.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many cuts.
    #[arg(long, default_value_t = 1000)]
    cuts: u32,
    /// Where the random choices start.
    #[arg(long)]
    seed: Option<u64>,
    /// The file system under the data folder: ext4 or xfs.
    #[arg(long, default_value = "ext4")]
    fs: String,
    /// Uses the release build of the daemon.
    #[arg(long)]
    release: bool,
}

/// Makes the cuts and prints one line for each.
pub fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let Arguments { cuts, seed, fs, release } = arguments;
    let mut command = std::process::Command::new("cargo");
    command.current_dir(root);
    command.args(["test", "--quiet", "-p", "archipelago-conformance", "--test", "power_cuts"]);
    command.args(["--", "--nocapture", "--exact", "nothing_acknowledged_is_lost_at_a_power_cut"]);
    command.env(CUTS_VARIABLE, cuts.to_string()).env(FS_VARIABLE, fs);
    if let Some(seed) = seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    if *release {
        command.env(BINARY_VARIABLE, release_binary(root)?);
    }
    let status = command.status()?;
    ensure!(status.success(), "the campaign found a fault: {status}");
    Ok(())
}
