//! Reads, with what is known to be zeros told and not sent.

use crate::export::Export;
use crate::failure::Failure;
use crate::limits::{EXPORT_BYTES_MAX, HOLE_READ_BYTES_MIN, READ_PIECES_MAX};
use crate::proto::{Outbox, Style};
use crate::reply::{Piece, Token};
use crate::sectors;

/// A read request.
pub(crate) struct Read {
    pub(crate) token: Token,
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// The client wants the data in one piece.
    pub(crate) whole: bool,
}

/// Reads and appends the answer.
pub(crate) fn answer(export: &dyn Export, read: Read, out: &mut Outbox) {
    let Read { token, offset, len, whole } = read;
    let in_pieces = !whole && token.head().style != Style::Simple && len >= HOLE_READ_BYTES_MIN;
    let pieces = if in_pieces { pieces(export, offset, len) } else { None };
    let pieces = pieces.unwrap_or_else(|| vec![Piece { offset, len, hole: false }]);
    token.data(out, &pieces, |mut offset, buf| {
        for part in buf.chunks_mut(EXPORT_BYTES_MAX) {
            sectors::read(export, offset, part).map_err(Failure::from)?;
            offset += part.len() as u64;
        }
        Ok(())
    });
}

/// Where the data is, when it is not everywhere.
fn pieces(export: &dyn Export, offset: u64, len: usize) -> Option<Vec<Piece>> {
    if !sectors::is_aligned(offset, len as u64) {
        return None;
    }
    // When this fails the read will say why.
    let ranges = export.status(offset, len as u64, READ_PIECES_MAX - 1).ok()?;
    let mut pieces: Vec<Piece> = Vec::with_capacity(ranges.len() + 1);
    let (mut at, end) = (offset, offset + len as u64);
    let rest = Some((u64::MAX, false));
    for (len, zero) in ranges.iter().map(|range| (range.len, range.zero)).chain(rest) {
        let len = len.min(end - at) as usize;
        match pieces.last_mut() {
            _ if len == 0 => {}
            Some(last) if last.hole == zero => last.len += len,
            _ => pieces.push(Piece { offset: at, len, hole: zero }),
        }
        at += len as u64;
    }
    Some(pieces)
}
