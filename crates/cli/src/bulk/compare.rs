//! Where a local file and a version in the store differ.

use std::ops::Range;

use archipelago_api::{HASHED_AT_ONCE_MAX, HASHED_BLOCK_BYTES, RANGES_MAX};

use super::hashes::of_grain;
use super::local::Local;
use super::remote::Remote;
use crate::client::Client;
use crate::failure::Result;

/// Pieces that are compared first, in bytes: 64 of a block, whose hashes are 512 bytes.
const COARSE: u64 = 64 << 10;
/// Pieces at the ends of what differs then.
const FINE: u64 = 4 << 10;
/// Blocks that are compared together.
const BLOCKS_MAX: usize = (HASHED_AT_ONCE_MAX / HASHED_BLOCK_BYTES) as usize;

/// Two files of which `size` bytes are wanted.
pub struct Pair<'a> {
    pub local: &'a Local,
    pub remote: &'a Remote,
    pub client: &'a Client,
    /// How long the result is: as one of them.
    pub size: u64,
}

impl Pair<'_> {
    /// The ranges of `blocks` (their places, ascending) in which they differ: of grains of 4 KiB,
    /// of larger ones where all of a larger one may.
    pub fn differing(&self, blocks: &[u64]) -> Result<Vec<Range<u64>>> {
        let mut out = Vec::new();
        for blocks in blocks.chunks(BLOCKS_MAX) {
            let mut wanted = Vec::new();
            for block in blocks {
                let start = block * HASHED_BLOCK_BYTES;
                add(&mut wanted, start..(start + HASHED_BLOCK_BYTES).min(self.size));
            }
            let coarse = self.level(&wanted, COARSE)?;
            for range in self.narrowed(&coarse)? {
                add(&mut out, range);
            }
        }
        Ok(out)
    }

    /// Up to where there are grains to compare.
    fn common(&self, grain: u64) -> u64 {
        let (one, other) = (self.local.len(), self.remote.size);
        if one == other { one } else { one.min(other) / grain * grain }
    }

    /// What differs in `ranges`, by grains of `grain`.
    fn level(&self, ranges: &[Range<u64>], grain: u64) -> Result<Vec<Range<u64>>> {
        let common = self.common(grain);
        let asked: Vec<Range<u64>> = ranges
            .iter()
            .map(|range| range.start..range.end.min(common))
            .filter(|range| !range.is_empty())
            .collect();
        let mut hashes = Vec::new();
        for some in asked.chunks(RANGES_MAX) {
            hashes.extend(self.remote.grains(self.client, grain, some)?);
        }
        let mut hashes = hashes.into_iter();
        let (mut out, mut piece) = (Vec::new(), Vec::new());
        for range in ranges {
            let mut at = range.start;
            while at < range.end.min(common) {
                let end = (at + grain).min(range.end.min(common));
                piece.resize((end - at) as usize, 0);
                self.local.read(at, &mut piece)?;
                if hashes.next() != Some(of_grain(&piece)) {
                    add(&mut out, at..end);
                }
                at = end;
            }
            if at < range.end {
                add(&mut out, at..range.end);
            }
        }
        Ok(out)
    }

    /// The same ranges without what is equal in the first and the last of their grains.
    fn narrowed(&self, ranges: &[Range<u64>]) -> Result<Vec<Range<u64>>> {
        let mut ends = Vec::new();
        let mut inner = Vec::new();
        for range in ranges {
            let first = (range.start + COARSE).min(range.end);
            let last = (range.end.next_multiple_of(COARSE) - COARSE).max(first);
            ends.push(range.start..first);
            if first < last {
                inner.push(first..last);
            }
            if last < range.end {
                ends.push(last..range.end);
            }
        }
        let mut all = self.level(&ends, FINE)?;
        all.extend(inner);
        all.sort_by_key(|range| range.start);
        let mut out = Vec::new();
        for range in all {
            add(&mut out, range);
        }
        Ok(out)
    }
}

/// Adds a range behind the others.
pub fn add(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ if range.is_empty() => {}
        _ => ranges.push(range),
    }
}
