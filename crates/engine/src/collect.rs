//! What the collector tells the engine and asks of it, besides marks and compaction.

use std::collections::HashSet;

use archipelago_format::node::{Node, Run};
use archipelago_model::{Extent, Location, PoolId, SECTOR_BYTES, SegmentId};

use crate::engine::Engine;
use crate::error::{Durable, Error};
use crate::ingest::{self, ColdWriter, Compression, IngestError, IngestStats, Ingested, Piece};
use crate::map::{self, Layer, Names, NodeSink};

/// Bytes that are read and written again at once.
const PIECE_BYTES: u64 = 1 << 20;

impl Engine {
    /// Nobody names these segments; they are about to be removed.
    pub fn condemned(&self, ids: &[SegmentId]) {
        self.shared().segments.condemn(ids);
    }

    /// Condemned segments that were read all the same: a defect, or a very slow reader.
    pub fn alarms(&self) -> Vec<SegmentId> {
        self.shared().segments.alarms()
    }

    /// These are kept after all.
    pub fn rescued(&self, ids: &[SegmentId]) {
        self.shared().segments.rescue(ids);
    }

    /// Whether an ingest that is not bound yet may share from a segment: it should be kept
    /// for as long, so that what it holds can be written again.
    pub fn holds(&self, id: SegmentId) -> bool {
        self.shared().pins.holds(id)
    }

    /// Whether a segment is sealed and waits for the next checkpoint to record it.
    pub fn is_unrecorded(&self, id: SegmentId) -> bool {
        self.shared().segments.is_unrecorded(id)
    }

    /// Whether recovery kept a segment whose records it could not read.
    pub fn is_doubtful(&self, id: SegmentId) -> bool {
        self.shared().segments.is_kept(id)
    }

    /// These are gone: condemned ones with their files, forwarded ones because nobody
    /// names a location in them any more.
    pub fn removed(&self, ids: &[SegmentId]) {
        let shared = self.shared();
        shared.segments.removed(ids);
        shared.ingest.forget(&ids.iter().copied().collect());
    }

    /// The files of these are gone; locations in them stay forwarded.
    pub fn emptied(&self, ids: &[SegmentId]) {
        let shared = self.shared();
        shared.segments.gone(ids);
        shared.segments.avoid(ids, false);
        shared.ingest.forget(&ids.iter().copied().collect());
    }

    /// Gives every segment of the log its footer, the present one too, so that all of
    /// them can be collected. The next write begins a new one.
    ///
    /// # Errors
    /// Those of a sync of the log.
    pub fn rest_log(&self) -> Result<(), Error> {
        self.shared().log.rest()
    }

    /// One run of all runs of a root, with nothing in it that is hidden and everything
    /// named where it is now. To be bound in the place of the root, by the thread of the
    /// collector and before it begins another round.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Store`], [`Error::NoSpace`].
    pub fn flatten_root(&self, root: Location) -> Result<Ingested, Error> {
        let shared = self.shared();
        let _still_read = shared.pins.root(root);
        let runs = shared.nodes.root(root)?;
        let mut cold = ColdWriter::new(&shared.ingest, 0, Compression::default());
        let root = match map::merge(&shared.nodes, &runs, true, Names::Resolved, &mut cold)? {
            None => Location::HOLE,
            Some(run) => cold.append_node(&Node::Root(vec![run]).encode())?,
        };
        let (sealed, fresh) = cold.finish(&[])?;
        let stats = IngestStats {
            stored_bytes: sealed.iter().map(|info| info.stored_bytes).sum(),
            ..IngestStats::default()
        };
        Ok(Ingested { root: Durable::after_sync(root), named: Vec::new(), sealed, stats, fresh })
    }

    /// Writes again what an ingest found in segments that were `leaving` when its root
    /// was to be bound, and gives a root that does not name them. The old one can still be
    /// read: they are kept for a while.
    ///
    /// # Errors
    /// As an ingest.
    pub fn rewrite(
        &self,
        old: Ingested,
        size_bytes: u64,
        leaving: &[SegmentId],
    ) -> Result<Ingested, IngestError> {
        let shared = self.shared();
        let leaving: HashSet<SegmentId> = leaving.iter().copied().collect();
        shared.segments.avoid(&leaving.iter().copied().collect::<Vec<_>>(), true);
        let root = *old.root.get();
        // For as long as the pin and longer, also when this fails: a mark that finds what leaves
        // named by the old root has to find it held as well.
        let _held = old.fresh.clone();
        let _still_read = shared.pins.root(root);
        let runs = shared.nodes.root(root)?;
        let Some((top, below)) = runs.split_first() else {
            return Ok(old);
        };
        let mut again = self.extents_in(top, &leaving)?.into_iter().peekable();
        let mut offset = 0;
        let rewritten =
            ingest::ingest(&shared.ingest, PoolId::FIRST, root, size_bytes, &mut || {
                let Some(extent) = again.peek().copied() else {
                    return Ok(None);
                };
                let start = extent.start() * SECTOR_BYTES + offset;
                let end = (extent.end() * SECTOR_BYTES).min(size_bytes);
                let len = (end - start).min(PIECE_BYTES);
                let mut bytes = vec![0; len.next_multiple_of(SECTOR_BYTES) as usize];
                let at = extent.location().advance(offset / SECTOR_BYTES);
                shared.segments.read_placed(at, &mut bytes)?;
                bytes.truncate(len as usize);
                offset += len;
                if start + len >= end {
                    again.next();
                    offset = 0;
                }
                Ok(Some(Piece::Data { offset: start, bytes }))
            })?;
        self.without_hidden(rewritten, old, below, &leaving)
    }

    /// The extents of a run that are in some segments.
    fn extents_in(&self, run: &Run, segments: &HashSet<SegmentId>) -> Result<Vec<Extent>, Error> {
        let mut found = Vec::new();
        let layers = [Layer::Run(*run)];
        map::visit_all(&self.shared().nodes, &layers, 0..Extent::START_END, false, |extent| {
            if extent.location().segment().is_some_and(|id| segments.contains(&id)) {
                found.push(extent);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Makes one run of what was written again and of what it hides: no map may name a
    /// segment that is leaving, hidden or not.
    fn without_hidden(
        &self,
        rewritten: Ingested,
        old: Ingested,
        below: &[Run],
        leaving: &HashSet<SegmentId>,
    ) -> Result<Ingested, IngestError> {
        let shared = self.shared();
        let stack = shared.nodes.root(*rewritten.root.get())?;
        // Of the runs below some may have been merged with what is newer.
        let same = |(a, b): &(&Run, &Run)| a == b;
        let kept = stack.iter().rev().zip(below.iter().rev()).take_while(same).count();
        let newer = stack.len() - kept;
        let mut cold = ColdWriter::new(&shared.ingest, 0, Compression::default());
        let bottom = kept == 0;
        let merged = map::merge(&shared.nodes, &stack[..newer], bottom, Names::Kept, &mut cold)?;
        let mut runs: Vec<Run> = merged.into_iter().collect();
        runs.extend_from_slice(&stack[newer..]);
        let root = cold.append_node(&Node::Root(runs).encode())?;
        let (sealed, mut fresh) = cold.finish(&[])?;
        let mut named: Vec<SegmentId> = [old.named, rewritten.named].concat();
        named.retain(|id| !leaving.contains(id));
        named.sort_unstable();
        named.dedup();
        fresh.join(old.fresh);
        fresh.join(rewritten.fresh);
        let mut stats = old.stats;
        stats.stored_bytes += rewritten.stats.stored_bytes;
        Ok(Ingested {
            root: Durable::after_sync(root),
            named,
            sealed: [old.sealed, rewritten.sealed, sealed].concat(),
            stats,
            fresh,
        })
    }
}
