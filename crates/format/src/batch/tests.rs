use proptest::prelude::*;

use super::*;

const SALT: u32 = 0x5a17;

fn segment() -> SegmentId {
    SegmentId::new(0x1234).unwrap()
}

fn records() -> Vec<Record> {
    let epoch = Epoch::new(3);
    let volume = VolumeId::new(9);
    vec![
        Record { volume, start: 8, len: 9, epoch, kind: Kind::Data },
        Record { volume, start: 100, len: 0xff_ffff, epoch, kind: Kind::Zero },
        Record {
            volume: VolumeId::new(0),
            start: 0,
            len: 777,
            epoch: Epoch::new(0),
            kind: Kind::Node(Codec::Raw),
        },
    ]
}

fn encoded() -> Vec<u8> {
    let mut out = Vec::new();
    let at = Location::new(segment(), 55).unwrap();
    Header::encode_into(&mut out, at, SALT, 17, &records(), &[1, 2, 3]);
    out
}

#[test]
fn a_batch_comes_back_as_it_was_written() {
    let header = Header::decode(&encoded(), segment(), SALT).unwrap();
    assert_eq!(header.records, records());
    assert_eq!(header.crcs, [1, 2, 3]);
    assert_eq!((header.location.position(), header.synced), (55, 17));
    assert_eq!(header.payload_sectors(), 9 + 2);
    assert_eq!(header.positions(), 9 + 1 + 2);
}

#[test]
fn the_layout_is_pinned() {
    let bytes = encoded();
    assert_eq!(bytes.len(), 512);
    assert_eq!(&bytes[..8], [0x41, 0x41, 0x42, 0x54, 1, 0, 3, 0]);
    assert_eq!(&bytes[8..24], [0x34, 0x12, 0, 0, 0, 0, 0, 0, 55, 0, 0, 0, 11, 0, 0, 0]);
    assert_eq!(
        &bytes[32..56],
        [9, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 8, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0]
    );
}

#[test]
fn a_batch_of_another_segment_is_refused() {
    let other = SegmentId::new(0x1235).unwrap();
    assert!(Header::decode(&encoded(), other, SALT).is_err());
}

#[test]
fn a_batch_made_without_the_salt_is_refused() {
    assert!(Header::decode(&encoded(), segment(), 0).is_err());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = encoded();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Header::decode(&bad, segment(), SALT).is_err(), "bit {bit}");
    }
}

#[test]
fn the_largest_batch_fits_the_header_limit() {
    let pieces = 2 * 8192 + RECORDS_MAX;
    assert!(Header::sectors_for(RECORDS_MAX, pieces) <= HEADER_SECTORS_MAX);
    assert!(HEADER_SECTORS_MAX <= usize::from(u16::MAX));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..1600)) {
        let _ = Header::decode(&bytes, segment(), SALT);
        let mut bytes = bytes;
        if bytes.len() >= 512 {
            bytes.truncate(512);
            bytes[..16].copy_from_slice(&encoded()[..16]);
            let mut zeroed = bytes.clone();
            zeroed[CRC_AT..FIXED_BYTES].fill(0);
            let crc = crc32c(&zeroed) ^ SALT;
            bytes[CRC_AT..FIXED_BYTES].copy_from_slice(&crc.to_le_bytes());
            let _ = Header::decode(&bytes, segment(), SALT);
        }
    }
}
