//! Sharing: who but its owner may do what.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One right of one grantee on a resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// What is shared, with its kind; of other accounts than the first with that, too.
    #[schema(example = "file 'papers/draft.pdf'")]
    pub resource: String,
    /// With whom: `everyone`, `signed-in`, a user, `ACCOUNT/USER`, `ACCOUNT/*` or
    /// `@ACCOUNT/GROUP`.
    #[schema(example = "bob")]
    pub with: String,
    /// `read`, `list`, `write`, `clone`, `read-acl` or `write-acl`.
    pub right: String,
    /// Who said so.
    pub by: String,
    /// When, in ms since the epoch.
    pub created_ms: u64,
    /// Until when, in ms since the epoch; null for until it is revoked.
    pub expires_ms: Option<u64>,
}

/// What is shared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Shares {
    /// By resource, and in the order in which it was said.
    pub shares: Vec<Share>,
    /// Whether there are more than are told.
    pub more: bool,
}

/// Gives somebody rights on a resource, beside those that others have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateShare {
    /// `CONTAINER/OBJECT`, `CONTAINER/FOLDER/`, `container:NAME`, `image:NAME`, `volume:NAME`,
    /// `snapshot:VOL@SNAP` or `snapshots/VOL@SNAP`.
    #[schema(example = "papers/draft.pdf")]
    pub resource: String,
    /// The account whose containers are meant; that of the command line if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// With whom: all of them, or none.
    pub with: Vec<ShareWith>,
    /// After how many ms they end, a hundred years at most; nothing for when they are revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_ms: Option<u64>,
}

/// With whom something is shared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareWith {
    /// As in a share; `@GROUP` is one of the account.
    #[schema(example = "bob")]
    pub who: String,
    /// Which rights. To read a container is also to list it.
    pub rights: Vec<String>,
}

/// Which shares.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShareQuery {
    /// Of this resource; of all, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The account whose containers are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Which shares of a resource end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EndShareQuery {
    /// Of this resource.
    pub resource: String,
    /// The account whose containers are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Those with this grantee; with all, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// This right; all, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
}
