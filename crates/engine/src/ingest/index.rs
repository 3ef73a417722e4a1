//! The sampled index: from a block's fingerprint to segments that may hold it.
//!
//! One block in 64 is in it, which finds 99.3 % of what a full index finds,
//! because duplicates come in runs: a hit names a segment, and that segment's
//! own list then tells exactly which blocks are there.
//!
//! # Architecture invariant
//! An accelerator and nothing more. What it has forgotten, never learnt or says
//! wrongly costs space or one look at a list, never bytes; so nothing here can
//! fail, and it is rebuilt from the footers of segments.

use std::collections::HashSet;

use archipelago_format::segment::{Fingerprint, SAMPLE_MASK};
use archipelago_model::SegmentId;
use parking_lot::Mutex;

/// Parts with a lock each. 1024, so that a part that grows holds up nobody for
/// more than some tens of microseconds: 4096 entries a TiB of unique data.
const SHARDS: usize = 1024;
/// The most entries: 2^26, the samples of 16 TiB of unique data, 770 MB of
/// memory. An index this full learns nothing more; new data is then shared less.
pub(crate) const ENTRIES_MAX: usize = 1 << 26;
/// The most segments that one tag may name. Blocks that every image has would
/// fill the index with places that are all equally good; the newest stay.
const ALIKE_MAX: usize = 4;
/// Bits of an entry that tell fingerprints apart, besides the ten of the shard:
/// among the 2^22 entries of a TiB, one look-up in 4000 names a wrong segment.
const TAG_BITS: u32 = 64 - SegmentId::BITS;
/// Entries of a part that has its first.
const FIRST_SLOTS: usize = 16;

/// From a sampled fingerprint to segments. Any thread may use it.
///
/// An entry is one word: tag (24 bits) | segment (40 bits). Parts are filled to
/// 7/8 and then grow by a quarter, so that an entry costs 8 / 0.7 = 11.4 bytes at
/// worst: 48 MB a TiB of unique data.
pub(crate) struct SampleIndex {
    shards: Box<[Mutex<Shard>]>,
    shard_entries_max: usize,
}

/// What [`SampleIndex::insert`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    /// It is in the index now.
    New,
    /// It was there.
    Known,
    /// It is there, and an older segment of the same tag no longer is.
    Replaced,
    /// The index is full.
    Full,
}

impl SampleIndex {
    /// Empty, for [`ENTRIES_MAX`] entries.
    pub(crate) fn new() -> Self {
        Self::with_limit(ENTRIES_MAX)
    }

    /// Empty, for about `entries_max` entries.
    pub(crate) fn with_limit(entries_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            shard_entries_max: entries_max.div_ceil(SHARDS),
        }
    }

    /// Whether the index keeps blocks of this fingerprint.
    pub(crate) const fn keeps(hash: u128) -> bool {
        hash & SAMPLE_MASK == 0
    }

    /// Learns that `segment` holds the block. Fingerprints that are not sampled
    /// are the caller's to leave out.
    pub(crate) fn insert(&self, hash: u128, segment: SegmentId) -> Inserted {
        let (shard, tag) = place(hash);
        self.shards[shard].lock().insert(tag, segment, self.shard_entries_max)
    }

    /// Learns all that are sampled; how many the index had no room for.
    pub(crate) fn learn(&self, prints: &[Fingerprint], segment: SegmentId) -> u64 {
        let sampled = prints.iter().filter(|print| print.sampled());
        let refused = sampled.filter(|print| self.insert(print.hash, segment) == Inserted::Full);
        refused.count() as u64
    }

    /// Segments that may hold the block, [`ALIKE_MAX`] at most.
    pub(crate) fn candidates(&self, hash: u128) -> impl Iterator<Item = SegmentId> + use<> {
        let (shard, tag) = place(hash);
        self.shards[shard].lock().find(tag).into_iter().flatten()
    }

    /// Drops the entries of segments that are gone, one part after the other: others
    /// wait for a part as long as when it grows.
    pub(crate) fn forget(&self, segments: &HashSet<SegmentId>) {
        if !segments.is_empty() {
            self.shards.iter().for_each(|shard| shard.lock().forget(segments));
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().used as u64).sum()
    }

    /// The segments that there are entries of, ascending.
    pub(crate) fn segments(&self) -> Vec<SegmentId> {
        let mut ids = std::collections::BTreeSet::new();
        for shard in &self.shards {
            let shard = shard.lock();
            ids.extend(shard.slots.iter().filter_map(|s| SegmentId::new(s & SegmentId::MAX.get())));
        }
        ids.into_iter().collect()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        let slots = self.shards.iter().map(|shard| shard.lock().slots.len() as u64);
        slots.sum::<u64>() * 8 + (SHARDS * size_of::<Mutex<Shard>>()) as u64
    }
}

/// The shard and the tag. From the upper bits: the lowest are zero when sampled.
const fn place(hash: u128) -> (usize, u64) {
    ((hash >> 64) as usize % SHARDS, (hash >> 96) as u64 & ((1 << TAG_BITS) - 1))
}

/// Open addressing with linear probing. 0 is an empty slot: no segment is 0.
#[derive(Default)]
struct Shard {
    slots: Vec<u64>,
    used: usize,
}

impl Shard {
    fn insert(&mut self, tag: u64, segment: SegmentId, entries_max: usize) -> Inserted {
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        let entry = tag << SegmentId::BITS | segment.get();
        let (mut alike, mut oldest) = (0, None);
        let mut at = self.home(tag);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            if slot == entry {
                return Inserted::Known;
            }
            if slot >> SegmentId::BITS == tag {
                alike += 1;
                if oldest.is_none_or(|oldest| slot < self.slots[oldest]) {
                    oldest = Some(at);
                }
            }
            at = self.after(at);
        }
        match oldest {
            Some(oldest) if alike >= ALIKE_MAX => {
                if self.slots[oldest] > entry {
                    return Inserted::Known;
                }
                self.slots[oldest] = entry;
                Inserted::Replaced
            }
            _ if self.used >= entries_max => Inserted::Full,
            _ => {
                self.slots[at] = entry;
                self.used += 1;
                Inserted::New
            }
        }
    }

    fn find(&self, tag: u64) -> [Option<SegmentId>; ALIKE_MAX] {
        let mut found = [None; ALIKE_MAX];
        if self.slots.is_empty() {
            return found;
        }
        let (mut at, mut count) = (self.home(tag), 0);
        while self.slots[at] != 0 && count < ALIKE_MAX {
            if self.slots[at] >> SegmentId::BITS == tag {
                found[count] = SegmentId::new(self.slots[at] & SegmentId::MAX.get());
                count += 1;
            }
            at = self.after(at);
        }
        found
    }

    /// The tag alone gives the place, at any number of slots; so growing needs
    /// no more of the hash than an entry has.
    fn home(&self, tag: u64) -> usize {
        ((tag * self.slots.len() as u64) >> TAG_BITS) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    fn grow(&mut self) {
        self.refill((self.slots.len() + self.slots.len() / 4).max(FIRST_SLOTS), |_| true);
    }

    fn forget(&mut self, segments: &HashSet<SegmentId>) {
        let segment = |entry: u64| SegmentId::new(entry & SegmentId::MAX.get());
        let gone = |entry: u64| segment(entry).is_some_and(|id| segments.contains(&id));
        let count = self.slots.iter().filter(|&&entry| entry != 0 && gone(entry)).count();
        if count > 0 {
            self.used -= count;
            self.refill(self.slots.len(), |entry| !gone(entry));
        }
    }

    /// Enters those that are kept anew into so many slots.
    fn refill(&mut self, slots: usize, keep: impl Fn(u64) -> bool) {
        let entries = std::mem::replace(&mut self.slots, vec![0; slots]);
        for entry in entries.into_iter().filter(|&entry| entry != 0 && keep(entry)) {
            let mut at = self.home(entry >> SegmentId::BITS);
            while self.slots[at] != 0 {
                at = self.after(at);
            }
            self.slots[at] = entry;
        }
    }
}

#[cfg(test)]
mod tests;
