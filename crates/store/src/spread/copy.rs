//! Copying a sealed segment from one pool to another, while it is read.

use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_model::{PoolId, SegmentId};

use super::Spread;
use crate::{Store, StoreError};

/// Bytes that are copied between two looks at the pace.
const PIECE_BYTES: usize = 1 << 20;

/// A copy that is durable, and that nobody reads yet: whoever made it sees to it that it is right.
/// Dropped without [`Self::settle`] it is removed.
pub struct Copied<'a> {
    spread: &'a Spread,
    id: SegmentId,
    from: PoolId,
    to: PoolId,
    target: Arc<dyn Store>,
    bytes: u64,
    settled: bool,
}

impl Spread {
    /// Copies a sealed segment to the pool `to`. Calls `pace` with the bytes done since the last
    /// call; it may wait, and breaks to give up: then there is no copy.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a segment that is gone; those of both pools. Nothing is
    /// changed then.
    pub fn copy(
        &self,
        id: SegmentId,
        to: PoolId,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Copied<'_>>, StoreError> {
        let target = self.member(to)?;
        // Where it is found, and not where it is said to be: a copy must be of something.
        let bytes = self.len(id)?;
        let from = {
            let mut known = self.known.write();
            let from = known.pool_of(id);
            let there = from == to || known.seconds.get(&id) == Some(&to);
            if there || !known.copies.insert((id, to)) {
                return Err(there_already(id, to));
            }
            from
        };
        let copied = Copied { spread: self, id, from, to, target, bytes, settled: false };
        Ok(copied.fill(pace)?.is_continue().then_some(copied))
    }

    /// Copies a sealed segment from one pool to another, over whatever is there of it: as its
    /// second copy, or in the place of a copy that is damaged, which nobody reads from now on.
    ///
    /// # Errors
    /// As [`Self::copy`].
    pub fn copy_again(
        &self,
        id: SegmentId,
        from: PoolId,
        to: PoolId,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Copied<'_>>, StoreError> {
        let target = self.member(to)?;
        let bytes = self.member(from)?.len(id)?;
        if from == to || !self.known.write().copies.insert((id, to)) {
            return Err(there_already(id, to));
        }
        let copied = Copied { spread: self, id, from, to, target, bytes, settled: false };
        Ok(copied.fill(pace)?.is_continue().then_some(copied))
    }
}

fn there_already(id: SegmentId, pool: PoolId) -> StoreError {
    StoreError::Unusable { why: format!("segment {id} is in pool {pool}, or on its way there") }
}

impl Copied<'_> {
    /// The pool that the segment was in.
    pub const fn from(&self) -> PoolId {
        self.from
    }

    /// Its length.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The pool with the copy.
    pub fn target(&self) -> &dyn Store {
        &*self.target
    }

    fn fill(
        &self,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let source = self.spread.member(self.from)?;
        let writer = match self.target.create(self.id, self.bytes) {
            // What a copy left that a crash interrupted: it may be anything.
            Err(StoreError::AlreadyExists { .. }) => {
                self.target.remove(self.id)?;
                self.target.create(self.id, self.bytes)?
            }
            created => created?,
        };
        let mut buffer = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < self.bytes {
            let piece = self.piece(&*source, at, &mut buffer)?;
            writer.write_at(at, &[IoSlice::new(piece)])?;
            at += piece.len() as u64;
            if pace(piece.len() as u64).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        writer.seal(self.bytes)?;
        Ok(ControlFlow::Continue(()))
    }

    fn piece<'b>(
        &self,
        store: &dyn Store,
        at: u64,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], StoreError> {
        let len = (self.bytes - at).min(buffer.len() as u64) as usize;
        let got = store.read_at(self.id, at, &mut buffer[..len])?;
        if got == len {
            return Ok(&buffer[..len]);
        }
        let source = io::ErrorKind::UnexpectedEof.into();
        Err(StoreError::Io { segment: Some(self.id), op: "copy", source })
    }

    /// From now on the segment is read here. What it was copied from stays, for who removes it.
    pub fn settle(mut self) {
        let mut known = self.spread.known.write();
        known.copies.remove(&(self.id, self.to));
        known.settle(self.id, self.to);
        self.settled = true;
    }

    /// From now on it is one of the copies that the segment has: where it is said to be, or the
    /// second one.
    pub fn keep(mut self) {
        let mut known = self.spread.known.write();
        known.copies.remove(&(self.id, self.to));
        if known.pool_of(self.id) != self.to {
            known.seconds.insert(self.id, self.to);
        }
        self.settled = true;
    }
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // First the file: until it is gone, nobody may find the segment here.
        if let Err(error) = self.target.remove(self.id) {
            tracing::warn!(segment = %self.id, %error, "a copy that nobody needs stays for now");
        }
        self.spread.known.write().copies.remove(&(self.id, self.to));
    }
}
