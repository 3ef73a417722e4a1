//! What can go wrong with a segment, in the words that callers decide by.

use std::io;

use archipelago_model::SegmentId;

/// A segment could not be made, read, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such segment.
    #[error("segment {segment} is not in the store")]
    NotFound {
        /// The one asked for.
        segment: SegmentId,
    },
    /// The id is taken. Ids are never used again, so somebody gave it twice.
    #[error("segment {segment} is in the store already")]
    AlreadyExists {
        /// The one asked for.
        segment: SegmentId,
    },
    /// The place, or our share of it, is full.
    #[error("{}: the disk or the quota is full", place(*segment, op))]
    NoSpace {
        /// The segment, where it concerns one.
        segment: Option<SegmentId>,
        /// What was being done.
        op: &'static str,
    },
    /// The place takes no writes.
    #[error("{}: the filesystem is mounted read-only", place(*segment, op))]
    ReadOnly {
        /// The segment, where it concerns one.
        segment: Option<SegmentId>,
        /// What was being done.
        op: &'static str,
    },
    /// Anything else that the system says.
    #[error("{}", place(*segment, op))]
    Io {
        /// The segment, where it concerns one.
        segment: Option<SegmentId>,
        /// What was being done.
        op: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Sorts what the system said when `op` was done to `segment`.
    pub fn from_io(segment: Option<SegmentId>, op: &'static str, source: io::Error) -> Self {
        match (source.kind(), segment) {
            (io::ErrorKind::NotFound, Some(segment)) => Self::NotFound { segment },
            (io::ErrorKind::AlreadyExists, Some(segment)) => Self::AlreadyExists { segment },
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
                Self::NoSpace { segment, op }
            }
            (io::ErrorKind::ReadOnlyFilesystem, _) => Self::ReadOnly { segment, op },
            _ => Self::Io { segment, op, source },
        }
    }

    /// A writer was used after it was sealed, or after its sync had failed.
    pub(crate) fn unwritable(segment: SegmentId, op: &'static str, why: &'static str) -> Self {
        Self::Io { segment: Some(segment), op, source: io::Error::other(why) }
    }
}

fn place(segment: Option<SegmentId>, op: &str) -> String {
    match segment {
        Some(segment) => format!("cannot {op} segment {segment}"),
        None => format!("cannot {op} segments"),
    }
}

#[cfg(test)]
mod tests;
