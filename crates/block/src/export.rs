//! What is served: the two traits that the pool stands behind.

use std::sync::Arc;

use archipelago_model::name::SnapshotName;
use thiserror::Error;

/// What is known of a client before it names an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// It connects from this machine: through a UNIX socket, or from a loopback address.
    pub local: bool,
    /// It has shown a certificate that the configuration lets in.
    pub certified: bool,
}

/// All that can be opened by name.
pub trait Exports: Send + Sync {
    /// Opens an export for as long as the handle lives. Opening one that is open already gives
    /// another handle to the same device: what one writes the others read, and a flush through
    /// one covers the writes that returned through any.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when another host writes it; whatever the store says.
    fn open(&self, client: Client, name: &str) -> Result<Arc<dyn Export>, ExportError>;

    /// The names that [`Self::open`] would take now, of those that a client may know.
    ///
    /// # Errors
    /// Whatever the store says.
    fn list(&self, client: Client) -> Result<Vec<String>, ExportError>;

    /// A name as logs may have it: without what is secret in it.
    fn shown<'a>(&self, name: &'a str) -> &'a str {
        name
    }
}

/// One open device. All offsets and lengths are bytes and multiples of 512; calls come from
/// many threads at once.
pub trait Export: Send + Sync {
    /// The size in bytes; it may change while the export is open. Where it is no multiple of
    /// 512, the last sector reads as if it were filled up with zeros.
    fn size(&self) -> u64;

    /// Whether writes are refused, because this is a snapshot, an image or a file.
    fn read_only(&self) -> bool;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `Invalid` beyond the end, `Damaged` when a checksum does not match; `buf` is then in an
    /// unknown state.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), ExportError>;

    /// Does all `writes`, in order where they overlap. They are visible on return, and durable
    /// after the next [`Self::flush`].
    ///
    /// # Errors
    /// `NoSpace`, `ReadOnly`, `Fenced`, ...; any part may then have been done.
    fn write(&self, writes: &[Write<'_>]) -> Result<(), ExportError>;

    /// Makes every write that has returned durable, whichever handle it came through.
    ///
    /// # Errors
    /// Whatever the store says; nothing is known to be durable then.
    fn flush(&self) -> Result<(), ExportError>;

    /// Where there are holes in `[offset, offset + len)`: at least one and at most `max` ranges,
    /// none empty, one behind the other from `offset` on; fewer than the whole when `max` says so.
    ///
    /// # Errors
    /// `Invalid` beyond the end; whatever the store says.
    fn status(&self, offset: u64, len: u64, max: usize) -> Result<Vec<StatusRange>, ExportError>;

    /// What was written since `snapshot` of this volume, in ranges as [`Self::status`] gives them.
    ///
    /// # Errors
    /// `NotFound` without such a snapshot; `Invalid` beyond the end; whatever the store says.
    fn changed_since(
        &self,
        snapshot: &SnapshotName,
        offset: u64,
        len: u64,
        max: usize,
    ) -> Result<Vec<ChangedRange>, ExportError>;

    /// The snapshots that [`Self::changed_since`] takes.
    ///
    /// # Errors
    /// Whatever the store says.
    fn snapshots(&self) -> Result<Vec<SnapshotName>, ExportError>;
}

/// One change to an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// Puts these bytes there.
    Data {
        /// Where, in bytes.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// Makes a range read as zeros.
    Zero {
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes.
        len: u64,
        /// Whether the range may become a hole, which may later fail to be written for want of
        /// space.
        may_unmap: bool,
    },
}

/// A piece of [`Export::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// Its length in bytes.
    pub len: u64,
    /// Nothing is stored for it.
    pub hole: bool,
    /// It reads as zeros.
    pub zero: bool,
}

/// A piece of [`Export::changed_since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRange {
    /// Its length in bytes.
    pub len: u64,
    /// Whether it may differ from the snapshot.
    pub changed: bool,
}

/// What kind of failure it is, as far as a client can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportErrorKind {
    /// No export has that name.
    NotFound,
    /// Somebody else holds it.
    InUse,
    /// The store is full.
    NoSpace,
    /// Who asks may not have it.
    Forbidden,
    /// It cannot be written.
    ReadOnly,
    /// A newer holder has taken over; this handle never writes again.
    Fenced,
    /// Stored bytes do not match their checksum.
    Damaged,
    /// The request makes no sense.
    Invalid,
    /// Everything else.
    Io,
}

/// Why an export could not do it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ExportError {
    /// What the client is told as a number.
    pub kind: ExportErrorKind,
    /// What the client is told in words, where the protocol has room for words.
    pub message: String,
}

impl ExportError {
    /// An error of this kind.
    pub fn new(kind: ExportErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
