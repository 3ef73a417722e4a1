//! The body of a segment of bulk data: slots without a gap, each by its checksum,
//! unpacked, and its blocks by their fingerprints.

use archipelago_format::crc32c;
use archipelago_format::segment::{Codec, FINGERPRINT_BYTES, Fingerprint, HEADER_BYTES, Slot};
use archipelago_model::{BLOCK_BYTES, SECTOR_BYTES};

use super::footer::Footer;
use super::reader::Halt;
use super::{Lost, Scrub};
use crate::segments::unpack_zstd;

/// A chunk's raw bytes are at most this many: 16 MiB, the limit of its length field.
const CHUNK_BYTES_MAX: usize = 1 << 24;

impl Scrub<'_> {
    pub(super) fn body(&mut self, footer: &Footer) -> Result<(), Halt> {
        let mut prints = Prints { footer, next: 0 };
        // Where the next slot has to begin; unknown behind a damaged page.
        let mut expected = Some(HEADER_BYTES as u64);
        for slot in footer.slots() {
            let Some((slot, end)) = slot else {
                expected = None;
                continue;
            };
            let offset = u64::from(slot.offset);
            if expected.is_none() {
                // What the damaged page had cannot be compared; that it is lost was said.
                prints.skip(slot.position);
            }
            if let Some(at) = expected.filter(|&at| at != offset) {
                let lost = self.positions(slot.position, end);
                let what = format!("slot: begins at byte {offset} where the last ends at {at}");
                self.damaged(at.min(offset), at.abs_diff(offset), lost, what);
            }
            expected = Some(offset + u64::from(slot.stored));
            self.slot(slot, end, &mut prints)?;
        }
        let body = footer.directory.body_bytes;
        if let Some(at) = expected.filter(|&at| at != body) {
            let what = "the slots do not end where the footer begins";
            let lost = Some(Lost::Segment(self.reader.id()));
            self.damaged(at.min(body), at.abs_diff(body), lost, what);
        }
        Ok(())
    }

    fn slot(&mut self, slot: &Slot, end: u32, prints: &mut Prints<'_>) -> Result<(), Halt> {
        let (offset, stored) = (u64::from(slot.offset), u64::from(slot.stored));
        let lost = self.positions(slot.position, end);
        let Some(bytes) = self.reader.take(offset, slot.stored as usize)? else {
            self.unreadable(offset, stored, lost, "chunk");
            prints.skip(end);
            return Ok(());
        };
        let got = crc32c(bytes);
        let raw_bytes = (end - slot.position) as usize * SECTOR_BYTES as usize;
        let unpacked = if got == slot.crc {
            unpack(slot.codec, bytes, raw_bytes)
        } else {
            Err(format!("checksum {got:08x} where {:08x} is recorded", slot.crc))
        };
        match unpacked {
            Ok(raw) => self.compare(slot.position, end, &raw, prints),
            Err(what) => {
                self.damaged(offset, stored, lost, format!("chunk: {what}"));
                prints.skip(end);
            }
        }
        Ok(())
    }

    /// Compares a chunk with the fingerprints of its blocks. Map nodes have none.
    fn compare(&mut self, position: u32, end: u32, raw: &[u8], prints: &mut Prints<'_>) {
        while let Some((print, at)) = prints.before(end) {
            let block = print.position.checked_sub(position).and_then(|skip| {
                let from = skip as usize * SECTOR_BYTES as usize;
                raw.get(from..from + BLOCK_BYTES as usize)
            });
            let what = match block {
                None => "fingerprint: not of a block of one chunk",
                Some(block) if (self.fingerprint)(block) != print.hash => {
                    "fingerprint: not that of its block"
                }
                Some(_) => continue,
            };
            self.damaged(at, FINGERPRINT_BYTES as u64, None, what);
        }
    }
}

/// The fingerprints, gone through in the order of the slots.
struct Prints<'a> {
    footer: &'a Footer,
    next: usize,
}

impl Prints<'_> {
    /// The next one if it begins before `end`, and where it is in the file.
    fn before(&mut self, end: u32) -> Option<(Fingerprint, u64)> {
        let print = *self.footer.prints.as_ref()?.get(self.next)?;
        if print.position >= end {
            return None;
        }
        let at = self.footer.directory.fingerprints.offset + (self.next * FINGERPRINT_BYTES) as u64;
        self.next += 1;
        Some((print, at))
    }

    fn skip(&mut self, end: u32) {
        while self.before(end).is_some() {}
    }
}

/// The raw bytes of a slot, exactly as many as it must have.
fn unpack(codec: Codec, stored: &[u8], raw_bytes: usize) -> Result<Vec<u8>, String> {
    if raw_bytes > CHUNK_BYTES_MAX {
        return Err("larger than any chunk".to_owned());
    }
    let raw = match codec {
        Codec::Raw => stored.to_vec(),
        Codec::Zstd => unpack_zstd(stored, raw_bytes).map_err(|error| format!("zstd: {error}"))?,
        Codec::Lz4 => {
            let mut raw = vec![0; raw_bytes];
            let n = lz4_flex::block::decompress_into(stored, &mut raw)
                .map_err(|error| format!("lz4: {error}"))?;
            raw.truncate(n);
            raw
        }
        Codec::Zero if stored.is_empty() => return Ok(Vec::new()),
        Codec::Zero => return Err("bytes where none should be".to_owned()),
    };
    if raw.len() == raw_bytes {
        Ok(raw)
    } else {
        Err(format!("unpacks to {} bytes of {raw_bytes}", raw.len()))
    }
}
