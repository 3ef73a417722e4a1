//! The bytes of a file, front to back through a window, at the pace of the caller.

use archipelago_model::SegmentId;
use archipelago_store::{Store, StoreError};

use super::Pace;
use crate::error::Error;

/// Bytes read at once: few enough that a guest's read waits behind one of them only
/// a millisecond or two, enough that a disk is at its full rate.
const WINDOW_BYTES: usize = 256 << 10;

/// Why a scrub ended early.
pub(super) enum Halt {
    /// The caller wanted so.
    Stopped,
    /// The segment is gone, or the backend failed as a whole.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads one segment past all caches of this program.
pub(super) struct Reader<'a> {
    store: &'a dyn Store,
    id: SegmentId,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
    pace: &'a mut Pace<'a>,
    why: String,
}

impl<'a> Reader<'a> {
    pub(super) fn open(
        store: &'a dyn Store,
        id: SegmentId,
        pace: &'a mut Pace<'a>,
    ) -> Result<Self, Error> {
        let len = store.len(id)?;
        Ok(Self { store, id, len, start: 0, bytes: Vec::new(), pace, why: String::new() })
    }

    pub(super) const fn id(&self) -> SegmentId {
        self.id
    }

    /// Bytes of the file.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Why the last read got nothing.
    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// `n` bytes at `at`, or `None` when the file ends before or the disk does not
    /// give them.
    pub(super) fn take(&mut self, at: u64, n: usize) -> Result<Option<&[u8]>, Halt> {
        if at.checked_add(n as u64).is_none_or(|end| end > self.len) {
            self.why = format!("the file ends at byte {}", self.len);
            return Ok(None);
        }
        let inside = at >= self.start && at + n as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let want = WINDOW_BYTES.max(n).min((self.len - at) as usize);
            // One bad sector must not take the whole window with it.
            let got = self.fill(at, want)? || (want > n && self.fill(at, n)?);
            if !got {
                return Ok(None);
            }
        }
        let from = (at - self.start) as usize;
        Ok(self.bytes.get(from..from + n))
    }

    /// Reads the window anew; whether the disk gave it.
    fn fill(&mut self, at: u64, n: usize) -> Result<bool, Halt> {
        if (self.pace)(n as u64).is_break() {
            return Err(Halt::Stopped);
        }
        self.start = at;
        self.bytes.resize(n, 0);
        let why = match self.store.read_at(self.id, at, &mut self.bytes) {
            Ok(got) if got == n => return Ok(true),
            Ok(got) => format!("the file ended at byte {}", at + got as u64),
            // A pool that does not answer says nothing of the bytes.
            Err(error @ (StoreError::NotFound { .. } | StoreError::Unavailable { .. })) => {
                return Err(Halt::Failed(error.into()));
            }
            Err(error) => match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
        };
        self.why = why;
        self.bytes.clear();
        Ok(false)
    }
}
