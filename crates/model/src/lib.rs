//! The words of Archipelago as types: identifiers, names, sizes, extents.
//!
//! Values only: nothing here reads a clock, a file or a socket, so that every
//! layer above may share these types. `docs/GLOSSARY.md` gives each word its
//! one meaning.

pub mod extent;
pub mod id;
pub mod name;
pub mod size;
pub mod source;

pub use extent::{Extent, Location, SectorRange};
pub use id::{AccountId, Epoch, FileId, ImageId, PoolId, SegmentId, SnapshotId, UserId, VolumeId};
pub use name::{
    AccountName, ContainerName, CredentialName, GroupName, ImageName, NameError, ObjectName,
    PoolName, SnapshotName, UserName, VolumeName,
};
pub use size::{BLOCK_BYTES, SECTOR_BYTES, SizeError, VOLUME_BYTES_MAX, VolumeSize};
pub use source::{SnapshotPath, Source, SourceError};
