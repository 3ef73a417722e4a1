//! What can go wrong in the catalog, and what it means at the surface.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::postgres::PostgresError;
use super::sqlite::SqliteError;
use crate::error::{Error as PoolError, ErrorKind};

/// Why the catalog did not do it; nothing was changed.
#[derive(Debug, Error)]
pub(crate) enum CatalogError {
    /// SQLite refused.
    #[error("the catalog failed: {0}")]
    Sqlite(#[source] SqliteError),
    /// PostgreSQL did, or is away.
    #[error("the catalog: {0}")]
    Postgres(#[from] PostgresError),
    /// The commit that it shared with others failed.
    #[error("{0}")]
    Commit(#[source] Arc<CatalogError>),
    /// What others did in the commit that it shared failed so that the database took all of it
    /// back.
    #[error("the catalog took it back, since what others did at the same time failed")]
    TakenBack,
    /// A value has no text.
    #[error("the catalog cannot keep it: {0}")]
    Json(serde_json::Error),
    /// The service was closed.
    #[error("the store is closed; start the service again")]
    Closed,
    /// The file itself is out of reach.
    #[error("cannot reach the catalog {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A row holds what no writer puts there.
    #[error("the catalog is damaged: column {column} of a row of table {table}: {what}")]
    Row {
        /// The table.
        table: &'static str,
        /// The column, counted from 0 in the query.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// A row that must be there is not.
    #[error("the catalog is damaged: table {0} lacks its row")]
    RowMissing(&'static str),
    /// The file is a database, but none of ours.
    #[error(
        "the database of the catalog is none of Archipelago: it has tables but no schema_version"
    )]
    NotCatalog,
    /// The schema is from the future.
    #[error(
        "the catalog has schema version {got}; this program knows up to {known}: \
         use a newer archipelago"
    )]
    Newer {
        /// What was found.
        got: u32,
        /// The newest known.
        known: u32,
    },
    /// The catalog belongs to another store.
    #[error(
        "the catalog belongs to store {}, the folder to store {}: they were mixed up",
        hex::encode(got),
        hex::encode(expected)
    )]
    Foreign {
        /// In the catalog.
        got: [u8; 16],
        /// In `STORE`.
        expected: [u8; 16],
    },
    /// A dump cannot be written.
    #[error("the catalog cannot be dumped: {0}")]
    Dump(#[source] std::io::Error),
    /// A dump cannot be read.
    #[error("the dump of a catalog cannot be read: {0}")]
    NoDump(#[from] archipelago_format::backup::BackupError),
    /// A dump has a table or column that no schema of ours has.
    #[error("the dump has a table '{}' that this program does not know", .0.escape_debug())]
    ForeignDump(String),
    /// 2^40 segments.
    #[error("there are no segment ids left")]
    SegmentIds,
    /// A bind names a segment that is going away.
    #[error("segment {0} is being removed; send the data again")]
    Condemned(archipelago_model::SegmentId),
    /// A newer term of the lease exists, or the volume is gone.
    #[error("volume {volume}: the lease of epoch {epoch} is over")]
    Fenced {
        /// Whose lease.
        volume: archipelago_model::VolumeId,
        /// The term that is over.
        epoch: archipelago_model::Epoch,
    },
    /// More than a container or an account may hold.
    #[error("{0}")]
    Quota(Box<super::quota::Exceeded>),
    /// A container keeps what is replaced where it cannot. It is the one that is written to.
    #[error(
        "what is replaced in container '{}' cannot be kept: the one that is to have it does not \
         exist, keeps versions itself, is that of snapshots or has something of that name; make it, or let '{}' keep \
         nothing",
        .0.escape_debug(),
        .0.escape_debug()
    )]
    Archive(String),
    /// An archive has so much of others that one's own cannot be found in time.
    #[error(
        "too much of other containers is kept under the name of object '{}' to find what was \
         before it: let each container keep what is replaced in one of its own",
        .0.escape_debug()
    )]
    ArchiveShared(String),
    /// A version cannot be moved away from others of its name.
    #[error("object '{}' has several versions; remove the others first", .0.escape_debug())]
    Versions(String),
    /// The name of what is replaced leaves no room for when that was.
    #[error("object '{}' cannot be kept: its name is too long for that", .0.escape_debug())]
    ArchivedName(String),
    /// A file is a snapshot, which no door of files changes.
    #[error(
        "'snapshots/{0}' is a snapshot, which cannot be changed; copy it, or \
         `archipelago snapshot rm {0}` to remove it"
    )]
    OfSnapshot(String),
    /// The container of the files of snapshots takes nothing else.
    #[error(
        "container 'snapshots' of the first account is the store's own: only snapshots are in it, \
         as `archipelago snapshot create` and `archipelago snapshot rm` make and remove them; \
         choose another container"
    )]
    ForSnapshots,
    /// 2^32 terms.
    #[error("volume {0} was attached too often; clone it and go on with the clone")]
    Epochs(archipelago_model::VolumeId),
}

impl CatalogError {
    /// Whether a row was to go that another row refers to.
    pub fn is_reference(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.is_reference(),
            Self::Postgres(error) => error.is_reference(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Sqlite(error) => error.kind(),
            Self::Postgres(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::File { source, .. } => crate::error::io_kind(source),
            Self::Row { .. } | Self::RowMissing(_) | Self::NotCatalog | Self::Foreign { .. } => {
                ErrorKind::Damaged
            }
            Self::Archive(_) | Self::ArchiveShared(_) | Self::Versions(_) => ErrorKind::InUse,
            Self::Newer { .. } | Self::Epochs(_) | Self::ArchivedName(_) => ErrorKind::Invalid,
            Self::Dump(_) | Self::Json(_) => ErrorKind::Internal,
            Self::NoDump(_) | Self::ForeignDump(_) => ErrorKind::Damaged,
            Self::SegmentIds => ErrorKind::NoSpace,
            Self::Condemned(_) | Self::Closed | Self::TakenBack => ErrorKind::Unavailable,
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::OfSnapshot(_) | Self::ForSnapshots => ErrorKind::ReadOnly,
            Self::Quota(_) => ErrorKind::QuotaExceeded,
        }
    }

    /// Whether the database is one that is not in the data folder.
    fn is_elsewhere(&self) -> bool {
        match self {
            Self::Postgres(_) => true,
            Self::Commit(error) => error.is_elsewhere(),
            _ => false,
        }
    }
}

impl From<CatalogError> for PoolError {
    fn from(error: CatalogError) -> Self {
        let kind = error.kind();
        let remedy = match kind {
            ErrorKind::NoSpace if error.is_elsewhere() => {
                "; free some space on the disk of the catalog's server"
            }
            // It says what to do itself.
            _ if error.is_elsewhere() => "",
            ErrorKind::NoSpace => "; free some space on the disk that holds the data folder",
            ErrorKind::ReadOnly
                if !matches!(error, CatalogError::OfSnapshot(_) | CatalogError::ForSnapshots) =>
            {
                "; make the data folder writable"
            }
            ErrorKind::Unavailable if !matches!(error, CatalogError::Closed) => "; try again",
            _ => "",
        };
        PoolError::new(kind, format!("{error}{remedy}")).with_source(error)
    }
}
