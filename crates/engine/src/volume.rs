//! A volume that is being written: overlay above, map below.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use archipelago_format::batch::{Kind, Record};
use archipelago_format::node::Run;
use archipelago_model::{
    BLOCK_BYTES, Epoch, Extent, Location, SECTOR_BYTES, SectorRange, VolumeId, VolumeSize,
};
use parking_lot::{Mutex, RwLock};

use crate::engine::Shared;
use crate::error::Error;
use crate::log::{BATCH_RECORDS_MAX, Part};
use crate::map::{self, Layer, StatusRange};
use crate::overlay::Overlay;
use crate::segments::Segments;

/// A look at a map that changes under it is begun again so often: each time all that it named
/// was moved or removed meanwhile, which takes the collector minutes.
const LOOKS_AGAIN_MAX: u32 = 3;

/// A change that a guest asks for. Offsets and lengths are whole sectors, in bytes.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// These bytes.
    Data {
        /// Where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// Zeros. Nothing is stored for them.
    Zero {
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// The guest wants the space to stay allocated. A log has no space to
        /// keep, so this changes nothing.
        keep: bool,
    },
}

/// A stretch compared with an older map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangedRange {
    /// In bytes.
    pub len: u64,
    /// The two maps name different places.
    pub changed: bool,
}

/// What the catalog knows of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Which.
    pub volume: VolumeId,
    /// The lease term under which it is written.
    pub epoch: Epoch,
    /// Its size.
    pub size: VolumeSize,
    /// The root of its persisted map; the hole is the empty map.
    pub root: Location,
    /// Records of the log before this are in the root.
    pub lsn: Location,
}

pub(crate) struct State {
    pub overlay: Overlay,
    /// Overlays cut off by checkpoints that are not done, oldest first.
    pub frozen: VecDeque<Arc<Overlay>>,
    pub runs: Arc<[Run]>,
    pub root: Location,
    /// Records before this are in `root`.
    pub lsn: Location,
    /// The map cannot be read: what the log has is kept, and nothing else is done.
    pub damaged: Option<String>,
    /// No record of `overlay` or `frozen` is before this.
    pub oldest: Option<Location>,
}

/// A volume under a lease. Share it by `Arc`; all methods may be called from
/// many threads at once.
pub struct Volume {
    shared: Arc<Shared>,
    id: VolumeId,
    epoch: Epoch,
    size: AtomicU64,
    fenced: AtomicBool,
    /// Writers hold it shared; a cut takes it exclusively for a moment.
    pub(crate) gate: RwLock<()>,
    pub(crate) state: RwLock<State>,
    /// Held through a checkpoint: one at a time for a volume.
    pub(crate) checkpoint: Mutex<()>,
}

impl Volume {
    pub(crate) fn new(shared: Arc<Shared>, head: &Head, state: State) -> Self {
        Self {
            shared,
            id: head.volume,
            epoch: head.epoch,
            size: AtomicU64::new(head.size.bytes()),
            fenced: AtomicBool::new(false),
            gate: RwLock::new(()),
            state: RwLock::new(state),
            checkpoint: Mutex::new(()),
        }
    }

    /// Its id.
    pub const fn id(&self) -> VolumeId {
        self.id
    }

    /// The lease term of this handle.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The root of its persisted map: without what is in the overlay.
    pub fn root(&self) -> Location {
        self.state.read().root
    }

    /// Extents that the persisted map does not have yet.
    pub fn overlay_extents(&self) -> usize {
        self.state.read().extents()
    }

    /// Reads sectors. Sees every write that has returned.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Unaligned`], [`Error::Damaged`], [`Error::Store`].
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let _timed = self.shared.guest.request(&self.shared.env);
        let range = self.check(offset, out.len() as u64)?;
        if range.is_empty() {
            return Ok(());
        }
        self.with_layers(&range, |layers| map::read(&self.shared.nodes, layers, range.start, out))
    }

    /// Looks something up in the layers. They are held by nobody meanwhile: should what they
    /// name be hidden or flattened, and then moved without it or removed before the look is
    /// over, it is done again with those that took their place.
    fn with_layers<T>(
        &self,
        range: &SectorRange,
        mut look: impl FnMut(&[Layer]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut again = LOOKS_AGAIN_MAX;
        loop {
            let root = self.root();
            let layers = self.layers(range);
            match look(&layers) {
                Err(Error::Damaged { .. } | Error::Store(_))
                    if again > 0 && root != self.root() =>
                {
                    again -= 1;
                }
                Err(error) if again > 0 && Segments::is_missing(&error) => again = 0,
                done => return done,
            }
        }
    }

    /// Applies the changes in order. On return they are visible to every reader;
    /// [`Self::flush`] makes them durable. A crash before that leaves each block
    /// old or new.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Fenced`], [`Error::LogFailed`] and the errors of
    /// [`Self::read`]. A part of the changes may have been applied.
    pub fn write(&self, writes: &[Write<'_>]) -> Result<(), Error> {
        let _timed = self.shared.guest.request(&self.shared.env);
        for write in writes {
            match *write {
                Write::Data { offset, bytes } => self.check(offset, bytes.len() as u64)?,
                Write::Zero { offset, len, .. } => self.check(offset, len)?,
            };
        }
        self.shared.pressure.wait(&self.shared.env)?;
        let mut batch = Batch { volume: self, parts: Vec::new(), bytes: 0 };
        for write in writes {
            match *write {
                Write::Data { offset, bytes } => batch.data(offset / SECTOR_BYTES, bytes)?,
                Write::Zero { offset, len, .. } => {
                    batch.zero(offset / SECTOR_BYTES, len / SECTOR_BYTES)?;
                }
            }
        }
        batch.append()
    }

    /// Returns when every write that returned before the call is durable: on this
    /// handle or any other, since all share one log.
    ///
    /// # Errors
    /// [`Error::LogFailed`]: then it is unknown what is durable.
    pub fn flush(&self) -> Result<(), Error> {
        let _timed = self.shared.guest.request(&self.shared.env);
        self.check_lease()?;
        self.shared.log.sync()
    }

    /// What is stored of a range, in at most `max` stretches from its start on.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn status(&self, offset: u64, len: u64, max: usize) -> Result<Vec<StatusRange>, Error> {
        let range = self.check(offset, len)?;
        self.with_layers(&range, |layers| {
            map::status(&self.shared.nodes, layers, range.clone(), max)
        })
    }

    /// Where a range names other places than the map of `root` does, in at most
    /// `max` stretches from its start on.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn changed_since(
        &self,
        root: Location,
        offset: u64,
        len: u64,
        max: usize,
    ) -> Result<Vec<ChangedRange>, Error> {
        let range = self.check(offset, len)?;
        let from: Vec<Layer> =
            self.shared.nodes.root(root)?.iter().copied().map(Layer::Run).collect();
        self.with_layers(&range, |to| self.changes(&from, to, &range, max))
    }

    fn changes(
        &self,
        from: &[Layer],
        to: &[Layer],
        range: &SectorRange,
        max: usize,
    ) -> Result<Vec<ChangedRange>, Error> {
        let mut out: Vec<ChangedRange> = Vec::new();
        let mut at = range.start;
        let mut put = |until: u64, changed: bool, at: &mut u64| {
            let len = (until - *at) * SECTOR_BYTES;
            *at = until;
            let full = out.len() == max;
            match out.last_mut() {
                _ if len == 0 => {}
                Some(last) if last.changed == changed => last.len += len,
                _ if full => return ControlFlow::Break(()),
                _ => out.push(ChangedRange { len, changed }),
            }
            ControlFlow::Continue(())
        };
        let mut full = false;
        map::diff(&self.shared.nodes, from, to, range.clone(), &mut |change| {
            let flow = match put(change.range.start, false, &mut at) {
                ControlFlow::Continue(()) => put(change.range.end, true, &mut at),
                stop => stop,
            };
            full = flow.is_break();
            flow
        })?;
        if !full {
            let _ = put(range.end, false, &mut at);
        }
        Ok(out)
    }

    /// Sets the size, in memory. A smaller one: before the checkpoint that stores
    /// it; what it cuts off reads as zeros if the volume grows again. A larger one:
    /// after its size is stored, so that nothing is acknowledged beyond an end that
    /// a crash would bring back.
    ///
    /// # Errors
    /// [`Error::Fenced`].
    pub fn resize(&self, size: VolumeSize) -> Result<(), Error> {
        let _alone = self.gate.write();
        self.check_lease()?;
        let old = self.size.swap(size.bytes(), Ordering::AcqRel) / SECTOR_BYTES;
        if size.sectors() < old {
            // Not logged: it takes effect with the root that is bound together
            // with the new size, or not at all.
            let at = self.shared.log.position();
            let mut state = self.state.write();
            let before = state.overlay.len();
            state.overlay.insert(size.sectors()..old, at, true);
            state.oldest.get_or_insert(at);
            self.shared.pressure.changed(before, state.overlay.len());
        }
        Ok(())
    }

    /// Ends the lease of this handle: waits for writes under way, refuses later ones.
    pub(crate) fn fence(&self) {
        let _alone = self.gate.write();
        self.fenced.store(true, Ordering::Release);
    }

    /// Fences this handle and gives what it has in memory to the next term.
    pub(crate) fn take_over(&self) -> State {
        self.fence();
        let mut state = self.state.write();
        let empty = State::of(Arc::clone(&state.runs), state.root, state.lsn);
        std::mem::replace(&mut *state, empty)
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.state.read().damaged.is_some()
    }

    /// Reads its map again where recovery could not: a pool may be back.
    ///
    /// # Errors
    /// [`Error::MapDamaged`] when it cannot be read now either; [`Error::Store`] when its pool
    /// does not answer.
    pub(crate) fn check_readable(&self) -> Result<(), Error> {
        let root = {
            let state = self.state.read();
            if state.damaged.is_none() {
                return Ok(());
            }
            state.root
        };
        match self.shared.nodes.root(root) {
            Ok(runs) => {
                let mut state = self.state.write();
                if state.damaged.take().is_some() {
                    state.runs = runs;
                }
                Ok(())
            }
            Err(error) if Segments::is_away(&error) => Err(error),
            Err(error) => Err(Error::MapDamaged { volume: self.id, what: error.to_string() }),
        }
    }

    /// Whether the catalog still names the map that this handle goes on from.
    pub(crate) fn is_at(&self, head: &Head) -> bool {
        let state = self.state.read();
        state.root == head.root && state.lsn == head.lsn
    }

    pub(crate) fn check_lease(&self) -> Result<(), Error> {
        if self.fenced.load(Ordering::Acquire) {
            return Err(Error::Fenced { volume: self.id, epoch: self.epoch });
        }
        Ok(())
    }

    fn check(&self, offset: u64, len: u64) -> Result<SectorRange, Error> {
        check_range(offset, len, self.size())
    }

    /// All layers, newest first, at one instant.
    pub(crate) fn layers(&self, range: &SectorRange) -> Vec<Layer> {
        let state = self.state.read();
        let mut layers = Vec::with_capacity(1 + state.frozen.len() + state.runs.len());
        let overlays = std::iter::once(&state.overlay)
            .chain(state.frozen.iter().rev().map(|frozen| &**frozen));
        for overlay in overlays {
            let extents = overlay.extents(range);
            if !extents.is_empty() {
                layers.push(Layer::Extents(extents));
            }
        }
        layers.extend(state.runs.iter().copied().map(Layer::Run));
        layers
    }
}

/// The sectors of a byte range, when it is whole sectors below `size`.
pub(crate) fn check_range(offset: u64, len: u64, size: u64) -> Result<SectorRange, Error> {
    if !offset.is_multiple_of(SECTOR_BYTES) || !len.is_multiple_of(SECTOR_BYTES) {
        return Err(Error::Unaligned { offset, len });
    }
    match offset.checked_add(len) {
        Some(end) if end <= size.next_multiple_of(SECTOR_BYTES) => {
            Ok(offset / SECTOR_BYTES..end / SECTOR_BYTES)
        }
        _ => Err(Error::OutOfRange { offset, len, size }),
    }
}

/// Changes gathered for one append.
struct Batch<'v, 'a> {
    volume: &'v Volume,
    parts: Vec<Part<'a>>,
    bytes: usize,
}

impl<'a> Batch<'_, 'a> {
    /// Splits what is too long, and turns blocks of zeros into zero records.
    fn data(&mut self, start: u64, bytes: &'a [u8]) -> Result<(), Error> {
        let block = BLOCK_BYTES as usize;
        let most = self.volume.shared.log.batch_bytes();
        let (mut from, mut at) = (0, start);
        while from < bytes.len() {
            let zero = is_zero(&bytes[from..bytes.len().min(from + block)]);
            let mut to = from;
            while to < bytes.len() && (zero || to - from < most) {
                let next = bytes.len().min(to + block);
                if is_zero(&bytes[to..next]) != zero {
                    break;
                }
                to = next;
            }
            let sectors = (to - from) as u64 / SECTOR_BYTES;
            if zero {
                self.zero(at, sectors)?;
            } else {
                self.push(at, sectors, Kind::Data, &bytes[from..to])?;
            }
            at += sectors;
            from = to;
        }
        Ok(())
    }

    fn zero(&mut self, start: u64, sectors: u64) -> Result<(), Error> {
        let mut at = start;
        while at < start + sectors {
            let len = (start + sectors - at).min(Extent::SECTORS_MAX);
            self.push(at, len, Kind::Zero, &[])?;
            at += len;
        }
        Ok(())
    }

    fn push(&mut self, start: u64, len: u64, kind: Kind, payload: &'a [u8]) -> Result<(), Error> {
        let most = self.volume.shared.log.batch_bytes();
        if self.parts.len() == BATCH_RECORDS_MAX || self.bytes + payload.len() > most {
            self.append()?;
        }
        let (volume, epoch) = (self.volume.id, self.volume.epoch);
        let record = Record { volume, start, len, epoch, kind };
        self.parts.push(Part { record, payload });
        self.bytes += payload.len();
        Ok(())
    }

    /// Appends what is gathered and shows it to readers.
    fn append(&mut self) -> Result<(), Error> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let volume = self.volume;
        let _gate = volume.gate.read();
        volume.check_lease()?;
        // A shrink may have come since the first check.
        for part in &self.parts {
            let record = &part.record;
            volume.check(record.start * SECTOR_BYTES, record.len * SECTOR_BYTES)?;
        }
        let appended = volume.shared.log.append(&self.parts)?;
        let mut at = appended.first;
        let mut state = volume.state.write();
        let before = state.overlay.len();
        state.oldest = Some(state.oldest.map_or(at, |oldest| oldest.min(at)));
        for part in self.parts.drain(..) {
            let record = part.record;
            let range = record.start..record.start + record.len;
            state.overlay.insert(range, at, record.kind == Kind::Zero);
            at = at.advance(record.positions());
        }
        let after = state.overlay.len();
        drop(state);
        drop(appended);
        self.bytes = 0;
        volume.shared.pressure.changed(before, after);
        if after >= volume.shared.config.overlay_extents_checkpoint
            || volume.shared.log.take_upkeep()
        {
            volume.shared.work.wake();
        }
        Ok(())
    }
}

/// Whether all bytes are zero. Nearly all blocks that are not show it at once.
fn is_zero(bytes: &[u8]) -> bool {
    let (head, rest) = bytes.split_at(bytes.len().min(16));
    head.iter().all(|&b| b == 0) && rest.iter().fold(0, |all, &b| all | b) == 0
}

#[cfg(test)]
mod tests;
