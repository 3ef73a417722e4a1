//! Layers that lie, planted below the production code: a checker that finds nothing
//! with them in place would find nothing at all.

use std::sync::Arc;

use archipelago_env::Disk;
use archipelago_pool::Service;
use archipelago_store::Store;
use parking_lot::Mutex;

/// Puts a disk that lies round one that does not.
pub type DiskLayer = Box<dyn Fn(Arc<dyn Disk>) -> Arc<dyn Disk> + Send>;

/// Puts a store that lies round one that does not.
pub type StoreLayer = Box<dyn Fn(Arc<dyn Store>) -> Arc<dyn Store>>;

/// Does something behind the model's back after an act of this kind.
pub type Meddler = Box<dyn Fn(&'static str, &Service)>;

/// What lies in a run, if anything.
#[derive(Default)]
pub struct Layers {
    /// Below everything, SQLite included.
    pub disk: Option<DiskLayer>,
    /// Below the engine.
    pub store: Option<StoreLayer>,
    /// Above everything: in the place of a service that does too much or too little.
    pub meddler: Option<Meddler>,
    /// Which act is under way: to lie during some only.
    pub present: Present,
    /// After acts of this kind power fails, every second time.
    pub cut_after: Option<&'static str>,
}

/// The kind of the act under way; empty between acts.
#[derive(Clone, Default)]
pub struct Present {
    kind: Arc<Mutex<&'static str>>,
}

impl Present {
    /// The kind of the act under way.
    pub fn act(&self) -> &'static str {
        *self.kind.lock()
    }

    pub(super) fn during<T>(&self, kind: &'static str, deed: impl FnOnce() -> T) -> T {
        *self.kind.lock() = kind;
        let done = deed();
        *self.kind.lock() = "";
        done
    }
}
