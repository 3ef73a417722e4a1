//! The filesystem of the operating system.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Disk, Entry, File, Lock, Mode, Space};

/// Parts that one `pwritev` takes: the kernel's `UIO_MAXIOV`.
const WRITE_PARTS_MAX: usize = 1024;

/// Only the owner may read what is stored.
const FILE_PERMISSIONS: u32 = 0o600;

/// Only the owner may enter.
const DIR_PERMISSIONS: u32 = 0o700;

/// The kernel's filesystems.
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let flags = match mode {
            Mode::Read => OFlags::RDONLY,
            Mode::Write => OFlags::RDWR,
            Mode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        Ok(Arc::new(SystemFile { fd: open(path, flags)? }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = path;
        while !at.as_os_str().is_empty() && !fs::exists(at)? {
            missing.push(at);
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        self.sync_name_of_existing(at)?;
        for dir in missing.into_iter().rev() {
            match fs::DirBuilder::new().mode(DIR_PERMISSIONS).create(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => self.sync_dir(&parent_of(dir))?,
            }
        }
        if fs::metadata(path)?.is_dir() { Ok(()) } else { Err(Errno::NOTDIR.into()) }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let fd = open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(retry_on_intr(|| rustix::fs::fsync(&fd))?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, dir: entry.file_type()?.is_dir() });
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let fd = open(path, OFlags::RDWR | OFlags::CREATE)?;
        retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive))?;
        Ok(Box::new(SystemLock { _fd: fd }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = retry_on_intr(|| rustix::fs::statvfs(path))?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

impl SystemDisk {
    /// A process that was killed may have left a directory whose name is not
    /// durable yet. Who may not read the directory above cannot have made it.
    fn sync_name_of_existing(&self, path: &Path) -> io::Result<()> {
        match self.sync_dir(&parent_of(path)) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }
}

struct SystemFile {
    fd: OwnedFd,
}

impl File for SystemFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset.saturating_add(done as u64);
            match retry_on_intr(|| rustix::io::pread(&self.fd, &mut buf[done..], at))? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, mut offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut rest = parts;
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(WRITE_PARTS_MAX)];
            let mut written = retry_on_intr(|| rustix::io::pwritev(&self.fd, batch, offset))?;
            if written == 0 && batch.iter().any(|part| !part.is_empty()) {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            while let Some((first, behind)) = rest.split_first()
                && first.len() <= written
            {
                written -= first.len();
                rest = behind;
            }
            if let Some((torn, behind)) = rest.split_first()
                && written > 0
            {
                self.write_one(offset, &torn[written..])?;
                offset += (torn.len() - written) as u64;
                rest = behind;
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fdatasync(&self.fd))?)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let reserve = || rustix::fs::fallocate(&self.fd, FallocateFlags::empty(), offset, len);
        match retry_on_intr(reserve) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let end = offset.checked_add(len).ok_or(Errno::FBIG)?;
                if self.len()? < end { self.set_len(end) } else { Ok(()) }
            }
            result => Ok(result?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.fd, len))?)
    }

    fn len(&self) -> io::Result<u64> {
        let stat = retry_on_intr(|| rustix::fs::fstat(&self.fd))?;
        Ok(u64::try_from(stat.st_size).expect("a file's size is not negative"))
    }
}

impl SystemFile {
    fn write_one(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match retry_on_intr(|| rustix::io::pwrite(&self.fd, bytes, offset))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    offset += written as u64;
                    bytes = &bytes[written..];
                }
            }
        }
        Ok(())
    }
}

struct SystemLock {
    _fd: OwnedFd,
}

impl Lock for SystemLock {}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let permissions = rustix::fs::Mode::from_raw_mode(FILE_PERMISSIONS);
    Ok(retry_on_intr(|| rustix::fs::open(path, flags | OFlags::CLOEXEC, permissions))?)
}

/// The directory that holds the name of `path`.
fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => PathBuf::from("/"),
    }
}

#[cfg(test)]
mod tests;
