//! VMDK: what an image names must not be opened blindly.
//!
//! A VMDK may be a text that lists files which hold the data, or may name a
//! parent. qemu-img opens whatever is listed, so a hostile image could make it
//! import a private file or connect to a server. Only files that VMware itself
//! would have put there are let through: plain `.vmdk` files beside the text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::ImageError;
use crate::detect::VMDK_DESCRIPTOR;
use crate::error::shown;
use crate::raw::read_up_to;

/// The longest descriptor, in bytes; what qemu-img reads of one.
const DESCRIPTOR_BYTES_MAX: usize = 1 << 20;

/// Bytes of the binary header that are looked at.
const HEADER_BYTES: usize = 64;

/// Refuses an image that leads elsewhere. `dir` is where its extents may be, or
/// `None` when it came through a pipe and can have none.
///
/// Returns whether it has extents in files of their own.
pub(crate) fn audit(file: &File, path: &Path, dir: Option<&Path>) -> Result<bool, ImageError> {
    let mut head = [0; HEADER_BYTES];
    let len = read_up_to(file, 0, &mut head).map_err(ImageError::io("read", path))?;
    if head[..len].starts_with(VMDK_DESCRIPTOR) {
        let text = descriptor(file, path, 0)?;
        refuse_parent(&text, path)?;
        for name in extents(&text, path)? {
            check_extent(&name, path, dir)?;
        }
        return Ok(true);
    }
    if len < HEADER_BYTES {
        return Err(ImageError::damaged(path, "it ends within its header"));
    }
    if capacity(&head) == 0 {
        // qemu-img would go by the list of files in the embedded text.
        return Err(leads_elsewhere(path, b"(listed in its descriptor)"));
    }
    let at = u64_at(&head, 28).saturating_mul(512);
    if at != 0 {
        refuse_parent(&descriptor(file, path, at)?, path)?;
    }
    Ok(false)
}

fn u64_at(head: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&head[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Sectors of the disk, by the binary header.
fn capacity(head: &[u8; HEADER_BYTES]) -> u64 {
    u64_at(head, 12)
}

fn leads_elsewhere(path: &Path, data: &[u8]) -> ImageError {
    ImageError::ExternalData { path: path.to_owned(), data: shown(data) }
}

/// The text at `at`, up to its NUL or the file's end.
fn descriptor(file: &File, path: &Path, at: u64) -> Result<Vec<u8>, ImageError> {
    let mut text = vec![0; DESCRIPTOR_BYTES_MAX];
    let len = read_up_to(file, at, &mut text).map_err(ImageError::io("read", path))?;
    text.truncate(len);
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    } else if len == DESCRIPTOR_BYTES_MAX {
        return Err(ImageError::damaged(path, "its descriptor does not end within 1 MiB"));
    }
    Ok(text)
}

fn refuse_parent(text: &[u8], path: &Path) -> Result<(), ImageError> {
    const HINT: &[u8] = b"parentFileNameHint";
    let Some(at) = text.windows(HINT.len()).position(|window| window == HINT) else {
        return Ok(());
    };
    let rest = &text[at + HINT.len()..];
    let name = rest.split(|b| matches!(b, b'"' | b'\n' | b'\r')).nth(1).unwrap_or_default();
    Err(ImageError::Backing { path: path.to_owned(), backing: shown(name) })
}

/// The names on the lines that list extents.
fn extents(text: &[u8], path: &Path) -> Result<Vec<Vec<u8>>, ImageError> {
    let mut names = Vec::new();
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let first = line.iter().position(|byte| *byte > b' ').unwrap_or(line.len());
        let line = &line[first..];
        if ![&b"RW"[..], b"RDONLY", b"NOACCESS"].iter().any(|access| line.starts_with(access)) {
            continue;
        }
        let mut quoted = line.split(|byte| *byte == b'"');
        let words = quoted.next().unwrap_or_default();
        match quoted.next() {
            Some(name) => names.push(name.to_vec()),
            None if words.trim_ascii_end().ends_with(b"ZERO") => {}
            None => {
                let what = format!("its descriptor has the line '{}'", shown(line));
                return Err(ImageError::damaged(path, what));
            }
        }
    }
    Ok(names)
}

/// Lets a name pass that can only mean a plain `.vmdk` file in `dir`.
fn check_extent(name: &[u8], path: &Path, dir: Option<&Path>) -> Result<(), ImageError> {
    let refused = || leads_elsewhere(path, name);
    let text = std::str::from_utf8(name).map_err(|_| refused())?;
    let plain = text.to_ascii_lowercase().ends_with(".vmdk")
        && text.chars().all(|c| !matches!(c, '/' | ':' | '\\') && !c.is_control());
    let extent = dir.filter(|_| plain).ok_or_else(refused)?.join(text);
    let meta = std::fs::symlink_metadata(&extent).map_err(ImageError::io("open", &extent))?;
    if !meta.is_file() {
        return Err(refused());
    }
    let mut head = [0; HEADER_BYTES];
    let file = File::open(&extent).map_err(ImageError::io("open", &extent))?;
    let len =
        file.take(HEADER_BYTES as u64).read(&mut head).map_err(ImageError::io("read", &extent))?;
    if len == HEADER_BYTES && head.starts_with(b"KDMV") && capacity(&head) == 0 {
        return Err(refused());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
