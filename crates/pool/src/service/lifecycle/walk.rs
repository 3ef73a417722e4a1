//! Following the rules of a container: a walk through all its versions, page by page.
//!
//! A walk reads, and decides by what it sees; what it removes it looks at once more, in the
//! transaction that removes it.

use std::fmt::Display;

use archipelago_model::{FileId, ObjectName};

use super::{AGAIN_MS, BATCH, Batch, Ended, UPLOADS};
use crate::catalog::file::{self, From, ObjectRow};
use crate::catalog::lifecycle::{self, LifecycleRow};
use crate::catalog::upload::{self, UploadRow};
use crate::catalog::{Tx, archive, container, snapshot_file, state};
use crate::core::Core;
use crate::error::Error;
use crate::lifecycle::{DAY_MS, Place, Rule, has_ended};
use crate::object::{Container, Object, Versioning};
use crate::service::objects::{archived_marker, put_marker};

/// Rows that are read at once.
const ROWS: usize = 256;
/// Pages without an end after which it is noted how far a walk is: what a restart repeats.
const NOTE_PAGES: u32 = 64;

/// A walk under way.
struct Walk {
    row: LifecycleRow,
    from: From,
    seen: Seen,
    /// Since it was noted how far it is.
    pages: u32,
    /// Why the first that could not end did not.
    failed: Option<Error>,
}

/// What was seen of the name that a walk is at.
#[derive(Default)]
struct Seen {
    name: Option<ObjectName>,
    /// When the version before, a newer one, came.
    newer_ms: Option<u64>,
    /// Of those before, how many are not the newest.
    older: u32,
}

impl Seen {
    /// Where a version stands, as far as those before it tell.
    fn place(&mut self, object: &Object) -> Place {
        if self.name.as_ref() != Some(&object.name) {
            *self = Self { name: Some(object.name.clone()), ..Self::default() };
        }
        let replaced_ms = self.newer_ms.filter(|_| !object.latest);
        let place = Place { replaced_ms, newer: self.older, alone: true };
        self.newer_ms = Some(object.created_ms);
        self.older += u32::from(!object.latest);
        place
    }
}

/// Where a version stands.
fn place_of(tx: &Tx<'_>, row: &ObjectRow, rules: &[Rule]) -> Result<Place, Error> {
    let (object, container) = (&row.object, row.container);
    let name = object.name.as_str();
    if object.latest {
        let alone = file::older(tx, container, name, object.id, 1)?.is_empty();
        return Ok(Place { replaced_ms: None, newer: 0, alone });
    }
    let keeps = rules.iter().filter_map(|rule| rule.noncurrent).map(|noncurrent| noncurrent.keep);
    let limit = keeps.max().unwrap_or(0) as usize + 1;
    let newer = file::beside(tx, container, name, object.id, true, limit)?;
    Ok(Place {
        replaced_ms: newer.first().map(|next| next.created_ms),
        newer: newer.iter().filter(|one| !one.latest).count() as u32,
        alone: false,
    })
}

impl Core {
    /// Follows the rules of all containers for which it is time.
    pub(super) fn follow_rules(
        &self,
        now: u64,
        done: &mut Ended,
        paced: bool,
    ) -> Result<(), Error> {
        let latest = now.saturating_add(self.config.lifecycle_day_ms.max(DAY_MS));
        let mut result = Ok(());
        while !self.stopping() {
            let Some(id) = self.catalog.read(|tx| lifecycle::due(tx, now, latest))? else { break };
            let error = match self.walk(id, now, done, paced) {
                Ok(None) => continue,
                Ok(Some(failed)) => failed,
                Err(error) => {
                    // One container must not keep the others from being looked at.
                    let later = now.saturating_add(AGAIN_MS);
                    self.catalog.write_aside(|tx| lifecycle::put_off(tx, id, later))?;
                    error
                }
            };
            let on = format_args!("the rules of the container with id {id}");
            result = result.and(Err(error.on(on)));
        }
        result
    }

    /// Walks through a container; with the first error of what could not end, which the next
    /// walk comes by again.
    fn walk(
        &self,
        container: u64,
        now: u64,
        done: &mut Ended,
        paced: bool,
    ) -> Result<Option<Error>, Error> {
        let Some(row) = self.catalog.read(|tx| lifecycle::get(tx, container))? else {
            return Ok(None);
        };
        let from = From::At(row.object.clone().unwrap_or_default());
        let mut walk = Walk { row, from, seen: Seen::default(), pages: 0, failed: None };
        if self.walk_versions(&mut walk, now, done, paced)? {
            let failed = self.walk_uploads(&walk.row, now, done, paced)?;
            walk.failed = walk.failed.or(failed);
        }
        Ok(walk.failed)
    }

    /// Whether it came to the end.
    fn walk_versions(
        &self,
        walk: &mut Walk,
        now: u64,
        done: &mut Ended,
        paced: bool,
    ) -> Result<bool, Error> {
        let day = self.config.lifecycle_day_ms;
        loop {
            let begin = self.env.clock().monotonic();
            let container = walk.row.container;
            let page = self.catalog.read(|tx| file::versions(tx, container, &walk.from, ROWS))?;
            let mut ended = Vec::new();
            for row in &page {
                let object = &row.object;
                let place = walk.seen.place(object);
                if has_ended(&walk.row.rules, object, place, now, day) {
                    ended.push(object.id);
                }
                walk.from = From::Older(object.name.to_string(), object.id);
            }
            for ids in ended.chunks(BATCH) {
                let Some(batch) = self.end_versions(&walk.row, ids, now)? else {
                    return Ok(false);
                };
                done.add(&batch.ended);
                if let Some(failed) = first_failed(batch.failed, "object") {
                    walk.failed.get_or_insert(failed);
                }
            }
            if page.len() < ROWS {
                return Ok(true);
            }
            walk.pages += 1;
            let stops = self.stopping();
            if stops || walk.pages == NOTE_PAGES {
                walk.pages = 0;
                walk.row.object = walk.seen.name.as_ref().map(ObjectName::to_string);
                self.catalog.write_aside(|tx| lifecycle::note(tx, &walk.row))?;
            }
            if stops {
                return Ok(false);
            }
            self.rest_after(begin, paced);
        }
    }

    /// Ends versions that have; `None` when the rules are others by now.
    fn end_versions(
        &self,
        rules: &LifecycleRow,
        ids: &[FileId],
        now: u64,
    ) -> Result<Option<Batch<FileId>>, Error> {
        let day = self.config.lifecycle_day_ms;
        let home = |tx: &Tx<'_>| match lifecycle::is_current(tx, rules)? {
            true => Ok(container::get(tx, rules.container)?),
            false => Ok(None),
        };
        self.end_batch(ids, home, |tx, home, id| {
            let nothing = Ended::default();
            let Some(row) = file::get(tx, id)? else { return Ok(nothing) };
            // It goes with its snapshot, whatever is said of its container.
            if snapshot_file::of_snapshot(tx, id)?.is_some() {
                return Ok(nothing);
            }
            let place = place_of(tx, &row, &rules.rules)?;
            if has_ended(&rules.rules, &row.object, place, now, day) {
                self.end_version(tx, home, &row, now)
            } else {
                Ok(nothing)
            }
        })
    }

    fn end_version(
        &self,
        tx: &Tx<'_>,
        home: &Container,
        row: &ObjectRow,
        now: u64,
    ) -> Result<Ended, Error> {
        let object = &row.object;
        let newest = object.latest && !object.marker;
        let ended =
            Ended { by_rules: u64::from(newest), older: u64::from(!newest), ..Ended::default() };
        if newest && home.versioning != Versioning::Off {
            // Only hidden: what it is locked by does not matter.
            let versioned = home.versioning == Versioning::Enabled;
            // A version without an id would be replaced by the mark.
            if !versioned && !object.versioned && object.is_locked(now) {
                return Ok(Ended::default());
            }
            put_marker(self, tx, row.container, &object.name, versioned)?;
            return Ok(ended);
        }
        if object.is_locked(now) {
            return Ok(Ended::default());
        }
        let note = |name| Ok(archived_marker(state::take_id(tx)?, name, self.now_ms()));
        if !(newest && archive::end(tx, home, row, self.now_ms(), note)?) {
            file::remove(tx, row)?;
        }
        Ok(ended)
    }

    /// Gives up uploads that are as old as rules say, and ends the walk; with the first error
    /// of what could not be given up.
    pub(super) fn walk_uploads(
        &self,
        row: &LifecycleRow,
        now: u64,
        done: &mut Ended,
        paced: bool,
    ) -> Result<Option<Error>, Error> {
        let (mut object, mut id) = (String::new(), 0);
        let (day, mut failed) = (self.config.lifecycle_day_ms.max(1), None);
        while !self.stopping() && row.rules.iter().any(|rule| rule.abort_days.is_some()) {
            let begin = self.env.clock().monotonic();
            let page =
                self.catalog.read(|tx| upload::list(tx, row.container, &object, id, ROWS))?;
            let Some(last) = page.last() else { break };
            (object, id) = (last.upload.object.to_string(), last.id);
            let has_ended = |one: &&UploadRow| {
                let (name, began) = (one.upload.object.as_str(), one.upload.created_ms);
                let ends = row.rules.iter().filter_map(|rule| rule.end_of_upload(name, began, day));
                ends.min().is_some_and(|at| at <= now)
            };
            let ended: Vec<_> = page.iter().filter(has_ended).collect();
            for uploads in ended.chunks(UPLOADS) {
                let current = |tx: &Tx<'_>| Ok(lifecycle::is_current(tx, row)?.then_some(()));
                let Some(batch) =
                    self.end_batch(uploads, current, |tx, (), one| give_up(tx, one))?
                else {
                    // Whatever is current is followed from its own beginning.
                    return Ok(failed);
                };
                done.add(&batch.ended);
                let some = batch.failed.into_iter().map(|(one, error)| (one.id, error)).collect();
                failed = failed.or(first_failed(some, "upload"));
            }
            self.rest_after(begin, paced);
        }
        if self.stopping() {
            return Ok(failed);
        }
        let next_ms = (now / day + 1).saturating_mul(day);
        let next = LifecycleRow { next_ms, object: None, ..row.clone() };
        self.catalog.write_aside(|tx| lifecycle::note(tx, &next))?;
        Ok(failed)
    }
}

/// Gives up an upload.
fn give_up(tx: &Tx<'_>, old: &UploadRow) -> Result<Ended, Error> {
    let upload = &old.upload;
    // It may have been completed meanwhile.
    let Some(now) = upload::find(tx, old.container, &upload.object, &upload.uuid)? else {
        return Ok(Ended::default());
    };
    upload::remove(tx, &now)?;
    Ok(Ended { uploads: 1, ..Ended::default() })
}

/// The first that did not end, as an error that names it.
fn first_failed<T: Display>(failed: Vec<(T, Error)>, what: &str) -> Option<Error> {
    let (id, error) = failed.into_iter().next()?;
    Some(error.on(format_args!("the {what} with id {id}")))
}

#[cfg(test)]
mod tests;
