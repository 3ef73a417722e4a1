//! Second copies: read where the first one is not to be had, and removed with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipelago_env::Clock;
use archipelago_model::{PoolId, SegmentId};
use parking_lot::Mutex;

use super::Spread;
use crate::{Store, StoreError};

/// A pool that failed is asked last for so long, of segments that have another copy: its answers
/// may take as long as its patience, and a guest waits for each.
const REST: Duration = Duration::from_secs(60);

/// A pool, and how it is asked.
#[derive(Clone)]
pub struct Member {
    /// With whatever layer asks again when it does not answer.
    pub patient: Arc<dyn Store>,
    /// Without: who has another copy to read does not wait.
    pub hasty: Arc<dyn Store>,
}

impl<S: Store + 'static> From<Arc<S>> for Member {
    fn from(store: Arc<S>) -> Self {
        Self { patient: Arc::clone(&store) as Arc<dyn Store>, hasty: store }
    }
}

impl From<Arc<dyn Store>> for Member {
    fn from(store: Arc<dyn Store>) -> Self {
        Self { patient: Arc::clone(&store), hasty: store }
    }
}

/// Which pools failed lately, and how often another one answered for them.
pub(super) struct Health {
    clock: Option<Arc<dyn Clock>>,
    any: AtomicBool,
    pools: Mutex<BTreeMap<PoolId, Failed>>,
}

#[derive(Default)]
struct Failed {
    until: Duration,
    reads: u64,
}

impl Health {
    pub fn new(clock: Option<Arc<dyn Clock>>) -> Self {
        Self { clock, any: AtomicBool::new(false), pools: Mutex::default() }
    }

    /// It was opened anew.
    pub fn forget(&self, pool: PoolId) {
        if let Some(failed) = self.pools.lock().get_mut(&pool) {
            failed.until = Duration::ZERO;
        }
    }

    fn is_resting(&self, pool: PoolId) -> bool {
        let Some(clock) = &self.clock else { return false };
        self.any.load(Ordering::Acquire)
            && self.pools.lock().get(&pool).is_some_and(|one| one.until > clock.monotonic())
    }

    /// Another pool has answered for this one.
    fn passed_over(&self, pool: PoolId) {
        self.pools.lock().entry(pool).or_default().reads += 1;
    }

    /// A pool failed: for a while others are asked first.
    fn rest(&self, pool: PoolId) {
        let Some(clock) = &self.clock else { return };
        let mut pools = self.pools.lock();
        let failed = pools.entry(pool).or_default();
        if failed.until == Duration::ZERO {
            tracing::warn!(%pool, "a pool fails; what has a second copy is read there");
        }
        failed.until = clock.monotonic() + REST;
        self.any.store(true, Ordering::Release);
    }
}

impl Spread {
    /// Notes where second copies are that were verified.
    pub fn seconds(&self, segments: impl IntoIterator<Item = (SegmentId, PoolId)>) {
        self.known.write().seconds.extend(segments);
    }

    /// The same, and that there are no others.
    pub fn only_seconds(&self, segments: impl IntoIterator<Item = (SegmentId, PoolId)>) {
        self.known.write().seconds = segments.into_iter().collect();
    }

    /// Forgets a second copy: nobody reads it any more.
    pub fn no_second(&self, id: SegmentId) {
        self.known.write().seconds.remove(&id);
    }

    /// The pools with a copy of a segment, the one first that it is in.
    pub fn places(&self, id: SegmentId) -> Vec<PoolId> {
        let known = self.known.read();
        std::iter::once(known.pool_of(id)).chain(known.seconds.get(&id).copied()).collect()
    }

    /// How many reads another pool has answered for this one.
    pub fn answered_for(&self, pool: PoolId) -> u64 {
        self.health.pools.lock().get(&pool).map_or(0, |failed| failed.reads)
    }

    /// How many reads second copies have answered because a pool did not.
    pub fn answered_by_others(&self) -> u64 {
        self.health.pools.lock().values().map(|failed| failed.reads).sum()
    }

    /// Those that have a whole copy; `None` where there is but one.
    fn whole(&self, id: SegmentId) -> Option<Vec<PoolId>> {
        let known = self.known.read();
        let (pool, second) = (known.pool_of(id), *known.seconds.get(&id)?);
        // One that is being made anew is read by nobody.
        let whole = [pool, second].into_iter().filter(|at| !known.copies.contains(&(id, *at)));
        Some(whole.collect())
    }

    /// The places that have a copy of a segment each, where there are two: whoever finds that what
    /// was read is not what was written asks each of them. None where there is but one.
    pub fn copies(&self, id: SegmentId) -> Vec<Arc<dyn Store>> {
        let places = self.whole(id).unwrap_or_default();
        places.into_iter().filter_map(|at| Some(self.member_of(at).ok()?.hasty)).collect()
    }

    /// Reads a segment in the pool that it is in, and where that fails its second copy.
    pub(super) fn read<T>(
        &self,
        id: SegmentId,
        mut call: impl FnMut(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(places) = self.whole(id) else { return self.with(id, call) };
        let said = self.pool_of(id);
        let (resting, mut order): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|at| self.health.is_resting(*at));
        order.extend(resting);
        let mut failed: Vec<(PoolId, StoreError)> = Vec::new();
        for &at in &order {
            match self.member_of(at).and_then(|member| call(&*member.hasty)) {
                Ok(value) => {
                    let of_pool = failed.iter().filter(|(_, error)| is_of_pool(error));
                    of_pool.for_each(|(pool, _)| self.health.rest(*pool));
                    if at != said {
                        self.health.passed_over(said);
                    }
                    return Ok(value);
                }
                Err(error) => failed.push((at, error)),
            }
        }
        for (at, error) in &failed {
            if error.is_transient()
                && let Ok(member) = self.member_of(*at)
                && let Ok(value) = call(&*member.patient)
            {
                return Ok(value);
            }
        }
        let told = failed.into_iter().map(|(_, error)| error);
        match told.into_iter().find(|error| !matches!(error, StoreError::NotFound { .. })) {
            Some(error) => Err(error),
            // It moved, or is gone.
            None => self.with(id, call),
        }
    }

    /// Removes the second copy of a segment that was removed.
    pub(super) fn remove_second(&self, id: SegmentId) {
        let Some(second) = self.known.write().seconds.remove(&id) else { return };
        if let Err(error) = self.member(second).and_then(|pool| pool.remove(id)) {
            tracing::debug!(segment = %id, %error, "a second copy stays until its pool is back");
        }
    }
}

/// Whether an error says something of the pool as a whole.
fn is_of_pool(error: &StoreError) -> bool {
    !matches!(error, StoreError::NotFound { .. })
}
