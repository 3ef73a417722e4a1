//! Reading fields of headers.

use crate::{Bytes, Error, cut_off};

/// Reads `len` bytes that have to lie in the file; callers bound `len`.
pub(crate) fn read(file: &dyn Bytes, at: u64, len: u64) -> Result<Vec<u8>, Error> {
    let end = at.saturating_add(len);
    if end > file.len() {
        return Err(cut_off(file, end));
    }
    let mut out = vec![0; len as usize];
    file.read(at, &mut out).map_err(Error::Read)?;
    Ok(out)
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut word = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        word.copy_from_slice(found);
    }
    word
}

/// Big-endian; 0 beyond the end, which callers have read far enough never to meet.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(word(bytes, at))
}

/// As [`be32`].
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(word(bytes, at))
}

/// Little-endian, as [`be32`].
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(word(bytes, at))
}

/// As [`le16`].
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(word(bytes, at))
}

/// As [`le16`].
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(word(bytes, at))
}
