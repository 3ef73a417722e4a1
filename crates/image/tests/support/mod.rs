//! What the tests of this crate share: disks, a real qemu-img, and a receiver.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use archipelago_format::stream::{Header, Reader, Record};
use archipelago_image::{Format, ImageError, Input, Source, Summary, no_progress, open};

/// Runs the real qemu-img. A missing one is a failure: these tests prove
/// nothing without it.
pub fn qemu_img<A: AsRef<OsStr>>(args: &[A]) {
    let output = Command::new("qemu-img")
        .args(args)
        .output()
        .expect("qemu-img must be installed (Debian: apt install qemu-utils)");
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    assert!(
        output.status.success(),
        "qemu-img {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A folder that goes away with the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// A raw disk of `len` bytes: noise here, text there, zeros written and
    /// zeros never written, and something in the very last bytes.
    pub fn disk(&self, name: &str, len: u64) -> PathBuf {
        let path = self.join(name);
        let file = File::create(&path).unwrap();
        file.set_len(len).unwrap();
        file.write_all_at(&noise(200_000, 1), 512).unwrap();
        file.write_all_at(&b"the same line again\n".repeat(20_000), 1 << 20).unwrap();
        file.write_all_at(&[0; 300_000], 2 << 20).unwrap();
        file.write_all_at(&noise(700, 2), (2 << 20) + 123_456).unwrap();
        file.write_all_at(&noise(90, 3), len - 90).unwrap();
        path
    }

    /// `disk` as an image made by qemu-img.
    pub fn convert(&self, disk: &Path, name: &str, options: &[&str]) -> PathBuf {
        let path = self.join(name);
        let mut args = vec!["convert", "-f", "raw"];
        args.extend_from_slice(options);
        let mut args: Vec<&OsStr> = args.into_iter().map(OsStr::new).collect();
        args.extend([disk.as_os_str(), path.as_os_str()]);
        qemu_img(&args);
        path
    }
}

/// Bytes that no codec shortens, the same in every run.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// What came out of an import.
#[derive(Debug)]
pub struct Imported {
    pub format: Format,
    pub header: Header,
    pub disk: Vec<u8>,
    pub summary: Summary,
    pub stream_bytes: usize,
}

/// Sends `source` into memory and plays the receiver.
pub fn receive(source: &Source) -> Result<Imported, ImageError> {
    let mut stream = Vec::new();
    let summary = source.copy_to(&mut stream, &no_progress)?;
    let mut reader = Reader::new(&stream[..]).unwrap();
    let header = *reader.header();
    let mut disk = vec![0; header.size as usize];
    loop {
        match reader.next().unwrap() {
            Record::Data { offset, bytes } => {
                disk[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
            }
            Record::Zero { .. } => {}
            Record::End => break,
        }
    }
    Ok(Imported { format: source.format(), header, disk, summary, stream_bytes: stream.len() })
}

/// Imports a file, its format told by its first bytes.
pub fn import(path: &Path) -> Result<Imported, ImageError> {
    import_as(path, None)
}

pub fn import_as(path: &Path, format: Option<Format>) -> Result<Imported, ImageError> {
    receive(&open(Input::Path(path), format, &std::env::temp_dir(), &no_progress)?)
}

/// The message of an import that must fail.
pub fn refused(path: &Path) -> String {
    match import(path) {
        Ok(_) => panic!("{} was imported", path.display()),
        Err(error) => error.to_string(),
    }
}

/// A transfer stream of `disk`.
pub fn stream_of(disk: &[u8]) -> Vec<u8> {
    let header = Header { size: disk.len() as u64, ..Header::default() };
    let mut writer = archipelago_format::stream::Writer::new(Vec::new(), &header).unwrap();
    for (index, block) in disk.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            writer.data(index as u64 * 4096, block).unwrap();
        }
    }
    writer.finish().unwrap()
}
