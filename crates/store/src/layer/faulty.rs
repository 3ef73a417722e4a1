//! A store that fails on purpose: for tests of what stands on it.
//!
//! A [`Fault`] names an operation, perhaps a segment, how many matching calls
//! pass before it acts and on how many it acts. Faults are looked through in the
//! order they were injected, and the first that is due acts, alone.

use std::io::{self, IoSlice};
use std::sync::Arc;

use archipelago_model::{PoolId, SegmentId};
use parking_lot::{Condvar, Mutex};

use crate::{SegmentWriter, Space, Store, StoreError};

/// An operation of a store or of a segment's writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// [`Store::create`]
    Create,
    /// [`Store::reopen`]
    Reopen,
    /// [`Store::read_at`]
    Read,
    /// [`Store::len`]
    Len,
    /// [`Store::remove`]
    Remove,
    /// [`Store::list_from`]
    List,
    /// [`Store::space`]
    Space,
    /// [`SegmentWriter::write_at`]
    Write,
    /// [`SegmentWriter::sync`]
    Sync,
    /// [`SegmentWriter::seal`]
    Seal,
}

impl Op {
    fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Reopen => "reopen",
            Self::Read => "read",
            Self::Len => "measure",
            Self::Remove => "remove",
            Self::List => "list",
            Self::Space => "measure the room for",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Seal => "seal",
        }
    }
}

/// Which error is returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// [`StoreError::NoSpace`]
    NoSpace,
    /// [`StoreError::ReadOnly`]
    ReadOnly,
    /// [`StoreError::Io`], as of a broken disk.
    Io,
    /// [`StoreError::Unavailable`], as of a server that is away.
    Unavailable,
    /// [`StoreError::Denied`], as of keys that ended.
    Denied,
}

/// What becomes of a call that hung.
const HUNG: Failure = Failure::Unavailable;

impl Failure {
    fn error(self, segment: Option<SegmentId>, op: Op) -> StoreError {
        let op = op.verb();
        match self {
            Self::NoSpace => StoreError::NoSpace { segment, op },
            Self::ReadOnly => StoreError::ReadOnly { segment, op },
            Self::Io => {
                let source = io::Error::other("injected fault: the disk is broken");
                StoreError::Io { segment, op, source }
            }
            Self::Unavailable => {
                let source = io::Error::other("injected fault: nobody answers");
                StoreError::Unavailable { segment, op, source }
            }
            Self::Denied => {
                let why = "injected fault: the key is of no use any more".to_owned();
                StoreError::Denied { segment, op, why }
            }
        }
    }
}

/// What a fault does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing is done, and the error returned.
    Fail(Failure),
    /// The operation is done, and the error returned all the same.
    FailAfter(Failure),
    /// Of a write, only the first `kept` bytes are written, then
    /// [`StoreError::Io`]. Of any other operation: as [`Effect::Fail`].
    Torn {
        /// Bytes, from the start of the write.
        kept: usize,
    },
    /// A read that covers byte `offset` of the segment sees it with the bits of
    /// `mask` flipped. Other calls do not count as matching.
    Flip {
        /// Bytes, from the start of the segment.
        offset: u64,
        /// The bits.
        mask: u8,
    },
    /// Nothing happens until the faults are healed; then it fails as
    /// [`Failure::Unavailable`] and nothing was done.
    Hang,
}

/// One planned failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The operation that it concerns.
    pub op: Op,
    /// The only segment that it concerns; any where `None`.
    pub segment: Option<SegmentId>,
    /// Matching calls that pass unharmed first.
    pub after: u64,
    /// Matching calls that are harmed then; `u64::MAX` for all.
    pub times: u64,
    /// What happens to them.
    pub effect: Effect,
}

impl Fault {
    /// The next call of `op` on any segment fails, once.
    pub fn once(op: Op, effect: Effect) -> Self {
        Self { op, segment: None, after: 0, times: 1, effect }
    }

    /// All calls of `op` on any segment fail from now on.
    pub fn always(op: Op, effect: Effect) -> Self {
        Self { times: u64::MAX, ..Self::once(op, effect) }
    }

    /// The same, on this segment only.
    #[must_use]
    pub fn on(self, segment: SegmentId) -> Self {
        Self { segment: Some(segment), ..self }
    }

    /// The same, after so many matching calls have passed.
    #[must_use]
    pub fn after(self, calls: u64) -> Self {
        Self { after: calls, ..self }
    }

    fn matches(&self, op: Op, segment: Option<SegmentId>, read: Option<(u64, usize)>) -> bool {
        let covered = match (self.effect, read) {
            (Effect::Flip { offset, .. }, Some((start, len))) => {
                offset >= start && offset - start < len as u64
            }
            (Effect::Flip { .. }, None) => false,
            _ => true,
        };
        self.op == op && covered && (self.segment.is_none() || self.segment == segment)
    }
}

/// A layer that injects faults. Clones share their faults.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    faults: Mutex<Faults>,
    healed: Condvar,
}

#[derive(Default)]
struct Faults {
    planned: Vec<Fault>,
    /// How often they were healed.
    heals: u64,
    hanging: usize,
}

impl Faulty {
    /// A layer over `inner`, without any fault yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// Plans one more failure.
    pub fn inject(&self, fault: Fault) {
        self.plan.faults.lock().planned.push(fault);
    }

    /// Forgets all planned failures.
    pub fn heal(&self) {
        let mut faults = self.plan.faults.lock();
        faults.planned.clear();
        faults.heals += 1;
        self.plan.healed.notify_all();
    }

    /// Calls that hang just now.
    pub fn hanging(&self) -> usize {
        self.plan.faults.lock().hanging
    }
}

impl Plan {
    /// What happens to this call; counts it. One that is to hang has hung when this returns.
    fn due(
        &self,
        op: Op,
        segment: Option<SegmentId>,
        read: Option<(u64, usize)>,
    ) -> Option<Effect> {
        let mut faults = self.faults.lock();
        for fault in faults.planned.iter_mut().filter(|fault| fault.times > 0) {
            if !fault.matches(op, segment, read) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            if fault.times < u64::MAX {
                fault.times -= 1;
            }
            let effect = fault.effect;
            if effect != Effect::Hang {
                return Some(effect);
            }
            let before = faults.heals;
            faults.hanging += 1;
            while faults.heals == before {
                self.healed.wait(&mut faults);
            }
            faults.hanging -= 1;
            return Some(effect);
        }
        None
    }

    /// Does `call` unless a fault is due.
    fn around<T>(
        &self,
        op: Op,
        segment: Option<SegmentId>,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.due(op, segment, None) {
            None | Some(Effect::Flip { .. }) => call(),
            Some(Effect::Fail(failure)) => Err(failure.error(segment, op)),
            Some(Effect::Hang) => Err(HUNG.error(segment, op)),
            Some(Effect::Torn { .. }) => Err(Failure::Io.error(segment, op)),
            Some(Effect::FailAfter(failure)) => {
                call()?;
                Err(failure.error(segment, op))
            }
        }
    }

    fn writer(self: &Arc<Self>, id: SegmentId, inner: Arc<dyn SegmentWriter>) -> Arc<FaultyWriter> {
        Arc::new(FaultyWriter { id, inner, plan: Arc::clone(self) })
    }
}

impl Store for Faulty {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let inner = self.plan.around(Op::Create, Some(id), || self.inner.create(id, capacity))?;
        Ok(self.plan.writer(id, inner))
    }

    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let inner =
            self.plan.around(Op::Create, Some(id), || self.inner.create_in(pool, id, capacity))?;
        Ok(self.plan.writer(id, inner))
    }

    fn copies(&self, id: SegmentId) -> Vec<Arc<dyn Store>> {
        self.inner.copies(id)
    }

    fn pool_of(&self, id: SegmentId) -> PoolId {
        self.inner.pool_of(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let inner = self.plan.around(Op::Reopen, Some(id), || self.inner.reopen(id))?;
        Ok(self.plan.writer(id, inner))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        match self.plan.due(Op::Read, Some(id), Some((offset, buf.len()))) {
            None => self.inner.read_at(id, offset, buf),
            Some(Effect::Flip { offset: flipped, mask }) => {
                let read = self.inner.read_at(id, offset, buf)?;
                // In range of `buf` because it matched, though perhaps behind the end.
                buf[(flipped - offset) as usize] ^= mask;
                Ok(read)
            }
            Some(Effect::Fail(failure)) => Err(failure.error(Some(id), Op::Read)),
            Some(Effect::Hang) => Err(HUNG.error(Some(id), Op::Read)),
            Some(Effect::FailAfter(failure)) => {
                self.inner.read_at(id, offset, buf)?;
                Err(failure.error(Some(id), Op::Read))
            }
            Some(Effect::Torn { .. }) => Err(Failure::Io.error(Some(id), Op::Read)),
        }
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.plan.around(Op::Len, Some(id), || self.inner.len(id))
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.plan.around(Op::Remove, Some(id), || self.inner.remove(id))
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.plan.around(Op::List, None, || self.inner.list_from(floor))
    }

    fn gains_from_zeros(&self) -> bool {
        self.inner.gains_from_zeros()
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.plan.around(Op::Space, None, || self.inner.space())
    }
}

struct FaultyWriter {
    id: SegmentId,
    inner: Arc<dyn SegmentWriter>,
    plan: Arc<Plan>,
}

impl SegmentWriter for FaultyWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        match self.plan.due(Op::Write, Some(self.id), None) {
            None | Some(Effect::Flip { .. }) => self.inner.write_at(offset, parts),
            Some(Effect::Fail(failure)) => Err(failure.error(Some(self.id), Op::Write)),
            Some(Effect::Hang) => Err(HUNG.error(Some(self.id), Op::Write)),
            Some(Effect::FailAfter(failure)) => {
                self.inner.write_at(offset, parts)?;
                Err(failure.error(Some(self.id), Op::Write))
            }
            Some(Effect::Torn { kept }) => {
                let whole = parts.iter().map(|part| &**part).collect::<Vec<_>>().concat();
                let kept = &whole[..kept.min(whole.len())];
                self.inner.write_at(offset, &[IoSlice::new(kept)])?;
                Err(Failure::Io.error(Some(self.id), Op::Write))
            }
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.plan.around(Op::Sync, Some(self.id), || self.inner.sync())
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.plan.around(Op::Seal, Some(self.id), || self.inner.seal(len))
    }

    fn seal_first(&self, len: u64) -> Result<(), StoreError> {
        self.plan.around(Op::Seal, Some(self.id), || self.inner.seal_first(len))
    }
}

#[cfg(test)]
mod tests;
