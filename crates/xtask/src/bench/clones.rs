//! Clones and snapshots: how long one takes by size and by depth, and what a
//! thousand cost.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use archipelago_conformance::daemon::Daemon;
use archipelago_conformance::env;
use archipelago_conformance::nbd::{Client, Request};
use archipelago_conformance::program::program;
use serde_json::{Value, json};

use super::Bench;
use super::fio::{Job, Place};
use super::http::Http;
use super::process::folder_bytes;
use super::report::{Section, Table, Target};
use super::statistics::{ms, percentile, short};

/// Sizes, and whether every byte of a volume of that size is written. More than 1 GiB would be
/// only a longer fill: the cost of a clone cannot depend on bytes which it never looks at.
const SIZES: [(&str, u64, bool); 7] = [
    ("1 MiB", 1 << 20, true),
    ("64 MiB", 64 << 20, true),
    ("1 GiB", 1 << 30, true),
    ("10 GiB", 10 << 30, false),
    ("100 GiB", 100 << 30, false),
    ("1 TiB", 1 << 40, false),
    ("10 TiB", 10 << 40, false),
];

/// Blocks written, far apart, in a volume that is not written in full.
const SCATTERED: u64 = 256;

const BLOCK: [u8; 4096] = [0xA5; 4096];

/// Latency by size and by depth.
pub fn latency(bench: &Bench) -> Result<Section> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let daemon = Daemon::start(&folder.path().join("data"))?;
    let mut http = Http::connect(daemon.http())?;
    let (count, deep) = if bench.quick { (40, 100) } else { (200, 1000) };
    let (mut by_size, mut raw) = (Table::new(SIZE_CAPTION, &SIZE_HEADER), Vec::new());
    let mut all = Vec::new();
    for (label, bytes, full) in SIZES {
        let source = prepare(&daemon, &mut http, label, bytes, full)?;
        let kinds = three_kinds(&daemon, &mut http, &source, count)?;
        let cells = kinds.iter().flat_map(|times| [p(times, 50.0), p(times, 99.0)]).map(short);
        let written = if full { "all" } else { "256 blocks" };
        bench.say(&format!("{label}: clone p50 {} ms", short(p(&kinds[0], 50.0))));
        by_size.row([label.to_owned(), written.to_owned()].into_iter().chain(cells));
        all.extend_from_slice(&kinds[0]);
        raw.push(json!({ "size": label, "from_snapshot_ms": kinds[0], "live_ms": kinds[1], "snapshot_ms": kinds[2] }));
    }
    let chain = chain(bench, &daemon, &mut http, deep)?;
    let mut by_depth = Table::new(
        "clone of a clone of ..., a block written in each, ms",
        &["depth", "p50", "p99"],
    );
    for (name, part) in parts(&chain) {
        by_depth.row([name, short(p(part, 50.0)), short(p(part, 99.0))]);
    }
    raw.push(json!({ "chain_ms": chain }));
    let group = group_snapshot(&daemon, &mut http)?;
    let beside = beside(bench, &daemon, folder.path(), group)?;
    let targets = vec![
        Target::below("clone, p50 over all sizes", "ms", 1.0, percentile(&all, 50.0)),
        Target::below("clone, p99 over all sizes", "ms", 5.0, percentile(&all, 99.0)),
        Target::below(
            "clone at the end of the chain, p50",
            "ms",
            1.0,
            parts(&chain).last().map(|(_, part)| p(part, 50.0)),
        ),
        Target::below("snapshot of 100 volumes at one cut", "ms", 100.0, Some(group)),
    ];
    let text = vec![format!(
        "{count} of each kind, requests of the HTTP API on one kept connection, each durable when \
         answered. Volumes up to 1 GiB are written in full; larger ones are thin with 256 blocks \
         of 4 KiB spread over them. For the snapshot and the clone of a live volume, a block is \
         written before each, so that there is something to cut; only the request is timed. Each \
         size adds to the same store."
    )];
    Ok(Section {
        title: "Latency of clones and snapshots".to_owned(),
        text,
        tables: vec![by_size, by_depth, beside],
        targets,
        raw: Value::Array(raw),
        ..Section::default()
    })
}

const SIZE_CAPTION: &str = "by size of the source, ms";
const SIZE_HEADER: [&str; 8] = [
    "size",
    "written",
    "clone of a snapshot, p50",
    "p99",
    "clone of a live volume, p50",
    "p99",
    "snapshot, p50",
    "p99",
];

fn p(values: &[f64], percent: f64) -> f64 {
    percentile(values, percent).unwrap_or(f64::NAN)
}

/// A volume with content and a snapshot `base`.
fn prepare(
    daemon: &Daemon,
    http: &mut Http,
    label: &str,
    bytes: u64,
    full: bool,
) -> Result<String> {
    let name = format!("src-{}", label.replace(' ', "-").to_ascii_lowercase());
    http.post("/v1/volumes", &json!({ "names": [name], "size": bytes }))?;
    if full {
        let job = Job { block: 1 << 20, ..Job::fill(bytes) };
        job.run(&Place::Nbd(vec![daemon.socket_uri(&name)]))?;
    } else {
        let mut client = Client::connect(daemon.nbd(), &name)?;
        let blocks = bytes / 4096;
        for at in 0..SCATTERED {
            client.all(&[Request::write(at * (blocks / SCATTERED) * 4096, &BLOCK)])?;
        }
        client.flush()?;
    }
    http.post("/v1/snapshots", &json!({ "members": [format!("{name}@base")] }))?;
    Ok(name)
}

/// Clones of a snapshot, clones of the live volume, snapshots: ms each.
fn three_kinds(
    daemon: &Daemon,
    http: &mut Http,
    source: &str,
    count: usize,
) -> Result<[Vec<f64>; 3]> {
    let mut kinds = [Vec::new(), Vec::new(), Vec::new()];
    let mut client = Client::connect(daemon.nbd(), source)?;
    for at in 0..count {
        let clone = json!({ "names": [format!("{source}-c{at}")], "from": format!("snapshot:{source}@base") });
        kinds[0].push(ms(http.post("/v1/volumes", &clone)?));
        client.all(&[Request::write((at as u64 % 256) * 4096, &BLOCK)])?;
        let live =
            json!({ "names": [format!("{source}-l{at}")], "from": format!("volume:{source}") });
        kinds[1].push(ms(http.post("/v1/volumes", &live)?));
        client.all(&[Request::write((at as u64 % 256) * 4096, &BLOCK)])?;
        let snapshot = json!({ "members": [format!("{source}@s{at}")] });
        kinds[2].push(ms(http.post("/v1/snapshots", &snapshot)?));
    }
    Ok(kinds)
}

/// Each a clone of the one before, with a block of its own.
fn chain(bench: &Bench, daemon: &Daemon, http: &mut Http, deep: usize) -> Result<Vec<f64>> {
    http.post("/v1/volumes", &json!({ "names": ["chain-0"], "size": 1_u64 << 30 }))?;
    let mut times = Vec::new();
    for at in 1..=deep {
        let before = format!("chain-{}", at - 1);
        let mut client = Client::connect(daemon.nbd(), &before)?;
        client.all(&[Request::write((at as u64) * 4096, &BLOCK)])?;
        drop(client);
        let clone = json!({ "names": [format!("chain-{at}")], "from": format!("volume:{before}") });
        times.push(ms(http.post("/v1/volumes", &clone)?));
    }
    bench.say(&format!("depth {deep}: p50 {} ms", short(p(&times, 50.0))));
    Ok(times)
}

/// The chain in parts: its first ten, its tenth tenth by tenth.
fn parts(chain: &[f64]) -> Vec<(String, &[f64])> {
    let size = (chain.len() / 5).max(1);
    let chunks = chain.chunks(size).enumerate();
    chunks
        .map(|(at, part)| (format!("{} to {}", at * size + 1, at * size + part.len()), part))
        .collect()
}

/// One request that takes a snapshot of 100 volumes, a block written in each before.
fn group_snapshot(daemon: &Daemon, http: &mut Http) -> Result<f64> {
    let names: Vec<String> = (0..100).map(|at| format!("group-{at}")).collect();
    http.post("/v1/volumes", &json!({ "names": names, "size": 1_u64 << 30 }))?;
    for name in &names {
        Client::connect(daemon.nbd(), name)?.all(&[Request::write(0, &BLOCK)])?;
    }
    let members: Vec<String> = names.iter().map(|name| format!("{name}@cut")).collect();
    Ok(ms(http.post("/v1/snapshots", &json!({ "members": members }))?))
}

/// What to hold the figures against: the disk's own sync, and processes that make a clone.
fn beside(bench: &Bench, daemon: &Daemon, folder: &Path, group: f64) -> Result<Table> {
    let count = if bench.quick { 10 } else { 50 };
    let mut table = Table::new("beside it, ms", &["what", "p50", "p99"]);
    let mut add = |name: &str, times: &[f64]| {
        table.row([name.to_owned(), short(p(times, 50.0)), short(p(times, 99.0))]);
    };
    let mut file = File::create(folder.join("sync"))?;
    let syncs = repeat(count * 4, |_| {
        file.write_all(&BLOCK)?;
        Ok(file.sync_data()?)
    })?;
    add("4 KiB appended to a file and fdatasync", &syncs);
    let base = folder.join("base.qcow2").display().to_string();
    program("qemu-img")?.args(["create", "-q", "-f", "qcow2", &base, "40G"]).run()?;
    let overlays = repeat(count, |at| {
        let overlay = folder.join(format!("o{at}.qcow2")).display().to_string();
        let fixed = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &base];
        program("qemu-img")?.args(fixed).args([&overlay]).run()?;
        Ok(())
    })?;
    add("`qemu-img create -b`, a process, not synced", &overlays);
    let cli = daemon.cli()?;
    let clones = repeat(count, |at| {
        cli.run(&["volume", "create", &format!("cli-{at}"), "--from", "snapshot:src-1-gib@base"])?;
        Ok(())
    })?;
    add("`archipelago volume create --from`, a process", &clones);
    add("snapshot of 100 volumes at one cut, HTTP, once", &[group]);
    Ok(table)
}

fn repeat(count: usize, mut body: impl FnMut(usize) -> Result<()>) -> Result<Vec<f64>> {
    let clock = env().clock();
    let mut times = Vec::new();
    for at in 0..count {
        let begin = clock.monotonic();
        body(at)?;
        times.push(ms(clock.monotonic() - begin));
    }
    Ok(times)
}

/// A thousand clones of one image, at once and one by one.
pub fn thousand(bench: &Bench) -> Result<Section> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let data = folder.path().join("data");
    let daemon = Daemon::start(&data)?;
    let disk = folder.path().join("disk.raw");
    let text = disk.display().to_string();
    program("qemu-img")?
        .args(["create", "-q", "-f", "raw", "-o", "preallocation=full", &text, "64M"])
        .run()?;
    let cli = daemon.cli()?;
    cli.run(&["image", "import", &text, "golden"])?;
    let clock = env().clock();
    let mut table =
        Table::new("1 000 clones of one image", &["how", "seconds", "KiB of data folder each"]);
    let mut grow = |how: &str, body: &mut dyn FnMut() -> Result<()>| -> Result<(Duration, f64)> {
        let before = folder_bytes(&data)?;
        let begin = clock.monotonic();
        body()?;
        let took = clock.monotonic() - begin;
        let each = folder_bytes(&data)?.saturating_sub(before) as f64 / 1024.0 / 1000.0;
        bench.say(&format!("{how}: {took:?}, {each:.2} KiB each"));
        table.row([how.to_owned(), short(took.as_secs_f64()), short(each)]);
        Ok((took, each))
    };
    let names: Vec<String> = (0..1000).map(|at| format!("a{at}")).collect();
    let mut command = vec!["volume", "create", "--from", "image:golden"];
    command.extend(names.iter().map(String::as_str));
    let (at_once, each_once) = grow("one command of the CLI", &mut || cli.run(&command).map(drop))?;
    let mut http = Http::connect(daemon.http())?;
    let (one_by_one, each_single) = grow("one by one, HTTP, one connection", &mut || {
        for at in 0..1000 {
            http.post(
                "/v1/volumes",
                &json!({ "names": [format!("b{at}")], "from": "image:golden" }),
            )?;
        }
        Ok(())
    })?;
    Ok(Section {
        title: "A thousand clones".to_owned(),
        text: vec![
            "The data folder's growth is in disk blocks (`st_blocks`), SQLite's write-ahead log \
             included."
                .to_owned(),
        ],
        tables: vec![table],
        targets: vec![
            Target::below("1 000 clones in one command", "s", 2.0, Some(at_once.as_secs_f64())),
            Target::below("1 000 clones one by one", "s", 2.0, Some(one_by_one.as_secs_f64())),
            Target::below("store for each clone", "KiB", 100.0, Some(each_once.max(each_single))),
        ],
        raw: json!({ "at_once_s": at_once.as_secs_f64(), "one_by_one_s": one_by_one.as_secs_f64(),
            "kib_each": [each_once, each_single] }),
        ..Section::default()
    })
}
