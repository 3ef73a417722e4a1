//! Requests that do not begin and end at sectors: reads take more and give part of it, writes
//! read what they keep. Clients that never asked for the block size send such requests.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::export::{Export, ExportError, Write};
use crate::limits::BLOCK_BYTES_MIN;

const SECTOR: u64 = BLOCK_BYTES_MIN as u64;

/// Held shared while whole sectors are written, and alone while parts of sectors are: else a
/// sector could be written by another between being read and written back.
pub(crate) type SectorLock = RwLock<()>;

/// The lock of every open export, by name, for all of its connections.
#[derive(Default)]
pub(crate) struct SectorLocks(Mutex<HashMap<String, Weak<SectorLock>>>);

impl SectorLocks {
    pub(crate) fn of(&self, export: &str) -> Arc<SectorLock> {
        let mut locks = self.0.lock();
        if let Some(lock) = locks.get(export).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(SectorLock::default());
        locks.insert(export.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

pub(crate) fn is_aligned(offset: u64, len: u64) -> bool {
    (offset | len).is_multiple_of(SECTOR)
}

/// The smallest range of whole sectors round this one.
pub(crate) fn widened(offset: u64, len: u64) -> Range<u64> {
    let start = offset - offset % SECTOR;
    start..(offset + len).next_multiple_of(SECTOR)
}

/// The largest range of whole sectors in this one; it may be empty.
pub(crate) fn narrowed(offset: u64, len: u64) -> Range<u64> {
    let start = offset.next_multiple_of(SECTOR);
    let end = (offset + len) / SECTOR * SECTOR;
    start..end.max(start)
}

/// [`Export::read`] for any range.
pub(crate) fn read(export: &dyn Export, offset: u64, buf: &mut [u8]) -> Result<(), ExportError> {
    let len = buf.len() as u64;
    if is_aligned(offset, len) {
        return export.read(offset, buf);
    }
    let wide = widened(offset, len);
    let mut sectors = vec![0; (wide.end - wide.start) as usize];
    export.read(wide.start, &mut sectors)?;
    let skip = (offset - wide.start) as usize;
    buf.copy_from_slice(&sectors[skip..][..buf.len()]);
    Ok(())
}

/// [`Export::write`] of one write of any range. The caller holds the sector lock alone.
pub(crate) fn write(export: &dyn Export, write: Write<'_>) -> Result<(), ExportError> {
    match write {
        Write::Data { offset, bytes } => write_bytes(export, offset, bytes),
        Write::Zero { offset, len, may_unmap } => {
            let inner = narrowed(offset, len);
            if inner.is_empty() {
                return write_bytes(export, offset, &vec![0; len as usize]);
            }
            let head = vec![0; (inner.start - offset) as usize];
            let tail = vec![0; (offset + len - inner.end) as usize];
            write_bytes(export, offset, &head)?;
            write_bytes(export, inner.end, &tail)?;
            let len = inner.end - inner.start;
            export.write(&[Write::Zero { offset: inner.start, len, may_unmap }])
        }
    }
}

fn write_bytes(export: &dyn Export, offset: u64, bytes: &[u8]) -> Result<(), ExportError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let wide = widened(offset, bytes.len() as u64);
    let mut sectors = vec![0; (wide.end - wide.start) as usize];
    let last = sectors.len() - SECTOR as usize;
    let skip = (offset - wide.start) as usize;
    export.read(wide.start, &mut sectors[..SECTOR as usize])?;
    if last > 0 {
        export.read(wide.end - SECTOR, &mut sectors[last..])?;
    }
    sectors[skip..][..bytes.len()].copy_from_slice(bytes);
    export.write(&[Write::Data { offset: wide.start, bytes: &sectors }])
}

#[cfg(test)]
mod tests;
