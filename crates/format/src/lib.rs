//! Every persisted byte of Archipelago, and the transfer stream.
//!
//! Pure: functions from bytes to values and back. `docs/FORMAT.md` draws what
//! is encoded here and carries a hash of these sources, so that neither changes
//! without the other.
//!
//! # Architecture invariant
//! No other crate knows an offset, a magic number or a byte order of anything
//! that is kept. Decoders refuse, and never panic, on any input; they allocate
//! in proportion to the input, never to a number read from it.

pub mod backup;
pub mod batch;
pub mod bytes;
pub mod cache_file;
pub mod forwarding;
pub mod hash_list;
pub mod node;
pub mod pool_file;
pub mod segment;
pub mod store_file;
pub mod stream;

use archipelago_model::Location;
pub use bytes::{FormatError, crc32c};

/// Sectors of 512 bytes that hold `bytes`.
pub const fn sectors_of(bytes: u64) -> u64 {
    bytes.div_ceil(archipelago_model::SECTOR_BYTES)
}

/// Whether `sectors` from `at` on are positions of one segment: whoever goes on from a
/// location that was decoded neither overflows nor gets into another segment.
pub(crate) fn is_inside_a_segment(at: Location, sectors: u64) -> bool {
    at.segment().is_some()
        && u64::from(at.position()) + sectors <= u64::from(Location::POSITION_END)
        && at.raw().checked_add(sectors).is_some()
}
