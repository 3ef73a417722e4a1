//! librados, loaded when it is first needed: a program that is built here runs without Ceph.
//!
//! The signatures are those of `rados/librados.h` of Ceph 16, which later releases keep: the
//! library's name carries the version of its interface.

use std::ffi::{c_char, c_int, c_void};

use libloading::Library as Loaded;

use crate::StoreError;

/// The interface that this is written for.
const NAME: &str = "librados.so.2";

/// A handle of the library: a cluster, a pool, an operation, a completion, an iterator.
pub(super) type Handle = *mut c_void;

/// `struct timeval`.
#[repr(C)]
pub(super) struct TimeValue {
    pub seconds: i64,
    pub micros: i64,
}

/// `struct rados_cluster_stat_t`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ClusterStat {
    pub kib: u64,
    pub kib_used: u64,
    pub kib_available: u64,
    pub objects: u64,
}

/// Declares the functions that are used, and how they are found.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions. They are valid for as long as this lives.
        pub(super) struct Library {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// Last, so that nothing above outlives it.
            _loaded: Loaded,
        }

        impl Library {
            fn find(loaded: Loaded) -> Result<Self, libloading::Error> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is the one that the header declares for this name, and
                        // the pointer is kept beside the library that it points into.
                        let found = unsafe {
                            loaded.get::<unsafe extern "C" fn($($argument),*) $(-> $result)?>(
                                stringify!($name),
                            )
                        };
                        *found?
                    },)*
                    _loaded: loaded,
                })
            }
        }
    };
}

functions! {
    rados_create2: fn(*mut Handle, *const c_char, *const c_char, u64) -> c_int;
    rados_conf_read_file: fn(Handle, *const c_char) -> c_int;
    rados_conf_set: fn(Handle, *const c_char, *const c_char) -> c_int;
    rados_connect: fn(Handle) -> c_int;
    rados_shutdown: fn(Handle);
    rados_cluster_stat: fn(Handle, *mut ClusterStat) -> c_int;
    rados_ioctx_create: fn(Handle, *const c_char, *mut Handle) -> c_int;
    rados_ioctx_destroy: fn(Handle);
    rados_ioctx_set_namespace: fn(Handle, *const c_char);
    rados_lock_exclusive: fn(
        Handle, *const c_char, *const c_char, *const c_char, *const c_char, *mut TimeValue, u8
    ) -> c_int;
    rados_unlock: fn(Handle, *const c_char, *const c_char, *const c_char) -> c_int;
    rados_list_lockers: fn(
        Handle, *const c_char, *const c_char, *mut c_int, *mut c_char, *mut usize, *mut c_char,
        *mut usize, *mut c_char, *mut usize, *mut c_char, *mut usize
    ) -> isize;
    rados_break_lock: fn(
        Handle, *const c_char, *const c_char, *const c_char, *const c_char
    ) -> c_int;
    rados_create_write_op: fn() -> Handle;
    rados_release_write_op: fn(Handle);
    rados_write_op_assert_exists: fn(Handle);
    rados_write_op_cmpxattr: fn(Handle, *const c_char, u8, *const c_char, usize);
    rados_write_op_setxattr: fn(Handle, *const c_char, *const c_char, usize);
    rados_write_op_create: fn(Handle, c_int, *const c_char);
    rados_write_op_write: fn(Handle, *const c_char, usize, u64);
    rados_write_op_truncate: fn(Handle, u64);
    rados_write_op_remove: fn(Handle);
    rados_write_op_omap_set2: fn(
        Handle, *const *const c_char, *const *const c_char, *const usize, *const usize, usize
    );
    rados_write_op_omap_rm_keys2: fn(Handle, *const *const c_char, *const usize, usize);
    rados_aio_create_completion2: fn(*mut c_void, *mut c_void, *mut Handle) -> c_int;
    rados_aio_wait_for_complete: fn(Handle) -> c_int;
    rados_aio_get_return_value: fn(Handle) -> c_int;
    rados_aio_release: fn(Handle);
    rados_aio_write_op_operate: fn(
        Handle, Handle, Handle, *const c_char, *mut i64, c_int
    ) -> c_int;
    rados_aio_read: fn(Handle, *const c_char, Handle, *mut c_char, usize, u64) -> c_int;
    rados_stat: fn(Handle, *const c_char, *mut u64, *mut i64) -> c_int;
    rados_getxattr: fn(Handle, *const c_char, *const c_char, *mut c_char, usize) -> c_int;
    rados_create_read_op: fn() -> Handle;
    rados_release_read_op: fn(Handle);
    rados_read_op_omap_get_keys2: fn(
        Handle, *const c_char, u64, *mut Handle, *mut u8, *mut c_int
    );
    rados_read_op_operate: fn(Handle, Handle, *const c_char, c_int) -> c_int;
    rados_omap_get_next2: fn(
        Handle, *mut *mut c_char, *mut *mut c_char, *mut usize, *mut usize
    ) -> c_int;
    rados_omap_get_end: fn(Handle);
}

impl Library {
    /// Loads the library.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] that names the package.
    pub(super) fn load() -> Result<Self, StoreError> {
        Self::load_as(NAME)
    }

    fn load_as(name: &str) -> Result<Self, StoreError> {
        // SAFETY: loading runs the initialisers of Ceph's library, which expect nothing of us.
        let loaded = unsafe { Loaded::new(name) };
        loaded.and_then(Self::find).map_err(|error| StoreError::Unusable {
            why: format!(
                "a pool in RADOS needs {name}: apt-get install librados2 (on Debian; it is a part \
                 of Ceph's client packages elsewhere): {error}"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_missing_is_told_with_its_package() {
        let error = Library::load_as("librados.so.of-nobody").err().unwrap();
        assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().contains("apt-get install librados2"), "{error}");
    }

    #[test]
    fn a_library_that_is_another_one_is_told() {
        let error = Library::load_as("libc.so.6").err().unwrap();
        assert!(error.to_string().contains("librados2"), "{error}");
    }
}
