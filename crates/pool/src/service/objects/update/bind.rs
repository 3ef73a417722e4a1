//! Binding updates of one object: edits of the newest map, a version for each.

use std::collections::HashSet;
use std::io::Read;

use archipelago_engine::{self as engine, Edit, Ingested, Rebased};
use archipelago_model::{
    BLOCK_BYTES, FileId, Location, ObjectName, PoolId, SECTOR_BYTES, SegmentId,
};

use super::super::super::transfer::ingest_error;
use super::super::content::Stretch;
use super::super::{checked, container_of, missing};
use super::{Payload, Request, Updated, refuse_sealed, size_after};
use crate::catalog::file::{self, ObjectRow};
use crate::catalog::{CatalogError, Tx, segment, state};
use crate::core::{Core, Fixed, Held, record_segments};
use crate::error::{Error, ErrorKind};
use crate::object::{Archive, Meta, Object, Versioning, Which};
use crate::seal::refuse_clear;

/// Edits are made anew so often when another version came between. Each time somebody else
/// has put or removed all of the object, which takes longer than an edit of its map.
const MOVED_TRIES: usize = 64;
/// And so often when what they share is on its way out, as every bind.
const LEAVING_TRIES: usize = 5;
/// The id of a version that is not bound yet: nobody can have heard of it.
const NO_ID: FileId = FileId::new(i64::MAX as u64);

/// What edits are made on.
struct Base {
    versioning: Versioning,
    /// Where what is replaced is kept, if it is.
    archive: Option<Archive>,
    /// The newest version, also one that only says that the object was removed.
    newest: Option<(FileId, Location)>,
    /// The same, if it has content.
    object: Option<Object>,
    held: Held,
}

/// A request that may be done.
struct Planned {
    /// Its number among the requests.
    index: usize,
    at: u64,
    size: u64,
    object: Object,
}

/// Why an attempt to bind changed nothing.
enum Unbound {
    /// Another version is the newest by now.
    Moved,
    /// These segments are on their way out.
    Leaving(Vec<SegmentId>),
    /// It failed.
    Failed(Error),
}

impl From<Error> for Unbound {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<CatalogError> for Unbound {
    fn from(error: CatalogError) -> Self {
        Self::Failed(error.into())
    }
}

impl Core {
    /// Does updates of one object in their order. One that fails leaves the others alone.
    pub(super) fn bind_updates(
        &self,
        container: u64,
        name: &ObjectName,
        mut requests: Vec<Request>,
    ) -> Vec<Result<Updated, Error>> {
        let binding = Binding { core: self, container, name };
        let mut outcomes = Vec::new();
        let mut together = true;
        while !requests.is_empty() {
            let count = if together { requests.len() } else { 1 };
            match binding.some(&mut requests[..count]) {
                Ok(done) => {
                    requests.drain(..done.len());
                    outcomes.extend(done);
                }
                // Which of them it was is known when each is done by itself.
                Err(_) if count > 1 => together = false,
                Err(error) => {
                    requests.remove(0);
                    outcomes.push(Err(error));
                }
            }
        }
        outcomes
    }
}

/// The object that is updated.
struct Binding<'a> {
    core: &'a Core,
    container: u64,
    name: &'a ObjectName,
}

impl Binding<'_> {
    /// Does some of the requests, from the first on, and at least one.
    fn some(&self, requests: &mut [Request]) -> Result<Vec<Result<Updated, Error>>, Error> {
        let (mut moved, mut left) = (0, 0);
        while moved < MOVED_TRIES && left < LEAVING_TRIES {
            let base = self.base()?;
            let (planned, mut outcomes) = self.plan(&base, requests);
            if planned.is_empty() {
                return Ok(outcomes.drain(..).flatten().collect());
            }
            let every = base.versioning == Versioning::Enabled || base.archive.is_some();
            let rebased = self.rebase(&base, &planned, requests, every)?;
            match self.bind(&base, &planned, requests, &rebased) {
                Ok(objects) => {
                    let last = planned.get(objects.len()).map_or(requests.len(), |p| p.index);
                    for (planned, object) in planned.iter().zip(objects) {
                        outcomes[planned.index] = Some(Ok(Updated { object, at: planned.at }));
                    }
                    outcomes.truncate(last);
                    return Ok(outcomes.into_iter().flatten().collect());
                }
                Err(Unbound::Moved) => moved += 1,
                Err(Unbound::Leaving(segments)) => {
                    left += 1;
                    self.rewrite(requests, &segments);
                }
                Err(Unbound::Failed(error)) => return Err(error),
            }
        }
        let message = "others keep replacing this object, or what it shares keeps leaving";
        Err(Error::new(ErrorKind::Unavailable, format!("{message}; try again")))
    }

    fn base(&self) -> Result<Base, Error> {
        let core = self.core;
        // What has not ended for sure is not replaced by what was to be added to it.
        let now = core.ended_ms();
        let mut found = None;
        let held = core.held(|| {
            let (home, newest) = core.catalog.read(|tx| -> Result<_, Error> {
                let home = container_of(tx, self.container)?;
                refuse_clear(&home)?;
                Ok((home, file::version(tx, self.container, self.name, Which::Latest)?))
            })?;
            let there = |row: &&ObjectRow| !row.object.marker && !row.object.has_ended(now);
            let row = newest.as_ref().filter(there);
            let map = row.map_or(Fixed { root: Location::HOLE, size: 0 }, |row| Fixed {
                root: row.root,
                size: row.object.size,
            });
            found = Some((home.versioning, home.archive(), newest));
            Ok(map)
        })?;
        let (versioning, archive, newest) = found.ok_or_else(|| missing(self.name))?;
        Ok(Base {
            versioning,
            archive,
            newest: newest.as_ref().map(|row| (row.object.id, row.root)),
            object: newest
                .map(|row| row.object)
                .filter(|object| !object.marker && !object.has_ended(now)),
            held,
        })
    }

    /// What each request comes to when those before it are done, and the refusals.
    fn plan(
        &self,
        base: &Base,
        requests: &mut [Request],
    ) -> (Vec<Planned>, Vec<Option<Result<Updated, Error>>>) {
        let mut now = base.object.clone();
        let (mut planned, mut outcomes) = (Vec::new(), Vec::new());
        for (index, request) in requests.iter_mut().enumerate() {
            outcomes.push(match self.plan_one(base, now.as_ref(), request) {
                Ok((at, object)) => {
                    now = Some(object.clone());
                    planned.push(Planned { index, at, size: object.size, object });
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        (planned, outcomes)
    }

    fn plan_one(
        &self,
        base: &Base,
        now: Option<&Object>,
        request: &mut Request,
    ) -> Result<(u64, Object), Error> {
        if now.is_none() && !request.create {
            return Err(missing(self.name));
        }
        if let Payload::Gone(kind, message) = &request.payload {
            return Err(Error::new(*kind, message.clone()));
        }
        let meta = checked((request.decide)(now)?)?;
        refuse_sealed(now)?;
        let end = now.map_or(0, |object| object.size);
        let at = request.place.begin(end)?;
        let size = size_after(end, at, request.payload.len(), request.size)?;
        self.align(request, at)?;
        let object = Object {
            id: NO_ID,
            name: self.name.clone(),
            versioned: base.versioning == Versioning::Enabled,
            latest: true,
            marker: false,
            size,
            etag: None,
            // Those of other bytes.
            meta: Meta { checksums: Default::default(), parts: Vec::new(), ..meta },
            created_ms: 0,
            seal: None,
            // Who adds to what another one wrote does not take it.
            owner: now.map_or(request.owner, |object| object.owner),
        };
        Ok((at, object))
    }

    /// Stores what a request brings once more, where it is not as far behind the begin of a
    /// sector as it has to be.
    fn align(&self, request: &mut Request, at: u64) -> Result<(), Error> {
        let len = request.payload.len();
        let Some((root, offset)) = request.payload.map() else { return Ok(()) };
        if len == 0 || offset % SECTOR_BYTES == at % SECTOR_BYTES {
            return Ok(());
        }
        let view = self.core.engine.view(root, offset + len)?;
        let input: &mut dyn Read = &mut Stretch::new(view, offset, len);
        let phase = at % BLOCK_BYTES;
        let stored = self.core.store_behind(PoolId::FIRST, phase, Some(len), input, &mut |_| {});
        let (ingested, len) = stored?;
        request.payload = Payload::Stored { ingested, phase, len };
        Ok(())
    }

    fn rebase(
        &self,
        base: &Base,
        planned: &[Planned],
        requests: &[Request],
        every: bool,
    ) -> Result<Rebased, Error> {
        let edits = planned.iter().map(|planned| {
            let payload = &requests[planned.index].payload;
            let content = match (payload, payload.map()) {
                (Payload::Bytes(bytes), _) => engine::Content::Bytes(bytes),
                (_, Some((root, offset))) => {
                    engine::Content::Map { root, offset, len: payload.len() }
                }
                (_, None) => engine::Content::Bytes(&[]),
            };
            Edit { at: planned.at, content, size: planned.size }
        });
        let edits: Vec<Edit<'_>> = edits.collect();
        let map = base.held.map;
        Ok(self.core.engine.rebase(map.root, map.size, &edits, every)?)
    }

    /// Binds a version for each edit that was done, in one transaction: all, or none.
    fn bind(
        &self,
        base: &Base,
        planned: &[Planned],
        requests: &[Request],
        rebased: &Rebased,
    ) -> Result<Vec<Object>, Unbound> {
        let planned = &planned[..rebased.done];
        let stored = || planned.iter().filter_map(|p| ingested(&requests[p.index]));
        let mut sealed = rebased.sealed.clone();
        sealed.extend(stored().flat_map(|ingested| ingested.sealed.iter().copied()));
        let mut all: Vec<SegmentId> = sealed.iter().map(|info| info.id).collect();
        all.extend(stored().flat_map(|ingested| ingested.named.iter().copied()));
        let bound = self.core.catalog.write(|tx| {
            if !self.is_newest(tx, base)? {
                return Err(Unbound::Moved);
            }
            record_segments(tx, &sealed)?;
            let leaving = segment::leaving(tx, &all)?;
            if !leaving.is_empty() {
                return Err(Unbound::Leaving(leaving));
            }
            segment::named(tx, &all)?;
            Ok(self.put(tx, planned, &rebased.roots)?)
        });
        if bound.is_ok() {
            self.core.engine.recorded(&sealed);
        }
        bound
    }

    fn is_newest(&self, tx: &Tx<'_>, base: &Base) -> Result<bool, Error> {
        let home = container_of(tx, self.container)?;
        let newest = file::version(tx, self.container, self.name, Which::Latest)?;
        let newest = newest.map(|row| (row.object.id, row.root));
        let keeps_alike = home.versioning == base.versioning && home.archive() == base.archive;
        Ok(keeps_alike && newest == base.newest)
    }

    /// Puts the versions. Where none but the newest is kept, those between were never seen by
    /// anybody, and have nothing but their ids.
    fn put(
        &self,
        tx: &Tx<'_>,
        planned: &[Planned],
        roots: &[engine::Durable<Location>],
    ) -> Result<Vec<Object>, Error> {
        let created_ms = self.core.now_ms();
        let ids = state::take_ids(tx, planned.len() as u64)?;
        let objects = planned.iter().zip(ids).map(|(planned, id)| Object {
            id: FileId::new(id),
            created_ms,
            ..planned.object.clone()
        });
        let objects: Vec<Object> = objects.collect();
        let first = objects.len() - roots.len().min(objects.len());
        for (object, root) in objects[first..].iter().zip(roots) {
            let row = ObjectRow {
                container: self.container,
                object: object.clone(),
                sha256: None,
                root: *root.get(),
            };
            file::put(tx, &row, self.core.ended_ms())?;
        }
        Ok(objects)
    }

    /// Writes again what requests share with segments that are leaving.
    fn rewrite(&self, requests: &mut [Request], leaving: &[SegmentId]) {
        tracing::info!(segments = leaving.len(), "shared data is leaving: it is written again");
        let left: HashSet<SegmentId> = leaving.iter().copied().collect();
        for request in requests {
            let shares = |ingested: &Ingested| {
                let own = ingested.sealed.iter().map(|info| info.id);
                ingested.named.iter().copied().chain(own).any(|id| left.contains(&id))
            };
            if !ingested(request).is_some_and(shares) {
                continue;
            }
            let gone = Payload::Gone(ErrorKind::Internal, String::new());
            let old = std::mem::replace(&mut request.payload, gone);
            request.payload = match old {
                Payload::Stored { ingested, phase, len } => {
                    match self.core.engine.rewrite(ingested, phase + len, leaving) {
                        Ok(ingested) => Payload::Stored { ingested, phase, len },
                        Err(error) => {
                            let error = ingest_error(error);
                            Payload::Gone(error.kind(), error.to_string())
                        }
                    }
                }
                other => other,
            };
        }
    }
}

const fn ingested(request: &Request) -> Option<&Ingested> {
    match &request.payload {
        Payload::Stored { ingested, .. } => Some(ingested),
        Payload::Bytes(_) | Payload::Shared { .. } | Payload::Gone(..) => None,
    }
}
