//! What has come from the source and has no place yet: a bounded stretch of
//! blocks that are not zero, and the zeros between them.

use std::collections::VecDeque;

use archipelago_model::{BLOCK_BYTES, Extent, Location, SECTOR_BYTES};

use super::{Piece, PieceError};

/// Blocks in a window: 4 MiB, so that some 16 of them are sampled and the list of
/// a segment, once loaded, serves many blocks.
pub(crate) const WINDOW_BLOCKS: usize = 1024;
/// Stretches of zeros that wait for the blocks before them. Only changes to an
/// existing map have any; each is at least a sector.
const HOLES_MAX: usize = 1024;

const BLOCK: usize = BLOCK_BYTES as usize;

/// Checks that pieces come in order and stay inside.
pub(crate) struct Order {
    size: u64,
    /// The end of the last piece.
    end: u64,
}

impl Order {
    pub(crate) const fn new(size: u64) -> Self {
        Self { size, end: 0 }
    }

    /// Takes note of a piece, or says what is wrong with it.
    pub(crate) fn check(&mut self, piece: &Piece) -> Result<(), PieceError> {
        let (offset, len, grain) = match piece {
            Piece::Data { offset, bytes } => (*offset, bytes.len() as u64, BLOCK_BYTES),
            Piece::Zero { offset, len } => (*offset, *len, SECTOR_BYTES),
        };
        if offset < self.end {
            return Err(PieceError::Descending { offset, end: self.end });
        }
        let Some(end) = offset.checked_add(len).filter(|&end| end <= self.size) else {
            return Err(PieceError::Beyond { offset, len, size: self.size });
        };
        if !offset.is_multiple_of(grain) || (!len.is_multiple_of(grain) && end != self.size) {
            return Err(PieceError::Unaligned { offset, len, grain });
        }
        self.end = end;
        Ok(())
    }
}

/// Blocks in the order of the resource, without those that are zero.
pub(crate) struct Window {
    key: [u8; 32],
    /// The blocks, one behind the other.
    bytes: Vec<u8>,
    /// Their numbers in the resource.
    blocks: Vec<u64>,
    /// Their fingerprints.
    hashes: Vec<u128>,
    /// Zeros that must be said: (first sector, sectors). `None`: zeros need not be
    /// said, because nothing lies below.
    holes: Option<VecDeque<(u64, u64)>>,
    zero_bytes: u64,
}

impl Window {
    /// Empty. `say_zeros`: something lies below that zeros must hide.
    pub(crate) fn new(key: [u8; 32], say_zeros: bool) -> Self {
        Self {
            key,
            bytes: Vec::with_capacity(WINDOW_BLOCKS * BLOCK),
            blocks: Vec::with_capacity(WINDOW_BLOCKS),
            hashes: Vec::with_capacity(WINDOW_BLOCKS),
            holes: say_zeros.then(VecDeque::new),
            zero_bytes: 0,
        }
    }

    /// Adds one block, or what there is of the last.
    pub(crate) fn push_block(&mut self, number: u64, data: &[u8]) {
        if is_zero(data) {
            self.push_zero(number * BLOCK_BYTES, data.len() as u64);
            return;
        }
        let from = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.bytes.resize(from + BLOCK, 0);
        self.blocks.push(number);
        self.hashes.push(fingerprint(&self.key, &self.bytes[from..]));
    }

    /// Adds zeros; the last sector of the resource may be a part.
    pub(crate) fn push_zero(&mut self, offset: u64, len: u64) {
        self.zero_bytes += len;
        let (first, end) = (offset / SECTOR_BYTES, (offset + len).div_ceil(SECTOR_BYTES));
        let Some(holes) = self.holes.as_mut().filter(|_| first < end) else { return };
        match holes.back_mut() {
            Some((start, sectors)) if *start + *sectors == first => *sectors += end - first,
            _ => holes.push_back((first, end - first)),
        }
    }

    /// The next zeros that begin before sector `before`, as an extent.
    pub(crate) fn next_hole(&mut self, before: u64) -> Option<Extent> {
        let holes = self.holes.as_mut()?;
        let (start, sectors) = *holes.front().filter(|&&(start, _)| start < before)?;
        let len = sectors.min(Extent::SECTORS_MAX);
        holes.pop_front();
        if sectors > len {
            holes.push_front((start + len, sectors - len));
        }
        Extent::new(start, len, Location::HOLE)
    }

    /// No more may be added.
    pub(crate) fn is_full(&self) -> bool {
        self.blocks.len() >= WINDOW_BLOCKS || self.has_many_holes()
    }

    /// So many zeros wait that all blocks must find their places now.
    pub(crate) fn has_many_holes(&self) -> bool {
        self.holes.as_ref().is_some_and(|holes| holes.len() >= HOLES_MAX)
    }

    /// The numbers of the blocks in the resource.
    pub(crate) fn blocks(&self) -> &[u64] {
        &self.blocks
    }

    /// The fingerprints of the blocks.
    pub(crate) fn hashes(&self) -> &[u128] {
        &self.hashes
    }

    /// The bytes of blocks `from..to` of the window.
    pub(crate) fn bytes(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[from * BLOCK..to * BLOCK]
    }

    /// Zeros that came in, said or found.
    pub(crate) const fn zero_bytes(&self) -> u64 {
        self.zero_bytes
    }

    /// Forgets the first blocks: they have their places.
    pub(crate) fn drop_first(&mut self, count: usize) {
        self.bytes.drain(..count * BLOCK);
        self.blocks.drain(..count);
        self.hashes.drain(..count);
    }
}

/// The first 128 bits of the keyed BLAKE3 of a block.
pub(crate) fn fingerprint(key: &[u8; 32], block: &[u8]) -> u128 {
    let hash = blake3::keyed_hash(key, block);
    let (first, _) = hash.as_bytes().split_at(16);
    u128::from_le_bytes(first.try_into().expect("16 of 32 bytes"))
}

/// Whether all bytes are zero. By pieces, so that the compiler makes each a few
/// vector instructions and the first piece of other data ends it.
fn is_zero(data: &[u8]) -> bool {
    data.chunks(128).all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests;
