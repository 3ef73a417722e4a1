//! What the index finds, what it costs, what it does when full.

use super::*;

fn segment(raw: u64) -> SegmentId {
    SegmentId::new(raw).unwrap()
}

/// A number that looks random, sampled.
fn hash(n: u64) -> u128 {
    let bytes = blake3::hash(&n.to_le_bytes());
    u128::from_le_bytes(bytes.as_bytes()[..16].try_into().unwrap()) & !SAMPLE_MASK
}

fn found(index: &SampleIndex, hash: u128) -> Vec<u64> {
    index.candidates(hash).map(SegmentId::get).collect()
}

#[test]
fn what_was_learnt_is_found_and_little_else() {
    let index = SampleIndex::new();
    for n in 0..100_000 {
        assert_ne!(index.insert(hash(n), segment(n / 100 + 1)), Inserted::Full);
    }
    let wrong: usize = (0..100_000)
        .map(|n| {
            let found = found(&index, hash(n));
            assert!(found.contains(&(n / 100 + 1)));
            found.len() - 1
        })
        .sum();
    assert!(wrong < 100, "{wrong} candidates that nobody inserted");
    let strangers = (100_000..200_000).filter(|&n| !found(&index, hash(n)).is_empty()).count();
    assert!(strangers < 100, "{strangers} unknown fingerprints found");
}

#[test]
fn an_entry_costs_less_than_twelve_bytes_at_any_size() {
    let index = SampleIndex::new();
    for n in 0..1_000_000 {
        index.insert(hash(n), segment(n + 1));
        if n > 200_000 && n % 20_000 == 0 {
            assert!(index.bytes() < index.len() * 12, "{} for {}", index.bytes(), index.len());
        }
    }
}

#[test]
fn the_same_again_takes_no_room() {
    let index = SampleIndex::new();
    assert_eq!(index.insert(hash(1), segment(7)), Inserted::New);
    assert_eq!(index.insert(hash(1), segment(7)), Inserted::Known);
    assert_eq!(index.len(), 1);
}

#[test]
fn a_block_that_every_segment_has_keeps_the_newest_few() {
    let index = SampleIndex::new();
    for n in 1..=1000 {
        index.insert(hash(1), segment(n));
    }
    index.insert(hash(1), segment(3));
    let mut found = found(&index, hash(1));
    found.sort_unstable();
    assert_eq!(found, [997, 998, 999, 1000]);
    assert_eq!(index.len(), ALIKE_MAX as u64);
}

#[test]
fn a_full_index_keeps_what_it_knows_and_learns_nothing() {
    let index = SampleIndex::with_limit(SHARDS * 2);
    let kept = (0..10_000)
        .filter(|&n| index.insert(hash(n), segment(n + 1)) == Inserted::New)
        .collect::<Vec<_>>();
    assert!(kept.len() <= SHARDS * 2);
    assert_eq!(index.len(), kept.len() as u64);
    assert!(kept.iter().all(|&n| found(&index, hash(n)).contains(&(n + 1))));
    assert_eq!(index.insert(hash(20_000), segment(1)), Inserted::Full);
}

#[test]
fn only_sampled_fingerprints_are_learnt_from_a_list() {
    let index = SampleIndex::new();
    let prints: Vec<_> = (0..6400u32)
        .map(|n| Fingerprint { hash: hash(u64::from(n)) | u128::from(n % 64), position: n * 8 })
        .collect();
    assert_eq!(index.learn(&prints, segment(5)), 0);
    assert_eq!(index.len(), 100);
}
