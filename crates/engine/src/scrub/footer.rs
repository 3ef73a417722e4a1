//! The footer: trailer, directory, slot pages and sections, each by its checksum
//! and all against each other.

use archipelago_format::batch::Record;
use archipelago_format::crc32c;
use archipelago_format::segment::{
    Directory, FINGERPRINT_BYTES, FOOTER_RECORD_BYTES, Fingerprint, SLOT_PAGE_BYTES, Section, Slot,
    SlotPage, TRAILER_BYTES, Trailer, decode_footer_records,
};

use super::reader::Halt;
use super::{Lost, Scrub};

/// What is behind the trailer is looked through so many bytes at a time.
const TAIL_STEP: u64 = 64 << 10;

/// What of a footer is sound.
pub(super) struct Footer {
    pub directory: Directory,
    /// Pages, `None` for one that is damaged.
    pub pages: Vec<Option<SlotPage>>,
    /// The records of the log, unless they are damaged.
    pub records: Option<Vec<(u32, Record)>>,
    /// The fingerprints, unless they are damaged.
    pub prints: Option<Vec<Fingerprint>>,
}

impl Footer {
    /// The slots, each with the position behind it. `None` stands for those of a
    /// damaged page.
    pub(super) fn slots(&self) -> impl Iterator<Item = Option<(&Slot, u32)>> {
        self.pages.iter().flat_map(|page| {
            let slots = page.as_ref().map_or(&[][..], |page| &page.slots);
            let end = page.as_ref().map_or(0, |page| page.end);
            let ends = slots.iter().skip(1).map(|slot| slot.position).chain([end]);
            let lost = page.is_none().then_some(None);
            slots.iter().zip(ends).map(Some).chain(lost)
        })
    }

    /// The slot that begins at `position`, and where in the file its entry is. `None`
    /// when its page is damaged, `Some(None)` when there is no such slot.
    pub(super) fn slot_at(&self, position: u32) -> Option<Option<(&Slot, u64)>> {
        let number = self.directory.page_of(position)?;
        let page = self.pages.get(number as usize)?.as_ref()?;
        let found = page.slots.binary_search_by_key(&position, |slot| slot.position).ok();
        Some(found.map(|n| {
            let page_at = u64::from(number) * SLOT_PAGE_BYTES as u64;
            (&page.slots[n], self.directory.slots.offset + page_at + SlotPage::slot_offset(n))
        }))
    }
}

impl Scrub<'_> {
    /// Verifies the footer; `None` when nothing in the segment can be found for what
    /// is damaged.
    pub(super) fn footer(&mut self, stored_bytes: Option<u64>) -> Result<Option<Footer>, Halt> {
        let Some((end, trailer)) = self.trailer(stored_bytes)? else {
            return Ok(None);
        };
        let Some(directory) = self.directory(end, &trailer)? else {
            return Ok(None);
        };
        let pages = self.slot_pages(&directory)?;
        let records = self.records(&directory)?;
        let prints = self.fingerprints(&directory)?;
        self.forwarding(&directory)?;
        Ok(Some(Footer { directory, pages, records, prints }))
    }

    /// The trailer and where it ends: at the length that the catalog has, at the end
    /// of the file, or, when the cut to that length was lost with a sync that failed,
    /// before the zeros that follow.
    fn trailer(&mut self, stored_bytes: Option<u64>) -> Result<Option<(u64, Trailer)>, Halt> {
        let len = self.reader.len();
        let recorded = stored_bytes.filter(|&bytes| bytes > 0);
        for end in recorded.into_iter().chain([len]) {
            if let Some(trailer) = self.trailer_at(end)? {
                self.behind(end)?;
                return Ok(Some((end, trailer)));
            }
        }
        let zeros = self.zeros_from(len)?;
        if zeros < len
            && let Some(trailer) = self.trailer_at(zeros)?
        {
            return Ok(Some((zeros, trailer)));
        }
        let end = recorded.unwrap_or(len);
        let lost = Some(Lost::Segment(self.reader.id()));
        let what = if end > len {
            format!("trailer: the file ends at byte {len} of {end}")
        } else {
            "trailer: not valid; nothing else of the segment can be checked".to_owned()
        };
        let offset = end.saturating_sub(TRAILER_BYTES as u64).min(len);
        self.damaged(offset, end - offset, lost, what);
        Ok(None)
    }

    fn trailer_at(&mut self, end: u64) -> Result<Option<Trailer>, Halt> {
        let Some(at) = end.checked_sub(TRAILER_BYTES as u64) else {
            return Ok(None);
        };
        let bytes = self.reader.take(at, TRAILER_BYTES)?;
        Ok(bytes.and_then(|bytes| Trailer::decode(bytes).ok()))
    }

    /// Where the zeros at the end of the file begin.
    fn zeros_from(&mut self, len: u64) -> Result<u64, Halt> {
        let mut end = len;
        while end > 0 {
            let at = end - end.min(TAIL_STEP);
            let Some(bytes) = self.reader.take(at, (end - at) as usize)? else {
                return Ok(end);
            };
            if let Some(last) = bytes.iter().rposition(|&b| b != 0) {
                return Ok(at + last as u64 + 1);
            }
            end = at;
        }
        Ok(0)
    }

    /// Whatever is behind the trailer hides it from readers, unless it is zero.
    fn behind(&mut self, end: u64) -> Result<(), Halt> {
        let len = self.reader.len();
        let mut at = end;
        while at < len {
            let n = (len - at).min(TAIL_STEP);
            let lost = Some(Lost::Segment(self.reader.id()));
            match self.reader.take(at, n as usize)? {
                Some(bytes) if bytes.iter().all(|&b| b == 0) => {}
                Some(_) => self.damaged(at, n, lost, "behind the trailer: not zeros"),
                None => self.unreadable(at, n, lost, "behind the trailer"),
            }
            at += n;
        }
        Ok(())
    }

    fn directory(&mut self, end: u64, trailer: &Trailer) -> Result<Option<Directory>, Halt> {
        let (offset, len) = (trailer.directory_offset, u64::from(trailer.directory_len));
        let lost = Some(Lost::Segment(self.reader.id()));
        if offset.checked_add(len + TRAILER_BYTES as u64) != Some(end) {
            let at = end - TRAILER_BYTES as u64;
            self.damaged(at, TRAILER_BYTES as u64, lost, "trailer: does not adjoin its directory");
            return Ok(None);
        }
        let Some(bytes) = self.reader.take(offset, len as usize)? else {
            self.unreadable(offset, len, lost, "directory");
            return Ok(None);
        };
        let found = if crc32c(bytes) == trailer.directory_crc {
            Directory::decode(bytes).map_err(|error| error.to_string())
        } else {
            Err("wrong checksum".to_owned())
        };
        match found.and_then(|found| self.plausible(&found, offset).map(|()| found)) {
            Ok(directory) => Ok(Some(directory)),
            Err(what) => {
                self.damaged(offset, len, lost, format!("directory: {what}"));
                Ok(None)
            }
        }
    }

    /// Whether it is this segment's, and its parts follow each other without a gap.
    fn plausible(&self, directory: &Directory, offset: u64) -> Result<(), String> {
        let d = directory;
        if d.header.id != self.reader.id() {
            return Err(format!("it is that of segment {}", d.header.id));
        }
        if d.header.store != self.uuid {
            return Err("it belongs to another store".to_owned());
        }
        let mut at = d.body_bytes;
        for section in [d.slots, d.records, d.fingerprints, d.samples, d.forwarding] {
            if section.offset != at {
                return Err("its sections do not adjoin".to_owned());
            }
            at = at.checked_add(section.len).ok_or("a section has no end")?;
        }
        if at != offset {
            return Err("its sections do not end where it begins".to_owned());
        }
        Ok(())
    }

    fn slot_pages(&mut self, directory: &Directory) -> Result<Vec<Option<SlotPage>>, Halt> {
        let starts = &directory.page_starts;
        let mut pages = Vec::with_capacity(starts.len());
        for (number, &start) in starts.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(directory.end);
            let offset = directory.slots.offset + (number * SLOT_PAGE_BYTES) as u64;
            let decoded = self
                .reader
                .take(offset, SLOT_PAGE_BYTES)?
                .map(|bytes| SlotPage::decode(bytes, number as u32));
            let found = match decoded {
                None => Err(self.reader.why().to_owned()),
                Some(Err(error)) => Err(error.to_string()),
                Some(Ok(page)) if page.slots[0].position != start || page.end != end => {
                    Err("its positions are not those in the directory".to_owned())
                }
                Some(Ok(page)) => Ok(page),
            };
            match found {
                Ok(page) => pages.push(Some(page)),
                Err(what) => {
                    let lost = self.positions(start, end);
                    let what = format!("slot page {number}: {what}");
                    self.damaged(offset, SLOT_PAGE_BYTES as u64, lost, what);
                    pages.push(None);
                }
            }
        }
        Ok(pages)
    }

    /// The bytes of a section, if they are what was written.
    fn section(
        &mut self,
        what: &str,
        section: Section,
        entry: usize,
    ) -> Result<Option<Vec<u8>>, Halt> {
        let bytes = self.reader.take(section.offset, section.len as usize)?.map(<[u8]>::to_vec);
        let Some(bytes) = bytes else {
            self.unreadable(section.offset, section.len, None, what);
            return Ok(None);
        };
        if crc32c(&bytes) != section.crc || bytes.len() % entry != 0 {
            self.damaged(section.offset, section.len, None, format!("{what}: wrong checksum"));
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    fn records(&mut self, directory: &Directory) -> Result<Option<Vec<(u32, Record)>>, Halt> {
        let section = directory.records;
        let Some(bytes) = self.section("records", section, FOOTER_RECORD_BYTES)? else {
            return Ok(None);
        };
        let what = match decode_footer_records(&bytes) {
            Ok(records) if records.windows(2).all(|pair| pair[0].0 < pair[1].0) => {
                return Ok(Some(records));
            }
            Ok(_) => "records: not in order".to_owned(),
            Err(error) => format!("records: {error}"),
        };
        self.damaged(section.offset, section.len, None, what);
        Ok(None)
    }

    fn fingerprints(&mut self, directory: &Directory) -> Result<Option<Vec<Fingerprint>>, Halt> {
        let bytes = self.section("fingerprints", directory.fingerprints, FINGERPRINT_BYTES)?;
        let sampled = self.section("samples", directory.samples, FINGERPRINT_BYTES)?;
        let prints = bytes.and_then(|bytes| Fingerprint::decode_all(&bytes).ok());
        if let (Some(prints), Some(sampled)) = (&prints, sampled) {
            let mut expected = Vec::with_capacity(sampled.len());
            prints.iter().filter(|print| print.sampled()).for_each(|p| p.encode(&mut expected));
            if expected != sampled {
                let (offset, len) = (directory.samples.offset, directory.samples.len);
                self.damaged(offset, len, None, "samples: not the sampled fingerprints");
            }
        }
        Ok(prints)
    }
}
