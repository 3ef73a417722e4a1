//! From a location to verified bytes.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipelago_format::crc32c;
use archipelago_format::segment::{Codec, Directory, SLOT_PAGE_BYTES, Slot, SlotPage};
use archipelago_model::{Location, SECTOR_BYTES, SegmentId};
use archipelago_store::Store;
use zstd::bulk::Decompressor;

use super::{OpenSlots, Segments};
use crate::error::Error;

/// A chunk's raw bytes are at most this many: 16 MiB, the limit of its length field.
const CHUNK_BYTES_MAX: usize = 1 << 24;
/// Adjoining raw slots are read with one request of at most this many bytes.
const RUN_BYTES_MAX: usize = 1 << 20;

/// A slot and the position behind it.
#[derive(Clone, Copy)]
struct Bounded {
    slot: Slot,
    end: u32,
}

impl Bounded {
    const fn raw_bytes(&self) -> usize {
        (self.end - self.slot.position) as usize * SECTOR_BYTES as usize
    }
}

/// Where the slots of one segment are looked up, for the time of one read.
enum Slots {
    Open(Arc<OpenSlots>),
    Sealed(Arc<SlotPage>),
}

impl Segments {
    /// Fills `out` (whole sectors) with the raw bytes at `location`.
    ///
    /// # Errors
    /// [`Error::Damaged`] when what is stored is not what was written.
    pub(crate) fn read(&self, location: Location, out: &mut [u8]) -> Result<(), Error> {
        let mut at = location;
        let mut done = 0;
        while done < out.len() {
            let (place, sectors) = self.place(at)?;
            let left = (out.len() - done) as u64;
            let here = left.min(sectors.saturating_mul(SECTOR_BYTES)) as usize;
            place.segment().into_iter().for_each(|id| self.notice(id));
            match self.read_placed(place, &mut out[done..done + here]) {
                // It was moved between the look and the read, and its file is gone.
                Err(error) if Self::is_missing(&error) && self.place(at)?.0 != place => continue,
                read => read?,
            }
            at = at.advance((here as u64).div_ceil(SECTOR_BYTES));
            done += here;
        }
        Ok(())
    }

    /// [`Self::read`] at the place itself: also of a segment that is leaving, whose
    /// forwarding table need not have what a dead position holds.
    pub(crate) fn read_placed(&self, location: Location, out: &mut [u8]) -> Result<(), Error> {
        let mut at = location;
        let mut out = out;
        while !out.is_empty() {
            let slots = self.slots(at)?;
            let first = self.find(&slots, at)?;
            let skip = (at.position() - first.slot.position) as usize * SECTOR_BYTES as usize;
            let whole = skip == 0 && first.raw_bytes() <= out.len();
            let taken = if whole && is_plain(&first) {
                self.read_plain_run(&slots, at, first, out)?
            } else {
                let chunk = self.chunk(at, &first)?;
                let from = chunk.get(skip..).unwrap_or_default();
                let n = from.len().min(out.len()).min(first.raw_bytes() - skip);
                if n == 0 {
                    return Err(self.damaged(at, "the chunk is shorter than its slot"));
                }
                out[..n].copy_from_slice(&from[..n]);
                n
            };
            at = at.advance((taken as u64).div_ceil(SECTOR_BYTES));
            out = &mut out[taken..];
        }
        Ok(())
    }

    /// The raw bytes of the one slot that begins at `location`: a map node.
    pub(crate) fn read_slot(&self, location: Location) -> Result<Arc<[u8]>, Error> {
        loop {
            let (place, _) = self.place(location)?;
            place.segment().into_iter().for_each(|id| self.notice(id));
            match self.read_slot_placed(place) {
                // As in `read`.
                Err(error) if Self::is_missing(&error) && self.place(location)?.0 != place => {}
                read => return read,
            }
        }
    }

    fn read_slot_placed(&self, location: Location) -> Result<Arc<[u8]>, Error> {
        let slots = self.slots(location)?;
        let bounded = self.find(&slots, location)?;
        if bounded.slot.position != location.position() {
            return Err(self.damaged(location, "no slot begins here"));
        }
        self.load(location, &bounded)
    }

    /// The sectors of the one slot that begins at `location`, which is not forwarded.
    pub(crate) fn slot_sectors(&self, location: Location) -> Result<u32, Error> {
        let bounded = self.find(&self.slots(location)?, location)?;
        if bounded.slot.position != location.position() {
            return Err(self.damaged(location, "no slot begins here"));
        }
        Ok(bounded.end - bounded.slot.position)
    }

    fn slots(&self, at: Location) -> Result<Slots, Error> {
        let id = at.segment().ok_or_else(|| self.damaged(at, "a hole was read"))?;
        if let Some(open) = self.open.read().get(&id) {
            return Ok(Slots::Open(Arc::clone(open)));
        }
        let directory = self.directory(id)?;
        let number = directory
            .page_of(at.position())
            .ok_or_else(|| self.damaged(at, "no slot has this position"))?;
        self.slot_page(id, &directory, number).map(Slots::Sealed)
    }

    /// A page of slots of a sealed segment.
    pub(crate) fn slot_page(
        &self,
        id: SegmentId,
        directory: &Directory,
        number: u32,
    ) -> Result<Arc<SlotPage>, Error> {
        if let Some(page) = self.pages.get(&(id, number)) {
            return Ok(page);
        }
        let offset = directory.slots.offset + u64::from(number) * SLOT_PAGE_BYTES as u64;
        let page = self.of_any_copy(id, |store| {
            let mut bytes = vec![0; SLOT_PAGE_BYTES];
            self.read_exact(store, id, offset, &mut bytes)?;
            SlotPage::decode(&bytes, number).map_err(|e| self.damaged_segment(id, &e))
        })?;
        let page = Arc::new(page);
        self.pages.insert((id, number), Arc::clone(&page));
        Ok(page)
    }

    fn find(&self, slots: &Slots, at: Location) -> Result<Bounded, Error> {
        slots.find(at.position()).ok_or_else(|| self.damaged(at, "no slot has this position"))
    }

    /// Reads `first` and the plain slots that adjoin it, straight into `out`.
    fn read_plain_run(
        &self,
        slots: &Slots,
        at: Location,
        first: Bounded,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let limit = out.len().min(RUN_BYTES_MAX.max(first.raw_bytes()));
        let mut run = vec![first];
        let mut len = first.raw_bytes();
        let mut last = first;
        while len < limit
            && let Some(next) = slots.find(last.end)
            && is_plain(&next)
            && Some(next.slot.offset) == last.slot.offset.checked_add(last.slot.stored)
            && len + next.raw_bytes() <= limit
        {
            len += next.raw_bytes();
            run.push(next);
            last = next;
        }
        let out = &mut out[..len];
        let id = segment_of(at);
        self.of_any_copy(id, |store| {
            self.read_exact(store, id, u64::from(first.slot.offset), out)?;
            let mut rest = &*out;
            for bounded in &run {
                let (piece, tail) = rest.split_at(bounded.raw_bytes());
                self.verify(at, &bounded.slot, piece)?;
                rest = tail;
            }
            Ok(len)
        })
    }

    /// A chunk by way of the cache. Plain pieces are not cached: the system's own
    /// page cache has them, and verifying 4 KiB costs less than finding it here.
    fn chunk(&self, at: Location, bounded: &Bounded) -> Result<Arc<[u8]>, Error> {
        if bounded.slot.codec == Codec::Raw && bounded.raw_bytes() <= 4096 {
            return self.load(at, bounded);
        }
        let back = at.position() - bounded.slot.position;
        let key = Location::from_raw(at.raw() - u64::from(back));
        if let Some(chunk) = self.chunks.get(&key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(chunk);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let chunk = self.load(at, bounded)?;
        self.chunks.insert(key, Arc::clone(&chunk));
        Ok(chunk)
    }

    fn load(&self, at: Location, bounded: &Bounded) -> Result<Arc<[u8]>, Error> {
        self.of_any_copy(segment_of(at), |store| self.load_from(store, at, bounded))
    }

    fn load_from(
        &self,
        store: &dyn Store,
        at: Location,
        bounded: &Bounded,
    ) -> Result<Arc<[u8]>, Error> {
        let slot = &bounded.slot;
        let raw_bytes = bounded.raw_bytes();
        if raw_bytes > CHUNK_BYTES_MAX {
            return Err(self.damaged(at, "the slot is larger than any chunk"));
        }
        let mut stored = vec![0; slot.stored as usize];
        self.read_exact(store, segment_of(at), u64::from(slot.offset), &mut stored)?;
        self.verify(at, slot, &stored)?;
        let mut raw = match slot.codec {
            Codec::Raw => stored,
            Codec::Zstd => unpack_zstd(&stored, raw_bytes)
                .map_err(|e| self.damaged(at, format!("zstd: {e}")))?,
            Codec::Lz4 => {
                let mut raw = vec![0; raw_bytes];
                let n = lz4_flex::block::decompress_into(&stored, &mut raw)
                    .map_err(|e| self.damaged(at, format!("lz4: {e}")))?;
                raw.truncate(n);
                raw
            }
            Codec::Zero => return Err(self.damaged(at, "the position holds no bytes")),
        };
        raw.resize(raw_bytes, 0);
        Ok(raw.into())
    }

    fn verify(&self, at: Location, slot: &Slot, stored: &[u8]) -> Result<(), Error> {
        let got = crc32c(stored);
        if got == slot.crc {
            return Ok(());
        }
        let what = format!("checksum {got:08x} where {:08x} is recorded", slot.crc);
        Err(self.damaged(at, what))
    }
}

thread_local! {
    /// Making one takes as long as unpacking a chunk with it; it has about 160 KiB.
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The raw bytes of a chunk, `raw_bytes` at most.
pub(crate) fn unpack_zstd(stored: &[u8], raw_bytes: usize) -> io::Result<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            none => none.insert(Decompressor::new()?),
        };
        unpacker.decompress(stored, raw_bytes)
    })
}

impl Slots {
    fn find(&self, position: u32) -> Option<Bounded> {
        match self {
            Self::Sealed(page) => {
                page.find(position).map(|(slot, end)| Bounded { slot: *slot, end })
            }
            Self::Open(open) => {
                let slots = open.slots.read();
                let after = slots.partition_point(|s| s.position <= position);
                let slot = *slots.get(after.checked_sub(1)?)?;
                // The last slot's end is not recorded yet: plain slots tell it by
                // their length, and a node is read from its first position only.
                let end = slots.get(after).map_or_else(
                    || slot.position + (slot.stored as u64).div_ceil(SECTOR_BYTES).max(1) as u32,
                    |next| next.position,
                );
                (position < end).then_some(Bounded { slot, end })
            }
        }
    }
}

fn is_plain(bounded: &Bounded) -> bool {
    bounded.slot.codec == Codec::Raw && bounded.slot.stored as usize == bounded.raw_bytes()
}

/// Locations that were looked up have a segment.
fn segment_of(at: Location) -> SegmentId {
    at.segment().unwrap_or(SegmentId::MAX)
}
