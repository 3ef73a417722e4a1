use archipelago_model::{Epoch, VolumeId};
use proptest::prelude::*;

use super::*;
use crate::batch::Kind;

fn header() -> SegmentHeader {
    SegmentHeader {
        id: SegmentId::new(77).unwrap(),
        kind: SegmentKind::Hot,
        store: [5; 16],
        created_ms: 1_700_000_000_000,
        salt: 0xfeed,
    }
}

fn slots(n: u32) -> Vec<Slot> {
    (0..n)
        .map(|i| Slot {
            position: i * 8,
            offset: 512 + i * 4096,
            stored: 4096,
            codec: Codec::Raw,
            crc: i,
        })
        .collect()
}

#[test]
fn a_header_comes_back_and_every_flipped_bit_is_noticed() {
    let good = header().encode();
    assert_eq!(SegmentHeader::decode(&good), Ok(header()));
    for bit in 0..good.len() * 8 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
    }
}

#[test]
fn a_footer_is_found_from_the_end_of_the_file() {
    let slots = slots(600);
    let record = Record {
        volume: VolumeId::new(4),
        start: 16,
        len: 8,
        epoch: Epoch::new(1),
        kind: Kind::Data,
    };
    let mut records = Vec::new();
    encode_footer_record(&mut records, 80, &record);
    let fingerprints: Vec<_> =
        (0..200u32).map(|i| Fingerprint { hash: u128::from(i), position: i * 8 }).collect();
    let parts = FooterParts {
        header: header(),
        body_bytes: 10_000,
        slots: &slots,
        end: 4800,
        records: &records,
        fingerprints: &fingerprints,
        forwarding: &[],
    };
    let (bytes, directory) = encode_footer(&parts);
    let mut file = vec![0; 10_000];
    file.extend_from_slice(&bytes);

    assert_eq!(directory.file_bytes(), file.len() as u64);

    let trailer = Trailer::decode(&file[file.len() - TRAILER_BYTES..]).unwrap();
    let at = trailer.directory_offset as usize;
    let encoded = &file[at..at + trailer.directory_len as usize];
    assert_eq!(crc32c(encoded), trailer.directory_crc);
    assert_eq!(Directory::decode(encoded).unwrap(), directory);
    let part = |s: Section| &file[s.offset as usize..(s.offset + s.len) as usize];
    assert_eq!(decode_footer_records(part(directory.records)), Ok(vec![(80, record)]));
    assert_eq!(Fingerprint::decode_all(part(directory.fingerprints)), Ok(fingerprints));
    assert_eq!(Fingerprint::decode_all(part(directory.samples)).unwrap().len(), 4);
    for position in [0, 7, 8, 2039, 2040, 4799] {
        let page = directory.page_of(position).unwrap();
        let from = directory.slots.offset as usize + page as usize * SLOT_PAGE_BYTES;
        let page = SlotPage::decode(&file[from..from + SLOT_PAGE_BYTES], page).unwrap();
        let (slot, end) = page.find(position).unwrap();
        assert!(slot.position <= position && position < end, "{position}");
    }
    assert_eq!(directory.page_of(4800), None);
}

#[test]
fn a_slot_page_of_another_number_is_refused() {
    let page = SlotPage::encode(&slots(3), 24, 1);
    assert!(SlotPage::decode(&page, 1).is_ok());
    assert!(SlotPage::decode(&page, 2).is_err());
}

#[test]
fn a_segment_that_was_never_sealed_has_no_trailer() {
    assert_eq!(
        Trailer::decode(&[0; TRAILER_BYTES]),
        Err(FormatError::Magic { what: "segment trailer" })
    );
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        let _ = SegmentHeader::decode(&bytes);
        let _ = SlotPage::decode(&bytes, 0);
        let _ = Directory::decode(&bytes);
        let _ = Trailer::decode(&bytes);
        let _ = decode_footer_records(&bytes);
        let _ = Fingerprint::decode_all(&bytes);
    }
}
