//! Nodes of a map. Each is one slot of a segment, whose checksum covers it.
//!
//! ```text
//! node  = magic u16 | kind u8 | version u8 | count u32 | entries
//! leaf  = entries: extent (start_len u64, location u64), rising, not overlapping
//! index = entries: first sector u64, location of the child u64, rising
//! root  = entries: runs, newest first:
//!         top node u64 | height u32 | 0 u32 | extents u64 | first u64 | end u64
//! ```
//! A map is a stack of *runs*. A run is an immutable sorted list of extents in
//! a tree of nodes; what a newer run says hides what an older one says of the
//! same sectors. An extent at [`Location::HOLE`] says "zeros"; a sector that no
//! run speaks of is zero too.

use archipelago_model::{Extent, Location};

use crate::bytes::{Cursor, FormatError};
use crate::is_inside_a_segment;

/// A node has at most this many entries: 8 KiB, a compromise between what a
/// random look-up must read and how many nodes a big map has.
pub const ENTRIES_MAX: usize = 511;
/// A root has at most this many runs. Merging keeps it far below.
pub const RUNS_MAX: usize = 200;
/// Bytes of the largest node.
pub const NODE_BYTES_MAX: usize = 8 + RUN_BYTES * RUNS_MAX;

const MAGIC: u16 = 0x4e4d; // "MN"
const VERSION: u8 = 1;
const RUN_BYTES: usize = 40;
const WHAT: &str = "map node";

const _: () = assert!(8 + 16 * ENTRIES_MAX <= NODE_BYTES_MAX + 8192);

/// A child of an index node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Child {
    /// No sector below it is in this child (but for the first child).
    pub first: u64,
    /// Where its node is.
    pub node: Location,
}

/// A run, as its root names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The top of its tree.
    pub top: Location,
    /// Levels of index nodes above the leaves.
    pub height: u32,
    /// How many extents it has.
    pub extents: u64,
    /// The first sector it speaks of.
    pub first: u64,
    /// The sector behind the last it speaks of.
    pub end: u64,
}

/// A node, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// Extents.
    Leaf(Vec<Extent>),
    /// Children.
    Index(Vec<Child>),
    /// Runs, newest first.
    Root(Vec<Run>),
}

impl Node {
    /// How many bytes [`Self::encode`] gives.
    pub fn bytes(&self) -> usize {
        8 + match self {
            Self::Leaf(entries) => 16 * entries.len(),
            Self::Index(entries) => 16 * entries.len(),
            Self::Root(runs) => RUN_BYTES * runs.len(),
        }
    }

    /// The node's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, count) = match self {
            Self::Leaf(entries) => (1, entries.len()),
            Self::Index(entries) => (2, entries.len()),
            Self::Root(runs) => (3, runs.len()),
        };
        let mut out = Vec::with_capacity(8 + count * 16);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[kind, VERSION]);
        out.extend_from_slice(&(count as u32).to_le_bytes());
        let mut put = |word: u64| out.extend_from_slice(&word.to_le_bytes());
        match self {
            Self::Leaf(extents) => {
                for (start_len, location) in extents.iter().map(|e| e.raw()) {
                    put(start_len);
                    put(location);
                }
            }
            Self::Index(children) => {
                for child in children {
                    put(child.first);
                    put(child.node.raw());
                }
            }
            Self::Root(runs) => {
                for run in runs {
                    put(run.top.raw());
                    put(u64::from(run.height));
                    put(run.extents);
                    put(run.first);
                    put(run.end);
                }
            }
        }
        out
    }

    /// Decodes; the slot's checksum was verified before. Bytes behind the last
    /// entry (a slot is whole sectors) are passed over.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut c = Cursor::new(WHAT, bytes);
        if c.u16()? != MAGIC {
            return Err(FormatError::Magic { what: WHAT });
        }
        let (kind, version) = (c.u8()?, c.u8()?);
        if version != VERSION {
            return Err(FormatError::Version {
                what: WHAT,
                got: u32::from(version),
                known: u32::from(VERSION),
            });
        }
        let count = c.u32()? as usize;
        let limit = if kind == 3 { RUNS_MAX } else { ENTRIES_MAX };
        if count > limit {
            return Err(c.bad("count"));
        }
        match kind {
            1 => Self::decode_leaf(&mut c, count),
            2 => Self::decode_index(&mut c, count),
            3 => Self::decode_root(&mut c, count),
            _ => Err(c.bad("kind")),
        }
    }

    fn decode_leaf(c: &mut Cursor<'_>, count: usize) -> Result<Self, FormatError> {
        let mut extents = Vec::with_capacity(count);
        let mut floor = 0;
        for _ in 0..count {
            let extent = Extent::from_raw(c.u64()?, c.u64()?).ok_or(c.bad("extent"))?;
            if extent.start() < floor {
                return Err(c.bad("order"));
            }
            if !extent.is_hole() && !is_inside_a_segment(extent.location(), extent.len()) {
                return Err(c.bad("location"));
            }
            floor = extent.end();
            extents.push(extent);
        }
        Ok(Self::Leaf(extents))
    }

    fn decode_index(c: &mut Cursor<'_>, count: usize) -> Result<Self, FormatError> {
        let mut children: Vec<Child> = Vec::with_capacity(count);
        for _ in 0..count {
            let child = Child { first: c.u64()?, node: Location::from_raw(c.u64()?) };
            let rising = children.last().is_none_or(|last| last.first < child.first);
            if !rising || !is_inside_a_segment(child.node, 1) {
                return Err(c.bad("child"));
            }
            children.push(child);
        }
        if children.is_empty() { Err(c.bad("count")) } else { Ok(Self::Index(children)) }
    }

    fn decode_root(c: &mut Cursor<'_>, count: usize) -> Result<Self, FormatError> {
        /// 511^6 leaves are more than any address space needs.
        const HEIGHT_MAX: u64 = 6;
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            let top = Location::from_raw(c.u64()?);
            let height = c.u64()?;
            let run = Run {
                top,
                height: height as u32,
                extents: c.u64()?,
                first: c.u64()?,
                end: c.u64()?,
            };
            // Each extent has a sector of its own, so that sums of these overflow nowhere.
            let possible = run.first < run.end
                && run.end <= Extent::START_END + Extent::SECTORS_MAX
                && run.extents <= run.end - run.first;
            if !possible || height > HEIGHT_MAX || !is_inside_a_segment(top, 1) {
                return Err(c.bad("run"));
            }
            runs.push(run);
        }
        Ok(Self::Root(runs))
    }
}

#[cfg(test)]
mod tests;
