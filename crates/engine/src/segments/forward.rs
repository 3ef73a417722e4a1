//! Segments that are leaving: forwarded by a compaction, or condemned.
//!
//! Maps go on naming the old locations of what a compaction moved. The table that
//! tells where it is now lies in the footer of the compaction's last segment, the
//! *carrier*; which segment has which carrier is in memory, from the catalog.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archipelago_format::forwarding::{
    FORWARD_PAGE_BYTES, Forward, ForwardIndex, decode_forward_page,
};
use archipelago_format::segment::Section;
use archipelago_format::{FormatError, crc32c};
use archipelago_model::{Extent, Location, SegmentId};
use archipelago_store::Store;
use parking_lot::{Mutex, RwLock};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Segments;
use crate::error::Error;

/// A location is forwarded so often at most. Each compaction that moves a carrier's
/// data shortens the ways that go through it, so that more means a circle.
const STEPS_MAX: usize = 64;

#[derive(Clone)]
struct PageWeight;

impl Weighter<(SegmentId, u32), Arc<[Forward]>> for PageWeight {
    fn weight(&self, _: &(SegmentId, u32), page: &Arc<[Forward]>) -> u64 {
        (page.len() * size_of::<Forward>() + 64) as u64
    }
}

#[derive(Clone)]
struct IndexWeight;

impl Weighter<SegmentId, Arc<ForwardIndex>> for IndexWeight {
    fn weight(&self, _: &SegmentId, index: &Arc<ForwardIndex>) -> u64 {
        (index.firsts.len() * size_of::<Location>() + 64) as u64
    }
}

/// What is leaving.
pub(super) struct Leaving {
    /// Some segment is forwarded: else reads need not look.
    any_forwarded: AtomicBool,
    /// By the old segment: its carrier.
    carriers: RwLock<HashMap<SegmentId, SegmentId>>,
    indexes: Cache<SegmentId, Arc<ForwardIndex>, IndexWeight>,
    pages: Cache<(SegmentId, u32), Arc<[Forward]>, PageWeight>,
    any_condemned: AtomicBool,
    condemned: RwLock<HashSet<SegmentId>>,
    /// Condemned segments that were read all the same.
    alarms: Mutex<BTreeSet<SegmentId>>,
    /// Segments that a compaction is emptying: nothing more should be shared from them.
    avoided: RwLock<HashSet<SegmentId>>,
}

impl Leaving {
    /// `cache_bytes`: memory for pages and indexes of tables.
    pub(super) fn new(cache_bytes: u64) -> Self {
        let items = |each: u64| (cache_bytes / each).max(16) as usize;
        Self {
            any_forwarded: AtomicBool::new(false),
            carriers: RwLock::default(),
            indexes: Cache::with_weighter(items(8192), cache_bytes / 4, IndexWeight),
            pages: Cache::with_weighter(items(4096), cache_bytes / 4 * 3, PageWeight),
            any_condemned: AtomicBool::new(false),
            condemned: RwLock::default(),
            alarms: Mutex::default(),
            avoided: RwLock::default(),
        }
    }
}

impl Segments {
    /// From now on locations in these segments are looked up in their carriers' tables.
    pub(crate) fn forward(&self, moved: &[(SegmentId, SegmentId)]) {
        if !moved.is_empty() {
            self.leaving.carriers.write().extend(moved.iter().copied());
            self.leaving.any_forwarded.store(true, Ordering::Release);
        }
    }

    /// The carrier of a forwarded segment.
    pub(crate) fn carrier(&self, id: SegmentId) -> Option<SegmentId> {
        if !self.leaving.any_forwarded.load(Ordering::Acquire) {
            return None;
        }
        self.leaving.carriers.read().get(&id).copied()
    }

    /// Nobody names these any more, the collector says: reading one is an alarm.
    pub(crate) fn condemn(&self, ids: &[SegmentId]) {
        if !ids.is_empty() {
            self.leaving.condemned.write().extend(ids);
            self.leaving.any_condemned.store(true, Ordering::Release);
        }
    }

    /// These are kept after all.
    pub(crate) fn rescue(&self, ids: &[SegmentId]) {
        let mut condemned = self.leaving.condemned.write();
        let mut alarms = self.leaving.alarms.lock();
        for id in ids {
            condemned.remove(id);
            alarms.remove(id);
        }
    }

    /// These are gone, files and all.
    pub(crate) fn removed(&self, ids: &[SegmentId]) {
        self.rescue(ids);
        let mut carriers = self.leaving.carriers.write();
        for id in ids {
            carriers.remove(id);
        }
        drop(carriers);
        self.gone(ids);
        self.avoid(ids, false);
    }

    /// Condemned segments that were read all the same.
    pub(crate) fn alarms(&self) -> Vec<SegmentId> {
        self.leaving.alarms.lock().iter().copied().collect()
    }

    /// Begins or ends to keep ingests from sharing what these hold.
    pub(crate) fn avoid(&self, ids: &[SegmentId], avoid: bool) {
        let mut avoided = self.leaving.avoided.write();
        for id in ids {
            if avoid {
                avoided.insert(*id);
            } else {
                avoided.remove(id);
            }
        }
    }

    /// Whether nothing more should be shared from a segment.
    pub(crate) fn is_leaving(&self, id: SegmentId) -> bool {
        self.carrier(id).is_some()
            || self.leaving.avoided.read().contains(&id)
            || (self.leaving.any_condemned.load(Ordering::Acquire)
                && self.leaving.condemned.read().contains(&id))
    }

    /// Somebody reads a segment: notes it when nobody should.
    pub(super) fn notice(&self, id: SegmentId) {
        if self.leaving.any_condemned.load(Ordering::Acquire)
            && self.leaving.condemned.read().contains(&id)
            && self.leaving.alarms.lock().insert(id)
        {
            tracing::error!(segment = %id, "a condemned segment was read: it is kept");
        }
    }

    /// Where the sectors at `at` are, and how many of them follow each other there.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a table does not tell, [`Error::Store`].
    pub(crate) fn place(&self, at: Location) -> Result<(Location, u64), Error> {
        let (mut place, mut sectors) = (at, u64::MAX);
        for _ in 0..STEPS_MAX {
            let carrier_now = || place.segment().and_then(|id| self.carrier(id));
            let Some(carrier) = carrier_now() else {
                return Ok((place, sectors));
            };
            let entry = match self.entry(carrier, place) {
                // Its table was carried on between the look and the read, and it is gone.
                Err(error) if Self::is_missing(&error) && carrier_now() != Some(carrier) => {
                    continue;
                }
                entry => entry?,
            };
            let skip = place.raw() - entry.from.raw();
            sectors = sectors.min(u64::from(entry.sectors) - skip);
            place = entry.to.advance(skip);
        }
        Err(self.damaged(at, "it is forwarded in a circle"))
    }

    /// Calls `found` with the parts of an extent by where they are now.
    pub(crate) fn resolve(
        &self,
        extent: Extent,
        found: &mut dyn FnMut(Extent) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if extent.is_hole() || !self.leaving.any_forwarded.load(Ordering::Acquire) {
            return found(extent);
        }
        let mut start = extent.start();
        while start < extent.end() {
            let (place, sectors) = self.place(extent.location().advance(start - extent.start()))?;
            let len = sectors.min(extent.end() - start);
            let part = Extent::new(start, len, place)
                .ok_or_else(|| self.damaged(extent.location(), "an extent out of range"))?;
            found(part)?;
            start += len;
        }
        Ok(())
    }

    /// As [`Self::resolve`], but one step only, for an extent of a forwarded segment.
    pub(crate) fn step(
        &self,
        extent: Extent,
        found: &mut dyn FnMut(Extent) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut start = extent.start();
        while start < extent.end() {
            let at = extent.location().advance(start - extent.start());
            let Some(carrier) = at.segment().and_then(|id| self.carrier(id)) else {
                return Ok(());
            };
            let entry = self.entry(carrier, at)?;
            let skip = at.raw() - entry.from.raw();
            let len = (u64::from(entry.sectors) - skip).min(extent.end() - start);
            if let Some(part) = Extent::new(start, len, entry.to.advance(skip)) {
                found(part)?;
            }
            start += len;
        }
        Ok(())
    }

    /// The whole table of a carrier; none in other segments.
    pub(crate) fn forwards(&self, carrier: SegmentId) -> Result<Vec<Forward>, Error> {
        if self.directory(carrier)?.forwarding.len == 0 {
            return Ok(Vec::new());
        }
        let index = self.index(carrier)?;
        let mut out = Vec::new();
        for page in 0..index.firsts.len() as u32 {
            out.extend_from_slice(&self.page(carrier, &index, page)?);
        }
        Ok(out)
    }

    fn entry(&self, carrier: SegmentId, at: Location) -> Result<Forward, Error> {
        let index = self.index(carrier)?;
        let page = match index.page_of(at) {
            Some(page) => self.page(carrier, &index, page)?,
            None => return Err(self.damaged(at, "its forwarding table does not have it")),
        };
        let after = page.partition_point(|entry| entry.from <= at);
        after
            .checked_sub(1)
            .and_then(|n| page.get(n))
            .filter(|entry| at < entry.end())
            .copied()
            .ok_or_else(|| self.damaged(at, "its forwarding table does not have it"))
    }

    fn index(&self, carrier: SegmentId) -> Result<Arc<ForwardIndex>, Error> {
        if let Some(index) = self.leaving.indexes.get(&carrier) {
            return Ok(index);
        }
        let section = self.directory(carrier)?.forwarding;
        let index = self.of_any_copy(carrier, |store| self.load_index(store, carrier, section))?;
        let index = Arc::new(index);
        self.leaving.indexes.insert(carrier, Arc::clone(&index));
        Ok(index)
    }

    fn load_index(
        &self,
        store: &dyn Store,
        carrier: SegmentId,
        section: Section,
    ) -> Result<ForwardIndex, Error> {
        // The section's length is a number that was read: it is held against the file.
        let known = self.len(store, carrier)?;
        let bytes = ForwardIndex::bytes_in(section.len);
        if section.offset.checked_add(section.len).is_none_or(|end| end > known) || section.len == 0
        {
            let e = FormatError::Field { what: "segment directory", field: "forwarding" };
            return Err(self.damaged_segment(carrier, &e));
        }
        let mut raw = vec![0; bytes as usize];
        self.read_exact(store, carrier, section.offset, &mut raw)?;
        let (got, expected) = (crc32c(&raw), section.crc);
        if got != expected {
            let e = FormatError::Checksum { what: "forwarding index", got, expected };
            return Err(self.damaged_segment(carrier, &e));
        }
        ForwardIndex::decode(&raw).map_err(|e| self.damaged_segment(carrier, &e))
    }

    fn page(
        &self,
        carrier: SegmentId,
        index: &ForwardIndex,
        number: u32,
    ) -> Result<Arc<[Forward]>, Error> {
        if let Some(page) = self.leaving.pages.get(&(carrier, number)) {
            return Ok(page);
        }
        let section = self.directory(carrier)?.forwarding;
        let page = self.of_any_copy(carrier, |store| {
            let (mut bytes, at) =
                (vec![0; FORWARD_PAGE_BYTES], section.offset + index.page_offset(number));
            self.read_exact(store, carrier, at, &mut bytes)?;
            decode_forward_page(&bytes, number).map_err(|e| self.damaged_segment(carrier, &e))
        })?;
        let page: Arc<[Forward]> = page.into();
        self.leaving.pages.insert((carrier, number), Arc::clone(&page));
        Ok(page)
    }
}
