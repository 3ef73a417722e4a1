//! Facts about bytes in pages, compared with a plain vector.

use super::*;
use crate::Dice;

#[test]
fn pages_are_as_good_as_a_vector() {
    let mut dice = Dice::new(1);
    let mut content = Content::default();
    let mut plain: Vec<u8> = Vec::new();
    for round in 0..2000 {
        let offset = dice.below(20_000) as usize;
        if dice.below(4) == 0 {
            content.resize(offset as u64);
            plain.resize(offset, 0);
        } else {
            let bytes = vec![round as u8 | 1; dice.below(9000) as usize + 1];
            content.write(offset as u64, &bytes);
            plain.resize(plain.len().max(offset + bytes.len()), 0);
            plain[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        let mut read = vec![9; 30_000];
        let len = content.read(0, &mut read);
        assert_eq!(&read[..len], plain);
        assert_eq!(content.len(), plain.len() as u64);
    }
}

#[test]
fn a_clone_does_not_see_later_writes() {
    let mut content = Content::default();
    content.write(0, b"before");
    let clone = content.clone();
    content.write(0, b"after!");
    let mut read = [0; 6];
    clone.read(0, &mut read);
    assert_eq!(&read, b"before");
}

#[test]
fn a_read_far_behind_the_end_finds_nothing() {
    assert_eq!(Content::default().read(u64::MAX, &mut [0; 8]), 0);
}
