//! One client that makes and removes snapshots, clones and images beside the
//! writers, so that there is always something to collect.
//!
//! Images are put together of *layers*, which other images had before or have
//! still: an import finds most of its blocks stored already, also in segments
//! that nothing names any more at that moment.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Counters, Ending, Ledger, PAUSE_MAX, VOLUME_BLOCKS, VOLUMES, name, read};
use crate::cli::Cli;
use crate::env;
use crate::nbd::{Client, Failure, Request};
use crate::program::Output;
use crate::stamp::{BLOCK_BYTES, Chance, Content, stamp};

/// At most so many of each kind exist: all of them are read after each crash.
const SNAPSHOTS_MAX: usize = 4;
const CLONES_MAX: usize = 3;
const IMAGES_MAX: usize = 3;

/// An image has so many layers.
const LAYERS: usize = 4;

/// For each place in an image there are so many layers to choose from.
const LAYER_CHOICES: u64 = 3;

/// One import in so many brings a layer that the store has never seen.
const NEW_LAYER_ONCE_IN: u64 = 3;

/// Blocks of zeros at the end of each layer, which become holes.
const LAYER_ZEROS: usize = 16;

/// The numbers that stamps of layers and of clones bear, beside those of the volumes.
const LAYER_NUMBER: u64 = 100;
const CLONE_NUMBER: u64 = 200;

/// Layer versions are above all that a ledger gives out: which layer is chosen decides what it
/// holds, in every round on the same store.
const LAYER_VERSION: u64 = 1 << 40;

/// Blocks that are overwritten at once in a clone, at most.
const OVERWRITE_BLOCKS_MAX: u64 = 64;

/// A server notices within this time that a client is gone; a command meets it meanwhile.
const REFUSALS_MAX: u32 = 200;
const REFUSAL_PAUSE: Duration = Duration::from_millis(10);

/// The client.
pub(super) struct Churn<'a> {
    pub(super) chance: Chance,
    pub(super) ledger: &'a Ledger,
    pub(super) cli: Cli,
    pub(super) server: &'a str,
    pub(super) folder: &'a Path,
    pub(super) counters: &'a Counters,
    pub(super) ending: &'a Ending,
}

fn is_snapshot(name: &str) -> bool {
    name.contains('@')
}

fn is_image(name: &str) -> bool {
    name.starts_with("image:")
}

fn is_clone(name: &str) -> bool {
    name.starts_with("churn-")
}

impl Churn<'_> {
    /// Works until told to stop. What fails once the daemon is killed is no error.
    pub(super) fn run(&mut self) -> Result<()> {
        while !self.ending.churn.load(Ordering::SeqCst) {
            if let Err(error) = self.step() {
                if self.ending.killed() {
                    break;
                }
                return Err(error);
            }
            let pause = self.chance.below(PAUSE_MAX.as_millis() as u64);
            env().clock().sleep(Duration::from_millis(pause));
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        match self.chance.below(4) {
            0 => self.more_or_fewer(is_snapshot, SNAPSHOTS_MAX, Self::snapshot),
            1 => self.more_or_fewer(is_clone, CLONES_MAX, Self::clone_something),
            2 => self.more_or_fewer(is_image, IMAGES_MAX, Self::import),
            _ => self.overwrite(),
        }
    }

    /// Makes one more, or removes one when there are enough, and now and then before.
    fn more_or_fewer(
        &mut self,
        kind: fn(&str) -> bool,
        most: usize,
        make: fn(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let names = self.ledger.names(kind);
        if names.len() < most && (names.is_empty() || !self.chance.once_in(4)) {
            return make(self);
        }
        let victim = self.one_of(&names).context("there is one")?;
        self.remove(&victim)
    }

    fn one_of(&mut self, names: &[String]) -> Option<String> {
        let at = self.chance.below(names.len().max(1) as u64) as usize;
        names.get(at).cloned()
    }

    fn snapshot(&mut self) -> Result<()> {
        let number = self.ledger.fresh();
        let all = self.chance.once_in(3);
        let one = self.chance.below(VOLUMES as u64) as usize;
        let volumes = (0..VOLUMES).filter(|volume| all || *volume == one);
        let names: Vec<_> =
            volumes.map(|volume| (name(volume), format!("{}@s{number}", name(volume)))).collect();
        for (volume, snapshot) in &names {
            self.ledger.making_copy(snapshot, volume)?;
        }
        let mut arguments = vec!["snapshot", "create"];
        arguments.extend(names.iter().map(|(_, snapshot)| snapshot.as_str()));
        self.cli.run(&arguments)?;
        names.iter().try_for_each(|(_, snapshot)| self.made(snapshot))
    }

    fn clone_something(&mut self) -> Result<()> {
        let sources = self.ledger.names(|_| true);
        let source = self.one_of(&sources).context("the volumes are always there")?;
        let clone = format!("churn-{}", self.ledger.fresh());
        let from = match source.as_str() {
            image if is_image(image) => source.clone(),
            snapshot if is_snapshot(snapshot) => format!("snapshot:{snapshot}"),
            volume => format!("volume:{volume}"),
        };
        self.ledger.making_copy(&clone, &source)?;
        self.cli.run(&["volume", "create", &clone, "--from", &from])?;
        self.made(&clone)
    }

    /// Puts an image together, which shares layers with others.
    fn import(&mut self) -> Result<()> {
        let (mut contents, mut bytes) = (Vec::new(), Vec::new());
        for layer in 0..LAYERS {
            let choice = match self.chance.once_in(NEW_LAYER_ONCE_IN) {
                true => LAYER_CHOICES + self.ledger.fresh(),
                false => self.chance.below(LAYER_CHOICES),
            };
            let size = VOLUME_BLOCKS / LAYERS;
            for at in layer * size..(layer + 1) * size {
                if at % size < size - LAYER_ZEROS {
                    let version = LAYER_VERSION + (choice << 20) + at as u64;
                    contents.push(Content::Version(version));
                    bytes.extend(stamp(LAYER_NUMBER, at as u64, version));
                } else {
                    contents.push(Content::Zeros);
                    bytes.resize(bytes.len() + BLOCK_BYTES, 0);
                }
            }
        }
        let image = format!("i{}", self.ledger.fresh());
        let path = self.folder.join(&image);
        fs::write(&path, bytes)?;
        let file = path.display().to_string();
        let export = format!("image:{image}");
        self.ledger.making_exactly(&export, contents);
        let done = self.cli.run(&["image", "import", &file, &image, "--format", "raw"]);
        fs::remove_file(&path)?;
        done?;
        self.made(&export)
    }

    /// Something was acknowledged: it can be read at once, and is exact.
    fn made(&self, name: &str) -> Result<()> {
        self.ledger.made(name);
        self.counters.made.fetch_add(1, Ordering::Relaxed);
        self.ledger.read(name, &read(self.server, name)?)
    }

    /// Overwrites some blocks of a clone, so that less of its source is needed.
    fn overwrite(&mut self) -> Result<()> {
        let Some(clone) = self.one_of(&self.ledger.names(is_clone)) else { return Ok(()) };
        let volume = self.ledger.volume(&clone)?;
        let len = 1 + self.chance.below(OVERWRITE_BLOCKS_MAX) as usize;
        let first = self.chance.below((VOLUME_BLOCKS - len) as u64) as usize;
        let mut data = Vec::new();
        for block in first..first + len {
            let version = self.ledger.fresh();
            volume.lock().sent(block, Content::Version(version), self.ledger.now());
            data.extend(stamp(CLONE_NUMBER, block as u64, version));
        }
        let write = || -> Result<(), Failure> {
            let mut client = Client::connect(self.server, &clone)?;
            client.all(&[Request::write((first * BLOCK_BYTES) as u64, &data)])?;
            let now = self.ledger.now();
            (first..first + len).for_each(|block| volume.lock().acknowledged(block, false, now));
            let mark = volume.lock().mark();
            client.flush()?;
            volume.lock().flushed(&mark, self.ledger.now());
            Ok(())
        };
        write().with_context(|| format!("writing to {clone}"))
    }

    fn remove(&mut self, victim: &str) -> Result<()> {
        let arguments = match victim.strip_prefix("image:") {
            Some(image) => ["image", "rm", image],
            None if is_snapshot(victim) => ["snapshot", "rm", victim],
            None => ["volume", "rm", victim],
        };
        for _ in 0..REFUSALS_MAX {
            self.ledger.removing(victim);
            let Output { status, stderr, .. } = self.cli.command(&arguments).output()?;
            if status.success() {
                self.ledger.removed(victim);
                self.counters.removed.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            if !stderr.contains("attached") || self.ending.killed() {
                bail!("{arguments:?}: {status}: {stderr}");
            }
            self.ledger.stays(victim);
            env().clock().sleep(REFUSAL_PAUSE);
        }
        bail!("{victim} stays attached")
    }
}
