//! Several pools as one store: each segment is in one of them.
//!
//! Who made a segment said in which pool; the catalog remembers, and tells a store that is
//! opened ([`Spread::found`]). Sealed segments never change, so one can be copied from pool to
//! pool while it is read ([`Spread::copy`]), and reads go to the copy from one moment on.
//!
//! A segment may have a *second* copy in another pool ([`Spread::seconds`]): what the pool does not
//! give that it is in is read there, and with it a second copy goes when the segment is removed.
//!
//! # Architecture invariant
//! Where a segment is said to be is where it is looked for first, never the proof that it is
//! gone: one that is missing there is looked for in the other pools, and only when none of them
//! has it, it is [`StoreError::NotFound`]. So a catalog that is older than a move still reads.

mod copy;
mod second;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;

use archipelago_env::Clock;
use archipelago_model::{PoolId, SegmentId};
use parking_lot::RwLock;

use crate::{SegmentWriter, Space, Store, StoreError};

pub use copy::Copied;
use second::Health;
pub use second::Member;

/// Pools in which a segment is looked for, one after the other, that moves while it is asked
/// for: more moves than that in one call are none of ours.
const LOOKS_MAX: u32 = 8;

/// The pools of a store.
pub struct Spread {
    first: Member,
    known: RwLock<Known>,
    health: Health,
}

#[derive(Default)]
struct Known {
    /// All but the first; `None` for one that is away since it was to be opened.
    others: BTreeMap<PoolId, Option<Member>>,
    /// Where the segments are that are not in the first pool.
    elsewhere: HashMap<SegmentId, PoolId>,
    /// Where second copies are, that were verified.
    seconds: HashMap<SegmentId, PoolId>,
    /// Copies that are being made: nobody finds a segment in one.
    copies: HashSet<(SegmentId, PoolId)>,
}

impl Known {
    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.elsewhere.get(&id).copied().unwrap_or(PoolId::FIRST)
    }

    fn settle(&mut self, id: SegmentId, pool: PoolId) {
        if pool == PoolId::FIRST {
            self.elsewhere.remove(&id);
        } else {
            self.elsewhere.insert(id, pool);
        }
        // One of both is no second one.
        if self.seconds.get(&id) == Some(&pool) {
            self.seconds.remove(&id);
        }
    }
}

impl Spread {
    /// A store of one pool. One with a clock remembers for a while which pool failed.
    pub fn new(first: impl Into<Member>, clock: Option<Arc<dyn Clock>>) -> Self {
        Self { first: first.into(), known: RwLock::default(), health: Health::new(clock) }
    }

    /// Adds a pool, or puts one that was away in its place; `None` for one that is away.
    pub fn put(&self, pool: PoolId, store: Option<impl Into<Member>>) {
        if pool != PoolId::FIRST {
            self.known.write().others.insert(pool, store.map(Into::into));
            self.health.forget(pool);
        }
    }

    /// Forgets a pool. No segment may be in it.
    pub fn take(&self, pool: PoolId) {
        // Dropped when nobody waits for what is known any more: it may have to say good-bye.
        let _gone = {
            let mut known = self.known.write();
            known.elsewhere.retain(|_, at| *at != pool);
            known.seconds.retain(|_, at| *at != pool);
            known.others.remove(&pool)
        };
    }

    /// Notes where segments are.
    pub fn found(&self, segments: impl IntoIterator<Item = (SegmentId, PoolId)>) {
        let mut known = self.known.write();
        for (id, pool) in segments {
            known.settle(id, pool);
        }
    }

    /// Whether a pool is there, as far as that was seen when it was opened.
    pub fn is_open(&self, pool: PoolId) -> bool {
        self.member(pool).is_ok()
    }

    /// One pool alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for one that is away, [`StoreError::Unusable`] for one that
    /// is not there.
    pub fn member(&self, pool: PoolId) -> Result<Arc<dyn Store>, StoreError> {
        self.member_of(pool).map(|member| member.patient)
    }

    /// The room in one pool, asked once and without patience: it also tells whether it answers.
    ///
    /// # Errors
    /// As [`Self::member`]; those of the pool.
    pub fn space_of(&self, pool: PoolId) -> Result<Space, StoreError> {
        self.member_of(pool)?.hasty.space()
    }

    fn member_of(&self, pool: PoolId) -> Result<Member, StoreError> {
        if pool == PoolId::FIRST {
            return Ok(self.first.clone());
        }
        match self.known.read().others.get(&pool) {
            Some(Some(member)) => Ok(member.clone()),
            Some(None) => Err(away(pool)),
            None => Err(StoreError::Unusable { why: format!("there is no pool {pool}") }),
        }
    }

    /// The pools that are open, the first one first.
    fn open(&self) -> Vec<(PoolId, Arc<dyn Store>)> {
        let known = self.known.read();
        let others = known.others.iter();
        let others =
            others.filter_map(|(pool, member)| Some((*pool, member.as_ref()?.patient.clone())));
        std::iter::once((PoolId::FIRST, self.first.patient.clone())).chain(others).collect()
    }

    fn any_away(&self) -> Option<PoolId> {
        let known = self.known.read();
        known.others.iter().find(|(_, store)| store.is_none()).map(|(pool, _)| *pool)
    }

    /// Whether there is but one pool.
    pub fn is_single(&self) -> bool {
        self.known.read().others.is_empty()
    }

    /// Does `call` with the pool that has a segment.
    fn with<T>(
        &self,
        id: SegmentId,
        mut call: impl FnMut(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 1..LOOKS_MAX {
            let pool = self.pool_of(id);
            let answer = call(&*self.member(pool)?);
            if !matches!(answer, Err(StoreError::NotFound { .. })) || self.is_single() {
                return answer;
            }
            // It moved meanwhile, or since the catalog was written that told where it is.
            if self.pool_of(id) == pool && !self.look_for(id, pool)? {
                // One that was not asked may have it.
                return self.any_away().map_or(answer, |pool| Err(away(pool)));
            }
        }
        call(&*self.member(self.pool_of(id))?)
    }

    /// Looks for a segment in the pools where it is not said to be, and notes the one.
    fn look_for(&self, id: SegmentId, missing_in: PoolId) -> Result<bool, StoreError> {
        for (pool, store) in self.open() {
            if pool == missing_in || self.known.read().copies.contains(&(id, pool)) {
                continue;
            }
            match store.len(id) {
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let mut known = self.known.write();
                    // Who moves it knows better; and a copy may have begun just now.
                    if known.copies.contains(&(id, pool)) {
                        continue;
                    }
                    if known.pool_of(id) == missing_in {
                        known.settle(id, pool);
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Store for Spread {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.first.patient.create(id, capacity)
    }

    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        if pool == PoolId::FIRST {
            return self.first.patient.create(id, capacity);
        }
        let member = self.member(pool)?;
        // Before it is there, so that whoever lists finds it where it is said to be.
        self.found([(id, pool)]);
        member.create(id, capacity).inspect_err(|_| self.found([(id, PoolId::FIRST)]))
    }

    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.known.read().pool_of(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.with(id, |store| store.reopen(id))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.read(id, |store| store.read_at(id, offset, buf))
    }

    fn read_sealed(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.read(id, |store| store.read_sealed(id, offset, buf))
    }

    fn sealed_len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.read(id, |store| store.sealed_len(id))
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.read(id, |store| store.len(id))
    }

    /// With its second copy. One whose pool does not answer stays there, and nobody reads it.
    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        let pool = self.pool_of(id);
        self.member(pool)?.remove(id)?;
        self.remove_second(id);
        let mut known = self.known.write();
        if known.pool_of(id) == pool {
            known.settle(id, PoolId::FIRST);
        }
        Ok(())
    }

    /// Pools that are away since the store was opened are passed over: what is in them is not
    /// lost, and who asks what is lost asks [`Spread::is_open`], too.
    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        let mut ids = Vec::new();
        for (_, store) in self.open() {
            ids.extend(store.list_from(floor)?);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Of the first pool: the log and whatever nobody placed goes there.
    fn space(&self) -> Result<Space, StoreError> {
        self.first.patient.space()
    }

    fn gains_from_zeros(&self) -> bool {
        self.first.patient.gains_from_zeros()
    }
}

fn away(pool: PoolId) -> StoreError {
    let source = io::Error::other(format!("pool {pool} is away; `pool ls` tells why"));
    StoreError::Unavailable { segment: None, op: "use", source }
}

#[cfg(test)]
mod tests;
