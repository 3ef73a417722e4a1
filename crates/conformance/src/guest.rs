//! A real guest: Debian's cloud kernel in QEMU, emulated, with its root on an
//! NBD export. The kernel is fetched by `cargo xtask packages`.
//!
//! The root file system is busybox and one script, `/init`, which mounts
//! itself, runs [`Guest`]'s words and powers off; what it prints comes back
//! over the serial line.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::program::{Background, program};
use crate::{tools, wait_for};

/// The kernel, unpacked.
pub const KERNEL: &str = "/var/tmp/archipelago-test/guest/vmlinux";

/// The modules that this kernel needs for a virtio disk, unpacked.
pub const MODULES: &str = "/var/tmp/archipelago-test/guest/modules";

/// Those of them that are not built in.
pub const WANTED_MODULES: &[&str] = &["virtio_blk"];

/// An emulated guest on a busy machine needs up to half a minute.
const SAYS_WITHIN: Duration = Duration::from_secs(120);

/// Bytes of the root disk's image: busybox, and room to write.
const DISK_BYTES: u64 = 32 << 20;

/// Makes the initial RAM disk's work: load the disk's driver, mount the disk, go there.
const FIRST: &str = "#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /dev /new
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
for m in /modules/*.ko; do [ -f $m ] && $b insmod $m; done
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do n=$((n+1)); $b sleep 0.1; done
$b mount -t ext4 /dev/vda /new || echo GUEST no root
$b mount --move /dev /new/dev
$b umount /proc
exec $b switch_root /new /init
";

/// Makes the root disk's work: count boots, obey the words on the serial line.
const INIT: &str = "#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox touch /boots
echo boot >> /boots
busybox sync
echo GUEST boot $(busybox wc -l < /boots)
busybox stty -echo -F /dev/ttyS0
while read word value; do
  case $word in
    write) echo $value >> /words; busybox sync; echo GUEST wrote $value;;
    read) echo GUEST words $(busybox cat /words);;
    fill) busybox dd if=/dev/urandom of=/random bs=64k count=$value 2>/dev/null; busybox md5sum /random > /sum; busybox sync; echo GUEST filled;;
    check) busybox md5sum -c /sum >/dev/null 2>&1 && echo GUEST same || echo GUEST differs;;
    off) busybox sync; busybox mount -o remount,ro /; echo GUEST off; busybox poweroff -f;;
  esac
done
";

/// Makes a raw disk image that [`Guest`] can boot.
pub fn disk(path: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    for name in ["bin", "dev", "proc", "new"] {
        fs::create_dir(root.join(name))?;
    }
    busybox(root)?;
    fs::write(root.join("init"), INIT)?;
    executable(&root.join("init"))?;
    File::create(path)?.set_len(DISK_BYTES)?;
    program("mkfs.ext4")?.args(["-q", "-F", "-d"]).args([root, path]).run().map(drop)
}

fn busybox(root: &Path) -> Result<()> {
    let found =
        tools::find("busybox").context("busybox is missing: apt-get install busybox-static")?;
    fs::copy(found, root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh")).context("linking sh")
}

fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("chmod")
}

/// Packs the initial RAM disk.
fn initramfs(path: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for folder in ["bin", "modules"] {
        archive.entry(folder, 0o040_755, &[]);
    }
    let found =
        tools::find("busybox").context("busybox is missing: apt-get install busybox-static")?;
    archive.entry("bin/busybox", 0o100_755, &fs::read(found)?);
    archive.entry("init", 0o100_755, FIRST.as_bytes());
    for entry in fs::read_dir(MODULES).context("no guest kernel: cargo xtask packages")? {
        let entry = entry?;
        let name = format!("modules/{}", entry.file_name().to_string_lossy());
        archive.entry(&name, 0o100_644, &fs::read(entry.path())?);
    }
    archive.entry("TRAILER!!!", 0, &[]);
    fs::write(path, archive.bytes).context("writing the initial RAM disk")
}

/// A cpio archive in the form that the kernel unpacks ("newc").
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.entries += 1;
        let fields = [
            self.entries, // inode
            mode,
            0, // user
            0, // group
            1, // links
            0, // time
            data.len() as u32,
            0,
            0,
            0,
            0, // devices
            name.len() as u32 + 1,
            0, // checksum, unused in this form
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(data);
        self.pad();
    }

    /// Names and data begin at multiples of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A running guest; killed when dropped.
pub struct Guest {
    emulator: Background,
    log: PathBuf,
    /// How much of the log was understood already.
    read: usize,
    _folder: tempfile::TempDir,
}

impl Guest {
    /// Boots from an export at an NBD server's address, such as `127.0.0.1:10809`.
    pub fn boot(server: &str, export: &str) -> Result<Self> {
        ensure!(Path::new(KERNEL).is_file(), "no guest kernel at {KERNEL}: cargo xtask packages");
        let folder = tempfile::tempdir()?;
        let (ramdisk, log) = (folder.path().join("initramfs"), folder.path().join("log"));
        initramfs(&ramdisk)?;
        let (host, port) = server.rsplit_once(':').context("no port in the address")?;
        let drive = format!(
            "driver=nbd,node-name=disk,server.type=inet,server.host={host},server.port={port},\
             export={export},reconnect-delay=60,discard=unmap"
        );
        // Without cx16: the emulated cmpxchg16b of Debian's QEMU 7.2 spoils flags, and one boot
        // in five ends in the kernel's allocator (30 of 30 are well without).
        let emulator = program("qemu-system-x86_64")?
            .args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-m", "192"])
            .args(["-smp", "1", "-display", "none", "-nodefaults", "-no-reboot"])
            .args(["-serial", "stdio", "-kernel", KERNEL, "-initrd"])
            .args([&ramdisk])
            .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
            .args(["-blockdev", &drive, "-device", "virtio-blk-pci,drive=disk,discard=on"])
            .background(&File::create(&log)?)?;
        Ok(Self { emulator, log, read: 0, _folder: folder })
    }

    /// Waits for the guest's next line and returns it without its mark.
    pub fn hear(&mut self) -> Result<String> {
        let Self { emulator, log, read, .. } = self;
        let heard = wait_for(SAYS_WITHIN, || {
            let running = emulator.is_running();
            let text = String::from_utf8_lossy(&fs::read(&*log).unwrap_or_default()).into_owned();
            let rest = text.get(*read..).unwrap_or_default();
            let whole = rest.rfind('\n').map_or("", |end| &rest[..=end]);
            let start = whole.find("GUEST ");
            match start {
                Some(start) => {
                    let line = whole[start..].lines().next().unwrap_or_default();
                    *read += start + line.len();
                    Some(Some(line["GUEST ".len()..].trim().to_owned()))
                }
                None if running => None,
                None => Some(None),
            }
        });
        match heard.flatten() {
            Some(line) => Ok(line),
            None => bail!("the guest says nothing: {}", self.printed()),
        }
    }

    /// Sends a word and waits for the answer.
    pub fn ask(&mut self, words: &str) -> Result<String> {
        self.emulator.write(&format!("{words}\n"))?;
        self.hear()
    }

    /// Shuts the guest down and waits until the emulator has ended.
    pub fn off(mut self) -> Result<()> {
        let said = self.ask("off")?;
        ensure!(said == "off", "the guest said {said}");
        let status = self.emulator.wait(SAYS_WITHIN)?;
        ensure!(status.success(), "the emulator ended with {status}: {}", self.printed());
        Ok(())
    }

    /// Pulls the plug.
    pub fn kill(&mut self) {
        self.emulator.kill();
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}
