//! The difference of two maps, from the maps alone.

use std::ops::ControlFlow;

use archipelago_format::node::Run;
use archipelago_model::{Extent, SectorRange};

use super::{Layer, Nodes, visit, visit_all};
use crate::error::Error;

/// A stretch that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub range: SectorRange,
    /// It reads as zeros in the newer map, and is stored nowhere.
    pub zero: bool,
}

/// Calls `found` with the stretches of `range` where `from` and `to` name
/// different places, ascending, joined.
///
/// Runs that both stacks end with are the same for both; only what the other runs
/// speak of is looked at. So the cost is that of the changes.
pub(crate) fn diff(
    nodes: &Nodes,
    from: &[Layer],
    to: &[Layer],
    range: SectorRange,
    found: &mut dyn FnMut(Change) -> ControlFlow<()>,
) -> Result<(), Error> {
    let same = from.iter().rev().zip(to.iter().rev()).take_while(|(a, b)| same_run(a, b)).count();
    let spoken: Vec<Layer> = [&from[..from.len() - same], &to[..to.len() - same]].concat();
    let mut last: Option<Change> = None;
    let flow = visit(nodes, &spoken, range, false, &mut |extent| {
        let a = resolve(nodes, from, extent.range())?;
        let b = resolve(nodes, to, extent.range())?;
        for change in compare(&a, &b) {
            match &mut last {
                Some(l) if l.range.end == change.range.start && l.zero == change.zero => {
                    l.range.end = change.range.end;
                }
                _ => {
                    if let Some(done) = last.replace(change)
                        && found(done).is_break()
                    {
                        last = None;
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if let (ControlFlow::Continue(()), Some(done)) = (flow, last) {
        let _ = found(done);
    }
    Ok(())
}

fn same_run(a: &Layer, b: &Layer) -> bool {
    let top = |layer: &Layer| match layer {
        Layer::Run(Run { top, .. }) => Some(*top),
        Layer::Extents(_) => None,
    };
    top(a).is_some() && top(a) == top(b)
}

fn resolve(nodes: &Nodes, layers: &[Layer], range: SectorRange) -> Result<Vec<Extent>, Error> {
    let mut out = Vec::new();
    visit_all(nodes, layers, range, true, |extent| {
        // Old names and new ones of the same bytes are no difference.
        nodes.segments.resolve(extent, &mut |part| {
            out.push(part);
            Ok(())
        })
    })?;
    Ok(out)
}

/// Both cover the same range without a break.
fn compare(a: &[Extent], b: &[Extent]) -> Vec<Change> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    let Some(mut at) = a.first().map(|e| e.start()) else {
        return out;
    };
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let end = x.end().min(y.end());
        let place = |e: &Extent| e.location().advance(at - e.start());
        if place(x) != place(y) {
            out.push(Change { range: at..end, zero: y.is_hole() });
        }
        at = end;
        i += usize::from(x.end() == end);
        j += usize::from(y.end() == end);
    }
    out
}
