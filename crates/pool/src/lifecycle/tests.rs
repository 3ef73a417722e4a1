use archipelago_model::FileId;

use super::*;
use crate::object::Meta;

const HOUR: u64 = DAY_MS / 24;

fn object(name: &str, size: u64, created_ms: u64) -> Object {
    Object {
        id: FileId::new(1),
        name: name.parse().unwrap(),
        versioned: true,
        latest: true,
        marker: false,
        size,
        etag: None,
        meta: Meta::default(),
        created_ms,
        seal: None,
        owner: None,
    }
}

fn rule(filter: Filter) -> Rule {
    let id = "one".to_owned();
    let expiration = Some(Expiration::Days(1));
    Rule { id, enabled: true, filter, expiration, noncurrent: None, abort_days: None }
}

const NEWEST: Place = Place { replaced_ms: None, newer: 0, alone: true };

#[test]
fn days_end_with_the_midnight_behind_them() {
    let rules = [rule(Filter::default())];
    let object = object("a", 1, 10 * DAY_MS + HOUR);
    let ended = |now| has_ended(&rules, &object, NEWEST, now, DAY_MS);
    assert!(!ended(12 * DAY_MS - 1));
    assert!(ended(12 * DAY_MS));
    let ending = ending(&rules, &object).unwrap();
    assert_eq!((ending.at_ms, ending.rule.as_str()), (12 * DAY_MS, "one"));
}

#[test]
fn days_that_are_short_for_a_test_are_counted_to_the_ms() {
    let rules = [rule(Filter::default())];
    let object = object("a", 1, 12_345);
    assert!(!has_ended(&rules, &object, NEWEST, 22_344, 10_000));
    assert!(has_ended(&rules, &object, NEWEST, 22_345, 10_000));
}

#[test]
fn a_filter_asks_for_all_that_it_says() {
    let mut tagged = object("logs/a", 100, 0);
    tagged.meta.tags = [("k", "v"), ("other", "x")].map(|(k, v)| (k.into(), v.into())).into();
    let tags = |value: &str| [("k".to_owned(), value.to_owned())].into();
    let holds = |filter: Filter| has_ended(&[rule(filter)], &tagged, NEWEST, 9 * DAY_MS, DAY_MS);
    assert!(holds(Filter { prefix: "logs/".into(), tags: tags("v"), ..Filter::default() }));
    assert!(!holds(Filter { prefix: "log/".into(), tags: tags("v"), ..Filter::default() }));
    assert!(!holds(Filter { tags: tags("w"), ..Filter::default() }));
    assert!(holds(Filter { larger_than: Some(99), smaller_than: Some(101), ..Filter::default() }));
    assert!(!holds(Filter { larger_than: Some(100), ..Filter::default() }));
    assert!(!holds(Filter { smaller_than: Some(100), ..Filter::default() }));
}

#[test]
fn a_rule_that_is_off_does_nothing() {
    let mut off = rule(Filter::default());
    off.enabled = false;
    off.abort_days = Some(1);
    assert!(!has_ended(&[off.clone()], &object("a", 1, 0), NEWEST, u64::MAX, DAY_MS));
    assert_eq!(off.end_of_upload("a", 0, DAY_MS), None);
}

#[test]
fn the_first_of_several_ends_it() {
    let late = Rule {
        id: "late".into(),
        expiration: Some(Expiration::Days(9)),
        ..rule(Filter::default())
    };
    let date = Rule {
        id: "date".into(),
        expiration: Some(Expiration::Date(DAY_MS / 2)),
        ..rule(Filter::default())
    };
    let found = ending(&[late, date], &object("a", 1, 0)).unwrap();
    assert_eq!((found.at_ms, found.rule.as_str()), (DAY_MS / 2, "date"));
}

#[test]
fn older_versions_end_by_when_they_were_replaced_and_some_stay() {
    let older = Rule {
        expiration: None,
        noncurrent: Some(Noncurrent { days: 2, keep: 1 }),
        ..rule(Filter::default())
    };
    let object = Object { latest: false, ..object("a", 1, 0) };
    let ended = |newer, replaced, now| {
        let place = Place { replaced_ms: Some(replaced), newer, alone: false };
        has_ended(std::slice::from_ref(&older), &object, place, now, 10)
    };
    assert!(!ended(0, 100, 1000));
    assert!(!ended(1, 100, 119));
    assert!(ended(1, 100, 120));
}

#[test]
fn a_mark_of_removal_ends_when_it_is_all_there_is() {
    let lone = Rule { expiration: Some(Expiration::LoneMarker), ..rule(Filter::default()) };
    let marker = Object { marker: true, size: 0, ..object("a", 0, 0) };
    let ended = |rule: &Rule, object: &Object, alone, now| {
        has_ended(std::slice::from_ref(rule), object, Place { alone, ..NEWEST }, now, 10)
    };
    assert!(ended(&lone, &marker, true, 0));
    assert!(!ended(&lone, &marker, false, 0));
    assert!(!ended(&lone, &object("a", 1, 0), true, 1000));
    let days = rule(Filter::default());
    assert!(!ended(&days, &marker, true, 9));
    assert!(ended(&days, &marker, true, 10));
    assert_eq!(ending(&[days], &marker), None);
}
