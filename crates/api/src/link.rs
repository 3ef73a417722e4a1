//! Public links to files, and the record of sharing.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A public link: whoever has it may read the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Its path on this service; it is all that has to be known.
    #[schema(example = "/public/q3x5.../report.pdf")]
    pub path: String,
    /// Who made it.
    pub by: String,
    /// When it was made, in ms since the epoch.
    pub created_ms: u64,
    /// When it ends, in ms since the epoch; null for when it is ended.
    pub expires_ms: Option<u64>,
}

/// Public links of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// The oldest first.
    pub links: Vec<Link>,
}

/// Links and shares that end, end within a hundred years: what is said to last longer was no date.
pub const LIFETIME_MS_MAX: u64 = 36_500 * 24 * 3600 * 1000;

/// What a new link is like.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateLink {
    /// After how many ms it ends, a hundred years at most; nothing for when it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_ms: Option<u64>,
}

/// Which lines of the record.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Older than the line of this id.
    pub before: Option<u64>,
    /// So many at most.
    pub limit: Option<u64>,
}

/// A line of the record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditRow {
    /// Its id: greater ones are newer.
    pub id: u64,
    /// When, in ms since the epoch; of several in one line, the last.
    pub at_ms: u64,
    /// Who: a user, `operator` or `anybody`.
    pub actor: String,
    /// `granted`, `revoked`, `link-made`, `link-ended`, `link-used` or `refused`.
    pub event: String,
    /// With what.
    pub resource: String,
    /// Which right of whom, or until when.
    pub detail: String,
    /// How often.
    pub count: u64,
}

/// The record, the newest line first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditLog {
    /// The lines.
    pub rows: Vec<AuditRow>,
}
