//! Backends for segments, and the layers around them.
//!
//! A backend keeps segments: byte strings that are appended to while open,
//! sealed once, read by anyone and removed one day. It knows neither what is in
//! them nor who names them. Retrying, counting and failing on purpose are
//! layers ([`layer`]) round the same trait, never flags inside a backend.
//!
//! Every backend passes [`conformance`].

mod bucket;
mod cache;
mod claimed;
pub mod conformance;
mod directory;
mod error;
pub mod layer;
mod memory;
mod rados;
pub mod s3;
mod spread;
#[cfg(test)]
mod testing;

use std::io::IoSlice;
use std::sync::Arc;

use archipelago_model::{PoolId, SegmentId};

pub use archipelago_env::Space;
pub use bucket::BucketStore;
pub use cache::{CACHE_BYTES_MIN, CacheFigures, HostCache};
pub use claimed::ClaimedDirectory;
pub use directory::DirectoryStore;
pub use error::StoreError;
pub use memory::MemoryStore;
pub use rados::{RadosSettings, RadosStore};
pub use spread::{Copied, Member, Spread};

/// One place for segments. All calls may be made from any thread, at any time.
///
/// Ids are given by the catalog and never used again; so a handle or a cached
/// byte of a segment is right for as long as the segment exists.
///
/// *Durable* means: there after a crash of this process or of its host. A backend that cannot
/// append where sealed segments are keeps open ones in a *staging* folder of the host, which is a
/// part of the store like the rest; what is sealed needs the place alone.
///
/// Any call may fail with [`StoreError::Unavailable`], which changes nothing that was promised:
/// the same call may be made again, also of a writer. With [`StoreError::Denied`] or
/// [`StoreError::Fenced`] it fails until somebody does something about it.
pub trait Store: Send + Sync {
    /// Makes a segment and opens it for writing. Its *name* is durable on return,
    /// its content after [`SegmentWriter::sync`]. Where the backend can, room for
    /// `capacity` bytes is reserved, so that writes into it do not fail with
    /// [`StoreError::NoSpace`]; bytes not written yet then read as zeros.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::NoSpace`] (nothing is left
    /// behind), [`StoreError::ReadOnly`], [`StoreError::Io`].
    fn create(&self, id: SegmentId, capacity: u64) -> Result<Arc<dyn SegmentWriter>, StoreError>;

    /// As [`Self::create`], in a pool of a store that is several ([`Spread`]). One that is a
    /// single pool takes no notice of which.
    ///
    /// # Errors
    /// As [`Self::create`]; [`StoreError::Unavailable`] for a pool that is away,
    /// [`StoreError::Unusable`] for one that is not there.
    fn create_in(
        &self,
        pool: PoolId,
        id: SegmentId,
        capacity: u64,
    ) -> Result<Arc<dyn SegmentWriter>, StoreError> {
        let _single = pool;
        self.create(id, capacity)
    }

    /// In which pool a segment is, as far as anybody said; [`PoolId::FIRST`] where nobody did.
    fn pool_of(&self, id: SegmentId) -> PoolId {
        let _single = id;
        PoolId::FIRST
    }

    /// Opens an existing segment for writing: recovery seals what a crash left
    /// open. The name is durable on return. The caller knows that no other writer
    /// of this segment lives, and whether it was sealed. What was sealed may only be written
    /// again as it is, and be sealed again at its length: a backend whose sealed segments
    /// cannot change refuses anything else.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::ReadOnly`], [`StoreError::Io`].
    fn reopen(&self, id: SegmentId) -> Result<Arc<dyn SegmentWriter>, StoreError>;

    /// Reads at a byte offset; less than `buf` only where the segment ends, 0 beyond.
    /// Sees every write that has returned, synced or not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`]; `buf` is then in an unknown state.
    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError>;

    /// As [`Self::read_at`], of a segment that is sealed, for ever: where a cache has its bytes,
    /// the place is not asked, and what is gone from there may still be read. Whoever asks
    /// verifies what comes, and says so where it is wrong ([`HostCache::doubt`]).
    ///
    /// # Errors
    /// As [`Self::read_at`].
    fn read_sealed(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.read_at(id, offset, buf)
    }

    /// As [`Self::len`], of a segment that is sealed, likewise.
    ///
    /// # Errors
    /// As [`Self::len`].
    fn sealed_len(&self, id: SegmentId) -> Result<u64, StoreError> {
        self.len(id)
    }

    /// The length in bytes: of a sealed segment, exactly what it was sealed at;
    /// of an open one, at least the end of its last write, and it may count
    /// what is reserved.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`].
    fn len(&self, id: SegmentId) -> Result<u64, StoreError>;

    /// Removes a segment, durably. A segment that is not there is no error.
    /// Reads that are under way may still succeed.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::Io`]; call again.
    fn remove(&self, id: SegmentId) -> Result<(), StoreError>;

    /// The segments from `floor` on, ascending. Costs in proportion to what is returned.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn list_from(&self, floor: SegmentId) -> Result<Vec<SegmentId>, StoreError>;

    /// Room in the place as a whole; others may use it too. Where what is sealed has no bound,
    /// the room for open segments.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn space(&self) -> Result<Space, StoreError>;

    /// Whether syncs of a segment are cheaper where zeros were written before: so it is with
    /// files, whose first write to a place the file system has to note.
    fn gains_from_zeros(&self) -> bool {
        true
    }
}

/// The right to write one open segment. Threads may share it.
///
/// Once a [`sync`](Self::sync) or [`seal`](Self::seal) has failed with anything but
/// [`StoreError::Unavailable`], what the segment holds is unknown and every further call fails:
/// go on in another one. But for a seal of a segment that was synced, which may be asked for again
/// also where [`StoreError::leaves_seal_undone`]: it succeeds, or fails again.
pub trait SegmentWriter: Send + Sync {
    /// Writes `parts` one behind the other from byte `offset` on. Calls for
    /// ranges that do not overlap may run at once.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`], [`StoreError::Io`]; any
    /// part may then have been written. Writing a sealed segment is an error.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StoreError>;

    /// Makes every write that had returned before the call durable.
    ///
    /// # Errors
    /// As for [`Self::write_at`].
    fn sync(&self) -> Result<(), StoreError>;

    /// Cuts the segment to `len` bytes and makes it durable, for ever: when this returns, it is
    /// where sealed segments stay. Sealing again at the same length is no error: who got no
    /// answer asks again. A seal that failed with [`StoreError::Unavailable`] may have cut the
    /// segment: seal it again, at the same length.
    ///
    /// # Errors
    /// As for [`Self::write_at`].
    fn seal(&self, len: u64) -> Result<(), StoreError>;

    /// As [`Self::seal`], of what somebody waits for: where only so many are sealed at once, it
    /// does not wait for those that are sealed for their own sake.
    ///
    /// # Errors
    /// As for [`Self::seal`].
    fn seal_first(&self, len: u64) -> Result<(), StoreError> {
        self.seal(len)
    }
}
