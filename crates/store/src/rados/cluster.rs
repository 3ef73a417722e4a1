//! A pool of a cluster, in safe words. Everything unsafe of this backend but the loading is here.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Duration;

use super::library::{ClusterStat, Handle, Library, TimeValue};

/// Nothing of the cluster is waited for longer than this: a request whose OSD is away is an error
/// then, and may be asked for again.
const OPERATION_MAX: Duration = Duration::from_secs(30);
/// Nobody waits longer for monitors, when connecting too.
const MONITOR_MAX: Duration = Duration::from_secs(10);
/// Keys of an index that are read at once.
const KEYS_MAX: u64 = 1000;
/// A name, a value, a list of those who hold a lock.
const TEXT_BYTES_MAX: usize = 4096;

/// `LIBRADOS_CMPXATTR_OP_EQ`.
const EQUAL: u8 = 1;
/// `LIBRADOS_OPERATION_FULL_TRY`: a pool that is full says so, instead of keeping us waiting.
const FULL_TRY: c_int = 64;
/// `LIBRADOS_LOCK_FLAG_MUST_RENEW`.
const MUST_RENEW: u8 = 2;

/// What the library says went wrong: a number of the system's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Errno(c_int);

impl Errno {
    pub(super) const NOT_PERMITTED: Self = Self(1);
    pub(super) const NOT_FOUND: Self = Self(2);
    pub(super) const TRY_AGAIN: Self = Self(11);
    pub(super) const NO_ACCESS: Self = Self(13);
    pub(super) const BUSY: Self = Self(16);
    pub(super) const EXISTS: Self = Self(17);
    pub(super) const INVALID: Self = Self(22);
    pub(super) const NO_SPACE: Self = Self(28);
    pub(super) const READ_ONLY: Self = Self(30);
    pub(super) const NOT_SUPPORTED: Self = Self(95);
    pub(super) const NOT_CONNECTED: Self = Self(107);
    pub(super) const SHUT_DOWN: Self = Self(108);
    pub(super) const TIMED_OUT: Self = Self(110);
    pub(super) const QUOTA: Self = Self(122);
    /// A comparison in an operation did not hold.
    pub(super) const CANCELLED: Self = Self(125);

    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(self.0)
    }
}

/// The library's convention: what is negative is an error.
fn checked(code: c_int) -> Result<c_int, Errno> {
    if code < 0 { Err(Errno(code.saturating_neg())) } else { Ok(code) }
}

/// One step of an operation, which the OSD does whole or not at all.
pub(super) enum Step<'a> {
    /// Fails with [`Errno::NOT_FOUND`] otherwise.
    Exists,
    /// Fails with [`Errno::CANCELLED`] when the attribute has another value.
    Compare(&'a CStr, &'a str),
    Set(&'a CStr, &'a str),
    /// Fails with [`Errno::EXISTS`] where one is.
    CreateNew,
    Write(u64, &'a [u8]),
    Truncate(u64),
    Remove,
    /// Adds a key to the object's sorted map.
    Add(&'a str),
    Drop(&'a str),
}

/// Where a pool is.
pub(super) struct Address<'a> {
    pub config: &'a CStr,
    pub user: &'a CStr,
    pub pool: &'a CStr,
    pub namespace: &'a CStr,
}

/// Why a pool could not be reached.
pub(super) enum Unreached {
    Config(Errno),
    Connect(Errno),
    Pool(Errno),
    Other(Errno),
}

/// A connection with one pool of a cluster.
pub(super) struct Cluster {
    library: Arc<Library>,
    cluster: Handle,
    /// Null until the pool is open.
    pool: Handle,
}

// SAFETY: the library's handles of clusters and pools are counted references to objects that lock
// for themselves: its documentation lets any thread use them, also at once. What one thread alone
// may use (operations, completions, iterators) never leaves the function that makes it.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Cluster {
    pub(super) fn connect(library: Arc<Library>, at: &Address<'_>) -> Result<Self, Unreached> {
        let mut cluster = null_mut();
        // SAFETY: the names are strings that outlive the call; the handle is written by it.
        let made =
            unsafe { (library.rados_create2)(&mut cluster, c"ceph".as_ptr(), at.user.as_ptr(), 0) };
        checked(made).map_err(Unreached::Other)?;
        // From here on dropping it shuts it down, as must be done also when it is not connected.
        let mut this = Self { library, cluster, pool: null_mut() };
        // SAFETY: the handle is the one just made; the path outlives the call.
        let read = unsafe { (this.library.rados_conf_read_file)(cluster, at.config.as_ptr()) };
        checked(read).map_err(Unreached::Config)?;
        for (name, limit) in [
            (c"rados_osd_op_timeout", OPERATION_MAX),
            (c"rados_mon_op_timeout", MONITOR_MAX),
            (c"client_mount_timeout", MONITOR_MAX),
        ] {
            let value = CString::new(limit.as_secs().to_string()).unwrap_or_default();
            // SAFETY: as above; the value is copied.
            let set =
                unsafe { (this.library.rados_conf_set)(cluster, name.as_ptr(), value.as_ptr()) };
            checked(set).map_err(Unreached::Other)?;
        }
        // SAFETY: the handle is configured and was not connected before.
        checked(unsafe { (this.library.rados_connect)(cluster) }).map_err(Unreached::Connect)?;
        // SAFETY: the cluster is connected; the handle is written by the call.
        let opened =
            unsafe { (this.library.rados_ioctx_create)(cluster, at.pool.as_ptr(), &mut this.pool) };
        checked(opened).map_err(Unreached::Pool)?;
        // SAFETY: the pool is open, and nobody else has it yet.
        unsafe { (this.library.rados_ioctx_set_namespace)(this.pool, at.namespace.as_ptr()) };
        Ok(this)
    }

    /// Does all steps on one object, or none of them, and waits until it is durable.
    pub(super) fn write(&self, object: &CStr, steps: &[Step<'_>]) -> Result<(), Errno> {
        let operation = Operation::new(&self.library);
        steps.iter().for_each(|step| operation.add(step));
        let completion = Completion::new(&self.library)?;
        // SAFETY: operation, pool and completion are alive, and stay so until the completion has
        // come, which is waited for here.
        let begun = unsafe {
            (self.library.rados_aio_write_op_operate)(
                operation.handle,
                self.pool,
                completion.handle,
                object.as_ptr(),
                null_mut(),
                FULL_TRY,
            )
        };
        checked(begun)?;
        completion.wait().map(drop)
    }

    /// Reads at an offset; less than `buf` only where the object ends.
    pub(super) fn read(&self, object: &CStr, at: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let completion = Completion::new(&self.library)?;
        // SAFETY: the buffer is ours alone for as long as this call runs, and the library writes
        // to it until the completion comes, also if that is an error, and not after; it is waited
        // for here.
        let begun = unsafe {
            (self.library.rados_aio_read)(
                self.pool,
                object.as_ptr(),
                completion.handle,
                buf.as_mut_ptr().cast(),
                buf.len(),
                at,
            )
        };
        checked(begun)?;
        completion.wait().map(|read| (read as usize).min(buf.len()))
    }

    /// The length of an object.
    pub(super) fn len(&self, object: &CStr) -> Result<u64, Errno> {
        let (mut len, mut changed) = (0, 0);
        // SAFETY: the pool is open, the name a string, the rest is written by the call.
        let code = unsafe {
            (self.library.rados_stat)(self.pool, object.as_ptr(), &mut len, &mut changed)
        };
        checked(code).map(|_| len)
    }

    /// An attribute; an error for one that is not there.
    pub(super) fn attribute(&self, object: &CStr, name: &CStr) -> Result<String, Errno> {
        let mut bytes = vec![0u8; TEXT_BYTES_MAX];
        // SAFETY: the pool is open, the names strings; no more is written than the buffer's length.
        let code = unsafe {
            (self.library.rados_getxattr)(
                self.pool,
                object.as_ptr(),
                name.as_ptr(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
            )
        };
        bytes.truncate(checked(code)? as usize);
        String::from_utf8(bytes).map_err(|_| Errno::INVALID)
    }

    /// The keys of an object's map behind `after`, ascending; none where there is no object.
    pub(super) fn keys(&self, object: &CStr, after: &str) -> Result<Vec<String>, Errno> {
        let mut keys = Vec::new();
        let mut after = after.to_owned();
        loop {
            let (page, more) = match self.page(object, &after) {
                Err(Errno::NOT_FOUND) => (Vec::new(), false),
                other => other?,
            };
            match page.last() {
                Some(last) => after.clone_from(last),
                None => return Ok(keys),
            }
            keys.extend(page);
            if !more {
                return Ok(keys);
            }
        }
    }

    fn page(&self, object: &CStr, after: &str) -> Result<(Vec<String>, bool), Errno> {
        let after = CString::new(after).map_err(|_| Errno::INVALID)?;
        let operation = ReadOperation::new(&self.library);
        let (mut iterator, mut more, mut code) = (null_mut(), 0, 0);
        // SAFETY: what is written to lives until the operation was done, below, in this function.
        unsafe {
            (self.library.rados_read_op_omap_get_keys2)(
                operation.handle,
                after.as_ptr(),
                KEYS_MAX,
                &mut iterator,
                &mut more,
                &mut code,
            );
        }
        // SAFETY: the operation is alive and was not done before; the pool is open.
        let done = unsafe {
            (self.library.rados_read_op_operate)(operation.handle, self.pool, object.as_ptr(), 0)
        };
        let answered = checked(done).and_then(|_| checked(code));
        let mut keys = Vec::new();
        // The library gives an iterator, which is ours to end, also with an error.
        while answered.is_ok() && !iterator.is_null() {
            let (mut key, mut value, mut key_len, mut value_len) = (null_mut(), null_mut(), 0, 0);
            // SAFETY: the iterator was made by the operation that was done; it is ended below.
            let code = unsafe {
                (self.library.rados_omap_get_next2)(
                    iterator,
                    &mut key,
                    &mut value,
                    &mut key_len,
                    &mut value_len,
                )
            };
            if code < 0 || key.is_null() {
                break;
            }
            // SAFETY: the library says that so many bytes are there, for as long as the iterator
            // lives; they are copied.
            let bytes = unsafe { std::slice::from_raw_parts(key.cast::<u8>(), key_len) };
            keys.push(String::from_utf8_lossy(bytes).into_owned());
        }
        if !iterator.is_null() {
            // SAFETY: it is not used any more.
            unsafe { (self.library.rados_omap_get_end)(iterator) };
        }
        answered.map(|_| (keys, more != 0))
    }

    /// Takes a lock on an object, for so long from now on. [`Errno::BUSY`] when another one has
    /// it, [`Errno::EXISTS`] when we have.
    pub(super) fn lock(
        &self,
        object: &CStr,
        lock: &Lock<'_>,
        lease: Duration,
    ) -> Result<(), Errno> {
        self.lock_with(object, lock, lease, 0)
    }

    /// Keeps a lock for so long from now on. [`Errno::NOT_FOUND`] when it is not ours any more,
    /// [`Errno::BUSY`] when it is another one's.
    pub(super) fn renew(
        &self,
        object: &CStr,
        lock: &Lock<'_>,
        lease: Duration,
    ) -> Result<(), Errno> {
        self.lock_with(object, lock, lease, MUST_RENEW)
    }

    fn lock_with(
        &self,
        object: &CStr,
        lock: &Lock<'_>,
        lease: Duration,
        flags: u8,
    ) -> Result<(), Errno> {
        let seconds = lease.as_secs().try_into().unwrap_or(i64::MAX);
        let mut lease = TimeValue { seconds, micros: 0 };
        // SAFETY: the pool is open; names and time outlive the call.
        let code = unsafe {
            (self.library.rados_lock_exclusive)(
                self.pool,
                object.as_ptr(),
                lock.name.as_ptr(),
                lock.cookie.as_ptr(),
                c"".as_ptr(),
                &mut lease,
                flags,
            )
        };
        checked(code).map(drop)
    }

    /// Gives a lock of ours back.
    pub(super) fn unlock(&self, object: &CStr, lock: &Lock<'_>) -> Result<(), Errno> {
        // SAFETY: as for `lock`.
        let code = unsafe {
            (self.library.rados_unlock)(
                self.pool,
                object.as_ptr(),
                lock.name.as_ptr(),
                lock.cookie.as_ptr(),
            )
        };
        checked(code).map(drop)
    }

    /// Takes a lock away from whoever has it under a cookie.
    pub(super) fn break_lock(
        &self,
        object: &CStr,
        name: &CStr,
        holder: &Holder,
    ) -> Result<(), Errno> {
        let client = CString::new(holder.client.as_str()).map_err(|_| Errno::INVALID)?;
        let cookie = CString::new(holder.cookie.as_str()).map_err(|_| Errno::INVALID)?;
        // SAFETY: as for `lock`.
        let code = unsafe {
            (self.library.rados_break_lock)(
                self.pool,
                object.as_ptr(),
                name.as_ptr(),
                client.as_ptr(),
                cookie.as_ptr(),
            )
        };
        checked(code).map(drop)
    }

    /// Who holds a lock, if anybody does.
    pub(super) fn holder(&self, object: &CStr, name: &CStr) -> Result<Option<Holder>, Errno> {
        let mut texts = [const { [0u8; TEXT_BYTES_MAX] }; 4];
        let mut lens = [TEXT_BYTES_MAX; 4];
        let mut exclusive = 0;
        let [tag, clients, cookies, addresses] = &mut texts;
        let [tag_len, clients_len, cookies_len, addresses_len] = &mut lens;
        // SAFETY: each buffer is passed with its length, which the call respects.
        let count = unsafe {
            (self.library.rados_list_lockers)(
                self.pool,
                object.as_ptr(),
                name.as_ptr(),
                &mut exclusive,
                tag.as_mut_ptr().cast(),
                tag_len,
                clients.as_mut_ptr().cast(),
                clients_len,
                cookies.as_mut_ptr().cast(),
                cookies_len,
                addresses.as_mut_ptr().cast(),
                addresses_len,
            )
        };
        let count = c_int::try_from(count).unwrap_or(c_int::MAX);
        // One holds an exclusive lock; strings end with a zero byte.
        let first = |text: &[u8]| {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            String::from_utf8_lossy(&text[..end]).into_owned()
        };
        let found = checked(count)? > 0;
        Ok(found.then(|| Holder {
            client: first(&clients[..]),
            cookie: first(&cookies[..]),
            address: first(&addresses[..]),
        }))
    }

    /// (all, available) bytes of the cluster.
    pub(super) fn space(&self) -> Result<(u64, u64), Errno> {
        let mut found = ClusterStat::default();
        // SAFETY: the cluster is connected; the struct is written by the call.
        checked(unsafe { (self.library.rados_cluster_stat)(self.cluster, &mut found) })?;
        Ok((found.kib.saturating_mul(1024), found.kib_available.saturating_mul(1024)))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: every request was waited for, so nothing uses the handles any more; a null pool
        // was never opened.
        unsafe {
            if !self.pool.is_null() {
                (self.library.rados_ioctx_destroy)(self.pool);
            }
            (self.library.rados_shutdown)(self.cluster);
        }
    }
}

/// A lock's name, and what tells its holder from others of the same client.
pub(super) struct Lock<'a> {
    pub name: &'a CStr,
    pub cookie: &'a CStr,
}

/// Who holds a lock.
pub(super) struct Holder {
    pub client: String,
    pub cookie: String,
    pub address: String,
}

/// Steps that are put together.
struct Operation<'a> {
    library: &'a Library,
    handle: Handle,
}

impl<'a> Operation<'a> {
    fn new(library: &'a Library) -> Self {
        // SAFETY: it needs nothing.
        Self { library, handle: unsafe { (library.rados_create_write_op)() } }
    }

    fn add(&self, step: &Step<'_>) {
        let (library, handle) = (self.library, self.handle);
        let text = |value: &str| (value.as_ptr().cast::<c_char>(), value.len());
        // SAFETY: the operation is alive. The library copies what it is given, buffers too, before
        // each of these calls returns.
        unsafe {
            match step {
                Step::Exists => (library.rados_write_op_assert_exists)(handle),
                Step::Compare(name, value) => {
                    let (value, len) = text(value);
                    (library.rados_write_op_cmpxattr)(handle, name.as_ptr(), EQUAL, value, len);
                }
                Step::Set(name, value) => {
                    let (value, len) = text(value);
                    (library.rados_write_op_setxattr)(handle, name.as_ptr(), value, len);
                }
                Step::CreateNew => (library.rados_write_op_create)(handle, 1, null()),
                Step::Write(at, bytes) => {
                    let from = bytes.as_ptr().cast();
                    (library.rados_write_op_write)(handle, from, bytes.len(), *at);
                }
                Step::Truncate(len) => (library.rados_write_op_truncate)(handle, *len),
                Step::Remove => (library.rados_write_op_remove)(handle),
                Step::Add(key) => {
                    let (key, len) = text(key);
                    let (value, none) = (c"".as_ptr(), 0);
                    (library.rados_write_op_omap_set2)(handle, &key, &value, &len, &none, 1);
                }
                Step::Drop(key) => {
                    let (key, len) = text(key);
                    (library.rados_write_op_omap_rm_keys2)(handle, &key, &len, 1);
                }
            }
        }
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        // SAFETY: it was made by `new` and is released once.
        unsafe { (self.library.rados_release_write_op)(self.handle) };
    }
}

struct ReadOperation<'a> {
    library: &'a Library,
    handle: Handle,
}

impl<'a> ReadOperation<'a> {
    fn new(library: &'a Library) -> Self {
        // SAFETY: it needs nothing.
        Self { library, handle: unsafe { (library.rados_create_read_op)() } }
    }
}

impl Drop for ReadOperation<'_> {
    fn drop(&mut self) {
        // SAFETY: it was made by `new` and is released once.
        unsafe { (self.library.rados_release_read_op)(self.handle) };
    }
}

/// The end of a request, to be waited for.
struct Completion<'a> {
    library: &'a Library,
    handle: Handle,
}

impl<'a> Completion<'a> {
    fn new(library: &'a Library) -> Result<Self, Errno> {
        let mut handle = null_mut();
        // SAFETY: no callback, hence no argument for one; the handle is written by the call.
        let code =
            unsafe { (library.rados_aio_create_completion2)(null_mut(), null_mut(), &mut handle) };
        checked(code).map(|_| Self { library, handle })
    }

    /// Only after a request was begun with it.
    fn wait(&self) -> Result<c_int, Errno> {
        // SAFETY: the completion is alive, and a request was begun with it, which ends at the
        // latest when its time is over.
        unsafe { (self.library.rados_aio_wait_for_complete)(self.handle) };
        // SAFETY: it has completed.
        checked(unsafe { (self.library.rados_aio_get_return_value)(self.handle) })
    }
}

impl Drop for Completion<'_> {
    fn drop(&mut self) {
        // SAFETY: it was made by `new` and is released once; the library keeps a reference of its
        // own while a request is under way.
        unsafe { (self.library.rados_aio_release)(self.handle) };
    }
}
