//! The file that imago reads from: read-only, and with an end.

use std::fmt;
use std::fs::File;
use std::io;

use imago::Storage;
use imago::io_buffers::{IoVector, IoVectorMut};
use imago::storage::drivers::CommonStorageHelper;

use crate::raw::read_up_to;

/// Up to this many bytes may be missing from a read. The length of compressed
/// data is known in sectors only, and some writers end the file with the data;
/// a stream that really lacks its end does not unpack.
const SLACK_BYTES: u64 = 511;

/// A file whose end is an error where imago's own would give zeros.
///
/// It cannot open anything: imago's default for that is to refuse.
#[derive(Debug)]
pub(crate) struct Bounded {
    file: File,
    len: u64,
    helper: CommonStorageHelper,
}

impl Bounded {
    pub(crate) fn new(file: File, len: u64) -> Self {
        Self { file, len, helper: CommonStorageHelper::default() }
    }
}

impl fmt::Display for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image of {} bytes", self.len)
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "images are only read")
}

impl Storage for Bounded {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    unsafe fn pure_readv(&self, bufv: IoVectorMut<'_>, offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(bufv.len());
        if offset >= self.len || end - self.len.min(end) > SLACK_BYTES {
            let len = self.len;
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it was cut off: it has {len} bytes, and a part of it ends at byte {end}"),
            ));
        }
        let mut at = offset;
        for mut part in bufv.into_inner() {
            let filled = read_up_to(&self.file, at, &mut part)?;
            part[filled..].fill(0);
            at += part.len() as u64;
        }
        Ok(())
    }

    unsafe fn pure_writev(&self, _bufv: IoVector<'_>, _offset: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    unsafe fn invalidate_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn get_storage_helper(&self) -> &CommonStorageHelper {
        &self.helper
    }
}
