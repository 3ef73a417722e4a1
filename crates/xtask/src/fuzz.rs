//! `cargo xtask fuzz`: the targets of crates/fuzzing under libFuzzer.
//!
//! Sanitizers need a nightly compiler, which the tree does not: what they would find
//! is unsafe code, of which the tree has next to none. The guidance by coverage that
//! libFuzzer lives on works with the pinned compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The version of cargo-fuzz that the flags here were tried with.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";

/// Memory of a fuzzed program, in MiB: its corpus and what it counts take a part.
const MEMORY_MIB: u32 = 2048;

/// The longest single allocation, in MiB: a request of NBD may have a payload of 64
/// MiB. The test of crates/fuzzing is stricter, target by target.
const ALLOCATION_MIB: u32 = 128;

/// The longest run on one input, in seconds.
const INPUT_SECONDS: u32 = 20;

/// Runs each of `targets`, or all there are, for so many seconds. Goes on to the next
/// when one fails, and fails at the end. What is new to a corpus stays in the target
/// folder; what failed is named and belongs into `fuzz/corpus`.
pub fn run(root: &Path, seconds: u32, targets: &[String]) -> Result<()> {
    let known = known(root)?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target '{unknown}', only {}", known.join(", "));
    }
    let chosen = if targets.is_empty() { &known } else { targets };
    install()?;
    let work = root.join("target/fuzz");
    let mut failed = Vec::new();
    for target in chosen {
        println!("==> {target}");
        if let Err(error) = fuzz(root, &work, target, seconds) {
            eprintln!("error: {target}: {error:#}");
            failed.push(target.as_str());
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn fuzz(root: &Path, work: &Path, target: &str, seconds: u32) -> Result<()> {
    let (found, artifacts) =
        (work.join("corpus").join(target), work.join("artifacts").join(target));
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["fuzz", "run", "--fuzz-dir", "fuzz"]);
    command.args(["--sanitizer", "none", "--target-dir"]).arg(work).arg(target);
    // The first folder takes what is new, the second is only read.
    command.arg(&found).arg(root.join("fuzz/corpus").join(target)).arg("--");
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    command.arg(format!("-malloc_limit_mb={ALLOCATION_MIB}"));
    command.arg(format!("-timeout={INPUT_SECONDS}"));
    command.arg("-print_final_stats=1");
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "{status}; inputs that fail are in {}", artifacts.display());
    Ok(())
}

/// The targets that have a program.
fn known(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path: PathBuf = entry?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

fn install() -> Result<()> {
    let silent =
        |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = silent(Command::new("cargo").args(["fuzz", "--version"]));
    if found.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("installing {CARGO_FUZZ}");
    let status = Command::new("cargo").args(["install", "--locked", CARGO_FUZZ]).status();
    ensure!(status.context("cannot start cargo")?.success(), "cannot install {CARGO_FUZZ}");
    Ok(())
}
