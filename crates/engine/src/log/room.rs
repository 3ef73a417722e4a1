//! Waiting for room: when too many full segments wait for the pool, who would fill another one
//! waits until it took some.
//!
//! The waiting has a limit, however long the pool needs to fail: so what is sealed is sealed by
//! another thread. There is one try at a time, of whoever it is, and all who wait when it fails
//! are told so; none makes another one of his own behind it.

use std::error::Error as _;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::{FULL_SEGMENTS_MAX, Log};
use crate::error::Error;

/// Who makes room just now, and what came of it.
#[derive(Default)]
pub(super) struct Room {
    /// Some thread seals.
    trying: bool,
    /// A thread was started for that and has not ended.
    helper: bool,
    /// Tries that failed so far.
    failures: u64,
    /// Why the last of them did.
    why: Option<Failure>,
    /// Writers that wait.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests wait for it"))]
    waiting: usize,
}

/// Why there is no room, for several who wait.
#[derive(Clone)]
enum Failure {
    Closed,
    Space(String),
    Log(String),
    Pool(String),
}

impl Failure {
    fn of(error: &Error) -> Self {
        match error {
            Error::Closed => Self::Closed,
            Error::NoSpace(why) => Self::Space(why.clone()),
            Error::LogFailed(why) => Self::Log(why.clone()),
            other => Self::Pool(match other.source() {
                Some(source) => format!("{other}: {source}"),
                None => other.to_string(),
            }),
        }
    }

    fn error(self, waiting: usize) -> Error {
        match self {
            Self::Closed => Error::Closed,
            Self::Space(why) => Error::NoSpace(why),
            Self::Log(why) => Error::LogFailed(why),
            Self::Pool(why) => Error::LogFull { waiting, why },
        }
    }
}

impl Log {
    /// Whether another segment must not be filled before some are sealed.
    pub(super) fn is_crowded(&self) -> bool {
        self.tail.lock().full.len() > FULL_SEGMENTS_MAX
    }

    /// Waits until another segment may be filled.
    ///
    /// # Errors
    /// That of the try to seal some that ended meanwhile; [`Error::LogFull`] when none has ended
    /// within the limit. Later calls may succeed.
    pub(super) fn make_room(&self) -> Result<(), Error> {
        let mut room = self.room.lock();
        room.waiting += 1;
        let made = self.wait_for_room(&mut room);
        room.waiting -= 1;
        drop(room);
        made.unwrap_or_else(|| self.seal_full())
    }

    /// `None` where no thread can be started to make it.
    fn wait_for_room(&self, room: &mut MutexGuard<'_, Room>) -> Option<Result<(), Error>> {
        let clock = Arc::clone(self.segments.env().clock());
        let until = clock.monotonic() + self.room_wait;
        let before = room.failures;
        let full = |why: Failure| Some(Err(why.error(self.tail.lock().full.len())));
        while self.is_crowded() {
            if room.failures != before
                && let Some(why) = &room.why
            {
                return full(why.clone());
            }
            let now = clock.monotonic();
            if now >= until {
                let why = format!("it has taken none for {} s", self.room_wait.as_secs());
                return full(Failure::Pool(why));
            }
            if !room.trying && !room.helper {
                room.helper = self.start_helper();
                if !room.helper {
                    return None;
                }
            }
            self.made.wait_for(room, until - now);
        }
        Some(Ok(()))
    }

    /// Whether a thread seals from now on.
    fn start_helper(&self) -> bool {
        let threads = self.segments.env().threads();
        let Some(log) = self.me.upgrade().filter(|_| threads.are_concurrent()) else {
            return false;
        };
        let body = move || {
            let _ended = Helper { log: &log };
            if let Err(error) = log.seal_full_unless_closed() {
                tracing::debug!(%error, "the log stays full");
            }
        };
        // Nobody has to join it: closing the log waits for who seals.
        threads.spawn("log-room", Box::new(body)).is_ok()
    }

    /// One thread, which holds `sealing`, tries to seal what is full.
    pub(super) fn try_begins(&self) -> Trying<'_> {
        self.room.lock().trying = true;
        Trying { log: self }
    }

    /// A segment was sealed.
    pub(super) fn made_room(&self) {
        let _room = self.room.lock();
        self.made.notify_all();
    }
}

/// A try that is under way.
pub(super) struct Trying<'a> {
    log: &'a Log,
}

impl Trying<'_> {
    pub(super) fn ends(self, result: &Result<(), Error>) {
        if let Err(error) = result {
            let mut room = self.log.room.lock();
            room.failures += 1;
            room.why = Some(Failure::of(error));
        }
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.log.room.lock().trying = false;
        self.log.made.notify_all();
    }
}

/// The next one may be started, also when this one panicked.
struct Helper<'a> {
    log: &'a Log,
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        self.log.room.lock().helper = false;
        self.log.made.notify_all();
    }
}

#[cfg(test)]
mod tests;
