//! VDI: the one check that qemu-img leaves out.
//!
//! qemu-img reads a VDI file that was cut off as if zeros followed, without a
//! word. The header counts the blocks, so that this can be told beforehand.

use std::fs::File;
use std::path::Path;

use crate::ImageError;
use crate::raw::read_up_to;

/// Where the header has the offset of the first block, the size of a block and
/// the number of blocks allocated; all u32, little-endian.
const OFFSET_DATA: usize = 0x158;
const BLOCK_BYTES: usize = 0x178;
const BLOCKS_ALLOCATED: usize = 0x184;
const HEADER_BYTES: usize = 0x188;

/// Refuses a file that is shorter than its blocks.
pub(crate) fn audit(file: &File, path: &Path, file_bytes: u64) -> Result<(), ImageError> {
    let mut header = [0; HEADER_BYTES];
    let len = read_up_to(file, 0, &mut header).map_err(ImageError::io("read", path))?;
    let field = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&header[at..at + 4]);
        u64::from(u32::from_le_bytes(word))
    };
    // At most 2^32 + 2^64 - 2^33 + 1, in 128 bits.
    let end = u128::from(field(OFFSET_DATA))
        + u128::from(field(BLOCK_BYTES)) * u128::from(field(BLOCKS_ALLOCATED));
    if len < HEADER_BYTES || u128::from(file_bytes) < end {
        let what = format!("it has {file_bytes} bytes where its header needs {end}");
        return Err(ImageError::damaged(path, what));
    }
    Ok(())
}
