//! The log: what maps cost under random writes, and how long recovery takes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use archipelago_conformance::daemon::{Daemon, Options};
use archipelago_conformance::env;
use archipelago_conformance::nbd::Client;
use serde_json::json;

use super::Bench;
use super::fio::{Job, Place};
use super::http::Http;
use super::process::folder_bytes;
use super::report::{Section, Table, Target};
use super::statistics::{ms, short};

/// Map bytes for each data byte, random writes over 100 GiB.
pub fn maps(bench: &Bench) -> Result<Section> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let data = folder.path().join("data");
    let daemon = Daemon::start(&data)?;
    let mut http = Http::connect(daemon.http())?;
    let size = 100_u64 << 30;
    http.post("/v1/volumes", &json!({ "names": ["wide"], "size": size }))?;
    let seconds = if bench.quick { 4 } else { 20 };
    let time = Some(Duration::from_secs(seconds));
    let job = Job { pattern: "randwrite", block: 4096, depth: 32, time, ..Job::fill(size) };
    let figures = job.run(&Place::Nbd(vec![daemon.socket_uri("wide")]))?;
    // Forces the last checkpoint, whose nodes belong to these writes.
    http.post("/v1/snapshots", &json!({ "members": ["wide@end"] }))?;
    let names = [
        "log_data_bytes_total",
        "log_node_bytes_total",
        "log_bytes_total",
        "checkpoints_total",
        "runs_merged_total",
    ];
    let [written, nodes, log, checkpoints, merged] = http.metrics(names)?;
    let disk = folder_bytes(&data)? as f64;
    let mut table =
        Table::new("4 KiB random writes, depth 32, thin volume of 100 GiB", &["figure", "value"]);
    for (name, value) in [
        ("writes in a second", short(figures.iops)),
        ("data, MB", short(written / 1e6)),
        ("map nodes, MB", short(nodes / 1e6)),
        ("map bytes for a data byte", short(nodes / written)),
        ("log bytes in all for a data byte", short(log / written)),
        ("disk blocks of the data folder for a data byte", short(disk / written)),
        ("checkpoints", short(checkpoints)),
        ("runs merged", short(merged)),
    ] {
        table.row([name.to_owned(), value]);
    }
    Ok(Section {
        title: "Map bytes under random writes".to_owned(),
        text: vec![format!(
            "{seconds} s of fio, then a snapshot, so that every map is written. Open segments are \
             reserved ahead; that is in the disk blocks."
        )],
        tables: vec![table],
        targets: vec![Target::below("log bytes for a data byte", "", 1.5, Some(log / written))],
        raw: json!({ "data": written, "nodes": nodes, "log": log, "disk": disk,
            "checkpoints": checkpoints, "merged": merged, "fio": figures }),
        ..Section::default()
    })
}

/// A log of 1 GiB that no checkpoint covers, kill -9, start.
pub fn recovery(bench: &Bench) -> Result<Section> {
    let mut table = Table::new(
        "from starting the process, ms",
        &["what is in the log", "log, MB", "ready", "first read answered", "peak memory, MiB"],
    );
    let mut raw = Vec::new();
    let bytes: u64 = if bench.quick { 128 << 20 } else { 1 << 30 };
    let mut slowest: f64 = 0.0;
    for (name, pattern, block, depth, clean) in [
        ("4 KiB random writes, kill -9", "randwrite", 4096, 32, false),
        ("1 MiB sequential writes, kill -9", "write", 1 << 20, 8, false),
        ("4 KiB random writes, clean stop", "randwrite", 4096, 32, true),
    ] {
        bench.settle()?;
        let job = Job { pattern, block, depth, bytes: Some(bytes), ..Job::fill(4 << 30) };
        let [log, ready, read, memory] = one_recovery(bench, &job, clean)?;
        bench.say(&format!("{name}: ready after {} ms", short(ready)));
        table.row([name.to_owned(), short(log / 1e6), short(ready), short(read), short(memory)]);
        raw.push(json!({ "name": name, "log_bytes": log, "ready_ms": ready, "read_ms": read, "peak_mib": memory }));
        slowest = slowest.max(ready);
    }
    Ok(Section {
        title: "Recovery".to_owned(),
        text: vec![format!(
            "{} MiB written to one volume with a flush each 1 024 requests, checkpoints put off by \
             configuration, then kill -9 (or SIGTERM, for comparison) and a start on the same \
             folder, whose files are in the page cache.",
            bytes >> 20
        )],
        tables: vec![table],
        targets: vec![Target::below("ready after a crash", "s", 2.0, Some(slowest / 1e3))],
        raw: json!(raw),
        ..Section::default()
    })
}

/// Log bytes; ms until ready; ms until the first read; MiB at the peak.
fn one_recovery(bench: &Bench, job: &Job, clean: bool) -> Result<[f64; 4]> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let data = folder.path().join("data");
    let config = folder.path().join("config.toml");
    fs::write(&config, CONFIG)?;
    let mut daemon = start(&data, &config)?;
    let mut http = Http::connect(daemon.http())?;
    http.post("/v1/volumes", &json!({ "names": ["v"], "size": job.size }))?;
    let job = Job { flush_every: 1024, ..job.clone() };
    job.run(&Place::Nbd(vec![daemon.socket_uri("v")]))?;
    let [log] = http.metrics(["log_bytes_total"])?;
    if clean {
        daemon.stop()?;
    } else {
        daemon.kill();
    }
    let clock = env().clock();
    let begin = clock.monotonic();
    let daemon = start(&data, &config)?;
    Client::connect(daemon.nbd(), "v")?.read(0, 4096)?;
    let read = ms(clock.monotonic() - begin);
    let memory = super::process::memory_mib(daemon.id(), "VmHWM")?;
    Ok([log, ms(daemon.start_took), read, memory])
}

/// No checkpoint by time or by size of the log while the benchmark writes.
const CONFIG: &str = "[checkpoint]\ninterval_ms = 3600000\nlog = \"64G\"\n";

fn start(data: &Path, config: &Path) -> Result<Daemon> {
    let config = config.display().to_string();
    Options::new(data).args(&["--config", &config]).start()
}
