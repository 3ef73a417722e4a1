//! Which stored run is chosen.

use archipelago_format::segment::Fingerprint;

use super::*;

fn segment(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

/// A segment of these blocks, one behind the other from position 0 on.
fn prints(hashes: impl IntoIterator<Item = u128>) -> Prints {
    let list = hashes.into_iter().zip(0..).map(|(hash, n)| Fingerprint { hash, position: n * 8 });
    Prints::from_list(list.collect())
}

fn candidates(lists: Vec<Prints>) -> Candidates {
    let lists = lists.into_iter().zip(1..).map(|(prints, n)| Candidate {
        segment: segment(n),
        prints: Arc::new(prints),
        idle: 1,
    });
    Candidates { lists: lists.collect() }
}

fn at(raw: u64, position: u32) -> Location {
    Location::new(segment(raw), position).unwrap()
}

#[test]
fn the_longest_run_wins() {
    let mut candidates = candidates(vec![prints(10..20), prints(5..40)]);
    let hashes: Vec<u128> = (10..100).collect();
    let found = candidates.find(&hashes, 0, 0, None, None).unwrap();
    assert_eq!((found.first, found.len, found.location), (0, 30, at(2, 40)));
    assert_eq!((candidates.lists[0].idle, candidates.lists[1].idle), (1, 0));
}

#[test]
fn a_run_reaches_back_over_blocks_that_are_not_placed() {
    let mut candidates = candidates(vec![prints(0..20)]);
    let hashes: Vec<u128> = (0..20).collect();
    let found = candidates.find(&hashes, 3, 10, None, None).unwrap();
    assert_eq!((found.first, found.len, found.location), (3, 17, at(1, 24)));
}

#[test]
fn a_short_run_counts_only_where_the_last_one_ended() {
    let mut candidates = candidates(vec![prints(0..20)]);
    let hashes: Vec<u128> = (5..12).chain(100..120).collect();
    assert_eq!(candidates.find(&hashes, 0, 0, None, None), None);
    assert_eq!(candidates.find(&hashes, 0, 0, None, Some(at(1, 48))), None);
    let found = candidates.find(&hashes, 0, 0, None, Some(at(1, 40))).unwrap();
    assert_eq!(found.len, 7);
}

#[test]
fn the_open_segment_is_looked_at_too() {
    let open = prints(0..20);
    let hashes: Vec<u128> = (0..20).collect();
    let found = Candidates::default().find(&hashes, 0, 0, Some((segment(9), &open)), None).unwrap();
    assert_eq!((found.segment, found.len), (segment(9), 20));
}
