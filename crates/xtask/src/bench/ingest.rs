//! Importing images: speed, what is stored, and others doing the like.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use archipelago_conformance::daemon::Daemon;
use archipelago_conformance::env;
use archipelago_conformance::program::{Program, program};
use serde_json::json;

use super::Bench;
use super::http::Http;
use super::images::{self, Blocks};
use super::process::{children_cpu_seconds, cpu_seconds, folder_bytes};
use super::report::{Section, Table, Target};
use super::statistics::{ratio, short};

const MB: f64 = 1e6;

/// What one import, by whomever, cost.
struct Cost {
    name: String,
    seconds: f64,
    cpu: f64,
    daemon_cpu: f64,
    /// Bytes that are not zero in the image.
    data: u64,
    /// What the store or folder grew by.
    stored: u64,
    /// Bytes found to be there already; only ours tells.
    duplicate: Option<u64>,
}

/// Two images into one store, one of them again; then the peers.
pub fn ingest(bench: &Bench) -> Result<Section> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let content = if bench.quick { 64 << 20 } else { 500 << 20 };
    let (mut seen, mut files, mut exact) = (HashSet::new(), Vec::new(), Vec::new());
    for variant in [0, 1] {
        let image = images::make(folder.path(), variant, content)?;
        exact.push(images::count(&image, &mut seen)?);
        files.push(image);
    }
    bench.settle()?;
    let (ours, index) = ours(bench, folder.path(), &files, &exact)?;
    let others = others(bench, folder.path(), &files, &exact)?;
    let mut speed = Table::new(
        "speed, of bytes that are not zero; the page cache holds the image; the time includes a sync",
        &[
            "what",
            "image",
            "seconds",
            "MB/s",
            "CPU s",
            "of it daemon",
            "MB/s per core",
            "stored, MB",
        ],
    );
    for (image, cost) in ours.iter().chain(&others).map(|cost| (image_of(&cost.name), cost)) {
        let mb = cost.data as f64 / MB;
        speed.row([
            cost.name.clone(),
            image.to_owned(),
            short(cost.seconds),
            short(mb / cost.seconds),
            short(cost.cpu),
            short(cost.daemon_cpu),
            short(mb / cost.cpu),
            short(cost.stored as f64 / MB),
        ]);
    }
    let core = |cost: &Cost| cost.data as f64 / MB / cost.cpu;
    let restic = others.iter().find(|cost| cost.name.starts_with("restic")).map(core);
    let index_text = index.map_or_else(
        || "`/metrics` has no figure dedup_index_bytes.".to_owned(),
        |bytes| {
            let unique: u64 = exact.iter().map(|blocks| blocks.new).sum();
            let tib = bytes / unique as f64 * (1_u64 << 40) as f64 / (1 << 20) as f64;
            format!("The index takes {} MiB for each TiB of unique data.", short(tib))
        },
    );
    Ok(Section {
        title: "Importing images".to_owned(),
        text: vec![
            "Two ext4 file systems, each of up to 500 MiB of this machine's programs and documents \
             (`mkfs.ext4 -d`, made separately; each lacks a sixth of the packages, the second one \
             copies them in reverse order), as raw files. CPU seconds are those of the daemon and \
             of the command line. The oracle hashes every block of 4 KiB."
                .to_owned(),
            index_text,
        ],
        targets: targets(&ours, restic),
        raw: json!({ "index_bytes": index, "costs": ours.iter().chain(&others).map(|cost| json!({
            "name": cost.name, "seconds": cost.seconds, "cpu": cost.cpu, "daemon_cpu": cost.daemon_cpu,
            "data": cost.data, "stored": cost.stored, "duplicate": cost.duplicate,
        })).collect::<Vec<_>>() }),
        tables: vec![speed, dedup_table(&ours, &exact)],
        ..Section::default()
    })
}

fn image_of(name: &str) -> &'static str {
    if name.contains("2nd") { "second" } else { "first" }
}

fn targets(ours: &[Cost], restic: Option<f64>) -> Vec<Target> {
    let core = |cost: &Cost| cost.data as f64 / MB / cost.cpu;
    let new = ours.first().map(core);
    let again = ours.get(2).map(core);
    vec![
        Target::at_least("import of new data with zstd-1, MB/s per core", 120.0, new),
        Target::at_least(
            "import of known data (hashed, deduplicated), MB/s per core",
            300.0,
            again,
        ),
        Target::at_least(
            "import of new data per core, to restic's",
            1.0,
            new.zip(restic).map(|(ours, restic)| ours / restic),
        ),
    ]
}

/// How much of what is twice was found, beside the exact count.
fn dedup_table(ours: &[Cost], exact: &[Blocks]) -> Table {
    let header = [
        "import",
        "data, MB",
        "twice by the oracle, MB",
        "twice as found, MB",
        "found / oracle",
        "data / stored",
    ];
    let mut table = Table::new("deduplication", &header);
    for (at, cost) in ours.iter().enumerate() {
        // The third import brings nothing new.
        let oracle = exact.get(at).map_or(cost.data, |blocks| blocks.data - blocks.new);
        let found = cost.duplicate.map(|bytes| bytes as f64);
        table.row([
            cost.name.clone(),
            short(cost.data as f64 / MB),
            short(oracle as f64 / MB),
            found.map_or("-".to_owned(), |bytes| short(bytes / MB)),
            ratio(found, Some(oracle as f64)),
            ratio(Some(cost.data as f64), Some(cost.stored as f64)),
        ]);
    }
    table
}

/// First image, second image, first image again.
fn ours(
    bench: &Bench,
    folder: &Path,
    files: &[PathBuf],
    exact: &[Blocks],
) -> Result<(Vec<Cost>, Option<f64>)> {
    let data = folder.join("data");
    let daemon = Daemon::start(&data)?;
    let mut http = Http::connect(daemon.http())?;
    let mut costs = Vec::new();
    let order = [(0, "archipelago, 1st"), (1, "archipelago, 2nd"), (0, "archipelago, 1st again")];
    for (at, (image, name)) in order.into_iter().enumerate() {
        let names = ["ingest_duplicate_bytes_total", "ingest_stored_bytes_total"];
        let (before, cpu) = (http.metrics(names)?, cpu_seconds(daemon.id())?);
        let path = files[image].display().to_string();
        let import =
            daemon.cli()?.command(&["image", "import", &path, &format!("i{at}"), "--quiet"]);
        let mut cost = timed(name, exact[image].data, import, None)?;
        cost.daemon_cpu = cpu_seconds(daemon.id())? - cpu;
        cost.cpu += cost.daemon_cpu;
        let after = http.metrics(names)?;
        cost.duplicate = Some((after[0] - before[0]) as u64);
        cost.stored = (after[1] - before[1]) as u64;
        bench.say(&format!(
            "{name}: {} s, stored {} MB",
            short(cost.seconds),
            short(cost.stored as f64 / MB)
        ));
        costs.push(cost);
    }
    let index = http.metric("dedup_index_bytes")?;
    Ok((costs, index))
}

/// Runs one program; when it makes a file or folder, syncs that and counts its bytes.
fn timed(name: &str, data: u64, command: Program, makes: Option<&Path>) -> Result<Cost> {
    let clock = env().clock();
    let (begin, cpu) = (clock.monotonic(), children_cpu_seconds()?);
    let before = makes.filter(|path| path.is_dir()).map_or(Ok(0), folder_bytes)?;
    command.run()?;
    let mut stored = 0;
    if let Some(path) = makes {
        program("sync")?.args(["-f"]).args([path]).run()?;
        stored = if path.is_dir() { folder_bytes(path)? } else { file_bytes(path)? };
    }
    let seconds = (clock.monotonic() - begin).as_secs_f64();
    let cpu = (children_cpu_seconds()? - cpu).max(0.01);
    let stored = stored.saturating_sub(before);
    Ok(Cost { name: name.to_owned(), seconds, cpu, daemon_cpu: 0.0, data, stored, duplicate: None })
}

fn file_bytes(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(path.metadata()?.blocks() * 512)
}

/// Programs that copy, convert or deduplicate the same images.
fn others(bench: &Bench, folder: &Path, files: &[PathBuf], exact: &[Blocks]) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    let (first, second) = (files[0].display().to_string(), files[1].display().to_string());
    let out = folder.join("copy");
    let to = out.display().to_string();
    let zstd = "compression_type=zstd";
    let converts: [(&str, &str, Vec<&str>); 4] = [
        ("cp --sparse=always", "cp", vec!["--sparse=always", &first, &to]),
        ("qemu-img convert to raw", "qemu-img", vec!["convert", "-O", "raw", &first, &to]),
        ("qemu-img convert to qcow2", "qemu-img", vec!["convert", "-O", "qcow2", &first, &to]),
        (
            "qemu-img convert to qcow2, zstd",
            "qemu-img",
            vec!["convert", "-c", "-O", "qcow2", "-o", zstd, &first, &to],
        ),
    ];
    for (name, binary, arguments) in converts {
        bench.settle()?;
        let command = program(binary)?.args(arguments);
        costs.push(timed(name, exact[0].data, command, Some(&out))?);
        std::fs::remove_file(&out)?;
    }
    if archipelago_conformance::tools::find("restic").is_none() {
        bench.say("restic is missing, so it is not compared: apt-get install restic");
        return Ok(costs);
    }
    let repository = folder.join("restic");
    let text = repository.display().to_string();
    let cache = folder.join("restic-cache");
    let restic = |arguments: &[&str]| -> Result<Program> {
        let command =
            program("restic")?.env("RESTIC_PASSWORD", "bench").env("RESTIC_CACHE_DIR", &cache);
        Ok(command.args(["-q", "-r", &text]).args(arguments))
    };
    restic(&["init"])?.run()?;
    let order = [(&first, 0, "restic backup, 1st"), (&second, 1, "restic backup, 2nd")];
    for (path, image, name) in order {
        bench.settle()?;
        let command = restic(&["backup", path])?;
        costs.push(timed(name, exact[image].data, command, Some(&repository))?);
    }
    for cost in &costs {
        bench.say(&format!("{}: {} s", cost.name, short(cost.seconds)));
    }
    Ok(costs)
}
