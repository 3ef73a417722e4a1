//! VHDX, dynamic and fixed. Numbers are little-endian.

use archipelago_model::SECTOR_BYTES;
use crc_fast::{CrcAlgorithm, checksum};

use crate::field::{le16, le32, le64, read};
use crate::{Bytes, Entries, Error, Format, Image, Pack, Pages, disk_size};

const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
const HEADER_BYTES: u64 = 4 << 10;
const REGIONS: [u64; 2] = [192 << 10, 256 << 10];
const TABLE_BYTES: u64 = 64 << 10;
/// Entries of a table of regions, and of one of metadata, at most.
const ENTRIES_MAX: usize = 2047;

const REGION_BAT: Guid = Guid(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const REGION_METADATA: Guid = Guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const ITEM_PARAMETERS: Guid = Guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const ITEM_SIZE: Guid = Guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const ITEM_LOGICAL: Guid = Guid(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f);
const ITEM_PHYSICAL: Guid = Guid(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556);
const ITEM_PAGE83: Guid = Guid(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746);

const ITEM_REQUIRED: u32 = 1 << 2;
const HAS_PARENT: u32 = 1 << 1;
/// Sectors that one block of bits is about, by which blocks are grouped.
const CHUNK_SECTORS: u64 = 1 << 23;

/// As it is written; the first three fields are stored little-endian.
struct Guid(u32, u16, u16, u64);

impl Guid {
    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        le32(bytes, at) == self.0
            && le16(bytes, at + 4) == self.1
            && le16(bytes, at + 6) == self.2
            && bytes.get(at + 8..at + 16) == Some(&self.3.to_be_bytes())
    }
}

pub(crate) fn open(file: &dyn Bytes) -> Result<Image, Error> {
    check_header(file)?;
    let (bat, metadata) = regions(file)?;
    let facts = Facts::read(file, metadata)?;
    let (unit, size) = (facts.block, disk_size(facts.size)?);
    let page_entries = CHUNK_SECTORS * facts.logical / unit;
    let entries = Entries::Vhdx;
    let blocks = size.div_ceil(unit);
    // Behind each group of blocks is the entry of a block of bits, which only differences use.
    let needed = (blocks + (blocks - 1) / page_entries) * entries.bytes();
    let (at, len) = bat;
    if needed > len {
        let what = format!("its table has {len} bytes, where its size needs {needed}");
        return Err(Error::damaged(what));
    }
    if at.saturating_add(needed) > file.len() {
        return Err(crate::cut_off(file, at.saturating_add(needed)));
    }
    Ok(Image {
        format: Format::Vhdx,
        size,
        unit,
        entries,
        pages: Pages::Row { at, stride: (page_entries + 1) * entries.bytes() },
        page_entries,
        // Nothing is packed.
        pack: Pack::Deflate,
    })
}

/// Whether the checksum at byte 4 is that of all bytes with itself as 0.
fn is_sound(mut bytes: Vec<u8>) -> bool {
    let said = le32(&bytes, 4);
    bytes[4..8].fill(0);
    checksum(CrcAlgorithm::Crc32Iscsi, &bytes) == u64::from(said)
}

fn check_header(file: &dyn Bytes) -> Result<(), Error> {
    let mut newest: Option<Vec<u8>> = None;
    for at in HEADERS {
        let header = read(file, at, HEADER_BYTES)?;
        if header.starts_with(b"head")
            && is_sound(header.clone())
            && newest.as_ref().is_none_or(|newest| le64(newest, 8) < le64(&header, 8))
        {
            newest = Some(header);
        }
    }
    let header = newest.ok_or_else(|| Error::damaged("both of its headers are"))?;
    let version = le16(&header, 66);
    if version != 1 {
        return Err(Error::refused(format!("is VHDX of version {version}; 1 is read")));
    }
    if header[48..64].iter().any(|byte| *byte != 0) {
        let what = "was not closed by the program that wrote it: its log is not empty; close it, \
                    or replay the log with qemu-img check -r all, and put it again";
        return Err(Error::refused(what));
    }
    Ok(())
}

/// Offset and length.
type Region = (u64, u64);

/// Those of the table of blocks, and of the metadata.
fn regions(file: &dyn Bytes) -> Result<(Region, Region), Error> {
    for at in REGIONS {
        let table = read(file, at, TABLE_BYTES)?;
        if !table.starts_with(b"regi") || !is_sound(table.clone()) {
            continue;
        }
        let (mut bat, mut metadata) = (None, None);
        for index in 0..(le32(&table, 8) as usize).min(ENTRIES_MAX) {
            let entry = 16 + index * 32;
            let place = (le64(&table, entry + 16), u64::from(le32(&table, entry + 24)));
            if REGION_BAT.is_at(&table, entry) {
                bat = Some(place);
            } else if REGION_METADATA.is_at(&table, entry) {
                metadata = Some(place);
            } else if le32(&table, entry + 28) & 1 != 0 {
                return Err(Error::refused("is VHDX with a region that is not known"));
            }
        }
        return match (bat, metadata) {
            (Some(bat), Some(metadata)) => Ok((bat, metadata)),
            _ => Err(Error::damaged("a region of it is missing")),
        };
    }
    Err(Error::damaged("both of its tables of regions are"))
}

struct Facts {
    block: u64,
    size: u64,
    logical: u64,
}

impl Facts {
    fn read(file: &dyn Bytes, (at, len): Region) -> Result<Self, Error> {
        let table = read(file, at, TABLE_BYTES)?;
        if !table.starts_with(b"metadata") {
            return Err(Error::damaged("its metadata are"));
        }
        let (mut parameters, mut size, mut logical) = (None, None, None);
        for index in 0..usize::from(le16(&table, 10)).min(ENTRIES_MAX) {
            let entry = 32 + index * 32;
            let (offset, required) =
                (u64::from(le32(&table, entry + 16)), le32(&table, entry + 24));
            let value = || match offset.saturating_add(8) <= len {
                true => read(file, at.saturating_add(offset), 8),
                false => Err(Error::damaged("its metadata are")),
            };
            if ITEM_PARAMETERS.is_at(&table, entry) {
                parameters = Some(value()?);
            } else if ITEM_SIZE.is_at(&table, entry) {
                size = Some(le64(&value()?, 0));
            } else if ITEM_LOGICAL.is_at(&table, entry) {
                logical = Some(u64::from(le32(&value()?, 0)));
            } else if required & ITEM_REQUIRED != 0
                && !(ITEM_PHYSICAL.is_at(&table, entry) || ITEM_PAGE83.is_at(&table, entry))
            {
                return Err(Error::refused(
                    "is the difference to a parent, or has metadata that are not known; convert \
                     it first with qemu-img convert",
                ));
            }
        }
        let (Some(parameters), Some(size), Some(logical)) = (parameters, size, logical) else {
            return Err(Error::damaged("an item of its metadata is missing"));
        };
        if le32(&parameters, 4) & HAS_PARENT != 0 {
            let what = "is the difference to a parent, which it cannot be read without; merge \
                        them first";
            return Err(Error::refused(what));
        }
        let block = u64::from(le32(&parameters, 0));
        if !block.is_power_of_two() || !(1 << 20..=256 << 20).contains(&block) {
            return Err(Error::damaged(format!("its blocks have {block} bytes")));
        }
        if !matches!(logical, SECTOR_BYTES | 4096) {
            return Err(Error::damaged(format!("its sectors have {logical} bytes")));
        }
        Ok(Self { block, size, logical })
    }
}
