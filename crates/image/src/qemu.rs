//! qemu-img, run as a child: for formats, and kinds of qcow2, that are not
//! read here.
//!
//! It gets every file as an open descriptor of ours (see `scratch`), or by an
//! absolute path, never by a name as typed; the format is always said, never
//! guessed; and it is asked to open nothing that was not audited before.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;

use crate::error::shown;
use crate::raw::read_up_to;
use crate::scratch::proc_path;
use crate::{Format, ImageError, Progress};

/// The most that is kept of what qemu-img prints, in bytes; its answers about
/// one image are a few thousand.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// The most of its complaints that is shown, in bytes, from their end.
const COMPLAINT_BYTES_MAX: u64 = 600;

/// An image as qemu-img is to open it.
pub(crate) struct QemuImage<'a> {
    /// For messages.
    pub(crate) path: &'a Path,
    pub(crate) format: Format,
    /// A path that has no meaning but a file's: absolute.
    opened_as: OsString,
    program: &'a OsStr,
}

/// The answers that matter.
pub(crate) struct Info {
    /// In bytes.
    pub(crate) virtual_size: u64,
    pub(crate) encrypted: bool,
    /// Escaped.
    pub(crate) backing: Option<String>,
}

impl<'a> QemuImage<'a> {
    /// An image in one file.
    pub(crate) fn of_file(file: &File, path: &'a Path, format: Format) -> Self {
        Self { path, format, opened_as: proc_path(file), program: OsStr::new("qemu-img") }
    }

    /// An image of several files, which qemu-img finds by the path of the first.
    pub(crate) fn of_path(path: &'a Path, format: Format) -> Result<Self, ImageError> {
        let absolute = std::path::absolute(path).map_err(ImageError::io("find", path))?;
        let opened_as = absolute.into_os_string();
        Ok(Self { path, format, opened_as, program: OsStr::new("qemu-img") })
    }

    /// What the image's header says. Follows no backing file.
    pub(crate) fn info(&self) -> Result<Info, ImageError> {
        let mut output = Vec::new();
        let args = ["info", "-U", "--output=json", "-f", self.format.as_str()];
        let (status, complaint) = self.run(&args, None, &mut |bytes| {
            let room = OUTPUT_BYTES_MAX.saturating_sub(output.len());
            output.extend_from_slice(&bytes[..bytes.len().min(room)]);
        })?;
        if !status.success() {
            return Err(self.failed("inspect", complaint));
        }
        let not_understood = || self.failed("inspect", "its answer was not understood".to_owned());
        let json: Value = serde_json::from_slice(&output).map_err(|_| not_understood())?;
        let virtual_size =
            json.get("virtual-size").and_then(Value::as_u64).ok_or_else(not_understood)?;
        let text = |key| json.get(key).and_then(Value::as_str).map(|name| shown(name.as_bytes()));
        Ok(Info {
            virtual_size,
            encrypted: json.get("encrypted").and_then(Value::as_bool).unwrap_or(false),
            backing: text("backing-filename").or_else(|| text("full-backing-filename")),
        })
    }

    /// Refuses an image whose metadata is damaged; conversion alone would take
    /// some kinds of it for zeros.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        /// Leaks: space is lost, data is not.
        const LEAKS: i32 = 3;
        /// The format has no check.
        const NO_CHECK: i32 = 63;
        let args = ["check", "-q", "-U", "-f", self.format.as_str()];
        let (status, complaint) = self.run(&args, None, &mut |_| {})?;
        match status.code() {
            Some(0 | LEAKS | NO_CHECK) => Ok(()),
            _ => Err(self.failed("check", complaint)),
        }
    }

    /// Writes the guest's bytes to `target`, an empty file, which is made
    /// `size` bytes long and stays a hole where there are zeros.
    pub(crate) fn convert(
        &self,
        target: &File,
        size: u64,
        progress: Progress<'_>,
    ) -> Result<(), ImageError> {
        target.set_len(size).map_err(ImageError::io("make room to convert", self.path))?;
        let format = self.format.as_str();
        let args =
            ["convert", "-p", "-n", "--target-is-zero", "-S", "4k", "-f", format, "-O", "raw"];
        let mut line = Vec::new();
        let (status, complaint) = self.run(&args, Some(&proc_path(target)), &mut |bytes| {
            for byte in bytes {
                match byte {
                    b'(' => line.clear(),
                    b'/' => {
                        let percent = std::str::from_utf8(&line).ok().and_then(parse_percent);
                        if let Some(hundredths) = percent {
                            let done = u128::from(size) * u128::from(hundredths) / 10_000;
                            progress(done as u64, size);
                        }
                    }
                    _ if line.len() < 16 => line.push(*byte),
                    _ => {}
                }
            }
        })?;
        if !status.success() {
            return Err(self.failed("convert", complaint));
        }
        Ok(())
    }

    fn failed(&self, action: &'static str, message: String) -> ImageError {
        ImageError::Qemu { action, path: self.path.to_owned(), message }
    }

    /// Runs it; gives its output away as it comes. Returns how it ended and the
    /// end of its complaints.
    fn run(
        &self,
        args: &[&str],
        target: Option<&OsStr>,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<(ExitStatus, String), ImageError> {
        let failed = |op| ImageError::io(op, Path::new("qemu-img"));
        // A file takes the complaints however many there are; a pipe that
        // nobody empties would stop qemu-img.
        let complaints = crate::scratch::unnamed(&std::env::temp_dir())?;
        let stderr = complaints.try_clone().map_err(failed("start"))?;
        let spawned = Command::new(self.program)
            .args(args)
            .arg(&self.opened_as)
            .args(target)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ImageError::QemuMissing(self.path.to_owned()));
            }
            Err(error) => return Err(failed("start")(error)),
        };
        if let Some(mut stdout) = child.stdout.take() {
            let mut buffer = [0; 4096];
            loop {
                match stdout.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => on_output(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        let status = child.wait().map_err(failed("wait for"))?;
        let complaint = self.complaint(&complaints).map_err(failed("read the messages of"))?;
        Ok((status, complaint))
    }

    /// The end of what was complained, on one line, with the user's name for
    /// the file.
    fn complaint(&self, complaints: &File) -> std::io::Result<String> {
        let len = complaints.metadata()?.len();
        let mut text = vec![0; len.min(COMPLAINT_BYTES_MAX) as usize];
        let kept = read_up_to(complaints, len.saturating_sub(COMPLAINT_BYTES_MAX), &mut text)?;
        let text = String::from_utf8_lossy(&text[..kept]);
        let name = self.path.display().to_string();
        let text = text.replace(&*self.opened_as.to_string_lossy(), &name);
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.trim().trim_start_matches("qemu-img: "))
            .filter(|line| !line.is_empty())
            .collect();
        let text: String = lines.join("; ").chars().filter(|c| !c.is_control()).collect();
        Ok(if text.is_empty() { "it gave no reason".to_owned() } else { text })
    }
}

/// "12.34" in hundredths.
fn parse_percent(text: &str) -> Option<u32> {
    let (whole, fraction) = text.trim().split_once('.')?;
    let (whole, fraction): (u32, u32) = (whole.parse().ok()?, fraction.parse().ok()?);
    (whole <= 100 && fraction < 100).then_some((whole * 100 + fraction).min(10_000))
}

#[cfg(test)]
mod tests;
