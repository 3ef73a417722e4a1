use std::num::NonZeroUsize;

use super::property::{BACKUP, CONDEMNED, IDS, NAMES, READERS};
use super::{Bug, Config, Round, Stamp};
use crate::search::{every_state, until_broken};

/// Nothing is broken, and what should happen can.
#[track_caller]
fn holds(config: Config) {
    let outcome = every_state(config, NonZeroUsize::MIN);
    println!("{} states, {} steps, depth {}", outcome.states, outcome.steps, outcome.depth);
    assert!(outcome.good(), "{outcome:#?}");
}

/// Whoever leaves out the rule breaks the property.
#[track_caller]
fn breaks(config: Config, property: &'static str) {
    let outcome = until_broken(config, property);
    assert!(outcome.trace(property).is_some(), "{outcome:#?}");
}

#[test]
fn ingests_removals_and_crashes_of_one_host_lose_nothing() {
    holds(Config::ingests(1));
}

#[test]
fn it_is_enough_to_stamp_what_is_shared_where_one_host_spares_what_it_has_under_way() {
    holds(Config { stamp: Stamp::Shared, crashes: 0, ..Config::ingests(1) });
}

#[test]
fn readers_of_one_host_keep_what_they_hold() {
    holds(Config { ids: 3, ..Config::readers(1) });
}

#[test]
fn checkpoints_and_merges_of_one_host_lose_nothing() {
    holds(Config { crashes: 1, ..Config::checkpoints(1) });
}

#[test]
fn compaction_beside_ingests_loses_nothing() {
    holds(Config::compaction(1));
}

#[test]
fn carriers_are_compacted_and_forwarded_ids_forgotten_under_readers() {
    holds(Config::carriers(1));
}

#[test]
fn the_maps_of_a_compacted_log_are_merged_without_loss() {
    holds(Config { ids: 3, ..Config::merges(1) });
}

/// A second compaction moves on, and carries no table for what only the merge names.
#[test]
fn a_merge_has_to_keep_the_names_that_the_mark_saw() {
    breaks(Config { ids: 5, marks: 3, ..Config::merges(1) }.with(Bug::MergeResolves), NAMES);
}

#[test]
fn two_hosts_that_answer_marks_lose_nothing() {
    holds(Config { crashes: 0, rescues: 0, ..Config::ingests(2) });
    holds(Config { ids: 3, ..Config::readers(2) });
    holds(Config::carriers(2));
}

#[test]
fn two_collections_at_once_lose_nothing() {
    holds(Config { collectors: 2, ids: 3, crashes: 0, ..Config::ingests(2) });
    holds(Config { collectors: 2, marks: 2, readers: false, ..Config::carriers(2) });
}

#[test]
fn memory_of_the_collecting_host_is_not_enough_for_two() {
    let alone = |config: Config| Config { round: Round::Memory, ..config };
    breaks(alone(Config::readers(2)), READERS);
    breaks(alone(Config::checkpoints(2)), NAMES);
    // Not even where everything is stamped: what the other host has not bound yet looks
    // as if an ingest had failed.
    breaks(alone(Config { stamp: Stamp::Named, ..Config::ingests(2) }), CONDEMNED);
}

#[test]
fn a_checkpoint_between_mark_and_answer_has_to_stamp_its_log() {
    breaks(Config { stamp: Stamp::Recorded, ..Config::checkpoints(2) }, CONDEMNED);
}

#[test]
fn a_bind_has_to_find_what_it_shares_sealed() {
    breaks(Config::ingests(1).with(Bug::BindUnchecked), CONDEMNED);
    breaks(Config::ingests(1).with(Bug::BindUnchecked), NAMES);
}

#[test]
fn a_segment_without_a_row_must_not_be_shared() {
    breaks(Config::ingests(1).with(Bug::AbsentRowAccepted), NAMES);
}

#[test]
fn a_bind_has_to_stamp_what_it_shares() {
    breaks(Config::ingests(1).with(Bug::NoStamp), CONDEMNED);
}

#[test]
fn condemning_has_to_look_at_the_stamp() {
    breaks(Config::ingests(1).with(Bug::NoNamedMarkCheck), CONDEMNED);
}

#[test]
fn ingests_under_way_have_to_be_spared() {
    breaks(Config::ingests(1).with(Bug::UnderWayIgnored), CONDEMNED);
    breaks(Config::ingests(1).with(Bug::RegisteredLate), CONDEMNED);
}

#[test]
fn the_horizon_has_to_be_read_before_the_roots() {
    breaks(Config::checkpoints(1).with(Bug::HorizonAfterRoots), CONDEMNED);
    let weak = Config { stamp: Stamp::Shared, ..Config::ingests(1) };
    breaks(weak.with(Bug::HorizonAfterRoots), CONDEMNED);
}

#[test]
fn the_horizon_has_to_be_below_checkpoints_and_the_floor() {
    breaks(Config::checkpoints(1).with(Bug::HorizonIgnoresCheckpoints), CONDEMNED);
    breaks(Config::checkpoints(1).with(Bug::HorizonIgnoresCheckpoints), NAMES);
    breaks(Config::checkpoints(1).with(Bug::HorizonIgnoresFloor), NAMES);
}

#[test]
fn look_ups_and_held_roots_have_to_be_waited_for_and_read() {
    breaks(Config::readers(1).with(Bug::NoBarrier), READERS);
    breaks(Config::readers(1).with(Bug::PinsIgnored), READERS);
}

/// The reader lets go between T0 and the reading of held roots: neither has the root.
#[test]
fn a_bind_of_a_held_root_has_to_find_its_name() {
    breaks(Config::readers(1).with(Bug::DerivedUnchecked), CONDEMNED);
}

#[test]
fn a_compaction_has_to_look_at_the_stamp() {
    breaks(Config::compaction(1).with(Bug::ForwardWithoutRecheck), NAMES);
}

#[test]
fn a_compaction_has_to_check_what_it_shares() {
    breaks(Config::carriers(1).with(Bug::CompactionSharesUnchecked), NAMES);
}

#[test]
fn the_segment_of_a_table_has_to_be_marked() {
    breaks(Config::carriers(1).with(Bug::CarrierNotMarked), CONDEMNED);
}

#[test]
fn the_compaction_of_a_carrier_has_to_take_its_table_along() {
    breaks(Config::carriers(1).with(Bug::TableLeftBehind), NAMES);
}

/// A rescue after the file went says sealed of nothing, and a bind believes it.
#[test]
fn a_removal_has_to_be_certain_before_the_file_goes() {
    breaks(Config::ingests(1).with(Bug::UnlinkWhileCondemned), NAMES);
}

/// The next collection takes the file for what a failed ingest left and makes it a row,
/// which outlives the file.
#[test]
fn a_row_has_to_outlive_its_file() {
    breaks(Config::ingests(1).with(Bug::RowBeforeFile), NAMES);
}

#[test]
fn a_backup_has_to_be_durable_before_anything_goes() {
    breaks(Config::ingests(1).with(Bug::BackupAfterRemoval), BACKUP);
}

#[test]
fn of_two_backups_the_younger_knows_more_whatever_its_mark() {
    let two = Config { collectors: 2, ids: 3, crashes: 0, ..Config::ingests(2) };
    breaks(two.with(Bug::BackupByMark), BACKUP);
}

#[test]
fn an_id_that_is_given_again_is_noticed_and_does_harm() {
    breaks(Config::ingests(1).with(Bug::IdsReused), IDS);
    breaks(Config::ingests(1).with(Bug::IdsReused), NAMES);
}

#[test]
fn every_bug_is_in_a_test() {
    let tests = include_str!("tests.rs");
    for bug in Bug::ALL {
        assert!(tests.contains(&format!("Bug::{bug:?}")), "{bug:?}");
    }
}
