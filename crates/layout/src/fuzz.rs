//! Entry point for fuzzers.

use crate::{Bytes, Error, Format, PACKED_UNIT_MAX, Place, ReadError, open};

struct Whole<'a>(&'a [u8]);

impl Bytes for Whole<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset)?;
        let end = start.checked_add(out.len()).ok_or("beyond the end")?;
        out.copy_from_slice(self.0.get(start..end).ok_or("beyond the end")?);
        Ok(())
    }
}

/// Units that are unpacked at most, so that an input takes little time.
const UNPACKED_MAX: usize = 64;

/// Walks a file as if it were of each format, and unpacks. Gives what was refused.
///
/// # Panics
/// A read went beyond the end of the file, or pieces are not in order.
pub fn layouts(file: &[u8]) -> Vec<Error> {
    let formats = [Format::Qcow2, Format::Vmdk, Format::Vhdx, Format::Vdi];
    formats.into_iter().filter_map(|format| layout(format, &Whole(file)).err()).collect()
}

fn layout(format: Format, file: &Whole<'_>) -> Result<(), Error> {
    let image = open(format, file)?;
    let (mut walk, mut end, mut unpacked) = (image.walk(file), 0, 0);
    while let Some(piece) = walk.next_piece()? {
        assert!(piece.at >= end && piece.len > 0, "pieces are in order");
        end = piece.at + piece.len;
        assert!(end <= image.size(), "pieces are on the disk");
        if matches!(piece.place, Place::Packed { .. }) && unpacked < UNPACKED_MAX {
            assert!(piece.len <= PACKED_UNIT_MAX, "a unit is bounded");
            unpacked += 1;
            let bytes = image.unpack(file, &piece)?;
            assert_eq!(bytes.len() as u64, piece.len, "a piece is whole");
        }
    }
    Ok(())
}
