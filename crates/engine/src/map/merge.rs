//! Merging runs, so that a stack stays short whatever is written.
//!
//! Runs are of tiers by their size, each four times the last. Four runs of one tier
//! or lower on top become one, unless one of them outweighs all others: a small
//! change never rewrites a large base, and clones of one image go on sharing it. An
//! extent is rewritten about eight times while a volume grows a thousandfold.

use archipelago_format::node::Run;

use super::builder::{NodeSink, RunBuilder};
use super::{Layer, Nodes, visit_all};
use crate::error::Error;

/// So many runs are let stand in a tier: fewer merges, and a look-up asks only as
/// many more.
const RUNS_PER_TIER: usize = 4;

fn tier(run: &Run) -> u32 {
    run.extents.max(1).ilog(4)
}

/// How many of the newest runs are due to be merged into one: 0, or at least 4.
pub(crate) fn due(runs: &[Run]) -> usize {
    let top = runs.iter().map(tier).max().unwrap_or(0);
    (0..=top)
        .map(|t| runs.iter().take_while(|run| tier(run) <= t).count())
        .find(|&count| count >= RUNS_PER_TIER && worth_it(&runs[..count]))
        .unwrap_or(0)
}

/// Whether the largest run weighs no more than the others together.
fn worth_it(runs: &[Run]) -> bool {
    let sum: u64 = runs.iter().map(|run| run.extents).sum();
    let largest = runs.iter().map(|run| run.extents).max().unwrap_or(0);
    largest <= sum - largest
}

/// How a merge names what a compaction has moved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As the runs do: what marks see of the old map protects the new one until it is bound.
    Kept,
    /// Where it is now, so that forwarding tables fall out of use. Only for the thread of
    /// the collector: no round may begin before the map is bound, since nothing but this
    /// map names the new places, and a second compaction would move on without them.
    Resolved,
}

/// Writes one run that says what `runs` (newest first) say together. When
/// `bottom`, nothing lies below them and holes need not be said.
pub(crate) fn merge<S: NodeSink>(
    nodes: &Nodes,
    runs: &[Run],
    bottom: bool,
    names: Names,
    sink: &mut S,
) -> Result<Option<Run>, Error> {
    let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
    let first = runs.iter().map(|r| r.first).min().unwrap_or(0);
    let end = runs.iter().map(|r| r.end).max().unwrap_or(0);
    let mut builder = RunBuilder::new(sink);
    visit_all(nodes, &layers, first..end, false, |extent| {
        if bottom && extent.is_hole() {
            return Ok(());
        }
        match names {
            Names::Kept => builder.push(extent),
            Names::Resolved => nodes.segments.resolve(extent, &mut |part| builder.push(part)),
        }
    })?;
    builder.finish()
}
