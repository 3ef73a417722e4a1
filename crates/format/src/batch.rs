//! A batch of the log: what one append to a hot segment adds.
//!
//! ```text
//! batch  = header (whole sectors) | payload (whole sectors)
//! header = magic u32 | sectors u16 | records u16 | segment u64 | position u32
//!        | payload_sectors u32 | synced u32 | crc u32
//!        | records x 24 bytes | pieces x crc u32 | zeros up to a sector
//! record = volume u64 | start_len u64 | epoch u32 | kind u8 | codec u8 | 0 u16
//! ```
//! Why this order: the fixed part has the segment id and the position, so that
//! bytes of an older file or a misplaced write can never pass for a batch here;
//! the header's checksum covers itself and, through the piece checksums, the
//! payload, and is mixed (xor) with the segment's salt, which no guest knows.
//! `synced` tells how far (in sectors of the file) the writer knew the
//! segment to be durable: damage before that mark is damage, damage after the
//! greatest mark is the torn end of the log.

use archipelago_model::{Epoch, Location, SECTOR_BYTES, SegmentId, VolumeId};

use crate::bytes::{Cursor, FormatError, crc32c, verify};
use crate::sectors_of;
use crate::segment::Codec;

const MAGIC: u32 = 0x5442_4141; // "AABT"
const FIXED_BYTES: usize = 32;
const RECORD_BYTES: usize = 24;
const CRC_AT: usize = 28;
const SECTOR: usize = SECTOR_BYTES as usize;

/// Guest data is checked by pieces of this many sectors (4 KiB), so that a small
/// read of a large write verifies only what it takes.
pub const PIECE_SECTORS: u64 = 8;
/// A batch has at most this many records; more would not fit the header's count.
pub const RECORDS_MAX: usize = 4096;
/// A header has at most this many sectors: all records, and a piece for each of 32 MiB.
pub const HEADER_SECTORS_MAX: usize =
    (FIXED_BYTES + RECORDS_MAX * RECORD_BYTES + (2 * 8192 + RECORDS_MAX) * 4).div_ceil(SECTOR);

/// What a record does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Sectors of a volume, raw, in the payload.
    Data,
    /// Sectors of a volume become zeros. Takes one position and no payload.
    Zero,
    /// A map node. `len` counts bytes; it belongs to no volume.
    Node(Codec),
}

/// One change, as the log has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose sectors; 0 for a node.
    pub volume: VolumeId,
    /// The first sector; 0 for a node.
    pub start: u64,
    /// Sectors, or bytes for a node. At most 2^24 - 1.
    pub len: u64,
    /// The writer's lease term.
    pub epoch: Epoch,
    /// What it does.
    pub kind: Kind,
}

impl Record {
    /// Positions of the segment's raw space that the record takes.
    pub const fn positions(&self) -> u64 {
        match self.kind {
            Kind::Data => self.len,
            Kind::Zero => 1,
            Kind::Node(_) => sectors_of(self.len),
        }
    }

    /// Sectors of payload.
    pub const fn payload_sectors(&self) -> u64 {
        match self.kind {
            Kind::Data => self.len,
            Kind::Zero => 0,
            Kind::Node(_) => sectors_of(self.len),
        }
    }

    /// Pieces with a checksum each.
    pub const fn pieces(&self) -> u64 {
        match self.kind {
            Kind::Data => self.len.div_ceil(PIECE_SECTORS),
            Kind::Zero => 0,
            Kind::Node(_) => 1,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, codec) = match self.kind {
            Kind::Data => (1, 0),
            Kind::Zero => (2, 0),
            Kind::Node(codec) => (3, codec as u8),
        };
        out.extend_from_slice(&self.volume.get().to_le_bytes());
        out.extend_from_slice(&(self.start << 24 | self.len).to_le_bytes());
        out.extend_from_slice(&self.epoch.get().to_le_bytes());
        out.extend_from_slice(&[kind, codec, 0, 0]);
    }

    pub(crate) fn decode(c: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let volume = VolumeId::new(c.u64()?);
        let start_len = c.u64()?;
        let epoch = Epoch::new(c.u32()?);
        let (kind, codec) = (c.u8()?, c.u8()?);
        c.u16()?;
        let kind = match kind {
            1 => Kind::Data,
            2 => Kind::Zero,
            3 => Kind::Node(Codec::from_u8(codec).ok_or(c.bad("record codec"))?),
            _ => return Err(c.bad("record kind")),
        };
        let (start, len) = (start_len >> 24, start_len & 0xff_ffff);
        if len == 0 {
            return Err(c.bad("record length"));
        }
        Ok(Self { volume, start, len, epoch, kind })
    }
}

/// A batch's header, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Where its first record is.
    pub location: Location,
    /// Sectors of the file known to be durable when it was written.
    pub synced: u32,
    /// In the order of the payload.
    pub records: Vec<Record>,
    /// One per piece, in the order of the payload.
    pub crcs: Vec<u32>,
    /// Sectors of the header itself.
    pub sectors: u64,
}

impl Header {
    /// Sectors of payload behind the header.
    pub fn payload_sectors(&self) -> u64 {
        self.records.iter().map(Record::payload_sectors).sum()
    }

    /// Positions that the batch takes.
    pub fn positions(&self) -> u64 {
        self.records.iter().map(Record::positions).sum()
    }

    /// Appends the header's sectors to `out` (which the caller reuses).
    ///
    /// There must be at most [`RECORDS_MAX`] records and one checksum per piece.
    pub fn encode_into(
        out: &mut Vec<u8>,
        location: Location,
        salt: u32,
        synced: u32,
        records: &[Record],
        crcs: &[u32],
    ) {
        let begin = out.len();
        let sectors = Self::sectors_for(records.len(), crcs.len());
        let payload: u64 = records.iter().map(Record::payload_sectors).sum();
        let segment = location.segment().map_or(0, SegmentId::get);
        out.reserve(sectors * SECTOR);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&(sectors as u16).to_le_bytes());
        out.extend_from_slice(&(records.len() as u16).to_le_bytes());
        out.extend_from_slice(&segment.to_le_bytes());
        out.extend_from_slice(&location.position().to_le_bytes());
        out.extend_from_slice(&(payload as u32).to_le_bytes());
        out.extend_from_slice(&synced.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for record in records {
            record.encode(out);
        }
        for crc in crcs {
            out.extend_from_slice(&crc.to_le_bytes());
        }
        out.resize(begin + sectors * SECTOR, 0);
        let crc = crc32c(&out[begin..]) ^ salt;
        out[begin + CRC_AT..begin + FIXED_BYTES].copy_from_slice(&crc.to_le_bytes());
    }

    /// Sectors of a header with so many records and pieces.
    pub const fn sectors_for(records: usize, pieces: usize) -> usize {
        (FIXED_BYTES + records * RECORD_BYTES + pieces * 4).div_ceil(SECTOR)
    }

    /// Sectors of the header that begins with this sector, if one does.
    ///
    /// A plausible answer only: [`Self::decode`] verifies.
    pub fn peek(sector: &[u8], segment: SegmentId) -> Result<usize, FormatError> {
        let mut c = Cursor::new("batch", sector);
        if c.u32()? != MAGIC {
            return Err(FormatError::Magic { what: "batch" });
        }
        let sectors = usize::from(c.u16()?);
        c.u16()?;
        if c.u64()? != segment.get() {
            return Err(c.bad("segment"));
        }
        if sectors == 0 || sectors > HEADER_SECTORS_MAX {
            return Err(c.bad("sectors"));
        }
        Ok(sectors)
    }

    /// Decodes and verifies a header of `segment`, given exactly its sectors.
    pub fn decode(bytes: &[u8], segment: SegmentId, salt: u32) -> Result<Self, FormatError> {
        let sectors = Self::peek(bytes, segment)?;
        if bytes.len() != sectors * SECTOR {
            return Err(FormatError::Short {
                what: "batch",
                needed: (sectors * SECTOR) as u64,
                got: bytes.len() as u64,
            });
        }
        let mut c = Cursor::new("batch", bytes);
        c.take(6)?;
        let count = usize::from(c.u16()?);
        c.u64()?;
        let position = c.u32()?;
        let payload = u64::from(c.u32()?);
        let synced = c.u32()?;
        let crc = c.u32()?;
        let mut zeroed = bytes.to_vec();
        zeroed[CRC_AT..FIXED_BYTES].fill(0);
        verify("batch", &zeroed, crc ^ salt)?;
        let location = Location::new(segment, position).ok_or(c.bad("position"))?;
        let records = (0..count).map(|_| Record::decode(&mut c)).collect::<Result<Vec<_>, _>>()?;
        let pieces: u64 = records.iter().map(Record::pieces).sum();
        let have = (sectors * SECTOR - FIXED_BYTES - count * RECORD_BYTES) as u64 / 4;
        if pieces > have {
            return Err(c.bad("pieces"));
        }
        let crcs = (0..pieces).map(|_| c.u32()).collect::<Result<Vec<_>, _>>()?;
        let header = Self { location, synced, records, crcs, sectors: sectors as u64 };
        let end = u64::from(position) + header.positions();
        if header.payload_sectors() != payload || end > u64::from(Location::POSITION_END) {
            return Err(c.bad("payload"));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests;
