//! A cache of pages of sealed segments on a disk of the host, for pools that are far.
//!
//! The key is a segment and a page of it, 64 KiB: no pool, no volume, no map. So what one clone
//! read is there for all of them, also after a segment moved to another pool.
//!
//! # Architecture invariant
//! A byte comes out of a cache only when the checksum of its page says that it is what was put
//! in; anything else is not there. What is in it is of segments that are sealed, so that nothing
//! is ever out of date. Two things could break that, and both end it: an id that is given again
//! (an old copy of the data folder was put back), and a segment that recovery writes anew. So a
//! cache serves nothing before the log was read back ([`HostCache::begin`]); whoever makes a
//! segment writable takes back what is kept of it; and one that did not see an opening of its
//! store is made anew (its token). Losing a cache costs requests, and nothing else.

mod aside;
mod files;
mod flight;
mod queue;
mod read;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use archipelago_env::Env;
use archipelago_format::cache_file::{PAGE_BYTES, PageRecord, RECORD_BYTES};
use archipelago_model::{PoolId, SegmentId};
use parking_lot::{Mutex, RwLock};

use self::aside::Aside;
use self::files::Files;
use self::flight::Flight;
use self::queue::Queue;
use crate::StoreError;

/// The smallest cache, in bytes: some pages for each of many readers.
pub const CACHE_BYTES_MIN: u64 = 16 << 20;
/// Places that a cache grows by, 16 MiB of the disk.
const GROWTH: u32 = 256;

/// What a cache did since it was opened, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CacheFigures {
    /// Pages that were read from it.
    pub hits: u64,
    /// Pages that were asked for and not there.
    pub misses: u64,
    /// Requests that it made of pools.
    pub requests: u64,
    /// Bytes that these brought.
    pub fetched_bytes: u64,
    /// Pages that had to go for others.
    pub evictions: u64,
    /// Pages that did not match their checksum: torn by a crash, or rotten.
    pub mismatches: u64,
    /// Errors of its disk.
    pub errors: u64,
    /// Bytes that it keeps.
    pub bytes: u64,
    /// Bytes that it may keep.
    pub bytes_max: u64,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    requests: AtomicU64,
    fetched_bytes: AtomicU64,
    evictions: AtomicU64,
    mismatches: AtomicU64,
}

/// A cache on a disk of this host.
pub struct HostCache {
    files: Files,
    capacity: u32,
    state: Mutex<State>,
    /// One at a time reserves room.
    growing: Mutex<()>,
    /// Whether it serves: see [`Self::begin`].
    serves: AtomicBool,
    aside: Aside,
    /// The pools whose segments are kept.
    far: RwLock<HashSet<PoolId>>,
    counters: Counters,
}

/// What is where. Locked for moments, never over a request or a look at the disk.
struct State {
    queue: Queue,
    /// Of each segment of which there is a page.
    segments: HashMap<SegmentId, Known>,
    /// Pages on their way.
    flights: HashMap<u64, Arc<Flight>>,
}

#[derive(Clone, Copy)]
struct Known {
    bytes: u64,
    /// Pages of it that are kept.
    pages: u32,
}

impl HostCache {
    /// Opens the cache of `store` in a folder, or makes it, with at most `bytes` of the disk. It
    /// serves nothing before [`Self::begin`].
    ///
    /// `trusted` is the token that the data folder has: with another one, or none, all that is kept
    /// is dropped, and [`Self::token`] is a new one.
    ///
    /// # Errors
    /// Why it cannot be used, in words for the operator: it is another store's, or another process
    /// has it open, or something else is in the folder, or the disk fails.
    pub fn open(
        env: &Env,
        folder: &Path,
        store: [u8; 16],
        bytes: u64,
        trusted: Option<[u8; 16]>,
    ) -> Result<Arc<Self>, String> {
        let places = bytes.max(CACHE_BYTES_MIN) / (PAGE_BYTES + RECORD_BYTES as u64);
        let capacity = u32::try_from(places).unwrap_or(u32::MAX - 1);
        let files = Files::open(env, folder, store, trusted)?;
        let mut state = State {
            queue: Queue::new(capacity),
            segments: HashMap::new(),
            flights: HashMap::new(),
        };
        let mut passed_over = Vec::new();
        files
            .cut(capacity, |(place, record)| {
                if !state.restore(place, &record) {
                    passed_over.push(place);
                }
            })
            // What is on the disk and not known here could not be taken back later.
            .and_then(|()| files.blank(&passed_over))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let pages = state.queue.kept();
        tracing::info!(cache = %folder.display(), pages, capacity, "the cache on the host's disk");
        Ok(Arc::new(Self {
            files,
            capacity,
            state: Mutex::new(state),
            growing: Mutex::new(()),
            serves: AtomicBool::new(false),
            aside: Aside::new(env.clone()),
            far: RwLock::default(),
            counters: Counters::default(),
        }))
    }

    /// What tells this cache from the one that it was before it was made anew: for the data folder,
    /// durably, before [`Self::begin`].
    pub const fn token(&self) -> [u8; 16] {
        self.files.token()
    }

    /// From now on it serves: the log was read back, and whoever writes a segment from now on
    /// writes one that has the id `next` or a greater one.
    ///
    /// # Errors
    /// What is kept of such segments could not be taken back: then it serves nothing.
    pub fn begin(&self, next: SegmentId) -> Result<(), StoreError> {
        let ids: Vec<SegmentId> = {
            let state = self.state.lock();
            state.segments.keys().filter(|id| **id >= next).copied().collect()
        };
        for id in ids {
            tracing::warn!(segment = %id, "the cache has pages of a segment that is not made yet: \
                was an old copy of the data folder put back?");
            self.forget(id)?;
        }
        self.serves.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether segments of a pool are kept.
    pub fn set_far(&self, pool: PoolId, far: bool) {
        let mut pools = self.far.write();
        if far {
            pools.insert(pool);
        } else {
            pools.remove(&pool);
        }
    }

    pub(crate) fn is_for(&self, pool: PoolId) -> bool {
        self.serves.load(Ordering::Acquire) && self.far.read().contains(&pool)
    }

    /// What is wrong with it, until that is mended.
    pub fn problem(&self) -> Option<String> {
        self.aside.problem()
    }

    /// The figures. Each is right by itself; they are not of one moment.
    pub fn figures(&self) -> CacheFigures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let from = &self.counters;
        CacheFigures {
            hits: get(&from.hits),
            misses: get(&from.misses),
            requests: get(&from.requests),
            fetched_bytes: get(&from.fetched_bytes),
            evictions: get(&from.evictions),
            mismatches: get(&from.mismatches),
            errors: self.aside.errors(),
            bytes: u64::from(self.state.lock().queue.kept()) * PAGE_BYTES,
            bytes_max: u64::from(self.capacity) * PAGE_BYTES,
        }
    }

    /// Drops what is kept of a segment that is gone, or whose bytes are not what they should be: the
    /// pool may give better ones. Whether there was any.
    pub fn doubt(&self, id: SegmentId) -> bool {
        !self.state.lock().drop_segment(id).is_empty()
    }

    /// Takes back what is kept of a segment that somebody may write, durably.
    ///
    /// # Errors
    /// The disk of the cache does not do that, nor does it remove all of the cache.
    pub(crate) fn forget(&self, id: SegmentId) -> Result<(), StoreError> {
        let places = self.state.lock().drop_segment(id);
        let Err(error) = self.files.blank(&places) else { return Ok(()) };
        self.aside.failed("take back a page", &error);
        self.serves.store(false, Ordering::Release);
        self.files.remove().map_err(|source| StoreError::Io {
            segment: Some(id),
            op: "take back what the cache on the host's disk has of",
            source,
        })
    }

    /// Keeps a page that a pool gave, if there is a place for it.
    fn keep(&self, id: SegmentId, segment_bytes: u64, page: u32, bytes: &[u8]) {
        if !self.aside.may_write() {
            return;
        }
        self.grow();
        let place = {
            let mut state = self.state.lock();
            let Some(taken) = state.queue.take() else { return };
            if let Some(evicted) = taken.evicted {
                state.lost(segment_of(evicted));
                self.counters.evictions.fetch_add(1, Ordering::Relaxed);
            }
            taken.place
        };
        let record = PageRecord::of(id, segment_bytes, page, bytes);
        match self.files.write(place, &record, bytes) {
            Ok(()) => {
                self.aside.works();
                self.state.lock().put(place, &record);
            }
            Err(error) => {
                self.state.lock().queue.give_back(place);
                self.aside.failed("write", &error);
            }
        }
    }

    /// Reserves more of the disk, if pages that come want it and others do not.
    fn grow(&self) {
        let wants = || self.state.lock().queue.wants_to_grow();
        if wants().is_none() || !self.aside.may_grow() {
            return;
        }
        // Who meets another one at it takes the place of an older page, or keeps nothing.
        let Some(_growing) = self.growing.try_lock() else { return };
        let Some(from) = wants() else { return };
        let end = self.capacity.min(from + GROWTH);
        let bytes = u64::from(from) * PAGE_BYTES;
        let reserved = match self.files.has_room(end - from) {
            Ok(true) => self.files.reserve(from, end),
            Ok(false) => return self.aside.is_full(bytes, "its disk is nearly full"),
            Err(error) => Err(error),
        };
        match reserved {
            Ok(()) => {
                self.aside.grew();
                self.state.lock().queue.grow(end);
            }
            Err(error) => self.aside.is_full(bytes, &error.to_string()),
        }
    }
}

impl State {
    fn restore(&mut self, place: u32, record: &PageRecord) -> bool {
        let known = self.segments.get(&record.segment);
        // A segment has one length; where two are told, one of them is of another one.
        if known.is_some_and(|known| known.bytes != record.segment_bytes) {
            return false;
        }
        let kept = self.queue.restore(place, key(record.segment, record.page), record.check);
        if kept {
            self.count(record);
        }
        kept
    }

    fn put(&mut self, place: u32, record: &PageRecord) {
        let known = self.segments.get(&record.segment);
        if known.is_some_and(|known| known.bytes != record.segment_bytes) {
            return self.queue.give_back(place);
        }
        let before = self.queue.kept();
        self.queue.put(place, key(record.segment, record.page), record.check);
        if self.queue.kept() > before {
            self.count(record);
        }
    }

    fn count(&mut self, record: &PageRecord) {
        let bytes = record.segment_bytes;
        let known = self.segments.entry(record.segment).or_insert(Known { bytes, pages: 0 });
        known.pages += 1;
    }

    /// A page of a segment is no longer kept.
    fn lost(&mut self, id: Option<SegmentId>) {
        let Some(id) = id else { return };
        if let Some(known) = self.segments.get_mut(&id) {
            known.pages = known.pages.saturating_sub(1);
            if known.pages == 0 {
                self.segments.remove(&id);
            }
        }
    }

    /// Drops all pages of a segment, and tells their places.
    fn drop_segment(&mut self, id: SegmentId) -> Vec<u32> {
        let Some(known) = self.segments.remove(&id) else { return Vec::new() };
        let pages = u32::try_from(known.bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX);
        let mut places = Vec::new();
        for page in 0..pages {
            if places.len() as u32 == known.pages {
                break;
            }
            let key = key(id, page);
            if let Some(kept) = self.queue.look(key)
                && self.queue.remove(key, kept)
            {
                places.push(kept.place);
            }
        }
        places
    }
}

/// Segment and page as one number.
fn key(id: SegmentId, page: u32) -> u64 {
    id.get() << 24 | u64::from(page)
}

fn segment_of(key: u64) -> Option<SegmentId> {
    SegmentId::new(key >> 24)
}

#[cfg(test)]
mod tests;
