//! For tests: a disk that fails when told to.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use archipelago_env::{Disk, Entry, Env, File, Lock, Mode, Space};
use parking_lot::Mutex;

/// What fails from now on, and how.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ills {
    pub reads: Option<io::ErrorKind>,
    pub writes: Option<io::ErrorKind>,
    pub syncs: Option<io::ErrorKind>,
    pub removals: Option<io::ErrorKind>,
    pub growth: Option<io::ErrorKind>,
    /// Bytes that are free, of a hundred times as many.
    pub free: Option<u64>,
}

#[derive(Clone, Default)]
pub(crate) struct IllDisk(Arc<Mutex<Ills>>);

impl IllDisk {
    pub fn set(&self, ills: Ills) {
        *self.0.lock() = ills;
    }

    /// `env` with this disk over its own.
    pub fn under(&self, env: &Env) -> Env {
        let disk = Over { ills: self.clone(), disk: Arc::clone(env.disk()) };
        Env::new(
            Arc::clone(env.clock()),
            Arc::clone(env.random()),
            Arc::new(disk),
            Arc::clone(env.threads()),
        )
    }

    fn check(&self, which: impl Fn(&Ills) -> Option<io::ErrorKind>) -> io::Result<()> {
        which(&self.0.lock()).map_or(Ok(()), |kind| Err(kind.into()))
    }
}

struct Over {
    ills: IllDisk,
    disk: Arc<dyn Disk>,
}

impl Disk for Over {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(OverFile { ills: self.ills.clone(), file }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.ills.check(|ills| ills.removals)?;
        self.disk.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        match self.ills.0.lock().free {
            Some(free) => Ok(Space { total: free * 100, free }),
            None => self.disk.space(path),
        }
    }
}

struct OverFile {
    ills: IllDisk,
    file: Arc<dyn File>,
}

impl File for OverFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.ills.check(|ills| ills.reads)?;
        self.file.read_at(offset, buf)
    }

    fn write_all_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.ills.check(|ills| ills.writes)?;
        self.file.write_all_at(offset, parts)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ills.check(|ills| ills.syncs)?;
        self.file.sync_data()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.ills.check(|ills| ills.growth)?;
        self.file.allocate(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
