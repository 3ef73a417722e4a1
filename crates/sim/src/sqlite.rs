//! SQLite on a [`Disk`] of the simulation: its files, its write-ahead log and
//! their names lie where everything else lies, and are lost like everything else.
//!
//! A [`SqliteDisk`] is a disk with a VFS (SQLite's word for a filesystem). Bytes,
//! names and syncs go to the disk below. What the operating system keeps in memory
//! for the connections of a process, locks and the index of the write-ahead log, is
//! here in memory too: it ends with the last connection, and a new boot or process
//! has a disk of its own, and so begins without it.
//!
//! As SQLite's own VFS for Unix does, a new journal or write-ahead log has its
//! directory synced with its first sync, and a removal is synced when SQLite asks
//! for it. The disk never tears a sector, nor touches bytes that were not written:
//! that is said, as SQLite takes it for granted on Unix too.
//!
//! SQLite draws its own random bytes (the salts of its log) from a generator of
//! the process; they change bytes on the disk, and no order and no result.

mod file;
mod locks;
mod scratch;
mod vfs;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use archipelago_env::{Clock, Disk, Entry, File, Lock, Mode, Random, Space};
use parking_lot::Mutex;

use locks::Shared;
use vfs::Slot;

/// A disk that SQLite keeps its files on, too.
pub struct SqliteDisk {
    machine: Arc<Machine>,
}

/// What the connections of one process have in common.
struct Machine {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// By the path of the database: a file that is replaced would be another one,
    /// but nobody replaces the file of an open database.
    shared: Mutex<BTreeMap<PathBuf, Weak<Shared>>>,
    slot: &'static Slot,
}

impl SqliteDisk {
    /// A VFS of its own over `disk`.
    pub fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let slot = Slot::take();
        let shared = Mutex::default();
        let machine = Arc::new(Machine { disk, clock, random, shared, slot });
        slot.serve(&machine);
        Self { machine }
    }
}

impl Machine {
    /// What the connections to `path` have in common.
    fn shared(&self, path: &Path) -> Arc<Shared> {
        let mut all = self.shared.lock();
        if let Some(known) = all.get(path).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::new(Shared::default());
        all.insert(path.to_owned(), Arc::downgrade(&new));
        new
    }
}

impl Drop for Machine {
    /// The last file is closed and nobody can open another one.
    fn drop(&mut self) {
        self.slot.give_back();
    }
}

impl Disk for SqliteDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        self.machine.disk.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.machine.disk.create_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.machine.disk.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.machine.disk.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.machine.disk.sync_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.machine.disk.list(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.machine.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.machine.disk.space(path)
    }

    fn sqlite_vfs(&self) -> Option<String> {
        Some(self.machine.slot.name())
    }
}

#[cfg(test)]
mod tests;
