//! Volumes.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    /// Its identity for its whole life; never used again.
    pub id: u64,
    /// Its name, which is also its NBD export name.
    #[schema(example = "web")]
    pub name: String,
    /// Bytes that a guest sees.
    #[schema(example = 42949672960_u64)]
    pub size: u64,
    /// When it was made, in ms since the epoch.
    pub created_ms: u64,
    /// The SOURCE it was cloned from, as named at that time.
    #[schema(example = "image:debian-12")]
    pub parent: Option<String>,
    /// How many clients have it open now; null, as the next two, for whoever sees it only
    /// because it is shared.
    pub attached: Option<u32>,
    /// The term of its lease: grows with each attachment for writing.
    pub epoch: Option<u32>,
    /// How many snapshots it has.
    pub snapshots: Option<u32>,
}

/// All volumes, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Volumes {
    /// The volumes.
    pub volumes: Vec<Volume>,
}

/// Makes volumes, all or none: empty ones of `size`, or clones of `from`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVolumes {
    /// The names, at most [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX).
    #[schema(example = json!(["web"]))]
    pub names: Vec<String>,
    /// The SOURCE to clone; without it the volumes are empty and `size` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "image:debian-12")]
    pub from: Option<String>,
    /// Bytes; at least the size of the source. Without it, the size of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// A file is cloned as its bytes are, also where they are a disk image: without it, what
    /// its guest sees.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
}

/// Gives a volume another name. Its id and its snapshots stay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameVolume {
    /// The new name.
    pub to: String,
}

/// Changes the size of a volume. Growth reads as zeros.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizeVolume {
    /// The new size in bytes.
    pub size: u64,
}

/// How to remove a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveQuery {
    /// Also when it is attached or has snapshots; these go with it.
    #[serde(default)]
    pub force: bool,
}

/// What to export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// The SOURCE whose bytes to stream.
    #[param(example = "volume:web")]
    pub source: String,
    /// Of a file that is a disk image, what its guest sees, and not its bytes.
    #[serde(default)]
    pub disk: bool,
    /// Of a file: this version, and no other that has taken its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Of a file: these ranges only, `0-4096,8192-12288`: the first byte and the one behind the
    /// last, in order, whole blocks of 4096 bytes but at the end; 1024 at most. The stream says
    /// nothing of the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<String>,
}

/// Which disk to show as a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiskQuery {
    /// The SOURCE that it is, or, as an image file, holds.
    #[param(example = "volume:web")]
    pub source: String,
    /// `raw`, as if nothing is said, or `qcow2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}
