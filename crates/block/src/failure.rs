//! Why a request failed, in the numbers of the protocol.

use std::borrow::Cow;

use crate::export::{ExportError, ExportErrorKind};

/// The error values that the protocol defines and this server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Errno {
    /// Writing what is read-only.
    Perm = 1,
    /// The store failed.
    Io = 5,
    /// The request makes no sense.
    Inval = 22,
    /// The store is full, or a write lies beyond the end.
    NoSpc = 28,
}

/// What a client is told when its request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    pub(crate) message: Cow<'static, str>,
}

impl Failure {
    pub(crate) const fn new(errno: Errno, message: &'static str) -> Self {
        Self { errno, message: Cow::Borrowed(message) }
    }

    pub(crate) const fn invalid(message: &'static str) -> Self {
        Self::new(Errno::Inval, message)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let errno = match error.kind {
            ExportErrorKind::NoSpace => Errno::NoSpc,
            ExportErrorKind::ReadOnly | ExportErrorKind::Forbidden => Errno::Perm,
            ExportErrorKind::Invalid => Errno::Inval,
            ExportErrorKind::NotFound
            | ExportErrorKind::InUse
            | ExportErrorKind::Fenced
            | ExportErrorKind::Damaged
            | ExportErrorKind::Io => Errno::Io,
        };
        Self { errno, message: Cow::Owned(error.message) }
    }
}
