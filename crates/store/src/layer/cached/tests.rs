use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_env::Env;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::cache::CACHE_BYTES_MIN;
use crate::layer::{Effect, Failure, Fault, Faulty, Op, Patience, Retrying};
use crate::testing::slept;
use crate::{MemoryStore, conformance};

/// Asks through the cache what it knows to be sealed, as the engine does.
struct Knowing {
    inner: Cached,
    sealed: Arc<Mutex<HashSet<SegmentId>>>,
}

struct KnowingWriter {
    inner: Arc<dyn SegmentWriter>,
    id: SegmentId,
    sealed: Arc<Mutex<HashSet<SegmentId>>>,
}

impl Knowing {
    fn writer(&self, id: SegmentId, inner: Arc<dyn SegmentWriter>) -> Arc<dyn SegmentWriter> {
        self.sealed.lock().remove(&id);
        Arc::new(KnowingWriter { inner, id, sealed: Arc::clone(&self.sealed) })
    }

    fn is_sealed(&self, id: SegmentId) -> bool {
        self.sealed.lock().contains(&id)
    }
}

impl Store for Knowing {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        Ok(self.writer(id, self.inner.create(id, capacity)?))
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        Ok(self.writer(id, self.inner.reopen(id)?))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        if self.is_sealed(id) {
            self.inner.read_sealed(id, offset, buf)
        } else {
            self.inner.read_at(id, offset, buf)
        }
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        if self.is_sealed(id) { self.inner.sealed_len(id) } else { self.inner.len(id) }
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.sealed.lock().remove(&id);
        self.inner.remove(id)
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.inner.list_from(floor)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.inner.space()
    }
}

impl SegmentWriter for KnowingWriter {
    fn write_at(&self, offset: u64, parts: &[std::io::IoSlice<'_>]) -> Result<(), StoreError> {
        self.inner.write_at(offset, parts)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.inner.seal(len)?;
        self.sealed.lock().insert(self.id);
        Ok(())
    }
}

/// Stores behind caches of their own.
fn behind_caches(env: &Env, dir: &TempDir, inner: &dyn Fn() -> Arc<dyn Store>) {
    let made = AtomicU64::new(0);
    conformance::check(|| {
        let folder = dir.path().join(made.fetch_add(1, Ordering::Relaxed).to_string());
        let cache = HostCache::open(env, &folder, [1; 16], CACHE_BYTES_MIN, None).unwrap();
        cache.set_far(PoolId::FIRST, true);
        cache.begin(SegmentId::MIN).unwrap();
        let inner = Cached::new(inner(), cache);
        Arc::new(Knowing { inner, sealed: Arc::default() })
    });
}

#[test]
fn a_store_behind_a_cache_conforms() {
    let dir = TempDir::new().unwrap();
    behind_caches(&Env::real(), &dir, &|| Arc::new(MemoryStore::new()));
}

#[test]
fn a_store_that_is_away_now_and_then_conforms_behind_a_cache() {
    let (dir, (_, env)) = (TempDir::new().unwrap(), slept());
    behind_caches(&env, &dir, &|| {
        let faults = Faulty::new(Arc::new(MemoryStore::new()));
        for op in [Op::Read, Op::Len, Op::Seal, Op::Reopen] {
            for after in [0, 2, 3, 7, 11, 12, 20] {
                let effect = Effect::Fail(Failure::Unavailable);
                faults.inject(Fault { after, ..Fault::once(op, effect) });
            }
        }
        Arc::new(Retrying::new(Arc::new(faults), env.clone(), Patience::default()))
    });
}
