//! What is to be moved where.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use archipelago_engine::SegmentKind;
use archipelago_model::{Location, PoolId, SegmentId};

use crate::catalog::segment::{Kind, Known, State};
use crate::catalog::{CatalogError, place, segment, state};
use crate::core::{Core, FIRST_SEGMENT};
use crate::error::Error;
use crate::service::collector::passes;

/// One segment on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Move {
    pub id: SegmentId,
    pub from: PoolId,
    pub to: PoolId,
    pub bytes: u64,
}

/// What one look at the catalog says.
pub(super) struct Plan {
    /// In the order of their ids.
    pub moves: Vec<Move>,
    /// Changes of the catalog that it was made of.
    pub changes: u64,
    /// Something is to be moved that cannot be yet: the end of the log.
    pub later: bool,
}

/// One state of the catalog.
struct Look {
    known: Vec<Known>,
    drains: BTreeMap<PoolId, PoolId>,
    /// Roots by the pool that they want.
    wants: Vec<(PoolId, Vec<Location>)>,
    floor: SegmentId,
    changes: u64,
}

impl Plan {
    pub fn make(core: &Core) -> Result<Self, Error> {
        // First what is under way: what it writes is not moved before it has a name.
        let horizon = core.engine.horizon();
        let resolving = core.resolving.read_recursive();
        let look = look(core)?;
        let Look { known, drains, wants, floor, changes } = look;
        let _held: Vec<_> =
            wants.iter().flat_map(|(_, roots)| roots).map(|root| core.engine.pin(*root)).collect();
        drop(resolving);
        let mut wanted: HashMap<SegmentId, PoolId> = HashMap::new();
        let mut stays: HashSet<SegmentId> = HashSet::new();
        for (pool, roots) in &wants {
            for id in named(core, &known, roots)? {
                match known.binary_search_by_key(&id, |one| one.id) {
                    Ok(at) if known[at].pool == *pool => drop(stays.insert(id)),
                    Ok(_) => drop(wanted.entry(id).or_insert(*pool)),
                    // The log has it.
                    Err(_) => {}
                }
            }
        }
        let mut plan = Self { moves: Vec::new(), changes, later: false };
        for one in known.iter().filter(|one| one.stored_bytes > 0 && one.kind != Kind::Backup) {
            let wanted = wanted.get(&one.id).filter(|_| !stays.contains(&one.id));
            let to = match drains.get(&one.pool) {
                // Where it is wanted rather than where the rest goes, unless that is drained, too.
                Some(to) => *wanted.filter(|pool| !drains.contains_key(pool)).unwrap_or(to),
                None => match wanted {
                    Some(pool) => drains.get(pool).copied().unwrap_or(*pool),
                    None => continue,
                },
            };
            if to == one.pool {
                continue;
            }
            let movable = one.state == State::Sealed
                && horizon.allows(one.id, SegmentKind::Cold)
                && (one.kind != Kind::Hot || one.id < floor.min(horizon.log));
            if movable {
                let (id, from, bytes) = (one.id, one.pool, one.stored_bytes);
                plan.moves.push(Move { id, from, to, bytes });
            } else {
                plan.later = true;
            }
        }
        Ok(plan)
    }
}

fn look(core: &Core) -> Result<Look, Error> {
    core.catalog
        .read(|tx| {
            let places = place::list(tx)?;
            let drains = places.iter().filter_map(|row| Some((row.id, row.drain_to?))).collect();
            let mut wants = Vec::new();
            for pool in place::wanted(tx)? {
                wants.push((pool, place::roots(tx, pool)?));
            }
            let idle = wants.is_empty() && places.iter().all(|row| row.drain_to.is_none());
            Ok::<_, CatalogError>(Look {
                known: if idle { Vec::new() } else { segment::list(tx)? },
                drains,
                wants,
                floor: state::log_floor(tx)?.unwrap_or(FIRST_SEGMENT),
                changes: tx.changes(),
            })
        })
        .map_err(Error::from)
}

/// The segments that maps name, and those that what they name was moved into.
pub(in crate::service) fn named(
    core: &Core,
    known: &[Known],
    roots: &[Location],
) -> Result<HashSet<SegmentId>, Error> {
    let mut ids = HashSet::new();
    for pass in passes(known) {
        let mut step = || match core.stopping() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let mark = core.engine.mark(roots.iter().copied(), &|id| pass.contains(&id), &mut step)?;
        ids.extend(mark.ids());
    }
    Ok(ids)
}
