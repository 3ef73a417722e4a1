//! Entry points for fuzzers: what parses the bytes of a stranger, without the
//! programs and the files beside it that an import may call for.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use archipelago_format::stream::{Header, Writer};

use crate::detect::{HEAD_BYTES, detect};
use crate::qcow2::{self, Qcow2};
use crate::raw::read_up_to;
use crate::{ImageError, guest, no_progress, vdi, vmdk};

/// A folder that holds nothing, so that no extent of a VMDK is found.
const NOWHERE: &str = "/proc/self/fdinfo/nothing";
const NAME: &str = "x";

/// Tells the format, and audits as every format that is audited here. Gives what
/// was refused.
pub fn headers(file: &File, file_bytes: u64) -> Vec<ImageError> {
    let path = Path::new(NAME);
    let mut head = [0; HEAD_BYTES];
    let read = read_up_to(file, 0, &mut head).map_err(ImageError::io("read", path));
    let detected = read.map(|len| detect(&head[..len]));
    [
        detected.err(),
        qcow2::audit(file, path, file_bytes).err(),
        vmdk::audit(file, path, None).err(),
        vmdk::audit(file, path, Some(Path::new(NOWHERE))).err(),
        vdi::audit(file, path, file_bytes).err(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Imports a qcow2 image into `out`, as a transfer stream. What is for `qemu-img` is
/// only audited.
///
/// # Errors
/// The image is refused or damaged, or `out` fails.
pub fn qcow2(file: &File, file_bytes: u64, out: &mut dyn Write) -> Result<(), ImageError> {
    let path = Path::new(NAME);
    let header = qcow2::audit(file, path, file_bytes)?;
    if !header.for_imago {
        return Ok(());
    }
    let size = header.size.next_multiple_of(archipelago_model::SECTOR_BYTES);
    let mut guest = Qcow2::open(file, path, file_bytes)?;
    let mut writer =
        Writer::new(out, &Header { size, ..Header::default() }).map_err(ImageError::Output)?;
    guest::copy(&mut guest, size, &mut writer, &no_progress)?;
    writer.finish().map_err(ImageError::Output)?;
    Ok(())
}
