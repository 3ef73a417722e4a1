//! An open store: opening, closing, and the verbs in the modules below.

mod backups;
mod check;
mod checkpointer;
mod collector;
mod devices;
mod disk_views;
mod files;
mod grants;
mod guest_views;
mod identity;
mod images;
mod lifecycle;
mod mover;
mod objects;
mod open;
mod pools;
mod rebuild;
mod reports;
mod scrub;
mod snapshots;
mod transfer;
mod volumes;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use archipelago_env::Join;
use archipelago_store::Store;
use archipelago_store::layer::Rates;
use parking_lot::Mutex;

use crate::core::Core;
use crate::error::Error;
use crate::folder::Folder;
pub use crate::near::HostCacheConfig;

pub(crate) use backups::Backups;
pub use check::{Finding, FindingKind, Severity};
pub(crate) use collector::Collector;
pub use collector::{Collected, Collection};
pub use disk_views::{DiskFormat, DiskView};
pub use files::{FILES_AT_ONCE_MAX, FileRange, UpdatedFile};
pub use grants::{
    Admitted, ChangeGrants, GRANTS_MAX, LINKS_MAX, NameGrants, PublicLink, Roots, TICKET_MARK,
    TICKET_MS_MAX, Ticket,
};
pub(crate) use grants::{admits, reads_snapshot, snapshots_read};
pub(crate) use guest_views::GuestViews;
pub use lifecycle::Ended;
pub(crate) use lifecycle::Trust;
pub use mover::Moved;
pub(crate) use mover::Mover;
pub use objects::{
    BLOCK_WAIT_MS, BlockHash, BlockHashError, Check, Compose, Composed, Content, CopyKeys,
    CopyOwner, CopySource, CopyTarget, Decide, DeltaPut, FORK_OBJECTS_MAX, FileCompose,
    FileComposed, FileVersion, FinishPart, FinishUpload, GRAIN_HASH_BYTES,
    HASHED_AT_ONCE_BYTES_MAX, HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX, HashList, PARTS_MAX, PartKeys,
    PartSums, Place, Put, Removed, Stored, Update, UpdateContent, Updated, UploadAt,
};
pub(crate) use objects::{Lanes, Packs, Tidying};
pub use pools::{POOLS_MAX, Placement, Pool, PoolState};
pub use rebuild::Rebuilt;
pub use scrub::{Damage, Damages, ScrubOptions, ScrubState, Touch};

/// At most so many names in one request: it is one transaction, which everybody
/// else waits for, and so many take about a tenth of a second.
pub const NAMES_MAX: usize = 10_000;

/// At most so many volumes are cut at one moment: a cut holds the gates of
/// all of them, and a persisted overlay of each waits in memory.
pub const SNAPSHOTS_MAX: usize = 1_000;

/// Settings; what does not fit the machine is for the operator to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the segments of a new store are, as a url; `None` for its folder `pool`. A store
    /// that is there keeps its own, and refuses another one.
    pub pool_url: Option<String>,
    /// Where the catalog of a new store is, as a url; `None` for its file `catalog.sqlite`. A store
    /// that is there keeps its own, and refuses another one.
    pub catalog_url: Option<String>,
    /// What a pool with a url is asked for in a second.
    pub pool_rates: PoolRates,
    /// The cache of far pools on a disk of this host.
    pub host_cache: HostCacheConfig,
    /// Memory for verified chunks, in bytes.
    pub chunk_cache_bytes: u64,
    /// Memory for map nodes, in bytes.
    pub node_cache_bytes: u64,
    /// Memory for tables of slots, in bytes.
    pub slot_cache_bytes: u64,
    /// The length of a segment of the log, in bytes.
    pub hot_segment_bytes: u64,
    /// The length at which a segment of bulk data is sealed, in bytes.
    pub cold_segment_bytes: u64,
    /// Log since the oldest write that no map has, in bytes, at which a volume
    /// is persisted: bounds what opening after a crash has to read.
    pub log_checkpoint_bytes: u64,
    /// How long a write may wait for being persisted into a map, in ms.
    pub checkpoint_interval_ms: u64,
    /// How often the collector looks for what nobody names, in ms; 0 for never by itself.
    pub collector_interval_ms: u64,
    /// How long what nobody names is kept before it is removed, in ms: a read of it
    /// meanwhile shows a defect while nothing is lost.
    pub collector_grace_ms: u64,
    /// How often at most the catalog is dumped into the pool when it changed, in ms;
    /// 0 for with each collection only.
    pub backup_interval_ms: u64,
    /// How often it is looked for segments that are to be in another pool, and for pools that are
    /// away, in ms; 0 for never.
    pub mover_interval_ms: u64,
    /// Bytes that are copied from pool to pool in a second at most; 0 for as many as guests do
    /// not feel.
    pub mover_bytes_per_second: u64,
    /// How often it is looked for what has ended by itself, in ms; 0 for never.
    pub lifecycle_interval_ms: u64,
    /// What rules of containers call a day, in ms: shorter ones are for tests.
    pub lifecycle_day_ms: u64,
    /// How long an upload waits for its next part, in ms; 0 for without an end.
    pub upload_age_ms: u64,
    /// The clock is right at this start, whatever time the store went by before: nothing waits
    /// until it has stood for a while, or until it is where it was.
    pub trust_clock: bool,
}

/// What a pool may be asked for in a second; `None`: as much as it gives.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PoolRates {
    /// Bytes that it takes, and as many that it gives.
    pub bytes: Option<NonZeroU64>,
    /// Requests of any kind.
    pub requests: Option<NonZeroU64>,
}

impl PoolRates {
    pub(crate) fn each_way(self) -> Rates {
        Rates { read_bytes: self.bytes, written_bytes: self.bytes, calls: self.requests }
    }
}

impl Default for Config {
    fn default() -> Self {
        let engine = archipelago_engine::Config::default();
        Self {
            pool_url: None,
            catalog_url: None,
            pool_rates: PoolRates::default(),
            host_cache: HostCacheConfig::default(),
            chunk_cache_bytes: engine.chunk_cache_bytes,
            node_cache_bytes: engine.node_cache_bytes,
            slot_cache_bytes: engine.slot_cache_bytes,
            hot_segment_bytes: engine.hot_segment_bytes,
            cold_segment_bytes: engine.cold_segment_bytes,
            log_checkpoint_bytes: engine.log_bytes_checkpoint,
            checkpoint_interval_ms: 60_000,
            collector_interval_ms: 60_000,
            collector_grace_ms: 600_000,
            backup_interval_ms: 10_000,
            mover_interval_ms: 30_000,
            mover_bytes_per_second: 0,
            lifecycle_interval_ms: 60_000,
            lifecycle_day_ms: crate::lifecycle::DAY_MS,
            upload_age_ms: 7 * crate::lifecycle::DAY_MS,
            trust_clock: false,
        }
    }
}

/// An open store. All methods block and may be called from any thread.
///
/// Dropping it without [`Service::close`] is like [`Service::abandon`].
pub struct Service {
    core: Arc<Core>,
    store: Arc<dyn Store>,
    data: PathBuf,
    /// When it was opened, on the monotonic clock.
    opened: Duration,
    /// Sizes are changed one at a time.
    resizing: Mutex<()>,
    scrubber: Arc<scrub::Scrubber>,
    identity: identity::IdentityState,
    /// Refusals and uses that are not in the record yet.
    uses: Mutex<grants::Uses>,
    life: Mutex<Life>,
}

/// What ends with the service.
struct Life {
    workers: Vec<Box<dyn Join>>,
    folder: Option<Folder>,
}

impl Service {
    /// The time that the store goes by, in ms since 1970.
    pub fn now_ms(&self) -> u64 {
        self.core.now_ms()
    }

    /// The same for what protects something until then, as locks do: a clock that is ahead is
    /// not followed until it has stood.
    pub fn ended_ms(&self) -> u64 {
        self.core.ended_ms()
    }

    /// Persists everything, seals the log and gives up the folder. Devices that
    /// are still open fail from now on. Idempotent.
    ///
    /// # Errors
    /// What could not be persisted is in the log, for the next open.
    pub fn close(&self) -> Result<(), Error> {
        let mut life = self.life.lock();
        if life.folder.is_none() {
            return Ok(());
        }
        self.core.stop.store(true, Ordering::Release);
        if let Err(error) = self.write_uses() {
            tracing::warn!(%error, "the last refusals and uses of links are not in the record");
        }
        let persisted = self.core.persist_all();
        // Wakes the background, too.
        let sealed = self.core.engine.close().map_err(Error::from);
        if sealed.is_ok() {
            self.core.record_sealed();
            self.core.back_up_last();
        }
        self.end(&mut life);
        persisted.and(sealed)
    }

    /// Stops as a crash would: nothing more is persisted, the folder is given up.
    /// For crash tests; drop the devices first, they would go on writing.
    pub fn abandon(&self) {
        self.end(&mut self.life.lock());
    }

    /// Ends the background, then the catalog, then the claim on the folder: so
    /// whoever opens it next is alone.
    fn end(&self, life: &mut Life) {
        self.core.stop.store(true, Ordering::Release);
        self.scrubber.join();
        for worker in life.workers.drain(..) {
            if let Err(panicked) = worker.join() {
                tracing::error!(%panicked, "a background thread had ended before");
            }
        }
        self.core.catalog.close();
        life.folder = None;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.abandon();
    }
}

#[cfg(test)]
mod tests;
