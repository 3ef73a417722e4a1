//! Following the rules of a container: a walk through all its versions, page by page.
//!
//! A walk reads, and decides by what it sees; what it removes it looks at once more, in the
//! transaction that removes it.

use archipelago_model::{FileId, ObjectName};

use super::{BATCH, Ended, UPLOADS, versioning_of};
use crate::catalog::file::{self, From, ObjectRow};
use crate::catalog::lifecycle::{self, LifecycleRow};
use crate::catalog::upload::{self, UploadRow};
use crate::catalog::{Tx, snapshot_file};
use crate::core::Core;
use crate::error::Error;
use crate::lifecycle::{Place, Rule, has_ended};
use crate::object::{Object, Versioning};
use crate::service::objects::put_marker;

/// Rows that are read at once.
const ROWS: usize = 256;
/// Pages without an end after which it is noted how far a walk is: what a restart repeats.
const NOTE_PAGES: u32 = 64;
/// A walk that failed is begun again after so long.
const AGAIN_MS: u64 = 3_600_000;

/// A walk under way.
struct Walk {
    row: LifecycleRow,
    from: From,
    seen: Seen,
    /// Since it was noted how far it is.
    pages: u32,
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
    pub(super) fn follow_rules(&self, done: &mut Ended, paced: bool) -> Result<(), Error> {
        let mut failed = Ok(());
        while !self.stopping() {
            let now = self.now_ms();
            let Some(row) = self.catalog.read(|tx| lifecycle::due(tx, now))? else { break };
            let from = From::At(row.object.clone().unwrap_or_default());
            let mut walk = Walk { row, from, seen: Seen::default(), pages: 0 };
            let walked = match self.walk_versions(&mut walk, now, done, paced) {
                Ok(true) => self.walk_uploads(&walk.row, now, done, paced),
                other => other.map(drop),
            };
            if let Err(error) = walked {
                // One container must not keep the others from being looked at.
                let later = LifecycleRow { next_ms: now + AGAIN_MS, ..walk.row };
                self.catalog.write_aside(|tx| lifecycle::note(tx, &later))?;
                failed = Err(error);
            }
        }
        failed
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
            for batch in ended.chunks(BATCH) {
                if !self.end_versions(&walk.row, batch, now, done)? {
                    return Ok(false);
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

    /// Ends versions that have; `false` when the rules are others by now.
    fn end_versions(
        &self,
        rules: &LifecycleRow,
        ids: &[FileId],
        now: u64,
        done: &mut Ended,
    ) -> Result<bool, Error> {
        let day = self.config.lifecycle_day_ms;
        let ended = self.catalog.write(|tx| -> Result<_, Error> {
            let Some(versioning) = versioning_of(tx, rules.container)? else { return Ok(None) };
            if !lifecycle::is_current(tx, rules)? {
                return Ok(None);
            }
            let mut ended = Ended::default();
            for id in ids {
                let Some(row) = file::get(tx, *id)? else { continue };
                // It goes with its snapshot, whatever is said of its container.
                if snapshot_file::of_snapshot(tx, *id)?.is_some() {
                    continue;
                }
                let place = place_of(tx, &row, &rules.rules)?;
                if has_ended(&rules.rules, &row.object, place, now, day) {
                    self.end_version(tx, &row, versioning, now, &mut ended)?;
                }
            }
            Ok(Some(ended))
        })?;
        if let Some(ended) = &ended {
            done.add(ended);
        }
        Ok(ended.is_some())
    }

    fn end_version(
        &self,
        tx: &Tx<'_>,
        row: &ObjectRow,
        versioning: Versioning,
        now: u64,
        ended: &mut Ended,
    ) -> Result<(), Error> {
        let object = &row.object;
        let newest = object.latest && !object.marker;
        match versioning {
            Versioning::Off => {}
            // Only hidden: what it is locked by does not matter.
            Versioning::Enabled | Versioning::Suspended if newest => {
                // A version without an id would be replaced by the mark.
                let versioned = versioning == Versioning::Enabled;
                if !versioned && !object.versioned && object.is_locked(now) {
                    return Ok(());
                }
                put_marker(self, tx, row.container, &object.name, versioned)?;
                ended.by_rules += 1;
                return Ok(());
            }
            Versioning::Enabled | Versioning::Suspended => {}
        }
        if object.is_locked(now) {
            return Ok(());
        }
        file::remove(tx, row)?;
        let count = if newest { &mut ended.by_rules } else { &mut ended.older };
        *count += 1;
        Ok(())
    }

    /// Gives up uploads that are as old as rules say, and ends the walk.
    pub(super) fn walk_uploads(
        &self,
        row: &LifecycleRow,
        now: u64,
        done: &mut Ended,
        paced: bool,
    ) -> Result<(), Error> {
        let day = self.config.lifecycle_day_ms.max(1);
        let (mut object, mut id) = (String::new(), 0);
        while row.rules.iter().any(|rule| rule.abort_days.is_some()) && !self.stopping() {
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
            for batch in ended.chunks(UPLOADS) {
                match self.catalog.write(|tx| give_up(tx, row, batch))? {
                    Some(count) => done.uploads += count,
                    // Whatever is current is followed from its own beginning.
                    None => return Ok(()),
                }
            }
            self.rest_after(begin, paced);
        }
        if self.stopping() {
            return Ok(());
        }
        let next_ms = (now / day + 1).saturating_mul(day);
        let next = LifecycleRow { next_ms, object: None, ..row.clone() };
        Ok(self.catalog.write_aside(|tx| lifecycle::note(tx, &next))?)
    }
}

/// Gives up uploads; how many, or `None` when the rules are others by now.
fn give_up(
    tx: &Tx<'_>,
    rules: &LifecycleRow,
    uploads: &[&UploadRow],
) -> Result<Option<u64>, Error> {
    if !lifecycle::is_current(tx, rules)? {
        return Ok(None);
    }
    let mut ended = 0;
    for old in uploads {
        let upload = &old.upload;
        // It may have been completed meanwhile.
        if let Some(now) = upload::find(tx, old.container, &upload.object, &upload.uuid)? {
            upload::remove(tx, &now)?;
            ended += 1;
        }
    }
    Ok(Some(ended))
}
