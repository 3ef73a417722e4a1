//! The fingerprints of one segment, in memory, and where each block is.

use archipelago_format::segment::Fingerprint;
use archipelago_model::{BLOCK_BYTES, Location, SECTOR_BYTES};

/// Sectors of a block.
pub(crate) const BLOCK_SECTORS: u32 = (BLOCK_BYTES / SECTOR_BYTES) as u32;
/// A block that is in a segment more often is found at its first few places
/// only: trying each of thousands of equal blocks would take for ever.
const PLACES_MAX: usize = 4;

/// A segment's blocks in the order of their positions, found by fingerprint.
#[derive(Default)]
pub(crate) struct Prints {
    list: Vec<Fingerprint>,
    /// Open addressing, at most half full: number in `list` + 1; 0 is empty.
    table: Vec<u32>,
}

impl Prints {
    /// From a segment's list. What lies outside of a segment's raw space is left out.
    pub(crate) fn from_list(mut list: Vec<Fingerprint>) -> Self {
        list.retain(|print| print.position <= Location::POSITION_END - BLOCK_SECTORS);
        list.shrink_to_fit();
        let mut prints = Self { list, table: Vec::new() };
        prints.index();
        prints
    }

    /// Appends a block; positions rise.
    pub(crate) fn push(&mut self, print: Fingerprint) {
        self.list.push(print);
        if self.list.len() * 2 > self.table.len() {
            self.index();
        } else {
            self.enter(self.list.len() - 1);
        }
    }

    /// All, in the order of their positions.
    pub(crate) fn list(&self) -> &[Fingerprint] {
        &self.list
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        let list = self.list.capacity() * size_of::<Fingerprint>();
        (list + self.table.capacity() * size_of::<u32>() + size_of::<Self>()) as u64
    }

    /// Where in the list the block is; [`PLACES_MAX`] places at most.
    pub(crate) fn places(&self, hash: u128) -> impl Iterator<Item = usize> + '_ {
        let mut at = self.home(hash);
        std::iter::from_fn(move || {
            loop {
                let number = (*self.table.get(at)? as usize).checked_sub(1)?;
                at = self.after(at);
                if self.list[number].hash == hash {
                    return Some(number);
                }
            }
        })
    }

    /// How many of `hashes`, from the first on, follow each other in the segment
    /// from place `number` on.
    pub(crate) fn run_forward(&self, number: usize, hashes: &[u128]) -> usize {
        let first = self.list[number].position;
        let stored = self.list[number..].iter().zip(hashes).enumerate();
        stored
            .take_while(|(k, (print, hash))| {
                print.hash == **hash && print.position == first + *k as u32 * BLOCK_SECTORS
            })
            .count()
    }

    /// How many of `hashes`, from the last backwards, come right before place
    /// `number` in the segment.
    pub(crate) fn run_backward(&self, number: usize, hashes: &[u128]) -> usize {
        let behind = self.list[number].position;
        let stored = self.list[..number].iter().rev().zip(hashes.iter().rev()).enumerate();
        stored
            .take_while(|(k, (print, hash))| {
                print.hash == **hash && print.position + (*k as u32 + 1) * BLOCK_SECTORS == behind
            })
            .count()
    }

    /// From the middle of the hash: the index uses the upper bits, sampling the lowest.
    fn home(&self, hash: u128) -> usize {
        (hash >> 16) as usize & self.table.len().wrapping_sub(1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.table.len() - 1)
    }

    /// Builds the table anew, with room for twice as many.
    fn index(&mut self) {
        let slots = (self.list.len() * 2 + 2).next_power_of_two();
        self.table = vec![0; slots];
        for number in 0..self.list.len() {
            self.enter(number);
        }
    }

    fn enter(&mut self, number: usize) {
        let hash = self.list[number].hash;
        let (mut at, mut alike) = (self.home(hash), 0);
        while self.table[at] != 0 {
            alike += usize::from(self.list[self.table[at] as usize - 1].hash == hash);
            if alike == PLACES_MAX {
                return;
            }
            at = self.after(at);
        }
        self.table[at] = number as u32 + 1;
    }
}

#[cfg(test)]
mod tests;
