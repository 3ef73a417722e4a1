//! Planted bugs: with each of these layers in place, a promise is broken, and the
//! checker must say so.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_env::{Disk, Entry, File, Lock, Mode, Space};
use archipelago_model::{AccountId, SegmentId, SnapshotPath, VolumeName, VolumeSize};
use archipelago_pool::{Object, Origin, UploadAt, Which, Write};
use archipelago_store::{SegmentWriter, Store, StoreError};
use parking_lot::Mutex;

use super::*;
use crate::world::names::{SHELF, parse};

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
    /// Who has locked what: everybody may.
    Locks,
    /// The newest name in folders whose path has this in it.
    Newest(&'static str),
}

/// A lock that keeps nobody out.
struct NoLock;

impl Lock for NoLock {}

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
    present: Present,
    during: Option<&'static str>,
}

fn is_during(during: Option<&'static str>, present: &Present) -> bool {
    during.is_none_or(|act| act == present.act())
}

impl Disk for LazyDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let below = self.below.open(path, mode)?;
        match self.kept {
            Kept::Data(part) if path.to_string_lossy().contains(part) => {
                let (present, during) = (self.present.clone(), self.during);
                Ok(Arc::new(LazyFile { below, present, during }))
            }
            _ => Ok(below),
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
        let mut entries = self.below.list(dir)?;
        if let Kept::Newest(part) = self.kept
            && dir.to_string_lossy().contains(part)
            && is_during(self.during, &self.present)
        {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.pop();
        }
        Ok(entries)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        match self.kept {
            Kept::Locks => Ok(Box::new(NoLock)),
            _ => self.below.lock(path),
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
        if is_during(self.during, &self.present) { Ok(()) } else { self.below.sync_data() }
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
    HidesAWriteThatFailed,
    HidesASyncThatFailed,
    /// Whenever there is no room, it says that it has written.
    HidesThatItIsFull,
    /// What was sealed is read, whatever rotted since.
    RemembersWhatWasSealed,
}

/// Segments as they were sealed.
type Memory = Arc<Mutex<BTreeMap<SegmentId, Vec<u8>>>>;

/// A store that does something wrong, every so many times.
struct WrongStore {
    below: Arc<dyn Store>,
    wrong: Wrong,
    turn: Arc<AtomicU64>,
    during: Option<&'static str>,
    present: Present,
    memory: Memory,
}

struct WrongWriter {
    below: Arc<dyn SegmentWriter>,
    id: SegmentId,
    store: Arc<dyn Store>,
    wrong: Wrong,
    turn: Arc<AtomicU64>,
    memory: Memory,
}

/// How often the turn comes.
const EVERY: u64 = 40;

fn is_turn(turn: &AtomicU64) -> bool {
    turn.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1
}

impl WrongStore {
    fn writer(&self, id: SegmentId, below: Arc<dyn SegmentWriter>) -> Arc<dyn SegmentWriter> {
        Arc::new(WrongWriter {
            below,
            id,
            store: Arc::clone(&self.below),
            wrong: self.wrong,
            turn: Arc::clone(&self.turn),
            memory: Arc::clone(&self.memory),
        })
    }
}

impl Store for WrongStore {
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        Ok(self.writer(id, self.below.create(id, capacity)?))
    }

    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        Ok(self.writer(id, self.below.reopen(id)?))
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        match self.wrong {
            Wrong::RemembersWhatWasSealed if is_during(self.during, &self.present) => {
                let memory = self.memory.lock();
                let known = memory.get(&id).and_then(|bytes| bytes.get(offset as usize..));
                let Some(known) = known else { return self.below.read_at(id, offset, buf) };
                let len = known.len().min(buf.len());
                buf[..len].copy_from_slice(&known[..len]);
                Ok(len)
            }
            Wrong::ReadsZeros if is_during(self.during, &self.present) && is_turn(&self.turn) => {
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
        match self.below.write_at(offset, parts) {
            Err(StoreError::NoSpace { .. }) if self.wrong == Wrong::HidesThatItIsFull => Ok(()),
            Err(_) if self.wrong == Wrong::HidesAWriteThatFailed => Ok(()),
            other => other,
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        match self.wrong {
            Wrong::DoesNotSync => Ok(()),
            Wrong::HidesASyncThatFailed => self.below.sync().or(Ok(())),
            _ => self.below.sync(),
        }
    }

    fn seal(&self, len: u64) -> Result<(), StoreError> {
        self.below.seal(len)?;
        if self.wrong == Wrong::RemembersWhatWasSealed {
            let mut bytes = vec![0; len as usize];
            let read = self.store.read_at(self.id, 0, &mut bytes)?;
            bytes.truncate(read);
            self.memory.lock().insert(self.id, bytes);
        }
        Ok(())
    }
}

/// A store that does something wrong during acts of a kind, or always.
fn wrong_store(wrong: Wrong, during: Option<&'static str>) -> Layers {
    let (turn, memory) = (Arc::new(AtomicU64::new(0)), Memory::default());
    let present = Present::default();
    let told = present.clone();
    let store = Box::new(move |below| {
        let (turn, memory) = (Arc::clone(&turn), Arc::clone(&memory));
        let present = told.clone();
        Arc::new(WrongStore { below, wrong, turn, during, present, memory }) as Arc<dyn Store>
    });
    Layers { store: Some(store), present, ..Layers::default() }
}

#[test]
fn a_disk_that_does_not_sync_is_found() {
    for (lie, kept) in [
        ("data of segments", Kept::Data("/pool/")),
        ("data of the catalog", Kept::Data("catalog.sqlite")),
        ("names of segments", Kept::Names("/pool/")),
        ("names at the root", Kept::Names("/data")),
        ("who the store is", Kept::Data("STORE")),
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
        ("hides a write that failed", Wrong::HidesAWriteThatFailed),
        ("hides a sync that failed", Wrong::HidesASyncThatFailed),
        ("hides that it is full", Wrong::HidesThatItIsFull),
    ] {
        found(lie, || wrong_store(wrong, None));
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
        "put object",
        "update object",
        "copy object",
        "remove object",
        "remove version",
        "put part",
        "complete upload",
        "abort upload",
        "receive",
    ] {
        found(act, || lazy(Kept::Data("catalog.sqlite"), Some(act)));
    }
    found("flush", || lazy(Kept::Data("/pool/"), Some("flush")));
    for act in ["import", "put", "snapshot", "collect", "background", "close", "open"] {
        found(act, || lazy(Kept::Data("/pool/"), Some(act)));
    }
    for act in ["put object", "update object", "put part", "complete upload"] {
        found(act, || lazy(Kept::Data("/pool/"), Some(act)));
    }
    found("collect", || lazy(Kept::Data("catalog.sqlite"), Some("collect")));
}

#[test]
fn locks_that_keep_nobody_out_are_found() {
    found("locks", || lazy(Kept::Locks, None));
}

#[test]
fn a_rebuild_that_misses_something_is_found() {
    for (lie, kept) in [
        ("data of the new catalog", Kept::Data("catalog.sqlite")),
        ("its name", Kept::Names("/data")),
        ("the newest backup", Kept::Newest("/pool/segments/")),
    ] {
        found(lie, || lazy(kept, Some("rebuild")));
    }
}

/// Both ways: damage that is not there, and damage that is not seen.
#[test]
fn a_scrub_that_is_shown_something_else_is_found() {
    found("zeros for a scrub", || wrong_store(Wrong::ReadsZeros, Some("scrub")));
    let remembers = || wrong_store(Wrong::RemembersWhatWasSealed, Some("scrub"));
    found("what was sealed, for a scrub", remembers);
    found("zeros for a check", || wrong_store(Wrong::ReadsZeros, Some("check")));
}

/// What is done behind the model's back.
type Deed = fn(&Service) -> Result<(), Error>;

/// A service that does something more after acts of a kind. What fails of it is no lie.
fn meddling(kind: &'static str, deed: Deed) -> Layers {
    let meddler = Box::new(move |act: &'static str, service: &Service| {
        if act == kind {
            let _ = deed(service);
        }
    });
    Layers { meddler: Some(meddler), ..Layers::default() }
}

fn last_volume(service: &Service) -> Result<VolumeName, Error> {
    let last = service.volumes()?.pop().map(|volume| volume.name);
    last.ok_or_else(|| Error::new(ErrorKind::NotFound, "no volume"))
}

fn last_snapshot(service: &Service) -> Result<SnapshotPath, Error> {
    let last = service.snapshots(None)?.pop().map(|snapshot| snapshot.path);
    last.ok_or_else(|| Error::new(ErrorKind::NotFound, "no snapshot"))
}

fn scribble(service: &Service) -> Result<(), Error> {
    let device = service.open_device(last_volume(service)?.as_str())?;
    device.write(&[Write::Data { offset: 0, bytes: &[0xdd; 512] }])
}

fn take_last_volume(service: &Service) -> Result<(), Error> {
    service.volume_remove(&last_volume(service)?, true)
}

fn bring_volume_back(service: &Service) -> Result<(), Error> {
    let there = service.volumes()?;
    let mut names = (0..8).map(|n| format!("v{n}"));
    let gone = names.find(|name| there.iter().all(|one| one.name.to_string() != *name));
    let name = parse(&gone.unwrap_or_default())?;
    let size = VolumeSize::from_bytes(1 << 16)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    service.volume_create(&[name], &Origin::Empty(size)).map(drop)
}

fn change_snapshot(service: &Service) -> Result<(), Error> {
    let path = last_snapshot(service)?;
    service.snapshot_remove(&path)?;
    service.snapshot_create(&[path]).map(drop)
}

fn take_last_image(service: &Service) -> Result<(), Error> {
    match service.images()?.pop() {
        Some(image) => service.image_remove(&image.name),
        None => Ok(()),
    }
}

fn take_last_file(service: &Service) -> Result<(), Error> {
    let mut files = service.files(None)?.into_iter();
    match files.rfind(|file| file.container.as_str() != "snapshots") {
        Some(file) => service.file_remove(&file.container, &file.object),
        None => Ok(()),
    }
}

/// What no disk can imitate: a command that is done in part, that does too much, or that
/// changes what it has no business with.
fn objects(service: &Service) -> Result<(u64, Vec<Object>), Error> {
    let shelf = service.container(AccountId::new(0), &parse(SHELF)?)?;
    let all = archipelago_pool::Listing { limit: 1000, ..Default::default() };
    Ok((shelf.id, service.versions(shelf.id, &all)?.items))
}

fn take_oldest_version(service: &Service) -> Result<(), Error> {
    let (shelf, all) = objects(service)?;
    let Some(oldest) = all.iter().min_by_key(|object| object.id) else { return Ok(()) };
    let which = Which::Version(oldest.id);
    service.object_remove(shelf, &oldest.name, which, &|_| Ok(())).map(drop)
}

/// Puts as many zeros over what came last, under the same identity as far as anybody sees.
fn put_zeros_in_its_place(service: &Service) -> Result<(), Error> {
    let (shelf, all) = objects(service)?;
    let Some(newest) = all.iter().max_by_key(|object| object.id) else { return Ok(()) };
    let (size, name) = (newest.size, newest.name.clone());
    service.object_remove(shelf, &name, Which::Version(newest.id), &|_| Ok(()))?;
    let mut zeros = std::io::Read::take(std::io::repeat(0), size);
    let finish = &mut |_: &_| Ok(Default::default());
    service.object_put(shelf, &name, None, &mut zeros, finish, &|_| Ok(())).map(drop)
}

fn abort_uploads(service: &Service) -> Result<(), Error> {
    let (shelf, _) = objects(service)?;
    let all = archipelago_pool::Listing { limit: 1000, ..Default::default() };
    for upload in service.uploads(shelf, &all, None)?.items {
        let at = UploadAt { container: shelf, name: &upload.object, uuid: &upload.uuid };
        service.upload_abort(at)?;
    }
    Ok(())
}

#[test]
fn objects_that_change_behind_the_back_are_found() {
    for (lie, kind, deed) in [
        ("an old version goes with a put", "put object", take_oldest_version as Deed),
        ("a removal takes more than its version", "remove version", take_oldest_version),
        ("an old version goes with an update", "update object", take_oldest_version),
        ("an update has other bytes", "update object", put_zeros_in_its_place),
        ("a copy has other bytes", "copy object", put_zeros_in_its_place),
        ("an upload becomes other bytes", "complete upload", put_zeros_in_its_place),
        ("a collection ends uploads", "collect", abort_uploads),
    ] {
        found(lie, || meddling(kind, deed));
    }
}

#[test]
fn a_service_that_does_too_much_or_too_little_is_found() {
    for (lie, kind, deed) in [
        ("one of several volumes is not made", "create", take_last_volume as Deed),
        ("one of several clones is not made", "clone", take_last_volume),
        ("one of several snapshots is not made", "snapshot", |service| {
            service.snapshot_remove(&last_snapshot(service)?)
        }),
        ("a snapshot is of another moment", "snapshot", change_snapshot_later),
        ("a snapshot changes", "background", change_snapshot),
        ("a clone writes to another volume", "clone", scribble),
        ("a roll-back leaves a sector", "roll back", scribble),
        ("a resize spoils a sector", "resize", scribble),
        ("a rename leaves the old name", "rename", bring_volume_back),
        ("a removal is undone", "remove", bring_volume_back),
        ("a removal takes another one, too", "remove snapshot", take_last_volume),
        ("an import has no name", "import", take_last_image),
        ("a put has no name", "put", take_last_file),
        ("a collection takes an image", "collect", take_last_image),
        ("a receive spoils a sector", "receive", scribble),
    ] {
        found(lie, || meddling(kind, deed));
    }
}

fn change_snapshot_later(service: &Service) -> Result<(), Error> {
    let path = last_snapshot(service)?;
    let device = service.open_device(path.volume.as_str())?;
    let mut sector = [0; 512];
    device.read(0, &mut sector)?;
    device.write(&[Write::Data { offset: 0, bytes: &[0xdd; 512] }])?;
    change_snapshot(service)?;
    device.write(&[Write::Data { offset: 0, bytes: &sector }])
}
