//! The bytes of a file, of which only what was written takes memory.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that are kept and shared as one.
const PAGE: usize = 4096;

type Page = Arc<[u8; PAGE]>;

/// Bytes and their number. A clone shares the pages until one side writes.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    pages: BTreeMap<u64, Page>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buf` as far as there are bytes; returns how many.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let there = self.len.saturating_sub(offset);
        let len = usize::try_from(there).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..len];
        for (page, skip, part) in pieces(offset, len) {
            match self.pages.get(&page) {
                Some(bytes) => {
                    buf[part.clone()].copy_from_slice(&bytes[skip..skip + part.len()]);
                }
                None => buf[part].fill(0),
            }
        }
        len
    }

    /// Writes, and grows where needed.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (page, skip, part) in pieces(offset, bytes.len()) {
            let target = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            let len = part.len();
            Arc::make_mut(target)[skip..skip + len].copy_from_slice(&bytes[part]);
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Cuts, or grows with zeros.
    pub(super) fn resize(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE as u64));
            let kept = (len % PAGE as u64) as usize;
            if let Some(page) = self.pages.get_mut(&(len / PAGE as u64)) {
                Arc::make_mut(page)[kept..].fill(0);
            }
        }
        self.len = len;
    }

    /// Flips bits of one byte; whether there is such a byte.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) -> bool {
        let mut byte = [0];
        if self.read(offset, &mut byte) == 0 {
            return false;
        }
        self.write(offset, &[byte[0] ^ mask]);
        true
    }
}

/// Splits a range of bytes at the borders of pages: the page, where in it the
/// piece begins, and which part of the whole the piece is.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let skip = (at % PAGE as u64) as usize;
        let part = done..len.min(done + PAGE - skip);
        done = part.end;
        Some((at / PAGE as u64, skip, part))
    })
}

#[cfg(test)]
mod tests;
