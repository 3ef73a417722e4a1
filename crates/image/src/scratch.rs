//! Temporary files without a name: whatever ends the process, the kernel
//! cleans up.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::ImageError;

/// A file in `dir` that nobody else can open by a name.
pub(crate) fn unnamed(dir: &Path) -> Result<File, ImageError> {
    tempfile::tempfile_in(dir).map_err(ImageError::io("make a temporary file in", dir))
}

/// A path under which a child process can open our open file, named or not.
///
/// Also the safest way to hand over a file that has a name: what the child
/// opens is what we looked at, and no name can be read as an option, a URL or
/// a pseudo-protocol.
pub(crate) fn proc_path(file: &File) -> OsString {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}
