//! The body of a segment of the log: the chain of batches from the front, compared
//! with the slots and the records of the footer.
//!
//! Where the chain breaks, a header is damaged, or a batch could not be written. In
//! the second case the footer has no record of its positions, and what lies there
//! is not looked at: nobody was ever told that it is stored.

use std::ops::Range;

use archipelago_format::batch::{Header, Record};
use archipelago_format::crc32c;
use archipelago_format::segment::{Codec, HEADER_BYTES, SLOT_PAGE_BYTES, Slot};
use archipelago_model::SECTOR_BYTES;

use super::Scrub;
use super::footer::Footer;
use super::reader::Halt;
use crate::log::slots_of;

const SECTOR: usize = SECTOR_BYTES as usize;

/// A batch whose header is sound, and where its payload is in the file.
struct Batch {
    header: Header,
    payload_at: u64,
    end: u64,
}

impl Batch {
    fn positions(&self) -> Range<u32> {
        let first = self.header.location.position();
        first..first + self.header.positions() as u32
    }
}

impl Scrub<'_> {
    pub(super) fn log(&mut self, footer: &Footer) -> Result<(), Halt> {
        let body = footer.directory.body_bytes;
        let mut at = HEADER_BYTES as u64;
        let mut position = 0;
        while at < body {
            let batch = self.batch(at, footer)?;
            match batch.filter(|batch| batch.positions().start >= position) {
                Some(batch) => {
                    self.skipped(position..batch.positions().start, footer);
                    self.sound(&batch, footer)?;
                    (at, position) = (batch.end, batch.positions().end);
                }
                None => {
                    let (next, next_position) = self.next_batch(at, position, footer)?;
                    self.broken(at..next, position..next_position, footer)?;
                    (at, position) = (next, next_position);
                }
            }
        }
        self.skipped(position..footer.directory.end, footer);
        Ok(())
    }

    /// The batch at byte `at`, if a valid one is there and lies in the body.
    fn batch(&mut self, at: u64, footer: &Footer) -> Result<Option<Batch>, Halt> {
        let segment = &footer.directory.header;
        let Some(sector) = self.reader.take(at, SECTOR)? else {
            return Ok(None);
        };
        let Ok(sectors) = Header::peek(sector, segment.id) else {
            return Ok(None);
        };
        let Some(bytes) = self.reader.take(at, sectors * SECTOR)? else {
            return Ok(None);
        };
        let Ok(header) = Header::decode(bytes, segment.id, segment.salt) else {
            return Ok(None);
        };
        let payload_at = at + header.sectors * SECTOR_BYTES;
        let end = payload_at + header.payload_sectors() * SECTOR_BYTES;
        let inside = end <= footer.directory.body_bytes;
        Ok(inside.then_some(Batch { header, payload_at, end }))
    }

    /// Where the chain goes on behind `at`, and at which position. The salt in the
    /// checksum lets nothing else pass for a batch.
    fn next_batch(&mut self, at: u64, position: u32, footer: &Footer) -> Result<(u64, u32), Halt> {
        let mut probe = at + SECTOR_BYTES;
        while probe < footer.directory.body_bytes {
            if let Some(batch) = self.batch(probe, footer)?
                && batch.positions().start >= position
            {
                return Ok((probe, batch.positions().start));
            }
            probe += SECTOR_BYTES;
        }
        Ok((footer.directory.body_bytes, footer.directory.end))
    }

    /// Verifies the payload of a batch, and that the footer says the same of it.
    fn sound(&mut self, batch: &Batch, footer: &Footer) -> Result<(), Halt> {
        let positions = batch.positions();
        let mut position = positions.start;
        let mut records = Vec::with_capacity(batch.header.records.len());
        for record in &batch.header.records {
            records.push((position, *record));
            position += record.positions() as u32;
        }
        let noted = footer.noted(&positions);
        if noted.is_some_and(<[_]>::is_empty) {
            // Written, perhaps in part, but its writer was told that it failed.
            self.unverified += batch.end - batch.payload_at;
            return Ok(());
        }
        if noted.is_some_and(|noted| noted != records) {
            let section = footer.directory.records;
            self.damaged(section.offset, section.len, None, "records: not those of the batches");
        }
        let Header { records, crcs, .. } = &batch.header;
        let slots = slots_of(records, crcs, positions.start, batch.payload_at as u32);
        let ends = slots.iter().skip(1).map(|slot| slot.position).chain([positions.end]);
        for (slot, end) in slots.iter().zip(ends) {
            self.compare_slot(slot, end, footer);
            self.piece(slot, end)?;
        }
        Ok(())
    }

    /// The slot table must say the same of a piece as its batch.
    fn compare_slot(&mut self, slot: &Slot, end: u32, footer: &Footer) {
        let (offset, bytes) = match footer.slot_at(slot.position) {
            None => return,
            Some(Some((same, _))) if same == slot => return,
            Some(Some((_, at))) => (at, Slot::BYTES as u64),
            Some(None) => (footer.directory.slots.offset, SLOT_PAGE_BYTES as u64),
        };
        let lost = self.positions(slot.position, end);
        self.damaged(offset, bytes, lost, "slot: not that of its batch");
    }

    /// Verifies the bytes of a piece, and the zeros up to the next sector.
    fn piece(&mut self, slot: &Slot, end: u32) -> Result<(), Halt> {
        if slot.codec == Codec::Zero {
            return Ok(());
        }
        let (offset, len) = (u64::from(slot.offset), u64::from(slot.stored));
        let lost = self.positions(slot.position, end);
        match self.reader.take(offset, slot.stored as usize)?.map(crc32c) {
            Some(got) if got == slot.crc => {}
            Some(got) => {
                let what = format!("piece: checksum {got:08x} where {:08x} is recorded", slot.crc);
                self.damaged(offset, len, lost, what);
            }
            None => self.unreadable(offset, len, lost, "piece"),
        }
        let padding = len.next_multiple_of(SECTOR_BYTES) - len;
        if padding > 0 {
            self.zeros(offset + len, padding)?;
        }
        Ok(())
    }

    /// Positions that no batch has must hold nothing.
    fn skipped(&mut self, positions: Range<u32>, footer: &Footer) {
        if footer.noted(&positions).is_some_and(|noted| !noted.is_empty()) {
            let section = footer.directory.records;
            let lost = self.positions(positions.start, positions.end);
            let what = "records: of a batch that is not there";
            self.damaged(section.offset, section.len, lost, what);
        }
    }

    /// A stretch without a sound header: what the footer knows of it is verified.
    fn broken(
        &mut self,
        range: Range<u64>,
        positions: Range<u32>,
        footer: &Footer,
    ) -> Result<(), Halt> {
        let noted = footer.noted(&positions);
        if noted.is_some_and(<[_]>::is_empty) {
            self.unverified += range.end - range.start;
            return Ok(());
        }
        let is_noted = |position: u32| {
            noted.is_none_or(|noted| {
                let after = noted.partition_point(|(at, _)| *at <= position);
                let last = after.checked_sub(1).and_then(|n| noted.get(n));
                last.is_some_and(|(at, record)| u64::from(position - at) < record.positions())
            })
        };
        let mut at = range.start;
        for (slot, end) in footer.slots().flatten() {
            if !positions.contains(&slot.position) || !is_noted(slot.position) {
                continue;
            }
            let offset = u64::from(slot.offset);
            if at < offset && offset <= range.end {
                self.header_of_batch(at..offset);
                at = offset;
            }
            self.piece(slot, end)?;
            at = at.max(offset + u64::from(slot.stored).next_multiple_of(SECTOR_BYTES));
        }
        if at < range.end {
            self.header_of_batch(at..range.end);
        }
        Ok(())
    }

    /// Readers use the footer; only recovery would need the header of a batch.
    fn header_of_batch(&mut self, range: Range<u64>) {
        let what = "header of a batch: wrong checksum";
        self.damaged(range.start, range.end - range.start, None, what);
    }
}

impl Footer {
    /// The records that begin in these positions, unless the records are damaged.
    fn noted(&self, positions: &Range<u32>) -> Option<&[(u32, Record)]> {
        let records = self.records.as_ref()?;
        let from = records.partition_point(|(at, _)| *at < positions.start);
        let to = records.partition_point(|(at, _)| *at < positions.end);
        Some(records.get(from..to).unwrap_or_default())
    }
}
