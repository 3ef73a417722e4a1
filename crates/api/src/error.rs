//! What the body of every unsuccessful answer is.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request failed, for people and for programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Error {
    /// The class, for programs.
    pub kind: ErrorKind,
    /// One sentence for people: what happened, to which resource, and what to do next.
    #[schema(example = "volume 'web' does not exist; `archipelago volume ls` lists those that do")]
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The class of an error. The HTTP status follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// What the request names does not exist, or the route does not (404).
    NotFound,
    /// The method does not exist for this route (405).
    MethodNotAllowed,
    /// The name is taken (409).
    AlreadyExists,
    /// The request makes no sense as it stands (400).
    Invalid,
    /// The request body is over a limit (413).
    TooLarge,
    /// The request came from a place which may not call this API (403).
    Forbidden,
    /// Who asks did not prove who they are (401).
    Unauthenticated,
    /// Too many logins failed; try again later (429).
    Throttled,
    /// The resource is attached, or others depend on it (409).
    InUse,
    /// The pool is full (507).
    NoSpace,
    /// A container or an account holds what it may (413).
    QuotaExceeded,
    /// The resource or the store is read-only (403).
    ReadOnly,
    /// Another holder has taken over the lease (409).
    Fenced,
    /// Stored bytes fail verification (500).
    Damaged,
    /// The service is busy, starting or stopping; try again (503).
    Unavailable,
    /// A defect of the server, or an error of the disk (500).
    Internal,
}
