//! Finds which blocks of a window are stored already, in runs worth sharing.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use archipelago_model::{Location, SegmentId};

use super::Dedup;
use super::index::SampleIndex;
use super::prints::Prints;
use crate::segments::Segments;

/// A run of fewer stored blocks is written again. 8 blocks are 32 KiB: sharing
/// only runs of 32 KiB keeps 95 % of what sharing every 4 KiB block finds, of
/// 64 KiB 91 %, and leaves a quarter of the extents (research, section 3.3).
pub(crate) const RUN_BLOCKS_MIN: usize = 8;
/// Lists that one window is compared with, besides that of the open segment. The
/// 16 samples of a window seldom name more; each list costs a look-up a block.
const CANDIDATES_MAX: usize = 16;
/// A list stays a candidate for so many windows after something was found in it:
/// a file of a few blocks has no sample, but often lies where its neighbours do.
const IDLE_WINDOWS_MAX: u32 = 8;
/// That the last window was found in a list counts as much as so many samples:
/// runs go on from window to window.
const CONTINUES: u32 = 2;

/// A run of blocks that is stored already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Match {
    /// Its first block, as a number in the window.
    pub(crate) first: usize,
    /// Blocks.
    pub(crate) len: usize,
    /// The segment.
    pub(crate) segment: SegmentId,
    /// Where the first block is.
    pub(crate) location: Location,
}

/// The segments that the present window is compared with.
#[derive(Default)]
pub(crate) struct Candidates {
    lists: Vec<Candidate>,
}

struct Candidate {
    segment: SegmentId,
    prints: Arc<Prints>,
    /// Windows since something was found in it; 0 when it was in this one.
    idle: u32,
}

impl Candidates {
    /// Chooses anew, by the samples among `hashes`. `open` is left out: its list
    /// comes with each call of [`Self::find`].
    pub(crate) fn choose(
        &mut self,
        segments: &Segments,
        dedup: &Dedup,
        hashes: &[u128],
        open: Option<SegmentId>,
    ) {
        let mut hits: HashMap<SegmentId, u32> = HashMap::new();
        for &hash in hashes.iter().filter(|&&hash| SampleIndex::keeps(hash)) {
            for segment in dedup.index.candidates(hash).filter(|id| !segments.is_leaving(*id)) {
                *hits.entry(segment).or_default() += 1;
            }
        }
        let mut ranked: Vec<(u32, u32, SegmentId, Option<Arc<Prints>>)> = Vec::new();
        for candidate in self.lists.drain(..).filter(|c| !segments.is_leaving(c.segment)) {
            let hits = hits.remove(&candidate.segment).unwrap_or(0);
            let score = if candidate.idle == 0 { hits + CONTINUES } else { hits };
            if score > 0 || candidate.idle < IDLE_WINDOWS_MAX {
                ranked.push((score, candidate.idle + 1, candidate.segment, Some(candidate.prints)));
            }
        }
        ranked.extend(hits.into_iter().map(|(segment, hits)| (hits, 1, segment, None)));
        ranked.retain(|&(_, _, segment, _)| Some(segment) != open);
        ranked.sort_unstable_by_key(|&(score, idle, segment, _)| (Reverse(score), idle, segment));
        ranked.truncate(CANDIDATES_MAX);
        self.lists.extend(ranked.into_iter().map(|(_, idle, segment, prints)| Candidate {
            segment,
            prints: prints.unwrap_or_else(|| dedup.lists.get(segments, segment)),
            idle,
        }));
    }

    /// The longest stored run that begins with block `at`, reaching back to block
    /// `from` at most; none when it is too short to be worth an extent.
    ///
    /// A run that goes on at `behind`, where the last one ended, may be of any
    /// length: it adds no extent that writing it would not.
    pub(crate) fn find(
        &mut self,
        hashes: &[u128],
        from: usize,
        at: usize,
        open: Option<(SegmentId, &Prints)>,
        behind: Option<Location>,
    ) -> Option<Match> {
        let lists = self.lists.iter().map(|candidate| (candidate.segment, &*candidate.prints));
        let mut best: Option<(Match, usize)> = None;
        for (n, (segment, prints)) in lists.chain(open).enumerate() {
            for number in prints.places(hashes[at]) {
                let Some(found) = extend(prints, segment, number, hashes, from, at) else {
                    continue;
                };
                let goes_on = Some(found.location) == behind && found.first == from;
                let enough = found.len >= RUN_BLOCKS_MIN || goes_on;
                if enough && best.is_none_or(|(best, _)| found.len > best.len) {
                    best = Some((found, n));
                }
            }
        }
        let (found, n) = best?;
        if let Some(candidate) = self.lists.get_mut(n) {
            candidate.idle = 0;
        }
        Some(found)
    }
}

/// The run through block `at`, which is at place `number` of `prints`.
fn extend(
    prints: &Prints,
    segment: SegmentId,
    number: usize,
    hashes: &[u128],
    from: usize,
    at: usize,
) -> Option<Match> {
    let before = prints.run_backward(number, &hashes[from..at]);
    let len = before + prints.run_forward(number, &hashes[at..]);
    let location = Location::new(segment, prints.list()[number - before].position)?;
    Some(Match { first: at - before, len, segment, location })
}

#[cfg(test)]
mod tests;
