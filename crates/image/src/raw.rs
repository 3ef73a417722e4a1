//! Raw images: the file is the disk, and its holes are the disk's.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::ImageError;
use crate::guest::Guest;

/// Reads a raw image, skipping what the file system knows to be holes.
pub(crate) struct Raw {
    file: File,
    /// For messages.
    path: PathBuf,
    /// Of the file, in bytes.
    len: u64,
}

impl Raw {
    pub(crate) fn new(file: File, path: &Path, len: u64) -> Self {
        Self { file, path: path.to_owned(), len }
    }
}

impl Guest for Raw {
    fn next_data(&mut self, at: u64) -> Result<Option<Range<u64>>, ImageError> {
        if at >= self.len {
            return Ok(None);
        }
        let start = match seek(&self.file, SeekFrom::Data(at)) {
            Ok(start) => start.max(at),
            // No data after `at`.
            Err(Errno::NXIO) => return Ok(None),
            // A device, or a file system that knows no holes.
            Err(_) => return Ok(Some(at..self.len)),
        };
        let end = seek(&self.file, SeekFrom::Hole(start)).unwrap_or(self.len).min(self.len);
        // A file that shrank meanwhile may have its end before its data.
        Ok((start < end).then_some(start..end))
    }

    fn read(&mut self, at: u64, out: &mut [u8]) -> Result<(), ImageError> {
        read_or_zeros(&self.file, at, out).map_err(ImageError::io("read", &self.path))
    }
}

/// Fills `out` from `file` at `at`, with zeros beyond the file's end.
pub(crate) fn read_or_zeros(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    let filled = read_up_to(file, at, out)?;
    out[filled..].fill(0);
    Ok(())
}

/// Fills as much of `out` as the file has at `at`; returns how much.
pub(crate) fn read_up_to(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match file.read_at(&mut out[filled..], at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
