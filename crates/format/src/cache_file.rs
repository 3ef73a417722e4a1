//! The files of a cache on the disk of a host: `cache-index`, whose records say what each place
//! of `cache-pages` holds; and the file `CACHE` of a data folder, which says that the cache saw every
//! opening of the store since it was made.
//!
//! ```text
//! cache-index, header
//! offset  bytes  field
//!      0      8  magic      "ARCHCACH"
//!      8      4  version    1
//!     12      4  page       bytes of a page: 65536
//!     16     16  uuid       of the store
//!     32     16  token      as in CACHE
//!     48     12  reserved   0
//!     60      4  crc        CRC-32C of bytes 0..60
//!
//! cache-index, record n, at 4096 + 32 n
//! offset  bytes  field
//!      0      8  segment    its id
//!      8      8  length     of the segment, in bytes
//!     16      4  page       its number in the segment
//!     20      8  check      of the page: CRC-64/NVME of bytes 0..20 of this record and of the page
//!     28      4  crc        CRC-32C of bytes 0..28
//!
//! CACHE
//! offset  bytes  field
//!      0      8  magic      "ARCHCTOK"
//!      8      4  version    1
//!     12     16  token
//!     28      4  crc        CRC-32C of bytes 0..28
//! ```
//!
//! Page n of the cache is at 65536 n of `cache-pages`: as many bytes as the segment has there. No record
//! lies across two sectors. Nothing here is synced but the header and what is taken back: whatever
//! is torn does not match its checksum, and is not there.

use archipelago_model::SegmentId;
use crc_fast::{CrcAlgorithm, Digest};

use crate::bytes::{Cursor, FormatError, crc32c, verify};

/// Bytes of a page of a segment, and of its place in the cache.
pub const PAGE_BYTES: u64 = 64 << 10;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Where the records begin.
pub const RECORDS_AT: u64 = 4096;
/// Bytes of a record.
pub const RECORD_BYTES: usize = 32;
/// Bytes of the file `CACHE`.
pub const TOKEN_FILE_BYTES: usize = 32;
/// The version that this program makes and reads.
pub const VERSION: u32 = 1;
/// Pages have smaller numbers than this, so that segment and page are one number of 64 bits.
pub const PAGES_MAX: u64 = 1 << 24;

const WHAT: &str = "cache index";
const MAGIC: [u8; 8] = *b"ARCHCACH";
const TOKEN_WHAT: &str = "CACHE";
const TOKEN_MAGIC: [u8; 8] = *b"ARCHCTOK";
/// Bytes of a record that say which page it is.
const KEY_BYTES: usize = 20;

/// Whose a cache is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheHeader {
    /// The store.
    pub store: [u8; 16],
    /// Another one whenever the cache is made anew.
    pub token: [u8; 16],
}

/// Which page a place holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRecord {
    /// The segment.
    pub segment: SegmentId,
    /// Its length in bytes.
    pub segment_bytes: u64,
    /// The number of the page in it.
    pub page: u32,
    /// The checksum of the page.
    pub check: u64,
}

impl CacheHeader {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(PAGE_BYTES as u32).to_le_bytes());
        out[16..32].copy_from_slice(&self.store);
        out[32..48].copy_from_slice(&self.token);
        let crc = crc32c(&out[..HEADER_BYTES - 4]);
        out[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the bytes of the header.
    ///
    /// # Errors
    /// Another file, another version, damage.
    pub fn decode(raw: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Cursor::new(WHAT, raw);
        if fields.array()? != MAGIC {
            return Err(FormatError::Magic { what: WHAT });
        }
        let version = fields.u32()?;
        if version != VERSION {
            return Err(FormatError::Version { what: WHAT, got: version, known: VERSION });
        }
        let page = fields.u32()?;
        let header = Self { store: fields.array()?, token: fields.array()? };
        let reserved: [u8; 12] = fields.array()?;
        verify(WHAT, &raw[..HEADER_BYTES - 4], fields.u32()?)?;
        if u64::from(page) != PAGE_BYTES || reserved != [0; 12] || raw.len() != HEADER_BYTES {
            return Err(fields.bad("the size of a page, or a reserved field"));
        }
        Ok(header)
    }
}

impl PageRecord {
    /// Of these bytes, which are all that the segment has in that page.
    pub fn of(segment: SegmentId, segment_bytes: u64, page: u32, bytes: &[u8]) -> Self {
        let check = check(segment, segment_bytes, page, bytes);
        Self { segment, segment_bytes, page, check }
    }

    /// Whether these are the bytes of the page.
    pub fn vouches_for(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == page_len(self.segment_bytes, self.page)
            && check(self.segment, self.segment_bytes, self.page, bytes) == self.check
    }

    /// The bytes of the record.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut out = [0; RECORD_BYTES];
        out[..KEY_BYTES].copy_from_slice(&key(self.segment, self.segment_bytes, self.page));
        out[KEY_BYTES..28].copy_from_slice(&self.check.to_le_bytes());
        let crc = crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a record; `None` for a place that holds nothing, or nothing that is known.
    pub fn decode(raw: &[u8; RECORD_BYTES]) -> Option<Self> {
        let mut fields = Cursor::new(WHAT, raw);
        let segment = SegmentId::new(fields.u64().ok()?)?;
        let (segment_bytes, page) = (fields.u64().ok()?, fields.u32().ok()?);
        let check = fields.u64().ok()?;
        verify(WHAT, &raw[..28], fields.u32().ok()?).ok()?;
        let possible = page_len(segment_bytes, page) > 0 && u64::from(page) < PAGES_MAX;
        possible.then_some(Self { segment, segment_bytes, page, check })
    }
}

/// Bytes of page `page` of a segment of so many bytes; 0 behind its end.
pub const fn page_len(segment_bytes: u64, page: u32) -> u64 {
    let left = segment_bytes.saturating_sub(page as u64 * PAGE_BYTES);
    if left < PAGE_BYTES { left } else { PAGE_BYTES }
}

fn key(segment: SegmentId, segment_bytes: u64, page: u32) -> [u8; KEY_BYTES] {
    let mut out = [0; KEY_BYTES];
    out[..8].copy_from_slice(&segment.get().to_le_bytes());
    out[8..16].copy_from_slice(&segment_bytes.to_le_bytes());
    out[16..].copy_from_slice(&page.to_le_bytes());
    out
}

fn check(segment: SegmentId, segment_bytes: u64, page: u32, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(&key(segment, segment_bytes, page));
    digest.update(bytes);
    digest.finalize()
}

/// The bytes of the file `CACHE`.
pub fn encode_token(token: &[u8; 16]) -> [u8; TOKEN_FILE_BYTES] {
    let mut out = [0; TOKEN_FILE_BYTES];
    out[..8].copy_from_slice(&TOKEN_MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..28].copy_from_slice(token);
    let crc = crc32c(&out[..28]);
    out[28..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads the file `CACHE`.
///
/// # Errors
/// Another file, another version, damage.
pub fn decode_token(raw: &[u8]) -> Result<[u8; 16], FormatError> {
    let mut fields = Cursor::new(TOKEN_WHAT, raw);
    if fields.array()? != TOKEN_MAGIC {
        return Err(FormatError::Magic { what: TOKEN_WHAT });
    }
    let version = fields.u32()?;
    if version != VERSION {
        return Err(FormatError::Version { what: TOKEN_WHAT, got: version, known: VERSION });
    }
    let token = fields.array()?;
    verify(TOKEN_WHAT, &raw[..28], fields.u32()?)?;
    if raw.len() != TOKEN_FILE_BYTES {
        return Err(fields.bad("the length"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests;
