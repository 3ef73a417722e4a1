//! VMDK in one file: sparse and stream-optimised. Numbers are little-endian.

use archipelago_model::SECTOR_BYTES;

use crate::field::{le16, le32, le64, read};
use crate::{
    Bytes, Entries, Error, Format, Image, PACKED_UNIT_MAX, Pack, Pages, TOP_ENTRIES_MAX,
    VMDK_DESCRIPTOR, check_apart, disk_size,
};

const HEADER_BYTES: u64 = 512;
/// The longest descriptor that is read.
const DESCRIPTOR_BYTES_MAX: u64 = 1 << 20;
/// The directory is named by the copy of the header at the end.
const AT_END: u64 = u64::MAX;
/// Where that copy is: before the marker of the end.
const FOOTER_FROM_END: u64 = 1024;
/// A table has so many entries in all images that there are.
const TABLE_ENTRIES_MAX: u64 = 512;

const FLAG_ZEROS: u32 = 1 << 2;
const FLAG_PACKED: u32 = 1 << 16;
const FLAG_MARKERS: u32 = 1 << 17;

pub(crate) fn open(file: &dyn Bytes) -> Result<Image, Error> {
    let mut head = read(file, 0, HEADER_BYTES)?;
    if head.starts_with(VMDK_DESCRIPTOR) || le64(&head, 12) == 0 {
        return Err(elsewhere());
    }
    check_descriptor(file, &head)?;
    if le64(&head, 56) == AT_END {
        let at = file.len().saturating_sub(FOOTER_FROM_END);
        head = read(file, at, HEADER_BYTES)?;
        if !head.starts_with(b"KDMV") || le64(&head, 56) == AT_END {
            return Err(Error::refused("was cut off: its end has no copy of its header"));
        }
    }
    let (version, flags) = (le32(&head, 4), le32(&head, 8));
    if !(1..=3).contains(&version) {
        return Err(Error::refused(format!("is VMDK of version {version}; 1 to 3 are read")));
    }
    if head[72] != 0 {
        let what = "was not closed by the program that wrote it: end that program, or repair it";
        return Err(Error::refused(what));
    }
    let packed = flags & FLAG_PACKED != 0;
    if packed && (flags & FLAG_MARKERS == 0 || le16(&head, 77) != 1) {
        return Err(Error::refused("is VMDK with a compression that is not known"));
    }
    let sectors = le64(&head, 12);
    let size = disk_size(sectors.saturating_mul(SECTOR_BYTES))?;
    let (grain, table_entries) = (le64(&head, 20), u64::from(le32(&head, 44)));
    let unit = grain.saturating_mul(SECTOR_BYTES);
    if !unit.is_power_of_two() || unit > PACKED_UNIT_MAX {
        return Err(Error::damaged(format!("its grains have {grain} sectors")));
    }
    if !(1..=TABLE_ENTRIES_MAX).contains(&table_entries) {
        return Err(Error::damaged(format!("its tables have {table_entries} entries")));
    }
    let pages = directory(file, le64(&head, 56), size.div_ceil(unit * table_entries))?;
    check_apart(&pages, table_entries * 4, file)?;
    Ok(Image {
        format: Format::Vmdk,
        size,
        unit,
        entries: Entries::Vmdk { zeros: flags & FLAG_ZEROS != 0, packed },
        pages: Pages::Listed(pages),
        page_entries: table_entries,
        pack: Pack::Zlib,
    })
}

fn elsewhere() -> Error {
    Error::refused("keeps its data in other files; make one of them first with qemu-img convert")
}

/// Offsets of the tables.
fn directory(file: &dyn Bytes, sector: u64, entries: u64) -> Result<Vec<u64>, Error> {
    if entries > TOP_ENTRIES_MAX {
        return Err(Error::damaged(format!("its directory has {entries} entries")));
    }
    let table = read(file, sector.saturating_mul(SECTOR_BYTES), entries * 4)?;
    Ok(table.chunks_exact(4).map(|entry| u64::from(le32(entry, 0)) * SECTOR_BYTES).collect())
}

/// Refuses an image that is the difference to another or a part of one: the text tells.
fn check_descriptor(file: &dyn Bytes, head: &[u8]) -> Result<(), Error> {
    let at = le64(head, 28).saturating_mul(SECTOR_BYTES);
    if at == 0 {
        return Err(Error::refused("is one of several files of an image; make one of them first"));
    }
    let bytes = le64(head, 36).saturating_mul(SECTOR_BYTES).min(DESCRIPTOR_BYTES_MAX);
    let text = read(file, at, bytes)?;
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut extents = 0;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = line.trim_ascii();
        let begins = |word: &[u8]| {
            line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if begins(b"parentFileNameHint")
            || begins(b"parentCID") && !line.to_ascii_lowercase().ends_with(b"ffffffff")
        {
            return Err(Error::refused(
                "is the difference to a parent, which it cannot be read without; merge them \
                 first with qemu-img convert",
            ));
        }
        extents += usize::from(begins(b"RW ") || begins(b"RDONLY ") || begins(b"NOACCESS "));
    }
    match extents {
        1 => Ok(()),
        _ => Err(elsewhere()),
    }
}
