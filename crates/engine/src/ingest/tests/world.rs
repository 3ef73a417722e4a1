//! A store in memory, ingests into it, and the maps read back.

use std::sync::Arc;

use archipelago_env::Env;
use archipelago_format::segment::{Directory, SLOT_PAGE_BYTES, SlotPage};
use archipelago_model::{Location, PoolId, SegmentId};
use archipelago_store::layer::Faulty;
use archipelago_store::{MemoryStore, Store};

use super::super::{Context, IngestError, Ingested, Piece, ingest};
use crate::config::Config;
use crate::map::{self, Layer, Nodes};
use crate::segments::{SegmentIds, Segments};
use crate::testing::Counter;

pub(crate) const KEY: [u8; 32] = [7; 32];

pub(crate) struct World {
    pub(crate) store: Faulty,
    pub(crate) segments: Arc<Segments>,
    pub(crate) context: Context,
    ids: Arc<dyn SegmentIds>,
    segment_bytes: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_segment_bytes(Config::default().cold_segment_bytes)
    }

    pub(crate) fn with_segment_bytes(segment_bytes: u64) -> Self {
        let store = Faulty::new(Arc::new(MemoryStore::new()));
        let ids: Arc<dyn SegmentIds> = Arc::new(Counter::default());
        let (segments, context) = open(&store, &ids, segment_bytes);
        Self { store, segments, context, ids, segment_bytes }
    }

    /// Forgets all that is not in the store.
    pub(crate) fn restart(&mut self) {
        (self.segments, self.context) = open(&self.store, &self.ids, self.segment_bytes);
    }

    /// Ingests `bytes` in pieces of 100 blocks, which divide no window and no chunk.
    pub(crate) fn ingest(&self, bytes: &[u8]) -> Ingested {
        self.try_ingest(bytes).unwrap()
    }

    pub(crate) fn try_ingest(&self, bytes: &[u8]) -> Result<Ingested, IngestError> {
        let pieces = bytes.chunks(409_600).enumerate();
        let pieces = pieces
            .map(|(n, piece)| Piece::Data { offset: n as u64 * 409_600, bytes: piece.to_vec() });
        self.ingest_pieces(Location::HOLE, bytes.len() as u64, pieces.collect())
    }

    pub(crate) fn ingest_pieces(
        &self,
        base: Location,
        size: u64,
        pieces: Vec<Piece>,
    ) -> Result<Ingested, IngestError> {
        let mut pieces = pieces.into_iter();
        ingest(&self.context, PoolId::FIRST, base, size, &mut || Ok(pieces.next()))
    }

    /// The bytes of a map, by a walk of it.
    pub(crate) fn read(&self, root: Location, len: usize) -> Vec<u8> {
        let nodes = Nodes::new(Arc::clone(&self.segments), 1 << 20);
        let layers: Vec<Layer> =
            nodes.root(root).unwrap().iter().copied().map(Layer::Run).collect();
        let mut out = vec![0; len.next_multiple_of(512)];
        map::read(&nodes, &layers, 0, &mut out).unwrap();
        out.truncate(len);
        out
    }

    pub(crate) fn ids(&self) -> Vec<SegmentId> {
        self.store.list_from(SegmentId::new(1).unwrap()).unwrap()
    }

    pub(crate) fn store_bytes(&self) -> u64 {
        self.ids().into_iter().map(|id| self.store.len(id).unwrap()).sum()
    }

    /// All slot pages of a segment.
    pub(crate) fn slot_pages(&self, directory: &Directory) -> Vec<SlotPage> {
        let mut bytes = vec![0; directory.slots.len as usize];
        self.store.read_at(directory.header.id, directory.slots.offset, &mut bytes).unwrap();
        let pages = bytes.chunks(SLOT_PAGE_BYTES).zip(0..);
        pages.map(|(page, number)| SlotPage::decode(page, number).unwrap()).collect()
    }
}

fn open(store: &Faulty, ids: &Arc<dyn SegmentIds>, segment_bytes: u64) -> (Arc<Segments>, Context) {
    let store: Arc<dyn Store> = Arc::new(store.clone());
    let config = Config::default();
    let segments = Arc::new(Segments::new(store, Env::real(), [1; 16], Arc::clone(ids), &config));
    let nodes = Arc::new(Nodes::new(Arc::clone(&segments), config.node_cache_bytes));
    let context = Context::new(Arc::clone(&segments), nodes, Arc::default(), KEY, segment_bytes);
    (segments, context)
}

pub(crate) fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Compresses well, and no two blocks are the same.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 64);
    for n in 0u32.. {
        if out.len() >= len {
            break;
        }
        out.extend_from_slice(format!("line {n} of a log that says little\n").as_bytes());
    }
    out.truncate(len);
    out
}

pub(crate) fn blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks_exact(4096)
}
