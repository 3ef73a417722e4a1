//! Which blocks of a buffer hold anything: holes are found here, whatever the
//! format.

use std::ops::Range;

use archipelago_model::BLOCK_BYTES;

const BLOCK: usize = BLOCK_BYTES as usize;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The runs of 4 KiB blocks of `bytes` that are not all zeros, in order, each
/// as long as can be. A last block may be shorter.
pub(crate) fn nonzero_runs(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let is_zero = |from: usize| {
            let block = &bytes[from..(from + BLOCK).min(bytes.len())];
            block == &ZEROS[..block.len()]
        };
        while at < bytes.len() && is_zero(at) {
            at += BLOCK;
        }
        let start = at;
        while at < bytes.len() && !is_zero(at) {
            at += BLOCK;
        }
        (start < at).then(|| start..at.min(bytes.len()))
    })
}

#[cfg(test)]
mod tests;
