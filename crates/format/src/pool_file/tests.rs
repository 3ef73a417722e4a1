//! Facts about the file `PLACE`.

use super::*;

#[test]
fn what_is_written_is_read() {
    for url in ["", "s3://bucket/prefix?endpoint=http://127.0.0.1:1", &"x".repeat(URL_BYTES_MAX)] {
        let file = PoolFile::new(url).unwrap();
        assert_eq!(PoolFile::decode(&file.encode()), Ok(file));
    }
}

#[test]
fn its_bytes_never_change() {
    let bytes = PoolFile::new("s3://b").unwrap().encode();
    assert_eq!(bytes[..22], *b"ARCHPOOL\x01\0\0\0\x06\0\0\0s3://b");
    assert_eq!(bytes[22..], crc32c(&bytes[..22]).to_le_bytes());
}

#[test]
fn a_url_that_is_too_long_is_refused() {
    assert!(PoolFile::new(&"x".repeat(URL_BYTES_MAX + 1)).is_err());
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let bytes = PoolFile::new("rados://pool/namespace").unwrap().encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(PoolFile::decode(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(PoolFile::decode(&bytes[..len]).is_err(), "{len}");
    }
    assert!(PoolFile::decode(&[&bytes[..], b"x"].concat()).is_err());
}
