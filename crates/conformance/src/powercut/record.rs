//! The record of a disk, and what a power cut at any moment of it leaves.
//!
//! The record is what QEMU's `blklogwrites` writes, which is the format of the kernel's
//! dm-log-writes: a superblock, then one entry for each write and flush, each
//! a header of one sector with the written bytes behind it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FallocateFlags, fallocate};

use crate::stamp::{Chance, Moment};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// Untouched parts of a disk are told from others in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// One write or flush.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The length of the record with this entry: a cut at this moment or later may have it.
    end: Moment,
    /// Where its bytes are in the record; none for a discard.
    data: u64,
    /// Where they belong on the disk.
    offset: u64,
    len: u64,
    flags: u64,
}

/// A record that is complete.
pub struct Record {
    file: File,
    entries: Vec<Entry>,
}

impl Record {
    /// Reads the entries of a record of a disk of this size.
    ///
    /// # Errors
    /// It is no record, or an entry makes no sense, or their number is not the one recorded.
    pub fn open(path: &Path, disk_bytes: u64) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let length = file.metadata()?.len();
        let word = |at: u64| -> Result<u64> {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at).context("the record ends too early")?;
            Ok(u64::from_le_bytes(bytes))
        };
        ensure!(word(0)? == MAGIC && word(8)? == 1, "no record of blklogwrites");
        let (count, sector) = (word(16)?, word(24)? & u64::from(u32::MAX));
        ensure!(sector == SECTOR_BYTES, "sectors of {sector} bytes");
        let mut entries = Vec::new();
        let mut at = SECTOR_BYTES;
        while at + SECTOR_BYTES <= length {
            let (offset, len, flags) =
                (word(at)? * SECTOR_BYTES, word(at + 8)? * SECTOR_BYTES, word(at + 16)?);
            let data = at + SECTOR_BYTES;
            let end = if flags & DISCARD == 0 { data + len } else { data };
            ensure!(
                flags <= FLUSH | FUA | DISCARD | MARK
                    && offset + len <= disk_bytes
                    && end <= length,
                "entry {} of the record makes no sense: {len} bytes at {offset}, flags {flags}",
                entries.len()
            );
            entries.push(Entry { end, data, offset, len, flags });
            at = end;
        }
        let found = entries.len() as u64;
        ensure!(found == count, "{found} entries in a record that says {count}");
        Ok(Self { file, entries })
    }

    /// How many entries there are, and how many of them are flushes.
    pub fn counts(&self) -> (usize, usize) {
        let flushes = self.entries.iter().filter(|entry| entry.flags & FLUSH != 0).count();
        (self.entries.len(), flushes)
    }

    /// How many entries are there at a moment.
    fn until(&self, at: Moment) -> usize {
        self.entries.partition_point(|entry| entry.end <= at)
    }

    /// The moments right behind each entry.
    pub fn moments(&self) -> impl ExactSizeIterator<Item = Moment> {
        self.entries.iter().map(|entry| entry.end)
    }

    /// How many entries at a moment no flush covers.
    pub fn in_flight(&self, at: Moment) -> usize {
        let before = self.entries[..self.until(at)].iter().rev();
        before.take_while(|entry| entry.flags & FLUSH == 0).count()
    }

    /// The moments right before and right behind each flush.
    pub fn flushes(&self) -> Vec<Moment> {
        let flushes = self.entries.iter().filter(|entry| entry.flags & FLUSH != 0);
        flushes.flat_map(|flush| [flush.data - SECTOR_BYTES, flush.end]).collect()
    }
}

/// What a disk did with the sectors that it had taken and not made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// All are there.
    Kept,
    /// None is.
    Lost,
    /// Each sector is there or not.
    Sectors(u64),
    /// Each write is there or not.
    Writes(u64),
}

impl Fate {
    /// Mostly sectors at random; sometimes the others.
    pub fn choose(chance: &mut Chance) -> Self {
        match chance.below(8) {
            0 => Self::Kept,
            1 => Self::Lost,
            2 | 3 => Self::Writes(chance.number()),
            _ => Self::Sectors(chance.number()),
        }
    }
}

/// The disk of a record, brought forward from cut to cut.
pub struct Platter<'a> {
    record: &'a Record,
    /// What is durable for certain.
    durable: Vec<u8>,
    /// Which pieces may hold anything but zeros.
    used: Vec<bool>,
    /// The first entry that is not durable yet.
    next: usize,
}

impl<'a> Platter<'a> {
    /// The disk before the record began.
    pub fn new(record: &'a Record, base: &Path) -> Result<Self> {
        let durable = std::fs::read(base).with_context(|| base.display().to_string())?;
        let used = durable.chunks(PIECE_BYTES).map(|piece| piece.iter().any(|byte| *byte != 0));
        let used = used.collect();
        Ok(Self { record, durable, used, next: 0 })
    }

    /// Writes to `disk` what a cut at a moment leaves, which is not before the one of the last
    /// call. Returns how many sectors were in flight.
    pub fn cut(&mut self, at: Moment, fate: Fate, disk: &File) -> Result<u64> {
        self.advance(at)?;
        self.again(at, fate, disk)
    }

    /// Writes what the last call of [`Self::cut`] wrote; its moment and its fate are given again.
    pub fn again(&self, at: Moment, fate: Fate, disk: &File) -> Result<u64> {
        self.write(disk)?;
        let in_flight = self.next..self.record.until(at);
        let mut chance = match fate {
            Fate::Sectors(seed) | Fate::Writes(seed) => Chance::new(seed),
            Fate::Kept | Fate::Lost => Chance::new(0),
        };
        let mut sectors = 0;
        for entry in &self.record.entries[in_flight] {
            let bytes = self.bytes(entry)?;
            let whole = chance.once_in(2);
            sectors += entry.len / SECTOR_BYTES;
            for (number, sector) in bytes.chunks(SECTOR_BYTES as usize).enumerate() {
                let stays = match fate {
                    Fate::Kept => true,
                    Fate::Lost => entry.flags & FUA != 0,
                    Fate::Sectors(_) => entry.flags & FUA != 0 || chance.once_in(2),
                    Fate::Writes(_) => entry.flags & FUA != 0 || whole,
                };
                if stays {
                    disk.write_all_at(sector, entry.offset + number as u64 * SECTOR_BYTES)?;
                }
            }
        }
        Ok(sectors)
    }

    /// Makes durable what a flush before the moment covered.
    fn advance(&mut self, at: Moment) -> Result<()> {
        let entries = &self.record.entries;
        let end = self.record.until(at);
        ensure!(self.next <= end, "cuts come in the order of their moments");
        let flush = entries[self.next..end].iter().rposition(|entry| entry.flags & FLUSH != 0);
        let durable = flush.map_or(self.next, |flush| self.next + flush + 1);
        for entry in &entries[self.next..durable] {
            let bytes = self.bytes(entry)?;
            let start = entry.offset as usize;
            self.durable[start..start + bytes.len()].copy_from_slice(&bytes);
            if !bytes.is_empty() {
                self.used[start / PIECE_BYTES..=(start + bytes.len() - 1) / PIECE_BYTES].fill(true);
            }
        }
        self.next = durable;
        Ok(())
    }

    /// What an entry writes; a discard leaves zeros.
    fn bytes(&self, entry: &Entry) -> Result<Vec<u8>> {
        let mut bytes = vec![0; entry.len as usize];
        if entry.flags & DISCARD == 0 {
            self.record.file.read_exact_at(&mut bytes, entry.data)?;
        }
        Ok(bytes)
    }

    /// Writes what is durable, over whatever the file holds.
    fn write(&self, disk: &File) -> Result<()> {
        disk.set_len(self.durable.len() as u64)?;
        let mut piece = 0;
        while piece < self.used.len() {
            let used = self.used[piece];
            let run = self.used[piece..].iter().take_while(|other| **other == used).count();
            let (start, end) = (piece * PIECE_BYTES, (piece + run) * PIECE_BYTES);
            let end = end.min(self.durable.len());
            if used {
                disk.write_all_at(&self.durable[start..end], start as u64)?;
            } else {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(disk, flags, start as u64, (end - start) as u64)?;
            }
            piece += run;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
