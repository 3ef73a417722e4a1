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
/// How many of them are what the last window was found in, hit or not: runs go on
/// from window to window, and 1 window in e^16 has no sample at all.
const RECENT_MAX: usize = 4;

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
    /// Blocks of the present window that were found in it.
    found: usize,
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
        self.lists.retain(|candidate| candidate.found > 0);
        self.lists.sort_by_key(|candidate| Reverse(candidate.found));
        self.lists.truncate(RECENT_MAX);
        let mut hits: HashMap<SegmentId, u32> = HashMap::new();
        for &hash in hashes.iter().filter(|&&hash| SampleIndex::keeps(hash)) {
            for segment in dedup.index.candidates(hash).filter(|&id| Some(id) != open) {
                *hits.entry(segment).or_default() += 1;
            }
        }
        for candidate in &mut self.lists {
            candidate.found = 0;
            hits.remove(&candidate.segment);
        }
        let mut ranked: Vec<(SegmentId, u32)> = hits.into_iter().collect();
        ranked.sort_unstable_by_key(|&(segment, hits)| Reverse((hits, segment)));
        for (segment, _) in ranked.into_iter().take(CANDIDATES_MAX - self.lists.len()) {
            let prints = dedup.lists.get(segments, segment);
            self.lists.push(Candidate { segment, prints, found: 0 });
        }
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
            candidate.found += found.len;
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
