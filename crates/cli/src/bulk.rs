//! Large files between a local disk and the store: in parts at once, with what the other side has
//! left out, and gone on with after an interruption.
//!
//! * [`hashes`]: of blocks and grains, as the server computes them.
//! * [`remote`]: a version of a file in the store, its hashes and its ranges.
//! * [`local`]: a local file, and what is hashed of it.
//! * [`compare`]: where the two differ, by asking for hashes of ever smaller grains.
//! * [`part`]: a file that is not complete yet, and the record of what it has.
//! * [`proof`]: what proves that it is what the store has.
//! * [`down`] and [`up`]: the two ways.
//! * [`crew`]: several jobs at once.
//! * [`small`]: files that go whole, many at once.

mod compare;
pub mod crew;
pub mod down;
mod hashes;
mod local;
mod part;
mod proof;
mod remote;
pub mod small;
pub mod up;

/// Smaller files go whole: to compare costs more than to send.
pub const BYTES_MIN: u64 = 1 << 20;
