use std::io::IoSlice;
use std::sync::Arc;

use archipelago_store::{MemoryStore, SegmentWriter, Space, Store, StoreError};
use parking_lot::Mutex;

use super::*;
use crate::ingest::Piece;
use crate::testing::Rig;
use crate::trace::{Touched, Traced};
use crate::volume::Write;

/// A store of which one bit can be flipped as it is read.
struct Rotten {
    inner: MemoryStore,
    /// Segment, offset of the byte, bits to flip in it.
    rot: Mutex<Option<(SegmentId, u64, u8)>>,
}

impl Store for Rotten {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.inner.create(id, capacity)
    }
    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.inner.reopen(id)
    }
    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let got = self.inner.read_at(id, offset, buf)?;
        if let Some((segment, at, bits)) = *self.rot.lock()
            && segment == id
            && (offset..offset + got as u64).contains(&at)
        {
            buf[(at - offset) as usize] ^= bits;
        }
        Ok(got)
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

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// A log with data, zeros, odd sectors and nodes, and an ingested map; all sealed.
struct World {
    store: Arc<Rotten>,
    engine: Arc<crate::Engine>,
    resources: Vec<Traced>,
}

fn world() -> World {
    let store = Arc::new(Rotten { inner: MemoryStore::new(), rot: Mutex::new(None) });
    let rig = Rig::over(Arc::clone(&store) as Arc<dyn Store>);
    let engine = rig.open();
    let volume = rig.attach(&engine, 1, 16 << 20);
    for n in 0..6u64 {
        let bytes = noise(n, 4096 * 5);
        let write = Write::Data { offset: n * 65536, bytes: &bytes };
        let zero = Write::Zero { offset: n * 65536 + 4096, len: 512, keep: false };
        let odd = Write::Data { offset: (8 << 20) + n * 1536, bytes: &bytes[..1536] };
        volume.write(&[write, zero, odd]).unwrap();
        rig.checkpoint(&engine, &[Arc::clone(&volume)]).unwrap();
    }
    let bytes = noise(99, 1 << 20);
    let text = b"what compresses ".repeat(65536);
    let mut pieces =
        vec![Piece::Data { offset: 0, bytes }, Piece::Data { offset: 2 << 20, bytes: text }]
            .into_iter();
    let ingested = engine.ingest(Location::HOLE, 3 << 20, &mut || Ok(pieces.next())).unwrap();
    engine.rest_log().unwrap();
    let fixed = Traced::Fixed { root: *ingested.root.get(), size: 3 << 20 };
    World { store, engine, resources: vec![Traced::Live(volume), fixed] }
}

impl World {
    fn ids(&self) -> Vec<SegmentId> {
        self.store.list_from(SegmentId::MIN).unwrap()
    }

    fn scrub(&self, id: SegmentId) -> ScrubbedSegment {
        let len = self.store.len(id).unwrap();
        self.engine.scrub_segment(id, Some(len), &mut go_on).unwrap().unwrap()
    }
}

#[test]
fn what_is_sound_has_no_damage_and_every_byte_of_it_is_read() {
    let world = world();
    let mut kinds = Vec::new();
    for id in world.ids() {
        let mut read = 0;
        let scrubbed = world
            .engine
            .scrub_segment(id, None, &mut |bytes| {
                read += bytes;
                ControlFlow::Continue(())
            })
            .unwrap()
            .unwrap();
        assert_eq!(scrubbed.damages, []);
        assert_eq!(scrubbed.unverified, 0);
        assert!(read >= scrubbed.bytes, "{read} of {}", scrubbed.bytes);
        kinds.extend(scrubbed.kind);
    }
    assert!(kinds.contains(&SegmentKind::Hot) && kinds.contains(&SegmentKind::Cold));
}

#[test]
fn a_flipped_bit_is_found_where_it_is_whatever_it_belongs_to() {
    let world = world();
    for id in world.ids() {
        let len = world.store.len(id).unwrap();
        // Every byte of what is small, and a sample of the rest.
        let step = if len < 64 << 10 { 1 } else { 97 };
        let tail = len.saturating_sub(12 << 10);
        let offsets = (0..tail).step_by(step).chain((tail..len).step_by(3));
        for at in offsets {
            *world.store.rot.lock() = Some((id, at, 1 << (at % 8)));
            let damages = world.scrub(id).damages;
            assert_eq!(damages.len(), 1, "byte {at} of {id}: {damages:?}");
            let Damage { offset, bytes, .. } = damages[0];
            assert!((offset..offset + bytes).contains(&at), "byte {at} of {id}: {damages:?}");
        }
        *world.store.rot.lock() = None;
    }
}

/// What of a resource cannot be read, sector by sector, from a store opened anew.
fn unreadable(world: &World) -> Vec<(usize, u64)> {
    let mut out = Vec::new();
    for (number, resource) in world.resources.iter().enumerate() {
        let size = match resource {
            Traced::Fixed { size, .. } => *size,
            Traced::Live(volume) => volume.size(),
        };
        world.engine.shared().segments.forget_all();
        let root = match resource {
            Traced::Fixed { root, .. } => *root,
            Traced::Live(volume) => volume.root(),
        };
        let nodes = crate::map::Nodes::new(Arc::clone(&world.engine.shared().segments), 1 << 20);
        let runs = nodes.root(root);
        for sector in 0..size / 512 {
            let mut out_bytes = [0; 512];
            let read = runs.as_ref().map_err(|_| ()).and_then(|runs| {
                let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
                crate::map::read(&nodes, &layers, sector, &mut out_bytes).map_err(|_| ())
            });
            if read.is_err() {
                out.push((number, sector));
            }
        }
    }
    out
}

use crate::map::Layer;

#[test]
fn damage_is_traced_to_exactly_what_cannot_be_read() {
    let world = world();
    let mut seen = 0;
    for id in world.ids() {
        let len = world.store.len(id).unwrap();
        let step = (len / 12).max(1);
        for at in (700..len).step_by(step as usize).chain([len - 5, len - 60, 5]) {
            *world.store.rot.lock() = Some((id, at, 4));
            let lost: Vec<Lost> = world.scrub(id).damages.iter().filter_map(|d| d.lost).collect();
            world.engine.shared().segments.forget_all();
            let trace = world.engine.trace(&lost, &world.resources).unwrap();
            assert!(trace.complete);
            let mut named: Vec<(usize, u64)> = trace
                .touched
                .iter()
                .flat_map(|t: &Touched| {
                    (t.offset / 512..(t.offset + t.len) / 512).map(|s| (t.resource, s))
                })
                .collect();
            named.sort_unstable();
            named.dedup();
            assert_eq!(named, unreadable(&world), "byte {at} of {id}");
            seen += usize::from(!named.is_empty());
        }
        *world.store.rot.lock() = None;
    }
    assert!(seen > 5, "{seen} of the flips touched something");
}

#[test]
fn a_file_that_is_cut_is_lost_as_a_whole() {
    let world = world();
    let id = world.ids()[0];
    let len = world.store.len(id).unwrap();
    let scrubbed = world.engine.scrub_segment(id, Some(len + 4096), &mut go_on).unwrap().unwrap();
    assert_eq!(scrubbed.damages, [], "the row is wrong, the file is whole");
    world.store.inner.remove(id).unwrap();
    let writer = world.store.inner.create(id, 0).unwrap();
    writer.write_at(0, &[IoSlice::new(&[0; 512])]).unwrap();
    let scrubbed = world.engine.scrub_segment(id, Some(len), &mut go_on).unwrap().unwrap();
    assert_eq!(scrubbed.damages.len(), 1);
    assert_eq!(scrubbed.damages[0].lost, Some(Lost::Segment(id)));
}

#[test]
fn a_scrub_stops_when_it_is_told_to() {
    let world = world();
    let stopped = world.engine.scrub_segment(world.ids()[0], None, &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped.unwrap(), None);
}
