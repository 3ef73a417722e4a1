//! Two disk images of this machine's own programs, made separately, and the
//! exact answer to how much of them is the same.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use archipelago_conformance::program::program;

/// Where the files come from: what a Debian image consists of as well.
const ROOTS: [&str; 3] = ["/usr/share", "/usr/lib/python3", "/usr/bin"];

/// Packages fall into so many classes; each image leaves out one of its own.
const CLASSES: u64 = 6;

/// A file above this would be an image by itself.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The exact count of an image's blocks of 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Blocks {
    /// Bytes that are not zero, in whole blocks.
    pub data: u64,
    /// Of these, the bytes that neither this image nor a former one had before.
    pub new: u64,
}

/// Makes an ext4 file system of up to `content` bytes of files; `variant` 0 and 1 share most of
/// them, but each lacks some and copies in another order, so that the layout differs.
pub fn make(scratch: &Path, variant: u64, content: u64) -> Result<PathBuf> {
    let tree = tempfile::tempdir_in(scratch)?;
    let mut files = Vec::new();
    for root in ROOTS {
        collect(Path::new(root), &mut files)?;
    }
    files.sort();
    let mut room = content;
    let mut chosen = Vec::new();
    for (path, bytes) in files {
        if class(&path) != variant && bytes <= room {
            room -= bytes;
            chosen.push(path);
        }
    }
    if variant % 2 == 1 {
        chosen.reverse();
    }
    for path in chosen {
        let to = tree.path().join(path.strip_prefix("/")?);
        fs::create_dir_all(to.parent().context("every file is in a folder")?)?;
        // What root alone may read is not needed.
        let _ = fs::copy(&path, &to);
    }
    let image = scratch.join(format!("image-{variant}.raw"));
    let size = format!("{}M", (content + content / 2) >> 20);
    let mkfs = program("mkfs.ext4")?.args(["-q", "-F", "-d"]).args([tree.path(), &image]);
    mkfs.args([&size]).run()?;
    File::open(&image)?.sync_all()?;
    Ok(image)
}

fn collect(folder: &Path, into: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if metadata.is_dir() {
            collect(&entry.path(), into)?;
        } else if metadata.is_file() && metadata.len() <= FILE_BYTES_MAX {
            into.push((entry.path(), metadata.len()));
        }
    }
    Ok(())
}

/// Files of one package fall into one class: that of their folder three levels down.
fn class(path: &Path) -> u64 {
    let package: PathBuf = path.components().take(4).collect();
    let hash = blake3::hash(package.as_os_str().as_encoded_bytes());
    u64::from(hash.as_bytes()[0]) % CLASSES
}

/// Counts an image's blocks; `seen` gathers those of all images counted before.
pub fn count(image: &Path, seen: &mut HashSet<[u8; 16]>) -> Result<Blocks> {
    let mut file = File::open(image)?;
    let mut buffer = vec![0; 1 << 20];
    let mut blocks = Blocks::default();
    loop {
        let mut len = 0;
        while len < buffer.len() {
            match file.read(&mut buffer[len..])? {
                0 => break,
                more => len += more,
            }
        }
        if len == 0 {
            return Ok(blocks);
        }
        for block in buffer[..len].chunks(4096).filter(|block| block.iter().any(|byte| *byte != 0))
        {
            blocks.data += block.len() as u64;
            let hash = blake3::hash(block);
            let (key, _) = hash.as_bytes().split_first_chunk().context("a hash has 32 bytes")?;
            if seen.insert(*key) {
                blocks.new += block.len() as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
