//! Where in a disk image file (qcow2, vmdk, vhdx, vdi) the bytes of the disk are.
//!
//! The store makes a map of the disk from that, over the chunks of the file: so a file is a
//! disk at once. Every image is taken for hostile:
//!
//! * it is read through [`Bytes`] alone; nothing is opened, and what an image names (backing
//!   files, data files, extents) is only a reason to refuse it;
//! * nothing is believed before it was compared with the length of the file, memory is in
//!   proportion to tables that lie in the file, no table is read twice, no stored byte
//!   is unpacked much more often than once, and those shown as they are are no more than the file has;
//! * what is not understood is refused with the reason, never guessed.
//!
//! [`recognise`] tells the format, [`open`] reads the header, [`Image::walk`] gives the
//! pieces of the disk in order, [`Image::unpack`] what a packed one holds. [`export`] is the way
//! back: a disk as a qcow2 file that is stored nowhere.

pub mod export;
mod field;
pub mod fuzz;
mod qcow2;
mod unpack;
mod vdi;
mod vhdx;
mod vmdk;
mod walk;

use std::fmt;

use archipelago_model::{SECTOR_BYTES, VOLUME_BYTES_MAX};

pub use walk::Walk;

/// How many of a file's first bytes [`recognise`] looks at.
pub const HEAD_BYTES: usize = 512;

/// Bytes of a disk that one entry is about at most where they are packed: the largest cluster
/// of qcow2.
pub const PACKED_UNIT_MAX: u64 = 2 << 20;

/// Entries of a first table at most: 32 MiB of them, as QEMU has it.
const TOP_ENTRIES_MAX: u64 = 4 << 20;

/// What a file is read through.
pub trait Bytes {
    /// Of the file, in bytes.
    fn len(&self) -> u64;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the bytes at `offset`, which lie in the file.
    ///
    /// # Errors
    /// They cannot be read.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError>;
}

/// Why bytes cannot be read.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no layout.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is one that is not read as a disk: the rest of a sentence that begins with
    /// its name.
    #[error("{0}")]
    Refused(String),
    /// The file cannot be read now.
    #[error("the file cannot be read: {0}")]
    Read(#[source] ReadError),
}

impl Error {
    fn refused(what: impl Into<String>) -> Self {
        Self::Refused(what.into())
    }

    fn damaged(what: impl fmt::Display) -> Self {
        Self::Refused(format!("is damaged: {what}"))
    }
}

/// A format of image files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// QEMU's.
    Qcow2,
    /// VMware's.
    Vmdk,
    /// Hyper-V's.
    Vhdx,
    /// VirtualBox's.
    Vdi,
}

impl Format {
    /// The name that qemu-img uses, too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text that a VMDK descriptor begins with.
const VMDK_DESCRIPTOR: &[u8] = b"# Disk DescriptorFile";

/// Tells the format by the first bytes of a file; `None` when they prove none.
pub fn recognise(head: &[u8]) -> Option<Format> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    if at(0, b"QFI\xfb") {
        Some(Format::Qcow2)
    } else if at(0, b"KDMV") || at(0, VMDK_DESCRIPTOR) {
        Some(Format::Vmdk)
    } else if at(0, b"vhdxfile") {
        Some(Format::Vhdx)
    } else if at(0x40, &0xbeda_107f_u32.to_le_bytes()) {
        Some(Format::Vdi)
    } else {
        None
    }
}

/// An image whose header was read.
#[derive(Debug)]
pub struct Image {
    format: Format,
    /// Of the disk, in bytes: whole sectors.
    size: u64,
    /// Bytes of the disk that one entry is about.
    unit: u64,
    entries: Entries,
    pages: Pages,
    /// Entries that a page has of units.
    page_entries: u64,
    pack: Pack,
}

/// Where the tables with the entries are.
#[derive(Debug)]
enum Pages {
    /// At these offsets; 0 for one that is not there, and all of it holes.
    Listed(Vec<u64>),
    /// One behind the other.
    Row {
        /// The first.
        at: u64,
        /// From one to the next.
        stride: u64,
    },
}

/// What an entry looks like.
#[derive(Clone, Copy, Debug)]
enum Entries {
    /// Of qcow2.
    Qcow2 {
        /// The version has clusters of zeros.
        zeros: bool,
        /// With bits for 32 subclusters.
        sub: bool,
    },
    /// Sectors, u32.
    Vmdk {
        /// A 1 means zeros.
        zeros: bool,
        /// Grains are packed, each behind a marker.
        packed: bool,
    },
    /// MiB and a state, u64.
    Vhdx,
    /// The number of a block, u32; blocks begin here.
    Vdi {
        /// Where the first block is.
        data: u64,
    },
}

impl Entries {
    const fn bytes(self) -> u64 {
        match self {
            Self::Qcow2 { sub: true, .. } => 16,
            Self::Qcow2 { sub: false, .. } | Self::Vhdx => 8,
            Self::Vmdk { .. } | Self::Vdi { .. } => 4,
        }
    }
}

/// How packed units are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pack {
    /// By deflate.
    Deflate,
    /// By deflate in a zlib envelope.
    Zlib,
    /// By zstd.
    Zstd,
}

/// A stretch of the disk that is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where on the disk, in bytes: at a sector.
    pub at: u64,
    /// Bytes of the disk: whole sectors.
    pub len: u64,
    /// Where in the file.
    pub place: Place,
}

/// Where a piece is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// As it is, from this offset on, which is at a sector.
    Stored(u64),
    /// In a packed unit that begins with the piece.
    Packed {
        /// Where it begins.
        offset: u64,
        /// Bytes of the file.
        len: u64,
    },
}

/// Reads the header of an image.
///
/// # Errors
/// [`Error::Refused`] with the reason; [`Error::Read`].
pub fn open(format: Format, file: &dyn Bytes) -> Result<Image, Error> {
    let image = match format {
        Format::Qcow2 => qcow2::open(file)?,
        Format::Vmdk => vmdk::open(file)?,
        Format::Vhdx => vhdx::open(file)?,
        Format::Vdi => vdi::open(file)?,
    };
    Ok(image)
}

impl Image {
    /// What it is.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Of the disk, in bytes: whole sectors.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The stored pieces of the disk, in order; what is between them is zeros.
    pub fn walk<'a>(&'a self, file: &'a dyn Bytes) -> Walk<'a> {
        Walk::new(self, file)
    }

    /// What a packed piece holds.
    ///
    /// # Errors
    /// It is damaged, or cannot be read.
    pub fn unpack(&self, file: &dyn Bytes, piece: &Piece) -> Result<Vec<u8>, Error> {
        unpack::unpack(self, file, piece)
    }
}

/// The size of a disk in whole sectors.
fn disk_size(bytes: u64) -> Result<u64, Error> {
    if bytes == 0 {
        return Err(Error::refused("holds a disk of 0 bytes"));
    }
    if bytes > VOLUME_BYTES_MAX {
        return Err(Error::refused(format!(
            "holds a disk of {bytes} bytes; a volume has {VOLUME_BYTES_MAX} at most"
        )));
    }
    Ok(bytes.next_multiple_of(SECTOR_BYTES))
}

/// Refuses tables that lie on one another: a small file could say endlessly much by them.
fn check_apart(pages: &[u64], bytes: u64, file: &dyn Bytes) -> Result<(), Error> {
    let mut sorted: Vec<u64> = pages.iter().copied().filter(|offset| *offset != 0).collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[1] - pair[0] < bytes) {
        return Err(Error::damaged("tables of it lie on one another"));
    }
    match sorted.last() {
        Some(last) if last.saturating_add(bytes) > file.len() => {
            Err(cut_off(file, last.saturating_add(bytes)))
        }
        _ => Ok(()),
    }
}

fn cut_off(file: &dyn Bytes, end: u64) -> Error {
    let len = file.len();
    Error::refused(format!("was cut off: it has {len} bytes, and a part of it ends at byte {end}"))
}

#[cfg(test)]
mod tests;
