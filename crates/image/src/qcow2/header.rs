//! The audit of a qcow2 image's header and first table, before anything reads
//! by them.
//!
//! Layout by `docs/interop/qcow2.txt` of QEMU; all numbers are big-endian.

use std::fs::File;
use std::path::Path;

use archipelago_model::VOLUME_BYTES_MAX;

use crate::ImageError;
use crate::error::shown;
use crate::raw::read_up_to;

/// Bytes of a version 2 header.
const V2_BYTES: usize = 72;
/// Bytes of the least version 3 header.
const V3_BYTES: usize = 104;
/// Clusters are 2^9 to 2^21 bytes, as QEMU has it.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// With subclusters, clusters are at least 2^14 bytes.
const SUBCLUSTER_BITS_MIN: u32 = 14;
/// The most entries of the first table, as QEMU has it: 32 MiB.
const L1_ENTRIES_MAX: u64 = 4 << 20;
/// The longest name of a backing file, in bytes.
const BACKING_NAME_BYTES_MAX: u64 = 1023;
/// The extension that names the external data file.
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
/// The most extensions that are looked at: a cluster has room for thousands,
/// writers use three.
const EXTENSIONS_MAX: usize = 64;

/// The bits of an entry of the first table that are an offset.
const L1_OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The bits of it that must be 0.
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;

const FEATURE_DIRTY: u64 = 1 << 0;
const FEATURE_CORRUPT: u64 = 1 << 1;
const FEATURE_EXTERNAL_DATA: u64 = 1 << 2;
const FEATURE_COMPRESSION: u64 = 1 << 3;
const FEATURE_SUBCLUSTERS: u64 = 1 << 4;
const FEATURES_KNOWN: u64 = FEATURE_DIRTY
    | FEATURE_CORRUPT
    | FEATURE_EXTERNAL_DATA
    | FEATURE_COMPRESSION
    | FEATURE_SUBCLUSTERS;

/// What an image says of itself, checked.
#[derive(Debug)]
pub(crate) struct Header {
    /// Of the disk, in bytes.
    pub(crate) size: u64,
    /// Whether imago can read it. Otherwise it is compressed with zstd or has
    /// subclusters: for qemu-img.
    pub(crate) for_imago: bool,
}

/// Reads the header and the first table; refuses an image that contradicts
/// itself, ends early, or leads elsewhere.
pub(crate) fn audit(file: &File, path: &Path, file_bytes: u64) -> Result<Header, ImageError> {
    let audit = Audit { file, path, file_bytes };
    let raw = audit.fixed_part()?;
    audit.leads_nowhere(&raw)?;
    let features = if raw.version == 3 { raw.u64(72) } else { 0 };
    audit.features(&raw, features)?;
    let size = raw.u64(24);
    if size == 0 {
        return Err(ImageError::Empty(path.to_owned()));
    }
    if size > VOLUME_BYTES_MAX {
        return Err(ImageError::TooLarge { path: path.to_owned(), size });
    }
    audit.first_table(&raw, size, features & FEATURE_SUBCLUSTERS != 0)?;
    Ok(Header { size, for_imago: features == 0 })
}

/// The fixed part of the header.
struct Fixed {
    bytes: [u8; V3_BYTES + 8],
    version: u32,
    cluster_bits: u32,
}

impl Fixed {
    fn u32(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.bytes[at..at + 4]);
        u32::from_be_bytes(word)
    }

    fn u64(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[at..at + 8]);
        u64::from_be_bytes(word)
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }
}

struct Audit<'a> {
    file: &'a File,
    path: &'a Path,
    file_bytes: u64,
}

impl Audit<'_> {
    fn damaged<T>(&self, what: impl Into<String>) -> Result<T, ImageError> {
        Err(ImageError::damaged(self.path, what))
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, ImageError> {
        let end = at.saturating_add(len);
        if end > self.file_bytes {
            let have = self.file_bytes;
            return self
                .damaged(format!("it has {have} bytes, and a part of it ends at byte {end}"));
        }
        // Callers ask for at most 32 MiB, and the file has as much.
        let mut out = vec![0; len as usize];
        let filled =
            read_up_to(self.file, at, &mut out).map_err(ImageError::io("read", self.path))?;
        if (filled as u64) < len {
            return Err(ImageError::Changed(self.path.to_owned()));
        }
        Ok(out)
    }

    fn fixed_part(&self) -> Result<Fixed, ImageError> {
        let mut bytes = [0; V3_BYTES + 8];
        let len =
            read_up_to(self.file, 0, &mut bytes).map_err(ImageError::io("read", self.path))?;
        let mut raw = Fixed { bytes, version: 0, cluster_bits: 0 };
        raw.version = raw.u32(4);
        raw.cluster_bits = raw.u32(20);
        let least = match raw.version {
            2 => V2_BYTES,
            3 => V3_BYTES,
            other => {
                let what = format!("is qcow2 of version {other}; versions 2 and 3 are read");
                return Err(ImageError::unsupported(self.path, what));
            }
        };
        if len < least {
            return self.damaged("it ends within its header");
        }
        if !CLUSTER_BITS.contains(&raw.cluster_bits) {
            return self.damaged(format!("its clusters have 2^{} bytes", raw.cluster_bits));
        }
        if raw.version == 3 {
            let header_bytes = u64::from(raw.u32(100));
            if header_bytes < V3_BYTES as u64 || header_bytes > raw.cluster_bytes() {
                return self.damaged(format!("its header has {header_bytes} bytes"));
            }
        }
        Ok(raw)
    }

    /// Refuses what would make us open another file, or show ciphertext.
    fn leads_nowhere(&self, raw: &Fixed) -> Result<(), ImageError> {
        if raw.u64(8) != 0 {
            let len = u64::from(raw.u32(16)).min(BACKING_NAME_BYTES_MAX);
            let name = self.read(raw.u64(8), len)?;
            return Err(ImageError::Backing { path: self.path.to_owned(), backing: shown(&name) });
        }
        match raw.u32(32) {
            0 => Ok(()),
            1 | 2 => Err(ImageError::Encrypted(self.path.to_owned())),
            other => self.damaged(format!("it is encrypted by an unknown method, {other}")),
        }
    }

    fn features(&self, raw: &Fixed, features: u64) -> Result<(), ImageError> {
        if features & FEATURE_EXTERNAL_DATA != 0 {
            let data = shown(&self.data_file_name(raw)?);
            return Err(ImageError::ExternalData { path: self.path.to_owned(), data });
        }
        if features & FEATURE_DIRTY != 0 {
            let what = "was not closed by the program that wrote it: end that program, \
                        or repair the image with qemu-img check -r all";
            return Err(ImageError::unsupported(self.path, what));
        }
        if features & FEATURE_CORRUPT != 0 {
            return self.damaged("it is marked as corrupt (see qemu-img check -r all)");
        }
        if features & !FEATURES_KNOWN != 0 {
            let unknown = features & !FEATURES_KNOWN;
            let what = format!("is qcow2 with features that are not known ({unknown:#x})");
            return Err(ImageError::unsupported(self.path, what));
        }
        if features & FEATURE_SUBCLUSTERS != 0 && raw.cluster_bits < SUBCLUSTER_BITS_MIN {
            return self.damaged("its clusters are too small for subclusters");
        }
        let has_type = u64::from(raw.u32(100)) > V3_BYTES as u64;
        if features & FEATURE_COMPRESSION != 0 && !(has_type && raw.bytes[V3_BYTES] == 1) {
            let what = "is qcow2 with a compression that is not known (zlib and zstd are)";
            return Err(ImageError::unsupported(self.path, what));
        }
        Ok(())
    }

    /// For the message only, so whatever is wrong on the way ends it quietly.
    fn data_file_name(&self, raw: &Fixed) -> Result<Vec<u8>, ImageError> {
        let mut at = u64::from(raw.u32(100));
        for _ in 0..EXTENSIONS_MAX {
            if at + 8 > raw.cluster_bytes().min(self.file_bytes) {
                break;
            }
            let head = self.read(at, 8)?;
            let kind = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let len = u64::from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
            at += 8;
            if kind == EXTENSION_DATA_FILE {
                return self.read(at, len.min(BACKING_NAME_BYTES_MAX));
            }
            if kind == 0 {
                break;
            }
            at += len.next_multiple_of(8);
        }
        Ok(b"(not named)".to_vec())
    }

    /// The first table covers the disk and lies in the file, and so do the
    /// second tables.
    fn first_table(&self, raw: &Fixed, size: u64, subclusters: bool) -> Result<(), ImageError> {
        let (at, entries) = (raw.u64(40), u64::from(raw.u32(36)));
        let cluster = raw.cluster_bytes();
        let entry_bytes = if subclusters { 16 } else { 8 };
        let covered = cluster / entry_bytes * cluster;
        let needed = size.div_ceil(covered);
        if entries < needed || entries > L1_ENTRIES_MAX {
            return self.damaged(format!(
                "its first table has {entries} entries, where its size needs {needed}"
            ));
        }
        if at == 0 || !at.is_multiple_of(cluster) {
            return self.damaged(format!("its first table is at byte {at}, within a cluster"));
        }
        for (index, entry) in self.read(at, entries * 8)?.chunks_exact(8).enumerate() {
            let mut word = [0; 8];
            word.copy_from_slice(entry);
            let entry = u64::from_be_bytes(word);
            let offset = entry & L1_OFFSET;
            if entry & L1_RESERVED != 0 || !offset.is_multiple_of(cluster) {
                return self.damaged(format!("entry {index} of its first table is {entry:#018x}"));
            }
            if offset != 0 && offset.saturating_add(cluster) > self.file_bytes {
                let have = self.file_bytes;
                return self.damaged(format!(
                    "it was cut off: it has {have} bytes, and a table of it ends at byte {}",
                    offset.saturating_add(cluster)
                ));
            }
        }
        Ok(())
    }
}
