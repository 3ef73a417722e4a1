//! A volume as a block device without the kernel's NBD driver: nbdfuse shows
//! the export as a file, a loop device makes it a disk, and a file system is
//! made on it and mounted. All of it is undone when dropped. Needs root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::program::{Background, program};
use crate::wait_for;

/// How long nbdfuse may take to show the file.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);

/// A kind of file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

/// A loop device over an NBD export.
pub struct Disk {
    device: Option<PathBuf>,
    fuse: Background,
    file: PathBuf,
    mounted: Option<PathBuf>,
    folder: TempDir,
}

impl Disk {
    /// Attaches an export.
    pub fn attach(uri: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("disk");
        File::create(&file)?;
        let log = File::create(folder.path().join("log"))?;
        let arguments = [file.as_os_str(), uri.as_ref()];
        let fuse = program("nbdfuse")?.args(arguments).background(&log)?;
        let mut disk = Self { device: None, fuse, file, mounted: None, folder };
        let shown = wait_for(SHOWN_WITHIN, || {
            let len = fs::metadata(&disk.file).map_or(0, |metadata| metadata.len());
            (len > 0 || !disk.fuse.is_running()).then_some(len > 0)
        });
        if shown != Some(true) {
            let said = fs::read_to_string(disk.folder.path().join("log")).unwrap_or_default();
            bail!("nbdfuse does not show {uri}: {said}");
        }
        let arguments = ["--find".as_ref(), "--show".as_ref(), disk.file.as_os_str()];
        let device = program("losetup")?.args(arguments).run()?.text();
        disk.device = Some(PathBuf::from(device.trim()));
        Ok(disk)
    }

    /// The block device.
    pub fn device(&self) -> Result<&Path> {
        self.device.as_deref().context("it is detached")
    }

    /// Makes a file system, which destroys what is there.
    pub fn make(&self, kind: Kind) -> Result<()> {
        let (name, force) = match kind {
            Kind::Ext4 => ("mkfs.ext4", "-F"),
            Kind::Xfs => ("mkfs.xfs", "-f"),
        };
        program(name)?.args([force]).args([self.device()?]).run().map(drop)
    }

    /// Mounts it and returns where.
    pub fn mount(&mut self, options: &str) -> Result<PathBuf> {
        let place = self.folder.path().join("mnt");
        fs::create_dir_all(&place)?;
        program("mount")?.args(["-o", options]).args([self.device()?, &place]).run()?;
        self.mounted = Some(place.clone());
        Ok(place)
    }

    /// Unmounts it, which writes and flushes everything.
    pub fn unmount(&mut self) -> Result<()> {
        let place = self.mounted.as_ref().context("it is not mounted")?;
        program("umount")?.args([place]).run()?;
        self.mounted = None;
        Ok(())
    }

    /// Gives back to the volume what the file system does not use; returns the number of bytes.
    pub fn trim(&self) -> Result<u64> {
        let place = self.mounted.as_ref().context("it is not mounted")?;
        let said = program("fstrim")?.args(["-v"]).args([place]).run()?.text();
        // "/mnt: 1 GiB (1073741824 bytes) trimmed"
        let number = said.split('(').nth(1).and_then(|rest| rest.split(' ').next());
        number.and_then(|number| number.parse().ok()).with_context(|| said.clone())
    }

    /// Checks the unmounted file system and fails when anything is wrong with it.
    pub fn check(&self, kind: Kind) -> Result<()> {
        let (name, arguments) = match kind {
            Kind::Ext4 => ("e2fsck", "-fn"),
            Kind::Xfs => ("xfs_repair", "-n"),
        };
        program(name)?.args([arguments]).args([self.device()?]).run().map(drop)
    }

    /// Detaches it; an error when something still holds it.
    pub fn detach(mut self) -> Result<()> {
        ensure!(self.mounted.is_none(), "it is still mounted");
        let device = self.device.take().context("it is detached")?;
        program("losetup")?.args(["-d"]).args([device]).run()?;
        program("fusermount3")?.args(["-u"]).args([&self.file]).run()?;
        let status = self.fuse.wait(SHOWN_WITHIN)?;
        ensure!(status.success(), "nbdfuse ended with {status}");
        Ok(())
    }

    /// Undoes what can be undone, also when the daemon behind it is gone.
    fn abandon(&mut self) {
        let lazily = |name: &str, arguments: &[&str], path: &Path| {
            // Best effort: the test has failed already, or its server was killed on purpose.
            let _ = program(name).map(|program| program.args(arguments).args([path]).output());
        };
        if let Some(place) = self.mounted.take() {
            lazily("umount", &["-l"], &place);
        }
        if let Some(device) = self.device.take() {
            lazily("losetup", &["-d"], &device);
        }
        lazily("fusermount3", &["-uz"], &self.file);
        self.fuse.kill();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Fills a folder with files whose content is known by their names, and syncs them.
pub fn fill(folder: &Path, files: u64) -> Result<()> {
    for at in 0..files {
        let sub = folder.join(format!("d{}", at % 7));
        fs::create_dir_all(&sub)?;
        fs::write(sub.join(format!("f{at}")), content(at))?;
    }
    program("sync")?.args(["-f"]).args([folder]).run().map(drop)
}

/// Checks the files that [`fill`] made.
pub fn verify(folder: &Path, files: u64) -> Result<()> {
    for at in 0..files {
        let path = folder.join(format!("d{}/f{at}", at % 7));
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        ensure!(bytes == content(at), "{} differs", path.display());
    }
    Ok(())
}

fn content(at: u64) -> Vec<u8> {
    let mut chance = crate::stamp::Chance::new(at);
    let words = 1 + chance.below(20_000);
    (0..words).flat_map(|_| chance.number().to_le_bytes()).collect()
}
