//! `cargo xtask bench volumes`, `bench files` and `bench objects`: the figures of
//! docs/benchmarks*.md, ours beside others in the same run on the same disk.
//!
//! Each section leaves its result in `bench-results/`; the document is made of
//! all that are there, so that one section can be measured again alone. Quick
//! runs try the machinery: they have a folder and a document of their own.

mod clones;
mod collection;
mod devices;
mod document;
mod fio;
mod footprint;
mod http;
mod images;
mod ingest;
mod log;
mod objects;
mod peers;
mod process;
mod report;
mod statistics;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use archipelago_conformance::daemon::BINARY_VARIABLE;
use archipelago_conformance::env;
use archipelago_conformance::program::program;
use tempfile::TempDir;

use self::report::{Section, Stamp};

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// One round of short jobs, to see that all works; the document stays as it is.
    #[arg(long)]
    quick: bool,
    /// Only this section; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Measures a cold release build too; minutes.
    #[arg(long)]
    build: bool,
    /// Seconds that a cold release build took, measured by hand.
    #[arg(long, conflicts_with = "build")]
    build_seconds: Option<f64>,
}

/// Measures a section.
type Measure = fn(&Bench) -> Result<Section>;

/// What one document tells.
pub struct Suite {
    /// Its name on the command line and in the heading.
    name: &'static str,
    /// The document, without `.md`; the samples are in the same with `-raw.json`.
    document: &'static str,
    /// In the order of the document.
    sections: &'static [(&'static str, Measure)],
}

/// `bench volumes`.
pub const VOLUMES: Suite = Suite {
    name: "volumes",
    document: "benchmarks",
    sections: &[
        ("devices", devices::one_disk),
        ("flush", devices::many_disks),
        ("latency", clones::latency),
        ("thousand", clones::thousand),
        ("ingest", ingest::ingest),
        ("maps", log::maps),
        ("recovery", log::recovery),
        ("guests", collection::guests),
        ("space", collection::space),
        ("footprint", footprint::footprint),
    ],
};

/// `bench files`.
pub const FILES: Suite = Suite {
    name: "files",
    document: "benchmarks-files",
    sections: &[("appends", writers::appends), ("writes", writers::writes)],
};

/// `bench objects`.
pub const OBJECTS: Suite = Suite {
    name: "objects",
    document: "benchmarks-objects",
    sections: &[
        ("small", objects::small),
        ("large", objects::large),
        ("listing", objects::listing),
        ("parts", objects::parts),
        ("memory", objects::memory),
    ],
};

/// What the sections have in common.
pub struct Bench {
    quick: bool,
    rounds: usize,
    job_time: Duration,
    /// Where the disks of all peers are; on the disk of the workspace.
    scratch: PathBuf,
    root: PathBuf,
    build: bool,
    build_seconds: Option<f64>,
}

impl Bench {
    /// A line for whoever waits.
    fn say(&self, text: &str) {
        println!("    {text}");
    }

    /// Waits until nothing of a former peer has yet to reach the disk.
    fn settle(&self) -> Result<()> {
        program("sync")?.args(["-f"]).args([&self.scratch]).run()?;
        Ok(())
    }
}

/// Measures what was asked for and writes the document.
pub fn run(root: &Path, suite: &Suite, arguments: &Arguments) -> Result<()> {
    let known = |only: &String| suite.sections.iter().any(|(key, _)| key == only);
    if let Some(other) = arguments.only.iter().find(|only| !known(only)) {
        let keys: Vec<&str> = suite.sections.iter().map(|(key, _)| *key).collect();
        bail!("there is no section '{other}'; there are {}", keys.join(", "));
    }
    if std::env::var_os(BINARY_VARIABLE).is_none() {
        return again_with_binary(root);
    }
    let results = root.join("bench-results").join(if arguments.quick { "quick" } else { "full" });
    fs::create_dir_all(&results)?;
    let scratch: TempDir =
        tempfile::Builder::new().prefix("s").tempdir_in(root.join("bench-results"))?;
    let bench = Bench {
        quick: arguments.quick,
        rounds: if arguments.quick { 1 } else { 3 },
        job_time: Duration::from_millis(if arguments.quick { 1000 } else { 2000 }),
        scratch: scratch.path().to_owned(),
        root: root.to_owned(),
        build: arguments.build,
        build_seconds: arguments.build_seconds,
    };
    let mut failed = Vec::new();
    for &(key, measure) in suite.sections {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == key) {
            continue;
        }
        println!("==> {key}");
        if let Err(error) = one(root, &bench, &results, key, measure) {
            eprintln!("error: {key}: {error:#}");
            failed.push(key);
        }
    }
    write(root, suite, &results, arguments.quick)?;
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The harness takes the binary to start from the environment; cargo builds it first.
fn again_with_binary(root: &Path) -> Result<()> {
    crate::call(root, "cargo", &["build", "--release", "-p", "archipelago"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    command.env(BINARY_VARIABLE, target.join("release/archipelago"));
    let status = command.status().context("cannot start this program again")?;
    ensure!(status.success(), "the benchmark did not end well: {status}");
    Ok(())
}

fn one(root: &Path, bench: &Bench, results: &Path, key: &str, measure: Measure) -> Result<()> {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let begin = env().clock().monotonic();
    let mut section = measure(bench)?;
    key.clone_into(&mut section.key);
    let mut stamp = stamp(root)?;
    load.split(' ').next().unwrap_or_default().clone_into(&mut stamp.load);
    stamp.seconds = (env().clock().monotonic() - begin).as_secs_f64();
    println!("    took {:.0} s", stamp.seconds);
    section.stamp = stamp;
    let text = serde_json::to_string_pretty(&section)?;
    fs::write(results.join(format!("{key}.json")), text).context("writing the result")
}

/// Date, commit, machine, command.
fn stamp(root: &Path) -> Result<Stamp> {
    let git = |arguments: &[&str]| -> Result<String> {
        Ok(program("git")?.args(arguments).folder(root).run()?.text().trim().to_owned())
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    let commit = git(&["rev-parse", "--short", "HEAD"])? + if changed { "+" } else { "" };
    let date = program("date")?.args(["-u", "+%Y-%m-%d %H:%M UTC"]).run()?.text();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    Ok(Stamp {
        date: date.trim().to_owned(),
        commit,
        machine: machine()?,
        command: format!("cargo xtask {}", arguments.join(" ")),
        ..Stamp::default()
    })
}

/// Processor, memory, kernel, file system.
fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let field = |text: &str, name: &str| -> String {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        line.map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = field(&memory, "MemTotal").split(' ').next().unwrap_or_default().parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{} x {cores}, {} GiB, Linux {}",
        field(&cpu, "model name"),
        kib >> 20,
        kernel.trim()
    ))
}

/// The document and all samples, of every section that was ever measured here.
fn write(root: &Path, suite: &Suite, results: &Path, quick: bool) -> Result<()> {
    let mut sections: Vec<Section> = Vec::new();
    for (key, _) in suite.sections {
        let path = results.join(format!("{key}.json"));
        match fs::read(&path) {
            Ok(text) => sections.push(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => bail!("{}: {error}", path.display()),
        }
    }
    let folder = if quick { results.to_owned() } else { root.join("docs") };
    let raw: Vec<_> = sections
        .iter()
        .map(|section| serde_json::json!({ "section": section.key, "stamp": section.stamp, "samples": section.raw }))
        .collect();
    let lines: Vec<String> = raw.iter().map(ToString::to_string).collect();
    let samples = format!("{}-raw.json", suite.document);
    fs::write(folder.join(&samples), format!("[\n{}\n]\n", lines.join(",\n")))?;
    let path = folder.join(format!("{}.md", suite.document));
    fs::write(&path, document::document(suite.name, &samples, &sections))?;
    println!("{}", path.display());
    Ok(())
}
