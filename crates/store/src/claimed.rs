//! A directory that is one of several pools of a store: a file in it says whose it is.
//!
//! A folder whose disk is not mounted looks like one in which every segment is missing, and
//! takes what is written into it to another disk. So who adds a directory claims it by a file
//! `owner`, and without that file the pool is away: no answer of the folder is believed.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipelago_env::{Env, Mode};
use archipelago_model::SegmentId;

use crate::{DirectoryStore, SegmentWriter, Space, Store, StoreError};

const OWNER: &str = "owner";
/// What a claim that a crash interrupted leaves.
const OWNER_NEW: &str = "owner.new";
/// More than any claim has.
const CLAIM_BYTES_MAX: usize = 256;
/// What may be in a folder that becomes a pool: what an interrupted claim leaves, and what a
/// fresh filesystem has.
const HARMLESS: [&str; 3] = [OWNER_NEW, "segments", "lost+found"];

/// A directory with an owner.
pub struct ClaimedDirectory {
    env: Env,
    root: PathBuf,
    claim: String,
    inner: DirectoryStore,
}

impl ClaimedDirectory {
    /// Claims an empty folder for the store `owner`, making it where it is missing. To claim it
    /// again is no error.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a folder of another store, or with something else in it;
    /// those of the disk.
    pub fn claim(env: &Env, root: &Path, owner: &str) -> Result<(), StoreError> {
        let failed = |error| StoreError::from_io(None, "claim a folder for", error);
        let claim = text(owner);
        env.disk().create_dir_all(root).map_err(failed)?;
        match held(env, root).map_err(failed)? {
            Some(held) if held == claim => return Ok(()),
            Some(held) => return Err(taken(root, &held)),
            None => {}
        }
        let entries = env.disk().list(root).map_err(failed)?;
        if let Some(entry) = entries.iter().find(|entry| !HARMLESS.contains(&entry.name.as_str())) {
            let why = format!(
                "{} is not empty (it has '{}'): a pool wants a folder of its own",
                root.display(),
                entry.name.escape_default()
            );
            return Err(StoreError::Unusable { why });
        }
        write_claim(env, root, &claim).map_err(failed)
    }

    /// Opens a folder that was claimed for `owner`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the claim is not there, [`StoreError::Unusable`] for
    /// another store's; those of [`DirectoryStore::open`].
    pub fn open(env: &Env, root: &Path, owner: &str) -> Result<Self, StoreError> {
        let claim = text(owner);
        verify(env, root, &claim, None, "open")?;
        let inner = DirectoryStore::open(env, root)?;
        Ok(Self { env: env.clone(), root: root.to_owned(), claim, inner })
    }

    /// Gives a folder up that is claimed for `owner`: whoever finds it may claim it. One that is
    /// not is left as it is.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn unclaim(env: &Env, root: &Path, owner: &str) -> Result<(), StoreError> {
        let failed = |error| StoreError::from_io(None, "give up a folder for", error);
        if held(env, root).map_err(failed)? != Some(text(owner)) {
            return Ok(());
        }
        match env.disk().remove_file(&root.join(OWNER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => env.disk().sync_dir(root).map_err(failed),
        }
    }

    fn verify(&self, id: Option<SegmentId>, op: &'static str) -> Result<(), StoreError> {
        verify(&self.env, &self.root, &self.claim, id, op)
    }

    /// "It is not there" is only believed of a folder that is ours.
    fn believed<T>(
        &self,
        id: SegmentId,
        op: &'static str,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if matches!(answer, Err(StoreError::NotFound { .. })) {
            self.verify(Some(id), op)?;
        }
        answer
    }
}

impl Store for ClaimedDirectory {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.verify(Some(id), "create")?;
        self.inner.create(id, capacity)
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        self.believed(id, "reopen", self.inner.reopen(id))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.believed(id, "read", self.inner.read_at(id, offset, buf))
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.believed(id, "measure", self.inner.len(id))
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        self.verify(Some(id), "remove")?;
        self.inner.remove(id)
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        self.verify(None, "list")?;
        self.inner.list_from(floor)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.verify(None, "measure the room for")?;
        self.inner.space()
    }
}

fn text(owner: &str) -> String {
    format!("archipelago pool 1\nstore {owner}\n")
}

fn held(env: &Env, root: &Path) -> io::Result<Option<String>> {
    let file = match env.disk().open(&root.join(OWNER), Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = [0; CLAIM_BYTES_MAX];
    let len = file.read_at(0, &mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes[..len]).into_owned()))
}

fn write_claim(env: &Env, root: &Path, claim: &str) -> io::Result<()> {
    let disk = env.disk();
    let new = root.join(OWNER_NEW);
    match disk.remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&new, Mode::CreateNew)?;
    file.write_all_at(0, &[IoSlice::new(claim.as_bytes())])?;
    file.sync_data()?;
    disk.rename(&new, &root.join(OWNER))?;
    disk.sync_dir(root)
}

fn verify(
    env: &Env,
    root: &Path,
    claim: &str,
    segment: Option<SegmentId>,
    op: &'static str,
) -> Result<(), StoreError> {
    let unmounted = |why: String| StoreError::Unavailable {
        segment,
        op,
        source: io::Error::other(format!("{}: {why}", root.display())),
    };
    match held(env, root) {
        Ok(Some(held)) if held == claim => Ok(()),
        Ok(Some(held)) => Err(taken(root, &held)),
        Ok(None) => Err(unmounted(format!("it has no file '{OWNER}'; is its disk mounted?"))),
        Err(error) => Err(unmounted(error.to_string())),
    }
}

fn taken(root: &Path, held: &str) -> StoreError {
    let why = format!(
        "the folder {} belongs to {:?}: give this pool another folder, or remove the file 'owner' in \
         it if no store uses it any more",
        root.display(),
        held.lines().last().unwrap_or_default()
    );
    StoreError::Unusable { why }
}

#[cfg(test)]
mod tests;
