//! Whether maps are what maps can be: each node of its level, each extent naming
//! what is there.

use std::collections::HashMap;
use std::sync::Arc;

use archipelago_format::node::{Node, Run};
use archipelago_model::{BLOCK_BYTES, Extent, Location, SECTOR_BYTES, SegmentId};

use crate::engine::Engine;
use crate::error::Error;
use crate::map::{self, Layer};
use crate::segments::SegmentInfo;

/// So many faults are told of one run: what is wrong with the rest is likely the same.
const FAULTS_MAX: usize = 16;

/// What is wrong with a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapFaultKind {
    /// Its root cannot be read, or is none.
    Root,
    /// A node cannot be read.
    Node,
    /// It names a segment that is not there.
    Missing,
    /// It names a segment that is condemned.
    Condemned,
    /// It names positions behind the end of a segment.
    Behind,
    /// It names what was moved, and no table tells where.
    Unforwarded,
    /// It names bytes behind the end of the resource.
    BeyondSize,
}

/// One fault of one map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapFault {
    /// Which of the maps asked for.
    pub map: usize,
    /// What.
    pub kind: MapFaultKind,
    /// The place that is named, or whose node it is.
    pub at: Location,
    /// What was found.
    pub what: String,
}

impl Engine {
    /// Looks through maps, each a root and a size in bytes. `condemned` tells of a
    /// segment that nobody should name.
    pub fn inspect(
        &self,
        maps: &[(Location, u64)],
        condemned: &dyn Fn(SegmentId) -> bool,
    ) -> Vec<MapFault> {
        let mut inspector =
            Inspector { engine: self, condemned, runs: HashMap::new(), ends: HashMap::new() };
        let each = maps.iter().enumerate();
        each.flat_map(|(map, (root, size))| inspector.map(map, *root, *size)).collect()
    }

    /// What the footer of a sealed segment says of it, read anew; `None` for one that
    /// is open.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Store`].
    pub fn footer_of(&self, id: SegmentId) -> Result<Option<SegmentInfo>, Error> {
        let segments = &self.shared().segments;
        if segments.is_open(id) {
            return Ok(None);
        }
        segments.forget(id);
        let directory = segments.directory(id)?;
        Ok(Some(SegmentInfo {
            id,
            pool: segments.store().pool_of(id),
            kind: directory.header.kind,
            stored_bytes: directory.file_bytes(),
            raw_bytes: u64::from(directory.end) * SECTOR_BYTES,
        }))
    }

    /// Whether a segment has a forwarding table.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Store`].
    pub fn is_carrier(&self, id: SegmentId) -> Result<bool, Error> {
        Ok(self.shared().segments.directory(id)?.forwarding.len > 0)
    }

    /// The segment of the oldest record that no map has yet.
    pub fn oldest_unpersisted(&self) -> Option<SegmentId> {
        let volumes = self.shared().volumes.read();
        let oldest = volumes.values().filter_map(|volume| volume.state.read().oldest).min();
        oldest.and_then(Location::segment)
    }

    /// The segments that the dedup index would look into.
    pub fn indexed_segments(&self) -> Vec<SegmentId> {
        self.shared().ingest.indexed_segments()
    }
}

/// A fault of a run, whoever shares it.
type Fault = (MapFaultKind, Location, String);

struct Inspector<'a> {
    engine: &'a Engine,
    condemned: &'a dyn Fn(SegmentId) -> bool,
    runs: HashMap<Location, Arc<[Fault]>>,
    /// Behind the last position of a segment; `None` when it is open.
    ends: HashMap<SegmentId, Result<Option<u32>, String>>,
}

impl Inspector<'_> {
    fn map(&mut self, map: usize, root: Location, size: u64) -> Vec<MapFault> {
        let mut faults: Vec<Fault> = Vec::new();
        match self.engine.shared().nodes.root(root) {
            Err(error) => faults.push((MapFaultKind::Root, root, error.to_string())),
            Ok(runs) => {
                for run in runs.iter() {
                    faults.extend(self.run(run).iter().cloned());
                }
                if faults.is_empty() {
                    faults.extend(self.beyond(&runs, size.div_ceil(SECTOR_BYTES)));
                }
            }
        }
        faults.into_iter().map(|(kind, at, what)| MapFault { map, kind, at, what }).collect()
    }

    fn run(&mut self, run: &Run) -> Arc<[Fault]> {
        if let Some(known) = self.runs.get(&run.top) {
            return Arc::clone(known);
        }
        let mut faults = Vec::new();
        self.node(run.top, run.height, &mut faults);
        let faults: Arc<[Fault]> = faults.into();
        self.runs.insert(run.top, Arc::clone(&faults));
        faults
    }

    fn node(&mut self, at: Location, height: u32, faults: &mut Vec<Fault>) {
        if faults.len() >= FAULTS_MAX {
            return;
        }
        let read = self.engine.shared().segments.read_slot(at);
        let node = read.and_then(|raw| Node::decode(&raw).map_err(|e| Error::damaged(at, e)));
        match (node, height) {
            (Ok(Node::Leaf(extents)), 0) => {
                extents.into_iter().for_each(|extent| self.extent(extent, faults));
            }
            (Ok(Node::Index(children)), 1..) => {
                children.into_iter().for_each(|child| self.node(child.node, height - 1, faults));
            }
            (Ok(_), _) => {
                faults.push((MapFaultKind::Node, at, "a map node of the wrong level".to_owned()));
            }
            (Err(error), _) => faults.push((MapFaultKind::Node, at, error.to_string())),
        }
    }

    fn extent(&mut self, extent: Extent, faults: &mut Vec<Fault>) {
        if extent.is_hole() || faults.len() >= FAULTS_MAX {
            return;
        }
        let mut parts = Vec::new();
        let resolved = self.engine.shared().segments.resolve(extent, &mut |part| {
            parts.push(part);
            Ok(())
        });
        if let Err(error) = resolved {
            faults.push((MapFaultKind::Unforwarded, extent.location(), error.to_string()));
        }
        for part in parts {
            faults.extend(self.place(part));
        }
    }

    fn place(&mut self, part: Extent) -> Option<Fault> {
        let at = part.location();
        let id = at.segment()?;
        if (self.condemned)(id) {
            let what = format!("segment {id} is condemned and named all the same");
            return Some((MapFaultKind::Condemned, at, what));
        }
        let engine = self.engine;
        let end = self.ends.entry(id).or_insert_with(|| {
            engine
                .footer_of(id)
                .map(|info| info.map(|info| (info.raw_bytes / SECTOR_BYTES) as u32))
                .map_err(|error| error.to_string())
        });
        match end {
            Err(what) => Some((MapFaultKind::Missing, at, what.clone())),
            Ok(Some(end)) if u64::from(at.position()) + part.len() > u64::from(*end) => {
                let what = format!(
                    "{} sectors at position {:x} of segment {id}, which ends at {end:x}",
                    part.len(),
                    at.position()
                );
                Some((MapFaultKind::Behind, at, what))
            }
            Ok(_) => None,
        }
    }

    /// What is visible behind the end would come back when the resource grows. The last block
    /// may be filled up with zeros.
    fn beyond(&self, runs: &[Run], end: u64) -> Option<Fault> {
        let last = runs.iter().map(|run| run.end).max().filter(|last| *last > end)?;
        let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
        let block_end = end.next_multiple_of(BLOCK_BYTES / SECTOR_BYTES).min(last);
        let mut filling = vec![0; ((block_end - end) * SECTOR_BYTES) as usize];
        // What cannot be read is for a scrub to tell.
        let read = map::read(&self.engine.shared().nodes, &layers, end, &mut filling);
        let filled = read.is_err() || filling.iter().all(|byte| *byte == 0);
        let end = if filled { block_end } else { end };
        let mut found = None;
        let visited =
            map::visit_all(&self.engine.shared().nodes, &layers, end..last, false, |extent| {
                if !extent.is_hole() && found.is_none() {
                    found = Some(extent);
                }
                Ok(())
            });
        visited.ok()?;
        found.map(|extent| {
            let what = format!("bytes at {}, behind the end", extent.start() * SECTOR_BYTES);
            (MapFaultKind::BeyondSize, extent.location(), what)
        })
    }
}
