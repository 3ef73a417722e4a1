//! What is to be moved where.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use archipelago_engine::SegmentKind;
use archipelago_model::{Location, PoolId, SegmentId};

use crate::catalog::segment::{Kind, Known, State};
use crate::catalog::{CatalogError, place, segment, state};
use crate::core::{Core, FIRST_SEGMENT};
use crate::error::Error;
use crate::service::collector::{Pace, Wanted, Wants, passes, wanted};

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
    /// Segments that hold what others hold, too, and have to be taken apart first.
    pub mixed: u64,
}

/// One state of the catalog.
struct Look {
    known: Vec<Known>,
    drains: BTreeMap<PoolId, PoolId>,
    roots: Vec<Location>,
    wanted: Wanted,
    floor: SegmentId,
    changes: u64,
}

impl Plan {
    pub fn make(core: &Core, pace: &mut Pace<'_>) -> Result<Self, Error> {
        // First what is under way: what it writes is not moved before it has a name.
        let horizon = core.engine.horizon();
        let resolving = core.resolving.read_recursive();
        let look = look(core)?;
        let Look { known, drains, roots, wanted, floor, changes } = look;
        let _held: Vec<_> = roots.iter().map(|root| core.engine.pin(*root)).collect();
        drop(resolving);
        let mut wanted_in: HashMap<SegmentId, PoolId> = HashMap::new();
        let mut mixed = 0;
        if !wanted.is_empty() {
            for pass in passes(&known) {
                let may_be_apart = |one: &Known| {
                    one.id < floor.min(horizon.log)
                        && horizon.allows(one.id, SegmentKind::Cold)
                        && !drains.contains_key(&one.pool)
                        && core.pools.spread.is_open(one.pool)
                };
                let looked_at =
                    look_at(core, &known, &pass, (&roots, &wanted), pace, &mut wanted_in)?;
                mixed += looked_at.into_iter().filter(|one| may_be_apart(one)).count() as u64;
            }
        }
        let mut plan = Self { moves: Vec::new(), changes, later: false, mixed };
        for one in known.iter().filter(|one| one.stored_bytes > 0 && one.kind != Kind::Backup) {
            let wanted = wanted_in.get(&one.id);
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
            // Below the floor recovery looks at nothing, whatever a crash leaves of the move.
            let movable = one.state == State::Sealed
                && horizon.allows(one.id, SegmentKind::Cold)
                && one.id < floor.min(horizon.log);
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
            let wanted = wanted(tx)?;
            let idle = wanted.is_empty() && places.iter().all(|row| row.drain_to.is_none());
            Ok::<_, CatalogError>(Look {
                known: if idle { Vec::new() } else { segment::list(tx)? },
                drains,
                roots: if wanted.is_empty() { Vec::new() } else { state::roots(tx)? },
                wanted,
                floor: state::log_floor(tx)?.unwrap_or(FIRST_SEGMENT),
                changes: tx.changes(),
            })
        })
        .map_err(Error::from)
}

/// Notes where those segments of a pass are wanted that are wanted as a whole; gives those that have
/// to be taken apart, which compaction does.
fn look_at(
    core: &Core,
    known: &[Known],
    pass: &Range<SegmentId>,
    (roots, wanted): (&[Location], &Wanted),
    pace: &mut Pace<'_>,
    whole: &mut HashMap<SegmentId, PoolId>,
) -> Result<Vec<Known>, Error> {
    let here = |id: SegmentId| pass.contains(&id);
    let wants = Wants::mark(core, wanted, &here, &mut || pace.step())?;
    let all = core.engine.mark(roots.iter().copied(), &here, &mut || pace.step())?;
    let mut mixed = Vec::new();
    for one in known.iter().filter(|one| pass.contains(&one.id) && one.state == State::Sealed) {
        let Some(live) = all.live(one.id) else { continue };
        let (parts, rest) = wants.apart(one.pool, one.id, live);
        match parts.as_slice() {
            [(pool, _)] if rest.sectors.is_empty() => drop(whole.insert(one.id, *pool)),
            parts if parts.iter().any(|(pool, _)| *pool != one.pool) => mixed.push(*one),
            _ => {}
        }
    }
    Ok(mixed)
}

fn stopping(core: &Core) -> impl FnMut() -> ControlFlow<()> + '_ {
    || if core.stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The segments that maps name, and those that what they name was moved into.
pub(in crate::service) fn named(
    core: &Core,
    known: &[Known],
    roots: &[Location],
) -> Result<HashSet<SegmentId>, Error> {
    let mut ids = HashSet::new();
    for pass in passes(known) {
        let mut step = stopping(core);
        let mark = core.engine.mark(roots.iter().copied(), &|id| pass.contains(&id), &mut step)?;
        ids.extend(mark.ids());
    }
    Ok(ids)
}
