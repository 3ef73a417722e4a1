//! Power cuts on a real file system.
//!
//! The daemon's data folder is on a disk whose every write and flush is
//! recorded. [`crate::load`] runs on it, with a kill and a clean stop between, and
//! notes for everything that is acknowledged how long the record was by then.
//! Then the disk is put together as a cut at some moment leaves it: what a flush
//! covered, and of the rest what chance keeps. The file system is mounted, the
//! daemon started, and everything judged by what was acknowledged before the
//! cut. One of these disks is what the next record begins with, so that cuts
//! fall into the recovery from a cut, too.

mod careless;
mod record;
mod rig;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

pub use careless::Careless;
pub use record::{Fate, Platter, Record};
pub use rig::{DISK_BYTES, Mount, Rig, Unmountable, possible};

use crate::daemon::{Daemon, Options};
use crate::filesystem::Kind;
use crate::load::{self, Counters, Ending, Ledger, collector_exists, settings};
use crate::stamp::{Chance, Moment};
use crate::wait_for;

/// How many cuts the test makes, instead of [`CUTS_DEFAULT`].
pub const CUTS_VARIABLE: &str = "ARCHIPELAGO_CUTS";

/// Where the random choices start; otherwise they differ from run to run. What threads do at the
/// same time differs all the same: a disk that shows a fault is kept, not found again.
pub const SEED_VARIABLE: &str = "ARCHIPELAGO_CUTS_SEED";

/// `ext4` or `xfs`.
pub const FS_VARIABLE: &str = "ARCHIPELAGO_CUTS_FS";

/// Enough for the normal suite to catch what breaks often.
pub const CUTS_DEFAULT: u32 = 10;

/// After so many cuts a new record is made, on what a cut of the last one left.
const CUTS_PER_RECORD: u32 = 125;

/// A store lives for so many records. Without a collector the disk would be full with the next.
fn records_per_store() -> u32 {
    if collector_exists() { 8 } else { 3 }
}

/// So many cuts of a campaign may leave a disk that its own file system refuses.
const UNMOUNTABLE_MAX: u32 = 20;

/// A record has three parts: before a kill, before a clean stop, and after it.
const PARTS: u32 = 3;

/// Bytes that the record grows by in a part: some dozen segments, and for the longest record a
/// quarter of the disk while nothing is ever freed.
const PART_BYTES: u64 = 24 << 20;

/// Of so many moments the one with the most in flight is chosen, for a quarter of the cuts: SQLite
/// flushes so often that most moments have little.
const BUSIEST_OF: u32 = 16;

/// A part ends after so many writes, too: the record of a daemon that syncs nothing hardly grows.
const PART_WRITES_MAX: u64 = 2000;

/// A disk that is slower than this makes no record.
const PART_WITHIN: Duration = Duration::from_secs(60);

/// So many disks that show a fault are kept.
const KEPT_MAX: usize = 3;

/// Where memory is used like a disk: nothing of a record needs to outlive the test.
const MEMORY: &str = "/dev/shm";

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// How many cuts.
    pub cuts: u32,
    /// Where the random choices start.
    pub seed: u64,
    /// The file system under the data folder.
    pub kind: Kind,
    /// What the daemon forgets, and whether the first fault ends the campaign.
    pub careless: Option<Careless>,
}

/// What was found.
#[derive(Default, Debug)]
pub struct Found {
    /// Cuts made and judged.
    pub cuts: u32,
    /// One text for each cut that lost something.
    pub losses: Vec<String>,
    /// Volumes, snapshots and images read and judged.
    pub judged: u64,
    /// Cuts whose file system could not be mounted.
    pub unmountable: u32,
    /// Sectors in flight at the cuts.
    pub sectors: u64,
    /// The slowest start after a cut.
    pub slowest: Duration,
}

impl Campaign {
    /// Makes the cuts. `told` gets a line for each.
    ///
    /// # Errors
    /// The machine cannot do it, or the daemon fails without a cut. What a cut destroyed is in
    /// what was found.
    pub fn run(&self, mut told: impl FnMut(&str)) -> Result<Found> {
        possible()?;
        let mut stage = Stage::new(self)?;
        let mut chance = Chance::new(self.seed);
        let mut found = Found::default();
        told(&format!("{} cuts on {:?}, {SEED_VARIABLE}={}", self.cuts, self.kind, self.seed));
        while found.cuts < self.cuts {
            if stage.records == records_per_store() {
                drop(stage);
                stage = Stage::new(self)?;
            }
            let record = stage.record(&mut chance, &mut told)?;
            let cuts = CUTS_PER_RECORD.min(self.cuts - found.cuts);
            let plan = stage.plan(&record, cuts, &mut chance);
            let mut platter = Platter::new(&record, &stage.base())?;
            for (at, fate) in plan {
                let line = stage.cut(&mut platter, at, fate, &mut found)?;
                told(&format!("cut {}: at {at}, {fate:?}: {line}", found.cuts));
                if self.careless.is_some() && !found.losses.is_empty() {
                    return Ok(found);
                }
            }
            stage.go_on_from_a_cut(&record, &mut chance)?;
        }
        Ok(found)
    }
}

/// The folder in which everything happens, and what the store in it may hold.
struct Stage {
    folder: TempDir,
    ledger: Ledger,
    wrapper: Option<(PathBuf, &'static str)>,
    seed: u64,
    /// How many records there were.
    records: u32,
}

impl Stage {
    fn new(campaign: &Campaign) -> Result<Self> {
        let folder = match Path::new(MEMORY).is_dir() {
            true => tempfile::tempdir_in(MEMORY)?,
            false => tempfile::tempdir()?,
        };
        let ledger = Ledger::new(Box::new(Rig::clock(folder.path())));
        let wrapper = campaign.careless.map(|careless| careless.wrapper(folder.path()));
        Rig::format(folder.path(), campaign.kind)?;
        settings(folder.path())?;
        let wrapper = wrapper.transpose()?;
        Ok(Self { folder, ledger, wrapper, seed: campaign.seed, records: 0 })
    }

    fn base(&self) -> PathBuf {
        Rig::base(self.folder.path())
    }

    fn options(&self, data: &Path) -> Result<Options> {
        let settings = settings(self.folder.path())?.display().to_string();
        Ok(Options::new(data).args(&["--config", &settings]))
    }

    /// Records a daemon at work on the disk as it is in `base`.
    fn record(&mut self, chance: &mut Chance, told: &mut impl FnMut(&str)) -> Result<Record> {
        let rig = Rig::start(self.folder.path())?;
        let mut options = self.options(&rig.data())?;
        if let Some((wrapper, call)) = &self.wrapper {
            options = options.under(wrapper, &[call]);
        }
        let mut daemon = options.start().context("at the beginning of a record")?;
        if self.records == 0 {
            load::make_volumes(&self.ledger, &daemon)?;
        } else {
            let judged = load::judge(&self.ledger, &daemon, 0)?;
            self.ledger.settled(&judged);
            self.ledger.keep_only(&judged);
        }
        self.records += 1;
        for part in 0..PARTS {
            let kill = part == 0;
            let end = self.ledger.now() + PART_BYTES;
            let until = |daemon: &mut Daemon, ending: &Ending, counters: &Counters| {
                let enough = || {
                    let writes = counters.writes.load(Ordering::Relaxed);
                    ending.failed() || end <= self.ledger.now() || PART_WRITES_MAX <= writes
                };
                finish(daemon, ending, kill, enough)
            };
            let counters = load::run(&self.ledger, &mut daemon, self.folder.path(), chance, until)?;
            told(&format!("record {}: {}", self.records, counters.told()));
            match part {
                0 => {
                    daemon = options.start().context("after a kill")?;
                    let judged = load::judge(&self.ledger, &daemon, self.ledger.now())?;
                    self.ledger.settled(&judged);
                }
                1 => {
                    daemon.stop()?;
                    daemon = options.start().context("after a clean stop")?;
                }
                _ => daemon.kill(),
            }
        }
        drop(daemon);
        rig.stop()?;
        Record::open(&Rig::record(self.folder.path()), DISK_BYTES)
    }

    /// Chooses moments, in their order: behind any write, where much is in flight, round a flush,
    /// or right when something was acknowledged, which is when most is promised.
    fn plan(&self, record: &Record, cuts: u32, chance: &mut Chance) -> Vec<(Moment, Fate)> {
        let any: Vec<_> = record.moments().collect();
        let (flushes, promises) = (record.flushes(), self.ledger.moments());
        let mut plan: Vec<_> = (0..cuts)
            .map(|_| {
                let one = |moments: &[Moment], chance: &mut Chance| {
                    moments[chance.below(moments.len() as u64) as usize]
                };
                let at = match chance.below(4) {
                    0 => one(&flushes, chance),
                    1 => one(&promises, chance),
                    2 => one(&any, chance),
                    _ => (0..BUSIEST_OF)
                        .map(|_| one(&any, chance))
                        .max_by_key(|at| record.in_flight(*at))
                        .unwrap_or_default(),
                };
                (at, Fate::choose(chance))
            })
            .collect();
        plan.sort_by_key(|(at, _)| *at);
        plan
    }

    /// Makes one cut and judges what it left.
    fn cut(
        &self,
        platter: &mut Platter<'_>,
        at: Moment,
        fate: Fate,
        found: &mut Found,
    ) -> Result<String> {
        let path = self.folder.path().join("cut");
        let disk = File::options().write(true).create(true).truncate(false).open(&path)?;
        let sectors = platter.cut(at, fate, &disk)?;
        drop(disk);
        found.cuts += 1;
        found.sectors += sectors;
        // A superblock or a journal's head that is torn in itself is beyond what the file
        // system promises, and nothing of ours.
        let outcome = match self.judge(&path, at) {
            Err(error) if error.is::<Unmountable>() && found.unmountable < UNMOUNTABLE_MAX => {
                found.unmountable += 1;
                return Ok(format!("{sectors} sectors in flight, and no file system: {error}"));
            }
            outcome => outcome?,
        };
        Ok(match outcome {
            Ok((judged, took)) => {
                found.judged += judged as u64;
                found.slowest = found.slowest.max(took);
                format!(
                    "{sectors} sectors in flight, {judged} things judged, ready in {} ms",
                    took.as_millis()
                )
            }
            Err(error) => {
                let kept = match found.losses.len() < KEPT_MAX {
                    true => self.keep(platter, at, fate, found.cuts)?,
                    false => String::new(),
                };
                let loss = format!("at {at}, {fate:?}: {error:#}{kept}");
                found.losses.push(loss.clone());
                format!("LOST {loss}")
            }
        })
    }

    /// Mounts a disk that a cut left and judges the store on it. The outer error is of the file
    /// system, the inner one of the store.
    fn judge(&self, disk: &Path, at: Moment) -> Result<Result<(usize, Duration)>> {
        let mount = Mount::new(disk, &self.folder.path().join("after"))?;
        let options = self.options(&self.folder.path().join("after/data"))?;
        let judged = options.start().and_then(|daemon| {
            let judged = load::judge(&self.ledger, &daemon, at)?;
            Ok((judged.len(), daemon.start_took))
        });
        mount.end()?;
        Ok(judged)
    }

    /// Keeps a disk as a cut left it, and tells where.
    fn keep(&self, platter: &Platter<'_>, at: Moment, fate: Fate, number: u32) -> Result<String> {
        let name = format!("archipelago-cut-{}-{}-{number}.disk", self.seed, self.records);
        let path = std::env::temp_dir().join(name);
        platter.again(at, fate, &File::create(&path)?)?;
        Ok(format!("\nthe disk is kept in {}", path.display()))
    }

    /// Makes what a cut in the last third of the record left the beginning of the next one.
    fn go_on_from_a_cut(&mut self, record: &Record, chance: &mut Chance) -> Result<()> {
        let moments: Vec<_> = record.moments().collect();
        let third = moments.len() / 3;
        let at = moments[moments.len() - 1 - chance.below(third as u64) as usize];
        let mut platter = Platter::new(record, &self.base())?;
        let disk = File::create(self.folder.path().join("next"))?;
        platter.cut(at, Fate::choose(chance), &disk)?;
        std::fs::rename(self.folder.path().join("next"), self.base())?;
        self.ledger.begin_again(at, Box::new(Rig::clock(self.folder.path())));
        Ok(())
    }
}

/// Waits until there was enough work and ends it. Before a kill nobody makes or removes anything:
/// what becomes of that is for [`crate::crash`] to find out.
fn finish(
    daemon: &mut Daemon,
    ending: &Ending,
    kill: bool,
    enough: impl Fn() -> bool,
) -> Result<()> {
    wait_for(PART_WITHIN, || enough().then_some(())).context("the record does not grow")?;
    ending.stop_churn();
    wait_for(PART_WITHIN, || ending.churn_ended().then_some(()))
        .context("a command does not end")?;
    if kill {
        ending.kill();
        daemon.kill();
    } else {
        ending.stop();
    }
    Ok(())
}
