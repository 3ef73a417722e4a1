//! `cargo xtask test`: every check of a submission, timed, with one line of
//! totals at the end.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use archipelago_conformance::daemon::BINARY_VARIABLE;
use archipelago_conformance::peers::postgres::{Postgres, TESTS_VARIABLE};
use archipelago_env::Env;

use crate::{call, layers, packages, tidy};

/// How many tests a step ran; a step that runs none counts as one test itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What a step is called, how it went, and how long it took.
struct Line {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// The steps of one run. Every step runs whatever became of those before it: one look at the
/// end shows all that is wrong.
struct Run {
    env: Env,
    lines: Vec<Line>,
    total: Tally,
}

impl Run {
    /// Runs a check that is no test runner.
    fn check(&mut self, name: &'static str, body: impl FnOnce() -> Result<()>) {
        self.step(name, || (body(), Tally::default()));
    }

    fn step(&mut self, name: &'static str, body: impl FnOnce() -> (Result<()>, Tally)) {
        println!("==> {name}");
        let start = self.env.clock().monotonic();
        let (outcome, mut tally) = body();
        let took = self.env.clock().monotonic() - start;
        if let Err(error) = &outcome {
            eprintln!("error: {name}: {error:#}");
        }
        match outcome {
            Ok(()) if tally == Tally::default() => tally.passed = 1,
            Err(_) if tally.failed == 0 => tally.failed = 1,
            Ok(()) | Err(_) => {}
        }
        self.total.add(tally);
        self.lines.push(Line { name, passed: outcome.is_ok(), took });
    }

    fn finish(self) -> Result<()> {
        println!();
        for line in &self.lines {
            let word = if line.passed { "ok" } else { "FAILED" };
            println!("{:<12} {word:<7} {:>7.1} s", line.name, line.took.as_secs_f64());
        }
        println!("{} passed, {} failed", self.total.passed, self.total.failed);
        let failed: Vec<_> = self.lines.iter().filter(|line| !line.passed).collect();
        if !failed.is_empty() {
            let names: Vec<_> = failed.iter().map(|line| line.name).collect();
            bail!("failed: {}", names.join(", "));
        }
        Ok(())
    }
}

/// Runs everything and fails when anything failed.
pub fn run(root: &Path) -> Result<()> {
    let mut run = Run { env: Env::real(), lines: Vec::new(), total: Tally::default() };
    run.check("packages", packages::ensure);
    run.check("fmt", || call(root, "cargo", &["fmt", "--all", "--check"]));
    run.check("tidy", || tidy::run(root));
    run.check("layers", || layers::run(root));
    run.check("clippy", || {
        let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        call(root, "cargo", &lints)
    });
    run.check("build", || call(root, "cargo", &["build", "--quiet", "-p", "archipelago"]));
    run.step("tests", || {
        let mut command = if has_nextest() {
            cargo(root, &["nextest", "run", "--workspace", "--no-fail-fast"])
        } else {
            println!("cargo-nextest is not installed: using cargo test");
            let kinds = ["--lib", "--bins", "--tests"];
            let mut command = cargo(root, &["test", "--workspace", "--no-fail-fast"]);
            command.args(kinds);
            command
        };
        command.env(BINARY_VARIABLE, target(root).join("debug/archipelago"));
        counted(command)
    });
    run.step("postgresql", || on_postgres(root).unwrap_or_else(|e| (Err(e), Tally::default())));
    run.step("doc tests", || {
        counted(cargo(root, &["test", "--quiet", "--doc", "--workspace", "--no-fail-fast"]))
    });
    run.finish()
}

/// What of the pool's tests runs a second time, with the catalog on a server of PostgreSQL: those of
/// the catalog itself, and of the verbs that use all of its tables.
const ON_POSTGRES: &[&str] = &[
    "catalog::",
    "service::tests",
    "service::open",
    "service::volumes",
    "service::snapshots",
    "service::rebuild",
    "service::identity",
];

/// Runs them. In memory, where that is a file system of its own: what is to be seen is not how fast
/// a disk is.
fn on_postgres(root: &Path) -> Result<(Result<()>, Tally)> {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory)?,
        false => tempfile::tempdir()?,
    };
    let server = Postgres::start(folder.path())?;
    // Of all crates, though only the pool has such tests: another choice is another set of features,
    // for which everything below would be built once more.
    let mut command = cargo(root, &["test", "--quiet", "--workspace", "--lib", "--"]);
    // They wait for the server more than they work.
    command.args(["--include-ignored", "--test-threads=8"]).args(ON_POSTGRES);
    command.env(TESTS_VARIABLE, server.server_url());
    Ok(counted(command))
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root);
    command
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn has_nextest() -> bool {
    let mut command = Command::new("cargo");
    command.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a test runner, its output on ours, and reads its totals on the way.
fn counted(mut command: Command) -> (Result<()>, Tally) {
    let mut tally = Tally::default();
    let outcome = follow(&mut command, &mut tally);
    (outcome, tally)
}

fn follow(command: &mut Command, tally: &mut Tally) -> Result<()> {
    // One pipe for both streams keeps the lines in their order.
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot start cargo")?;
    // The writing ends that `command` still holds would keep the pipe open for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        tally.add(totals(&String::from_utf8_lossy(&line)));
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
    let status = child.wait()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The numbers in a line of totals of cargo test (`test result: ok. 3 passed; 0 failed; ...`) or of
/// nextest (`Summary [ 1.0s] 4 tests run: 3 passed, 1 failed, 0 skipped`); zeros in any other.
fn totals(line: &str) -> Tally {
    // nextest shows the output of a failed test indented: its own totals are counted once, by nextest.
    if !line.starts_with("test result:") && !line.contains("tests run:") {
        return Tally::default();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let before = |what: &[&str]| -> u64 {
        let pairs = words.windows(2).filter_map(|pair| match pair {
            [number, word] if what.contains(&word.trim_matches([',', ';'])) => {
                number.parse::<u64>().ok()
            }
            _ => None,
        });
        pairs.sum()
    };
    // nextest says `timed out` beside `failed`; the word after the number tells them apart.
    Tally { passed: before(&["passed"]), failed: before(&["failed", "timed"]) }
}

#[cfg(test)]
mod tests;
