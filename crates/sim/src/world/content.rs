//! What sectors hold: stamps.
//!
//! Every sector is full of one number. 0 is zeros; small ones are from a library
//! that all share, so that there are duplicates to find; every other one is of one
//! range of one operation, so that a sector tells who wrote it.

use archipelago_format::stream::{Header, Writer};

use crate::Dice;

/// Bytes of a sector.
pub(super) const SECTOR: usize = 512;

/// Sectors of a block, the grain of streams.
pub(super) const BLOCK_SECTORS: u64 = 8;

/// Blocks of the library.
const LIBRARY_BLOCKS: u64 = 40;

/// Operations count from here, so that no stamp of one is in the library.
pub(super) const FIRST_OPERATION: u64 = 1 << 8;

/// Bits of a stamp below the number of the operation.
const PART_BITS: u32 = 8;

/// What a sector is full of.
pub(super) type Stamp = u64;

const _: () = assert!(LIBRARY_BLOCKS * BLOCK_SECTORS < FIRST_OPERATION << PART_BITS);

/// The stamp of one range of an operation.
pub(super) fn stamp(operation: u64, part: u64) -> Stamp {
    operation << PART_BITS | part
}

/// Bytes of sectors.
pub(super) fn bytes_of(stamps: &[Stamp]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stamps.len() * SECTOR);
    for stamp in stamps {
        let word = stamp.to_le_bytes();
        for _ in 0..SECTOR / word.len() {
            out.extend_from_slice(&word);
        }
    }
    out
}

/// What a sector is full of; `None` when it is torn.
pub(super) fn stamp_of(sector: &[u8]) -> Option<Stamp> {
    let (first, rest) = sector.split_first_chunk::<8>()?;
    let all = rest.chunks(8).all(|word| word == first);
    all.then(|| Stamp::from_le_bytes(*first))
}

/// Content for an image or a file: holes, blocks of its own, stretches of the library.
pub(super) fn compose(dice: &mut Dice, operation: u64, blocks: u64) -> Vec<Stamp> {
    let mut out = Vec::with_capacity((blocks * BLOCK_SECTORS) as usize);
    let mut part = 0;
    while (out.len() as u64) < blocks * BLOCK_SECTORS {
        let left = blocks - out.len() as u64 / BLOCK_SECTORS;
        let run = 1 + dice.below(left.min(20));
        match dice.below(4) {
            0 => out.extend((0..run * BLOCK_SECTORS).map(|_| 0)),
            1 => {
                out.extend((0..run * BLOCK_SECTORS).map(|_| stamp(operation, part)));
                part += 1;
            }
            _ => {
                let start = dice.below(LIBRARY_BLOCKS) * BLOCK_SECTORS;
                let library = (0..run * BLOCK_SECTORS)
                    .map(|sector| 1 + (start + sector) % (LIBRARY_BLOCKS * BLOCK_SECTORS));
                out.extend(library);
            }
        }
    }
    out
}

/// A full stream of this content, `bytes` long; holes are left out.
pub(super) fn stream(content: &[Stamp], bytes: u64) -> std::io::Result<Vec<u8>> {
    let header = Header { size: bytes, base: None, identity: None };
    let mut writer = Writer::new(Vec::new(), &header)?;
    let block_bytes = BLOCK_SECTORS * SECTOR as u64;
    for (at, block) in (0u64..).step_by(block_bytes as usize).zip(content.chunks(8)) {
        if at < bytes && block.iter().any(|stamp| *stamp != 0) {
            let mut data = bytes_of(block);
            data.truncate((bytes - at).min(block_bytes) as usize);
            writer.data(at, &data)?;
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
