//! The production service, from catalog to disk, in a simulated world, against a
//! model of what must be there.
//!
//! One seed decides everything: what guests and operators do, when power fails and
//! what it takes, which operations of the disk fail. [`run`] plays a number of
//! steps. A step is one act of an *actor*: a guest, an operator's verb, the
//! background, or fate (power, `kill -9`, failures of the disk, room, clocks).
//!
//! # What is checked
//! * A read gives what was written last; after power loss, what the last flush
//!   covered or something written since, sector by sector.
//! * A verb that returned well is done, for ever; one that was refused changed
//!   nothing, and was refused for the reason that the model knows; one that failed
//!   is done or not, but never in part.
//! * Snapshots, images, files and versions of objects are exact for ever.
//! * Nothing that the collector frees is ever asked for.
//! * A scrub finds damage where bytes changed, names what cannot be read because of it,
//!   and finds nothing where nothing changed.
//! * Nothing fails without a cause: an error needs a failure that was planned.
//! * A catalog that is lost is made anew with everything that its newest backup had, and
//!   what was flushed since.
//! * Two hosts never have the store at once, however long one is paused.
//! * The store opens, whatever happened, once the disk works.

mod between;
mod check;
mod collection;
mod content;
mod fate;
mod guest;
mod ingest;
mod layers;
mod long;
mod lost;
mod model;
mod names;
mod objects;
mod pools;
mod record;
mod scrub;
mod updates;
mod verbs;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use archipelago_env::Env;
use archipelago_pool::{Config, Device, Error, ErrorKind, HostCacheConfig, PoolRates, Service};

pub use layers::{DiskLayer, Layers, Meddler, Present, StoreLayer};
pub use long::long;
pub use record::{Tally, Violation};

use crate::{Dice, SimHandle};
use content::FIRST_OPERATION;
use model::{Doubt, Model, Names};
use record::Record;

/// Where the store is.
const DATA: &str = "/data";

/// Steps of a run unless told otherwise: enough for a few restarts.
pub const STEPS_DEFAULT: u64 = 120;

/// One of so many worlds has few volumes, large ones, so that maps hide much; ...
const WIDE_ONE_IN: u64 = 12;
/// ... by this factor: what makes a map worth flattening is an absolute number of bytes.
const WIDE_SCALE: u64 = 8;

/// The end of a check that found nothing wrong.
type Checked<T = ()> = Result<T, Violation>;

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// What was done.
    pub tally: Tally,
    /// Of all operations and results: equal for equal runs.
    pub digest: u64,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// The last operations, oldest first.
    pub tail: Vec<String>,
    /// What else is to be told of it.
    pub summary: String,
}

/// What a run is to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many acts.
    pub steps: u64,
}

/// Plays a run.
pub fn run(plan: Plan) -> Outcome {
    play(plan, Layers::default(), World::play)
}

/// Plays a run with layers that lie: for checking that lies are found.
pub fn run_with_layers(plan: Plan, layers: Layers) -> Outcome {
    play(plan, layers, World::play)
}

fn play(plan: Plan, layers: Layers, acts: impl FnOnce(&mut World, u64) -> Checked) -> Outcome {
    let mut world = World::new(plan.seed, layers);
    let played = catch_unwind(AssertUnwindSafe(|| acts(&mut world, plan.steps)));
    let violation = match played {
        Ok(checked) => checked.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Some(Violation::new(format!("the program panicked: {}", text.unwrap_or("?"))))
        }
    };
    if violation.is_some() {
        // It may hang or panic again on the way out; the tail is what matters.
        world.abandon();
    }
    Outcome {
        digest: world.record.digest,
        violation,
        tail: world.record.tail(),
        summary: std::mem::take(&mut world.record.summary),
        tally: std::mem::take(&mut world.record.tally),
    }
}

/// Everything that a run has.
struct World {
    dice: Dice,
    sim: SimHandle,
    env: Env,
    service: Option<Arc<Service>>,
    model: Model,
    doubts: Vec<Doubt>,
    /// By the name of their volume.
    devices: BTreeMap<String, Arc<Device>>,
    /// Of an earlier life of the service.
    stale: Option<Arc<Device>>,
    operation: u64,
    /// How large volumes are, and how large what is written, as a factor.
    scale: u64,
    caches: bool,
    /// Something was planned that may explain an error, since the service was opened.
    disturbed: bool,
    /// Reads were planned to be wrong since then.
    misread: bool,
    /// A scrub may have noted damage that only a failure of the disk feigned.
    feigned: bool,
    /// Files of segments that crashes had left when the catalog was lost.
    remnants: Vec<String>,
    /// The room of the disk is limited.
    tight: bool,
    /// Failures in a row that no refusal explains.
    failures: u32,
    record: Record,
    present: Present,
    store: Option<StoreLayer>,
    meddler: Option<Meddler>,
    cut_after: Option<&'static str>,
    due: between::Due,
}

/// What a verb is and may do.
struct Act<'a> {
    kind: &'static str,
    subject: &'a str,
    /// What it may change.
    names: Names,
    /// Why it must be refused, if it must.
    refusal: Option<ErrorKind>,
}

/// What came of a verb.
enum Concluded<T> {
    Done(T),
    /// As it had to be.
    Refused,
    /// For a reason that was planned.
    Failed,
}

impl World {
    fn new(seed: u64, layers: Layers) -> Self {
        let (_, sim) = crate::env(seed);
        if let Some(layer) = layers.disk {
            sim.layer(layer);
        }
        let env = sim.kill();
        let mut dice = Dice::new(seed ^ 0x005e_ed0f_fa7e);
        let scale = if dice.below(WIDE_ONE_IN) == 0 { WIDE_SCALE } else { 1 };
        Self {
            caches: dice.coin(),
            dice,
            scale,
            sim,
            env,
            service: None,
            model: Model::default(),
            doubts: Vec::new(),
            devices: BTreeMap::new(),
            stale: None,
            operation: FIRST_OPERATION,
            disturbed: false,
            misread: false,
            feigned: false,
            remnants: Vec::new(),
            tight: false,
            failures: 0,
            record: Record::default(),
            present: layers.present,
            store: layers.store,
            meddler: layers.meddler,
            cut_after: layers.cut_after,
            due: between::Due::default(),
        }
    }

    fn play(&mut self, steps: u64) -> Checked {
        self.open(false)?;
        for _ in 0..steps {
            self.step()?;
        }
        self.end()
    }

    fn step(&mut self) -> Checked {
        if self.sim.is_off() {
            return self.crash();
        }
        match self.dice.below(100) {
            0..=29 => self.guest_write(),
            30..=43 => self.guest_read(),
            44..=52 => self.guest_flush(),
            53..=55 => self.background(),
            56..=59 => self.collect_somehow(),
            60 => self.check_store(),
            61 => self.scrub_somehow(),
            62..=82 => self.operate(),
            83 => self.move_somehow(),
            84..=85 => self.check_something(),
            _ => self.fate(),
        }
    }

    /// The acts of operators.
    fn operate(&mut self) -> Checked {
        match self.dice.below(38) {
            0..=2 => self.create(),
            3..=6 => self.snapshot(),
            7..=10 => self.clone_something(),
            11 => self.remove_volume(),
            12 => self.remove_snapshot(),
            13 => self.remove_image(),
            14 => self.remove_file(),
            15..=17 => self.resize(),
            18..=19 => self.roll_back(),
            20 => self.rename(),
            21..=22 => self.import(),
            23..=24 => self.put(),
            25..=32 => self.use_object(),
            33..=34 => self.place_something(),
            35 => self.move_due(),
            36 => self.mirror_something(),
            _ => self.replicate(),
        }
    }

    fn service(&self) -> Checked<Arc<Service>> {
        self.service.clone().ok_or_else(|| Violation::new("the simulator lost its service"))
    }

    fn abandon(&mut self) {
        self.env = self.sim.crash();
        self.devices.clear();
        self.stale = None;
        let service = self.service.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(service)));
    }

    /// Does a verb and sees to it that the model follows.
    fn verb<T>(
        &mut self,
        act: Act<'_>,
        after: impl FnOnce(&mut Model),
        call: impl FnOnce(&Service) -> Result<T, Error>,
    ) -> Checked<Option<T>> {
        let kind = act.kind;
        let result = self.present.during(kind, || Ok(call(&*self.service()?)))?;
        match self.conclude(act, after, result)? {
            Concluded::Done(value) => {
                self.failures = 0;
                self.lie_after(kind)?;
                Ok(Some(value))
            }
            Concluded::Refused => Ok(None),
            Concluded::Failed => self.after_failure().map(|()| None),
        }
    }

    /// Compares what came of a verb with what had to, and sees to it that the model follows.
    fn conclude<T>(
        &mut self,
        act: Act<'_>,
        after: impl FnOnce(&mut Model),
        result: Result<T, Error>,
    ) -> Checked<Concluded<T>> {
        let Act { kind, subject, names, refusal } = act;
        self.note(kind, subject, result.as_ref().map(drop));
        match (result, refusal) {
            (Ok(_), Some(refusal)) => Err(Violation::new(format!(
                "{kind} {subject} succeeded; it should have been refused as {refusal:?}"
            ))),
            (Ok(value), None) => {
                after(&mut self.model);
                Ok(Concluded::Done(value))
            }
            (Err(error), Some(refusal)) if error.kind() == refusal => Ok(Concluded::Refused),
            (Err(error), refusal) => {
                self.explain(kind, subject, &error)?;
                if refusal.is_none() {
                    self.doubt(format!("{kind} {subject}"), names, after);
                }
                Ok(Concluded::Failed)
            }
        }
    }

    /// Where a layer lies during acts of this kind, power may fail before the truth comes;
    /// where it lies after them, it does so now.
    fn lie_after(&mut self, kind: &'static str) -> Checked {
        if let (Some(meddle), Some(service)) = (&self.meddler, &self.service) {
            meddle(kind, service);
        }
        if self.cut_after == Some(kind) && self.dice.coin() { self.crash() } else { Ok(()) }
    }

    fn note(&mut self, kind: &'static str, subject: &str, result: Result<(), &Error>) {
        let said = result.map_err(|error| format!("{:?}", error.kind()));
        self.record.note(kind, subject, said.as_ref().map(|_| ()).map_err(String::as_str));
    }

    /// An error must have a cause.
    fn explain(&self, kind: &str, subject: &str, error: &Error) -> Checked {
        let explained = match error.kind() {
            ErrorKind::NoSpace | ErrorKind::Internal | ErrorKind::ReadOnly => {
                self.disturbed || self.tight
            }
            ErrorKind::Damaged => self.misread,
            // Of a catalog whose connections met an error: busy.
            ErrorKind::Unavailable => self.disturbed,
            _ => false,
        };
        if explained {
            return Ok(());
        }
        Err(Violation::new(format!(
            "{kind} {subject} failed without a cause: {:?}: {error}",
            error.kind()
        )))
    }

    /// Sets aside what a failed verb touched, as it was and as it may be, until a
    /// restart shows which.
    fn doubt(&mut self, what: String, names: Names, after: impl FnOnce(&mut Model)) {
        for name in &names.volumes {
            self.devices.remove(name);
        }
        let before = self.model.take(&names);
        let mut changed = before.clone();
        after(&mut changed);
        self.doubts.push(Doubt { what, names, before, after: changed });
    }
}

/// Without caches everything that is looked at is read from the pool.
fn config(caches: bool) -> Config {
    let cache = |bytes| if caches { bytes } else { 1 };
    Config {
        pool_url: None,
        catalog_url: None,
        pool_rates: PoolRates::default(),
        host_cache: HostCacheConfig::default(),
        chunk_cache_bytes: cache(256 << 10),
        node_cache_bytes: cache(64 << 10),
        slot_cache_bytes: cache(64 << 10),
        hot_segment_bytes: 128 << 10,
        cold_segment_bytes: 64 << 10,
        log_checkpoint_bytes: 1 << 20,
        checkpoint_interval_ms: 60_000,
        // The collector and its thread are acts of the simulation.
        collector_interval_ms: 0,
        lifecycle_interval_ms: 0,
        lifecycle_day_ms: 24 * 3600 * 1000,
        upload_age_ms: 0,
        trust_clock: false,
        collector_grace_ms: 600_000,
        backup_interval_ms: 10_000,
        mover_interval_ms: 0,
        mover_bytes_per_second: 0,
    }
}

#[cfg(test)]
mod tests;
