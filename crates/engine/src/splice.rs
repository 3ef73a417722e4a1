//! One map out of stretches of others: what a multipart upload, a copy of a range and an
//! append come to. No data is read or written, only map nodes.

use archipelago_format::node::Node;
use archipelago_model::{Extent, Location, SECTOR_BYTES, VOLUME_BYTES_MAX};

use crate::engine::Engine;
use crate::error::{Durable, Error};
use crate::ingest::{ColdWriter, Compression, IngestStats, Ingested};
use crate::map::{self, Layer, NodeSink, RunBuilder};

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

impl Engine {
    /// A map that shows these stretches, one behind the other. The caller pins their roots
    /// until it is bound: what they name is what it names.
    ///
    /// # Errors
    /// [`Error::Unaligned`] when a stretch does not begin with a sector, there or here (the
    /// length is then that of what is before it);
    /// [`Error::OutOfRange`] when all together are longer than a map may be;
    /// [`Error::Damaged`], [`Error::Store`], [`Error::NoSpace`].
    pub fn splice(&self, stretches: &[Stretch]) -> Result<Ingested, Error> {
        let shared = self.shared();
        let mut cold = ColdWriter::new(&shared.ingest, 0, Compression::default());
        let mut builder = RunBuilder::new(&mut cold);
        let mut to = 0_u64;
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
            let from = stretch.offset / SECTOR_BYTES;
            let range = from..from + stretch.len.div_ceil(SECTOR_BYTES);
            map::visit_all(&shared.nodes, &layers, range, false, |extent| {
                if extent.is_hole() {
                    return Ok(());
                }
                let start = to / SECTOR_BYTES + (extent.start() - from);
                match Extent::new(start, extent.len(), extent.location()) {
                    Some(moved) => builder.push(moved),
                    None => Err(too_long(to, stretch.len)),
                }
            })?;
            to = end;
        }
        let root = match builder.finish()? {
            None => Location::HOLE,
            Some(run) => cold.append_node(&Node::Root(vec![run]).encode())?,
        };
        let (sealed, fresh) = cold.finish(&[])?;
        let stored_bytes = sealed.iter().map(|info| info.stored_bytes).sum();
        let stats = IngestStats { stored_bytes, ..IngestStats::default() };
        Ok(Ingested { root: Durable::after_sync(root), named: Vec::new(), sealed, stats, fresh })
    }
}

const fn too_long(offset: u64, len: u64) -> Error {
    Error::OutOfRange { offset, len, size: VOLUME_BYTES_MAX }
}

#[cfg(test)]
mod tests;
