//! Reports: space, status, health.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the bytes are (`archipelago df`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The sum of the sizes of everything with a name.
    pub logical: u64,
    /// Bytes that some name reaches, each counted once, uncompressed.
    pub unique: u64,
    /// The same, as stored (after compression).
    pub compressed: u64,
    /// Bytes that the store takes on its backends, with dead data and overhead.
    pub physical: u64,
    /// By pool.
    pub pools: Vec<PoolUsage>,
    /// By resource, ordered by SOURCE.
    pub resources: Vec<ResourceUsage>,
}

/// The space of one pool.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PoolUsage {
    /// Its name.
    #[schema(example = "default")]
    pub name: String,
    /// Bytes that the store takes there.
    pub physical: u64,
    /// Bytes that the backend has in all.
    pub total: u64,
    /// Bytes that are free for the store there.
    pub free: u64,
    /// Segments there.
    pub segments: u64,
}

/// The space of one resource, in uncompressed bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ResourceUsage {
    /// What it is, as a SOURCE.
    #[schema(example = "volume:web")]
    pub source: String,
    /// Its size.
    pub size: u64,
    /// Bytes that its map names, holes aside.
    pub referenced: u64,
    /// Of these, what no other resource names: freed when it is removed.
    pub exclusive: u64,
    /// Of these, what others name too.
    pub shared: u64,
}

/// What the service is doing (`archipelago status`).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Version of this API.
    pub api_version: u32,
    /// How long the service has been running, in ms.
    pub uptime_ms: u64,
    /// The folder of the store, on the server.
    pub data: String,
    /// How many volumes there are.
    pub volumes: u64,
    /// How many snapshots.
    pub snapshots: u64,
    /// How many images.
    pub images: u64,
    /// How many files.
    pub files: u64,
    /// How many devices are open now.
    pub attached: u64,
    /// What is wrong right now and stands until it is mended, as a full disk.
    pub problem: Option<String>,
    /// Figures of the log, overlays and caches, by name; names may change.
    pub figures: BTreeMap<String, f64>,
}

/// Whether the service works.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `degraded` while `problem` says why.
    #[schema(example = "ok")]
    pub status: String,
    /// What is wrong right now and stands until it is mended, as a full disk.
    pub problem: Option<String>,
    /// Version of the API.
    pub api_version: u32,
}
