//! A cache whose disk fails steps aside for a while: reads go to the pool.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archipelago_env::Env;
use parking_lot::Mutex;

/// How long a disk that failed is left alone: one that is dying takes seconds for each error, and
/// one that is full is not so for ever.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// What is left alone just now, each until a time on the monotonic clock in ms; 0 for not.
pub(super) struct Aside {
    env: Env,
    reads: AtomicU64,
    writes: AtomicU64,
    growth: AtomicU64,
    errors: AtomicU64,
    /// What was told, and holds until a write succeeds, or until there is room again.
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    failed: Option<String>,
    full: Option<String>,
}

impl Aside {
    pub fn new(env: Env) -> Self {
        Self {
            env,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            growth: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    pub fn may_read(&self) -> bool {
        self.is_over(&self.reads)
    }

    pub fn may_write(&self) -> bool {
        self.is_over(&self.writes)
    }

    pub fn may_grow(&self) -> bool {
        self.is_over(&self.growth)
    }

    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What stands until it is mended.
    pub fn problem(&self) -> Option<String> {
        let told = self.told.lock();
        told.failed.clone().or_else(|| told.full.clone())
    }

    /// The disk failed.
    pub fn failed(&self, op: &str, error: &io::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let until = self.until();
        self.writes.store(until, Ordering::Release);
        let full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        // What is there can still be read from a disk that is full.
        if !full {
            self.reads.store(until, Ordering::Release);
        }
        let mut told = self.told.lock();
        if told.failed.is_none() {
            let problem = format!(
                "the disk of the cache fails ({op}: {error}); reads go to the pools, and it is \
                 tried again every {} s",
                PAUSE.as_secs()
            );
            tracing::error!("{problem}");
            told.failed = Some(problem);
        }
    }

    /// The disk took a write.
    pub fn works(&self) {
        if self.writes.load(Ordering::Acquire) == 0 {
            return;
        }
        self.writes.store(0, Ordering::Release);
        self.reads.store(0, Ordering::Release);
        if self.told.lock().failed.take().is_some() {
            tracing::info!("the disk of the cache works again");
        }
    }

    /// There is no room for more pages.
    pub fn is_full(&self, bytes: u64, why: &str) {
        self.growth.store(self.until(), Ordering::Release);
        let mut told = self.told.lock();
        if told.full.is_none() {
            let problem = format!(
                "the cache stays at {bytes} bytes: {why}; free some space on its disk, or make \
                 [cache] bytes smaller"
            );
            tracing::warn!("{problem}");
            told.full = Some(problem);
        }
    }

    /// There was room.
    pub fn grew(&self) {
        if self.growth.swap(0, Ordering::AcqRel) != 0 {
            self.told.lock().full = None;
        }
    }

    fn until(&self) -> u64 {
        self.now() + PAUSE.as_millis() as u64
    }

    fn now(&self) -> u64 {
        self.env.clock().monotonic().as_millis() as u64
    }

    fn is_over(&self, until: &AtomicU64) -> bool {
        match until.load(Ordering::Acquire) {
            0 => true,
            until => self.now() >= until,
        }
    }
}
