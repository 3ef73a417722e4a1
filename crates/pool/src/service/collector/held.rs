//! Facts about collections that come amid an ingest, at the worst moment.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use archipelago_engine::{Ingested, Piece, Urgency};
use archipelago_env::Env;
use archipelago_model::{Location, PoolId, SegmentId};
use archipelago_store::layer::Op;
use archipelago_store::{SegmentWriter, Space, Store, StoreError};
use parking_lot::Mutex;

use super::round::Round;
use super::tests::files;
use super::{Collection, Service};
use crate::catalog::segment::{self, State};
use crate::testing::{Bench, MIB, config, noise, stream};

const THOROUGH: Collection = Collection { thorough: true, now: true, budget: None };
const QUICK: Collection = Collection { thorough: false, now: true, budget: None };

/// Done once, amid an operation of the store.
type Hook = Box<dyn FnOnce() + Send>;

/// What to do when the thread that made it does something of a kind the next time.
struct Hooked {
    inner: Arc<dyn Store>,
    mine: ThreadId,
    hook: Mutex<Option<(Op, Hook)>>,
}

impl Hooked {
    fn set(&self, op: Op, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock() = Some((op, Box::new(hook)));
    }

    fn passes(&self, op: Op) {
        let due =
            self.hook.lock().take_if(|(at, _)| thread::current().id() == self.mine && *at == op);
        if let Some((_, hook)) = due {
            hook();
        }
    }

    /// Whether it was not done yet.
    fn waits(&self) -> bool {
        self.hook.lock().is_some()
    }
}

impl Store for Hooked {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let made = self.inner.create(id, capacity);
        self.passes(Op::Create);
        made
    }

    fn create_in(
        &self,
        _: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.create(id, capacity)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.inner.reopen(id)
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.passes(Op::Read);
        self.inner.read_at(id, offset, buf)
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.inner.len(id)
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.inner.remove(id)
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.inner.list_from(floor)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.inner.space()
    }
}

fn hooked_bench() -> (Bench, Arc<Hooked>) {
    let dir = tempfile::TempDir::new().unwrap();
    let mut hooked = None;
    let service = Service::open_layered(&dir.path().join("data"), Env::real(), config(), |store| {
        let (mine, hook) = (thread::current().id(), Mutex::new(None));
        let layer = Arc::new(Hooked { inner: store, mine, hook });
        hooked = Some(Arc::clone(&layer));
        layer as Arc<dyn Store>
    });
    (Bench { dir, service: service.unwrap() }, hooked.unwrap())
}

/// What was in an image that is removed by now. Nothing else is in its segments.
fn removed(bench: &Bench) -> Vec<u8> {
    let content = noise(1, MIB as usize);
    bench.import("gone", &stream(&content)).unwrap();
    bench.service.image_remove(&"gone".parse().unwrap()).unwrap();
    content
}

fn ingest(bench: &Bench, content: &[u8]) -> Ingested {
    let mut pieces = vec![Piece::Data { offset: 0, bytes: content.to_vec() }].into_iter();
    let engine = &bench.service.core.engine;
    engine.ingest(Location::HOLE, content.len() as u64, &mut || Ok(pieces.next())).unwrap()
}

fn state_of(bench: &Bench, id: SegmentId) -> Option<State> {
    let known = bench.service.core.catalog.read(|tx| segment::find(tx, id)).unwrap();
    known.map(|known| known.state)
}

/// Binds, and gives what the map holds then. Nothing names it afterwards.
fn bind(bench: &Bench, ingested: Ingested, len: usize) -> Vec<u8> {
    let core = &bench.service.core;
    let read = core.bind(ingested, len as u64, |_, root| Ok(core.engine.view(root, len as u64)?));
    let mut out = vec![0; len];
    read.unwrap().read(0, &mut out).unwrap();
    out
}

/// An ingest that shares of a segment which a mark that began before condemned since.
fn shares_what_is_condemned(bench: &Bench) -> Option<(Vec<u8>, Ingested, SegmentId)> {
    let content = removed(bench);
    let core = &bench.service.core;
    let mut round = Round::begin(core, Urgency::High, false, None).unwrap();
    let ingested = ingest(bench, &content);
    // Of one store in some, whose keys are random, the index has none of the blocks.
    let shared = *ingested.named.first()?;
    round.run(&mut core.collector.lock(), true).unwrap();
    assert_eq!(state_of(bench, shared), Some(State::Condemned));
    Some((content, ingested, shared))
}

/// Most stores have some block of it in the index.
fn in_some_store(fact: fn() -> bool) {
    assert!((0..8).any(|_| fact()));
}

#[test]
fn what_leaves_while_it_is_written_again_is_no_alarm() {
    in_some_store(|| {
        let (bench, hooked) = hooked_bench();
        let Some((content, ingested, shared)) = shares_what_is_condemned(&bench) else {
            return false;
        };
        let service = Arc::clone(&bench.service);
        hooked.set(Op::Create, move || {
            let done = service.collect(QUICK).unwrap();
            assert_eq!((done.alarms, done.removed), (0, 0), "{done:?}");
        });
        assert!(bind(&bench, ingested, content.len()) == content);
        assert!(!hooked.waits());
        // What is held no longer goes.
        bench.service.collect(THOROUGH).unwrap();
        assert_eq!(state_of(&bench, shared), None);
        assert_eq!(bench.service.core.collected().alarms, 0);
        true
    });
}

#[test]
fn what_an_ingest_held_when_a_mark_found_it_named_waits_for_another_mark() {
    in_some_store(|| {
        let bench = Bench::new();
        let Some((content, ingested, shared)) = shares_what_is_condemned(&bench) else {
            return false;
        };
        let core = &bench.service.core;
        let view = core.engine.view(*ingested.root.get(), content.len() as u64).unwrap();
        // The mark that condemned it found it unnamed; from this one on that does not count.
        assert_eq!(bench.service.collect(QUICK).unwrap().alarms, 0);
        let mut round = Round::begin(core, Urgency::High, false, None).unwrap();
        // Let go of as soon as the mark has begun: nothing but the mark keeps it now.
        drop((view, ingested));
        round.run(&mut core.collector.lock(), true).unwrap();
        assert_eq!(round.figures().alarms, 0);
        assert_eq!(state_of(&bench, shared), Some(State::Condemned));
        assert!(files(&bench).contains(&shared));
        let done = bench.service.collect(QUICK).unwrap();
        assert_eq!((done.alarms, state_of(&bench, shared)), (0, None));
        true
    });
}

#[test]
fn a_condemned_segment_that_others_name_is_an_alarm_once_no_ingest_holds_it() {
    in_some_store(|| {
        let bench = Bench::new();
        let Some((content, ingested, shared)) = shares_what_is_condemned(&bench) else {
            return false;
        };
        // As a defect would: in use by somebody who did not ask whether it leaves.
        let core = &bench.service.core;
        let view = core.engine.view(*ingested.root.get(), content.len() as u64).unwrap();
        let done = bench.service.collect(QUICK).unwrap();
        assert_eq!((done.alarms, state_of(&bench, shared)), (0, Some(State::Condemned)));
        drop(ingested);
        let done = bench.service.collect(QUICK).unwrap();
        assert_eq!((done.alarms, state_of(&bench, shared)), (1, Some(State::Sealed)));
        let mut out = vec![0; content.len()];
        view.read(0, &mut out).unwrap();
        assert!(out == content);
        true
    });
}

#[test]
fn an_ingest_that_goes_on_sharing_what_was_condemned_since_is_no_alarm() {
    in_some_store(|| {
        let (bench, hooked) = hooked_bench();
        let old = removed(&bench);
        // Two runs of one window are in the same segment.
        let half = old.len() / 2;
        let content = [&old[..half], &noise(2, 256 << 10), &old[half..]].concat();
        let service = Arc::clone(&bench.service);
        let begun = Arc::clone(&service);
        let shared = files(&bench)[0];
        // As a mark that began before the ingest held it.
        hooked.set(Op::Read, move || {
            let core = &begun.core;
            let condemned = core.catalog.write(|tx| segment::condemn(tx, shared, u64::MAX));
            assert!(condemned.unwrap());
            core.engine.condemned(&[shared]);
        });
        let ingested = ingest(&bench, &content);
        if !ingested.named.contains(&shared) || hooked.waits() {
            return false;
        }
        assert_eq!(service.core.engine.alarms(), []);
        assert!(bind(&bench, ingested, content.len()) == content);
        service.collect(THOROUGH).unwrap();
        assert_eq!(service.core.collected().alarms, 0);
        true
    });
}

#[test]
fn a_collection_leaves_a_segment_alone_that_is_being_made() {
    let (bench, hooked) = hooked_bench();
    bench.create("v", MIB);
    bench.put("v", 0, &noise(2, 4096));
    let service = Arc::clone(&bench.service);
    hooked.set(Op::Create, move || drop(service.collect(THOROUGH)));
    let content = noise(1, MIB as usize);
    bench.import("image", &stream(&content)).unwrap();
    assert!(!hooked.waits());
    assert!(bench.get("image:image", 0, content.len()) == content);
}
