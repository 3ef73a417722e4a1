//! Facts about the choice.

use archipelago_model::PoolId;

use super::*;

const FULL: u64 = 32 << 20;

fn candidate(id: u64, kind: SegmentKind, live_percent: u64, age: u64) -> Candidate {
    let info = SegmentInfo {
        id: SegmentId::new(id).unwrap(),
        pool: PoolId::FIRST,
        kind,
        stored_bytes: FULL,
        raw_bytes: FULL,
    };
    let live_sectors = FULL / SECTOR_BYTES * live_percent / 100;
    Candidate { info, live_sectors, carries: false, age }
}

fn jobs(candidates: &[Candidate], urgency: Urgency) -> Vec<Vec<u64>> {
    let choice = choose(candidates, FULL, urgency);
    choice.jobs.iter().map(|job| job.iter().map(|id| id.get()).collect()).collect()
}

#[test]
fn what_nobody_names_is_dead_unless_it_carries_a_table() {
    let dead = candidate(1, SegmentKind::Cold, 0, 5);
    let carrier = Candidate { carries: true, ..candidate(2, SegmentKind::Cold, 0, 5) };
    let choice = choose(&[dead, carrier], FULL, Urgency::Normal);
    assert_eq!(choice.dead, [dead.info.id]);
    assert_eq!(choice.jobs, [vec![carrier.info.id]]);
}

#[test]
fn cold_segments_are_emptied_when_a_fifth_is_dead() {
    let all = [79, 81, 100].map(|live| candidate(live, SegmentKind::Cold, live, 5));
    assert_eq!(jobs(&all, Urgency::Normal), [vec![79]]);
    assert_eq!(jobs(&all, Urgency::High), [vec![79, 81]]);
}

#[test]
fn the_log_is_left_alone_while_it_is_young_and_alive() {
    let young = candidate(1, SegmentKind::Hot, 90, HOT_AGE - 1);
    let old = candidate(2, SegmentKind::Hot, 90, HOT_AGE);
    let dying = candidate(3, SegmentKind::Hot, 70, 1);
    assert_eq!(jobs(&[young], Urgency::Normal), Vec::<Vec<u64>>::new());
    assert_eq!(jobs(&[old], Urgency::Normal), [vec![2]]);
    assert_eq!(jobs(&[dying], Urgency::Normal), [vec![3]]);
    assert_eq!(jobs(&[young], Urgency::High), [vec![1]]);
}

#[test]
fn the_emptiest_and_oldest_go_first() {
    let all = [
        candidate(1, SegmentKind::Cold, 70, 10),
        candidate(2, SegmentKind::Cold, 10, 10),
        candidate(3, SegmentKind::Cold, 70, 1000),
    ];
    assert_eq!(jobs(&all, Urgency::Normal), [vec![3, 2, 1]]);
}

#[test]
fn a_job_moves_a_bounded_number_of_bytes_and_segments() {
    let full: Vec<_> = (1..=20).map(|id| candidate(id, SegmentKind::Hot, 100, 99)).collect();
    let sizes: Vec<_> = jobs(&full, Urgency::High).iter().map(Vec::len).collect();
    assert_eq!(sizes, [8, 8, 4]);
    let tiny: Vec<_> = (1..=100).map(|id| candidate(id, SegmentKind::Hot, 1, 99)).collect();
    assert_eq!(jobs(&tiny, Urgency::High)[0].len(), JOB_SEGMENTS_MAX);
}

#[test]
fn small_segments_are_joined_once_there_are_some() {
    let small = |id| {
        let mut one = candidate(id, SegmentKind::Cold, 0, 1);
        (one.info.stored_bytes, one.info.raw_bytes, one.live_sectors) = (4096, 4096, 8);
        one
    };
    let few: Vec<_> = (1..8).map(small).collect();
    let enough: Vec<_> = (1..9).map(small).collect();
    assert!(jobs(&few, Urgency::Normal).is_empty());
    assert_eq!(jobs(&enough, Urgency::Normal)[0].len(), 8);
    assert!(jobs(&few[..1], Urgency::High).is_empty());
}

#[test]
fn backups_are_not_compacted() {
    let backup = candidate(1, SegmentKind::Backup, 50, 99);
    assert!(jobs(&[backup], Urgency::High).is_empty());
}
