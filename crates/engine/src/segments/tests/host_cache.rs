//! Reading through a cache on a disk of the host.

use archipelago_store::layer::{Cached, Effect, Fault, Faulty, Metered, Op};
use archipelago_store::{CACHE_BYTES_MIN, HostCache};
use tempfile::TempDir;

use super::*;
use crate::engine::Engine;
use crate::testing::Rig;
use crate::volume::{Volume, Write};

const MIB: usize = 1 << 20;

/// An engine over a far pool behind a cache.
struct Far {
    _dir: TempDir,
    faults: Faulty,
    pool: Arc<Metered>,
    cache: Arc<HostCache>,
    rig: Rig,
}

impl Far {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let faults = Faulty::new(Arc::new(MemoryStore::new()));
        let pool = Arc::new(Metered::new(Arc::new(faults.clone())));
        let cache =
            HostCache::open(&Env::real(), dir.path(), [1; 16], CACHE_BYTES_MIN, None).unwrap();
        cache.set_far(PoolId::FIRST, true);
        let cached = Cached::new(Arc::clone(&pool) as Arc<dyn Store>, Arc::clone(&cache));
        let mut rig = Rig::over(Arc::new(cached));
        let doubted = Arc::clone(&cache);
        rig.doubt = Some(Arc::new(move |id| doubted.doubt(id)));
        Self { _dir: dir, faults, pool, cache, rig }
    }

    /// Volume 1, whose data is in sealed segments.
    fn fill(&self) -> (Arc<Engine>, Vec<u8>) {
        let engine = self.rig.open();
        let volume = self.rig.attach(&engine, 1, 8 * MIB as u64);
        let mut bytes = vec![0; 6 * MIB];
        blake3::Hasher::new().update(b"far").finalize_xof().fill(&mut bytes);
        for (at, piece) in bytes.chunks(MIB).enumerate() {
            volume.write(&[Write::Data { offset: (at * MIB) as u64, bytes: piece }]).unwrap();
        }
        self.rig.checkpoint(&engine, &[volume]).unwrap();
        engine.close().unwrap();
        drop(engine);
        (self.begin(), bytes)
    }

    fn begin(&self) -> Arc<Engine> {
        let engine = self.rig.open();
        self.cache.begin(engine.next_segment()).unwrap();
        engine
    }
}

fn read(volume: &Volume, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    volume.read(0, &mut out).unwrap();
    out
}

#[test]
fn what_one_volume_read_another_one_reads_from_the_disk_of_the_host() {
    let far = Far::new();
    let (engine, bytes) = far.fill();
    let volume = far.rig.attach(&engine, 1, 8 * MIB as u64);
    assert!(read(&volume, bytes.len()) == bytes);
    let cold = far.pool.counts();
    assert!(cold.reads > 0);
    // Nothing of the segments is in memory any more.
    engine.shared().segments.forget_all();
    assert!(read(&volume, bytes.len()) == bytes);
    let warm = far.pool.counts();
    assert_eq!((warm.reads, warm.lens), (cold.reads, cold.lens));
    assert!(far.cache.figures().hits > 0);
}

#[test]
fn wrong_bytes_that_came_into_the_cache_are_read_from_the_pool_again() {
    let far = Far::new();
    let (engine, bytes) = far.fill();
    // One bit of each piece that is fetched of a segment, once.
    for id in far.pool.list_from(SegmentId::MIN).unwrap() {
        let effect = Effect::Flip { offset: 100_000, mask: 4 };
        far.faults.inject(Fault { segment: Some(id), ..Fault::once(Op::Read, effect) });
    }
    let volume = far.rig.attach(&engine, 1, 8 * MIB as u64);
    assert!(read(&volume, bytes.len()) == bytes);
    assert!(engine.shared().segments.figures().3 > 0, "it was seen");
    engine.shared().segments.forget_all();
    assert!(read(&volume, bytes.len()) == bytes);
}

#[test]
fn a_scrub_reads_the_pool() {
    let far = Far::new();
    let (engine, bytes) = far.fill();
    let volume = far.rig.attach(&engine, 1, 8 * MIB as u64);
    assert!(read(&volume, bytes.len()) == bytes);
    let (before, asked) = (far.cache.figures(), far.pool.counts().read_bytes);
    let mut scrubbed = 0;
    for id in far.pool.list_from(SegmentId::MIN).unwrap() {
        let go_on = &mut |_| std::ops::ControlFlow::Continue(());
        if let Some(segment) = engine.scrub_segment(id, None, go_on).unwrap() {
            assert_eq!(segment.damages, []);
            scrubbed += segment.bytes;
        }
    }
    assert!(scrubbed > bytes.len() as u64);
    assert!(far.pool.counts().read_bytes - asked >= scrubbed);
    assert_eq!(far.cache.figures(), before);
}
