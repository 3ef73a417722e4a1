//! The verbs: every use case, from names to durable maps.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use archipelago_env::Env;
use archipelago_model::{
    ContainerName, ImageName, ObjectName, SnapshotName, SnapshotPath, Source, VolumeName,
    VolumeSize,
};

use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::resource::{
    DiffRange, File, Image, Metric, NewImage, Origin, Snapshot, Status, Usage, Volume,
};

/// Settings; what does not fit the machine is for the operator to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Memory for verified chunks, in bytes.
    pub chunk_cache_bytes: u64,
    /// Memory for map nodes, in bytes.
    pub node_cache_bytes: u64,
    /// How old an overlay may get before it is persisted, in ms: bounds the
    /// time that opening takes after a crash.
    pub checkpoint_interval_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chunk_cache_bytes: 64 << 20,
            node_cache_bytes: 32 << 20,
            checkpoint_interval_ms: 60_000,
        }
    }
}

/// An open store. All methods block and may be called from any thread.
pub struct Service {}

fn not_yet<T>() -> Result<T, Error> {
    Err(Error::new(ErrorKind::Internal, "not built yet"))
}

impl Service {
    /// Opens the store in `data`, making it when the folder is missing or empty.
    ///
    /// # Errors
    /// `InUse` when another process has it open; `Invalid` when the folder is
    /// not a store or one of a newer version; `Damaged`. Nothing was touched then.
    pub fn open(_data: &Path, _env: Env, _config: Config) -> Result<Arc<Service>, Error> {
        not_yet()
    }

    /// Persists everything, seals the log and gives up the folder. Idempotent.
    ///
    /// # Errors
    /// What could not be persisted is still in the log, for the next open.
    pub fn close(&self) -> Result<(), Error> {
        not_yet()
    }

    /// Stops as a crash would: nothing more is persisted, the folder is given
    /// up. For crash tests and the simulator.
    pub fn abandon(&self) {}

    /// Makes volumes, all or none.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` (the source), `Invalid` (smaller than the source, too many).
    pub fn volume_create(
        &self,
        _names: &[VolumeName],
        _origin: &Origin,
    ) -> Result<Vec<Volume>, Error> {
        not_yet()
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn volumes(&self) -> Result<Vec<Volume>, Error> {
        not_yet()
    }

    /// One volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume(&self, _name: &VolumeName) -> Result<Volume, Error> {
        not_yet()
    }

    /// Gives a volume another name; open devices stay.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`.
    pub fn volume_rename(&self, _from: &VolumeName, _to: &VolumeName) -> Result<Volume, Error> {
        not_yet()
    }

    /// Grows or shrinks a volume. What is cut off is gone: growing again shows zeros.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when it would shrink and is attached.
    pub fn volume_resize(&self, _name: &VolumeName, _size: VolumeSize) -> Result<Volume, Error> {
        not_yet()
    }

    /// Removes a volume; with `force` its snapshots too. Clones are unaffected.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when it is attached, or has snapshots and not `force`.
    pub fn volume_remove(&self, _name: &VolumeName, _force: bool) -> Result<(), Error> {
        not_yet()
    }

    /// Takes snapshots of several volumes at one moment, all or none.
    ///
    /// # Errors
    /// `NotFound` (a volume), `AlreadyExists`, `Invalid` (too many, the same twice).
    pub fn snapshot_create(&self, _paths: &[SnapshotPath]) -> Result<Vec<Snapshot>, Error> {
        not_yet()
    }

    /// The snapshots of one volume, or of all: by volume, oldest first.
    ///
    /// # Errors
    /// `NotFound` (the volume).
    pub fn snapshots(&self, _volume: Option<&VolumeName>) -> Result<Vec<Snapshot>, Error> {
        not_yet()
    }

    /// One snapshot.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot(&self, _path: &SnapshotPath) -> Result<Snapshot, Error> {
        not_yet()
    }

    /// Removes a snapshot. Clones and open devices are unaffected.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot_remove(&self, _path: &SnapshotPath) -> Result<(), Error> {
        not_yet()
    }

    /// Makes the volume hold what the snapshot holds; what came after is gone,
    /// unless another snapshot has it.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when the volume is attached.
    pub fn snapshot_rollback(&self, _path: &SnapshotPath) -> Result<Volume, Error> {
        not_yet()
    }

    /// The ranges in which `to` differs from `from`, from their maps alone:
    /// ascending, never touching unless `zero` differs. Bytes beyond the end of
    /// `from` count as zeros.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when there are too many ranges to list.
    pub fn diff(&self, _from: &Source, _to: &Source) -> Result<Vec<DiffRange>, Error> {
        not_yet()
    }

    /// Writes a snapshot as a transfer stream: all of it, or the difference
    /// since another snapshot of the volume.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when `out` fails.
    pub fn send(
        &self,
        _path: &SnapshotPath,
        _since: Option<&SnapshotName>,
        _out: &mut dyn Write,
    ) -> Result<(), Error> {
        not_yet()
    }

    /// Makes a snapshot from what [`Self::send`] wrote. A full stream makes the
    /// volume too; a difference needs it to be exactly at the base.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `InUse`, `Invalid` (the stream); nothing is changed then.
    pub fn receive(
        &self,
        _target: &SnapshotPath,
        _input: &mut dyn Read,
    ) -> Result<Snapshot, Error> {
        not_yet()
    }

    /// Makes an image from a full transfer stream of its content.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid` (the stream); nothing is changed then.
    pub fn image_import(&self, _spec: &NewImage, _input: &mut dyn Read) -> Result<Image, Error> {
        not_yet()
    }

    /// All images, by name.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn images(&self) -> Result<Vec<Image>, Error> {
        not_yet()
    }

    /// One image.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn image(&self, _name: &ImageName) -> Result<Image, Error> {
        not_yet()
    }

    /// Removes an image. Clones and open devices are unaffected.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn image_remove(&self, _name: &ImageName) -> Result<(), Error> {
        not_yet()
    }

    /// Makes a file, or replaces it at once, from a full transfer stream.
    ///
    /// # Errors
    /// `Invalid` (the stream, the digest); nothing is changed then.
    pub fn file_put(
        &self,
        _container: &ContainerName,
        _object: &ObjectName,
        _sha256: Option<String>,
        _input: &mut dyn Read,
    ) -> Result<File, Error> {
        not_yet()
    }

    /// The files of one container, or of all: by container and name.
    ///
    /// # Errors
    /// `NotFound` (the container).
    pub fn files(&self, _container: Option<&ContainerName>) -> Result<Vec<File>, Error> {
        not_yet()
    }

    /// One file.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn file(&self, _container: &ContainerName, _object: &ObjectName) -> Result<File, Error> {
        not_yet()
    }

    /// Removes a file. Clones and open devices are unaffected.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn file_remove(
        &self,
        _container: &ContainerName,
        _object: &ObjectName,
    ) -> Result<(), Error> {
        not_yet()
    }

    /// Writes anything as a full transfer stream; a live volume as of now.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when `out` fails.
    pub fn export(&self, _source: &Source, _out: &mut dyn Write) -> Result<(), Error> {
        not_yet()
    }

    /// Opens a device by its NBD export name: `VOL`, `VOL@SNAP`, `image:NAME`
    /// or `file:CONTAINER/OBJECT`. Only a volume can be written.
    ///
    /// # Errors
    /// `NotFound` (also for what is no name at all), `InUse`.
    pub fn open_device(&self, _export: &str) -> Result<Arc<Device>, Error> {
        not_yet()
    }

    /// The export names of everything.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn exports(&self) -> Result<Vec<String>, Error> {
        not_yet()
    }

    /// Where the bytes are.
    ///
    /// # Errors
    /// Maps or the catalog cannot be read.
    pub fn usage(&self) -> Result<Usage, Error> {
        not_yet()
    }

    /// What the service is doing.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// Figures for Prometheus.
    pub fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}
