//! Segments as files of a directory: any local or network filesystem.
//!
//! Layout: `segments/<id >> 12, 7 hex digits>/<id, 10 hex digits>.seg`. Ids grow
//! with time, so a shard holds neighbours in time, at most 4096 of them, and
//! listing from an id on opens only the shards that can hold such ids.
//!
//! An open segment has its full capacity as its length, allocated: later writes
//! cannot meet a full disk, and a sync has no length to persist. Sealing cuts it.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use archipelago_env::{Entry, Env, File, Mode};
use archipelago_model::SegmentId;
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::{SegmentWriter, Space, Store, StoreError};

/// Ids that differ only in this many low bits share a shard directory: 4096
/// names, which any filesystem lists and looks up well.
const SHARD_BITS: u32 = 12;

/// Files kept open for reading: well below the usual limit of 1024 descriptors
/// of a process, which connections need too.
const READERS_MAX: usize = 256;

/// A directory that holds segments.
pub struct DirectoryStore {
    env: Env,
    segments: PathBuf,
    readers: Cache<SegmentId, Arc<dyn File>>,
    /// The shard known to exist durably: ids grow, so that it is nearly always
    /// the one that is wanted next.
    shard: Mutex<Option<u64>>,
}

impl DirectoryStore {
    /// Opens the store in the directory `root`, which is made where it is missing.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`], [`StoreError::Io`].
    pub fn open(env: &Env, root: &Path) -> Result<Self, StoreError> {
        let segments = root.join("segments");
        env.disk()
            .create_dir_all(&segments)
            .map_err(|error| StoreError::from_io(None, "make a directory for", error))?;
        Ok(Self {
            env: env.clone(),
            segments,
            readers: Cache::new(READERS_MAX),
            shard: Mutex::new(None),
        })
    }

    fn shard_path(&self, shard: u64) -> PathBuf {
        self.segments.join(format!("{shard:07x}"))
    }

    fn path(&self, id: SegmentId) -> PathBuf {
        self.shard_path(shard_of(id)).join(format!("{id}.seg"))
    }

    /// Makes the shard's directory durable, also when a process that was killed
    /// left it without having synced its name.
    fn ensure_shard(&self, id: SegmentId) -> Result<PathBuf, StoreError> {
        let shard = shard_of(id);
        let path = self.shard_path(shard);
        let mut known = self.shard.lock();
        if *known != Some(shard) {
            self.env
                .disk()
                .create_dir_all(&path)
                .map_err(|error| StoreError::from_io(None, "make a directory for", error))?;
            *known = Some(shard);
        }
        Ok(path)
    }

    fn reader(&self, id: SegmentId) -> Result<Arc<dyn File>, StoreError> {
        self.readers.get_or_insert_with(&id, || {
            self.env
                .disk()
                .open(&self.path(id), Mode::Read)
                .map_err(|error| StoreError::from_io(Some(id), "open", error))
        })
    }

    /// Opens shard `name` of the list, if it can hold ids from `floor` on.
    fn list_shard(&self, shard: u64, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        let entries = self
            .env
            .disk()
            .list(&self.shard_path(shard))
            .map_err(|error| StoreError::from_io(None, "list", error))?;
        let mut ids: Vec<SegmentId> = entries
            .iter()
            .filter_map(segment_of)
            .filter(|id| *id >= floor && shard_of(*id) == shard)
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

impl Store for DirectoryStore {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let shard = self.ensure_shard(id)?;
        let path = self.path(id);
        let disk = self.env.disk();
        let failed = |error| StoreError::from_io(Some(id), "create", error);
        let file = disk.open(&path, Mode::CreateNew).map_err(failed)?;
        let reserved = file.allocate(0, capacity).and_then(|()| disk.sync_dir(&shard));
        if let Err(error) = reserved {
            // The error that is returned matters more than one of the clean-up;
            // what stays behind has an id that is never used again.
            let _ = disk.remove_file(&path);
            return Err(failed(error));
        }
        Ok(Arc::new(DirectoryWriter::new(id, file)))
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let failed = |error| StoreError::from_io(Some(id), "reopen", error);
        let file = self.env.disk().open(&self.path(id), Mode::Write).map_err(failed)?;
        // Whoever created it may have been killed before its name was synced.
        let shard = self.ensure_shard(id)?;
        self.env.disk().sync_dir(&shard).map_err(failed)?;
        Ok(Arc::new(DirectoryWriter { reopened: true, ..DirectoryWriter::new(id, file) }))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.reader(id)?
            .read_at(offset, buf)
            .map_err(|error| StoreError::from_io(Some(id), "read", error))
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.reader(id)?.len().map_err(|error| StoreError::from_io(Some(id), "measure", error))
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        let disk = self.env.disk();
        let missing_is_fine = |result: std::io::Result<()>| match result {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| StoreError::from_io(Some(id), "remove", error)),
        };
        missing_is_fine(disk.remove_file(&self.path(id)))?;
        // After the name is gone, so that no reader puts the handle back.
        self.readers.remove(&id);
        // Also when it was missing: an earlier call may have failed just here.
        missing_is_fine(disk.sync_dir(&self.shard_path(shard_of(id))))
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        let entries = self
            .env
            .disk()
            .list(&self.segments)
            .map_err(|error| StoreError::from_io(None, "list", error))?;
        let mut shards: Vec<u64> = entries
            .iter()
            .filter_map(shard_named)
            .filter(|shard| *shard >= shard_of(floor))
            .collect();
        shards.sort_unstable();
        let mut ids = Vec::new();
        for shard in shards {
            ids.extend(self.list_shard(shard, floor)?);
        }
        Ok(ids)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.env
            .disk()
            .space(&self.segments)
            .map_err(|error| StoreError::from_io(None, "measure the room for", error))
    }
}

fn shard_of(id: SegmentId) -> u64 {
    id.get() >> SHARD_BITS
}

/// The shard that a directory entry is; `None` for what is not ours, such as
/// `lost+found`.
fn shard_named(entry: &Entry) -> Option<u64> {
    let shard = u64::from_str_radix(&entry.name, 16).ok()?;
    (entry.dir && entry.name == format!("{shard:07x}")).then_some(shard)
}

/// The segment that a directory entry is; `None` for what is not ours.
fn segment_of(entry: &Entry) -> Option<SegmentId> {
    let digits = entry.name.strip_suffix(".seg")?;
    let id = SegmentId::new(u64::from_str_radix(digits, 16).ok()?)?;
    (!entry.dir && digits == id.to_string()).then_some(id)
}

/// The states of a writer, in an atomic.
const OPEN: u8 = 0;
const SEALED: u8 = 1;
const FAILED: u8 = 2;

struct DirectoryWriter {
    id: SegmentId,
    file: Arc<dyn File>,
    state: AtomicU8,
    /// The length that it was sealed at. Held from a sync to the note that it failed: the
    /// kernel tells each lost write to one caller only.
    sealing: Mutex<Option<u64>>,
    /// Somebody may have sealed it before, in vain.
    reopened: bool,
}

impl DirectoryWriter {
    fn new(id: SegmentId, file: Arc<dyn File>) -> Self {
        Self { id, file, state: AtomicU8::new(OPEN), sealing: Mutex::new(None), reopened: false }
    }

    fn check_open(&self, op: &'static str) -> Result<(), StoreError> {
        match self.state.load(Ordering::Acquire) {
            OPEN => Ok(()),
            SEALED => Err(StoreError::unwritable(self.id, op, "it is sealed")),
            _ => Err(StoreError::unwritable(self.id, op, "an earlier sync of it failed")),
        }
    }

    /// Where an earlier sync failed, the cut that it should have covered is seen and may be
    /// lost all the same, and what was behind it comes back. The same cut again would be
    /// no change, which no sync makes durable.
    fn cut(&self, len: u64) -> std::io::Result<()> {
        if self.reopened && self.file.len()? == len {
            self.file.set_len(len + 1)?;
        }
        self.file.set_len(len)
    }

    /// The kernel reports a lost write once only: a later sync that succeeds
    /// would be a lie, so there must be none.
    fn fail(&self, op: &'static str, error: std::io::Error) -> StoreError {
        self.state.store(FAILED, Ordering::Release);
        StoreError::from_io(Some(self.id), op, error)
    }
}

impl SegmentWriter for DirectoryWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        self.check_open("write")?;
        self.file
            .write_all_at(offset, parts)
            .map_err(|error| StoreError::from_io(Some(self.id), "write", error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.sealing.lock();
        self.check_open("sync")?;
        self.file.sync_data().map_err(|error| self.fail("sync", error))
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        let mut sealed_at = self.sealing.lock();
        if *sealed_at == Some(len) {
            return Ok(());
        }
        self.check_open("seal")?;
        self.cut(len)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| self.fail("seal", error))?;
        self.state.store(SEALED, Ordering::Release);
        *sealed_at = Some(len);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
