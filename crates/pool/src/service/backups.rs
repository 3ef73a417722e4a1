//! Dumps of the catalog in the pool, from which a lost one is rebuilt.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Join;
use archipelago_model::{PoolId, SegmentId};

use super::Config;
use crate::catalog::{dump, place, segment};
use crate::core::{Core, record_segments};
use crate::error::{Error, ErrorKind, store_kind};

/// So many are kept: the newest, and one before, should the newest rot.
const KEPT: usize = 2;
/// A dump of at most so many bytes is stored twice when a collection removes something.
const DOUBLED_BYTES_MAX: u64 = 32 << 20;
/// A dump of at most so many bytes, some seconds, is stored when the store is closed: whoever
/// stops a program waits no longer.
const LAST_BYTES_MAX: u64 = 512 << 20;
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
    /// How long the newest dump is, for the room that the next one is given.
    bytes: u64,
}

/// When a dump is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Whenever one is due; it is broken off when the program stops.
    Due,
    /// Once more, before something goes.
    Again,
    /// The last one, of a store that is being closed.
    Closing,
}

impl Moment {
    /// Bytes of the dump at most, and what is said of a larger one.
    const fn limit(self) -> (u64, &'static str) {
        match self {
            Self::Due => (u64::MAX, "stored"),
            Self::Again => (DOUBLED_BYTES_MAX, "stored twice"),
            Self::Closing => (LAST_BYTES_MAX, "stored while the store is closed"),
        }
    }

    fn too_large(self) -> Error {
        let (limit, done) = self.limit();
        let what = format!("a dump of more than {limit} bytes is not {done}");
        Error::new(ErrorKind::NoSpace, what)
    }

    /// Asks the dump before, so that a large one is not written in vain.
    fn allows(self, stored: &Backups) -> Result<(), Error> {
        match stored.bytes > self.limit().0 {
            true => Err(self.too_large()),
            false => Ok(()),
        }
    }
}

/// Counts what is written, and takes no more than a limit.
struct Bounded<'a> {
    core: &'a Core,
    moment: Moment,
    out: &'a mut dyn Write,
    bytes: u64,
    over: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.over |= self.bytes + bytes.len() as u64 > self.moment.limit().0;
        if self.over {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if self.moment != Moment::Closing && self.core.stopping() {
            return Err(io::Error::other("the program stops"));
        }
        let taken = self.out.write(bytes)?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Core {
    /// Stores a dump in the pool; older ones but one are removed. It goes there as it is made:
    /// a catalog may be larger than memory.
    fn store_backup(&self, moment: Moment, stored: &mut Backups) -> Result<(), Error> {
        let (mut changes, mut bytes) = (0, 0);
        let backup = self.engine.write_backup(stored.bytes, |out| {
            let mut out = Bounded { core: self, moment, out, bytes: 0, over: false };
            let written = self.catalog.read(|tx| {
                changes = tx.changes();
                dump::write(tx, self.store_uuid, self.now_ms(), &mut out)
            });
            bytes = out.bytes;
            if out.over {
                return Err(moment.too_large());
            }
            Ok(written?)
        })?;
        let mirror = self.catalog.read(|tx| place::mirror_of(tx, PoolId::FIRST))?;
        if let Some(mirror) = mirror {
            self.catalog.write_aside(|tx| record_segments(tx, &backup.sealed))?;
            for info in &backup.sealed {
                if let Err(error) = self.mirror_backup(info.id, mirror, info.stored_bytes) {
                    tracing::warn!(%error, "a backup has no second copy yet");
                }
            }
        }
        let old: Vec<SegmentId> = self.catalog.write_aside(|tx| -> Result<_, Error> {
            record_segments(tx, &backup.sealed)?;
            let mut old: Vec<SegmentId> = segment::backups(tx)?.into_iter().skip(KEPT).collect();
            if let Some(mirror) = mirror {
                // The last ones that are in both pools stay, until others are.
                let copied = segment::backups_in(tx, mirror)?;
                old.retain(|id| !copied.iter().take(KEPT).any(|kept| kept == id));
            }
            for id in &old {
                segment::condemn(tx, *id, u64::MAX)?;
            }
            Ok(old)
        })?;
        *stored = Backups { newest: Some(changes), older: stored.newest, bytes };
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
        let done = self.store_backup(Moment::Due, &mut stored);
        if self.stopping() {
            return done;
        }
        *self.backup_problem.lock() =
            done.as_ref().err().map(|error| format!("the catalog has no new backup: {error}"));
        done
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
            Moment::Again.allows(&stored)?;
            self.store_backup(Moment::Again, &mut stored)?;
        }
        Ok(())
    }

    /// The same, where the work is done whether or not there is a backup of it.
    pub(super) fn back_up_if_possible(&self) {
        if let Err(error) = self.back_up() {
            tracing::warn!(%error, "the catalog has no new backup in the pool");
        }
    }

    /// The last one, of a store that is being closed, unless it would take long.
    pub(super) fn back_up_last(&self) {
        let mut stored = self.backups.lock();
        if stored.newest == Some(self.catalog.changes()) {
            return;
        }
        let allowed = Moment::Closing.allows(&stored);
        if let Err(error) = allowed.and_then(|()| self.store_backup(Moment::Closing, &mut stored)) {
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
