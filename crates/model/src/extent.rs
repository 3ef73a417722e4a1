//! Where the bytes of a range are: the unit that maps are made of.

use std::fmt;
use std::ops::Range;

use crate::id::SegmentId;

/// A range of 512-byte sectors of a resource.
pub type SectorRange = Range<u64>;

/// A place in the store: a segment and a sector position in the *raw*
/// (uncompressed) space of that segment.
///
/// A segment's slot table turns a position into (slot, skip). Positions of one
/// segment grow in the order of appending and segment ids grow over time, so
/// that locations of the log are also its sequence numbers: the greater one was
/// written later.
///
/// Layout: segment in the upper 40 bits, position in the lower 24.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Location(u64);

impl Location {
    /// Bits of the position: 2^24 sectors are 8 GiB of raw bytes in a segment.
    pub const POSITION_BITS: u32 = 24;
    /// Positions are below this.
    pub const POSITION_END: u32 = 1 << Self::POSITION_BITS;
    /// No segment: the bytes are zeros that are stored nowhere.
    pub const HOLE: Location = Location(0);

    /// A place, or `None` when `position` does not fit into 24 bits.
    pub const fn new(segment: SegmentId, position: u32) -> Option<Self> {
        if position >= Self::POSITION_END {
            None
        } else {
            Some(Self(segment.get() << Self::POSITION_BITS | position as u64))
        }
    }

    /// The first position of a segment.
    pub const fn start_of(segment: SegmentId) -> Self {
        Self(segment.get() << Self::POSITION_BITS)
    }

    /// From the persisted form. Any number is a location; 0 is the hole.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The persisted form.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The segment, or `None` for a hole.
    pub const fn segment(self) -> Option<SegmentId> {
        SegmentId::new(self.0 >> Self::POSITION_BITS)
    }

    /// The sector position in the segment's raw space.
    pub const fn position(self) -> u32 {
        (self.0 & (Self::POSITION_END as u64 - 1)) as u32
    }

    /// Whether this is [`Self::HOLE`].
    pub const fn is_hole(self) -> bool {
        self.0 == 0
    }

    /// The place `sectors` further on in the same segment; a hole stays a hole.
    #[must_use]
    pub const fn advance(self, sectors: u64) -> Self {
        if self.is_hole() { self } else { Self(self.0 + sectors) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.segment() {
            None => write!(f, "hole"),
            Some(segment) => write!(f, "{segment}+{:x}", self.position()),
        }
    }
}

/// A run of sectors of a resource and where they are: 16 bytes, in memory and
/// on disk.
///
/// An extent may span any number of chunks, as long as they follow each other
/// in one segment; so a 32 MiB stretch of an imported image is one extent.
///
/// Layout: `start` in the upper 40 bits of the first word (2^40 sectors are
/// 512 TiB), `len` in the lower 24; the second word is the [`Location`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    start_len: u64,
    location: Location,
}

impl Extent {
    /// Lengths are 1 to this many sectors (8 GiB less one sector).
    pub const SECTORS_MAX: u64 = (1 << 24) - 1;
    /// Starts are below this.
    pub const START_END: u64 = 1 << 40;

    /// An extent, or `None` when start or length is out of range.
    pub const fn new(start: u64, len: u64, location: Location) -> Option<Self> {
        if start >= Self::START_END || len == 0 || len > Self::SECTORS_MAX {
            return None;
        }
        Some(Self { start_len: start << 24 | len, location })
    }

    /// From the persisted words; `None` when the length is zero.
    pub const fn from_raw(start_len: u64, location: u64) -> Option<Self> {
        if start_len & 0xff_ffff == 0 {
            return None;
        }
        Some(Self { start_len, location: Location::from_raw(location) })
    }

    /// The persisted words.
    pub const fn raw(self) -> (u64, u64) {
        (self.start_len, self.location.raw())
    }

    /// The first sector.
    pub const fn start(self) -> u64 {
        self.start_len >> 24
    }

    /// The length in sectors, at least 1.
    pub const fn len(self) -> u64 {
        self.start_len & 0xff_ffff
    }

    /// Never: an extent has at least one sector.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// The sector after the last.
    pub const fn end(self) -> u64 {
        self.start() + self.len()
    }

    /// The sectors.
    pub const fn range(self) -> SectorRange {
        self.start()..self.end()
    }

    /// Where the first sector is.
    pub const fn location(self) -> Location {
        self.location
    }

    /// Whether the sectors read as zeros and are stored nowhere.
    pub const fn is_hole(self) -> bool {
        self.location.is_hole()
    }

    /// The part that lies in `range`, or `None` when they do not meet.
    pub fn clip(self, range: &SectorRange) -> Option<Self> {
        let start = self.start().max(range.start);
        let end = self.end().min(range.end);
        if start < end {
            Self::new(start, end - start, self.location.advance(start - self.start()))
        } else {
            None
        }
    }

    /// Whether `next` goes on where `self` ends, in the resource and in the store.
    pub const fn joins(self, next: Extent) -> bool {
        self.end() == next.start()
            && self.location.advance(self.len()).raw() == next.location.raw()
            && self.len() + next.len() <= Self::SECTORS_MAX
            && self.location.position() as u64 + self.len() + next.len()
                <= Location::POSITION_END as u64
    }

    /// Both as one. Call only when [`Self::joins`] holds.
    #[must_use]
    pub const fn join(self, next: Extent) -> Extent {
        Self { start_len: self.start_len + next.len(), location: self.location }
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{} at {}]", self.start(), self.end(), self.location)
    }
}

#[cfg(test)]
mod tests;
