//! The forwarding table of a compaction.

use archipelago_format::forwarding::Forward;
use archipelago_model::{Extent, Location};

use super::{Job, Move};
use crate::error::Error;
use crate::segments::Segments;

/// Adds what `moves` tells of old places and `extents` of new ones; both are of the
/// same resource, and ascend.
pub(super) fn join(
    moves: &[Move],
    extents: &[Extent],
    table: &mut Vec<Forward>,
) -> Result<(), Error> {
    let mut extents = extents.iter().copied().peekable();
    for one in moves {
        let mut start = one.start;
        let end = one.start + u64::from(one.sectors);
        while start < end {
            while extents.next_if(|extent| extent.end() <= start).is_some() {}
            let placed = extents.peek().filter(|extent| extent.start() <= start);
            let Some(extent) = placed else {
                return Err(Error::damaged(one.from, "compaction has lost its place"));
            };
            let sectors = (end.min(extent.end()) - start) as u32;
            table.push(Forward {
                from: one.from.advance(start - one.start),
                to: extent.location().advance(start - extent.start()),
                sectors,
            });
            start += u64::from(sectors);
        }
    }
    Ok(())
}

/// Sorts and joins the entries of a job, and adds those that its victims carried for
/// older segments, with the ways that lead through victims made shorter.
pub(super) fn with_carried(
    segments: &Segments,
    job: &Job,
    mut table: Vec<Forward>,
) -> Result<Vec<Forward>, Error> {
    table.sort_unstable_by_key(|entry| entry.from);
    let own = joined(table);
    let victims = job.ids();
    let mut all = own.clone();
    for old in &job.carried {
        for range in old.live.ranges() {
            let mut at = Location::new(old.id, range.start).unwrap_or(Location::HOLE);
            let mut left = u64::from(range.end - range.start);
            while left > 0 {
                let (mut to, sectors) = segments.place(at)?;
                let mut sectors = sectors.min(left);
                if to.segment().is_some_and(|id| victims.contains(&id)) {
                    let entry = find(&own, to)
                        .ok_or_else(|| Error::damaged(to, "a named position was not moved"))?;
                    let skip = to.raw() - entry.from.raw();
                    sectors = sectors.min(u64::from(entry.sectors) - skip);
                    to = entry.to.advance(skip);
                }
                all.push(Forward { from: at, to, sectors: sectors as u32 });
                at = at.advance(sectors);
                left -= sectors;
            }
        }
    }
    all.sort_unstable_by_key(|entry| entry.from);
    Ok(joined(all))
}

fn find(table: &[Forward], at: Location) -> Option<Forward> {
    let after = table.partition_point(|entry| entry.from <= at);
    table.get(after.checked_sub(1)?).filter(|entry| at < entry.end()).copied()
}

/// Joins entries that follow each other at both ends.
fn joined(table: Vec<Forward>) -> Vec<Forward> {
    let mut out: Vec<Forward> = Vec::with_capacity(table.len());
    for entry in table {
        if let Some(last) = out.last_mut()
            && last.end() == entry.from
            && last.to.advance(u64::from(last.sectors)) == entry.to
            && last.from.segment() == entry.from.segment()
            && last.to.segment() == entry.to.segment()
            && let Some(sectors) = last.sectors.checked_add(entry.sectors)
        {
            last.sectors = sectors;
        } else {
            out.push(entry);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use archipelago_model::SegmentId;

    use super::*;

    fn at(segment: u64, position: u32) -> Location {
        Location::new(SegmentId::new(segment).unwrap(), position).unwrap()
    }

    #[test]
    fn moves_and_extents_make_entries_split_at_the_borders_of_both() {
        let moves = [
            Move { start: 0, from: at(1, 100), sectors: 12 },
            Move { start: 12, from: at(1, 0), sectors: 4 },
        ];
        let extents = [Extent::new(0, 8, at(9, 0)).unwrap(), Extent::new(8, 8, at(7, 40)).unwrap()];
        let mut table = Vec::new();
        join(&moves, &extents, &mut table).unwrap();
        let expected = [
            Forward { from: at(1, 100), to: at(9, 0), sectors: 8 },
            Forward { from: at(1, 108), to: at(7, 40), sectors: 4 },
            Forward { from: at(1, 0), to: at(7, 44), sectors: 4 },
        ];
        assert_eq!(table, expected);
    }

    #[test]
    fn a_move_that_was_placed_nowhere_is_an_error() {
        let moves = [Move { start: 0, from: at(1, 0), sectors: 8 }];
        join(&moves, &[], &mut Vec::new()).unwrap_err();
    }

    #[test]
    fn entries_that_go_on_at_both_ends_are_one() {
        let table = vec![
            Forward { from: at(1, 0), to: at(9, 0), sectors: 8 },
            Forward { from: at(1, 8), to: at(9, 8), sectors: 8 },
            Forward { from: at(1, 16), to: at(9, 24), sectors: 8 },
        ];
        assert_eq!(joined(table).len(), 2);
    }
}
