//! Acts in the middle of a collection or a scrub: what guests and operators do between
//! two of its looks at the pool. One thread plays all, so they are run by the store that it looks at.

use std::collections::VecDeque;
use std::sync::Arc;

use archipelago_model::{PoolId, SegmentId};
use archipelago_pool::{Collection, Error, ErrorKind, Service, Write};
use archipelago_store::{SegmentWriter, Space, Store, StoreError};
use parking_lot::Mutex;

use super::content::{SECTOR, bytes_of};
use super::model::Names;
use super::names::{CONTAINER, Subject, parse, snapshot_path};
use super::objects::ObjectAct;
use super::{Act, Checked, World};

/// Looks between two acts, at most: a small pool is looked at so often in a round.
const GAP_MAX: u64 = 10;
/// Acts in one collection, at most.
const DEEDS_MAX: u64 = 4;

/// Done by the store.
pub(super) type Deed = Box<dyn FnOnce() + Send>;

/// Acts that are due, and after how many looks since the one before.
#[derive(Clone, Default)]
pub(super) struct Due {
    queue: Arc<Mutex<VecDeque<(u64, Deed)>>>,
}

impl Due {
    /// Plans something to be done after so many looks.
    pub(super) fn plan(&self, gap: u64, deed: Deed) {
        self.queue.lock().push_back((gap, deed));
    }

    /// Forgets what has not been done.
    pub(super) fn clear(&self) {
        self.queue.lock().clear();
    }

    /// A look at the pool, while no lock is held that an act may want.
    fn look(&self) {
        let deed = {
            let mut queue = self.queue.lock();
            match queue.front_mut() {
                Some((gap, _)) if *gap > 0 => {
                    *gap -= 1;
                    None
                }
                _ => queue.pop_front(),
            }
        };
        if let Some((_, deed)) = deed {
            // Its own looks must not run the next one within it.
            let rest = std::mem::take(&mut *self.queue.lock());
            deed();
            *self.queue.lock() = rest;
        }
    }
}

/// A store that lets others act when it is looked at.
pub(super) struct Interrupted {
    pub below: Arc<dyn Store>,
    pub due: Due,
}

impl Store for Interrupted {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.below.create(id, capacity)
    }

    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.below.create_in(pool, id, capacity)
    }

    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.below.pool_of(id)
    }

    fn copies(&self, id: SegmentId) -> Vec<Arc<dyn Store>> {
        self.below.copies(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.below.reopen(id)
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.due.look();
        self.below.read_at(id, offset, buf)
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.below.len(id)
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.due.look();
        self.below.remove(id)
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.due.look();
        self.below.list_from(floor)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.below.space()
    }
}

/// What came of an act; `None` when its turn did not come.
type Came = Arc<Mutex<Option<Result<(), Error>>>>;

/// Compares what came of an act with what had to.
type Verdict = Box<dyn FnOnce(&mut World, Result<(), Error>) -> Checked>;

/// An act that waits for its turn.
pub(super) struct Waiting {
    came: Came,
    then: Verdict,
}

impl World {
    /// A collection, with acts in the middle of it.
    pub(super) fn collect_interrupted(&mut self, wanted: Collection) -> Checked {
        let service = self.service()?;
        let waiting = self.plan_acts(&service)?;
        // Nobody but the queue may keep a dead service open.
        drop(service);
        let collected = self.call_collect(wanted);
        self.judge_acts(waiting)?;
        self.see_collected(wanted, collected)
    }

    /// Acts of guests and operators, each in its turn.
    pub(super) fn plan_acts(&mut self, service: &Arc<Service>) -> Checked<Vec<Waiting>> {
        let mut waiting = Vec::new();
        // Each of its own kind, so that none changes what another one was planned with.
        let mut kinds = vec![0, 1, 2, 3, 4];
        for _ in 0..=self.dice.below(DEEDS_MAX) {
            if kinds.is_empty() {
                break;
            }
            let kind = kinds.remove(self.dice.below(kinds.len() as u64) as usize);
            let planned = match kind {
                0 => self.plan_write()?,
                1 => self.plan_flush()?,
                2 => self.plan_put(service)?,
                3 => self.plan_object_act(service),
                _ => self.plan_clone_or_removal(service)?,
            };
            waiting.extend(planned);
        }
        Ok(waiting)
    }

    /// Compares what came of those whose turn came with what had to.
    pub(super) fn judge_acts(&mut self, waiting: Vec<Waiting>) -> Checked {
        self.due.clear();
        for one in waiting {
            let came = one.came.lock().take();
            if let Some(came) = came {
                (one.then)(self, came)?;
            }
        }
        Ok(())
    }

    fn plan(
        &mut self,
        deed: impl FnOnce() -> Result<(), Error> + Send + 'static,
        then: impl FnOnce(&mut World, Result<(), Error>) -> Checked + 'static,
    ) -> Waiting {
        let came = Came::default();
        let told = Arc::clone(&came);
        let gap = self.dice.below(GAP_MAX);
        let deed: Deed = Box::new(move || *told.lock() = Some(deed()));
        self.due.plan(gap, deed);
        Waiting { came, then: Box::new(then) }
    }

    fn plan_write(&mut self) -> Checked<Option<Waiting>> {
        let Some(volume) = self.some_volume() else { return Ok(None) };
        // Only where one is open: to open one might end this life of the service.
        let Some(device) = self.devices.get(&volume).cloned() else { return Ok(None) };
        let mut pieces = self.pieces(device.size() / SECTOR as u64);
        pieces.truncate(1);
        let Some(piece) = pieces.pop() else { return Ok(None) };
        let bytes = bytes_of(&piece.stamps);
        let offset = (piece.start * SECTOR) as u64;
        let deed = move || device.write(&[Write::Data { offset, bytes: &bytes }]);
        Ok(Some(self.plan(deed, move |world, result| {
            world.note("write between", &volume, result.as_ref().map(drop));
            // Of one that an act before has put in doubt, both ways that it may be have it.
            let doubts = world.doubts.iter_mut();
            let doubtful = doubts.flat_map(|doubt| [&mut doubt.before, &mut doubt.after]);
            for model in doubtful.chain([&mut world.model]) {
                let Some(known) = model.volumes.get_mut(&volume) else { continue };
                for (at, stamp) in (piece.start..).zip(&piece.stamps) {
                    known.cells.write(at, *stamp, result.is_ok());
                }
            }
            result.err().map_or(Ok(()), |error| world.explain("write between", &volume, &error))
        })))
    }

    fn plan_flush(&mut self) -> Checked<Option<Waiting>> {
        let Some(device) = self.devices.values().next().cloned() else { return Ok(None) };
        Ok(Some(self.plan(
            move || device.flush(),
            |world, result| {
                world.note("flush between", "", result.as_ref().map(drop));
                match result {
                    Ok(()) => {
                        world.flushed();
                        Ok(())
                    }
                    Err(error) => world.explain("flush between", "", &error),
                }
            },
        )))
    }

    fn plan_put(&mut self, service: &Arc<Service>) -> Checked<Option<Waiting>> {
        let Some(name) = self.any_file_name() else { return Ok(None) };
        let (fixed, raw) = self.incoming(false)?;
        let (service, object) = (Arc::downgrade(service), name.clone());
        let deed = move || match service.upgrade() {
            Some(service) => service
                .file_put(&parse(CONTAINER)?, &parse(&object)?, None, &mut &raw[..])
                .map(drop),
            None => Err(gone()),
        };
        Ok(Some(self.plan(deed, move |world, result| {
            let act = Act {
                kind: "put between",
                subject: &name,
                names: Names::file(&name),
                refusal: None,
            };
            let after = |model: &mut super::Model| drop(model.files.insert(name.clone(), fixed));
            world.conclude(act, after, result).map(drop)
        })))
    }

    fn plan_object_act(&mut self, service: &Arc<Service>) -> Option<Waiting> {
        let ObjectAct { kind: _, name, refusal, after, call } = self.object_act()?;
        let service = Arc::downgrade(service);
        let deed = move || match service.upgrade() {
            Some(service) => call(&service),
            None => Err(gone()),
        };
        Some(self.plan(deed, move |world, result| {
            let names = Names::object(&name);
            let act = Act { kind: "object between", subject: &name, names, refusal };
            world.conclude(act, after, result).map(drop)
        }))
    }

    /// A new volume from something fixed, or the end of a snapshot.
    fn plan_clone_or_removal(&mut self, service: &Arc<Service>) -> Checked<Option<Waiting>> {
        let Some(volume) = self.some_volume() else { return Ok(None) };
        let snapshot = self.probable_snapshot(&volume);
        let subject = Subject::Snapshot(volume.clone(), snapshot.clone());
        let Some(fixed) = self.fixed_of(&subject).cloned() else { return Ok(None) };
        let service = Arc::downgrade(service);
        if self.dice.coin() {
            let path = (volume.clone(), snapshot.clone());
            let deed = move || match service.upgrade() {
                Some(service) => service.snapshot_remove(&snapshot_path(&path.0, &path.1)?),
                None => Err(gone()),
            };
            return Ok(Some(self.plan(deed, move |world, result| {
                let subject = format!("{volume}@{snapshot}");
                let names = Names::volumes([&volume]);
                let act = Act { kind: "remove between", subject: &subject, names, refusal: None };
                let after = |model: &mut super::Model| {
                    if let Some(known) = model.volumes.get_mut(&volume) {
                        known.snapshots.remove(&snapshot);
                    }
                };
                world.conclude(act, after, result).map(drop)
            })));
        }
        let Some(name) = self.any_volume_name() else { return Ok(None) };
        if self.model.volumes.contains_key(&name) {
            return Ok(None);
        }
        let new = name.clone();
        let deed = move || match service.upgrade() {
            Some(service) => {
                let origin =
                    archipelago_pool::Origin::Clone { source: subject.source()?, size: None };
                service.volume_create(&[parse(&new)?], &origin).map(drop)
            }
            None => Err(gone()),
        };
        Ok(Some(self.plan(deed, move |world, result| {
            let names = Names::volumes([&name]);
            let act = Act { kind: "clone between", subject: &name, names, refusal: None };
            let cells = super::model::Cells::settled(fixed.content.to_vec());
            let after = super::verbs::insert(std::slice::from_ref(&name), cells);
            world.conclude(act, after, result).map(drop)
        })))
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Invalid, "an act was planned for a life of the service that is over")
}
