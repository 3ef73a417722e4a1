//! The log: the host's open hot segments. What is appended here *is* the data;
//! it is copied nowhere to become permanent.
//!
//! Appending has two steps. *Reserving*, under a short lock, gives a batch its
//! place: a location, file sectors, slots. *Writing* then goes on in parallel,
//! one vectored write a batch. `gate` is held shared from before reserving until
//! the caller has put the batch into its overlay; taking it exclusively therefore
//! waits until everything that has a place is written and visible ("draining").
//!
//! # Architecture invariant
//! The log knows volumes only as numbers in records. It never reads what it
//! wrote, and nothing in it waits for a sync but [`Log::sync`].

mod recover;
mod room;
mod seal;
mod sync;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use archipelago_format::batch::{Header, Kind, PIECE_SECTORS, Record};
use archipelago_format::crc32c;
use archipelago_format::segment::{
    Codec, FOOTER_RECORD_BYTES, HEADER_BYTES, SLOT_PAGE_BYTES, SLOTS_PER_PAGE, SegmentHeader,
    SegmentKind, Slot, TRAILER_BYTES, encode_footer_record,
};
use archipelago_model::{Epoch, Location, PoolId, SECTOR_BYTES, VolumeId};
use archipelago_store::{SegmentWriter, StoreError};
use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use crate::error::Error;
use crate::segments::{OpenSlots, Segments};

pub(crate) use recover::{is_torn, records, recover, unsealed_records};

/// A batch holds at most this much payload: large requests become several, so
/// that a batch is small against a segment and others get their turn.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// A segment is at least this large, whatever is configured, to hold a batch of
/// map nodes and a footer.
const SEGMENT_BYTES_MIN: u64 = 128 << 10;
/// On a disk that is nearly full segments for data are not smaller than this part.
const SMALL_PARTS: u64 = 8;
/// A batch holds at most this many records.
pub(crate) const BATCH_RECORDS_MAX: usize = 512;
/// Full segments that wait for their footers. Beyond it writers wait until some are sealed,
/// which bounds the memory of their slot tables: 32 of at most 400 KiB.
/// Not fewer, since sealing syncs, and a burst should go as fast as the system's
/// page cache takes it.
const FULL_SEGMENTS_MAX: usize = 32;

/// When the last segment was synced so many times, the next one is written with
/// zeros beforehand: a sync of blocks that were written before costs a third less
/// than one of blocks only reserved, since the file system has nothing to note.
/// Writers who sync less often (every 128 KiB) gain nothing from twice the bytes.
const SYNCS_WORTH_ZEROING: u64 = 256;

const _: () = assert!(BATCH_RECORDS_MAX <= archipelago_format::batch::RECORDS_MAX);

/// One change to append.
pub(crate) struct Part<'a> {
    pub record: Record,
    pub payload: &'a [u8],
}

/// A batch that is written (not synced). While this lives the log cannot be
/// drained; put the batch into its overlay, then drop it.
pub(crate) struct Appended<'a> {
    pub first: Location,
    _gate: RwLockReadGuard<'a, ()>,
}

/// A hot segment without a footer.
struct OpenSegment {
    header: SegmentHeader,
    writer: Arc<dyn SegmentWriter>,
    slots: Arc<OpenSlots>,
    capacity: u64,
    /// Sectors of the file that are durable.
    synced: AtomicU32,
    /// A batch in the middle could not be written: a scan would stop there, so
    /// only a footer makes what follows durable.
    gap: AtomicBool,
    /// Behind the last batch may be one whole whose writer was told that it failed.
    litter: AtomicBool,
    /// It has its footer, and may be cut: only its seal is asked for again.
    cut: AtomicBool,
}

/// A segment and how far it is filled.
struct Filled {
    segment: Arc<OpenSegment>,
    /// Sectors of the file in use.
    file_end: u32,
    /// The next position.
    position: u32,
    /// Footer records, encoded.
    records: Vec<u8>,
}

#[derive(Default)]
struct Tail {
    current: Option<Filled>,
    full: VecDeque<Filled>,
    spare: Option<Arc<OpenSegment>>,
    closed: bool,
}

struct Place {
    segment: Arc<OpenSegment>,
    location: Location,
    file_sector: u32,
    /// What reserving changed, to take it back.
    slots_before: usize,
    records_before: usize,
}

/// The log of this host.
pub(crate) struct Log {
    segments: Arc<Segments>,
    segment_bytes: u64,
    gate: RwLock<()>,
    tail: Mutex<Tail>,
    /// The location that the next batch gets, or one before it.
    next: AtomicU64,
    sealing: Mutex<()>,
    room: Mutex<room::Room>,
    /// A segment was sealed, or a try to seal some has ended.
    made: Condvar,
    /// A writer waits so long for room.
    room_wait: Duration,
    /// For the thread that makes room.
    me: Weak<Self>,
    /// A segment was filled since the background last looked.
    upkeep: AtomicBool,
    /// Syncs done when the last spare was made.
    syncs_at_spare: AtomicU64,
    commit: Mutex<sync::Commit>,
    committed: Condvar,
    pub(crate) figures: Figures,
}

/// Counters of the log.
#[derive(Default)]
pub(crate) struct Figures {
    pub data_bytes: AtomicU64,
    pub node_bytes: AtomicU64,
    pub bytes: AtomicU64,
    pub batches: AtomicU64,
    pub flushes: AtomicU64,
    pub syncs: AtomicU64,
    pub segments: AtomicU64,
}

impl Log {
    /// A log whose locations are at or after `next`.
    pub(crate) fn new(
        segments: Arc<Segments>,
        segment_bytes: u64,
        room_wait: Duration,
        next: Location,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            segments,
            segment_bytes: segment_bytes.max(SEGMENT_BYTES_MIN),
            gate: RwLock::new(()),
            tail: Mutex::default(),
            next: AtomicU64::new(next.raw()),
            sealing: Mutex::new(()),
            room: Mutex::default(),
            made: Condvar::new(),
            room_wait,
            me: Weak::clone(me),
            upkeep: AtomicBool::new(false),
            syncs_at_spare: AtomicU64::new(0),
            commit: Mutex::new(sync::Commit::up_to(next)),
            committed: Condvar::new(),
            figures: Figures::default(),
        })
    }

    /// A batch holds at most this much payload, in bytes.
    pub(crate) fn batch_bytes(&self) -> usize {
        BATCH_BYTES_MAX.min(self.segment_bytes as usize / 4)
    }

    /// Every later batch gets this location or a greater one.
    pub(crate) fn position(&self) -> Location {
        Location::from_raw(self.next.load(Ordering::Acquire))
    }

    /// Waits until all that has a place is written and in its overlay; later
    /// batches get the location returned or a greater one.
    pub(crate) fn drain(&self) -> Location {
        let _all = self.gate.write();
        self.position()
    }

    /// Appends a batch: at most [`BATCH_RECORDS_MAX`] parts, [`Self::batch_bytes`].
    ///
    /// # Errors
    /// On any, nothing of the batch is in the log.
    pub(crate) fn append(&self, parts: &[Part<'_>]) -> Result<Appended<'_>, Error> {
        if self.is_crowded() {
            self.make_room()?;
        }
        self.check_alive()?;
        let records: Vec<Record> = parts.iter().map(|p| p.record).collect();
        let crcs = checksums(parts);
        let gate = self.gate.read();
        let place = self.reserve(&records, &crcs)?;
        self.write(&place, parts, &records, &crcs)
            .inspect_err(|_| self.take_back(&place, &records))?;
        self.count(parts, &records);
        Ok(Appended { first: place.location, _gate: gate })
    }

    fn write(
        &self,
        place: &Place,
        parts: &[Part<'_>],
        records: &[Record],
        crcs: &[u32],
    ) -> Result<(), Error> {
        const PADDING: [u8; SECTOR_BYTES as usize] = [0; SECTOR_BYTES as usize];
        let mut header = Vec::new();
        let synced = place.segment.synced.load(Ordering::Acquire);
        let salt = place.segment.header.salt;
        Header::encode_into(&mut header, place.location, salt, synced, records, crcs);
        let mut slices = Vec::with_capacity(1 + 2 * parts.len());
        slices.push(IoSlice::new(&header));
        for part in parts {
            slices.push(IoSlice::new(part.payload));
            let over = part.payload.len() % PADDING.len();
            if over > 0 {
                slices.push(IoSlice::new(&PADDING[over..]));
            }
        }
        place.segment.writer.write_at(u64::from(place.file_sector) * SECTOR_BYTES, &slices)?;
        let written: usize = slices.iter().map(|s| s.len()).sum();
        self.figures.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(())
    }

    fn count(&self, parts: &[Part<'_>], records: &[Record]) {
        for (part, record) in parts.iter().zip(records) {
            let bytes = match record.kind {
                Kind::Node(_) => &self.figures.node_bytes,
                Kind::Data | Kind::Zero => &self.figures.data_bytes,
            };
            bytes.fetch_add(part.payload.len() as u64, Ordering::Relaxed);
        }
        self.figures.batches.fetch_add(1, Ordering::Relaxed);
    }

    fn reserve(&self, records: &[Record], crcs: &[u32]) -> Result<Place, Error> {
        let header = Header::sectors_for(records.len(), crcs.len()) as u32;
        let payload: u64 = records.iter().map(Record::payload_sectors).sum();
        let zeros = records.iter().filter(|r| r.kind == Kind::Zero).count();
        let need = Need {
            sectors: header + payload as u32,
            positions: positions_of(records) as u32,
            slots: crcs.len() + zeros,
            records: records.len() * FOOTER_RECORD_BYTES,
        };
        let mut tail = self.tail.lock();
        if tail.closed {
            return Err(Error::Closed);
        }
        if !tail.current.as_ref().is_some_and(|filled| need.fits(filled)) {
            let nodes_only = records.iter().all(|record| matches!(record.kind, Kind::Node(_)));
            self.rotate(&mut tail, nodes_only)?;
        }
        let filled = tail.current.as_mut().ok_or(Error::Closed)?;
        let location = Location::new(filled.segment.header.id, filled.position)
            .filter(|_| need.fits(filled))
            .ok_or_else(|| Error::NoSpace("a batch is larger than a segment".into()))?;
        let place = Place {
            segment: Arc::clone(&filled.segment),
            location,
            file_sector: filled.file_end,
            slots_before: filled.segment.slots.len(),
            records_before: filled.records.len(),
        };
        let payload_at = (filled.file_end + header) * SECTOR_BYTES as u32;
        // This one lies where that began.
        filled.segment.litter.store(false, Ordering::Release);
        filled.segment.slots.extend(slots_of(records, crcs, filled.position, payload_at));
        for record in records {
            encode_footer_record(&mut filled.records, filled.position, record);
            filled.position += record.positions() as u32;
        }
        filled.file_end += need.sectors;
        self.next.store(location.raw() + positions_of(records), Ordering::Release);
        Ok(place)
    }

    /// The current segment becomes full; the spare, or a new one, becomes current.
    fn rotate(&self, tail: &mut Tail, nodes_only: bool) -> Result<(), Error> {
        let next = match tail.spare.take() {
            Some(spare) => spare,
            None => self.new_or_small_segment(nodes_only)?,
        };
        if Location::start_of(next.header.id) < self.position() {
            // Locations are the order of the log: it must never go back.
            let _ = self.segments.store().remove(next.header.id);
            return Err(Error::Ids("an id below those in use was given".into()));
        }
        self.segments.opened(next.header.id, Arc::clone(&next.slots));
        self.upkeep.store(true, Ordering::Release);
        tail.full.extend(tail.current.take());
        tail.current = Some(Filled {
            segment: next,
            file_end: (HEADER_BYTES as u64 / SECTOR_BYTES) as u32,
            position: 0,
            records: Vec::new(),
        });
        Ok(())
    }

    /// On a disk that is nearly full a smaller one does. Maps may have the last of the room,
    /// which data may not: maps that are written anew are what gives room back.
    fn new_or_small_segment(&self, nodes_only: bool) -> Result<Arc<OpenSegment>, Error> {
        match self.new_segment(self.segment_bytes, false) {
            Err(Error::NoSpace(why)) => {
                let least = if nodes_only { 0 } else { self.segment_bytes / SMALL_PARTS };
                let least = least.max(SEGMENT_BYTES_MIN);
                // Less than all: the file itself takes some, too.
                let room = self.segments.store().space()?.free / 8 * 7;
                let capacity = self.segment_bytes.min(1 << room.max(1).ilog2());
                if capacity < least || capacity == self.segment_bytes {
                    return Err(Error::NoSpace(why));
                }
                self.new_segment(capacity, false)
            }
            made => made,
        }
    }

    fn new_segment(&self, capacity: u64, zeroed: bool) -> Result<Arc<OpenSegment>, Error> {
        let (header, writer) = self.segments.create(SegmentKind::Hot, capacity, PoolId::FIRST)?;
        // Synced before the first batch, so that recovery can tell a segment without
        // a header (never used) from one whose header is damaged.
        let zeros = if zeroed { write_zeros(&*writer, capacity) } else { Ok(()) };
        let written = zeros
            .and_then(|()| writer.write_at(0, &[IoSlice::new(&header.encode())]))
            .and_then(|()| writer.sync());
        if let Err(error) = written {
            // Nothing names it; what cannot be removed is left to the collector.
            let _ = self.segments.store().remove(header.id);
            return Err(error.into());
        }
        self.figures.segments.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(OpenSegment {
            header,
            writer,
            slots: Arc::default(),
            capacity,
            synced: AtomicU32::new(0),
            gap: AtomicBool::new(false),
            litter: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        }))
    }

    /// A batch could not be written. If nothing was reserved behind it, its sectors
    /// are free again (its positions are not: a cut may have been taken behind
    /// them); else the segment has a gap and is closed.
    fn take_back(&self, place: &Place, records: &[Record]) {
        let mut tail = self.tail.lock();
        let Some(filled) =
            tail.current.as_mut().filter(|filled| Arc::ptr_eq(&filled.segment, &place.segment))
        else {
            forget_records(&mut tail, place, records);
            return;
        };
        let end = place.location.position() + positions_of(records) as u32;
        if filled.position == end {
            filled.file_end = place.file_sector;
            filled.segment.litter.store(true, Ordering::Release);
            filled.records.truncate(place.records_before);
            filled.segment.slots.truncate(place.slots_before);
            filled.segment.slots.extend([nothing_at(place.location.position())]);
            return;
        }
        let filled = tail.current.take();
        tail.full.extend(filled);
        forget_records(&mut tail, place, records);
    }

    /// Makes the next segment before it is needed, and gives full ones their
    /// footers. Called in the background.
    pub(crate) fn maintain(&self) -> Result<(), Error> {
        self.seal_full()?;
        let wants_spare = {
            let tail = self.tail.lock();
            tail.current.is_some() && tail.spare.is_none() && !tail.closed
        };
        if !wants_spare {
            return Ok(());
        }
        let syncs = self.figures.syncs.load(Ordering::Relaxed);
        let since = syncs - self.syncs_at_spare.swap(syncs, Ordering::Relaxed);
        let zeroed = since >= SYNCS_WORTH_ZEROING && self.segments.store().gains_from_zeros();
        let spare = self.new_segment(self.segment_bytes, zeroed)?;
        let mut tail = self.tail.lock();
        // A writer may have been faster and have gone on to a later segment.
        let follows = tail.current.as_ref().is_some_and(|c| c.segment.header.id < spare.header.id);
        if tail.closed || tail.spare.is_some() || !follows {
            drop(tail);
            return Ok(self.segments.store().remove(spare.header.id)?);
        }
        tail.spare = Some(spare);
        Ok(())
    }

    /// Whether a segment was filled since the last call: then wake the background.
    pub(crate) fn take_upkeep(&self) -> bool {
        self.upkeep.load(Ordering::Relaxed) && self.upkeep.swap(false, Ordering::AcqRel)
    }

    /// Whether [`Self::maintain`] has something to do.
    pub(crate) fn wants_maintenance(&self) -> bool {
        let tail = self.tail.lock();
        !tail.closed && (!tail.full.is_empty() || (tail.current.is_some() && tail.spare.is_none()))
    }
}

/// Takes a failed batch out of the records of its segment, which is full and has
/// a gap now.
fn forget_records(tail: &mut Tail, place: &Place, records: &[Record]) {
    let Some(filled) =
        tail.full.iter_mut().find(|filled| Arc::ptr_eq(&filled.segment, &place.segment))
    else {
        return;
    };
    filled.segment.gap.store(true, Ordering::Release);
    let first = place.location.position();
    let last = first + positions_of(records) as u32;
    let mut kept = Vec::with_capacity(filled.records.len());
    for record in filled.records.chunks_exact(FOOTER_RECORD_BYTES) {
        let position = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
        if !(first..last).contains(&position) {
            kept.extend_from_slice(record);
        }
    }
    filled.records = kept;
}

/// What a batch takes of a segment.
struct Need {
    sectors: u32,
    positions: u32,
    slots: usize,
    records: usize,
}

impl Need {
    /// Whether it fits and leaves room for the footer.
    fn fits(&self, filled: &Filled) -> bool {
        let body = (u64::from(filled.file_end) + u64::from(self.sectors)) * SECTOR_BYTES;
        let slots = filled.segment.slots.len() + self.slots;
        let footer = footer_bytes(slots, filled.records.len() + self.records);
        // Batches that could not be written took positions, but no room.
        let end = u64::from(filled.position) + u64::from(self.positions);
        body + footer <= filled.segment.capacity && end <= u64::from(Location::POSITION_END)
    }
}

/// At least the bytes that a footer of a hot segment takes.
fn footer_bytes(slots: usize, records: usize) -> u64 {
    /// The directory's fixed fields are far below this.
    const DIRECTORY_BYTES: usize = HEADER_BYTES + 512;
    let pages = slots.div_ceil(SLOTS_PER_PAGE);
    (pages * (SLOT_PAGE_BYTES + 4) + records + DIRECTORY_BYTES + TRAILER_BYTES) as u64
}

fn write_zeros(writer: &dyn SegmentWriter, bytes: u64) -> Result<(), StoreError> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = 0;
    while at < bytes {
        let n = (bytes - at).min(ZEROS.len() as u64);
        writer.write_at(at, &[IoSlice::new(&ZEROS[..n as usize])])?;
        at += n;
    }
    Ok(())
}

/// A slot for positions that nothing was written to, so that the slot before ends
/// where its bytes do.
const fn nothing_at(position: u32) -> Slot {
    Slot { position, offset: 0, stored: 0, codec: Codec::Zero, crc: 0 }
}

fn positions_of(records: &[Record]) -> u64 {
    records.iter().map(Record::positions).sum()
}

fn checksums(parts: &[Part<'_>]) -> Vec<u32> {
    let mut crcs = Vec::with_capacity(parts.len());
    for part in parts {
        match part.record.kind {
            Kind::Data => crcs
                .extend(part.payload.chunks((PIECE_SECTORS * SECTOR_BYTES) as usize).map(crc32c)),
            Kind::Node(_) => crcs.push(crc32c(part.payload)),
            Kind::Zero => {}
        }
    }
    crcs
}

/// The slots of a batch whose first record is at `position` and whose payload
/// begins at byte `offset` of the file.
pub(crate) fn slots_of(records: &[Record], crcs: &[u32], position: u32, offset: u32) -> Vec<Slot> {
    let mut slots = Vec::with_capacity(crcs.len() + 1);
    let mut crcs = crcs.iter().copied();
    let (mut position, mut offset) = (position, offset);
    for record in records {
        match record.kind {
            Kind::Zero => {
                slots.push(Slot { position, offset, stored: 0, codec: Codec::Zero, crc: 0 });
            }
            Kind::Node(codec) => {
                let (stored, crc) = (record.len as u32, crcs.next().unwrap_or_default());
                slots.push(Slot { position, offset, stored, codec, crc });
            }
            Kind::Data => {
                for piece in 0..record.pieces() {
                    let at = piece * PIECE_SECTORS;
                    let sectors = PIECE_SECTORS.min(record.len - at);
                    slots.push(Slot {
                        position: position + at as u32,
                        offset: offset + (at * SECTOR_BYTES) as u32,
                        stored: (sectors * SECTOR_BYTES) as u32,
                        codec: Codec::Raw,
                        crc: crcs.next().unwrap_or_default(),
                    });
                }
            }
        }
        position += record.positions() as u32;
        offset += (record.payload_sectors() * SECTOR_BYTES) as u32;
    }
    slots
}

/// A map node as a part of a batch.
pub(crate) fn node_part(node: &[u8]) -> Part<'_> {
    Part {
        record: Record {
            volume: VolumeId::new(0),
            start: 0,
            len: node.len() as u64,
            epoch: Epoch::new(0),
            kind: Kind::Node(Codec::Raw),
        },
        payload: node,
    }
}
