//! In which order a compaction reads: by volume, as the guest sees it.

use std::ops::Range;

use archipelago_format::batch::Kind;
use archipelago_format::segment::SegmentKind;
use archipelago_model::{Location, SegmentId};
use roaring::RoaringBitmap;

use super::Victim;
use crate::error::Error;
use crate::log;
use crate::segments::Segments;

/// Groups from here on are slots of cold segments; below it, volumes.
pub(super) const COLD_GROUPS: u64 = 1 << 63;

/// Sectors that belong together, and where they are.
struct Piece {
    /// A volume, or a slot of a cold segment.
    group: u64,
    /// Where in it, in sectors.
    start: u64,
    from: Location,
    sectors: u32,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + u64::from(self.sectors)
    }
}

/// Sectors of one group that follow each other.
pub(super) struct Stretch {
    pub(super) group: u64,
    /// In sectors.
    pub(super) start: u64,
    parts: Vec<(Location, u32)>,
    sectors: u64,
}

impl Stretch {
    pub(super) fn end(&self) -> u64 {
        self.start + self.sectors
    }

    /// Where `range` of it is.
    pub(super) fn sources(&self, range: Range<u64>) -> Vec<(Location, u32)> {
        let mut out = Vec::new();
        let mut at = self.start;
        for &(from, sectors) in &self.parts {
            let end = at + u64::from(sectors);
            let (first, last) = (at.max(range.start), end.min(range.end));
            if first < last {
                out.push((from.advance(first - at), (last - first) as u32));
            }
            at = end;
            if at >= range.end {
                break;
            }
        }
        out
    }
}

/// All that is named of the victims, map nodes aside. What several snapshots hold of
/// the same place of a volume comes one behind the other.
pub(super) fn stretches(segments: &Segments, victims: &[Victim]) -> Result<Vec<Stretch>, Error> {
    let mut pieces = Vec::new();
    let mut slots = COLD_GROUPS;
    for victim in victims {
        let before = pieces.len();
        let nodes = node_sectors(segments, victim)?;
        let data = &victim.live.sectors - &nodes;
        match segments.directory(victim.id)?.header.kind {
            SegmentKind::Hot => hot_pieces(segments, victim.id, &data, &mut pieces)?,
            SegmentKind::Cold | SegmentKind::Backup => {
                cold_pieces(segments, victim.id, &data, &mut slots, &mut pieces)?;
            }
        }
        let found: u64 = pieces[before..].iter().map(|piece| u64::from(piece.sectors)).sum();
        if found != data.len() {
            let what = format!("{} sectors are named, of which it holds {found}", data.len());
            return Err(Error::Damaged { segment: victim.id, what });
        }
    }
    pieces.sort_unstable_by_key(|piece| (piece.group, piece.start, piece.from));
    Ok(joined(pieces))
}

/// The positions that map nodes take.
fn node_sectors(segments: &Segments, victim: &Victim) -> Result<RoaringBitmap, Error> {
    let mut sectors = RoaringBitmap::new();
    for position in &victim.live.nodes {
        let at = Location::new(victim.id, position).unwrap_or(Location::HOLE);
        let len = segments.slot_sectors(at)?;
        sectors.insert_range(position..position + len);
    }
    Ok(sectors)
}

/// The records of the log say which volume wrote what.
fn hot_pieces(
    segments: &Segments,
    id: SegmentId,
    data: &RoaringBitmap,
    pieces: &mut Vec<Piece>,
) -> Result<(), Error> {
    for (from, record) in log::records(segments, id)? {
        if record.kind == Kind::Data {
            let range = from.position()..from.position() + record.len as u32;
            cut(data, range, from, record.volume.get(), record.start, pieces);
        }
    }
    Ok(())
}

/// Slots of a cold segment are in the order of what was imported; each is a group.
fn cold_pieces(
    segments: &Segments,
    id: SegmentId,
    data: &RoaringBitmap,
    group: &mut u64,
    pieces: &mut Vec<Piece>,
) -> Result<(), Error> {
    let directory = segments.directory(id)?;
    for number in 0..directory.page_starts.len() {
        let page = segments.slot_page(id, &directory, number as u32)?;
        for (at, slot) in page.slots.iter().enumerate() {
            let end = page.slots.get(at + 1).map_or(page.end, |next| next.position);
            let from = Location::new(id, slot.position).unwrap_or(Location::HOLE);
            cut(data, slot.position..end, from, *group, 0, pieces);
            *group += 1;
        }
    }
    Ok(())
}

/// What is named of `range`, which begins at `from` and at sector `start` of `group`.
fn cut(
    data: &RoaringBitmap,
    range: Range<u32>,
    from: Location,
    group: u64,
    start: u64,
    pieces: &mut Vec<Piece>,
) {
    let mut sectors = data.range(range.clone());
    while let Some(named) = sectors.next_range() {
        let skip = u64::from(*named.start() - range.start);
        pieces.push(Piece {
            group,
            start: start + skip,
            from: from.advance(skip),
            sectors: named.end() - named.start() + 1,
        });
    }
}

/// Joins pieces, sorted, that follow each other; those that overlap older ones of the
/// same place come after all others of the group.
fn joined(pieces: Vec<Piece>) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    let mut rest = pieces;
    while !rest.is_empty() {
        let mut later = Vec::new();
        let mut end = None;
        for piece in rest {
            let after = end.filter(|(group, _)| *group == piece.group).map(|(_, end)| end);
            match (after, out.last_mut()) {
                (Some(end), _) if piece.start < end => {
                    later.push(piece);
                    continue;
                }
                (Some(end), Some(last)) if piece.start == end => {
                    last.parts.push((piece.from, piece.sectors));
                    last.sectors += u64::from(piece.sectors);
                }
                _ => out.push(Stretch {
                    group: piece.group,
                    start: piece.start,
                    parts: vec![(piece.from, piece.sectors)],
                    sectors: piece.sectors.into(),
                }),
            }
            end = Some((piece.group, piece.end()));
        }
        rest = later;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(group: u64, start: u64, position: u32, sectors: u32) -> Piece {
        let from = Location::new(SegmentId::MIN, position).unwrap();
        Piece { group, start, from, sectors }
    }

    #[test]
    fn pieces_that_follow_each_other_are_one_stretch() {
        let out = joined(vec![piece(1, 0, 50, 8), piece(1, 8, 10, 8), piece(1, 24, 70, 8)]);
        let shapes: Vec<_> = out.iter().map(|s| (s.start, s.end())).collect();
        assert_eq!(shapes, [(0, 16), (24, 32)]);
        let at = |position| Location::new(SegmentId::MIN, position).unwrap();
        assert_eq!(out[0].sources(4..12), [(at(54), 4), (at(10), 4)]);
    }

    #[test]
    fn older_versions_of_the_same_place_come_later() {
        let out = joined(vec![piece(1, 0, 0, 8), piece(1, 0, 8, 8), piece(2, 0, 16, 8)]);
        let shapes: Vec<_> = out.iter().map(|s| (s.group, s.parts[0].0.position())).collect();
        assert_eq!(shapes, [(1, 0), (2, 16), (1, 8)]);
    }
}
