//! Guest views: a file that is a disk image shows its disk as a second map over the same
//! chunks. Files are looked at when they have come, by whatever door; a clone does not wait
//! for the next look. Nothing is lost by a crash: what was not looked at, or not made, is
//! found again by the catalog.

mod make;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Join;
use archipelago_layout as layout;
use archipelago_model::{ContainerName, ObjectName, Source};
use parking_lot::{Condvar, Mutex};

use self::turns::Turns;
use super::Service;
use crate::catalog::guest_view::{self, Key};
use crate::catalog::{Tx, file, state};
use crate::core::{Core, Fixed, Held, OPERATOR, catalog_root, shown};
use crate::error::{Error, ErrorKind};
use crate::resource::{DiskFile, DiskState};

/// No program makes an image of less than this, and small files are many.
const FILE_BYTES_MIN: u64 = 8 << 10;
/// Files that are looked at together.
const LOOK_BATCH: usize = 256;
/// After so many files in which there was no image it is noted how far the look has come.
const UNSAVED_MAX: u64 = 4096;
/// Files that are listed at most.
const LISTED_MAX: usize = 10_000;
/// The background looks so often what there is to do, and whether it has to end.
const POLL: Duration = Duration::from_millis(200);
/// After a failure it waits this long, or longer: see [`turns`].
const BACKOFF: Duration = Duration::from_secs(5);
/// A clone waits for a view in so many steps ...
const WAIT_STEPS: u32 = 100;
/// ... of this: long for a map, and short for a person.
const WAIT_STEP: Duration = Duration::from_millis(50);
/// Clones that wait at once: each holds one of the few threads for short calls.
const WAITERS_MAX: usize = 4;

/// What the background and those who wait for it share.
#[derive(Default)]
pub(crate) struct GuestViews {
    /// How far files were looked at.
    looked: Mutex<Looked>,
    /// Somebody waits.
    rung: Mutex<bool>,
    ring: Condvar,
    /// Counts views that were settled.
    settled: Mutex<u64>,
    told: Condvar,
    /// What clones wait for: [`WAITERS_MAX`] at most.
    wanted: Mutex<Vec<Key>>,
}

#[derive(Default)]
struct Looked {
    /// `None` before the catalog was asked.
    at: Option<u64>,
    /// Files since that was noted in the catalog.
    unsaved: u64,
}

impl GuestViews {
    fn ring(&self) {
        *self.rung.lock() = true;
        self.ring.notify_all();
    }

    /// Until somebody waits, but not for long.
    fn await_ring(&self) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.ring.wait_for(&mut rung, POLL);
        }
        *rung = false;
    }

    fn tell(&self) {
        *self.settled.lock() += 1;
        self.told.notify_all();
    }
}

/// Starts the background: one thread for what takes milliseconds, one for what is unpacked.
pub(super) fn start(core: &Arc<Core>) -> Result<Vec<Box<dyn Join>>, Error> {
    let spawn = |name, packed| {
        let shared = Arc::clone(core);
        let body = Box::new(move || shared.serve_views(packed));
        core.env.threads().spawn(name, body).map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("cannot start a thread: {error}; try again"))
                .with_source(error)
        })
    };
    Ok(vec![spawn("guest-views", false)?, spawn("unpacking", true)?])
}

impl Service {
    /// Files of the first account that are disk images, by container and name.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn disk_files(&self, container: Option<&ContainerName>) -> Result<Vec<DiskFile>, Error> {
        let list = |tx: &Tx<'_>| guest_view::of_account(tx, OPERATOR, container, LISTED_MAX);
        Ok(self.core.catalog.read(list)?)
    }

    /// What is known of a file as a disk; `None` when it is none.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn disk_file(
        &self,
        container: &ContainerName,
        object: &ObjectName,
    ) -> Result<Option<DiskFile>, Error> {
        let source = Source::File(container.clone(), object.clone());
        let (view, file) = self.core.catalog.read(|tx| -> Result<_, Error> {
            let row = file::find(tx, OPERATOR, container, object, self.core.now_ms())?;
            if row.as_ref().is_some_and(|row| row.seal.is_some()) {
                return Ok((None, row));
            }
            let map = catalog_root(tx, &source, self.core.now_ms())?;
            Ok((guest_view::find(tx, key(map))?, row))
        })?;
        Ok(view.zip(file).map(|(view, row)| DiskFile {
            container: row.file.container,
            object: row.file.object,
            format: view.format.as_str().to_owned(),
            state: view.state,
            size: view.size,
            file_bytes: view.key.size,
            created_ms: row.file.created_ms,
        }))
    }

    /// One round of the background on the thread of the caller, for simulators and tests.
    ///
    /// # Errors
    /// Something could not be read or stored; the next round tries it again.
    pub fn step_views(&self) -> Result<(), Error> {
        while self.core.look()? {}
        self.core.make_all(false)?;
        self.core.make_all(true)
    }
}

impl Core {
    fn serve_views(&self, packed: bool) {
        let (mut seen, mut turns, mut due) = (None, Turns::default(), None::<Duration>);
        while !self.stopping() {
            // First: what comes meanwhile is for the next round.
            let changes = self.catalog.changes();
            let is_due = due.is_some_and(|due| due <= self.env.clock().monotonic());
            // A clone that waits changes nothing.
            let wanted = || !self.guest_views.wanted.lock().is_empty();
            if seen != Some(changes) || is_due || wanted() {
                match self.round(packed, &mut turns) {
                    Ok(next) => (seen, due) = (Some(changes), next),
                    Err(error) => {
                        tracing::warn!(%error, "the disks in image files wait; trying again");
                        self.rest();
                    }
                }
            }
            match packed {
                false => self.guest_views.await_ring(),
                true => self.env.clock().sleep(POLL),
            }
        }
    }

    /// Gives when, by the monotonic clock, the first of what was put off is due.
    fn round(&self, packed: bool, turns: &mut Turns) -> Result<Option<Duration>, Error> {
        if !packed {
            while !self.stopping() && self.look()? {}
        }
        self.make_in_turns(packed, turns)
    }

    fn rest(&self) {
        let until = self.env.clock().monotonic() + BACKOFF;
        while !self.stopping() && self.env.clock().monotonic() < until {
            self.env.clock().sleep(POLL);
        }
    }

    /// Looks at some files that have come; gives whether there are more.
    fn look(&self) -> Result<bool, Error> {
        let mut looked = self.guest_views.looked.lock();
        let from = match looked.at {
            Some(at) => at,
            None => self.catalog.read(state::recognised)?,
        };
        let (files, _held) = {
            let _resolving = self.resolving.read_recursive();
            let files = self.catalog.read(|tx| file::arrived(tx, from, LOOK_BATCH))?;
            let held: Vec<_> = files.iter().map(|(_, root, _)| self.engine.pin(*root)).collect();
            (files, held)
        };
        let Some(&(last, ..)) = files.last() else {
            looked.at = Some(from);
            return Ok(false);
        };
        let mut images = Vec::new();
        for &(_, root, size) in &files {
            let key = Key { root, size };
            match self.format_of(key) {
                Ok(format) => images.extend(format.map(|format| (key, format))),
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    tracing::warn!(%error, "whether a file is an image is not known");
                }
                Err(error) => return Err(error),
            }
        }
        looked.unsaved += files.len() as u64;
        if !images.is_empty() || looked.unsaved >= UNSAVED_MAX {
            self.catalog.write(|tx| -> Result<_, Error> {
                for (key, format) in &images {
                    guest_view::found(tx, *key, *format)?;
                }
                Ok(state::raise_recognised(tx, last)?)
            })?;
            looked.unsaved = 0;
        }
        looked.at = Some(last);
        Ok(files.len() == LOOK_BATCH)
    }

    /// The format that the first bytes of a file prove. The caller holds it.
    fn format_of(&self, key: Key) -> Result<Option<layout::Format>, Error> {
        if key.size < FILE_BYTES_MIN || key.root.is_hole() {
            return Ok(None);
        }
        let mut head = [0; layout::HEAD_BYTES];
        self.engine.view(key.root, key.size)?.read(0, &mut head)?;
        Ok(layout::recognise(&head))
    }

    /// Waits until a file can be cloned as the disk that it is or holds; gives the map of
    /// the file itself.
    pub(super) fn await_disk(&self, source: &Source) -> Result<Held, Error> {
        let (mut waiting, mut retried) = (None, false);
        let until = self.env.clock().monotonic() + WAIT_STEP * WAIT_STEPS;
        for _ in 0..WAIT_STEPS {
            let before = *self.guest_views.settled.lock();
            let held =
                self.held(|| self.catalog.read(|tx| catalog_root(tx, source, self.now_ms())))?;
            let key = key(held.map);
            let view = self.catalog.read(|tx| guest_view::find(tx, key))?;
            let found = match view.map(|view| (view.state.clone(), view)) {
                None => match self.format_of(key).map_err(|error| error.on(shown(source)))? {
                    None => return Ok(held),
                    Some(format) => {
                        self.catalog.write(|tx| guest_view::found(tx, key, format))?;
                        continue;
                    }
                },
                Some((DiskState::Ready, _)) => return Ok(held),
                // Its segment may be there again.
                Some((DiskState::Refused(reason), _))
                    if !retried && reason.starts_with(guest_view::UNREADABLE) =>
                {
                    retried = true;
                    self.catalog.write(|tx| guest_view::retry(tx, key))?;
                    continue;
                }
                Some((DiskState::Refused(reason), view)) => {
                    return Err(refused(source, view.format, &reason));
                }
                Some((DiskState::Found, view)) => Some(view),
                Some((DiskState::Unpacking, _)) => None,
            };
            if waiting.is_none() {
                waiting = Some(Waiting::new(&self.guest_views, source, key)?);
            }
            // Here, so that nobody waits for the images of others.
            if let Some(view) = found {
                match self.make_view(view, Some(until)) {
                    Err(error) if error.kind() == ErrorKind::Unavailable => break,
                    made => made.map_err(|error| error.on(shown(source)))?,
                }
                continue;
            }
            self.guest_views.ring();
            let mut settled = self.guest_views.settled.lock();
            if *settled == before {
                self.guest_views.told.wait_for(&mut settled, WAIT_STEP);
            }
            if self.stopping() {
                break;
            }
        }
        Err(unpacking(source))
    }
}

/// One of the few that wait.
struct Waiting<'a>(&'a GuestViews, Key);

impl<'a> Waiting<'a> {
    fn new(views: &'a GuestViews, source: &Source, key: Key) -> Result<Self, Error> {
        let mut wanted = views.wanted.lock();
        if wanted.len() >= WAITERS_MAX {
            return Err(unpacking(source));
        }
        wanted.push(key);
        Ok(Self(views, key))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut wanted = self.0.wanted.lock();
        if let Some(at) = wanted.iter().position(|key| *key == self.1) {
            wanted.swap_remove(at);
        }
    }
}

const fn key(map: Fixed) -> Key {
    Key { root: map.root, size: map.size }
}

/// The disk that a source is: of a file that is an image, what its guest sees. Call
/// [`Core::await_disk`] first.
pub(super) fn disk_root(tx: &Tx<'_>, source: &Source, now_ms: u64) -> Result<Fixed, Error> {
    let map = catalog_root(tx, source, now_ms)?;
    if !source.is_file() {
        return Ok(map);
    }
    match guest_view::find(tx, key(map))? {
        None => Ok(map),
        Some(view) => match view.state {
            DiskState::Ready => Ok(Fixed { root: view.root, size: view.size }),
            DiskState::Refused(reason) => Err(refused(source, view.format, &reason)),
            DiskState::Found | DiskState::Unpacking => Err(unpacking(source)),
        },
    }
}

fn unpacking(source: &Source) -> Error {
    let message = format!(
        "{} is an image whose disk is being unpacked; try again when `archipelago image ls` says \
         that it is ready",
        shown(source)
    );
    Error::new(ErrorKind::Unavailable, message)
}

fn refused(source: &Source, format: layout::Format, reason: &str) -> Error {
    Error::invalid(format!(
        "{} is a {format} image that {reason} (`volume create --raw` makes a volume of its bytes \
         as they are)",
        shown(source)
    ))
}

#[cfg(test)]
mod tests;
