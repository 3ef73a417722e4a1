//! The VFS as SQLite calls it: files by name, time, chance.
//!
//! SQLite keeps a pointer to a VFS in every connection. The structures are therefore
//! never freed: they are *slots*, given to one machine after the other. A slot is
//! free again once its machine is gone; every open file holds the machine, and every
//! connection that can still act holds a file.

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::slice;
use std::sync::{Arc, Weak};
use std::time::Duration;

use archipelago_env::Mode;
use parking_lot::Mutex;
use rusqlite::ffi;

use super::Machine;
use super::file::{self, RawFile};

/// The longest path: more than any simulated folder needs.
const PATH_BYTES_MAX: usize = 512;

/// 1970-01-01 as SQLite counts time: in ms since the Julian day 0.
const UNIX_EPOCH_JULIAN_MS: i64 = 210_866_760_000_000;

/// Slots that serve nobody.
static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// How many slots there are.
static MADE: Mutex<u64> = Mutex::new(0);

/// A registered VFS.
pub(super) struct Slot {
    name: CString,
    machine: Mutex<Weak<Machine>>,
}

impl Slot {
    /// A slot that serves nobody, made where there is none.
    pub fn take() -> &'static Self {
        if let Some(slot) = FREE.lock().pop() {
            return slot;
        }
        let mut made = MADE.lock();
        *made += 1;
        let name = CString::new(format!("archipelago-sim-{made}")).unwrap_or_default();
        let slot: &'static Self =
            Box::leak(Box::new(Self { name, machine: Mutex::new(Weak::new()) }));
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<RawFile>() as c_int,
            mxPathname: PATH_BYTES_MAX as c_int,
            pNext: ptr::null_mut(),
            zName: slot.name.as_ptr(),
            pAppData: ptr::from_ref(slot).cast_mut().cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the structure and everything that it points to live for ever, and
        // SQLite alone changes it from now on.
        let registered = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes any VFS while it has memory");
        slot
    }

    /// What it is registered as.
    pub fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// Serves `machine` from now on.
    pub fn serve(&self, machine: &Arc<Machine>) {
        *self.machine.lock() = Arc::downgrade(machine);
    }

    /// Its machine is gone.
    pub fn give_back(&'static self) {
        *self.machine.lock() = Weak::new();
        FREE.lock().push(self);
    }

    /// The machine behind a VFS.
    ///
    /// # Safety
    /// `vfs` was registered by [`Slot::take`].
    unsafe fn machine(vfs: *mut ffi::sqlite3_vfs) -> Option<Arc<Machine>> {
        // SAFETY: the caller's promise; `take` sets the pointer to a slot that lives for ever.
        let slot = unsafe { &*(*vfs).pAppData.cast::<Self>() };
        slot.machine.lock().upgrade()
    }
}

/// A path from SQLite.
///
/// # Safety
/// `name` is a string that ends with a zero byte.
unsafe fn path(name: *const c_char) -> PathBuf {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    PathBuf::from(OsStr::from_bytes(name.to_bytes()))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    out: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let out: *mut RawFile = out.cast();
    // SAFETY: SQLite gives room of `szOsFile` bytes, aligned for any type. Without
    // methods it does not close what could not be opened.
    unsafe { (*out).base.pMethods = ptr::null() };
    // SAFETY: SQLite calls with the VFS that it was given.
    let Some(machine) = (unsafe { Slot::machine(vfs) }) else {
        return ffi::SQLITE_CANTOPEN;
    };
    // SAFETY: a name that is there ends with a zero byte.
    let path = (!name.is_null()).then(|| unsafe { path(name) });
    match file::Open::new(&machine, path, flags) {
        Err(_) => ffi::SQLITE_CANTOPEN,
        Ok(opened) => {
            // SAFETY: the room is ours to fill, as above; `out_flags` is null or valid.
            unsafe {
                ptr::write(out, RawFile::new(opened));
                if !out_flags.is_null() {
                    *out_flags = flags;
                }
            }
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: SQLite calls with the VFS that it was given, and a name.
    let (machine, path) = unsafe { (Slot::machine(vfs), path(name)) };
    let Some(machine) = machine else {
        return ffi::SQLITE_IOERR_DELETE;
    };
    match machine.disk.remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
        Ok(()) if sync_dir == 0 => ffi::SQLITE_OK,
        Ok(()) => match machine.disk.sync_dir(dir_of(&path)) {
            Ok(()) => ffi::SQLITE_OK,
            Err(_) => ffi::SQLITE_IOERR_DIR_FSYNC,
        },
    }
}

/// The directory that holds the name of a file.
pub(super) fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with the VFS that it was given, and a name.
    let (machine, path) = unsafe { (Slot::machine(vfs), path(name)) };
    let Some(machine) = machine else {
        return ffi::SQLITE_IOERR_ACCESS;
    };
    let len = machine.disk.open(&path, Mode::Read).and_then(|file| file.len());
    let there = match len {
        // An empty journal counts as none, as on Unix.
        Ok(len) => flags != ffi::SQLITE_ACCESS_EXISTS || len > 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(_) => return ffi::SQLITE_IOERR_ACCESS,
    };
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = c_int::from(there) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    out_bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a name that ends with a zero byte.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    // Every path begins in the root: there is no other directory to begin in.
    if usize::try_from(out_bytes).unwrap_or(0) < name.len() {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: `out` has room for `out_bytes` bytes, which are enough, and SQLite
    // does not give the same memory twice.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(
    vfs: *mut ffi::sqlite3_vfs,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    let len = usize::try_from(bytes).unwrap_or(0);
    // SAFETY: SQLite gives room for so many bytes, and calls with its VFS.
    let (out, machine) =
        unsafe { (slice::from_raw_parts_mut(out.cast::<u8>(), len), Slot::machine(vfs)) };
    match machine {
        Some(machine) => machine.random.fill(out),
        None => out.fill(0),
    }
    bytes
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    let time = Duration::from_micros(u64::try_from(microseconds).unwrap_or(0));
    // SAFETY: SQLite calls with the VFS that it was given.
    if let Some(machine) = unsafe { Slot::machine(vfs) } {
        machine.clock.sleep(time);
    }
    microseconds
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut i64) -> c_int {
    // SAFETY: SQLite calls with the VFS that it was given.
    let Some(machine) = (unsafe { Slot::machine(vfs) }) else {
        return ffi::SQLITE_ERROR;
    };
    let unix_ms = i64::try_from(machine.clock.unix_ms()).unwrap_or(i64::MAX);
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = unix_ms.saturating_add(UNIX_EPOCH_JULIAN_MS) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    const DAY_MS: f64 = 86_400_000.0;
    let mut ms = 0;
    // SAFETY: what SQLite gave is passed on, with a place for the answer.
    let result = unsafe { current_time_int64(vfs, &raw mut ms) };
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = ms as f64 / DAY_MS };
    result
}

unsafe extern "C" fn last_error(
    _vfs: *mut ffi::sqlite3_vfs,
    _bytes: c_int,
    _out: *mut c_char,
) -> c_int {
    0
}
