//! A transfer stream into an image file, whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use archipelago_format::stream::{Reader, Record};
use archipelago_model::SECTOR_BYTES;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatCreateBuilder, FormatDriverBuilder};
use tempfile::NamedTempFile;

use crate::blocks::nonzero_runs;
use crate::{Format, ImageError, Progress};

/// What [`export()`] wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exported {
    /// Of the disk (of a file: of the file), in bytes.
    pub size: u64,
    /// Bytes that were not zero, and so were written.
    pub data_bytes: u64,
}

/// Writes a full transfer stream to `target`, as raw or qcow2, with holes for
/// zeros.
///
/// The file is made under a temporary name beside `target` (`.archipelago-*`),
/// synced, and renamed once the stream has proved whole; until then `target` is
/// untouched. Without `force` an existing file is never replaced, not even one
/// that appeared meanwhile; with it, only a plain file is.
///
/// # Errors
/// `target` exists, cannot be written, or the stream is broken, damaged or a
/// difference.
pub fn export(
    stream: &mut dyn Read,
    target: &Path,
    format: Format,
    force: bool,
    progress: Progress<'_>,
) -> Result<Exported, ImageError> {
    if !matches!(format, Format::Raw | Format::Qcow2) {
        return Err(ImageError::ReadOnlyFormat(format));
    }
    let target = check_target(target, force)?;
    let dir = directory_of(&target);
    let mut reader = Reader::new(stream)?;
    if reader.header().base.is_some() {
        return Err(ImageError::Difference);
    }
    let size = reader.header().size;
    let file = tempfile::Builder::new()
        .prefix(".archipelago-")
        .suffix(".part")
        .permissions(permissions(&target))
        .tempfile_in(&dir)
        .map_err(ImageError::io("write to", &dir))?;
    let failed = |error| ImageError::io("write", &target)(error);
    let mut disk = Disk::create(&file, format, size).map_err(failed)?;
    let mut data_bytes = 0;
    loop {
        match reader.next()? {
            Record::Data { offset, bytes } => {
                for run in nonzero_runs(&bytes) {
                    data_bytes += run.len() as u64;
                    disk.write(offset + run.start as u64, &bytes[run]).map_err(failed)?;
                }
                progress(offset + bytes.len() as u64, size);
            }
            Record::Zero { offset, len } => progress(offset + len, size),
            Record::End => break,
        }
    }
    disk.close().map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    publish(file, &target, force)?;
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(ImageError::io("write to", &dir))?;
    progress(size, size);
    Ok(Exported { size, data_bytes })
}

/// Refuses what must not be replaced, before any work is done. Returns the file
/// that would be, which for a link is the one that it leads to.
fn check_target(target: &Path, force: bool) -> Result<PathBuf, ImageError> {
    match std::fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(target.to_owned()),
        Err(error) => return Err(ImageError::io("write", target)(error)),
        Ok(_) if !force => return Err(ImageError::Exists(target.to_owned())),
        Ok(_) => {}
    }
    let target = std::fs::canonicalize(target).map_err(ImageError::io("write", target))?;
    let meta = std::fs::metadata(&target).map_err(ImageError::io("write", &target))?;
    if meta.is_file() { Ok(target) } else { Err(ImageError::NotAFile(target)) }
}

/// Those of the file that is replaced, or what the user's umask leaves of all, as for any file that
/// is made.
fn permissions(target: &Path) -> Permissions {
    let replaced = std::fs::metadata(target).map(|meta| meta.permissions().mode() & 0o777);
    Permissions::from_mode(replaced.unwrap_or(0o666))
}

fn directory_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn publish(file: NamedTempFile, target: &Path, force: bool) -> Result<(), ImageError> {
    let result = if force { file.persist(target) } else { file.persist_noclobber(target) };
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(ImageError::Exists(target.to_owned()))
        }
        Err(error) => Err(ImageError::io("write", target)(error.error)),
    }
}

/// The file as a disk that is zero where nothing was written.
enum Disk {
    Raw(File),
    Qcow2(FormatAccess<imago::file::File>),
}

impl Disk {
    fn create(file: &NamedTempFile, format: Format, size: u64) -> io::Result<Self> {
        // A second opening: each has its own position and is closed on its own.
        let file = file.reopen()?;
        if format == Format::Raw {
            file.set_len(size)?;
            return Ok(Self::Raw(file));
        }
        let size = size
            .checked_next_multiple_of(SECTOR_BYTES)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let storage = imago::file::File::try_from(file)?;
        let image = Qcow2::<imago::file::File>::create_builder(storage)
            .size(size)
            .create_open(DenyImplicitOpenGate::default(), |file| {
                Ok(Qcow2::builder(file).backing(None).write(true))
            })?;
        Ok(Self::Qcow2(FormatAccess::new(image)))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Raw(file) => file.write_all_at(bytes, at),
            Self::Qcow2(image) => image.write(bytes, at),
        }
    }

    /// Writes out what is held in memory.
    fn close(self) -> io::Result<()> {
        match self {
            Self::Raw(_) => Ok(()),
            Self::Qcow2(image) => image.flush(),
        }
    }
}
