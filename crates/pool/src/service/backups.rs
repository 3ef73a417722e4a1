//! Dumps of the catalog in the pool, from which a lost one is rebuilt.

use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Join;
use archipelago_model::SegmentId;

use super::Config;
use crate::catalog::{CatalogError, dump, segment};
use crate::core::{Core, record_segments};
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

/// How many changes of the catalog the two newest backups have; `None` for one that this
/// process has not stored.
#[derive(Default)]
pub(crate) struct Backups {
    newest: Option<u64>,
    older: Option<u64>,
}

/// A dump, and the number of changes that it has at least.
struct Dump {
    bytes: Vec<u8>,
    changes: u64,
}

impl Core {
    fn dump(&self) -> Result<Dump, Error> {
        let mut bytes = Vec::new();
        let changes = self.catalog.read(|tx| {
            dump::write(tx, self.store_uuid, self.now_ms(), &mut bytes)?;
            Ok::<_, CatalogError>(tx.changes())
        })?;
        if bytes.len() > DUMP_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("the catalog is larger than {DUMP_BYTES_MAX} bytes: it has no backups"),
            ));
        }
        Ok(Dump { bytes, changes })
    }

    /// Stores a dump in the pool; older ones but one are removed.
    fn store_backup(&self, dump: &Dump, stored: &mut Backups) -> Result<(), Error> {
        let backup = self.engine.write_backup(&dump.bytes)?;
        let old: Vec<SegmentId> = self.catalog.write_aside(|tx| -> Result<_, Error> {
            record_segments(tx, &backup.sealed)?;
            let old: Vec<SegmentId> = segment::backups(tx)?.into_iter().skip(KEPT).collect();
            for id in &old {
                segment::condemn(tx, *id, u64::MAX)?;
            }
            Ok(old)
        })?;
        *stored = Backups { newest: Some(dump.changes), older: stored.newest };
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
        Ok(())
    }

    /// Stores a dump unless the newest has everything.
    pub(super) fn back_up(&self) -> Result<(), Error> {
        let mut stored = self.backups.lock();
        if stored.newest == Some(self.catalog.changes()) {
            return Ok(());
        }
        self.store_backup(&self.dump()?, &mut stored)
    }

    /// Stores dumps until both backups have so many changes of the catalog: should the
    /// newest rot, the one before does.
    ///
    /// # Errors
    /// `NoSpace`: it is not worth it for a large one.
    pub(super) fn back_up_both(&self, changes: u64) -> Result<(), Error> {
        let mut stored = self.backups.lock();
        // Each time the newest becomes the older one.
        while stored.older.is_none_or(|older| older < changes) {
            let dump = self.dump()?;
            if dump.bytes.len() > DOUBLED_BYTES_MAX {
                return Err(Error::new(
                    ErrorKind::NoSpace,
                    format!("a dump of more than {DOUBLED_BYTES_MAX} bytes is not stored twice"),
                ));
            }
            self.store_backup(&dump, &mut stored)?;
        }
        Ok(())
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
