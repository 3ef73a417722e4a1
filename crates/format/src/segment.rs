//! A segment: header, body, and when it is sealed, the footer.
//!
//! ```text
//! segment = header (512 bytes) | body | footer
//! body    = batches (hot) or stored chunks, packed (cold)
//! footer  = slot pages x 4096 | records | fingerprints | samples | forwarding | directory | trailer
//! trailer = directory offset u64 | directory length u32 | directory crc u32
//!         | 0 u32 | crc of the trailer u32 | magic u64                       (32 bytes)
//! ```
//! Why the footer is in this order: what is read most often is a single slot
//! page, found by arithmetic; the directory is next to the trailer, so that one
//! read of the last 4 KiB opens nearly every segment; samples are apart from the
//! fingerprints, so that rebuilding the index reads a sixty-fourth of them.

use archipelago_model::{Location, SegmentId};

use crate::batch::Record;
use crate::bytes::{Cursor, FormatError, crc32c, verify};
use crate::forwarding::{Forward, encode_forwarding};

/// Bytes of the header at the front.
pub const HEADER_BYTES: usize = 512;
/// Bytes of one slot page.
pub const SLOT_PAGE_BYTES: usize = 4096;
/// Slots in one page.
pub const SLOTS_PER_PAGE: usize = (SLOT_PAGE_BYTES - 16) / Slot::BYTES;
/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 32;
/// Bytes of a record in the footer of a hot segment.
pub const FOOTER_RECORD_BYTES: usize = 28;
/// Bytes of a fingerprint in a footer.
pub const FINGERPRINT_BYTES: usize = 20;

const HEADER_MAGIC: &[u8; 8] = b"ARCHSEG1";
const TRAILER_MAGIC: &[u8; 8] = b"ARCHSEAL";
const VERSION: u32 = 1;

/// How a slot's bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// One LZ4 block.
    Lz4 = 2,
    /// Nothing is stored: the position only gives a zeroing its place in the log.
    Zero = 3,
}

impl Codec {
    /// From the persisted form.
    pub const fn from_u8(raw: u8) -> Option<Self> {
        match raw {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            2 => Some(Self::Lz4),
            3 => Some(Self::Zero),
            _ => None,
        }
    }
}

/// What wrote a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SegmentKind {
    /// The log: batches of guest writes and map nodes.
    Hot = 1,
    /// Ingest or compaction: dense chunks.
    Cold = 2,
    /// A dump of the catalog, for the day it is lost.
    Backup = 3,
}

impl SegmentKind {
    const fn from_u8(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Hot),
            2 => Some(Self::Cold),
            3 => Some(Self::Backup),
            _ => None,
        }
    }
}

/// The header: what a segment is, before anything else is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Its id, also in its name.
    pub id: SegmentId,
    /// What wrote it.
    pub kind: SegmentKind,
    /// The store it belongs to.
    pub store: [u8; 16],
    /// When it was begun, in ms since 1970.
    pub created_ms: u64,
    /// Random. Mixed into the checksum of every batch, so that no guest can write
    /// a block that recovery would take for a batch.
    pub salt: u32,
}

impl SegmentHeader {
    /// The bytes at the front of the segment.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(HEADER_MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12] = self.kind as u8;
        out[16..24].copy_from_slice(&self.id.get().to_le_bytes());
        out[24..40].copy_from_slice(&self.store);
        out[40..48].copy_from_slice(&self.created_ms.to_le_bytes());
        out[48..52].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c(&out[..HEADER_BYTES - 4]);
        out[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes and verifies.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let what = "segment header";
        let mut c = Cursor::new(what, bytes);
        if c.take(8)? != HEADER_MAGIC {
            return Err(FormatError::Magic { what });
        }
        let version = c.u32()?;
        let mut whole = Cursor::new(what, bytes);
        let body = whole.take(HEADER_BYTES - 4)?;
        verify(what, body, whole.u32()?)?;
        if version != VERSION {
            return Err(FormatError::Version { what, got: version, known: VERSION });
        }
        let kind = SegmentKind::from_u8(c.u8()?).ok_or(c.bad("kind"))?;
        c.take(3)?;
        let id = SegmentId::new(c.u64()?).ok_or(c.bad("id"))?;
        Ok(Self { id, kind, store: c.array()?, created_ms: c.u64()?, salt: c.u32()? })
    }
}

/// A stored chunk or piece: 16 bytes.
///
/// ```text
/// position u32 | file offset u32 (bytes) | stored length u24, codec u8 | crc u32
/// ```
/// Its raw length is the next slot's position less its own, in sectors. The
/// checksum is that of the stored bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Where its raw bytes begin, in sectors of the segment's raw space.
    pub position: u32,
    /// Where its stored bytes begin in the file.
    pub offset: u32,
    /// Stored bytes, below 2^24.
    pub stored: u32,
    /// How they are stored.
    pub codec: Codec,
    /// CRC-32C of the stored bytes.
    pub crc: u32,
}

impl Slot {
    /// Bytes of a slot.
    pub const BYTES: usize = 16;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&(self.stored | (self.codec as u32) << 24).to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    fn decode(c: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let (position, offset, word) = (c.u32()?, c.u32()?, c.u32()?);
        let codec = Codec::from_u8((word >> 24) as u8).ok_or(c.bad("codec"))?;
        Ok(Self { position, offset, stored: word & 0xff_ffff, codec, crc: c.u32()? })
    }
}

/// One page of slots: crc u32, count u32, end position u32, page number u32,
/// then the slots. The end position is that of the first slot of the next page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotPage {
    /// In the order of their positions; at least one.
    pub slots: Vec<Slot>,
    /// The position behind the last slot.
    pub end: u32,
}

impl SlotPage {
    /// The page's 4096 bytes, for [`SLOTS_PER_PAGE`] slots at most.
    pub fn encode(slots: &[Slot], end: u32, number: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(SLOT_PAGE_BYTES);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(slots.len() as u32).to_le_bytes());
        out.extend_from_slice(&end.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        for slot in slots {
            slot.encode(&mut out);
        }
        out.resize(SLOT_PAGE_BYTES, 0);
        let crc = crc32c(&out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes and verifies page `number`.
    pub fn decode(bytes: &[u8], number: u32) -> Result<Self, FormatError> {
        let mut c = Cursor::new("slot page", bytes);
        let crc = c.u32()?;
        let mut whole = Cursor::new("slot page", bytes);
        verify("slot page", &whole.take(SLOT_PAGE_BYTES)?[4..], crc)?;
        let (count, end) = (c.u32()? as usize, c.u32()?);
        if c.u32()? != number {
            return Err(c.bad("number"));
        }
        if count == 0 || count > SLOTS_PER_PAGE {
            return Err(c.bad("count"));
        }
        let slots = (0..count).map(|_| Slot::decode(&mut c)).collect::<Result<Vec<_>, _>>()?;
        let rising = slots.windows(2).all(|w| w[0].position < w[1].position);
        if !rising || slots[count - 1].position >= end {
            return Err(c.bad("positions"));
        }
        Ok(Self { slots, end })
    }

    /// Where the entry of slot `n` is in a page, in bytes.
    pub const fn slot_offset(n: usize) -> u64 {
        (16 + n * Slot::BYTES) as u64
    }

    /// The slot that holds `position`, and the position behind it.
    pub fn find(&self, position: u32) -> Option<(&Slot, u32)> {
        let after = self.slots.partition_point(|s| s.position <= position);
        let slot = self.slots.get(after.checked_sub(1)?)?;
        let end = self.slots.get(after).map_or(self.end, |next| next.position);
        (position < end).then_some((slot, end))
    }
}

/// A part of the footer: offset u64, length u64, crc u32.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Section {
    /// Bytes from the front of the segment.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// CRC-32C of the whole section; unused for slot pages, which have their own, as
    /// the pages of a forwarding table have.
    pub crc: u32,
}

/// The directory: everything about a sealed segment but the slots themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// As in the header.
    pub header: SegmentHeader,
    /// The position behind the last slot.
    pub end: u32,
    /// Bytes of the body, header included.
    pub body_bytes: u64,
    /// Slot pages.
    pub slots: Section,
    /// Records of a hot segment, with their positions.
    pub records: Section,
    /// Fingerprints of a cold segment's blocks.
    pub fingerprints: Section,
    /// Every fingerprint that the sampled index keeps.
    pub samples: Section,
    /// Where a compaction put what it moved: see [`crate::forwarding`]. In the last
    /// segment that the compaction wrote; empty in others. The checksum is that of
    /// its index.
    pub forwarding: Section,
    /// The position of the first slot of each page.
    pub page_starts: Vec<u32>,
}

const SECTIONS: usize = 5;
const DIRECTORY_FIXED: usize = 4 + 8 + 8 + SECTIONS * 20 + 4;

impl Directory {
    /// Header copy, fields, page starts.
    pub fn encode(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(HEADER_BYTES + DIRECTORY_FIXED + 4 * self.page_starts.len());
        out.extend_from_slice(&self.header.encode());
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&self.body_bytes.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let sections = [self.slots, self.records, self.fingerprints, self.samples, self.forwarding];
        for section in sections {
            out.extend_from_slice(&section.offset.to_le_bytes());
            out.extend_from_slice(&section.len.to_le_bytes());
            out.extend_from_slice(&section.crc.to_le_bytes());
        }
        out.extend_from_slice(&(self.page_starts.len() as u32).to_le_bytes());
        for start in &self.page_starts {
            out.extend_from_slice(&start.to_le_bytes());
        }
        out
    }

    /// Decodes a directory whose checksum the trailer gave and the caller verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut c = Cursor::new("segment directory", bytes);
        let header = SegmentHeader::decode(c.take(HEADER_BYTES)?)?;
        let end = c.u32()?;
        let body_bytes = c.u64()?;
        c.u64()?;
        let mut section = || -> Result<Section, FormatError> {
            Ok(Section { offset: c.u64()?, len: c.u64()?, crc: c.u32()? })
        };
        let (slots, records) = (section()?, section()?);
        let (fingerprints, samples, forwarding) = (section()?, section()?, section()?);
        let pages = c.u32()? as usize;
        if (pages * SLOT_PAGE_BYTES) as u64 != slots.len || end > Location::POSITION_END {
            return Err(c.bad("slot pages"));
        }
        let page_starts = c
            .take(pages.checked_mul(4).ok_or(c.bad("slot pages"))?)?
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        Ok(Self {
            header,
            end,
            body_bytes,
            slots,
            records,
            fingerprints,
            samples,
            forwarding,
            page_starts,
        })
    }

    /// Bytes of the whole segment: the directory, and so the trailer, come last.
    pub fn file_bytes(&self) -> u64 {
        let sections = [self.slots, self.records, self.fingerprints, self.samples, self.forwarding];
        let end = sections.iter().map(|s| s.offset.saturating_add(s.len)).max().unwrap_or(0);
        let directory = HEADER_BYTES + DIRECTORY_FIXED + 4 * self.page_starts.len();
        end.max(self.body_bytes).saturating_add((directory + TRAILER_BYTES) as u64)
    }

    /// The page that holds `position`, when any does.
    pub fn page_of(&self, position: u32) -> Option<u32> {
        if position >= self.end {
            return None;
        }
        let after = self.page_starts.partition_point(|&start| start <= position);
        after.checked_sub(1).map(|page| page as u32)
    }
}

/// The last 32 bytes of a sealed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    /// Where the directory begins.
    pub directory_offset: u64,
    /// Its bytes.
    pub directory_len: u32,
    /// Its checksum.
    pub directory_crc: u32,
}

impl Trailer {
    /// The bytes at the end of the segment.
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut out = [0; TRAILER_BYTES];
        out[..8].copy_from_slice(&self.directory_offset.to_le_bytes());
        out[8..12].copy_from_slice(&self.directory_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.directory_crc.to_le_bytes());
        let crc = crc32c(&out[..20]);
        out[20..24].copy_from_slice(&crc.to_le_bytes());
        out[24..].copy_from_slice(TRAILER_MAGIC);
        out
    }

    /// Decodes and verifies. A segment that was never sealed gives `Magic`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let what = "segment trailer";
        let mut c = Cursor::new(what, bytes);
        let body = c.take(20)?;
        let crc = c.u32()?;
        if c.take(8)? != TRAILER_MAGIC {
            return Err(FormatError::Magic { what });
        }
        verify(what, body, crc)?;
        let mut c = Cursor::new(what, body);
        Ok(Self { directory_offset: c.u64()?, directory_len: c.u32()?, directory_crc: c.u32()? })
    }
}

/// A record of a hot segment's footer: position u32, then as in a batch.
pub fn encode_footer_record(out: &mut Vec<u8>, position: u32, record: &Record) {
    out.extend_from_slice(&position.to_le_bytes());
    record.encode(out);
}

/// The records of a hot segment's footer, from a section already verified.
pub fn decode_footer_records(section: &[u8]) -> Result<Vec<(u32, Record)>, FormatError> {
    section
        .chunks(FOOTER_RECORD_BYTES)
        .map(|chunk| {
            let mut c = Cursor::new("footer record", chunk);
            Ok((c.u32()?, Record::decode(&mut c)?))
        })
        .collect()
}

/// A block's keyed fingerprint and where the block begins: 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    /// The first 128 bits of the keyed BLAKE3 of the block's 4096 bytes.
    pub hash: u128,
    /// Where the block begins in the segment's raw space.
    pub position: u32,
}

/// A fingerprint goes to the samples when its lowest bits are zero: one in 64.
pub const SAMPLE_MASK: u128 = 63;

impl Fingerprint {
    /// Whether the sampled index keeps it.
    pub const fn sampled(&self) -> bool {
        self.hash & SAMPLE_MASK == 0
    }

    /// Appends the 20 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
    }

    /// The fingerprints of a section already verified.
    pub fn decode_all(section: &[u8]) -> Result<Vec<Self>, FormatError> {
        section
            .chunks(FINGERPRINT_BYTES)
            .map(|chunk| {
                let mut c = Cursor::new("fingerprint", chunk);
                Ok(Self { hash: u128::from_le_bytes(c.array()?), position: c.u32()? })
            })
            .collect()
    }
}

/// What a footer is made of.
pub struct FooterParts<'a> {
    /// As at the front.
    pub header: SegmentHeader,
    /// Bytes of the body, header included; the footer begins there.
    pub body_bytes: u64,
    /// All slots, in order; their positions rise.
    pub slots: &'a [Slot],
    /// The position behind the last slot.
    pub end: u32,
    /// [`encode_footer_record`]s of a hot segment.
    pub records: &'a [u8],
    /// Of a cold segment.
    pub fingerprints: &'a [Fingerprint],
    /// Rising by their old locations; of the last segment of a compaction.
    pub forwarding: &'a [Forward],
}

/// The whole footer, to be written at `body_bytes`, and its directory.
pub fn encode_footer(parts: &FooterParts<'_>) -> (Vec<u8>, Directory) {
    let mut out = Vec::new();
    let mut page_starts = Vec::new();
    let mut pages = parts.slots.chunks(SLOTS_PER_PAGE).peekable();
    while let Some(page) = pages.next() {
        let end = pages.peek().map_or(parts.end, |next| next[0].position);
        page_starts.push(page[0].position);
        out.extend_from_slice(&SlotPage::encode(page, end, page_starts.len() as u32 - 1));
    }
    let slots = Section { offset: parts.body_bytes, len: out.len() as u64, crc: 0 };
    let section = |out: &mut Vec<u8>, bytes: &[u8]| {
        let offset = parts.body_bytes + out.len() as u64;
        out.extend_from_slice(bytes);
        Section { offset, len: bytes.len() as u64, crc: crc32c(bytes) }
    };
    let mut all = Vec::with_capacity(parts.fingerprints.len() * FINGERPRINT_BYTES);
    let mut sampled = Vec::new();
    for fingerprint in parts.fingerprints {
        fingerprint.encode(&mut all);
        if fingerprint.sampled() {
            fingerprint.encode(&mut sampled);
        }
    }
    let records = section(&mut out, parts.records);
    let fingerprints = section(&mut out, &all);
    let samples = section(&mut out, &sampled);
    let (table, index_bytes) = encode_forwarding(parts.forwarding);
    let forwarding = Section { crc: crc32c(&table[..index_bytes]), ..section(&mut out, &table) };
    let directory = Directory {
        header: parts.header,
        end: parts.end,
        body_bytes: parts.body_bytes,
        slots,
        records,
        fingerprints,
        samples,
        forwarding,
        page_starts,
    };
    let encoded = directory.encode();
    let trailer = Trailer {
        directory_offset: parts.body_bytes + out.len() as u64,
        directory_len: encoded.len() as u32,
        directory_crc: crc32c(&encoded),
    };
    out.extend_from_slice(&encoded);
    out.extend_from_slice(&trailer.encode());
    (out, directory)
}

#[cfg(test)]
mod tests;
