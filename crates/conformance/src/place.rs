//! A small file system of its own for a data folder, so that it can be full or
//! read-only without harm to anybody else. Needs root.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::program::program;

/// A mounted tmpfs; unmounted when dropped.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// Mounts one of this size, such as `200M`.
    pub fn new(size: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = format!("size={size},mode=0700");
        let what = ["-t", "tmpfs", "-o", &options, "archipelago-test"];
        program("mount")?.args(what).args([folder.path()]).run()?;
        Ok(Self { folder })
    }

    /// Where a data folder goes.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Takes so many bytes away with a file beside the data folder.
    pub fn occupy(&self, bytes: u64) -> Result<()> {
        let file = File::create(self.ballast())?;
        let block = vec![1; 1 << 20];
        for at in 0..bytes >> 20 {
            file.write_all_at(&block, at << 20)?;
        }
        Ok(())
    }

    /// Gives back what [`Self::occupy`] took.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    /// Makes it read-only, or writable again.
    pub fn read_only(&self, read_only: bool) -> Result<()> {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        program("mount")?.args(["-o", options]).args([self.folder.path()]).run().map(drop)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Best effort; lazily, because a failed test may leave a daemon that is about to die.
        let _ = program("umount").map(|umount| umount.args(["-l"]).args([self.path()]).output());
    }
}
