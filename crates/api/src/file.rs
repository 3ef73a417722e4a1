//! Files: objects in containers.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// The identity of this version.
    pub id: u64,
    /// Its container.
    #[schema(example = "images")]
    pub container: String,
    /// Its name there; slashes are part of it.
    #[schema(example = "debian/12.qcow2")]
    pub object: String,
    /// Bytes, exact.
    pub size: u64,
    /// SHA-256 of the content, when the uploader gave it: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// When this version was made, in ms since the epoch.
    pub created_ms: u64,
    /// The disk that it holds, where it is a disk image. Not told in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<crate::Disk>,
}

/// Files, by container and name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Files {
    /// The files.
    pub files: Vec<File>,
    /// There are more: they are behind this one, which the next page has as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which files to list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// Only those of this container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Only those whose name begins with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only those behind this one, `CONTAINER/OBJECT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// A page of so many at most, and no more than 10 000. Without, all of them come at once,
    /// and more than 100 000 are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Which version of a file is removed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveFileQuery {
    /// Only if this is still the newest version. Without, whatever is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// How a file is changed by the bytes that come: written over from an offset on, or appended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UpdateQuery {
    /// Where the bytes go, at most where the file ends; without, to the end, wherever that is
    /// when their turn comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How long the file is afterwards: what is beyond is cut off, what is missing is zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A file that was updated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpdatedFile {
    /// The version that the update made. There may be a newer one by now.
    pub file: File,
    /// Where in the file the bytes went.
    pub offset: u64,
}

/// What is known about a file that is being put.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PutQuery {
    /// SHA-256 of the content, kept with the file: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The stream is a difference to this version, of any file of the account, and its `base` is
    /// the same number, the greatest byte first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Of a difference: the hash of all blocks of the whole file, as `/v1/blocks` tells it, which
    /// is refused where what is stored in the end has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}
