//! The mark of a collection: what is named, segment by segment.
//!
//! Every map node is visited once, however many maps share it. What an older run of
//! a map says counts as named even where a newer run hides it; flattening such maps
//! ([`Mark::worth_flattening`]) is what frees it.
//!
//! # Architecture invariant
//! In doubt everything is kept: a node that cannot be read fails the mark.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_format::node::{Node, Run};
use archipelago_format::sectors_of;
use archipelago_format::segment::SegmentKind;
use archipelago_model::{Extent, Location, SegmentId};
use roaring::RoaringBitmap;

use crate::engine::{Engine, Shared};
use crate::error::Error;

/// A lower part of a map is rewritten without what the upper part hides once the
/// upper part speaks of a quarter of it: so the hidden bytes that a map keeps alive
/// stay below a quarter, and rewriting costs 16 bytes an extent once for each
/// quarter of the map's content that is overwritten.
const HIDDEN_PARTS: u64 = 4;

/// Below so many sectors (1 MiB) hidden bytes are not worth a new map.
const HIDDEN_SECTORS_MIN: u64 = 2048;

/// A mark lets guests pass after so many nodes, at most a few milliseconds.
const STEP_NODES: u64 = 64;

/// What may still be named by those who are at it, when a mark begins.
#[derive(Clone, Debug)]
pub struct Horizon {
    /// Segments of the log from here on are left alone.
    pub log: SegmentId,
    /// So are all others from here on, which did not exist, ...
    pub all: SegmentId,
    /// ... and these: ingests wrote them, or share from them, and are about to bind that.
    pub fresh: HashSet<SegmentId>,
}

impl Horizon {
    /// Whether the collection may touch a segment of this kind.
    pub fn allows(&self, id: SegmentId, kind: SegmentKind) -> bool {
        let before = if kind == SegmentKind::Hot { self.log } else { self.all };
        id < before && !self.fresh.contains(&id)
    }
}

/// The positions of a segment that are named.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct Live {
    /// All of them, in sectors.
    pub sectors: RoaringBitmap,
    /// Where map nodes begin.
    pub nodes: RoaringBitmap,
}

impl Live {
    /// What of these positions others do not have.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        Self { sectors: &self.sectors - &others.sectors, nodes: &self.nodes - &others.nodes }
    }

    /// What of these positions others have, too.
    #[must_use]
    pub fn within(&self, others: &Self) -> Self {
        Self { sectors: &self.sectors & &others.sectors, nodes: &self.nodes & &others.nodes }
    }

    /// Ranges of named positions, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<u32>> + '_ {
        let mut sectors = self.sectors.iter();
        std::iter::from_fn(move || {
            sectors.next_range().map(|range| *range.start()..*range.end() + 1)
        })
    }

    /// Whether any position of `range` is named.
    pub fn meets(&self, range: std::ops::Range<u32>) -> bool {
        self.sectors.range_cardinality(range) > 0
    }
}

/// What a run holds, in sectors.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct RunFacts {
    /// It speaks of.
    said: u64,
    /// Of these, those that are stored.
    mapped: u64,
    /// Of these, those that lie where a compaction put them, under their old names.
    forwarded: u64,
}

/// What is named.
#[derive(Default)]
pub struct Mark {
    segments: HashMap<SegmentId, Live>,
    runs: HashMap<Location, RunFacts>,
    /// Runs that some map shows whole: at the top of its stack.
    tops: HashSet<Location>,
    /// Runs of several maps.
    shared: HashSet<Location>,
}

impl Mark {
    /// What of a segment is named; `None` when nothing is.
    pub fn live(&self, id: SegmentId) -> Option<&Live> {
        self.segments.get(&id)
    }

    /// The segments of which something is named.
    pub fn ids(&self) -> impl Iterator<Item = SegmentId> + '_ {
        self.segments.keys().copied()
    }

    /// Takes what of a segment is named.
    pub fn take(&mut self, id: SegmentId) -> Live {
        self.segments.remove(&id).unwrap_or_default()
    }

    /// Whether a map of these runs (newest first) keeps much alive that it hides, or
    /// much that only it names lies under old names: then one run should take their place.
    /// Runs that are shared stay so: a thousand clones are not worth a thousand maps.
    pub(crate) fn worth_flattening(&self, runs: &[Run]) -> bool {
        let facts = |run: &Run| self.runs.get(&run.top).copied().unwrap_or_default();
        let (mut mapped, mut forwarded) = (0, 0);
        for run in runs {
            mapped += facts(run).mapped;
            if !self.shared.contains(&run.top) {
                forwarded += facts(run).forwarded;
            }
        }
        if forwarded >= HIDDEN_SECTORS_MIN && forwarded * HIDDEN_PARTS >= mapped {
            return true;
        }
        let mut above = 0;
        let mut below = mapped;
        for (at, run) in runs.iter().enumerate() {
            // What another map shows whole is not freed by hiding it here.
            let shown_elsewhere = at > 0 && self.tops.contains(&run.top);
            if at > 0 && !shown_elsewhere {
                let hidden = above.min(below);
                if hidden >= HIDDEN_SECTORS_MIN && hidden * HIDDEN_PARTS >= below {
                    return true;
                }
            }
            if shown_elsewhere {
                return false;
            }
            above += facts(run).said;
            below -= facts(run).mapped;
        }
        false
    }
}

impl Engine {
    /// Begins a mark: what it must leave alone. Call it *before* the roots and the
    /// log floor are read, and stay below that floor, too.
    pub fn begin_mark(&self) -> Horizon {
        self.shared().pins.begin_mark();
        self.horizon()
    }

    /// What a mark that began now would have to leave alone.
    pub fn horizon(&self) -> Horizon {
        let shared = self.shared();
        let all = shared.segments.next_id();
        let (log, fresh) = shared.pins.horizon(|| shared.log.position().segment());
        Horizon { log: log.min(all), all, fresh }
    }

    /// Roots that are in use whether or not the catalog names them: of open views and
    /// volumes. Call it after the roots of the catalog were read, once nobody is
    /// between reading a root there and opening it here.
    pub fn held_roots(&self) -> Vec<Location> {
        let shared = self.shared();
        let mut roots = shared.pins.roots();
        roots.extend(shared.volumes.read().values().map(|volume| volume.root()));
        roots
    }

    /// Marks what `roots` reach in those segments that `wanted` tells. Calls `step` between
    /// handfuls of nodes, which may wait, or break off.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Store`] when a node cannot be read: then nobody
    /// knows what it names, and nothing may be freed. [`Error::Closed`] when broken off.
    pub fn mark(
        &self,
        roots: impl IntoIterator<Item = Location>,
        wanted: &dyn Fn(SegmentId) -> bool,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Mark, Error> {
        let mut marker = Marker {
            shared: self.shared(),
            wanted,
            step,
            nodes: 0,
            visited: HashSet::new(),
            mark: Mark::default(),
        };
        for root in roots {
            marker.root(root)?;
        }
        Ok(marker.mark)
    }

    /// The runs of a root, newest first.
    ///
    /// # Errors
    /// As [`Self::mark`].
    pub fn wants_flattening(&self, mark: &Mark, root: Location) -> Result<bool, Error> {
        Ok(mark.worth_flattening(&self.shared().nodes.root(root)?))
    }
}

struct Marker<'a> {
    shared: &'a Arc<Shared>,
    wanted: &'a dyn Fn(SegmentId) -> bool,
    step: &'a mut dyn FnMut() -> ControlFlow<()>,
    nodes: u64,
    visited: HashSet<Location>,
    mark: Mark,
}

impl Marker<'_> {
    fn root(&mut self, root: Location) -> Result<(), Error> {
        if root.is_hole() || !self.visited.insert(root) {
            return Ok(());
        }
        let node = self.node(root)?;
        let Node::Root(runs) = &*node else {
            return Err(Error::damaged(root, "a map node where a root should be"));
        };
        if let Some(top) = runs.first() {
            self.mark.tops.insert(top.top);
        }
        for run in runs {
            if self.visited.insert(run.top) {
                let mut facts = RunFacts::default();
                self.subtree(run.top, run.height, &mut facts)?;
                self.mark.runs.insert(run.top, facts);
            } else {
                self.mark.shared.insert(run.top);
            }
        }
        Ok(())
    }

    fn subtree(&mut self, at: Location, height: u32, facts: &mut RunFacts) -> Result<(), Error> {
        let node = self.node(at)?;
        match (&*node, height) {
            (Node::Leaf(extents), 0) => extents.iter().try_for_each(|e| self.extent(*e, facts)),
            (Node::Index(children), 1..) => {
                children.iter().try_for_each(|child| self.subtree(child.node, height - 1, facts))
            }
            _ => Err(Error::damaged(at, "a map node of the wrong level")),
        }
    }

    fn node(&mut self, at: Location) -> Result<Arc<Node>, Error> {
        self.nodes += 1;
        if self.nodes.is_multiple_of(STEP_NODES) && (self.step)().is_break() {
            return Err(Error::Closed);
        }
        let node = self.shared.nodes.load_passing(at)?;
        let sectors = sectors_of(node.bytes() as u64);
        self.name(at, sectors, true)?;
        Ok(node)
    }

    fn extent(&mut self, extent: Extent, facts: &mut RunFacts) -> Result<(), Error> {
        facts.said += extent.len();
        if extent.is_hole() {
            return Ok(());
        }
        facts.mapped += extent.len();
        let segment = extent.location().segment();
        if segment.is_some_and(|id| self.shared.segments.carrier(id).is_some()) {
            facts.forwarded += extent.len();
        }
        self.name(extent.location(), extent.len(), false)
    }

    /// Notes that `sectors` at `at` are named, and where they are forwarded to.
    fn name(&mut self, at: Location, sectors: u64, node: bool) -> Result<(), Error> {
        let Some(id) = at.segment() else {
            return Ok(());
        };
        let wanted = (self.wanted)(id);
        if wanted {
            let range = at.position()..at.position() + sectors as u32;
            let live = match self.mark.segments.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Live::default()),
            };
            if node {
                live.nodes.insert(at.position());
            }
            if live.sectors.insert_range(range) == 0 && !node {
                // Known already, and with it all places that it is forwarded to.
                return Ok(());
            }
        }
        if self.shared.segments.carrier(id).is_none() {
            return Ok(());
        }
        let whole = Extent::new(0, sectors, at)
            .ok_or_else(|| Error::damaged(at, "an extent out of range"))?;
        // One step at a time, so that what lies between is noted as well.
        let shared = Arc::clone(self.shared);
        shared
            .segments
            .step(whole, &mut |part: Extent| self.name(part.location(), part.len(), node))
    }
}

#[cfg(test)]
mod tests;
