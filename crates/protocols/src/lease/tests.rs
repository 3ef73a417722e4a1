use std::num::NonZeroUsize;

use super::property::{HEADS, KEPT, NO_GHOST, ONE_WRITER, SEEN};
use super::{Bug, Config};
use crate::search::{every_state, until_broken};

/// Whoever leaves out the rule breaks the property.
#[track_caller]
fn breaks(bug: Bug, property: &'static str) {
    let outcome = until_broken(Config { bug: Some(bug), ..Config::small(2) }, property);
    assert!(outcome.trace(property).is_some(), "{outcome:#?}");
}

#[test]
fn no_pause_crash_or_late_write_breaks_a_promise() {
    let outcome =
        every_state(Config { crashes: 0, ticks: 4, ..Config::small(2) }, NonZeroUsize::MIN);
    println!("{} states, {} steps, depth {}", outcome.states, outcome.steps, outcome.depth);
    assert!(outcome.good(), "{outcome:#?}");
}

#[test]
fn an_owner_has_to_look_at_the_clock_after_the_write_is_durable() {
    breaks(Bug::AckAfterExpiry, KEPT);
    breaks(Bug::ClockReadBeforeWrite, KEPT);
}

#[test]
fn an_owner_counts_from_its_question_and_stops_early() {
    breaks(Bug::NoMargin, SEEN);
    breaks(Bug::TermFromAnswer, SEEN);
}

#[test]
fn a_take_over_waits_reads_the_logs_and_reads_them_itself() {
    breaks(Bug::TakenBeforeExpiry, SEEN);
    breaks(Bug::LogNotRead, SEEN);
    breaks(Bug::StandbyNotReread, KEPT);
}

#[test]
fn a_head_is_moved_under_the_epoch() {
    breaks(Bug::HeadUnfenced, HEADS);
    breaks(Bug::HeadUnfenced, NO_GHOST);
}

/// Else a record that arrives later is found by the next take-over, behind the back of
/// those who read that it was not there.
#[test]
fn what_counts_of_old_logs_is_recorded_under_the_epoch() {
    breaks(Bug::NoCut, NO_GHOST);
    breaks(Bug::CutUnfenced, NO_GHOST);
}

#[test]
fn each_take_over_has_an_epoch_of_its_own() {
    breaks(Bug::EpochKept, ONE_WRITER);
}

#[test]
fn a_release_is_the_last_thing_that_an_owner_does() {
    breaks(Bug::ReleaseBeforeStop, SEEN);
}

#[test]
fn every_bug_is_in_a_test() {
    let tests = include_str!("tests.rs");
    for bug in Bug::ALL {
        assert!(tests.contains(&format!("Bug::{bug:?}")), "{bug:?}");
    }
}
