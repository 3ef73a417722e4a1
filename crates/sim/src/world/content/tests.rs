//! Facts about stamps.

use super::*;

#[test]
fn sectors_tell_their_stamps_and_torn_ones_tell_none() {
    let mut bytes = bytes_of(&[7, 0]);
    assert_eq!(bytes.len(), 2 * SECTOR);
    assert_eq!(stamp_of(&bytes[..SECTOR]), Some(7));
    assert_eq!(stamp_of(&bytes[SECTOR..]), Some(0));
    bytes[300] ^= 1;
    assert_eq!(stamp_of(&bytes[..SECTOR]), None);
}

#[test]
fn composed_content_has_the_length_asked_for_and_shares() {
    let mut dice = Dice::new(1);
    let (a, b) = (compose(&mut dice, 300, 60), compose(&mut dice, 301, 60));
    assert_eq!((a.len(), b.len()), (480, 480));
    let library = LIBRARY_BLOCKS * BLOCK_SECTORS;
    let shared = a.iter().filter(|s| **s != 0 && **s <= library && b.contains(s)).count();
    assert!(shared > 0);
    assert!(!a.iter().any(|s| *s > library && b.contains(s)));
}

#[test]
fn a_stream_ends_where_the_resource_does() {
    let content = vec![9; 16];
    let raw = stream(&content, 16 * 512 - 100).unwrap();
    assert!(raw.len() > 8000 && raw.len() < 8400, "{}", raw.len());
}
