//! The engine as a whole: opening, volumes, views.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipelago_env::Env;
use archipelago_format::node::Run;
use archipelago_model::{Location, PoolId, SectorRange, SegmentId, VolumeId};
use archipelago_store::Store;
use parking_lot::RwLock;

use crate::config::{Config, Counters};
use crate::error::Error;
use crate::guest::{Guest, GuestLoad};
use crate::ingest::{self, IngestError, Ingested, Piece};
use crate::log::Log;
use crate::map::{self, Layer, Nodes};
use crate::overlay::Overlay;
use crate::pins::{Pin, Pins};
use crate::pressure::{Pressure, Work};
use crate::replay;
use crate::segments::{SegmentIds, Segments};
use crate::view::View;
use crate::volume::{Head, State, Volume};

/// Whether there was anything of a segment to be dropped from caches.
pub type Doubt = Arc<dyn Fn(SegmentId) -> bool + Send + Sync>;

/// Gives the places that have a copy of a segment each; none where there is but one.
pub type Copies = Arc<dyn Fn(SegmentId) -> Vec<Arc<dyn Store>> + Send + Sync>;

/// What an engine is opened with.
pub struct Options<'a> {
    /// Clock and randomness.
    pub env: Env,
    /// Where segments are.
    pub store: Arc<dyn Store>,
    /// Limits.
    pub config: Config,
    /// The store that segments must belong to.
    pub store_uuid: [u8; 16],
    /// Keys the fingerprints of blocks.
    pub dedup_key: [u8; 32],
    /// Gives segment ids.
    pub ids: Arc<dyn SegmentIds>,
    /// As the last checkpoint gave it; `None` for a new store.
    pub log_floor: Option<SegmentId>,
    /// What the catalog knows of a volume; `None` when it is gone, so that its
    /// records are passed over.
    pub heads: &'a dyn Fn(VolumeId) -> Option<Head>,
    /// The raw bytes of a sealed segment of the log, as the catalog has them, 0 for any
    /// other that it has, or `None` for one that it does not have. One that it has is
    /// never removed or cut short, whatever recovery finds in it.
    pub recorded: &'a dyn Fn(SegmentId) -> Option<u64>,
    /// Segments that compactions have moved, with the carriers of their tables.
    pub forwarded: &'a [(SegmentId, SegmentId)],
    /// Segments that nobody names and that are not removed yet.
    pub condemned: &'a [SegmentId],
    /// Drops what caches below have of a segment whose bytes were wrong; whether there was any.
    pub doubt: Option<Doubt>,
    /// The places that have a copy of a segment each, where there are several.
    pub copies: Option<Copies>,
}

/// What opening found in the log.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Records that no root had yet.
    pub records: u64,
    /// Segments of the log that were read.
    pub segments: u64,
    /// Volumes with such records: checkpoint them soon.
    pub dirty: Vec<VolumeId>,
}

/// What everything in the engine shares.
pub(crate) struct Shared {
    pub env: Env,
    pub config: Config,
    pub segments: Arc<Segments>,
    pub nodes: Arc<Nodes>,
    pub log: Arc<Log>,
    pub pressure: Pressure,
    pub work: Work,
    pub volumes: RwLock<HashMap<VolumeId, Arc<Volume>>>,
    pub ingest: ingest::Context,
    pub pins: Arc<Pins>,
    pub guest: Guest,
    pub checkpoints: AtomicU64,
    pub runs_merged: AtomicU64,
}

/// The engine. All methods may be called from many threads at once.
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Opens a store: reads the log back and leaves every volume as its last
    /// acknowledged flush, or later, left it.
    ///
    /// # Errors
    /// [`Error::LogCut`], [`Error::LogDamaged`] when acknowledged records cannot be read:
    /// then nothing was changed. [`Error::Store`] when the backend fails.
    pub fn open(options: Options<'_>) -> Result<(Arc<Self>, Recovery), Error> {
        let Options { env, store, config, store_uuid, dedup_key, ids, .. } = options;
        let segments = Segments::new(store, env.clone(), store_uuid, ids, &config);
        let segments = segments.doubting(options.doubt.clone(), options.copies.clone());
        let segments = Arc::new(segments);
        segments.forward(options.forwarded);
        segments.condemn(options.condemned);
        let nodes = Arc::new(Nodes::new(Arc::clone(&segments), config.node_cache_bytes));
        let pins = Arc::new(Pins::default());
        let floor = options.log_floor.unwrap_or(SegmentId::MIN);
        let known = replay::Known { heads: options.heads, recorded: options.recorded };
        let (recovered, recovery, next) = replay::replay(&segments, &nodes, floor, &known)?;
        segments.ids_from(next);
        let log = Log::new(
            Arc::clone(&segments),
            config.hot_segment_bytes,
            config.log_room_wait,
            Location::start_of(next),
        );
        let shared = Arc::new(Shared {
            ingest: ingest::Context::new(
                Arc::clone(&segments),
                Arc::clone(&nodes),
                Arc::clone(&pins),
                dedup_key,
                config.cold_segment_bytes,
            ),
            pressure: Pressure::new(config.overlay_extents_max),
            work: Work::default(),
            env,
            config,
            segments,
            nodes,
            pins,
            guest: Guest::default(),
            log,
            volumes: RwLock::default(),
            checkpoints: AtomicU64::new(0),
            runs_merged: AtomicU64::new(0),
        });
        for (head, state) in recovered {
            shared.pressure.changed(0, state.overlay.len());
            let volume = Arc::new(Volume::new(Arc::clone(&shared), &head, state));
            shared.volumes.write().insert(head.volume, volume);
        }
        Ok((Arc::new(Self { shared }), recovery))
    }

    /// Every segment that is made from now on has this id or a greater one.
    pub fn next_segment(&self) -> SegmentId {
        self.shared.segments.next_id()
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A handle for writing under the lease that `head` tells. What recovery found
    /// is in it; handles of older terms are fenced.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a newer term is attached.
    pub fn attach(&self, head: Head) -> Result<Arc<Volume>, Error> {
        loop {
            let known = self.shared.volumes.read().get(&head.volume).cloned();
            match &known {
                Some(same) if same.epoch() == head.epoch => return Ok(Arc::clone(same)),
                Some(newer) if newer.epoch() > head.epoch => {
                    return Err(Error::Fenced { volume: head.volume, epoch: head.epoch });
                }
                _ => {}
            }
            // Before the table of volumes is locked: a checkpoint under way needs
            // the table to end.
            let _serial = known.as_ref().map(|older| older.checkpoint.lock());
            let mut volumes = self.shared.volumes.write();
            if volumes.get(&head.volume).map(Arc::as_ptr) != known.as_ref().map(Arc::as_ptr) {
                continue;
            }
            let state = match &known {
                Some(older) if older.is_at(&head) => {
                    older.check_readable()?;
                    older.take_over()
                }
                // The catalog went on to another map: what this had is void.
                Some(older) => {
                    let void = older.take_over();
                    if void.extents() > 0 {
                        let (volume, extents) = (head.volume, void.extents());
                        tracing::error!(%volume, extents, "writes to a map that was replaced");
                    }
                    self.shared.pressure.changed(void.extents(), 0);
                    self.fresh(&head)?
                }
                None => self.fresh(&head)?,
            };
            let volume = Arc::new(Volume::new(Arc::clone(&self.shared), &head, state));
            volumes.insert(head.volume, Arc::clone(&volume));
            return Ok(volume);
        }
    }

    fn fresh(&self, head: &Head) -> Result<State, Error> {
        Ok(State::of(self.shared.nodes.root(head.root)?, head.root, head.lsn))
    }

    /// Forgets a volume that was deleted or rolled back, with what its overlay
    /// has. Its handles are fenced.
    pub fn detach(&self, id: VolumeId) {
        let Some(volume) = self.shared.volumes.write().remove(&id) else {
            return;
        };
        volume.fence();
        let _serial = volume.checkpoint.lock();
        let mut state = volume.state.write();
        let extents = state.extents();
        *state = State::of(Arc::clone(&state.runs), state.root, state.lsn);
        self.shared.pressure.changed(extents, 0);
    }

    /// Forgets a handle whose lease turned out to be over, with what its overlay
    /// has, unless a newer one has taken its place.
    pub fn forget(&self, volume: &Arc<Volume>) {
        let known = self.shared.volumes.read().get(&volume.id()).cloned();
        if known.is_some_and(|known| Arc::ptr_eq(&known, volume)) {
            self.detach(volume.id());
        }
    }

    /// A fixed map.
    ///
    /// # Errors
    /// [`Error::Damaged`] when `root` is not a root.
    pub fn view(&self, root: Location, size_bytes: u64) -> Result<Arc<View>, Error> {
        View::open(Arc::clone(&self.shared), root, size_bytes).map(Arc::new)
    }

    /// What guests have asked for so far, and how long they waited.
    pub fn guest_load(&self) -> GuestLoad {
        self.shared.guest.load()
    }

    /// Whether a segment has no footer yet.
    pub fn is_open(&self, id: SegmentId) -> bool {
        self.shared.segments.is_open(id)
    }

    /// Holds all that a root reaches, whatever becomes of its names.
    pub fn pin(&self, root: Location) -> Pin {
        self.shared.pins.root(root)
    }

    /// Every later record has this location or a greater one.
    pub fn log_position(&self) -> Location {
        self.shared.log.drain()
    }

    /// Waits until some volume wants a checkpoint, and does the log's own upkeep
    /// meanwhile. Empty after `timeout`, or when the engine is closed.
    pub fn checkpoint_due(&self, timeout: Duration) -> Vec<Arc<Volume>> {
        let shared = &self.shared;
        if !shared.log.wants_maintenance() && self.due().is_empty() && shared.work.wait(timeout) {
            return Vec::new();
        }
        if let Err(error) = shared.log.maintain() {
            tracing::debug!(%error, "the log's upkeep waits");
            if self.due().is_empty() {
                // A full disk: trying again at once would only burn time.
                shared.work.wait(timeout);
            }
        }
        self.due()
    }

    fn due(&self) -> Vec<Arc<Volume>> {
        let shared = &self.shared;
        let high = shared.pressure.is_high();
        let segments = shared.config.log_bytes_checkpoint / shared.config.hot_segment_bytes.max(1);
        let floor = shared.log.position().raw() >> Location::POSITION_BITS;
        let pinned =
            |oldest: Location| (oldest.raw() >> Location::POSITION_BITS) + segments <= floor;
        shared
            .volumes
            .read()
            .values()
            .filter(|volume| {
                let state = volume.state.read();
                // Also those that a checkpoint which failed has set aside.
                let extents = state.extents();
                if state.damaged.is_some() {
                    return false;
                }
                extents >= shared.config.overlay_extents_checkpoint
                    || (high && extents > 0)
                    || state.oldest.is_some_and(pinned)
            })
            .cloned()
            .collect()
    }

    /// Volumes whose persisted map lacks something.
    pub fn dirty_volumes(&self) -> Vec<Arc<Volume>> {
        let volumes = self.shared.volumes.read();
        volumes
            .values()
            .filter(|volume| volume.overlay_extents() > 0 && volume.check_readable().is_ok())
            .cloned()
            .collect()
    }

    /// Volumes of which recovery found writes, and whose maps it could not read.
    pub fn unread_volumes(&self) -> Vec<Arc<Volume>> {
        let volumes = self.shared.volumes.read();
        volumes.values().filter(|volume| volume.is_unread()).cloned().collect()
    }

    /// Whether a volume can be written, as far as recovery left it so: before its next term begins.
    ///
    /// # Errors
    /// [`Error::MapDamaged`]; [`Error::Store`] when the pool of its map does not answer.
    pub fn check_readable(&self, id: VolumeId) -> Result<(), Error> {
        let known = self.shared.volumes.read().get(&id).cloned();
        known.map_or(Ok(()), |volume| volume.check_readable())
    }

    /// Builds a map from pieces, storing only what is not stored yet.
    ///
    /// # Errors
    /// Those of the source and of the store; then nothing was bound, and what was
    /// written is unnamed.
    pub fn ingest(
        &self,
        base: Location,
        size_bytes: u64,
        source: &mut dyn FnMut() -> Result<Option<Piece>, IngestError>,
    ) -> Result<Ingested, IngestError> {
        self.ingest_in(PoolId::FIRST, base, size_bytes, source)
    }

    /// As [`Self::ingest`], into this pool. What is stored in another one is shared from there.
    ///
    /// # Errors
    /// As [`Self::ingest`].
    pub fn ingest_in(
        &self,
        pool: PoolId,
        base: Location,
        size_bytes: u64,
        source: &mut dyn FnMut() -> Result<Option<Piece>, IngestError>,
    ) -> Result<Ingested, IngestError> {
        ingest::ingest(&self.shared.ingest, pool, base, size_bytes, source)
    }

    /// Teaches the dedup index sealed cold segments; call it in the background
    /// after opening. What it cannot read costs space only. Gives how many it read.
    pub fn learn(&self, sealed_cold: &[SegmentId]) -> u64 {
        ingest::learn(&self.shared.ingest, sealed_cold)
    }

    /// Calls `found` with the sectors where two roots differ, and whether they read
    /// as zeros in `to`.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Store`].
    pub fn diff(
        &self,
        from: Location,
        to: Location,
        range: SectorRange,
        found: &mut dyn FnMut(SectorRange, bool) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let nodes = &self.shared.nodes;
        let layers = |root| -> Result<Vec<Layer>, Error> {
            Ok(nodes.root(root)?.iter().copied().map(Layer::Run).collect())
        };
        map::diff(nodes, &layers(from)?, &layers(to)?, range, &mut |change| {
            found(change.range, change.zero)
        })
    }

    /// What was done since opening, and what is held.
    pub fn counters(&self) -> Counters {
        let shared = &self.shared;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let log = &shared.log.figures;
        let (chunk_hits, chunk_misses, chunk_cache_bytes, damaged_reads) =
            shared.segments.figures();
        let (ingest_bytes, ingest_duplicate_bytes, ingest_stored_bytes) = shared.ingest.figures();
        let dedup = shared.ingest.dedup_figures();
        Counters {
            log_data_bytes: get(&log.data_bytes),
            log_node_bytes: get(&log.node_bytes),
            log_bytes: get(&log.bytes),
            log_batches: get(&log.batches),
            flushes: get(&log.flushes),
            syncs: get(&log.syncs),
            log_segments: get(&log.segments),
            overlay_extents: shared.pressure.extents() as u64,
            checkpoints: get(&shared.checkpoints),
            runs_merged: get(&shared.runs_merged),
            ingest_bytes,
            ingest_duplicate_bytes,
            ingest_stored_bytes,
            dedup_index_entries: dedup.index_entries,
            dedup_index_bytes: dedup.index_bytes,
            dedup_index_refused: dedup.index_refused,
            dedup_list_bytes: dedup.list_bytes,
            dedup_unreadable: dedup.unreadable,
            chunk_hits,
            chunk_misses,
            chunk_cache_bytes,
            node_cache_bytes: shared.nodes.cached_bytes(),
            damaged_reads,
            mended_reads: shared.segments.mended(),
        }
    }

    /// Syncs and seals the log; later writes fail. Checkpoint first, so that the
    /// next start has nothing to replay.
    ///
    /// # Errors
    /// Those of the log. Everything flushed is durable all the same.
    pub fn close(&self) -> Result<(), Error> {
        self.shared.work.stop();
        self.shared.log.close()
    }
}

impl Drop for Engine {
    /// Volumes know the engine, and it knows them: one of both has to let go, or files and
    /// caches of a store that was closed without persisting stay for ever.
    fn drop(&mut self) {
        self.shared.volumes.write().clear();
    }
}

impl State {
    /// A volume as its root says, with nothing above.
    pub(crate) fn of(runs: Arc<[Run]>, root: Location, lsn: Location) -> Self {
        Self {
            overlay: Overlay::default(),
            frozen: Default::default(),
            runs,
            root,
            lsn,
            damaged: None,
            oldest: None,
        }
    }

    /// Extents that the persisted map does not have.
    pub(crate) fn extents(&self) -> usize {
        self.overlay.len() + self.frozen.iter().map(|o| o.len()).sum::<usize>()
    }
}
