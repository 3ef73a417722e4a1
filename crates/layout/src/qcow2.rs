//! qcow2 of versions 2 and 3, by `docs/interop/qcow2.txt` of QEMU; numbers are big-endian.
//! Internal snapshots are passed over: the disk is the active one.

use crate::field::{be32, be64, read};
use crate::{
    Bytes, Entries, Error, Format, Image, Pack, Pages, TOP_ENTRIES_MAX, check_apart, disk_size,
};

const V2_BYTES: u64 = 72;
const V3_BYTES: u64 = 104;
/// As QEMU has it.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// With subclusters, clusters have at least 2^14 bytes.
const SUBCLUSTER_BITS_MIN: u32 = 14;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const SUBCLUSTERS: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | SUBCLUSTERS;

const L1_OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;

pub(crate) fn open(file: &dyn Bytes) -> Result<Image, Error> {
    let mut head = read(file, 0, V2_BYTES)?;
    let version = be32(&head, 4);
    let cluster_bits = be32(&head, 20);
    if !matches!(version, 2 | 3) {
        return Err(Error::refused(format!("is qcow2 of version {version}; 2 and 3 are read")));
    }
    if !CLUSTER_BITS.contains(&cluster_bits) {
        return Err(Error::damaged(format!("its clusters have 2^{cluster_bits} bytes")));
    }
    if version == 3 {
        head = read(file, 0, V3_BYTES + 8)?;
    }
    if be64(&head, 8) != 0 {
        let what = "has a backing file, which it cannot be read without; \
                    merge them first with qemu-img convert";
        return Err(Error::refused(what));
    }
    if be32(&head, 32) != 0 {
        return Err(Error::refused("is encrypted; decrypt it first with qemu-img convert"));
    }
    let features = if version == 3 { be64(&head, 72) } else { 0 };
    let pack = features_of(&head, features, cluster_bits)?;
    let sub = features & SUBCLUSTERS != 0;
    let entries = Entries::Qcow2 { zeros: version == 3, sub };
    let (unit, size) = (1 << cluster_bits, disk_size(be64(&head, 24))?);
    let page_entries = unit / entries.bytes();
    let pages = first_table(file, &head, unit, size.div_ceil(unit * page_entries))?;
    check_apart(&pages, unit, file)?;
    let pages = Pages::Listed(pages);
    Ok(Image { format: Format::Qcow2, size, unit, entries, pages, page_entries, pack })
}

fn features_of(head: &[u8], features: u64, cluster_bits: u32) -> Result<Pack, Error> {
    if features & EXTERNAL_DATA != 0 {
        let what = "keeps its data in another file; merge them first with qemu-img convert";
        return Err(Error::refused(what));
    }
    if features & DIRTY != 0 {
        let what = "was not closed by the program that wrote it: end that program, or repair \
                    the image with qemu-img check -r all, and put it again";
        return Err(Error::refused(what));
    }
    if features & CORRUPT != 0 {
        return Err(Error::damaged("it is marked as corrupt (see qemu-img check -r all)"));
    }
    let unknown = features & !KNOWN;
    if unknown != 0 {
        let what = format!("is qcow2 with features that are not known ({unknown:#x})");
        return Err(Error::refused(what));
    }
    if features & SUBCLUSTERS != 0 && cluster_bits < SUBCLUSTER_BITS_MIN {
        return Err(Error::damaged("its clusters are too small for subclusters"));
    }
    if features & COMPRESSION == 0 {
        return Ok(Pack::Deflate);
    }
    let has_type = u64::from(be32(head, 100)) > V3_BYTES;
    match head.get(V3_BYTES as usize) {
        Some(1) if has_type => Ok(Pack::Zstd),
        _ => Err(Error::refused("is qcow2 with a compression that is not known")),
    }
}

/// Offsets of the second tables, as many as the disk needs.
fn first_table(
    file: &dyn Bytes,
    head: &[u8],
    cluster: u64,
    needed: u64,
) -> Result<Vec<u64>, Error> {
    let (at, entries) = (be64(head, 40), u64::from(be32(head, 36)));
    if entries < needed || needed > TOP_ENTRIES_MAX {
        return Err(Error::damaged(format!(
            "its first table has {entries} entries, where its size needs {needed}, and \
             {TOP_ENTRIES_MAX} are read at most"
        )));
    }
    if at == 0 || !at.is_multiple_of(cluster) {
        return Err(Error::damaged(format!("its first table is at byte {at}")));
    }
    let table = read(file, at, needed * 8)?;
    let offsets = table.chunks_exact(8).enumerate().map(|(index, entry)| {
        let entry = be64(entry, 0);
        let offset = entry & L1_OFFSET;
        match entry & L1_RESERVED == 0 && offset.is_multiple_of(cluster) {
            true => Ok(offset),
            false => {
                Err(Error::damaged(format!("entry {index} of its first table is {entry:#018x}")))
            }
        }
    });
    offsets.collect()
}
