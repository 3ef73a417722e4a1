//! A day of deletions: whether space comes back by the collector's normal work alone.

use std::time::Duration;

use archipelago_pool::Collection;

use super::names::Subject;
use super::{Checked, Layers, Outcome, Plan, Violation, World};

/// How often the collector looks, on the simulated clock: its default.
const INTERVAL: Duration = Duration::from_secs(60);
/// A day.
const INTERVALS: u64 = 24 * 60;
/// After the load the collector goes on for so long: thrice the grace time.
const CALM: u64 = 30;
/// Acts between two looks of the collector, at most.
const ACTS_MAX: u64 = 12;
/// So much more than at the beginning may be taken after the load, in bytes: what was
/// condemned or moved last, and the log that rests.
const MORE_MAX: u64 = 384 << 10;

/// Plays a day: acts that mostly make and remove, a collection every simulated minute with
/// normal urgency, no failures. Steps of the plan are not used.
pub fn long(plan: Plan) -> Outcome {
    super::play(plan, Layers::default(), |world, _| world.day())
}

impl World {
    fn day(&mut self) -> Checked {
        self.try_open()?;
        for _ in 0..3 {
            self.import()?;
            self.create()?;
            self.guest_write()?;
        }
        let kept = self.subjects();
        self.let_collect(CALM)?;
        let begin = self.pool_bytes()?;
        let mut peak = begin;
        let (mut sum, mut written) = (0, 0);
        for _ in 0..INTERVALS {
            for _ in 0..self.dice.below(ACTS_MAX) {
                self.act_of_a_day()?;
                written += 1;
            }
            self.let_collect(1)?;
            let now = self.pool_bytes()?;
            peak = peak.max(now);
            sum += now;
        }
        self.devices.clear();
        for subject in self.subjects() {
            let stays = kept.iter().any(|one| one.export() == subject.export());
            if !stays {
                self.remove_for_good(&subject)?;
            }
        }
        self.let_collect(CALM)?;
        let end = self.pool_bytes()?;
        self.check_store()?;
        self.collect(Collection { thorough: true, now: true, budget: None })?;
        let thorough = self.pool_bytes()?;
        self.check_all_fixed()?;
        self.record.summary = format!(
            "the pool had {} KiB before, {} on average and {} at most in a day of {written} acts, \
             {} after it, {} after a thorough collection",
            begin >> 10,
            (sum / INTERVALS) >> 10,
            peak >> 10,
            end >> 10,
            thorough >> 10
        );
        if end > begin + MORE_MAX {
            return Err(Violation::new(format!(
                "space did not come back: {}",
                self.record.summary
            )));
        }
        self.empty()
    }

    /// Everything with a name, snapshots first.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        let snapshots = self.model.volumes.iter().flat_map(|(name, volume)| {
            let path = |snapshot: &String| Subject::Snapshot(name.clone(), snapshot.clone());
            volume.snapshots.keys().map(path).collect::<Vec<_>>()
        });
        let volumes = self.model.volumes.keys().map(|name| Subject::Volume(name.clone()));
        let images = self.model.images.keys().map(|name| Subject::Image(name.clone()));
        let files = self.model.files.keys().map(|name| Subject::File(name.clone()));
        snapshots.chain(volumes).chain(images).chain(files).collect()
    }

    /// Time passes, and the background works as it does by default.
    fn let_collect(&mut self, intervals: u64) -> Checked {
        for _ in 0..intervals {
            self.sim.advance(INTERVAL);
            self.background()?;
            self.collect(Collection::default())?;
        }
        Ok(())
    }

    fn act_of_a_day(&mut self) -> Checked {
        match self.dice.below(28) {
            0..=5 => self.guest_write(),
            6 => self.guest_flush(),
            7..=8 => self.guest_read(),
            9 => self.create(),
            10..=11 => self.clone_something(),
            12..=13 => self.snapshot(),
            14 => self.import(),
            15 => self.put(),
            16..=17 => self.remove_volume(),
            18..=20 => self.remove_snapshot(),
            21 => self.remove_image(),
            22 => self.remove_file(),
            23..=26 => self.use_object(),
            _ => self.check_something(),
        }
    }
}
