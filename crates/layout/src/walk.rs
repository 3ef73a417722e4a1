//! Through the tables of an image, in the order of the disk.

use std::collections::VecDeque;

use archipelago_model::SECTOR_BYTES;

use crate::field::{be64, le32, le64, read};
use crate::{Bytes, Entries, Error, Image, Pages, Piece, Place, cut_off};

/// All packed units together have at most this many times the bytes of the file: more says
/// that they lie on one another. Sectors at their ends are shared, and so count twice.
const PACKED_SHARE_MAX: u64 = 2;
/// What a packed unit has at most beyond its unpacked length.
const PACKED_EXTRA_MAX: u64 = 64 << 10;
/// Before a grain of a stream-optimised VMDK: its sector, u64, and its length, u32.
const MARKER_BYTES: u64 = 12;

const QCOW2_OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const QCOW2_PACKED: u64 = 1 << 62;
const QCOW2_ZEROS: u64 = 1;
const SUBCLUSTERS: u64 = 32;

/// The stored pieces of a disk, in order, each as long as it can be.
pub struct Walk<'a> {
    image: &'a Image,
    file: &'a dyn Bytes,
    /// The next unit.
    unit: u64,
    /// The table that was read last, and its number.
    page: Vec<u8>,
    page_number: Option<u64>,
    /// May still become longer.
    last: Option<Piece>,
    ready: VecDeque<Piece>,
    packed_bytes: u64,
    /// Of all pieces so far that are stored as they are.
    stored_bytes: u64,
}

impl<'a> Walk<'a> {
    pub(crate) const fn new(image: &'a Image, file: &'a dyn Bytes) -> Self {
        Self {
            image,
            file,
            unit: 0,
            page: Vec::new(),
            page_number: None,
            last: None,
            ready: VecDeque::new(),
            packed_bytes: 0,
            stored_bytes: 0,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// As [`crate::open`].
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.unit.saturating_mul(self.image.unit) >= self.image.size {
                return Ok(self.last.take());
            }
            let number = self.unit / self.image.page_entries;
            if self.page_number != Some(number) && !self.load(number)? {
                self.unit = (number + 1) * self.image.page_entries;
                continue;
            }
            let index = (self.unit % self.image.page_entries) as usize;
            self.entry(index)?;
            self.unit += 1;
        }
    }

    /// Reads a table; false when it is not there.
    fn load(&mut self, number: u64) -> Result<bool, Error> {
        let image = self.image;
        let first = number * image.page_entries;
        let units = image.size.div_ceil(image.unit);
        let entries = (units - first).min(image.page_entries);
        let at = match &image.pages {
            // Callers stay below the size, which there are offsets for.
            Pages::Listed(offsets) => offsets.get(number as usize).copied().unwrap_or(0),
            Pages::Row { at, stride } => at + number * stride,
        };
        if at == 0 {
            return Ok(false);
        }
        self.page = read(self.file, at, entries * image.entries.bytes())?;
        self.page_number = Some(number);
        Ok(true)
    }

    fn entry(&mut self, index: usize) -> Result<(), Error> {
        let unit = self.image.unit;
        match self.image.entries {
            Entries::Qcow2 { zeros, sub } => self.qcow2(index, zeros, sub),
            Entries::Vmdk { zeros, packed } => match u64::from(le32(&self.page, index * 4)) {
                0 => Ok(()),
                1 if zeros => Ok(()),
                sector if packed => self.grain(sector * SECTOR_BYTES),
                sector => self.stored(0, unit, sector * SECTOR_BYTES),
            },
            Entries::Vhdx => {
                let entry = le64(&self.page, index * 8);
                match entry & 7 {
                    0..=3 => Ok(()),
                    6 => self.stored(0, unit, entry >> 20 << 20),
                    state => Err(Error::refused(format!(
                        "has a block in state {state}, as only differences have"
                    ))),
                }
            }
            Entries::Vdi { data } => match le32(&self.page, index * 4) {
                u32::MAX | 0xffff_fffe => Ok(()),
                block => self.stored(0, unit, data + u64::from(block) * unit),
            },
        }
    }

    fn qcow2(&mut self, index: usize, zeros: bool, sub: bool) -> Result<(), Error> {
        let unit = self.image.unit;
        let entry = be64(&self.page, index * self.image.entries.bytes() as usize);
        if entry & QCOW2_PACKED != 0 {
            let shift = 62 - (unit.trailing_zeros() - 8);
            let offset = entry & ((1 << shift) - 1);
            let sectors = (entry & (QCOW2_PACKED - 1)) >> shift;
            let len = (sectors + 1) * SECTOR_BYTES - offset % SECTOR_BYTES;
            return self.packed(offset, len);
        }
        let offset = entry & QCOW2_OFFSET;
        if !offset.is_multiple_of(unit) {
            return Err(Error::damaged(format!("an entry of its tables is {entry:#018x}")));
        }
        if !sub {
            return match offset == 0 || zeros && entry & QCOW2_ZEROS != 0 {
                true => Ok(()),
                false => self.stored(0, unit, offset),
            };
        }
        let bits = be64(&self.page, index * 16 + 8);
        let (stored, zeros) = (bits as u32, (bits >> 32) as u32);
        if stored & zeros != 0 || stored != 0 && offset == 0 {
            return Err(Error::damaged(format!("bits of its subclusters are {bits:#018x}")));
        }
        let part = unit / SUBCLUSTERS;
        for number in (0..SUBCLUSTERS).filter(|number| stored >> number & 1 == 1) {
            self.stored(number * part, part, offset + number * part)?;
        }
        Ok(())
    }

    /// What is left of a stretch of this unit before the end of the disk: where, how much.
    fn clip(&self, skip: u64, len: u64) -> Option<(u64, u64)> {
        let at = self.unit * self.image.unit + skip;
        let len = len.min(self.image.size.saturating_sub(at));
        (len > 0).then_some((at, len))
    }

    fn stored(&mut self, skip: u64, len: u64, offset: u64) -> Result<(), Error> {
        let Some((at, len)) = self.clip(skip, len) else { return Ok(()) };
        let end = offset.saturating_add(len);
        // Some writers end the file with the last byte and not the last sector.
        if end > self.file.len().next_multiple_of(SECTOR_BYTES) {
            return Err(cut_off(self.file, end));
        }
        // A sound disk shows no byte of its file twice. The last unit may be cut off.
        self.stored_bytes += len;
        if self.stored_bytes > self.file.len().saturating_add(self.image.unit) {
            return Err(Error::damaged("clusters of it lie on one another"));
        }
        match &mut self.last {
            Some(Piece { at: before, len: have, place: Place::Stored(from) })
                if *before + *have == at && *from + *have == offset =>
            {
                *have += len;
            }
            last => {
                self.ready.extend(last.take());
                *last = Some(Piece { at, len, place: Place::Stored(offset) });
            }
        }
        Ok(())
    }

    fn grain(&mut self, offset: u64) -> Result<(), Error> {
        let marker = read(self.file, offset, MARKER_BYTES)?;
        let sector = self.unit * self.image.unit / SECTOR_BYTES;
        if le64(&marker, 0) != sector {
            let what = format!("what is at byte {offset} is not sector {sector}");
            return Err(Error::damaged(what));
        }
        self.packed(offset + MARKER_BYTES, u64::from(le32(&marker, 8)))
    }

    fn packed(&mut self, offset: u64, len: u64) -> Result<(), Error> {
        let unit = self.image.unit;
        let have = self.file.len();
        // Its length is told in sectors, of which the last may not be whole.
        let end = offset.saturating_add(len);
        if offset >= have || end > have.next_multiple_of(SECTOR_BYTES) {
            return Err(cut_off(self.file, end));
        }
        let len = len.min(have - offset);
        self.packed_bytes += len.max(SECTOR_BYTES);
        let allowed = have.saturating_mul(PACKED_SHARE_MAX) + unit;
        if len > unit + PACKED_EXTRA_MAX || self.packed_bytes > allowed {
            return Err(Error::damaged("packed clusters of it are too long or lie on one another"));
        }
        if let Some((at, len_of_disk)) = self.clip(0, unit) {
            self.ready.extend(self.last.take());
            let place = Place::Packed { offset, len };
            self.ready.push_back(Piece { at, len: len_of_disk, place });
        }
        Ok(())
    }
}
