//! Maps: stacks of runs, read lazily and written once.
//!
//! A look-up goes through *layers*, newest first: the overlay, overlays being
//! persisted, then the runs of the root. What a layer says hides all below it;
//! what no layer says is zero.
//!
//! # Architecture invariant
//! Nodes are immutable and shared by every map that names them; nothing here
//! changes a node, counts references, or knows which volume it works for.

mod builder;
mod diff;
mod merge;

use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_format::node::{Child, Node, Run};
use archipelago_model::{Extent, Location, SectorRange};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::error::Error;
use crate::segments::Segments;

pub(crate) use builder::{NodeSink, RunBuilder};
pub(crate) use diff::diff;
pub(crate) use merge::{Names, due, merge};

#[derive(Clone)]
struct NodeWeight;

impl Weighter<Location, Arc<Node>> for NodeWeight {
    fn weight(&self, _: &Location, node: &Arc<Node>) -> u64 {
        let entries = match &**node {
            Node::Leaf(extents) => extents.len() * size_of::<Extent>(),
            Node::Index(children) => children.len() * size_of::<Child>(),
            Node::Root(runs) => runs.len() * size_of::<Run>(),
        };
        (entries + 96) as u64
    }
}

/// Map nodes, decoded, from memory or from the store.
pub(crate) struct Nodes {
    segments: Arc<Segments>,
    cache: Cache<Location, Arc<Node>, NodeWeight>,
}

impl Nodes {
    pub(crate) fn new(segments: Arc<Segments>, cache_bytes: u64) -> Self {
        let items = (cache_bytes / 8192).max(16) as usize;
        Self { segments, cache: Cache::with_weighter(items, cache_bytes, NodeWeight) }
    }

    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub(crate) fn load(&self, at: Location) -> Result<Arc<Node>, Error> {
        if let Some(node) = self.cache.get(&at) {
            return Ok(node);
        }
        let bytes = self.segments.read_slot(at)?;
        let node = Arc::new(Node::decode(&bytes).map_err(|e| Error::damaged(at, e))?);
        self.cache.insert(at, Arc::clone(&node));
        Ok(node)
    }

    /// As [`Self::load`], for one who passes through all maps: what is not in memory
    /// is not kept there, so that others find what they use.
    pub(crate) fn load_passing(&self, at: Location) -> Result<Arc<Node>, Error> {
        match self.cache.peek(&at) {
            Some(node) => Ok(node),
            None => {
                let bytes = self.segments.read_slot(at)?;
                Node::decode(&bytes).map(Arc::new).map_err(|e| Error::damaged(at, e))
            }
        }
    }

    /// The runs of a root, newest first. The hole is the root of the empty map.
    pub(crate) fn root(&self, root: Location) -> Result<Arc<[Run]>, Error> {
        if root.is_hole() {
            return Ok(Arc::new([]));
        }
        match &*self.load(root)? {
            Node::Root(runs) => Ok(runs.as_slice().into()),
            _ => Err(Error::damaged(root, "a map node where a root should be")),
        }
    }

    /// Calls `found` with the extents of a run that meet `range`, clipped, ascending.
    fn visit_run(
        &self,
        run: &Run,
        range: &SectorRange,
        found: &mut Found<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        if run.end <= range.start || range.end <= run.first {
            return Ok(ControlFlow::Continue(()));
        }
        self.visit_node(run.top, run.height, range, found)
    }

    fn visit_node(
        &self,
        at: Location,
        height: u32,
        range: &SectorRange,
        found: &mut Found<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        match (&*self.load(at)?, height) {
            (Node::Leaf(extents), 0) => {
                let from = extents.partition_point(|e| e.end() <= range.start);
                for extent in &extents[from..] {
                    let Some(extent) = extent.clip(range) else {
                        break;
                    };
                    if found(extent)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            (Node::Index(children), 1..) => {
                let from = children.partition_point(|c| c.first <= range.start).saturating_sub(1);
                for (index, child) in children.iter().enumerate().skip(from) {
                    if index > from && child.first >= range.end {
                        break;
                    }
                    // A child speaks of its own sectors only. Whatever a damaged one says,
                    // what is found ascends.
                    let end = children.get(index + 1).map_or(range.end, |next| next.first);
                    let start = if index == from { range.start } else { child.first };
                    let own = start..end.min(range.end);
                    if self.visit_node(child.node, height - 1, &own, found)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            _ => Err(Error::damaged(at, "a map node of the wrong level")),
        }
    }
}

/// One layer of a map.
#[derive(Clone)]
pub(crate) enum Layer {
    /// Extents of an overlay, ascending.
    Extents(Vec<Extent>),
    /// A persisted run.
    Run(Run),
}

pub(crate) type Found<'a> = dyn FnMut(Extent) -> Result<ControlFlow<()>, Error> + 'a;

/// Calls `found` with what `layers` (newest first) say of `range`: ascending
/// extents that do not overlap. With `gaps`, what no layer speaks of comes as
/// holes, so that the extents cover the range without a break.
pub(crate) fn visit(
    nodes: &Nodes,
    layers: &[Layer],
    range: SectorRange,
    gaps: bool,
    found: &mut Found<'_>,
) -> Result<ControlFlow<()>, Error> {
    let Some((top, below)) = layers.split_first() else {
        return if gaps { visit_holes(range, found) } else { Ok(ControlFlow::Continue(())) };
    };
    let mut at = range.start;
    let end = range.end;
    let mut each = |extent: Extent| {
        if at < extent.start() && visit(nodes, below, at..extent.start(), gaps, found)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        at = extent.end();
        found(extent)
    };
    let flow = match top {
        Layer::Run(run) => nodes.visit_run(run, &range, &mut each)?,
        Layer::Extents(extents) => visit_extents(extents, &range, &mut each)?,
    };
    if flow.is_continue() && at < end {
        return visit(nodes, below, at..end, gaps, found);
    }
    Ok(flow)
}

/// [`visit`], to the end.
pub(crate) fn visit_all(
    nodes: &Nodes,
    layers: &[Layer],
    range: SectorRange,
    gaps: bool,
    mut found: impl FnMut(Extent) -> Result<(), Error>,
) -> Result<(), Error> {
    let flow = visit(nodes, layers, range, gaps, &mut |extent| {
        found(extent)?;
        Ok(ControlFlow::Continue(()))
    })?;
    debug_assert!(flow.is_continue(), "nothing stops it");
    Ok(())
}

fn visit_extents(
    extents: &[Extent],
    range: &SectorRange,
    found: &mut Found<'_>,
) -> Result<ControlFlow<()>, Error> {
    let from = extents.partition_point(|e| e.end() <= range.start);
    for extent in &extents[from..] {
        let Some(extent) = extent.clip(range) else {
            break;
        };
        if found(extent)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn visit_holes(range: SectorRange, found: &mut Found<'_>) -> Result<ControlFlow<()>, Error> {
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(Extent::SECTORS_MAX);
        let Some(hole) = Extent::new(at, len, Location::HOLE) else {
            break;
        };
        if found(hole)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        at += len;
    }
    Ok(ControlFlow::Continue(()))
}

/// Fills `out` with the sectors from `start` on, as `layers` say.
pub(crate) fn read(
    nodes: &Nodes,
    layers: &[Layer],
    start: u64,
    out: &mut [u8],
) -> Result<(), Error> {
    use archipelago_model::SECTOR_BYTES;
    let end = start + out.len() as u64 / SECTOR_BYTES;
    let mut pending: Option<Extent> = None;
    let mut fill = |extent: Extent| -> Result<(), Error> {
        let from = ((extent.start() - start) * SECTOR_BYTES) as usize;
        let to = ((extent.end() - start) * SECTOR_BYTES) as usize;
        if extent.is_hole() {
            out[from..to].fill(0);
            Ok(())
        } else {
            nodes.segments.read(extent.location(), &mut out[from..to])
        }
    };
    visit_all(nodes, layers, start..end, true, |extent| {
        pending = match pending.take() {
            Some(before) if before.joins(extent) => Some(before.join(extent)),
            Some(before) => {
                fill(before)?;
                Some(extent)
            }
            None => Some(extent),
        };
        Ok(())
    })?;
    pending.map_or(Ok(()), fill)
}

/// A stretch that is stored, or a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusRange {
    /// In bytes.
    pub len: u64,
    /// Stored nowhere, and reads as zeros.
    pub hole: bool,
}

/// What is stored of `range`, in at most `max` stretches from its start on.
pub(crate) fn status(
    nodes: &Nodes,
    layers: &[Layer],
    range: SectorRange,
    max: usize,
) -> Result<Vec<StatusRange>, Error> {
    use archipelago_model::SECTOR_BYTES;
    let mut out: Vec<StatusRange> = Vec::new();
    let _stopped = visit(nodes, layers, range, true, &mut |extent| {
        let (len, hole) = (extent.len() * SECTOR_BYTES, extent.is_hole());
        let full = out.len() == max;
        match out.last_mut() {
            Some(last) if last.hole == hole => last.len += len,
            _ if full => return Ok(ControlFlow::Break(())),
            _ => out.push(StatusRange { len, hole }),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests;
