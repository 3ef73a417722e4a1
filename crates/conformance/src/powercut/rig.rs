//! A file system on a disk that records every write and flush: QEMU's storage
//! daemon shows a file through FUSE, a loop device makes it a disk. And the
//! same file system mounted as a cut left it. Needs root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::filesystem::Kind;
use crate::program::{Background, Program, program};
use crate::stamp::Moment;
use crate::wait_for;

/// Bytes of the disk: XFS makes none below 300 MiB. Only what is written takes memory.
pub const DISK_BYTES: u64 = 384 << 20;

/// How long QEMU may take to show the file, and to end.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);

/// What the kernel must have, and what it is for.
const DEVICES: &[(&str, &str)] = &[
    ("/dev/fuse", "showing the recorded disk (modprobe fuse)"),
    ("/dev/loop-control", "making it a block device (modprobe loop)"),
];

/// Says what this machine lacks for recording a disk.
///
/// # Errors
/// One that names it.
pub fn possible() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "power cuts need root, to mount");
    for (device, purpose) in DEVICES {
        ensure!(Path::new(device).exists(), "power cuts need {device}: {purpose}");
    }
    for tool in ["qemu-storage-daemon", "losetup", "mount", "umount", "mkfs.ext4"] {
        program(tool).map(drop)?;
    }
    Ok(())
}

/// A mounted file system whose disk is recorded.
pub struct Rig {
    folder: PathBuf,
    mount: Option<Mount>,
    qemu: Background,
}

impl Rig {
    /// Where the disk as it was before the record lies, in the folder of a rig.
    pub fn base(folder: &Path) -> PathBuf {
        folder.join("base")
    }

    /// Where the record lies.
    pub fn record(folder: &Path) -> PathBuf {
        folder.join("record")
    }

    /// Makes an empty file system for [`Self::start`].
    pub fn format(folder: &Path, kind: Kind) -> Result<()> {
        let base = Self::base(folder);
        File::create(&base)?.set_len(DISK_BYTES)?;
        // Everything is initialised now: the kernel would do it later, and the record grow by itself.
        let make = match kind {
            Kind::Ext4 => program("mkfs.ext4")?.args([
                "-qF",
                "-m",
                "0",
                "-E",
                "lazy_itable_init=0,lazy_journal_init=0,nodiscard",
            ]),
            Kind::Xfs => program("mkfs.xfs")?.args(["-qfK"]),
        };
        make.args([&base]).run().map(drop)
    }

    /// Begins a record of the disk in `base` and mounts it.
    pub fn start(folder: &Path) -> Result<Self> {
        let path = |name: &str| folder.join(name).display().to_string();
        // Holes stay holes, which spares memory.
        let copy = [Self::base(folder), folder.join("disk")];
        program("cp")?.args(["--sparse=always"]).args(copy).run()?;
        for empty in ["record", "shown"] {
            File::create(path(empty))?;
        }
        let log = File::create(path("qemu.log"))?;
        let (disk, record, shown) = (path("disk"), path("record"), path("shown"));
        let qemu = program("qemu-storage-daemon")?
            .args(["--blockdev", &format!("driver=file,node-name=disk,filename={disk}")])
            .args(["--blockdev", &format!("driver=file,node-name=record,filename={record}")])
            .args([
                "--blockdev",
                "driver=blklogwrites,node-name=both,file=disk,log=record,log-sector-size=512",
            ])
            .args([
                "--export",
                &format!("type=fuse,id=shown,node-name=both,mountpoint={shown},writable=on"),
            ])
            .background(&log)?;
        let mut rig = Self { folder: folder.to_owned(), mount: None, qemu };
        let is_shown = wait_for(SHOWN_WITHIN, || {
            let shown = fs::metadata(&shown).is_ok_and(|metadata| 0 < metadata.len());
            (shown || !rig.qemu.is_running()).then_some(shown)
        });
        if is_shown != Some(true) {
            bail!("QEMU shows no disk: {}", fs::read_to_string(path("qemu.log"))?);
        }
        rig.mount = Some(Mount::new(Path::new(&shown), &folder.join("mnt"))?);
        Ok(rig)
    }

    /// Where a data folder goes.
    pub fn data(&self) -> PathBuf {
        self.folder.join("mnt/data")
    }

    /// Tells the present moment of the record in a folder.
    pub fn clock(folder: &Path) -> impl Fn() -> Moment + Send + Sync + 'static {
        let record = Self::record(folder);
        move || fs::metadata(&record).map_or(0, |metadata| metadata.len())
    }

    /// Unmounts, and ends the record.
    pub fn stop(mut self) -> Result<()> {
        self.mount.take().context("it is mounted")?.end()?;
        self.qemu.signal(Signal::TERM)?;
        let status = self.qemu.wait(SHOWN_WITHIN)?;
        ensure!(status.success(), "qemu-storage-daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // After a failure: without its server the mounted file would answer nobody.
        drop(self.mount.take());
        self.qemu.kill();
        let shown = self.folder.join("shown");
        let _ = program("umount").and_then(|umount| umount.args(["-ql"]).args([shown]).output());
    }
}

/// A disk in a file, mounted; unmounted when dropped.
pub struct Mount {
    device: String,
    place: PathBuf,
    mounted: bool,
}

/// The file system refuses the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unmountable(String);

impl Mount {
    /// Makes a loop device of a file and mounts it, which replays the journal.
    pub fn new(file: &Path, place: &Path) -> Result<Self> {
        fs::create_dir_all(place)?;
        let device = program("losetup")?.args(["--find", "--show"]).args([file]).run()?.text();
        let device = device.trim().to_owned();
        let mut mount = Self { device, place: place.to_owned(), mounted: false };
        let mounted = program("mount")?.args([mount.device.as_ref(), place]).run();
        mounted.map_err(|error| Unmountable(format!("{error:.200}")))?;
        mount.mounted = true;
        Ok(mount)
    }

    /// Unmounts it.
    pub fn end(mut self) -> Result<()> {
        program("umount")?.args([&self.place]).run()?;
        self.mounted = false;
        self.detach()?.run().map(drop)
    }

    fn detach(&mut self) -> Result<Program> {
        Ok(program("losetup")?.args(["-d", &std::mem::take(&mut self.device)]))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Best effort: something has failed already.
        if self.mounted {
            let lazily = |umount: Program| umount.args(["-l"]).args([&self.place]).output();
            let _ = program("umount").and_then(lazily);
        }
        if !self.device.is_empty() {
            let _ = self.detach().and_then(Program::output);
        }
    }
}
