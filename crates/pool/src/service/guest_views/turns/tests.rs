//! Facts about turns.

use archipelago_layout::Format;
use archipelago_model::Location;

use super::*;
use crate::resource::DiskState;
use crate::testing::{Bench, config};

fn row(number: u64) -> GuestViewRow {
    GuestViewRow {
        key: Key { root: Location::HOLE, size: number },
        format: Format::Qcow2,
        state: DiskState::Found,
        size: 0,
        root: Location::HOLE,
    }
}

fn numbers(rows: &[GuestViewRow]) -> Vec<u64> {
    rows.iter().map(|row| row.key.size).collect()
}

#[test]
fn what_has_just_changed_rests_unless_a_clone_waits_for_it() {
    let (bench, hands) = Bench::timed(config());
    let core = &bench.service.core;
    let now = core.now_ms();
    let rows = || vec![(row(1), now), (row(2), now - REST_MS), (row(3), now + 1)];
    let mut turns = Turns::default();
    let (ready, due) = core.choose(rows(), &mut turns);
    let rested = core.env.clock().monotonic() + Duration::from_millis(REST_MS);
    assert_eq!((numbers(&ready), due), (vec![2, 3], Some(rested)));
    core.guest_views.wanted.lock().push(row(1).key);
    assert_eq!(numbers(&core.choose(rows(), &mut turns).0), [1, 2, 3]);
    core.guest_views.wanted.lock().clear();
    hands.forward(REST_MS);
    let (ready, due) = core.choose(vec![(row(1), now)], &mut turns);
    assert_eq!((numbers(&ready), due), (vec![1], None));
}

#[test]
fn what_failed_is_tried_again_after_pauses_that_grow_and_end() {
    let (bench, hands) = Bench::timed(config());
    let core = &bench.service.core;
    let rows = || vec![(row(1), 0), (row(2), 0)];
    let mut turns = Turns::default();
    let mut pause = BACKOFF;
    for _ in 0..12 {
        turns.fail(row(1).key, core.env.clock().monotonic());
        let (ready, due) = core.choose(rows(), &mut turns);
        let again = core.env.clock().monotonic() + pause;
        assert_eq!((numbers(&ready), due), (vec![2], Some(again)));
        hands.forward(u64::try_from(pause.as_millis()).unwrap() - 1);
        assert_eq!(numbers(&core.choose(rows(), &mut turns).0), [2]);
        hands.forward(1);
        assert_eq!(numbers(&core.choose(rows(), &mut turns).0), [1, 2]);
        pause = (pause * 2).min(PAUSE_MAX);
    }
    core.choose(Vec::new(), &mut turns);
    assert!(turns.failed.is_empty());
}

#[test]
fn a_turn_has_an_end() {
    let bench = Bench::new();
    let rows = (0..100).map(|number| (row(number), 0)).collect();
    let (ready, _) = bench.service.core.choose(rows, &mut Turns::default());
    assert_eq!(ready.len(), TURN_ROWS);
}
