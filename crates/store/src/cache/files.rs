//! The files of a cache: `cache-index`, `cache-pages`, `LOCK` (see `format::cache_file`).

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipelago_env::{Env, File, Lock, Mode};
use archipelago_format::cache_file::{
    CacheHeader, HEADER_BYTES, PAGE_BYTES, PageRecord, RECORD_BYTES, RECORDS_AT,
};

const LOCK: &str = "LOCK";
const INDEX: &str = "cache-index";
/// What a crash while the index is made leaves.
const INDEX_NEW: &str = "cache-index.new";
const PAGES: &str = "cache-pages";
/// What may be in a folder that becomes a cache.
const HARMLESS: [&str; 4] = [LOCK, INDEX_NEW, PAGES, "lost+found"];
/// Records that are read at once at a start: 1 MiB of them, which is 2 GiB of pages.
const RECORDS_AT_ONCE: usize = 1 << 15;
/// The disk of a cache keeps one of so many bytes free for others: the catalog and what is not
/// sealed yet may be on it.
const ROOM_SHARE: u64 = 20;

/// Why a cache cannot be used, for people.
pub(super) type Refusal = String;

/// The open files of a cache, which nobody else has open.
pub(super) struct Files {
    env: Env,
    root: PathBuf,
    index: Arc<dyn File>,
    pages: Arc<dyn File>,
    header: CacheHeader,
    _lock: Box<dyn Lock>,
}

/// What an earlier run left at a place.
pub(super) type Found = (u32, PageRecord);

impl Files {
    /// Opens the cache of `store` in a folder, or makes it: then with a token of its own. One whose
    /// token is not `trusted` is made anew.
    pub fn open(
        env: &Env,
        root: &Path,
        store: [u8; 16],
        trusted: Option<[u8; 16]>,
    ) -> Result<Self, Refusal> {
        let failed = |error: io::Error| format!("{}: {error}", root.display());
        let disk = env.disk();
        disk.create_dir_all(root).map_err(failed)?;
        let lock = disk.lock(&root.join(LOCK)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                format!("{} is the cache of another archipelago that runs", root.display())
            }
            _ => failed(error),
        })?;
        let entries = disk.list(root).map_err(failed)?;
        let is_there = entries.iter().any(|entry| entry.name == INDEX);
        let foreign = entries.iter().find(|entry| !HARMLESS.contains(&entry.name.as_str()));
        let header = match foreign {
            _ if is_there => Some(read_header(env, root, store)?),
            Some(entry) => {
                return Err(format!(
                    "{} is not empty (it has '{}'): a cache wants a folder of its own",
                    root.display(),
                    entry.name.escape_default()
                ));
            }
            None => None,
        };
        let header = match header {
            Some(header) if trusted == Some(header.token) => header,
            old => {
                if old.is_some() {
                    tracing::info!(cache = %root.display(), "the cache on the host's disk is made \
                        anew: the store was open without it");
                }
                make(env, root, store).map_err(failed)?
            }
        };
        let index = disk.open(&root.join(INDEX), Mode::Write).map_err(failed)?;
        // Without its pages no record matches anything.
        let pages = match disk.open(&root.join(PAGES), Mode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.open(&root.join(PAGES), Mode::CreateNew)
            }
            opened => opened,
        };
        let pages = pages.map_err(failed)?;
        Ok(Self { env: env.clone(), root: root.to_owned(), index, pages, header, _lock: lock })
    }

    /// Another one whenever the cache was made anew.
    pub const fn token(&self) -> [u8; 16] {
        self.header.token
    }

    /// Cuts what is behind `capacity` places, durably, and tells what is in the others.
    pub fn cut(&self, capacity: u32, mut found: impl FnMut(Found)) -> io::Result<()> {
        let end = RECORDS_AT + u64::from(capacity) * RECORD_BYTES as u64;
        if self.index.len()? > end {
            self.index.set_len(end)?;
            self.index.sync_data()?;
        }
        if self.pages.len()? > u64::from(capacity) * PAGE_BYTES {
            self.pages.set_len(u64::from(capacity) * PAGE_BYTES)?;
        }
        let mut place = 0;
        let mut bytes = vec![0; RECORDS_AT_ONCE * RECORD_BYTES];
        loop {
            let got = self.index.read_at(record_at(place), &mut bytes)?;
            for record in bytes[..got].as_chunks::<RECORD_BYTES>().0 {
                if let Some(record) = PageRecord::decode(record) {
                    found((place, record));
                }
                place += 1;
            }
            if got < bytes.len() || place >= capacity {
                return Ok(());
            }
        }
    }

    /// Fills `bytes` with what is at a place. What that is, its checksum says.
    pub fn read(&self, place: u32, bytes: &mut [u8]) -> io::Result<()> {
        let got = self.pages.read_at(u64::from(place) * PAGE_BYTES, bytes)?;
        // It ends early where a crash lost it: that is no page, and no error of the disk.
        bytes[got..].fill(0);
        Ok(())
    }

    /// Puts a page at a place, and then notes which. Nothing is synced: a page that a crash tears
    /// does not match its record.
    pub fn write(&self, place: u32, record: &PageRecord, bytes: &[u8]) -> io::Result<()> {
        self.pages.write_all_at(u64::from(place) * PAGE_BYTES, &[IoSlice::new(bytes)])?;
        self.index.write_all_at(record_at(place), &[IoSlice::new(&record.encode())])
    }

    /// Takes records back, durably: no later start finds them.
    pub fn blank(&self, places: &[u32]) -> io::Result<()> {
        for place in places {
            self.index.write_all_at(record_at(*place), &[IoSlice::new(&[0; RECORD_BYTES])])?;
        }
        if places.is_empty() { Ok(()) } else { self.index.sync_data() }
    }

    /// Whether the disk has room for so many more places, and for what others need.
    pub fn has_room(&self, places: u32) -> io::Result<bool> {
        let space = self.env.disk().space(&self.root)?;
        Ok(space.free > space.total / ROOM_SHARE + u64::from(places) * PAGE_BYTES)
    }

    /// Reserves room for places, so that a full disk is found out here.
    pub fn reserve(&self, from: u32, end: u32) -> io::Result<()> {
        let (from, end) = (u64::from(from) * PAGE_BYTES, u64::from(end) * PAGE_BYTES);
        self.pages.allocate(from, end.saturating_sub(from))
    }

    /// Removes the index, durably: no later start finds anything.
    pub fn remove(&self) -> io::Result<()> {
        self.env.disk().remove_file(&self.root.join(INDEX))?;
        self.env.disk().sync_dir(&self.root)
    }
}

fn record_at(place: u32) -> u64 {
    RECORDS_AT + u64::from(place) * RECORD_BYTES as u64
}

/// Whose the cache in a folder is. Another one's is left as it is.
fn read_header(env: &Env, root: &Path, store: [u8; 16]) -> Result<CacheHeader, Refusal> {
    let path = root.join(INDEX);
    let read = || {
        let mut raw = [0; HEADER_BYTES];
        let got = env.disk().open(&path, Mode::Read)?.read_at(0, &mut raw)?;
        Ok(raw[..got].to_vec())
    };
    let raw = read().map_err(|error: io::Error| format!("{}: {error}", path.display()))?;
    let header = CacheHeader::decode(&raw).map_err(|error| {
        format!("{}: {error}; remove it if it is a cache of Archipelago", path.display())
    })?;
    if header.store != store {
        return Err(format!(
            "{} is the cache of another store: give each its own folder, or remove it",
            root.display()
        ));
    }
    Ok(header)
}

/// Makes an empty cache: the index appears with its header, or not at all.
fn make(env: &Env, root: &Path, store: [u8; 16]) -> io::Result<CacheHeader> {
    let disk = env.disk();
    let gone = |name: &str| match disk.remove_file(&root.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    gone(INDEX)?;
    gone(INDEX_NEW)?;
    gone(PAGES)?;
    let mut token = [0; 16];
    env.random().fill(&mut token);
    let header = CacheHeader { store, token };
    disk.open(&root.join(PAGES), Mode::CreateNew)?;
    let file = disk.open(&root.join(INDEX_NEW), Mode::CreateNew)?;
    file.write_all_at(0, &[IoSlice::new(&header.encode())])?;
    file.set_len(RECORDS_AT)?;
    file.sync_data()?;
    disk.rename(&root.join(INDEX_NEW), &root.join(INDEX))?;
    disk.sync_dir(root)?;
    Ok(header)
}
