//! Ingest: from a stream of pieces to a map in cold segments, each byte written
//! once, what is stored already written not at all.
//!
//! ```text
//! pieces -> window (zeros dropped, blocks hashed) -> runs that are stored: named
//!                                                 -> the rest: chunks, packed
//!        -> extents -> map run -> root node -> sealed, synced -> Durable root
//! ```
//! Memory is bounded whatever the size: a window, a write buffer, the lists of the
//! segments that a window is compared with, and the list of the open segment.
//!
//! # Architecture invariant
//! Nobody learns a location before its segment is sealed and synced: the index
//! learns a segment when it is sealed, and the root is returned after the last.

mod cold;
mod encode;
mod index;
mod lists;
mod place;
mod prints;
mod share;
mod window;

use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_format::node::{Node, RUNS_MAX, Run};
use archipelago_format::segment::Fingerprint;
use archipelago_model::{Location, PoolId, SegmentId, VOLUME_BYTES_MAX};
use thiserror::Error;

pub(crate) use self::cold::{CHUNK_BYTES, ColdWriter};
pub(crate) use self::encode::Compression;
use self::index::SampleIndex;
use self::lists::{LIST_BYTES_MAX, Lists};
pub(crate) use self::place::{Naming, Placed, Placing};
use self::prints::Prints;
use crate::error::{Durable, Error};
use crate::map::{self, Names, NodeSink, Nodes, RunBuilder};
use crate::pins::{Fresh, Pins};
use crate::segments::{SegmentInfo, Segments};

/// A part of what is ingested. Offsets ascend, parts do not overlap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Bytes.
    Data {
        /// In bytes, a multiple of 4096.
        offset: u64,
        /// A multiple of 4096, but for the piece that ends the resource.
        bytes: Vec<u8>,
    },
    /// Zeros.
    Zero {
        /// In bytes, a multiple of 512.
        offset: u64,
        /// A multiple of 512, but for the piece that ends the resource.
        len: u64,
    },
}

/// Why a piece was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PieceError {
    /// It begins before the last one ended.
    #[error("a piece begins at {offset}, where the one before ends at {end}; send them in order")]
    Descending {
        /// Of the piece.
        offset: u64,
        /// Of the one before.
        end: u64,
    },
    /// It ends behind the end.
    #[error("a piece of {len} bytes at {offset} reaches beyond the size of {size} bytes")]
    Beyond {
        /// Of the piece.
        offset: u64,
        /// Of the piece.
        len: u64,
        /// Of the resource.
        size: u64,
    },
    /// It is not made of whole blocks (data) or sectors (zeros).
    #[error("a piece of {len} bytes at {offset} is not made of whole units of {grain} bytes")]
    Unaligned {
        /// Of the piece.
        offset: u64,
        /// Of the piece.
        len: u64,
        /// What it must be a multiple of.
        grain: u64,
    },
    /// The resource as a whole is too large.
    #[error(
        "{size} bytes are more than the {VOLUME_BYTES_MAX} that a volume, image or file has at most"
    )]
    TooLarge {
        /// Of the resource.
        size: u64,
    },
}

/// Why an ingest was given up. Nothing names what it has written.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The store, the map or the catalog failed.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The source failed, or what it sent is not possible.
    #[error(transparent)]
    Source(Box<dyn StdError + Send + Sync>),
}

impl From<PieceError> for IngestError {
    fn from(error: PieceError) -> Self {
        Self::Source(Box::new(error))
    }
}

/// What an ingest did, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct IngestStats {
    /// Of data pieces.
    pub bytes_in: u64,
    /// Of zeros, said or found among data.
    pub zero_bytes: u64,
    /// Of blocks that were stored already, here or in other resources.
    pub duplicate_bytes: u64,
    /// Of the segments written: chunks, map and footers.
    pub stored_bytes: u64,
}

/// What an ingest gives: a map on stable storage, not yet bound to a name.
#[derive(Debug)]
pub struct Ingested {
    /// The map; a hole when everything is zero.
    pub root: Durable<Location>,
    /// Segments of others that the map newly names, ascending: check in the
    /// transaction that binds the root that none of them is condemned.
    pub named: Vec<SegmentId>,
    /// The segments written. The next checkpoint reports them, too.
    pub sealed: Vec<SegmentInfo>,
    /// Figures.
    pub stats: IngestStats,
    /// Keeps the collector off until the root is bound.
    pub fresh: Fresh,
}

/// What finds duplicates: shared by all ingests of an engine.
struct Dedup {
    key: [u8; 32],
    index: SampleIndex,
    lists: Lists,
    refused: AtomicU64,
    unreadable: AtomicU64,
}

impl Dedup {
    fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            index: SampleIndex::new(),
            lists: Lists::new(LIST_BYTES_MAX),
            refused: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// Learns a segment that was just sealed.
    fn learn(&self, id: SegmentId, prints: Prints) {
        self.learn_samples(id, prints.list());
        self.lists.keep(id, Arc::new(prints));
    }

    fn learn_samples(&self, id: SegmentId, prints: &[Fingerprint]) {
        let refused = self.index.learn(prints, id);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }
}

/// How well duplicates can be found.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct DedupFigures {
    /// Entries of the sampled index.
    pub(crate) index_entries: u64,
    /// Its memory in bytes.
    pub(crate) index_bytes: u64,
    /// Samples that it had no room for.
    pub(crate) index_refused: u64,
    /// Memory of cached lists, in bytes.
    pub(crate) list_bytes: u64,
    /// Footers whose samples or fingerprints could not be read.
    pub(crate) unreadable: u64,
}

/// What all ingests of an engine share.
pub(crate) struct Context {
    segments: Arc<Segments>,
    nodes: Arc<Nodes>,
    pins: Arc<Pins>,
    dedup: Dedup,
    segment_bytes: u64,
    bytes_in: AtomicU64,
    duplicate_bytes: AtomicU64,
    stored_bytes: AtomicU64,
}

impl Context {
    /// Knows no duplicates yet. `key` is that of the dedup domain: fingerprints made
    /// with another never match. A cold segment is sealed at `segment_bytes`.
    pub(crate) fn new(
        segments: Arc<Segments>,
        nodes: Arc<Nodes>,
        pins: Arc<Pins>,
        key: [u8; 32],
        segment_bytes: u64,
    ) -> Self {
        Self {
            segments,
            nodes,
            pins,
            dedup: Dedup::new(key),
            segment_bytes,
            bytes_in: AtomicU64::new(0),
            duplicate_bytes: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
        }
    }

    /// Forgets what these segments hold: nobody finds a duplicate there any more.
    pub(crate) fn forget(&self, ids: &HashSet<SegmentId>) {
        self.dedup.lists.forget(ids);
        self.dedup.index.forget(ids);
    }

    /// Of all ingests that succeeded: bytes in, duplicate bytes, stored bytes.
    pub(crate) fn figures(&self) -> (u64, u64, u64) {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (get(&self.bytes_in), get(&self.duplicate_bytes), get(&self.stored_bytes))
    }

    /// How well duplicates can be found.
    pub(crate) fn dedup_figures(&self) -> DedupFigures {
        let Dedup { index, lists, refused, unreadable, .. } = &self.dedup;
        DedupFigures {
            index_entries: index.len(),
            index_bytes: index.bytes(),
            index_refused: refused.load(Ordering::Relaxed),
            list_bytes: lists.bytes(),
            unreadable: unreadable.load(Ordering::Relaxed) + lists.unreadable(),
        }
    }

    /// The segments that the dedup index has entries of, ascending.
    pub(crate) fn indexed_segments(&self) -> Vec<SegmentId> {
        self.dedup.index.segments()
    }

    /// How the dedup index knows a block.
    pub(crate) fn fingerprint(&self, block: &[u8]) -> u128 {
        window::fingerprint(&self.dedup.key, block)
    }

    /// Adds to the figures.
    pub(crate) fn count(&self, stats: &IngestStats) {
        self.bytes_in.fetch_add(stats.bytes_in, Ordering::Relaxed);
        self.duplicate_bytes.fetch_add(stats.duplicate_bytes, Ordering::Relaxed);
        self.stored_bytes.fetch_add(stats.stored_bytes, Ordering::Relaxed);
    }
}

/// Teaches the index the samples of these segments; how many could be read. One
/// that cannot be is passed over: what it holds will be stored again. Ingests may
/// run meanwhile.
pub(crate) fn learn(context: &Context, ids: &[SegmentId]) -> u64 {
    let mut learnt = 0;
    for &id in ids {
        match context.segments.samples(id) {
            Ok(samples) => {
                context.dedup.learn_samples(id, &samples);
                learnt += 1;
            }
            Err(error) if Segments::is_missing(&error) => {}
            Err(error) => {
                context.dedup.unreadable.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    segment = %id,
                    %error,
                    "the samples of a segment cannot be read: its data will not be shared"
                );
            }
        }
    }
    learnt
}

/// Gives the next piece; `None` at the end.
type Source<'a> = dyn FnMut() -> Result<Option<Piece>, IngestError> + 'a;

/// Stores what `source` gives and builds its map, of `size_bytes` bytes.
///
/// `base` is the root that the pieces change: what they do not mention stays. With
/// the hole as base, what they do not mention is zero. Any number of ingests may
/// run at once.
pub(crate) fn ingest(
    context: &Context,
    pool: PoolId,
    base: Location,
    size_bytes: u64,
    source: &mut Source<'_>,
) -> Result<Ingested, IngestError> {
    if size_bytes > VOLUME_BYTES_MAX {
        return Err(PieceError::TooLarge { size: size_bytes }.into());
    }
    let _base = context.pins.root(base);
    let below = context.nodes.root(base)?;
    let mut cold = ColdWriter::new(context, size_bytes, Compression::default()).into_pool(pool);
    let run = RunBuilder::new(&mut cold);
    let mut placing = Placing::new(context, run, size_bytes, !base.is_hole());
    placing.gather(source)?;
    let below_end = below.iter().map(|run| run.end).max().unwrap_or(0);
    let Placed { naming, named, mut stats } = placing.finish(below_end)?;
    let root = match naming.finish()? {
        None => base,
        Some(run) => write_root(context, run, &below, &mut cold)?,
    };
    let (sealed, fresh) = cold.finish(&[])?;
    stats.stored_bytes = sealed.iter().map(|info| info.stored_bytes).sum();
    context.count(&stats);
    Ok(Ingested {
        root: Durable::after_sync(root),
        named: named.into_iter().collect(),
        sealed,
        stats,
        fresh,
    })
}

/// Puts `run` on top of the runs `below`. Those that are due are merged on the
/// way, so that a chain of incremental receives does not pile them up.
fn write_root(
    context: &Context,
    run: Run,
    below: &[Run],
    cold: &mut ColdWriter<'_>,
) -> Result<Location, Error> {
    let due = if below.len() < RUNS_MAX { map::due(below) } else { below.len() };
    let (newer, older) = below.split_at(due);
    let mut runs = vec![run];
    if !newer.is_empty() {
        let bottom = older.is_empty();
        runs.extend(map::merge(&context.nodes, newer, bottom, Names::Kept, cold)?);
    }
    runs.extend_from_slice(older);
    cold.append_node(&Node::Root(runs).encode())
}

#[cfg(test)]
mod tests;
