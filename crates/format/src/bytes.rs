//! Little-endian reading and writing with bounds, and the checksum.

use thiserror::Error;

/// Why bytes were refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FormatError {
    /// The bytes end before the structure does.
    #[error("{what}: {got} bytes where {needed} are needed")]
    Short {
        /// The structure.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        got: u64,
    },
    /// The first bytes are not those of this structure.
    #[error("{what}: wrong magic number")]
    Magic {
        /// The structure.
        what: &'static str,
    },
    /// Written by a newer program.
    #[error("{what}: version {got} is not supported (this program knows up to {known})")]
    Version {
        /// The structure.
        what: &'static str,
        /// What was found.
        got: u32,
        /// The newest known.
        known: u32,
    },
    /// The checksum does not match.
    #[error("{what}: checksum {got:08x} where {expected:08x} is recorded")]
    Checksum {
        /// The structure.
        what: &'static str,
        /// Computed from the bytes.
        got: u32,
        /// Recorded in the bytes.
        expected: u32,
    },
    /// A field has a value that no writer gives it.
    #[error("{what}: {field} is not possible")]
    Field {
        /// The structure.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// CRC-32C (Castagnoli) of `data`.
pub fn crc32c(data: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, data) as u32
}

/// Reads little-endian fields front to back.
pub struct Cursor<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Over `data`, a structure called `what` in errors.
    pub const fn new(what: &'static str, data: &'a [u8]) -> Self {
        Self { what, rest: data }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], FormatError> {
        match self.rest.split_at_checked(n) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(FormatError::Short {
                what: self.what,
                needed: n as u64,
                got: self.rest.len() as u64,
            }),
        }
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    /// An error about `field` of this structure.
    pub const fn bad(&self, field: &'static str) -> FormatError {
        FormatError::Field { what: self.what, field }
    }
}

/// Compares a recorded checksum with that of `data`.
pub fn verify(what: &'static str, data: &[u8], expected: u32) -> Result<(), FormatError> {
    let got = crc32c(data);
    if got == expected { Ok(()) } else { Err(FormatError::Checksum { what, got, expected }) }
}
