//! Zeros, fingerprints and bounds of a window.

use super::*;

const KEY: [u8; 32] = [3; 32];

fn holes(window: &mut Window) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| window.next_hole(u64::MAX)).map(|e| (e.start(), e.len())).collect()
}

#[test]
fn zero_blocks_are_dropped_and_said_only_when_something_lies_below() {
    for say in [false, true] {
        let mut window = Window::new(KEY, say);
        window.push_block(0, &[1; BLOCK]);
        window.push_block(1, &[0; BLOCK]);
        window.push_block(2, &[0; BLOCK]);
        assert_eq!(window.blocks(), [0]);
        assert_eq!(window.zero_bytes(), 8192);
        assert_eq!(holes(&mut window), if say { vec![(8, 16)] } else { vec![] });
    }
}

#[test]
fn one_byte_that_is_not_zero_makes_a_block_of_data() {
    for at in [0, 1, 127, 128, 2000, 4095] {
        let mut block = vec![0; BLOCK];
        assert!(is_zero(&block));
        block[at] = 1;
        assert!(!is_zero(&block));
    }
}

#[test]
fn the_last_block_is_hashed_with_zeros_behind_it() {
    let mut window = Window::new(KEY, false);
    window.push_block(5, &[9; 100]);
    let mut whole = [0; BLOCK];
    whole[..100].fill(9);
    assert_eq!(window.hashes(), [fingerprint(&KEY, &whole)]);
    assert_eq!(window.bytes(0, 1), whole);
}

#[test]
fn another_key_gives_other_fingerprints() {
    assert_ne!(fingerprint(&[1; 32], &[5; BLOCK]), fingerprint(&[2; 32], &[5; BLOCK]));
}

#[test]
fn zeros_longer_than_an_extent_become_several() {
    let mut window = Window::new(KEY, true);
    window.push_zero(0, (Extent::SECTORS_MAX + 10) * 512);
    assert_eq!(holes(&mut window), [(0, Extent::SECTORS_MAX), (Extent::SECTORS_MAX, 10)]);
}

#[test]
fn only_zeros_that_begin_before_a_block_come_before_it() {
    let mut window = Window::new(KEY, true);
    window.push_zero(0, 4096);
    window.push_zero(65536, 4096);
    assert_eq!(window.next_hole(64).map(|e| e.start()), Some(0));
    assert_eq!(window.next_hole(64), None);
    assert_eq!(window.next_hole(129).map(|e| e.start()), Some(128));
}

#[test]
fn a_full_window_keeps_to_its_size() {
    let mut window = Window::new(KEY, true);
    let capacity = window.bytes.capacity();
    for n in 0..WINDOW_BLOCKS as u64 {
        assert!(!window.is_full());
        window.push_block(n, &[1; BLOCK]);
    }
    assert!(window.is_full() && !window.has_many_holes());
    assert_eq!(window.bytes.capacity(), capacity);
    window.drop_first(1000);
    assert_eq!(window.blocks()[0], 1000);
    for n in 0..HOLES_MAX as u64 {
        assert!(!window.has_many_holes());
        window.push_zero(n * 8192, 4096);
    }
    assert!(window.has_many_holes());
}
