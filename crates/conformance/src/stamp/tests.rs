//! What the judge of a crash accepts and what it refuses.

use super::*;

const ONE: Content = Content::Version(1);
const TWO: Content = Content::Version(2);

fn written(contents: &[(Content, bool)]) -> Blocks {
    let mut blocks = Blocks::new(1);
    for (content, durable) in contents {
        blocks.sent(0, *content, 0);
        blocks.acknowledged(0, *durable, 0);
    }
    blocks
}

#[test]
fn without_a_flush_old_or_new_is_fine() {
    let blocks = written(&[(ONE, false), (TWO, false)]);
    for content in [Content::Zeros, ONE, TWO] {
        blocks.crashed(&[content], 0).unwrap();
    }
}

#[test]
fn what_was_flushed_must_be_there() {
    let mut blocks = written(&[(ONE, false)]);
    let mark = blocks.mark();
    blocks.sent(0, TWO, 0);
    blocks.flushed(&mark, 0);
    assert!(blocks.crashed(&[Content::Zeros], 0).is_err());
    blocks.crashed(&[TWO], 0).unwrap();
}

#[test]
fn a_write_with_fua_is_durable_by_itself() {
    let blocks = written(&[(ONE, true)]);
    assert!(blocks.crashed(&[Content::Zeros], 0).is_err());
}

#[test]
fn what_was_seen_after_a_crash_stays() {
    let mut blocks = written(&[(ONE, false)]);
    blocks.crashed(&[Content::Zeros], 0).unwrap();
    blocks.settled(&[Content::Zeros], 0);
    assert!(blocks.crashed(&[ONE], 0).is_err());
}

#[test]
fn a_flush_counts_from_its_acknowledgement_on_and_a_write_from_its_sending() {
    let mut blocks = Blocks::new(1);
    blocks.sent(0, ONE, 10);
    blocks.acknowledged(0, false, 20);
    let mark = blocks.mark();
    blocks.sent(0, TWO, 30);
    blocks.flushed(&mark, 40);
    let allowed = |at| {
        let all = [Content::Zeros, ONE, TWO];
        all.map(|content| blocks.crashed(&[content], at).is_ok())
    };
    assert_eq!(allowed(9), [true, false, false]);
    assert_eq!(allowed(29), [true, true, false]);
    assert_eq!(allowed(39), [true, true, true]);
    assert_eq!(allowed(40), [false, true, true]);
}

#[test]
fn a_record_that_begins_again_keeps_what_the_crash_could_leave() {
    let mut blocks = Blocks::new(1);
    blocks.sent(0, ONE, 10);
    blocks.acknowledged(0, true, 20);
    blocks.sent(0, TWO, 30);
    blocks.begin_again(25);
    blocks.crashed(&[ONE], 0).unwrap();
    assert!(blocks.crashed(&[TWO], 0).is_err() && blocks.crashed(&[Content::Zeros], 0).is_err());
}

#[test]
fn a_torn_block_and_a_block_of_another_are_told() {
    let mut torn = stamp(7, 0, 1);
    torn[2048..].copy_from_slice(&stamp(7, 0, 2)[2048..]);
    assert!(read(0, &torn).is_err());
    assert!(read(0, &stamp(7, 1, 1)).is_err());
    assert_eq!(read(0, &stamp(7, 0, 1)), Ok(ONE));
}

#[test]
fn a_snapshot_holds_what_was_acknowledged_before_and_nothing_later() {
    let mut blocks = written(&[(ONE, false)]);
    let (from, to) = (blocks.mark(), blocks.sent_mark());
    blocks.sent(0, TWO, 0);
    blocks.snapshot(&[ONE], &from, &to).unwrap();
    assert!(blocks.snapshot(&[Content::Zeros], &from, &to).is_err());
    assert!(blocks.snapshot(&[TWO], &from, &to).is_err());
    assert!(blocks.snapshot(&[ONE, ONE], &from, &to).is_err());
}
