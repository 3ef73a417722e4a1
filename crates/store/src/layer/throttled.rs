//! A store whose bytes and calls take their time: so many a second, and not more.
//!
//! Each direction has a moment at which it is free again; a call moves it on by what the call
//! costs and waits until the moment is no further off than a burst. So a call that is larger
//! than a burst goes through at once, and those after it wait.

use std::io::IoSlice;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Env;
use archipelago_model::{PoolId, SegmentId};
use parking_lot::Mutex;

use crate::{SegmentWriter, Space, Store, StoreError};

/// What may be done in a second. `None`: any number.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rates {
    /// Bytes that are read.
    pub read_bytes: Option<NonZeroU64>,
    /// Bytes that are written.
    pub written_bytes: Option<NonZeroU64>,
    /// Calls of any kind.
    pub calls: Option<NonZeroU64>,
}

/// What may be done at once after a rest, in time at the rate.
pub const BURST: Duration = Duration::from_millis(250);

/// A layer that limits the rate.
pub struct Throttled {
    inner: Arc<dyn Store>,
    limits: Arc<Limits>,
}

impl Throttled {
    /// A layer over `inner`.
    pub fn new(inner: Arc<dyn Store>, env: Env, rates: Rates) -> Self {
        Self { inner, limits: Arc::new(Limits::new(env, rates)) }
    }

    fn writer(&self, inner: Arc<dyn SegmentWriter>) -> Arc<dyn SegmentWriter> {
        Arc::new(ThrottledWriter { inner, limits: Arc::clone(&self.limits) })
    }
}

/// Rates, and how far they are used up.
pub(crate) struct Limits {
    env: Env,
    reads: Pace,
    writes: Pace,
    calls: Pace,
}

impl Limits {
    pub(crate) fn new(env: Env, rates: Rates) -> Self {
        Self {
            env,
            reads: Pace::of(rates.read_bytes),
            writes: Pace::of(rates.written_bytes),
            calls: Pace::of(rates.calls),
        }
    }

    /// Waits for one call that carries no bytes to speak of.
    pub(crate) fn call(&self) {
        self.wait(None);
    }

    /// Waits for one call that brings so many bytes.
    pub(crate) fn read(&self, bytes: u64) {
        self.wait(Some((&self.reads, bytes)));
    }

    /// Waits for one call that takes so many bytes.
    pub(crate) fn write(&self, bytes: u64) {
        self.wait(Some((&self.writes, bytes)));
    }

    fn wait(&self, bytes: Option<(&Pace, u64)>) {
        let clock = self.env.clock();
        let now = clock.monotonic();
        let call = self.calls.take(now, 1);
        let bytes = bytes.map_or(Duration::ZERO, |(pace, amount)| pace.take(now, amount));
        let wait = call.max(bytes);
        if !wait.is_zero() {
            clock.sleep(wait);
        }
    }
}

struct Pace {
    rate: Option<NonZeroU64>,
    /// When all that was taken so far is paid for.
    free_at: Mutex<Duration>,
}

impl Pace {
    fn of(rate: Option<NonZeroU64>) -> Self {
        Self { rate, free_at: Mutex::new(Duration::ZERO) }
    }

    /// How long who takes so much has to wait.
    fn take(&self, now: Duration, amount: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free_at = self.free_at.lock();
        let begin = (*free_at).max(now);
        *free_at = begin.saturating_add(cost);
        begin.saturating_sub(now).saturating_sub(BURST)
    }
}

impl Store for Throttled {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.limits.call();
        self.inner.create(id, capacity).map(|inner| self.writer(inner))
    }

    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.limits.wait(None);
        self.inner.create_in(pool, id, capacity).map(|inner| self.writer(inner))
    }

    fn copies(&self, id: SegmentId) -> Vec<Arc<dyn Store>> {
        self.inner.copies(id)
    }

    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.inner.pool_of(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.limits.call();
        self.inner.reopen(id).map(|inner| self.writer(inner))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.limits.read(buf.len() as u64);
        self.inner.read_at(id, offset, buf)
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.limits.call();
        self.inner.len(id)
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.limits.call();
        self.inner.remove(id)
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.limits.call();
        self.inner.list_from(floor)
    }

    fn gains_from_zeros(&self) -> bool {
        self.inner.gains_from_zeros()
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.inner.space()
    }
}

struct ThrottledWriter {
    inner: Arc<dyn SegmentWriter>,
    limits: Arc<Limits>,
}

impl SegmentWriter for ThrottledWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        self.limits.write(bytes);
        self.inner.write_at(offset, parts)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.limits.call();
        self.inner.sync()
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.limits.call();
        self.inner.seal(len)
    }

    fn seal_first(&self, len: u64) -> Result<(), StoreError> {
        self.limits.call();
        self.inner.seal_first(len)
    }
}

#[cfg(test)]
mod tests;
