//! Types of the local HTTP API (`/v1`), shared by the server (`gateway`) and
//! its clients (`cli`).
//!
//! All sizes are bytes, all times are milliseconds since 1970-01-01 UTC. Names
//! and SOURCEs are plain strings here; the server checks them with `model`.
//! Bulk data travels as the *transfer stream* of crate `format`
//! ([`STREAM_CONTENT_TYPE`]), everything else as JSON. Every answer carries the
//! header [`VERSION_HEADER`]. Every error has an [`Error`] as its body.
//!
//! Compatibility: fields may be added within `/v1`; a client ignores those that
//! it does not know. Request bodies are strict: an unknown field is an error.

pub mod collection;
mod container;
mod delta;
pub mod error;
pub mod file;
pub mod image;
mod link;
pub mod path;
mod pool;
pub mod report;
mod share;
pub mod snapshot;
mod ticket;
pub mod trust;
pub mod user;
pub mod volume;

pub use collection::{Collect, Collected, Rebuilt};
pub use container::{Container, ContainerQuery, Containers, ForkContainer, SetContainerQuota};
pub use delta::{
    BLOCK_HASH_BYTES, ComposeQuery, ComposedFile, FILE_HASH_HEADER, FILE_SIZE_HEADER,
    FILE_VERSION_HEADER, GRAIN_HASH_BYTES, HASHED_AT_ONCE_MAX, HASHED_BLOCK_BYTES,
    HASHED_FILE_BYTES_MAX, HashGrains, RANGES_MAX, SHORT_HASH_BYTES, StoredBlocks,
};
pub use error::{Error, ErrorKind};
pub use file::{File, FileQuery, Files, PutQuery, RemoveFileQuery, UpdateQuery, UpdatedFile};
pub use image::{Disk, Image, ImageFile, Images, ImportQuery};
pub use link::{AuditLog, AuditQuery, AuditRow, CreateLink, LIFETIME_MS_MAX, Link, Links};
pub use pool::{
    AddPool, DrainPool, LosePool, MirrorPool, Placement, Pool, Pools, SetPlacement, StoredIn,
};
pub use report::{Health, PoolUsage, ResourceUsage, Status, Usage};
pub use share::{CreateShare, EndShareQuery, Share, ShareQuery, ShareWith, Shares};
pub use snapshot::{
    CreateSnapshots, Diff, DiffQuery, DiffRange, ReceiveQuery, SendQuery, Snapshot, SnapshotQuery,
    Snapshots,
};
pub use ticket::{CreateTicket, Ticket};
pub use trust::{Check, Damage, Finding, Scrub, StartScrub, Stretch, Touch};
pub use user::{
    Account, Accounts, CreateAccount, CreateKey, CreateUser, Hidden, Join, Key, Keys, Membership,
    SetEnabled, SetPassword, SetQuota, User, Users,
};
pub use volume::{
    CreateVolumes, DiskQuery, ExportQuery, RemoveQuery, RenameVolume, ResizeVolume, Volume, Volumes,
};

/// The version of the API, as in the path prefix `/v1`.
pub const VERSION: u32 = 1;

/// The response header that carries [`VERSION`].
pub const VERSION_HEADER: &str = "archipelago-api-version";

/// The content type of a transfer stream, in either direction.
pub const STREAM_CONTENT_TYPE: &str = "application/vnd.archipelago.stream";

/// The address that the server listens on and the client calls by default.
pub const DEFAULT_HTTP_ADDRESS: &str = "127.0.0.1:7480";

/// The endpoint that a client uses when none is given.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7480";

/// A JSON request body is at most this many bytes: 10 000 names of 128 bytes
/// fit twice.
pub const JSON_BYTES_MAX: usize = 4 << 20;

/// At most this many volumes or snapshots are made by one request, so that the
/// one transaction which makes them stays short.
pub const BATCH_ITEMS_MAX: usize = 10_000;

#[cfg(test)]
mod tests;
