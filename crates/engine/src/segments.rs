//! Segments: ids, directories, slots, and every read of the store.
//!
//! # Architecture invariant
//! No byte leaves this module that was not verified against its slot's checksum
//! (unpacked chunks in the cache were, when they were unpacked). Segments never
//! change once a location in them is known, so nothing here is ever invalidated.

mod forward;
mod read;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_env::Env;
use archipelago_format::segment::{
    Directory, Fingerprint, Section, SegmentHeader, SegmentKind, Slot, SlotPage, TRAILER_BYTES,
    Trailer,
};
use archipelago_format::{FormatError, crc32c};
use archipelago_model::{Location, PoolId, SegmentId};
use archipelago_store::{SegmentWriter, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

pub(crate) use self::read::unpack_zstd;
use crate::config::Config;
use crate::engine::{Copies, Doubt};
use crate::error::Error;

/// Ids are taken from the catalog so many at a time: one transaction for 8 GiB
/// of log, and few are lost when the program ends.
const IDS_PER_RESERVATION: u64 = 256;
/// The end of a sealed segment that is read first: holds the trailer and, for
/// nearly every segment, the directory.
const TAIL_BYTES: u64 = 4096;
/// Bytes read at once when the end of a file is searched for.
const WINDOW_BYTES: usize = 256 << 10;

/// Gives ids that nobody was ever given.
pub trait SegmentIds: Send + Sync {
    /// `count` new ids, recorded durably before they are returned.
    ///
    /// # Errors
    /// Whatever kept the catalog from recording them.
    fn reserve(&self, count: u64) -> Result<Range<u64>, Box<dyn std::error::Error + Send + Sync>>;
}

/// A segment that was sealed, for the catalog's table of segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    /// Its id.
    pub id: SegmentId,
    /// The pool that has it.
    pub pool: PoolId,
    /// What wrote it.
    pub kind: SegmentKind,
    /// Bytes in the backend, footer included.
    pub stored_bytes: u64,
    /// Raw bytes that its slots hold.
    pub raw_bytes: u64,
}

impl SegmentInfo {
    fn of(directory: &Directory, file_bytes: u64, pool: PoolId) -> Self {
        Self {
            id: directory.header.id,
            pool,
            kind: directory.header.kind,
            stored_bytes: file_bytes,
            raw_bytes: u64::from(directory.end) * archipelago_model::SECTOR_BYTES,
        }
    }
}

/// The slots of a hot segment that is still open.
#[derive(Default)]
pub(crate) struct OpenSlots {
    slots: RwLock<Vec<Slot>>,
}

impl OpenSlots {
    /// Adds slots, which lie behind all others. Their bytes may not be written
    /// yet: nobody knows their locations.
    pub(crate) fn extend(&self, more: impl IntoIterator<Item = Slot>) {
        self.slots.write().extend(more);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.read().len()
    }

    /// Takes slots back whose bytes could not be written.
    pub(crate) fn truncate(&self, len: usize) {
        self.slots.write().truncate(len);
    }

    pub(crate) fn to_vec(&self) -> Vec<Slot> {
        self.slots.read().clone()
    }
}

/// The bytes that a trailer would be.
fn last(tail: &[u8]) -> &[u8] {
    &tail[tail.len().saturating_sub(TRAILER_BYTES)..]
}

#[derive(Clone)]
struct PageWeight;

impl Weighter<(SegmentId, u32), Arc<SlotPage>> for PageWeight {
    fn weight(&self, _: &(SegmentId, u32), page: &Arc<SlotPage>) -> u64 {
        (page.slots.len() * size_of::<Slot>() + 64) as u64
    }
}

#[derive(Clone)]
struct DirectoryWeight;

impl Weighter<SegmentId, Arc<Directory>> for DirectoryWeight {
    fn weight(&self, _: &SegmentId, directory: &Arc<Directory>) -> u64 {
        (directory.page_starts.len() * 4 + size_of::<Directory>() + 64) as u64
    }
}

#[derive(Clone)]
struct ChunkWeight;

impl Weighter<Location, Arc<[u8]>> for ChunkWeight {
    fn weight(&self, _: &Location, chunk: &Arc<[u8]>) -> u64 {
        (chunk.len() + 64) as u64
    }
}

/// All segments of the store.
pub(crate) struct Segments {
    store: Arc<dyn Store>,
    doubt: Option<Doubt>,
    copies: Option<Copies>,
    env: Env,
    store_uuid: [u8; 16],
    ids: Arc<dyn SegmentIds>,
    reserved: Mutex<Range<u64>>,
    /// Ids below this exist already, whatever the catalog believes.
    ids_from: AtomicU64,
    /// The last id that was given.
    last: AtomicU64,
    open: RwLock<HashMap<SegmentId, Arc<OpenSlots>>>,
    directories: Cache<SegmentId, Arc<Directory>, DirectoryWeight>,
    pages: Cache<(SegmentId, u32), Arc<SlotPage>, PageWeight>,
    chunks: Cache<Location, Arc<[u8]>, ChunkWeight>,
    sealed: Mutex<Vec<SegmentInfo>>,
    /// What recovery found in doubt and kept.
    doubtful: Mutex<HashSet<SegmentId>>,
    leaving: forward::Leaving,
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
    mended: AtomicU64,
}

impl Segments {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        env: Env,
        store_uuid: [u8; 16],
        ids: Arc<dyn SegmentIds>,
        config: &Config,
    ) -> Self {
        let items = |bytes: u64, each: u64| (bytes / each).max(16) as usize;
        let (chunk, slot) = (config.chunk_cache_bytes, config.slot_cache_bytes);
        Self {
            store,
            doubt: None,
            copies: None,
            env,
            store_uuid,
            ids,
            reserved: Mutex::new(0..0),
            ids_from: AtomicU64::new(0),
            last: AtomicU64::new(0),
            open: RwLock::default(),
            directories: Cache::with_weighter(items(slot / 4, 512), slot / 4, DirectoryWeight),
            pages: Cache::with_weighter(items(slot, 4096), slot / 4 * 3, PageWeight),
            chunks: Cache::with_weighter(items(chunk, 65536), chunk, ChunkWeight),
            sealed: Mutex::default(),
            doubtful: Mutex::default(),
            leaving: forward::Leaving::new(slot / 2),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            mended: AtomicU64::new(0),
        }
    }

    /// The same, above caches that may have wrong bytes, and pools of which another may have a
    /// segment as well.
    pub(crate) fn doubting(self, doubt: Option<Doubt>, copies: Option<Copies>) -> Self {
        Self { doubt, copies, ..self }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) const fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) const fn store_uuid(&self) -> &[u8; 16] {
        &self.store_uuid
    }

    /// (hits, misses, bytes cached, damaged reads).
    pub(crate) fn figures(&self) -> (u64, u64, u64, u64) {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (get(&self.hits), get(&self.misses), self.chunks.weight(), get(&self.damaged))
    }

    /// Reads that failed verification, and that another copy has answered.
    pub(crate) fn mended(&self) -> u64 {
        self.mended.load(Ordering::Relaxed)
    }

    /// Makes something of what is stored of a segment; where that is not what was written, once
    /// more without what a cache has of it (a pool that gave wrong bytes once need not give them
    /// again), and then of each copy that there is, until one is whole.
    fn of_any_copy<T>(
        &self,
        id: SegmentId,
        mut make: impl FnMut(&dyn Store) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut made = make(&*self.store);
        if let Err(error @ Error::Damaged { .. }) = &made
            && self.doubt.as_ref().is_some_and(|doubt| doubt(id))
        {
            tracing::warn!(segment = %id, %error, "reading it from its pool again");
            made = make(&*self.store);
        }
        if !matches!(made, Err(Error::Damaged { .. })) {
            return made;
        }
        for copy in self.copies.as_ref().map(|copies| copies(id)).unwrap_or_default() {
            if let Ok(good) = make(&*copy) {
                self.mended.fetch_add(1, Ordering::Relaxed);
                return Ok(good);
            }
        }
        made
    }

    /// A fresh id, durable in the catalog.
    pub(crate) fn allocate(&self) -> Result<SegmentId, Error> {
        let from = self.ids_from.load(Ordering::Acquire);
        let mut reserved = self.reserved.lock();
        loop {
            if reserved.is_empty() {
                *reserved = self.ids.reserve(IDS_PER_RESERVATION).map_err(Error::Ids)?;
            }
            reserved.start = reserved.start.max(from.min(reserved.end));
            if let Some(raw) = reserved.next() {
                self.last.fetch_max(raw, Ordering::AcqRel);
                return SegmentId::new(raw).ok_or_else(|| Error::Ids("the ids are used up".into()));
            }
        }
    }

    /// Every id that will be given is this or a greater one.
    pub(crate) fn next_id(&self) -> SegmentId {
        let behind = self.last.load(Ordering::Acquire) + 1;
        SegmentId::new(behind.max(self.ids_from.load(Ordering::Acquire))).unwrap_or(SegmentId::MIN)
    }

    /// Gives no id below `first` from now on. A catalog put back from a backup has
    /// forgotten ids that it gave.
    pub(crate) fn ids_from(&self, first: SegmentId) {
        self.ids_from.store(first.get(), Ordering::Release);
    }

    /// A new segment in a pool, with nothing in it: the writer begins with the header.
    pub(crate) fn create(
        &self,
        kind: SegmentKind,
        capacity: u64,
        pool: PoolId,
    ) -> Result<(SegmentHeader, Arc<dyn SegmentWriter>), Error> {
        let id = self.allocate()?;
        let writer = self.store.create_in(pool, id, capacity)?;
        let created_ms = self.env.clock().unix_ms();
        let mut salt = [0; 4];
        self.env.random().fill(&mut salt);
        let salt = u32::from_le_bytes(salt);
        Ok((SegmentHeader { id, kind, store: self.store_uuid, created_ms, salt }, writer))
    }

    /// From now on the slots of `id` are found in `slots`.
    pub(crate) fn opened(&self, id: SegmentId, slots: Arc<OpenSlots>) {
        self.open.write().insert(id, slots);
    }

    /// The first segment whose slots are known from its scan only: recovery must
    /// begin there, whatever else is persisted.
    pub(crate) fn first_open(&self) -> Option<SegmentId> {
        self.open.read().keys().min().copied()
    }

    /// Whether a segment has no footer yet.
    pub(crate) fn is_open(&self, id: SegmentId) -> bool {
        self.open.read().contains_key(&id)
    }

    /// A segment that may hold what was flushed, though it cannot be read: it is for people
    /// to look at, and nobody removes it.
    pub(crate) fn keep(&self, id: SegmentId) {
        self.doubtful.lock().insert(id);
    }

    pub(crate) fn is_kept(&self, id: SegmentId) -> bool {
        self.doubtful.lock().contains(&id)
    }

    /// A segment that never held anything is no longer open.
    pub(crate) fn closed(&self, id: SegmentId) {
        self.open.write().remove(&id);
    }

    /// From now on the slots of this segment are found by its directory.
    pub(crate) fn sealed(&self, directory: Directory, file_bytes: u64) {
        let pool = self.store.pool_of(directory.header.id);
        let info = SegmentInfo::of(&directory, file_bytes, pool);
        let id = info.id;
        self.directories.insert(id, Arc::new(directory));
        // Known to be unrecorded before it stops being open: the floor of the log
        // passes neither. Who makes a backup records it.
        if info.kind != SegmentKind::Backup {
            self.sealed.lock().push(info);
        }
        self.open.write().remove(&id);
    }

    /// A sealed segment that the catalog may not know of yet.
    pub(crate) fn report(&self, directory: &Directory, file_bytes: u64) {
        let pool = self.store.pool_of(directory.header.id);
        self.sealed.lock().push(SegmentInfo::of(directory, file_bytes, pool));
    }

    /// Sealed segments that the catalog is not known to have.
    pub(crate) fn unrecorded(&self) -> Vec<SegmentInfo> {
        self.sealed.lock().clone()
    }

    /// Whether a segment is sealed and the catalog may not know of it yet.
    pub(crate) fn is_unrecorded(&self, id: SegmentId) -> bool {
        self.sealed.lock().iter().any(|info| info.id == id)
    }

    /// The catalog has these now.
    pub(crate) fn recorded(&self, infos: &[SegmentInfo]) {
        self.sealed.lock().retain(|info| !infos.contains(info));
    }

    /// Files of segments are gone: the catalog must not be told of them any more.
    pub(crate) fn gone(&self, ids: &[SegmentId]) {
        self.sealed.lock().retain(|info| !ids.contains(&info.id));
        ids.iter().for_each(|id| self.forget(*id));
    }

    /// Drops what is cached of a footer that recovery found to be torn.
    pub(crate) fn forget(&self, id: SegmentId) {
        if let Some((_, directory)) = self.directories.remove(&id) {
            for page in 0..directory.page_starts.len() {
                self.pages.remove(&(id, page as u32));
            }
        }
    }

    /// Drops all that is cached, as a restart does.
    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        self.directories.clear();
        self.pages.clear();
        self.chunks.clear();
    }

    /// The directory of a sealed segment.
    pub(crate) fn directory(&self, id: SegmentId) -> Result<Arc<Directory>, Error> {
        if let Some(directory) = self.directories.get(&id) {
            return Ok(directory);
        }
        let loaded = self.of_any_copy(id, |store| self.load_directory(store, id))?;
        let directory = Arc::new(loaded);
        self.directories.insert(id, Arc::clone(&directory));
        Ok(directory)
    }

    fn load_directory(&self, store: &dyn Store, id: SegmentId) -> Result<Directory, Error> {
        let bad = |e: FormatError| self.damaged_segment(id, &e);
        let mut len = self.len(store, id)?;
        let mut tail = self.tail(store, id, len)?;
        if Trailer::decode(last(&tail)).is_err() {
            // The cut to its length may have been lost with a sync that failed:
            // then zeros that were reserved follow the trailer.
            len = self.end_of_bytes(store, id, len)?;
            tail = self.tail(store, id, len)?;
        }
        let tail_at = len - tail.len() as u64;
        let at = tail.len().saturating_sub(TRAILER_BYTES);
        let trailer = Trailer::decode(last(&tail)).map_err(bad)?;
        let behind = u64::from(trailer.directory_len) + TRAILER_BYTES as u64;
        if trailer.directory_offset.checked_add(behind) != Some(len) {
            return Err(bad(FormatError::Field { what: "segment trailer", field: "directory" }));
        }
        let bytes = if trailer.directory_offset >= tail_at {
            tail[(trailer.directory_offset - tail_at) as usize..at].to_vec()
        } else {
            let mut bytes = vec![0; trailer.directory_len as usize];
            self.read_exact(store, id, trailer.directory_offset, &mut bytes)?;
            bytes
        };
        let (got, expected) = (crc32c(&bytes), trailer.directory_crc);
        if got != expected {
            return Err(bad(FormatError::Checksum { what: "segment directory", got, expected }));
        }
        let directory = Directory::decode(&bytes).map_err(bad)?;
        if directory.header.id != id || directory.header.store != self.store_uuid {
            return Err(bad(FormatError::Field { what: "segment directory", field: "id" }));
        }
        // So every section lies in the file, and recovery, which goes by the length that
        // the directory tells, writes and cuts nothing else.
        if directory.file_bytes() != len {
            return Err(bad(FormatError::Field { what: "segment directory", field: "length" }));
        }
        Ok(directory)
    }

    /// The last bytes of a file of `len` bytes.
    fn tail(&self, store: &dyn Store, id: SegmentId, len: u64) -> Result<Vec<u8>, Error> {
        let mut tail = vec![0; len.min(TAIL_BYTES) as usize];
        self.read_exact(store, id, len - tail.len() as u64, &mut tail)?;
        Ok(tail)
    }

    /// Where the zeros at the end of a file begin.
    fn end_of_bytes(&self, store: &dyn Store, id: SegmentId, len: u64) -> Result<u64, Error> {
        let mut end = len;
        let mut window = vec![0; WINDOW_BYTES];
        while end > 0 {
            let n = end.min(WINDOW_BYTES as u64) as usize;
            self.read_exact(store, id, end - n as u64, &mut window[..n])?;
            if let Some(last) = window[..n].iter().rposition(|&b| b != 0) {
                return Ok(end - (n - 1 - last) as u64);
            }
            end -= n as u64;
        }
        Ok(0)
    }

    /// A verified part of a footer.
    pub(crate) fn section(&self, id: SegmentId, section: Section) -> Result<Vec<u8>, Error> {
        self.of_any_copy(id, |store| self.section_of(store, id, section))
    }

    fn section_of(
        &self,
        store: &dyn Store,
        id: SegmentId,
        section: Section,
    ) -> Result<Vec<u8>, Error> {
        let len = self.len(store, id)?;
        if section.offset.checked_add(section.len).is_none_or(|end| end > len) {
            let e = FormatError::Field { what: "segment directory", field: "section" };
            return Err(self.damaged_segment(id, &e));
        }
        let mut bytes = vec![0; section.len as usize];
        self.read_exact(store, id, section.offset, &mut bytes)?;
        let (got, expected) = (crc32c(&bytes), section.crc);
        if got != expected {
            let e = FormatError::Checksum { what: "segment footer", got, expected };
            return Err(self.damaged_segment(id, &e));
        }
        Ok(bytes)
    }

    /// All fingerprints of a sealed cold segment.
    pub(crate) fn fingerprints(&self, id: SegmentId) -> Result<Vec<Fingerprint>, Error> {
        let section = self.directory(id)?.fingerprints;
        Fingerprint::decode_all(&self.section(id, section)?)
            .map_err(|e| self.damaged_segment(id, &e))
    }

    /// Those of its fingerprints that the sampled index keeps.
    pub(crate) fn samples(&self, id: SegmentId) -> Result<Vec<Fingerprint>, Error> {
        let section = self.directory(id)?.samples;
        Fingerprint::decode_all(&self.section(id, section)?)
            .map_err(|e| self.damaged_segment(id, &e))
    }

    fn len(&self, store: &dyn Store, id: SegmentId) -> Result<u64, Error> {
        Ok(if self.is_open(id) { store.len(id) } else { store.sealed_len(id) }?)
    }

    fn read_exact(
        &self,
        store: &dyn Store,
        id: SegmentId,
        offset: u64,
        out: &mut [u8],
    ) -> Result<(), Error> {
        // What is not open any more is sealed; while the log is read back, no cache serves.
        let got = if self.is_open(id) {
            store.read_at(id, offset, out)
        } else {
            store.read_sealed(id, offset, out)
        }?;
        if got == out.len() {
            return Ok(());
        }
        let e = FormatError::Short { what: "segment", needed: out.len() as u64, got: got as u64 };
        Err(self.damaged_segment(id, &e))
    }

    fn damaged_segment(&self, id: SegmentId, error: &FormatError) -> Error {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        Error::damaged_segment(id, error)
    }

    fn damaged(&self, at: Location, what: impl ToString) -> Error {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        Error::damaged(at, what)
    }

    /// Whether a pool that does not answer is the reason.
    pub(crate) fn is_away(error: &Error) -> bool {
        matches!(error, Error::Store(StoreError::Unavailable { .. }))
    }

    /// Whether a missing segment is the reason.
    pub(crate) fn is_missing(error: &Error) -> bool {
        matches!(error, Error::Store(StoreError::NotFound { .. }))
    }
}

#[cfg(test)]
mod tests;
