//! Writes cold segments: chunks and map nodes, packed, then the footer.

use std::io::IoSlice;
use std::sync::Arc;

use archipelago_format::forwarding::Forward;
use archipelago_format::node::NODE_BYTES_MAX;
use archipelago_format::segment::{
    Codec, Fingerprint, FooterParts, SegmentHeader, SegmentKind, Slot, encode_footer,
};
use archipelago_format::{crc32c, sectors_of};
use archipelago_model::{BLOCK_BYTES, Location, PoolId, SECTOR_BYTES, SegmentId};
use archipelago_store::SegmentWriter;

use super::Context;
use super::encode::{Compression, Encoded, Encoder};
use super::prints::{BLOCK_SECTORS, Prints};
use crate::error::Error;
use crate::map::NodeSink;
use crate::pins::Fresh;
use crate::segments::{SegmentInfo, Segments};

/// Stored bytes that wait in memory to be written with one request: 1 MiB, where
/// disks and networks are at their full rate.
const BUFFER_BYTES: usize = 1 << 20;
/// A segment has at most this many slots, so that its slot table stays below 1 MiB.
const SLOTS_MAX: usize = 65_000;
/// Sectors of raw space that a segment has at most: 4 GiB, half of what a
/// position can say, so that no chunk ever comes near the end. Only data that
/// compresses a hundredfold gets there.
const RAW_SECTORS_MAX: u32 = 1 << 23;
/// Room asked of the backend for map nodes and the footer, besides a 32nd of the
/// data: fingerprints are a 200th of what is not compressed.
const FOOTER_ROOM: u64 = 64 << 10;
/// A segment is at most this long, whatever the configuration says: slots hold
/// offsets of 32 bits.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// A chunk has at most this many bytes.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

const _: () = assert!(NODE_BYTES_MAX < BUFFER_BYTES && CHUNK_BYTES < BUFFER_BYTES);
const _: () = assert!(SEGMENT_BYTES_MAX + (BUFFER_BYTES as u64) < 1 << 32);

/// Appends to one open cold segment after the other. A location that it gave is
/// readable, and may be named, once [`Self::finish`] has returned.
///
/// Dropped before that, or after an error, the segment that was open is removed;
/// those sealed before stay: they are sound, the index knows them, and the same
/// import done again finds its data there.
pub(crate) struct ColdWriter<'a> {
    encoder: Encoder,
    /// Shares from no segment that the catalog may not have.
    recorded_only: bool,
    /// A node, filled up to whole sectors.
    padded: Vec<u8>,
    appender: Appender<'a>,
}

/// What is behind the encoder.
struct Appender<'a> {
    context: &'a Context,
    kind: SegmentKind,
    /// Stored bytes at which a segment is sealed.
    segment_bytes: u64,
    /// Bytes that may come yet; no more room is asked for.
    expected: u64,
    /// Where segments are made.
    pool: PoolId,
    open: Option<Open>,
    sealed: Vec<SegmentInfo>,
    fresh: Fresh,
}

struct Open {
    header: SegmentHeader,
    writer: Arc<dyn SegmentWriter>,
    buffer: Vec<u8>,
    /// Bytes in the file, before those in the buffer.
    written: u64,
    slots: Vec<Slot>,
    /// The position behind the last slot.
    end: u32,
    prints: Prints,
}

impl<'a> ColdWriter<'a> {
    /// Opens nothing yet. `expected`: bytes that may come at most.
    pub(crate) fn new(context: &'a Context, expected: u64, compression: Compression) -> Self {
        let segment_bytes = context.segment_bytes.min(SEGMENT_BYTES_MAX);
        let kind = SegmentKind::Cold;
        let (open, sealed, fresh) = (None, Vec::new(), context.pins.fresh());
        Self {
            encoder: Encoder::new(compression),
            recorded_only: false,
            padded: Vec::new(),
            appender: Appender {
                context,
                kind,
                segment_bytes,
                expected,
                pool: PoolId::FIRST,
                open,
                sealed,
                fresh,
            },
        }
    }

    /// For a compaction: nobody would write again what the rest of an import, which may end
    /// in nothing, takes with it.
    pub(crate) fn for_compaction(context: &'a Context, expected: u64, pool: PoolId) -> Self {
        let writer = Self::new(context, expected, Compression::default());
        Self { recorded_only: true, ..writer }.into_pool(pool)
    }

    /// Writes to this pool.
    pub(crate) fn into_pool(mut self, pool: PoolId) -> Self {
        self.appender.pool = pool;
        self
    }

    /// For a dump of the catalog: one segment, however long it gets; what it has no room for is
    /// refused.
    pub(crate) fn for_backup(context: &'a Context, expected: u64) -> Self {
        let mut writer = Self::new(context, expected, Compression::default());
        writer.appender.kind = SegmentKind::Backup;
        writer.appender.segment_bytes = SEGMENT_BYTES_MAX;
        writer
    }

    /// Appends a chunk of whole blocks, one fingerprint each.
    pub(crate) fn append_chunk(&mut self, raw: &[u8], hashes: &[u128]) -> Result<Location, Error> {
        debug_assert_eq!(raw.len() as u64, hashes.len() as u64 * BLOCK_BYTES);
        let encoded = self.encoder.chunk(raw);
        let location = match encoded.codec {
            // As a block each: there is nothing to unpack together, and who reads one block
            // need not read and verify all.
            Codec::Raw => self.appender.append_blocks(raw)?,
            _ => self.appender.append(encoded, raw.len())?,
        };
        self.appender.expected = self.appender.expected.saturating_sub(raw.len() as u64);
        if let Some(open) = &mut self.appender.open {
            let positions = (location.position()..).step_by(BLOCK_SECTORS as usize);
            for (position, &hash) in positions.zip(hashes) {
                open.prints.push(Fingerprint { hash, position });
            }
        }
        Ok(location)
    }

    /// Opens a segment, though nothing may come.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        self.appender.open().map(drop)
    }

    /// The segment that is open, and its blocks so far.
    pub(crate) fn open_prints(&self) -> Option<(SegmentId, &Prints)> {
        self.appender.open.as_ref().map(|open| (open.header.id, &open.prints))
    }

    /// Whether this writer made the segment.
    pub(crate) fn made(&self, id: SegmentId) -> bool {
        self.open_prints().is_some_and(|(open, _)| open == id)
            || self.appender.sealed.binary_search_by_key(&id, |info| info.id).is_ok()
    }

    /// Appends sectors that are no whole blocks: nobody will find them by fingerprint.
    pub(crate) fn append_fragment(&mut self, raw: &[u8]) -> Result<Location, Error> {
        self.appender.append(self.encoder.chunk(raw), raw.len())
    }

    /// Holds a segment of others that is about to be named. Whether it may be: one that is
    /// leaving by now was not held in time.
    pub(crate) fn hold(&mut self, id: SegmentId) -> bool {
        self.appender.fresh.add(id);
        let segments = &self.appender.context.segments;
        !(segments.is_leaving(id) || self.recorded_only && segments.is_unrecorded(id))
    }

    /// Seals what is open, with a forwarding table if there is one. All that was
    /// appended is durable then.
    pub(crate) fn finish(
        mut self,
        forwarding: &[Forward],
    ) -> Result<(Vec<SegmentInfo>, Fresh), Error> {
        if !forwarding.is_empty() {
            self.appender.open()?;
        }
        self.appender.seal(forwarding)?;
        let none = self.appender.context.pins.fresh();
        Ok((
            std::mem::take(&mut self.appender.sealed),
            std::mem::replace(&mut self.appender.fresh, none),
        ))
    }
}

impl NodeSink for ColdWriter<'_> {
    fn append_node(&mut self, node: &[u8]) -> Result<Location, Error> {
        self.padded.clear();
        self.padded.extend_from_slice(node);
        self.padded.resize((sectors_of(node.len() as u64) * SECTOR_BYTES) as usize, 0);
        self.appender.append(self.encoder.node(&self.padded), self.padded.len())
    }
}

impl Appender<'_> {
    fn append(&mut self, encoded: Encoded<'_>, raw_bytes: usize) -> Result<Location, Error> {
        let sectors = sectors_of(raw_bytes as u64) as u32;
        self.room_for(1, encoded.bytes.len(), sectors)?.append(encoded, sectors)
    }

    /// Appends blocks as slots of their own, all in one segment.
    fn append_blocks(&mut self, raw: &[u8]) -> Result<Location, Error> {
        let slots = raw.len().div_ceil(BLOCK_BYTES as usize);
        let sectors = sectors_of(raw.len() as u64) as u32;
        let open = self.room_for(slots, raw.len(), sectors)?;
        let mut first = None;
        for bytes in raw.chunks(BLOCK_BYTES as usize) {
            let sectors = sectors_of(bytes.len() as u64) as u32;
            let at = open.append(Encoded { codec: Codec::Raw, bytes }, sectors)?;
            first.get_or_insert(at);
        }
        Ok(first.unwrap_or(Location::HOLE))
    }

    /// The open segment, or the next one when this has no room for so much.
    fn room_for(&mut self, slots: usize, stored: usize, sectors: u32) -> Result<&mut Open, Error> {
        let segment_bytes = self.segment_bytes;
        if self.open.as_ref().is_some_and(|o| !o.takes(slots, stored, sectors, segment_bytes)) {
            if self.kind == SegmentKind::Backup {
                return Err(Error::NoSpace(
                    "a dump of the catalog is larger than a segment".into(),
                ));
            }
            self.seal(&[])?;
        }
        self.open()
    }

    fn open(&mut self) -> Result<&mut Open, Error> {
        match &mut self.open {
            Some(open) => Ok(open),
            none => {
                let body = self.expected.min(self.segment_bytes);
                let capacity = body + body / 32 + FOOTER_ROOM;
                // A mark that begins between giving the id and holding it leaves it alone.
                let segments = &self.context.segments;
                let _coming = self.context.pins.under_way(|| Some(segments.next_id()));
                let open = Open::create(segments, self.kind, capacity, self.pool)?;
                self.fresh.add(open.header.id);
                Ok(none.insert(open))
            }
        }
    }

    fn seal(&mut self, forwarding: &[Forward]) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.flush()?;
        let (footer, directory) = encode_footer(&FooterParts {
            header: open.header,
            body_bytes: open.written,
            slots: &open.slots,
            end: open.end,
            records: &[],
            fingerprints: open.prints.list(),
            forwarding,
        });
        let stored_bytes = open.written + footer.len() as u64;
        open.writer.write_at(open.written, &[IoSlice::new(&footer)])?;
        open.writer.seal(stored_bytes)?;
        let raw_bytes = u64::from(open.end) * SECTOR_BYTES;
        let (id, kind, prints) =
            (open.header.id, open.header.kind, std::mem::take(&mut open.prints));
        self.open = None;
        self.context.segments.sealed(directory, stored_bytes);
        if kind == SegmentKind::Cold {
            self.context.dedup.learn(id, prints);
        }
        self.sealed.push(SegmentInfo { id, pool: self.pool, kind, stored_bytes, raw_bytes });
        Ok(())
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        let Some(Open { header: SegmentHeader { id, .. }, writer, .. }) = self.open.take() else {
            return;
        };
        drop(writer);
        if let Err(error) = self.context.segments.store().remove(id) {
            tracing::warn!(segment = %id, %error, "an unfinished segment, which nothing names, stays");
        }
    }
}

impl Open {
    fn create(
        segments: &Segments,
        kind: SegmentKind,
        capacity: u64,
        pool: PoolId,
    ) -> Result<Self, Error> {
        let (header, writer) = segments.create(kind, capacity, pool)?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(&header.encode());
        let (slots, prints) = (Vec::new(), Prints::default());
        Ok(Self { header, writer, buffer, written: 0, slots, end: 0, prints })
    }

    fn takes(&self, slots: usize, stored: usize, sectors: u32, segment_bytes: u64) -> bool {
        self.slots.len() + slots <= SLOTS_MAX
            && self.written + (self.buffer.len() + stored) as u64 <= segment_bytes
            && self.end + sectors <= RAW_SECTORS_MAX
    }

    fn append(&mut self, encoded: Encoded<'_>, sectors: u32) -> Result<Location, Error> {
        if self.buffer.len() + encoded.bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.slots.push(Slot {
            position: self.end,
            offset: (self.written + self.buffer.len() as u64) as u32,
            stored: encoded.bytes.len() as u32,
            codec: encoded.codec,
            crc: crc32c(encoded.bytes),
        });
        self.buffer.extend_from_slice(encoded.bytes);
        let location = Location::new(self.header.id, self.end).expect("raw space is limited");
        self.end += sectors;
        Ok(location)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.writer.write_at(self.written, &[IoSlice::new(&self.buffer)])?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
