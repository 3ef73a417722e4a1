//! What the verbs, the devices and the background share: the engine, the
//! catalog, and the way a checkpoint gets from one into the other.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archipelago_engine::{self as engine, Checkpoint, Engine, SegmentIds, SegmentInfo};
use archipelago_env::Env;
use archipelago_model::{
    AccountId, ContainerName, Location, ObjectName, SegmentId, Source, VolumeId, VolumeSize,
};
use archipelago_store::Store;
use parking_lot::{Mutex, RwLock};

use crate::attachments::Attachments;
use crate::catalog::identity::account;
use crate::catalog::segment::SegmentRow;
use crate::catalog::volume::{HeadMove, VolumeRow};
use crate::catalog::{Catalog, Tx, file, image, lease, segment, snapshot, state, volume};
use crate::error::{Error, ErrorKind};
use crate::identity::Named;
use crate::pools::Pools;
use crate::resource::Volume;
use crate::seal::refuse_map;
use crate::service::{
    Backups, Collected, Collector, Config, Ended, GuestViews, Lanes, Mover, Packs, Tidying, Trust,
};

/// Shared by everything that an open store consists of.
pub(crate) struct Core {
    pub env: Env,
    pub catalog: Arc<Catalog>,
    pub engine: Arc<Engine>,
    /// The backend, for the collector and reports.
    pub store: Arc<dyn Store>,
    /// The pools that it is made of.
    pub pools: Pools,
    /// What moves segments from pool to pool.
    pub mover: Mover,
    pub config: Config,
    /// Whose catalog it is.
    pub store_uuid: [u8; 16],
    /// What the backups have; they are made one at a time.
    pub backups: Mutex<Backups>,
    /// Why the catalog has no new backup, the last time that one was due.
    pub backup_problem: Mutex<Option<String>>,
    pub attachments: Arc<Attachments>,
    /// Who we are in the table of leases.
    pub owner: String,
    /// The background has to end.
    pub stop: AtomicBool,
    /// What is wrong and stands until it is mended.
    pub problem: Mutex<Option<String>>,
    /// What keeps the collector from freeing anything.
    pub collector_problem: Mutex<Option<String>>,
    /// Leases are taken one at a time, so that two devices opened at once share one.
    pub attaching: Mutex<()>,
    /// Held shared from reading a root in the catalog until it is pinned, opened or
    /// bound; the collector takes it for a moment to know that all these are over.
    pub resolving: RwLock<()>,
    /// Updates of objects that wait to be bound.
    pub updates: Lanes,
    /// Small contents that wait to be stored.
    pub packs: Packs,
    /// The disks in image files.
    pub guest_views: GuestViews,
    /// How far hashes of blocks are tidied.
    pub blocks_at: Mutex<Tidying>,
    /// The collector, one at a time.
    pub collector: Mutex<Collector>,
    /// What it did since the store was opened.
    pub collector_totals: Mutex<Collected>,
    /// What was removed since then because it had ended.
    pub lifecycle_totals: Mutex<Ended>,
    /// Whether the clock can be trusted.
    pub trust: Trust,
}

/// A map that never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fixed {
    pub root: Location,
    /// Exact, in bytes.
    pub size: u64,
}

/// A fixed map that stays whole for as long as this lives, whatever becomes of its name.
pub(crate) struct Held {
    pub map: Fixed,
    _pin: engine::Pin,
}

impl Core {
    /// The time, for people and for what is kept.
    pub fn now_ms(&self) -> u64 {
        self.trust.now_ms(&self.env)
    }

    /// The time, for what takes something from somebody when it has ended: [`Trust::ended_ms`].
    pub fn ended_ms(&self) -> u64 {
        self.trust.ended_ms(&self.env)
    }

    /// A new random identity.
    pub fn new_uuid(&self) -> [u8; 16] {
        let mut uuid = [0; 16];
        self.env.random().fill(&mut uuid);
        // Version 4, variant 1, as RFC 9562 wants of random ones.
        uuid[6] = uuid[6] & 0x0f | 0x40;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        uuid
    }

    /// Whether the background has to end.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// A volume as it is shown.
    pub fn shown(&self, row: VolumeRow) -> Volume {
        Volume {
            id: row.id,
            name: row.name,
            size: row.size,
            created_ms: row.created_ms,
            parent: row.parent,
            attached: self.attachments.devices(row.id),
            epoch: row.epoch,
            snapshots: row.snapshots,
        }
    }

    /// The handle for writing a volume; takes the lease the first time.
    pub fn attach(&self, id: VolumeId) -> Result<Arc<engine::Volume>, Error> {
        let _one_at_a_time = self.attaching.lock();
        if let Some(handle) = self.attachments.leased(id) {
            return Ok(handle);
        }
        let mut handles = self.take_leases(&[id])?;
        handles.pop().ok_or_else(|| Error::new(ErrorKind::NotFound, "it was removed just now"))
    }

    /// Takes over the volumes of which recovery found something that the catalog's
    /// roots do not have: with a handle, no verb takes the root for all there is.
    pub fn adopt(&self, recovered: &[Arc<engine::Volume>]) -> Result<(), Error> {
        let ids: Vec<VolumeId> = recovered.iter().map(|volume| volume.id()).collect();
        match self.take_leases(&ids) {
            Ok(_) => Ok(()),
            // A full disk must not keep anybody from reading; the leases are taken
            // when something is written.
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                tracing::warn!(%error, "the leases of recovered volumes are not taken yet");
                recovered.iter().cloned().for_each(|v| self.attachments.set_recovered(v));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Begins new terms, in one transaction, and attaches under them; passes over
    /// what does not exist. Whoever held the leases before is gone: we hold the
    /// lock of the folder.
    fn take_leases(&self, ids: &[VolumeId]) -> Result<Vec<Arc<engine::Volume>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // A term that cannot be used would make void what recovery found under the last one.
        ids.iter().try_for_each(|id| self.engine.check_readable(*id))?;
        let _resolving = self.resolving.read_recursive();
        let rows = self.catalog.write(|tx| -> Result<_, Error> {
            let mut rows = Vec::with_capacity(ids.len());
            for &id in ids {
                if volume::get(tx, id)?.is_some() {
                    lease::take(tx, id, &self.owner, None)?;
                    rows.extend(volume::get(tx, id)?);
                }
            }
            Ok(rows)
        })?;
        rows.iter()
            .map(|row| {
                let handle = self.engine.attach(head_of(row))?;
                self.attachments.set_leased(Arc::clone(&handle));
                Ok(handle)
            })
            .collect()
    }

    /// Persists what `handles` have, at one cut, and runs `also` in the transaction
    /// that moves their heads.
    pub fn checkpoint<T>(
        &self,
        handles: &[Arc<engine::Volume>],
        merge: bool,
        also: impl FnOnce(&Tx<'_>, &Checkpoint) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut result = None;
        self.engine.checkpoint(handles, merge, |done| {
            result = Some(self.catalog.write(|tx| {
                record(tx, done)?;
                also(tx, done)
            })?);
            Ok::<_, Error>(())
        })?;
        result.ok_or_else(|| Error::new(ErrorKind::Internal, "a checkpoint was not committed"))
    }

    /// Cuts a volume off and stores its size, both or neither.
    pub fn shrink(&self, handle: &Arc<engine::Volume>, size: VolumeSize) -> Result<(), Error> {
        self.engine.shrink(handle, size, |done| {
            self.catalog.write(|tx| {
                record(tx, done)?;
                Ok::<_, Error>(volume::set_size(tx, handle.id(), size)?)
            })
        })?;
        Ok(())
    }

    /// Looks a map up and holds it.
    pub fn held(&self, find: impl FnOnce() -> Result<Fixed, Error>) -> Result<Held, Error> {
        let _resolving = self.resolving.read_recursive();
        let map = find()?;
        Ok(Held { map, _pin: self.engine.pin(map.root) })
    }

    /// A fixed map of anything. A live volume is persisted first.
    pub fn fixed(&self, source: &Source) -> Result<Held, Error> {
        self.held(|| self.find_fixed(source))
    }

    fn find_fixed(&self, source: &Source) -> Result<Fixed, Error> {
        if let Source::Volume(name) = source {
            let row = self.catalog.read(|tx| volume_row(tx, name))?;
            if let Some(handle) = self.attachments.handle(row.id) {
                let id = row.id;
                return self
                    .checkpoint(&[handle], false, |_, done| cut_of(done, id))
                    .map_err(|error| error.on(shown(source)));
            }
        }
        self.catalog.read(|tx| catalog_root(tx, source, self.now_ms()))
    }
}

/// What the engine has to know of a volume.
pub(crate) fn head_of(row: &VolumeRow) -> engine::Head {
    engine::Head { volume: row.id, epoch: row.epoch, size: row.size, root: row.root, lsn: row.lsn }
}

/// The map that a checkpoint made of a volume.
pub(crate) fn cut_of(done: &Checkpoint, id: VolumeId) -> Result<Fixed, Error> {
    done.cuts
        .iter()
        .find(|cut| cut.volume == id)
        .map(|cut| Fixed { root: *cut.root.get(), size: cut.size.bytes() })
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a checkpoint left out a volume"))
}

/// Moves the heads, and notes what else a checkpoint made durable.
pub(crate) fn record(tx: &Tx<'_>, done: &Checkpoint) -> Result<(), Error> {
    for cut in &done.cuts {
        volume::move_head(
            tx,
            &HeadMove { volume: cut.volume, epoch: cut.epoch, root: *cut.root.get(), lsn: cut.lsn },
        )?;
    }
    state::raise_log_floor(tx, done.log_floor)?;
    record_segments(tx, &done.sealed())
}

/// Notes sealed segments.
pub(crate) fn record_segments(tx: &Tx<'_>, sealed: &[SegmentInfo]) -> Result<(), Error> {
    for info in sealed {
        let row = SegmentRow {
            id: info.id,
            pool: info.pool,
            kind: match info.kind {
                engine::SegmentKind::Hot => segment::Kind::Hot,
                engine::SegmentKind::Cold => segment::Kind::Cold,
                engine::SegmentKind::Backup => segment::Kind::Backup,
            },
            stored_bytes: info.stored_bytes,
            raw_bytes: info.raw_bytes,
        };
        segment::sealed(tx, &row)?;
    }
    Ok(())
}

/// The map that the catalog has of anything; of a volume that is open, it may
/// lack the newest writes.
pub(crate) fn catalog_root(tx: &Tx<'_>, source: &Source, now_ms: u64) -> Result<Fixed, Error> {
    Ok(match source {
        Source::Volume(name) => {
            let row = volume_row(tx, name)?;
            Fixed { root: row.root, size: row.size.bytes() }
        }
        Source::Snapshot(path) => {
            let row = snapshot_row(tx, path)?;
            Fixed { root: row.root, size: row.size.bytes() }
        }
        Source::Image(name) => {
            let row = image::find(tx, name)?
                .ok_or_else(|| Error::not_found(shown(source), "image ls"))?;
            Fixed { root: row.root, size: row.image.size.bytes() }
        }
        Source::File(container, object) => {
            file_root(tx, source, OPERATOR, (container, object), now_ms)?
        }
        Source::FileOf(owner, container, object) => {
            let owner = account::find(tx, &Named::name(owner))?.ok_or_else(|| no_file(source))?;
            file_root(tx, source, owner.id, (container, object), now_ms)?
        }
    })
}

fn file_root(
    tx: &Tx<'_>,
    source: &Source,
    owner: AccountId,
    (container, object): (&ContainerName, &ObjectName),
    now_ms: u64,
) -> Result<Fixed, Error> {
    let row = file::find(tx, owner, container, object, now_ms)?.ok_or_else(|| no_file(source))?;
    refuse_map(row.seal.as_ref()).map_err(|error| error.on(shown(source)))?;
    Ok(Fixed { root: row.root, size: row.file.size })
}

fn no_file(source: &Source) -> Error {
    Error::not_found(shown(source), "file ls")
}

/// A volume that has to be there.
pub(crate) fn volume_row(
    tx: &Tx<'_>,
    name: &archipelago_model::VolumeName,
) -> Result<VolumeRow, Error> {
    volume::find(tx, name)?
        .ok_or_else(|| Error::not_found(format_args!("volume '{name}'"), "volume ls"))
}

/// A snapshot that has to be there.
pub(crate) fn snapshot_row(
    tx: &Tx<'_>,
    path: &archipelago_model::SnapshotPath,
) -> Result<snapshot::SnapshotRow, Error> {
    match snapshot::find(tx, &path.volume, &path.snapshot)? {
        Some(row) => Ok(row),
        None => {
            volume_row(tx, &path.volume)?;
            let listing = format!("snapshot ls {}", path.volume);
            Err(Error::not_found(format_args!("snapshot '{path}'"), &listing))
        }
    }
}

/// How messages name it: `volume 'web'`.
pub(crate) fn shown(source: &Source) -> String {
    match source {
        Source::Image(name) => format!("image '{name}'"),
        Source::Volume(name) => format!("volume '{name}'"),
        Source::Snapshot(path) => format!("snapshot '{path}'"),
        Source::File(container, object) => {
            format!("file '{container}/{}'", object.as_str().escape_debug())
        }
        Source::FileOf(account, container, object) => {
            format!("file '/{account}/{container}/{}'", object.as_str().escape_debug())
        }
    }
}

/// Gives segment ids out of the catalog, a step at a time.
pub(crate) struct CatalogIds {
    catalog: Arc<Catalog>,
    /// Taken from the catalog and not given yet.
    left: Mutex<Range<u64>>,
}

/// Ids are taken from the catalog so many at a time, so that few requests wait for
/// a transaction; a crash wastes at most these of the 2^40 there are.
const IDS_STEP: u64 = 64;

impl CatalogIds {
    /// Over this catalog.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, left: Mutex::new(0..0) }
    }
}

impl SegmentIds for CatalogIds {
    fn reserve(&self, count: u64) -> Result<Range<u64>, Box<dyn std::error::Error + Send + Sync>> {
        let mut left = self.left.lock();
        if left.end - left.start < count {
            *left =
                self.catalog.write_aside(|tx| state::take_segment_ids(tx, count.max(IDS_STEP)))?;
        }
        let given = left.start..left.start + count;
        left.start = given.end;
        Ok(given)
    }
}

/// Whose the files of the command line are: the first account.
pub(crate) const OPERATOR: AccountId = AccountId::new(0);

/// A floor for what the pool itself lists.
pub(crate) const FIRST_SEGMENT: SegmentId = SegmentId::MIN;
