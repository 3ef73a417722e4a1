//! Tickets for NBD exports.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Hidden;

/// An NBD export name with a ticket: whoever has it opens what its user may open then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// What an NBD client asks for. It is a secret.
    pub export: Hidden,
    /// Whether it may only be read, as the rule is now.
    pub read_only: bool,
    /// When it ends, in ms since the epoch.
    pub expires_ms: u64,
}

/// A ticket to make.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTicket {
    /// The SOURCE: a volume, a snapshot or an image.
    #[schema(example = "volume:web")]
    pub source: String,
    /// For how long, in ms: 30 days at most, 12 hours if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_ms: Option<u64>,
}
