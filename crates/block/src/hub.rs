//! What all connections of a server share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use archipelago_env::Env;
use parking_lot::{Mutex, MutexGuard};

use crate::buffers::Memory;
use crate::counters::Counters;
use crate::export::Exports;
use crate::limits::Limits;
use crate::link::Link;
use crate::sectors::SectorLocks;
use crate::stream::{Patience, out_of_patience};
use crate::tls::TlsConfig;

pub(crate) struct Hub {
    pub(crate) env: Env,
    pub(crate) exports: Arc<dyn Exports>,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) memory: Arc<Memory>,
    pub(crate) sectors: SectorLocks,
    pub(crate) helpers: AtomicUsize,
    stopping: AtomicBool,
    links: Mutex<HashMap<u64, Arc<Link>>>,
    gone: parking_lot::Condvar,
}

impl Hub {
    pub(crate) fn new(
        env: Env,
        exports: Arc<dyn Exports>,
        tls: Option<TlsConfig>,
        limits: Limits,
    ) -> Arc<Self> {
        let limits = limits.checked();
        Arc::new(Self {
            env,
            exports,
            tls,
            counters: Counters::default(),
            memory: Memory::new(limits.bytes_in_flight, limits.bytes_in_flight_per_connection),
            limits,
            sectors: SectorLocks::default(),
            helpers: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            links: Mutex::default(),
            gone: parking_lot::Condvar::new(),
        })
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Adds a connection, unless there are too many or the server stops.
    pub(crate) fn admit(&self, link: &Arc<Link>) -> bool {
        let kept = if link.peer.unix { 0 } else { self.limits.connections_kept() };
        let mut links = self.links.lock();
        if self.stopping() || links.len() >= self.limits.connections - kept {
            return false;
        }
        links.insert(link.id, Arc::clone(link));
        true
    }

    /// Takes a connection out; the last thing that its thread does.
    pub(crate) fn forget(&self, id: u64) {
        self.links.lock().remove(&id);
        self.gone.notify_all();
    }

    pub(crate) fn connections(&self) -> usize {
        self.links.lock().len()
    }

    /// Ends all connections: each answers what it has taken from its socket and closes; those
    /// that cannot get rid of their answers in time are cut. A client is never told that the
    /// server stops: a lost connection makes it connect again, an error would reach the guest.
    pub(crate) fn stop_connections(&self) {
        self.stopping.store(true, Ordering::Release);
        let links = self.links.lock();
        links.values().for_each(|link| link.stream.stop_receiving());
        let mut links = self.wait_until_gone(links);
        while !links.is_empty() {
            links.values().for_each(|link| link.stream.cut());
            links = self.wait_until_gone(links);
        }
    }

    fn wait_until_gone<'a>(
        &'a self,
        mut links: MutexGuard<'a, HashMap<u64, Arc<Link>>>,
    ) -> MutexGuard<'a, HashMap<u64, Arc<Link>>> {
        let clock = self.env.clock();
        let end = clock.monotonic() + self.limits.stop_grace;
        while !links.is_empty() {
            let left = end.saturating_sub(clock.monotonic());
            if left == Duration::ZERO {
                break;
            }
            self.gone.wait_for(&mut links, left);
        }
        links
    }
}

impl Patience for Hub {
    fn now(&self) -> Duration {
        self.env.clock().monotonic()
    }

    fn exhausted(&self, stalled: Duration) -> bool {
        // While it stops, cutting is decided by `stop_connections`, which knows the grace time.
        out_of_patience(stalled, self.memory.contended())
    }
}
