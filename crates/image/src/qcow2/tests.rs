//! The audit refuses what no writer makes.

use std::os::unix::fs::FileExt;
use std::path::Path;

use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::{collection, prop_assert};

use super::{Qcow2, audit};
use crate::guest::Guest;
use crate::{Format, ImageError};

/// An empty qcow2 of 1 GiB, made by our own export: one table, no clusters.
fn empty() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.qcow2");
    let header = archipelago_format::stream::Header { size: 1 << 30, ..Default::default() };
    let stream = archipelago_format::stream::Writer::new(Vec::new(), &header)
        .and_then(archipelago_format::stream::Writer::finish)
        .unwrap();
    crate::export(&mut &stream[..], &path, Format::Qcow2, false, &crate::no_progress).unwrap();
    std::fs::read(path).unwrap()
}

fn audited(bytes: &[u8]) -> Result<super::header::Header, ImageError> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    audit(&file, Path::new("x.qcow2"), bytes.len() as u64)
}

fn with(at: usize, field: &[u8]) -> Result<super::header::Header, ImageError> {
    let mut bytes = empty();
    bytes[at..at + field.len()].copy_from_slice(field);
    audited(&bytes)
}

#[test]
fn a_sound_image_passes() {
    let header = audited(&empty()).unwrap();
    assert_eq!((header.size, header.for_imago), (1 << 30, true));
}

#[test]
fn a_table_that_does_not_cover_the_disk_is_damage() {
    let error = with(24, &(1u64 << 44).to_be_bytes()).unwrap_err();
    assert!(error.to_string().contains("first table has"), "{error}");
    assert!(with(36, &0u32.to_be_bytes()).is_err());
    assert!(with(36, &u32::MAX.to_be_bytes()).is_err());
}

#[test]
fn a_table_beyond_the_end_is_damage() {
    for at in [1u64 << 40, !0xffff] {
        assert!(matches!(with(40, &at.to_be_bytes()), Err(ImageError::Damaged { .. })));
    }
    let mut bytes = empty();
    let l1 = u64::from_be_bytes(bytes[40..48].try_into().unwrap()) as usize;
    let end = (bytes.len() as u64).next_multiple_of(65536);
    bytes[l1..l1 + 8].copy_from_slice(&end.to_be_bytes());
    assert!(audited(&bytes).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn sizes_of_nothing_and_over_64_tib_are_refused() {
    assert!(matches!(with(24, &0u64.to_be_bytes()), Err(ImageError::Empty(_))));
    let over = ((64u64 << 40) + 512).to_be_bytes();
    assert!(matches!(with(24, &over), Err(ImageError::TooLarge { .. })));
}

#[test]
fn features_decide_who_reads() {
    for (features, for_imago) in [(0u64, true), (16, false)] {
        assert_eq!(with(72, &features.to_be_bytes()).unwrap().for_imago, for_imago);
    }
    let refused = |features: u64| with(72, &features.to_be_bytes()).unwrap_err().to_string();
    assert!(refused(1).contains("not closed"));
    assert!(refused(2).contains("marked as corrupt"));
    assert!(refused(4).contains("in another file"));
    assert!(refused(8).contains("compression"));
    assert!(refused(32).contains("not known"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever stands in the header and the tables: an answer, soon.
    #[test]
    fn arbitrary_metadata_never_panics(
        patches in collection::vec((0usize..112, any::<u8>()), 0..6),
        entries in collection::vec(any::<u64>(), 0..8),
    ) {
        let mut bytes = empty();
        let l1 = u64::from_be_bytes(bytes[40..48].try_into().unwrap()) as usize;
        for (index, entry) in entries.iter().enumerate() {
            // Offsets that are often within the file.
            let entry = entry & 0x8000_0000_0003_0000;
            let at = l1 + index * 8;
            if at + 8 <= bytes.len() {
                bytes[at..at + 8].copy_from_slice(&entry.to_be_bytes());
            }
        }
        for (at, byte) in patches {
            bytes[at] = byte;
        }
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let (path, len) = (Path::new("x.qcow2"), bytes.len() as u64);
        if let Ok(header) = audit(&file, path, len)
            && header.for_imago
            && let Ok(mut image) = Qcow2::open(&file, path, len)
        {
            let mut at = 0;
            while let Ok(Some(range)) = image.next_data(at) {
                prop_assert!(at <= range.start && range.start < range.end);
                let mut out = vec![0; 65536];
                if image.read(range.start, &mut out).is_err() {
                    break;
                }
                at = range.end;
            }
        }
    }
}
