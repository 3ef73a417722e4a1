//! Work for a store that is going to crash, and the judge of what it left.
//!
//! Two volumes are written by connections that know what was acknowledged.
//! Beside them one client takes snapshots, clones volumes, snapshots and
//! images, overwrites the clones, imports images that repeat what others held,
//! and removes all of these again, so that a collector has work. The
//! [`Ledger`] knows what each of them may hold after a crash at any moment.
//!
//! The same work is done under `kill -9` ([`crate::crash`]) and under power cuts
//! ([`crate::powercut`]).

mod churn;
mod ledger;
mod settings;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

pub use ledger::{Clock, Judged, Ledger};
pub use settings::{collector_exists, settings};

use crate::daemon::Daemon;
use crate::nbd::{Client, exports};
use crate::stamp::{BLOCK_BYTES, Chance};

/// Blocks of every volume and image: few enough that blocks are overwritten many times and all of
/// it is read after each crash.
pub const VOLUME_BLOCKS: usize = 1024;

/// Volumes that are written all the time.
pub const VOLUMES: usize = 2;

/// Writers of each volume; each has its own part of the blocks.
const WRITERS: usize = 2;

/// Bytes read at once to judge a volume.
const READ_BYTES: usize = 1 << 20;

/// A word for those who work: whether to stop, and whether errors are expected.
#[derive(Default)]
pub struct Ending {
    writers: AtomicBool,
    churn: AtomicBool,
    churn_ended: AtomicBool,
    failed: AtomicBool,
    killed: AtomicBool,
}

impl Ending {
    /// Whoever works stops after what is under way.
    pub fn stop(&self) {
        self.churn.store(true, Ordering::SeqCst);
        self.writers.store(true, Ordering::SeqCst);
    }

    /// Only who makes and removes volumes stops.
    pub fn stop_churn(&self) {
        self.churn.store(true, Ordering::SeqCst);
    }

    /// Whether nobody makes or removes volumes any more.
    pub fn churn_ended(&self) -> bool {
        self.churn_ended.load(Ordering::SeqCst)
    }

    /// The daemon is about to be killed: from now on errors are no news.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.stop();
    }

    /// Whether somebody failed, so that waiting for more work is in vain.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }
}

/// What was acknowledged while a load ran.
#[derive(Default)]
pub struct Counters {
    /// Requests of the writers.
    pub writes: AtomicU64,
    /// Flushes of the writers.
    pub flushes: AtomicU64,
    /// Snapshots, clones and images made.
    pub made: AtomicU64,
    /// Snapshots, clones and images removed.
    pub removed: AtomicU64,
}

impl Counters {
    /// All of it in words.
    pub fn told(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} writes and {} flushes acknowledged, {} things made and {} removed",
            of(&self.writes),
            of(&self.flushes),
            of(&self.made),
            of(&self.removed)
        )
    }
}

/// Makes the volumes that the writers write.
pub fn make_volumes(ledger: &Ledger, daemon: &Daemon) -> Result<()> {
    let bytes = (VOLUME_BLOCKS * BLOCK_BYTES).to_string();
    for volume in 0..VOLUMES {
        let name = name(volume);
        ledger.making_volume(&name, VOLUME_BLOCKS);
        daemon.cli()?.run(&["volume", "create", &name, "--size", &bytes])?;
        ledger.made(&name);
    }
    Ok(())
}

/// Works on a daemon until `until` returns, which has told the [`Ending`] by then. `folder` is for
/// the files of images.
pub fn run(
    ledger: &Ledger,
    daemon: &mut Daemon,
    folder: &Path,
    chance: &mut Chance,
    until: impl FnOnce(&mut Daemon, &Ending, &Counters) -> Result<()>,
) -> Result<Counters> {
    let (counters, ending) = (Counters::default(), Ending::default());
    let seeds: Vec<u64> = (0..=VOLUMES * WRITERS).map(|_| chance.number()).collect();
    let server = daemon.nbd().to_owned();
    let cli = daemon.cli()?;
    let (counters_, ending_, server_) = (&counters, &ending, server.as_str());
    std::thread::scope(|scope| -> Result<()> {
        let mut workers = Vec::new();
        for (number, seed) in seeds[1..].iter().enumerate() {
            let mut writer = writer::Writer {
                chance: Chance::new(*seed),
                volume: number % VOLUMES,
                part: number / VOLUMES,
                blocks: ledger.volume(&name(number % VOLUMES))?,
                ledger,
                counters: counters_,
                ending: ending_,
            };
            workers.push(scope.spawn(move || watched(ending_, || writer.run(server_))));
        }
        let mut churn = churn::Churn {
            chance: Chance::new(seeds[0]),
            ledger,
            cli,
            server: server_,
            folder,
            counters: counters_,
            ending: ending_,
        };
        workers.push(scope.spawn(move || {
            let outcome = watched(ending_, || churn.run());
            ending_.churn_ended.store(true, Ordering::SeqCst);
            outcome
        }));
        let outcome = until(daemon, ending_, counters_);
        ending.stop();
        let mut worked = Ok(());
        for worker in workers {
            worked = worked.and(worker.join().map_err(|_| anyhow!("a worker panicked"))?);
        }
        worked.and(outcome)
    })?;
    Ok(counters)
}

fn watched(ending: &Ending, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let outcome = work();
    if outcome.is_err() {
        ending.failed.store(true, Ordering::SeqCst);
    }
    outcome
}

/// Reads everything that a daemon serves after a crash at a moment of the ledger and judges it.
pub fn judge(ledger: &Ledger, daemon: &Daemon, at: u64) -> Result<Judged> {
    let names = exports(daemon.nbd()).context("listing the exports after the crash")?;
    let judged = ledger.judge(&names, at, |export| read(daemon.nbd(), export))?;
    check_is_clean(daemon)?;
    Ok(judged)
}

/// `archipelago check` finds nothing wrong. What a crash left in the pool that nobody names
/// is no harm: the next collection removes it.
fn check_is_clean(daemon: &Daemon) -> Result<()> {
    let output = daemon.cli()?.command(&["check", "--json"]).output()?;
    let found: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`check` after the crash: {}", output.stderr))?;
    let findings = found["findings"].as_array().context("`check --json` lists no findings")?;
    // What nobody had flushed may be torn.
    let borne = |one: &serde_json::Value| one["severity"] == "leak" || one["kind"] == "torn";
    let harm: Vec<_> = findings.iter().filter(|one| !borne(one)).collect();
    anyhow::ensure!(harm.is_empty(), "`check` after the crash: {harm:?}");
    Ok(())
}

/// The name of a volume that the writers write.
fn name(volume: usize) -> String {
    format!("vol{volume}")
}

/// Reads a whole export.
fn read(server: &str, export: &str) -> Result<Vec<u8>> {
    let mut client =
        Client::connect(server, export).with_context(|| format!("opening {export}"))?;
    let size = VOLUME_BLOCKS * BLOCK_BYTES;
    ensure!(client.size() == size as u64, "{export} has {} bytes", client.size());
    let mut data = Vec::with_capacity(size);
    while data.len() < size {
        let part = client.read(data.len() as u64, READ_BYTES as u32);
        data.extend(part.with_context(|| format!("reading {export}"))?);
    }
    Ok(data)
}

/// How long a client waits between two commands, at most.
const PAUSE_MAX: Duration = Duration::from_millis(10);
