//! Who holds which bytes: referenced, exclusive, shared.

use std::collections::HashMap;

use archipelago_format::segment::SegmentKind;
use archipelago_model::{Extent, Location, SECTOR_BYTES, SegmentId};

use crate::engine::{Engine, Shared};
use crate::error::Error;
use crate::map::{self, Layer};

/// Intervals that are compared at once: about 100 MiB. Beyond it exclusive bytes
/// are not told apart any more.
const INTERVALS_MAX: usize = 4 << 20;

/// What one map holds, in raw bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Account {
    /// Bytes that it names.
    pub referenced: u64,
    /// Of them, those that nothing else names: what deleting it would free.
    pub exclusive: u64,
    /// Of them, those that others name too.
    pub shared: u64,
}

/// What all maps hold.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Accounts {
    /// In the order that was asked in.
    pub per_root: Vec<Account>,
    /// Raw bytes that are named at least once, each counted once.
    pub unique_bytes: u64,
    /// What they take after compression; each segment's own ratio is applied.
    pub compressed_bytes: u64,
    /// False when there were too many extents to tell exclusive from shared: then
    /// everything counts as shared.
    pub exact: bool,
}

struct Interval {
    start: Location,
    end: Location,
    root: u32,
}

impl Engine {
    /// Accounts for the maps of `roots`. Costs time and memory with their extents;
    /// reads maps only, no data.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Store`].
    pub fn account(&self, roots: &[Location]) -> Result<Accounts, Error> {
        self.account_with(roots, &[])
    }

    /// As [`Self::account`]; `also` are further maps of what some roots stand for, by the
    /// number of the root: what they name that the root does not counts as its own, too.
    ///
    /// # Errors
    /// As [`Self::account`].
    pub fn account_with(
        &self,
        roots: &[Location],
        also: &[(usize, Location)],
    ) -> Result<Accounts, Error> {
        let shared = self.shared();
        let mut accounts =
            Accounts { per_root: vec![Account::default(); roots.len()], ..Default::default() };
        // Maps often name the same root (clones that were not written): each root
        // is walked once.
        let mut first_of: HashMap<Location, usize> = HashMap::new();
        let mut twins = vec![0u32; roots.len()];
        let mut intervals = Vec::new();
        accounts.exact = true;
        for (i, &root) in roots.iter().enumerate() {
            let first = *first_of.entry(root).or_insert(i);
            twins[first] += 1;
            if first == i {
                let referenced = walk(shared, root, i, &mut intervals, &mut accounts.exact)?;
                accounts.per_root[i].referenced = referenced;
            }
        }
        for &(number, root) in also {
            // By the root's first twin, as everything of it.
            let Some(&first) = roots.get(number).and_then(|of| first_of.get(of)) else { continue };
            walk(shared, root, first, &mut intervals, &mut accounts.exact)?;
        }
        sweep(shared, intervals, &twins, &mut accounts)?;
        for (i, root) in roots.iter().enumerate() {
            let first = first_of[root];
            let mut account = accounts.per_root[first];
            if twins[first] > 1 {
                account.exclusive = 0;
            }
            // What only the further maps name may be more.
            account.referenced = account.referenced.max(account.exclusive);
            account.shared = account.referenced - account.exclusive;
            accounts.per_root[i] = account;
        }
        Ok(accounts)
    }
}

fn walk(
    shared: &Shared,
    root: Location,
    index: usize,
    intervals: &mut Vec<Interval>,
    exact: &mut bool,
) -> Result<u64, Error> {
    let runs = shared.nodes.root(root)?;
    let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
    let mut referenced = 0;
    map::visit_all(&shared.nodes, &layers, 0..Extent::START_END, false, |extent| {
        if extent.is_hole() {
            return Ok(());
        }
        referenced += extent.len() * SECTOR_BYTES;
        // By where the bytes are: what a compaction found twice is one then.
        shared.segments.resolve(extent, &mut |part| {
            if intervals.len() < INTERVALS_MAX {
                let start = part.location();
                let end = start.advance(part.len());
                intervals.push(Interval { start, end, root: index as u32 });
            } else {
                *exact = false;
            }
            Ok(())
        })
    })?;
    Ok(referenced)
}

/// Goes through all intervals in the order of their place, counting who is there.
fn sweep(
    shared: &Shared,
    intervals: Vec<Interval>,
    twins: &[u32],
    accounts: &mut Accounts,
) -> Result<(), Error> {
    let mut edges: Vec<(Location, bool, u32)> = Vec::with_capacity(intervals.len() * 2);
    for interval in intervals {
        edges.push((interval.start, true, interval.root));
        edges.push((interval.end, false, interval.root));
    }
    edges.sort_unstable();
    let mut holders: HashMap<u32, u32> = HashMap::new();
    let mut per_segment: HashMap<SegmentId, u64> = HashMap::new();
    let mut at = Location::HOLE;
    for (place, begins, root) in edges {
        if !holders.is_empty() && place > at {
            let bytes = (place.raw() - at.raw()) * SECTOR_BYTES;
            accounts.unique_bytes += bytes;
            if let Some(segment) = at.segment() {
                *per_segment.entry(segment).or_default() += bytes;
            }
            if let (1, Some((&only, _))) = (holders.len(), holders.iter().next())
                && accounts.exact
                && twins[only as usize] == 1
            {
                accounts.per_root[only as usize].exclusive += bytes;
            }
        }
        at = place;
        if begins {
            *holders.entry(root).or_default() += 1;
        } else if let Some(count) = holders.get_mut(&root) {
            *count -= 1;
            if *count == 0 {
                holders.remove(&root);
            }
        }
    }
    for (segment, raw) in per_segment {
        accounts.compressed_bytes += compressed(shared, segment, raw);
    }
    Ok(())
}

fn compressed(shared: &Shared, segment: SegmentId, raw: u64) -> u64 {
    if shared.segments.is_open(segment) {
        // Hot, so not compressed.
        return raw;
    }
    let Ok(directory) = shared.segments.directory(segment) else {
        return raw;
    };
    let total = u64::from(directory.end) * SECTOR_BYTES;
    if directory.header.kind == SegmentKind::Hot || total == 0 {
        return raw;
    }
    (u128::from(raw) * u128::from(directory.body_bytes) / u128::from(total)) as u64
}
