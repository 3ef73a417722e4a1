//! A disk as a qcow2 file that is stored nowhere: every byte of it is computed, or is a byte of the
//! disk.
//!
//! ```text
//! cluster   0                header
//!           1..              refcount table, refcount blocks: each cluster is used once
//!           ...              first table (L1), second tables (L2) where there is data
//!           ...              the disk's clusters that are not all holes, in its order
//! ```
//!
//! All clusters have 64 KiB, QEMU's default, so that such a file is as any that QEMU makes.

use std::ops::Range;

use archipelago_model::SECTOR_BYTES;

/// Which arrangement of bytes this module makes of a disk. A change of one byte, of whatever disk,
/// needs the next number: whoever fetched a half of a file goes on with the other later.
pub const LAYOUT: u32 = 1;

/// Bytes of a cluster.
pub const CLUSTER_BYTES: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BITS: u32 = 16;

/// Entries of a second table: one cluster of them, for 512 MiB of the disk.
const L2_ENTRIES: u64 = CLUSTER_BYTES / 8;
/// Refcounts of 16 bits in a cluster of them.
const REFCOUNTS: u64 = CLUSTER_BYTES / 2;
/// Set in an entry whose cluster is used once.
const COPIED: u64 = 1 << 63;
const MAGIC: [u8; 4] = *b"QFI\xfb";
const VERSION: u32 = 3;
const HEADER_BYTES: u32 = 104;

/// Stretches of clusters with data that are told apart: 24 MiB of memory. Where there are more,
/// holes between them are shown as zeros that take space in the file.
pub const RUNS_MAX: usize = 1 << 20;

/// Clusters of the disk with data, one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    start: u64,
    end: u64,
    /// How many clusters with data are before it.
    rank: u64,
}

/// A part of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes of the disk, from there on; zeros behind its end.
    Disk {
        /// Where.
        offset: u64,
        /// How many.
        len: u64,
    },
}

/// Takes in where a disk has data.
#[derive(Debug)]
pub struct Builder {
    size: u64,
    runs: Vec<Run>,
    runs_max: usize,
    /// Holes of up to so many clusters are not told apart.
    gap: u64,
}

/// The file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Of the disk, in whole sectors.
    size: u64,
    runs: Vec<Run>,
    /// Entries of the first table that have a second one.
    tables: Vec<u64>,
    refcount_table: u64,
    refcount_blocks: u64,
    l1: u64,
    data: u64,
}

impl Builder {
    /// For a disk of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self::with_runs_max(size, RUNS_MAX)
    }

    pub(crate) fn with_runs_max(size: u64, runs_max: usize) -> Self {
        let size = size.next_multiple_of(SECTOR_BYTES);
        Self { size, runs: Vec::new(), runs_max, gap: 0 }
    }

    /// There may be data in this range of the disk; ranges ascend.
    pub fn data(&mut self, range: Range<u64>) {
        let end = range.end.min(self.size).div_ceil(CLUSTER_BYTES);
        let start = range.start / CLUSTER_BYTES;
        if start >= end {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if start <= last.end.saturating_add(self.gap) => {
                last.end = end.max(last.end)
            }
            _ => self.runs.push(Run { start, end, rank: 0 }),
        }
        while self.runs.len() > self.runs_max {
            self.gap = (self.gap * 2).max(1);
            let gap = self.gap;
            self.runs.dedup_by(|next, kept| {
                let near = next.start <= kept.end + gap;
                if near {
                    kept.end = next.end;
                }
                near
            });
        }
    }

    /// The file, once all was told.
    pub fn finish(mut self) -> View {
        let (mut data, mut tables) = (0, Vec::new());
        for run in &mut self.runs {
            run.rank = data;
            data += run.end - run.start;
            let first = run.start / L2_ENTRIES;
            let from = tables.last().map_or(first, |last: &u64| first.max(last + 1));
            tables.extend(from..run.end.div_ceil(L2_ENTRIES));
        }
        let l1 =
            (self.size.div_ceil(CLUSTER_BYTES * L2_ENTRIES) * 8).div_ceil(CLUSTER_BYTES).max(1);
        let others = 1 + l1 + tables.len() as u64 + data;
        // Refcounts count the clusters that they are in, too.
        let (mut refcount_table, mut refcount_blocks) = (1, 1);
        loop {
            let all = others + refcount_table + refcount_blocks;
            let blocks = all.div_ceil(REFCOUNTS);
            let table = (blocks * 8).div_ceil(CLUSTER_BYTES);
            if (table, blocks) == (refcount_table, refcount_blocks) {
                break;
            }
            (refcount_table, refcount_blocks) = (table, blocks);
        }
        let (size, runs) = (self.size, self.runs);
        View { size, runs, tables, refcount_table, refcount_blocks, l1, data }
    }
}

impl View {
    /// Of the file, in bytes.
    pub fn len(&self) -> u64 {
        self.clusters() * CLUSTER_BYTES
    }

    /// It has a header at least.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The part of the file that begins at `offset`, `len` bytes at most; `None` behind its end.
    pub fn part(&self, offset: u64, len: u64) -> Option<Part> {
        if offset >= self.len() || len == 0 {
            return None;
        }
        let (cluster, within) = (offset / CLUSTER_BYTES, offset % CLUSTER_BYTES);
        if cluster >= self.first_data() {
            return Some(self.disk(cluster - self.first_data(), within, len));
        }
        let bytes = self.table(cluster);
        let end = within.saturating_add(len).min(CLUSTER_BYTES);
        Some(Part::Bytes(bytes[within as usize..end as usize].to_vec()))
    }

    fn clusters(&self) -> u64 {
        self.first_data() + self.data
    }

    fn first_block(&self) -> u64 {
        1 + self.refcount_table
    }

    fn first_l1(&self) -> u64 {
        self.first_block() + self.refcount_blocks
    }

    fn first_l2(&self) -> u64 {
        self.first_l1() + self.l1
    }

    fn first_data(&self) -> u64 {
        self.first_l2() + self.tables.len() as u64
    }

    /// Data from a cluster on, up to where the disk has a hole.
    fn disk(&self, rank: u64, within: u64, len: u64) -> Part {
        let at = self.runs.partition_point(|run| run.rank <= rank).saturating_sub(1);
        let Some(run) = self.runs.get(at) else { return Part::Bytes(Vec::new()) };
        let offset = (run.start + rank - run.rank) * CLUSTER_BYTES + within;
        Part::Disk { offset, len: len.min(run.end * CLUSTER_BYTES - offset) }
    }

    /// A cluster before the data.
    fn table(&self, cluster: u64) -> Vec<u8> {
        let mut out = vec![0; CLUSTER_BYTES as usize];
        if cluster == 0 {
            self.header(&mut out);
        } else if cluster < self.first_block() {
            let first = (cluster - 1) * L2_ENTRIES;
            fill(&mut out, |entry| {
                let block = first + entry;
                (block < self.refcount_blocks).then(|| (self.first_block() + block) * CLUSTER_BYTES)
            });
        } else if cluster < self.first_l1() {
            let first = (cluster - self.first_block()) * REFCOUNTS;
            let used = self.clusters().saturating_sub(first).min(REFCOUNTS) as usize;
            for count in out.as_chunks_mut::<2>().0.iter_mut().take(used) {
                *count = 1_u16.to_be_bytes();
            }
        } else if cluster < self.first_l2() {
            let first = (cluster - self.first_l1()) * L2_ENTRIES;
            fill(&mut out, |entry| {
                let place = self.tables.binary_search(&(first + entry)).ok()? as u64;
                Some(((self.first_l2() + place) * CLUSTER_BYTES) | COPIED)
            });
        } else if let Some(table) = self.tables.get((cluster - self.first_l2()) as usize) {
            self.second(*table, &mut out);
        }
        out
    }

    fn header(&self, out: &mut [u8]) {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC);
        put(&VERSION.to_be_bytes());
        // No backing file.
        put(&[0; 12]);
        put(&CLUSTER_BITS.to_be_bytes());
        put(&self.size.to_be_bytes());
        // Not encrypted.
        put(&[0; 4]);
        let entries = self.size.div_ceil(CLUSTER_BYTES * L2_ENTRIES);
        put(&u32::try_from(entries).unwrap_or(u32::MAX).to_be_bytes());
        put(&(self.first_l1() * CLUSTER_BYTES).to_be_bytes());
        put(&CLUSTER_BYTES.to_be_bytes());
        put(&u32::try_from(self.refcount_table).unwrap_or(u32::MAX).to_be_bytes());
        // No snapshots, no features; refcounts of 2^4 bits.
        put(&[0; 12]);
        put(&[0; 24]);
        put(&4_u32.to_be_bytes());
        put(&HEADER_BYTES.to_be_bytes());
    }

    /// A second table: where each cluster with data is.
    fn second(&self, table: u64, out: &mut [u8]) {
        let clusters = table * L2_ENTRIES..(table + 1) * L2_ENTRIES;
        let at = self.runs.partition_point(|run| run.end <= clusters.start);
        let entries = out.as_chunks_mut::<8>().0;
        for run in self.runs.iter().skip(at).take_while(|run| run.start < clusters.end) {
            for cluster in run.start.max(clusters.start)..run.end.min(clusters.end) {
                let place = self.first_data() + run.rank + cluster - run.start;
                let entry = (place * CLUSTER_BYTES) | COPIED;
                if let Some(out) = entries.get_mut((cluster - clusters.start) as usize) {
                    *out = entry.to_be_bytes();
                }
            }
        }
    }
}

fn fill(out: &mut [u8], entry: impl Fn(u64) -> Option<u64>) {
    for (place, out) in (0..).zip(out.as_chunks_mut::<8>().0) {
        if let Some(value) = entry(place) {
            *out = value.to_be_bytes();
        }
    }
}

#[cfg(test)]
mod tests;
