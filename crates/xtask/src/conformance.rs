//! Suites that others wrote, against the built daemon: what passed once must pass still.
//!
//! The suites are checkouts outside of the tree, named by the caller; their programs live in a
//! virtual environment of this machine. Not part of `cargo xtask test`, which runs no foreign
//! code.
//!
//! ```text
//! suite    what is run, and for whom     swift  s3: the two there are
//! python   the environment of a suite    verdict  what its output says, against the list
//! ```

mod python;
mod s3;
mod suite;
mod swift;
mod verdict;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use archipelago_conformance::cli::Cli;
use archipelago_conformance::daemon::{Daemon, Options};
use archipelago_conformance::program::Program;

use suite::{Prepared, Suite};
use verdict::Outcome;

/// A run that takes longer has hung: both suites take minutes.
const RUN_MAX: Duration = Duration::from_secs(60 * 60);
/// Tests that do not pass any more are run once more, alone, if they are so few: some of them
/// look at a clock.
const AGAIN_MAX: usize = 40;

/// Which suite.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub enum Which {
    /// The functional tests of OpenStack Swift
    Swift,
    /// The core of ceph/s3-tests
    S3,
}

/// Which suite is run, and how.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask conformance swift --suite ../swift
  ARCHIPELAGO_S3_SUITE=../s3-tests cargo xtask conformance s3
  cargo xtask conformance s3 --suite ../s3-tests --update
  cargo xtask conformance swift --suite ../swift -- test/functional/test_slo.py
  ARCHIPELAGO_BIN=target/release/archipelago cargo xtask conformance s3 --suite ../s3-tests")]
pub struct Arguments {
    /// Which suite
    #[arg(value_enum)]
    which: Which,
    /// The checkout of the suite; also ARCHIPELAGO_SWIFT_SUITE and ARCHIPELAGO_S3_SUITE
    #[arg(long, value_name = "DIR")]
    suite: Option<PathBuf>,
    /// Where the store, the logs and the lists of the run go; a new folder if nothing is said
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Writes what passes into the list, if nothing is lost by that
    #[arg(long)]
    update: bool,
    /// Arguments of pytest, in the place of all tests; nothing is compared then
    #[arg(last = true, value_name = "PYTEST")]
    pytest: Vec<String>,
}

/// Runs a suite and compares what passes with the list of what did.
pub fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let suite: &dyn Suite = match arguments.which {
        Which::Swift => &swift::Swift,
        Which::S3 => &s3::S3,
    };
    let checkout = checkout(suite, arguments.suite.as_deref())?;
    let out = out(suite, arguments.out.as_deref())?;
    println!("logs and lists: {}", out.display());
    let python = python::ensure(suite.name(), &checkout, suite.packages())?;
    let (daemon, cli) = start(&out, suite)?;
    let prepared = suite.prepare(&cli, daemon.http(), &out)?;
    let pytest = |name: &str, tests: &[String]| -> Result<Outcome> {
        let log = out.join(name);
        let program = Program::at(&python).args(["-m", "pytest", "-p", "no:cacheprovider"]);
        let program = program.args(["-q", "--tb=short", "-rpfEs", "--timeout=180"]);
        run_pytest(program.args(tests), &prepared, &checkout, &log)?;
        let text = fs::read_to_string(&log)?;
        verdict::read(&text, suite.folder())
    };
    if !arguments.pytest.is_empty() {
        let outcome = pytest("log", &arguments.pytest)?;
        println!("{}", outcome.figures());
        return Ok(());
    }
    let tests: Vec<String> = suite.tests().iter().map(|text| (*text).to_owned()).collect();
    let mut outcome = pytest("log", &tests)?;
    println!("{}", outcome.figures());
    let list = root.join("docs/conformance").join(suite.list());
    let known = verdict::names(&fs::read_to_string(&list).unwrap_or_default());
    let lost = outcome.lost(&known);
    if !lost.is_empty() && lost.len() <= AGAIN_MAX {
        let again: Vec<String> =
            lost.iter().map(|name| verdict::test_of(name, suite.folder())).collect();
        let second = pytest("log-again", &again)?;
        for name in second.passed {
            println!("passed only when it was run again: {name}");
            outcome.passed.insert(name);
        }
    }
    drop(daemon);
    fs::write(out.join("passed.txt"), outcome.text())?;
    judge(&outcome, &known, &list, arguments.update)
}

fn judge(
    outcome: &Outcome,
    known: &std::collections::BTreeSet<String>,
    list: &Path,
    update: bool,
) -> Result<()> {
    let lost = outcome.lost(known);
    for name in &lost {
        println!("passed once and does not now: {name}");
    }
    let new: Vec<&String> = outcome.passed.difference(known).collect();
    for name in &new {
        println!("passes now: {name}");
    }
    println!(
        "{} pass, {} did; {} lost, {} new",
        outcome.passed.len(),
        known.len(),
        lost.len(),
        new.len()
    );
    ensure!(lost.is_empty(), "{} tests passed once and do not now", lost.len());
    if update && !new.is_empty() {
        fs::write(list, outcome.text())?;
        println!("wrote {}", list.display());
    } else if !new.is_empty() {
        println!("run again with --update to keep the new ones in {}", list.display());
    }
    Ok(())
}

/// Where the suite is.
fn checkout(suite: &dyn Suite, said: Option<&Path>) -> Result<PathBuf> {
    let variable = suite.variable();
    let said = said.map(Path::to_owned).or_else(|| std::env::var_os(variable).map(PathBuf::from));
    let Some(path) = said else {
        bail!(
            "name a checkout of the suite with --suite DIR or {variable}; to get one: {}",
            suite.source()
        );
    };
    let path = path.canonicalize().with_context(|| format!("no folder {}", path.display()))?;
    ensure!(
        path.join(suite.folder()).is_dir(),
        "{} has no folder {}; to get the suite: {}",
        path.display(),
        suite.folder(),
        suite.source()
    );
    Ok(path)
}

fn out(suite: &dyn Suite, said: Option<&Path>) -> Result<PathBuf> {
    let folder = match said {
        Some(folder) => folder.to_owned(),
        None => {
            let name = format!("archipelago-conformance-{}-{}", suite.name(), std::process::id());
            std::env::temp_dir().join(name)
        }
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let used = folder.join("data").exists();
    ensure!(!used, "{} is of another run; name a new folder", folder.display());
    Ok(folder.canonicalize()?)
}

fn start(out: &Path, suite: &dyn Suite) -> Result<(Daemon, Cli)> {
    let mut options = Options::new(&out.join("data")).args(suite.serve());
    if let Some(settings) = suite.settings() {
        let file = out.join("archipelago.toml");
        fs::write(&file, settings)?;
        options = options.args(&["--config", &file.display().to_string()]);
    }
    let daemon = options.start()?;
    let cli = daemon.cli()?;
    Ok((daemon, cli))
}

fn run_pytest(program: Program, prepared: &Prepared, folder: &Path, log: &Path) -> Result<()> {
    let mut program = program.folder(folder).env("PYTHONDONTWRITEBYTECODE", "1");
    for (name, value) in &prepared.environment {
        program = program.env(name, value);
    }
    let mut running = program.background(&File::create(log)?)?;
    let status = running.wait(RUN_MAX).with_context(|| format!("see {}", log.display()))?;
    // 1: some failed. Whatever else means that there is no result.
    let said = || format!("pytest ended with {status}; see {}", log.display());
    ensure!(matches!(status.code(), Some(0 | 1)), said());
    Ok(())
}
