//! The collector: what guests feel of it, what it writes for what it frees, and
//! how much space is left taken.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use archipelago_conformance::daemon::{Daemon, Options};
use serde_json::{Value, json};

use super::Bench;
use super::fio::{Figures, Job, Place};
use super::http::Http;
use super::report::{Section, Table, Target};
use super::statistics::{median, short};

/// The volume that guests write. Half of it is filled first; then every write makes
/// something dead.
const VOLUME_BYTES: u64 = 2 << 30;

/// A daemon whose collector never sleeps for long, or never works.
fn daemon(folder: &Path, name: &str, interval_ms: u64) -> Result<(Daemon, Http)> {
    let config = folder.join(format!("{name}.toml"));
    fs::write(
        &config,
        format!(
            "[collector]\ninterval_ms = {interval_ms}\ngrace_ms = 1000\n[checkpoint]\ninterval_ms = 1000\n"
        ),
    )?;
    let config = config.display().to_string();
    let daemon = Options::new(&folder.join(name)).args(&["--config", &config]).start()?;
    let http = Http::connect(daemon.http())?;
    Ok((daemon, http))
}

/// What guests do: a name, fio's pattern, requests in flight, writes for each flush.
const JOBS: [(&str, &str, u32, u32); 3] = [
    ("random writes, depth 8", "randwrite", 8, 0),
    ("random writes, depth 1, a flush each", "randwrite", 1, 1),
    ("random reads, depth 8", "randread", 8, 0),
];

/// Guests with and without a collector at work, alternating.
pub fn guests(bench: &Bench) -> Result<Section> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let (still, mut still_http) = daemon(folder.path(), "without", 0)?;
    let (busy, mut busy_http) = daemon(folder.path(), "with", 200)?;
    for (daemon, http) in [(&still, &mut still_http), (&busy, &mut busy_http)] {
        http.post("/v1/volumes", &json!({ "names": ["v"], "size": VOLUME_BYTES }))?;
        Job::fill(VOLUME_BYTES / 2).run(&Place::Nbd(vec![daemon.socket_uri("v")]))?;
    }
    let time = Some(bench.job_time * 4);
    let mut table = Table::new(
        "4 KiB requests, medians",
        &["what", "collector", "requests/s", "p50, us", "p99, us"],
    );
    let (mut targets, mut raw) = (Vec::new(), Vec::new());
    for (what, pattern, depth, flush_every) in JOBS {
        let job = Job { pattern, block: 4096, depth, flush_every, time, ..Job::fill(VOLUME_BYTES) };
        let rounds = alternate(bench, &job, [&still, &busy])?;
        let middle = |at: usize, figure: fn(&Figures) -> f64| {
            median(&rounds[at].iter().map(figure).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        for (at, name) in [(0, "off"), (1, "on")] {
            table.row([
                what.to_owned(),
                name.to_owned(),
                short(middle(at, |f| f.iops)),
                short(middle(at, |f| f.p50_us)),
                short(middle(at, |f| f.p99_us)),
            ]);
        }
        let kept = middle(1, |f| f.iops) / middle(0, |f| f.iops);
        targets.push(Target::at_least(
            &format!("{what}: with the collector, of without"),
            0.9,
            Some(kept),
        ));
        raw.push(json!({ "what": what, "off": rounds[0], "on": rounds[1] }));
    }
    let names = ["compaction_read_bytes_total", "freed_bytes_total", "collector_alarms_total"];
    // The daemon has closed the idle connection long ago.
    let [read, freed, alarms] = Http::connect(busy.http())?.metrics(names)?;
    table.row([
        "moved meanwhile, MB".to_owned(),
        "on".to_owned(),
        short(read / 1e6),
        String::new(),
        String::new(),
    ]);
    table.row([
        "freed meanwhile, MB".to_owned(),
        "on".to_owned(),
        short(freed / 1e6),
        String::new(),
        String::new(),
    ]);
    targets.push(Target::below("alarms", "", 1.0, Some(alarms)));
    Ok(Section {
        title: "Guests beside the collector".to_owned(),
        text: vec![
            "Two daemons with a volume each, half filled; one never collects, the other looks each \
             200 ms (60 s by default) and removes after 1 s (10 min by default). Rounds alternate."
                .to_owned(),
        ],
        tables: vec![table],
        targets,
        raw: json!({ "jobs": raw, "read": read, "freed": freed }),
        ..Section::default()
    })
}

/// The same job on both, in turn.
fn alternate(bench: &Bench, job: &Job, daemons: [&Daemon; 2]) -> Result<[Vec<Figures>; 2]> {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..bench.rounds.max(2) {
        for (at, daemon) in daemons.into_iter().enumerate() {
            bench.settle()?;
            rounds[at].push(job.run(&Place::Nbd(vec![daemon.socket_uri("v")]))?);
        }
    }
    Ok(rounds)
}

/// What a thorough collection costs and leaves.
pub fn space(bench: &Bench) -> Result<Section> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let (daemon, mut http) = daemon(folder.path(), "space", 0)?;
    let mut table = Table::new(
        "after `archipelago gc --now`",
        &[
            "load before",
            "taken before, MB",
            "freed, MB",
            "written, MB",
            "written for a byte freed",
            "taken after, MB",
            "live and compressed, MB",
            "taken / live",
        ],
    );
    let (mut targets, mut raw) = (Vec::new(), Vec::new());
    let size = if bench.quick { 256 << 20 } else { VOLUME_BYTES };
    http.post("/v1/volumes", &json!({ "names": ["a"], "size": size }))?;
    let place = Place::Nbd(vec![daemon.socket_uri("a")]);
    let steps: [(&str, Option<Job>); 3] = [
        ("filled in order", Some(Job::fill(size))),
        (
            "then overwritten at random, twice its size",
            Some(Job {
                pattern: "randwrite",
                block: 4096,
                depth: 32,
                bytes: Some(size * 2),
                ..Job::fill(size)
            }),
        ),
        ("then removed", None),
    ];
    for (what, job) in steps {
        match job {
            Some(job) => drop(job.run(&place)?),
            None => drop(http.ask("DELETE", "/v1/volumes/a", &Value::Null)?),
        }
        let (row, target, figures) = one_collection(bench, &mut http, what)?;
        table.row(row);
        targets.push(target);
        raw.push(figures);
    }
    Ok(Section {
        title: "Space".to_owned(),
        text: vec!["fio's buffers, which do not compress; so this is the worst case. A thorough collection moves \
                    also what the background would leave for later.".to_owned()],
        tables: vec![table],
        targets,
        raw: json!(raw),
        ..Section::default()
    })
}

/// A row of the table, what should have been reached, and the figures.
fn one_collection(
    bench: &Bench,
    http: &mut Http,
    what: &str,
) -> Result<([String; 8], Target, Value)> {
    let clock = archipelago_conformance::env().clock().clone();
    let before = df(http)?;
    let begin = clock.monotonic();
    let done = collect(http)?;
    let ms = (clock.monotonic() - begin).as_millis() as u64;
    let after = df(http)?;
    bench.say(&format!("{what}: {ms} ms"));
    let figure = |value: &Value, name: &str| value[name].as_f64().unwrap_or(0.0);
    let (freed, written) = (figure(&done, "freed_bytes"), figure(&done, "written_bytes"));
    let (taken, live) = (figure(&after, "physical"), figure(&after, "compressed"));
    let row = [
        what.to_owned(),
        short(figure(&before, "physical") / 1e6),
        short(freed / 1e6),
        short(written / 1e6),
        short(if freed > 0.0 { written / freed } else { 0.0 }),
        short(taken / 1e6),
        short(live / 1e6),
        if live > 0.0 { short(taken / live) } else { "-".to_owned() },
    ];
    let target = if live > 0.0 {
        Target::below(&format!("{what}: taken for what is live"), "", 1.4, Some(taken / live))
    } else {
        let left = taken / figure(&before, "physical").max(1.0) * 100.0;
        Target::below(&format!("{what}: left of the peak"), "%", 1.0, Some(left))
    };
    Ok((
        row,
        target,
        json!({ "what": what, "before": before, "done": done, "after": after, "ms": ms }),
    ))
}

fn df(http: &mut Http) -> Result<Value> {
    http.ask("GET", "/v1/df", &Value::Null)
}

/// Collects until there is no more to do.
fn collect(http: &mut Http) -> Result<Value> {
    let mut all = json!({ "freed_bytes": 0.0, "written_bytes": 0.0, "read_bytes": 0.0 });
    loop {
        let done = http.ask("POST", "/v1/gc", &json!({ "now": true }))?;
        for name in ["freed_bytes", "written_bytes", "read_bytes"] {
            let sum = all[name].as_f64().unwrap_or(0.0) + done[name].as_f64().unwrap_or(0.0);
            all[name] = json!(sum);
        }
        if done["more"] != true {
            return Ok(all);
        }
        archipelago_conformance::env().clock().sleep(Duration::from_millis(10));
    }
}
