//! A mended input gets beyond every checksum: else the fuzzers try nothing.

use super::*;
use crate::seeds;
use crate::targets::format::SALT;

fn seed(target: &str, index: usize) -> Vec<u8> {
    let all = seeds::all().into_iter().filter(|seed| seed.target == target);
    all.map(|seed| seed.bytes).nth(index).unwrap()
}

/// `decodes` refuses `bytes` with the byte at `at` changed, until it is mended.
fn mends(bytes: &[u8], at: usize, mend: fn(&mut [u8]), decodes: fn(&[u8]) -> bool) {
    let mut bytes = bytes.to_vec();
    assert!(decodes(&bytes));
    bytes[at] ^= 1;
    assert!(!decodes(&bytes), "a checksum covers byte {at}");
    mend(&mut bytes);
    assert!(decodes(&bytes), "the change of byte {at} is mended");
}

#[test]
fn every_structure_with_a_checksum_is_mended() {
    mends(&seed("segment_header", 0), 40, segment_header, |b| SegmentHeader::decode(b).is_ok());
    mends(&seed("slot_page", 0), 20, slot_page, |b| SlotPage::decode(b, 0).is_ok());
    mends(&seed("directory", 0), 40, directory, |b| Directory::decode(b).is_ok());
    mends(&seed("trailer", 0), 2, trailer, |b| Trailer::decode(b).is_ok());
    mends(
        &seed("batch_header", 1),
        24,
        |b| batch_header(b, SALT),
        |b| BatchHeader::decode(b, SegmentId::MIN, SALT).is_ok(),
    );
    mends(&seed("forwarding", 0), 40, forwarding, |b| {
        archipelago_format::forwarding::decode_forward_page(&b[16..], 0).is_ok()
    });
    mends(&seed("store_file", 0), 20, store_file, |b| {
        archipelago_format::store_file::StoreFile::decode(b).is_ok()
    });
}

#[test]
fn a_stream_is_mended_from_its_header_to_its_digest() {
    let whole = |bytes: &[u8]| {
        let Ok(mut reader) = archipelago_format::stream::Reader::new(bytes) else { return false };
        loop {
            match reader.next() {
                Ok(archipelago_format::stream::Record::End) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    // In the header's identity, a payload, and the digest.
    let bytes = seed("transfer_stream", 1);
    for at in [41, 200, bytes.len() - 1] {
        mends(&bytes, at, transfer_stream, whole);
    }
}

#[test]
fn a_segment_is_mended_down_to_what_its_slots_hold() {
    for index in 1..3 {
        let bytes = seed("segment_recovery", index);
        // Behind the header: the first batch, or the first chunk.
        for at in [1100, 1536] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            segment(&mut changed);
            let trailer_at = changed.len() - TRAILER_BYTES;
            let found = Trailer::decode(&changed[trailer_at..]).unwrap();
            let directory = &changed[found.directory_offset as usize..trailer_at];
            assert_eq!(crc32c(directory), found.directory_crc);
            let directory = Directory::decode(directory).unwrap();
            let page = &changed[directory.slots.offset as usize..][..SLOT_PAGE_BYTES];
            for slot in SlotPage::decode(page, 0).unwrap().slots {
                let stored = &changed[slot.offset as usize..][..slot.stored as usize];
                assert_eq!(crc32c(stored), slot.crc, "the slot at {}", slot.position);
            }
        }
    }
}
