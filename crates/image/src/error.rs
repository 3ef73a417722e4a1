//! What can go wrong with an image file, in words for the one who named it.

use std::io;
use std::path::{Path, PathBuf};

use archipelago_format::stream::StreamError;
use archipelago_model::size::Human;
use thiserror::Error;

use crate::Format;

/// Why an image was not read or written. Every message names the file and what
/// to do about it.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The operating system refused.
    #[error("cannot {op} '{}': {source}", path.display())]
    Io {
        /// What was tried: "open", "read", "write" and the like.
        op: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The receiver of the transfer stream failed.
    #[error("cannot send the image: {0}")]
    Output(#[source] io::Error),
    /// The transfer stream to export is not right.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A directory, a terminal or the like.
    #[error("'{}' is not a file: give an image file, a block device, or - for standard input", .0.display())]
    NotAFile(PathBuf),
    /// No bytes.
    #[error("'{}' is empty: an image has at least one byte", .0.display())]
    Empty(PathBuf),
    /// Over 64 TiB.
    #[error("'{}' has {}: an image has at most 64 TiB", path.display(), Human(*size))]
    TooLarge {
        /// The image.
        path: PathBuf,
        /// Its size in bytes, or the least that it must have.
        size: u64,
    },
    /// The image is only a difference to another one.
    #[error(
        "'{}' is only the difference to its backing file '{backing}', which is not followed, \
         as an image could name any file of yours; make it whole first: \
         qemu-img convert -O qcow2 '{}' whole.qcow2", path.display(), path.display()
    )]
    Backing {
        /// The image.
        path: PathBuf,
        /// What its header names, escaped.
        backing: String,
    },
    /// The image keeps its data elsewhere.
    #[error(
        "'{}' keeps its data in another file, '{data}', which is not followed, \
         as an image could name any file of yours; make it whole first with qemu-img convert",
        path.display()
    )]
    ExternalData {
        /// The image.
        path: PathBuf,
        /// What its header names, escaped.
        data: String,
    },
    /// Encrypted by its format.
    #[error("'{}' is encrypted: decrypt it first with qemu-img convert", .0.display())]
    Encrypted(PathBuf),
    /// The image contradicts itself, or ends early.
    #[error("'{}' is damaged: {what}; fetch or make it again", path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A kind of file that is known, and not read.
    #[error("'{}' {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is and what to do, as the rest of a sentence.
        what: String,
    },
    /// The user named another format than the file has.
    #[error("'{}' is not {wanted}: its first bytes are those of {found}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The format named.
        wanted: Format,
        /// The format found.
        found: Format,
    },
    /// `qemu-img` is needed and not there.
    #[error(
        "'{}' needs qemu-img, which is not in PATH: install it (Debian and Ubuntu: \
         apt install qemu-utils) or convert the image to raw or qcow2", .0.display()
    )]
    QemuMissing(PathBuf),
    /// `qemu-img` refused the image.
    #[error("qemu-img cannot {action} '{}': {message}", path.display())]
    Qemu {
        /// "inspect", "check" or "convert".
        action: &'static str,
        /// The image.
        path: PathBuf,
        /// The last it said.
        message: String,
    },
    /// The file changed under us.
    #[error(
        "'{}' changed while it was read: stop what writes to it, and try again", .0.display()
    )]
    Changed(PathBuf),
    /// The target of an export is there.
    #[error("'{}' exists and was left as it is: choose another name, or say --force", .0.display())]
    Exists(PathBuf),
    /// A format that is only read.
    #[error("cannot write {0}: export as raw or qcow2, and convert that with qemu-img")]
    ReadOnlyFormat(Format),
    /// The stream to export is not whole.
    #[error("cannot export a difference between snapshots as an image: send it whole")]
    Difference,
}

impl ImageError {
    /// For `map_err` on a call to the operating system.
    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { op, path, source }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), what: what.into() }
    }
}

/// A name out of an image, shortened, and with nothing in it that could act on
/// a terminal.
pub(crate) fn shown(name: &[u8]) -> String {
    const CHARS_MAX: usize = 200;
    String::from_utf8_lossy(name).chars().take(CHARS_MAX).flat_map(char::escape_debug).collect()
}
