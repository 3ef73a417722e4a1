//! Reading the log back after a stop of any kind.
//!
//! | what is found of a segment | what it means | what is done |
//! |---|---|---|
//! | footer | sealed; its body was synced before the footer was written | its records count; unless the catalog has it, a hot one's footer is made durable again |
//! | no valid header, no batch | created, never used | removed |
//! | no valid header, a batch | the header, synced before the first batch, is damaged | an error, unless the catalog has it as none of the log: then it is kept |
//! | cold, no footer | an ingest that did not end | removed, unless the catalog has it: then it is damaged, and kept |
//! | hot, no footer, less than the catalog has | sealed, and cut off or damaged since | an error |
//! | hot, no footer | open when the program stopped | scanned, synced, sealed |
//! | the same, first batch not whole | torn, or a flushed one that is damaged | made durable as it is, kept and noted: the collector leaves it alone until a later start |
//!
//! A scan follows the chain of batches. Each batch says how far the file was
//! known to be durable when it was written. The chain may end for two reasons:
//! at the torn end of the log, which only holds what no flush ever covered; or
//! at damage, when a batch further on proves that the place was durable. The
//! second is an error: going on would silently drop acknowledged writes.

use std::io::IoSlice;
use std::ops::Range;

use archipelago_format::FormatError;
use archipelago_format::batch::{Header, Kind, PIECE_SECTORS, Record};
use archipelago_format::crc32c;
use archipelago_format::segment::{
    Codec, FooterParts, HEADER_BYTES, SegmentHeader, SegmentKind, Slot, decode_footer_records,
    encode_footer, encode_footer_record,
};
use archipelago_model::{Location, SECTOR_BYTES, SegmentId};
use archipelago_store::SegmentWriter;

use super::{nothing_at, slots_of};
use crate::error::Error;
use crate::segments::{OpenSlots, Segments};

/// Bytes read at once while scanning.
const WINDOW_BYTES: usize = 1 << 20;

/// A segment that recovery made whole.
pub(crate) struct Recovered {
    pub kind: SegmentKind,
    /// Its records, when it could not be given a footer to read them from.
    pub unsealed: Option<Records>,
}

pub(crate) type Records = Vec<(Location, Record)>;

/// Makes segment `id` whole; seals it when it was left open. `None` when nothing of
/// it counts. What the catalog has `recorded` is never removed.
pub(crate) fn recover(
    segments: &Segments,
    id: SegmentId,
    recorded: &dyn Fn(SegmentId) -> Option<u64>,
) -> Result<Option<Recovered>, Error> {
    let recorded = recorded(id);
    match footer(segments, id, recorded.is_some()) {
        Ok(recovered) => Ok(Some(recovered)),
        Err(error @ Error::Damaged { .. }) => {
            segments.forget(id);
            if recorded.is_some() {
                tracing::error!(segment = %id, %error, "the footer of a segment is damaged");
            }
            recover_unsealed(segments, id, recorded).map_err(of_the_log)
        }
        Err(error) => Err(error),
    }
}

/// Damage of the log keeps the store from opening: that is another thing to be told than
/// that of one resource.
fn of_the_log(error: Error) -> Error {
    match error {
        Error::Damaged { segment, what } => Error::LogDamaged { segment, what },
        other => other,
    }
}

/// The records of a sealed segment.
pub(crate) fn records(segments: &Segments, id: SegmentId) -> Result<Records, Error> {
    let directory = segments.directory(id)?;
    let section = segments.section(id, directory.records)?;
    let damaged = |e: FormatError| Error::damaged_segment(id, &e);
    let records = decode_footer_records(&section).map_err(damaged)?;
    let inside = |(position, record): &(u32, Record)| {
        u64::from(*position) + record.positions() <= u64::from(directory.end)
    };
    if !records.iter().all(inside) {
        return Err(damaged(FormatError::Field { what: "footer record", field: "position" }));
    }
    Ok(records
        .into_iter()
        .filter_map(|(position, record)| Some((Location::new(id, position)?, record)))
        .collect())
}

/// Checks a whole footer, and makes it durable unless the catalog has it. A stop
/// amid sealing may have left parts of two footers in the file, so that a valid
/// trailer vouches for nothing here.
fn footer(segments: &Segments, id: SegmentId, recorded: bool) -> Result<Recovered, Error> {
    let directory = segments.directory(id)?;
    let kind = directory.header.kind;
    let mut recovered = Recovered { kind, unsealed: None };
    if kind != SegmentKind::Hot {
        return Ok(recovered);
    }
    let records = records(segments, id)?;
    if recorded {
        return Ok(recovered);
    }
    // The salt in the header is what no guest knows, who might write something that
    // looks like a footer.
    let front = Window::new(segments, id)?.take(0, HEADER_BYTES)?.map(SegmentHeader::decode);
    if front != Some(Ok(directory.header)) {
        let what = FormatError::Field { what: "segment directory", field: "header" };
        return Err(Error::damaged_segment(id, &what));
    }
    let mut slots = Vec::new();
    for page in 0..directory.page_starts.len() {
        slots.extend_from_slice(&segments.slot_page(id, &directory, page as u32)?.slots);
    }
    let trailer_end = directory.file_bytes();
    let writer = segments.store().reopen(id)?;
    let again = rewrite(segments, id, &[], directory.body_bytes..trailer_end, &*writer)
        .and_then(|()| Ok(writer.seal(trailer_end)?));
    match again {
        Ok(()) => segments.report(&directory, trailer_end),
        Err(error @ Error::NoSpace(_)) => {
            tracing::warn!(segment = %id, %error, "the footer of a segment waits for room");
            let open = OpenSlots::default();
            open.extend(slots);
            segments.opened(id, open.into());
            recovered.unsealed = Some(records);
        }
        Err(error) => return Err(error),
    }
    Ok(recovered)
}

/// Whether a segment of the log without a footer holds nothing: not one whole batch, and
/// none that proves another one to be damaged.
///
/// # Errors
/// [`Error::Damaged`] for one without a header, or with a batch of which that is proven.
pub(crate) fn is_torn(segments: &Segments, id: SegmentId) -> Result<bool, Error> {
    Ok(scan_log(segments, id)?.is_some_and(|scan| scan.position == 0))
}

/// The records of a segment of the log without a footer; none of any other.
///
/// # Errors
/// As [`is_torn`].
pub(crate) fn unsealed_records(segments: &Segments, id: SegmentId) -> Result<Records, Error> {
    Ok(scan_log(segments, id)?.map_or_else(Vec::new, |scan| scan.records))
}

fn scan_log(segments: &Segments, id: SegmentId) -> Result<Option<Scan>, Error> {
    let mut window = Window::new(segments, id)?;
    let front = window.take(0, HEADER_BYTES)?.unwrap_or_default();
    let header = SegmentHeader::decode(front).map_err(|e| Error::damaged_segment(id, &e))?;
    if header.kind != SegmentKind::Hot {
        return Ok(None);
    }
    scan(&mut window, header).map(Some)
}

fn recover_unsealed(
    segments: &Segments,
    id: SegmentId,
    recorded: Option<u64>,
) -> Result<Option<Recovered>, Error> {
    let mut window = Window::new(segments, id)?;
    let header = match window.take(0, HEADER_BYTES)?.map(SegmentHeader::decode) {
        Some(Ok(header)) => header,
        Some(Err(error @ FormatError::Version { .. })) => {
            return Err(Error::damaged_segment(id, &error));
        }
        // Nothing of it is to be replayed, and who reads it is told what is damaged.
        _ if recorded == Some(0) => return Ok(None),
        _ if recorded.is_some() || window.holds_a_batch_of(id)? => {
            let what = FormatError::Magic { what: "segment header" };
            return Err(Error::damaged_segment(id, &what));
        }
        _ => {
            segments.store().remove(id)?;
            return Ok(None);
        }
    };
    if header.id != id || header.store != *segments.store_uuid() {
        let what = FormatError::Field { what: "segment header", field: "id or store" };
        return Err(Error::damaged_segment(id, &what));
    }
    if header.kind != SegmentKind::Hot {
        if recorded.is_none() {
            segments.store().remove(id)?;
        }
        return Ok(None);
    }
    let scan = scan(&mut window, header)?;
    let raw_bytes = u64::from(scan.position) * SECTOR_BYTES;
    if let Some(sealed) = recorded.filter(|sealed| raw_bytes < *sealed) {
        return Err(Error::LogCut { segment: id, readable: raw_bytes, sealed });
    }
    if scan.position == 0 {
        // What looks like a batch is kept: it may be a flushed one that is damaged.
        if window.holds_a_batch_of(id)? {
            tracing::warn!(segment = %id, "a segment whose first batch is not whole is kept");
            fix(segments, id, window.len)?;
            segments.keep(id);
        } else {
            segments.store().remove(id)?;
        }
        return Ok(None);
    }
    let sealed = seal(segments, &scan)?;
    let unsealed = (!sealed).then_some(scan.records);
    Ok(Some(Recovered { kind: SegmentKind::Hot, unsealed }))
}

/// An open segment as its scan found it.
struct Scan {
    header: SegmentHeader,
    records: Vec<(Location, Record)>,
    slots: Vec<Slot>,
    position: u32,
    file_end: u64,
    /// Bytes of the file that were known to be durable.
    synced: u64,
}

fn scan(window: &mut Window<'_>, header: SegmentHeader) -> Result<Scan, Error> {
    let mut batches = Vec::new();
    let mut at = HEADER_BYTES as u64;
    let mut position = 0;
    let mut synced = 0;
    while let Some(batch) = window.batch(at, &header)? {
        // Positions may skip (a batch that could not be written), never go back.
        if u64::from(batch.location.position()) < position {
            break;
        }
        let next = at + (batch.sectors + batch.payload_sectors()) * SECTOR_BYTES;
        position = u64::from(batch.location.position()) + batch.positions();
        synced = synced.max(u64::from(batch.synced) * SECTOR_BYTES);
        batches.push((at, batch));
        at = next;
    }
    if window.durable_beyond(at, &header)? {
        return Err(Error::Damaged {
            segment: header.id,
            what: format!("the batch at byte {at} is damaged, and later ones prove it was durable"),
        });
    }
    let mut scan = Scan {
        header,
        records: Vec::new(),
        slots: Vec::new(),
        position: 0,
        file_end: HEADER_BYTES as u64,
        synced,
    };
    for (at, batch) in batches {
        let payload_at = at + batch.sectors * SECTOR_BYTES;
        let end = payload_at + batch.payload_sectors() * SECTOR_BYTES;
        if end > synced && !window.payload_is_whole(payload_at, &batch)? {
            break;
        }
        if scan.position < batch.location.position() {
            scan.slots.push(nothing_at(scan.position));
            scan.position = batch.location.position();
        }
        scan.slots.extend(slots_of(&batch.records, &batch.crcs, scan.position, payload_at as u32));
        for record in &batch.records {
            if let Some(location) = Location::new(header.id, scan.position) {
                scan.records.push((location, *record));
            }
            scan.position += record.positions() as u32;
        }
        scan.file_end = end;
    }
    Ok(scan)
}

/// Makes durable what a segment is read as. Of several writes that failed in the same
/// place the last may lie over a whole one, in the system's cache only: power that
/// fails later would bring that one back, after it was read as not there.
fn fix(segments: &Segments, id: SegmentId, len: u64) -> Result<(), Error> {
    let writer = segments.store().reopen(id)?;
    let fixed = rewrite(segments, id, &[], 0..len, &*writer).and_then(|()| Ok(writer.sync()?));
    match fixed {
        Err(error @ Error::NoSpace(_)) => {
            tracing::warn!(segment = %id, %error, "what is kept of a segment may change");
            Ok(())
        }
        other => other,
    }
}

/// Makes durable what the scan found (it may only be in the system's cache after
/// a kill) and gives the segment its footer. Whether it could: without room the
/// segment stays open; its slots are known all the same.
fn seal(segments: &Segments, scan: &Scan) -> Result<bool, Error> {
    let id = scan.header.id;
    let mut records = Vec::new();
    for (location, record) in &scan.records {
        encode_footer_record(&mut records, location.position(), record);
    }
    let (footer, directory) = encode_footer(&FooterParts {
        header: scan.header,
        body_bytes: scan.file_end,
        slots: &scan.slots,
        end: scan.position,
        records: &records,
        fingerprints: &[],
        forwarding: &[],
    });
    let open = OpenSlots::default();
    open.extend(scan.slots.iter().copied());
    segments.opened(id, open.into());
    let writer = segments.store().reopen(id)?;
    let unsynced = if scan.synced <= HEADER_BYTES as u64 { 0 } else { scan.synced };
    let rewritten = rewrite(segments, id, &scan.slots, unsynced..scan.file_end, &*writer);
    writer.sync()?;
    let len = scan.file_end + footer.len() as u64;
    let sealed = rewritten.and_then(|()| {
        writer.write_at(scan.file_end, &[IoSlice::new(&footer)])?;
        Ok(writer.seal(len)?)
    });
    match sealed {
        Ok(()) => {
            segments.sealed(directory, len);
            Ok(true)
        }
        Err(error @ Error::NoSpace(_)) => {
            tracing::warn!(segment = %id, %error, "a recovered segment stays open");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Writes again, byte for byte, what no sync is known to have covered. If a sync
/// failed before the stop, the system may believe those pages to be clean, and
/// would not write them however often it is asked to sync.
///
/// Except for what follows one of these pieces in its last sector, which no checksum covers: where
/// a write failed half-way over the rest of another one, that is no zeros, though the
/// piece is whole; and a scrub takes what is no zeros there for damage.
fn rewrite(
    segments: &Segments,
    id: SegmentId,
    slots: &[Slot],
    range: Range<u64>,
    writer: &dyn SegmentWriter,
) -> Result<(), Error> {
    let mut at = range.start;
    let mut bytes = vec![0; WINDOW_BYTES];
    while at < range.end {
        let n = (range.end - at).min(WINDOW_BYTES as u64) as usize;
        let got = segments.store().read_at(id, at, &mut bytes[..n])?;
        blank_padding(&mut bytes[..got], at, slots);
        writer.write_at(at, &[IoSlice::new(&bytes[..got])])?;
        at += got.max(1) as u64;
    }
    Ok(())
}

/// Makes zeros of what follows pieces in their last sectors, in the bytes from `at` on.
fn blank_padding(bytes: &mut [u8], at: u64, slots: &[Slot]) {
    let end = at + bytes.len() as u64;
    for slot in slots.iter().filter(|slot| slot.codec != Codec::Zero) {
        let stored = u64::from(slot.offset) + u64::from(slot.stored);
        let padding = stored.max(at)..stored.next_multiple_of(SECTOR_BYTES).min(end);
        if padding.start < padding.end {
            bytes[(padding.start - at) as usize..(padding.end - at) as usize].fill(0);
        }
    }
}

/// A segment read front to back through a window.
struct Window<'a> {
    segments: &'a Segments,
    id: SegmentId,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(segments: &'a Segments, id: SegmentId) -> Result<Self, Error> {
        let len = segments.store().len(id)?;
        Ok(Self { segments, id, len, start: 0, bytes: Vec::new() })
    }

    /// `n` bytes at `at`, or `None` where the file ends before.
    fn take(&mut self, at: u64, n: usize) -> Result<Option<&[u8]>, Error> {
        if at.checked_add(n as u64).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let inside = at >= self.start && at + n as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let want = WINDOW_BYTES.max(n).min((self.len - at) as usize);
            self.bytes.resize(want, 0);
            let got = self.segments.store().read_at(self.id, at, &mut self.bytes)?;
            self.bytes.truncate(got);
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(self.bytes.get(from..from + n))
    }

    /// The batch at byte `at`, if a valid one is there and its payload is in the file.
    fn batch(&mut self, at: u64, header: &SegmentHeader) -> Result<Option<Header>, Error> {
        let Some(sector) = self.take(at, SECTOR_BYTES as usize)? else {
            return Ok(None);
        };
        let Ok(sectors) = Header::peek(sector, header.id) else {
            return Ok(None);
        };
        let bytes = sectors * SECTOR_BYTES as usize;
        let Some(whole) = self.take(at, bytes)? else {
            return Ok(None);
        };
        let Ok(batch) = Header::decode(whole, header.id, header.salt) else {
            return Ok(None);
        };
        let end = at + (batch.sectors + batch.payload_sectors()) * SECTOR_BYTES;
        Ok((end <= self.len).then_some(batch))
    }

    /// Whether some batch behind `at` says that `at` was durable.
    fn durable_beyond(&mut self, at: u64, header: &SegmentHeader) -> Result<bool, Error> {
        let mut probe = at + SECTOR_BYTES;
        while probe < self.len {
            if let Some(batch) = self.batch(probe, header)?
                && u64::from(batch.synced) * SECTOR_BYTES > at
            {
                return Ok(true);
            }
            probe += SECTOR_BYTES;
        }
        Ok(false)
    }

    /// Whether the file, whose header is unreadable, ever held a batch. Without
    /// the salt its checksum cannot be tested; that it looks like one is enough to
    /// keep the file.
    fn holds_a_batch_of(&mut self, id: SegmentId) -> Result<bool, Error> {
        let sector = self.take(HEADER_BYTES as u64, SECTOR_BYTES as usize)?;
        Ok(sector.is_some_and(|sector| Header::peek(sector, id).is_ok()))
    }

    fn payload_is_whole(&mut self, at: u64, batch: &Header) -> Result<bool, Error> {
        let mut crcs = batch.crcs.iter();
        let mut at = at;
        for record in &batch.records {
            let mut left = match record.kind {
                Kind::Zero => 0,
                Kind::Data => record.len * SECTOR_BYTES,
                Kind::Node(_) => record.len,
            };
            let piece_bytes = match record.kind {
                Kind::Data => PIECE_SECTORS * SECTOR_BYTES,
                Kind::Zero | Kind::Node(_) => u64::MAX,
            };
            while left > 0 {
                let n = left.min(piece_bytes);
                let Some(piece) = self.take(at, n as usize)? else {
                    return Ok(false);
                };
                if crcs.next() != Some(&crc32c(piece)) {
                    return Ok(false);
                }
                at += n;
                left -= n;
            }
            at = at.next_multiple_of(SECTOR_BYTES);
        }
        Ok(true)
    }
}
