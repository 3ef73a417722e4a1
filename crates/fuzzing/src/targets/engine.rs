//! A store with one hostile segment: opened, read through every map that is in it,
//! and checkpointed.

use std::io::IoSlice;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_engine::{Config, Engine, Head, Options, SegmentIds};
use archipelago_env::Env;
use archipelago_format::segment::{Directory, SLOT_PAGE_BYTES, SlotPage, TRAILER_BYTES, Trailer};
use archipelago_model::{
    Epoch, Extent, Location, SegmentId, VOLUME_BYTES_MAX, VolumeId, VolumeSize,
};
use archipelago_store::{MemoryStore, Store};

use crate::mend;

/// Slots that are taken for roots of maps.
const ROOTS_MAX: usize = 12;

/// Bytes that are read at each place.
const READ_BYTES: usize = 16 << 10;

/// The memory that the store may take: recovery writes a footer, a checkpoint nodes.
const ROOM_BYTES: u64 = 64 << 20;

/// The bytes as the one segment of a store; then the same with all checksums mended.
pub fn recovery(bytes: &[u8]) {
    open(bytes);
    let mut mended = bytes.to_vec();
    mend::segment(&mut mended);
    open(&mended);
}

/// Ids behind that of the hostile segment.
struct Ids(AtomicU64);

impl SegmentIds for Ids {
    fn reserve(&self, count: u64) -> Result<Range<u64>, Box<dyn std::error::Error + Send + Sync>> {
        let from = self.0.fetch_add(count, Ordering::Relaxed);
        Ok(from..from + count)
    }
}

/// An engine over a store, as recovery leaves it: everything in its log counts.
///
/// # Errors
/// What opening gives.
pub fn engine(
    env: Env,
    store: &Arc<MemoryStore>,
    uuid: [u8; 16],
    ids_from: u64,
    head: &dyn Fn(VolumeId) -> Option<Head>,
) -> Result<Arc<Engine>, archipelago_engine::Error> {
    let config = Config {
        hot_segment_bytes: 256 << 10,
        cold_segment_bytes: 256 << 10,
        chunk_cache_bytes: 1 << 20,
        node_cache_bytes: 1 << 20,
        slot_cache_bytes: 1 << 20,
        ..Config::default()
    };
    let options = Options {
        env,
        store: Arc::clone(store) as Arc<dyn Store>,
        config,
        store_uuid: uuid,
        dedup_key: [2; 32],
        ids: Arc::new(Ids(AtomicU64::new(ids_from))),
        log_floor: None,
        heads: head,
        recorded: &|_| None,
        forwarded: &[],
        condemned: &[],
        doubt: None,
        copies: None,
    };
    Engine::open(options).map(|(engine, _)| engine)
}

fn head_of(volume: VolumeId) -> Option<Head> {
    // Ids with the lowest bits set are gone, so that records are passed over too.
    (volume.get() & 3 != 3).then_some(Head {
        volume,
        epoch: Epoch::new(u32::MAX),
        size: VolumeSize::from_bytes(VOLUME_BYTES_MAX).expect("the greatest there is"),
        root: Location::HOLE,
        lsn: Location::HOLE,
    })
}

fn open(bytes: &[u8]) {
    let (id, uuid) = mend::identity(bytes);
    let store = Arc::new(MemoryStore::with_room(ROOM_BYTES));
    let writer = store.create(id, 0).expect("the store is empty");
    writer.write_at(0, &[IoSlice::new(bytes)]).expect("there is room");
    drop(writer);
    // Opening with an id that no other follows refuses, and so does what is damaged.
    let Ok(engine) = engine(Env::real(), &store, uuid, id.get() + 1, &head_of) else { return };
    let len = store.len(id).unwrap_or(0);
    assert!(len <= ROOM_BYTES, "recovery made {len} bytes of {}", bytes.len());
    engine.learn(&[id]);
    for volume in engine.dirty_volumes() {
        let mut out = vec![0; READ_BYTES];
        // What fails verification is an error, which is all that is asked here.
        let _ = volume.read(0, &mut out);
        let _ = volume.status(0, VOLUME_BYTES_MAX, 64);
    }
    let roots = roots(bytes, id);
    for root in &roots {
        maps(&engine, *root);
    }
    let _ = engine.account(&roots);
    let dirty = engine.dirty_volumes();
    let _ = engine.checkpoint(&dirty, true, |_| Ok::<(), archipelago_engine::Error>(()));
    let _ = engine.close();
    // A volume that is attached keeps its engine in memory for as long as the process.
    dirty.iter().for_each(|volume| engine.detach(volume.id()));
}

/// Everything that a map is asked.
fn maps(engine: &Engine, root: Location) {
    let Ok(view) = engine.view(root, VOLUME_BYTES_MAX) else { return };
    let mut out = vec![0; READ_BYTES];
    let mut at = 0;
    for range in view.status(0, VOLUME_BYTES_MAX, 64).unwrap_or_default() {
        assert!(range.len > 0);
        if !range.hole {
            let _ = view.read(at, &mut out);
        }
        at += range.len;
        assert!(at <= VOLUME_BYTES_MAX);
    }
    let mut last = 0;
    let mut each = |range: Range<u64>, _| {
        assert!(last <= range.start && range.start < range.end && range.end <= Extent::START_END);
        last = range.end;
        ControlFlow::Continue(())
    };
    let _ = engine.diff(Location::HOLE, root, 0..Extent::START_END, &mut each);
}

/// Where the segment's own list of slots says that something begins.
fn roots(bytes: &[u8], id: SegmentId) -> Vec<Location> {
    let positions = || -> Option<Vec<u32>> {
        let at = bytes.len().checked_sub(TRAILER_BYTES)?;
        let trailer = Trailer::decode(&bytes[at..]).ok()?;
        let directory = bytes.get(trailer.directory_offset as usize..at)?;
        let directory = Directory::decode(directory).ok()?;
        let slots = usize::try_from(directory.slots.offset).ok()?;
        let page = SlotPage::decode(bytes.get(slots..slots.checked_add(SLOT_PAGE_BYTES)?)?, 0);
        Some(page.ok()?.slots.iter().map(|slot| slot.position).collect())
    };
    let positions = positions().unwrap_or_else(|| (0..ROOTS_MAX as u32).collect());
    // Roots are written last, so they are looked for from the end.
    positions.iter().rev().take(ROOTS_MAX).filter_map(|at| Location::new(id, *at)).collect()
}
