//! Automation for developers: what CI runs, what keeps the tree in shape.

mod bench;
mod conformance;
mod crash;
mod fuzz;
mod layers;
mod packages;
mod powercuts;
mod sim;
mod suite;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Automation for developers.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything a submission must pass; installs the Debian packages that it needs when root.
    Test,
    /// Checks the shape of the tree: sizes, names, words, links, documents.
    Tidy {
        /// Writes the present hash of crates/format/src into docs/FORMAT.md, after the document
        /// was brought up to date by hand.
        #[arg(long)]
        bless_format: bool,
    },
    /// Checks that dependencies between crates point downward only.
    Layers,
    /// Installs the Debian packages and the guest kernel that the conformance tests use.
    Packages,
    /// Measures what docs/benchmarks*.md tell, beside other programs on the same disk.
    Bench {
        #[command(subcommand)]
        what: Measured,
    },
    /// Kills the daemon with -9 at random moments under a verifying writer, again and again.
    CrashCampaign {
        /// How many kills.
        #[arg(long, default_value_t = 100)]
        rounds: u32,
        /// Where the random choices start; a failed round prints its own.
        #[arg(long)]
        seed: Option<u64>,
        /// Uses the release build of the daemon.
        #[arg(long)]
        release: bool,
    },
    /// Runs the decoders of foreign bytes under libFuzzer; installs cargo-fuzz when it is missing.
    Fuzz {
        /// How long each target runs, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Which targets; all of them when none is named.
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
    },
    /// Cuts the power of a recorded disk under a verifying load, again and again. Needs root.
    PowerCuts(powercuts::Arguments),
    /// Runs a suite of others against the daemon, and fails when what passed once does not now.
    Conformance(conformance::Arguments),
    /// Plays the production service in simulated worlds, in which everything fails on purpose.
    Sim(sim::Arguments),
}

#[derive(Subcommand)]
enum Measured {
    /// Volumes: NBD, clones, images, recovery, memory.
    Volumes(bench::Arguments),
    /// Files: many writers of one, over HTTP.
    Files(bench::Arguments),
    /// Objects: S3 beside other servers of it.
    Objects(bench::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Test => suite::run(&root()),
        Command::Tidy { bless_format: true } => tidy::bless_format(&root()),
        Command::Tidy { bless_format: false } => tidy::run(&root()),
        Command::Layers => layers::run(&root()),
        Command::Packages => packages::ensure(),
        Command::Bench { what: Measured::Volumes(arguments) } => {
            bench::run(&root(), &bench::VOLUMES, &arguments)
        }
        Command::Bench { what: Measured::Files(arguments) } => {
            bench::run(&root(), &bench::FILES, &arguments)
        }
        Command::Bench { what: Measured::Objects(arguments) } => {
            bench::run(&root(), &bench::OBJECTS, &arguments)
        }
        Command::CrashCampaign { rounds, seed, release } => {
            crash::run(&root(), rounds, seed, release)
        }
        Command::Fuzz { seconds, targets } => fuzz::run(&root(), seconds, &targets),
        Command::PowerCuts(arguments) => powercuts::run(&root(), &arguments),
        Command::Conformance(arguments) => conformance::run(&root(), &arguments),
        Command::Sim(arguments) => sim::run(&root(), &arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace, from where cargo built this.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate is at crates/xtask of the workspace")
        .to_owned()
}

/// Runs a program in `folder`, its output on ours, and fails when it fails.
fn call(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let status = std::process::Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    anyhow::ensure!(status.success(), "`{program} {}`: {status}", arguments.join(" "));
    Ok(())
}
