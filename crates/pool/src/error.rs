//! The one error of the surface: a kind that tells the caller what to do, and
//! a sentence that names the resource and the remedy.

use std::fmt;

/// What to do about an error. Drivers turn it into their own codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    /// The name does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The request makes no sense as it stands; asking again does not help.
    Invalid,
    /// Who asks did not prove who they are. Never says which part was wrong.
    Unauthenticated,
    /// Who asks may see it, and may not do this with it.
    Forbidden,
    /// Too many logins failed; the same request may succeed later.
    Throttled,
    /// The resource is attached, or others depend on it.
    InUse,
    /// The disk is full; goes on by itself once there is room.
    NoSpace,
    /// A container or an account holds what it may; goes on once something of it was removed
    /// or the quota was raised.
    QuotaExceeded,
    /// The resource or the disk is read-only.
    ReadOnly,
    /// A newer holder has taken over: this handle is of no use any more.
    Fenced,
    /// Stored bytes fail their checks.
    Damaged,
    /// Busy, starting or stopping: the same request may succeed later.
    Unavailable,
    /// A defect of ours, or an error of the system.
    Internal,
}

/// Why a request failed. `Display` is the whole sentence for people.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of its own; `message` names the resource and the remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps what caused it, for logs.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says which resource it happened to, in front: `volume 'web': ...`.
    #[must_use]
    pub(crate) fn on(mut self, resource: impl fmt::Display) -> Self {
        self.message = format!("{resource}: {}", self.message);
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// One sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn not_found(resource: impl fmt::Display, listing: &str) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!("{resource} does not exist; `archipelago {listing}` lists those that do"),
        )
    }

    /// Groups are made and listed at Pithos only.
    pub(crate) fn no_group(name: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!(
                "group {name} does not exist; `HEAD` of the account at Pithos lists those that do, \
                 as X-Account-Group-NAME"
            ),
        )
    }

    pub(crate) fn already_exists(resource: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::AlreadyExists,
            format!("{resource} exists already; choose another name or remove it first"),
        )
    }

    /// The one error of every login, token and key that does not count.
    pub fn unauthenticated() -> Self {
        Self::new(
            ErrorKind::Unauthenticated,
            "the user, the password, the key or the token is not valid, or not for this account; \
             log in again",
        )
    }

    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InUse, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What an error of the system means.
pub(crate) fn io_kind(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::NoSpace,
        Io::ReadOnlyFilesystem | Io::PermissionDenied => ErrorKind::ReadOnly,
        _ => ErrorKind::Internal,
    }
}

/// What to do about a segment of the log that has to be read back, cannot be, and has no copy.
pub(crate) const WITHOUT_COPY: &str = "; without a copy, `archipelago rebuild --force --data DIR` \
    opens the store again, and what only that segment held is lost";

impl From<archipelago_engine::Error> for Error {
    fn from(error: archipelago_engine::Error) -> Self {
        use archipelago_engine::Error as Engine;
        let (kind, remedy) = match &error {
            Engine::OutOfRange { .. } | Engine::Unaligned { .. } => (ErrorKind::Invalid, ""),
            Engine::Fenced { .. } => (ErrorKind::Fenced, "; open it again"),
            Engine::Closed => (ErrorKind::Unavailable, "; start the service again"),
            Engine::NoSpace(_) => (
                ErrorKind::NoSpace,
                "; free some space on the disk that holds the data folder, or raise the quota: \
                 writing then goes on",
            ),
            Engine::Damaged { .. } | Engine::MapDamaged { .. } => {
                (ErrorKind::Damaged, "; restore the resource from a copy or a snapshot elsewhere")
            }
            Engine::LogCut { .. } => {
                let what = format!("{error}; put its file back from a copy{WITHOUT_COPY}");
                return Error::new(ErrorKind::Damaged, what).with_source(error);
            }
            Engine::LogDamaged { .. } => (
                ErrorKind::Damaged,
                "; put its file back from a copy; without a copy, move the file out of the pool \
                 and make the catalog anew (`archipelago rebuild --force --data DIR`): what only \
                 that segment held is lost then, and `archipelago check` names what misses it",
            ),
            // The pool is away; the disk of the data folder may have room.
            Engine::LogFull { .. } => (ErrorKind::Unavailable, ""),
            Engine::LogFailed(_) => (ErrorKind::Internal, ""),
            Engine::Ids(source) => (
                source
                    .downcast_ref::<crate::catalog::CatalogError>()
                    .map_or(ErrorKind::Internal, crate::catalog::CatalogError::kind),
                "",
            ),
            Engine::Store(store) => (store_kind(store), ""),
        };
        Error::new(kind, format!("{error}{remedy}")).with_source(error)
    }
}

/// What a pool said, as an error of the surface.
pub(crate) fn store_error(error: archipelago_store::StoreError) -> Error {
    Error::new(store_kind(&error), error.to_string()).with_source(error)
}

/// What an error of a backend means.
pub(crate) fn store_kind(error: &archipelago_store::StoreError) -> ErrorKind {
    use archipelago_store::StoreError as Store;
    match error {
        // Only segments that something names are asked for.
        Store::NotFound { .. } => ErrorKind::Damaged,
        Store::AlreadyExists { .. } => ErrorKind::Internal,
        Store::NoSpace { .. } => ErrorKind::NoSpace,
        Store::ReadOnly { .. } => ErrorKind::ReadOnly,
        Store::Unavailable { .. } => ErrorKind::Unavailable,
        Store::Fenced { .. } => ErrorKind::Fenced,
        Store::Unusable { .. } => ErrorKind::Invalid,
        // Of the pool, not of who asks.
        Store::Denied { .. } => ErrorKind::Internal,
        Store::Io { source, .. } => io_kind(source),
    }
}
