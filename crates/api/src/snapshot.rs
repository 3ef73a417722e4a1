//! Snapshots, and the differences between them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Its identity in this store.
    pub id: u64,
    /// Its identity in every store that received it: 32 hexadecimal digits.
    #[schema(example = "0f0e0d0c0b0a09080706050403020100")]
    pub uuid: String,
    /// The volume it was taken of.
    #[schema(example = "web")]
    pub volume: String,
    /// Its name within that volume.
    #[schema(example = "before")]
    pub name: String,
    /// Bytes, as the volume had then.
    pub size: u64,
    /// When it was taken, in ms since the epoch.
    pub created_ms: u64,
}

/// Snapshots, by volume and age.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Snapshots {
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
}

/// Takes snapshots of several volumes at one cut, all or none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshots {
    /// `VOL@SNAP` each, at most [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX).
    #[schema(example = json!(["web@before", "db@before"]))]
    pub members: Vec<String>,
}

/// Which snapshots to list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SnapshotQuery {
    /// Only those of this volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
}

/// How to send a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SendQuery {
    /// Only what changed since this older snapshot of the same volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Where to put a received snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReceiveQuery {
    /// `VOL@SNAP`. A full stream makes the volume; an incremental one needs it
    /// to be exactly at the base of the stream.
    #[param(example = "web@before")]
    pub target: String,
}

/// What to compare.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The older SOURCE.
    #[param(example = "snapshot:web@before")]
    pub from: String,
    /// The newer SOURCE.
    #[param(example = "volume:web")]
    pub to: String,
}

/// Where two SOURCEs may differ, from their maps alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Diff {
    /// Ascending and disjoint.
    pub ranges: Vec<DiffRange>,
    /// The sum of the lengths, in bytes.
    pub changed: u64,
}

/// A range of bytes that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffRange {
    /// The first byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Whether the newer one reads as zeros here and stores nothing.
    pub zero: bool,
}
