//! Planted bugs: with each of these layers in place, a promise is broken, and the
//! checker must say so.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_env::{Disk, Entry, File, Lock, Mode, Space};
use archipelago_model::SegmentId;
use archipelago_store::{SegmentWriter, Store, StoreError};
use parking_lot::Mutex;

use super::*;

/// A lie must show in so many worlds at most.
const SEEDS: u64 = 150;

/// The seed in which a lie shows, and what is said of it.
fn found(lie: &str, layers: impl Fn() -> Layers) -> (u64, String) {
    for seed in 0..SEEDS {
        let outcome = run_with_layers(Plan { seed, steps: STEPS_DEFAULT }, layers());
        if let Some(violation) = outcome.violation {
            println!("{lie}: seed {seed}: {violation}");
            return (seed, violation.what);
        }
    }
    panic!("{lie}: nothing is found in {SEEDS} worlds");
}

/// What a disk keeps to itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// `sync_data` of files whose path has this in it.
    Data(&'static str),
    /// `sync_dir` of folders whose path has this in it.
    Names(&'static str),
    /// That a sync of data has failed.
    Failures,
    /// That somebody has the lock.
    Locks,
}

/// A disk that says it has synced.
struct LazyDisk {
    below: Arc<dyn Disk>,
    kept: Kept,
    /// During which acts; `None` for always.
    during: Option<&'static str>,
    present: Present,
}

struct LazyFile {
    below: Arc<dyn File>,
    /// Syncs, and tells of failures only.
    tries: bool,
    present: Present,
    during: Option<&'static str>,
}

/// Of nothing.
struct NoLock;

impl Lock for NoLock {}

fn is_during(during: Option<&'static str>, present: &Present) -> bool {
    during.is_none_or(|act| act == present.act())
}

impl Disk for LazyDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let below = self.below.open(path, mode)?;
        match self.kept {
            Kept::Data(part) if !path.to_string_lossy().contains(part) => Ok(below),
            Kept::Names(_) | Kept::Locks => Ok(below),
            Kept::Data(_) | Kept::Failures => {
                let (present, during) = (self.present.clone(), self.during);
                let tries = self.kept == Kept::Failures;
                Ok(Arc::new(LazyFile { below, tries, present, during }))
            }
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.below.create_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.below.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self.kept {
            Kept::Names(part)
                if path.to_string_lossy().contains(part)
                    && is_during(self.during, &self.present) =>
            {
                Ok(())
            }
            _ => self.below.sync_dir(path),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.below.list(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        match self.below.lock(path) {
            Err(_) if self.kept == Kept::Locks => Ok(Box::new(NoLock)),
            lock => lock,
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.below.space(path)
    }
}

impl File for LazyFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.below.read_at(offset, buf)
    }

    fn write_all_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.below.write_all_at(offset, parts)
    }

    fn sync_data(&self) -> io::Result<()> {
        match is_during(self.during, &self.present) {
            true if self.tries => self.below.sync_data().or(Ok(())),
            true => Ok(()),
            false => self.below.sync_data(),
        }
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.below.allocate(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }
}

/// A disk that lies about syncs during acts of a kind, or always.
fn lazy(kept: Kept, during: Option<&'static str>) -> Layers {
    let present = Present::default();
    let told = present.clone();
    let disk = Box::new(move |below| {
        Arc::new(LazyDisk { below, kept, during, present: told.clone() }) as Arc<dyn Disk>
    });
    Layers { disk: Some(disk), present, cut_after: during, ..Layers::default() }
}

/// What a store does wrong, each time that its turn comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    DropsAWrite,
    ReadsZeros,
    ReadsAnotherSegment,
    RemovesAnotherToo,
    RemovesNothing,
    DoesNotSync,
    HidesTheNewest,
    RemembersWhatRots,
}

/// A store that does something wrong, every so many times.
struct WrongStore {
    below: Arc<dyn Store>,
    wrong: Wrong,
    turn: Arc<AtomicU64>,
    /// What was read first, by segment, offset and length.
    memory: Mutex<HashMap<(SegmentId, u64, usize), Vec<u8>>>,
}

struct WrongWriter {
    below: Arc<dyn SegmentWriter>,
    wrong: Wrong,
    turn: Arc<AtomicU64>,
}

/// How often the turn comes.
const EVERY: u64 = 40;

fn is_turn(turn: &AtomicU64) -> bool {
    turn.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1
}

impl WrongStore {
    fn writer(&self, below: Arc<dyn SegmentWriter>) -> Arc<dyn SegmentWriter> {
        Arc::new(WrongWriter { below, wrong: self.wrong, turn: Arc::clone(&self.turn) })
    }
}

impl Store for WrongStore {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        Ok(self.writer(self.below.create(id, capacity)?))
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        Ok(self.writer(self.below.reopen(id)?))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        match self.wrong {
            Wrong::ReadsZeros if is_turn(&self.turn) => {
                let read = self.below.read_at(id, offset, buf)?;
                buf[..read].fill(0);
                Ok(read)
            }
            Wrong::ReadsAnotherSegment if is_turn(&self.turn) => {
                let all = self.below.list_from(SegmentId::MIN)?;
                let other = all.into_iter().find(|one| *one != id).unwrap_or(id);
                self.below.read_at(id, offset, buf)?;
                self.below.read_at(other, offset, buf)
            }
            Wrong::RemembersWhatRots => {
                let read = self.below.read_at(id, offset, buf)?;
                let mut memory = self.memory.lock();
                let first = memory.entry((id, offset, buf.len())).or_insert(buf[..read].to_vec());
                if first.len() == read {
                    buf[..read].copy_from_slice(first);
                }
                Ok(read)
            }
            _ => self.below.read_at(id, offset, buf),
        }
    }

    fn len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.below.len(id)
    }

    fn remove(&self, id: SegmentId) -> Result<(), StoreError> {
        match self.wrong {
            Wrong::RemovesNothing => Ok(()),
            Wrong::RemovesAnotherToo => {
                let all = self.below.list_from(SegmentId::MIN)?;
                if let Some(next) = all.into_iter().find(|one| *one > id) {
                    self.below.remove(next)?;
                }
                self.below.remove(id)
            }
            _ => self.below.remove(id),
        }
    }

    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        let mut all = self.below.list_from(floor)?;
        if self.wrong == Wrong::HidesTheNewest {
            all.pop();
        }
        Ok(all)
    }

    fn space(&self) -> Result<archipelago_store::Space, StoreError> {
        self.below.space()
    }
}

impl SegmentWriter for WrongWriter {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError> {
        if self.wrong == Wrong::DropsAWrite && is_turn(&self.turn) {
            return Ok(());
        }
        self.below.write_at(offset, parts)
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.wrong == Wrong::DoesNotSync { Ok(()) } else { self.below.sync() }
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.below.seal(len)
    }
}

fn wrong_store(wrong: Wrong) -> Layers {
    let turn = Arc::new(AtomicU64::new(0));
    let store = Box::new(move |below| {
        let (turn, memory) = (Arc::clone(&turn), Mutex::default());
        Arc::new(WrongStore { below, wrong, turn, memory }) as Arc<dyn Store>
    });
    Layers { store: Some(store), ..Layers::default() }
}

#[test]
fn a_disk_that_does_not_sync_is_found() {
    for (lie, kept) in [
        ("data of segments", Kept::Data("/pool/")),
        ("data of the catalog", Kept::Data("catalog.sqlite")),
        ("names of segments", Kept::Names("/pool/")),
        ("names at the root", Kept::Names("/data")),
        ("failures of syncs", Kept::Failures),
        ("locks", Kept::Locks),
    ] {
        found(lie, || lazy(kept, None));
    }
}

#[test]
fn a_store_that_does_something_wrong_is_found() {
    for (lie, wrong) in [
        ("drops a write", Wrong::DropsAWrite),
        ("reads zeros", Wrong::ReadsZeros),
        ("reads another segment", Wrong::ReadsAnotherSegment),
        ("removes another segment, too", Wrong::RemovesAnotherToo),
        ("removes nothing", Wrong::RemovesNothing),
        ("does not sync", Wrong::DoesNotSync),
        ("hides the newest segment", Wrong::HidesTheNewest),
        ("remembers what rots", Wrong::RemembersWhatRots),
    ] {
        found(lie, || wrong_store(wrong));
    }
}

/// Of the promises by operation in docs/DURABILITY.md, each one that an act returned
/// is broken by a catalog that is not synced during that act.
#[test]
fn an_act_that_is_not_durable_when_it_returns_is_found() {
    for act in [
        "create",
        "clone",
        "snapshot",
        "roll back",
        "resize",
        "rename",
        "remove",
        "remove snapshot",
        "remove image",
        "remove file",
        "import",
        "put",
        "receive",
    ] {
        found(act, || lazy(Kept::Data("catalog.sqlite"), Some(act)));
    }
    found("flush", || lazy(Kept::Data("/pool/"), Some("flush")));
    found("a stop before the catalog is lost", || lazy(Kept::Data("/pool/"), Some("last stop")));
    for act in ["import", "put", "snapshot", "collect"] {
        found(act, || lazy(Kept::Data("/pool/"), Some(act)));
    }
}
