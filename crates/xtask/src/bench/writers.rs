//! Many writers of one file over HTTP, beside as many of a plain file each on the same disk.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, Result};
use archipelago_conformance::daemon::Daemon;
use archipelago_conformance::env;
use archipelago_conformance::stamp::Chance;
use serde_json::json;

use super::Bench;
use super::http::Http;
use super::report::{Section, Table, Target};
use super::statistics::{median, ms, percentile, ratio, short};

/// How many write at once.
const WRITERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// How long a request is.
const SIZES: [usize; 2] = [64 << 10, 1 << 20];
/// How large the file is that is written over.
const FILE_BYTES: u64 = 64 << 20;
const MB: f64 = 1e6;

/// What is done to the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    /// Append to it.
    Append,
    /// Write over it at any multiple of the length.
    Write,
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Ours, all to one file.
    One,
    /// Threads with a plain file each, `fdatasync` behind each request.
    Plain,
}

/// What some writers did in one round.
struct Sample {
    who: Who,
    size: usize,
    writers: usize,
    requests: usize,
    seconds: f64,
    latencies: Vec<f64>,
}

impl Sample {
    fn rate(&self) -> f64 {
        (self.requests * self.size) as f64 / MB / self.seconds
    }
}

/// Appends.
pub fn appends(bench: &Bench) -> Result<Section> {
    section(bench, Job::Append, "Many writers append to one file")
}

/// Ranged writes.
pub fn writes(bench: &Bench) -> Result<Section> {
    section(bench, Job::Write, "Many writers write over parts of one file")
}

fn section(bench: &Bench, job: Job, title: &str) -> Result<Section> {
    let mut samples = Vec::new();
    for round in 0..bench.rounds {
        for size in SIZES {
            for writers in WRITERS {
                for who in [Who::One, Who::Plain] {
                    let folder = tempfile::tempdir_in(&bench.scratch)?;
                    let sample = match who {
                        Who::One => ours(bench, folder.path(), job, size, writers)?,
                        Who::Plain => plain(bench, folder.path(), job, size, writers)?,
                    };
                    samples.push(sample);
                    drop(folder);
                    bench.settle()?;
                }
            }
            let rates = |who| rates(&samples, who, size);
            bench.say(&format!(
                "round {round}, {} KiB: {:?} of one file, {:?} plain, MB/s",
                size >> 10,
                rates(Who::One),
                rates(Who::Plain)
            ));
        }
    }
    let tables = SIZES.map(|size| table(&samples, size)).into();
    Ok(Section {
        title: title.to_owned(),
        text: vec![about(job)],
        tables,
        targets: SIZES.iter().flat_map(|size| targets(&samples, job, *size)).collect(),
        raw: samples
            .iter()
            .map(|sample| {
                json!({
                    "who": if sample.who == Who::One { "archipelago" } else { "plain" },
                    "bytes": sample.size, "writers": sample.writers,
                    "requests": sample.requests, "seconds": sample.seconds,
                    "p50_ms": median(&sample.latencies),
                    "p99_ms": percentile(&sample.latencies, 99.0),
                })
            })
            .collect(),
        ..Section::default()
    })
}

fn about(job: Job) -> String {
    let does = match job {
        Job::Append => "appends to it".to_owned(),
        Job::Write => {
            format!("writes over it, {} MiB long, at any multiple of a request", FILE_BYTES >> 20)
        }
    };
    format!(
        "Each writer {does} with `PATCH /v1/files` on a connection of its own, one request behind the \
         other; an answer means that a version is durable. The bytes do not compress and do not \
         repeat. Beside that, as many threads do the same to a plain file each, with `fdatasync` \
         behind each request, without HTTP, hashes, checksums or versions. The writers share the \
         machine's processors with the server, and the server takes 32 requests with a body at once."
    )
}

fn of(samples: &[Sample], who: Who, size: usize, writers: usize) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |s| s.who == who && s.size == size && s.writers == writers)
}

/// The median of the rounds.
fn rate(samples: &[Sample], who: Who, size: usize, writers: usize) -> Option<f64> {
    let rates: Vec<f64> = of(samples, who, size, writers).map(Sample::rate).collect();
    median(&rates)
}

fn rates(samples: &[Sample], who: Who, size: usize) -> Vec<String> {
    let rates = WRITERS.map(|writers| rate(samples, who, size, writers));
    rates.into_iter().flatten().map(short).collect()
}

fn table(samples: &[Sample], size: usize) -> Table {
    let mut table = Table::new(
        &format!("requests of {} KiB, medians of the rounds", size >> 10),
        &[
            "writers",
            "one file, MB/s",
            "to one writer",
            "p50, ms",
            "p99, ms",
            "plain files, MB/s",
            "p50, ms",
            "to plain files",
        ],
    );
    let one = rate(samples, Who::One, size, 1);
    for writers in WRITERS {
        let ours = rate(samples, Who::One, size, writers);
        let plain = rate(samples, Who::Plain, size, writers);
        let latency = |who, percent| {
            let all = of(samples, who, size, writers).flat_map(|sample| &sample.latencies);
            let all: Vec<f64> = all.copied().collect();
            percentile(&all, percent).map_or("-".to_owned(), short)
        };
        table.row([
            writers.to_string(),
            ours.map_or("-".to_owned(), short),
            ratio(ours, one),
            latency(Who::One, 50.0),
            latency(Who::One, 99.0),
            plain.map_or("-".to_owned(), short),
            latency(Who::Plain, 50.0),
            ratio(ours, plain),
        ]);
    }
    table
}

fn targets(samples: &[Sample], job: Job, size: usize) -> Vec<Target> {
    let all = WRITERS.map(|writers| rate(samples, Who::One, size, writers));
    let best = all.into_iter().flatten().reduce(f64::max);
    let quotient = |of: Option<f64>, to: Option<f64>| Some(of? / to?);
    let what = match job {
        Job::Append => "appends",
        Job::Write => "ranged writes",
    };
    let what = format!("{what} of {} KiB to one file", size >> 10);
    let plain = WRITERS.map(|writers| rate(samples, Who::Plain, size, writers));
    vec![
        Target::at_least(&format!("{what}: most MB/s, to one writer"), 2.0, quotient(best, all[0])),
        Target::at_least(&format!("{what}: 64 writers, to the most"), 0.8, quotient(all[6], best)),
        Target::at_least(
            &format!("{what}: most MB/s, to the most of a plain file each"),
            0.5,
            quotient(best, plain.into_iter().flatten().reduce(f64::max)),
        ),
    ]
}

/// A new store with one file, and so many connections.
fn ours(bench: &Bench, folder: &Path, job: Job, size: usize, writers: usize) -> Result<Sample> {
    let daemon = Daemon::start(&folder.join("data"))?;
    let first = folder.join("first");
    let file = File::create(&first)?;
    if job == Job::Write {
        fill(file, FILE_BYTES)?;
    }
    daemon.cli()?.run(&["file", "put", &first.display().to_string(), "c/one", "--quiet"])?;
    bench.settle()?;
    let connections = (0..writers).map(|_| Http::connect(daemon.http()));
    let connections: Vec<Http> = connections.collect::<Result<_>>()?;
    let sample = race(Who::One, size, bench.job_time, connections, |http, chance, body| {
        let path = match job {
            Job::Append => "/v1/files/c/one".to_owned(),
            Job::Write => format!("/v1/files/c/one?offset={}", place(chance, size, FILE_BYTES)),
        };
        http.send("PATCH", &path, body)
    })?;
    daemon.stop()?;
    Ok(sample)
}

/// A plain file for each.
fn plain(bench: &Bench, folder: &Path, job: Job, size: usize, writers: usize) -> Result<Sample> {
    // As much in all as the one file has.
    let span = FILE_BYTES / writers as u64;
    let files = (0..writers).map(|at| {
        let file = File::create(folder.join(format!("{at}")))?;
        if job == Job::Write {
            fill(file.try_clone()?, span)?;
        }
        Ok(file)
    });
    let files: Vec<File> = files.collect::<Result<_>>()?;
    bench.settle()?;
    race(Who::Plain, size, bench.job_time, files, |file, chance, body| {
        if job == Job::Write {
            file.seek(SeekFrom::Start(place(chance, size, span)))?;
        }
        file.write_all(body)?;
        Ok(file.sync_data()?)
    })
}

fn fill(mut file: File, bytes: u64) -> Result<()> {
    let mut body = vec![0; 1 << 20];
    for n in 0..bytes >> 20 {
        stamp(&mut body, u64::MAX - n);
        file.write_all(&body)?;
    }
    Ok(file.sync_all()?)
}

fn place(chance: &mut Chance, size: usize, span: u64) -> u64 {
    chance.below(span / size as u64) * size as u64
}

/// Bytes that are in no other request.
fn stamp(body: &mut [u8], seed: u64) {
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(body);
}

/// Changes every block, which is quicker than to make new ones.
fn change(body: &mut [u8], number: u64) {
    for block in body.chunks_mut(4096) {
        if let Some(head) = block.get_mut(..8) {
            head.copy_from_slice(&number.to_le_bytes());
        }
    }
}

/// Lets all begin at once and stops them after `time`; what was begun is ended and counted.
fn race<T: Send>(
    who: Who,
    size: usize,
    time: Duration,
    tools: Vec<T>,
    request: impl Fn(&mut T, &mut Chance, &[u8]) -> Result<()> + Sync,
) -> Result<Sample> {
    let writers = tools.len();
    let start = Barrier::new(writers + 1);
    let clock = env().clock();
    let mut latencies = Vec::new();
    let seconds = std::thread::scope(|scope| -> Result<f64> {
        let threads: Vec<_> = (0..)
            .zip(tools)
            .map(|(id, mut tool): (u64, T)| {
                let (start, request) = (&start, &request);
                scope.spawn(move || -> Result<Vec<f64>> {
                    let mut body = vec![0; size];
                    stamp(&mut body, id);
                    let (mut chance, mut took) = (Chance::new(id), Vec::new());
                    start.wait();
                    let end = clock.monotonic() + time;
                    while clock.monotonic() < end {
                        change(&mut body, id << 32 | took.len() as u64);
                        let begin = clock.monotonic();
                        request(&mut tool, &mut chance, &body)?;
                        took.push(ms(clock.monotonic() - begin));
                    }
                    Ok(took)
                })
            })
            .collect();
        start.wait();
        let begin = clock.monotonic();
        for thread in threads {
            let took = thread.join().ok().context("a writer panicked")?;
            latencies.extend(took?);
        }
        Ok((clock.monotonic() - begin).as_secs_f64())
    })?;
    Ok(Sample { who, size, writers, requests: latencies.len(), seconds, latencies })
}
