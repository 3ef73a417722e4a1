//! One map out of stretches of others: what a multipart upload, a copy of a range and an
//! append come to. No data is read or written, only map nodes.

use archipelago_format::node::{Node, Run};
use archipelago_model::{Extent, Location, SECTOR_BYTES, VOLUME_BYTES_MAX};

use crate::engine::Engine;
use crate::error::{Durable, Error};
use crate::ingest::{ColdWriter, Compression, IngestError, IngestStats, Ingested};
use crate::map::{self, Layer, NodeSink, Nodes, RunBuilder};

/// A stretch of a map, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Whose.
    pub root: Location,
    /// Where it begins there: a multiple of 512.
    pub offset: u64,
    /// How long it is: a multiple of 512, but for the last, behind which the rest of the
    /// sector must be zero.
    pub len: u64,
}

/// A stretch of a map that another shows elsewhere, in bytes; all multiples of 512.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Where it begins in the one.
    pub from: u64,
    /// Where it begins in the other.
    pub to: u64,
    /// How long it is.
    pub len: u64,
}

/// What `next` of [`Engine::rearrange`] gives, when it is told how many extents there are so
/// far.
pub type NextMove<'a> = dyn FnMut(u64) -> Result<Option<Move>, IngestError> + 'a;

impl Engine {
    /// A map of what `next` gives of the map of `root`, in ascending order of `to`; holes
    /// between. Memory does not grow with the number of moves. The caller pins `root` as for
    /// [`Self::splice`].
    ///
    /// # Errors
    /// As [`Self::splice`]; those of `next`.
    pub fn rearrange(
        &self,
        root: Location,
        next: &mut NextMove<'_>,
    ) -> Result<Ingested, IngestError> {
        let shared = self.shared();
        let mut cold = ColdWriter::new(&shared.ingest, 0, Compression::default());
        let mut builder = RunBuilder::new(&mut cold);
        let runs = shared.nodes.root(root).map_err(IngestError::Engine)?;
        let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
        let (mut end, mut extents) = (0, 0);
        while let Some(step) = next(extents)? {
            let aligned = [step.from, step.to, step.len].iter().all(|n| n % SECTOR_BYTES == 0);
            if !aligned || step.to < end {
                let error = Error::Unaligned { offset: step.to, len: step.len };
                return Err(IngestError::Engine(error));
            }
            end = step.to.saturating_add(step.len);
            let moved = add_moved(&shared.nodes, &layers, step, &mut builder);
            extents += moved.map_err(IngestError::Engine)?;
        }
        let run = builder.finish().map_err(IngestError::Engine)?;
        finish(cold, run).map_err(IngestError::Engine)
    }

    /// How many extents a map has in its first `len` bytes. All of it is read, and none of the
    /// data.
    ///
    /// # Errors
    /// As [`Self::splice`].
    pub fn extents(&self, root: Location, len: u64) -> Result<u64, Error> {
        let nodes = &self.shared().nodes;
        let runs = nodes.root(root)?;
        let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
        let mut count = 0;
        map::visit_all(nodes, &layers, 0..len.div_ceil(SECTOR_BYTES), false, |extent| {
            count += u64::from(!extent.is_hole());
            Ok(())
        })?;
        Ok(count)
    }

    /// A map that shows these stretches, one behind the other. The caller pins their roots
    /// until it is bound: what they name is what it names.
    ///
    /// # Errors
    /// [`Error::Unaligned`] when a stretch does not begin with a sector, there or here (the
    /// length is then that of what is before it);
    /// [`Error::OutOfRange`] when all together are longer than a map may be;
    /// [`Error::Damaged`], [`Error::Store`], [`Error::NoSpace`].
    pub fn splice(&self, stretches: &[Stretch]) -> Result<Ingested, Error> {
        match self.splice_within(stretches, u64::MAX)? {
            Some(spliced) => Ok(spliced),
            // No map has so many.
            None => Err(too_long(0, VOLUME_BYTES_MAX)),
        }
    }

    /// The same, of no more extents than `extents_max`: a stretch that is shown many times costs
    /// its nodes each time. `None` when there are more.
    ///
    /// # Errors
    /// As [`Self::splice`].
    pub fn splice_within(
        &self,
        stretches: &[Stretch],
        extents_max: u64,
    ) -> Result<Option<Ingested>, Error> {
        let shared = self.shared();
        let mut cold = ColdWriter::new(&shared.ingest, 0, Compression::default());
        let mut builder = RunBuilder::new(&mut cold);
        let (mut to, mut extents) = (0_u64, 0_u64);
        for stretch in stretches {
            if !(to.is_multiple_of(SECTOR_BYTES) && stretch.offset.is_multiple_of(SECTOR_BYTES)) {
                return Err(Error::Unaligned { offset: stretch.offset, len: to });
            }
            let end = to.saturating_add(stretch.len);
            if end > VOLUME_BYTES_MAX {
                return Err(too_long(to, stretch.len));
            }
            let runs = shared.nodes.root(stretch.root)?;
            let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
            let step = Move { from: stretch.offset, to, len: stretch.len };
            extents += add_moved(&shared.nodes, &layers, step, &mut builder)?;
            if extents > extents_max {
                return Ok(None);
            }
            to = end;
        }
        let run = builder.finish()?;
        finish(cold, run).map(Some)
    }
}

/// Adds what the layers have of a stretch, as of where it is shown; gives how many extents.
fn add_moved<S: NodeSink>(
    nodes: &Nodes,
    layers: &[Layer],
    step: Move,
    builder: &mut RunBuilder<'_, S>,
) -> Result<u64, Error> {
    let end = step.to.saturating_add(step.len);
    if end > VOLUME_BYTES_MAX || step.from.saturating_add(step.len) > VOLUME_BYTES_MAX {
        return Err(too_long(step.to, step.len));
    }
    let (from, to) = (step.from / SECTOR_BYTES, step.to / SECTOR_BYTES);
    let range = from..from + step.len.div_ceil(SECTOR_BYTES);
    let mut count = 0;
    map::visit_all(nodes, layers, range, false, |extent| {
        if extent.is_hole() {
            return Ok(());
        }
        count += 1;
        match Extent::new(to + (extent.start() - from), extent.len(), extent.location()) {
            Some(moved) => builder.push(moved),
            None => Err(too_long(step.to, step.len)),
        }
    })?;
    Ok(count)
}

/// Makes a map of a run durable.
fn finish(mut cold: ColdWriter<'_>, run: Option<Run>) -> Result<Ingested, Error> {
    let root = match run {
        None => Location::HOLE,
        Some(run) => cold.append_node(&Node::Root(vec![run]).encode())?,
    };
    let (sealed, fresh) = cold.finish(&[])?;
    let stored_bytes = sealed.iter().map(|info| info.stored_bytes).sum();
    let stats = IngestStats { stored_bytes, ..IngestStats::default() };
    Ok(Ingested { root: Durable::after_sync(root), named: Vec::new(), sealed, stats, fresh })
}

const fn too_long(offset: u64, len: u64) -> Error {
    Error::OutOfRange { offset, len, size: VOLUME_BYTES_MAX }
}

#[cfg(test)]
mod tests;
