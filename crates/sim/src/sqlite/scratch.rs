//! A file without a name, for what SQLite does not keep.

use std::io::{self, IoSlice};

use archipelago_env::File;
use parking_lot::Mutex;

/// Bytes in memory: a crash takes them, as it takes a file that was removed while open.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: Mutex<Vec<u8>>,
}

impl File for Scratch {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes.lock();
        let there = bytes.get(place(offset)?..).unwrap_or_default();
        let len = there.len().min(buf.len());
        buf[..len].copy_from_slice(&there[..len]);
        Ok(len)
    }

    fn write_all_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut bytes = self.bytes.lock();
        let mut at = place(offset)?;
        for part in parts {
            let end = at + part.len();
            let longer = bytes.len().max(end);
            bytes.resize(longer, 0);
            bytes[at..end].copy_from_slice(part);
            at = end;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().resize(place(len)?, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
