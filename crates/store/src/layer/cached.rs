//! A store some of whose pools are far, behind a cache on a disk of the host.

use std::sync::Arc;

use archipelago_model::{PoolId, SegmentId};

use crate::cache::HostCache;
use crate::{SegmentWriter, Space, Store, StoreError};

/// A layer that reads what is sealed, and in a far pool, through a cache. Everything else goes to
/// the pool: also [`Store::read_at`], which who verifies, copies or recovers asks.
pub struct Cached {
    inner: Arc<dyn Store>,
    cache: Arc<HostCache>,
}

impl Cached {
    /// A layer over `inner`. No other store may use the cache.
    pub fn new(inner: Arc<dyn Store>, cache: Arc<HostCache>) -> Self {
        Self { inner, cache }
    }

    fn is_far(&self, id: SegmentId) -> bool {
        self.cache.is_for(self.inner.pool_of(id))
    }
}

impl Store for Cached {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.inner.create(id, capacity)
    }

    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.inner.create_in(pool, id, capacity)
    }

    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.inner.pool_of(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        // Before the first byte of it can change.
        self.cache.forget(id)?;
        self.inner.reopen(id)
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.inner.read_at(id, offset, buf)
    }

    fn read_sealed(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        if self.is_far(id) {
            self.cache.read(&*self.inner, id, offset, buf)
        } else {
            self.inner.read_sealed(id, offset, buf)
        }
    }

    fn sealed_len(&self, id: SegmentId) -> Result<u64, StoreError> {
        if self.is_far(id) { self.cache.len(&*self.inner, id) } else { self.inner.sealed_len(id) }
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.inner.len(id)
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.inner.remove(id)?;
        // Nobody asks for it again: its places are for others.
        self.cache.doubt(id);
        Ok(())
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.inner.list_from(floor)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.inner.space()
    }

    fn gains_from_zeros(&self) -> bool {
        self.inner.gains_from_zeros()
    }
}

#[cfg(test)]
mod tests;
