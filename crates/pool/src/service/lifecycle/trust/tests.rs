//! Facts about clocks that are wrong.

use crate::catalog::{file, lifecycle};
use crate::lifecycle::{DAY_MS, Expiration, Rule};
use crate::object::{Meta, Versioning};
use crate::service::Ended;
use crate::service::lifecycle::tests::{Home, days, rule};

const HOUR: u64 = 3_600_000;
const DAY: i64 = DAY_MS as i64;
const YEARS: i64 = 70 * 365 * DAY;
const NOTHING: Ended = Ended { objects: 0, by_rules: 0, older: 0, uploads: 0 };
const ONE: Ended = Ended { objects: 1, ..NOTHING };

/// A store that has seen some months, with days as long as they are.
fn old() -> Home {
    old_of(Versioning::Off)
}

fn old_of(versioning: Versioning) -> Home {
    let home = Home::with_days(versioning, DAY_MS);
    for _ in 0..100 {
        home.hands.forward(DAY_MS);
        home.end();
    }
    home
}

fn problem(home: &Home) -> Option<String> {
    home.service().status().problem
}

#[test]
fn a_clock_that_jumps_ahead_and_back_ends_nothing() {
    let home = old();
    home.rules(&[days(30)]);
    home.put("a", Meta::default());
    home.put_ending("b", 2 * DAY_MS / 1000);
    home.begin("c");
    home.hands.set_by(YEARS);
    assert_eq!(home.end(), NOTHING);
    assert!(problem(&home).unwrap().contains("days ahead"));
    home.hands.forward(HOUR / 2);
    assert_eq!(home.end(), NOTHING);
    home.hands.set_by(-YEARS);
    assert_eq!(home.end(), NOTHING);
    assert_eq!((problem(&home), home.uploads(), home.rows().len()), (None, 1, 2));
    // And goes on as if nothing had been.
    home.hands.forward(2 * DAY_MS);
    assert_eq!(home.end(), ONE);
}

#[test]
fn a_time_that_is_ahead_is_believed_when_it_has_stood_for_an_hour() {
    let home = old();
    home.put_ending("a", 60);
    home.hands.set_by(2 * DAY);
    assert_eq!(home.end(), NOTHING);
    home.hands.forward(HOUR - 1);
    assert_eq!(home.end(), NOTHING);
    home.hands.forward(1);
    assert_eq!((home.end(), problem(&home)), (ONE, None));
}

#[test]
fn a_time_that_is_set_once_more_has_to_stand_once_more() {
    let home = old();
    home.put_ending("a", 60);
    home.hands.set_by(YEARS);
    assert_eq!(home.end(), NOTHING);
    home.hands.forward(HOUR - 1);
    home.hands.set_by(-YEARS / 2);
    assert_eq!(home.end(), NOTHING);
    home.hands.forward(HOUR - 1);
    assert_eq!(home.end(), NOTHING);
    home.hands.forward(1);
    assert_eq!(home.end(), ONE);
}

#[test]
fn a_small_correction_keeps_nothing_from_ending() {
    let home = old();
    home.put_ending("a", 60);
    home.hands.set_by(HOUR as i64);
    assert_eq!(home.end(), ONE);
    home.hands.set_by(-(HOUR as i64));
    home.put_ending("a", 60);
    home.hands.forward(2 * HOUR);
    assert_eq!((home.end(), problem(&home)), (ONE, None));
}

#[test]
fn what_has_ended_while_a_machine_was_off_for_long_goes_an_hour_after_its_start() {
    let mut home = old();
    home.put_ending("a", 60);
    home.hands.forward(200 * DAY_MS);
    home.bench.crash_timed(&home.hands);
    assert_eq!(home.end(), NOTHING);
    home.hands.forward(HOUR);
    assert_eq!(home.end(), ONE);
}

#[test]
fn what_has_ended_while_a_machine_was_off_for_a_moment_goes_at_once() {
    let mut home = old();
    home.put_ending("a", 60);
    home.hands.forward(HOUR);
    home.bench.crash_timed(&home.hands);
    assert_eq!(home.end(), ONE);
}

#[test]
fn what_comes_while_the_clock_is_behind_is_not_old_when_it_is_right_again() {
    let mut home = old();
    home.rules(&[days(30)]);
    home.hands.set_by(-99 * DAY);
    home.bench.crash_timed(&home.hands);
    let noted = home.service().now_ms();
    home.hands.forward(HOUR);
    assert_eq!(home.put("a", Meta::default()).created_ms, noted + HOUR);
    home.begin("b");
    assert_eq!(home.end(), NOTHING);
    assert!(problem(&home).unwrap().contains("trust_clock"));
    home.hands.set_by(99 * DAY);
    home.hands.forward(HOUR);
    assert_eq!((home.end(), problem(&home)), (NOTHING, None));
    assert_eq!((home.rows(), home.uploads()), (vec!["+a".to_owned()], 1));
}

#[test]
fn a_clock_that_is_behind_ends_nothing_until_it_is_where_it_was() {
    let home = old();
    home.put_ending("a", 60);
    home.hands.set_by(-50 * DAY);
    for _ in 0..48 {
        home.hands.forward(DAY_MS);
        assert_eq!(home.end(), NOTHING);
    }
    home.hands.forward(3 * DAY_MS);
    assert_eq!(home.end(), ONE);
}

#[test]
fn a_wrong_time_that_was_believed_is_taken_back_by_the_operator() {
    let mut home = old();
    home.rules(&[Rule { expiration: Some(Expiration::Date(1)), ..rule() }]);
    home.hands.set_by(YEARS);
    home.end();
    home.hands.forward(HOUR);
    home.end();
    home.hands.set_by(-YEARS);
    home.bench.crash_timed(&home.hands);
    assert_eq!(home.end(), NOTHING);
    home.bench.crash_with(&home.hands, |config| config.trust_clock = true);
    let object = home.put("a", Meta::default());
    assert!(object.created_ms < 200 * DAY_MS);
    // The rules, too, wait no longer than they should.
    assert_eq!(home.end(), Ended { by_rules: 1, ..NOTHING });
    // For good.
    home.bench.crash_timed(&home.hands);
    home.put_ending("b", 60);
    home.hands.forward(HOUR);
    assert_eq!((home.end(), problem(&home)), (ONE, None));
}

#[test]
fn what_a_wrong_time_has_put_off_is_not_when_it_is_taken_back() {
    let mut home = old();
    let id = home.put_ending("a", 60).id;
    let far = YEARS.cast_unsigned();
    let catalog = &home.service().core.catalog;
    catalog.write(|tx| file::remove_later(tx, id, far)).unwrap();
    catalog.write(|tx| crate::catalog::state::set_clock(tx, far)).unwrap();
    home.hands.forward(HOUR);
    home.bench.crash_with(&home.hands, |config| config.trust_clock = true);
    assert_eq!(home.end(), ONE);
}

#[test]
fn an_operator_who_knows_that_the_clock_is_right_does_not_wait() {
    let mut home = old();
    home.put_ending("a", 60);
    home.hands.forward(200 * DAY_MS);
    home.bench.crash_with(&home.hands, |config| config.trust_clock = true);
    assert_eq!(home.end(), ONE);
}

#[test]
fn rules_are_followed_that_a_wrong_clock_has_put_off() {
    let home = old();
    home.rules(&[days(30)]);
    home.put("a", Meta::default());
    let core = &home.service().core;
    core.catalog.write(|tx| lifecycle::put_off(tx, home.id, YEARS.cast_unsigned())).unwrap();
    home.hands.forward(31 * DAY_MS);
    assert_eq!(home.end(), Ended { by_rules: 1, ..NOTHING });
}

#[test]
fn a_store_that_noted_no_time_yet_waits_for_an_hour_and_sees_no_problem() {
    let mut home = old();
    home.put_ending("a", 60);
    home.service().core.catalog.write(|tx| crate::catalog::state::set_clock(tx, 0)).unwrap();
    home.hands.forward(HOUR);
    home.bench.crash_timed(&home.hands);
    assert_eq!((home.end(), problem(&home)), (NOTHING, None));
    home.hands.forward(HOUR);
    assert_eq!(home.end(), ONE);
}

#[test]
fn an_append_while_the_clock_is_ahead_adds_to_what_there_is() {
    let home = old();
    home.put_ending("o", 30 * DAY_MS / 1000);
    let shared = home.share_and_publish("o");
    home.hands.set_by(YEARS);
    let (files, o) = ("files".parse().unwrap(), "o".parse().unwrap());
    let (place, input) = (crate::Place::End, &mut &b"more"[..]);
    let done = home.service().file_update(&files, &o, place, None, Some(4), input).unwrap();
    assert_eq!(done.file.size, 104);
    home.hands.set_by(-YEARS);
    assert_eq!(home.service().grants(&shared).unwrap().len(), 1);
    assert_eq!(home.service().links(home.id, &o).unwrap().len(), 1);
    assert!(home.there("o", crate::Which::Latest));
}

#[test]
fn a_lock_is_not_over_by_a_clock_that_is_ahead() {
    let home = old_of(Versioning::Enabled);
    let lock =
        [(crate::LOCK_MODE, "COMPLIANCE".to_owned()), (crate::LOCK_UNTIL, (YEARS / 2).to_string())];
    let settings = lock.map(|(name, value)| (name.to_owned(), value)).into();
    home.put("o", Meta { settings, ..Meta::default() });
    home.put("o", Meta::default());
    home.hands.set_by(YEARS);
    home.end();
    home.service().object_purge(home.id, &"o".parse().unwrap(), u64::MAX).unwrap();
    assert_eq!(home.rows(), ["+o", "+o"]);
    home.hands.forward(HOUR);
    home.end();
    home.service().object_purge(home.id, &"o".parse().unwrap(), u64::MAX).unwrap();
    assert_eq!(home.rows(), ["+o"]);
}
