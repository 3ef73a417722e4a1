//! A second pool: resources say that they are to be in it, or no longer; the mover moves
//! segments, and power fails in it, or the disk.

use std::path::Path;

use archipelago_env::Mode;
use archipelago_model::PoolName;
use archipelago_pool::{Collection, Error, ErrorKind, PoolState, Service};

use super::collection::FAILING;
use super::model::Names;
use super::names::{CONTAINER, SHELF, parse};
use super::{Act, Checked, Violation, World};
use crate::{Failure, Fault};

/// Where the second pool is: on the same disk, outside of the data folder.
pub(super) const SECOND: &str = "/second";
const SECOND_NAME: &str = "second";
const FIRST_NAME: &str = "default";
/// Changes of the disk that a round of the mover makes at most before power fails in it.
const CUT_AFTER_MAX: u64 = 60;
/// Operations of one kind that pass before one fails in it.
const FAIL_AFTER_MAX: u64 = 30;

impl World {
    /// Says of something in which pool it is to be, or empties the second one, or takes it into
    /// use again. There is none before the first time.
    pub(super) fn place_something(&mut self) -> Checked {
        let pool: Option<PoolName> = match self.dice.below(5) {
            0 => None,
            1 => Some(name(FIRST_NAME)?),
            _ => Some(name(SECOND_NAME)?),
        };
        let subject = pool.as_ref().map_or("nowhere", PoolName::as_str).to_owned();
        let what = self.dice.below(6);
        let volume = self.some_volume();
        let act = Act { kind: "place", subject: &subject, refusal: None, names: Names::default() };
        self.verb(
            act,
            |_| (),
            |service| {
                let Some(drained) = second(service)? else { return Ok(()) };
                let mirror = service.pool(&name_of(FIRST_NAME)?)?.mirror.is_some();
                match (what, volume) {
                    // What has second copies keeps them.
                    (0, _) if mirror => Ok(()),
                    (0, _) if drained => service.pool_use(&name_of(SECOND_NAME)?).map(drop),
                    (0, _) => service.pool_drain(&name_of(SECOND_NAME)?, None).map(drop),
                    // Nothing may say that it wants to be in what is drained.
                    _ if drained && subject == SECOND_NAME => Ok(()),
                    (1, _) => of_container(service, CONTAINER, pool.as_ref()),
                    (2, _) => of_container(service, SHELF, pool.as_ref()),
                    (_, Some(volume)) => {
                        service.volume_place(&parse(&volume)?, pool.as_ref()).map(drop)
                    }
                    (_, None) => Ok(()),
                }
            },
        )
        .map(drop)
    }

    /// Has everything of a pool be in the other one, too, or no longer.
    pub(super) fn mirror_something(&mut self) -> Checked {
        let what = self.dice.below(6);
        let subject = ["first", "first", "first", "second", "first no more", "second no more"];
        let subject = subject[what as usize];
        let act = Act { kind: "mirror", subject, refusal: None, names: Names::default() };
        let done = self.verb(
            act,
            |_| (),
            |service| {
                let (first, other) = (name_of(FIRST_NAME)?, name_of(SECOND_NAME)?);
                match (what, second(service)?) {
                    (_, None) => Ok(()),
                    (0..=3, Some(true)) => Ok(()),
                    (0..=2, _) => service.pool_mirror(&first, &other).map(drop),
                    (3, _) => service.pool_mirror(&other, &first).map(drop),
                    (4, _) => service.pool_unmirror(&first).map(drop),
                    _ => service.pool_unmirror(&other).map(drop),
                }
            },
        )?;
        // So that copies are there before what may happen to them.
        if done.is_some() && self.dice.coin() { self.move_somehow() } else { Ok(()) }
    }

    /// No pool has second copies of another one any more.
    pub(super) fn unmirror_all(&mut self) -> Checked {
        let act = Act { kind: "mirror", subject: "none", refusal: None, names: Names::default() };
        self.verb(
            act,
            |_| (),
            |service| {
                for pool in service.pools()? {
                    service.pool_unmirror(&pool.name)?;
                }
                Ok(())
            },
        )?;
        self.move_due()
    }

    /// A round of the mover; now and then the disk fails or power is cut in it.
    pub(super) fn move_somehow(&mut self) -> Checked {
        match self.dice.below(6) {
            0 | 1 => {
                let after = self.dice.below(CUT_AFTER_MAX);
                self.disturb("power off", Fault::power_off_after(after))?;
            }
            2 => {
                let op = FAILING[self.dice.below(FAILING.len() as u64) as usize];
                let failure = if self.dice.coin() { Failure::Io } else { Failure::Full };
                let after = self.dice.below(FAIL_AFTER_MAX);
                self.disturb("fault", Fault::once(op, failure).after(after))?;
            }
            3 => self.slow_down()?,
            _ => {}
        }
        self.move_due()
    }

    /// A round of the mover.
    pub(super) fn move_due(&mut self) -> Checked {
        let act = Act { kind: "move", subject: "", refusal: None, names: Names::default() };
        let moved = self.verb(act, |_| (), Service::move_due)?;
        if let Some(moved) = moved {
            self.record.mix_number(moved.segments);
            self.record.count("moved segment", moved.segments);
            self.record.count("stray", moved.strays);
            self.record.mix_number(moved.copies + moved.adopted);
            self.record.count("second copy", moved.copies);
            self.record.count("second copy found whole", moved.adopted);
        }
        Ok(())
    }

    /// The second pool is unplugged while nobody runs: the store opens all the same, whoever asks
    /// for what is in it is told so, and nothing is lost of what was in the log. It comes back
    /// without a restart.
    pub(super) fn unplug(&mut self) -> Checked {
        let (owner, aside) = (Path::new(SECOND).join("owner"), Path::new(SECOND).join("aside"));
        self.sim.heal();
        if self.sim.is_off() || self.tight || self.env.disk().open(&owner, Mode::Read).is_err() {
            return Ok(());
        }
        let exact = !self.disturbed;
        self.note("unplug", "", Ok(()));
        self.env = self.sim.kill();
        self.lose_service();
        (self.disturbed, self.misread, self.failures) = (false, false, 0);
        self.rename_in_second(&owner, &aside)?;
        if !self.try_open()? {
            return Err(Violation::new("the store does not open without its second pool"));
        }
        let service = self.service()?;
        if let Some(volume) = self.some_volume() {
            self.refused_or_done("attach", service.open_device(&volume).map(drop))?;
        }
        if self.dice.coin() {
            self.refused_or_done("background", service.step(true))?;
        }
        if self.dice.coin() {
            self.refused_or_done("collect", service.collect(Collection::default()).map(drop))?;
        }
        self.rename_in_second(&aside, &owner)?;
        drop(service);
        self.pools_back()?;
        let service = self.service()?;
        self.refused_or_done("background", service.step(true))?;
        drop(service);
        self.check_after_restart(exact)
    }

    /// What an act may come to while a pool is away.
    fn refused_or_done(&mut self, kind: &'static str, came: Result<(), Error>) -> Checked {
        self.note(kind, "without a pool", came.as_ref().map(drop));
        match came {
            Err(error) if error.kind() != ErrorKind::Unavailable => {
                Err(Violation::new(format!("{kind} without a pool: {:?}: {error}", error.kind())))
            }
            _ => Ok(()),
        }
    }

    fn rename_in_second(&self, from: &Path, to: &Path) -> Checked {
        let disk = self.env.disk();
        disk.rename(from, to)
            .and_then(|()| disk.sync_dir(Path::new(SECOND)))
            .map_err(|error| Violation::new(format!("unplugging failed: {error}")))
    }

    /// A pool that could not be opened comes back by itself, once nothing disturbs it.
    pub(super) fn pools_back(&mut self) -> Checked {
        let service = self.service()?;
        let pools = self.present.during("move", || service.pools());
        let away = match &pools {
            Ok(pools) => pools.iter().any(|pool| matches!(pool.state, PoolState::Away { .. })),
            Err(_) => false,
        };
        if !away {
            return Ok(());
        }
        self.record.count("pool that was away", 1);
        let back = self.present.during("move", || service.move_due().and_then(|_| service.pools()));
        match back {
            Ok(pools) if pools.iter().all(|pool| pool.state == PoolState::Open) => Ok(()),
            Ok(pools) => Err(Violation::new(format!("a pool stays away: {pools:?}"))),
            Err(error) => self.explain("come back", "", &error),
        }
    }
}

fn name(text: &str) -> Checked<PoolName> {
    text.parse().map_err(|error| Violation::new(format!("{error}")))
}

fn name_of(text: &str) -> Result<PoolName, Error> {
    parse(text)
}

/// Sees to it that there is a second pool; whether it is drained. `None`: its place says that it
/// is another one, as where a crash came between the claim and its note.
fn second(service: &Service) -> Result<Option<bool>, Error> {
    let name = name_of(SECOND_NAME)?;
    match service.pool(&name) {
        Ok(pool) => Ok(Some(pool.drain_to.is_some())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match service.pool_add(&name, &format!("file://{SECOND}")) {
                Err(error) if error.kind() == ErrorKind::Invalid => Ok(None),
                added => added.map(|_| Some(false)),
            }
        }
        Err(error) => Err(error),
    }
}

fn of_container(service: &Service, container: &str, pool: Option<&PoolName>) -> Result<(), Error> {
    let owner = super::objects::OWNER;
    match service.container_place(owner, &parse(container)?, pool) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        placed => placed.map(drop),
    }
}
