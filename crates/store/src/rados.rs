//! Segments in RADOS, Ceph's store of objects: it can append, so open segments are there, too.
//!
//! A segment is one object `segment.ID`; its attribute `state` says whether it is open, and since
//! which term. What segments there are is in maps of other objects, since a listing of a pool is in
//! no order and costs what all of it does: `index.N` has the ids of shard N, and `root` has the shards,
//! what is open, what is being removed, and whose all this is. Many stores may share a pool, each
//! in a namespace of its own. The pool must be a replicated one.
//!
//! How the contract of [`Store`] holds:
//!
//! | of the contract | here |
//! |---|---|
//! | a name is durable when `create` returns | acknowledged by all OSDs that keep it: first in `root` (open, in a term), then the object, which must not be there, then in its index, which must be of the term |
//! | content after `sync` | each write is acknowledged when it is durable, so a sync has nothing to do |
//! | room is reserved | no: a full pool refuses the write |
//! | `seal` | one operation cuts the object and marks it; then `root` forgets that it is open |
//! | what is sealed may be written again as it is | it is open again meanwhile |
//! | a read sees every write that returned | OSDs order what is asked of one object |
//! | `remove` is durable, and may be asked again | noted in `root`, then done; a takeover ends what it finds noted |
//! | `list_from` ascends and costs what it returns | the keys of the shards from the floor's on |
//! | `space` | of the cluster |
//!
//! Who writes, and how another one is kept from it: [`fence`].

mod cluster;
mod fence;
mod library;

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use archipelago_env::Env;
use archipelago_model::SegmentId;
use parking_lot::Mutex;

use self::cluster::{Address, Cluster, Errno, Step, Unreached};
use self::fence::{ROOT, TERM, Term};
use self::library::Library;
use crate::layer::Patience;
use crate::{SegmentWriter, Space, Store, StoreError};

/// Ids that differ only in this many low bits share an index: below the number of keys that OSDs
/// begin to complain of (200 000).
const SHARD_BITS: u32 = 16;
/// A segment is one object, and this is the default of `osd_max_object_size`.
const OBJECT_BYTES_MAX: u64 = 128 << 20;
/// How often the state of a segment is looked at again that another one changes meanwhile.
const FENCE_TRIES: u32 = 16;

const STATE: &CStr = c"state";

/// Where a pool of RADOS is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RadosSettings {
    /// The file that tells where the cluster is, and where the key is.
    pub config: PathBuf,
    /// The user without `client.` in front.
    pub user: String,
    /// The pool's name.
    pub pool: String,
    /// What keeps stores of one pool apart.
    pub namespace: String,
}

/// A pool of RADOS that holds segments.
pub struct RadosStore {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<Cluster>,
    term: Term,
    /// Segments whose making got no answer: found there, they are ours.
    unanswered: Mutex<BTreeSet<SegmentId>>,
}

fn unusable(why: &str) -> StoreError {
    StoreError::Unusable { why: why.to_owned() }
}

/// Sorts what the library says when `op` was done to `segment`.
fn sort(segment: Option<SegmentId>, op: &'static str, error: Errno) -> StoreError {
    match (error, segment) {
        (Errno::NOT_FOUND, Some(segment)) => StoreError::NotFound { segment },
        (Errno::EXISTS, Some(segment)) => StoreError::AlreadyExists { segment },
        (Errno::CANCELLED | Errno::SHUT_DOWN, _) => StoreError::Fenced { segment, op },
        (Errno::NO_SPACE | Errno::QUOTA, _) => StoreError::NoSpace { segment, op },
        (Errno::READ_ONLY, _) => StoreError::ReadOnly { segment, op },
        (Errno::TIMED_OUT | Errno::TRY_AGAIN | Errno::NOT_CONNECTED, _) => {
            StoreError::Unavailable { segment, op, source: error.error() }
        }
        (Errno::NOT_PERMITTED | Errno::NO_ACCESS, _) => StoreError::Denied {
            segment,
            op,
            why: "the cluster refuses it: give the user 'allow r' of the monitors and 'allow rwx' \
                  of the pool"
                .to_owned(),
        },
        _ => StoreError::Io { segment, op, source: error.error() },
    }
}

fn text(what: &str, value: &str) -> Result<CString, StoreError> {
    CString::new(value).map_err(|_| unusable(&format!("{what} has a zero byte")))
}

impl RadosStore {
    /// Whether a pool is there and lets us in; nothing is changed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reach(settings: &RadosSettings) -> Result<(), StoreError> {
        connect(settings).map(drop)
    }

    /// Opens the namespace of a pool for the store `owner`, as `holder`: whoever opens it under the
    /// same name again knows that the one before is gone.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] without the library, the configuration or the pool, for a namespace
    /// of another store, and while another holder writes; [`StoreError::Denied`];
    /// [`StoreError::Unavailable`].
    pub fn open(
        env: &Env,
        settings: &RadosSettings,
        owner: &str,
        holder: &str,
    ) -> Result<Self, StoreError> {
        Patience::default().open(env, "the pool of RADOS", || {
            let cluster = Arc::new(connect(settings)?);
            let term = Term::take(env, Arc::clone(&cluster), owner, holder)?;
            let shared = Shared { cluster, term, unanswered: Mutex::default() };
            shared.take_over()?;
            Ok(Self { shared: Arc::new(shared) })
        })
    }

    /// [`Store::create`] with something between its first step and the others: for the suite, in
    /// which a host stands still there.
    ///
    /// # Errors
    /// As of [`Store::create`].
    #[doc(hidden)]
    pub fn create_slowly(
        &self,
        id: SegmentId,
        capacity: u64,
        between: &dyn Fn(),
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let shared = &self.shared;
        shared.check_term(id, "create")?;
        if capacity > OBJECT_BYTES_MAX {
            let source = std::io::ErrorKind::FileTooLarge.into();
            return Err(StoreError::Io { segment: Some(id), op: "create", source });
        }
        let created = shared.create(id, between).map_err(|error| sort(Some(id), "create", error));
        match &created {
            Err(error) if error.is_transient() => {
                shared.unanswered.lock().insert(id);
            }
            _ => {
                shared.unanswered.lock().remove(&id);
            }
        }
        created?;
        Ok(Arc::new(RadosWriter::new(Arc::clone(shared), id)))
    }
}

fn connect(settings: &RadosSettings) -> Result<Cluster, StoreError> {
    let library = Arc::new(Library::load()?);
    let config = settings.config.display().to_string();
    let at = Address {
        config: &text("the path of the configuration", &config)?,
        user: &text("the user", &format!("client.{}", settings.user))?,
        pool: &text("the pool", &settings.pool)?,
        namespace: &text("the namespace", &settings.namespace)?,
    };
    Cluster::connect(library, &at).map_err(|unreached| match unreached {
        Unreached::Config(error) => {
            unusable(&format!("cannot read Ceph's configuration {config}: {}", error.error()))
        }
        Unreached::Pool(Errno::NOT_FOUND) => unusable(&format!(
            "there is no pool {:?} in the cluster of {config}: ceph osd pool create {}",
            settings.pool, settings.pool
        )),
        Unreached::Connect(error @ (Errno::NOT_FOUND | Errno::INVALID)) => unusable(&format!(
            "cannot connect to the cluster of {config} as client.{}: {}: is its key in the keyring \
             that the configuration names, and does that name monitors?",
            settings.user,
            error.error()
        )),
        Unreached::Connect(error) | Unreached::Pool(error) | Unreached::Other(error) => {
            sort(None, "connect to the cluster for", error)
        }
    })
}

/// The term in the state of a segment. They are of one width, so that texts compare as numbers.
fn term_of(state: &str) -> &str {
    state.rsplit(' ').next().unwrap_or_default()
}

fn shard_of(id: SegmentId) -> u64 {
    id.get() >> SHARD_BITS
}

/// Of an object, which never has a zero byte.
fn named(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

fn object_of(id: SegmentId) -> CString {
    named(&format!("segment.{id}"))
}

fn index_of(shard: u64) -> CString {
    named(&format!("index.{shard:07x}"))
}

fn segment_named(key: &str) -> Option<SegmentId> {
    let id = SegmentId::new(u64::from_str_radix(key, 16).ok()?)?;
    (key == id.to_string()).then_some(id)
}

impl Shared {
    fn open_state(&self) -> String {
        format!("open {}", self.term.text())
    }

    fn sealed_state(&self) -> String {
        format!("sealed {}", self.term.text())
    }

    /// What is asked of us when another one is known to write.
    fn check_term(&self, id: SegmentId, op: &'static str) -> Result<(), StoreError> {
        if self.term.is_lost() {
            return Err(StoreError::Fenced { segment: Some(id), op });
        }
        Ok(())
    }

    /// The keys of `root` that begin with this, without it.
    fn noted(&self, prefix: &str) -> Result<Vec<String>, Errno> {
        let keys = self.cluster.keys(ROOT, prefix)?;
        Ok(keys.iter().map_while(|key| key.strip_prefix(prefix)).map(str::to_owned).collect())
    }

    /// Ends what the terms before had begun, so that none of their writes arrives any more.
    ///
    /// First the indexes are this term's: whoever made a segment and cannot note it there any
    /// more is told so, and whoever could is seen below. At the end the term must be ours still:
    /// one who is slow with this may have been taken over meanwhile, and have made again what
    /// the next one removed.
    fn take_over(&self) -> Result<(), StoreError> {
        let failed = |error| sort(None, "take over", error);
        for shard in self.noted("shard.").map_err(failed)? {
            if let Ok(shard) = u64::from_str_radix(&shard, 16) {
                self.fence_index(shard).map_err(failed)?;
            }
        }
        let segments = |prefix| -> Result<Vec<SegmentId>, StoreError> {
            let keys = self.noted(prefix).map_err(failed)?;
            Ok(keys.iter().filter_map(|key| segment_named(key)).collect())
        };
        for id in segments("gone.")? {
            self.end_removal(id).map_err(|error| sort(Some(id), "remove", error))?;
        }
        for id in segments("open.")? {
            self.fence_segment(id).map_err(|error| sort(Some(id), "take over", error))?;
        }
        self.term.change(vec![Step::Set(TERM, self.term.text())]).map_err(failed)
    }

    /// Makes an index one of this term, unless it is of a later one.
    fn fence_index(&self, shard: u64) -> Result<(), Errno> {
        let (index, ours) = (index_of(shard), self.term.text());
        for _ in 0..FENCE_TRIES {
            let fenced = match self.cluster.attribute(&index, TERM) {
                Err(Errno::NOT_FOUND) => {
                    self.cluster.write(&index, &[Step::CreateNew, Step::Set(TERM, ours)])
                }
                Err(error) => return Err(error),
                Ok(term) if term.as_str() > ours => return Err(Errno::CANCELLED),
                Ok(term) => {
                    let steps = [Step::Exists, Step::Compare(TERM, &term), Step::Set(TERM, ours)];
                    self.cluster.write(&index, &steps)
                }
            };
            match fenced {
                Err(Errno::CANCELLED | Errno::EXISTS) => {}
                other => return other,
            }
        }
        Err(Errno::TRY_AGAIN)
    }

    /// Makes an open segment one of this term, unless it is of a later one; one that was not made
    /// yet is made, empty.
    fn fence_segment(&self, id: SegmentId) -> Result<(), Errno> {
        let (object, open) = (object_of(id), self.open_state());
        for _ in 0..FENCE_TRIES {
            let (fenced, is_open) = match self.cluster.attribute(&object, STATE) {
                Err(Errno::NOT_FOUND) => {
                    let steps = [Step::CreateNew, Step::Set(STATE, &open)];
                    (self.cluster.write(&object, &steps), true)
                }
                Err(error) => return Err(error),
                Ok(state) if term_of(&state) > self.term.text() => return Err(Errno::CANCELLED),
                Ok(state) => {
                    let is_open = state.starts_with("open ");
                    let next = if is_open { open.clone() } else { self.sealed_state() };
                    let steps =
                        [Step::Exists, Step::Compare(STATE, &state), Step::Set(STATE, &next)];
                    (self.cluster.write(&object, &steps), is_open)
                }
            };
            match fenced {
                // The one before us was faster, this time.
                Err(Errno::CANCELLED | Errno::EXISTS | Errno::NOT_FOUND) => continue,
                other => other?,
            }
            let key = format!("open.{id}");
            return match is_open {
                true => self.index(id),
                false => self.term.change(vec![Step::Drop(&key)]),
            };
        }
        Err(Errno::TRY_AGAIN)
    }

    /// Notes a segment in the index of its shard, if that is of this term.
    fn index(&self, id: SegmentId) -> Result<(), Errno> {
        let (key, index, ours) = (id.to_string(), index_of(shard_of(id)), self.term.text());
        let known = [Step::Exists, Step::Compare(TERM, ours), Step::Add(&key)];
        match self.cluster.write(&index, &known) {
            Err(Errno::NOT_FOUND) => {}
            other => return other,
        }
        let new = [Step::CreateNew, Step::Set(TERM, ours), Step::Add(&key)];
        match self.cluster.write(&index, &new) {
            // Another thread made it, or another host.
            Err(Errno::EXISTS) => self.cluster.write(&index, &known),
            other => other,
        }
    }

    /// Does what was noted in `root`.
    fn end_removal(&self, id: SegmentId) -> Result<(), Errno> {
        match self.cluster.write(&object_of(id), &[Step::Exists, Step::Remove]) {
            Ok(()) | Err(Errno::NOT_FOUND) => {}
            error => return error,
        }
        let key = id.to_string();
        let index = index_of(shard_of(id));
        match self.cluster.write(&index, &[Step::Exists, Step::Drop(&key)]) {
            Ok(()) | Err(Errno::NOT_FOUND) => {}
            error => return error,
        }
        let gone = format!("gone.{id}");
        self.term.change(vec![Step::Drop(&gone)])
    }

    /// Notes in `root` that a segment is open.
    fn note_open(&self, id: SegmentId) -> Result<(), Errno> {
        let (open, shard) = (format!("open.{id}"), format!("shard.{:07x}", shard_of(id)));
        self.term.change(vec![Step::Add(&open), Step::Add(&shard)])
    }

    /// Makes a segment; `between` is called once `root` has it. That it may be noted in the index
    /// at last says that nobody has taken over: whoever does later finds it in `root`.
    fn create(&self, id: SegmentId, between: &dyn Fn()) -> Result<(), Errno> {
        self.note_open(id)?;
        between();
        let (object, open) = (object_of(id), self.open_state());
        match self.cluster.write(&object, &[Step::CreateNew, Step::Set(STATE, &open)]) {
            Err(Errno::EXISTS) if self.unanswered.lock().contains(&id) => {
                if self.cluster.attribute(&object, STATE)? != open {
                    return Err(Errno::EXISTS);
                }
            }
            other => other?,
        }
        self.index(id)
    }

    fn reopen(&self, id: SegmentId) -> Result<(), Errno> {
        let object = object_of(id);
        if self.cluster.attribute(&object, STATE)? == self.open_state() {
            return Ok(());
        }
        self.note_open(id)?;
        // Now that `root` has it, nobody takes over without a look at it.
        let state = self.cluster.attribute(&object, STATE)?;
        if term_of(&state) > self.term.text() {
            return Err(Errno::CANCELLED);
        }
        let open = self.open_state();
        self.cluster
            .write(&object, &[Step::Exists, Step::Compare(STATE, &state), Step::Set(STATE, &open)])
    }

    fn seal(&self, id: SegmentId, len: u64) -> Result<(), Errno> {
        let (object, open, sealed) = (object_of(id), self.open_state(), self.sealed_state());
        let cut = self.cluster.write(
            &object,
            &[
                Step::Exists,
                Step::Compare(STATE, &open),
                Step::Truncate(len),
                Step::Set(STATE, &sealed),
            ],
        );
        match cut {
            // By an earlier try that got no answer?
            Err(Errno::CANCELLED) => {
                let done = self.cluster.attribute(&object, STATE)? == sealed
                    && self.cluster.len(&object)? == len;
                if !done {
                    return Err(Errno::CANCELLED);
                }
            }
            other => other?,
        }
        let key = format!("open.{id}");
        self.term.change(vec![Step::Drop(&key)])
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, Errno> {
        let mut ids = Vec::new();
        for shard in self.noted("shard.")? {
            let Ok(shard) = u64::from_str_radix(&shard, 16) else { continue };
            if shard < shard_of(floor) {
                continue;
            }
            let before = floor.get().checked_sub(1).and_then(SegmentId::new);
            let after = before.map(|id| id.to_string()).unwrap_or_default();
            let keys = self.cluster.keys(&index_of(shard), &after)?;
            ids.extend(keys.iter().filter_map(|key| segment_named(key)));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

impl Store for RadosStore {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.create_slowly(id, capacity, &|| {})
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.shared.check_term(id, "reopen")?;
        self.shared.reopen(id).map_err(|error| sort(Some(id), "reopen", error))?;
        Ok(Arc::new(RadosWriter::new(Arc::clone(&self.shared), id)))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        if buf.is_empty() {
            return self.len(id).map(|_| 0);
        }
        let read = self.shared.cluster.read(&object_of(id), offset, buf);
        read.map_err(|error| sort(Some(id), "read", error))
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        let len = self.shared.cluster.len(&object_of(id));
        len.map_err(|error| sort(Some(id), "measure", error))
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.check_term(id, "remove")?;
        shared.unanswered.lock().remove(&id);
        let (gone, open) = (format!("gone.{id}"), format!("open.{id}"));
        let noted = shared.term.change(vec![Step::Add(&gone), Step::Drop(&open)]);
        let removed = noted.and_then(|()| shared.end_removal(id));
        removed.map_err(|error| sort(Some(id), "remove", error))
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.shared.list_from(floor).map_err(|error| sort(None, "list", error))
    }

    fn gains_from_zeros(&self) -> bool {
        false
    }

    fn space(&self) -> Result<Space, StoreError> {
        let found = self.shared.cluster.space();
        let (total, free) = found.map_err(|error| sort(None, "measure the room for", error))?;
        Ok(Space { total, free })
    }
}

/// The states of a writer, in an atomic.
const OPEN: u8 = 0;
/// A seal was asked for: what it did is known when it succeeds.
const SEALING: u8 = 1;

struct RadosWriter {
    shared: Arc<Shared>,
    id: SegmentId,
    object: CString,
    state: AtomicU8,
    /// The length that it was sealed at.
    sealed: Mutex<Option<u64>>,
}

impl RadosWriter {
    fn new(shared: Arc<Shared>, id: SegmentId) -> Self {
        let (object, state) = (object_of(id), AtomicU8::new(OPEN));
        Self { shared, id, object, state, sealed: Mutex::new(None) }
    }

    fn check_open(&self, op: &'static str) -> Result<(), StoreError> {
        self.shared.check_term(self.id, op)?;
        if self.state.load(Ordering::Acquire) == OPEN {
            return Ok(());
        }
        Err(StoreError::unwritable(self.id, op, "it is sealed"))
    }
}

impl SegmentWriter for RadosWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        self.check_open("write")?;
        let open = self.shared.open_state();
        let mut steps = vec![Step::Exists, Step::Compare(STATE, &open)];
        let mut at = offset;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            steps.push(Step::Write(at, part));
            at = at.saturating_add(part.len() as u64);
        }
        if at > OBJECT_BYTES_MAX {
            return Err(StoreError::NoSpace { segment: Some(self.id), op: "write" });
        }
        let written = self.shared.cluster.write(&self.object, &steps);
        written.map_err(|error| sort(Some(self.id), "write", error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        // What was acknowledged is durable.
        self.check_open("sync")
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        let mut sealed = self.sealed.lock();
        match *sealed {
            Some(at) if at == len => return Ok(()),
            Some(_) => return Err(StoreError::unwritable(self.id, "seal", "it is sealed")),
            None => self.shared.check_term(self.id, "seal")?,
        }
        self.state.store(SEALING, Ordering::Release);
        self.shared.seal(self.id, len).map_err(|error| sort(Some(self.id), "seal", error))?;
        *sealed = Some(len);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
