//! Sets the checksums of bytes that were changed, so that a decoder goes on to what
//! is behind them: no fuzzer guesses a CRC.
//!
//! This is the one place besides the format crate that knows where checksums are,
//! for tests only. Whatever does not look like the structure is left as it is.

use archipelago_format::batch::{Header as BatchHeader, Kind, PIECE_SECTORS};
use archipelago_format::crc32c;
use archipelago_format::forwarding::{FORWARD_PAGE_BYTES, ForwardIndex};
use archipelago_format::segment::{
    Directory, HEADER_BYTES, SLOT_PAGE_BYTES, Section, SegmentHeader, SlotPage, TRAILER_BYTES,
    Trailer,
};
use archipelago_format::store_file::STORE_FILE_BYTES;
use archipelago_format::stream::DATA_BYTES_MAX;
use archipelago_model::{SECTOR_BYTES, SegmentId};

const SECTOR: usize = SECTOR_BYTES as usize;

/// Four bytes as a number.
///
/// # Panics
/// There are not four.
pub fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// Eight bytes as a number.
///
/// # Panics
/// There are not eight.
pub fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

fn put(bytes: &mut [u8], at: usize, crc: u32) {
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum in the last four bytes of the first `len`.
fn last_of(bytes: &mut [u8], len: usize) {
    if let Some(bytes) = bytes.get_mut(..len) {
        let crc = crc32c(&bytes[..len - 4]);
        put(bytes, len - 4, crc);
    }
}

/// A segment's header.
pub fn segment_header(bytes: &mut [u8]) {
    last_of(bytes, HEADER_BYTES);
}

/// The file `STORE`.
pub fn store_file(bytes: &mut [u8]) {
    last_of(bytes, STORE_FILE_BYTES);
}

/// A page of slots.
pub fn slot_page(bytes: &mut [u8]) {
    if let Some(page) = bytes.get_mut(..SLOT_PAGE_BYTES) {
        let crc = crc32c(&page[4..]);
        put(page, 0, crc);
    }
}

/// A directory; only the copy of the header in it has a checksum inside.
pub fn directory(bytes: &mut [u8]) {
    segment_header(bytes);
}

/// A trailer.
pub fn trailer(bytes: &mut [u8]) {
    last_of(bytes, 24);
}

/// The header of a batch.
pub fn batch_header(bytes: &mut [u8], salt: u32) {
    if bytes.len() >= SECTOR {
        put(bytes, 28, 0);
        let crc = crc32c(bytes) ^ salt;
        put(bytes, 28, crc);
    }
}

/// A transfer stream: header, records, payloads. The digest at its end too, when
/// the records lead there.
pub fn transfer_stream(bytes: &mut [u8]) {
    const RECORD: usize = 32;
    const END: u8 = 3;
    last_of(bytes, 64);
    let mut at = 64;
    while at + RECORD <= bytes.len() {
        let (kind, len) = (bytes[at], u64_of(&bytes[at + 16..at + 24]));
        let begin = at + RECORD;
        let payload = if kind == 2 { 0 } else { len.min(DATA_BYTES_MAX as u64) as usize };
        let end = (begin + payload).min(bytes.len());
        if kind == END && end - begin == 32 {
            let digest = *blake3::hash(&bytes[..at]).as_bytes();
            bytes[begin..end].copy_from_slice(&digest);
        }
        let crc = crc32c(&bytes[begin..end]);
        put(bytes, at + 24, crc);
        last_of(&mut bytes[at..], RECORD);
        at = end.max(at + RECORD);
    }
}

/// A page of a forwarding table begins with its checksum, which covers the rest.
fn forward_page(bytes: &mut [u8]) {
    if let Some(page) = bytes.get_mut(..FORWARD_PAGE_BYTES) {
        let crc = crc32c(&page[4..]);
        put(page, 0, crc);
    }
}

/// The pages of a forwarding table, which lie behind its index.
pub fn forwarding(bytes: &mut [u8]) {
    let index_bytes = ForwardIndex::bytes_in(bytes.len() as u64) as usize;
    if let Some(pages) = bytes.get_mut(index_bytes..) {
        pages.chunks_mut(FORWARD_PAGE_BYTES).for_each(forward_page);
    }
}

/// A dump of the catalog: its end, when it is the last of the bytes.
pub fn backup(bytes: &mut [u8]) {
    const END_BYTES: usize = 1 + 8 + 32;
    if let Some(end) = bytes.len().checked_sub(END_BYTES) {
        let digest = *blake3::hash(&bytes[..end]).as_bytes();
        bytes[end + 9..].copy_from_slice(&digest);
    }
}

/// A whole segment, open or sealed: its header, its batches with their pieces, and
/// from the trailer backwards all of its footer.
pub fn segment(bytes: &mut [u8]) {
    segment_header(bytes);
    if let Ok(header) = SegmentHeader::decode(bytes) {
        batches(bytes, &header);
    }
    footer(bytes);
}

fn batches(bytes: &mut [u8], header: &SegmentHeader) {
    let mut at = HEADER_BYTES;
    while at + SECTOR <= bytes.len() {
        at += SECTOR * batch(bytes, at, header).unwrap_or(1);
    }
}

/// A batch at `at`, with the checksums of its pieces. Gives its sectors, if it is one.
fn batch(bytes: &mut [u8], at: usize, header: &SegmentHeader) -> Option<usize> {
    let sectors = BatchHeader::peek(&bytes[at..at + SECTOR], header.id).ok()?;
    let (begin, end) = (at, at + sectors * SECTOR);
    batch_header(bytes.get_mut(begin..end)?, header.salt);
    let batch = BatchHeader::decode(&bytes[begin..end], header.id, header.salt).ok()?;
    let mut crc_at = begin + 32 + 24 * batch.records.len();
    let mut payload = end;
    for record in &batch.records {
        let (len, piece) = match record.kind {
            Kind::Zero => (0, 1),
            Kind::Data => (record.len * SECTOR_BYTES, PIECE_SECTORS * SECTOR_BYTES),
            Kind::Node(_) => (record.len, record.len),
        };
        let all = bytes.get(payload..payload + len as usize)?;
        let crcs: Vec<u32> = all.chunks(piece as usize).map(crc32c).collect();
        for crc in crcs {
            put(bytes, crc_at, crc);
            crc_at += 4;
        }
        payload += (record.payload_sectors() * SECTOR_BYTES) as usize;
    }
    batch_header(&mut bytes[begin..end], header.salt);
    Some((payload - at) / SECTOR)
}

fn footer(bytes: &mut [u8]) {
    let Some(trailer_at) = bytes.len().checked_sub(TRAILER_BYTES) else { return };
    trailer(&mut bytes[trailer_at..]);
    let Ok(found) = Trailer::decode(&bytes[trailer_at..]) else { return };
    let Some(range) = range(found.directory_offset, found.directory_len.into(), trailer_at) else {
        return;
    };
    directory(&mut bytes[range.clone()]);
    if let Ok(directory) = Directory::decode(&bytes[range.clone()]) {
        sections(bytes, range.start, &directory);
    }
    let crc = crc32c(&bytes[range]);
    put(bytes, trailer_at + 12, crc);
    trailer(&mut bytes[trailer_at..]);
}

/// The last of the sections behind that of the slots.
const FORWARDING: usize = 3;

fn sections(bytes: &mut [u8], directory_at: usize, directory: &Directory) {
    if let Some(range) = range(directory.slots.offset, directory.slots.len, directory_at) {
        for page in range.step_by(SLOT_PAGE_BYTES) {
            slots(bytes, page);
        }
    }
    let rest: [Section; 4] =
        [directory.records, directory.fingerprints, directory.samples, directory.forwarding];
    for (index, section) in rest.iter().enumerate() {
        if let Some(mut range) = range(section.offset, section.len, directory_at) {
            if index == FORWARDING {
                forwarding(&mut bytes[range.clone()]);
                // The directory vouches for its index alone.
                let index_bytes = ForwardIndex::bytes_in(section.len).min(section.len);
                range.end = range.start + index_bytes as usize;
            }
            let crc = crc32c(&bytes[range]);
            // Behind the header's copy, the end, the body's length, 8 bytes, and the
            // sections before, of 20 bytes each.
            put(bytes, directory_at + HEADER_BYTES + 20 + 20 * (index + 1) + 16, crc);
        }
    }
}

/// A page of slots in a segment, with the checksum of what each slot has stored.
fn slots(bytes: &mut [u8], at: usize) {
    let end = at + SLOT_PAGE_BYTES;
    if end > bytes.len() {
        return;
    }
    slot_page(&mut bytes[at..end]);
    let number = u32_of(&bytes[at + 12..at + 16]);
    let Ok(page) = SlotPage::decode(&bytes[at..end], number) else { return };
    for (index, slot) in page.slots.iter().enumerate() {
        if let Some(range) = range(slot.offset.into(), slot.stored.into(), at) {
            let crc = crc32c(&bytes[range]);
            put(bytes, at + 16 + 16 * index + 12, crc);
        }
    }
    slot_page(&mut bytes[at..end]);
}

/// `len` bytes at `offset`, when they end before `end`.
fn range(offset: u64, len: u64, end: usize) -> Option<std::ops::Range<usize>> {
    let behind = offset.checked_add(len).filter(|behind| *behind <= end as u64)?;
    Some(offset as usize..behind as usize)
}

/// The id that a segment of these bytes has, and the store it says that it is of.
pub fn identity(bytes: &[u8]) -> (SegmentId, [u8; 16]) {
    match SegmentHeader::decode(bytes) {
        Ok(header) => (header.id, header.store),
        Err(_) => (SegmentId::MIN, [1; 16]),
    }
}

#[cfg(test)]
mod tests;
