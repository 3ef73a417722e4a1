//! Disk image files (raw, qcow2, vmdk, vdi, vhdx) to and from the transfer stream.
//!
//! This crate runs in the process of the command line, on the user's machine:
//! the daemon never parses a foreign image. It is nevertheless written as if
//! every image were hostile, because most were downloaded: nothing is opened
//! that an image merely names (backing files, external data files, extents
//! elsewhere), no length is believed before it was checked against the file,
//! and no format is guessed that the first bytes do not prove.
//!
//! * [`probe()`] tells what a file is.
//! * [`open()`] gives a [`Source`], which knows its format, size and probable
//!   operating system, and copies itself into a transfer stream.
//! * [`export()`] writes a transfer stream to a file that appears under its
//!   name whole or not at all.
//!
//! Raw is read here; qcow2 by the `imago` crate behind an audit of its header;
//! the rest, and what `imago` cannot read, by `qemu-img`, which is looked for
//! in `PATH` when it is needed. `docs/adr/0003-image-formats.md` says why.

mod blocks;
mod detect;
mod error;
mod export;
pub mod fuzz;
mod guest;
mod input;
mod os;
mod qcow2;
mod qemu;
mod raw;
mod scratch;
mod source;
mod vdi;
mod vmdk;

pub use detect::Format;
pub use error::ImageError;
pub use export::{Exported, export};
pub use input::Input;
pub use os::guess_os;
pub use source::{Probe, Source, Summary, open, open_bytes, probe};

/// Told from time to time how far a copy has come: bytes done, and bytes in
/// all, which is 0 when that is not known.
pub type Progress<'a> = &'a dyn Fn(u64, u64);

/// For those who do not want to know.
pub fn no_progress(_done: u64, _total: u64) {}
