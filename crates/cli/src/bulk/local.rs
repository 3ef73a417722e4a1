//! A local file: read in any places, and hashed.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use archipelago_api::HASHED_BLOCK_BYTES;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::hashes::{self, Hash};
use crate::failure::{Failure, Result};

/// An open file, as long as it was when it was opened.
pub struct Local {
    file: File,
    path: PathBuf,
    len: u64,
    holes: u64,
}

/// What is hashed of a file.
pub struct Hashed {
    /// Of its blocks.
    pub blocks: Vec<Hash>,
    /// Of all of it.
    pub sha256: Option<Hash>,
}

impl Local {
    /// Opens a file; `None` when it is none that has a length (a pipe, a device).
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let failed = || Failure::local(format!("open '{}'", path.display()));
        let file = File::open(path).map_err(failed())?;
        let is_file = file.metadata().map_err(failed())?.is_file();
        is_file.then(|| Self::of(file, path)).transpose()
    }

    /// A file that is open, as long as it is now.
    pub fn of(file: File, path: &Path) -> Result<Self> {
        let failed = Failure::local(format!("open '{}'", path.display()));
        let meta = file.metadata().map_err(failed)?;
        let (len, holes) = (meta.len(), meta.len().saturating_sub(meta.blocks() * 512));
        Ok(Self { file, path: path.to_owned(), len, holes })
    }

    /// How long it is, in bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of it that take no space.
    pub const fn holes(&self) -> u64 {
        self.holes
    }

    /// Fills `out` with what is at `at`; fails where the file ends before.
    pub fn read(&self, at: u64, out: &mut [u8]) -> Result {
        self.file.read_exact_at(out, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.changed(),
            _ => Failure::local(format!("read '{}'", self.path.display()))(error),
        })
    }

    /// It is another one than when it was opened.
    pub fn changed(&self) -> Failure {
        let message = format!("'{}' changed while it was read", self.path.display());
        Failure::new(crate::failure::Kind::Local, message).remedy("try again when nobody writes it")
    }

    /// Whether there is nothing but a hole up to `end`.
    pub fn is_hole(&self, at: u64, end: u64) -> bool {
        match seek(&self.file, SeekFrom::Data(at)) {
            Ok(data) => data >= end,
            Err(error) => error == Errno::NXIO,
        }
    }

    /// The hashes of its blocks, and, if wanted, that of all of it.
    pub fn hash(&self, whole: bool, progress: &dyn Fn(u64, u64)) -> Result<Hashed> {
        let mut sha256 = whole.then(Sha256::new);
        let mut blocks = Vec::with_capacity(self.len.div_ceil(HASHED_BLOCK_BYTES) as usize);
        let mut block = Vec::new();
        for start in (0..self.len).step_by(HASHED_BLOCK_BYTES as usize) {
            let end = (start + HASHED_BLOCK_BYTES).min(self.len);
            if sha256.is_none() && self.is_hole(start, end) {
                blocks.push(hashes::of_block(&[]));
            } else {
                block.resize((end - start) as usize, 0);
                self.read(start, &mut block)?;
                blocks.push(hashes::of_block(&block));
                if let Some(sha256) = &mut sha256 {
                    sha256.update(&block);
                }
            }
            progress(end, self.len);
        }
        Ok(Hashed { blocks, sha256: sha256.map(|digest| digest.finalize().into()) })
    }
}
