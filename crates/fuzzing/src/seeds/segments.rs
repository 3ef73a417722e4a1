//! Segments as a real engine writes them.

use std::sync::Arc;
use std::time::Duration;

use archipelago_engine::{Engine, Head, Piece, Write};
use archipelago_env::{Clock, Env, Random};
use archipelago_model::{Epoch, Location, SegmentId, VolumeId, VolumeSize};
use archipelago_store::{MemoryStore, Store};
use parking_lot::Mutex;

use crate::mutate::Dice;
use crate::targets::engine::engine;

const SIZE: u64 = 1 << 20;
const UUID: [u8; 16] = [1; 16];

/// A clock that stands, so that equal engines write equal bytes.
struct Standing;

impl Clock for Standing {
    fn unix_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

/// Chance from a seed.
struct Seeded(Mutex<Dice>);

impl Random for Seeded {
    fn fill(&self, out: &mut [u8]) {
        let mut dice = self.0.lock();
        out.iter_mut().for_each(|byte| *byte = dice.roll() as u8);
    }
}

fn env() -> Env {
    let real = Env::real();
    Env::new(
        Arc::new(Standing),
        Arc::new(Seeded(Mutex::new(Dice::new(1)))),
        Arc::clone(real.disk()),
        Arc::clone(real.threads()),
    )
}

fn head() -> Head {
    Head {
        volume: VolumeId::new(1),
        epoch: Epoch::new(1),
        size: VolumeSize::from_bytes(SIZE).expect("seeds are small"),
        root: Location::HOLE,
        lsn: Location::HOLE,
    }
}

/// An open segment of the log, a sealed one with a map in it, and a cold one.
pub(super) fn all() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    all.extend(log(false));
    all.extend(log(true));
    all.extend(cold());
    all
}

fn start(store: &Arc<MemoryStore>) -> Arc<Engine> {
    engine(env(), store, UUID, 1, &|_| Some(head())).expect("the store is empty")
}

/// Segments of the log; sealed by closing the engine.
fn log(sealed: bool) -> Vec<Vec<u8>> {
    let store = Arc::new(MemoryStore::new());
    let engine = start(&store);
    let volume = engine.attach(head()).expect("the epoch is the newest");
    let writes = [
        Write::Data { offset: 0, bytes: &[1; 1024] },
        Write::Zero { offset: 8192, len: 4096, keep: false },
        Write::Data { offset: 65536, bytes: &[2; 4608] },
    ];
    for write in writes {
        volume.write(&[write]).expect("there is room");
    }
    volume.flush().expect("memory does not fail");
    if sealed {
        let dirty = engine.dirty_volumes();
        engine
            .checkpoint(&dirty, true, |_| Ok::<(), archipelago_engine::Error>(()))
            .expect("memory does not fail");
        engine.close().expect("memory does not fail");
    }
    contents(&store)
}

/// Segments of an ingest: plain and packed chunks, fingerprints, a map.
fn cold() -> Vec<Vec<u8>> {
    let store = Arc::new(MemoryStore::new());
    let engine = start(&store);
    let mut dice = Dice::new(2);
    let noise: Vec<u8> = (0..8192).map(|_| dice.roll() as u8).collect();
    let mut pieces = vec![
        Piece::Data { offset: 0, bytes: noise },
        Piece::Zero { offset: 16384, len: 4096 },
        Piece::Data {
            offset: 65536,
            bytes: b"the same line again\n".repeat(4096)[..65536].to_vec(),
        },
    ]
    .into_iter();
    engine.ingest(Location::HOLE, SIZE, &mut || Ok(pieces.next())).expect("memory does not fail");
    contents(&store)
}

fn contents(store: &MemoryStore) -> Vec<Vec<u8>> {
    let ids = store.list_from(SegmentId::MIN).expect("memory does not fail");
    let read = |id| {
        let mut bytes = vec![0; store.len(id)? as usize];
        store.read_at(id, 0, &mut bytes)?;
        Ok::<_, archipelago_store::StoreError>(bytes)
    };
    ids.into_iter().map(|id| read(id).expect("it was listed")).filter(|b| b.len() > 512).collect()
}
