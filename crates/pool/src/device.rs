//! A device: what a driver reads and writes, whatever stands behind it.

use archipelago_model::SnapshotName;

use crate::error::{Error, ErrorKind};

/// A change to a device. Offsets and lengths are bytes, multiples of 512.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write<'a> {
    /// Puts `bytes` at `offset`.
    Data {
        /// Where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// Makes a range read as zeros.
    Zero {
        /// Where.
        offset: u64,
        /// How long.
        len: u64,
        /// Whether the space may be given back; a hint.
        may_unmap: bool,
    },
}

/// A range of a device's map; ranges follow each other without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusRange {
    /// In bytes.
    pub len: u64,
    /// Nothing is stored for it.
    pub hole: bool,
    /// It reads as zeros.
    pub zero: bool,
}

/// A range that was or was not changed; ranges follow each other without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangedRange {
    /// In bytes.
    pub len: u64,
    /// Whether it may read differently now.
    pub changed: bool,
}

/// An open volume, snapshot, image or file. Dropping it detaches.
pub struct Device {}

impl Device {
    /// Bytes, a multiple of 512: a file's last sector is filled up with zeros.
    pub fn size(&self) -> u64 {
        0
    }

    /// Whether writes are refused: true for all but volumes.
    pub fn read_only(&self) -> bool {
        true
    }

    /// Reads; offset and length are multiples of 512.
    ///
    /// # Errors
    /// `Invalid` beyond the end or unaligned; `Damaged` when stored bytes fail
    /// their checksum: not one of them is given out.
    pub fn read(&self, _offset: u64, _buf: &mut [u8]) -> Result<(), Error> {
        Err(not_yet())
    }

    /// Writes all of them as one batch. Not durable before [`Self::flush`].
    ///
    /// # Errors
    /// `Invalid` beyond the end or unaligned, `ReadOnly`, `NoSpace`, `Fenced`.
    pub fn write(&self, _writes: &[Write<'_>]) -> Result<(), Error> {
        Err(not_yet())
    }

    /// Makes everything durable that was acknowledged before, on any device of
    /// this resource.
    ///
    /// # Errors
    /// `Fenced`, `NoSpace`, `Internal`.
    pub fn flush(&self) -> Result<(), Error> {
        Err(not_yet())
    }

    /// What is stored, from `offset` on: at most `max` ranges, which cover at
    /// most `len` bytes and at least one sector.
    ///
    /// # Errors
    /// `Invalid` beyond the end or unaligned; `Damaged`.
    pub fn status(&self, _offset: u64, _len: u64, _max: usize) -> Result<Vec<StatusRange>, Error> {
        Err(not_yet())
    }

    /// What changed since a snapshot of the same volume, as [`Self::status`].
    ///
    /// # Errors
    /// `NotFound` when the volume has no such snapshot; as [`Self::status`].
    pub fn changed_since(
        &self,
        _snapshot: &SnapshotName,
        _offset: u64,
        _len: u64,
        _max: usize,
    ) -> Result<Vec<ChangedRange>, Error> {
        Err(not_yet())
    }

    /// The snapshots that [`Self::changed_since`] knows, oldest first.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn snapshots(&self) -> Result<Vec<SnapshotName>, Error> {
        Err(not_yet())
    }
}

fn not_yet() -> Error {
    Error::new(ErrorKind::Internal, "not built yet")
}
