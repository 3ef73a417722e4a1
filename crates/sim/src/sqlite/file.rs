//! A file as SQLite calls it.

use std::ffi::{c_int, c_void};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use archipelago_env::{File, Mode};
use rusqlite::ffi;

use super::Machine;
use super::locks::{Busy, IndexUse, Level, Shared};
use super::scratch::Scratch;
use super::vfs::dir_of;

/// What the disk writes as one, in bytes.
const SECTOR_BYTES: c_int = 512;

/// What SQLite keeps for us: its own part first, as it wants it.
#[repr(C)]
pub(super) struct RawFile {
    pub base: ffi::sqlite3_file,
    open: *mut Open,
}

impl RawFile {
    /// A file of these methods; `close` takes it apart.
    pub fn new(open: Open) -> Self {
        Self {
            base: ffi::sqlite3_file { pMethods: &raw const METHODS },
            open: Box::into_raw(Box::new(open)),
        }
    }
}

/// An open file.
pub(super) struct Open {
    machine: Arc<Machine>,
    /// `None` for a file that was never given a name.
    path: Option<PathBuf>,
    file: Arc<dyn File>,
    /// The directory has to be synced with the first sync of the file.
    name_unsynced: bool,
    remove_on_close: bool,
    shared: Arc<Shared>,
    level: Level,
    index: IndexUse,
}

impl Open {
    /// Opens as SQLite's flags say.
    pub fn new(machine: &Arc<Machine>, path: Option<PathBuf>, flags: c_int) -> io::Result<Self> {
        let has = |flag: c_int| flags & flag != 0;
        let journal =
            ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
        let create = has(ffi::SQLITE_OPEN_CREATE);
        let file: Arc<dyn File> = match &path {
            None => Arc::new(Scratch::default()),
            Some(path) => {
                let mode = if has(ffi::SQLITE_OPEN_READWRITE) { Mode::Write } else { Mode::Read };
                let existing = if create && has(ffi::SQLITE_OPEN_EXCLUSIVE) {
                    Err(io::ErrorKind::NotFound.into())
                } else {
                    machine.disk.open(path, mode)
                };
                match existing {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
                        machine.disk.open(path, Mode::CreateNew)?
                    }
                    opened => opened?,
                }
            }
        };
        let shared = path.as_ref().map(|path| machine.shared(path)).unwrap_or_default();
        Ok(Self {
            machine: Arc::clone(machine),
            file,
            name_unsynced: create && has(journal),
            remove_on_close: has(ffi::SQLITE_OPEN_DELETEONCLOSE),
            path,
            shared,
            level: Level::None,
            index: IndexUse::default(),
        })
    }

    fn sync(&mut self) -> c_int {
        if self.file.sync_data().is_err() {
            return ffi::SQLITE_IOERR_FSYNC;
        }
        if self.name_unsynced
            && let Some(path) = &self.path
        {
            if self.machine.disk.sync_dir(dir_of(path)).is_err() {
                return ffi::SQLITE_IOERR_DIR_FSYNC;
            }
            self.name_unsynced = false;
        }
        ffi::SQLITE_OK
    }

    fn end(&mut self) {
        self.shared.unmap(&mut self.index);
        self.shared.unlock(&mut self.level, Level::None);
        if self.remove_on_close
            && let Some(path) = &self.path
        {
            // What cannot be removed is of no use to anybody, and in nobody's way.
            let _ = self.machine.disk.remove_file(path);
        }
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The file behind SQLite's pointer.
///
/// # Safety
/// `file` was opened by our VFS and is not closed yet; SQLite makes one call of a
/// connection's file at a time, so that nobody else has the reference meanwhile.
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Open {
    // SAFETY: the caller's promise; the pointer in it is from `RawFile::new`.
    unsafe { &mut *(*file.cast::<RawFile>()).open }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let raw: *mut RawFile = file.cast();
    // SAFETY: SQLite closes a file that it opened, once; the pointer is from `RawFile::new`.
    let mut open = unsafe { Box::from_raw((*raw).open) };
    open.end();
    // SAFETY: the structure is still SQLite's and ours; without methods it is closed.
    unsafe {
        (*raw).open = ptr::null_mut();
        (*raw).base.pMethods = ptr::null();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: *mut c_void,
    len: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: an open file of ours, and room for so many bytes.
    let (open, out) = unsafe { (opened(file), bytes_mut(out, len)) };
    match open.file.read_at(offset.cast_unsigned(), out) {
        Err(_) => ffi::SQLITE_IOERR_READ,
        Ok(read) if read == out.len() => ffi::SQLITE_OK,
        Ok(read) => {
            // SQLite relies on the rest being zeros.
            out[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
    }
}

/// # Safety
/// `at` points to `len` bytes that are nobody else's for now.
unsafe fn bytes_mut<'a>(at: *mut c_void, len: c_int) -> &'a mut [u8] {
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts_mut(at.cast(), usize::try_from(len).unwrap_or(0)) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    len: c_int,
    offset: i64,
) -> c_int {
    let len = usize::try_from(len).unwrap_or(0);
    // SAFETY: an open file of ours, and so many bytes that nobody changes meanwhile.
    let (open, bytes) = unsafe { (opened(file), slice::from_raw_parts(bytes.cast(), len)) };
    match open.file.write_all_at(offset.cast_unsigned(), &[IoSlice::new(bytes)]) {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) if is_full(&error) => ffi::SQLITE_FULL,
        Err(_) => ffi::SQLITE_IOERR_WRITE,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: i64) -> c_int {
    // SAFETY: an open file of ours.
    match unsafe { opened(file) }.file.set_len(len.cast_unsigned()) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_TRUNCATE,
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file of ours.
    unsafe { opened(file) }.sync()
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: an open file of ours.
    match unsafe { opened(file) }.file.len() {
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
        Ok(len) => {
            // SAFETY: SQLite gives a place for the answer.
            unsafe { *out = len.cast_signed() };
            ffi::SQLITE_OK
        }
    }
}

fn level(raw: c_int) -> Level {
    match raw {
        ffi::SQLITE_LOCK_NONE => Level::None,
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        _ => Level::Exclusive,
    }
}

fn busy(result: Result<(), Busy>) -> c_int {
    if result.is_ok() { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let open = unsafe { opened(file) };
    busy(open.shared.lock(&mut open.level, level(wanted)))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let open = unsafe { opened(file) };
    open.shared.unlock(&mut open.level, level(wanted));
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file of ours, and a place for the answer.
    unsafe { *out = c_int::from(opened(file).shared.is_reserved()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _file: *mut ffi::sqlite3_file,
    _op: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file of ours.
    let open = unsafe { opened(file) };
    let (region, bytes) = (usize::try_from(region), usize::try_from(bytes));
    let (Ok(region), Ok(bytes)) = (region, bytes) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    let at = open.shared.map(&mut open.index, region, bytes, extend != 0);
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = at.map_or(ptr::null_mut(), <*mut u64>::cast) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file of ours.
    let open = unsafe { opened(file) };
    let (first, count) = (first as usize, count as usize);
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        open.shared.unlock_index(&mut open.index, first, count);
        return ffi::SQLITE_OK;
    }
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    busy(open.shared.lock_index(&mut open.index, first, count, exclusive))
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let open = unsafe { opened(file) };
    open.shared.unmap(&mut open.index);
    ffi::SQLITE_OK
}
