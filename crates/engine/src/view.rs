//! A fixed map: a snapshot, an image, a version of a file.

use std::sync::Arc;

use archipelago_format::node::Run;
use archipelago_model::Location;

use crate::engine::Shared;
use crate::error::Error;
use crate::map::{self, Layer, StatusRange};
use crate::pins::Pin;
use crate::volume::check_range;

/// Reads a map that never changes. Needs no lease.
pub struct View {
    shared: Arc<Shared>,
    root: Location,
    runs: Arc<[Run]>,
    size: u64,
    _pin: Pin,
}

impl View {
    pub(crate) fn open(shared: Arc<Shared>, root: Location, size: u64) -> Result<Self, Error> {
        let pin = shared.pins.root(root);
        let runs = shared.nodes.root(root)?;
        Ok(Self { shared, root, runs, size, _pin: pin })
    }

    /// Its size in bytes, which need not be whole sectors; the last sector reads
    /// as zeros behind it.
    pub const fn size_bytes(&self) -> u64 {
        self.size
    }

    /// The root it shows.
    pub const fn root(&self) -> Location {
        self.root
    }

    /// Reads whole sectors.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Unaligned`], [`Error::Damaged`], [`Error::Store`].
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let range = check_range(offset, out.len() as u64, self.size)?;
        map::read(&self.shared.nodes, &self.layers(), range.start, out)
    }

    /// What is stored of a range, in at most `max` stretches from its start on.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn status(&self, offset: u64, len: u64, max: usize) -> Result<Vec<StatusRange>, Error> {
        let range = check_range(offset, len, self.size)?;
        map::status(&self.shared.nodes, &self.layers(), range, max)
    }

    fn layers(&self) -> Vec<Layer> {
        self.runs.iter().copied().map(Layer::Run).collect()
    }
}
