//! The file `STORE` at the top of a data folder: what makes it a store.
//!
//! ```text
//! offset  bytes  field
//!      0      8  magic      "ARCHSTOR"
//!      8      4  version    of the layout of the folder: 1
//!     12      4  reserved   0
//!     16     16  uuid       of the store; segments and the catalog repeat it
//!     32     32  dedup key  of the fingerprints; secret: it would tell who
//!                           knows it which blocks are stored
//!     64      4  reserved   0
//!     68      4  crc        CRC-32C of bytes 0..68
//! ```

use crate::bytes::{Cursor, FormatError, crc32c, verify};

/// Bytes of the file.
pub const STORE_FILE_BYTES: usize = 72;
/// The version of the folder's layout that this program makes and reads.
pub const VERSION: u32 = 1;

const WHAT: &str = "STORE";
const MAGIC: [u8; 8] = *b"ARCHSTOR";
const CRC_AT: usize = STORE_FILE_BYTES - 4;

/// What the file says.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreFile {
    /// The identity of the store.
    pub uuid: [u8; 16],
    /// The key of the fingerprints.
    pub dedup_key: [u8; 32],
}

/// Leaves the key out: it is secret.
impl std::fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreFile").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

impl StoreFile {
    /// The bytes of the file.
    pub fn encode(&self) -> [u8; STORE_FILE_BYTES] {
        let mut out = [0; STORE_FILE_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..32].copy_from_slice(&self.uuid);
        out[32..64].copy_from_slice(&self.dedup_key);
        let crc = crc32c(&out[..CRC_AT]);
        out[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// Another file, a newer layout, damage. The version is checked before the
    /// checksum: another version may keep that elsewhere.
    pub fn decode(raw: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Cursor::new(WHAT, raw);
        if fields.array()? != MAGIC {
            return Err(FormatError::Magic { what: WHAT });
        }
        let version = fields.u32()?;
        if version != VERSION {
            return Err(FormatError::Version { what: WHAT, got: version, known: VERSION });
        }
        let reserved = fields.u32()?;
        let file = Self { uuid: fields.array()?, dedup_key: fields.array()? };
        let reserved = reserved | fields.u32()?;
        verify(WHAT, &raw[..CRC_AT], fields.u32()?)?;
        if reserved != 0 {
            return Err(fields.bad("a reserved field"));
        }
        if raw.len() != STORE_FILE_BYTES {
            return Err(fields.bad("the length"));
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
