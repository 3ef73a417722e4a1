//! What a store may hold after a crash: every volume, snapshot and image with
//! the moments at which it was asked for, acknowledged, and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow, bail, ensure};
use parking_lot::Mutex;

use crate::stamp::{Blocks, Content, Mark, Moment, NEVER, read_all};

/// Tells the present moment.
pub type Clock = Box<dyn Fn() -> Moment + Send + Sync>;

/// What each thing held when it was judged, by its name as an export.
pub type Judged = BTreeMap<String, Vec<Content>>;

/// A volume that is written.
pub(super) type Volume = Arc<Mutex<Blocks>>;

/// What a thing holds.
enum Holds {
    /// What its writers wrote.
    Written(Volume),
    /// What a volume held between two marks; not read yet.
    Cut { of: Volume, from: Mark, to: Mark },
    /// Exactly this.
    Exactly(Vec<Content>),
}

/// One volume, snapshot or image. Its name is never used again.
struct Thing {
    asked: Moment,
    made: Moment,
    removing: Moment,
    removed: Moment,
    holds: Holds,
}

/// Everything that was ever asked for.
pub struct Ledger {
    clock: Mutex<Clock>,
    things: Mutex<BTreeMap<String, Thing>>,
    version: AtomicU64,
}

impl Ledger {
    /// Of an empty store.
    pub fn new(clock: Clock) -> Self {
        let things = Mutex::new(BTreeMap::new());
        Self { clock: Mutex::new(clock), things, version: AtomicU64::new(1) }
    }

    /// Of a kill, which takes nothing from the disk: there is one moment only.
    pub fn without_moments() -> Self {
        Self::new(Box::new(|| 0))
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        (self.clock.lock())()
    }

    /// A number that no other block or name has.
    pub fn fresh(&self) -> u64 {
        self.version.fetch_add(1, Ordering::Relaxed)
    }

    /// A volume of zeros is about to be asked for.
    pub fn making_volume(&self, name: &str, blocks: usize) {
        self.making(name, Holds::Written(Arc::new(Mutex::new(Blocks::new(blocks)))));
    }

    /// Something that holds exactly this is about to be asked for.
    pub fn making_exactly(&self, name: &str, contents: Vec<Content>) {
        self.making(name, Holds::Exactly(contents));
    }

    /// A copy of what something holds now is about to be asked for: a snapshot or a clone.
    pub fn making_copy(&self, name: &str, of: &str) -> Result<()> {
        let holds = {
            let things = self.things.lock();
            match &things.get(of).with_context(|| format!("{of} is not in the ledger"))?.holds {
                Holds::Written(volume) => {
                    let (from, of) = (volume.lock().mark(), Arc::clone(volume));
                    // What is sent before the acknowledgement may be in the copy.
                    Holds::Cut { of, to: from.clone(), from }
                }
                Holds::Cut { of, from, to } => {
                    Holds::Cut { of: Arc::clone(of), from: from.clone(), to: to.clone() }
                }
                Holds::Exactly(contents) => Holds::Exactly(contents.clone()),
            }
        };
        self.making(name, holds);
        Ok(())
    }

    fn making(&self, name: &str, holds: Holds) {
        let asked = self.now();
        let thing = Thing { asked, made: NEVER, removing: NEVER, removed: NEVER, holds };
        self.things.lock().insert(name.to_owned(), thing);
    }

    /// It was acknowledged.
    pub fn made(&self, name: &str) {
        let now = self.now();
        self.with(name, |thing| {
            thing.made = now;
            if let Holds::Cut { of, to, .. } = &mut thing.holds {
                *to = of.lock().sent_mark();
            }
        });
    }

    /// Its removal is about to be asked for.
    pub fn removing(&self, name: &str) {
        let now = self.now();
        self.with(name, |thing| thing.removing = now);
    }

    /// Its removal was acknowledged.
    pub fn removed(&self, name: &str) {
        let now = self.now();
        self.with(name, |thing| thing.removed = now);
    }

    /// Its removal was refused.
    pub fn stays(&self, name: &str) {
        self.with(name, |thing| thing.removing = NEVER);
    }

    fn with(&self, name: &str, act: impl FnOnce(&mut Thing)) {
        let mut things = self.things.lock();
        act(things.get_mut(name).expect("who made it asked the ledger first"));
    }

    /// What exists for certain: made, and not about to be removed.
    pub fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let things = self.things.lock();
        let sure =
            things.iter().filter(|(_, thing)| thing.made != NEVER && thing.removing == NEVER);
        sure.map(|(name, _)| name.clone()).filter(|name| wanted(name)).collect()
    }

    /// Checks what was read of something while it exists, and notes it.
    pub fn read(&self, name: &str, data: &[u8]) -> Result<()> {
        let contents = read_all(data).map_err(|message| anyhow!("{name}: {message}"))?;
        let mut things = self.things.lock();
        let thing = things.get_mut(name).with_context(|| format!("{name} is not in the ledger"))?;
        thing.judge(contents, NEVER).map_err(|message| anyhow!("{name}: {message}"))
    }

    /// A volume, to write it. What it holds must be known.
    pub(super) fn volume(&self, name: &str) -> Result<Volume> {
        let mut things = self.things.lock();
        let thing = things.get_mut(name).with_context(|| format!("{name} is not in the ledger"))?;
        if let Holds::Exactly(contents) = &thing.holds {
            thing.holds = Holds::Written(Arc::new(Mutex::new(Blocks::holding(contents))));
        }
        match &thing.holds {
            Holds::Written(volume) => Ok(Arc::clone(volume)),
            Holds::Cut { .. } | Holds::Exactly(_) => bail!("{name} was not read yet"),
        }
    }

    /// What is acknowledged on all volumes now: taken when a flush is asked for, which covers all.
    pub(super) fn mark(&self) -> Vec<(Volume, Mark)> {
        let things = self.things.lock();
        let volumes = things.values().filter_map(|thing| match &thing.holds {
            Holds::Written(volume) if thing.removed == NEVER => Some(volume),
            _ => None,
        });
        volumes.map(|volume| (Arc::clone(volume), volume.lock().mark())).collect()
    }

    /// A flush was acknowledged that was asked for at `marks`.
    pub(super) fn flushed(&self, marks: &[(Volume, Mark)]) {
        let now = self.now();
        for (volume, mark) in marks {
            volume.lock().flushed(mark, now);
        }
    }

    /// The moments at which something was asked for or acknowledged, and the store's promises
    /// changed.
    pub fn moments(&self) -> Vec<Moment> {
        let mut moments = Vec::new();
        for thing in self.things.lock().values() {
            moments.extend([thing.asked, thing.made, thing.removing, thing.removed]);
            if let Holds::Written(volume) = &thing.holds {
                moments.extend(volume.lock().durable_moments());
            }
        }
        moments.retain(|moment| *moment != NEVER);
        moments
    }

    /// Checks what exists after a crash at a moment: nothing acknowledged is missing, nothing
    /// removed is there, and everything holds what it may.
    pub fn judge(
        &self,
        exports: &[String],
        at: Moment,
        mut read: impl FnMut(&str) -> Result<Vec<u8>>,
    ) -> Result<Judged> {
        let mut things = self.things.lock();
        let exports: BTreeSet<&str> = exports.iter().map(String::as_str).collect();
        for (name, thing) in &*things {
            let must_exist = thing.made <= at && at < thing.removing;
            ensure!(!must_exist || exports.contains(name.as_str()), "{name} is lost");
        }
        let mut judged = Judged::new();
        for name in exports {
            let thing =
                things.get_mut(name).with_context(|| format!("{name} came from nowhere"))?;
            ensure!(thing.asked <= at, "{name} exists before it was asked for");
            ensure!(at < thing.removed, "{name} was removed and is back");
            let data = read(name)?;
            let contents = read_all(&data).map_err(|message| anyhow!("{name}: {message}"))?;
            judged.insert(name.to_owned(), contents.clone());
            thing.judge(contents, at).map_err(|message| anyhow!("{name}: {message}"))?;
        }
        Ok(judged)
    }

    /// Recovery is over and the store holds what was judged; from now on it stays.
    pub fn settled(&self, judged: &Judged) {
        let now = self.now();
        for (name, thing) in &mut *self.things.lock() {
            if let (Some(contents), Holds::Written(volume)) = (judged.get(name), &thing.holds) {
                volume.lock().settled(contents, now);
            }
        }
    }

    /// The record begins again with what a crash at a moment left. What was judged since is known;
    /// the rest may be there or not.
    pub fn begin_again(&self, at: Moment, clock: Clock) {
        *self.clock.lock() = clock;
        let mut things = self.things.lock();
        things.retain(|_, thing| thing.asked <= at && at < thing.removed);
        for thing in things.values_mut() {
            thing.asked = 0;
            thing.made = if thing.made <= at { 0 } else { NEVER };
            thing.removing = if thing.removing <= at { 0 } else { NEVER };
            thing.removed = NEVER;
            if let Holds::Written(volume) = &thing.holds {
                volume.lock().begin_again(at);
            }
        }
    }

    /// Only what was judged exists, for certain.
    pub fn keep_only(&self, judged: &Judged) {
        let mut things = self.things.lock();
        things.retain(|name, _| judged.contains_key(name));
        for thing in things.values_mut() {
            (thing.made, thing.removing) = (thing.asked, NEVER);
        }
    }
}

impl Thing {
    /// Checks what it holds after a crash at a moment. What never changes is known from then on.
    fn judge(&mut self, contents: Vec<Content>, at: Moment) -> Result<(), String> {
        match &self.holds {
            Holds::Written(volume) => volume.lock().crashed(&contents, at),
            Holds::Cut { of, from, to } => {
                // While it is not acknowledged, whatever was sent may be in it.
                let to = if self.made == NEVER { &of.lock().sent_mark() } else { to };
                of.lock().snapshot(&contents, from, to)?;
                self.holds = Holds::Exactly(contents);
                Ok(())
            }
            Holds::Exactly(exact) if exact.len() != contents.len() => {
                Err(format!("{} blocks instead of {}", contents.len(), exact.len()))
            }
            Holds::Exactly(exact) => {
                let mut blocks = exact.iter().zip(&contents).enumerate();
                match blocks.find(|(_, (should, is))| should != is) {
                    None => Ok(()),
                    Some((at, (should, is))) => {
                        Err(format!("block {at} holds {is:?} and not {should:?}"))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
