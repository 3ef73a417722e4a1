//! VDI, dynamic and fixed. Numbers are little-endian.

use archipelago_model::SECTOR_BYTES;

use crate::field::{le32, le64, read};
use crate::{Bytes, Entries, Error, Format, Image, Pack, Pages, disk_size};

const HEADER_BYTES: u64 = 0x200;
const VERSION: u32 = 0x0001_0001;
/// Blocks as large as any that was seen, with room.
const BLOCK_BYTES_MAX: u64 = 64 << 20;
const TABLE_PAGE_BYTES: u64 = 64 << 10;

pub(crate) fn open(file: &dyn Bytes) -> Result<Image, Error> {
    let head = read(file, 0, HEADER_BYTES)?;
    let version = le32(&head, 0x44);
    if version != VERSION {
        return Err(Error::refused(format!("is VDI of version {version:#x}; 1.1 is read")));
    }
    if head[0x1a8..0x1c8].iter().any(|byte| *byte != 0) || !matches!(le32(&head, 0x4c), 1 | 2) {
        let what = "is the difference to another image, which it cannot be read without; merge \
                    them first";
        return Err(Error::refused(what));
    }
    let size = disk_size(le64(&head, 0x170))?;
    let (unit, blocks) = (u64::from(le32(&head, 0x178)), u64::from(le32(&head, 0x180)));
    if !unit.is_power_of_two() || !(SECTOR_BYTES..=BLOCK_BYTES_MAX).contains(&unit) {
        return Err(Error::damaged(format!("its blocks have {unit} bytes")));
    }
    let (table, data) = (u64::from(le32(&head, 0x154)), u64::from(le32(&head, 0x158)));
    if le32(&head, 0x17c) != 0 || !data.is_multiple_of(SECTOR_BYTES) {
        let what = "has blocks that do not begin at sectors; `archipelago image import` it";
        return Err(Error::refused(what));
    }
    let needed = size.div_ceil(unit);
    if blocks < needed {
        let what = format!("it has {blocks} blocks, where its size needs {needed}");
        return Err(Error::damaged(what));
    }
    let end = table.saturating_add(needed.saturating_mul(4));
    if end > file.len() {
        return Err(crate::cut_off(file, end));
    }
    Ok(Image {
        format: Format::Vdi,
        size,
        unit,
        entries: Entries::Vdi { data },
        pages: Pages::Row { at: table, stride: TABLE_PAGE_BYTES },
        page_entries: TABLE_PAGE_BYTES / 4,
        // Nothing is packed.
        pack: Pack::Deflate,
    })
}
