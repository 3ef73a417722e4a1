//! What packed units hold.

use std::io::Read;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::{Bytes, Error, Image, Pack, Piece, Place};

/// As base-2 logarithm: memory that a frame may ask for. Units have 2^21 bytes at most.
const WINDOW_LOG_MAX: u32 = 22;

/// The bytes of a piece that is the beginning of a packed unit.
pub(crate) fn unpack(image: &Image, file: &dyn Bytes, piece: &Piece) -> Result<Vec<u8>, Error> {
    let Place::Packed { offset, len } = piece.place else {
        return Err(Error::damaged("a cluster of it is not packed"));
    };
    // The walk has seen that it lies in the file, and is not much longer than a unit.
    let mut packed = vec![0; len as usize];
    file.read(offset, &mut packed).map_err(Error::Read)?;
    // A whole unit and not the piece alone: what is left of a unit behind the disk's end is
    // packed, too.
    let mut out = vec![0; image.unit as usize];
    let filled = match image.pack {
        Pack::Deflate => inflate(&packed, &mut out, 0),
        Pack::Zlib => inflate(&packed, &mut out, TINFL_FLAG_PARSE_ZLIB_HEADER),
        Pack::Zstd => decode(&packed, &mut out),
    };
    if (filled as u64) < piece.len {
        return Err(Error::damaged(format!("what is at byte {offset} does not unpack")));
    }
    out.truncate(piece.len as usize);
    Ok(out)
}

/// Gives how many bytes came out; a stream may go on behind what fits, or be followed by
/// other bytes.
fn inflate(packed: &[u8], out: &mut [u8], flags: u32) -> usize {
    let flags = flags | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    match decompress(&mut state, packed, out, 0, flags) {
        (TINFLStatus::Done | TINFLStatus::HasMoreOutput, _, filled) => filled,
        _ => 0,
    }
}

fn decode(packed: &[u8], out: &mut [u8]) -> usize {
    let Ok(decoder) = zstd::stream::read::Decoder::with_buffer(packed) else { return 0 };
    let mut decoder = decoder.single_frame();
    if decoder.window_log_max(WINDOW_LOG_MAX).is_err() {
        return 0;
    }
    let mut filled = 0;
    while filled < out.len() {
        match decoder.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(_) => return 0,
        }
    }
    filled
}
