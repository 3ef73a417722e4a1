//! What the verbs take and give: volumes, snapshots, images, files, ranges.

use archipelago_model::{
    ContainerName, Epoch, FileId, ImageId, ImageName, ObjectName, SnapshotId, SnapshotPath, Source,
    VolumeId, VolumeName, VolumeSize,
};

/// What a new volume holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Zeros, of this size.
    Empty(VolumeSize),
    /// What `source` holds now.
    Clone {
        /// Where the content comes from; a live volume is cut at this moment.
        source: Source,
        /// At least the source's size, which it is when `None`; growth reads as zeros.
        size: Option<VolumeSize>,
    },
    /// The bytes of `source` as they are, also where a file of them holds a disk in a format.
    Raw {
        /// As for a clone.
        source: Source,
        /// As for a clone.
        size: Option<VolumeSize>,
    },
}

/// How far the disk in an image file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskState {
    /// The file was recognised just now.
    Found,
    /// Packed parts of it are being unpacked.
    Unpacking,
    /// It can be cloned.
    Ready,
    /// The file is no disk, for this reason: the rest of a sentence that begins with its name.
    Refused(String),
}

/// A file that was recognised as a disk image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskFile {
    /// Where it is.
    pub container: ContainerName,
    /// Its name there.
    pub object: ObjectName,
    /// `qcow2`, `vmdk`, `vhdx` or `vdi`.
    pub format: String,
    /// How far its disk is.
    pub state: DiskState,
    /// Of the disk, in bytes; 0 while it is not known.
    pub size: u64,
    /// Of the file, in bytes.
    pub file_bytes: u64,
    /// When this version of the file was made, in ms since 1970.
    pub created_ms: u64,
}

/// A volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its identity, for ever; a volume made later under the same name has another.
    pub id: VolumeId,
    /// Its label.
    pub name: VolumeName,
    /// What a guest sees.
    pub size: VolumeSize,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
    /// The SOURCE that it was cloned from, as written then; the source may be
    /// gone or renamed since.
    pub parent: Option<String>,
    /// How many devices are open on it.
    pub attached: u32,
    /// The term of its lease; zero before it was first attached.
    pub epoch: Epoch,
    /// How many snapshots it has.
    pub snapshots: u32,
}

/// A snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Its identity in this store.
    pub id: SnapshotId,
    /// Its identity everywhere: what send and receive compare.
    pub uuid: [u8; 16],
    /// `VOL@SNAP`, with the present name of the volume.
    pub path: SnapshotPath,
    /// The volume's size at that moment.
    pub size: VolumeSize,
    /// When it was made or received, in ms since 1970.
    pub created_ms: u64,
}

/// What is known of an image before its content comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewImage {
    /// Its label.
    pub name: ImageName,
    /// The format of the file it came from: `qcow2`, `raw`...
    pub format: String,
    /// A guess at the operating system.
    pub os: Option<String>,
    /// Bytes of the file it came from.
    pub source_bytes: Option<u64>,
    /// SHA-256 of the file it came from: 64 hexadecimal digits. Kept, not checked.
    pub sha256: Option<String>,
}

/// An image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// Its identity.
    pub id: ImageId,
    /// Its label.
    pub name: ImageName,
    /// The format of the file it came from.
    pub format: String,
    /// A guess at the operating system.
    pub os: Option<String>,
    /// What a guest sees.
    pub size: VolumeSize,
    /// Bytes of the file it came from.
    pub source_bytes: Option<u64>,
    /// SHA-256 of the file it came from: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// When it was imported, in ms since 1970.
    pub created_ms: u64,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// The identity of this version of it.
    pub id: FileId,
    /// Where it is.
    pub container: ContainerName,
    /// Its name there.
    pub object: ObjectName,
    /// Bytes, exact.
    pub size: u64,
    /// SHA-256 of the content, as the uploader gave it: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// When it was put, in ms since 1970.
    pub created_ms: u64,
}

/// A range that differs, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiffRange {
    /// Where it begins.
    pub offset: u64,
    /// How long it is, at least 1.
    pub len: u64,
    /// Whether it reads as zeros in the newer one.
    pub zero: bool,
}

/// Where the bytes are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// The sum of the sizes of everything with a name.
    pub logical: u64,
    /// Bytes that some name reaches, each counted once, uncompressed.
    pub unique: u64,
    /// The same, as stored.
    pub compressed: u64,
    /// Bytes that the store takes on its backends, with dead data and overhead.
    pub physical: u64,
    /// By pool.
    pub pools: Vec<PoolUsage>,
    /// By resource, ordered by SOURCE.
    pub resources: Vec<ResourceUsage>,
}

/// The space of one pool, in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolUsage {
    /// Its name.
    pub name: String,
    /// What the store takes there.
    pub physical: u64,
    /// What the backend has in all.
    pub total: u64,
    /// What is free for the store there.
    pub free: u64,
    /// How many segments are there.
    pub segments: u64,
}

/// The space of one resource, in uncompressed bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourceUsage {
    /// What it is.
    pub source: Source,
    /// Its size.
    pub size: u64,
    /// What its map names, holes aside.
    pub referenced: u64,
    /// Of these, what no other resource names.
    pub exclusive: u64,
    /// Of these, what others name too.
    pub shared: u64,
}

/// What the service is doing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// How long the service has been open, in ms.
    pub uptime_ms: u64,
    /// The folder of the store.
    pub data: String,
    /// How many volumes there are.
    pub volumes: u64,
    /// How many snapshots.
    pub snapshots: u64,
    /// How many images.
    pub images: u64,
    /// How many files.
    pub files: u64,
    /// How many devices are open on volumes.
    pub attached: u64,
    /// What is wrong right now and stands until it is mended, as a full disk.
    pub problem: Option<String>,
    /// Figures of the log, overlays and caches, by name; names may change.
    pub figures: Vec<(String, f64)>,
}

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MetricKind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One figure, for Prometheus.
#[derive(Clone, PartialEq, Debug)]
pub struct Metric {
    /// As Prometheus writes it: `archipelago_..._bytes`.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// How it moves.
    pub kind: MetricKind,
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The figure.
    pub value: f64,
}
