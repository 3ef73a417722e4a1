//! The forwarding table of a compaction, which every read of what it moved needs.

use archipelago_format::crc32c;
use archipelago_format::forwarding::{FORWARD_PAGE_BYTES, ForwardIndex, decode_forward_page};
use archipelago_format::segment::Directory;
use archipelago_model::Location;

use super::reader::Halt;
use super::{Lost, Scrub};

/// Behind every location.
const END: Location = Location::from_raw(u64::MAX);

impl Scrub<'_> {
    pub(super) fn forwarding(&mut self, directory: &Directory) -> Result<(), Halt> {
        let (section, carrier) = (directory.forwarding, self.reader.id());
        if section.len == 0 {
            return Ok(());
        }
        let Some(index) = self.index(directory)? else {
            return Ok(());
        };
        for (number, &first) in index.firsts.iter().enumerate() {
            let offset = section.offset + index.page_offset(number as u32);
            let decoded = self
                .reader
                .take(offset, FORWARD_PAGE_BYTES)?
                .map(|bytes| decode_forward_page(bytes, number as u32));
            let what = match decoded {
                None => self.reader.why().to_owned(),
                Some(Err(error)) => error.to_string(),
                Some(Ok(entries)) if entries[0].from != first => {
                    "it does not begin where the index says".to_owned()
                }
                Some(Ok(_)) => continue,
            };
            let end = index.firsts.get(number + 1).copied().unwrap_or(END);
            let what = format!("page {number} of the forwarding table: {what}");
            let lost = Some(Lost::Moved { carrier, first, end });
            self.damaged(offset, FORWARD_PAGE_BYTES as u64, lost, what);
        }
        Ok(())
    }

    fn index(&mut self, directory: &Directory) -> Result<Option<ForwardIndex>, Halt> {
        let section = directory.forwarding;
        let index_bytes = ForwardIndex::bytes_in(section.len);
        let found = match self.reader.take(section.offset, index_bytes as usize)? {
            None => Err(None),
            Some(bytes) if crc32c(bytes) != section.crc => Err(Some("wrong checksum".to_owned())),
            Some(bytes) => ForwardIndex::decode(bytes).map_err(|error| Some(error.to_string())),
        };
        let what = match found {
            Ok(index) if index.page_offset(index.firsts.len() as u32) == section.len => {
                return Ok(Some(index));
            }
            Ok(_) => "wrong number of pages".to_owned(),
            Err(what) => what.unwrap_or_else(|| self.reader.why().to_owned()),
        };
        let what = format!("index of the forwarding table: {what}");
        let lost = Some(Lost::Moved { carrier: self.reader.id(), first: Location::HOLE, end: END });
        self.damaged(section.offset, index_bytes, lost, what);
        Ok(None)
    }
}
