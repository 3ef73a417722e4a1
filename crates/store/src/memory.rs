//! Segments in memory: for tests, and for what may be lost.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use archipelago_model::SegmentId;
use parking_lot::Mutex;

use crate::{SegmentWriter, Space, Store, StoreError};

/// A store that is gone when it is dropped. Unlike a directory it does not count
/// what is reserved as length.
pub struct MemoryStore {
    shelf: Arc<Mutex<Shelf>>,
}

impl MemoryStore {
    /// An empty store without a limit but the machine's memory.
    pub fn new() -> Self {
        // More no allocation can have.
        Self::with_room(isize::MAX as u64)
    }

    /// An empty store with room for so many bytes.
    pub fn with_room(bytes: u64) -> Self {
        Self {
            shelf: Arc::new(Mutex::new(Shelf { room: bytes, used: 0, segments: BTreeMap::new() })),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

struct Shelf {
    room: u64,
    used: u64,
    segments: BTreeMap<SegmentId, Segment>,
}

struct Segment {
    bytes: Vec<u8>,
    /// What is counted against the room, at least the bytes there are.
    charged: u64,
    sealed: bool,
}

impl Shelf {
    fn segment(&mut self, id: SegmentId) -> Result<&mut Segment, StoreError> {
        self.segments.get_mut(&id).ok_or(StoreError::NotFound { segment: id })
    }

    /// Sees to it that `id` is charged for at least `bytes`.
    fn charge(&mut self, id: SegmentId, op: &'static str, bytes: u64) -> Result<(), StoreError> {
        let more = bytes.saturating_sub(self.segment(id)?.charged);
        if more > self.room - self.used {
            return Err(StoreError::NoSpace { segment: Some(id), op });
        }
        self.used += more;
        self.segment(id)?.charged += more;
        Ok(())
    }
}

impl Store for MemoryStore {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let mut shelf = self.shelf.lock();
        if shelf.segments.contains_key(&id) {
            return Err(StoreError::AlreadyExists { segment: id });
        }
        shelf.segments.insert(id, Segment { bytes: Vec::new(), charged: 0, sealed: false });
        if let Err(error) = shelf.charge(id, "create", capacity) {
            shelf.segments.remove(&id);
            return Err(error);
        }
        Ok(Arc::new(MemoryWriter { id, shelf: Arc::clone(&self.shelf) }))
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.shelf.lock().segment(id)?.sealed = false;
        Ok(Arc::new(MemoryWriter { id, shelf: Arc::clone(&self.shelf) }))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let mut shelf = self.shelf.lock();
        let bytes = &shelf.segment(id)?.bytes;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = buf.len().min(bytes.len() - start);
        buf[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        Ok(self.shelf.lock().segment(id)?.bytes.len() as u64)
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        let mut shelf = self.shelf.lock();
        if let Some(segment) = shelf.segments.remove(&id) {
            shelf.used -= segment.charged;
        }
        Ok(())
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        Ok(self.shelf.lock().segments.range(floor..).map(|(id, _)| *id).collect())
    }

    fn space(&self) -> Result<Space, StoreError> {
        let shelf = self.shelf.lock();
        Ok(Space { total: shelf.room, free: shelf.room - shelf.used })
    }
}

struct MemoryWriter {
    id: SegmentId,
    shelf: Arc<Mutex<Shelf>>,
}

impl MemoryWriter {
    /// A range that no memory holds is a full store, as it is on a disk.
    fn index(&self, op: &'static str, offset: u64) -> Result<usize, StoreError> {
        usize::try_from(offset)
            .ok()
            .filter(|index| *index <= isize::MAX as usize)
            .ok_or(StoreError::NoSpace { segment: Some(self.id), op })
    }

    fn check_open(segment: &Segment, id: SegmentId, op: &'static str) -> Result<(), StoreError> {
        if segment.sealed {
            return Err(StoreError::unwritable(id, op, "it is sealed"));
        }
        Ok(())
    }
}

impl SegmentWriter for MemoryWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let end = self.index("write", offset.saturating_add(len))?;
        let mut shelf = self.shelf.lock();
        Self::check_open(shelf.segment(self.id)?, self.id, "write")?;
        shelf.charge(self.id, "write", end as u64)?;
        let bytes = &mut shelf.segment(self.id)?.bytes;
        if len > 0 && bytes.len() < end {
            bytes.try_reserve(end - bytes.len()).map_err(|_| StoreError::Io {
                segment: Some(self.id),
                op: "write",
                source: io::ErrorKind::OutOfMemory.into(),
            })?;
            bytes.resize(end, 0);
        }
        let mut at = offset as usize;
        for part in parts {
            if !part.is_empty() {
                bytes[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Self::check_open(self.shelf.lock().segment(self.id)?, self.id, "sync")
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        let len = self.index("seal", len)?;
        let mut shelf = self.shelf.lock();
        let segment = shelf.segment(self.id)?;
        if segment.sealed && segment.bytes.len() == len {
            return Ok(());
        }
        Self::check_open(segment, self.id, "seal")?;
        shelf.charge(self.id, "seal", len as u64)?;
        let segment = shelf.segment(self.id)?;
        segment.bytes.resize(len, 0);
        segment.bytes.shrink_to_fit();
        segment.sealed = true;
        let given_back = segment.charged - len as u64;
        segment.charged = len as u64;
        shelf.used -= given_back;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
