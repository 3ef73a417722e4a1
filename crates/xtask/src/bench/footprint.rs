//! What the daemon is and takes: start, memory, the binary and its build.

use std::time::Duration;

use anyhow::Result;
use archipelago_conformance::daemon::{Daemon, binary};
use archipelago_conformance::env;
use archipelago_conformance::program::Program;
use serde_json::json;

use super::Bench;
use super::fio::{Job, Place};
use super::http::Http;
use super::process::memory_mib;
use super::report::{Section, Table, Target};
use super::statistics::{median, ms, short};

/// A cold build takes at most this; then something is wrong.
const BUILD_WITHIN: Duration = Duration::from_secs(3600);

/// Start, memory, binary.
pub fn footprint(bench: &Bench) -> Result<Section> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let mut starts = Vec::new();
    for at in 0..5 {
        let daemon = Daemon::start(&folder.path().join(format!("new-{at}")))?;
        starts.push(ms(daemon.start_took));
        daemon.stop()?;
    }
    let daemon = Daemon::start(&folder.path().join("new-0"))?;
    let idle = memory_mib(daemon.id(), "VmRSS")?;
    let idle_peak = memory_mib(daemon.id(), "VmHWM")?;
    let mut http = Http::connect(daemon.http())?;
    let size = 4_u64 << 30;
    http.post("/v1/volumes", &json!({ "names": ["v"], "size": size }))?;
    let place = Place::Nbd(vec![daemon.socket_uri("v")]);
    let time = Some(bench.job_time);
    for pattern in ["randwrite", "randread"] {
        Job { pattern, block: 4096, depth: 32, time, ..Job::fill(size) }.run(&place)?;
    }
    let busy = memory_mib(daemon.id(), "VmRSS")?;
    let busy_peak = memory_mib(daemon.id(), "VmHWM")?;
    let start = median(&starts);
    let size = binary()?.metadata()?.len() as f64 / (1 << 20) as f64;
    let build = build_seconds(bench)?;
    let mut table = Table::new("footprint", &["figure", "value"]);
    for (name, value) in [
        ("ready on a new folder, ms (median of 5)", start.map_or("-".to_owned(), short)),
        ("memory when idle, MiB", short(idle)),
        ("its peak, MiB", short(idle_peak)),
        ("memory after random writes and reads over 4 GiB, MiB", short(busy)),
        ("its peak, MiB", short(busy_peak)),
        ("binary, MiB", short(size)),
        ("cold `cargo build --release`, s", build.map_or("not measured".to_owned(), short)),
    ] {
        table.row([name.to_owned(), value]);
    }
    let mut targets = vec![
        Target::below("ready", "s", 1.0, start.map(|ms| ms / 1e3)),
        Target::below("memory when idle", "MiB", 60.0, Some(idle)),
    ];
    if build.is_some() {
        targets.push(Target::below("cold release build", "s", 600.0, build));
    }
    Ok(Section {
        title: "Start, memory, binary, build".to_owned(),
        text: vec!["Memory is VmRSS and VmHWM of the daemon.".to_owned()],
        tables: vec![table],
        targets,
        raw: json!({ "starts_ms": starts, "idle_mib": [idle, idle_peak],
            "busy_mib": [busy, busy_peak], "binary_mib": size, "build_s": build }),
        ..Section::default()
    })
}

/// As told on the command line, or measured in a target folder of its own.
fn build_seconds(bench: &Bench) -> Result<Option<f64>> {
    if !bench.build {
        return Ok(bench.build_seconds);
    }
    let target = tempfile::tempdir_in(&bench.scratch)?;
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let command =
        Program::at(cargo.as_ref()).args(["build", "--release", "--quiet", "-p", "archipelago"]);
    let command = command.env("CARGO_TARGET_DIR", target.path()).folder(&bench.root);
    let begin = env().clock().monotonic();
    command.timeout(BUILD_WITHIN).run()?;
    Ok(Some((env().clock().monotonic() - begin).as_secs_f64()))
}
