//! Segments in a bucket: any object storage whose objects are written whole.
//!
//! Object storage cannot append. So an open segment is a file of the *staging* folder, which is
//! a [`DirectoryStore`] of this host, until it is sealed; then it is put as one object
//! `PREFIX/segments/ID`, looked at, and leaves the staging. Objects never change.
//!
//! How the contract of [`Store`] holds:
//!
//! | of the contract | here |
//! |---|---|
//! | a name is durable when `create` returns, content after `sync` | in the staging |
//! | room is reserved | in the staging; a bucket has no end |
//! | the id is taken | told by `create` for what is staged, and by `seal` for what the bucket has: it is not asked for every new segment, which could then not be made while it is away |
//! | `seal` returns when it is where sealed segments stay | when the bucket has it, and its checksum, or all of it read back, is right |
//! | what is sealed may be written again as it is | compared with the object; nothing is written |
//! | a read sees every write that returned | of the staging, and of the object that replaced it |
//! | `len` of a sealed segment | asked for once, then remembered |
//! | `remove` is durable, and may be asked again | the object first, then the staged file |
//! | `list_from` ascends and costs what it returns | a listing that starts behind a name, with what is staged |
//! | `space` | of the staging |
//!
//! A crash between any two steps of a seal leaves the segment staged, open as far as this store
//! knows, whether the object is there already or not. The owner's recovery seals it again:
//! the object is then found to be the same, and the staged file removed.

mod driver;
pub(crate) mod fault;
mod objects;
mod parts;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use archipelago_env::Env;
use archipelago_model::SegmentId;
use object_store::ObjectStore;
use parking_lot::{Condvar, Mutex};
use quick_cache::sync::Cache;

use self::objects::{Cut, Objects};
use crate::layer::{Limits, Patience, Rates};
use crate::{DirectoryStore, SegmentWriter, Space, Store, StoreError};

/// Lengths of sealed segments that are remembered: 2 TiB of segments of 32 MiB.
const LENGTHS_MAX: usize = 65_536;
/// Segments that are put at once for their own sake, as imports and backups are. Each is in memory,
/// up to 64 MiB, or four parts of it of 8 MiB.
const UPLOADS_MAX: usize = 2;
/// Segments of the log that are put at once besides: the log seals one after the other. Writers
/// wait for that, so that no import may be before it. As much memory each.
const FIRST_UPLOADS_MAX: usize = 1;

/// A bucket that holds segments, and the folder with those that are open.
pub struct BucketStore {
    shared: Arc<Shared>,
}

struct Shared {
    objects: Objects,
    staging: DirectoryStore,
    staged: Mutex<BTreeMap<SegmentId, Stage>>,
    lengths: Cache<SegmentId, u64>,
    uploads: Slots,
    first_uploads: Slots,
}

/// What is known of a staged segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The bucket has nothing of it: nothing, or what is another one's.
    Here,
    /// It may be in the bucket, too: a seal was begun, perhaps before a crash.
    PerhapsThere,
}

impl BucketStore {
    /// Opens the part of `bucket` below `prefix` for the store `owner`, with open segments in the
    /// folder `staging`, which is made where it is missing. Requests keep to `rates`; what is done
    /// in the staging makes none.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a bucket that is not there, or a prefix of another store;
    /// [`StoreError::Denied`]; [`StoreError::Unavailable`]; those of [`DirectoryStore::open`].
    pub fn open(
        env: &Env,
        bucket: Arc<dyn ObjectStore>,
        prefix: &str,
        owner: &str,
        staging: &Path,
        rates: Rates,
    ) -> Result<Self, StoreError> {
        let limits = Some(Limits::new(env.clone(), rates));
        let objects = Objects::new(bucket, prefix, Cut::default(), limits)?;
        Self::over(env, objects, owner, staging)
    }

    /// Whether a bucket is there and may be listed; nothing is changed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reach(bucket: Arc<dyn ObjectStore>, prefix: &str) -> Result<(), StoreError> {
        Objects::new(bucket, prefix, Cut::default(), None)?.reach()
    }

    fn over(env: &Env, objects: Objects, owner: &str, staging: &Path) -> Result<Self, StoreError> {
        let patience = Patience::default();
        patience.open(env, "the bucket", || objects.claim(env, owner))?;
        let staging = DirectoryStore::open(env, staging)?;
        let staged = staging.list_from(SegmentId::MIN)?;
        let staged = staged.into_iter().map(|id| (id, Stage::PerhapsThere)).collect();
        let shared = Shared {
            objects,
            staging,
            staged: Mutex::new(staged),
            lengths: Cache::new(LENGTHS_MAX),
            uploads: Slots::new(UPLOADS_MAX),
            first_uploads: Slots::new(FIRST_UPLOADS_MAX),
        };
        patience.open(env, "the bucket", || shared.tidy())?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The segments that are not known to be in the bucket, ascending: open ones, and those that
    /// wait for it.
    pub fn staged(&self) -> Vec<SegmentId> {
        self.shared.staged.lock().keys().copied().collect()
    }
}

impl Shared {
    fn is_staged(&self, id: SegmentId) -> bool {
        self.staged.lock().contains_key(&id)
    }

    /// The length of a segment of the bucket.
    fn length(&self, id: SegmentId) -> Result<u64, StoreError> {
        if let Some(len) = self.lengths.get(&id) {
            return Ok(len);
        }
        let len = self.objects.len(id)?;
        self.lengths.insert(id, len);
        Ok(len)
    }

    /// Does `call` with the staging if the segment is there, else with the bucket. One that
    /// leaves the staging meanwhile is in the bucket.
    fn either<T>(
        &self,
        id: SegmentId,
        staged: impl FnOnce(&DirectoryStore) -> Result<T, StoreError>,
        there: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.is_staged(id) {
            match staged(&self.staging) {
                Err(StoreError::NotFound { .. }) if !self.is_staged(id) => {}
                answer => return answer,
            }
        }
        there()
    }

    fn read_there(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let len = self.length(id)?.saturating_sub(offset).min(buf.len() as u64);
        if len == 0 {
            return Ok(0);
        }
        let got = self.objects.read(id, offset, len);
        if matches!(got, Err(StoreError::NotFound { .. })) {
            self.lengths.remove(&id);
        }
        let got = got?;
        buf[..got.len()].copy_from_slice(&got);
        Ok(got.len())
    }

    /// Moves a staged segment, cut and synced at `len`, to the bucket; before others where it is
    /// one of the `first`.
    fn publish(&self, id: SegmentId, len: u64, first: bool) -> Result<(), StoreError> {
        let _slot = if first { self.first_uploads.take() } else { self.uploads.take() };
        match self.staged.lock().get_mut(&id) {
            Some(stage) => *stage = Stage::PerhapsThere,
            None => return Err(StoreError::NotFound { segment: id }),
        }
        let put = self.objects.publish(id, len, &|offset, len| self.staged_bytes(id, offset, len));
        if matches!(put, Err(StoreError::AlreadyExists { .. })) {
            self.is_not_ours(id);
        }
        put?;
        self.lengths.insert(id, len);
        // From here on it is read there.
        if self.staged.lock().remove(&id).is_none() {
            // Somebody removed it meanwhile.
            self.lengths.remove(&id);
            self.objects.remove(id)?;
            return Err(StoreError::NotFound { segment: id });
        }
        if let Err(error) = self.staging.remove(id) {
            // The next start finds it beside the object, and whoever seals or removes it then
            // removes both.
            tracing::warn!(segment = %id, %error, "a staged segment stays beside its object");
        }
        self.objects.abort_left();
        Ok(())
    }

    /// The bucket has something else under the id of a staged segment: who removes this one must
    /// not remove that.
    fn is_not_ours(&self, id: SegmentId) {
        if let Some(stage) = self.staged.lock().get_mut(&id) {
            *stage = Stage::Here;
        }
    }

    fn staged_bytes(&self, id: SegmentId, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let got = self.staging.read_at(id, offset, &mut bytes)?;
        if got == bytes.len() {
            return Ok(bytes);
        }
        let source = io::ErrorKind::UnexpectedEof.into();
        Err(StoreError::Io { segment: Some(id), op: "read back", source })
    }

    /// Removes what is staged of segments that the bucket has just so: a crash came, or the file
    /// could not be removed, after they were put. Nobody would seal them again if the catalog
    /// knows them to be sealed.
    fn tidy(&self) -> Result<(), StoreError> {
        let staged: Vec<SegmentId> = self.staged.lock().keys().copied().collect();
        for id in staged {
            let len = self.staging.len(id)?;
            let there =
                self.objects.compare(id, len, &|offset, len| self.staged_bytes(id, offset, len));
            match there {
                Ok(false) => {}
                Ok(true) => {
                    self.staging.remove(id)?;
                    self.staged.lock().remove(&id);
                    self.lengths.insert(id, len);
                    tracing::info!(segment = %id, "a staged segment was in the bucket already");
                }
                // Whoever seals it is told; what is staged counts until then.
                Err(StoreError::AlreadyExists { .. }) => {
                    self.is_not_ours(id);
                    tracing::error!(segment = %id, "a segment is staged, and other bytes of its id \
                        are in the bucket: was an old copy of the data folder put back?");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Store for BucketStore {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let shared = &self.shared;
        if shared.lengths.get(&id).is_some() {
            return Err(StoreError::AlreadyExists { segment: id });
        }
        let writer = shared.staging.create(id, capacity)?;
        shared.staged.lock().insert(id, Stage::Here);
        Ok(Arc::new(StagedWriter::new(Arc::clone(shared), id, writer)))
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let shared = &self.shared;
        let (again, there) = (Arc::clone(shared), Arc::clone(shared));
        shared.either(
            id,
            move |staging| {
                let writer = staging.reopen(id)?;
                Ok(Arc::new(StagedWriter::new(again, id, writer)) as Arc<dyn SegmentWriter>)
            },
            move || {
                let len = there.length(id)?;
                let sealed = Mutex::new(false);
                Ok(Arc::new(Comparer { shared: there, id, len, sealed }) as Arc<dyn SegmentWriter>)
            },
        )
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let shared = &self.shared;
        if shared.is_staged(id) {
            match shared.staging.read_at(id, offset, buf) {
                Err(StoreError::NotFound { .. }) if !shared.is_staged(id) => {}
                answer => return answer,
            }
        }
        shared.read_there(id, offset, buf)
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.shared.either(id, |staging| staging.len(id), || self.shared.length(id))
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        let shared = &self.shared;
        let stage = shared.staged.lock().get(&id).copied();
        if stage != Some(Stage::Here) {
            shared.objects.remove(id)?;
        }
        shared.lengths.remove(&id);
        shared.staging.remove(id)?;
        shared.staged.lock().remove(&id);
        Ok(())
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        // First what is staged: what leaves it meanwhile is in the bucket when that is listed.
        let mut ids: Vec<SegmentId> =
            self.shared.staged.lock().range(floor..).map(|(id, _)| *id).collect();
        ids.extend(self.shared.objects.list_from(floor)?);
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.shared.staging.space()
    }
}

/// Writes a staged segment.
struct StagedWriter {
    shared: Arc<Shared>,
    id: SegmentId,
    file: Arc<dyn SegmentWriter>,
    /// The length that it is in the bucket with.
    sealed: Mutex<Option<u64>>,
}

impl StagedWriter {
    fn new(shared: Arc<Shared>, id: SegmentId, file: Arc<dyn SegmentWriter>) -> Self {
        Self { shared, id, file, sealed: Mutex::new(None) }
    }
}

impl SegmentWriter for StagedWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        self.file.write_at(offset, parts)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync()
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.seal_as(len, false)
    }

    fn seal_first(&self, len: u64) -> Result<(), StoreError> {
        self.seal_as(len, true)
    }
}

impl StagedWriter {
    fn seal_as(&self, len: u64, first: bool) -> Result<(), StoreError> {
        let mut sealed = self.sealed.lock();
        // Cut and durable here first: what is put must be what a crash leaves. The file refuses
        // another length, and writes, from then on.
        self.file.seal(len)?;
        if sealed.is_none() {
            self.shared.publish(self.id, len, first)?;
            *sealed = Some(len);
        }
        Ok(())
    }
}

/// "Writes" a segment that is in the bucket: says whether it is there already.
struct Comparer {
    shared: Arc<Shared>,
    id: SegmentId,
    len: u64,
    sealed: Mutex<bool>,
}

impl Comparer {
    fn refuse(&self, op: &'static str) -> StoreError {
        let why = "it is in the bucket with other bytes, and objects never change";
        StoreError::unwritable(self.id, op, why)
    }
}

impl SegmentWriter for Comparer {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        if *self.sealed.lock() {
            return Err(StoreError::unwritable(self.id, "write", "it is sealed"));
        }
        let mut at = offset;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let mut there = vec![0; part.len()];
            let got = self.shared.read_there(self.id, at, &mut there)?;
            if there[..got] != **part {
                return Err(self.refuse("write"));
            }
            at += part.len() as u64;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        if len != self.len {
            return Err(self.refuse("seal"));
        }
        *self.sealed.lock() = true;
        Ok(())
    }
}

/// So many at once, and no more.
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    fn take(&self) -> Slot<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        Slot { slots: self }
    }
}

struct Slot<'a> {
    slots: &'a Slots,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.slots.free.lock() += 1;
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
