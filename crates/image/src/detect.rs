//! Which format a file has, by its first bytes alone.

use std::fmt;
use std::str::FromStr;

/// A format of image files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// The guest's bytes as they are.
    Raw,
    /// QEMU's.
    Qcow2,
    /// VMware's.
    Vmdk,
    /// VirtualBox's.
    Vdi,
    /// Hyper-V's.
    Vhdx,
}

impl Format {
    /// All of them, for help texts and parsers.
    pub const ALL: [Self; 5] = [Self::Raw, Self::Qcow2, Self::Vmdk, Self::Vdi, Self::Vhdx];

    /// The name that the command line, the catalog and qemu-img use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhdx => "vhdx",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            let shown = crate::error::shown(text.as_bytes());
            format!("'{shown}' is not a format: use raw, qcow2, vmdk, vdi or vhdx")
        })
    }
}

/// How many of a file's first bytes [`detect()`] looks at.
pub(crate) const HEAD_BYTES: usize = 512;

/// The text that a VMDK descriptor begins with.
pub(crate) const VMDK_DESCRIPTOR: &[u8] = b"# Disk DescriptorFile";

/// What the first bytes prove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detected {
    /// An image; raw when nothing speaks against it.
    Image(Format),
    /// A file that is certainly not an image we read, and not a disk either:
    /// the rest of a sentence that begins with its name.
    Other(&'static str),
}

/// Tells the format by magic numbers. Raw has none: a guest can write any of
/// these into its own disk, so whoever knows that a file is raw must say so.
pub(crate) fn detect(head: &[u8]) -> Detected {
    const IMAGES: [(usize, &[u8], Format); 5] = [
        (0, b"QFI\xfb", Format::Qcow2),
        (0, b"KDMV", Format::Vmdk),
        (0, VMDK_DESCRIPTOR, Format::Vmdk),
        (0x40, &[0x7f, 0x10, 0xda, 0xbe], Format::Vdi),
        (0, b"vhdxfile", Format::Vhdx),
    ];
    const OTHERS: [(&[u8], &str); 9] = [
        (&[0x1f, 0x8b], "is compressed: pipe it in, gzip -dc FILE | archipelago image import -"),
        (b"\xfd7zXZ\0", "is compressed: pipe it in, xz -dc FILE | archipelago image import -"),
        (
            &[0x28, 0xb5, 0x2f, 0xfd],
            "is compressed: pipe it in, zstd -dc FILE | archipelago image import -",
        ),
        (b"BZh", "is compressed: pipe it in, bzip2 -dc FILE | archipelago image import -"),
        (b"PK\x03\x04", "is a zip archive: unpack it and import the image in it"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it and import the image in it"),
        (b"conectix", "is a VHD image: convert it first with qemu-img convert -f vpc -O qcow2"),
        (b"QED\0", "is a QED image: convert it first with qemu-img convert -f qed -O qcow2"),
        (b"COWD", "is a VMDK 3 image: convert it first with qemu-img convert -f vmdk -O qcow2"),
    ];
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    if let Some((_, _, format)) = IMAGES.iter().find(|(offset, magic, _)| at(*offset, magic)) {
        return Detected::Image(*format);
    }
    match OTHERS.iter().find(|(magic, _)| at(0, magic)) {
        Some((_, what)) => Detected::Other(what),
        None => Detected::Image(Format::Raw),
    }
}

#[cfg(test)]
mod tests;
