//! Names to durable maps: catalog, leases, and the use cases as verbs.
//!
//! [`Service`] is the whole surface: gateway and drivers call it and know
//! nothing of what is below. A *bind* makes a name point at a durable root; it
//! is always one transaction of the catalog, and only the engine can make the
//! durable roots that it takes.

mod attachments;
mod audit;
mod catalog;
mod core;
mod device;
mod error;
mod folder;
mod grant;
mod hold;
mod identity;
mod lifecycle;
mod lock;
mod near;
mod object;
mod outgoing;
mod place;
mod pools;
mod resource;
mod seal;
mod service;
#[cfg(test)]
mod testing;

pub use archipelago_store::CACHE_BYTES_MIN;
pub use audit::{AuditEntry, AuditEvent};
pub use device::{ChangedRange, Device, StatusRange, Write};
pub use error::{Error, ErrorKind};
pub use grant::{
    Action, Decision, Grant, Grantee, Layer, Publish, Reason, Right, Rules, Share, Shared, Subject,
    decide,
};
pub use identity::{
    AccessKey, Account, ApplicationCredential, FirstAdmin, Group, Hmac, Identity, Login, Member,
    Named, NewUser, Role, RoleError, Secret, Session, User,
};
pub use lifecycle::{Ending, Expiration, Filter, Noncurrent, RULES_MAX, Rule};
pub use lock::{DefaultLock, HELD, LOCK_HOLD, LOCK_MODE, LOCK_UNTIL};
pub use object::{
    ARCHIVE_HISTORY, ARCHIVE_STACK, ARCHIVED_MARKER_TYPE, Archive, Container, DELETE_AT, Listing,
    Meta, OWNER_ENFORCED, OWNERSHIP, Object, PAGE_BYTES_MAX, Page, Part, Step, Totals, Upload,
    Versioning, Walk, Walked, Which,
};
pub use resource::{
    DiffRange, DiskFile, DiskState, File, Image, Metric, MetricKind, NewImage, Origin, PoolUsage,
    ResourceUsage, Snapshot, Status, Usage, Volume,
};
pub use seal::{ClientKey, DefaultSeal, KEY_BYTES, KEY_NAME_BYTES_MAX, Seal, SealedBy, Sealing};
pub use service::{
    Admitted, BLOCK_WAIT_MS, BlockHash, BlockHashError, ChangeGrants, Check, Collected, Collection,
    Compose, Composed, Config, Content, CopyKeys, CopyOwner, CopySource, CopyTarget, Damage,
    Damages, Decide, DeltaPut, DiskFormat, DiskView, Ended, FILES_AT_ONCE_MAX, FORK_OBJECTS_MAX,
    FileCompose, FileComposed, FileRange, FileVersion, Finding, FindingKind, FinishPart,
    FinishUpload, GRAIN_HASH_BYTES, GRANTS_MAX, HASHED_AT_ONCE_BYTES_MAX, HASHED_BLOCK_BYTES,
    HASHED_BLOCKS_MAX, HashList, HostCacheConfig, LINKS_MAX, Moved, NAMES_MAX, NameGrants,
    PARTS_MAX, POOLS_MAX, PartKeys, PartSums, Place, Placement, Pool, PoolRates, PoolState,
    PublicLink, Put, Rebuilt, Removed, Roots, SNAPSHOTS_MAX, ScrubOptions, ScrubState, Service,
    Severity, Stored, TICKET_MARK, TICKET_MS_MAX, Ticket, Touch, Update, UpdateContent, Updated,
    UpdatedFile, UploadAt,
};
