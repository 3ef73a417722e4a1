//! What an edit puts where, in whole sectors.

use std::ops::{ControlFlow, Range};

use archipelago_model::{BLOCK_BYTES, Extent, Location, SECTOR_BYTES};

use crate::error::Error;
use crate::ingest::{CHUNK_BYTES, ColdWriter, Context};
use crate::map::{self, Layer, Nodes};

/// A range of sectors and what is put there.
pub(super) enum Piece {
    /// These bytes, from this sector on.
    Bytes { first: u64, bytes: Vec<u8> },
    /// What another map shows from its sector `from` on.
    Map { first: u64, end: u64, layers: Vec<Layer>, from: u64 },
    /// Zeros.
    Zeros { first: u64, end: u64 },
}

impl Piece {
    /// Where.
    pub(super) fn sectors(&self) -> Range<u64> {
        match self {
            Self::Bytes { first, bytes } => *first..*first + bytes.len() as u64 / SECTOR_BYTES,
            Self::Map { first, end, .. } | Self::Zeros { first, end } => *first..*end,
        }
    }

    /// Appends the extents that it names without storing anything. Whether these are no more
    /// than `max`: else some are missing.
    pub(super) fn named(
        &self,
        nodes: &Nodes,
        max: usize,
        out: &mut Vec<Extent>,
    ) -> Result<bool, Error> {
        let mut few = true;
        self.walk(nodes, &mut |extent| {
            few = out.len() < max;
            if few {
                out.push(extent);
            }
            Ok(if few { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(few)
    }

    /// Calls `found` with the extents that it names without storing anything.
    pub(super) fn visit(
        &self,
        nodes: &Nodes,
        found: &mut dyn FnMut(Extent) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.walk(nodes, &mut |extent| found(extent).map(ControlFlow::Continue))
    }

    fn walk(
        &self,
        nodes: &Nodes,
        found: &mut dyn FnMut(Extent) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let shift = |extent: Extent, from: u64, to: u64| {
            let start = to + (extent.start() - from);
            Extent::new(start, extent.len(), extent.location())
        };
        let mut moved = |extent: Extent, from: u64, to: u64| match shift(extent, from, to) {
            Some(extent) => found(extent),
            // Sizes were compared with what a map may have.
            None => Ok(ControlFlow::Break(())),
        };
        match self {
            Self::Bytes { .. } => {}
            Self::Map { first, end, layers, from } => {
                let range = *from..*from + (end - first);
                let _flow =
                    map::visit(nodes, layers, range, true, &mut |e| moved(e, *from, *first))?;
            }
            Self::Zeros { first, end } => {
                let _flow = map::visit(nodes, &[], *first..*end, true, &mut |e| moved(e, 0, 0))?;
            }
        }
        Ok(())
    }
}

/// Stores the bytes of a piece and tells where they are, ascending: blocks of the resource
/// in chunks, what is no whole block by itself, zeros nowhere.
pub(super) fn store(
    piece: &Piece,
    context: &Context,
    cold: &mut ColdWriter<'_>,
    found: &mut dyn FnMut(Extent),
) -> Result<(), Error> {
    let Piece::Bytes { first, bytes } = piece else { return Ok(()) };
    let mut at = first * SECTOR_BYTES;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (len, zero) = next_part(at, rest);
        let (part, behind) = rest.split_at(len);
        let location = if zero {
            Location::HOLE
        } else if at.is_multiple_of(BLOCK_BYTES) && (len as u64).is_multiple_of(BLOCK_BYTES) {
            let blocks = part.chunks_exact(BLOCK_BYTES as usize);
            let hashes: Vec<u128> = blocks.map(|block| context.fingerprint(block)).collect();
            cold.append_chunk(part, &hashes)?
        } else {
            cold.append_fragment(part)?
        };
        let (start, sectors) = (at / SECTOR_BYTES, len as u64 / SECTOR_BYTES);
        found(Extent::new(start, sectors, location).expect("sizes are limited"));
        (at, rest) = (at + len as u64, behind);
    }
    Ok(())
}

/// How many of the bytes at `at` are stored as one, and whether they are zeros.
fn next_part(at: u64, rest: &[u8]) -> (usize, bool) {
    let block = BLOCK_BYTES as usize;
    let to_block = (at.next_multiple_of(BLOCK_BYTES) - at) as usize;
    if to_block > 0 || rest.len() < block {
        let len = if to_block > 0 { to_block.min(rest.len()) } else { rest.len() };
        return (len, is_zero(&rest[..len]));
    }
    let zero = is_zero(&rest[..block]);
    let chunk = CHUNK_BYTES as u64;
    let room = ((at / chunk + 1) * chunk - at) as usize;
    let alike = rest.chunks_exact(block).take(room / block).take_while(|b| is_zero(b) == zero);
    (alike.count() * block, zero)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// What an edit has put somewhere, for the edits behind it.
pub(super) struct Recent(Piece);

impl From<Piece> for Recent {
    fn from(piece: Piece) -> Self {
        Self(piece)
    }
}

impl Recent {
    /// Whether it says something of a sector.
    pub(super) fn has(&self, sector: u64) -> bool {
        self.0.sectors().contains(&sector)
    }

    /// Reads a sector that it has.
    pub(super) fn read(&self, nodes: &Nodes, sector: u64, out: &mut [u8]) -> Result<(), Error> {
        match &self.0 {
            Piece::Bytes { first, bytes } => {
                let from = ((sector - first) * SECTOR_BYTES) as usize;
                out.copy_from_slice(&bytes[from..from + out.len()]);
                Ok(())
            }
            Piece::Map { first, layers, from, .. } => {
                map::read(nodes, layers, from + (sector - first), out)
            }
            Piece::Zeros { .. } => {
                out.fill(0);
                Ok(())
            }
        }
    }
}
