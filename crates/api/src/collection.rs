//! Garbage collection on request, and what a rebuild of a lost catalog tells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a collection. The answer comes after some seconds at most a piece of
/// work; while it says `more`, ask again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Removes what nobody names without waiting for the grace time.
    #[serde(default)]
    pub now: bool,
}

/// What a collection did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Collected {
    /// Segments that were found to be named by nobody.
    pub condemned: u64,
    /// Segments whose named part was moved together.
    pub compacted: u64,
    /// Bytes that compaction read, uncompressed.
    pub read_bytes: u64,
    /// Bytes that compaction wrote.
    pub written_bytes: u64,
    /// Bytes that compaction found to be stored already, uncompressed.
    pub duplicate_bytes: u64,
    /// Maps that were written anew without what they hid.
    pub flattened: u64,
    /// Segments that were removed.
    pub removed: u64,
    /// Bytes that came back to the disk.
    pub freed_bytes: u64,
    /// Bytes of segments that are removed once the grace time is over.
    pub waiting_bytes: u64,
    /// Reads of segments that nobody should read any more: a defect; they are kept.
    pub alarms: u64,
    /// There is more to do: ask again.
    pub more: bool,
}

impl Collected {
    /// Adds what a later request did.
    pub const fn add(&mut self, later: &Self) {
        self.condemned += later.condemned;
        self.compacted += later.compacted;
        self.read_bytes += later.read_bytes;
        self.written_bytes += later.written_bytes;
        self.duplicate_bytes += later.duplicate_bytes;
        self.flattened += later.flattened;
        self.removed += later.removed;
        self.freed_bytes += later.freed_bytes;
        self.waiting_bytes = later.waiting_bytes;
        self.alarms += later.alarms;
        self.more = later.more;
    }
}

/// What a rebuild of the catalog found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Rebuilt {
    /// When the backup was made that names come from.
    pub made_ms: u64,
    /// Newer backups that could not be read, and why.
    pub passed_over: Vec<String>,
    /// Volumes that have their names again.
    pub volumes: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Images.
    pub images: u64,
    /// Files.
    pub files: u64,
    /// Segments whose footers were read.
    pub segments: u64,
    /// Segments without a whole footer: the end of the log, or damage.
    pub unsealed: u64,
    /// Volumes that the log has writes of and the backup does not know.
    pub unknown_volumes: u64,
    /// Where the old catalog is now, if there was one.
    pub set_aside: Option<String>,
}
