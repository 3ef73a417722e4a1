//! Test benches: an engine, and parts of one, over a memory store.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipelago_env::Env;
use archipelago_model::{Epoch, Location, SegmentId, VolumeId, VolumeSize};
use archipelago_store::layer::Faulty;
use archipelago_store::{MemoryStore, Store};
use parking_lot::Mutex;

use crate::checkpoint::{Checkpoint, LogSink};
use crate::config::Config;
use crate::engine::{Doubt, Engine, Options};
use crate::error::Error;
use crate::log::Log;
use crate::map::{NodeSink, Nodes};
use crate::segments::{SegmentIds, Segments};
use crate::volume::{Head, Volume};

/// Ids from a counter.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl SegmentIds for Counter {
    fn reserve(&self, count: u64) -> Result<Range<u64>, Box<dyn std::error::Error + Send + Sync>> {
        let from = self.0.fetch_add(count, Ordering::Relaxed) + 1;
        Ok(from..from + count)
    }
}

/// Segments, nodes and a log; a sink for nodes.
pub(crate) struct Bench {
    pub segments: Arc<Segments>,
    pub nodes: Arc<Nodes>,
    pub log: Arc<Log>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        let config = Config::default();
        let ids = Arc::new(Counter::default());
        let segments = Arc::new(Segments::new(store, Env::real(), [1; 16], ids, &config));
        let nodes = Arc::new(Nodes::new(Arc::clone(&segments), 64 << 20));
        let (wait, first) = (config.log_room_wait, Location::start_of(SegmentId::MIN));
        let log = Log::new(Arc::clone(&segments), 32 << 20, wait, first);
        Self { segments, nodes, log }
    }

    pub(crate) fn forget_nodes(&mut self) {
        self.nodes = Arc::new(Nodes::new(Arc::clone(&self.segments), 64 << 20));
    }
}

impl NodeSink for Bench {
    fn append_node(&mut self, node: &[u8]) -> Result<Location, Error> {
        LogSink(&self.log).append_node(node)
    }
}

/// An engine with a catalog in memory, over a store that fails when told to.
pub(crate) struct Rig {
    pub faults: Faulty,
    pub room_wait: Duration,
    pub doubt: Option<Doubt>,
    ids: Mutex<Arc<Counter>>,
    heads: Mutex<HashMap<VolumeId, Head>>,
    floor: Mutex<Option<SegmentId>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        Self {
            faults: Faulty::new(store),
            room_wait: Config::default().log_room_wait,
            doubt: None,
            ids: Mutex::default(),
            heads: Mutex::default(),
            floor: Mutex::default(),
        }
    }

    pub(crate) fn open(&self) -> Arc<Engine> {
        self.try_open().expect("nothing is wrong with the store")
    }

    pub(crate) fn try_open(&self) -> Result<Arc<Engine>, Error> {
        let opened = Engine::open(Options {
            env: Env::real(),
            store: Arc::new(self.faults.clone()),
            config: Config {
                hot_segment_bytes: 1 << 20,
                log_room_wait: self.room_wait,
                ..Config::default()
            },
            store_uuid: [1; 16],
            dedup_key: [2; 32],
            ids: Arc::clone(&self.ids.lock()) as Arc<dyn SegmentIds>,
            log_floor: *self.floor.lock(),
            heads: &|id| self.heads.lock().get(&id).copied(),
            recorded: &|_| None,
            forwarded: &[],
            condemned: &[],
            doubt: self.doubt.clone(),
            copies: None,
        })?;
        Ok(opened.0)
    }

    /// The catalog is put back from when it had given no id yet.
    pub(crate) fn forget_ids(&self) {
        *self.ids.lock() = Arc::default();
    }

    /// Attaches volume `id` under its next epoch.
    pub(crate) fn attach(&self, engine: &Engine, id: u64, size: u64) -> Arc<Volume> {
        let volume = VolumeId::new(id);
        let mut heads = self.heads.lock();
        let head = heads.entry(volume).or_insert(Head {
            volume,
            epoch: Epoch::new(0),
            size: VolumeSize::from_bytes(size).expect("tests use possible sizes"),
            root: Location::HOLE,
            lsn: Location::HOLE,
        });
        head.epoch = Epoch::new(head.epoch.get() + 1);
        engine.attach(*head).expect("the epoch is the newest")
    }

    /// A checkpoint recorded in this catalog.
    pub(crate) fn checkpoint(
        &self,
        engine: &Engine,
        volumes: &[Arc<Volume>],
    ) -> Result<Checkpoint, Error> {
        engine.checkpoint(volumes, true, |checkpoint| {
            *self.floor.lock() = Some(checkpoint.log_floor);
            for cut in &checkpoint.cuts {
                if let Some(head) = self.heads.lock().get_mut(&cut.volume) {
                    (head.root, head.lsn, head.size) = (*cut.root.get(), cut.lsn, cut.size);
                }
            }
            Ok::<(), Error>(())
        })
    }
}
