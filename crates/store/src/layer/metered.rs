//! A store that counts what is asked of it.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_model::{PoolId, SegmentId};

use crate::{SegmentWriter, Space, Store, StoreError};

/// Calls since the layer was made, those that failed included, and bytes of
/// those that succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OpCounts {
    /// [`Store::create`]
    pub creates: u64,
    /// [`Store::reopen`]
    pub reopens: u64,
    /// [`Store::read_at`]
    pub reads: u64,
    /// Bytes that reads returned.
    pub read_bytes: u64,
    /// [`Store::len`]
    pub lens: u64,
    /// [`Store::remove`]
    pub removes: u64,
    /// [`Store::list_from`]
    pub lists: u64,
    /// [`SegmentWriter::write_at`]
    pub writes: u64,
    /// Bytes that writes took.
    pub written_bytes: u64,
    /// [`SegmentWriter::sync`]
    pub syncs: u64,
    /// [`SegmentWriter::seal`]
    pub seals: u64,
    /// Calls that failed, of any kind.
    pub errors: u64,
}

#[derive(Default)]
struct Counters {
    creates: AtomicU64,
    reopens: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    lens: AtomicU64,
    removes: AtomicU64,
    lists: AtomicU64,
    writes: AtomicU64,
    written_bytes: AtomicU64,
    syncs: AtomicU64,
    seals: AtomicU64,
    errors: AtomicU64,
}

impl Counters {
    fn count<T>(
        &self,
        counter: &AtomicU64,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        add(counter, 1);
        if result.is_err() {
            add(&self.errors, 1);
        }
        result
    }
}

/// A layer that counts.
pub struct Metered {
    inner: Arc<dyn Store>,
    counters: Arc<Counters>,
}

impl Metered {
    /// A layer over `inner`, all counts zero.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, counters: Arc::default() }
    }

    /// The counts. Each is right by itself; they are not of one moment.
    pub fn counts(&self) -> OpCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let from = &self.counters;
        OpCounts {
            creates: get(&from.creates),
            reopens: get(&from.reopens),
            reads: get(&from.reads),
            read_bytes: get(&from.read_bytes),
            lens: get(&from.lens),
            removes: get(&from.removes),
            lists: get(&from.lists),
            writes: get(&from.writes),
            written_bytes: get(&from.written_bytes),
            syncs: get(&from.syncs),
            seals: get(&from.seals),
            errors: get(&from.errors),
        }
    }

    fn writer(&self, inner: Arc<dyn SegmentWriter>) -> Arc<dyn SegmentWriter> {
        Arc::new(MeteredWriter { inner, counters: Arc::clone(&self.counters) })
    }
}

impl Store for Metered {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let created = self.inner.create(id, capacity);
        self.counters.count(&self.counters.creates, created).map(|inner| self.writer(inner))
    }

    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let created = self.inner.create_in(pool, id, capacity);
        self.counters.count(&self.counters.creates, created).map(|inner| self.writer(inner))
    }

    fn copies(&self, id: SegmentId) -> Vec<Arc<dyn Store>> {
        self.inner.copies(id)
    }

    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.inner.pool_of(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let reopened = self.inner.reopen(id);
        self.counters.count(&self.counters.reopens, reopened).map(|inner| self.writer(inner))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let result = self.inner.read_at(id, offset, buf);
        let read = self.counters.count(&self.counters.reads, result)?;
        add(&self.counters.read_bytes, read as u64);
        Ok(read)
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.counters.count(&self.counters.lens, self.inner.len(id))
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.counters.count(&self.counters.removes, self.inner.remove(id))
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.counters.count(&self.counters.lists, self.inner.list_from(floor))
    }

    fn gains_from_zeros(&self) -> bool {
        self.inner.gains_from_zeros()
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.inner.space()
    }
}

struct MeteredWriter {
    inner: Arc<dyn SegmentWriter>,
    counters: Arc<Counters>,
}

impl SegmentWriter for MeteredWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        self.counters.count(&self.counters.writes, self.inner.write_at(offset, parts))?;
        add(&self.counters.written_bytes, parts.iter().map(|part| part.len() as u64).sum());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.counters.count(&self.counters.syncs, self.inner.sync())
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.counters.count(&self.counters.seals, self.inner.seal(len))
    }

    fn seal_first(&self, len: u64) -> Result<(), StoreError> {
        self.counters.count(&self.counters.seals, self.inner.seal_first(len))
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
