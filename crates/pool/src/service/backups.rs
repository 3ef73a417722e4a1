//! Dumps of the catalog in the pool, from which a lost one is rebuilt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use archipelago_env::Join;
use archipelago_model::SegmentId;

use super::Config;
use crate::catalog::{Tx, dump, segment};
use crate::core::{Core, NEVER_BACKED_UP, record_segments};
use crate::error::{Error, ErrorKind, store_kind};

/// So many are kept: the newest, and one before, should the newest rot.
const KEPT: usize = 2;
/// A dump is made in memory and has at most so many bytes: some million names. A
/// larger catalog has no backups, and `status` says so.
const DUMP_BYTES_MAX: usize = 256 << 20;
/// A dump of at most so many bytes is stored twice when a collection removes something.
const DOUBLED_BYTES_MAX: usize = 32 << 20;
/// Backups pause for so many times what one took, so that a large catalog is not
/// dumped all the time.
const PAUSE_TIMES: u32 = 20;
/// The background looks so often whether it has to end.
const POLL: Duration = Duration::from_millis(200);

/// A dump, and the number of changes that it has.
pub(crate) struct Dump {
    bytes: Vec<u8>,
    changes: u64,
}

impl Dump {
    /// The number of changes that it has.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }
}

impl Core {
    /// Dumps the catalog as a transaction sees it.
    pub(super) fn dump(&self, tx: &Tx<'_>) -> Result<Dump, Error> {
        let changes = self.catalog.changes();
        let mut bytes = Vec::new();
        dump::write(tx, self.store_uuid, self.now_ms(), &mut bytes)?;
        if bytes.len() > DUMP_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("the catalog is larger than {DUMP_BYTES_MAX} bytes: it has no backups"),
            ));
        }
        Ok(Dump { bytes, changes })
    }

    /// Stores a dump in the pool; older ones but one are removed.
    pub(super) fn store_backup(&self, dump: &Dump) -> Result<(), Error> {
        let backup = self.engine.write_backup(&dump.bytes)?;
        let old: Vec<SegmentId> = self.catalog.write_aside(|tx| -> Result<_, Error> {
            record_segments(tx, &backup.sealed)?;
            let old: Vec<SegmentId> = segment::backups(tx)?.into_iter().skip(KEPT).collect();
            for id in &old {
                segment::condemn(tx, *id, u64::MAX)?;
            }
            Ok(old)
        })?;
        // What nobody names and only a rebuild reads needs no grace time.
        for id in &old {
            self.store.remove(*id).map_err(|error| {
                Error::new(store_kind(&error), error.to_string()).with_source(error)
            })?;
        }
        if !old.is_empty() {
            self.catalog
                .write_aside(|tx| old.iter().try_for_each(|id| segment::remove(tx, *id)))?;
            self.engine.removed(&old);
        }
        self.backed_up.store(dump.changes, Ordering::Release);
        Ok(())
    }

    /// Stores a dump unless a newer one is stored, whose place it would take: a rebuild goes
    /// by the ids of segments.
    pub(super) fn store_backup_unless_older(&self, dump: &Dump) -> Result<(), Error> {
        let _one_at_a_time = self.backing_up.lock();
        let stored = self.backed_up.load(Ordering::Acquire);
        if stored != NEVER_BACKED_UP && stored >= dump.changes {
            return Ok(());
        }
        self.store_backup(dump)
    }

    /// Stores a dump once more, in the place of the older one, unless both are as new.
    ///
    /// # Errors
    /// `NoSpace`: it is not worth it for a large one.
    pub(super) fn store_backup_again(&self, dump: &Dump) -> Result<(), Error> {
        if dump.bytes.len() > DOUBLED_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("a dump of more than {DOUBLED_BYTES_MAX} bytes is not stored twice"),
            ));
        }
        let _one_at_a_time = self.backing_up.lock();
        let stored = self.backed_up.load(Ordering::Acquire);
        // A newer one was stored meanwhile: this one is the older of the two by now.
        if stored != NEVER_BACKED_UP && stored > dump.changes {
            return Ok(());
        }
        self.store_backup(dump)
    }

    /// Stores a dump unless the newest has everything.
    pub(super) fn back_up(&self) -> Result<(), Error> {
        let _one_at_a_time = self.backing_up.lock();
        if self.backed_up.load(Ordering::Acquire) == self.catalog.changes() {
            return Ok(());
        }
        let dump = self.catalog.read(|tx| self.dump(tx))?;
        self.store_backup(&dump)
    }

    /// The same, where the work is done whether or not there is a backup of it.
    pub(super) fn back_up_if_possible(&self) {
        if let Err(error) = self.back_up() {
            tracing::warn!(%error, "the catalog has no new backup in the pool");
        }
    }

    fn run_backups(&self, interval: Duration) {
        let clock = self.env.clock();
        let mut pause = interval;
        while !self.stopping() {
            let until = clock.monotonic() + pause;
            while !self.stopping() && clock.monotonic() < until {
                clock.sleep(POLL.min(pause));
            }
            if self.stopping() {
                return;
            }
            let begin = clock.monotonic();
            self.back_up_if_possible();
            pause = interval.max(clock.monotonic().saturating_sub(begin) * PAUSE_TIMES);
        }
    }
}

/// Starts the background, unless the configuration leaves backups to collections.
pub(super) fn start(core: &Arc<Core>, config: &Config) -> Result<Option<Box<dyn Join>>, Error> {
    if config.backup_interval_ms == 0 {
        return Ok(None);
    }
    let interval = Duration::from_millis(config.backup_interval_ms);
    let shared = Arc::clone(core);
    let body = Box::new(move || shared.run_backups(interval));
    core.env.threads().spawn("backups", body).map(Some).map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("cannot start a thread: {error}; try again"))
            .with_source(error)
    })
}
