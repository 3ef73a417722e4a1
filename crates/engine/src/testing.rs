//! Test benches: an engine, and parts of one, over a memory store.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_env::Env;
use archipelago_model::Location;
use archipelago_store::{MemoryStore, Store};

use crate::checkpoint::LogSink;
use crate::config::Config;
use crate::error::Error;
use crate::log::Log;
use crate::map::{NodeSink, Nodes};
use crate::segments::{SegmentIds, Segments};

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
    pub log: Log,
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
        let first = Location::start_of(archipelago_model::SegmentId::MIN);
        let log = Log::new(Arc::clone(&segments), 32 << 20, first);
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
