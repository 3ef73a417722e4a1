//! Pools, and which of them resources are to be in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Its name.
    #[schema(example = "ceph2")]
    pub name: String,
    /// What it is: `directory`, `s3` or `rados`.
    pub kind: String,
    /// Where it is.
    #[schema(example = "rados://archipelago/main?conf=/etc/ceph/ceph2.conf")]
    pub url: String,
    /// Why it does not answer, if it does not; it is tried again.
    pub away: Option<String>,
    /// The pool that everything of it goes to, while it is drained.
    pub drain_to: Option<String>,
    /// The pool where the second copy of everything in it is to be.
    pub mirror: Option<String>,
    /// Sealed segments of it whose second copy is still to be made.
    pub lacking: u64,
    /// Their bytes.
    pub lacking_bytes: u64,
    /// Segments that are in it.
    pub segments: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Second copies in it, of segments of other pools.
    pub copies: u64,
    /// Their bytes.
    pub copy_bytes: u64,
    /// Reads that another pool has answered since the store was opened, because this one did not.
    pub answered_by_copies: u64,
    /// Accounts, containers and volumes that are to be in it by their own word.
    pub resources: u64,
    /// Bytes of the place as a whole; null where it does not answer.
    pub total_bytes: Option<u64>,
    /// Of these, what is free.
    pub free_bytes: Option<u64>,
    /// What keeps segments from coming or leaving, the last time that one was to.
    pub problem: Option<String>,
    /// Everything that was to be moved was, since somebody last said where something is to be.
    pub settled: bool,
}

/// All pools, the first one first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pools {
    /// The pools.
    pub pools: Vec<Pool>,
}

/// Makes an empty place a pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPool {
    /// Its name.
    #[schema(example = "ceph2")]
    pub name: String,
    /// Where it is. Keys are never in it.
    #[schema(example = "rados://archipelago/main?conf=/etc/ceph/ceph2.conf")]
    pub url: String,
}

/// Has everything of a pool go to another one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainPool {
    /// Which; null for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Has everything of a pool be in another one, too.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorPool {
    /// Which.
    pub to: String,
}

/// Gives up a pool that is lost for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LosePool {
    /// Also when something of it has no second copy, which is lost then.
    #[serde(default)]
    pub force: bool,
}

/// Says in which pool something is to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPlacement {
    /// Which; null for wherever who owns it says, and what is there stays.
    pub pool: Option<String>,
}

/// Where something is, and is to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Where it is to be; null where it says nothing.
    pub pool: Option<String>,
    /// Bytes of the segments that it names, by pool: of a volume. Others may name them, too.
    pub stored: Vec<StoredIn>,
    /// Everything that was to be moved was, since somebody last said where something is to be.
    pub settled: bool,
}

/// What is in one pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredIn {
    /// Which.
    pub pool: String,
    /// How much.
    pub bytes: u64,
}
