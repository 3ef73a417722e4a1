//! Scrubbing: every byte of a sealed segment is read and compared with what vouches
//! for it, past all caches.
//!
//! | bytes | vouched for by |
//! |---|---|
//! | header | the copy in the directory, byte for byte |
//! | body of the log | the chain of batches: the checksum of each header, of each piece, zeros between; and the slots |
//! | body of bulk data | the slots, which cover it without a gap; and the fingerprints of what they unpack to |
//! | slot pages, sections | their checksums, and each other |
//! | directory | the trailer |
//! | trailer | itself, and the length that the catalog has |
//!
//! What is damaged is told with the bytes of the file that one checksum covers, and
//! with what cannot be read any more because of it: nothing, where only a footer's
//! convenience is lost.

mod body;
mod footer;
mod log;
mod moved;
mod reader;

use std::ops::ControlFlow;

use archipelago_format::segment::SegmentKind;
use archipelago_model::{Location, SegmentId};
use archipelago_store::Store;

use crate::engine::Engine;
use crate::error::Error;
use footer::Footer;
use reader::{Halt, Reader};

/// A segment is told of so many damages one by one; what comes after them is told as
/// one. Bounds the report of a file that was overwritten as a whole.
const DAMAGES_MAX: usize = 4096;

/// What cannot be read any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// What is stored at these places.
    Stored {
        /// The first place.
        first: Location,
        /// Sectors from there on, in the same segment.
        sectors: u32,
    },
    /// Everything of a segment: what is stored in it, and the ways that its
    /// forwarding table tells.
    Segment(SegmentId),
    /// The ways to what was moved away from these places, as a forwarding table has
    /// them.
    Moved {
        /// The segment whose footer has the table.
        carrier: SegmentId,
        /// The first old place.
        first: Location,
        /// The old place behind the last, perhaps in a later segment.
        end: Location,
    },
}

/// Bytes of a segment that are not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Where they begin, in bytes from the front of the file.
    pub offset: u64,
    /// How many: what one checksum covers.
    pub bytes: u64,
    /// What cannot be read because of it; `None` when no reader needs the bytes.
    pub lost: Option<Lost>,
    /// What they are and what is wrong, for people.
    pub what: String,
}

/// What a scrub found of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScrubbedSegment {
    /// Which.
    pub id: SegmentId,
    /// What wrote it, when that can be told.
    pub kind: Option<SegmentKind>,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes that nothing vouches for: places of batches that could not be written.
    /// Nothing names them.
    pub unverified: u64,
    /// What is damaged, by offset.
    pub damages: Vec<Damage>,
}

impl ScrubbedSegment {
    /// What a sealed segment is that has no file.
    pub fn missing(id: SegmentId, bytes: u64) -> Self {
        let damage = Damage {
            offset: 0,
            bytes,
            lost: Some(Lost::Segment(id)),
            what: "the file of the segment is missing".to_owned(),
        };
        Self { id, kind: None, bytes: 0, unverified: 0, damages: vec![damage] }
    }
}

/// Told how many bytes will be read next; may wait, and may stop the scrub.
pub type Pace<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

impl Engine {
    /// Reads every byte of segment `id` and verifies it, calling `pace` before each
    /// read. `stored_bytes` is the length that the catalog has of it, if it has one.
    /// `None` when `pace` stopped it, or while the segment is open: then it is
    /// verified once it is sealed.
    ///
    /// # Errors
    /// [`Error::Store`] when the file is gone or the backend fails as a whole. Bytes
    /// that cannot be read are damage.
    pub fn scrub_segment(
        &self,
        id: SegmentId,
        stored_bytes: Option<u64>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<ScrubbedSegment>, Error> {
        if self.shared().segments.is_open(id) {
            return Ok(None);
        }
        self.scrub_copy(&**self.shared().segments.store(), id, stored_bytes, pace)
    }

    /// The same of a copy of a sealed segment, in a store where nobody else reads it.
    ///
    /// # Errors
    /// As [`Self::scrub_segment`].
    pub fn scrub_copy(
        &self,
        store: &dyn Store,
        id: SegmentId,
        stored_bytes: Option<u64>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<ScrubbedSegment>, Error> {
        let shared = self.shared();
        let fingerprint = |block: &[u8]| shared.ingest.fingerprint(block);
        let scrub = Scrub {
            reader: Reader::open(store, id, pace)?,
            uuid: *shared.segments.store_uuid(),
            fingerprint: &fingerprint,
            unverified: 0,
            damages: Vec::new(),
        };
        scrub.run(stored_bytes)
    }
}

/// A scrub of one segment under way.
struct Scrub<'a> {
    reader: Reader<'a>,
    uuid: [u8; 16],
    fingerprint: &'a dyn Fn(&[u8]) -> u128,
    unverified: u64,
    damages: Vec<Damage>,
}

impl Scrub<'_> {
    fn run(mut self, stored_bytes: Option<u64>) -> Result<Option<ScrubbedSegment>, Error> {
        let kind = match self.all(stored_bytes) {
            Ok(kind) => kind,
            Err(Halt::Stopped) => return Ok(None),
            Err(Halt::Failed(error)) => return Err(error),
        };
        self.damages.sort_by_key(|damage| damage.offset);
        Ok(Some(ScrubbedSegment {
            id: self.reader.id(),
            kind,
            bytes: self.reader.len(),
            unverified: self.unverified,
            damages: self.damages,
        }))
    }

    fn all(&mut self, stored_bytes: Option<u64>) -> Result<Option<SegmentKind>, Halt> {
        let Some(footer) = self.footer(stored_bytes)? else {
            return Ok(None);
        };
        self.header(&footer)?;
        let kind = footer.directory.header.kind;
        match kind {
            SegmentKind::Hot => self.log(&footer)?,
            SegmentKind::Cold | SegmentKind::Backup => self.body(&footer)?,
        }
        Ok(Some(kind))
    }

    /// The front, which readers do not need but recovery does.
    fn header(&mut self, footer: &Footer) -> Result<(), Halt> {
        let written = footer.directory.header.encode();
        let len = written.len() as u64;
        match self.reader.take(0, written.len())? {
            Some(bytes) if bytes == written => Ok(()),
            Some(_) => {
                self.damaged(0, len, None, "header: not the copy in the directory");
                Ok(())
            }
            None => {
                self.unreadable(0, len, None, "header");
                Ok(())
            }
        }
    }

    /// Notes damage.
    fn damaged(&mut self, offset: u64, bytes: u64, lost: Option<Lost>, what: impl Into<String>) {
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(Damage { offset, bytes, lost, what: what.into() });
            return;
        }
        let id = self.reader.id();
        if let Some(last) = self.damages.last_mut() {
            let end = (last.offset + last.bytes).max(offset + bytes);
            last.offset = last.offset.min(offset);
            last.bytes = end - last.offset;
            last.lost = Some(Lost::Segment(id));
            "more damage than is told one by one".clone_into(&mut last.what);
        }
    }

    /// Notes bytes that the last read could not get.
    fn unreadable(&mut self, offset: u64, bytes: u64, lost: Option<Lost>, what: &str) {
        let why = format!("{what}: {}", self.reader.why());
        self.damaged(offset, bytes, lost, why);
    }

    /// Positions of this segment.
    fn positions(&self, from: u32, end: u32) -> Option<Lost> {
        let first = Location::new(self.reader.id(), from)?;
        (from < end).then(|| Lost::Stored { first, sectors: end - from })
    }

    /// Notes a stretch, shorter than a sector, that should hold zeros and nothing else.
    fn zeros(&mut self, offset: u64, bytes: u64) -> Result<(), Halt> {
        match self.reader.take(offset, bytes as usize)? {
            Some(padding) if padding.iter().all(|&b| b == 0) => {}
            Some(_) => self.damaged(offset, bytes, None, "padding: not zeros"),
            None => self.unreadable(offset, bytes, None, "padding"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
