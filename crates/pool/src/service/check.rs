//! Checking: catalog, files of the pool, footers, maps, index and leases against each
//! other. Nothing is changed; every finding says what it means and what to do.
//!
//! A check may run beside everything else: what is being written now is no finding.

mod explain;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use archipelago_engine::{Error as EngineError, SegmentKind};
use archipelago_env::Env;
use archipelago_model::SegmentId;
use archipelago_store::StoreError;

use super::reports::everything_and_views;
use super::{Config, Service};
use crate::catalog::segment::{self, Known, State};
use crate::catalog::{CatalogError, blocks, check, container, state};
use crate::core::FIRST_SEGMENT;
use crate::error::{Error, ErrorKind, store_error};
use crate::folder::{self, Folder};

pub use explain::{Finding, FindingKind, Severity};

/// A log floor that looks too high is looked at so many times ...
const FLOOR_LOOKS: u32 = 100;
/// ... in these intervals: a checkpoint installs what it committed in far less.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// An index that has what is gone is looked at so many times, in the same intervals.
const INDEX_LOOKS: u32 = 20;

impl Service {
    /// Compares all parts of the store with each other. Reads all maps and footers, and
    /// no data: that is what a scrub does.
    ///
    /// # Errors
    /// The catalog or the disk cannot be read at all.
    pub fn check(&self) -> Result<Vec<Finding>, Error> {
        let core = &self.core;
        // What cannot be looked at is not missing.
        if let Some(problem) = core.pools.problem() {
            return Err(Error::new(ErrorKind::Unavailable, format!("not checked: {problem}")));
        }
        // So that what is sealed is noted, and the floor of the log is raised.
        if let Err(error) = core.checkpoint(&[], false, |_, _| Ok(())) {
            tracing::debug!(%error, "the newest segments are not noted");
        }
        let mut found = Found::default();
        for fault in core.catalog.verify()? {
            found.add(FindingKind::Catalog, "catalog.sqlite", fault);
        }
        if let Some(damage) = folder::verify_store(&core.env, &self.data) {
            found.add(FindingKind::StoreFile, "STORE", damage.what);
        }
        if found.findings.iter().any(|finding| finding.what.starts_with("table ")) {
            // Rows that cannot be read: what they name is not known, and all else would
            // look like a leak.
            return Ok(found.findings);
        }
        self.check_counters(&mut found)?;
        for (key, what) in self.keys_without_secret()? {
            found.add(FindingKind::SecretKey, &format!("key:{key}"), what);
        }
        let known = self.check_segments(&mut found)?;
        self.check_maps(&known, &mut found)?;
        self.pass_over_unnamed(&mut found, &known)?;
        self.check_index(&known, &mut found)?;
        Ok(found.findings)
    }

    /// Checks the store in `data`, which nobody has open. It is opened for that, so that
    /// an interrupted log is read back first, and closed in peace.
    ///
    /// # Errors
    /// `InUse`, `Invalid`: it is open elsewhere, or no store. A store that cannot be
    /// opened for another reason is a finding.
    pub fn check_offline(data: &Path, env: Env) -> Result<Vec<Finding>, Error> {
        use crate::ErrorKind::{InUse, Invalid, ReadOnly, Unavailable};
        Folder::must_be_store(&env, data)?;
        let config = Config {
            collector_interval_ms: 0,
            mover_interval_ms: 0,
            lifecycle_interval_ms: 0,
            ..Config::default()
        };
        match Self::open(data, env, config) {
            Ok(service) => {
                let findings = service.check();
                let closed = service.close();
                let findings = findings?;
                closed?;
                Ok(findings)
            }
            Err(error) if matches!(error.kind(), InUse | Invalid | ReadOnly | Unavailable) => {
                Err(error)
            }
            Err(error) => {
                let mut found = Found::default();
                found.add(FindingKind::Opening, &data.display().to_string(), error.to_string());
                Ok(found.findings)
            }
        }
    }

    fn check_counters(&self, found: &mut Found) -> Result<(), Error> {
        let core = &self.core;
        let (counters, leases) = core
            .catalog
            .read(|tx| Ok::<_, Error>((check::counters(tx)?, check::leases_ahead(tx)?)))?;
        let newest_file = core.store.list_from(FIRST_SEGMENT).map_err(store_error)?.pop();
        let newest = counters.newest_segment.max(newest_file.map_or(0, SegmentId::get));
        // Read anew: ids may have been given since.
        let now = core.catalog.read(check::counters)?;
        if newest >= now.next_segment {
            let what = format!("{:x} is next, {newest:x} exists", now.next_segment);
            found.add(FindingKind::NextSegment, "store_state", what);
        }
        if counters.newest_id >= counters.next_id {
            let what = format!("{} is next, {} exists", counters.next_id, counters.newest_id);
            found.add(FindingKind::NextId, "store_state", what);
        }
        if counters.log_floor > now.next_segment {
            let what = format!("{:x}, where {:x} is next", counters.log_floor, now.next_segment);
            found.add(FindingKind::LogFloor, "store_state", what);
        }
        if let Some((floor, oldest)) = self.late_floor()? {
            let what = format!("{floor:x}, while segment {oldest} is still needed");
            found.add(FindingKind::LogFloor, "store_state", what);
        }
        let miscounted = core.catalog.read(|tx| {
            let mut all = container::miscounted(tx)?;
            all.extend(blocks::miscounted(tx)?);
            Ok::<_, CatalogError>(all)
        })?;
        for (holder, what) in miscounted {
            found.add(FindingKind::Count, &holder, what);
        }
        for (volume, lease, epoch) in leases {
            let what = format!("the lease is of epoch {lease}, the volume of {epoch}");
            found.add(FindingKind::Lease, &format!("volume:{volume}"), what);
        }
        Ok(())
    }

    fn check_segments(&self, found: &mut Found) -> Result<HashMap<SegmentId, Known>, Error> {
        let core = &self.core;
        let horizon = core.engine.horizon();
        let files = core.store.list_from(FIRST_SEGMENT).map_err(store_error)?;
        let rows = core.catalog.read(segment::list)?;
        let known: HashMap<SegmentId, Known> = rows.iter().map(|row| (row.id, *row)).collect();
        let there: HashSet<SegmentId> = files.iter().copied().collect();
        for row in &rows {
            self.check_row(row, there.contains(&row.id), &known, found)?;
        }
        for id in files {
            if core.engine.is_doubtful(id) {
                let what = "its first batch is not whole".to_owned();
                found.add(FindingKind::Torn, &format!("segment:{id}"), what);
                continue;
            }
            let settled =
                horizon.allows(id, SegmentKind::Hot) && horizon.allows(id, SegmentKind::Cold);
            if !settled || known.contains_key(&id) || core.engine.is_open(id) {
                continue;
            }
            // It may have been removed, or be about to be recorded.
            let there = core.store.len(id).is_ok() && !core.engine.is_unrecorded(id);
            if there && core.catalog.read(|tx| segment::find(tx, id))?.is_none() {
                let what = "a file that the catalog does not know".to_owned();
                found.segment(FindingKind::Orphan, id, what);
            }
        }
        Ok(known)
    }

    /// A floor above what recovery would need, and that. Between the commit of a checkpoint
    /// and the time that memory knows of it, it only looks so: then it is looked at again.
    fn late_floor(&self) -> Result<Option<(u64, SegmentId)>, Error> {
        let core = &self.core;
        for looks_left in (0..FLOOR_LOOKS).rev() {
            let floor = core.catalog.read(check::counters)?.log_floor;
            let late = core.engine.oldest_unpersisted().filter(|oldest| oldest.get() < floor);
            match late {
                Some(_) if looks_left > 0 => core.env.clock().sleep(LOOK_EVERY),
                late => return Ok(late.map(|oldest| (floor, oldest))),
            }
        }
        Ok(None)
    }

    fn check_row(
        &self,
        row: &Known,
        there: bool,
        known: &HashMap<SegmentId, Known>,
        found: &mut Found,
    ) -> Result<(), Error> {
        let core = &self.core;
        let name = format!("segment:{}", row.id);
        if let State::Forwarded { to } = row.state {
            match known.get(&to) {
                None => {
                    let what = format!("it is forwarded to segment {to}, which is not there");
                    found.add(FindingKind::Carrier, &name, what);
                }
                // Where nothing was named of what was moved, it went to a segment of nothing.
                Some(carrier)
                    if carrier.raw_bytes > 0 && !core.engine.is_carrier(to).unwrap_or(true) =>
                {
                    let what = format!("segment {to}, to which it is forwarded, has no table");
                    found.add(FindingKind::Carrier, &name, what);
                }
                Some(_) => {}
            }
        }
        if row.state != State::Sealed {
            return Ok(());
        }
        if !there {
            // It may have been collected since the rows were read.
            let now = core.catalog.read(|tx| segment::find(tx, row.id))?;
            if now.is_some_and(|now| now.state == State::Sealed) {
                self.found_of(row, FindingKind::Missing, "its file is not there".to_owned(), found);
            }
            return Ok(());
        }
        match core.engine.footer_of(row.id) {
            Ok(None) => {}
            Ok(Some(info)) => {
                let len = core.store.len(row.id).map_err(store_error)?;
                if row.stored_bytes > 0
                    && (row.stored_bytes != info.stored_bytes || len < info.stored_bytes)
                {
                    let what = format!(
                        "{} bytes by the catalog, {} by its footer, {len} in the pool",
                        row.stored_bytes, info.stored_bytes
                    );
                    self.found_of(row, FindingKind::Size, what, found);
                }
                if row.stored_bytes > 0 && row.raw_bytes != info.raw_bytes {
                    let what = format!(
                        "{} raw bytes by the catalog, {} by its footer",
                        row.raw_bytes, info.raw_bytes
                    );
                    self.found_of(row, FindingKind::Size, what, found);
                }
            }
            Err(EngineError::Store(StoreError::NotFound { .. })) => {}
            Err(error) => self.found_of(row, FindingKind::Footer, error.to_string(), found),
        }
        Ok(())
    }

    /// What is found of a segment; of a backup it matters less, and another is made soon.
    fn found_of(&self, row: &Known, kind: FindingKind, what: String, found: &mut Found) {
        if row.kind == segment::Kind::Backup {
            // Not known any more, as after a start: the next look stores one.
            let _ = std::mem::take(&mut *self.core.backups.lock());
            found.add(FindingKind::Backup, &format!("segment:{}", row.id), what);
        } else {
            found.segment(kind, row.id, what);
        }
    }

    /// What is wrong with segments that nobody names does no harm: after a rebuild, these
    /// are the leftovers of crashes. In doubt it is told as it is.
    fn pass_over_unnamed(
        &self,
        found: &mut Found,
        known: &HashMap<SegmentId, Known>,
    ) -> Result<(), Error> {
        let core = &self.core;
        let suspects: HashSet<SegmentId> = found.segments.values().copied().collect();
        if suspects.is_empty() {
            return Ok(());
        }
        let mut horizon = core.engine.horizon();
        // From the floor on overlays may name what no map does.
        let floor = core.catalog.read(state::log_floor)?;
        horizon.log = horizon.log.min(floor.unwrap_or(FIRST_SEGMENT));
        let settled = |id: SegmentId| {
            let kinds = [SegmentKind::Hot, SegmentKind::Cold];
            known.contains_key(&id) && kinds.iter().all(|kind| horizon.allows(id, *kind))
        };
        let resolving = core.resolving.read_recursive();
        let mut roots = core.catalog.read(state::roots)?;
        roots.extend(core.engine.held_roots());
        let _held: Vec<_> = roots.iter().map(|root| core.engine.pin(*root)).collect();
        drop(resolving);
        let wanted = |id: SegmentId| suspects.contains(&id);
        let Ok(mark) = core.engine.mark(roots, &wanted, &mut || ControlFlow::Continue(())) else {
            return Ok(());
        };
        for (at, id) in &found.segments {
            let finding = &mut found.findings[*at];
            match (finding.kind, mark.live(*id).is_some()) {
                (FindingKind::Orphan, true) => {
                    finding.kind = FindingKind::Catalog;
                    finding.what.push_str(", and that maps name");
                }
                (FindingKind::Orphan, false) | (_, true) => {}
                (_, false) if settled(*id) => finding.kind = FindingKind::Unnamed,
                (_, false) => {}
            }
        }
        Ok(())
    }

    fn check_maps(
        &self,
        known: &HashMap<SegmentId, Known>,
        found: &mut Found,
    ) -> Result<(), Error> {
        let core = &self.core;
        let (named, condemned, _held) = {
            let _resolving = core.resolving.read_recursive();
            let (named, rows) = core
                .catalog
                .read(|tx| Ok::<_, Error>((everything_and_views(tx)?, segment::list(tx)?)))?;
            let held: Vec<_> = named.iter().map(|(_, map)| core.engine.pin(map.root)).collect();
            let condemned: HashSet<SegmentId> =
                rows.iter().filter(|row| row.state == State::Condemned).map(|row| row.id).collect();
            (named, condemned, held)
        };
        let maps: Vec<_> = named.iter().map(|(_, map)| (map.root, map.size)).collect();
        for fault in core.engine.inspect(&maps, &|id| condemned.contains(&id)) {
            let kind = FindingKind::of_map(fault.kind);
            // What is missing was told of the segment; here is who needs it.
            let what = match fault.at.segment() {
                Some(id) if !known.contains_key(&id) && !core.engine.is_open(id) => {
                    format!(
                        "at {}: {} (the catalog does not know the segment)",
                        fault.at, fault.what
                    )
                }
                _ => format!("at {}: {}", fault.at, fault.what),
            };
            found.add(kind, &named[fault.map].0.to_string(), what);
        }
        Ok(())
    }

    fn check_index(
        &self,
        known: &HashMap<SegmentId, Known>,
        found: &mut Found,
    ) -> Result<(), Error> {
        let core = &self.core;
        let mut gone = HashSet::new();
        for id in core.engine.indexed_segments() {
            if known.contains_key(&id) || core.store.len(id).is_ok() {
                continue;
            }
            if core.catalog.read(|tx| segment::find(tx, id))?.is_none() {
                gone.insert(id);
            }
        }
        // A collection tells the index last of what it removed.
        for _ in 0..INDEX_LOOKS {
            if gone.is_empty() {
                break;
            }
            core.env.clock().sleep(LOOK_EVERY);
            let now: HashSet<SegmentId> = core.engine.indexed_segments().into_iter().collect();
            gone.retain(|id| now.contains(id));
        }
        for id in gone {
            let what = format!("entries of segment {id}, which is gone");
            found.add(FindingKind::Index, "dedup index", what);
        }
        let counts = core.catalog.read(state::counts)?;
        tracing::debug!(?counts, findings = found.findings.len(), "the store was checked");
        Ok(())
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    /// Those that are of segments, by their places among the findings.
    segments: HashMap<usize, SegmentId>,
}

impl Found {
    fn add(&mut self, kind: FindingKind, resource: &str, what: String) {
        self.findings.push(Finding { kind, resource: resource.to_owned(), what });
    }

    fn segment(&mut self, kind: FindingKind, id: SegmentId, what: String) {
        self.segments.insert(self.findings.len(), id);
        self.add(kind, &format!("segment:{id}"), what);
    }
}

#[cfg(test)]
mod tests;
