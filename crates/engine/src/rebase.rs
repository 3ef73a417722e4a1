//! Edits of a map: what a ranged write, an append and a truncation of a file come to.
//!
//! Every edit makes a map of its own, in the order in which they are given. It names the runs
//! of its base and puts one run on top, so that its cost is that of the edit, whatever the
//! size of the file. Runs that are due are merged on the way, as checkpoints do.
//!
//! Maps have a grain of one sector. Of a sector that an edit changes in part, the rest comes
//! from the state before it: that of the base, or of the edits before. So two edits of one
//! sector both stay, in whatever order they came.

mod delta;
mod piece;

use archipelago_format::node::{Node, RUNS_MAX, Run};
use archipelago_model::{Extent, Location, SECTOR_BYTES, VOLUME_BYTES_MAX};

use self::delta::Delta;
use self::piece::{Piece, Recent, store};
use crate::engine::{Engine, Shared};
use crate::error::{Durable, Error};
use crate::ingest::{ColdWriter, Compression, IngestStats, Ingested};
use crate::map::{self, Layer, Names, NodeSink, RunBuilder};
use crate::pins::Fresh;
use crate::segments::SegmentInfo;

/// Edits that are done together have so many extents at most, 64 KiB of memory. One that has
/// more is done alone, and its extents pass through.
const EXTENTS_MAX: usize = 4096;
/// From so many runs on, the newer half is merged though its tiers are not due: a bound for
/// look-ups, as checkpoints have it.
const RUNS_BEFORE_FORCED_MERGE: usize = 48;

const _: () = assert!(RUNS_BEFORE_FORCED_MERGE * 2 < RUNS_MAX);

/// What an edit puts into a map.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// These bytes, which are stored with the map. They stay in memory meanwhile, so that
    /// they should be few.
    Bytes(&'a [u8]),
    /// What another map shows. It moves no data; the caller pins the root until the result
    /// is bound.
    Map {
        /// Whose.
        root: Location,
        /// Where it begins there, in bytes: as far behind the begin of a sector as the edit.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
}

impl Content<'_> {
    const fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Map { len, .. } => *len,
        }
    }
}

/// A change of a map.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// Where, in bytes. What lies between the end and this reads as zeros.
    pub at: u64,
    /// What. Of no bytes, when only the size changes.
    pub content: Content<'a>,
    /// The size of the resource afterwards, in bytes: what is beyond is cut off.
    pub size: u64,
}

/// What came of edits. Not yet bound to a name.
#[derive(Debug)]
pub struct Rebased {
    /// So many of the edits, from the first on, were done: one at least.
    pub done: usize,
    /// The map behind each that was done, or behind the last of them.
    pub roots: Vec<Durable<Location>>,
    /// The segments written.
    pub sealed: Vec<SegmentInfo>,
    /// Keeps the collector off until the roots are bound.
    pub fresh: Fresh,
}

impl Engine {
    /// Does `edits`, one on top of the other, on the map `base` of `size` bytes, which shows
    /// zeros beyond. With `every`, each gets a root; else there is one of all that were done.
    /// All is durable on return. The caller pins `base`, and what the edits name, until the
    /// roots are bound.
    ///
    /// # Errors
    /// [`Error::Unaligned`] when a map's stretch begins elsewhere in a sector than its edit;
    /// [`Error::OutOfRange`] when a map would get too long;
    /// [`Error::Damaged`], [`Error::Store`], [`Error::NoSpace`].
    pub fn rebase(
        &self,
        base: Location,
        size: u64,
        edits: &[Edit<'_>],
        every: bool,
    ) -> Result<Rebased, Error> {
        let shared = self.shared();
        edits.iter().try_for_each(check)?;
        let bytes = edits.iter().map(|edit| match edit.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Map { .. } => 0,
        });
        let mut cold = ColdWriter::new(&shared.ingest, bytes.sum(), Compression::default());
        let mut rebasing = Rebasing::begin(shared, base, size)?;
        let (mut done, mut roots) = (0, Vec::new());
        for edit in edits {
            let step = rebasing.apply(edit, done == 0, &mut cold)?;
            if step == Step::Later {
                break;
            }
            done += 1;
            if every {
                roots.push(rebasing.root(&mut cold)?);
            }
            if step == Step::Full {
                break;
            }
        }
        if !every {
            roots.push(rebasing.root(&mut cold)?);
        }
        let (sealed, fresh) = cold.finish(&[])?;
        let stored_bytes = sealed.iter().map(|info| info.stored_bytes).sum();
        let bytes_in = rebasing.bytes_in;
        shared.ingest.count(&IngestStats { bytes_in, stored_bytes, ..IngestStats::default() });
        let roots = roots.into_iter().map(Durable::after_sync).collect();
        Ok(Rebased { done, roots, sealed, fresh })
    }
}

impl Engine {
    /// Stores contents that are few bytes each, a map for each, together: in one segment if
    /// that takes them, and with one sync. What is stored already is not looked for.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Store`], [`Error::NoSpace`]; nothing is kept of any.
    pub fn pack(&self, contents: &[&[u8]]) -> Result<Vec<Ingested>, Error> {
        let shared = self.shared();
        let bytes = contents.iter().map(|content| content.len() as u64).sum();
        let mut cold = ColdWriter::new(&shared.ingest, bytes, Compression::default());
        let mut roots = Vec::with_capacity(contents.len());
        for content in contents {
            let size = content.len() as u64;
            let edit = Edit { at: 0, content: Content::Bytes(content), size };
            check(&edit)?;
            let mut map = Rebasing::begin(shared, Location::HOLE, 0)?;
            map.apply(&edit, true, &mut cold)?;
            roots.push(map.root(&mut cold)?);
        }
        let (sealed, fresh) = cold.finish(&[])?;
        let stored_bytes = sealed.iter().map(|info| info.stored_bytes).sum();
        let stats = IngestStats { bytes_in: bytes, stored_bytes, ..IngestStats::default() };
        shared.ingest.count(&stats);
        let one = |root| Ingested {
            root: Durable::after_sync(root),
            named: Vec::new(),
            sealed: sealed.clone(),
            // Of all together.
            stats,
            fresh: fresh.clone(),
        };
        Ok(roots.into_iter().map(one).collect())
    }
}

fn check(edit: &Edit<'_>) -> Result<(), Error> {
    let len = edit.content.len();
    if edit.at.saturating_add(len) > VOLUME_BYTES_MAX || edit.size > VOLUME_BYTES_MAX {
        let size = VOLUME_BYTES_MAX;
        return Err(Error::OutOfRange { offset: edit.at.max(edit.size), len, size });
    }
    match edit.content {
        // Of no bytes nothing is moved.
        Content::Map { offset, len: 1.., .. }
            if offset % SECTOR_BYTES != edit.at % SECTOR_BYTES =>
        {
            Err(Error::Unaligned { offset, len: edit.at })
        }
        _ => Ok(()),
    }
}

/// Whether more edits can be done with this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// They can.
    Done,
    /// They cannot.
    Full,
    /// This one was not done: it is to be done alone.
    Later,
}

/// Edits under way.
struct Rebasing<'a> {
    shared: &'a Shared,
    root: Location,
    runs: Vec<Run>,
    base: Vec<Layer>,
    /// What to put the new run on, once it is known.
    below: Option<Vec<Run>>,
    /// Of all edits so far.
    delta: Delta,
    /// The run of an edit that was done alone.
    alone: Option<Run>,
    changed: bool,
    /// What the edits so far have put where, the newest last.
    recent: Vec<Recent>,
    size: u64,
    bytes_in: u64,
}

impl<'a> Rebasing<'a> {
    fn begin(shared: &'a Shared, root: Location, size: u64) -> Result<Self, Error> {
        let runs = shared.nodes.root(root)?.to_vec();
        let base = runs.iter().copied().map(Layer::Run).collect();
        Ok(Self {
            shared,
            root,
            runs,
            base,
            below: None,
            delta: Delta::default(),
            alone: None,
            changed: false,
            recent: Vec::new(),
            size,
            bytes_in: 0,
        })
    }

    fn apply(
        &mut self,
        edit: &Edit<'_>,
        first: bool,
        cold: &mut ColdWriter<'_>,
    ) -> Result<Step, Error> {
        let pieces = self.pieces(edit)?;
        let mut named = Vec::new();
        let mut many = false;
        for piece in &pieces {
            many |= !piece.named(&self.shared.nodes, EXTENTS_MAX, &mut named)?;
        }
        if many && !first {
            return Ok(Step::Later);
        }
        self.changed |= !pieces.is_empty();
        if many {
            self.alone = self.pass_through(&pieces, cold)?;
        } else {
            for piece in &pieces {
                store(piece, &self.shared.ingest, cold, &mut |extent| named.push(extent))?;
            }
            named.into_iter().for_each(|extent| self.delta.insert(extent));
        }
        if let Content::Bytes(bytes) = edit.content {
            self.bytes_in += bytes.len() as u64;
        }
        self.recent.extend(pieces.into_iter().map(Recent::from));
        self.size = edit.size;
        let full = many || self.delta.len() > EXTENTS_MAX;
        Ok(if full { Step::Full } else { Step::Done })
    }

    /// Writes the run of an edit whose extents are too many for memory.
    fn pass_through(
        &self,
        pieces: &[Piece],
        cold: &mut ColdWriter<'_>,
    ) -> Result<Option<Run>, Error> {
        let mut builder = RunBuilder::new(cold);
        for piece in pieces {
            let mut stored = Vec::new();
            let sink = builder.sink();
            store(piece, &self.shared.ingest, sink, &mut |extent| stored.push(extent))?;
            stored.into_iter().try_for_each(|extent| builder.push(extent))?;
            piece.visit(&self.shared.nodes, &mut |extent| builder.push(extent))?;
        }
        builder.finish()
    }

    /// What an edit puts where, ascending.
    fn pieces(&self, edit: &Edit<'_>) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::new();
        let len = edit.content.len().min(edit.size.saturating_sub(edit.at));
        let end = edit.at + len;
        // The first sector that nothing has been said of.
        let mut said = 0;
        if len > 0 {
            said = end.div_ceil(SECTOR_BYTES);
            match edit.content {
                Content::Bytes(bytes) => {
                    let bytes = bytes.get(..len as usize).unwrap_or(bytes);
                    pieces.push(self.whole_sectors(edit.at, bytes, edit.size)?);
                }
                Content::Map { root, offset, .. } => {
                    self.stretch(edit, end, root, offset, &mut pieces)?;
                }
            }
        }
        if edit.size < self.size {
            let cut = edit.size / SECTOR_BYTES;
            if !edit.size.is_multiple_of(SECTOR_BYTES) && cut >= said {
                pieces.push(self.whole_sectors(edit.size, &[], edit.size)?);
            }
            let first = edit.size.div_ceil(SECTOR_BYTES);
            pieces.push(Piece::Zeros { first, end: self.size.div_ceil(SECTOR_BYTES) });
        }
        pieces.retain(|piece| !piece.sectors().is_empty());
        Ok(pieces)
    }

    /// Pieces of an edit that takes a stretch of another map: sectors that it changes in part
    /// are composed, those between are named.
    fn stretch(
        &self,
        edit: &Edit<'_>,
        end: u64,
        root: Location,
        offset: u64,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), Error> {
        let runs = self.shared.nodes.root(root)?;
        let layers: Vec<Layer> = runs.iter().copied().map(Layer::Run).collect();
        let (first, last) = (edit.at / SECTOR_BYTES, end / SECTOR_BYTES);
        let from = offset / SECTOR_BYTES;
        let mut part = |from_byte: u64, to_byte: u64| -> Result<(), Error> {
            let mut sector = [0; SECTOR_BYTES as usize];
            let there = from + (from_byte / SECTOR_BYTES - first);
            map::read(&self.shared.nodes, &layers, there, &mut sector)?;
            let start = (from_byte % SECTOR_BYTES) as usize;
            let bytes = &sector[start..start + (to_byte - from_byte) as usize];
            pieces.push(self.whole_sectors(from_byte, bytes, edit.size)?);
            Ok(())
        };
        let whole = edit.at.next_multiple_of(SECTOR_BYTES);
        if whole > edit.at {
            part(edit.at, whole.min(end))?;
        }
        let (whole, tail) = (whole / SECTOR_BYTES, last * SECTOR_BYTES);
        let tailed = tail < end && whole <= last;
        let mut tail_piece = None;
        if tailed {
            part(tail, end)?;
            tail_piece = pieces.pop();
        }
        if whole < last {
            let from = from + (whole - first);
            pieces.push(Piece::Map { first: whole, end: last, layers: layers.clone(), from });
        }
        pieces.extend(tail_piece);
        Ok(())
    }

    /// The sectors that these bytes are in, with what stays of the first and the last one.
    fn whole_sectors(&self, at: u64, bytes: &[u8], size: u64) -> Result<Piece, Error> {
        let first = at / SECTOR_BYTES;
        let end = at + bytes.len() as u64;
        let before = (at % SECTOR_BYTES) as usize;
        let whole = (end.div_ceil(SECTOR_BYTES).max(first + 1) - first) * SECTOR_BYTES;
        let mut out = vec![0; whole as usize];
        let inside = before + bytes.len();
        if before > 0 {
            let sector = self.sector(first)?;
            out[..before].copy_from_slice(&sector[..before]);
        }
        if inside < out.len() {
            let stays = (size.min(self.size)).saturating_sub(first * SECTOR_BYTES);
            let stays = (stays as usize).clamp(inside, out.len());
            if inside < stays {
                let last = out.len() - SECTOR_BYTES as usize;
                let sector = self.sector(first + (last as u64) / SECTOR_BYTES)?;
                out[inside..stays].copy_from_slice(&sector[inside - last..stays - last]);
            }
        }
        out[before..inside].copy_from_slice(bytes);
        Ok(Piece::Bytes { first, bytes: out })
    }

    /// A sector as the edits so far have left it.
    fn sector(&self, sector: u64) -> Result<[u8; SECTOR_BYTES as usize], Error> {
        let mut out = [0; SECTOR_BYTES as usize];
        match self.recent.iter().rev().find(|recent| recent.has(sector)) {
            Some(recent) => recent.read(&self.shared.nodes, sector, &mut out)?,
            None if sector * SECTOR_BYTES >= self.size => {}
            None => map::read(&self.shared.nodes, &self.base, sector, &mut out)?,
        }
        Ok(out)
    }

    /// Writes the root of the map as the edits so far have left it.
    fn root(&mut self, cold: &mut ColdWriter<'_>) -> Result<Location, Error> {
        if !self.changed {
            return Ok(self.root);
        }
        let below = match self.below.take() {
            Some(below) => below,
            None => self.below(cold)?,
        };
        let top = match self.alone {
            Some(run) => Some(run),
            None => self.top(below.is_empty(), cold)?,
        };
        let runs: Vec<Run> = top.into_iter().chain(below.iter().copied()).collect();
        self.below = Some(below);
        if runs.is_empty() {
            return Ok(Location::HOLE);
        }
        cold.append_node(&Node::Root(runs).encode())
    }

    /// The run of all edits so far. With nothing below, holes need not be said.
    fn top(&self, bottom: bool, cold: &mut ColdWriter<'_>) -> Result<Option<Run>, Error> {
        let mut builder = RunBuilder::new(cold);
        let said = self.delta.extents().filter(|extent| !(bottom && extent.is_hole()));
        said.into_iter().try_for_each(|extent: Extent| builder.push(extent))?;
        builder.finish()
    }

    /// The runs of the base, those that are due merged. While edits are done, the base is read
    /// through the old ones: what is being written cannot be read yet.
    fn below(&self, cold: &mut ColdWriter<'_>) -> Result<Vec<Run>, Error> {
        let runs = &self.runs;
        let forced = match runs.len() >= RUNS_BEFORE_FORCED_MERGE {
            true => runs.len() - RUNS_BEFORE_FORCED_MERGE / 2,
            false => 0,
        };
        let due = map::due(runs).max(forced);
        if due == 0 {
            return Ok(runs.clone());
        }
        let bottom = due == runs.len();
        match map::merge(&self.shared.nodes, &runs[..due], bottom, Names::Kept, cold) {
            Ok(merged) => Ok(merged.into_iter().chain(runs[due..].iter().copied()).collect()),
            // What is damaged elsewhere must not keep anybody from writing here.
            Err(error @ Error::Damaged { .. }) if runs.len() < RUNS_MAX - 1 => {
                tracing::error!(%error, "runs of a map cannot be merged");
                Ok(runs.clone())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
