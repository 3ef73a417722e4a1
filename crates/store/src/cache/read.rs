//! Reading through a cache: pages that are there, and one request for those that are not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipelago_format::cache_file::{PAGE_BYTES, PAGES_MAX, PageRecord, page_len};
use archipelago_model::SegmentId;

use super::flight::{Flight, Landed};
use super::{HostCache, key};
use crate::{Store, StoreError};

/// Pages that are asked for together, 1 MiB: what lies between two of them that are missing is
/// fetched as well, since a request costs more than its bytes.
const RUN_PAGES_MAX: u64 = 16;
/// Looks at pages that others bring and take away meanwhile; then the pool is asked.
const TRIES_MAX: u32 = 3;

/// A segment that is read.
struct Segment<'a> {
    pool: &'a dyn Store,
    id: SegmentId,
    bytes: u64,
}

impl Segment<'_> {
    fn page(&self, page: u32) -> usize {
        page_len(self.bytes, page) as usize
    }
}

/// What is wanted of it.
struct Wanted<'a> {
    at: u64,
    out: &'a mut [u8],
}

impl Wanted<'_> {
    fn pages(&self) -> std::ops::RangeInclusive<u32> {
        let end = self.at + self.out.len() as u64;
        (self.at / PAGE_BYTES) as u32..=(end.saturating_sub(1) / PAGE_BYTES) as u32
    }

    /// Where a page of so many bytes lies in what is wanted, if all of it is.
    fn whole(&mut self, page: u32, len: usize) -> Option<&mut [u8]> {
        let from = (u64::from(page) * PAGE_BYTES).checked_sub(self.at)? as usize;
        self.out.get_mut(from..from.checked_add(len)?)
    }

    /// Takes what is wanted of `bytes`, which begin at `at` of the segment.
    fn take(&mut self, at: u64, bytes: &[u8]) {
        let (from, end) = (self.at.max(at), at + bytes.len() as u64);
        let end = end.min(self.at + self.out.len() as u64);
        if from < end {
            let source = &bytes[(from - at) as usize..(end - at) as usize];
            self.out[(from - self.at) as usize..(end - self.at) as usize].copy_from_slice(source);
        }
    }
}

impl HostCache {
    /// The length of a sealed segment.
    pub(crate) fn len(&self, pool: &dyn Store, id: SegmentId) -> Result<u64, StoreError> {
        let known = self.state.lock().segments.get(&id).map(|known| known.bytes);
        known.map_or_else(|| pool.len(id), Ok)
    }

    /// Reads a sealed segment: as [`Store::read_at`] of the pool.
    pub(crate) fn read(
        &self,
        pool: &dyn Store,
        id: SegmentId,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, StoreError> {
        if !self.aside.may_read() {
            return pool.read_at(id, offset, buf);
        }
        let segment = Segment { pool, id, bytes: self.len(pool, id)? };
        let want = segment.bytes.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < want {
            let at = offset + done as u64;
            let run_end = (at / PAGE_BYTES + RUN_PAGES_MAX).saturating_mul(PAGE_BYTES);
            let here = ((want - done) as u64).min(run_end - at) as usize;
            let mut wanted = Wanted { at, out: &mut buf[done..done + here] };
            if run_end > PAGES_MAX * PAGE_BYTES || !self.run(&segment, &mut wanted)? {
                return Ok(done + pool.read_at(id, at, &mut buf[done..want])?);
            }
            done += here;
        }
        Ok(want)
    }

    /// Reads at most [`RUN_PAGES_MAX`] pages. Whether it could: else the pool is to be asked.
    fn run(&self, segment: &Segment<'_>, wanted: &mut Wanted<'_>) -> Result<bool, StoreError> {
        let mut missing: Vec<u32> = wanted.pages().collect();
        let mut scratch = Vec::new();
        for _ in 0..TRIES_MAX {
            missing.retain(|page| !self.serve(segment, *page, wanted, &mut scratch));
            if missing.is_empty() {
                return Ok(true);
            }
            let (ours, theirs) = self.claim(segment.id, &missing);
            let fetched = ours.span();
            if let Some(span) = &fetched {
                if !self.fetch(segment, ours, span, wanted)? {
                    return Ok(false);
                }
                missing.retain(|page| !span.contains(page));
            }
            for (page, flight) in theirs {
                if fetched.as_ref().is_some_and(|span| span.contains(&page)) {
                    continue;
                }
                match flight.wait() {
                    Landed::Bytes(bytes, from) => {
                        wanted.take(u64::from(page) * PAGE_BYTES, &bytes[from..]);
                        missing.retain(|missing| *missing != page);
                    }
                    Landed::Failed(error) => return Err(error.again()),
                    Landed::Nothing => return Ok(false),
                }
            }
            if missing.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a page from the disk of the host; whether it was there, whole.
    fn serve(
        &self,
        segment: &Segment<'_>,
        page: u32,
        wanted: &mut Wanted<'_>,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let key = key(segment.id, page);
        let Some(kept) = self.state.lock().queue.find(key) else { return false };
        let (id, segment_bytes, check) = (segment.id, segment.bytes, kept.check);
        let record = PageRecord { segment: id, segment_bytes, page, check };
        let len = segment.page(page);
        let whole = match wanted.whole(page, len) {
            Some(out) => self.files.read(kept.place, out).map(|()| record.vouches_for(out)),
            None => {
                scratch.resize(len, 0);
                let read = self.files.read(kept.place, scratch);
                let whole = read.map(|()| record.vouches_for(scratch));
                if matches!(whole, Ok(true)) {
                    wanted.take(u64::from(page) * PAGE_BYTES, scratch);
                }
                whole
            }
        };
        if matches!(whole, Ok(true)) {
            self.counters.hits.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let mut state = self.state.lock();
        // Another page may have come into its place meanwhile: then nothing is wrong.
        if state.queue.remove(key, kept) {
            state.lost(Some(id));
            drop(state);
            match whole {
                Err(error) => self.aside.failed("read", &error),
                Ok(_) => {
                    self.counters.mismatches.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(segment = %id, page, "a page of the cache is not what it was");
                }
            }
        }
        false
    }

    /// Sorts pages that are missing: those that nobody fetches are ours to fetch. What came
    /// meanwhile is neither.
    fn claim(&self, id: SegmentId, missing: &[u32]) -> (Claim<'_>, Vec<(u32, Arc<Flight>)>) {
        let mut claim = Claim { cache: self, id, pages: Vec::new() };
        let mut theirs = Vec::new();
        let mut state = self.state.lock();
        for page in missing {
            let key = key(id, *page);
            if let Some(flight) = state.flights.get(&key) {
                theirs.push((*page, Arc::clone(flight)));
            } else if state.queue.look(key).is_none() {
                let flight = Arc::default();
                state.flights.insert(key, Arc::clone(&flight));
                claim.pages.push((*page, flight));
            }
        }
        let asked = claim.pages.len() + theirs.len();
        self.counters.misses.fetch_add(asked as u64, Ordering::Relaxed);
        (claim, theirs)
    }

    /// Fetches the pages of a claim, and what is between them, with one request; whether the pool
    /// had all of it.
    fn fetch(
        &self,
        segment: &Segment<'_>,
        claim: Claim<'_>,
        span: &std::ops::RangeInclusive<u32>,
        wanted: &mut Wanted<'_>,
    ) -> Result<bool, StoreError> {
        let from = u64::from(*span.start()) * PAGE_BYTES;
        let end = u64::from(*span.end()) * PAGE_BYTES + segment.page(*span.end()) as u64;
        let mut bytes = vec![0; (end - from) as usize];
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        match segment.pool.read_at(segment.id, from, &mut bytes) {
            Ok(got) if got == bytes.len() => {}
            Ok(_) => return Ok(false),
            Err(error) => {
                claim.land(|_| Landed::Failed(Arc::new(error.again())));
                return Err(error);
            }
        }
        self.counters.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let bytes = Arc::new(bytes);
        let begin = |page: u32| (u64::from(page) * PAGE_BYTES - from) as usize;
        claim.land(|page| Landed::Bytes(Arc::clone(&bytes), begin(page)));
        wanted.take(from, &bytes);
        for (page, _) in &claim.pages {
            let at = begin(*page);
            self.keep(segment.id, segment.bytes, *page, &bytes[at..at + segment.page(*page)]);
        }
        Ok(true)
    }
}

/// Pages that this thread fetches. Dropped when they are kept: who asks from then on finds them.
struct Claim<'a> {
    cache: &'a HostCache,
    id: SegmentId,
    pages: Vec<(u32, Arc<Flight>)>,
}

impl Claim<'_> {
    fn span(&self) -> Option<std::ops::RangeInclusive<u32>> {
        let (first, last) = (self.pages.first()?, self.pages.last()?);
        Some(first.0..=last.0)
    }

    fn land(&self, outcome: impl Fn(u32) -> Landed) {
        self.pages.iter().for_each(|(page, flight)| flight.land(outcome(*page)));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.cache.state.lock();
            for (page, _) in &self.pages {
                state.flights.remove(&key(self.id, *page));
            }
        }
        // Nobody waits for what will not come.
        self.land(|_| Landed::Nothing);
    }
}
