//! An image to import: what it is, and its way into a transfer stream.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use archipelago_format::stream::{Header, Writer};
use archipelago_model::{SECTOR_BYTES, VOLUME_BYTES_MAX};
use sha2::{Digest, Sha256};

use crate::detect::{Detected, HEAD_BYTES, detect};
use crate::guest::{Guest, READ_BYTES, copy};
use crate::input::{Input, Opened};
use crate::os::guess_os;
use crate::qcow2::{self, Qcow2};
use crate::qemu::QemuImage;
use crate::raw::{Raw, read_up_to};
use crate::{Format, ImageError, Progress, no_progress, scratch, vdi, vmdk};

/// What a file is, as far as its header tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// By the first bytes.
    pub format: Format,
    /// Of the disk, in bytes: whole sectors.
    pub virtual_size: u64,
    /// By the file's name; see [`guess_os`].
    pub os_guess: Option<String>,
    /// Of the file, in bytes. A VMDK of several files counts only the first.
    pub file_bytes: u64,
}

/// What [`Source::copy_to`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Of the resource, in bytes: what the stream's header says.
    pub size: u64,
    /// Bytes that were not zero, and so were sent.
    pub data_bytes: u64,
}

/// An image, open and checked, ready to be sent.
pub struct Source {
    opened: Opened,
    format: Format,
    size: u64,
    route: Route,
    scratch: PathBuf,
}

/// Who reads it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Raw,
    Imago,
    QemuImg {
        /// It has files beside it, which only its path leads to.
        by_path: bool,
        /// Of the disk, in bytes, as qemu-img has it.
        virtual_size: u64,
    },
}

/// Looks at a file: its format, by its first bytes, and its size.
///
/// Follows nothing that the file names. May run `qemu-img`.
///
/// # Errors
/// It cannot be read, is not an image, is damaged, or is only a part of one.
pub fn probe(path: &Path) -> Result<Probe, ImageError> {
    let source = open(Input::Path(path), None, &std::env::temp_dir(), &no_progress)?;
    Ok(Probe {
        format: source.format,
        virtual_size: source.size,
        os_guess: source.os_guess(),
        file_bytes: source.opened.len,
    })
}

/// Opens an image.
///
/// `format` is believed over the first bytes only where it is raw, as that has
/// no mark of its own. Temporary files, of up to the size of the disk, are made
/// in `scratch` and have no names, so none is ever left. `progress` hears of
/// the copying of a stream, with a total of 0.
///
/// # Errors
/// As [`probe`]; or the image has another format than said.
pub fn open(
    input: Input<'_>,
    format: Option<Format>,
    scratch: &Path,
    progress: Progress<'_>,
) -> Result<Source, ImageError> {
    let opened = Opened::new(input, scratch, progress)?;
    if opened.len == 0 {
        return Err(ImageError::Empty(opened.path));
    }
    let format = choose_format(&opened, format)?;
    let (virtual_size, route) = inspect(&opened, format)?;
    if virtual_size > VOLUME_BYTES_MAX {
        return Err(ImageError::TooLarge { path: opened.path, size: virtual_size });
    }
    // At most 64 TiB, so this does not overflow.
    let size = virtual_size.next_multiple_of(SECTOR_BYTES);
    Ok(Source { opened, format, size, route, scratch: scratch.to_owned() })
}

/// Opens any file as the bytes that it has: no format, no rounding of the size,
/// which may be 0. For putting files.
///
/// # Errors
/// It cannot be read, or is over 64 TiB.
pub fn open_bytes(
    input: Input<'_>,
    scratch: &Path,
    progress: Progress<'_>,
) -> Result<Source, ImageError> {
    let opened = Opened::new(input, scratch, progress)?;
    let size = opened.len;
    if size > VOLUME_BYTES_MAX {
        return Err(ImageError::TooLarge { path: opened.path, size });
    }
    let scratch = scratch.to_owned();
    Ok(Source { opened, format: Format::Raw, size, route: Route::Raw, scratch })
}

fn choose_format(opened: &Opened, wanted: Option<Format>) -> Result<Format, ImageError> {
    if wanted == Some(Format::Raw) {
        return Ok(Format::Raw);
    }
    let mut head = [0; HEAD_BYTES];
    let len =
        read_up_to(&opened.file, 0, &mut head).map_err(ImageError::io("read", &opened.path))?;
    let path = opened.path.clone();
    match (detect(&head[..len]), wanted) {
        (Detected::Image(found), None) => Ok(found),
        (Detected::Image(found), Some(wanted)) if found == wanted => Ok(found),
        (Detected::Image(found), Some(wanted)) => {
            Err(ImageError::OtherFormat { path, wanted, found })
        }
        (Detected::Other(what), _) => Err(ImageError::unsupported(&path, what)),
    }
}

/// The size of the disk in bytes, and who can read it.
fn inspect(opened: &Opened, format: Format) -> Result<(u64, Route), ImageError> {
    let (file, path, len) = (&opened.file, opened.path.as_path(), opened.len);
    let mut by_path = false;
    match format {
        Format::Raw => return Ok((len, Route::Raw)),
        Format::Qcow2 => {
            let header = qcow2::audit(file, path, len)?;
            if header.for_imago {
                return Ok((header.size, Route::Imago));
            }
        }
        Format::Vmdk => {
            let dir = path.parent().filter(|_| opened.named);
            by_path = vmdk::audit(file, path, dir)?;
        }
        Format::Vdi => vdi::audit(file, path, len)?,
        Format::Vhdx => {}
    }
    let info = qemu_image(opened, format, by_path)?.info()?;
    if let Some(backing) = info.backing {
        return Err(ImageError::Backing { path: path.to_owned(), backing });
    }
    if info.encrypted {
        return Err(ImageError::Encrypted(path.to_owned()));
    }
    if info.virtual_size == 0 {
        return Err(ImageError::Empty(path.to_owned()));
    }
    let virtual_size = info.virtual_size;
    Ok((virtual_size, Route::QemuImg { by_path, virtual_size }))
}

fn qemu_image(opened: &Opened, format: Format, by_path: bool) -> Result<QemuImage<'_>, ImageError> {
    if by_path {
        QemuImage::of_path(&opened.path, format)
    } else {
        Ok(QemuImage::of_file(&opened.file, &opened.path, format))
    }
}

impl Source {
    /// By the first bytes, or as said at [`open`].
    pub fn format(&self) -> Format {
        self.format
    }

    /// Of the disk, in bytes: whole sectors (of a file: exact).
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of the file as given, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.opened.len
    }

    /// By the file's name; `None` for a stream.
    pub fn os_guess(&self) -> Option<String> {
        guess_os(self.opened.path.file_name()?.to_str()?)
    }

    /// The SHA-256, in hex, of the file as given: what its publisher lists.
    /// Reads the file once, unless it came as a stream or was asked before.
    ///
    /// # Errors
    /// The file cannot be read, or changed since it was opened.
    pub fn sha256(&mut self, progress: Progress<'_>) -> Result<String, ImageError> {
        if let Some(known) = &self.opened.sha256 {
            return Ok(known.clone());
        }
        let (mut digest, mut at) = (Sha256::new(), 0);
        let mut buffer = vec![0; READ_BYTES];
        while at < self.opened.len {
            let count = read_up_to(&self.opened.file, at, &mut buffer)
                .map_err(ImageError::io("read", &self.opened.path))?;
            if count == 0 {
                break;
            }
            digest.update(&buffer[..count]);
            at += count as u64;
            progress(at.min(self.opened.len), self.opened.len);
        }
        self.opened.unchanged()?;
        let sha256 = hex::encode(digest.finalize());
        self.opened.sha256 = Some(sha256.clone());
        Ok(sha256)
    }

    /// Sends the disk, as a full transfer stream: only what is not zero.
    ///
    /// `progress` counts bytes of the disk; where `qemu-img` has to convert
    /// first, that is the first half of them. A stream that failed has no end
    /// record, and its receiver keeps nothing.
    ///
    /// # Errors
    /// The image is damaged or changed meanwhile, or `out` fails.
    pub fn copy_to(
        &self,
        out: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<Summary, ImageError> {
        let (file, path) = (&self.opened.file, self.opened.path.as_path());
        match self.route {
            Route::Raw => {
                self.send(&mut Raw::new(self.again()?, path, self.opened.len), out, progress)
            }
            Route::Imago => {
                self.send(&mut Qcow2::open(file, path, self.opened.len)?, out, progress)
            }
            Route::QemuImg { by_path, virtual_size } => {
                let total = self.size * 2;
                let image = qemu_image(&self.opened, self.format, by_path)?;
                image.check()?;
                let converted = scratch::unnamed(&self.scratch)?;
                image.convert(&converted, virtual_size, &|done, _| progress(done, total))?;
                let len = virtual_size;
                let mut raw = Raw::new(converted, &self.scratch, len);
                self.send(&mut raw, out, &|done, _| progress(self.size + done, total))
            }
        }
    }

    fn again(&self) -> Result<File, ImageError> {
        self.opened.file.try_clone().map_err(ImageError::io("open", &self.opened.path))
    }

    fn send(
        &self,
        guest: &mut dyn Guest,
        out: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<Summary, ImageError> {
        let header = Header { size: self.size, ..Header::default() };
        let out = BufWriter::new(out);
        let mut writer = Writer::new(out, &header).map_err(ImageError::Output)?;
        let data_bytes = copy(guest, self.size, &mut writer, progress)?;
        self.opened.unchanged()?;
        writer.finish().map_err(ImageError::Output)?;
        Ok(Summary { size: self.size, data_bytes })
    }
}
