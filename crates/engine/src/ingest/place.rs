//! Gives every block of a stream its place: one that it has, or a new chunk.

use std::collections::BTreeSet;

use archipelago_format::sectors_of;
use archipelago_model::{BLOCK_BYTES, Extent, Location, SegmentId};

use super::cold::{CHUNK_BYTES, ColdWriter};
use super::prints::BLOCK_SECTORS;
use super::share::{Candidates, Match};
use super::window::{Order, Window};
use super::{Context, IngestError, IngestStats, Piece, Source};
use crate::error::Error;
use crate::map::RunBuilder;
use crate::segments::Segments;

/// Blocks of a chunk. Chunks end where the resource has a multiple of this.
const CHUNK_BLOCKS: u64 = CHUNK_BYTES as u64 / BLOCK_BYTES;
/// Blocks at the end of a window that wait for the next one: a run that begins in
/// them may have its first sample there, and samples are 64 blocks apart.
const LOOK_AHEAD_BLOCKS: usize = 64;
/// Blocks found nowhere that are held back before they are written: a run found
/// behind them may reach back into them. Two chunks, so that one is complete.
const HELD_BACK_BLOCKS: usize = 2 * CHUNK_BLOCKS as usize;

/// Who is told where each stretch went, and has the writer of new segments.
pub(crate) trait Naming<'w> {
    /// Sectors that follow each other, or zeros; in ascending order.
    fn say(&mut self, extent: Extent) -> Result<(), Error>;

    /// The writer.
    fn cold(&mut self) -> &mut ColdWriter<'w>;
}

impl<'w> Naming<'w> for RunBuilder<'_, ColdWriter<'w>> {
    fn say(&mut self, extent: Extent) -> Result<(), Error> {
        self.push(extent)
    }

    fn cold(&mut self) -> &mut ColdWriter<'w> {
        self.sink()
    }
}

/// What placing gave.
pub(crate) struct Placed<N> {
    /// Who was told.
    pub(crate) naming: N,
    /// Segments of others that it names.
    pub(crate) named: BTreeSet<SegmentId>,
    /// All but the stored bytes.
    pub(crate) stats: IngestStats,
}

/// An ingest under way.
pub(crate) struct Placing<'w, N> {
    context: &'w Context,
    window: Window,
    order: Order,
    candidates: Candidates,
    naming: N,
    size_bytes: u64,
    /// Where the last shared run ended, when nothing was written since.
    behind: Option<Location>,
    named: BTreeSet<SegmentId>,
    stats: IngestStats,
}

impl<'w, N: Naming<'w>> Placing<'w, N> {
    /// Begins. `say_zeros`: there is a map below.
    pub(crate) fn new(context: &'w Context, naming: N, size_bytes: u64, say_zeros: bool) -> Self {
        Self {
            context,
            window: Window::new(context.dedup.key, say_zeros),
            order: Order::new(size_bytes),
            candidates: Candidates::default(),
            naming,
            size_bytes,
            behind: None,
            named: BTreeSet::new(),
            stats: IngestStats::default(),
        }
    }

    /// Takes all that the source gives.
    pub(crate) fn gather(&mut self, source: &mut Source<'_>) -> Result<(), IngestError> {
        while let Some(piece) = source()? {
            self.order.check(&piece)?;
            match piece {
                Piece::Zero { offset, len } => {
                    self.window.push_zero(offset, len);
                    self.make_room()?;
                }
                Piece::Data { offset, bytes } => self.data(offset, &bytes)?,
            }
        }
        Ok(())
    }

    /// Stores sectors that are no whole blocks, or zeros that have to be stored, at once.
    pub(crate) fn fragment(&mut self, raw: &[u8]) -> Result<Location, Error> {
        self.naming.cold().append_fragment(raw)
    }

    /// Takes whole blocks (of the last, what there is), in ascending order.
    pub(crate) fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.stats.bytes_in += bytes.len() as u64;
        for (block, data) in (offset / BLOCK_BYTES..).zip(bytes.chunks(BLOCK_BYTES as usize)) {
            self.window.push_block(block, data);
            self.make_room()?;
        }
        Ok(())
    }

    /// Places what is left, and hides what lies below behind the end, so that it
    /// does not come back when the resource grows again.
    pub(crate) fn finish(mut self, below_end: u64) -> Result<Placed<N>, Error> {
        self.place(true)?;
        let mut at = sectors_of(self.size_bytes);
        while at < below_end {
            let len = (below_end - at).min(Extent::SECTORS_MAX);
            self.say(at, len, Location::HOLE)?;
            at += len;
        }
        self.stats.zero_bytes = self.window.zero_bytes();
        Ok(Placed { naming: self.naming, named: self.named, stats: self.stats })
    }

    fn make_room(&mut self) -> Result<(), Error> {
        if self.window.is_full() { self.place(self.window.has_many_holes()) } else { Ok(()) }
    }

    /// Places the blocks of the window: `all`, or all but the last few.
    fn place(&mut self, all: bool) -> Result<(), Error> {
        let open = self.naming.cold().open_prints().map(|(segment, _)| segment);
        let Context { segments, dedup, .. } = self.context;
        self.candidates.choose(segments, dedup, self.window.hashes(), open);
        let count = self.window.blocks().len();
        let limit = if all { count } else { count.saturating_sub(LOOK_AHEAD_BLOCKS) };
        let (mut placed, mut at) = (0, 0);
        while at < limit {
            let open = self.naming.cold().open_prints();
            match self.candidates.find(self.window.hashes(), placed, at, open, self.behind) {
                Some(found) => {
                    at = found.first + found.len;
                    if self.is_whole(&found)? {
                        self.store(placed, found.first)?;
                        self.share(&found)?;
                    } else {
                        self.store(placed, at)?;
                    }
                    placed = at;
                }
                None => {
                    at += 1;
                    if at - placed >= HELD_BACK_BLOCKS {
                        let to = self.chunk_end(placed, at);
                        self.store(placed, to)?;
                        placed = to;
                    }
                }
            }
        }
        if all {
            self.store(placed, count)?;
            self.say_zeros(u64::MAX)?;
            placed = count;
        }
        self.window.drop_first(placed);
        Ok(())
    }

    /// The last place in `from + 1..=to` where a chunk ends.
    fn chunk_end(&self, from: usize, to: usize) -> usize {
        let blocks = self.window.blocks();
        let chunk = |n: usize| blocks.get(n).map(|block| block / CHUNK_BLOCKS);
        (from + 1..=to).rev().find(|&n| chunk(n) != chunk(n - 1)).unwrap_or(to)
    }

    /// Writes blocks `from..to` of the window, a chunk for each 64 KiB of the
    /// resource that has any of them.
    fn store(&mut self, from: usize, to: usize) -> Result<(), Error> {
        let mut first = from;
        while first < to {
            let blocks = &self.window.blocks()[first..to];
            let chunk = blocks[0] / CHUNK_BLOCKS;
            let end = first + blocks.iter().take_while(|&&b| b / CHUNK_BLOCKS == chunk).count();
            let hashes = &self.window.hashes()[first..end];
            let location =
                self.naming.cold().append_chunk(self.window.bytes(first, end), hashes)?;
            self.name(first, end, location)?;
            self.behind = None;
            first = end;
        }
        Ok(())
    }

    /// Whether a run that is stored already can be read and is kept. A copy that is at hand must
    /// not be given up for one that rotted on the disk.
    fn is_whole(&mut self, found: &Match) -> Result<bool, Error> {
        if self.naming.cold().made(found.segment) {
            return Ok(true);
        }
        if !self.named.contains(&found.segment) && !self.naming.cold().hold(found.segment) {
            return Ok(false);
        }
        let mut bytes = vec![0; found.len * BLOCK_BYTES as usize];
        // Condemned or moved since it was held, it is whole all the same, and the bind will refuse
        // it: to read it until then is no alarm.
        match self.context.segments.read_placed(found.location, &mut bytes) {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(error, Error::Damaged { .. }) || Segments::is_missing(&error) =>
            {
                tracing::warn!(segment = %found.segment, %error, "a stored copy is damaged");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Names a run that is stored already.
    fn share(&mut self, found: &Match) -> Result<(), Error> {
        if !self.naming.cold().made(found.segment) {
            self.named.insert(found.segment);
        }
        let end = found.first + found.len;
        let last_end = (self.window.blocks()[end - 1] + 1) * BLOCK_BYTES;
        let padding = last_end.saturating_sub(self.size_bytes);
        self.stats.duplicate_bytes += found.len as u64 * BLOCK_BYTES - padding;
        self.name(found.first, end, found.location)?;
        self.behind = Some(found.location.advance(found.len as u64 * u64::from(BLOCK_SECTORS)));
        Ok(())
    }

    /// Says that blocks `from..to` of the window are at `location` and behind it.
    /// Where zeros lie between them in the resource, they do not in the segment.
    fn name(&mut self, from: usize, to: usize, mut location: Location) -> Result<(), Error> {
        let mut at = from;
        while at < to {
            let blocks = &self.window.blocks()[at..to];
            let count =
                blocks.iter().zip(blocks[0]..).take_while(|(block, n)| **block == *n).count();
            let (start, len) =
                (blocks[0] * u64::from(BLOCK_SECTORS), count as u64 * u64::from(BLOCK_SECTORS));
            self.say_zeros(start)?;
            self.say(start, len.min(sectors_of(self.size_bytes) - start), location)?;
            location = location.advance(len);
            at += count;
        }
        Ok(())
    }

    fn say_zeros(&mut self, before: u64) -> Result<(), Error> {
        while let Some(hole) = self.window.next_hole(before) {
            self.naming.say(hole)?;
        }
        Ok(())
    }

    fn say(&mut self, start: u64, len: u64, location: Location) -> Result<(), Error> {
        self.naming.say(Extent::new(start, len, location).expect("sizes are limited"))
    }
}
