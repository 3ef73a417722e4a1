//! A device: what a driver reads and writes, whatever stands behind it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use archipelago_engine as engine;
use archipelago_model::{Location, SECTOR_BYTES, SnapshotId, SnapshotName, VolumeId};
use parking_lot::{Mutex, RwLockReadGuard};

use crate::attachments::Attached;
use crate::catalog::snapshot;
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::hold::Hold;
use crate::service::{reads_snapshot, snapshots_read};

/// A device remembers the roots of so many snapshots that it was compared with;
/// beyond that it asks the catalog each time.
const BASES_MAX: usize = 64;

/// A change to a device. Offsets and lengths are bytes, multiples of 512.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write<'a> {
    /// Puts `bytes` at `offset`.
    Data {
        /// Where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// Makes a range read as zeros.
    Zero {
        /// Where.
        offset: u64,
        /// How long.
        len: u64,
        /// Whether the space may be given back; a hint.
        may_unmap: bool,
    },
}

/// A range of a device's map; ranges follow each other without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusRange {
    /// In bytes.
    pub len: u64,
    /// Nothing is stored for it.
    pub hole: bool,
    /// It reads as zeros.
    pub zero: bool,
}

/// A range that was or was not changed; ranges follow each other without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangedRange {
    /// In bytes.
    pub len: u64,
    /// Whether it may read differently now.
    pub changed: bool,
}

/// An open volume, snapshot, image or file. Dropping it detaches.
pub struct Device {
    core: Arc<Core>,
    /// How messages name it; the name may have changed since it was opened.
    label: String,
    target: Target,
    /// The volume whose snapshots this can be compared with.
    family: Option<VolumeId>,
    /// Snapshots and their roots, as they were when first asked for.
    bases: Mutex<HashMap<SnapshotName, (SnapshotId, engine::Pin)>>,
    /// Whose it is, where it was opened by a ticket; the operator's has no limits.
    hold: Option<Arc<Hold>>,
}

pub(crate) enum Target {
    /// Written through the handle.
    Volume {
        handle: Arc<engine::Volume>,
        /// Counts the device for as long as it lives, unless its hold does.
        _attached: Option<Attached>,
    },
    /// Read-only.
    Fixed(Arc<engine::View>),
}

impl Device {
    pub(crate) fn new(
        core: Arc<Core>,
        label: String,
        target: Target,
        family: Option<VolumeId>,
    ) -> Self {
        Self { core, label, target, family, bases: Mutex::default(), hold: None }
    }

    /// The same for somebody with a ticket.
    pub(crate) fn held(self, hold: Arc<Hold>) -> Self {
        Self { hold: Some(hold), ..self }
    }

    /// Begins a use, where somebody may not be let any more.
    fn enter(&self) -> Result<Option<RwLockReadGuard<'_, bool>>, Error> {
        self.hold.as_ref().map(|hold| hold.enter(&self.core, &self.label)).transpose()
    }

    /// Bytes, a multiple of 512: a file's last sector is filled up with zeros.
    /// Grows when the volume does.
    pub fn size(&self) -> u64 {
        match &self.target {
            Target::Volume { handle, .. } => handle.size(),
            Target::Fixed(view) => view.size_bytes().next_multiple_of(SECTOR_BYTES),
        }
    }

    /// Whether writes are refused: true for all but volumes.
    pub fn read_only(&self) -> bool {
        matches!(self.target, Target::Fixed(_))
    }

    /// Reads; offset and length are multiples of 512.
    ///
    /// # Errors
    /// `Invalid` beyond the end or unaligned; `Damaged` when stored bytes fail
    /// their checksum: not one of them is given out.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        let _let_in = self.enter()?;
        match &self.target {
            Target::Volume { handle, .. } => handle.read(offset, buf),
            Target::Fixed(view) => view.read(offset, buf),
        }
        .map_err(|error| self.failed(error))
    }

    /// Writes all of them as one batch. Not durable before [`Self::flush`].
    ///
    /// # Errors
    /// `Invalid` beyond the end or unaligned, `ReadOnly`, `NoSpace`, `Fenced`.
    pub fn write(&self, writes: &[Write<'_>]) -> Result<(), Error> {
        let _let_in = self.enter()?;
        let handle = match &self.target {
            Target::Volume { handle, .. } => handle,
            Target::Fixed(_) => {
                return Err(Error::new(
                    ErrorKind::ReadOnly,
                    format!("{} is read-only; write to a volume cloned from it", self.label),
                ));
            }
        };
        let written = match writes {
            // Nearly always there is one: no list is made for it.
            [one] => handle.write(&[to_engine(one)]),
            many => handle.write(&many.iter().map(to_engine).collect::<Vec<_>>()),
        };
        written.map_err(|error| self.failed(error))
    }

    /// Makes everything durable that was acknowledged before, on any device of
    /// this resource.
    ///
    /// # Errors
    /// `Fenced`, `NoSpace`, `Internal`.
    pub fn flush(&self) -> Result<(), Error> {
        let _let_in = self.enter()?;
        match &self.target {
            Target::Volume { handle, .. } => handle.flush().map_err(|error| self.failed(error)),
            Target::Fixed(_) => Ok(()),
        }
    }

    /// What is stored, from `offset` on: at most `max` ranges, which cover at
    /// most `len` bytes and at least one sector.
    ///
    /// # Errors
    /// `Invalid` beyond the end or unaligned; `Damaged`.
    pub fn status(&self, offset: u64, len: u64, max: usize) -> Result<Vec<StatusRange>, Error> {
        let _let_in = self.enter()?;
        let ranges = match &self.target {
            Target::Volume { handle, .. } => handle.status(offset, len, max),
            Target::Fixed(view) => view.status(offset, len, max),
        }
        .map_err(|error| self.failed(error))?;
        Ok(ranges
            .into_iter()
            .map(|range| StatusRange { len: range.len, hole: range.hole, zero: range.hole })
            .collect())
    }

    /// What changed since a snapshot of the same volume, as [`Self::status`].
    ///
    /// The snapshot is the one that had this name when it was first asked for here.
    ///
    /// # Errors
    /// `NotFound` when the volume has no such snapshot; as [`Self::status`].
    pub fn changed_since(
        &self,
        snapshot: &SnapshotName,
        offset: u64,
        len: u64,
        max: usize,
    ) -> Result<Vec<ChangedRange>, Error> {
        let _let_in = self.enter()?;
        let base = self.base(snapshot)?;
        match &self.target {
            Target::Volume { handle, .. } => handle
                .changed_since(base, offset, len, max)
                .map(|ranges| {
                    let shown = |range: engine::ChangedRange| ChangedRange {
                        len: range.len,
                        changed: range.changed,
                    };
                    ranges.into_iter().map(shown).collect()
                })
                .map_err(|error| self.failed(error)),
            Target::Fixed(view) => self.changed_between(base, view.root(), offset, len, max),
        }
    }

    fn changed_between(
        &self,
        from: Location,
        to: Location,
        offset: u64,
        len: u64,
        max: usize,
    ) -> Result<Vec<ChangedRange>, Error> {
        let end = offset.checked_add(len).filter(|end| *end <= self.size());
        let whole = offset.is_multiple_of(SECTOR_BYTES) && len.is_multiple_of(SECTOR_BYTES);
        let Some(end) = end.filter(|_| whole) else {
            return Err(Error::invalid(format!(
                "{}: {len} bytes at {offset} are not whole sectors within its {} bytes",
                self.label,
                self.size()
            )));
        };
        let mut ranges = Changes { at: offset, max, out: Vec::new() };
        let mut full = false;
        let sectors = offset / SECTOR_BYTES..end / SECTOR_BYTES;
        self.core
            .engine
            .diff(from, to, sectors, &mut |changed, _| {
                full = ranges.upto(changed.start * SECTOR_BYTES, false).is_break()
                    || ranges.upto(changed.end * SECTOR_BYTES, true).is_break();
                if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(|error| self.failed(error))?;
        if !full {
            let _ = ranges.upto(end, false);
        }
        Ok(ranges.out)
    }

    /// The snapshots that [`Self::changed_since`] knows and whose device it is may read, oldest
    /// first.
    ///
    /// # Errors
    /// The catalog cannot be read; `Forbidden` once the right to the device has ended.
    pub fn snapshots(&self) -> Result<Vec<SnapshotName>, Error> {
        let _let_in = self.enter()?;
        let Some(volume) = self.family else {
            return Ok(Vec::new());
        };
        let now_ms = self.core.now_ms();
        let rows = self.core.catalog.read(|tx| -> Result<_, Error> {
            let rows = snapshot::list_of(tx, volume)?;
            match &self.hold {
                None => Ok(rows),
                Some(hold) => snapshots_read(tx, &hold.holder, rows, now_ms),
            }
        })?;
        Ok(rows.into_iter().map(|row| row.path.snapshot).collect())
    }

    fn base(&self, name: &SnapshotName) -> Result<Location, Error> {
        let none = || {
            let what = format!("a snapshot '{name}' of {}", self.label);
            Error::not_found(what, "snapshot ls")
        };
        let known = self.bases.lock().get(name).map(|(id, root)| (*id, root.root()));
        if let Some((id, root)) = known {
            return if self.reads(id)? { Ok(root) } else { Err(none()) };
        }
        let _resolving = self.core.resolving.read_recursive();
        let row = match self.family {
            Some(volume) => self.core.catalog.read(|tx| snapshot::find_of(tx, volume, name))?,
            None => None,
        };
        let row = row.ok_or_else(none)?;
        if !self.reads(row.id)? {
            return Err(none());
        }
        let mut bases = self.bases.lock();
        if bases.len() < BASES_MAX {
            bases.insert(name.clone(), (row.id, self.core.engine.pin(row.root)));
        }
        Ok(row.root)
    }

    /// Whether whose device it is may read a snapshot of its volume.
    fn reads(&self, snapshot: SnapshotId) -> Result<bool, Error> {
        let Some(hold) = &self.hold else { return Ok(true) };
        let now_ms = self.core.now_ms();
        self.core.catalog.read(|tx| reads_snapshot(tx, &hold.holder, snapshot, now_ms))
    }

    fn failed(&self, error: engine::Error) -> Error {
        Error::from(error).on(&self.label)
    }
}

fn to_engine<'a>(write: &Write<'a>) -> engine::Write<'a> {
    match *write {
        Write::Data { offset, bytes } => engine::Write::Data { offset, bytes },
        Write::Zero { offset, len, may_unmap } => {
            engine::Write::Zero { offset, len, keep: !may_unmap }
        }
    }
}

/// Gathers at most `max` ranges, from `at` on.
struct Changes {
    at: u64,
    max: usize,
    out: Vec<ChangedRange>,
}

impl Changes {
    /// What lies between the last range and `end` is `changed`.
    fn upto(&mut self, end: u64, changed: bool) -> ControlFlow<()> {
        let len = end - self.at;
        if let Some(last) = self.out.last_mut().filter(|last| last.changed == changed) {
            last.len += len;
        } else if len > 0 {
            if self.out.len() == self.max {
                return ControlFlow::Break(());
            }
            self.out.push(ChangedRange { len, changed });
        }
        self.at = end;
        ControlFlow::Continue(())
    }
}
