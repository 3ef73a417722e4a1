use super::*;

fn sample() -> StoreFile {
    StoreFile { uuid: [0xab; 16], dedup_key: [0x17; 32] }
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(StoreFile::decode(&sample().encode()), Ok(sample()));
}

#[test]
fn every_flipped_bit_is_refused() {
    let good = sample().encode();
    for bit in 0..good.len() * 8 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        StoreFile::decode(&bad).unwrap_err();
    }
}

#[test]
fn every_truncation_and_a_longer_file_are_refused() {
    let good = sample().encode();
    for len in 0..good.len() {
        StoreFile::decode(&good[..len]).unwrap_err();
    }
    let mut longer = good.to_vec();
    longer.push(0);
    StoreFile::decode(&longer).unwrap_err();
}

#[test]
fn a_newer_version_is_named() {
    let mut newer = sample().encode();
    newer[8] = 2;
    assert_eq!(
        StoreFile::decode(&newer),
        Err(FormatError::Version { what: "STORE", got: 2, known: 1 })
    );
}

#[test]
fn the_key_is_not_shown() {
    assert!(!format!("{:?}", sample()).contains("23"));
}
