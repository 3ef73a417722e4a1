//! What the judge of a crash accepts and what it refuses.

use super::*;

const ONE: Content = Content::Version(1);
const TWO: Content = Content::Version(2);

fn written(contents: &[(Content, bool)]) -> Blocks {
    let mut blocks = Blocks::new(7, 1);
    for (content, durable) in contents {
        blocks.sent(0, *content);
        blocks.acknowledged(0, *durable);
    }
    blocks
}

fn bytes(content: Content) -> Vec<u8> {
    match content {
        Content::Zeros => vec![0; BLOCK_BYTES],
        Content::Version(version) => stamp(7, 0, version).to_vec(),
    }
}

#[test]
fn without_a_flush_old_or_new_is_fine() {
    for content in [Content::Zeros, ONE, TWO] {
        let mut blocks = written(&[(ONE, false), (TWO, false)]);
        blocks.recovered(&bytes(content)).unwrap();
    }
}

#[test]
fn what_was_flushed_must_be_there() {
    let mut blocks = written(&[(ONE, false)]);
    let mark = blocks.mark();
    blocks.sent(0, TWO);
    blocks.flushed(&mark);
    assert!(blocks.recovered(&bytes(Content::Zeros)).is_err());
    blocks.recovered(&bytes(TWO)).unwrap();
}

#[test]
fn a_write_with_fua_is_durable_by_itself() {
    let mut blocks = written(&[(ONE, true)]);
    assert!(blocks.recovered(&bytes(Content::Zeros)).is_err());
}

#[test]
fn what_was_seen_after_a_crash_stays() {
    let mut blocks = written(&[(ONE, false)]);
    blocks.recovered(&bytes(Content::Zeros)).unwrap();
    assert!(blocks.recovered(&bytes(ONE)).is_err());
}

#[test]
fn a_torn_block_and_a_block_of_another_are_told() {
    let mut torn = stamp(7, 0, 1);
    torn[2048..].copy_from_slice(&stamp(7, 0, 2)[2048..]);
    assert!(read(7, 0, &torn).is_err());
    assert!(read(7, 0, &stamp(7, 1, 1)).is_err());
    assert!(read(7, 0, &stamp(8, 0, 1)).is_err());
    assert_eq!(read(7, 0, &stamp(7, 0, 1)), Ok(ONE));
}

#[test]
fn a_snapshot_holds_what_was_acknowledged_before_and_nothing_later() {
    let mut blocks = written(&[(ONE, false)]);
    let (from, to) = (blocks.mark(), blocks.sent_mark());
    blocks.sent(0, TWO);
    blocks.snapshot(&bytes(ONE), &from, &to).unwrap();
    assert!(blocks.snapshot(&bytes(Content::Zeros), &from, &to).is_err());
    assert!(blocks.snapshot(&bytes(TWO), &from, &to).is_err());
}
