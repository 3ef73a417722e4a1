//! The forwarding table of a compaction: where what was moved is now.
//!
//! ```text
//! section = index | pages x 4096
//! index   = pages u32 | 0 u32 | first old location u64, one a page
//! page    = crc u32 | count u32 | page number u32 | 0 u32 | entries
//! entry   = old location u64 | new location u64 | sectors u32                  (20 bytes)
//! ```
//! Entries rise by their old locations and do not overlap; none crosses the end of
//! a segment. The section's checksum in the directory is that of the index; pages
//! have their own, so that a look-up reads the index, which stays in memory, and
//! one page.

use archipelago_model::Location;

use crate::bytes::{Cursor, FormatError, crc32c, verify};
use crate::is_inside_a_segment;

/// Bytes of a page.
pub const FORWARD_PAGE_BYTES: usize = 4096;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 20;
/// Entries in one page.
pub const FORWARDS_PER_PAGE: usize = (FORWARD_PAGE_BYTES - 16) / ENTRY_BYTES;

const INDEX: &str = "forwarding index";
const PAGE: &str = "forwarding page";

/// Sectors that were moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// Where maps say that they are.
    pub from: Location,
    /// Where they are.
    pub to: Location,
    /// How many, at least 1.
    pub sectors: u32,
}

impl Forward {
    /// The old location behind the last sector.
    pub const fn end(&self) -> Location {
        self.from.advance(self.sectors as u64)
    }

    fn decode(c: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let (from, to) = (Location::from_raw(c.u64()?), Location::from_raw(c.u64()?));
        let sectors = c.u32()?;
        let fits = |at| is_inside_a_segment(at, sectors.into());
        if sectors == 0 || !fits(from) || !fits(to) {
            return Err(c.bad("entry"));
        }
        Ok(Self { from, to, sectors })
    }
}

/// The front of a table: which page has which locations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForwardIndex {
    /// The first old location of each page.
    pub firsts: Vec<Location>,
}

impl ForwardIndex {
    /// Bytes of the index of a section of `section_bytes` bytes, to be read first.
    pub const fn bytes_in(section_bytes: u64) -> u64 {
        let pages = section_bytes.saturating_sub(8) / (FORWARD_PAGE_BYTES as u64 + 8);
        8 + 8 * pages
    }

    /// Decodes an index whose checksum the directory gave and the caller verified.
    ///
    /// # Errors
    /// [`FormatError`] for anything that [`encode_forwarding`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut c = Cursor::new(INDEX, bytes);
        let pages = c.u32()? as usize;
        c.u32()?;
        let bytes = c.take(pages.checked_mul(8).ok_or(c.bad("pages"))?)?;
        let firsts: Vec<Location> = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|raw| Location::from_raw(u64::from_le_bytes(*raw)))
            .collect();
        if firsts.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(c.bad("order"));
        }
        Ok(Self { firsts })
    }

    /// The page that holds `from`, if any does.
    pub fn page_of(&self, from: Location) -> Option<u32> {
        let after = self.firsts.partition_point(|first| *first <= from);
        after.checked_sub(1).map(|page| page as u32)
    }

    /// Where a page begins in the section.
    pub fn page_offset(&self, page: u32) -> u64 {
        8 + 8 * self.firsts.len() as u64 + u64::from(page) * FORWARD_PAGE_BYTES as u64
    }
}

/// Decodes and verifies page `number`.
///
/// # Errors
/// [`FormatError`] for anything that [`encode_forwarding`] does not write.
pub fn decode_forward_page(bytes: &[u8], number: u32) -> Result<Vec<Forward>, FormatError> {
    let mut c = Cursor::new(PAGE, bytes);
    let crc = c.u32()?;
    let mut whole = Cursor::new(PAGE, bytes);
    verify(PAGE, &whole.take(FORWARD_PAGE_BYTES)?[4..], crc)?;
    let count = c.u32()? as usize;
    if c.u32()? != number {
        return Err(c.bad("number"));
    }
    c.u32()?;
    if count == 0 || count > FORWARDS_PER_PAGE {
        return Err(c.bad("count"));
    }
    let entries = (0..count).map(|_| Forward::decode(&mut c)).collect::<Result<Vec<_>, _>>()?;
    if entries.windows(2).any(|pair| pair[0].end() > pair[1].from) {
        return Err(c.bad("order"));
    }
    Ok(entries)
}

/// The section for entries that rise and do not overlap, and the length of its
/// index. Nothing for no entries.
pub fn encode_forwarding(entries: &[Forward]) -> (Vec<u8>, usize) {
    if entries.is_empty() {
        return (Vec::new(), 0);
    }
    let pages = entries.chunks(FORWARDS_PER_PAGE);
    let mut out = Vec::with_capacity(8 + pages.len() * (8 + FORWARD_PAGE_BYTES));
    out.extend_from_slice(&(pages.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for page in pages.clone() {
        out.extend_from_slice(&page[0].from.raw().to_le_bytes());
    }
    let index_bytes = out.len();
    for (number, page) in pages.enumerate() {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(page.len() as u32).to_le_bytes());
        out.extend_from_slice(&(number as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for entry in page {
            out.extend_from_slice(&entry.from.raw().to_le_bytes());
            out.extend_from_slice(&entry.to.raw().to_le_bytes());
            out.extend_from_slice(&entry.sectors.to_le_bytes());
        }
        out.resize(start + FORWARD_PAGE_BYTES, 0);
        let crc = crc32c(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }
    (out, index_bytes)
}

#[cfg(test)]
mod tests;
