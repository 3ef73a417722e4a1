//! Images: fixed maps with boot metadata.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its identity.
    pub id: u64,
    /// Its name.
    #[schema(example = "debian-12")]
    pub name: String,
    /// The format of the file it came from: `raw`, `qcow2`, `vmdk`, `vdi`, `vhdx`.
    #[schema(example = "qcow2")]
    pub format: String,
    /// A guess at the operating system.
    pub os: Option<String>,
    /// Bytes of the disk that a guest sees.
    pub size: u64,
    /// Bytes of the file it came from.
    pub source_bytes: Option<u64>,
    /// SHA-256 of the file it came from: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// When it was imported, in ms since the epoch.
    pub created_ms: u64,
}

/// All images, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Images {
    /// The images.
    pub images: Vec<Image>,
}

/// What is known about an image that is being imported.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The format of the file it comes from.
    #[param(example = "qcow2")]
    pub format: String,
    /// A guess at the operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Bytes of the file it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<u64>,
    /// SHA-256 of the file it comes from: 64 hexadecimal digits. Kept, not
    /// checked: the server sees the decoded disk, not that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}
