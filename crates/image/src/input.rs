//! Where an image comes from: a file, a device, or a pipe.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use archipelago_model::VOLUME_BYTES_MAX;
use sha2::{Digest, Sha256};

use crate::blocks::nonzero_runs;
use crate::guest::READ_BYTES;
use crate::{ImageError, Progress};

/// What to import.
pub enum Input<'a> {
    /// A file, a block device, or a named pipe.
    Path(&'a Path),
    /// Bytes without a name, as those of standard input. They are kept in a
    /// temporary file first, whatever their format: a transfer stream begins
    /// with its size.
    Stream(&'a mut dyn Read),
}

/// An input, open, with a beginning, an end, and random access between.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    /// For messages; `-` for a stream.
    pub(crate) path: PathBuf,
    /// Of the file, in bytes.
    pub(crate) len: u64,
    /// Whether `path` leads to it, and to what lies beside it.
    pub(crate) named: bool,
    /// SHA-256 in hex, when it was read from end to end already.
    pub(crate) sha256: Option<String>,
    stamp: Option<Stamp>,
}

/// What changes when a file is written.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: (i64, i64),
}

impl Opened {
    /// Opens `input`; what has no random access is copied to a file in
    /// `scratch`, of which `progress` tells with a total of 0.
    pub(crate) fn new(
        input: Input<'_>,
        scratch: &Path,
        progress: Progress<'_>,
    ) -> Result<Self, ImageError> {
        let path = match input {
            Input::Path(path) => path,
            Input::Stream(reader) => return spool(reader, Path::new("-"), scratch, progress),
        };
        let io = |op| ImageError::io(op, path);
        // Before opening: to open a pipe waits for its writer, and to open a
        // terminal or a tape can have effects.
        let kind = std::fs::metadata(path).map_err(io("open"))?.file_type();
        if !(kind.is_file() || kind.is_block_device() || kind.is_fifo()) {
            return Err(ImageError::NotAFile(path.to_owned()));
        }
        let mut file = File::open(path).map_err(io("open"))?;
        if kind.is_fifo() {
            return spool(&mut file, path, scratch, progress);
        }
        let (len, stamp) = if kind.is_file() {
            let stamp = Stamp::of(&file).map_err(io("open"))?;
            (stamp.len, Some(stamp))
        } else {
            (
                rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))
                    .map_err(|e| io("open")(e.into()))?,
                None,
            )
        };
        Ok(Self { file, path: path.to_owned(), len, named: true, sha256: None, stamp })
    }

    /// Fails when somebody wrote to the file since it was opened, so that what
    /// was read may be half one thing and half another.
    pub(crate) fn unchanged(&self) -> Result<(), ImageError> {
        let Some(stamp) = &self.stamp else { return Ok(()) };
        let now = Stamp::of(&self.file).map_err(ImageError::io("look at", &self.path))?;
        if now == *stamp { Ok(()) } else { Err(ImageError::Changed(self.path.clone())) }
    }
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { len: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) })
    }
}

/// Copies a stream to a file in `scratch`, with holes for zeros, and hashes it
/// on the way.
fn spool(
    reader: &mut dyn Read,
    path: &Path,
    scratch: &Path,
    progress: Progress<'_>,
) -> Result<Opened, ImageError> {
    let file = crate::scratch::unnamed(scratch)?;
    let (mut digest, mut len) = (Sha256::new(), 0);
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        buffer.clear();
        // Whole buffers, whatever a pipe gives at once, keep blocks aligned.
        Read::take(&mut *reader, READ_BYTES as u64)
            .read_to_end(&mut buffer)
            .map_err(ImageError::io("read", path))?;
        if buffer.is_empty() {
            break;
        }
        digest.update(&buffer);
        for run in nonzero_runs(&buffer) {
            let at = len + run.start as u64;
            file.write_all_at(&buffer[run], at)
                .map_err(ImageError::io("keep standard input in", scratch))?;
        }
        len += buffer.len() as u64;
        if len > VOLUME_BYTES_MAX {
            return Err(ImageError::TooLarge { path: path.to_owned(), size: len });
        }
        progress(len, 0);
    }
    file.set_len(len).map_err(ImageError::io("keep standard input in", scratch))?;
    let sha256 = Some(hex::encode(digest.finalize()));
    Ok(Opened { file, path: path.to_owned(), len, named: false, sha256, stamp: None })
}
