//! The overlay: what a volume's persisted map does not have yet.

use std::collections::BTreeMap;

use archipelago_model::{Extent, Location, SectorRange};

/// Sectors from a key of the map on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Piece {
    len: u64,
    /// Where it is in the log; for zeros, where the log says so.
    at: Location,
    zero: bool,
}

impl Piece {
    /// The place of the sector `skip` further on. A zeroing has one place for all.
    fn advanced(self, skip: u64) -> Location {
        if self.zero { self.at } else { self.at.advance(skip) }
    }

    fn extent(self, start: u64) -> Option<Extent> {
        Extent::new(start, self.len, if self.zero { Location::HOLE } else { self.at })
    }
}

/// Extents since the last checkpoint. They never overlap.
///
/// Writers put batches in without regard to their order; where two meet, the one
/// with the greater location wins, which is the order that recovery will see.
#[derive(Clone, Default, Debug)]
pub(crate) struct Overlay {
    pieces: BTreeMap<u64, Piece>,
}

impl Overlay {
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Says that `range` is at `at` (or is zero since `at`).
    pub(crate) fn insert(&mut self, range: SectorRange, at: Location, zero: bool) {
        let mut range = range;
        while range.end.saturating_sub(range.start) > Extent::SECTORS_MAX {
            let next = range.start + Extent::SECTORS_MAX;
            self.insert(range.start..next, at, zero);
            range.start = next;
        }
        if range.is_empty() {
            return;
        }
        let new = Piece { len: range.end - range.start, at, zero };
        if let Some(old) = self.pieces.get_mut(&range.start)
            && old.len == new.len
            && old.at < new.at
        {
            *old = new;
            return;
        }
        let hidden = self.cut(&range, at);
        if hidden.is_empty() {
            self.put(range.start, new);
            return;
        }
        let mut from = range.start;
        for newer in hidden.into_iter().chain(std::iter::once(range.end..range.end)) {
            if from < newer.start {
                let skip = from - range.start;
                let piece = Piece { len: newer.start - from, at: new.advanced(skip), zero };
                self.put(from, piece);
            }
            from = newer.end;
        }
    }

    /// Removes what is older than `at` from `range`; gives the parts of `range`
    /// that are newer and stay.
    fn cut(&mut self, range: &SectorRange, at: Location) -> Vec<SectorRange> {
        let mut newer = Vec::new();
        let mut touched = Vec::new();
        if let Some((&start, piece)) = self.pieces.range(..range.start).next_back()
            && start + piece.len > range.start
        {
            touched.push((start, *piece));
        }
        touched.extend(self.pieces.range(range.clone()).map(|(&start, piece)| (start, *piece)));
        for (start, piece) in touched {
            let end = start + piece.len;
            if piece.at > at {
                newer.push(start.max(range.start)..end.min(range.end));
                continue;
            }
            self.pieces.remove(&start);
            if start < range.start {
                self.pieces.insert(start, Piece { len: range.start - start, ..piece });
            }
            if end > range.end {
                let at = piece.advanced(range.end - start);
                self.pieces.insert(range.end, Piece { len: end - range.end, at, ..piece });
            }
        }
        newer
    }

    /// Inserts into a gap; joins with the piece before when it goes on there, so
    /// that a sequential writer has one extent.
    fn put(&mut self, start: u64, piece: Piece) {
        if let Some((&before, old)) = self.pieces.range_mut(..start).next_back()
            && before + old.len == start
            && !old.zero
            && !piece.zero
            && let (Some(a), Some(b)) = (old.extent(before), piece.extent(start))
            && a.joins(b)
        {
            old.len += piece.len;
            return;
        }
        self.pieces.insert(start, piece);
    }

    /// The extents that meet `range`, clipped to it, ascending.
    pub(crate) fn extents(&self, range: &SectorRange) -> Vec<Extent> {
        if range.start >= range.end || self.pieces.is_empty() {
            return Vec::new();
        }
        let before = self
            .pieces
            .range(..range.start)
            .next_back()
            .filter(|(start, piece)| **start + piece.len > range.start);
        before
            .into_iter()
            .chain(self.pieces.range(range.clone()))
            .filter_map(|(&start, piece)| piece.extent(start)?.clip(range))
            .collect()
    }
}

#[cfg(test)]
mod tests;
