//! What can go wrong in the engine.

use archipelago_format::FormatError;
use archipelago_model::{Epoch, Location, SegmentId, VolumeId};
use archipelago_store::StoreError;
use thiserror::Error;

/// Why the engine did not do it. Nothing acknowledged is lost by any of them.
#[derive(Debug, Error)]
pub enum Error {
    /// Beyond the end.
    #[error("{len} bytes at {offset} reach beyond the end at {size}")]
    OutOfRange {
        /// Of the request.
        offset: u64,
        /// Of the request.
        len: u64,
        /// Of the volume or map, in bytes.
        size: u64,
    },
    /// Not whole sectors.
    #[error("{len} bytes at {offset} are not whole 512-byte sectors")]
    Unaligned {
        /// Of the request.
        offset: u64,
        /// Of the request.
        len: u64,
    },
    /// A newer term of the lease exists, or the volume is gone: this handle may
    /// write no more.
    #[error("volume {volume}: the lease of epoch {epoch} is over")]
    Fenced {
        /// Whose lease.
        volume: VolumeId,
        /// The term that is over.
        epoch: Epoch,
    },
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
    /// No room for data, or none in memory because none on disk.
    #[error("no space: {0}")]
    NoSpace(String),
    /// As many full segments of the log as may wait for the pool do.
    #[error(
        "the log is full: {waiting} segments of it wait for the pool, which does not take them \
         ({why}); writing goes on when it does"
    )]
    LogFull {
        /// How many.
        waiting: usize,
        /// What the pool said.
        why: String,
    },
    /// Stored bytes are not what was written.
    #[error("segment {segment}: {what}")]
    Damaged {
        /// Where.
        segment: SegmentId,
        /// What was found.
        what: String,
    },
    /// A segment of the log that has to be read back has less than when it was sealed.
    #[error(
        "segment {segment} of the log is cut off or damaged: {readable} of its {sealed} bytes can \
         be read, and the rest may hold flushed writes that are nowhere else"
    )]
    LogCut {
        /// Which.
        segment: SegmentId,
        /// Raw bytes that can be read.
        readable: u64,
        /// Raw bytes that it had.
        sealed: u64,
    },
    /// A segment of the log that has to be read back is damaged where it was durable.
    #[error(
        "segment {segment} of the log is damaged: {what}; it may hold flushed writes that are \
         nowhere else"
    )]
    LogDamaged {
        /// Which.
        segment: SegmentId,
        /// What was found.
        what: String,
    },
    /// The root of a volume's map cannot be read.
    #[error("the map of volume {volume} is damaged: {what}")]
    MapDamaged {
        /// Whose.
        volume: VolumeId,
        /// What was found.
        what: String,
    },
    /// An earlier write or sync of the log failed, so that what is durable is
    /// not known. Reads go on; writes need a restart, which recovers.
    #[error("the log failed earlier ({0}); restart to recover")]
    LogFailed(String),
    /// The catalog gave no segment ids.
    #[error("no segment ids: {0}")]
    Ids(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The backend failed.
    #[error(transparent)]
    Store(StoreError),
}

impl Error {
    /// Damage at a location.
    pub(crate) fn damaged(at: Location, what: impl ToString) -> Self {
        let segment = at.segment().unwrap_or(SegmentId::MAX);
        Self::Damaged {
            segment,
            what: format!("position {:x}: {}", at.position(), what.to_string()),
        }
    }

    /// Damage somewhere in a segment.
    pub(crate) fn damaged_segment(segment: SegmentId, what: &FormatError) -> Self {
        Self::Damaged { segment, what: what.to_string() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSpace { .. } => Self::NoSpace(error.to_string()),
            other => Self::Store(other),
        }
    }
}

/// Something that is known to be on stable storage: only the engine makes one,
/// and only after the sync. What a name is bound to must come as one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    pub(crate) const fn after_sync(value: T) -> Self {
        Self(value)
    }

    /// What is durable.
    pub const fn get(&self) -> &T {
        &self.0
    }
}
