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
    /// Files that are disk images, by container and name: sources of volumes, too.
    #[serde(default)]
    pub recognised: Vec<ImageFile>,
}

/// A file that is a disk image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageFile {
    /// The SOURCE that it is.
    #[schema(example = "file:images/debian.qcow2")]
    pub source: String,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// When this version of the file was made, in ms since the epoch.
    pub created_ms: u64,
    /// What it holds.
    pub disk: Disk,
}

/// The disk that a file holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// `qcow2`, `vmdk`, `vhdx` or `vdi`.
    #[schema(example = "qcow2")]
    pub format: String,
    /// Bytes that a guest sees, once that is known.
    pub size: Option<u64>,
    /// `ready`: it can be cloned at once. `found` and `unpacking`: soon. `refused`: it cannot.
    #[schema(example = "ready")]
    pub state: String,
    /// Why it is refused: the rest of a sentence that begins with the name of the file.
    pub reason: Option<String>,
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
