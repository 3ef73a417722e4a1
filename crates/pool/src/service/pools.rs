//! Pools: adding and emptying them, and saying in which one resources are to be.

mod mirrors;

use std::collections::HashSet;

use archipelago_model::{AccountId, ContainerName, PoolId, PoolName, SegmentId, VolumeName};
use archipelago_store::{Space, StoreError};

use super::Service;
use crate::catalog::identity::account;
use crate::catalog::place::{Held, PlaceRow, Placed};
use crate::catalog::{CatalogError, Tx, container, place, segment, state};
use crate::core::{Core, volume_row};
use crate::error::{Error, ErrorKind, store_error};

/// Pools of a store at most: each is a client of its own, with threads and connections.
pub const POOLS_MAX: usize = 64;

/// How a pool is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PoolState {
    /// It is in use.
    Open,
    /// It could not be opened, or did not answer just now; it is tried again.
    Away {
        /// Why.
        why: String,
    },
}

/// A pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// What it is: directory, s3 or rados.
    pub kind: String,
    /// Where it is.
    pub url: String,
    /// How it is.
    pub state: PoolState,
    /// The pool that everything of it goes to, if it is drained.
    pub drain_to: Option<PoolName>,
    /// The pool where the second copy of everything in it is to be.
    pub mirror: Option<PoolName>,
    /// Sealed segments of it whose second copy is still to be made, ...
    pub lacking: u64,
    /// ... and their bytes.
    pub lacking_bytes: u64,
    /// Segments that are in it.
    pub segments: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Second copies in it, of segments of other pools, ...
    pub copies: u64,
    /// ... and their bytes.
    pub copy_bytes: u64,
    /// Reads that another pool answered since the store was opened, because this one did not.
    pub answered_by_copies: u64,
    /// Accounts, containers and volumes that are to be in it.
    pub resources: u64,
    /// Room there, of a pool that answers.
    pub space: Option<Space>,
    /// What keeps segments from coming or leaving.
    pub problem: Option<String>,
    /// Everything that was to be moved was, since somebody last said where something is to be.
    pub settled: bool,
}

/// Where a resource is, and is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Where it is to be; `None` where nobody said so.
    pub pool: Option<PoolName>,
    /// Bytes of the segments that it names, by the pool that they are in. Others may name
    /// them, too.
    pub stored: Vec<(PoolName, u64)>,
    /// As of a pool.
    pub settled: bool,
}

impl Service {
    /// All pools, the first one first.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn pools(&self) -> Result<Vec<Pool>, Error> {
        let rows = self.core.catalog.read(|tx| {
            let rows = place::list(tx)?;
            let each = rows.iter().map(|row| -> Result<_, CatalogError> {
                let (held, resources) = (place::held(tx, row.id)?, place::placed_in(tx, row.id)?);
                let lacking = segment::lacking_of(tx, row.id)?;
                Ok(Counted { row: row.clone(), held, resources, lacking })
            });
            each.collect::<Result<Vec<_>, CatalogError>>()
        })?;
        let name = |id: PoolId| {
            let found = rows.iter().find(|one| one.row.id == id);
            found.map(|one| one.row.name.clone())
        };
        Ok(rows
            .iter()
            .map(|one| {
                let (drain_to, mirror) =
                    (one.row.drain_to.and_then(name), one.row.mirror.and_then(name));
                self.core.shown_pool(one, drain_to, mirror)
            })
            .collect())
    }

    /// A pool by name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn pool(&self, name: &PoolName) -> Result<Pool, Error> {
        let found = self.pools()?.into_iter().find(|pool| pool.name == *name);
        found.ok_or_else(|| no_pool(name))
    }

    /// Makes an empty place a pool of the store.
    ///
    /// # Errors
    /// `AlreadyExists` (the name), `Invalid` (the url; a place that is another store's, or not
    /// empty), `Unavailable`. Nothing is changed then.
    pub fn pool_add(&self, name: &PoolName, url: &str) -> Result<Pool, Error> {
        let core = &self.core;
        let taken = || Error::already_exists(format_args!("pool '{name}'"));
        core.catalog.read(|tx| -> Result<_, Error> {
            let rows = place::list(tx)?;
            if rows.iter().any(|row| row.name == *name) {
                return Err(taken());
            }
            if rows.len() >= POOLS_MAX {
                return Err(Error::invalid(format!("a store has {POOLS_MAX} pools at most")));
            }
            Ok(())
        })?;
        // Never given again: what is claimed by it says so for ever.
        // Of two the second is not the first pool's.
        let ids = core.catalog.write(|tx| state::take_ids(tx, 2))?;
        let id = PoolId::new(ids.end - 1);
        core.pools.add(id, url, |kind| {
            let (kind, url) = (kind.to_owned(), url.to_owned());
            let name = name.clone();
            let row = PlaceRow { id, name, kind, url, drain_to: None, mirror: None };
            core.catalog.write(|tx| match place::insert(tx, &row)? {
                true => Ok(()),
                false => Err(taken()),
            })
        })?;
        core.tell_backups();
        self.pool(name)
    }

    /// Gives a pool up in which nothing is.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while something is in it, or is to be; `Invalid` for the first one.
    pub fn pool_remove(&self, name: &PoolName) -> Result<(), Error> {
        let core = &self.core;
        let row = core.catalog.read(|tx| found(tx, name))?;
        if row.id == PoolId::FIRST {
            return Err(Error::invalid(format!(
                "pool '{name}' has the log and the backups of the catalog, and cannot be removed"
            )));
        }
        // Nobody makes or moves a segment there meanwhile.
        let _no_collection = core.collector.lock();
        core.catalog.read(|tx| not_a_mirror(tx, &row))?;
        if core.pools.spread.is_open(row.id) {
            let there = core.pools.spread.member(row.id).and_then(|p| p.list_from(SegmentId::MIN));
            let there = there.map_err(store_error)?.len();
            if there > 0 {
                return Err(still_there(name, there as u64));
            }
        }
        core.pools.remove(&row, || {
            let removed = core.catalog.write(|tx| -> Result<(), Error> {
                segment::leave_emptied(tx, row.id)?;
                let held = place::held(tx, row.id)?;
                if held.segments + held.copies > 0 || !place::remove(tx, row.id)? {
                    return Err(still_there(name, held.segments + held.copies));
                }
                Ok(())
            });
            removed.inspect(|()| core.tell_backups())
        })
    }

    /// Has everything of a pool go to another one, `None` for the first; from now on nothing new
    /// goes there.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the first one, and for a target that is drained itself.
    pub fn pool_drain(&self, name: &PoolName, to: Option<&PoolName>) -> Result<Pool, Error> {
        let core = &self.core;
        core.catalog.write(|tx| -> Result<(), Error> {
            let row = found(tx, name)?;
            if row.id == PoolId::FIRST {
                return Err(Error::invalid(format!(
                    "pool '{name}' has the log and the backups of the catalog, and cannot be \
                     drained"
                )));
            }
            let to = match to {
                Some(to) => found(tx, to)?,
                None => first(tx)?,
            };
            if to.id == row.id || to.drain_to.is_some() {
                return Err(Error::invalid(format!(
                    "pool '{name}' cannot be drained to '{}', which is drained itself",
                    to.name
                )));
            }
            not_a_mirror(tx, &row)?;
            if place::list(tx)?.iter().any(|other| other.drain_to == Some(row.id)) {
                return Err(Error::invalid(format!(
                    "another pool is drained to '{name}'; drain that one elsewhere first"
                )));
            }
            Ok(place::set_drain(tx, row.id, Some(to.id))?)
        })?;
        core.mover.wake();
        self.pool(name)
    }

    /// Takes a pool into use again that was to be emptied. What has left it stays where it is.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn pool_use(&self, name: &PoolName) -> Result<Pool, Error> {
        self.core.catalog.write(|tx| -> Result<(), Error> {
            let row = found(tx, name)?;
            Ok(place::set_drain(tx, row.id, None)?)
        })?;
        self.core.mover.wake();
        self.pool(name)
    }

    /// Says in which pool a volume and its snapshots are to be; they move there in the
    /// background, while guests go on. `None`: nobody minds, and what is there stays.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a pool that is drained.
    pub fn volume_place(
        &self,
        name: &VolumeName,
        pool: Option<&PoolName>,
    ) -> Result<Placement, Error> {
        self.core.catalog.write(|tx| -> Result<(), Error> {
            let row = volume_row(tx, name)?;
            put(tx, Placed::Volume(row.id), pool)
        })?;
        // What is only in the log has no map that tells of it.
        self.core.persist_all()?;
        self.core.mover.wake();
        self.volume_placement(name)
    }

    /// Where a volume is.
    ///
    /// # Errors
    /// `NotFound`; its map cannot be read.
    pub fn volume_placement(&self, name: &VolumeName) -> Result<Placement, Error> {
        let core = &self.core;
        let resolving = core.resolving.read_recursive();
        let (said, root) = core.catalog.read(|tx| -> Result<_, Error> {
            let row = volume_row(tx, name)?;
            Ok((place::placed(tx, Placed::Volume(row.id))?, row.root))
        })?;
        let _held = core.engine.pin(root);
        drop(resolving);
        core.placement(said, &[root])
    }

    /// The same of a container and what is in it; what comes goes there at once.
    ///
    /// # Errors
    /// As [`Self::volume_place`].
    pub fn container_place(
        &self,
        account: AccountId,
        name: &ContainerName,
        pool: Option<&PoolName>,
    ) -> Result<Placement, Error> {
        self.core.catalog.write(|tx| put(tx, container_placed(tx, account, name)?, pool))?;
        self.core.mover.wake();
        self.container_placement(account, name)
    }

    /// Where a container is to be, by its own word.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn container_placement(
        &self,
        account: AccountId,
        name: &ContainerName,
    ) -> Result<Placement, Error> {
        let said = self.core.catalog.read(|tx| -> Result<_, Error> {
            Ok(place::placed(tx, container_placed(tx, account, name)?)?)
        })?;
        self.core.placement(said, &[])
    }

    /// The same of an account, for those of its containers that say nothing themselves.
    ///
    /// # Errors
    /// As [`Self::volume_place`].
    pub fn account_place(
        &self,
        account: AccountId,
        pool: Option<&PoolName>,
    ) -> Result<Placement, Error> {
        self.core.catalog.write(|tx| -> Result<(), Error> {
            if account::get(tx, account)?.is_none() {
                return Err(Error::not_found("the account", "account ls"));
            }
            put(tx, Placed::Account(account), pool)
        })?;
        self.core.mover.wake();
        self.account_placement(account)
    }

    /// Where the containers of an account are to be that say nothing themselves.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn account_placement(&self, account: AccountId) -> Result<Placement, Error> {
        let said = self.core.catalog.read(|tx| place::placed(tx, Placed::Account(account)))?;
        self.core.placement(said, &[])
    }
}

/// A pool, and what is in it.
struct Counted {
    row: PlaceRow,
    held: Held,
    resources: u64,
    lacking: (u64, u64),
}

impl Core {
    fn shown_pool(
        &self,
        counted: &Counted,
        drain_to: Option<PoolName>,
        mirror: Option<PoolName>,
    ) -> Pool {
        let Counted { row, held, resources, lacking } = counted;
        let answer = self.pool_space(row.id);
        let state = match (self.pools.why_away(row.id), &answer) {
            (Some(why), _) => PoolState::Away { why },
            (None, Err(error)) => PoolState::Away { why: error.to_string() },
            (None, Ok(_)) => PoolState::Open,
        };
        Pool {
            name: row.name.clone(),
            kind: row.kind.clone(),
            url: row.url.clone(),
            state,
            drain_to,
            mirror,
            lacking: lacking.0,
            lacking_bytes: lacking.1,
            segments: held.segments,
            stored_bytes: held.stored_bytes,
            copies: held.copies,
            copy_bytes: held.copy_bytes,
            answered_by_copies: self.pools.spread.answered_for(row.id),
            resources: *resources,
            space: answer.ok(),
            problem: self.mover.problem(row.id),
            settled: self.mover.is_settled(),
        }
    }

    /// A rebuild learns of the pools from a backup, and needs all that it tells of.
    pub(super) fn tell_backups(&self) {
        if let Err(error) = self.back_up_both(self.catalog.changes()) {
            tracing::warn!(%error, "one backup knows the pools, not two");
            self.back_up_if_possible();
        }
    }

    /// Room in one pool.
    pub(super) fn pool_space(&self, pool: PoolId) -> Result<Space, StoreError> {
        if pool == PoolId::FIRST {
            // With the layers that tests put round it.
            return self.store.space();
        }
        self.pools.spread.space_of(pool)
    }

    /// Whether compaction may write to a pool.
    pub(super) fn may_compact_in(&self, pool: PoolId) -> Result<bool, Error> {
        if pool == PoolId::FIRST {
            return Ok(true);
        }
        let rows = self.catalog.read(place::list)?;
        let row = rows.iter().find(|row| row.id == pool);
        Ok(self.pools.spread.is_open(pool) && row.is_some_and(|row| row.drain_to.is_none()))
    }

    /// Where new content of a container goes.
    ///
    /// # Errors
    /// `Unavailable`: the pool that it is to be in is away.
    pub(super) fn pool_for(&self, container: u64) -> Result<PoolId, Error> {
        if self.pools.spread.is_single() {
            return Ok(PoolId::FIRST);
        }
        let wanted = self.catalog.read(|tx| -> Result<_, Error> {
            let Some(pool) = place::of_container(tx, container)? else { return Ok(None) };
            let rows = place::list(tx)?;
            let row = rows.into_iter().find(|row| row.id == pool);
            Ok(row.map(|row| row.drain_to.unwrap_or(row.id)))
        })?;
        wanted.map_or(Ok(PoolId::FIRST), |pool| self.pools.usable(pool))
    }

    fn placement(
        &self,
        said: Option<PoolId>,
        roots: &[archipelago_model::Location],
    ) -> Result<Placement, Error> {
        let (rows, known) =
            self.catalog.read(|tx| Ok::<_, Error>((place::list(tx)?, segment::list(tx)?)))?;
        let named = match roots.is_empty() {
            true => HashSet::new(),
            false => super::mover::named(self, &known, roots)?,
        };
        let stored = rows.iter().map(|row| {
            let of_pool = known.iter().filter(|one| {
                // What a compaction has moved is counted where it went.
                let here = one.pool == row.id && one.state == segment::State::Sealed;
                here && named.contains(&one.id)
            });
            (row.name.clone(), of_pool.map(|one| one.stored_bytes).sum())
        });
        let stored = stored.filter(|(_, bytes)| *bytes > 0).collect();
        let pool = said.and_then(|id| rows.iter().find(|row| row.id == id));
        let settled = self.mover.is_settled();
        Ok(Placement { pool: pool.map(|row| row.name.clone()), stored, settled })
    }
}

fn container_placed(
    tx: &Tx<'_>,
    account: AccountId,
    name: &ContainerName,
) -> Result<Placed, Error> {
    let row = container::find(tx, account, name)?;
    let row =
        row.ok_or_else(|| Error::not_found(format_args!("container '{name}'"), "container ls"))?;
    Ok(Placed::Container(row.id))
}

fn put(tx: &Tx<'_>, what: Placed, pool: Option<&PoolName>) -> Result<(), Error> {
    let row = pool.map(|name| found(tx, name)).transpose()?;
    if let Some(row) = row.as_ref().filter(|row| row.drain_to.is_some()) {
        return Err(Error::invalid(format!(
            "pool '{0}' is drained: take it into use again by `archipelago pool use {0}`, or name \
             another one",
            row.name
        )));
    }
    Ok(place::place(tx, what, row.map(|row| row.id))?)
}

pub(super) fn found(tx: &Tx<'_>, name: &PoolName) -> Result<PlaceRow, Error> {
    place::find(tx, name)?.ok_or_else(|| no_pool(name))
}

fn first(tx: &Tx<'_>) -> Result<PlaceRow, Error> {
    let rows = place::list(tx)?;
    let row = rows.into_iter().find(|row| row.id == PoolId::FIRST);
    row.ok_or_else(|| Error::new(ErrorKind::Internal, "the catalog has no first pool"))
}

/// Refuses a pool that has the second copies of another one.
fn not_a_mirror(tx: &Tx<'_>, row: &PlaceRow) -> Result<(), Error> {
    let rows = place::list(tx)?;
    match rows.iter().find(|other| other.mirror == Some(row.id)) {
        None => Ok(()),
        Some(other) => Err(Error::in_use(format!(
            "pool '{}' has the second copies of pool '{1}': `archipelago pool unmirror {1}` first",
            row.name, other.name
        ))),
    }
}

fn no_pool(name: &PoolName) -> Error {
    Error::not_found(format_args!("pool '{name}'"), "pool ls")
}

fn still_there(name: &PoolName, segments: u64) -> Error {
    let what = match segments {
        0 => "resources are to be in it: move them to another pool first".to_owned(),
        _ => format!(
            "{segments} segments are in it: `archipelago pool drain {name}` moves them, and \
             `archipelago gc --now` frees what nobody names"
        ),
    };
    Error::in_use(format!("pool '{name}' is in use: {what}"))
}
