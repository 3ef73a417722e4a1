//! Disk images, as people download them.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// The disk may be said to have 64 TiB; so much of it is copied, in bytes.
const COPIED_BYTES_MAX: u64 = 4 << 20;

/// Clusters that are looked at, so that a run ends soon: an image of a few KiB may
/// map 2^32 of them.
const CLUSTERS_MAX: u64 = 1 << 16;

/// The bytes as a file that has no name and is in memory.
fn file_of(bytes: &[u8]) -> File {
    let fd = rustix::fs::memfd_create("image", rustix::fs::MemfdFlags::CLOEXEC)
        .expect("a file in memory is to be had");
    let file = File::from(fd);
    file.write_all_at(bytes, 0).expect("memory takes all");
    file
}

/// Which format it is, and the audits of qcow2, vmdk and vdi, whatever it is.
pub fn headers(bytes: &[u8]) {
    for error in archipelago_image::fuzz::headers(&file_of(bytes), bytes.len() as u64) {
        let message = error.to_string();
        assert!(message.len() < 16 << 10, "{} bytes of message", message.len());
        assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
    }
}

/// Where the bytes of a disk are, in each format, whatever it is.
pub fn layout(bytes: &[u8]) {
    for error in archipelago_layout::fuzz::layouts(bytes) {
        let message = error.to_string();
        assert!(!message.is_empty() && message.len() < 4 << 10, "{message:?}");
    }
}

/// An import by way of qcow2.
pub fn qcow2(bytes: &[u8]) {
    if clusters(bytes).is_none_or(|clusters| clusters > CLUSTERS_MAX) {
        return;
    }
    let mut out = Limited { left: COPIED_BYTES_MAX };
    let len = bytes.len() as u64;
    if let Err(error) = archipelago_image::fuzz::qcow2(&file_of(bytes), len, &mut out) {
        assert!(!error.to_string().is_empty());
    }
}

/// How many clusters the disk has, by the header.
fn clusters(bytes: &[u8]) -> Option<u64> {
    let bits = u32::from_be_bytes(bytes.get(20..24)?.try_into().ok()?);
    let size = u64::from_be_bytes(bytes.get(24..32)?.try_into().ok()?);
    Some(size >> bits.min(21))
}

/// Takes so much and then fails, as a full receiver does.
struct Limited {
    left: u64,
}

impl Write for Limited {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(buf.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
