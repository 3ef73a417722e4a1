//! What a guest would see of an image, and the copy of it into a stream.

use std::io::Write;
use std::ops::Range;

use archipelago_format::stream;
use archipelago_model::BLOCK_BYTES;

use crate::blocks::nonzero_runs;
use crate::{ImageError, Progress};

/// How much is read at once, in bytes: as much as the largest cluster of a
/// qcow2 image, so that no compressed cluster is unpacked twice.
pub(crate) const READ_BYTES: usize = 2 << 20;

const _: () = assert!((READ_BYTES as u64).is_multiple_of(BLOCK_BYTES));

/// The bytes of a virtual disk.
pub(crate) trait Guest: Send {
    /// The first range at or after `at` that may hold other bytes than zeros;
    /// it begins at or after `at` and is not empty. `None` when only zeros
    /// follow. May end early: the next call goes on.
    fn next_data(&mut self, at: u64) -> Result<Option<Range<u64>>, ImageError>;

    /// Fills `out` with the bytes at `at`; zeros beyond the end.
    fn read(&mut self, at: u64, out: &mut [u8]) -> Result<(), ImageError>;
}

/// Sends everything of `guest` that is not zero. Returns how many bytes that
/// was.
pub(crate) fn copy(
    guest: &mut dyn Guest,
    size: u64,
    out: &mut stream::Writer<impl Write>,
    progress: Progress<'_>,
) -> Result<u64, ImageError> {
    let mut buffer = vec![0; READ_BYTES];
    let (mut at, mut sent) = (0, 0);
    progress(0, size);
    while at < size {
        let Some(range) = guest.next_data(at)? else { break };
        // Blocks that are data only in part go whole; `at` is always at the
        // beginning of a block, so none goes twice.
        let start = range.start - range.start % BLOCK_BYTES;
        let end = range.end.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(size).min(size);
        at = start.max(at);
        while at < end {
            let len = (end - at).min(READ_BYTES as u64) as usize;
            let bytes = &mut buffer[..len];
            guest.read(at, bytes)?;
            for run in nonzero_runs(bytes) {
                sent += run.len() as u64;
                out.data(at + run.start as u64, &bytes[run]).map_err(ImageError::Output)?;
            }
            at += len as u64;
            progress(at, size);
        }
    }
    progress(size, size);
    Ok(sent)
}
