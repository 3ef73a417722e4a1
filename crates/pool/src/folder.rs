//! The data folder: telling ours from others', making it, holding it.
//!
//! ```text
//! LOCK            locked for as long as the store is open
//! LOCK.pid        who holds it, for the error message
//! STORE           makes the folder a store: written before anything else is
//! PLACE           where the segments are, if not in pool/: written before STORE
//! CATALOG         where the catalog is, if not in catalog.sqlite: written before STORE
//! catalog.sqlite  the catalog
//! secret.key      seals secrets in the catalog; made when first needed
//! pool/           segments
//! staging/        open segments of a pool that cannot append
//! cache/          pages of sealed segments in far pools; nothing is lost with it
//! CACHE           which cache saw every opening of the store
//! tmp/            nothing in it is worth anything after a crash
//! ```

mod cache_token;
mod home;
mod note;
mod secret_key;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use archipelago_engine::Damage;
use archipelago_env::{Entry, Env, Lock, Mode};
use archipelago_format::FormatError;
use archipelago_format::store_file::{STORE_FILE_BYTES, StoreFile};

use crate::error::{Error, ErrorKind, io_kind};
use crate::place;
use note::Note;

pub(crate) use home::Home;
pub(crate) use secret_key::{read_secret_key, secret_key};

const LOCK: &str = "LOCK";
const PID: &str = "LOCK.pid";
pub(crate) const STORE: &str = "STORE";
const CATALOG: &str = "catalog.sqlite";
const POOL: &str = "pool";
const STAGING: &str = "staging";
const CACHE: &str = "CACHE";
const CACHE_FOLDER: &str = "cache";
const TMP: &str = "tmp";

/// What may be in a folder that becomes a store: what a crash while making one
/// leaves, and what a fresh filesystem has.
const HARMLESS: [&str; 6] = [LOCK, PID, TMP, Note::PLACE.file, Note::CATALOG.file, "lost+found"];

/// An open data folder. Nobody else has it open until this is dropped.
pub(crate) struct Folder {
    root: PathBuf,
    store: StoreFile,
    place: Option<String>,
    catalog: Option<String>,
    _lock: Box<dyn Lock>,
}

impl Folder {
    /// Opens the folder, and makes it a store when it is missing or empty: one whose segments
    /// are at `place` and whose catalog is at `catalog`, if these are urls. A store has those that
    /// it was made with.
    ///
    /// # Errors
    /// Whatever is not ours, is newer, is damaged, is open elsewhere or has its segments or its
    /// catalog elsewhere is refused; it was not touched then.
    pub fn open(
        env: &Env,
        root: &Path,
        place: Option<&str>,
        catalog: Option<&str>,
    ) -> Result<Self, Error> {
        place.map_or(Ok(()), place::check)?;
        catalog.map_or(Ok(()), home::check)?;
        match env.disk().list(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                env.disk().create_dir_all(root).map_err(|e| failed("make", root, e))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::invalid(format!(
                    "{} is not a folder; choose another one with --data",
                    root.display()
                )));
            }
            Err(error) => return Err(failed("read", root, error)),
            Ok(entries) => {
                inspect(env, root, &entries)?;
            }
        }
        let lock = take_lock(env, root)?;
        // Again, under the lock: another process may have made the store meanwhile.
        let entries = env.disk().list(root).map_err(|e| failed("read", root, e))?;
        let (store, place, catalog) = match inspect(env, root, &entries)? {
            Some(store) => {
                let recorded = Note::PLACE.recorded(env, root, place)?;
                let catalog = Note::CATALOG.recorded(env, root, catalog)?;
                settle_store(env, root).map_err(|e| failed("write to", root, e))?;
                (store, recorded, catalog)
            }
            None => {
                let store = found(env, root, place, catalog)?;
                (store, place.map(str::to_owned), catalog.map(str::to_owned))
            }
        };
        Ok(Self { root: root.to_owned(), store, place, catalog, _lock: lock })
    }

    /// Opens a folder that is a store already.
    ///
    /// # Errors
    /// As [`Self::open`]; `Invalid` when it is no store.
    pub fn open_existing(env: &Env, root: &Path) -> Result<Self, Error> {
        Self::must_be_store(env, root)?;
        read_store(env, root)?;
        Self::open(env, root, None, None)
    }

    /// Refuses a folder that never was a store, in words for who mistyped its name.
    ///
    /// # Errors
    /// `Invalid` for one; those of the disk.
    pub fn must_be_store(env: &Env, root: &Path) -> Result<(), Error> {
        let entries = env.disk().list(root).map_err(|error| {
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                return failed("read", root, error);
            }
            let message = format!(
                "cannot read {}: {error}; name the data folder of `archipelago serve` with --data",
                root.display()
            );
            Error::invalid(message).with_source(error)
        })?;
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        if [STORE, CATALOG, POOL].into_iter().any(has) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} is no store: it has no {STORE}; name the data folder of `archipelago serve` with \
             --data",
            root.display()
        )))
    }

    /// Where nothing counts after a crash.
    pub fn tmp(&self) -> PathBuf {
        self.root.join(TMP)
    }

    /// The identity of the store and the key of its fingerprints.
    pub fn store(&self) -> &StoreFile {
        &self.store
    }

    /// Where the catalog is, or will be: made here, so that only its owner may read it.
    pub fn catalog(&self, env: &Env) -> Result<PathBuf, Error> {
        let path = self.root.join(CATALOG);
        match env.disk().open(&path, Mode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("make", &path, error)),
            Ok(_) => {
                env.disk().sync_dir(&self.root).map_err(|e| failed("write to", &self.root, e))?;
            }
        }
        Ok(path)
    }

    /// Where the catalog is, without making it.
    pub fn catalog_path(&self) -> PathBuf {
        self.root.join(CATALOG)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The url of the place where the segments are; `None` for [`Self::pool`].
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Where open segments of a place are that cannot append.
    pub fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// Where the cache of far pools is, if nobody says another place.
    pub fn cache(&self) -> PathBuf {
        self.root.join(CACHE_FOLDER)
    }

    /// Where the segments are, if nowhere else.
    pub fn pool(&self) -> PathBuf {
        self.root.join(POOL)
    }

    /// The error for a catalog that is gone while segments are there.
    pub fn catalog_lost(&self) -> Error {
        let catalog = self.catalog.as_deref().unwrap_or(CATALOG);
        Error::new(
            ErrorKind::Damaged,
            format!(
                "{0} has segments but no catalog: put {catalog} back from a copy, or make it anew \
                 by `archipelago rebuild --data {0}`",
                self.root.display()
            ),
        )
    }
}

/// What the folder is: a store, or nothing yet (`None`); all else is an error.
fn inspect(env: &Env, root: &Path, entries: &[Entry]) -> Result<Option<StoreFile>, Error> {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if has(STORE) {
        return read_store(env, root).map(Some);
    }
    if has(CATALOG) || has(POOL) {
        return Err(Error::new(
            ErrorKind::Damaged,
            format!(
                "{} was a store, but its file {STORE} is gone: put it back from a backup",
                root.display()
            ),
        ));
    }
    match entries.iter().find(|entry| !HARMLESS.contains(&entry.name.as_str())) {
        None => Ok(None),
        Some(foreign) => Err(Error::invalid(format!(
            "{} is not a store of Archipelago and not empty (it has '{}'); choose another \
             folder with --data",
            root.display(),
            foreign.name.escape_default()
        ))),
    }
}

fn read_store(env: &Env, root: &Path) -> Result<StoreFile, Error> {
    let path = root.join(STORE);
    let file = env.disk().open(&path, Mode::Read).map_err(|e| failed("read", &path, e))?;
    // One byte more, so that a longer file is seen to be one.
    let mut raw = [0; STORE_FILE_BYTES + 1];
    let len = file.read_at(0, &mut raw).map_err(|e| failed("read", &path, e))?;
    StoreFile::decode(&raw[..len]).map_err(|error| {
        let (kind, remedy) = match error {
            FormatError::Version { .. } => (ErrorKind::Invalid, "use a newer archipelago"),
            FormatError::Magic { .. } => {
                (ErrorKind::Invalid, "it is none of Archipelago's; choose another folder")
            }
            _ => (ErrorKind::Damaged, "put it back from a backup"),
        };
        Error::new(kind, format!("{}: {error}: {remedy}", path.display())).with_source(error)
    })
}

/// What is damaged of `STORE`, read anew, if anything is.
pub(crate) fn verify_store(env: &Env, root: &Path) -> Option<Damage> {
    let error = read_store(env, root).err()?;
    let what = error.message().to_owned();
    Some(Damage { offset: 0, bytes: STORE_FILE_BYTES as u64, lost: None, what })
}

fn take_lock(env: &Env, root: &Path) -> Result<Box<dyn Lock>, Error> {
    let path = root.join(LOCK);
    let lock = env.disk().lock(&path).map_err(|error| {
        if error.kind() != io::ErrorKind::WouldBlock {
            return failed("lock", &path, error);
        }
        let holder = read_pid(env, root).map(|pid| format!(" (process {pid})"));
        Error::in_use(format!(
            "{} is open in another archipelago{}; stop that one or choose another folder \
             with --data",
            root.display(),
            holder.unwrap_or_default()
        ))
    })?;
    // Only for the message above; not having it is no reason to stay closed.
    if let Err(error) = write_pid(env, root) {
        tracing::debug!(%error, "cannot note the process id");
    }
    Ok(lock)
}

fn read_pid(env: &Env, root: &Path) -> Option<u32> {
    let mut raw = [0; 16];
    let file = env.disk().open(&root.join(PID), Mode::Read).ok()?;
    let len = file.read_at(0, &mut raw).ok()?;
    std::str::from_utf8(&raw[..len]).ok()?.trim().parse().ok()
}

fn write_pid(env: &Env, root: &Path) -> io::Result<()> {
    let path = root.join(PID);
    match env.disk().remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let pid = std::process::id().to_string();
    env.disk().open(&path, Mode::CreateNew)?.write_all_at(0, &[IoSlice::new(pid.as_bytes())])
}

/// Makes the folder a store: the file appears whole or not at all.
fn found(
    env: &Env,
    root: &Path,
    place: Option<&str>,
    catalog: Option<&str>,
) -> Result<StoreFile, Error> {
    // A store that is made has these places for ever: better a mistake is found now.
    place.map_or(Ok(()), |url| place::reach(env, url))?;
    catalog.map_or(Ok(()), |url| home::reach(env, url))?;
    Note::PLACE.write(env, root, place)?;
    Note::CATALOG.write(env, root, catalog)?;
    let mut store = StoreFile { uuid: [0; 16], dedup_key: [0; 32] };
    env.random().fill(&mut store.uuid);
    env.random().fill(&mut store.dedup_key);
    write_store(env, root, &store).map_err(|e| failed("write to", root, e))?;
    Ok(store)
}

fn write_store(env: &Env, root: &Path, store: &StoreFile) -> io::Result<()> {
    write_whole(env, root, STORE, &store.encode())?;
    settle_store(env, root)
}

/// Writes a file of the folder aside, and gives it its name.
fn write_whole(env: &Env, root: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let disk = env.disk();
    let tmp = root.join(TMP);
    disk.create_dir_all(&tmp)?;
    let path = tmp.join(name);
    match disk.remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&path, Mode::CreateNew)?;
    file.write_all_at(0, &[IoSlice::new(bytes)])?;
    file.sync_data()?;
    disk.rename(&path, &root.join(name))
}

/// Makes the name of `STORE` durable, before anything else of the store is made: whoever
/// renamed it may have failed right after, and what is there now may be gone after a
/// power cut.
fn settle_store(env: &Env, root: &Path) -> io::Result<()> {
    let disk = env.disk();
    let tmp = root.join(TMP);
    disk.create_dir_all(&tmp)?;
    // Both: a name that moved is certain only when it is where it went, and no more
    // where it was.
    disk.sync_dir(&tmp)?;
    disk.sync_dir(root)
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let kind = io_kind(&error);
    let remedy = match kind {
        ErrorKind::NoSpace => "; free some space there",
        ErrorKind::ReadOnly => "; make it writable or choose another folder with --data",
        _ => "",
    };
    Error::new(kind, format!("cannot {what} {}: {error}{remedy}", path.display()))
        .with_source(error)
}

#[cfg(test)]
mod tests;
