//! Locks: versions that may not be removed before a time, or at all, at whatever door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::object::{Container, Meta, Object};

/// Settings of a version, under the names that stores have had for them since S3 was the only
/// door that locks: how strict its lock is, until when it lasts (ms since 1970), and whether it
/// is held (`ON`) whatever the time.
pub const LOCK_MODE: &str = "s3.lock.mode";
/// See [`LOCK_MODE`].
pub const LOCK_UNTIL: &str = "s3.lock.until-ms";
/// See [`LOCK_MODE`].
pub const LOCK_HOLD: &str = "s3.lock.hold";
/// What [`LOCK_HOLD`] is where a version is held.
pub const HELD: &str = "ON";

/// A setting of a container: the JSON of a [`DefaultLock`].
pub(crate) const DEFAULT_LOCK: &str = "lock.default";

const DAY_MS: u64 = 24 * 3600 * 1000;

/// The lock that a container gives to versions that come without one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DefaultLock {
    /// How strict it is, in the word of S3.
    pub mode: String,
    /// How long it lasts.
    pub days: u32,
}

impl Meta {
    /// Without the lock of the version that it is of.
    #[must_use]
    pub fn unlocked(mut self) -> Self {
        for name in [LOCK_MODE, LOCK_UNTIL, LOCK_HOLD] {
            self.settings.remove(name);
        }
        self
    }
}

impl DefaultLock {
    /// That of a container, if it has one.
    pub fn of(container: &Container) -> Option<Self> {
        serde_json::from_str(container.settings.get(DEFAULT_LOCK)?).ok()
    }

    /// Gives a container this one, or none.
    pub fn put(lock: Option<&Self>, container: &mut Container) {
        // A text and a number: there is nothing in it that JSON cannot say.
        match lock.and_then(|lock| serde_json::to_string(lock).ok()) {
            Some(text) => container.settings.insert(DEFAULT_LOCK.to_owned(), text),
            None => container.settings.remove(DEFAULT_LOCK),
        };
    }

    /// Locks a version that comes now.
    pub(crate) fn lock(&self, settings: &mut BTreeMap<String, String>, now_ms: u64) {
        let until = now_ms.saturating_add(u64::from(self.days) * DAY_MS);
        settings.insert(LOCK_MODE.to_owned(), self.mode.clone());
        settings.insert(LOCK_UNTIL.to_owned(), until.to_string());
    }
}

impl Object {
    /// Until when it is locked, whether or not that is over: ms since 1970.
    pub fn locked_until_ms(&self) -> Option<u64> {
        self.meta.settings.get(LOCK_UNTIL)?.parse().ok()
    }

    /// Whether it is held, whatever the time.
    pub fn is_held(&self) -> bool {
        self.meta.settings.get(LOCK_HOLD).is_some_and(|hold| hold == HELD)
    }

    /// Whether it may not be removed now by anybody who has no say over locks.
    pub fn is_locked(&self, now_ms: u64) -> bool {
        self.is_held() || self.locked_until_ms().is_some_and(|until| until > now_ms)
    }
}
