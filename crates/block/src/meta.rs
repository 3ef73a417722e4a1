//! Meta contexts: what a client can ask of ranges of an export besides their bytes.
//!
//! * `base:allocation`: where there are holes, as the protocol defines it;
//! * `archipelago:changed-since:SNAPSHOT`: bit 0 is set where the volume may differ from that
//!   snapshot of it. A query of `archipelago:` or `archipelago:changed-since:` lists them all.

use std::fmt;

use archipelago_model::name::SnapshotName;

use crate::export::{Export, ExportError};
use crate::failure::Failure;
use crate::limits::STATUS_DESCRIPTORS_MAX;
use crate::proto::reply::Descriptor;
use crate::sectors;

const ALLOCATION: &str = "base:allocation";
const OURS: &str = "archipelago:";
const CHANGED_SINCE: &str = "archipelago:changed-since:";

/// Flags of `base:allocation`.
const STATE_HOLE: u32 = 1 << 0;
const STATE_ZERO: u32 = 1 << 1;

/// Flag of `archipelago:changed-since`.
const STATE_CHANGED: u32 = 1 << 0;

/// Something that a range can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Allocation,
    ChangedSince(SnapshotName),
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocation => f.write_str(ALLOCATION),
            Self::ChangedSince(snapshot) => write!(f, "{CHANGED_SINCE}{snapshot}"),
        }
    }
}

/// The contexts that `queries` list; all of them without a query.
pub(crate) fn listed(export: &dyn Export, queries: &[&str]) -> Result<Vec<Context>, ExportError> {
    let everything = queries.is_empty();
    let mut contexts = Vec::new();
    if everything || queries.iter().any(|query| [ALLOCATION, "base:"].contains(query)) {
        contexts.push(Context::Allocation);
    }
    let all_ours = everything || queries.iter().any(|query| [OURS, CHANGED_SINCE].contains(query));
    if all_ours || queries.iter().any(|query| query.starts_with(CHANGED_SINCE)) {
        let snapshots = export.snapshots()?.into_iter().map(Context::ChangedSince);
        contexts.extend(
            snapshots.filter(|context| all_ours || queries.contains(&context.to_string().as_str())),
        );
    }
    Ok(contexts)
}

/// The contexts that `queries` select: only those that are named in full.
pub(crate) fn selected(export: &dyn Export, queries: &[&str]) -> Result<Vec<Context>, ExportError> {
    let wildcards = ["base:", OURS, CHANGED_SINCE];
    let exact: Vec<_> =
        queries.iter().copied().filter(|query| !wildcards.contains(query)).collect();
    if exact.is_empty() { Ok(Vec::new()) } else { listed(export, &exact) }
}

/// The status of `[offset, offset + len)`, or of the first part of it.
pub(crate) fn status(
    export: &dyn Export,
    context: &Context,
    offset: u64,
    len: u64,
    one: bool,
) -> Result<Vec<Descriptor>, Failure> {
    let wide = sectors::widened(offset, len);
    // Equal neighbours become one, so more than one is asked for even when one is wanted.
    let max = if one { 16 } else { STATUS_DESCRIPTORS_MAX };
    let wide_len = wide.end - wide.start;
    let ranges = match context {
        Context::Allocation => export
            .status(wide.start, wide_len, max)?
            .into_iter()
            .map(|range| {
                let hole = if range.hole { STATE_HOLE } else { 0 };
                let zero = if range.zero { STATE_ZERO } else { 0 };
                Descriptor { len: range.len, flags: hole | zero }
            })
            .collect::<Vec<_>>(),
        Context::ChangedSince(snapshot) => export
            .changed_since(snapshot, wide.start, wide_len, max)?
            .into_iter()
            .map(|range| Descriptor {
                len: range.len,
                flags: if range.changed { STATE_CHANGED } else { 0 },
            })
            .collect(),
    };
    let mut merged = fitted(&ranges, offset - wide.start, len);
    merged.truncate(if one { 1 } else { STATUS_DESCRIPTORS_MAX });
    if merged.is_empty() {
        return Err(Failure::new(crate::failure::Errno::Io, "the export told no status"));
    }
    Ok(merged)
}

/// `ranges` without their first `skip` bytes and without what goes beyond `len`, equal
/// neighbours joined and empty ones left out.
fn fitted(ranges: &[Descriptor], skip: u64, len: u64) -> Vec<Descriptor> {
    let mut fitted: Vec<Descriptor> = Vec::with_capacity(ranges.len());
    let (mut skip, mut left) = (skip, len);
    for range in ranges {
        let skipped = skip.min(range.len);
        skip -= skipped;
        let len = (range.len - skipped).min(left);
        left -= len;
        match fitted.last_mut() {
            Some(last) if last.flags == range.flags => last.len += len,
            _ if len > 0 => fitted.push(Descriptor { len, ..*range }),
            _ => {}
        }
    }
    fitted
}

#[cfg(test)]
mod tests;
