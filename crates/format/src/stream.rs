//! The transfer stream: one resource, or the difference between two snapshots
//! of it, as bytes on the way.
//!
//! Import, export, send, receive, file put and file get all speak it over
//! HTTP. It carries holes as what they are, so that a thin terabyte travels as
//! its few written megabytes, and it ends with a digest, so that a receiver
//! binds nothing to a name before it knows that it has everything.
//!
//! # Layout
//!
//! All numbers are little-endian. A stream is a header, records, and an end
//! record; nothing follows. A sender that cannot go on may say why in a failed
//! record, in the place of the end; such a stream is refused like one that
//! breaks off.
//!
//! ```text
//! header, 64 bytes
//! offset  bytes  field
//!      0      8  magic      "ARCHSTRM"
//!      8      4  version    1
//!     12      4  flags      bit 0: base is there; bit 1: identity is there; others 0
//!     16      8  size       of the resource, in bytes, exact
//!     24     16  base       uuid of the snapshot this is a difference to, else 0
//!     40     16  identity   uuid of the snapshot sent, else 0
//!     56      4  reserved   0
//!     60      4  crc        CRC-32C of bytes 0..60
//!
//! record, 32 bytes and the payload
//! offset  bytes  field
//!      0      1  kind       1 data, 2 zero, 3 end, 4 failed
//!      1      7  reserved   0
//!      8      8  offset     in the resource, in bytes; of an end record: size;
//!                           of a failed one: 0
//!     16      8  len        data: payload bytes, 1 to 1 MiB; zero: bytes that
//!                           read as zero, at least 1; end: 32; failed: 1 to 1024
//!     24      4  payload    CRC-32C of the payload (0, that of no bytes, in a zero record)
//!     28      4  crc        CRC-32C of bytes 0..28
//!     32    len  payload    data: the bytes; zero: nothing; end: BLAKE3 of every
//!                           byte of the stream before this record; failed:
//!                           why, for people, in UTF-8
//! ```
//!
//! Data and zero records ascend and never overlap. Each covers whole 4 KiB
//! blocks, except that one which reaches `size` ends there. What no record
//! covers is zero in a full stream and unchanged in a difference (one with a
//! base).
//!
//! The header of a record has a CRC of its own, so that no length is trusted
//! before it was verified; the payload's CRC lets a receiver store a record as
//! soon as it has come. The digest at the end catches what neither can: a
//! record lost, doubled or moved whole.

mod reader;
mod writer;

use std::io;

use archipelago_model::BLOCK_BYTES;
use crc_fast::{CrcAlgorithm, checksum};
use thiserror::Error;

pub use reader::Reader;
pub use writer::Writer;

/// The first bytes of every stream.
pub const MAGIC: [u8; 8] = *b"ARCHSTRM";
/// The version that this module writes, and the only one that it reads.
pub const VERSION: u32 = 1;
/// The longest payload of a data record, in bytes: what a reader must hold at
/// once. 1 MiB makes the 32 bytes of the record's header and the handling of
/// it vanish beside the payload.
pub const DATA_BYTES_MAX: usize = 1 << 20;

/// Bytes of the header.
const HEADER_BYTES: usize = 64;
/// Bytes of a record before its payload.
const RECORD_BYTES: usize = 32;
/// Bytes of the digest in the end record.
const DIGEST_BYTES: usize = 32;

const KIND_DATA: u8 = 1;
const KIND_ZERO: u8 = 2;
const KIND_END: u8 = 3;
const KIND_FAILED: u8 = 4;

/// The longest text of a failed record, in bytes: a sentence or two.
const REASON_BYTES_MAX: usize = 1024;

const FLAG_BASE: u32 = 1 << 0;
const FLAG_IDENTITY: u32 = 1 << 1;

const _: () = assert!((DATA_BYTES_MAX as u64).is_multiple_of(BLOCK_BYTES));

/// What a stream is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// The size of the resource in bytes, exact: of a file it need not be a
    /// multiple of 512.
    pub size: u64,
    /// The snapshot that the receiver must have, when the stream is a
    /// difference: ranges not mentioned are as they were there.
    pub base: Option<[u8; 16]>,
    /// The snapshot that was sent, so that later differences can name it.
    pub identity: Option<[u8; 16]>,
}

/// One step of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Bytes at `offset`: 1 to [`DATA_BYTES_MAX`] of them.
    Data {
        /// In the resource, in bytes; a multiple of 4096.
        offset: u64,
        /// The bytes; whole blocks, save at the very end of the resource.
        bytes: Vec<u8>,
    },
    /// A range that reads as zeros.
    Zero {
        /// In the resource, in bytes; a multiple of 4096.
        offset: u64,
        /// In bytes, at least 1; whole blocks, save at the very end.
        len: u64,
    },
    /// Everything came, and the digest is right.
    End,
}

/// Why a stream was refused. Positions count bytes from the stream's start.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The transport failed.
    #[error("cannot read the transfer stream: {0}")]
    Io(#[from] io::Error),
    /// The first bytes are other ones.
    #[error("this is not a transfer stream of Archipelago")]
    Magic,
    /// Written by a newer, or a damaged, Archipelago.
    #[error("the transfer stream has version {got}; this program reads version {VERSION}")]
    Version {
        /// The version found.
        got: u32,
    },
    /// The stream stops before its end record.
    #[error("the transfer stream breaks off at byte {at}: send it again")]
    Truncated {
        /// How many bytes came.
        at: u64,
    },
    /// The sender could not go on and said why.
    #[error("{0}")]
    Sender(String),
    /// A checksum is wrong: the bytes changed on the way.
    #[error("the transfer stream is damaged at byte {at}: the checksum of the {part} is wrong")]
    Checksum {
        /// Where the part begins.
        at: u64,
        /// "header", "record" or "payload".
        part: &'static str,
    },
    /// The checksum is right but the content breaks a rule of the format.
    #[error("the transfer stream is malformed at byte {at}: {rule}")]
    Malformed {
        /// Where the header or record begins.
        at: u64,
        /// The rule that was broken.
        rule: Rule,
    },
    /// Records were lost, doubled or moved.
    #[error("the digest at the end of the transfer stream is wrong: send it again")]
    Digest,
    /// Something follows the end record.
    #[error("bytes follow the end of the transfer stream at byte {at}")]
    Trailing {
        /// The first byte too many.
        at: u64,
    },
    /// The reader failed before and cannot go on.
    #[error("the transfer stream failed before")]
    Failed,
}

/// A rule of the format; see the module's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Rule {
    /// Reserved bytes, unknown flags, or a uuid without its flag.
    #[error("a reserved field is not zero")]
    Reserved,
    /// A kind of record that is none of ours.
    #[error("unknown kind of record {0}")]
    Kind(u8),
    /// A length of zero, over 1 MiB for data, or other than 32 at the end.
    #[error("a record of kind {kind} cannot have {len} bytes")]
    Length {
        /// The record's kind.
        kind: u8,
        /// The length found, in bytes.
        len: u64,
    },
    /// The range is not of whole blocks.
    #[error("{len} bytes at {offset} are not whole 4096-byte blocks")]
    Unaligned {
        /// Of the range, in bytes.
        offset: u64,
        /// Of the range, in bytes.
        len: u64,
    },
    /// The range begins before the end of the one before.
    #[error("the range at {offset} begins before {floor}, where the one before it ended")]
    Order {
        /// Of the range, in bytes.
        offset: u64,
        /// The least offset allowed, in bytes.
        floor: u64,
    },
    /// The range leaves the resource, or the end record names another size.
    #[error("{len} bytes at {offset} do not fit into a size of {size}")]
    Bounds {
        /// Of the range, in bytes.
        offset: u64,
        /// Of the range, in bytes.
        len: u64,
        /// Of the resource, in bytes.
        size: u64,
    },
}

/// Where the ranges of a stream have got to; both ends hold to the same rules.
#[derive(Clone, Copy)]
struct Course {
    size: u64,
    floor: u64,
}

impl Course {
    fn new(size: u64) -> Self {
        Self { size, floor: 0 }
    }

    /// Checks the next range and moves behind it.
    fn pass(&mut self, offset: u64, len: u64) -> Result<(), Rule> {
        let Some(end) = offset.checked_add(len).filter(|end| *end <= self.size) else {
            return Err(Rule::Bounds { offset, len, size: self.size });
        };
        if offset < self.floor {
            return Err(Rule::Order { offset, floor: self.floor });
        }
        let whole = end.is_multiple_of(BLOCK_BYTES) || end == self.size;
        if !offset.is_multiple_of(BLOCK_BYTES) || !whole {
            return Err(Rule::Unaligned { offset, len });
        }
        self.floor = end;
        Ok(())
    }
}

/// The fixed part of a record.
struct RecordHead {
    kind: u8,
    offset: u64,
    len: u64,
    payload_crc: u32,
}

impl RecordHead {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut out = [0; RECORD_BYTES];
        out[0] = self.kind;
        out[8..16].copy_from_slice(&self.offset.to_le_bytes());
        out[16..24].copy_from_slice(&self.len.to_le_bytes());
        out[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(raw: &[u8; RECORD_BYTES], at: u64) -> Result<Self, StreamError> {
        if u32_at(raw, 28) != crc32c(&raw[..28]) {
            return Err(StreamError::Checksum { at, part: "record" });
        }
        if raw[1..8] != [0; 7] {
            return Err(StreamError::Malformed { at, rule: Rule::Reserved });
        }
        Ok(Self {
            kind: raw[0],
            offset: u64_at(raw, 8),
            len: u64_at(raw, 16),
            payload_crc: u32_at(raw, 24),
        })
    }
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut flags = 0;
        if let Some(base) = &self.base {
            flags |= FLAG_BASE;
            out[24..40].copy_from_slice(base);
        }
        if let Some(identity) = &self.identity {
            flags |= FLAG_IDENTITY;
            out[40..56].copy_from_slice(identity);
        }
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&flags.to_le_bytes());
        out[16..24].copy_from_slice(&self.size.to_le_bytes());
        let crc = crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(raw: &[u8; HEADER_BYTES]) -> Result<Self, StreamError> {
        if raw[..8] != MAGIC {
            return Err(StreamError::Magic);
        }
        // Before the checksum: another version may keep it elsewhere.
        let version = u32_at(raw, 8);
        if version != VERSION {
            return Err(StreamError::Version { got: version });
        }
        if u32_at(raw, 60) != crc32c(&raw[..60]) {
            return Err(StreamError::Checksum { at: 0, part: "header" });
        }
        let flags = u32_at(raw, 12);
        let uuid = |flag: u32, at: usize| {
            let mut uuid = [0; 16];
            uuid.copy_from_slice(&raw[at..at + 16]);
            if flags & flag != 0 {
                Ok(Some(uuid))
            } else if uuid == [0; 16] {
                Ok(None)
            } else {
                Err(StreamError::Malformed { at: 0, rule: Rule::Reserved })
            }
        };
        let (base, identity) = (uuid(FLAG_BASE, 24)?, uuid(FLAG_IDENTITY, 40)?);
        if flags & !(FLAG_BASE | FLAG_IDENTITY) != 0 || u32_at(raw, 56) != 0 {
            return Err(StreamError::Malformed { at: 0, rule: Rule::Reserved });
        }
        Ok(Self { size: u64_at(raw, 16), base, identity })
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    // The algorithm is 32 bits wide; the upper half of the result is zero.
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn u32_at(raw: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&raw[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(raw: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&raw[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests;
