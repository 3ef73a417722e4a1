//! The simulated disk; the crate's head tells what it may do to its users.
//!
//! All state is in [`Platters`], behind one lock; a [`SimDisk`] is the view of
//! one boot, and a file's handle belongs to the boot that opened it.

mod content;
mod fault;
mod file;
mod tree;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::{Disk, Entry, File, Lock, Mode, Space};
use parking_lot::Mutex;

pub use fault::{DiskOp, Effect, Failure, Fault, Misread, Slow, Wrong};

use crate::{Dice, SimClock};
use content::Content;
use file::{BLOCK, FileNode};
use tree::{Ino, Names, Tree};

/// What outlives a boot.
pub(crate) struct Platters {
    state: Arc<Mutex<State>>,
}

struct State {
    dice: Dice,
    /// Counts up at each crash; what belongs to an older boot is dead.
    boot: u64,
    off: bool,
    room: u64,
    /// Bytes charged, of all files together.
    used: u64,
    tree: Tree,
    files: BTreeMap<Ino, FileNode>,
    locked: Vec<Ino>,
    faults: Vec<Fault>,
    misreads: Vec<Misread>,
    slow: Vec<Slow>,
    /// How long each operation takes.
    pace: Option<Duration>,
    /// Which passes meanwhile.
    clock: Arc<SimClock>,
    changes: u64,
}

impl Platters {
    pub(crate) fn new(seed: u64, room: u64, clock: Arc<SimClock>) -> Self {
        let state = State {
            dice: Dice::new(seed),
            boot: 0,
            off: false,
            room,
            used: 0,
            tree: Tree::new(),
            files: BTreeMap::new(),
            locked: Vec::new(),
            faults: Vec::new(),
            misreads: Vec::new(),
            slow: Vec::new(),
            pace: None,
            clock,
            changes: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as the present boot sees it.
    pub(crate) fn boot(&self) -> SimDisk {
        SimDisk { boot: self.state.lock().boot, state: Arc::clone(&self.state) }
    }

    pub(crate) fn crash(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.boot += 1;
        state.off = false;
        state.locked.clear();
        state.faults.clear();
        state.misreads.clear();
        state.slow.clear();
        state.tree.crash(&mut state.dice);
        let kept = state.tree.files();
        state.files.retain(|ino, _| kept.contains(ino));
        for file in state.files.values_mut() {
            file.crash(&mut state.dice);
        }
        state.used = state.files.values().map(|file| file.charged).sum();
    }

    /// The process ends, and what it wrote stays in the system's cache.
    pub(crate) fn kill(&self) {
        let mut state = self.state.lock();
        state.boot += 1;
        state.locked.clear();
        state.faults.clear();
        state.misreads.clear();
        state.slow.clear();
        state.files.values_mut().for_each(|file| file.handles = 0);
        state.sweep();
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    pub(crate) fn misread(&self, misread: Misread) {
        self.state.lock().misreads.push(misread);
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.misreads.clear();
        state.slow.clear();
    }

    pub(crate) fn slow(&self, slow: Slow) {
        self.state.lock().slow.push(slow);
    }

    pub(crate) fn set_pace(&self, each: Duration) {
        self.state.lock().pace = Some(each);
    }

    pub(crate) fn used(&self) -> u64 {
        self.state.lock().used
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state.lock().off
    }

    pub(crate) fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    pub(crate) fn set_room(&self, bytes: u64) {
        self.state.lock().room = bytes;
    }

    pub(crate) fn flip(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut state = self.state.lock();
        let ino = state.tree.file_at(path)?;
        state.file(ino)?.flip(offset, mask)
    }
}

impl State {
    fn file(&mut self, ino: Ino) -> io::Result<&mut FileNode> {
        self.files.get_mut(&ino).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Charges a file for `len` bytes, if it is not already charged for more.
    /// Returns by how much that is too much for the room.
    fn charge(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let wanted = len.checked_next_multiple_of(BLOCK).ok_or(io::ErrorKind::FileTooLarge)?;
        let more = wanted.saturating_sub(self.file(ino)?.charged);
        if more > self.room.saturating_sub(self.used) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.used += more;
        self.file(ino)?.charged += more;
        Ok(())
    }

    fn settle_charge(&mut self, ino: Ino) -> io::Result<()> {
        let given_back = self.file(ino)?.settle_charge();
        self.used -= given_back;
        Ok(())
    }

    /// Forgets the files that nobody can see any more, whatever a crash brings back.
    fn sweep(&mut self) {
        for ino in self.tree.unlinked() {
            if self.files.get(&ino).is_some_and(|file| file.handles == 0)
                && let Some(file) = self.files.remove(&ino)
            {
                self.used -= file.charged;
                self.tree.forget(ino);
            }
        }
    }

    fn new_file(&mut self, path: &Path) -> io::Result<Ino> {
        let ino = self.tree.link_new_file(path)?;
        self.files.insert(ino, FileNode::default());
        Ok(ino)
    }

    fn write(&mut self, ino: Ino, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        let file = self.file(ino)?;
        if end > file.len() {
            self.charge(ino, end)?;
        }
        self.file(ino)?.write(offset, bytes);
        Ok(())
    }

    fn resize(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        if len > self.file(ino)?.len() {
            self.charge(ino, len)?;
        }
        self.file(ino)?.resize(len);
        Ok(())
    }
}

/// The disk as one boot sees it.
pub(crate) struct SimDisk {
    boot: u64,
    state: Arc<Mutex<State>>,
}

/// Power is off, or was since.
fn dead() -> io::Error {
    io::Error::other("the power of the simulated machine has failed")
}

/// Does `deed`, unless something is planned to happen to it; `harm` is what a
/// failure leaves behind.
fn run<T>(
    state: &Mutex<State>,
    boot: u64,
    op: DiskOp,
    harm: impl FnOnce(&mut State),
    deed: impl FnOnce(&mut State) -> io::Result<T>,
) -> io::Result<T> {
    let mut guard = state.lock();
    let state = &mut *guard;
    if state.off || state.boot != boot {
        return Err(dead());
    }
    if op.changes() {
        state.changes += 1;
    }
    let delay = fault::delay(&mut state.slow, &mut state.dice);
    for time in state.pace.into_iter().chain(delay) {
        state.clock.advance(time);
    }
    match fault::due(&mut state.faults, op) {
        None => deed(state),
        Some(Effect::Fail(failure)) => {
            harm(state);
            Err(failure.error())
        }
        Some(Effect::PowerOff) => {
            let done = state.dice.coin().then(|| deed(state));
            state.off = true;
            // A handle that it made takes the lock when it is dropped.
            drop(guard);
            drop(done);
            Err(dead())
        }
    }
}

impl SimDisk {
    fn run<T>(&self, op: DiskOp, deed: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        run(&self.state, self.boot, op, |_| (), deed)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let op = if mode == Mode::CreateNew { DiskOp::Create } else { DiskOp::Open };
        self.run(op, |state| {
            let ino = match mode {
                Mode::CreateNew => state.new_file(path)?,
                Mode::Read | Mode::Write => state.tree.file_at(path)?,
            };
            state.file(ino)?.handles += 1;
            let writable = mode != Mode::Read;
            let state = Arc::clone(&self.state);
            let (boot, path) = (self.boot, path.to_owned());
            Ok(Arc::new(SimFile { boot, ino, path, writable, state }) as Arc<dyn File>)
        })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.run(DiskOp::CreateDir, |state| state.tree.create_dir_all(path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.run(DiskOp::Remove, |state| state.tree.unlink(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(DiskOp::Rename, |state| state.tree.rename(from, to))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.run(DiskOp::SyncDir, |state| {
            state.tree.sync_dir(path)?;
            state.sweep();
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.run(DiskOp::List, |state| {
            let names: &Names = state.tree.names(dir)?;
            Ok(names
                .iter()
                .map(|(name, ino)| Entry { name: name.clone(), dir: state.tree.is_dir(*ino) })
                .collect())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.run(DiskOp::Lock, |state| {
            let ino = match state.tree.file_at(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => state.new_file(path)?,
                found => found?,
            };
            if state.locked.contains(&ino) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.locked.push(ino);
            let state = Arc::clone(&self.state);
            Ok(Box::new(SimLock { boot: self.boot, ino, state }) as Box<dyn Lock>)
        })
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.run(DiskOp::Space, |state| {
            state.tree.exists(path)?;
            Ok(Space { total: state.room, free: state.room.saturating_sub(state.used) })
        })
    }
}

struct SimFile {
    boot: u64,
    ino: Ino,
    /// As it was opened.
    path: PathBuf,
    writable: bool,
    state: Arc<Mutex<State>>,
}

impl SimFile {
    fn run<T>(&self, op: DiskOp, deed: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        run(&self.state, self.boot, op, |_| (), deed)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.run(DiskOp::Read, |state| {
            let Some(wrong) = fault::misread(&mut state.misreads, &self.path) else {
                return Ok(state.file(self.ino)?.read(offset, buf));
            };
            let len = state.file(self.ino)?.len();
            let elsewhere = wrong.offset(offset, len, &mut state.dice);
            let read = state.file(self.ino)?.read(elsewhere, buf);
            wrong.spoil(&mut buf[..read], &mut state.dice);
            Ok(read)
        })
    }

    fn write_all_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.check_writable()?;
        let whole = || parts.iter().map(|part| &**part).collect::<Vec<_>>().concat();
        let first_part = |state: &mut State| {
            let mut bytes = whole();
            bytes.truncate(state.dice.below(bytes.len() as u64 + 1) as usize);
            // The failure that was planned is reported, whatever else there is.
            let _ = state.write(self.ino, offset, bytes);
        };
        run(&self.state, self.boot, DiskOp::Write, first_part, |state| {
            state.write(self.ino, offset, whole())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let some_is_lost = |state: &mut State| {
            if let Some(file) = state.files.get_mut(&self.ino) {
                file.fail_sync(&mut state.dice);
            }
        };
        run(&self.state, self.boot, DiskOp::SyncData, some_is_lost, |state| {
            state.file(self.ino)?.sync();
            state.settle_charge(self.ino)
        })
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.run(DiskOp::Allocate, |state| {
            let end = offset.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
            let longer = end.max(state.file(self.ino)?.len());
            if len == 0 { Ok(()) } else { state.resize(self.ino, longer) }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.run(DiskOp::SetLen, |state| state.resize(self.ino, len))
    }

    fn len(&self) -> io::Result<u64> {
        self.run(DiskOp::Len, |state| Ok(state.file(self.ino)?.len()))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.boot == self.boot
            && let Some(file) = state.files.get_mut(&self.ino)
        {
            file.handles -= 1;
            state.sweep();
        }
    }
}

struct SimLock {
    boot: u64,
    ino: Ino,
    state: Arc<Mutex<State>>,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.boot == self.boot {
            state.locked.retain(|ino| *ino != self.ino);
        }
    }
}

#[cfg(test)]
mod tests;
