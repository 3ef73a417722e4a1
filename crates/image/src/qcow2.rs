//! qcow2, read by the `imago` crate behind an audit of ours.
//!
//! imago checks alignment and reserved bits of what it walks. It does not look
//! whether the tables cover the disk, whether they lie within the file (what is
//! beyond the end reads as zeros), nor whether the image is encrypted; and it
//! would open what the header names. [`header`] and [`bounded`] close those
//! gaps: everything that is read lies within the file or is an error, and
//! nothing else is ever opened.

mod bounded;
mod header;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use imago::qcow2::Qcow2 as Driver;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, Mapping};

use crate::ImageError;
use crate::guest::Guest;
use crate::raw::read_up_to;
use bounded::Bounded;
pub(crate) use header::audit;

/// Reads a qcow2 image that was audited.
pub(crate) struct Qcow2 {
    access: FormatAccess<Bounded>,
    /// The same file again, for clusters that are stored as they are.
    file: File,
    file_bytes: u64,
    /// For messages.
    path: PathBuf,
}

impl Qcow2 {
    /// Opens the image in `file`. Call [`audit`] first, and come here only when
    /// [`header::Header::for_imago`] says so.
    pub(crate) fn open(file: &File, path: &Path, file_bytes: u64) -> Result<Self, ImageError> {
        let again = || file.try_clone().map_err(ImageError::io("open", path));
        let storage = Bounded::new(again()?, file_bytes);
        let driver = Driver::<Bounded>::builder(storage)
            .backing(None)
            .data_file(None)
            .open(DenyImplicitOpenGate::default())
            .map_err(|error| explain(path, error))?;
        let access = FormatAccess::new(driver);
        Ok(Self { access, file: again()?, file_bytes, path: path.to_owned() })
    }

    /// What the guest sees at `at`, for at most `len` bytes.
    fn mapping(&self, at: u64, len: u64) -> Result<(Kind, u64), ImageError> {
        let (mapping, len) =
            self.access.get_mapping(at, len).map_err(|error| explain(&self.path, error))?;
        let kind = match mapping {
            Mapping::Raw { offset, .. } => Kind::Stored { offset },
            Mapping::Zero { .. } => Kind::Zero,
            Mapping::Eof { .. } => return Ok((Kind::Zero, 0)),
            Mapping::Special { .. } => Kind::Compressed,
            _ => {
                let what = "it has a kind of cluster that is not known";
                return Err(ImageError::damaged(&self.path, what));
            }
        };
        Ok((kind, len))
    }

    fn read_stored(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError> {
        let end = offset.saturating_add(out.len() as u64);
        if end > self.file_bytes {
            return Err(self.cut_off(end));
        }
        let filled =
            read_up_to(&self.file, offset, out).map_err(ImageError::io("read", &self.path))?;
        if filled < out.len() { Err(self.cut_off(end)) } else { Ok(()) }
    }

    fn cut_off(&self, end: u64) -> ImageError {
        let len = self.file_bytes;
        ImageError::damaged(
            &self.path,
            format!("it was cut off: it has {len} bytes, and a cluster of it ends at byte {end}"),
        )
    }
}

/// How a part of the disk is kept.
enum Kind {
    Stored { offset: u64 },
    Compressed,
    Zero,
}

impl Guest for Qcow2 {
    fn next_data(&mut self, at: u64) -> Result<Option<Range<u64>>, ImageError> {
        let size = self.access.size();
        let mut at = at;
        while at < size {
            let (kind, len) = self.mapping(at, size - at)?;
            if len == 0 {
                break;
            }
            if !matches!(kind, Kind::Zero) {
                return Ok(Some(at..at + len));
            }
            at += len;
        }
        Ok(None)
    }

    fn read(&mut self, at: u64, out: &mut [u8]) -> Result<(), ImageError> {
        let mut filled = 0;
        while filled < out.len() {
            let at = at + filled as u64;
            let (kind, len) = self.mapping(at, (out.len() - filled) as u64)?;
            if len == 0 {
                break;
            }
            let part = &mut out[filled..filled + len as usize];
            match kind {
                Kind::Stored { offset } => self.read_stored(offset, part)?,
                Kind::Zero => part.fill(0),
                Kind::Compressed => {
                    self.access.read(part, at).map_err(|error| explain(&self.path, error))?;
                }
            }
            filled += len as usize;
        }
        out[filled..].fill(0);
        Ok(())
    }
}

/// Tells what the file is to blame for from what the system is.
fn explain(path: &Path, error: io::Error) -> ImageError {
    if error.raw_os_error().is_some() {
        return ImageError::Io { op: "read", path: path.to_owned(), source: error };
    }
    ImageError::damaged(path, error.to_string())
}

#[cfg(test)]
mod tests;
