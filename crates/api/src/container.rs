//! Containers of accounts: what they hold, and may hold.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Container {
    /// The account that owns it.
    #[schema(example = "lab")]
    pub account: String,
    /// Its name there.
    #[schema(example = "images")]
    pub name: String,
    /// Objects, not counting old versions.
    pub objects: u64,
    /// The sizes of all versions, and of parts of unfinished uploads: what its quota is about.
    pub used_bytes: u64,
    /// How many bytes it may hold; null for no limit.
    pub quota_bytes: Option<u64>,
    /// How many objects it may hold; null for no limit.
    pub quota_objects: Option<u64>,
    /// When it was made, in ms since the epoch.
    pub created_ms: u64,
}

/// A page of containers, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Containers {
    /// The containers.
    pub containers: Vec<Container>,
}

/// Which containers are listed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContainerQuery {
    /// Those behind this name; a page has 10 000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// How a fork of a container is called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkContainer {
    /// Its name, which no container of the account has.
    #[schema(example = "exp-42")]
    pub name: String,
}

/// How much a container may hold; what is not named stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetContainerQuota {
    /// Bytes; null for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    pub quota_bytes: Option<Option<u64>>,
    /// Objects; null for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    pub quota_objects: Option<Option<u64>>,
}

/// Tells null from nothing.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(Some)
}
