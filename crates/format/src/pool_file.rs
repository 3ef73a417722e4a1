//! The file `PLACE` at the top of a data folder: where its segments are, when that is not its
//! folder `pool`. A store never changes its pool, so that it is written once, before `STORE`.
//!
//! ```text
//! offset  bytes  field
//!      0      8  magic      "ARCHPOOL"
//!      8      4  version    1
//!     12      4  length     of the url, n
//!     16      n  url        in UTF-8
//!   16+n      4  crc        CRC-32C of all before it
//! ```

use crate::bytes::{Cursor, FormatError, crc32c, verify};

/// The longest url.
pub const URL_BYTES_MAX: usize = 2048;
/// The longest file.
pub const POOL_FILE_BYTES_MAX: usize = HEAD_BYTES + URL_BYTES_MAX + 4;
/// The version that this program makes and reads.
pub const VERSION: u32 = 1;

const WHAT: &str = "PLACE";
const MAGIC: [u8; 8] = *b"ARCHPOOL";
const HEAD_BYTES: usize = 16;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolFile {
    url: String,
}

impl PoolFile {
    /// Of a url.
    ///
    /// # Errors
    /// One that is longer than [`URL_BYTES_MAX`].
    pub fn new(url: &str) -> Result<Self, FormatError> {
        if url.len() > URL_BYTES_MAX {
            return Err(FormatError::Field { what: WHAT, field: "the length of the url" });
        }
        Ok(Self { url: url.to_owned() })
    }

    /// Where the segments are.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.url.len() + 4);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(self.url.len() as u32).to_le_bytes());
        out.extend_from_slice(self.url.as_bytes());
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// Another file, a newer one, damage.
    pub fn decode(raw: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Cursor::new(WHAT, raw);
        if fields.array()? != MAGIC {
            return Err(FormatError::Magic { what: WHAT });
        }
        let version = fields.u32()?;
        if version != VERSION {
            return Err(FormatError::Version { what: WHAT, got: version, known: VERSION });
        }
        let len = fields.u32()? as usize;
        if len > URL_BYTES_MAX {
            return Err(fields.bad("the length of the url"));
        }
        let url = fields.take(len)?;
        verify(WHAT, &raw[..HEAD_BYTES + len], fields.u32()?)?;
        if raw.len() != HEAD_BYTES + len + 4 {
            return Err(fields.bad("the length"));
        }
        let url = std::str::from_utf8(url).map_err(|_| fields.bad("the url"))?;
        Ok(Self { url: url.to_owned() })
    }
}

#[cfg(test)]
mod tests;
