//! From damaged places to what names them: which resource, at which offset.
//!
//! A reader of a sector asks the layers of a map, newest first, until one speaks of
//! it; on the way it loads the nodes that lead there. So a sector is lost when the
//! first layer that speaks of it names a lost place, or needs a lost node to tell
//! whether it does. What newer layers hide is not lost, and is not told.
//!
//! Each run is walked once, whoever shares it; then only the sectors that it lost
//! are looked for in the layers above it, map by map.

use std::collections::HashMap;
use std::sync::Arc;

use archipelago_format::node::{Node, Run};
use archipelago_model::{Extent, Location, SECTOR_BYTES, SectorRange, SegmentId};

use crate::engine::Engine;
use crate::error::Error;
use crate::map::Layer;
use crate::scrub::Lost;
use crate::segments::Segments;
use crate::volume::Volume;

/// Stretches that are kept while tracing, about 10 MiB of them. A store of which more
/// is damaged is told of these.
const HITS_MAX: usize = 1 << 18;

/// A location is forwarded so often at most: more is a circle.
const STEPS_MAX: u32 = 64;

/// What may name lost places.
#[derive(Clone)]
pub enum Traced {
    /// A map that never changes.
    Fixed {
        /// Its root.
        root: Location,
        /// In bytes.
        size: u64,
    },
    /// A volume with what its overlay has.
    Live(Arc<Volume>),
}

/// A stretch of a resource that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Touched {
    /// Which of those asked for.
    pub resource: usize,
    /// Which of the lost places is the reason.
    pub lost: usize,
    /// In bytes.
    pub offset: u64,
    /// In bytes, at least 1.
    pub len: u64,
    /// A node of the map is lost: the data may be whole, but nothing leads to it.
    pub map: bool,
}

/// What lost places mean for resources.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Trace {
    /// By resource and place.
    pub touched: Vec<Touched>,
    /// False when there was more than is kept.
    pub complete: bool,
}

impl Engine {
    /// Which parts of `resources` cannot be read because of `lost`. Reads all maps
    /// and no data; what else is wrong with them is passed over.
    ///
    /// # Errors
    /// None now; a backend that fails shows as nodes that cannot be read.
    pub fn trace(&self, lost: &[Lost], resources: &[Traced]) -> Result<Trace, Error> {
        let mut tracer = Tracer {
            segments: &self.shared().segments,
            lost: LostPlaces::new(lost),
            runs: HashMap::new(),
            kept: 0,
            complete: true,
            touched: Vec::new(),
        };
        for (number, resource) in resources.iter().enumerate() {
            tracer.resource(number, resource);
        }
        let mut touched = tracer.touched;
        touched.sort_unstable();
        touched.dedup_by(|next, last| {
            let joins = (last.resource, last.lost, last.map, last.offset + last.len)
                == (next.resource, next.lost, next.map, next.offset);
            if joins {
                last.len += next.len;
            }
            joins
        });
        Ok(Trace { touched, complete: tracer.complete })
    }
}

/// Places, found by location.
#[derive(Default)]
struct Places {
    /// First, behind the last, number, and the carrier of the table that is lost; by first.
    places: Vec<(u64, u64, usize, Option<SegmentId>)>,
    /// The greatest end of the places up to this one.
    ends: Vec<u64>,
}

impl Places {
    fn new(mut places: Vec<(u64, u64, usize, Option<SegmentId>)>) -> Self {
        places.sort_unstable();
        let ends = places.iter().scan(0, |end, place| {
            *end = place.1.max(*end);
            Some(*end)
        });
        let ends = ends.collect();
        Self { places, ends }
    }

    /// Calls `found` with each place that meets `sectors` from `at` on: its number,
    /// and the part, counted from `at`.
    fn meet(
        &self,
        at: Location,
        sectors: u64,
        carrier: Option<SegmentId>,
        found: &mut dyn FnMut(usize, SectorRange),
    ) {
        let (start, end) = (at.raw(), at.raw() + sectors);
        let mut next = self.places.partition_point(|place| place.0 < end);
        while let Some(place) = next.checked_sub(1)
            && self.ends[place] > start
        {
            let (first, behind, number, of) = self.places[place];
            if behind > start && of == carrier {
                found(number, first.max(start) - start..behind.min(end) - start);
            }
            next = place;
        }
    }
}

/// What is lost: places where something is stored, and old places that a table tells of.
struct LostPlaces {
    stored: Places,
    moved: Places,
}

impl LostPlaces {
    fn new(lost: &[Lost]) -> Self {
        let (mut stored, mut moved) = (Vec::new(), Vec::new());
        for (number, lost) in lost.iter().enumerate() {
            match *lost {
                Lost::Stored { first, sectors } => {
                    stored.push((first.raw(), first.raw() + u64::from(sectors), number, None));
                }
                Lost::Segment(id) => {
                    let first = Location::start_of(id).raw();
                    let end = first + u64::from(Location::POSITION_END);
                    stored.push((first, end, number, None));
                    moved.push((0, u64::MAX, number, Some(id)));
                }
                Lost::Moved { carrier, first, end } => {
                    moved.push((first.raw(), end.raw(), number, Some(carrier)));
                }
            }
        }
        Self { stored: Places::new(stored), moved: Places::new(moved) }
    }

    /// Calls `found` with the parts, counted from `at`, of `sectors` from `at` on that are
    /// lost where they are now, or on the way there.
    fn meet(
        &self,
        segments: &Segments,
        at: Location,
        sectors: u64,
        found: &mut dyn FnMut(usize, SectorRange),
    ) {
        let mut ways = vec![(at, 0, sectors, 0)];
        while let Some((at, skip, sectors, steps)) = ways.pop() {
            let mut shifted = |number, part: SectorRange| {
                found(number, skip + part.start..skip + part.end);
            };
            let Some(carrier) = at.segment().and_then(|id| segments.carrier(id)) else {
                if !at.is_hole() {
                    self.stored.meet(at, sectors, None, &mut shifted);
                }
                continue;
            };
            let mut lost = Vec::new();
            self.moved.meet(at, sectors, Some(carrier), &mut |number, part| {
                lost.push(part.clone());
                shifted(number, part);
            });
            if steps == STEPS_MAX {
                continue;
            }
            for part in without(0..sectors, lost) {
                let Some(extent) =
                    Extent::new(part.start, part.end - part.start, at.advance(part.start))
                else {
                    continue;
                };
                // What the table cannot tell for another reason is another finding.
                let _other = segments.step(extent, &mut |next| {
                    ways.push((next.location(), skip + next.start(), next.len(), steps + 1));
                    Ok(())
                });
            }
        }
    }
}

/// The parts of `range` that none of `others` covers.
fn without(range: SectorRange, mut others: Vec<SectorRange>) -> Vec<SectorRange> {
    others.sort_unstable_by_key(|other| other.start);
    let mut left = Vec::new();
    let mut at = range.start;
    for other in others {
        if at < other.start.min(range.end) {
            left.push(at..other.start.min(range.end));
        }
        at = at.max(other.end);
    }
    if at < range.end {
        left.push(at..range.end);
    }
    left
}

/// Sectors of which a run cannot tell, or tells a lost place.
#[derive(Clone)]
struct Hit {
    sectors: SectorRange,
    lost: usize,
    map: bool,
}

struct Tracer<'a> {
    segments: &'a Segments,
    lost: LostPlaces,
    /// By the top of their trees.
    runs: HashMap<Location, Arc<[Hit]>>,
    kept: usize,
    complete: bool,
    touched: Vec<Touched>,
}

impl Tracer<'_> {
    fn resource(&mut self, number: usize, resource: &Traced) {
        let (root, size, layers) = match resource {
            Traced::Fixed { root, size } => (*root, *size, self.runs_of(*root)),
            Traced::Live(volume) => {
                let size = volume.size();
                let layers = volume.layers(&(0..size.div_ceil(SECTOR_BYTES)));
                (volume.root(), size, layers)
            }
        };
        let whole = 0..size.div_ceil(SECTOR_BYTES);
        for hit in self.node_hits(root, &whole) {
            self.touch(number, size, &hit);
        }
        for (n, layer) in layers.iter().enumerate() {
            let hits: Arc<[Hit]> = match layer {
                Layer::Extents(extents) => {
                    let mut hits = Vec::new();
                    extents.iter().for_each(|extent| self.extent_hits(*extent, &mut hits));
                    hits.into()
                }
                Layer::Run(run) => self.run_hits(run),
            };
            for hit in hits.iter() {
                let end = hit.sectors.end.min(whole.end);
                for seen in self.seen(&layers[..n], hit.sectors.start..end) {
                    self.touch(number, size, &Hit { sectors: seen, ..hit.clone() });
                }
            }
        }
    }

    fn touch(&mut self, resource: usize, size: u64, hit: &Hit) {
        let offset = hit.sectors.start * SECTOR_BYTES;
        let end = (hit.sectors.end * SECTOR_BYTES).min(size);
        if offset >= end {
            return;
        }
        if self.touched.len() == HITS_MAX {
            self.complete = false;
            return;
        }
        let (lost, map) = (hit.lost, hit.map);
        self.touched.push(Touched { resource, lost, offset, len: end - offset, map });
    }

    /// The runs of a root; none when it cannot be read.
    fn runs_of(&self, root: Location) -> Vec<Layer> {
        match self.node(root) {
            Some(Node::Root(runs)) => runs.into_iter().map(Layer::Run).collect(),
            _ => Vec::new(),
        }
    }

    /// From the store, not from the cache, which may know better than a restart will.
    fn node(&self, at: Location) -> Option<Node> {
        if at.is_hole() {
            return None;
        }
        let bytes = self.segments.read_slot(at).ok()?;
        Node::decode(&bytes).ok()
    }

    fn node_hits(&self, at: Location, sectors: &SectorRange) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.lost.meet(self.segments, at, 1, &mut |lost, _| {
            hits.push(Hit { sectors: sectors.clone(), lost, map: true });
        });
        hits
    }

    fn extent_hits(&mut self, extent: Extent, hits: &mut Vec<Hit>) {
        let before = hits.len();
        self.lost.meet(self.segments, extent.location(), extent.len(), &mut |lost, part| {
            let sectors = extent.start() + part.start..extent.start() + part.end;
            hits.push(Hit { sectors, lost, map: false });
        });
        self.kept += hits.len() - before;
        if self.kept > HITS_MAX {
            hits.truncate(before);
            self.kept = HITS_MAX;
            self.complete = false;
        }
    }

    fn run_hits(&mut self, run: &Run) -> Arc<[Hit]> {
        if let Some(hits) = self.runs.get(&run.top) {
            return Arc::clone(hits);
        }
        let mut hits = Vec::new();
        self.walk(run.top, run.height, run.first..run.end, &mut hits);
        let hits: Arc<[Hit]> = hits.into();
        self.runs.insert(run.top, Arc::clone(&hits));
        hits
    }

    fn walk(&mut self, at: Location, height: u32, sectors: SectorRange, hits: &mut Vec<Hit>) {
        let lost = self.node_hits(at, &sectors);
        if !lost.is_empty() {
            hits.extend(lost);
            return;
        }
        match (self.node(at), height) {
            (Some(Node::Leaf(extents)), 0) => {
                extents.into_iter().for_each(|extent| self.extent_hits(extent, hits));
            }
            (Some(Node::Index(children)), 1..) => {
                for (n, child) in children.iter().enumerate() {
                    let part = part_of(&children, n, &sectors);
                    if !part.is_empty() {
                        self.walk(child.node, height - 1, part, hits);
                    }
                }
            }
            _ => {}
        }
    }

    /// The parts of `range` of which none of `layers` speaks.
    fn seen(&self, layers: &[Layer], range: SectorRange) -> Vec<SectorRange> {
        let mut hidden = Vec::new();
        for layer in layers {
            match layer {
                Layer::Extents(extents) => {
                    let from = extents.partition_point(|extent| extent.end() <= range.start);
                    let meet = extents[from..].iter().take_while(|e| e.start() < range.end);
                    hidden.extend(meet.map(|extent| extent.range()));
                }
                Layer::Run(run) => {
                    self.spoken(run.top, run.height, run.first..run.end, &range, &mut hidden);
                }
            }
        }
        without(range, hidden)
    }

    /// Appends the sectors near `range` of which a node speaks. One that cannot be
    /// read ends every read that comes to it, and so hides what is below.
    fn spoken(
        &self,
        at: Location,
        height: u32,
        sectors: SectorRange,
        range: &SectorRange,
        out: &mut Vec<SectorRange>,
    ) {
        if sectors.end <= range.start || range.end <= sectors.start {
            return;
        }
        let lost = !self.node_hits(at, &sectors).is_empty();
        match (self.node(at).filter(|_| !lost), height) {
            (Some(Node::Leaf(extents)), 0) => {
                let from = extents.partition_point(|extent| extent.end() <= range.start);
                let meet = extents[from..].iter().take_while(|e| e.start() < range.end);
                out.extend(meet.map(|extent| extent.range()));
            }
            (Some(Node::Index(children)), 1..) => {
                for (n, child) in children.iter().enumerate() {
                    let part = part_of(&children, n, &sectors);
                    self.spoken(child.node, height - 1, part, range, out);
                }
            }
            _ => out.push(sectors),
        }
    }
}

/// The sectors that child `n` of a node of `sectors` is asked for. Those below the
/// first child are in the first one.
fn part_of(
    children: &[archipelago_format::node::Child],
    n: usize,
    sectors: &SectorRange,
) -> SectorRange {
    let first = if n == 0 { sectors.start } else { children[n].first.max(sectors.start) };
    let end = children.get(n + 1).map_or(sectors.end, |next| next.first.min(sectors.end));
    first..end.max(first)
}
