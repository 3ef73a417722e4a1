//! The daemon is killed with -9 at random moments under writers that know what
//! was acknowledged; afterwards every block is judged.
//!
//! Each round: two volumes, two writers on each with connections of their own;
//! batches of stamped blocks, zeros and trims, some with FUA, now and then a
//! flush (which covers the writes of *all* connections to that volume) and a
//! snapshot. Then the kill. One time in four the daemon is killed again while
//! it recovers. Then everything is read: each block old or new, nothing torn,
//! nothing of another block or volume, nothing flushed lost, every snapshot
//! that was acknowledged whole.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::cli::Cli;
use crate::daemon::{Daemon, Options};
use crate::env;
use crate::nbd::{Client, Failure, Kind, Request};
use crate::stamp::{BLOCK_BYTES, Blocks, Chance, Content, Mark, stamp};

/// How many rounds the test runs, instead of [`ROUNDS_DEFAULT`].
pub const ROUNDS_VARIABLE: &str = "ARCHIPELAGO_CRASH_ROUNDS";

/// Where the random choices start; otherwise they differ from run to run.
pub const SEED_VARIABLE: &str = "ARCHIPELAGO_CRASH_SEED";

/// Enough for the normal suite to catch what breaks often.
pub const ROUNDS_DEFAULT: u32 = 20;

/// Blocks of each volume: few enough that blocks are overwritten many times and a round reads all.
const VOLUME_BLOCKS: usize = 4096;

const VOLUMES: usize = 2;

/// Writers of each volume; each has its own part of the blocks.
const WRITERS: usize = 2;

/// A batch has at most this many requests in flight on a connection.
const BATCH_MAX: u64 = 16;

/// A request covers at most this many blocks.
const REQUEST_BLOCKS_MAX: u64 = 16;

/// The kill comes at most this long after the writers began.
const KILL_AFTER_MS_MAX: u64 = 500;

/// A second kill comes at most this long after the restart began.
const KILL_AGAIN_MS_MAX: u64 = 150;

/// A store is used for so many rounds, so that a long campaign does not fill the disk while
/// segments are never removed.
const ROUNDS_PER_STORE: u32 = 10;

/// Bytes read at once to judge a volume.
const READ_BYTES: usize = 1 << 20;

/// Runs `rounds` kills. `told` gets a line for each.
pub fn campaign(rounds: u32, seed: u64, mut told: impl FnMut(&str)) -> Result<()> {
    told(&format!("{rounds} rounds, {SEED_VARIABLE}={seed}"));
    let mut chance = Chance::new(seed);
    let mut store = None;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let mut current = match store.take() {
            Some(store) if round % ROUNDS_PER_STORE != 0 => store,
            _ => Store::new()?,
        };
        let line = current
            .round(round, &mut chance)
            .with_context(|| format!("round {round} of {SEED_VARIABLE}={seed}"))?;
        slowest = slowest.max(current.daemon.start_took);
        told(&format!("round {round}: {line}"));
        store = Some(current);
    }
    told(&format!("{rounds} kills, nothing lost; slowest restart {} ms", slowest.as_millis()));
    Ok(())
}

/// A data folder, the daemon on it, and what its volumes may hold.
struct Store {
    folder: TempDir,
    daemon: Daemon,
    volumes: Vec<Mutex<Blocks>>,
    version: AtomicU64,
}

/// What happened up to the kill.
#[derive(Default)]
struct Counters {
    writes: AtomicU64,
    flushes: AtomicU64,
}

/// A snapshot that was acknowledged, with what it may hold.
struct Taken {
    volume: usize,
    name: String,
    from: Mark,
    to: Mark,
}

fn name(volume: usize) -> String {
    format!("vol{volume}")
}

impl Store {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let daemon = Daemon::start(&folder.path().join("data"))?;
        let bytes = (VOLUME_BLOCKS * BLOCK_BYTES).to_string();
        let mut volumes = Vec::new();
        for volume in 0..VOLUMES {
            daemon.cli()?.run(&["volume", "create", &name(volume), "--size", &bytes])?;
            volumes.push(Mutex::new(Blocks::new(volume as u64 + 1, VOLUME_BLOCKS)));
        }
        Ok(Self { folder, daemon, volumes, version: AtomicU64::new(1) })
    }

    fn round(&mut self, round: u32, chance: &mut Chance) -> Result<String> {
        let counters = Counters::default();
        let killed = AtomicBool::new(false);
        let kill_after = Duration::from_millis(chance.below(KILL_AFTER_MS_MAX));
        let seeds: Vec<u64> = (0..=VOLUMES * WRITERS).map(|_| chance.number()).collect();
        let server = self.daemon.nbd().to_owned();
        let cli = self.daemon.cli()?;
        let Self { daemon, volumes, version, .. } = self;
        let (volumes, version) = (&*volumes, &*version);
        let (counters_, killed_, server_) = (&counters, &killed, server.as_str());
        let taken = std::thread::scope(|scope| -> Result<Vec<Taken>> {
            let mut writers = Vec::new();
            for writer in 0..VOLUMES * WRITERS {
                let mut writer = Writer {
                    chance: Chance::new(seeds[writer]),
                    volume: writer % VOLUMES,
                    part: writer / VOLUMES,
                    blocks: &volumes[writer % VOLUMES],
                    version,
                    counters: counters_,
                };
                writers.push(scope.spawn(move || writer.run(server_, killed_)));
            }
            let mut chance = Chance::new(seeds[VOLUMES * WRITERS]);
            let snapshots =
                scope.spawn(move || take_snapshots(&cli, volumes, round, &mut chance, killed_));
            env().clock().sleep(kill_after);
            killed.store(true, Ordering::SeqCst);
            daemon.kill();
            for writer in writers {
                writer.join().map_err(|_| anyhow!("a writer panicked"))??;
            }
            snapshots.join().map_err(|_| anyhow!("the taker of snapshots panicked"))
        })?;
        let again = self.restart(chance)?;
        self.judge(&taken)?;
        Ok(format!(
            "killed after {} ms{again}, {} writes and {} flushes acknowledged, {} snapshots, ready in {} ms",
            kill_after.as_millis(),
            counters.writes.into_inner(),
            counters.flushes.into_inner(),
            taken.len(),
            self.daemon.start_took.as_millis()
        ))
    }

    /// Starts the daemon again, now and then after killing it while it recovers.
    fn restart(&mut self, chance: &mut Chance) -> Result<String> {
        let options = Options::new(&self.folder.path().join("data")).like(&self.daemon);
        let mut told = String::new();
        if chance.once_in(4) {
            let after = chance.below(KILL_AGAIN_MS_MAX);
            options.start_and_kill(Duration::from_millis(after))?;
            told = format!(" and {after} ms into recovery");
        }
        self.daemon = options.start().context("after the kill")?;
        Ok(told)
    }

    fn judge(&self, taken: &[Taken]) -> Result<()> {
        for one in taken {
            let data = self.read(&format!("{}@{}", name(one.volume), one.name))?;
            let blocks = self.volumes[one.volume].lock();
            blocks.snapshot(&data, &one.from, &one.to).map_err(|message| {
                anyhow!("snapshot {}@{}: {message}", name(one.volume), one.name)
            })?;
        }
        for (volume, blocks) in self.volumes.iter().enumerate() {
            let data = self.read(&name(volume))?;
            blocks.lock().recovered(&data).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    fn read(&self, export: &str) -> Result<Vec<u8>> {
        let mut client = Client::connect(self.daemon.nbd(), export)
            .with_context(|| format!("opening {export} after the kill"))?;
        let size = VOLUME_BLOCKS * BLOCK_BYTES;
        ensure!(client.size() == size as u64, "{export} has {} bytes", client.size());
        let mut data = Vec::with_capacity(size);
        while data.len() < size {
            let part = client.read(data.len() as u64, READ_BYTES as u32);
            data.extend(part.with_context(|| format!("reading {export} after the kill"))?);
        }
        Ok(data)
    }
}

/// Takes snapshots until the daemon is gone; only what was acknowledged counts.
fn take_snapshots(
    cli: &Cli,
    volumes: &[Mutex<Blocks>],
    round: u32,
    chance: &mut Chance,
    killed: &AtomicBool,
) -> Vec<Taken> {
    let mut taken = Vec::new();
    while !killed.load(Ordering::SeqCst) {
        env().clock().sleep(Duration::from_millis(chance.below(KILL_AFTER_MS_MAX / 2)));
        let volume = chance.below(VOLUMES as u64) as usize;
        let snapshot = format!("r{round}-{}", taken.len());
        let from = volumes[volume].lock().mark();
        if cli.run(&["snapshot", "create", &format!("{}@{snapshot}", name(volume))]).is_err() {
            continue;
        }
        let to = volumes[volume].lock().sent_mark();
        taken.push(Taken { volume, name: snapshot, from, to });
    }
    taken
}

/// One connection that writes its part of a volume.
struct Writer<'a> {
    chance: Chance,
    volume: usize,
    part: usize,
    blocks: &'a Mutex<Blocks>,
    version: &'a AtomicU64,
    counters: &'a Counters,
}

/// A request of a batch, with the bytes it writes.
struct Planned {
    kind: Kind,
    durable: bool,
    block: usize,
    content: Vec<Content>,
    data: Vec<u8>,
}

impl Planned {
    fn request(&self) -> Request<'_> {
        let offset = (self.block * BLOCK_BYTES) as u64;
        let len = (self.content.len() * BLOCK_BYTES) as u32;
        let request = match self.kind {
            Kind::Write => Request::write(offset, &self.data),
            kind => Request::plain(kind, offset, len),
        };
        if self.durable { request.durable() } else { request }
    }
}

impl Writer<'_> {
    /// Writes until the connection breaks, which it may do only once the daemon is killed.
    fn run(&mut self, server: &str, killed: &AtomicBool) -> Result<()> {
        let outcome = self.write(server);
        match outcome {
            Err(Failure::Broken(_)) if killed.load(Ordering::SeqCst) => Ok(()),
            Err(failure) => Err(failure).context("before the kill"),
            Ok(never) => match never {},
        }
    }

    fn write(&mut self, server: &str) -> Result<std::convert::Infallible, Failure> {
        let mut client = Client::connect(server, &name(self.volume))?;
        loop {
            let batch = self.plan();
            {
                let mut blocks = self.blocks.lock();
                for one in &batch {
                    for (at, content) in one.content.iter().enumerate() {
                        blocks.sent(one.block + at, *content);
                    }
                }
            }
            let requests: Vec<_> = batch.iter().map(Planned::request).collect();
            client.all(&requests)?;
            {
                let mut blocks = self.blocks.lock();
                for one in &batch {
                    for at in 0..one.content.len() {
                        blocks.acknowledged(one.block + at, one.durable);
                    }
                }
            }
            self.counters.writes.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if self.chance.once_in(4) {
                let mark = self.blocks.lock().mark();
                client.flush()?;
                self.blocks.lock().flushed(&mark);
                self.counters.flushes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Requests that do not touch one another: what overlaps in flight has no order.
    fn plan(&mut self) -> Vec<Planned> {
        let size = VOLUME_BLOCKS / WRITERS;
        let mut used = vec![false; size];
        let mut batch = Vec::new();
        for _ in 0..=self.chance.below(BATCH_MAX) {
            let len = 1 + self.chance.below(REQUEST_BLOCKS_MAX) as usize;
            let first = self.chance.below((size - len + 1) as u64) as usize;
            let Some(range) = used.get_mut(first..first + len) else { continue };
            if range.contains(&true) {
                continue;
            }
            range.fill(true);
            batch.push(self.planned(self.part * size + first, len));
        }
        batch
    }

    fn planned(&mut self, block: usize, len: usize) -> Planned {
        let kind = match self.chance.below(12) {
            0 => Kind::Zero,
            1 => Kind::Trim,
            _ => Kind::Write,
        };
        let durable = self.chance.once_in(10);
        let (mut content, mut data) = (Vec::new(), Vec::new());
        for at in 0..len {
            if kind == Kind::Write {
                let version = self.version.fetch_add(1, Ordering::Relaxed);
                content.push(Content::Version(version));
                data.extend(stamp(self.volume as u64 + 1, (block + at) as u64, version));
            } else {
                content.push(Content::Zeros);
            }
        }
        Planned { kind, durable, block, content, data }
    }
}
