//! The past of objects and containers, removed for good.

use archipelago_model::{FileId, ObjectName};

use super::super::Service;
use super::{container_of, containers};
use crate::catalog::Tx;
use crate::catalog::file::{self, From, ObjectRow};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::object::Container;

/// Versions that one transaction looks at, which everybody else waits for: some 20 ms.
const PURGE_ROWS: usize = 256;

/// Versions that go with their container, all in one transaction: a fraction of a second.
const PAST_MAX: usize = 4096;

impl Service {
    /// Removes the versions of an object that came until a time. What is there now stays, and
    /// so do what is locked, and the note that the object was removed as long as there is
    /// anything below it. Gives how many versions it saw.
    ///
    /// # Errors
    /// `NotFound` (the container); `Unavailable` (the server stops: some are left).
    pub fn object_purge(
        &self,
        container: u64,
        name: &ObjectName,
        until_ms: u64,
    ) -> Result<u64, Error> {
        let core = &self.core;
        let (mut after, mut seen) = (FileId::new(0), 0);
        loop {
            if core.stopping() {
                let message = "the server stops; what was not removed yet is left, ask again";
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            let page = core.catalog.write(|tx| {
                container_of(tx, container)?;
                core.purge_some(tx, container, name, until_ms, after)
            })?;
            seen += page.len() as u64;
            match page.last() {
                Some(last) if page.len() == PURGE_ROWS => after = *last,
                _ => return Ok(seen),
            }
        }
    }

    /// Removes a container with all that was in it once, if nothing is in it now: all, or
    /// nothing.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while an object is there, a version is locked, or more versions are
    /// kept than one transaction removes.
    pub fn container_remove_past(&self, id: u64) -> Result<(), Error> {
        let core = &self.core;
        core.catalog.write(|tx| {
            let home = container_of(tx, id)?;
            let past = core.past(tx, &home)?;
            // Of a name the oldest first, so that none comes back meanwhile.
            past.iter().rev().try_for_each(|row| file::remove(tx, row))?;
            containers::remove_empty(tx, &home)
        })
    }
}

impl Core {
    /// The next versions from the oldest on, of which those that may go are gone.
    fn purge_some(
        &self,
        tx: &Tx<'_>,
        container: u64,
        name: &ObjectName,
        until_ms: u64,
        after: FileId,
    ) -> Result<Vec<FileId>, Error> {
        let now = self.ended_ms();
        let page = file::beside(tx, container, name.as_str(), after, true, PURGE_ROWS)?;
        for object in &page {
            let is_alone = || {
                Ok::<_, Error>(file::older(tx, container, name.as_str(), object.id, 1)?.is_empty())
            };
            let stays = object.created_ms > until_ms
                || object.is_locked(now)
                || (object.latest && !(object.marker && is_alone()?));
            if !stays && let Some(row) = file::get(tx, object.id)? {
                file::remove(tx, &row)?;
            }
        }
        Ok(page.iter().map(|object| object.id).collect())
    }

    /// All versions of a container, if they may go with it.
    fn past(&self, tx: &Tx<'_>, home: &Container) -> Result<Vec<ObjectRow>, Error> {
        let stays = |why: String| {
            let message = format!("container '{}' stays as it is: {why}", home.name);
            Error::new(ErrorKind::InUse, message)
        };
        let rows = file::versions(tx, home.id, &From::At(String::new()), PAST_MAX + 1)?;
        let now = self.ended_ms();
        for row in &rows {
            let (object, name) = (&row.object, row.object.name.as_str().escape_debug());
            if object.latest && !object.marker {
                return Err(stays(format!("object '{name}' is in it; remove its objects first")));
            }
            if object.is_locked(now) {
                let id = object.id.get();
                return Err(stays(format!("version {id} of object '{name}' is locked")));
            }
        }
        match rows.len() > PAST_MAX {
            true => Err(stays(format!(
                "more than {PAST_MAX} versions of removed objects are kept; purge them first"
            ))),
            false => Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests;
