//! Compaction: what is named of some segments moves into new ones, in the order of
//! the volumes that wrote it, deduplicated and compressed; a forwarding table tells
//! where it went, so that no map is rewritten.
//!
//! # Architecture invariant
//! What is left behind is only what the mark found nobody to name. When the
//! positions that are named and those that were found do not agree to the sector,
//! the job fails and nothing is moved.

mod plan;
mod table;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_format::forwarding::Forward;
use archipelago_model::{BLOCK_BYTES, Extent, Location, PoolId, SECTOR_BYTES, SegmentId};

use self::plan::{Stretch, stretches};
use crate::engine::{Engine, Shared};
use crate::error::Error;
use crate::ingest::{ColdWriter, Naming, Placed, Placing};
use crate::map::NodeSink;
use crate::mark::Live;
use crate::pins::Fresh;
use crate::segments::SegmentInfo;

/// Bytes read and placed between two looks at the pace: 256 KiB, some milliseconds of
/// hashing and compressing, so that a guest does not wait for longer.
const STEP_BYTES: usize = 256 << 10;

/// Blocks that share a chunk when they come from the same chunk of a cold segment.
const CHUNK_BLOCKS: u64 = 16;
/// The same of what a guest wrote block by block and may read so: a block in a compressed chunk
/// costs the chunk. 16 KiB take 2 % more space than 64 KiB, and half the time (ADR 7).
const GUEST_CHUNK_BLOCKS: u64 = 4;

const BLOCK_SECTORS: u64 = BLOCK_BYTES / SECTOR_BYTES;

/// A segment and what of it is named.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Which.
    pub id: SegmentId,
    /// Its positions that are named.
    pub live: Live,
}

/// What of the victims goes to one pool.
#[derive(Clone, Debug)]
pub struct Share {
    /// Which.
    pub pool: PoolId,
    /// Segments, each with the positions that go there.
    pub victims: Vec<Victim>,
}

/// What is to be moved.
#[derive(Clone, Debug)]
pub struct Job {
    /// Segments that are emptied, by where what is named of them goes. All that is named of one is
    /// in some share of it, and in one only.
    pub shares: Vec<Share>,
    /// Segments that were moved earlier, whose tables the victims carry.
    pub carried: Vec<Victim>,
}

impl Job {
    /// Where the table goes: with the rest, or where the catalog is, so that no pool is asked for
    /// what is not in it.
    fn table_pool(&self) -> PoolId {
        let mut pools = self.shares.iter().map(|share| share.pool);
        let first = pools.next().unwrap_or(PoolId::FIRST);
        if pools.all(|pool| pool == first) { first } else { PoolId::FIRST }
    }

    fn ids(&self) -> HashSet<SegmentId> {
        let victims = self.shares.iter().flat_map(|share| &share.victims);
        victims.map(|victim| victim.id).collect()
    }
}

/// Figures of a compaction, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CompactStats {
    /// Raw bytes that were named, and so read.
    pub read_bytes: u64,
    /// Of these, found to be stored elsewhere already.
    pub duplicate_bytes: u64,
    /// Of the segments written.
    pub stored_bytes: u64,
}

/// What a compaction gives: segments on stable storage that nobody names yet. To be
/// recorded in one transaction, and then told by [`Engine::forwarded`].
#[derive(Debug)]
pub struct Compacted {
    /// The segments written.
    pub sealed: Vec<SegmentInfo>,
    /// The one of them whose footer has the table.
    pub carrier: SegmentId,
    /// Segments of others that the table names: as with an ingest.
    pub named: Vec<SegmentId>,
    /// Figures.
    pub stats: CompactStats,
    /// Keeps the collector off until all is recorded.
    pub fresh: Fresh,
}

impl Engine {
    /// Moves what is named of the victims. Calls `pace` with the bytes done since the
    /// last call, now and then; it may wait, and breaks to give up.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the segment that cannot be moved as a whole;
    /// [`Error::Closed`] when `pace` gave up; [`Error::Store`], [`Error::NoSpace`].
    /// Nothing is changed then.
    pub fn compact(
        &self,
        job: &Job,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Compacted, Error> {
        let shared = self.shared();
        let ids: Vec<SegmentId> = job.ids().into_iter().collect();
        shared.segments.avoid(&ids, true);
        let moved = run(shared, job, pace);
        if moved.is_err() {
            shared.segments.avoid(&ids, false);
        }
        moved
    }

    /// A compaction is recorded, for these of its victims (and for what they carried):
    /// from now on reads go to the new places.
    pub fn forwarded(&self, moved: &[(SegmentId, SegmentId)]) {
        self.shared().segments.forward(moved);
    }

    /// The catalog has these now, by a transaction that was no checkpoint's.
    pub fn recorded(&self, sealed: &[SegmentInfo]) {
        self.shared().segments.recorded(sealed);
    }

    /// Whether the catalog may lack a segment that is sealed.
    pub fn has_unrecorded(&self) -> bool {
        !self.shared().segments.unrecorded().is_empty()
    }

    /// A compaction was not recorded for these: they may be shared from again.
    pub fn not_forwarded(&self, ids: &[SegmentId]) {
        self.shared().segments.avoid(ids, false);
    }
}

fn run(
    shared: &Arc<Shared>,
    job: &Job,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Compacted, Error> {
    let context = &shared.ingest;
    let mut done = Compacted {
        sealed: Vec::new(),
        carrier: SegmentId::MIN,
        named: Vec::new(),
        stats: CompactStats::default(),
        fresh: shared.pins.fresh(),
    };
    let mut table = Vec::new();
    let table_pool = job.table_pool();
    let mut last = None;
    for (number, share) in job.shares.iter().enumerate() {
        let cold = move_share(shared, share, &mut table, pace, &mut done)?;
        // The table goes behind what comes last, if that is in its pool.
        if share.pool == table_pool && number + 1 == job.shares.len() {
            last = Some(cold);
        } else {
            done.end(cold, &[])?;
        }
    }
    let mut cold = last.unwrap_or_else(|| ColdWriter::for_compaction(context, 0, table_pool));
    let table = table::with_carried(&shared.segments, job, table)?;
    if table.is_empty() {
        // Nothing is named of the victims, nor of what they carried: what went to them
        // goes to a segment of nothing, which the next round frees.
        cold.begin()?;
    }
    done.end(cold, &table)?;
    done.carrier = done.sealed.last().map(|info| info.id).ok_or(Error::Closed)?;
    done.stats.stored_bytes = done.sealed.iter().map(|info| info.stored_bytes).sum();
    Ok(done)
}

impl Compacted {
    /// Notes what a writer has written, which is durable then.
    fn end(&mut self, cold: ColdWriter<'_>, table: &[Forward]) -> Result<(), Error> {
        let (sealed, fresh) = cold.finish(table)?;
        self.sealed.extend(sealed);
        self.fresh.join(fresh);
        Ok(())
    }
}

/// Moves what goes to one pool; what is not sealed yet is in the writer.
fn move_share<'s>(
    shared: &'s Arc<Shared>,
    share: &Share,
    table: &mut Vec<Forward>,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    done: &mut Compacted,
) -> Result<ColdWriter<'s>, Error> {
    let context = &shared.ingest;
    let expected = share.victims.iter().map(|v| v.live.sectors.len() * SECTOR_BYTES).sum();
    let mut cold = ColdWriter::for_compaction(context, expected, share.pool);
    for victim in &share.victims {
        move_nodes(shared, victim, &mut cold, table)?;
    }
    let stretches = stretches(&shared.segments, &share.victims)?;
    let mut mover = Mover {
        shared,
        placing: Placing::new(
            context,
            Moved { cold: &mut cold, extents: Vec::new() },
            Extent::START_END * SECTOR_BYTES,
            false,
        ),
        moves: Vec::new(),
        table,
        at: Synthetic::default(),
        pace,
        done: 0,
    };
    for stretch in &stretches {
        mover.stretch(stretch)?;
    }
    let (extents, moves, named, duplicate_bytes) = mover.finish()?;
    done.stats.read_bytes += expected;
    done.stats.duplicate_bytes += duplicate_bytes;
    done.named.extend(named);
    table::join(&moves, &extents, table)?;
    Ok(cold)
}

/// Map nodes are slots of their own: found by where they begin.
fn move_nodes(
    shared: &Shared,
    victim: &Victim,
    cold: &mut ColdWriter<'_>,
    table: &mut Vec<Forward>,
) -> Result<(), Error> {
    for position in &victim.live.nodes {
        let from = Location::new(victim.id, position).unwrap_or(Location::HOLE);
        let node = shared.segments.read_slot(from)?;
        let to = cold.append_node(&node)?;
        let sectors = (node.len() as u64).div_ceil(SECTOR_BYTES) as u32;
        table.push(Forward { from, to, sectors });
    }
    Ok(())
}

/// A range of the synthetic resource that blocks are placed in, and where it was.
pub(crate) struct Move {
    /// In sectors.
    pub start: u64,
    pub from: Location,
    pub sectors: u32,
}

/// Gathers where blocks were placed.
struct Moved<'c, 'w> {
    cold: &'c mut ColdWriter<'w>,
    extents: Vec<Extent>,
}

impl<'w> Naming<'w> for Moved<'_, 'w> {
    fn say(&mut self, extent: Extent) -> Result<(), Error> {
        self.extents.push(extent);
        Ok(())
    }

    fn cold(&mut self) -> &mut ColdWriter<'w> {
        self.cold
    }
}

/// Block numbers of a resource that does not exist: ascending, as placing wants them;
/// blocks that shall share a chunk lie in the same 64 KiB of it, others do not.
#[derive(Default)]
struct Synthetic {
    next: u64,
    /// The last chunk: of which group, which of it, and where it begins here.
    window: Option<(u64, u64, u64)>,
}

impl Synthetic {
    /// Where block `block` of `group` goes.
    fn place(&mut self, group: u64, block: u64) -> u64 {
        let blocks = if group < plan::COLD_GROUPS { GUEST_CHUNK_BLOCKS } else { CHUNK_BLOCKS };
        let window = block / blocks;
        let base = match self.window {
            Some((g, w, base))
                if (g, w) == (group, window) && base + block % blocks >= self.next =>
            {
                base
            }
            _ => self.next.next_multiple_of(CHUNK_BLOCKS),
        };
        self.window = Some((group, window, base));
        let at = base + block % blocks;
        self.next = at + 1;
        at
    }
}

struct Mover<'a, 'c, 'w> {
    shared: &'a Arc<Shared>,
    placing: Placing<'w, Moved<'c, 'w>>,
    moves: Vec<Move>,
    table: &'a mut Vec<Forward>,
    at: Synthetic,
    pace: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
    /// Bytes since the pace was last looked at.
    done: usize,
}

/// Extents of the synthetic resource, what was moved into it, segments of others that
/// are named, bytes that were stored already.
type Finished = (Vec<Extent>, Vec<Move>, Vec<SegmentId>, u64);

impl Mover<'_, '_, '_> {
    fn stretch(&mut self, stretch: &Stretch) -> Result<(), Error> {
        let end = stretch.end();
        let mut at = stretch.start;
        while at < end {
            let block_end = (at / BLOCK_SECTORS + 1) * BLOCK_SECTORS;
            let to = if at.is_multiple_of(BLOCK_SECTORS) && end >= block_end {
                // As many whole blocks as a step takes.
                let step = STEP_BYTES as u64 / SECTOR_BYTES;
                (at + step).min(end) / BLOCK_SECTORS * BLOCK_SECTORS
            } else {
                block_end.min(end)
            };
            let sources = stretch.sources(at..to);
            let bytes = self.read(&sources, (to - at) as usize)?;
            if (to - at).is_multiple_of(BLOCK_SECTORS) {
                self.blocks(stretch.group, at, &sources, &bytes)?;
            } else {
                self.fragment(&sources, &bytes)?;
            }
            self.paced(bytes.len())?;
            at = to;
        }
        Ok(())
    }

    fn read(&self, sources: &[(Location, u32)], sectors: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; sectors * SECTOR_BYTES as usize];
        let mut rest = &mut bytes[..];
        for (from, sectors) in sources {
            let (part, behind) = rest.split_at_mut(*sectors as usize * SECTOR_BYTES as usize);
            self.shared.segments.read(*from, part)?;
            rest = behind;
        }
        Ok(bytes)
    }

    fn blocks(
        &mut self,
        group: u64,
        start: u64,
        sources: &[(Location, u32)],
        bytes: &[u8],
    ) -> Result<(), Error> {
        let mut parts = Parts::new(sources);
        for (block, data) in (start / BLOCK_SECTORS..).zip(bytes.chunks_exact(BLOCK_BYTES as usize))
        {
            let sources = parts.next(BLOCK_SECTORS as u32);
            // Zeros are not placed, and a table cannot say zero.
            if data.iter().all(|byte| *byte == 0) {
                self.fragment(&sources, data)?;
                continue;
            }
            let at = self.at.place(group, block);
            let mut start = at * BLOCK_SECTORS;
            for (from, sectors) in sources {
                self.moves.push(Move { start, from, sectors });
                start += u64::from(sectors);
            }
            self.placing.data(at * BLOCK_BYTES, data)?;
        }
        Ok(())
    }

    fn fragment(&mut self, sources: &[(Location, u32)], bytes: &[u8]) -> Result<(), Error> {
        let mut to = self.placing.fragment(bytes)?;
        for &(from, sectors) in sources {
            self.table.push(Forward { from, to, sectors });
            to = to.advance(u64::from(sectors));
        }
        Ok(())
    }

    fn paced(&mut self, bytes: usize) -> Result<(), Error> {
        self.done += bytes;
        if self.done < STEP_BYTES {
            return Ok(());
        }
        match (self.pace)(std::mem::take(&mut self.done) as u64) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Closed),
        }
    }

    fn finish(self) -> Result<Finished, Error> {
        let Placed { naming, named, stats } = self.placing.finish(0)?;
        Ok((naming.extents, self.moves, named.into_iter().collect(), stats.duplicate_bytes))
    }
}

/// Takes sources apart, a number of sectors at a time.
struct Parts<'a> {
    sources: &'a [(Location, u32)],
    /// Sectors of the first that were taken.
    skip: u32,
}

impl<'a> Parts<'a> {
    const fn new(sources: &'a [(Location, u32)]) -> Self {
        Self { sources, skip: 0 }
    }

    fn next(&mut self, mut sectors: u32) -> Vec<(Location, u32)> {
        let mut out = Vec::with_capacity(1);
        while sectors > 0
            && let Some((&(from, len), behind)) = self.sources.split_first()
        {
            let taken = sectors.min(len - self.skip);
            out.push((from.advance(u64::from(self.skip)), taken));
            sectors -= taken;
            self.skip += taken;
            if self.skip == len {
                (self.sources, self.skip) = (behind, 0);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
