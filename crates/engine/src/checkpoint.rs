//! Checkpoints and cuts: from overlays to persisted maps.
//!
//! The order is the whole point:
//! 1. *Cut*: all gates are held for a moment, so that no write is under way; each
//!    overlay is set aside, and one location divides the log for all volumes.
//! 2. *Persist*: each overlay set aside becomes a run, each stack a new root node.
//! 3. *Sync* the log: the data and the nodes become durable together.
//! 4. *Commit*: the catalog moves the heads in one transaction.
//! 5. *Install*: readers change over; the overlays set aside are dropped.
//!
//! A crash before 4 leaves the old heads, and the log has every record since. A
//! crash after 4 finds the new heads, which skip those records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use archipelago_format::node::{Node, RUNS_MAX, Run};
use archipelago_model::{Epoch, Location, SegmentId, VolumeId, VolumeSize};

use crate::engine::{Engine, Shared};
use crate::error::{Durable, Error};
use crate::log::{Log, node_part};
use crate::map::{self, Layer, Names, NodeSink, RunBuilder};
use crate::overlay::Overlay;
use crate::segments::{SegmentInfo, Segments};
use crate::volume::Volume;

/// Above so many runs even a snapshot merges: a bound for look-ups, far below
/// what a root can hold.
const RUNS_BEFORE_FORCED_MERGE: usize = 48;

const _: () = assert!(RUNS_BEFORE_FORCED_MERGE * 2 < RUNS_MAX);

/// A volume's new head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Which.
    pub volume: VolumeId,
    /// The term of the lease that this was done under: move the head only if the
    /// catalog still has it.
    pub epoch: Epoch,
    /// The root of everything before `lsn`.
    pub root: Durable<Location>,
    /// Records of the log from here on are not in the root.
    pub lsn: Location,
    /// The size.
    pub size: VolumeSize,
}

/// What a checkpoint wants recorded, in one transaction.
#[derive(Clone)]
pub struct Checkpoint {
    /// In the order of the volumes' ids.
    pub cuts: Vec<Cut>,
    /// Once the cuts are recorded, recovery needs no segment before this.
    pub log_floor: SegmentId,
    /// Sealed when this was made, and not recorded.
    sealed: Vec<SegmentInfo>,
    segments: Arc<Segments>,
}

impl Checkpoint {
    /// Segments sealed since the last checkpoint. To be asked in the transaction: another
    /// checkpoint may have recorded one since, and the collector removed it.
    pub fn sealed(&self) -> Vec<SegmentInfo> {
        let unrecorded = self.segments.unrecorded();
        self.sealed.iter().filter(|info| unrecorded.contains(info)).copied().collect()
    }
}

/// Appends nodes to the log.
pub(crate) struct LogSink<'a>(pub &'a Log);

impl NodeSink for LogSink<'_> {
    fn append_node(&mut self, node: &[u8]) -> Result<Location, Error> {
        Ok(self.0.append(&[node_part(node)])?.first)
    }
}

/// A new stack, not installed.
struct Persisted {
    runs: Arc<[Run]>,
    root: Location,
    /// Overlays that it has in it.
    frozen: usize,
}

impl Engine {
    /// Cuts all `volumes` at one instant, persists them and calls `commit` to
    /// record the new heads; then installs them. With `merge`, runs that are due
    /// are merged too, which may take long: for the background, not for snapshots.
    ///
    /// # Errors
    /// Those of the log and of `commit`. Nothing is lost then: the overlays stay,
    /// and go with the next checkpoint.
    pub fn checkpoint<E: From<Error>>(
        &self,
        volumes: &[Arc<Volume>],
        merge: bool,
        commit: impl FnOnce(&Checkpoint) -> Result<(), E>,
    ) -> Result<Checkpoint, E> {
        let merging = if merge { Merging::Due } else { Merging::Nothing };
        self.persist_all(volumes, merging, None, commit)
    }

    /// Cuts a volume off at `size` and calls `commit` to record the size together
    /// with the map that has nothing beyond it. Nobody may be writing the volume,
    /// and all that was written should be persisted: when this fails, the handle is
    /// fenced and what it has in memory is void, so that the cut cannot be recorded
    /// without the size.
    ///
    /// # Errors
    /// Those of [`Self::checkpoint`].
    pub fn shrink<E: From<Error>>(
        &self,
        volume: &Arc<Volume>,
        size: VolumeSize,
        commit: impl FnOnce(&Checkpoint) -> Result<(), E>,
    ) -> Result<Checkpoint, E> {
        self.persist_all(std::slice::from_ref(volume), Merging::Nothing, Some(size), commit)
    }

    /// A checkpoint that makes one run of all runs of a volume, with nothing in it that
    /// is hidden and everything named where it is now. For the thread of the collector
    /// only: no mark may begin meanwhile.
    ///
    /// # Errors
    /// Those of [`Self::checkpoint`].
    pub fn flatten<E: From<Error>>(
        &self,
        volume: &Arc<Volume>,
        commit: impl FnOnce(&Checkpoint) -> Result<(), E>,
    ) -> Result<Checkpoint, E> {
        self.persist_all(std::slice::from_ref(volume), Merging::All, None, commit)
    }

    fn persist_all<E: From<Error>>(
        &self,
        volumes: &[Arc<Volume>],
        merging: Merging,
        shrink: Option<VolumeSize>,
        commit: impl FnOnce(&Checkpoint) -> Result<(), E>,
    ) -> Result<Checkpoint, E> {
        let shared = self.shared();
        let mut volumes: Vec<&Arc<Volume>> = volumes.iter().collect();
        volumes.sort_by_key(|v| v.id());
        volumes.dedup_by_key(|v| v.id());
        // Over a map that recovery could not read nothing is laid.
        volumes.iter().try_for_each(|volume| volume.check_readable())?;
        let _nodes_that_nobody_names_yet =
            shared.pins.under_way(|| shared.log.position().segment());
        let merged = volumes
            .iter()
            .map(|volume| merge(shared, volume, merging))
            .collect::<Result<Vec<_>, Error>>()?;
        let _serial: Vec<_> = volumes.iter().map(|v| v.checkpoint.lock()).collect();
        let void = shrink.map(|size| Voiding::resize(&volumes, size)).transpose()?;

        let (lsn, sizes) = cut(shared, &volumes)?;
        let persisted = volumes
            .iter()
            .zip(merged)
            .map(|(volume, merged)| persist(shared, volume, merged))
            .collect::<Result<Vec<_>, Error>>()?;
        shared.log.sync()?;

        let cuts = volumes.iter().zip(&persisted).zip(sizes).map(|((volume, new), size)| Cut {
            volume: volume.id(),
            epoch: volume.epoch(),
            root: Durable::after_sync(new.root),
            lsn,
            size,
        });
        // First the floor: what is sealed after it was open, and so is not below it.
        let log_floor = log_floor(shared, &volumes, lsn);
        let sealed = shared.segments.unrecorded();
        let segments = Arc::clone(&shared.segments);
        let checkpoint = Checkpoint { cuts: cuts.collect(), log_floor, sealed, segments };
        commit(&checkpoint)?;
        shared.segments.recorded(&checkpoint.sealed);
        if let Some(void) = void {
            void.keep();
        }
        for (volume, new) in volumes.iter().zip(persisted) {
            install(shared, volume, new, lsn);
        }
        shared.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(checkpoint)
    }
}

/// Sets the overlays aside. Writers wait only for those who were before them.
fn cut(shared: &Shared, volumes: &[&Arc<Volume>]) -> Result<(Location, Vec<VolumeSize>), Error> {
    let _gates: Vec<_> = volumes.iter().map(|v| v.gate.write()).collect();
    let lsn = shared.log.position();
    let mut sizes = Vec::with_capacity(volumes.len());
    for volume in volumes {
        volume.check_lease()?;
        let size = volume.size();
        sizes.push(VolumeSize::from_bytes(size).map_err(|_| Error::OutOfRange {
            offset: 0,
            len: size,
            size,
        })?);
    }
    for volume in volumes {
        let mut state = volume.state.write();
        if !state.overlay.is_empty() {
            let overlay = std::mem::take(&mut state.overlay);
            state.frozen.push_back(Arc::new(overlay));
        }
    }
    Ok((lsn, sizes))
}

/// Fences volumes unless told to keep them: their size was changed in memory only.
struct Voiding<'a, 'v> {
    volumes: &'a [&'v Arc<Volume>],
    kept: bool,
}

impl<'a, 'v> Voiding<'a, 'v> {
    fn resize(volumes: &'a [&'v Arc<Volume>], size: VolumeSize) -> Result<Self, Error> {
        let voiding = Self { volumes, kept: false };
        for volume in volumes {
            volume.resize(size)?;
        }
        Ok(voiding)
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Voiding<'_, '_> {
    fn drop(&mut self) {
        if !self.kept {
            self.volumes.iter().for_each(|volume| volume.fence());
        }
    }
}

/// Which runs a checkpoint merges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merging {
    Nothing,
    Due,
    All,
}

/// Runs that are one now, if they still stand in the stack.
struct Merged {
    old: Vec<Run>,
    new: Option<Run>,
}

impl Merged {
    /// Puts the new run in the place of the old ones. Whether they were there:
    /// another checkpoint may have come between.
    fn replace(self, runs: &mut Vec<Run>) -> bool {
        let Some(at) = runs.windows(self.old.len()).position(|window| window == self.old) else {
            return false;
        };
        runs.splice(at..at + self.old.len(), self.new);
        true
    }
}

/// Merges runs. They never change, so this holds no lock, and a snapshot does not
/// wait for it.
fn merge(shared: &Shared, volume: &Volume, merging: Merging) -> Result<Option<Merged>, Error> {
    let (runs, root) = {
        let state = volume.state.read();
        (Arc::clone(&state.runs), state.root)
    };
    let due = match merging {
        Merging::Nothing => 0,
        Merging::Due => map::due(&runs),
        Merging::All => runs.len(),
    };
    if due == 0 {
        return Ok(None);
    }
    // Another checkpoint may put other runs in their place meanwhile.
    let _still_read = shared.pins.root(root);
    let mut sink = LogSink(&shared.log);
    let names = if merging == Merging::All { Names::Resolved } else { Names::Kept };
    let bottom = due == runs.len();
    let new = match map::merge(&shared.nodes, &runs[..due], bottom, names, &mut sink) {
        // A damaged node must not keep this volume, and others, from being persisted.
        Err(error @ Error::Damaged { .. }) => {
            tracing::error!(volume = %volume.id(), %error, "runs of a map cannot be merged");
            return Ok(None);
        }
        other => other?,
    };
    shared.runs_merged.fetch_add(due as u64, Ordering::Relaxed);
    Ok(Some(Merged { old: runs[..due].to_vec(), new }))
}

fn persist(shared: &Shared, volume: &Volume, merged: Option<Merged>) -> Result<Persisted, Error> {
    let (frozen, mut runs, root) = {
        let state = volume.state.read();
        let frozen: Vec<Arc<Overlay>> = state.frozen.iter().cloned().collect();
        (frozen, state.runs.to_vec(), state.root)
    };
    let mut sink = LogSink(&shared.log);
    let mut changed = merged.is_some_and(|merged| merged.replace(&mut runs));
    if let Some(run) = write_overlays(shared, &frozen, &mut sink)? {
        runs.insert(0, run);
        changed = true;
    }
    if runs.len() > RUNS_BEFORE_FORCED_MERGE {
        let due = runs.len() - RUNS_BEFORE_FORCED_MERGE / 2;
        match map::merge(&shared.nodes, &runs[..due], false, Names::Kept, &mut sink) {
            Err(Error::Damaged { .. }) if runs.len() < RUNS_MAX => {}
            merged => {
                shared.runs_merged.fetch_add(due as u64, Ordering::Relaxed);
                runs.splice(..due, merged?);
                changed = true;
            }
        }
    }
    let root = if !changed {
        root
    } else if runs.is_empty() {
        Location::HOLE
    } else {
        sink.append_node(&Node::Root(runs.clone()).encode())?
    };
    Ok(Persisted { runs: runs.into(), root, frozen: frozen.len() })
}

/// One run of what the overlays (oldest first) say together.
fn write_overlays(
    shared: &Shared,
    frozen: &[Arc<Overlay>],
    sink: &mut LogSink<'_>,
) -> Result<Option<Run>, Error> {
    let everything = 0..archipelago_model::Extent::START_END;
    let layers: Vec<Layer> =
        frozen.iter().rev().map(|o| Layer::Extents(o.extents(&everything))).collect();
    let mut builder = RunBuilder::new(sink);
    map::visit_all(&shared.nodes, &layers, everything, false, |extent| builder.push(extent))?;
    builder.finish()
}

fn install(shared: &Shared, volume: &Volume, new: Persisted, lsn: Location) {
    let mut state = volume.state.write();
    let dropped: usize = state.frozen.drain(..new.frozen).map(|o| o.len()).sum();
    state.runs = new.runs;
    state.root = new.root;
    state.lsn = lsn;
    state.oldest = match state.oldest {
        Some(_) if state.overlay.is_empty() && state.frozen.is_empty() => None,
        oldest => oldest.map(|oldest| oldest.max(lsn)),
    };
    drop(state);
    shared.pressure.changed(dropped, 0);
}

/// The first segment that recovery will need once `cut` is recorded at `lsn`.
///
/// The log is drained first: a write of another volume that has a place but is
/// not in its overlay yet would be missed.
fn log_floor(shared: &Shared, cut: &[&Arc<Volume>], lsn: Location) -> SegmentId {
    let mut floor = shared.log.drain();
    let is_cut = |id: VolumeId| cut.binary_search_by_key(&id, |v| v.id()).is_ok();
    for volume in shared.volumes.read().values() {
        let oldest = volume.state.read().oldest;
        let needed = if is_cut(volume.id()) { oldest.map(|o| o.max(lsn)) } else { oldest };
        floor = needed.map_or(floor, |needed| needed.min(floor));
    }
    let floor = floor.segment().unwrap_or(SegmentId::MAX);
    // A segment without a footer is readable only after a scan, and a root may
    // name it already.
    shared.segments.first_open().map_or(floor, |open| open.min(floor))
}
