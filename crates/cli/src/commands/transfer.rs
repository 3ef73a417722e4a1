//! Bulk data between files and the server.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use archipelago_format::stream::{Reader, Record, StreamError};
use archipelago_image::{self as image, ImageError, Input};

use super::Context;
use crate::failure::{Failure, Kind, Result};
use crate::output::text::plain;
use crate::progress::Progress;

/// Bytes that are collected before a file or a pipe is written.
const BUFFER_BYTES: usize = 256 << 10;

/// A file with more holes than this, in bytes, gets no checksum: to hash the
/// zeros of a thin terabyte takes half an hour, to send it no time, and nobody
/// publishes the checksum of such a file. 4 GiB take a few seconds.
const HASHED_HOLE_BYTES_MAX: u64 = 4 << 30;

/// Whether a path means standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Opens a local file, or standard input, with an opener of crate `image`.
pub fn open(
    context: &Context,
    path: &Path,
    opener: impl FnOnce(Input<'_>, &Path, image::Progress<'_>) -> Result<image::Source, ImageError>,
) -> Result<image::Source> {
    let scratch = std::env::temp_dir();
    let progress = Progress::new(context.output, "reading");
    let tell = |done, total| progress.set(done, total);
    if is_standard(path) {
        refuse_terminal(&io::stdin(), "standard input is a terminal", "pipe the file in")?;
        return Ok(opener(Input::Stream(&mut io::stdin().lock()), &scratch, &tell)?);
    }
    Ok(opener(Input::Path(path), &scratch, &tell)?)
}

/// A local file, or standard input, as it is, with its length; 0 when it is not known.
pub fn plain_bytes(path: &Path) -> Result<(Box<dyn Read>, u64)> {
    if is_standard(path) {
        refuse_terminal(&io::stdin(), "standard input is a terminal", "pipe the bytes in")?;
        return Ok((Box::new(io::stdin().lock()), 0));
    }
    let open = || Failure::local(format!("open '{}'", path.display()));
    let opened = File::open(path).map_err(open())?;
    let total = opened.metadata().map_err(open())?.len();
    Ok((Box::new(opened), total))
}

/// The checksum of a source, with a bar; none for a file that is mostly holes.
pub fn sha256(
    context: &Context,
    path: &Path,
    source: &mut image::Source,
) -> Result<Option<String>> {
    if !is_standard(path) && hole_bytes(path) > HASHED_HOLE_BYTES_MAX {
        return Ok(None);
    }
    let progress = Progress::new(context.output, "checksum");
    Ok(Some(source.sha256(&|done, total| progress.set(done, total))?))
}

/// Bytes of a file that take no space on its disk.
fn hole_bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len().saturating_sub(meta.blocks() * 512))
}

/// Sends `source`: a thread reads it while `send` takes it from a pipe.
pub fn upload<T>(
    context: &Context,
    source: image::Source,
    what: &str,
    send: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let (mut body, mut pipe) = io::pipe().map_err(Failure::local("make a pipe"))?;
    let progress = Progress::new(context.output, what);
    let (report, outcome) = mpsc::channel();
    let reader = move || {
        let result = source.copy_to(&mut pipe, &|done, total| progress.set(done, total));
        drop(progress);
        // The receiver waits for this, or has panicked.
        let _ = report.send(result);
    };
    let thread = context
        .env
        .threads()
        .spawn("image-reader", Box::new(reader))
        .map_err(Failure::local("start a thread"))?;
    let answer = send(&mut body);
    // The reader, if it still runs, finds nobody at the other end and stops.
    drop(body);
    thread.join().map_err(|panicked| Failure::new(Kind::Local, panicked.to_string()))?;
    match outcome.recv() {
        // It stopped because the server did; the server knows why.
        Ok(Ok(_) | Err(ImageError::Output(_))) => answer,
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::new(Kind::Local, "the thread that reads the file gave no result")),
    }
}

/// Bytes of a file or a pipe on their way to the server. Keeps what the file
/// said when it failed, which the network's error would hide.
pub struct Sending<R> {
    input: R,
    progress: Progress,
    done: u64,
    total: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Sending<R> {
    /// `total` is 0 when it is not known.
    pub fn new(input: R, progress: Progress, total: u64) -> Self {
        Self { input, progress, done: 0, total, failed: None }
    }

    /// Bytes that were read of it.
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// Why the input failed, if it did.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }
}

impl<R: Read> Read for Sending<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.input.read(out) {
            Ok(count) => {
                self.done += count as u64;
                self.progress.set(self.done, self.total);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Err(copy)
            }
        }
    }
}

/// Copies a stream as it is, verifying it on the way; returns its bytes.
///
/// `failed` makes a failure of the output into words.
pub fn copy_verified(
    context: &Context,
    stream: &mut dyn Read,
    out: &mut dyn Write,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<u64> {
    let out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut tee = Tee { input: stream, out, copied: 0, failed: None };
    let progress = Progress::new(context.output, "sending");
    let verified = verify(&mut tee, &progress);
    if let Some(error) = tee.failed.take() {
        return Err(failed(error));
    }
    verified.map_err(|error| cut_off(error.into()))?;
    tee.out.flush().map_err(failed)?;
    Ok(tee.copied)
}

fn verify(input: &mut dyn Read, progress: &Progress) -> Result<(), StreamError> {
    let mut reader = Reader::new(input)?;
    let size = reader.header().size;
    loop {
        match reader.next()? {
            Record::Data { offset, bytes } => progress.set(offset + bytes.len() as u64, size),
            Record::Zero { offset, len } => progress.set(offset + len, size),
            Record::End => return Ok(()),
        }
    }
}

struct Tee<'a, W> {
    input: &'a mut dyn Read,
    out: W,
    copied: u64,
    failed: Option<io::Error>,
}

impl<W: Write> Read for Tee<'_, W> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        if let Err(error) = self.out.write_all(&into[..count]) {
            self.failed = Some(error);
            return Err(io::Error::other("the output failed"));
        }
        self.copied += count as u64;
        Ok(count)
    }
}

/// Writes a file that appears under its name when `fill` has succeeded and all
/// of it is durable, and not before.
pub fn write_whole(
    path: &Path,
    force: bool,
    fill: impl FnOnce(&mut File) -> Result<u64>,
) -> Result<u64> {
    refuse_existing(path, force)?;
    let shown = path.display();
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".archipelago-")
        .suffix(".part")
        .tempfile_in(&dir)
        .map_err(Failure::local(format_args!("write to '{}'", dir.display())))?;
    let bytes = fill(file.as_file_mut())?;
    let write = || Failure::local(format!("write '{shown}'"));
    file.as_file().sync_all().map_err(write())?;
    let published = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match published {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(exists(path));
        }
        Err(error) => return Err(write()(error.error)),
    }
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(write())?;
    Ok(bytes)
}

/// Refuses a target that exists before the server is bothered.
pub fn refuse_existing(path: &Path, force: bool) -> Result {
    if is_standard(path) {
        return Err(Failure::usage("'-' is no file here: what is fetched goes to a file").remedy(
            "give the name of a file (/dev/stdout is none); `snapshot send` writes streams",
        ));
    }
    match fs::symlink_metadata(path) {
        Ok(meta) if force && (meta.is_file() || meta.is_symlink()) => Ok(()),
        Ok(_) if force => {
            Err(Failure::new(Kind::Local, format!("'{}' is not a file", path.display()))
                .remedy("give the name of a file"))
        }
        Ok(_) => Err(exists(path)),
        Err(_) => Ok(()),
    }
}

fn exists(path: &Path) -> Failure {
    let message = format!("'{}' exists and was left as it is", path.display());
    Failure::new(Kind::Local, message).remedy("choose another name, or say --force")
}

/// Bulk data and terminals do not go together.
pub fn refuse_terminal(stream: &impl io::IsTerminal, what: &str, remedy: &str) -> Result {
    if stream.is_terminal() { Err(Failure::usage(what).remedy(remedy)) } else { Ok(()) }
}

/// A download that failed. One that stops short was cut off by the server,
/// which had sent its success already.
pub fn cut_off(error: ImageError) -> Failure {
    let short =
        matches!(error, ImageError::Stream(StreamError::Io(_) | StreamError::Truncated { .. }));
    if let ImageError::Stream(StreamError::Sender(reason)) = &error {
        return Failure::new(Kind::Store, format!("the server could not go on: {}", plain(reason)))
            .remedy("nothing was kept");
    }
    let failure = Failure::from(error);
    if short {
        failure.remedy("nothing was kept; the log of `archipelago serve` says why it stopped")
    } else {
        failure
    }
}

#[cfg(test)]
mod tests;
