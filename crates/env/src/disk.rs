//! Files and directories, with the durability that the store relies on.
//!
//! Contract shared by all implementations, which the simulator enforces:
//! * bytes and the length of a file are durable once [`File::sync_data`]
//!   returned after they were written;
//! * a name (created, renamed or removed) is durable once [`Disk::sync_dir`] of
//!   its directory returned; until then it may be either way after a crash;
//! * a write that was not synced may be kept, lost or torn at 512-byte sectors,
//!   each sector on its own.

mod real;

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub(crate) use real::SystemDisk;

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A file that must not exist, to read and write; only its owner may (0600).
    CreateNew,
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub dir: bool,
}

/// Room on a filesystem, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this process may still use: less what is reserved for root.
    pub free: u64,
}

/// A filesystem.
pub trait Disk: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`; with [`Mode::CreateNew`] `AlreadyExists`; whatever the system says.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>>;

    /// Makes `path` and the missing directories above it; all of them are durable on return.
    /// A `path` that is there already is no error, and made durable too.
    ///
    /// # Errors
    /// Something on the way is not a directory; whatever the system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Removes a file's name; open handles stay usable. Durable after [`Self::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`; whatever the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, atomically replacing a file of that name.
    /// Durable after [`Self::sync_dir`] of both directories.
    ///
    /// # Errors
    /// `NotFound`; whatever the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Whatever the system says; the names are then in an unknown state.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in order. Names that are not UTF-8 are left out:
    /// none of them is ours.
    ///
    /// # Errors
    /// `NotFound`; whatever the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Locks a file against every other process and handle, making it where it
    /// is missing. The lock ends when it is dropped and when the process ends.
    ///
    /// # Errors
    /// `WouldBlock` when it is held elsewhere; whatever the system says.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Room on the filesystem that holds `path`.
    ///
    /// # Errors
    /// `NotFound`; whatever the system says.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// The name under which SQLite was told of a VFS that keeps its files on this
    /// disk; `None` where SQLite's own for the operating system does.
    fn sqlite_vfs(&self) -> Option<String> {
        None
    }
}

/// An open file. All offsets and lengths are bytes; there is no cursor, so that
/// threads may share a handle.
#[expect(clippy::len_without_is_empty, reason = "no caller asks whether a file is empty")]
pub trait File: Send + Sync {
    /// Reads at `offset`; less than `buf` only where the file ends, zero beyond.
    ///
    /// # Errors
    /// Whatever the system says; `buf` is then in an unknown state.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes `parts` one behind the other from `offset` on, all or an error.
    ///
    /// # Errors
    /// `StorageFull`, `QuotaExceeded`, `ReadOnlyFilesystem`; whatever the system
    /// says. Any part may then have been written.
    fn write_all_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Makes every write that has returned, and the length, durable.
    ///
    /// # Errors
    /// Whatever the system says. The kernel may then have dropped the writes and
    /// forgotten that it did: a second call that succeeds proves nothing, so
    /// the file must not be written any more.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves room, so that writes into the range do not fail with
    /// `StorageFull`. A file that ends before the range does grows, with zeros.
    /// A filesystem that cannot reserve only grows the file.
    ///
    /// # Errors
    /// `StorageFull`, `QuotaExceeded`; whatever the system says. Some of the room may be reserved.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn len(&self) -> io::Result<u64>;
}

/// A lock that is held until it is dropped.
pub trait Lock: Send + Sync {}
