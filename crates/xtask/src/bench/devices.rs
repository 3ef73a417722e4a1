//! Reads and writes over NBD, each peer in turn: one disk with many kinds of
//! load, then one and many disks with a flush after each write.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::fio::{Figures, Job, Place};
use super::http::Http;
use super::peers::{Peer, Running};
use super::report::{Section, Table, Target};
use super::statistics::{median, ratio, short};

const GIB: u64 = 1 << 30;

/// Of each of the volumes of the second section.
const SMALL_VOLUME_BYTES: u64 = 64 << 20;

/// What is compared over NBD.
const SERVERS: [Peer; 4] = [Peer::Archipelago, Peer::Raw, Peer::Qcow2, Peer::Memory];

/// A kind of load: its name in the tables and its job.
struct Load {
    name: &'static str,
    in_bytes: bool,
    job: Job,
}

/// In this order on one disk, so that each finds what the former left.
fn loads(time: Duration) -> Vec<Load> {
    let load = |name, pattern, block, depth, flush_every| {
        let job = Job { pattern, block, depth, flush_every, time: Some(time), ..Job::fill(GIB) };
        Load { name, in_bytes: block > 4096, job }
    };
    vec![
        Load { name: "first fill, 1 MiB, depth 8", in_bytes: true, job: Job::fill(GIB) },
        load("1 MiB sequential write, depth 1", "write", 1 << 20, 1, 0),
        load("1 MiB sequential write, depth 8", "write", 1 << 20, 8, 0),
        load("1 MiB sequential read, depth 1", "read", 1 << 20, 1, 0),
        load("1 MiB sequential read, depth 8", "read", 1 << 20, 8, 0),
        load("4 KiB random read, depth 1", "randread", 4096, 1, 0),
        load("4 KiB random read, depth 32", "randread", 4096, 32, 0),
        load("4 KiB random write, depth 1", "randwrite", 4096, 1, 0),
        load("4 KiB random write, depth 32", "randwrite", 4096, 32, 0),
        load("4 KiB random write, depth 32, flush each 32", "randwrite", 4096, 32, 32),
        load("4 KiB random write, flush each, depth 1", "randwrite", 4096, 1, 1),
        load("4 KiB random read, depth 32, after the writes", "randread", 4096, 32, 0),
    ]
}

/// All samples: load and peer, a figure of each round.
type Samples = BTreeMap<(usize, Peer), Vec<Figures>>;

/// One disk of 1 GiB, all kinds of load.
pub fn one_disk(bench: &Bench) -> Result<Section> {
    let loads = loads(bench.job_time);
    let mut samples = Samples::new();
    let mut floor = Vec::new();
    for round in 0..bench.rounds {
        floor.push(new_pages(bench)?);
        for at in 0..SERVERS.len() {
            let peer = SERVERS[(at + round) % SERVERS.len()];
            bench.settle()?;
            let running = Running::start(peer, &bench.scratch, 1, GIB)?;
            for (index, load) in loads.iter().enumerate() {
                let figures = load.job.run(&running.place())?;
                bench.say(&format!("{} {}: {}", peer.name(), load.name, told(load, &figures)));
                samples.entry((index, peer)).or_default().push(figures);
            }
        }
    }
    let mut section = one_disk_section(bench, &loads, &samples);
    section.text.push(format!(
        "Control: 1 MiB writes to a new file on this disk, no server, memory never used before, \
         reach {} MB/s (median). A log appends, so each of its writes takes new pages of memory, \
         while the raw file's pages are in memory since its preallocation.",
        median(&floor).map_or("-".to_owned(), short)
    ));
    Ok(section)
}

/// MB/s of buffered writes to a file that grows, which is what any log does at best without
/// O_DIRECT; on virtual machines it is often the first touch of memory that is slow.
fn new_pages(bench: &Bench) -> Result<f64> {
    bench.settle()?;
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let place = Place::Files(vec![folder.path().join("new")]);
    let job = Job { depth: 1, ..Job::fill(2 * GIB) };
    Ok(job.run(&place)?.bytes_per_second / 1e6)
}

fn told(load: &Load, figures: &Figures) -> String {
    let value = figure(load, figures);
    format!("{} {}", short(value), if load.in_bytes { "MB/s" } else { "IOPS" })
}

fn figure(load: &Load, figures: &Figures) -> f64 {
    if load.in_bytes { figures.bytes_per_second / 1e6 } else { figures.iops }
}

fn middle(samples: &Samples, key: (usize, Peer), of: impl Fn(&Figures) -> f64) -> Option<f64> {
    let values: Vec<f64> = samples.get(&key)?.iter().map(of).collect();
    median(&values)
}

fn one_disk_section(bench: &Bench, loads: &[Load], samples: &Samples) -> Section {
    let caption = "IOPS for 4 KiB, MB/s for 1 MiB; median of the rounds, then archipelago's ratio";
    let names = ["load", "archipelago", "qemu-nbd raw", "qemu-nbd qcow2", "nbdkit memory"];
    let header = [&names[..], &["to raw", "to qcow2", "to memory"]].concat();
    let mut speed = Table::new(caption, &header);
    let mut slowness = Table::new("99th percentile of the latency, in us", &names);
    for (index, load) in loads.iter().enumerate() {
        let of = |peer| middle(samples, (index, peer), |figures| figure(load, figures));
        let mut cells = vec![load.name.to_owned()];
        cells.extend(SERVERS.map(|peer| of(peer).map_or("-".to_owned(), short)));
        cells.extend(SERVERS[1..].iter().map(|peer| ratio(of(Peer::Archipelago), of(*peer))));
        speed.row(cells);
        let tail = |peer| middle(samples, (index, peer), |figures| figures.p99_us);
        let mut cells = vec![load.name.to_owned()];
        cells.extend(SERVERS.map(|peer| tail(peer).map_or("-".to_owned(), short)));
        slowness.row(cells);
    }
    let text = vec![
        format!(
            "fio's nbd engine over UNIX sockets, one disk of 1 GiB, {} rounds, the peers in turn \
             and in another order each round; {} ms a job after 500 ms of warm-up. Each peer \
             starts on new files in each round; the rows are run from top to bottom.",
            bench.rounds,
            bench.job_time.as_millis()
        ),
        "Peers: `qemu-nbd --cache=writeback --aio=threads` (its defaults) on a raw file with \
         `preallocation=full`, synced before it starts, and on a thin qcow2 file; `nbdkit memory`, \
         which stores nothing: the ceiling of the protocol. A flush is fdatasync for all but the \
         last. Without a flush, all three disk-backed servers acknowledge from the page cache."
            .to_owned(),
    ];
    Section {
        title: "Reads and writes over NBD".to_owned(),
        text,
        tables: vec![speed, slowness],
        targets: one_disk_targets(loads, samples),
        raw: raw(loads, samples),
        ..Section::default()
    }
}

fn raw(loads: &[Load], samples: &Samples) -> Value {
    let rows = samples.iter().map(|((index, peer), figures)| {
        json!({ "load": loads[*index].name, "peer": peer.name(), "rounds": figures })
    });
    rows.collect()
}

fn one_disk_targets(loads: &[Load], samples: &Samples) -> Vec<Target> {
    let of = |name: &str, peer: Peer| -> Option<f64> {
        let index = loads.iter().position(|load| load.name == name)?;
        let of = |peer| middle(samples, (index, peer), |figures| figure(&loads[index], figures));
        Some(of(Peer::Archipelago)? / of(peer)?)
    };
    let write = "4 KiB random write, depth 32";
    let wanted = [
        (write, Peer::Raw, 1.5),
        (write, Peer::Memory, 0.8),
        (write, Peer::Qcow2, 2.0),
        ("4 KiB random read, depth 32", Peer::Raw, 1.5),
        ("1 MiB sequential write, depth 1", Peer::Raw, 1.0),
        ("1 MiB sequential write, depth 8", Peer::Raw, 1.0),
        ("1 MiB sequential read, depth 1", Peer::Raw, 1.0),
        ("1 MiB sequential read, depth 8", Peer::Raw, 1.0),
        ("4 KiB random write, flush each, depth 1", Peer::Raw, 1.0),
    ];
    let target = |(name, peer, least): (&str, Peer, f64)| {
        Target::at_least(&format!("{name}, to {}", peer.name()), least, of(name, peer))
    };
    wanted.into_iter().map(target).collect()
}

/// Disks at once in the second section.
const COUNTS: [usize; 2] = [1, 32];

/// What is compared with a flush after each write.
const DURABLE: [Peer; 4] = [Peer::Archipelago, Peer::Raw, Peer::Qcow2, Peer::Files];

/// Many disks at once, a flush after each write.
pub fn many_disks(bench: &Bench) -> Result<Section> {
    let mut samples = Samples::new();
    let mut grouped: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for round in 0..bench.rounds {
        for count in COUNTS {
            for at in 0..DURABLE.len() {
                let peer = DURABLE[(at + round) % DURABLE.len()];
                bench.settle()?;
                let (figures, group) = flush_each(bench, peer, count)?;
                bench.say(&format!("{} x {count}: {} IOPS", peer.name(), short(figures.iops)));
                samples.entry((count, peer)).or_default().push(figures);
                grouped.entry(count).or_default().extend(group);
            }
        }
    }
    Ok(many_disks_section(bench, &samples, &grouped))
}

/// One measurement, and for ours how many flushes one sync served.
fn flush_each(bench: &Bench, peer: Peer, count: usize) -> Result<(Figures, Option<f64>)> {
    let running = Running::start(peer, &bench.scratch, count, SMALL_VOLUME_BYTES)?;
    Job { block: 256 << 10, depth: 4, ..Job::fill(SMALL_VOLUME_BYTES) }.run(&running.place())?;
    bench.settle()?;
    let mut http = running.daemon().map(|daemon| Http::connect(daemon.http())).transpose()?;
    let mut counts =
        || http.as_mut().map(|http| http.metrics(["flushes_total", "syncs_total"])).transpose();
    let before = counts()?;
    let time = Some(bench.job_time);
    let pattern = "randwrite";
    let job = Job {
        pattern,
        block: 4096,
        depth: 1,
        flush_every: 1,
        time,
        ..Job::fill(SMALL_VOLUME_BYTES)
    };
    let figures = job.run(&running.place())?;
    let group = match (before, counts()?) {
        (Some(before), Some(after)) => {
            Some((after[0] - before[0]) / (after[1] - before[1]).max(1.0))
        }
        _ => None,
    };
    Ok((figures, group))
}

fn many_disks_section(
    bench: &Bench,
    samples: &Samples,
    grouped: &BTreeMap<usize, Vec<f64>>,
) -> Section {
    let of = |count, peer| middle(samples, (count, peer), |figures| figures.iops);
    let mut table = Table::new(
        "durable writes in a second, all disks together; median of the rounds",
        &[
            "peer",
            "1 disk",
            "32 disks",
            "32 to 1",
            "mean flush with 32, us",
            "ours to it, 1",
            "ours to it, 32",
        ],
    );
    for peer in DURABLE {
        let flush = middle(samples, (32, peer), |figures| figures.flush_us);
        table.row([
            peer.name().to_owned(),
            of(1, peer).map_or("-".to_owned(), short),
            of(32, peer).map_or("-".to_owned(), short),
            ratio(of(32, peer), of(1, peer)),
            flush.map_or("-".to_owned(), short),
            ratio(of(1, Peer::Archipelago), of(1, peer)),
            ratio(of(32, Peer::Archipelago), of(32, peer)),
        ]);
    }
    let group = grouped.get(&32).and_then(|values| median(values));
    let to_raw = |count| Some(of(count, Peer::Archipelago)? / of(count, Peer::Raw)?);
    let scale =
        of(32, Peer::Archipelago).zip(of(1, Peer::Archipelago)).map(|(many, one)| many / one);
    let text = vec![format!(
        "4 KiB random writes at depth 1 with a flush after each, one fio job per disk, disks of \
         64 MiB written once before, {} rounds of {} ms. The peers run one qemu-nbd for each disk; \
         \"raw file, no NBD\" is fio's psync engine with fdatasync. With 32 disks one sync of \
         archipelago served {} flushes (median).",
        bench.rounds,
        bench.job_time.as_millis(),
        group.map_or("-".to_owned(), short)
    )];
    Section {
        title: "A flush after each write, one disk and 32".to_owned(),
        text,
        tables: vec![table],
        targets: vec![
            Target::at_least("durable writes, 1 disk, to qemu-nbd raw", 1.0, to_raw(1)),
            Target::at_least("durable writes, 32 disks, to qemu-nbd raw", 1.0, to_raw(32)),
            Target::at_least("group commit: 32 disks to 1", 8.0, scale),
        ],
        raw: samples
            .iter()
            .map(|((count, peer), figures)| {
                json!({ "disks": count, "peer": peer.name(), "rounds": figures })
            })
            .collect(),
        ..Section::default()
    }
}
