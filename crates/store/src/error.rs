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
    /// The place does not answer, or asks to be left alone for now. Nothing became unknown by
    /// it: the same call may be made again, and a writer stays of use.
    #[error("{}: the pool does not answer as it should just now", place(*segment, op))]
    Unavailable {
        /// The segment, where it concerns one.
        segment: Option<SegmentId>,
        /// What was being done.
        op: &'static str,
        /// What was said instead.
        source: io::Error,
    },
    /// The place does not let us: who we say we are, or what we may, is not enough.
    #[error("{}: {why}", place(*segment, op))]
    Denied {
        /// The segment, where it concerns one.
        segment: Option<SegmentId>,
        /// What was being done.
        op: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Another one has taken the store over: the place refuses all that this one writes.
    #[error("{}: another host has taken over its store; this one writes no more", place(*segment, op))]
    Fenced {
        /// The segment, where it concerns one.
        segment: Option<SegmentId>,
        /// What was being done.
        op: &'static str,
    },
    /// The place cannot be used as it is configured.
    #[error("{why}")]
    Unusable {
        /// What is wrong, and what to do.
        why: String,
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

    /// Whether the same call may succeed later, with nothing else done about it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether a seal that failed so is only still to be done: what was synced is as durable as
    /// before, and the seal may be asked for again, once somebody has done something about it.
    pub fn leaves_seal_undone(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Denied { .. }
                | Self::NoSpace { .. }
                | Self::Unusable { .. }
        )
    }

    /// The same error for another one who waited for the same answer.
    pub(crate) fn again(&self) -> Self {
        let same = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
        match self {
            Self::NotFound { segment } => Self::NotFound { segment: *segment },
            Self::AlreadyExists { segment } => Self::AlreadyExists { segment: *segment },
            Self::NoSpace { segment, op } => Self::NoSpace { segment: *segment, op },
            Self::ReadOnly { segment, op } => Self::ReadOnly { segment: *segment, op },
            Self::Unavailable { segment, op, source } => {
                Self::Unavailable { segment: *segment, op, source: same(source) }
            }
            Self::Denied { segment, op, why } => {
                Self::Denied { segment: *segment, op, why: why.clone() }
            }
            Self::Fenced { segment, op } => Self::Fenced { segment: *segment, op },
            Self::Unusable { why } => Self::Unusable { why: why.clone() },
            Self::Io { segment, op, source } => {
                Self::Io { segment: *segment, op, source: same(source) }
            }
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
