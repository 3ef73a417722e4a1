//! The daemon is killed with -9 at random moments under [`crate::load`], which
//! knows what was acknowledged; afterwards everything is judged.
//!
//! Each round: writers on two volumes, and beside them snapshots, clones,
//! images and their removal, with small segments and a collector that never
//! rests. Then the kill. One time in four the daemon is killed again while it
//! recovers. Then everything is read: each block old or new, nothing torn,
//! nothing of another block or volume, nothing flushed lost; what was made and
//! acknowledged is there and exact, what was removed stays removed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::daemon::{Daemon, Options};
use crate::env;
use crate::load::{self, Ledger, collector_exists, settings};
use crate::stamp::Chance;

/// How many rounds the test runs, instead of [`ROUNDS_DEFAULT`].
pub const ROUNDS_VARIABLE: &str = "ARCHIPELAGO_CRASH_ROUNDS";

/// Where the random choices start; otherwise they differ from run to run.
pub const SEED_VARIABLE: &str = "ARCHIPELAGO_CRASH_SEED";

/// Enough for the normal suite to catch what breaks often.
pub const ROUNDS_DEFAULT: u32 = 20;

/// The kill comes at most this long after the writers began.
const KILL_AFTER_MS_MAX: u64 = 500;

/// A second kill comes at most this long after the restart began.
const KILL_AGAIN_MS_MAX: u64 = 150;

/// A store is used for so many rounds. Without a collector it grows from round to round; with one
/// it does not, and what a former crash left is met by many later ones.
fn rounds_per_store() -> u32 {
    if collector_exists() { 100 } else { 10 }
}

/// Runs `rounds` kills. `told` gets a line for each.
pub fn campaign(rounds: u32, seed: u64, told: impl FnMut(&str)) -> Result<()> {
    campaign_in(&|_| None, rounds, seed, told)
}

/// The same, of stores whose segments, or catalog, are where `place` says of the n-th store.
pub fn campaign_in(
    place: &dyn Fn(u32) -> Option<String>,
    rounds: u32,
    seed: u64,
    mut told: impl FnMut(&str),
) -> Result<()> {
    told(&format!("{rounds} rounds, {SEED_VARIABLE}={seed}"));
    let mut chance = Chance::new(seed);
    let mut store = None;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let mut current = match store.take() {
            Some(store) if round % rounds_per_store() != 0 => store,
            _ => Store::new(place(round))?,
        };
        let line = current
            .round(&mut chance)
            .with_context(|| format!("round {round} of {SEED_VARIABLE}={seed}"));
        let line = match line {
            Ok(line) => line,
            Err(error) => bail!("{error:#}\nthe store is kept in {}", current.kept()),
        };
        slowest = slowest.max(current.daemon.start_took);
        told(&format!("round {round}: {line}"));
        store = Some(current);
    }
    told(&format!("{rounds} kills, nothing lost; slowest restart {} ms", slowest.as_millis()));
    Ok(())
}

/// A data folder, the daemon on it, and what it may hold.
struct Store {
    /// Before its folder: dropped while it runs, it would make files in what is removed.
    daemon: Daemon,
    folder: TempDir,
    place: Option<String>,
    ledger: Ledger,
}

fn options(folder: &TempDir, place: Option<&str>) -> Result<Options> {
    let settings = settings(folder.path())?;
    if let Some(url) = place {
        let known = std::fs::read_to_string(&settings)?;
        let section = if url.starts_with("postgres:") { "catalog" } else { "pool" };
        std::fs::write(&settings, format!("{known}\n[{section}]\nurl = \"{url}\"\n"))?;
    }
    let settings = settings.display().to_string();
    Ok(Options::new(&folder.path().join("data")).args(&["--config", &settings]))
}

impl Store {
    fn new(place: Option<String>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let daemon = options(&folder, place.as_deref())?.start()?;
        let ledger = Ledger::without_moments();
        load::make_volumes(&ledger, &daemon)?;
        Ok(Self { folder, place, daemon, ledger })
    }

    fn round(&mut self, chance: &mut Chance) -> Result<String> {
        let Self { folder, daemon, ledger, .. } = self;
        let kill_after = Duration::from_millis(chance.below(KILL_AFTER_MS_MAX));
        let counters = load::run(ledger, daemon, folder.path(), chance, |daemon, ending, _| {
            env().clock().sleep(kill_after);
            ending.kill();
            daemon.kill();
            Ok(())
        })?;
        let again = self.restart(chance)?;
        let judged = load::judge(&self.ledger, &self.daemon, self.ledger.now())?;
        self.ledger.settled(&judged);
        self.ledger.begin_again(0, Box::new(|| 0));
        self.ledger.keep_only(&judged);
        Ok(format!(
            "killed after {} ms{again}, {}; {} things judged, ready in {} ms",
            kill_after.as_millis(),
            counters.told(),
            judged.len(),
            self.daemon.start_took.as_millis()
        ))
    }

    /// Starts the daemon again, now and then after killing it while it recovers.
    fn restart(&mut self, chance: &mut Chance) -> Result<String> {
        let options = options(&self.folder, self.place.as_deref())?.like(&self.daemon);
        let mut told = String::new();
        if chance.once_in(4) {
            let after = chance.below(KILL_AGAIN_MS_MAX);
            options.start_and_kill(Duration::from_millis(after))?;
            told = format!(" and {after} ms into recovery");
        }
        self.daemon = options.start().context("after the kill")?;
        Ok(told)
    }

    /// Keeps the folder for whoever looks for the fault, and tells where it is.
    fn kept(self) -> String {
        let Self { folder, mut daemon, .. } = self;
        daemon.kill();
        folder.keep().display().to_string()
    }
}
