//! One writer for each store, kept apart by the OSDs themselves.
//!
//! Whoever opens a store takes a lock on its `root` object (so that a second one is told, and does
//! not disturb the first), and then the next *term*: a number in an attribute of `root`. Every
//! later change of `root` or of an index compares the term in the same operation, and every write
//! to a segment compares the segment's state, which has the term in it. So the late writes of one who was
//! taken over, be it after days, are refused by the OSD that would do them, whatever that one
//! believes; the lock alone could not do that, since it is only asked for now and then.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipelago_env::{Env, Join};
use parking_lot::{Condvar, Mutex};

use super::cluster::{Cluster, Errno, Lock, Step};
use super::{sort, unusable};
use crate::StoreError;

/// The object that says whose the store is, who writes it, and what is under way.
pub(super) const ROOT: &CStr = c"root";
pub(super) const TERM: &CStr = c"term";
const LOCK: &CStr = c"writer";
const STORE: &CStr = c"store";
const LAYOUT: &CStr = c"layout";
/// Of names, keys and attributes; another one is refused.
const LAYOUT_NUMBER: &str = "1";

/// The lock is somebody else's so long after its holder died.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How often it is renewed: three times before it ends.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// The right to write a store; given back when dropped.
pub(super) struct Term {
    cluster: Arc<Cluster>,
    /// As it is compared.
    text: String,
    cookie: CString,
    watch: Arc<Watch>,
    renewer: Mutex<Option<Box<dyn Join>>>,
}

#[derive(Default)]
struct Watch {
    lost: AtomicBool,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Term {
    /// Takes the lock and the next term.
    pub(super) fn take(
        env: &Env,
        cluster: Arc<Cluster>,
        store: &str,
        holder: &str,
    ) -> Result<Self, StoreError> {
        let cookie =
            CString::new(holder).map_err(|_| unusable("the holder's name has a zero byte"))?;
        found(&cluster, store)?;
        lock(&cluster, &cookie)?;
        let text = match raise(&cluster) {
            Ok(text) => text,
            Err(error) => {
                let _ = cluster.unlock(ROOT, &Lock { name: LOCK, cookie: &cookie });
                return Err(error);
            }
        };
        let watch = Arc::new(Watch::default());
        let renewer = Renewer {
            cluster: Arc::clone(&cluster),
            term: text.clone(),
            cookie: cookie.clone(),
            watch: Arc::clone(&watch),
        };
        let renew = move || renewer.run();
        let started = env.threads().spawn("rados-lease", Box::new(renew));
        let renewer = started.map_err(|source| StoreError::Io {
            segment: None,
            op: "renew the lease of",
            source,
        })?;
        Ok(Self { cluster, text, cookie, watch, renewer: Mutex::new(Some(renewer)) })
    }

    /// The number, of fixed width.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is known here that another one has the lock. The OSDs know it anyway.
    pub(super) fn is_lost(&self) -> bool {
        self.watch.lost.load(Ordering::Acquire)
    }

    /// Changes `root`, if the term is ours still.
    pub(super) fn change(&self, steps: Vec<Step<'_>>) -> Result<(), Errno> {
        let mut all = vec![Step::Exists, Step::Compare(TERM, &self.text)];
        all.extend(steps);
        self.cluster.write(ROOT, &all)
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        *self.watch.ended.lock() = true;
        self.watch.end.notify_all();
        if let Some(renewer) = self.renewer.lock().take()
            && let Err(panic) = renewer.join()
        {
            tracing::error!(%panic, "renewing a lease");
        }
        // Else it ends by itself.
        let _ = self.cluster.unlock(ROOT, &Lock { name: LOCK, cookie: &self.cookie });
    }
}

/// Makes `root` where it is missing; it must be of this store, and laid out as we know.
fn found(cluster: &Cluster, store: &str) -> Result<(), StoreError> {
    let made = cluster.write(
        ROOT,
        &[
            Step::CreateNew,
            Step::Set(LAYOUT, LAYOUT_NUMBER),
            Step::Set(STORE, store),
            Step::Set(TERM, &number(0)),
            // A pool that cannot do this cannot be used: better found now.
            Step::Add("shard."),
        ],
    );
    match made {
        Ok(()) | Err(Errno::EXISTS) => {}
        Err(Errno::NOT_SUPPORTED) => {
            return Err(unusable(
                "the pool is erasure-coded, which keeps no maps: use a replicated one",
            ));
        }
        Err(error) => return Err(sort(None, "make", error)),
    }
    let get = |name| cluster.attribute(ROOT, name).map_err(|error| sort(None, "read", error));
    let (layout, owner) = (get(LAYOUT)?, get(STORE)?);
    if layout != LAYOUT_NUMBER {
        return Err(unusable(&format!(
            "the pool is laid out as of version {layout}, this program knows {LAYOUT_NUMBER}: \
             use a newer one"
        )));
    }
    if owner != store {
        return Err(unusable(&format!(
            "the namespace of the pool belongs to store {owner}: give this store another namespace"
        )));
    }
    Ok(())
}

fn lock(cluster: &Cluster, cookie: &CStr) -> Result<(), StoreError> {
    let ours = Lock { name: LOCK, cookie };
    let failed = |error| sort(None, "lock", error);
    match cluster.lock(ROOT, &ours, LEASE) {
        Err(Errno::BUSY | Errno::EXISTS) => {}
        other => return other.map_err(failed),
    }
    let Some(holder) = cluster.holder(ROOT, LOCK).map_err(failed)? else {
        // It ended just now.
        return cluster.lock(ROOT, &ours, LEASE).map_err(failed);
    };
    if holder.cookie.as_bytes() != cookie.to_bytes() {
        return Err(unusable(&format!(
            "the store is written by {} ({}) at {}: stop that one, or wait {} s after it died",
            holder.cookie,
            holder.client,
            holder.address,
            LEASE.as_secs()
        )));
    }
    // Ours, from before this process: whoever names the holder knows that it is gone. If it were
    // not, the next term fences it.
    cluster.break_lock(ROOT, LOCK, &holder).map_err(failed)?;
    cluster.lock(ROOT, &ours, LEASE).map_err(failed)
}

/// The next term, which nobody else has.
fn raise(cluster: &Cluster) -> Result<String, StoreError> {
    let failed = |error| sort(None, "take over", error);
    let before = cluster.attribute(ROOT, TERM).map_err(failed)?;
    let parsed = u64::from_str_radix(&before, 16).ok().and_then(|term| term.checked_add(1));
    let Some(next) = parsed else {
        return Err(unusable("the term of the store is no number: its object 'root' is damaged"));
    };
    let after = number(next);
    cluster
        .write(ROOT, &[Step::Exists, Step::Compare(TERM, &before), Step::Set(TERM, &after)])
        .map_err(failed)?;
    Ok(after)
}

fn number(term: u64) -> String {
    format!("{term:016x}")
}

/// Keeps the lock for as long as the term is ours.
struct Renewer {
    cluster: Arc<Cluster>,
    term: String,
    cookie: CString,
    watch: Arc<Watch>,
}

impl Renewer {
    fn run(&self) {
        let mut ended = self.watch.ended.lock();
        loop {
            let waited = self.watch.end.wait_for(&mut ended, RENEW_EVERY);
            if *ended {
                return;
            }
            if !waited.timed_out() {
                continue;
            }
            let renewed = parking_lot::MutexGuard::unlocked(&mut ended, || self.renew());
            match renewed {
                Ok(true) => {}
                Ok(false) | Err(Errno::BUSY | Errno::SHUT_DOWN) => {
                    tracing::error!("another host writes the store in this pool: this one stops");
                    self.watch.lost.store(true, Ordering::Release);
                    return;
                }
                // Whether it is lost is not known; what is written says so.
                Err(error) => tracing::warn!(error = %error.error(), "a lease is not renewed"),
            }
        }
    }

    /// Whether the term is ours still. A lock that ended is only taken again in that case: it
    /// is for those who come now, not for those who were.
    fn renew(&self) -> Result<bool, Errno> {
        let lock = Lock { name: LOCK, cookie: &self.cookie };
        match self.cluster.renew(ROOT, &lock, LEASE) {
            Err(Errno::NOT_FOUND) => {}
            other => return other.map(|()| true),
        }
        if self.cluster.attribute(ROOT, TERM)? != self.term {
            return Ok(false);
        }
        self.cluster.lock(ROOT, &lock, LEASE).map(|()| true)
    }
}
